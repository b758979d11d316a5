/* The dpif provider's flows and packets: put, get, delete, dump, execute. */
#include <config.h>
#include "datapath/dpif-private.h"

#include <errno.h>

#include "datapath/addresses.h"
#include "datapath/flow-convert.h"
#include "datapath/kernel/kernel.h"
#include "datapath/program.h"
#include "dp-packet.h"
#include "netlink.h"
#include "odp-util.h"
#include "openvswitch/ofp-print.h"
#include "openvswitch/vlog.h"
#include "ovs-thread.h"
#include "packets.h"
#include "timeval.h"
#include "util.h"

VLOG_DEFINE_THIS_MODULE(dpif_flow);

/* Flows that one call of a dump returns at most. */
#define FLOW_DUMP_BATCH 50

/* What flow keys in Netlink form can hold of what we match. */
static const struct odp_support support = {
    .max_vlan_headers = SIZE_MAX,
    .max_mpls_depth = SIZE_MAX,
    .recirc = true,
    .ct_state = true,
    .ct_zone = true,
    .ct_mark = true,
    .ct_label = true,
    .ct_state_nat = true,
    .ct_orig_tuple = true,
    .ct_orig_tuple6 = true,
};

/* --- Between Netlink attributes and matches --------------------------------*/

/* Fills in 'flow' from the flow key in 'key'. */
static int
flow_from_key(const struct nlattr *key, size_t key_len, struct flow *flow,
              bool probe)
{
    static struct vlog_rate_limit rl = VLOG_RATE_LIMIT_INIT(1, 5);

    if (odp_flow_key_to_flow(key, key_len, flow, NULL)) {
        if (!probe && !VLOG_DROP_WARN(&rl)) {
            struct ds s = DS_EMPTY_INITIALIZER;

            odp_flow_format(key, key_len, NULL, 0, NULL, &s, true);
            VLOG_WARN("cannot parse flow key %s", ds_cstr(&s));
            ds_destroy(&s);
        }
        return EINVAL;
    }
    return flow->ct_state & ~(CS_NEW | CS_ESTABLISHED | CS_RELATED
                              | CS_INVALID | CS_REPLY_DIR | CS_TRACKED
                              | CS_SRC_NAT | CS_DST_NAT) ? EINVAL : 0;
}

void
dpif_flow_mask_vlan(struct match *match)
{
    if (!match->flow.vlans[0].tci) {
        match->wc.masks.vlans[0].tci = OVS_BE16_MAX;
    } else if (!match->wc.masks.vlans[0].tci) {
        match->wc.masks.vlans[0].tci = htons(VLAN_VID_MASK | VLAN_CFI);
    }
}

static int
match_from_put(const struct dpif_flow_put *put, struct match *match)
{
    static struct vlog_rate_limit rl = VLOG_RATE_LIMIT_INIT(1, 5);
    bool probe = put->flags & DPIF_FP_PROBE;

    memset(match, 0, sizeof *match);
    int error = flow_from_key(put->key, put->key_len, &match->flow, probe);
    if (error) {
        return error;
    }
    if (odp_flow_key_to_mask(put->mask, put->mask_len, &match->wc,
                             &match->flow, NULL)) {
        if (!probe) {
            VLOG_WARN_RL(&rl, "cannot parse a flow's mask");
        }
        return EINVAL;
    }
    if (match->wc.masks.in_port.odp_port != ODPP_NONE) {
        VLOG_WARN_RL(&rl, "refused a flow: in_port is not an exact match");
        return EINVAL;
    }
    dpif_flow_mask_vlan(match);
    return 0;
}

/* Finds a flow by UFID or, if that is NULL, by key. */
static struct megaflow *
find_flow(struct datapath *dp, const ovs_u128 *ufid, const struct flow *flow)
{
    if (ufid) {
        return megaflow_find(&dp->flows, ufid);
    }

    struct flow_key key;
    unsigned int blocks = flow_key_from_flow(&key, flow)
                          | FLOW_KEY_WIDE_L3 | FLOW_KEY_TUNNEL;
    struct megaflow *found = megaflow_lookup(&dp->flows, &key, &blocks);
    return found ? found : megaflow_lookup_wide(&dp->flows, flow);
}

static struct megaflow *
find_flow_by_attrs(struct datapath *dp, const ovs_u128 *ufid,
                   const struct nlattr *key, size_t key_len)
{
    struct flow flow;

    if (!ufid && flow_from_key(key, key_len, &flow, false)) {
        return NULL;
    }
    return find_flow(dp, ufid, &flow);
}

