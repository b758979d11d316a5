/* A database's file as such: making, renaming and reading it, apart from a
 * server that serves it.  See store.h. */
#include <config.h>
#include "mgmt/db/store.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "mgmt/db/sql.h"
#include "socket-util.h"
#include "util.h"

/* Whether the file begins as SQLite's do. */
bool
store_is_sqlite(const char *file_name)
{
    char magic[16];
    FILE *stream = fopen(file_name, "rb");
    bool is_sqlite;

    is_sqlite = (stream && fread(magic, sizeof magic, 1, stream) == 1
                 && !memcmp(magic, "SQLite format 3", sizeof magic));
    if (stream) {
        fclose(stream);
    }
    return is_sqlite;
}

/* Writes all rows of 'db' through 'sql', within a transaction. */
int
store_write_all(sqlite3 *sql, const struct db *db)
{
    struct sql_writer *writer = sql_writer_create(sql, db->schema);
    struct ds changes = DS_EMPTY_INITIALIZER;
    int rc = SQLITE_OK;
    struct row *row;
    size_t i;

    for (i = 0; i < db->schema->n_tables; i++) {
        HMAP_FOR_EACH (row, node, &db->by_number[i]->rows) {
            if (!rc) {
                changes_put_row(&changes, NULL, row);
                rc = sql_writer_apply(writer, changes.string, changes.length);
                ds_clear(&changes);
            }
        }
    }
    ds_destroy(&changes);
    sql_writer_destroy(writer);
    return rc;
}

/* Makes a new file with the contents of 'db'. */
struct error *
store_create(const char *file_name, const struct db *db, const char *comment)
{
    struct error *error = NULL;
    sqlite3 *sql;
    mode_t mask;
    int rc;

    if (!access(file_name, F_OK)) {
        return error_io(EEXIST, "%s: create failed", file_name);
    }
    mask = umask(027);          /* As ovsdb-tool's files. */
    rc = sql_open(file_name, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, &sql);
    if (!rc) {
        rc = sql_exec(sql, "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;"
                      "BEGIN IMMEDIATE");
    }
    if (!rc) {
        rc = sql_create_tables(sql, db->schema);
    }
    if (!rc) {
        rc = store_write_all(sql, db);
    }
    if (!rc) {
        rc = sql_exec(sql, "COMMIT");
    }
    if (rc) {
        error = sql_error(sql, file_name, "creating");
    }
    sqlite3_close(sql);
    umask(mask);
    if (error) {
        unlink(file_name);
    }
    return error;
}

/* Renames a file that nobody has open, in place of any that has the new name
 * now.  What a crash may have left of that one goes with it: SQLite would take
 * it for part of the file that comes. */
struct error *
store_rename(const char *old_name, const char *new_name)
{
    static const char *const suffixes[] = { "-shm", "-wal" };

    for (size_t i = 0; i < ARRAY_SIZE(suffixes); i++) {
        char *name = xasprintf("%s%s", new_name, suffixes[i]);
        unlink(name);
        free(name);
    }
    if (rename(old_name, new_name)) {
        return error_io(errno, "failed to rename \"%s\" to \"%s\"",
                        old_name, new_name);
    }
    fsync_parent_dir(new_name);
    return NULL;
}

/* Opens a file and reads its schema.  On error '*sql' is NULL. */
struct error *
store_open_file(const char *file_name, int flags, sqlite3 **sql,
                struct schema **schema)
{
    struct error *error;

    if (sql_open(file_name, flags, sql)) {
        error = sql_error(*sql, file_name, "opening");
    } else {
        error = sql_load_schema(*sql, file_name, schema);
    }
    if (error) {
        sqlite3_close(*sql);
        *sql = NULL;
    }
    return error;
}

/* Reads just the schema of a file. */
struct error *
store_read_schema(const char *file_name, struct schema **schema)
{
    struct error *error;
    sqlite3 *sql;

    error = store_open_file(file_name, SQLITE_OPEN_READONLY, &sql, schema);
    sqlite3_close(sql);
    return error;
}

/* Reads a file into memory, apart from it. */
struct error *
store_read(const char *file_name, struct db **dbp)
{
    struct schema *schema;
    struct error *error;
    sqlite3 *sql;

    *dbp = NULL;
    error = store_open_file(file_name, SQLITE_OPEN_READONLY, &sql, &schema);
    if (!error) {
        struct db *db = db_create(schema);
        error = sql_load(sql, file_name, db);
        if (error) {
            db_destroy(db);
        } else {
            *dbp = db;
        }
        sqlite3_close(sql);
    }
    return error;
}
