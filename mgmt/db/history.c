/* The history: see history.h.
 *
 * The undo record of a transaction is a JSON object:
 *
 *     {TABLE: {UUID: {"delete": null}            it was inserted
 *                  | {"insert": {COLUMN: VALUE}} it was deleted
 *                  | {"modify": {COLUMN: DIFFERENCE}}}}
 *
 * as update notifications have it, for a client that goes back in time. */
#include <config.h>
#include "mgmt/db/history.h"

#include <string.h>

#include "bitmap.h"
#include "mgmt/db/sql.h"
#include "mgmt/db/store.h"
#include "openvswitch/vlog.h"
#include "util.h"

VLOG_DEFINE_THIS_MODULE(history);

static void
put_column(struct ds *ds, const char **delimiter, const struct column *column,
           const struct datum *datum)
{
    ds_put_cstr(ds, *delimiter);
    ds_put_char(ds, '"');
    ds_put_cstr(ds, column->name);
    ds_put_cstr(ds, "\":");
    *delimiter = ",";
    datum_put_json(ds, datum, &column->type);
}

static void
undo_put_row(struct ds *ds, const struct txn_row *r)
{
    const struct table_schema *ts = r->table->schema;
    const char *delimiter = "";
    size_t i;

    if (!r->old) {
        ds_put_cstr(ds, "{\"delete\":null}");
        return;
    }
    ds_put_cstr(ds, r->new ? "{\"modify\":{" : "{\"insert\":{");
    for (i = COL_VERSION; i < ts->n_columns; i++) {
        const struct column *column = ts->columns[i];

        if (!r->new) {
            if (!datum_is_default(r->old->fields[i], &column->type)) {
                put_column(ds, &delimiter, column, r->old->fields[i]);
            }
        } else if (bitmap_is_set(r->changed, i)) {
            struct datum *diff = datum_diff(r->new->fields[i],
                                            r->old->fields[i], &column->type);
            put_column(ds, &delimiter, column, diff);
            datum_unref(diff);
        }
    }
    ds_put_cstr(ds, "}}");
}

/* Appends the undo record of 'txn'. */
void
undo_put(struct ds *ds, const struct txn *txn)
{
    const char *table_delimiter = "", *row_delimiter;
    size_t n = txn->db->schema->n_tables;
    unsigned long *tables = bitmap_allocate(n);
    size_t i, j;

    for (i = 0; i < txn->n; i++) {
        if (txn_row_is_effective(txn->rows[i])) {
            bitmap_set1(tables, txn->rows[i]->table->number);
        }
    }
    ds_put_char(ds, '{');
    BITMAP_FOR_EACH_1 (j, n, tables) {
        ds_put_format(ds, "%s\"%s\":{", table_delimiter,
                      txn->db->schema->tables[j]->name);
        table_delimiter = ",";
        row_delimiter = "";
        for (i = 0; i < txn->n; i++) {
            const struct txn_row *r = txn->rows[i];
            if (r->table->number == j && txn_row_is_effective(r)) {
                ds_put_cstr(ds, row_delimiter);
                ds_put_char(ds, '"');
                uuid_put(ds, &r->uuid);
                ds_put_cstr(ds, "\":");
                row_delimiter = ",";
                undo_put_row(ds, r);
            }
        }
        ds_put_char(ds, '}');
    }
    ds_put_char(ds, '}');
    bitmap_free(tables);
}

/* --- Going back. --- */

/* A row on the way back. */
struct past_row {
    struct hmap_node node;      /* In past->rows. */
    struct table *table;
    struct uuid uuid;
    struct row *row;            /* As it was, or NULL. */
};

struct past {
    struct db *db;
    struct hmap rows;           /* Those that are not as they are now. */
};

/* Begins to go back from what 'db' has now, which must stay meanwhile. */
struct past *
past_create(struct db *db)
{
    struct past *past = xmalloc(sizeof *past);

    past->db = db;
    hmap_init(&past->rows);
    return past;
}

void
past_destroy(struct past *past)
{
    struct past_row *p;

    HMAP_FOR_EACH_POP (p, node, &past->rows) {
        row_unref(p->row);
        free(p);
    }
    hmap_destroy(&past->rows);
    free(past);
}

static struct past_row *
get_past_row(struct past *past, struct table *table, const struct uuid *uuid)
{
    struct past_row *p;
    struct row *now;

    HMAP_FOR_EACH_WITH_HASH (p, node, uuid_hash(uuid), &past->rows) {
        if (p->table == table && uuid_equals(&p->uuid, uuid)) {
            return p;
        }
    }
    now = table_row(table, uuid);
    p = xmalloc(sizeof *p);
    p->table = table;
    p->uuid = *uuid;
    p->row = now ? row_clone(now) : NULL;
    hmap_insert(&past->rows, &p->node, uuid_hash(uuid));
    return p;
}

