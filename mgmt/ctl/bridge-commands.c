/* Commands about bridges, real and fake. */
#include <config.h>
#include "session.h"

#include <inttypes.h>
#include <limits.h>

#include "ovsdb-idl.h"
#include "schemas/vswitch-idl.h"
#include "smap.h"
#include "svec.h"
#include "util.h"

/* Appends 'names', sorted, to 'output', one on each line. */
void
output_sorted(struct svec *names, struct ds *output)
{
    const char *name;
    size_t i;

    svec_sort(names);
    SVEC_FOR_EACH (i, name, names) {
        ds_put_format(output, "%s\n", name);
    }
}

/* Declares what topology.c reads, but for Bridge.ports, which scope.c adds
 * when it comes to that. */
void
pre_topology(struct ctl_context *ctx)
{
    ovsdb_idl_add_column(ctx->idl, &ovsrec_open_vswitch_col_bridges);
    ovsdb_idl_add_column(ctx->idl, &ovsrec_bridge_col_name);
    ovsdb_idl_add_column(ctx->idl, &ovsrec_port_col_name);
    ovsdb_idl_add_column(ctx->idl, &ovsrec_port_col_fake_bridge);
    ovsdb_idl_add_column(ctx->idl, &ovsrec_port_col_tag);
    ovsdb_idl_add_column(ctx->idl, &ovsrec_port_col_interfaces);
    ovsdb_idl_add_column(ctx->idl, &ovsrec_interface_col_name);

    /* How the switch answers to a new interface. */
    ovsdb_idl_add_column(ctx->idl, &ovsrec_interface_col_ofport);
    ovsdb_idl_add_column(ctx->idl, &ovsrec_interface_col_error);
}

/* Does nothing: that the Open_vSwitch table has a row is all that "init" is
 * about, and every command sees to that. */
static void
cmd_init(struct ctl_context *ctx OVS_UNUSED)
{
}

/* "--may-exist add-br": ends the program with a message unless 'br', which
 * exists, is what was asked for. */
static void
check_same_bridge(const struct bridge *br, const char *parent, int vlan)
{
    if (!parent) {
        if (br->parent) {
            ctl_fatal("\"--may-exist add-br %s\" but %s is a VLAN bridge for "
                      "VLAN %d", br->name, br->name, br->vlan);
        }
    } else if (!br->parent) {
        ctl_fatal("\"--may-exist add-br %s %s %d\" but %s is not a VLAN "
                  "bridge", br->name, parent, vlan, br->name);
    } else if (strcmp(br->parent->name, parent)) {
        ctl_fatal("\"--may-exist add-br %s %s %d\" but %s has the wrong "
                  "parent %s",
                  br->name, parent, vlan, br->name, br->parent->name);
    } else if (br->vlan != vlan) {
        ctl_fatal("\"--may-exist add-br %s %s %d\" but %s is a VLAN bridge "
                  "for the wrong VLAN %d",
                  br->name, parent, vlan, br->name, br->vlan);
    }
}

static struct bridge *
find_parent(struct topology *topo, const char *name, int vlan)
{
    struct bridge *parent = topology_find_bridge(topo, name, false);
    const struct bridge *child;

    if (parent && parent->parent) {
        ctl_fatal("cannot create bridge with fake bridge as parent");
    }
    if (!parent) {
        ctl_fatal("parent bridge %s does not exist", name);
    }
    child = bridge_find_child(parent, vlan);
    if (child) {
        ctl_fatal("bridge %s already has a child VLAN bridge %s on VLAN %d",
                  name, child->name, vlan);
    }
    return parent;
}

/* Inserts a bridge's local port, with its interface.  Stores the interface in
 * '*ifacep'. */
static struct ovsrec_port *
insert_local_port(struct ctl_context *ctx, const char *name,
                  struct ovsrec_interface **ifacep)
{
    struct ovsrec_interface *iface = ovsrec_interface_insert(ctx->txn);
    struct ovsrec_port *port = ovsrec_port_insert(ctx->txn);

    ovsrec_interface_set_name(iface, name);
    ovsrec_interface_set_type(iface, "internal");
    ovsrec_port_set_name(port, name);
    ovsrec_port_set_interfaces(port, &iface, 1);
    session_expect_iface(iface);
    *ifacep = iface;
    return port;
}

