/* Tracked connections in the kernel.
 *
 * The connection tracker is libopenvswitch's, in the daemon.  But once a
 * connection is established its packets go one and the same way: one or more
 * megaflows that track and recirculate, and one that outputs.  So a connection
 * that has had a few packets gets an entry of its own, which does at once what
 * all these megaflows do together, network address translation included.
 *
 * The entry matches what any of the megaflows looks at, and exactly what tells
 * connections apart.  That is narrower than the first of these megaflows, which
 * has no entry, so it takes no other's packets.  It doesn't match SYN, FIN and
 * RST: those go up, always, and the entry goes when they come.  It also goes
 * with any of the megaflows, when one of them changes, and when the tracker is
 * flushed.
 *
 * Where the way leads is found out by walking it, with a packet's headers:
 * only what is established at each step, and output to where the kernel can
 * output, gets an entry.  Every few seconds the entry gives the daemon a copy
 * of the headers of a packet (of which it sends the original on: nothing
 * overtakes anything).  The daemon walks again: so the tracker sees that the
 * connection is alive, and an entry whose way has changed goes.  So does one
 * that has been silent for longer.
 *
 * The tracker doesn't see most of the packets, so it can't check TCP sequence
 * numbers: with the first connection here the datapath ceases to.  If the user
 * asks for it (dpctl/ct-enable-tcp-seq-chk), there are no connections here.
 *
 * What an entry counts is the count of each megaflow on the way, brought up to
 * date when libofproto is about to look.
 *
 * All of it is protected by kernel_flows_lock(). */
#include <config.h>
#include "datapath/kernel/engine.h"

#include <netinet/in.h>
#include <string.h>

#include "conntrack.h"
#include "datapath/private.h"
#include "datapath/program.h"
#include "dp-packet.h"
#include "hash.h"
#include "netlink.h"
#include "openvswitch/hmap.h"
#include "openvswitch/list.h"
#include "openvswitch/vlog.h"
#include "packets.h"
#include "timeval.h"
#include "util.h"

VLOG_DEFINE_THIS_MODULE(kernel_connections);

#define MAX_STEPS (DP_MAX_RECIRC_DEPTH + 1)

/* Packets that a connection has in the daemon before it gets an entry: short
 * ones are over before that pays.  And if it can't, after how many more to try
 * again. */
#define AFTER_PACKETS 8
#define RETRY_PACKETS 1024

/* Silent or unconfirmed for that long: a few times KERNEL_REFRESH_NSEC. */
#define SILENT_MSEC 7000

#define TCP_CHANGES (TCP_SYN | TCP_FIN | TCP_RST)

/* What tells connections of a device apart, in one direction. */
struct connection_id {
    uint64_t words[10];
};

/* One of the megaflows on the way. */
struct step {
    struct ovs_list node;           /* In its 'info->kernel_connections'. */
    struct kernel_connection *connection;
    struct megaflow *flow;
};

struct kernel_connection {
    struct hmap_node node;          /* In 'connections'. */
    struct connection_id id;
    struct datapath *dp;
    uint32_t entry;
    long long int checked;          /* time_msec() when it was last walked. */
    struct dpif_flow_stats credited; /* What its megaflows have counted. */
    unsigned int n_steps;
    struct step steps[MAX_STEPS];
};

static struct hmap connections = HMAP_INITIALIZER(&connections);
static atomic_count n_connections = ATOMIC_COUNT_INIT(0);

/* Packets of connections that a thread has seen lately, by hash. */
struct packet_count {
    uint32_t hash;
    uint32_t n;
};
static __thread struct packet_count packet_counts[1024];

/* --- Identity ---------------------------------------------------------------*/

static uint32_t
identify(const struct flow_key *key_, struct connection_id *id)
{
    struct flow_key key = *key_;

    key.recirc_id = 0;
    key.nw_tos = 0;
    key.nw_ttl = 0;
    key.nw_frag = 0;
    memcpy(id->words, key.words, 5 * sizeof key.words[0]);
    id->words[5] = key.words[7];
    memcpy(&id->words[6], &key.words[8], 4 * sizeof key.words[0]);
    return hash_bytes(id, sizeof *id, 0);
}

