/* A bridge's Ethernet address and datapath ID.
 *
 * The address is what Bridge.other_config:hwaddr says; otherwise the least
 * universally administered address among its ports, so that it is stable and,
 * on a bridge with a physical port, one that the network knows; otherwise one
 * made from the UUID of the bridge's row.  The datapath ID is
 * other_config:datapath-id or made from the address.
 *
 * Guests' and virtual devices' addresses are locally administered, so that the
 * candidates are few: they are kept in bridge->physical. */
#include <config.h>
#include "vswitchd/vswitchd.h"

#include <inttypes.h>

#include "netdev.h"
#include "ofproto/ofproto.h"
#include "packets.h"
#include "smap.h"
#include "util.h"
#include "vswitchd/log.h"

/* Returns true if a bridge may take over 'ea'. */
static bool
is_eligible(const struct eth_addr ea)
{
    return (!eth_addr_is_multicast(ea) && !eth_addr_is_local(ea)
            && !eth_addr_is_reserved(ea) && !eth_addr_is_zero(ea));
}

/* Stores in '*ea' the address that 'iface' can lend: that of its device,
 * unless the database has another one for its port.  Zero if it is not
 * open. */
static void
get_lent_address(const struct iface *iface, struct eth_addr *ea)
{
    const struct ovsrec_port *row;

    *ea = eth_addr_zero;
    if (!iface->netdev || iface->ofp_port == OFPP_LOCAL) {
        return;
    }
    row = port_row(iface->port);
    if (!row || !row->mac || !eth_addr_from_string(row->mac, ea)) {
        netdev_get_etheraddr(iface->netdev, ea);
    }
}

/* Looks at the address of 'iface', which may have changed, or 'iface' was
 * opened or closed. */
void
iface_update_address(struct iface *iface)
{
    struct bridge *br = iface->port->bridge;
    bool was = !ovs_list_is_empty(&iface->physical_node);
    struct eth_addr ea;
    bool is;

    iface_update_softmac(iface);
    get_lent_address(iface, &ea);
    is = is_eligible(ea);
    if (was != is || (is && !eth_addr_equals(ea, iface->ea))) {
        bridge_mark(br, BRIDGE_ADDRESS);
    }
    iface->ea = ea;
    if (is && !was) {
        ovs_list_push_back(&br->physical, &iface->physical_node);
    } else if (was && !is) {
        ovs_list_remove(&iface->physical_node);
        ovs_list_init(&iface->physical_node);
    }
}

static bool
is_mirror_output(const struct ovsrec_bridge *row, const struct port *port)
{
    for (size_t i = 0; i < row->n_mirrors; i++) {
        const struct ovsrec_port *output = row->mirrors[i]->output_port;

        if (output && uuid_equals(&output->header_.uuid, &port->uuid)) {
            return true;
        }
    }
    return false;
}

/* Returns true if a mirror of its bridge sends to 'port'. */
bool
port_is_mirror_output(const struct port *port)
{
    const struct ovsrec_bridge *row = bridge_row(port->bridge);

    return row && is_mirror_output(row, port);
}

/* A bond goes by the address of the first of its interfaces by name, as the
 * kernel's bonds do. */
static bool
represents_port(const struct iface *iface)
{
    const struct iface *other;

    LIST_FOR_EACH (other, port_node, &iface->port->ifaces) {
        if (other->netdev && strcmp(other->name, iface->name) < 0) {
            return false;
        }
    }
    return true;
}

/* Stores in '*ea' the address for 'br', or, if 'tag' >= 0, for a fake bridge
 * on it that has VLAN 'tag', to which only ports with the same tag lend
 * theirs. */
void
bridge_pick_address(const struct bridge *br, int tag, struct eth_addr *ea)
{
    const struct ovsrec_bridge *row = bridge_row(br);
    const struct iface *iface;
    bool found = false;

    LIST_FOR_EACH (iface, physical_node, &br->physical) {
        const struct ovsrec_port *port = port_row(iface->port);

        if ((tag < 0 || (port->tag && *port->tag == tag))
            && !is_mirror_output(row, iface->port)
            && represents_port(iface)
            && (!found || eth_addr_compare_3way(iface->ea, *ea) < 0)) {
            *ea = iface->ea;
            found = true;
        }
    }
    if (!found) {
        *ea = br->default_ea;
    }
}

static bool
get_requested_address(const struct bridge *br, struct eth_addr *ea)
{
    const struct ovsrec_bridge *row = bridge_row(br);
    const char *s = smap_get_def(&row->other_config, "hwaddr", "");

    if (!eth_addr_from_string(s, ea)) {
        return false;
    } else if (eth_addr_is_multicast(*ea)) {
        VLOG_ERR("bridge %s: cannot set MAC address to multicast "
                 "address "ETH_ADDR_FMT, br->name, ETH_ADDR_ARGS(*ea));
        return false;
    } else if (eth_addr_is_zero(*ea)) {
        VLOG_ERR("bridge %s: cannot set MAC address to zero", br->name);
        return false;
    }
    return true;
}

static uint64_t
pick_datapath_id(const struct bridge *br)
{
    const struct ovsrec_bridge *row = bridge_row(br);
    const char *s = smap_get_def(&row->other_config, "datapath-id", "");
    uint64_t dpid;

    return dpid_from_string(s, &dpid) ? dpid : eth_addr_to_uint64(br->ea);
}

/* LACP and spanning tree identify the bridge by its address. */
static void
mark_address_users(struct bridge *br)
{
    struct port *port;

    LIST_FOR_EACH (port, bridge_node, &br->ports) {
        if (port_row(port)->lacp) {
            port_mark(port);
        }
    }
    bridge_mark(br, BRIDGE_SPANNING_TREE);
}

/* Sets the address of 'br' and of its local port, and its datapath ID. */
void
bridge_configure_address(struct bridge *br)
{
    struct iface *local = iface_by_ofp_port(br, OFPP_LOCAL);
    struct eth_addr ea;
    char *dpid_string;
    uint64_t dpid;

    if (!get_requested_address(br, &ea)) {
        bridge_pick_address(br, -1, &ea);
    }
    if (local) {
        int error = netdev_set_etheraddr(local->netdev, ea);

        if (error) {
            static struct vlog_rate_limit rl = VLOG_RATE_LIMIT_INIT(1, 5);

            VLOG_ERR_RL(&rl, "bridge %s: failed to set bridge Ethernet "
                        "address: %s", br->name, ovs_strerror(error));
        }
    }
    if (!eth_addr_equals(br->ea, ea)) {
        br->ea = ea;
        mark_address_users(br);
    }

    dpid = pick_datapath_id(br);
    if (dpid != ofproto_get_datapath_id(br->ofproto)) {
        VLOG_INFO("bridge %s: using datapath ID %016"PRIx64, br->name, dpid);
        ofproto_set_datapath_id(br->ofproto, dpid);
    }
    dpid_string = xasprintf("%016"PRIx64, dpid);
    ovsrec_bridge_set_datapath_id(bridge_row(br), dpid_string);
    free(dpid_string);
}
