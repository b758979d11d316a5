/* Offloads: what a sender leaves for somebody else to do.
 *
 * A packet from a guest or from the kernel may come with its checksum not
 * computed, or as one large packet to be cut into many (GSO).  The request
 * travels beside the packet, in vhost_packet.vnet, and is passed on to a
 * receiver that can take it as it is.  A request is the sender's word only:
 * offload_check() believes the type of segmentation and its size, and derives
 * everything else from the packet's headers.  offload_finish() does for
 * receivers that can't what the request asks for.
 *
 * VIRTIO_NET_HDR_GSO_UDP (UFO, fragments of one datagram) is never offered to
 * a sender and so refused: Linux has not made such packets since 4.14.
 *
 * Checksums: virtio 1.2 sections 5.1.6.2 and 5.1.6.4. */
#include <config.h>
#include "datapath/private.h"

#include <netinet/in.h>
#include <string.h>

#include "crc32c.h"
#include "csum.h"
#include "packets.h"
#include "unaligned.h"
#include "util.h"

/* TCP flags that only some segments of a GSO packet have. */
#define TCP_FLAGS_LAST (TCP_FIN | TCP_PSH)
#define TCP_FLAGS_FIRST TCP_CWR

static size_t
csum_offset(uint8_t nw_proto)
{
    return nw_proto == IPPROTO_TCP ? 16 : nw_proto == IPPROTO_UDP ? 6
           : nw_proto == IPPROTO_SCTP ? 8 : 0;
}

/* Checks a segmentation request and fills in 'hdr_len'. */
static bool
check_gso(struct vhost_packet *packet, const struct flow_key *key)
{
    uint8_t type = packet->vnet.gso_type & ~VIRTIO_NET_HDR_GSO_ECN;
    bool ipv6 = key->dl_type == htons(ETH_TYPE_IPV6);
    size_t l4 = packet->l4_ofs;
    size_t l4_len;

    if (packet->l4_ofs == UINT16_MAX || key->nw_frag) {
        return false;
    }
    if (type == VIRTIO_NET_HDR_GSO_TCPV4 || type == VIRTIO_NET_HDR_GSO_TCPV6) {
        if (key->nw_proto != IPPROTO_TCP
            || ipv6 != (type == VIRTIO_NET_HDR_GSO_TCPV6)
            || !vhost_packet_pull(packet, l4 + TCP_HEADER_LEN)) {
            return false;
        }
        l4_len = (packet->head[l4 + 12] >> 4) * 4;
    } else if (type == VIRTIO_NET_HDR_GSO_UDP_L4) {
        if (key->nw_proto != IPPROTO_UDP) {
            return false;
        }
        l4_len = UDP_HEADER_LEN;
    } else {
        return false;
    }
    packet->vnet.hdr_len = l4 + l4_len;
    return packet->vnet.gso_size && vhost_packet_pull(packet, l4 + l4_len)
           && packet->vnet.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM
           && packet->vnet.csum_start == l4;
}

bool
offload_check(struct vhost_packet *packet, const struct flow_key *key)
{
    struct virtio_net_hdr *vnet = &packet->vnet;

    /* A packet whose checksum the kernel has verified needs nothing. */
    vnet->flags &= VIRTIO_NET_HDR_F_NEEDS_CSUM | VIRTIO_NET_HDR_F_DATA_VALID;
    if (vnet->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) {
        size_t field = vnet->csum_start + vnet->csum_offset;

        /* The transport header's, or one further in: a guest may encapsulate
         * by itself and ask for the inner packet's checksum. */
        if (vnet->csum_start < ETH_HEADER_LEN || field + 2 > packet->len
            || (vnet->csum_start == packet->l4_ofs
                && vnet->csum_offset != csum_offset(key->nw_proto))) {
            return false;
        }
    }
    if (vnet->gso_type != VIRTIO_NET_HDR_GSO_NONE) {
        return check_gso(packet, key);
    }
    vnet->gso_size = 0;
    vnet->hdr_len = 0;
    return true;
}

void
offload_shift(struct vhost_packet *packet, int delta)
{
    if (packet->vnet.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) {
        packet->vnet.csum_start += delta;
        if (packet->vnet.gso_type != VIRTIO_NET_HDR_GSO_NONE) {
            packet->vnet.hdr_len += delta;
        }
    }
}

