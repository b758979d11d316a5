/* The control socket, by which ovs-appctl talks to the server.
 *
 * libopenvswitch's unixctl works with its own poll loop, so it has a thread of
 * its own.  Commands that concern the server run in the main thread while the
 * control thread waits. */
#include <config.h>
#include "mgmt/db/server.h"

#include <malloc.h>

#include "fatal-signal.h"
#include "latch.h"
#include "memory.h"
#include "mgmt/db/session.h"
#include "mgmt/db/store.h"
#include "openvswitch/poll-loop.h"
#include "openvswitch/vlog.h"
#include "ovs-thread.h"
#include "perf-counter.h"
#include "simap.h"
#include "unixctl.h"
#include "util.h"

VLOG_DEFINE_THIS_MODULE(control);

/* How long the end by a signal waits for what is to be written. */
#define DRAIN_SECONDS 5

static struct server *server;
static struct unixctl_server *unixctl;
static pthread_t thread;
static struct latch exit_latch;

/* --- Calls into the main thread. --- */

/* A command that waits to be run. */
struct call {
    void (*cb)(struct call *);
    int argc;
    const char **argv;
    struct ds reply;
    bool failed;
    bool done;
};

static struct ovs_mutex call_mutex = OVS_MUTEX_INITIALIZER;
static pthread_cond_t call_done = PTHREAD_COND_INITIALIZER;
static struct call *current_call OVS_GUARDED_BY(call_mutex);
static struct event *call_event;

static void
call_cb(evutil_socket_t fd OVS_UNUSED, short what OVS_UNUSED,
        void *aux OVS_UNUSED)
{
    struct call *call;

    ovs_mutex_lock(&call_mutex);
    call = current_call;
    ovs_mutex_unlock(&call_mutex);
    if (!call) {
        return;
    }
    call->cb(call);
    ovs_mutex_lock(&call_mutex);
    call->done = true;
    current_call = NULL;
    pthread_cond_signal(&call_done);
    ovs_mutex_unlock(&call_mutex);
    server_wake(server);
}

/* Has the main thread run 'call'. */
static void
start_call(struct call *call) OVS_REQUIRES(call_mutex)
{
    current_call = call;
    event_active(call_event, EV_TIMEOUT, 1);
}

/* Runs 'call' in the main thread and waits until it is done. */
static void
run_call(struct call *call)
{
    ovs_mutex_lock(&call_mutex);
    start_call(call);
    while (!call->done) {
        ovs_mutex_cond_wait(&call_done, &call_mutex);
    }
    ovs_mutex_unlock(&call_mutex);
}

/* A unixctl command: 'aux' is what to run in the main thread. */
static void
command_cb(struct unixctl_conn *conn, int argc, const char *argv[], void *aux)
{
    struct call call = { .cb = aux, .argc = argc, .argv = argv };

    ds_init(&call.reply);
    run_call(&call);
    if (call.failed) {
        unixctl_command_reply_error(conn, ds_cstr(&call.reply));
    } else {
        unixctl_command_reply(conn, (call.reply.length ? ds_cstr(&call.reply)
                                     : NULL));
    }
    ds_destroy(&call.reply);
}

static void OVS_PRINTF_FORMAT(2, 3)
fail(struct call *call, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    ds_put_format_valist(&call->reply, format, args);
    va_end(args);
    call->failed = true;
}

/* --- Commands. --- */

static void
cmd_exit(struct call *call OVS_UNUSED)
{
    server_exit(server);
}

static void
cmd_compact(struct call *call)
{
    const char *name = call->argc < 2 ? NULL : call->argv[1];
    struct shash_node *node;
    int n = 0;

    if (name && name[0] == '_') {
        fail(call, "cannot compact built-in databases");
        return;
    }
    SHASH_FOR_EACH (node, &server->dbs) {
        struct db *db = node->data;
        struct error *error;

        if (!db->store || (name && strcmp(name, db->name))) {
            continue;
        }
        n++;
        VLOG_INFO("compacting %s database by user request", db->name);
        error = store_compact(db->store);
        if (error) {
            char *s = error_to_string_free(error);
            fail(call, "%s\n", s);
            free(s);
        }
    }
    if (!n) {
        fail(call, "no database by that name");
    }
    malloc_trim(0);
}

static void
cmd_memory_trim(struct call *call)
{
    if (strcmp(call->argv[1], "on") && strcmp(call->argv[1], "off")) {
        fail(call, "invalid argument");
    }
}

static void
cmd_reconnect(struct call *call OVS_UNUSED)
{
    server_reconnect(server, true,
                     xstrdup("user ran ovsdb-server/reconnect"));
}

static void
cmd_add_remote(struct call *call)
{
    const char *remote = call->argv[1];
    struct column *column;
    struct table *table;
    struct db *db;
    char *error;

    if (!strncmp(remote, "db:", 3)) {
        error = parse_db_column(server, remote, &db, &table, &column);
        if (error) {
            fail(call, "%s", error);
            free(error);
            return;
        }
    }
    if (sset_add(&server->remote_names, remote)) {
        server_save_config(server);
        server->reconfigure = true;
    }
}

