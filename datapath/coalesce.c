/* Putting the segments of a TCP stream together again: see coalesce.h.
 *
 * What a peer's TCP sent in one piece, its tunnel cut into segments, and the
 * kernel hands over several of them at once.  Segments that continue each
 * other and differ in nothing else become one packet again, with a request to
 * cut it as it was: one run through the flow tables and one packet for the
 * guest in place of forty.  Each segment's checksum is verified first, since
 * the new packet has none that would tell.
 *
 * A packet may also come with its checksum not computed at all.  The kernel
 * leaves that to the hardware it sends by; between network namespaces there is
 * none, and a socket doesn't tell.  But such a packet shows it: its checksum
 * field has the sum of the pseudo-header.  (A packet that is complete and has
 * that value by chance has the same value when it is completed again.)
 * Likewise for a segmentation request, whose size nobody tells: then segments
 * are short enough for any tunnel. */
#include <config.h>
#include "datapath/coalesce.h"

#include <netinet/in.h>
#include <string.h>

#include "csum.h"
#include "datapath/private.h"
#include "dp-packet.h"
#include "flow.h"
#include "packets.h"
#include "unaligned.h"
#include "util.h"

/* Payload of segments of a packet that doesn't say how to cut it; one whose
 * network packet is no longer than the second needs no cutting. */
#define DEFAULT_MSS 1200
#define LONGEST_UNCUT 1500

/* TCP flags that may differ between segments to be put together. */
#define TCP_FLAGS_LAST (TCP_PSH | TCP_FIN)

static uint16_t
get_be16(const uint8_t *p)
{
    return p[0] << 8 | p[1];
}

static void
put_be16(uint8_t *p, uint16_t x)
{
    p[0] = x >> 8;
    p[1] = x;
}

static uint32_t
tcp_seq(const uint8_t *th)
{
    return ntohl(get_unaligned_be32((const ovs_be32 *) (th + 4)));
}

/* Sum, not folded, of the pseudo-header of the transport packet of 'l4_len'
 * bytes whose network header is 'nh'. */
static uint32_t
pseudo_header_sum(const uint8_t *nh, uint8_t proto, size_t l4_len)
{
    uint32_t sum = nh[0] >> 4 == 4 ? csum_continue(0, nh + 12, 8)
                                   : csum_continue(0, nh + 8, 32);

    return csum_add32(csum_add16(sum, htons(proto)), htonl(l4_len));
}

/* Length of the network packet whose header is 'nh'. */
static size_t
network_len(const uint8_t *nh)
{
    return nh[0] >> 4 == 4 ? get_be16(nh + 2)
                           : IPV6_HEADER_LEN + get_be16(nh + 4);
}

static uint16_t
tcp_gso_type(const uint8_t *nh)
{
    return nh[0] >> 4 == 4 ? VIRTIO_NET_HDR_GSO_TCPV4
                           : VIRTIO_NET_HDR_GSO_TCPV6;
}

/* Returns true if 'packet', of the TCP, has a complete header and payload. */
static bool
has_tcp_payload(const struct dp_packet *packet)
{
    const uint8_t *th = dp_packet_l4(packet);
    size_t len = dp_packet_l4_size(packet);

    return len >= TCP_HEADER_LEN && th[12] >> 4 >= TCP_HEADER_LEN / 4
           && (th[12] >> 4) * 4u < len;
}

/* --- One packet ------------------------------------------------------------ */

/* If the checksum of 'packet', a TCP or UDP packet of 'flow', is yet to be
 * computed, notes that, and that it may have to be cut. */
static void
note_unfinished(struct dp_packet *packet, const struct flow *flow)
{
    const uint8_t *nh = dp_packet_l3(packet), *th = dp_packet_l4(packet);
    size_t csum_ofs = flow->nw_proto == IPPROTO_TCP ? 16 : 6;
    size_t l4_len = dp_packet_l4_size(packet);

    if (l4_len < csum_ofs + 2 || dp_packet_l2_pad_size(packet)) {
        return;
    }

    uint16_t field = get_be16(th + csum_ofs);
    uint32_t sum = pseudo_header_sum(nh, flow->nw_proto, l4_len);

    if (field && field == UINT16_MAX - ntohs(csum_finish(sum))) {
        bool cut = flow->nw_proto == IPPROTO_TCP && has_tcp_payload(packet)
                   && network_len(nh) > LONGEST_UNCUT;

        generic_request_offload(packet, csum_ofs,
                                cut ? tcp_gso_type(nh) : 0,
                                cut ? DEFAULT_MSS : 0);
    }
}

static bool
has_valid_checksum(const struct dp_packet *packet)
{
    const uint8_t *nh = dp_packet_l3(packet);
    size_t l4_len = dp_packet_l4_size(packet);

    return !csum_finish(offload_sum(
        pseudo_header_sum(nh, IPPROTO_TCP, l4_len),
        dp_packet_l4(packet), l4_len));
}

/* Returns true if more segments may be added to 'packet', of 'flow'. */
static bool
may_grow(const struct dp_packet *packet, const struct flow *flow)
{
    const uint8_t *nh = dp_packet_l3(packet), *th = dp_packet_l4(packet);
    size_t l3_header = th - nh;

    return (nh[0] >> 4 == 4 ? l3_header == IP_HEADER_LEN
                            : l3_header == IPV6_HEADER_LEN)
           && !dp_packet_l2_pad_size(packet) && has_tcp_payload(packet)
           && ntohs(flow->tcp_flags) == TCP_ACK;
}

