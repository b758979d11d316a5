/* Network devices that are vhost-user ports.
 *
 * libopenvswitch's netdev layer is how the reconciler configures a port and
 * asks for its state: this is the provider of
 *
 *   vhostuser             the switch connects to options:vhost-server-path or
 *                         listens on options:vhost-socket-path
 *   dpdkvhostuserclient   as OVS's: connects to options:vhost-server-path
 *   dpdkvhostuser         as OVS's: listens on a socket named after the port
 *                         in the run directory
 *
 * The device is made when it is configured, so that a bad path is an error of
 * the interface's; what it receives goes nowhere until the datapath has a port
 * for it.
 *
 * With options:netdev=true the kernel gets a network device of the same name:
 * namesake.c. */
#include <config.h>
#include "datapath/netdev-vhost.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <unistd.h>

#include "datapath/announce.h"
#include "datapath/namesake.h"
#include "datapath/port-qos.h"
#include "datapath/private.h"
#include "dirs.h"
#include "netdev-provider.h"
#include "openvswitch/vlog.h"
#include "packets.h"
#include "smap.h"
#include "util.h"

VLOG_DEFINE_THIS_MODULE(netdev_vhost);

#define DEFAULT_QUEUE_PAIRS 16
#define MIN_MTU 68
#define MAX_MTU 65521

/* What a device is made from. */
struct vhost_options {
    char *path;
    bool connect;
    int uid, gid, mode;
    unsigned int queue_pairs;
    bool netdev;
};

struct netdev_vhost {
    struct netdev up;
    struct ovs_mutex mutex;         /* Protects what follows. */
    struct vhost_options options;   /* Those of 'device'. */
    struct vhost_device *device;    /* NULL until configured. */
    struct eth_addr mac;
    int mtu;
    enum netdev_flags flags;
    struct port *_Atomic port;      /* Whose packets it receives, or NULL.
                                     * Service threads read it. */
    struct announcement announcement; /* Of the guest, after migration. */
    struct namesake *namesake;      /* Or NULL. */
};

static struct netdev_class vhostuser_class;
static struct netdev_class dpdkvhostuser_class;
static struct netdev_class dpdkvhostuserclient_class;

static struct netdev_vhost *
netdev_vhost_cast(const struct netdev *netdev)
{
    ovs_assert(netdev_is_vhost(netdev));
    return CONTAINER_OF(netdev, struct netdev_vhost, up);
}

bool
netdev_is_vhost(const struct netdev *netdev)
{
    const struct netdev_class *class = netdev_get_class(netdev);

    return class == &vhostuser_class || class == &dpdkvhostuser_class
           || class == &dpdkvhostuserclient_class;
}

/* --- The device's side --------------------------------------------------- */

static unsigned int
device_receive(struct vhost_queue *queue, struct vhost_thread *thread,
               unsigned int budget, void *netdev_)
{
    struct netdev_vhost *netdev = netdev_;

    return port_vhost_receive(atomic_load_explicit(&netdev->port,
                                                   memory_order_acquire),
                              queue, dp_thread_from_vhost(thread), budget);
}

static void
device_changed(struct vhost_device *device OVS_UNUSED, void *netdev_)
{
    struct netdev_vhost *netdev = netdev_;

    netdev_change_seq_changed(&netdev->up);
}

static void
device_rarp(struct vhost_device *device OVS_UNUSED, const uint8_t mac_[6],
            void *netdev_)
{
    struct netdev_vhost *netdev = netdev_;
    struct eth_addr mac;

    memcpy(&mac, mac_, sizeof mac);
    announcement_request(&netdev->announcement, mac);
}

static const struct vhost_device_ops device_ops = {
    .receive = device_receive,
    .changed = device_changed,
    .rarp = device_rarp,
};

/* --- The network device of the same name ----------------------------------*/

/* Has 'port', the device's, show its packets to whoever listens. */
static void
port_set_listener(struct port *port, struct namesake *namesake)
{
    if (port) {
        atomic_store(&port->listener,
                     namesake && namesake_is_heard(namesake) ? namesake
                                                             : NULL);
    }
}

