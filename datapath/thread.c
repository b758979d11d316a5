/* Threads' contexts: see struct dp_thread.
 *
 * Service threads get theirs from the pool's start function; libofproto's
 * threads (packet-outs on the main thread, handlers, revalidators) when they
 * first run actions. */
#include <config.h>
#include "datapath/private.h"

#include <errno.h>
#include <sys/mman.h>

#include "datapath/kernel/kernel.h"
#include "dp-packet.h"
#include "openvswitch/vlog.h"
#include "ovs-thread.h"
#include "timeval.h"
#include "util.h"

static struct ovs_mutex threads_mutex = OVS_MUTEX_INITIALIZER;
static struct ovs_list threads = OVS_LIST_INITIALIZER(&threads);

/* What threads that ended had counted. */
static struct port_counters *retired_counters;
static struct cache_counters retired_cache;

static ovsthread_key_t thread_key;

static void *
reserve_counters(void)
{
    /* Address space; a page comes with the first packet of a port on it. */
    size_t size = DP_MAX_PORTS * sizeof(struct port_counters);
    void *p = mmap(NULL, size, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED) {
        ovs_abort(errno, "cannot reserve address space for counters");
    }
    return p;
}

void
dp_thread_enable_fast_path(struct dp_thread *thread)
{
    if (!thread->cache) {
        thread->cache = xzalloc_cacheline(sizeof *thread->cache);
        thread->stand_ins = xzalloc_cacheline(VHOST_BATCH
                                              * sizeof *thread->stand_ins);
    }
}

struct dp_thread *
dp_thread_create(bool service)
{
    struct dp_thread *thread = xzalloc_cacheline(sizeof *thread);

    thread->service = service;
    pthread_getcpuclockid(pthread_self(), &thread->cpu_clock);
    atomic_init(&thread->beat, time_msec());
    thread->output_slot = xzalloc(DP_MAX_PORTS);
    thread->clones = xmalloc_cacheline(DP_MAX_CLONES
                                       * sizeof *thread->clones);
    thread->views = xmalloc_cacheline(DP_MAX_VIEWS * sizeof *thread->views);
    thread->merged = xmalloc_cacheline(DP_MAX_MERGED
                                       * sizeof *thread->merged);
    thread->counters = reserve_counters();
    thread->drops = drop_ring_create();
    thread->stats = megaflow_stats_create();
    if (service) {
        dp_thread_enable_fast_path(thread);
    }
    thread->now = time_msec();

    ovs_mutex_lock(&threads_mutex);
    ovs_list_push_back(&threads, &thread->node);
    ovs_mutex_unlock(&threads_mutex);
    return thread;
}

static void
counters_add(struct port_counters *sum, const struct port_counters *c)
{
    /* All members are counters of one type. */
    atomic_uint64_t *s = (atomic_uint64_t *) sum;
    const atomic_uint64_t *x = (const atomic_uint64_t *) c;

    for (size_t i = 0; i < sizeof *sum / sizeof *s; i++) {
        counter_add(&s[i], atomic_load_explicit(&x[i], memory_order_relaxed));
    }
}

static void
cache_counters_add(struct cache_counters *sum, const struct cache_counters *c)
{
    atomic_uint64_t *s = (atomic_uint64_t *) sum;
    const atomic_uint64_t *x = (const atomic_uint64_t *) c;

    for (size_t i = 0; i < sizeof *sum / sizeof *s; i++) {
        counter_add(&s[i], atomic_load_explicit(&x[i], memory_order_relaxed));
    }
}

void
dp_thread_destroy(struct dp_thread *thread)
{
    ovs_mutex_lock(&threads_mutex);
    ovs_list_remove(&thread->node);
    for (unsigned int i = 0; i < port_index_end(); i++) {
        counters_add(&retired_counters[i], &thread->counters[i]);
    }
    cache_counters_add(&retired_cache, &thread->cache_counters);
    ovs_mutex_unlock(&threads_mutex);

    munmap(thread->counters, DP_MAX_PORTS * sizeof *thread->counters);
    free_cacheline(thread->cache);
    free_cacheline(thread->stand_ins);
    megaflow_stats_destroy(thread->stats);
    drop_ring_destroy(thread->drops);
    free(thread->output_slot);
    free_cacheline(thread->clones);
    free_cacheline(thread->views);
    free_cacheline(thread->merged);
    free_cacheline(thread);
}

static void
thread_exits(void *thread)
{
    dp_thread_destroy(thread);
}

void
dp_threads_init(void)
{
    retired_counters = reserve_counters();
    ovsthread_key_create(&thread_key, thread_exits);
}

struct dp_thread *
dp_thread_get(void)
{
    struct dp_thread *thread = ovsthread_getspecific(thread_key);

    if (!thread) {
        thread = dp_thread_create(false);
        ovsthread_setspecific(thread_key, thread);
    }
    thread->now = time_msec();
    return thread;
}

void
dp_thread_set(struct dp_thread *thread)
{
    ovsthread_setspecific(thread_key, thread);
}

void
dp_thread_for_each(void (*cb)(struct dp_thread *, void *aux), void *aux)
{
    struct dp_thread *thread;

    ovs_mutex_lock(&threads_mutex);
    LIST_FOR_EACH (thread, node, &threads) {
        cb(thread, aux);
    }
    ovs_mutex_unlock(&threads_mutex);
}

void
port_get_counters(const struct port *port, struct port_counters *sum)
{
    struct dp_thread *thread;

    memset(sum, 0, sizeof *sum);
    ovs_mutex_lock(&threads_mutex);
    counters_add(sum, &retired_counters[port->index]);
    LIST_FOR_EACH (thread, node, &threads) {
        counters_add(sum, &thread->counters[port->index]);
    }
    ovs_mutex_unlock(&threads_mutex);
    kernel_port_add_counters(port, sum);
}

void
dp_threads_get_cache_counters(struct cache_counters *sum)
{
    struct dp_thread *thread;

    memset(sum, 0, sizeof *sum);
    ovs_mutex_lock(&threads_mutex);
    cache_counters_add(sum, &retired_cache);
    LIST_FOR_EACH (thread, node, &threads) {
        cache_counters_add(sum, &thread->cache_counters);
    }
    ovs_mutex_unlock(&threads_mutex);
}

void
port_reset_counters(unsigned int index)
{
    struct dp_thread *thread;

    ovs_mutex_lock(&threads_mutex);
    memset(&retired_counters[index], 0, sizeof retired_counters[index]);
    LIST_FOR_EACH (thread, node, &threads) {
        memset(&thread->counters[index], 0, sizeof thread->counters[index]);
    }
    ovs_mutex_unlock(&threads_mutex);
}
