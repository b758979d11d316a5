/* Transmit queues: chains of descriptors that are right, wrong, or change as
 * they are read. */
#include <config.h>
#include "tests/vhost/test-vhost.h"

#include <endian.h>
#include <linux/virtio_net.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "openvswitch/thread.h"
#include "ovs-thread.h"
#include "util.h"

static void
good_chains(uint64_t features)
{
    struct front_end fe;
    unsigned int n = 0;

    create_device();
    fe_start(&fe, path, features, 2);
    FE_AWAIT(status().running);
    struct fe_ring *r = &fe.rings[1];
    uint64_t b = fe_buffer(1);

    /* One buffer, of all interesting lengths. */
    for (size_t len = 14; len < 300; len++) {
        fill_frame(&fe, b, len, len);
        fe_desc(r, 0, b, HDR + len, 0, 0);
        fe_offer(r, 0);
        expect_frame(n++, len, len);
    }
    /* Header and frame apart. */
    fill_frame(&fe, b, 1, 1000);
    fe_desc(r, 0, b, HDR, NEXT, 1);
    fe_desc(r, 1, b + HDR, 1000, 0, 0);
    fe_offer(r, 0);
    expect_frame(n++, 1, 1000);
    /* In pieces that break everywhere. */
    for (uint16_t i = 0; i < 50; i++) {
        fe_desc(r, i, b + i * 7, 7, i < 49 ? NEXT : 0, i + 1);
    }
    fe_offer(r, 0);
    expect_frame(n++, 1, 350 - HDR);
    /* Across two regions. */
    fill_frame(&fe, FE_MEMORY - 100, 5, 500);
    fe_desc(r, 0, FE_MEMORY - 100, HDR + 500, 0, 0);
    fe_offer(r, 0);
    expect_frame(n++, 5, 500);
    /* An indirect table, which itself lies across two regions. */
    struct vring_desc table[3] = {
        { htole64(b), htole32(HDR), htole16(NEXT), htole16(1) },
        { htole64(b + HDR), htole32(30), htole16(NEXT), htole16(2) },
        { htole64(b + HDR + 30), htole32(170), 0, 0 },
    };
    fill_frame(&fe, b, 9, 200);
    memcpy(fe_at(&fe, FE_MEMORY - 24), table, sizeof table);
    fe_desc(r, 0, FE_MEMORY - 24, sizeof table, INDIRECT, 0);
    fe_offer(r, 0);
    expect_frame(n++, 9, 200);
    /* The longest frame. */
    b = fe_buffer(64);
    fill_frame(&fe, b, 3, VHOST_MAX_FRAME);
    fe_desc(r, 0, b, HDR + VHOST_MAX_FRAME, 0, 0);
    fe_offer(r, 0);
    expect_frame(n++, 3, VHOST_MAX_FRAME);

    FE_CHECK(!queue_stats(1).bad_chains);
    FE_CHECK(queue_stats(1).packets == n);
    fe_close(&fe);
    vhost_device_destroy(device, false);
}

void
test_good_chains_split(void)
{
    good_chains(SPLIT);
}

void
test_good_chains_packed(void)
{
    good_chains(PACKED);
}

