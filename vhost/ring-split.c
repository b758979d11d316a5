/* Split virtqueues (virtio 1.2 section 2.7).
 *
 * The guest puts heads of descriptor chains in the avail ring and moves
 * avail->idx; we put the same heads in the used ring and move used->idx.  Our
 * 'next_avail' and 'next_used' are free running, like the guest's indices.
 *
 * A guest that breaks a rule of the ring itself (an index beyond the table, a
 * chain without end) has lost track of it, or is up to something: the queue
 * stops.  One that puts nonsense in a descriptor (an address that it doesn't
 * have) only loses that packet. */
#include <config.h>
#include "vhost/chain.h"

#include <endian.h>

static inline uint16_t
avail_idx(const struct vhost_queue *q)
{
    return le16toh(__atomic_load_n(&q->avail->idx, __ATOMIC_ACQUIRE));
}

bool
vhost_split_pending(const struct vhost_queue *q, uint16_t position)
{
    return avail_idx(q) != position;
}

/* Follows the chain that begins with 'd', the descriptor of 'chain->id'. */
static enum vhost_chain_result
fetch_chain(struct vhost_queue *q, struct vhost_scratch *scratch,
            struct vhost_chain *chain, struct vhost_desc d)
{
    enum vhost_chain_result result = VHOST_CHAIN_OK;

    chain->segs = &scratch->segs[scratch->n_segs];
    chain->n_segs = 0;
    chain->len = 0;
    for (unsigned int count = 0; count < q->size; count++) {
        /* After a bad descriptor go on looking, for the chain's end. */
        if (result) {
            /* Nothing. */
        } else if (!(d.flags & VRING_DESC_F_INDIRECT)) {
            result = vhost_chain_add(q, scratch, chain, &d);
        } else if (d.flags & VRING_DESC_F_NEXT) {
            result = VHOST_CHAIN_BAD;           /* 2.7.5.3.1. */
        } else {
            result = vhost_chain_add_indirect(q, scratch, chain, &d);
        }
        if (result == VHOST_CHAIN_MISS) {
            return result;
        }
        if (d.flags & VRING_DESC_F_INDIRECT
            || !(d.flags & VRING_DESC_F_NEXT)) {
            if (result || !chain->len) {
                vhost_chain_spoil(q, scratch, chain);
            }
            return VHOST_CHAIN_OK;
        }
        if (d.next >= q->size) {
            break;
        }
        d = vhost_desc_read(&q->desc[d.next]);
    }
    return VHOST_CHAIN_ENDLESS;
}

unsigned int
vhost_split_fetch(struct vhost_queue *q, struct vhost_scratch *scratch,
                  unsigned int max)
{
    struct vhost_chain *chains = &scratch->chains[scratch->n];
    uint16_t mask = q->size - 1;
    uint16_t n = avail_idx(q) - q->next_avail;

    if (OVS_UNLIKELY(n > q->size)) {
        vhost_queue_break(q, "avail index is more than the queue's "
                          "size ahead");
        return 0;
    }
    if (n > max) {
        n = max;
    }
    for (unsigned int i = 0; i < n; i++) {
        uint16_t start = q->next_avail + i;
        uint16_t head = le16toh(__atomic_load_n(&q->avail->ring[start & mask],
                                                __ATOMIC_RELAXED));
        if (OVS_UNLIKELY(head >= q->size)) {
            vhost_queue_break(q, "avail ring names a descriptor "
                              "beyond the table");
            return 0;
        }
        chains[i].start = start;
        chains[i].slots = 1;
        chains[i].id = head;
        __builtin_prefetch(&q->desc[head]);
    }
    for (unsigned int i = 0; i < n; i += 8) {           /* Eight to a line. */
        vhost_prefetch_for_write(&q->used->ring[(q->next_used + i) & mask]);
    }

    unsigned int done;
    for (done = 0; done < n; done++) {
        struct vhost_chain *chain = &chains[done];
        struct vhost_desc d = vhost_desc_read(&q->desc[chain->id]);

        if (OVS_UNLIKELY(scratch->n_segs
                         > ARRAY_SIZE(scratch->segs) - VHOST_MAX_SEGS)) {
            break;
        }
        if (OVS_UNLIKELY(!vhost_chain_single(q, scratch, chain, &d))) {
            enum vhost_chain_result result = fetch_chain(q, scratch, chain, d);

            if (result == VHOST_CHAIN_ENDLESS) {
                vhost_queue_break(q, "descriptor chain leaves the table "
                                  "or has no end");
                return 0;
            } else if (result == VHOST_CHAIN_MISS) {
                break;
            }
        }
    }
    q->next_avail += done;
    scratch->n += done;
    return done;
}

