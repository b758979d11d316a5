/* Tests vhost/ with a front-end and a driver that do what the script says.
 *
 *     test-vhost [TEST...]     runs all tests, or those named
 *     test-vhost --list        lists them
 *
 * Prints "ok NAME" for each; what fails says what it expected, and aborts. */
#include <config.h>
#include "vhost/vhost.h"

#include <dirent.h>
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/virtio_config.h>
#include <linux/virtio_net.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "openvswitch/thread.h"
#include "openvswitch/vlog.h"
#include "ovs-thread.h"
#include "tests/vhost/front-end.h"
#include "util.h"

#define BIT(N) (1ULL << (N))
#define SPLIT (BIT(VIRTIO_F_VERSION_1) | BIT(VIRTIO_RING_F_INDIRECT_DESC))
#define PACKED (SPLIT | BIT(VIRTIO_F_RING_PACKED))
#define HDR 12                  /* Of virtio-net, with VERSION_1. */
#define NEXT VRING_DESC_F_NEXT
#define WRITE VRING_DESC_F_WRITE
#define INDIRECT VRING_DESC_F_INDIRECT

static char *dir;               /* For sockets. */
static char *path;
static struct vhost_pool *pool;
static struct vhost_device *device;

/* What was received last. */
static struct ovs_mutex mutex = OVS_MUTEX_INITIALIZER;
static unsigned int n_frames;
static uint8_t frame[VHOST_MAX_FRAME];
static uint32_t frame_len;
static struct virtio_net_hdr frame_vnet;

static unsigned int
receive(struct vhost_queue *queue, struct vhost_thread *thread OVS_UNUSED,
        unsigned int budget OVS_UNUSED, void *aux OVS_UNUSED)
{
    static __thread struct vhost_packet packets[VHOST_BATCH];
    struct vhost_notifier notifier = { .n = 0 };
    unsigned int n = vhost_receive(queue, packets, VHOST_BATCH);

    ovs_mutex_lock(&mutex);
    for (unsigned int i = 0; i < n; i++) {
        FE_CHECK(packets[i].len >= 14 && packets[i].len <= VHOST_MAX_FRAME);
        frame_len = packets[i].len;
        frame_vnet = packets[i].vnet;
        vhost_packet_copy(&packets[i], 0, frame, frame_len);
        n_frames++;
    }
    ovs_mutex_unlock(&mutex);
    vhost_receive_done(queue, &notifier);
    vhost_notify(&notifier);
    return n;
}

static unsigned int n_rarps;

static void
rarp(struct vhost_device *dev OVS_UNUSED, const uint8_t mac[6],
     void *aux OVS_UNUSED)
{
    FE_CHECK(!memcmp(mac, "\x02\x01\x02\x03\x04\x05", 6));
    __atomic_add_fetch(&n_rarps, 1, __ATOMIC_SEQ_CST);
}

static const struct vhost_device_ops ops = {
    .receive = receive, .rarp = rarp,
};

static struct vhost_device_config
device_config(void)
{
    return (struct vhost_device_config) {
        .name = "port", .path = path, .uid = -1, .gid = -1, .mode = -1,
        .max_queue_pairs = 2, .pool = pool, .ops = &ops,
    };
}

static void
create_device(void)
{
    struct vhost_device_config config = device_config();
    char *error;

    if (vhost_device_create(&config, &device, &error)) {
        ovs_fatal(0, "%s", error);
    }
    n_frames = 0;
}

static struct vhost_device_status
status(void)
{
    struct vhost_device_status s;

    vhost_device_get_status(device, &s);
    return s;
}

/* Statistics of virtqueue 'index', zeros if there is none. */
static struct vhost_queue_stats
queue_stats(unsigned int index)
{
    size_t n;
    struct vhost_queue_stats *all = vhost_device_queue_stats(device, &n);
    struct vhost_queue_stats s = { .index = index };

    for (size_t i = 0; i < n; i++) {
        if (all[i].index == index) {
            s = all[i];
        }
    }
    free(all);
    return s;
}

static unsigned int
count_fds(void)
{
    DIR *d = opendir("/proc/self/fd");
    unsigned int n = 0;

    while (readdir(d)) {
        n++;
    }
    closedir(d);
    return n;
}

static unsigned int
frames(void)
{
    ovs_mutex_lock(&mutex);
    unsigned int n = n_frames;
    ovs_mutex_unlock(&mutex);
    return n;
}

/* --- What the guest sends --- */

static void
fill_frame(struct front_end *fe, uint64_t addr, uint8_t seed, size_t len)
{
    uint8_t *p = fe_at(fe, addr);

    memset(p, 0, HDR);
    for (size_t i = 0; i < len; i++) {
        p[HDR + i] = seed + i;
    }
}

/* Expects the next frame to have 'len' bytes from 'seed' on. */
static void
expect_frame(unsigned int before, uint8_t seed, size_t len)
{
    FE_AWAIT(frames() == before + 1);
    ovs_mutex_lock(&mutex);
    FE_CHECK(frame_len == len);
    for (size_t i = 0; i < len; i++) {
        FE_CHECK(frame[i] == (uint8_t) (seed + i));
    }
    ovs_mutex_unlock(&mutex);
}

/* Sends a frame that is in order, to see that the queue works. */
static void
expect_works(struct front_end *fe)
{
    struct fe_ring *r = &fe->rings[1];
    unsigned int before = frames();

    fill_frame(fe, fe_buffer(9), 77, 100);
    fe_desc(r, 0, fe_buffer(9), HDR + 100, 0, 0);
    fe_offer(r, 0);
    expect_frame(before, 77, 100);
}

