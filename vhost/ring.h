/* Virtqueues.  Private to vhost/.
 *
 * A ring is worked in batches.  vhost_ring_fetch() takes chains of descriptors
 * off the available side, translated and checked; the packet code copies; and
 * vhost_ring_complete() puts them on the used side and publishes the batch
 * with one store.  ring-split.c and ring-packed.c do these for the two
 * layouts.
 *
 * Who may touch what: the ring, its indices and statistics belong to whoever
 * holds 'lock'.  For a transmit queue that is the owning service thread, which
 * takes the lock (uncontended: a cycle or two per packet) in vhost_receive()
 * and again in vhost_receive_done(), so that between the two the control
 * thread can exchange guest memory.  For a receive queue it is any thread that
 * transmits.  The control thread changes the rest while holding the lock.
 *
 * Everything in guest memory is read once, into a local, and checked there.
 * The ring itself is only touched with the lock held, so it may be by a thread
 * that is offline; segments, outside the lock, only by one that is online. */
#ifndef VHOST_RING_H
#define VHOST_RING_H 1

#include <linux/virtio_ring.h>
#include <sched.h>
#include "openvswitch/util.h"
#include "ovs-atomic.h"
#include "util.h"
#include "vhost/memory.h"
#include "vhost/vhost.h"

struct vhost_overflow;
struct vhost_ring_state;

#define VHOST_MIN_FRAME 14      /* An Ethernet header. */
#define VHOST_MAX_CHAINS 128    /* Most buffers that one packet is spread
                                 * over, and chains worked on at a time. */

/* A chain of descriptors that was taken off the ring. */
struct vhost_chain {
    struct vhost_seg *segs;     /* Its buffers, in vhost_scratch. */
    uint32_t len;               /* Bytes of 'segs'; 0 if it broke a rule. */
    uint16_t id;                /* Index of its head; packed: buffer id. */
    uint16_t n_segs;
    uint16_t start;             /* Value of 'next_avail' before it. */
    uint16_t slots;             /* Ring slots that it takes. */
};

/* A chain that goes back. */
struct vhost_used {
    uint32_t len;               /* Bytes that we wrote. */
    uint16_t id;
    uint16_t slots;
};

/* Where a thread keeps the chains that it works on: one for those it receives,
 * which live until vhost_receive_done(), and one for those it fills. */
struct vhost_scratch {
    unsigned int n;             /* Of 'chains'. */
    unsigned int n_segs;        /* Of 'segs' in use. */
    struct vhost_chain chains[VHOST_MAX_CHAINS];
    struct vhost_seg segs[VHOST_BATCH * VHOST_MAX_SEGS];
};

struct vhost_queue {
    /* Set by the control thread, under the lock, while the queue starts. */
    uint32_t locked;            /* The lock: 1 while held. */
    bool running;               /* Started, and has kept the rules since. */
    bool ready;                 /* May be worked on: running, and its ring is
                                 * mapped.  (Behind an IOMMU it may not be for
                                 * a while.) */
    bool enabled;               /* SET_VRING_ENABLE. */
    bool transmit;              /* A transmit queue, read by us. */
    bool packed, event_idx, indirect, mergeable;
    bool notify_on_empty;
    bool logging;               /* Mark written pages in the dirty log. */
    uint8_t hdr_len;            /* Of the virtio-net header: 10 or 12. */
    uint16_t size;              /* Descriptors.  Split: a power of 2. */
    const struct vhost_map *map; /* Of the device's memory. */
    union {
        struct vring_desc *desc;
        struct vring_packed_desc *packed_desc;
    };
    union {
        struct vring_avail *avail;
        struct vring_packed_desc_event *driver_event;
    };
    union {
        struct vring_used *used;
        struct vring_packed_desc_event *device_event;
    };

    /* State of the ring.  For packed rings the top bit of the indices is the
     * wrap counter, as SET_VRING_BASE has it. */
    uint16_t next_avail;        /* Next entry that we take. */
    uint16_t next_used;         /* Next entry that we give back. */
    uint32_t untold;            /* Slots used since it was last decided whether
                                 * to call the guest, from... */
    uint16_t told_used;         /* ...this value of 'next_used' on. */
    uint16_t starved_at;        /* Receive queues: the end of the available
                                 * buffers when they were too few. */
    bool missing;               /* Waits for the IOTLB: the control thread
                                 * asks for 'missing_addr'. */
    bool asked;                 /* Control thread: it has asked for... */
    uint64_t asked_addr;        /* ...this, and got no answer yet. */
    bool owes;                  /* 'held' chains are done with, but the ring
                                 * wasn't mapped: for the control thread to
                                 * give back when it is. */
    uint8_t missing_access;     /* VHOST_ACCESS_*. */
    uint64_t missing_addr;
    uint16_t n_held;            /* Chains between vhost_receive() and
                                 * vhost_receive_done(). */
    bool broken;                /* The guest broke a rule of the ring. */
    unsigned int hint;          /* Range of 'map' hit last. */
    int call_fd;                /* -1: none.  Replaced ones are closed after
                                 * vhost_synchronize(). */

