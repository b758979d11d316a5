/* Ports: rows of the Port table, each a bundle of one or more interfaces that
 * share a VLAN configuration. */
#include <config.h>
#include "vswitchd/vswitchd.h"

#include "lacp.h"
#include "netdev.h"
#include "ofproto/bond.h"
#include "ofproto/ofproto.h"
#include "openvswitch/shash.h"
#include "packets.h"
#include "smap.h"
#include "util.h"
#include "vlan-bitmap.h"
#include "vswitchd/log.h"

static struct hmap ports_by_uuid = HMAP_INITIALIZER(&ports_by_uuid);
static struct ovs_list dirty_ports = OVS_LIST_INITIALIZER(&dirty_ports);

/* Returns the port whose row is 'uuid', or NULL. */
struct port *
port_by_uuid(const struct uuid *uuid)
{
    struct port *port;

    HMAP_FOR_EACH_WITH_HASH (port, uuid_node, uuid_hash(uuid),
                             &ports_by_uuid) {
        if (uuid_equals(&port->uuid, uuid)) {
            return port;
        }
    }
    return NULL;
}

/* Returns true if no row asks for 'port', but we do. */
bool
port_is_synthetic(const struct port *port)
{
    return uuid_is_zero(&port->uuid);
}

/* Returns the row of 'port', for a synthetic one an empty row that swallows
 * what is written to it.  It stays valid until the IDL runs again. */
const struct ovsrec_port *
port_row(const struct port *port)
{
    if (port_is_synthetic(port)) {
        static struct ovsrec_port row;

        ovsrec_port_init(&row);
        row.name = port->name;
        return &row;
    }
    return ovsrec_port_get_for_uuid(idl, &port->uuid);
}

/* Has 'port' configured anew. */
void
port_mark(struct port *port)
{
    if (!port->dirty) {
        port->dirty = true;
        ovs_list_push_back(&dirty_ports, &port->dirty_node);
    }
}

/* Returns true if any port is to be configured anew. */
bool
ports_are_dirty(void)
{
    return !ovs_list_is_empty(&dirty_ports);
}

/* Takes 'port' away from its row, which is gone. */
void
port_unbind(struct port *port)
{
    hmap_remove(&ports_by_uuid, &port->uuid_node);
    hmap_node_nullify(&port->uuid_node);
}

/* Gives 'port' the row 'uuid'; zero if it is synthetic. */
void
port_bind(struct port *port, const struct uuid *uuid)
{
    port->uuid = *uuid;
    hmap_insert(&ports_by_uuid, &port->uuid_node, uuid_hash(uuid));
    port_mark(port);
}

/* Returns a new port of 'br', without interfaces, for the row 'uuid', or a
 * synthetic one if that is zero. */
struct port *
port_create(struct bridge *br, const char *name, const struct uuid *uuid)
{
    struct port *port = xzalloc(sizeof *port);

    port->name = xstrdup(name);
    port->bridge = br;
    ovs_list_push_back(&br->ports, &port->bridge_node);
    ovs_list_init(&port->ifaces);
    port_bind(port, uuid);
    return port;
}

/* Destroys 'port' and its interfaces. */
void
port_destroy(struct port *port)
{
    struct bridge *br = port->bridge;
    struct iface *iface;

    if (br->ofproto) {
        ofproto_bundle_unregister(br->ofproto, port);
    }
    LIST_FOR_EACH_SAFE (iface, port_node, &port->ifaces) {
        iface_destroy(iface);
    }
    port_forget_softmac(port);
    port_remove_fake_iface(port);
    if (!hmap_node_is_null(&port->uuid_node)) {
        port_unbind(port);
    }
    if (port->dirty) {
        ovs_list_remove(&port->dirty_node);
    }
    ovs_list_remove(&port->bridge_node);
    row_set_destroy(&port->iface_rows);
    free(port->name);
    free(port);
}

/* Returns an open interface of 'port', or NULL. */
struct iface *
port_first_open(const struct port *port)
{
    struct iface *iface;

    LIST_FOR_EACH (iface, port_node, &port->ifaces) {
        if (iface->netdev) {
            return iface;
        }
    }
    return NULL;
}

/* Returns true if 'port' has more than one working interface. */
bool
port_is_bond(const struct port *port)
{
    return port->n_open > 1;
}

/* --- Which interfaces they have ------------------------------------------ */

