/* The kernel engine's flows: see kernel.h.
 *
 * An entry is an element of the map "flows" and one of the hash map that finds
 * it.  A program may still be working with an entry that has been removed, and
 * it counts in its statistics, so a number is used again only after a rest
 * that is very much longer than a packet takes.  A changed entry therefore
 * gets a new number.
 *
 * When there are as many entries as there may be, a new one takes the place of
 * the least recently used of a random sample, if that is no longer in use;
 * else its flow stays with the user engine and asks again later.
 *
 * An entry may also be that of a connection: see connections.c.
 *
 * Masks: each port has a list of those that its entries have.  A new one is
 * appended; lists are put in order of use, and freed of what is unused, once a
 * second, by filling in a second list and switching over. */
#include <config.h>
#include "datapath/kernel/engine.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "datapath/private.h"
#include "datapath/program.h"
#include "openvswitch/vlog.h"
#include "random.h"
#include "timeval.h"
#include "util.h"

VLOG_DEFINE_THIS_MODULE(kernel_flows);

#define REST_MSEC 1000              /* Before a number is used again. */
#define IDLE_MSEC 1000              /* Who isn't used that long may go. */
#define SAMPLE 16                   /* Entries that compete for going. */
#define RUN_INTERVAL_MSEC 1000      /* Between two looks at masks. */

#define NO_ENTRY MEGAFLOW_NO_ENTRY

/* What the daemon knows of an entry. */
struct entry {
    struct megaflow *flow;          /* Whose it is: either of these.  Both */
    struct kernel_connection *connection; /* NULL: the last daemon's. */
    const struct program *program;  /* That it was made from, a flow's: the
                                     * flow may have another by now. */
    uint64_t hash;                  /* In the hash map. */
    uint64_t outputs;               /* As kernel_compile()'s. */
    long long int since;            /* Installed, or removed; ms. */
    uint64_t n_told;                /* Packets that tell_drops() knows of. */
    uint32_t port;
    uint16_t mask;
    bool used;
};

/* Uses of a mask by a port's entries. */
struct mask_use {
    uint16_t mask;
    unsigned int n_entries;
};

struct port_masks {
    unsigned int n;
    struct mask_use uses[KERNEL_PORT_MASKS];
};

static struct ovs_mutex mutex = OVS_MUTEX_INITIALIZER;
static struct entry *entries OVS_GUARDED_BY(mutex);
static uint32_t n_entries OVS_GUARDED_BY(mutex);
static uint32_t n_ever OVS_GUARDED_BY(mutex);       /* Numbers ever used. */
static uint32_t *resting OVS_GUARDED_BY(mutex);     /* A ring: free numbers, */
static uint32_t first_resting OVS_GUARDED_BY(mutex); /* those that rest */
static uint32_t n_resting OVS_GUARDED_BY(mutex);    /* longest first. */
static unsigned int mask_uses[KERNEL_MAX_MASKS] OVS_GUARDED_BY(mutex);
static unsigned int n_masks OVS_GUARDED_BY(mutex);  /* Numbers ever used. */
static struct port_masks port_masks[KERNEL_MAX_PORTS] OVS_GUARDED_BY(mutex);
static long long int next_run OVS_GUARDED_BY(mutex);

/* --- Masks ------------------------------------------------------------------*/

static void
publish_masks(uint32_t port)
    OVS_REQUIRES(mutex)
{
    const struct port_masks *pm = &port_masks[port];
    struct kernel_port *p = &kernel_engine.ports[port];
    uint32_t list = !p->list;

    for (unsigned int i = 0; i < pm->n; i++) {
        p->masks[list][i] = pm->uses[i].mask;
    }
    p->n_masks[list] = pm->n;
    __atomic_store_n(&p->list, list, __ATOMIC_RELEASE);
}

uint32_t
kernel_mask_blocks(const __u64 words[KERNEL_WORDS])
{
    uint32_t blocks = FLOW_KEY_L2_L4;

    for (int i = 0; i < KERNEL_WORDS; i++) {
        blocks |= words[i] ? 1u << i / 8 : 0;
    }
    return blocks;
}

/* The number of mask 'words', a new one if nobody has it, KERNEL_MAX_MASKS if
 * there are too many. */
