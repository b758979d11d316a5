/* OVSDB logs and databases in memory: loading all that a log says, saving all
 * that a database holds as a log of one transaction. */
#include <config.h>
#include "mgmt/db/log-file.h"

#include <string.h>

#include "timeval.h"
#include "util.h"
#include "uuid.h"

/* A transaction record that is being applied. */
struct replay {
    struct txn *txn;
    bool diff;                  /* Columns hold differences. */
    bool converting;            /* Pass over what the schema doesn't have. */
};

static struct error *
replay_column(const struct replay *replay, struct row *row, bool is_new,
              const char *name, const json_t *json)
{
    const struct table_schema *ts = row->table->schema;
    const struct column *column = table_schema_column(ts, name);
    if (!column) {
        return (replay->converting ? NULL
                : error_syntax(json, "unknown column",
                               "No column %s in table %s.", name, ts->name));
    }

    struct datum *datum;
    struct error *error = datum_from_json(&datum, &column->type, json, NULL);
    if (error) {
        return error;
    }

    /* A difference to the default is written as the new value itself. */
    const struct datum *old = row->fields[column->index];
    if (replay->diff && !is_new && column->type.n_max > 1
        && !datum_is_default(old, &column->type)) {
        struct datum *new = datum_apply(old, datum, &column->type);
        datum_unref(datum);
        datum = new;
        if (!datum_conforms(datum, &column->type)) {
            datum_unref(datum);
            return error_new(NULL, "table %s, row "UUID_FMT", column %s: the "
                             "record's difference leaves a wrong number of "
                             "elements", ts->name, UUID_ARGS(row_uuid(row)),
                             name);
        }
    }
    row_set(row, column, datum);
    return NULL;
}

static struct error *
replay_columns(const struct replay *replay, struct row *row, bool is_new,
               const json_t *json)
{
    const char *name;
    json_t *value;

    if (!json_is_object(json)) {
        return error_syntax(json, NULL, "row must be JSON object");
    }
    json_object_foreach (CONST_CAST(json_t *, json), name, value) {
        struct error *error = replay_column(replay, row, is_new, name, value);
        if (error) {
            return error;
        }
    }
    return NULL;
}

static struct error *
replay_row(const struct replay *replay, struct table *table,
           const struct uuid *uuid, const json_t *json)
{
    struct row *row = table_row(table, uuid);

    if (json_is_null(json)) {
        if (!row) {
            return error_syntax(NULL, NULL, "transaction deletes row "UUID_FMT
                                " that does not exist", UUID_ARGS(uuid));
        }
        txn_delete(replay->txn, row);
        return NULL;
    } else if (row) {
        return replay_columns(replay, txn_modify(replay->txn, row), false,
                              json);
    }

    row = row_create(table);
    row_set_uuid(row, uuid);
    struct error *error = replay_columns(replay, row, true, json);
    if (error) {
        row_unref(row);
    } else {
        txn_insert(replay->txn, row);
    }
    return error;
}

static struct error *
replay_table(const struct replay *replay, struct table *table,
             const json_t *json)
{
    const char *name;
    json_t *row;

    if (!json_is_object(json)) {
        return error_syntax(json, NULL, "object expected");
    }
    json_object_foreach (CONST_CAST(json_t *, json), name, row) {
        struct uuid uuid;
        if (!uuid_from_string(&uuid, name)) {
            return error_syntax(json, NULL, "\"%s\" is not a valid UUID",
                                name);
        }
        struct error *error = replay_row(replay, table, &uuid, row);
        if (error) {
            return error;
        }
    }
    return NULL;
}

static struct error *
replay_tables(const struct replay *replay, const json_t *record)
{
    const char *name;
    json_t *value;

    json_object_foreach (CONST_CAST(json_t *, record), name, value) {
        struct table *table = db_table(replay->txn->db, name);
        struct error *error = NULL;

        if (table) {
            error = replay_table(replay, table, value);
        } else if (!replay->converting
                   && !(!strcmp(name, "_date") && json_is_integer(value))
                   && !(!strcmp(name, "_is_diff") && json_is_boolean(value))
                   && strcmp(name, "_comment")) {
            error = error_syntax(record, "unknown table",
                                 "No table named %s.", name);
        }
        if (error) {
            return error;
        }
    }
    return NULL;
}

/* Applies transaction 'record' to 'db': all of it or, with an error,
 * nothing. */
static struct error *
replay_record(struct db *db, const json_t *record, bool converting)
{
    struct replay replay = {
        .txn = txn_create(db),
        .diff = json_is_true(json_object_get(record, "_is_diff")),
        .converting = converting,
    };
    struct error *error = replay_tables(&replay, record);
    if (error) {
        txn_abort(replay.txn);
        return error;
    }
    return txn_replay(replay.txn);
}

/* Reads the schema, which is a log's first record. */
static struct error *
read_schema(struct log_file *file, struct schema **schema)
{
    json_t *json;
    struct error *error = log_file_read(file, &json);
    if (error) {
        return error;
    } else if (!json) {
        return error_new(NULL, "%s: cannot identify file type",
                         log_file_name(file));
    }
    error = schema_from_json(schema, json);
    json_decref(json);
    return error;
}

/* Loads the database that is in 'file', which was just opened, into '*dbp'.
 * With a 'schema' (taken), that one is used in place of the file's and what it
 * doesn't have is left out.
 *
 * A log that is damaged, most likely by a crash of who wrote it, or has a
 * record that makes no sense, is loaded up to there, and '*tail' says what
 * about the rest; a write to 'file' then cuts it off.  The caller frees both
 * '*dbp' and '*tail'. */
struct error *
log_load(struct log_file *file, struct schema *schema, struct db **dbp,
         struct error **tail)
{
    struct schema *own;
    bool converting = schema != NULL;

