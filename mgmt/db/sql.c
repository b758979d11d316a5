/* The layout of databases in SQL, and writing to it.
 *
 * The writer's thread must not look at the database in memory, so it gets
 * changes as bytes:
 *
 *     'I' table id n (column value)*      insert or replace a row
 *     'U' table id n (column value)*      update columns of a row
 *     'D' table id                        delete a row
 *     'A' table column id uuid            add to a set that is a table
 *     'R' table column id uuid            remove from such a set
 *     'H' txnid time comment undo         remember a transaction
 *
 * where tables and columns are 32-bit indexes into the schema, ids and times
 * 64-bit numbers, texts and values a byte for the kind and then the data. */
#include <config.h>
#include "mgmt/db/sql.h"

#include <limits.h>
#include <string.h>

#include "bitmap.h"
#include "hash.h"
#include "mgmt/db/history.h"
#include "util.h"

/* An error from SQLite about 'what' in a file. */
struct error *
sql_error(sqlite3 *db, const char *file_name, const char *what)
{
    return error_io(sqlite3_system_errno(db), "%s: %s failed: %s",
                    file_name, what, sqlite3_errmsg(db));
}

int
sql_exec(sqlite3 *db, const char *sql)
{
    return sqlite3_exec(db, sql, NULL, NULL, NULL);
}

/* Opens a file and sets what each connection needs. */
int
sql_open(const char *file_name, int flags, sqlite3 **db)
{
    int rc = sqlite3_open_v2(file_name, db,
                             flags | SQLITE_OPEN_NOMUTEX
                             | SQLITE_OPEN_EXRESCODE, NULL);
    if (!rc) {
        sqlite3_busy_timeout(*db, SQL_BUSY_MS);
        rc = sql_exec(*db, "PRAGMA cache_size=-2048; "
                      "PRAGMA trusted_schema=OFF; PRAGMA cell_size_check=ON");
    }
    return rc;
}

static const char *
sql_type(const struct type *type)
{
    if (type->n_max != 1 || type_is_map(type)) {
        return "TEXT";
    }
    switch (type->key.type) {
    case ATOM_INTEGER: case ATOM_BOOLEAN: return "INTEGER";
    case ATOM_REAL: return "REAL";
    case ATOM_STRING: case ATOM_UUID: case ATOM_VOID: case N_ATOM_TYPES:
    default: return "TEXT";
    }
}

static void
put_create_table(struct ds *sql, const struct table_schema *ts)
{
    size_t i;

    ds_put_format(sql, "CREATE TABLE \"%s\"(_id INTEGER PRIMARY KEY",
                  ts->sql_name);
    for (i = 0; i < ts->n_columns; i++) {
        const struct column *column = ts->columns[i];
        if (!column_has_table(column)) {
            ds_put_format(sql, ",\"%s\" %s", column->sql_name,
                          sql_type(&column->type));
        }
    }
    ds_put_cstr(sql, ");");
    for (i = 0; i < ts->n_columns; i++) {
        const struct column *column = ts->columns[i];
        if (column_has_table(column)) {
            ds_put_format(sql, "CREATE TABLE \"%s.%s\"(row INTEGER, "
                          "value TEXT, PRIMARY KEY(row, value)) "
                          "WITHOUT ROWID;", ts->sql_name, column->sql_name);
        }
    }
}

/* Makes the tables for 'schema' and remembers it. */
int
sql_create_tables(sqlite3 *db, const struct schema *schema)
{
    struct ds sql = DS_EMPTY_INITIALIZER;
    char *text = schema_to_text(schema);
    char *insert;
    size_t i;
    int rc;

    ds_put_cstr(&sql, "CREATE TABLE IF NOT EXISTS _schema(name TEXT, "
                "version TEXT, cksum TEXT, schema TEXT);"
                "CREATE TABLE IF NOT EXISTS _history(seq INTEGER PRIMARY KEY, "
                "txnid TEXT, time INTEGER, comment TEXT, undo TEXT);"
                "DELETE FROM _schema; DELETE FROM _history;");
    insert = sqlite3_mprintf("INSERT INTO _schema VALUES(%Q,%Q,%Q,%Q);",
                             schema->name, schema->version, schema->cksum,
                             text);
    ds_put_cstr(&sql, insert);
    ds_put_format(&sql, "PRAGMA user_version=%d; PRAGMA application_id=%d;",
                  SQL_FORMAT_VERSION, SQL_APPLICATION_ID);
    for (i = 0; i < schema->n_tables; i++) {
        put_create_table(&sql, schema->tables[i]);
    }
    rc = sql_exec(db, ds_cstr(&sql));
    sqlite3_free(insert);
    free(text);
    ds_destroy(&sql);
    return rc;
}