static unsigned int
mask_number(const __u64 words[KERNEL_WORDS])
    OVS_REQUIRES(mutex)
{
    unsigned int free = n_masks;

    for (unsigned int i = 0; i < n_masks; i++) {
        if (!memcmp(kernel_engine.masks[i].words, words,
                    KERNEL_WORDS * sizeof *words)) {
            return i;
        }
        if (!mask_uses[i]) {
            free = i;
        }
    }
    if (free < KERNEL_MAX_MASKS) {
        struct kernel_mask *mask = &kernel_engine.masks[free];

        n_masks = MAX(n_masks, free + 1);
        memcpy(mask->words, words, sizeof mask->words);
        mask->blocks = kernel_mask_blocks(words);
        mask->hits = 0;
    }
    return free;
}

/* Notes that an entry of 'port' uses mask 'mask'.  Returns false if the port
 * has too many others. */
static bool
use_mask(uint32_t port, unsigned int mask)
    OVS_REQUIRES(mutex)
{
    struct port_masks *pm = &port_masks[port];
    unsigned int i;

    for (i = 0; i < pm->n && pm->uses[i].mask != mask; i++) {
        continue;
    }
    if (i == KERNEL_PORT_MASKS) {
        kernel_port_set_crowded(port, true);
        return false;
    }
    if (i == pm->n) {
        struct kernel_port *p = &kernel_engine.ports[port];
        uint32_t list = p->list;

        pm->uses[pm->n++] = (struct mask_use) { .mask = mask };
        p->masks[list][i] = mask;
        __atomic_store_n(&p->n_masks[list], pm->n, __ATOMIC_RELEASE);
    }
    pm->uses[i].n_entries++;
    mask_uses[mask]++;
    return true;
}

static void
unuse_mask(uint32_t port, unsigned int mask)
    OVS_REQUIRES(mutex)
{
    struct port_masks *pm = &port_masks[port];

    for (unsigned int i = 0; i < pm->n; i++) {
        if (pm->uses[i].mask == mask) {
            pm->uses[i].n_entries--;
        }
    }
    mask_uses[mask]--;
}

static int
compare_uses(const void *a_, const void *b_)
{
    const struct mask_use *a = a_, *b = b_;
    uint32_t a_hits = kernel_engine.masks[a->mask].hits;
    uint32_t b_hits = kernel_engine.masks[b->mask].hits;

    return a_hits < b_hits ? 1 : a_hits > b_hits ? -1 : a->mask - b->mask;
}

/* Puts the masks of 'port' in order. */
static void
sort_masks(uint32_t port)
    OVS_REQUIRES(mutex)
{
    struct port_masks *pm = &port_masks[port];
    unsigned int n = 0;

    for (unsigned int i = 0; i < pm->n; i++) {
        if (pm->uses[i].n_entries) {
            pm->uses[n++] = pm->uses[i];
        }
    }
    pm->n = n;
    if (n < KERNEL_PORT_MASKS) {
        kernel_port_set_crowded(port, false);
    }
    qsort(pm->uses, n, sizeof *pm->uses, compare_uses);
    publish_masks(port);
}

void
kernel_flows_run(long long int now)
{
    if (!kernel_engine.loaded) {
        return;
    }
    ovs_mutex_lock(&mutex);
    if (now >= next_run) {
        next_run = now + RUN_INTERVAL_MSEC;
        for (uint32_t i = 0; i < KERNEL_MAX_PORTS; i++) {
            if (port_masks[i].n) {
                sort_masks(i);
            }
        }
        for (unsigned int i = 0; i < n_masks; i++) {
            kernel_engine.masks[i].hits /= 2;
        }
    }
    kernel_connections_run(now);
    ovs_mutex_unlock(&mutex);
}

/* --- Statistics -------------------------------------------------------------*/

static void
add_stats(uint32_t i, struct dpif_flow_stats *sum)
{
    const struct kernel_stats *s;

    KERNEL_FOR_EACH_CPU (s, kernel_engine.stats, kernel_engine.n_flows, i) {
        sum->n_packets += s->n_packets;
        sum->n_bytes += s->n_bytes;
        sum->used = MAX(sum->used, (long long int) s->used);
        sum->tcp_flags |= s->tcp_flags;
    }
}

/* Tells libopenvswitch, which counts drops by their reasons, of what entry 'i'
 * of a flow, which has had 'n' packets by now, has dropped since the last
 * time. */
static void
tell_drops(uint32_t i, uint64_t n)
    OVS_REQUIRES(mutex)
{
    const struct program *program = entries[i].program;

    if (program->n_ops && program->ops[0].type == OP_DROP) {
        program_count_drops(program, program->ops, n - entries[i].n_told);
    }
    entries[i].n_told = n;
}

