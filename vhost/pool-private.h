/* What the files of the pool share: pool.c (threads, who owns which source),
 * hot-set.c (how a thread serves its sources), halt-poll.c (how long it waits
 * before it sleeps).
 *
 * Each source has one owner, the thread that serves it.  What a thread knows
 * about its sources belongs to that thread alone and has no lock: others ask
 * it for a change by mail, which it reads between polls.  The pool's mutex
 * guards who owns what; nobody holds it while waiting for a service thread, so
 * a service thread may take it. */
#ifndef VHOST_POOL_PRIVATE_H
#define VHOST_POOL_PRIVATE_H 1

#include <pthread.h>
#include <sched.h>

#include "openvswitch/list.h"
#include "ovs-atomic.h"
#include "ovs-thread.h"
#include "vhost/cycles.h"
#include "vhost/vhost.h"

#define HOT_MAX 32              /* Most sources that a thread polls. */
#define BUDGET_MIN 4            /* Packets per call of a poll function (of 64
                                 * KB each they take some 30 us)... */
#define BUDGET_MAX 64           /* ...as its cost allows: see POLL_US. */
#define MAX_THREADS 256

/* A statistic: written by one thread, read by any. */
typedef atomic_uint64_t counter;

static inline uint64_t
counter_get(const counter *c)
{
    uint64_t value;

    atomic_read_relaxed(CONST_CAST(counter *, c), &value);
    return value;
}

static inline void
counter_add(counter *c, uint64_t n)
{
    atomic_store_relaxed(c, counter_get(c) + n);
}

enum phase {
    MOVING,                     /* In the mail to its owner. */
    COLD,                       /* Armed; epoll tells when work arrives. */
    READY,                      /* To be polled in the next round, because of
                                 * an event, and not armed. */
    HOT,                        /* In the hot set: polled in each round. */
    DEFERRED,                   /* Not watched; to be polled at 'due'. */
};

/* A request to the thread that owns a source. */
struct mail {
    struct ovs_list node;       /* In the thread's 'mail'. */
    enum { MAIL_ADD, MAIL_REMOVE } type;
    struct vhost_source_state *state;
    bool done;                  /* MAIL_REMOVE: under the pool's mutex. */
};

struct vhost_pool {
    struct vhost_pool_config config; /* 'cpus' is not kept. */
    cpu_set_t all_cpus;         /* Where the creator might run. */

    struct ovs_mutex mutex;
    pthread_cond_t removed;     /* A MAIL_REMOVE is done. */
    struct ovs_list sources OVS_GUARDED; /* Of struct vhost_source_state. */

    /* Changed by the main thread alone, which holds 'mutex' while it does. */
    struct vhost_thread *threads[MAX_THREADS];
    unsigned int n_threads;
};

struct vhost_source_state {
    struct vhost_source *source;

    /* Under the pool's mutex. */
    struct ovs_list pool_node;  /* In the pool's 'sources'. */
    struct vhost_thread *owner;
    bool pinned;                /* Being removed: may not change its owner. */
    struct mail add;            /* Tells the owner of it. */

    /* The owner's. */
    struct ovs_list node;       /* In the list of its phase, if any. */
    enum phase phase;
    bool watched;               /* Its fd is in the owner's epoll set... */
    bool watchable;             /* ...or could be. */
    bool expect_event;          /* Watching an fd that is readable already
                                 * gives one event that means nothing. */
    bool by_event;              /* READY: because of an event that means
                                 * something. */
    uint8_t n_spurious;         /* Events in a row without work. */
    uint8_t penalty;            /* Times deferred for that. */
    unsigned int hot_index;     /* HOT: where in the hot set. */
    uint64_t hot_rounds;        /* HOT: up to this of the thread's 'n_rounds',
                                 * 'polls' counts. */
    uint64_t due;               /* DEFERRED: cycles. */
    uint64_t last_hit;          /* When work was last found, cycles. */
    uint64_t gap;               /* Mean time between hits, cycles. */
    unsigned int budget;        /* Packets per poll. */
    uint32_t n_full;            /* Polls since the last look at the load that
                                 * used up their budget... */
    uint64_t balance_hits;      /* ...'hits'... */
    uint64_t balance_busy;      /* ...and 'busy' at that time. */
    uint64_t moved;             /* When it came from another thread. */