/* Removes what sql_create_tables() has made. */
int
sql_drop_tables(sqlite3 *db, const struct schema *schema)
{
    struct ds sql = DS_EMPTY_INITIALIZER;
    size_t i, j;
    int rc;

    for (i = 0; i < schema->n_tables; i++) {
        const struct table_schema *ts = schema->tables[i];
        ds_put_format(&sql, "DROP TABLE \"%s\";", ts->sql_name);
        for (j = 0; j < ts->n_columns; j++) {
            if (column_has_table(ts->columns[j])) {
                ds_put_format(&sql, "DROP TABLE \"%s.%s\";", ts->sql_name,
                              ts->columns[j]->sql_name);
            }
        }
    }
    rc = sql_exec(db, ds_cstr(&sql));
    ds_destroy(&sql);
    return rc;
}

/* --- Lists of changes: making them. --- */

static void
put_u32(struct ds *ds, uint32_t x)
{
    ds_put_buffer(ds, (const char *) &x, sizeof x);
}

static void
put_i64(struct ds *ds, int64_t x)
{
    ds_put_buffer(ds, (const char *) &x, sizeof x);
}

/* Begins a text that the caller appends; returns what text_end() needs. */
static size_t
text_begin(struct ds *ds)
{
    ds_put_char(ds, 't');
    put_u32(ds, 0);
    return ds->length;
}

static void
text_end(struct ds *ds, size_t start)
{
    uint32_t n = ds->length - start;
    memcpy(ds->string + start - sizeof n, &n, sizeof n);
}

static void
put_text(struct ds *ds, const char *s, size_t n)
{
    size_t start = text_begin(ds);
    ds_put_buffer(ds, s, n);
    text_end(ds, start);
}

static void
put_uuid_text(struct ds *ds, const struct uuid *uuid)
{
    size_t start = text_begin(ds);
    uuid_put(ds, uuid);
    text_end(ds, start);
}

/* An atom as part of a JSON array or object. */
static void
put_json_atom(struct ds *ds, const union atom *atom, enum atom_type type)
{
    if (type == ATOM_UUID) {
        ds_put_char(ds, '"');
        uuid_put(ds, &atom->uuid);
        ds_put_char(ds, '"');
    } else {
        atom_put_json(ds, atom, type);
    }
}

/* Appends a datum of several elements as a JSON array or object. */
static void
put_composite(struct ds *ds, const struct datum *datum,
              const struct type *type)
{
    const char *delimiter = "";
    bool map = type_is_map(type);
    size_t start = text_begin(ds);
    struct cursor c;

    ds_put_char(ds, map ? '{' : '[');
    DATUM_FOR_EACH (&c, datum) {
        bool quote = map && (type->key.type != ATOM_STRING
                             && type->key.type != ATOM_UUID);
        union atom atom = cursor_key(&c);

        ds_put_cstr(ds, delimiter);
        delimiter = ",";
        ds_put_cstr(ds, quote ? "\"" : "");
        put_json_atom(ds, &atom, type->key.type);
        ds_put_cstr(ds, quote ? "\"" : "");
        if (map) {
            ds_put_char(ds, ':');
            atom = cursor_value(&c);
            put_json_atom(ds, &atom, type->value.type);
        }
    }
    ds_put_char(ds, map ? '}' : ']');
    text_end(ds, start);
}

static void
put_value(struct ds *ds, const struct datum *datum, const struct type *type)
{
    union atom atom;

    if (!datum) {
        ds_put_char(ds, 'n');
        return;
    }
    if (type->n_max != 1 || type_is_map(type)) {
        put_composite(ds, datum, type);
        return;
    }
    leaf_get_key(datum, 0, &atom);
    switch (type->key.type) {
    case ATOM_INTEGER:
        ds_put_char(ds, 'i');
        put_i64(ds, atom.integer);
        break;
    case ATOM_BOOLEAN:
        ds_put_char(ds, 'i');
        put_i64(ds, atom.boolean);
        break;
    case ATOM_REAL:
        ds_put_char(ds, 'r');
        ds_put_buffer(ds, (const char *) &atom.real, sizeof atom.real);
        break;
    case ATOM_STRING:
        put_text(ds, atom.string->s, strlen(atom.string->s));
        break;
    case ATOM_UUID:
        put_uuid_text(ds, &atom.uuid);
        break;
    case ATOM_VOID: case N_ATOM_TYPES: default:
        OVS_NOT_REACHED();
    }
}

