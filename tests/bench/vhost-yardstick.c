/* vhost-yardstick: what one core can do at most between two vhost-user
 * devices.
 *
 *     vhost-yardstick SOCKET-A SOCKET-B
 *
 * Listens on both sockets, and copies each frame once from one device's
 * transmit ring to the other's receive ring.  It looks nothing up, knows split
 * rings, one queue pair, one memory region and buffers of one descriptor only,
 * and aborts on anything else.  A measure for a switch, not a design for one:
 * how much of its rate is left after lookup and safety?
 *
 * It serves one pair of front-ends after the other. */
#include <config.h>
#include <linux/virtio_config.h>
#include <linux/virtio_net.h>
#include <linux/virtio_ring.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include <x86intrin.h>
#include "vhost/wire.h"

#define BATCH 32
#define PREFETCH_AHEAD 8                /* Frames. */

struct queue {
    struct vring_desc *desc;
    struct vring_avail *avail;
    struct vring_used *used;
    uint16_t size, next;                /* The same for avail and used. */
    bool enabled;
};

struct device {
    int fd;
    struct vhost_user_region region;
    uint8_t *memory;
    struct queue rx, tx;                /* Seen from the guest. */
    atomic_int state;                   /* 0 until ready, then 1, then -1. */
};

/* --- Control protocol. ------------------------------------------------ */

/* Reads a message; '*fd' gets what came with it or -1. */
static bool
read_message(int socket_fd, struct vhost_user_header *header,
             union vhost_user_payload *payload, int *fd)
{
    union {
        struct cmsghdr header;
        char space[CMSG_SPACE(sizeof(int))];
    } control;
    struct iovec iov = { header, sizeof *header };
    struct msghdr message = {
        .msg_iov = &iov, .msg_iovlen = 1,
        .msg_control = &control, .msg_controllen = sizeof control,
    };

    *fd = -1;
    if (recvmsg(socket_fd, &message, MSG_WAITALL) != sizeof *header) {
        return false;
    }
    struct cmsghdr *cmsg = CMSG_FIRSTHDR(&message);
    if (cmsg && cmsg->cmsg_type == SCM_RIGHTS) {
        memcpy(fd, CMSG_DATA(cmsg), sizeof *fd);
    }
    return (header->size <= sizeof *payload
            && (!header->size
                || recv(socket_fd, payload, header->size, MSG_WAITALL)
                   == header->size));
}

static void
reply_u64(int fd, uint32_t request, uint64_t value)
{
    struct {
        struct vhost_user_header header;
        uint64_t value;
    } __attribute__((packed)) reply = {
        { request, VHOST_USER_VERSION | VHOST_USER_REPLY, sizeof value }, value
    };

    if (send(fd, &reply, sizeof reply, MSG_NOSIGNAL) != sizeof reply) {
        perror("vhost-yardstick: reply");
    }
}

static void
map_memory(struct device *d, const struct vhost_user_mem_table *table, int fd)
{
    d->region = table->regions[0];
    d->memory = mmap(NULL, d->region.size, PROT_READ | PROT_WRITE,
                     MAP_SHARED | MAP_POPULATE, fd, 0);
    if (table->n != 1 || d->memory == MAP_FAILED) {
        abort();
    }
    close(fd);
}

static void
set_ring_addresses(struct device *d, struct queue *q,
                   const struct vhost_user_vring_addr *addr)
{
    uint8_t *base = d->memory - d->region.user_address;

    q->desc = (void *) (base + addr->descriptor);
    q->avail = (void *) (base + addr->available);
    q->used = (void *) (base + addr->used);
    q->used->flags = VRING_USED_F_NO_NOTIFY;
}

/* Serves one connection until it closes.  A thread. */
static void *
serve(void *d_)
{
    struct device *d = d_;
    struct vhost_user_header header;
    union vhost_user_payload payload;
    int fd;

    while (read_message(d->fd, &header, &payload, &fd)) {
        struct queue *q = payload.state.index & 1 ? &d->tx : &d->rx;

        switch (header.request) {
        case VHOST_USER_GET_FEATURES:
            reply_u64(d->fd, header.request,
                      UINT64_C(1) << VIRTIO_F_VERSION_1
                      | UINT64_C(1) << VHOST_USER_F_PROTOCOL_FEATURES
                      | UINT64_C(1) << VIRTIO_NET_F_MRG_RXBUF);
            break;
        case VHOST_USER_GET_PROTOCOL_FEATURES:
            reply_u64(d->fd, header.request, 0);
            break;
        case VHOST_USER_SET_MEM_TABLE:
            map_memory(d, &payload.mem_table, fd);
            break;
        case VHOST_USER_SET_VRING_NUM:
            q->size = payload.state.num;
            break;
        case VHOST_USER_SET_VRING_BASE:
            q->next = payload.state.num;
            break;
        case VHOST_USER_SET_VRING_ADDR:
            set_ring_addresses(d, q, &payload.addr);
            break;
        case VHOST_USER_SET_VRING_ENABLE:
            q->enabled = payload.state.num;
            if (d->rx.enabled && d->tx.enabled) {
                d->state = 1;
            }
            break;
        case VHOST_USER_SET_VRING_KICK:
        case VHOST_USER_SET_VRING_CALL:
            if (fd >= 0) {
                close(fd);      /* We poll, and so does vhost-gen. */
            }
            break;
        default:
            break;
        }
    }
    d->state = -1;
    return NULL;
}

