/* "add-vhost": a port for a guest, in one command. */
#include <config.h>
#include "session.h"

#include <limits.h>

#include "openvswitch/json.h"
#include "ovsdb-idl.h"
#include "port-commands.h"
#include "schemas/vswitch-idl.h"
#include "smap.h"
#include "util.h"

static void
pre_add_vhost(struct ctl_context *ctx)
{
    pre_topology(ctx);
    ovsdb_idl_add_column(ctx->idl, &ovsrec_interface_col_type);
    ovsdb_idl_add_column(ctx->idl, &ovsrec_interface_col_options);
}

/* The switch and the guest agree on a socket by its full name only. */
static const char *
check_socket(const char *path)
{
    if (path[0] != '/') {
        ctl_fatal("%s: a vhost-user socket must be given by its absolute "
                  "path", path);
    }
    return path;
}

static void
print_added(struct ctl_context *ctx, const char *socket, bool server)
{
    struct json *json = json_object_create();
    char *s;

    json_object_put_string(json, "bridge", ctx->argv[1]);
    json_object_put_string(json, "port", ctx->argv[2]);
    json_object_put_string(json, "socket", socket);
    json_object_put_string(json, "mode", server ? "server" : "client");
    s = json_to_string(json, JSSF_SORT);
    ds_put_format(&ctx->output, "%s\n", s);
    free(s);
    json_destroy(json);
}

static void
cmd_add_vhost(struct ctl_context *ctx)
{
    char *name = ctx->argv[2];
    const char *socket = check_socket(ctx->argv[3]);
    struct smap options = SMAP_INITIALIZER(&options);
    const struct ovsrec_interface *iface;
    struct port *port;
    bool server = false;
    int i = 4;

    if (i < ctx->argc && !strchr(ctx->argv[i], '=')) {
        server = !strcmp(ctx->argv[i], "server");
        if (!server && strcmp(ctx->argv[i], "client")) {
            ctl_fatal("%s: expected \"client\", \"server\" or KEY=VALUE",
                      ctx->argv[i]);
        }
        i++;
    }
    smap_add(&options, server ? "vhost-socket-path" : "vhost-server-path",
             socket);
    for (; i < ctx->argc; i++) {
        const char *equals = strchr(ctx->argv[i], '=');

        if (!equals || equals == ctx->argv[i]) {
            ctl_fatal("%s: expected KEY=VALUE", ctx->argv[i]);
        }
        smap_add_nocopy(&options, xmemdup0(ctx->argv[i],
                                           equals - ctx->argv[i]),
                        xstrdup(equals + 1));
    }

    port = add_port(ctx, ctx->argv[1], name, &name, 1, NULL, 0);
    iface = (port ? port->row->interfaces[0]
             : topology_find_port(loaded_topology(ctx), name, true)
               ->row->interfaces[0]);
    ovsrec_interface_set_type(iface, "vhostuser");
    ovsrec_interface_set_options(iface, &options);
    smap_destroy(&options);

    if (settings.style.format == TF_JSON) {
        print_added(ctx, socket, server);
    }
}

const struct ctl_command_syntax vhost_commands[] = {
    {"add-vhost", 3, INT_MAX, "BRIDGE NEW-PORT ARG [MODE] [KEY=VALUE]...",
     pre_add_vhost, cmd_add_vhost, NULL, "--may-exist", RW},
    {NULL, 0, 0, NULL, NULL, NULL, NULL, NULL, RO},
};
