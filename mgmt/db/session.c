/* A client's connection: bytes to messages and back.  See session.h.
 *
 * Output gathers in libevent's buffer.  On a plain socket it is written
 * directly at the end of the turn, and libevent waits for the socket only if
 * that wasn't possible: most replies cost a single system call. */
#include <config.h>
#include "mgmt/db/session.h"

#include <errno.h>
#include <event2/buffer.h>
#include <string.h>

#include "openvswitch/vlog.h"
#include "timeval.h"
#include "util.h"

VLOG_DEFINE_THIS_MODULE(session);

static struct vlog_rate_limit rl = VLOG_RATE_LIMIT_INIT(5, 5);

/* A message of more bytes leaves so much freed memory behind that it is worth
 * giving back. */
#define TRIM_SIZE (128 * 1024)

/* --- Shared texts. --- */

/* Takes the text from 'ds'. */
struct shared_text *
shared_text_create(struct ds *ds)
{
    struct shared_text *text = xmalloc(sizeof *text);
    text->refs = 1;
    text->length = ds->length;
    text->s = ds_steal_cstr(ds);
    return text;
}

void
shared_text_unref(struct shared_text *text)
{
    if (text && !--text->refs) {
        free(text->s);
        free(text);
    }
}

static void
text_cleanup(const void *data OVS_UNUSED, size_t length OVS_UNUSED, void *text)
{
    shared_text_unref(text);
}

/* --- Output. --- */

/* Bytes of output that wait to be sent. */
size_t
session_backlog(const struct session *s)
{
    return evbuffer_get_length(bufferevent_get_output(s->bev));
}

/* Whether so much output waits that updates had better be merged. */
bool
session_is_behind(const struct session *s)
{
    return s->closed || session_backlog(s) > s->remote->server->limits.backlog;
}

/* Whether "monitor_cond_since" may use the history. */
bool
session_has_history(const struct session *s)
{
    return !s->remote->options.no_history;
}

/* The id of the last transaction, as this client is to see it. */
const struct uuid *
session_txnid(const struct session *s, const struct db *db)
{
    static const struct uuid none;
    return session_has_history(s) && db->store ? &db->last_txnid : &none;
}

static void
mark_dirty(struct session *s)
{
    if (!s->dirty) {
        s->dirty = true;
        ovs_list_push_back(&s->remote->server->dirty, &s->dirty_node);
        server_wake(s->remote->server);
    }
}

/* Sends a message. */
void
session_send(struct session *s, const struct ds *ds)
{
    if (!s->closed) {
        evbuffer_add(bufferevent_get_output(s->bev), ds->string, ds->length);
        mark_dirty(s);
    }
}

/* Sends an update notification for 'm' whose <table-updates> are 'text'. */
void
session_send_update(struct session *s, const struct monitor *m,
                    struct shared_text *text)
{
    static const char *methods[] = {
        [MONITOR_V1] = "update", [MONITOR_V2] = "update2",
        [MONITOR_V3] = "update3"
    };
    struct evbuffer *out = bufferevent_get_output(s->bev);

    if (s->closed) {
        return;
    }
    evbuffer_add_printf(out, "{\"id\":null,\"method\":\"%s\",\"params\":[",
                        methods[m->version]);
    evbuffer_add(out, m->id_text, strlen(m->id_text));
    if (m->version == MONITOR_V3) {
        struct ds txnid = DS_EMPTY_INITIALIZER;

        uuid_put(&txnid, session_txnid(s, m->feed->db));
        evbuffer_add(out, ",\"", 2);
        evbuffer_add(out, txnid.string, txnid.length);
        evbuffer_add(out, "\"", 1);
        ds_destroy(&txnid);
    }
    evbuffer_add(out, ",", 1);
    if (text->length > 4096) {
        text->refs++;
        evbuffer_add_reference(out, text->s, text->length, text_cleanup, text);
    } else {
        evbuffer_add(out, text->s, text->length);
    }
    evbuffer_add(out, "]}", 2);
    mark_dirty(s);
}

