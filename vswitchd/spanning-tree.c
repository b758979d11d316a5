/* STP and RSTP. */
#include <config.h>
#include "vswitchd/vswitchd.h"

#include <errno.h>
#include <inttypes.h>

#include "bitmap.h"
#include "netdev.h"
#include "ofproto/ofproto.h"
#include "openvswitch/types.h"
#include "packets.h"
#include "rstp.h"
#include "smap.h"
#include "stp.h"
#include "util.h"
#include "vswitchd/log.h"

/* Returns the interface with which 'port' takes part in the spanning tree, or
 * NULL if it doesn't: bonds, internal ports and outputs of mirrors don't. */
static struct iface *
get_participant(struct port *port, const char *protocol,
                const char *enable_key)
{
    struct iface *iface = port_first_open(port);

    if (!iface || !smap_get_bool(&port_row(port)->other_config, enable_key,
                                 true)) {
        return NULL;
    } else if (port_is_bond(port)) {
        VLOG_ERR("port %s: cannot enable %s on bonds, disabling",
                 port->name, protocol);
        return NULL;
    } else if (!strcmp(iface->type, "internal")) {
        VLOG_DBG("port %s: disable %s on internal ports",
                 port->name, protocol);
        return NULL;
    } else if (ofproto_is_mirror_output_bundle(port->bridge->ofproto, port)) {
        VLOG_DBG("port %s: disable %s on mirror ports", port->name, protocol);
        return NULL;
    }
    return iface;
}

static unsigned int
get_mbps(const struct iface *iface)
{
    enum netdev_features current = 0;

    netdev_get_features(iface->netdev, &current, NULL, NULL, NULL);
    return netdev_features_to_bps(current, NETDEV_DEFAULT_BPS) / 1000000;
}

/* Returns the bridge's identifier: the address under 'key', or its own. */
static uint64_t
get_system_id(const struct bridge *br, const struct smap *oc, const char *key)
{
    const char *s = smap_get(oc, key);
    struct eth_addr ea = br->ea;

    if (s && !eth_addr_from_string(s, &ea)) {
        ea = br->ea;
        VLOG_ERR("bridge %s: invalid %s, defaulting to "ETH_ADDR_FMT,
                 br->name, key, ETH_ADDR_ARGS(ea));
    }
    return eth_addr_to_uint64(ea);
}

/* --- STP ----------------------------------------------------------------- */

/* The ports of an STP bridge are numbered by hand, all of them, or in
 * sequence. */
struct stp_numbers {
    unsigned long *by_hand;     /* Bitmap of those in use. */
    int n_in_sequence;
};

static bool
get_stp_port_number(const struct port *port, struct stp_numbers *numbers,
                    uint8_t *number)
{
    const char *s = smap_get(&port_row(port)->other_config, "stp-port-num");
    unsigned long int n;

    if (!s) {
        if (numbers->n_in_sequence >= STP_MAX_PORTS) {
            VLOG_ERR("port %s: too many STP ports, disabling", port->name);
            return false;
        }
        *number = numbers->n_in_sequence++;
        return true;
    }
    n = strtoul(s, NULL, 0);
    if (n < 1 || n > STP_MAX_PORTS) {
        VLOG_ERR("port %s: invalid stp-port-num", port->name);
        return false;
    }
    if (bitmap_is_set(numbers->by_hand, n - 1)) {
        VLOG_ERR("port %s: duplicate stp-port-num %lu, disabling",
                 port->name, n);
        return false;
    }
    bitmap_set1(numbers->by_hand, n - 1);
    *number = n - 1;
    return true;
}

static void
configure_stp_port(struct port *port, struct stp_numbers *numbers)
{
    const struct smap *oc = &port_row(port)->other_config;
    struct iface *participant = get_participant(port, "STP", "stp-enable");
    struct ofproto_port_stp_settings s = { .enable = false };
    struct iface *iface;

    if (participant && get_stp_port_number(port, numbers, &s.port_num)) {
        s.enable = true;
        s.path_cost = smap_get_ullong(
            oc, "stp-path-cost",
            stp_convert_speed_to_cost(get_mbps(participant)));
        s.priority = smap_get_ullong(oc, "stp-port-priority",
                                     STP_DEFAULT_PORT_PRIORITY);
    }
    LIST_FOR_EACH (iface, port_node, &port->ifaces) {
        if (iface->netdev
            && ofproto_port_set_stp(port->bridge->ofproto, iface->ofp_port,
                                    &s)) {
            VLOG_ERR("port %s: could not enable STP", port->name);
        }
    }
}

