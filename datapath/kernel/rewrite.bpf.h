/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/* What the kernel engine's programs change in a packet.  Part of
 * fastpath.bpf.c.
 *
 * Each function does one operation, number 'i' of the packet's flow.  A
 * header that isn't all there is left alone. */
#ifndef DATAPATH_KERNEL_REWRITE_H
#define DATAPATH_KERNEL_REWRITE_H 1

/* Where byte 'ofs' of the frame as it was parsed is in 'skb' now. */
static __always_inline __u32
skb_ofs(const struct __sk_buff *skb, const struct scratch *s, __u32 ofs)
{
    return (ofs + s->shift - (skb->vlan_present ? 4 : 0)) & 0xffff;
}

int
set_eth(struct __sk_buff *skb, __u32 i)
{
    struct scratch *s = get_scratch();
    __u8 macs[12];

    const struct kernel_op *op = s ? get_op(s, i) : NULL;
    if (!op || bpf_skb_load_bytes(skb, 0, macs, 12)) {
        return 0;
    }
    for (int j = 0; j < 12; j++) {
        macs[j] = (macs[j] & ~op->eth.mask[j]) | op->eth.value[j];
    }
    bpf_skb_store_bytes(skb, 0, macs, 12, BPF_F_RECOMPUTE_CSUM);
    return 0;
}

/* The offset of the transport checksum of the packet, or 0 if it has none that
 * depends on addresses and ports. */
static __always_inline __u32
l4_csum_ofs(const struct __sk_buff *skb, const struct scratch *s,
            __u64 *flags)
{
    if (s->parse.l4_ofs == FLOW_KEY_NO_OFS || s->key.nw_frag & 2) {
        return 0;
    }

    __u32 l4 = skb_ofs(skb, s, s->parse.l4_ofs);
    *flags = 0;
    switch (s->key.nw_proto) {
    case 6:
        return l4 + 16;
    case 17:
        *flags = BPF_F_MARK_MANGLED_0;
        return l4 + 6;
    case 58:
        return l4 + 2;
    default:
        return 0;
    }
}

/* Changes the address at 'ofs' of an IPv4 header. */
static __always_inline void
set_ipv4_addr(struct __sk_buff *skb, struct scratch *s, __u32 l3, __u32 ofs,
              __be32 value, __be32 mask)
{
    __be32 old, new;
    __u64 flags;

    if (!mask || bpf_skb_load_bytes(skb, l3 + ofs, &old, 4)) {
        return;
    }
    new = (old & ~mask) | value;
    if (new == old) {
        return;
    }

    __u32 csum = l4_csum_ofs(skb, s, &flags);
    if (csum && s->key.nw_proto != 58) {
        bpf_l4_csum_replace(skb, csum, old, new,
                            flags | BPF_F_PSEUDO_HDR | 4);
    }
    bpf_l3_csum_replace(skb, l3 + 10, old, new, 4);
    bpf_skb_store_bytes(skb, l3 + ofs, &new, 4, 0);
}

int
set_ipv4(struct __sk_buff *skb, __u32 i)
{
    struct scratch *s = get_scratch();
    struct { __u8 tos_word[2]; } first;
    __u8 ttl_word[2];

    const struct kernel_op *op = s ? get_op(s, i) : NULL;
    if (!op || s->key.dl_type != __builtin_bswap16(ETH_P_IP)) {
        return 0;
    }
    __u32 l3 = skb_ofs(skb, s, s->parse.l3_ofs);

    if (s->len < s->parse.l3_ofs + 20) {
        return 0;
    }
    set_ipv4_addr(skb, s, l3, 12, op->ipv4.src, op->ipv4.src_mask);
    set_ipv4_addr(skb, s, l3, 16, op->ipv4.dst, op->ipv4.dst_mask);

    if (op->ipv4.tos_mask && !bpf_skb_load_bytes(skb, l3, &first, 2)) {
        __be16 old, new;

        __builtin_memcpy(&old, &first, 2);
        first.tos_word[1] = (first.tos_word[1] & ~op->ipv4.tos_mask)
                            | op->ipv4.tos;
        __builtin_memcpy(&new, &first, 2);
        bpf_l3_csum_replace(skb, l3 + 10, old, new, 2);
        bpf_skb_store_bytes(skb, l3 + 1, &first.tos_word[1], 1, 0);
    }
    if (op->ipv4.ttl_mask && !bpf_skb_load_bytes(skb, l3 + 8, ttl_word, 2)) {
        __be16 old, new;

        __builtin_memcpy(&old, ttl_word, 2);
        ttl_word[0] = (ttl_word[0] & ~op->ipv4.ttl_mask) | op->ipv4.ttl;
        __builtin_memcpy(&new, ttl_word, 2);
        bpf_l3_csum_replace(skb, l3 + 10, old, new, 2);
        bpf_skb_store_bytes(skb, l3 + 8, ttl_word, 1, 0);
    }
    return 0;
}

int
set_ipv6_addr(struct __sk_buff *skb, __u32 i)
{
    struct scratch *s = get_scratch();
    __be32 old[4], new[4];
    __u64 flags;

    const struct kernel_op *op = s ? get_op(s, i) : NULL;
    if (!op || !(s->parse.blocks & FLOW_KEY_WIDE_L3)
        || s->key.dl_type != __builtin_bswap16(ETH_P_IPV6)) {
        return 0;
    }
    __u32 ofs = skb_ofs(skb, s, s->parse.l3_ofs)
                + (op->type == KERNEL_SET_IPV6_SRC ? 8 : 24);

    if (bpf_skb_load_bytes(skb, ofs, old, 16)) {
        return 0;
    }
    for (int j = 0; j < 4; j++) {
        new[j] = (old[j] & ~op->ipv6_addr.mask[j]) | op->ipv6_addr.value[j];
    }
    __u32 csum = l4_csum_ofs(skb, s, &flags);
    if (csum) {
        __s64 diff = bpf_csum_diff(old, 16, new, 16, 0);

        bpf_l4_csum_replace(skb, csum, 0, diff, flags | BPF_F_PSEUDO_HDR);
    }
    bpf_skb_store_bytes(skb, ofs, new, 16, BPF_F_RECOMPUTE_CSUM);
    return 0;
}

