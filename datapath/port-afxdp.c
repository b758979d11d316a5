/* Ports that are kernel devices of others, over AF_XDP sockets: options:xdp.
 *
 * Each queue of the device has a socket, and with it a piece of our memory (a
 * UMEM), cut into chunks.  Half of them circulate for receiving: the kernel,
 * or the hardware, fills a chunk; the datapath looks at it in place and copies
 * the frame once, into a guest's buffers; the chunk goes back.  The other half
 * is for sending: a frame is copied from wherever it lies into a chunk.
 * Queues are sources of the service threads' pool, like virtqueues, so several
 * threads receive from one device.  An empty poll costs a look at shared
 * memory and no system call; one system call sends a batch.
 *
 * What the kernel's other ways into a device do, this one doesn't:
 *
 *   - No offloads.  Checksums are finished here as the frame is copied,
 *     segments are cut before.  Frames come without a word on their checksum:
 *     a veth and a virtual machine's network card pass on what a sender in a
 *     container or on the host left for hardware to do, so there we look
 *     (offload_recognize()).
 *   - No VLAN tags beside the frame: see xdp-program.c.
 *   - No queueing discipline: a port's QoS doesn't see what is sent here.
 *
 * A frame longer than a chunk takes several (Linux 6.6).  Without that, a
 * device whose MTU needs it is not opened, and what is longer than a chunk
 * nevertheless is dropped.
 *
 * The order of a flow's packets is kept by sending each flow on one queue,
 * whichever thread sends: hence the lock around sending.
 *
 * Frames that no socket takes are dropped: none is for the host.
 *
 * A 64-byte frame costs our threads half of what it does by packet sockets:
 * from a veth 0.5 us rather than 1.1 us, and sent on to another 1.4 us rather
 * than 3.0 us (both copied; 50,000 a second, so in small batches, on a machine
 * with other work). */
#include <config.h>
#include "datapath/private.h"

#include <errno.h>
#include <linux/ethtool.h>
#include <linux/if_link.h>
#include <linux/if_xdp.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>
#include <xdp/xsk.h>

#include "datapath/kernel-io.h"
#include "datapath/netdev-system.h"
#include "datapath/xdp-program.h"
#include "netdev.h"
#include "openvswitch/vlog.h"
#include "packets.h"
#include "smap.h"
#include "socket-util.h"
#include "util.h"

VLOG_DEFINE_THIS_MODULE(port_afxdp);

/* Frames of several chunks: in <linux/if_xdp.h> since Linux 6.6. */
#ifndef XDP_USE_SG
#define XDP_USE_SG (1 << 4)
#endif
#ifndef XDP_PKT_CONTD
#define XDP_PKT_CONTD (1 << 0)
#endif

#define RING_SIZE 2048          /* Of each of a socket's four rings. */
#define N_CHUNKS (2 * RING_SIZE) /* The first half is for receiving. */
#define SMALL_CHUNK 2048
#define LARGE_CHUNK 4096        /* The most that the kernel takes. */
#define KERNEL_HEADROOM 256     /* Free bytes before a received frame. */
#define MAX_FRAGS 17            /* Chunks of one frame, as kernels are
                                 * usually built. */
#define MAX_QUEUES 256

/* One of a device's queues. */
struct afxdp_queue {
    struct vhost_source source;
    struct port *port;
    struct port_afxdp *device;
    char *name;
    struct xsk_socket *xsk;
    struct xsk_umem *umem;
    uint8_t *chunks;            /* N_CHUNKS of them. */

    /* For receiving; the thread that owns 'source'. */
    struct xsk_ring_prod fill;
    struct xsk_ring_cons rx;
    uint64_t n_overflows;       /* Frames lost, as far as counted. */

    /* For sending. */
    struct ovs_mutex mutex;
    struct xsk_ring_prod tx OVS_GUARDED;
    struct xsk_ring_cons completion OVS_GUARDED;
    unsigned int n_free OVS_GUARDED;
    uint64_t free_chunks[N_CHUNKS / 2] OVS_GUARDED; /* Offsets in 'chunks'. */
};

