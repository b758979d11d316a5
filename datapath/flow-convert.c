/* Between OVS's struct flow and the compact flow key: see flow-convert.h.
 *
 * Both directions of the question "does the compact key hold all that this
 * mask looks at?" come from one table of fields, so they can't drift apart: a
 * mask is converted by copying each field and clearing it in a copy of the
 * original; what is left then has no place in the compact key.
 *
 * Each upcall converts a flow three times: written so that the compiler makes
 * loads and stores of it. */
#include <config.h>
#include "datapath/flow-convert.h"

#include <string.h>

#include "flow.h"
#include "packets.h"
#include "util.h"

BUILD_ASSERT_DECL(sizeof(struct flow_key) == 64 * FLOW_KEY_BLOCKS);
BUILD_ASSERT_DECL(offsetof(struct flow_key, ipv6_src) == 64);
BUILD_ASSERT_DECL(offsetof(struct flow_key, tun_id) == 128);

/* Copies field 'FIELD' of 'src' to member 'MEMBER' of 'dst', and clears it in
 * 'left' if that is not NULL. */
#define MOVE(MEMBER, FIELD)                                             \
    do {                                                                \
        BUILD_ASSERT(sizeof dst->MEMBER == sizeof src->FIELD);          \
        memcpy(&dst->MEMBER, &src->FIELD, sizeof dst->MEMBER);          \
        if (left) {                                                     \
            memset(&left->FIELD, 0, sizeof left->FIELD);                \
        }                                                               \
    } while (0)

static bool
kind_is_arp(const struct flow *flow)
{
    return flow->dl_type == htons(ETH_TYPE_ARP)
           || flow->dl_type == htons(ETH_TYPE_RARP);
}

/* Copies what 'dst' has a place for out of 'src', which holds values or masks
 * of packets of the kind of 'kind', and clears it in 'left' if not NULL. */
static inline void
move_fields(struct flow_key *dst, const struct flow *src,
            const struct flow *kind, struct flow *left)
{
    memset(dst, 0, sizeof *dst);

    MOVE(in_port, in_port.odp_port);
    MOVE(recirc_id, recirc_id);
    MOVE(dl_dst, dl_dst);
    MOVE(dl_src, dl_src);
    MOVE(dl_type, dl_type);
    MOVE(vlan_tpid, vlans[0].tpid);
    MOVE(vlan_tci, vlans[0].tci);
    MOVE(vlan2_tpid, vlans[1].tpid);
    MOVE(vlan2_tci, vlans[1].tci);
    MOVE(nw_src, nw_src);
    MOVE(nw_dst, nw_dst);
    MOVE(nw_proto, nw_proto);
    MOVE(nw_tos, nw_tos);
    MOVE(nw_ttl, nw_ttl);
    MOVE(nw_frag, nw_frag);
    MOVE(tp_src, tp_src);
    MOVE(tp_dst, tp_dst);
    if (kind->nw_proto == IPPROTO_TCP) {
        MOVE(tcp_flags, tcp_flags);
    }
    MOVE(ct_state, ct_state);
    MOVE(ct_zone, ct_zone);
    MOVE(ct_mark, ct_mark);
    MOVE(dp_hash, dp_hash);

    if (kind_is_arp(kind)) {
        MOVE(arp_sha, arp_sha);
        MOVE(arp_tha, arp_tha);
    } else {
        MOVE(ipv6_src, ipv6_src);
        MOVE(ipv6_dst, ipv6_dst);
    }
    MOVE(ct_label, ct_label);
    MOVE(ipv6_label, ipv6_label);
    MOVE(pkt_mark, pkt_mark);
    MOVE(skb_priority, skb_priority);

    MOVE(tun_id, tunnel.tun_id);
    MOVE(tun_src, tunnel.ip_src);
    MOVE(tun_dst, tunnel.ip_dst);
    MOVE(tun_flags, tunnel.flags);
    MOVE(tun_tos, tunnel.ip_tos);
    MOVE(tun_ttl, tunnel.ip_ttl);
    MOVE(tun_tp_src, tunnel.tp_src);
    MOVE(tun_tp_dst, tunnel.tp_dst);
}

unsigned int
flow_key_from_flow(struct flow_key *key, const struct flow *flow)
{
    move_fields(key, flow, flow, NULL);
    key->packet_ns = ntohl(flow->packet_type) >> 16 != 0;

    unsigned int blocks = 0;
    for (int i = 0; i < FLOW_KEY_WORDS; i++) {
        blocks |= key->words[i] ? 1u << (i / 8) : 0;
    }
    return blocks | FLOW_KEY_L2_L4;
}

bool
flow_key_mask_from_wildcards(struct flow_key *mask, const struct flow *flow,
                             const struct flow_wildcards *wc)
{
    struct flow left = wc->masks;

    /* The name space tells Ethernet from everything else; the rest of a
     * packet type is the dl_type, which must be matched as well. */
    if (left.packet_type) {
        if (left.packet_type != OVS_BE32_MAX || left.dl_type != OVS_BE16_MAX) {
            return false;
        }
        left.packet_type = 0;
    }
    move_fields(mask, &wc->masks, flow, &left);
    mask->packet_ns = wc->masks.packet_type ? UINT8_MAX : 0;

    /* A packet outside a tunnel has no tunnel fields: nothing to tell apart by
     * those that only tunnels of a certain kind have, as long as the mask
     * looks at the tunnel's destination. */
    static const struct flow zeros;
    return !memcmp(&left, &zeros, sizeof left);
}
