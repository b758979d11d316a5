/* From a transmit queue to packets: takes chains off the ring and makes a view
 * of each.  The first bytes of the frame, which decide what becomes of it, are
 * copied to memory that the guest can't write; the rest stays where it is.
 *
 * A chain that breaks a rule gets no view, and goes back with the others. */
#include <config.h>
#include "vhost/ring.h"
#include "vhost/device.h"

#include <endian.h>

static inline size_t
snapshot_len(uint32_t frame_len)
{
    return (frame_len <= 2 * VHOST_SNAPSHOT ? frame_len : VHOST_SNAPSHOT);
}

static inline void
vnet_to_host(const struct vhost_queue *q, struct virtio_net_hdr *vnet)
{
#if __BYTE_ORDER == __BIG_ENDIAN
    /* A guest without VERSION_1 has our byte order, or we refused it. */
    if (q->device->features & (1ULL << VIRTIO_F_VERSION_1)) {
        vnet->hdr_len = le16toh(vnet->hdr_len);
        vnet->gso_size = le16toh(vnet->gso_size);
        vnet->csum_start = le16toh(vnet->csum_start);
        vnet->csum_offset = le16toh(vnet->csum_offset);
    }
#else
    (void) q, (void) vnet;
#endif
}

/* Copies 'n' bytes from the segments at '*segs', which it takes away. */
static void
gather(struct vhost_seg **segs, uint16_t *n_segs, void *dst_, size_t n)
{
    uint8_t *dst = dst_;

    while (n) {
        struct vhost_seg *seg = *segs;
        size_t chunk = MIN(n, seg->len);

        memcpy(dst, seg->data, chunk);
        dst += chunk;
        n -= chunk;
        seg->data += chunk;
        seg->len -= chunk;
        if (!seg->len) {
            (*segs)++;
            (*n_segs)--;
        }
    }
}

static void
view_gather(const struct vhost_queue *q, const struct vhost_chain *chain,
            struct vhost_packet *packet)
{
    struct virtio_net_hdr_mrg_rxbuf hdr;

    packet->segs = chain->segs;
    packet->n_segs = chain->n_segs;
    gather(&packet->segs, &packet->n_segs, &hdr, q->hdr_len);
    packet->vnet = hdr.hdr;
    gather(&packet->segs, &packet->n_segs, packet->buf, packet->head_len);
}

/* Makes a view of 'chain'.  Returns false if it can't be a packet. */
static inline bool
view(const struct vhost_queue *q, const struct vhost_chain *chain,
     struct vhost_packet *packet)
{
    uint32_t len = chain->len - q->hdr_len;

    if (OVS_UNLIKELY(chain->len < q->hdr_len + (uint32_t) VHOST_MIN_FRAME
                     || len > VHOST_MAX_FRAME)) {
        return false;
    }
    struct vhost_seg *seg = chain->segs;
    size_t head_len = snapshot_len(len);

    packet->head = packet->buf;
    packet->head_len = head_len;
    packet->len = len;
    if (OVS_LIKELY(seg->len >= q->hdr_len + head_len)) {
        memcpy(&packet->vnet, seg->data, sizeof packet->vnet);
        vhost_copy_head(packet->buf, seg->data + q->hdr_len, head_len);
        seg->data += q->hdr_len + head_len;
        seg->len -= q->hdr_len + head_len;
        packet->segs = seg->len ? seg : seg + 1;
        packet->n_segs = chain->n_segs - !seg->len;
    } else {
        view_gather(q, chain, packet);
    }
    vnet_to_host(q, &packet->vnet);
    return true;
}

/* Fetches what becomes the snapshot into the cache; the header of a short
 * packet that doesn't begin a line takes two. */
static inline void
prefetch_head(const struct vhost_chain *chain)
{
    if (OVS_LIKELY(chain->len)) {
        __builtin_prefetch(chain->segs->data);
        __builtin_prefetch(chain->segs->data + 64);
    }
}

unsigned int
vhost_receive(struct vhost_queue *q, struct vhost_packet packets[VHOST_BATCH],
              unsigned int max)
{
    static __thread struct vhost_scratch scratch;
    unsigned int n = 0;

    scratch.n = scratch.n_segs = 0;
    vhost_queue_lock(q);
    if (OVS_LIKELY(q->ready && !q->missing && !q->n_held)) {
        unsigned int n_chains = vhost_ring_fetch(q, &scratch,
                                                 MIN(max, VHOST_BATCH));
        uint64_t bytes = 0;

        for (unsigned int i = 0; i < n_chains; i++) {
            prefetch_head(&scratch.chains[i]);
        }
        for (unsigned int i = 0; i < n_chains; i++) {
            const struct vhost_chain *chain = &scratch.chains[i];

            q->held[i] = (struct vhost_used) {
                .id = chain->id, .slots = chain->slots,
            };
            if (OVS_LIKELY(view(q, chain, &packets[n]))) {
                bytes += packets[n].len;
                n++;
            } else if (chain->len) {
                q->bad_chains++;
            }
        }
        q->n_held = n_chains;
        q->packets += n;
        q->bytes += bytes;
    }
    vhost_queue_unlock(q);
    if (OVS_UNLIKELY(!n && q->n_held)) {
        /* Only bad chains: the caller sees nothing to be done with. */
        struct vhost_notifier notifier = { .n = 0 };

        vhost_receive_done(q, &notifier);
        vhost_notify(&notifier);
    }
    return n;
}

void
vhost_receive_done(struct vhost_queue *q, struct vhost_notifier *notifier)
{
    bool used = false;

    vhost_queue_lock(q);
    if (OVS_LIKELY(q->ready)) {
        if (q->n_held) {
            vhost_ring_complete(q, q->held, q->n_held);
            used = true;
        }
        q->n_held = 0;
    } else if (q->running && q->n_held) {
        q->owes = true;
    } else {
        q->n_held = 0;
    }
    vhost_queue_unlock(q);
    if (used) {
        vhost_notifier_add(notifier, q);
    }
}