/* See 2.7.7. */
bool
vhost_split_wants_call(const struct vhost_queue *q)
{
    if (OVS_UNLIKELY(q->notify_on_empty)
        && !vhost_split_pending(q, q->next_avail)) {
        return true;
    }
    if (!q->event_idx) {
        return !(le16toh(__atomic_load_n(&q->avail->flags, __ATOMIC_RELAXED))
                 & VRING_AVAIL_F_NO_INTERRUPT);
    }
    uint16_t event = le16toh(__atomic_load_n(&q->avail->ring[q->size],
                                             __ATOMIC_RELAXED));
    return vring_need_event(event, q->next_used, q->told_used);
}

static void
log_used(struct vhost_queue *q, uint16_t old, unsigned int n)
{
    for (unsigned int i = 0; i < n; i++) {
        vhost_dirty_log_mark(q->device,
                             &q->used->ring[(old + i) & (q->size - 1)],
                             sizeof(struct vring_used_elem));
    }
    vhost_dirty_log_mark(q->device, &q->used->idx, sizeof q->used->idx);
}

void
vhost_split_complete(struct vhost_queue *q, const struct vhost_used *used,
                     unsigned int n)
{
    uint16_t mask = q->size - 1;
    uint16_t old = q->next_used;

    for (unsigned int i = 0; i < n; i++) {
        uint64_t elem = used[i].id | (uint64_t) used[i].len << 32;
        uint64_t *dst = (uint64_t *) &q->used->ring[(old + i) & mask];

        /* Elements are at 4 modulo 8. */
        elem = htole64(elem);
        memcpy(dst, &elem, sizeof elem);
    }
    if (OVS_UNLIKELY(q->logging)) {
        log_used(q, old, n);
    }
    q->next_used = old + n;
    q->untold += n;
    __atomic_store_n(&q->used->idx, htole16(q->next_used), __ATOMIC_RELEASE);
}

/* The driver kicks when it makes available the entry that avail_event names
 * (2.7.10); without event index, unless the flag says not to.  Left alone, an
 * old avail_event costs one needless kick in 65,536 entries. */
static inline uint16_t *
avail_event(const struct vhost_queue *q)
{
    return (uint16_t *) &q->used->ring[q->size];
}

void
vhost_split_arm(struct vhost_queue *q, uint16_t position)
{
    if (q->event_idx) {
        __atomic_store_n(avail_event(q), htole16(position), __ATOMIC_RELAXED);
        if (q->logging) {
            vhost_dirty_log_mark(q->device, avail_event(q), sizeof(uint16_t));
        }
    } else {
        __atomic_store_n(&q->used->flags, 0, __ATOMIC_RELAXED);
        if (q->logging) {
            vhost_dirty_log_mark(q->device, q->used, sizeof(uint16_t));
        }
    }
}

void
vhost_split_disarm(struct vhost_queue *q)
{
    if (!q->event_idx) {
        __atomic_store_n(&q->used->flags, htole16(VRING_USED_F_NO_NOTIFY),
                         __ATOMIC_RELAXED);
        if (q->logging) {
            vhost_dirty_log_mark(q->device, q->used, sizeof(uint16_t));
        }
    }
}

const char *
vhost_split_start(struct vhost_queue *q)
{
    if (!q->size || q->size & (q->size - 1)) {
        return "size of a split ring is not a power of 2";
    }
    if ((uintptr_t) q->desc % VRING_DESC_ALIGN_SIZE
        || (uintptr_t) q->avail % VRING_AVAIL_ALIGN_SIZE
        || (uintptr_t) q->used % VRING_USED_ALIGN_SIZE) {
        return "ring address is not aligned";
    }

    /* Where the last back-end stopped.  One that had chains in flight never
     * completed them: they are to be done again. */
    uint16_t used_idx = le16toh(__atomic_load_n(&q->used->idx,
                                                __ATOMIC_ACQUIRE));
    q->next_avail = q->next_used = used_idx;
    return NULL;
}
