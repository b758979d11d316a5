/* The vhost-user protocol: what each message asks for.
 *
 * One table says for each request how large it may be, how many file
 * descriptors come with it, which protocol feature it needs and who answers
 * it, so that a handler finds all of that checked.  What a handler doesn't
 * like, or the table, ends the connection: a front-end that we misunderstand
 * is one that we must not share memory with. */
#include <config.h>
#include "vhost/device.h"
#include "vhost/iotlb.h"
#include "vhost/ring.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/virtio_config.h>
#include <linux/virtio_net.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "openvswitch/vlog.h"
#include "util.h"

VLOG_DEFINE_THIS_MODULE(vhost_protocol);

#define BIT(N) (1ULL << (N))

/* --- Features --- */

/* Offloads that a guest may ask of us, or that we may ask of it. */
static const uint64_t offload_features =
    BIT(VIRTIO_NET_F_CSUM) | BIT(VIRTIO_NET_F_GUEST_CSUM)
    | BIT(VIRTIO_NET_F_GSO)
    | BIT(VIRTIO_NET_F_GUEST_TSO4) | BIT(VIRTIO_NET_F_GUEST_TSO6)
    | BIT(VIRTIO_NET_F_GUEST_ECN) | BIT(VIRTIO_NET_F_GUEST_UFO)
    | BIT(VIRTIO_NET_F_GUEST_USO4) | BIT(VIRTIO_NET_F_GUEST_USO6)
    | BIT(VIRTIO_NET_F_HOST_USO)
    | BIT(VIRTIO_NET_F_HOST_TSO4) | BIT(VIRTIO_NET_F_HOST_TSO6)
    | BIT(VIRTIO_NET_F_HOST_ECN) | BIT(VIRTIO_NET_F_HOST_UFO);

/* What the control virtqueue offers is the front-end's to implement, but it
 * offers no more than we do. */
static const uint64_t control_features =
    BIT(VIRTIO_NET_F_CTRL_VQ) | BIT(VIRTIO_NET_F_CTRL_RX)
    | BIT(VIRTIO_NET_F_GUEST_ANNOUNCE) | BIT(VIRTIO_NET_F_STATUS);

/* Not among them: NOTIFICATION_DATA, since an eventfd carries no data;
 * HASH_REPORT: eight bytes more in each header, for a hash that guests use
 * only to steer packets, which we have done; and RING_RESET: we could stop a
 * single queue and start it again, but QEMU 7.2 passes the feature on and then
 * doesn't tell a vhost-user back-end of the reset, so that an `ethtool -G' in
 * the guest has us write into memory that isn't a ring any more. */
static const uint64_t ring_features =
    BIT(VIRTIO_F_VERSION_1) | BIT(VIRTIO_F_ANY_LAYOUT)
    | BIT(VIRTIO_F_ACCESS_PLATFORM)
    | BIT(VIRTIO_F_RING_PACKED) | BIT(VIRTIO_F_IN_ORDER)
    | BIT(VIRTIO_F_NOTIFY_ON_EMPTY)
    | BIT(VIRTIO_RING_F_INDIRECT_DESC) | BIT(VIRTIO_RING_F_EVENT_IDX)
    | BIT(VIRTIO_NET_F_MRG_RXBUF);

static const uint64_t transport_features =
    BIT(VHOST_F_LOG_ALL) | BIT(VHOST_USER_F_PROTOCOL_FEATURES);

uint64_t
vhost_protocol_virtio_features(const struct vhost_device_config *config)
{
    uint64_t features = offload_features | control_features | ring_features;

    if (config->max_queue_pairs > 1) {
        features |= BIT(VIRTIO_NET_F_MQ);
    }
    if (config->mtu) {
        features |= BIT(VIRTIO_NET_F_MTU);
    }
    return (features & ~config->disabled_features) | transport_features;
}

