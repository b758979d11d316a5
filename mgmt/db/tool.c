/* The tool for database files: sluice-db's sub-commands and, under the name
 * ovsdb-tool, that program's command line.
 *
 * Every command takes files of ovsdb-server (logs) and of sluice-db (SQLite)
 * and finds out which it has.  A log that sluice-db has imported stands for
 * its import (see import.h), so that start-up scripts that check and convert
 * conf.db work on what is served.  What is made anew is SQLite, unless it is
 * made from a log.
 *
 * Errors end the program: there is nothing else to do. */
#include <config.h>
#include "mgmt/db/tool.h"

#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "command-line.h"
#include "dirs.h"
#include "fatal-signal.h"
#include "lockfile.h"
#include "mgmt/db/convert.h"
#include "mgmt/db/execute.h"
#include "mgmt/db/import.h"
#include "mgmt/db/log-file.h"
#include "mgmt/db/main.h"
#include "mgmt/db/sql.h"
#include "mgmt/db/store.h"
#include "openvswitch/vlog.h"
#include "socket-util.h"
#include "util.h"

static int verbosity;           /* -m: of show-log. */
static const char *rbac_role;   /* --rbac-role: of query and transact. */

/* Ends the program with 'error', if it is nonnull. */
void
tool_check(struct error *error)
{
    if (error) {
        ovs_fatal(0, "%s", error_to_string_free(error));
    }
}

static const char *
default_db(void)
{
    static char *name;
    if (!name) {
        name = xasprintf("%s/conf.db", ovs_dbdir());
    }
    return name;
}

/* The Open_vSwitch schema: Open vSwitch's directory may be set to one that has
 * no such file, then it is ours. */
static const char *
default_schema(void)
{
    static char *name;
    if (!name) {
        name = xasprintf("%s/vswitch.ovsschema", ovs_pkgdatadir());
        if (access(name, F_OK)) {
            free(name);
            name = xstrdup(SLUICE_PKGDATADIR "/vswitch.ovsschema");
        }
    }
    return name;
}

static const char *
argument(const struct ovs_cmdl_context *ctx, int i, const char *default_)
{
    return ctx->argc > i ? ctx->argv[i] : default_;
}

/* --- Files. --- */

/* Returns the name, to be freed, of the file that is meant by 'file_name':
 * itself or what was imported from it. */
char *
tool_resolve(const char *file_name)
{
    char *imported = import_find(file_name);
    return imported ? imported : xstrdup(file_name);
}

static struct schema *
schema_from(const char *file_name)
{
    struct schema *schema;
    tool_check(schema_from_file(&schema, file_name));
    return schema;
}

/* Returns argument 'i', a database's file, or the usual one. */
const char *
tool_db_argument(const struct ovs_cmdl_context *ctx, int i)
{
    return argument(ctx, i, default_db());
}

/* Reads the schema in the file that is argument 'i', or ours. */
struct schema *
tool_schema_argument(const struct ovs_cmdl_context *ctx, int i)
{
    return schema_from(argument(ctx, i, default_schema()));
}

/* Opens a log, which must be standalone. */
struct log_file *
tool_open_log(const char *name, enum log_file_mode mode)
{
    struct log_file *log;

    tool_check(log_file_open(name, mode, &log));
    if (log_file_get_format(log) == LOG_FILE_CLUSTERED) {
        ovs_fatal(0, "ovsdb error: %s: cannot apply this operation to "
                  "clustered database file", name);
    }
    return log;
}

static struct db *
read_log(struct log_file *log, struct schema *schema)
{
    struct error *tail;
    struct db *db;

    tool_check(log_load(log, schema, &db, &tail));
    tool_check(tail);
    return db;
}

/* Reads database 'name' into memory, converted to 'schema' (which is taken) if
 * that is nonnull. */
