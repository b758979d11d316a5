/* A scripted vhost-user front-end: see front-end.h. */
#include <config.h>
#include "tests/vhost/front-end.h"

#include <endian.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "util.h"

void
fe_fail(const char *file, int line, const char *what)
{
    fflush(stdout);
    fprintf(stderr, "%s:%d: expected: %s\n", file, line, what);
    abort();
}

void
fe_connect(struct front_end *fe, const char *path)
{
    struct sockaddr_un sun = { .sun_family = AF_UNIX };

    memset(fe, 0, sizeof *fe);
    for (int i = 0; i < FE_QUEUES; i++) {
        fe->rings[i].kick = fe->rings[i].call = fe->rings[i].err = -1;
    }
    ovs_strlcpy(sun.sun_path, path, sizeof sun.sun_path);
    fe->sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    FE_AWAIT(!connect(fe->sock, (struct sockaddr *) &sun, sizeof sun));
    fe->memfd = memfd_create("front-end", MFD_CLOEXEC);
    FE_CHECK(!ftruncate(fe->memfd, 2 * FE_MEMORY));
    fe->memory = mmap(NULL, 2 * FE_MEMORY, PROT_READ | PROT_WRITE, MAP_SHARED,
                      fe->memfd, 0);
    FE_CHECK(fe->memory != MAP_FAILED);
}

void
fe_close(struct front_end *fe)
{
    close(fe->sock);
    close(fe->memfd);
    munmap(fe->memory, 2 * FE_MEMORY);
    for (int i = 0; i < FE_QUEUES; i++) {
        if (fe->rings[i].kick >= 0) {
            close(fe->rings[i].kick);
            close(fe->rings[i].call);
            close(fe->rings[i].err);
        }
    }
}

void
fe_send_fds(struct front_end *fe, uint32_t request, uint32_t flags,
            const void *payload, size_t size, const int fds[],
            unsigned int n_fds)
{
    struct vhost_user_header header = {
        .request = request, .flags = flags, .size = size,
    };
    struct iovec iov[2] = {
        { .iov_base = &header, .iov_len = sizeof header },
        { .iov_base = CONST_CAST(void *, payload), .iov_len = size },
    };
    char control[CMSG_SPACE(64 * sizeof(int))] __attribute__((aligned(8)));
    struct msghdr msg = { .msg_iov = iov, .msg_iovlen = 2 };

    if (n_fds) {
        msg.msg_control = control;
        msg.msg_controllen = CMSG_SPACE(n_fds * sizeof(int));
        struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(n_fds * sizeof(int));
        memcpy(CMSG_DATA(c), fds, n_fds * sizeof(int));
    }
    /* That the back-end has hung up is for the caller to find out. */
    ignore(sendmsg(fe->sock, &msg, MSG_NOSIGNAL));
}

void
fe_send(struct front_end *fe, uint32_t request, const void *payload,
        size_t size)
{
    fe_send_fds(fe, request, VHOST_USER_VERSION, payload, size, NULL, 0);
}

void
fe_send_u64(struct front_end *fe, uint32_t request, uint64_t value, int fd)
{
    fe_send_fds(fe, request, VHOST_USER_VERSION, &value, sizeof value, &fd,
                fd >= 0);
}

void
fe_send_state(struct front_end *fe, uint32_t request, uint32_t index,
              uint32_t num)
{
    struct vhost_user_vring_state state = { .index = index, .num = num };

    fe_send(fe, request, &state, sizeof state);
}

int
fe_reply(struct front_end *fe, uint32_t request,
         union vhost_user_payload *payload, int *fdp)
{
    struct vhost_user_header header;
    char control[CMSG_SPACE(sizeof(int))] __attribute__((aligned(8)));
    struct iovec iov = { .iov_base = &header, .iov_len = sizeof header };
    struct msghdr msg = {
        .msg_iov = &iov, .msg_iovlen = 1,
        .msg_control = control, .msg_controllen = sizeof control,
    };
    struct pollfd pfd = { .fd = fe->sock, .events = POLLIN };

