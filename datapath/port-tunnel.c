/* Tunnel ports of the system type: one for all tunnels of a kind (and UDP
 * port), whose other end is any peer that the host's own network stack has a
 * route to.
 *
 * Packets come and go by sockets: UDP ones for VXLAN, Geneve and GTP-U, raw
 * ones for GRE and ERSPAN.  So the port works wherever the daemon does, in a
 * container, and with a kernel that knows nothing of the tunnel; and the
 * kernel, which has somebody to give the packets to, doesn't tell the peer
 * that there is nobody.
 *
 * The kernel engine needs a device of the kernel's own in their place, where
 * there is one: that is tunnel-device.c's.  Then packets come by it, and those
 * that the daemon sends go by sockets all the same.
 *
 * One socket for each version of IP receives; tunnel-send.c sends.  The kernel
 * hands over UDP packets of one size and flow as one (UDP_GRO), and
 * coalesce.c puts what is inside together again. */
#include <config.h>
#include "datapath/port.h"

#include <errno.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "datapath/coalesce.h"
#include "datapath/datapath.h"
#include "datapath/kernel-io.h"
#include "datapath/kernel/kernel.h"
#include "datapath/private.h"
#include "datapath/tunnel-device.h"
#include "datapath/tunnel-header.h"
#include "datapath/tunnel-send.h"
#include "netdev.h"
#include "netdev-vport.h"
#include "packets.h"
#include "util.h"

/* In <linux/udp.h> and <linux/in6.h>. */
#ifndef UDP_GRO
#define UDP_GRO 104
#endif
#ifndef UDP_NO_CHECK6_RX
#define UDP_NO_CHECK6_RX 102
#endif

#define SOCKET_BUFFER (4 * 1024 * 1024)

/* Datagrams received by one system call. */
#define RX_BATCH 16

struct port_tunnel;

/* Receives by one version of IP. */
struct tunnel_socket {
    struct vhost_source source;
    struct port_tunnel *owner;
    int fd;
    bool ipv6;
    uint32_t n_lost;                /* SO_RXQ_OVFL's counter. */
};

struct port_tunnel {
    struct port *port;
    struct tunnel_format format;
    ovs_be16 udp_port;              /* 0 for GRE. */
    atomic_uint32_t seq;            /* Last sequence number sent. */
    struct tunnel_device *device;   /* What receives, or NULL... */
    unsigned int n_sockets;
    struct tunnel_socket sockets[2]; /* ...and these do. */
};

/* --- Receiving ----------------------------------------------------------- */

/* A message received, and room for one. */
struct rx_message {
    struct flow_tnl key;            /* The addresses and so on. */
    uint16_t gso_size;              /* It is several packets of this size. */
    struct sockaddr_storage from;
    union {
        struct cmsghdr align;
        char buf[256];
    } control;
};

struct rx_batch {
    struct mmsghdr msgs[RX_BATCH];
    struct iovec iovs[RX_BATCH];
    struct rx_message messages[RX_BATCH];
};

static void
parse_ip_control(struct rx_message *m, const struct cmsghdr *cmsg)
{
    int value;

    memcpy(&value, CMSG_DATA(cmsg), sizeof value);
    switch (cmsg->cmsg_type) {
    case IP_PKTINFO: {
        struct in_pktinfo info;

        memcpy(&info, CMSG_DATA(cmsg), sizeof info);
        m->key.ip_dst = info.ipi_addr.s_addr;
        break;
    }
    case IP_TTL:
        m->key.ip_ttl = value;
        break;
    case IP_TOS:
        m->key.ip_tos = *CMSG_DATA(cmsg);
        break;
    }
}

static void
parse_ipv6_control(struct rx_message *m, const struct cmsghdr *cmsg)
{
    int value;

    memcpy(&value, CMSG_DATA(cmsg), sizeof value);
    switch (cmsg->cmsg_type) {
    case IPV6_PKTINFO: {
        struct in6_pktinfo info;

        memcpy(&info, CMSG_DATA(cmsg), sizeof info);
        m->key.ipv6_dst = info.ipi6_addr;
        break;
    }
    case IPV6_HOPLIMIT:
        m->key.ip_ttl = value;
        break;
    case IPV6_TCLASS:
        m->key.ip_tos = value;
        break;
    }
}

/* Finds out from the ancillary data in 'msg' where the packets in 'm' came
 * from and how many the socket has lost. */
