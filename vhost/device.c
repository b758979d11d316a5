/* The life of a device: created, connected, running, disconnected, destroyed.
 *
 * The main thread creates and destroys it; in between it belongs to the
 * control thread.  See device.h for what belongs to whom. */
#include <config.h>
#include "vhost/device.h"
#include "vhost/iotlb.h"
#include "vhost/ring.h"
#include "vhost/ring-state.h"

#include <errno.h>
#include <linux/mempolicy.h>
#include <linux/virtio_config.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "openvswitch/vlog.h"
#include "util.h"

VLOG_DEFINE_THIS_MODULE(vhost_device);

static struct vlog_rate_limit rl = VLOG_RATE_LIMIT_INIT(20, 20);

static void
device_free(struct vhost_device *dev)
{
    ovs_mutex_destroy(&dev->mutex);
    free(dev->queues);
    free(dev->state_dir);
    free(dev->path);
    free(dev->name);
    free(dev);
}

static void
start_cb(void *dev_)
{
    struct vhost_device *dev = dev_;

    vhost_service_add(dev);
    vhost_socket_start(dev);
}

int
vhost_device_create(const struct vhost_device_config *config,
                    struct vhost_device **devp, char **errp)
{
    struct vhost_device *dev = xzalloc(sizeof *dev);
    unsigned int n_pairs = MIN(MAX(config->max_queue_pairs, 1),
                               VHOST_USER_MAX_VRINGS / 2);

    *devp = NULL;
    *errp = NULL;
    dev->name = xstrdup(config->name);
    dev->path = xstrdup(config->path);
    dev->connect = config->connect;
    dev->uid = config->uid;
    dev->gid = config->gid;
    dev->mode = config->mode;
    dev->max_queues = 2 * n_pairs;
    dev->mtu = config->mtu;
    dev->offered = vhost_protocol_virtio_features(config);
    dev->offered_protocol = vhost_protocol_features();
    dev->state_dir = nullable_xstrdup(config->state_dir);
    dev->pool = config->pool;
    dev->ops = config->ops;
    dev->aux = config->aux;
    dev->backend_fd = -1;
    dev->queues = xcalloc(dev->max_queues, sizeof *dev->queues);
    dev->map = vhost_map_from_memory(NULL);
    dev->status.numa_node = -1;
    ovs_mutex_init(&dev->mutex);

    int error = vhost_socket_open(dev, errp);
    if (error) {
        free(CONST_CAST(struct vhost_map *, dev->map));
        device_free(dev);
        return error;
    }
    vhost_control_run(start_cb, dev);
    *devp = dev;
    return 0;
}

static void
destroy_cb(void *dev_)
{
    struct vhost_device *dev = dev_;

    vhost_service_remove(dev);
    vhost_socket_close(dev);
    vhost_device_disconnect(dev);
    vhost_ring_state_close(dev);
}

void
vhost_device_destroy(struct vhost_device *dev, bool keep_state)
{
    if (!dev) {
        return;
    }
    vhost_control_run(destroy_cb, dev);
    if (!keep_state) {
        vhost_ring_state_remove(dev);
    }
    for (unsigned int i = 0; i < dev->max_queues; i++) {
        vhost_queue_destroy(dev->queues[i]);
    }
    free(CONST_CAST(struct vhost_map *, dev->map));
    device_free(dev);
}

/* --- Connection --- */

void
vhost_device_connected(struct vhost_device *dev, int fd)
{
    VLOG_INFO_RL(&rl, "%s: front-end connected on %s", dev->name, dev->path);
    dev->connection = vhost_connection_create(dev, fd);
    ovs_mutex_lock(&dev->mutex);
    dev->status.n_connects++;
    dev->status.error[0] = '\0';
    ovs_mutex_unlock(&dev->mutex);
    vhost_device_update(dev);
}

