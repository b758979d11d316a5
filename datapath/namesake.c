/* A network device of a vhost-user port's name, for options:netdev=true.
 *
 * A vhost-user port has no network device, but some ask for one by the port's
 * name: libvirt sets the MTU there (<mtu> of an interface), and whoever wants
 * to see a guest's traffic runs "tcpdump -i PORT".  So here is one, a tap that
 * carries nothing.
 *
 * While somebody listens to it, the port's packets of both directions are sent
 * to it, too, through a packet socket: a listener sees them on their way out
 * of the device, where nobody else does.  The other way, writing them into the
 * tap, would hand every guest's packet to the host's own protocols.  Behind
 * the listeners, a filter at the tap drops the packets before they are queued.
 *
 * That somebody listens shows in the device's promiscuity, of which the kernel
 * tells us.  (A listener that doesn't want promiscuous mode, such as "tcpdump
 * -p", is not noticed.)  While nobody does, the device costs a comparison per
 * batch. */
#include <config.h>
#include "datapath/namesake.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/if_packet.h>
#include <linux/if_tun.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "datapath/device-work.h"
#include "datapath/kernel-io.h"
#include "datapath/netdev-tap.h"
#include "netlink.h"
#include "netlink-notifier.h"
#include "netlink-socket.h"
#include "openvswitch/ofpbuf.h"
#include "openvswitch/shash.h"
#include "rtnetlink.h"
#include "util.h"

struct namesake {
    char *name;
    int tap;                    /* The device: is there while this is open. */
    int sock;                   /* Packet socket bound to it. */
    int mtu;
    bool heard;                 /* Somebody listens. */
    void (*changed)(void *aux);
    void *aux;
};

/* All of them, by name.  Main thread. */
static struct shash namesakes = SHASH_INITIALIZER(&namesakes);
static struct nln_notifier *notifier;   /* While there are any. */

/* --- What the kernel tells ----------------------------------------------- */

/* Updates what we know about 'ns'. */
static void
refresh(struct namesake *ns)
{
    static const struct nl_policy policy[] = {
        [IFLA_MTU] = { .type = NL_A_U32 },
        [IFLA_PROMISCUITY] = { .type = NL_A_U32 },
    };
    struct nlattr *attrs[ARRAY_SIZE(policy)];
    struct ofpbuf request, *reply;

    ofpbuf_init(&request, 128);
    nl_msg_put_nlmsghdr(&request, sizeof(struct ifinfomsg), RTM_GETLINK,
                        NLM_F_REQUEST);
    ofpbuf_put_zeros(&request, sizeof(struct ifinfomsg));
    nl_msg_put_string(&request, IFLA_IFNAME, ns->name);
    int error = nl_transact(NETLINK_ROUTE, &request, &reply);
    ofpbuf_uninit(&request);
    if (error) {
        ns->heard = false;
        return;
    }
    if (nl_policy_parse(reply, NLMSG_HDRLEN + sizeof(struct ifinfomsg),
                        policy, attrs, ARRAY_SIZE(policy))) {
        ns->mtu = nl_attr_get_u32(attrs[IFLA_MTU]);
        ns->heard = nl_attr_get_u32(attrs[IFLA_PROMISCUITY]) > 0;
    }
    ofpbuf_delete(reply);
}

static void
device_changed(struct namesake *ns)
{
    refresh(ns);
    ns->changed(ns->aux);
}

static void
link_changed(const struct rtnetlink_change *change, void *aux OVS_UNUSED)
{
    if (!change) {
        struct shash_node *node;

        SHASH_FOR_EACH (node, &namesakes) {
            device_changed(node->data);
        }
    } else if (change->ifname) {
        struct namesake *ns = shash_find_data(&namesakes, change->ifname);

        if (ns) {
            device_changed(ns);
        }
    }
}

/* --- Life ---------------------------------------------------------------- */

/* Has the tap queue nothing: nobody reads it. */
static int
drop_at_tap(int fd)
{
    struct sock_filter drop = { BPF_RET | BPF_K, 0, 0, 0 };
    struct sock_fprog program = { .len = 1, .filter = &drop };

    return ioctl(fd, TUNATTACHFILTER, &program) ? errno : 0;
}

