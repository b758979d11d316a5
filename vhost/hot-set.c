/* How a service thread serves its sources.
 *
 * In each round it calls the poll function of every source in its *hot set*, a
 * compact array, with a budget, so that a busy source delays its neighbours by
 * one budget at most.  A source that has been quiet for a time, which follows
 * its traffic, leaves the hot set: it is armed and waits in epoll.  Events are
 * looked for now and then while the thread is awake, and waited for when
 * nothing came for the halt-poll window (halt-poll.c).  Whoever has an event
 * is ready: it is polled in the next round, and takes a place in the hot set
 * if there is one.  When all places are taken, the ready take turns beside it,
 * so that no number of busy sources shuts another out.
 *
 * Sleeping, without losing a wake-up.  The other side (a guest's driver, or
 * whoever sends mail) first makes work visible and then, after a full fence,
 * looks whether we want to be told.  We first say that we want to, and then,
 * after a full fence, look for work.  So at least one of the two sees the
 * other.  One fence serves all sources: arm all, fence, look at all, sleep.
 * tests/vhost/test-sleep-model.c goes through all interleavings of that.
 *
 * Watching is edge-triggered, so that nobody has to read an eventfd (a
 * tap's data must not be read anyway).  An event without work is no harm to
 * others, but wakes the thread: a guest that does nothing but kick has its
 * file descriptor left unwatched for a while, longer each time.  The same
 * way is used for a source without a descriptor that can be watched. */
#include <config.h>
#include "vhost/pool-private.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "openvswitch/vlog.h"
#include "ovs-rcu.h"
#include "util.h"

VLOG_DEFINE_THIS_MODULE(hot_set);

#define POLL_US 25              /* A call of 'poll' should take half as long to
                                 * as long as this: the budget follows. */
#define EVENTS_US 20            /* Look for events so often when busy... */
#define EVENTS_IDLE_US 2        /* ...and so often when not. */
#define TICK_US 1000
#define BALANCE_US 100000
#define LINGER_MIN_US 50        /* A quiet source stays hot for this long... */
#define LINGER_MAX_US 2000      /* ...to this: GAPS times its mean gap. */
#define LINGER_GAPS 4
#define SPURIOUS_MAX 4          /* Events in a row without work before a source
                                 * is deferred... */
#define PENALTY_US 100          /* ...for this, doubled each time... */
#define PENALTY_MAX 7           /* ...up to so many times (12.8 ms). */
#define UNWATCHABLE_US 1000     /* Poll a source that can't be watched at least
                                 * so often. */
#define MAX_EVENTS 64

static void hot_set_cool(struct vhost_thread *, struct vhost_source_state *);

/* --- Watching ------------------------------------------------------------ */

static void
source_watch(struct vhost_thread *thread, struct vhost_source_state *state)
{
    struct epoll_event event = {
        .events = EPOLLIN | EPOLLET,
        .data.ptr = state,
    };

    if (!state->watched && state->watchable) {
        if (!epoll_ctl(thread->epoll_fd, EPOLL_CTL_ADD, state->source->fd,
                       &event)) {
            state->watched = true;
            state->expect_event = true;
        } else {
            /* Whoever passed us the descriptor may have passed anything. */
            VLOG_WARN("%s: cannot wait for events (%s), will poll instead",
                      state->source->name, ovs_strerror(errno));
            state->watchable = false;
        }
    }
}

static void
source_unwatch(struct vhost_thread *thread, struct vhost_source_state *state)
{
    if (state->watched) {
        epoll_ctl(thread->epoll_fd, EPOLL_CTL_DEL, state->source->fd, NULL);
        state->watched = false;
        state->expect_event = false;
    }
}

/* --- Phases -------------------------------------------------------------- */

/* Brings the number of polls of 'state', which is hot, up to date. */
static void
source_count_polls(struct vhost_thread *thread,
                   struct vhost_source_state *state)
{
    counter_add(&state->polls, thread->n_rounds - state->hot_rounds);
    state->hot_rounds = thread->n_rounds;
}

/* Takes 'state' out of whatever its phase keeps it in. */
static void
source_leave(struct vhost_thread *thread, struct vhost_source_state *state)
{
    switch (state->phase) {
    case HOT: {
        unsigned int i = state->hot_index;

        thread->hot[i] = thread->hot[--thread->n_hot];
        thread->hot[i].state->hot_index = i;
        source_count_polls(thread, state);
        atomic_store_relaxed(&state->hot, false);
        atomic_store_relaxed(&thread->n_hot_now, thread->n_hot);
        break;
    }
    case READY:
    case DEFERRED:
        ovs_list_remove(&state->node);
        break;
    case MOVING:
    case COLD:
        break;
    }
}

