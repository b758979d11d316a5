/* Bridges: rows of the Bridge table, each an ofproto of its own. */
#include <config.h>
#include "vswitchd/vswitchd.h"

#include "connectivity.h"
#include "hash.h"
#include "mac-learning.h"
#include "ofproto/ofproto.h"
#include "ofproto/ofproto-dpif.h"
#include "ofproto/ofproto-dpif-xlate.h"
#include "ofproto/ofproto-provider.h"
#include "openvswitch/shash.h"
#include "seq.h"
#include "smap.h"
#include "util.h"
#include "vswitchd/log.h"

struct hmap bridges_by_uuid = HMAP_INITIALIZER(&bridges_by_uuid);
struct hmap bridges_by_name = HMAP_INITIALIZER(&bridges_by_name);

static struct ovs_list dirty_bridges = OVS_LIST_INITIALIZER(&dirty_bridges);

/* Returns the bridge named 'name', or NULL. */
struct bridge *
bridge_find(const char *name)
{
    struct bridge *br;

    HMAP_FOR_EACH_WITH_HASH (br, name_node, hash_string(name, 0),
                             &bridges_by_name) {
        if (!strcmp(br->name, name)) {
            return br;
        }
    }
    return NULL;
}

/* Returns the bridge whose row is 'uuid', or NULL. */
struct bridge *
bridge_by_uuid(const struct uuid *uuid)
{
    struct bridge *br;

    HMAP_FOR_EACH_WITH_HASH (br, uuid_node, uuid_hash(uuid),
                             &bridges_by_uuid) {
        if (uuid_equals(&br->uuid, uuid)) {
            return br;
        }
    }
    return NULL;
}

/* Returns the row of 'br'.  It stays valid until the IDL runs again. */
const struct ovsrec_bridge *
bridge_row(const struct bridge *br)
{
    return ovsrec_bridge_get_for_uuid(idl, &br->uuid);
}

/* Has 'aspects' (BRIDGE_*) of 'br' configured anew. */
void
bridge_mark(struct bridge *br, unsigned int aspects)
{
    if (aspects && !br->aspects) {
        ovs_list_push_back(&dirty_bridges, &br->dirty_node);
    }
    br->aspects |= aspects;
}

/* Returns true if anything about a bridge is to be configured anew. */
bool
bridges_are_dirty(void)
{
    return !ovs_list_is_empty(&dirty_bridges);
}

static void
bridge_bind(struct bridge *br, const struct uuid *uuid)
{
    br->uuid = *uuid;
    hmap_insert(&bridges_by_uuid, &br->uuid_node, uuid_hash(uuid));
    bridge_mark(br, BRIDGE_ALL);
}

static void
bridge_create(const struct ovsrec_bridge *row)
{
    struct bridge *br = xzalloc(sizeof *br);

    br->name = xstrdup(row->name);
    br->type = xstrdup(ofproto_normalize_type(row->datapath_type));
    ovs_list_init(&br->ports);
    hmap_init(&br->ifaces);
    ovs_list_init(&br->physical);
    ovs_list_init(&br->uplinks);
    hmap_init(&br->mirrors);
    hmap_init(&br->mappings);
    br->sflow_id = -1;

    /* An address that is unique and the same after each restart. */
    memcpy(&br->default_ea, &row->header_.uuid, ETH_ADDR_LEN);
    eth_addr_mark_random(&br->default_ea);

    hmap_insert(&bridges_by_name, &br->name_node, hash_string(br->name, 0));
    bridge_bind(br, &row->header_.uuid);
}

/* A bridge with more ports than this is taken out of translation as a whole
 * when it is destroyed. */
#define MANY_PORTS 256

/* Takes all of 'br' out of the configuration that translation goes by.
 * libofproto does so port by port, each time with a copy of what remains: 20
 * seconds for 5,000 ports.  But revalidators complain about flows that they
 * meet meanwhile, so the flows go first. */