/* --- Checksums ------------------------------------------------------------ */

/* libopenvswitch's csum_continue(), eight times as fast: it adds up words of
 * four bytes, which a compiler makes vectors of. */
uint32_t
offload_sum(uint32_t partial, const void *data, size_t n)
{
    const uint8_t *p = data;
    uint64_t sum = partial;

    for (; n >= 4; n -= 4, p += 4) {
        uint32_t word;

        memcpy(&word, p, sizeof word);
        sum += word;
    }
    sum = (sum & UINT32_MAX) + (sum >> 32);
    sum = (sum & UINT16_MAX) + (sum >> 16 & UINT16_MAX) + (sum >> 32);
    return csum_continue(sum, p, n);
}

/* Sum, not folded, of the pseudo-header of the IP packet in 'frame', whose
 * transport header and payload, of protocol 'nw_proto', are 'l4_len' bytes. */
static uint32_t
pseudo_header(const uint8_t *frame, size_t l3_ofs, uint8_t nw_proto,
              size_t l4_len)
{
    const uint8_t *nh = frame + l3_ofs;
    uint32_t sum = nh[0] >> 4 == 4
                   ? csum_continue(0, nh + 12, 8)
                   : csum_continue(0, nh + 8, 32);

    sum = csum_add16(sum, htons(nw_proto));
    return csum_add32(sum, htonl(l4_len));
}

/* The transport protocol of a packet whose checksum field is 'offset' bytes
 * into its transport header. */
static uint8_t
csum_proto(uint16_t offset)
{
    return offset == 16 ? IPPROTO_TCP : offset == 6 ? IPPROTO_UDP
           : IPPROTO_SCTP;
}

void
offload_fix_pseudo_header(struct vhost_packet *packet)
{
    const struct virtio_net_hdr *vnet = &packet->vnet;
    size_t field = vnet->csum_start + vnet->csum_offset;

    if (!(vnet->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM)
        || vnet->csum_start != packet->l4_ofs
        || vnet->csum_offset == csum_offset(IPPROTO_SCTP)
        || !vhost_packet_pull(packet, field + 2)) {
        return;
    }

    const uint8_t *nh = packet->head + packet->l3_ofs;
    size_t l4_ofs_in_ip = packet->l4_ofs - packet->l3_ofs;
    size_t ip_len = nh[0] >> 4 == 4 ? (nh[2] << 8 | nh[3])
                    : 40 + (nh[4] << 8 | nh[5]);
    uint32_t sum = pseudo_header(packet->head, packet->l3_ofs,
                                 csum_proto(vnet->csum_offset),
                                 ip_len - l4_ofs_in_ip);
    put_unaligned_be16((ovs_be16 *) (packet->head + field),
                       ~csum_finish(sum));
}

/* Where the transport header of 'packet', which nobody has parsed yet, begins;
 * 0 if it isn't a whole IP packet of a protocol with a checksum, '*proto'. */
static size_t
find_transport(const struct vhost_packet *packet, size_t *l3,
               uint8_t *proto)
{
    const uint8_t *frame = packet->head;
    size_t ofs = 2 * ETH_ADDR_LEN;
    uint16_t type;

    while (eth_type_vlan(htons(type = frame[ofs] << 8 | frame[ofs + 1]))) {
        ofs += VLAN_HEADER_LEN;
        if (ofs + 2 + IPV6_HEADER_LEN > packet->head_len) {
            return 0;
        }
    }
    *l3 = ofs + 2;

    const uint8_t *nh = frame + *l3;
    size_t l4, ip_len;
    if (type == ETH_TYPE_IP && *l3 + IP_HEADER_LEN <= packet->head_len
        && !((nh[6] & 0x3f) | nh[7])) {
        l4 = *l3 + (nh[0] & 15) * 4;
        ip_len = nh[2] << 8 | nh[3];
        *proto = nh[9];
    } else if (type == ETH_TYPE_IPV6
               && *l3 + IPV6_HEADER_LEN <= packet->head_len) {
        l4 = *l3 + IPV6_HEADER_LEN;
        ip_len = IPV6_HEADER_LEN + (nh[4] << 8 | nh[5]);
        *proto = nh[6];
    } else {
        return 0;
    }
    return csum_offset(*proto) && *l3 + ip_len == packet->len
           && l4 + csum_offset(*proto) + 2 <= packet->head_len ? l4 : 0;
}

