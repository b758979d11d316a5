/* Printing what happened to a database: the records of an OVSDB log, and the
 * history that sluice-db keeps. */
#include <config.h>
#include "mgmt/db/tool.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mgmt/db/log-file.h"
#include "mgmt/db/sql.h"
#include "mgmt/db/store.h"
#include "smap.h"
#include "timeval.h"
#include "util.h"

/* Prints a time in ms since the epoch, or seconds, as old logs have it. */
static void
print_time(long long int t)
{
    char *s = xastrftime_msec(" %Y-%m-%d %H:%M:%S.###",
                              t < INT32_MAX ? t * 1000 : t, true);
    fputs(s, stdout);
    free(s);
}

static char *
json_text(const json_t *json)
{
    return json_dumps(json, JSON_COMPACT | JSON_SORT_KEYS | JSON_ENCODE_ANY
                            | JSON_REAL_PRECISION(15));
}

/* --- An OVSDB log. --- */

/* Prints the value of a column as ovs-vsctl would. */
static void
print_column(const struct table_schema *ts, const char *name,
             const json_t *json)
{
    const struct column *column = ts ? table_schema_column(ts, name) : NULL;
    struct error *error = NULL;
    struct datum *datum;

    printf("    %s=", name);
    if (column && !(error = datum_from_json(&datum, &column->type, json,
                                            NULL))) {
        struct ds ds = DS_EMPTY_INITIALIZER;
        datum_put_string(&ds, datum, &column->type);
        puts(ds_cstr(&ds));
        ds_destroy(&ds);
        datum_unref(datum);
    } else {
        char *text = json_text(json);
        puts(text);
        free(text);
    }
    error_destroy(error);
}

/* Prints one row of a record.  'names' maps from a row's UUID to what to call
 * it, and is kept up to date. */
static void
print_row(const struct table_schema *ts, const char *table, const char *uuid,
          const json_t *columns, bool diff, struct smap *names, bool details)
{
    const char *old_name = smap_get(names, uuid);
    const json_t *name = json_object_get(columns, "name");
    char *new_name = name ? json_text(name) : NULL;

    printf("  table %s", table);
    if (old_name) {
        printf(" row %s (%.8s)%s:\n", old_name, uuid, diff ? " diff" : "");
    } else if (new_name) {
        printf(" insert row %s (%.8s):\n", new_name, uuid);
    } else {
        printf(" insert row %.8s:\n", uuid);
    }

    if (json_is_null(columns)) {
        printf("    delete row\n");
        smap_remove(names, uuid);
    } else {
        const char *column;
        json_t *value;

        if (details) {
            json_object_foreach (CONST_CAST(json_t *, columns), column,
                                 value) {
                print_column(ts, column, value);
            }
        }
        if (new_name) {
            smap_replace(names, uuid, new_name);
        } else if (!old_name) {
            smap_add_nocopy(names, xstrdup(uuid), xmemdup0(uuid, 8));
        }
    }
    free(new_name);
}

static void
print_changes(const json_t *record, const struct schema *schema,
              struct smap *names, bool details)
{
    bool diff = json_is_true(json_object_get(record, "_is_diff"));
    const char *table, *uuid;
    json_t *rows, *columns;
    bool first = true;

    json_object_foreach (CONST_CAST(json_t *, record), table, rows) {
        const struct table_schema *ts = NULL;

        if (table[0] == '_' || !json_is_object(rows)) {
            continue;
        }
        if (first) {
            putchar('\n');
            first = false;
        }
        for (size_t i = 0; i < schema->n_tables; i++) {
            if (!strcmp(schema->tables[i]->name, table)) {
                ts = schema->tables[i];
            }
        }
        json_object_foreach (rows, uuid, columns) {
            print_row(ts, table, uuid, columns, diff, names, details);
        }
    }
}

static void
print_record(const json_t *record, const struct schema *schema,
             struct smap *names, int verbosity)
{
    const json_t *date = json_object_get(record, "_date");
    const json_t *comment = json_object_get(record, "_comment");

    if (json_is_integer(date)) {
        print_time(json_integer_value(date));
    }
    if (json_is_string(comment)) {
        printf(" \"%s\"", json_string_value(comment));
    }
    if (verbosity > 0) {
        print_changes(record, schema, names, verbosity > 1);
    }
}

static void
show_standalone(struct log_file *log, int verbosity)
{
    struct smap names = SMAP_INITIALIZER(&names);
    struct schema *schema = NULL;
    json_t *record;

    for (unsigned int i = 0; ; i++) {
        tool_check(log_file_read(log, &record));
        if (!record) {
            break;
        }
        printf("record %u:", i);
        if (!i) {
            tool_check(schema_from_json(&schema, record));
            printf(" \"%s\" schema, version=\"%s\", cksum=\"%s\"\n",
                   schema->name, schema->version, schema->cksum);
        } else {
            print_record(record, schema, &names, verbosity);
        }
        putchar('\n');
        json_decref(record);
    }
    schema_destroy(schema);
    smap_destroy(&names);
}

