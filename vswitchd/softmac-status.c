/* What Interface.status says of uplinks and receive filters, and the looks at
 * devices that it takes.  Main thread. */
#include <config.h>
#include "vswitchd/softmac.h"

#include <inttypes.h>
#include <stdlib.h>

#include "openvswitch/vlog.h"
#include "smap.h"
#include "util.h"
#include "vswitchd/vswitchd.h"

VLOG_DEFINE_THIS_MODULE(softmac_status);

static const char *
mode_name(const struct iface *iface)
{
    const struct softmac_iface *si = iface->softmac;

    return (si->role == SOFTMAC_UNUSED ? "off"
            : si->role == SOFTMAC_NO_FILTER || si->member->filter->unsupported
            ? "unsupported"
            : iface->port->uplink->learning ? "on" : "static");
}

static void
get_uplink_status(const struct iface *iface, struct smap *smap)
{
    const struct softmac_iface *si = iface->softmac;
    const struct uplink *uplink = iface->port->uplink;

    smap_add(smap, "softmac", mode_name(iface));
    if (!si->member || si->member->filter->unsupported) {
        if (si->role != SOFTMAC_UNUSED) {
            smap_add_format(smap, "softmac_error", "%s devices %s",
                            si->kind[0] ? si->kind : "these",
                            si->member && si->member->filter->only_own
                            ? "take no further addresses (mode passthru "
                              "does): only frames to its own come in"
                            : "have no filter: every frame comes in");
        }
        return;
    }
    smap_add_format(smap, "softmac_addresses", "%"PRIuSIZE,
                    hmap_count(&uplink->addresses) - uplink->n_missing);
    smap_add_format(smap, "softmac_max", "%"PRIuSIZE, uplink->max);
    smap_add(smap, "softmac_overflow", uplink->overflow ? "true" : "false");
    if (uplink->n_refused) {
        smap_add_format(smap, "softmac_refused", "%"PRIu64,
                        uplink->n_refused);
    }
    smap_add(smap, "promiscuous", si->member->promiscuous
                                  ? si->member->promiscuous : "false");
    smap_add(smap, "allmulti", si->member->allmulti
                               ? si->member->allmulti : "false");
    if (uplink->snooped_groups) {
        size_t n = si->member->filter->n_groups;

        smap_add_nocopy(smap, xstrdup("softmac_groups"),
                        n ? xasprintf("%"PRIuSIZE, n) : xstrdup("all"));
    }
    smap_add(smap, "vlan_filter",
             si->member->filter->vlan_filtering == VLAN_FILTER_FIXED
             ? "registered" : "off");
}

/* Adds to 'smap', for Interface.status, what there is to say about 'iface'. */
void
iface_get_softmac_status(const struct iface *iface, struct smap *smap)
{
    const struct softmac_iface *si = iface->softmac;
    uint64_t n_refused;
    size_t n;

    if (!si) {
        return;
    }
    ovs_mutex_lock(&softmac_mutex);
    if (si->role != SOFTMAC_OTHER) {
        get_uplink_status(iface, smap);
    }
    origin_get_counts(iface->name, &n, &n_refused);
    ovs_mutex_unlock(&softmac_mutex);
    if (!si->member) {
        if (n) {
            smap_add_format(smap, "softmac_addresses", "%"PRIuSIZE, n);
        }
        if (n_refused) {
            smap_add_format(smap, "softmac_refused", "%"PRIu64, n_refused);
        }
        if (si->rx_filter) {
            smap_add(smap, "rx_filter", "on");
            smap_add(smap, "mac_spoofing",
                     si->drop_spoofed ? "drop" : "allow");
        }
    }
}

/* --- Devices ------------------------------------------------------------- */

/* Looks which device at or below 'member' is promiscuous. */
void
member_check_promiscuity(struct uplink *uplink, struct member *member)
{
    char *found = link_find(member->filter->ifindex, link_is_promiscuous);

    if (found && !member->promiscuous && !member->filter->promiscuous) {
        VLOG_WARN("%s: device %s is promiscuous: it lets in all frames, "
                  "whatever its filter has; `sluice-ctl doctor' tells who "
                  "made it so", member->filter->name, found);
    }
    if (!found != !member->promiscuous) {
        uplink->seq++;
    }
    free(member->promiscuous);
    member->promiscuous = found;
}

/* Looks which device at or below 'member' lets in all multicast. */
void
member_check_allmulti(struct uplink *uplink, struct member *member)
{
    char *found = link_find(member->filter->ifindex, link_is_allmulti);

    if (!nullable_string_is_equal(found, member->allmulti)) {
        uplink->seq++;
    }
    free(member->allmulti);
    member->allmulti = found;
}
