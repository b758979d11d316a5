/* Network devices of type "system": libopenvswitch's class for kernel devices
 * with two changes.
 *
 * They have options, which say how the datapath gets at their frames.  When
 * they change while a port is open by the old ones, set_config() fails: then
 * the interface is closed and opened anew, with a new netdev.
 *
 * The other change keeps libopenvswitch from asking the kernel about every
 * device each time that one changes.  Whenever any port changes,
 * libofproto asks all of them for their flags, and libopenvswitch's class
 * passes each question on to the kernel: with 5,000 ports some 50 ms for each
 * port that is added.  The kernel tells of changes by itself, and the class
 * keeps what it was told last, so the class that is registered here answers
 * from that.
 *
 * Likewise, a round through the statistics of all ports asks the kernel once:
 * see link-stats.c.
 *
 * Likewise, whenever a route, a link or an address changes, libopenvswitch
 * reads the routes anew, and for that all links and addresses.  It may do so
 * for a tenth of the time, no more: with few devices at once, with 5,000 (some
 * 15 ms) a few times a second. */
#include <config.h>
#include "datapath/netdev-system.h"

#include <errno.h>
#include <net/if.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "datapath/kernel/kernel.h"
#include "datapath/link-stats.h"
#include "datapath/port-qos.h"
#include "netdev-linux-private.h"
#include "netdev-provider.h"
#include "netnsid.h"
#include "openvswitch/poll-loop.h"
#include "packets.h"
#include "route-table.h"
#include "smap.h"
#include "timeval.h"
#include "util.h"

/* Implements netdev_class.update_flags() for kernel devices. */
int
netdev_system_update_flags(struct netdev *netdev_, enum netdev_flags off,
                           enum netdev_flags on,
                           enum netdev_flags *old_flagsp)
{
    struct netdev_linux *netdev
        = CONTAINER_OF(netdev_, struct netdev_linux, up);
    unsigned int flags;
    bool known;

    ovs_mutex_lock(&netdev->mutex);
    flags = netdev->ifi_flags;
    /* The first question about a device goes to the kernel and brings all
     * that there is to know.  tnl_port_map_run() counts on that: a device
     * whose address it learned only after its flags has changed by that, and
     * with two such devices it never ends. */
    known = (netdev->netnsid == NETNSID_LOCAL && flags
             && !eth_addr_is_zero(netdev->etheraddr));
    ovs_mutex_unlock(&netdev->mutex);

    if (on || off || !known) {
        return netdev_linux_class.update_flags(netdev_, off, on, old_flagsp);
    }
    *old_flagsp = ((flags & IFF_UP ? NETDEV_UP : 0)
                   | (flags & IFF_PROMISC ? NETDEV_PROMISC : 0)
                   | (flags & IFF_LOOPBACK ? NETDEV_LOOPBACK : 0));
    return 0;
}

/* Implements netdev_class.get_stats() for kernel devices. */
int
netdev_system_get_stats(const struct netdev *netdev,
                        struct netdev_stats *stats)
{
    int ifindex = netdev_get_ifindex(netdev);

    return (ifindex > 0 && link_stats_get(ifindex, stats)
            ? 0 : netdev_linux_class.get_stats(netdev, stats));
}

/* --- Options ------------------------------------------------------------- */

struct netdev_system {
    struct netdev_linux up;

    /* Protected by up.mutex. */
    struct system_options options;
    bool opened;                /* A port has been opened by the options. */
    char *xdp_status;           /* For Interface.status, or NULL. */
};

static struct netdev_class netdev_system_class;

static struct netdev_system *
netdev_system_cast(const struct netdev *netdev)
{
    return CONTAINER_OF(netdev, struct netdev_system, up.up);
}

static const char *const xdp_mode_names[] = {
    [XDP_MODE_OFF] = "off",
    [XDP_MODE_BEST_EFFORT] = "best-effort",
    [XDP_MODE_ZEROCOPY] = "native-with-zerocopy",
    [XDP_MODE_NATIVE] = "native",
    [XDP_MODE_GENERIC] = "generic",
};

const char *
xdp_mode_name(enum xdp_mode mode)
{
    return xdp_mode_names[mode];
}

struct system_options
netdev_system_get_options(const struct netdev *netdev_)
{
    if (netdev_get_class(netdev_) != &netdev_system_class) {
        return (struct system_options) { .n_rxq = 1 };
    }

    struct netdev_system *netdev = netdev_system_cast(netdev_);
    ovs_mutex_lock(&netdev->up.mutex);
    struct system_options options = netdev->options;
    netdev->opened = true;
    ovs_mutex_unlock(&netdev->up.mutex);
    return options;
}

void
netdev_system_set_xdp_status(struct netdev *netdev_, const char *format, ...)
{
    struct netdev_system *netdev = netdev_system_cast(netdev_);
    va_list args;

    va_start(args, format);
    ovs_mutex_lock(&netdev->up.mutex);
    free(netdev->xdp_status);
    netdev->xdp_status = xvasprintf(format, args);
    ovs_mutex_unlock(&netdev->up.mutex);
    va_end(args);
    netdev_change_seq_changed(netdev_);
}

static bool
parse_xdp_mode(const char *name, enum xdp_mode *mode)
{
    for (size_t i = 0; i < ARRAY_SIZE(xdp_mode_names); i++) {
        if (!strcmp(name, xdp_mode_names[i])) {
            *mode = i;
            return true;
        }
    }
    return false;
}

/* Sets the option 'node' in 'options'.  Returns 0, possibly with a message in
 * '*errp' that it was ignored, or EINVAL and why. */
