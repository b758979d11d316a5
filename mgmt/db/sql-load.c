/* Reading a database from its SQL tables: see store.h for the layout.
 *
 * The tables hold what a commit has checked, so rows go straight into memory.
 * What can't be so, because someone wrote into the file or it is damaged, is
 * an error that names the place. */
#include <config.h>
#include "mgmt/db/sql.h"

#include <limits.h>
#include <math.h>
#include <string.h>

#include "util.h"

/* --- Values. --- */

/* An atom from the text that an object's key has. */
static bool
atom_from_key(union atom *atom, enum atom_type type, const char *s)
{
    memset(atom, 0, sizeof *atom);
    switch (type) {
    case ATOM_INTEGER: {
        long long int integer;
        bool ok = str_to_llong(s, 10, &integer);
        atom->integer = integer;
        return ok;
    }
    case ATOM_REAL:
        return str_to_double(s, &atom->real);
    case ATOM_BOOLEAN:
        atom->boolean = !strcmp(s, "true");
        return atom->boolean || !strcmp(s, "false");
    case ATOM_STRING:
        atom->string = string_intern(s);
        return true;
    case ATOM_UUID:
        return uuid_from_string(&atom->uuid, s);
    case ATOM_VOID: case N_ATOM_TYPES: default:
        OVS_NOT_REACHED();
    }
}

/* An atom from an element of an array or the value of a member. */
static bool
atom_from_element(union atom *atom, enum atom_type type, const json_t *json)
{
    memset(atom, 0, sizeof *atom);
    switch (type) {
    case ATOM_INTEGER:
        return json_is_exact_integer(json, &atom->integer);
    case ATOM_REAL:
        atom->real = json_number_value(json);
        return json_is_number(json);
    case ATOM_BOOLEAN:
        atom->boolean = json_is_true(json);
        return json_is_boolean(json);
    case ATOM_STRING:
    case ATOM_UUID:
        return (json_is_string(json)
                && atom_from_key(atom, type, json_string_value(json)));
    case ATOM_VOID: case N_ATOM_TYPES: default:
        OVS_NOT_REACHED();
    }
}

static bool
parse_set(struct builder *b, const json_t *json)
{
    union atom atom;
    size_t i;

    if (!json_is_array(json)) {
        return false;
    }
    for (i = 0; i < json_array_size(json); i++) {
        if (!atom_from_element(&atom, b->key_type, json_array_get(json, i))) {
            return false;
        }
        builder_add(b, &atom, NULL);
    }
    return true;
}

static bool
parse_map(struct builder *b, const json_t *json)
{
    union atom key, value;
    const char *name;
    json_t *member;

    if (!json_is_object(json)) {
        return false;
    }
    json_object_foreach (CONST_CAST(json_t *, json), name, member) {
        if (!atom_from_key(&key, b->key_type, name)) {
            return false;
        }
        if (!atom_from_element(&value, b->value_type, member)) {
            atom_unref(&key, b->key_type);
            return false;
        }
        builder_add(b, &key, &value);
    }
    return true;
}

static bool
load_composite(struct datum **datum, const struct type *type, const char *text,
               size_t n)
{
    struct builder b;
    json_t *json;
    char *error;
    bool ok;

    builder_init(&b, type->key.type, type->value.type);
    json = json_parse(text, n, &error);
    free(error);
    ok = ((type_is_map(type) ? parse_map(&b, json) : parse_set(&b, json))
          && builder_sort(&b) && b.n >= type->n_min && b.n <= type->n_max);
    json_decref(json);
    if (ok) {
        *datum = builder_finish(&b);
    } else {
        builder_destroy(&b);
    }
    return ok;
}

/* Whether a value of 'sql_type' can be an atom of 'type'. */
static bool
sql_type_fits(int sql_type, enum atom_type type)
{
    switch (type) {
    case ATOM_INTEGER: case ATOM_BOOLEAN: return sql_type == SQLITE_INTEGER;
    case ATOM_REAL: return sql_type == SQLITE_FLOAT;
    case ATOM_STRING: case ATOM_UUID: return sql_type == SQLITE_TEXT;
    case ATOM_VOID: case N_ATOM_TYPES: default: OVS_NOT_REACHED();
    }
}

/* The datum of 'type' in column 'i' of the current row.  Returns false if that
 * isn't one. */