/* The host's IPv6 would send solicitations from the device. */
static void
disable_ipv6(const char *name)
{
    char *path = xasprintf("/proc/sys/net/ipv6/conf/%s/disable_ipv6", name);
    int fd = open(path, O_WRONLY | O_CLOEXEC);

    if (fd >= 0) {
        ignore(write(fd, "1", 1));
        close(fd);
    }
    free(path);
}

/* Turns device 'name' on.  'sock' is any socket. */
static int
set_up(int sock, const char *name)
{
    struct ifreq ifr;

    memset(&ifr, 0, sizeof ifr);
    ovs_strlcpy(ifr.ifr_name, name, sizeof ifr.ifr_name);
    if (ioctl(sock, SIOCGIFFLAGS, &ifr)) {
        return errno;
    }
    ifr.ifr_flags |= IFF_UP;
    return ioctl(sock, SIOCSIFFLAGS, &ifr) ? errno : 0;
}

static int
bind_to_device(int sock, const char *name)
{
    struct sockaddr_ll sll = {
        .sll_family = AF_PACKET,
        .sll_ifindex = if_nametoindex(name),
    };
    int on = 1;

    return (setsockopt(sock, SOL_PACKET, PACKET_VNET_HDR, &on, sizeof on)
            || bind(sock, (struct sockaddr *) &sll, sizeof sll) ? errno : 0);
}

static int
open_device(struct namesake *ns, char **errp)
{
    int error = netdev_tap_create(ns->name, &ns->tap, errp);
    if (error) {
        return error;
    }
    ns->sock = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    error = ns->sock < 0 ? errno : drop_at_tap(ns->tap);
    if (!error) {
        disable_ipv6(ns->name);
        error = set_up(ns->sock, ns->name);
    }
    if (!error) {
        error = bind_to_device(ns->sock, ns->name);
    }
    if (error) {
        *errp = xasprintf("%s: cannot set up the network device for "
                          "options:netdev: %s", ns->name,
                          ovs_strerror(error));
    }
    return error;
}

static void
close_device(struct namesake *ns)
{
    if (ns->sock >= 0) {
        close(ns->sock);
    }
    if (ns->tap >= 0) {
        device_close(ns->name, ns->tap);
    }
    free(ns->name);
    free(ns);
}

int
namesake_create(const char *name, void (*changed)(void *aux), void *aux,
                struct namesake **nsp, char **errp)
{
    struct namesake *ns = xmalloc(sizeof *ns);

    *ns = (struct namesake) { .name = xstrdup(name), .tap = -1, .sock = -1,
                              .changed = changed, .aux = aux };
    int error = open_device(ns, errp);
    if (error) {
        close_device(ns);
        return error;
    }
    refresh(ns);
    if (!notifier) {
        notifier = rtnetlink_notifier_create(link_changed, NULL);
    }
    shash_add_once(&namesakes, ns->name, ns);
    *nsp = ns;
    return 0;
}

void
namesake_destroy(struct namesake *ns)
{
    shash_find_and_delete(&namesakes, ns->name);
    if (shash_is_empty(&namesakes)) {
        rtnetlink_notifier_destroy(notifier);
        notifier = NULL;
    }
    close_device(ns);
}

int
namesake_get_mtu(const struct namesake *ns)
{
    return ns->mtu;
}

/* Returns 0 or a positive errno value. */
int
namesake_set_mtu(struct namesake *ns, int mtu)
{
    struct ifreq ifr;

    memset(&ifr, 0, sizeof ifr);
    ovs_strlcpy(ifr.ifr_name, ns->name, sizeof ifr.ifr_name);
    ifr.ifr_mtu = mtu;
    if (ioctl(ns->sock, SIOCSIFMTU, &ifr)) {
        return errno;
    }
    ns->mtu = mtu;
    return 0;
}

/* --- Packets ------------------------------------------------------------- */

bool
namesake_is_heard(const struct namesake *ns)
{
    return ns->heard;
}

/* A packet that the device doesn't take, because it is longer than its MTU or
 * its offload request makes no sense, is not shown. */
void
namesake_show(struct namesake *ns, const struct vhost_packet *packets,
              unsigned int n)
{
    for (unsigned int i = 0; i < n; i++) {
        struct iovec iov[KERNEL_TX_IOVS];
        struct virtio_net_hdr vnet;
        struct msghdr msg = { .msg_iov = iov };

        msg.msg_iovlen = kernel_packet_to_iov(&packets[i], &vnet, iov);
        ignore(sendmsg(ns->sock, &msg, 0));
    }
}