/* The namesake has another MTU, or other listeners. */
static void
namesake_changed(void *netdev_)
{
    struct netdev_vhost *netdev = netdev_;

    ovs_mutex_lock(&netdev->mutex);
    int mtu = namesake_get_mtu(netdev->namesake);
    bool changed = mtu != netdev->mtu;
    netdev->mtu = mtu;
    port_set_listener(netdev->port, netdev->namesake);
    ovs_mutex_unlock(&netdev->mutex);
    if (changed) {
        netdev_change_seq_changed(&netdev->up);
    }
}

static void
remove_namesake(struct netdev_vhost *netdev)
{
    if (netdev->namesake) {
        port_set_listener(netdev->port, NULL);
        vhost_synchronize();
        namesake_destroy(netdev->namesake);
        netdev->namesake = NULL;
    }
}

/* Makes or removes the network device of the same name.  The port works
 * without it: that it can't be made is told in '*errp', but is no error. */
static void
set_namesake(struct netdev_vhost *netdev, bool want, char **errp)
    OVS_REQUIRES(netdev->mutex)
{
    if (!want) {
        remove_namesake(netdev);
    } else if (!netdev->namesake
               && !namesake_create(netdev_get_name(&netdev->up),
                                   namesake_changed, netdev,
                                   &netdev->namesake, errp)) {
        namesake_set_mtu(netdev->namesake, netdev->mtu);
        port_set_listener(netdev->port, netdev->namesake);
    }
}

/* --- Life -----------------------------------------------------------------*/

static struct netdev *
vhost_alloc(void)
{
    struct netdev_vhost *netdev = xzalloc(sizeof *netdev);

    return &netdev->up;
}

static int
vhost_construct(struct netdev *netdev_)
{
    struct netdev_vhost *netdev = netdev_vhost_cast(netdev_);

    ovs_mutex_init(&netdev->mutex);
    eth_addr_random(&netdev->mac);
    netdev->mtu = ETH_PAYLOAD_MAX;
    netdev->flags = NETDEV_UP;
    announcement_init(&netdev->announcement, &netdev->port);
    return 0;
}

static void
vhost_destruct(struct netdev *netdev_)
{
    struct netdev_vhost *netdev = netdev_vhost_cast(netdev_);

    if (netdev->device) {
        vhost_device_destroy(netdev->device, datapath_is_exiting());
    }
    remove_namesake(netdev);
    announcement_destroy(&netdev->announcement);
    free(netdev->options.path);
    ovs_mutex_destroy(&netdev->mutex);
}

static void
vhost_dealloc(struct netdev *netdev)
{
    free(netdev_vhost_cast(netdev));
}

/* --- Configuration ----------------------------------------------------------*/

/* Parses option 'key' as a user or group, by name or number, into '*id'. */
static bool
parse_owner(const struct smap *args, const char *key, bool user, int *id,
            char **errp)
{
    const char *s = smap_get(args, key);

    *id = -1;
    if (!s || str_to_int(s, 10, id)) {
        return true;
    }
    if (user) {
        const struct passwd *pw = getpwnam(s);
        *id = pw ? (int) pw->pw_uid : -1;
    } else {
        const struct group *gr = getgrnam(s);
        *id = gr ? (int) gr->gr_gid : -1;
    }
    if (*id < 0) {
        *errp = xasprintf("options:%s=%s names no %s on this host", key, s,
                          user ? "user" : "group");
        return false;
    }
    return true;
}

/* Returns true if an interface may have options:'key'; if 'compat', also if it
 * is one of Open vSwitch's, for its types, that has no effect here. */
static bool
option_exists(const char *key, bool compat)
{
    static const char *const keys[] = {
        "vhost-server-path", "vhost-socket-path", "vhost-socket-owner",
        "vhost-socket-group", "vhost-socket-mode", "queues", "netdev",
    };
    static const char *const compat_keys[] = {
        "n_rxq", "n_rxq_desc", "n_txq_desc", "tx-retries-max",
    };

    for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
        if (!strcmp(key, keys[i])) {
            return true;
        }
    }
    for (size_t i = 0; compat && i < ARRAY_SIZE(compat_keys); i++) {
        if (!strcmp(key, compat_keys[i])) {
            return true;
        }
    }
    return false;
}

