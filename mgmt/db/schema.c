/* Schemas from and to JSON: see schema.h. */
#include <config.h>
#include "mgmt/db/schema.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

#include "openvswitch/dynamic-string.h"
#include "sset.h"
#include "util.h"

/* --- Column sets. --- */

void
column_set_add(struct column_set *set, const struct column *column)
{
    if (!(set->n & (set->n - 1))) {
        set->columns = xrealloc(set->columns, (set->n ? 2 * set->n : 1)
                                              * sizeof *set->columns);
    }
    set->columns[set->n++] = column;
}

bool
column_set_contains(const struct column_set *set, unsigned int index)
{
    size_t i;

    for (i = 0; i < set->n; i++) {
        if (set->columns[i]->index == index) {
            return true;
        }
    }
    return false;
}

void
column_set_destroy(struct column_set *set)
{
    free(set->columns);
}

/* Parses 'json', an array of column names (NULL: all columns), into 'set',
 * which the caller must destroy unless there is an error. */
struct error *
column_set_from_json(struct column_set *set, const json_t *json,
                     const struct table_schema *ts)
{
    size_t i;

    memset(set, 0, sizeof *set);
    if (!json) {
        for (i = 0; i < ts->n_columns; i++) {
            column_set_add(set, ts->columns[i]);
        }
        return NULL;
    }

    for (i = 0; i < json_array_size(json); i++) {
        const json_t *element = json_array_get(json, i);
        const struct column *column;
        const char *name = json_string_value(element);
        struct error *error;

        if (!name) {
            error = error_syntax(json, NULL,
                                 "array of distinct column names expected");
        } else {
            column = table_schema_column(ts, name);
            if (!column) {
                error = error_syntax(json, NULL, "%s is not a valid column "
                                     "name", name);
            } else if (column_set_contains(set, column->index)) {
                error = error_syntax(json, NULL,
                                     "array of distinct column names "
                                     "expected");
            } else {
                column_set_add(set, column);
                continue;
            }
        }
        column_set_destroy(set);
        memset(set, 0, sizeof *set);
        return error;
    }
    return NULL;
}

/* Returns 'set' in English, which the caller must free. */
char *
column_set_to_string(const struct column_set *set)
{
    struct ds s = DS_EMPTY_INITIALIZER;
    size_t i;

    if (!set->n) {
        return xstrdup("no columns");
    }
    ds_put_format(&s, "column%s ", set->n > 1 ? "s" : "");
    for (i = 0; i < set->n; i++) {
        ds_put_format(&s, "%s\"%s\"", english_list_delimiter(i, set->n),
                      set->columns[i]->name);
    }
    return ds_steal_cstr(&s);
}

/* --- Columns. --- */

static struct column *
column_new(const char *name, bool mutable, bool persistent,
           const struct type *type)
{
    struct column *column = xzalloc(sizeof *column);
    column->name = xstrdup(name);
    column->mutable = mutable;
    column->persistent = persistent;
    type_clone(&column->type, type);
    return column;
}

static void
column_destroy(struct column *column)
{
    type_destroy(&column->type);
    free(column->name);
    free(column->sql_name);
    free(column);
}

static struct error *
column_from_json(struct column **columnp, const char *name, const json_t *json)
{
    const json_t *mutable, *ephemeral, *type_json;
    struct error *error;
    struct parser p;
    struct type type;
    bool is_mutable;

    *columnp = NULL;
    parser_init(&p, json, "schema for column %s", name);
    mutable = parser_member(&p, "mutable", OP_BOOLEAN | OP_OPTIONAL);
    ephemeral = parser_member(&p, "ephemeral", OP_BOOLEAN | OP_OPTIONAL);
    type_json = parser_member(&p, "type", OP_STRING | OP_OBJECT);
    error = parser_finish(&p);
    if (!error) {
        error = type_from_json(&type, type_json);
    }
    if (error) {
        return error;
    }

    /* A weak reference changes when what it refers to goes away. */
    is_mutable = (!mutable || json_is_true(mutable)
                  || base_is_weak_ref(&type.key)
                  || base_is_weak_ref(&type.value));
    *columnp = column_new(name, is_mutable,
                          !ephemeral || json_is_false(ephemeral), &type);
    type_destroy(&type);
    return NULL;
}