/* --- Copying. --------------------------------------------------------- */

/* Address of a descriptor's buffer. */
static uint8_t *
buffer(const struct device *d, const struct vring_desc *desc)
{
    uint64_t ofs = desc->addr - d->region.guest_address;

    if (ofs >= d->region.size || desc->len > d->region.size - ofs) {
        abort();
    }
    return d->memory + ofs;
}

static void
prefetch(const struct device *src, const struct vring_desc *from,
         const struct device *dst, const struct vring_desc *to)
{
    const uint8_t *s = buffer(src, from);
    const uint8_t *d = buffer(dst, to);

    for (uint32_t ofs = 0; ofs < from->len; ofs += 64) {
        __builtin_prefetch(s + ofs, 0, 3);
        __builtin_prefetch(d + ofs, 1, 3);
    }
}

/* Copies a batch of what 'src' sends to 'dst'.  What finds no buffer waits. */
static void
copy_batch(struct device *src, struct device *dst)
{
    struct queue *tx = &src->tx, *rx = &dst->rx;
    uint16_t tx_mask = tx->size - 1, rx_mask = rx->size - 1;
    uint16_t n = __atomic_load_n(&tx->avail->idx, __ATOMIC_ACQUIRE) - tx->next;
    uint16_t room = (__atomic_load_n(&rx->avail->idx, __ATOMIC_ACQUIRE)
                     - rx->next);
    struct vring_desc from[BATCH], to[BATCH];
    uint16_t from_id[BATCH], to_id[BATCH];

    n = n < BATCH ? n : BATCH;
    n = n < room ? n : room;
    if (!n) {
        return;
    }
    for (int i = 0; i < n; i++) {
        from_id[i] = tx->avail->ring[(tx->next + i) & tx_mask] & tx_mask;
        to_id[i] = rx->avail->ring[(rx->next + i) & rx_mask] & rx_mask;
        __builtin_prefetch(&tx->desc[from_id[i]]);
        __builtin_prefetch(&rx->desc[to_id[i]]);
    }
    for (int i = 0; i < n; i++) {
        from[i] = tx->desc[from_id[i]];
        to[i] = rx->desc[to_id[i]];
        if (from[i].len > to[i].len) {
            abort();
        }
    }
    for (int i = 0; i < n && i < PREFETCH_AHEAD; i++) {
        prefetch(src, &from[i], dst, &to[i]);
    }
    for (int i = 0; i < n; i++) {
        if (i + PREFETCH_AHEAD < n) {
            prefetch(src, &from[i + PREFETCH_AHEAD],
                     dst, &to[i + PREFETCH_AHEAD]);
        }
        uint8_t *d = buffer(dst, &to[i]);

        memcpy(d, buffer(src, &from[i]), from[i].len);
        ((struct virtio_net_hdr_mrg_rxbuf *) d)->num_buffers = 1;
    }
    for (int i = 0; i < n; i++) {
        tx->used->ring[tx->next++ & tx_mask]
            = (struct vring_used_elem) { from_id[i], 0 };
        rx->used->ring[rx->next++ & rx_mask]
            = (struct vring_used_elem) { to_id[i], from[i].len };
    }
    __atomic_store_n(&rx->used->idx, rx->next, __ATOMIC_RELEASE);
    __atomic_store_n(&tx->used->idx, tx->next, __ATOMIC_RELEASE);
}

static int
listen_on(const char *path)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);

    strncpy(address.sun_path, path, sizeof address.sun_path - 1);
    unlink(path);
    if (bind(fd, (struct sockaddr *) &address, sizeof address)
        || listen(fd, 1)) {
        perror(path);
        exit(EXIT_FAILURE);
    }
    return fd;
}

int
main(int argc, char *argv[])
{
    if (argc != 3) {
        fputs("usage: vhost-yardstick SOCKET-A SOCKET-B\n", stderr);
        return EXIT_FAILURE;
    }
    int listeners[2] = { listen_on(argv[1]), listen_on(argv[2]) };

    for (;;) {
        struct device devices[2];
        pthread_t threads[2];

        for (int i = 0; i < 2; i++) {
            memset(&devices[i], 0, sizeof devices[i]);
            devices[i].fd = accept(listeners[i], NULL, NULL);
        }
        for (int i = 0; i < 2; i++) {
            pthread_create(&threads[i], NULL, serve, &devices[i]);
        }
        while (!devices[0].state || !devices[1].state) {
            _mm_pause();
        }
        while (devices[0].state == 1 && devices[1].state == 1) {
            copy_batch(&devices[0], &devices[1]);
            copy_batch(&devices[1], &devices[0]);
        }
        for (int i = 0; i < 2; i++) {
            shutdown(devices[i].fd, SHUT_RDWR);
            pthread_join(threads[i], NULL);
            munmap(devices[i].memory, devices[i].region.size);
            close(devices[i].fd);
        }
    }
}
