/* The life of a queue: from what the front-end tells about a virtqueue to
 * something that the pool serves, and back.
 *
 * A queue is *started* by its kick fd and stopped by GET_VRING_BASE, a reset
 * or the front-end's end.  It is *running* from the time that its ring is
 * found in guest memory, as long as the guest keeps the rules.  It is *ready*
 * while the ring is mapped: a guest's IOMMU may take it away and give it back,
 * and then nothing is lost, only late.  It is *enabled* by SET_VRING_ENABLE,
 * which only decides what happens to packets: those that the guest sends on a
 * disabled queue are thrown away. */
#include <config.h>
#include "vhost/device.h"
#include "vhost/ring.h"
#include "vhost/ring-state.h"

#include <linux/virtio_config.h>
#include <linux/virtio_net.h>
#include <stdlib.h>
#include <unistd.h>

#include "openvswitch/vlog.h"
#include "util.h"

VLOG_DEFINE_THIS_MODULE(vhost_queue);

static struct vlog_rate_limit rl = VLOG_RATE_LIMIT_INIT(20, 20);

static struct vhost_queue *
queue_from_source(struct vhost_source *source)
{
    return CONTAINER_OF(source, struct vhost_queue, source);
}

/* Takes what the guest sends on a disabled queue, and forgets it. */
static unsigned int
discard(struct vhost_queue *q, unsigned int budget)
{
    static __thread struct vhost_packet packets[VHOST_BATCH];
    struct vhost_notifier notifier = { .n = 0 };
    unsigned int done = 0, n;

    while (done < budget && (n = vhost_receive(q, packets, VHOST_BATCH))) {
        vhost_receive_done(q, &notifier);
        done += n;
    }
    vhost_notify(&notifier);
    return done;
}

static unsigned int
queue_poll(struct vhost_source *source, struct vhost_thread *thread,
           unsigned int budget)
{
    struct vhost_queue *q = queue_from_source(source);
    struct vhost_device *dev = q->device;

    if (!q->transmit) {
        return vhost_transmit_overflow(q);
    } else if (OVS_UNLIKELY(!q->enabled)) {
        return discard(q, budget);
    }
    return dev->ops->receive(q, thread, budget, dev->aux);
}

/* True if a kick means work: always on a transmit queue; on a receive queue
 * while packets wait for buffers. */
static bool
wants_kicks(const struct vhost_queue *q)
{
    return (q->ready && !q->missing
            && (q->transmit || !vhost_overflow_is_empty(q)));
}

static void
queue_arm(struct vhost_source *source)
{
    struct vhost_queue *q = queue_from_source(source);

    vhost_queue_lock(q);
    if (wants_kicks(q)) {
        vhost_ring_arm(q);
    }
    vhost_queue_unlock(q);
}

static void
queue_disarm(struct vhost_source *source)
{
    struct vhost_queue *q = queue_from_source(source);

    vhost_queue_lock(q);
    if (q->ready) {
        vhost_ring_disarm(q);
    }
    q->kicks++;
    vhost_queue_unlock(q);
}

static bool
queue_pending(struct vhost_source *source)
{
    struct vhost_queue *q = queue_from_source(source);

    vhost_queue_lock(q);
    bool pending = wants_kicks(q) && vhost_ring_pending(q);
    vhost_queue_unlock(q);
    return pending;
}

static const struct vhost_source_ops queue_source_ops = {
    .poll = queue_poll,
    .arm = queue_arm,
    .disarm = queue_disarm,
    .pending = queue_pending,
};

struct vhost_queue *
vhost_queue_create(struct vhost_device *dev, uint16_t index)
{
    struct vhost_queue *q = xzalloc_cacheline(sizeof *q);

    q->device = dev;
    q->index = index;
    q->transmit = index % 2;
    q->name = xasprintf("%s/%u", dev->name, index);
    q->call_fd = q->kick_fd = q->err_fd = -1;
    q->source = (struct vhost_source) {
        .ops = &queue_source_ops, .fd = -1, .numa_node = -1, .name = q->name,
    };
    return q;
}

void
vhost_queue_destroy(struct vhost_queue *q)
{
    if (q) {
        vhost_queue_reset(q);
        free(q->name);
        free_cacheline(q);
    }
}