/* A chain that is wrong in itself costs that packet only. */
static void
bad_chains(uint64_t features)
{
    uint64_t b = fe_buffer(1), table_at = fe_buffer(20);
    struct front_end fe;
    uint64_t n_bad = 0;

    create_device();
    fe_start(&fe, path, features, 2);
    FE_AWAIT(status().running);
    struct fe_ring *r = &fe.rings[1];
    struct vring_desc *table = (void *) fe_at(&fe, table_at);

#define BAD(...)                                                \
    do {                                                        \
        __VA_ARGS__;                                            \
        fe_offer(r, 0);                                         \
        n_bad++;                                                \
        FE_AWAIT(queue_stats(1).bad_chains == n_bad);           \
        FE_CHECK(!queue_stats(1).broken);                       \
        expect_works(&fe);                                      \
    } while (0)
#define TABLE(I, ADDR, LEN, FLAGS, NEXT_)                               \
    (table[I] = (struct vring_desc) { htole64(ADDR), htole32(LEN),      \
                                      htole16(FLAGS), htole16(NEXT_) })

    fill_frame(&fe, b, 0, 1000);
    BAD(fe_desc(r, 0, 0x7f0000000000, HDR + 100, 0, 0));
    BAD(fe_desc(r, 0, 2 * FE_MEMORY - 50, HDR + 100, 0, 0));
    BAD(fe_desc(r, 0, UINT64_MAX - 50, HDR + 100, 0, 0));
    BAD(fe_desc(r, 0, b, UINT32_MAX, 0, 0));
    BAD(fe_desc(r, 0, b, 0, 0, 0));
    BAD(fe_desc(r, 0, b, HDR, 0, 0));
    BAD(fe_desc(r, 0, b, HDR + 13, 0, 0));
    BAD(fe_desc(r, 0, b, HDR + VHOST_MAX_FRAME + 1, 0, 0));
    BAD(fe_desc(r, 0, b, HDR + 100, WRITE, 0));
    BAD(fe_desc(r, 0, b, HDR + 100, NEXT, 1);
        fe_desc(r, 1, b, 100, WRITE, 0));
    BAD(fe_desc(r, 0, b, HDR + 100, NEXT, 1);
        fe_desc(r, 1, 0x7f0000000000, 100, 0, 0));
    /* 32 bits of length overflow. */
    BAD(fe_desc(r, 0, b, 0xfffffff0, NEXT, 1);
        fe_desc(r, 1, b, 0x80, 0, 0));
    /* Indirect tables: empty, odd, nested, far away, cut off, looping. */
    BAD(fe_desc(r, 0, table_at, 0, INDIRECT, 0));
    BAD(fe_desc(r, 0, table_at, 17, INDIRECT, 0));
    BAD(fe_desc(r, 0, 0x7f0000000000, 16, INDIRECT, 0));
    BAD(TABLE(0, table_at, 16, INDIRECT, 0);
        fe_desc(r, 0, table_at, 16, INDIRECT, 0));
    BAD(TABLE(0, 0x7f0000000000, 1000, 0, 0);
        fe_desc(r, 0, table_at, 16, INDIRECT, 0));
    if (!(features & BIT(VIRTIO_F_RING_PACKED))) {
        BAD(TABLE(0, b, 20, NEXT, 1);
            fe_desc(r, 0, table_at, 16, INDIRECT, 0));
        BAD(TABLE(0, b, 20, NEXT, 0);
            fe_desc(r, 0, table_at, 16, INDIRECT, 0));
        BAD(TABLE(0, b, 0, NEXT, 0);
            fe_desc(r, 0, table_at, 16, INDIRECT, 0));
        BAD(TABLE(0, b, 200, 0, 0);
            fe_desc(r, 0, table_at, 16, INDIRECT | NEXT, 0));
    }
    /* More buffers than we take. */
    BAD(for (int i = 0; i < 100; i++) {
            TABLE(i, b + i, 1, i < 99 ? NEXT : 0, i + 1);
        }
        fe_desc(r, 0, table_at, 100 * 16, INDIRECT, 0));
#undef BAD
    FE_CHECK(!status().error[0]);
    fe_close(&fe);
    vhost_device_destroy(device, false);
}

void
test_bad_chains_split(void)
{
    bad_chains(SPLIT);
}

void
test_bad_chains_packed(void)
{
    bad_chains(PACKED);
}

/* A ring that breaks a rule stops, tells, and works again after a reset. */
static void
broken_ring(uint64_t features, void (*break_it)(struct front_end *))
{
    struct front_end fe;
    uint64_t count;

    create_device();
    fe_start(&fe, path, features, 2);
    FE_AWAIT(status().running);
    expect_works(&fe);
    break_it(&fe);
    FE_AWAIT(queue_stats(1).broken);
    FE_AWAIT(status().error[0]);
    FE_AWAIT(!status().running);
    FE_AWAIT(!eventfd_read(fe.rings[1].err, &count));

    /* The guest resets the device: the front-end stops the ring and starts it
     * again, or it comes back itself. */
    union vhost_user_payload payload;
    fe_send_state(&fe, VHOST_USER_GET_VRING_BASE, 1, 0);
    FE_CHECK(fe_reply(&fe, VHOST_USER_GET_VRING_BASE, &payload, NULL) == 8);
    struct fe_ring *r = &fe.rings[1];
    int fds[] = { r->kick, r->call, r->err };
    memset(r->desc, 0, FE_RING * sizeof *r->desc);
    memset(r->avail, 0, 4);
    memset(r->used, 0, 4);
    r->next = 0;
    fe_start_ring(&fe, 1, FE_RING, r->packed ? 0x80008000 : 0);
    FE_AWAIT(status().running);
    FE_CHECK(!status().error[0]);
    expect_works(&fe);
    for (size_t i = 0; i < ARRAY_SIZE(fds); i++) {
        close(fds[i]);
    }
    fe_close(&fe);
    FE_AWAIT(!status().connected);

    expect_connects(features);
    vhost_device_destroy(device, false);
}

static void
break_avail_head(struct front_end *fe)
{
    fe_offer(&fe->rings[1], FE_RING);
}

static void
break_avail_index(struct front_end *fe)
{
    fe->rings[1].next += 40000;
    fe_offer(&fe->rings[1], 0);
}

