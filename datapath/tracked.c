/* Connection tracking on the fast path.
 *
 * libopenvswitch's connection tracker takes dp_packets, which hold a whole
 * packet.  But of a TCP or UDP packet it looks at the headers alone, and at the
 * payload's length: so it gets a stand-in, a dp_packet whose data is the
 * view's head and whose size is that of the whole frame.  What it would read
 * beyond the head never comes to that:
 *
 *   - the checksum, if somebody else is to compute it or the kernel has verified
 *     it, isn't looked at; else we sum the payload up where it lies;
 *   - packets of protocols with addresses in their payload (FTP, TFTP), errors
 *     that quote another packet (ICMP) and fragments go the generic way.
 *
 * NAT rewrites the head in place.  After that such packets recirculate: they are
 * parsed and looked up again, with the connection's state in their key, and run
 * the next program.  The stand-in carries what they need on the way.  It all
 * happens within a batch, so that the payload is still copied once, from
 * guest to guest.
 *
 * Packets that recirculate without having been tracked, with a hash of theirs in
 * the key to choose a link of a bond or a bucket of a group, may be of any
 * kind: their stand-ins are not for the tracker, and go the generic way should
 * they come to a program that tracks after all.
 *
 * Packets of a batch that belong to one flow go through their program as a
 * group, operation by operation. */
#include <config.h>
#include "datapath/private.h"

#include <netinet/in.h>
#include <string.h>

#include "conntrack.h"
#include "csum.h"
#include "datapath/conntrack-action.h"
#include "datapath/kernel/kernel.h"
#include "datapath/program.h"
#include "dp-packet.h"
#include "hash.h"
#include "packets.h"
#include "unaligned.h"

/* Packets of one flow, and their stand-ins. */
struct group {
    unsigned int n;
    bool for_tracker;               /* The tracker may see the stand-ins. */
    struct vhost_packet *packets[VHOST_BATCH];
    struct dp_packet *stand_ins[VHOST_BATCH];
};

static void run(const struct program *, struct port *, struct group *,
                unsigned int depth, struct dp_thread *);

/* --- Stand-ins ------------------------------------------------------------- */

enum checksum { CHECKSUM_GOOD, CHECKSUM_BAD, CHECKSUM_UNKNOWN };

/* Sums up the transport header and payload, 'l4_len' bytes, of 'packet'. */
static enum checksum
verify_checksum(const struct vhost_packet *packet, size_t l4_len)
{
    const uint8_t *nh = packet->head + packet->l3_ofs;
    bool ipv4 = nh[0] >> 4 == 4;
    uint8_t nw_proto = ipv4 ? nh[9] : nh[6];
    uint32_t sum = ipv4 ? csum_continue(0, nh + 12, 8)
                        : csum_continue(0, nh + 8, 32);
    size_t n = MIN(packet->head_len - packet->l4_ofs, l4_len);

    if (nw_proto != IPPROTO_TCP && nw_proto != IPPROTO_UDP) {
        return CHECKSUM_UNKNOWN;        /* Behind extension headers. */
    }
    if (nw_proto == IPPROTO_UDP && ipv4
        && !get_unaligned_be16((const ovs_be16 *) (packet->head
                                                   + packet->l4_ofs + 6))) {
        return CHECKSUM_GOOD;           /* It has none. */
    }
    sum = csum_add16(sum, htons(nw_proto));
    sum = csum_add32(sum, htonl(l4_len));
    sum = csum_continue(sum, packet->head + packet->l4_ofs, n);
    l4_len -= n;
    for (unsigned int i = 0; l4_len; i++) {
        if (n % 2) {
            return CHECKSUM_UNKNOWN;    /* Out of step. */
        }
        n = MIN(packet->segs[i].len, l4_len);
        sum = csum_continue(sum, packet->segs[i].data, n);
        l4_len -= n;
    }
    return csum_finish(sum) ? CHECKSUM_BAD : CHECKSUM_GOOD;
}

/* Tells the tracker about the checksum of 'packet', whose transport header and
 * payload are 'l4_len' bytes.  Returns false if there is no telling. */
