/* Printing what happened to a database: the records of an OVSDB log, and the
 * history that sluice-db keeps. */
#include <config.h>
#include "mgmt/db/tool.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mgmt/db/history.h"
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

/* How to print it. */
enum style {
    HISTORY,                    /* Each column's old and new value. */
    RECORDS,                    /* As show-log: when, and the comments. */
    RECORDS_ROWS,               /* The same with the rows that changed. */
    RECORDS_VALUES              /* The same with their new values. */
};

static void
put_atom(struct ds *ds, const union atom *key, const union atom *value,
         const struct type *type)
{
    atom_put_string(ds, key, type->key.type);
    if (type_is_map(type)) {
        ds_put_char(ds, '=');
        atom_put_string(ds, value, type->value.type);
    }
}

/* Appends what went from a set or map and what came. */
static void
put_differences(struct ds *ds, const struct datum *old,
                const struct datum *new, const struct type *type)
{
    enum difference diff;
    struct differ d;

    differ_init(&d, old, new);
    while ((diff = differ_next(&d)) != DIFF_NONE) {
        ds_put_char(ds, ' ');
        if (diff == DIFF_CHANGED) {
            ds_put_char(ds, '-');
            put_atom(ds, &d.key, &d.old_value, type);
            ds_put_char(ds, ' ');
        }
        ds_put_char(ds, diff == DIFF_REMOVED ? '-' : '+');
        put_atom(ds, &d.key, &d.value, type);
    }
}

/* Appends how 'column' changed from 'old', NULL if 'new' is a new row. */
static void
put_column(struct ds *ds, const struct column *column, const struct row *old,
           const struct row *new, enum style style)
{
    const struct datum *value = new->fields[column->index];
    const struct type *type = &column->type;

    ds_put_format(ds, "    %s", column->name);
    if (style == HISTORY && old && type->n_max > 1) {
        ds_put_char(ds, ':');
        put_differences(ds, old->fields[column->index], value, type);
    } else if (style == HISTORY && old) {
        ds_put_cstr(ds, ": ");
        datum_put_string(ds, old->fields[column->index], type);
        ds_put_cstr(ds, " -> ");
        datum_put_string(ds, value, type);
    } else {
        ds_put_char(ds, '=');
        datum_put_string(ds, value, type);
    }
    ds_put_char(ds, '\n');
}

static void
put_columns(struct ds *ds, const struct row *old, const struct row *new,
            enum style style)
{
    const struct table_schema *ts = new->table->schema;

    for (size_t i = N_STD_COLUMNS; i < ts->n_columns; i++) {
        const struct column *column = ts->columns[i];

        if (!old ? !datum_is_default(new->fields[i], &column->type)
            : !datum_equals(old->fields[i], new->fields[i])) {
            put_column(ds, column, old, new, style);
        }
    }
}

/* Appends what became of a row. */
static void
put_row(struct ds *ds, const struct row *old, const struct row *new,
        enum style style)
{
    const struct row *any = new ? new : old;
    const char *table = any->table->schema->name;
    const char *name;

    if (!row_read_string(any, "name", &name) || !name[0]) {
        name = NULL;
    }
    if (style == HISTORY) {
        ds_put_format(ds, "  %s %s%s(%08x):%s\n", table, name ? name : "",
                      name ? " " : "", row_uuid(any)->parts[0],
                      !old ? " inserted" : !new ? " deleted" : "");
    } else {
        ds_put_format(ds, "  table %s%s row ", table, old ? "" : " insert");
        if (name) {
            ds_put_format(ds, "\"%s\" (%08x):\n", name,
                          row_uuid(any)->parts[0]);
        } else {
            ds_put_format(ds, "%08x:\n", row_uuid(any)->parts[0]);
        }
        if (!new) {
            ds_put_cstr(ds, "    delete row\n");
        }
    }
    if (new && style != RECORDS_ROWS) {
        put_columns(ds, old, new, style);
    }
}

/* A row that a transaction changed. */
struct changed_row {
    struct table *table;
    struct uuid uuid;
    struct row *new;            /* As the transaction left it, or NULL. */
};