static void
break_next(struct front_end *fe)
{
    fe_desc(&fe->rings[1], 0, fe_buffer(1), HDR + 100, NEXT, 60000);
    fe_offer(&fe->rings[1], 0);
}

static void
break_loop(struct front_end *fe)
{
    fe_desc(&fe->rings[1], 0, fe_buffer(1), HDR, NEXT, 1);
    fe_desc(&fe->rings[1], 1, fe_buffer(1), 0, NEXT, 0);
    fe_offer(&fe->rings[1], 0);
}

static void
break_packed_endless(struct front_end *fe)
{
    struct fe_ring *r = &fe->rings[1];

    for (int i = 1; i < FE_RING + 10; i++) {
        fe_desc(r, i, fe_buffer(1), 0, NEXT, 0);
    }
    fe_desc(r, 0, fe_buffer(1), 0, NEXT, 0);
    /* Whatever slot we are at now, all of them go on. */
    for (int i = 0; i < FE_RING; i++) {
        r->packed_desc[i].flags |= htole16(NEXT);
    }
    r->head_slot = 1;
    r->head_flags = NEXT | 1 << VRING_PACKED_DESC_F_AVAIL;
    fe_offer(r, 0);
}

void
test_broken_rings(void)
{
    broken_ring(SPLIT, break_avail_head);
    broken_ring(SPLIT, break_avail_index);
    broken_ring(SPLIT, break_next);
    broken_ring(SPLIT, break_loop);
    broken_ring(PACKED, break_packed_endless);
}

/* --- A ring that changes as it is read --- */

struct scribbler {
    struct front_end *fe;
    pthread_t thread;
    bool stop;
};

/* Writes to both rings, and to an indirect table, what the driver should not
 * write there and then. */
static void *
scribble(void *s_)
{
    struct scribbler *s = s_;
    const uint64_t table = fe_buffer(30);
    const uint64_t addrs[] = { fe_buffer(1), FE_MEMORY - 100, table, table,
                               2 * FE_MEMORY - 50, UINT64_MAX - 50 };
    static const uint32_t lens[] = { 0, 16, 64, HDR + 100, 60000, UINT32_MAX };
    unsigned int seed = 1;

    while (!__atomic_load_n(&s->stop, __ATOMIC_RELAXED)) {
        struct fe_ring *r = &s->fe->rings[rand_r(&seed) % 2];
        unsigned int i = rand_r(&seed) % FE_RING;
        uint64_t addr = addrs[rand_r(&seed) % ARRAY_SIZE(addrs)];
        uint32_t len = lens[rand_r(&seed) % ARRAY_SIZE(lens)];
        uint16_t flags = rand_r(&seed) % 8, next = rand_r(&seed) % FE_RING;
        struct vring_desc *d = (rand_r(&seed) % 4 ? &r->desc[i]
                                : (void *) fe_at(s->fe, table));

        if (r->packed) {
            r->packed_desc[i] = (struct vring_packed_desc) {
                addr, len, next, flags | (rand_r(&seed) & 0x8080),
            };
        } else {
            *d = (struct vring_desc) { addr, len, flags, next };
            r->avail->ring[i] = next;
            __atomic_store_n(&r->avail->idx,
                             fe_used_idx(r) + rand_r(&seed) % FE_RING,
                             __ATOMIC_RELEASE);
        }
        if (!(rand_r(&seed) % 64)) {
            fe_kick(r);
        }
    }
    return NULL;
}

void
test_changing_rings(void)
{
    static const uint64_t features[] = {
        SPLIT, PACKED, SPLIT | BIT(VIRTIO_NET_F_MRG_RXBUF),
        PACKED | BIT(VIRTIO_NET_F_MRG_RXBUF),
    };
    struct front_end fe;
    uint64_t n_packets = 0;

    create_device();
    for (int i = 0; i < 40; i++) {
        fe_start(&fe, path, features[i % ARRAY_SIZE(features)], 2);
        FE_AWAIT(status().running);
        struct scribbler s = { .fe = &fe };
        s.thread = ovs_thread_create("scribble", scribble, &s);
        /* Until it's found out, at most for a while. */
        for (int j = 0; j < 1000 && !queue_stats(0).broken; j++) {
            transmit(j, 60 + j, j % 2 ? VHOST_TRY : VHOST_FINISH);
        }
        n_packets += queue_stats(1).packets;
        __atomic_store_n(&s.stop, true, __ATOMIC_RELAXED);
        xpthread_join(s.thread, NULL);
        fe_close(&fe);
        FE_AWAIT(!status().connected);
    }
    FE_CHECK(n_packets > 0);            /* It did work on them. */
    expect_connects(SPLIT);
    vhost_device_destroy(device, false);
}
