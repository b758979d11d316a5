/* Actions as operations of the kernel engine's programs: see kernel.h. */
#include <config.h>
#include "datapath/kernel/engine.h"

#include <netinet/in.h>
#include <string.h>

#include "datapath/private.h"
#include "datapath/program.h"
#include "netlink.h"
#include "odp-util.h"
#include "packets.h"
#include "util.h"

static bool
compile_output(struct kernel_compiler *c, const struct program *program,
               odp_port_t number)
{
    const struct port *port = datapath_port(c->dp, number);

    /* What a generic program sends to a port that cares about addresses is
     * looked at packet by packet: see addresses.h. */
    if (!port || !port->kernel || (port->kernel->lift && !c->tunnel)
        || (program->generic
            && (ovsrcu_get(struct uplink *, &port->uplink)
                || ovsrcu_get(struct rx_filter *, &port->rx_filter)))) {
        return false;
    }
    struct kernel_op *op = c->op++;
    op->type = KERNEL_OUTPUT;
    op->output.ifindex = port->kernel->ifindex;
    op->output.ingress = port->kernel->tap;
    op->output.port = port->kernel->index;
    c->outputs |= UINT64_C(1) << port->kernel->index % 64;
    c->end = c->op;
    return true;
}

static void
compile_eth(const struct ovs_key_ethernet *key,
            const struct ovs_key_ethernet *mask, struct kernel_op *op)
{
    op->type = KERNEL_SET_ETH;
    memcpy(op->eth.mask, &mask->eth_dst, 6);
    memcpy(op->eth.mask + 6, &mask->eth_src, 6);
    memcpy(op->eth.value, &key->eth_dst, 6);
    memcpy(op->eth.value + 6, &key->eth_src, 6);
    for (int i = 0; i < 12; i++) {
        op->eth.value[i] &= op->eth.mask[i];
    }
}

static void
compile_ipv4(const struct ovs_key_ipv4 *key, const struct ovs_key_ipv4 *mask,
             struct kernel_op *op)
{
    op->type = KERNEL_SET_IPV4;
    op->ipv4.src = key->ipv4_src & mask->ipv4_src;
    op->ipv4.src_mask = mask->ipv4_src;
    op->ipv4.dst = key->ipv4_dst & mask->ipv4_dst;
    op->ipv4.dst_mask = mask->ipv4_dst;
    op->ipv4.tos = key->ipv4_tos & mask->ipv4_tos;
    op->ipv4.tos_mask = mask->ipv4_tos;
    op->ipv4.ttl = key->ipv4_ttl & mask->ipv4_ttl;
    op->ipv4.ttl_mask = mask->ipv4_ttl;
}

static void
compile_ipv6_addr(const void *key_, const void *mask_,
                  enum kernel_op_type type, struct kernel_op **op)
{
    const ovs_be32 *key = key_, *mask = mask_;

    if (is_all_zeros(mask, 16)) {
        return;
    }
    (*op)->type = type;
    for (int i = 0; i < 4; i++) {
        (*op)->ipv6_addr.value[i] = key[i] & mask[i];
        (*op)->ipv6_addr.mask[i] = mask[i];
    }
    ++*op;
}

/* Takes up to three operations. */
static void
compile_ipv6(const struct ovs_key_ipv6 *key, const struct ovs_key_ipv6 *mask,
             struct kernel_op **op)
{
    compile_ipv6_addr(&key->ipv6_src, &mask->ipv6_src, KERNEL_SET_IPV6_SRC,
                      op);
    compile_ipv6_addr(&key->ipv6_dst, &mask->ipv6_dst, KERNEL_SET_IPV6_DST,
                      op);
    if (mask->ipv6_label || mask->ipv6_tclass || mask->ipv6_hlimit) {
        (*op)->type = KERNEL_SET_IPV6;
        (*op)->ipv6.label = key->ipv6_label & mask->ipv6_label;
        (*op)->ipv6.label_mask = mask->ipv6_label;
        (*op)->ipv6.tclass = key->ipv6_tclass & mask->ipv6_tclass;
        (*op)->ipv6.tclass_mask = mask->ipv6_tclass;
        (*op)->ipv6.hlimit = key->ipv6_hlimit & mask->ipv6_hlimit;
        (*op)->ipv6.hlimit_mask = mask->ipv6_hlimit;
        ++*op;
    }
}

