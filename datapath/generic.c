/* The generic path: packets as a whole, on libopenvswitch's code.
 *
 * What the fast path can't do (connection tracking, tunnels, recirculation,
 * MPLS, ...) is done on a dp_packet, a private copy of the packet,
 * by odp_execute_actions().  It calls back here for what only a datapath can
 * do: output, recirculation, tunnel push and pop, connection tracking, meters
 * and upcalls.
 *
 * A packet's offload request travels in two places that libopenvswitch keeps
 * with a packet but leaves alone in a process without DPDK: checksums in
 * ol_flags, where its connection tracker looks for them, and segmentation in
 * flow_mark.  All else is derived from the headers when the packet leaves. */
#include <config.h>
#include "datapath/private.h"

#include "conntrack.h"
#include "coverage.h"
#include "csum.h"
#include "datapath/addresses.h"
#include "datapath/bond-map.h"
#include "datapath/coalesce.h"
#include "datapath/conntrack-action.h"
#include "datapath/flow-convert.h"
#include "datapath/meter.h"
#include "datapath/program.h"
#include "datapath/tunnel-native.h"
#include "dp-packet.h"
#include "flow.h"
#include "netdev.h"
#include "netdev-provider.h"
#include "netlink.h"
#include "odp-execute.h"
#include "odp-util.h"
#include "timeval.h"

enum odp_key_fitness __wrap_odp_tun_key_from_attr(const struct nlattr *,
                                                  struct flow_tnl *, char **);
enum odp_key_fitness __real_odp_tun_key_from_attr(const struct nlattr *,
                                                  struct flow_tnl *, char **);

COVERAGE_DEFINE(datapath_recirc_limit);

/* Room in front of a packet for what actions push. */
#define HEADROOM 192

BUILD_ASSERT_DECL(GENERIC_MAX_LEN + HEADROOM <= UINT16_MAX);

/* --- Between views and dp_packets ------------------------------------------ */

void
generic_request_offload(struct dp_packet *packet, uint16_t csum_offset,
                        uint8_t gso_type, uint16_t gso_size)
{
    switch (csum_offset) {
    case 16:
        dp_packet_hwol_set_csum_tcp(packet);
        break;
    case 6:
        dp_packet_hwol_set_csum_udp(packet);
        break;
    default:
        dp_packet_hwol_set_csum_sctp(packet);
        break;
    }
    if (gso_type != VIRTIO_NET_HDR_GSO_NONE) {
        dp_packet_set_flow_mark(packet,
                                (uint32_t) gso_type << 16 | gso_size);
    }
}

/* Stores the offload request of 'view' in 'packet', its copy.  A checksum
 * inside of a tunnel that the sender made has no place there: it is finished
 * at once. */
static void
save_offload(struct dp_packet *packet, const struct vhost_packet *view)
{
    if (!(view->vnet.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM)) {
        return;
    }
    if (view->vnet.csum_start != view->l4_ofs) {
        offload_finish_csum(dp_packet_data(packet), dp_packet_size(packet),
                            &view->vnet);
        return;
    }
    generic_request_offload(packet, view->vnet.csum_offset,
                            view->vnet.gso_type, view->vnet.gso_size);
}

struct dp_packet *
generic_packet_new(const void *data, size_t len, size_t room,
                   const struct port *in)
{
    struct dp_packet *packet
        = dp_packet_new_with_headroom(MAX(len, room), HEADROOM);

    dp_packet_put(packet, data, len);
    packet->packet_type = htonl(PT_ETH);
    pkt_metadata_init(&packet->md, in->number);
    return packet;
}

struct dp_packet *
generic_packet(const struct vhost_packet *view, const struct port *in)
{
    uint32_t len = view->len;
    struct dp_packet *packet = dp_packet_new_with_headroom(len, HEADROOM);

    vhost_packet_copy(view, 0, dp_packet_put_uninit(packet, len), len);
    packet->packet_type = htonl(PT_ETH);
    pkt_metadata_init(&packet->md, in->number);
    dp_packet_set_rss_hash(packet, view->hash);
    save_offload(packet, view);
    return packet;
}