struct port_afxdp {
    struct xdp_program program;
    unsigned int chunk_size;
    bool several_chunks;        /* A frame may have several. */
    char *driver;               /* Its name. */
    bool software;              /* There is no hardware. */
    bool unfinished;            /* Frames may come without checksums. */
    atomic_uint max_frame;      /* Longest frame that the MTU allows. */
    unsigned int n_queues;
    unsigned int n_tx_queues;   /* Those that send: the first ones. */
    struct afxdp_queue *queues[MAX_QUEUES];
};

static struct afxdp_queue *
queue_cast(const struct vhost_source *source)
{
    return CONTAINER_OF(source, struct afxdp_queue, source);
}

/* --- Receiving ----------------------------------------------------------- */

static struct xdp_vlan_note *
vlan_note(uint8_t *frame)
{
    return (struct xdp_vlan_note *) frame - 1;
}

/* Makes 'packet' a view of the frame in one chunk at 'frame'. */
static void
view_chunk(struct vhost_packet *packet, uint8_t *frame, uint32_t len)
{
    packet->head = frame;
    packet->head_len = packet->len = len;
    packet->n_segs = 0;
}

/* Makes 'packet' a view of a frame in 'n' chunks.  Its head goes where it can
 * grow. */
static void
view_chunks(struct vhost_packet *packet, struct vhost_seg segs[],
            unsigned int n)
{
    uint32_t len = 0;

    for (unsigned int i = 0; i < n; i++) {
        len += segs[i].len;
    }
    packet->head = packet->buf;
    packet->head_len = 0;
    packet->len = len;
    packet->segs = segs;
    packet->n_segs = n;
    vhost_packet_pull(packet, KERNEL_HEAD);
}

/* Makes a view of the frame that begins with the first of the 'n' descriptors
 * from 'idx' on, in 'packet' and as many 'segs' as it has descriptors.
 * Returns their number, 0 if the rest of it is missing. */
static unsigned int
receive_frame(struct afxdp_queue *q, uint32_t idx, unsigned int n,
              struct vhost_packet *packet, struct vhost_seg segs[])
{
    unsigned int n_segs = 0;
    bool more = true;

    while (more) {
        if (n_segs == n) {
            return 0;
        }
        const struct xdp_desc *desc = xsk_ring_cons__rx_desc(&q->rx,
                                                             idx + n_segs);
        segs[n_segs].data = q->chunks + desc->addr;
        segs[n_segs].len = desc->len;
        more = desc->options & XDP_PKT_CONTD;
        n_segs++;
    }

    struct xdp_vlan_note *note = vlan_note(segs[0].data);
    uint8_t *frame = segs[0].data;
    if (n_segs == 1) {
        view_chunk(packet, frame, segs[0].len);
    } else {
        view_chunks(packet, segs, n_segs);
    }
    memset(&packet->vnet, 0, sizeof packet->vnet);
    if (q->device->program.notes_vlan && note->magic == XDP_VLAN_MAGIC) {
        kernel_packet_push_vlan(packet, note->tpid, htons(note->tci));
    }
    if (q->device->unfinished) {
        offload_recognize(packet);
    }
    return n_segs;
}

/* Gives the chunks of the 'n' descriptors from 'idx' on back to be filled. */
static void
recycle(struct afxdp_queue *q, uint32_t idx, unsigned int n)
{
    uint32_t fill_idx = 0;

    /* There is room: the ring is as large as there are chunks. */
    xsk_ring_prod__reserve(&q->fill, n, &fill_idx);
    for (unsigned int i = 0; i < n; i++) {
        uint64_t addr = xsk_ring_cons__rx_desc(&q->rx, idx + i)->addr;

        if (q->device->program.notes_vlan) {
            vlan_note(q->chunks + addr)->magic = 0;
        }
        *xsk_ring_prod__fill_addr(&q->fill, fill_idx + i)
            = addr & -(uint64_t) q->device->chunk_size;
    }
    xsk_ring_prod__submit(&q->fill, n);
    xsk_ring_cons__release(&q->rx, n);
    if (xsk_ring_prod__needs_wakeup(&q->fill)) {
        recvfrom(q->source.fd, NULL, 0, MSG_DONTWAIT, NULL, NULL);
    }
}

