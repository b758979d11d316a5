/* The dirty log: which pages of guest memory we have written, one bit per 4
 * KiB page, in memory that the front-end shares with us during live migration.
 *
 * Marks follow the writes of data and precede their publication in the used
 * ring, whose own pages are marked as well; a front-end that clears a bit
 * before it copies the page therefore misses nothing. */
#include <config.h>
#include "vhost/device.h"
#include "vhost/ring.h"

#include <stdlib.h>

#include "util.h"

#define LOG_PAGE 4096

struct vhost_dirty_log {
    uint8_t *bits;
    uint64_t n_pages;           /* Bits. */
    struct vhost_mapping mapping;
};

static void
mark_gpa(const struct vhost_dirty_log *log, uint64_t gpa, uint64_t len)
{
    uint64_t end = (gpa + len - 1) / LOG_PAGE;

    for (uint64_t page = gpa / LOG_PAGE; page <= end; page++) {
        if (page < log->n_pages) {
            __atomic_fetch_or(&log->bits[page / 8], 1 << page % 8,
                              __ATOMIC_RELAXED);
        }
    }
}

/* Marks the pages of the 'len' bytes at our address 'host'.  With the lock of
 * one of the device's queues held. */
void
vhost_dirty_log_mark(struct vhost_device *dev, const void *host_, size_t len)
{
    const struct vhost_dirty_log *log = __atomic_load_n(&dev->log,
                                                        __ATOMIC_ACQUIRE);
    const struct vhost_memory *memory = __atomic_load_n(&dev->memory,
                                                        __ATOMIC_ACQUIRE);
    const uint8_t *host = host_;

    if (!log || !memory || !len) {
        return;
    }
    for (unsigned int i = 0; i < memory->n; i++) {
        const struct vhost_region *r = memory->regions[i];

        if (host >= r->host && host < r->host + r->size) {
            mark_gpa(log, r->gpa + (host - r->host), len);
            return;
        }
    }
}

static void
log_free(struct vhost_dirty_log *log)
{
    if (log) {
        vhost_mapping_destroy(&log->mapping);
        free(log);
    }
}

/* Makes 'log' the device's, and frees the one before.  Who marks pages holds
 * the lock of a queue (and may be offline: a thread that arms a queue before
 * it sleeps), so that once each has been taken the old one is not in use. */
static void
exchange(struct vhost_device *dev, struct vhost_dirty_log *log)
{
    struct vhost_dirty_log *old = dev->log;

    __atomic_store_n(&dev->log, log, __ATOMIC_RELEASE);
    for (unsigned int i = 0; i < dev->max_queues; i++) {
        if (dev->queues[i]) {
            vhost_queue_lock(dev->queues[i]);
            vhost_queue_unlock(dev->queues[i]);
        }
    }
    log_free(old);
}

/* Makes the log in 'fd' that 'wanted' describes the device's.  Returns NULL or
 * an error message. */
char *
vhost_dirty_log_set(struct vhost_device *dev,
                    const struct vhost_user_log *wanted, int fd)
{
    struct vhost_mapping mapping;
    char *error = vhost_mapping_init(&mapping, dev, fd, wanted->mmap_offset,
                                     wanted->mmap_size, "the log");
    if (error) {
        return error;
    }

    struct vhost_dirty_log *log = xmalloc(sizeof *log);
    *log = (struct vhost_dirty_log) {
        .bits = mapping.data,
        .n_pages = wanted->mmap_size * 8,
        .mapping = mapping,
    };
    exchange(dev, log);
    return NULL;
}

void
vhost_dirty_log_clear(struct vhost_device *dev)
{
    if (dev->log) {
        exchange(dev, NULL);
    }
}
