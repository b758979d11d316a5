/* Remotes: where clients come from, or where the server connects to.
 *
 * A passive remote ("punix:", "ptcp:", "pssl:") listens and has any number of
 * sessions.  An active one ("unix:", "tcp:", "ssl:") has one, and connects
 * again, with growing pauses, when that ends. */
#include <config.h>
#include "mgmt/db/server.h"

#include <errno.h>
#include <limits.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "dirs.h"
#include "fatal-signal.h"
#include "mgmt/db/session.h"
#include "openvswitch/vlog.h"

#include "packets.h"
#include "socket-util.h"
#include "timeval.h"
#include "util.h"

/* Under ovsdb-server's name, which scripts know from logs. */
VLOG_DEFINE_THIS_MODULE(ovsdb_jsonrpc_server);

static struct vlog_rate_limit rl = VLOG_RATE_LIMIT_INIT(5, 10);

/* The port that IANA has assigned to OVSDB. */
#define OVSDB_PORT 6640

enum { MIN_BACKOFF = 1000, MAX_BACKOFF = 8000, PROBE_INTERVAL = 5000 };

static const char *
after_prefix(const char *target, const char *prefix)
{
    size_t n = strlen(prefix);
    return strncmp(target, prefix, n) ? NULL : target + n;
}

/* Sets the defaults for 'target'. */
void
remote_options_init(struct remote_options *options, const char *target)
{
    memset(options, 0, sizeof *options);
    options->max_backoff = MAX_BACKOFF;
    options->probe_interval = (after_prefix(target, "unix:")
                               || after_prefix(target, "punix:")
                               ? 0 : PROBE_INTERVAL);
    options->dscp = DSCP_DEFAULT;
}

static struct bufferevent *
make_bufferevent(struct remote *remote, int fd, bool is_tls, bool accept,
                 int *error)
{
    struct event_base *base = remote->server->base;
    struct bufferevent *bev;

    *error = 0;
    if (is_tls) {
        return tls_bufferevent(base, fd, accept, error);
    }
    bev = bufferevent_socket_new(base, fd, BEV_OPT_CLOSE_ON_FREE);
    if (!bev) {
        close(fd);
        *error = ENOMEM;
    }
    return bev;
}

static bool
is_tls(const struct remote *remote)
{
    return (after_prefix(remote->target, "ssl:")
            || after_prefix(remote->target, "pssl:"));
}

/* --- Passive. --- */

static char *
peer_name(const struct remote *remote, const struct sockaddr_storage *ss)
{
    static unsigned int n_unix;
    struct ds ds = DS_EMPTY_INITIALIZER;

    if (!ss_is_ip(ss)) {
        return xasprintf("unix#%u", n_unix++);
    }
    ds_put_cstr(&ds, is_tls(remote) ? "ssl:" : "tcp:");
    ss_format_address(ss, &ds);
    ds_put_format(&ds, ":%"PRIu16, ss_get_port(ss));
    return ds_steal_cstr(&ds);
}

static void
set_nodelay(int fd)
{
    int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

static void
accept_one(struct remote *remote, int fd, const struct sockaddr_storage *ss)
{
    struct server *server = remote->server;
    struct bufferevent *bev;
    char *name;
    int error;

    if (server->n_sessions >= server->limits.connections) {
        VLOG_WARN_RL(&rl, "%s: refusing a connection: there are %u already",
                     remote->target, server->n_sessions);
        close(fd);
        return;
    }
    if (ss_is_ip(ss)) {
        set_nodelay(fd);
        set_dscp(fd, ss->ss_family, remote->options.dscp);
    }
    bev = make_bufferevent(remote, fd, is_tls(remote), true, &error);
    if (!bev) {
        VLOG_WARN_RL(&rl, "%s: accept failed: %s", remote->target,
                     ovs_strerror(error));
        return;
    }
    name = peer_name(remote, ss);
    session_create(remote, bev, name, is_tls(remote));
    free(name);
}

static void
accept_cb(evutil_socket_t listener, short what OVS_UNUSED, void *remote_)
{
    struct remote *remote = remote_;
    int i;

    for (i = 0; i < 64; i++) {
        struct sockaddr_storage ss;
        socklen_t len = sizeof ss;
        int fd;

        memset(&ss, 0, sizeof ss);
        fd = accept4(listener, (struct sockaddr *) &ss, &len,
                     SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0) {
            if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED) {
                VLOG_WARN_RL(&rl, "%s: accept failed: %s", remote->target,
                             ovs_strerror(errno));
            }
            break;
        }
        accept_one(remote, fd, &ss);
    }
    server_wake(remote->server);
}

