/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/* The kernel engine's programs: see kernel.h for how they fit together.
 *
 * A packet's way:
 *
 *   sluice_filter   the filter of a port's packet socket, which the kernel asks
 *                   first: classifies, and keeps from the daemon what the
 *                   kernel forwards itself
 *   sluice_ingress  traffic control, next, on the same packet: acts, or keeps
 *                   the host's stack off
 *   sluice_egress   traffic control of a tap, on what the host sends to it:
 *                   both in one
 *
 * What comes out of a tunnel passes sluice_ingress alone: the tunnel's device
 * has no packet socket, which wouldn't see what the tunnel's header said.
 *
 * What the first finds out for the second lies in a per-CPU scratch area: both
 * run in the same softirq.  When nobody holds the socket (the daemon is away)
 * the first doesn't run, and the second classifies by itself.
 *
 * Functions that aren't static are verified once, by themselves. */
#include <linux/bpf.h>
#include <linux/pkt_cls.h>
#include <stdbool.h>
#include <stddef.h>

#include <bpf/bpf_helpers.h>

#include "datapath/kernel/maps.h"

/* Makes the compiler forget what it knows of variable X, so that it doesn't
 * leave out a check that the verifier, which knows less, wants to see. */
#define KEEP_FROM_COMPILER(X) asm volatile("" : "+r"(X))

#define FLOW_TNL_F_KEY (1 << 3)  /* libopenvswitch's. */

#define ETH_P_IP 0x0800
#define ETH_P_IPV6 0x86dd

char LICENSE[] SEC("license") = "GPL";

/* --- Maps -------------------------------------------------------------------
 *
 * Sizes that depend on the machine or the configuration are set before they
 * are loaded. */

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(map_flags, BPF_F_MMAPABLE);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, struct kernel_flow);
} flows SEC(".maps");

/* The kernel uses an element again at once, so what it says is checked with
 * the flow. */
struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, 1);
    __type(key, __u64);
    __type(value, __u32);
} by_hash SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(map_flags, BPF_F_MMAPABLE);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, struct kernel_stats);
} stats SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(map_flags, BPF_F_MMAPABLE);
    __uint(max_entries, KERNEL_MAX_MASKS);
    __type(key, __u32);
    __type(value, struct kernel_mask);
} masks SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, KERNEL_MAX_PORTS);
    __type(key, __u32);
    __type(value, struct kernel_device);
} devices SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(map_flags, BPF_F_MMAPABLE);
    __uint(max_entries, KERNEL_MAX_PORTS);
    __type(key, __u32);
    __type(value, struct kernel_port);
} ports SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(map_flags, BPF_F_MMAPABLE);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, struct kernel_counters);
} counters SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(map_flags, BPF_F_MMAPABLE);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, struct kernel_drop_record);
} drops SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, __u32);
} drop_next SEC(".maps");

/* The cache of a CPU: which flow a flow key, known by the hash of all of it,
 * hit last.  A flow is checked against the packet anyway, so entries may be
 * stale. */
struct microflow {
    __u64 hash;
    __u32 flow;
    __u32 pad;
};

struct {
    __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
    __uint(max_entries, KERNEL_MICROFLOWS);
    __type(key, __u32);
    __type(value, struct microflow);
} microflows SEC(".maps");

enum verdict {
    NONE,                           /* Nobody has looked. */
    MISS,
    HIT,
    DROP,                           /* Hit, but draining. */
};

#define NO_FLOW 0xffffffff

/* What is known of the packet at hand. */
struct scratch {
    union {
        struct flow_key key;
        __u64 words[FLOW_KEY_WORDS];
    };
    struct flow_parse parse;
    __u32 verdict;
    __u32 ifindex;                  /* Of the packet that it is about. */
    struct kernel_device device;
    __u32 flow;                     /* Number of the flow, NO_FLOW if none... */
    __u32 via;                      /* ...and of the one that said to look up
                                     * again. */
    __u32 pad;
    __u32 len;                      /* With a tag that the kernel took out. */
    __s32 shift;                    /* Of the frame's headers by VLAN tags. */
    __u32 tunnel;                   /* The key's block 2 is filled in.  Nobody
                                     * looks at it but for tunnel devices. */
    __u8 head[KERNEL_HEAD + 64];    /* Offsets may be checked generously. */
};

