/* The socket of a device: made and listened on, or connected to.
 *
 * A device talks to one front-end at a time.  In connect mode we try again
 * when the socket appears (watch.c), and besides, rarely if there is none, at
 * first soon, then less and less often, if nobody listens to it. */
#include <config.h>
#include "vhost/device.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "openvswitch/vlog.h"
#include "util.h"

VLOG_DEFINE_THIS_MODULE(vhost_socket);

#define BACKOFF_MIN_MS 20
#define BACKOFF_MAX_MS 1000     /* If nobody tells us of the socket... */
#define BACKOFF_WATCHED_MS 60000        /* ...and if somebody does. */

static struct vlog_rate_limit rl = VLOG_RATE_LIMIT_INIT(20, 20);

static int
make_address(const char *path, struct sockaddr_un *sun, char **errp)
{
    if (strlen(path) >= sizeof sun->sun_path) {
        *errp = xasprintf("%s: a socket's path can have at most %"PRIuSIZE
                          " bytes, this one has %"PRIuSIZE"; use a shorter "
                          "one", path, sizeof sun->sun_path - 1, strlen(path));
        return ENAMETOOLONG;
    }
    *sun = (struct sockaddr_un) { .sun_family = AF_UNIX };
    strcpy(sun->sun_path, path);
    return 0;
}

static int
make_socket(void)
{
    return socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
}

/* Removes what a process that died has left at 'sun'.  Returns 0, or an error
 * if it's something else. */
static int
remove_stale(const struct sockaddr_un *sun, char **errp)
{
    const char *path = sun->sun_path;
    struct stat s;

    if (lstat(path, &s)) {
        return 0;               /* Let bind() say what's the matter. */
    }
    if (!S_ISSOCK(s.st_mode)) {
        *errp = xasprintf("%s: exists and is not a socket; remove it or "
                          "choose another path", path);
        return EEXIST;
    }

    int fd = make_socket();
    if (fd < 0) {
        *errp = xasprintf("%s: socket: %s", path, ovs_strerror(errno));
        return errno;
    }
    int error = connect(fd, (const struct sockaddr *) sun, sizeof *sun)
        ? errno : 0;
    close(fd);
    if (error == ECONNREFUSED) {
        if (unlink(path) && errno != ENOENT) {
            error = errno;
            *errp = xasprintf("%s: cannot remove the stale socket: %s", path,
                              ovs_strerror(error));
            return error;
        }
        return 0;
    }
    if (error == EACCES || error == EPERM) {
        *errp = xasprintf("%s: no permission to replace this socket", path);
        return EACCES;
    }
    *errp = xasprintf("%s: another process listens on this socket; "
                      "stop it or choose another path", path);
    return EADDRINUSE;
}

static int
bind_socket(struct vhost_device *dev, int fd, const struct sockaddr_un *sun,
            char **errp)
{
    mode_t mode = dev->mode >= 0 ? dev->mode : 0600;
    struct stat s;

    /* The mode of an unbound socket is the most that its file gets, so there's
     * no moment at which others could connect. */
    fchmod(fd, mode & 0600);
    if (bind(fd, (const struct sockaddr *) sun, sizeof *sun)) {
        int error = errno;
        *errp = xasprintf("%s: cannot create the socket: %s%s", dev->path,
                          ovs_strerror(error),
                          error == ENOENT ? "; create its directory first"
                          : error == EACCES || error == EPERM
                          ? "; the directory must be writable for the switch"
                          : "");
        return error;
    }
    if (!lstat(dev->path, &s)) {
        dev->socket_dev = s.st_dev;
        dev->socket_ino = s.st_ino;
    }
    if (((dev->uid >= 0 || dev->gid >= 0)
         && lchown(dev->path, dev->uid, dev->gid))
        || chmod(dev->path, mode)
        || listen(fd, 16)) {
        int error = errno;
        *errp = xasprintf("%s: cannot set up owner %d, group %d and mode %03o "
                          "of the socket: %s", dev->path, dev->uid, dev->gid,
                          (unsigned int) mode, ovs_strerror(error));
        unlink(dev->path);
        return error;
    }
    return 0;
}

int
vhost_socket_open(struct vhost_device *dev, char **errp)
{
    struct sockaddr_un sun;
    int error = make_address(dev->path, &sun, errp);

    dev->listen_fd = -1;
    if (error || dev->connect) {
        return error;
    }
    error = remove_stale(&sun, errp);
    if (error) {
        return error;
    }
    int fd = make_socket();
    if (fd < 0) {
        error = errno;
        *errp = xasprintf("%s: socket: %s", dev->path, ovs_strerror(error));
        return error;
    }
    error = bind_socket(dev, fd, &sun, errp);
    if (error) {
        close(fd);
        return error;
    }
    dev->listen_fd = fd;
    return 0;
}