static void
parse_control(struct tunnel_socket *s, struct rx_message *m,
              struct msghdr *msg, struct dp_thread *thread)
{
    struct cmsghdr *cmsg;

    memset(&m->key, 0, offsetof(struct flow_tnl, metadata.opts));
    m->gso_size = 0;
    for (cmsg = CMSG_FIRSTHDR(msg); cmsg; cmsg = CMSG_NXTHDR(msg, cmsg)) {
        if (cmsg->cmsg_level == IPPROTO_IP) {
            parse_ip_control(m, cmsg);
        } else if (cmsg->cmsg_level == IPPROTO_IPV6) {
            parse_ipv6_control(m, cmsg);
        } else if (cmsg->cmsg_level == IPPROTO_UDP
                   && cmsg->cmsg_type == UDP_GRO) {
            int size;

            memcpy(&size, CMSG_DATA(cmsg), sizeof size);
            m->gso_size = size;
        } else if (cmsg->cmsg_level == SOL_SOCKET
                   && cmsg->cmsg_type == SO_RXQ_OVFL) {
            uint32_t n_lost;

            memcpy(&n_lost, CMSG_DATA(cmsg), sizeof n_lost);
            port_drop(s->owner->port, DROP_RX_QUEUE, n_lost - s->n_lost,
                      thread);
            s->n_lost = n_lost;
        }
    }

    if (s->ipv6) {
        const struct sockaddr_in6 *sin6 = (struct sockaddr_in6 *) &m->from;

        m->key.ipv6_src = sin6->sin6_addr;
        m->key.tp_src = s->owner->udp_port ? sin6->sin6_port : 0;
    } else {
        const struct sockaddr_in *sin = (struct sockaddr_in *) &m->from;

        m->key.ip_src = sin->sin_addr.s_addr;
        m->key.tp_src = s->owner->udp_port ? sin->sin_port : 0;
    }
    m->key.tp_dst = s->owner->udp_port;
}

/* Takes the packet at 'data' with outer addresses 'outer' through the
 * datapath.  As many as 'total' bytes may follow it. */
static void
receive_packet(struct port_tunnel *pt, const struct flow_tnl *outer,
               const uint8_t *data, size_t len, size_t total,
               struct coalescer *coalescer)
{
    struct dp_thread *thread = coalescer->thread;
    struct port_counters *counters = &thread->counters[pt->port->index];
    struct flow_tnl key;
    ovs_be32 packet_type;
    size_t header_len;

    memcpy(&key, outer, offsetof(struct flow_tnl, metadata.opts));
    switch (tunnel_header_parse(&pt->format, data, len, &key, &header_len,
                                &packet_type)) {
    case TUNNEL_NOT_OURS:
        return;

    case TUNNEL_BAD:
        port_drop(pt->port, DROP_TUNNEL, 1, thread);
        return;

    case TUNNEL_OK:
        break;
    }
    len -= header_len;
    if (len < (packet_type == htonl(PT_ETH) ? ETH_HEADER_LEN : 1)
        || len > GENERIC_MAX_LEN) {
        port_drop(pt->port, DROP_TUNNEL, 1, thread);
        return;
    }
    counter_add(&counters->rx_packets, 1);
    counter_add(&counters->rx_bytes, len);
    coalesce_receive(coalescer, data + header_len, len, total, &key,
                     packet_type);
}

/* Takes the packets in 'm', 'len' bytes at 'data', through the datapath.
 * 'total' is the length of this message and all that came with it. */
static void
receive_message(struct tunnel_socket *s, const struct rx_message *m,
                const uint8_t *data, size_t len, size_t total,
                struct coalescer *coalescer)
{
    if (!s->owner->format.udp && !s->ipv6) {
        /* Raw sockets of IPv4, and none else, deliver the IP header. */
        size_t ip_len = len ? (data[0] & 15) * 4 : 0;

        if (ip_len > len) {
            return;
        }
        data += ip_len;
        len -= ip_len;
    }

    size_t size = m->gso_size ? m->gso_size : len;
    for (size_t ofs = 0; ofs < len; ofs += size) {
        receive_packet(s->owner, &m->key, data + ofs, MIN(size, len - ofs),
                       total - ofs, coalescer);
    }
}

