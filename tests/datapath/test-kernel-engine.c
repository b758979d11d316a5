/* Checks that the kernel engine's programs, the user engine and libopenvswitch
 * agree about packets.
 *
 * Random frames are given to the program that is at a device's ingress
 * (BPF_PROG_TEST_RUN), while a table has random megaflows with random actions.
 * Which flow it hit, by its statistics, is compared with megaflow_lookup() and
 * with what libopenvswitch's struct flow says; what it made of the frame with
 * what odp_execute_actions() does.  A flow that the programs can't express must
 * not be replaced by one that they can.
 *
 *   test-kernel-engine [ROUNDS [SEED]]
 *
 * Needs CAP_BPF and CAP_NET_ADMIN. */
#include <config.h>

#include <bpf/bpf.h>
#include <errno.h>
#include <linux/pkt_cls.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "datapath/flow-convert.h"
#include "datapath/kernel/engine.h"
#include "datapath/private.h"
#include "datapath/program.h"
#include "dp-packet.h"
#include "dpif.h"
#include "flow.h"
#include "netlink.h"
#include "odp-execute.h"
#include "odp-util.h"
#include "packets.h"
#include "random.h"
#include "tests/datapath/random-frame.h"
#include "util.h"

#define N_FLOWS 24              /* Megaflows at a time... */
#define N_FRAMES 100            /* ...and frames that meet them. */
#define IN_PORT 1
#define OUT_PORT 2
#define LO_IFINDEX 1            /* Where the test's packets come from. */

static struct datapath dp;
static struct port in, out;

/* The frames that the flows were made for. */
static struct {
    uint8_t frame[RANDOM_FRAME_MAX];
    size_t len;
} origins[N_FLOWS];

/* What came of the frames. */
static unsigned int n_hits, n_misses, n_inexpressible, n_ambiguous,
                    n_rewritten;

/* --- A datapath with two ports ----------------------------------------------*/

static void
port_init(struct port *port, unsigned int number)
{
    struct kernel_attachment *a = xzalloc(sizeof *a);

    a->index = number;
    a->ifindex = LO_IFINDEX;
    *port = (struct port) {
        .dp = &dp, .number = u32_to_odp(number), .kernel = a
    };
}

static void
datapath_init_for_test(void)
{
    struct kernel_device device = { .port = IN_PORT };
    uint32_t ifindex = LO_IFINDEX;
    struct port_array *array = xzalloc(sizeof *array
                                       + 3 * sizeof *array->ports);

    port_init(&in, IN_PORT);
    port_init(&out, OUT_PORT);
    array->n = 3;
    array->ports[IN_PORT] = &in;
    array->ports[OUT_PORT] = &out;
    ovsrcu_init(&dp.ports, array);
    megaflow_table_init(&dp.flows);
    bpf_map_update_elem(kernel_engine.devices_fd, &ifindex, &device, BPF_ANY);
}

static void
extract(const uint8_t *frame, size_t len, struct dp_packet *packet,
        struct flow *flow)
{
    dp_packet_use_const(packet, frame, len);
    packet->packet_type = htonl(PT_ETH);
    pkt_metadata_init(&packet->md, u32_to_odp(IN_PORT));
    flow_extract(packet, flow);
}

/* --- Random flows -----------------------------------------------------------*/

/* Appends a "set" action of attribute 'type' with 'key' and 'mask', each of
 * 'size' bytes. */
static void
put_set(struct ofpbuf *actions, uint16_t type, uint8_t *key,
        const uint8_t *mask, size_t size)
{
    size_t ofs = nl_msg_start_nested(actions, OVS_ACTION_ATTR_SET_MASKED);
    uint8_t *p = nl_msg_put_unspec_uninit(actions, type, 2 * size);

    for (size_t i = 0; i < size; i++) {
        key[i] &= mask[i];
    }
    memcpy(p, key, size);
    memcpy(p + size, mask, size);
    nl_msg_end_nested(actions, ofs);
}

static void
random_bytes_few(void *p_, size_t n)
{
    uint8_t *p = p_;

    for (size_t i = 0; i < n; i++) {
        p[i] = random_range(256);
    }
}

/* Fills in 'n' bytes at 'mask' with ones or zeros, or (if 'any') anything. */
static void
random_field_mask(void *mask, size_t n, bool any)
{
    if (any && !random_range(4)) {
        random_bytes_few(mask, n);
    } else {
        memset(mask, random_range(2) ? 0xff : 0, n);
    }
}

