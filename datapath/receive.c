/* The fast path: a batch of packets from one port, from parsing to sending.
 *
 * The batch goes through in steps, each over all packets, so that what one
 * packet waits for from memory is fetched while others are worked on.
 * Packets whose headers say the same as those of the one before them share its
 * key, and what is found for it.
 *
 * Packets that find no flow, or whose flow has a generic program, are copied
 * out of the sender's memory and put aside; once the batch has been sent and
 * the sender has its buffers back, receive_deferred() deals with them, when
 * the thread no longer holds views of anybody's memory. */
#include <config.h>
#include "datapath/private.h"

#include <string.h>

#include "datapath/addresses.h"
#include "datapath/header-template.h"
#include "datapath/policer.h"
#include "datapath/program.h"
#include "dp-packet.h"
#include "flow.h"
#include "timeval.h"
#include "util.h"

/* Where the key of a packet is, if not in thread->keys. */
#define KEY_NONE_GENERIC VHOST_BATCH    /* Headers too long for a snapshot. */
#define KEY_NONE_DROPPED (VHOST_BATCH + 1)

static void
key_init(struct flow_key *key, const struct port *port)
{
    memset(key, 0, 128);
    key->in_port = odp_to_u32(port->number);
}

/* Parses 'packet' into 'key', pulling headers into the snapshot as needed. */
static bool
parse_packet(const struct port *port, struct vhost_packet *packet,
             struct flow_key *key, struct flow_parse *parsed)
{
    for (;;) {
        key_init(key, port);
        parsed->blocks = FLOW_KEY_L2_L4;
        parsed->vlan_limit = flow_vlan_limit;
        if (flow_key_parse(packet->head, packet->head_len, packet->len, key,
                           parsed)) {
            packet->l3_ofs = parsed->l3_ofs;
            packet->l4_ofs = parsed->l4_ofs;
            return true;
        }
        /* A few bytes more than asked for spare another round. */
        uint32_t want = MIN(MAX(parsed->need, 128), packet->len);
        if (!vhost_packet_pull(packet, want)
            && !vhost_packet_pull(packet, parsed->need)) {
            return false;
        }
    }
}

/* Returns true if keys 'a' and 'b' of 'thread' are the same, and the headers
 * that they were made from in the same places. */
static bool
same_key(const struct dp_thread *thread, unsigned int a, unsigned int b)
{
    return thread->hashes[a] == thread->hashes[b]
           && thread->parsed[a].l3_ofs == thread->parsed[b].l3_ofs
           && thread->parsed[a].l4_ofs == thread->parsed[b].l4_ofs
           && !memcmp(&thread->keys[a], &thread->keys[b], 128);
}

/* Parses 'packet', from 'port', unless its headers match 'template', which
 * stands for the last of the '*n_keys' that 'thread' has.  (It is made when
 * that turns out to be the key of two packets in a row: packets that all differ
 * need none.)  Returns the number of its key, a new one or that, or
 * KEY_NONE_*. */
static unsigned int
parse(struct port *port, struct vhost_packet *packet,
      struct header_template *template, unsigned int *n_keys,
      struct dp_thread *thread)
{
    bool alike = header_template_matches(template, packet->head,
                                         packet->head_len, packet->len);
    unsigned int i = *n_keys - alike;
    struct flow_key *key = &thread->keys[i];
    struct flow_parse *parsed = &thread->parsed[i];

    packet->user = NULL;
    if (alike) {
        packet->l3_ofs = parsed->l3_ofs;
        packet->l4_ofs = parsed->l4_ofs;
    } else if (OVS_UNLIKELY(!parse_packet(port, packet, key, parsed))) {
        return KEY_NONE_GENERIC;
    }
    if (OVS_UNLIKELY(packet->vnet.flags | packet->vnet.gso_type)
        && !offload_check(packet, key)) {
        port_drop_packet(port, DROP_BAD_OFFLOAD, packet, thread);
        return KEY_NONE_DROPPED;
    }
    if (!alike) {
        thread->hashes[i] = microflow_hash(key, parsed->blocks);
        if (i && same_key(thread, i - 1, i)) {
            header_template_make(template, packet->head, packet->head_len,
                                 packet->len, key, parsed);
            i--;
        } else {
            __builtin_prefetch(microflow_line(thread->cache,
                                              thread->hashes[i]));
            thread->packet_hashes[i] = flow_key_hash(key, parsed->blocks);
            template->n_words = 0;
            ++*n_keys;
        }
    }
    packet->hash = thread->packet_hashes[i];
    return i;
}

