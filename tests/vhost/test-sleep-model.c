/* Goes through all interleavings of the protocol by which a service thread
 * goes to sleep and is woken (vhost/hot-set.c, vhost/pool.c).
 *
 * Three threads: the service thread with one source, a driver that makes
 * packets available, and somebody who sends mail.  Each is a little program
 * whose steps load and store shared variables.  Stores go to a buffer of their
 * thread first and reach memory later, in any order except that of stores to
 * one variable: that is weaker than x86's order and covers ARM's stores, too.
 * A fence waits until the buffer is empty.
 *
 * The state is wrong if the service thread sleeps, nobody has anything left
 * to do, and there are packets or mail that it hasn't seen: a lost
 * wake-up.  The protocol must have no such state; and to show that this
 * program would find one, each variant that lacks one of the protocol's
 * parts must have one. */
#include <config.h>

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hash.h"
#include "util.h"

enum { N_PACKETS = 3, N_MAILS = 2 };

enum variable { AVAIL, WANT_KICK, HAS_MAIL, ASLEEP, N_VARIABLES };
enum thread { SERVICE, DRIVER, MAILER, N_THREADS };

/* Ways to break the protocol. */
enum variant {
    CORRECT,
    NO_SERVICE_FENCE,           /* Between arming and looking again. */
    NO_DRIVER_FENCE,            /* Between making available and looking. */
    NO_MAILER_FENCE,
    LOOK_BEFORE_ARMING,
    N_VARIANTS
};

enum { MAX_STORES = 4 };
struct store {
    uint8_t variable, value;
};

struct state {
    uint8_t memory[N_VARIABLES];
    uint8_t pc[N_THREADS];
    struct store buffer[N_THREADS][MAX_STORES]; /* Oldest first. */
    uint8_t n_stores[N_THREADS];
    uint8_t source_event, wake_event; /* Pending in epoll. */
    uint8_t mailbox;            /* Mails in it, under its lock... */
    uint8_t locked;             /* ...which the service thread has. */
    uint8_t used;               /* Packets taken. */
    uint8_t read;               /* Mails read. */
    uint8_t hot;                /* The source is polled. */
    uint8_t sent, mailed;       /* What driver and mailer did. */
};

/* --- Memory -------------------------------------------------------------- */

static uint8_t
load(const struct state *s, enum thread t, enum variable v)
{
    for (int i = s->n_stores[t] - 1; i >= 0; i--) {
        if (s->buffer[t][i].variable == v) {
            return s->buffer[t][i].value;
        }
    }
    return s->memory[v];
}

static void
store(struct state *s, enum thread t, enum variable v, uint8_t value)
{
    ovs_assert(s->n_stores[t] < MAX_STORES);
    s->buffer[t][s->n_stores[t]++] = (struct store) { v, value };
}

/* Lets store 'i' of thread 't' reach memory.  Returns false if an older one to
 * the same variable must go first. */
static bool
drain(struct state *s, enum thread t, int i)
{
    struct store *buffer = s->buffer[t];

    for (int j = 0; j < i; j++) {
        if (buffer[j].variable == buffer[i].variable) {
            return false;
        }
    }
    s->memory[buffer[i].variable] = buffer[i].value;
    s->n_stores[t]--;
    memmove(&buffer[i], &buffer[i + 1],
            (s->n_stores[t] - i) * sizeof *buffer);
    memset(&buffer[s->n_stores[t]], 0, sizeof *buffer);
    return true;
}

/* --- The programs: each does one step, and returns false if it can't ----- */

enum service_step {
    POLL, LOOK_FOR_MAIL, CLEAR_MAIL, READ_MAIL, UNLOCK_MAIL,
    ARM, SAY_ASLEEP, SERVICE_FENCE, MAIL_AGAIN, LOOK_AGAIN, WAIT,
    WOKEN, SAY_AWAKE,
};

