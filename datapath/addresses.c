/* Receive filters and uplinks: see addresses.h. */
#include <config.h>
#include "datapath/addresses.h"

#include <netinet/icmp6.h>
#include <string.h>

#include "datapath/program.h"
#include "netlink.h"
#include "odp-util.h"
#include "packets.h"
#include "util.h"

/* Addresses beside the configured ones that a guest may use; beyond that a new
 * one takes the place of the oldest. */
#define MAX_LEARNT 32

static const struct uplink_ops *uplink_ops;

/* For changes of receive filters. */
static struct ovs_mutex filter_mutex = OVS_MUTEX_INITIALIZER;

static const struct eth_addr all_bits = ETH_ADDR_C(ff,ff,ff,ff,ff,ff);
static const struct eth_addr multicast_bit = ETH_ADDR_C(01,00,00,00,00,00);

/* --- Receive filters ----------------------------------------------------- */

bool
rx_filter_has(const struct rx_filter *filter, struct eth_addr addr)
{
    for (unsigned int i = 0; i < filter->n; i++) {
        if (eth_addr_equals(filter->addrs[i], addr)) {
            return true;
        }
    }
    return false;
}

static struct rx_filter *
rx_filter_create(unsigned int capacity)
{
    struct rx_filter *filter;

    return xzalloc(sizeof *filter + capacity * sizeof *filter->addrs);
}

static void
rx_filter_set(struct port *port, struct rx_filter *filter)
    OVS_REQUIRES(filter_mutex)
{
    struct rx_filter *old = ovsrcu_get_protected(struct rx_filter *,
                                                 &port->rx_filter);
    ovsrcu_set(&port->rx_filter, filter);
    if (old) {
        ovsrcu_postpone(free, old);
    }
}

/* Returns a copy of 'old' with 'addr' as the last one. */
static struct rx_filter *
rx_filter_learn(const struct rx_filter *old, struct eth_addr addr)
{
    struct rx_filter *filter = rx_filter_create(old->n + 1);
    unsigned int skip = old->n - old->n_given >= MAX_LEARNT;

    *filter = *old;
    memcpy(filter->addrs, old->addrs, old->n_given * sizeof addr);
    memcpy(&filter->addrs[old->n_given], &old->addrs[old->n_given + skip],
           (old->n - old->n_given - skip) * sizeof addr);
    filter->n = old->n - skip;
    filter->addrs[filter->n++] = addr;
    return filter;
}

/* Adds to 'mask' bits by which 'dst' is seen to be none that 'filter' has:
 * those it has already, and of each address that they don't tell from 'dst'
 * the first that does.  So addresses that differ from the guests' early, in
 * the manufacturer's part, need no more than that. */
static void
rx_filter_tell(const struct rx_filter *filter, struct eth_addr dst,
               struct eth_addr *mask)
{
    uint64_t bits = eth_addr_to_uint64(*mask);

    for (unsigned int i = 0; i < filter->n; i++) {
        uint64_t differs = eth_addr_to_uint64(filter->addrs[i])
                           ^ eth_addr_to_uint64(dst);

        if (!(differs & bits)) {
            bits |= UINT64_C(1) << log_2_floor(differs);
        }
    }
    eth_addr_from_uint64(bits, mask);
}

/* --- Uplinks ------------------------------------------------------------- */

void
datapath_set_uplink_ops(const struct uplink_ops *ops)
{
    uplink_ops = ops;
}

static unsigned int
origin_id(const struct port *in)
{
    return in ? in->index : UPLINK_NO_ORIGIN;
}

struct uplink_address *
uplink_use_now(const struct port *port, struct eth_addr src, uint16_t vid,
               const struct port *in, bool *wait)
{
    struct uplink *uplink = ovsrcu_get(struct uplink *, &port->uplink);

    *wait = false;
    if (!uplink || eth_addr_is_multicast(src) || eth_addr_is_zero(src)) {
        return NULL;
    }
    struct uplink_address *address = uplink_ops->find(uplink, src, vid,
                                                      origin_id(in));
    *wait = !address;
    return address;
}

struct uplink_address *
uplink_use(const struct port *port, struct eth_addr src, uint16_t vid,
           const struct port *in)
{
    bool wait;
    struct uplink_address *address = uplink_use_now(port, src, vid, in, &wait);

    return !wait ? address
           : uplink_ops->learn(ovsrcu_get(struct uplink *, &port->uplink),
                               src, vid, origin_id(in), in ? in->name : NULL);
}

void
uplink_address_unuse(struct uplink_address *address)
{
    uplink_ops->unuse(address);
}

/* --- Programs ------------------------------------------------------------ */