static struct db *
read_db(const char *name, struct schema *schema)
{
    struct db *db;

    if (store_is_sqlite(name)) {
        tool_check(store_read(name, &db));
        if (schema) {
            struct db *converted;
            tool_check(convert(db, schema, &converted));
            db_destroy(db);
            db = converted;
        }
    } else {
        struct log_file *log = tool_open_log(name, LOG_FILE_READ_ONLY);
        db = read_log(log, schema);
        log_file_close(log);
    }
    return db;
}

struct schema *
tool_read_schema(const char *file_name)
{
    char *name = tool_resolve(file_name);
    struct schema *schema;

    if (store_is_sqlite(name)) {
        tool_check(store_read_schema(name, &schema));
    } else {
        struct log_file *log = tool_open_log(name, LOG_FILE_READ_ONLY);
        json_t *json;

        tool_check(log_file_read(log, &json));
        tool_check(schema_from_json(&schema, json));
        json_decref(json);
        log_file_close(log);
    }
    free(name);
    return schema;
}

static void
no_wake(void *aux OVS_UNUSED)
{
}

static struct db *
open_store(const char *name)
{
    struct db *db;
    tool_check(store_open(name, &db, no_wake, NULL));
    return db;
}

static void
close_store(struct db *db)
{
    tool_check(store_drain(db->store));
    store_close(db->store);
    db_destroy(db);
}

/* Makes 'name' a log of what is in 'db'.  It appears there whole or not at
 * all. */
static void
write_log(const char *name, const struct db *db, const char *comment)
{
    char *temporary = xasprintf("%s.tmp", name);
    struct log_file *log;

    tool_check(log_file_open(temporary, LOG_FILE_CREATE, &log));
    struct error *error = log_save(log, db, comment);
    if (error) {
        unlink(temporary);
        tool_check(error);
    }
    if (rename(temporary, name)) {
        ovs_fatal(errno, "failed to rename \"%s\" to \"%s\"", temporary, name);
    }
    fsync_parent_dir(name);
    log_file_close(log);
    free(temporary);
}

/* --- Making and changing files. --- */

static void
do_create(struct ovs_cmdl_context *ctx)
{
    /* Through a dangling symbolic link we make what it points to. */
    char *name = follow_symlinks(tool_db_argument(ctx, 1));
    struct schema *schema = tool_schema_argument(ctx, 2);
    struct db *db = db_create(schema);
    struct lockfile *lock;

    int error = lockfile_lock(name, &lock);
    if (error) {
        tool_check(error_io(error, "%s: failed to lock lockfile", name));
    }
    tool_check(store_create(name, db, NULL));
    lockfile_unlock(lock);
    db_destroy(db);
    free(name);
}

/* Locks 'name', which is about to be written. */
static struct lockfile *
lock_target(const char *name)
{
    struct lockfile *lockfile;
    int error = lockfile_lock(name, &lockfile);

    if (error) {
        ovs_fatal(error, "%s: failed to lock lockfile", name);
    }
    return lockfile;
}

/* Compacts log 'src' or, with 'schema', converts it, in place or to 'dst'. */
static void
rewrite_log(const char *src, const char *dst, struct schema *schema,
            const char *comment)
{
    const char *target = dst ? dst : src;
    struct lockfile *lockfile = lock_target(target);
    struct db *db = read_db(src, schema);

    write_log(target, db, comment);
    db_destroy(db);
    lockfile_unlock(lockfile);
}

/* Makes 'dst' a file of ours from 'src', converted to 'schema' if that is
 * nonnull. */
static void
copy_store(const char *src, const char *dst, struct schema *schema)
{
    struct lockfile *lockfile = lock_target(dst);
    char *temporary = xasprintf("%s.tmp", dst);
    struct db *db = read_db(src, schema);

    unlink(temporary);
    tool_check(store_create(temporary, db, NULL));
    tool_check(store_rename(temporary, dst));
    db_destroy(db);
    free(temporary);
    lockfile_unlock(lockfile);
}