/* Counts the frames that found no chunk or no room in the ring. */
static void
count_overflow(struct afxdp_queue *q, struct dp_thread *thread)
{
    struct xdp_statistics stats;
    socklen_t len = sizeof stats;

    if (!getsockopt(q->source.fd, SOL_XDP, XDP_STATISTICS, &stats, &len)) {
        uint64_t n = stats.rx_dropped + stats.rx_ring_full;

        if (n > q->n_overflows) {
            port_drop(q->port, DROP_RX_QUEUE, n - q->n_overflows, thread);
            q->n_overflows = n;
        }
    }
}

static unsigned int
afxdp_poll(struct vhost_source *source, struct vhost_thread *vhost_thread,
           unsigned int budget)
{
    struct afxdp_queue *q = queue_cast(source);
    uint32_t idx = 0;
    unsigned int n_descs = xsk_ring_cons__peek(&q->rx, VHOST_BATCH, &idx);

    if (!n_descs) {
        return 0;
    }

    struct dp_thread *thread = dp_thread_from_vhost(vhost_thread);
    struct vhost_seg segs[VHOST_BATCH];
    unsigned int n = 0, done = 0;
    while (done < n_descs && n < budget) {
        unsigned int k = receive_frame(q, idx + done, n_descs - done,
                                       &thread->packets[n], &segs[done]);
        if (!k) {
            break;
        }
        done += k;
        n += thread->packets[n].len >= ETH_HEADER_LEN;
    }
    xsk_ring_cons__cancel(&q->rx, n_descs - done);
    datapath_receive(q->port, thread->packets, n, thread);
    recycle(q, idx, done);
    if (n_descs == VHOST_BATCH) {
        /* There was a backlog, so there may have been too long a one. */
        count_overflow(q, thread);
    }
    return done;
}

/* epoll watches the socket all the time: nothing to arm. */
static void
afxdp_arm(struct vhost_source *source OVS_UNUSED)
{
}

static bool
afxdp_pending(struct vhost_source *source)
{
    return xsk_cons_nb_avail(&queue_cast(source)->rx, 1);
}

static const struct vhost_source_ops afxdp_source_ops = {
    .poll = afxdp_poll,
    .arm = afxdp_arm,
    .disarm = afxdp_arm,
    .pending = afxdp_pending,
};

/* --- Sending ------------------------------------------------------------- */

/* Takes back the chunks of frames that have been sent. */
static void
reclaim(struct afxdp_queue *q)
    OVS_REQUIRES(q->mutex)
{
    uint32_t idx = 0;
    unsigned int n = xsk_ring_cons__peek(&q->completion, RING_SIZE, &idx);

    for (unsigned int i = 0; i < n; i++) {
        q->free_chunks[q->n_free++]
            = *xsk_ring_cons__comp_addr(&q->completion, idx + i);
    }
    xsk_ring_cons__release(&q->completion, n);
}

/* Has the kernel send what is in the ring.  A device whose own queue is full
 * leaves frames there; they go with the next ones. */
static void
kick(struct afxdp_queue *q)
    OVS_REQUIRES(q->mutex)
{
    enum { TRIES = 8 };         /* One takes 32 frames. */

    for (int i = 0; i < TRIES && xsk_ring_prod__needs_wakeup(&q->tx); i++) {
        if (!sendto(q->source.fd, NULL, 0, MSG_DONTWAIT, NULL, 0)
            || errno != EAGAIN) {
            break;
        }
    }
}

/* Copies 'packet' into chunks of 'q' and puts it into the ring.  Returns 0 or
 * a positive errno value. */