static void
take_out_removed(struct port *port, struct row_set_diff *diff,
                 struct shash *removed)
{
    const struct ovsrec_port *row = port_row(port);

    row_set_update(&port->iface_rows,
                   ovsrec_port_get_interfaces(row, OVSDB_TYPE_UUID), diff);
    for (size_t i = 0; i < diff->n_removed; i++) {
        struct iface *iface = iface_by_uuid(&diff->removed[i]);

        if (iface) {
            iface_unbind(iface);
            shash_add(removed, iface->name, iface);
        }
    }
}

static struct iface *
take_removed(struct shash *removed, const struct port *port, const char *name)
{
    struct shash_node *node = shash_find(removed, name);
    struct iface *iface = node ? node->data : NULL;

    if (!iface || iface->port != port) {
        return NULL;
    }
    shash_delete(removed, node);
    return iface;
}

static void
put_in_added(struct port *port, const struct row_set_diff *diff,
             struct shash *removed)
{
    for (size_t i = 0; i < diff->n_added; i++) {
        const struct ovsrec_interface *row
            = ovsrec_interface_get_for_uuid(idl, &diff->added[i]);
        struct iface *iface = take_removed(removed, port, row->name);

        if (iface) {
            iface_bind(iface, &diff->added[i]);
        } else {
            iface_create(port, row->name, &diff->added[i]);
        }
    }
}

/* Destroys the interfaces that dirty ports no longer want and makes those that
 * they want anew, not open yet. */
void
ports_update_ifaces(void)
{
    struct shash removed = SHASH_INITIALIZER(&removed);
    size_t n = ovs_list_size(&dirty_ports);
    struct row_set_diff *diffs = xcalloc(n, sizeof *diffs);
    struct shash_node *node;
    struct port *port;
    size_t i;

    i = 0;
    LIST_FOR_EACH (port, dirty_node, &dirty_ports) {
        if (!port_is_synthetic(port)) {
            take_out_removed(port, &diffs[i], &removed);
        }
        i++;
    }
    i = 0;
    LIST_FOR_EACH (port, dirty_node, &dirty_ports) {
        struct iface *iface;

        put_in_added(port, &diffs[i], &removed);
        row_set_diff_destroy(&diffs[i++]);
        LIST_FOR_EACH (iface, port_node, &port->ifaces) {
            iface_update_address(iface);
        }
    }
    free(diffs);

    SHASH_FOR_EACH (node, &removed) {
        iface_destroy(node->data);
    }
    shash_destroy(&removed);
}

/* --- Configuration ------------------------------------------------------- */

static bool
vlan_mode_from_string(const char *s, enum port_vlan_mode *mode)
{
    static const struct {
        const char *name;
        enum port_vlan_mode mode;
    } modes[] = {
        { "access", PORT_VLAN_ACCESS },
        { "trunk", PORT_VLAN_TRUNK },
        { "native-tagged", PORT_VLAN_NATIVE_TAGGED },
        { "native-untagged", PORT_VLAN_NATIVE_UNTAGGED },
        { "dot1q-tunnel", PORT_VLAN_DOT1Q_TUNNEL },
    };

    for (size_t i = 0; i < ARRAY_SIZE(modes); i++) {
        if (!strcmp(s, modes[i].name)) {
            *mode = modes[i].mode;
            return true;
        }
    }
    return false;
}

static void
get_vlan_settings(const struct port *port, const struct ovsrec_port *row,
                  struct ofproto_bundle_settings *s)
{
    const char *ethtype = smap_get_def(&row->other_config,
                                       "qinq-ethtype", "");
    const char *priority = smap_get_def(&row->other_config,
                                        "priority-tags", "");

    s->vlan = row->tag && *row->tag >= 0 && *row->tag <= 4095 ? *row->tag : -1;
    s->trunks = (row->n_trunks
                 ? vlan_bitmap_from_array(row->trunks, row->n_trunks)
                 : NULL);
    s->cvlans = (row->n_cvlans
                 ? vlan_bitmap_from_array(row->cvlans, row->n_cvlans)
                 : NULL);

    s->vlan_mode = s->vlan >= 0 ? PORT_VLAN_ACCESS : PORT_VLAN_TRUNK;
    if (row->vlan_mode) {
        if (!vlan_mode_from_string(row->vlan_mode, &s->vlan_mode)) {
            VLOG_WARN("port %s: unknown VLAN mode %s, falling back to trunk "
                      "mode", port->name, row->vlan_mode);
            s->vlan_mode = PORT_VLAN_TRUNK;
        }
    } else if (s->vlan >= 0 && (s->trunks || s->cvlans)) {
        VLOG_WARN("port %s: ignoring trunks in favor of implicit vlan",
                  port->name);
    }