/* Compacts our file 'name' or, with 'schema', converts it. */
static void
rewrite_store(const char *name, struct schema *schema)
{
    struct db *db = open_store(name);

    if (schema) {
        struct db *converted;
        tool_check(convert(db, schema, &converted));
        tool_check(store_replace(db->store, converted));
        db_destroy(converted);
    } else {
        tool_check(store_compact(db->store));
    }
    close_store(db);
}

/* Symbolic links are followed, so that what they point to is replaced rather
 * than the link. */
static void
rewrite(const char *src_, const char *dst_, struct schema *schema,
        const char *comment)
{
    char *resolved = tool_resolve(src_);
    char *src = follow_symlinks(resolved);
    char *dst = dst_ ? follow_symlinks(dst_) : NULL;

    if (!store_is_sqlite(src)) {
        rewrite_log(src, dst, schema, comment);
    } else if (dst) {
        copy_store(src, dst, schema);
    } else {
        rewrite_store(src, schema);
    }
    free(resolved);
    free(src);
    free(dst);
}

static void
do_compact(struct ovs_cmdl_context *ctx)
{
    rewrite(tool_db_argument(ctx, 1), argument(ctx, 2, NULL), NULL,
            "compacted by ovsdb-tool "SLUICE_VERSION);
}

static void
do_convert(struct ovs_cmdl_context *ctx)
{
    struct schema *schema = tool_schema_argument(ctx, 2);
    rewrite(tool_db_argument(ctx, 1), argument(ctx, 3, NULL), schema,
            "converted by ovsdb-tool "SLUICE_VERSION);
}

static void
do_import(struct ovs_cmdl_context *ctx)
{
    const char *log = ctx->argv[1];
    char *name = (ctx->argc > 2 ? follow_symlinks(ctx->argv[2])
                  : xasprintf("%s.sqlite", log));

    if (!access(name, F_OK)) {
        tool_check(error_io(EEXIST, "%s: create failed", name));
    }
    tool_check(import_log(log, name));
    free(name);
}

static void
do_export(struct ovs_cmdl_context *ctx)
{
    char *src = tool_resolve(ctx->argv[1]);
    char *dst = follow_symlinks(ctx->argv[2]);
    struct db *db = read_db(src, NULL);
    char *comment = xasprintf("exported by sluice-db "SLUICE_VERSION" from %s",
                              src);

    write_log(dst, db, comment);
    db_destroy(db);
    free(comment);
    free(src);
    free(dst);
}

/* Copies a file of ours that may be served meanwhile. */
static void
do_backup(struct ovs_cmdl_context *ctx)
{
    char *src = tool_resolve(ctx->argv[1]);
    const char *dst = ctx->argv[2];
    sqlite3 *sql;

    if (!store_is_sqlite(src)) {
        ovs_fatal(0, "%s: is an OVSDB log: copy it", src);
    }
    umask(027);                 /* As of the database itself. */
    int rc = sql_open(src, SQLITE_OPEN_READONLY, &sql);
    if (!rc) {
        char *text = sqlite3_mprintf("VACUUM INTO %Q", dst);
        rc = sql_exec(sql, text);
        sqlite3_free(text);
    }
    if (rc) {
        tool_check(sql_error(sql, dst, "backing up to"));
    }
    sqlite3_close(sql);
    fsync_parent_dir(dst);
    free(src);
}

static void
check_sqlite(const char *name)
{
    sqlite3_stmt *stmt = NULL;
    sqlite3 *sql;

    if (sql_open(name, SQLITE_OPEN_READONLY, &sql)
        || sqlite3_prepare_v2(sql, "PRAGMA integrity_check", -1, &stmt,
                              NULL)) {
        tool_check(sql_error(sql, name, "checking"));
    }
    while (sqlite3_step(stmt) == SQLITE_ROW) {
        const char *line = (const char *) sqlite3_column_text(stmt, 0);
        if (strcmp(line, "ok")) {
            ovs_fatal(0, "%s: %s", name, line);
        }
    }
    if (sqlite3_finalize(stmt)) {
        tool_check(sql_error(sql, name, "checking"));
    }
    sqlite3_close(sql);
}