static void
put_set_eth(struct ofpbuf *actions)
{
    struct ovs_key_ethernet key, mask;

    random_bytes_few(&key, sizeof key);
    random_field_mask(&mask.eth_src, 6, true);
    random_field_mask(&mask.eth_dst, 6, true);
    put_set(actions, OVS_KEY_ATTR_ETHERNET, (uint8_t *) &key,
            (uint8_t *) &mask, sizeof key);
}

static void
put_set_ipv4(struct ofpbuf *actions)
{
    struct ovs_key_ipv4 key, mask;

    random_bytes_few(&key, sizeof key);
    memset(&mask, 0, sizeof mask);
    random_field_mask(&mask.ipv4_src, 4, true);
    random_field_mask(&mask.ipv4_dst, 4, true);
    random_field_mask(&mask.ipv4_tos, 1, true);
    random_field_mask(&mask.ipv4_ttl, 1, false);
    put_set(actions, OVS_KEY_ATTR_IPV4, (uint8_t *) &key, (uint8_t *) &mask,
            sizeof key);
}

static void
put_set_ipv6(struct ofpbuf *actions)
{
    struct ovs_key_ipv6 key, mask;

    random_bytes_few(&key, sizeof key);
    memset(&mask, 0, sizeof mask);
    random_field_mask(&mask.ipv6_src, 16, true);
    random_field_mask(&mask.ipv6_dst, 16, true);
    mask.ipv6_label = htonl(random_range(2) ? IPV6_LABEL_MASK : 0);
    random_field_mask(&mask.ipv6_tclass, 1, true);
    random_field_mask(&mask.ipv6_hlimit, 1, false);
    put_set(actions, OVS_KEY_ATTR_IPV6, (uint8_t *) &key, (uint8_t *) &mask,
            sizeof key);
}

static void
put_set_ports(struct ofpbuf *actions, uint16_t type)
{
    struct ovs_key_tcp key, mask;

    random_bytes_few(&key, sizeof key);
    random_field_mask(&mask.tcp_src, 2, true);
    random_field_mask(&mask.tcp_dst, 2, true);
    put_set(actions, type, (uint8_t *) &key, (uint8_t *) &mask, sizeof key);
}

/* Actions for 'flow', whose 'wc' they narrow as libofproto would: fields that
 * an action presupposes are matched. */
static void
random_actions(const struct flow *flow, struct flow_wildcards *wc,
               struct ofpbuf *actions)
{
    bool whole = is_ip_any(flow) && flow->nw_proto && !flow->nw_frag
                 && flow->nw_ttl && (flow->tp_src || flow->tp_dst);

    if (!random_range(4)) {
        return;                 /* Drop. */
    }
    if (random_range(2)) {
        put_set_eth(actions);
    }
    if (whole && random_range(3)) {
        memset(&wc->masks.nw_frag, 0xff, sizeof wc->masks.nw_frag);
        memset(&wc->masks.tp_src, 0xff, sizeof wc->masks.tp_src);
        memset(&wc->masks.tp_dst, 0xff, sizeof wc->masks.tp_dst);
        memset(&wc->masks.nw_ttl, 0xff, sizeof wc->masks.nw_ttl);
        if (flow->dl_type == htons(ETH_TYPE_IP)) {
            put_set_ipv4(actions);
        } else {
            put_set_ipv6(actions);
        }
        if (flow->nw_proto == IPPROTO_TCP || flow->nw_proto == IPPROTO_UDP) {
            put_set_ports(actions, flow->nw_proto == IPPROTO_TCP
                                   ? OVS_KEY_ATTR_TCP : OVS_KEY_ATTR_UDP);
        }
    }
    if (!random_range(8)) {
        /* Nothing that the programs can do. */
        nl_msg_put_u32(actions, OVS_ACTION_ATTR_RECIRC, 1);
        return;
    }
    if (!random_range(4)) {
        struct ovs_action_push_vlan vlan = {
            .vlan_tpid = htons(ETH_TYPE_VLAN),
            .vlan_tci = htons(VLAN_CFI | random_range(4096)),
        };

        nl_msg_put_unspec(actions, OVS_ACTION_ATTR_PUSH_VLAN, &vlan,
                          sizeof vlan);
    } else if (flow->vlans[0].tci & htons(VLAN_CFI) && random_range(2)) {
        wc->masks.vlans[0].tci = OVS_BE16_MAX;
        nl_msg_put_flag(actions, OVS_ACTION_ATTR_POP_VLAN);
    }
    nl_msg_put_odp_port(actions, OVS_ACTION_ATTR_OUTPUT,
                        u32_to_odp(OUT_PORT));
}