    /* Written by the owner, read by any. */
    atomic_bool hot;
    counter polls, hits, packets, busy, migrations;
};

/* An element of the hot set: all that an empty poll touches. */
struct hot {
    unsigned int (*poll)(struct vhost_source *, struct vhost_thread *,
                         unsigned int budget);
    struct vhost_source *source;
    struct vhost_source_state *state;
    unsigned int budget;
};

/* How long to wait for work before sleeping: see halt-poll.c. */
struct halt_poll {
    uint64_t window;            /* Cycles. */
    unsigned int score;         /* 0...HALT_POLL_SCORE: how sure it is that
                                 * the next gap will be short. */
    int schedstat_fd;           /* The thread's /proc schedstat, or -1. */
    uint64_t run_delay;         /* ns spent waiting for a CPU, in all. */
    uint64_t checked;           /* When that was read, cycles. */
    uint64_t contended_until;   /* Others want our CPU: don't wait. */
    uint64_t contended_for;     /* For so long, the last time. */
};

struct vhost_thread {
    struct vhost_pool *pool;
    void *aux;                  /* What the 'start' function returned. */
    unsigned int index;

    /* The thread's own. */
    struct hot hot[HOT_MAX];
    unsigned int n_hot;
    const struct vhost_source *polling; /* Whose 'poll' runs or ran last. */
    uint64_t n_rounds;          /* Rounds over the hot set. */
    uint64_t now;               /* Cycles, as of the last poll with work or the
                                 * last round. */
    uint64_t last_hit;          /* When any source had work, cycles. */
    uint64_t next_events;       /* When to look for events next... */
    uint64_t next_tick;         /* ...to do what is done each millisecond... */
    uint64_t next_balance;      /* ...and to compare loads. */
    uint64_t balance_start;     /* When loads were last compared. */
    struct ovs_list ready;      /* Sources in phase READY, in turn. */
    struct ovs_list deferred;   /* Sources in phase DEFERRED. */
    struct halt_poll halt_poll;
    int epoll_fd;
    int wake_fd;                /* An eventfd, for mail to a sleeper. */

    /* Mail. */
    struct ovs_mutex mail_mutex;
    struct ovs_list mail OVS_GUARDED; /* Under mail_mutex. */
    atomic_bool has_mail;
    atomic_bool asleep;         /* Mail must be announced on 'wake_fd'. */
    bool stop OVS_GUARDED;      /* Asks it to end; under mail_mutex. */

    /* Set when the thread is created, or under the pool's mutex. */
    pthread_t pthread;
    char name[16];
    int tid;
    int cpu;                    /* -1: any. */
    int numa_node;              /* Of 'cpu', -1: any. */
    unsigned int n_sources;     /* Under the pool's mutex. */

    /* Written by the thread, or by who hands it a source; read by any. */
    atomic_uint32_t load;       /* What its sources want, 1/1000 thread... */
    counter load_time;          /* ...as of then, cycles. */

    /* Written by the thread, read by any. */
    atomic_uint32_t n_hot_now;
    counter polls, hits, packets, sleeps, wakeups, busy, spin, migrations;
};

/* hot-set.c */
int hot_set_init(struct vhost_thread *);
void hot_set_destroy(struct vhost_thread *);
void hot_set_run(struct vhost_thread *);
void hot_set_add(struct vhost_thread *, struct vhost_source_state *);
void hot_set_remove(struct vhost_thread *, struct vhost_source_state *);

/* halt-poll.c */
void halt_poll_init(struct halt_poll *);
void halt_poll_destroy(struct halt_poll *);
void halt_poll_gap(struct halt_poll *, uint64_t gap);
void halt_poll_check_contention(struct halt_poll *, uint64_t now);

/* pool.c */
bool pool_read_mail(struct vhost_thread *);
void pool_housekeeping(struct vhost_thread *, bool sleeping);
void pool_balance(struct vhost_thread *);

#endif /* vhost/pool-private.h */
