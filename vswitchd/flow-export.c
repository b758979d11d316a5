/* NetFlow, sFlow and IPFIX: what a bridge reports of its traffic to
 * collectors. */
#include <config.h>
#include "vswitchd/vswitchd.h"

#include "netflow.h"
#include "ofproto/ofproto.h"
#include "sflow_api.h"
#include "smap.h"
#include "sset.h"
#include "util.h"
#include "vswitchd/log.h"

static void
configure_netflow(struct bridge *br, const struct ovsrec_netflow *row)
{
    struct netflow_options opts = { .collectors
                                    = SSET_INITIALIZER(&opts.collectors) };

    if (!row) {
        ofproto_set_netflow(br->ofproto, NULL);
        return;
    }
    ofproto_get_netflow_ids(br->ofproto, &opts.engine_type, &opts.engine_id);
    if (row->engine_type) {
        opts.engine_type = *row->engine_type;
    }
    if (row->engine_id) {
        opts.engine_id = *row->engine_id;
    }
    opts.active_timeout = row->active_timeout > 0 ? row->active_timeout : -1;
    if (row->active_timeout < 0) {
        VLOG_WARN("bridge %s: active timeout interval set to negative value, "
                  "using default instead (%d seconds)", br->name,
                  NF_ACTIVE_TIMEOUT_DEFAULT);
    }

    /* The engine ID then goes to the upper bits of interface numbers. */
    opts.add_id_to_iface = row->add_id_to_interface;
    if (opts.add_id_to_iface && opts.engine_id > 0x7f) {
        VLOG_WARN("bridge %s: NetFlow port mangling may conflict with another "
                  "vswitch, choose an engine id less than 128", br->name);
    }
    if (opts.add_id_to_iface && hmap_count(&br->ifaces) > 508) {
        VLOG_WARN("bridge %s: NetFlow port mangling will conflict with "
                  "another port when more than 508 ports are used", br->name);
    }

    sset_add_array(&opts.collectors, row->targets, row->n_targets);
    if (ofproto_set_netflow(br->ofproto, &opts)) {
        VLOG_ERR("bridge %s: problem setting netflow collectors", br->name);
    }
    sset_destroy(&opts.collectors);
}

static char *
get_controllers_local_ip(const struct ovsrec_bridge *row)
{
    struct ovsrec_controller **controllers;
    size_t n = bridge_get_controllers(row, &controllers);

    for (size_t i = 0; i < n; i++) {
        if (controllers[i]->local_ip) {
            return controllers[i]->local_ip;
        }
    }
    return NULL;
}

static void
configure_sflow(struct bridge *br, const struct ovsrec_sflow *row)
{
    static int next_id;
    struct ofproto_sflow_options opts;

    if (!row) {
        ofproto_set_sflow(br->ofproto, NULL);
        return;
    }
    if (br->sflow_id < 0) {
        br->sflow_id = next_id++;
    }
    opts = (struct ofproto_sflow_options) {
        .targets = SSET_INITIALIZER(&opts.targets),
        .sampling_rate = row->sampling ? *row->sampling
                                       : SFL_DEFAULT_SAMPLING_RATE,
        .polling_interval = row->polling ? *row->polling
                                         : SFL_DEFAULT_POLLING_INTERVAL,
        .header_len = row->header ? *row->header : SFL_DEFAULT_HEADER_SIZE,
        .sub_id = br->sflow_id,
        .agent_device = row->agent,
        .control_ip = get_controllers_local_ip(bridge_row(br)),
    };
    sset_add_array(&opts.targets, row->targets, row->n_targets);
    ofproto_set_sflow(br->ofproto, &opts);
    sset_destroy(&opts.targets);
}

static void
get_bridge_exporter(const struct ovsrec_ipfix *row,
                    struct ofproto_ipfix_bridge_exporter_options *opts)
{
    const struct smap *oc = &row->other_config;

