/* Compiling actions: see program.h. */
#include <config.h>
#include "datapath/program.h"

#include <netinet/in.h>
#include <string.h>

#include "datapath/addresses.h"
#include "datapath/private.h"
#include "netlink.h"
#include "odp-util.h"
#include "packets.h"
#include "util.h"

/* A tunnel that a program sends to. */
struct program_tunnel {
    struct program_tunnel *next;
    struct tunnel_request request;
    struct flow_tnl key;
};

/* Compiles "set(tunnel)" with attribute 'a' into 'op' of 'program'. */
static bool
compile_tunnel(struct program *program, struct program_op *op,
               const struct nlattr *a)
{
    struct program_tunnel *tunnel = xzalloc(sizeof *tunnel);

    if (odp_tun_key_from_attr(a, &tunnel->key, NULL) == ODP_FIT_ERROR) {
        free(tunnel);
        return false;
    }
    tunnel->request.key = &tunnel->key;
    tunnel->request.packet_type = htonl(PT_ETH);
    tunnel->next = program->tunnels;
    program->tunnels = tunnel;
    op->type = OP_SET_TUNNEL;
    op->tunnel = &tunnel->request;
    return true;
}

/* Where 'p', a place in the list of actions that 'program' has, is in it. */
static uint32_t
action_ofs(const struct program *program, const void *p)
{
    return (const char *) p - (const char *) program->actions;
}

/* Stores in 'op' of 'program' the rewriting of one header, given as a nested
 * OVS_KEY_ATTR_* attribute 'a' that holds a value and, if 'masked', a mask
 * behind it.  Returns false if the fast path can't do it. */
static bool
compile_set(struct program *program, struct program_op *op,
            const struct nlattr *a, bool masked)
{
    const void *key = nl_attr_get(a);

#define COMPILE_SET(TYPE, MEMBER, STRUCT)                               \
    do {                                                                \
        const STRUCT *k = key;                                          \
        const uint8_t *m = (const uint8_t *) (k + 1);                   \
                                                                        \
        op->type = TYPE;                                                \
        memcpy(&op->MEMBER.key, k, sizeof *k);                          \
        if (masked) {                                                   \
            memcpy(&op->MEMBER.mask, m, sizeof *k);                     \
        } else {                                                        \
            memset(&op->MEMBER.mask, 0xff, sizeof *k);                  \
        }                                                               \
    } while (0)

    switch ((enum ovs_key_attr) nl_attr_type(a)) {
    case OVS_KEY_ATTR_ETHERNET:
        COMPILE_SET(OP_SET_ETH, eth, struct ovs_key_ethernet);
        return true;

    case OVS_KEY_ATTR_IPV4:
        COMPILE_SET(OP_SET_IPV4, ipv4, struct ovs_key_ipv4);
        return true;

    case OVS_KEY_ATTR_IPV6:
        COMPILE_SET(OP_SET_IPV6, ipv6, struct ovs_key_ipv6);
        return true;

    case OVS_KEY_ATTR_TCP:
    case OVS_KEY_ATTR_UDP: {
        /* struct ovs_key_tcp and struct ovs_key_udp are alike. */
        ovs_be16 ports[4] = { 0, 0, OVS_BE16_MAX, OVS_BE16_MAX };

        memcpy(ports, key, masked ? sizeof ports : sizeof ports / 2);
        op->type = OP_SET_PORTS;
        op->ports.src = ports[0];
        op->ports.dst = ports[1];
        op->ports.src_mask = ports[2];
        op->ports.dst_mask = ports[3];
        op->ports.nw_proto = nl_attr_type(a) == OVS_KEY_ATTR_TCP
                             ? IPPROTO_TCP : IPPROTO_UDP;
        return true;
    }

    case OVS_KEY_ATTR_TUNNEL:
        return !masked && compile_tunnel(program, op, a);

    default:
        return false;
    }
#undef COMPILE_SET
}

/* Compiles "sample" with attribute 'a' into 'op' of 'program'. */
static bool
compile_sample(const struct program *program, struct program_op *op,
               const struct nlattr *a)
{
    const struct nlattr *probability
        = nl_attr_find_nested(a, OVS_SAMPLE_ATTR_PROBABILITY);
    const struct nlattr *actions
        = nl_attr_find_nested(a, OVS_SAMPLE_ATTR_ACTIONS);

    if (!probability || !actions) {
        return false;
    }
    op->type = OP_SAMPLE;
    op->sample.probability = nl_attr_get_u32(probability);
    op->sample.ofs = action_ofs(program, nl_attr_get(actions));
    op->sample.len = nl_attr_get_size(actions);
    return true;
}

/* Compiles action 'a', one of the list that 'program' has, into 'op'.  Returns
 * false if the fast path can't do it. */