static int
listen_unix(const char *path)
{
    char *name = abs_file_name(ovs_rundir(), path);
    int fd = make_unix_socket(SOCK_STREAM, true, name, NULL);

    if (fd < 0) {
        VLOG_ERR("%s: binding failed: %s", name, ovs_strerror(-fd));
    } else if (listen(fd, 128) < 0) {
        int error = errno;
        VLOG_ERR("punix:%s: listen: %s", path, ovs_strerror(error));
        close(fd);
        fd = -error;
    }
    free(name);
    return fd;
}

static int
listen_inet(struct remote *remote, const char *target)
{
    struct sockaddr_storage ss;
    int fd = inet_open_passive(SOCK_STREAM, target, OVSDB_PORT, &ss,
                               remote->options.dscp, true);
    if (fd >= 0) {
        remote->bound_port = ss_get_port(&ss);
    }
    return fd;
}

static int
open_passive(struct remote *remote, const char *path, const char *inet)
{
    remote->passive = true;
    remote->fd = path ? listen_unix(path) : listen_inet(remote, inet);
    if (remote->fd < 0) {
        return -remote->fd;
    }
    remote->listener = event_new(remote->server->base, remote->fd,
                                 EV_READ | EV_PERSIST, accept_cb, remote);
    event_add(remote->listener, NULL);
    return 0;
}

/* --- Active. --- */

static void connect_now(struct remote *);

static void
retry_cb(evutil_socket_t fd OVS_UNUSED, short what OVS_UNUSED, void *remote)
{
    connect_now(remote);
}

static void
retry_later(struct remote *remote, int error)
{
    struct timeval tv;

    remote->last_error = error;
    tv.tv_sec = remote->backoff / 1000;
    tv.tv_usec = remote->backoff % 1000 * 1000;
    remote->backoff = MIN(2 * remote->backoff,
                          MAX(remote->options.max_backoff, MIN_BACKOFF));
    event_add(remote->retry, &tv);
}

static void
connected_cb(struct bufferevent *bev, short what, void *remote_)
{
    struct remote *remote = remote_;
    bool connected = what & BEV_EVENT_CONNECTED;
    bool unverified = connected && is_tls(remote) && tls_is_unverified(bev);

    if (connected && !unverified) {
        struct session *s;

        VLOG_INFO("%s: connected", remote->target);
        remote->connecting = NULL;
        remote->last_connected = time_msec();
        remote->last_error = 0;
        s = session_create(remote, bev, remote->target, is_tls(remote));
        if (is_tls(remote)) {
            s->id = tls_peer_id(bev);
        }
    } else {
        int error = unverified ? EPROTO : errno ? errno : ECONNREFUSED;

        VLOG_INFO_RL(&rl, "%s: connection attempt failed (%s)",
                     remote->target, ovs_strerror(error));
        bufferevent_free(bev);
        remote->connecting = NULL;
        retry_later(remote, error);
    }
    server_wake(remote->server);
}

/* Finds the address in 'target'. */
static int
resolve(const struct remote *remote, struct sockaddr_storage *ss,
        socklen_t *len)
{
    const char *path = after_prefix(remote->target, "unix:");
    const char *inet = strchr(remote->target, ':') + 1;

    memset(ss, 0, sizeof *ss);
    if (path) {
        struct sockaddr_un *sun = (struct sockaddr_un *) ss;
        char *name = abs_file_name(ovs_rundir(), path);
        bool fits = strlen(name) < sizeof sun->sun_path;

        sun->sun_family = AF_UNIX;
        ovs_strlcpy(sun->sun_path, name, sizeof sun->sun_path);
        *len = sizeof *sun;
        free(name);
        return fits ? 0 : ENAMETOOLONG;
    }
    if (!inet_parse_active(inet, OVSDB_PORT, ss, true, NULL)) {
        return EAFNOSUPPORT;
    }
    *len = ss_length(ss);
    return 0;
}

