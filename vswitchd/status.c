/* The state of interfaces and bridges, written to the database.
 *
 * libopenvswitch tells that something changed by one global sequence number,
 * and what changed by one per network device.  A look at all devices costs
 * some nanoseconds each.  It is taken at once while they are few, and at most
 * every SCAN_INTERVAL_MSEC while they are many, so that adding thousands of
 * ports one by one doesn't cost a look at thousands of them each time.
 * Liveness (BFD, CFM, LACP), on which controllers act, is never late: the
 * interfaces that have it are in a list of their own. */
#include <config.h>
#include "vswitchd/vswitchd.h"

#include "connectivity.h"
#include "datapath/datapath.h"
#include "netdev.h"
#include "openvswitch/poll-loop.h"
#include "packets.h"
#include "seq.h"
#include "smap.h"
#include "timeval.h"
#include "util.h"
#include "vswitchd/log.h"

#define SCAN_INTERVAL_MSEC 100
#define FEW_IFACES 256

struct ovs_list open_ifaces = OVS_LIST_INITIALIZER(&open_ifaces);
size_t n_open_ifaces;
static struct ovs_list watched_ifaces = OVS_LIST_INITIALIZER(&watched_ifaces);

static uint64_t connectivity_seqno; /* Seen. */
static bool scan_due;           /* A look at all devices is due. */
static long long int last_scan = LLONG_MIN;
static uint64_t written_seq;    /* 'write_seq' when all was written. */

static void
write_link(const struct ovsrec_interface *row, struct netdev *netdev)
{
    int64_t resets = netdev_get_carrier_resets(netdev);
    enum netdev_features current;
    enum netdev_flags flags;
    int64_t bps;

    if (!netdev_get_flags(netdev, &flags)) {
        ovsrec_interface_set_admin_state(row,
                                         flags & NETDEV_UP ? "up" : "down");
    } else {
        ovsrec_interface_set_admin_state(row, NULL);
    }
    ovsrec_interface_set_link_state(row, (netdev_get_carrier(netdev)
                                          ? "up" : "down"));
    ovsrec_interface_set_link_resets(row, &resets, 1);

    bps = (!netdev_get_features(netdev, &current, NULL, NULL, NULL)
           ? netdev_features_to_bps(current, 0) : 0);
    ovsrec_interface_set_link_speed(row, &bps, bps != 0);
    ovsrec_interface_set_duplex(row, (!bps ? NULL
                                      : netdev_features_is_full_duplex(current)
                                      ? "full" : "half"));
}

static void
write_identity(const struct ovsrec_interface *row, struct netdev *netdev)
{
    int64_t ifindex = MAX(0, netdev_get_ifindex(netdev));
    char ea_string[ETH_ADDR_STRLEN + 1];
    struct eth_addr ea;
    int64_t mtu64;
    int mtu;

    ovsrec_interface_set_ifindex(row, &ifindex, 1);
    mtu64 = netdev_get_mtu(netdev, &mtu) ? -1 : mtu;
    ovsrec_interface_set_mtu(row, &mtu64, mtu64 >= 0);
    if (!netdev_get_etheraddr(netdev, &ea)) {
        snprintf(ea_string, sizeof ea_string,
                 ETH_ADDR_FMT, ETH_ADDR_ARGS(ea));
        ovsrec_interface_set_mac_in_use(row, ea_string);
    } else {
        ovsrec_interface_set_mac_in_use(row, NULL);
    }
}

/* Writes the state of open interface 'iface' to the database. */
void
iface_refresh_status(struct iface *iface)
{
    const struct ovsrec_interface *row = iface_row(iface);
    struct smap smap = SMAP_INITIALIZER(&smap);

    iface->change_seq = netdev_get_change_seq(iface->netdev);
    if (iface_is_synthetic(iface)) {
        return;
    }
    if (netdev_get_status(iface->netdev, &smap)) {
        smap_clear(&smap);
    }
    datapath_get_tunnel_status(iface->netdev, &smap);
    iface_get_softmac_status(iface, &smap);
    ovsrec_interface_set_status(row, smap_is_empty(&smap) ? NULL : &smap);
    smap_destroy(&smap);
    write_link(row, iface->netdev);
    write_identity(row, iface->netdev);
}