static struct kernel_connection *
find(const struct connection_id *id, uint32_t hash)
{
    struct kernel_connection *c;

    HMAP_FOR_EACH_WITH_HASH (c, node, hash, &connections) {
        if (!memcmp(&c->id, id, sizeof *id)) {
            return c;
        }
    }
    return NULL;
}

/* --- Walking ----------------------------------------------------------------*/

/* Where the packets of a connection go. */
struct way {
    struct flow_key mask;           /* That all steps have together. */
    struct kernel_flow flow;
    struct kernel_compiler compiler; /* Makes the operations of 'flow'. */
    unsigned int n_steps;
    struct megaflow *flows[MAX_STEPS];
    const struct program *programs[MAX_STEPS];
};

/* Finds the next step of 'packet', whose metadata is 'md'. */
static bool
add_step(struct way *way, struct port *in, const struct vhost_packet *packet,
         const struct pkt_metadata *md)
{
    struct flow_parse parsed;
    struct flow_key key;

    if (way->n_steps == MAX_STEPS
        || !tracked_make_key(in, packet, md, &key, &parsed)) {
        return false;
    }
    unsigned int blocks = parsed.blocks;
    struct megaflow *flow = megaflow_lookup(&in->dp->flows, &key, &blocks);
    if (!flow) {
        return false;
    }
    const struct program *program = ovsrcu_get(struct program *,
                                               &flow->program);
    if (program->generic || kernel_differs_from_actions(program)) {
        return false;
    }
    for (int i = 0; i < KERNEL_WORDS; i++) {
        way->mask.words[i] |= flow->subtable->mask.words[i];
    }
    way->flows[way->n_steps] = flow;
    way->programs[way->n_steps++] = program;
    return true;
}

/* Tracks the packet as 'op' of 'program' says.  Returns false unless it is one
 * of an established connection. */
static bool
track(struct way *way, struct port *in, struct vhost_packet *packet,
      struct dp_packet *stand_in, const struct program *program,
      const struct program_op *op, struct dp_thread *thread)
{
    const struct nlattr *ct = program_op_attr(program, op);
    struct flow_parse parsed;
    struct flow_key key;

    if (nl_attr_find_nested(ct, OVS_CT_ATTR_COMMIT)
        || nl_attr_find_nested(ct, OVS_CT_ATTR_FORCE_COMMIT)) {
        return false;
    }
    tracked_track(stand_in, packet, in, program, op, thread);

    uint8_t state = stand_in->md.ct_state;
    if ((state & (CS_TRACKED | CS_ESTABLISHED | CS_NEW | CS_RELATED
                  | CS_INVALID)) != (CS_TRACKED | CS_ESTABLISHED)) {
        return false;
    }
    return !(state & (CS_SRC_NAT | CS_DST_NAT))
           || (tracked_make_key(in, packet, &stand_in->md, &key, &parsed)
               && kernel_compiler_add_tuple(&way->compiler, &key));
}

/* Does the program of the last step with the packet, but for outputs, and
 * compiles it.  Stores in '*recirc_id' where it goes on, 0 if it ends. */
static bool
walk_step(struct way *way, struct port *in, struct vhost_packet *packet,
          struct dp_packet *stand_in, uint32_t *recirc_id,
          struct dp_thread *thread)
{
    const struct program *program = way->programs[way->n_steps - 1];
    const struct program_op *op = program->ops;
    const struct nlattr *a;
    unsigned int left;
    bool ok = true;

