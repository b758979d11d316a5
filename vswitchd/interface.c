/* Interfaces: rows of the Interface table, each a network device that is a
 * port of an OpenFlow switch.
 *
 * An interface that can't be opened keeps its place: its error goes to
 * Interface.error and it is tried again when
 *
 *   - its row changes,
 *   - the kernel reports a device of its name (a device that doesn't exist yet
 *     simply comes up when it appears),
 *   - something else went away that may have been in its way, or
 *   - some time passed, twice as long each time: the error may have had a
 *     cause that nobody tells us about, such as a missing directory for a
 *     socket.
 *
 * An error that only another configuration can help against is not tried
 * again.
 *
 * A kernel device that disappears takes its interface down; one that comes
 * back under its name, with another ifindex, is another device and is opened
 * anew.  Both keep the OpenFlow port number. */
#include <config.h>
#include "vswitchd/vswitchd.h"

#include <errno.h>
#include <net/if.h>

#include "datapath/datapath.h"
#include "hash.h"
#include "netdev.h"
#include "netdev-provider.h"
#include "ofproto/ofproto.h"
#include "openvswitch/poll-loop.h"
#include "timeval.h"
#include "tnl-ports.h"
#include "util.h"
#include "vswitchd/log.h"

/* How long interfaces that can't be opened wait to be tried again, and how
 * many of them are at once. */
#define RETRY_MIN_MSEC 1000
#define RETRY_MAX_MSEC 64000
#define RETRY_BATCH 64

static struct hmap ifaces_by_uuid = HMAP_INITIALIZER(&ifaces_by_uuid);
static struct hmap ifaces_by_name = HMAP_INITIALIZER(&ifaces_by_name);
static struct ovs_list dirty_ifaces = OVS_LIST_INITIALIZER(&dirty_ifaces);

/* Interfaces to try again by time. */
static struct ovs_list failed_ifaces = OVS_LIST_INITIALIZER(&failed_ifaces);
static long long int retry_time = LLONG_MAX;
static int retry_interval = RETRY_MIN_MSEC;

/* Returns the interface named 'name', or NULL. */
struct iface *
iface_find(const char *name)
{
    struct iface *iface;

    HMAP_FOR_EACH_WITH_HASH (iface, name_node, hash_string(name, 0),
                             &ifaces_by_name) {
        if (!strcmp(iface->name, name)) {
            return iface;
        }
    }
    return NULL;
}

/* Returns the interface whose row is 'uuid', or NULL. */
struct iface *
iface_by_uuid(const struct uuid *uuid)
{
    struct iface *iface;

    HMAP_FOR_EACH_WITH_HASH (iface, uuid_node, uuid_hash(uuid),
                             &ifaces_by_uuid) {
        if (uuid_equals(&iface->uuid, uuid)) {
            return iface;
        }
    }
    return NULL;
}

/* Returns the open interface of 'br' with OpenFlow port number 'ofp_port', or
 * NULL. */
struct iface *
iface_by_ofp_port(const struct bridge *br, ofp_port_t ofp_port)
{
    struct iface *iface;

    HMAP_FOR_EACH_WITH_HASH (iface, ofp_node, hash_ofp_port(ofp_port),
                             &br->ifaces) {
        if (iface->ofp_port == ofp_port) {
            return iface;
        }
    }
    return NULL;
}

/* Returns true if no row asks for 'iface', but we do. */
bool
iface_is_synthetic(const struct iface *iface)
{
    return uuid_is_zero(&iface->uuid);
}

/* Returns the row of 'iface', for a synthetic one an empty row that swallows
 * what is written to it.  It stays valid until the IDL runs again. */
const struct ovsrec_interface *
iface_row(const struct iface *iface)
{
    if (iface_is_synthetic(iface)) {
        static struct ovsrec_interface row;

        ovsrec_interface_init(&row);
        row.name = iface->name;
        row.type = "internal";
        return &row;
    }
    return ovsrec_interface_get_for_uuid(idl, &iface->uuid);
}

/* Has 'iface' looked at: configured anew, or opened. */
void
iface_mark(struct iface *iface)
{
    if (!iface->dirty) {
        iface->dirty = true;
        ovs_list_push_back(&dirty_ifaces, &iface->dirty_node);
    }
}

/* Returns true if any interface is to be looked at. */
bool
ifaces_are_dirty(void)
{
    return !ovs_list_is_empty(&dirty_ifaces);
}

/* Takes 'iface' away from its row, which is gone. */
void
iface_unbind(struct iface *iface)
{
    hmap_remove(&ifaces_by_uuid, &iface->uuid_node);
    hmap_node_nullify(&iface->uuid_node);
}