/* The offload request of 'packet', derived from its headers. */
static void
restore_offload(struct vhost_packet *view, const struct dp_packet *packet)
{
    struct virtio_net_hdr *vnet = &view->vnet;
    const uint8_t *th = dp_packet_l4(packet);

    memset(vnet, 0, sizeof *vnet);
    if (!dp_packet_hwol_tx_l4_checksum(packet) || !th) {
        return;
    }
    bool tcp = dp_packet_hwol_l4_is_tcp(packet);

    vnet->flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
    vnet->csum_start = view->l4_ofs;
    vnet->csum_offset = tcp ? 16
        : dp_packet_hwol_l4_is_udp(CONST_CAST(struct dp_packet *, packet))
        ? 6 : 8;

    uint32_t gso;
    if (dp_packet_has_flow_mark(CONST_CAST(struct dp_packet *, packet),
                                &gso)) {
        vnet->gso_type = gso >> 16;
        vnet->gso_size = gso;
        vnet->hdr_len = view->l4_ofs + (tcp ? (th[12] >> 4) * 4
                                        : UDP_HEADER_LEN);
    }
    offload_fix_pseudo_header(view);
}

/* Makes 'view' a view of 'packet', whose offsets must be right. */
static void
view_init(struct vhost_packet *view, const struct dp_packet *packet)
{
    view->head = dp_packet_data(packet);
    view->len = view->head_len = dp_packet_size(packet);
    view->segs = NULL;
    view->n_segs = 0;
    view->user = NULL;
    view->l3_ofs = packet->l3_ofs;
    view->l4_ofs = packet->l4_ofs;
    view->hash = dp_packet_rss_valid(packet) ? dp_packet_get_rss_hash(packet)
                                             : 0;
    restore_offload(view, packet);
}

/* --- Output ---------------------------------------------------------------- */

/* Collects 'packet', which it takes over, for output to 'port'. */
static void
output_one(struct port *port, struct dp_packet *packet,
           struct dp_thread *thread)
{
    if (thread->n_views == DP_MAX_VIEWS) {
        transmit_flush(thread);
    }
    struct generic_view *view = &thread->views[thread->n_views++];

    view->packet = packet;
    view_init(&view->view, packet);
    view->tunnel.key = NULL;
    view->tunnel.checked = dp_packet_l4_checksum_valid(packet);
    if (view->tunnel.checked) {
        view->view.user = &view->tunnel;
    } else if (flow_tnl_dst_is_set(&packet->md.tunnel)) {
        view->tunnel.key = &packet->md.tunnel;
        view->tunnel.packet_type = packet->packet_type;
        view->tunnel.mark = packet->md.pkt_mark;
        view->view.user = &view->tunnel;
    }
    transmit_add(port, &view->view, 1, thread);
}

void
generic_note_drop(struct datapath *dp, const struct dp_packet *packet,
                  enum drop_reason reason, struct dp_thread *thread)
{
    struct port *in = datapath_port(dp, packet->md.in_port.odp_port);

    if (in) {
        struct vhost_packet view;

        view_init(&view, packet);
        port_drop_packet(in, reason, &view, thread);
    }
}

static void
drop_batch(struct datapath *dp, struct dp_packet_batch *batch, bool steal,
           enum drop_reason reason, struct dp_thread *thread)
{
    struct dp_packet *packet;

    DP_PACKET_BATCH_FOR_EACH (i, packet, batch) {
        generic_note_drop(dp, packet, reason, thread);
    }
    dp_packet_delete_batch(batch, steal);
}

/* Has uplink 'port' know that 'packet' leaves by it. */
static void
note_uplink(const struct port *port, const struct dp_packet *packet,
            struct dp_thread *thread)
{
    const struct eth_header *eth = dp_packet_data(packet);
    const struct vlan_eth_header *vlan = dp_packet_data(packet);
    uint16_t vid = dp_packet_size(packet) >= VLAN_ETH_HEADER_LEN
                   && eth_type_vlan(eth->eth_type)
                   ? vlan_tci_to_vid(vlan->veth_tci) : 0;
    const struct port *in = datapath_port(port->dp,
                                          packet->md.in_port.odp_port);
    bool wait;
    struct uplink_address *address
        = uplink_use_now(port, eth->eth_src, vid, in, &wait);

