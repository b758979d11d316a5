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
 * A device may have several sockets (options:n_rxq), for several threads to
 * receive from.  The kernel spreads packets over them by a hash of their flow.
 *
 * One system call receives one packet, in some 800 ns of our thread's time.
 * recvmmsg() takes 5 % less, for short packets; long ones are better off when
 * they are forwarded before the next arrive.  A ring shared with the kernel
 * takes 20 ns, but delivers full blocks or what a millisecond brought
 * (TPACKET_V3), or has slots of one size (TPACKET_V2), which must hold a GSO
 * packet: 64 KB each, for each port.  Of the ways to send, per packet of 64 or
 * 1500 bytes into a veth: sendmsg() 1.57 us, sendmmsg() 1.46 us, io_uring 1.58
 * us, nearly all of it the kernel's way to the other end.
 *
 * Frames are sent through the device's queueing discipline, not past it: that
 * is where a port's QoS is.  On devices without one (veth) it costs nothing.
 *
 * The order of packets is not lost here: one thread at a time reads a socket,
 * and sends what it read before it reads on.  But what a container sends
 * through a veth may come out of order already, and TCP retransmits then: each
 * CPU has a backlog of its own, and the sender's process and its reaction to
 * acknowledgements run on different ones.  A veth pair without any switch
 * does the same.  Steering by flow ends it, at 10 to 15 % of the throughput:
 * `echo ff > /sys/class/net/DEVICE/queues/rx-0/rps_cpus' (four runs of iperf3
 * each: 1 to 637 retransmits without, 0 to 5 with).
 *
 * A packet for a guest is looked up here although the filter on the socket has
 * looked for it in the kernel already.  That is 1.5 % of the thread's time with
 * packets of 60 bytes, 26,000 a second (`perf record' of a veth's datagrams to
 * a guest that counts them; recvmsg() 34 %, of which copying 4 %, waiting 27 %,
 * the copy into the guest 3 %): less than a decision that comes with each packet
 * would cost.  A copy less would need to know the guest before recvmsg().
 *
 * What the kernel engine forwards doesn't come here: its filter on the socket
 * sees to that.  That is for devices with one socket (options:n_rxq): who has
 * several wants the threads.
 *
 * A device that disappears takes the socket's binding with it; the port
 * then receives nothing and drops all until it is opened again. */
#include <config.h>
#include "datapath/port.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "datapath/device-work.h"
#include "datapath/kernel-io.h"
#include "datapath/kernel/kernel.h"
#include "datapath/netdev-system.h"
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
/* Since Linux 5.10. */
#ifndef PACKET_FANOUT_FLAG_IGNORE_OUTGOING
#define PACKET_FANOUT_FLAG_IGNORE_OUTGOING 0x4000
#endif

/* Socket buffers.  They count whole pages of GSO packets: the default of
 * 208 KB holds three of those. */
#define SOCKET_BUFFER (4 * 1024 * 1024)

/* One of a device's sockets. */
struct packet_socket {
    struct vhost_source source;
    struct port *port;
};

struct port_packet {
    struct tc_program block;    /* Without the kernel engine: keeps the host's
                                 * stack off. */
    unsigned int n;
    struct packet_socket sockets[]; /* All receive, the first one sends. */
};

union auxdata {
    struct cmsghdr cmsg;
    char space[CMSG_SPACE(sizeof(struct tpacket_auxdata))];
};

static struct packet_socket *
packet_socket_cast(struct vhost_source *source)
{
    return CONTAINER_OF(source, struct packet_socket, source);
}

/* --- Receiving ----------------------------------------------------------- */

/* Receives packet 'i' of 'batch'.  Returns 0, or EAGAIN if there is none, or
 * another positive errno value if there was one that cannot be had.  Sets
 * '*copy' if it is the beginning of one that the kernel engine forwarded. */
