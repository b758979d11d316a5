/* Commands about what steers a bridge: OpenFlow controllers, what to do
 * without one, and Auto Attach. */
#include <config.h>
#include "session.h"

#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>

#include "log.h"
#include "openvswitch/vconn.h"
#include "ovsdb-idl.h"
#include "schemas/vswitch-idl.h"
#include "svec.h"
#include "util.h"

/* Controllers. */

static void
pre_controller(struct ctl_context *ctx)
{
    pre_topology(ctx);
    ovsdb_idl_add_column(ctx->idl, &ovsrec_bridge_col_controller);
    ovsdb_idl_add_column(ctx->idl, &ovsrec_controller_col_target);
    ovsdb_idl_add_column(ctx->idl, &ovsrec_controller_col_inactivity_probe);
}

static void
verify_controllers(const struct ovsrec_bridge *br)
{
    ovsrec_bridge_verify_controller(br);
    for (size_t i = 0; i < br->n_controller; i++) {
        ovsrec_controller_verify_target(br->controller[i]);
    }
}

static void
delete_controllers(const struct ovsrec_bridge *br)
{
    for (size_t i = 0; i < br->n_controller; i++) {
        ovsrec_controller_delete(br->controller[i]);
    }
}

static void
cmd_get_controller(struct ctl_context *ctx)
{
    const struct bridge *br = topology_find_bridge(loaded_topology(ctx),
                                                   ctx->argv[1], true);
    const struct ovsrec_bridge *row = bridge_real_row(br);
    struct svec targets = SVEC_EMPTY_INITIALIZER;

    verify_controllers(row);
    for (size_t i = 0; i < row->n_controller; i++) {
        svec_add(&targets, row->controller[i]->target);
    }
    output_sorted(&targets, &ctx->output);
    svec_destroy(&targets);
}

static void
cmd_del_controller(struct ctl_context *ctx)
{
    const struct ovsrec_bridge *row = topology_find_real_bridge(
        loaded_topology(ctx), ctx->argv[1])->row;

    verify_controllers(row);
    if (row->n_controller) {
        delete_controllers(row);
        ovsrec_bridge_set_controller(row, NULL, 0);
    }
}

static struct ovsrec_controller *
insert_controller(struct ctl_context *ctx, const char *target)
{
    const char *probe = shash_find_data(&ctx->options, "--inactivity-probe");
    struct ovsrec_controller *row;

    if (vconn_verify_name(target) && pvconn_verify_name(target)) {
        VLOG_WARN("target type \"%s\" is possibly erroneous", target);
    }
    row = ovsrec_controller_insert(ctx->txn);
    ovsrec_controller_set_target(row, target);
    if (probe) {
        int64_t msecs = atoll(probe);

        ovsrec_controller_set_inactivity_probe(row, &msecs, 1);
    }
    return row;
}

static void
cmd_set_controller(struct ctl_context *ctx)
{
    const struct ovsrec_bridge *row = topology_find_real_bridge(
        loaded_topology(ctx), ctx->argv[1])->row;
    size_t n = ctx->argc - 2;
    struct ovsrec_controller **controllers = xmalloc(n * sizeof *controllers);

    verify_controllers(row);
    delete_controllers(row);
    for (size_t i = 0; i < n; i++) {
        controllers[i] = insert_controller(ctx, ctx->argv[2 + i]);
    }
    ovsrec_bridge_set_controller(row, controllers, n);
    free(controllers);
}

/* What a bridge does when it has no connection to its controllers. */

static void
pre_fail_mode(struct ctl_context *ctx)
{
    pre_topology(ctx);
    ovsdb_idl_add_column(ctx->idl, &ovsrec_bridge_col_fail_mode);
}

static void
cmd_get_fail_mode(struct ctl_context *ctx)
{
    const struct bridge *br = topology_find_bridge(loaded_topology(ctx),
                                                   ctx->argv[1], true);
    const struct ovsrec_bridge *row = bridge_real_row(br);

    ovsrec_bridge_verify_fail_mode(row);
    if (row->fail_mode && row->fail_mode[0]) {
        ds_put_format(&ctx->output, "%s\n", row->fail_mode);
    }
}

static void
cmd_del_fail_mode(struct ctl_context *ctx)
{
    ovsrec_bridge_set_fail_mode(
        topology_find_real_bridge(loaded_topology(ctx), ctx->argv[1])->row,
        NULL);
}

static void
cmd_set_fail_mode(struct ctl_context *ctx)
{
    const struct bridge *br = topology_find_real_bridge(loaded_topology(ctx),
                                                        ctx->argv[1]);
    const char *mode = ctx->argv[2];

    if (strcmp(mode, "standalone") && strcmp(mode, "secure")) {
        ctl_fatal("fail-mode must be \"standalone\" or \"secure\"");
    }
    ovsrec_bridge_set_fail_mode(br->row, mode);
}

/* Auto Attach: which I-SIDs are asked for which VLANs. */