    *recirc_id = 0;
    NL_ATTR_FOR_EACH_UNSAFE (a, left, program->actions,
                             program->actions_len) {
        switch (op->type) {
        case OP_CT:
            ok = track(way, in, packet, stand_in, program, op, thread);
            break;

        case OP_CT_CLEAR:
            conntrack_clear(stand_in);
            break;

        case OP_RECIRC:
            *recirc_id = op->recirc_id;
            break;

        case OP_OUTPUT:
            ok = kernel_compiler_add(&way->compiler, program, a);
            break;

        case OP_PUSH_VLAN:
        case OP_POP_VLAN:
        case OP_SET_ETH:
        case OP_SET_IPV4:
        case OP_SET_IPV6:
        case OP_SET_PORTS:
        case OP_SET_TUNNEL:
            ok = kernel_compiler_add(&way->compiler, program, a);
            if (ok) {
                program_run_op(program, op, in, packet, stand_in, thread);
            }
            break;

        default:
            ok = false;
        }
        if (!ok) {
            return false;
        }
        op++;
    }
    return true;
}

/* Makes what an entry for 'key' matches. */
static void
set_match(struct way *way, const struct flow_key *key, uint32_t ifindex)
{
    struct flow_key *mask = &way->mask;

    /* What the kernel's keys don't have, the steps have seen to. */
    mask->recirc_id = 0;
    mask->ct_state = 0;
    mask->ct_zone = 0;
    mask->ct_mark = 0;
    memset(mask->ct_label, 0, sizeof mask->ct_label);
    mask->dp_hash = 0;

    mask->in_port = UINT32_MAX;
    mask->dl_type = OVS_BE16_MAX;
    mask->vlan_tci = mask->vlan2_tci = OVS_BE16_MAX;
    mask->vlan_tpid = mask->vlan2_tpid = OVS_BE16_MAX;
    mask->nw_proto = UINT8_MAX;
    mask->nw_frag = UINT8_MAX;
    mask->tp_src = mask->tp_dst = OVS_BE16_MAX;
    if (key->dl_type == htons(ETH_TYPE_IP)) {
        mask->nw_src = mask->nw_dst = OVS_BE32_MAX;
    } else {
        memset(mask->ipv6_src, 0xff, sizeof mask->ipv6_src);
        memset(mask->ipv6_dst, 0xff, sizeof mask->ipv6_dst);
    }
    if (key->nw_proto == IPPROTO_TCP) {
        mask->tcp_flags |= htons(TCP_CHANGES);
    }

    struct kernel_flow *flow = &way->flow;
    for (int i = 0; i < KERNEL_WORDS; i++) {
        /* They come from no tunnel: no need to look at that. */
        flow->mask[i] = i < 16 ? mask->words[i] : 0;
        flow->key[i] = key->words[i] & flow->mask[i];
    }
    flow->blocks = kernel_mask_blocks(flow->mask);
    /* Word 0 is in_port and recirc_id. */
    struct flow_key first = { .in_port = ifindex };
    flow->key[0] = first.words[0];
}

/* Finds the way of 'packet', which 'in' received and has 'key'.  Returns false
 * if it isn't the way of an established connection, or not one for the kernel.
 * Changes the packet. */
static bool
walk(struct way *way, struct port *in, struct vhost_packet *packet,
     const struct flow_key *key, struct dp_thread *thread)
{
    struct dp_packet stand_in;
    uint32_t recirc_id;
    bool tracked = false;

    memset(way, 0, sizeof *way);
    kernel_compiler_init(&way->compiler, in->dp, &way->flow);
    if (!tracked_make_stand_in(&stand_in, packet, key, in)) {
        return false;
    }
    do {
        if (!add_step(way, in, packet, &stand_in.md)
            || !walk_step(way, in, packet, &stand_in, &recirc_id, thread)) {
            return false;
        }
        tracked |= stand_in.md.ct_state != 0;
        stand_in.md.recirc_id = recirc_id;
    } while (recirc_id);
    kernel_compiler_finish(&way->compiler);
    set_match(way, key, in->kernel->ifindex);
    way->flow.refresh = time_msec() * 1000000ULL + KERNEL_REFRESH_NSEC;
    return tracked;
}

/* --- Connections ------------------------------------------------------------*/

/* Counts for the megaflows what the entry of 'c' has counted since it was last
 * asked: 'stats' in all. */
