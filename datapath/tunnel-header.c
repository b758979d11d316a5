/* Tunnel headers: see tunnel-header.h.
 *
 * All that a header says comes from and goes to struct flow_tnl, so that ports
 * of one kind that differ in key or options can share a socket.  (The
 * functions of libopenvswitch for the netdev type's tunnels take some of it
 * from the port's configuration, and know nothing of VXLAN's group policy.)
 *
 * VXLAN: RFC 7348, draft-ietf-nvo3-vxlan-gpe-01, and
 * draft-smith-vxlan-group-policy-05.  Geneve: RFC 8926.  GRE: RFC 2784 and
 * 2890.  ERSPAN: draft-foschiano-erspan-03; its types II and III are what is
 * called versions 1 and 2 elsewhere.  GTP-U: 3GPP TS 29.281. */
#include <config.h>
#include "datapath/tunnel-header.h"

#include <string.h>

#include "csum.h"
#include "netdev.h"
#include "netdev-vport.h"
#include "odp-netlink.h"
#include "openvswitch/geneve.h"
#include "packets.h"
#include "unaligned.h"
#include "util.h"

bool
tunnel_format_init(struct tunnel_format *format, const struct netdev *netdev)
{
    static const struct {
        const char *type;
        enum tunnel_kind kind;
        bool udp;
    } types[] = {
        { "vxlan", TUNNEL_VXLAN, true },
        { "geneve", TUNNEL_GENEVE, true },
        { "gtpu", TUNNEL_GTPU, true },
        { "gre", TUNNEL_GRE, false },
        { "ip6gre", TUNNEL_GRE, false },
        { "erspan", TUNNEL_ERSPAN, false },
        { "ip6erspan", TUNNEL_ERSPAN, false },
    };
    const struct netdev_tunnel_config *config
        = netdev_get_tunnel_config(netdev);

    for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
        if (!strcmp(netdev_get_type(netdev), types[i].type)) {
            *format = (struct tunnel_format) {
                .kind = types[i].kind,
                .udp = types[i].udp,
                .gpe = config->exts & 1u << OVS_VXLAN_EXT_GPE,
                .gbp = config->exts & 1u << OVS_VXLAN_EXT_GBP,
                .seq = config->set_seq,
            };
            return true;
        }
    }
    return false;
}

static uint32_t
get_be32(const uint8_t *p)
{
    return ntohl(get_unaligned_be32((const ovs_be32 *) p));
}

static void
put_be32(uint8_t *p, uint32_t x)
{
    put_unaligned_be32((ovs_be32 *) p, htonl(x));
}

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

/* The Ethertype of a packet of 'packet_type', ETH_TYPE_TEB for a whole
 * Ethernet frame, 0 if there is none. */
static uint16_t
packet_type_to_ethertype(ovs_be32 packet_type)
{
    return packet_type == htonl(PT_ETH) ? ETH_TYPE_TEB
           : pt_ns(packet_type) == OFPHTN_ETHERTYPE ? pt_ns_type(packet_type)
           : 0;
}

static ovs_be32
packet_type_from_ethertype(uint16_t ethertype)
{
    return ethertype == ETH_TYPE_TEB
           ? htonl(PT_ETH) : PACKET_TYPE_BE(OFPHTN_ETHERTYPE, ethertype);
}

/* --- VXLAN ----------------------------------------------------------------*/

#define VXLAN_LEN 8
#define VXLAN_FLAG_GBP 0x80         /* Of the first byte. */
#define VXLAN_FLAG_VNI 0x08
#define VXLAN_GBP_MASK (0x40 | 0x08) /* Of the second: don't learn; applied. */

static const struct {
    uint8_t protocol;
    uint32_t packet_type;
} gpe_protocols[] = {
    { VXLAN_GPE_NP_IPV4, PT_IPV4 },
    { VXLAN_GPE_NP_IPV6, PT_IPV6 },
    { VXLAN_GPE_NP_ETHERNET, PT_ETH },
    { VXLAN_GPE_NP_NSH, PT_NSH },
};

