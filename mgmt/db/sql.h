/* How databases are laid out in SQL, and the lists of changes that go from the
 * main thread to the store's writer.  See store.h. */
#ifndef SLUICE_DB_SQL_H
#define SLUICE_DB_SQL_H 1

#include <limits.h>
#include <sqlite3.h>

#include "mgmt/db/database.h"

#define SQL_FORMAT_VERSION 1    /* "PRAGMA user_version". */
#define SQL_APPLICATION_ID 0x536c6442 /* "PRAGMA application_id": "SldB". */

/* How long a connection waits for another process that locks the file. */
#define SQL_BUSY_MS 10000

/* Whether a column is a table of its own. */
static inline bool
column_has_table(const struct column *column)
{
    return (column->type.key.type == ATOM_UUID && !type_is_map(&column->type)
            && column->type.n_max == UINT_MAX);
}

struct error *sql_error(sqlite3 *, const char *file_name, const char *what);
int sql_exec(sqlite3 *, const char *sql);
int sql_open(const char *file_name, int flags, sqlite3 **);
int sql_create_tables(sqlite3 *, const struct schema *);
int sql_drop_tables(sqlite3 *, const struct schema *);

/* A list of changes: bytes that only these functions look at. */
void changes_put_row(struct ds *, const struct row *old,
                     const struct row *new);
void changes_put_history(struct ds *, const struct txn *,
                         long long int time_ms);

/* What applies them: the writer's prepared statements for one schema. */
struct sql_writer;

struct sql_writer *sql_writer_create(sqlite3 *, const struct schema *);
void sql_writer_destroy(struct sql_writer *);
int sql_writer_apply(struct sql_writer *, const char *, size_t);

/* Reading it back. */
struct error *sql_load(sqlite3 *, const char *file_name, struct db *)
    OVS_WARN_UNUSED_RESULT;
struct error *sql_load_schema(sqlite3 *, const char *file_name,
                              struct schema **) OVS_WARN_UNUSED_RESULT;

#endif /* mgmt/db/sql.h */