/* Gives 'iface' the row 'uuid'; zero if it is synthetic. */
void
iface_bind(struct iface *iface, const struct uuid *uuid)
{
    iface->uuid = *uuid;
    hmap_insert(&ifaces_by_uuid, &iface->uuid_node, uuid_hash(uuid));
    iface_mark(iface);
}

/* Returns a new interface of 'port', not open yet, for the row 'uuid', or a
 * synthetic one if that is zero. */
struct iface *
iface_create(struct port *port, const char *name, const struct uuid *uuid)
{
    struct iface *iface = xzalloc(sizeof *iface);

    iface->name = xstrdup(name);
    iface->port = port;
    iface->ofp_port = OFPP_NONE;
    iface->last_ofp_port = OFPP_NONE;
    ovs_list_push_back(&port->ifaces, &iface->port_node);
    ovs_list_init(&iface->physical_node);
    ovs_list_init(&iface->failed_node);
    ovs_list_init(&iface->watch_node);
    ovs_list_init(&iface->peer_node);
    hmap_insert(&ifaces_by_name, &iface->name_node, hash_string(name, 0));
    iface_bind(iface, uuid);
    return iface;
}

static void
iface_unfail(struct iface *iface)
{
    ovs_list_remove(&iface->failed_node);
    ovs_list_init(&iface->failed_node);
    free(iface->error);
    iface->error = NULL;
}

/* Closes and destroys 'iface'. */
void
iface_destroy(struct iface *iface)
{
    iface_close(iface);
    iface_unfail(iface);
    if (!hmap_node_is_null(&iface->uuid_node)) {
        iface_unbind(iface);
    }
    hmap_remove(&ifaces_by_name, &iface->name_node);
    if (iface->dirty) {
        ovs_list_remove(&iface->dirty_node);
    }
    ovs_list_remove(&iface->peer_node);
    ovs_list_remove(&iface->port_node);
    free(iface->peer);
    free(iface->type);
    free(iface->name);
    free(iface);
}

/* --- OpenFlow port numbers ----------------------------------------------- */

static ofp_port_t
valid_ofp_port(size_t n, const int64_t *number)
{
    return (n && *number >= 1 && *number < ofp_to_u16(OFPP_MAX)
            ? u16_to_ofp(*number) : OFPP_NONE);
}

/* Returns the port number that 'row' asks for, or OFPP_NONE. */
ofp_port_t
iface_requested_ofp_port(const struct ovsrec_interface *row)
{
    return valid_ofp_port(row->n_ofport_request, row->ofport_request);
}

/* Returns the port number that 'row' asks for, or had before, or OFPP_NONE. */
ofp_port_t
iface_wanted_ofp_port(const struct ovsrec_interface *row)
{
    ofp_port_t requested = iface_requested_ofp_port(row);

    return (requested != OFPP_NONE
            ? requested : valid_ofp_port(row->n_ofport, row->ofport));
}

static void
iface_write_ofport(const struct iface *iface,
                   const struct ovsrec_interface *row)
{
    int64_t number = (iface->netdev ? ofp_to_u16(iface->ofp_port) : -1);

    ovsrec_interface_set_ofport(row, &number, 1);
}

/* --- Opening and closing ------------------------------------------------- */

static const char *
wanted_type(const struct iface *iface, const struct ovsrec_interface *row)
{
    return (!strcmp(iface->name, iface->port->bridge->name) ? "internal"
            : row->type[0] ? row->type
            : "system");
}

/* Returns true if what failed with 'error' might work later. */
static bool
may_pass(int error)
{
    return (error != EINVAL && error != EAFNOSUPPORT && error != EOPNOTSUPP
            && error != ENAMETOOLONG);
}

static bool
waits_for_device(const struct iface *iface, int error)
{
    return error == ENODEV && !strcmp(iface->type, "system");
}

/* Returns what the user can do about 'error' from opening 'iface'. */
static const char *
open_hint(const struct iface *iface, int error)
{
    return (waits_for_device(iface, error)
            ? ": no device of this name exists; the port comes up when it does"
            : error == EAFNOSUPPORT
            ? ": unknown interface type, Open_vSwitch.iface_types lists those "
              "that exist"
            : error == EEXIST
            ? ": a port of another type has this name already"
            : error == EPERM || error == EACCES
            ? ": the daemon lacks the privilege to open it"
            : "");
}

