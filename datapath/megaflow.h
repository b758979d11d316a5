/* Megaflows: masked flow keys and what to do with the packets that match.
 *
 * A megaflow_table belongs to one datapath.  It holds its flows twice: by
 * unique identifier (UFID), for libofproto, and by masked key, for packets.
 * For packets there is one hash table ("subtable") per distinct mask, and they
 * are tried in order of use: tuple space search.  A flow whose mask doesn't
 * fit the compact key is *wide*: it is kept in a libopenvswitch classifier and
 * found by struct flow alone.
 *
 * Flows never overlap (libofproto sees to it), so any match is the match.
 *
 * Memory.  All megaflows of the process lie in one array that is never
 * unmapped or moved, and a slot is reused only after an RCU grace period.  So
 * a thread may keep pointers to flows in a cache without telling anybody: it
 * just has to check that a flow still matches, with megaflow_matches(), which
 * a dead or reused flow doesn't.  'key.in_port' is what makes that safe: it is
 * MEGAFLOW_DEAD from the flow's death until the slot is all filled in again.
 *
 * Statistics are per thread, in arrays indexed as the flows are, so counting a
 * packet is a plain addition.  Readers add them up.
 *
 * Threads: any thread may look up, at any time, in an RCU read-side critical
 * section.  Changes take the table's mutex. */
#ifndef MEGAFLOW_H
#define MEGAFLOW_H 1

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cmap.h"
#include "classifier.h"
#include "datapath/atomic.h"
#include "datapath/flow-key.h"
#include "openvswitch/list.h"
#include "openvswitch/match.h"
#include "openvswitch/thread.h"
#include "ovs-rcu.h"
#include "pvector.h"

struct dpif_flow_stats;
struct program;

#define MEGAFLOW_MAX (1u << 20)     /* Most flows in the process. */
#define MEGAFLOW_DEAD 0xfffffffe    /* in_port of a flow that matches none. */
#define MEGAFLOW_NO_ENTRY UINT32_MAX /* In the kernel engine. */

/* What only libofproto asks for.  The match is kept packed, as nonzero words:
 * most of a new flow's cost is memory that nobody has in a cache. */
struct megaflow_info {
    ovs_u128 ufid;
    struct miniflow *flow;          /* As put... */
    struct minimask *mask;          /* ...with the mask: in_port exact. */

    /* kernel/'s.  The mutex of its flows. */
    uint32_t kernel_entry;          /* MEGAFLOW_NO_ENTRY if it has none. */
    bool kernel_wanted;             /* It could have one were there room. */
    bool kernel_gone;               /* It is being removed. */
    struct ovs_list kernel_connections; /* That go by it: see
                                     * kernel/connections.c. */
};

struct megaflow {
    struct flow_key key;            /* Masked; zeros for a wide flow. */

    /* The fourth cache line: what a hit needs. */
    OVSRCU_TYPE(struct program *) program;
    struct megaflow_subtable *subtable; /* NULL if wide. */
    struct megaflow_table *table;
    uint32_t index;                 /* In the array of all flows. */

    struct megaflow_info *info;     /* Freed with the slot. */
    struct cmap_node key_node;      /* In subtable->flows. */
    struct cmap_node ufid_node;     /* In table->by_ufid. */
} __attribute__((aligned(64)));

/* The flows of one mask. */
struct megaflow_subtable {
    struct flow_key mask;
    unsigned int blocks;            /* FLOW_KEY_* bits that it looks at. */
    unsigned int n_words;           /* Nonzero words of 'mask'... */
    uint8_t words[FLOW_KEY_WORDS];  /* ...and which they are. */
    struct cmap flows;              /* Of struct megaflow, by 'key_node'. */
    atomic_uint hits;               /* Since the order was last looked at. */
};

struct megaflow_table {
    struct ovs_mutex mutex;         /* For all changes. */
    struct pvector subtables;       /* Of struct megaflow_subtable. */
    struct classifier wide;         /* Of struct wide_rule, see megaflow.c. */
    atomic_uint n_wide;             /* Number of wide flows. */
    struct cmap by_ufid;            /* All flows. */
    long long int next_sort;        /* When to look at the order again, ms. */
};

void megaflow_table_init(struct megaflow_table *);
void megaflow_table_destroy(struct megaflow_table *);

/* The flow of 'table' that compact key 'key' matches, or NULL.  Sets blocks
 * that 'key' lacks ('*blocks' says) but some mask looks at to zero. */
struct megaflow *megaflow_lookup(struct megaflow_table *, struct flow_key *key,
                                 unsigned int *blocks);

/* The wide flow that matches 'flow', or NULL. */
struct megaflow *megaflow_lookup_wide(struct megaflow_table *,
                                      const struct flow *);

/* Stores in '*match' what 'flow' was put with.  RCU. */
void megaflow_get_match(const struct megaflow *flow, struct match *match);

