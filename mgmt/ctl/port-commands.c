/* Commands about ports, bonds and interfaces. */
#include <config.h>
#include "session.h"

#include <limits.h>

#include "port-commands.h"
#include "process.h"
#include "schemas/vswitch-idl.h"
#include "svec.h"
#include "util.h"

/* Returns the command in 'ctx' as the user may have typed it, for messages.
 * The caller must free it. */
static char *
command_to_string(const struct ctl_context *ctx)
{
    struct svec words = SVEC_EMPTY_INITIALIZER;
    const struct shash_node *node;
    char *s;

    SHASH_FOR_EACH (node, &ctx->options) {
        svec_add(&words, node->name);
    }
    for (int i = 0; i < ctx->argc; i++) {
        svec_add(&words, ctx->argv[i]);
    }
    svec_terminate(&words);
    s = process_escape_args(words.names);
    svec_destroy(&words);
    return s;
}

/* "list-ports" and "list-ifaces" need many rows, so they are choosy about
 * columns. */
static void
pre_list_ports(struct ctl_context *ctx)
{
    ovsdb_idl_add_column(ctx->idl, &ovsrec_open_vswitch_col_bridges);
    ovsdb_idl_add_column(ctx->idl, &ovsrec_bridge_col_name);
    ovsdb_idl_add_column(ctx->idl, &ovsrec_bridge_col_ports);
    ovsdb_idl_add_column(ctx->idl, &ovsrec_port_col_name);
    ovsdb_idl_add_column(ctx->idl, &ovsrec_port_col_fake_bridge);
    ovsdb_idl_add_column(ctx->idl, &ovsrec_port_col_tag);
}

static void
pre_list_ifaces(struct ctl_context *ctx)
{
    pre_list_ports(ctx);
    ovsdb_idl_add_column(ctx->idl, &ovsrec_port_col_interfaces);
    ovsdb_idl_add_column(ctx->idl, &ovsrec_interface_col_name);
}

static void
cmd_list_ports(struct ctl_context *ctx)
{
    struct topology *topo = loaded_topology(ctx);
    const struct bridge *br = topology_find_bridge(topo, ctx->argv[1], true);
    struct svec names = SVEC_EMPTY_INITIALIZER;
    const struct port *port;

    ovsrec_bridge_verify_ports(bridge_real_row(br));
    LIST_FOR_EACH (port, node, &br->ports) {
        if (strcmp(port->row->name, br->name)) {
            svec_add(&names, port->row->name);
        }
    }
    output_sorted(&names, &ctx->output);
    svec_destroy(&names);
}

static void
cmd_list_ifaces(struct ctl_context *ctx)
{
    struct topology *topo = loaded_topology(ctx);
    const struct bridge *br = topology_find_bridge(topo, ctx->argv[1], true);
    struct svec names = SVEC_EMPTY_INITIALIZER;
    const struct port *port;

    topology_verify(topo);
    LIST_FOR_EACH (port, node, &br->ports) {
        const struct iface *iface;

        LIST_FOR_EACH (iface, node, &port->ifaces) {
            if (strcmp(iface->row->name, br->name)) {
                svec_add(&names, iface->row->name);
            }
        }
    }
    output_sorted(&names, &ctx->output);
    svec_destroy(&names);
}

/* "--may-exist": ends the program with a message unless 'port', which exists,
 * is on 'br_name' and consists of 'iface_names'. */
static void
check_same_port(struct ctl_context *ctx, const struct port *port,
                const char *br_name, char *iface_names[], size_t n_ifaces)
{
    struct svec want = SVEC_EMPTY_INITIALIZER;
    struct svec have = SVEC_EMPTY_INITIALIZER;

    if (strcmp(port->bridge->name, br_name)) {
        ctl_fatal("\"%s\" but %s is actually attached to bridge %s",
                  command_to_string(ctx), port->row->name,
                  port->bridge->name);
    }

    for (size_t i = 0; i < n_ifaces; i++) {
        svec_add(&want, iface_names[i]);
    }
    for (size_t i = 0; i < port->row->n_interfaces; i++) {
        svec_add(&have, port->row->interfaces[i]->name);
    }
    svec_sort(&want);
    svec_sort(&have);
    if (!svec_equal(&want, &have)) {
        ctl_fatal("\"%s\" but %s actually has interface(s) %s",
                  command_to_string(ctx), port->row->name,
                  svec_join(&have, ", ", ""));
    }
    svec_destroy(&want);
    svec_destroy(&have);
}

