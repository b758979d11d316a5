/* The network devices of "tap" and "internal" ports.
 *
 * Both are taps of our own: the kernel's side is an ordinary network device,
 * ours a file descriptor, which port-tap.c reads and writes.  To libofproto
 * such a netdev is like any Linux device, so nearly all of our class is
 * libopenvswitch's for those: address, MTU, flags, carrier, QoS...
 *
 * Life of a device.  A netdev that is opened must exist, for its flags and
 * address to be read, so its construction makes the device, if it is not there
 * yet: transient, kept by a descriptor.  When a port opens it the device is
 * made permanent.  It then survives the end of this process, however it comes,
 * with its addresses and routes, and the next process attaches to it. It goes
 * when its port is deleted: netdev_tap_remove().  A netdev that is closed
 * without ever becoming a port leaves nothing behind.
 *
 * A device that another process is attached to (a virtual machine's tap) is
 * not ours to take.  The kernel refuses to share one that has a single queue;
 * a multi-queue one it would share, so we look at its carrier first, which is
 * on while somebody is attached.
 *
 * Ours have a single queue unless options:n_rxq says otherwise: a multi-queue
 * tap takes the kernel 250 KB and 0.5 ms to make, ours 30 KB and 0.15 ms.  The
 * one can't become the other: a device of the wrong sort is made anew when its
 * options are set.
 *
 * To close the last descriptor of a transient device deletes it, which
 * takes long: device-work.c does it, and is waited for if a device of that name
 * is to be made again. */
#include <config.h>
#include "datapath/netdev-tap.h"
#include "datapath/netdev-system.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <linux/rtnetlink.h>
#include <linux/virtio_net.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "datapath/device-work.h"
#include "datapath/kernel/kernel.h"
#include "datapath/port-qos.h"
#include "netdev-provider.h"
#include "netlink.h"
#include "netlink-socket.h"
#include "openvswitch/ofpbuf.h"
#include "openvswitch/shash.h"
#include "openvswitch/vlog.h"
#include "ovs-thread.h"
#include "smap.h"
#include "util.h"

VLOG_DEFINE_THIS_MODULE(netdev_tap);

/* A device that is open as a netdev. */
struct keeper {
    int fd;                     /* What keeps it, -1 if it has been removed
                                 * since. */
    bool multi_queue;           /* What sort of device it is. */
    unsigned int n_queues;      /* That a port is to open. */
    bool opened;                /* A port has. */
};

static struct ovs_mutex mutex = OVS_MUTEX_INITIALIZER;
static struct shash keepers OVS_GUARDED_BY(mutex)
    = SHASH_INITIALIZER(&keepers);

/* --- Attaching ----------------------------------------------------------- */

/* Returns 0 if device 'name' is a tap that nobody is attached to, else the
 * reason why it isn't ours to take. */
static int
check_tap_is_free(const char *name)
{
    static const struct nl_policy policy[] = {
        [IFLA_CARRIER] = { .type = NL_A_U8 },
        [IFLA_LINKINFO] = { .type = NL_A_NESTED, .optional = true },
    };
    static const struct nl_policy info_policy[] = {
        [IFLA_INFO_KIND] = { .type = NL_A_STRING },
    };
    struct nlattr *attrs[ARRAY_SIZE(policy)];
    struct nlattr *info[ARRAY_SIZE(info_policy)];
    struct ofpbuf request, *reply;

    ofpbuf_init(&request, 128);
    nl_msg_put_nlmsghdr(&request, sizeof(struct ifinfomsg), RTM_GETLINK,
                        NLM_F_REQUEST);
    ofpbuf_put_zeros(&request, sizeof(struct ifinfomsg));
    nl_msg_put_string(&request, IFLA_IFNAME, name);
    int error = nl_transact(NETLINK_ROUTE, &request, &reply);
    ofpbuf_uninit(&request);
    if (error) {
        return error;
    }

    if (!nl_policy_parse(reply, NLMSG_HDRLEN + sizeof(struct ifinfomsg),
                         policy, attrs, ARRAY_SIZE(policy))
        || !attrs[IFLA_LINKINFO]
        || !nl_parse_nested(attrs[IFLA_LINKINFO], info_policy, info,
                            ARRAY_SIZE(info_policy))
        || strcmp(nl_attr_get_string(info[IFLA_INFO_KIND]), "tun")) {
        error = EEXIST;
    } else if (nl_attr_get_u8(attrs[IFLA_CARRIER])) {
        error = EBUSY;
    }
    ofpbuf_delete(reply);
    return error;
}