static void
put_elements(struct ds *ds, const struct row *any,
             const struct column *column, const struct datum *old,
             const struct datum *new)
{
    enum difference diff;
    struct differ d;

    differ_init(&d, old, new);
    while ((diff = differ_next(&d)) != DIFF_NONE) {
        ds_put_char(ds, diff == DIFF_ADDED ? 'A' : 'R');
        put_u32(ds, any->table->number);
        put_u32(ds, column->index);
        put_i64(ds, any->id);
        put_uuid_text(ds, &d.key.uuid);
    }
}

/* Appends what turns 'old' (NULL: nothing) into 'new' (NULL: nothing). */
void
changes_put_row(struct ds *ds, const struct row *old, const struct row *new)
{
    const struct row *any = new ? new : old;
    const struct table_schema *ts = any->table->schema;
    size_t mark;
    uint32_t n = 0;
    size_t i;

    if (new) {
        ds_put_char(ds, old ? 'U' : 'I');
        put_u32(ds, any->table->number);
        put_i64(ds, any->id);
        mark = ds->length;
        put_u32(ds, 0);
        for (i = 0; i < ts->n_columns; i++) {
            const struct column *column = ts->columns[i];
            if (column_has_table(column)
                || (old ? datum_equals(old->fields[i], new->fields[i])
                    : !new->fields[i])) {
                continue;
            }
            put_u32(ds, i);
            put_value(ds, new->fields[i], &column->type);
            n++;
        }
        memcpy(ds->string + mark, &n, sizeof n);
    } else {
        ds_put_char(ds, 'D');
        put_u32(ds, any->table->number);
        put_i64(ds, any->id);
    }
    for (i = 0; i < ts->n_columns; i++) {
        if (column_has_table(ts->columns[i])) {
            put_elements(ds, any, ts->columns[i], old ? old->fields[i] : NULL,
                         new ? new->fields[i] : NULL);
        }
    }
}

/* Appends the remembrance of 'txn'. */
void
changes_put_history(struct ds *ds, const struct txn *txn,
                    long long int time_ms)
{
    size_t undo;

    ds_put_char(ds, 'H');
    put_uuid_text(ds, &txn->db->last_txnid);
    put_i64(ds, time_ms);
    if (txn->comment.length) {
        put_text(ds, txn->comment.string, txn->comment.length);
    } else {
        ds_put_char(ds, 'n');
    }
    undo = text_begin(ds);
    undo_put(ds, txn);
    text_end(ds, undo);
}

/* --- Lists of changes: applying them. --- */

/* A prepared statement that inserts or updates some columns. */
struct sql_statement {
    struct hmap_node node;      /* In sql_table->statements. */
    char kind;                  /* 'I' or 'U'. */
    unsigned long *columns;
    sqlite3_stmt *stmt;
};

struct sql_table {
    const struct table_schema *ts;
    unsigned long *columns;     /* For apply_columns(). */
    struct hmap statements;
    sqlite3_stmt *delete;
    sqlite3_stmt **add, **remove; /* Per column. */
};

struct sql_writer {
    sqlite3 *db;
    struct sql_table *tables;
    size_t n_tables;
    sqlite3_stmt *history;
};

/* More different statements than this for a table, and they are made anew. */
#define MAX_STATEMENTS 64

struct sql_writer *
sql_writer_create(sqlite3 *db, const struct schema *schema)
{
    struct sql_writer *w = xzalloc(sizeof *w);
    size_t i;

    w->db = db;
    w->n_tables = schema->n_tables;
    w->tables = xcalloc(w->n_tables, sizeof *w->tables);
    for (i = 0; i < w->n_tables; i++) {
        struct sql_table *t = &w->tables[i];
        t->ts = schema->tables[i];
        t->columns = bitmap_allocate(t->ts->n_columns);
        hmap_init(&t->statements);
        t->add = xcalloc(t->ts->n_columns, sizeof *t->add);
        t->remove = xcalloc(t->ts->n_columns, sizeof *t->remove);
    }
    return w;
}

static void
drop_statements(struct sql_table *t)
{
    struct sql_statement *s;

    HMAP_FOR_EACH_POP (s, node, &t->statements) {
        sqlite3_finalize(s->stmt);
        bitmap_free(s->columns);
        free(s);
    }
}

