/* The in-flight region (VHOST_USER_PROTOCOL_F_INFLIGHT_SHMFD): memory that a
 * front-end keeps for us, so that the back-end that follows finds what we were
 * at.
 *
 * We give chains back in the order in which we took them.  So for a split ring
 * used->idx tells all: what is available behind it was in flight, and nothing
 * is written here.  For a packed ring it's the place for what ring-state.c
 * otherwise keeps in a file of ours.  The layout is ours, too; to others the
 * region looks uninitialized.
 *
 * The front-end may write to it whenever it likes, as to any memory that we
 * share with it. */
#include <config.h>
#include "vhost/device.h"
#include "vhost/ring-state.h"

#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

#include "util.h"

static char *
check_queues(const struct vhost_device *dev,
             const struct vhost_user_inflight *wanted)
{
    if (!wanted->num_queues || wanted->num_queues > dev->max_queues) {
        return xasprintf("num queues is %u, not 1 to %u", wanted->num_queues,
                         dev->max_queues);
    }
    return NULL;
}

/* Makes a region as 'wanted', which gets its size.  Stores the file, which is
 * the caller's, in '*fdp'.  Returns NULL or an error message. */
char *
vhost_inflight_make(const struct vhost_device *dev,
                    struct vhost_user_inflight *wanted, int *fdp)
{
    char *error = check_queues(dev, wanted);
    if (error) {
        return error;
    }

    wanted->mmap_size = wanted->num_queues * (size_t) VHOST_RING_STATE_SIZE;
    wanted->mmap_offset = 0;
    int fd = memfd_create("vhost-inflight", MFD_CLOEXEC);
    if (fd < 0 || ftruncate(fd, wanted->mmap_size)) {
        error = xasprintf("cannot make an in-flight region: %s",
                          ovs_strerror(errno));
        if (fd >= 0) {
            close(fd);
        }
        return error;
    }
    *fdp = fd;
    return NULL;
}

/* Keeps ring state in the region of 'fd' that 'region' describes from now on.
 * No queue may be running.  Returns NULL or an error message. */
char *
vhost_inflight_set(struct vhost_device *dev,
                   const struct vhost_user_inflight *region, int fd)
{
    char *error = check_queues(dev, region);
    if (error) {
        return error;
    }
    if (region->mmap_size / VHOST_RING_STATE_SIZE < region->num_queues
        || region->mmap_offset % VHOST_RING_STATE_SIZE) {
        return xasprintf("%#"PRIx64" bytes at %#"PRIx64" don't hold %u queues",
                         region->mmap_size, region->mmap_offset,
                         region->num_queues);
    }

    struct vhost_mapping mapping;
    error = vhost_mapping_init(&mapping, dev, fd, region->mmap_offset,
                               region->mmap_size, "the in-flight region");
    if (!error) {
        vhost_mapping_destroy(&dev->inflight);
        dev->inflight = mapping;
        dev->n_inflight = region->num_queues;
    }
    return error;
}