/* Sends a notification with one parameter, a string. */
void
session_notify(struct session *s, const char *method, const char *param)
{
    struct ds ds = DS_EMPTY_INITIALIZER;

    ds_put_format(&ds, "{\"id\":null,\"method\":\"%s\",\"params\":[", method);
    json_put_string(&ds, param);
    ds_put_cstr(&ds, "]}");
    session_send(s, &ds);
    ds_destroy(&ds);
}

/* A client hears of a change before the reply to its own request. */
static void
flush_monitors(struct session *s)
{
    struct monitor *m;

    LIST_FOR_EACH (m, node, &s->monitors) {
        monitor_flush(m);
    }
}

/* Sends a reply whose member 'name' is the 'n' bytes at 'value'.  An error has
 * no "result" and a result an "error" of null, as from ovsdb-server. */
static void
send_reply(struct session *s, const char *id, const char *name,
           const char *value, size_t n, const char *end)
{
    struct evbuffer *out = bufferevent_get_output(s->bev);

    if (s->closed) {
        return;
    }
    flush_monitors(s);
    evbuffer_add(out, "{\"id\":", 6);
    evbuffer_add(out, id, strlen(id));
    evbuffer_add(out, name, strlen(name));
    evbuffer_add(out, value, n);
    evbuffer_add(out, end, strlen(end));
    mark_dirty(s);
}

void
session_reply(struct session *s, const char *id, const struct ds *result)
{
    send_reply(s, id, ",\"result\":", result->string, result->length,
               ",\"error\":null}");
}

/* Replies with 'error' and frees it. */
void
session_reply_error(struct session *s, const char *id, struct error *error)
{
    struct ds ds = DS_EMPTY_INITIALIZER;

    error_put(&ds, error);
    error_destroy(error);
    send_reply(s, id, ",\"error\":", ds.string, ds.length, "}");
    ds_destroy(&ds);
}

void
session_reply_error_string(struct session *s, const char *id,
                           const char *error)
{
    struct ds ds = DS_EMPTY_INITIALIZER;

    json_put_string(&ds, error);
    send_reply(s, id, ",\"error\":", ds.string, ds.length, "}");
    ds_destroy(&ds);
}

/* Writes what can be written without waiting.  Returns 0 or an errno value. */
static int
write_output(struct session *s)
{
    struct evbuffer *out = bufferevent_get_output(s->bev);
    size_t before = evbuffer_get_length(out);
    int error = 0;

    evbuffer_unfreeze(out, 1);
    if (before && evbuffer_write(out, bufferevent_getfd(s->bev)) < 0
        && errno != EAGAIN && errno != EINTR) {
        error = errno;
    }
    evbuffer_freeze(out, 1);
    if (evbuffer_get_length(out) < before) {
        s->last_sent = time_msec();
    }
    return error;
}

/* Sends what has gathered, as far as that is possible without waiting;
 * libevent sees to the rest. */
void
session_flush(struct session *s)
{
    int error;

    if (s->is_tls || s->closed) {
        return;
    }
    error = write_output(s);
    if (error) {
        session_close(s, error, NULL);
    } else if (session_backlog(s)) {
        bufferevent_enable(s->bev, EV_WRITE);
        session_set_probe_interval(s);
    }
}

/* --- Input. --- */

static bool
is_set(const json_t *json)
{
    return json && !json_is_null(json);
}

/* Checks that 'msg' is a message that JSON-RPC 1.0 has.  Returns a description
 * of what is wrong with it, which the caller must free, or NULL. */
