/* Statistics, written to the database every stats-update-interval.
 *
 * With many interfaces they are refreshed in slices, a moment apart, so that
 * no trip through the main loop takes long.  An interface
 * whose counters are what they were when they were written last costs no more
 * than reading them. */
#include <config.h>
#include "vswitchd/vswitchd.h"

#include "datapath/datapath.h"
#include "hash.h"
#include "netdev.h"
#include "openvswitch/poll-loop.h"
#include "smap.h"
#include "timeval.h"
#include "util.h"
#include "vswitchd/log.h"

#define MIN_INTERVAL_MSEC 5000
#define SLICE 256
#define SLICE_GAP_MSEC 10
#define MANY 64                 /* Interfaces, from which asking for all at
                                 * once pays. */

static int interval = MIN_INTERVAL_MSEC;
static long long int next_slice = LLONG_MIN;
static long long int next_round = LLONG_MIN;
static size_t slices_left;      /* Before the round is complete. */

/* The counters of "struct netdev_stats" by their names in the database. */
#define IFACE_STATS                                             \
    IFACE_STAT(rx_packets, "rx_packets")                        \
    IFACE_STAT(tx_packets, "tx_packets")                        \
    IFACE_STAT(rx_bytes, "rx_bytes")                            \
    IFACE_STAT(tx_bytes, "tx_bytes")                            \
    IFACE_STAT(rx_dropped, "rx_dropped")                        \
    IFACE_STAT(tx_dropped, "tx_dropped")                        \
    IFACE_STAT(rx_errors, "rx_errors")                          \
    IFACE_STAT(tx_errors, "tx_errors")                          \
    IFACE_STAT(rx_frame_errors, "rx_frame_err")                 \
    IFACE_STAT(rx_over_errors, "rx_over_err")                   \
    IFACE_STAT(rx_crc_errors, "rx_crc_err")                     \
    IFACE_STAT(rx_missed_errors, "rx_missed_errors")            \
    IFACE_STAT(collisions, "collisions")                        \
    IFACE_STAT(rx_1_to_64_packets, "rx_1_to_64_packets")        \
    IFACE_STAT(rx_65_to_127_packets, "rx_65_to_127_packets")    \
    IFACE_STAT(rx_128_to_255_packets, "rx_128_to_255_packets")  \
    IFACE_STAT(rx_256_to_511_packets, "rx_256_to_511_packets")  \
    IFACE_STAT(rx_512_to_1023_packets, "rx_512_to_1023_packets") \
    IFACE_STAT(rx_1024_to_1522_packets, "rx_1024_to_1522_packets") \
    IFACE_STAT(rx_1523_to_max_packets, "rx_1523_to_max_packets") \
    IFACE_STAT(tx_1_to_64_packets, "tx_1_to_64_packets")        \
    IFACE_STAT(tx_65_to_127_packets, "tx_65_to_127_packets")    \
    IFACE_STAT(tx_128_to_255_packets, "tx_128_to_255_packets")  \
    IFACE_STAT(tx_256_to_511_packets, "tx_256_to_511_packets")  \
    IFACE_STAT(tx_512_to_1023_packets, "tx_512_to_1023_packets") \
    IFACE_STAT(tx_1024_to_1522_packets, "tx_1024_to_1522_packets") \
    IFACE_STAT(tx_1523_to_max_packets, "tx_1523_to_max_packets") \
    IFACE_STAT(multicast, "rx_multicast_packets")               \
    IFACE_STAT(tx_multicast_packets, "tx_multicast_packets")    \
    IFACE_STAT(rx_broadcast_packets, "rx_broadcast_packets")    \
    IFACE_STAT(tx_broadcast_packets, "tx_broadcast_packets")    \
    IFACE_STAT(rx_undersized_errors, "rx_undersized_errors")    \
    IFACE_STAT(rx_oversize_errors, "rx_oversize_errors")        \
    IFACE_STAT(rx_fragmented_errors, "rx_fragmented_errors")    \
    IFACE_STAT(rx_jabber_errors, "rx_jabber_errors")

static const struct {
    size_t offset;
    const char *name;
} iface_stats[] = {
#define IFACE_STAT(MEMBER, NAME) \
    { offsetof(struct netdev_stats, MEMBER), NAME },
    IFACE_STATS
#undef IFACE_STAT
};

