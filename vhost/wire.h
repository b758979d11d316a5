/* What travels over a vhost-user socket: message numbers, layouts and flags,
 * named as in the vhost-user specification (QEMU's docs/interop/vhost-user).
 * Integers are in host byte order: both ends run on one machine. */
#ifndef VHOST_WIRE_H
#define VHOST_WIRE_H 1

#include <stddef.h>
#include <stdint.h>

enum vhost_user_request {
    VHOST_USER_GET_FEATURES = 1,
    VHOST_USER_SET_FEATURES = 2,
    VHOST_USER_SET_OWNER = 3,
    VHOST_USER_RESET_OWNER = 4,
    VHOST_USER_SET_MEM_TABLE = 5,
    VHOST_USER_SET_LOG_BASE = 6,
    VHOST_USER_SET_LOG_FD = 7,
    VHOST_USER_SET_VRING_NUM = 8,
    VHOST_USER_SET_VRING_ADDR = 9,
    VHOST_USER_SET_VRING_BASE = 10,
    VHOST_USER_GET_VRING_BASE = 11,
    VHOST_USER_SET_VRING_KICK = 12,
    VHOST_USER_SET_VRING_CALL = 13,
    VHOST_USER_SET_VRING_ERR = 14,
    VHOST_USER_GET_PROTOCOL_FEATURES = 15,
    VHOST_USER_SET_PROTOCOL_FEATURES = 16,
    VHOST_USER_GET_QUEUE_NUM = 17,
    VHOST_USER_SET_VRING_ENABLE = 18,
    VHOST_USER_SEND_RARP = 19,
    VHOST_USER_NET_SET_MTU = 20,
    VHOST_USER_SET_BACKEND_REQ_FD = 21,
    VHOST_USER_IOTLB_MSG = 22,
    VHOST_USER_SET_VRING_ENDIAN = 23,
    VHOST_USER_GET_CONFIG = 24,
    VHOST_USER_SET_CONFIG = 25,
    VHOST_USER_GET_INFLIGHT_FD = 31,
    VHOST_USER_SET_INFLIGHT_FD = 32,
    VHOST_USER_RESET_DEVICE = 34,
    VHOST_USER_VRING_KICK = 35,
    VHOST_USER_GET_MAX_MEM_SLOTS = 36,
    VHOST_USER_ADD_MEM_REG = 37,
    VHOST_USER_REM_MEM_REG = 38,
    VHOST_USER_SET_STATUS = 39,
    VHOST_USER_GET_STATUS = 40,
    VHOST_USER_N_REQUESTS
};

/* Requests of the back-end, over the channel of SET_BACKEND_REQ_FD. */
enum vhost_user_backend_request {
    VHOST_USER_BACKEND_IOTLB_MSG = 1,
    VHOST_USER_BACKEND_VRING_CALL = 4,
    VHOST_USER_BACKEND_VRING_ERR = 5,
};

/* Feature bits that <linux/virtio_net.h> has since Linux 6.2. */
#ifndef VIRTIO_NET_F_GUEST_USO4
#define VIRTIO_NET_F_GUEST_USO4 54
#define VIRTIO_NET_F_GUEST_USO6 55
#define VIRTIO_NET_F_HOST_USO 56
#endif

/* Bits of virtio's feature word that belong to the transport. */
#define VHOST_F_LOG_ALL 26
#define VHOST_USER_F_PROTOCOL_FEATURES 30

enum vhost_user_protocol_feature {
    VHOST_USER_PROTOCOL_F_MQ = 0,
    VHOST_USER_PROTOCOL_F_LOG_SHMFD = 1,
    VHOST_USER_PROTOCOL_F_RARP = 2,
    VHOST_USER_PROTOCOL_F_REPLY_ACK = 3,
    VHOST_USER_PROTOCOL_F_MTU = 4,
    VHOST_USER_PROTOCOL_F_BACKEND_REQ = 5,
    VHOST_USER_PROTOCOL_F_CROSS_ENDIAN = 6,
    VHOST_USER_PROTOCOL_F_CONFIG = 9,
    VHOST_USER_PROTOCOL_F_BACKEND_SEND_FD = 10,
    VHOST_USER_PROTOCOL_F_INFLIGHT_SHMFD = 12,
    VHOST_USER_PROTOCOL_F_RESET_DEVICE = 13,
    VHOST_USER_PROTOCOL_F_INBAND_NOTIFICATIONS = 14,
    VHOST_USER_PROTOCOL_F_CONFIGURE_MEM_SLOTS = 15,
    VHOST_USER_PROTOCOL_F_STATUS = 16,
};