static void
set_mtu(struct netdev *netdev, const struct ovsrec_interface *row)
{
    netdev_mtu_user_config(netdev, row->n_mtu_request == 1);
    if (row->n_mtu_request == 1) {
        netdev_set_mtu(netdev, *row->mtu_request);
    }
}

/* Opens and configures the network device of 'iface' and stores it in
 * '*netdevp'.  A message about options that were not understood may come with
 * success. */
static int
open_netdev(const struct iface *iface, const struct ovsrec_interface *row,
            struct netdev **netdevp, char **errp)
{
    struct ofproto *ofproto = iface->port->bridge->ofproto;
    int error;

    error = netdev_open(iface->name,
                        ofproto_port_open_type(ofproto, iface->type),
                        netdevp);
    if (error) {
        *errp = xasprintf("could not open network device %s (%s)%s",
                          iface->name, ovs_strerror(error),
                          open_hint(iface, error));
        return error;
    }
    error = netdev_apply_options(*netdevp, row, errp);
    if (error) {
        netdev_remove(*netdevp);
        return error;
    }
    set_mtu(*netdevp, row);
    return 0;
}

/* Returns the number to open 'iface' with: what it asks for, unless another
 * has it, or what it had, or OFPP_NONE for any. */
static ofp_port_t
pick_ofp_port(const struct iface *iface, const struct ovsrec_interface *row)
{
    ofp_port_t requested = iface_requested_ofp_port(row);
    ofp_port_t had = valid_ofp_port(row->n_ofport, row->ofport);

    return (requested != OFPP_NONE
            && !iface_by_ofp_port(iface->port->bridge, requested) ? requested
            : had != OFPP_NONE ? had : iface->last_ofp_port);
}

/* What 'error', from adding 'netdev' to a bridge, means to the user. */
static const char *
port_add_strerror(const struct netdev *netdev, int error)
{
    bool tunnel = netdev_get_tunnel_config(netdev) != NULL;

    return (tunnel && error == EADDRINUSE
            ? "something else on this host receives from the tunnel's UDP "
              "port, perhaps a tunnel device of the kernel: remove it or "
              "choose another with options:dst_port"
            : tunnel && error == EOPNOTSUPP
            ? "there are no tunnels of this type"
            : ovs_strerror(error));
}

static int
iface_open__(struct iface *iface, const struct ovsrec_interface *row,
             char **errp)
{
    struct bridge *br = iface->port->bridge;
    struct netdev *netdev;
    ofp_port_t ofp_port;
    bool hidden;
    int error;

    if (!br->ofproto) {
        *errp = xasprintf("could not add network device %s to ofproto (bridge "
                          "%s of datapath_type \"%s\" could not be created)",
                          iface->name, br->name, br->type);
        return ENXIO;
    }
    if (netdev_is_reserved_name(iface->name)) {
        *errp = xasprintf("could not create interface %s, name is reserved",
                          iface->name);
        return EINVAL;
    }
    error = open_netdev(iface, row, &netdev, errp);
    if (error) {
        return error;
    }

    ofp_port = pick_ofp_port(iface, row);
    hidden = datapath_hide_mtu(netdev);
    error = ofproto_port_add(br->ofproto, netdev, &ofp_port);
    datapath_hide_mtu(NULL);
    if (error) {
        free(*errp);
        *errp = xasprintf("could not add network device %s to ofproto (%s)",
                          iface->name,
                          port_add_strerror(netdev, error));
        netdev_remove(netdev);
        return error;
    }

    if (hidden) {
        br->mtu_hidden = netdev;
    }
    iface->netdev = netdev;
    iface->ofp_port = ofp_port;
    return 0;
}

static bool
same_error(const char *a, const char *b)
{
    return a && b ? !strcmp(a, b) : a == b;
}

/* Says which options of 'iface' are ignored, if that is new.  It is no
 * warning: of most a netdev gives one. */
static void
log_ignored(const struct iface *iface, const char *message)
{
    if (message && !same_error(iface->error, message)) {
        VLOG_INFO("interface %s: %s", iface->name, message);
    }
}

static void
iface_failed(struct iface *iface, const struct ovsrec_interface *row,
             int error, char *message)
{
    if (!same_error(iface->error, message)) {
        VLOG_WARN("%s", message);
    }
    iface_unfail(iface);
    iface->error = message;
    if (may_pass(error) && !waits_for_device(iface, error)) {
        ovs_list_push_back(&failed_ifaces, &iface->failed_node);
        retry_time = MIN(retry_time, time_msec() + retry_interval);
    }
    iface_write_ofport(iface, row);
    iface_clear_status(row, message);
}

