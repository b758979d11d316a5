/* Sessions: one connected client each, and what it has going on. */
#ifndef SLUICE_DB_SESSION_H
#define SLUICE_DB_SESSION_H 1

#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/util.h>

#include "mgmt/db/monitor.h"
#include "mgmt/db/server.h"

/* A text that goes to many clients and is kept only once. */
struct shared_text {
    unsigned int refs;
    size_t length;
    char *s;
};

struct shared_text *shared_text_create(struct ds *);
void shared_text_unref(struct shared_text *);

struct session {
    struct ovs_list node;       /* In remote->sessions. */
    struct remote *remote;
    char *name;                 /* For log messages. */
    struct bufferevent *bev;
    bool is_tls;
    struct json_stream input;
    size_t input_size;          /* Bytes of the current message so far, */
    size_t partial_input;       /* and those that are kept. */
    struct ovs_list dirty_node; /* In server->dirty while 'dirty'. */
    bool dirty;                 /* Has output not yet tried to send. */
    bool paused;                /* Isn't read from: has too much output. */
    bool closed;                /* To be destroyed at the turn's end. */

    struct ovs_list monitors;   /* Contains "struct monitor"s. */
    struct ovs_list triggers;   /* Contains "struct trigger"s. */
    struct ovs_list waiters;    /* Contains "struct lock_waiter"s. */
    bool db_change_aware;
    bool read_only;
    char *id;                   /* From the certificate, NULL if none. */

    struct event *timer;        /* For probes and stalled output. */
    long long int last_received; /* In ms, as the next three. */
    long long int last_sent;    /* When output was last seen to go. */
    long long int connected;
    size_t last_backlog;        /* Output when the timer last ran. */
    bool probing;               /* An "echo" is unanswered. */
};

struct session *session_create(struct remote *, struct bufferevent *,
                               const char *name, bool is_tls);
void session_destroy(struct session *);
void session_close(struct session *, int error, const char *reason);
void session_set_probe_interval(struct session *);
void session_flush(struct session *);
size_t session_backlog(const struct session *);

static inline struct ovs_list *
session_monitors(struct session *s)
{
    return &s->monitors;
}

bool session_is_behind(const struct session *);
bool session_has_history(const struct session *);
const struct uuid *session_txnid(const struct session *, const struct db *);

void session_send(struct session *, const struct ds *);
void session_send_update(struct session *, const struct monitor *,
                         struct shared_text *);
void session_notify(struct session *, const char *method, const char *param);
void session_reply(struct session *, const char *id, const struct ds *result);
void session_reply_error(struct session *, const char *id, struct error *);
void session_reply_error_string(struct session *, const char *id,
                                const char *error);

/* Requests, in method.c. */
struct request {
    const char *method;
    json_t *params;             /* An array. */
    json_t *id;
    char *id_text;
};

void session_request(struct session *, struct request *);
void session_notification(struct session *, const char *method,
                          const json_t *params);

/* Transactions and conversions under way, in trigger.c. */
struct trigger;
void trigger_create(struct session *, struct db *, struct request *);
void trigger_cancel(struct session *, const json_t *id);
void triggers_cancel_all(struct session *);
void triggers_cancel_db(struct db *);
void triggers_run(struct db *);
void triggers_stored(struct db *);

/* Locks, in lock.c. */
struct lock_waiter;
enum lock_mode { LOCK_WAIT, LOCK_STEAL };
bool lock_acquire(struct session *, const char *name, enum lock_mode);
struct lock_waiter *lock_find(const struct session *, const char *name);
bool lock_is_owned(const void *session, const char *name);
void lock_release(struct lock_waiter *);
void locks_release_all(struct session *);
void locks_describe(const struct session *, struct ds *held,
                    struct ds *waiting, struct ds *lost);

#endif /* mgmt/db/session.h */
