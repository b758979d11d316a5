/* Softmac and receive filters: which interfaces have which part in them (see
 * softmac.h).
 *
 * An interface is an uplink if it is a kernel device that filters addresses,
 * and no guest's.  All interfaces of a port, which is a bond then, are one
 * uplink: what leaves by one of them may be answered by another.
 *
 * Every other interface of the bridge states the addresses that are behind it
 * (softmac-stated.c).  They are in the filters of all uplinks of the bridge,
 * so that a guest that hasn't sent anything yet is reached; and, of a guest's
 * port, they are what its receive filter lets through.
 *
 * Main thread. */
#include <config.h>
#include "vswitchd/softmac.h"

#include <stdlib.h>
#include <string.h>

#include "bitmap.h"
#include "netdev.h"
#include "netdev-provider.h"
#include "openvswitch/poll-loop.h"
#include "seq.h"
#include "smap.h"
#include "timeval.h"
#include "util.h"
#include "vswitchd/vswitchd.h"

/* How often status follows what happens. */
#define REFRESH_MSEC 1000

static bool disabled;           /* Exiting, and all is to stay as it is. */
static bool settled;            /* The initial configuration is complete. */
static bool devices_changed;
static bool some_moved;         /* Addresses are to be let go of. */
static long long int next_refresh = LLONG_MIN;
static long long int next_groups = LLONG_MIN;
static uint64_t seen_seq;       /* Of softmac_seq. */

/* --- What the database says ---------------------------------------------- */

/* Whether 'iface', which states its addresses, is to have a receive filter. */
static bool
wants_rx_filter(const struct iface *iface, const struct ovsrec_interface *row,
                const struct softmac_iface *si)
{
    unsigned int option = softmac_option(row, OPTION_RX_FILTER);

    return si->stated.n && option != RX_FILTER_OFF
           && (option == RX_FILTER_ON || strcmp(iface->type, "internal"))
           && !port_is_mirror_output(iface->port);
}

static bool
belongs_to_guest(const struct ovsrec_interface *row)
{
    return smap_get(&row->external_ids, "attached-mac")
           || smap_get(&row->external_ids, "iface-id");
}

/* Returns what 'iface' is, and stores the kind of its device. */
static enum softmac_role
find_role(const struct iface *iface, const struct ovsrec_interface *row,
          char kind[16])
{
    int ifindex = netdev_get_ifindex(iface->netdev);
    struct link_info info;

    if (strcmp(iface->type, "system") || ifindex <= 0
        || belongs_to_guest(row) || link_get(ifindex, &info)) {
        return SOFTMAC_OTHER;
    }
    ovs_strlcpy(kind, info.kind, 16);
    return (softmac_option(row, OPTION_SOFTMAC) == SOFTMAC_OFF
            ? SOFTMAC_UNUSED
            : link_has_no_filter(&info) ? SOFTMAC_NO_FILTER
            : SOFTMAC_UPLINK);
}

/* --- Uplinks ------------------------------------------------------------- */

/* Returns a bitmap of the VLANs that 'row' puts its port into, or NULL. */
static unsigned long *
read_vids(const struct ovsrec_port *row)
{
    unsigned long *vids = NULL;

    if (row && (row->n_tag || row->n_trunks)) {
        vids = bitmap_allocate(4096);
        if (row->n_tag) {
            bitmap_set1(vids, *row->tag & VLAN_VID_MASK);
        }
        for (size_t i = 0; i < row->n_trunks; i++) {
            bitmap_set1(vids, row->trunks[i] & VLAN_VID_MASK);
        }
        bitmap_set0(vids, 0);
    }
    return vids;
}

/* Has 'uplink' let in the VLANs in 'vids', or no longer. */
static void
change_vids(struct uplink *uplink, const unsigned long *vids,
            void (*change)(struct uplink *, uint16_t vid))
{
    size_t vid;

    if (vids) {
        BITMAP_FOR_EACH_1 (vid, 4096, vids) {
            change(uplink, vid);
        }
    }
}

/* 'port' is in 'vids' from now on, which it takes over: has the uplinks of its
 * bridge let in these. */