static bool
has_feature(const struct vhost_queue *q, unsigned int bit)
{
    return q->device->features >> bit & 1;
}

/* Takes over what the features mean for the ring. */
static void
set_features(struct vhost_queue *q)
{
    q->packed = has_feature(q, VIRTIO_F_RING_PACKED);
    q->event_idx = has_feature(q, VIRTIO_RING_F_EVENT_IDX);
    q->indirect = has_feature(q, VIRTIO_RING_F_INDIRECT_DESC);
    q->mergeable = has_feature(q, VIRTIO_NET_F_MRG_RXBUF);
    q->notify_on_empty = has_feature(q, VIRTIO_F_NOTIFY_ON_EMPTY);
    q->logging = has_feature(q, VHOST_F_LOG_ALL);
    q->hdr_len = (has_feature(q, VIRTIO_F_VERSION_1) || q->mergeable
                  ? sizeof(struct virtio_net_hdr_mrg_rxbuf)
                  : sizeof(struct virtio_net_hdr));
}

/* Finds one part of the ring, 'len' bytes at 'addr'. */
static uint8_t *
map_part(struct vhost_queue *q, uint64_t addr, uint64_t len, uint8_t access)
{
    struct vhost_device *dev = q->device;
    uint64_t missing;

    if (!dev->iotlb) {
        return vhost_memory_from_uva(dev->memory, addr, len);
    }
    uint8_t *host = vhost_map_contiguous(dev->map, addr, len, access,
                                         &missing);
    if (!host) {
        vhost_queue_miss(q, missing, access);
    }
    return host;
}

/* Finds the ring in guest memory.  Returns NULL, or what is wrong; then 'q'
 * has the ring that it had. */
static const char *
map_ring(struct vhost_queue *q)
{
    uint64_t desc_len, avail_len, used_len;

    q->hint = 0;
    q->map = q->device->map;
    q->missing = false;
    if (!q->size) {
        return "has no size";
    } else if (!q->has_addr || !q->device->memory) {
        return "has no addresses";
    }
    desc_len = q->size * sizeof(struct vring_desc);
    if (q->packed) {
        avail_len = used_len = sizeof(struct vring_packed_desc_event);
    } else {
        avail_len = sizeof(struct vring_avail) + 2 * (q->size + 1);
        used_len = sizeof(struct vring_used)
                   + q->size * sizeof(struct vring_used_elem) + 2;
    }
    uint8_t *desc = map_part(q, q->addr.descriptor, desc_len,
                             q->packed ? VHOST_ACCESS_RW : VHOST_ACCESS_RO);
    if (!desc) {
        return "has its descriptor area outside guest memory";
    }
    uint8_t *avail = map_part(q, q->addr.available, avail_len,
                              VHOST_ACCESS_RO);
    if (!avail) {
        return "has its driver area outside guest memory";
    }
    uint8_t *used = map_part(q, q->addr.used, used_len, VHOST_ACCESS_WO);
    if (!used) {
        return "has its device area outside guest memory";
    }
    q->desc = (void *) desc;
    q->avail = (void *) avail;
    q->used = (void *) used;
    return NULL;
}

/* Says that 'q' can't start, or go on, for the reason 'wrong'. */
static void
log_unmapped(const struct vhost_queue *q, const char *wrong)
{
    /* An IOTLB is filled on demand. */
    if (!q->missing) {
        VLOG_WARN_RL(&rl, "%s: virtqueue %u %s", q->device->name, q->index,
                     wrong);
    }
}

/* Starts or restarts 'q', whose kick fd and addresses have come. */
void
vhost_queue_start(struct vhost_queue *q)
{
    const char *wrong;

    vhost_queue_stop(q);
    vhost_queue_lock(q);
    set_features(q);
    q->next_avail = q->next_used = q->base;
    wrong = map_ring(q);
    if (!wrong) {
        wrong = q->packed ? vhost_packed_start(q) : vhost_split_start(q);
    }
    if (!wrong) {
        if (q->packed) {
            vhost_ring_state_start(q);
        }
        q->broken = q->told = q->owes = false;
        q->n_held = 0;
        q->untold = 0;
        q->told_used = q->next_used;
        q->running = q->ready = true;
        vhost_ring_disarm(q);
    }
    vhost_queue_unlock(q);
    q->started = true;
    if (wrong) {
        log_unmapped(q, wrong);
        return;
    }

    /* The guest may wait for a call that our predecessor owed it, or that went
     * to an eventfd which it no longer reads. */
    vhost_queue_call(q);
    q->source.fd = q->kick_fd;
    q->source.numa_node = q->device->status.numa_node;
    q->in_pool = true;
    vhost_pool_add(q->device->pool, &q->source);
}

