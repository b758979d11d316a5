/* Megaflows: see megaflow.h for the ideas. */
#include <config.h>
#include "datapath/megaflow.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "datapath/flow-convert.h"
#include "datapath/kernel/kernel.h"
#include "datapath/program.h"
#include "dpif.h"
#include "odp-util.h"
#include "openvswitch/vlog.h"
#include "util.h"

VLOG_DEFINE_THIS_MODULE(megaflow);

/* How often the order of subtables follows their use. */
#define SORT_INTERVAL_MS 1000

/* A wide flow's rule in the classifier. */
struct wide_rule {
    struct cls_rule cls_rule;
    struct megaflow *flow;
};

/* --- The array of all flows ------------------------------------------------
 *
 * Reserved as address space; pages come as slots are used for the first time
 * and stay. */
static struct megaflow *slots;
static uint32_t n_slots;            /* Slots ever used. */
static uint32_t *free_slots;        /* Stack of slots to use again. */
static uint32_t n_free_slots;
static struct ovs_mutex slot_mutex = OVS_MUTEX_INITIALIZER;

/* Each counting thread's statistics. */
struct stats_array {
    struct ovs_list node;
    struct megaflow_stats *stats;
};
static struct ovs_list stats_arrays = OVS_LIST_INITIALIZER(&stats_arrays);
static struct megaflow_stats *retired_stats; /* Of threads that ended. */

static void *
reserve(size_t size)
{
    void *p = mmap(NULL, size, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED) {
        VLOG_FATAL("cannot reserve %"PRIuSIZE" bytes of address space (%s): "
                   "is RLIMIT_AS too low?", size, ovs_strerror(errno));
    }
    return p;
}

static struct megaflow *
slot_alloc(void)
{
    struct megaflow *flow = NULL;

    ovs_mutex_lock(&slot_mutex);
    if (!slots) {
        slots = reserve(MEGAFLOW_MAX * sizeof *slots);
        free_slots = reserve(MEGAFLOW_MAX * sizeof *free_slots);
        retired_stats = reserve(MEGAFLOW_MAX * sizeof *retired_stats);
    }
    if (n_free_slots) {
        flow = &slots[free_slots[--n_free_slots]];
    } else if (n_slots < MEGAFLOW_MAX) {
        flow = &slots[n_slots];
        flow->key.in_port = MEGAFLOW_DEAD;
        flow->index = n_slots++;
    }
    ovs_mutex_unlock(&slot_mutex);
    return flow;
}

/* Called after a grace period: nobody counts for 'flow' any more. */
static void
slot_free(struct megaflow *flow)
{
    uint32_t index = flow->index;
    struct stats_array *array;

    free(flow->info->flow);
    free(flow->info->mask);
    free(flow->info);
    flow->info = NULL;
    program_destroy(ovsrcu_get_protected(struct program *, &flow->program));

    ovs_mutex_lock(&slot_mutex);
    LIST_FOR_EACH (array, node, &stats_arrays) {
        memset(&array->stats[index], 0, sizeof array->stats[index]);
    }
    memset(&retired_stats[index], 0, sizeof retired_stats[index]);
    free_slots[n_free_slots++] = index;
    ovs_mutex_unlock(&slot_mutex);
}

/* --- Statistics -------------------------------------------------------- */

struct megaflow_stats *
megaflow_stats_create(void)
{
    struct stats_array *array = xmalloc(sizeof *array);

    array->stats = reserve(MEGAFLOW_MAX * sizeof *array->stats);
    ovs_mutex_lock(&slot_mutex);
    ovs_list_push_back(&stats_arrays, &array->node);
    ovs_mutex_unlock(&slot_mutex);
    return array->stats;
}

static void
stats_add(struct dpif_flow_stats *sum, const struct megaflow_stats *s)
{
    sum->n_packets += atomic_load_explicit(&s->n_packets,
                                           memory_order_relaxed);
    sum->n_bytes += atomic_load_explicit(&s->n_bytes, memory_order_relaxed);
    sum->used = MAX(sum->used, atomic_load_explicit(&s->used,
                                                    memory_order_relaxed));
    sum->tcp_flags |= atomic_load_explicit(&s->tcp_flags,
                                           memory_order_relaxed);
}

/* Adds to what threads that ended counted. */
static void
retire_stats(uint32_t index, const struct dpif_flow_stats *stats)
    OVS_REQUIRES(slot_mutex)
{
    struct megaflow_stats *r = &retired_stats[index];

    r->n_packets += stats->n_packets;
    r->n_bytes += stats->n_bytes;
    r->used = MAX(r->used, stats->used);
    r->tcp_flags |= stats->tcp_flags;
}

