/* The device's view of memory behind the guest's IOMMU
 * (VIRTIO_F_ACCESS_PLATFORM).
 *
 * Descriptors then hold I/O virtual addresses.  The front-end tells what they
 * mean, entry by entry, when we ask for one that we miss or when the guest
 * changes it.  We keep the entries here, and make of them, and of the regions
 * of guest memory, the map by which rings translate: a sorted array in which
 * what adjoins is one range, so that a guest whose mappings don't change pays
 * no more than one without an IOMMU.  A changing one pays for a new array per
 * message. */
#include <config.h>
#include "vhost/iotlb.h"

#include <stdlib.h>
#include <string.h>

#include "util.h"

/* More than any guest maps at a time; one that does loses all and asks again
 * for what it needs. */
#define MAX_ENTRIES 65536

struct entry {
    uint64_t iova;
    uint64_t last;              /* Inclusive: the whole space has 2^64. */
    uint64_t uva;               /* Of 'iova', at the front-end. */
    uint8_t access;             /* VHOST_ACCESS_*. */
};

struct vhost_iotlb {
    struct entry *entries;      /* Sorted, disjoint. */
    size_t n, allocated;
};

struct vhost_iotlb *
vhost_iotlb_create(void)
{
    return xzalloc(sizeof(struct vhost_iotlb));
}

void
vhost_iotlb_destroy(struct vhost_iotlb *tlb)
{
    if (tlb) {
        free(tlb->entries);
        free(tlb);
    }
}

/* Returns the index of the first entry that ends at 'iova' or later. */
static size_t
find(const struct vhost_iotlb *tlb, uint64_t iova)
{
    size_t low = 0, high = tlb->n;

    while (low < high) {
        size_t mid = (low + high) / 2;

        if (tlb->entries[mid].last < iova) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    return low;
}

static void
insert_at(struct vhost_iotlb *tlb, size_t i, const struct entry *e)
{
    struct entry copy = *e;

    if (tlb->n == tlb->allocated) {
        tlb->entries = x2nrealloc(tlb->entries, &tlb->allocated,
                                  sizeof *tlb->entries);
    }
    memmove(&tlb->entries[i + 1], &tlb->entries[i],
            (tlb->n - i) * sizeof *tlb->entries);
    tlb->entries[i] = copy;
    tlb->n++;
}

/* Forgets addresses 'iova' to 'last'. */
static void
invalidate(struct vhost_iotlb *tlb, uint64_t iova, uint64_t last)
{
    size_t i = find(tlb, iova);

    /* What sticks out of the range at its beginning... */
    if (i < tlb->n && tlb->entries[i].iova < iova) {
        struct entry rest = tlb->entries[i];

        tlb->entries[i++].last = iova - 1;
        rest.uva += iova - rest.iova;
        rest.iova = iova;
        insert_at(tlb, i, &rest);
    }
    size_t end = i;
    while (end < tlb->n && tlb->entries[end].last <= last) {
        end++;
    }
    /* ...and at its end. */
    if (end < tlb->n && tlb->entries[end].iova <= last) {
        tlb->entries[end].uva += last + 1 - tlb->entries[end].iova;
        tlb->entries[end].iova = last + 1;
    }
    if (end > i) {
        memmove(&tlb->entries[i], &tlb->entries[end],
                (tlb->n - end) * sizeof *tlb->entries);
        tlb->n -= end - i;
    }
}

/* Does what 'msg' says.  Returns NULL or what is wrong with it. */
char *
vhost_iotlb_handle(struct vhost_iotlb *tlb, const struct vhost_user_iotlb *msg)
{
    uint64_t last = msg->iova + msg->size - 1;

    if (msg->type == VHOST_IOTLB_INVALIDATE && !msg->size) {
        tlb->n = 0;             /* 2^64 bytes, as QEMU counts them. */
        return NULL;
    }
    if (!msg->size || last < msg->iova) {
        return xasprintf("range of %#"PRIx64" bytes at %#"PRIx64" is "
                         "impossible", msg->size, msg->iova);
    }
    switch (msg->type) {
    case VHOST_IOTLB_UPDATE: {
        if (!msg->permissions || msg->permissions > VHOST_ACCESS_RW) {
            return xasprintf("permissions are %#x", msg->permissions);
        }
        if (msg->user_address + (msg->size - 1) < msg->user_address) {
            return xasprintf("user address %#"PRIx64" is too high",
                             msg->user_address);
        }
        invalidate(tlb, msg->iova, last);
        if (tlb->n >= MAX_ENTRIES) {
            tlb->n = 0;
        }
        struct entry e = {
            .iova = msg->iova, .last = last, .uva = msg->user_address,
            .access = msg->permissions,
        };
        insert_at(tlb, find(tlb, msg->iova), &e);
        return NULL;
    }

    case VHOST_IOTLB_INVALIDATE:
        invalidate(tlb, msg->iova, last);
        return NULL;

    default:
        return xasprintf("type %u is neither an update nor an invalidation",
                         msg->type);
    }
}

/* --- The map --- */

struct map_builder {
    struct vhost_map *map;
    size_t allocated;
};

static void
append(struct map_builder *b, const struct vhost_range *range)
{
    struct vhost_map *map = b->map;

    if (map->n) {
        struct vhost_range *prev = &map->ranges[map->n - 1];

        if (prev->start + prev->size == range->start
            && prev->host + prev->size == range->host
            && prev->access == range->access) {
            prev->size += range->size;
            return;
        }
    }
    if (map->n == b->allocated) {
        b->allocated *= 2;
        map = b->map = xrealloc(map, sizeof *map
                                + b->allocated * sizeof map->ranges[0]);
    }
    map->ranges[map->n++] = *range;
}

/* Appends those parts of 'e' that are in guest memory. */
static void
append_entry(struct map_builder *b, const struct entry *e,
             const struct vhost_memory *memory)
{
    uint64_t iova = e->iova;

    for (;;) {
        uint64_t uva = e->uva + (iova - e->iova);
        uint64_t len = e->last - iova + 1;
        const struct vhost_region *r = vhost_memory_find_uva(memory, uva);

        if (!r) {
            return;
        }
        len = MIN(len, r->uva + r->size - uva);
        struct vhost_range range = {
            .start = iova, .size = len, .host = r->host + (uva - r->uva),
            .access = e->access,
        };
        append(b, &range);
        if (iova + (len - 1) == e->last) {
            return;
        }
        iova += len;
    }
}

/* Returns the map by which a ring of a device with 'memory' translates. */
struct vhost_map *
vhost_iotlb_map(const struct vhost_iotlb *tlb,
                const struct vhost_memory *memory)
{
    struct map_builder b = { .map = vhost_map_create(8), .allocated = 8 };

    b.map->n = 0;
    for (size_t i = 0; i < tlb->n; i++) {
        append_entry(&b, &tlb->entries[i], memory);
    }
    return b.map;
}