static void
cmd_add_br(struct ctl_context *ctx)
{
    const char *name = ctx->argv[1];
    const char *parent_name = ctx->argc == 4 ? ctx->argv[2] : NULL;
    struct ovsrec_interface *iface;
    struct topology *topo;
    struct bridge *br;
    struct port *port;
    int vlan = 0;

    if (!name[0]) {
        ctl_fatal("bridge name must not be empty string");
    }
    if (ctx->argc == 4) {
        vlan = atoi(ctx->argv[3]);
        if (vlan < 0 || vlan > 4095) {
            ctl_fatal("%s: vlan must be between 0 and 4095", ctx->argv[0]);
        }
    } else if (ctx->argc != 2) {
        ctl_fatal("'%s' command takes exactly 1 or 3 arguments", ctx->argv[0]);
    }

    topo = loaded_topology(ctx);
    if (has_option(ctx, "--may-exist")) {
        br = topology_find_bridge(topo, name, false);
        if (br) {
            check_same_bridge(br, parent_name, vlan);
            return;
        }
    }
    topology_check_name_free(topo, name, "a bridge");

    if (!parent_name) {
        struct ovsrec_bridge *br_row = ovsrec_bridge_insert(ctx->txn);
        struct ovsrec_port *row = insert_local_port(ctx, name, &iface);

        ovsrec_bridge_set_name(br_row, name);
        br = topology_add_bridge(topo, br_row);
        port = topology_add_port(topo, br, row);
    } else {
        struct bridge *parent = find_parent(topo, parent_name, vlan);
        struct ovsrec_port *row = insert_local_port(ctx, name, &iface);
        int64_t tag = vlan;

        ovsrec_port_set_fake_bridge(row, true);
        ovsrec_port_set_tag(row, &tag, 1);
        br = topology_add_fake_bridge(topo, parent, row);
        port = topology_add_port(topo, br, row);
    }
    topology_add_iface(topo, port, iface);
}

static void
pre_del_br(struct ctl_context *ctx)
{
    pre_topology(ctx);
    ovsdb_idl_add_column(ctx->idl,
                         &ovsrec_flow_sample_collector_set_col_bridge);
}

static void
cmd_del_br(struct ctl_context *ctx)
{
    struct topology *topo = loaded_topology(ctx);
    struct bridge *br = topology_find_bridge(topo, ctx->argv[1],
                                             !has_option(ctx, "--if-exists"));

    if (br && br->parent && topo->partial) {
        topo->insufficient = true; /* Which ports have its tag? */
    } else if (br) {
        topology_delete_bridge(topo, br);
    }
}

static void
cmd_list_br(struct ctl_context *ctx)
{
    struct topology *topo = loaded_topology(ctx);
    bool real = has_option(ctx, "--real");
    bool fake = has_option(ctx, "--fake");
    struct svec names = SVEC_EMPTY_INITIALIZER;
    const struct shash_node *node;

    if (!real && !fake) {
        real = fake = true;
    }
    SHASH_FOR_EACH (node, &topo->bridges) {
        const struct bridge *br = node->data;

        if (br->parent ? fake : real) {
            svec_add(&names, br->name);
        }
    }
    output_sorted(&names, &ctx->output);
    svec_destroy(&names);
}

static void
cmd_br_exists(struct ctl_context *ctx)
{
    if (!topology_find_bridge(loaded_topology(ctx), ctx->argv[1], false)) {
        session_exit(2);
    }
}

static void
cmd_br_to_vlan(struct ctl_context *ctx)
{
    const struct bridge *br = topology_find_bridge(loaded_topology(ctx),
                                                   ctx->argv[1], true);

    ds_put_format(&ctx->output, "%d\n", br->vlan);
}

static void
cmd_br_to_parent(struct ctl_context *ctx)
{
    const struct bridge *br = topology_find_bridge(loaded_topology(ctx),
                                                   ctx->argv[1], true);

    ds_put_format(&ctx->output, "%s\n",
                  br->parent ? br->parent->name : br->name);
}

/* The external IDs of a bridge: its own, or, for a fake bridge, those of its
 * port that begin with "fake-bridge-". */
#define FAKE_PREFIX "fake-bridge-"

static void
pre_external_ids(struct ctl_context *ctx)
{
    pre_topology(ctx);
    ovsdb_idl_add_column(ctx->idl, &ovsrec_bridge_col_external_ids);
    ovsdb_idl_add_column(ctx->idl, &ovsrec_port_col_external_ids);
}

