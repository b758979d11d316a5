/* Messages that a front-end must not send.  Each makes the back-end say what
 * is wrong, naming the device, the message and the field, and hang up, and that
 * is all it does: no file descriptor stays open. */
#include <config.h>
#include "tests/vhost/test-vhost.h"

#include <linux/virtio_net.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "openvswitch/vlog.h"
#include "util.h"

static struct front_end fe;
static unsigned int n_fds;      /* Open without a front-end. */
static const uint8_t zeros[400];

/* Connects, does the rest, and expects to be hung up on because of TEXT. */
#define BAD(TEXT, ...)                                  \
    do {                                                \
        forget_log();                                   \
        fe_connect(&fe, path);                          \
        __VA_ARGS__;                                    \
        FE_CHECK(fe_hung_up(&fe));                      \
        FE_AWAIT(was_logged("|port: " TEXT));           \
        fe_close(&fe);                                  \
        FE_AWAIT(!status().connected);                  \
        FE_AWAIT(count_fds() == n_fds);                 \
    } while (0)

/* Sends 'n' times 'fd' with the message. */
static void
send_fds(uint32_t request, const void *payload, size_t size, int fd,
         unsigned int n)
{
    int fds[32];

    for (unsigned int i = 0; i < n; i++) {
        fds[i] = fd;
    }
    fe_send_fds(&fe, request, VHOST_USER_VERSION, payload, size, fds, n);
}

static void
send_flags(uint32_t flags)
{
    fe_send_fds(&fe, VHOST_USER_GET_FEATURES, flags, NULL, 0, NULL, 0);
}

/* Sends the first 'n' bytes of a message, and no more. */
static void
send_part(const void *message, size_t n)
{
    FE_CHECK(write(fe.sock, message, n) == (ssize_t) n);
    shutdown(fe.sock, SHUT_WR);
}

static void
bad_headers(void)
{
    static const uint32_t header[5] = { VHOST_USER_SET_FEATURES, 1, 8 };

    BAD("request 0: is a request that we don't know",
        fe_send(&fe, 0, NULL, 0));
    BAD("request 41: is a request that we don't know",
        fe_send(&fe, 41, NULL, 0));
    BAD("request 4294967295: is a request that we don't know",
        fe_send(&fe, UINT32_MAX, NULL, 0));
    BAD("GET_FEATURES: flags 0 don't have version 1", send_flags(0));
    BAD("GET_FEATURES: flags say that it is a reply",
        send_flags(VHOST_USER_VERSION | VHOST_USER_REPLY));
    BAD("message GET_FEATURES: size is beyond that of any message",
        fe_send(&fe, VHOST_USER_GET_FEATURES, zeros, sizeof zeros));
    BAD("GET_FEATURES: size is 16, not 0 to 8",
        fe_send(&fe, VHOST_USER_GET_FEATURES, zeros, 16));
    BAD("SET_FEATURES: size is 4, not 8 to 8",
        fe_send(&fe, VHOST_USER_SET_FEATURES, zeros, 4));
    BAD("message header: the front-end hung up in the middle",
        send_part(header, 7));
    BAD("message SET_FEATURES: the front-end hung up in the middle",
        send_part(header, sizeof header - 5));
    BAD("message GET_FEATURES: more than 8 file descriptors",
        send_fds(VHOST_USER_GET_FEATURES, NULL, 0, fe.memfd, 9));
    BAD("message GET_FEATURES: more than 8 file descriptors",
        send_fds(VHOST_USER_GET_FEATURES, NULL, 0, fe.memfd, 32));
    BAD("SET_FEATURES: has 1 file descriptors, not 0 to 0",
        send_fds(VHOST_USER_SET_FEATURES, zeros, 8, fe.memfd, 1));
}