static void
stop_translation(struct bridge *br)
{
    br->ofproto->ofproto_class->flush(br->ofproto);
    xlate_txn_start();
    xlate_remove_ofproto(CONTAINER_OF(br->ofproto, struct ofproto_dpif, up));
    xlate_txn_commit();
}

static void
bridge_destroy(struct bridge *br, bool delete_datapath)
{
    struct port *port;

    br->dying = true;
    if (br->ofproto && hmap_count(&br->ifaces) > MANY_PORTS) {
        stop_translation(br);
    }
    LIST_FOR_EACH_SAFE (port, bridge_node, &br->ports) {
        port_destroy(port);
    }
    bridge_destroy_mirrors(br);
    bridge_destroy_auto_attach(br);
    if (br->aspects) {
        ovs_list_remove(&br->dirty_node);
    }
    hmap_remove(&bridges_by_name, &br->name_node);
    hmap_remove(&bridges_by_uuid, &br->uuid_node);
    ofproto_destroy(br->ofproto, delete_datapath);
    row_set_destroy(&br->port_rows);
    hmap_destroy(&br->ifaces);
    hmap_destroy(&br->mirrors);
    hmap_destroy(&br->mappings);
    free(br->name);
    free(br->type);
    free(br);
    ifaces_retry_soon();
}

/* Destroys all bridges.  If 'delete_datapath', also deletes what would outlive
 * this process. */
void
bridges_destroy_all(bool delete_datapath)
{
    struct bridge *br;

    HMAP_FOR_EACH_SAFE (br, name_node, &bridges_by_name) {
        bridge_destroy(br, delete_datapath);
    }
}

/* --- Which bridges there are --------------------------------------------- */

/* The name is part of the names of sockets: no user of the database may lead
 * them out of their directory. */
static bool
is_valid_bridge_name(const char *name)
{
    return name[0] && !strchr(name, '/') && !strchr(name, '\\');
}

/* Returns true if the set of bridges may have changed, or one has to be
 * replaced. */
bool
bridges_changed(const struct ovsrec_open_vswitch *root)
{
    const struct ovsrec_bridge *row;

    if (ovsrec_open_vswitch_is_updated(root,
                                       OVSREC_OPEN_VSWITCH_COL_BRIDGES)) {
        return true;
    }
    OVSREC_BRIDGE_FOR_EACH_TRACKED (row, idl) {
        if (ovsrec_bridge_is_updated(row, OVSREC_BRIDGE_COL_DATAPATH_TYPE)) {
            return true;
        }
    }
    return false;
}

/* Makes and destroys bridges as 'root' (which may be null: none) wants
 * them. */
void
bridges_update(const struct ovsrec_open_vswitch *root)
{
    static struct vlog_rate_limit rl = VLOG_RATE_LIMIT_INIT(1, 5);
    struct shash wanted = SHASH_INITIALIZER(&wanted);
    struct shash_node *node;
    struct bridge *br;

    for (size_t i = 0; root && i < root->n_bridges; i++) {
        const struct ovsrec_bridge *row = root->bridges[i];

        if (!is_valid_bridge_name(row->name)) {
            VLOG_WARN_RL(&rl, "ignoring bridge with invalid name \"%s\"",
                         row->name);
        } else if (!shash_add_once(&wanted, row->name, row)) {
            VLOG_WARN_RL(&rl, "bridge %s specified twice", row->name);
        }
    }

    HMAP_FOR_EACH_SAFE (br, name_node, &bridges_by_name) {
        const struct ovsrec_bridge *row = shash_find_data(&wanted, br->name);

        if (!row || strcmp(br->type,
                           ofproto_normalize_type(row->datapath_type))) {
            bridge_destroy(br, true);
        } else if (!uuid_equals(&br->uuid, &row->header_.uuid)) {
            hmap_remove(&bridges_by_uuid, &br->uuid_node);
            bridge_bind(br, &row->header_.uuid);
        }
    }
    SHASH_FOR_EACH (node, &wanted) {
        if (!bridge_find(node->name)) {
            bridge_create(node->data);
        }
    }
    shash_destroy(&wanted);
}