    if (wait) {
        transmit_flush(thread);
        vhost_offline();
        address = uplink_use(port, eth->eth_src, vid, in);
        vhost_online();
    }
    if (address) {
        uplink_address_unuse(address);
    }
}

/* Does what the addresses of 'packet' need before it leaves by port 'number'.
 * Returns the port, or NULL if the packet is not to leave by it. */
static struct port *
check_addresses(const struct datapath *dp, odp_port_t number,
                const struct dp_packet *packet, struct dp_thread *thread)
{
    const struct eth_header *eth = dp_packet_data(packet);
    struct port *port = datapath_port(dp, number);

    if (port && !port_takes(port, eth->eth_dst)) {
        thread->n_filtered++;
        return NULL;
    }
    if (port && ovsrcu_get(struct uplink *, &port->uplink)) {
        note_uplink(port, packet, thread);
        /* It may have gone meanwhile. */
        port = datapath_port(dp, number);
    }
    thread->n_sent++;
    return port;
}

static void
output(struct datapath *dp, struct dp_packet_batch *batch, bool steal,
       odp_port_t number, struct dp_thread *thread)
{
    struct port *port = datapath_port(dp, number);
    struct dp_packet_batch copies;
    struct dp_packet *packet;

    if (!port || !port->class) {
        drop_batch(dp, batch, steal, DROP_NO_PORT, thread);
        return;
    }
    if (!steal) {
        dp_packet_batch_clone(&copies, batch);
        dp_packet_batch_reset_cutlen(batch);
        batch = &copies;
    }
    dp_packet_batch_apply_cutlen(batch);
    DP_PACKET_BATCH_FOR_EACH (i, packet, batch) {
        port = check_addresses(dp, number, packet, thread);
        if (port) {
            output_one(port, packet, thread);
        } else {
            dp_packet_delete(packet);
        }
    }
}

static void
lb_output(struct datapath *dp, struct dp_packet_batch *batch, bool steal,
          uint32_t bond_id, struct dp_thread *thread)
{
    struct dp_packet_batch copies;
    struct dp_packet *packet;

    if (!steal) {
        dp_packet_batch_clone(&copies, batch);
        dp_packet_batch_reset_cutlen(batch);
        batch = &copies;
    }
    DP_PACKET_BATCH_FOR_EACH (i, packet, batch) {
        struct bond_bucket *bucket
            = bond_map_select(dp, bond_id, dp_packet_get_rss_hash(packet));
        struct dp_packet_batch one;

        dp_packet_batch_init_packet(&one, packet);
        one.trunc = batch->trunc;
        if (bucket) {
            bond_bucket_count(bucket, dp_packet_size(packet));
            output(dp, &one, true, bucket->member, thread);
        } else {
            drop_batch(dp, &one, true, DROP_NO_PORT, thread);
        }
    }
}

/* --- Recirculation and tunnels ---------------------------------------------*/

/* Sends 'batch', which it takes over, through the flow cache again. */
static void
recirculate(struct datapath *dp, struct dp_packet_batch *batch,
            struct dp_thread *thread)
{
    struct dp_packet *packet;

    thread->recirc_depth++;
    DP_PACKET_BATCH_FOR_EACH (i, packet, batch) {
        generic_receive(dp, packet, thread);
    }
    thread->recirc_depth--;
}

/* Returns 'batch' or, unless 'steal', a copy of it in 'copies' that the caller
 * may consume in its place. */
static struct dp_packet_batch *
batch_to_consume(struct dp_packet_batch *batch, bool steal,
                 struct dp_packet_batch *copies)
{
    if (steal) {
        return batch;
    }
    dp_packet_batch_clone(copies, batch);
    dp_packet_batch_reset_cutlen(batch);
    return copies;
}