/* Checks the file itself and that what is in it fits its schema. */
static void
do_check(struct ovs_cmdl_context *ctx)
{
    char *name = tool_resolve(tool_db_argument(ctx, 1));

    if (store_is_sqlite(name)) {
        check_sqlite(name);
    }
    db_destroy(read_db(name, NULL));
    free(name);
}

/* --- Transactions. --- */

static bool
owns_no_lock(const void *session OVS_UNUSED, const char *lock OVS_UNUSED)
{
    return false;
}

/* Executes 'params' on 'db', commits and prints the results. */
static void
execute_and_print(struct db *db, const json_t *params, bool read_only)
{
    struct requester who = {
        .role = rbac_role,
        .read_only = read_only,
        .owns_lock = owns_no_lock,
    };
    struct ds results = DS_EMPTY_INITIALIZER;
    struct error *error = NULL;
    struct execution x;

    execute(db, &who, params, 0, false, &x, &results);
    if (x.txn) {
        uint64_t ticket;
        error = txn_commit(x.txn, true, &ticket);
        if (!error && db->store) {
            error = store_drain(db->store);
        }
    }
    if (!x.closed) {
        if (error) {
            if (results.string[results.length - 1] != '[') {
                ds_put_char(&results, ',');
            }
            error_put(&results, error);
        }
        ds_put_char(&results, ']');
    }
    error_destroy(error);

    /* Members in sorted order, as ovsdb-tool prints them. */
    char *unused;
    json_t *json = json_parse(results.string, results.length, &unused);
    char *text = json_to_text(json);
    puts(text);
    free(text);
    json_decref(json);
    ds_destroy(&results);
}

/* The comment that the operations in 'params' give, to be freed, or NULL. */
static char *
comment_from(const json_t *params)
{
    struct ds comment = DS_EMPTY_INITIALIZER;

    for (size_t i = 1; i < json_array_size(params); i++) {
        const json_t *operation = json_array_get(params, i);
        const char *op = json_string_value(json_object_get(operation, "op"));
        const char *text = json_string_value(json_object_get(operation,
                                                             "comment"));
        if (op && text && !strcmp(op, "comment")) {
            ds_put_format(&comment, "%s%s", comment.length ? "\n" : "", text);
        }
    }
    return comment.length ? ds_steal_cstr(&comment) : NULL;
}

static void
transact_log(const char *name, const json_t *params)
{
    struct log_file *log = tool_open_log(name, LOG_FILE_READ_WRITE);
    struct db *new = read_log(log, NULL);
    struct db *old = read_db(name, NULL);
    char *comment = comment_from(params);

    execute_and_print(new, params, false);
    tool_check(log_save_changes(log, old, new, comment));
    free(comment);
    db_destroy(old);
    db_destroy(new);
    log_file_close(log);
}

static void
transact(struct ovs_cmdl_context *ctx, bool read_only)
{
    char *name = tool_resolve(ctx->argc > 2 ? ctx->argv[1] : default_db());
    const char *text = ctx->argv[ctx->argc > 2 ? 2 : 1];
    char *error;

    json_t *params = json_parse(text, strlen(text), &error);
    if (!params) {
        ovs_fatal(0, "\"%s\": %s", text, error);
    }
    if (read_only) {
        struct db *db = read_db(name, NULL);
        execute_and_print(db, params, true);
        db_destroy(db);
    } else if (store_is_sqlite(name)) {
        struct db *db = open_store(name);
        execute_and_print(db, params, false);
        close_store(db);
    } else {
        transact_log(name, params);
    }
    json_decref(params);
    free(name);
}

static void
do_query(struct ovs_cmdl_context *ctx)
{
    transact(ctx, true);
}

static void
do_transact(struct ovs_cmdl_context *ctx)
{
    transact(ctx, false);
}

/* --- Records. --- */

