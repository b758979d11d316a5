/* Receive queues: which buffers a packet is put into, and how. */
#include <config.h>
#include "tests/vhost/test-vhost.h"

#include <endian.h>
#include <linux/virtio_net.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "util.h"

static void
receive_split(uint64_t features, unsigned int n_descs)
{
    struct front_end fe;

    create_device();
    fe_start(&fe, path, features, 2);
    FE_AWAIT(status().running);
    struct fe_ring *r = &fe.rings[0];

    FE_CHECK(transmit(1, 100, VHOST_TRY) == 0);

    /* One chain of 'n_descs' buffers takes a packet. */
    for (uint16_t i = 0; i < n_descs; i++) {
        fe_desc(r, i, fe_buffer(1) + 100 * i, 100,
                WRITE | (i + 1u < n_descs ? NEXT : 0), i + 1);
    }
    fe_offer(r, 0);
    FE_AWAIT(transmit(7, 60 * n_descs, VHOST_TRY) == 1);
    FE_CHECK(fe_used_idx(r) == 1);
    FE_CHECK(r->used->ring[0].id == 0);
    FE_CHECK(r->used->ring[0].len == HDR + 60 * n_descs);
    check_frame(fe_at(&fe, fe_buffer(1)), 1, 7, 0, HDR + 60 * n_descs);
    uint64_t count;
    FE_CHECK(!eventfd_read(r->call, &count));
    fe_close(&fe);
    vhost_device_destroy(device, false);
}

/* A packet over several mergeable buffers, and one that waits for them. */
void
test_mergeable(void)
{
    struct front_end fe;

    create_device();
    fe_start(&fe, path, SPLIT | BIT(VIRTIO_NET_F_MRG_RXBUF), 2);
    FE_AWAIT(status().running);
    struct fe_ring *r = &fe.rings[0];

    for (uint16_t i = 0; i < 3; i++) {
        fe_desc(r, i, fe_buffer(i), 512, WRITE, 0);
        fe_offer(r, i);
    }
    FE_AWAIT(transmit(7, 1000, VHOST_TRY) == 1);
    FE_CHECK(fe_used_idx(r) == 2);
    check_frame(fe_at(&fe, fe_buffer(0)), 2, 7, 0, 512);
    check_frame(fe_at(&fe, fe_buffer(1)), 2, 7, 500, 500);

    /* One buffer is left: a long packet waits, and a short one behind it. */
    FE_CHECK(transmit(8, 1000, VHOST_FINISH) == 0);
    FE_CHECK(queue_stats(0).dropped == 1);
    FE_CHECK(transmit(8, 2100, VHOST_TRY) == 0);
    FE_CHECK(transmit(8, 2100, VHOST_FINISH) == 1);
    FE_CHECK(transmit(9, 100, VHOST_FINISH) == 1);
    FE_CHECK(fe_used_idx(r) == 2);
    FE_CHECK(queue_stats(0).overflowed == 2);
    FE_CHECK(!r->used->flags);          /* A kick is wanted. */
    for (uint16_t i = 3; i < 8; i++) {
        fe_desc(r, i, fe_buffer(i), 512, WRITE, 0);
        fe_offer(r, i);
    }
    FE_AWAIT(fe_used_idx(r) == 8);
    check_frame(fe_at(&fe, fe_buffer(2)), 5, 8, 0, 512);
    for (uint16_t i = 3; i < 7; i++) {
        check_frame(fe_at(&fe, fe_buffer(i)), 5, 8, 500 + 512 * (i - 3),
                    i < 6 ? 512 : 64);
    }
    check_frame(fe_at(&fe, fe_buffer(7)), 1, 9, 0, HDR + 100);

    /* More than may wait is dropped; what waits is bounded. */
    unsigned int kept = 0;
    while (transmit(1, 60000, VHOST_FINISH)) {
        FE_CHECK(++kept < 100);
    }
    FE_CHECK(kept >= 10);
    FE_CHECK(queue_stats(0).dropped == 2);
    fe_close(&fe);
    vhost_device_destroy(device, false);
}

void
test_receive_split(void)
{
    receive_split(SPLIT, 1);
    receive_split(SPLIT, 3);
    receive_split(SPLIT | BIT(VIRTIO_NET_F_MRG_RXBUF), 1);
    receive_split(SPLIT | BIT(VIRTIO_NET_F_MRG_RXBUF), 20);
}

void
test_receive_packed(void)
{
    struct front_end fe;

    create_device();
    fe_start(&fe, path, PACKED, 2);
    FE_AWAIT(status().running);
    struct fe_ring *r = &fe.rings[0];

    /* Round the ring several times. */
    bool wrap = true;
    uint16_t slot = 0;
    for (int i = 0; i < 3 * FE_RING + 5; i++) {
        fe_desc(r, 0, fe_buffer(1), 512, WRITE, i % 7);
        fe_offer(r, 0);
        FE_AWAIT(transmit(i, 100 + i, VHOST_TRY) == 1);
        FE_CHECK(fe_is_used(r, slot, wrap));
        FE_CHECK(r->packed_desc[slot].id == i % 7);
        FE_CHECK(r->packed_desc[slot].len == (uint32_t) HDR + 100 + i);
        check_frame(fe_at(&fe, fe_buffer(1)), 1, i, 0, HDR + 100 + i);
        if (++slot == FE_RING) {
            slot = 0;
            wrap = !wrap;
        }
    }
    FE_CHECK(transmit(1, 100, VHOST_TRY) == 0);
    fe_close(&fe);
    vhost_device_destroy(device, false);
}

/* Bad receive buffers are given back empty, and the next one is taken. */
void
test_bad_buffers(void)
{
    static const uint64_t features[] = { SPLIT, PACKED };

    for (int i = 0; i < 2; i++) {
        struct front_end fe;

        create_device();
        fe_start(&fe, path, features[i], 2);
        FE_AWAIT(status().running);
        struct fe_ring *r = &fe.rings[0];
#define BUFFER(ID, ADDR, LEN, FLAGS)                                    \
        do {                                                            \
            fe_desc(r, r->packed ? 0 : (ID), ADDR, LEN, FLAGS,          \
                    r->packed ? (ID) : 0);                              \
            fe_offer(r, ID);                                            \
        } while (0)
        BUFFER(0, fe_buffer(1), 512, 0);
        BUFFER(1, 0x7f0000000000, 512, WRITE);
        BUFFER(2, 2 * FE_MEMORY - 50, 512, WRITE);
        BUFFER(3, UINT64_MAX - 50, 512, WRITE);
        BUFFER(4, fe_buffer(1), 0, WRITE);
        BUFFER(5, fe_buffer(1), 512, WRITE);
#undef BUFFER
        FE_AWAIT(transmit(7, 100, VHOST_TRY) == 1);
        for (unsigned int id = 0; id < 6; id++) {
            uint32_t len = id == 5 ? HDR + 100 : 0;

            if (r->packed) {
                FE_CHECK(fe_is_used(r, id, true));
                FE_CHECK(r->packed_desc[id].id == id);
                FE_CHECK(r->packed_desc[id].len == len);
            } else {
                FE_CHECK(fe_used_idx(r) == 6);
                FE_CHECK(r->used->ring[id].id == id);
                FE_CHECK(r->used->ring[id].len == len);
            }
        }
        check_frame(fe_at(&fe, fe_buffer(1)), 1, 7, 0, HDR + 100);
        FE_CHECK(queue_stats(0).bad_chains == 5 && !queue_stats(0).broken);
        fe_close(&fe);
        vhost_device_destroy(device, false);
    }
}
