/* Bonds that the datapath balances itself: see bond-map.h.
 *
 * A bond is a map from the low bits of a packet's hash to a member port, and a
 * byte count for each, from which libofproto rebalances by a new map.  Maps are
 * replaced as a whole under RCU; byte counts carry over. */
#include <config.h>
#include "datapath/bond-map.h"

#include <errno.h>

#include "datapath/private.h"
#include "hash.h"
#include "ofproto/bond.h"
#include "util.h"

struct bond_map {
    struct cmap_node node;          /* In datapath.bonds. */
    uint32_t id;
    struct bond_bucket buckets[BOND_BUCKETS];
};

static struct bond_map *
bond_map_find(const struct datapath *dp, uint32_t id)
{
    struct bond_map *bond;

    CMAP_FOR_EACH_WITH_HASH (bond, node, hash_int(id, 0), &dp->bonds) {
        if (bond->id == id) {
            return bond;
        }
    }
    return NULL;
}

int
bond_map_add(struct datapath *dp, uint32_t id, const odp_port_t *members)
{
    struct bond_map *new = xzalloc(sizeof *new);

    new->id = id;
    for (int i = 0; i < BOND_BUCKETS; i++) {
        new->buckets[i].member = members[i];
    }

    ovs_mutex_lock(&dp->bond_mutex);
    struct bond_map *old = bond_map_find(dp, id);
    if (old) {
        for (int i = 0; i < BOND_BUCKETS; i++) {
            atomic_init(&new->buckets[i].n_bytes,
                        atomic_load(&old->buckets[i].n_bytes));
        }
        cmap_replace(&dp->bonds, &old->node, &new->node, hash_int(id, 0));
        ovsrcu_postpone(free, old);
    } else {
        cmap_insert(&dp->bonds, &new->node, hash_int(id, 0));
    }
    ovs_mutex_unlock(&dp->bond_mutex);
    return 0;
}

int
bond_map_del(struct datapath *dp, uint32_t id)
{
    ovs_mutex_lock(&dp->bond_mutex);
    struct bond_map *bond = bond_map_find(dp, id);
    if (bond) {
        cmap_remove(&dp->bonds, &bond->node, hash_int(id, 0));
        ovsrcu_postpone(free, bond);
    }
    ovs_mutex_unlock(&dp->bond_mutex);
    return bond ? 0 : ENOENT;
}

int
bond_map_stats(struct datapath *dp, uint32_t id, uint64_t *n_bytes)
{
    const struct bond_map *bond = bond_map_find(dp, id);
    if (!bond) {
        return ENOENT;
    }
    for (int i = 0; i < BOND_BUCKETS; i++) {
        n_bytes[i] = atomic_load_explicit(&bond->buckets[i].n_bytes,
                                          memory_order_relaxed);
    }
    return 0;
}

void
bond_map_clear(struct datapath *dp)
{
    struct bond_map *bond;

    CMAP_FOR_EACH (bond, node, &dp->bonds) {
        bond_map_del(dp, bond->id);
    }
}

struct bond_bucket *
bond_map_select(const struct datapath *dp, uint32_t id, uint32_t hash)
{
    struct bond_map *bond = bond_map_find(dp, id);

    return bond ? &bond->buckets[hash & BOND_MASK] : NULL;
}

void
bond_bucket_count(struct bond_bucket *bucket, uint32_t size)
{
    atomic_fetch_add_explicit(&bucket->n_bytes, size, memory_order_relaxed);
}
