/* Transactions and conversions under way.
 *
 * A request to execute a transaction becomes a *trigger*.  Most are answered
 * at once.  A trigger stays while a "wait" doesn't hold (it is tried again
 * whenever the database has changed) or until a durable transaction is on the
 * disk. */
#include <config.h>
#include "mgmt/db/session.h"

#include <limits.h>
#include <string.h>

#include "mgmt/db/convert.h"
#include "mgmt/db/store.h"
#include "openvswitch/vlog.h"
#include "timeval.h"
#include "util.h"

VLOG_DEFINE_THIS_MODULE(trigger);

struct trigger {
    struct ovs_list session_node; /* In session->triggers. */
    struct ovs_list db_node;    /* In db->triggers. */
    struct session *session;
    struct db *db;
    json_t *id;
    char *id_text;
    json_t *params;
    long long int created;      /* In ms. */
    struct event *timer;        /* To give up waiting, or NULL. */

    /* Executed and waiting to be stored. */
    uint64_t ticket;            /* 0 before that. */
    struct ds results;          /* Without the closing bracket. */
};

static void
trigger_destroy(struct trigger *t)
{
    ovs_list_remove(&t->session_node);
    ovs_list_remove(&t->db_node);
    if (t->timer) {
        event_free(t->timer);
    }
    json_decref(t->id);
    json_decref(t->params);
    free(t->id_text);
    ds_destroy(&t->results);
    free(t);
}

static struct trigger *
trigger_find(struct session *s, const json_t *id)
{
    struct trigger *t;

    LIST_FOR_EACH (t, session_node, &s->triggers) {
        if (json_same(t->id, id)) {
            return t;
        }
    }
    return NULL;
}

/* Adds the outcome of the commit to 'results' and sends them. */
static void
reply(struct session *s, const char *id, struct ds *results,
      struct error *error)
{
    if (error) {
        if (results->string[results->length - 1] != '[') {
            ds_put_char(results, ',');
        }
        error_put(results, error);
        error_destroy(error);
    }
    ds_put_char(results, ']');
    session_reply(s, id, results);
}

/* Executes a transaction and answers it if that is possible already. */
static bool
try_transact(struct session *s, struct db *db, const json_t *params,
             const char *id, long long int elapsed,
             struct execution *x, struct ds *results, uint64_t *ticket)
{
    struct requester who = {
        .role = s->remote->options.role,
        .id = s->id,
        .read_only = s->read_only,
        .owns_lock = lock_is_owned,
        .session = s,
    };
    struct error *error = NULL;

    *ticket = 0;
    execute(db, &who, params, elapsed, true, x, results);
    if (x->waiting) {
        return false;
    }
    if (x->txn) {
        /* After a failure nothing is promised that isn't in the file, until
         * something is again. */
        bool durable = (x->durable
                        || (db->store && store_is_failing(db->store)));

        error = txn_commit(x->txn, durable, ticket);
        if (!error && durable && *ticket) {
            return false;
        }
    }
    if (x->closed) {
        session_reply(s, id, results);
    } else {
        reply(s, id, results, error);
    }
    return true;
}

static void
timer_cb(evutil_socket_t fd OVS_UNUSED, short what OVS_UNUSED, void *trigger)
{
    struct trigger *t = trigger;

    t->db->changed = true;      /* Tries it (and others) again. */
    server_wake(t->session->remote->server);
}

/* Sees to it that 't' is tried once its "wait" has timed out. */
static void
set_timer(struct trigger *t, long long int timeout)
{
    long long int ms = timeout - (time_msec() - t->created);
    struct timeval tv;

    if (timeout == LLONG_MAX) {
        return;
    }
    ms = MIN(MAX(ms, 0), INT_MAX);
    tv.tv_sec = ms / 1000;
    tv.tv_usec = ms % 1000 * 1000;
    if (!t->timer) {
        t->timer = event_new(t->session->remote->server->base, -1, 0,
                             timer_cb, t);
    }
    event_add(t->timer, &tv);
}

static struct trigger *
trigger_keep(struct session *s, struct db *db, const struct request *r)
{
    struct trigger *t = xzalloc(sizeof *t);

    t->session = s;
    t->db = db;
    t->id = json_incref(r->id);
    t->id_text = xstrdup(r->id_text);
    t->params = json_incref(r->params);
    t->created = time_msec();
    ds_init(&t->results);
    ovs_list_push_back(&s->triggers, &t->session_node);
    ovs_list_push_back(&db->triggers, &t->db_node);
    return t;
}

