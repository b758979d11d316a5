/* Running action programs on packet views.
 *
 * A view that is waiting in an output may not change.  So a packet that is
 * output and then rewritten goes on as a clone: a copy of its head, with the
 * payload still where it was.  Most packets are rewritten before their first
 * output, if at all, and need none. */
#include <config.h>
#include "datapath/private.h"

#include <linux/if_ether.h>
#include <string.h>

#include "csum.h"
#include "datapath/addresses.h"
#include "datapath/bond-map.h"
#include "datapath/meter.h"
#include "datapath/program.h"
#include "dp-packet.h"
#include "netlink.h"
#include "odp-execute.h"
#include "packets.h"
#include "random.h"
#include "unaligned.h"

void
packet_clone_init(struct packet_clone *dst, const struct vhost_packet *src)
{
    struct vhost_packet *clone = &dst->packet;
    uint16_t head_len = MIN(src->head_len, VHOST_HEAD_MAX);

    memcpy(clone, src, offsetof(struct vhost_packet, headroom));
    clone->head = clone->buf;
    clone->head_len = head_len;
    memcpy(clone->head, src->head, head_len);

    clone->segs = dst->segs;
    clone->n_segs = 0;
    if (head_len < src->head_len) {
        dst->segs[clone->n_segs++] = (struct vhost_seg) {
            src->head + head_len, src->head_len - head_len
        };
    }
    for (int i = 0; i < src->n_segs; i++) {
        dst->segs[clone->n_segs++] = src->segs[i];
    }
}

/* Returns a packet like 'packet', which is waiting in outputs, that may be
 * changed. */
static struct vhost_packet *
make_writable(struct vhost_packet *packet, struct dp_thread *thread)
{
    if (thread->n_clones == DP_MAX_CLONES) {
        /* Nothing waits any more after this, 'packet' neither, but its own
         * clone must not be handed out again. */
        transmit_flush(thread);

        struct packet_clone *own = CONTAINER_OF(packet, struct packet_clone,
                                                packet);
        if (own >= thread->clones && own < thread->clones + DP_MAX_CLONES) {
            thread->n_clones = own - thread->clones + 1;
        }
        return packet;
    }

    struct packet_clone *clone = &thread->clones[thread->n_clones++];
    packet_clone_init(clone, packet);
    return &clone->packet;
}

/* --- VLAN tags ----------------------------------------------------------- */

static void
shift_offsets(struct vhost_packet *packet, int delta)
{
    packet->len += delta;
    packet->head_len += delta;
    packet->l3_ofs += delta;
    if (packet->l4_ofs != UINT16_MAX) {
        packet->l4_ofs += delta;
    }
    offload_shift(packet, delta);
}

static void
push_vlan(struct vhost_packet *packet, ovs_be16 tpid, ovs_be16 tci)
{
    packet->head -= VLAN_HEADER_LEN;
    memmove(packet->head, packet->head + VLAN_HEADER_LEN, 2 * ETH_ADDR_LEN);
    memcpy(packet->head + 12, &tpid, sizeof tpid);
    memcpy(packet->head + 14, &tci, sizeof tci);
    shift_offsets(packet, VLAN_HEADER_LEN);
}

static void
pop_vlan(struct vhost_packet *packet)
{
    ovs_be16 tpid = get_unaligned_be16((ovs_be16 *) (packet->head + 12));

    if (packet->head_len < VLAN_ETH_HEADER_LEN || !eth_type_vlan(tpid)) {
        return;
    }
    memmove(packet->head + VLAN_HEADER_LEN, packet->head, 2 * ETH_ADDR_LEN);
    packet->head += VLAN_HEADER_LEN;
    shift_offsets(packet, -VLAN_HEADER_LEN);
}

/* --- Header fields ------------------------------------------------------- */

static void
set_eth(struct vhost_packet *packet, const struct program_op *op)
{
    uint8_t *eth = packet->head;
    const uint8_t *key = (const uint8_t *) &op->eth.key;
    const uint8_t *mask = (const uint8_t *) &op->eth.mask;

    /* struct ovs_key_ethernet has the source first, the frame the
     * destination. */
    for (int i = 0; i < ETH_ADDR_LEN; i++) {
        eth[6 + i] = (eth[6 + i] & ~mask[i]) | (key[i] & mask[i]);
        eth[i] = (eth[i] & ~mask[6 + i]) | (key[6 + i] & mask[6 + i]);
    }
}