static size_t
vxlan_write(const struct tunnel_format *format, const struct flow_tnl *key,
            ovs_be32 packet_type, uint8_t *header)
{
    memset(header, 0, VXLAN_LEN);
    header[0] = VXLAN_FLAG_VNI;
    put_be32(header + 4, ntohll(key->tun_id) << 8);
    if (format->gpe) {
        for (size_t i = 0; i < ARRAY_SIZE(gpe_protocols); i++) {
            if (packet_type == htonl(gpe_protocols[i].packet_type)) {
                header[0] |= VXLAN_GPE_FLAGS_P;
                header[3] = gpe_protocols[i].protocol;
                return VXLAN_LEN;
            }
        }
        return 0;
    }
    if (format->gbp && (key->gbp_id || key->gbp_flags)) {
        header[0] |= VXLAN_FLAG_GBP;
        header[1] = key->gbp_flags & VXLAN_GBP_MASK;
        put_be16(header + 2, ntohs(key->gbp_id));
    }
    return packet_type == htonl(PT_ETH) ? VXLAN_LEN : 0;
}

static enum tunnel_parsed
vxlan_parse_gpe(const uint8_t *data, ovs_be32 *packet_type)
{
    if (data[0] & (VXLAN_GPE_FLAGS_VER | VXLAN_GPE_FLAGS_O)) {
        return TUNNEL_BAD;
    }
    for (size_t i = 0; i < ARRAY_SIZE(gpe_protocols); i++) {
        if (data[3] == gpe_protocols[i].protocol) {
            *packet_type = htonl(gpe_protocols[i].packet_type);
            return TUNNEL_OK;
        }
    }
    return TUNNEL_BAD;
}

static enum tunnel_parsed
vxlan_parse(const struct tunnel_format *format, const uint8_t *data,
            size_t len, struct flow_tnl *key, size_t *header_len,
            ovs_be32 *packet_type)
{
    if (len < VXLAN_LEN || !(data[0] & VXLAN_FLAG_VNI)) {
        return TUNNEL_BAD;
    }
    key->tun_id = htonll(get_be32(data + 4) >> 8);
    key->flags |= FLOW_TNL_F_KEY;
    *header_len = VXLAN_LEN;
    *packet_type = htonl(PT_ETH);
    if (format->gpe && data[0] & VXLAN_GPE_FLAGS_P) {
        return vxlan_parse_gpe(data, packet_type);
    }
    if (data[0] & VXLAN_FLAG_GBP) {
        if (!format->gbp) {
            return TUNNEL_BAD;
        }
        key->gbp_flags = data[1] & VXLAN_GBP_MASK;
        key->gbp_id = htons(get_be16(data + 2));
    }
    /* Other flags change what the rest means. */
    return data[0] & ~(VXLAN_FLAG_VNI | VXLAN_FLAG_GBP) ? TUNNEL_BAD
                                                        : TUNNEL_OK;
}

/* --- Geneve ---------------------------------------------------------------*/

#define GENEVE_LEN 8

static size_t
geneve_write(const struct flow_tnl *key, ovs_be32 packet_type,
             uint8_t *header)
{
    struct genevehdr *gnh = (struct genevehdr *) header;
    size_t opts_len = key->flags & FLOW_TNL_F_UDPIF
                      ? key->metadata.present.len : 0;

    if (packet_type != htonl(PT_ETH)) {
        return 0;
    }
    memset(header, 0, GENEVE_LEN);
    memcpy(header + GENEVE_LEN, key->metadata.opts.gnv, opts_len);
    for (size_t ofs = 0; ofs + 4 <= opts_len; ) {
        const struct geneve_opt *opt
            = (const struct geneve_opt *) (header + GENEVE_LEN + ofs);

        gnh->critical |= !!(opt->type & GENEVE_CRIT_OPT_TYPE);
        ofs += sizeof *opt + opt->length * 4;
    }
    gnh->opt_len = opts_len / 4;
    gnh->oam = !!(key->flags & FLOW_TNL_F_OAM);
    put_be16(header + 2, ETH_TYPE_TEB);
    put_be32(header + 4, ntohll(key->tun_id) << 8);
    return GENEVE_LEN + opts_len;
}