static bool
set_checksum(struct dp_packet *stand_in, const struct vhost_packet *packet,
             uint8_t nw_proto, size_t l4_len)
{
    *dp_packet_ol_flags_ptr(stand_in) = 0;
    if (packet->vnet.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) {
        if (packet->vnet.csum_start != packet->l4_ofs) {
            return false;
        }
        if (nw_proto == IPPROTO_TCP) {
            dp_packet_hwol_set_csum_tcp(stand_in);
        } else {
            dp_packet_hwol_set_csum_udp(stand_in);
        }
        return true;
    }

    enum checksum checksum
        = packet->vnet.flags & VIRTIO_NET_HDR_F_DATA_VALID
          ? CHECKSUM_GOOD : verify_checksum(packet, l4_len);
    *dp_packet_ol_flags_ptr(stand_in)
        = checksum == CHECKSUM_GOOD ? DP_PACKET_OL_RX_L4_CKSUM_GOOD
                                    : DP_PACKET_OL_RX_L4_CKSUM_BAD;
    return checksum != CHECKSUM_UNKNOWN;
}

/* Makes 'stand_in' point to the head of 'packet' as it is now. */
static void
update_stand_in(struct dp_packet *stand_in, const struct vhost_packet *packet)
{
    dp_packet_set_base(stand_in, packet->head);
    dp_packet_set_data(stand_in, packet->head);
    dp_packet_set_size(stand_in, packet->len);
    stand_in->l3_ofs = packet->l3_ofs;
    stand_in->l4_ofs = packet->l4_ofs;
}

/* Makes 'stand_in' that of 'packet', which 'in' received, for who wants to know
 * nothing but what it carries. */
static void
init_stand_in(struct dp_packet *stand_in, const struct vhost_packet *packet,
              const struct port *in)
{
    dp_packet_use_const(stand_in, packet->head, packet->len);
    update_stand_in(stand_in, packet);
    stand_in->packet_type = htonl(PT_ETH);
    pkt_metadata_init(&stand_in->md, in->number);
}

/* The length of the IP packet at 'nh'. */
static size_t
ip_length(const uint8_t *nh)
{
    return nh[0] >> 4 == 4 ? (nh[2] << 8 | nh[3])
                           : IPV6_HEADER_LEN + (nh[4] << 8 | nh[5]);
}

static bool
port_has_payload_addresses(ovs_be16 port)
{
    return port == htons(IPPORT_FTP) || port == htons(IPPORT_TFTP);
}

bool
tracked_make_stand_in(struct dp_packet *stand_in, struct vhost_packet *packet,
                      const struct flow_key *key, const struct port *in)
{
    size_t l4 = packet->l4_ofs;

    if (l4 == UINT16_MAX || key->nw_frag || !key->tp_src
        || port_has_payload_addresses(key->tp_src)
        || port_has_payload_addresses(key->tp_dst)) {
        return false;
    }
    if (key->nw_proto == IPPROTO_TCP) {
        if (!vhost_packet_pull(packet, l4 + TCP_HEADER_LEN)
            || !vhost_packet_pull(packet,
                                  l4 + (packet->head[l4 + 12] >> 4) * 4)) {
            return false;
        }
    } else if (key->nw_proto != IPPROTO_UDP
               || !vhost_packet_pull(packet, l4 + UDP_HEADER_LEN)) {
        return false;
    }

    size_t ip_end = packet->l3_ofs + ip_length(packet->head + packet->l3_ofs);
    if (ip_end > packet->len || ip_end < l4) {
        return false;
    }
    init_stand_in(stand_in, packet, in);
    dp_packet_set_l2_pad_size(stand_in, packet->len - ip_end);
    return set_checksum(stand_in, packet, key->nw_proto, ip_end - l4);
}

/* --- Operations ------------------------------------------------------------ */

/* Leaves packets that the tracker gave us beside those of a group, fragments
 * that have waited for one another, to the generic path: they go on behind the
 * ct() action, at 'ofs' in the actions of 'program'. */
static void
continue_others(struct dp_packet_batch *batch, unsigned int first,
                struct port *in, const struct program *program, size_t ofs,
                struct dp_thread *thread)
{
    for (unsigned int i = first; i < dp_packet_batch_size(batch); i++) {
        struct dp_packet *packet = batch->packets[i];

        if (thread->n_deferred < ARRAY_SIZE(thread->deferred)) {
            thread->deferred[thread->n_deferred++] = (struct deferred) {
                .packet = packet, .dp = in->dp, .program = program,
                .ofs = ofs, .len = program->actions_len - ofs,
            };
        } else {
            port_drop(in, DROP_CONNTRACK, 1, thread);
            dp_packet_delete(packet);
        }
    }
}