/* Sending may lead to another device of ours, and so to another program that
 * runs on the same CPU before this one ends. */
struct {
    __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
    __uint(max_entries, KERNEL_NEST);
    __type(key, __u32);
    __type(value, struct scratch);
} scratches SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, __u32);
} nesting SEC(".maps");

/* Number of flows, set before loading. */
const volatile __u32 n_flows = 1;

static __always_inline struct scratch *
get_scratch(void)
{
    __u32 zero = 0;
    __u32 *depth = bpf_map_lookup_elem(&nesting, &zero);

    return depth ? bpf_map_lookup_elem(&scratches, depth) : NULL;
}

static __always_inline struct kernel_counters *
get_counters(__u32 port)
{
    __u32 i = bpf_get_smp_processor_id() * KERNEL_MAX_PORTS + port;

    return bpf_map_lookup_elem(&counters, &i);
}

/* Counts, for 'port', that the packet is dropped for 'reason', and keeps its
 * headers. */
int
drop(__u32 port, __u32 reason)
{
    struct scratch *s = get_scratch();
    struct kernel_counters *c = get_counters(port);
    __u32 zero = 0;
    __u32 *next = bpf_map_lookup_elem(&drop_next, &zero);

    if (!s || !c || !next || reason >= KERNEL_N_DROPS) {
        return 0;
    }
    c->drops[reason]++;

    __u32 i = bpf_get_smp_processor_id() * KERNEL_DROP_RING
              + (*next)++ % KERNEL_DROP_RING;
    struct kernel_drop_record *r = bpf_map_lookup_elem(&drops, &i);
    if (r) {
        r->when = bpf_ktime_get_ns();
        r->port = port;
        r->reason = reason;
        r->len = s->len;
        __builtin_memcpy(r->header, s->head, sizeof r->header);
    }
    return 0;
}

/* --- Parsing ----------------------------------------------------------------*/

/* Fills in what the header of the tunnel said that the packet came out of, if
 * it did and the key has a place for that. */
static __always_inline void
parse_tunnel(struct __sk_buff *skb, struct scratch *s)
{
    struct bpf_tunnel_key tunnel = { .tunnel_id = 0 };

    s->tunnel = !bpf_skb_get_tunnel_key(skb, &tunnel, sizeof tunnel, 0);
    s->key.tun_id = (__u64) __builtin_bswap32(tunnel.tunnel_id) << 32;
    s->key.tun_src = __builtin_bswap32(tunnel.remote_ipv4);
    s->key.tun_dst = __builtin_bswap32(tunnel.local_ipv4);
    s->key.tun_flags = FLOW_TNL_F_KEY;
    s->key.tun_tos = tunnel.tunnel_tos;
    s->key.tun_ttl = tunnel.tunnel_ttl;
}

/* Parses the packet's headers.  Returns 0 if they are beyond this parser. */
int
parse(struct __sk_buff *skb)
{
    struct scratch *s = get_scratch();
    if (!s) {
        return 0;
    }
    struct kernel_port *port = bpf_map_lookup_elem(&ports, &s->device.port);
    if (!port) {
        return 0;
    }

    __u32 len = skb->len;
    __u64 n = len < KERNEL_HEAD - 4 ? len : KERNEL_HEAD - 4;

    KEEP_FROM_COMPILER(n);
    if (n < 14 || n > KERNEL_HEAD - 4) {
        return 0;
    }
    if (skb->vlan_present) {
        /* The outermost tag, back where it was in the frame. */
        __be16 tag[2] = {
            skb->vlan_proto, __builtin_bswap16(skb->vlan_tci)
        };

        n -= 12;
        KEEP_FROM_COMPILER(n);
        if (n < 1 || n > KERNEL_HEAD - 16
            || bpf_skb_load_bytes(skb, 0, s->head, 12)
            || bpf_skb_load_bytes(skb, 12, s->head + 16, n)) {
            return 0;
        }
        __builtin_memcpy(s->head + 12, tag, 4);
        len += 4;
    } else if (bpf_skb_load_bytes(skb, 0, s->head, n)) {
        return 0;
    }
    for (int i = 0; i < 16; i++) {
        s->words[i] = 0;
    }
    s->len = len;
    s->key.in_port = s->ifindex;
    s->parse.blocks = FLOW_KEY_L2_L4;
    s->parse.vlan_limit = port->vlan_limit;
    if (s->device.lift) {
        if (!s->tunnel) {
            return 0;
        }
        s->parse.blocks |= FLOW_KEY_TUNNEL;
    }
    return flow_key_parse(s->head, KERNEL_HEAD - 4, len, &s->key, &s->parse);
}

