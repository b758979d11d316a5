/* Softmac and receive filters: what the database wants of them (see
 * softmac.h).
 *
 * An interface is an uplink if it is a kernel device that filters addresses,
 * and no guest's.  All interfaces of a port, which is a bond then, are one
 * uplink: what leaves by one of them may be answered by another.
 *
 * Every other interface of the bridge states the addresses that are behind it:
 * external_ids:attached-mac, Interface.mac and, of an internal port, its own.
 * They are in the filters of all uplinks of the bridge, so that a guest that
 * hasn't sent anything yet is reached; and, of a guest's port, they are what
 * its receive filter lets through.
 *
 * Main thread. */
#include <config.h>
#include "vswitchd/softmac.h"

#include <inttypes.h>
#include <net/if.h>

#include "bitmap.h"
#include "netdev.h"
#include "netdev-provider.h"
#include "openvswitch/json.h"
#include "openvswitch/poll-loop.h"
#include "packets.h"
#include "seq.h"
#include "smap.h"
#include "timeval.h"
#include "unixctl.h"
#include "util.h"
#include "vswitchd/log.h"
#include "vswitchd/vswitchd.h"

/* Addresses that an interface can state. */
#define MAX_STATED 16

/* How often status follows what happens. */
#define REFRESH_MSEC 1000

/* What an interface has to do with uplinks. */
struct softmac_iface {
    enum { OTHER, UPLINK, NO_FILTER, OFF } role;
    struct member *member;      /* Of an uplink. */
    char kind[16];              /* Of the device. */

    /* What it states, if it is no uplink. */
    struct eth_addr stated[MAX_STATED];
    size_t n_stated;
    bool rx_filter;             /* It has a receive filter. */
    bool drop_spoofed;
};

static bool disabled;           /* Exiting, and all is to stay as it is. */
static bool settled;            /* The initial configuration is complete. */
static bool devices_changed;
static bool some_moved;         /* Addresses are to be let go of. */
static long long int next_refresh = LLONG_MIN;
static long long int next_groups = LLONG_MIN;
static uint64_t seen_seq;       /* Of softmac_seq. */

/* Returns true if option 'key' of an interface is for us, not its device. */
bool
is_switch_option(const char *key)
{
    static const char *const keys[] = {
        "softmac", "softmac-max", "softmac-overflow", "softmac-multicast",
        "rx-filter", "mac-spoofing",
    };

    for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
        if (!strcmp(key, keys[i])) {
            return true;
        }
    }
    return false;
}

/* --- What the database says ---------------------------------------------- */

static void
state(struct softmac_iface *si, struct eth_addr ea)
{
    for (size_t i = 0; i < si->n_stated; i++) {
        if (eth_addr_equals(si->stated[i], ea)) {
            return;
        }
    }
    if (si->n_stated < MAX_STATED && !eth_addr_is_multicast(ea)
        && !eth_addr_is_zero(ea)) {
        si->stated[si->n_stated++] = ea;
    }
}

/* Adds the addresses in 's', between blanks or commas. */
static void
state_all(struct softmac_iface *si, const char *s)
{
    char *copy = xstrdup(s ? s : "");
    char *save = NULL;

    for (char *word = strtok_r(copy, " ,", &save); word;
         word = strtok_r(NULL, " ,", &save)) {
        struct eth_addr ea;

        if (eth_addr_from_string(word, &ea)) {
            state(si, ea);
        }
    }
    free(copy);
}

static bool
is_internal(const struct iface *iface)
{
    return !strcmp(iface->type, "internal");
}

/* Finds out what 'iface', which is no uplink, states. */
static void
read_stated(const struct iface *iface, const struct ovsrec_interface *row,
            struct softmac_iface *si)
{
    struct eth_addr ea;

    si->n_stated = 0;
    if (netdev_get_tunnel_config(iface->netdev)
        || !strcmp(iface->type, "patch")) {
        return;
    }
    state_all(si, smap_get(&row->external_ids, "attached-mac"));
    state_all(si, row->mac);
    if (is_internal(iface) && !netdev_get_etheraddr(iface->netdev, &ea)) {
        state(si, ea);
    }
}

/* Whether 'iface', which states its addresses, is to have a receive filter. */
static bool
wants_rx_filter(const struct iface *iface, const struct ovsrec_interface *row,
                const struct softmac_iface *si)
{
    const char *s = smap_get_def(&row->options, "rx-filter", "auto");

    return si->n_stated && strcmp(s, "off")
           && (!strcmp(s, "on") || !is_internal(iface))
           && !port_is_mirror_output(iface->port);
}