/* Adds a megaflow for a random frame, which becomes number 'i' of those. */
static void
add_flow(int i)
{
    uint8_t *frame = origins[i].frame;
    size_t len = origins[i].len = random_frame(frame);
    uint64_t stub[512 / 8];
    struct dp_packet packet;
    struct ofpbuf actions;
    struct match match;
    ovs_u128 ufid;

    memset(&match, 0, sizeof match);
    extract(frame, len, &packet, &match.flow);
    random_mask(&match.flow, &match.wc);
    match.wc.masks.in_port.odp_port = ODPP_NONE;
    ofpbuf_use_stub(&actions, stub, sizeof stub);
    random_actions(&match.flow, &match.wc, &actions);
    odp_flow_key_hash(&match.flow, sizeof match.flow, &ufid);

    struct program *program = program_create(actions.data, actions.size);
    ovs_mutex_lock(&dp.flows.mutex);
    if (megaflow_find(&dp.flows, &ufid)
        || megaflow_add(&dp.flows, &match, &ufid, program)) {
        program_destroy(program);
    }
    ovs_mutex_unlock(&dp.flows.mutex);
    ofpbuf_uninit(&actions);
}

/* Looking up again, by a hash, and then something else, as where a bond is
 * flooded to: programs would do only the former. */
static void
put_recirc_and_output(struct ofpbuf *actions)
{
    struct ovs_action_hash hash = { .hash_alg = OVS_HASH_ALG_L4 };

    nl_msg_put_unspec(actions, OVS_ACTION_ATTR_HASH, &hash, sizeof hash);
    nl_msg_put_u32(actions, OVS_ACTION_ATTR_RECIRC, 1);
    nl_msg_put_odp_port(actions, OVS_ACTION_ATTR_OUTPUT,
                        u32_to_odp(OUT_PORT));
}

/* Gives some flows other actions, and removes some. */
static void
change_flows(void)
{
    struct megaflow *flow;

    ovs_mutex_lock(&dp.flows.mutex);
    CMAP_FOR_EACH (flow, ufid_node, &dp.flows.by_ufid) {
        uint64_t stub[256 / 8];
        struct ofpbuf actions;

        ofpbuf_use_stub(&actions, stub, sizeof stub);
        switch (random_range(9)) {
        case 0:                 /* Nothing that the programs can do. */
            nl_msg_put_u32(&actions, OVS_ACTION_ATTR_RECIRC, 1);
            break;
        case 1:
            put_set_eth(&actions);
            nl_msg_put_flag(&actions, OVS_ACTION_ATTR_CT_CLEAR);
            nl_msg_put_odp_port(&actions, OVS_ACTION_ATTR_OUTPUT,
                                u32_to_odp(OUT_PORT));
            break;
        case 2:                 /* Drop. */
            break;
        case 3:
            megaflow_remove(flow);
            continue;
        case 4:                 /* Nor that. */
            put_recirc_and_output(&actions);
            break;
        default:
            continue;
        }
        megaflow_set_program(flow, program_create(actions.data,
                                                  actions.size));
        ofpbuf_uninit(&actions);
    }
    ovs_mutex_unlock(&dp.flows.mutex);
}

static void
remove_flows(void)
{
    struct megaflow *flow;

    ovs_mutex_lock(&dp.flows.mutex);
    CMAP_FOR_EACH (flow, ufid_node, &dp.flows.by_ufid) {
        megaflow_remove(flow);
    }
    ovs_mutex_unlock(&dp.flows.mutex);
}

/* --- Checks -----------------------------------------------------------------*/

static void
dump(const char *what, const void *data, size_t n)
{
    printf("%s:\n", what);
    ovs_hex_dump(stdout, data, n, 0, false);
}

static void
dump_flow(const char *what, const struct megaflow *flow)
{
    struct ds s = DS_EMPTY_INITIALIZER;
    const struct program *program = ovsrcu_get(struct program *,
                                               &flow->program);
    struct match match;

    megaflow_get_match(flow, &match);
    match_format(&match, NULL, &s, OFP_DEFAULT_PRIORITY);
    ds_put_cstr(&s, " actions:");
    format_odp_actions(&s, program->actions, program->actions_len, NULL);
    printf("%s: %s\n", what, ds_cstr(&s));
    ds_destroy(&s);
}