/* What the addresses of a packet are, at some point of a program. */
struct frame {
    struct eth_addr src, dst;
    struct eth_addr src_bits, dst_bits; /* Those of the original's. */
    ovs_be16 vlans[FLOW_MAX_VLAN_HEADERS + 1]; /* TCIs, outermost first. */
};

static void
frame_init(struct frame *frame, const struct flow *flow)
{
    memset(frame, 0, sizeof *frame);
    frame->src = flow->dl_src;
    frame->dst = flow->dl_dst;
    frame->src_bits = frame->dst_bits = all_bits;
    for (int i = 0; i < FLOW_MAX_VLAN_HEADERS; i++) {
        frame->vlans[i] = flow->vlans[i].tci;
    }
}

static void
set_masked(struct eth_addr *addr, struct eth_addr *bits,
           const struct eth_addr key, const struct eth_addr mask)
{
    for (size_t i = 0; i < ARRAY_SIZE(addr->be16); i++) {
        addr->be16[i] = (addr->be16[i] & ~mask.be16[i])
                        | (key.be16[i] & mask.be16[i]);
        bits->be16[i] &= ~mask.be16[i];
    }
}

static void
frame_apply(struct frame *frame, const struct program_op *op)
{
    ovs_be16 *vlans = frame->vlans;

    switch (op->type) {
    case OP_SET_ETH:
        set_masked(&frame->src, &frame->src_bits, op->eth.key.eth_src,
                   op->eth.mask.eth_src);
        set_masked(&frame->dst, &frame->dst_bits, op->eth.key.eth_dst,
                   op->eth.mask.eth_dst);
        break;

    case OP_PUSH_VLAN:
        memmove(vlans + 1, vlans, FLOW_MAX_VLAN_HEADERS * sizeof *vlans);
        vlans[0] = op->vlan.tci | htons(VLAN_CFI);
        break;

    case OP_POP_VLAN:
        memmove(vlans, vlans + 1, FLOW_MAX_VLAN_HEADERS * sizeof *vlans);
        vlans[FLOW_MAX_VLAN_HEADERS] = 0;
        break;

    default:
        break;
    }
}

static void
add_bits(struct eth_addr *mask, struct eth_addr bits, struct eth_addr where)
{
    for (size_t i = 0; i < ARRAY_SIZE(mask->be16); i++) {
        mask->be16[i] |= bits.be16[i] & where.be16[i];
    }
}

/* Returns true if 'port' takes 'frame', noting in 'program' what that depends
 * on. */
static bool
frame_passes(const struct frame *frame, const struct port *port,
             struct program *program)
{
    const struct rx_filter *filter = ovsrcu_get(struct rx_filter *,
                                                &port->rx_filter);
    if (!filter) {
        return true;
    }

    struct eth_addr bits = multicast_bit;
    bool passes = port_takes(port, frame->dst);
    if (!eth_addr_is_multicast(frame->dst)) {
        if (passes) {
            bits = all_bits;
        } else {
            add_bits(&bits, program->dst_mask, all_bits);
            rx_filter_tell(filter, frame->dst, &bits);
        }
    }
    add_bits(&program->dst_mask, bits, frame->dst_bits);
    return passes;
}

/* Has uplink 'port' know that 'frame', which came in by 'in', leaves by it. */
static void
frame_leaves(const struct frame *frame, const struct port *port,
             const struct port *in, struct program *program)
{
    if (!ovsrcu_get(struct uplink *, &port->uplink)) {
        return;
    }
    add_bits(&program->src_mask, all_bits, frame->src_bits);

    struct uplink_address *address
        = uplink_use(port, frame->src,
                     frame->vlans[0] & htons(VLAN_CFI)
                     ? vlan_tci_to_vid(frame->vlans[0]) : 0, in);
    if (address) {
        program->addresses = xrealloc(program->addresses,
                                      (program->n_addresses + 1)
                                      * sizeof *program->addresses);
        program->addresses[program->n_addresses++] = address;
    }
}

/* Returns true if nothing is known of an address on which 'program' depends,
 * because whoever put 'flow' left it out. */
static bool
lacks_addresses(const struct program *program, const struct flow *flow)
{
    return (!eth_addr_is_zero(program->src_mask)
            && eth_addr_is_zero(flow->dl_src))
           || (!eth_addr_is_zero(program->dst_mask)
               && eth_addr_is_zero(flow->dl_dst));
}

static void
make_generic(struct program *program)
{
    program->generic = true;
    program->tracks = false;
    program->n_ops = 0;
    program->src_mask = program->dst_mask = eth_addr_zero;
}

/* Leaves out of 'program' what doesn't take packets like 'flow', which came in
 * by 'in', and has uplinks know of the rest. */