static void
column_put_json(struct ds *ds, const struct column *column)
{
    ds_put_char(ds, '{');
    if (!column->persistent) {
        ds_put_cstr(ds, "\"ephemeral\":true,");
    }
    if (!column->mutable) {
        ds_put_cstr(ds, "\"mutable\":false,");
    }
    ds_put_cstr(ds, "\"type\":");
    type_put_json(ds, &column->type);
    ds_put_char(ds, '}');
}

/* --- Tables. --- */

static void
add_column(struct table_schema *ts, struct column *column)
{
    column->index = ts->n_columns;
    ts->columns = xrealloc(ts->columns,
                           (ts->n_columns + 1) * sizeof *ts->columns);
    ts->columns[ts->n_columns++] = column;
    shash_add(&ts->by_name, column->name, column);
}

static struct table_schema *
table_schema_new(const char *name)
{
    struct table_schema *ts = xzalloc(sizeof *ts);

    ts->name = xstrdup(name);
    shash_init(&ts->by_name);
    add_column(ts, column_new("_uuid", false, true, &type_uuid));
    add_column(ts, column_new("_version", false, false, &type_uuid));
    return ts;
}

static void
table_schema_destroy(struct table_schema *ts)
{
    size_t i;

    for (i = 0; i < ts->n_columns; i++) {
        column_destroy(ts->columns[i]);
    }
    for (i = 0; i < ts->n_indexes; i++) {
        column_set_destroy(&ts->indexes[i]);
    }
    free(ts->columns);
    free(ts->indexes);
    shash_destroy(&ts->by_name);
    free(ts->name);
    free(ts->sql_name);
    free(ts);
}

/* Returns the column called 'name', NULL if there is none. */
struct column *
table_schema_column(const struct table_schema *ts, const char *name)
{
    return shash_find_data(&ts->by_name, name);
}

static struct error *
check_name(const char *name, const json_t *json)
{
    if (name[0] == '_') {
        return error_syntax(json, NULL,
                            "names beginning with \"_\" are reserved");
    } else if (!string_is_id(name)) {
        return error_syntax(json, NULL, "name must be a valid id");
    }
    return NULL;
}

static int
compare_columns(const void *a_, const void *b_)
{
    const struct column *const *a = a_;
    const struct column *const *b = b_;
    return strcmp((*a)->name, (*b)->name);
}

static struct error *
parse_columns(struct table_schema *ts, const json_t *json,
              const json_t *columns)
{
    struct error *error = NULL;
    const char **names;
    size_t i, n;

    names = json_object_names(columns, &n);
    for (i = 0; i < n && !error; i++) {
        struct column *column;

        error = check_name(names[i], json);
        if (!error) {
            error = column_from_json(&column, names[i],
                                     json_object_get(columns, names[i]));
        }
        if (!error) {
            add_column(ts, column);
        }
    }
    free(names);
    qsort(ts->columns + N_STD_COLUMNS, ts->n_columns - N_STD_COLUMNS,
          sizeof *ts->columns, compare_columns);
    for (i = 0; i < ts->n_columns; i++) {
        ts->columns[i]->index = i;
    }
    return error;
}

static struct error *
parse_index(struct table_schema *ts, const json_t *json, const json_t *index)
{
    struct column_set *set = &ts->indexes[ts->n_indexes];
    struct error *error;
    size_t i;

    if (!json_is_array(index)) {
        return error_syntax(index, NULL,
                            "array of distinct column names expected");
    }
    error = column_set_from_json(set, index, ts);
    if (error) {
        return error;
    }
    ts->n_indexes++;
    if (!set->n) {
        return error_syntax(json, NULL, "index must have at least one column");
    }
    for (i = 0; i < set->n; i++) {
        if (!set->columns[i]->persistent) {
            return error_syntax(json, NULL, "ephemeral columns (such as %s) "
                                "may not be indexed", set->columns[i]->name);
        }
    }
    return NULL;
}