/* --- Sockets --- */

static void
expect_create_error(const char *socket_path, int error, const char *text)
{
    struct vhost_device_config config = device_config();
    struct vhost_device *dev;
    char *message;

    config.path = socket_path;
    FE_CHECK(vhost_device_create(&config, &dev, &message) == error);
    FE_CHECK(strstr(message, text));
    free(message);
}

static void
test_sockets(void)
{
    char *other = xasprintf("%s/other", dir);
    char *longer = xasprintf("%s/%0120d", dir, 1);
    char *nowhere = xasprintf("%s/none/x", dir);
    struct vhost_device_config config = device_config();
    struct stat s;
    char *error;

    expect_create_error(longer, ENAMETOOLONG, "shorter");
    expect_create_error(nowhere, ENOENT, "create its directory");
    close(open(other, O_CREAT | O_WRONLY, 0600));
    expect_create_error(other, EEXIST, "not a socket");
    unlink(other);

    create_device();
    expect_create_error(path, EADDRINUSE, "another process listens");
    FE_CHECK(!stat(path, &s) && (s.st_mode & 0777) == 0600);
    vhost_device_destroy(device, false);
    FE_CHECK(stat(path, &s) && errno == ENOENT);

    /* A stale socket is replaced, mode and owner are set. */
    struct sockaddr_un sun = { .sun_family = AF_UNIX };
    ovs_strlcpy(sun.sun_path, path, sizeof sun.sun_path);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    FE_CHECK(!bind(fd, (struct sockaddr *) &sun, sizeof sun));
    close(fd);
    config.mode = 0660;
    config.gid = getgid();
    FE_CHECK(!vhost_device_create(&config, &device, &error));
    FE_CHECK(!stat(path, &s) && (s.st_mode & 0777) == 0660);
    vhost_device_destroy(device, false);
    free(other);
    free(longer);
    free(nowhere);
}

/* A front-end that listens, goes away and comes back. */
static void
test_connect_mode(void)
{
    struct vhost_device_config config = device_config();
    struct sockaddr_un sun = { .sun_family = AF_UNIX };
    char *error;

    config.connect = true;
    FE_CHECK(!vhost_device_create(&config, &device, &error));
    ovs_strlcpy(sun.sun_path, path, sizeof sun.sun_path);
    for (int i = 0; i < 2; i++) {
        int fd = socket(AF_UNIX, SOCK_STREAM, 0);

        FE_CHECK(!bind(fd, (struct sockaddr *) &sun, sizeof sun));
        FE_CHECK(!listen(fd, 1));
        int peer = accept(fd, NULL, NULL);
        FE_CHECK(peer >= 0);
        close(fd);
        FE_AWAIT(status().connected);
        unlink(path);
        close(peer);
        FE_AWAIT(!status().connected);
    }
    FE_CHECK(status().n_connects == 2);
    vhost_device_destroy(device, false);
}

/* --- Messages --- */