static void
connect_now(struct remote *remote)
{
    struct sockaddr_storage ss;
    struct bufferevent *bev;
    socklen_t len;
    int error, fd;

    error = resolve(remote, &ss, &len);
    if (error) {
        VLOG_WARN_RL(&rl, "%s: can't find the address to connect to (%s)",
                     remote->target, ovs_strerror(error));
        retry_later(remote, error);
        return;
    }
    fd = socket(ss.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        retry_later(remote, errno);
        return;
    }
    if (ss_is_ip(&ss)) {
        set_nodelay(fd);
        set_dscp(fd, ss.ss_family, remote->options.dscp);
    }
    if (connect(fd, (struct sockaddr *) &ss, len) < 0
        && errno != EINPROGRESS) {
        error = errno;
        VLOG_INFO_RL(&rl, "%s: connection attempt failed (%s)",
                     remote->target, ovs_strerror(error));
        close(fd);
        retry_later(remote, error);
        return;
    }
    bev = make_bufferevent(remote, fd, is_tls(remote), false, &error);
    if (!bev) {
        retry_later(remote, error);
        return;
    }
    remote->connecting = bev;
    bufferevent_setcb(bev, NULL, NULL, connected_cb, remote);
    if (!is_tls(remote)) {
        bufferevent_socket_connect(bev, NULL, 0);
    }
    bufferevent_enable(bev, EV_READ | EV_WRITE);
}

/* Called when a session ends, with the error that ended it or EOF. */
void
remote_session_closed(struct remote *remote, int error)
{
    if (!remote->passive && remote->retry) {
        long long int now = time_msec();

        if (remote->last_connected
            && now - remote->last_connected > remote->backoff) {
            remote->backoff = MIN_BACKOFF;
        }
        remote->last_disconnected = now;
        retry_later(remote, error);
    }
}

/* --- The set of remotes. --- */

static void
options_destroy(struct remote_options *options)
{
    free(options->role);
}

static void
options_copy(struct remote_options *dst, const struct remote_options *src)
{
    options_destroy(dst);
    *dst = *src;
    dst->role = nullable_xstrdup(src->role);
}

static void
remote_destroy(struct remote *remote)
{
    struct server *server = remote->server;
    struct session *s;

    if (remote->retry) {
        event_free(remote->retry);
        remote->retry = NULL;
    }
    if (remote->connecting) {
        bufferevent_free(remote->connecting);
    }
    LIST_FOR_EACH_SAFE (s, node, &remote->sessions) {
        session_close(s, EOF, NULL);
    }
    LIST_FOR_EACH_SAFE (s, node, &server->closed) {
        if (s->remote == remote) {
            session_destroy(s);
        }
    }
    if (remote->listener) {
        const char *path = after_prefix(remote->target, "punix:");

        event_free(remote->listener);
        close(remote->fd);
        if (path) {
            char *name = abs_file_name(ovs_rundir(), path);
            fatal_signal_unlink_file_now(name);
            free(name);
        }
    }
    options_destroy(&remote->options);
    free(remote->target);
    free(remote);
}

