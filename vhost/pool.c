/* The pool: its threads, which of them owns which source, statistics.
 *
 * See pool-private.h for who may touch what, and hot-set.c for what a thread
 * does with its sources. */
#include <config.h>
#include "vhost/pool-private.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "ovs-numa.h"
#include "openvswitch/vlog.h"
#include "util.h"

VLOG_DEFINE_THIS_MODULE(pool);

/* --- Mail ---------------------------------------------------------------- */

/* Wakes 'thread' if it sleeps, so that it reads its mail.  The fence pairs
 * with that of prepare_to_sleep(). */
static void
thread_announce_mail(struct vhost_thread *thread)
{
    bool asleep;

    atomic_store_relaxed(&thread->has_mail, true);
    atomic_thread_fence(memory_order_seq_cst);
    atomic_read_relaxed(&thread->asleep, &asleep);
    if (asleep) {
        ignore(eventfd_write(thread->wake_fd, 1));
    }
}

/* Called with the pool's mutex, so that a source's mail comes in the order of
 * what happens to it. */
static void
thread_send_mail(struct vhost_thread *thread, struct mail *mail)
{
    ovs_mutex_lock(&thread->mail_mutex);
    ovs_list_push_back(&thread->mail, &mail->node);
    ovs_mutex_unlock(&thread->mail_mutex);
    thread_announce_mail(thread);
}

/* Makes 'thread' the owner of 'state', which has none. */
static void
source_give(struct vhost_pool *pool OVS_UNUSED,
            struct vhost_source_state *state, struct vhost_thread *thread)
    OVS_REQUIRES(pool->mutex)
{
    state->owner = thread;
    state->phase = MOVING;
    state->add = (struct mail) { .type = MAIL_ADD, .state = state };
    thread->n_sources++;
    thread_send_mail(thread, &state->add);
}

/* Reads the mail of 'thread', which is the calling thread.  Returns false if
 * the thread has been asked to stop. */
bool
pool_read_mail(struct vhost_thread *thread)
{
    struct vhost_pool *pool = thread->pool;
    struct ovs_list mails;
    struct mail *mail;
    bool stop;

    ovs_list_init(&mails);
    atomic_store_relaxed(&thread->has_mail, false);
    ovs_mutex_lock(&thread->mail_mutex);
    ovs_list_push_back_all(&mails, &thread->mail);
    stop = thread->stop;
    ovs_mutex_unlock(&thread->mail_mutex);

    LIST_FOR_EACH_POP (mail, node, &mails) {
        switch (mail->type) {
        case MAIL_ADD:
            hot_set_add(thread, mail->state);
            break;
        case MAIL_REMOVE:
            hot_set_remove(thread, mail->state);
            ovs_mutex_lock(&pool->mutex);
            thread->n_sources--;
            ovs_list_remove(&mail->state->pool_node);
            mail->done = true;
            xpthread_cond_broadcast(&pool->removed);
            ovs_mutex_unlock(&pool->mutex);
            break;
        }
    }
    return !stop;
}

void
pool_housekeeping(struct vhost_thread *thread, bool sleeping)
{
    const struct vhost_pool_config *config = &thread->pool->config;

    if (config->housekeeping) {
        config->housekeeping(thread, thread->aux, sleeping);
    }
}

/* --- Placing sources ----------------------------------------------------- */

#define MAX_MOVES 4             /* Sources that a thread hands over at once. */

/* How much of a thread its sources want, 1/1000; more than 1000 if it can't
 * give them that.  A thread says it when it is awake: what it said long ago is
 * no longer so. */
static unsigned int
thread_load(const struct vhost_thread *thread)
{
    uint32_t load;

    if (cycles_now() - counter_get(&thread->load_time)
        > cycles_from_us(500000)) {
        return 0;
    }
    atomic_read_relaxed(&CONST_CAST(struct vhost_thread *, thread)->load,
                        &load);
    return load;
}

/* The thread that is to have a source that prefers 'numa_node': one on that
 * node, the least loaded, then the one with the fewest sources. */