uint64_t
vhost_protocol_features(void)
{
    return (BIT(VHOST_USER_PROTOCOL_F_MQ)
            | BIT(VHOST_USER_PROTOCOL_F_LOG_SHMFD)
            | BIT(VHOST_USER_PROTOCOL_F_RARP)
            | BIT(VHOST_USER_PROTOCOL_F_REPLY_ACK)
            | BIT(VHOST_USER_PROTOCOL_F_MTU)
            | BIT(VHOST_USER_PROTOCOL_F_BACKEND_REQ)
            | BIT(VHOST_USER_PROTOCOL_F_CONFIG)
            | BIT(VHOST_USER_PROTOCOL_F_BACKEND_SEND_FD)
            | BIT(VHOST_USER_PROTOCOL_F_INFLIGHT_SHMFD)
            | BIT(VHOST_USER_PROTOCOL_F_RESET_DEVICE)
            | BIT(VHOST_USER_PROTOCOL_F_INBAND_NOTIFICATIONS)
            | BIT(VHOST_USER_PROTOCOL_F_CONFIGURE_MEM_SLOTS)
            | BIT(VHOST_USER_PROTOCOL_F_STATUS));
}

/* --- Helpers of the handlers --- */

static char *
reply_fd(struct vhost_device *dev, struct vhost_message *msg, size_t size,
         int fd)
{
    int error = vhost_connection_reply(dev->connection, msg, size, fd);

    return error ? xasprintf("cannot reply: %s", ovs_strerror(error)) : NULL;
}

static char *
reply(struct vhost_device *dev, struct vhost_message *msg, size_t size)
{
    return reply_fd(dev, msg, size, -1);
}

static char *
reply_u64(struct vhost_device *dev, struct vhost_message *msg, uint64_t value)
{
    msg->payload.u64 = value;
    return reply(dev, msg, sizeof value);
}

static bool
any_started(const struct vhost_device *dev)
{
    for (unsigned int i = 0; i < dev->max_queues; i++) {
        if (dev->queues[i] && dev->queues[i]->started) {
            return true;
        }
    }
    return false;
}

/* Finds the queue that 'index' of a message names. */
static char *
get_queue(struct vhost_device *dev, unsigned int index,
          struct vhost_queue **qp)
{
    *qp = NULL;
    if (index >= dev->max_queues) {
        return xasprintf("index %u is beyond the last virtqueue, %u", index,
                         dev->max_queues - 1);
    }
    *qp = vhost_device_queue(dev, index);
    return NULL;
}

static char *
get_stopped_queue(struct vhost_device *dev, unsigned int index,
                  struct vhost_queue **qp)
{
    char *error = get_queue(dev, index, qp);

    if (*qp && (*qp)->started) {
        error = xasprintf("virtqueue %u is running", index);
    }
    return error;
}

/* Takes the eventfd that SET_VRING_KICK and its like carry.  Stores -1 if the
 * message says that there's none. */
static char *
get_eventfd(struct vhost_device *dev, struct vhost_message *msg,
            struct vhost_queue **qp, int *fdp)
{
    uint64_t u64 = msg->payload.u64;
    char link[64], path[32];

    *fdp = -1;
    if (u64 & ~(uint64_t) (VHOST_USER_VRING_INDEX | VHOST_USER_VRING_NOFD)) {
        return xasprintf("reserved bits are set in %#"PRIx64, u64);
    }
    char *error = get_queue(dev, u64 & VHOST_USER_VRING_INDEX, qp);
    if (error || u64 & VHOST_USER_VRING_NOFD) {
        return error ? error
               : msg->n_fds ? xstrdup("has a file descriptor and denies it")
               : NULL;
    }
    if (msg->n_fds != 1) {
        return xstrdup("has no file descriptor");
    }

    /* Only an eventfd is known to behave when a service thread signals it; see
     * event.c for where O_NONBLOCK isn't enough. */
    int fd = msg->fds[0];
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(path, link, sizeof link - 1);
    link[MAX(n, 0)] = '\0';
    if (strcmp(link, "anon_inode:[eventfd]")) {
        return xstrdup("file descriptor is not an eventfd");
    }
    int flags = fcntl(fd, F_GETFL);
    if (!(flags & O_NONBLOCK)) {
        fcntl(fd, F_SETFL, flags | O_NONBLOCK);
    }
    *fdp = vhost_message_take_fd(msg, 0);
    return NULL;
}