static char *
check_message(const json_t *msg)
{
    static const char *known[] = {
        "method", "params", "result", "error", "id"
    };
    const json_t *method = json_object_get(msg, "method");
    const json_t *params = json_object_get(msg, "params");
    const json_t *id = json_object_get(msg, "id");
    bool result = is_set(json_object_get(msg, "result"));
    bool error = is_set(json_object_get(msg, "error"));
    const char *type, *name;
    json_t *value;
    size_t i;

    if (!json_is_object(msg)) {
        return xstrdup("message is not a JSON object");
    }
    if (method && !json_is_string(method)) {
        return xstrdup("method is not a JSON string");
    }
    json_object_foreach (CONST_CAST(json_t *, msg), name, value) {
        for (i = 0; i < ARRAY_SIZE(known) && strcmp(name, known[i]); i++) {
            continue;
        }
        if (i == ARRAY_SIZE(known)) {
            return xasprintf("message has unexpected member \"%s\"", name);
        }
    }
    if (is_set(params) && !json_is_array(params)) {
        return xstrdup("\"params\" must be JSON array");
    }

    bool call = !result && !error;
    type = (result ? "reply" : error ? "error" : is_set(id) ? "request"
            : "notification");
    if (call != (method != NULL)) {
        return xasprintf("%s must%s have \"method\"", type,
                         call ? "" : " not");
    }
    if (call != is_set(params)) {
        return xasprintf("%s must%s have \"params\"", type,
                         call ? "" : " not");
    }
    if (result && error) {
        return xasprintf("%s must not have \"error\"", type);
    }
    if (!call && !is_set(id)) {
        return xasprintf("%s must have \"id\"", type);
    }
    return NULL;
}

/* Tells a client what is wrong with what it has sent, and closes the
 * connection, since there is no telling what comes next.  Frees 'problem'. */
static void
refuse(struct session *s, const char *what, char *problem)
{
    VLOG_WARN_RL(&rl, "%s: %s: %s", s->name, what, problem);
    session_reply_error_string(s, "null", problem);
    session_close(s, EPROTO, NULL);
    free(problem);
}

static void
handle_message(struct session *s, json_t *msg)
{
    const json_t *method = json_object_get(msg, "method");
    json_t *id = json_object_get(msg, "id");
    char *problem = check_message(msg);

    if (problem) {
        refuse(s, "received bad JSON-RPC message", problem);
    } else if (!method) {
        if (!json_is_string(id) || strcmp(json_string_value(id), "echo")) {
            VLOG_WARN("%s: received unexpected %s message", s->name,
                      is_set(json_object_get(msg, "result"))
                      ? "reply" : "error");
            session_close(s, EPROTO, NULL);
        }
    } else if (is_set(id)) {
        struct request request = {
            .method = json_string_value(method),
            .params = json_object_get(msg, "params"),
            .id = id,
            .id_text = json_to_text(id),
        };
        session_request(s, &request);
        free(request.id_text);
    } else {
        session_notification(s, json_string_value(method),
                             json_object_get(msg, "params"));
    }
}

/* Has the server know how much of an incomplete message 's' keeps. */
static void
account_input(struct session *s)
{
    s->remote->server->partial_input += s->input.text.length
                                        - s->partial_input;
    s->partial_input = s->input.text.length;
}

static void
drop_input(struct session *s)
{
    json_stream_destroy(&s->input);
    json_stream_init(&s->input, s->remote->server->limits.message_size);
    account_input(s);
}

/* If the incomplete messages of all clients together take too much, closes the
 * connection with the longest. */
static void
limit_input(struct server *server)
{
    struct session *longest = NULL, *s;
    struct shash_node *node;

    if (server->partial_input / 2 <= server->limits.message_size) {
        return;
    }
    SHASH_FOR_EACH (node, &server->remotes) {
        const struct remote *remote = node->data;

        LIST_FOR_EACH (s, node, &remote->sessions) {
            if (!longest || s->partial_input > longest->partial_input) {
                longest = s;
            }
        }
    }
    if (longest) {
        refuse(longest, "too much input", xstrdup("incomplete messages take "
                                                  "too much memory"));
    }
}