static uint64_t
n_packets(const struct megaflow *flow)
{
    struct dpif_flow_stats stats;

    megaflow_get_stats(flow, &stats);
    return stats.n_packets;
}

/* Runs the program on 'frame': returns what it returned, or -1 if the kernel
 * doesn't let us, with what it made of
 * the frame in 'result', and the flow that it hit, or NULL, in '*hit'. */
static int
run_program(const uint8_t *frame, size_t len, uint8_t *result,
            uint32_t *result_len, const struct megaflow **hit)
{
    static uint64_t before[N_FLOWS];
    LIBBPF_OPTS (bpf_test_run_opts, opts,
        .data_in = frame,
        .data_size_in = len,
        .data_out = result,
        .data_size_out = *result_len,
        .repeat = 1);
    const struct megaflow *flow;
    int i = 0;

    CMAP_FOR_EACH (flow, ufid_node, &dp.flows.by_ufid) {
        before[i++] = n_packets(flow);
    }
    kernel_port_done(&in, kernel_port_up(&in));
    int error = bpf_prog_test_run_opts(kernel_engine.ingress_fd, &opts);
    if (error == -EINVAL) {
        return -1;              /* Some kernels take no broken IP header. */
    } else if (error) {
        ovs_fatal(-error, "cannot run the program");
    }
    *result_len = opts.data_size_out;
    *hit = NULL;
    i = 0;
    CMAP_FOR_EACH (flow, ufid_node, &dp.flows.by_ufid) {
        if (n_packets(flow) != before[i++]) {
            *hit = flow;
        }
    }
    return opts.retval;
}

/* Checks what the program made of 'frame', for which 'flow' is. */
static bool
check_result(const uint8_t *frame, size_t len, const struct megaflow *flow,
             int retval, const uint8_t *result, size_t result_len)
{
    const struct program *program = ovsrcu_get(struct program *,
                                               &flow->program);
    struct dp_packet *packet = dp_packet_clone_data_with_headroom(frame, len,
                                                                  64);
    struct dp_packet_batch batch;
    struct flow key;
    const struct nlattr *a;
    unsigned int left;
    size_t rewrite_len = 0;
    bool tagged = false;

    NL_ATTR_FOR_EACH (a, left, program->actions, program->actions_len) {
        if (nl_attr_type(a) == OVS_ACTION_ATTR_OUTPUT) {
            break;
        }
        tagged |= nl_attr_type(a) == OVS_ACTION_ATTR_PUSH_VLAN;
        rewrite_len += NLA_ALIGN(a->nla_len);
    }
    if (!program->actions_len) {
        dp_packet_delete(packet);
        return retval == TC_ACT_SHOT;
    }
    packet->packet_type = htonl(PT_ETH);
    pkt_metadata_init(&packet->md, u32_to_odp(IN_PORT));
    flow_extract(packet, &key);
    dp_packet_batch_init_packet(&batch, packet);
    odp_execute_actions(NULL, &batch, false, program->actions, rewrite_len,
                        NULL);

    uint8_t *expected = dp_packet_data(packet);
    size_t expected_len = dp_packet_size(packet);
    size_t l3 = packet->l3_ofs, l4 = packet->l4_ofs;
    if (result_len + 4 == expected_len
        && (tagged || eth_type_vlan(*(ovs_be16 *) (expected + 12)))) {
        /* The kernel has the outermost tag beside the frame. */
        memmove(expected + 4, expected, 12);
        expected += 4;
        expected_len -= 4;
        l3 -= 4;
        l4 -= 4;
    }

    bool ok = retval == TC_ACT_REDIRECT && result_len == expected_len;
    for (size_t i = 0; ok && i < expected_len; i++) {
        /* In a checksum 0 and 0xffff are the same. */
        bool csum = (key.dl_type == htons(ETH_TYPE_IP) && (i == l3 + 10))
                    || (packet->l4_ofs != UINT16_MAX
                        && i == l4 + (key.nw_proto == IPPROTO_TCP ? 16
                                      : key.nw_proto == IPPROTO_UDP ? 6 : 2));

        if (csum && i + 1 < expected_len
            && (expected[i] ^ result[i]) == 0xff
            && (expected[i + 1] ^ result[i + 1]) == 0xff) {
            i++;
        } else {
            ok = expected[i] == result[i];
        }
    }
    n_rewritten += rewrite_len != 0;
    if (!ok) {
        printf("the program returned %d\n", retval);
        dump("frame", frame, len);
        dump("expected", expected, expected_len);
        dump("result", result, result_len);
        dump_flow("flow", flow);
    }
    dp_packet_delete(packet);
    return ok;
}