/* --- Features and owner --- */

static char *
get_features(struct vhost_device *dev, struct vhost_message *msg)
{
    return reply_u64(dev, msg, dev->offered);
}

static char *
set_features(struct vhost_device *dev, struct vhost_message *msg)
{
    uint64_t features = msg->payload.u64;
    uint64_t changed = features ^ dev->features;

    if (features & ~dev->offered) {
        return xasprintf("features %#"PRIx64" were not offered",
                         features & ~dev->offered);
    }
    if (dev->features_set && changed & ~BIT(VHOST_F_LOG_ALL)
        && any_started(dev)) {
        return xasprintf("features %#"PRIx64" change while virtqueues run",
                         changed);
    }
    __atomic_store_n(&dev->features, features, __ATOMIC_RELAXED);
    dev->features_set = true;
    if (!(features & BIT(VIRTIO_F_ACCESS_PLATFORM)) != !dev->iotlb) {
        vhost_iotlb_destroy(dev->iotlb);
        dev->iotlb = (features & BIT(VIRTIO_F_ACCESS_PLATFORM)
                      ? vhost_iotlb_create() : NULL);
        vhost_device_remap(dev);
    }
    for (unsigned int i = 0; i < dev->max_queues; i++) {
        if (dev->queues[i]) {
            vhost_queue_set_logging(dev->queues[i]);
        }
    }
    VLOG_DBG("%s: features %#"PRIx64, dev->name, features);
    vhost_device_update(dev);
    return NULL;
}

static char *
get_protocol_features(struct vhost_device *dev, struct vhost_message *msg)
{
    return reply_u64(dev, msg, dev->offered_protocol);
}

static char *
set_protocol_features(struct vhost_device *dev, struct vhost_message *msg)
{
    uint64_t features = msg->payload.u64;

    if (features & ~dev->offered_protocol) {
        return xasprintf("protocol features %#"PRIx64" were not offered",
                         features & ~dev->offered_protocol);
    }
    dev->protocol_features = features;
    dev->inband = (features >> VHOST_USER_PROTOCOL_F_INBAND_NOTIFICATIONS) & 1;
    return NULL;
}

static char *
get_queue_num(struct vhost_device *dev, struct vhost_message *msg)
{
    return reply_u64(dev, msg, dev->max_queues / 2);
}

static char *
set_owner(struct vhost_device *dev OVS_UNUSED,
          struct vhost_message *msg OVS_UNUSED)
{
    return NULL;                /* A connection has one owner: its peer. */
}

static char *
reset(struct vhost_device *dev, struct vhost_message *msg OVS_UNUSED)
{
    vhost_device_reset(dev);
    vhost_device_update(dev);
    return NULL;
}

static char *
set_status(struct vhost_device *dev, struct vhost_message *msg)
{
    if (msg->payload.u64 > UINT8_MAX) {
        return xasprintf("status %#"PRIx64" is more than a byte",
                         msg->payload.u64);
    }
    if (!msg->payload.u64 && dev->virtio_status) {
        vhost_device_reset(dev);
        vhost_device_update(dev);
    }
    dev->virtio_status = msg->payload.u64;
    return NULL;
}

static char *
get_status(struct vhost_device *dev, struct vhost_message *msg)
{
    return reply_u64(dev, msg, dev->virtio_status);
}

/* --- Memory --- */

/* The region of 'dev' that is 'wanted' of 'fd', NULL if it has none. */
static struct vhost_region *
find_region(const struct vhost_device *dev,
            const struct vhost_user_region *wanted, int fd)
{
    for (unsigned int i = 0; dev->memory && i < dev->memory->n; i++) {
        if (vhost_region_is(dev->memory->regions[i], wanted, fd)) {
            return dev->memory->regions[i];
        }
    }
    return NULL;
}

/* Makes a region of 'wanted' for 'memory': that of the present memory if it's
 * the same, else a new one. */