static void
bad_features(void)
{
    BAD("SET_FEATURES: features 0x",
        fe_send_u64(&fe, VHOST_USER_SET_FEATURES, UINT64_MAX, -1));
    BAD("SET_FEATURES: features 0x20000000 change while virtqueues run",
        fe_negotiate(&fe, SPLIT, 0);
        fe_start_ring(&fe, 1, FE_RING, 0);
        fe_send_u64(&fe, VHOST_USER_SET_FEATURES,
                    fe.features | BIT(VIRTIO_RING_F_EVENT_IDX), -1));
    BAD("SET_PROTOCOL_FEATURES: protocol features 0x",
        fe_send_u64(&fe, VHOST_USER_SET_PROTOCOL_FEATURES, UINT64_MAX, -1));
    BAD("GET_QUEUE_NUM: needs protocol features 0x1, which were not",
        fe_send(&fe, VHOST_USER_GET_QUEUE_NUM, NULL, 0));
    BAD("SET_STATUS: status 0x100 is more than a byte",
        fe_negotiate(&fe, SPLIT, BIT(VHOST_USER_PROTOCOL_F_STATUS));
        fe_send_u64(&fe, VHOST_USER_SET_STATUS, 0x100, -1));
    BAD("NET_SET_MTU: MTU 67 is not from 68 to 65535",
        fe_negotiate(&fe, SPLIT, BIT(VHOST_USER_PROTOCOL_F_MTU));
        fe_send_u64(&fe, VHOST_USER_NET_SET_MTU, 67, -1));
}

/* Sends 'request' about virtqueue 1, which runs. */
static void
send_running(uint32_t request)
{
    fe_negotiate(&fe, SPLIT, 0);
    fe_start_ring(&fe, 1, FE_RING, 0);
    fe_send_state(&fe, request, 1, 64);
}

static void
bad_vrings(void)
{
    struct vhost_user_vring_addr addr = { .index = 4 };

    BAD("SET_VRING_NUM: index 4 is beyond the last virtqueue, 3",
        fe_send_state(&fe, VHOST_USER_SET_VRING_NUM, 4, 64));
    BAD("SET_VRING_BASE: index 4294967295 is beyond the last virtqueue",
        fe_send_state(&fe, VHOST_USER_SET_VRING_BASE, UINT32_MAX, 64));
    BAD("GET_VRING_BASE: index 4 is beyond the last virtqueue, 3",
        fe_send_state(&fe, VHOST_USER_GET_VRING_BASE, 4, 0));
    BAD("SET_VRING_ADDR: index 4 is beyond the last virtqueue, 3",
        fe_send(&fe, VHOST_USER_SET_VRING_ADDR, &addr, sizeof addr));
    BAD("SET_VRING_NUM: size 0 is not from 1 to 32768",
        fe_send_state(&fe, VHOST_USER_SET_VRING_NUM, 0, 0));
    BAD("SET_VRING_NUM: size 32769 is not from 1 to 32768",
        fe_send_state(&fe, VHOST_USER_SET_VRING_NUM, 0, 32769));
    BAD("SET_VRING_NUM: virtqueue 1 is running",
        send_running(VHOST_USER_SET_VRING_NUM));
    BAD("SET_VRING_BASE: virtqueue 1 is running",
        send_running(VHOST_USER_SET_VRING_BASE));
    BAD("SET_VRING_ENABLE: num is 64, neither 0 nor 1",
        send_running(VHOST_USER_SET_VRING_ENABLE));
    BAD("SET_VRING_ENDIAN: big-endian rings for a legacy guest",
        fe_send_state(&fe, VHOST_USER_SET_VRING_ENDIAN, 0, 1));
    BAD("SET_VRING_KICK: has no file descriptor",
        fe_send_u64(&fe, VHOST_USER_SET_VRING_KICK, 0, -1));
    BAD("SET_VRING_KICK: has no eventfd, and in-band notifications were not",
        fe_send_u64(&fe, VHOST_USER_SET_VRING_KICK, VHOST_USER_VRING_NOFD,
                    -1));
    BAD("SET_VRING_KICK: has a file descriptor and denies it",
        fe_send_u64(&fe, VHOST_USER_SET_VRING_KICK, VHOST_USER_VRING_NOFD,
                    fe.memfd));
    BAD("SET_VRING_KICK: file descriptor is not an eventfd",
        fe_send_u64(&fe, VHOST_USER_SET_VRING_KICK, 0, fe.memfd));
    BAD("SET_VRING_CALL: file descriptor is not an eventfd",
        fe_send_u64(&fe, VHOST_USER_SET_VRING_CALL, 0, fe.sock));
    BAD("SET_VRING_CALL: reserved bits are set in 0x1000",
        fe_send_u64(&fe, VHOST_USER_SET_VRING_CALL, 0x1000, -1));
    BAD("SET_VRING_ERR: index 7 is beyond the last virtqueue, 3",
        fe_send_u64(&fe, VHOST_USER_SET_VRING_ERR, 7, -1));
}

/* Sends a table that says it has 'n' regions and has 'n_sent', each like
 * 'region', with as many file descriptors. */