/* --- Looking up -------------------------------------------------------------*/

/* Other than 0 if the block that begins at word 'first' doesn't match. */
static __always_inline __u64
block_differs(const struct kernel_flow *flow, const struct scratch *s,
              int first)
{
    __u64 diff = 0;

#pragma GCC unroll 8
    for (int i = first; i < first + 8; i++) {
        diff |= (s->words[i] & flow->mask[i]) ^ flow->key[i];
    }
    return diff;
}

static __always_inline bool
flow_matches(const struct kernel_flow *flow, const struct scratch *s)
{
    return !block_differs(flow, s, 0)
           && (!(flow->blocks & FLOW_KEY_WIDE_L3)
               || !block_differs(flow, s, 8))
           && (!(flow->blocks & FLOW_KEY_TUNNEL)
               || !block_differs(flow, s, 16));
}

/* Hash of the whole flow key, but for what changes with every packet. */
static __always_inline __u64
microflow_hash(const struct scratch *s)
{
    __u64 a = s->words[0], b = s->words[1];

    a = kernel_hash_step(a, s->words[2], KERNEL_HASH_C1);
    b = kernel_hash_step(b, s->words[3], KERNEL_HASH_C2);
    a = kernel_hash_step(a, s->words[4], KERNEL_HASH_C1);
    b = kernel_hash_step(b, s->words[7], KERNEL_HASH_C2);
    if (s->parse.blocks & FLOW_KEY_WIDE_L3) {
#pragma GCC unroll 4
        for (int i = 8; i < 16; i += 2) {
            a = kernel_hash_step(a, s->words[i], KERNEL_HASH_C1);
            b = kernel_hash_step(b, s->words[i + 1], KERNEL_HASH_C2);
        }
    }
    if (s->parse.blocks & FLOW_KEY_TUNNEL) {
        a = kernel_hash_step(a, s->words[16], KERNEL_HASH_C1);
        b = kernel_hash_step(b, s->words[17], KERNEL_HASH_C2);
        a = kernel_hash_step(a, s->words[18], KERNEL_HASH_C1);
    }
    return kernel_hash_finish(a, b) | 1;
}

/* Finds the packet's flow by masks: returns its number, NO_FLOW if there is
 * none. */
__u32
look_up_masks(__u32 port_index)
{
    struct scratch *s = get_scratch();
    struct kernel_port *port = bpf_map_lookup_elem(&ports, &port_index);

    if (!s || !port) {
        return NO_FLOW;
    }

    __u32 list = port->list & 1;
    __u32 n = port->n_masks[list];
    for (__u32 i = 0; i < KERNEL_PORT_MASKS && i < n; i++) {
        __u32 id = port->masks[list][i];
        struct kernel_mask *mask = bpf_map_lookup_elem(&masks, &id);

        if (!mask) {
            continue;
        }
        __u64 hash = kernel_mask_hash(mask, id, s->words);
        __u32 *number = bpf_map_lookup_elem(&by_hash, &hash);
        if (!number) {
            continue;
        }
        __u32 found = *number;
        struct kernel_flow *flow = bpf_map_lookup_elem(&flows, &found);
        if (flow && flow_matches(flow, s)) {
            mask->hits++;           /* An estimate will do. */
            return found;
        }
    }
    return NO_FLOW;
}

