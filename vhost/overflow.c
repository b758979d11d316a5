/* Packets that found no receive buffer, kept until the guest refills.
 *
 * A ring of 256 small buffers holds a handful of GSO packets: a guest that is
 * busy for the time of one burst would lose most of it, and its TCP would
 * collapse.  So a long packet that finds no buffer is copied, in order, into a
 * queue of the destination.  While it holds anything, new packets go behind
 * it, and the guest is asked for a kick when it refills; the kick makes the
 * pool poll the receive queue, which moves the packets on.
 *
 * Of short packets a ring holds as many as it has buffers, which is enough;
 * they are kept only behind long ones, and only few.  (Kept without such a
 * bound, a guest that is flooded with 64-byte packets has a queue that is
 * always full: each packet is copied twice, and late.)  The exception is a
 * guest behind an IOMMU, which has buffers, only we wait for the translation
 * of the next one, or of the ring.
 *
 * Each queue may keep 1 MB, all together 64 MB (a thousand guests that stopped
 * cost no more than that).  What doesn't fit is dropped. */
#include <config.h>
#include "vhost/ring.h"
#include "vhost/device.h"

#include <stdlib.h>

#include "util.h"

#define LONG_PACKET 2048           /* Length of a long packet. */
#define KEEP_MAX (1024 * 1024)
#define KEEP_SHORT_MAX (128 * 1024)    /* Beyond this only long ones. */
#define TOTAL_MAX (64 * 1024 * 1024)

/* One packet: a view of its own copy. */
struct kept {
    struct vhost_packet packet;
    struct kept *next;
    struct vhost_seg seg;       /* All of 'frame': it may be longer than a
                                 * view's head. */
    uint8_t frame[];
};

struct vhost_overflow {
    struct kept *first, **last;
    size_t bytes;
};

static size_t total;            /* Bytes in all queues; atomic. */

static size_t
cost(const struct vhost_packet *packet)
{
    return sizeof(struct kept) + packet->len;
}

/* How many bytes the overflow queue of 'q' may have with 'packet'. */
static size_t
limit(const struct vhost_queue *q, const struct vhost_packet *packet)
{
    return (packet->len >= LONG_PACKET || q->missing ? KEEP_MAX
            : q->overflow->first ? KEEP_SHORT_MAX
            : 0);
}

/* Makes room for 'packet' in the overflow queue of 'q', if it's one to
 * keep. */
static bool
reserve(const struct vhost_queue *q, const struct vhost_packet *packet)
{
    struct vhost_overflow *o = q->overflow;
    size_t n = cost(packet);

    if (o->bytes + n > limit(q, packet)) {
        return false;
    }
    if (__atomic_add_fetch(&total, n, __ATOMIC_RELAXED) > TOTAL_MAX) {
        __atomic_sub_fetch(&total, n, __ATOMIC_RELAXED);
        return false;
    }
    o->bytes += n;
    return true;
}

static void
unkeep(struct vhost_overflow *o)
{
    struct kept *kept = o->first;

    o->first = kept->next;
    if (!o->first) {
        o->last = &o->first;
    }
    o->bytes -= cost(&kept->packet);
    __atomic_sub_fetch(&total, cost(&kept->packet), __ATOMIC_RELAXED);
    free_cacheline(kept);
}

/* Copies those of 'packets' that are worth it behind those that 'q' keeps.
 * Returns how many.  With the lock of 'q' held, like all here. */
unsigned int
vhost_overflow_keep(struct vhost_queue *q,
                    struct vhost_packet *const packets[], unsigned int n)
{
    struct vhost_overflow *o = q->overflow;
    unsigned int n_kept = 0;

    if (!o) {
        o = q->overflow = xzalloc(sizeof *o);
        o->last = &o->first;
    }
    for (unsigned int i = 0; i < n; i++) {
        const struct vhost_packet *p = packets[i];

        if (!reserve(q, p)) {
            continue;
        }
        struct kept *kept = xmalloc_cacheline(sizeof *kept + p->len);
        kept->next = NULL;
        kept->packet.head = kept->frame;
        kept->packet.head_len = 0;
        kept->packet.len = p->len;
        kept->packet.segs = &kept->seg;
        kept->packet.n_segs = 1;
        kept->seg = (struct vhost_seg) { kept->frame, p->len };
        kept->packet.vnet = p->vnet;
        vhost_packet_copy(p, 0, kept->frame, p->len);
        *o->last = kept;
        o->last = &kept->next;
        n_kept++;
    }
    q->overflowed += n_kept;
    return n_kept;
}

bool
vhost_overflow_is_empty(const struct vhost_queue *q)
{
    return !q->overflow || !q->overflow->first;
}

/* Stores the first kept packets in 'packets', at most 'max'. */
unsigned int
vhost_overflow_peek(const struct vhost_queue *q,
                    struct vhost_packet *packets[], unsigned int max)
{
    unsigned int n = 0;

    for (struct kept *k = q->overflow->first; k && n < max; k = k->next) {
        packets[n++] = &k->packet;
    }
    return n;
}

/* Forgets the first 'n' kept packets: they have been sent. */
void
vhost_overflow_drop(struct vhost_queue *q, unsigned int n)
{
    while (n--) {
        unkeep(q->overflow);
    }
}

/* Forgets all. */
void
vhost_overflow_clear(struct vhost_queue *q)
{
    while (!vhost_overflow_is_empty(q)) {
        unkeep(q->overflow);
        q->dropped++;
    }
    free(q->overflow);
    q->overflow = NULL;
}