/* Creates the ofprotos that are missing. */
void
bridges_create_ofprotos(void)
{
    struct bridge *br;

    BRIDGE_FOR_EACH (br) {
        int error;

        if (br->ofproto) {
            continue;
        }
        error = ofproto_create(br->name, br->type, &br->ofproto);
        if (error) {
            static struct vlog_rate_limit rl = VLOG_RATE_LIMIT_INIT(1, 5);

            VLOG_ERR_RL(&rl, "failed to create bridge %s: %s", br->name,
                        ovs_strerror(error));
            br->ofproto = NULL;
        } else {
            settings_configure_type(br->type);
            bridge_mark(br, BRIDGE_ALL);
            seq_change(connectivity_seq_get());
        }
    }
}

/* --- Which ports they have ----------------------------------------------- */

/* Ports whose rows are gone, until we know whether a row of the same name took
 * its place. */
static void
take_out_removed(struct bridge *br, struct row_set_diff *diff,
                 struct shash *removed)
{
    const struct ovsrec_bridge *row = bridge_row(br);

    row_set_update(&br->port_rows,
                   ovsrec_bridge_get_ports(row, OVSDB_TYPE_UUID), diff);
    for (size_t i = 0; i < diff->n_removed; i++) {
        struct port *port = port_by_uuid(&diff->removed[i]);

        if (port) {
            port_unbind(port);
            shash_add(removed, port->name, port);
        }
    }
}

static struct port *
take_removed(struct shash *removed, const struct bridge *br, const char *name)
{
    struct shash_node *node = shash_find(removed, name);
    struct port *port = node ? node->data : NULL;

    if (!port || port->bridge != br) {
        return NULL;
    }
    shash_delete(removed, node);
    return port;
}

static void
put_in_added(struct bridge *br, const struct row_set_diff *diff,
             struct shash *removed)
{
    for (size_t i = 0; i < diff->n_added; i++) {
        const struct ovsrec_port *row
            = ovsrec_port_get_for_uuid(idl, &diff->added[i]);
        struct port *port = take_removed(removed, br, row->name);

        if (port) {
            port_bind(port, &diff->added[i]);
        } else {
            port_create(br, row->name, &diff->added[i]);
        }
    }
}

/* A bridge with controllers needs its local port, which in-band control and
 * the controllers' own addresses use.  Makes one if the database doesn't. */
static void
update_synthetic_port(struct bridge *br)
{
    const struct ovsrec_bridge *row = bridge_row(br);
    bool wanted = bridge_get_controllers(row, NULL) > 0;

    for (size_t i = 0; wanted && i < row->n_ports; i++) {
        wanted = strcmp(row->ports[i]->name, br->name);
    }
    if (!wanted && br->synthetic) {
        port_destroy(br->synthetic);
        br->synthetic = NULL;
    } else if (wanted && !br->synthetic) {
        static const struct uuid none = { .parts = { 0, 0, 0, 0 } };

        VLOG_WARN("bridge %s: no port named %s, synthesizing one",
                  br->name, br->name);
        br->synthetic = port_create(br, br->name, &none);
        iface_create(br->synthetic, br->name, &none);
    }
}

/* Destroys the ports that dirty bridges no longer want and makes those that
 * they want anew.  They have no open interfaces yet. */
void
bridges_update_ports(void)
{
    struct shash removed = SHASH_INITIALIZER(&removed);
    size_t n = ovs_list_size(&dirty_bridges);
    struct row_set_diff *diffs = xcalloc(n, sizeof *diffs);
    struct shash_node *node;
    struct bridge *br;
    size_t i;

    i = 0;
    LIST_FOR_EACH (br, dirty_node, &dirty_bridges) {
        if (br->aspects & BRIDGE_PORTS) {
            take_out_removed(br, &diffs[i], &removed);
        }
        i++;
    }
    i = 0;
    LIST_FOR_EACH (br, dirty_node, &dirty_bridges) {
        if (br->aspects & BRIDGE_PORTS) {
            put_in_added(br, &diffs[i], &removed);
            update_synthetic_port(br);
        }
        row_set_diff_destroy(&diffs[i++]);
    }
    free(diffs);

    SHASH_FOR_EACH (node, &removed) {
        port_destroy(node->data);
    }
    shash_destroy(&removed);
}