/* Returns a message, which the caller must free, about an option among 'args'
 * that doesn't exist, or NULL if all do. */
static char *
describe_unknown_option(const struct netdev *netdev, const struct smap *args)
{
    const struct smap_node *node;

    SMAP_FOR_EACH (node, args) {
        if (!option_exists(node->key,
                           netdev_get_class(netdev) != &vhostuser_class)) {
            return xasprintf("%s: a %s interface has no options:%s",
                             netdev_get_name(netdev), netdev_get_type(netdev),
                             node->key);
        }
    }
    return NULL;
}

/* Finds the socket that 'args' name and which end of it is ours. */
static int
parse_path(const struct netdev *netdev, const struct smap *args,
           struct vhost_options *options, char **errp)
{
    const struct netdev_class *class = netdev_get_class(netdev);
    const char *server = smap_get(args, "vhost-server-path");
    const char *socket = smap_get(args, "vhost-socket-path");

    if (class == &dpdkvhostuser_class) {
        options->path = xasprintf("%s/%s", ovs_rundir(),
                                  netdev_get_name(netdev));
        return 0;
    }
    if (class == &vhostuser_class && !server == !socket) {
        *errp = xasprintf("%s: set one of options:vhost-server-path (the "
                          "switch connects to the guest's socket) and "
                          "options:vhost-socket-path (the switch listens)",
                          netdev_get_name(netdev));
        return EINVAL;
    }
    if (class == &dpdkvhostuserclient_class && !server) {
        *errp = xasprintf("%s: options:vhost-server-path is missing: the "
                          "path of the guest's socket",
                          netdev_get_name(netdev));
        return EINVAL;
    }
    options->connect = server != NULL;
    options->path = xstrdup(server ? server : socket);
    return 0;
}

static int
parse_options(const struct netdev *netdev, const struct smap *args,
              struct vhost_options *options, char **errp)
{
    const char *mode = smap_get(args, "vhost-socket-mode");

    memset(options, 0, sizeof *options);
    if (netdev_get_class(netdev) == &vhostuser_class) {
        *errp = describe_unknown_option(netdev, args);
        if (*errp) {
            return EINVAL;
        }
    }
    options->queue_pairs = smap_get_uint(args, "queues", DEFAULT_QUEUE_PAIRS);
    if (options->queue_pairs < 1 || options->queue_pairs > 256) {
        *errp = xasprintf("%s: options:queues=%s is not between 1 and 256",
                          netdev_get_name(netdev), smap_get(args, "queues"));
        return EINVAL;
    }
    options->netdev = smap_get_bool(args, "netdev", false);
    options->mode = -1;
    if (mode && (!str_to_int(mode, 8, &options->mode) || options->mode < 0
                 || options->mode > 0777)) {
        *errp = xasprintf("%s: options:vhost-socket-mode=%s is not an octal "
                          "mode such as 0660", netdev_get_name(netdev), mode);
        return EINVAL;
    }
    if (!parse_owner(args, "vhost-socket-owner", true, &options->uid, errp)
        || !parse_owner(args, "vhost-socket-group", false, &options->gid,
                        errp)) {
        return EINVAL;
    }
    return parse_path(netdev, args, options, errp);
}

static bool
options_equal(const struct vhost_options *a, const struct vhost_options *b)
{
    return a->path && b->path && !strcmp(a->path, b->path)
           && a->connect == b->connect && a->uid == b->uid
           && a->gid == b->gid && a->mode == b->mode
           && a->queue_pairs == b->queue_pairs;
}

/* Makes 'device' (or none, if NULL) what the port sends to, if there is a port.
 * When it returns no thread sends to the old one. */
static void
port_set_device(struct netdev_vhost *netdev, struct vhost_device *device)
    OVS_REQUIRES(netdev->mutex)
{
    struct port *port = atomic_load(&netdev->port);

    if (port) {
        __atomic_store_n(&port->priv, device, __ATOMIC_RELEASE);
        if (!device) {
            vhost_synchronize();
        }
    }
}