/* Handles the messages that have arrived, until there is too much output. */
static void
read_messages(struct session *s)
{
    struct evbuffer *in = bufferevent_get_input(s->bev);

    while (!s->closed && !s->paused && evbuffer_get_length(in)) {
        size_t n = evbuffer_get_contiguous_space(in);
        const char *p = (const char *) evbuffer_pullup(in, n);
        json_t *msg;
        char *error;
        size_t used;

        used = json_stream_feed(&s->input, p, n, &msg, &error);
        evbuffer_drain(in, used);
        s->input_size += used;
        account_input(s);
        if (error) {
            refuse(s, "error parsing stream", error);
        } else if (msg) {
            handle_message(s, msg);
            json_decref(msg);
            if (s->input_size > TRIM_SIZE) {
                s->remote->server->trim = true;
            }
            s->input_size = 0;
            if (session_backlog(s) > s->remote->server->limits.backlog_pause) {
                session_flush(s);
                s->paused = (!s->closed
                             && (session_backlog(s) > s->remote->server
                                              ->limits.backlog_pause));
            }
        }
    }
    if (s->paused && !s->closed) {
        bufferevent_disable(s->bev, EV_READ);
    }
    limit_input(s->remote->server);
}

static void
readable_cb(struct bufferevent *bev OVS_UNUSED, void *session)
{
    struct session *s = session;

    s->last_received = time_msec();
    s->probing = false;
    read_messages(s);
    server_wake(s->remote->server);
}

/* All output has gone. */
static void
drained_cb(struct bufferevent *bev OVS_UNUSED, void *session)
{
    struct session *s = session;

    s->last_sent = time_msec();
    if (!s->is_tls) {
        bufferevent_disable(s->bev, EV_WRITE);
    }
    flush_monitors(s);
    if (s->paused) {
        s->paused = false;
        bufferevent_enable(s->bev, EV_READ);
        read_messages(s);
    }
    server_wake(s->remote->server);
}

static void
event_cb(struct bufferevent *bev, short what, void *session)
{
    struct session *s = session;

    if (what & BEV_EVENT_CONNECTED) {
        free(s->id);
        s->id = tls_peer_id(bev);
    } else if (what & BEV_EVENT_EOF) {
        session_close(s, EOF, NULL);
    } else if (what & BEV_EVENT_ERROR) {
        session_close(s, errno ? errno : EPROTO, NULL);
    }
}

/* --- Probes. --- */

static void
check_stall(struct session *s, long long int now)
{
    int stall = s->remote->server->limits.stall;
    size_t backlog = session_backlog(s);

    if (backlog < s->last_backlog) {
        s->last_sent = now;
    }
    s->last_backlog = backlog;
    if (backlog && now - s->last_sent > stall * 1000LL) {
        VLOG_WARN("%s: %"PRIuSIZE" bytes have been waiting to be read for "
                  "%d seconds, disconnecting", s->name, backlog, stall);
        session_close(s, ETIMEDOUT, NULL);
    }
}

static void
check_idle(struct session *s, long long int now)
{
    int interval = s->remote->options.probe_interval;
    struct ds ds = DS_EMPTY_INITIALIZER;

    if (s->closed || !interval || s->paused
        || now - s->last_received < interval) {
        return;
    }
    if (s->probing) {
        VLOG_ERR("%s: no response to inactivity probe after %.3g seconds, "
                 "disconnecting", s->name, interval / 1000.0);
        session_close(s, ETIMEDOUT, NULL);
        return;
    }
    s->probing = true;
    s->last_received = now;
    ds_put_cstr(&ds, "{\"id\":\"echo\",\"method\":\"echo\",\"params\":[]}");
    session_send(s, &ds);
    ds_destroy(&ds);
}

static void
timer_cb(evutil_socket_t fd OVS_UNUSED, short what OVS_UNUSED, void *session)
{
    struct session *s = session;
    long long int now = time_msec();

    check_stall(s, now);
    check_idle(s, now);
    session_set_probe_interval(s);
    server_wake(s->remote->server);
}