/* Decides whether 'flow' may have the packet. */
static __always_inline enum verdict
admit(struct kernel_flow *flow, const struct scratch *s)
{
    if (flow->plain_ipv6 && s->parse.l4_ofs != s->parse.l3_ofs + 40) {
        return MISS;
    }
    if (flow->state == KERNEL_FLOW_LIVE) {
        return HIT;
    }

    struct kernel_port *port = bpf_map_lookup_elem(&ports, &s->device.port);
    if (!port) {
        return MISS;
    }
    __u64 done = *(volatile __u64 *) &port->done;
    __u64 now = bpf_ktime_get_ns();
    if ((__s64) (done - flow->mark) >= 0
        || (__s64) (now - flow->marked) > (__s64) KERNEL_PENDING_NSEC) {
        flow->state = KERNEL_FLOW_LIVE;
        return HIT;
    }
    if (flow->state == KERNEL_FLOW_DRAINING) {
        return DROP;
    }
    if (now > flow->deadline && port->up - done > KERNEL_BACKLOG) {
        flow->state = KERNEL_FLOW_DRAINING;
        return DROP;
    }
    return MISS;
}

/* libopenvswitch's hash_int(). */
static __always_inline __u32
hash_int(__u32 x, __u32 basis)
{
    x = (x << 13 | x >> 19) * 5 + 0xe6546b64;
    basis *= 0xcc9e2d51;
    x ^= (basis << 15 | basis >> 17) * 0x1b873593;
    x = (x << 13 | x >> 19) * 5 + 0xe6546b64;
    x ^= 8;
    x = (x ^ x >> 16) * 0x85ebca6b;
    x = (x ^ x >> 13) * 0xc2b2ae35;
    return x ^ x >> 16;
}

/* Looks the packet, whose flow says so, up again. */
int
recirculate(void)
{
    struct scratch *s = get_scratch();
    if (!s) {
        return MISS;
    }
    struct kernel_flow *flow = bpf_map_lookup_elem(&flows, &s->flow);
    if (!flow) {
        return MISS;
    }
    s->via = s->flow;
    s->key.recirc_id = flow->recirc_id;
    s->key.dp_hash = hash_int(flow_key_hash(&s->key, s->parse.blocks),
                              flow->hash_basis);
    s->flow = look_up_masks(s->device.port);
    flow = bpf_map_lookup_elem(&flows, &s->flow);
    return flow && !flow->recirc_id ? admit(flow, s) : MISS;
}

/* Finds out what is to be done with a packet: fills in the scratch area. */
int
classify(struct __sk_buff *skb)
{
    struct scratch *s = get_scratch();
    if (!s) {
        return MISS;
    }

    __u32 ifindex = skb->ifindex;
    struct kernel_device *device = bpf_map_lookup_elem(&devices, &ifindex);
    s->verdict = MISS;
    s->ifindex = ifindex;
    s->flow = s->via = NO_FLOW;
    if (!device) {
        s->device.port = KERNEL_MAX_PORTS; /* None. */
        s->device.pass = 0;
        s->device.lift = 0;
        return MISS;
    }
    s->device = *device;
    if (!parse(skb)) {
        return MISS;
    }

    __u64 hash = microflow_hash(s);
    __u32 i = (hash >> 1) % KERNEL_MICROFLOWS;
    struct microflow *microflow = bpf_map_lookup_elem(&microflows, &i);
    struct kernel_flow *flow = NULL;

    if (microflow && microflow->hash == hash) {
        s->flow = microflow->flow;
        flow = bpf_map_lookup_elem(&flows, &s->flow);
        if (flow && !flow_matches(flow, s)) {
            flow = NULL;
        }
    }
    if (!flow) {
        s->flow = look_up_masks(device->port);
        flow = bpf_map_lookup_elem(&flows, &s->flow);
        if (!flow) {
            return MISS;
        }
        if (microflow) {
            microflow->hash = hash;
            microflow->flow = s->flow;
        }
    }
    s->verdict = admit(flow, s);
    if (s->verdict == HIT && flow->recirc_id) {
        s->verdict = recirculate();
    }
    return s->verdict;
}

