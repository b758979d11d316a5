/* Keeping a database in a file: see store.h.
 *
 * Two things belong together for each transaction that is under way to the
 * file: its changes as bytes, which go to the writer (writer.h), and its rows'
 * old and new versions in 'commits', in case it has to be undone. */
#include <config.h>
#include "mgmt/db/store.h"

#include <malloc.h>

#include "lockfile.h"
#include "mgmt/db/history.h"
#include "mgmt/db/sql.h"
#include "mgmt/db/writer.h"
#include "openvswitch/vlog.h"
#include "timeval.h"
#include "util.h"

VLOG_DEFINE_THIS_MODULE(store);

/* Transactions that the history keeps, 0 for none. */
static unsigned int history_limit = 10000;

/* Rows that a transaction changed, until it is in the file. */
struct commit {
    struct ovs_list node;       /* In store->commits. */
    uint64_t ticket;
    bool durable;
    size_t n;
    struct {
        struct row *old, *new;  /* References, or NULL. */
    } rows[];
};

struct store {
    char *file_name;
    struct lockfile *lockfile;
    sqlite3 *sql;               /* The writer's. */
    sqlite3 *reader;            /* NULL until needed. */
    struct writer *writer;
    struct ds changes;          /* Of the transaction being appended. */
    uint64_t last_ticket;
    struct ovs_list commits;    /* Contains "struct commit"s. */
    uint64_t settled;           /* Tickets up to this are stored or failed. */
    struct error *failure;      /* Of the last settled ones, or NULL. */
    uint64_t failed_from;       /* Tickets from here up to 'settled' failed. */
};

unsigned int
store_history_limit(void)
{
    return history_limit;
}

/* Sets how many transactions the history keeps; 0 turns it off. */
void
store_set_history_limit(unsigned int limit)
{
    history_limit = limit;
}

const char *
store_file_name(const struct store *store)
{
    return store->file_name;
}

/* --- Transactions on their way. --- */

/* Returns an error if nothing can be written for the time being. */
struct error *
store_check(const struct store *store)
{
    struct error *error;

    writer_stored(store->writer, &error);
    return error;
}

static void
remember_commit(struct store *store, const struct txn *txn, bool durable)
{
    struct commit *c = xmalloc(sizeof *c + txn->n * sizeof c->rows[0]);
    size_t i;

    c->ticket = store->last_ticket;
    c->durable = durable;
    c->n = 0;
    for (i = 0; i < txn->n; i++) {
        const struct txn_row *r = txn->rows[i];
        if (txn_row_is_effective(r)) {
            c->rows[c->n].old = r->old ? row_ref(r->old) : NULL;
            c->rows[c->n++].new = r->new ? row_ref(r->new) : NULL;
        }
    }
    ovs_list_push_back(&store->commits, &c->node);
}

static void
forget_commit(struct commit *c)
{
    size_t i;

    for (i = 0; i < c->n; i++) {
        row_unref(c->rows[i].old);
        row_unref(c->rows[i].new);
    }
    ovs_list_remove(&c->node);
    free(c);
}

/* Hands 'txn', which has passed all checks, to the writer.  Returns a ticket:
 * once store_is_stored() for it, 'txn' is in the file, and on the disk too if
 * 'durable', which takes store_submit(). */
uint64_t
store_append(struct store *store, const struct txn *txn, bool durable)
{
    size_t i;

    ds_clear(&store->changes);
    for (i = 0; i < txn->n; i++) {
        const struct txn_row *r = txn->rows[i];
        if (txn_row_is_effective(r)) {
            changes_put_row(&store->changes, r->old, r->new);
        }
    }
    if (history_limit) {
        changes_put_history(&store->changes, txn, time_wall_msec());
    }
    store->last_ticket++;
    remember_commit(store, txn, durable);
    writer_append(store->writer, &store->changes, store->last_ticket, durable);
    if (store->changes.allocated > 64 * 1024) {
        ds_destroy(&store->changes);
        ds_init(&store->changes);
    }
    return store->last_ticket;
}

/* Asks for a sync of what has been appended before and returns a ticket for
 * it. */
uint64_t
store_sync(struct store *store)
{
    static const struct ds nothing;

    writer_append(store->writer, &nothing, ++store->last_ticket, true);
    return store->last_ticket;
}

/* Has the durable transactions that were appended written.  To be called when
 * all that have come together are. */
void
store_submit(struct store *store)
{
    writer_submit(store->writer);
}

/* Whether 'ticket' is settled: stored, or failed as store_error() tells. */
bool
store_is_stored(const struct store *store, uint64_t ticket)
{
    return ticket <= store->settled;
}

