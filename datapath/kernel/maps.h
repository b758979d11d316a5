/* What the kernel engine's BPF programs and the daemon share: the contents of
 * the maps.  Plain C for gcc and `clang -target bpf`, as flow-key.h is.
 *
 * Whatever the daemon changes while programs read is a single aligned word, or
 * nothing that a program can still be reading: a flow's element is used again
 * only a while after the flow has gone. */
#ifndef DATAPATH_KERNEL_MAPS_H
#define DATAPATH_KERNEL_MAPS_H 1

#include "datapath/flow-key.h"

#define KERNEL_LAYOUT 3             /* Of the layout: pinned maps that have
                                     * another are not taken over. */
#define KERNEL_MAX_OPS 16           /* Operations of a flow. */
#define KERNEL_MAX_PORTS 4096
#define KERNEL_MAX_MASKS 1024
#define KERNEL_PORT_MASKS 32        /* Masks tried for a packet of a port. */
#define KERNEL_MICROFLOWS 8192      /* Entries of a CPU's cache. */
#define KERNEL_HEAD 128             /* Bytes of a frame that are parsed. */
#define KERNEL_DROP_RING 32         /* Dropped packets that a CPU keeps... */
#define KERNEL_DROP_HEADER 64       /* ...and their bytes. */
#define KERNEL_NEST 4               /* Programs that run on a CPU, nested. */

/* Flow keys are as in the daemon, except that 'in_port' is an interface index,
 * which remains the same from one daemon to the next. */
#define KERNEL_WORDS FLOW_KEY_WORDS

/* --- Flows ------------------------------------------------------------------*/

enum kernel_op_type {
    KERNEL_OUTPUT,
    KERNEL_PUSH_VLAN,
    KERNEL_POP_VLAN,
    KERNEL_SET_ETH,
    KERNEL_SET_IPV4,
    KERNEL_SET_IPV6_SRC,
    KERNEL_SET_IPV6_DST,
    KERNEL_SET_IPV6,
    KERNEL_SET_PORTS,
    KERNEL_SET_TUNNEL,
};

/* Bits of kernel_op's tunnel.flags. */
#define KERNEL_TUNNEL_CSUM 1
#define KERNEL_TUNNEL_DONT_FRAGMENT 2

/* One operation.  Values have bits only where their masks have. */
struct kernel_op {
    __u32 type;                     /* enum kernel_op_type. */
    __u32 last;                     /* Nothing comes after this output. */
    union {
        struct {
            __u32 ifindex;
            __u32 ingress;          /* Into the host, as if received there. */
            __u32 port;             /* Index in kernel_ports. */
        } output;
        struct {
            __be16 tpid;
            __be16 tci;
        } vlan;
        struct {
            __u8 value[12], mask[12];   /* As in a frame. */
        } eth;
        struct {
            __be32 src, src_mask, dst, dst_mask;
            __u8 tos, tos_mask, ttl, ttl_mask;
        } ipv4;
        struct {
            __be32 value[4], mask[4];
        } ipv6_addr;
        struct {
            __be32 label, label_mask;
            __u8 tclass, tclass_mask, hlimit, hlimit_mask;
        } ipv6;
        struct {
            __be16 src, src_mask, dst, dst_mask;
            __u32 nw_proto;
        } ports;
        struct {
            __u32 id;               /* These three in host byte order, as the
                                     * kernel's helpers want them. */
            __u32 src, dst;
            __u8 tos, ttl;
            __u16 flags;            /* KERNEL_TUNNEL_*. */
        } tunnel;
        __u64 words[4];
    };
};

/* How far the entry of a flow has come.  Packets of the flow that missed
 * before it was there may still be on their way through the daemon: until
 * they have left, others must not overtake them.
 *
 * Packets that went up this long ago have left, whatever the daemon says: it
 * may have emptied its socket before the last of them was counted, and then
 * gone to sleep.  And this long after its installation, a flow whose packets
 * still wait behind KERNEL_BACKLOG others is one of a device that brings more
 * than the daemon can take. */
#define KERNEL_PENDING_NSEC (100 * 1000 * 1000ULL)
#define KERNEL_BACKLOG 256

/* How often the connection tracker sees a packet of a connection that is
 * forwarded in the kernel. */
#define KERNEL_REFRESH_NSEC (2 * 1000 * 1000 * 1000ULL)

enum kernel_flow_state {
    KERNEL_FLOW_PENDING,            /* Packets go to the daemon. */
    KERNEL_FLOW_DRAINING,           /* Packets are dropped: the daemon is too
                                     * slow for them as it is. */
    KERNEL_FLOW_LIVE,
};

/* A flow: an element of "flows".  The hash map "by_hash" has its number by the
 * hash of the masked flow key. */
struct kernel_flow {
    __u64 key[KERNEL_WORDS];        /* Masked.  The first word, with in_port,
                                     * is 0 unless all is filled in. */
    __u64 mask[KERNEL_WORDS];
    __u32 blocks;                   /* FLOW_KEY_* bits that 'mask' has. */
    __u32 state;                    /* enum kernel_flow_state.  Programs
                                     * write it, too. */
    __u32 n_ops;                    /* 0: drop, unless... */
    __u32 recirc_id;                /* ...this isn't 0: the packet is looked up
                                     * again with it, and with its hash... */
    __u32 hash_basis;               /* ...mixed with this as its dp_hash. */
    __u32 pad;
    __u32 plain_ipv6;               /* Not for packets with IPv6 extension
                                     * headers. */
    __u64 mark;                     /* 'up' when a packet of it went to the
                                     * daemon last... */
    __u64 marked;                   /* ...and when that was, bpf_ktime. */
    __u64 deadline;                 /* Pending until then, bpf_ktime. */
    __u64 refresh;                  /* When the daemon wants a copy of a
                                     * packet next, bpf_ktime; 0: never.
                                     * Programs write it, too. */
    struct kernel_op ops[KERNEL_MAX_OPS];
};

