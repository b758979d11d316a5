/* Tunnel devices of the kernel's own: see tunnel-device.h.
 *
 * One device serves all tunnels of a kind ("collect metadata"): what a packet's
 * tunnel header said lies beside the packet, where a BPF program sees it, and
 * the program says likewise where one that it sends is to go.  So the kernel
 * engine forwards into and out of tunnels, segmentation requests whole.
 *
 * A packet socket would not see what lies beside the packet.  What the kernel
 * engine doesn't deal with itself it puts behind a header with that (struct
 * kernel_shim) and sends to a tap of ours, where it is read here.  What the
 * daemon sends doesn't come by the device: see tunnel-send.c.
 *
 * TCP between a container and a Linux VXLAN device in another, medians of three
 * runs of iperf3 in one go, Gbit/s out and in: 11.9 and 12.3; a Linux bridge in
 * our place 15.3 and 10.2; by sockets 2.8 and 0.05.
 *
 * So far there are devices for VXLAN, without its extensions. */
#include <config.h>
#include "datapath/tunnel-device.h"

#include <errno.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "datapath/kernel-io.h"
#include "datapath/kernel/kernel.h"
#include "datapath/kernel/maps.h"
#include "datapath/netdev-tap.h"
#include "datapath/private.h"
#include "datapath/tunnel-header.h"
#include "dp-packet.h"
#include "netlink.h"
#include "netlink-socket.h"
#include "openvswitch/ofpbuf.h"
#include "openvswitch/vlog.h"
#include "packets.h"
#include "util.h"

VLOG_DEFINE_THIS_MODULE(tunnel_device);

/* The outer packet's MTU decides, not the device's. */
#define DEVICE_MTU 65485

/* Where the kernel puts a tag that it had taken out of a frame. */
#define TAG_OFS 12
BUILD_ASSERT_DECL(offsetof(struct kernel_shim, ipv4) == TAG_OFS);

struct tunnel_device {
    struct vhost_source source; /* The tap. */
    struct port *port;
    char *tap_name;
    int ifindex;                /* Of the tunnel device. */
};

/* --- Devices --------------------------------------------------------------- */

/* Begins a request of 'type' about device 'ifindex', or about none yet if that
 * is 0, which is to be up if 'up'. */
static void
put_link(struct ofpbuf *request, int type, int flags, int ifindex, bool up)
{
    ofpbuf_init(request, 256);
    nl_msg_put_nlmsghdr(request, sizeof(struct ifinfomsg), type,
                        NLM_F_REQUEST | flags);

    struct ifinfomsg *ifi = ofpbuf_put_zeros(request, sizeof *ifi);
    ifi->ifi_index = ifindex;
    ifi->ifi_flags = ifi->ifi_change = up ? IFF_UP : 0;
}

static int
send_link(struct ofpbuf *request)
{
    int error = nl_transact(NETLINK_ROUTE, request, NULL);

    ofpbuf_uninit(request);
    return error;
}

static int
set_up(int ifindex)
{
    struct ofpbuf request;

    put_link(&request, RTM_NEWLINK, NLM_F_ACK, ifindex, true);
    return send_link(&request);
}

void
tunnel_device_remove(int ifindex)
{
    struct ofpbuf request;

    put_link(&request, RTM_DELLINK, NLM_F_ACK, ifindex, false);
    send_link(&request);
}

static int
create_device(const char *name, ovs_be16 udp_port)
{
    struct ofpbuf request;

    put_link(&request, RTM_NEWLINK, NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL, 0,
             true);
    nl_msg_put_string(&request, IFLA_IFNAME, name);
    nl_msg_put_u32(&request, IFLA_MTU, DEVICE_MTU);
    size_t info = nl_msg_start_nested(&request, IFLA_LINKINFO);
    nl_msg_put_string(&request, IFLA_INFO_KIND, "vxlan");
    size_t data = nl_msg_start_nested(&request, IFLA_INFO_DATA);
    nl_msg_put_u8(&request, IFLA_VXLAN_LEARNING, 0);
    nl_msg_put_u8(&request, IFLA_VXLAN_COLLECT_METADATA, 1);
    nl_msg_put_u8(&request, IFLA_VXLAN_UDP_ZERO_CSUM6_RX, 1);
    nl_msg_put_be16(&request, IFLA_VXLAN_PORT, udp_port);
    nl_msg_end_nested(&request, data);
    nl_msg_end_nested(&request, info);
    return send_link(&request);
}

/* Returns true if what the kernel says of a device is that it is one that
 * create_device() makes, and nobody else's. */
