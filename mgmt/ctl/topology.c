/* Bridges, ports and interfaces by name: see topology.h. */
#include <config.h>
#include "topology.h"

#include "db-ctl-base.h"
#include "hash.h"
#include "log.h"
#include "ovsdb-idl-provider.h"
#include "sset.h"
#include "util.h"

/* Returns the VLAN that makes 'row' a fake bridge, or -1 if it isn't one. */
static int
port_fake_bridge_vlan(const struct ovsrec_port *row)
{
    return (row->fake_bridge && row->n_tag
            && *row->tag >= 0 && *row->tag <= 4095) ? *row->tag : -1;
}

/* Prepares 'topo' to look at the rows in 'idl', whose Open_vSwitch row is
 * 'ovs', within a transaction.  'partial' says that not all Bridge, Port and
 * Interface rows are replicated. */
void
topology_init(struct topology *topo, struct ovsdb_idl *idl,
              const struct ovsrec_open_vswitch *ovs, bool partial)
{
    topo->ovs = ovs;
    topo->idl = idl;
    topo->partial = partial;
    topo->insufficient = false;
    topo->valid = false;
    topo->verified = false;
    shash_init(&topo->bridges);
    shash_init(&topo->ports);
    shash_init(&topo->ifaces);
}

/* Forgets the maps, because the rows changed under them: the next
 * topology_load() builds them anew. */
void
topology_invalidate(struct topology *topo)
{
    struct shash_node *node;

    SHASH_FOR_EACH (node, &topo->bridges) {
        struct bridge *br = node->data;

        hmap_destroy(&br->children);
        free(br->name);
        free(br);
    }
    shash_clear(&topo->bridges);
    shash_clear_free_data(&topo->ports);
    shash_clear_free_data(&topo->ifaces);
    topo->valid = false;
}

/* Frees what 'topo' has. */
void
topology_destroy(struct topology *topo)
{
    topology_invalidate(topo);
    shash_destroy(&topo->bridges);
    shash_destroy(&topo->ports);
    shash_destroy(&topo->ifaces);
}

static struct bridge *
insert_bridge(struct topology *topo, const char *name,
              const struct ovsrec_bridge *row, struct bridge *parent, int vlan)
{
    struct bridge *br = xzalloc(sizeof *br);

    br->name = xstrdup(name);
    br->row = row;
    br->parent = parent;
    br->vlan = vlan;
    ovs_list_init(&br->ports);
    hmap_init(&br->children);
    if (parent) {
        struct bridge *other = bridge_find_child(parent, vlan);

        if (other) {
            VLOG_WARN("%s: bridge has multiple VLAN bridges (%s and %s) "
                      "for VLAN %d, but only one is allowed",
                      parent->name, name, other->name, vlan);
        } else {
            hmap_insert(&parent->children, &br->node, hash_int(vlan, 0));
        }
    }
    shash_add(&topo->bridges, name, br);
    return br;
}

/* Returns 'br' or that of its fake bridges to which the tag of 'row', a port
 * of 'br', assigns it. */
static struct bridge *
bridge_of_tag(struct bridge *br, const struct ovsrec_port *row)
{
    struct bridge *child = NULL;

    if (row->n_tag && *row->tag >= 0 && *row->tag <= 4095) {
        child = bridge_find_child(br, *row->tag);
    }
    return child ? child : br;
}

static struct port *
insert_port(struct topology *topo, struct bridge *br,
            const struct ovsrec_port *row)
{
    struct port *port = xmalloc(sizeof *port);

    port->row = row;
    port->bridge = bridge_of_tag(br, row);
    ovs_list_push_back(&port->bridge->ports, &port->node);
    ovs_list_init(&port->ifaces);
    shash_add(&topo->ports, row->name, port);
    return port;
}

/* First pass of topology_load(): every bridge, real and fake, so that the
 * second pass can tell to which bridge a tagged port belongs. */
static void
load_bridges(struct topology *topo)
{
    struct sset bridges = SSET_INITIALIZER(&bridges);
    struct sset ports = SSET_INITIALIZER(&ports);

    for (size_t i = 0; i < topo->ovs->n_bridges; i++) {
        const struct ovsrec_bridge *row = topo->ovs->bridges[i];
        struct bridge *br;

        if (!sset_add(&bridges, row->name)) {
            VLOG_WARN("%s: database contains duplicate bridge name",
                      row->name);
            continue;
        }
        br = insert_bridge(topo, row->name, row, NULL, 0);

        for (size_t j = 0; j < row->n_ports; j++) {
            const struct ovsrec_port *port = row->ports[j];
            int vlan = port_fake_bridge_vlan(port);

            if (sset_add(&ports, port->name) && vlan >= 0
                && sset_add(&bridges, port->name)) {
                insert_bridge(topo, port->name, NULL, br, vlan);
            }
        }
    }
    sset_destroy(&bridges);
    sset_destroy(&ports);
}