    FE_CHECK(poll(&pfd, 1, 5000) == 1);
    if (recvmsg(fe->sock, &msg, MSG_WAITALL) != sizeof header) {
        return -1;
    }
    if (fdp) {
        struct cmsghdr *c = CMSG_FIRSTHDR(&msg);

        *fdp = -1;
        if (c && c->cmsg_type == SCM_RIGHTS) {
            memcpy(fdp, CMSG_DATA(c), sizeof *fdp);
        }
    }
    FE_CHECK(header.request == request);
    FE_CHECK(header.flags == (VHOST_USER_VERSION | VHOST_USER_REPLY));
    FE_CHECK(header.size <= sizeof *payload);
    if (header.size) {
        FE_CHECK(recv(fe->sock, payload, header.size, MSG_WAITALL)
                 == header.size);
    }
    return header.size;
}

uint64_t
fe_get_u64(struct front_end *fe, uint32_t request)
{
    union vhost_user_payload payload;

    fe_send(fe, request, NULL, 0);
    FE_CHECK(fe_reply(fe, request, &payload, NULL) == sizeof(uint64_t));
    return payload.u64;
}

bool
fe_hung_up(struct front_end *fe)
{
    struct pollfd pfd = { .fd = fe->sock, .events = POLLIN };
    uint8_t bytes[512];

    while (poll(&pfd, 1, 5000) == 1) {
        if (recv(fe->sock, bytes, sizeof bytes, 0) <= 0) {
            return true;
        }
    }
    return false;
}

void
fe_send_memory(struct front_end *fe)
{
    struct vhost_user_mem_table table = { .n = 2 };
    int fds[2] = { fe->memfd, fe->memfd };

    for (int i = 0; i < 2; i++) {
        table.regions[i] = (struct vhost_user_region) {
            .guest_address = i * FE_MEMORY,
            .size = FE_MEMORY,
            .user_address = (uintptr_t) fe->memory + i * FE_MEMORY,
            .mmap_offset = i * FE_MEMORY,
        };
    }
    fe_send_fds(fe, VHOST_USER_SET_MEM_TABLE, VHOST_USER_VERSION, &table,
                offsetof(struct vhost_user_mem_table, regions[2]), fds, 2);
}

void
fe_negotiate(struct front_end *fe, uint64_t features, uint64_t protocol)
{
    uint64_t offered = fe_get_u64(fe, VHOST_USER_GET_FEATURES);

    fe->features = features | 1ULL << VHOST_USER_F_PROTOCOL_FEATURES;
    FE_CHECK(!(fe->features & ~offered));
    offered = fe_get_u64(fe, VHOST_USER_GET_PROTOCOL_FEATURES);
    FE_CHECK(!(protocol & ~offered));
    fe->protocol_features = protocol;
    fe_send_u64(fe, VHOST_USER_SET_PROTOCOL_FEATURES, protocol, -1);
    fe_send(fe, VHOST_USER_SET_OWNER, NULL, 0);
    fe_send_u64(fe, VHOST_USER_SET_FEATURES, fe->features, -1);
    fe_send_memory(fe);
}