static void
cmd_remove_remote(struct call *call)
{
    if (sset_find_and_delete(&server->remote_names, call->argv[1])) {
        server_save_config(server);
        server->reconfigure = true;
    } else {
        fail(call, "no such remote");
    }
}

static void
cmd_list_remotes(struct call *call)
{
    const char **list = sset_sort(&server->remote_names), **p;

    for (p = list; *p; p++) {
        ds_put_format(&call->reply, "%s\n", *p);
    }
    free(list);
}

static void
cmd_add_db(struct call *call)
{
    struct error *error = server_open_db(server, call->argv[1]);

    if (error) {
        char *s = error_to_string_free(error);
        fail(call, "%s", s);
        free(s);
    } else {
        server_save_config(server);
    }
}

static void
cmd_remove_db(struct call *call)
{
    struct db *db = shash_find_data(&server->dbs, call->argv[1]);

    if (!db) {
        fail(call, "Failed to find the database.");
    } else if (db == server->server_db) {
        fail(call, "Cannot remove reserved database.");
    } else {
        server_remove_db(server, db,
                         xasprintf("removing %s database by user request",
                                   db->name));
        server_save_config(server);
    }
}

static void
cmd_list_dbs(struct call *call)
{
    const struct shash_node **nodes = shash_sort(&server->dbs);
    size_t i;

    for (i = 0; i < shash_count(&server->dbs); i++) {
        ds_put_format(&call->reply, "%s\n", nodes[i]->name);
    }
    free(nodes);
}

static void
cmd_tlog_set(struct call *call)
{
    bool on = !strcasecmp(call->argv[2], "on");
    char *name, *save_ptr = NULL;
    const char *db_name, *table_name;
    struct table *table;
    struct db *db;

    if (!on && strcasecmp(call->argv[2], "off")) {
        fail(call, "invalid command argument");
        return;
    }
    name = xstrdup(call->argv[1]);
    db_name = strtok_r(name, ":", &save_ptr);
    table_name = strtok_r(NULL, ":", &save_ptr);
    if (!db_name || !table_name || strtok_r(NULL, ":", &save_ptr)) {
        fail(call, "invalid DB:TABLE argument");
    } else if (!(db = shash_find_data(&server->dbs, db_name))) {
        fail(call, "no such database");
    } else if (!(table = db_table(db, table_name))) {
        fail(call, "no such table");
    } else {
        table->log = on;
    }
    free(name);
}

static void
cmd_tlog_list(struct call *call)
{
    const struct shash_node **nodes = shash_sort(&server->dbs);
    size_t i, j;

    ds_put_cstr(&call->reply,
                "database        table                       logging\n"
                "--------        -----                       -------\n");
    for (i = 0; i < shash_count(&server->dbs); i++) {
        const struct db *db = nodes[i]->data;

        ds_put_format(&call->reply, "%-16s \n", db->name);
        for (j = 0; j < db->schema->n_tables; j++) {
            ds_put_format(&call->reply, "                %-27s %s\n",
                          db->schema->tables[j]->name,
                          db->by_number[j]->log ? "ON" : "OFF");
        }
    }
    free(nodes);
}

static void
cmd_sync_status(struct call *call)
{
    ds_put_cstr(&call->reply, "state: active\n");
}

/* Commands that concern replication, which there is none of. */
static void
cmd_no_replication(struct call *call)
{
    fail(call, "this server doesn't replicate others");
}

static void
cmd_empty(struct call *call OVS_UNUSED)
{
}

static void
cmd_storage_status(struct call *call)
{
    const struct db *db = shash_find_data(&server->dbs, call->argv[1]);
    struct error *error;

    if (!db) {
        fail(call, "Failed to find the database.");
        return;
    }
    error = db->store ? store_failure(db->store) : NULL;
    if (error) {
        char *s = error_to_string_free(error);
        ds_put_format(&call->reply, "status: %s", s);
        free(s);
    } else {
        ds_put_cstr(&call->reply, "status: ok");
    }
}

static void
cmd_disable_monitor_cond(struct call *call OVS_UNUSED)
{
    server->monitor_cond = false;
    server_reconnect(server, true, xstrdup("user ran "
                                           "ovsdb-server/"
                                           "disable-monitor-cond"));
}

static void
perf_counters_show(struct unixctl_conn *conn, int argc OVS_UNUSED,
                   const char *argv[] OVS_UNUSED, void *aux OVS_UNUSED)
{
    char *s = perf_counters_to_string();
    unixctl_command_reply(conn, s);
    free(s);
}

static void
perf_counters_clear_cb(struct unixctl_conn *conn, int argc OVS_UNUSED,
                       const char *argv[] OVS_UNUSED, void *aux OVS_UNUSED)
{
    perf_counters_clear();
    unixctl_command_reply(conn, NULL);
}