static void
configure_stp(struct bridge *br, bool enable)
{
    const struct smap *oc = &bridge_row(br)->other_config;
    struct ofproto_stp_settings s;
    struct stp_numbers numbers;
    struct port *port;

    if (!enable) {
        ofproto_set_stp(br->ofproto, NULL);
        return;
    }
    s = (struct ofproto_stp_settings) {
        .system_id = get_system_id(br, oc, "stp-system-id"),
        .priority = smap_get_ullong(oc, "stp-priority",
                                    STP_DEFAULT_BRIDGE_PRIORITY),
        .hello_time = smap_get_ullong(oc, "stp-hello-time",
                                      STP_DEFAULT_HELLO_TIME),
        .max_age = smap_get_ullong(oc, "stp-max-age",
                                   STP_DEFAULT_MAX_AGE / 1000) * 1000,
        .fwd_delay = smap_get_ullong(oc, "stp-forward-delay",
                                     STP_DEFAULT_FWD_DELAY / 1000) * 1000,
    };
    if (ofproto_set_stp(br->ofproto, &s)) {
        VLOG_ERR("bridge %s: could not enable STP", br->name);
        return;
    }

    numbers.by_hand = bitmap_allocate(STP_MAX_PORTS);
    numbers.n_in_sequence = 0;
    LIST_FOR_EACH (port, bridge_node, &br->ports) {
        configure_stp_port(port, &numbers);
    }
    if (numbers.n_in_sequence
        && bitmap_scan(numbers.by_hand, 1, 0, STP_MAX_PORTS)
           != STP_MAX_PORTS) {
        VLOG_ERR("bridge %s: must manually configure all STP port IDs or "
                 "none, disabling", br->name);
        ofproto_set_stp(br->ofproto, NULL);
    }
    bitmap_free(numbers.by_hand);
}

/* --- RSTP ---------------------------------------------------------------- */

/* Stores the number of 'port': 0 means the first that is free. */
static bool
get_rstp_port_number(const struct port *port, int *n_ports, uint16_t *number)
{
    const char *s = smap_get(&port_row(port)->other_config, "rstp-port-num");
    unsigned long int n = s ? strtoul(s, NULL, 0) : 0;

    if (s && (n < 1 || n > RSTP_MAX_PORTS)) {
        VLOG_ERR("port %s: invalid rstp-port-num", port->name);
        return false;
    }
    if (*n_ports >= RSTP_MAX_PORTS) {
        VLOG_ERR("port %s: too many RSTP ports, disabling", port->name);
        return false;
    }
    ++*n_ports;
    *number = n;
    return true;
}

static void
configure_rstp_port(struct port *port, int *n_ports)
{
    const struct smap *oc = &port_row(port)->other_config;
    struct iface *participant = get_participant(port, "RSTP", "rstp-enable");
    struct ofproto_port_rstp_settings s = { .enable = false };
    struct iface *iface;

    if (participant && get_rstp_port_number(port, n_ports, &s.port_num)) {
        s.enable = true;
        s.path_cost = smap_get_ullong(
            oc, "rstp-path-cost",
            rstp_convert_speed_to_cost(get_mbps(participant)));
        s.priority = smap_get_ullong(oc, "rstp-port-priority",
                                     RSTP_DEFAULT_PORT_PRIORITY);
        s.admin_p2p_mac_state = smap_get_ullong(
            oc, "rstp-admin-p2p-mac", RSTP_ADMIN_P2P_MAC_FORCE_TRUE);
        s.admin_port_state = smap_get_bool(oc, "rstp-admin-port-state", true);
        s.admin_edge_port = smap_get_bool(oc, "rstp-port-admin-edge", false);
        s.auto_edge = smap_get_bool(oc, "rstp-port-auto-edge", true);
        s.mcheck = smap_get_bool(oc, "rstp-port-mcheck", false);
    }
    LIST_FOR_EACH (iface, port_node, &port->ifaces) {
        if (iface->netdev
            && ofproto_port_set_rstp(port->bridge->ofproto, iface->ofp_port,
                                     &s)) {
            VLOG_ERR("port %s: could not enable RSTP", port->name);
        }
    }
}