/* Operation 'i' of the packet's flow. */
static __always_inline const struct kernel_op *
get_op(const struct scratch *s, __u32 i)
{
    const struct kernel_flow *flow = bpf_map_lookup_elem(&flows, &s->flow);

    return flow && i < KERNEL_MAX_OPS ? &flow->ops[i] : NULL;
}

#include "datapath/kernel/rewrite.bpf.h"

/* --- Sending ----------------------------------------------------------------*/

/* Does output 'i'.  Returns the program's result if it was the last one. */
int
output(struct __sk_buff *skb, __u32 i)
{
    struct scratch *s = get_scratch();
    __u32 zero = 0;

    const struct kernel_op *op = s ? get_op(s, i) : NULL;
    if (!op) {
        return TC_ACT_SHOT;
    }
    struct kernel_counters *c = get_counters(op->output.port);
    if (!c) {
        return TC_ACT_SHOT;
    }

    /* A frame of an Ethernet header and 68 bytes fits anywhere. */
    __u32 len = skb->len, mtu = 0;
    if (len > 82
        && bpf_check_mtu(skb, op->output.ifindex, &mtu, 0, 0) > 0) {
        drop(op->output.port, KERNEL_DROP_TOO_LONG);
        return TC_ACT_SHOT;
    }
    c->tx_packets++;
    c->tx_bytes += len + (skb->vlan_present ? 4 : 0);

    __u64 flags = op->output.ingress ? BPF_F_INGRESS : 0;
    if (op->last) {
        return bpf_redirect(op->output.ifindex, flags);
    }
    __u32 *depth = bpf_map_lookup_elem(&nesting, &zero);
    if (!depth || *depth >= KERNEL_NEST - 1) {
        drop(op->output.port, KERNEL_DROP_SEND_ERROR);
        return TC_ACT_SHOT;
    }
    ++*depth;
    int error = bpf_clone_redirect(skb, op->output.ifindex, flags);
    --*depth;
    if (error) {
        /* Positive: the host refuses it.  -ENETDOWN is the usual else. */
        drop(op->output.port, error > 0 || error == -100
                              ? KERNEL_DROP_NOT_RUNNING
                              : KERNEL_DROP_SEND_ERROR);
    }
    return TC_ACT_SHOT;
}

static __always_inline void
count_flow(const struct scratch *s, __u32 flow)
{
    __u32 i = bpf_get_smp_processor_id() * n_flows + flow;
    struct kernel_stats *st = bpf_map_lookup_elem(&stats, &i);

    if (st) {
        st->n_packets++;
        st->n_bytes += s->len;
        st->used = bpf_ktime_get_ns() / 1000000;
        st->tcp_flags |= __builtin_bswap16(s->key.tcp_flags);
    }
}

/* Counts the packet for its port and its flows. */
static __always_inline void
count(const struct scratch *s)
{
    struct kernel_counters *c = get_counters(s->device.port);

    count_flow(s, s->flow);
    if (s->via != NO_FLOW) {
        count_flow(s, s->via);
    }
    if (c) {
        c->rx_packets++;
        c->rx_bytes += s->len;
    }
}

/* Notes that the packet goes to the daemon. */
static __always_inline void
pass_up(const struct scratch *s)
{
    struct kernel_port *port = bpf_map_lookup_elem(&ports, &s->device.port);

    if (port) {
        __u64 up = __sync_fetch_and_add(&port->up, 1) + 1;

        struct kernel_flow *flow = bpf_map_lookup_elem(&flows, &s->flow);
        if (flow) {
            flow->mark = up;
            flow->marked = bpf_ktime_get_ns();
        }
    }
}

static __always_inline int
act(struct __sk_buff *skb, struct scratch *s)
{
    struct kernel_flow *flow = bpf_map_lookup_elem(&flows, &s->flow);
    if (!flow) {
        return TC_ACT_SHOT;
    }
    __u32 n = flow->n_ops;

    count(s);
    if (!n) {
        drop(s->device.port, KERNEL_DROP_ACTION);
        return TC_ACT_SHOT;
    }
    /* As if it came from the daemon. */
    skb->mark = 0;
    skb->priority = 0;
    s->shift = 0;
    for (__u32 i = 0; i < KERNEL_MAX_OPS && i < n; i++) {
        if (flow->ops[i].type == KERNEL_OUTPUT) {
            int result = output(skb, i);

            if (flow->ops[i].last) {
                return result;
            }
        } else {
            rewrite(skb, i);
        }
    }
    return TC_ACT_SHOT;
}