/* --- Segments -------------------------------------------------------------- */

/* Returns true if the headers of the segment at 'data' are those of 'packet'
 * but for what differs from segment to segment. */
static bool
same_headers(const struct dp_packet *packet, const uint8_t *data)
{
    const uint8_t *base = dp_packet_data(packet);
    size_t l3 = packet->l3_ofs, l4 = packet->l4_ofs;
    const uint8_t *nh = base + l3, *nh2 = data + l3;
    const uint8_t *th = base + l4, *th2 = data + l4;

    if (memcmp(base, data, l3)) {
        return false;
    }
    if (nh[0] >> 4 == 4
        ? (memcmp(nh, nh2, 2)                 /* Version, length, TOS. */
           || memcmp(nh + 6, nh2 + 6, 4)      /* Fragment, TTL, protocol. */
           || memcmp(nh + 12, nh2 + 12, 8))   /* Addresses. */
        : (memcmp(nh, nh2, 4)                 /* Class, label. */
           || memcmp(nh + 6, nh2 + 6, 34))) { /* From next header on. */
        return false;
    }
    return !memcmp(th, th2, 4)                /* Ports. */
           && !memcmp(th + 8, th2 + 8, 5)     /* Acknowledgement, offset. */
           && !((th[13] ^ th2[13]) & ~TCP_FLAGS_LAST)
           && !memcmp(th + 14, th2 + 14, 2)   /* Window. */
           && !memcmp(th + 18, th2 + 18, (th[12] >> 4) * 4 - 18);
}

static bool
same_tunnel(const struct flow_tnl *a, const struct flow_tnl *b)
{
    return flow_tnl_size(a) == flow_tnl_size(b)
           && !memcmp(a, b, flow_tnl_size(a));
}

/* Adds the segment at 'data' to what is waiting.  Returns false if it isn't
 * what comes next. */
static bool
add_segment(struct coalescer *c, const uint8_t *data, size_t len,
            const struct flow_tnl *key, ovs_be32 packet_type)
{
    struct dp_packet *packet = c->packet;
    size_t l3 = packet->l3_ofs, l4 = packet->l4_ofs;
    size_t payload = len - c->header_len;

    if (len <= c->header_len || payload > c->mss
        || dp_packet_size(packet) + payload > GENERIC_MAX_LEN
        || packet_type != packet->packet_type
        || l3 + network_len(data + l3) != len
        || tcp_seq(data + l4) != c->next_seq
        || !same_headers(packet, data)
        || !same_tunnel(key, &packet->md.tunnel)
        || csum_finish(offload_sum(
               pseudo_header_sum(data + l3, IPPROTO_TCP, len - l4),
               data + l4, len - l4))) {
        return false;
    }
    dp_packet_put(packet, data + c->header_len, payload);
    c->next_seq += payload;
    c->merged = true;

    uint8_t *th = dp_packet_l4(packet);
    th[13] |= data[l4 + 13];
    if (payload < c->mss || th[13] & TCP_FLAGS_LAST) {
        coalesce_flush(c);
    }
    return true;
}

/* Makes one packet of the segments in 'packet'. */
static void
finish_merged(struct coalescer *c)
{
    struct dp_packet *packet = c->packet;
    uint8_t *nh = dp_packet_l3(packet);
    size_t len = dp_packet_size(packet) - packet->l3_ofs;

    if (nh[0] >> 4 == 4) {
        struct ip_header *ip = (struct ip_header *) nh;

        put_be16(nh + 2, len);
        ip->ip_csum = 0;
        ip->ip_csum = csum(ip, IP_HEADER_LEN);
    } else {
        put_be16(nh + 4, len - IPV6_HEADER_LEN);
    }
    generic_request_offload(packet, 16, tcp_gso_type(nh), c->mss);
}

/* --- Entrances ------------------------------------------------------------- */

void
coalesce_flush(struct coalescer *c)
{
    struct dp_packet *packet = c->packet;

    if (packet) {
        if (c->merged) {
            finish_merged(c);
        }
        c->packet = NULL;
        generic_receive(c->port->dp, packet, c->thread);
    }
}

void
coalesce_receive(struct coalescer *c, const uint8_t *data, size_t len,
                 size_t total, const struct flow_tnl *key,
                 ovs_be32 packet_type)
{
    if (c->packet && add_segment(c, data, len, key, packet_type)) {
        return;
    }
    coalesce_flush(c);

    struct dp_packet *packet = generic_packet_new(
        data, len, MIN(total, GENERIC_MAX_LEN), c->port);
    struct flow flow;

    packet->packet_type = packet_type;
    memcpy(&packet->md.tunnel, key, flow_tnl_size(key));
    flow_extract(packet, &flow);
    if ((flow.nw_proto == IPPROTO_TCP || flow.nw_proto == IPPROTO_UDP)
        && is_ip_any(&flow) && !flow.nw_frag && dp_packet_l4(packet)) {
        note_unfinished(packet, &flow);
        if (total > len && flow.nw_proto == IPPROTO_TCP
            && !dp_packet_hwol_tx_l4_checksum(packet)
            && may_grow(packet, &flow) && has_valid_checksum(packet)) {
            const uint8_t *th = dp_packet_l4(packet);

            c->packet = packet;
            c->header_len = packet->l4_ofs + (th[12] >> 4) * 4;
            c->mss = len - c->header_len;
            c->next_seq = tcp_seq(th) + c->mss;
            c->merged = false;
            return;
        }
    }
    generic_receive(c->port->dp, packet, c->thread);
}