void
megaflow_add_stats(const struct megaflow *flow,
                   const struct dpif_flow_stats *stats)
{
    ovs_mutex_lock(&slot_mutex);
    retire_stats(flow->index, stats);
    ovs_mutex_unlock(&slot_mutex);
}

void
megaflow_stats_destroy(struct megaflow_stats *stats)
{
    struct stats_array *array;

    ovs_mutex_lock(&slot_mutex);
    for (uint32_t i = 0; i < n_slots; i++) {
        struct dpif_flow_stats sum = { .n_packets = 0 };

        stats_add(&sum, &stats[i]);
        if (sum.n_packets) {
            retire_stats(i, &sum);
        }
    }
    LIST_FOR_EACH (array, node, &stats_arrays) {
        if (array->stats == stats) {
            ovs_list_remove(&array->node);
            munmap(array->stats, MEGAFLOW_MAX * sizeof *array->stats);
            free(array);
            break;
        }
    }
    ovs_mutex_unlock(&slot_mutex);
}

void
megaflow_get_stats(const struct megaflow *flow, struct dpif_flow_stats *sum)
{
    struct stats_array *array;

    memset(sum, 0, sizeof *sum);
    kernel_flows_lock();
    kernel_flow_add_stats(flow, sum);
    ovs_mutex_lock(&slot_mutex);
    LIST_FOR_EACH (array, node, &stats_arrays) {
        stats_add(sum, &array->stats[flow->index]);
    }
    stats_add(sum, &retired_stats[flow->index]);
    ovs_mutex_unlock(&slot_mutex);
    kernel_flows_unlock();
}

/* --- Subtables ----------------------------------------------------------- */

/* Hash of the words of 'key' that 'subtable' looks at. */
static uint32_t
subtable_hash(const struct megaflow_subtable *subtable,
              const struct flow_key *key)
{
    uint64_t hash = 0;

    for (unsigned int i = 0; i < subtable->n_words; i++) {
        unsigned int w = subtable->words[i];

        hash = flow_key_mix(key->words[w] & subtable->mask.words[w], hash);
    }
    return hash >> 32 ^ hash;
}

static struct megaflow_subtable *
subtable_find(struct megaflow_table *table, const struct flow_key *mask)
{
    struct megaflow_subtable *subtable;

    PVECTOR_FOR_EACH (subtable, &table->subtables) {
        if (!memcmp(&subtable->mask, mask, sizeof *mask)) {
            return subtable;
        }
    }
    return NULL;
}

static struct megaflow_subtable *
subtable_create(struct megaflow_table *table, const struct flow_key *mask)
{
    struct megaflow_subtable *subtable
        = xzalloc_cacheline(sizeof *subtable);

    subtable->mask = *mask;
    for (unsigned int i = 0; i < FLOW_KEY_WORDS; i++) {
        if (mask->words[i]) {
            subtable->words[subtable->n_words++] = i;
            subtable->blocks |= 1u << (i / 8);
        }
    }
    cmap_init(&subtable->flows);
    pvector_insert(&table->subtables, subtable, 0);
    pvector_publish(&table->subtables);
    return subtable;
}

static void
subtable_free(struct megaflow_subtable *subtable)
{
    cmap_destroy(&subtable->flows);
    free_cacheline(subtable);
}

/* Twice postponed: a thread that iterates the vector from before its last
 * change may still come to 'subtable' one grace period later. */
static void
subtable_free_later(struct megaflow_subtable *subtable)
{
    ovsrcu_postpone(subtable_free, subtable);
}

static void
zero_missing_blocks(struct flow_key *key, unsigned int *blocks,
                    unsigned int wanted)
{
    for (int b = 1; b < FLOW_KEY_BLOCKS; b++) {
        if (wanted & ~*blocks & (1u << b)) {
            memset(&key->words[b * 8], 0, 64);
            *blocks |= 1u << b;
        }
    }
}

struct megaflow *
megaflow_lookup(struct megaflow_table *table, struct flow_key *key,
                unsigned int *blocks)
{
    struct megaflow_subtable *subtable;

    PVECTOR_FOR_EACH (subtable, &table->subtables) {
        zero_missing_blocks(key, blocks, subtable->blocks);

        uint32_t hash = subtable_hash(subtable, key);
        const struct cmap_node *node = cmap_find(&subtable->flows, hash);
        struct megaflow *flow;

        CMAP_NODE_FOR_EACH (flow, key_node, node) {
            if (megaflow_matches(flow, table, key, blocks)) {
                /* A sample will do, and spares a shared cache line. */
                if (!(hash & 15)) {
                    atomic_fetch_add_explicit(&subtable->hits, 1,
                                              memory_order_relaxed);
                }
                return flow;
            }
        }
    }
    return NULL;
}