static enum tunnel_parsed
geneve_parse(const uint8_t *data, size_t len, struct flow_tnl *key,
             size_t *header_len, ovs_be32 *packet_type)
{
    const struct genevehdr *gnh = (const struct genevehdr *) data;

    if (len < GENEVE_LEN || gnh->ver
        || len < GENEVE_LEN + gnh->opt_len * 4u
        || get_be16(data + 2) != ETH_TYPE_TEB) {
        return TUNNEL_BAD;
    }
    key->tun_id = htonll(get_be32(data + 4) >> 8);
    key->flags |= FLOW_TNL_F_KEY | FLOW_TNL_F_UDPIF
                  | (gnh->oam ? FLOW_TNL_F_OAM : 0);
    key->metadata.present.len = gnh->opt_len * 4;
    memcpy(key->metadata.opts.gnv, data + GENEVE_LEN, gnh->opt_len * 4);
    *header_len = GENEVE_LEN + gnh->opt_len * 4;
    *packet_type = htonl(PT_ETH);
    return TUNNEL_OK;
}

/* --- GTP-U ----------------------------------------------------------------*/

#define GTPU_LEN 8
#define GTPU_OPT_LEN 4
#define GTPU_OPT_FLAGS 0x07         /* Extension, sequence, N-PDU number. */

static size_t
gtpu_write(const struct tunnel_format *format, const struct flow_tnl *key,
           ovs_be32 packet_type, size_t len, uint32_t seq, uint8_t *header)
{
    size_t opt_len = format->seq ? GTPU_OPT_LEN : 0;

    if (packet_type != htonl(PT_IPV4) && packet_type != htonl(PT_IPV6)) {
        return 0;
    }
    header[0] = ((key->gtpu_flags ? key->gtpu_flags : GTPU_FLAGS_DEFAULT)
                 & ~GTPU_OPT_FLAGS) | (format->seq ? GTPU_S_MASK : 0);
    header[1] = key->gtpu_msgtype ? key->gtpu_msgtype : GTPU_MSGTYPE_GPDU;
    put_be16(header + 2, len + opt_len);
    put_be32(header + 4, ntohll(key->tun_id));
    if (opt_len) {
        put_be16(header + GTPU_LEN, seq);
        put_be16(header + GTPU_LEN + 2, 0);
    }
    return GTPU_LEN + opt_len;
}

/* Stores in '*header_len' where the extension headers of the GTP-U packet at
 * 'data' end. */
static bool
gtpu_skip_extensions(const uint8_t *data, size_t len, size_t *header_len)
{
    size_t ofs = GTPU_LEN;

    if (data[0] & GTPU_OPT_FLAGS) {
        ofs += GTPU_OPT_LEN;
        if (ofs > len) {
            return false;
        }
        /* The byte before each says whether there is another. */
        while (data[0] & GTPU_E_MASK && data[ofs - 1]) {
            size_t ext_len = ofs < len ? data[ofs] * 4 : 0;

            if (!ext_len || ofs + ext_len > len) {
                return false;
            }
            ofs += ext_len;
        }
    }
    *header_len = ofs;
    return ofs < len;
}

static enum tunnel_parsed
gtpu_parse(const uint8_t *data, size_t len, struct flow_tnl *key,
           size_t *header_len, ovs_be32 *packet_type)
{
    /* Only what carries packets; the rest is signalling. */
    if (len < GTPU_LEN || data[1] != GTPU_MSGTYPE_GPDU
        || !gtpu_skip_extensions(data, len, header_len)) {
        return TUNNEL_BAD;
    }
    key->gtpu_flags = data[0];
    key->gtpu_msgtype = data[1];
    key->tun_id = htonll(get_be32(data + 4));
    key->flags |= FLOW_TNL_F_KEY;

    uint8_t version = data[*header_len] >> 4;
    *packet_type = htonl(version == 4 ? PT_IPV4 : PT_IPV6);
    return version == 4 || version == 6 ? TUNNEL_OK : TUNNEL_BAD;
}

