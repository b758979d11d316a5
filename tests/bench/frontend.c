/* See frontend.h. */
#include <config.h>
#include "frontend.h"
#include <errno.h>
#include <linux/virtio_config.h>
#include <linux/virtio_net.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include "vhost/wire.h"

#define HUGEPAGE ((size_t) 2 << 20)

static void __attribute__((noreturn, format(printf, 1, 2)))
fail(const char *format, ...)
{
    int error = errno;
    va_list args;

    fprintf(stderr, "vhost-gen: ");
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fprintf(stderr, ": %s\n", strerror(error));
    exit(EXIT_FAILURE);
}

/* --- Messages. -------------------------------------------------------- */

static void
send_message(struct frontend *f, uint32_t request, const void *payload,
             size_t size, int fd)
{
    struct vhost_user_header header = {
        .request = request, .flags = VHOST_USER_VERSION, .size = size,
    };
    struct iovec iov[2] = {
        { &header, sizeof header }, { (void *) payload, size },
    };
    union {
        struct cmsghdr header;
        char space[CMSG_SPACE(sizeof fd)];
    } control;
    struct msghdr message = { .msg_iov = iov, .msg_iovlen = 2 };

    if (fd >= 0) {
        memset(&control, 0, sizeof control);
        message.msg_control = &control;
        message.msg_controllen = sizeof control;
        struct cmsghdr *cmsg = CMSG_FIRSTHDR(&message);
        cmsg->cmsg_level = SOL_SOCKET;
        cmsg->cmsg_type = SCM_RIGHTS;
        cmsg->cmsg_len = CMSG_LEN(sizeof fd);
        memcpy(CMSG_DATA(cmsg), &fd, sizeof fd);
    }
    if (sendmsg(f->fd, &message, 0) != (ssize_t) (sizeof header + size)) {
        fail("sending request %u", request);
    }
}

static void
send_u64(struct frontend *f, uint32_t request, uint64_t value, int fd)
{
    send_message(f, request, &value, sizeof value, fd);
}

static void
send_vring_state(struct frontend *f, uint32_t request, uint32_t index,
                 uint32_t num)
{
    struct vhost_user_vring_state state = { index, num };

    send_message(f, request, &state, sizeof state, -1);
}

static uint64_t
query_u64(struct frontend *f, uint32_t request)
{
    struct {
        struct vhost_user_header header;
        uint64_t value;
    } __attribute__((packed)) reply;

    send_message(f, request, NULL, 0, -1);
    if (recv(f->fd, &reply, sizeof reply, MSG_WAITALL) != sizeof reply) {
        fail("reply to request %u", request);
    }
    return reply.value;
}

/* --- Setting up. ------------------------------------------------------ */

void
frontend_connect(struct frontend *f, const char *path)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };

    if (strlen(path) >= sizeof address.sun_path) {
        errno = ENAMETOOLONG;
        fail("%s", path);
    }
    strcpy(address.sun_path, path);
    f->fd = socket(AF_UNIX, SOCK_STREAM, 0);
    if (connect(f->fd, (struct sockaddr *) &address, sizeof address)) {
        fail("%s", path);
    }
}

static void
negotiate(struct frontend *f)
{
    uint64_t wanted = UINT64_C(1) << VIRTIO_F_VERSION_1
                      | UINT64_C(1) << VHOST_USER_F_PROTOCOL_FEATURES
                      | UINT64_C(1) << VIRTIO_F_ANY_LAYOUT
                      | UINT64_C(1) << VIRTIO_NET_F_MRG_RXBUF;

    uint64_t protocol = 0;

    if (f->packed) {
        wanted |= UINT64_C(1) << VIRTIO_F_RING_PACKED;
    }
    if (f->iommu) {
        wanted |= UINT64_C(1) << VIRTIO_F_ACCESS_PLATFORM;
        protocol |= UINT64_C(1) << VHOST_USER_PROTOCOL_F_BACKEND_REQ;
    }
    f->features = wanted & query_u64(f, VHOST_USER_GET_FEATURES);
    f->packed = f->features >> VIRTIO_F_RING_PACKED & 1;
    f->iommu = f->features >> VIRTIO_F_ACCESS_PLATFORM & 1;
    f->header = sizeof(struct virtio_net_hdr_mrg_rxbuf);
    if (f->features & UINT64_C(1) << VHOST_USER_F_PROTOCOL_FEATURES) {
        query_u64(f, VHOST_USER_GET_PROTOCOL_FEATURES);
        send_u64(f, VHOST_USER_SET_PROTOCOL_FEATURES, protocol, -1);
    }
    send_message(f, VHOST_USER_SET_OWNER, NULL, 0, -1);
    send_u64(f, VHOST_USER_SET_FEATURES, f->features, -1);
}

