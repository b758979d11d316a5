/* A guest behind an IOMMU that forgets: each frame arrives once and in order,
 * whatever is unmapped at whatever moment.
 *
 *     test-iotlb split|packed [FRAMES]
 *
 * The guest sends numbered frames on its transmit queue; the back-end checks
 * them and sends each back on the receive queue, where the guest checks them
 * again.  Meanwhile another thread, which is the front-end, answers what the
 * back-end misses, page by page, and takes mappings away again: single pages
 * and everything, the rings included, as guests with a lazy IOMMU do. */
#include <config.h>
#include "vhost/vhost.h"

#include <endian.h>
#include <linux/virtio_config.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "openvswitch/thread.h"
#include "openvswitch/vlog.h"
#include "ovs-thread.h"
#include "tests/vhost/front-end.h"
#include "util.h"

#define BIT(N) (1ULL << (N))
#define HDR 12                  /* Of virtio-net, with VERSION_1. */
#define LEN 100
#define IOVA 0x700000000000ull  /* Where the guest maps its memory. */

static struct vhost_device *device;
static struct front_end fe;
static int channel;             /* Our end of the back-end's channel. */
static bool stopping;
static unsigned int n_misses, n_invalidations;

/* --- The back-end --- */

static uint32_t
number_of(const uint8_t *frame)
{
    uint32_t number;

    memcpy(&number, frame, sizeof number);
    return number;
}

static unsigned int
receive(struct vhost_queue *queue, struct vhost_thread *thread OVS_UNUSED,
        unsigned int budget OVS_UNUSED, void *aux OVS_UNUSED)
{
    static struct vhost_packet packets[VHOST_BATCH];
    static uint32_t next;
    struct vhost_packet *pointers[VHOST_BATCH];
    struct vhost_notifier notifier = { .n = 0 };
    unsigned int n = vhost_receive(queue, packets, VHOST_BATCH);

    for (unsigned int i = 0; i < n; i++) {
        FE_CHECK(packets[i].len == LEN);
        FE_CHECK(number_of(packets[i].head) == next);
        next++;
        pointers[i] = &packets[i];
    }
    if (n) {
        struct vhost_queue *to = vhost_device_receive_queue(device, 0);

        FE_CHECK(to);
        vhost_transmit(to, pointers, n, VHOST_FINISH, &notifier);
    }
    vhost_receive_done(queue, &notifier);
    vhost_notify(&notifier);
    return n;
}

/* --- The front-end --- */

/* Each buffer is in a page of its own; the rings are elsewhere. */
static uint64_t
buffer(int ring, uint16_t id)
{
    return ring * FE_MEMORY + fe_buffer(id);
}

static void
send_iotlb(uint8_t type, uint64_t iova, uint64_t size)
{
    struct vhost_user_iotlb msg = {
        .iova = iova, .size = size, .type = type,
        .user_address = (uintptr_t) fe.memory + (iova - IOVA),
        .permissions = VHOST_ACCESS_RW,
    };
    union vhost_user_payload reply;

    /* As QEMU does: it waits until the back-end has obeyed. */
    fe_send_fds(&fe, VHOST_USER_IOTLB_MSG,
                VHOST_USER_VERSION | VHOST_USER_NEED_REPLY, &msg, sizeof msg,
                NULL, 0);
    FE_CHECK(fe_reply(&fe, VHOST_USER_IOTLB_MSG, &reply, NULL) == 8);
    FE_CHECK(!reply.u64);
}

/* Answers one miss, if there is one. */
static bool
answer_miss(void)
{
    struct vhost_user_header header;
    struct vhost_user_iotlb msg;

    if (recv(channel, &header, sizeof header, MSG_DONTWAIT)
        != sizeof header) {
        return false;
    }
    FE_CHECK(header.request == VHOST_USER_BACKEND_IOTLB_MSG);
    FE_CHECK(recv(channel, &msg, sizeof msg, MSG_WAITALL) == sizeof msg);
    FE_CHECK(msg.type == VHOST_IOTLB_MISS);
    FE_CHECK(msg.iova >= IOVA && msg.iova < IOVA + 2 * FE_MEMORY);
    send_iotlb(VHOST_IOTLB_UPDATE, msg.iova & ~0xfffull, 4096);
    n_misses++;
    return true;
}

static void
forget_something(void)
{
    int dice = random() % 16;

    if (!dice) {
        send_iotlb(VHOST_IOTLB_INVALIDATE, 0, UINT64_MAX);
    } else if (dice < 4) {
        /* A ring, or a part of it. */
        send_iotlb(VHOST_IOTLB_INVALIDATE,
                   IOVA + FE_MEMORY / 2 + random() % 32 * 4096, 4096);
    } else {
        send_iotlb(VHOST_IOTLB_INVALIDATE,
                   IOVA + buffer(random() % 2, random() % FE_RING),
                   4096 << random() % 4);
    }
    n_invalidations++;
}