void
offload_recognize(struct vhost_packet *packet)
{
    uint8_t proto;
    size_t l3;
    size_t l4 = find_transport(packet, &l3, &proto);

    if (!l4 || proto == IPPROTO_SCTP) {
        return;
    }
    size_t field = csum_offset(proto);
    ovs_be16 sum = ~csum_finish(pseudo_header(packet->head, l3, proto,
                                              packet->len - l4));
    if (get_unaligned_be16((ovs_be16 *) (packet->head + l4 + field)) == sum) {
        packet->vnet.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
        packet->vnet.csum_start = l4;
        packet->vnet.csum_offset = field;
    }
}

void
offload_finish_csum(uint8_t *frame, size_t len,
                    const struct virtio_net_hdr *vnet)
{
    size_t start = vnet->csum_start;
    size_t field = start + vnet->csum_offset;

    if (vnet->csum_offset == csum_offset(IPPROTO_SCTP)) {
        put_16aligned_be32((ovs_16aligned_be32 *) (frame + field), 0);
        put_16aligned_be32((ovs_16aligned_be32 *) (frame + field),
                           crc32c(frame + start, len - start));
        return;
    }
    /* The field holds the pseudo-header's sum already. */
    ovs_be16 sum = csum_finish(offload_sum(0, frame + start, len - start));
    if (!sum && vnet->csum_offset == csum_offset(IPPROTO_UDP)) {
        sum = htons(0xffff);
    }
    put_unaligned_be16((ovs_be16 *) (frame + field), sum);
}

/* --- Segmentation ----------------------------------------------------------*/

/* A frame whose checksum has been computed: a copy, with room in front. */
struct linear {
    struct vhost_packet packet;
    uint8_t headroom[VHOST_HEADROOM];
    uint8_t frame[VHOST_MAX_FRAME];
};

static void
put_be16(uint8_t *p, uint16_t x)
{
    p[0] = x >> 8;
    p[1] = x;
}

/* Sets the lengths and the IPv4 checksum and identification of segment number
 * 'i', whose IP packet is 'ip_len' bytes. */
static void
fix_ip_header(uint8_t *nh, unsigned int i, size_t ip_len)
{
    if (nh[0] >> 4 == 4) {
        struct ip_header *ip = (struct ip_header *) nh;

        put_be16(nh + 2, ip_len);
        put_be16(nh + 4, (nh[4] << 8 | nh[5]) + i);
        ip->ip_csum = 0;
        ip->ip_csum = csum(ip, IP_IHL(ip->ip_ihl_ver) * 4);
    } else {
        put_be16(nh + 4, ip_len - IPV6_HEADER_LEN);
    }
}

/* Sets sequence number and flags of TCP segment number 'i', which begins
 * 'done' bytes into the payload. */
static void
fix_tcp_header(uint8_t *th, uint32_t seq, size_t done, uint8_t flags,
               bool first, bool last)
{
    put_unaligned_be32((ovs_be32 *) (th + 4), htonl(seq + done));
    th[13] = flags & ~((first ? 0 : TCP_FLAGS_FIRST)
                       | (last ? 0 : TCP_FLAGS_LAST));
}

/* Makes 'piece' the one number 'i' of 'whole', with the 'n' bytes of payload that
 * begin 'done' bytes into it.  'frame' has room for it and begins with the
 * headers of 'whole'. */