static void
do_show_log(struct ovs_cmdl_context *ctx)
{
    show_log(tool_db_argument(ctx, 1), verbosity);
}

static void
do_history(struct ovs_cmdl_context *ctx)
{
    show_history(tool_db_argument(ctx, 1));
}

static void
do_cluster(struct ovs_cmdl_context *ctx)
{
    ovs_fatal(0, "%s: Sluice has no clustered databases: use Open vSwitch's "
              "ovsdb-tool", ctx->argv[0]);
}

/* --- The command line. --- */

static void do_help(struct ovs_cmdl_context *);
static void do_list_commands(struct ovs_cmdl_context *);

static const struct ovs_cmdl_command commands[] = {
    { "create", "[db [schema]]", 0, 2, do_create, OVS_RW },
    { "import", "log [db]", 1, 2, do_import, OVS_RW },
    { "export", "db log", 2, 2, do_export, OVS_RW },
    { "backup", "db copy", 2, 2, do_backup, OVS_RO },
    { "check", "[db]", 0, 1, do_check, OVS_RO },
    { "history", "[db]", 0, 1, do_history, OVS_RO },
    { "compact", "[db [dst]]", 0, 2, do_compact, OVS_RW },
    { "convert", "[db [schema [dst]]]", 0, 3, do_convert, OVS_RW },
    { "needs-conversion", "[db [schema]]", 0, 2, do_needs_conversion, OVS_RO },
    { "db-name", "[db]", 0, 1, do_db_name, OVS_RO },
    { "db-version", "[db]", 0, 1, do_db_version, OVS_RO },
    { "db-cksum", "[db]", 0, 1, do_db_cksum, OVS_RO },
    { "db-cid", "db", 1, 1, do_db_cid, OVS_RO },
    { "db-sid", "db", 1, 1, do_db_sid, OVS_RO },
    { "db-local-address", "db", 1, 1, do_db_local_address, OVS_RO },
    { "db-is-clustered", "db", 1, 1, do_db_is_clustered, OVS_RO },
    { "db-is-standalone", "db", 1, 1, do_db_is_standalone, OVS_RO },
    { "schema-name", "[schema]", 0, 1, do_schema_name, OVS_RO },
    { "schema-version", "[schema]", 0, 1, do_schema_version, OVS_RO },
    { "schema-cksum", "[schema]", 0, 1, do_schema_cksum, OVS_RO },
    { "compare-versions", "a op b", 3, 3, do_compare_versions, OVS_RO },
    { "query", "[db] trns", 1, 2, do_query, OVS_RO },
    { "transact", "[db] trns", 1, 2, do_transact, OVS_RW },
    { "show-log", "[db]", 0, 1, do_show_log, OVS_RO },
    { "create-cluster", "db contents local", 3, 3, do_cluster, OVS_RW },
    { "join-cluster", "db name local remote...", 4, INT_MAX, do_cluster,
      OVS_RW },
    { "check-cluster", "db...", 1, INT_MAX, do_cluster, OVS_RO },
    { "cluster-to-standalone", "db clusterdb", 2, 2, do_cluster, OVS_RW },
    { "help", NULL, 0, INT_MAX, do_help, OVS_RO },
    { "list-commands", NULL, 0, INT_MAX, do_list_commands, OVS_RO },
    { NULL, NULL, 0, 0, NULL, OVS_RO },
};