int
set_ipv6(struct __sk_buff *skb, __u32 i)
{
    struct scratch *s = get_scratch();
    __u8 nh[8];

    const struct kernel_op *op = s ? get_op(s, i) : NULL;
    if (!op || !(s->parse.blocks & FLOW_KEY_WIDE_L3)
        || s->key.dl_type != __builtin_bswap16(ETH_P_IPV6)) {
        return 0;
    }
    __u32 l3 = skb_ofs(skb, s, s->parse.l3_ofs);

    if (bpf_skb_load_bytes(skb, l3, nh, 8)) {
        return 0;
    }
    __be32 label;
    __u8 tclass = (nh[0] & 15) << 4 | nh[1] >> 4;

    __builtin_memcpy(&label, nh, 4);
    label = (label & ~op->ipv6.label_mask) | op->ipv6.label;
    __builtin_memcpy(nh, &label, 4);
    tclass = (tclass & ~op->ipv6.tclass_mask) | op->ipv6.tclass;
    nh[0] = (nh[0] & 0xf0) | tclass >> 4;
    nh[1] = (nh[1] & 0x0f) | (tclass & 15) << 4;
    nh[7] = (nh[7] & ~op->ipv6.hlimit_mask) | op->ipv6.hlimit;
    bpf_skb_store_bytes(skb, l3, nh, 8, BPF_F_RECOMPUTE_CSUM);
    return 0;
}

int
set_ports(struct __sk_buff *skb, __u32 i)
{
    struct scratch *s = get_scratch();
    __be16 old[2], new[2];
    __u64 flags;

    const struct kernel_op *op = s ? get_op(s, i) : NULL;
    if (!op) {
        return 0;
    }
    if (s->key.nw_proto != op->ports.nw_proto) {
        return 0;
    }
    __u32 csum = l4_csum_ofs(skb, s, &flags);
    if (!csum) {
        return 0;
    }
    __u32 l4 = skb_ofs(skb, s, s->parse.l4_ofs);
    if (bpf_skb_load_bytes(skb, l4, old, 4)) {
        return 0;
    }
    new[0] = (old[0] & ~op->ports.src_mask) | op->ports.src;
    new[1] = (old[1] & ~op->ports.dst_mask) | op->ports.dst;
    if (new[0] != old[0]) {
        bpf_l4_csum_replace(skb, csum, old[0], new[0], flags | 2);
    }
    if (new[1] != old[1]) {
        bpf_l4_csum_replace(skb, csum, old[1], new[1], flags | 2);
    }
    bpf_skb_store_bytes(skb, l4, new, 4, 0);
    return 0;
}

/* Has the packet enter a tunnel if it is output to a tunnel device next. */
int
set_tunnel(struct __sk_buff *skb, __u32 i)
{
    struct scratch *s = get_scratch();

    const struct kernel_op *op = s ? get_op(s, i) : NULL;
    if (!op) {
        return 0;
    }
    struct bpf_tunnel_key tunnel = {
        .tunnel_id = op->tunnel.id,
        .remote_ipv4 = op->tunnel.dst,
        .local_ipv4 = op->tunnel.src,
        .tunnel_tos = op->tunnel.tos,
        .tunnel_ttl = op->tunnel.ttl,
    };
    __u64 flags = 0;

    if (!(op->tunnel.flags & KERNEL_TUNNEL_CSUM)) {
        flags |= BPF_F_ZERO_CSUM_TX;
    }
    if (op->tunnel.flags & KERNEL_TUNNEL_DONT_FRAGMENT) {
        flags |= BPF_F_DONT_FRAGMENT;
    }
    bpf_skb_set_tunnel_key(skb, &tunnel, sizeof tunnel, flags);
    return 0;
}

/* Does operation 'i', which isn't an output. */
int
rewrite(struct __sk_buff *skb, __u32 i)
{
    struct scratch *s = get_scratch();

    const struct kernel_op *op = s ? get_op(s, i) : NULL;
    if (!op) {
        return 0;
    }
    switch (op->type) {
    case KERNEL_PUSH_VLAN:
        if (!bpf_skb_vlan_push(skb, op->vlan.tpid,
                               __builtin_bswap16(op->vlan.tci))) {
            s->shift += 4;
        }
        return 0;
    case KERNEL_POP_VLAN:
        if (!bpf_skb_vlan_pop(skb)) {
            s->shift -= 4;
        }
        return 0;
    case KERNEL_SET_ETH:
        return set_eth(skb, i);
    case KERNEL_SET_IPV4:
        return set_ipv4(skb, i);
    case KERNEL_SET_IPV6_SRC:
    case KERNEL_SET_IPV6_DST:
        return set_ipv6_addr(skb, i);
    case KERNEL_SET_IPV6:
        return set_ipv6(skb, i);
    case KERNEL_SET_PORTS:
        return set_ports(skb, i);
    case KERNEL_SET_TUNNEL:
        return set_tunnel(skb, i);
    default:
        return 0;
    }
}

#endif /* rewrite.bpf.h */