/* Returns a copy of the error by which 'ticket', which is settled, failed,
 * NULL if it didn't.  To be asked right after store_run(). */
struct error *
store_error(const struct store *store, uint64_t ticket)
{
    return (store->failure && ticket >= store->failed_from
            ? error_clone(store->failure) : NULL);
}

/* Returns a copy of the error with which writing failed last, NULL if it has
 * succeeded since. */
struct error *
store_failure(const struct store *store)
{
    return error_clone(store->failure);
}

/* Whether writing failed last, so that it may well fail again. */
bool
store_is_failing(const struct store *store)
{
    return store->failure != NULL;
}

/* Puts the old version of a row back. */
static void
undo_row(struct txn *txn, struct row *old, struct row *new)
{
    const struct row *any = old ? old : new;
    struct row *row = table_row(any->table, row_uuid(any));
    size_t i;

    if (!old) {
        txn_delete(txn, row);
    } else if (!row) {
        txn_insert(txn, row_clone(old));
    } else {
        row = txn_modify(txn, row);
        for (i = N_STD_COLUMNS; i < old->table->schema->n_columns; i++) {
            row_set(row, old->table->schema->columns[i],
                    datum_ref(old->fields[i]));
        }
    }
}

/* Undoes all transactions that are not in the file. */
static void
undo_commits(struct store *store, struct db *db)
{
    unsigned int n = 0, n_promised = 0;
    struct commit *c;

    LIST_FOR_EACH_REVERSE_SAFE (c, node, &store->commits) {
        struct txn *txn = txn_create(db);
        struct error *error;
        size_t i;

        n++;
        n_promised += !c->durable;
        for (i = c->n; i-- > 0; ) {
            undo_row(txn, c->rows[i].old, c->rows[i].new);
        }
        error = txn_take_back(txn);
        if (error) {
            char *s = error_to_string_free(error);
            VLOG_ERR("%s: can't undo a transaction that couldn't be "
                     "written: %s", store->file_name, s);
            free(s);
        }
        forget_commit(c);
    }
    if (n) {
        static struct vlog_rate_limit rl = VLOG_RATE_LIMIT_INIT(1, 5);
        char *s = error_to_string(store->failure);
        VLOG_ERR_RL(&rl, "%s; undid %u transactions, of which clients already "
                    "have been told that %u succeeded (they didn't ask for "
                    "durability)", s, n, n_promised);
        free(s);
    }
}

/* Takes note of what the writer has done.  Returns whether any ticket was
 * settled. */
bool
store_run(struct store *store, struct db *db)
{
    struct error *error;
    uint64_t stored = writer_stored(store->writer, &error);
    struct commit *c;

    if (stored == store->settled && !error) {
        return false;
    }
    LIST_FOR_EACH_SAFE (c, node, &store->commits) {
        if (c->ticket > stored) {
            break;
        }
        forget_commit(c);
    }
    error_destroy(store->failure);
    store->failure = error;
    store->settled = stored;
    if (error) {
        store->failed_from = stored + 1;
        undo_commits(store, db);
        store->settled = store->last_ticket;
        writer_give_up(store->writer, store->last_ticket);
    }
    return true;
}

/* Waits until all that has been appended is in the file; returns an error if
 * that fails. */
struct error *
store_drain(struct store *store)
{
    return writer_drain(store->writer);
}

/* Makes the file as small as it can be. */
struct error *
store_compact(struct store *store)
{
    return writer_compact(store->writer);
}

/* A connection for reading what is in the file, NULL if that fails. */
sqlite3 *
store_reader(struct store *store)
{
    if (!store->reader
        && sql_open(store->file_name, SQLITE_OPEN_READONLY,
                    &store->reader)) {
        sqlite3_close(store->reader);
        store->reader = NULL;
    }
    return store->reader;
}

/* --- Opening and closing. --- */

/* Whether a restart resets 'column' of a row to its default.  A reference that
 * must be there can't be, so it stays. */
static bool
is_reset(const struct column *column)
{
    const struct type *type = &column->type;

    return (!column->persistent
            && (!type->n_min
                || !((type->key.type == ATOM_UUID && type->key.uuid.ref)
                     || (type->value.type == ATOM_UUID
                         && type->value.uuid.ref))));
}

static void
reset_table(struct txn *txn, struct table *table)
{
    const struct table_schema *ts = table->schema;
    const struct column **columns = xmalloc(ts->n_columns * sizeof *columns);
    struct row *row;
    size_t n = 0, i;

    for (i = N_STD_COLUMNS; i < ts->n_columns; i++) {
        if (is_reset(ts->columns[i])) {
            columns[n++] = ts->columns[i];
        }
    }
    HMAP_FOR_EACH_SAFE (row, node, &table->rows) {
        for (i = 0; i < n; i++) {
            if (!datum_is_default(row->fields[columns[i]->index],
                                  &columns[i]->type)) {
                row = txn_modify(txn, row);
                row_set(row, columns[i], datum_default(&columns[i]->type));
            }
        }
    }
    free(columns);
}