static int
put_packet(struct afxdp_queue *q, const struct vhost_packet *packet)
    OVS_REQUIRES(q->mutex)
{
    unsigned int size = q->device->chunk_size;
    unsigned int n = DIV_ROUND_UP(packet->len, size);
    uint32_t idx = 0;

    if (n > (q->device->several_chunks ? MAX_FRAGS : 1)) {
        return EMSGSIZE;
    }
    if (q->n_free < n) {
        reclaim(q);
    }
    if (q->n_free < n || xsk_ring_prod__reserve(&q->tx, n, &idx) < n) {
        return ENOBUFS;
    }
    for (unsigned int i = 0; i < n; i++) {
        struct xdp_desc *desc = xsk_ring_prod__tx_desc(&q->tx, idx + i);

        desc->addr = q->free_chunks[--q->n_free];
        desc->len = MIN(size, packet->len - i * size);
        desc->options = i + 1 < n ? XDP_PKT_CONTD : 0;
        vhost_packet_copy(packet, i * size, q->chunks + desc->addr,
                          desc->len);
        if (packet->vnet.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) {
            offload_finish_csum(q->chunks + desc->addr, desc->len,
                                &packet->vnet);
        }
    }
    xsk_ring_prod__submit(&q->tx, n);
    return 0;
}

struct put_finished_aux {
    struct afxdp_queue *q;
    int error;
};

static void
put_finished(struct vhost_packet *packet, void *aux_)
    OVS_NO_THREAD_SAFETY_ANALYSIS
{
    struct put_finished_aux *aux = aux_;

    aux->error = put_packet(aux->q, packet);
}

/* The same, for any packet. */
static int
put_any_packet(struct afxdp_queue *q, const struct vhost_packet *packet)
    OVS_REQUIRES(q->mutex)
{
    if (OVS_UNLIKELY(packet->vnet.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM
                     && packet->len > q->device->chunk_size)) {
        struct put_finished_aux aux = { .q = q };

        offload_finish(packet, put_finished, &aux);
        return aux.error;
    }
    return put_packet(q, packet);
}

/* Returns true if the device's MTU allows a frame of 'len' bytes.  Asks anew
 * when it doesn't: somebody may have changed it. */
static bool
frame_fits(struct port *port, uint32_t len)
{
    struct port_afxdp *device = port->priv;
    unsigned int max;
    int mtu;

    atomic_read_relaxed(&device->max_frame, &max);
    if (OVS_LIKELY(len <= max)) {
        return true;
    }
    if (!netdev_get_mtu(port->netdev, &mtu)) {
        max = mtu + ETH_HEADER_LEN + 2 * VLAN_HEADER_LEN;
        atomic_store_relaxed(&device->max_frame, max);
    }
    return len <= max;
}

/* Puts 'packet' into the ring of 'q', or drops it. */
static void
put_or_drop(struct afxdp_queue *q, const struct vhost_packet *packet,
            struct dp_thread *thread)
    OVS_REQUIRES(q->mutex)
{
    int error = (frame_fits(q->port, packet->len)
                 ? put_any_packet(q, packet) : EMSGSIZE);

    if (OVS_UNLIKELY(error)) {
        port_drop_packet(q->port, kernel_drop_reason(error), packet, thread);
    }
}

/* Sends 'packets' on 'q'. */
static void
queue_send(struct afxdp_queue *q, struct vhost_packet *const packets[],
           unsigned int n, struct dp_thread *thread)
{
    ovs_mutex_lock(&q->mutex);
    for (unsigned int i = 0; i < n; i++) {
        put_or_drop(q, packets[i], thread);
    }
    kick(q);
    reclaim(q);
    ovs_mutex_unlock(&q->mutex);
}

static void
afxdp_send(struct port *port, struct vhost_packet *const packets[],
           unsigned int n, struct dp_thread *thread)
{
    const struct port_afxdp *device = port->priv;
    unsigned int n_queues = device->n_tx_queues;

    if (n_queues == 1) {
        queue_send(device->queues[0], packets, n, thread);
        return;
    }

    /* A queue at a time: each call into the kernel is dear. */
    uint64_t left = (UINT64_C(1) << n) - 1;
    while (left) {
        struct vhost_packet *group[VHOST_BATCH];
        unsigned int n_group = 0;
        unsigned int queue = packets[rightmost_1bit_idx(left)]->hash
                             % n_queues;

        for (uint64_t rest = left; rest; rest = zero_rightmost_1bit(rest)) {
            unsigned int i = rightmost_1bit_idx(rest);

            if (packets[i]->hash % n_queues == queue) {
                group[n_group++] = packets[i];
                left &= ~(UINT64_C(1) << i);
            }
        }
        queue_send(device->queues[queue], group, n_group, thread);
    }
}