void
megaflow_table_sort(struct megaflow_table *table, long long int now)
{
    if (now < table->next_sort) {
        return;
    }
    table->next_sort = now + SORT_INTERVAL_MS;

    ovs_mutex_lock(&table->mutex);
    struct megaflow_subtable *subtable;
    PVECTOR_FOR_EACH (subtable, &table->subtables) {
        int hits = atomic_exchange_explicit(&subtable->hits, 0,
                                            memory_order_relaxed) >> 1;
        pvector_change_priority(&table->subtables, subtable, hits);
    }
    pvector_publish(&table->subtables);
    ovs_mutex_unlock(&table->mutex);
}

/* --- Tables -------------------------------------------------------------- */

void
megaflow_table_init(struct megaflow_table *table)
{
    memset(table, 0, sizeof *table);
    ovs_mutex_init(&table->mutex);
    pvector_init(&table->subtables);
    classifier_init(&table->wide, NULL);
    cmap_init(&table->by_ufid);
}

void
megaflow_table_destroy(struct megaflow_table *table)
{
    struct megaflow *flow;

    ovs_mutex_lock(&table->mutex);
    CMAP_FOR_EACH (flow, ufid_node, &table->by_ufid) {
        megaflow_remove(flow);
    }
    ovs_mutex_unlock(&table->mutex);

    pvector_destroy(&table->subtables);
    classifier_destroy(&table->wide);
    cmap_destroy(&table->by_ufid);
    ovs_mutex_destroy(&table->mutex);
}

struct megaflow *
megaflow_lookup_wide(struct megaflow_table *table, const struct flow *flow_)
{
    if (!megaflow_table_has_wide(table)) {
        return NULL;
    }

    struct flow flow = *flow_;
    const struct cls_rule *rule = classifier_lookup(&table->wide,
                                                    OVS_VERSION_MIN, &flow,
                                                    NULL);
    return rule ? CONTAINER_OF(rule, struct wide_rule, cls_rule)->flow : NULL;
}

void
megaflow_get_match(const struct megaflow *flow, struct match *match)
{
    miniflow_expand(flow->info->flow, &match->flow);
    minimask_expand(flow->info->mask, &match->wc);
    memset(&match->tun_md, 0, sizeof match->tun_md);
}

odp_port_t
megaflow_in_port(const struct megaflow *flow)
{
    return u32_to_odp(MINIFLOW_GET_U32(flow->info->flow,
                                       in_port.odp_port));
}

uint32_t
megaflow_recirc_id(const struct megaflow *flow)
{
    return MINIFLOW_GET_U32(flow->info->flow, recirc_id);
}

static uint32_t
ufid_hash(const ovs_u128 *ufid)
{
    return ufid->u32[0];
}

struct megaflow *
megaflow_find(struct megaflow_table *table, const ovs_u128 *ufid)
{
    struct megaflow *flow;

    CMAP_FOR_EACH_WITH_HASH (flow, ufid_node, ufid_hash(ufid),
                             &table->by_ufid) {
        if (ovs_u128_equals(flow->info->ufid, *ufid)) {
            return flow;
        }
    }
    return NULL;
}

/* Finds the compact flow with exactly the masked key 'key'. */
static struct megaflow *
subtable_find_flow(struct megaflow_subtable *subtable,
                   const struct flow_key *key, uint32_t hash)
{
    struct megaflow *flow;

    CMAP_FOR_EACH_WITH_HASH (flow, key_node, hash, &subtable->flows) {
        if (!memcmp(&flow->key, key, sizeof *key)) {
            return flow;
        }
    }
    return NULL;
}

/* Fills in a new flow's slot; only publishing it is left to do. */
static struct megaflow *
flow_create(struct megaflow_table *table, const struct match *match,
            const ovs_u128 *ufid, struct program *program)
{
    struct megaflow *flow = slot_alloc();
    if (flow) {
        flow->info = xmalloc(sizeof *flow->info);
        flow->info->ufid = *ufid;
        flow->info->flow = miniflow_create(&match->flow);
        flow->info->mask = minimask_create(&match->wc);
        flow->info->kernel_entry = MEGAFLOW_NO_ENTRY;
        flow->info->kernel_wanted = false;
        flow->info->kernel_gone = false;
        ovs_list_init(&flow->info->kernel_connections);
        flow->table = table;
        flow->subtable = NULL;
        ovsrcu_set_hidden(&flow->program, program);
    }
    return flow;
}

