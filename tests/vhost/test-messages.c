/* Sockets and messages, good and bad. */
#include <config.h>
#include "tests/vhost/test-vhost.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/virtio_net.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "util.h"

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

void
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
void
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

/* Messages in pieces, acknowledgements, and the small ones. */
void
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
void
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
void
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

/* Connecting and leaving at any moment leaks nothing. */
void
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