/* Lays out memory: the buffers of both queues, then both rings. */
static void
share_memory(struct frontend *f, unsigned int ring_size)
{
    size_t buffers = (size_t) ring_size * FRONTEND_BUFFER;
    size_t ring = (vring_size(ring_size, 4096) + 4095) & ~(size_t) 4095;
    struct frontend_queue *queues[2] = { &f->rx, &f->tx };
    int memfd = memfd_create("vhost-gen", MFD_HUGETLB | MFD_CLOEXEC);

    f->memory_size = (2 * (buffers + ring) + HUGEPAGE - 1) & ~(HUGEPAGE - 1);
    if (memfd < 0 || ftruncate(memfd, f->memory_size)) {
        fail("memory");
    }
    f->memory = mmap(NULL, f->memory_size, PROT_READ | PROT_WRITE,
                     MAP_SHARED | MAP_POPULATE, memfd, 0);
    if (f->memory == MAP_FAILED) {
        fail("%zu bytes of 2 MB hugepages", f->memory_size);
    }
    for (int i = 0; i < 2; i++) {
        queues[i]->buffers = f->memory + i * buffers;
        vring_init(&queues[i]->ring, ring_size,
                   f->memory + 2 * buffers + i * ring, 4096);
        queues[i]->avail_wrap = queues[i]->used_wrap = true;
    }

    struct vhost_user_mem_table table = {
        .n = 1,
        .regions[0] = {
            .guest_address = 0, .size = f->memory_size,
            .user_address = (uintptr_t) f->memory, .mmap_offset = 0,
        },
    };
    send_message(f, VHOST_USER_SET_MEM_TABLE, &table,
                 offsetof(struct vhost_user_mem_table, regions[1]), memfd);
    close(memfd);
    if (f->iommu) {
        struct vhost_user_iotlb update = {
            .iova = 0, .size = f->memory_size,
            .user_address = (uintptr_t) f->memory,
            .permissions = VHOST_ACCESS_RW, .type = VHOST_IOTLB_UPDATE,
        };

        send_message(f, VHOST_USER_IOTLB_MSG, &update, sizeof update, -1);
    }
}

static uint8_t *
queue_buffer(const struct frontend_queue *q, uint16_t id)
{
    return q->buffers + (size_t) id * FRONTEND_BUFFER;
}

/* Writes the next available entry: 'length' bytes of buffer 'id'. */
static inline void
offer(const struct frontend *f, struct frontend_queue *q, uint16_t id,
      uint32_t length, uint16_t flags)
{
    uint64_t address = queue_buffer(q, id) - f->memory;

    if (!f->packed) {
        q->ring.desc[id] = (struct vring_desc) {
            .addr = address, .len = length, .flags = flags,
        };
        q->ring.avail->ring[q->avail++ & (q->ring.num - 1)] = id;
        return;
    }
    struct vring_packed_desc *d
        = &((struct vring_packed_desc *) q->ring.desc)[q->avail];

    d->addr = address;
    d->len = length;
    d->id = id;
    __atomic_store_n(&d->flags,
                     flags | 1 << (q->avail_wrap ? VRING_PACKED_DESC_F_AVAIL
                                   : VRING_PACKED_DESC_F_USED),
                     __ATOMIC_RELEASE);
    if (++q->avail == q->ring.num) {
        q->avail = 0;
        q->avail_wrap = !q->avail_wrap;
    }
}

/* How far the used ring is filled, for take(). */
static inline uint16_t
used_end(const struct frontend *f, const struct frontend_queue *q)
{
    return (f->packed ? 0
            : __atomic_load_n(&q->ring.used->idx, __ATOMIC_ACQUIRE));
}