static void
accept_cb(evutil_socket_t listen_fd, short what OVS_UNUSED, void *dev_)
{
    struct vhost_device *dev = dev_;
    int fd = accept4(listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

    if (fd < 0) {
        if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED) {
            VLOG_WARN_RL(&rl, "%s: %s: accept: %s", dev->name, dev->path,
                         ovs_strerror(errno));
        }
        return;
    }
    if (dev->connection && vhost_connection_is_dead(dev->connection)) {
        vhost_device_disconnect(dev);
    }
    if (dev->connection) {
        VLOG_WARN_RL(&rl, "%s: %s: refused a second front-end while one is "
                     "connected", dev->name, dev->path);
        close(fd);
        return;
    }
    vhost_device_connected(dev, fd);
}

static void
schedule(struct vhost_device *dev)
{
    struct timeval when = {
        .tv_sec = dev->backoff_ms / 1000,
        .tv_usec = dev->backoff_ms % 1000 * 1000,
    };

    event_add(dev->retry, &when);
}

static void
back_off(struct vhost_device *dev)
{
    dev->backoff_ms = MIN(dev->backoff_ms * 2,
                          dev->watch ? BACKOFF_WATCHED_MS : BACKOFF_MAX_MS);
}

/* Returns true if the socket doesn't exist, not even as a link to something
 * that may, and we will be told when it does. */
static bool
will_appear(const struct vhost_device *dev)
{
    struct stat s;

    return dev->watch && lstat(dev->path, &s) && errno == ENOENT;
}

static void
connect_cb(evutil_socket_t unused OVS_UNUSED, short what OVS_UNUSED,
           void *dev_)
{
    struct vhost_device *dev = dev_;
    struct sockaddr_un sun = { .sun_family = AF_UNIX };
    int fd = make_socket();
    int error = 0;

    /* First, lest we miss a socket that appears in between. */
    if (!dev->watch) {
        dev->watch = vhost_watch_create(dev);
    }
    ovs_strlcpy(sun.sun_path, dev->path, sizeof sun.sun_path);
    if (fd < 0 || connect(fd, (struct sockaddr *) &sun, sizeof sun)) {
        error = errno;
    }
    if (!error) {
        dev->backoff_ms = BACKOFF_MIN_MS;
        dev->refusal_logged = false;
        event_del(dev->retry);
        vhost_device_connected(dev, fd);
        return;
    }
    if (fd >= 0) {
        close(fd);
    }
    /* That there's nobody yet is no news. */
    bool usual = error == ENOENT || error == ECONNREFUSED || error == EAGAIN;
    if (!usual && !dev->refusal_logged) {
        dev->refusal_logged = true;
        VLOG_WARN("%s: cannot connect to %s: %s; trying again until it works",
                  dev->name, dev->path, ovs_strerror(error));
    }
    if (will_appear(dev)) {
        dev->backoff_ms = BACKOFF_WATCHED_MS;
    } else {
        back_off(dev);
    }
    schedule(dev);
}

void
vhost_socket_appeared(struct vhost_device *dev)
{
    if (!dev->connection) {
        dev->backoff_ms = BACKOFF_MIN_MS;
        connect_cb(-1, 0, dev);
    }
}

void
vhost_socket_start(struct vhost_device *dev)
{
    if (dev->connect) {
        dev->retry = event_new(vhost_event_base(), -1, 0, connect_cb, dev);
        dev->backoff_ms = BACKOFF_MIN_MS;
        connect_cb(-1, 0, dev);
    } else {
        dev->listener = event_new(vhost_event_base(), dev->listen_fd,
                                  EV_READ | EV_PERSIST, accept_cb, dev);
        event_add(dev->listener, NULL);
    }
}

void
vhost_socket_resume(struct vhost_device *dev)
{
    if (dev->retry) {
        schedule(dev);
        back_off(dev);
    }
}

void
vhost_socket_close(struct vhost_device *dev)
{
    struct stat s;

    if (dev->listener) {
        event_free(dev->listener);
        dev->listener = NULL;
    }
    if (dev->retry) {
        event_free(dev->retry);
        dev->retry = NULL;
        vhost_watch_destroy(dev->watch);
        dev->watch = NULL;
    }
    if (dev->listen_fd >= 0) {
        if (!lstat(dev->path, &s) && s.st_dev == dev->socket_dev
            && s.st_ino == dev->socket_ino) {
            unlink(dev->path);
        }
        close(dev->listen_fd);
        dev->listen_fd = -1;
    }
}