static void
recirc_action(struct datapath *dp, struct dp_packet_batch *batch, bool steal,
              uint32_t recirc_id, struct dp_thread *thread)
{
    if (thread->recirc_depth >= DP_MAX_RECIRC_DEPTH) {
        COVERAGE_INC(datapath_recirc_limit);
        drop_batch(dp, batch, steal, DROP_RECIRC, thread);
        return;
    }

    struct dp_packet_batch copies;
    struct dp_packet *packet;

    batch = batch_to_consume(batch, steal, &copies);
    DP_PACKET_BATCH_FOR_EACH (i, packet, batch) {
        packet->md.recirc_id = recirc_id;
    }
    recirculate(dp, batch, thread);
}

/* Sends 'batch', which it takes over and which came out of a tunnel to 'port',
 * through the flow cache again, with TCP segments put together. */
static void
coalesce_batch(struct port *port, struct dp_packet_batch *batch,
               struct dp_thread *thread)
{
    struct dp_packet *packet;

    thread->recirc_depth++;
    thread->coalescer->port = port;
    DP_PACKET_BATCH_FOR_EACH (i, packet, batch) {
        coalesce_receive(thread->coalescer, dp_packet_data(packet),
                         dp_packet_size(packet), GENERIC_MAX_LEN,
                         &packet->md.tunnel, packet->packet_type);
    }
    dp_packet_delete_batch(batch, true);
    thread->recirc_depth--;
}

static void
tunnel_pop(struct datapath *dp, struct dp_packet_batch *batch, bool steal,
           odp_port_t number, struct dp_thread *thread)
{
    struct port *port = datapath_port(dp, number);

    if (!port || thread->recirc_depth >= DP_MAX_RECIRC_DEPTH) {
        drop_batch(dp, batch, steal, port ? DROP_RECIRC : DROP_NO_PORT,
                   thread);
        return;
    }

    struct dp_packet_batch copies;

    batch = batch_to_consume(batch, steal, &copies);
    dp_packet_batch_apply_cutlen(batch);
    tunnel_native_pop(port, batch, thread);
    if (thread->coalescer && !thread->recirc_depth) {
        coalesce_batch(port, batch, thread);
    } else {
        recirculate(dp, batch, thread);
    }
}

static void
tunnel_push(struct datapath *dp, struct dp_packet_batch *batch, bool steal,
            const struct ovs_action_push_tnl *data, struct dp_thread *thread)
{
    struct port *port = datapath_port(dp, data->tnl_port);

    if (steal) {
        /* Nothing comes after the push: nobody will see the result. */
        dp_packet_delete_batch(batch, true);
        return;
    }
    dp_packet_batch_apply_cutlen(batch);
    if (!port || tunnel_native_push(port, batch, data, thread)) {
        drop_batch(dp, batch, true, DROP_TUNNEL, thread);
        dp_packet_batch_init(batch);
    }
}

/* --- Upcalls ----------------------------------------------------------------*/

static void
userspace_action(struct datapath *dp, struct dp_packet_batch *batch,
                 bool steal, const struct nlattr *a, struct dp_thread *thread)
{
    const struct nlattr *userdata
        = nl_attr_find_nested(a, OVS_USERSPACE_ATTR_USERDATA);
    struct dp_packet_batch copies;
    struct dp_packet *packet;
    bool consume = steal || batch->trunc;

    if (batch->trunc) {
        batch = batch_to_consume(batch, steal, &copies);
        dp_packet_batch_apply_cutlen(batch);
    }
    DP_PACKET_BATCH_FOR_EACH (i, packet, batch) {
        upcall_action(dp, packet, consume, userdata, thread);
    }
}

/* libopenvswitch's "set(tunnel)" adds to what the packet has of its last
 * tunnel, or to what nobody has initialized: this stands in for the function
 * that it calls, and clears that. */
enum odp_key_fitness
__wrap_odp_tun_key_from_attr(const struct nlattr *attr, struct flow_tnl *key,
                             char **errorp)
{
    memset(key, 0, offsetof(struct flow_tnl, metadata.opts));
    return __real_odp_tun_key_from_attr(attr, key, errorp);
}