void
kernel_flows_lock(void)
    OVS_NO_THREAD_SAFETY_ANALYSIS
{
    ovs_mutex_lock(&mutex);
}

void
kernel_flows_unlock(void)
    OVS_NO_THREAD_SAFETY_ANALYSIS
{
    ovs_mutex_unlock(&mutex);
}

void
kernel_flow_add_stats(const struct megaflow *flow, struct dpif_flow_stats *sum)
    OVS_NO_THREAD_SAFETY_ANALYSIS
{
    uint32_t i = flow->info->kernel_entry;

    if (i != NO_ENTRY) {
        uint64_t before = sum->n_packets;

        add_stats(i, sum);
        tell_drops(i, sum->n_packets - before);
    }
}

bool
kernel_flow_exists(const struct megaflow *flow)
{
    ovs_mutex_lock(&mutex);
    bool exists = flow->info->kernel_entry != NO_ENTRY;
    ovs_mutex_unlock(&mutex);
    return exists;
}

/* --- Entries ----------------------------------------------------------------*/

/* Makes programs find no flow 'i' any more. */
static void
unpublish(uint32_t i)
    OVS_REQUIRES(mutex)
{
    struct entry *e = &entries[i];
    uint32_t found;

    __atomic_store_n(&kernel_engine.flows[i].key[0], 0, __ATOMIC_RELEASE);
    if (!bpf_map_lookup_elem(kernel_engine.by_hash_fd, &e->hash, &found)
        && found == i) {
        bpf_map_delete_elem(kernel_engine.by_hash_fd, &e->hash);
    }
}

/* Removes entry 'i', leaving its statistics to its flow or connection. */
static void
remove_entry(uint32_t i)
    OVS_REQUIRES(mutex)
{
    struct entry *e = &entries[i];
    struct dpif_flow_stats stats = { .n_packets = 0 };

    unpublish(i);
    add_stats(i, &stats);
    if (e->flow) {
        tell_drops(i, stats.n_packets);
        e->flow->info->kernel_entry = NO_ENTRY;
        megaflow_add_stats(e->flow, &stats);
    } else if (e->connection) {
        kernel_connection_lost(e->connection, &stats);
    }
    unuse_mask(e->port, e->mask);
    e->used = false;
    e->since = time_msec();
    n_entries--;
    resting[(first_resting + n_resting++) % kernel_engine.n_flows] = i;
}

/* Makes room for one more entry, if there isn't any. */
static bool
make_room(long long int now)
    OVS_REQUIRES(mutex)
{
    long long int oldest = now - IDLE_MSEC;
    uint32_t victim = NO_ENTRY;

    if (n_entries < kernel_engine.max_flows) {
        return true;
    }
    for (int n = 0; n < SAMPLE; n++) {
        uint32_t i = random_range(n_ever);
        struct dpif_flow_stats stats = { .n_packets = 0 };

        if (entries[i].used) {
            add_stats(i, &stats);

            long long int used = MAX(stats.used, entries[i].since);
            if (used < oldest) {
                oldest = used;
                victim = i;
            }
        }
    }
    if (victim == NO_ENTRY) {
        return false;
    }
    remove_entry(victim);
    return true;
}

/* A number for a new entry, NO_ENTRY if there is none at the moment. */
static uint32_t
allocate(long long int now)
    OVS_REQUIRES(mutex)
{
    if (!make_room(now)) {
        return NO_ENTRY;
    }
    if (n_ever < kernel_engine.n_flows) {
        return n_ever++;
    }
    if (n_resting) {
        uint32_t i = resting[first_resting];

        if (now - entries[i].since >= REST_MSEC) {
            first_resting = (first_resting + 1) % kernel_engine.n_flows;
            n_resting--;
            return i;
        }
    }
    return NO_ENTRY;
}

/* Gives a number that has been allocated for nothing back. */
static void
deallocate(uint32_t i)
    OVS_REQUIRES(mutex)
{
    entries[i].since = 0;
    resting[(first_resting + n_resting++) % kernel_engine.n_flows] = i;
}

/* --- Installing -------------------------------------------------------------*/

/* Fills in key and mask of 'out' for compact 'flow', of the device of 'a'.
 * Returns false if no packet here can match it. */
static bool
set_match(const struct megaflow *flow, const struct kernel_attachment *a,
          struct kernel_flow *out)
{
    struct flow_key key = flow->key, mask = flow->subtable->mask;

