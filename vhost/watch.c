/* Notices that a socket appears.
 *
 * A device that connects waits for a front-end which may come in a second, or
 * never.  To try again and again costs little for one device, and 2 % of a CPU
 * for two thousand.  So the kernel tells us (inotify) when a file of the
 * socket's name comes into its directory; the device tries again then, and now
 * and then all the same, in case that the kernel missed something.
 *
 * All of this belongs to the control thread. */
#include <config.h>
#include "vhost/device.h"

#include <errno.h>
#include <event2/event.h>
#include <libgen.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "hash.h"
#include "openvswitch/hmap.h"
#include "openvswitch/vlog.h"
#include "util.h"

VLOG_DEFINE_THIS_MODULE(vhost_watch);

/* A directory.  The kernel knows it by 'wd', once, whatever its path. */
struct directory {
    struct hmap_node node;      /* In 'directories', by 'wd'. */
    int wd;
    unsigned int n_watches;     /* Freed with the last one. */
};

/* What one device waits for. */
struct vhost_watch {
    struct hmap_node node;      /* In 'watches', by watch_hash(). */
    struct directory *dir;
    char *name;                 /* The socket's, in the directory. */
    struct vhost_device *dev;
};

static int inotify_fd = -1;
static struct event *inotify_event;
static struct hmap directories = HMAP_INITIALIZER(&directories);
static struct hmap watches = HMAP_INITIALIZER(&watches);

static uint32_t
watch_hash(int wd, const char *name)
{
    return hash_string(name, wd);
}

static struct directory *
directory_find(int wd)
{
    struct directory *dir;

    HMAP_FOR_EACH_WITH_HASH (dir, node, hash_int(wd, 0), &directories) {
        if (dir->wd == wd) {
            return dir;
        }
    }
    return NULL;
}

/* A file 'name' has come into directory 'wd'.  Several devices may wait for
 * it, if only by mistake. */
static void
file_appeared(int wd, const char *name)
{
    struct vhost_watch *watch;

    HMAP_FOR_EACH_WITH_HASH (watch, node, watch_hash(wd, name), &watches) {
        if (watch->dir->wd == wd && !strcmp(watch->name, name)) {
            vhost_socket_appeared(watch->dev);
        }
    }
}

/* The kernel lost track of what happened, or directory 'wd' is gone: those who
 * waited have to look for themselves. */
static void
directory_lost(int wd)
{
    struct vhost_device **lost = xcalloc(hmap_count(&watches), sizeof *lost);
    struct vhost_watch *watch;
    size_t n = 0;

    HMAP_FOR_EACH_SAFE (watch, node, &watches) {
        if (wd == -1 || watch->dir->wd == wd) {
            lost[n++] = watch->dev;
            watch->dev->watch = NULL;
            vhost_watch_destroy(watch);
        }
    }
    for (size_t i = 0; i < n; i++) {
        vhost_socket_appeared(lost[i]);
    }
    free(lost);
}

static void
read_events(evutil_socket_t fd, short what OVS_UNUSED, void *aux OVS_UNUSED)
{
    char buf[4096] __attribute__((aligned(__alignof__(struct inotify_event))));
    ssize_t n = read(fd, buf, sizeof buf);

    for (ssize_t ofs = 0; ofs < n; ) {
        const struct inotify_event *e = (const void *) (buf + ofs);

        if (e->mask & (IN_Q_OVERFLOW | IN_IGNORED)) {
            directory_lost(e->wd);
        } else if (e->len) {
            file_appeared(e->wd, e->name);
        }
        ofs += sizeof *e + e->len;
    }
}

/* Calls vhost_socket_appeared() when a file dev->path comes into being, from
 * now on.  Returns NULL if that can't be had, because there is no such
 * directory, for example. */
struct vhost_watch *
vhost_watch_create(struct vhost_device *dev)
{
    if (inotify_fd < 0) {
        return NULL;
    }
    char *copy = xstrdup(dev->path);
    int wd = inotify_add_watch(inotify_fd, dirname(copy),
                               IN_CREATE | IN_MOVED_TO | IN_ONLYDIR);
    int error = errno;
    free(copy);
    if (wd < 0) {
        if (error == ENOSPC) {
            VLOG_WARN_ONCE("cannot watch more directories for sockets; raise "
                           "fs.inotify.max_user_watches");
        }
        return NULL;
    }

    struct directory *dir = directory_find(wd);
    if (!dir) {
        dir = xzalloc(sizeof *dir);
        dir->wd = wd;
        hmap_insert(&directories, &dir->node, hash_int(wd, 0));
    }
    dir->n_watches++;

    struct vhost_watch *watch = xmalloc(sizeof *watch);
    copy = xstrdup(dev->path);
    watch->dir = dir;
    watch->name = xstrdup(basename(copy));
    watch->dev = dev;
    hmap_insert(&watches, &watch->node, watch_hash(wd, watch->name));
    free(copy);
    return watch;
}

void
vhost_watch_destroy(struct vhost_watch *watch)
{
    if (!watch) {
        return;
    }
    hmap_remove(&watches, &watch->node);
    if (!--watch->dir->n_watches) {
        /* If it's gone the kernel doesn't know it any more, and says so. */
        inotify_rm_watch(inotify_fd, watch->dir->wd);
        hmap_remove(&directories, &watch->dir->node);
        free(watch->dir);
    }
    free(watch->name);
    free(watch);
}

/* --- Start and end, with the control thread's --- */

void
vhost_watch_init(void)
{
    inotify_fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    if (inotify_fd < 0) {
        VLOG_WARN("inotify: %s; waiting for sockets by trying once a second",
                  ovs_strerror(errno));
        return;
    }
    inotify_event = event_new(vhost_event_base(), inotify_fd,
                              EV_READ | EV_PERSIST, read_events, NULL);
    event_add(inotify_event, NULL);
}

void
vhost_watch_exit(void)
{
    if (inotify_fd >= 0) {
        event_free(inotify_event);
        close(inotify_fd);
        inotify_fd = -1;
    }
}