/* Takes the next used entry, if there is one before 'end'. */
static inline bool
take(const struct frontend *f, struct frontend_queue *q, uint16_t end,
     uint16_t *id, uint32_t *length)
{
    uint16_t mask = q->ring.num - 1;

    if (!f->packed) {
        if (q->used == end) {
            return false;
        }
        struct vring_used_elem e = q->ring.used->ring[q->used++ & mask];
        *id = e.id & mask;
        *length = e.len;
        return true;
    }
    const struct vring_packed_desc *d
        = &((struct vring_packed_desc *) q->ring.desc)[q->used];
    uint16_t flags = __atomic_load_n(&d->flags, __ATOMIC_ACQUIRE);

    if ((flags >> VRING_PACKED_DESC_F_AVAIL & 1) != q->used_wrap
        || (flags >> VRING_PACKED_DESC_F_USED & 1) != q->used_wrap) {
        return false;
    }
    *id = d->id & mask;
    *length = d->len;
    if (++q->used == q->ring.num) {
        q->used = 0;
        q->used_wrap = !q->used_wrap;
    }
    return true;
}

/* Fills the transmit queue's buffers with frames, of one flow each, and gives
 * the receive queue's to the switch. */
static void
fill_buffers(struct frontend *f)
{
    unsigned int n = f->tx.ring.num;
    unsigned int flows = f->traffic->flows;

    for (unsigned int i = 0; i < n; i++) {
        uint8_t *buffer = queue_buffer(&f->tx, i);

        memset(buffer, 0, f->header);
        traffic_make_frame(f->traffic, buffer + f->header, f->side,
                           !flows || flows > n ? 0 : i % flows);
        f->tx.free[f->tx.free_tail++ & (n - 1)] = i;

        offer(f, &f->rx, i, FRONTEND_BUFFER, VRING_DESC_F_WRITE);
    }
    if (!f->packed) {
        f->rx.ring.avail->idx = n;
    }
}

static void
enable_queue(struct frontend *f, uint32_t index, struct frontend_queue *q)
{
    uintptr_t base = f->iommu ? (uintptr_t) f->memory : 0;
    struct vhost_user_vring_addr address = {
        .index = index,
        .descriptor = (uintptr_t) q->ring.desc - base,
        .used = (uintptr_t) q->ring.used - base,
        .available = (uintptr_t) q->ring.avail - base,
    };

    q->kick = eventfd(0, EFD_NONBLOCK);
    q->call = eventfd(0, EFD_NONBLOCK);
    if (f->packed) {
        ((struct vring_packed_desc_event *) q->ring.avail)->flags
            = VRING_PACKED_EVENT_FLAG_DISABLE;
    } else {
        q->ring.avail->flags = VRING_AVAIL_F_NO_INTERRUPT;
    }
    send_vring_state(f, VHOST_USER_SET_VRING_NUM, index, q->ring.num);
    send_vring_state(f, VHOST_USER_SET_VRING_BASE, index,
                     f->packed ? 0x80008000 : 0);
    send_message(f, VHOST_USER_SET_VRING_ADDR, &address, sizeof address, -1);
    send_u64(f, VHOST_USER_SET_VRING_KICK, index, q->kick);
    send_u64(f, VHOST_USER_SET_VRING_CALL, index, q->call);
    if (f->features & UINT64_C(1) << VHOST_USER_F_PROTOCOL_FEATURES) {
        send_vring_state(f, VHOST_USER_SET_VRING_ENABLE, index, 1);
    }
    eventfd_write(q->kick, 1);
}

void
frontend_start(struct frontend *f, int side, const struct traffic *traffic,
               unsigned int ring_size)
{
    f->side = side;
    f->traffic = traffic;
    negotiate(f);
    share_memory(f, ring_size);
    fill_buffers(f);
    enable_queue(f, 0, &f->rx);
    enable_queue(f, 1, &f->tx);
}

/* --- Traffic. --------------------------------------------------------- */

