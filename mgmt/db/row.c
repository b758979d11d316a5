/* Rows: see database.h. */
#include <config.h>
#include "mgmt/db/database.h"

#include <string.h>

#include "hash.h"
#include "util.h"

static struct row *
row_alloc(struct table *table)
{
    const struct table_schema *ts = table->schema;
    struct row *row = xmalloc(sizeof *row
                              + ts->n_columns * sizeof row->fields[0]
                              + ts->n_indexes * sizeof(struct hmap_node));
    row->table = table;
    row->txn_row = NULL;
    row->id = 0;
    row->count = 1;
    row->n_refs = 0;
    return row;
}

/* A row for 'table' with all defaults, to be inserted. */
struct row *
row_create(struct table *table)
{
    struct row *row = row_alloc(table);
    size_t i;

    for (i = 0; i < table->schema->n_columns; i++) {
        row->fields[i] = datum_default(&table->schema->columns[i]->type);
    }
    return row;
}

/* A copy of 'old'. */
struct row *
row_clone(const struct row *old)
{
    struct row *row = row_alloc(old->table);
    size_t i;

    row->id = old->id;
    row->n_refs = old->n_refs;
    for (i = 0; i < old->table->schema->n_columns; i++) {
        row->fields[i] = datum_ref(old->fields[i]);
    }
    return row;
}

void
row_unref(struct row *row)
{
    size_t i;

    if (row && !--row->count) {
        for (i = 0; i < row->table->schema->n_columns; i++) {
            datum_unref(row->fields[i]);
        }
        free(row);
    }
}

/* Returns the row of 'table' with the given UUID, NULL if there is none. */
struct row *
table_row(const struct table *table, const struct uuid *uuid)
{
    struct row *row;

    HMAP_FOR_EACH_WITH_HASH (row, node, uuid_hash(uuid), &table->rows) {
        if (uuid_equals(row_uuid(row), uuid)) {
            return row;
        }
    }
    return NULL;
}

static size_t
index_offset(const struct table *table, size_t i)
{
    return (offsetof(struct row, fields)
            + table->schema->n_columns * sizeof(struct datum *)
            + i * sizeof(struct hmap_node));
}

/* The node of 'row' in its table's index number 'i'. */
struct hmap_node *
row_index_node(struct row *row, size_t i)
{
    return (void *) ((char *) row + index_offset(row->table, i));
}

struct row *
row_from_index_node(struct hmap_node *node, struct table *table, size_t i)
{
    return (void *) ((char *) node - index_offset(table, i));
}

/* Sets 'column' to 'datum', whose reference is taken. */
void
row_set(struct row *row, const struct column *column, struct datum *datum)
{
    struct datum **field = &row->fields[column->index];
    struct datum *old = *field;

    *field = datum;
    datum_unref(old);
}

void
row_set_uuid(struct row *row, const struct uuid *uuid)
{
    union atom atom = { .uuid = *uuid };
    row_set(row, row->table->schema->columns[COL_UUID],
            datum_scalar(ATOM_UUID, &atom));
}

/* Sets the column of the given name to that member of 'object'. */
static struct error *
set_from_json(struct row *row, const json_t *object, const char *name,
              const json_t *value, struct shash *symbols,
              struct column_set *included)
{
    const struct table_schema *ts = row->table->schema;
    const struct column *column = table_schema_column(ts, name);
    struct datum *datum;
    struct error *error;

    if (!column) {
        return error_syntax(object, "unknown column",
                            "No column %s in table %s.", name, ts->name);
    }
    error = datum_from_json(&datum, &column->type, value, symbols);
    if (!error) {
        row_set(row, column, datum);
        if (included) {
            column_set_add(included, column);
        }
    }
    return error;
}

/* Returns the error that ovsdb-server would find first in 'json', in which
 * there is at least one. */
static struct error *
first_error(struct row *row, const json_t *json, struct shash *symbols)
{
    struct error *error = NULL;
    const char **names;
    size_t n, i;

    names = json_object_names(json, &n);
    for (i = 0; i < n && !error; i++) {
        error = set_from_json(row, json, names[i],
                              json_object_get(json, names[i]), symbols, NULL);
    }
    free(names);
    return error;
}

/* Sets the columns that 'json', an object, names; adds them to 'included' if
 * that is nonnull. */
struct error *
row_from_json(struct row *row, const json_t *json, struct shash *symbols,
              struct column_set *included)
{
    const char *name;
    json_t *value;

    if (!json_is_object(json)) {
        return error_syntax(json, NULL, "row must be JSON object");
    }
    json_object_foreach (CONST_CAST(json_t *, json), name, value) {
        struct error *error = set_from_json(row, json, name, value, symbols,
                                            included);
        if (error) {
            error_destroy(error);
            return first_error(row, json, symbols);
        }
    }
    return NULL;
}