static bool
load_value(struct datum **datum, const struct type *type, sqlite3_stmt *stmt,
           int i)
{
    int sql_type = sqlite3_column_type(stmt, i);
    const char *text = NULL;
    union atom atom;

    *datum = NULL;
    if (sql_type == SQLITE_TEXT) {
        text = (const char *) sqlite3_column_text(stmt, i);
    }
    if (type->n_max != 1 || type_is_map(type)) {
        return text && load_composite(datum, type, text,
                                      sqlite3_column_bytes(stmt, i));
    }

    if (!sql_type_fits(sql_type, type->key.type)) {
        return false;
    }
    memset(&atom, 0, sizeof atom);
    switch (type->key.type) {
    case ATOM_INTEGER:
        atom.integer = sqlite3_column_int64(stmt, i);
        break;
    case ATOM_BOOLEAN:
        atom.boolean = sqlite3_column_int64(stmt, i) != 0;
        break;
    case ATOM_REAL:
        atom.real = sqlite3_column_double(stmt, i);
        if (!isfinite(atom.real)) {
            return false;
        }
        break;
    case ATOM_STRING:
        atom.string = string_intern(text);
        break;
    case ATOM_UUID:
        if (!uuid_from_string(&atom.uuid, text)) {
            return false;
        }
        break;
    case ATOM_VOID: case N_ATOM_TYPES: default:
        OVS_NOT_REACHED();
    }
    if (type_is_scalar(type) && atom_is_default(&atom, type->key.type)) {
        atom_unref(&atom, type->key.type);
        *datum = datum_default(type);
    } else {
        *datum = datum_scalar(type->key.type, &atom);
    }
    return true;
}

/* --- Rows. --- */

static struct error *
bad_value(const char *file_name, const struct table *table,
          const char *column, int64_t id)
{
    return error_new("ovsdb error", "%s: table %s, row %"PRId64", column %s: "
                     "not a valid value (the file is damaged: restore a "
                     "backup)", file_name, table->schema->name, id, column);
}

/* Adds 'row' to its table, whatever it refers to. */
static void
add_row(struct table *table, struct row *row)
{
    const struct table_schema *ts = table->schema;
    size_t i;

    hmap_insert(&table->rows, &row->node, uuid_hash(row_uuid(row)));
    for (i = 0; i < ts->n_indexes; i++) {
        hmap_insert(&table->indexes[i], row_index_node(row, i),
                    row_hash_columns(row, &ts->indexes[i]));
    }
    table->last_id = MAX(table->last_id, row->id);
}

/* Most rows for which there is room from the start. */
#define MAX_RESERVED 1000000

/* What is being loaded. */
struct load {
    const char *file_name;
    struct table *table;
    const struct column *column; /* One that is a table. */
    struct row **rows;          /* The table's rows, by id, */
    size_t n, allocated;        /* how many there are, */
    size_t next;                /* and where the search goes on. */
    struct row *row;            /* The row whose elements come, NULL at
                                 * first, */
    struct builder elements;    /* and these. */
};

/* Whether 'row' may be added to the table that is being loaded, of whose ids
 * enough must be left for new rows. */
static bool
row_is_new(const struct load *load, const struct row *row)
{
    return (row->id > 0 && row->id <= INT64_MAX / 2
            && !table_row(load->table, row_uuid(row)));
}

static struct error *
load_row_cb(sqlite3_stmt *stmt, void *load_)
{
    struct load *load = load_;
    struct table *table = load->table;
    const struct table_schema *ts = table->schema;
    struct row *row = row_create(table);
    int n = 1;
    size_t i;

    row->id = sqlite3_column_int64(stmt, 0);
    for (i = 0; i < ts->n_columns; i++) {
        const struct column *column = ts->columns[i];
        struct datum *datum;

        if (column_has_table(column)) {
            continue;
        }
        if (sqlite3_column_type(stmt, n) == SQLITE_NULL
            && (!column->type.n_min || type_is_scalar(&column->type))) {
            n++;                /* The default, as row_create() has it. */
            continue;
        }
        if (!load_value(&datum, &column->type, stmt, n++)) {
            struct error *error = bad_value(load->file_name, table,
                                            column->name, row->id);
            row_unref(row);
            return error;
        }
        row_set(row, column, datum);
    }
    if (!row_is_new(load, row)) {
        struct error *error = bad_value(load->file_name, table, "_uuid",
                                        row->id);
        row_unref(row);
        return error;
    }
    add_row(table, row);
    if (load->n >= load->allocated) {
        load->rows = x2nrealloc(load->rows, &load->allocated,
                                sizeof *load->rows);
    }
    load->rows[load->n++] = row;
    return NULL;
}

/* Runs 'sql' and calls 'cb' for each row that it gives. */
static struct error *
for_each(sqlite3 *db, const char *file_name, const char *sql,
         struct error *(*cb)(sqlite3_stmt *, void *aux), void *aux)
{
    struct error *error = NULL;
    sqlite3_stmt *stmt;
    int rc;

    if (sqlite3_prepare_v2(db, sql, -1, &stmt, NULL)) {
        return sql_error(db, file_name, "reading");
    }
    while (!error && (rc = sqlite3_step(stmt)) == SQLITE_ROW) {
        error = cb(stmt, aux);
    }
    if (!error && rc != SQLITE_DONE) {
        error = sql_error(db, file_name, "reading");
    }
    sqlite3_finalize(stmt);
    return error;
}

/* Makes room for as many rows as there are, as far as their number is to be
 * believed. */
static struct error *
reserve_cb(sqlite3_stmt *stmt, void *load_)
{
    size_t n = MIN((uint64_t) sqlite3_column_int64(stmt, 0), MAX_RESERVED);
    struct load *load = load_;
    struct table *table = load->table;
    size_t i;

    hmap_reserve(&table->rows, n);
    for (i = 0; i < table->schema->n_indexes; i++) {
        hmap_reserve(&table->indexes[i], n);
    }
    return NULL;
}

