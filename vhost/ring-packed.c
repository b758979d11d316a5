/* Packed virtqueues (virtio 1.2 section 2.8).
 *
 * Guest and device share one table of descriptors.  Two bits in each tell
 * whose it is, and change meaning each time round the table: an index goes
 * with a wrap counter, which 'next_avail' and 'next_used' have in their top
 * bit. */
#include <config.h>
#include "vhost/chain.h"
#include "vhost/ring-state.h"

#include <endian.h>

#define INDEX(X) ((X) & 0x7fff)
#define WRAP(X) ((X) >> 15)
#define FLAG_AVAIL (1 << VRING_PACKED_DESC_F_AVAIL)
#define FLAG_USED (1 << VRING_PACKED_DESC_F_USED)

/* Returns 'position' moved by 'n' slots, at most as many as there are. */
static inline uint16_t
advance(const struct vhost_queue *q, uint16_t position, uint16_t n)
{
    uint32_t index = INDEX(position) + (uint32_t) n;
    uint16_t wrap = position & 0x8000;

    if (index >= q->size) {
        index -= q->size;
        wrap ^= 0x8000;
    }
    return index | wrap;
}

/* Reads the descriptor at 'index'.  The word with the flags comes first: what
 * else the driver wrote was written before. */
static inline struct vhost_desc
read_desc(const struct vhost_queue *q, uint16_t index)
{
    const uint64_t *words = (const uint64_t *) &q->packed_desc[index];
    uint64_t second = le64toh(__atomic_load_n(&words[1], __ATOMIC_ACQUIRE));

    return (struct vhost_desc) {
        .addr = le64toh(__atomic_load_n(&words[0], __ATOMIC_RELAXED)),
        .len = second,
        .next = second >> 32,
        .flags = second >> 48,
    };
}

static inline bool
is_available(uint16_t flags, uint16_t position)
{
    bool avail = flags & FLAG_AVAIL, used = flags & FLAG_USED;

    return avail != used && avail == WRAP(position);
}

bool
vhost_packed_pending(const struct vhost_queue *q, uint16_t position)
{
    return is_available(read_desc(q, INDEX(position)).flags, position);
}

/* Follows the chain that begins with 'd', at 'chain->start'. */
static enum vhost_chain_result
fetch_chain(struct vhost_queue *q, struct vhost_scratch *scratch,
            struct vhost_chain *chain, struct vhost_desc d)
{
    enum vhost_chain_result result = VHOST_CHAIN_OK;

    chain->segs = &scratch->segs[scratch->n_segs];
    chain->n_segs = 0;
    chain->len = 0;
    for (chain->slots = 1; chain->slots <= q->size; chain->slots++) {
        chain->id = d.next;
        if (!result) {
            result = (d.flags & VRING_DESC_F_INDIRECT
                      ? vhost_chain_add_indirect(q, scratch, chain, &d)
                      : vhost_chain_add(q, scratch, chain, &d));
        }
        if (result == VHOST_CHAIN_MISS) {
            return result;
        }
        if (!(d.flags & VRING_DESC_F_NEXT)) {
            if (result || !chain->len) {
                vhost_chain_spoil(q, scratch, chain);
            }
            return VHOST_CHAIN_OK;
        }
        d = read_desc(q, INDEX(advance(q, chain->start, chain->slots)));
    }
    return VHOST_CHAIN_ENDLESS;
}

unsigned int
vhost_packed_fetch(struct vhost_queue *q, struct vhost_scratch *scratch,
                   unsigned int max)
{
    unsigned int done;

    for (unsigned int i = 0; i < max; i += 4) {         /* Four to a line. */
        uint16_t ahead = MIN(i, q->size - 1u);

        vhost_prefetch_for_write(
            &q->packed_desc[INDEX(advance(q, q->next_avail, ahead))]);
    }
    for (done = 0; done < max; done++) {
        struct vhost_chain *chain = &scratch->chains[scratch->n];
        struct vhost_desc d = read_desc(q, INDEX(q->next_avail));

        if (!is_available(d.flags, q->next_avail)
            || OVS_UNLIKELY(scratch->n_segs
                            > ARRAY_SIZE(scratch->segs) - VHOST_MAX_SEGS)) {
            break;
        }
        chain->start = q->next_avail;
        chain->slots = 1;
        chain->id = d.next;
        if (OVS_UNLIKELY(!vhost_chain_single(q, scratch, chain, &d))) {
            enum vhost_chain_result result = fetch_chain(q, scratch, chain, d);

            if (result == VHOST_CHAIN_ENDLESS) {
                vhost_queue_break(q, "descriptor chain has no end");
                return 0;
            } else if (result == VHOST_CHAIN_MISS) {
                break;
            }
        }
        q->next_avail = advance(q, q->next_avail, chain->slots);
        scratch->n++;
    }
    return done;
}

