/* Bonds that the datapath balances itself (lb_output). */
#ifndef BOND_MAP_H
#define BOND_MAP_H 1

#include <stdint.h>

#include "ovs-atomic.h"
#include "openvswitch/types.h"

struct datapath;

struct bond_bucket {
    odp_port_t member;
    atomic_uint64_t n_bytes;        /* Sent to it. */
};

/* As struct dpif_class's functions of the same names.  Main thread. */
int bond_map_add(struct datapath *, uint32_t id, const odp_port_t *members);
int bond_map_del(struct datapath *, uint32_t id);
int bond_map_stats(struct datapath *, uint32_t id, uint64_t *n_bytes);

/* Frees all bonds of a datapath that no thread uses any more. */
void bond_map_clear(struct datapath *);

/* The bucket of bond 'id' that a packet with 'hash' belongs to, NULL if there
 * is no such bond.  Any thread, RCU. */
struct bond_bucket *bond_map_select(const struct datapath *, uint32_t id,
                                    uint32_t hash);

/* Counts a packet of 'size' bytes that is sent to the member of 'bucket'.  Any
 * thread. */
void bond_bucket_count(struct bond_bucket *bucket, uint32_t size);

#endif /* bond-map.h */
