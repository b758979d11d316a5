/* Ports that are kernel devices of others (veth, a NIC, a bond...), over
 * packet sockets.
 *
 * The socket gets all that the device receives, whatever its destination
 * address: it doesn't make the device promiscuous, so what a NIC filters out
 * it doesn't see, but a veth and a tap filter nothing.  The host's own stack
 * is kept off (tc-program.c).  Frames come and go behind a virtio-net header,
 * so that segmentation and checksum offloads work in both directions.  The
 * kernel takes a received VLAN tag out of the frame; we put it back.
 *
 * One system call moves one packet, in some 800 ns of our thread's time.
 * recvmmsg() takes 5 % less.  A ring shared with the kernel takes 20 ns, but
 * delivers full blocks or what a millisecond brought (TPACKET_V3), or has
 * slots of one size (TPACKET_V2), which must hold a GSO packet: 64 KB each,
 * for each port.
 *
 * Frames are sent through the device's queueing discipline, not past it: that
 * is where a port's QoS is.  On devices without one (veth) it costs nothing.
 *
 * What the kernel engine deals with doesn't come here: its filter on the socket
 * sees to that.
 *
 * A device that disappears takes the socket's binding with it; the port
 * then receives nothing and drops all until it is opened again. */
#include <config.h>
#include "datapath/port.h"

#include <errno.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "datapath/closer.h"
#include "datapath/kernel-io.h"
#include "datapath/kernel/kernel.h"
#include "datapath/private.h"
#include "datapath/tc-program.h"
#include "datapath/upcall-queue.h"
#include "netdev.h"
#include "openvswitch/vlog.h"
#include "util.h"

VLOG_DEFINE_THIS_MODULE(port_packet);

/* In <linux/if_packet.h> and the like since Linux 4.20. */
#ifndef PACKET_IGNORE_OUTGOING
#define PACKET_IGNORE_OUTGOING 23
#endif

/* Socket buffers.  They count whole pages of GSO packets: the default of
 * 208 KB holds three of those. */
#define SOCKET_BUFFER (4 * 1024 * 1024)

struct port_packet {
    struct vhost_source source;
    struct port *port;
    int fd;
    struct tc_program block;    /* Without the kernel engine: keeps the host's
                                 * stack off. */
};

union auxdata {
    struct cmsghdr cmsg;
    char space[CMSG_SPACE(sizeof(struct tpacket_auxdata))];
};

static struct port_packet *
port_packet_cast(struct vhost_source *source)
{
    return CONTAINER_OF(source, struct port_packet, source);
}

/* --- Receiving ----------------------------------------------------------- */

/* Puts the VLAN tag that the kernel took out of 'packet' back. */
static void
restore_vlan_tag(struct vhost_packet *packet,
                 const struct tpacket_auxdata *aux)
{
    enum { TAG_LEN = KERNEL_TAG_ROOM, MACS_LEN = 12 };
    uint16_t tag[2] = {
        htons(aux->tp_status & TP_STATUS_VLAN_TPID_VALID ? aux->tp_vlan_tpid
                                                         : ETH_P_8021Q),
        htons(aux->tp_vlan_tci),
    };

    packet->head -= TAG_LEN;
    packet->head_len += TAG_LEN;
    packet->len += TAG_LEN;
    memmove(packet->head, packet->head + TAG_LEN, MACS_LEN);
    memcpy(packet->head + MACS_LEN, tag, TAG_LEN);
    if (packet->vnet.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) {
        packet->vnet.csum_start += TAG_LEN;
    }
    if (packet->vnet.gso_type != VIRTIO_NET_HDR_GSO_NONE) {
        packet->vnet.hdr_len += TAG_LEN;
    }
}

/* Receives packet 'i' of 'batch'.  Returns 0, or EAGAIN if there is none, or
 * another positive errno value if there was one that cannot be had. */
static int
receive_packet(int fd, struct kernel_batch *batch, unsigned int i)
{
    struct iovec iov[KERNEL_RX_IOVS];
    union auxdata buffer;
    struct msghdr msg = {
        .msg_iov = iov,
        .msg_iovlen = KERNEL_RX_IOVS,
        .msg_control = &buffer,
        .msg_controllen = sizeof buffer,
    };

    kernel_batch_prepare(batch, i, iov);
    ssize_t n = recvmsg(fd, &msg, MSG_DONTWAIT);
    if (n < 0) {
        return errno;
    }
    if (msg.msg_flags & MSG_TRUNC || !kernel_batch_finish(batch, i, n)) {
        return EMSGSIZE;
    }

    struct cmsghdr *cmsg = CMSG_FIRSTHDR(&msg);
    if (cmsg && cmsg->cmsg_level == SOL_PACKET
        && cmsg->cmsg_type == PACKET_AUXDATA) {
        struct tpacket_auxdata aux;

        memcpy(&aux, CMSG_DATA(cmsg), sizeof aux);
        if (aux.tp_status & TP_STATUS_VLAN_VALID) {
            restore_vlan_tag(&batch->packets[i], &aux);
        }
    }
    return 0;
}