/* Makes what was added to 'q' available, and kicks if the switch wants. */
static void
publish(struct frontend *f, struct frontend_queue *q)
{
    bool kick;

    if (!f->packed) {
        __atomic_store_n(&q->ring.avail->idx, q->avail, __ATOMIC_RELEASE);
    }
    atomic_thread_fence(memory_order_seq_cst);
    if (f->packed) {
        const volatile struct vring_packed_desc_event *event
            = (void *) q->ring.used;

        kick = event->flags != VRING_PACKED_EVENT_FLAG_DISABLE;
    } else {
        kick = !(*(volatile uint16_t *) &q->ring.used->flags
                 & VRING_USED_F_NO_NOTIFY);
    }
    if (kick) {
        eventfd_write(q->kick, 1);
        f->stats.kicks++;
    }
}

/* Puts what the switch has sent back among the free descriptors. */
static void
reclaim(const struct frontend *f, struct frontend_queue *q)
{
    uint16_t mask = q->ring.num - 1;
    uint16_t id, end = used_end(f, q);
    uint32_t length;

    while (take(f, q, end, &id, &length)) {
        q->free[q->free_tail++ & mask] = id;
    }
}

/* Eight bytes of a frame, which is not aligned. */
typedef uint64_t __attribute__((aligned(1), may_alias)) frame_u64;

static void
write_payload(uint8_t *frame, unsigned int length, uint64_t seq)
{
    frame_u64 *words = (frame_u64 *) (frame + TRAFFIC_PAYLOAD_OFS);

    for (unsigned int i = 0; i < (length - TRAFFIC_PAYLOAD_OFS) / 8; i++) {
        words[i] = seq + i;
    }
}

static uint64_t
read_payload(const uint8_t *frame, unsigned int length)
{
    const frame_u64 *words = (const frame_u64 *) (frame + TRAFFIC_PAYLOAD_OFS);
    uint64_t sum = 0;

    for (unsigned int i = 0; i < (length - TRAFFIC_PAYLOAD_OFS) / 8; i++) {
        sum += words[i];
    }
    return sum;
}

unsigned int
frontend_send(struct frontend *f, unsigned int n)
{
    struct frontend_queue *q = &f->tx;
    uint16_t mask = q->ring.num - 1;
    uint16_t n_free;

    reclaim(f, q);
    f->stats.attempted += n;
    n_free = q->free_tail - q->free_head;
    if (n > n_free) {
        n = n_free;
    }
    if (!n) {
        return 0;
    }
    for (unsigned int i = 0; i < n; i++) {
        uint16_t id = q->free[q->free_head++ & mask];
        uint8_t *buffer = queue_buffer(q, id);
        uint8_t *frame = buffer + f->header;
        uint64_t seq = f->next_seq++;
        unsigned int length = traffic_length(f->traffic, seq);

        memcpy(frame + TRAFFIC_SEQ_OFS, &seq, sizeof seq);
        if (!f->traffic->flows) {
            traffic_set_new_flow(f->traffic, frame, seq);
        } else if (f->traffic->flows > q->ring.num) {
            traffic_set_flow(f->traffic, frame, seq);
        }
        if (f->traffic->whole) {
            write_payload(frame, length, seq);
        }
        offer(f, q, id, f->header + length, 0);
    }
    publish(f, q);
    f->stats.sent += n;
    return n;
}

/* Checks the length and the order of a frame. */
static void
check_frame(struct frontend *f, const uint8_t *buffer, uint32_t used_length)
{
    const uint8_t *frame = buffer + f->header;
    uint64_t seq;

    memcpy(&seq, frame + TRAFFIC_SEQ_OFS, sizeof seq);
    if (used_length != f->header + traffic_length(f->traffic, seq)) {
        f->stats.bad_length++;
        return;
    }
    if (seq > f->expected_seq) {
        f->stats.lost += seq - f->expected_seq;
    } else if (seq < f->expected_seq) {
        f->stats.reordered++;
    }
    f->expected_seq = seq + 1;
    if (f->traffic->whole) {
        f->sink += read_payload(frame, used_length - f->header);
    }
}

unsigned int
frontend_receive(struct frontend *f, unsigned int max)
{
    struct frontend_queue *q = &f->rx;
    uint16_t id, end = used_end(f, q);
    unsigned int n = 0;
    uint32_t length;

    while (n < max && take(f, q, end, &id, &length)) {
        check_frame(f, queue_buffer(q, id), length);
        offer(f, q, id, FRONTEND_BUFFER, VRING_DESC_F_WRITE);
        n++;
    }
    if (n) {
        publish(f, q);
        f->stats.received += n;
    }
    return n;
}