static void
rx_batch_prepare(struct rx_batch *rx, struct kernel_batch *buffers)
{
    memset(rx->msgs, 0, sizeof rx->msgs);
    for (int i = 0; i < RX_BATCH; i++) {
        struct rx_message *m = &rx->messages[i];

        rx->iovs[i].iov_base = buffers->frames + i * KERNEL_FRAME;
        rx->iovs[i].iov_len = KERNEL_FRAME;
        rx->msgs[i].msg_hdr = (struct msghdr) {
            .msg_name = &m->from,
            .msg_namelen = sizeof m->from,
            .msg_iov = &rx->iovs[i],
            .msg_iovlen = 1,
            .msg_control = m->control.buf,
            .msg_controllen = sizeof m->control.buf,
        };
    }
}

static unsigned int
tunnel_socket_poll(struct vhost_source *source,
                   struct vhost_thread *vhost_thread, unsigned int budget)
{
    struct tunnel_socket *s = CONTAINER_OF(source, struct tunnel_socket,
                                           source);
    struct dp_thread *thread = dp_thread_from_vhost(vhost_thread);
    struct kernel_batch *buffers = kernel_batch_get();
    struct coalescer coalescer = {
        .port = s->owner->port,
        .thread = thread,
    };
    unsigned int done = 0;
    struct rx_batch rx;
    int n;

    do {
        size_t total = 0;

        rx_batch_prepare(&rx, buffers);
        n = recvmmsg(s->fd, rx.msgs, MIN(budget - done, RX_BATCH),
                     MSG_DONTWAIT, NULL);
        for (int i = 0; i < n; i++) {
            total += rx.msgs[i].msg_len;
        }
        for (int i = 0; i < n; i++) {
            parse_control(s, &rx.messages[i], &rx.msgs[i].msg_hdr, thread);
            receive_message(s, &rx.messages[i], rx.iovs[i].iov_base,
                            rx.msgs[i].msg_len, total, &coalescer);
            total -= rx.msgs[i].msg_len;
        }
        coalesce_flush(&coalescer);
        transmit_flush(thread);
        done += MAX(n, 0);
    } while (n == RX_BATCH && done < budget);
    return done;
}

static const struct vhost_source_ops tunnel_socket_ops = {
    .poll = tunnel_socket_poll,
    .arm = kernel_source_arm,
    .disarm = kernel_source_arm,
    .pending = kernel_source_pending,
};

/* --- Sending ------------------------------------------------------------- */

static void
port_tunnel_send(struct port *port, struct vhost_packet *const packets[],
                 unsigned int n, struct dp_thread *thread)
{
    struct port_tunnel *pt = port->priv;

    tunnel_send(port, &pt->format, &pt->seq, packets, n, thread);
}

/* --- Opening and closing --------------------------------------------------*/

static int
set_options(int fd, bool udp, bool ipv6)
{
    const struct {
        bool wanted;
        int level, option, value;
    } options[] = {
        { true, SOL_SOCKET, SO_RCVBUFFORCE, SOCKET_BUFFER },
        { true, SOL_SOCKET, SO_RXQ_OVFL, 1 },
        { udp, IPPROTO_UDP, UDP_GRO, 1 },
        { !ipv6, IPPROTO_IP, IP_PKTINFO, 1 },
        { !ipv6, IPPROTO_IP, IP_RECVTTL, 1 },
        { !ipv6, IPPROTO_IP, IP_RECVTOS, 1 },
        { ipv6 && udp, IPPROTO_IPV6, IPV6_V6ONLY, 1 },
        { ipv6, IPPROTO_IPV6, IPV6_RECVPKTINFO, 1 },
        { ipv6, IPPROTO_IPV6, IPV6_RECVHOPLIMIT, 1 },
        { ipv6, IPPROTO_IPV6, IPV6_RECVTCLASS, 1 },
        { ipv6 && udp, IPPROTO_UDP, UDP_NO_CHECK6_RX, 1 },
    };

    for (size_t i = 0; i < ARRAY_SIZE(options); i++) {
        if (options[i].wanted
            && setsockopt(fd, options[i].level, options[i].option,
                          &options[i].value, sizeof options[i].value)) {
            return errno;
        }
    }
    return 0;
}

/* Makes a socket that gets the packets of tunnels within UDP port 'udp_port',
 * or within GRE if that is 0.  Returns a descriptor or a negative errno
 * value. */