static const struct datapath *
flow_datapath(const struct megaflow *flow)
{
    return CONTAINER_OF(flow->table, struct datapath, flows);
}

/* Fills in 'out' with 'flow', putting key and mask into 'key' and 'mask'.  The
 * actions are not copied: they are valid until the caller quiesces. */
static void
flow_to_dpif(const struct megaflow *flow, struct ofpbuf *key,
             struct ofpbuf *mask, struct dpif_flow *out, bool terse)
{
    memset(out, 0, sizeof *out);
    if (!terse) {
        struct match match;
        const struct program *program = ovsrcu_get(struct program *,
                                                   &flow->program);
        struct odp_flow_key_parms parms = {
            .flow = &match.flow,
            .mask = &match.wc.masks,
            .support = support,
        };
        size_t ofs = key->size;

        megaflow_get_match(flow, &match);
        out->key = ofpbuf_tail(key);
        odp_flow_key_from_flow(&parms, key);
        out->key_len = key->size - ofs;

        ofs = mask->size;
        out->mask = ofpbuf_tail(mask);
        parms.key_buf = key;
        odp_flow_key_from_mask(&parms, mask);
        out->mask_len = mask->size - ofs;

        out->actions = program->actions;
        out->actions_len = program->actions_len;
    }
    out->ufid = flow->info->ufid;
    out->ufid_present = true;
    out->pmd_id = datapath_pmd_id(flow_datapath(flow));
    out->attrs.dp_layer = kernel_flow_exists(flow) ? "kernel" : "ovs";
    megaflow_get_stats(flow, &out->stats);
}

/* What people want to see of upcalls and flows is logged in the words, and
 * under the name of the module, that Open vSwitch's user-space datapath does it
 * with: they know `vlog/set dpif_netdev:dbg', and scripts read what comes.
 *
 * Returns that module if a message is to be logged now, else NULL. */
static const struct vlog_module *
debug_module(struct vlog_rate_limit *rl)
{
    static struct ovsthread_once once = OVSTHREAD_ONCE_INITIALIZER;
    static const struct vlog_module *module;

    if (ovsthread_once_start(&once)) {
        module = vlog_module_from_name("dpif_netdev");
        ovsthread_once_done(&once);
    }
    return (module && vlog_is_enabled(module, VLL_DBG)
            && !vlog_should_drop(module, VLL_DBG, rl) ? module : NULL);
}

/* Logs an upcall of 'type' for 'packet', which is one of 'flow'. */
void
dpif_flow_log_upcall(const struct datapath *dp, const struct dp_packet *packet,
                     const struct flow *flow, enum dpif_upcall_type type)
{
    static struct vlog_rate_limit rl = VLOG_RATE_LIMIT_INIT(600, 600);
    const struct vlog_module *module = debug_module(&rl);

    if (!module) {
        return;
    }

    struct odp_flow_key_parms parms = { .flow = flow, .support = support };
    char *contents = ofp_dp_packet_to_string(packet);
    struct ds s = DS_EMPTY_INITIALIZER;
    struct ofpbuf key;

    ofpbuf_init(&key, 0);
    odp_flow_key_from_flow(&parms, &key);
    odp_flow_key_format(key.data, key.size, &s);
    vlog(module, VLL_DBG, "%s: %s upcall:\n%s\n%s", dp->name,
         dpif_upcall_type_to_string(type), ds_cstr(&s), contents);
    ofpbuf_uninit(&key);
    ds_destroy(&s);
    free(contents);
}

/* Logs that a flow has been added or, if 'old' is the program that it had,
 * modified. */