static void
load_ifaces(struct topology *topo, struct port *port)
{
    for (size_t i = 0; i < port->row->n_interfaces; i++) {
        const struct ovsrec_interface *row = port->row->interfaces[i];
        const struct iface *other = shash_find_data(&topo->ifaces, row->name);

        if (!other) {
            topology_add_iface(topo, port, row);
        } else if (other->row == row) {
            VLOG_WARN("%s: interface is in multiple ports (%s and %s)",
                      row->name, other->port->row->name, port->row->name);
        } else {
            /* The table's index should have made this impossible. */
            VLOG_ERR("%s: database contains duplicate interface name",
                     row->name);
        }
    }
}

static void
load_ports(struct topology *topo, struct bridge *br)
{
    for (size_t i = 0; i < br->row->n_ports; i++) {
        const struct ovsrec_port *row = br->row->ports[i];
        const struct port *other = shash_find_data(&topo->ports, row->name);

        if (!other) {
            load_ifaces(topo, insert_port(topo, br, row));
        } else if (other->row == row) {
            VLOG_WARN("%s: port is in multiple bridges (%s and %s)",
                      row->name, br->name, other->bridge->name);
        } else {
            VLOG_ERR("%s: database contains duplicate port name", row->name);
        }
    }
}

/* Fills in the maps from the replicated rows, if they aren't already. */
void
topology_load(struct topology *topo)
{
    if (topo->valid) {
        return;
    }
    topo->valid = true;

    load_bridges(topo);
    for (size_t i = 0; i < topo->ovs->n_bridges; i++) {
        const struct ovsrec_bridge *row = topo->ovs->bridges[i];
        struct bridge *br = shash_find_data(&topo->bridges, row->name);

        if (br && br->row == row) {
            load_ports(topo, br);
        }
    }
}

/* Returns the fake bridge for 'vlan' in 'br', or NULL. */
struct bridge *
bridge_find_child(const struct bridge *br, int vlan)
{
    struct bridge *child;

    HMAP_FOR_EACH_WITH_HASH (child, node, hash_int(vlan, 0), &br->children) {
        if (child->vlan == vlan) {
            return child;
        }
    }
    return NULL;
}

/* Returns the Bridge row that holds the ports of 'br': its parent's if 'br' is
 * a fake bridge. */
const struct ovsrec_bridge *
bridge_real_row(const struct bridge *br)
{
    return br->parent ? br->parent->row : br->row;
}

/* Returns the bridge called 'name'.  If there is none, returns NULL or, with
 * 'must_exist', ends the program with a message.  The commit will fail if
 * bridges come or go in the meantime. */
struct bridge *
topology_find_bridge(struct topology *topo, const char *name, bool must_exist)
{
    struct bridge *br = shash_find_data(&topo->bridges, name);

    if (must_exist && !br) {
        ctl_fatal("no bridge named %s", name);
    }
    ovsrec_open_vswitch_verify_bridges(topo->ovs);
    return br;
}

/* Returns the bridge called 'name'; ends the program with a message if there
 * is none or if it is a fake bridge. */
struct bridge *
topology_find_real_bridge(struct topology *topo, const char *name)
{
    struct bridge *br = topology_find_bridge(topo, name, true);

    if (br->parent) {
        ctl_fatal("%s is a fake bridge", name);
    }
    return br;
}

/* Like topology_find_bridge(), for a port.  A bridge's local port doesn't
 * count as one. */
struct port *
topology_find_port(struct topology *topo, const char *name, bool must_exist)
{
    struct port *port = shash_find_data(&topo->ports, name);

    if (port && !strcmp(name, port->bridge->name)) {
        port = NULL;
    }
    if (must_exist && !port) {
        ctl_fatal("no port named %s", name);
    }
    topology_verify(topo);
    return port;
}

/* Like topology_find_port(), for an interface. */
struct iface *
topology_find_iface(struct topology *topo, const char *name, bool must_exist)
{
    struct iface *iface = shash_find_data(&topo->ifaces, name);

    if (iface && !strcmp(name, iface->port->bridge->name)) {
        iface = NULL;
    }
    if (must_exist && !iface) {
        ctl_fatal("no interface named %s", name);
    }
    topology_verify(topo);
    return iface;
}

/* Makes the commit fail if which ports and interfaces there are, as far as it
 * is known here, changes in the meantime. */
