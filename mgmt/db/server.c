/* The server's main loop and its set of databases: see server.h. */
#include <config.h>
#include "mgmt/db/server.h"

#include <errno.h>
#include <malloc.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "mgmt/db/import.h"
#include "mgmt/db/session.h"
#include "mgmt/db/store.h"
#include "openvswitch/vlog.h"
#include "simap.h"
#include "util.h"

VLOG_DEFINE_THIS_MODULE(server);

/* --- The loop. --- */

static void
report_error_if_changed(char *error, char **last_error)
{
    if (error && (!*last_error || strcmp(error, *last_error))) {
        VLOG_WARN("%s", error);
    }
    free(*last_error);
    *last_error = error;
}

static void
reconfigure(struct server *server)
{
    if (server->reconfigure) {
        server->reconfigure = false;
        server->config_changes = remotes_count_changes(server);
        report_error_if_changed(tls_reconfigure(server), &server->ssl_error);
        report_error_if_changed(remotes_reconfigure(server),
                                &server->remotes_error);
        server_db_update(server);
    }
}

/* Has what clients have done in 'db' written, and answered when it is. */
static void
settle_turn(struct db *db)
{
    if (db->store) {
        store_submit(db->store);
    }
    triggers_stored(db);
}

/* Does what is to be done once for everything that has happened. */
static void
finish_turn(evutil_socket_t fd OVS_UNUSED, short what OVS_UNUSED,
            void *server_)
{
    struct server *server = server_;
    struct shash_node *node;
    bool changed = false;
    struct session *s;

    SHASH_FOR_EACH (node, &server->dbs) {
        struct db *db = node->data;

        settle_turn(db);
        while (db->changed) {
            changed = true;
            triggers_run(db);
            settle_turn(db);
        }
    }
    if (changed
        && remotes_count_changes(server) != server->config_changes) {
        server->reconfigure = true;
    }
    reconfigure(server);
    SHASH_FOR_EACH (node, &server->dbs) {
        feeds_cut(node->data);
    }
    while (!ovs_list_is_empty(&server->dirty)) {
        s = CONTAINER_OF(ovs_list_pop_front(&server->dirty), struct session,
                         dirty_node);
        s->dirty = false;
        session_flush(s);
    }
    LIST_FOR_EACH_SAFE (s, node, &server->closed) {
        session_destroy(s);
    }
    if (server->trim) {
        server->trim = false;
        malloc_trim(0);
    }
    if (server->exiting) {
        event_base_loopbreak(server->base);
    }
}

/* Has the turn finished once all that is ready now has been handled.  Any
 * thread. */
void
server_wake(struct server *server)
{
    event_active(server->turn, EV_TIMEOUT, 1);
}

static void
store_wake(void *server)
{
    server_wake(server);
}

/* Every few seconds: the remotes' status, and a look at whether files for TLS
 * have changed. */
static void
status_cb(evutil_socket_t fd OVS_UNUSED, short what OVS_UNUSED, void *server_)
{
    struct server *server = server_;

    remotes_update_status(server);
    server->reconfigure = true;
    server_wake(server);
}

void
server_init(struct server *server)
{
    static const struct limits limits = {
        .message_size = 256 * 1024 * 1024,
        .backlog = 128 * 1024,
        .backlog_pause = 1024 * 1024,
        .stall = 60,
        .connections = 16384,
    };

    shash_init(&server->dbs);
    shash_init(&server->remotes);
    sset_init(&server->remote_names);
    sset_init(&server->no_history);
    hmap_init(&server->locks);
    server->limits = limits;
    server->monitor_cond = true;
    ovs_list_init(&server->dirty);
    ovs_list_init(&server->closed);
}

/* Has the process open as many files as all connections take, or, if it may
 * not, lowers their number: a listener whose connections can't be accepted
 * would keep the loop busy. */
