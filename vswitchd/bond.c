/* Bonds and LACP: what the Port table says about several interfaces that act
 * as one. */
#include <config.h>
#include "vswitchd/vswitchd.h"

#include "lacp.h"
#include "netdev.h"
#include "ofproto/bond.h"
#include "ofproto/ofproto.h"
#include "openvswitch/types.h"
#include "packets.h"
#include "smap.h"
#include "util.h"
#include "vswitchd/log.h"

/* Default interval between MII checks, and least one between rebalances. */
#define MIIMON_INTERVAL_MSEC 200
#define MIN_REBALANCE_INTERVAL_MSEC 1000

static bool
get_lacp_mode(const struct port *port, const char *mode, bool *active)
{
    if (!mode || !strcmp(mode, "off")) {
        return false;
    }
    if (strcmp(mode, "active") && strcmp(mode, "passive")) {
        VLOG_WARN("port %s: unknown LACP mode %s", port->name, mode);
        return false;
    }
    *active = !strcmp(mode, "active");
    return true;
}

/* Stores in '*s' the LACP settings of 'port', whose row is 'row'.  Returns
 * false if LACP is off or can't be used. */
bool
port_get_lacp(const struct port *port, const struct ovsrec_port *row,
              struct lacp_settings *s)
{
    const struct smap *oc = &row->other_config;
    const char *system_id = smap_get(oc, "lacp-system-id");
    int priority = smap_get_int(oc, "lacp-system-priority", 0);

    if (!get_lacp_mode(port, row->lacp, &s->active)) {
        return false;
    }
    s->name = port->name;
    s->id = port->bridge->ea;
    if (system_id && !ovs_scan(system_id, ETH_ADDR_SCAN_FMT,
                               ETH_ADDR_SCAN_ARGS(s->id))) {
        VLOG_WARN("port %s: LACP system ID (%s) must be an Ethernet address.",
                  port->name, system_id);
        return false;
    }
    if (eth_addr_is_zero(s->id)) {
        VLOG_WARN("port %s: Invalid zero LACP system ID.", port->name);
        return false;
    }

    /* Partners shall prefer links that can be aggregated. */
    s->priority = (priority > 0 && priority <= UINT16_MAX
                   ? priority
                   : UINT16_MAX - port_is_bond(port));
    s->fast = !strcasecmp(smap_get_def(oc, "lacp-time", ""), "fast");
    s->fallback_ab_cfg = smap_get_bool(oc, "lacp-fallback-ab", false);
    return true;
}

/* Stores in '*s' the LACP settings of 'iface' as a member of its port. */
void
iface_get_lacp(const struct iface *iface, struct lacp_member_settings *s)
{
    const struct smap *oc = &iface_row(iface)->other_config;
    int id = smap_get_int(oc, "lacp-port-id", 0);
    int priority = smap_get_int(oc, "lacp-port-priority", 0);
    int key = smap_get_int(oc, "lacp-aggregation-key", 0);

    s->name = iface->name;
    s->id = (id > 0 && id <= UINT16_MAX ? id : ofp_to_u16(iface->ofp_port));
    s->priority = (priority > 0 && priority <= UINT16_MAX
                   ? priority : UINT16_MAX);
    s->key = key >= 0 && key <= UINT16_MAX ? key : 0;
}

static enum bond_mode
get_bond_mode(const struct port *port, const struct ovsrec_port *row)
{
    enum bond_mode mode = BM_AB;

    if (row->bond_mode && !bond_mode_from_string(&mode, row->bond_mode)) {
        VLOG_WARN("port %s: unknown bond_mode %s, defaulting to %s",
                  port->name, row->bond_mode, bond_mode_to_string(mode));
    }
    if (mode == BM_SLB && bridge_row(port->bridge)->n_flood_vlans) {
        VLOG_WARN("port %s: SLB bonds are incompatible with flood_vlans, "
                  "please use another bond type or disable flood_vlans",
                  port->name);
    }
    return mode;
}

/* Returns 0 if 'port' goes by its members' carriers. */
static int
get_miimon_interval(const struct port *port, const struct smap *oc)
{
    const char *detect = smap_get_def(oc, "bond-detect-mode", "carrier");
    int interval = smap_get_int(oc, "bond-miimon-interval", 0);

    if (!strcmp(detect, "miimon")) {
        return interval > 0 ? interval : MIIMON_INTERVAL_MSEC;
    }
    if (strcmp(detect, "carrier")) {
        VLOG_WARN("port %s: unsupported bond-detect-mode %s, "
                  "defaulting to carrier", port->name, detect);
    }
    return 0;
}

