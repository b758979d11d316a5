/* Calls to guests: one signal of an eventfd per queue and batch, and only
 * where the guest wants it.
 *
 * Whether it wants it is looked up behind a full fence after the used ring was
 * published: if the guest asks for a call later than that, it looks at the
 * ring again and finds what we published.  That fence, which waits until the
 * other core has let go of the lines that we wrote, and the signal itself, a
 * system call that costs 0.5 us if nobody sleeps on it and 14 us if a vCPU has
 * to be woken, come once, at the end of the batch, for all its queues.
 *
 * Meanwhile another thread may publish more on the same queue: who comes first
 * decides for both. */
#include <config.h>
#include "vhost/ring.h"
#include "vhost/device.h"

#include <errno.h>
#include <unistd.h>

/* Returns true if the guest of 'q' is to be called for what was used since
 * that was last asked. */
static bool
decide(struct vhost_queue *q)
{
    vhost_queue_lock(q);
    /* Of a ring that can't be seen any more we don't know. */
    bool call = q->untold && (!q->ready || vhost_ring_wants_call(q));
    q->untold = 0;
    q->told_used = q->next_used;
    vhost_queue_unlock(q);
    return call;
}

void
vhost_queue_call(struct vhost_queue *q)
{
    /* The fd stays open until we quiesce. */
    int fd = __atomic_load_n(&q->call_fd, __ATOMIC_ACQUIRE);
    int error = fd >= 0 ? vhost_event_signal(fd)
                : q->device->inband
                ? vhost_device_tell(q->device, VHOST_USER_BACKEND_VRING_CALL,
                                    q->index)
                : ENOTCONN;

    if (!error) {
        __atomic_fetch_add(&q->calls, 1, __ATOMIC_RELAXED);
    }
}

void
vhost_notifier_add(struct vhost_notifier *notifier, struct vhost_queue *q)
{
    for (unsigned int i = 0; i < notifier->n; i++) {
        if (notifier->queues[i] == q) {
            return;
        }
    }
    if (notifier->n == ARRAY_SIZE(notifier->queues)) {
        vhost_notify(notifier);
    }
    notifier->queues[notifier->n++] = q;
}

void
vhost_notify(struct vhost_notifier *notifier)
{
    atomic_thread_fence(memory_order_seq_cst);
    for (unsigned int i = 0; i < notifier->n; i++) {
        if (decide(notifier->queues[i])) {
            vhost_queue_call(notifier->queues[i]);
        }
    }
    notifier->n = 0;
}