static struct error *
table_schema_from_json(struct table_schema **tsp, const char *name,
                       const json_t *json)
{
    const json_t *columns, *mutable, *max_rows, *is_root, *indexes;
    struct table_schema *ts;
    struct error *error;
    struct parser p;
    size_t i;

    *tsp = NULL;
    parser_init(&p, json, "table schema for table %s", name);
    columns = parser_member(&p, "columns", OP_OBJECT);
    mutable = parser_member(&p, "mutable", OP_BOOLEAN | OP_OPTIONAL);
    max_rows = parser_member(&p, "maxRows", OP_INTEGER | OP_OPTIONAL);
    is_root = parser_member(&p, "isRoot", OP_BOOLEAN | OP_OPTIONAL);
    indexes = parser_member(&p, "indexes", OP_ARRAY | OP_OPTIONAL);
    error = parser_finish(&p);
    if (error) {
        return error;
    }
    if (max_rows && json_int64(max_rows) <= 0) {
        return error_syntax(json, NULL, "maxRows must be at least 1");
    }
    if (!json_object_size(columns)) {
        return error_syntax(json, NULL,
                            "table must have at least one column");
    }

    ts = table_schema_new(name);
    ts->mutable = !mutable || json_is_true(mutable);
    ts->max_rows = max_rows ? MIN(json_int64(max_rows), UINT_MAX) : UINT_MAX;
    ts->is_root = is_root && json_is_true(is_root);
    error = parse_columns(ts, json, columns);
    if (!error && indexes) {
        ts->indexes = xcalloc(json_array_size(indexes), sizeof *ts->indexes);
        for (i = 0; i < json_array_size(indexes) && !error; i++) {
            error = parse_index(ts, json, json_array_get(indexes, i));
        }
    }
    if (error) {
        table_schema_destroy(ts);
    } else {
        *tsp = ts;
    }
    return error;
}

static void
put_indexes(struct ds *ds, const struct table_schema *ts)
{
    size_t i, j;

    ds_put_cstr(ds, ",\"indexes\":[");
    for (i = 0; i < ts->n_indexes; i++) {
        const struct column_set *index = &ts->indexes[i];
        ds_put_cstr(ds, i ? ",[" : "[");
        for (j = 0; j < index->n; j++) {
            ds_put_format(ds, "%s\"%s\"", j ? "," : "",
                          index->columns[j]->name);
        }
        ds_put_char(ds, ']');
    }
    ds_put_char(ds, ']');
}

/* Appends 'ts'.  "isRoot" is left out if it is 'default_is_root'. */
static void
table_schema_put_json(struct ds *ds, const struct table_schema *ts,
                      bool default_is_root)
{
    size_t i;

    ds_put_cstr(ds, "{\"columns\":{");
    for (i = N_STD_COLUMNS; i < ts->n_columns; i++) {
        ds_put_format(ds, "%s\"%s\":", i > N_STD_COLUMNS ? "," : "",
                      ts->columns[i]->name);
        column_put_json(ds, ts->columns[i]);
    }
    ds_put_char(ds, '}');
    if (ts->n_indexes) {
        put_indexes(ds, ts);
    }
    if (ts->is_root != default_is_root) {
        ds_put_format(ds, ",\"isRoot\":%s", ts->is_root ? "true" : "false");
    }
    if (ts->max_rows != UINT_MAX) {
        ds_put_format(ds, ",\"maxRows\":%u", ts->max_rows);
    }
    if (!ts->mutable) {
        ds_put_cstr(ds, ",\"mutable\":false");
    }
    ds_put_char(ds, '}');
}

/* --- Schemas. --- */

void
schema_destroy(struct schema *schema)
{
    size_t i;

    if (!schema) {
        return;
    }
    for (i = 0; i < schema->n_tables; i++) {
        table_schema_destroy(schema->tables[i]);
    }
    free(schema->tables);
    free(schema->name);
    free(schema->version);
    free(schema->cksum);
    free(schema);
}