void
topology_verify(struct topology *topo)
{
    const struct ovsrec_bridge *br;
    const struct ovsrec_port *port;

    if (topo->verified) {
        return;
    }
    topo->verified = true;

    ovsrec_open_vswitch_verify_bridges(topo->ovs);
    if (!topo->partial) {
        OVSREC_BRIDGE_FOR_EACH (br, topo->idl) {
            ovsrec_bridge_verify_ports(br);
        }
    }
    OVSREC_PORT_FOR_EACH (port, topo->idl) {
        ovsrec_port_verify_interfaces(port);
    }
}

/* Ends the program with a message that a 'kind' (e.g. "a port") can't be
 * created if a bridge, port or interface is already called 'name'. */
void
topology_check_name_free(struct topology *topo, const char *name,
                         const char *kind)
{
    topology_verify(topo);

    if (shash_find(&topo->bridges, name)) {
        ctl_fatal("cannot create %s named %s because a bridge named %s "
                  "already exists", kind, name, name);
    }

    const struct port *port = shash_find_data(&topo->ports, name);
    if (port) {
        ctl_fatal("cannot create %s named %s because a port named %s "
                  "already exists on bridge %s",
                  kind, name, name, port->bridge->name);
    }

    const struct iface *iface = shash_find_data(&topo->ifaces, name);
    if (iface) {
        ctl_fatal("cannot create %s named %s because an interface named %s "
                  "already exists on bridge %s",
                  kind, name, name, iface->port->bridge->name);
    }
}

/* Are the sets in the row with this 'header' known here in full? */
static bool
row_is_whole(const struct topology *topo, const struct ovsdb_idl_row *header)
{
    return !topo->partial || !header->old_datum;
}

/* The IDL refuses to mutate a column that it doesn't monitor, and scope.c has
 * it not monitor Bridge.ports, since a bridge's thousands of ports are what a
 * partial view must not fetch.  Setting the column's mode, once the monitor
 * request is on its way, lifts the refusal.  (After a reconnection the IDL
 * will then really monitor the column, which is harmless.) */
static void
allow_mutating_ports(const struct ovsrec_bridge *row)
{
    size_t idx = &ovsrec_bridge_col_ports - ovsrec_table_bridge.columns;

    row->header_.table->modes[idx] |= OVSDB_IDL_MONITOR;
}

static void
attach_bridge(struct topology *topo, const struct ovsrec_bridge *row)
{
    const struct ovsrec_open_vswitch *ovs = topo->ovs;

    if (row_is_whole(topo, &ovs->header_)) {
        struct ovsrec_bridge **rows = xmalloc((ovs->n_bridges + 1)
                                              * sizeof *rows);
        size_t n = 0;

        for (size_t i = 0; i < ovs->n_bridges; i++) {
            rows[n++] = ovs->bridges[i];
        }
        rows[n++] = CONST_CAST(struct ovsrec_bridge *, row);
        ovsrec_open_vswitch_set_bridges(ovs, rows, n);
        free(rows);
    } else {
        ovsrec_open_vswitch_update_bridges_addvalue(ovs, row);
    }
}

static void
detach_bridge(struct topology *topo, const struct ovsrec_bridge *row)
{
    const struct ovsrec_open_vswitch *ovs = topo->ovs;

    if (row_is_whole(topo, &ovs->header_)) {
        struct ovsrec_bridge **rows = xmalloc(ovs->n_bridges * sizeof *rows);
        size_t n = 0;

        for (size_t i = 0; i < ovs->n_bridges; i++) {
            if (ovs->bridges[i] != row) {
                rows[n++] = ovs->bridges[i];
            }
        }
        ovsrec_open_vswitch_set_bridges(ovs, rows, n);
        free(rows);
    } else {
        ovsrec_open_vswitch_update_bridges_delvalue(ovs, row);
    }
}

static void
attach_port(struct topology *topo, const struct ovsrec_bridge *br,
            const struct ovsrec_port *row)
{
    if (row_is_whole(topo, &br->header_)) {
        struct ovsrec_port **rows = xmalloc((br->n_ports + 1) * sizeof *rows);
        size_t n = 0;

        for (size_t i = 0; i < br->n_ports; i++) {
            rows[n++] = br->ports[i];
        }
        rows[n++] = CONST_CAST(struct ovsrec_port *, row);
        ovsrec_bridge_set_ports(br, rows, n);
        free(rows);
    } else {
        allow_mutating_ports(br);
        ovsrec_bridge_update_ports_addvalue(br, row);
    }
}

static void
detach_port(struct topology *topo, const struct ovsrec_bridge *br,
            const struct ovsrec_port *row)
{
    if (row_is_whole(topo, &br->header_)) {
        struct ovsrec_port **rows = xmalloc(br->n_ports * sizeof *rows);
        size_t n = 0;

        for (size_t i = 0; i < br->n_ports; i++) {
            if (br->ports[i] != row) {
                rows[n++] = br->ports[i];
            }
        }
        ovsrec_bridge_set_ports(br, rows, n);
        free(rows);
    } else {
        allow_mutating_ports(br);
        ovsrec_bridge_update_ports_delvalue(br, row);
    }
}