void
dpif_flow_log_change(const struct match *match, const ovs_u128 *ufid,
                     const struct program *old, const struct nlattr *actions,
                     size_t actions_len)
{
    static struct vlog_rate_limit rl = VLOG_RATE_LIMIT_INIT(600, 600);
    static struct ovsthread_once once = OVSTHREAD_ONCE_INITIALIZER;
    static const struct vlog_module *module;

    /* Found by comparing all names. */
    if (ovsthread_once_start(&once)) {
        module = vlog_module_from_name("dpif_netdev");
        ovsthread_once_done(&once);
    }
    if (!module || !vlog_is_enabled(module, VLL_DBG)
        || vlog_should_drop(module, VLL_DBG, &rl)) {
        return;
    }

    struct odp_flow_key_parms parms = {
        .flow = &match->flow,
        .mask = &match->wc.masks,
        .support = support,
    };
    struct flow masked = match->flow;
    struct ds s = DS_EMPTY_INITIALIZER;
    struct ofpbuf key, mask;
    ovs_u128 mega_ufid;

    flow_zero_wildcards(&masked, &match->wc);
    odp_flow_key_hash(&masked, sizeof masked, &mega_ufid);
    ofpbuf_init(&key, 0);
    ofpbuf_init(&mask, 0);
    odp_flow_key_from_flow(&parms, &key);
    parms.key_buf = &key;
    odp_flow_key_from_mask(&parms, &mask);

    ds_put_cstr(&s, old ? "flow_mod: " : "flow_add: ");
    odp_format_ufid(ufid, &s);
    ds_put_cstr(&s, " mega_");
    odp_format_ufid(&mega_ufid, &s);
    ds_put_char(&s, ' ');
    odp_flow_format(key.data, key.size, mask.data, mask.size, NULL, &s, false);
    if (old) {
        ds_put_cstr(&s, ", old_actions:");
        format_odp_actions(&s, old->actions, old->actions_len, NULL);
    }
    ds_put_cstr(&s, ", actions:");
    format_odp_actions(&s, actions, actions_len, NULL);
    vlog(module, VLL_DBG, "%s", ds_cstr(&s));
    ds_destroy(&s);
    ofpbuf_uninit(&key);
    ofpbuf_uninit(&mask);
}

/* --- Put, get, delete ------------------------------------------------------ */

/* Gives 'flow' 'program', which it takes over. */
static int
flow_modify(struct megaflow *flow, const struct dpif_flow_put *put,
            struct program *program)
    OVS_REQUIRES(flow->table->mutex)
{
    struct match match;

    if (!(put->flags & DPIF_FP_MODIFY)) {
        program_destroy(program);
        return put->flags & DPIF_FP_CREATE ? EEXIST : EINVAL;
    }
    if (put->stats) {
        megaflow_get_stats(flow, put->stats);
    }
    megaflow_get_match(flow, &match);
    dpif_flow_log_change(&match, &flow->info->ufid,
                         ovsrcu_get_protected(struct program *,
                                              &flow->program),
                         put->actions, put->actions_len);
    flow_set_program(flow, program);
    /* Threads count in arrays of their own, which only they write. */
    return put->flags & DPIF_FP_ZERO_STATS ? EOPNOTSUPP : 0;
}

static int
flow_put(struct datapath *dp, const struct dpif_flow_put *put)
{
    struct match match;
    ovs_u128 ufid;

    if (put->stats) {
        memset(put->stats, 0, sizeof *put->stats);
    }
    int error = match_from_put(put, &match);
    if (error) {
        return error;
    }
    if (put->ufid) {
        ufid = *put->ufid;
    } else {
        odp_flow_key_hash(&match.flow, sizeof match.flow, &ufid);
    }

    /* Before the lock is taken, since it may have to wait. */
    struct program *program = flow_program_create(dp, &match.flow,
                                                  put->actions,
                                                  put->actions_len);
    ovs_mutex_lock(&dp->flows.mutex);
    struct megaflow *flow = find_flow(dp, put->ufid, &match.flow);
    if (flow) {
        error = flow_modify(flow, put, program);
    } else if (put->flags & DPIF_FP_CREATE) {
        program_narrow(program, &match.wc);
        error = megaflow_add(&dp->flows, &match, &ufid, program);
        if (error) {
            program_destroy(program);
        } else {
            dpif_flow_log_change(&match, &ufid, NULL, put->actions,
                                 put->actions_len);
        }
    } else {
        program_destroy(program);
        error = ENOENT;
    }
    ovs_mutex_unlock(&dp->flows.mutex);
    return error;
}

static int
flow_get(struct datapath *dp, const struct dpif_flow_get *get)
{
    struct megaflow *flow = find_flow_by_attrs(dp, get->ufid, get->key,
                                               get->key_len);
    if (!flow) {
        return ENOENT;
    }

    /* The caller's buffer takes key, mask and actions, one behind the other;
     * pointers into it hold because it is grown first. */
    const struct program *program = ovsrcu_get(struct program *,
                                               &flow->program);
    ofpbuf_prealloc_tailroom(get->buffer, 2 * ODPUTIL_FLOW_KEY_BYTES
                                          + program->actions_len);
    flow_to_dpif(flow, get->buffer, get->buffer, get->flow, false);
    get->flow->actions = ofpbuf_put(get->buffer, program->actions,
                                    program->actions_len);
    get->flow->actions_len = program->actions_len;
    return 0;
}