static void
source_make_ready(struct vhost_thread *thread,
                  struct vhost_source_state *state)
{
    source_leave(thread, state);
    state->phase = READY;
    state->by_event = false;
    ovs_list_push_back(&thread->ready, &state->node);
}

static void
source_make_hot(struct vhost_thread *thread, struct vhost_source_state *state)
{
    source_leave(thread, state);
    state->phase = HOT;
    state->hot_index = thread->n_hot++;
    state->hot_rounds = thread->n_rounds;
    thread->hot[state->hot_index] = (struct hot) {
        .poll = state->source->ops->poll,
        .source = state->source,
        .state = state,
        .budget = state->budget,
    };
    atomic_store_relaxed(&state->hot, true);
    atomic_store_relaxed(&thread->n_hot_now, thread->n_hot);
}

static void
source_defer(struct vhost_thread *thread, struct vhost_source_state *state,
             uint64_t us)
{
    source_leave(thread, state);
    source_unwatch(thread, state);
    state->phase = DEFERRED;
    state->due = thread->now + cycles_from_us(us);
    ovs_list_push_back(&thread->deferred, &state->node);
}

/* A source that is not hot had an event but no work. */
static void
source_spurious(struct vhost_thread *thread, struct vhost_source_state *state)
{
    if (++state->n_spurious < SPURIOUS_MAX && !state->penalty) {
        hot_set_cool(thread, state);
    } else {
        source_defer(thread, state, PENALTY_US << state->penalty);
        if (state->penalty < PENALTY_MAX) {
            state->penalty++;
        }
    }
}

/* Puts 'state' where it waits for an event, if it has no work. */
static void
hot_set_cool(struct vhost_thread *thread, struct vhost_source_state *state)
{
    const struct vhost_source_ops *ops = state->source->ops;

    source_watch(thread, state);
    if (!state->watched) {
        source_defer(thread, state, UNWATCHABLE_US);
        return;
    }
    ops->arm(state->source);
    atomic_thread_fence(memory_order_seq_cst);
    if (ops->pending(state->source)) {
        ops->disarm(state->source);
        source_make_ready(thread, state);
    } else {
        source_leave(thread, state);
        state->phase = COLD;
    }
}

/* --- A round ------------------------------------------------------------- */

/* Accounts for a poll of 'state' that handled 'n' packets. */
static void
source_hit(struct vhost_thread *thread, struct vhost_source_state *state,
           unsigned int n)
{
    uint64_t now = cycles_now();
    uint64_t spent = now - thread->now;
    uint64_t gap = now - state->last_hit;

    state->n_full += n >= state->budget;

    /* A neighbour must not wait for longer because our packets are larger. */
    if (spent > cycles_from_us(POLL_US)) {
        state->budget = MAX(state->budget / 2, BUDGET_MIN);
    } else if (spent < cycles_from_us(POLL_US) / 2) {
        state->budget = MIN(state->budget * 2, BUDGET_MAX);
    }

    counter_add(&state->hits, 1);
    counter_add(&state->packets, n);
    counter_add(&state->busy, spent);
    counter_add(&thread->hits, 1);
    counter_add(&thread->packets, n);
    counter_add(&thread->busy, spent);
    state->gap += ((int64_t) (gap - state->gap)) / 8;
    state->last_hit = now;
    state->n_spurious = 0;
    state->penalty = 0;
    thread->now = now;

    vhost_quiesce();
}

/* Gives each ready source its turn. */
static bool
serve_ready(struct vhost_thread *thread)
{
    size_t n_ready = ovs_list_size(&thread->ready);
    bool hit = false;

    while (n_ready--) {
        struct vhost_source_state *state = CONTAINER_OF(
            ovs_list_front(&thread->ready), struct vhost_source_state, node);
        thread->polling = state->source;
        unsigned int n = state->source->ops->poll(state->source, thread,
                                                  state->budget);
        counter_add(&state->polls, 1);
        counter_add(&thread->polls, 1);
        if (n) {
            source_hit(thread, state, n);
            hit = true;
            if (thread->n_hot < HOT_MAX) {
                source_make_hot(thread, state);
            } else {
                source_make_ready(thread, state);
            }
        } else if (state->by_event) {
            source_spurious(thread, state);
        } else {
            hot_set_cool(thread, state);
        }
    }
    return hit;
}

