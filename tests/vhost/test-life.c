/* Queues that stop and go on, and memory that changes under them. */
#include <config.h>
#include "tests/vhost/test-vhost.h"

#include <fcntl.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "util.h"

/* Guest memory is replaced, regions come and go while packets pass. */
void
test_memory_changes(void)
{
    struct front_end fe;

    create_device();
    fe_connect(&fe, path);
    fe_negotiate(&fe, SPLIT,
                 BIT(VHOST_USER_PROTOCOL_F_CONFIGURE_MEM_SLOTS));
    fe_start_ring(&fe, 0, FE_RING, 0);
    fe_start_ring(&fe, 1, FE_RING, 0);
    FE_AWAIT(status().running);

    struct vhost_user_single_region reg = {
        .region = {
            .guest_address = FE_MEMORY, .size = FE_MEMORY,
            .user_address = (uintptr_t) fe.memory + FE_MEMORY,
            .mmap_offset = FE_MEMORY,
        },
    };
    /* While packets pass that don't lie in what comes and goes: none is
     * lost. */
    unsigned int before = frames();
    struct load load;
    load_start(&load, &fe);
    for (int i = 0; i < 200; i++) {
        fe_send_memory(&fe);
        fe_send(&fe, VHOST_USER_REM_MEM_REG, &reg, sizeof reg);
        fe_send_fds(&fe, VHOST_USER_ADD_MEM_REG, VHOST_USER_VERSION, &reg,
                    sizeof reg, &fe.memfd, 1);
        fe_get_u64(&fe, VHOST_USER_GET_FEATURES);
    }
    load_stop(&load);
    FE_AWAIT(frames() == before + load.n);
    FE_CHECK(!queue_stats(1).bad_chains);

    struct fe_ring *r = &fe.rings[1];
    for (int i = 0; i < 50; i++) {
        uint64_t bad = queue_stats(1).bad_chains;
        unsigned int n = frames();

        expect_works(&fe);
        fe_send_memory(&fe);
        expect_works(&fe);
        fe_send(&fe, VHOST_USER_REM_MEM_REG, &reg, sizeof reg);
        fe_get_u64(&fe, VHOST_USER_GET_FEATURES);
        fill_frame(&fe, FE_MEMORY + 100, 50, 500);
        fe_desc(r, 0, FE_MEMORY + 100, HDR + 500, 0, 0);
        fe_offer(r, 0);
        FE_AWAIT(queue_stats(1).bad_chains == bad + 1);
        fe_send_fds(&fe, VHOST_USER_ADD_MEM_REG, VHOST_USER_VERSION, &reg,
                    sizeof reg, &fe.memfd, 1);
        fe_get_u64(&fe, VHOST_USER_GET_FEATURES);
        fe_offer(r, 0);
        expect_frame(n + 2, 50, 500);
    }
    fe_close(&fe);
    vhost_device_destroy(device, false);
}

/* The memory file shrinks: the device is dropped, and nothing else. */
void
test_truncated_memory(void)
{
    struct front_end fe;

    for (int i = 0; i < 20; i++) {
        create_device();
        fe_start(&fe, path, i & 1 ? PACKED : SPLIT, 2);
        FE_AWAIT(status().running);
        expect_works(&fe);
        int fd = fe.rings[1].kick;
        /* It has long frames to read meanwhile. */
        for (uint16_t j = 0; j < FE_RING / 2; j++) {
            fe_desc(&fe.rings[1], i & 1 ? 0 : j, FE_MEMORY, HDR + 60000, 0, j);
            fe_offer(&fe.rings[1], j);
        }
        FE_CHECK(!ftruncate(fe.memfd, 4096));
        eventfd_write(fd, 1);
        FE_CHECK(fe_hung_up(&fe));
        FE_AWAIT(strstr(status().error, "truncated"));
        fe_close(&fe);
        expect_connects(SPLIT);
        vhost_device_destroy(device, false);
    }
}