/* Attaches 'fd' to tap 'name', which it makes if there is none. */
static int
attach(int fd, const char *name, short flags)
{
    struct ifreq ifr = { .ifr_flags = flags };

    ovs_strlcpy(ifr.ifr_name, name, sizeof ifr.ifr_name);
    return ioctl(fd, TUNSETIFF, &ifr) ? errno : 0;
}

/* The same with a new descriptor, which it stores in '*fdp'. */
static int
open_and_attach(const char *name, short flags, int *fdp)
{
    int size = sizeof(struct virtio_net_hdr);

    int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0) {
        return errno;
    }
    int error = attach(fd, name, flags | IFF_TAP | IFF_NO_PI | IFF_VNET_HDR);
    if (!error && ioctl(fd, TUNSETVNETHDRSZ, &size)) {
        error = errno;
    }
    if (error) {
        close(fd);
        return error;
    }
    *fdp = fd;
    return 0;
}

/* Attaches to tap 'name', which it makes if there is none, as the only one:
 * 'multi_queue' says of which sort.  A device of the other sort that exists
 * already is left as it is.  Fills in 'keeper'. */
static int
open_tap(const char *name, bool multi_queue, struct keeper *keeper)
{
    if (strlen(name) >= IFNAMSIZ) {
        return ENAMETOOLONG;
    }
    if (!strcmp(name, "all") || !strcmp(name, "default")) {
        return EINVAL;          /* /proc/sys/net/ipv4/conf has these. */
    }
    device_work_wait(name);

    int error = 0;
    bool exists = if_nametoindex(name);
    if (multi_queue && exists) {
        error = check_tap_is_free(name);
    }
    keeper->multi_queue = multi_queue;
    if (!error) {
        error = open_and_attach(name, multi_queue ? IFF_MULTI_QUEUE : 0,
                                &keeper->fd);
    }
    if (error == EINVAL && exists) {
        /* A tap of the other sort, or no tap. */
        error = check_tap_is_free(name);
        if (!error) {
            keeper->multi_queue = !multi_queue;
            error = open_and_attach(name, multi_queue ? 0 : IFF_MULTI_QUEUE,
                                    &keeper->fd);
        }
    }
    return error;
}

/* Makes the device 'name' of 'keeper', which is of the wrong sort, anew. */
static int
remake_tap(const char *name, struct keeper *keeper)
{
    ioctl(keeper->fd, TUNSETPERSIST, 0);
    close(keeper->fd);
    keeper->fd = -1;
    return open_tap(name, !keeper->multi_queue, keeper);
}

static char *
describe_error(const char *name, int error)
{
    switch (error) {
    case EBUSY:
        return xasprintf("%s: another process uses the tap device of that "
                         "name: stop it, or give the port another name", name);
    case EEXIST:
        return xasprintf("%s: there is a network device of that name which "
                         "is not a tap: use type=system for it, or give the "
                         "port another name", name);
    case ENAMETOOLONG:
        return xasprintf("%s: the name of a network device must not have more "
                         "than %d bytes", name, IFNAMSIZ - 1);
    case EINVAL:
        return xasprintf("%s: not possible as the name of a network device",
                         name);
    case ENOENT:
        return xasprintf("%s: cannot make a tap device: /dev/net/tun does not "
                         "exist (is the kernel's tun module loaded?)", name);
    case EPERM:
        return xasprintf("%s: not permitted to make a tap device: the "
                         "capability CAP_NET_ADMIN is needed", name);
    default:
        return xasprintf("%s: cannot make a tap device: %s",
                         name, ovs_strerror(error));
    }
}

/* --- For port-tap.c and namesake.c --------------------------------------- */