static bool
service_step(struct state *s, enum variant variant)
{
    const enum thread t = SERVICE;
    uint8_t *pc = &s->pc[t];

    switch ((enum service_step) *pc) {
    case POLL:
        if (s->source_event && !s->hot) { /* take_events() while awake. */
            s->source_event = 0;
            s->hot = 1;
            store(s, t, WANT_KICK, 0);
        }
        if (s->hot && load(s, t, AVAIL) != s->used) {
            s->used = load(s, t, AVAIL);
        } else {
            *pc = LOOK_FOR_MAIL;
        }
        return true;
    case LOOK_FOR_MAIL:
        *pc = (load(s, t, HAS_MAIL) ? CLEAR_MAIL
               : variant == LOOK_BEFORE_ARMING ? MAIL_AGAIN : ARM);
        return true;
    case CLEAR_MAIL:
        store(s, t, HAS_MAIL, 0);
        *pc = READ_MAIL;
        return true;
    case READ_MAIL:
        s->locked = 1;
        s->read = s->mailbox;
        *pc = UNLOCK_MAIL;
        return true;
    case UNLOCK_MAIL:           /* A release: what came before is visible. */
        if (s->n_stores[t]) {
            return false;
        }
        s->locked = 0;
        *pc = POLL;
        return true;
    case ARM:
        if (s->hot) {
            store(s, t, WANT_KICK, 1);
        }
        *pc = SAY_ASLEEP;
        return true;
    case SAY_ASLEEP:
        store(s, t, ASLEEP, 1);
        *pc = SERVICE_FENCE;
        return true;
    case SERVICE_FENCE:
        if (s->n_stores[t] && variant != NO_SERVICE_FENCE) {
            return false;
        }
        *pc = variant == LOOK_BEFORE_ARMING ? WAIT : MAIL_AGAIN;
        return true;
    case MAIL_AGAIN:
        *pc = load(s, t, HAS_MAIL) ? WOKEN : LOOK_AGAIN;
        return true;
    case LOOK_AGAIN:
        *pc = (s->hot && load(s, t, AVAIL) != s->used ? WOKEN
               : variant == LOOK_BEFORE_ARMING ? ARM : WAIT);
        return true;
    case WAIT:
        s->hot = 0;
        if (!s->source_event && !s->wake_event) {
            return false;
        }
        s->wake_event = 0;
        if (s->source_event) {
            s->source_event = 0;
            s->hot = 1;
        }
        *pc = WOKEN;
        return true;
    case WOKEN:
        if (s->hot) {
            store(s, t, WANT_KICK, 0);
        }
        *pc = SAY_AWAKE;
        return true;
    case SAY_AWAKE:
        store(s, t, ASLEEP, 0);
        *pc = POLL;
        return true;
    }
    OVS_NOT_REACHED();
}

static bool
driver_step(struct state *s, enum variant variant)
{
    enum { MAKE_AVAILABLE, FENCE, LOOK };
    const enum thread t = DRIVER;
    uint8_t *pc = &s->pc[t];

    switch (*pc) {
    case MAKE_AVAILABLE:
        if (s->sent == N_PACKETS) {
            return false;
        }
        store(s, t, AVAIL, ++s->sent);
        *pc = FENCE;
        return true;
    case FENCE:
        if (s->n_stores[t] && variant != NO_DRIVER_FENCE) {
            return false;
        }
        *pc = LOOK;
        return true;
    case LOOK:
        if (load(s, t, WANT_KICK)) {
            s->source_event = 1;
        }
        *pc = MAKE_AVAILABLE;
        return true;
    }
    OVS_NOT_REACHED();
}

static bool
mailer_step(struct state *s, enum variant variant)
{
    enum { PUT, ANNOUNCE, FENCE, LOOK };
    const enum thread t = MAILER;
    uint8_t *pc = &s->pc[t];

    switch (*pc) {
    case PUT:
        if (s->mailed == N_MAILS || s->locked) {
            return false;
        }
        s->mailbox = ++s->mailed;
        *pc = ANNOUNCE;
        return true;
    case ANNOUNCE:
        store(s, t, HAS_MAIL, 1);
        *pc = FENCE;
        return true;
    case FENCE:
        if (s->n_stores[t] && variant != NO_MAILER_FENCE) {
            return false;
        }
        *pc = LOOK;
        return true;
    case LOOK:
        if (load(s, t, ASLEEP)) {
            s->wake_event = 1;
        }
        *pc = PUT;
        return true;
    }
    OVS_NOT_REACHED();
}