/* Appends 'columns' of 'row' as a JSON object. */
void
row_put_json(struct ds *ds, const struct row *row,
             const struct column_set *columns)
{
    size_t i;

    ds_put_char(ds, '{');
    for (i = 0; i < columns->n; i++) {
        const struct column *column = columns->columns[i];
        ds_put_cstr(ds, i ? ",\"" : "\"");
        ds_put_cstr(ds, column->name);
        ds_put_cstr(ds, "\":");
        datum_put_json(ds, row->fields[column->index], &column->type);
    }
    ds_put_char(ds, '}');
}

bool
row_equal_columns(const struct row *a, const struct row *b,
                  const struct column_set *columns)
{
    size_t i;

    for (i = 0; i < columns->n; i++) {
        unsigned int index = columns->columns[i]->index;
        if (!datum_equals(a->fields[index], b->fields[index])) {
            return false;
        }
    }
    return true;
}

int
row_compare_columns(const struct row *a, const struct row *b,
                    const struct column_set *columns)
{
    size_t i;

    for (i = 0; i < columns->n; i++) {
        const struct column *column = columns->columns[i];
        int cmp = datum_compare(a->fields[column->index],
                                b->fields[column->index], &column->type);
        if (cmp) {
            return cmp;
        }
    }
    return 0;
}

uint32_t
row_hash_columns(const struct row *row, const struct column_set *columns)
{
    uint32_t hash = 0;
    size_t i;

    for (i = 0; i < columns->n; i++) {
        hash = datum_hash(row->fields[columns->columns[i]->index], hash);
    }
    return hash;
}

/* Appends 'columns' of 'row' as an English list. */
void
row_columns_to_string(const struct row *row, const struct column_set *columns,
                      struct ds *ds)
{
    size_t i;

    for (i = 0; i < columns->n; i++) {
        const struct column *column = columns->columns[i];
        ds_put_cstr(ds, english_list_delimiter(i, columns->n));
        datum_put_string(ds, row->fields[column->index], &column->type);
    }
}

/* --- Columns by name, whatever the schema. --- */

static const struct column *
find_column(const struct row *row, const char *name, enum atom_type key,
            enum atom_type value)
{
    const struct column *column = table_schema_column(row->table->schema,
                                                      name);
    return (column && column->type.key.type == key
            && column->type.value.type == value ? column : NULL);
}

const struct datum *
row_read(const struct row *row, const char *name, enum atom_type key,
         enum atom_type value)
{
    const struct column *column = find_column(row, name, key, value);
    return column ? row->fields[column->index] : NULL;
}

static bool
read_scalar(const struct row *row, const char *name, enum atom_type type,
            union atom *atom)
{
    const struct datum *datum = row_read(row, name, type, ATOM_VOID);

    if (datum_n(datum) != 1) {
        return false;
    }
    leaf_get_key(datum, 0, atom);
    return true;
}

/* The string lives as long as the row. */
bool
row_read_string(const struct row *row, const char *name, const char **s)
{
    union atom atom;
    bool ok = read_scalar(row, name, ATOM_STRING, &atom);
    *s = ok ? atom.string->s : NULL;
    return ok;
}

bool
row_read_integer(const struct row *row, const char *name, int64_t *integer)
{
    union atom atom;
    bool ok = read_scalar(row, name, ATOM_INTEGER, &atom);
    *integer = ok ? atom.integer : 0;
    return ok;
}

bool
row_read_bool(const struct row *row, const char *name, bool *b)
{
    union atom atom;
    bool ok = read_scalar(row, name, ATOM_BOOLEAN, &atom);
    *b = ok && atom.boolean;
    return ok;
}

/* The value of 'key' in a map of strings, NULL if there is none. */
const char *
row_read_map(const struct row *row, const char *name, const char *key)
{
    const struct datum *datum = row_read(row, name, ATOM_STRING, ATOM_STRING);
    union atom k, v;
    bool found;

    if (!datum) {
        return NULL;
    }
    k.string = string_intern(key);
    found = datum_find(datum, &k, &v);
    string_unref(k.string);
    return found ? v.string->s : NULL;
}

/* Sets column 'name', if it has the given types, to 'datum', whose reference
 * is taken. */
void
row_write(struct row *row, const char *name, struct datum *datum,
          enum atom_type key, enum atom_type value)
{
    const struct column *column = find_column(row, name, key, value);

    if (!column || !datum_conforms(datum, &column->type)) {
        datum_unref(datum);
    } else {
        row_set(row, column, datum);
    }
}