/* Has the kernel pass us packets with as many offload requests as it can. */
static void
set_offloads(const char *name, int fd)
{
    enum {
        TSO = TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN,
        USO = 0x20 | 0x40,      /* TUN_F_USO4, TUN_F_USO6: Linux 6.2. */
    };
    static const unsigned int tries[] = { TSO | USO, TSO };

    for (size_t i = 0; i < ARRAY_SIZE(tries); i++) {
        if (!ioctl(fd, TUNSETOFFLOAD, tries[i])) {
            return;
        }
    }
    VLOG_WARN("%s: no offloads (%s)", name, ovs_strerror(errno));
}

/* Opens the queues of 'keeper', whose device is there. */
static int
open_queues(const char *name, const struct keeper *keeper, int fds[],
            unsigned int *n)
{
    int error = 0;

    fds[0] = fcntl(keeper->fd, F_DUPFD_CLOEXEC, 0);
    if (fds[0] < 0) {
        return errno;
    }
    for (*n = 1; *n < keeper->n_queues; ++*n) {
        error = open_and_attach(name, IFF_MULTI_QUEUE, &fds[*n]);
        if (error) {
            break;
        }
    }
    while (error && *n) {
        close(fds[--*n]);
    }
    return error;
}

int
netdev_tap_open(const char *name, int fds[NETDEV_TAP_MAX_QUEUES],
                unsigned int *n, char **errp)
{
    ovs_mutex_lock(&mutex);
    struct keeper *keeper = shash_find_data(&keepers, name);
    keeper->opened = true;
    ovs_mutex_unlock(&mutex);

    int error = (keeper->fd < 0
                 ? open_tap(name, keeper->n_queues > 1, keeper) : 0);
    if (!error && ioctl(keeper->fd, TUNSETPERSIST, 1)) {
        error = errno;
    }
    if (!error) {
        error = open_queues(name, keeper, fds, n);
    }
    if (error) {
        *errp = describe_error(name, error);
        return error;
    }
    set_offloads(name, keeper->fd);
    return 0;
}

int
netdev_tap_create(const char *name, int *fdp, char **errp)
{
    struct keeper keeper;
    int error = open_tap(name, false, &keeper);

    if (error) {
        *errp = describe_error(name, error);
        return error;
    }
    *fdp = keeper.fd;
    set_offloads(name, *fdp);
    return 0;
}

void
netdev_tap_close(const char *name, int fd)
{
    device_close(name, fd);
}

void
netdev_tap_remove(const char *name)
{
    ovs_mutex_lock(&mutex);
    struct keeper *keeper = shash_find_data(&keepers, name);
    int fd = keeper ? keeper->fd : -1;
    if (keeper) {
        keeper->fd = -1;
    }
    ovs_mutex_unlock(&mutex);

    if (fd < 0) {
        struct keeper found;

        if (!if_nametoindex(name) || open_tap(name, false, &found)) {
            return;             /* There is none, or it is not ours. */
        }
        fd = found.fd;
    }
    if (ioctl(fd, TUNSETPERSIST, 0)) {
        VLOG_WARN("%s: cannot delete tap device: %s",
                  name, ovs_strerror(errno));
    }
    device_close(name, fd);
}

/* --- The netdev classes -------------------------------------------------- */

static int
tap_construct(struct netdev *netdev)
{
    const char *name = netdev_get_name(netdev);
    struct keeper *keeper = xzalloc(sizeof *keeper);
    int error = open_tap(name, false, keeper);

    keeper->n_queues = 1;

    if (error) {
        char *message = describe_error(name, error);

        VLOG_WARN("%s", message);
        free(message);
        free(keeper);
        return error;
    }

    error = netdev_linux_class.construct(netdev);
    if (error) {
        device_close(name, keeper->fd);
        free(keeper);
        return error;
    }
    ovs_mutex_lock(&mutex);
    shash_add_once(&keepers, name, keeper);
    ovs_mutex_unlock(&mutex);
    return 0;
}

static void
tap_destruct(struct netdev *netdev)
{
    const char *name = netdev_get_name(netdev);

    ovs_mutex_lock(&mutex);
    struct keeper *keeper = shash_find_and_delete(&keepers, name);
    ovs_mutex_unlock(&mutex);

    if (keeper->fd >= 0) {
        device_close(name, keeper->fd);
    }
    free(keeper);
    netdev_linux_class.destruct(netdev);
}

