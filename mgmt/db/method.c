/* The methods that clients call. */
#include <config.h>
#include "mgmt/db/session.h"

#include <string.h>

#include "util.h"

typedef void method_cb(struct session *, struct request *);

/* Finds the database that a request is about.  If there is none, replies and
 * returns NULL. */
static struct db *
find_db(struct session *s, const struct request *r)
{
    const char *name = json_string_value(json_array_get(r->params, 0));
    struct error *error;
    struct db *db;

    if (!name) {
        error = error_syntax(r->params, NULL, "%s request params must begin "
                             "with <db-name>", r->method);
    } else {
        db = shash_find_data(&s->remote->server->dbs, name);
        if (db) {
            return db;
        }
        error = error_syntax(r->params, "unknown database",
                             "%s request specifies unknown database %s",
                             r->method, name);
    }
    session_reply_error(s, r->id_text, error);
    return NULL;
}

static void
reply_empty(struct session *s, const struct request *r)
{
    struct ds ds = DS_EMPTY_INITIALIZER;

    ds_put_cstr(&ds, "{}");
    session_reply(s, r->id_text, &ds);
    ds_destroy(&ds);
}

static void
reply_syntax_error(struct session *s, const struct request *r,
                   const char *details)
{
    session_reply_error(s, r->id_text,
                        error_syntax(r->params, NULL, "%s: %s", r->method,
                                     details));
}

static void
method_transact(struct session *s, struct request *r)
{
    struct db *db = find_db(s, r);

    if (db) {
        trigger_create(s, db, r);
    }
}

static void
method_monitor(struct session *s, struct request *r)
{
    enum monitor_version version = (!strcmp(r->method, "monitor") ? MONITOR_V1
                                    : !strcmp(r->method, "monitor_cond")
                                    ? MONITOR_V2 : MONITOR_V3);
    struct db *db = find_db(s, r);
    struct ds ds = DS_EMPTY_INITIALIZER;
    struct error *error;

    if (!db) {
        return;
    }
    error = monitor_create(s, db, r->params, version, &ds);
    if (error) {
        session_reply_error(s, r->id_text, error);
    } else {
        session_reply(s, r->id_text, &ds);
    }
    ds_destroy(&ds);
}

static void
method_monitor_cond(struct session *s, struct request *r)
{
    if (s->remote->server->monitor_cond) {
        method_monitor(s, r);
    } else {
        session_reply_error_string(s, r->id_text, "unknown method");
    }
}

static void
method_monitor_cond_change(struct session *s, struct request *r)
{
    struct error *error = monitor_cond_change(s, r->params);

    if (error) {
        session_reply_error(s, r->id_text, error);
    } else {
        reply_empty(s, r);
    }
}

static void
method_monitor_cancel(struct session *s, struct request *r)
{
    struct monitor *m;

    if (json_array_size(r->params) != 1) {
        session_reply_error_string(s, r->id_text, "invalid parameters");
        return;
    }
    m = monitor_find(s, json_array_get(r->params, 0));
    if (!m) {
        session_reply_error_string(s, r->id_text, "unknown monitor");
        return;
    }
    monitor_flush(m);
    monitor_destroy(m);
    reply_empty(s, r);
}

static void
method_get_schema(struct session *s, struct request *r)
{
    struct ds ds = DS_EMPTY_INITIALIZER;
    struct db *db = find_db(s, r);

    if (db) {
        schema_put_json(&ds, db->schema);
        session_reply(s, r->id_text, &ds);
        ds_destroy(&ds);
    }
}

static void
method_list_dbs(struct session *s, struct request *r)
{
    const struct shash_node **nodes = shash_sort(&s->remote->server->dbs);
    size_t n = shash_count(&s->remote->server->dbs), i;
    struct ds ds = DS_EMPTY_INITIALIZER;

    ds_put_char(&ds, '[');
    for (i = 0; i < n; i++) {
        ds_put_format(&ds, "%s\"%s\"", i ? "," : "", nodes[i]->name);
    }
    ds_put_char(&ds, ']');
    session_reply(s, r->id_text, &ds);
    ds_destroy(&ds);
    free(nodes);
}