/* --- Our own history. --- */

/* What a row is called: its present name, or the one that it had. */
static void
print_row_name(const struct db *db, const char *table_name,
               const char *uuid_text, const json_t *insert)
{
    const struct table *table = db_table(db, table_name);
    const char *name = json_string_value(json_object_get(insert, "name"));
    struct uuid uuid;

    if (!name && table && uuid_from_string(&uuid, uuid_text)) {
        const struct row *row = table_row(table, &uuid);
        if (row && !row_read_string(row, "name", &name)) {
            name = NULL;
        }
    }
    printf("  %s %s%s(%.8s): ", table_name, name ? name : "", name ? " " : "",
           uuid_text);
}

/* Prints what a transaction did, from the record of how to undo it. */
static void
print_undo(const struct db *db, const json_t *undo)
{
    const char *table, *uuid, *column;
    json_t *rows, *row, *value;

    json_object_foreach (CONST_CAST(json_t *, undo), table, rows) {
        json_object_foreach (rows, uuid, row) {
            json_t *modify = json_object_get(row, "modify");
            json_t *insert = json_object_get(row, "insert");
            const char *delimiter = "";

            print_row_name(db, table, uuid, insert);
            if (!modify) {
                puts(insert ? "deleted" : "inserted");
                continue;
            }
            json_object_foreach (modify, column, value) {
                if (column[0] != '_') {
                    printf("%s%s", delimiter, column);
                    delimiter = ", ";
                }
            }
            putchar('\n');
        }
    }
}

/* Calls 'cb' for each transaction in the history of 'file_name'. */
static void
for_each_transaction(const char *file_name,
                     void (*cb)(unsigned int i, long long int time,
                                const char *comment, const char *undo,
                                void *aux), void *aux)
{
    sqlite3_stmt *stmt = NULL;
    sqlite3 *sql;

    if (sql_open(file_name, SQLITE_OPEN_READONLY, &sql)
        || sqlite3_prepare_v2(sql, "SELECT time, comment, undo FROM _history "
                              "ORDER BY seq", -1, &stmt, NULL)) {
        tool_check(sql_error(sql, file_name, "reading"));
    }
    for (unsigned int i = 1; sqlite3_step(stmt) == SQLITE_ROW; i++) {
        cb(i, sqlite3_column_int64(stmt, 0),
           (const char *) sqlite3_column_text(stmt, 1),
           (const char *) sqlite3_column_text(stmt, 2), aux);
    }
    if (sqlite3_finalize(stmt)) {
        tool_check(sql_error(sql, file_name, "reading"));
    }
    sqlite3_close(sql);
}

static void
print_transaction(unsigned int i OVS_UNUSED, long long int t,
                  const char *comment, const char *undo, void *db)
{
    print_time(t);
    printf(" %s\n", comment ? comment : "");
    if (undo) {
        json_t *json = json_loads(undo, 0, NULL);
        print_undo(db, json);
        json_decref(json);
    }
}

static void
print_transaction_as_record(unsigned int i, long long int t,
                            const char *comment, const char *undo, void *db)
{
    printf("record %u:", i);
    print_time(t);
    if (comment && comment[0]) {
        printf(" \"%s\"", comment);
    }
    putchar('\n');
    if (undo && db) {
        json_t *json = json_loads(undo, 0, NULL);
        print_undo(db, json);
        json_decref(json);
    }
}

/* Prints the transactions of a database that sluice-db keeps, with their
 * comments and the rows and columns that they changed. */
void
show_history(const char *file_name)
{
    char *name = tool_resolve(file_name);
    struct db *db;

    if (!store_is_sqlite(name)) {
        show_log(name, 1);
    } else {
        tool_check(store_read(name, &db));
        for_each_transaction(name, print_transaction, db);
        db_destroy(db);
    }
    free(name);
}

/* Prints the records of a log, as ovsdb-tool does, or the transactions of a
 * file of ours in the same form.  'verbosity' 1 adds which rows changed, 2 the
 * new values. */
void
show_log(const char *file_name, int verbosity)
{
    char *name = tool_resolve(file_name);

    if (store_is_sqlite(name)) {
        struct db *db;

        tool_check(store_read(name, &db));
        printf("record 0: \"%s\" schema, version=\"%s\", cksum=\"%s\"\n\n",
               db->schema->name, db->schema->version, db->schema->cksum);
        for_each_transaction(name, print_transaction_as_record,
                             verbosity ? db : NULL);
        db_destroy(db);
    } else {
        struct log_file *log;

        tool_check(log_file_open(name, LOG_FILE_READ_ONLY, &log));
        if (log_file_get_format(log) == LOG_FILE_CLUSTERED) {
            ovs_fatal(0, "%s: the log of a clustered database: use Open "
                      "vSwitch's ovsdb-tool", name);
        }
        show_standalone(log, verbosity);
        log_file_close(log);
    }
    free(name);
}