/* Sets the timer by the remote's options and the session's state: without
 * probes it runs only while output waits. */
void
session_set_probe_interval(struct session *s)
{
    int interval = s->remote->options.probe_interval;
    long long int wait = -1;
    struct timeval tv;

    if (s->closed) {
        return;
    }
    if (interval) {
        wait = MAX(s->last_received + interval - time_msec(), 1);
    }
    if (session_backlog(s)) {
        wait = wait < 0 ? 1000 : MIN(wait, 1000);
    }
    if (wait < 0) {
        event_del(s->timer);
    } else {
        tv.tv_sec = wait / 1000;
        tv.tv_usec = wait % 1000 * 1000;
        event_add(s->timer, &tv);
    }
}

/* --- Life. --- */

/* A session over 'bev', a connected socket, which it takes. */
struct session *
session_create(struct remote *remote, struct bufferevent *bev,
               const char *name, bool is_tls)
{
    struct server *server = remote->server;
    struct session *s = xzalloc(sizeof *s);

    s->remote = remote;
    s->name = xstrdup(name);
    s->bev = bev;
    s->is_tls = is_tls;
    json_stream_init(&s->input, server->limits.message_size);
    ovs_list_init(&s->monitors);
    ovs_list_init(&s->triggers);
    ovs_list_init(&s->waiters);
    s->read_only = server->read_only || remote->options.read_only;
    s->last_received = s->last_sent = s->connected = time_msec();
    s->timer = event_new(server->base, -1, 0, timer_cb, s);
    ovs_list_push_back(&remote->sessions, &s->node);
    server->n_sessions++;

    bufferevent_setcb(bev, readable_cb, drained_cb, event_cb, s);
    bufferevent_set_max_single_read(bev, 65536);
    bufferevent_enable(bev, EV_READ);
    if (!is_tls) {
        bufferevent_disable(bev, EV_WRITE);
    }
    session_set_probe_interval(s);
    return s;
}

/* Ends the connection; the session itself goes at the end of the turn.
 * 'error' is EOF if the client closed it.  'reason', if nonnull, is logged. */
void
session_close(struct session *s, int error, const char *reason)
{
    if (s->closed) {
        return;
    }
    if (reason) {
        VLOG_INFO("%s: disconnecting (%s)", s->name, reason);
    } else if (error == ECONNRESET || error == EPIPE) {
        /* A client that ends without reading its last replies: an everyday
         * event, which tells nothing about us. */
        VLOG_DBG("%s: closed before all replies were read", s->name);
    } else if (error != EOF && error != EPROTO && error != ETIMEDOUT) {
        VLOG_WARN_RL(&rl, "%s: connection dropped (%s)", s->name,
                     ovs_retval_to_string(error));
    }
    s->closed = true;
    if (!s->is_tls) {
        write_output(s);        /* What it has been promised, if possible. */
    }
    drop_input(s);
    bufferevent_disable(s->bev, EV_READ | EV_WRITE);
    event_del(s->timer);
    ovs_list_remove(&s->node);
    ovs_list_push_back(&s->remote->server->closed, &s->node);
    locks_release_all(s);
    remote_session_closed(s->remote, error);
    server_wake(s->remote->server);
}

/* Frees 's', which has been closed. */
void
session_destroy(struct session *s)
{
    struct monitor *m;

    triggers_cancel_all(s);
    LIST_FOR_EACH_SAFE (m, node, &s->monitors) {
        monitor_destroy(m);
    }
    locks_release_all(s);
    if (s->dirty) {
        ovs_list_remove(&s->dirty_node);
    }
    s->remote->server->n_sessions--;
    ovs_list_remove(&s->node);
    event_free(s->timer);
    bufferevent_free(s->bev);
    json_stream_destroy(&s->input);
    free(s->name);
    free(s->id);
    free(s);
}