/* Each of these makes the back-end hang up, and that is all it does. */
static void
test_bad_messages(void)
{
    struct front_end fe;
    struct vhost_user_mem_table table = { .n = 9 };
    uint8_t zeros[400] = { 0 };
    uint64_t u64 = 0;
    int fds[32];

    /* Once all threads have begun to work, they have what they need open. */
    create_device();
    fe_start(&fe, path, SPLIT, 2);
    FE_AWAIT(status().running);
    expect_works(&fe);
    fe_close(&fe);
    FE_AWAIT(!status().connected);
    unsigned int n_fds = count_fds();

#define BAD(...)                                \
    do {                                        \
        fe_connect(&fe, path);                  \
        __VA_ARGS__;                            \
        FE_CHECK(fe_hung_up(&fe));              \
        fe_close(&fe);                          \
        FE_AWAIT(!status().connected);          \
        FE_AWAIT(count_fds() == n_fds);         \
    } while (0)

    BAD(fe_send(&fe, 0, NULL, 0));
    BAD(fe_send(&fe, 41, NULL, 0));
    BAD(fe_send(&fe, UINT32_MAX, NULL, 0));
    BAD(fe_send_fds(&fe, VHOST_USER_GET_FEATURES, 0, NULL, 0, NULL, 0));
    BAD(fe_send_fds(&fe, VHOST_USER_GET_FEATURES,
                    VHOST_USER_VERSION | VHOST_USER_REPLY, NULL, 0, NULL, 0));
    BAD(fe_send(&fe, VHOST_USER_GET_FEATURES, zeros, sizeof zeros));
    BAD(fe_send(&fe, VHOST_USER_SET_FEATURES, zeros, 4));
    BAD(fe_send_u64(&fe, VHOST_USER_SET_FEATURES, UINT64_MAX, -1));
    BAD(fe_send_u64(&fe, VHOST_USER_SET_PROTOCOL_FEATURES, UINT64_MAX, -1));
    BAD(fe_send(&fe, VHOST_USER_GET_QUEUE_NUM, NULL, 0));   /* No MQ. */
    BAD(fe_send_state(&fe, VHOST_USER_SET_VRING_NUM, 4, 64));
    BAD(fe_send_state(&fe, VHOST_USER_SET_VRING_NUM, 0, 0));
    BAD(fe_send_state(&fe, VHOST_USER_SET_VRING_NUM, 0, 32769));
    BAD(fe_send_state(&fe, VHOST_USER_SET_VRING_ENABLE, 0, 2));
    BAD(fe_send_state(&fe, VHOST_USER_SET_VRING_ENDIAN, 0, 1));
    BAD(fe_send_u64(&fe, VHOST_USER_SET_VRING_KICK, 0, -1));
    BAD(fe_send_u64(&fe, VHOST_USER_SET_VRING_KICK, 0, fe.memfd));
    BAD(fe_send_u64(&fe, VHOST_USER_SET_VRING_CALL, 0, fe.sock));
    BAD(fe_send_u64(&fe, VHOST_USER_SET_VRING_CALL, 0x1000, -1));
    BAD(fe_send_u64(&fe, VHOST_USER_SET_VRING_CALL, 7, -1));

    /* Memory. */
    BAD(fe_send(&fe, VHOST_USER_SET_MEM_TABLE, &table, sizeof table));
    table.n = 1;
    BAD(fe_send(&fe, VHOST_USER_SET_MEM_TABLE, &table, sizeof table));
    BAD(fds[0] = fe.memfd;
        fe_send_fds(&fe, VHOST_USER_SET_MEM_TABLE, VHOST_USER_VERSION, &table,
                    sizeof table, fds, 1));        /* Size 0. */
    table.regions[0].size = 4 * FE_MEMORY;
    BAD(fds[0] = fe.memfd;
        fe_send_fds(&fe, VHOST_USER_SET_MEM_TABLE, VHOST_USER_VERSION, &table,
                    sizeof table, fds, 1));        /* Beyond the file. */
    table.regions[0].size = UINT64_MAX - 100;
    table.regions[0].mmap_offset = 4096;
    BAD(fds[0] = fe.memfd;
        fe_send_fds(&fe, VHOST_USER_SET_MEM_TABLE, VHOST_USER_VERSION, &table,
                    sizeof table, fds, 1));        /* Overflow. */
    table.regions[0].mmap_offset = 0;
    table.regions[0].size = 4096;
    BAD(fds[0] = fe.sock;
        fe_send_fds(&fe, VHOST_USER_SET_MEM_TABLE, VHOST_USER_VERSION, &table,
                    sizeof table, fds, 1));
    table.n = 2;
    table.regions[1] = table.regions[0];
    BAD(fds[0] = fds[1] = fe.memfd;
        fe_send_fds(&fe, VHOST_USER_SET_MEM_TABLE, VHOST_USER_VERSION, &table,
                    sizeof table, fds, 2));        /* Overlap. */
    BAD(fe_send(&fe, VHOST_USER_ADD_MEM_REG, zeros, 40));

    /* In-flight regions: none negotiated, too many queues, too small. */
    struct vhost_user_inflight inflight = {
        .mmap_size = 65536, .num_queues = 4, .queue_size = FE_RING,
    };
    BAD(fe_send(&fe, VHOST_USER_GET_INFLIGHT_FD, &inflight, sizeof inflight));
#define BAD_INFLIGHT(REQUEST, FD)                                            \
    BAD(fe_negotiate(&fe, SPLIT, BIT(VHOST_USER_PROTOCOL_F_INFLIGHT_SHMFD)); \
        fds[0] = (FD);                                                       \
        fe_send_fds(&fe, REQUEST, VHOST_USER_VERSION, &inflight,             \
                    sizeof inflight, fds, fds[0] >= 0))
    BAD_INFLIGHT(VHOST_USER_SET_INFLIGHT_FD, -1);
    BAD_INFLIGHT(VHOST_USER_SET_INFLIGHT_FD, fe.sock);
    inflight.mmap_size = 4096;
    BAD_INFLIGHT(VHOST_USER_SET_INFLIGHT_FD, fe.memfd);
    inflight.mmap_size = 4 * FE_MEMORY;
    BAD_INFLIGHT(VHOST_USER_SET_INFLIGHT_FD, fe.memfd);
    inflight.num_queues = 5;
    BAD_INFLIGHT(VHOST_USER_GET_INFLIGHT_FD, -1);
#undef BAD_INFLIGHT

    /* More file descriptors than any message has. */
    BAD(for (int i = 0; i < 32; i++) {
            fds[i] = fe.memfd;
        }
        fe_send_fds(&fe, VHOST_USER_GET_FEATURES, VHOST_USER_VERSION, NULL, 0,
                    fds, 32));
    BAD(fds[0] = fe.memfd;
        fe_send_fds(&fe, VHOST_USER_SET_FEATURES, VHOST_USER_VERSION, &u64,
                    sizeof u64, fds, 1));

    /* One that breaks off. */
    BAD(ignore(write(fe.sock, zeros, 7)); shutdown(fe.sock, SHUT_WR));
    BAD(uint32_t header[3] = { VHOST_USER_SET_FEATURES, 1, 8 };
        ignore(write(fe.sock, header, sizeof header));
        ignore(write(fe.sock, zeros, 3)); shutdown(fe.sock, SHUT_WR));
#undef BAD
    vhost_device_destroy(device, false);
}

