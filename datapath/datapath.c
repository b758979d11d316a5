/* Start and stop of the datapath, its service threads, and its unixctl
 * commands: see datapath.h. */
#include <config.h>
#include "datapath/datapath.h"

#include <errno.h>
#include <malloc.h>

#include "datapath/device-work.h"
#include "datapath/kernel/kernel.h"
#include "datapath/link-stats.h"
#include "datapath/netdev-system.h"
#include "datapath/netdev-tap.h"
#include "coverage.h"
#include "datapath/private.h"
#include "dirs.h"
#include "dp-packet.h"
#include "netdev-provider.h"
#include "openvswitch/vlog.h"
#include "ovs-thread.h"
#include "timeval.h"
#include "util.h"

VLOG_DEFINE_THIS_MODULE(datapath);

/* Free memory that each of malloc()'s arenas keeps, in bytes. */
#define HEAP_SLACK (4 * 1024 * 1024)

static struct vhost_pool *pool;
static char *state_dir;
static bool exiting;

/* --- Service threads --------------------------------------------------------*/

static void *
service_start_cb(struct vhost_thread *vhost_thread)
{
    struct dp_thread *thread = dp_thread_create(true);

    thread->vhost = vhost_thread;
    thread->index = vhost_thread_index(vhost_thread);
    dp_thread_set(thread);
    return thread;
}

static void
service_stop_cb(struct vhost_thread *vhost_thread OVS_UNUSED, void *thread)
{
    dp_thread_set(NULL);
    dp_thread_destroy(thread);
}

static void
service_housekeeping_cb(struct vhost_thread *vhost_thread OVS_UNUSED,
                        void *thread_, bool sleeping)
{
    struct dp_thread *thread = thread_;

    thread->now = time_msec();
    atomic_store_explicit(&thread->beat, thread->now, memory_order_relaxed);
    atomic_store_explicit(&thread->asleep, sleeping, memory_order_relaxed);
    coverage_try_clear();
}

struct dp_thread *
dp_thread_from_vhost(const struct vhost_thread *thread)
{
    return vhost_thread_aux(thread);
}

struct vhost_pool *
datapath_pool(void)
{
    return pool;
}

const char *
datapath_state_dir(void)
{
    return state_dir;
}

/* Turns an OVS CPU mask ("0x6", low bit CPU 0) into a CPU list ("1,2") that
 * the caller must free.  Returns the number of CPUs, 0 if 'mask' is none. */
static unsigned int
cpu_mask_to_list(const char *mask, char **list)
{
    struct ds ds = DS_EMPTY_INITIALIZER;
    unsigned int n = 0;

    if (!strncasecmp(mask, "0x", 2)) {
        mask += 2;
    }
    size_t len = strlen(mask);
    for (size_t i = 0; i < len; i++) {
        bool ok;
        int digit = hexits_value(&mask[len - 1 - i], 1, &ok);

        if (!ok) {
            n = 0;
            break;
        }
        for (int bit = 0; bit < 4; bit++) {
            if (digit & 1 << bit) {
                ds_put_format(&ds, "%s%"PRIuSIZE, n++ ? "," : "",
                              i * 4 + bit);
            }
        }
    }
    *list = ds_steal_cstr(&ds);
    return n;
}

void
datapath_set_threads(const char *cpu_mask, unsigned int n_threads)
{
    char *cpus = NULL, *err = NULL;
    unsigned int n_cpus = cpu_mask ? cpu_mask_to_list(cpu_mask, &cpus) : 0;

    if (cpu_mask && !n_cpus) {
        VLOG_WARN("pmd-cpu-mask \"%s\" names no CPU: service threads may use "
                  "all", cpu_mask);
    }
    if (!n_threads) {
        n_threads = n_cpus ? n_cpus : 1;
    }
    if (vhost_pool_set_threads(pool, n_threads, n_cpus ? cpus : NULL, &err)) {
        VLOG_WARN("cannot set %u service threads on CPUs %s: %s", n_threads,
                  n_cpus ? cpus : "(all)", err);
        free(err);
    }
    free(cpus);
}

/* Implements netdev_class.get_custom_stats() for kernel devices. */
static int
get_drops(const struct netdev *netdev, struct netdev_custom_stats *stats)
{
    const struct port *port = datapath_find_port(netdev_get_name(netdev));
    struct port_counters counters = { .rx_packets = 0 };

    if (port) {
        port_get_counters(port, &counters);
    }
    drops_to_custom_stats(&counters, stats);
    return 0;
}

void
datapath_register(void)
{
    netdev_vhost_register();
    netdev_system_register(get_drops);
    netdev_tap_register(get_drops);
}

void
datapath_init(const char *rundir, const char *dummy)
{
    const struct vhost_pool_config config = {
        .n_threads = 1,
        .name = "service",
        .start = service_start_cb,
        .stop = service_stop_cb,
        .housekeeping = service_housekeeping_cb,
    };
    char *err;

    /* GSO packets on the generic path need buffers of 64 KiB: don't return
     * each to the kernel, to be zeroed and mapped again for the next. */
    mallopt(M_TRIM_THRESHOLD, HEAP_SLACK);
    mallopt(M_MMAP_THRESHOLD, HEAP_SLACK);

    state_dir = xasprintf("%s/vhost-state", rundir);
    dp_threads_init();
    kernel_engine_init(rundir);
    vhost_init();
    if (vhost_pool_create(&config, &pool, &err)) {
        VLOG_FATAL("cannot start service threads: %s", err);
    }
    dpif_provider_register(dummy);
    datapath_unixctl_init();
}

void
datapath_prepare_exit(void)
{
    exiting = true;
}

bool
datapath_is_exiting(void)
{
    return exiting;
}

void
datapath_exit(void)
{
    vhost_pool_destroy(pool);
    vhost_exit();
    device_work_wait(NULL);
    kernel_engine_exit();
    free(state_dir);
}

void
datapath_prepare_stats(void)
{
    link_stats_read();
}
