/* The dpif provider's connection tracking and IP fragments: each datapath has
 * one of libopenvswitch's trackers, and this hands requests on to it. */
#include <config.h>
#include "datapath/dpif-private.h"

#include <errno.h>

#include "conntrack.h"
#include "conntrack-tp.h"
#include "ct-dpif.h"
#include "datapath/kernel/kernel.h"
#include "ipf.h"
#include "openvswitch/list.h"
#include "util.h"

static struct conntrack *
dpif_ct(const struct dpif *dpif)
{
    return dpif_datapath(dpif)->conntrack;
}

static struct ipf *
dpif_ipf(const struct dpif *dpif)
{
    return conntrack_ipf_ctx(dpif_ct(dpif));
}

/* --- Connections ---------------------------------------------------------- */

struct ct_dump {
    struct ct_dpif_dump_state up;
    struct conntrack_dump dump;
};

static int
provider_ct_dump_start(struct dpif *dpif, struct ct_dpif_dump_state **statep,
                       const uint16_t *zone, int *n_buckets)
{
    struct ct_dump *state = xzalloc(sizeof *state);

    conntrack_dump_start(dpif_ct(dpif), &state->dump, zone, n_buckets);
    *statep = &state->up;
    return 0;
}

static int
provider_ct_dump_next(struct dpif *dpif OVS_UNUSED,
                      struct ct_dpif_dump_state *state,
                      struct ct_dpif_entry *entry)
{
    return conntrack_dump_next(&CONTAINER_OF(state, struct ct_dump, up)->dump,
                               entry);
}

static int
provider_ct_dump_done(struct dpif *dpif OVS_UNUSED,
                      struct ct_dpif_dump_state *state_)
{
    struct ct_dump *state = CONTAINER_OF(state_, struct ct_dump, up);
    int error = conntrack_dump_done(&state->dump);

    free(state);
    return error;
}

static int
provider_ct_flush(struct dpif *dpif, const uint16_t *zone,
                  const struct ct_dpif_tuple *tuple)
{
    int error = tuple ? conntrack_flush_tuple(dpif_ct(dpif), tuple,
                                              zone ? *zone : 0)
                      : conntrack_flush(dpif_ct(dpif), zone);

    kernel_connections_flush(dpif_datapath(dpif));
    return error;
}

static int
provider_ct_set_maxconns(struct dpif *dpif, uint32_t max)
{
    return conntrack_set_maxconns(dpif_ct(dpif), max);
}

static int
provider_ct_get_maxconns(struct dpif *dpif, uint32_t *max)
{
    return conntrack_get_maxconns(dpif_ct(dpif), max);
}

static int
provider_ct_get_nconns(struct dpif *dpif, uint32_t *n)
{
    return conntrack_get_nconns(dpif_ct(dpif), n);
}

static int
provider_ct_set_tcp_seq_chk(struct dpif *dpif, bool enabled)
{
    struct datapath *dp = dpif_datapath(dpif);

    /* Before: connections in the kernel do without. */
    atomic_store(&dp->tcp_seq_chk, enabled);
    if (enabled) {
        kernel_connections_flush(dp);
    }
    return conntrack_set_tcp_seq_chk(dp->conntrack, enabled);
}

static int
provider_ct_get_tcp_seq_chk(struct dpif *dpif, bool *enabled)
{
    *enabled = conntrack_get_tcp_seq_chk(dpif_ct(dpif));
    return 0;
}

/* --- Limits per zone ------------------------------------------------------- */

static int
provider_ct_set_limits(struct dpif *dpif, const uint32_t *default_limit,
                       const struct ovs_list *zone_limits)
{
    struct conntrack *ct = dpif_ct(dpif);
    int error = default_limit
                ? zone_limit_update(ct, DEFAULT_ZONE, *default_limit) : 0;
    struct ct_dpif_zone_limit *limit;

    LIST_FOR_EACH (limit, node, zone_limits) {
        if (error) {
            break;
        }
        error = zone_limit_update(ct, limit->zone, limit->limit);
    }
    return error;
}

static int
provider_ct_get_limits(struct dpif *dpif, uint32_t *default_limit,
                       const struct ovs_list *wanted, struct ovs_list *found)
{
    struct conntrack *ct = dpif_ct(dpif);
    struct conntrack_zone_limit def = zone_limit_get(ct, DEFAULT_ZONE);

    if (def.zone != DEFAULT_ZONE) {
        return EINVAL;
    }
    *default_limit = def.limit;

    if (ovs_list_is_empty(wanted)) {
        /* All zones that have a limit of their own. */
        for (int zone = MIN_ZONE; zone <= MAX_ZONE; zone++) {
            struct conntrack_zone_limit l = zone_limit_get(ct, zone);

            if (l.zone == zone) {
                ct_dpif_push_zone_limit(found, zone, l.limit,
                                        atomic_count_get(&l.count));
            }
        }
        return 0;
    }

    struct ct_dpif_zone_limit *limit;
    LIST_FOR_EACH (limit, node, wanted) {
        struct conntrack_zone_limit l = zone_limit_get(ct, limit->zone);

        if (l.zone != limit->zone && l.zone != DEFAULT_ZONE) {
            return EINVAL;
        }
        ct_dpif_push_zone_limit(found, limit->zone, l.limit,
                                atomic_count_get(&l.count));
    }
    return 0;
}