    /* Statistics. */
    uint64_t packets, bytes, calls, no_buffers, overflowed, dropped,
             bad_chains;
    uint64_t kicks;

    struct vhost_ring_state *state;     /* Packed rings: outlives us; NULL if
                                         * it doesn't. */
    struct vhost_overflow *overflow;    /* Receive queues; NULL until some
                                         * packet found no buffer. */
    struct vhost_used held[VHOST_BATCH];
    struct vhost_source source; /* In the device's pool while 'started'. */

    /* What the front-end told.  Control thread only. */
    struct vhost_device *device;
    uint16_t index;             /* Virtqueue index: odd are transmit queues. */
    bool started;               /* Its kick fd came, it hasn't been stopped. */
    bool in_pool;
    bool has_addr;
    bool told;                  /* 'broken' has been reported. */
    struct vhost_user_vring_addr addr;
    uint32_t base;              /* SET_VRING_BASE. */
    int kick_fd, err_fd;
    char *name;                 /* "port/3", for messages. */
};

/* --- The lock --- */

static inline bool
vhost_queue_trylock(struct vhost_queue *q)
{
    return !__atomic_load_n(&q->locked, __ATOMIC_RELAXED)
           && !__atomic_exchange_n(&q->locked, 1, __ATOMIC_ACQUIRE);
}

static inline void
vhost_queue_lock(struct vhost_queue *q)
{
    for (unsigned int spins = 0; !vhost_queue_trylock(q); spins++) {
        if (spins < 200) {
#if defined(__x86_64__) || defined(__i386__)
            __builtin_ia32_pause();
#endif
        } else {
            sched_yield();      /* The holder may share our CPU. */
        }
    }
}

static inline void
vhost_queue_unlock(struct vhost_queue *q)
{
    __atomic_store_n(&q->locked, 0, __ATOMIC_RELEASE);
}

/* --- The two layouts.  All of these with the lock held --- */

/* Takes up to 'max' more chains into 'scratch'.  Returns how many. Chains that
 * break a rule of their own are among them, with a 'len' of 0.  A ring that
 * breaks a rule becomes q->broken. */
unsigned int vhost_split_fetch(struct vhost_queue *, struct vhost_scratch *,
                               unsigned int max);
unsigned int vhost_packed_fetch(struct vhost_queue *, struct vhost_scratch *,
                                unsigned int max);

/* Gives 'n' chains back, in the order in which they were fetched. */
void vhost_split_complete(struct vhost_queue *, const struct vhost_used *,
                          unsigned int n);
void vhost_packed_complete(struct vhost_queue *, const struct vhost_used *,
                           unsigned int n);

/* Returns true if the guest wants to be called for what was used since
 * q->told_used.  A full fence must have followed that. */
bool vhost_split_wants_call(const struct vhost_queue *);
bool vhost_packed_wants_call(const struct vhost_queue *);

/* Asks the guest for a kick when it makes 'position' available, or for none.
 * vhost_ring_pending() after a full fence then tells if it has done so before
 * it saw that. */
void vhost_split_arm(struct vhost_queue *, uint16_t position);
void vhost_packed_arm(struct vhost_queue *, uint16_t position);
void vhost_split_disarm(struct vhost_queue *);
void vhost_packed_disarm(struct vhost_queue *);
bool vhost_split_pending(const struct vhost_queue *, uint16_t position);
bool vhost_packed_pending(const struct vhost_queue *, uint16_t position);

/* Points 'q' to its ring.  'desc', 'avail' and 'used' are ours.  Returns NULL,
 * or what is wrong with the addresses. */
const char *vhost_split_start(struct vhost_queue *);
const char *vhost_packed_start(struct vhost_queue *);

static inline unsigned int
vhost_ring_fetch(struct vhost_queue *q, struct vhost_scratch *scratch,
                 unsigned int max)
{
    return (q->packed
            ? vhost_packed_fetch(q, scratch, max)
            : vhost_split_fetch(q, scratch, max));
}

/* Puts the last chains of 'scratch', from number 'first' on, back on the
 * available side: we have not used them. */
static inline void
vhost_ring_unfetch(struct vhost_queue *q, struct vhost_scratch *scratch,
                   unsigned int first)
{
    if (first < scratch->n) {
        q->next_avail = scratch->chains[first].start;
        scratch->n = first;
    }
}

static inline void
vhost_ring_complete(struct vhost_queue *q, const struct vhost_used *used,
                    unsigned int n)
{
    if (q->packed) {
        vhost_packed_complete(q, used, n);
    } else {
        vhost_split_complete(q, used, n);
    }
}