/* Stops 'q'.  When it returns nobody uses its ring. */
void
vhost_queue_stop(struct vhost_queue *q)
{
    if (q->in_pool) {
        q->in_pool = false;
        vhost_pool_remove(q->device->pool, &q->source);
    }
    vhost_queue_lock(q);
    if (q->owes) {
        /* Whoever goes on here does these once more. */
        q->next_avail = q->next_used;
        q->n_held = 0;
        q->owes = false;
    }
    q->running = q->ready = q->missing = q->asked = false;
    vhost_overflow_clear(q);
    vhost_ring_state_stop(q);
    vhost_queue_unlock(q);
    q->started = false;
}

/* Guest memory, or what the guest's IOMMU lets us see of it, has changed:
 * finds the ring again, in the same state.  Returns true if 'q' runs now and
 * didn't before. */
bool
vhost_queue_remap(struct vhost_queue *q)
{
    const char *wrong = NULL;
    bool call = false;

    vhost_queue_lock(q);
    bool running = q->running;
    if (running) {
        wrong = map_ring(q);
        q->ready = !wrong;
        if (q->ready && q->owes) {
            vhost_ring_complete(q, q->held, q->n_held);
            q->n_held = 0;
            q->owes = false;
            call = true;
        }
    } else {
        q->map = q->device->map;
    }
    vhost_queue_unlock(q);
    if (!running) {
        if (q->started && !q->broken && q->has_addr) {
            vhost_queue_start(q);
        }
        return q->running;
    }
    if (wrong) {
        log_unmapped(q, wrong);
    } else if (q->device->iotlb) {
        /* It may have waited for that. */
        vhost_event_signal(q->kick_fd);
    }
    if (call) {
        vhost_queue_call(q);
    }
    return false;
}

static void
close_fd(int *fd)
{
    if (*fd >= 0) {
        close(*fd);
        *fd = -1;
    }
}

/* Makes 'fd' the one that calls the guest, -1 for none. */
void
vhost_queue_set_call_fd(struct vhost_queue *q, int fd)
{
    int old = q->call_fd;

    __atomic_store_n(&q->call_fd, fd, __ATOMIC_RELEASE);
    if (old >= 0) {
        vhost_synchronize();
        close(old);
    }
    if (q->ready) {
        vhost_queue_call(q);
    }
}

/* Dirty logging began or ended, which is all that may change in the features
 * of a ring at work. */
void
vhost_queue_set_logging(struct vhost_queue *q)
{
    vhost_queue_lock(q);
    q->logging = has_feature(q, VHOST_F_LOG_ALL);
    vhost_queue_unlock(q);
}

/* Stops 'q' and forgets all that the front-end told about it. */
void
vhost_queue_reset(struct vhost_queue *q)
{
    vhost_queue_stop(q);
    vhost_queue_set_call_fd(q, -1);
    close_fd(&q->kick_fd);
    close_fd(&q->err_fd);
    q->enabled = q->has_addr = q->broken = q->told = false;
    q->size = 0;
    q->base = 0;
}

void
vhost_queue_miss(struct vhost_queue *q, uint64_t addr, uint8_t access)
{
    if (!q->missing) {
        q->missing = true;
        q->missing_addr = addr;
        q->missing_access = access;
        vhost_control_wake();
    }
}

void
vhost_queue_break(struct vhost_queue *q, const char *reason)
{
    q->running = q->ready = false;
    q->broken = true;
    VLOG_WARN_RL(&rl, "%s: virtqueue %u stopped: %s; it starts again when the "
                 "guest resets the device", q->device->name, q->index, reason);
    vhost_control_wake();
}
