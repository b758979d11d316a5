/* The microflow cache: which megaflow a flow key hit last.
 *
 * One per service thread, so it needs no locks.  An entry is eight bytes: the
 * flow's address and sixteen bits of the key's hash beside it; eight entries
 * share a cache line, and a key may be in any of the eight of its line.  The
 * key itself isn't kept: whether the flow matches is checked against the flow,
 * which has to be loaded anyway.  That keeps the cache four to eight times
 * smaller than one that stores exact keys, so ten thousand flows fit in L2, and
 * an entry can be stale (its flow deleted, its slot reused for another)
 * without harm: see megaflow.h. */
#ifndef MICROFLOW_H
#define MICROFLOW_H 1

#include <stdint.h>

#include "datapath/megaflow.h"

#define MICROFLOW_WAYS 8            /* Entries in a cache line. */
#define MICROFLOW_LINES 16384       /* 128 k entries, 1 MiB. */

struct microflow_cache {
    uint64_t lines[MICROFLOW_LINES][MICROFLOW_WAYS];
} __attribute__((aligned(64)));

/* Hash of the whole of 'key', of which it has 'blocks'; without dp_hash and
 * TCP flags, which change with every packet but hardly matter to flows. */
static inline uint64_t
microflow_hash(const struct flow_key *key, unsigned int blocks)
{
    const __u64 *w = key->words;
    uint64_t hash = flow_key_mix(w[0], w[1]) ^ flow_key_mix(w[2], w[3])
                    ^ flow_key_mix(w[4] ^ w[7], w[5]);

    if (blocks & (FLOW_KEY_WIDE_L3 | FLOW_KEY_TUNNEL)) {
        for (int i = 8; i < FLOW_KEY_WORDS; i += 2) {
            if (blocks & 1u << (i / 8)) {
                hash ^= flow_key_mix(w[i], w[i + 1] + i);
            }
        }
    }
    return flow_key_mix(hash, 0);
}

static inline uint64_t *
microflow_line(struct microflow_cache *cache, uint64_t hash)
{
    return cache->lines[hash % MICROFLOW_LINES];
}

/* A flow that may be the one for 'hash', or NULL.  Check it with
 * megaflow_matches(). */
static inline struct megaflow *
microflow_find(struct microflow_cache *cache, uint64_t hash)
{
    const uint64_t *line = microflow_line(cache, hash);
    uint64_t tag = hash >> 48;

    for (int i = 0; i < MICROFLOW_WAYS; i++) {
        if (line[i] >> 48 == tag && line[i]) {
            return (struct megaflow *) (line[i] & ((UINT64_C(1) << 48) - 1));
        }
    }
    return NULL;
}

/* Makes 'flow' the one for 'hash'. */
static inline void
microflow_insert(struct microflow_cache *cache, uint64_t hash,
                 struct megaflow *flow)
{
    uint64_t *line = microflow_line(cache, hash);
    uint64_t tag = hash >> 48;
    int victim = (hash >> 32) % MICROFLOW_WAYS;

    for (int i = 0; i < MICROFLOW_WAYS; i++) {
        if (!line[i] || line[i] >> 48 == tag) {
            victim = i;
            break;
        }
    }
    line[victim] = tag << 48 | (uintptr_t) flow;
}

#endif /* microflow.h */