/* Returns the device to what it is before a front-end says anything. */
void
vhost_device_reset(struct vhost_device *dev)
{
    for (unsigned int i = 0; i < dev->max_queues; i++) {
        if (dev->queues[i]) {
            vhost_queue_reset(dev->queues[i]);
        }
    }
    if (dev->iotlb) {
        vhost_iotlb_destroy(dev->iotlb);
        dev->iotlb = NULL;
        vhost_device_remap(dev);
    }
    dev->features = 0;
    dev->features_set = false;
    dev->virtio_status = 0;
}

void
vhost_device_disconnect(struct vhost_device *dev)
{
    struct vhost_connection *connection = dev->connection;

    if (!connection) {
        return;
    }
    VLOG_INFO_RL(&rl, "%s: front-end disconnected from %s", dev->name,
                 dev->path);
    dev->connection = NULL;     /* Before queues stop: they go by that. */
    vhost_device_reset(dev);
    /* The front-end, as it sees that, takes what is in the rings for where
     * the queues stopped. */
    vhost_connection_destroy(connection);
    vhost_dirty_log_clear(dev);
    vhost_device_set_memory(dev, NULL);
    vhost_mapping_destroy(&dev->inflight);
    dev->n_inflight = 0;
    dev->protocol_features = 0;
    dev->inband = false;
    if (dev->backend_fd >= 0) {
        int fd = dev->backend_fd;

        __atomic_store_n(&dev->backend_fd, -1, __ATOMIC_RELEASE);
        vhost_synchronize();
        close(fd);
    }
    dev->broken = false;
    vhost_device_update(dev);
    vhost_socket_resume(dev);
}

/* --- Memory --- */

static bool
has_region(const struct vhost_memory *memory, const struct vhost_region *r)
{
    return memory && vhost_memory_has(memory, r);
}

/* Has all queues translate by a new map, of the present memory and IOTLB.
 * When it returns nobody uses the old one.  Returns true if a queue could
 * start because of it. */
bool
vhost_device_remap(struct vhost_device *dev)
{
    const struct vhost_map *old = dev->map;
    bool any_started = false;

    dev->map = (dev->iotlb ? vhost_iotlb_map(dev->iotlb, dev->memory)
                : vhost_map_from_memory(dev->memory));
    for (unsigned int i = 0; i < dev->max_queues; i++) {
        if (dev->queues[i]) {
            any_started |= vhost_queue_remap(dev->queues[i]);
        }
    }
    vhost_synchronize();
    free(CONST_CAST(struct vhost_map *, old));
    return any_started;
}

/* Exchanges guest memory.  'memory', which becomes the device's, may share
 * regions with the one before; regions that it doesn't have are unmapped. */
void
vhost_device_set_memory(struct vhost_device *dev, struct vhost_memory *memory)
{
    struct vhost_memory *old = dev->memory;

    __atomic_store_n(&dev->memory, memory, __ATOMIC_RELEASE);
    vhost_device_remap(dev);
    for (unsigned int i = 0; old && i < old->n; i++) {
        if (!has_region(memory, old->regions[i])) {
            vhost_region_unmap(old->regions[i]);
        }
    }
    vhost_memory_free(old);
}

/* The NUMA node of the memory at 'host', -1 if unknown. */
static int
numa_node_of(const void *host)
{
    int node = -1;

    if (!host || syscall(SYS_get_mempolicy, &node, NULL, 0UL, host,
                         MPOL_F_NODE | MPOL_F_ADDR)) {
        return -1;
    }
    return node;
}

/* --- Queues --- */

/* Returns virtqueue 'index' of 'dev', which must be below dev->max_queues. */
struct vhost_queue *
vhost_device_queue(struct vhost_device *dev, unsigned int index)
{
    if (!dev->queues[index]) {
        struct vhost_queue *q = vhost_queue_create(dev, index);

        __atomic_store_n(&dev->queues[index], q, __ATOMIC_RELEASE);
    }
    return dev->queues[index];
}

static bool
is_usable(const struct vhost_queue *q)
{
    return q && q->running && q->enabled;
}