static void
credit(struct kernel_connection *c, const struct dpif_flow_stats *stats)
{
    struct dpif_flow_stats news = {
        .n_packets = stats->n_packets - c->credited.n_packets,
        .n_bytes = stats->n_bytes - c->credited.n_bytes,
        .used = stats->used,
        .tcp_flags = stats->tcp_flags,
    };

    c->credited = *stats;
    if (news.n_packets) {
        for (unsigned int i = 0; i < c->n_steps; i++) {
            megaflow_add_stats(c->steps[i].flow, &news);
        }
    }
}

void
kernel_connection_lost(struct kernel_connection *c,
                       const struct dpif_flow_stats *stats)
{
    credit(c, stats);
    for (unsigned int i = 0; i < c->n_steps; i++) {
        ovs_list_remove(&c->steps[i].node);
    }
    hmap_remove(&connections, &c->node);
    atomic_count_dec(&n_connections);
    free(c);
}

const struct megaflow_table *
kernel_connection_table(const struct kernel_connection *c)
{
    return &c->dp->flows;
}

void
kernel_connections_run(long long int now)
{
    struct kernel_connection *c;

    HMAP_FOR_EACH_SAFE (c, node, &connections) {
        struct dpif_flow_stats stats = { .n_packets = 0 };

        kernel_entry_add_stats(c->entry, &stats);
        credit(c, &stats);
        if (now - c->checked > SILENT_MSEC) {
            kernel_entry_remove(c->entry);
        }
    }
}

void
kernel_connections_remove(struct megaflow *flow)
{
    struct ovs_list *list = &flow->info->kernel_connections;

    while (!ovs_list_is_empty(list)) {
        struct step *step = CONTAINER_OF(ovs_list_front(list), struct step,
                                         node);

        kernel_entry_remove(step->connection->entry);
    }
}

void
kernel_connections_flush(const struct datapath *dp)
{
    struct kernel_connection *c;

    kernel_flows_lock();
    HMAP_FOR_EACH_SAFE (c, node, &connections) {
        if (c->dp == dp) {
            kernel_entry_remove(c->entry);
        }
    }
    kernel_flows_unlock();
}

unsigned int
kernel_connections_count(const struct megaflow *flow)
{
    kernel_flows_lock();
    unsigned int n = ovs_list_size(&flow->info->kernel_connections);
    kernel_flows_unlock();
    return n;
}

/* Returns true if the megaflows on 'way' still are as they were when it was
 * walked. */
static bool
is_current(const struct way *way)
{
    for (unsigned int i = 0; i < way->n_steps; i++) {
        if (way->flows[i]->info->kernel_gone
            || ovsrcu_get(struct program *, &way->flows[i]->program)
               != way->programs[i]) {
            return false;
        }
    }
    return true;
}

/* Adds a connection that goes 'way'. */
static void
add(struct port *in, struct way *way, const struct connection_id *id,
    uint32_t hash)
{
    struct datapath *dp = in->dp;
    struct kernel_connection *c = xzalloc(sizeof *c);

    c->id = *id;
    c->dp = dp;
    c->checked = time_msec();
    if (!kernel_entry_add(c, in->kernel->index, &way->flow,
                          way->compiler.outputs, &c->entry)) {
        free(c);
        return;
    }
    hmap_insert(&connections, &c->node, hash);
    atomic_count_inc(&n_connections);
    c->n_steps = way->n_steps;
    for (unsigned int i = 0; i < way->n_steps; i++) {
        struct step *step = &c->steps[i];

        step->connection = c;
        step->flow = way->flows[i];
        ovs_list_push_back(&step->flow->info->kernel_connections,
                           &step->node);
    }
    if (conntrack_get_tcp_seq_chk(dp->conntrack)) {
        VLOG_INFO("%s: the kernel forwards established connections: TCP "
                  "sequence numbers are not checked any more "
                  "(dpctl/ct-enable-tcp-seq-chk ends this)", dp->name);
        conntrack_set_tcp_seq_chk(dp->conntrack, false);
    }
}