static struct vhost_thread *
pool_choose_thread(struct vhost_pool *pool, int numa_node)
    OVS_REQUIRES(pool->mutex)
{
    struct vhost_thread *best = NULL;
    uint64_t best_cost = UINT64_MAX;

    for (unsigned int i = 0; i < pool->n_threads; i++) {
        struct vhost_thread *thread = pool->threads[i];
        bool far = (numa_node >= 0 && thread->numa_node >= 0
                    && numa_node != thread->numa_node);
        uint64_t cost = (((uint64_t) far << 48)
                         | ((uint64_t) (thread_load(thread) / 100) << 32)
                         | thread->n_sources);

        if (cost < best_cost) {
            best = thread;
            best_cost = cost;
        }
    }
    return best;
}

/* How much of a thread 'state' wants, 1/1000: what it took in the 'elapsed'
 * cycles since the last look, or a whole thread if it mostly had more work
 * than its budget. */
static unsigned int
source_load(const struct vhost_source_state *state, uint64_t elapsed)
{
    uint64_t hits = counter_get(&state->hits) - state->balance_hits;
    uint64_t busy = counter_get(&state->busy) - state->balance_busy;

    return (2 * (uint64_t) state->n_full > hits
            ? 1000 : MIN(busy * 1000 / elapsed, 1000));
}

/* Finds the source whose move from 'thread' to one with 'other_load' evens out
 * their loads best.  Returns NULL if none is worth it.  The calling thread is
 * 'thread'. */
static struct vhost_source_state *
choose_source_to_move(struct vhost_thread *thread, unsigned int load,
                      unsigned int other_load, uint64_t elapsed)
{
    struct vhost_source_state *best = NULL;
    unsigned int best_peak = load - 100; /* It should help that much. */

    for (unsigned int i = 0; i < thread->n_hot; i++) {
        struct vhost_source_state *state = thread->hot[i].state;
        unsigned int share = source_load(state, elapsed);
        unsigned int peak = MAX(load - share, other_load + share);

        if (peak < best_peak && !state->pinned
            && thread->now - state->moved > cycles_from_us(1000000)) {
            best = state;
            best_peak = peak;
        }
    }
    return best;
}

/* The thread that is best to take a source from 'thread', and its load in
 * '*other_load'.  Returns NULL if none has less than 'load'. */
static struct vhost_thread *
choose_other_thread(const struct vhost_pool *pool,
                    const struct vhost_thread *thread, unsigned int load,
                    unsigned int *other_load)
{
    struct vhost_thread *other = NULL;

    *other_load = load;
    for (unsigned int i = 0; i < pool->n_threads; i++) {
        struct vhost_thread *t = pool->threads[i];
        unsigned int t_load = thread_load(t);

        /* Memory of another node costs about a third. */
        if (t->numa_node >= 0 && thread->numa_node >= 0
            && t->numa_node != thread->numa_node) {
            t_load += load / 3;
        }
        if (t != thread && t_load < *other_load) {
            other = t;
            *other_load = t_load;
        }
    }
    return other;
}

/* Moves a source from 'thread', which is busy, to a thread that is less so, if
 * that makes the busier of the two less busy.  Returns what the source wants,
 * 0 if none was moved. */
static unsigned int
move_one(struct vhost_pool *pool, struct vhost_thread *thread,
         unsigned int load, uint64_t elapsed)
    OVS_REQUIRES(pool->mutex)
{
    unsigned int other_load;
    struct vhost_thread *other = choose_other_thread(pool, thread, load,
                                                     &other_load);
    struct vhost_source_state *state
        = other ? choose_source_to_move(thread, load, other_load, elapsed)
                : NULL;
    if (!state) {
        return 0;
    }

    unsigned int share = source_load(state, elapsed);
    hot_set_remove(thread, state);
    thread->n_sources--;
    state->moved = thread->now;
    counter_add(&state->migrations, 1);
    counter_add(&thread->migrations, 1);
    source_give(pool, state, other);

    /* It will say itself how busy it is, but others shouldn't all give it
     * something before that. */
    atomic_store_relaxed(&other->load, thread_load(other) + share);
    atomic_store_relaxed(&other->load_time, thread->now);
    return share;
}

/* Says how much work 'thread', which is the calling thread, had since the
 * last call, and hands a source over if that is much and another thread has
 * less. */
