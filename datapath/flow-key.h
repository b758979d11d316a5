/* The compact flow key, and the parser that makes it from a frame.
 *
 * Both engines of the flow cache include this file, so that they can't
 * disagree about a packet: it is plain C that gcc and `clang -target bpf`
 * take, it calls nothing, and it needs no header but the kernel's.
 *
 * The key is three blocks of 64 bytes, each one cache line:
 *
 *   block 0   everything that an IPv4 or ARP packet outside a tunnel needs
 *   block 1   IPv6 addresses or ARP hardware addresses, connection label,
 *             marks
 *   block 2   the tunnel that the packet came out of
 *
 * A packet's key says in 'blocks' which of them it has; a block that it lacks
 * counts as zeros.  Values are those of OVS's struct flow, in its byte order,
 * so the same mask means the same in both.  What has no place here (MPLS
 * labels, NSH, Geneve options, ND targets, a connection's original tuple, ...)
 * can't be matched by a compact megaflow: flow-convert.c says so when a mask
 * asks for it, and the flow goes into the wide table.
 */
#ifndef FLOW_KEY_H
#define FLOW_KEY_H 1

#include <linux/types.h>

#define FLOW_KEY_BLOCKS 3
#define FLOW_KEY_WORDS (FLOW_KEY_BLOCKS * 8)

enum {
    FLOW_KEY_L2_L4 = 1 << 0,    /* Block 0, always there. */
    FLOW_KEY_WIDE_L3 = 1 << 1,  /* Block 1. */
    FLOW_KEY_TUNNEL = 1 << 2,   /* Block 2. */
};

struct flow_key {
    union {
        struct {
            /* Block 0.  Word 0. */
            __u32 in_port;          /* Datapath port number. */
            __u32 recirc_id;
            /* Words 1 and 2: in the order of an Ethernet header. */
            __u8 dl_dst[6];
            __u8 dl_src[6];
            __be16 dl_type;         /* As struct flow's. */
            __be16 vlan_tci;        /* Outer VLAN, CFI set if present. */
            /* Word 3. */
            __be32 nw_src;          /* IPv4, or ARP sender... */
            __be32 nw_dst;          /* ...and target. */
            /* Word 4. */
            __u8 nw_proto;          /* IP protocol, or ARP opcode. */
            __u8 nw_tos;
            __u8 nw_ttl;
            __u8 nw_frag;           /* FLOW_NW_FRAG_* bits. */
            __be16 tp_src;          /* Port, or ICMP type... */
            __be16 tp_dst;          /* ...and code. */
            /* Word 5. */
            __u8 ct_state;
            __u8 packet_ns;         /* Name space of packet_type: 0 Ethernet,
                                     * 1 no Ethernet header (type = dl_type). */
            __u16 ct_zone;
            __u32 ct_mark;
            /* Word 6: what changes from packet to packet of a connection. */
            __u32 dp_hash;
            __be16 tcp_flags;
            __u16 pad0;
            /* Word 7. */
            __be16 vlan_tpid;
            __be16 vlan2_tpid;      /* Inner VLAN. */
            __be16 vlan2_tci;
            __u16 pad1;

            /* Block 1.  Words 8 to 11. */
            union {
                struct {
                    __u8 ipv6_src[16];
                    __u8 ipv6_dst[16];
                };
                struct {
                    __u8 arp_sha[6];
                    __u8 arp_tha[6];
                };
            };
            /* Words 12 and 13. */
            __u64 ct_label[2];
            /* Words 14 and 15. */
            __be32 ipv6_label;
            __u32 pkt_mark;
            __u32 skb_priority;
            __u32 pad2;

            /* Block 2.  Words 16 to 23. */
            __be64 tun_id;
            __be32 tun_src;
            __be32 tun_dst;
            __u16 tun_flags;        /* FLOW_TNL_F_* that flows match on. */
            __u8 tun_tos;
            __u8 tun_ttl;
            __be16 tun_tp_src;
            __be16 tun_tp_dst;
            __u64 pad3[4];
        };
        __u64 words[FLOW_KEY_WORDS];
    };
};

/* What the parser learns beside the key. */
struct flow_parse {
    __u16 blocks;               /* FLOW_KEY_* bits of the blocks filled. */
    __u16 l3_ofs;               /* Offset of the network header... */
    __u16 l4_ofs;               /* ...and of the transport header, 0xffff if
                                 * the packet has none. */
    __u16 vlan_limit;           /* In: VLAN tags to look at, 0 to 2. */
    __u32 need;                 /* When parsing stopped for want of bytes: how
                                 * many of the frame it needs. */
};

#define FLOW_KEY_NO_OFS 0xffff

/* IPv6 extension headers that the parser follows.  Few in the kernel, whose
 * verifier tries them all: packets with more are left to the user engine. */