static char *
add_region(struct vhost_device *dev, struct vhost_memory *memory,
           const struct vhost_user_region *wanted, int fd)
{
    struct vhost_region *region = find_region(dev, wanted, fd);
    char *error = NULL;

    bool is_new = !region;
    if (is_new) {
        region = vhost_region_map(dev, wanted, fd, &error);
        if (!region) {
            return error;
        }
    }
    if (!vhost_memory_add(memory, region)) {
        if (is_new) {
            vhost_region_unmap(region);
        }
        return xasprintf("region at %#"PRIx64" overlaps another",
                         wanted->guest_address);
    }
    return NULL;
}

/* Undoes what add_region() did. */
static void
abandon_memory(struct vhost_device *dev, struct vhost_memory *memory)
{
    for (unsigned int i = 0; i < memory->n; i++) {
        if (!dev->memory || !vhost_memory_has(dev->memory,
                                              memory->regions[i])) {
            vhost_region_unmap(memory->regions[i]);
        }
    }
    vhost_memory_free(memory);
}

static char *
set_mem_table(struct vhost_device *dev, struct vhost_message *msg)
{
    const struct vhost_user_mem_table *table = &msg->payload.mem_table;
    struct vhost_memory *memory;

    if (table->n > VHOST_USER_MAX_REGIONS
        || msg->header.size < offsetof(struct vhost_user_mem_table, regions)
                              + table->n * sizeof table->regions[0]) {
        return xasprintf("%"PRIu32" regions don't fit in the message",
                         table->n);
    }
    if (msg->n_fds != table->n) {
        return xasprintf("%"PRIu32" regions come with %u file descriptors",
                         table->n, msg->n_fds);
    }
    memory = vhost_memory_create();
    for (uint32_t i = 0; i < table->n; i++) {
        char *error = add_region(dev, memory, &table->regions[i], msg->fds[i]);
        if (error) {
            abandon_memory(dev, memory);
            return error;
        }
    }
    vhost_device_set_memory(dev, memory);
    vhost_device_update(dev);
    return NULL;
}

static char *
get_max_mem_slots(struct vhost_device *dev, struct vhost_message *msg)
{
    return reply_u64(dev, msg, VHOST_MAX_REGIONS);
}

static char *
add_mem_reg(struct vhost_device *dev, struct vhost_message *msg)
{
    /* QEMU before 8.1 adds, and removes, each region once per queue pair. */
    if (find_region(dev, &msg->payload.mem_region.region, msg->fds[0])) {
        return NULL;
    }
    if (dev->memory && dev->memory->n >= VHOST_MAX_REGIONS) {
        return xasprintf("more than %d regions", VHOST_MAX_REGIONS);
    }
    struct vhost_memory *memory = vhost_memory_clone(dev->memory);
    char *error = add_region(dev, memory, &msg->payload.mem_region.region,
                             msg->fds[0]);
    if (error) {
        vhost_memory_free(memory);
        return error;
    }
    vhost_device_set_memory(dev, memory);
    vhost_device_update(dev);
    return NULL;
}

static char *
rem_mem_reg(struct vhost_device *dev, struct vhost_message *msg)
{
    const struct vhost_user_region *region = &msg->payload.mem_region.region;
    struct vhost_memory *memory = vhost_memory_clone(dev->memory);

    if (!vhost_memory_remove(memory, region)) {
        vhost_memory_free(memory);
        return NULL;            /* Removed before: see add_mem_reg(). */
    }
    vhost_device_set_memory(dev, memory);
    vhost_device_update(dev);
    return NULL;
}

/* --- Dirty log --- */

static char *
set_log_base(struct vhost_device *dev, struct vhost_message *msg)
{
    char *error = vhost_dirty_log_set(dev, &msg->payload.log, msg->fds[0]);

    return error ? error : reply(dev, msg, 0);
}

static char *
set_log_fd(struct vhost_device *dev OVS_UNUSED,
           struct vhost_message *msg OVS_UNUSED)
{
    return NULL;                /* It would tell of logging errors; none. */
}

/* --- In-flight region --- */