static void
set_vids(struct port *port, unsigned long *vids)
{
    struct port *other;

    ovs_mutex_lock(&softmac_mutex);
    LIST_FOR_EACH (other, uplink_node, &port->bridge->uplinks) {
        change_vids(other->uplink, vids, uplink_ref_vid);
        change_vids(other->uplink, port->vids, uplink_unref_vid);
    }
    ovs_mutex_unlock(&softmac_mutex);
    bitmap_free(port->vids);
    port->vids = vids;
}

/* The row of 'port' may have changed: does what follows for uplinks. */
void
port_configure_softmac(struct port *port)
{
    unsigned long *vids = read_vids(port_row(port));

    if (vids || port->vids) {
        set_vids(port, vids);
        seq_change(softmac_seq);
    }
}

/* 'port', whose interfaces are closed, is being destroyed. */
void
port_forget_softmac(struct port *port)
{
    set_vids(port, NULL);
}

/* Has all interfaces of the bridge of 'port' state their addresses to its
 * uplink, which is new. */
static void
state_to_new_uplink(struct port *port)
{
    struct port *other;

    LIST_FOR_EACH (other, bridge_node, &port->bridge->ports) {
        struct iface *iface;

        LIST_FOR_EACH (iface, port_node, &other->ifaces) {
            if (iface->softmac) {
                stated_add_to(&iface->softmac->stated, port->uplink);
            }
        }
        change_vids(port->uplink, other->vids, uplink_ref_vid);
    }
}

static void
add_to_uplink(struct iface *iface)
{
    struct softmac_iface *si = iface->softmac;
    struct port *port = iface->port;

    if (!port->uplink) {
        port->uplink = uplink_create(port->name);
        ovs_list_push_back(&port->bridge->uplinks, &port->uplink_node);
        state_to_new_uplink(port);
    }
    si->member = uplink_add_member(port->uplink, iface->name,
                                   netdev_get_ifindex(iface->netdev));
    devices_changed = true;     /* It may be promiscuous. */
    origin_set_max(iface->name, SIZE_MAX);
}

static void
remove_from_uplink(struct iface *iface, bool keep)
{
    struct softmac_iface *si = iface->softmac;
    struct port *port = iface->port;

    uplink_remove_member(port->uplink, si->member, keep);
    si->member = NULL;
    if (ovs_list_is_empty(&port->uplink->members)) {
        ovs_list_remove(&port->uplink_node);
        uplink_destroy(port->uplink);
        port->uplink = NULL;
    }
}

static void
configure_uplink(struct iface *iface, const struct ovsrec_interface *row)
{
    struct uplink *uplink = iface->port->uplink;

    bool learning = softmac_option(row, OPTION_SOFTMAC) != SOFTMAC_STATIC;
    size_t max = softmac_option_max(row, SOFTMAC_MAX_DEFAULT);

    if (uplink->learning != learning || uplink->max != max) {
        uplink->learning = learning;
        uplink->seq++;
    }
    bool snooped = softmac_option(row, OPTION_MULTICAST);
    if (uplink->snooped_groups != snooped) {
        uplink->snooped_groups = snooped;
        uplink->seq++;
        next_groups = 0;
    }
    uplink_set_max(uplink, max, softmac_option(row, OPTION_OVERFLOW));
}

/* --- What interfaces state ----------------------------------------------- */

/* Tells the uplinks of 'br' that what an interface states was 'old' and is
 * 'new' from now on. */
static void
update_uplinks(struct bridge *br, const struct stated *old,
               const struct stated *new)
{
    struct port *port;

    LIST_FOR_EACH (port, uplink_node, &br->uplinks) {
        stated_change(old, new, port->uplink);
    }
}

static void
destroy_iface(struct iface *iface, bool keep)
{
    static const struct stated none;
    struct softmac_iface *si = iface->softmac;

    if (si) {
        if (si->member) {
            remove_from_uplink(iface, keep);
        } else if (!keep) {
            update_uplinks(iface->port->bridge, &si->stated, &none);
        }
        free(si->stated.addrs);
        free(si);
        iface->softmac = NULL;
    }
}

/* Brings 'iface', which is open, to role and addresses that its row gives.
 * Returns the uplink that its datapath port is to be, or NULL. */