/* The field of 'packet' that holds its TCP, UDP or ICMPv6 checksum, or NULL if
 * there is none to keep right as addresses and ports change: the packet is none
 * of these, or a later fragment, or has no UDP checksum, or somebody else will finish
 * it. */
static ovs_be16 *
l4_checksum(struct vhost_packet *packet, uint8_t nw_proto)
{
    size_t ofs = nw_proto == IPPROTO_TCP ? 16
                 : nw_proto == IPPROTO_UDP ? 6
                 : nw_proto == IPPROTO_ICMPV6 ? 2 : 0;

    if (!ofs || packet->l4_ofs == UINT16_MAX
        || !vhost_packet_pull(packet, packet->l4_ofs + ofs + 2)) {
        return NULL;
    }
    if (packet->vnet.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM
        && packet->vnet.csum_start == packet->l4_ofs) {
        return NULL;
    }
    ovs_be16 *csum = (ovs_be16 *) (packet->head + packet->l4_ofs + ofs);
    return nw_proto == IPPROTO_UDP && !get_unaligned_be16(csum) ? NULL : csum;
}

static void
update_l4_checksum32(ovs_be16 *csum, bool udp, ovs_be32 old, ovs_be32 new)
{
    ovs_be16 sum = recalc_csum32(get_unaligned_be16(csum), old, new);

    put_unaligned_be16(csum, udp && !sum ? htons(0xffff) : sum);
}

static void
update_l4_checksum16(ovs_be16 *csum, bool udp, ovs_be16 old, ovs_be16 new)
{
    ovs_be16 sum = recalc_csum16(get_unaligned_be16(csum), old, new);

    put_unaligned_be16(csum, udp && !sum ? htons(0xffff) : sum);
}

static void
set_ipv4_addr(struct ip_header *nh, ovs_16aligned_be32 *addr, ovs_be32 key,
              ovs_be32 mask, ovs_be16 *l4_csum)
{
    ovs_be32 old = get_16aligned_be32(addr);
    ovs_be32 new = (old & ~mask) | (key & mask);

    if (new != old) {
        nh->ip_csum = recalc_csum32(nh->ip_csum, old, new);
        if (l4_csum) {
            update_l4_checksum32(l4_csum, nh->ip_proto == IPPROTO_UDP, old,
                                 new);
        }
        put_16aligned_be32(addr, new);
    }
}

static void
set_ipv4(struct vhost_packet *packet, const struct program_op *op)
{
    const struct ovs_key_ipv4 *key = &op->ipv4.key;
    const struct ovs_key_ipv4 *mask = &op->ipv4.mask;

    if (!vhost_packet_pull(packet, packet->l3_ofs + IP_HEADER_LEN)) {
        return;
    }
    struct ip_header *nh = (struct ip_header *) (packet->head
                                                 + packet->l3_ofs);
    ovs_be16 *l4_csum = (IP_IS_FRAGMENT(nh->ip_frag_off)
                         && nh->ip_frag_off & htons(IP_FRAG_OFF_MASK))
                        || nh->ip_proto == IPPROTO_ICMPV6
                        ? NULL : l4_checksum(packet, nh->ip_proto);

    set_ipv4_addr(nh, &nh->ip_src, key->ipv4_src, mask->ipv4_src, l4_csum);
    set_ipv4_addr(nh, &nh->ip_dst, key->ipv4_dst, mask->ipv4_dst, l4_csum);

    uint8_t tos = (nh->ip_tos & ~mask->ipv4_tos)
                  | (key->ipv4_tos & mask->ipv4_tos);
    uint8_t ttl = (nh->ip_ttl & ~mask->ipv4_ttl)
                  | (key->ipv4_ttl & mask->ipv4_ttl);
    nh->ip_csum = recalc_csum16(nh->ip_csum, htons(nh->ip_tos), htons(tos));
    nh->ip_csum = recalc_csum16(nh->ip_csum, htons(nh->ip_ttl << 8),
                                htons(ttl << 8));
    nh->ip_tos = tos;
    nh->ip_ttl = ttl;
    offload_fix_pseudo_header(packet);
}