/* Returns the ifindex of the kernel device that 'iface' is, or 0 if it isn't
 * one that the kernel or the administrator may take away. */
static unsigned int
device_ifindex(const struct iface *iface)
{
    unsigned int ifindex;

    if (strcmp(iface->type, "system")) {
        return 0;
    }
    ifindex = if_nametoindex(iface->name);
    return netdev_get_ifindex(iface->netdev) == (int) ifindex ? ifindex : 0;
}

/* Has everything configured anew that a port's coming or going changes. */
static void
mark_neighbourhood(struct iface *iface)
{
    struct bridge *br = iface->port->bridge;

    port_mark(iface->port);
    bridge_mark(br, (BRIDGE_MIRRORS * (bridge_row(br)
                                       && bridge_row(br)->n_mirrors)
                     | BRIDGE_SPANNING_TREE * br->spanning_tree
                     | BRIDGE_ADDRESS * (iface->ofp_port == OFPP_LOCAL)));
    iface_update_address(iface);
}

static void
iface_open(struct iface *iface)
{
    const struct ovsrec_interface *row = iface_row(iface);
    struct bridge *br = iface->port->bridge;
    char *message = NULL;
    int error;

    free(iface->type);
    iface->type = xstrdup(wanted_type(iface, row));
    error = iface_open__(iface, row, &message);
    if (error) {
        iface_failed(iface, row, error, message);
        return;
    }

    VLOG_INFO("bridge %s: added interface %s on port %d",
              br->name, iface->name, iface->ofp_port);
    log_ignored(iface, message);
    iface_unfail(iface);
    iface->error = message;
    iface->last_ofp_port = iface->ofp_port;
    iface->ifindex = device_ifindex(iface);
    hmap_insert(&br->ifaces, &iface->ofp_node,
                hash_ofp_port(iface->ofp_port));
    iface->port->n_open++;
    iface_write_ofport(iface, row);
    ovsrec_interface_set_error(row, iface->error);
    mark_neighbourhood(iface);
    iface_opened(iface);
}

/* Closes 'iface', if it is open. */
void
iface_close(struct iface *iface)
{
    struct bridge *br = iface->port->bridge;
    ofp_port_t ofp_port = iface->ofp_port;
    struct netdev *netdev = iface->netdev;

    if (!netdev) {
        return;
    }
    VLOG_INFO("bridge %s: deleted interface %s on port %d",
              br->name, iface->name, ofp_port);
    iface_closed(iface);
    ofproto_port_unregister(br->ofproto, ofp_port);
    hmap_remove(&br->ifaces, &iface->ofp_node);
    iface->port->n_open--;
    iface->netdev = NULL;
    if (br->dying) {
        iface_update_address(iface);
    } else {
        mark_neighbourhood(iface);
    }
    iface->ofp_port = OFPP_NONE;

    /* The name is free from now on, though libofproto still has a
     * reference. */
    tnl_port_map_delete_ipdev(iface->name);
    netdev_remove(netdev);
    if (!br->dying) {
        ofproto_port_del(br->ofproto, ofp_port);
    }
    ifaces_retry_soon();
}

/* --- What dirty interfaces need ------------------------------------------ */

static bool
device_is_another(const struct iface *iface)
{
    return iface->ifindex && iface->ifindex != if_nametoindex(iface->name);
}

static bool
options_apply(struct iface *iface, const struct ovsrec_interface *row)
{
    char *message = NULL;

    if (netdev_apply_options(iface->netdev, row, &message)) {
        free(message);
        return false;
    }
    log_ignored(iface, message);
    free(iface->error);
    iface->error = message;
    return true;
}

/* Returns true if 'iface' must be closed and opened to get the port number
 * that it asks for.  That may cost another interface, which didn't ask for it,
 * its number. */
static bool
must_renumber(struct iface *iface, const struct ovsrec_interface *row)
{
    ofp_port_t requested = iface_requested_ofp_port(row);
    struct iface *holder;

    if (iface->ofp_port == OFPP_LOCAL || requested == OFPP_NONE
        || requested == iface->ofp_port) {
        return false;
    }
    holder = iface_by_ofp_port(iface->port->bridge, requested);
    if (holder) {
        if (iface_requested_ofp_port(iface_row(holder)) == requested) {
            return false;
        }
        iface_close(holder);
        holder->last_ofp_port = OFPP_NONE;
        iface_mark(holder);
    }
    return true;
}