/* Sends the packet, which came out of a tunnel, to the daemon, with what the
 * tunnel's header said. */
int
lift(struct __sk_buff *skb)
{
    struct scratch *s = get_scratch();
    struct bpf_tunnel_key tunnel = { .tunnel_id = 0 };
    struct kernel_shim shim = {
        .magic = KERNEL_SHIM_MAGIC, .tagged = skb->vlan_present
    };

    if (!s) {
        return TC_ACT_SHOT;
    }
    if (!bpf_skb_get_tunnel_key(skb, &tunnel, sizeof tunnel, 0)) {
        shim.ipv4.src = __builtin_bswap32(tunnel.remote_ipv4);
        shim.ipv4.dst = __builtin_bswap32(tunnel.local_ipv4);
    } else if (!bpf_skb_get_tunnel_key(skb, &tunnel, sizeof tunnel,
                                       BPF_F_TUNINFO_IPV6)) {
        shim.ipv6 = 1;
        __builtin_memcpy(shim.ipv6_addrs.src, tunnel.remote_ipv6, 16);
        __builtin_memcpy(shim.ipv6_addrs.dst, tunnel.local_ipv6, 16);
    } else {
        return TC_ACT_SHOT;
    }
    shim.tun_id = tunnel.tunnel_id;
    shim.tos = tunnel.tunnel_tos;
    shim.ttl = tunnel.tunnel_ttl;
    if (bpf_skb_change_head(skb, sizeof shim, 0)
        || bpf_skb_store_bytes(skb, 0, &shim, sizeof shim, 0)) {
        return TC_ACT_SHOT;
    }
    return bpf_redirect(s->device.lift, 0);
}

static __always_inline int
finish(struct __sk_buff *skb, struct scratch *s)
{
    __u32 verdict = s->verdict;

    s->verdict = NONE;
    switch (verdict) {
    case HIT:
        return act(skb, s);
    case DROP:
        drop(s->device.port, KERNEL_DROP_RX_QUEUE);
        return TC_ACT_SHOT;
    default:
        pass_up(s);
        return s->device.lift ? lift(skb)
               : s->device.pass ? TC_ACT_UNSPEC : TC_ACT_SHOT;
    }
}

/* --- Programs ---------------------------------------------------------------*/

/* The number of bytes that the daemon gets of a packet that is forwarded here:
 * none, but for the connection tracker now and then its beginning, which is
 * never all of it. */
static __always_inline __u32
copy_len(const struct __sk_buff *skb)
{
    const struct scratch *s = get_scratch();
    struct kernel_flow *flow = s ? bpf_map_lookup_elem(&flows, &s->flow)
                                 : NULL;

    if (!flow || !flow->refresh || s->verdict != HIT) {
        return 0;
    }
    __u64 now = bpf_ktime_get_ns();
    if (now < flow->refresh) {
        return 0;
    }
    flow->refresh = now + KERNEL_REFRESH_NSEC;
    return skb->len > KERNEL_HEAD ? KERNEL_HEAD : skb->len - 1;
}

SEC("socket")
int
sluice_filter(struct __sk_buff *skb)
{
    return classify(skb) == MISS ? -1 : copy_len(skb);
}

SEC("tc")
int
sluice_ingress(struct __sk_buff *skb)
{
    struct scratch *s = get_scratch();

    if (!s) {
        return TC_ACT_SHOT;
    }
    if (s->verdict == NONE || s->ifindex != skb->ifindex) {
        parse_tunnel(skb, s);
        classify(skb);
    }
    return finish(skb, s);
}

SEC("tc")
int
sluice_egress(struct __sk_buff *skb)
{
    struct scratch *s = get_scratch();

    if (!s) {
        return TC_ACT_UNSPEC;
    }
    classify(skb);
    return finish(skb, s);
}
