/* Commands about the switch as a whole: managers, TLS, conntrack zones,
 * datapath capabilities, and starting over. */
#include <config.h>
#include "session.h"

#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>

#include "log.h"
#include "openvswitch/ofp-parse.h"
#include "ovsdb-idl.h"
#include "schemas/vswitch-idl.h"
#include "simap.h"
#include "smap.h"
#include "stream.h"
#include "svec.h"
#include "util.h"

static const struct ovsrec_open_vswitch *
ovs_row(struct ctl_context *ctx)
{
    return switch_context_cast(ctx)->topo.ovs;
}

/* Managers: who may configure the switch over the network. */

static void
pre_manager(struct ctl_context *ctx)
{
    ovsdb_idl_add_column(ctx->idl, &ovsrec_open_vswitch_col_manager_options);
    ovsdb_idl_add_column(ctx->idl, &ovsrec_manager_col_target);
    ovsdb_idl_add_column(ctx->idl, &ovsrec_manager_col_inactivity_probe);
}

static void
verify_managers(const struct ovsrec_open_vswitch *ovs)
{
    ovsrec_open_vswitch_verify_manager_options(ovs);
    for (size_t i = 0; i < ovs->n_manager_options; i++) {
        ovsrec_manager_verify_target(ovs->manager_options[i]);
    }
}

static void
delete_managers(const struct ovsrec_open_vswitch *ovs)
{
    for (size_t i = 0; i < ovs->n_manager_options; i++) {
        ovsrec_manager_delete(ovs->manager_options[i]);
    }
    ovsrec_open_vswitch_set_manager_options(ovs, NULL, 0);
}

static void
cmd_get_manager(struct ctl_context *ctx)
{
    const struct ovsrec_open_vswitch *ovs = ovs_row(ctx);
    struct svec targets = SVEC_EMPTY_INITIALIZER;

    verify_managers(ovs);
    for (size_t i = 0; i < ovs->n_manager_options; i++) {
        svec_add(&targets, ovs->manager_options[i]->target);
    }
    svec_sort_unique(&targets);
    output_sorted(&targets, &ctx->output);
    svec_destroy(&targets);
}

static void
cmd_del_manager(struct ctl_context *ctx)
{
    verify_managers(ovs_row(ctx));
    delete_managers(ovs_row(ctx));
}

static struct ovsrec_manager *
insert_manager(struct ctl_context *ctx, const char *target)
{
    const char *probe = shash_find_data(&ctx->options, "--inactivity-probe");
    struct ovsrec_manager *row;

    if (stream_verify_name(target) && pstream_verify_name(target)) {
        VLOG_WARN("target type \"%s\" is possibly erroneous", target);
    }
    row = ovsrec_manager_insert(ctx->txn);
    ovsrec_manager_set_target(row, target);
    if (probe) {
        int64_t msecs = atoll(probe);

        ovsrec_manager_set_inactivity_probe(row, &msecs, 1);
    }
    return row;
}

static void
cmd_set_manager(struct ctl_context *ctx)
{
    const struct ovsrec_open_vswitch *ovs = ovs_row(ctx);
    size_t n = ctx->argc - 1;
    struct ovsrec_manager **managers = xmalloc(n * sizeof *managers);

    verify_managers(ovs);
    delete_managers(ovs);
    for (size_t i = 0; i < n; i++) {
        managers[i] = insert_manager(ctx, ctx->argv[1 + i]);
    }
    ovsrec_open_vswitch_set_manager_options(ovs, managers, n);
    free(managers);
}

/* TLS. */

static void
pre_ssl(struct ctl_context *ctx)
{
    ovsdb_idl_add_column(ctx->idl, &ovsrec_open_vswitch_col_ssl);
    ovsdb_idl_add_column(ctx->idl, &ovsrec_ssl_col_private_key);
    ovsdb_idl_add_column(ctx->idl, &ovsrec_ssl_col_certificate);
    ovsdb_idl_add_column(ctx->idl, &ovsrec_ssl_col_ca_cert);
    ovsdb_idl_add_column(ctx->idl, &ovsrec_ssl_col_bootstrap_ca_cert);
}

static void
cmd_get_ssl(struct ctl_context *ctx)
{
    const struct ovsrec_ssl *ssl = ovs_row(ctx)->ssl;

    ovsrec_open_vswitch_verify_ssl(ovs_row(ctx));
    if (ssl) {
        ovsrec_ssl_verify_private_key(ssl);
        ovsrec_ssl_verify_certificate(ssl);
        ovsrec_ssl_verify_ca_cert(ssl);
        ovsrec_ssl_verify_bootstrap_ca_cert(ssl);

        ds_put_format(&ctx->output, "Private key: %s\n", ssl->private_key);
        ds_put_format(&ctx->output, "Certificate: %s\n", ssl->certificate);
        ds_put_format(&ctx->output, "CA Certificate: %s\n", ssl->ca_cert);
        ds_put_format(&ctx->output, "Bootstrap: %s\n",
                      ssl->bootstrap_ca_cert ? "true" : "false");
    }
}