/* Stores in '*s' the bond settings of 'port', whose row is 'row'. */
void
port_get_bond(const struct port *port, const struct ovsrec_port *row,
              struct bond_settings *s)
{
    const struct smap *oc = &row->other_config;
    int miimon_interval = get_miimon_interval(port, oc);
    struct iface *iface;

    *s = (struct bond_settings) {
        .name = port->name,
        .balance = get_bond_mode(port, row),
        .up_delay = MAX(0, row->bond_updelay),
        .down_delay = MAX(0, row->bond_downdelay),
        .basis = smap_get_int(oc, "bond-hash-basis", 0),
        .rebalance_interval = smap_get_int(oc, "bond-rebalance-interval",
                                           10000),
        .lacp_fallback_ab_cfg = smap_get_bool(oc, "lacp-fallback-ab", false),
        .all_members_active = smap_get_bool(oc, "all-members-active", false),
    };
    if (s->rebalance_interval) {
        s->rebalance_interval = MAX(s->rebalance_interval,
                                    MIN_REBALANCE_INTERVAL_MSEC);
    }
    if (s->balance == BM_AB || s->lacp_fallback_ab_cfg) {
        s->primary = smap_get(oc, "bond-primary");
    }
    s->use_lb_output_action = (s->balance == BM_TCP
                               && smap_get_bool(oc, "lb-output-action",
                                                false));

    /* The one that was active before a restart stays so. */
    if (!row->bond_active_slave
        || !ovs_scan(row->bond_active_slave, ETH_ADDR_SCAN_FMT,
                     ETH_ADDR_SCAN_ARGS(s->active_member_mac))) {
        s->active_member_mac = eth_addr_zero;
    }

    LIST_FOR_EACH (iface, port_node, &port->ifaces) {
        if (iface->netdev) {
            netdev_set_miimon_interval(iface->netdev, miimon_interval);
        }
    }
}

/* Takes the local device of port_configure_fake_iface() away from 'port'. */
void
port_remove_fake_iface(struct port *port)
{
    struct ofproto *ofproto = port->bridge->ofproto;
    struct ofproto_port existing;

    if (!port->fake_iface) {
        return;
    }
    if (!port->bridge->dying
        && !ofproto_port_query_by_name(ofproto, port->name, &existing)) {
        ofproto_port_del(ofproto, existing.ofp_port);
        ofproto_port_destroy(&existing);
    }
    netdev_close(port->fake_iface);
    port->fake_iface = NULL;
}

/* Gives 'port' the local device of its own name that Port.bond_fake_iface asks
 * for.  Old management software wants to see bonds as devices. */
void
port_configure_fake_iface(struct port *port, const struct ovsrec_port *row)
{
    struct ofproto *ofproto = port->bridge->ofproto;
    ofp_port_t ofp_port = OFPP_NONE;
    int error;

    if (!row->bond_fake_iface || !port_is_bond(port)) {
        port_remove_fake_iface(port);
        return;
    }
    if (port->fake_iface) {
        return;
    }
    error = netdev_open(port->name,
                        ofproto_port_open_type(ofproto, "internal"),
                        &port->fake_iface);
    if (!error) {
        error = ofproto_port_add(ofproto, port->fake_iface, &ofp_port);
    }
    if (error) {
        VLOG_WARN("could not open network device %s (%s)", port->name,
                  ovs_strerror(error));
        netdev_close(port->fake_iface);
        port->fake_iface = NULL;
    }
}

/* Writes to the database which interface of bond 'port' is active, if that
 * changed or 'force'. */
void
port_refresh_bond(const struct port *port, bool force)
{
    struct eth_addr mac;

    if (port_is_bond(port)
        && bond_get_changed_active_member(port->name, &mac, force)) {
        char s[ETH_ADDR_STRLEN + 1];

        snprintf(s, sizeof s, ETH_ADDR_FMT, ETH_ADDR_ARGS(mac));
        ovsrec_port_set_bond_active_slave(port_row(port), s);
    }
}