/* The transport protocol of IPv6 'packet', all of whose headers up to the
 * transport header are in its head; 0 if that is none because it is a later
 * fragment.  '*routed' becomes true if its destination is not the last one. */
static uint8_t
ipv6_transport(const struct vhost_packet *packet, bool *routed)
{
    const uint8_t *nh = packet->head + packet->l3_ofs;
    size_t ofs = packet->l3_ofs + IPV6_HEADER_LEN;
    uint8_t proto = nh[6];

    *routed = false;
    while (ofs < packet->l4_ofs && ofs + 8 <= packet->head_len) {
        const uint8_t *ext = packet->head + ofs;

        if (proto == IPPROTO_FRAGMENT) {
            if ((ext[2] << 8 | ext[3]) & 0xfff8) {
                return 0;
            }
            ofs += 8;
        } else {
            *routed |= proto == IPPROTO_ROUTING && ext[3];
            ofs += proto == IPPROTO_AH ? (ext[1] + 2) * 4 : (ext[1] + 1) * 8;
        }
        proto = ext[0];
    }
    return ofs == packet->l4_ofs ? proto : 0;
}

static void
set_ipv6_addr(uint8_t *addr, const struct in6_addr *key,
              const struct in6_addr *mask, ovs_be16 *l4_csum, bool udp)
{
    for (int i = 0; i < 4; i++) {
        ovs_be32 *word = (ovs_be32 *) (addr + 4 * i);
        ovs_be32 old = get_unaligned_be32(word);
        ovs_be32 new = (old & ~mask->s6_addr32[i])
                       | (key->s6_addr32[i] & mask->s6_addr32[i]);

        if (l4_csum && new != old) {
            update_l4_checksum32(l4_csum, udp, old, new);
        }
        put_unaligned_be32(word, new);
    }
}

static void
set_ipv6(struct vhost_packet *packet, const struct program_op *op)
{
    const struct ovs_key_ipv6 *key = &op->ipv6.key;
    const struct ovs_key_ipv6 *mask = &op->ipv6.mask;

    if (packet->l4_ofs == UINT16_MAX
        || !vhost_packet_pull(packet, packet->l4_ofs)) {
        return;
    }
    bool routed;
    uint8_t proto = ipv6_transport(packet, &routed);
    ovs_be16 *l4_csum = l4_checksum(packet, proto);
    uint8_t *nh = packet->head + packet->l3_ofs;

    set_ipv6_addr(nh + 8, &key->ipv6_src, &mask->ipv6_src, l4_csum,
                  proto == IPPROTO_UDP);
    set_ipv6_addr(nh + 24, &key->ipv6_dst, &mask->ipv6_dst,
                  routed ? NULL : l4_csum, proto == IPPROTO_UDP);

    ovs_be32 word = get_unaligned_be32((ovs_be32 *) nh);
    ovs_be32 word_mask = mask->ipv6_label | htonl(mask->ipv6_tclass << 20);
    ovs_be32 word_key = key->ipv6_label | htonl(key->ipv6_tclass << 20);
    word = (word & ~word_mask) | (word_key & word_mask);
    put_unaligned_be32((ovs_be32 *) nh, word);
    nh[7] = (nh[7] & ~mask->ipv6_hlimit)
            | (key->ipv6_hlimit & mask->ipv6_hlimit);
    if (!routed) {
        offload_fix_pseudo_header(packet);
    }
}

static void
set_ports(struct vhost_packet *packet, const struct program_op *op)
{
    if (packet->l4_ofs == UINT16_MAX
        || !vhost_packet_pull(packet, packet->l4_ofs + 4)) {
        return;
    }
    ovs_be16 *l4_csum = l4_checksum(packet, op->ports.nw_proto);
    ovs_be16 *ports = (ovs_be16 *) (packet->head + packet->l4_ofs);
    ovs_be16 old[2] = { get_unaligned_be16(&ports[0]),
                        get_unaligned_be16(&ports[1]) };
    ovs_be16 new[2] = {
        (old[0] & ~op->ports.src_mask) | (op->ports.src & op->ports.src_mask),
        (old[1] & ~op->ports.dst_mask) | (op->ports.dst & op->ports.dst_mask)
    };

    for (int i = 0; i < 2; i++) {
        if (l4_csum && old[i] != new[i]) {
            update_l4_checksum16(l4_csum, op->ports.nw_proto == IPPROTO_UDP,
                                 old[i], new[i]);
        }
        put_unaligned_be16(&ports[i], new[i]);
    }
}