static void
provide_files(struct server *server)
{
    const rlim_t others = 64;   /* Databases, remotes, logs. */
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit)) {
        return;
    }
    if (limit.rlim_cur < server->limits.connections + others) {
        limit.rlim_cur = MIN(server->limits.connections + others,
                             limit.rlim_max);
        setrlimit(RLIMIT_NOFILE, &limit);
    }
    if (limit.rlim_cur < server->limits.connections + others) {
        server->limits.connections = MAX(limit.rlim_cur, others + 1) - others;
        VLOG_INFO("at most %u clients at a time, since the process may open "
                  "only %llu files", server->limits.connections,
                  (unsigned long long int) limit.rlim_cur);
    }
}

/* Sets up the loop; to be called when the process won't fork any more: what a
 * monitor process knew of the generator of UUIDs would make the server that it
 * starts after a crash repeat those of the one before, rows' included. */
void
server_start(struct server *server)
{
    static const struct timeval interval = { 2, 500000 };

    provide_files(server);
    uuid_generate(&server->id);
    server->base = event_base_new();
    server->turn = event_new(server->base, -1, EV_PERSIST, finish_turn,
                             server);
    server->status_timer = event_new(server->base, -1, EV_PERSIST, status_cb,
                                     server);
    event_add(server->status_timer, &interval);
    server->reconfigure = true;
}

/* Serves until server_exit(). */
void
server_run(struct server *server)
{
    /* Whoever connects finds the remotes' status up to date. */
    event_active(server->status_timer, EV_TIMEOUT, 1);
    event_base_dispatch(server->base);
}

/* Ends server_run().  Any thread. */
void
server_exit(struct server *server)
{
    server->exiting = true;
    server_wake(server);
}

/* --- Databases. --- */

/* Disconnects all sessions, or with 'force' false those that don't know of
 * changes of databases, which then look anew.  Logs 'comment' and frees it. */
void
server_reconnect(struct server *server, bool force, char *comment)
{
    struct shash_node *node;
    struct session *s;

    SHASH_FOR_EACH (node, &server->remotes) {
        struct remote *remote = node->data;

        LIST_FOR_EACH_SAFE (s, node, &remote->sessions) {
            if (force || !s->db_change_aware) {
                session_close(s, EOF, comment);
            }
        }
    }
    free(comment);
}

/* Adds 'db' to what is served. */
void
server_add_db(struct server *server, struct db *db)
{
    server_reconnect(server, false,
                     xasprintf("adding %s database", db->name));
    shash_add_assert(&server->dbs, db->name, db);
    server->reconfigure = true;
}

/* Tells clients that their monitors of 'db' are no more. */
static void
cancel_monitors(struct db *db)
{
    struct feed *feed;
    struct monitor *m;

    LIST_FOR_EACH_SAFE (feed, node, &db->feeds) {
        LIST_FOR_EACH_SAFE (m, feed_node, &feed->monitors) {
            if (m->session->db_change_aware) {
                struct ds ds = DS_EMPTY_INITIALIZER;
                ds_put_format(&ds, "{\"id\":null,\"method\":"
                              "\"monitor_canceled\",\"params\":[%s]}",
                              m->id_text);
                session_send(m->session, &ds);
                ds_destroy(&ds);
            }
            monitor_destroy(m);
        }
    }
}

/* Has everything that clients have done in 'db' stored, and answered. */
static void
settle(struct db *db)
{
    if (db->store) {
        error_destroy(store_drain(db->store));
        triggers_stored(db);
    }
}

/* Removes and destroys 'db'; logs 'comment' and frees it. */
void
server_remove_db(struct server *server, struct db *db, char *comment)
{
    settle(db);
    cancel_monitors(db);
    triggers_cancel_db(db);
    server_reconnect(server, false, comment);
    shash_find_and_delete_assert(&server->dbs, db->name);
    store_close(db->store);
    db_destroy(db);
    server->reconfigure = true;
}

/* Finishes what clients have under way in 'db', to be replaced next, but for
 * the transactions that wait. */
void
server_retire_db(struct db *db)
{
    settle(db);
    cancel_monitors(db);
}

/* Has 'new', whose contents 'old''s store has already, take the place of
 * 'old', which is retired. */