static char *
get_inflight_fd(struct vhost_device *dev, struct vhost_message *msg)
{
    uint32_t size = msg->header.size;   /* With or without padding. */
    int fd;
    char *error = vhost_inflight_make(dev, &msg->payload.inflight, &fd);

    if (!error) {
        error = reply_fd(dev, msg, size, fd);
        close(fd);
    }
    return error;
}

static char *
set_inflight_fd(struct vhost_device *dev, struct vhost_message *msg)
{
    return (any_started(dev)
            ? xstrdup("virtqueues are running")
            : vhost_inflight_set(dev, &msg->payload.inflight, msg->fds[0]));
}

/* --- Virtqueues --- */

static char *
set_vring_num(struct vhost_device *dev, struct vhost_message *msg)
{
    uint32_t num = msg->payload.state.num;
    struct vhost_queue *q;
    char *error = get_stopped_queue(dev, msg->payload.state.index, &q);

    if (!error) {
        if (!num || num > 32768) {
            return xasprintf("size %"PRIu32" is not from 1 to 32768", num);
        }
        q->size = num;
    }
    return error;
}

static char *
set_vring_addr(struct vhost_device *dev, struct vhost_message *msg)
{
    const struct vhost_user_vring_addr *addr = &msg->payload.addr;
    struct vhost_queue *q;
    char *error = get_queue(dev, addr->index, &q);

    if (error) {
        return error;
    }
    if (q->started && (q->addr.descriptor != addr->descriptor
                       || q->addr.available != addr->available
                       || q->addr.used != addr->used)) {
        return xasprintf("virtqueue %"PRIu32" is running", addr->index);
    }
    /* A running queue may be told to log its used ring: we always do. */
    q->addr = *addr;
    q->has_addr = true;
    return NULL;
}

static char *
set_vring_base(struct vhost_device *dev, struct vhost_message *msg)
{
    struct vhost_queue *q;
    char *error = get_stopped_queue(dev, msg->payload.state.index, &q);

    if (!error) {
        q->base = msg->payload.state.num;
    }
    return error;
}

static char *
get_vring_base(struct vhost_device *dev, struct vhost_message *msg)
{
    struct vhost_queue *q;
    char *error = get_queue(dev, msg->payload.state.index, &q);

    if (error) {
        return error;
    }
    vhost_queue_stop(q);
    vhost_device_update(dev);
    msg->payload.state.num = (q->packed
                              ? q->next_avail | (uint32_t) q->next_used << 16
                              : q->next_avail);
    q->base = msg->payload.state.num;
    return reply(dev, msg, sizeof msg->payload.state);
}

static char *
set_vring_kick(struct vhost_device *dev, struct vhost_message *msg)
{
    struct vhost_queue *q;
    int fd;
    char *error = get_eventfd(dev, msg, &q, &fd);

    if (error) {
        return error;
    }
    if (fd < 0) {
        /* Kicks come in messages: VRING_KICK writes to our own eventfd. */
        if (!dev->inband) {
            return xstrdup("has no eventfd, and in-band notifications "
                           "were not negotiated");
        }
        fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
        if (fd < 0) {
            return xasprintf("eventfd: %s", ovs_strerror(errno));
        }
    }
    if (q->started) {
        q->base = (q->packed
                   ? q->next_avail | (uint32_t) q->next_used << 16
                   : q->next_avail);
    }
    vhost_queue_stop(q);
    if (q->kick_fd >= 0) {
        close(q->kick_fd);
    }
    q->kick_fd = fd;
    if (!(dev->features & BIT(VHOST_USER_F_PROTOCOL_FEATURES))) {
        q->enabled = true;      /* There's no SET_VRING_ENABLE then. */
    }
    vhost_queue_start(q);
    vhost_device_update(dev);
    return NULL;
}

static char *
set_vring_call(struct vhost_device *dev, struct vhost_message *msg)
{
    struct vhost_queue *q;
    int fd;
    char *error = get_eventfd(dev, msg, &q, &fd);

    if (!error) {
        vhost_queue_set_call_fd(q, fd);
    }
    return error;
}

static char *
set_vring_err(struct vhost_device *dev, struct vhost_message *msg)
{
    struct vhost_queue *q;
    int fd;
    char *error = get_eventfd(dev, msg, &q, &fd);

    if (!error) {
        if (q->err_fd >= 0) {
            close(q->err_fd);
        }
        q->err_fd = fd;
    }
    return error;
}