/* Messages in pieces, acknowledgements, and the small ones. */
static void
test_messages(void)
{
    uint64_t protocol = (BIT(VHOST_USER_PROTOCOL_F_MQ)
                         | BIT(VHOST_USER_PROTOCOL_F_REPLY_ACK)
                         | BIT(VHOST_USER_PROTOCOL_F_RARP)
                         | BIT(VHOST_USER_PROTOCOL_F_MTU)
                         | BIT(VHOST_USER_PROTOCOL_F_LOG_SHMFD)
                         | BIT(VHOST_USER_PROTOCOL_F_RESET_DEVICE)
                         | BIT(VHOST_USER_PROTOCOL_F_STATUS)
                         | BIT(VHOST_USER_PROTOCOL_F_CONFIGURE_MEM_SLOTS));
    uint32_t header[3] = { VHOST_USER_GET_FEATURES, 1, 0 };
    union vhost_user_payload payload;
    struct front_end fe;

    create_device();
    fe_connect(&fe, path);
    for (size_t i = 0; i < sizeof header; i++) {
        FE_CHECK(write(fe.sock, (uint8_t *) header + i, 1) == 1);
        usleep(500);
    }
    FE_CHECK(fe_reply(&fe, VHOST_USER_GET_FEATURES, &payload, NULL) == 8);

    fe_negotiate(&fe, SPLIT, protocol);
    FE_CHECK(fe_get_u64(&fe, VHOST_USER_GET_QUEUE_NUM) == 2);
    FE_CHECK(fe_get_u64(&fe, VHOST_USER_GET_MAX_MEM_SLOTS) >= 32);
    FE_CHECK(fe_get_u64(&fe, VHOST_USER_GET_STATUS) == 0);
    fe_send_u64(&fe, VHOST_USER_SET_STATUS, VIRTIO_CONFIG_S_DRIVER_OK, -1);
    FE_CHECK(fe_get_u64(&fe, VHOST_USER_GET_STATUS)
             == VIRTIO_CONFIG_S_DRIVER_OK);

    uint64_t mac = htole64(0x050403020102);
    n_rarps = 0;
    fe_send_fds(&fe, VHOST_USER_SEND_RARP,
                VHOST_USER_VERSION | VHOST_USER_NEED_REPLY, &mac, sizeof mac,
                NULL, 0);
    FE_CHECK(fe_reply(&fe, VHOST_USER_SEND_RARP, &payload, NULL) == 8);
    FE_CHECK(!payload.u64 && n_rarps == 1);

    fe_send_u64(&fe, VHOST_USER_NET_SET_MTU, 9000, -1);
    fe_send_u64(&fe, VHOST_USER_SET_LOG_FD, 0, fe.memfd);

    /* Both resets stop what runs. */
    static const uint32_t resets[] = { VHOST_USER_RESET_DEVICE,
                                       VHOST_USER_RESET_OWNER };
    for (size_t i = 0; i < ARRAY_SIZE(resets); i++) {
        for (int j = 0; j < 2; j++) {
            fe_start_ring(&fe, j, FE_RING, 0);
        }
        FE_AWAIT(status().running);
        fe_send(&fe, resets[i], NULL, 0);
        FE_AWAIT(!status().running);
        FE_CHECK(!status().features);
        fe_send_u64(&fe, VHOST_USER_SET_FEATURES, fe.features, -1);
    }

    /* Where a ring is that doesn't run. */
    fe_send_state(&fe, VHOST_USER_SET_VRING_BASE, 1, 7);
    fe_send_state(&fe, VHOST_USER_GET_VRING_BASE, 1, 0);
    FE_CHECK(fe_reply(&fe, VHOST_USER_GET_VRING_BASE, &payload, NULL) == 8);

    /* A second front-end is turned away, the first stays. */
    struct front_end second;
    fe_connect(&second, path);
    FE_CHECK(fe_hung_up(&second));
    fe_close(&second);
    FE_CHECK(fe_get_u64(&fe, VHOST_USER_GET_QUEUE_NUM) == 2);
    fe_close(&fe);
    FE_AWAIT(!status().connected);
    vhost_device_destroy(device, false);
}

/* The configuration space, whole, in part and beyond its end. */
static void
test_config_space(void)
{
    struct vhost_device_config device_conf = device_config();
    const size_t header = offsetof(struct vhost_user_config, data);
    union vhost_user_payload payload;
    struct virtio_net_config space;
    struct front_end fe;
    char *error;

    device_conf.mtu = 9000;
    device_conf.max_queue_pairs = 3;
    FE_CHECK(!vhost_device_create(&device_conf, &device, &error));
    fe_connect(&fe, path);
    FE_CHECK(fe_get_u64(&fe, VHOST_USER_GET_FEATURES)
             & BIT(VIRTIO_NET_F_MTU));
    fe_negotiate(&fe, SPLIT | BIT(VIRTIO_NET_F_MTU),
                 BIT(VHOST_USER_PROTOCOL_F_CONFIG));

    struct vhost_user_config config = { .size = sizeof space };
    fe_send(&fe, VHOST_USER_GET_CONFIG, &config, header + config.size);
    FE_CHECK((size_t) fe_reply(&fe, VHOST_USER_GET_CONFIG, &payload, NULL)
             == header + sizeof space);
    memcpy(&space, payload.config.data, sizeof space);
    FE_CHECK(le16toh(space.mtu) == 9000);
    FE_CHECK(le16toh(space.max_virtqueue_pairs) == 3);
    FE_CHECK(le16toh(space.status) == VIRTIO_NET_S_LINK_UP);

    config.offset = offsetof(struct virtio_net_config, mtu);
    config.size = VHOST_USER_MAX_CONFIG - config.offset;
    fe_send(&fe, VHOST_USER_GET_CONFIG, &config, header + config.size);
    FE_CHECK((size_t) fe_reply(&fe, VHOST_USER_GET_CONFIG, &payload, NULL)
             == header + config.size);
    FE_CHECK(payload.config.data[0] == (9000 & 0xff));
    FE_CHECK(!payload.config.data[config.size - 1]);

    fe_send(&fe, VHOST_USER_SET_CONFIG, &config, header + config.size);
    fe_get_u64(&fe, VHOST_USER_GET_FEATURES);
    config.size++;
    fe_send(&fe, VHOST_USER_GET_CONFIG, &config, header + config.size);
    FE_CHECK(fe_hung_up(&fe));
    fe_close(&fe);
    vhost_device_destroy(device, false);
}