    /* What has been tracked has not been so in the kernel. */
    if (key.recirc_id && (!mask.dp_hash || key.ct_state)) {
        return false;
    }
    if (!a->lift) {
        /* No packet here has anything of a tunnel: no need to look. */
        for (int i = 16; i < KERNEL_WORDS; i++) {
            if (key.words[i]) {
                return false;
            }
            mask.words[i] = 0;
        }
    }
    key.in_port = a->ifindex;
    memcpy(out->key, key.words, sizeof out->key);
    memcpy(out->mask, mask.words, sizeof out->mask);
    out->blocks = kernel_mask_blocks(out->mask);
    return true;
}

/* Makes 'flow', filled in but for what depends on the moment, entry number 'i'
 * with 'hash'. */
static int
publish(uint32_t i, uint64_t hash, const struct kernel_flow *flow)
    OVS_REQUIRES(mutex)
{
    struct kernel_flow *k = &kernel_engine.flows[i];
    struct kernel_stats *s;

    KERNEL_FOR_EACH_CPU (s, kernel_engine.stats, kernel_engine.n_flows, i) {
        memset(s, 0, sizeof *s);
    }
    memcpy(&k->key[1], &flow->key[1], sizeof *k - sizeof k->key[0]);
    __atomic_store_n(&k->key[0], flow->key[0], __ATOMIC_RELEASE);
    return -bpf_map_update_elem(kernel_engine.by_hash_fd, &hash, &i, BPF_ANY);
}

/* The entry that is found by 'hash', NO_ENTRY if there is none. */
static uint32_t
find_hash(uint64_t hash)
    OVS_REQUIRES(mutex)
{
    uint32_t i;

    return !bpf_map_lookup_elem(kernel_engine.by_hash_fd, &hash, &i)
           && i < n_ever && entries[i].used && entries[i].hash == hash
           ? i : NO_ENTRY;
}

/* Makes room for one more entry of 'port' that is found by 'hash' under mask
 * number 'mask', and uses that.  Returns its number or NO_ENTRY. */
static uint32_t
prepare(uint32_t port, unsigned int mask, uint64_t hash, uint32_t old)
    OVS_REQUIRES(mutex)
{
    if (!use_mask(port, mask)) {
        return NO_ENTRY;
    }

    uint32_t other = find_hash(hash);
    bool free = true;
    if (other != NO_ENTRY && other != old) {
        /* Of another flow with the same hash: one of them has to go up. */
        free = !entries[other].flow && !entries[other].connection;
        if (free) {
            remove_entry(other);
        }
    }
    uint32_t i = free ? allocate(time_msec()) : NO_ENTRY;
    if (i == NO_ENTRY) {
        unuse_mask(port, mask);
    }
    return i;
}

/* Adds an entry like 'k' on 'port', that of 'owner', which has '*old' already
 * or NO_ENTRY.  '*old' becomes its number.  Returns false if there is no
 * room. */
static bool
install(struct entry owner, uint32_t port, struct kernel_flow *k,
        uint64_t outputs, uint32_t *old)
    OVS_REQUIRES(mutex)
{
    unsigned int mask = mask_number(k->mask);

    if (mask >= KERNEL_MAX_MASKS) {
        kernel_port_set_crowded(port, true);
        return false;
    }
    uint64_t hash = kernel_mask_hash(&kernel_engine.masks[mask], mask, k->key);
    uint32_t i = prepare(port, mask, hash, *old);
    if (i == NO_ENTRY) {
        return false;
    }

    /* No later packet may overtake those that are on their way through the
     * daemon; with an entry that acts already there are none.  (The old one
     * may have made room.) */
    k->state = KERNEL_FLOW_PENDING;
    if (*old != NO_ENTRY) {
        k->state = kernel_engine.flows[*old].state;
    }
    k->mark = kernel_port_attach(port);
    k->marked = time_msec() * 1000000ULL;
    k->deadline = k->marked + KERNEL_PENDING_NSEC;
    int error = publish(i, hash, k);
    if (error) {
        static struct vlog_rate_limit rl = VLOG_RATE_LIMIT_INIT(1, 1);

        VLOG_WARN_RL(&rl, "cannot add a flow to a BPF map (%s)",
                     ovs_strerror(error));
        __atomic_store_n(&kernel_engine.flows[i].key[0], 0,
                         __ATOMIC_RELEASE);
        unuse_mask(port, mask);
        deallocate(i);
        return false;
    }
    entries[i] = (struct entry) {
        .flow = owner.flow,
        .connection = owner.connection,
        .program = owner.program,
        .hash = hash,
        .outputs = outputs,
        .since = time_msec(),
        .port = port,
        .mask = mask,
        .used = true,
    };
    n_entries++;
    if (*old != NO_ENTRY) {
        remove_entry(*old);
    }
    *old = i;
    return true;
}