static bool
belongs_to_guest(const struct ovsrec_interface *row)
{
    return smap_get(&row->external_ids, "attached-mac")
           || smap_get(&row->external_ids, "iface-id");
}

/* Returns what 'iface' is, and stores the kind of its device. */
static int
find_role(const struct iface *iface, const struct ovsrec_interface *row,
          char kind[16])
{
    const char *s = smap_get_def(&row->options, "softmac", "on");
    int ifindex = netdev_get_ifindex(iface->netdev);
    struct link_info info;

    if (strcmp(iface->type, "system") || ifindex <= 0
        || belongs_to_guest(row) || link_get(ifindex, &info)) {
        return OTHER;
    }
    ovs_strlcpy(kind, info.kind, 16);
    return !strcmp(s, "off") ? OFF
           : link_has_no_filter(&info) ? NO_FILTER : UPLINK;
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
            const struct softmac_iface *si = iface->softmac;

            for (size_t i = 0; si && i < si->n_stated; i++) {
                uplink_static_ref(port->uplink, si->stated[i]);
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

    bool learning = strcmp(smap_get_def(&row->options, "softmac", "on"),
                           "static");
    size_t max = smap_get_uint(&row->options, "softmac-max",
                               SOFTMAC_MAX_DEFAULT);

    if (uplink->learning != learning || uplink->max != max) {
        uplink->learning = learning;
        uplink->seq++;
    }
    bool snooped = !strcmp(smap_get_def(&row->options, "softmac-multicast",
                                        "all"), "snooped");
    if (uplink->snooped_groups != snooped) {
        uplink->snooped_groups = snooped;
        uplink->seq++;
        next_groups = 0;
    }
    uplink_set_max(uplink, max,
                   !strcmp(smap_get_def(&row->options, "softmac-overflow",
                                        ""), "promisc"));
}

/* --- What interfaces state ----------------------------------------------- */

static bool
has_address(const struct softmac_iface *si, struct eth_addr ea)
{
    for (size_t i = 0; i < si->n_stated; i++) {
        if (eth_addr_equals(si->stated[i], ea)) {
            return true;
        }
    }
    return false;
}

/* Tells the uplinks of 'br' that what an interface states was 'old' and is
 * 'new' from now on: what is new goes in first, so that what stays doesn't go
 * out for a moment. */
static void
update_uplinks(struct bridge *br, const struct softmac_iface *old,
               const struct softmac_iface *new)
{
    struct port *port;

    LIST_FOR_EACH (port, uplink_node, &br->uplinks) {
        for (size_t i = 0; i < new->n_stated; i++) {
            if (!has_address(old, new->stated[i])) {
                uplink_static_ref(port->uplink, new->stated[i]);
            }
        }
        for (size_t i = 0; i < old->n_stated; i++) {
            if (!has_address(new, old->stated[i])) {
                uplink_static_unref(port->uplink, old->stated[i]);
            }
        }
    }
}

static void
destroy_iface(struct iface *iface, bool keep)
{
    static const struct softmac_iface none;
    struct softmac_iface *si = iface->softmac;

    if (si) {
        if (si->member) {
            remove_from_uplink(iface, keep);
        } else if (!keep) {
            update_uplinks(iface->port->bridge, si, &none);
        }
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
    struct softmac_iface new = { .role = OTHER };

    new.role = find_role(iface, row, new.kind);
    if (new.role == OTHER) {
        read_stated(iface, row, &new);
        new.rx_filter = wants_rx_filter(iface, row, &new);
        new.drop_spoofed = !strcmp(smap_get_def(&row->options, "mac-spoofing",
                                                "allow"), "drop");
    }

    struct softmac_iface *si = iface->softmac;
    if (si && si->member && new.role != UPLINK) {
        remove_from_uplink(iface, false);
    }
    if (!si) {
        si = iface->softmac = xzalloc(sizeof *si);
    }
    update_uplinks(iface->port->bridge, si, &new);
    new.member = si->member;
    if (si->role != new.role || si->rx_filter != new.rx_filter
        || si->drop_spoofed != new.drop_spoofed) {
        netdev_change_seq_changed(iface->netdev);
    }
    *si = new;

    if (si->role == UPLINK) {
        if (!si->member) {
            add_to_uplink(iface);
        }
        configure_uplink(iface, row);
        return iface->port->uplink->learning
               && !si->member->filter->unsupported
               ? iface->port->uplink : NULL;
    }
    origin_set_max(iface->name,
                   smap_get_uint(&row->options, "softmac-max",
                                 SOFTMAC_MAX_ORIGIN_DEFAULT));
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

        if (find_role(iface, row, kind) != UPLINK) {
            datapath_set_uplink(iface->name, NULL);
        }
    }
    ovs_mutex_lock(&softmac_mutex);
    struct uplink *uplink = update_iface(iface, row);
    ovs_mutex_unlock(&softmac_mutex);
    seq_change(softmac_seq);

    si = iface->softmac;
    datapath_set_uplink(iface->name, uplink);
    datapath_set_rx_filter(iface->name, si->stated,
                           si->rx_filter ? si->n_stated : 0,
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
            if (iface->softmac && iface->softmac->n_stated) {
                iface_update_softmac(iface);
            }
        }
    }
}

