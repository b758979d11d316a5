/* The multicast groups of uplinks.
 *
 * An uplink lets in all multicast, unless options:softmac-multicast=snooped
 * asks for exact groups.  These are
 *
 *   - those that the guests have joined, as multicast snooping knows them
 *     (multicast.c): IGMP and MLD, so the solicited-node groups of addresses
 *     that a guest gives itself are among them;
 *   - the solicited-node groups that go with the unicast addresses in the
 *     filter, for IPv6 addresses that are made of those;
 *   - those to which queries are sent;
 *   - those of link-local protocols (softmac-filter.c), as ever.
 *
 * When snooping doesn't know, all is let in.
 *
 * libofproto doesn't say when its table changes, so it is looked at every
 * GROUPS_MSEC.  Main thread. */
#include <config.h>
#include "vswitchd/softmac.h"

#include <stdlib.h>
#include <string.h>

#include "packets.h"
#include "util.h"
#include "vswitchd/vswitchd.h"

struct groups {
    struct eth_addr *addrs;
    size_t n, allocated;
};

static void
add_group(struct eth_addr ea, void *groups_)
{
    struct groups *groups = groups_;

    if (groups->n >= groups->allocated) {
        groups->addrs = x2nrealloc(groups->addrs, &groups->allocated,
                                   sizeof *groups->addrs);
    }
    groups->addrs[groups->n++] = ea;
}

static int
compare(const void *a, const void *b)
{
    return memcmp(a, b, ETH_ADDR_LEN);
}

static void
sort_and_unite(struct groups *groups)
{
    size_t n = 0;

    qsort(groups->addrs, groups->n, sizeof *groups->addrs, compare);
    for (size_t i = 0; i < groups->n; i++) {
        if (!n || compare(&groups->addrs[n - 1], &groups->addrs[i])) {
            groups->addrs[n++] = groups->addrs[i];
        }
    }
    groups->n = n;
}

/* The solicited-node group of the IPv6 addresses that end like 'ea' (RFC 4291
 * 2.7.1). */
static struct eth_addr
solicited_node(struct eth_addr ea)
{
    return (struct eth_addr) { .ea = { 0x33, 0x33, 0xff, ea.ea[3], ea.ea[4],
                                       ea.ea[5] } };
}

/* Has the devices of the uplink that is 'port' let in the groups that they are
 * to. */
void
port_update_groups(const struct port *port)
{
    static const struct eth_addr all_hosts = ETH_ADDR_C(01,00,5e,00,00,01);
    static const struct eth_addr all_nodes = ETH_ADDR_C(33,33,00,00,00,01);
    struct uplink *uplink = port->uplink;
    struct uplink_address *address;
    struct groups groups = { .n = 0 };
    struct member *member;

    ovs_mutex_lock(&softmac_mutex);
    if (uplink->snooped_groups
        && bridge_for_each_group(port->bridge, add_group, &groups)) {
        add_group(all_hosts, &groups);
        add_group(all_nodes, &groups);
        HMAP_FOR_EACH (address, node, &uplink->addresses) {
            add_group(solicited_node(address->ea), &groups);
        }
        sort_and_unite(&groups);
    }
    LIST_FOR_EACH (member, node, &uplink->members) {
        if (filter_set_groups(member->filter, groups.addrs, groups.n)) {
            uplink->seq++;
        }
    }
    ovs_mutex_unlock(&softmac_mutex);
    free(groups.addrs);
}
