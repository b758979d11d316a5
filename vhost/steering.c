/* Which receive queue a flow goes to.
 *
 * With several queue pairs a guest expects the packets of a flow on the
 * partner of the transmit queue that it last sent that flow on (virtio 1.2
 * section 5.1.6.5.5).  We remember that per flow hash.  A flow that the guest
 * hasn't sent gets the next queue in turn: by hash alone, 64 flows on 4 queues
 * would give one of them half as many again as another.
 *
 * The table has one entry per low bits of the hash and keeps the rest as a
 * tag. An entry changes only after several notes that contradict it, and none
 * that confirms it: so a flow doesn't take over the steering of another that
 * is alive, and one whose acknowledgements a guest sends now on this CPU, now
 * on that, stays on one queue, in order.  A flow that finds its entry taken
 * goes where its hash says, without one. */
#include <config.h>
#include "vhost/device.h"
#include "vhost/ring.h"

#include <stdlib.h>

#define N_FLOWS 4096
#define MAX_AGE 15              /* Contradicting notes before it changes. */
#define IN_TURN_AGE 1           /* Likewise of an entry that no note made. */

/* 20 bits of tag, 8 of queue pair (+1 so that 0 is empty would take 9), 4 of
 * age. */
#define ENTRY(TAG, PAIR, AGE) ((uint32_t) (TAG) << 12 | (PAIR) << 4 | (AGE))
#define ENTRY_TAG(E) ((E) >> 12)
#define ENTRY_PAIR(E) ((E) >> 4 & 0xff)
#define ENTRY_AGE(E) ((E) & 0xf)

struct vhost_steering {
    unsigned int n;             /* Enabled receive queues... */
    struct vhost_queue **queues;        /* ...in order of their index. */
    uint32_t *flows;            /* N_FLOWS entries, NULL if 'n' < 2;
                                 * read and written without a lock. */
    unsigned int turn;          /* Flows that got a queue in turn. */
};

static void
steering_free(struct vhost_steering *s)
{
    if (s) {
        free(s->queues);
        free(s->flows);
        free(s);
    }
}

static bool
usable(const struct vhost_queue *q)
{
    return q && !q->transmit && q->running && q->enabled;
}

static bool
is_current(const struct vhost_device *dev)
{
    const struct vhost_steering *s = dev->steering;
    unsigned int n = 0;

    for (unsigned int i = 0; i < dev->max_queues; i += 2) {
        if (usable(dev->queues[i])) {
            if (!s || n >= s->n || s->queues[n] != dev->queues[i]) {
                return false;
            }
            n++;
        }
    }
    return n == (s ? s->n : 0);
}

/* Brings the set of queues to choose from up to date.  Control thread. */
void
vhost_steering_update(struct vhost_device *dev)
{
    if (is_current(dev)) {
        return;
    }

    struct vhost_steering *s = xzalloc(sizeof *s);
    s->queues = xcalloc(dev->max_queues / 2, sizeof *s->queues);
    for (unsigned int i = 0; i < dev->max_queues; i += 2) {
        if (usable(dev->queues[i])) {
            s->queues[s->n++] = dev->queues[i];
        }
    }
    if (!s->n) {
        steering_free(s);
        s = NULL;
    } else if (s->n > 1) {
        s->flows = xcalloc(N_FLOWS, sizeof *s->flows);
    }

    struct vhost_steering *old = dev->steering;
    __atomic_store_n(&dev->steering, s, __ATOMIC_RELEASE);
    if (old) {
        vhost_synchronize();
        steering_free(old);
    }
}

/* The entry of a new flow, whose '*entry' is empty: the next queue in turn,
 * or what another thread has chosen at the same time. */
static uint32_t
new_entry(struct vhost_steering *s, uint32_t *entry, uint32_t hash)
{
    unsigned int i = __atomic_fetch_add(&s->turn, 1, __ATOMIC_RELAXED) % s->n;
    uint32_t mine = ENTRY(hash / N_FLOWS, s->queues[i]->index / 2u,
                          IN_TURN_AGE);
    uint32_t old = 0;

    return (__atomic_compare_exchange_n(entry, &old, mine, false,
                                        __ATOMIC_RELAXED, __ATOMIC_RELAXED)
            ? mine : old);
}

struct vhost_queue *
vhost_device_receive_queue(struct vhost_device *dev, uint32_t hash)
{
    struct vhost_steering *s = __atomic_load_n(&dev->steering,
                                               __ATOMIC_ACQUIRE);
    if (!s) {
        return NULL;
    } else if (!s->flows) {
        return s->queues[0];
    }

    uint32_t *flow = &s->flows[hash % N_FLOWS];
    uint32_t entry = __atomic_load_n(flow, __ATOMIC_RELAXED);
    if (OVS_UNLIKELY(!entry)) {
        entry = new_entry(s, flow, hash);
    }
    if (ENTRY_TAG(entry) == hash / N_FLOWS) {
        struct vhost_queue *q = __atomic_load_n(
            &dev->queues[2 * ENTRY_PAIR(entry)], __ATOMIC_ACQUIRE);
        if (usable(q)) {
            return q;
        }
    }
    return s->queues[(uint64_t) hash * s->n >> 32];
}

bool
vhost_device_multiqueue(const struct vhost_device *dev)
{
    const struct vhost_steering *s = __atomic_load_n(&dev->steering,
                                                     __ATOMIC_ACQUIRE);
    return s && s->n > 1;
}

void
vhost_queue_note_flow(struct vhost_queue *q, uint32_t hash)
{
    const struct vhost_steering *s = __atomic_load_n(&q->device->steering,
                                                     __ATOMIC_ACQUIRE);
    if (!s || !s->flows) {
        return;
    }

    uint32_t *flow = &s->flows[hash % N_FLOWS];
    uint32_t mine = ENTRY(hash / N_FLOWS, q->index / 2u, MAX_AGE);
    uint32_t entry = __atomic_load_n(flow, __ATOMIC_RELAXED);
    if (entry == mine) {
        return;
    }
    if (entry && ENTRY_AGE(entry)
        && ENTRY(ENTRY_TAG(entry), ENTRY_PAIR(entry), MAX_AGE) != mine) {
        mine = entry - 1;
    }
    __atomic_store_n(flow, mine, __ATOMIC_RELAXED);
}