static struct uplink *
update_iface(struct iface *iface, const struct ovsrec_interface *row)
    OVS_REQUIRES(softmac_mutex)
{
    struct softmac_iface new = { .role = SOFTMAC_OTHER };

    new.role = find_role(iface, row, new.kind);
    if (new.role == SOFTMAC_OTHER) {
        new.stated = stated_read(iface, row);
        new.rx_filter = wants_rx_filter(iface, row, &new);
        new.drop_spoofed = softmac_option(row, OPTION_SPOOFING);
    }

    struct softmac_iface *si = iface->softmac;
    if (si && si->member && new.role != SOFTMAC_UPLINK) {
        remove_from_uplink(iface, false);
    }
    if (!si) {
        si = iface->softmac = xzalloc(sizeof *si);
    }
    update_uplinks(iface->port->bridge, &si->stated, &new.stated);
    free(si->stated.addrs);
    new.member = si->member;
    if (si->role != new.role || si->rx_filter != new.rx_filter
        || si->drop_spoofed != new.drop_spoofed) {
        netdev_change_seq_changed(iface->netdev);
    }
    *si = new;

    if (si->role == SOFTMAC_UPLINK) {
        if (!si->member) {
            add_to_uplink(iface);
        }
        configure_uplink(iface, row);
        return iface->port->uplink->learning
               && !si->member->filter->unsupported
               ? iface->port->uplink : NULL;
    }
    origin_set_max(iface->name,
                   softmac_option_max(row, SOFTMAC_MAX_ORIGIN_DEFAULT));
    return NULL;
}

/* 'iface' was opened or closed or may have changed: does what follows for
 * uplinks and receive filters. */
void
iface_update_softmac(struct iface *iface)
{
    if (disabled) {
        return;
    }
    if (!iface->netdev) {
        datapath_set_uplink(iface->name, NULL);
        ovs_mutex_lock(&softmac_mutex);
        destroy_iface(iface, false);
        ovs_mutex_unlock(&softmac_mutex);
        seq_change(softmac_seq);
        return;
    }

    const struct ovsrec_interface *row = iface_row(iface);
    const struct softmac_iface *si = iface->softmac;
    if (!row) {
        return;
    }
    if (si && si->member) {
        /* In case that it ceases to be one: not under the mutex. */
        char kind[16];

        if (find_role(iface, row, kind) != SOFTMAC_UPLINK) {
            datapath_set_uplink(iface->name, NULL);
        }
    }
    ovs_mutex_lock(&softmac_mutex);
    struct uplink *uplink = update_iface(iface, row);
    ovs_mutex_unlock(&softmac_mutex);
    seq_change(softmac_seq);

    si = iface->softmac;
    datapath_set_uplink(iface->name, uplink);
    datapath_set_rx_filter(iface->name, si->stated.addrs,
                           si->rx_filter ? si->stated.n : 0,
                           si->drop_spoofed);
}

/* Mirrors of 'br' may send to other ports than they did: those get no receive
 * filter. */
void
bridge_mirrors_changed(struct bridge *br)
{
    struct port *port;

    LIST_FOR_EACH (port, bridge_node, &br->ports) {
        struct iface *iface;

        LIST_FOR_EACH (iface, port_node, &port->ifaces) {
            if (iface->softmac && iface->softmac->stated.n) {
                iface_update_softmac(iface);
            }
        }
    }
}

/* --- From time to time --------------------------------------------------- */

static bool
port_exists(const char *name)
{
    const struct iface *iface = iface_find(name);

    return iface && iface->netdev;
}

static bool
is_uplink(const char *device)
{
    const struct iface *iface = iface_find(device);

    return iface && iface->softmac && iface->softmac->member;
}

/* Has the status of the interfaces of 'port' written again. */
static void
refresh_port(struct port *port)
{
    struct iface *iface;

    LIST_FOR_EACH (iface, port_node, &port->ifaces) {
        if (iface->netdev) {
            netdev_change_seq_changed(iface->netdev);
        }
    }
}