/* Statistics of a flow on one CPU: element cpu * (number of flows) + flow of
 * "stats". */
struct kernel_stats {
    __u64 n_packets;
    __u64 n_bytes;
    __u64 used;                     /* CLOCK_MONOTONIC, ms. */
    __u64 tcp_flags;
};

/* A mask: an element of "masks". */
struct kernel_mask {
    __u64 words[KERNEL_WORDS];
    __u32 blocks;
    __u32 hits;                     /* Since the order was last looked at. */
};

/* --- Ports ------------------------------------------------------------------*/

/* What a device is: an element of "devices", by interface index. */
struct kernel_device {
    __u32 port;                     /* Index in "ports" and "counters". */
    __u32 pass;                     /* A miss goes on to the device's own
                                     * queue, as a tap's: else the daemon has
                                     * a copy and the host gets none. */
    __u32 lift;                     /* A tunnel device: misses go to the device
                                     * with this interface index, behind a
                                     * struct kernel_shim.  Else 0. */
};

/* What stands before a packet from a tunnel device that goes to the daemon.
 * The kernel puts a VLAN tag that it has taken out of the packet behind the
 * first 12 bytes. */
struct kernel_shim {
    __u32 magic;                    /* KERNEL_SHIM_MAGIC. */
    __u32 tun_id;
    __u8 ipv6;                      /* The outer packet's version... */
    __u8 tos, ttl;
    __u8 tagged;                    /* Such a tag is there. */
    union {                         /* ...and addresses. */
        struct { __be32 src, dst; } ipv4;
        struct { __be32 src[4], dst[4]; } ipv6_addrs;
    };
};
#define KERNEL_SHIM_MAGIC 0xf510ce01 /* No frame that the host might send
                                      * there begins so. */

/* Element of "ports". */
struct kernel_port {
    __u64 up;                       /* Packets passed to the daemon. */
    __u64 done;                     /* 'up' when the daemon had dealt with all
                                     * of them.  The daemon writes it. */
    __u32 vlan_limit;               /* VLAN tags that flows look at.  The
                                     * daemon writes this... */
    __u32 list;                     /* ...and the masks: two lists, one of
                                     * which counts. */
    __u32 n_masks[2];
    __u16 masks[2][KERNEL_PORT_MASKS]; /* In the order in which to try them. */
};

enum kernel_drop {
    KERNEL_DROP_ACTION,
    KERNEL_DROP_TOO_LONG,
    KERNEL_DROP_NOT_RUNNING,
    KERNEL_DROP_SEND_ERROR,
    KERNEL_DROP_RX_QUEUE,
    KERNEL_N_DROPS
};

/* Counters of a port on one CPU: element cpu * KERNEL_MAX_PORTS + port of
 * "counters". */
struct kernel_counters {
    __u64 rx_packets, rx_bytes;
    __u64 tx_packets, tx_bytes;
    __u64 drops[KERNEL_N_DROPS];
};

/* The last packets dropped on a CPU: elements from cpu * KERNEL_DROP_RING on of
 * "drops", of which "drop_next" has the next to use. */
struct kernel_drop_record {
    __u64 when;                     /* CLOCK_MONOTONIC, ns; 0 if unused. */
    __u32 port;
    __u32 reason;                   /* enum kernel_drop. */
    __u32 len;
    __u32 pad;
    __u8 header[KERNEL_DROP_HEADER];
};

/* --- Hashes -----------------------------------------------------------------*/

#define KERNEL_HASH_C1 0x9e3779b97f4a7c15ULL
#define KERNEL_HASH_C2 0xe7037ed1a0b428dbULL

static inline __u64
kernel_hash_step(__u64 hash, __u64 word, __u64 c)
{
    hash = (hash ^ word) * c;
    return hash ^ hash >> 29;
}

static inline __u64
kernel_hash_finish(__u64 a, __u64 b)
{
    a ^= b << 32 | b >> 32;
    a *= KERNEL_HASH_C1;
    return a ^ a >> 32;
}

/* Adds the block of 'key' that begins at word 'first' to hashes '*a' and
 * '*b'. */
static inline void
kernel_hash_block(const struct kernel_mask *mask, const __u64 *key, int first,
                  __u64 *a, __u64 *b)
{
#pragma GCC unroll 4
    for (int i = first; i < first + 8; i += 2) {
        *a = kernel_hash_step(*a, key[i] & mask->words[i], KERNEL_HASH_C1);
        *b = kernel_hash_step(*b, key[i + 1] & mask->words[i + 1],
                              KERNEL_HASH_C2);
    }
}

/* Hash of what mask number 'id' leaves of the flow key 'key'. */
static inline __u64
kernel_mask_hash(const struct kernel_mask *mask, __u32 id, const __u64 *key)
{
    __u64 a = id, b = ~(__u64) id;

    kernel_hash_block(mask, key, 0, &a, &b);
    if (mask->blocks & FLOW_KEY_WIDE_L3) {
        kernel_hash_block(mask, key, 8, &a, &b);
    }
    if (mask->blocks & FLOW_KEY_TUNNEL) {
        kernel_hash_block(mask, key, 16, &a, &b);
    }
    return kernel_hash_finish(a, b);
}

#endif /* maps.h */