#ifdef __BPF__
#define FLOW_KEY_MAX_EXT 3
#else
#define FLOW_KEY_MAX_EXT 16
#endif

#define FLOW_KEY_DL_TYPE_NONE 0x5ff /* Not Ethernet II: struct flow's value. */

#ifdef __BPF__
#define flow_key_htons(X) __builtin_bswap16(X)
#elif __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define flow_key_htons(X) ((__be16) __builtin_bswap16(X))
#else
#define flow_key_htons(X) ((__be16) (X))
#endif

static inline __be16
flow_key_get16(const __u8 *p)
{
    __be16 x;

    __builtin_memcpy(&x, p, sizeof x);
    return x;
}

static inline __be32
flow_key_get32(const __u8 *p)
{
    __be32 x;

    __builtin_memcpy(&x, p, sizeof x);
    return x;
}

static inline __u32
flow_key_host16(const __u8 *p)
{
    return p[0] << 8 | p[1];
}

/* Byte 'ofs' of 'head', which FLOW_KEY_READ() has or will have checked.  The
 * kernel's verifier can't always tell, so there the offset is cut to what is
 * possible: 'head' has 128 bytes, and 64 more that are never looked at. */
static inline const __u8 *
flow_key_at(const __u8 *head, __u32 ofs)
{
#ifdef __BPF__
    __u64 i = ofs;

    asm volatile("%0 &= 127" : "+r"(i));
    return head + i;
#else
    return head + ofs;
#endif
}

/* Requires the frame's first N bytes: returns false if the frame is shorter
 * (then the header isn't there), and makes the caller return false if the
 * frame has them but 'head' doesn't (then more must be read first). */
#define FLOW_KEY_HAVE(N) ((N) <= len)
#define FLOW_KEY_READ(N)                                                \
    do {                                                                \
        if ((N) > head_len) {                                           \
            parse->need = (N);                                          \
            return 0;                                                   \
        }                                                               \
    } while (0)

static inline int flow_key_parse_l4(const __u8 *head, __u32 head_len,
                                    __u32 ofs, __u32 end,
                                    struct flow_key *, struct flow_parse *);

/* IPv4, at 'ofs'; the frame is 'len' bytes long. */
static inline int
flow_key_parse_ipv4(const __u8 *head, __u32 head_len, __u32 len, __u32 ofs,
                    struct flow_key *key, struct flow_parse *parse)
{
    if (!FLOW_KEY_HAVE(ofs + 20)) {
        return 1;
    }
    FLOW_KEY_READ(ofs + 20);

    const __u8 *nh = flow_key_at(head, ofs);
    __u32 ip_len = (nh[0] & 15) * 4;
    __u32 tot_len = flow_key_host16(nh + 2);
    __u32 size = len - ofs;

    if (ip_len < 20 || size < ip_len || tot_len > size || ip_len > tot_len
        || size - tot_len > 0xffff) {
        return 1;
    }
    parse->l4_ofs = ofs + ip_len;
    key->nw_src = flow_key_get32(nh + 12);
    key->nw_dst = flow_key_get32(nh + 16);
    key->nw_proto = nh[9];
    key->nw_tos = nh[1];
    key->nw_ttl = nh[8];

    __u32 frag = flow_key_host16(nh + 6);
    if (frag & 0x3fff) {
        key->nw_frag = frag & 0x1fff ? 3 : 1;
        if (frag & 0x1fff) {
            return 1;
        }
    }
    /* What follows the datagram is padding. */
    return flow_key_parse_l4(head, head_len, ofs + ip_len, ofs + tot_len, key,
                             parse);
}

/* IPv6, at 'ofs'; the frame is 'len' bytes long. */
static inline int
flow_key_parse_ipv6(const __u8 *head, __u32 head_len, __u32 len, __u32 ofs,
                    struct flow_key *key, struct flow_parse *parse)
{
    if (!FLOW_KEY_HAVE(ofs + 40)) {
        return 1;
    }
    FLOW_KEY_READ(ofs + 40);

    const __u8 *nh = flow_key_at(head, ofs);
    __u32 plen = flow_key_host16(nh + 4);
    __u32 size = len - ofs;

    if (plen + 40 > size || size - (plen + 40) > 0xffff) {
        return 1;
    }
    parse->blocks |= FLOW_KEY_WIDE_L3;
    __builtin_memcpy(key->ipv6_src, nh + 8, 16);
    __builtin_memcpy(key->ipv6_dst, nh + 24, 16);

    __u32 end = ofs + 40 + plen;
    __u32 at = ofs + 40;
    __u8 proto = nh[6], frag = 0;