static void
refresh_uplink(struct port *port)
{
    struct uplink *uplink = port->uplink;
    struct member *member;

    ovs_mutex_lock(&softmac_mutex);
    if (devices_changed) {
        LIST_FOR_EACH (member, node, &uplink->members) {
            filter_check(member->filter);
            member_check_promiscuity(uplink, member);
        }
    }
    if (devices_changed || uplink->snooped_groups) {
        /* The kernel doesn't tell when that changes. */
        LIST_FOR_EACH (member, node, &uplink->members) {
            member_check_allmulti(uplink, member);
        }
    }
    uplink_release_moved(uplink);
    some_moved |= !ovs_list_is_empty(&uplink->moved);
    bool changed = uplink->seq != uplink->written_seq;
    uplink->written_seq = uplink->seq;
    ovs_mutex_unlock(&softmac_mutex);
    if (changed) {
        refresh_port(port);
    }
}

/* Has the status of interfaces written from which addresses came. */
static void
refresh_origins(void)
{
    for (;;) {
        ovs_mutex_lock(&softmac_mutex);
        char *name = origin_next_changed();
        ovs_mutex_unlock(&softmac_mutex);
        if (!name) {
            break;
        }
        const struct iface *iface = iface_find(name);
        if (iface && iface->netdev) {
            netdev_change_seq_changed(iface->netdev);
        }
        free(name);
    }
}

static void
settle(void)
{
    struct bridge *br;

    ovs_mutex_lock(&softmac_mutex);
    origins_forget_others(port_exists);
    BRIDGE_FOR_EACH (br) {
        struct port *port;

        LIST_FOR_EACH (port, uplink_node, &br->uplinks) {
            uplink_settle(port->uplink);
        }
    }
    filters_forget_others(is_uplink);
    ovs_mutex_unlock(&softmac_mutex);
    settled = true;
}

/* Returns true if an uplink has, or may still have, exact groups. */
static bool
update_groups(void)
{
    struct bridge *br;
    bool any = false;

    BRIDGE_FOR_EACH (br) {
        const struct port *port;

        LIST_FOR_EACH (port, uplink_node, &br->uplinks) {
            port_update_groups(port);
            any |= port->uplink->snooped_groups;
        }
    }
    return any;
}

/* A network device came, went or changed. */
void
softmac_device_changed(void)
{
    devices_changed = true;
}

/* Does what is to be done from time to time. */
void
softmac_run(void)
{
    struct bridge *br;

    if (!settled && reconciler_is_configured()) {
        settle();
        devices_changed = true;
    }
    if (time_msec() >= next_groups) {
        next_groups = update_groups() ? time_msec() + GROUPS_MSEC : LLONG_MAX;
    }
    if (time_msec() < next_refresh) {
        return;
    }
    next_refresh = time_msec() + REFRESH_MSEC;
    seen_seq = seq_read(softmac_seq);
    some_moved = false;
    refresh_origins();
    BRIDGE_FOR_EACH (br) {
        struct port *port;

        LIST_FOR_EACH (port, uplink_node, &br->uplinks) {
            refresh_uplink(port);
        }
    }
    devices_changed = false;
}

/* Wakes poll_block() up for softmac_run(). */
void
softmac_wait(void)
{
    if (devices_changed || some_moved
        || seq_read(softmac_seq) != seen_seq) {
        poll_timer_wait_until(next_refresh);
    } else {
        seq_wait(softmac_seq, seen_seq);
    }
    poll_timer_wait_until(next_groups);
}

/* --- Life ---------------------------------------------------------------- */

void
softmac_init(void)
{
    softmac_table_init();
    softmac_show_init();
}

/* The daemon exits: lets go of all uplinks, whose filters stay as they are if
 * 'keep', for the next daemon to take over. */
void
softmac_exit(bool keep)
{
    struct bridge *br;

    if (!keep) {
        return;                 /* Closing the interfaces does it. */
    }
    BRIDGE_FOR_EACH (br) {
        struct port *port;

        LIST_FOR_EACH (port, bridge_node, &br->ports) {
            struct iface *iface;

            LIST_FOR_EACH (iface, port_node, &port->ifaces) {
                datapath_set_uplink(iface->name, NULL);
                ovs_mutex_lock(&softmac_mutex);
                destroy_iface(iface, true);
                ovs_mutex_unlock(&softmac_mutex);
            }
        }
    }
    disabled = true;
}