void
vhost_device_update(struct vhost_device *dev)
{
    struct vhost_device_status new, old;
    const struct vhost_queue *first = NULL;
    bool broken = false;

    vhost_steering_update(dev);
    ovs_mutex_lock(&dev->mutex);
    old = new = dev->status;
    ovs_mutex_unlock(&dev->mutex);

    new.connected = dev->connection != NULL;
    new.running = false;
    new.features = dev->features;
    new.protocol_features = dev->protocol_features;
    new.n_queues = new.n_enabled = 0;
    for (unsigned int i = 0; i < dev->max_queues; i++) {
        const struct vhost_queue *q = dev->queues[i];

        broken |= q && q->broken;
        if (q && q->started) {
            new.n_queues++;
            new.n_enabled += q->enabled;
            first = first ? first : q;
            if (i % 2 && is_usable(q) && is_usable(dev->queues[i - 1])) {
                new.running = true;
            }
        }
    }
    if (dev->connection && !broken) {
        new.error[0] = '\0';    /* The guest has started again. */
    }
    if (new.running != old.running) {
        new.numa_node = new.running ? numa_node_of(first->desc) : -1;
        VLOG_INFO_RL(&rl, "%s: link is %s", dev->name,
                     new.running ? "up" : "down");
    }
    ovs_mutex_lock(&dev->mutex);
    dev->status = new;
    ovs_mutex_unlock(&dev->mutex);
    if (dev->ops->changed) {
        dev->ops->changed(dev, dev->aux);
    }
}

static void
set_error(struct vhost_device *dev, const char *error)
{
    ovs_mutex_lock(&dev->mutex);
    ovs_strlcpy(dev->status.error, error, sizeof dev->status.error);
    ovs_mutex_unlock(&dev->mutex);
}

/* Asks the front-end for the translation that 'q' waits for.  Returns 0 or a
 * positive errno value. */
static int
ask_for_miss(struct vhost_device *dev, const struct vhost_queue *q)
{
    const struct vhost_message msg = {
        .header = {
            .request = VHOST_USER_BACKEND_IOTLB_MSG,
            .flags = VHOST_USER_VERSION,
            .size = sizeof msg.payload.iotlb,
        },
        .payload.iotlb = {
            .iova = q->missing_addr,
            .permissions = q->missing_access,
            .type = VHOST_IOTLB_MISS,
        },
    };

    VLOG_DBG("%s: IOTLB miss of %#"PRIx64" for virtqueue %u", dev->name,
             q->missing_addr, q->index);
    return vhost_message_send(dev->backend_fd, &msg, -1);
}

/* Asks for what all queues wait for.  What can't be said now, because there is
 * no channel yet or it is full, is said when we get here again: after the
 * channel has come or an answer to an earlier question. */
static void
ask_for_misses(struct vhost_device *dev)
{
    for (unsigned int i = 0; i < dev->max_queues; i++) {
        struct vhost_queue *q = dev->queues[i];

        if (!q || dev->backend_fd < 0) {
            continue;
        }
        vhost_queue_lock(q);
        bool missing = q->missing;
        vhost_queue_unlock(q);
        /* Only we end that state, so the miss stays what it is. */
        if (missing && !(q->asked && q->asked_addr == q->missing_addr)) {
            int error = ask_for_miss(dev, q);

            q->asked = !error;
            q->asked_addr = q->missing_addr;
            if (error && error != EAGAIN) {
                VLOG_WARN_RL(&rl, "%s: cannot ask the front-end for address "
                             "%#"PRIx64": %s", dev->name, q->missing_addr,
                             ovs_strerror(error));
            }
        }
    }
}

/* The front-end has said something about addresses 'first' to 'last': what was
 * asked about them is to be asked again if it's still missing. */
void
vhost_device_answered(struct vhost_device *dev, uint64_t first, uint64_t last)
{
    for (unsigned int i = 0; i < dev->max_queues; i++) {
        struct vhost_queue *q = dev->queues[i];

        if (q && q->asked_addr >= first && q->asked_addr <= last) {
            q->asked = false;
        }
    }
}