static void
iface_update(struct iface *iface)
{
    const struct ovsrec_interface *row = iface_row(iface);

    if (!iface->netdev) {
        return;
    }
    if (strcmp(iface->type, wanted_type(iface, row))
        || device_is_another(iface)
        || must_renumber(iface, row)
        || !options_apply(iface, row)) {
        iface_close(iface);
        return;
    }
    set_mtu(iface->netdev, row);
    iface_update_softmac(iface);
    iface_write_ofport(iface, row);
    ovsrec_interface_set_error(row, iface->error);
    iface_peer_changed(iface);
    port_mark(iface->port);
}

/* Applies the rows of dirty interfaces that are open, or closes them if they
 * have to be opened anew. */
void
ifaces_update(void)
{
    struct iface *iface;

    LIST_FOR_EACH (iface, dirty_node, &dirty_ifaces) {
        iface_update(iface);
    }
}

/* The order in which interfaces are opened: those that ask for a port number
 * and had it, then others that ask for one, then those that had one, so that
 * the rest, which take any, don't take theirs. */
enum open_order { KEEPS, ASKS, HAD, ANY, N_ORDERS };

static enum open_order
get_open_order(const struct iface *iface)
{
    const struct ovsrec_interface *row = iface_row(iface);
    ofp_port_t requested = iface_requested_ofp_port(row);
    ofp_port_t had = valid_ofp_port(row->n_ofport, row->ofport);

    return (requested != OFPP_NONE ? (requested == had ? KEEPS : ASKS)
            : had != OFPP_NONE || iface->last_ofp_port != OFPP_NONE ? HAD
            : ANY);
}

/* Has libofproto look at the MTUs of the ports that were added. */
static void
tell_hidden_mtus(void)
{
    struct bridge *br;

    BRIDGE_FOR_EACH (br) {
        if (br->mtu_hidden) {
            netdev_change_seq_changed(br->mtu_hidden);
            br->mtu_hidden = NULL;
        }
    }
}

/* Opens dirty interfaces that are not open. */
void
ifaces_open(void)
{
    struct ovs_list queues[N_ORDERS];
    struct iface *iface;

    for (int i = 0; i < N_ORDERS; i++) {
        ovs_list_init(&queues[i]);
    }
    LIST_FOR_EACH_POP (iface, dirty_node, &dirty_ifaces) {
        ovs_list_push_back(&queues[get_open_order(iface)],
                           &iface->dirty_node);
    }
    for (int i = 0; i < N_ORDERS; i++) {
        LIST_FOR_EACH_POP (iface, dirty_node, &queues[i]) {
            iface->dirty = false;
            if (!iface->netdev) {
                iface_open(iface);
            }
        }
    }
    tell_hidden_mtus();
}

/* Has interfaces that can't be opened tried again soon: something that may
 * have been in their way is gone. */
void
ifaces_retry_soon(void)
{
    if (!ovs_list_is_empty(&failed_ifaces)) {
        retry_interval = RETRY_MIN_MSEC;
        retry_time = MIN(retry_time, time_msec() + retry_interval);
    }
}

/* Marks interfaces dirty whose time it is to be tried again. */
void
ifaces_retry(void)
{
    struct iface *first = NULL;

    if (time_msec() < retry_time) {
        return;
    }
    retry_time = LLONG_MAX;
    for (int i = 0; i < RETRY_BATCH && !ovs_list_is_empty(&failed_ifaces);
         i++) {
        struct ovs_list *node = ovs_list_pop_front(&failed_ifaces);
        struct iface *iface = CONTAINER_OF(node, struct iface, failed_node);

        ovs_list_push_back(&failed_ifaces, node);
        if (iface == first) {
            break;
        }
        first = first ? first : iface;
        iface_mark(iface);
        retry_time = time_msec() + retry_interval;
    }
    retry_interval = (retry_time == LLONG_MAX ? RETRY_MIN_MSEC
                      : MIN(RETRY_MAX_MSEC, 2 * retry_interval));
}

/* Wakes poll_block() up for ifaces_retry(). */
void
ifaces_wait(void)
{
    poll_timer_wait_until(retry_time);
}

/* The kernel's device 'name' came, went or changed. */
void
iface_device_changed(const char *name)
{
    struct iface *iface = iface_find(name);

    if (iface && (iface->netdev
                  ? device_is_another(iface)
                  : iface->type && !strcmp(iface->type, "system"))) {
        iface_mark(iface);
    }
}

/* Kernel devices came or went, and we don't know which. */
void
ifaces_all_devices_changed(void)
{
    struct iface *iface;

    HMAP_FOR_EACH (iface, name_node, &ifaces_by_name) {
        iface_device_changed(iface->name);
    }
}