static char *
set_vring_enable(struct vhost_device *dev, struct vhost_message *msg)
{
    struct vhost_queue *q;
    char *error = get_queue(dev, msg->payload.state.index, &q);

    if (error) {
        return error;
    }
    if (msg->payload.state.num > 1) {
        return xasprintf("num is %"PRIu32", neither 0 nor 1",
                         msg->payload.state.num);
    }
    vhost_queue_lock(q);
    q->enabled = msg->payload.state.num;
    vhost_queue_unlock(q);
    vhost_device_update(dev);
    return NULL;
}

static char *
vring_kick(struct vhost_device *dev, struct vhost_message *msg)
{
    struct vhost_queue *q;
    char *error = get_queue(dev, msg->payload.state.index, &q);

    if (!error && q->kick_fd >= 0) {
        vhost_event_signal(q->kick_fd);
    }
    return error;
}

static char *
set_vring_endian(struct vhost_device *dev OVS_UNUSED,
                 struct vhost_message *msg)
{
    return xasprintf("%s-endian rings for a legacy guest are not supported; "
                     "use a guest with virtio 1.0",
                     msg->payload.state.num ? "big" : "little");
}

/* --- The rest --- */

static char *
iotlb_msg(struct vhost_device *dev, struct vhost_message *msg)
{
    if (!dev->iotlb) {
        return xstrdup("VIRTIO_F_ACCESS_PLATFORM was not negotiated");
    }
    const struct vhost_user_iotlb *m = &msg->payload.iotlb;
    VLOG_DBG("%s: IOTLB %s of %#"PRIx64" bytes at %#"PRIx64" to %#"PRIx64
             ", access %u", dev->name,
             m->type == VHOST_IOTLB_UPDATE ? "update" : "invalidation",
             m->size, m->iova, m->user_address, m->permissions);
    char *error = vhost_iotlb_handle(dev->iotlb, m);
    if (!error) {
        vhost_device_answered(dev, m->iova, m->iova + m->size - 1);
        if (vhost_device_remap(dev)) {
            vhost_device_update(dev);
        }
        vhost_control_wake();   /* The next miss. */
    }
    return error;
}

static char *
get_config(struct vhost_device *dev, struct vhost_message *msg)
{
    uint32_t size = msg->header.size;
    char *error = vhost_config_space_get(dev, msg);

    return error ? error : reply(dev, msg, size);
}

static char *
set_config(struct vhost_device *dev OVS_UNUSED, struct vhost_message *msg)
{
    return vhost_config_space_set(msg);
}

static char *
send_rarp(struct vhost_device *dev, struct vhost_message *msg)
{
    uint8_t mac[6];

    memcpy(mac, msg->payload.bytes, sizeof mac);
    if (dev->ops->rarp) {
        dev->ops->rarp(dev, mac, dev->aux);
    }
    return NULL;
}

static char *
net_set_mtu(struct vhost_device *dev, struct vhost_message *msg)
{
    uint64_t mtu = msg->payload.u64;

    if (mtu < 68 || mtu > 65535) {
        return xasprintf("MTU %"PRIu64" is not from 68 to 65535", mtu);
    }
    VLOG_DBG("%s: front-end sets MTU %"PRIu64, dev->name, mtu);
    return NULL;
}

static char *
set_backend_req_fd(struct vhost_device *dev, struct vhost_message *msg)
{
    int old = dev->backend_fd;

    __atomic_store_n(&dev->backend_fd, vhost_message_take_fd(msg, 0),
                     __ATOMIC_RELEASE);
    if (old >= 0) {
        vhost_synchronize();
        close(old);
    }
    vhost_control_wake();       /* Queues may miss translations already. */
    return NULL;
}

/* --- The table --- */

#define U64 sizeof(uint64_t)
#define STATE sizeof(struct vhost_user_vring_state)
#define F(NAME) (BIT(VHOST_USER_PROTOCOL_F_##NAME))