struct put_aside_aux {
    struct port *port;
    const struct dp_packet *stand_in;
    const struct program *program;
    size_t ofs, len;
    struct dp_thread *thread;
};

static void
put_aside__(struct vhost_packet *packet, void *aux_)
{
    struct put_aside_aux *aux = aux_;
    struct dp_packet *copy;

    if (aux->thread->n_deferred == ARRAY_SIZE(aux->thread->deferred)) {
        port_drop_packet(aux->port, DROP_RX_QUEUE, packet, aux->thread);
        return;
    }
    copy = generic_packet(packet, aux->port);
    if (aux->stand_in) {
        copy->md = aux->stand_in->md;
    }
    aux->thread->deferred[aux->thread->n_deferred++] = (struct deferred) {
        .packet = copy, .dp = aux->port->dp, .program = aux->program,
        .ofs = aux->ofs, .len = aux->len,
    };
}

static struct eth_addr
source_address(const struct vhost_packet *packet)
{
    struct eth_addr src;

    memcpy(&src, packet->head + ETH_ADDR_LEN, sizeof src);
    return src;
}

/* Puts 'packet' aside: to run 'program', or to find out which.  This is where
 * a source address that its port hasn't had before comes to. */
void
put_aside(struct port *port, struct vhost_packet *packet,
          const struct dp_packet *stand_in, const struct program *program,
          struct dp_thread *thread)
{
    put_aside_for(port, packet, stand_in, program, 0,
                  program ? program->actions_len : 0, thread);
}

void
put_aside_for(struct port *port, struct vhost_packet *packet,
              const struct dp_packet *stand_in, const struct program *program,
              size_t ofs, size_t len, struct dp_thread *thread)
{
    struct put_aside_aux aux = { port, stand_in, program, ofs, len, thread };

    if (!program && !stand_in
        && !port_allows_source(port, source_address(packet))) {
        port_drop_packet(port, DROP_SPOOFED, packet, thread);
    } else if (OVS_LIKELY(packet->len <= GENERIC_MAX_LEN)) {
        put_aside__(packet, &aux);
    } else if (packet->vnet.gso_type != VIRTIO_NET_HDR_GSO_NONE
               && packet->vnet.gso_size < GENERIC_MAX_LEN / 2) {
        offload_split(packet, GENERIC_MAX_LEN, put_aside__, &aux);
    } else {
        port_drop_packet(port, DROP_UNPARSED, packet, thread);
    }
}

/* Puts 'packet', which found no flow, aside.  It may yet find one: a wide one,
 * or one that a packet before it brings. */
static void
miss(struct port *port, struct vhost_packet *packet, struct dp_thread *thread)
{
    thread->n_missed++;
    if (OVS_UNLIKELY(upcall_is_hopeless(port))
        && !megaflow_table_has_wide(&port->dp->flows)) {
        counter_add(&thread->cache_counters.miss, 1);
        counter_add(&thread->cache_counters.lost, 1);
        port_drop_packet(port, DROP_UPCALL_QUEUE, packet, thread);
    } else {
        put_aside(port, packet, NULL, NULL, thread);
    }
}

struct megaflow *
look_up_slow(struct datapath *dp, struct flow_key *key, unsigned int *blocks,
             uint64_t hash, struct dp_thread *thread)
{
    struct megaflow *flow = megaflow_lookup(&dp->flows, key, blocks);

    if (flow) {
        microflow_insert(thread->cache, hash, flow);
        counter_add(&thread->cache_counters.megaflow, 1);
    }
    return flow;
}

/* Parses the 'n' packets that 'port' received into the keys of 'thread', with
 * the number of each packet's key in 'which'.  Returns the number of keys. */
static unsigned int
parse_batch(struct port *port, struct vhost_packet packets[], unsigned int n,
            uint8_t which[], struct dp_thread *thread)
{
    struct policer *policer = ovsrcu_get(struct policer *, &port->ingress);
    long long int now = OVS_UNLIKELY(policer) ? time_usec() : 0;
    struct port_counters *counters = &thread->counters[port->index];
    struct header_template template = { .n_words = 0 };
    unsigned int n_keys = 0;
    uint64_t bytes = 0;

    for (unsigned int i = 0; i < n; i++) {
        bytes += packets[i].len;
        if (OVS_UNLIKELY(policer)
            && !policer_admit(policer, packets[i].len, now)) {
            port_drop_packet(port, DROP_POLICING, &packets[i], thread);
            which[i] = KEY_NONE_DROPPED;
        } else {
            which[i] = parse(port, &packets[i], &template, &n_keys, thread);
        }
    }
    counter_add(&counters->rx_packets, n);
    counter_add(&counters->rx_bytes, bytes);
    return n_keys;
}