/* Polls each hot and each ready source once.  Returns true if any had work. */
static bool
serve_round(struct vhost_thread *thread)
{
    bool hit = false;

    for (unsigned int i = 0; i < thread->n_hot; i++) {
        struct hot *hot = &thread->hot[i];

        thread->polling = hot->source;
        unsigned int n = hot->poll(hot->source, thread, hot->budget);

        if (n) {
            source_hit(thread, hot->state, n);
            hot->budget = hot->state->budget;
            hit = true;
        }
    }
    thread->n_rounds++;
    counter_add(&thread->polls, thread->n_hot);
    if (OVS_UNLIKELY(!ovs_list_is_empty(&thread->ready))) {
        hit |= serve_ready(thread);
    }
    return hit;
}

unsigned int
vhost_thread_polling_us(const struct vhost_thread *thread)
{
    return (cycles_now() - thread->now) / cycles_per_us;
}

long long int
vhost_now_us(void)
{
    return cycles_now() / cycles_per_us;
}

bool
vhost_thread_others_wait(const struct vhost_thread *thread)
{
    const struct vhost_source_state *state;

    for (unsigned int i = 0; i < thread->n_hot; i++) {
        struct vhost_source *source = thread->hot[i].source;

        if (source != thread->polling && source->ops->pending(source)) {
            return true;
        }
    }
    LIST_FOR_EACH (state, node, &thread->ready) {
        if (state->source != thread->polling) {
            return true;
        }
    }
    return false;
}

/* --- Now and then -------------------------------------------------------- */

/* Waits for events for 'timeout' ms (-1: for ever) and makes those ready who
 * have one.  Returns true if there were any. */
static bool
take_events(struct vhost_thread *thread, int timeout)
{
    struct epoll_event events[MAX_EVENTS];
    int n = epoll_wait(thread->epoll_fd, events, MAX_EVENTS, timeout);

    for (int i = 0; i < n; i++) {
        struct vhost_source_state *state = events[i].data.ptr;

        if (!state) {
            continue;
        }
        if (state->phase == COLD) {
            state->source->ops->disarm(state->source);
            source_make_ready(thread, state);
            state->by_event = !state->expect_event;
        }
        state->expect_event = false;
    }
    return n > 0;
}

/* Makes those ready whose time has come.  Returns how many ms remain for the
 * first other one, -1 if there is none. */
static int
take_deferred(struct vhost_thread *thread)
{
    struct vhost_source_state *state;
    uint64_t next = UINT64_MAX;

    LIST_FOR_EACH_SAFE (state, node, &thread->deferred) {
        if (thread->now >= state->due) {
            source_watch(thread, state);
            source_make_ready(thread, state);
        } else {
            next = MIN(next, state->due - thread->now);
        }
    }
    return next == UINT64_MAX ? -1 : (int) (cycles_to_ns(next) / 1000000) + 1;
}

/* Takes those out of the hot set who have been quiet for long, and counts the
 * polls of all. */
static void
cool_quiet(struct vhost_thread *thread)
{
    for (unsigned int i = thread->n_hot; i-- > 0; ) {
        struct vhost_source_state *state = thread->hot[i].state;
        uint64_t max = cycles_from_us(LINGER_MAX_US);
        uint64_t linger = LINGER_GAPS * state->gap;

        source_count_polls(thread, state);
        if (linger > max || linger < cycles_from_us(LINGER_MIN_US)) {
            linger = cycles_from_us(LINGER_MIN_US);
        }
        if (thread->now - state->last_hit > linger) {
            hot_set_cool(thread, state);
        }
    }
}

static void
tick(struct vhost_thread *thread)
{
    ovsrcu_quiesce();
    pool_housekeeping(thread, false);
    cool_quiet(thread);
    halt_poll_check_contention(&thread->halt_poll, thread->now);
    if (thread->now >= thread->next_balance) {
        pool_balance(thread);
        thread->next_balance = thread->now + cycles_from_us(BALANCE_US);
    }
    thread->next_tick = thread->now + cycles_from_us(TICK_US);
}

/* --- Sleeping ------------------------------------------------------------ */

/* Arms all hot sources and says that we sleep.  Returns true if there is
 * nothing to do. */
static bool
prepare_to_sleep(struct vhost_thread *thread)
{
    bool work;

    for (unsigned int i = 0; i < thread->n_hot; i++) {
        struct vhost_source *source = thread->hot[i].source;

        source->ops->arm(source);
    }
    atomic_store_relaxed(&thread->asleep, true);
    atomic_thread_fence(memory_order_seq_cst);

    atomic_read_relaxed(&thread->has_mail, &work);
    for (unsigned int i = 0; i < thread->n_hot && !work; i++) {
        struct vhost_source *source = thread->hot[i].source;

        work = source->ops->pending(source);
    }
    return !work;
}

