/* Checks that the compact flow key and libopenvswitch agree about packets.
 *
 * Random frames of every kind, many of them cut short or damaged, are parsed
 * by flow_key_parse(), fed with growing snapshots, and by flow_extract(); the
 * key made from the result of the latter must be the same.  Then random masks:
 * a compact megaflow must match a packet exactly if the struct flow, masked,
 * is equal to the masked struct flow that it was made from.
 *
 *   test-flow-key [ROUNDS [SEED]]
 */
#include <config.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "datapath/flow-convert.h"
#include "datapath/flow-key.h"
#include "dp-packet.h"
#include "flow.h"
#include "packets.h"
#include "random.h"
#include "util.h"

#define MAX_FRAME 400

static uint8_t
small(void)
{
    return random_range(3);
}

/* Writes 'n' bytes of which few are different from one another. */
static size_t
put_noise(uint8_t *p, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        p[i] = random_range(4) ? small() : random_range(256);
    }
    return n;
}

static size_t
put_l4(uint8_t *p, uint8_t proto)
{
    size_t n = put_noise(p, 20 + random_range(60));

    if (proto == IPPROTO_TCP) {
        p[12] = (random_range(8) ? 5 : random_range(16)) << 4 | small();
    } else if (proto == IPPROTO_ICMPV6) {
        p[0] = 133 + random_range(5);
        p[1] = random_range(4) ? 0 : small();
    }
    return n;
}

static uint8_t
random_proto(void)
{
    static const uint8_t protos[] = {
        IPPROTO_TCP, IPPROTO_UDP, IPPROTO_SCTP, IPPROTO_ICMP, IPPROTO_IGMP,
        IPPROTO_ICMPV6, IPPROTO_GRE, 0, 43, 44, 51, 60
    };

    return protos[random_range(ARRAY_SIZE(protos))];
}

static size_t
put_ipv4(uint8_t *p)
{
    size_t ihl = 5 + (random_range(4) ? 0 : random_range(4));

    put_noise(p, ihl * 4);
    p[0] = 4 << 4 | (random_range(20) ? ihl : (size_t) random_range(16));
    p[9] = random_proto();
    if (random_range(4)) {
        p[6] = p[7] = 0;
    }
    size_t len = ihl * 4 + put_l4(p + ihl * 4, p[9]);
    size_t tot_len = random_range(10) ? len : (size_t) random_range(2 * len);
    p[2] = tot_len >> 8;
    p[3] = tot_len;
    return len;
}

static size_t
put_ipv6(uint8_t *p)
{
    put_noise(p, 40);
    p[0] = 6 << 4 | small();
    p[6] = random_proto();

    size_t len = 40;
    uint8_t proto = p[6];
    for (int i = 0; i < 4 && (proto == 0 || proto == 43 || proto == 44
                              || proto == 51 || proto == 60); i++) {
        size_t ext_len = proto == 44 ? 8 : 8 * (1 + small());

        put_noise(p + len, ext_len);
        p[len] = random_proto();
        if (proto == 51) {
            p[len + 1] = ext_len / 4 - 2;
        } else if (proto != 44) {
            p[len + 1] = ext_len / 8 - 1;
        } else if (random_range(2)) {
            p[len + 2] = p[len + 3] = 0;
        }
        proto = p[len];
        len += ext_len;
    }
    len += put_l4(p + len, proto);
    size_t plen = random_range(10) ? len - 40
                  : (size_t) random_range(2 * len);
    p[4] = plen >> 8;
    p[5] = plen;
    return len;
}

static size_t
put_arp(uint8_t *p)
{
    static const uint8_t header[] = { 0, 1, 8, 0, 6, 4, 0, 1 };

    put_noise(p, 28);
    memcpy(p, header, sizeof header);
    p[7] = small();
    if (!random_range(8)) {
        p[random_range(8)] ^= 1;
    }
    return 28;
}

/* Fills in 'frame' and returns its length. */
static size_t
make_frame(uint8_t *frame)
{
    static const uint16_t types[] = {
        0x0800, 0x0800, 0x86dd, 0x86dd, 0x0806, 0x8035, 0x8847, 0x05dc,
        0x0026, 0x9000
    };
    size_t len = put_noise(frame, 12);

    for (int n = random_range(2) ? 0 : random_range(4); n > 0; n--) {
        uint16_t tpid = random_range(2) ? 0x8100 : 0x88a8;

        frame[len] = tpid >> 8;
        frame[len + 1] = tpid;
        put_noise(frame + len + 2, 2);
        len += 4;
    }
    uint16_t type = types[random_range(ARRAY_SIZE(types))];
    frame[len++] = type >> 8;
    frame[len++] = type;
    if (type < 0x600 && random_range(4)) {
        static const uint8_t snap[] = { 0xaa, 0xaa, 3, 0, 0, 0, 8, 0 };

        memcpy(frame + len, snap, sizeof snap);
        if (!random_range(4)) {
            frame[len + random_range(8)] ^= 1 << random_range(8);
        }
        type = random_range(2) ? 0x0800 : 0x86dd;
        frame[len + 6] = type >> 8;
        frame[len + 7] = type;
        len += sizeof snap;
    }
    len += type == 0x0800 ? put_ipv4(frame + len)
           : type == 0x86dd ? put_ipv6(frame + len)
           : type == 0x0806 || type == 0x8035 ? put_arp(frame + len)
           : put_noise(frame + len, 40);
    if (!random_range(4)) {
        len += put_noise(frame + len, random_range(30));    /* Padding. */
    } else if (!random_range(4)) {
        len = 14 + random_range(len - 13);                  /* Cut short. */
    }
    return len;
}