/* Replaces the device by one with 'options', which it takes over. */
static int
set_device(struct netdev_vhost *netdev, struct vhost_options *options,
           char **errp)
    OVS_REQUIRES(netdev->mutex)
{
    const struct vhost_device_config config = {
        .name = netdev_get_name(&netdev->up),
        .path = options->path,
        .connect = options->connect,
        .uid = options->uid,
        .gid = options->gid,
        .mode = options->mode,
        .max_queue_pairs = options->queue_pairs,
        .mtu = netdev->mtu,
        .disabled_features = (1ULL << VIRTIO_NET_F_HOST_UFO     /* See */
                              | 1ULL << VIRTIO_NET_F_GUEST_UFO), /* offload.c. */
        .state_dir = datapath_state_dir(),
        .pool = datapath_pool(),
        .ops = &device_ops,
        .aux = netdev,
    };

    if (netdev->device) {
        port_set_device(netdev, NULL);
        vhost_device_destroy(netdev->device, false);
        netdev->device = NULL;
    }
    free(netdev->options.path);
    netdev->options = *options;

    int error = vhost_device_create(&config, &netdev->device, errp);
    if (error) {
        netdev->device = NULL;
        free(netdev->options.path);
        netdev->options.path = NULL;
    }
    port_set_device(netdev, netdev->device);
    return error;
}

static int
vhost_set_config(struct netdev *netdev_, const struct smap *args, char **errp)
{
    struct netdev_vhost *netdev = netdev_vhost_cast(netdev_);
    struct vhost_options options;
    int error = parse_options(netdev_, args, &options, errp);

    if (error) {
        free(options.path);
        return error;
    }
    ovs_mutex_lock(&netdev->mutex);
    bool want_namesake = options.netdev;
    if (netdev->device && options_equal(&options, &netdev->options)) {
        free(options.path);
    } else {
        error = set_device(netdev, &options, errp);
    }
    if (!error) {
        set_namesake(netdev, want_namesake, errp);
        if (!*errp) {
            /* Only with Open vSwitch's types, which aren't to fail. */
            *errp = describe_unknown_option(netdev_, args);
        }
    }
    ovs_mutex_unlock(&netdev->mutex);
    netdev_change_seq_changed(netdev_);
    return error;
}

static int
vhost_get_config(const struct netdev *netdev_, struct smap *args)
{
    struct netdev_vhost *netdev = netdev_vhost_cast(netdev_);

    ovs_mutex_lock(&netdev->mutex);
    if (netdev->options.path) {
        smap_add(args, netdev->options.connect ? "vhost-server-path"
                                               : "vhost-socket-path",
                 netdev->options.path);
        smap_add_format(args, "queues", "%u", netdev->options.queue_pairs);
    }
    ovs_mutex_unlock(&netdev->mutex);
    return 0;
}

/* --- State ------------------------------------------------------------------*/

static void
get_device_status(const struct netdev *netdev_,
                  struct vhost_device_status *status)
{
    struct netdev_vhost *netdev = netdev_vhost_cast(netdev_);

    memset(status, 0, sizeof *status);
    ovs_mutex_lock(&netdev->mutex);
    if (netdev->device) {
        vhost_device_get_status(netdev->device, status);
    }
    ovs_mutex_unlock(&netdev->mutex);
}

static int
vhost_get_carrier(const struct netdev *netdev, bool *carrier)
{
    struct vhost_device_status status;

    get_device_status(netdev, &status);
    *carrier = status.running;
    return 0;
}

static int
vhost_get_numa_id(const struct netdev *netdev)
{
    struct vhost_device_status status;

    get_device_status(netdev, &status);
    return status.connected ? status.numa_node : -1;
}