void
pool_balance(struct vhost_thread *thread)
{
    struct vhost_pool *pool = thread->pool;
    uint64_t elapsed = MAX(thread->now - thread->balance_start, 1);
    unsigned int load = 0;

    for (unsigned int i = 0; i < thread->n_hot; i++) {
        load += source_load(thread->hot[i].state, elapsed);
    }
    atomic_store_relaxed(&thread->load, load);
    atomic_store_relaxed(&thread->load_time, thread->now);

    if (load > 700 && thread->n_hot > 1 && !ovs_mutex_trylock(&pool->mutex)) {
        for (int i = 0; i < MAX_MOVES; i++) {
            unsigned int moved = move_one(pool, thread, load, elapsed);

            if (!moved) {
                break;
            }
            load -= moved;
        }
        ovs_mutex_unlock(&pool->mutex);
    }

    thread->balance_start = thread->now;
    for (unsigned int i = 0; i < thread->n_hot; i++) {
        struct vhost_source_state *state = thread->hot[i].state;

        state->balance_busy = counter_get(&state->busy);
        state->balance_hits = counter_get(&state->hits);
        state->n_full = 0;
    }
}

/* --- Threads ------------------------------------------------------------- */

/* Gives what 'thread', which is the calling thread and has left the pool's
 * table, owns to the others. */
static void
thread_hand_over(struct vhost_thread *thread)
{
    struct vhost_pool *pool = thread->pool;
    struct vhost_source_state *state;

    ovs_mutex_lock(&pool->mutex);
    LIST_FOR_EACH (state, pool_node, &pool->sources) {
        /* One that is pinned is being removed: the mail says so. */
        if (state->owner == thread && !state->pinned) {
            hot_set_remove(thread, state);
            thread->n_sources--;
            source_give(pool, state,
                        pool_choose_thread(pool, state->source->numa_node));
        }
    }
    ovs_mutex_unlock(&pool->mutex);
}

static void *
thread_main(void *thread_)
{
    struct vhost_thread *thread = thread_;
    const struct vhost_pool_config *config = &thread->pool->config;

    set_subprogram_name(thread->name);
    ovs_mutex_lock(&thread->pool->mutex);
    thread->tid = syscall(SYS_gettid);
    ovs_mutex_unlock(&thread->pool->mutex);
    halt_poll_init(&thread->halt_poll);
    if (config->start) {
        thread->aux = config->start(thread);
    }

    vhost_online();
    hot_set_run(thread);
    thread_hand_over(thread);
    pool_read_mail(thread);     /* Removals that came before. */
    vhost_offline();

    if (config->stop) {
        config->stop(thread, thread->aux);
    }
    halt_poll_destroy(&thread->halt_poll);
    return NULL;
}

/* Binds 'thread' to 'cpu', or to none if that is -1. */
static int
thread_bind(struct vhost_thread *thread, int cpu)
{
    cpu_set_t one;

    CPU_ZERO(&one);
    if (cpu >= 0) {
        CPU_SET(cpu, &one);
    }
    int error = pthread_setaffinity_np(
        thread->pthread, sizeof one,
        cpu >= 0 ? &one : &thread->pool->all_cpus);
    if (!error) {
        int node = cpu >= 0 ? ovs_numa_get_numa_id(cpu) : OVS_NUMA_UNSPEC;

        ovs_mutex_lock(&thread->pool->mutex);
        thread->cpu = cpu;
        thread->numa_node = node == OVS_NUMA_UNSPEC ? -1 : node;
        ovs_mutex_unlock(&thread->pool->mutex);
    }
    return error;
}

static int
thread_create(struct vhost_pool *pool, unsigned int index)
{
    struct vhost_thread *thread = xzalloc_cacheline(sizeof *thread);
    int error;

    thread->pool = pool;
    thread->index = index;
    thread->cpu = -1;
    thread->numa_node = -1;
    snprintf(thread->name, sizeof thread->name, "%.11s%u",
             pool->config.name, (uint8_t) index);
    ovs_mutex_init(&thread->mail_mutex);
    ovs_list_init(&thread->mail);
    error = hot_set_init(thread);
    if (error) {
        ovs_mutex_destroy(&thread->mail_mutex);
        free_cacheline(thread);
        return error;
    }

    thread->pthread = ovs_thread_create(thread->name, thread_main, thread);
    ovs_mutex_lock(&pool->mutex);
    pool->threads[index] = thread;
    pool->n_threads = index + 1;
    ovs_mutex_unlock(&pool->mutex);
    return 0;
}

