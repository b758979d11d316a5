/* A connection to a front-end: messages in, replies out.
 *
 * Nothing here waits.  A message that comes in pieces is put together as they
 * come; a reply that the socket doesn't take at once means that the front-end
 * doesn't read, and ends the connection. */
#include <config.h>
#include "vhost/device.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "openvswitch/vlog.h"
#include "util.h"

VLOG_DEFINE_THIS_MODULE(vhost_connection);

#define MESSAGES_AT_ONCE 16     /* Before other devices have their turn. */

static struct vlog_rate_limit rl = VLOG_RATE_LIMIT_INIT(20, 20);

struct vhost_connection {
    struct vhost_device *dev;
    int fd;
    struct event *event;
    struct vhost_message msg;   /* Being received... */
    size_t n;                   /* ...so many bytes of it so far. */
};

static void
close_fds(struct vhost_message *msg)
{
    for (unsigned int i = 0; i < msg->n_fds; i++) {
        if (msg->fds[i] >= 0) {
            close(msg->fds[i]);
        }
    }
    msg->n_fds = 0;
}

int
vhost_message_take_fd(struct vhost_message *msg, unsigned int i)
{
    if (i >= msg->n_fds) {
        return -1;
    }
    int fd = msg->fds[i];
    msg->fds[i] = -1;
    return fd;
}

/* Stores the file descriptors that came with 'hdr'.  Returns NULL or what is
 * wrong. */
static const char *
collect_fds(struct vhost_message *msg, struct msghdr *hdr)
{
    const char *wrong = NULL;

    for (struct cmsghdr *c = CMSG_FIRSTHDR(hdr); c; c = CMSG_NXTHDR(hdr, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS) {
            continue;
        }
        size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < n; i++) {
            int fd;

            memcpy(&fd, CMSG_DATA(c) + i * sizeof fd, sizeof fd);
            if (msg->n_fds < VHOST_USER_MAX_FDS) {
                msg->fds[msg->n_fds++] = fd;
            } else {
                close(fd);
                wrong = "more than 8 file descriptors";
            }
        }
    }
    /* The kernel closed those that found no room. */
    return (hdr->msg_flags & MSG_CTRUNC
            ? "more than 8 file descriptors" : wrong);
}

/* Reads what is missing of the message's next part.  Returns 1 if the whole
 * message is there, 0 if not yet, -1 if the connection is to be closed, with
 * '*wrong' the reason if it's not just the front-end's end. */
static int
receive(struct vhost_connection *c, const char **wrong)
{
    struct vhost_message *msg = &c->msg;

    for (;;) {
        size_t want, hdr_len = sizeof msg->header;
        uint8_t *dst;

        if (c->n < hdr_len) {
            dst = (uint8_t *) &msg->header + c->n;
            want = hdr_len - c->n;
        } else {
            if (msg->header.size > sizeof msg->payload) {
                *wrong = "size is beyond that of any message";
                return -1;
            }
            if (c->n == hdr_len + msg->header.size) {
                return 1;
            }
            dst = msg->payload.bytes + (c->n - hdr_len);
            want = hdr_len + msg->header.size - c->n;
        }

        char control[CMSG_SPACE(sizeof(int) * VHOST_USER_MAX_FDS)]
            __attribute__((aligned(8)));
        struct iovec iov = { .iov_base = dst, .iov_len = want };
        struct msghdr hdr = {
            .msg_iov = &iov, .msg_iovlen = 1,
            .msg_control = control, .msg_controllen = sizeof control,
        };
        ssize_t n = recvmsg(c->fd, &hdr, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
        if (n < 0) {
            if (errno == EAGAIN || errno == EINTR) {
                return 0;
            }
            *wrong = errno == ECONNRESET ? NULL : ovs_strerror(errno);
            return -1;
        }
        *wrong = collect_fds(msg, &hdr);
        c->n += n;
        if (*wrong || !n) {
            if (!n && c->n) {
                *wrong = "the front-end hung up in the middle of a message";
            }
            return -1;
        }
    }
}

static void
read_cb(evutil_socket_t fd OVS_UNUSED, short what OVS_UNUSED, void *c_)
{
    struct vhost_connection *c = c_;
    struct vhost_device *dev = c->dev;

    for (int i = 0; i < MESSAGES_AT_ONCE; i++) {
        const char *wrong = NULL;
        int result = receive(c, &wrong);

        if (!result) {
            return;
        }
        if (result < 0) {
            if (wrong) {
                VLOG_WARN_RL(&rl, "%s: message %s: %s", dev->name,
                             c->n >= sizeof c->msg.header
                             ? vhost_request_name(c->msg.header.request)
                             : "header", wrong);
            }
            vhost_device_disconnect(dev);
            return;
        }

        char *error = vhost_protocol_handle(dev, &c->msg);
        close_fds(&c->msg);
        if (error) {
            VLOG_WARN_RL(&rl, "%s: %s: %s; dropping the connection", dev->name,
                         vhost_request_name(c->msg.header.request), error);
            free(error);
            vhost_device_disconnect(dev);
            return;
        }
        memset(&c->msg, 0, sizeof c->msg);
        c->n = 0;
    }
}

struct vhost_connection *
vhost_connection_create(struct vhost_device *dev, int fd)
{
    struct vhost_connection *c = xzalloc(sizeof *c);

    c->dev = dev;
    c->fd = fd;
    c->event = event_new(vhost_event_base(), fd, EV_READ | EV_PERSIST,
                         read_cb, c);
    event_add(c->event, NULL);
    return c;
}

void
vhost_connection_destroy(struct vhost_connection *c)
{
    event_free(c->event);
    close_fds(&c->msg);
    close(c->fd);
    free(c);
}

bool
vhost_connection_is_dead(const struct vhost_connection *c)
{
    struct pollfd pfd = { .fd = c->fd, .events = POLLRDHUP };

    return poll(&pfd, 1, 0) > 0 && pfd.revents & (POLLRDHUP | POLLHUP);
}

pid_t
vhost_connection_peer(const struct vhost_connection *c)
{
    struct ucred cred = { .pid = -1 };
    socklen_t len = sizeof cred;

    getsockopt(c->fd, SOL_SOCKET, SO_PEERCRED, &cred, &len);
    return cred.pid;
}

int
vhost_message_send(int sock, const struct vhost_message *msg, int fd)
{
    struct iovec iov[2] = {
        { .iov_base = CONST_CAST(void *, &msg->header),
          .iov_len = sizeof msg->header },
        { .iov_base = CONST_CAST(void *, &msg->payload),
          .iov_len = msg->header.size },
    };
    char control[CMSG_SPACE(sizeof fd)] __attribute__((aligned(8)));
    struct msghdr hdr = { .msg_iov = iov, .msg_iovlen = 2 };

    if (fd >= 0) {
        hdr.msg_control = control;
        hdr.msg_controllen = sizeof control;
        struct cmsghdr *c = CMSG_FIRSTHDR(&hdr);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(sizeof fd);
        memcpy(CMSG_DATA(c), &fd, sizeof fd);
    }
    ssize_t n = sendmsg(sock, &hdr, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n < 0) {
        return errno;
    }
    return n == (ssize_t) (sizeof msg->header + msg->header.size) ? 0 : EAGAIN;
}

int
vhost_connection_reply(struct vhost_connection *c, struct vhost_message *msg,
                       size_t size, int fd)
{
    msg->header.flags = VHOST_USER_VERSION | VHOST_USER_REPLY;
    msg->header.size = size;
    return vhost_message_send(c->fd, msg, fd);
}