/* Finds the flows of the first 'n' keys of 'thread', NULL where there is none.
 * Returns for how many there is one. */
static unsigned int
look_up(struct datapath *dp, unsigned int n, struct dp_thread *thread)
{
    struct megaflow **flows = thread->flows;
    unsigned int n_hits = 0, n_found = 0;

    for (unsigned int i = 0; i < n; i++) {
        flows[i] = microflow_find(thread->cache, thread->hashes[i]);
        if (flows[i]) {
            __builtin_prefetch(&flows[i]->key);
            __builtin_prefetch(&flows[i]->program);
        }
    }
    for (unsigned int i = 0; i < n; i++) {
        struct flow_key *key = &thread->keys[i];
        unsigned int blocks = thread->parsed[i].blocks;

        if (flows[i] && megaflow_matches(flows[i], &dp->flows, key,
                                         &blocks)) {
            n_hits++;
        } else {
            flows[i] = look_up_slow(dp, key, &blocks, thread->hashes[i],
                                    thread);
        }
        n_found += flows[i] != NULL;
    }
    counter_add(&thread->cache_counters.microflow, n_hits);
    return n_found;
}

/* Counts the 'n' 'packets', all of 'flow', and runs its program on them; the
 * keys of 'thread' that 'which' names are theirs. */
static void
act(struct port *port, struct vhost_packet packets[], const uint8_t which[],
    unsigned int n, struct megaflow *flow, struct dp_thread *thread)
{
    unsigned int bytes = 0;
    uint16_t tcp_flags = 0;

    for (unsigned int i = 0; i < n; i++) {
        bytes += packets[i].len;
        tcp_flags |= thread->keys[which[i]].tcp_flags;
    }
    megaflow_count(thread->stats, flow, n, bytes, ntohs(tcp_flags),
                   thread->now);

    const struct program *program = ovsrcu_get(struct program *,
                                               &flow->program);
    if (OVS_UNLIKELY(program->tracks)) {
        tracked_run(program, port, packets, which, n, thread);
    } else if (OVS_UNLIKELY(program->generic)) {
        for (unsigned int i = 0; i < n; i++) {
            put_aside(port, &packets[i], NULL, program, thread);
        }
    } else {
        program_run(program, port, packets, n, thread);
    }
}

void
receive_batch(struct port *port, struct vhost_packet packets[],
              unsigned int n, struct dp_thread *thread)
{
    uint8_t which[VHOST_BATCH];
    unsigned int n_keys = parse_batch(port, packets, n, which, thread);
    unsigned int n_looked_up = look_up(port->dp, n_keys, thread);
    unsigned int n_acted = 0;

    for (unsigned int i = 0; i < n; ) {
        struct megaflow *flow = which[i] < n_keys ? thread->flows[which[i]]
                                                  : NULL;
        unsigned int end = i + 1;

        if (flow) {
            while (end < n && which[end] < n_keys
                   && thread->flows[which[end]] == flow) {
                end++;
            }
            act(port, &packets[i], &which[i], end - i, flow, thread);
            n_acted += end - i;
        } else if (which[i] != KEY_NONE_DROPPED) {
            miss(port, &packets[i], thread);
        }
        i = end;
    }
    counter_add(&thread->cache_counters.same, n_acted - n_looked_up);
    upcall_note_misses(port, n, thread->n_missed);
    thread->n_missed = 0;
    transmit_flush(thread);
}

void
receive_deferred(struct dp_thread *thread)
{
    unsigned int n = thread->n_deferred;

    thread->n_deferred = 0;
    for (unsigned int i = 0; i < n; i++) {
        struct deferred *d = &thread->deferred[i];

        if (d->program) {
            generic_run(d->dp, d->packet, d->program, d->ofs, d->len,
                        thread);
        } else {
            generic_receive(d->dp, d->packet, thread);
        }
    }
    if (n) {
        transmit_flush(thread);
    }
}

void
datapath_receive(struct port *port, struct vhost_packet packets[],
                 unsigned int n, struct dp_thread *thread)
{
    receive_batch(port, packets, n, thread);
    receive_deferred(thread);
}