static void *
front_end_main(void *aux OVS_UNUSED)
{
    while (!__atomic_load_n(&stopping, __ATOMIC_RELAXED)) {
        if (!answer_miss()) {
            usleep(20);
        }
        if (!(random() % 16)) {
            forget_something();
        }
    }
    return NULL;
}

static void
connect_device(const char *path, bool packed)
{
    int socks[2];

    fe_connect(&fe, path);
    fe_negotiate(&fe, BIT(VIRTIO_F_VERSION_1) | BIT(VIRTIO_F_ACCESS_PLATFORM)
                 | (packed ? BIT(VIRTIO_F_RING_PACKED) : 0),
                 BIT(VHOST_USER_PROTOCOL_F_BACKEND_REQ)
                 | BIT(VHOST_USER_PROTOCOL_F_REPLY_ACK));
    FE_CHECK(!socketpair(AF_UNIX, SOCK_STREAM, 0, socks));
    channel = socks[0];
    fe.ring_base = IOVA;
    for (unsigned int i = 0; i < 2; i++) {
        fe_start_ring(&fe, i, FE_RING, packed ? 0x80008000 : 0);
    }
    /* Later than the first miss. */
    fe_send_fds(&fe, VHOST_USER_SET_BACKEND_REQ_FD, VHOST_USER_VERSION, NULL,
                0, &socks[1], 1);
    close(socks[1]);
}

/* --- The guest --- */

static void
offer(int ring, uint16_t id)
{
    struct fe_ring *r = &fe.rings[ring];

    fe_desc(r, r->packed ? 0 : id, IOVA + buffer(ring, id),
            ring ? HDR + LEN : 2048, ring ? 0 : VRING_DESC_F_WRITE,
            r->packed ? id : 0);
    fe_offer(r, id);
}

static void
send_frame(uint32_t number)
{
    uint8_t *p = fe_at(&fe, buffer(1, number % FE_RING));

    memset(p, 0, HDR + LEN);
    memcpy(p + HDR, &number, sizeof number);
    offer(1, number % FE_RING);
}

/* True if the buffer that was offered as the 'n'th has come back. */
static bool
came_back(int ring, uint32_t n)
{
    const struct fe_ring *r = &fe.rings[ring];

    return (r->packed
            ? fe_is_used(r, n % FE_RING, !(n / FE_RING % 2))
            : (int16_t) (fe_used_idx(r) - (uint16_t) n) > 0);
}

static void
run_guest(uint32_t n_frames)
{
    uint32_t sent = 0, returned = 0, received = 0;

    for (uint16_t id = 0; id < FE_RING; id++) {
        offer(0, id);
    }
    while (received < n_frames) {
        uint32_t before = received;

        FE_AWAIT(came_back(0, received)
                 || (sent < n_frames && sent - received < FE_RING / 2));
        while (sent < n_frames && sent - received < FE_RING / 2
               && (sent - returned < FE_RING || came_back(1, returned))) {
            returned += sent - returned == FE_RING;
            send_frame(sent++);
        }
        while (came_back(0, received)) {
            FE_CHECK(number_of(fe_at(&fe, buffer(0, received % FE_RING))
                               + HDR) == received);
            offer(0, received++ % FE_RING);
        }
        if (received == before) {
            usleep(10);
        }
    }
}

int
main(int argc, char *argv[])
{
    static const struct vhost_device_ops ops = { .receive = receive };
    struct vhost_pool_config pool_config = {
        .n_threads = 1, .name = "service",
    };
    char template[] = "/tmp/test-iotlb.XXXXXX";
    char *dir = mkdtemp(template);
    char *path = xasprintf("%s/socket", dir);
    struct vhost_device_config config = {
        .name = "port", .path = path, .uid = -1, .gid = -1, .mode = -1,
        .max_queue_pairs = 1, .ops = &ops,
    };
    bool packed = argc > 1 && !strcmp(argv[1], "packed");
    uint32_t n_frames = argc > 2 ? atoi(argv[2]) : 20000;
    char *error;

    set_program_name(argv[0]);
    vlog_set_levels(NULL, VLF_SYSLOG, VLL_OFF);
    srandom(1);
    vhost_init();
    if (vhost_pool_create(&pool_config, &config.pool, &error)
        || vhost_device_create(&config, &device, &error)) {
        ovs_fatal(0, "%s", error);
    }
    connect_device(path, packed);
    pthread_t thread = ovs_thread_create("front-end", front_end_main, NULL);
    run_guest(n_frames);
    __atomic_store_n(&stopping, true, __ATOMIC_RELAXED);
    xpthread_join(thread, NULL);

    struct vhost_device_status status;
    vhost_device_get_status(device, &status);
    FE_CHECK(status.running && !status.error[0]);
    FE_CHECK(n_invalidations > 0);
    printf("ok %s: %"PRIu32" frames, %u misses, %u invalidations\n",
           packed ? "packed" : "split", n_frames, n_misses, n_invalidations);
    close(channel);
    fe_close(&fe);
    vhost_device_destroy(device, false);
    vhost_pool_destroy(config.pool);
    vhost_exit();
    rmdir(dir);
    free(path);
    return 0;
}
