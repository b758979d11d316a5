/* Guest memory: mapping the front-end's files and finding addresses in them.
 * See memory.h. */
#include <config.h>
#include "vhost/memory.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "util.h"

struct vhost_region *
vhost_region_map(struct vhost_device *dev,
                 const struct vhost_user_region *wanted, int fd, char **errp)
{
    struct vhost_mapping mapping;

    if (wanted->guest_address + wanted->size < wanted->size
        || wanted->user_address + wanted->size < wanted->size) {
        *errp = xasprintf("region has impossible size %#"PRIx64, wanted->size);
        return NULL;
    }
    *errp = vhost_mapping_init(&mapping, dev, fd, wanted->mmap_offset,
                               wanted->size, "guest memory");
    if (*errp) {
        return NULL;
    }

    struct vhost_region *region = xmalloc(sizeof *region);
    *region = (struct vhost_region) {
        .gpa = wanted->guest_address,
        .uva = wanted->user_address,
        .size = wanted->size,
        .host = mapping.data,
        .file_offset = wanted->mmap_offset,
        .mapping = mapping,
    };
    return region;
}

void
vhost_region_unmap(struct vhost_region *region)
{
    if (region) {
        vhost_mapping_destroy(&region->mapping);
        free(region);
    }
}

bool
vhost_region_is(const struct vhost_region *region,
                const struct vhost_user_region *wanted, int fd)
{
    struct stat s;

    return (region->gpa == wanted->guest_address
            && region->uva == wanted->user_address
            && region->size == wanted->size
            && region->file_offset == wanted->mmap_offset
            && !fstat(fd, &s)
            && s.st_dev == region->mapping.dev && s.st_ino == region->mapping.ino
            && (uint64_t) s.st_size >= wanted->mmap_offset + wanted->size);
}

struct vhost_memory *
vhost_memory_create(void)
{
    return xzalloc(sizeof(struct vhost_memory));
}

struct vhost_memory *
vhost_memory_clone(const struct vhost_memory *memory)
{
    struct vhost_memory *clone = vhost_memory_create();

    if (memory && memory->n) {
        clone->n = memory->n;
        clone->regions = xmemdup(memory->regions,
                                 memory->n * sizeof *memory->regions);
    }
    return clone;
}

void
vhost_memory_free(struct vhost_memory *memory)
{
    if (memory) {
        free(memory->regions);
        free(memory);
    }
}

bool
vhost_memory_has(const struct vhost_memory *memory,
                 const struct vhost_region *region)
{
    for (unsigned int i = 0; i < memory->n; i++) {
        if (memory->regions[i] == region) {
            return true;
        }
    }
    return false;
}

bool
vhost_memory_add(struct vhost_memory *memory, struct vhost_region *region)
{
    unsigned int i;

    for (i = 0; i < memory->n; i++) {
        const struct vhost_region *r = memory->regions[i];

        if (region->gpa < r->gpa + r->size && r->gpa < region->gpa
            + region->size) {
            return false;
        }
    }
    memory->regions = xrealloc(memory->regions,
                               (memory->n + 1) * sizeof *memory->regions);
    for (i = memory->n++; i > 0; i--) {
        if (memory->regions[i - 1]->gpa < region->gpa) {
            break;
        }
        memory->regions[i] = memory->regions[i - 1];
    }
    memory->regions[i] = region;
    return true;
}

struct vhost_region *
vhost_memory_remove(struct vhost_memory *memory,
                    const struct vhost_user_region *wanted)
{
    for (unsigned int i = 0; i < memory->n; i++) {
        struct vhost_region *r = memory->regions[i];

        if (r->gpa == wanted->guest_address && r->uva == wanted->user_address
            && r->size == wanted->size) {
            memory->n--;
            memmove(&memory->regions[i], &memory->regions[i + 1],
                    (memory->n - i) * sizeof *memory->regions);
            return r;
        }
    }
    return NULL;
}

const struct vhost_region *
vhost_memory_find_uva(const struct vhost_memory *memory, uint64_t uva)
{
    for (unsigned int i = 0; memory && i < memory->n; i++) {
        const struct vhost_region *r = memory->regions[i];

        if (uva - r->uva < r->size) {
            return r;
        }
    }
    return NULL;
}

uint8_t *
vhost_memory_from_uva(const struct vhost_memory *memory, uint64_t uva,
                      uint64_t len)
{
    const struct vhost_region *r = vhost_memory_find_uva(memory, uva);

    return (r && len <= r->size - (uva - r->uva)
            ? r->host + (uva - r->uva) : NULL);
}

struct vhost_map *
vhost_map_create(unsigned int n)
{
    struct vhost_map *map = xzalloc(sizeof *map
                                    + MAX(n, 1) * sizeof map->ranges[0]);
    map->n = n;
    return map;
}

struct vhost_map *
vhost_map_from_memory(const struct vhost_memory *memory)
{
    struct vhost_map *map = vhost_map_create(memory ? memory->n : 0);

    for (unsigned int i = 0; i < map->n; i++) {
        const struct vhost_region *r = memory->regions[i];

        map->ranges[i] = (struct vhost_range) {
            .start = r->gpa, .size = r->size, .host = r->host,
            .access = VHOST_ACCESS_RW,
        };
    }
    return map;
}

unsigned int
vhost_map_find(const struct vhost_map *map, uint64_t addr)
{
    unsigned int low = 0, high = map->n;

    while (low < high) {
        unsigned int mid = (low + high) / 2;
        const struct vhost_range *r = &map->ranges[mid];

        if (addr < r->start) {
            high = mid;
        } else if (addr - r->start >= r->size) {
            low = mid + 1;
        } else {
            return mid;
        }
    }
    return map->n;
}

uint8_t *
vhost_map_contiguous(const struct vhost_map *map, uint64_t addr, uint64_t len,
                     uint64_t access, uint64_t *missing)
{
    uint8_t *host = NULL;
    uint64_t done = 0;

    *missing = addr;
    for (unsigned int i = vhost_map_find(map, addr); done < len; i++) {
        if (i >= map->n) {
            return NULL;
        }
        const struct vhost_range *r = &map->ranges[i];
        uint64_t ofs = addr + done - r->start;

        if (ofs >= r->size || (r->access & access) != access
            || (host && r->host + ofs != host + done)) {
            return NULL;
        }
        host = host ? host : r->host + ofs;
        done += r->size - ofs;
        *missing = addr + done;
    }
    return host;
}