static struct error *
load_rows(sqlite3 *db, struct load *load)
{
    const struct table_schema *ts = load->table->schema;
    struct ds sql = DS_EMPTY_INITIALIZER;
    struct error *error;
    size_t i;

    ds_put_format(&sql, "SELECT count(*) FROM \"%s\"", ts->sql_name);
    error = for_each(db, load->file_name, ds_cstr(&sql), reserve_cb, load);
    if (error) {
        ds_destroy(&sql);
        return error;
    }
    ds_clear(&sql);
    ds_put_cstr(&sql, "SELECT _id");
    for (i = 0; i < ts->n_columns; i++) {
        if (!column_has_table(ts->columns[i])) {
            ds_put_format(&sql, ",\"%s\"", ts->columns[i]->sql_name);
        }
    }
    ds_put_format(&sql, " FROM \"%s\" ORDER BY _id", ts->sql_name);
    load->n = 0;
    error = for_each(db, load->file_name, ds_cstr(&sql), load_row_cb, load);
    ds_destroy(&sql);
    return error;
}

/* --- Sets that are tables. --- */

/* The row with the given id, which is greater than that of the last call; NULL
 * if there is none. */
static struct row *
find_row(struct load *load, int64_t id)
{
    while (load->next < load->n && load->rows[load->next]->id < id) {
        load->next++;
    }
    return (load->next < load->n && load->rows[load->next]->id == id
            ? load->rows[load->next] : NULL);
}

static void
finish_elements(struct load *load)
{
    if (load->row) {
        builder_sort(&load->elements);
        row_set(load->row, load->column, builder_finish(&load->elements));
        load->row = NULL;
    }
}

static struct error *
load_element_cb(sqlite3_stmt *stmt, void *load_)
{
    struct load *load = load_;
    int64_t id = sqlite3_column_int64(stmt, 0);
    const char *s = (const char *) sqlite3_column_text(stmt, 1);
    union atom atom;

    if (!load->row || load->row->id != id) {
        finish_elements(load);
        load->row = find_row(load, id);
        if (!load->row) {
            return bad_value(load->file_name, load->table,
                             load->column->name, id);
        }
        builder_init(&load->elements, ATOM_UUID, ATOM_VOID);
    }
    if (!s || !uuid_from_string(&atom.uuid, s)) {
        return bad_value(load->file_name, load->table, load->column->name,
                         id);
    }
    builder_add(&load->elements, &atom, NULL);
    return NULL;
}

static struct error *
load_sets(sqlite3 *db, struct load *load)
{
    const struct table_schema *ts = load->table->schema;
    struct error *error = NULL;
    size_t i;

    for (i = 0; i < ts->n_columns && !error; i++) {
        char *sql;

        if (!column_has_table(ts->columns[i])) {
            continue;
        }
        load->column = ts->columns[i];
        load->next = 0;
        sql = xasprintf("SELECT row, value FROM \"%s.%s\" ORDER BY row",
                        ts->sql_name, ts->columns[i]->sql_name);
        error = for_each(db, load->file_name, sql, load_element_cb, load);
        finish_elements(load);
        free(sql);
    }
    return error;
}

/* --- All of it. --- */

/* Fills 'd', an empty database of the file's schema.  Meanwhile the file is
 * mapped: afterward that would only take memory. */
struct error *
sql_load(sqlite3 *db, const char *file_name, struct db *d)
{
    struct load load = { .file_name = file_name };
    struct error *error = NULL;
    size_t i;

    sql_exec(db, "PRAGMA mmap_size=1073741824");
    for (i = 0; i < d->schema->n_tables && !error; i++) {
        load.table = d->by_number[i];
        error = load_rows(db, &load);
        if (!error) {
            error = load_sets(db, &load);
        }
    }
    free(load.rows);
    sql_exec(db, "PRAGMA mmap_size=0");
    return error ? error : references_load(d);
}

static struct error *
load_schema_cb(sqlite3_stmt *stmt, void *schema_)
{
    struct schema **schema = schema_;
    const char *text = (const char *) sqlite3_column_text(stmt, 0);
    struct error *error;
    json_t *json;
    char *s;

    json = json_parse(text ? text : "", text ? strlen(text) : 0, &s);
    if (!json) {
        error = error_new(NULL, "bad schema: %s", s);
        free(s);
        return error;
    }
    schema_destroy(*schema);    /* Of several rows, the last counts. */
    error = schema_from_json(schema, json);
    json_decref(json);
    return error;
}

/* Reads the schema of a file. */
struct error *
sql_load_schema(sqlite3 *db, const char *file_name, struct schema **schema)
{
    struct error *error;

    *schema = NULL;
    error = for_each(db, file_name, "SELECT schema FROM _schema",
                     load_schema_cb, schema);
    if (error) {
        schema_destroy(*schema);
        *schema = NULL;
    } else if (!*schema) {
        error = error_new(NULL, "%s: no schema in this file (is it a "
                          "database of sluice-db?)", file_name);
    }
    return error;
}