static int
receive_packet(int fd, struct kernel_batch *batch, unsigned int i, bool *copy)
{
    struct iovec iov[KERNEL_RX_IOVS];
    union auxdata buffer;
    struct msghdr msg = {
        .msg_iov = iov,
        .msg_iovlen = KERNEL_RX_IOVS,
        .msg_control = &buffer,
        .msg_controllen = sizeof buffer,
    };

    *copy = false;
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
        if (aux.tp_len > aux.tp_snaplen) {
            *copy = true;
            kernel_packet_extend(&batch->packets[i], aux.tp_len);
        }
        if (aux.tp_status & TP_STATUS_VLAN_VALID) {
            kernel_packet_push_vlan(
                &batch->packets[i],
                htons(aux.tp_status & TP_STATUS_VLAN_TPID_VALID
                      ? aux.tp_vlan_tpid : ETH_P_8021Q),
                htons(aux.tp_vlan_tci));
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
receive_batch_from(struct packet_socket *s, struct kernel_batch *batch,
                   unsigned int max, struct dp_thread *thread, bool *more)
{
    unsigned int n = 0;
    size_t bytes = 0;

    for (unsigned int i = 0; i < max && bytes < KERNEL_BATCH_BYTES; i++) {
        bool copy;
        int error = receive_packet(s->source.fd, batch, n, &copy);

        if (!error && copy) {
            kernel_connection_refresh(s->port, &batch->packets[n], thread);
        } else if (!error) {
            bytes += batch->packets[n++].len;
        } else if (error == EINVAL || error == EMSGSIZE) {
            port_drop(s->port, DROP_BAD_OFFLOAD, 1, thread);
        } else {
            *more = false;
            break;
        }
    }
    return n;
}

/* Counts the packets that found the socket's buffer full. */
static void
count_overflow(struct packet_socket *s, struct dp_thread *thread)
{
    struct tpacket_stats stats;
    socklen_t len = sizeof stats;

    /* This resets the counters. */
    if (!getsockopt(s->source.fd, SOL_PACKET, PACKET_STATISTICS, &stats,
                    &len)
        && stats.tp_drops) {
        port_drop(s->port, DROP_RX_QUEUE, stats.tp_drops, thread);
    }
}

/* All packets of 'port' up to number 'up' have been sent on, unless they wait
 * for an upcall: the kernel engine may forward what comes after them. */
static void
caught_up(const struct port *port, uint64_t up)
{
    if (port->kernel && !upcall_queue_is_busy(port->dp->upcall_queue, port)) {
        kernel_port_done(port, up);
    }
}

static unsigned int
port_packet_poll(struct vhost_source *source,
                 struct vhost_thread *vhost_thread, unsigned int budget)
{
    struct packet_socket *s = packet_socket_cast(source);
    struct dp_thread *thread = dp_thread_from_vhost(vhost_thread);
    struct kernel_batch *batch = kernel_batch_get();
    unsigned int done = 0;
    bool more = true;

    while (more && done < budget) {
        uint64_t up = kernel_port_up(s->port);
        unsigned int n = receive_batch_from(
            s, batch, MIN(budget - done, VHOST_BATCH), thread, &more);

        if (n) {
            datapath_receive(s->port, batch->packets, n, thread);
            done += n;
        }
        if (!more) {
            caught_up(s->port, up);
        }
    }
    if (more) {
        /* There was a backlog, so there may have been too long a one. */
        count_overflow(s, thread);
    }
    return done;
}

static const struct vhost_source_ops port_packet_source_ops = {
    .poll = port_packet_poll,
    .arm = kernel_source_arm,
    .disarm = kernel_source_arm,
    .pending = kernel_source_pending,
};

/* --- Sending ------------------------------------------------------------- */

/* Sends the packets of 'msgs'.  One that the kernel refuses is dropped, and
 * those behind it are sent. */
static void
send_all(struct port *port, int fd, struct mmsghdr msgs[], unsigned int n,
         struct dp_thread *thread)
{
    unsigned int i = 0;

    while (i < n) {
        int sent = sendmmsg(fd, &msgs[i], n - i, MSG_DONTWAIT);

        if (sent > 0) {
            i += sent;
        } else {
            port_drop(port, kernel_drop_reason(errno), 1, thread);
            i++;
        }
    }
}

static void
port_packet_send(struct port *port, struct vhost_packet *const packets[],
                 unsigned int n, struct dp_thread *thread)
{
    const struct port_packet *pp = port->priv;
    struct iovec iov[VHOST_BATCH][KERNEL_TX_IOVS];
    struct virtio_net_hdr vnet[VHOST_BATCH];
    struct mmsghdr msgs[VHOST_BATCH];

    for (unsigned int i = 0; i < n; i++) {
        msgs[i].msg_hdr = (struct msghdr) {
            .msg_iov = iov[i],
            .msg_iovlen = kernel_packet_to_iov(packets[i], &vnet[i], iov[i]),
        };
    }
    send_all(port, pp->sockets[0].source.fd, msgs, n, thread);
}

/* --- Opening and closing ------------------------------------------------- */

static int
set_option(int fd, int level, int option, int value)
{
    return setsockopt(fd, level, option, &value, sizeof value) ? errno : 0;
}

/* Has socket 'fd' receive nothing, for now. */
static int
mute(int fd)
{
    struct sock_filter nothing = BPF_STMT(BPF_RET | BPF_K, 0);
    struct sock_fprog program = { .len = 1, .filter = &nothing };

    return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program,
                      sizeof program) ? errno : 0;
}

/* Makes a packet socket that receives nothing yet, and is mute if it is one of
 * 'several', or it would get all from when it is bound until it is in their
 * group.  Returns its descriptor or a negative errno value. */
static int
open_socket(bool several)
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
        || (error = set_option(fd, SOL_SOCKET, SO_SNDBUFFORCE, SOCKET_BUFFER))
        || (several && (error = mute(fd)))) {
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

/* Has the kernel spread what comes in over socket 'fd', which is mute, and
 * those of its group '*group', a new one if that is 0. */
static int
join_group(int fd, int *group)
{
    int how = PACKET_FANOUT_HASH | PACKET_FANOUT_FLAG_IGNORE_OUTGOING;
    socklen_t len = sizeof *group;
    int error;

    error = set_option(fd, SOL_PACKET, PACKET_FANOUT,
                       *group >= 0 ? *group | how << 16
                       : (how | PACKET_FANOUT_FLAG_UNIQUEID) << 16);
    if (!error) {
        error = set_option(fd, SOL_SOCKET, SO_DETACH_FILTER, 0);
    }
    if (!error && *group < 0) {
        error = getsockopt(fd, SOL_PACKET, PACKET_FANOUT, group, &len)
                ? errno : 0;
        *group &= UINT16_MAX;
    }
    return error;
}

static void
close_sockets(struct port_packet *pp, const char *name)
{
    for (unsigned int i = 0; i < pp->n; i++) {
        device_close(name, pp->sockets[i].source.fd);
    }
}

/* Opens 'n' sockets for 'port'.  Returns 0 or a positive errno value. */
static int
open_sockets(struct port *port, struct port_packet *pp, int ifindex,
             unsigned int n)
{
    const char *name = netdev_get_name(port->netdev);
    int group = -1;
    int error = 0;

    while (pp->n < n && !error) {
        int fd = open_socket(n > 1);

        if (fd < 0) {
            error = -fd;
            break;
        }
        pp->sockets[pp->n++] = (struct packet_socket) {
            .source = {
                .ops = &port_packet_source_ops,
                .fd = fd,
                .numa_node = kernel_numa_node(name),
                .name = name,
            },
            .port = port,
        };
        /* The kernel engine's programs come before the first packet, which
         * would be forwarded twice else. */
        if (n == 1) {
            kernel_port_open(port, ifindex, fd);
        }
        error = bind_socket(fd, ifindex);
        if (!error && n > 1) {
            error = join_group(fd, &group);
        }
    }
    if (error) {
        kernel_port_close(port, false);
        close_sockets(pp, name);
    }
    return error;
}

static int
port_packet_open(struct port *port, char **errp)
{
    const char *name = netdev_get_name(port->netdev);
    unsigned int n = netdev_system_get_options(port->netdev).n_rxq;
    int ifindex = netdev_get_ifindex(port->netdev);

    if (ifindex < 0) {
        *errp = xasprintf("%s: no such network device (%s)", name,
                          ovs_strerror(-ifindex));
        return -ifindex;
    }

    struct port_packet *pp = xzalloc(sizeof *pp + n * sizeof *pp->sockets);
    int error = open_sockets(port, pp, ifindex, n);
    if (error) {
        *errp = (error == EPERM
                 ? xasprintf("%s: not permitted to open a packet socket: the "
                             "capabilities CAP_NET_RAW and CAP_NET_ADMIN are "
                             "needed", name)
                 : xasprintf("%s: cannot open %u packet socket(s): %s", name,
                             n, ovs_strerror(error)));
        free(pp);
        return error;
    }
    tc_program_init(&pp->block, ifindex, false, NULL);
    error = port->kernel ? 0
            : tc_program_attach(&pp->block, tc_program_drop_all());
    if (error) {
        *errp = xasprintf("%s: cannot keep the host's network stack off the "
                          "port: attaching a BPF program failed: %s",
                          name, ovs_strerror(error));
        close_sockets(pp, name);
        free(pp);
        return error;
    }
    port->priv = pp;
    port->offloads = kernel_offloads();
    for (unsigned int i = 0; i < n; i++) {
        vhost_pool_add(datapath_pool(), &pp->sockets[i].source);
    }
    return 0;
}

static void
port_packet_close(struct port *port)
{
    struct port_packet *pp = port->priv;

    for (unsigned int i = 0; i < pp->n; i++) {
        vhost_pool_remove(datapath_pool(), &pp->sockets[i].source);
    }
    if (port->kernel) {
        kernel_port_close(port, !port->deleted);
    } else {
        tc_program_detach(&pp->block);
    }
    close_sockets(pp, netdev_get_name(port->netdev));
    free(pp);
}

const struct port_class port_packet_class = {
    .open = port_packet_open,
    .close = port_packet_close,
    .send = port_packet_send,
    .likes_merged = true,
};