static void
configure_rstp(struct bridge *br, bool enable)
{
    const struct smap *oc = &bridge_row(br)->other_config;
    struct ofproto_rstp_settings s;
    struct port *port;
    int n_ports = 0;

    if (!enable) {
        ofproto_set_rstp(br->ofproto, NULL);
        return;
    }
    s = (struct ofproto_rstp_settings) {
        .address = get_system_id(br, oc, "rstp-address"),
        .priority = smap_get_ullong(oc, "rstp-priority",
                                    RSTP_DEFAULT_PRIORITY),
        .ageing_time = smap_get_ullong(oc, "rstp-ageing-time",
                                       RSTP_DEFAULT_AGEING_TIME),
        .force_protocol_version = smap_get_ullong(
            oc, "rstp-force-protocol-version", FPV_DEFAULT),
        .bridge_max_age = smap_get_ullong(oc, "rstp-max-age",
                                          RSTP_DEFAULT_BRIDGE_MAX_AGE),
        .bridge_forward_delay = smap_get_ullong(
            oc, "rstp-forward-delay", RSTP_DEFAULT_BRIDGE_FORWARD_DELAY),
        .transmit_hold_count = smap_get_ullong(
            oc, "rstp-transmit-hold-count", RSTP_DEFAULT_TRANSMIT_HOLD_COUNT),
    };
    if (ofproto_set_rstp(br->ofproto, &s)) {
        VLOG_ERR("bridge %s: could not enable RSTP", br->name);
        return;
    }
    LIST_FOR_EACH (port, bridge_node, &br->ports) {
        configure_rstp_port(port, &n_ports);
    }
}

/* Configures the spanning tree of 'br' and all of its ports.  Its mirrors have
 * been configured. */
void
bridge_configure_spanning_tree(struct bridge *br)
{
    const struct ovsrec_bridge *row = bridge_row(br);
    bool stp = row->stp_enable && !row->rstp_enable;

    if (row->stp_enable && row->rstp_enable) {
        VLOG_WARN("%s: RSTP and STP are mutually exclusive but both are "
                  "configured; enabling RSTP", br->name);
    }
    configure_stp(br, stp);
    configure_rstp(br, row->rstp_enable);

    /* What turns it off has to clear the status, too. */
    if (br->spanning_tree || stp || row->rstp_enable) {
        bridge_refresh_spanning_tree(br);
        bridge_refresh_spanning_tree_stats(br);
    }
    br->spanning_tree = stp || row->rstp_enable;
}

/* --- Status -------------------------------------------------------------- */

static void
refresh_bridge_stp(const struct bridge *br)
{
    const struct ovsrec_bridge *row = bridge_row(br);
    struct smap smap = SMAP_INITIALIZER(&smap);
    struct ofproto_stp_status s;

    if (ofproto_get_stp_status(br->ofproto, &s)) {
        return;
    }
    if (s.enabled) {
        smap_add_format(&smap, "stp_bridge_id", STP_ID_FMT,
                        STP_ID_ARGS(s.bridge_id));
        smap_add_format(&smap, "stp_designated_root", STP_ID_FMT,
                        STP_ID_ARGS(s.designated_root));
        smap_add_format(&smap, "stp_root_path_cost", "%d", s.root_path_cost);
    }
    ovsrec_bridge_set_status(row, &smap);
    smap_destroy(&smap);
}

static void
refresh_bridge_rstp(const struct bridge *br)
{
    const struct ovsrec_bridge *row = bridge_row(br);
    struct smap smap = SMAP_INITIALIZER(&smap);
    struct ofproto_rstp_status s;

    if (ofproto_get_rstp_status(br->ofproto, &s)) {
        return;
    }
    if (s.enabled) {
        smap_add_format(&smap, "rstp_bridge_id", RSTP_ID_FMT,
                        RSTP_ID_ARGS(s.bridge_id));
        smap_add_format(&smap, "rstp_root_path_cost", "%"PRIu32,
                        s.root_path_cost);
        smap_add_format(&smap, "rstp_root_id", RSTP_ID_FMT,
                        RSTP_ID_ARGS(s.root_id));
        smap_add_format(&smap, "rstp_designated_id", RSTP_ID_FMT,
                        RSTP_ID_ARGS(s.designated_id));
        smap_add_format(&smap, "rstp_designated_port_id", RSTP_PORT_ID_FMT,
                        s.designated_port_id);
        smap_add_format(&smap, "rstp_bridge_port_id", RSTP_PORT_ID_FMT,
                        s.bridge_port_id);
    }
    ovsrec_bridge_set_rstp_status(row, &smap);
    smap_destroy(&smap);
}

