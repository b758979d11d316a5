/* Checks that the compact flow key and libopenvswitch agree about packets.
 *
 * Random frames of every kind, many of them cut short or damaged, are parsed
 * by flow_key_parse(), fed with growing snapshots, and by flow_extract(); the
 * key made from the result of the latter must be the same.  Then random masks:
 * a compact megaflow must match a packet exactly if the struct flow, masked,
 * is equal to the masked struct flow that it was made from.  And templates: a
 * frame that matches that of another must have the same key as that.
 *
 *   test-flow-key [ROUNDS [SEED]]
 */
#include <config.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "datapath/flow-convert.h"
#include "datapath/flow-key.h"
#include "datapath/header-template.h"
#include "dp-packet.h"
#include "flow.h"
#include "packets.h"
#include "random.h"
#include "tests/datapath/random-frame.h"
#include "util.h"

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

/* Packets that matched a template though not each of their bytes did. */
static unsigned int n_alike;

/* Compares 'frame' with what becomes of it when some bytes, most of them in its
 * headers, change. */
static bool
check_template(const uint8_t *frame, size_t len)
{
    struct header_template template;
    uint8_t other[RANDOM_FRAME_MAX];
    struct flow_key key, other_key;
    struct flow_parse parse;
    size_t other_len = len;

    if (!parse_growing(frame, len, &key, &parse)) {
        return true;
    }
    header_template_make(&template, frame, len, len, &key, &parse);
    memcpy(other, frame, len);
    for (int n = random_range(4); n > 0; n--) {
        other[random_range(MIN(len, 90))] = random_range(2) ? random_uint8()
                                                            : random_range(8);
    }
    if (!random_range(4)) {
        other_len -= random_range(MIN(len - 14, 40) + 1);
    }
    if (!header_template_matches(&template, other, other_len, other_len)) {
        return true;
    }
    n_alike += memcmp(frame, other, other_len) != 0;

    uint16_t l3_ofs = parse.l3_ofs, l4_ofs = parse.l4_ofs;
    if (!parse_growing(other, other_len, &other_key, &parse)
        || memcmp(&key, &other_key, sizeof key)
        || parse.l3_ofs != l3_ofs || parse.l4_ofs != l4_ofs) {
        printf("the template of one matches the other\n");
        dump("one", frame, len);
        dump("other", other, other_len);
        dump("key of one", &key, sizeof key);
        dump("key of the other", &other_key, sizeof other_key);
        return false;
    }
    return true;
}

int
main(int argc, char *argv[])
{
    unsigned int rounds = argc > 1 ? atoi(argv[1]) : 200000;
    unsigned int seed = argc > 2 ? atoi(argv[2]) : 1;
    static uint8_t frames[2][RANDOM_FRAME_MAX];
    size_t lens[2] = { 0, 0 };

    set_program_name(argv[0]);
    random_set_seed(seed);
    lens[1] = random_frame(frames[1]);
    for (unsigned int i = 0; i < rounds; i++) {
        flow_vlan_limit = random_range(FLOW_MAX_VLAN_HEADERS + 1);
        lens[i % 2] = random_frame(frames[i % 2]);
        if (!check_parse(frames[i % 2], lens[i % 2])
            || !check_mask(frames[0], lens[0], frames[1], lens[1])
            || !check_template(frames[i % 2], lens[i % 2])) {
            printf("round %u of seed %u failed\n", i, seed);
            return 1;
        }
    }
    if (n_alike < rounds / 100) {
        printf("only %u of %u packets were alike\n", n_alike, rounds);
        return 1;
    }
    printf("ok: %u packets\n", rounds);
    return 0;
}
