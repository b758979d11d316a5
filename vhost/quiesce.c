/* Quiescence of guest memory.
 *
 * A guest's memory is unmapped, and tables that describe it are freed, while
 * other threads forward packets.  Those threads say when they hold nothing of
 * it, and vhost_synchronize() waits until each has said so once.
 *
 * There is one global epoch, and each thread has a record with the epoch that
 * it last saw while it held no view, or OFFLINE.  To replace something:
 *
 *     1. make it unreachable (store the new pointer);
 *     2. vhost_synchronize(): advance the epoch, then wait until each thread's
 *        record is OFFLINE or has reached the new epoch;
 *     3. unmap or free it.
 *
 * A thread that is seen with the new epoch has read it (acquire) after step 1
 * made its stores, so it can only find the new pointer; its own uses of the
 * old one came before its store (release).  For a thread that is seen OFFLINE,
 * the full fences of vhost_online() and of vhost_synchronize() decide: either
 * we see that it came online, or it sees the new pointer.
 *
 * This is what ovs-rcu does, but apart from it: an OVS thread may keep an
 * RCU section open for as long as a slow path takes, and a front-end that
 * waits for its answer to VHOST_USER_REM_MEM_REG must not wait for that.
 * To say so between two polls costs a load and a compare. */
#include <config.h>
#include "vhost/vhost.h"

#include <pthread.h>
#include <time.h>

#include "openvswitch/list.h"
#include "ovs-atomic.h"
#include "ovs-thread.h"
#include "util.h"
#include "vhost/cycles.h"

#define OFFLINE UINT64_C(0)

struct record {
    struct ovs_list node;           /* In 'records', under 'mutex'. */
    atomic_uint64_t epoch;          /* Last seen, or OFFLINE.  Written by the
                                     * thread that it belongs to. */
} __attribute__((aligned(64)));

static atomic_uint64_t epoch = 1;
static struct ovs_mutex mutex = OVS_MUTEX_INITIALIZER;
static struct ovs_list records OVS_GUARDED_BY(mutex)
    = OVS_LIST_INITIALIZER(&records);

static __thread struct record *self;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_key_t key;           /* Only for its destructor. */

static void
record_destroy(void *record_)
{
    struct record *record = record_;

    ovs_mutex_lock(&mutex);
    ovs_list_remove(&record->node);
    ovs_mutex_unlock(&mutex);
    free_cacheline(record);
}

static void
key_create(void)
{
    xpthread_key_create(&key, record_destroy);
}

static void
record_create(void)
{
    pthread_once(&once, key_create);
    self = xzalloc_cacheline(sizeof *self);
    atomic_init(&self->epoch, OFFLINE);
    ovs_mutex_lock(&mutex);
    ovs_list_push_back(&records, &self->node);
    ovs_mutex_unlock(&mutex);
    xpthread_setspecific(key, self);
}

void
vhost_online(void)
{
    uint64_t now;

    if (OVS_UNLIKELY(!self)) {
        record_create();
    }
    atomic_read_relaxed(&epoch, &now);
    atomic_store_relaxed(&self->epoch, now);
    atomic_thread_fence(memory_order_seq_cst);
}

void
vhost_offline(void)
{
    atomic_store_explicit(&self->epoch, OFFLINE, memory_order_release);
}

void
vhost_quiesce(void)
{
    uint64_t now, seen;

    atomic_read_explicit(&epoch, &now, memory_order_acquire);
    atomic_read_relaxed(&self->epoch, &seen);
    if (OVS_UNLIKELY(now != seen)) {
        atomic_store_explicit(&self->epoch, now, memory_order_release);
    }
}

/* Returns true once no thread is online that has not seen 'target'. */
static bool
all_reached(uint64_t target)
    OVS_REQUIRES(mutex)
{
    struct record *record;

    LIST_FOR_EACH (record, node, &records) {
        uint64_t seen;

        atomic_read_explicit(&record->epoch, &seen, memory_order_acquire);
        if (seen != OFFLINE && seen < target) {
            return false;
        }
    }
    return true;
}

void
vhost_synchronize(void)
{
    uint64_t target;

    atomic_add(&epoch, 1, &target);
    target++;
    atomic_thread_fence(memory_order_seq_cst);

    /* The lock is not kept while waiting, since it is what a thread needs that
     * starts or ends.  A thread that registers meanwhile reads the new epoch
     * or comes after the fence: either way it is not ours to wait for, and
     * waiting for it once more is harmless. */
    cycles_init();
    for (uint64_t start = cycles_now();;) {
        ovs_mutex_lock(&mutex);
        bool done = all_reached(target);
        ovs_mutex_unlock(&mutex);
        if (done) {
            return;
        }
        /* A busy thread quiesces within microseconds if it runs; if it waits
         * for a CPU, it may be ours that it waits for. */
        if (cycles_now() - start < cycles_from_us(50)) {
            cycles_pause();
        } else {
            nanosleep(&(struct timespec) { .tv_nsec = 20000 }, NULL);
        }
    }
}