/* --- Programs ------------------------------------------------------------ */

static void
rewrite(struct vhost_packet *packet, const struct program_op *op)
{
    switch (op->type) {
    case OP_PUSH_VLAN:
        push_vlan(packet, op->vlan.tpid, op->vlan.tci);
        break;

    case OP_POP_VLAN:
        pop_vlan(packet);
        break;

    case OP_SET_ETH:
        set_eth(packet, op);
        break;

    case OP_SET_IPV4:
        set_ipv4(packet, op);
        break;

    case OP_SET_IPV6:
        set_ipv6(packet, op);
        break;

    case OP_SET_PORTS:
        set_ports(packet, op);
        break;

    case OP_SET_TUNNEL:
        packet->user = CONST_CAST(struct tunnel_request *, op->tunnel);
        break;

    case OP_OUTPUT:
    case OP_FILTERED:
    case OP_CT:
    case OP_CT_CLEAR:
    case OP_RECIRC:
    case OP_SPOOFED:
    case OP_METER:
    case OP_DROP:
    case OP_HASH:
    case OP_LB_OUTPUT:
    case OP_SAMPLE:
    default:
        OVS_NOT_REACHED();
    }
}

static void
output(struct port *in, odp_port_t number, struct vhost_packet packets[],
       unsigned int n, struct dp_thread *thread)
{
    struct port *out = datapath_port(in->dp, number);

    if (OVS_LIKELY(out && out->class)) {
        transmit_add(out, packets, n, thread);
        return;
    }
    for (unsigned int i = 0; i < n; i++) {
        port_drop_packet(in, DROP_NO_PORT, &packets[i], thread);
    }
}

/* Returns true if 'packet', from 'in', may leave by 'out' as it is: 'out' has no
 * receive filter, and if it is an uplink, knows the source. */
static bool
may_leave(const struct port *in, const struct port *out,
          const struct vhost_packet *packet)
{
    const struct eth_header *eth = (const struct eth_header *) packet->head;
    const struct vlan_eth_header *vlan
        = (const struct vlan_eth_header *) packet->head;
    bool wait = false;

    if (ovsrcu_get(struct rx_filter *, &out->rx_filter)) {
        return false;
    }
    if (ovsrcu_get(struct uplink *, &out->uplink)) {
        uint16_t vid = packet->head_len >= VLAN_ETH_HEADER_LEN
                       && eth_type_vlan(eth->eth_type)
                       ? vlan_tci_to_vid(vlan->veth_tci) : 0;
        struct uplink_address *address
            = uplink_use_now(out, eth->eth_src, vid, in, &wait);

        if (address) {
            uplink_address_unuse(address);
        }
    }
    return !wait;
}

/* Sends 'packet' to the member of a bond that its hash chooses.  Unlike those of
 * an output, the addresses that it needs are not known when a program is made,
 * so the generic path takes over if they matter. */
static void
lb_output(const struct program *program, const struct program_op *op,
          struct port *in, struct vhost_packet *packet,
          const struct dp_packet *stand_in, struct dp_thread *thread)
{
    struct bond_bucket *bucket = bond_map_select(in->dp, op->bond.id,
                                                 packet->hash);
    if (!bucket) {
        port_drop_packet(in, DROP_NO_PORT, packet, thread);
        return;
    }

    const struct port *out = datapath_port(in->dp, bucket->member);
    if (!out || may_leave(in, out, packet)) {
        bond_bucket_count(bucket, packet->len);
        output(in, bucket->member, packet, 1, thread);
    } else {
        /* Which selects, and counts, again. */
        put_aside_for(in, packet, stand_in, program, op->bond.attr_ofs,
                      NLA_ALIGN(NLA_HDRLEN + sizeof op->bond.id), thread);
    }
}

/* Has the generic path do with a copy of 'packet' what 'op' samples it for, if
 * it is its turn. */