/* --- GRE and ERSPAN -------------------------------------------------------*/

#define GRE_LEN 4

static bool
is_erspan(uint16_t protocol)
{
    return protocol == ETH_TYPE_ERSPAN1 || protocol == ETH_TYPE_ERSPAN2;
}

static size_t
gre_write(const struct tunnel_format *format, const struct flow_tnl *key,
          ovs_be32 packet_type, uint32_t seq, uint8_t *header)
{
    uint16_t protocol = packet_type_to_ethertype(packet_type);
    uint16_t flags = 0;
    size_t len = GRE_LEN;

    if (key->flags & FLOW_TNL_F_CSUM) {
        flags |= GRE_CSUM;
        put_be32(header + len, 0);
        len += 4;
    }
    if (key->flags & FLOW_TNL_F_KEY) {
        flags |= GRE_KEY;
        put_be32(header + len, ntohll(key->tun_id));
        len += 4;
    }
    if (format->seq) {
        flags |= GRE_SEQ;
        put_be32(header + len, seq);
        len += 4;
    }
    put_be16(header, flags);
    put_be16(header + 2, protocol);
    return protocol ? len : 0;
}

static enum tunnel_parsed
gre_parse(const uint8_t *data, size_t len, struct flow_tnl *key,
          size_t *header_len, ovs_be32 *packet_type)
{
    if (len < GRE_LEN) {
        return TUNNEL_BAD;
    }

    uint16_t flags = get_be16(data), protocol = get_be16(data + 2);
    size_t ofs = GRE_LEN + (flags & GRE_CSUM ? 4 : 0);

    if (is_erspan(protocol) || flags & GRE_VERSION) {
        return TUNNEL_NOT_OURS; /* ERSPAN's, or PPTP's. */
    }
    *header_len = ofs + (flags & GRE_KEY ? 4 : 0) + (flags & GRE_SEQ ? 4 : 0);
    if (flags & ~(GRE_CSUM | GRE_KEY | GRE_SEQ) || *header_len > len
        || (flags & GRE_CSUM && csum(data, len))
        || protocol < ETH_TYPE_MIN) {
        return TUNNEL_BAD;
    }
    key->flags |= flags & GRE_CSUM ? FLOW_TNL_F_CSUM : 0;
    if (flags & GRE_KEY) {
        key->tun_id = htonll(get_be32(data + ofs));
        key->flags |= FLOW_TNL_F_KEY;
    }
    *packet_type = packet_type_from_ethertype(protocol);
    return TUNNEL_OK;
}

/* The GRE header, with a sequence number, the base header, and what follows it
 * in each version. */
#define ERSPAN_LEN (ERSPAN_GREHDR_LEN + 4)
#define ERSPAN1_LEN (ERSPAN_LEN + ERSPAN_V1_MDSIZE)
#define ERSPAN2_LEN (ERSPAN_LEN + ERSPAN_V2_MDSIZE)

static size_t
erspan_write(const struct flow_tnl *key, ovs_be32 packet_type, uint32_t seq,
             uint8_t *header)
{
    struct erspan_base_hdr *base = ERSPAN_HDR(header);
    uint64_t session = ntohll(key->tun_id);

    if (packet_type != htonl(PT_ETH) || session > ERSPAN_SID_MASK) {
        return 0;
    }
    memset(header, 0, ERSPAN2_LEN);
    put_be16(header, GRE_SEQ);
    put_be32(header + 4, seq);
    base->ver = key->erspan_ver;
    set_sid(base, session);
    if (key->erspan_ver == 1) {
        put_be16(header + 2, ETH_TYPE_ERSPAN1);
        put_be32(header + ERSPAN_LEN, key->erspan_idx & ERSPAN_IDX_MASK);
        return ERSPAN1_LEN;
    } else if (key->erspan_ver == 2) {
        struct erspan_md2 *md2 = (struct erspan_md2 *) (header + ERSPAN_LEN);

        put_be16(header + 2, ETH_TYPE_ERSPAN2);
        put_16aligned_be32(&md2->timestamp, get_erspan_ts(ERSPAN_100US));
        md2->dir = key->erspan_dir;
        set_hwid(md2, key->erspan_hwid);
        return ERSPAN2_LEN;
    }
    return 0;
}