static int
vhost_get_status(const struct netdev *netdev_, struct smap *map)
{
    struct netdev_vhost *netdev = netdev_vhost_cast(netdev_);
    struct vhost_device_status status;

    get_device_status(netdev_, &status);
    smap_add(map, "driver_name", "sluice-vhost");
    smap_add(map, "mode", netdev->options.connect ? "client" : "server");
    smap_add(map, "status", status.connected ? "connected" : "disconnected");
    if (netdev->options.path) {
        smap_add(map, "socket", netdev->options.path);
    }
    if (status.connected) {
        smap_add_format(map, "features", "0x%016"PRIx64, status.features);
        smap_add_format(map, "protocol_features", "0x%016"PRIx64,
                        status.protocol_features);
        smap_add_format(map, "num_of_vrings", "%u", status.n_queues);
        smap_add_format(map, "n_enabled", "%u", status.n_enabled);
        if (status.numa_node >= 0) {
            smap_add_format(map, "numa", "%d", status.numa_node);
        }
    }
    if (status.error[0]) {
        smap_add(map, "error", status.error);
    }
    return 0;
}

static int
vhost_get_stats(const struct netdev *netdev_, struct netdev_stats *stats)
{
    struct netdev_vhost *netdev = netdev_vhost_cast(netdev_);

    memset(stats, 0, sizeof *stats);
    ovs_mutex_lock(&netdev->mutex);
    const struct port *port = atomic_load(&netdev->port);
    if (port) {
        struct port_counters c;
        uint64_t out_drops = 0, in_drops = 0;

        port_get_counters(port, &c);
        for (int i = 0; i < N_LOSS_REASONS; i++) {
            *(i < N_OUT_REASONS ? &out_drops : &in_drops) += c.drops[i];
        }
        stats->rx_packets = c.rx_packets;
        stats->rx_bytes = c.rx_bytes;
        stats->tx_packets = c.tx_packets - MIN(out_drops, c.tx_packets);
        stats->tx_bytes = c.tx_bytes;
        stats->rx_dropped = in_drops;
        stats->tx_dropped = out_drops;
    }
    ovs_mutex_unlock(&netdev->mutex);
    return 0;
}

static int
vhost_get_custom_stats(const struct netdev *netdev_,
                       struct netdev_custom_stats *stats)
{
    struct netdev_vhost *netdev = netdev_vhost_cast(netdev_);
    struct port_counters c;

    memset(&c, 0, sizeof c);
    ovs_mutex_lock(&netdev->mutex);
    const struct port *port = atomic_load(&netdev->port);
    if (port) {
        port_get_counters(port, &c);
    }
    ovs_mutex_unlock(&netdev->mutex);

    drops_to_custom_stats(&c, stats);
    return 0;
}

static int
vhost_get_etheraddr(const struct netdev *netdev_, struct eth_addr *mac)
{
    struct netdev_vhost *netdev = netdev_vhost_cast(netdev_);

    ovs_mutex_lock(&netdev->mutex);
    *mac = netdev->mac;
    ovs_mutex_unlock(&netdev->mutex);
    return 0;
}

static int
vhost_set_etheraddr(struct netdev *netdev_, const struct eth_addr mac)
{
    struct netdev_vhost *netdev = netdev_vhost_cast(netdev_);

    ovs_mutex_lock(&netdev->mutex);
    bool changed = !eth_addr_equals(netdev->mac, mac);
    netdev->mac = mac;
    ovs_mutex_unlock(&netdev->mutex);
    if (changed) {
        netdev_change_seq_changed(netdev_);
    }
    return 0;
}

/* See datapath.h. */
static __thread const struct netdev *mtu_hidden;

bool
datapath_hide_mtu(const struct netdev *netdev)
{
    mtu_hidden = netdev && netdev_is_vhost(netdev) ? netdev : NULL;
    return mtu_hidden;
}

static int
vhost_get_mtu(const struct netdev *netdev_, int *mtu)
{
    struct netdev_vhost *netdev = netdev_vhost_cast(netdev_);

    if (netdev_ == mtu_hidden) {
        return EOPNOTSUPP;
    }
    ovs_mutex_lock(&netdev->mutex);
    *mtu = netdev->mtu;
    ovs_mutex_unlock(&netdev->mutex);
    return 0;
}

