/* Meters: see meter.h.
 *
 * A band is a token bucket that fills at the band's rate.  A packet takes its
 * tokens from every band's bucket that has them; the bands that lack them are
 * exceeded, and the one with the highest rate among those is applied.  The
 * only type of band is drop.
 *
 * Tokens are thousandths of a packet, or bits: what a rate in packets/s or
 * kbit/s adds in a millisecond is the rate itself. */
#include <config.h>
#include "datapath/meter.h"

#include <errno.h>
#include <string.h>

#include "cmap.h"
#include "dp-packet.h"
#include "hash.h"
#include "openvswitch/ofp-meter.h"
#include "openvswitch/thread.h"
#include "ovs-rcu.h"
#include "timeval.h"
#include "util.h"

struct band {
    uint32_t rate;              /* Tokens per ms. */
    uint64_t size;              /* Tokens that fit into the bucket... */
    uint64_t bucket;            /* ...and that are in it. */
    uint64_t n_packets, n_bytes; /* Dropped by this band. */
};

struct meter {
    struct cmap_node node;      /* In meter_table.meters. */
    uint32_t id;
    uint16_t flags;             /* OFPMF13_*. */
    uint16_t n_bands;

    struct ovs_mutex mutex;     /* Protects what follows. */
    long long int used;         /* When the buckets were filled last, ms. */
    uint64_t n_packets, n_bytes;
    struct band bands[];
};

struct meter_table {
    struct ovs_mutex mutex;     /* For changes. */
    struct cmap meters;         /* Of struct meter. */
};

struct meter_table *
meter_table_create(void)
{
    struct meter_table *table = xmalloc(sizeof *table);

    ovs_mutex_init(&table->mutex);
    cmap_init(&table->meters);
    return table;
}

static void
meter_free(struct meter *meter)
{
    ovs_mutex_destroy(&meter->mutex);
    free(meter);
}

void
meter_table_destroy(struct meter_table *table)
{
    struct meter *meter;

    CMAP_FOR_EACH (meter, node, &table->meters) {
        cmap_remove(&table->meters, &meter->node, hash_int(meter->id, 0));
        ovsrcu_postpone(meter_free, meter);
    }
    cmap_destroy(&table->meters);
    ovs_mutex_destroy(&table->mutex);
    free(table);
}

static struct meter *
meter_find(const struct meter_table *table, uint32_t id)
{
    struct meter *meter;

    CMAP_FOR_EACH_WITH_HASH (meter, node, hash_int(id, 0), &table->meters) {
        if (meter->id == id) {
            return meter;
        }
    }
    return NULL;
}

static struct meter *
meter_create(uint32_t id, const struct ofputil_meter_config *config)
{
    struct meter *meter = xzalloc(sizeof *meter + config->n_bands
                                  * sizeof meter->bands[0]);

    meter->id = id;
    meter->flags = config->flags;
    meter->n_bands = config->n_bands;
    meter->used = time_msec();
    ovs_mutex_init_adaptive(&meter->mutex);
    for (size_t i = 0; i < config->n_bands; i++) {
        const struct ofputil_meter_band *b = &config->bands[i];
        struct band *band = &meter->bands[i];
        uint32_t burst = config->flags & OFPMF13_BURST && b->burst_size
                         ? b->burst_size : b->rate;

        band->rate = b->rate;
        band->size = burst * UINT64_C(1000);
        band->bucket = band->size;
    }
    return meter;
}

int
meter_set(struct meter_table *table, uint32_t id,
          const struct ofputil_meter_config *config)
{
    if (id >= METER_MAX) {
        return EFBIG;
    }
    if (config->flags & ~(OFPMF13_STATS | OFPMF13_PKTPS | OFPMF13_KBPS
                          | OFPMF13_BURST)) {
        return EBADF;
    }
    if (config->n_bands > METER_MAX_BANDS) {
        return EINVAL;
    }
    for (size_t i = 0; i < config->n_bands; i++) {
        if (config->bands[i].type != OFPMBT13_DROP) {
            return ENODEV;
        }
    }

    struct meter *new = meter_create(id, config);
    ovs_mutex_lock(&table->mutex);
    struct meter *old = meter_find(table, id);
    if (old) {
        cmap_replace(&table->meters, &old->node, &new->node, hash_int(id, 0));
        ovsrcu_postpone(meter_free, old);
    } else {
        cmap_insert(&table->meters, &new->node, hash_int(id, 0));
    }
    ovs_mutex_unlock(&table->mutex);
    return 0;
}