/* --- The search ---------------------------------------------------------- */

static struct state *states;    /* Those seen; those up to 'n_done' have been
                                 * followed. */
static size_t n_states, n_done, allocated;
static uint32_t *table;         /* Of index into 'states' plus 1. */
static size_t table_size;

static void
table_insert(uint32_t index)
{
    size_t i = hash_bytes(&states[index], sizeof *states, 0);

    for (i &= table_size - 1; table[i]; i = (i + 1) & (table_size - 1)) {
        continue;
    }
    table[i] = index + 1;
}

static void
add_state(const struct state *s)
{
    size_t i = hash_bytes(s, sizeof *s, 0);

    for (i &= table_size - 1; table[i]; i = (i + 1) & (table_size - 1)) {
        if (!memcmp(&states[table[i] - 1], s, sizeof *s)) {
            return;
        }
    }
    if (n_states >= allocated) {
        states = x2nrealloc(states, &allocated, sizeof *states);
    }
    states[n_states++] = *s;
    if (2 * n_states > table_size) {
        table_size *= 2;
        free(table);
        table = xcalloc(table_size, sizeof *table);
        for (size_t j = 0; j < n_states; j++) {
            table_insert(j);
        }
    } else {
        table[i] = n_states;
    }
}

/* Adds all that can follow 's'.  Returns false if nothing can. */
static bool
follow(const struct state *s, enum variant variant)
{
    static bool (*const programs[])(struct state *, enum variant) = {
        [SERVICE] = service_step,
        [DRIVER] = driver_step,
        [MAILER] = mailer_step,
    };
    bool any = false;

    for (int t = 0; t < N_THREADS; t++) {
        struct state next = *s;

        if (s->n_stores[t] == MAX_STORES) {
            /* It waits until one of them has left. */
        } else if (programs[t](&next, variant)) {
            add_state(&next);
            any = true;
        } else if (memcmp(&next, s, sizeof next)) {
            add_state(&next);   /* It sleeps. */
            any = true;
        }
        for (int i = 0; i < s->n_stores[t]; i++) {
            next = *s;
            if (drain(&next, t, i)) {
                add_state(&next);
                any = true;
            }
        }
    }
    return any;
}

/* Returns true if 'variant' can lose a wake-up. */
static bool
loses_wakeup(enum variant variant)
{
    struct state start = { .hot = 1 };
    bool lost = false;

    n_states = n_done = 0;
    table_size = 1024;
    table = xcalloc(table_size, sizeof *table);
    add_state(&start);
    while (n_done < n_states) {
        struct state s = states[n_done++];

        if (!follow(&s, variant)
            && (s.used != N_PACKETS || s.read != N_MAILS)) {
            lost = true;
            break;
        }
    }
    free(table);
    return lost;
}

int
main(void)
{
    static const char *const names[N_VARIANTS] = {
        [CORRECT] = "the protocol",
        [NO_SERVICE_FENCE] = "without the service thread's fence",
        [NO_DRIVER_FENCE] = "without the driver's fence",
        [NO_MAILER_FENCE] = "without the mail sender's fence",
        [LOOK_BEFORE_ARMING] = "looking before arming",
    };
    int status = 0;

    for (enum variant v = 0; v < N_VARIANTS; v++) {
        bool lost = loses_wakeup(v);

        printf("%s: %"PRIuSIZE" states, %s\n", names[v], n_states,
               lost ? "loses a wake-up" : "loses no wake-up");
        if (lost != (v != CORRECT)) {
            status = 1;
        }
    }
    free(states);
    return status;
}