static int
flow_del(struct datapath *dp, const struct dpif_flow_del *del)
{
    ovs_mutex_lock(&dp->flows.mutex);
    struct megaflow *flow = find_flow_by_attrs(dp, del->ufid, del->key,
                                               del->key_len);
    if (flow) {
        /* First from the kernel, so that its last packets count. */
        kernel_flow_remove(flow);
        if (del->stats) {
            megaflow_get_stats(flow, del->stats);
        }
        megaflow_remove(flow);
    }
    ovs_mutex_unlock(&dp->flows.mutex);
    return flow ? 0 : ENOENT;
}

static int
provider_flow_flush(struct dpif *dpif)
{
    struct datapath *dp = dpif_datapath(dpif);
    struct megaflow *flow;

    ovs_mutex_lock(&dp->flows.mutex);
    CMAP_FOR_EACH (flow, ufid_node, &dp->flows.by_ufid) {
        megaflow_remove(flow);
    }
    ovs_mutex_unlock(&dp->flows.mutex);
    return 0;
}

/* --- Upcalls -----------------------------------------------------------------*/

int
dpif_flow_make_upcall(struct datapath *dp, struct dp_packet *packet,
                      struct dpif_upcall *upcall, struct ofpbuf *buf)
{
    struct flow flow;
    struct odp_flow_key_parms parms = { .flow = &flow, .support = support };

    flow_extract(packet, &flow);
    flow_note_source(dp, &flow);
    memset(upcall, 0, sizeof *upcall);
    upcall->type = DPIF_UC_MISS;
    odp_flow_key_hash(&flow, sizeof flow, &upcall->ufid);
    odp_flow_key_from_flow(&parms, buf);
    upcall->key = buf->data;
    upcall->key_len = buf->size;

    /* Contents and metadata move; the shell goes. */
    upcall->packet = *packet;
    free(packet);
    return 0;
}

/* --- Execute -----------------------------------------------------------------*/

/* Returns true if 'packet' is dropped by 'execute' because those like it are:
 * the first of its flow, which had to wait for its upcall.  Another may be one
 * that libofproto has dealt with by itself. */
static bool
drops_flow(struct datapath *dp, struct dp_packet *packet,
           const struct dpif_execute *execute)
{
    struct flow flow;

    if (!actions_drop(execute->actions, execute->actions_len)) {
        return false;
    }
    flow_extract(packet, &flow);

    const struct megaflow *found = find_flow(dp, NULL, &flow);
    const struct program *program
        = found ? ovsrcu_get(struct program *, &found->program) : NULL;
    return program && actions_drop(program->actions, program->actions_len);
}

static int
execute(struct datapath *dp, struct dpif_execute *execute)
{
    if (dp_packet_size(execute->packet) < ETH_HEADER_LEN
        || dp_packet_size(execute->packet) > UINT16_MAX) {
        return EINVAL;
    }
    if (execute->probe) {
        /* The answer is that the actions are well-formed; nothing may go
         * out. */
        return 0;
    }

    struct dp_thread *thread = dp_thread_get();
    struct dp_packet *clone = dp_packet_clone(execute->packet);
    struct dp_packet_batch batch;

    if (!dp_packet_rss_valid(clone)) {
        dp_packet_set_rss_hash(clone, flow_hash_5tuple(execute->flow, 0));
    }
    dp_packet_batch_init_packet(&batch, clone);

    vhost_online();
    if (drops_flow(dp, clone, execute)) {
        generic_note_drop(dp, clone, DROP_ACTION, thread);
    }
    generic_execute(dp, &batch, false, execute->flow, execute->actions,
                    execute->actions_len, thread);
    transmit_flush(thread);
    vhost_offline();

    /* The caller may look at what the actions made of the packet. */
    if (dp_packet_batch_size(&batch) == 1) {
        dp_packet_swap(execute->packet, batch.packets[0]);
    }
    dp_packet_delete_batch(&batch, true);
    return 0;
}

