/* Bonds that the datapath balances itself (lb_output). */
#ifndef BOND_MAP_H
#define BOND_MAP_H 1

#include <stdbool.h>
#include <stdint.h>

#include "openvswitch/types.h"

struct datapath;

/* As struct dpif_class's functions of the same names.  Main thread. */
int bond_map_add(struct datapath *, uint32_t id, const odp_port_t *members);
int bond_map_del(struct datapath *, uint32_t id);
int bond_map_stats(struct datapath *, uint32_t id, uint64_t *n_bytes);

/* Frees all bonds of a datapath that no thread uses any more. */
void bond_map_clear(struct datapath *);

/* Selects the member of bond 'id' for a packet of 'size' bytes with 'hash' and
 * counts it.  Returns false if there is no such bond.  Any thread. */
bool bond_map_select(const struct datapath *, uint32_t id, uint32_t hash,
                     uint32_t size, odp_port_t *member);

#endif /* bond-map.h */