/* Fills in 'frame' with a random one or one that a flow was made for, changed
 * or not. */
static size_t
choose_frame(uint8_t *frame)
{
    int i = random_range(N_FLOWS);

    if (!random_range(3)) {
        return random_frame(frame);
    }
    memcpy(frame, origins[i].frame, origins[i].len);
    for (int n = random_range(3); n > 0; n--) {
        frame[random_range(MIN(origins[i].len, 60))] ^= random_uint32();
    }
    return origins[i].len;
}

static bool
check_frame(const uint8_t *frame, size_t len)
{
    uint8_t result[2 * RANDOM_FRAME_MAX];
    uint32_t result_len = sizeof result;
    const struct megaflow *hit, *f, *expected = NULL;
    unsigned int n_matches = 0;
    struct dp_packet packet;
    struct flow flow;

    extract(frame, len, &packet, &flow);
    CMAP_FOR_EACH (f, ufid_node, &dp.flows.by_ufid) {
        struct match match;

        megaflow_get_match(f, &match);
        if (flow_equal_except(&flow, &match.flow, &match.wc)) {
            n_matches++;
            expected = f;
        }
    }

    int retval = run_program(frame, len, result, &result_len, &hit);
    if (retval < 0) {
        return true;
    }
    if (n_matches > 1) {
        /* libofproto's flows don't overlap. */
        n_ambiguous++;
        return true;
    }
    if (!hit) {
        n_misses++;
        if (expected && kernel_flow_exists(expected)) {
            /* Only headers that the programs don't follow may be why. */
            if (packet.l4_ofs != UINT16_MAX && packet.l4_ofs <= 54 + 8
                && len <= 100) {
                printf("the program missed a flow\n");
                dump("frame", frame, len);
                dump_flow("flow", expected);
                return false;
            }
        } else if (expected) {
            n_inexpressible++;
        }
        return true;
    }
    n_hits++;
    if (hit != expected) {
        printf("the program hit a wrong flow\n");
        dump("frame", frame, len);
        dump_flow("hit", hit);
        if (expected) {
            dump_flow("expected", expected);
        }
        return false;
    }

    struct flow_key key;
    unsigned int blocks = flow_key_from_flow(&key, &flow);
    if (megaflow_lookup(&dp.flows, &key, &blocks) != hit) {
        printf("the user engine finds another flow\n");
        dump("frame", frame, len);
        return false;
    }
    return check_result(frame, len, hit, retval, result, result_len);
}

int
main(int argc, char *argv[])
{
    unsigned int rounds = argc > 1 ? atoi(argv[1]) : 20;
    unsigned int seed = argc > 2 ? atoi(argv[2]) : 1;

    set_program_name(argv[0]);
    random_set_seed(seed);
    odp_execute_init();
    kernel_engine_init(".");
    if (!kernel_engine_load()) {
        printf("no kernel engine: %s\n", kernel_engine_problem());
        return 77;
    }
    datapath_init_for_test();

    bool ok = true;
    for (unsigned int i = 0; i < rounds && ok; i++) {
        flow_vlan_limit = random_range(FLOW_MAX_VLAN_HEADERS + 1);
        kernel_engine.ports[IN_PORT].vlan_limit = flow_vlan_limit;
        for (int j = 0; j < N_FLOWS; j++) {
            add_flow(j);
        }
        for (int j = 0; j < N_FRAMES && ok; j++) {
            uint8_t frame[RANDOM_FRAME_MAX];
            size_t len = choose_frame(frame);

            ok = check_frame(frame, len);
            if (j % 32 == 31) {
                change_flows();
            }
        }
        remove_flows();
        if (!ok) {
            printf("round %u of seed %u failed\n", i, seed);
        }
    }
    if (ok) {
        printf("ok: %u hits, %u of them rewritten, %u misses, %u of them of "
               "flows that the programs can't express, %u ambiguous\n",
               n_hits, n_rewritten, n_misses, n_inexpressible, n_ambiguous);
    }
    uint32_t ifindex = LO_IFINDEX;
    bpf_map_delete_elem(kernel_engine.devices_fd, &ifindex);
    kernel_engine_exit();
    return !ok;
}