    /* Extension headers.  A chain that ends early leaves protocol, class, hop
     * limit and label unset, as struct flow does. */
    for (int i = 0; i < FLOW_KEY_MAX_EXT; i++) {
        if (proto != 0 && proto != 43 && proto != 60 && proto != 51
            && proto != 44) {
            break;
        }
        if (at + 8 > end) {
            return 1;
        }
        FLOW_KEY_READ(at + 8);

        const __u8 *ext = flow_key_at(head, at);
        __u32 ext_len;

        if (proto == 44) {
            __u32 offlg = flow_key_host16(ext + 2);

            ext_len = 8;
            proto = ext[0];
            if (offlg) {
                frag = 1;
                if (offlg & 0xfff8) {
                    frag = 3;
                    proto = 44;
                    at += ext_len;
                    break;
                }
            }
        } else {
            ext_len = proto == 51 ? (ext[1] + 2) * 4 : (ext[1] + 1) * 8;
            proto = ext[0];
            if (at + ext_len > end) {
                return 1;
            }
        }
        at += ext_len;
        if (i == FLOW_KEY_MAX_EXT - 1) {
            parse->need = 0xffffffff;
            return 0;
        }
    }
    parse->l4_ofs = at;
    key->nw_proto = proto;
    key->nw_tos = (nh[0] & 15) << 4 | nh[1] >> 4;
    key->nw_ttl = nh[7];
    key->nw_frag = frag;
    key->ipv6_label = flow_key_get32(nh);
    ((__u8 *) &key->ipv6_label)[0] = 0;
    ((__u8 *) &key->ipv6_label)[1] &= 15;
    if (frag & 2) {
        return 1;
    }
    return flow_key_parse_l4(head, head_len, at, end, key, parse);
}

/* The transport header at 'ofs' of a datagram that ends at 'end'. */
static inline int
flow_key_parse_l4(const __u8 *head, __u32 head_len, __u32 ofs, __u32 end,
                  struct flow_key *key, struct flow_parse *parse)
{
    const __u8 *th = flow_key_at(head, ofs);

    switch (key->nw_proto) {
    case 6: {                   /* TCP. */
        if (ofs + 20 > end) {
            return 1;
        }
        FLOW_KEY_READ(ofs + 14);

        __u32 hdr_len = (th[12] >> 4) * 4;
        if (hdr_len < 20 || ofs + hdr_len > end) {
            return 1;
        }
        key->tp_src = flow_key_get16(th);
        key->tp_dst = flow_key_get16(th + 2);
        key->tcp_flags = flow_key_get16(th + 12) & flow_key_htons(0x0fff);
        break;
    }
    case 17:                    /* UDP. */
    case 132: {                 /* SCTP. */
        if (ofs + (key->nw_proto == 17 ? 8 : 12) > end) {
            return 1;
        }
        FLOW_KEY_READ(ofs + 4);
        key->tp_src = flow_key_get16(th);
        key->tp_dst = flow_key_get16(th + 2);
        break;
    }
    case 1:                     /* ICMP. */
    case 2:                     /* IGMP. */
    case 58: {                  /* ICMPv6. */
        if (ofs + 8 > end) {
            return 1;
        }
        FLOW_KEY_READ(ofs + 2);
        key->tp_src = flow_key_htons(th[0]);
        key->tp_dst = flow_key_htons(th[1]);
        break;
    }
    default:
        break;
    }
    return 1;
}

/* ARP and RARP, at 'ofs'. */
static inline int
flow_key_parse_arp(const __u8 *head, __u32 head_len, __u32 len, __u32 ofs,
                   struct flow_key *key, struct flow_parse *parse)
{
    if (!FLOW_KEY_HAVE(ofs + 28)) {
        return 1;
    }
    FLOW_KEY_READ(ofs + 28);

    const __u8 *arp = flow_key_at(head, ofs);
    if (flow_key_host16(arp) != 1 || flow_key_host16(arp + 2) != 0x0800
        || arp[4] != 6 || arp[5] != 4) {
        return 1;
    }
    parse->blocks |= FLOW_KEY_WIDE_L3;
    key->nw_src = flow_key_get32(arp + 14);
    key->nw_dst = flow_key_get32(arp + 24);
    if (!arp[6]) {
        key->nw_proto = arp[7];
    }
    __builtin_memcpy(key->arp_sha, arp + 8, 6);
    __builtin_memcpy(key->arp_tha, arp + 18, 6);
    return 1;
}

/* Parses the frame of 'len' bytes (at least 14) whose first 'head_len' bytes
 * (at least 14) are at 'head' into 'key'.
 *
 * On entry blocks 0 and 1 of 'key' must be zero but for metadata, and
 * 'parse->blocks' and 'parse->vlan_limit' set.  Returns nonzero and fills in
 * 'key' and 'parse' if the headers were complete or broken off by the frame's
 * own end.  Returns 0 if 'head' ends before the headers do: 'parse->need' has
 * the number of bytes wanted (all ones: more than this parser follows), and
 * the caller starts anew, with cleared blocks, when it has them. */