static void
track(struct group *group, struct port *in, const struct program *program,
      const struct program_op *op, struct dp_thread *thread)
{
    const struct nlattr *ct = program_op_attr(program, op);
    const uint8_t *nh = group->packets[0]->head + group->packets[0]->l3_ofs;
    struct flow flow = {
        .dl_type = htons(nh[0] >> 4 == 4 ? ETH_TYPE_IP : ETH_TYPE_IPV6),
    };
    struct dp_packet_batch batch;

    dp_packet_batch_init(&batch);
    for (unsigned int i = 0; i < group->n; i++) {
        update_stand_in(group->stand_ins[i], group->packets[i]);
        dp_packet_batch_add(&batch, group->stand_ins[i]);
    }
    conntrack_action(in->dp->conntrack, &batch, &flow, ct, thread->now);
    continue_others(&batch, group->n, in, program,
                    op->attr_ofs + NLA_ALIGN(ct->nla_len), thread);
    for (unsigned int i = 0; i < group->n; i++) {
        if (group->stand_ins[i]->md.ct_state & (CS_SRC_NAT | CS_DST_NAT)) {
            offload_fix_pseudo_header(group->packets[i]);
        }
    }
}

bool
tracked_make_key(const struct port *in, const struct vhost_packet *packet,
                 const struct pkt_metadata *md, struct flow_key *key,
                 struct flow_parse *parsed)
{
    memset(key, 0, 128);
    parsed->blocks = FLOW_KEY_L2_L4 | FLOW_KEY_WIDE_L3;
    parsed->vlan_limit = flow_vlan_limit;
    if (!flow_key_parse(packet->head, packet->head_len, packet->len, key,
                        parsed)) {
        return false;
    }
    key->in_port = odp_to_u32(in->number);
    key->recirc_id = md->recirc_id;
    key->dp_hash = md->dp_hash;
    if (md->ct_state) {
        key->ct_state = md->ct_state;
        key->ct_zone = md->ct_zone;
        key->ct_mark = md->ct_mark;
        memcpy(key->ct_label, &md->ct_label, sizeof key->ct_label);
    }
    return true;
}

void
tracked_track(struct dp_packet *stand_in, struct vhost_packet *packet,
              struct port *in, const struct program *program,
              const struct program_op *op, struct dp_thread *thread)
{
    struct group group = {
        .n = 1, .for_tracker = true, .packets = { packet },
        .stand_ins = { stand_in },
    };

    track(&group, in, program, op, thread);
}

/* Runs the program of 'flow' on 'group', all of whose packets belong to it. */
static void
act(struct port *in, struct megaflow *flow, struct group *group,
    uint16_t tcp_flags, unsigned int depth, struct dp_thread *thread)
{
    const struct program *program = ovsrcu_get(struct program *,
                                               &flow->program);
    unsigned int bytes = 0;

    for (unsigned int i = 0; i < group->n; i++) {
        bytes += group->packets[i]->len;
    }
    megaflow_count(thread->stats, flow, group->n, bytes, tcp_flags,
                   thread->now);
    bool generic = program->generic
                   || (program->has_ct && !group->for_tracker);

    if (program->tracks && !generic) {
        run(program, in, group, depth, thread);
        return;
    }
    for (unsigned int i = 0; i < group->n; i++) {
        if (generic) {
            put_aside(in, group->packets[i], group->stand_ins[i], program,
                      thread);
        } else {
            program_run(program, in, group->packets[i], 1, thread);
        }
    }
}