static enum tunnel_parsed
erspan_parse(const uint8_t *data, size_t len, struct flow_tnl *key,
             size_t *header_len, ovs_be32 *packet_type)
{
    if (len >= GRE_LEN && !is_erspan(get_be16(data + 2))) {
        return TUNNEL_NOT_OURS;
    }
    if (len < ERSPAN1_LEN || get_be16(data) != GRE_SEQ) {
        return TUNNEL_BAD;      /* Type I, which has no header, too. */
    }

    const struct erspan_base_hdr *base = ERSPAN_HDR(data);

    key->tun_id = htonll(get_sid(base));
    key->flags |= FLOW_TNL_F_KEY;
    key->erspan_ver = base->ver;
    *packet_type = htonl(PT_ETH);
    if (base->ver == 1) {
        key->erspan_idx = get_be32(data + ERSPAN_LEN) & ERSPAN_IDX_MASK;
        *header_len = ERSPAN1_LEN;
        return TUNNEL_OK;
    } else if (base->ver == 2 && len >= ERSPAN2_LEN) {
        const struct erspan_md2 *md2
            = (const struct erspan_md2 *) (data + ERSPAN_LEN);

        key->erspan_dir = md2->dir;
        key->erspan_hwid = get_hwid(md2);
        *header_len = ERSPAN2_LEN + (md2->o ? 8 : 0);
        return *header_len <= len ? TUNNEL_OK : TUNNEL_BAD;
    }
    return TUNNEL_BAD;
}

/* --- All kinds -------------------------------------------------------------*/

size_t
tunnel_header_write(const struct tunnel_format *format,
                    const struct flow_tnl *key, ovs_be32 packet_type,
                    size_t len, uint32_t seq,
                    uint8_t header[TUNNEL_HEADER_MAX])
{
    switch (format->kind) {
    case TUNNEL_VXLAN:
        return vxlan_write(format, key, packet_type, header);
    case TUNNEL_GENEVE:
        return geneve_write(key, packet_type, header);
    case TUNNEL_GTPU:
        return gtpu_write(format, key, packet_type, len, seq, header);
    case TUNNEL_GRE:
        return gre_write(format, key, packet_type, seq, header);
    case TUNNEL_ERSPAN:
        return erspan_write(key, packet_type, seq, header);
    }
    OVS_NOT_REACHED();
}

void
tunnel_header_finish(const struct tunnel_format *format, uint8_t *packet,
                     size_t len)
{
    if (format->kind == TUNNEL_GRE && get_be16(packet) & GRE_CSUM) {
        put_unaligned_be16((ovs_be16 *) (packet + GRE_LEN),
                           csum(packet, len));
    }
}

enum tunnel_parsed
tunnel_header_parse(const struct tunnel_format *format, const uint8_t *data,
                    size_t len, struct flow_tnl *key, size_t *header_len,
                    ovs_be32 *packet_type)
{
    switch (format->kind) {
    case TUNNEL_VXLAN:
        return vxlan_parse(format, data, len, key, header_len, packet_type);
    case TUNNEL_GENEVE:
        return geneve_parse(data, len, key, header_len, packet_type);
    case TUNNEL_GTPU:
        return gtpu_parse(data, len, key, header_len, packet_type);
    case TUNNEL_GRE:
        return gre_parse(data, len, key, header_len, packet_type);
    case TUNNEL_ERSPAN:
        return erspan_parse(data, len, key, header_len, packet_type);
    }
    OVS_NOT_REACHED();
}