/* A hash of all counters. */
static ovs_u128
hash_stats(const struct netdev_stats *stats,
           const struct netdev_custom_stats *custom)
{
    ovs_u128 hash;

    hash_bytes128(stats, sizeof *stats, 0, &hash);
    for (size_t i = 0; i < custom->size; i++) {
        hash.u32[0] = hash_add64(hash.u32[0], custom->counters[i].value);
        hash.u32[1] = hash_add64(hash.u32[1], hash.u32[0]);
    }
    return hash;
}

static void
write_stats(const struct ovsrec_interface *row,
            const struct netdev_stats *stats,
            const struct netdev_custom_stats *custom)
{
    size_t max = ARRAY_SIZE(iface_stats) + custom->size;
    const char **keys = xmalloc(max * sizeof *keys);
    int64_t *values = xmalloc(max * sizeof *values);
    size_t n = 0;

    for (size_t i = 0; i < ARRAY_SIZE(iface_stats); i++) {
        const uint64_t *value = ALIGNED_CAST(
            const uint64_t *, (const char *) stats + iface_stats[i].offset);

        if (*value != UINT64_MAX) {
            keys[n] = iface_stats[i].name;
            values[n++] = *value;
        }
    }
    for (size_t i = 0; i < custom->size; i++) {
        keys[n] = custom->counters[i].name;
        values[n++] = custom->counters[i].value;
    }
    ovsrec_interface_set_statistics(row, keys, values, n);
    free(keys);
    free(values);
}

/* Writes the statistics of open interface 'iface' to the database, unless they
 * are there already. */
void
iface_refresh_stats(struct iface *iface)
{
    struct netdev_custom_stats custom = { .size = 0 };
    struct netdev_stats stats;

    if (iface_is_synthetic(iface)) {
        return;
    }
    /* An error leaves all counters at UINT64_MAX: unknown. */
    netdev_get_stats(iface->netdev, &stats);
    netdev_get_custom_stats(iface->netdev, &custom);
    ovs_u128 hash = hash_stats(&stats, &custom);
    if (iface->stats_seq != write_seq
        || !ovs_u128_equals(hash, iface->stats_hash)) {
        iface->stats_hash = hash;
        iface->stats_seq = write_seq;
        write_stats(iface_row(iface), &stats, &custom);
    }
    netdev_free_custom_stats_counters(&custom);
}

static size_t
count_slices(void)
{
    return n_open_ifaces ? DIV_ROUND_UP(n_open_ifaces, SLICE) : 1;
}

/* What there is one of per bridge, once per round. */
static void
start_round(void)
{
    const struct ovsrec_open_vswitch *root = root_row();
    struct bridge *br;

    interval = MAX(MIN_INTERVAL_MSEC,
                   root ? smap_get_int(&root->other_config,
                                       "stats-update-interval", 0) : 0);
    next_round = time_msec() + interval;
    slices_left = count_slices();
    if (n_open_ifaces >= MANY) {
        datapath_prepare_stats();
    }
    BRIDGE_FOR_EACH (br) {
        if (br->ofproto) {
            bridge_refresh_mirrors(br);
            bridge_refresh_controllers(br);
            if (br->spanning_tree) {
                bridge_refresh_spanning_tree_stats(br);
            }
        }
    }
}

static void
refresh_slice(void)
{
    for (size_t i = 0; i < SLICE && i < n_open_ifaces; i++) {
        struct ovs_list *node = ovs_list_pop_front(&open_ifaces);
        struct iface *iface = CONTAINER_OF(node, struct iface, open_node);

        ovs_list_push_back(&open_ifaces, node);
        iface_refresh_stats(iface);
    }
}

/* Writes statistics to the database, as far as it is time, in the transaction
 * that is open. */
void
stats_run(void)
{
    if (time_msec() < next_slice) {
        return;
    }
    if (!slices_left) {
        start_round();
    }
    refresh_slice();
    slices_left--;
    next_slice = slices_left ? time_msec() + SLICE_GAP_MSEC : next_round;
}

/* A new interval may be shorter than what is left of the old one. */
void
stats_interval_changed(void)
{
    next_slice = LLONG_MIN;
    slices_left = 0;
}

/* Wakes poll_block() up for stats_run(). */
void
stats_wait(void)
{
    poll_timer_wait_until(next_slice);
}