/* Receives a batch of at most 'max' packets.  Sets '*more' to false if there
 * are no more of them.
 *
 * A packet with an offload request that the header can't express (segmentation
 * of a tunnel's inner packets, say) can't be had: EINVAL. */
static unsigned int
port_packet_receive(struct port_packet *pp, struct kernel_batch *batch,
                    unsigned int max, struct dp_thread *thread, bool *more)
{
    unsigned int n = 0;
    size_t bytes = 0;

    for (unsigned int i = 0; i < max && bytes < KERNEL_BATCH_BYTES; i++) {
        int error = receive_packet(pp->fd, batch, n);

        if (!error) {
            bytes += batch->packets[n++].len;
        } else if (error == EINVAL || error == EMSGSIZE) {
            port_drop(pp->port, DROP_BAD_OFFLOAD, 1, thread);
        } else {
            *more = false;
            break;
        }
    }
    return n;
}

/* Counts the packets that found the socket's buffer full. */
static void
count_overflow(struct port_packet *pp, struct dp_thread *thread)
{
    struct tpacket_stats stats;
    socklen_t len = sizeof stats;

    /* This resets the counters. */
    if (!getsockopt(pp->fd, SOL_PACKET, PACKET_STATISTICS, &stats, &len)
        && stats.tp_drops) {
        port_drop(pp->port, DROP_RX_QUEUE, stats.tp_drops, thread);
    }
}

/* All packets up to number 'up' have been sent on, unless they wait for an
 * upcall: the kernel engine may forward what comes after them. */
static void
port_packet_caught_up(struct port_packet *pp, uint64_t up)
{
    if (pp->port->kernel
        && upcall_queue_is_idle(pp->port->dp->upcall_queue, pp->port)) {
        kernel_port_done(pp->port, up);
    }
}

static unsigned int
port_packet_poll(struct vhost_source *source,
                 struct vhost_thread *vhost_thread, unsigned int budget)
{
    struct port_packet *pp = port_packet_cast(source);
    struct dp_thread *thread = dp_thread_from_vhost(vhost_thread);
    struct kernel_batch *batch = kernel_batch_get();
    unsigned int done = 0;
    bool more = true;

    while (more && done < budget) {
        uint64_t up = kernel_port_up(pp->port);
        unsigned int n = port_packet_receive(
            pp, batch, MIN(budget - done, VHOST_BATCH), thread, &more);

        if (n) {
            datapath_receive(pp->port, batch->packets, n, thread);
            done += n;
        }
        if (!more) {
            port_packet_caught_up(pp, up);
        }
    }
    if (more) {
        /* There was a backlog, so there may have been too long a one. */
        count_overflow(pp, thread);
    }
    return done;
}

/* epoll watches the socket all the time: nothing to arm. */
static void
port_packet_arm(struct vhost_source *source OVS_UNUSED)
{
}

static bool
port_packet_pending(struct vhost_source *source)
{
    struct pollfd pfd = { .fd = source->fd, .events = POLLIN };

    return poll(&pfd, 1, 0) > 0 && pfd.revents & POLLIN;
}

static const struct vhost_source_ops port_packet_source_ops = {
    .poll = port_packet_poll,
    .arm = port_packet_arm,
    .disarm = port_packet_arm,
    .pending = port_packet_pending,
};

/* --- Sending ------------------------------------------------------------- */

static void
port_packet_send(struct port *port, struct vhost_packet *const packets[],
                 unsigned int n, struct dp_thread *thread)
{
    struct port_packet *pp = port->priv;

    for (unsigned int i = 0; i < n; i++) {
        struct iovec iov[KERNEL_TX_IOVS];
        struct virtio_net_hdr vnet;
        struct msghdr msg = {
            .msg_iov = iov,
            .msg_iovlen = kernel_packet_to_iov(packets[i], &vnet, iov),
        };

        if (sendmsg(pp->fd, &msg, MSG_DONTWAIT) < 0) {
            port_drop(port, kernel_drop_reason(errno), 1, thread);
        }
    }
}