/* --- Running actions --------------------------------------------------------*/

struct execute_aux {
    struct datapath *dp;
    const struct flow *flow;
    struct dp_thread *thread;
};

/* An odp_execute_cb: acts by 'a' on 'batch'. */
static void
execute_action(void *aux_, struct dp_packet_batch *batch,
               const struct nlattr *a, bool steal)
{
    struct execute_aux *aux = aux_;
    struct datapath *dp = aux->dp;
    struct dp_thread *thread = aux->thread;

    switch ((enum ovs_action_attr) nl_attr_type(a)) {
    case OVS_ACTION_ATTR_OUTPUT:
        output(dp, batch, steal, nl_attr_get_odp_port(a), thread);
        return;

    case OVS_ACTION_ATTR_LB_OUTPUT:
        lb_output(dp, batch, steal, nl_attr_get_u32(a), thread);
        return;

    case OVS_ACTION_ATTR_TUNNEL_PUSH:
        tunnel_push(dp, batch, steal, nl_attr_get(a), thread);
        return;

    case OVS_ACTION_ATTR_TUNNEL_POP:
        tunnel_pop(dp, batch, steal, nl_attr_get_odp_port(a), thread);
        return;

    case OVS_ACTION_ATTR_USERSPACE:
        userspace_action(dp, batch, steal, a, thread);
        return;

    case OVS_ACTION_ATTR_RECIRC:
        recirc_action(dp, batch, steal, nl_attr_get_u32(a), thread);
        return;

    case OVS_ACTION_ATTR_CT:
        conntrack_make_tailroom(batch);
        conntrack_action(dp->conntrack, batch, aux->flow, a, thread->now);
        break;

    case OVS_ACTION_ATTR_METER: {
        size_t n = meter_run(dp->meters, nl_attr_get_u32(a), batch,
                             thread->now);
        struct port *in = datapath_port(dp, aux->flow->in_port.odp_port);
        if (n && in) {
            port_drop(in, DROP_METER, n, thread);
        }
        break;
    }

    default:
        /* odp_execute_actions() does all others by itself. */
        OVS_NOT_REACHED();
    }
    dp_packet_delete_batch(batch, steal);
}

/* Returns true if 'actions' are not for a packet that is yet to be cut into
 * many, nor for one without its checksum: they push a header that covers it, or
 * pop one that each piece has, or look at its length. */
static bool
need_finished_packet(const struct nlattr *actions, size_t actions_len)
{
    const struct nlattr *a;
    unsigned int left;

    NL_ATTR_FOR_EACH_UNSAFE (a, left, actions, actions_len) {
        enum ovs_action_attr type = nl_attr_type(a);

        if (type == OVS_ACTION_ATTR_TUNNEL_PUSH
            || type == OVS_ACTION_ATTR_TUNNEL_POP
            || type == OVS_ACTION_ATTR_CHECK_PKT_LEN
            || (type == OVS_ACTION_ATTR_CLONE
                && need_finished_packet(nl_attr_get(a),
                                        nl_attr_get_size(a)))) {
            return true;
        }
    }
    return false;
}

struct finish_aux {
    struct execute_aux execute;
    const struct dp_packet *origin;
    const struct nlattr *actions;
    size_t actions_len;
};

/* Runs the actions on 'view', a piece of 'origin' with offloads finished. */
static void
execute_finished(struct vhost_packet *view, void *aux_)
{
    struct finish_aux *aux = aux_;
    struct dp_packet *packet
        = dp_packet_clone_data_with_headroom(view->head, view->len, HEADROOM);
    struct dp_packet_batch batch;

    packet->md = aux->origin->md;
    packet->packet_type = aux->origin->packet_type;
    packet->l2_5_ofs = aux->origin->l2_5_ofs;
    packet->l3_ofs = view->l3_ofs;
    packet->l4_ofs = view->l4_ofs;
    dp_packet_set_rss_hash(packet, dp_packet_get_rss_hash(aux->origin));
    /* We have just computed it. */
    *dp_packet_ol_flags_ptr(packet) |= DP_PACKET_OL_RX_L4_CKSUM_GOOD;
    dp_packet_batch_init_packet(&batch, packet);
    odp_execute_actions(&aux->execute, &batch, true, aux->actions,
                        aux->actions_len, execute_action);
}

