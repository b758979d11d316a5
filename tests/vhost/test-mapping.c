/* What lies between a guest's addresses and ours: the dirty log, that has to
 * know what we wrote, and the guest's IOMMU. */
#include <config.h>
#include "tests/vhost/test-vhost.h"

#include <linux/virtio_config.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "util.h"

/* --- The dirty log --- */

/* Page number of part 'part' (descriptors 0, device area 8) of ring
 * 'index'. */
#define RING_PAGE(INDEX, PART) (FE_MEMORY / 2 / 4096 + (INDEX) * 16 + (PART))

/* Expects the 'n' pages of 'pages' to be marked and no others, and clears all.
 * The pool may have asked for kicks, or not to have them, besides: the device
 * areas of both rings may be marked. */
static void
expect_pages(uint8_t *log, const unsigned int pages[], size_t n)
{
    uint8_t expected[2 * FE_MEMORY / 4096 / 8] = { 0 };

    for (size_t i = 0; i < n; i++) {
        FE_AWAIT(log[pages[i] / 8] >> pages[i] % 8 & 1);
        expected[pages[i] / 8] |= 1 << pages[i] % 8;
    }
    for (int i = 0; i < 2; i++) {
        unsigned int page = RING_PAGE(i, 8);

        expected[page / 8] |= log[page / 8] & (1 << page % 8);
    }
    for (size_t i = 0; i < sizeof expected; i++) {
        FE_CHECK(log[i] == expected[i]);
        log[i] = 0;
    }
}

void
test_dirty_log(void)
{
    static const uint64_t features[] = { SPLIT, PACKED };

    for (int i = 0; i < 2; i++) {
        const size_t log_size = 2 * FE_MEMORY / 4096 / 8;
        struct front_end fe;
        union vhost_user_payload payload;

        create_device();
        fe_connect(&fe, path);
        fe_negotiate(&fe, features[i], BIT(VHOST_USER_PROTOCOL_F_LOG_SHMFD));
        for (unsigned int j = 0; j < 2; j++) {
            fe_start_ring(&fe, j, FE_RING, i ? 0x80008000 : 0);
        }
        FE_AWAIT(status().running);
        expect_works(&fe);

        /* Migration begins. */
        int fd = memfd_create("log", MFD_CLOEXEC);
        FE_CHECK(!ftruncate(fd, log_size));
        uint8_t *log = mmap(NULL, log_size, PROT_READ | PROT_WRITE, MAP_SHARED,
                            fd, 0);
        struct vhost_user_log base = { .mmap_size = log_size };
        fe_send_fds(&fe, VHOST_USER_SET_LOG_BASE, VHOST_USER_VERSION, &base,
                    sizeof base, &fd, 1);
        FE_CHECK(fe_reply(&fe, VHOST_USER_SET_LOG_BASE, &payload, NULL) >= 0);
        fe_send_u64(&fe, VHOST_USER_SET_FEATURES,
                    fe.features | BIT(VHOST_F_LOG_ALL), -1);
        fe_get_u64(&fe, VHOST_USER_GET_FEATURES);

        /* A packet that crosses into the third page; the ring. */
        fe_desc(&fe.rings[0], 0, fe_buffer(2) - 100, 4000, WRITE, 0);
        fe_offer(&fe.rings[0], 0);
        FE_AWAIT(transmit(1, 1000, VHOST_TRY) == 1);
        expect_pages(log, (unsigned int[]) { 1, 2, RING_PAGE(0, i ? 0 : 8) },
                     3);

        /* What the guest sends is only read. */
        expect_works(&fe);
        expect_pages(log, (unsigned int[]) { RING_PAGE(1, i ? 0 : 8) }, 1);

        /* It ends. */
        fe_send_u64(&fe, VHOST_USER_SET_FEATURES, fe.features, -1);
        fe_get_u64(&fe, VHOST_USER_GET_FEATURES);
        memset(log, 0, log_size);
        fe_desc(&fe.rings[0], 0, fe_buffer(2), 4000, WRITE, 0);
        fe_offer(&fe.rings[0], 0);
        FE_AWAIT(transmit(1, 1000, VHOST_TRY) == 1);
        expect_pages(log, NULL, 0);
        munmap(log, log_size);
        close(fd);
        fe_close(&fe);
        vhost_device_destroy(device, false);
    }
}

/* --- Behind an IOMMU --- */

#define IOVA 0x700000000000ull  /* Where the guest maps its memory. */