/* The datapath port that packets of 'flow' come from, and their recirculation
 * ID.  RCU. */
odp_port_t megaflow_in_port(const struct megaflow *);
uint32_t megaflow_recirc_id(const struct megaflow *);

/* Returns true if 'table' has wide flows. */
static inline bool
megaflow_table_has_wide(const struct megaflow_table *table)
{
    return atomic_load_explicit(&table->n_wide, memory_order_relaxed);
}

/* Finds a flow by UFID. */
struct megaflow *megaflow_find(struct megaflow_table *, const ovs_u128 *);

/* Adds a flow with 'match', whose in_port must be exact, and 'program', which
 * it takes over unless it fails.  Returns 0 or EEXIST (a flow has that masked
 * key already: the first one stays), ENOSPC (MEGAFLOW_MAX reached), EINVAL. */
int megaflow_add(struct megaflow_table *table, const struct match *,
                 const ovs_u128 *ufid, struct program *)
    OVS_REQUIRES(table->mutex);

/* Replaces the program of 'flow', freeing the old one after a grace period. */
void megaflow_set_program(struct megaflow *flow, struct program *)
    OVS_REQUIRES(flow->table->mutex);

/* Removes 'flow' from its table and frees it after a grace period. */
void megaflow_remove(struct megaflow *flow)
    OVS_REQUIRES(flow->table->mutex);

/* Puts the subtables that are used most first; call it now and then. */
void megaflow_table_sort(struct megaflow_table *, long long int now);

/* --- Statistics ---------------------------------------------------------- */

struct megaflow_stats {
    atomic_uint64_t n_packets;
    atomic_uint64_t n_bytes;
    atomic_llong used;              /* time_msec() of the last packet. */
    atomic_uint16_t tcp_flags;
} __attribute__((aligned(32)));

/* A thread's statistics of all flows; index it by megaflow.index.  Threads
 * that count allocate one and keep it until they end. */
struct megaflow_stats *megaflow_stats_create(void);
void megaflow_stats_destroy(struct megaflow_stats *);

/* Counts 'n' packets for 'flow' in the calling thread's 'stats'. */
static inline void
megaflow_count(struct megaflow_stats *stats, const struct megaflow *flow,
               unsigned int n, unsigned int bytes, uint16_t tcp_flags,
               long long int now)
{
    struct megaflow_stats *s = &stats[flow->index];

#define PLAIN_ADD(VAR, N)                                               \
    atomic_store_explicit(VAR, atomic_load_explicit(                    \
                          VAR, memory_order_relaxed) + (N),             \
                          memory_order_relaxed)
    PLAIN_ADD(&s->n_packets, n);
    PLAIN_ADD(&s->n_bytes, bytes);
#undef PLAIN_ADD
    atomic_store_explicit(&s->used, now, memory_order_relaxed);
    if (tcp_flags & ~atomic_load_explicit(&s->tcp_flags,
                                          memory_order_relaxed)) {
        atomic_fetch_or_explicit(&s->tcp_flags, tcp_flags,
                                 memory_order_relaxed);
    }
}

/* Adds 'stats' to those of 'flow'. */
void megaflow_add_stats(const struct megaflow *flow,
                        const struct dpif_flow_stats *stats);

/* Adds up what all threads and the kernel counted for 'flow'. */
void megaflow_get_stats(const struct megaflow *, struct dpif_flow_stats *);

/* --- Matching, on the hot path ------------------------------------------- */

static inline bool
megaflow_block_matches(const __u64 *key, const __u64 *mask,
                       const __u64 *flow)
{
    uint64_t diff = 0;

    for (int i = 0; i < 8; i++) {
        diff |= (key[i] & mask[i]) ^ flow[i];
    }
    return !diff;
}

/* Returns true if 'flow', which may be dead, is alive, compact, belongs to
 * 'table' and matches 'key'. */
static inline bool
megaflow_matches(const struct megaflow *flow,
                 const struct megaflow_table *table, struct flow_key *key,
                 unsigned int *blocks)
{
    if (__atomic_load_n(&flow->key.in_port, __ATOMIC_ACQUIRE) != key->in_port
        || flow->table != table) {
        return false;
    }

    const struct megaflow_subtable *subtable = flow->subtable;
    if (!megaflow_block_matches(key->words, subtable->mask.words,
                                flow->key.words)) {
        return false;
    }
    for (int b = 1; b < FLOW_KEY_BLOCKS; b++) {
        unsigned int bit = 1u << b;

        if (subtable->blocks & bit) {
            if (!(*blocks & bit)) {
                __builtin_memset(&key->words[b * 8], 0, 64);
                *blocks |= bit;
            }
            if (!megaflow_block_matches(&key->words[b * 8],
                                        &subtable->mask.words[b * 8],
                                        &flow->key.words[b * 8])) {
                return false;
            }
        }
    }
    return true;
}

#endif /* megaflow.h */