/* Parses as the fast path does: with as little of the frame as it takes. */
static bool
parse_growing(const uint8_t *frame, size_t len, struct flow_key *key,
              struct flow_parse *parse)
{
    size_t head_len = 14;

    for (;;) {
        memset(key, 0, sizeof *key);
        parse->blocks = FLOW_KEY_L2_L4;
        parse->vlan_limit = flow_vlan_limit;

        /* A copy of its own lets a sanitizer see any read beyond it. */
        uint8_t *head = xmemdup(frame, head_len);
        bool done = flow_key_parse(head, head_len, len, key, parse);
        free(head);
        if (done) {
            return true;
        }
        if (parse->need > len || parse->need <= head_len) {
            return false;
        }
        head_len = parse->need;
    }
}

static void
dump(const char *what, const void *data, size_t n)
{
    printf("%s:\n", what);
    ovs_hex_dump(stdout, data, n, 0, false);
}

static void
extract(const uint8_t *frame, size_t len, struct dp_packet *packet,
        struct flow *flow)
{
    dp_packet_use_const(packet, frame, len);
    packet->packet_type = htonl(PT_ETH);
    pkt_metadata_init(&packet->md, u32_to_odp(0));
    flow_extract(packet, flow);
}

static bool
check_parse(const uint8_t *frame, size_t len)
{
    struct flow_key key, expected;
    struct flow_parse parse;
    struct dp_packet packet;
    struct flow flow;

    extract(frame, len, &packet, &flow);
    flow_key_from_flow(&expected, &flow);
    if (!parse_growing(frame, len, &key, &parse)) {
        /* Only chains of extension headers beyond all reason may fail. */
        printf("parsing wants %u bytes of %"PRIuSIZE"\n", parse.need, len);
        dump("frame", frame, len);
        return false;
    }
    /* Below MPLS labels, which it doesn't follow, the parser sees no IP. */
    bool same_ofs = eth_type_mpls(flow.dl_type)
                    || (parse.l3_ofs == packet.l3_ofs
                        && parse.l4_ofs == packet.l4_ofs);
    if (memcmp(&key, &expected, sizeof key) || !same_ofs) {
        printf("keys differ (l3 %d, %d; l4 %d, %d)\n", parse.l3_ofs,
               packet.l3_ofs, parse.l4_ofs, packet.l4_ofs);
        dump("frame", frame, len);
        dump("parsed", &key, sizeof key);
        dump("from flow_extract()", &expected, sizeof expected);
        return false;
    }
    return true;
}

/* Fills in 'wc' with some of the fields that flows of the kind of 'flow' have,
 * as libofproto would: packet type and Ethertype always. */
static void
random_mask(const struct flow *flow, struct flow_wildcards *wc)
{
    struct flow_wildcards full;

    flow_wildcards_init_for_packet(&full, flow);
    memset(wc, 0, sizeof *wc);

    uint32_t *to = (uint32_t *) &wc->masks;
    const uint32_t *from = (const uint32_t *) &full.masks;
    for (size_t i = 0; i < sizeof wc->masks / sizeof *to; i++) {
        uint32_t bits = random_range(2) ? 0 : random_range(2) ? UINT32_MAX
                        : random_uint32();
        to[i] = from[i] & bits;
    }
    wc->masks.in_port = full.masks.in_port;
    wc->masks.packet_type = OVS_BE32_MAX;
    wc->masks.dl_type = OVS_BE16_MAX;
    if (is_ip_any(flow)) {
        wc->masks.nw_proto = UINT8_MAX;
    }
}

static bool
check_mask(const uint8_t *frame_a, size_t len_a, const uint8_t *frame_b,
           size_t len_b)
{
    struct dp_packet packet;
    struct flow a, b;

    extract(frame_a, len_a, &packet, &a);
    extract(frame_b, len_b, &packet, &b);

    struct flow_wildcards wc;
    struct flow_key mask, key_a, key_b;

    random_mask(&a, &wc);
    if (!flow_key_mask_from_wildcards(&mask, &a, &wc)) {
        return true;
    }
    flow_key_from_flow(&key_a, &a);
    flow_key_from_flow(&key_b, &b);

    bool compact = true;
    for (int i = 0; i < FLOW_KEY_WORDS; i++) {
        compact &= !((key_a.words[i] ^ key_b.words[i]) & mask.words[i]);
    }
    bool full = flow_equal_except(&a, &b, &wc);
    if (compact != full) {
        printf("masks differ: compact key %s, struct flow %s\n",
               compact ? "matches" : "does not match",
               full ? "matches" : "does not match");
        dump("frame a", frame_a, len_a);
        dump("frame b", frame_b, len_b);
        dump("compact mask", &mask, sizeof mask);
        return false;
    }
    return true;
}

int
main(int argc, char *argv[])
{
    unsigned int rounds = argc > 1 ? atoi(argv[1]) : 200000;
    unsigned int seed = argc > 2 ? atoi(argv[2]) : 1;
    static uint8_t frames[2][MAX_FRAME];
    size_t lens[2] = { 0, 0 };

    set_program_name(argv[0]);
    random_set_seed(seed);
    lens[1] = make_frame(frames[1]);
    for (unsigned int i = 0; i < rounds; i++) {
        flow_vlan_limit = random_range(FLOW_MAX_VLAN_HEADERS + 1);
        lens[i % 2] = make_frame(frames[i % 2]);
        if (!check_parse(frames[i % 2], lens[i % 2])
            || !check_mask(frames[0], lens[0], frames[1], lens[1])) {
            printf("round %u of seed %u failed\n", i, seed);
            return 1;
        }
    }
    printf("ok: %u packets\n", rounds);
    return 0;
}