static void
method_get_server_id(struct session *s, struct request *r)
{
    struct ds ds = DS_EMPTY_INITIALIZER;

    ds_put_format(&ds, "\""UUID_FMT"\"", UUID_ARGS(&s->remote->server->id));
    session_reply(s, r->id_text, &ds);
    ds_destroy(&ds);
}

/* The name of the lock that a request is about.  If it has none or locks
 * aren't allowed, replies and returns NULL. */
static const char *
parse_lock(struct session *s, const struct request *r)
{
    const char *name = json_string_value(json_array_get(r->params, 0));

    if (s->read_only) {
        session_reply_error_string(s, r->id_text, "lock and unlock methods "
                                   "not allowed, DB server is read only.");
        return NULL;
    }
    if (json_array_size(r->params) != 1 || !name || !string_is_id(name)) {
        session_reply_error(s, r->id_text,
                            error_syntax(r->params, NULL, "%s request params "
                                         "must be <id>", r->method));
        return NULL;
    }
    return name;
}

static void
method_lock(struct session *s, struct request *r)
{
    enum lock_mode mode = strcmp(r->method, "steal") ? LOCK_WAIT : LOCK_STEAL;
    const char *name = parse_lock(s, r);
    struct ds ds = DS_EMPTY_INITIALIZER;

    if (!name) {
        return;
    }
    if (lock_find(s, name)) {
        session_reply_error(s, r->id_text,
                            error_syntax(r->params, NULL, "must issue "
                                         "\"unlock\" before new \"%s\"",
                                         r->method));
        return;
    }
    ds_put_format(&ds, "{\"locked\":%s}",
                  lock_acquire(s, name, mode) ? "true" : "false");
    session_reply(s, r->id_text, &ds);
    ds_destroy(&ds);
}

static void
method_unlock(struct session *s, struct request *r)
{
    const char *name = parse_lock(s, r);
    struct lock_waiter *w;

    if (!name) {
        return;
    }
    w = lock_find(s, name);
    if (!w) {
        reply_syntax_error(s, r, "\"unlock\" without \"lock\" or \"steal\"");
        return;
    }
    lock_release(w);
    reply_empty(s, r);
}

static void
method_set_db_change_aware(struct session *s, struct request *r)
{
    const json_t *aware = json_array_get(r->params, 0);

    if (json_array_size(r->params) != 1 || !json_is_boolean(aware)) {
        reply_syntax_error(s, r, "true or false parameter expected");
        return;
    }
    s->db_change_aware = json_is_true(aware);
    reply_empty(s, r);
}

static void
method_echo(struct session *s, struct request *r)
{
    struct ds ds = DS_EMPTY_INITIALIZER;

    json_put(&ds, r->params);
    session_reply(s, r->id_text, &ds);
    ds_destroy(&ds);
}

static const struct method {
    const char *name;
    method_cb *cb;
} methods[] = {
    { "transact", method_transact },
    { "convert", method_transact },
    { "monitor", method_monitor },
    { "monitor_cond", method_monitor_cond },
    { "monitor_cond_since", method_monitor_cond },
    { "monitor_cond_change", method_monitor_cond_change },
    { "monitor_cancel", method_monitor_cancel },
    { "get_schema", method_get_schema },
    { "list_dbs", method_list_dbs },
    { "get_server_id", method_get_server_id },
    { "lock", method_lock },
    { "steal", method_lock },
    { "unlock", method_unlock },
    { "set_db_change_aware", method_set_db_change_aware },
    { "echo", method_echo },
};

/* Handles a request. */
void
session_request(struct session *s, struct request *r)
{
    size_t i;

    for (i = 0; i < ARRAY_SIZE(methods); i++) {
        if (!strcmp(r->method, methods[i].name)) {
            methods[i].cb(s, r);
            return;
        }
    }
    session_reply_error_string(s, r->id_text, "unknown method");
}

/* Handles a notification: RFC 7047 has just one for servers. */
void
session_notification(struct session *s, const char *method,
                     const json_t *params)
{
    if (!strcmp(method, "cancel") && json_array_size(params) == 1) {
        trigger_cancel(s, json_array_get(params, 0));
    }
}