static const struct request {
    const char *name;
    char *(*handle)(struct vhost_device *, struct vhost_message *);
    uint32_t min_size, max_size;
    uint8_t min_fds, max_fds;
    bool replies;               /* The handler replies itself. */
    uint64_t needs;             /* Protocol feature. */
} requests[VHOST_USER_N_REQUESTS] = {
#define REQUEST(NAME, HANDLE, MIN_SIZE, MAX_SIZE, MIN_FDS, MAX_FDS, REPLIES, \
                NEEDS)                                                       \
    [VHOST_USER_##NAME] = { #NAME, HANDLE, MIN_SIZE, MAX_SIZE,               \
                            MIN_FDS, MAX_FDS, REPLIES, NEEDS }
    /* Some front-ends send an idle payload with a question. */
    REQUEST(GET_FEATURES, get_features, 0, U64, 0, 0, true, 0),
    REQUEST(SET_FEATURES, set_features, U64, U64, 0, 0, false, 0),
    REQUEST(SET_OWNER, set_owner, 0, U64, 0, 0, false, 0),
    REQUEST(RESET_OWNER, reset, 0, U64, 0, 0, false, 0),
    REQUEST(SET_MEM_TABLE, set_mem_table,
            offsetof(struct vhost_user_mem_table, regions),
            sizeof(struct vhost_user_mem_table), 0, VHOST_USER_MAX_REGIONS,
            false, 0),
    REQUEST(SET_LOG_BASE, set_log_base, sizeof(struct vhost_user_log),
            sizeof(struct vhost_user_log), 1, 1, true, F(LOG_SHMFD)),
    REQUEST(SET_LOG_FD, set_log_fd, 0, U64, 0, 1, false, 0),
    REQUEST(SET_VRING_NUM, set_vring_num, STATE, STATE, 0, 0, false, 0),
    REQUEST(SET_VRING_ADDR, set_vring_addr,
            sizeof(struct vhost_user_vring_addr),
            sizeof(struct vhost_user_vring_addr), 0, 0, false, 0),
    REQUEST(SET_VRING_BASE, set_vring_base, STATE, STATE, 0, 0, false, 0),
    REQUEST(GET_VRING_BASE, get_vring_base, STATE, STATE, 0, 0, true, 0),
    REQUEST(SET_VRING_KICK, set_vring_kick, U64, U64, 0, 1, false, 0),
    REQUEST(SET_VRING_CALL, set_vring_call, U64, U64, 0, 1, false, 0),
    REQUEST(SET_VRING_ERR, set_vring_err, U64, U64, 0, 1, false, 0),
    REQUEST(GET_PROTOCOL_FEATURES, get_protocol_features, 0, U64, 0, 0, true,
            0),
    REQUEST(SET_PROTOCOL_FEATURES, set_protocol_features, U64, U64, 0, 0,
            false, 0),
    REQUEST(GET_QUEUE_NUM, get_queue_num, 0, U64, 0, 0, true, F(MQ)),
    REQUEST(SET_VRING_ENABLE, set_vring_enable, STATE, STATE, 0, 0, false, 0),
    REQUEST(SEND_RARP, send_rarp, U64, U64, 0, 0, false, F(RARP)),
    REQUEST(NET_SET_MTU, net_set_mtu, U64, U64, 0, 0, false, F(MTU)),
    REQUEST(SET_BACKEND_REQ_FD, set_backend_req_fd, 0, U64, 1, 1, false,
            F(BACKEND_REQ)),
    REQUEST(IOTLB_MSG, iotlb_msg, sizeof(struct vhost_user_iotlb),
            sizeof(struct vhost_user_iotlb), 0, 0, false, F(BACKEND_REQ)),
    REQUEST(SET_VRING_ENDIAN, set_vring_endian, STATE, STATE, 0, 0, false, 0),
    REQUEST(GET_CONFIG, get_config, offsetof(struct vhost_user_config, data),
            sizeof(struct vhost_user_config), 0, 0, true, F(CONFIG)),
    REQUEST(SET_CONFIG, set_config, offsetof(struct vhost_user_config, data),
            sizeof(struct vhost_user_config), 0, 0, false, F(CONFIG)),
    REQUEST(GET_INFLIGHT_FD, get_inflight_fd,
            offsetof(struct vhost_user_inflight, padding),
            sizeof(struct vhost_user_inflight), 0, 0, true,
            F(INFLIGHT_SHMFD)),
    REQUEST(SET_INFLIGHT_FD, set_inflight_fd,
            offsetof(struct vhost_user_inflight, padding),
            sizeof(struct vhost_user_inflight), 1, 1, false,
            F(INFLIGHT_SHMFD)),
    REQUEST(RESET_DEVICE, reset, 0, U64, 0, 0, false, F(RESET_DEVICE)),
    REQUEST(VRING_KICK, vring_kick, STATE, STATE, 0, 0, false,
            F(INBAND_NOTIFICATIONS)),
    REQUEST(GET_MAX_MEM_SLOTS, get_max_mem_slots, 0, U64, 0, 0, true,
            F(CONFIGURE_MEM_SLOTS)),
    REQUEST(ADD_MEM_REG, add_mem_reg, sizeof(struct vhost_user_single_region),
            sizeof(struct vhost_user_single_region), 1, 1, false,
            F(CONFIGURE_MEM_SLOTS)),
    REQUEST(REM_MEM_REG, rem_mem_reg, sizeof(struct vhost_user_single_region),
            sizeof(struct vhost_user_single_region), 0, 1, false,
            F(CONFIGURE_MEM_SLOTS)),
    REQUEST(SET_STATUS, set_status, U64, U64, 0, 0, false, F(STATUS)),
    REQUEST(GET_STATUS, get_status, 0, U64, 0, 0, true, F(STATUS)),