bool
kernel_entry_add(struct kernel_connection *connection, uint32_t port,
                 struct kernel_flow *k, uint64_t outputs, uint32_t *entry)
    OVS_NO_THREAD_SAFETY_ANALYSIS
{
    *entry = NO_ENTRY;
    return install((struct entry) { .connection = connection }, port, k,
                   outputs, entry);
}

void
kernel_entry_remove(uint32_t entry)
    OVS_NO_THREAD_SAFETY_ANALYSIS
{
    remove_entry(entry);
}

void
kernel_entry_add_stats(uint32_t entry, struct dpif_flow_stats *sum)
    OVS_NO_THREAD_SAFETY_ANALYSIS
{
    add_stats(entry, sum);
}

void
kernel_flow_put(struct megaflow *flow)
{
    const struct datapath *dp = CONTAINER_OF(flow->table, struct datapath,
                                             flows);
    struct kernel_flow k;
    uint64_t outputs;

    const struct port *in = datapath_port(dp, megaflow_in_port(flow));
    const struct kernel_attachment *a = in ? in->kernel : NULL;

    if (!kernel_engine.loaded
        || (!a && flow->info->kernel_entry == NO_ENTRY
            && ovs_list_is_empty(&flow->info->kernel_connections))) {
        return;
    }
    memset(&k, 0, sizeof k);
    ovs_mutex_lock(&mutex);
    kernel_connections_remove(flow);

    const struct program *program = ovsrcu_get(struct program *,
                                               &flow->program);
    /* What a port may receive at most is policed by the user engine. */
    bool possible = a && flow->subtable
                    && !ovsrcu_get(struct policer *, &in->ingress)
                    && set_match(flow, a, &k)
                    && kernel_compile(dp, program, &k, &outputs);
    bool installed = possible && kernel_engine.enabled
                     && install((struct entry) { .flow = flow,
                                                 .program = program },
                                a->index, &k, outputs,
                                &flow->info->kernel_entry);
    if (!installed && flow->info->kernel_entry != NO_ENTRY) {
        remove_entry(flow->info->kernel_entry);
    }
    flow->info->kernel_wanted = possible && !installed;
    ovs_mutex_unlock(&mutex);
}

void
kernel_flow_retry(struct megaflow *flow)
{
    if (flow->info->kernel_wanted && kernel_engine.enabled) {
        ovs_mutex_lock(&flow->table->mutex);
        if (flow->info->kernel_wanted) {
            kernel_flow_put(flow);
        }
        ovs_mutex_unlock(&flow->table->mutex);
    }
}

/* --- Removing ---------------------------------------------------------------*/

void
kernel_flow_remove(struct megaflow *flow)
{
    ovs_mutex_lock(&mutex);
    flow->info->kernel_wanted = false;
    flow->info->kernel_gone = true;
    kernel_connections_remove(flow);
    if (flow->info->kernel_entry != NO_ENTRY) {
        remove_entry(flow->info->kernel_entry);
    }
    ovs_mutex_unlock(&mutex);
}

void
kernel_flows_leave(struct megaflow_table *table)
{
    ovs_mutex_lock(&mutex);
    for (uint32_t i = 0; i < n_ever; i++) {
        struct entry *e = &entries[i];

        if (e->used && e->flow && e->flow->table == table) {
            e->flow->info->kernel_entry = NO_ENTRY;
            e->flow = NULL;
        } else if (e->used && e->connection
                   && kernel_connection_table(e->connection) == table) {
            struct dpif_flow_stats stats = { .n_packets = 0 };

            add_stats(i, &stats);
            kernel_connection_lost(e->connection, &stats);
            e->connection = NULL;
        }
    }
    ovs_mutex_unlock(&mutex);
}

