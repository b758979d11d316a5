/* Statistics of all network devices at once.
 *
 * To ask the kernel for one device's statistics takes 14 us: with 5,000 ports,
 * every 5 seconds, 1.4 % of a CPU when nothing happens.  One question for all
 * takes a tenth of that.  So before a round through all ports the kernel is
 * asked once, and what it says is kept for as long as the round takes. */
#include <config.h>
#include "datapath/link-stats.h"

#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <stdlib.h>
#include <string.h>

#include "netdev.h"
#include "netlink.h"
#include "netlink-socket.h"
#include "openvswitch/ofpbuf.h"
#include "ovs-thread.h"
#include "timeval.h"
#include "util.h"

#define FRESH_MSEC 1000

struct link {
    int ifindex;
    struct rtnl_link_stats64 stats;
};

static struct ovs_mutex mutex = OVS_MUTEX_INITIALIZER;

/* What the kernel said last, by ifindex. */
static struct link *links OVS_GUARDED_BY(mutex);
static size_t n_links OVS_GUARDED_BY(mutex);
static size_t allocated_links OVS_GUARDED_BY(mutex);
static long long int read_time OVS_GUARDED_BY(mutex) = -FRESH_MSEC;

static int
compare_links(const void *a_, const void *b_)
{
    const struct link *a = a_;
    const struct link *b = b_;

    return a->ifindex < b->ifindex ? -1 : a->ifindex > b->ifindex;
}

/* Adds the device that 'message' tells of. */
static void
add_link(struct ofpbuf *message)
    OVS_REQUIRES(mutex)
{
    static const struct nl_policy policy[] = {
        [IFLA_STATS_LINK_64] = {
            .type = NL_A_UNSPEC,
            .min_len = offsetof(struct rtnl_link_stats64, tx_compressed),
            .max_len = SIZE_MAX,
        },
    };
    struct nlattr *attrs[ARRAY_SIZE(policy)];
    const struct if_stats_msg *ifsm
        = ofpbuf_at(message, NLMSG_HDRLEN, sizeof *ifsm);

    if (!ifsm || !nl_policy_parse(message, NLMSG_HDRLEN + sizeof *ifsm,
                                  policy, attrs, ARRAY_SIZE(policy))) {
        return;
    }
    if (n_links == allocated_links) {
        links = x2nrealloc(links, &allocated_links, sizeof *links);
    }

    struct link *link = &links[n_links++];
    const struct nlattr *stats = attrs[IFLA_STATS_LINK_64];
    link->ifindex = ifsm->ifindex;
    memset(&link->stats, 0, sizeof link->stats);
    memcpy(&link->stats, nl_attr_get(stats),
           MIN(nl_attr_get_size(stats), sizeof link->stats));
}

static void
read_links(void)
    OVS_REQUIRES(mutex)
{
    struct if_stats_msg *ifsm;
    struct ofpbuf request, reply, buffer;
    struct nl_dump dump;

    ofpbuf_init(&request, 64);
    nl_msg_put_nlmsghdr(&request, sizeof *ifsm, RTM_GETSTATS, NLM_F_REQUEST);
    ifsm = ofpbuf_put_zeros(&request, sizeof *ifsm);
    ifsm->filter_mask = IFLA_STATS_FILTER_BIT(IFLA_STATS_LINK_64);
    nl_dump_start(&dump, NETLINK_ROUTE, &request);
    ofpbuf_uninit(&request);

    n_links = 0;
    ofpbuf_init(&buffer, NL_DUMP_BUFSIZE);
    while (nl_dump_next(&dump, &reply, &buffer)) {
        add_link(&reply);
    }
    ofpbuf_uninit(&buffer);
    nl_dump_done(&dump);
    qsort(links, n_links, sizeof *links, compare_links);
    read_time = time_msec();
}

void
link_stats_read(void)
{
    ovs_mutex_lock(&mutex);
    read_links();
    ovs_mutex_unlock(&mutex);
}

/* Members that have the same name here and there. */
#define COUNTERS                                                        \
    COUNTER(rx_packets) COUNTER(rx_bytes) COUNTER(rx_dropped)           \
    COUNTER(rx_errors) COUNTER(rx_length_errors) COUNTER(rx_over_errors) \
    COUNTER(rx_crc_errors) COUNTER(rx_frame_errors)                     \
    COUNTER(rx_fifo_errors) COUNTER(rx_missed_errors)                   \
    COUNTER(tx_packets) COUNTER(tx_bytes) COUNTER(tx_dropped)           \
    COUNTER(tx_errors) COUNTER(tx_aborted_errors)                       \
    COUNTER(tx_carrier_errors) COUNTER(tx_fifo_errors)                  \
    COUNTER(tx_heartbeat_errors) COUNTER(tx_window_errors)              \
    COUNTER(multicast) COUNTER(collisions)

bool
link_stats_get(int ifindex, struct netdev_stats *stats)
{
    const struct link key = { .ifindex = ifindex };
    const struct link *link = NULL;

    ovs_mutex_lock(&mutex);
    if (time_msec() < read_time + FRESH_MSEC) {
        link = bsearch(&key, links, n_links, sizeof *links, compare_links);
    }
    if (link) {
        memset(stats, 0xff, sizeof *stats); /* Unknown. */
#define COUNTER(NAME) stats->NAME = link->stats.NAME;
        COUNTERS
#undef COUNTER
    }
    ovs_mutex_unlock(&mutex);
    return link != NULL;
}