static int
add_compact(struct megaflow_table *table, const struct flow_key *mask,
            const struct match *match, const ovs_u128 *ufid,
            struct program *program, struct megaflow **flowp)
{
    struct flow_key key;
    flow_key_from_flow(&key, &match->flow);
    for (int i = 0; i < FLOW_KEY_WORDS; i++) {
        key.words[i] &= mask->words[i];
    }

    struct megaflow_subtable *subtable = subtable_find(table, mask);
    if (subtable
        && subtable_find_flow(subtable, &key, subtable_hash(subtable, &key))) {
        return EEXIST;
    }
    struct megaflow *flow = flow_create(table, match, ufid, program);
    if (!flow) {
        return ENOSPC;
    }
    if (!subtable) {
        subtable = subtable_create(table, mask);
    }

    /* 'in_port' goes last: see megaflow.h. */
    uint32_t in_port = key.in_port;
    key.in_port = MEGAFLOW_DEAD;
    flow->key = key;
    flow->subtable = subtable;
    __atomic_store_n(&flow->key.in_port, in_port, __ATOMIC_RELEASE);
    cmap_insert(&subtable->flows, &flow->key_node,
                subtable_hash(subtable, &flow->key));
    *flowp = flow;
    return 0;
}

static int
add_wide(struct megaflow_table *table, const struct match *match,
         const ovs_u128 *ufid, struct program *program,
         struct megaflow **flowp)
{
    if (classifier_find_match_exactly(&table->wide, match, 0,
                                      OVS_VERSION_MIN)) {
        return EEXIST;
    }
    struct megaflow *flow = flow_create(table, match, ufid, program);
    if (!flow) {
        return ENOSPC;
    }

    struct wide_rule *rule = xmalloc(sizeof *rule);
    cls_rule_init(&rule->cls_rule, match, 0);
    rule->flow = flow;
    classifier_insert(&table->wide, &rule->cls_rule, OVS_VERSION_MIN, NULL,
                      0);
    atomic_fetch_add(&table->n_wide, 1);
    *flowp = flow;
    return 0;
}

int
megaflow_add(struct megaflow_table *table, const struct match *match,
             const ovs_u128 *ufid, struct program *program)
{
    if (match->wc.masks.in_port.odp_port != ODPP_NONE) {
        return EINVAL;
    }

    struct megaflow *flow;
    struct flow_key mask;
    int error = flow_key_mask_from_wildcards(&mask, &match->flow, &match->wc)
                ? add_compact(table, &mask, match, ufid, program, &flow)
                : add_wide(table, match, ufid, program, &flow);
    if (!error) {
        cmap_insert(&table->by_ufid, &flow->ufid_node, ufid_hash(ufid));
        kernel_flow_put(flow);
    }
    return error;
}

void
megaflow_set_program(struct megaflow *flow, struct program *program)
{
    struct program *old = ovsrcu_get_protected(struct program *,
                                               &flow->program);
    ovsrcu_set(&flow->program, program);
    ovsrcu_postpone(program_destroy, old);
    kernel_flow_put(flow);
}

static void
wide_rule_free(struct wide_rule *rule)
{
    cls_rule_destroy(&rule->cls_rule);
    free(rule);
}

void
megaflow_remove(struct megaflow *flow)
{
    struct megaflow_table *table = flow->table;

    kernel_flow_remove(flow);

    cmap_remove(&table->by_ufid, &flow->ufid_node,
                ufid_hash(&flow->info->ufid));
    if (flow->subtable) {
        struct megaflow_subtable *subtable = flow->subtable;

        cmap_remove(&subtable->flows, &flow->key_node,
                    subtable_hash(subtable, &flow->key));
        __atomic_store_n(&flow->key.in_port, MEGAFLOW_DEAD, __ATOMIC_RELEASE);
        if (cmap_is_empty(&subtable->flows)) {
            pvector_remove(&table->subtables, subtable);
            pvector_publish(&table->subtables);
            ovsrcu_postpone(subtable_free_later, subtable);
        }
    } else {
        struct match match;
        megaflow_get_match(flow, &match);
        const struct cls_rule *found
            = classifier_find_match_exactly(&table->wide, &match, 0,
                                            OVS_VERSION_MIN);
        struct wide_rule *rule = CONTAINER_OF(found, struct wide_rule,
                                              cls_rule);
        classifier_remove_assert(&table->wide, &rule->cls_rule);
        atomic_fetch_sub(&table->n_wide, 1);
        ovsrcu_postpone(wide_rule_free, rule);
    }
    ovsrcu_postpone(slot_free, flow);
}