static void
remote_create(struct server *server, const char *target,
              const struct remote_options *options)
{
    const char *path = after_prefix(target, "punix:");
    const char *inet = after_prefix(target, "ptcp:");
    struct remote *remote;
    int error = 0;

    if (!inet) {
        inet = after_prefix(target, "pssl:");
    }
    if (!path && !inet && !after_prefix(target, "unix:")
        && !after_prefix(target, "tcp:") && !after_prefix(target, "ssl:")) {
        VLOG_ERR_RL(&rl, "%s: listen failed: %s", target,
                    ovs_strerror(EAFNOSUPPORT));
        return;
    }

    remote = xzalloc(sizeof *remote);
    remote->server = server;
    remote->target = xstrdup(target);
    remote->fd = -1;
    remote->backoff = MIN_BACKOFF;
    ovs_list_init(&remote->sessions);
    options_copy(&remote->options, options);
    if (path || inet) {
        error = open_passive(remote, path, inet);
        if (error && error != EAGAIN) {
            VLOG_ERR_RL(&rl, "%s: listen failed: %s", target,
                        ovs_strerror(error));
        }
    } else {
        remote->retry = event_new(server->base, -1, 0, retry_cb, remote);
        VLOG_INFO("%s: connecting...", target);
        connect_now(remote);
    }
    if (error) {
        remote_destroy(remote);
    } else {
        shash_add(&server->remotes, target, remote);
    }
}

static bool
same_role(const char *a, const char *b)
{
    return !strcmp(a ? a : "", b ? b : "");
}

static void
remote_set_options(struct remote *remote, const struct remote_options *options)
{
    struct session *s;

    options_copy(&remote->options, options);
    LIST_FOR_EACH (s, node, &remote->sessions) {
        s->read_only = remote->server->read_only || options->read_only;
        session_set_probe_interval(s);
    }
}

/* Makes 'new', which has "struct remote_options" by target, the server's
 * remotes. */
void
remotes_set(struct server *server, const struct shash *new)
{
    struct shash_node *node;

    SHASH_FOR_EACH_SAFE (node, &server->remotes) {
        struct remote *remote = node->data;
        const struct remote_options *options = shash_find_data(new,
                                                               node->name);
        if (!options && !server->exiting) {
            VLOG_INFO("%s: remote deconfigured", node->name);
        }
        if (!options || options->dscp != remote->options.dscp
            || !same_role(options->role, remote->options.role)) {
            shash_delete(&server->remotes, node);
            remote_destroy(remote);
        }
    }
    SHASH_FOR_EACH (node, new) {
        struct remote *remote = shash_find_data(&server->remotes, node->name);
        if (remote) {
            remote_set_options(remote, node->data);
        } else {
            remote_create(server, node->name, node->data);
        }
    }
}

static unsigned int
seconds_since(long long int when)
{
    return when ? (time_msec() - when) / 1000 : UINT_MAX;
}

/* Stores the state of the remote called 'target' in 'status', whose strings
 * the caller must free.  Returns false if there is no such remote. */
bool
remote_get_status(const struct server *server, const char *target,
                  struct remote_status *status)
{
    const struct remote *remote = shash_find_data(&server->remotes, target);
    struct ds held = DS_EMPTY_INITIALIZER, waiting = DS_EMPTY_INITIALIZER;
    struct ds lost = DS_EMPTY_INITIALIZER;

    memset(status, 0, sizeof *status);
    if (!remote) {
        return false;
    }
    status->is_connected = !ovs_list_is_empty(&remote->sessions);
    status->sec_since_connect = status->sec_since_disconnect = UINT_MAX;
    if (remote->passive) {
        status->bound_port = remote->bound_port;
        status->n_connections = ovs_list_size(&remote->sessions);
        status->sec_since_connect = status->sec_since_disconnect = 0;
        return true;
    }
    status->n_connections = 1;
    status->state = (status->is_connected ? "ACTIVE"
                     : remote->connecting ? "CONNECTING" : "BACKOFF");
    status->last_error = remote->last_error;
    status->sec_since_connect = seconds_since(remote->last_connected);
    status->sec_since_disconnect = seconds_since(remote->last_disconnected);
    if (status->is_connected) {
        locks_describe(CONTAINER_OF(ovs_list_front(&remote->sessions),
                                    struct session, node),
                       &held, &waiting, &lost);
    }
    status->locks_held = ds_steal_cstr(&held);
    status->locks_waiting = ds_steal_cstr(&waiting);
    status->locks_lost = ds_steal_cstr(&lost);
    return true;
}
