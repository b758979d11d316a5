/* Files of the front-end's that we map: guest memory, the dirty log, the
 * in-flight region.  Whoever passes one may have any file in mind, and may
 * shrink it later: see sigbus.c. */
#include <config.h>
#include "vhost/memory.h"

#include <errno.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include "util.h"

#define FUSE_SUPER_MAGIC 0x65735546

/* Maps 'size' bytes at 'offset' of 'fd', which stays the caller's, for
 * 'device'.  Returns NULL, or an error message about 'what' that the caller
 * must free. */
char *
vhost_mapping_init(struct vhost_mapping *m, struct vhost_device *device,
                   int fd, uint64_t offset, uint64_t size, const char *what)
{
    uint64_t end = offset + size;
    struct statfs fs;
    struct stat s;

    if (fstat(fd, &s) || fstatfs(fd, &fs)) {
        return xasprintf("cannot examine the file of %s: %s", what,
                         ovs_strerror(errno));
    }
    if (!S_ISREG(s.st_mode)) {
        return xasprintf("file of %s is not a regular file", what);
    }
    if (fs.f_type == FUSE_SUPER_MAGIC) {
        /* Its owner could let each access of ours wait as long as it likes. */
        return xasprintf("file of %s is on a FUSE file system", what);
    }
    if (!size || end < size || end > INT64_MAX) {
        return xasprintf("%s has impossible size %#"PRIx64, what, size);
    }
    if ((uint64_t) s.st_size < end) {
        return xasprintf("%s ends at %#"PRIx64" of its file, which has only "
                         "%#"PRIx64" bytes", what, end, (uint64_t) s.st_size);
    }

    /* Huge pages, whose size is st_blksize, must be mapped whole. */
    uint64_t page = MAX((uint64_t) s.st_blksize, 4096);
    if (page & (page - 1)) {
        page = 4096;
    }
    uint64_t start = offset & ~(page - 1);
    size_t len = ((end + page - 1) & ~(page - 1)) - start;
    void *mapping = mmap(NULL, len, PROT_READ | PROT_WRITE,
                         MAP_SHARED | MAP_NORESERVE, fd, start);
    if (mapping == MAP_FAILED) {
        return xasprintf("cannot map %#"PRIxSIZE" bytes of %s: %s", len, what,
                         ovs_strerror(errno));
    }
    madvise(mapping, len, MADV_DONTDUMP);
    *m = (struct vhost_mapping) {
        .data = (uint8_t *) mapping + (offset - start),
        .start = mapping,
        .len = len,
        .dev = s.st_dev,
        .ino = s.st_ino,
        .guard = vhost_guard_add(mapping, len, device),
    };
    return NULL;
}

void
vhost_mapping_destroy(struct vhost_mapping *m)
{
    if (m->start) {
        vhost_guard_remove(m->guard);
        munmap(m->start, m->len);
        m->start = NULL;
    }
}
