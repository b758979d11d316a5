/* Action programs: what a megaflow does with its packets, compiled once, when
 * the flow is installed.
 *
 * A program is a list of operations that the fast path runs on packet views.
 * Actions that need the whole packet, or libopenvswitch's help, make the
 * program *generic*: its packets are linearised and run through the original
 * Netlink actions (see generic.c). */
#ifndef PROGRAM_H
#define PROGRAM_H 1

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "odp-netlink.h"
#include "openvswitch/types.h"

struct nlattr;
struct program_tunnel;
struct tunnel_request;
struct uplink_address;

enum program_op_type {
    OP_OUTPUT,                  /* Send to 'port'. */
    OP_PUSH_VLAN,               /* Push 'vlan'. */
    OP_POP_VLAN,                /* Pop the outermost VLAN tag. */
    OP_SET_ETH,                 /* Rewrite Ethernet addresses... */
    OP_SET_IPV4,                /* ...IPv4 fields... */
    OP_SET_IPV6,                /* ...IPv6 fields... */
    OP_SET_PORTS,               /* ...TCP, UDP ports. */
    OP_SET_TUNNEL,              /* The next output enters 'tunnel'. */
    OP_FILTERED,                /* Count: some output was left out. */
    OP_CT,                      /* Track the connection, as the action that
                                 * begins 'attr_ofs' bytes into the list says. */
    OP_CT_CLEAR,                /* Forget it. */
    OP_RECIRC,                  /* Look up again with 'recirc_id'. */
    OP_SPOOFED,                 /* Count: the source is not the port's. */
    OP_METER,                   /* Go on if meter 'meter_id' allows. */
    OP_HASH,                    /* What follows may look at a hash. */
    OP_LB_OUTPUT,               /* Send to a member of 'bond'. */
    OP_SAMPLE,                  /* Now and then do what 'sample' says. */
    OP_DROP,                    /* Count, by the reason that the action at
                                 * 'attr_ofs' gives: nothing else comes. */
};

/* One operation.  'key' has bits only where 'mask' has. */
struct program_op {
    enum program_op_type type;
    union {
        odp_port_t port;
        struct {
            ovs_be16 tpid;
            ovs_be16 tci;
        } vlan;
        struct {
            struct ovs_key_ethernet key, mask;
        } eth;
        struct {
            struct ovs_key_ipv4 key, mask;
        } ipv4;
        struct {
            struct ovs_key_ipv6 key, mask;
        } ipv6;
        struct {
            ovs_be16 src, src_mask;
            ovs_be16 dst, dst_mask;
            uint8_t nw_proto;   /* IPPROTO_TCP or IPPROTO_UDP. */
        } ports;
        const struct tunnel_request *tunnel; /* The program's. */
        uint32_t attr_ofs;
        uint32_t recirc_id;
        uint32_t meter_id;
        uint32_t hash_basis;
        struct {
            uint32_t id;
            uint32_t attr_ofs;  /* Of the action, in the list. */
        } bond;
        struct {
            uint32_t probability; /* Of UINT32_MAX. */
            uint32_t ofs, len;  /* The actions, in the list. */
        } sample;
        bool alone;             /* OP_FILTERED: there is nothing else. */
    };
};

struct program {
    struct nlattr *actions;     /* The original OVS_ACTION_ATTR_* list... */
    size_t actions_len;         /* ...and its length in bytes. */
    bool generic;               /* 'ops' can't express it. */

    /* See addresses.h. */
    bool filtered;              /* Receive filters left outputs out. */
    struct eth_addr src_mask;   /* It is good for packets that have these */
    struct eth_addr dst_mask;   /* bits of the addresses in common. */
    unsigned int n_addresses;   /* References that it holds. */
    struct uplink_address **addresses;

    struct program_tunnel *tunnels; /* Of OP_SET_TUNNEL; a list. */

    bool tracks;                /* It has OP_CT, OP_CT_CLEAR or OP_RECIRC: see
                                 * tracked.c... */
    bool has_ct;                /* ...and not only the last. */
    unsigned int n_ops;         /* 0 and not generic: drop. */
    struct program_op ops[];
};

/* Compiles 'actions', whatever is behind the ports: flows have theirs from
 * flow_program_create() (addresses.h).  There is room for one more operation
 * than it makes.  The caller must free the program with
 * program_destroy(). */
struct program *program_create(const struct nlattr *actions,
                               size_t actions_len);
void program_destroy(struct program *);

/* Returns true if the 'actions_len' bytes of 'actions' do nothing: none, or
 * the one that says so. */
bool actions_drop(const struct nlattr *actions, size_t actions_len);

/* The action that 'op' of 'program', an OP_CT or OP_DROP, comes from. */
static inline const struct nlattr *
program_op_attr(const struct program *program, const struct program_op *op)
{
    return (const struct nlattr *) ((const char *) program->actions
                                    + op->attr_ofs);
}

/* Has libopenvswitch count 'n' packets that 'op' of 'program', an OP_DROP,
 * drops, by the reason that the action gives.  Any thread. */
void program_count_drops(const struct program *, const struct program_op *op,
                         size_t n);

#endif /* program.h */
