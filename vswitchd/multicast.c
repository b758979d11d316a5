/* Multicast snooping.
 *
 * libofproto does it; we configure it, and look into its table for the groups
 * that uplinks are to let in (softmac-groups.c). */
#include <config.h>
#include "vswitchd/vswitchd.h"

#include "mcast-snooping.h"
#include "ofproto/ofproto.h"
#include "ofproto/ofproto-dpif.h"
#include "packets.h"
#include "smap.h"
#include "timeval.h"
#include "util.h"
#include "vswitchd/log.h"

/* --- Configuration ------------------------------------------------------- */

static const struct mcast_snooping *
get_snooping(const struct bridge *br)
{
    return ofproto_dpif_lookup_by_name(br->name)->ms;
}

/* Finds out what libofproto's table calls 'port', an uplink.  It doesn't tell;
 * but a port that is put into the list of those that get reports is the last
 * in there. */
static void
find_bundle(struct port *port, struct ofproto_mcast_snooping_port_settings s)
{
    struct ofproto *ofproto = port->bridge->ofproto;
    const struct mcast_snooping *ms = get_snooping(port->bridge);

    s.flood_reports = false;
    ofproto_port_set_mcast_snooping(ofproto, port, &s);
    s.flood_reports = true;
    if (ofproto_port_set_mcast_snooping(ofproto, port, &s)) {
        return;
    }
    ovs_rwlock_rdlock(&ms->rwlock);
    port->bundle = CONTAINER_OF(ovs_list_back(&ms->rport_list),
                                struct mcast_port_bundle, node)->port;
    ovs_rwlock_unlock(&ms->rwlock);
}

/* Configures multicast snooping on 'port', which has open interfaces, as it is
 * on for its bridge. */
void
port_configure_multicast(struct port *port)
{
    const struct smap *oc = &port_row(port)->other_config;
    struct ofproto_mcast_snooping_port_settings s = {
        .flood = smap_get_bool(oc, "mcast-snooping-flood", false),
        .flood_reports = smap_get_bool(oc, "mcast-snooping-flood-reports",
                                       false),
    };

    if (port->uplink) {
        find_bundle(port, s);
    }
    if (ofproto_port_set_mcast_snooping(port->bridge->ofproto, port, &s)) {
        VLOG_ERR("port %s: could not configure mcast snooping", port->name);
    }
}

/* Configures multicast snooping on 'br' and all of its ports. */
void
bridge_configure_multicast(struct bridge *br)
{
    const struct ovsrec_bridge *row = bridge_row(br);
    const struct smap *oc = &row->other_config;
    int idle_time = smap_get_int(oc, "mcast-snooping-aging-time", 0);
    int max_entries = smap_get_int(oc, "mcast-snooping-table-size", 0);
    struct ofproto_mcast_snooping_settings s = {
        .idle_time = idle_time ? idle_time : MCAST_ENTRY_DEFAULT_IDLE_TIME,
        .max_entries = max_entries ? max_entries : MCAST_DEFAULT_MAX_ENTRIES,
        .flood_unreg = !smap_get_bool(
            oc, "mcast-snooping-disable-flood-unregistered", false),
    };
    struct port *port;

    if (!br->multicast) {
        br->multicast_since = time_msec();
    }
    br->multicast = row->mcast_snooping_enable;
    if (!br->multicast) {
        ofproto_set_mcast_snooping(br->ofproto, NULL);
        return;
    }
    if (ofproto_set_mcast_snooping(br->ofproto, &s)) {
        VLOG_ERR("bridge %s: could not enable multicast snooping", br->name);
        br->multicast = false;
        return;
    }
    LIST_FOR_EACH (port, bridge_node, &br->ports) {
        if (port->n_open) {
            port_configure_multicast(port);
        }
    }
}

/* --- Which groups there are ---------------------------------------------- */

static bool
is_uplink_bundle(const struct bridge *br, const void *bundle)
{
    const struct port *port;

    LIST_FOR_EACH (port, uplink_node, &br->uplinks) {
        if (port->bundle == bundle) {
            return true;
        }
    }
    return false;
}

/* Returns true if a port that is no uplink gets all groups: there is a
 * multicast router behind it, or the database says so. */
static bool
port_gets_all(const struct bridge *br, const struct mcast_snooping *ms)
    OVS_REQ_RDLOCK(ms->rwlock)
{
    const struct mcast_mrouter_bundle *mrouter;
    const struct mcast_port_bundle *flooded;

    LIST_FOR_EACH (mrouter, mrouter_node, &ms->mrouter_lru) {
        if (!is_uplink_bundle(br, mrouter->port)) {
            return true;
        }
    }
    LIST_FOR_EACH (flooded, node, &ms->fport_list) {
        if (!is_uplink_bundle(br, flooded->port)) {
            return true;
        }
    }
    return false;
}

static bool
has_guest(const struct bridge *br, const struct mcast_group *group)
{
    const struct mcast_group_bundle *bundle;

    LIST_FOR_EACH (bundle, bundle_node, &group->bundle_lru) {
        if (!is_uplink_bundle(br, bundle->port)) {
            return true;
        }
    }
    return false;
}

/* The Ethernet address of a group (RFC 1112 6.4, RFC 2464 7). */
static struct eth_addr
group_address(const struct in6_addr *group)
{
    const uint8_t *b = group->s6_addr;

    return IN6_IS_ADDR_V4MAPPED(group)
           ? (struct eth_addr) { .ea = { 0x01, 0x00, 0x5e, b[13] & 0x7f,
                                         b[14], b[15] } }
           : (struct eth_addr) { .ea = { 0x33, 0x33, b[12], b[13], b[14],
                                         b[15] } };
}

/* Calls 'cb' for the address of each multicast group that something behind
 * 'br', but not behind its uplinks, has joined, some more than once.  Returns
 * false, without that, if this isn't known: multicast snooping is off or so
 * young that not everybody need have reported, or something gets all.  'cb'
 * must not wait.  Main thread. */
bool
bridge_for_each_group(const struct bridge *br,
                      void (*cb)(struct eth_addr, void *aux), void *aux)
{
    if (!br->multicast) {
        return false;
    }

    const struct mcast_snooping *ms = get_snooping(br);
    const struct mcast_group *group;

    ovs_rwlock_rdlock(&ms->rwlock);
    bool known = time_msec() >= br->multicast_since + ms->idle_time * 1000LL
                 && !port_gets_all(br, ms);
    if (known) {
        LIST_FOR_EACH (group, group_node, &ms->group_lru) {
            if (has_guest(br, group)) {
                cb(group_address(&group->addr), aux);
            }
        }
    }
    ovs_rwlock_unlock(&ms->rwlock);
    return known;
}