static void
make_piece(struct vhost_packet *piece, const struct vhost_packet *whole,
           uint8_t *frame, unsigned int i, size_t done, size_t n)
{
    const struct virtio_net_hdr *vnet = &whole->vnet;
    size_t hdr_len = vnet->hdr_len, l3 = whole->l3_ofs, l4 = whole->l4_ofs;
    size_t len = hdr_len + n;

    vhost_packet_copy(whole, hdr_len + done, frame + hdr_len, n);
    fix_ip_header(frame + l3, i, len - l3);
    if (vnet->csum_offset == csum_offset(IPPROTO_TCP)) {
        uint32_t seq = ntohl(get_unaligned_be32((ovs_be32 *) (frame + l4
                                                              + 4)));
        fix_tcp_header(frame + l4, seq, done, frame[l4 + 13], !done,
                       len + done == whole->len);
    } else {
        put_be16(frame + l4 + 4, len - l4);
    }

    uint32_t sum = pseudo_header(frame, l3, csum_proto(vnet->csum_offset),
                                 len - l4);
    put_unaligned_be16((ovs_be16 *) (frame + l4 + vnet->csum_offset),
                       ~csum_finish(sum));

    memcpy(piece, whole, offsetof(struct vhost_packet, headroom));
    piece->head = frame;
    piece->head_len = piece->len = len;
    piece->n_segs = 0;
}

/* Cuts 'whole' into pieces of 'size' bytes of payload and emits each: with its
 * checksum computed, or, if 'keep_request', as a segmentation request like the
 * original.  All of them stay until the last one has been emitted. */
static void
segment(const struct vhost_packet *whole, size_t size, bool keep_request,
        void (*emit)(struct vhost_packet *, void *aux), void *aux)
{
    const struct virtio_net_hdr *vnet = &whole->vnet;
    size_t payload = whole->len - vnet->hdr_len;
    size_t n = payload ? DIV_ROUND_UP(payload, size) : 1;
    size_t space = ROUND_UP(VHOST_HEADROOM + vnet->hdr_len + size, 64);
    struct vhost_packet *pieces = xmalloc_cacheline(n * (sizeof *pieces
                                                         + space));
    uint8_t *frames = (uint8_t *) &pieces[n];
    uint8_t *headers = xmalloc(vnet->hdr_len);

    vhost_packet_copy(whole, 0, headers, vnet->hdr_len);
    for (size_t i = 0; i < n; i++) {
        struct vhost_packet *piece = &pieces[i];
        uint8_t *frame = frames + i * space + VHOST_HEADROOM;
        size_t done = i * size;

        memcpy(frame, headers, vnet->hdr_len);
        make_piece(piece, whole, frame, i * (size / vnet->gso_size), done,
                   MIN(size, payload - done));
        if (!keep_request) {
            offload_finish_csum(frame, piece->len, vnet);
            memset(&piece->vnet, 0, sizeof piece->vnet);
        } else if (payload - done <= vnet->gso_size) {
            piece->vnet.gso_type = VIRTIO_NET_HDR_GSO_NONE;
        }
        emit(piece, aux);
    }
    free(headers);
    free_cacheline(pieces);
}

void
offload_finish(const struct vhost_packet *packet,
               void (*emit)(struct vhost_packet *, void *aux), void *aux)
{
    if (packet->vnet.gso_type != VIRTIO_NET_HDR_GSO_NONE) {
        segment(packet, packet->vnet.gso_size, false, emit, aux);
        return;
    }

    struct linear *linear = xmalloc(sizeof *linear);

    vhost_packet_copy(packet, 0, linear->frame, packet->len);
    offload_finish_csum(linear->frame, packet->len, &packet->vnet);
    memcpy(&linear->packet, packet, offsetof(struct vhost_packet, headroom));
    memset(&linear->packet.vnet, 0, sizeof linear->packet.vnet);
    linear->packet.head = linear->frame;
    linear->packet.head_len = packet->len;
    linear->packet.n_segs = 0;
    emit(&linear->packet, aux);
    free(linear);
}

void
offload_split(const struct vhost_packet *packet, size_t max,
              void (*emit)(struct vhost_packet *, void *aux), void *aux)
{
    size_t gso_size = packet->vnet.gso_size;
    size_t room = max - packet->vnet.hdr_len;

    segment(packet, room / gso_size * gso_size, true, emit, aux);
}

/* --- Merging ---------------------------------------------------------------*/

/* Length of the headers of 'packet', if it is a UDP packet that may be merged
 * with others, else 0. */