    *dbp = NULL;
    *tail = NULL;
    struct error *error = read_schema(file, &own);
    if (error) {
        schema_destroy(schema);
        return error;
    }
    if (converting) {
        schema_destroy(own);
    } else {
        schema = own;
    }

    *dbp = db_create(schema);
    for (;;) {
        json_t *record;

        *tail = log_file_read(file, &record);
        if (*tail || !record) {
            return NULL;
        }
        *tail = replay_record(*dbp, record, converting);
        json_decref(record);
        if (*tail) {
            log_file_unread(file);
            return NULL;
        }
    }
}

static void
put_row(struct ds *ds, const struct row *row)
{
    const struct table_schema *ts = row->table->schema;
    bool first = true;

    ds_put_format(ds, "\""UUID_FMT"\":{", UUID_ARGS(row_uuid(row)));
    for (size_t i = N_STD_COLUMNS; i < ts->n_columns; i++) {
        const struct column *column = ts->columns[i];
        const struct datum *datum = row->fields[i];

        if (column->persistent && !datum_is_default(datum, &column->type)) {
            ds_put_format(ds, "%s\"%s\":", first ? "" : ",", column->name);
            datum_put_json(ds, datum, &column->type);
            first = false;
        }
    }
    ds_put_char(ds, '}');
}

/* Appends the beginning of a transaction's record. */
static void
put_header(struct ds *ds, const char *comment)
{
    ds_put_format(ds, "{\"_date\":%lld", time_wall_msec());
    if (comment) {
        ds_put_cstr(ds, ",\"_comment\":");
        json_put_string(ds, comment);
    }
}

/* Writes all of 'db' to 'file', a new one, as its schema and a transaction
 * with 'comment' (may be NULL), and waits until it is on the disk. */
struct error *
log_save(struct log_file *file, const struct db *db, const char *comment)
{
    struct ds ds = DS_EMPTY_INITIALIZER;

    schema_put_json(&ds, db->schema);
    struct error *error = log_file_write(file, ds_cstr(&ds));

    ds_clear(&ds);
    put_header(&ds, comment);
    for (size_t i = 0; i < db->schema->n_tables; i++) {
        const struct table *table = db->by_number[i];
        const struct row *row;
        bool first = true;

        HMAP_FOR_EACH (row, node, &table->rows) {
            if (first) {
                ds_put_format(&ds, ",\"%s\":{", table->schema->name);
            } else {
                ds_put_char(&ds, ',');
            }
            put_row(&ds, row);
            first = false;
        }
        if (!first) {
            ds_put_char(&ds, '}');
        }
    }
    ds_put_char(&ds, '}');
    if (!error) {
        error = log_file_write(file, ds_cstr(&ds));
    }
    if (!error) {
        error = log_file_commit(file);
    }
    ds_destroy(&ds);
    return error;
}

/* Appends to 'ds' what makes of row 'old' (NULL: none) the row 'new'; nothing
 * and false if that is nothing. */
static bool
put_changes(struct ds *ds, const struct row *old, const struct row *new)
{
    const struct table_schema *ts = new->table->schema;
    bool first = true;

    if (!old) {
        put_row(ds, new);
        return true;
    }
    for (size_t i = N_STD_COLUMNS; i < ts->n_columns; i++) {
        const struct column *column = ts->columns[i];

        if (column->persistent
            && !datum_equals(old->fields[i], new->fields[i])) {
            if (first) {
                ds_put_format(ds, "\""UUID_FMT"\":{",
                              UUID_ARGS(row_uuid(new)));
            }
            ds_put_format(ds, "%s\"%s\":", first ? "" : ",", column->name);
            datum_put_json(ds, new->fields[i], &column->type);
            first = false;
        }
    }
    if (!first) {
        ds_put_char(ds, '}');
    }
    return !first;
}

/* Appends to 'ds' what makes of table 'old' table 'new' of the same schema. */
static void
put_table_changes(struct ds *ds, const struct table *old,
                  const struct table *new)
{
    size_t start = ds->length;
    const struct row *row;
    bool any = false;

    ds_put_format(ds, ",\"%s\":{", new->schema->name);
    HMAP_FOR_EACH (row, node, &new->rows) {
        size_t before = ds->length;
        if (any) {
            ds_put_char(ds, ',');
        }
        if (put_changes(ds, table_row(old, row_uuid(row)), row)) {
            any = true;
        } else {
            ds_truncate(ds, before);
        }
    }
    HMAP_FOR_EACH (row, node, &old->rows) {
        if (!table_row(new, row_uuid(row))) {
            ds_put_format(ds, "%s\""UUID_FMT"\":null", any ? "," : "",
                          UUID_ARGS(row_uuid(row)));
            any = true;
        }
    }
    if (any) {
        ds_put_char(ds, '}');
    } else {
        ds_truncate(ds, start);
    }
}

/* Appends to 'file', from which 'old' has been loaded, the transaction that
 * makes of it 'new', a database with the same schema, unless they are equal,
 * and waits until it is on the disk. */
struct error *
log_save_changes(struct log_file *file, const struct db *old,
                 const struct db *new, const char *comment)
{
    struct ds ds = DS_EMPTY_INITIALIZER;
    struct error *error = NULL;

    put_header(&ds, comment);
    size_t empty = ds.length;
    for (size_t i = 0; i < new->schema->n_tables; i++) {
        put_table_changes(&ds, old->by_number[i], new->by_number[i]);
    }
    if (ds.length > empty) {
        ds_put_char(&ds, '}');
        error = log_file_write(file, ds_cstr(&ds));
        if (!error) {
            error = log_file_commit(file);
        }
    }
    ds_destroy(&ds);
    return error;
}