/* Sends the packets of 'group' through the flow cache again. */
static void
recirculate(struct group *group, struct port *in, uint32_t recirc_id,
            unsigned int depth, struct dp_thread *thread)
{
    struct flow_key keys[VHOST_BATCH];
    struct megaflow *flows[VHOST_BATCH];
    uint64_t hashes[VHOST_BATCH];
    struct flow_parse parsed;

    for (unsigned int i = 0; i < group->n; i++) {
        struct pkt_metadata *md = &group->stand_ins[i]->md;

        md->recirc_id = recirc_id;
        flows[i] = NULL;
        hashes[i] = 0;
        if (tracked_make_key(in, group->packets[i], md, &keys[i], &parsed)) {
            hashes[i] = microflow_hash(&keys[i], parsed.blocks);
            flows[i] = microflow_find(thread->cache, hashes[i]);
        }
    }

    unsigned int n_hits = 0;
    for (unsigned int i = 0; i < group->n; i++) {
        unsigned int blocks = parsed.blocks;

        if (flows[i] && megaflow_matches(flows[i], &in->dp->flows, &keys[i],
                                         &blocks)) {
            n_hits++;
        } else if (hashes[i]) {
            flows[i] = look_up_slow(in->dp, &keys[i], &blocks, hashes[i],
                                    thread);
        }
    }
    counter_add(&thread->cache_counters.microflow, n_hits);

    for (unsigned int i = 0; i < group->n; ) {
        struct group same = { .for_tracker = group->for_tracker };
        struct megaflow *flow = flows[i];
        uint16_t tcp_flags = 0;

        for (; i < group->n && flows[i] == flow; i++) {
            same.packets[same.n] = group->packets[i];
            same.stand_ins[same.n++] = group->stand_ins[i];
            tcp_flags |= ntohs(keys[i].tcp_flags);
        }
        if (flow) {
            act(in, flow, &same, tcp_flags, depth, thread);
        } else {
            for (unsigned int j = 0; j < same.n; j++) {
                put_aside(in, same.packets[j], same.stand_ins[j], NULL,
                          thread);
            }
        }
    }
}

static void
recirc(struct group *group, struct port *in, uint32_t recirc_id,
       unsigned int depth, struct dp_thread *thread)
{
    if (depth < DP_MAX_RECIRC_DEPTH) {
        recirculate(group, in, recirc_id, depth + 1, thread);
    } else {
        for (unsigned int i = 0; i < group->n; i++) {
            port_drop_packet(in, DROP_RECIRC, group->packets[i], thread);
        }
    }
}

/* Runs 'program', which tracks, on 'group'.  Nothing changes its packets after
 * they have been output: program_create() sees to that. */
static void
run(const struct program *program, struct port *in, struct group *group,
    unsigned int depth, struct dp_thread *thread)
{
    for (unsigned int i = 0; i < program->n_ops; i++) {
        const struct program_op *op = &program->ops[i];

        switch (op->type) {
        case OP_CT:
            track(group, in, program, op, thread);
            break;

        case OP_CT_CLEAR:
            for (unsigned int j = 0; j < group->n; j++) {
                conntrack_clear(group->stand_ins[j]);
            }
            break;

        case OP_RECIRC:
            recirc(group, in, op->recirc_id, depth, thread);
            break;

        case OP_HASH:
            for (unsigned int j = 0; j < group->n; j++) {
                group->stand_ins[j]->md.dp_hash
                    = hash_int(group->packets[j]->hash, op->hash_basis);
            }
            break;

        default:
            for (unsigned int j = 0; j < group->n; j++) {
                program_run_op(program, op, in, group->packets[j],
                               group->stand_ins[j], thread);
            }
            break;
        }
    }
}

void
tracked_run(const struct program *program, struct port *in,
            struct vhost_packet packets[], const uint8_t which[],
            unsigned int n, struct dp_thread *thread)
{
    struct group group = { .for_tracker = program->has_ct };

    for (unsigned int i = 0; i < n; i++) {
        struct dp_packet *stand_in = &thread->stand_ins[group.n];

        const struct flow_key *key = &thread->keys[which[i]];

        if (in->kernel && program->has_ct) {
            kernel_connection_consider(in, &packets[i], key, thread);
        }
        if (!program->has_ct) {
            init_stand_in(stand_in, &packets[i], in);
        }
        if (!program->has_ct
            || tracked_make_stand_in(stand_in, &packets[i], key, in)) {
            group.packets[group.n] = &packets[i];
            group.stand_ins[group.n++] = stand_in;
        } else {
            put_aside(in, &packets[i], NULL, program, thread);
        }
    }
    if (group.n) {
        run(program, in, &group, 0, thread);
    }
}