/* struct ovs_key_udp is like struct ovs_key_tcp. */
static void
compile_ports(const struct ovs_key_tcp *key, const struct ovs_key_tcp *mask,
              uint8_t nw_proto, struct kernel_op *op)
{
    op->type = KERNEL_SET_PORTS;
    op->ports.src = key->tcp_src & mask->tcp_src;
    op->ports.src_mask = mask->tcp_src;
    op->ports.dst = key->tcp_dst & mask->tcp_dst;
    op->ports.dst_mask = mask->tcp_dst;
    op->ports.nw_proto = nw_proto;
}

/* The kernel's helpers take 32 bits of tunnel key and no options, and we have
 * no room for the addresses of IPv6. */
static bool
compile_tunnel(const struct nlattr *a, struct kernel_compiler *c)
{
    const uint16_t flags = FLOW_TNL_F_KEY | FLOW_TNL_F_CSUM
                           | FLOW_TNL_F_DONT_FRAGMENT;
    struct flow_tnl key;

    memset(&key, 0, sizeof key);
    if (odp_tun_key_from_attr(a, &key, NULL) == ODP_FIT_ERROR
        || !key.ip_dst || key.flags & ~flags || key.gbp_id || key.gbp_flags
        || ntohll(key.tun_id) > UINT32_MAX) {
        return false;
    }
    struct kernel_op *op = c->op++;
    op->type = KERNEL_SET_TUNNEL;
    op->tunnel.id = ntohll(key.tun_id);
    op->tunnel.src = ntohl(key.ip_src);
    op->tunnel.dst = ntohl(key.ip_dst);
    op->tunnel.tos = key.ip_tos;
    op->tunnel.ttl = key.ip_ttl;
    op->tunnel.flags = (key.flags & FLOW_TNL_F_CSUM ? KERNEL_TUNNEL_CSUM : 0)
                       | (key.flags & FLOW_TNL_F_DONT_FRAGMENT
                          ? KERNEL_TUNNEL_DONT_FRAGMENT : 0);
    c->tunnel = true;
    return true;
}

/* Compiles the rewriting of one header, given as attribute 'a' that holds a
 * value and, if 'masked', a mask behind it. */
static bool
compile_set(const struct nlattr *a, bool masked, struct kernel_compiler *c)
{
    struct kernel_op **op = &c->op;
    static const uint8_t ones[sizeof(struct ovs_key_ipv6)] = {
        [0 ... sizeof(struct ovs_key_ipv6) - 1] = 0xff
    };
    const void *key = nl_attr_get(a);
    const void *mask = masked ? (const char *) key + nl_attr_get_size(a) / 2
                              : (const void *) ones;

    switch ((enum ovs_key_attr) nl_attr_type(a)) {
    case OVS_KEY_ATTR_ETHERNET:
        compile_eth(key, mask, (*op)++);
        return true;

    case OVS_KEY_ATTR_IPV4:
        compile_ipv4(key, mask, (*op)++);
        return true;

    case OVS_KEY_ATTR_IPV6:
        compile_ipv6(key, mask, op);
        return true;

    case OVS_KEY_ATTR_TCP:
        compile_ports(key, mask, IPPROTO_TCP, (*op)++);
        return true;

    case OVS_KEY_ATTR_UDP:
        compile_ports(key, mask, IPPROTO_UDP, (*op)++);
        return true;

    case OVS_KEY_ATTR_TUNNEL:
        return !masked && compile_tunnel(a, c);

    default:
        return false;
    }
}