/* Whether 's' is a version of the form x.y.z. */
bool
version_is_valid(const char *s)
{
    unsigned int x, y, z;
    int n = -1;

    return (ovs_scan(s, "%u.%u.%u%n", &x, &y, &z, &n)
            && n != -1 && s[n] == '\0');
}

static struct table_schema *
find_table(const struct schema *schema, const char *name)
{
    size_t i;

    for (i = 0; i < schema->n_tables; i++) {
        if (!strcmp(schema->tables[i]->name, name)) {
            return schema->tables[i];
        }
    }
    return NULL;
}

static size_t
count_roots(const struct schema *schema)
{
    size_t n = 0, i;

    for (i = 0; i < schema->n_tables; i++) {
        n += schema->tables[i]->is_root;
    }
    return n;
}

static struct error *
check_ref(const struct schema *schema, struct column *column,
          const struct base_type *base, const char *which)
{
    struct table_schema *ref;

    if (base->type != ATOM_UUID || !base->uuid.ref_name) {
        return NULL;
    }
    ref = find_table(schema, base->uuid.ref_name);
    if (!ref) {
        return error_syntax(NULL, NULL, "column %s %s refers to undefined "
                            "table %s", column->name, which,
                            base->uuid.ref_name);
    }
    if (base_is_strong_ref(base) && !ref->is_root) {
        /* If this went away in a restart, so would the row. */
        column->persistent = true;
    }
    return NULL;
}

/* Returns 'name', with "~2", "~3" and so on behind it if need be, such that it
 * is not in 'names' in any case, and adds it there. */
static char *
unique_name(struct sset *names, const char *name)
{
    bool reserved = !strncasecmp(name, "sqlite_", 7);
    unsigned int n;

    for (n = 1;; n++) {
        char *unique = (n == 1 && !reserved ? xstrdup(name)
                        : xasprintf("%s~%u", reserved ? name + 7 : name, n));
        char *lower = xstrdup(unique), *p;
        bool added;

        for (p = lower; *p; p++) {
            *p = tolower((unsigned char) *p);
        }
        added = sset_add(names, lower) != NULL;
        free(lower);
        if (added) {
            return unique;
        }
        free(unique);
    }
}

/* Chooses the names that tables and columns have in the store.  They are the
 * same, except that SQL, other than OVSDB, takes "a" and "A" for one, and that
 * SQLite keeps names that begin with "sqlite_" for itself. */
static void
set_sql_names(struct schema *schema)
{
    struct sset tables = SSET_INITIALIZER(&tables);
    size_t i, j;

    for (i = 0; i < schema->n_tables; i++) {
        struct table_schema *ts = schema->tables[i];
        struct sset columns = SSET_INITIALIZER(&columns);

        ts->sql_name = unique_name(&tables, ts->name);
        for (j = 0; j < ts->n_columns; j++) {
            ts->columns[j]->sql_name = unique_name(&columns,
                                                   ts->columns[j]->name);
        }
        sset_destroy(&columns);
    }
    sset_destroy(&tables);
}

static struct error *
check_refs(struct schema *schema)
{
    struct error *error = NULL;
    size_t i, j;

    for (i = 0; i < schema->n_tables; i++) {
        struct table_schema *ts = schema->tables[i];
        for (j = 0; j < ts->n_columns && !error; j++) {
            struct column *column = ts->columns[j];
            error = check_ref(schema, column, &column->type.key, "key");
            if (!error) {
                error = check_ref(schema, column, &column->type.value,
                                  "value");
            }
        }
    }
    return error;
}

static int
compare_tables(const void *a_, const void *b_)
{
    const struct table_schema *const *a = a_;
    const struct table_schema *const *b = b_;
    return strcmp((*a)->name, (*b)->name);
}

static struct error *
parse_tables(struct schema *schema, const json_t *json, const json_t *tables)
{
    struct error *error = NULL;
    const char **names;
    size_t i, n;

    names = json_object_names(tables, &n);
    schema->tables = xcalloc(n, sizeof *schema->tables);
    for (i = 0; i < n && !error; i++) {
        error = check_name(names[i], json);
        if (!error) {
            error = table_schema_from_json(&schema->tables[i], names[i],
                                           json_object_get(tables, names[i]));
            schema->n_tables += !error;
        }
    }
    free(names);
    qsort(schema->tables, schema->n_tables, sizeof *schema->tables,
          compare_tables);
    return error;
}