static int
vhost_set_mtu(struct netdev *netdev_, int mtu)
{
    struct netdev_vhost *netdev = netdev_vhost_cast(netdev_);

    if (mtu < MIN_MTU || mtu > MAX_MTU) {
        return EINVAL;
    }
    ovs_mutex_lock(&netdev->mutex);
    int error = (netdev->namesake ? namesake_set_mtu(netdev->namesake, mtu)
                                  : 0);
    if (!error) {
        netdev->mtu = mtu;
    }
    ovs_mutex_unlock(&netdev->mutex);
    netdev_change_seq_changed(netdev_);
    return error;
}

static int
vhost_update_flags(struct netdev *netdev_, enum netdev_flags off,
                   enum netdev_flags on, enum netdev_flags *old)
{
    struct netdev_vhost *netdev = netdev_vhost_cast(netdev_);

    if ((off | on) & ~(NETDEV_UP | NETDEV_PROMISC)) {
        return EINVAL;
    }
    ovs_mutex_lock(&netdev->mutex);
    *old = netdev->flags;
    netdev->flags = (netdev->flags | on) & ~off;
    bool changed = netdev->flags != *old;
    ovs_mutex_unlock(&netdev->mutex);
    if (changed) {
        netdev_change_seq_changed(netdev_);
    }
    return 0;
}

/* --- Attaching -----------------------------------------------------------------*/

struct vhost_device *
netdev_vhost_attach(struct netdev *netdev_, struct port *port)
{
    struct netdev_vhost *netdev = netdev_vhost_cast(netdev_);

    ovs_mutex_lock(&netdev->mutex);
    atomic_store(&netdev->port, port);
    port_set_listener(port, netdev->namesake);
    struct vhost_device *device = netdev->device;
    ovs_mutex_unlock(&netdev->mutex);
    return device;
}

void
netdev_vhost_detach(struct netdev *netdev_)
{
    struct netdev_vhost *netdev = netdev_vhost_cast(netdev_);

    ovs_mutex_lock(&netdev->mutex);
    atomic_store(&netdev->port, NULL);
    ovs_mutex_unlock(&netdev->mutex);

    /* A thread that has read the old value is online until it is done. */
    vhost_synchronize();
}

/* --- Registration -----------------------------------------------------------------*/

static void
vhost_run(const struct netdev_class *class OVS_UNUSED)
{
    announcements_run();
}

static void
vhost_wait(const struct netdev_class *class OVS_UNUSED)
{
    announcements_wait();
}

#define VHOST_CLASS                                                     \
    .is_pmd = true,                                                     \
    .run = vhost_run,                                                   \
    .wait = vhost_wait,                                                 \
    .alloc = vhost_alloc,                                               \
    .construct = vhost_construct,                                       \
    .destruct = vhost_destruct,                                         \
    .dealloc = vhost_dealloc,                                           \
    .get_config = vhost_get_config,                                     \
    .set_config = vhost_set_config,                                     \
    .get_numa_id = vhost_get_numa_id,                                   \
    .set_etheraddr = vhost_set_etheraddr,                               \
    .get_etheraddr = vhost_get_etheraddr,                               \
    .get_mtu = vhost_get_mtu,                                           \
    .set_mtu = vhost_set_mtu,                                           \
    .get_carrier = vhost_get_carrier,                                   \
    .get_stats = vhost_get_stats,                                       \
    .get_custom_stats = vhost_get_custom_stats,                         \
    .get_status = vhost_get_status,                                     \
    .update_flags = vhost_update_flags

static struct netdev_class vhostuser_class = {
    .type = "vhostuser",
    VHOST_CLASS
};

static struct netdev_class dpdkvhostuser_class = {
    .type = "dpdkvhostuser",
    VHOST_CLASS
};

static struct netdev_class dpdkvhostuserclient_class = {
    .type = "dpdkvhostuserclient",
    VHOST_CLASS
};

void
netdev_vhost_register(void)
{
    struct netdev_class *const classes[] = {
        &vhostuser_class, &dpdkvhostuser_class, &dpdkvhostuserclient_class,
    };

    for (size_t i = 0; i < ARRAY_SIZE(classes); i++) {
        port_qos_init_class(classes[i], true);
        netdev_register_provider(classes[i]);
    }
}