/* Returns true if the back-end has sent 'request' about virtqueue 'index' over
 * 'sock'; forgets what it has sent besides. */
static bool
was_told(int sock, uint32_t request, unsigned int index)
{
    struct vhost_user_vring_state state;
    struct vhost_user_header header;
    bool told = false;

    while (recv(sock, &header, sizeof header, MSG_DONTWAIT) == sizeof header) {
        FE_CHECK(header.size == sizeof state);
        FE_CHECK(recv(sock, &state, sizeof state, MSG_WAITALL)
                 == sizeof state);
        told |= header.request == request && state.index == index;
    }
    return told;
}

/* Kicks, calls and errors in messages. */
static void
test_inband(void)
{
    struct front_end fe;
    int socks[2];

    create_device();
    fe_connect(&fe, path);
    fe_negotiate(&fe, SPLIT, BIT(VHOST_USER_PROTOCOL_F_BACKEND_REQ)
                 | BIT(VHOST_USER_PROTOCOL_F_REPLY_ACK)
                 | BIT(VHOST_USER_PROTOCOL_F_INBAND_NOTIFICATIONS));
    FE_CHECK(!socketpair(AF_UNIX, SOCK_STREAM, 0, socks));
    fe_send_fds(&fe, VHOST_USER_SET_BACKEND_REQ_FD, VHOST_USER_VERSION,
                NULL, 0, &socks[1], 1);
    close(socks[1]);
    fe.inband = true;
    for (unsigned int i = 0; i < 2; i++) {
        fe_start_ring(&fe, i, FE_RING, 0);
    }
    FE_AWAIT(status().running);
    was_told(socks[0], 0, 0);

    struct fe_ring *r = &fe.rings[1];
    for (int i = 0; i < 3; i++) {
        unsigned int n = frames();

        fill_frame(&fe, fe_buffer(1), 5, 200);
        fe_desc(r, 0, fe_buffer(1), HDR + 200, 0, 0);
        fe_offer(r, 0);
        fe_send_state(&fe, VHOST_USER_VRING_KICK, 1, 0);
        expect_frame(n, 5, 200);
        FE_AWAIT(was_told(socks[0], VHOST_USER_BACKEND_VRING_CALL, 1));
    }
    FE_CHECK(queue_stats(1).calls >= 3);
    fe_offer(r, FE_RING);               /* Against the rules. */
    fe_send_state(&fe, VHOST_USER_VRING_KICK, 1, 0);
    FE_AWAIT(was_told(socks[0], VHOST_USER_BACKEND_VRING_ERR, 1));
    close(socks[0]);
    fe_close(&fe);
    vhost_device_destroy(device, false);
}

/* --- Transmit queues --- */

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

static void
test_good_chains_split(void)
{
    good_chains(SPLIT);
}

static void
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

static void
test_bad_chains_split(void)
{
    bad_chains(SPLIT);
}

static void
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

    fe_start(&fe, path, features, 2);
    FE_AWAIT(status().running);
    FE_CHECK(!status().error[0]);
    expect_works(&fe);
    fe_close(&fe);
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

static void
test_broken_rings(void)
{
    broken_ring(SPLIT, break_avail_head);
    broken_ring(SPLIT, break_avail_index);
    broken_ring(SPLIT, break_next);
    broken_ring(SPLIT, break_loop);
    broken_ring(PACKED, break_packed_endless);
}

/* --- Receive queues --- */

static void
make_packet(struct vhost_packet *p, uint8_t *bytes, uint8_t seed,
            uint32_t len)
{
    for (uint32_t i = 0; i < len; i++) {
        bytes[i] = seed + i;
    }
    memset(p, 0, sizeof *p);
    p->head = bytes;
    p->head_len = p->len = len;
}

/* Transmits one packet of 'len' bytes.  Returns what vhost_transmit() did. */
static unsigned int
transmit(uint8_t seed, uint32_t len, enum vhost_transmit_mode mode)
{
    static uint8_t bytes[65536];
    struct vhost_packet packet, *packets[1] = { &packet };
    struct vhost_notifier notifier = { .n = 0 };
    unsigned int n = 0;

    make_packet(&packet, bytes, seed, len);
    vhost_online();
    struct vhost_queue *q = vhost_device_receive_queue(device, 0);
    if (q) {
        n = vhost_transmit(q, packets, 1, mode, &notifier);
    }
    vhost_notify(&notifier);
    vhost_offline();
    return n;
}

static void
check_frame(const uint8_t *buffer, uint16_t n_buffers, uint8_t seed,
            uint32_t ofs, uint32_t n)
{
    if (!ofs) {
        const struct virtio_net_hdr_mrg_rxbuf *hdr = (const void *) buffer;

        FE_CHECK(le16toh(hdr->num_buffers) == n_buffers);
        FE_CHECK(!hdr->hdr.flags && !hdr->hdr.gso_type);
        buffer += HDR;
        n -= HDR;
    }
    for (uint32_t i = 0; i < n; i++) {
        FE_CHECK(buffer[i] == (uint8_t) (seed + ofs + i));
    }
}

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
static void
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