/* Adds port 'name' to bridge 'br_name', made of new interfaces called
 * 'iface_names' and with 'settings' ("COLUMN[:KEY]=VALUE") applied to its row.
 * Returns it, or NULL if it exists already and the command's "--may-exist"
 * option says that this is fine.  Ends the program with a message if it can't
 * be added. */
struct port *
add_port(struct ctl_context *ctx, const char *br_name, const char *name,
         char *iface_names[], size_t n_ifaces,
         char *port_settings[], size_t n_settings)
{
    struct ovsrec_interface **ifaces;
    struct ovsrec_port *row;
    struct topology *topo;
    struct bridge *br;
    struct port *port;

    if (!name[0]) {
        ctl_fatal("port name must not be empty string");
    }
    for (size_t i = 0; i < n_ifaces; i++) {
        if (!iface_names[i][0]) {
            ctl_fatal("interface name must not be empty string");
        }
    }

    topo = loaded_topology(ctx);
    if (has_option(ctx, "--may-exist")) {
        port = topology_find_port(topo, name, false);
        if (port) {
            check_same_port(ctx, port, br_name, iface_names, n_ifaces);
            return NULL;
        }
    }
    topology_check_name_free(topo, name, "a port");
    for (size_t i = 0; i < n_ifaces; i++) {
        topology_check_name_free(topo, iface_names[i], "an interface");
    }
    br = topology_find_bridge(topo, br_name, true);

    ifaces = xmalloc(n_ifaces * sizeof *ifaces);
    for (size_t i = 0; i < n_ifaces; i++) {
        ifaces[i] = ovsrec_interface_insert(ctx->txn);
        ovsrec_interface_set_name(ifaces[i], iface_names[i]);
        session_expect_iface(ifaces[i]);
    }
    row = ovsrec_port_insert(ctx->txn);
    ovsrec_port_set_name(row, name);
    ovsrec_port_set_interfaces(row, ifaces, n_ifaces);
    ovsrec_port_set_bond_fake_iface(row, has_option(ctx, "--fake-iface"));
    if (br->parent) {
        int64_t tag = br->vlan;

        ovsrec_port_set_tag(row, &tag, 1);
    }
    for (size_t i = 0; i < n_settings; i++) {
        char *error = ctl_set_column("Port", &row->header_, port_settings[i],
                                     ctx->symtab);
        if (error) {
            ctl_fatal("%s", error);
        }
    }

    port = topology_add_port(topo, br, row);
    for (size_t i = 0; i < n_ifaces; i++) {
        topology_add_iface(topo, port, ifaces[i]);
    }
    free(ifaces);
    return port;
}

static void
cmd_add_port(struct ctl_context *ctx)
{
    add_port(ctx, ctx->argv[1], ctx->argv[2], &ctx->argv[2], 1,
             &ctx->argv[3], ctx->argc - 3);
}

static void
cmd_add_bond(struct ctl_context *ctx)
{
    int n_ifaces = 0;

    while (3 + n_ifaces < ctx->argc
           && !strchr(ctx->argv[3 + n_ifaces], '=')) {
        n_ifaces++;
    }
    if (n_ifaces < 2) {
        ctl_fatal("add-bond requires at least 2 interfaces, but only "
                  "%d were specified", n_ifaces);
    }
    add_port(ctx, ctx->argv[1], ctx->argv[2], &ctx->argv[3], n_ifaces,
             &ctx->argv[3 + n_ifaces], ctx->argc - 3 - n_ifaces);
}

static void
cmd_add_bond_iface(struct ctl_context *ctx)
{
    struct topology *topo = loaded_topology(ctx);
    struct port *port = topology_find_port(topo, ctx->argv[1], true);
    const char *name = ctx->argv[2];
    struct ovsrec_interface *row;

    if (has_option(ctx, "--may-exist")) {
        const struct iface *iface = topology_find_iface(topo, name, false);

        if (iface && iface->port == port) {
            return;
        } else if (iface) {
            ctl_fatal("\"%s\" but %s is actually attached to port %s",
                      command_to_string(ctx), name, iface->port->row->name);
        }
    }
    topology_check_name_free(topo, name, "an interface");

    row = ovsrec_interface_insert(ctx->txn);
    ovsrec_interface_set_name(row, name);
    ovsrec_port_update_interfaces_addvalue(port->row, row);
    session_expect_iface(row);
    topology_add_iface(topo, port, row);
}