static void
send_iotlb(struct front_end *fe, uint8_t type, uint64_t iova, uint64_t size)
{
    struct vhost_user_iotlb msg = {
        .iova = iova, .size = size, .type = type,
        .user_address = (uintptr_t) fe->memory + (iova - IOVA),
        .permissions = VHOST_ACCESS_RW,
    };

    fe_send(fe, VHOST_USER_IOTLB_MSG, &msg, sizeof msg);
}

/* Answers what the back-end asks for on 'sock', with single pages, until
 * CONDITION. */
#define ANSWER_UNTIL(CONDITION)                                             \
    FE_AWAIT((answer_misses(&fe, socks[0], &n_misses), (CONDITION)))

static void
answer_misses(struct front_end *fe, int sock, unsigned int *n)
{
    struct vhost_user_header header;
    struct vhost_user_iotlb msg;

    while (recv(sock, &header, sizeof header, MSG_DONTWAIT) == sizeof header) {
        FE_CHECK(header.request == VHOST_USER_BACKEND_IOTLB_MSG);
        FE_CHECK(header.size == sizeof msg);
        FE_CHECK(recv(sock, &msg, sizeof msg, MSG_WAITALL) == sizeof msg);
        FE_CHECK(msg.type == VHOST_IOTLB_MISS);
        ++*n;
        if (msg.iova >= IOVA && msg.iova < IOVA + 2 * FE_MEMORY) {
            send_iotlb(fe, VHOST_IOTLB_UPDATE, msg.iova & ~0xfffull, 4096);
        }
    }
}

void
test_iotlb(void)
{
    static const uint64_t features[] = { SPLIT, PACKED };

    for (int i = 0; i < 2; i++) {
        struct front_end fe;
        unsigned int n_misses = 0, n;
        int socks[2];

        create_device();
        fe_connect(&fe, path);
        fe_negotiate(&fe, features[i] | BIT(VIRTIO_F_ACCESS_PLATFORM),
                     BIT(VHOST_USER_PROTOCOL_F_BACKEND_REQ)
                     | BIT(VHOST_USER_PROTOCOL_F_REPLY_ACK));
        FE_CHECK(!socketpair(AF_UNIX, SOCK_STREAM, 0, socks));
        fe_send_fds(&fe, VHOST_USER_SET_BACKEND_REQ_FD, VHOST_USER_VERSION,
                    NULL, 0, &socks[1], 1);
        close(socks[1]);
        fe.ring_base = IOVA;
        for (unsigned int j = 0; j < 2; j++) {
            fe_start_ring(&fe, j, FE_RING, i ? 0x80008000 : 0);
        }
        ANSWER_UNTIL(status().running);
        FE_CHECK(n_misses >= 4);

        /* A frame in two pages, neither known yet. */
        struct fe_ring *r = &fe.rings[1];
        n = frames();
        n_misses = 0;
        fill_frame(&fe, 0x1f00, 3, 1000);
        fe_desc(r, 0, IOVA + 0x1f00, HDR + 1000, 0, 0);
        fe_offer(r, 0);
        ANSWER_UNTIL(frames() == n + 1);
        FE_CHECK(n_misses == 2);
        expect_frame(n, 3, 1000);

        /* Once invalidated it's asked for again; the ring, too. */
        send_iotlb(&fe, VHOST_IOTLB_INVALIDATE, IOVA, 2 * FE_MEMORY);
        fe_get_u64(&fe, VHOST_USER_GET_FEATURES);   /* It's done. */
        FE_CHECK(status().running);
        fe_desc(r, 0, IOVA + 0x1f00, HDR + 1000, 0, 0);
        fe_offer(r, 0);
        ANSWER_UNTIL(frames() == n + 2);
        FE_CHECK(n_misses >= 6);

        /* Addresses that aren't mapped at all wait in vain, and cost nobody
         * else: the receive queue works. */
        fe_desc(r, 0, 0x1234000, HDR + 1000, 0, 0);
        fe_offer(r, 0);
        n = n_misses;
        ANSWER_UNTIL(n_misses > n);
        fe_desc(&fe.rings[0], 0, IOVA + 0x5000, 1000, WRITE, 0);
        fe_offer(&fe.rings[0], 0);
        ANSWER_UNTIL(transmit(1, 100, VHOST_TRY) == 1);
        check_frame(fe_at(&fe, 0x5000), 1, 1, 0, HDR + 100);
        FE_CHECK(!queue_stats(1).broken && !queue_stats(1).bad_chains);
        close(socks[0]);
        fe_close(&fe);
        FE_AWAIT(!status().connected);
        vhost_device_destroy(device, false);
    }
}