static int
parse_option(const char *name, const struct smap_node *node,
             struct system_options *options, char **errp)
{
    if (!strcmp(node->key, "xdp")) {
        if (!parse_xdp_mode(node->value, &options->xdp)) {
            *errp = xasprintf("%s: options:xdp=%s is none of off, "
                              "best-effort, native-with-zerocopy, native and "
                              "generic", name, node->value);
            return EINVAL;
        }
    } else if (!strcmp(node->key, "n_rxq")) {
        if (!str_to_uint(node->value, 10, &options->n_rxq)
            || options->n_rxq < 1 || options->n_rxq > SYSTEM_MAX_RXQ) {
            *errp = xasprintf("%s: options:n_rxq=%s is not between 1 and %d",
                              name, node->value, SYSTEM_MAX_RXQ);
            return EINVAL;
        }
    } else {
        *errp = xasprintf("%s: a system interface has no options:%s",
                          name, node->key);
    }
    return 0;
}

static int
system_set_config(struct netdev *netdev_, const struct smap *args,
                  char **errp)
{
    struct netdev_system *netdev = netdev_system_cast(netdev_);
    struct system_options options = { .n_rxq = 1 };
    const struct smap_node *node;
    int error = 0;

    SMAP_FOR_EACH (node, args) {
        char *message = NULL;

        error = parse_option(netdev_get_name(netdev_), node, &options,
                             &message);
        if (message) {
            free(*errp);
            *errp = message;
        }
        if (error) {
            return error;
        }
    }
    ovs_mutex_lock(&netdev->up.mutex);
    if (netdev->opened && (options.xdp != netdev->options.xdp
                           || options.n_rxq != netdev->options.n_rxq)) {
        error = EBUSY;
    } else {
        netdev->options = options;
    }
    ovs_mutex_unlock(&netdev->up.mutex);
    return error;
}

static int
system_get_config(const struct netdev *netdev_, struct smap *args)
{
    struct netdev_system *netdev = netdev_system_cast(netdev_);

    ovs_mutex_lock(&netdev->up.mutex);
    if (netdev->options.xdp != XDP_MODE_OFF) {
        smap_add(args, "xdp", xdp_mode_name(netdev->options.xdp));
    }
    if (netdev->options.n_rxq > 1) {
        smap_add_format(args, "n_rxq", "%u", netdev->options.n_rxq);
    }
    ovs_mutex_unlock(&netdev->up.mutex);
    return 0;
}

/* Implements netdev_class.get_status() for kernel devices. */
int
netdev_system_get_status(const struct netdev *netdev, struct smap *status)
{
    int error = netdev_linux_class.get_status(netdev, status);

    kernel_device_get_status(netdev_get_name(netdev),
                             netdev_get_ifindex(netdev), status);
    return error;
}

static int
system_get_status(const struct netdev *netdev_, struct smap *map)
{
    struct netdev_system *netdev = netdev_system_cast(netdev_);
    int error = netdev_system_get_status(netdev_, map);

    ovs_mutex_lock(&netdev->up.mutex);
    if (netdev->xdp_status) {
        smap_add(map, "xdp", netdev->xdp_status);
    }
    if (netdev->options.n_rxq > 1) {
        smap_replace(map, "kernel_engine", "off: options:n_rxq");
    }
    ovs_mutex_unlock(&netdev->up.mutex);
    return error;
}

static struct netdev *
system_alloc(void)
{
    struct netdev_system *netdev = xzalloc(sizeof *netdev);

    netdev->options.n_rxq = 1;
    return &netdev->up.up;
}

static void
system_dealloc(struct netdev *netdev_)
{
    struct netdev_system *netdev = netdev_system_cast(netdev_);

    free(netdev->xdp_status);
    free(netdev);
}

/* Registers the class in place of libopenvswitch's, with the function
 * given. */
void
netdev_system_register(
    int (*get_custom_stats)(const struct netdev *,
                            struct netdev_custom_stats *))
{
    struct netdev_class *class = &netdev_system_class;
    int error;

    netdev_unregister_provider("system");
    *class = netdev_linux_class;
    class->alloc = system_alloc;
    class->dealloc = system_dealloc;
    class->set_config = system_set_config;
    class->get_config = system_get_config;
    class->get_status = system_get_status;
    class->get_stats = netdev_system_get_stats;
    class->get_custom_stats = get_custom_stats;
    class->update_flags = netdev_system_update_flags;
    port_qos_init_class(class, false);
    error = netdev_register_provider(class);
    ovs_assert(!error);
}

/* --- Routes -------------------------------------------------------------- */

void __real_route_table_run(void);
void __real_route_table_wait(void);
void __wrap_route_table_run(void);
void __wrap_route_table_wait(void);

/* Reading routes may take one of so many parts of the time. */
#define ROUTES_SHARE 10

static long long int next_routes_usec = LLONG_MIN;

/* Stands in for libopenvswitch's route_table_run().  Main thread. */
void
__wrap_route_table_run(void)
{
    long long int start = time_usec();
    long long int elapsed;

    if (start < next_routes_usec) {
        return;
    }
    __real_route_table_run();
    elapsed = time_usec() - start;
    if (elapsed > 1000) {
        next_routes_usec = start + elapsed * ROUTES_SHARE;
    }
}

/* Stands in for libopenvswitch's route_table_wait(). */
void
__wrap_route_table_wait(void)
{
    if (time_usec() < next_routes_usec) {
        poll_timer_wait((next_routes_usec - time_usec()) / 1000 + 1);
    } else {
        __real_route_table_wait();
    }
}