void
fe_start_ring(struct front_end *fe, unsigned int index, uint16_t size,
              uint32_t base)
{
    struct fe_ring *r = &fe->rings[index];
    uint8_t *at = fe->memory + FE_MEMORY / 2 + index * 0x10000;
    uint64_t ring_base = (fe->ring_base ? fe->ring_base
                          : (uintptr_t) fe->memory);
    struct vhost_user_vring_addr addr = {
        .index = index,
        .descriptor = ring_base + (at - fe->memory),
        .available = ring_base + (at - fe->memory) + 0x4000,
        .used = ring_base + (at - fe->memory) + 0x8000,
    };

    r->packed = fe->features >> 34 & 1;
    r->size = size;
    r->desc = (void *) at;
    r->packed_desc = (void *) at;
    r->avail = (void *) (at + 0x4000);
    r->used = (void *) (at + 0x8000);
    r->wrap = true;
    r->kick = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    r->call = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    r->err = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    fe_send_state(fe, VHOST_USER_SET_VRING_NUM, index, size);
    fe_send(fe, VHOST_USER_SET_VRING_ADDR, &addr, sizeof addr);
    fe_send_state(fe, VHOST_USER_SET_VRING_BASE, index, base);
    if (fe->inband) {
        uint64_t no_fd = index | VHOST_USER_VRING_NOFD;

        fe_send_u64(fe, VHOST_USER_SET_VRING_CALL, no_fd, -1);
        fe_send_u64(fe, VHOST_USER_SET_VRING_KICK, no_fd, -1);
    } else {
        fe_send_u64(fe, VHOST_USER_SET_VRING_CALL, index, r->call);
        fe_send_u64(fe, VHOST_USER_SET_VRING_ERR, index, r->err);
        fe_send_u64(fe, VHOST_USER_SET_VRING_KICK, index, r->kick);
    }
    fe_send_state(fe, VHOST_USER_SET_VRING_ENABLE, index, 1);
}

void
fe_start(struct front_end *fe, const char *path, uint64_t features,
         unsigned int n)
{
    fe_connect(fe, path);
    fe_negotiate(fe, features, 0);
    for (unsigned int i = 0; i < n; i++) {
        fe_start_ring(fe, i, FE_RING,
                      features >> 34 & 1 ? 0x80008000 : 0);
    }
    /* An answer means that all before it has been done. */
    fe_get_u64(fe, VHOST_USER_GET_FEATURES);
}

uint64_t
fe_buffer(unsigned int i)
{
    return i * 4096ull;
}

uint8_t *
fe_at(struct front_end *fe, uint64_t guest_address)
{
    return fe->memory + guest_address;
}

void
fe_desc(struct fe_ring *r, uint16_t i, uint64_t addr, uint32_t len,
        uint16_t flags, uint16_t id)
{
    if (!r->packed) {
        r->desc[i] = (struct vring_desc) {
            htole64(addr), htole32(len), htole16(flags), htole16(id),
        };
        return;
    }
    struct vring_packed_desc *d = &r->packed_desc[r->next];
    d->addr = htole64(addr);
    d->len = htole32(len);
    d->id = htole16(id);
    flags |= r->wrap ? 1 << VRING_PACKED_DESC_F_AVAIL
             : 1 << VRING_PACKED_DESC_F_USED;
    if (i) {
        d->flags = htole16(flags);
    } else {
        /* The driver writes the first descriptor's flags last. */
        r->head_slot = r->next;
        r->head_flags = flags;
    }
    if (++r->next == r->size) {
        r->next = 0;
        r->wrap = !r->wrap;
    }
}

void
fe_offer(struct fe_ring *r, uint16_t head)
{
    if (r->packed) {
        __atomic_store_n(&r->packed_desc[r->head_slot].flags,
                         htole16(r->head_flags), __ATOMIC_RELEASE);
    } else {
        r->avail->ring[r->next & (r->size - 1)] = htole16(head);
        r->next++;
        __atomic_store_n(&r->avail->idx, htole16(r->next), __ATOMIC_RELEASE);
    }
    fe_kick(r);
}

void
fe_kick(struct fe_ring *r)
{
    eventfd_write(r->kick, 1);
}

uint16_t
fe_used_idx(const struct fe_ring *r)
{
    return le16toh(__atomic_load_n(&r->used->idx, __ATOMIC_ACQUIRE));
}

bool
fe_is_used(const struct fe_ring *r, uint16_t slot, bool wrap)
{
    uint16_t flags = le16toh(__atomic_load_n(&r->packed_desc[slot].flags,
                                             __ATOMIC_ACQUIRE));
    bool avail = flags >> VRING_PACKED_DESC_F_AVAIL & 1;
    bool used = flags >> VRING_PACKED_DESC_F_USED & 1;

    return avail == used && used == wrap;
}