static bool
is_ours(const struct ofpbuf *reply, ovs_be16 *udp_port)
{
    static const struct nl_policy policy[] = {
        [IFLA_LINKINFO] = { .type = NL_A_NESTED },
        [IFLA_MASTER] = { .type = NL_A_U32, .optional = true },
    };
    static const struct nl_policy info_policy[] = {
        [IFLA_INFO_KIND] = { .type = NL_A_STRING },
        [IFLA_INFO_DATA] = { .type = NL_A_NESTED, .optional = true },
    };
    static const struct nl_policy data_policy[] = {
        [IFLA_VXLAN_COLLECT_METADATA] = { .type = NL_A_U8 },
        [IFLA_VXLAN_PORT] = { .type = NL_A_BE16 },
    };
    struct nlattr *attrs[ARRAY_SIZE(policy)];
    struct nlattr *info[ARRAY_SIZE(info_policy)];
    struct nlattr *data[ARRAY_SIZE(data_policy)];

    if (!nl_policy_parse(reply, NLMSG_HDRLEN + sizeof(struct ifinfomsg),
                         policy, attrs, ARRAY_SIZE(policy))
        || attrs[IFLA_MASTER]
        || !nl_parse_nested(attrs[IFLA_LINKINFO], info_policy, info,
                            ARRAY_SIZE(info_policy))
        || strcmp(nl_attr_get_string(info[IFLA_INFO_KIND]), "vxlan")
        || !info[IFLA_INFO_DATA]
        || !nl_parse_nested(info[IFLA_INFO_DATA], data_policy, data,
                            ARRAY_SIZE(data_policy))) {
        return false;
    }
    *udp_port = nl_attr_get_be16(data[IFLA_VXLAN_PORT]);
    return nl_attr_get_u8(data[IFLA_VXLAN_COLLECT_METADATA]);
}

/* The index of device 'name', if an earlier process left it: 0 if not. */
static int
find_left(const char *name, ovs_be16 *udp_port)
{
    int ifindex = if_nametoindex(name);
    struct ofpbuf request, *reply;

    if (!ifindex) {
        return 0;
    }
    put_link(&request, RTM_GETLINK, 0, ifindex, false);
    int error = nl_transact(NETLINK_ROUTE, &request, &reply);
    ofpbuf_uninit(&request);
    if (error) {
        return 0;
    }
    bool ours = is_ours(reply, udp_port);
    ofpbuf_delete(reply);
    return ours ? ifindex : 0;
}

/* Makes or finds the device.  Returns its index, or 0. */
static int
get_device(const char *name, ovs_be16 udp_port)
{
    ovs_be16 left_port;
    int left = find_left(name, &left_port);

    if (left && left_port == udp_port) {
        return left;
    } else if (left) {
        tunnel_device_remove(left);
    }
    int error = create_device(name, udp_port);
    if (error) {
        VLOG_INFO("%s: tunnels by sockets: the kernel makes no device for "
                  "them (%s)", name, ovs_strerror(error));
        return 0;
    }
    return if_nametoindex(name);
}

/* --- Receiving ------------------------------------------------------------- */

/* Takes the shim off 'packet'.  Returns false if there is none: then it is a
 * packet that the host sent by the tap, of its own accord. */
static bool
take_shim(struct vhost_packet *packet, struct flow_tnl *key)
{
    struct kernel_shim shim;
    ovs_be16 tag[2];
    size_t n = sizeof shim;

    if (packet->head_len < n + sizeof tag + ETH_HEADER_LEN) {
        return false;
    }
    memcpy(&shim, packet->head, TAG_OFS);
    if (shim.magic != KERNEL_SHIM_MAGIC) {
        return false;
    }
    if (shim.tagged) {
        memcpy(tag, packet->head + TAG_OFS, sizeof tag);
        n += sizeof tag;
    }
    memcpy((uint8_t *) &shim + TAG_OFS,
           packet->head + n - (sizeof shim - TAG_OFS),
           sizeof shim - TAG_OFS);
    packet->head += n;
    packet->head_len -= n;
    packet->len -= n;
    offload_shift(packet, -(int) n);
    if (shim.tagged) {
        kernel_packet_push_vlan(packet, tag[0], tag[1]);
    }

    memset(key, 0, sizeof *key);
    key->tun_id = htonll(shim.tun_id);
    key->flags = FLOW_TNL_F_KEY;
    key->ip_tos = shim.tos;
    key->ip_ttl = shim.ttl;
    if (shim.ipv6) {
        memcpy(&key->ipv6_src, shim.ipv6_addrs.src, sizeof key->ipv6_src);
        memcpy(&key->ipv6_dst, shim.ipv6_addrs.dst, sizeof key->ipv6_dst);
    } else {
        key->ip_src = shim.ipv4.src;
        key->ip_dst = shim.ipv4.dst;
    }
    return true;
}

/* Checks what 'packet' asks for, and finds its hash. */
static bool
check_request(const struct port *port, struct vhost_packet *packet)
{
    const struct pkt_metadata md = { .recirc_id = 0 };
    struct flow_parse parsed;
    struct flow_key key;

    packet->hash = 0;
    packet->l4_ofs = UINT16_MAX;
    vhost_packet_pull(packet, MIN(packet->len, 2 * KERNEL_HEAD));
    if (!tracked_make_key(port, packet, &md, &key, &parsed)) {
        return !(packet->vnet.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM);
    }
    packet->l3_ofs = parsed.l3_ofs;
    packet->l4_ofs = parsed.l4_ofs;
    packet->hash = flow_key_hash(&key, parsed.blocks);
    return offload_check(packet, &key);
}