static void
cmd_del_ssl(struct ctl_context *ctx)
{
    const struct ovsrec_open_vswitch *ovs = ovs_row(ctx);

    if (ovs->ssl) {
        ovsrec_open_vswitch_verify_ssl(ovs);
        ovsrec_ssl_delete(ovs->ssl);
        ovsrec_open_vswitch_set_ssl(ovs, NULL);
    }
}

static void
cmd_set_ssl(struct ctl_context *ctx)
{
    const struct ovsrec_open_vswitch *ovs = ovs_row(ctx);
    struct ovsrec_ssl *ssl;

    ovsrec_open_vswitch_verify_ssl(ovs);
    if (ovs->ssl) {
        ovsrec_ssl_delete(ovs->ssl);
    }
    ssl = ovsrec_ssl_insert(ctx->txn);
    ovsrec_ssl_set_private_key(ssl, ctx->argv[1]);
    ovsrec_ssl_set_certificate(ssl, ctx->argv[2]);
    ovsrec_ssl_set_ca_cert(ssl, ctx->argv[3]);
    ovsrec_ssl_set_bootstrap_ca_cert(ssl, has_option(ctx, "--bootstrap"));
    ovsrec_open_vswitch_set_ssl(ovs, ssl);
}

/* Datapaths: capabilities, and timeout policies of conntrack zones. */

static void
pre_datapath(struct ctl_context *ctx)
{
    ovsdb_idl_add_column(ctx->idl, &ovsrec_open_vswitch_col_datapaths);
    ovsdb_idl_add_column(ctx->idl, &ovsrec_datapath_col_capabilities);
}

static void
pre_zone(struct ctl_context *ctx)
{
    ovsdb_idl_add_column(ctx->idl, &ovsrec_open_vswitch_col_datapaths);
    ovsdb_idl_add_column(ctx->idl, &ovsrec_datapath_col_ct_zones);
    ovsdb_idl_add_column(ctx->idl, &ovsrec_ct_zone_col_timeout_policy);
    ovsdb_idl_add_column(ctx->idl, &ovsrec_ct_timeout_policy_col_timeouts);
}

static struct ovsrec_datapath *
find_datapath(struct ctl_context *ctx, const char *name)
{
    const struct ovsrec_open_vswitch *ovs = ovs_row(ctx);

    for (size_t i = 0; i < ovs->n_datapaths; i++) {
        if (!strcmp(ovs->key_datapaths[i], name)) {
            return ovs->value_datapaths[i];
        }
    }
    return NULL;
}

static struct ovsrec_ct_zone *
find_zone(const struct ovsrec_datapath *dp, int64_t id)
{
    for (size_t i = 0; i < dp->n_ct_zones; i++) {
        if (dp->key_ct_zones[i] == id) {
            return dp->value_ct_zones[i];
        }
    }
    return NULL;
}

/* Parses "zone=ID".  Anything else means zone 0. */
static int64_t
parse_zone(const char *s)
{
    int64_t id = 0;

    ovs_scan(s, "zone=%"SCNi64, &id);
    return id;
}

static bool
policy_equals(const struct ovsrec_ct_timeout_policy *row,
              const struct simap *timeouts)
{
    struct simap have = SIMAP_INITIALIZER(&have);
    bool equal;

    for (size_t i = 0; i < row->n_timeouts; i++) {
        simap_put(&have, row->key_timeouts[i], row->value_timeouts[i]);
    }
    equal = simap_equal(&have, timeouts);
    simap_destroy(&have);
    return equal;
}

/* Returns a timeout policy with the 'n' timeouts in 'args' ("KEY=SECONDS"):
 * one that exists, or a new one. */
static const struct ovsrec_ct_timeout_policy *
get_policy(struct ctl_context *ctx, char *args[], size_t n)
{
    const struct ovsrec_ct_timeout_policy *row = NULL;
    const char **keys = xmalloc(n * sizeof *keys);
    int64_t *values = xmalloc(n * sizeof *values);
    char **copies = xmalloc(n * sizeof *copies);
    struct simap timeouts = SIMAP_INITIALIZER(&timeouts);
    size_t n_parsed;

    for (n_parsed = 0; n_parsed < n; n_parsed++) {
        char *key, *value, *p = copies[n_parsed] = xstrdup(args[n_parsed]);

        if (!ofputil_parse_key_value(&p, &key, &value)) {
            free(copies[n_parsed]);
            break;
        }
        keys[n_parsed] = key;
        values[n_parsed] = atoi(value);
        simap_put(&timeouts, key, values[n_parsed]);
    }

    OVSREC_CT_TIMEOUT_POLICY_FOR_EACH (row, ctx->idl) {
        if (policy_equals(row, &timeouts)) {
            break;
        }
    }
    if (!row) {
        row = ovsrec_ct_timeout_policy_insert(ctx->txn);
        ovsrec_ct_timeout_policy_set_timeouts(row, keys, values, n_parsed);
    }

    for (size_t i = 0; i < n_parsed; i++) {
        free(copies[i]);
    }
    free(copies);
    free(keys);
    free(values);
    simap_destroy(&timeouts);
    return row;
}