static void
refresh_port_stp(const struct port *port)
{
    struct iface *iface = port_is_bond(port) ? NULL : port_first_open(port);
    struct ofproto_port_stp_status s = { .enabled = false };
    struct smap smap = SMAP_INITIALIZER(&smap);

    if (iface && ofproto_port_get_stp_status(port->bridge->ofproto,
                                             iface->ofp_port, &s)) {
        return;
    }
    if (s.enabled) {
        smap_add_format(&smap, "stp_port_id", "%d", s.port_id);
        smap_add(&smap, "stp_state", stp_state_name(s.state));
        smap_add_format(&smap, "stp_sec_in_state", "%u", s.sec_in_state);
        smap_add(&smap, "stp_role", stp_role_name(s.role));
    }
    ovsrec_port_set_status(port_row(port), &smap);
    smap_destroy(&smap);
}

static void
refresh_port_rstp(const struct port *port)
{
    struct iface *iface = port_is_bond(port) ? NULL : port_first_open(port);
    struct ofproto_port_rstp_status s = { .enabled = false };
    struct smap smap = SMAP_INITIALIZER(&smap);

    if (iface && ofproto_port_get_rstp_status(port->bridge->ofproto,
                                              iface->ofp_port, &s)) {
        return;
    }
    if (s.enabled) {
        smap_add_format(&smap, "rstp_port_id", RSTP_PORT_ID_FMT, s.port_id);
        smap_add(&smap, "rstp_port_role", rstp_port_role_name(s.role));
        smap_add(&smap, "rstp_port_state", rstp_state_name(s.state));
        smap_add_format(&smap, "rstp_designated_bridge_id", RSTP_ID_FMT,
                        RSTP_ID_ARGS(s.designated_bridge_id));
        smap_add_format(&smap, "rstp_designated_port_id", RSTP_PORT_ID_FMT,
                        s.designated_port_id);
        smap_add_format(&smap, "rstp_designated_path_cost", "%"PRIu32,
                        s.designated_path_cost);
    }
    ovsrec_port_set_rstp_status(port_row(port), &smap);
    smap_destroy(&smap);
}

/* Writes the state of the spanning tree of 'br' and its ports to the
 * database. */
void
bridge_refresh_spanning_tree(struct bridge *br)
{
    struct port *port;

    refresh_bridge_stp(br);
    refresh_bridge_rstp(br);
    LIST_FOR_EACH (port, bridge_node, &br->ports) {
        refresh_port_stp(port);
        refresh_port_rstp(port);
    }
}

static void
refresh_port_stp_stats(const struct port *port)
{
    static const char *keys[] = {
        "stp_tx_count", "stp_rx_count", "stp_error_count"
    };
    struct iface *iface = port_is_bond(port) ? NULL : port_first_open(port);
    struct ofproto_port_stp_stats s;

    if (iface && !ofproto_port_get_stp_stats(port->bridge->ofproto,
                                             iface->ofp_port, &s)) {
        int64_t values[] = { s.tx_count, s.rx_count, s.error_count };

        ovsrec_port_set_statistics(port_row(port), keys, values,
                                   s.enabled ? ARRAY_SIZE(keys) : 0);
    }
}

static void
refresh_port_rstp_stats(const struct port *port)
{
    static const char *keys[] = {
        "rstp_tx_count", "rstp_rx_count", "rstp_uptime", "rstp_error_count"
    };
    struct iface *iface = port_is_bond(port) ? NULL : port_first_open(port);
    struct ofproto_port_rstp_status s;

    if (iface && !ofproto_port_get_rstp_status(port->bridge->ofproto,
                                               iface->ofp_port, &s)) {
        int64_t values[] = { s.tx_count, s.rx_count, s.uptime,
                             s.error_count };

        ovsrec_port_set_rstp_statistics(port_row(port), keys, values,
                                        s.enabled ? ARRAY_SIZE(keys) : 0);
    }
}

/* Writes the statistics of the spanning tree of the ports of 'br' to the
 * database. */
void
bridge_refresh_spanning_tree_stats(struct bridge *br)
{
    struct port *port;

    LIST_FOR_EACH (port, bridge_node, &br->ports) {
        refresh_port_stp_stats(port);
        refresh_port_rstp_stats(port);
    }
}
