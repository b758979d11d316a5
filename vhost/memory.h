/* Guest memory as the rings see it.  Private to vhost/.
 *
 * A *region* is one file of the front-end, mapped here.  A *memory* is the set
 * of regions that a device has at one time.  A *map* translates the addresses
 * that a guest puts in descriptors to ours: made from the regions alone, or
 * from what the guest's IOMMU lets the device see of them.
 *
 * The control thread makes new memories and maps and never changes one that a
 * ring uses: it swaps the pointer under the ring's lock, and lets go of the
 * old one after vhost_synchronize(). */
#ifndef VHOST_MEMORY_H
#define VHOST_MEMORY_H 1

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include "util.h"
#include "vhost/wire.h"

#define VHOST_MAX_REGIONS 509   /* What Linux's vhost and KVM have, too. */

struct vhost_device;

/* Part of a file of the front-end's: see mapping.c. */
struct vhost_mapping {
    uint8_t *data;              /* The part asked for... */
    void *start;                /* ...in what mmap() returned, NULL if none... */
    size_t len;                 /* ...for how much. */
    dev_t dev;                  /* The file... */
    ino_t ino;                  /* ...for telling if it's the same one. */
    struct vhost_guard *guard;  /* Catches SIGBUS, see sigbus.c. */
};
char *vhost_mapping_init(struct vhost_mapping *, struct vhost_device *,
                         int fd, uint64_t offset, uint64_t size,
                         const char *what);
void vhost_mapping_destroy(struct vhost_mapping *);

/* One region, mapped.  Belongs to exactly one memory. */
struct vhost_region {
    uint64_t gpa;               /* Guest-physical address... */
    uint64_t uva;               /* ...and the front-end's own. */
    uint64_t size;              /* Bytes. */
    uint8_t *host;              /* Ours. */
    uint64_t file_offset;       /* Of 'host' in the file. */
    struct vhost_mapping mapping;
};

struct vhost_memory {
    unsigned int n;
    struct vhost_region **regions;      /* Sorted by 'gpa'. */
};

/* A stretch of addresses that a descriptor may name. */
struct vhost_range {
    uint64_t start;             /* First address... */
    uint64_t size;              /* ...and how many. */
    uint8_t *host;              /* Where 'start' lies. */
    uint64_t access;            /* VHOST_ACCESS_*. */
};

struct vhost_map {
    unsigned int n;
    struct vhost_range ranges[];        /* Sorted, disjoint; at least one
                                         * element, if only of size 0. */
};

/* Maps 'wanted', a region of 'fd'; the fd stays the caller's.  Returns the
 * region, or NULL with '*errp' a message that the caller must free. */
struct vhost_region *vhost_region_map(struct vhost_device *,
                                      const struct vhost_user_region *wanted,
                                      int fd, char **errp);
void vhost_region_unmap(struct vhost_region *);
bool vhost_region_is(const struct vhost_region *,
                     const struct vhost_user_region *, int fd);

struct vhost_memory *vhost_memory_create(void);
/* Frees 'memory', not its regions. */
void vhost_memory_free(struct vhost_memory *);
/* Returns a copy of 'memory' (which may be NULL) with the same regions. */
struct vhost_memory *vhost_memory_clone(const struct vhost_memory *);
bool vhost_memory_has(const struct vhost_memory *,
                      const struct vhost_region *);
/* Adds 'region'.  Returns false if it overlaps another. */
bool vhost_memory_add(struct vhost_memory *, struct vhost_region *);
struct vhost_region *vhost_memory_remove(struct vhost_memory *,
                                         const struct vhost_user_region *);
/* Returns where the 'len' bytes at the front-end's address 'uva' lie, or NULL
 * if they aren't all in one region. */
uint8_t *vhost_memory_from_uva(const struct vhost_memory *, uint64_t uva,
                               uint64_t len);
/* Returns the region that has 'uva', NULL if none. */
const struct vhost_region *vhost_memory_find_uva(const struct vhost_memory *,
                                                 uint64_t uva);
/* Returns where the 'len' bytes at 'addr' lie by 'map', or NULL if they aren't
 * contiguous there.  Then '*missing' is the first address that isn't
 * mapped. */
uint8_t *vhost_map_contiguous(const struct vhost_map *, uint64_t addr,
                              uint64_t len, uint64_t access,
                              uint64_t *missing);
struct vhost_map *vhost_map_from_memory(const struct vhost_memory *);
struct vhost_map *vhost_map_create(unsigned int n);

/* Returns the index of the range of 'map' that has 'addr', or map->n. */
unsigned int vhost_map_find(const struct vhost_map *, uint64_t addr);

/* Translates 'addr' for 'access' by 'map'.  '*hint' remembers the range that
 * was hit last.  Returns our address of 'addr' and lowers '*len', the number
 * of bytes wanted, to what is contiguous there; returns NULL if the guest has
 * no such memory. */
static inline uint8_t *
vhost_translate(const struct vhost_map *map, unsigned int *hint,
                uint64_t addr, uint32_t *len, uint64_t access)
{
    const struct vhost_range *range = &map->ranges[*hint];
    uint64_t ofs = addr - range->start;

    if (OVS_UNLIKELY(ofs >= range->size)) {
        unsigned int i = vhost_map_find(map, addr);
        if (i == map->n) {
            return NULL;
        }
        *hint = i;
        range = &map->ranges[i];
        ofs = addr - range->start;
    }
    if (OVS_UNLIKELY(!(range->access & access))) {
        return NULL;
    }
    uint64_t left = range->size - ofs;
    if (OVS_UNLIKELY(*len > left)) {
        *len = left;
    }
    return range->host + ofs;
}

/* --- sigbus.c --- */

/* Guards 'len' bytes at 'start' of 'device': when the file behind them turns
 * out to be shorter, they become anonymous memory and '*broken' true. */
struct vhost_guard *vhost_guard_add(void *start, size_t len,
                                    struct vhost_device *);
/* Removes the guard of a mapping that no thread looks at any more. */
void vhost_guard_remove(struct vhost_guard *);
void vhost_sigbus_init(void);
void vhost_sigbus_exit(void);

#endif /* memory.h */