int
meter_get(struct meter_table *table, uint32_t id,
          struct ofputil_meter_stats *stats, uint16_t n_bands)
{
    struct meter *meter = id < METER_MAX ? meter_find(table, id) : NULL;
    if (!meter) {
        return EINVAL;
    }
    if (stats) {
        ovs_mutex_lock(&meter->mutex);
        stats->packet_in_count = meter->n_packets;
        stats->byte_in_count = meter->n_bytes;
        stats->n_bands = MIN(n_bands, meter->n_bands);
        for (size_t i = 0; i < stats->n_bands; i++) {
            stats->bands[i].packet_count = meter->bands[i].n_packets;
            stats->bands[i].byte_count = meter->bands[i].n_bytes;
        }
        ovs_mutex_unlock(&meter->mutex);
    }
    return 0;
}

int
meter_del(struct meter_table *table, uint32_t id,
          struct ofputil_meter_stats *stats, uint16_t n_bands)
{
    int error = meter_get(table, id, stats, n_bands);
    if (!error) {
        ovs_mutex_lock(&table->mutex);
        struct meter *meter = meter_find(table, id);
        if (meter) {
            cmap_remove(&table->meters, &meter->node, hash_int(id, 0));
            ovsrcu_postpone(meter_free, meter);
        }
        ovs_mutex_unlock(&table->mutex);
    }
    return error;
}

static void
fill_buckets(struct meter *meter, long long int now)
{
    long long int elapsed = now - meter->used;

    if (elapsed <= 0) {
        return;
    }
    for (int i = 0; i < meter->n_bands; i++) {
        struct band *band = &meter->bands[i];
        uint64_t room = band->size - band->bucket;
        uint64_t ms_to_full = band->rate ? room / band->rate + 1 : 0;

        band->bucket = band->rate && (uint64_t) elapsed >= ms_to_full
                       ? band->size : band->bucket + elapsed * band->rate;
        band->bucket = MIN(band->bucket, band->size);
    }
    meter->used = now;
}

/* Lets a packet of 'size' bytes pass: returns NULL, or the band that drops
 * it. */
static struct band *
exceeded_band(struct meter *meter, uint32_t size)
{
    uint64_t tokens = meter->flags & OFPMF13_PKTPS ? 1000 : size * UINT64_C(8);
    struct band *exceeded = NULL;

    for (int i = 0; i < meter->n_bands; i++) {
        struct band *band = &meter->bands[i];

        if (band->bucket >= tokens) {
            band->bucket -= tokens;
        } else if (!exceeded || band->rate > exceeded->rate) {
            exceeded = band;
        }
    }
    return exceeded;
}

/* Counts a packet of 'size' bytes.  Returns true if it may pass. */
static bool
admit(struct meter *meter, uint32_t size)
    OVS_REQUIRES(meter->mutex)
{
    struct band *band = exceeded_band(meter, size);

    meter->n_packets++;
    meter->n_bytes += size;
    if (band) {
        band->n_packets++;
        band->n_bytes += size;
    }
    return !band;
}

bool
meter_admit(struct meter_table *table, uint32_t id, uint32_t size,
            long long int now)
{
    struct meter *meter = meter_find(table, id);
    if (!meter) {
        return true;
    }

    ovs_mutex_lock(&meter->mutex);
    fill_buckets(meter, now);
    bool admitted = admit(meter, size);
    ovs_mutex_unlock(&meter->mutex);
    return admitted;
}

size_t
meter_run(struct meter_table *table, uint32_t id,
          struct dp_packet_batch *batch, long long int now)
{
    struct meter *meter = meter_find(table, id);
    if (!meter) {
        return 0;
    }

    size_t n = dp_packet_batch_size(batch);
    size_t n_dropped = 0;
    struct dp_packet *packet;

    ovs_mutex_lock(&meter->mutex);
    fill_buckets(meter, now);

    size_t i;
    DP_PACKET_BATCH_REFILL_FOR_EACH (i, n, packet, batch) {
        if (admit(meter, dp_packet_size(packet))) {
            dp_packet_batch_refill(batch, packet, i);
        } else {
            n_dropped++;
            dp_packet_delete(packet);
        }
    }
    ovs_mutex_unlock(&meter->mutex);
    return n_dropped;
}