static const struct command {
    const char *name;
    const char *usage;
    int min_args, max_args;
    void (*cb)(struct call *);
} commands[] = {
    { "exit", "", 0, 0, cmd_exit },
    { "ovsdb-server/compact", "", 0, 1, cmd_compact },
    { "ovsdb-server/memory-trim-on-compaction", "on|off", 1, 1,
      cmd_memory_trim },
    { "ovsdb-server/reconnect", "", 0, 0, cmd_reconnect },
    { "ovsdb-server/add-remote", "REMOTE", 1, 1, cmd_add_remote },
    { "ovsdb-server/remove-remote", "REMOTE", 1, 1, cmd_remove_remote },
    { "ovsdb-server/list-remotes", "", 0, 0, cmd_list_remotes },
    { "ovsdb-server/add-db", "DB", 1, 1, cmd_add_db },
    { "ovsdb-server/remove-db", "DB", 1, 1, cmd_remove_db },
    { "ovsdb-server/list-dbs", "", 0, 0, cmd_list_dbs },
    { "ovsdb-server/tlog-set", "DB:TABLE on|off", 2, 2, cmd_tlog_set },
    { "ovsdb-server/tlog-list", "", 0, 0, cmd_tlog_list },
    { "ovsdb-server/sync-status", "", 0, 0, cmd_sync_status },
    { "ovsdb-server/set-active-ovsdb-server", "", 1, 1, cmd_no_replication },
    { "ovsdb-server/get-active-ovsdb-server", "", 0, 0, cmd_empty },
    { "ovsdb-server/connect-active-ovsdb-server", "", 0, 0,
      cmd_no_replication },
    { "ovsdb-server/disconnect-active-ovsdb-server", "", 0, 0, cmd_empty },
    { "ovsdb-server/set-active-ovsdb-server-probe-interval", "", 1, 1,
      cmd_no_replication },
    { "ovsdb-server/set-sync-exclude-tables", "", 0, 1, cmd_no_replication },
    { "ovsdb-server/get-sync-exclude-tables", "", 0, 0, cmd_empty },
    { "ovsdb-server/get-db-storage-status", "DB", 1, 1, cmd_storage_status },
    { "ovsdb-server/disable-monitor-cond", "", 0, 0,
      cmd_disable_monitor_cond },
};

/* --- The thread. --- */

static void
usage_cb(struct call *call OVS_UNUSED)
{
    struct simap usage = SIMAP_INITIALIZER(&usage);

    server_memory_usage(server, &usage);
    memory_report(&usage);
    simap_destroy(&usage);
}

static void *
control_main(void *aux OVS_UNUSED)
{
    while (!latch_is_set(&exit_latch)) {
        memory_run();
        if (memory_should_report()) {
            struct call call = { .cb = usage_cb };
            run_call(&call);
        }
        unixctl_server_run(unixctl);
        memory_wait();
        unixctl_server_wait(unixctl);
        latch_wait(&exit_latch);
        poll_block();
    }
    return NULL;
}

/* Opens the control socket at 'path' (NULL: the usual place) and registers the
 * commands.  Ends the process if that fails. */
void
control_init(struct server *server_, const char *path)
{
    size_t i;

    server = server_;
    if (unixctl_server_create(path, &unixctl)) {
        exit(EXIT_FAILURE);
    }
    perf_counters_init();
    for (i = 0; i < ARRAY_SIZE(commands); i++) {
        const struct command *c = &commands[i];
        unixctl_command_register(c->name, c->usage, c->min_args, c->max_args,
                                 command_cb, c->cb);
    }
    unixctl_command_register("ovsdb-server/perf-counters-show", "", 0, 0,
                             perf_counters_show, NULL);
    unixctl_command_register("ovsdb-server/perf-counters-clear", "", 0, 0,
                             perf_counters_clear_cb, NULL);
}

/* --- Ends. --- */

static void
drain_cb(struct call *call OVS_UNUSED)
{
    struct shash_node *node;

    SHASH_FOR_EACH (node, &server->dbs) {
        const struct db *db = node->data;
        if (db->store) {
            error_destroy(store_drain(db->store));
        }
    }
}

/* On SIGTERM and the like, in the control thread: what has been acknowledged
 * reaches the file.  The main thread may not be able to, as it may wait for
 * the mutex that fatal-signal.c holds now, so this doesn't wait for ever. */
static void
fatal_signal_cb(void *aux OVS_UNUSED)
{
    static struct call call = { .cb = drain_cb };
    struct timespec until;
    int error = 0;

    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += DRAIN_SECONDS;
    ovs_mutex_lock(&call_mutex);
    start_call(&call);
    while (!call.done && !error) {
        error = pthread_cond_timedwait(&call_done, &call_mutex.lock, &until);
    }
    ovs_mutex_unlock(&call_mutex);
}

/* Starts to serve the control socket. */
void
control_start(void)
{
    call_event = event_new(server->base, -1, EV_PERSIST, call_cb, NULL);
    latch_init(&exit_latch);
    fatal_signal_add_hook(fatal_signal_cb, NULL, NULL, false);
    thread = ovs_thread_create("control", control_main, NULL);
}

/* Ends that, after the main loop has ended. */
void
control_stop(void)
{
    latch_set(&exit_latch);
    xpthread_join(thread, NULL);
    unixctl_server_destroy(unixctl);
    event_free(call_event);
}