/* --- Status -------------------------------------------------------------- */

static const char *
mode_name(const struct iface *iface)
{
    const struct softmac_iface *si = iface->softmac;

    return (si->role == OFF ? "off"
            : si->role == NO_FILTER || si->member->filter->unsupported
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
        if (si->role != OFF) {
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
    if (si->role != OTHER) {
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

/* Looks which device at or below 'member' is promiscuous. */
static void
check_promiscuity(struct uplink *uplink, struct member *member)
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
static void
check_allmulti(struct uplink *uplink, struct member *member)
{
    char *found = link_find(member->filter->ifindex, link_is_allmulti);

    if (!nullable_string_is_equal(found, member->allmulti)) {
        uplink->seq++;
    }
    free(member->allmulti);
    member->allmulti = found;
}

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
            check_promiscuity(uplink, member);
        }
    }
    if (devices_changed || uplink->snooped_groups) {
        /* The kernel doesn't tell when that changes. */
        LIST_FOR_EACH (member, node, &uplink->members) {
            check_allmulti(uplink, member);
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
    BRIDGE_FOR_EACH (br) {
        struct port *port;

        LIST_FOR_EACH (port, uplink_node, &br->uplinks) {
            uplink_settle(port->uplink, port_exists);
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

/* --- sluice/softmac ------------------------------------------------------ */

static struct json *
describe_address(struct uplink_address *address)
{
    struct json *object = json_object_create();
    struct json *ports = json_array_create_empty();
    long long int used = atomic_load(&address->used);
    const struct use *use;

    json_object_put_format(object, "address", ETH_ADDR_FMT,
                           ETH_ADDR_ARGS(address->ea));
    json_object_put(object, "database",
                    json_boolean_create(address->n_static > 0));
    LIST_FOR_EACH (use, address_node, &address->uses) {
        json_array_add(ports, json_string_create(use->origin->name[0]
                                                 ? use->origin->name
                                                 : "controller"));
    }
    json_object_put(object, "ports", ports);
    json_object_put(object, "in_use",
                    json_boolean_create(atomic_load(&address->refs) > 0));
    json_object_put(object, "idle_seconds",
                    json_integer_create((time_msec() - used) / 1000));
    return object;
}

static void
describe_uplink(const struct port *port, struct json *array)
{
    const struct uplink *uplink = port->uplink;
    struct json *addresses = json_array_create_empty();
    struct json *devices = json_array_create_empty();
    struct json *groups = json_array_create_empty();
    struct json *vids = json_array_create_empty();
    struct json *object = json_object_create();
    struct uplink_address *address;
    const struct member *member;

    HMAP_FOR_EACH (address, node, &uplink->addresses) {
        if (!address->missing) {
            json_array_add(addresses, describe_address(address));
        }
    }
    LIST_FOR_EACH (member, node, &uplink->members) {
        json_array_add(devices, json_string_create(member->filter->name));
    }
    member = CONTAINER_OF(ovs_list_front(&uplink->members), struct member,
                          node);
    for (size_t i = 0; i < member->filter->n_groups; i++) {
        char *s = xasprintf(ETH_ADDR_FMT,
                            ETH_ADDR_ARGS(member->filter->groups[i]));

        json_array_add(groups, json_string_create_nocopy(s));
    }
    for (int vid = 1; vid < 4096; vid++) {
        if (uplink->vid_refs[vid]) {
            json_array_add(vids, json_integer_create(vid));
        }
    }
    json_object_put_string(object, "uplink", uplink->name);
    json_object_put_string(object, "bridge", port->bridge->name);
    json_object_put(object, "devices", devices);
    json_object_put(object, "max", json_integer_create(uplink->max));
    json_object_put(object, "learning",
                    json_boolean_create(uplink->learning));
    json_object_put(object, "overflow",
                    json_boolean_create(uplink->overflow));
    json_object_put(object, "refused",
                    json_integer_create(uplink->n_refused));
    json_object_put(object, "vlans", vids);
    json_object_put(object, "groups", groups);
    json_object_put(object, "addresses", addresses);
    json_array_add(array, object);
}

static const struct json *
member_of(const struct json *object, const char *name)
{
    return shash_find_data(json_object(object), name);
}

/* Adds the elements of array 'json' to 's'. */
static void
format_list(struct ds *s, const struct json *json)
{
    for (size_t i = 0; i < json_array(json)->n; i++) {
        const struct json *elem = json_array(json)->elems[i];

        ds_put_cstr(s, i ? "," : "");
        if (elem->type == JSON_STRING) {
            ds_put_cstr(s, json_string(elem));
        } else {
            ds_put_format(s, "%"PRId64, json_integer(elem));
        }
    }
}

static void
format_uplink(struct ds *s, const struct json *uplink)
{
    const struct json *addresses = member_of(uplink, "addresses");

    ds_put_format(s, "%s (bridge %s): %"PRIuSIZE" of %"PRId64" addresses%s%s, "
                  "devices ",
                  json_string(member_of(uplink, "uplink")),
                  json_string(member_of(uplink, "bridge")),
                  json_array(addresses)->n,
                  json_integer(member_of(uplink, "max")),
                  json_boolean(member_of(uplink, "learning"))
                  ? "" : ", not learning",
                  json_boolean(member_of(uplink, "overflow"))
                  ? ", OVERFLOW" : "");
    format_list(s, member_of(uplink, "devices"));
    ds_put_cstr(s, "; VLANs ");
    format_list(s, member_of(uplink, "vlans"));
    if (json_array(member_of(uplink, "groups"))->n) {
        ds_put_cstr(s, "; groups ");
        format_list(s, member_of(uplink, "groups"));
    }
    ds_put_char(s, '\n');
    for (size_t i = 0; i < json_array(addresses)->n; i++) {
        const struct json *address = json_array(addresses)->elems[i];

        ds_put_format(s, "  %s %s ",
                      json_string(member_of(address, "address")),
                      json_boolean(member_of(address, "database"))
                      ? "database" : "learnt");
        format_list(s, member_of(address, "ports"));
        if (!json_boolean(member_of(address, "in_use"))) {
            ds_put_format(s, " idle %"PRId64" s",
                          json_integer(member_of(address, "idle_seconds")));
        }
        ds_put_char(s, '\n');
    }
}

/* "sluice/softmac [PORT] [--format=json]": the uplinks and their addresses. */
static void
softmac_cmd(struct unixctl_conn *conn, int argc, const char *argv[],
            void *aux OVS_UNUSED)
{
    struct json *array = json_array_create_empty();
    struct ds s = DS_EMPTY_INITIALIZER;
    const char *name = NULL;
    struct bridge *br;
    bool json = false;

    for (int i = 1; i < argc; i++) {
        if (!strcmp(argv[i], "--format=json")) {
            json = true;
        } else {
            name = argv[i];
        }
    }
    ovs_mutex_lock(&softmac_mutex);
    BRIDGE_FOR_EACH (br) {
        const struct port *port;

        LIST_FOR_EACH (port, uplink_node, &br->uplinks) {
            if (!name || !strcmp(name, port->name)) {
                describe_uplink(port, array);
            }
        }
    }
    ovs_mutex_unlock(&softmac_mutex);

    struct json *reply = json_object_create();
    json_object_put(reply, "uplinks", array);
    json_object_put(reply, "netlink_requests",
                    json_integer_create(link_n_requests));
    if (json) {
        json_to_ds(reply, JSSF_SORT, &s);
    } else {
        for (size_t i = 0; i < json_array(array)->n; i++) {
            format_uplink(&s, json_array(array)->elems[i]);
        }
    }
    unixctl_command_reply(conn, ds_cstr(&s));
    ds_destroy(&s);
    json_destroy(reply);
}

/* --- Life ---------------------------------------------------------------- */

void
softmac_init(void)
{
    softmac_table_init();
    unixctl_command_register("sluice/softmac", "[PORT] [--format=json]", 0, 2,
                             softmac_cmd, NULL);
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
