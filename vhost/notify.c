/* Calls to guests: one signal of an eventfd per queue and batch, and only
 * where the guest wants it.
 *
 * Whether it wants it is decided as the used ring is published, under the
 * queue's lock and behind a full fence: if the guest asks for a call later
 * than that, it looks at the ring again and finds what we published.  The
 * signal itself, a system call that costs 0.5 us if nobody sleeps on it and 14
 * us if a vCPU has to be woken, waits until the batch is over. */
#include <config.h>
#include "vhost/ring.h"
#include "vhost/device.h"

#include <errno.h>
#include <unistd.h>

static void
call(struct vhost_queue *q)
{
    int fd = __atomic_load_n(&q->call_fd, __ATOMIC_ACQUIRE);

    /* The fd stays open until we quiesce. */
    if (fd >= 0 && !vhost_event_signal(fd)) {
        __atomic_fetch_add(&q->calls, 1, __ATOMIC_RELAXED);
    } else if (q->device->inband) {
        vhost_device_call_inband(q->device, q->index);
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
    for (unsigned int i = 0; i < notifier->n; i++) {
        call(notifier->queues[i]);
    }
    notifier->n = 0;
}