static void
pre_auto_attach(struct ctl_context *ctx)
{
    pre_topology(ctx);
    ovsdb_idl_add_column(ctx->idl, &ovsrec_bridge_col_auto_attach);
    ovsdb_idl_add_column(ctx->idl, &ovsrec_autoattach_col_mappings);
}

static int64_t
parse_number(const char *s)
{
    char *tail;
    int64_t value = strtoull(s, &tail, 10);

    if (tail == s) {
        ctl_fatal("Invalid argument %s", s);
    }
    return value;
}

/* Sets the mappings of 'aa' to those for which neither the I-SID is 'isid' nor
 * the VLAN 'vlan', or, if 'add', to all of them and the one for these two. */
static void
change_mappings(const struct ovsrec_autoattach *aa, int64_t isid,
                int64_t vlan, bool add)
{
    int64_t *isids = xmalloc((aa->n_mappings + 1) * sizeof *isids);
    int64_t *vlans = xmalloc((aa->n_mappings + 1) * sizeof *vlans);
    size_t n = 0;

    for (size_t i = 0; i < aa->n_mappings; i++) {
        if (add || (aa->key_mappings[i] != isid
                    && aa->value_mappings[i] != vlan)) {
            isids[n] = aa->key_mappings[i];
            vlans[n++] = aa->value_mappings[i];
        }
    }
    if (add) {
        isids[n] = isid;
        vlans[n++] = vlan;
    }
    ovsrec_autoattach_set_mappings(aa, isids, vlans, n);
    free(isids);
    free(vlans);
}

static void
cmd_add_aa_mapping(struct ctl_context *ctx)
{
    int64_t isid = parse_number(ctx->argv[2]);
    int64_t vlan = parse_number(ctx->argv[3]);
    const struct bridge *br = topology_find_bridge(loaded_topology(ctx),
                                                   ctx->argv[1], true);
    const struct ovsrec_bridge *row = bridge_real_row(br);

    if (!row->auto_attach) {
        ovsrec_bridge_set_auto_attach(row,
                                      ovsrec_autoattach_insert(ctx->txn));
    }
    change_mappings(row->auto_attach, isid, vlan, true);
}

static void
cmd_del_aa_mapping(struct ctl_context *ctx)
{
    int64_t isid = parse_number(ctx->argv[2]);
    int64_t vlan = parse_number(ctx->argv[3]);
    const struct bridge *br = topology_find_bridge(loaded_topology(ctx),
                                                   ctx->argv[1], true);
    const struct ovsrec_autoattach *aa = bridge_real_row(br)->auto_attach;

    for (size_t i = 0; aa && i < aa->n_mappings; i++) {
        if (aa->key_mappings[i] == isid && aa->value_mappings[i] == vlan) {
            change_mappings(aa, isid, vlan, false);
            break;
        }
    }
}

static void
cmd_get_aa_mapping(struct ctl_context *ctx)
{
    const struct bridge *br = topology_find_bridge(loaded_topology(ctx),
                                                   ctx->argv[1], true);
    const struct ovsrec_bridge *row = bridge_real_row(br);
    const struct ovsrec_autoattach *aa = row->auto_attach;

    ovsrec_bridge_verify_auto_attach(row);
    if (!aa) {
        return;
    }
    ovsrec_autoattach_verify_mappings(aa);
    for (size_t i = 0; i < aa->n_mappings; i++) {
        ds_put_format(&ctx->output, "%"PRId64" %"PRId64"\n",
                      aa->key_mappings[i], aa->value_mappings[i]);
    }
}

const struct ctl_command_syntax controller_commands[] = {
    {"get-controller", 1, 1, "BRIDGE",
     pre_controller, cmd_get_controller, NULL, "", RO},
    {"del-controller", 1, 1, "BRIDGE",
     pre_controller, cmd_del_controller, NULL, "", RW},
    {"set-controller", 1, INT_MAX, "BRIDGE TARGET...",
     pre_controller, cmd_set_controller, NULL, "--inactivity-probe=", RW},

    {"get-fail-mode", 1, 1, "BRIDGE",
     pre_fail_mode, cmd_get_fail_mode, NULL, "", RO},
    {"del-fail-mode", 1, 1, "BRIDGE",
     pre_fail_mode, cmd_del_fail_mode, NULL, "", RW},
    {"set-fail-mode", 2, 2, "BRIDGE MODE",
     pre_fail_mode, cmd_set_fail_mode, NULL, "", RW},

    {"add-aa-mapping", 3, 3, "BRIDGE ARG ARG",
     pre_auto_attach, cmd_add_aa_mapping, NULL, "", RW},
    {"del-aa-mapping", 3, 3, "BRIDGE ARG ARG",
     pre_auto_attach, cmd_del_aa_mapping, NULL, "", RW},
    {"get-aa-mapping", 1, 1, "BRIDGE",
     pre_auto_attach, cmd_get_aa_mapping, NULL, "", RO},
    {NULL, 0, 0, NULL, NULL, NULL, NULL, NULL, RO},
};