void
sql_writer_destroy(struct sql_writer *w)
{
    size_t i, j;

    for (i = 0; i < w->n_tables; i++) {
        struct sql_table *t = &w->tables[i];
        drop_statements(t);
        hmap_destroy(&t->statements);
        sqlite3_finalize(t->delete);
        for (j = 0; j < t->ts->n_columns; j++) {
            sqlite3_finalize(t->add[j]);
            sqlite3_finalize(t->remove[j]);
        }
        bitmap_free(t->columns);
        free(t->add);
        free(t->remove);
    }
    sqlite3_finalize(w->history);
    free(w->tables);
    free(w);
}

/* Prepares 'sql' in '*stmt' unless that has been done. */
static int
prepare(struct sql_writer *w, sqlite3_stmt **stmt, const char *format, ...)
{
    va_list args;
    char *sql;
    int rc;

    if (*stmt) {
        return SQLITE_OK;
    }
    va_start(args, format);
    sql = sqlite3_vmprintf(format, args);
    va_end(args);
    rc = sqlite3_prepare_v3(w->db, sql, -1, SQLITE_PREPARE_PERSISTENT, stmt,
                            NULL);
    sqlite3_free(sql);
    return rc;
}

static int
run(sqlite3_stmt *stmt)
{
    int rc = sqlite3_step(stmt);
    int rc2 = sqlite3_reset(stmt);
    return rc == SQLITE_DONE ? SQLITE_OK : rc2 ? rc2 : rc;
}

/* The bytes still to be applied.  They come from this process, so that there
 * is no need to distrust them. */
struct reader {
    const char *p, *end;
};

static uint32_t
get_u32(struct reader *r)
{
    uint32_t x;
    memcpy(&x, r->p, sizeof x);
    r->p += sizeof x;
    return x;
}

static int64_t
get_i64(struct reader *r)
{
    int64_t x;
    memcpy(&x, r->p, sizeof x);
    r->p += sizeof x;
    return x;
}

/* Binds the next value to parameter 'i'. */
static int
bind_value(sqlite3_stmt *stmt, int i, struct reader *r)
{
    const char *s;
    double real;
    uint32_t n;

    switch (*r->p++) {
    case 'i':
        return sqlite3_bind_int64(stmt, i, get_i64(r));
    case 'r':
        memcpy(&real, r->p, sizeof real);
        r->p += sizeof real;
        return sqlite3_bind_double(stmt, i, real);
    case 't':
        n = get_u32(r);
        s = r->p;
        r->p += n;
        return sqlite3_bind_text(stmt, i, s, n, SQLITE_STATIC);
    default:
        return sqlite3_bind_null(stmt, i);
    }
}

static void
skip_value(struct reader *r)
{
    switch (*r->p++) {
    case 'i':
    case 'r':
        r->p += 8;
        break;
    case 't':
        r->p += get_u32(r);
        break;
    }
}

static void
put_statement(struct ds *sql, const struct sql_table *t, char kind,
              const unsigned long *columns)
{
    const struct table_schema *ts = t->ts;
    int n = 2;
    size_t i;

    if (kind == 'U') {
        const char *delimiter = "";
        ds_put_format(sql, "UPDATE \"%s\" SET ", ts->sql_name);
        BITMAP_FOR_EACH_1 (i, ts->n_columns, columns) {
            ds_put_format(sql, "%s\"%s\"=?%d", delimiter,
                          ts->columns[i]->sql_name, n++);
            delimiter = ",";
        }
        ds_put_cstr(sql, " WHERE _id=?1");
        return;
    }
    ds_put_format(sql, "INSERT OR REPLACE INTO \"%s\"(_id", ts->sql_name);
    BITMAP_FOR_EACH_1 (i, ts->n_columns, columns) {
        ds_put_format(sql, ",\"%s\"", ts->columns[i]->sql_name);
    }
    ds_put_cstr(sql, ")VALUES(?1");
    BITMAP_FOR_EACH_1 (i, ts->n_columns, columns) {
        ds_put_format(sql, ",?%d", n++);
    }
    ds_put_char(sql, ')');
}