/* --- Opening and closing queues ------------------------------------------ */

static void
queue_destroy(struct afxdp_queue *q)
{
    if (q->xsk) {
        xsk_socket__delete(q->xsk);
    }
    if (q->umem) {
        xsk_umem__delete(q->umem);
    }
    munmap(q->chunks, (size_t) N_CHUNKS * q->device->chunk_size);
    ovs_mutex_destroy(&q->mutex);
    free(q->name);
    free_cacheline(q);
}

/* Hands the kernel the chunks to receive into, and keeps the others. */
static void
queue_distribute_chunks(struct afxdp_queue *q)
    OVS_NO_THREAD_SAFETY_ANALYSIS
{
    uint64_t size = q->device->chunk_size;
    uint32_t idx = 0;

    xsk_ring_prod__reserve(&q->fill, N_CHUNKS / 2, &idx);
    for (unsigned int i = 0; i < N_CHUNKS / 2; i++) {
        *xsk_ring_prod__fill_addr(&q->fill, idx + i) = i * size;
        q->free_chunks[q->n_free++] = (N_CHUNKS / 2 + i) * size;
    }
    xsk_ring_prod__submit(&q->fill, N_CHUNKS / 2);
}

/* Makes the memory and the socket of 'q', for queue 'index' of its device.
 * Returns 0 or a positive errno value. */
static int
queue_bind(struct afxdp_queue *q, unsigned int index, uint16_t bind_flags,
           bool sends)
    OVS_NO_THREAD_SAFETY_ANALYSIS
{
    const struct xsk_umem_config umem_config = {
        .fill_size = RING_SIZE,
        .comp_size = RING_SIZE,
        .frame_size = q->device->chunk_size,
    };
    const struct xsk_socket_config config = {
        .rx_size = RING_SIZE,
        .tx_size = RING_SIZE,
        .libxdp_flags = XSK_LIBXDP_FLAGS__INHIBIT_PROG_LOAD,
        .bind_flags = bind_flags,
    };
    int error = -xsk_umem__create(&q->umem, q->chunks,
                                  (uint64_t) N_CHUNKS * q->device->chunk_size,
                                  &q->fill, &q->completion, &umem_config);

    if (!error) {
        error = -xsk_socket__create(&q->xsk,
                                    netdev_get_name(q->port->netdev), index,
                                    q->umem, &q->rx, sends ? &q->tx : NULL,
                                    &config);
    }
    if (!error) {
        q->source.fd = xsk_socket__fd(q->xsk);
        queue_distribute_chunks(q);
    }
    return error;
}

static struct afxdp_queue *
queue_alloc(struct port *port, struct port_afxdp *device, unsigned int index)
{
    struct afxdp_queue *q = xzalloc_cacheline(sizeof *q);

    q->port = port;
    q->device = device;
    q->name = xasprintf("%s/%u", netdev_get_name(port->netdev), index);
    q->source = (struct vhost_source) {
        .ops = &afxdp_source_ops,
        .numa_node = kernel_numa_node(netdev_get_name(port->netdev)),
        .name = q->name,
    };
    ovs_mutex_init(&q->mutex);
    q->chunks = mmap(NULL, (size_t) N_CHUNKS * device->chunk_size,
                     PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
                     0);
    if (q->chunks == MAP_FAILED) {
        out_of_memory();
    }
    return q;
}

/* Opens queue 'index', for sending too if 'sends'. */
static int
queue_open__(struct port *port, struct port_afxdp *device, unsigned int index,
             uint16_t bind_flags, bool sends)
{
    struct afxdp_queue *q = queue_alloc(port, device, index);
    int error = queue_bind(q, index, bind_flags, sends);

    if (!error) {
        error = xdp_program_redirect(&device->program, index, q->source.fd);
    }
    if (error) {
        queue_destroy(q);
        return error;
    }
    device->queues[device->n_queues++] = q;
    device->n_tx_queues += sends;
    return 0;
}

/* The same, after waiting for a predecessor to let go of the queue: the kernel
 * takes a while for that after it is closed. */