/* struct vhost_user_header's 'flags'. */
#define VHOST_USER_VERSION_MASK 0x3
#define VHOST_USER_VERSION 0x1
#define VHOST_USER_REPLY (1u << 2)
#define VHOST_USER_NEED_REPLY (1u << 3)

#define VHOST_USER_MAX_REGIONS 8        /* Of one SET_MEM_TABLE. */
#define VHOST_USER_MAX_FDS 8            /* Of one message. */
#define VHOST_USER_MAX_CONFIG 256
#define VHOST_USER_VRING_INDEX 0xff     /* In the u64 of SET_VRING_KICK... */
#define VHOST_USER_MAX_VRINGS 256       /* ...which can name no more. */
#define VHOST_USER_VRING_NOFD 0x100
#define VHOST_USER_VRING_LOG 0x1        /* In vhost_user_vring_addr.flags. */

struct vhost_user_header {
    uint32_t request;
    uint32_t flags;
    uint32_t size;              /* Of the payload, bytes. */
};

struct vhost_user_vring_state {
    uint32_t index;
    uint32_t num;
};

struct vhost_user_vring_addr {
    uint32_t index;
    uint32_t flags;
    uint64_t descriptor;        /* User addresses of the front-end, or I/O
                                 * virtual ones with ACCESS_PLATFORM. */
    uint64_t used;
    uint64_t available;
    uint64_t log;
};

struct vhost_user_region {
    uint64_t guest_address;
    uint64_t size;
    uint64_t user_address;
    uint64_t mmap_offset;
};

struct vhost_user_mem_table {
    uint32_t n;
    uint32_t padding;
    struct vhost_user_region regions[VHOST_USER_MAX_REGIONS];
};

struct vhost_user_single_region {
    uint64_t padding;
    struct vhost_user_region region;
};

struct vhost_user_log {
    uint64_t mmap_size;
    uint64_t mmap_offset;
};

struct vhost_user_iotlb {
    uint64_t iova;
    uint64_t size;
    uint64_t user_address;
    uint8_t permissions;        /* VHOST_ACCESS_*. */
    uint8_t type;               /* VHOST_IOTLB_*. */
    uint8_t padding[6];
};
enum { VHOST_ACCESS_RO = 1, VHOST_ACCESS_WO = 2, VHOST_ACCESS_RW = 3 };
enum { VHOST_IOTLB_MISS = 1, VHOST_IOTLB_UPDATE = 2,
       VHOST_IOTLB_INVALIDATE = 3 };

struct vhost_user_config {
    uint32_t offset;
    uint32_t size;
    uint32_t flags;
    uint8_t data[VHOST_USER_MAX_CONFIG];
};

struct vhost_user_inflight {
    uint64_t mmap_size;
    uint64_t mmap_offset;
    uint16_t num_queues;
    uint16_t queue_size;
    uint8_t padding[4];
};

union vhost_user_payload {
    uint64_t u64;
    struct vhost_user_vring_state state;
    struct vhost_user_vring_addr addr;
    struct vhost_user_mem_table mem_table;
    struct vhost_user_single_region mem_region;
    struct vhost_user_log log;
    struct vhost_user_iotlb iotlb;
    struct vhost_user_config config;
    struct vhost_user_inflight inflight;
    uint8_t bytes[272];
};

/* A message that has been received whole.  The handler takes those 'fds' that
 * it keeps with vhost_message_take_fd(); the others are closed after it. */
struct vhost_message {
    struct vhost_user_header header;
    union vhost_user_payload payload;
    int fds[VHOST_USER_MAX_FDS];        /* -1 where taken. */
    unsigned int n_fds;
};

#endif /* wire.h */