static bool
compile_action(struct program *program, struct program_op *op,
               const struct nlattr *a)
{
    switch ((enum ovs_action_attr) nl_attr_type(a)) {
    case OVS_ACTION_ATTR_OUTPUT:
        op->type = OP_OUTPUT;
        op->port = nl_attr_get_odp_port(a);
        return true;

    case OVS_ACTION_ATTR_PUSH_VLAN: {
        const struct ovs_action_push_vlan *vlan = nl_attr_get(a);

        op->type = OP_PUSH_VLAN;
        op->vlan.tpid = vlan->vlan_tpid;
        op->vlan.tci = vlan->vlan_tci & ~htons(VLAN_CFI);
        return true;
    }

    case OVS_ACTION_ATTR_POP_VLAN:
        op->type = OP_POP_VLAN;
        return true;

    case OVS_ACTION_ATTR_CT:
        /* A helper wants to see payloads. */
        op->type = OP_CT;
        op->attr_ofs = action_ofs(program, a);
        return !nl_attr_find_nested(a, OVS_CT_ATTR_HELPER);

    case OVS_ACTION_ATTR_CT_CLEAR:
        op->type = OP_CT_CLEAR;
        return true;

    case OVS_ACTION_ATTR_RECIRC:
        op->type = OP_RECIRC;
        op->recirc_id = nl_attr_get_u32(a);
        return true;

    case OVS_ACTION_ATTR_METER:
        op->type = OP_METER;
        op->meter_id = nl_attr_get_u32(a);
        return true;

    case OVS_ACTION_ATTR_DROP:
        op->type = OP_DROP;
        op->attr_ofs = action_ofs(program, a);
        return !program->n_ops;

    case OVS_ACTION_ATTR_HASH: {
        const struct ovs_action_hash *hash = nl_attr_get(a);

        op->type = OP_HASH;
        op->hash_basis = hash->hash_basis;
        return hash->hash_alg == OVS_HASH_ALG_L4;
    }

    case OVS_ACTION_ATTR_LB_OUTPUT:
        op->type = OP_LB_OUTPUT;
        op->bond.id = nl_attr_get_u32(a);
        op->bond.attr_ofs = action_ofs(program, a);
        return true;

    case OVS_ACTION_ATTR_SAMPLE:
        return compile_sample(program, op, a);

    case OVS_ACTION_ATTR_SET:
        return compile_set(program, op, nl_attr_get(a), false);

    case OVS_ACTION_ATTR_SET_MASKED:
        return compile_set(program, op, nl_attr_get(a), true);

    default:
        return false;
    }
}

/* Returns true if an operation of 'type' is tracked.c's. */
static bool
op_tracks(enum program_op_type type)
{
    return type == OP_CT || type == OP_CT_CLEAR || type == OP_RECIRC;
}

/* Says in 'program' whether it tracks, and returns false if it does so in a way
 * that tracked.c isn't made for: with a change after an output, with anything
 * after a recirculation, or with a meter, which takes packets out of a group.
 */
static bool
check_tracking(struct program *program)
{
    bool waiting = false;

    for (unsigned int i = 0; i < program->n_ops; i++) {
        enum program_op_type type = program->ops[i].type;

        program->tracks |= op_tracks(type);
        program->has_ct |= type == OP_CT || type == OP_CT_CLEAR;
    }
    for (unsigned int i = 0; program->tracks && i < program->n_ops; i++) {
        enum program_op_type type = program->ops[i].type;

        if (type == OP_OUTPUT || type == OP_LB_OUTPUT) {
            waiting = true;
        } else if (type == OP_HASH || type == OP_SAMPLE) {
            /* They change nothing. */
        } else if (waiting || type == OP_METER
                   || (type == OP_RECIRC && i + 1 < program->n_ops)) {
            return false;
        }
    }
    return true;
}

bool
actions_drop(const struct nlattr *actions, size_t actions_len)
{
    return !actions_len || nl_attr_type(actions) == OVS_ACTION_ATTR_DROP;
}

struct program *
program_create(const struct nlattr *actions, size_t actions_len)
{
    const struct nlattr *a;
    unsigned int left;
    unsigned int n = 0;

    NL_ATTR_FOR_EACH_UNSAFE (a, left, actions, actions_len) {
        n++;
    }

    struct program *program = xzalloc(sizeof *program
                                      + (n + 1) * sizeof *program->ops);
    program->actions = xmemdup(actions, actions_len);
    program->actions_len = actions_len;
    NL_ATTR_FOR_EACH_UNSAFE (a, left, program->actions, actions_len) {
        if (!compile_action(program, &program->ops[program->n_ops], a)) {
            program->generic = true;
            break;
        }
        program->n_ops++;
    }
    program->generic |= !check_tracking(program);
    if (program->generic) {
        program->tracks = false;
        program->n_ops = 0;
    }
    return program;
}

void
program_destroy(struct program *program)
{
    if (program) {
        for (unsigned int i = 0; i < program->n_addresses; i++) {
            uplink_address_unuse(program->addresses[i]);
        }
        free(program->addresses);
        while (program->tunnels) {
            struct program_tunnel *next = program->tunnels->next;

            free(program->tunnels);
            program->tunnels = next;
        }
        free(program->actions);
        free(program);
    }
}