/* See 2.8.10. */
bool
vhost_packed_wants_call(const struct vhost_queue *q)
{
    uint16_t flags = le16toh(__atomic_load_n(&q->driver_event->flags,
                                             __ATOMIC_ACQUIRE));
    if (flags != VRING_PACKED_EVENT_FLAG_DESC || !q->event_idx) {
        return flags != VRING_PACKED_EVENT_FLAG_DISABLE;
    } else if (q->untold >= q->size) {
        return true;            /* Round the ring: any position is in it. */
    }

    uint16_t event = le16toh(__atomic_load_n(&q->driver_event->off_wrap,
                                             __ATOMIC_RELAXED));
    uint16_t event_index = INDEX(event);
    uint16_t new_index = INDEX(q->next_used);
    uint16_t old_index = INDEX(q->told_used);

    /* Bring all three to one scale, on which old < new. */
    if (WRAP(event) != WRAP(q->next_used)) {
        event_index -= q->size;
    }
    if (new_index <= old_index) {
        old_index -= q->size;
    }
    return vring_need_event(event_index, new_index, old_index);
}

/* Makes a used descriptor at 'position': one store, so that whoever sees the
 * flags sees the rest. */
static inline void
write_used(struct vhost_queue *q, uint16_t position,
           const struct vhost_used *used)
{
    uint64_t *words = (uint64_t *) &q->packed_desc[INDEX(position)];
    uint64_t flags = (WRAP(position) ? FLAG_AVAIL | FLAG_USED : 0)
                     | (used->len ? VRING_DESC_F_WRITE : 0);

    __atomic_store_n(&words[1],
                     htole64(used->len | (uint64_t) used->id << 32
                             | flags << 48),
                     __ATOMIC_RELEASE);
    if (OVS_UNLIKELY(q->logging)) {
        vhost_dirty_log_mark(q->device, words,
                             sizeof(struct vring_packed_desc));
    }
}

/* Gives the 'n' chains of 'used' back from 'position' on.  The first comes
 * last: until then the driver looks no further. */
static inline uint16_t
write_batch(struct vhost_queue *q, uint16_t first,
            const struct vhost_used *used, unsigned int n)
{
    uint16_t position = advance(q, first, used[0].slots);

    for (unsigned int i = 1; i < n; i++) {
        write_used(q, position, &used[i]);
        position = advance(q, position, used[i].slots);
    }
    write_used(q, first, &used[0]);
    return position;
}

void
vhost_packed_complete(struct vhost_queue *q, const struct vhost_used *used,
                      unsigned int n)
{
    uint16_t old = q->next_used;
    unsigned int slots = 0;

    for (unsigned int i = 0; i < n; i++) {
        slots += used[i].slots;
    }
    if (q->state) {
        vhost_ring_state_begin(q->state, old, advance(q, old, slots), used, n);
        q->next_used = write_batch(q, old, used, n);
        vhost_ring_state_commit(q->state);
    } else {
        q->next_used = write_batch(q, old, used, n);
    }
    q->untold += slots;
}

/* --- For ring-state.c --- */

uint16_t
vhost_packed_advance(const struct vhost_queue *q, uint16_t position,
                     uint16_t n)
{
    return advance(q, position, n);
}

bool
vhost_packed_was_given_back(const struct vhost_queue *q, uint16_t position)
{
    uint16_t flags = read_desc(q, INDEX(position)).flags;

    return !(flags & FLAG_USED) == !WRAP(position);
}

bool
vhost_packed_may_be_next(const struct vhost_queue *q, uint16_t position)
{
    /* Slots inside a chain of the last round keep the driver's flags: look on
     * for one that doesn't. */
    for (uint16_t i = INDEX(position); i < q->size; i++) {
        if (!(read_desc(q, i).flags & FLAG_USED) == !!WRAP(position)) {
            return true;
        }
    }
    return false;
}

void
vhost_packed_write_used(struct vhost_queue *q, uint16_t position,
                        const struct vhost_used *used, unsigned int n)
{
    if (n) {
        write_batch(q, position, used, n);
    }
}

static void
set_device_event(struct vhost_queue *q, uint16_t flags)
{
    __atomic_store_n(&q->device_event->flags, htole16(flags),
                     __ATOMIC_RELEASE);
    if (q->logging) {
        vhost_dirty_log_mark(q->device, q->device_event,
                             sizeof *q->device_event);
    }
}

void
vhost_packed_arm(struct vhost_queue *q, uint16_t position)
{
    if (q->event_idx) {
        __atomic_store_n(&q->device_event->off_wrap, htole16(position),
                         __ATOMIC_RELAXED);
    }
    set_device_event(q, q->event_idx ? VRING_PACKED_EVENT_FLAG_DESC
                     : VRING_PACKED_EVENT_FLAG_ENABLE);
}

void
vhost_packed_disarm(struct vhost_queue *q)
{
    set_device_event(q, VRING_PACKED_EVENT_FLAG_DISABLE);
}

const char *
vhost_packed_start(struct vhost_queue *q)
{
    if ((uintptr_t) q->packed_desc % 16 || (uintptr_t) q->driver_event % 4
        || (uintptr_t) q->device_event % 4) {
        return "ring address is not aligned";
    }

    /* The upper half of the base, the used index, is not set by all
     * front-ends; who stopped had nothing in flight, so that it's the lower
     * one's equal. */
    if (INDEX(q->base) >= q->size) {
        return "base is beyond its size";
    }
    q->next_avail = q->next_used = q->base;
    return NULL;
}