static void
cmd_del_bond_iface(struct ctl_context *ctx)
{
    struct topology *topo = loaded_topology(ctx);
    const char *name = ctx->argv[ctx->argc - 1];
    const char *port_name = ctx->argc > 2 ? ctx->argv[1] : NULL;
    struct iface *iface = topology_find_iface(
        topo, name, !has_option(ctx, "--if-exists"));

    if (!iface) {
        return;
    }
    if (port_name && topology_find_port(topo, port_name, true)
        != iface->port) {
        ctl_fatal("port %s does not have an interface %s", port_name, name);
    }
    if (ovs_list_is_short(&iface->port->ifaces)) {
        ctl_fatal("cannot delete last interface from port %s",
                  iface->port->row->name);
    }
    ovsrec_port_update_interfaces_delvalue(iface->port->row, iface->row);
    topology_delete_iface(topo, iface);
}

/* Returns the port that "del-port" is to delete, or NULL if there is none and
 * that is fine. */
static struct port *
find_port_to_delete(struct ctl_context *ctx, const char *name)
{
    struct topology *topo = loaded_topology(ctx);
    bool must_exist = !has_option(ctx, "--if-exists");
    const struct iface *iface;
    struct port *port;

    if (topology_find_bridge(topo, name, false)) {
        if (must_exist) {
            ctl_fatal("cannot delete port %s because it is the local port "
                      "for bridge %s (deleting this port requires deleting "
                      "the entire bridge)", name, name);
        }
        return NULL;
    }
    if (!has_option(ctx, "--with-iface")) {
        return topology_find_port(topo, name, must_exist);
    }

    port = topology_find_port(topo, name, false);
    if (!port) {
        iface = topology_find_iface(topo, name, false);
        port = iface ? iface->port : NULL;
    }
    if (must_exist && !port) {
        ctl_fatal("no port or interface named %s", name);
    }
    return port;
}

static void
cmd_del_port(struct ctl_context *ctx)
{
    struct port *port = find_port_to_delete(ctx, ctx->argv[ctx->argc - 1]);
    struct topology *topo = loaded_topology(ctx);

    if (!port) {
        return;
    }
    if (ctx->argc == 3) {
        const struct bridge *br = topology_find_bridge(topo, ctx->argv[1],
                                                       true);

        if (port->bridge == br) {
            /* As it should be. */
        } else if (port->bridge->parent == br) {
            ctl_fatal("bridge %s does not have a port %s (although its child "
                      "bridge %s does)",
                      ctx->argv[1], ctx->argv[2], port->bridge->name);
        } else {
            ctl_fatal("bridge %s does not have a port %s",
                      ctx->argv[1], ctx->argv[2]);
        }
    }
    topology_delete_port(topo, port);
}

static void
cmd_port_to_br(struct ctl_context *ctx)
{
    const struct port *port = topology_find_port(loaded_topology(ctx),
                                                 ctx->argv[1], true);

    ds_put_format(&ctx->output, "%s\n", port->bridge->name);
}

static void
cmd_iface_to_br(struct ctl_context *ctx)
{
    const struct iface *iface = topology_find_iface(loaded_topology(ctx),
                                                    ctx->argv[1], true);

    ds_put_format(&ctx->output, "%s\n", iface->port->bridge->name);
}

const struct ctl_command_syntax port_commands[] = {
    {"list-ports", 1, 1, "BRIDGE",
     pre_list_ports, cmd_list_ports, NULL, "", RO},
    {"add-port", 2, INT_MAX, "BRIDGE NEW-PORT [COLUMN[:KEY]=VALUE]...",
     pre_topology, cmd_add_port, NULL, "--may-exist", RW},
    {"del-port", 1, 2, "[BRIDGE] PORT|IFACE",
     pre_topology, cmd_del_port, NULL, "--if-exists,--with-iface", RW},
    {"port-to-br", 1, 1, "PORT",
     pre_topology, cmd_port_to_br, NULL, "", RO},

    {"add-bond", 4, INT_MAX, "BRIDGE BOND IFACE... [COLUMN[:KEY]=VALUE]...",
     pre_topology, cmd_add_bond, NULL, "--may-exist,--fake-iface", RW},
    {"add-bond-iface", 2, 2, "BOND IFACE",
     pre_topology, cmd_add_bond_iface, NULL, "--may-exist", RW},
    {"del-bond-iface", 1, 2, "[BOND] IFACE",
     pre_topology, cmd_del_bond_iface, NULL, "--if-exists", RW},

    {"list-ifaces", 1, 1, "BRIDGE",
     pre_list_ifaces, cmd_list_ifaces, NULL, "", RO},
    {"iface-to-br", 1, 1, "IFACE",
     pre_topology, cmd_iface_to_br, NULL, "", RO},
    {NULL, 0, 0, NULL, NULL, NULL, NULL, NULL, RO},
};