static inline int
flow_key_parse(const __u8 *head, __u32 head_len, __u32 len,
               struct flow_key *key, struct flow_parse *parse)
{
    parse->l4_ofs = FLOW_KEY_NO_OFS;
    __builtin_memcpy(key->dl_dst, head, 12);

    __u32 ofs = 12;
    __u32 type = flow_key_host16(head + ofs);

    /* A tag counts only if another Ethertype follows it. */
    for (int n = 0; (type == 0x8100 || type == 0x88a8)
         && n < parse->vlan_limit && FLOW_KEY_HAVE(ofs + 6); n++) {
        FLOW_KEY_READ(ofs + 6);

        __be16 tpid = flow_key_get16(head + ofs);
        __be16 tci = flow_key_get16(head + ofs + 2) | flow_key_htons(0x1000);

        if (!n) {
            key->vlan_tpid = tpid;
            key->vlan_tci = tci;
        } else {
            key->vlan2_tpid = tpid;
            key->vlan2_tci = tci;
        }
        ofs += 4;
        type = flow_key_host16(head + ofs);
    }
    ofs += 2;
    if (type < 0x600) {
        /* An 802.3 length.  SNAP carries an Ethertype, nothing else does. */
        type = FLOW_KEY_DL_TYPE_NONE;
        if (FLOW_KEY_HAVE(ofs + 8)) {
            FLOW_KEY_READ(ofs + 8);

            const __u8 *llc = flow_key_at(head, ofs);
            if (llc[0] == 0xaa && llc[1] == 0xaa && llc[2] == 3
                && !llc[3] && !llc[4] && !llc[5]) {
                ofs += 8;
                if (flow_key_host16(llc + 6) >= 0x600) {
                    type = flow_key_host16(llc + 6);
                }
            }
        }
    }
    key->dl_type = flow_key_htons(type);
    parse->l3_ofs = ofs;

    switch (type) {
    case 0x0800:
        return flow_key_parse_ipv4(head, head_len, len, ofs, key, parse);
    case 0x86dd:
        return flow_key_parse_ipv6(head, head_len, len, ofs, key, parse);
    case 0x0806:
    case 0x8035:
        return flow_key_parse_arp(head, head_len, len, ofs, key, parse);
    default:
        return 1;
    }
}

/* A mixing step: the product of two 64-bit words folded to 64 bits. */
static inline __u64
flow_key_mix(__u64 a, __u64 b)
{
    a ^= 0x9e3779b97f4a7c15ULL;
    b ^= 0xe7037ed1a0b428dbULL;
#ifdef __BPF__
    __u64 low = (a & 0xffffffff) * (b & 0xffffffff);
    __u64 mid1 = (a & 0xffffffff) * (b >> 32);
    __u64 mid2 = (a >> 32) * (b & 0xffffffff);
    __u64 mid = (low >> 32) + (mid1 & 0xffffffff) + (mid2 & 0xffffffff);

    return a * b ^ ((a >> 32) * (b >> 32) + (mid1 >> 32) + (mid2 >> 32)
                    + (mid >> 32));
#else
    __uint128_t product = (__uint128_t) a * b;

    return product ^ (product >> 64);
#endif
}

/* A hash that is the same in both directions of a connection, from its
 * addresses (folded to 64 bits each), ports and protocol. */
static inline __u32
flow_key_symmetric_hash(__u64 src, __u64 dst, __u16 tp_src, __u16 tp_dst,
                        __u8 nw_proto)
{
    __u64 hash = flow_key_mix(src ^ dst, src + dst);

    hash = flow_key_mix(hash, (__u64) (tp_src ^ tp_dst) << 8 | nw_proto);
    return hash ^ hash >> 32;
}

/* That of a packet with 'key', which has 'blocks'. */
static inline __u32
flow_key_hash(const struct flow_key *key, unsigned int blocks)
{
    const __u64 *w = key->words;

    return blocks & FLOW_KEY_WIDE_L3
           ? flow_key_symmetric_hash(w[8] ^ w[9], w[10] ^ w[11], key->tp_src,
                                     key->tp_dst, key->nw_proto)
           : key->nw_proto
           ? flow_key_symmetric_hash(key->nw_src, key->nw_dst, key->tp_src,
                                     key->tp_dst, key->nw_proto)
           : flow_key_symmetric_hash(w[1] & 0xffffffffffffULL,
                                     w[1] >> 48 | (w[2] & 0xffffffff) << 16,
                                     0, 0, 0);
}

#undef FLOW_KEY_HAVE
#undef FLOW_KEY_READ

#endif /* flow-key.h */