static int
queue_open(struct port *port, struct port_afxdp *device, unsigned int index,
           uint16_t bind_flags, bool sends)
{
    enum { TRIES = 8 };         /* 0.25 s in all. */
    int error;

    for (int i = 0; ; i++) {
        error = queue_open__(port, device, index, bind_flags, sends);
        if (error != EBUSY || i == TRIES) {
            return error;
        }
        usleep(1000 << i);
    }
}

/* --- Opening and closing devices ----------------------------------------- */

static void
device_close_queues(struct port_afxdp *device)
{
    for (unsigned int i = 0; i < device->n_queues; i++) {
        queue_destroy(device->queues[i]);
    }
    device->n_queues = device->n_tx_queues = 0;
}

/* How many queues of the device of 'port' are for sending, before there is a
 * program: a driver may count those that it makes for it.  A socket is bound
 * to any other without a word, and what it sends stays where it is. */
static unsigned int
count_tx_queues(const struct port *port)
{
    struct ethtool_channels channels = { .cmd = ETHTOOL_GCHANNELS };
    struct ifreq ifr = { .ifr_data = (void *) &channels };

    return (af_inet_ifreq_ioctl(netdev_get_name(port->netdev), &ifr,
                                SIOCETHTOOL, "SIOCETHTOOL")
            ? 1 : MAX(1, channels.combined_count + channels.tx_count));
}

/* Opens all queues of 'port'.  There is no one way to ask any device how many
 * it has to receive: it has none any more when opening fails for that reason.
 * The program must be attached: a driver may make more queues for it. */
static int
device_open_queues(struct port *port, struct port_afxdp *device,
                   unsigned int n_tx_queues, uint16_t bind_flags)
{
    int error = 0;

    while (device->n_queues < MAX_QUEUES && !error) {
        error = queue_open(port, device, device->n_queues, bind_flags,
                           device->n_queues < n_tx_queues);
    }
    if (error == EINVAL && device->n_queues) {
        return 0;
    }
    if (error) {
        device_close_queues(device);
    }
    return error;
}

/* The chunk size for frames of 'mtu', 0 if there is none. */
static unsigned int
chunk_size_for(int mtu, bool several_chunks)
{
    unsigned int room = mtu + ETH_HEADER_LEN + 2 * VLAN_HEADER_LEN
                        + KERNEL_HEADROOM;

    return room <= SMALL_CHUNK ? SMALL_CHUNK
           : several_chunks || room <= LARGE_CHUNK ? LARGE_CHUNK
           : 0;
}

static int
device_open_with(struct port *port, struct port_afxdp *device,
                 enum xdp_mode mode, int mtu, bool several_chunks)
{
    int error;

    device->several_chunks = several_chunks;
    device->chunk_size = chunk_size_for(mtu, several_chunks);
    if (!device->chunk_size) {
        return ERANGE;
    }
    device->unfinished = (device->software || mode == XDP_MODE_GENERIC
                          || !strcmp(device->driver, "virtio_net"));

    unsigned int n_tx_queues = count_tx_queues(port);
    error = xdp_program_attach(&device->program,
                               netdev_get_ifindex(port->netdev),
                               mode == XDP_MODE_GENERIC ? XDP_FLAGS_SKB_MODE
                                                        : XDP_FLAGS_DRV_MODE,
                               MAX_QUEUES);
    if (!error) {
        error = device_open_queues(
            port, device, n_tx_queues,
            (mode == XDP_MODE_ZEROCOPY ? XDP_ZEROCOPY : XDP_COPY)
            | XDP_USE_NEED_WAKEUP | (several_chunks ? XDP_USE_SG : 0));
        if (error) {
            xdp_program_detach(&device->program);
        }
    }
    return error;
}

/* Returns true if, in 'mode', segmentation requests arrive as if they were
 * frames.  Native XDP has a veth's other end make frames of what it sends, but
 * a tap takes what a guest gives it and passes what is long to generic XDP. */
static bool
loses_segmentation(const struct port_afxdp *device, enum xdp_mode mode)
{
    return (!strcmp(device->driver, "tun")
            || (mode == XDP_MODE_GENERIC && device->software));
}

/* Opens the device of 'port' in 'mode'.  Returns 0 or a positive errno
 * value. */