/* --- Opening and closing ------------------------------------------------- */

static int
set_option(int fd, int level, int option, int value)
{
    return setsockopt(fd, level, option, &value, sizeof value) ? errno : 0;
}

/* Makes a packet socket that receives nothing yet.  Returns its descriptor or a
 * negative errno value. */
static int
open_socket(void)
{
    int error;

    /* Protocol 0: it receives nothing until it is bound to a device. */
    int fd = socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return -errno;
    }
    if ((error = set_option(fd, SOL_PACKET, PACKET_VNET_HDR, 1))
        || (error = set_option(fd, SOL_PACKET, PACKET_AUXDATA, 1))
        || (error = set_option(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, 1))
        || (error = set_option(fd, SOL_SOCKET, SO_RCVBUFFORCE, SOCKET_BUFFER))
        || (error = set_option(fd, SOL_SOCKET, SO_SNDBUFFORCE,
                               SOCKET_BUFFER))) {
        close(fd);
        return -error;
    }
    return fd;
}

/* Has packet socket 'fd' get what device 'ifindex' receives. */
static int
bind_socket(int fd, int ifindex)
{
    struct sockaddr_ll sll = {
        .sll_family = AF_PACKET,
        .sll_protocol = htons(ETH_P_ALL),
        .sll_ifindex = ifindex,
    };

    return bind(fd, (struct sockaddr *) &sll, sizeof sll) ? errno : 0;
}

/* The NUMA node of the hardware behind device 'name', -1 if unknown. */
static int
device_numa_node(const char *name)
{
    char *path = xasprintf("/sys/class/net/%s/device/numa_node", name);
    FILE *stream = fopen(path, "r");
    int node = -1;

    free(path);
    if (stream) {
        if (fscanf(stream, "%d", &node) != 1) {
            node = -1;
        }
        fclose(stream);
    }
    return node;
}

/* Takes our programs off the device. */
static void
detach(struct port_packet *pp)
{
    if (pp->port->kernel) {
        kernel_port_close(pp->port, !pp->port->deleted);
    } else {
        tc_program_detach(&pp->block);
    }
}

static int
port_packet_open(struct port *port, char **errp)
{
    const char *name = netdev_get_name(port->netdev);
    int ifindex = netdev_get_ifindex(port->netdev);
    int error;

    if (ifindex < 0) {
        *errp = xasprintf("%s: no such network device (%s)", name,
                          ovs_strerror(-ifindex));
        return -ifindex;
    }
    int fd = open_socket();
    if (fd < 0) {
        error = -fd;
        *errp = (error == EPERM
                 ? xasprintf("%s: not permitted to open a packet socket: the "
                             "capabilities CAP_NET_RAW and CAP_NET_ADMIN are "
                             "needed", name)
                 : xasprintf("%s: cannot open a packet socket: %s", name,
                             ovs_strerror(error)));
        return error;
    }

    struct port_packet *pp = xmalloc(sizeof *pp);
    *pp = (struct port_packet) {
        .source = {
            .ops = &port_packet_source_ops,
            .fd = fd,
            .numa_node = device_numa_node(name),
            .name = name,
        },
        .port = port,
        .fd = fd,
    };
    /* The kernel engine's programs before the first packet: it would be
     * forwarded twice. */
    if (kernel_port_open(port, ifindex, fd)
        && (error = tc_program_attach(&pp->block, ifindex, false,
                                      tc_program_drop_all(), NULL))) {
        *errp = xasprintf("%s: cannot keep the host's network stack off the "
                          "port: attaching a BPF program failed: %s",
                          name, ovs_strerror(error));
        goto error;
    }
    error = bind_socket(fd, ifindex);
    if (error) {
        *errp = xasprintf("%s: cannot bind a packet socket: %s", name,
                          ovs_strerror(error));
        detach(pp);
        goto error;
    }
    port->priv = pp;
    port->offloads = kernel_offloads();
    vhost_pool_add(datapath_pool(), &pp->source);
    return 0;

error:
    close(fd);
    free(pp);
    return error;
}

static void
port_packet_close(struct port *port)
{
    struct port_packet *pp = port->priv;

    vhost_pool_remove(datapath_pool(), &pp->source);
    detach(pp);
    closer_close(netdev_get_name(port->netdev), pp->fd);
    free(pp);
}

const struct port_class port_packet_class = {
    .open = port_packet_open,
    .close = port_packet_close,
    .send = port_packet_send,
};