static void
test_receive_split(void)
{
    receive_split(SPLIT, 1);
    receive_split(SPLIT, 3);
    receive_split(SPLIT | BIT(VIRTIO_NET_F_MRG_RXBUF), 1);
    receive_split(SPLIT | BIT(VIRTIO_NET_F_MRG_RXBUF), 20);
}

static void
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
static void
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

static void
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
    fe_start(&fe, path, SPLIT, 2);
    FE_AWAIT(status().running);
    expect_works(&fe);
    fe_close(&fe);
    vhost_device_destroy(device, false);
}

/* --- Life --- */

/* Makes descriptor 'id' of a split ring available, and kicks if that is
 * wanted. */
static void
publish(struct fe_ring *r, uint16_t id)
{
    r->avail->ring[r->next++ % FE_RING] = htole16(id);
    __atomic_store_n(&r->avail->idx, htole16(r->next), __ATOMIC_SEQ_CST);
    if (!__atomic_load_n(&r->used->flags, __ATOMIC_SEQ_CST)) {
        fe_kick(r);
    }
}

/* A guest that sends as fast as it can. */
struct load {
    struct front_end *fe;
    pthread_t thread;
    bool stop;
    unsigned int n;             /* Frames sent. */
};

static void *
load_main(void *load_)
{
    struct load *load = load_;
    struct fe_ring *r = &load->fe->rings[1];

    while (!__atomic_load_n(&load->stop, __ATOMIC_RELAXED)) {
        if ((uint16_t) (r->next - fe_used_idx(r)) < FE_RING) {
            uint16_t id = load->n % FE_RING;

            fe_desc(r, id, fe_buffer(1), HDR + 100, 0, 0);
            publish(r, id);
            __atomic_store_n(&load->n, load->n + 1, __ATOMIC_RELAXED);
        }
    }
    return NULL;
}

static void
load_start(struct load *load, struct front_end *fe)
{
    *load = (struct load) { .fe = fe };
    fill_frame(fe, fe_buffer(1), 1, 100);
    load->thread = ovs_thread_create("load", load_main, load);
}

static void
load_stop(struct load *load)
{
    __atomic_store_n(&load->stop, true, __ATOMIC_RELAXED);
    xpthread_join(load->thread, NULL);
}

/* Guest memory is replaced, regions come and go while packets pass. */
static void
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
static void
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
        fe_start(&fe, path, SPLIT, 2);
        FE_AWAIT(status().running);
        expect_works(&fe);
        fe_close(&fe);
        vhost_device_destroy(device, false);
    }
}

/* GET_VRING_BASE stops where it says, and the queue goes on from there. */
static void
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

/* A call eventfd that is full and may block holds nobody up. */
static void
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

/* --- Several queues --- */

/* Which of 'queues' a flow goes to; they are found as they are used. */
static int
queue_of(uint32_t hash, struct vhost_queue *queues[4])
{
    struct vhost_queue *q = vhost_device_receive_queue(device, hash);

    for (int i = 0; i < 4; i++) {
        if (!queues[i]) {
            queues[i] = q;
        }
        if (queues[i] == q) {
            return i;
        }
    }
    FE_CHECK(!"a fifth queue");
    return -1;
}

/* 64 flows on four queues: each queue gets its share, each flow stays where it
 * is, until the guest sends it elsewhere. */
static void
test_spread(void)
{
    struct vhost_device_config config = device_config();
    struct vhost_queue *queues[4] = { NULL };
    unsigned int counts[4] = { 0 };
    uint32_t hashes[64];
    int where[64];
    struct front_end fe;
    char *error;

    config.max_queue_pairs = 4;
    FE_CHECK(!vhost_device_create(&config, &device, &error));
    fe_start(&fe, path, SPLIT | BIT(VIRTIO_NET_F_MQ), 8);
    FE_AWAIT(status().n_enabled == 8);

    srandom(1);
    vhost_online();
    for (int i = 0; i < 64; i++) {
        hashes[i] = (uint32_t) random() << 12 | i * 64;
        where[i] = queue_of(hashes[i], queues);
        counts[where[i]]++;
    }
    for (int i = 0; i < 4; i++) {
        FE_CHECK(counts[i] >= 13 && counts[i] <= 19);
    }
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 64; i++) {
            FE_CHECK(queue_of(hashes[i], queues) == where[i]);
        }
    }
    for (int i = 0; i < 64; i++) {
        int other = (where[i] + 1) % 4;

        vhost_queue_note_flow(queues[other], hashes[i]);
        vhost_queue_note_flow(queues[other], hashes[i]);
        FE_CHECK(queue_of(hashes[i], queues) == other);
        /* Once is not enough to move it again. */
        vhost_queue_note_flow(queues[where[i]], hashes[i]);
        FE_CHECK(queue_of(hashes[i], queues) == other);
    }
    vhost_offline();
    fe_close(&fe);
    vhost_device_destroy(device, false);
}

/* Gives back what the guest sends, by flows. */
static unsigned int
echo(struct vhost_queue *queue, struct vhost_thread *thread OVS_UNUSED,
     unsigned int budget, void *aux OVS_UNUSED)
{
    static __thread struct vhost_packet packets[VHOST_BATCH];
    struct vhost_notifier notifier = { .n = 0 };
    unsigned int n = vhost_receive(queue, packets, MIN(budget, VHOST_BATCH));

    for (unsigned int i = 0; i < n; i++) {
        struct vhost_packet *p = &packets[i];
        uint32_t flow;

        memcpy(&flow, p->head, sizeof flow);
        uint32_t hash = flow * 0x9e3779b1;
        vhost_queue_note_flow(queue, hash);
        struct vhost_queue *to = vhost_device_receive_queue(device, hash);
        if (to) {
            vhost_transmit(to, &p, 1, VHOST_FINISH, &notifier);
        }
    }
    vhost_receive_done(queue, &notifier);
    vhost_notify(&notifier);
    return n;
}