static bool
compile_action(struct kernel_compiler *c, const struct program *program,
               const struct nlattr *a)
{
    switch ((enum ovs_action_attr) nl_attr_type(a)) {
    case OVS_ACTION_ATTR_OUTPUT:
        return compile_output(c, program, nl_attr_get_odp_port(a));

    case OVS_ACTION_ATTR_PUSH_VLAN: {
        const struct ovs_action_push_vlan *vlan = nl_attr_get(a);

        c->op->type = KERNEL_PUSH_VLAN;
        c->op->vlan.tpid = vlan->vlan_tpid;
        c->op->vlan.tci = vlan->vlan_tci & ~htons(VLAN_CFI);
        c->op++;
        return true;
    }

    case OVS_ACTION_ATTR_POP_VLAN:
        c->op++->type = KERNEL_POP_VLAN;
        return true;

    case OVS_ACTION_ATTR_CT_CLEAR:
        /* No packet here has a connection's state. */
        return true;

    case OVS_ACTION_ATTR_SET:
        return compile_set(nl_attr_get(a), false, c);

    case OVS_ACTION_ATTR_SET_MASKED:
        return compile_set(nl_attr_get(a), true, c);

    case OVS_ACTION_ATTR_HASH: {
        const struct ovs_action_hash *hash = nl_attr_get(a);

        c->flow->hash_basis = hash->hash_basis;
        c->hashed = hash->hash_alg == OVS_HASH_ALG_L4;
        return c->hashed;
    }

    case OVS_ACTION_ATTR_RECIRC:
        /* Last, as program.c sees to.  The packet has to be as it was: programs
         * don't parse again. */
        c->flow->recirc_id = nl_attr_get_u32(a);
        return !program->generic && c->hashed && c->op == c->flow->ops;

    case OVS_ACTION_ATTR_DROP:
        /* Alone, as program.c sees to.  See tell_drops() for the reason. */
        return !program->generic;

    default:
        return false;
    }
}

bool
kernel_differs_from_actions(const struct program *program)
{
    for (unsigned int i = 0; i < program->n_ops; i++) {
        if (program->ops[i].type == OP_FILTERED
            || program->ops[i].type == OP_SPOOFED) {
            return true;
        }
    }
    return false;
}

void
kernel_compiler_init(struct kernel_compiler *c, const struct datapath *dp,
                     struct kernel_flow *flow)
{
    *c = (struct kernel_compiler) {
        .dp = dp, .flow = flow, .op = flow->ops, .end = flow->ops,
    };
}

/* Returns true if there is room for what one action makes, up to three
 * operations. */
static bool
has_room(const struct kernel_compiler *c)
{
    return c->op + 3 <= c->flow->ops + KERNEL_MAX_OPS;
}

bool
kernel_compiler_add(struct kernel_compiler *c, const struct program *program,
                    const struct nlattr *a)
{
    return has_room(c) && compile_action(c, program, a);
}

bool
kernel_compiler_add_tuple(struct kernel_compiler *c,
                          const struct flow_key *key)
{
    struct ovs_key_tcp ports = { key->tp_src, key->tp_dst };
    struct ovs_key_tcp ports_mask = { OVS_BE16_MAX, OVS_BE16_MAX };

    if (!has_room(c)) {
        return false;
    }
    if (key->dl_type == htons(ETH_TYPE_IP)) {
        struct ovs_key_ipv4 ip = {
            .ipv4_src = key->nw_src, .ipv4_dst = key->nw_dst,
        };
        struct ovs_key_ipv4 mask = {
            .ipv4_src = OVS_BE32_MAX, .ipv4_dst = OVS_BE32_MAX,
        };

        compile_ipv4(&ip, &mask, c->op++);
    } else {
        struct in6_addr mask = in6addr_exact;

        compile_ipv6_addr(key->ipv6_src, &mask, KERNEL_SET_IPV6_SRC, &c->op);
        compile_ipv6_addr(key->ipv6_dst, &mask, KERNEL_SET_IPV6_DST, &c->op);
    }
    compile_ports(&ports, &ports_mask, key->nw_proto, c->op++);
    return true;
}

void
kernel_compiler_finish(struct kernel_compiler *c)
{
    struct kernel_flow *flow = c->flow;

    /* What comes after the last output has no effect. */
    flow->n_ops = c->end - flow->ops;
    if (flow->n_ops) {
        c->end[-1].last = 1;
    }
    for (struct kernel_op *op = flow->ops; op < c->end; op++) {
        flow->plain_ipv6 |= (op->type == KERNEL_SET_IPV6_SRC
                             || op->type == KERNEL_SET_IPV6_DST);
    }
}

bool
kernel_compile(const struct datapath *dp, const struct program *program,
               struct kernel_flow *flow, uint64_t *outputs)
{
    struct kernel_compiler c;
    const struct nlattr *a;
    unsigned int left;

    if (kernel_differs_from_actions(program)) {
        return false;
    }
    kernel_compiler_init(&c, dp, flow);
    NL_ATTR_FOR_EACH_UNSAFE (a, left, program->actions,
                             program->actions_len) {
        if (!kernel_compiler_add(&c, program, a)) {
            return false;
        }
    }
    kernel_compiler_finish(&c);
    *outputs = c.outputs;
    return true;
}