    *opts = (struct ofproto_ipfix_bridge_exporter_options) {
        .targets = SSET_INITIALIZER(&opts->targets),
        .sampling_rate = row->sampling ? *row->sampling
                                       : SFL_DEFAULT_SAMPLING_RATE,
        .obs_domain_id = row->obs_domain_id ? *row->obs_domain_id : 0,
        .obs_point_id = row->obs_point_id ? *row->obs_point_id : 0,
        .cache_active_timeout = (row->cache_active_timeout
                                 ? *row->cache_active_timeout : 0),
        .cache_max_flows = row->cache_max_flows ? *row->cache_max_flows : 0,
        .enable_tunnel_sampling = smap_get_bool(oc, "enable-tunnel-sampling",
                                                true),
        /* What clients know: setting these to true turns sampling off. */
        .enable_input_sampling = !smap_get_bool(oc, "enable-input-sampling",
                                                false),
        .enable_output_sampling = !smap_get_bool(oc, "enable-output-sampling",
                                                 false),
        .virtual_obs_id = nullable_xstrdup(smap_get(oc, "virtual_obs_id")),
    };
    sset_add_array(&opts->targets, row->targets, row->n_targets);
}

static void
get_flow_exporter(const struct ovsrec_flow_sample_collector_set *set,
                  struct ofproto_ipfix_flow_exporter_options *opts)
{
    const struct ovsrec_ipfix *row = set->ipfix;
    const struct smap *oc = &row->other_config;

    *opts = (struct ofproto_ipfix_flow_exporter_options) {
        .collector_set_id = set->id,
        .targets = SSET_INITIALIZER(&opts->targets),
        .cache_active_timeout = (row->cache_active_timeout
                                 ? *row->cache_active_timeout : 0),
        .cache_max_flows = row->cache_max_flows ? *row->cache_max_flows : 0,
        .enable_tunnel_sampling = smap_get_bool(oc, "enable-tunnel-sampling",
                                                true),
        .virtual_obs_id = nullable_xstrdup(smap_get(oc, "virtual_obs_id")),
    };
    sset_add_array(&opts->targets, row->targets, row->n_targets);
}

static bool
is_usable_ipfix(const struct ovsrec_ipfix *row)
{
    return row && row->n_targets;
}

static bool
exports_flows_of(const struct ovsrec_flow_sample_collector_set *set,
                 const struct bridge *br)
{
    return (is_usable_ipfix(set->ipfix)
            && uuid_equals(&set->bridge->header_.uuid, &br->uuid));
}

static void
configure_ipfix(struct bridge *br, const struct ovsrec_ipfix *row)
{
    const struct ovsrec_flow_sample_collector_set *set;
    struct ofproto_ipfix_bridge_exporter_options bridge_opts;
    struct ofproto_ipfix_flow_exporter_options *flow_opts;
    bool usable = is_usable_ipfix(row);
    size_t max = 0, n = 0;

    OVSREC_FLOW_SAMPLE_COLLECTOR_SET_FOR_EACH (set, idl) {
        max += exports_flows_of(set, br);
    }
    /* Not to grow later: a set must not be moved. */
    flow_opts = xmalloc(max * sizeof *flow_opts);
    OVSREC_FLOW_SAMPLE_COLLECTOR_SET_FOR_EACH (set, idl) {
        if (exports_flows_of(set, br)) {
            get_flow_exporter(set, &flow_opts[n++]);
        }
    }
    if (usable) {
        get_bridge_exporter(row, &bridge_opts);
    }

    ofproto_set_ipfix(br->ofproto, usable ? &bridge_opts : NULL,
                      flow_opts, n);

    if (usable) {
        sset_destroy(&bridge_opts.targets);
        free(bridge_opts.virtual_obs_id);
    }
    for (size_t i = 0; i < n; i++) {
        sset_destroy(&flow_opts[i].targets);
        free(flow_opts[i].virtual_obs_id);
    }
    free(flow_opts);
}

/* Configures what 'br' exports. */
void
bridge_configure_export(struct bridge *br)
{
    const struct ovsrec_bridge *row = bridge_row(br);

    configure_netflow(br, row->netflow);
    configure_sflow(br, row->sflow);
    configure_ipfix(br, row->ipfix);
}