/* Finds the rows that 'undo' is about, as they are in 'past'. */
static struct changed_row *
find_changed_rows(struct db *db, struct past *past, const json_t *undo,
                  size_t *np)
{
    struct changed_row *changed = NULL;
    const char *table_name, *uuid_text;
    size_t n = 0, allocated = 0;
    json_t *rows, *row;

    json_object_foreach (CONST_CAST(json_t *, undo), table_name, rows) {
        struct table *table = db_table(db, table_name);

        json_object_foreach (rows, uuid_text, row) {
            struct changed_row c = { .table = table };

            if (table && uuid_from_string(&c.uuid, uuid_text)) {
                const struct row *new = past_row(past, table, &c.uuid);

                c.new = new ? row_clone(new) : NULL;
                if (n >= allocated) {
                    changed = x2nrealloc(changed, &allocated, sizeof *changed);
                }
                changed[n++] = c;
            }
        }
    }
    *np = n;
    return changed;
}

/* Appends what the last transaction before 'past' did, whose undo record is
 * 'text', and goes back before it.  Returns false if that isn't possible. */
static bool
put_transaction(struct ds *ds, struct db *db, struct past *past,
                const char *text, enum style style)
{
    json_t *undo = text ? json_loads(text, 0, NULL) : NULL;
    struct changed_row *changed;
    bool ok;
    size_t n;

    changed = find_changed_rows(db, past, undo, &n);
    ok = past_undo(past, undo);
    for (size_t i = 0; i < n; i++) {
        struct changed_row *c = &changed[i];
        const struct row *old = past_row(past, c->table, &c->uuid);

        if (ok && (old || c->new)) {
            put_row(ds, old, c->new, style);
        }
        row_unref(c->new);
    }
    free(changed);
    json_decref(undo);
    return ok;
}

static void
put_time_and_comment(struct ds *ds, long long int t, const char *comment,
                     enum style style)
{
    bool has_comment = comment && comment[0];
    char *s = xastrftime_msec("%Y-%m-%d %H:%M:%S.###", t, true);

    if (style == HISTORY) {
        ds_put_format(ds, has_comment ? "%s %s" : "%s", s, comment);
    } else {
        ds_put_format(ds, has_comment ? " %s \"%s\"" : " %s", s, comment);
    }
    free(s);
    ds_put_char(ds, '\n');
}

/* Prints the transactions in the history of 'file_name', whose contents are in
 * 'db'.  What each did follows from what the later ones have left, so this
 * goes backward; printed is from the first on. */
static void
print_history(const char *file_name, struct db *db, enum style style)
{
    struct past *past = past_create(db);
    size_t n = 0, allocated = 0;
    sqlite3_stmt *stmt = NULL;
    char **texts = NULL;
    bool details = style != RECORDS;
    sqlite3 *sql;

    if (sql_open(file_name, SQLITE_OPEN_READONLY, &sql)
        || sqlite3_prepare_v2(sql, "SELECT time, comment, undo FROM _history "
                              "ORDER BY seq DESC", -1, &stmt, NULL)) {
        tool_check(sql_error(sql, file_name, "reading"));
    }
    while (sqlite3_step(stmt) == SQLITE_ROW) {
        struct ds ds = DS_EMPTY_INITIALIZER;

        put_time_and_comment(&ds, sqlite3_column_int64(stmt, 0),
                             (const char *) sqlite3_column_text(stmt, 1),
                             style);
        details = details && put_transaction(
            &ds, db, past, (const char *) sqlite3_column_text(stmt, 2), style);
        if (details && style != HISTORY) {
            ds_put_char(&ds, '\n');
        }
        if (n >= allocated) {
            texts = x2nrealloc(texts, &allocated, sizeof *texts);
        }
        texts[n++] = ds_steal_cstr(&ds);
    }
    if (sqlite3_finalize(stmt)) {
        tool_check(sql_error(sql, file_name, "reading"));
    }
    sqlite3_close(sql);
    past_destroy(past);

    for (size_t i = n; i-- > 0; ) {
        if (style != HISTORY) {
            printf("record %"PRIuSIZE":", n - i);
        }
        fputs(texts[i], stdout);
        free(texts[i]);
    }
    free(texts);
}

/* Prints the transactions of a database that sluice-db keeps, with their
 * comments, and for each row that they changed the columns' old and new
 * values. */
void
show_history(const char *file_name)
{
    char *name = tool_resolve(file_name);
    struct db *db;

    if (!store_is_sqlite(name)) {
        show_log(name, 2);
    } else {
        tool_check(store_read(name, &db));
        print_history(name, db, HISTORY);
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
        print_history(name, db, (verbosity <= 0 ? RECORDS
                                 : verbosity == 1 ? RECORDS_ROWS
                                 : RECORDS_VALUES));
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