static int
parse_options(const struct netdev *netdev, const struct smap *args,
              unsigned int *n_queues, char **errp)
{
    const char *name = netdev_get_name(netdev);
    const struct smap_node *node;

    *n_queues = 1;
    SMAP_FOR_EACH (node, args) {
        if (strcmp(node->key, "n_rxq")) {
            free(*errp);
            *errp = xasprintf("%s: interfaces of type \"%s\" have no "
                              "options:%s", name, netdev_get_type(netdev),
                              node->key);
        } else if (!str_to_uint(node->value, 10, n_queues)
                   || *n_queues < 1 || *n_queues > NETDEV_TAP_MAX_QUEUES) {
            free(*errp);
            *errp = xasprintf("%s: options:n_rxq=%s is not between 1 and %d",
                              name, node->value, NETDEV_TAP_MAX_QUEUES);
            return EINVAL;
        }
    }
    return 0;
}

/* Fails when a port is open with another number of queues: the interface is
 * opened anew then. */
static int
tap_set_config(struct netdev *netdev, const struct smap *args, char **errp)
{
    const char *name = netdev_get_name(netdev);
    unsigned int n_queues;
    int error = parse_options(netdev, args, &n_queues, errp);

    if (error) {
        return error;
    }
    ovs_mutex_lock(&mutex);
    struct keeper *keeper = shash_find_data(&keepers, name);
    if (keeper->opened && n_queues != keeper->n_queues) {
        error = EBUSY;
    } else if (n_queues > 1 && !keeper->multi_queue) {
        error = remake_tap(name, keeper);
        if (error) {
            free(*errp);
            *errp = describe_error(name, error);
        }
    }
    if (!error) {
        keeper->n_queues = n_queues;
    }
    ovs_mutex_unlock(&mutex);
    return error;
}

static int
tap_get_config(const struct netdev *netdev, struct smap *args)
{
    ovs_mutex_lock(&mutex);
    struct keeper *keeper = shash_find_data(&keepers,
                                            netdev_get_name(netdev));
    if (keeper->n_queues > 1) {
        smap_add_format(args, "n_rxq", "%u", keeper->n_queues);
    }
    ovs_mutex_unlock(&mutex);
    return 0;
}

static void
swap(uint64_t *a, uint64_t *b)
{
    uint64_t tmp = *a;

    *a = *b;
    *b = tmp;
}

/* The kernel counts as its host sees it; a port's statistics are those that
 * the switch sees. */
static int
tap_get_stats(const struct netdev *netdev, struct netdev_stats *stats)
{
    int error = netdev_system_get_stats(netdev, stats);

    if (!error) {
        swap(&stats->rx_packets, &stats->tx_packets);
        swap(&stats->rx_bytes, &stats->tx_bytes);
        swap(&stats->rx_errors, &stats->tx_errors);
        swap(&stats->rx_dropped, &stats->tx_dropped);
        kernel_device_add_stats(netdev_get_ifindex(netdev), stats);
    }
    return error;
}

void
netdev_tap_register(
    int (*get_custom_stats)(const struct netdev *,
                            struct netdev_custom_stats *))
{
    static const char *const types[] = { "tap", "internal" };
    static struct netdev_class classes[ARRAY_SIZE(types)];

    for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
        struct netdev_class *class = &classes[i];

        netdev_unregister_provider(types[i]);
        *class = netdev_linux_class;
        class->type = types[i];
        class->construct = tap_construct;
        class->destruct = tap_destruct;
        class->set_config = tap_set_config;
        class->get_config = tap_get_config;
        class->get_stats = tap_get_stats;
        class->get_custom_stats = get_custom_stats;
        class->update_flags = netdev_system_update_flags;
        class->get_status = netdev_system_get_status;
        port_qos_init_class(class, false);

        /* Packets are for port-tap.c, and tc offload is for devices of
         * others. */
        class->get_block_id = NULL;
        class->send = NULL;
        class->send_wait = NULL;
        class->rxq_alloc = NULL;
        class->rxq_construct = NULL;
        class->rxq_destruct = NULL;
        class->rxq_dealloc = NULL;
        class->rxq_recv = NULL;
        class->rxq_wait = NULL;
        class->rxq_drain = NULL;

        int error = netdev_register_provider(class);
        ovs_assert(!error);
    }
}