/* Resets the ephemeral columns, as a restart does. */
static struct error *
reset_ephemeral(struct db *db)
{
    struct txn *txn = txn_create(db);
    uint64_t ticket;
    size_t i;

    for (i = 0; i < db->schema->n_tables; i++) {
        reset_table(txn, db->by_number[i]);
    }
    return txn_commit(txn, false, &ticket);
}

/* Finds the last transaction's id in the history. */
static void
load_txnid(struct store *store, struct db *db)
{
    sqlite3_stmt *stmt;

    if (!sqlite3_prepare_v2(store->sql, "SELECT txnid FROM _history "
                            "ORDER BY seq DESC LIMIT 1", -1, &stmt, NULL)
        && sqlite3_step(stmt) == SQLITE_ROW) {
        uuid_from_string(&db->last_txnid,
                         (const char *) sqlite3_column_text(stmt, 0));
    }
    sqlite3_finalize(stmt);
}

/* Opens a file to be served: reads it into '*dbp', whose 'store' keeps it up
 * to date.  'wake' is called by another thread when store_run() has something
 * to do. */
struct error *
store_open(const char *file_name, struct db **dbp, void (*wake)(void *),
           void *aux)
{
    struct lockfile *lockfile;
    struct schema *schema;
    struct error *error;
    struct store *store;
    struct db *db;
    sqlite3 *sql;
    int retval;

    *dbp = NULL;
    retval = lockfile_lock(file_name, &lockfile);
    if (retval) {
        return error_io(retval, "%s: failed to lock lockfile", file_name);
    }
    error = store_open_file(file_name, SQLITE_OPEN_READWRITE, &sql, &schema);
    if (!error
        && sql_exec(sql, "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;"
                    "PRAGMA wal_autocheckpoint=4000;")) {
        error = sql_error(sql, file_name, "opening");
        schema_destroy(schema);
        sqlite3_close(sql);
    }
    if (error) {
        lockfile_unlock(lockfile);
        return error;
    }

    store = xzalloc(sizeof *store);
    store->file_name = xstrdup(file_name);
    store->lockfile = lockfile;
    store->sql = sql;
    ds_init(&store->changes);
    ovs_list_init(&store->commits);

    db = db_create(schema);
    db->store = store;
    error = sql_load(sql, file_name, db);
    if (!error) {
        load_txnid(store, db);
    }
    store->writer = writer_create(sql, store->file_name, schema, wake, aux);
    if (!error) {
        error = reset_ephemeral(db);
    }
    if (error) {
        store_close(store);
        db_destroy(db);
    } else {
        store_reader(store);    /* Now, so that it takes no client's time. */
        malloc_trim(0);
        *dbp = db;
    }
    return error;
}

/* Writes what is still to be written and closes the file. */
void
store_close(struct store *store)
{
    struct commit *c;

    if (!store) {
        return;
    }
    writer_destroy(store->writer);
    LIST_FOR_EACH_SAFE (c, node, &store->commits) {
        forget_commit(c);
    }
    sqlite3_close(store->reader);
    sqlite3_close(store->sql);
    error_destroy(store->failure);
    ds_destroy(&store->changes);
    lockfile_unlock(store->lockfile);
    free(store->file_name);
    free(store);
}

/* What a file's tables are replaced by. */
struct replacement {
    const struct schema *old;
    const struct db *new;
};

static int
replace_tables(sqlite3 *sql, void *replacement_)
{
    const struct replacement *r = replacement_;
    int rc = sql_drop_tables(sql, r->old);

    if (!rc) {
        rc = sql_create_tables(sql, r->new->schema);
    }
    return rc ? rc : store_write_all(sql, r->new);
}

/* Replaces everything in the file by 'db', of perhaps another schema.  The
 * history begins anew. */
struct error *
store_replace(struct store *store, const struct db *db)
{
    struct error *error = store_drain(store);
    struct schema *old;

    if (!error) {
        error = sql_load_schema(store->sql, store->file_name, &old);
    }
    if (!error) {
        struct replacement r = { old, db };
        error = writer_transact(store->writer, replace_tables, &r,
                                "converting");
        schema_destroy(old);
    }
    return error;
}

/* Begins to write transactions of a database with 'schema', which must stay:
 * the one that store_replace() was given. */
void
store_set_schema(struct store *store, const struct schema *schema)
{
    writer_set_schema(store->writer, schema);
}