void
vhost_device_check(struct vhost_device *dev)
{
    if (__atomic_load_n(&dev->broken, __ATOMIC_ACQUIRE)) {
        VLOG_ERR_RL(&rl, "%s: guest memory has gone: its file was truncated; "
                    "dropping the connection", dev->name);
        set_error(dev, "guest memory has gone: its file was truncated");
        vhost_device_disconnect(dev);
        return;
    }
    bool changed = false;
    for (unsigned int i = 0; i < dev->max_queues; i++) {
        struct vhost_queue *q = dev->queues[i];

        if (q && q->broken && !q->told) {
            char *s = xasprintf("guest broke the rules of virtqueue %u", i);

            set_error(dev, s);
            free(s);
            q->told = changed = true;
            if (q->err_fd >= 0) {
                vhost_event_signal(q->err_fd);
            } else if (dev->inband) {
                vhost_device_tell(dev, VHOST_USER_BACKEND_VRING_ERR, i);
            }
        }
    }
    if (changed) {
        vhost_device_update(dev);
    }
    if (dev->iotlb) {
        ask_for_misses(dev);
    }
}

/* --- What other threads may know --- */

void
vhost_device_get_status(const struct vhost_device *dev_,
                        struct vhost_device_status *status)
{
    struct vhost_device *dev = CONST_CAST(struct vhost_device *, dev_);

    ovs_mutex_lock(&dev->mutex);
    *status = dev->status;
    ovs_mutex_unlock(&dev->mutex);
}

uint64_t
vhost_device_guest_offloads(const struct vhost_device *dev)
{
    static const uint64_t mask = (1ULL << VIRTIO_NET_F_GUEST_CSUM
                                  | 1ULL << VIRTIO_NET_F_GUEST_TSO4
                                  | 1ULL << VIRTIO_NET_F_GUEST_TSO6
                                  | 1ULL << VIRTIO_NET_F_GUEST_ECN
                                  | 1ULL << VIRTIO_NET_F_GUEST_UFO
                                  | 1ULL << VIRTIO_NET_F_GUEST_USO4
                                  | 1ULL << VIRTIO_NET_F_GUEST_USO6);

    return __atomic_load_n(&dev->features, __ATOMIC_RELAXED) & mask;
}

struct vhost_queue_stats *
vhost_device_queue_stats(const struct vhost_device *dev, size_t *np)
{
    struct vhost_queue_stats *stats = xcalloc(dev->max_queues, sizeof *stats);
    size_t n = 0;

    for (unsigned int i = 0; i < dev->max_queues; i++) {
        struct vhost_queue *q = __atomic_load_n(&dev->queues[i],
                                                __ATOMIC_ACQUIRE);
        if (!q) {
            continue;
        }
        vhost_queue_lock(q);
        stats[n++] = (struct vhost_queue_stats) {
            .index = i,
            .enabled = q->running && q->enabled,
            .broken = q->broken,
            .packed = q->packed,
            .size = q->size,
            .packets = q->packets,
            .bytes = q->bytes,
            .kicks = q->kicks,
            .calls = q->calls,
            .no_buffers = q->no_buffers,
            .overflowed = q->overflowed,
            .dropped = q->dropped,
            .bad_chains = q->bad_chains,
        };
        vhost_queue_unlock(q);
    }
    *np = n;
    return stats;
}

int
vhost_device_tell(struct vhost_device *dev, uint32_t request,
                  unsigned int index)
{
    const struct vhost_message msg = {
        .header = {
            .request = request,
            .flags = VHOST_USER_VERSION,
            .size = sizeof msg.payload.state,
        },
        .payload.state = { .index = index },
    };
    int fd = __atomic_load_n(&dev->backend_fd, __ATOMIC_ACQUIRE);

    return fd >= 0 ? vhost_message_send(fd, &msg, -1) : ENOTCONN;
}