static void OVS_NO_RETURN
usage(void)
{
    printf("%s: utility for databases of Sluice and of Open vSwitch\n"
           "usage: %s [OPTIONS] COMMAND [ARG...]\n"
           "  create [DB [SCHEMA]]    create DB with the given SCHEMA\n"
           "  import LOG [DB]         make DB of an ovsdb-server's LOG\n"
           "  export DB LOG           make a LOG for ovsdb-server of DB\n"
           "  backup DB COPY          copy DB, which may be in use\n"
           "  check [DB]              check DB's integrity\n"
           "  history [DB]            show what changed when, and why\n"
           "  compact [DB [DST]]      compact DB in-place (or to DST)\n"
           "  convert [DB [SCHEMA [DST]]]   convert DB to SCHEMA (to DST)\n"
           "  needs-conversion [DB [SCHEMA]]  say whether DB isn't of "
           "SCHEMA\n"
           "  db-name [DB]            report name of schema used by DB\n"
           "  db-version [DB]         report version of schema used by DB\n"
           "  db-cksum [DB]           report checksum of schema used by DB\n"
           "  db-cid DB               report cluster ID of clustered DB\n"
           "  db-sid DB               report server ID of clustered DB\n"
           "  db-local-address DB     report local address of clustered DB\n"
           "  db-is-clustered DB      test whether DB is clustered\n"
           "  db-is-standalone DB     test whether DB is standalone\n"
           "  schema-name [SCHEMA]    report SCHEMA's name\n"
           "  schema-version [SCHEMA] report SCHEMA's schema version\n"
           "  schema-cksum [SCHEMA]   report SCHEMA's checksum\n"
           "  compare-versions A OP B compare OVSDB schema version numbers\n"
           "  query [DB] TRNS         execute read-only transaction on DB\n"
           "  transact [DB] TRNS      execute read/write transaction on DB\n"
           "  [-m]... show-log [DB]   print DB's log entries\n"
           "The default DB is %s.\n"
           "The default SCHEMA is %s.\n",
           program_name, program_name, default_db(), default_schema());
    vlog_usage();
    printf("\nOther options:\n"
           "  -m, --more                  increase show-log verbosity\n"
           "  --rbac-role=ROLE            RBAC role for transact and query "
           "commands\n"
           "  -h, --help                  display this help message\n"
           "  -V, --version               display version information\n");
    exit(EXIT_SUCCESS);
}

static void
do_help(struct ovs_cmdl_context *ctx OVS_UNUSED)
{
    usage();
}

static void
do_list_commands(struct ovs_cmdl_context *ctx OVS_UNUSED)
{
    ovs_cmdl_print_commands(commands);
}

static void
parse_options(int argc, char *argv[])
{
    enum { OPT_RBAC_ROLE = UCHAR_MAX + 1 };
    static const struct option long_options[] = {
        {"more", no_argument, NULL, 'm'},
        {"rbac-role", required_argument, NULL, OPT_RBAC_ROLE},
        {"verbose", optional_argument, NULL, 'v'},
        {"help", no_argument, NULL, 'h'},
        {"option", no_argument, NULL, 'o'},
        {"version", no_argument, NULL, 'V'},
        {NULL, 0, NULL, 0},
    };
    char *short_options = ovs_cmdl_long_options_to_short_options(long_options);

    for (;;) {
        switch (getopt_long(argc, argv, short_options, long_options, NULL)) {
        case -1:
            free(short_options);
            return;
        case 'm':
            verbosity++;
            break;
        case OPT_RBAC_ROLE:
            rbac_role = optarg;
            break;
        case 'v':
            vlog_set_verbosity(optarg);
            break;
        case 'h':
            usage();
        case 'o':
            ovs_cmdl_print_options(long_options);
            exit(EXIT_SUCCESS);
        case 'V':
            ovs_print_version(0, 0);
            exit(EXIT_SUCCESS);
        default:
            exit(EXIT_FAILURE);
        }
    }
}

/* Whether 'name' is one of the tool's commands rather than a database that
 * sluice-db is asked to serve. */
bool
tool_is_command(const char *name)
{
    for (const struct ovs_cmdl_command *c = commands; c->name; c++) {
        if (!strcmp(c->name, name)) {
            return true;
        }
    }
    return false;
}

int
tool_main(int argc, char *argv[])
{
    parse_options(argc, argv);
    fatal_ignore_sigpipe();
    fatal_signal_init();

    struct ovs_cmdl_context ctx = {
        .argc = argc - optind,
        .argv = argv + optind,
    };
    ovs_cmdl_run_command(&ctx, commands);
    return 0;
}