static void
cmd_add_zone_tp(struct ctl_context *ctx)
{
    int64_t id = parse_zone(ctx->argv[2]);
    struct ovsrec_datapath *dp = find_datapath(ctx, ctx->argv[1]);
    const struct ovsrec_ct_timeout_policy *policy;
    struct ovsrec_ct_zone *zone;

    if (!dp) {
        ctl_fatal("datapath %s does not exist", ctx->argv[1]);
    }
    zone = find_zone(dp, id);
    if (zone && !has_option(ctx, "--may-exist")) {
        ctl_fatal("zone id %"PRIu64" already exists", id);
    }

    policy = get_policy(ctx, &ctx->argv[3], ctx->argc - 3);
    if (zone) {
        ovsrec_ct_zone_set_timeout_policy(zone, policy);
    } else {
        zone = ovsrec_ct_zone_insert(ctx->txn);
        ovsrec_ct_zone_set_timeout_policy(zone, policy);
        ovsrec_datapath_update_ct_zones_setkey(dp, id, zone);
    }
}

static void
cmd_del_zone_tp(struct ctl_context *ctx)
{
    int64_t id = parse_zone(ctx->argv[2]);
    struct ovsrec_datapath *dp = find_datapath(ctx, ctx->argv[1]);
    const struct ovsrec_ct_zone *zone;

    if (!dp) {
        ctl_fatal("datapath %s does not exist", ctx->argv[1]);
    }
    zone = find_zone(dp, id);
    if (zone) {
        ovsrec_datapath_update_ct_zones_delkey(dp, id);
    } else if (!has_option(ctx, "--if-exists")) {
        ctl_fatal("zone id %"PRIu64" does not exist", id);
    }
}

static void
cmd_list_zone_tp(struct ctl_context *ctx)
{
    const struct ovsrec_datapath *dp = find_datapath(ctx, ctx->argv[1]);

    if (!dp) {
        ctl_fatal("datapath: %s record not found", ctx->argv[1]);
    }
    for (size_t i = 0; i < dp->n_ct_zones; i++) {
        const struct ovsrec_ct_timeout_policy *policy
            = dp->value_ct_zones[i]->timeout_policy;

        ds_put_format(&ctx->output, "Zone:%"PRIu64", Timeout Policies: ",
                      dp->key_ct_zones[i]);
        if (!policy) {
            ds_put_cstr(&ctx->output, "system default");
        }
        for (size_t j = 0; policy && j < policy->n_timeouts; j++) {
            ds_put_format(&ctx->output, "%s=%"PRIu64" ",
                          policy->key_timeouts[j], policy->value_timeouts[j]);
        }
        ds_chomp(&ctx->output, ' ');
        ds_put_char(&ctx->output, '\n');
    }
}

static void
cmd_list_dp_cap(struct ctl_context *ctx)
{
    const struct ovsrec_datapath *dp = find_datapath(ctx, ctx->argv[1]);
    const struct smap_node *node;

    if (!dp) {
        ctl_fatal("datapath \"%s\" record not found", ctx->argv[1]);
    }
    SMAP_FOR_EACH (node, &dp->capabilities) {
        ds_put_format(&ctx->output, "%s=%s ", node->key, node->value);
    }
    ds_chomp(&ctx->output, ' ');
    ds_put_char(&ctx->output, '\n');
}

/* Starting over, as far as remote control is concerned. */

static void
pre_emer_reset(struct ctl_context *ctx)
{
    ovsdb_idl_add_column(ctx->idl, &ovsrec_open_vswitch_col_manager_options);
    ovsdb_idl_add_column(ctx->idl, &ovsrec_open_vswitch_col_ssl);

    ovsdb_idl_add_column(ctx->idl, &ovsrec_bridge_col_controller);
    ovsdb_idl_add_column(ctx->idl, &ovsrec_bridge_col_fail_mode);
    ovsdb_idl_add_column(ctx->idl, &ovsrec_bridge_col_mirrors);
    ovsdb_idl_add_column(ctx->idl, &ovsrec_bridge_col_netflow);
    ovsdb_idl_add_column(ctx->idl, &ovsrec_bridge_col_sflow);
    ovsdb_idl_add_column(ctx->idl, &ovsrec_bridge_col_ipfix);
    ovsdb_idl_add_column(ctx->idl, &ovsrec_bridge_col_flood_vlans);
    ovsdb_idl_add_column(ctx->idl, &ovsrec_bridge_col_other_config);
    ovsdb_idl_add_column(ctx->idl, &ovsrec_port_col_other_config);
    ovsdb_idl_add_column(ctx->idl,
                         &ovsrec_interface_col_ingress_policing_rate);
    ovsdb_idl_add_column(ctx->idl,
                         &ovsrec_interface_col_ingress_policing_burst);
}