static void
heed_outputs(struct program *program, const struct datapath *dp,
             const struct flow *flow, const struct port *in)
{
    struct frame frame;
    unsigned int n = 0;

    frame_init(&frame, flow);
    for (unsigned int i = 0; i < program->n_ops; i++) {
        const struct program_op *op = &program->ops[i];
        const struct port *port = op->type == OP_OUTPUT
                                  ? datapath_port(dp, op->port) : NULL;

        if (port && !frame_passes(&frame, port, program)) {
            program->filtered = true;
            continue;
        }
        /* The flows of a port that is gone are about to go, too. */
        if (port && (in || flow->in_port.odp_port == ODPP_NONE)) {
            frame_leaves(&frame, port, in, program);
        }
        frame_apply(&frame, op);
        program->ops[n++] = *op;
    }
    program->n_ops = n;
    if (program->filtered) {
        program->ops[program->n_ops++] = (struct program_op) {
            .type = OP_FILTERED, .alone = !n,
        };
    }
}

struct program *
flow_program_create(const struct datapath *dp, const struct flow *flow,
                    const struct nlattr *actions, size_t actions_len)
{
    struct program *program = program_create(actions, actions_len);
    const struct port *in = datapath_port(dp, flow->in_port.odp_port);
    bool first = in && !flow->recirc_id;    /* As 'in' received it. */

    if (first && !port_allows_source(in, flow->dl_src)) {
        /* A flow from before that was forbidden: packets that find none are
         * dropped without. */
        program->generic = false;
        program->ops[0].type = OP_SPOOFED;
        program->n_ops = 1;
    } else {
        heed_outputs(program, dp, flow, in);
    }
    if (first && ovsrcu_get(struct rx_filter *, &in->rx_filter)) {
        program->src_mask = all_bits;
    }
    if (lacks_addresses(program, flow)) {
        make_generic(program);
    }
    return program;
}

void
program_narrow(const struct program *program, struct flow_wildcards *wc)
{
    add_bits(&wc->masks.dl_src, program->src_mask, all_bits);
    add_bits(&wc->masks.dl_dst, program->dst_mask, all_bits);
}

static bool
program_fits(const struct program *program, const struct flow_wildcards *wc)
{
    struct flow_wildcards narrow = *wc;

    program_narrow(program, &narrow);
    return eth_addr_equals(narrow.masks.dl_src, wc->masks.dl_src)
           && eth_addr_equals(narrow.masks.dl_dst, wc->masks.dl_dst);
}

/* --- Flows --------------------------------------------------------------- */

void
flow_set_program(struct megaflow *flow, struct program *program)
{
    struct megaflow_table *table = flow->table;
    struct match match;

    megaflow_get_match(flow, &match);
    if (program_fits(program, &match.wc)) {
        megaflow_set_program(flow, program);
        return;
    }

    ovs_u128 ufid = flow->info->ufid;

    megaflow_remove(flow);
    program_narrow(program, &match.wc);
    if (megaflow_add(table, &match, &ufid, program)) {
        /* The next packet is an upcall. */
        program_destroy(program);
    }
}

static void
flow_remake(struct datapath *dp, struct megaflow *flow)
    OVS_REQUIRES(dp->flows.mutex)
{
    const struct program *program
        = ovsrcu_get_protected(struct program *, &flow->program);
    struct match match;

    megaflow_get_match(flow, &match);
    flow_set_program(flow, flow_program_create(dp, &match.flow,
                                               program->actions,
                                               program->actions_len));
}

static bool
outputs_to(const struct program *program, const struct port *port)
{
    const struct nlattr *a;
    unsigned int left;

    NL_ATTR_FOR_EACH_UNSAFE (a, left, program->actions,
                             program->actions_len) {
        if (nl_attr_type(a) == OVS_ACTION_ATTR_OUTPUT
            && nl_attr_get_odp_port(a) == port->number) {
            return true;
        }
    }
    return false;
}

/* What is known about the addresses behind 'port' has changed: makes the
 * programs anew to which that may mean something. */
static void
port_addresses_changed(struct port *port)
{
    struct datapath *dp = port->dp;
    struct megaflow *flow;

    ovs_mutex_lock(&dp->flows.mutex);
    CMAP_FOR_EACH (flow, ufid_node, &dp->flows.by_ufid) {
        bool from = megaflow_in_port(flow) == port->number
                    && !megaflow_recirc_id(flow);

        if (from || outputs_to(ovsrcu_get_protected(struct program *,
                                                    &flow->program), port)) {
            flow_remake(dp, flow);
        }
    }
    ovs_mutex_unlock(&dp->flows.mutex);
}