/* Ends the thread with the highest index. */
static void
thread_destroy(struct vhost_pool *pool)
{
    ovs_mutex_lock(&pool->mutex);
    struct vhost_thread *thread = pool->threads[--pool->n_threads];
    ovs_mutex_unlock(&pool->mutex);

    ovs_mutex_lock(&thread->mail_mutex);
    thread->stop = true;
    ovs_mutex_unlock(&thread->mail_mutex);
    thread_announce_mail(thread);
    xpthread_join(thread->pthread, NULL);

    hot_set_destroy(thread);
    ovs_mutex_destroy(&thread->mail_mutex);
    free_cacheline(thread);
}

/* Parses a list of CPUs such as "1,3-5" (or "" or NULL: none) into 'cpus',
 * which has room for CPU_SETSIZE, and '*n'. */
static int
parse_cpus(const char *list, int cpus[], unsigned int *n, char **errp)
{
    const char *p = list ? list : "";

    *n = 0;
    while (*p) {
        char *end;
        unsigned long first = strtoul(p, &end, 10);
        unsigned long last = first;
        bool ok = end != p && *p >= '0' && *p <= '9';

        if (ok && *end == '-') {
            p = end + 1;
            last = strtoul(p, &end, 10);
            ok = end != p && *p >= '0' && *p <= '9';
        }
        if (!ok || (*end && (*end != ',' || !end[1]))
            || last < first || last >= CPU_SETSIZE) {
            *errp = xasprintf("\"%s\" is not a list of CPUs such as \"1,3-5\"",
                              list);
            return EINVAL;
        }
        for (; first <= last && *n < CPU_SETSIZE; first++) {
            cpus[(*n)++] = first;
        }
        p = *end ? end + 1 : end;
    }
    return 0;
}

int
vhost_pool_set_threads(struct vhost_pool *pool, unsigned int n_threads,
                       const char *cpu_list, char **errp)
{
    int cpus[CPU_SETSIZE];
    unsigned int n_cpus;
    int error;

    *errp = NULL;
    if (!n_threads || n_threads > MAX_THREADS) {
        *errp = xasprintf("%u service threads are not possible: use 1 to %d",
                          n_threads, MAX_THREADS);
        return EINVAL;
    }
    error = parse_cpus(cpu_list, cpus, &n_cpus, errp);
    if (error) {
        return error;
    }
    for (unsigned int i = 0; i < n_cpus; i++) {
        if (cpus[i] >= sysconf(_SC_NPROCESSORS_CONF)) {
            *errp = xasprintf("CPU %d of list \"%s\" does not exist",
                              cpus[i], cpu_list);
            return EINVAL;
        }
    }

    while (pool->n_threads > n_threads) {
        thread_destroy(pool);
    }
    while (pool->n_threads < n_threads) {
        error = thread_create(pool, pool->n_threads);
        if (error) {
            *errp = xasprintf("cannot create service thread %u: %s",
                              pool->n_threads, ovs_strerror(error));
            return error;
        }
    }
    for (unsigned int i = 0; i < n_threads; i++) {
        error = thread_bind(pool->threads[i],
                            n_cpus ? cpus[i % n_cpus] : -1);
        if (error) {
            *errp = xasprintf("cannot bind %s to CPU %d: %s",
                              pool->threads[i]->name, cpus[i % n_cpus],
                              ovs_strerror(error));
            return error;
        }
    }
    return 0;
}

int
vhost_pool_create(const struct vhost_pool_config *config,
                  struct vhost_pool **poolp, char **errp)
{
    struct vhost_pool *pool = xzalloc(sizeof *pool);

    cycles_init();
    pool->config = *config;
    pool->config.name = xstrdup(config->name);
    pthread_getaffinity_np(pthread_self(), sizeof pool->all_cpus,
                           &pool->all_cpus);
    ovs_mutex_init(&pool->mutex);
    xpthread_cond_init(&pool->removed, NULL);
    ovs_list_init(&pool->sources);

    int error = vhost_pool_set_threads(pool, config->n_threads, config->cpus,
                                       errp);
    if (error) {
        vhost_pool_destroy(pool);
        pool = NULL;
    }
    *poolp = pool;
    return error;
}

/* Ends the threads of 'pool' and frees it.  All its sources must have been
 * removed. */