static void
start_transact(struct session *s, struct db *db, struct request *r)
{
    struct ds results = DS_EMPTY_INITIALIZER;
    struct execution x;
    struct trigger *t;
    uint64_t ticket;

    if (!try_transact(s, db, r->params, r->id_text, 0, &x, &results,
                      &ticket)) {
        t = trigger_keep(s, db, r);
        t->ticket = ticket;
        if (ticket) {
            t->results = results;
            ds_init(&results);
        } else {
            set_timer(t, x.timeout);
        }
    }
    ds_destroy(&results);
}

/* Carries out a "convert". */
static void
start_convert(struct session *s, struct db *db, struct request *r)
{
    const char *role = s->remote->options.role;
    struct ds results = DS_EMPTY_INITIALIZER;
    struct error *error = NULL;
    struct db *new;

    if (role && *role) {
        error = error_new("permission error", "RBAC rules for client \"%s\" "
                          "role \"%s\" prohibit \"convert\" of database %s "
                          "(only the root role may convert databases)",
                          s->id, role, db->name);
    } else if (json_array_size(r->params) != 2) {
        error = error_syntax(r->params, NULL, "array expected");
    } else if (!db->store) {
        error = error_new("not supported", "database %s is the server's own "
                          "and can't be converted", db->name);
    } else {
        error = convert_from_json(db, json_array_get(r->params, 1), &new);
    }
    if (!error) {
        error = store_replace(db->store, new);
        if (error) {
            db_destroy(new);
        }
    }
    if (error) {
        session_reply_error(s, r->id_text, error);
        return;
    }
    server_retire_db(db);
    ds_put_cstr(&results, "{}");
    session_reply(s, r->id_text, &results);
    ds_destroy(&results);
    server_replace_db(s->remote->server, db, new);
    server_reconnect(s->remote->server, false,
                     xasprintf("committed %s database schema conversion",
                               new->name));
}

/* Handles a "transact" or "convert" for 'db'. */
void
trigger_create(struct session *s, struct db *db, struct request *r)
{
    if (trigger_find(s, r->id)) {
        session_reply_error(s, r->id_text,
                            error_syntax(r->params, NULL,
                                         "%s: duplicate request ID",
                                         r->method));
    } else if (!strcmp(r->method, "convert")) {
        start_convert(s, db, r);
    } else {
        start_transact(s, db, r);
    }
}

/* Ends a trigger that hasn't been answered.  Clients that know of changes of
 * databases hear of that, as from ovsdb-server. */
static void
trigger_drop(struct trigger *t)
{
    if (t->session->db_change_aware) {
        session_reply_error_string(t->session, t->id_text, "canceled");
    }
    trigger_destroy(t);
}

/* Handles a "cancel".  What waits to be stored can't be cancelled. */
void
trigger_cancel(struct session *s, const json_t *id)
{
    struct trigger *t = trigger_find(s, id);

    if (t && !t->ticket) {
        trigger_drop(t);
    }
}

/* Frees what a closed session has waiting. */
void
triggers_cancel_all(struct session *s)
{
    struct trigger *t;

    LIST_FOR_EACH_SAFE (t, session_node, &s->triggers) {
        trigger_destroy(t);
    }
}

/* Ends what waits for 'db', which goes away or changes its schema. */
void
triggers_cancel_db(struct db *db)
{
    struct trigger *t;

    LIST_FOR_EACH_SAFE (t, db_node, &db->triggers) {
        trigger_drop(t);
    }
}

/* Tries a waiting trigger again. */
static void
retry(struct trigger *t)
{
    struct ds results = DS_EMPTY_INITIALIZER;
    struct execution x;
    uint64_t ticket;

    if (try_transact(t->session, t->db, t->params, t->id_text,
                     time_msec() - t->created, &x, &results, &ticket)) {
        trigger_destroy(t);
    } else if (ticket) {
        t->ticket = ticket;
        t->results = results;
        return;
    } else {
        set_timer(t, x.timeout);
    }
    ds_destroy(&results);
}

/* Tries what waits for 'db' again, if that has changed. */
void
triggers_run(struct db *db)
{
    struct trigger *t;

    while (db->changed) {
        db->changed = false;
        LIST_FOR_EACH_SAFE (t, db_node, &db->triggers) {
            if (!t->ticket && !t->session->closed) {
                retry(t);
            }
        }
    }
}

/* Answers the transactions whose fate the store has decided. */
void
triggers_stored(struct db *db)
{
    struct trigger *t;

    if (!db->store || !store_run(db->store, db)) {
        return;
    }
    LIST_FOR_EACH_SAFE (t, db_node, &db->triggers) {
        if (t->ticket && store_is_stored(db->store, t->ticket)) {
            reply(t->session, t->id_text, &t->results,
                  store_error(db->store, t->ticket));
            trigger_destroy(t);
        }
    }
}