static void
provider_operate(struct dpif *dpif, struct dpif_op **ops, size_t n_ops,
                 enum dpif_offload_type offload_type OVS_UNUSED)
{
    struct datapath *dp = dpif_datapath(dpif);

    for (size_t i = 0; i < n_ops; i++) {
        struct dpif_op *op = ops[i];

        switch (op->type) {
        case DPIF_OP_FLOW_PUT:
            op->error = flow_put(dp, &op->flow_put);
            break;
        case DPIF_OP_FLOW_DEL:
            op->error = flow_del(dp, &op->flow_del);
            break;
        case DPIF_OP_EXECUTE:
            op->error = execute(dp, &op->execute);
            break;
        case DPIF_OP_FLOW_GET:
            op->error = flow_get(dp, &op->flow_get);
            break;
        }
    }
}

/* --- Dump ------------------------------------------------------------------- */

struct flow_dump {
    struct dpif_flow_dump up;
    struct ovs_mutex mutex;         /* Threads share the position. */
    struct cmap_position position;
    bool done;
};

struct flow_dump_thread {
    struct dpif_flow_dump_thread up;
    struct flow_dump *dump;
    struct odputil_keybuf keys[FLOW_DUMP_BATCH];
    struct odputil_keybuf masks[FLOW_DUMP_BATCH];
};

static struct dpif_flow_dump *
provider_flow_dump_create(const struct dpif *dpif, bool terse,
                          struct dpif_flow_dump_types *types OVS_UNUSED)
{
    struct flow_dump *dump = xzalloc(sizeof *dump);

    kernel_flows_run(time_msec());
    dpif_flow_dump_init(&dump->up, dpif);
    dump->up.terse = terse;
    ovs_mutex_init(&dump->mutex);
    return &dump->up;
}

static int
provider_flow_dump_destroy(struct dpif_flow_dump *dump_)
{
    struct flow_dump *dump = CONTAINER_OF(dump_, struct flow_dump, up);

    ovs_mutex_destroy(&dump->mutex);
    free(dump);
    return 0;
}

static struct dpif_flow_dump_thread *
provider_flow_dump_thread_create(struct dpif_flow_dump *dump)
{
    struct flow_dump_thread *thread = xmalloc(sizeof *thread);

    dpif_flow_dump_thread_init(&thread->up, dump);
    thread->dump = CONTAINER_OF(dump, struct flow_dump, up);
    return &thread->up;
}

static void
provider_flow_dump_thread_destroy(struct dpif_flow_dump_thread *thread)
{
    free(CONTAINER_OF(thread, struct flow_dump_thread, up));
}

static int
provider_flow_dump_next(struct dpif_flow_dump_thread *thread_,
                        struct dpif_flow *flows, int max_flows)
{
    struct flow_dump_thread *thread
        = CONTAINER_OF(thread_, struct flow_dump_thread, up);
    struct flow_dump *dump = thread->dump;
    struct datapath *dp = dpif_datapath(dump->up.dpif);
    struct megaflow *found[FLOW_DUMP_BATCH];
    int n = 0;

    ovs_mutex_lock(&dump->mutex);
    while (!dump->done && n < MIN(max_flows, FLOW_DUMP_BATCH)) {
        struct cmap_node *node = cmap_next_position(&dp->flows.by_ufid,
                                                    &dump->position);
        if (!node) {
            dump->done = true;
            break;
        }
        found[n++] = CONTAINER_OF(node, struct megaflow, ufid_node);
    }
    ovs_mutex_unlock(&dump->mutex);

    for (int i = 0; i < n; i++) {
        struct ofpbuf key, mask;

        ofpbuf_use_stack(&key, &thread->keys[i], sizeof thread->keys[i]);
        ofpbuf_use_stack(&mask, &thread->masks[i], sizeof thread->masks[i]);
        kernel_flow_retry(found[i]);
        flow_to_dpif(found[i], &key, &mask, &flows[i], dump->up.terse);
    }
    return n;
}

void
dpif_flow_init_class(struct dpif_class *class)
{
    class->flow_flush = provider_flow_flush;
    class->flow_dump_create = provider_flow_dump_create;
    class->flow_dump_destroy = provider_flow_dump_destroy;
    class->flow_dump_thread_create = provider_flow_dump_thread_create;
    class->flow_dump_thread_destroy = provider_flow_dump_thread_destroy;
    class->flow_dump_next = provider_flow_dump_next;
    class->operate = provider_operate;
}