void
vhost_pool_destroy(struct vhost_pool *pool)
{
    if (pool) {
        ovs_assert(ovs_list_is_empty(&pool->sources));
        while (pool->n_threads) {
            thread_destroy(pool);
        }
        xpthread_cond_destroy(&pool->removed);
        ovs_mutex_destroy(&pool->mutex);
        free(CONST_CAST(char *, pool->config.name));
        free(pool);
    }
}

void *
vhost_thread_aux(const struct vhost_thread *thread)
{
    return thread->aux;
}

unsigned int
vhost_thread_index(const struct vhost_thread *thread)
{
    return thread->index;
}

/* --- Sources ------------------------------------------------------------- */

void
vhost_pool_add(struct vhost_pool *pool, struct vhost_source *source)
{
    struct vhost_source_state *state = xzalloc_cacheline(sizeof *state);

    state->source = source;
    source->state = state;
    ovs_mutex_lock(&pool->mutex);
    ovs_list_push_back(&pool->sources, &state->pool_node);
    source_give(pool, state, pool_choose_thread(pool, source->numa_node));
    ovs_mutex_unlock(&pool->mutex);
}

void
vhost_pool_remove(struct vhost_pool *pool, struct vhost_source *source)
{
    struct vhost_source_state *state = source->state;
    struct mail mail = { .type = MAIL_REMOVE, .state = state };

    ovs_mutex_lock(&pool->mutex);
    state->pinned = true;
    thread_send_mail(state->owner, &mail);
    while (!mail.done) {
        /* Not ovs_mutex_cond_wait(), which quiesces RCU: what the caller
         * holds stays valid. */
        pthread_cond_wait(&pool->removed, &pool->mutex.lock);
    }
    ovs_mutex_unlock(&pool->mutex);

    source->state = NULL;
    free_cacheline(state);
}

/* --- Statistics ---------------------------------------------------------- */

struct vhost_thread_stats *
vhost_pool_thread_stats(struct vhost_pool *pool, size_t *n)
{
    ovs_mutex_lock(&pool->mutex);
    struct vhost_thread_stats *stats = xcalloc(pool->n_threads, sizeof *stats);

    for (unsigned int i = 0; i < pool->n_threads; i++) {
        struct vhost_thread *thread = pool->threads[i];
        uint32_t n_hot;

        atomic_read_relaxed(&thread->n_hot_now, &n_hot);
        stats[i] = (struct vhost_thread_stats) {
            .tid = thread->tid,
            .cpu = thread->cpu,
            .n_sources = thread->n_sources,
            .n_hot = n_hot,
            .polls = counter_get(&thread->polls),
            .hits = counter_get(&thread->hits),
            .packets = counter_get(&thread->packets),
            .sleeps = counter_get(&thread->sleeps),
            .wakeups = counter_get(&thread->wakeups),
            .busy_ns = cycles_to_ns(counter_get(&thread->busy)),
            .spin_ns = cycles_to_ns(counter_get(&thread->spin)),
            .migrations = counter_get(&thread->migrations),
        };
        ovs_strlcpy(stats[i].name, thread->name, sizeof stats[i].name);
    }
    *n = pool->n_threads;
    ovs_mutex_unlock(&pool->mutex);
    return stats;
}

struct vhost_source_stats *
vhost_pool_source_stats(struct vhost_pool *pool, size_t *n)
{
    struct vhost_source_state *state;
    size_t i = 0;

    ovs_mutex_lock(&pool->mutex);
    struct vhost_source_stats *stats = xcalloc(
        MAX(ovs_list_size(&pool->sources), 1), sizeof *stats);

    LIST_FOR_EACH (state, pool_node, &pool->sources) {
        struct vhost_source_stats *s = &stats[i++];
        bool hot;

        atomic_read_relaxed(&state->hot, &hot);
        *s = (struct vhost_source_stats) {
            .thread = state->owner->index,
            .hot = hot,
            .polls = counter_get(&state->polls),
            .hits = counter_get(&state->hits),
            .packets = counter_get(&state->packets),
            .busy_ns = cycles_to_ns(counter_get(&state->busy)),
            .migrations = counter_get(&state->migrations),
        };
        ovs_strlcpy(s->name, state->source->name, sizeof s->name);
    }
    *n = i;
    ovs_mutex_unlock(&pool->mutex);
    return stats;
}