/* The row as it was then, NULL if there was none. */
const struct row *
past_row(struct past *past, struct table *table, const struct uuid *uuid)
{
    return get_past_row(past, table, uuid)->row;
}

static bool
undo_columns(struct row *row, const json_t *columns, bool diff)
{
    const char *name;
    json_t *value;

    json_object_foreach (CONST_CAST(json_t *, columns), name, value) {
        const struct column *column = table_schema_column(row->table->schema,
                                                          name);
        struct datum *datum;
        struct error *error;
        struct type type;

        if (!column) {
            return false;
        }
        type = column->type;
        if (diff && type.n_max != 1) {
            type.n_min = 0;
            type.n_max = UINT32_MAX;
        }
        error = datum_from_json(&datum, &type, value, NULL);
        if (error) {
            error_destroy(error);
            return false;
        }
        if (diff) {
            struct datum *d = datum_apply(row->fields[column->index], datum,
                                          &column->type);
            datum_unref(datum);
            datum = d;
        }
        row_set(row, column, datum);
    }
    return true;
}

static bool
undo_row(struct past_row *p, const json_t *undo)
{
    const json_t *insert = json_object_get(undo, "insert");
    const json_t *modify = json_object_get(undo, "modify");

    if (insert) {
        if (p->row) {
            return false;
        }
        p->row = row_create(p->table);
        row_set_uuid(p->row, &p->uuid);
        return undo_columns(p->row, insert, false);
    } else if (modify) {
        return p->row && undo_columns(p->row, modify, true);
    }
    row_unref(p->row);
    p->row = NULL;
    return true;
}

/* Goes back by one more transaction, whose undo record is 'json'.  Returns
 * false if that doesn't fit. */
bool
past_undo(struct past *past, const json_t *json)
{
    const char *table_name, *uuid_string;
    json_t *rows, *change;
    bool ok = json != NULL;

    json_object_foreach (CONST_CAST(json_t *, json), table_name, rows) {
        struct table *table = db_table(past->db, table_name);
        struct uuid uuid;

        if (!table) {
            ok = false;
            break;
        }
        json_object_foreach (rows, uuid_string, change) {
            ok = (ok && uuid_from_string(&uuid, uuid_string)
                  && undo_row(get_past_row(past, table, &uuid), change));
        }
    }
    return ok;
}

static bool
undo_text(struct past *past, const char *text, size_t n)
{
    char *error;
    json_t *json = json_parse(text, n, &error);
    bool ok = past_undo(past, json);

    free(error);
    json_decref(json);
    return ok;
}

/* Goes back in 'past' to just after the transaction 'txnid'.  Returns whether
 * the history has that. */
static bool
go_back(struct past *past, const struct uuid *txnid)
{
    sqlite3 *reader = store_reader(past->db->store);
    struct uuid uuid;
    sqlite3_stmt *stmt;
    bool found = false;

    if (!reader
        || sqlite3_prepare_v2(reader, "SELECT txnid, undo FROM _history "
                              "ORDER BY seq DESC", -1, &stmt, NULL)) {
        return false;
    }
    while (sqlite3_step(stmt) == SQLITE_ROW) {
        const char *id = (const char *) sqlite3_column_text(stmt, 0);

        found = (id && uuid_from_string(&uuid, id)
                 && uuid_equals(&uuid, txnid));
        if (found
            || !undo_text(past, (const char *) sqlite3_column_text(stmt, 1),
                          sqlite3_column_bytes(stmt, 1))) {
            break;
        }
    }
    sqlite3_finalize(stmt);
    return found;
}

/* Adds to 'changes' what has changed since the transaction 'txnid'.  Returns
 * false, and adds nothing, if that is not in the history. */
bool
history_since(struct db *db, const struct uuid *txnid,
              struct change_set *changes)
{
    struct past_row *p;
    struct past *past;
    bool found;

    if (!db->store || !store_history_limit()) {
        return false;
    }
    error_destroy(store_drain(db->store));
    past = past_create(db);
    found = go_back(past, txnid);
    HMAP_FOR_EACH (p, node, &past->rows) {
        struct row *now = table_row(p->table, &p->uuid);
        if (found && (p->row || now)) {
            changes_add(changes, p->row, now);
        }
    }
    past_destroy(past);
    return found;
}
