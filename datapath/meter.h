/* Meters: limits on what a flow may send (OpenFlow 1.3 section 5.7). */
#ifndef METER_H
#define METER_H 1

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "openvswitch/ofp-meter.h"

struct dp_packet_batch;
struct meter_table;

#define METER_MAX (1u << 18)        /* Meters in a datapath. */
#define METER_MAX_BANDS 8

struct meter_table *meter_table_create(void);
void meter_table_destroy(struct meter_table *);

/* As struct dpif_class's functions of the same names.  Any thread. */
int meter_set(struct meter_table *, uint32_t id,
              const struct ofputil_meter_config *);
int meter_get(struct meter_table *, uint32_t id, struct ofputil_meter_stats *,
              uint16_t n_bands);
int meter_del(struct meter_table *, uint32_t id, struct ofputil_meter_stats *,
              uint16_t n_bands);

/* Returns true if meter 'id' lets a packet of 'size' bytes pass at time 'now' in
 * ms, or if there is none.  Any thread. */
bool meter_admit(struct meter_table *, uint32_t id, uint32_t size,
                 long long int now);

/* Lets through meter 'id' what of 'packets' its bands allow, and deletes the
 * rest, as of time 'now' in ms.  Returns how many were dropped.  Any thread. */
size_t meter_run(struct meter_table *, uint32_t id, struct dp_packet_batch *,
                 long long int now);

#endif /* meter.h */