/* Parses 'json' as a <database-schema>. */
struct error *
schema_from_json(struct schema **schemap, const json_t *json)
{
    const json_t *name, *version, *cksum, *tables;
    struct schema *schema;
    struct error *error;
    struct parser p;
    size_t i;

    *schemap = NULL;
    parser_init(&p, json, "database schema");
    name = parser_member(&p, "name", OP_ID);
    version = parser_member(&p, "version", OP_STRING | OP_OPTIONAL);
    cksum = parser_member(&p, "cksum", OP_STRING | OP_OPTIONAL);
    tables = parser_member(&p, "tables", OP_OBJECT);
    error = parser_finish(&p);
    if (error) {
        return error;
    }
    if (version && !version_is_valid(json_string_value(version))) {
        return error_syntax(json, NULL, "schema version \"%s\" not in format "
                            "x.y.z", json_string_value(version));
    }

    schema = xzalloc(sizeof *schema);
    schema->name = xstrdup(json_string_value(name));
    schema->version = xstrdup(version ? json_string_value(version) : "");
    schema->cksum = xstrdup(cksum ? json_string_value(cksum) : "");
    error = parse_tables(schema, json, tables);
    if (!error && !count_roots(schema)) {
        /* From before there was garbage collection. */
        for (i = 0; i < schema->n_tables; i++) {
            schema->tables[i]->is_root = true;
        }
    }
    if (!error) {
        error = check_refs(schema);
    }
    if (error) {
        schema_destroy(schema);
    } else {
        set_sql_names(schema);
        *schemap = schema;
    }
    return error;
}

/* Reads a schema from a file. */
struct error *
schema_from_file(struct schema **schemap, const char *file_name)
{
    struct error *error;
    json_error_t where;
    json_t *json;

    *schemap = NULL;
    if (access(file_name, R_OK)) {
        return error_new("failed to read schema",
                         "\"%s\" could not be read as JSON (error opening "
                         "\"%s\": %s)", file_name, file_name,
                         ovs_strerror(errno));
    }
    json = json_load_file(file_name, 0, &where);
    if (!json) {
        return error_new("failed to read schema",
                         "\"%s\" could not be read as JSON (%s)",
                         file_name, where.text);
    }
    error = schema_from_json(schemap, json);
    json_decref(json);
    return (error
            ? error_wrap(error, "failed to parse \"%s\" as ovsdb schema",
                         file_name)
            : NULL);
}

/* Appends 'schema' as JSON, members sorted. */
void
schema_put_json(struct ds *ds, const struct schema *schema)
{
    bool default_is_root = count_roots(schema) == schema->n_tables;
    size_t i;

    ds_put_char(ds, '{');
    if (schema->cksum[0]) {
        ds_put_cstr(ds, "\"cksum\":");
        json_put_string(ds, schema->cksum);
        ds_put_char(ds, ',');
    }
    ds_put_format(ds, "\"name\":\"%s\",\"tables\":{", schema->name);
    for (i = 0; i < schema->n_tables; i++) {
        ds_put_format(ds, "%s\"%s\":", i ? "," : "",
                      schema->tables[i]->name);
        table_schema_put_json(ds, schema->tables[i], default_is_root);
    }
    ds_put_char(ds, '}');
    if (schema->version[0]) {
        ds_put_format(ds, ",\"version\":\"%s\"", schema->version);
    }
    ds_put_char(ds, '}');
}

/* Returns 'schema' as JSON text that the caller must free. */
char *
schema_to_text(const struct schema *schema)
{
    struct ds ds = DS_EMPTY_INITIALIZER;
    schema_put_json(&ds, schema);
    return ds_steal_cstr(&ds);
}

bool
schema_equal(const struct schema *a, const struct schema *b)
{
    char *sa = schema_to_text(a);
    char *sb = schema_to_text(b);
    bool equal = !strcmp(sa, sb);
    free(sa);
    free(sb);
    return equal;
}
