/* Conversion of a database to another schema: each value is taken over as if
 * it had been sent, so that it must fit, and tables and columns that the new
 * schema lacks are left out. */
#include <config.h>
#include "mgmt/db/convert.h"

#include <string.h>

#include "util.h"

static struct error *
convert_row(const struct row *src, struct row *dst)
{
    const struct table_schema *ts = src->table->schema;
    struct error *error = NULL;
    size_t i;

    for (i = N_STD_COLUMNS; i < ts->n_columns && !error; i++) {
        const struct column *to = table_schema_column(dst->table->schema,
                                                      ts->columns[i]->name);
        if (to) {
            struct datum *datum;
            error = datum_convert(&datum, &to->type, src->fields[i],
                                  &ts->columns[i]->type);
            if (!error) {
                row_set(dst, to, datum);
            }
        }
    }
    return error;
}

static struct error *
convert_table(struct txn *txn, const struct table *from, struct table *to)
{
    const struct row *src;

    HMAP_FOR_EACH (src, node, &from->rows) {
        struct row *dst = row_create(to);
        struct error *error = convert_row(src, dst);

        if (error) {
            row_unref(dst);
            return error;
        }
        row_set_uuid(dst, row_uuid(src));
        txn_insert(txn, dst);
    }
    return NULL;
}

/* Makes a database in memory with the contents of 'db' and 'schema', which it
 * takes. */
struct error *
convert(const struct db *db, struct schema *schema, struct db **newp)
{
    struct db *new = db_create(schema);
    struct txn *txn = txn_create(new);
    struct error *error = NULL;
    size_t i;

    *newp = NULL;
    for (i = 0; i < db->schema->n_tables && !error; i++) {
        struct table *to = db_table(new, db->schema->tables[i]->name);
        if (to) {
            error = convert_table(txn, db->by_number[i], to);
        }
    }
    if (error) {
        txn_abort(txn);
    } else {
        error = txn_replay(txn);
    }
    if (error) {
        db_destroy(new);
    } else {
        *newp = new;
    }
    return error;
}

/* The same with a schema as JSON, which must have the database's name. */
struct error *
convert_from_json(const struct db *db, const json_t *json, struct db **newp)
{
    struct schema *schema;
    struct error *error = schema_from_json(&schema, json);

    *newp = NULL;
    if (!error && strcmp(schema->name, db->name)) {
        error = error_new("invalid parameters", "new schema name (%s) does "
                          "not match database name (%s)",
                          schema->name, db->name);
        schema_destroy(schema);
    }
    return error ? error : convert(db, schema, newp);
}
