/* Ports that are taps of our own: types "internal" and "tap".
 *
 * A frame is read behind a virtio-net header that carries the kernel's offload
 * requests, GSO packets whole, into the thread's buffers, and written straight
 * from wherever it lies, a guest's memory included.  See netdev-tap.c for the
 * device itself.
 *
 * One system call moves one packet.  io_uring was tried: a tap reads 1.6 M
 * packets a second with it instead of 1.4 M, writes 2.4 M instead of 2.1 M,
 * not enough to be worth a ring per port. */
#include <config.h>
#include "datapath/port.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

#include "datapath/kernel-io.h"
#include "datapath/kernel/kernel.h"
#include "datapath/netdev-tap.h"
#include "netdev.h"
#include "util.h"

struct port_tap {
    struct vhost_source source;
    struct port *port;
    int fd;
};

static struct port_tap *
port_tap_cast(struct vhost_source *source)
{
    return CONTAINER_OF(source, struct port_tap, source);
}

/* Receives a batch of at most 'max' packets.  Sets '*more' to false if there
 * are no more of them. */
static unsigned int
port_tap_receive(struct port_tap *tap, struct kernel_batch *batch,
                 unsigned int max, bool *more)
{
    unsigned int n = 0;
    size_t bytes = 0;

    while (n < max && bytes < KERNEL_BATCH_BYTES) {
        struct iovec iov[KERNEL_RX_IOVS];

        kernel_batch_prepare(batch, n, iov);
        ssize_t retval = readv(tap->fd, iov, KERNEL_RX_IOVS);
        if (retval < 0) {
            *more = false;
            break;
        }
        bytes += retval;
        n += kernel_batch_finish(batch, n, retval);
    }
    return n;
}

static unsigned int
port_tap_poll(struct vhost_source *source, struct vhost_thread *thread,
              unsigned int budget)
{
    struct port_tap *tap = port_tap_cast(source);
    struct kernel_batch *batch = kernel_batch_get();
    unsigned int done = 0;
    bool more = true;

    while (more && done < budget) {
        uint64_t up = kernel_port_up(tap->port);
        unsigned int n = port_tap_receive(
            tap, batch, MIN(budget - done, VHOST_BATCH), &more);

        if (n) {
            datapath_receive(tap->port, batch->packets, n,
                             dp_thread_from_vhost(thread));
            done += n;
        }
        kernel_port_received(tap->port, n, up, !more);
    }
    return done;
}

/* epoll watches the descriptor all the time: nothing to arm. */
static void
port_tap_arm(struct vhost_source *source OVS_UNUSED)
{
}

static bool
port_tap_pending(struct vhost_source *source)
{
    struct pollfd pfd = { .fd = source->fd, .events = POLLIN };

    return poll(&pfd, 1, 0) > 0 && pfd.revents & POLLIN;
}

static const struct vhost_source_ops port_tap_source_ops = {
    .poll = port_tap_poll,
    .arm = port_tap_arm,
    .disarm = port_tap_arm,
    .pending = port_tap_pending,
};

static int
port_tap_open(struct port *port, char **errp)
{
    const char *name = netdev_get_name(port->netdev);
    int fd;

    int error = netdev_tap_open(name, &fd, errp);
    if (error) {
        return error;
    }

    struct port_tap *tap = xmalloc(sizeof *tap);
    *tap = (struct port_tap) {
        .source = {
            .ops = &port_tap_source_ops,
            .fd = fd,
            .numa_node = -1,
            .name = name,
        },
        .port = port,
        .fd = fd,
    };
    port->priv = tap;
    port->offloads = kernel_offloads();
    int ifindex = netdev_get_ifindex(port->netdev);
    if (ifindex > 0) {
        /* Else it is the user engine's alone. */
        kernel_port_open(port, ifindex, -1);
    }
    vhost_pool_add(datapath_pool(), &tap->source);
    return 0;
}

static void
port_tap_close(struct port *port)
{
    struct port_tap *tap = port->priv;

    vhost_pool_remove(datapath_pool(), &tap->source);
    kernel_port_close(port, !port->deleted);
    netdev_tap_close(netdev_get_name(port->netdev), tap->fd);
    free(tap);
}

static void
port_tap_send(struct port *port, struct vhost_packet *const packets[],
              unsigned int n, struct dp_thread *thread)
{
    struct port_tap *tap = port->priv;

    for (unsigned int i = 0; i < n; i++) {
        struct iovec iov[KERNEL_TX_IOVS];
        struct virtio_net_hdr vnet;
        int n_iov = kernel_packet_to_iov(packets[i], &vnet, iov);

        if (writev(tap->fd, iov, n_iov) < 0) {
            port_drop(port, kernel_drop_reason(errno), 1, thread);
        }
    }
}

const struct port_class port_tap_class = {
    .open = port_tap_open,
    .close = port_tap_close,
    .send = port_tap_send,
};