/* Initializes 'ids' with a copy of 'old' in which 'key' is 'value', or absent
 * if 'value' is NULL.  The caller must destroy it. */
static void
change_id(struct smap *ids, const struct smap *old, const char *key,
          const char *value)
{
    smap_clone(ids, old);
    if (value) {
        smap_replace(ids, key, value);
    } else {
        smap_remove(ids, key);
    }
}

static void
cmd_br_set_external_id(struct ctl_context *ctx)
{
    struct topology *topo = loaded_topology(ctx);
    const struct bridge *br = topology_find_bridge(topo, ctx->argv[1], true);
    const char *value = ctx->argc >= 4 ? ctx->argv[3] : NULL;
    struct smap ids;

    if (br->row) {
        change_id(&ids, &br->row->external_ids, ctx->argv[2], value);
        ovsrec_bridge_verify_external_ids(br->row);
        ovsrec_bridge_set_external_ids(br->row, &ids);
    } else {
        const struct port *port = shash_find_data(&topo->ports, br->name);
        char *key = xasprintf(FAKE_PREFIX"%s", ctx->argv[2]);

        change_id(&ids, &port->row->external_ids, key, value);
        ovsrec_port_verify_external_ids(port->row);
        ovsrec_port_set_external_ids(port->row, &ids);
        free(key);
    }
    smap_destroy(&ids);
}

static void
print_ids(const struct smap *ids, const char *prefix, const char *key,
          struct ds *output)
{
    size_t prefix_len = strlen(prefix);

    if (key) {
        char *full_key = xasprintf("%s%s", prefix, key);
        const char *value = smap_get(ids, full_key);

        if (value) {
            ds_put_format(output, "%s\n", value);
        }
        free(full_key);
    } else {
        const struct smap_node **nodes = smap_sort(ids);

        for (size_t i = 0; i < smap_count(ids); i++) {
            if (!strncmp(nodes[i]->key, prefix, prefix_len)) {
                ds_put_format(output, "%s=%s\n", nodes[i]->key + prefix_len,
                              nodes[i]->value);
            }
        }
        free(nodes);
    }
}

static void
cmd_br_get_external_id(struct ctl_context *ctx)
{
    struct topology *topo = loaded_topology(ctx);
    const struct bridge *br = topology_find_bridge(topo, ctx->argv[1], true);
    const char *key = ctx->argc >= 3 ? ctx->argv[2] : NULL;

    if (br->row) {
        ovsrec_bridge_verify_external_ids(br->row);
        print_ids(&br->row->external_ids, "", key, &ctx->output);
    } else {
        const struct port *port = shash_find_data(&topo->ports, br->name);

        ovsrec_port_verify_external_ids(port->row);
        print_ids(&port->row->external_ids, FAKE_PREFIX, key, &ctx->output);
    }
}

const struct ctl_command_syntax bridge_commands[] = {
    {"init", 0, 0, "", NULL, cmd_init, NULL, "", RW},
    {"add-br", 1, 3, "NEW-BRIDGE [PARENT] [NEW-VLAN]",
     pre_topology, cmd_add_br, NULL, "--may-exist", RW},
    {"del-br", 1, 1, "BRIDGE",
     pre_del_br, cmd_del_br, NULL, "--if-exists", RW},
    {"list-br", 0, 0, "",
     pre_topology, cmd_list_br, NULL, "--real,--fake", RO},
    {"br-exists", 1, 1, "BRIDGE",
     pre_topology, cmd_br_exists, NULL, "", RO},
    {"br-to-vlan", 1, 1, "BRIDGE",
     pre_topology, cmd_br_to_vlan, NULL, "", RO},
    {"br-to-parent", 1, 1, "BRIDGE",
     pre_topology, cmd_br_to_parent, NULL, "", RO},
    {"br-set-external-id", 2, 3, "BRIDGE KEY [VALUE]",
     pre_external_ids, cmd_br_set_external_id, NULL, "", RW},
    {"br-get-external-id", 1, 2, "BRIDGE [KEY]",
     pre_external_ids, cmd_br_get_external_id, NULL, "", RO},
    {NULL, 0, 0, NULL, NULL, NULL, NULL, NULL, RO},
};