static int
provider_ct_del_limits(struct dpif *dpif, const struct ovs_list *zone_limits)
{
    struct ct_dpif_zone_limit *limit;
    int error = 0;

    LIST_FOR_EACH (limit, node, zone_limits) {
        error = zone_limit_delete(dpif_ct(dpif), limit->zone);
        if (error) {
            break;
        }
    }
    return error;
}

/* --- Timeout policies -------------------------------------------------------*/

static int
provider_ct_set_timeout_policy(struct dpif *dpif,
                               const struct ct_dpif_timeout_policy *policy)
{
    struct timeout_policy tp = { .policy = *policy };

    return timeout_policy_update(dpif_ct(dpif), &tp);
}

static int
provider_ct_get_timeout_policy(struct dpif *dpif, uint32_t id,
                               struct ct_dpif_timeout_policy *out)
{
    struct timeout_policy *policy = timeout_policy_get(dpif_ct(dpif), id);

    if (!policy) {
        return EINVAL;
    }
    *out = policy->policy;
    return 0;
}

static int
provider_ct_del_timeout_policy(struct dpif *dpif, uint32_t id)
{
    return timeout_policy_delete(dpif_ct(dpif), id);
}

static int
provider_ct_get_timeout_policy_name(struct dpif *dpif OVS_UNUSED,
                                    uint32_t id, uint16_t dl_type OVS_UNUSED,
                                    uint8_t nw_proto OVS_UNUSED, char **name,
                                    bool *is_generic)
{
    *name = xasprintf("%"PRIu32, id);
    *is_generic = true;
    return 0;
}

static int
provider_ct_get_features(struct dpif *dpif OVS_UNUSED,
                         enum ct_features *features)
{
    *features = CONNTRACK_F_ZERO_SNAT;
    return 0;
}

/* --- Fragments -------------------------------------------------------------- */

static int
provider_ipf_set_enabled(struct dpif *dpif, bool v6, bool enabled)
{
    return ipf_set_enabled(dpif_ipf(dpif), v6, enabled);
}

static int
provider_ipf_set_min_frag(struct dpif *dpif, bool v6, uint32_t size)
{
    return ipf_set_min_frag(dpif_ipf(dpif), v6, size);
}

static int
provider_ipf_set_max_nfrags(struct dpif *dpif, uint32_t n)
{
    return ipf_set_max_nfrags(dpif_ipf(dpif), n);
}

static int
provider_ipf_get_status(struct dpif *dpif, struct dpif_ipf_status *status)
{
    return ipf_get_status(dpif_ipf(dpif), (struct ipf_status *) status);
}

static int
provider_ipf_dump_start(struct dpif *dpif OVS_UNUSED,
                        struct ipf_dump_ctx **ctx)
{
    return ipf_dump_start(ctx);
}

static int
provider_ipf_dump_next(struct dpif *dpif, void *ctx, char **dump)
{
    return ipf_dump_next(dpif_ipf(dpif), ctx, dump);
}

static int
provider_ipf_dump_done(struct dpif *dpif OVS_UNUSED, void *ctx)
{
    return ipf_dump_done(ctx);
}

void
dpif_conntrack_init_class(struct dpif_class *class)
{
    class->ct_dump_start = provider_ct_dump_start;
    class->ct_dump_next = provider_ct_dump_next;
    class->ct_dump_done = provider_ct_dump_done;
    class->ct_flush = provider_ct_flush;
    class->ct_set_maxconns = provider_ct_set_maxconns;
    class->ct_get_maxconns = provider_ct_get_maxconns;
    class->ct_get_nconns = provider_ct_get_nconns;
    class->ct_set_tcp_seq_chk = provider_ct_set_tcp_seq_chk;
    class->ct_get_tcp_seq_chk = provider_ct_get_tcp_seq_chk;
    class->ct_set_limits = provider_ct_set_limits;
    class->ct_get_limits = provider_ct_get_limits;
    class->ct_del_limits = provider_ct_del_limits;
    class->ct_set_timeout_policy = provider_ct_set_timeout_policy;
    class->ct_get_timeout_policy = provider_ct_get_timeout_policy;
    class->ct_del_timeout_policy = provider_ct_del_timeout_policy;
    class->ct_get_timeout_policy_name = provider_ct_get_timeout_policy_name;
    class->ct_get_features = provider_ct_get_features;
    class->ipf_set_enabled = provider_ipf_set_enabled;
    class->ipf_set_min_frag = provider_ipf_set_min_frag;
    class->ipf_set_max_nfrags = provider_ipf_set_max_nfrags;
    class->ipf_get_status = provider_ipf_get_status;
    class->ipf_dump_start = provider_ipf_dump_start;
    class->ipf_dump_next = provider_ipf_dump_next;
    class->ipf_dump_done = provider_ipf_dump_done;
}