/* Returns true if the entry of 'c' is what 'way' says. */
static bool
goes(const struct kernel_connection *c, const struct way *way)
{
    const struct kernel_flow *flow = &kernel_engine.flows[c->entry];

    for (unsigned int i = 0; i < way->n_steps; i++) {
        if (i >= c->n_steps || c->steps[i].flow != way->flows[i]) {
            return false;
        }
    }
    return c->n_steps == way->n_steps
           && !memcmp(flow->key, way->flow.key, sizeof flow->key)
           && !memcmp(flow->mask, way->flow.mask, sizeof flow->mask)
           && flow->n_ops == way->flow.n_ops
           && !memcmp(flow->ops, way->flow.ops, sizeof flow->ops);
}

static bool
may_have_connections(const struct port *in)
{
    bool seq_chk;

    atomic_read(&in->dp->tcp_seq_chk, &seq_chk);
    return kernel_engine.enabled && !seq_chk
           && !ovsrcu_get(struct policer *, &in->ingress);
}

/* --- Packets ----------------------------------------------------------------*/

/* Ends the connection, if there is one. */
static void
end(const struct connection_id *id, uint32_t hash)
{
    if (atomic_count_get(&n_connections)) {
        kernel_flows_lock();
        struct kernel_connection *c = find(id, hash);
        if (c) {
            kernel_entry_remove(c->entry);
        }
        kernel_flows_unlock();
    }
}

/* Returns true if it is time to try and give the connection an entry. */
static bool
is_due(uint32_t hash)
{
    struct packet_count *count
        = &packet_counts[hash % ARRAY_SIZE(packet_counts)];

    if (count->hash != hash) {
        *count = (struct packet_count) { .hash = hash };
    }
    return ++count->n % RETRY_PACKETS == AFTER_PACKETS;
}

void
kernel_connection_consider(struct port *in, const struct vhost_packet *packet,
                           const struct flow_key *key,
                           struct dp_thread *thread)
{
    struct connection_id id;
    uint32_t hash;

    /* A tap or a tunnel has nothing that could give us copies. */
    if (in->kernel->tap || in->kernel->lift) {
        return;
    }
    hash = identify(key, &id);
    if (key->nw_proto == IPPROTO_TCP
        && key->tcp_flags & htons(TCP_CHANGES)) {
        end(&id, hash);
    } else if (is_due(hash) && may_have_connections(in)) {
        struct packet_clone clone;
        struct way way;

        packet_clone_init(&clone, packet);
        if (walk(&way, in, &clone.packet, key, thread)) {
            kernel_flows_lock();
            struct kernel_connection *c = find(&id, hash);
            if (c) {
                kernel_entry_remove(c->entry);
            }
            if (is_current(&way) && may_have_connections(in)) {
                add(in, &way, &id, hash);
            }
            kernel_flows_unlock();
        }
    }
}

void
kernel_connection_refresh(struct port *in, struct vhost_packet *packet,
                          struct dp_thread *thread)
{
    const struct pkt_metadata md = { .recirc_id = 0 };
    struct flow_parse parsed;
    struct connection_id id;
    struct flow_key key;
    struct way way;

    if (!in->kernel || !tracked_make_key(in, packet, &md, &key, &parsed)) {
        return;
    }
    packet->l3_ofs = parsed.l3_ofs;
    packet->l4_ofs = parsed.l4_ofs;
    packet->user = NULL;
    /* Its end isn't there to be summed up. */
    packet->vnet.flags |= VIRTIO_NET_HDR_F_DATA_VALID;

    uint32_t hash = identify(&key, &id);
    bool ok = walk(&way, in, packet, &key, thread);
    kernel_flows_lock();
    struct kernel_connection *c = find(&id, hash);
    if (c && ok && goes(c, &way)) {
        c->checked = time_msec();
    } else if (c) {
        kernel_entry_remove(c->entry);
    }
    kernel_flows_unlock();
    /* The tracker may have had fragments that waited. */
    receive_deferred(thread);
}