    s->qinq_ethtype = (!strcmp(ethtype, "802.1q")
                       ? ETH_TYPE_VLAN_8021Q : ETH_TYPE_VLAN_8021AD);
    s->use_priority_tags
        = (!strcmp(priority, "if-nonzero") || !strcmp(priority, "true")
           ? PORT_PRIORITY_TAGS_IF_NONZERO
           : !strcmp(priority, "always") ? PORT_PRIORITY_TAGS_ALWAYS
           : PORT_PRIORITY_TAGS_NEVER);
}

static void
port_configure_bundle(struct port *port, const struct ovsrec_port *row)
{
    struct ofproto_bundle_settings s = { .name = port->name };
    struct lacp_settings lacp_settings;
    struct bond_settings bond_settings;
    struct iface *iface;

    get_vlan_settings(port, row, &s);
    s.protected = row->protected_;
    if (port_get_lacp(port, row, &lacp_settings)) {
        s.lacp = &lacp_settings;
        s.lacp_members = xmalloc(port->n_open * sizeof *s.lacp_members);
    }
    s.members = xmalloc(port->n_open * sizeof *s.members);
    LIST_FOR_EACH (iface, port_node, &port->ifaces) {
        if (iface->netdev) {
            if (s.lacp) {
                iface_get_lacp(iface, &s.lacp_members[s.n_members]);
            }
            s.members[s.n_members++] = iface->ofp_port;
        }
    }
    if (port_is_bond(port)) {
        port_get_bond(port, row, &bond_settings);
        s.bond = &bond_settings;
    } else {
        netdev_set_miimon_interval(port_first_open(port)->netdev, 0);
    }

    ofproto_bundle_register(port->bridge->ofproto, port, &s);

    free(s.trunks);
    free(s.cvlans);
    free(s.members);
    free(s.lacp_members);
}

static void
iface_configure_mac(struct iface *iface, const struct ovsrec_port *port,
                    const struct ovsrec_interface *row)
{
    struct eth_addr ea;
    int error;

    if (strcmp(iface->type, "internal")) {
        return;
    }
    if (!row->mac || !eth_addr_from_string(row->mac, &ea)) {
        if (!port->fake_bridge) {
            return;
        }
        bridge_pick_address(iface->port->bridge, port->tag ? *port->tag : -1,
                            &ea);
    }

    if (iface->ofp_port == OFPP_LOCAL) {
        VLOG_ERR("interface %s: ignoring mac in Interface record "
                 "(use Bridge record to set local port's mac)", iface->name);
    } else if (eth_addr_is_multicast(ea)) {
        VLOG_ERR("interface %s: cannot set MAC to multicast address",
                 iface->name);
    } else if (eth_addr_is_zero(ea)) {
        VLOG_ERR("interface %s: cannot set MAC to all zero address",
                 iface->name);
    } else {
        error = netdev_set_etheraddr(iface->netdev, ea);
        if (error) {
            VLOG_ERR("interface %s: setting MAC failed (%s)",
                     iface->name, ovs_strerror(error));
        }
    }
}

static void
iface_configure(struct iface *iface, const struct ovsrec_port *port)
{
    struct ofproto *ofproto = iface->port->bridge->ofproto;
    const struct ovsrec_interface *row = iface_row(iface);

    iface_configure_mac(iface, port, row);
    iface_configure_qos(iface, port->qos);
    iface_configure_liveness(iface, row);
    ofproto_port_set_config(ofproto, iface->ofp_port, &row->other_config);
}

/* Configures dirty ports that have open interfaces, and those interfaces. */
void
ports_configure(void)
{
    struct port *port;

    LIST_FOR_EACH_POP (port, dirty_node, &dirty_ports) {
        const struct ovsrec_port *row = port_row(port);
        struct iface *iface;

        port->dirty = false;
        if (!port->n_open) {
            continue;
        }
        port_configure_bundle(port, row);
        port_configure_fake_iface(port, row);
        LIST_FOR_EACH (iface, port_node, &port->ifaces) {
            if (iface->netdev) {
                iface_configure(iface, row);
            }
        }
        if (port->bridge->multicast) {
            port_configure_multicast(port);
        }
        port_configure_softmac(port);
    }
}