/* Sleeps until there is work.  Nothing is ready. */
static void
thread_sleep(struct vhost_thread *thread)
{
    /* Those that can't be armed must not be forgotten. */
    for (unsigned int i = thread->n_hot; i-- > 0; ) {
        struct vhost_source_state *state = thread->hot[i].state;

        if (!state->watched) {
            hot_set_cool(thread, state);
        }
    }
    if (!ovs_list_is_empty(&thread->ready)) {
        return;
    }
    int timeout = take_deferred(thread);
    if (!ovs_list_is_empty(&thread->ready)) {
        return;
    }

    vhost_offline();
    pool_housekeeping(thread, true);
    ovsrcu_quiesce_start();
    bool sleeps = prepare_to_sleep(thread);
    if (sleeps) {
        while (thread->n_hot) {
            struct vhost_source_state *state = thread->hot[0].state;

            source_leave(thread, state);
            state->phase = COLD;
        }
        counter_add(&thread->sleeps, 1);
        if (take_events(thread, timeout)) {
            counter_add(&thread->wakeups, 1);
        }
    } else {
        for (unsigned int i = 0; i < thread->n_hot; i++) {
            struct vhost_source *source = thread->hot[i].source;

            source->ops->disarm(source);
        }
    }
    atomic_store_relaxed(&thread->asleep, false);
    ovsrcu_quiesce_end();
    vhost_online();
    thread->now = cycles_now();
    if (sleeps) {
        pool_housekeeping(thread, false);
        take_deferred(thread);
    }
}

/* --- Interface to pool.c ------------------------------------------------- */

/* Prepares 'thread', which doesn't run yet.  Returns 0 or a positive errno
 * value. */
int
hot_set_init(struct vhost_thread *thread)
{
    struct epoll_event event = { .events = EPOLLIN | EPOLLET };

    ovs_list_init(&thread->ready);
    ovs_list_init(&thread->deferred);
    thread->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (thread->epoll_fd < 0) {
        return errno;
    }
    thread->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (thread->wake_fd < 0
        || epoll_ctl(thread->epoll_fd, EPOLL_CTL_ADD, thread->wake_fd,
                     &event)) {
        int error = errno;

        hot_set_destroy(thread);
        return error;
    }
    return 0;
}

void
hot_set_destroy(struct vhost_thread *thread)
{
    close(thread->epoll_fd);
    if (thread->wake_fd >= 0) {
        close(thread->wake_fd);
    }
}

/* Serves the sources of 'thread', which is the calling thread and online,
 * until it is asked to stop. */
void
hot_set_run(struct vhost_thread *thread)
{
    thread->now = cycles_now();
    thread->last_hit = thread->now;
    for (;;) {
        uint64_t start = thread->now;
        bool mail, hit = serve_round(thread);
        uint64_t now = cycles_now();

        if (hit) {
            halt_poll_gap(&thread->halt_poll, start - thread->last_hit);
            thread->last_hit = now;
        } else {
            counter_add(&thread->spin, now - thread->now);
            cycles_pause();
        }
        thread->now = now;

        atomic_read_relaxed(&thread->has_mail, &mail);
        if (OVS_UNLIKELY(mail) && !pool_read_mail(thread)) {
            return;
        }
        if (now >= thread->next_tick) {
            tick(thread);
        }
        if (now >= thread->next_events) {
            take_events(thread, 0);
            take_deferred(thread);
            thread->next_events = now + cycles_from_us(hit ? EVENTS_US
                                                           : EVENTS_IDLE_US);
        }
        if (!hit && ovs_list_is_empty(&thread->ready)
            && now - thread->last_hit >= thread->halt_poll.window) {
            thread_sleep(thread);
        }
        vhost_quiesce();
    }
}

/* 'thread', which is the calling thread, serves 'state' from now on. */
void
hot_set_add(struct vhost_thread *thread, struct vhost_source_state *state)
{
    state->watchable = state->source->fd >= 0;
    state->budget = BUDGET_MAX / 2;
    source_watch(thread, state);
    source_make_ready(thread, state);
}

/* 'thread', which is the calling thread, forgets 'state'. */
void
hot_set_remove(struct vhost_thread *thread, struct vhost_source_state *state)
{
    if (state->phase == COLD) {
        state->source->ops->disarm(state->source);
    }
    source_unwatch(thread, state);
    source_leave(thread, state);
    state->phase = MOVING;
}