static void
reset_bridge(const struct ovsrec_bridge *br)
{
    const char *hwaddr = smap_get(&br->other_config, "hwaddr");
    struct smap keep = SMAP_INITIALIZER(&keep);

    if (hwaddr) {
        smap_add(&keep, "hwaddr", hwaddr);
    }
    ovsrec_bridge_set_controller(br, NULL, 0);
    ovsrec_bridge_set_fail_mode(br, NULL);
    ovsrec_bridge_set_mirrors(br, NULL, 0);
    ovsrec_bridge_set_netflow(br, NULL);
    ovsrec_bridge_set_sflow(br, NULL);
    ovsrec_bridge_set_ipfix(br, NULL);
    ovsrec_bridge_set_flood_vlans(br, NULL, 0);
    ovsrec_bridge_set_other_config(br, &keep);
    smap_destroy(&keep);
}

/* Deletes all rows of 'table'. */
static void
delete_rows(struct ovsdb_idl *idl, const struct ovsdb_idl_table_class *table)
{
    const struct ovsdb_idl_row *row, *next;

    for (row = ovsdb_idl_first_row(idl, table); row; row = next) {
        next = ovsdb_idl_next_row(row);
        ovsdb_idl_txn_delete(row);
    }
}

static void
cmd_emer_reset(struct ctl_context *ctx)
{
    static const struct ovsdb_idl_table_class *tables[] = {
        &ovsrec_table_mirror, &ovsrec_table_controller, &ovsrec_table_manager,
        &ovsrec_table_netflow, &ovsrec_table_ssl, &ovsrec_table_sflow,
        &ovsrec_table_ipfix, &ovsrec_table_flow_sample_collector_set,
    };
    const struct ovsrec_interface *iface;
    const struct ovsrec_bridge *br;
    const struct ovsrec_port *port;

    ovsrec_open_vswitch_set_manager_options(ovs_row(ctx), NULL, 0);
    ovsrec_open_vswitch_set_ssl(ovs_row(ctx), NULL);

    OVSREC_BRIDGE_FOR_EACH (br, ctx->idl) {
        reset_bridge(br);
    }
    OVSREC_PORT_FOR_EACH (port, ctx->idl) {
        ovsrec_port_set_other_config(port, NULL);
    }
    OVSREC_INTERFACE_FOR_EACH (iface, ctx->idl) {
        ovsrec_interface_set_ingress_policing_rate(iface, 0);
        ovsrec_interface_set_ingress_policing_burst(iface, 0);
    }
    for (size_t i = 0; i < ARRAY_SIZE(tables); i++) {
        delete_rows(ctx->idl, tables[i]);
    }
}

const struct ctl_command_syntax system_commands[] = {
    {"get-manager", 0, 0, "", pre_manager, cmd_get_manager, NULL, "", RO},
    {"del-manager", 0, 0, "", pre_manager, cmd_del_manager, NULL, "", RW},
    {"set-manager", 1, INT_MAX, "TARGET...",
     pre_manager, cmd_set_manager, NULL, "--inactivity-probe=", RW},

    {"get-ssl", 0, 0, "", pre_ssl, cmd_get_ssl, NULL, "", RO},
    {"del-ssl", 0, 0, "", pre_ssl, cmd_del_ssl, NULL, "", RW},
    {"set-ssl", 3, 3, "PRIVATE-KEY CERTIFICATE CA-CERT",
     pre_ssl, cmd_set_ssl, NULL, "--bootstrap", RW},

    {"add-zone-tp", 3, INT_MAX, "",
     pre_zone, cmd_add_zone_tp, NULL, "--may-exist", RW},
    {"del-zone-tp", 2, 2, "",
     pre_zone, cmd_del_zone_tp, NULL, "--if-exists", RW},
    {"list-zone-tp", 1, 1, "", pre_zone, cmd_list_zone_tp, NULL, "", RO},
    {"list-dp-cap", 1, 1, "", pre_datapath, cmd_list_dp_cap, NULL, "", RO},

    {"emer-reset", 0, 0, "", pre_emer_reset, cmd_emer_reset, NULL, "", RW},
    {NULL, 0, 0, NULL, NULL, NULL, NULL, NULL, RO},
};