/* A guest with four queue pairs, that sends 64 flows and gets them back. */
enum { N_FLOWS = 64, N_PAIRS = 4 };
struct flows {
    struct front_end fe;
    uint32_t sent[N_FLOWS], seen[N_FLOWS];      /* Last sequence numbers. */
    uint16_t used[2 * N_PAIRS];
    unsigned int received[N_PAIRS];
};

static uint64_t
flow_buffer(unsigned int ring, unsigned int id)
{
    return fe_buffer(1) + (ring * FE_RING + id) * 256;
}

static void
send_flows(struct flows *f, unsigned int pair)
{
    unsigned int index = 2 * pair + 1;
    struct fe_ring *r = &f->fe.rings[index];

    while ((uint16_t) (r->next - fe_used_idx(r)) < FE_RING) {
        unsigned int id = r->next % FE_RING;
        uint32_t flow = pair + r->next % (N_FLOWS / N_PAIRS) * N_PAIRS;
        uint32_t words[] = { flow, ++f->sent[flow] };

        memcpy(fe_at(&f->fe, flow_buffer(index, id)) + HDR, words,
               sizeof words);
        fe_desc(r, id, flow_buffer(index, id), HDR + 60, 0, 0);
        publish(r, id);
    }
}

static void
receive_flows(struct flows *f, unsigned int pair)
{
    struct fe_ring *r = &f->fe.rings[2 * pair];
    uint16_t *used = &f->used[2 * pair];

    while (*used != fe_used_idx(r)) {
        uint32_t id = le32toh(r->used->ring[(*used)++ % FE_RING].id);
        uint32_t words[2];

        memcpy(words, fe_at(&f->fe, flow_buffer(2 * pair, id)) + HDR,
               sizeof words);
        FE_CHECK(words[0] < N_FLOWS && words[0] % N_PAIRS == pair);
        FE_CHECK(words[1] > f->seen[words[0]]);
        f->seen[words[0]] = words[1];
        f->received[pair]++;
        publish(r, id);
    }
}

/* Flows come back on the pair that they were sent on, in order, while threads
 * come and go and queues move between them. */
static void
test_order(void)
{
    static const struct vhost_device_ops echo_ops = { .receive = echo };
    struct vhost_device_config config = device_config();
    struct flows f = { .sent = { 0 } };
    unsigned int total = 0;
    char *error;

    config.max_queue_pairs = N_PAIRS;
    config.ops = &echo_ops;
    FE_CHECK(!vhost_device_create(&config, &device, &error));
    fe_start(&f.fe, path, SPLIT | BIT(VIRTIO_NET_F_MQ), 2 * N_PAIRS);
    FE_AWAIT(status().n_enabled == 2 * N_PAIRS);
    for (unsigned int i = 0; i < N_PAIRS; i++) {
        for (unsigned int id = 0; id < FE_RING; id++) {
            fe_desc(&f.fe.rings[2 * i], id, flow_buffer(2 * i, id), 256,
                    WRITE, 0);
            publish(&f.fe.rings[2 * i], id);
        }
    }
    for (int round = 0; round < 400; round++) {
        FE_CHECK(!vhost_pool_set_threads(pool, 1 + round % 3, NULL, &error));
        for (int i = 0; i < 100; i++) {
            for (unsigned int pair = 0; pair < N_PAIRS; pair++) {
                send_flows(&f, pair);
                receive_flows(&f, pair);
            }
        }
    }
    for (unsigned int i = 0; i < N_PAIRS; i++) {
        total += f.received[i];
    }
    FE_CHECK(total > 1000);
    FE_CHECK(!vhost_pool_set_threads(pool, 1, NULL, &error));
    fe_close(&f.fe);
    vhost_device_destroy(device, false);
}

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

static void
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

static void
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

/* A number from /proc/self/status, in KiB. */
static unsigned long
process_status(const char *key)
{
    FILE *f = fopen("/proc/self/status", "r");
    unsigned long value = 0;
    char line[256];

    while (fgets(line, sizeof line, f)) {
        if (!strncmp(line, key, strlen(key))) {
            value = strtoul(line + strlen(key) + 1, NULL, 10);
        }
    }
    fclose(f);
    return value;
}