void
generic_execute(struct datapath *dp, struct dp_packet_batch *batch,
                bool steal, const struct flow *flow,
                const struct nlattr *actions, size_t actions_len,
                struct dp_thread *thread)
{
    struct execute_aux aux = { dp, flow, thread };
    struct dp_packet *first = dp_packet_batch_is_empty(batch)
                              ? NULL : batch->packets[0];

    if (first && dp_packet_hwol_tx_l4_checksum(first)
        && dp_packet_batch_size(batch) == 1
        && need_finished_packet(actions, actions_len)) {
        struct finish_aux finish = { aux, first, actions, actions_len };
        struct coalescer *outer = thread->coalescer;
        struct coalescer coalescer = { .thread = thread };
        struct vhost_packet view;

        view_init(&view, first);
        thread->coalescer = &coalescer;
        offload_finish(&view, execute_finished, &finish);
        thread->coalescer = outer;
        coalesce_flush(&coalescer);
        dp_packet_delete_batch(batch, steal);
        return;
    }

    unsigned int n_sent = thread->n_sent, n_filtered = thread->n_filtered;
    odp_execute_actions(&aux, batch, steal, actions, actions_len,
                        execute_action);
    if (thread->n_filtered != n_filtered) {
        const struct port *in = datapath_port(dp, flow->in_port.odp_port);

        if (in) {
            port_drop(in, thread->n_sent == n_sent ? DROP_RX_FILTER
                                                   : DROP_FLOOD_FILTER,
                      1, thread);
        }
        thread->n_filtered = n_filtered;
    }
}

/* Gives 'packet', with 'flow', the hash that load balancing, groups and queue
 * choice go by, unless it has that of the fast path already. */
static void
ensure_hash(struct dp_packet *packet, const struct flow *flow)
{
    if (!dp_packet_rss_valid(packet)) {
        dp_packet_set_rss_hash(packet, flow_hash_5tuple(flow, 0));
    }
}

void
generic_run(struct datapath *dp, struct dp_packet *packet,
            const struct program *program, size_t ofs, size_t len,
            struct dp_thread *thread)
{
    struct dp_packet_batch batch;
    struct flow flow;

    flow_extract(packet, &flow);
    ensure_hash(packet, &flow);
    counter_add(&thread->cache_counters.generic, 1);
    dp_packet_batch_init_packet(&batch, packet);
    generic_execute(dp, &batch, true, &flow,
                    (const struct nlattr *) ((const char *) program->actions
                                             + ofs), len, thread);
}

void
generic_receive(struct datapath *dp, struct dp_packet *packet,
                struct dp_thread *thread)
{
    struct flow flow;
    struct flow_key key;

    flow_extract(packet, &flow);
    ensure_hash(packet, &flow);
    counter_add(&thread->cache_counters.generic, 1);

    unsigned int blocks = flow_key_from_flow(&key, &flow)
                          | FLOW_KEY_WIDE_L3 | FLOW_KEY_TUNNEL;
    struct megaflow *found = megaflow_lookup(&dp->flows, &key, &blocks);
    if (!found) {
        found = megaflow_lookup_wide(&dp->flows, &flow);
    }
    if (!found) {
        upcall_miss(dp, packet, &flow, thread);
        return;
    }
    counter_add(&thread->cache_counters.megaflow, 1);

    const struct program *program = ovsrcu_get(struct program *,
                                               &found->program);
    struct dp_packet_batch batch;

    megaflow_count(thread->stats, found, 1, dp_packet_size(packet),
                   ntohs(flow.tcp_flags), thread->now);
    if (actions_drop(program->actions, program->actions_len)) {
        generic_note_drop(dp, packet, DROP_ACTION, thread);
    }
    dp_packet_batch_init_packet(&batch, packet);
    generic_execute(dp, &batch, true, &flow, program->actions,
                    program->actions_len, thread);
}