static void
send_regions(uint32_t n, unsigned int n_sent,
             const struct vhost_user_region *region, int fd)
{
    struct vhost_user_mem_table table = { .n = n };

    for (unsigned int i = 0; i < n_sent; i++) {
        table.regions[i] = *region;
    }
    send_fds(VHOST_USER_SET_MEM_TABLE, &table,
             offsetof(struct vhost_user_mem_table, regions)
             + n_sent * sizeof table.regions[0], fd, n_sent);
}

#define BAD_REGION(TEXT, FD, ...)                                           \
    BAD("SET_MEM_TABLE: " TEXT,                                             \
        send_regions(1, 1, &(struct vhost_user_region) { __VA_ARGS__ }, FD))

#define NEGOTIATE(NAME)                                                      \
    fe_negotiate(&fe, SPLIT, BIT(VHOST_USER_PROTOCOL_F_##NAME))

/* A request about memory that comes with 'N_FDS' times 'FD'. */
#define BAD_MEMORY(FEATURE, REQUEST, PAYLOAD, TEXT, FD, N_FDS)              \
    BAD(#REQUEST ": " TEXT, NEGOTIATE(FEATURE);                             \
        send_fds(VHOST_USER_##REQUEST, &PAYLOAD, sizeof PAYLOAD, FD, N_FDS))

static void
bad_memory(void)
{
    static const struct vhost_user_region region = { .size = 4096 };
    static const struct vhost_user_region high = {
        .guest_address = UINT64_MAX - 4094, .size = 4096,
    };

    BAD("SET_MEM_TABLE: 9 regions don't fit in the message",
        send_regions(9, 8, &region, fe.memfd));
    BAD("SET_MEM_TABLE: 4294967295 regions don't fit in the message",
        send_regions(UINT32_MAX, 8, &region, fe.memfd));
    BAD("SET_MEM_TABLE: 2 regions don't fit in the message",
        send_regions(2, 1, &region, fe.memfd));
    BAD("SET_MEM_TABLE: 1 regions come with 2 file descriptors",
        send_regions(1, 2, &region, fe.memfd));
    BAD("SET_MEM_TABLE: region at 0 overlaps another",
        send_regions(2, 2, &region, fe.memfd));
    BAD_REGION("guest memory has impossible size 0", fe.memfd, .size = 0);
    BAD_REGION("guest memory ends at 0x400000 of its file, which has only "
               "0x200000 bytes", fe.memfd, .size = 4 * FE_MEMORY);
    BAD_REGION("guest memory has impossible size 0xff", fe.memfd,
               .size = UINT64_MAX - 100, .mmap_offset = 4096);
    BAD_REGION("region has impossible size 0x1000", fe.memfd, .size = 4096,
               .guest_address = UINT64_MAX - 4094);
    BAD_REGION("region has impossible size 0x1000", fe.memfd, .size = 4096,
               .user_address = UINT64_MAX - 4094);
    BAD_REGION("file of guest memory is not a regular file", fe.sock,
               .size = 4096);

    const struct vhost_user_single_region single = { .region = high };
    BAD("ADD_MEM_REG: needs protocol features 0x8000, which were not",
        fe_send(&fe, VHOST_USER_ADD_MEM_REG, &single, sizeof single));
    BAD_MEMORY(CONFIGURE_MEM_SLOTS, ADD_MEM_REG, single,
               "has 0 file descriptors, not 1 to 1", -1, 0);
    BAD_MEMORY(CONFIGURE_MEM_SLOTS, ADD_MEM_REG, single,
               "region has impossible size 0x1000", fe.memfd, 1);

    /* The dirty log. */
    struct vhost_user_log log = { .mmap_size = 4 * FE_MEMORY };
    BAD_MEMORY(LOG_SHMFD, SET_LOG_BASE, log,
               "has 0 file descriptors, not 1 to 1", -1, 0);
    BAD_MEMORY(LOG_SHMFD, SET_LOG_BASE, log,
               "the log ends at 0x400000 of its file", fe.memfd, 1);
    log.mmap_offset = UINT64_MAX;
    BAD_MEMORY(LOG_SHMFD, SET_LOG_BASE, log,
               "the log has impossible size 0x400000", fe.memfd, 1);
}

/* Sends an IOTLB message, with ACCESS_PLATFORM if 'behind'. */
static void
send_iotlb(bool behind, struct vhost_user_iotlb msg)
{
    fe_negotiate(&fe, SPLIT | (behind ? BIT(VIRTIO_F_ACCESS_PLATFORM) : 0),
                 BIT(VHOST_USER_PROTOCOL_F_BACKEND_REQ));
    fe_send(&fe, VHOST_USER_IOTLB_MSG, &msg, sizeof msg);
}

#define BAD_IOTLB(TEXT, ...)                                                \
    BAD("IOTLB_MSG: " TEXT,                                                 \
        send_iotlb(true, (struct vhost_user_iotlb) { __VA_ARGS__ }))

static void
bad_iotlb(void)
{
    BAD("IOTLB_MSG: VIRTIO_F_ACCESS_PLATFORM was not negotiated",
        send_iotlb(false, (struct vhost_user_iotlb) { .size = 4096 }));
    BAD_IOTLB("type 9 is neither", .size = 4096, .type = 9);
    BAD_IOTLB("range of 0 bytes at 0x1000 is impossible", .iova = 0x1000,
              .type = VHOST_IOTLB_UPDATE, .permissions = VHOST_ACCESS_RW);
    BAD_IOTLB("range of 0x2000 bytes at 0xfff", .iova = UINT64_MAX - 4095,
              .size = 8192, .type = VHOST_IOTLB_UPDATE,
              .permissions = VHOST_ACCESS_RW);
    BAD_IOTLB("user address 0xfff", .size = 8192,
              .user_address = UINT64_MAX - 4095, .type = VHOST_IOTLB_UPDATE,
              .permissions = VHOST_ACCESS_RW);
    BAD_IOTLB("permissions are 0x4", .size = 4096, .permissions = 4,
              .type = VHOST_IOTLB_UPDATE);
    BAD("SET_BACKEND_REQ_FD: has 0 file descriptors, not 1 to 1",
        NEGOTIATE(BACKEND_REQ);
        fe_send(&fe, VHOST_USER_SET_BACKEND_REQ_FD, NULL, 0));
}

static void
bad_inflight(void)
{
    struct vhost_user_inflight region = {
        .mmap_size = 65536, .num_queues = 4, .queue_size = FE_RING,
    };

    BAD("GET_INFLIGHT_FD: needs protocol features 0x1000, which were not",
        fe_send(&fe, VHOST_USER_GET_INFLIGHT_FD, &region, sizeof region));
#define BAD_INFLIGHT(REQUEST, TEXT, FD, N_FDS)                              \
    BAD_MEMORY(INFLIGHT_SHMFD, REQUEST, region, TEXT, FD, N_FDS)
    BAD_INFLIGHT(SET_INFLIGHT_FD, "has 0 file descriptors, not 1 to 1", -1, 0);
    BAD_INFLIGHT(SET_INFLIGHT_FD,
                 "file of the in-flight region is not a regular file",
                 fe.sock, 1);
    region.mmap_size = 4096;
    BAD_INFLIGHT(SET_INFLIGHT_FD, "0x1000 bytes at 0 don't hold 4 queues",
                 fe.memfd, 1);
    region.mmap_size = 4 * FE_MEMORY;
    BAD_INFLIGHT(SET_INFLIGHT_FD, "the in-flight region ends at 0x400000 of "
                 "its file", fe.memfd, 1);
    region.num_queues = 5;
    BAD_INFLIGHT(GET_INFLIGHT_FD, "num queues is 5, not 1 to 4", -1, 0);
}

static void
bad_config(void)
{
    struct vhost_user_config config = { .offset = 1, .size = 256 };

    BAD("GET_CONFIG: 256 bytes of configuration don't fit in the message's 12",
        NEGOTIATE(CONFIG);
        fe_send(&fe, VHOST_USER_GET_CONFIG, &config, 12));
    BAD("SET_CONFIG: configuration has no 256 bytes at 1",
        NEGOTIATE(CONFIG);
        fe_send(&fe, VHOST_USER_SET_CONFIG, &config, 12 + 256));
}

void
test_bad_messages(void)
{
    vlog_module_from_name("vhost_connection")->honor_rate_limits = false;

    /* Once all threads have begun to work, they have what they need open. */
    create_device();
    expect_connects(SPLIT);
    n_fds = count_fds();

    bad_headers();
    bad_features();
    bad_vrings();
    bad_memory();
    bad_iotlb();
    bad_inflight();
    bad_config();

    expect_connects(SPLIT);
    vhost_device_destroy(device, false);
}