static int
open_socket(ovs_be16 udp_port, bool ipv6)
{
    bool udp = udp_port != 0;
    struct sockaddr_in sin = {
        .sin_family = AF_INET,
        .sin_port = udp_port,
    };
    struct sockaddr_in6 sin6 = {
        .sin6_family = AF_INET6,
        .sin6_port = udp_port,
    };
    int fd = socket(ipv6 ? AF_INET6 : AF_INET,
                    (udp ? SOCK_DGRAM : SOCK_RAW)
                    | SOCK_NONBLOCK | SOCK_CLOEXEC,
                    udp ? IPPROTO_UDP : IPPROTO_GRE);
    if (fd < 0) {
        return -errno;
    }

    int error = set_options(fd, udp, ipv6);
    if (!error && udp && (ipv6
                          ? bind(fd, (struct sockaddr *) &sin6, sizeof sin6)
                          : bind(fd, (struct sockaddr *) &sin, sizeof sin))) {
        error = errno;
    }
    if (error) {
        close(fd);
        return -error;
    }
    return fd;
}

static char *
open_error(const struct port *port, const struct port_tunnel *pt, int error)
{
    if (error == EADDRINUSE) {
        return xasprintf("%s: something else on this host, a tunnel device "
                         "of the kernel perhaps, receives from UDP port %d: "
                         "remove it, or choose another with options:dst_port",
                         port->name, ntohs(pt->udp_port));
    } else if (error == EPERM) {
        return xasprintf("%s: not permitted to open a socket for the tunnel: "
                         "the capabilities CAP_NET_ADMIN and, for GRE, "
                         "CAP_NET_RAW are needed", port->name);
    }
    return xasprintf("%s: cannot open a socket for the tunnel: %s",
                     port->name, ovs_strerror(error));
}

static void
close_sockets(struct port_tunnel *pt)
{
    for (unsigned int i = 0; i < pt->n_sockets; i++) {
        close(pt->sockets[i].fd);
    }
}

/* Opens what receives if there is no device. */
static int
open_sockets(struct port *port, struct port_tunnel *pt, char **errp)
{
    for (int ipv6 = 0; ipv6 <= 1; ipv6++) {
        struct tunnel_socket *s = &pt->sockets[pt->n_sockets];
        int fd = open_socket(pt->udp_port, ipv6);

        if (fd == -EAFNOSUPPORT && ipv6) {
            break;              /* A host without IPv6. */
        } else if (fd < 0) {
            *errp = open_error(port, pt, -fd);
            close_sockets(pt);
            return -fd;
        }
        *s = (struct tunnel_socket) {
            .source = {
                .ops = &tunnel_socket_ops,
                .fd = fd,
                .numa_node = -1,
                .name = port->name,
            },
            .owner = pt,
            .fd = fd,
            .ipv6 = ipv6,
        };
        pt->n_sockets++;
    }
    return 0;
}

static int
port_tunnel_open(struct port *port, char **errp)
{
    const struct netdev_tunnel_config *config
        = netdev_get_tunnel_config(port->netdev);
    struct port_tunnel *pt = xzalloc(sizeof *pt);

    pt->port = port;
    if (!tunnel_format_init(&pt->format, port->netdev)) {
        *errp = xasprintf("%s: there are no tunnels of type %s", port->name,
                          port->type);
        free(pt);
        return EOPNOTSUPP;
    }
    pt->udp_port = pt->format.udp ? config->dst_port : 0;
    pt->device = tunnel_device_open(port, &pt->format, pt->udp_port);
    int error = pt->device ? 0 : open_sockets(port, pt, errp);
    if (error) {
        free(pt);
        return error;
    }
    port->priv = pt;
    port->offloads = kernel_offloads();
    for (unsigned int i = 0; i < pt->n_sockets; i++) {
        vhost_pool_add(datapath_pool(), &pt->sockets[i].source);
    }
    return 0;
}

static void
port_tunnel_close(struct port *port)
{
    struct port_tunnel *pt = port->priv;

    for (unsigned int i = 0; i < pt->n_sockets; i++) {
        vhost_pool_remove(datapath_pool(), &pt->sockets[i].source);
    }
    close_sockets(pt);
    if (pt->device) {
        tunnel_device_close(pt->device, !port->deleted);
    }
    free(pt);
}

void
datapath_get_tunnel_status(const struct netdev *netdev, struct smap *status)
{
    if (netdev_get_tunnel_config(netdev)) {
        char buf[NETDEV_VPORT_NAME_BUFSIZE];
        const char *name = netdev_vport_get_dpif_port(netdev, buf,
                                                      sizeof buf);

        kernel_device_get_status(name, if_nametoindex(name), status);
    }
}

const struct port_class port_tunnel_class = {
    .open = port_tunnel_open,
    .close = port_tunnel_close,
    .send = port_tunnel_send,
};