static unsigned long
cpu_us(void)
{
    struct rusage usage;

    getrusage(RUSAGE_SELF, &usage);
    return ((usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000000ul
            + usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
}

static struct idle_guest {
    struct vhost_device *device;
    struct front_end fe;
} idle_guests[1000];

static void
start_idle_guests(void)
{
    struct rlimit limit;
    char *base = path;

    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max = MAX(limit.rlim_max, 20000);
    setrlimit(RLIMIT_NOFILE, &limit);
    for (size_t i = 0; i < ARRAY_SIZE(idle_guests); i++) {
        struct idle_guest *g = &idle_guests[i];

        path = xasprintf("%s%"PRIuSIZE, base, i);
        create_device();
        g->device = device;
        fe_start(&g->fe, path, i % 2 ? SPLIT : PACKED, 2);
        FE_AWAIT(status().running);
        free(path);
    }
    path = base;
}

static void
stop_idle_guests(void)
{
    for (size_t i = 0; i < ARRAY_SIZE(idle_guests); i++) {
        vhost_device_destroy(idle_guests[i].device, false);
        fe_close(&idle_guests[i].fe);
    }
}

/* Many connected guests that do nothing cost no CPU and little memory. */
static void
test_idle(void)
{
    unsigned long before = process_status("RssAnon");
    start_idle_guests();
    unsigned long each = ((process_status("RssAnon") - before)
                          / ARRAY_SIZE(idle_guests));
    printf("%lu KiB for each guest\n", each);
    FE_CHECK(each <= 32);

    usleep(200000);
    unsigned long us = cpu_us();
    usleep(10000000);
    us = cpu_us() - us;
    printf("%lu us of CPU in 10 s\n", us);
    FE_CHECK(us <= 10000);
    stop_idle_guests();
}

static double
measure_load(struct front_end *fe)
{
    struct load load;

    load_start(&load, fe);
    usleep(200000);
    unsigned int before = __atomic_load_n(&load.n, __ATOMIC_RELAXED);
    usleep(1000000);
    unsigned int n = __atomic_load_n(&load.n, __ATOMIC_RELAXED) - before;
    load_stop(&load);
    return n / 1e6;
}

/* Not a test: prints how fast a busy guest is alone, and among idle ones. */
static void
bench_neighbours(void)
{
    struct front_end fe;

    create_device();
    struct vhost_device *busy = device;
    fe_start(&fe, path, SPLIT, 2);
    FE_AWAIT(status().running);
    for (int i = 0; i < 3; i++) {
        double alone = measure_load(&fe);
        start_idle_guests();
        double among = measure_load(&fe);
        stop_idle_guests();
        printf("a busy guest sends %.2f M packets/s alone, %.2f among 1000 "
               "idle ones: %.2f\n", alone, among, among / alone);
    }
    fe_close(&fe);
    vhost_device_destroy(busy, false);
}

/* Connecting and leaving at any moment leaks nothing. */
static void
test_no_leaks(void)
{
    struct front_end fe;
    unsigned int n_fds = 0;

    create_device();
    for (int i = 0; i < 60; i++) {
        fe_connect(&fe, path);
        if (i % 3) {
            fe_negotiate(&fe, SPLIT, 0);
            for (int j = 0; j < i % 4; j++) {
                fe_start_ring(&fe, j, FE_RING, 0);
            }
        }
        if (i % 5 == 4) {
            ignore(write(fe.sock, "half", 4));
        }
        fe_close(&fe);
        FE_AWAIT(!status().connected);
        if (i == 12) {
            n_fds = count_fds();
        }
    }
    FE_AWAIT(count_fds() == n_fds);
    vhost_device_destroy(device, false);
}

/* --- The tests, in the order in which one learns the service --- */

static const struct test {
    const char *name;
    void (*run)(void);
    bool on_demand;             /* Only if it's named. */
} tests[] = {
    { "sockets", test_sockets, false },
    { "connect-mode", test_connect_mode, false },
    { "messages", test_messages, false },
    { "bad-messages", test_bad_messages, false },
    { "config-space", test_config_space, false },
    { "inband", test_inband, false },
    { "good-chains-split", test_good_chains_split, false },
    { "good-chains-packed", test_good_chains_packed, false },
    { "bad-chains-split", test_bad_chains_split, false },
    { "bad-chains-packed", test_bad_chains_packed, false },
    { "broken-rings", test_broken_rings, false },
    { "changing-rings", test_changing_rings, false },
    { "bad-buffers", test_bad_buffers, false },
    { "receive-split", test_receive_split, false },
    { "receive-packed", test_receive_packed, false },
    { "mergeable", test_mergeable, false },
    { "stop-and-go", test_stop_and_go, false },
    { "spread", test_spread, false },
    { "order", test_order, false },
    { "full-call", test_full_call, false },
    { "memory-changes", test_memory_changes, false },
    { "truncated-memory", test_truncated_memory, false },
    { "dirty-log", test_dirty_log, false },
    { "iotlb", test_iotlb, false },
    { "idle", test_idle, false },
    { "no-leaks", test_no_leaks, false },
    { "bench-neighbours", bench_neighbours, true },
};

static bool
wanted(const struct test *test, int argc, char *argv[])
{
    for (int i = 1; i < argc; i++) {
        if (!strcmp(argv[i], test->name)) {
            return true;
        }
    }
    return argc < 2 && !test->on_demand;
}

int
main(int argc, char *argv[])
{
    struct vhost_pool_config config = { .n_threads = 1, .name = "service" };
    char template[] = "/tmp/test-vhost.XXXXXX";
    char *error;

    set_program_name(argv[0]);
    vlog_set_levels(NULL, VLF_SYSLOG, VLL_OFF);
    if (argc == 2 && !strcmp(argv[1], "--list")) {
        for (size_t i = 0; i < ARRAY_SIZE(tests); i++) {
            printf("%s\n", tests[i].name);
        }
        return 0;
    }
    setvbuf(stdout, NULL, _IOLBF, 0);
    dir = mkdtemp(template);
    path = xasprintf("%s/socket", dir);
    vhost_init();
    if (vhost_pool_create(&config, &pool, &error)) {
        ovs_fatal(0, "%s", error);
    }
    for (size_t i = 0; i < ARRAY_SIZE(tests); i++) {
        if (wanted(&tests[i], argc, argv)) {
            tests[i].run();
            printf("ok %s\n", tests[i].name);
        }
    }
    vhost_pool_destroy(pool);
    vhost_exit();
    rmdir(dir);
    free(path);
    return 0;
}