static int
device_open(struct port *port, struct port_afxdp *device, enum xdp_mode mode)
{
    int mtu;
    int error = netdev_get_mtu(port->netdev, &mtu);

    if (loses_segmentation(device, mode)) {
        return EPROTOTYPE;
    }
    if (!error) {
        error = device_open_with(port, device, mode, mtu, true);
        if (error == EINVAL || error == EOPNOTSUPP) {
            /* An older kernel, or a driver without it. */
            error = device_open_with(port, device, mode, mtu, false);
        }
    }
    return error;
}

/* Opens the device of 'port' in the mode that it asks for, or, if that is
 * best-effort, in the best that can be had.  Stores the mode in '*modep'. */
static int
device_open_best(struct port *port, struct port_afxdp *device,
                 enum xdp_mode *modep)
{
    enum xdp_mode wanted = netdev_system_get_options(port->netdev).xdp;
    int error;

    if (wanted != XDP_MODE_BEST_EFFORT) {
        *modep = wanted;
        return device_open(port, device, wanted);
    }
    for (*modep = XDP_MODE_ZEROCOPY; ; ++*modep) {
        error = device_open(port, device, *modep);
        if (!error || error == EBUSY || *modep == XDP_MODE_GENERIC) {
            return error;
        }
    }
}

static const char *
describe_error(int error)
{
    switch (error) {
    case EOPNOTSUPP:
    case EINVAL:
        return "the driver doesn't support it";
    case EPROTOTYPE:
        return "the other side of this device sends segments longer than a "
               "frame, of which XDP doesn't know";
    case ERANGE:
        return "the device's MTU is too long for it";
    case EBUSY:
    case EEXIST:
        return "another program is attached to the device";
    case EPERM:
        return "the capabilities CAP_NET_ADMIN, CAP_NET_RAW and CAP_BPF are "
               "needed";
    default:
        return ovs_strerror(error);
    }
}

static struct port_afxdp *
device_create(const struct port *port)
{
    struct port_afxdp *device = xzalloc(sizeof *device);
    struct smap status = SMAP_INITIALIZER(&status);

    netdev_get_status(port->netdev, &status);
    device->driver = xstrdup(smap_get_def(&status, "driver_name", ""));
    device->software
        = !kernel_device_is_hardware(netdev_get_name(port->netdev));
    smap_destroy(&status);
    return device;
}

static void
device_destroy(struct port_afxdp *device)
{
    free(device->driver);
    free(device);
}

static void
device_close(struct port_afxdp *device)
{
    for (unsigned int i = 0; i < device->n_queues; i++) {
        vhost_pool_remove(datapath_pool(), &device->queues[i]->source);
    }
    xdp_program_detach(&device->program);
    device_close_queues(device);
}

static int
afxdp_open(struct port *port, char **errp)
{
    const char *name = netdev_get_name(port->netdev);
    int ifindex = netdev_get_ifindex(port->netdev);
    enum xdp_mode mode;

    if (ifindex < 0) {
        *errp = xasprintf("%s: no such network device (%s)", name,
                          ovs_strerror(-ifindex));
        return -ifindex;
    }

    struct port_afxdp *device = device_create(port);
    int error = device_open_best(port, device, &mode);
    if (error) {
        *errp = xasprintf(
            "%s: options:xdp=%s is not possible: %s", name,
            xdp_mode_name(netdev_system_get_options(port->netdev).xdp),
            describe_error(error));
        device_destroy(device);
        return error;
    }

    port->priv = device;
    port->offloads = UINT64_C(1) << VIRTIO_NET_F_GUEST_CSUM;
    for (unsigned int i = 0; i < device->n_queues; i++) {
        vhost_pool_add(datapath_pool(), &device->queues[i]->source);
    }
    netdev_system_set_xdp_status(port->netdev, "%s, %u %s",
                                 xdp_mode_name(mode), device->n_queues,
                                 device->n_queues > 1 ? "queues" : "queue");
    return 0;
}

static void
afxdp_close(struct port *port)
{
    device_close(port->priv);
    device_destroy(port->priv);
}

const struct port_class port_afxdp_class = {
    .open = afxdp_open,
    .close = afxdp_close,
    .send = afxdp_send,
};