/* Finds or makes the statement of a kind for t->columns. */
static int
find_statement(struct sql_writer *w, struct sql_table *t, char kind,
               sqlite3_stmt **stmt)
{
    const unsigned long *columns = t->columns;
    size_t n_bytes = bitmap_n_bytes(t->ts->n_columns);
    uint32_t hash = hash_bytes(columns, n_bytes, kind);
    struct ds sql = DS_EMPTY_INITIALIZER;
    struct sql_statement *s;
    int rc;

    HMAP_FOR_EACH_WITH_HASH (s, node, hash, &t->statements) {
        if (s->kind == kind && !memcmp(s->columns, columns, n_bytes)) {
            *stmt = s->stmt;
            return SQLITE_OK;
        }
    }
    if (hmap_count(&t->statements) >= MAX_STATEMENTS) {
        drop_statements(t);
    }
    put_statement(&sql, t, kind, columns);
    rc = sqlite3_prepare_v3(w->db, ds_cstr(&sql), -1,
                            SQLITE_PREPARE_PERSISTENT, stmt, NULL);
    ds_destroy(&sql);
    if (!rc) {
        s = xmalloc(sizeof *s);
        s->kind = kind;
        s->columns = bitmap_clone(columns, t->ts->n_columns);
        s->stmt = *stmt;
        hmap_insert(&t->statements, &s->node, hash);
    }
    return rc;
}

static int
apply_columns(struct sql_writer *w, struct sql_table *t, char kind,
              struct reader *r)
{
    int64_t id = get_i64(r);
    uint32_t n = get_u32(r), i;
    struct reader ahead = *r;
    sqlite3_stmt *stmt;
    int rc;

    memset(t->columns, 0, bitmap_n_bytes(t->ts->n_columns));
    for (i = 0; i < n; i++) {
        bitmap_set1(t->columns, get_u32(&ahead));
        skip_value(&ahead);
    }
    if (!n && kind == 'U') {
        return SQLITE_OK;
    }
    rc = find_statement(w, t, kind, &stmt);
    if (!rc) {
        rc = sqlite3_bind_int64(stmt, 1, id);
    }
    for (i = 0; i < n && !rc; i++) {
        get_u32(r);
        rc = bind_value(stmt, 2 + i, r);
    }
    return rc ? rc : run(stmt);
}

static int
apply_delete(struct sql_writer *w, struct sql_table *t, struct reader *r)
{
    int64_t id = get_i64(r);
    int rc = prepare(w, &t->delete, "DELETE FROM \"%w\" WHERE _id=?1",
                     t->ts->sql_name);
    if (!rc) {
        rc = sqlite3_bind_int64(t->delete, 1, id);
    }
    return rc ? rc : run(t->delete);
}

static int
apply_element(struct sql_writer *w, struct sql_table *t, char kind,
              struct reader *r)
{
    uint32_t column = get_u32(r);
    int64_t id = get_i64(r);
    sqlite3_stmt **stmt = (kind == 'A' ? &t->add[column]
                           : &t->remove[column]);
    int rc = prepare(w, stmt, (kind == 'A'
                               ? "INSERT OR IGNORE INTO \"%w.%w\" "
                                 "VALUES(?1,?2)"
                               : "DELETE FROM \"%w.%w\" "
                                 "WHERE row=?1 AND value=?2"),
                     t->ts->sql_name, t->ts->columns[column]->sql_name);
    if (!rc) {
        rc = sqlite3_bind_int64(*stmt, 1, id);
    }
    if (!rc) {
        rc = bind_value(*stmt, 2, r);
    }
    return rc ? rc : run(*stmt);
}

static int
apply_history(struct sql_writer *w, struct reader *r)
{
    int rc = prepare(w, &w->history, "INSERT INTO _history(txnid,time,comment,"
                     "undo) VALUES(?1,?2,?3,?4)");
    if (!rc) {
        rc = bind_value(w->history, 1, r);
    }
    if (!rc) {
        rc = sqlite3_bind_int64(w->history, 2, get_i64(r));
    }
    if (!rc) {
        rc = bind_value(w->history, 3, r);
    }
    if (!rc) {
        rc = bind_value(w->history, 4, r);
    }
    return rc ? rc : run(w->history);
}

/* Applies the 'n' bytes of changes at 'p'. */
int
sql_writer_apply(struct sql_writer *w, const char *p, size_t n)
{
    struct reader r = { p, p + n };
    int rc = SQLITE_OK;

    while (r.p < r.end && !rc) {
        char kind = *r.p++;
        if (kind == 'H') {
            rc = apply_history(w, &r);
        } else {
            struct sql_table *t = &w->tables[get_u32(&r)];
            rc = (kind == 'D' ? apply_delete(w, t, &r)
                  : kind == 'A' || kind == 'R' ? apply_element(w, t, kind, &r)
                  : apply_columns(w, t, kind, &r));
        }
    }
    return rc;
}
