/* Where a database is kept: an SQLite file in WAL mode.
 *
 * Each OVSDB table is an SQL table of the same name, with a column for each of
 * its columns, "_uuid" and "_version" among them, so that `sqlite3 FILE
 * 'select name from Interface'` answers:
 *
 *     integer, real, string   INTEGER, REAL, TEXT
 *     boolean                 0 or 1
 *     uuid                    TEXT
 *     optional                the same, or NULL
 *     set                     TEXT, a JSON array, or NULL if empty
 *     map                     TEXT, a JSON object, or NULL if empty
 *
 * except that an unlimited set of UUIDs, such as Bridge.ports, is a table of
 * its own, here "Bridge.ports", of pairs (row, value), so that adding to a
 * large one writes little.  "_id" numbers the rows.  Ephemeral columns are
 * kept too: see history.h for why.
 *
 * store_append() turns a transaction into a list of what to write and returns
 * at once.  What has gathered when the writer gets to it becomes one SQLite
 * transaction, synced to the disk if any part asked for that, so that the
 * transactions that come while a sync is under way share the next one: see
 * writer.h.  A transaction is in the file as a whole or not at all, and only
 * together with all those before it.
 *
 * If writing fails, the transactions that are not in the file are undone in
 * memory, too: see store_run().  Until writing succeeds again, every
 * transaction is answered only once it is stored, durable or not. */
#ifndef SLUICE_DB_STORE_H
#define SLUICE_DB_STORE_H 1

#include <sqlite3.h>

#include "mgmt/db/database.h"

struct store;

/* Opening and making files. */
bool store_is_sqlite(const char *file_name);
struct error *store_create(const char *file_name, const struct db *,
                           const char *comment) OVS_WARN_UNUSED_RESULT;
struct error *store_rename(const char *old_name, const char *new_name)
    OVS_WARN_UNUSED_RESULT;
struct error *store_open(const char *file_name, struct db **,
                         void (*wake)(void *aux), void *aux)
    OVS_WARN_UNUSED_RESULT;
struct error *store_read(const char *file_name, struct db **)
    OVS_WARN_UNUSED_RESULT;
struct error *store_read_schema(const char *file_name, struct schema **)
    OVS_WARN_UNUSED_RESULT;
void store_close(struct store *);
const char *store_file_name(const struct store *);

/* For the store itself. */
struct error *store_open_file(const char *file_name, int flags, sqlite3 **,
                              struct schema **) OVS_WARN_UNUSED_RESULT;
int store_write_all(sqlite3 *, const struct db *);

/* Main thread. */
struct error *store_check(const struct store *);
uint64_t store_append(struct store *, const struct txn *, bool durable);
uint64_t store_sync(struct store *);
void store_submit(struct store *);
bool store_run(struct store *, struct db *);
bool store_is_stored(const struct store *, uint64_t ticket);
struct error *store_error(const struct store *, uint64_t ticket);
struct error *store_failure(const struct store *);
bool store_is_failing(const struct store *);
struct error *store_drain(struct store *);
struct error *store_compact(struct store *) OVS_WARN_UNUSED_RESULT;
struct error *store_replace(struct store *, const struct db *)
    OVS_WARN_UNUSED_RESULT;
void store_set_schema(struct store *, const struct schema *);
sqlite3 *store_reader(struct store *);
unsigned int store_history_limit(void);
void store_set_history_limit(unsigned int);

#endif /* mgmt/db/store.h */
