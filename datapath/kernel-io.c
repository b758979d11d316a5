/* Frames to and from the kernel: see kernel-io.h. */
#include <config.h>
#include "datapath/kernel-io.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "ovs-thread.h"
#include "util.h"

/* In <linux/virtio_net.h> since Linux 6.2. */
#ifndef VIRTIO_NET_F_GUEST_USO4
#define VIRTIO_NET_F_GUEST_USO4 54
#endif
#ifndef VIRTIO_NET_F_GUEST_USO6
#define VIRTIO_NET_F_GUEST_USO6 55
#endif

static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_key_t key;
static __thread struct kernel_batch *self;

bool
kernel_source_pending(struct vhost_source *source)
{
    struct pollfd pfd = { .fd = source->fd, .events = POLLIN };

    return poll(&pfd, 1, 0) > 0 && pfd.revents & POLLIN;
}

void
kernel_source_arm(struct vhost_source *source OVS_UNUSED)
{
}

static void
batch_destroy(void *batch_)
{
    struct kernel_batch *batch = batch_;

    munmap(batch->frames, VHOST_BATCH * KERNEL_FRAME);
    free_cacheline(batch);
}

static void
key_create(void)
{
    xpthread_key_create(&key, batch_destroy);
}

struct kernel_batch *
kernel_batch_get(void)
{
    if (OVS_UNLIKELY(!self)) {
        pthread_once(&once, key_create);
        self = xzalloc_cacheline(sizeof *self);
        /* Address space; it becomes memory as long frames arrive. */
        self->frames = mmap(NULL, VHOST_BATCH * KERNEL_FRAME,
                            PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (self->frames == MAP_FAILED) {
            out_of_memory();
        }
        xpthread_setspecific(key, self);
    }
    return self;
}

void
kernel_batch_prepare(struct kernel_batch *batch, unsigned int i,
                     struct iovec iov[KERNEL_RX_IOVS])
{
    struct vhost_packet *packet = &batch->packets[i];

    iov[0].iov_base = &packet->vnet;
    iov[0].iov_len = sizeof packet->vnet;
    iov[1].iov_base = packet->buf + KERNEL_TAG_ROOM;
    iov[1].iov_len = KERNEL_HEAD;
    iov[2].iov_base = batch->frames + i * KERNEL_FRAME;
    iov[2].iov_len = KERNEL_FRAME - KERNEL_HEAD;
}

bool
kernel_batch_finish(struct kernel_batch *batch, unsigned int i, size_t n)
{
    struct vhost_packet *packet = &batch->packets[i];
    struct vhost_seg *seg = &batch->segs[i];

    if (n < sizeof packet->vnet + 14
        || n > sizeof packet->vnet + VHOST_MAX_FRAME) {
        return false;
    }
    packet->len = n - sizeof packet->vnet;
    packet->head = packet->buf + KERNEL_TAG_ROOM;
    packet->head_len = MIN(packet->len, KERNEL_HEAD);
    seg->data = batch->frames + i * KERNEL_FRAME;
    seg->len = packet->len - packet->head_len;
    packet->segs = seg;
    packet->n_segs = seg->len != 0;
    return true;
}

void
kernel_packet_extend(struct vhost_packet *packet, size_t len)
{
    uint16_t head_len = MIN(len, KERNEL_HEAD);

    if (head_len > packet->head_len) {
        memset(packet->head + packet->head_len, 0,
               head_len - packet->head_len);
        packet->head_len = head_len;
    }
    packet->len = len;
    packet->n_segs = 0;
}

void
kernel_packet_push_vlan(struct vhost_packet *packet, ovs_be16 tpid,
                        ovs_be16 tci)
{
    enum { TAG_LEN = KERNEL_TAG_ROOM, MACS_LEN = 12 };
    ovs_be16 tag[2] = { tpid, tci };

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

int
kernel_packet_to_iov(const struct vhost_packet *packet,
                     struct virtio_net_hdr *vnet,
                     struct iovec iov[KERNEL_TX_IOVS])
{
    int n = 0;

    *vnet = packet->vnet;
    vnet->flags &= VIRTIO_NET_HDR_F_NEEDS_CSUM;
    iov[n++] = (struct iovec) { vnet, sizeof *vnet };
    iov[n++] = (struct iovec) { packet->head, packet->head_len };
    for (unsigned int i = 0; i < packet->n_segs; i++) {
        iov[n++] = (struct iovec) { packet->segs[i].data,
                                    packet->segs[i].len };
    }
    return n;
}

enum drop_reason
kernel_drop_reason(int error)
{
    switch (error) {
    case EAGAIN:
    case ENOBUFS:
        return DROP_KERNEL_FULL;
    case EMSGSIZE:
        return DROP_TOO_LONG;
    case EIO:                   /* A tap that is down... */
    case EBADFD:                /* ...or gone. */
    case ENETDOWN:              /* Any other device that is down... */
    case ENXIO:                 /* ...or gone. */
    case ENODEV:
        return DROP_NOT_RUNNING;
    default:
        return DROP_SEND_ERROR;
    }
}

/* UDP segmentation in a virtio-net header came with Linux 6.2.  Nothing tells
 * but an attempt with a device that takes 20 ms to delete. */
static bool
kernel_has_uso(void)
{
    struct utsname u;
    int major, minor;

    return (!uname(&u) && sscanf(u.release, "%d.%d", &major, &minor) == 2
            && (major > 6 || (major == 6 && minor >= 2)));
}

uint64_t
kernel_offloads(void)
{
    static struct ovsthread_once asked = OVSTHREAD_ONCE_INITIALIZER;
    static uint64_t offloads;

    if (ovsthread_once_start(&asked)) {
        offloads = (UINT64_C(1) << VIRTIO_NET_F_GUEST_CSUM
                    | UINT64_C(1) << VIRTIO_NET_F_GUEST_TSO4
                    | UINT64_C(1) << VIRTIO_NET_F_GUEST_TSO6
                    | UINT64_C(1) << VIRTIO_NET_F_GUEST_ECN);
        if (kernel_has_uso()) {
            offloads |= (UINT64_C(1) << VIRTIO_NET_F_GUEST_USO4
                         | UINT64_C(1) << VIRTIO_NET_F_GUEST_USO6);
        }
        ovsthread_once_done(&asked);
    }
    return offloads;
}

int
kernel_numa_node(const char *name)
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

bool
kernel_device_is_hardware(const char *name)
{
    char *path = xasprintf("/sys/class/net/%s/device", name);
    bool exists = !access(path, F_OK);

    free(path);
    return exists;
}
