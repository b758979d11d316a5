/* What taps and packet sockets share: both exchange frames with the kernel
 * behind a struct virtio_net_hdr, which carries offload requests both ways.
 * Private to datapath/. */
#ifndef KERNEL_IO_H
#define KERNEL_IO_H 1

#include <sys/uio.h>

#include "datapath/port.h"

/* Bytes of a frame that go to the packet's own buffer; the rest becomes its
 * one segment. */
#define KERNEL_HEAD 128

/* Bytes left free before a received frame, for the VLAN tag that the kernel
 * may have taken out of it. */
#define KERNEL_TAG_ROOM 4

/* One byte more than the longest frame, to notice one that is longer. */
#define KERNEL_FRAME (VHOST_MAX_FRAME + 1)

/* Elements of an I/O vector for one packet: received, and sent. */
#define KERNEL_RX_IOVS 3
#define KERNEL_TX_IOVS (2 + VHOST_MAX_SEGS)

/* Frames of GSO size that fit in a fast cache together: a batch ends when it
 * has as many bytes, to forward them while they are there. */
#define KERNEL_BATCH_BYTES (128 * 1024)

/* The batch that a thread receives into. */
struct kernel_batch {
    struct vhost_packet packets[VHOST_BATCH];
    struct vhost_seg segs[VHOST_BATCH];
    uint8_t *frames;            /* VHOST_BATCH times KERNEL_FRAME bytes. */
};

/* For struct vhost_source_ops: there is work if the source's descriptor is
 * readable; epoll watches it all the time, so there is nothing to arm. */
bool kernel_source_pending(struct vhost_source *);
void kernel_source_arm(struct vhost_source *);

/* The calling thread's batch.  It is freed with the thread. */
struct kernel_batch *kernel_batch_get(void);

/* Makes packet 'i' of 'batch' ready to be received into through 'iov'. */
void kernel_batch_prepare(struct kernel_batch *batch, unsigned int i,
                          struct iovec iov[KERNEL_RX_IOVS]);

/* Makes packet 'i' of 'batch' a view of the 'n' bytes, virtio-net header
 * included, that were received through the vector that kernel_batch_prepare()
 * made.  Returns false if that is no frame, or too long a one. */
bool kernel_batch_finish(struct kernel_batch *batch, unsigned int i, size_t n);

/* Makes 'packet', received but for its end, one of 'len' bytes, to be looked at
 * alone: the head has zeros for what is missing of it. */
void kernel_packet_extend(struct vhost_packet *, size_t len);

/* Puts a VLAN tag that the kernel took out of 'packet', which it received,
 * back in.  There must be KERNEL_TAG_ROOM bytes before its head. */
void kernel_packet_push_vlan(struct vhost_packet *, ovs_be16 tpid,
                             ovs_be16 tci);

/* Makes 'iov' and 'vnet' describe 'packet', to be sent.  Returns the number of
 * elements. */
int kernel_packet_to_iov(const struct vhost_packet *,
                         struct virtio_net_hdr *vnet,
                         struct iovec iov[KERNEL_TX_IOVS]);

/* The reason for which the kernel didn't take a packet and said 'error'. */
enum drop_reason kernel_drop_reason(int error);

/* What kernel devices take when we send to them: they finish in software what
 * the hardware can't. */
uint64_t kernel_offloads(void);

/* The NUMA node of the hardware behind device 'name', -1 if unknown. */
int kernel_numa_node(const char *name);

/* Returns true if there is hardware behind device 'name'.  It is not a veth,
 * a tap, a bridge... then, from which frames come just as their sender left
 * them. */
bool kernel_device_is_hardware(const char *name);

#endif /* datapath/kernel-io.h */