void
kernel_flows_remove_port(const struct port *port)
{
    if (!port->kernel) {
        return;
    }

    uint64_t bit = UINT64_C(1) << port->kernel->index % 64;

    ovs_mutex_lock(&mutex);
    for (uint32_t i = 0; i < n_ever; i++) {
        if (entries[i].used && (entries[i].port == port->kernel->index
                                || entries[i].outputs & bit)) {
            struct megaflow *flow = entries[i].flow;

            remove_entry(i);
            if (flow) {
                /* It may have gone for another port's sake. */
                flow->info->kernel_wanted = true;
            }
        }
    }
    ovs_mutex_unlock(&mutex);
}

void
kernel_flows_suspend(void)
{
    ovs_mutex_lock(&mutex);
    for (uint32_t i = 0; i < n_ever; i++) {
        if (entries[i].used) {
            struct megaflow *flow = entries[i].flow;

            remove_entry(i);
            if (flow) {
                flow->info->kernel_wanted = true;
            }
        }
    }
    ovs_mutex_unlock(&mutex);
}

void
kernel_flows_drop_left(void)
{
    ovs_mutex_lock(&mutex);
    for (uint32_t i = 0; i < n_ever; i++) {
        if (entries[i].used && !entries[i].flow && !entries[i].connection) {
            remove_entry(i);
        }
    }
    ovs_mutex_unlock(&mutex);
}

/* --- Taking over ------------------------------------------------------------*/

/* The mask of 'flow' among those that the programs try for 'port',
 * KERNEL_MAX_MASKS if it isn't there. */
static unsigned int
find_left_mask(const struct kernel_flow *flow, const struct kernel_port *port)
{
    uint32_t list = port->list & 1;

    for (uint32_t i = 0; i < MIN(port->n_masks[list], KERNEL_PORT_MASKS);
         i++) {
        unsigned int id = port->masks[list][i];

        if (id < KERNEL_MAX_MASKS
            && !memcmp(kernel_engine.masks[id].words, flow->mask,
                       sizeof flow->mask)) {
            return id;
        }
    }
    return KERNEL_MAX_MASKS;
}

/* Takes over flow 'i', which the last daemon had.  Returns false if something
 * is wrong with it. */
static bool
take_over(uint32_t i)
    OVS_REQUIRES(mutex)
{
    const struct kernel_flow *k = &kernel_engine.flows[i];
    uint32_t ifindex = k->key[0];
    struct kernel_device device;

    if (bpf_map_lookup_elem(kernel_engine.devices_fd, &ifindex, &device)
        || device.port >= KERNEL_MAX_PORTS) {
        return false;
    }
    unsigned int mask = find_left_mask(k, &kernel_engine.ports[device.port]);
    if (mask == KERNEL_MAX_MASKS) {
        return false;
    }
    uint64_t hash = kernel_mask_hash(&kernel_engine.masks[mask], mask, k->key);
    uint32_t found;
    if (bpf_map_lookup_elem(kernel_engine.by_hash_fd, &hash, &found)
        || found != i) {
        return false;
    }

    struct port_masks *pm = &port_masks[device.port];
    unsigned int j;
    for (j = 0; j < pm->n && pm->uses[j].mask != mask; j++) {
        continue;
    }
    if (j == pm->n) {
        pm->uses[pm->n++] = (struct mask_use) { .mask = mask };
    }
    pm->uses[j].n_entries++;
    mask_uses[mask]++;
    n_masks = MAX(n_masks, mask + 1);
    entries[i] = (struct entry) {
        .hash = hash,
        .outputs = UINT64_MAX,
        .since = time_msec(),
        .port = device.port,
        .mask = mask,
        .used = true,
    };
    n_entries++;
    return true;
}

void
kernel_flows_take_over(void)
{
    ovs_mutex_lock(&mutex);
    entries = xcalloc(kernel_engine.n_flows, sizeof *entries);
    resting = xcalloc(kernel_engine.n_flows, sizeof *resting);
    for (uint32_t i = 0; i < kernel_engine.n_flows; i++) {
        if (kernel_engine.flows[i].key[0]) {
            n_ever = i + 1;
        }
    }
    for (uint32_t i = 0; i < n_ever; i++) {
        if (!kernel_engine.flows[i].key[0] || !take_over(i)) {
            kernel_engine.flows[i].key[0] = 0;
            deallocate(i);
        }
    }
    for (uint32_t i = 0; i < KERNEL_MAX_PORTS; i++) {
        if (port_masks[i].n) {
            publish_masks(i);
        }
    }
    if (n_entries) {
        VLOG_INFO("%"PRIu32" flows were at work in the kernel", n_entries);
    }
    ovs_mutex_unlock(&mutex);
}