/* The guest behind 'port' holds 'addr' from now on: frames to it pass. */
static void
port_gained_address(struct port *port, struct eth_addr addr)
{
    struct datapath *dp = port->dp;
    struct megaflow *flow;

    ovs_mutex_lock(&dp->flows.mutex);
    CMAP_FOR_EACH (flow, ufid_node, &dp->flows.by_ufid) {
        const struct program *program
            = ovsrcu_get_protected(struct program *, &flow->program);
        struct match match;

        if (!program->filtered) {
            continue;
        }
        megaflow_get_match(flow, &match);
        if (eth_addr_equal_except(addr, match.flow.dl_dst,
                                  match.wc.masks.dl_dst)) {
            flow_remake(dp, flow);
        }
    }
    ovs_mutex_unlock(&dp->flows.mutex);
}

static void
note_source(struct port *port, struct eth_addr src)
{
    const struct rx_filter *filter = ovsrcu_get(struct rx_filter *,
                                                &port->rx_filter);
    bool new = false;

    if (!filter || filter->drop_spoofed || eth_addr_is_multicast(src)
        || rx_filter_has(filter, src)) {
        return;
    }
    ovs_mutex_lock(&filter_mutex);
    filter = ovsrcu_get_protected(struct rx_filter *, &port->rx_filter);
    if (filter && !rx_filter_has(filter, src)) {
        rx_filter_set(port, rx_filter_learn(filter, src));
        new = true;
    }
    ovs_mutex_unlock(&filter_mutex);
    if (new) {
        port_gained_address(port, src);
    }
}

/* Returns true if packets like 'flow' say that their source has come to where
 * they are from: RARP, gratuitous ARP, unsolicited neighbour advertisement. */
static bool
is_announcement(const struct flow *flow)
{
    return flow->dl_type == htons(ETH_TYPE_RARP)
           || (flow->dl_type == htons(ETH_TYPE_ARP)
               && flow->nw_src == flow->nw_dst)
           || (flow->dl_type == htons(ETH_TYPE_IPV6)
               && flow->nw_proto == IPPROTO_ICMPV6
               && flow->tp_src == htons(ND_NEIGHBOR_ADVERT)
               && eth_addr_is_multicast(flow->dl_dst));
}

void
flow_note_source(const struct datapath *dp, const struct flow *flow)
{
    struct port *port = datapath_port(dp, flow->in_port.odp_port);

    if (!port || flow->recirc_id) {
        return;
    }
    note_source(port, flow->dl_src);

    struct uplink *uplink = ovsrcu_get(struct uplink *, &port->uplink);
    if (uplink && is_announcement(flow)) {
        uplink_ops->announced(uplink, flow->dl_src);
    }
}

/* --- For the daemon ------------------------------------------------------ */

static bool
same_filter(const struct rx_filter *a, const struct rx_filter *b)
{
    return !a || !b ? a == b
           : a->drop_spoofed == b->drop_spoofed && a->n_given == b->n_given
             && !memcmp(a->addrs, b->addrs, a->n_given * sizeof *a->addrs);
}

void
datapath_set_rx_filter(const char *name, const struct eth_addr addrs[],
                       size_t n, bool drop_spoofed)
{
    struct port *port = datapath_find_port(name);
    struct rx_filter *filter = NULL;

    if (!port) {
        return;
    }
    if (n) {
        filter = rx_filter_create(n);
        filter->drop_spoofed = drop_spoofed;
        filter->n_given = filter->n = n;
        memcpy(filter->addrs, addrs, n * sizeof *addrs);
    }
    ovs_mutex_lock(&filter_mutex);
    bool same = same_filter(ovsrcu_get_protected(struct rx_filter *,
                                                 &port->rx_filter), filter);
    if (same) {
        free(filter);
    } else {
        rx_filter_set(port, filter);
    }
    ovs_mutex_unlock(&filter_mutex);
    if (!same) {
        port_addresses_changed(port);
    }
}

size_t
datapath_get_rx_filter(const char *name)
{
    struct port *port = datapath_find_port(name);
    const struct rx_filter *filter
        = port ? ovsrcu_get(struct rx_filter *, &port->rx_filter) : NULL;

    return filter ? filter->n : 0;
}

bool
datapath_set_uplink(const char *name, struct uplink *uplink)
{
    struct port *port = datapath_find_port(name);

    if (!port) {
        return false;
    }
    if (ovsrcu_get(struct uplink *, &port->uplink) != uplink) {
        ovsrcu_set(&port->uplink, uplink);
        port_addresses_changed(port);
    }
    return true;
}

void
port_addresses_destroy(struct port *port)
{
    ovs_mutex_lock(&filter_mutex);
    rx_filter_set(port, NULL);
    ovs_mutex_unlock(&filter_mutex);
    if (uplink_ops) {
        uplink_ops->origin_gone(port->name);
    }
}