/* --- Configuration ------------------------------------------------------- */

static void
bridge_configure_forwarding(struct bridge *br)
{
    const struct ovsrec_bridge *row = bridge_row(br);
    const struct smap *oc = &row->other_config;
    int idle_time = smap_get_int(oc, "mac-aging-time", 0);
    int table_size = smap_get_int(oc, "mac-table-size", 0);
    const char *version;

    ofproto_set_mac_table_config(
        br->ofproto,
        idle_time ? idle_time : MAC_ENTRY_DEFAULT_IDLE_TIME,
        table_size ? table_size : MAC_DEFAULT_MAX);
    ofproto_set_forward_bpdu(br->ofproto,
                             smap_get_bool(oc, "forward-bpdu", false));
    ofproto_set_dp_desc(br->ofproto, smap_get(oc, "dp-desc"));
    ofproto_set_serial_desc(br->ofproto, smap_get(oc, "dp-sn"));

    version = (br->ofproto->ofproto_class->get_datapath_version
               ? br->ofproto->ofproto_class->get_datapath_version(br->ofproto)
               : NULL);
    ovsrec_bridge_set_datapath_version(row, version ? version : "<unknown>");
}

static void
bridge_configure(struct bridge *br)
{
    static const struct {
        enum bridge_aspect aspect;
        void (*configure)(struct bridge *);
    } steps[] = {
        { BRIDGE_MIRRORS, bridge_configure_mirrors },
        { BRIDGE_MIRRORS, bridge_mirrors_changed },
        { BRIDGE_FORWARDING, bridge_configure_forwarding },
        { BRIDGE_MULTICAST, bridge_configure_multicast },
        { BRIDGE_CONTROLLERS, bridge_configure_controllers },
        { BRIDGE_EXPORT, bridge_configure_export },
        /* After the mirrors, whose outputs have no spanning tree. */
        { BRIDGE_SPANNING_TREE, bridge_configure_spanning_tree },
        { BRIDGE_TABLES, bridge_configure_tables },
        { BRIDGE_AUTO_ATTACH, bridge_configure_auto_attach },
    };

    for (size_t i = 0; i < ARRAY_SIZE(steps); i++) {
        if (br->aspects & steps[i].aspect) {
            steps[i].configure(br);
        }
    }
}

/* Configures what is dirty about bridges that have an ofproto, and their dirty
 * ports and interfaces. */
void
bridges_configure(void)
{
    struct bridge *br;

    /* The addresses are what LACP and spanning tree go by. */
    LIST_FOR_EACH (br, dirty_node, &dirty_bridges) {
        if (br->ofproto && br->aspects & BRIDGE_ADDRESS) {
            bridge_configure_address(br);
        }
    }
    ports_configure();
    LIST_FOR_EACH_POP (br, dirty_node, &dirty_bridges) {
        if (br->ofproto) {
            bridge_configure(br);
        }
        br->aspects = 0;
    }
}

/* Adds to 'hints' what ofproto_init() wants: for each interface in the
 * database its bridge and the port number that it asks for or had before.  The
 * values are allocated, their strings belong to the rows. */
void
bridges_collect_hints(const struct ovsrec_open_vswitch *root,
                      struct shash *hints)
{
    for (size_t i = 0; i < root->n_bridges; i++) {
        const struct ovsrec_bridge *br = root->bridges[i];

        for (size_t j = 0; j < br->n_ports; j++) {
            const struct ovsrec_port *port = br->ports[j];

            for (size_t k = 0; k < port->n_interfaces; k++) {
                const struct ovsrec_interface *iface = port->interfaces[k];
                struct iface_hint *hint = xmalloc(sizeof *hint);

                hint->br_name = br->name;
                hint->br_type = br->datapath_type;
                hint->ofp_port = iface_wanted_ofp_port(iface);
                shash_add(hints, iface->name, hint);
            }
        }
    }
}