/* Takes 'packet', which was read from the tap, through the datapath. */
static void
receive_packet(struct port *port, struct vhost_packet *packet,
               struct dp_thread *thread)
{
    struct port_counters *counters = &thread->counters[port->index];
    struct dp_packet stand_in;

    pkt_metadata_init(&stand_in.md, port->number);
    if (!take_shim(packet, &stand_in.md.tunnel)) {
        return;
    }
    counter_add(&counters->rx_packets, 1);
    counter_add(&counters->rx_bytes, packet->len);
    if (check_request(port, packet)) {
        put_aside(port, packet, &stand_in, NULL, thread);
    } else {
        port_drop_packet(port, DROP_BAD_OFFLOAD, packet, thread);
    }
}

/* Receives at most 'max' packets.  Sets '*more' to false if there are no more
 * of them. */
static unsigned int
receive(struct tunnel_device *td, unsigned int max, bool *more,
        struct dp_thread *thread)
{
    struct kernel_batch *batch = kernel_batch_get();
    unsigned int n;

    for (n = 0; n < max; n++) {
        struct iovec iov[KERNEL_RX_IOVS];

        kernel_batch_prepare(batch, 0, iov);
        ssize_t retval = readv(td->source.fd, iov, KERNEL_RX_IOVS);
        if (retval < 0) {
            *more = false;
            break;
        }
        if (kernel_batch_finish(batch, 0, retval)) {
            receive_packet(td->port, &batch->packets[0], thread);
        }
    }
    receive_deferred(thread);
    return n;
}

static unsigned int
tunnel_device_poll(struct vhost_source *source,
                   struct vhost_thread *vhost_thread, unsigned int budget)
{
    struct tunnel_device *td = CONTAINER_OF(source, struct tunnel_device,
                                            source);
    struct dp_thread *thread = dp_thread_from_vhost(vhost_thread);
    unsigned int done = 0;
    bool more = true;

    while (more && done < budget) {
        uint64_t up = kernel_port_up(td->port);
        unsigned int n = receive(td, MIN(budget - done, VHOST_BATCH), &more,
                                 thread);

        done += n;
        kernel_port_received(td->port, n, up, !more);
    }
    return done;
}

static const struct vhost_source_ops tunnel_device_ops = {
    .poll = tunnel_device_poll,
    .arm = kernel_source_arm,
    .disarm = kernel_source_arm,
    .pending = kernel_source_pending,
};

/* --- Opening and closing ---------------------------------------------------*/

/* Makes the tap of 'td'.  Returns its interface index, or 0. */
static int
open_tap(struct tunnel_device *td, ovs_be16 udp_port)
{
    char *error_s = NULL;
    int fd;

    td->tap_name = xasprintf("tunnel_up_%d", ntohs(udp_port));
    if (netdev_tap_create(td->tap_name, &fd, &error_s)) {
        VLOG_WARN("%s", error_s);
        free(error_s);
        return 0;
    }
    td->source = (struct vhost_source) {
        .ops = &tunnel_device_ops,
        .fd = fd,
        .numa_node = -1,
        .name = td->port->name,
    };
    int ifindex = if_nametoindex(td->tap_name);
    if (!ifindex || set_up(ifindex)) {
        netdev_tap_close(td->tap_name, fd);
        return 0;
    }
    return ifindex;
}

/* What tunnel_device_open() does, but for the device, 'td->ifindex'. */
static bool
attach(struct tunnel_device *td, ovs_be16 udp_port)
{
    int lift = open_tap(td, udp_port);

    if (!lift) {
        return false;
    }
    if (kernel_port_open_tunnel(td->port, td->ifindex, lift)) {
        netdev_tap_close(td->tap_name, td->source.fd);
        return false;
    }
    vhost_pool_add(datapath_pool(), &td->source);
    return true;
}

struct tunnel_device *
tunnel_device_open(struct port *port, const struct tunnel_format *format,
                   ovs_be16 udp_port)
{
    bool possible = format->kind == TUNNEL_VXLAN && !format->gbp
                    && !format->gpe && kernel_engine_is_available();
    struct tunnel_device *td = xzalloc(sizeof *td);

    td->port = port;
    kernel_port_refuse(port->name, EOPNOTSUPP); /* Unless the engine says
                                                 * otherwise. */
    td->ifindex = possible ? get_device(port->name, udp_port)
                           : find_left(port->name, &udp_port);
    if (td->ifindex && possible && attach(td, udp_port)) {
        return td;
    }
    if (td->ifindex) {
        tunnel_device_remove(td->ifindex);
    }
    free(td->tap_name);
    free(td);
    return NULL;
}

void
tunnel_device_close(struct tunnel_device *td, bool keep)
{
    vhost_pool_remove(datapath_pool(), &td->source);
    kernel_port_close(td->port, keep);
    netdev_tap_close(td->tap_name, td->source.fd);
    if (!keep) {
        tunnel_device_remove(td->ifindex);
    }
    free(td->tap_name);
    free(td);
}