/* Writes to 'row', whose interface is not open for reason 'error', that there
 * is nothing to tell about it. */
void
iface_clear_status(const struct ovsrec_interface *row, const char *error)
{
    ovsrec_interface_set_error(row, error);
    ovsrec_interface_set_status(row, NULL);
    ovsrec_interface_set_admin_state(row, NULL);
    ovsrec_interface_set_duplex(row, NULL);
    ovsrec_interface_set_link_speed(row, NULL, 0);
    ovsrec_interface_set_link_state(row, NULL);
    ovsrec_interface_set_mac_in_use(row, NULL);
    ovsrec_interface_set_mtu(row, NULL, 0);
    ovsrec_interface_set_cfm_fault(row, NULL, 0);
    ovsrec_interface_set_cfm_fault_status(row, NULL, 0);
    ovsrec_interface_set_cfm_remote_mpids(row, NULL, 0);
    ovsrec_interface_set_bfd_status(row, NULL);
    ovsrec_interface_set_lacp_current(row, NULL, 0);
    ovsrec_interface_set_statistics(row, NULL, NULL, 0);
    ovsrec_interface_set_ifindex(row, NULL, 0);
}

/* 'iface' was opened: writes its state and keeps it up to date. */
void
iface_opened(struct iface *iface)
{
    ovs_list_push_back(&open_ifaces, &iface->open_node);
    n_open_ifaces++;
    iface_refresh_status(iface);
    iface_refresh_stats(iface);
    iface_peer_changed(iface);
}

/* 'iface' is about to be closed. */
void
iface_closed(struct iface *iface)
{
    ovs_list_remove(&iface->open_node);
    n_open_ifaces--;
    iface_watch(iface, false);
    iface_peer_changed(iface);
}

/* Keeps the liveness of 'iface' up to date if 'watch'. */
void
iface_watch(struct iface *iface, bool watch)
{
    if (watch != ovs_list_is_empty(&iface->watch_node)) {
        return;
    } else if (watch) {
        ovs_list_push_back(&watched_ifaces, &iface->watch_node);
        iface->port->bridge->n_watched++;
    } else {
        ovs_list_remove(&iface->watch_node);
        ovs_list_init(&iface->watch_node);
        iface->port->bridge->n_watched--;
    }
}

static void
refresh_watched(bool force)
{
    struct bridge *br;
    struct iface *iface;

    LIST_FOR_EACH (iface, watch_node, &watched_ifaces) {
        iface_refresh_liveness(iface, force);
        if (iface == port_first_open(iface->port)) {
            port_refresh_bond(iface->port, force);
        }
    }
    BRIDGE_FOR_EACH (br) {
        if (br->spanning_tree && br->ofproto) {
            bridge_refresh_spanning_tree(br);
        }
    }
}

static void
scan_ifaces(bool force)
{
    struct iface *iface;

    LIST_FOR_EACH (iface, open_node, &open_ifaces) {
        if (force
            || iface->change_seq != netdev_get_change_seq(iface->netdev)) {
            iface_refresh_status(iface);
            iface_update_address(iface);
        }
    }
    last_scan = time_msec();
    scan_due = false;
}

/* Writes what changed to the database, in the transaction that is open. */
void
status_run(void)
{
    uint64_t seq = seq_read(connectivity_seq_get());
    bool force = written_seq != write_seq;

    if (seq != connectivity_seqno || force) {
        connectivity_seqno = seq;
        refresh_watched(force);
        scan_due = true;
    }
    if (scan_due && (force || n_open_ifaces <= FEW_IFACES
                     || time_msec() >= last_scan + SCAN_INTERVAL_MSEC)) {
        scan_ifaces(force);
        written_seq = write_seq;
    }
}

/* Wakes poll_block() up for status_run(). */
void
status_wait(void)
{
    seq_wait(connectivity_seq_get(), connectivity_seqno);
    if (scan_due) {
        poll_timer_wait_until(last_scan + SCAN_INTERVAL_MSEC);
    }
}