static void
sample(const struct program *program, const struct program_op *op,
       struct port *in, struct vhost_packet *packet,
       const struct dp_packet *stand_in, struct dp_thread *thread)
{
    if (random_uint32() < op->sample.probability) {
        put_aside_for(in, packet, stand_in, program, op->sample.ofs,
                      op->sample.len, thread);
    }
}

static void
count_filtered(const struct program_op *op, struct port *in,
               struct vhost_packet *packet, struct dp_thread *thread)
{
    if (op->alone) {
        port_drop_packet(in, DROP_RX_FILTER, packet, thread);
    } else {
        port_drop(in, DROP_FLOOD_FILTER, 1, thread);
    }
}

void
program_count_drops(const struct program *program, const struct program_op *op,
                    size_t n)
{
    const struct nlattr *a = program_op_attr(program, op);
    struct dp_packet_batch batch = { .count = n };

    /* It doesn't look at them. */
    odp_execute_actions(NULL, &batch, false, a, NLA_ALIGN(a->nla_len), NULL);
}

/* Drops the 'n' 'packets', as 'op' of 'program' says. */
static void
drop(const struct program *program, const struct program_op *op,
     struct port *in, struct vhost_packet packets[], unsigned int n,
     struct dp_thread *thread)
{
    program_count_drops(program, op, n);
    for (unsigned int i = 0; i < n; i++) {
        port_drop_packet(in, DROP_ACTION, &packets[i], thread);
    }
}

void
program_run_op(const struct program *program, const struct program_op *op,
               struct port *in, struct vhost_packet *packet,
               const struct dp_packet *stand_in, struct dp_thread *thread)
{
    if (op->type == OP_OUTPUT) {
        output(in, op->port, packet, 1, thread);
    } else if (op->type == OP_LB_OUTPUT) {
        lb_output(program, op, in, packet, stand_in, thread);
    } else if (op->type == OP_SAMPLE) {
        sample(program, op, in, packet, stand_in, thread);
    } else if (op->type == OP_FILTERED) {
        count_filtered(op, in, packet, thread);
    } else if (op->type == OP_SPOOFED) {
        port_drop_packet(in, DROP_SPOOFED, packet, thread);
    } else {
        rewrite(packet, op);
    }
}

/* Runs 'program' on one packet. */
static void
run(const struct program *program, struct port *in,
    struct vhost_packet *packet, struct dp_thread *thread)
{
    bool waiting = false;

    if (!program->n_ops) {
        port_drop_packet(in, DROP_ACTION, packet, thread);
        return;
    }
    for (unsigned int i = 0; i < program->n_ops; i++) {
        const struct program_op *op = &program->ops[i];

        if (op->type == OP_OUTPUT) {
            output(in, op->port, packet, 1, thread);
            waiting = true;
        } else if (op->type == OP_LB_OUTPUT) {
            lb_output(program, op, in, packet, NULL, thread);
            waiting = true;
        } else if (op->type == OP_SAMPLE) {
            sample(program, op, in, packet, NULL, thread);
        } else if (op->type == OP_HASH) {
            /* For those that look up again, in tracked.c. */
        } else if (op->type == OP_FILTERED) {
            count_filtered(op, in, packet, thread);
        } else if (op->type == OP_SPOOFED) {
            port_drop_packet(in, DROP_SPOOFED, packet, thread);
        } else if (op->type == OP_METER) {
            if (!meter_admit(in->dp->meters, op->meter_id, packet->len,
                             thread->now)) {
                port_drop_packet(in, DROP_METER, packet, thread);
                return;
            }
        } else {
            if (waiting) {
                packet = make_writable(packet, thread);
                waiting = false;
            }
            rewrite(packet, op);
        }
    }
}

void
program_run(const struct program *program, struct port *in,
            struct vhost_packet packets[], unsigned int n,
            struct dp_thread *thread)
{
    const struct program_op *op = program->ops;

    if (OVS_LIKELY(program->n_ops == 1 && op->type == OP_OUTPUT)) {
        output(in, op->port, packets, n, thread);
        return;
    } else if (program->n_ops && op->type == OP_DROP) {
        drop(program, op, in, packets, n, thread);
        return;
    }
    for (unsigned int i = 0; i < n; i++) {
        run(program, in, &packets[i], thread);
    }
}