#undef REQUEST
};

const char *
vhost_request_name(uint32_t number)
{
    static __thread char s[24];

    if (number < VHOST_USER_N_REQUESTS && requests[number].name) {
        return requests[number].name;
    }
    snprintf(s, sizeof s, "request %"PRIu32, number);
    return s;
}

/* Checks 'msg' against the table. */
static char *
check(const struct vhost_device *dev, const struct vhost_message *msg)
{
    const struct vhost_user_header *h = &msg->header;

    if ((h->flags & VHOST_USER_VERSION_MASK) != VHOST_USER_VERSION) {
        return xasprintf("flags %#"PRIx32" don't have version 1", h->flags);
    }
    if (h->flags & VHOST_USER_REPLY) {
        return xstrdup("flags say that it is a reply, and we asked nothing");
    }
    if (h->request >= VHOST_USER_N_REQUESTS || !requests[h->request].handle) {
        return xstrdup("is a request that we don't know");
    }
    const struct request *r = &requests[h->request];
    if (r->needs & ~dev->protocol_features) {
        return xasprintf("needs protocol features %#"PRIx64", which were not "
                         "negotiated", r->needs & ~dev->protocol_features);
    }
    if (h->size < r->min_size || h->size > r->max_size) {
        return xasprintf("size is %"PRIu32", not %"PRIu32" to %"PRIu32,
                         h->size, r->min_size, r->max_size);
    }
    if (msg->n_fds < r->min_fds || msg->n_fds > r->max_fds) {
        return xasprintf("has %u file descriptors, not %u to %u", msg->n_fds,
                         r->min_fds, r->max_fds);
    }
    return NULL;
}

char *
vhost_protocol_handle(struct vhost_device *dev, struct vhost_message *msg)
{
    bool wants_ack = (msg->header.flags & VHOST_USER_NEED_REPLY
                      && dev->protocol_features & F(REPLY_ACK));
    char *error = check(dev, msg);
    bool replies = !error && requests[msg->header.request].replies;

    VLOG_DBG("%s: %s", dev->name, vhost_request_name(msg->header.request));
    if (!error) {
        error = requests[msg->header.request].handle(dev, msg);
    }
    if (wants_ack && !replies) {
        char *reply_error = reply_u64(dev, msg, error != NULL);

        if (error) {
            free(reply_error);
        } else {
            error = reply_error;
        }
    }
    return error;
}
