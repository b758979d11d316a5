/* From descriptors to a chain of segments: what the two ring layouts share.
 * Private to vhost/ring-*.c. */
#ifndef VHOST_CHAIN_H
#define VHOST_CHAIN_H 1

#include "vhost/ring.h"

/* One descriptor, read once, in host byte order. */
struct vhost_desc {
    uint64_t addr;
    uint32_t len;
    uint16_t flags;
    uint16_t next;              /* Packed: buffer id. */
};

/* What adding a descriptor to a chain led to. */
enum vhost_chain_result {
    VHOST_CHAIN_OK,
    VHOST_CHAIN_BAD,            /* The chain breaks a rule: it's left out. */
    VHOST_CHAIN_ENDLESS,        /* It breaks the ring. */
    VHOST_CHAIN_MISS,           /* The IOTLB has no entry: try it again. */
};

/* Reads the 16 bytes of a split descriptor that the guest may be changing. */
static inline struct vhost_desc
vhost_desc_read(const struct vring_desc *desc)
{
    const uint64_t *words = (const uint64_t *) desc;
    uint64_t second = le64toh(__atomic_load_n(&words[1], __ATOMIC_RELAXED));

    return (struct vhost_desc) {
        .addr = le64toh(__atomic_load_n(&words[0], __ATOMIC_RELAXED)),
        .len = second,
        .flags = second >> 32,
        .next = second >> 48,
    };
}

/* Appends the buffer of 'd' to 'chain', whose segments are the last of
 * 'scratch'.  A buffer that runs from one region of guest memory into the next
 * becomes several segments.  The caller has seen to it that 'scratch' has room
 * for VHOST_MAX_SEGS. */
enum vhost_chain_result vhost_chain_add(struct vhost_queue *,
                                        struct vhost_scratch *,
                                        struct vhost_chain *,
                                        const struct vhost_desc *);

/* Appends the buffers of the indirect table that 'd' points to. */
enum vhost_chain_result vhost_chain_add_indirect(struct vhost_queue *,
                                                 struct vhost_scratch *,
                                                 struct vhost_chain *,
                                                 const struct vhost_desc *);

/* Makes a bad chain of 'chain': counted, and given back unused. */
static inline void
vhost_chain_spoil(struct vhost_queue *q, struct vhost_scratch *scratch,
                  struct vhost_chain *chain)
{
    scratch->n_segs = chain->segs - scratch->segs;
    chain->n_segs = 0;
    chain->len = 0;
    q->bad_chains++;
}

/* The whole of a chain that is one descriptor in one region, which nearly all
 * are.  Returns false, and changes nothing, if it isn't that simple. */
static inline bool
vhost_chain_single(struct vhost_queue *q, struct vhost_scratch *scratch,
                   struct vhost_chain *chain, const struct vhost_desc *d)
{
    uint16_t want = q->transmit ? 0 : VRING_DESC_F_WRITE;
    uint32_t len = d->len;

    if ((d->flags & (VRING_DESC_F_NEXT | VRING_DESC_F_INDIRECT
                     | VRING_DESC_F_WRITE)) != want) {
        return false;
    }
    uint8_t *data = vhost_translate(q->map, &q->hint, d->addr, &len,
                                    q->transmit ? VHOST_ACCESS_RO
                                    : VHOST_ACCESS_WO);
    if (OVS_UNLIKELY(!data || len != d->len || !len)) {
        return false;
    }
    struct vhost_seg *seg = &scratch->segs[scratch->n_segs++];
    seg->data = data;
    seg->len = len;
    chain->segs = seg;
    chain->len = len;
    chain->n_segs = 1;
    return true;
}

#endif /* chain.h */
