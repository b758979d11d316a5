/* Which Ethernet addresses are behind a port.
 *
 * A guest's port may have a receive filter, as a network card has: the unicast
 * addresses that the guest holds.  Unicast to any other is not for it, and an
 * output to the port is left out of a flow's program when the program is made.
 * So a frame to an address that nobody knows, which is flooded, reaches no
 * guest and costs them nothing.
 *
 * An uplink's device lets in only the addresses that it is told (datapath.h),
 * so it has to be told of a source address before the first frame with it
 * leaves.  That, too, is done when a program is made that outputs to the port.
 *
 * Both make a program good for some addresses only.  The flow is then
 * installed with a narrower mask than libofproto asked for: a packet with
 * another address finds no flow and becomes an upcall.  Guests use few
 * addresses, and what a filter leaves out is proven by the few bits in which
 * an address differs from those that the guest holds, so that this makes few
 * flows more; and packets that find a flow pay nothing.
 *
 * Programs that run on whole packets (generic.c) check each packet. */
#ifndef DATAPATH_ADDRESSES_H
#define DATAPATH_ADDRESSES_H 1

#include "datapath/private.h"

struct program;
struct uplink_address;

/* A receive filter.  Replaced as a whole, under RCU. */
struct rx_filter {
    bool drop_spoofed;          /* Drop frames from other addresses, */
                                /* else the guest holds what it uses. */
    unsigned int n_given;       /* The first so many were configured... */
    unsigned int n;             /* ...and the others the guest used. */
    struct eth_addr addrs[];    /* Unicast. */
};

bool rx_filter_has(const struct rx_filter *, struct eth_addr);

/* Returns true if a frame to 'dst' may leave by 'port'.  RCU. */
static inline bool
port_takes(const struct port *port, struct eth_addr dst)
{
    const struct rx_filter *filter = ovsrcu_get(struct rx_filter *,
                                                &port->rx_filter);
    return !filter || eth_addr_is_multicast(dst)
           || rx_filter_has(filter, dst);
}

/* Returns true if a frame from 'src' may come in by 'port'.  RCU. */
static inline bool
port_allows_source(const struct port *port, struct eth_addr src)
{
    const struct rx_filter *filter = ovsrcu_get(struct rx_filter *,
                                                &port->rx_filter);
    return !filter || !filter->drop_spoofed || rx_filter_has(filter, src);
}

/* A packet like 'flow' found no flow: if its source is new to the receive
 * filter of the port that it came in by, the guest holds it from now on; if it
 * came in by an uplink and announces that an address is there, the uplink is
 * told.  Any thread, RCU. */
void flow_note_source(const struct datapath *, const struct flow *);

/* Has the filter of uplink 'port' let in 'src', and tagged frames of VLAN
 * 'vid' (0: none), since frames from there that came in by 'in' (NULL: by
 * none) are about to leave by it.  May wait for the kernel: no view of a guest's
 * memory may be held.  Returns a reference to the address, or NULL if it needs
 * none or can't be had. */
struct uplink_address *uplink_use(const struct port *, struct eth_addr src,
                                  uint16_t vid, const struct port *in);
void uplink_address_unuse(struct uplink_address *);

/* Returns what uplink_use() returns without waiting, or NULL if that would
 * wait. '*wait' says. */
struct uplink_address *uplink_use_now(const struct port *,
                                      struct eth_addr src, uint16_t vid,
                                      const struct port *in, bool *wait);

/* Makes a program of 'actions' for packets like 'flow' of 'dp' that heeds
 * filters and uplinks.  May wait, as uplink_use(). */
struct program *flow_program_create(const struct datapath *,
                                    const struct flow *,
                                    const struct nlattr *actions,
                                    size_t actions_len);

/* Narrows 'wc' to what 'program' is good for. */
void program_narrow(const struct program *, struct flow_wildcards *);

/* Gives 'flow' the new 'program', which it takes over, narrowing its mask if
 * need be: then it is a new flow with the same UFID. */
void flow_set_program(struct megaflow *flow, struct program *)
    OVS_REQUIRES(flow->table->mutex);

/* Frees what 'port', which is in no table any more, has of all that. */
void port_addresses_destroy(struct port *);

#endif /* addresses.h */
