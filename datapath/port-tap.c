/* Ports that are taps of our own: types "internal" and "tap".
 *
 * A frame is read behind a virtio-net header that carries the kernel's offload
 * requests, GSO packets whole, into the thread's buffers, and written straight
 * from wherever it lies, a guest's memory included.  See netdev-tap.c for the
 * device itself.
 *
 * A device may have several queues (options:n_rxq), for several threads.  What
 * the kernel engine forwards doesn't come here, but that is for devices with one
 * queue: who has several wants the threads.
 *
 * One system call moves one packet.  io_uring was tried: a tap reads 1.6 M
 * packets a second with it instead of 1.4 M, writes 2.4 M instead of 2.1 M,
 * not enough to be worth a ring per port. */
#include <config.h>
#include "datapath/port.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "datapath/kernel-io.h"
#include "datapath/kernel/kernel.h"
#include "datapath/netdev-tap.h"
#include "netdev.h"
#include "util.h"

/* One of a tap's queues. */
struct tap_queue {
    struct vhost_source source;
    struct port *port;
};

struct port_tap {
    unsigned int n;
    struct tap_queue queues[];
};

static struct tap_queue *
tap_queue_cast(struct vhost_source *source)
{
    return CONTAINER_OF(source, struct tap_queue, source);
}

/* Receives a batch of at most 'max' packets.  Sets '*more' to false if there
 * are no more of them. */
static unsigned int
port_tap_receive(struct tap_queue *queue, struct kernel_batch *batch,
                 unsigned int max, bool *more)
{
    unsigned int n = 0;
    size_t bytes = 0;

    while (n < max && bytes < KERNEL_BATCH_BYTES) {
        struct iovec iov[KERNEL_RX_IOVS];

        kernel_batch_prepare(batch, n, iov);
        ssize_t retval = readv(queue->source.fd, iov, KERNEL_RX_IOVS);
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
    struct tap_queue *queue = tap_queue_cast(source);
    struct kernel_batch *batch = kernel_batch_get();
    unsigned int done = 0;
    bool more = true;

    while (more && done < budget) {
        uint64_t up = kernel_port_up(queue->port);
        unsigned int n = port_tap_receive(
            queue, batch, MIN(budget - done, VHOST_BATCH), &more);

        if (n) {
            datapath_receive(queue->port, batch->packets, n,
                             dp_thread_from_vhost(thread));
            done += n;
        }
        kernel_port_received(queue->port, n, up, !more);
    }
    return done;
}

static const struct vhost_source_ops port_tap_source_ops = {
    .poll = port_tap_poll,
    .arm = kernel_source_arm,
    .disarm = kernel_source_arm,
    .pending = kernel_source_pending,
};

static int
port_tap_open(struct port *port, char **errp)
{
    const char *name = netdev_get_name(port->netdev);
    int fds[NETDEV_TAP_MAX_QUEUES];
    unsigned int n;

    int error = netdev_tap_open(name, fds, &n, errp);
    if (error) {
        return error;
    }

    struct port_tap *tap = xmalloc(sizeof *tap + n * sizeof *tap->queues);
    tap->n = n;
    for (unsigned int i = 0; i < n; i++) {
        tap->queues[i] = (struct tap_queue) {
            .source = {
                .ops = &port_tap_source_ops,
                .fd = fds[i],
                .numa_node = -1,
                .name = name,
            },
            .port = port,
        };
    }
    port->priv = tap;
    port->offloads = kernel_offloads();
    int ifindex = netdev_get_ifindex(port->netdev);
    if (n == 1 && ifindex > 0) {
        /* If that fails it is the user engine's alone. */
        kernel_port_open(port, ifindex, -1);
    }
    for (unsigned int i = 0; i < n; i++) {
        vhost_pool_add(datapath_pool(), &tap->queues[i].source);
    }
    return 0;
}

static void
port_tap_close(struct port *port)
{
    const char *name = netdev_get_name(port->netdev);
    struct port_tap *tap = port->priv;

    for (unsigned int i = 0; i < tap->n; i++) {
        vhost_pool_remove(datapath_pool(), &tap->queues[i].source);
    }
    for (unsigned int i = 0; i < tap->n; i++) {
        netdev_tap_close(name, tap->queues[i].source.fd);
    }
    /* When the device has gone there is little to do. */
    kernel_port_close(port, !port->deleted);
    free(tap);
}

/* Each flow is written to one queue: for its order, and because the kernel
 * delivers the other direction on the queue where it saw a flow last. */
static void
port_tap_send(struct port *port, struct vhost_packet *const packets[],
              unsigned int n, struct dp_thread *thread)
{
    const struct port_tap *tap = port->priv;

    for (unsigned int i = 0; i < n; i++) {
        unsigned int queue = tap->n > 1 ? packets[i]->hash % tap->n : 0;
        struct iovec iov[KERNEL_TX_IOVS];
        struct virtio_net_hdr vnet;
        int n_iov = kernel_packet_to_iov(packets[i], &vnet, iov);

        if (writev(tap->queues[queue].source.fd, iov, n_iov) < 0) {
            port_drop(port, kernel_drop_reason(errno), 1, thread);
        }
    }
}

const struct port_class port_tap_class = {
    .open = port_tap_open,
    .close = port_tap_close,
    .send = port_tap_send,
    .likes_merged = true,
};
