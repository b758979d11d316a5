/* Chains of descriptors that are not the simple case: several buffers, buffers
 * that cross from one region of guest memory into another, and indirect
 * tables.
 *
 * An indirect table is guest memory like any other: it may lie in two regions,
 * and the guest may change it while we read.  So each of its descriptors is
 * translated, and read, on its own, once.
 *
 * What indirect descriptors cost: a dependent cache miss per packet, 25 to 40
 * cycles at 64 B.  They pay for a driver whose packets have several buffers
 * each and whose ring is short. */
#include <config.h>
#include "vhost/chain.h"
#include "vhost/device.h"

#include <endian.h>

/* What it means that 'addr' can't be translated for 'access'. */
static enum vhost_chain_result
not_mapped(struct vhost_queue *q, uint64_t addr, uint8_t access)
{
    if (!q->device->iotlb) {
        return VHOST_CHAIN_BAD;
    }
    vhost_queue_miss(q, addr, access);
    return VHOST_CHAIN_MISS;
}

enum vhost_chain_result
vhost_chain_add(struct vhost_queue *q, struct vhost_scratch *scratch,
                struct vhost_chain *chain, const struct vhost_desc *d)
{
    uint8_t access = q->transmit ? VHOST_ACCESS_RO : VHOST_ACCESS_WO;
    uint64_t addr = d->addr;
    uint32_t left = d->len;

    /* The driver's buffers for us to write and to read are on different
     * queues: a chain of the other kind, or a mixture, makes no sense. */
    if (!(d->flags & VRING_DESC_F_WRITE) != q->transmit) {
        return VHOST_CHAIN_BAD;
    }
    if (addr + left < addr || chain->len + (uint64_t) left > UINT32_MAX) {
        return VHOST_CHAIN_BAD;
    }
    while (left) {
        uint32_t len = left;
        uint8_t *data = vhost_translate(q->map, &q->hint, addr, &len, access);

        if (chain->n_segs >= VHOST_MAX_SEGS) {
            return VHOST_CHAIN_BAD;
        } else if (!data) {
            return not_mapped(q, addr, access);
        }
        scratch->segs[scratch->n_segs++] = (struct vhost_seg) {
            .data = data, .len = len,
        };
        chain->n_segs++;
        chain->len += len;
        addr += len;
        left -= len;
    }
    return VHOST_CHAIN_OK;
}

/* Reads the descriptor at guest address 'addr'. */
static enum vhost_chain_result
read_desc(struct vhost_queue *q, uint64_t addr, struct vhost_desc *d)
{
    struct vring_desc copy;
    uint8_t *dst = (uint8_t *) &copy;

    for (uint32_t done = 0; done < sizeof copy; ) {
        uint32_t len = sizeof copy - done;
        const uint8_t *src = vhost_translate(q->map, &q->hint, addr + done,
                                             &len, VHOST_ACCESS_RO);
        if (!src) {
            return not_mapped(q, addr + done, VHOST_ACCESS_RO);
        }
        memcpy(dst + done, src, len);
        done += len;
    }
    d->addr = le64toh(copy.addr);
    d->len = le32toh(copy.len);
    d->flags = le16toh(copy.flags);
    d->next = le16toh(copy.next);
    return VHOST_CHAIN_OK;
}

enum vhost_chain_result
vhost_chain_add_indirect(struct vhost_queue *q, struct vhost_scratch *scratch,
                         struct vhost_chain *chain,
                         const struct vhost_desc *table)
{
    /* A table may be longer than the chain in it, but a chain of more
     * than VHOST_MAX_SEGS buffers is bad anyhow. */
    uint32_t n = table->len / sizeof(struct vring_desc);
    struct vhost_desc d;

    if (!q->indirect || !n || table->len % sizeof(struct vring_desc)
        || table->addr + table->len < table->addr) {
        return VHOST_CHAIN_BAD;
    }
    uint32_t i = 0;
    for (unsigned int count = 0; count < VHOST_MAX_SEGS; count++) {
        uint64_t addr = table->addr + i * sizeof(struct vring_desc);
        enum vhost_chain_result result = read_desc(q, addr, &d);

        if (!result) {
            result = (d.flags & VRING_DESC_F_INDIRECT
                      ? VHOST_CHAIN_BAD
                      : vhost_chain_add(q, scratch, chain, &d));
        }
        if (result) {
            return result;
        }
        if (q->packed) {
            /* The descriptors of a packed ring's table follow each other;
             * only the table's length says where it ends. */
            if (++i == n) {
                return VHOST_CHAIN_OK;
            }
        } else if (!(d.flags & VRING_DESC_F_NEXT)) {
            return VHOST_CHAIN_OK;
        } else {
            i = d.next;
            if (i >= n) {
                return VHOST_CHAIN_BAD;
            }
        }
    }
    return VHOST_CHAIN_BAD;     /* Too long, or a loop. */
}