static inline bool
vhost_ring_wants_call(const struct vhost_queue *q)
{
    return (q->packed
            ? vhost_packed_wants_call(q)
            : vhost_split_wants_call(q));
}

/* The ring position that we wait for the guest to make available. */
static inline uint16_t
vhost_awaited(const struct vhost_queue *q)
{
    return q->transmit ? q->next_avail : q->starved_at;
}

static inline bool
vhost_ring_pending(const struct vhost_queue *q)
{
    return (q->packed
            ? vhost_packed_pending(q, vhost_awaited(q))
            : vhost_split_pending(q, vhost_awaited(q)));
}

static inline void
vhost_ring_arm(struct vhost_queue *q)
{
    if (q->packed) {
        vhost_packed_arm(q, vhost_awaited(q));
    } else {
        vhost_split_arm(q, vhost_awaited(q));
    }
}

static inline void
vhost_ring_disarm(struct vhost_queue *q)
{
    if (q->packed) {
        vhost_packed_disarm(q);
    } else {
        vhost_split_disarm(q);
    }
}

/* --- Elsewhere --- */

/* Fetches the line at 'p' for writing.  The compiler's own prefetch for writing
 * asks for a shared line unless it may assume PRFCHW, and then the first store
 * has to ask the other core again: that was 40 % of all cycles at 64 bytes with
 * the generator on a distant core.  (Processors without PRFCHW take the
 * instruction for a no-op.) */
static inline void
vhost_prefetch_for_write(const void *p)
{
#ifdef __x86_64__
    asm volatile("prefetchw %0" : : "m" (*(const uint8_t *) p));
#else
    __builtin_prefetch(p, 1);
#endif
}

/* Copies 'n' bytes of a frame, mostly some tens: two copies of a fixed size,
 * overlapping, take no branch on the exact length. */
static inline void
vhost_copy_head(uint8_t *dst, const uint8_t *src, size_t n)
{
#define COPY_TWICE(SIZE)                                    \
    do {                                                    \
        memcpy(dst, src, SIZE);                             \
        memcpy(dst + n - SIZE, src + n - SIZE, SIZE);       \
    } while (0)

    if (OVS_UNLIKELY(n > 128)) {
        memcpy(dst, src, n);
    } else if (n >= 64) {
        COPY_TWICE(64);
    } else if (n >= 32) {
        COPY_TWICE(32);
    } else if (n >= 16) {
        COPY_TWICE(16);
    } else {
        memcpy(dst, src, n);
    }
#undef COPY_TWICE
}

/* Marks 'q' broken for 'reason' (a string constant, in words for the log).
 * With the lock held. */
void vhost_queue_break(struct vhost_queue *, const char *reason);

/* Makes 'q' wait until 'addr' is mapped for 'access'.  With the lock held. */
void vhost_queue_miss(struct vhost_queue *, uint64_t addr, uint8_t access);

/* queue.c: life of a queue.  Control thread. */
struct vhost_queue *vhost_queue_create(struct vhost_device *,
                                       uint16_t index);
void vhost_queue_destroy(struct vhost_queue *);
void vhost_queue_start(struct vhost_queue *);
void vhost_queue_stop(struct vhost_queue *);
void vhost_queue_reset(struct vhost_queue *);
bool vhost_queue_remap(struct vhost_queue *);
void vhost_queue_set_logging(struct vhost_queue *);
void vhost_queue_set_call_fd(struct vhost_queue *, int fd);

/* overflow.c: packets that wait for buffers.  With the lock held. */
unsigned int vhost_overflow_keep(struct vhost_queue *,
                                 struct vhost_packet *const packets[],
                                 unsigned int n);
bool vhost_overflow_is_empty(const struct vhost_queue *);
unsigned int vhost_overflow_peek(const struct vhost_queue *,
                                 struct vhost_packet *packets[],
                                 unsigned int max);
void vhost_overflow_drop(struct vhost_queue *, unsigned int n);
void vhost_overflow_clear(struct vhost_queue *);

/* transmit.c: moves packets that wait on into the ring.  Returns how many. */
unsigned int vhost_transmit_overflow(struct vhost_queue *);

/* event.c: signals an eventfd of the front-end's, without blocking. */
int vhost_event_signal(int fd);

/* notify.c: calls the guest of 'q' now, or at the end of the batch if it wants
 * that. */
void vhost_queue_call(struct vhost_queue *);
void vhost_notifier_add(struct vhost_notifier *, struct vhost_queue *);

/* dirty-log.c: marks what was written at our address 'host'. */
void vhost_dirty_log_mark(struct vhost_device *, const void *host,
                          size_t len);

#endif /* ring.h */