/* GET_VRING_BASE stops where it says, and the queue goes on from there. */
void
test_stop_and_go(void)
{
    static const uint64_t features[] = { SPLIT, PACKED };

    for (int i = 0; i < 2; i++) {
        union vhost_user_payload payload;
        struct front_end fe;

        create_device();
        fe_start(&fe, path, features[i], 2);
        FE_AWAIT(status().running);
        for (int j = 0; j < 3 * FE_RING + 7; j++) {
            expect_works(&fe);
        }
        fe_send_state(&fe, VHOST_USER_GET_VRING_BASE, 1, 0);
        FE_CHECK(fe_reply(&fe, VHOST_USER_GET_VRING_BASE, &payload, NULL)
                 == 8);
        FE_CHECK(payload.state.index == 1);
        FE_CHECK(payload.state.num == (i ? 0x00070007 : 3 * FE_RING + 7));
        FE_AWAIT(!status().running);
        fe_send_state(&fe, VHOST_USER_SET_VRING_BASE, 1, payload.state.num);
        fe_send_u64(&fe, VHOST_USER_SET_VRING_KICK, 1, fe.rings[1].kick);
        FE_AWAIT(status().running);
        expect_works(&fe);

        /* A disabled queue swallows what the guest sends. */
        unsigned int n = frames();
        uint64_t packets = queue_stats(1).packets;
        fe_send_state(&fe, VHOST_USER_SET_VRING_ENABLE, 1, 0);
        FE_AWAIT(!status().running);
        fe_desc(&fe.rings[1], 0, fe_buffer(9), HDR + 100, 0, 0);
        fe_offer(&fe.rings[1], 0);
        FE_AWAIT(queue_stats(1).packets == packets + 1);
        FE_CHECK(frames() == n);
        fe_send_state(&fe, VHOST_USER_SET_VRING_ENABLE, 1, 1);
        FE_AWAIT(status().running);
        expect_works(&fe);
        fe_close(&fe);
        vhost_device_destroy(device, false);
    }
}

/* Once the front-end sees that it has been hung up on, its rings stay as they
 * are: it takes what it finds there for where the queues stopped. */
void
test_hang_up(void)
{
    create_device();
    for (int i = 0; i < 200; i++) {
        struct front_end fe;
        struct load load;

        fe_start(&fe, path, SPLIT, 2);
        FE_AWAIT(status().running);
        unsigned int before = frames();
        load_start(&load, &fe);
        FE_AWAIT(frames() > before + FE_RING);
        fe_send(&fe, 0, NULL, 0);       /* No such request. */
        FE_CHECK(fe_hung_up(&fe));
        uint16_t used = fe_used_idx(&fe.rings[1]);
        FE_AWAIT(!status().connected);
        FE_CHECK(fe_used_idx(&fe.rings[1]) == used);
        load_stop(&load);
        fe_close(&fe);
    }
    vhost_device_destroy(device, false);
}

/* The front-end has lost its connection, and comes back with the same memory
 * in which it has made new rings of 'size'. */
static void
begin_anew(struct front_end *fe, uint16_t size)
{
    struct front_end new, old = *fe;

    shutdown(old.sock, SHUT_RDWR);
    FE_AWAIT(!status().connected);
    fe_connect(&new, path);
    old.memory = new.memory;
    old.memfd = new.memfd;
    new.memory = fe->memory;
    new.memfd = fe->memfd;
    *fe = new;
    fe_close(&old);

    memset(fe_at(fe, FE_MEMORY / 2), 0, FE_MEMORY / 2);
    fe_negotiate(fe, PACKED, 0);
    fe_start_ring(fe, 0, size, 0x80008000);
    fe_start_ring(fe, 1, size, 0x80008000);
    FE_AWAIT(status().running);
}

/* What is kept of a packed ring whose connection was lost is not taken for
 * another ring's: in other memory, in the same, of another size. */
void
test_stale_state(void)
{
    struct vhost_device_config config = device_config();
    struct front_end fe;
    char *error;

    config.state_dir = dir;
    FE_CHECK(!vhost_device_create(&config, &device, &error));
    expect_connects(PACKED);
    expect_connects(PACKED);
    fe_start(&fe, path, PACKED, 2);
    FE_AWAIT(status().running);
    for (int i = 1; i < 10; i++) {
        for (int j = 0; j < i * FE_RING / 4 + i % 2; j++) {
            expect_works(&fe);
        }
        begin_anew(&fe, i % 3 ? FE_RING : FE_RING / 2);
        expect_works(&fe);
    }
    fe_close(&fe);
    vhost_device_destroy(device, false);
}

/* A call eventfd that is full and may block holds nobody up. */
void
test_full_call(void)
{
    struct front_end fe;

    create_device();
    fe_start(&fe, path, SPLIT, 2);
    FE_AWAIT(status().running);
    expect_works(&fe);
    for (unsigned int i = 0; i < 2; i++) {
        static const uint64_t most = UINT64_MAX - 1;
        int fd = fe.rings[i].call;
        uint64_t count;

        do {
            ignore(read(fd, &count, sizeof count));
        } while (write(fd, &most, sizeof most) < 0);
        FE_CHECK(!fcntl(fd, F_SETFL, 0));
    }
    for (unsigned int i = 0; i < 3; i++) {
        expect_works(&fe);
    }
    FE_CHECK(queue_stats(1).calls > 0);
    fe_close(&fe);
    vhost_device_destroy(device, false);
}