void
server_replace_db(struct server *server, struct db *old, struct db *new)
{
    triggers_cancel_db(old);
    shash_find_and_delete_assert(&server->dbs, old->name);
    shash_add_assert(&server->dbs, new->name, new);
    new->filename = nullable_xstrdup(old->filename);
    new->store = old->store;
    store_set_schema(new->store, new->schema);
    server_db_replace(server, old, new);
    db_destroy(old);
    server->reconfigure = true;
}

static bool
is_open(const struct server *server, const char *file_name)
{
    struct shash_node *node;
    struct stat a, b;

    if (stat(file_name, &a)) {
        return false;
    }
    SHASH_FOR_EACH (node, &server->dbs) {
        const struct db *db = node->data;
        if (db->filename && !stat(db->filename, &b)
            && a.st_dev == b.st_dev && a.st_ino == b.st_ino) {
            return true;
        }
    }
    return false;
}

/* Opens a file, one of ours or one of ovsdb-server's, and serves it. */
struct error *
server_open_db(struct server *server, const char *file_name)
{
    struct error *error;
    char *store_name;
    struct db *db;

    if (!strncmp(file_name, "relay:", 6)) {
        return error_new(NULL, "%s: this server doesn't relay other servers' "
                         "databases", file_name);
    }
    if (is_open(server, file_name)) {
        return error_new(NULL, "%s: already open", file_name);
    }
    error = import_if_needed(file_name, &store_name);
    if (error) {
        return error;
    }
    error = store_open(store_name, &db, store_wake, server);
    free(store_name);
    if (error) {
        return error;
    }
    if (db->name[0] == '_') {
        error = error_new(NULL, "%s: names beginning with \"_\" are reserved",
                          db->name);
    } else if (shash_find(&server->dbs, db->name)) {
        error = error_new(NULL, "%s: duplicate database name", db->name);
    }
    if (error) {
        store_close(db->store);
        db_destroy(db);
        return error;
    }
    db->filename = xstrdup(file_name);
    server_add_db(server, db);
    return NULL;
}

/* Ends all sessions, stores what is to be stored and frees everything. */
void
server_destroy(struct server *server)
{
    struct shash_node *node;
    struct shash none = SHASH_INITIALIZER(&none);
    struct session *s;

    remotes_set(server, &none);
    shash_destroy(&none);
    LIST_FOR_EACH_SAFE (s, node, &server->closed) {
        session_destroy(s);
    }
    SHASH_FOR_EACH_SAFE (node, &server->dbs) {
        struct db *db = node->data;
        store_close(db->store);
        db_destroy(db);
    }
    shash_destroy(&server->dbs);
    shash_destroy(&server->remotes);
    sset_destroy(&server->remote_names);
    sset_destroy(&server->no_history);
    hmap_destroy(&server->locks);
    event_free(server->turn);
    event_free(server->status_timer);
    event_base_free(server->base);
    free(server->remotes_error);
    free(server->ssl_error);
}

/* Adds to 'usage' what memory/show reports. */
void
server_memory_usage(const struct server *server, struct simap *usage)
{
    struct shash_node *node;

    simap_increase(usage, "sessions", server->n_sessions);
    SHASH_FOR_EACH (node, &server->remotes) {
        const struct remote *remote = node->data;
        const struct session *s;

        LIST_FOR_EACH (s, node, &remote->sessions) {
            simap_increase(usage, "triggers", ovs_list_size(&s->triggers));
            simap_increase(usage, "backlog", session_backlog(s));
        }
    }
    SHASH_FOR_EACH (node, &server->dbs) {
        const struct db *db = node->data;
        size_t i;

        simap_increase(usage, "monitors", ovs_list_size(&db->feeds));
        for (i = 0; i < db->schema->n_tables; i++) {
            simap_increase(usage, "cells",
                           hmap_count(&db->by_number[i]->rows)
                           * db->schema->tables[i]->n_columns);
        }
        simap_increase(usage, "atoms", db->n_atoms);
        simap_increase(usage, "n-weak-refs", db->n_weak_refs);
    }
}