static size_t
merge_header_len(const struct vhost_packet *packet)
{
    const struct tunnel_request *tunnel = packet->user;
    size_t l3 = packet->l3_ofs, l4 = packet->l4_ofs;
    size_t len = l4 + UDP_HEADER_LEN;

    if (!tunnel || !tunnel->checked || packet->vnet.flags || l4 == UINT16_MAX
        || packet->head_len < len || len > VHOST_HEAD_MAX) {
        return 0;
    }

    const uint8_t *nh = packet->head + l3, *uh = packet->head + l4;
    bool udp = nh[0] >> 4 == 4
               ? l4 - l3 == IP_HEADER_LEN && nh[9] == IPPROTO_UDP
               : l4 - l3 == IPV6_HEADER_LEN && nh[6] == IPPROTO_UDP;
    return udp && l4 + (uh[4] << 8 | uh[5]) == packet->len ? len : 0;
}

/* Returns true if the headers of 'a' and 'b', of 'len' bytes, differ in
 * nothing but what differs from segment to segment. */
static bool
merge_headers_equal(const struct vhost_packet *a, const struct vhost_packet *b,
                    size_t len)
{
    const uint8_t *nh = a->head + a->l3_ofs, *nh2 = b->head + a->l3_ofs;
    size_t l4 = a->l4_ofs;

    return merge_header_len(b) == len && b->l3_ofs == a->l3_ofs
           && !memcmp(a->head, b->head, a->l3_ofs)
           && !memcmp(a->head + l4, b->head + l4, 4)      /* Ports. */
           && (nh[0] >> 4 == 4
               ? (!memcmp(nh, nh2, 2) && !memcmp(nh + 6, nh2 + 6, 4)
                  && !memcmp(nh + 12, nh2 + 12, 8))
               : (!memcmp(nh, nh2, 4) && !memcmp(nh + 6, nh2 + 6, 34)));
}

/* Appends the payload of 'packet', behind headers of 'header_len' bytes, to
 * 'merged'. */
static void
merge_payload(struct packet_clone *merged, const struct vhost_packet *packet,
              size_t header_len)
{
    struct vhost_packet *out = &merged->packet;

    if (packet->head_len > header_len) {
        merged->segs[out->n_segs++] = (struct vhost_seg) {
            packet->head + header_len, packet->head_len - header_len
        };
    }
    for (unsigned int i = 0; i < packet->n_segs; i++) {
        merged->segs[out->n_segs++] = packet->segs[i];
    }
    out->len += packet->len - header_len;
}

unsigned int
offload_merge(struct vhost_packet *const packets[], unsigned int n,
              struct packet_clone *merged)
{
    const struct vhost_packet *first = packets[0];
    struct vhost_packet *out = &merged->packet;
    size_t header_len = merge_header_len(first);
    unsigned int i;

    if (!header_len || n < 2
        || !merge_headers_equal(first, packets[1], header_len)
        || packets[1]->len > first->len) {
        return 1;
    }
    memcpy(out, first, offsetof(struct vhost_packet, headroom));
    out->head = out->buf;
    memcpy(out->head, first->head, header_len);
    out->head_len = out->len = header_len;
    out->segs = merged->segs;
    out->n_segs = 0;
    for (i = 0; i < n; i++) {
        const struct vhost_packet *packet = packets[i];

        /* All of one size, but for the last. */
        if (i && (!merge_headers_equal(first, packet, header_len)
                  || packets[i - 1]->len != first->len
                  || packet->len > first->len
                  || out->len + packet->len - out->l3_ofs > UINT16_MAX
                  || out->n_segs + 1 + packet->n_segs > VHOST_MAX_SEGS)) {
            break;
        }
        merge_payload(merged, packet, header_len);
    }

    size_t l4_len = out->len - out->l4_ofs;
    fix_ip_header(out->head + out->l3_ofs, 0, out->len - out->l3_ofs);
    put_be16(out->head + out->l4_ofs + 4, l4_len);
    out->vnet = (struct virtio_net_hdr) {
        .flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
        .gso_type = VIRTIO_NET_HDR_GSO_UDP_L4,
        .gso_size = first->len - header_len,
        .hdr_len = header_len,
        .csum_start = out->l4_ofs,
        .csum_offset = csum_offset(IPPROTO_UDP),
    };
    offload_fix_pseudo_header(out);
    return i;
}
