/* Keeping libopenvswitch from asking the kernel about every device each time
 * that one changes.
 *
 * Whenever any port changes, libofproto asks all of them for their flags, and
 * libopenvswitch's class for kernel devices passes each question on to the
 * kernel: with 5,000 ports some 50 ms for each port that is added.  The kernel
 * tells of changes by itself, and the class keeps what it was told last, so
 * the class that is registered here answers from that.
 *
 * Likewise, whenever a route, a link or an address changes, libopenvswitch
 * reads the routes anew, and for that all links and addresses.  It may do so
 * for a tenth of the time, no more: with few devices at once, with 5,000 (some
 * 15 ms) a few times a second. */
#include <config.h>
#include "datapath/netdev-system.h"

#include <net/if.h>

#include "datapath/kernel/kernel.h"
#include "netdev-linux-private.h"
#include "netdev-provider.h"
#include "netnsid.h"
#include "openvswitch/poll-loop.h"
#include "packets.h"
#include "route-table.h"
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

/* Implements netdev_class.get_status() for kernel devices. */
int
netdev_system_get_status(const struct netdev *netdev, struct smap *status)
{
    int error = netdev_linux_class.get_status(netdev, status);

    if (!error) {
        kernel_device_get_status(netdev_get_ifindex(netdev), status);
    }
    return error;
}

/* Registers the class in place of libopenvswitch's. */
void
netdev_system_register(void)
{
    static struct netdev_class class;
    int error;

    netdev_unregister_provider("system");
    class = netdev_linux_class;
    class.update_flags = netdev_system_update_flags;
    class.get_status = netdev_system_get_status;
    error = netdev_register_provider(&class);
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