/* Adds new real bridge 'row' to the database's bridges. */
struct bridge *
topology_add_bridge(struct topology *topo, const struct ovsrec_bridge *row)
{
    attach_bridge(topo, row);
    return insert_bridge(topo, row->name, row, NULL, 0);
}

/* Adds 'row', a new Port row with fake_bridge and a tag, to 'parent', which
 * must be a real bridge without a child for that VLAN.  The parent's ports
 * with that tag become the new bridge's. */
struct bridge *
topology_add_fake_bridge(struct topology *topo, struct bridge *parent,
                         const struct ovsrec_port *row)
{
    struct bridge *br = insert_bridge(topo, row->name, NULL, parent,
                                      port_fake_bridge_vlan(row));
    struct port *port;

    LIST_FOR_EACH_SAFE (port, node, &parent->ports) {
        if (bridge_of_tag(parent, port->row) == br) {
            ovs_list_remove(&port->node);
            ovs_list_push_back(&br->ports, &port->node);
            port->bridge = br;
        }
    }
    return br;
}

/* Adds new Port row 'row' to 'br'.  Adding its interfaces to the topology is
 * up to the caller. */
struct port *
topology_add_port(struct topology *topo, struct bridge *br,
                  const struct ovsrec_port *row)
{
    attach_port(topo, bridge_real_row(br), row);
    return insert_port(topo, br->parent ? br->parent : br, row);
}

/* Enters 'row', an interface of 'port' in the database, into the map. */
struct iface *
topology_add_iface(struct topology *topo, struct port *port,
                   const struct ovsrec_interface *row)
{
    struct iface *iface = xmalloc(sizeof *iface);

    iface->row = row;
    iface->port = port;
    ovs_list_push_back(&port->ifaces, &iface->node);
    shash_add(&topo->ifaces, row->name, iface);
    return iface;
}

/* Deletes 'iface''s row and forgets it.  Taking it out of its port's row is up
 * to the caller. */
void
topology_delete_iface(struct topology *topo, struct iface *iface)
{
    shash_find_and_delete(&topo->ifaces, iface->row->name);
    ovs_list_remove(&iface->node);
    ovsrec_interface_delete(iface->row);
    free(iface);
}

/* Deletes 'port' with its interfaces, from its bridge too. */
void
topology_delete_port(struct topology *topo, struct port *port)
{
    struct iface *iface;

    detach_port(topo, bridge_real_row(port->bridge), port->row);
    LIST_FOR_EACH_SAFE (iface, node, &port->ifaces) {
        topology_delete_iface(topo, iface);
    }
    shash_find_and_delete(&topo->ports, port->row->name);
    ovs_list_remove(&port->node);
    ovsrec_port_delete(port->row);
    free(port);
}

/* Flow_Sample_Collector_Set rows are in the root set: they don't go by
 * themselves when the bridge does to which they refer, but keep its row, and so
 * its name, in the database. */
static void
delete_collector_sets(struct topology *topo, const struct ovsrec_bridge *br)
{
    const struct ovsrec_flow_sample_collector_set *set;

    OVSREC_FLOW_SAMPLE_COLLECTOR_SET_FOR_EACH_SAFE (set, topo->idl) {
        if (set->bridge == br) {
            ovsrec_flow_sample_collector_set_delete(set);
        }
    }
}

/* Deletes the ports of 'br' that are in view: in a partial topology others go
 * by themselves when the bridge's row does. */
static void
delete_ports(struct topology *topo, struct bridge *br)
{
    struct port *port;

    LIST_FOR_EACH_SAFE (port, node, &br->ports) {
        topology_delete_port(topo, port);
    }
}

/* Deletes 'br' with its fake bridges and ports.  If the topology is partial,
 * 'br' must not be a fake bridge. */
void
topology_delete_bridge(struct topology *topo, struct bridge *br)
{
    struct bridge *child;

    HMAP_FOR_EACH_SAFE (child, node, &br->children) {
        topology_delete_bridge(topo, child);
    }
    delete_ports(topo, br);
    delete_collector_sets(topo, br->row);

    if (br->parent) {
        if (bridge_find_child(br->parent, br->vlan) == br) {
            hmap_remove(&br->parent->children, &br->node);
        }
    } else {
        detach_bridge(topo, br->row);
        ovsrec_bridge_delete(br->row);
    }
    shash_find_and_delete(&topo->bridges, br->name);
    hmap_destroy(&br->children);
    free(br->name);
    free(br);
}
