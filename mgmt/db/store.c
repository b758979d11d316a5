/* Keeping a database in a file: see store.h.
 *
 * Three things belong together for each transaction that is under way to the
 * file: its changes as bytes in 'batch', which go to the writer; its rows'
 * old and new versions in 'commits', in case it has to be undone; and its
 * ticket, a number that counts transactions.  The writer reports the ticket up
 * to which everything is in the file, or a failure, by calling 'wake'. */
#include <config.h>
#include "mgmt/db/store.h"

#include <errno.h>
#include <malloc.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lockfile.h"
#include "mgmt/db/history.h"
#include "mgmt/db/sql.h"
#include "openvswitch/thread.h"
#include "openvswitch/vlog.h"
#include "ovs-rcu.h"
#include "ovs-thread.h"
#include "socket-util.h"
#include "timeval.h"
#include "util.h"

VLOG_DEFINE_THIS_MODULE(store);

/* What nobody waits for may gather for so long before it is written, since
 * most of what a commit costs doesn't depend on its size. */
enum {
    GATHER_MS = 2,
    GATHER_BYTES = 256 * 1024,
    QUIET_MS = 20               /* But the first after a pause isn't kept. */
};

/* How often it is tried to make sure that a failed batch stays away. */
enum {
    SETTLE_TRIES = 10,
    SETTLE_PAUSE_MS = 20
};

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
    sqlite3 *sql;               /* Used by the writer, or while it is idle. */
    sqlite3 *reader;            /* Main thread's, NULL until needed. */
    struct sql_writer *writer;
    pthread_t thread;
    void (*wake)(void *aux);    /* Called by the writer. */
    void *aux;
    bool is_durable;            /* Writer's: "synchronous" is FULL. */
    unsigned int n_batches;     /* Writer's: since the start. */
    long long int last_written; /* Writer's: when, in ms. */
    bool doubtful;              /* Writer's: the last batch failed, but a
                                 * crash now might bring it back. */

    /* Main thread only. */
    uint64_t last_ticket;
    struct ovs_list commits;    /* Contains "struct commit"s. */
    uint64_t settled;           /* Tickets up to this are stored or failed. */
    struct error *failure;      /* Of the last settled ones, or NULL. */
    uint64_t failed_from;       /* Tickets from here up to 'settled' failed. */

    struct ovs_mutex mutex;     /* Protects the rest. */
    pthread_cond_t work;        /* The writer has something to do. */
    pthread_cond_t idle;        /* The writer has done it. */
    struct ds batch;            /* Changes to be written. */
    uint64_t batch_ticket;      /* The last one in 'batch'. */
    bool batch_durable;
    bool urgent;                /* Someone waits for 'idle'. */
    bool exiting;
    uint64_t stored;            /* Tickets up to this are in the file. */
    struct error *error;        /* What went wrong after that, or NULL: then
                                 * the writer waits for it to be taken. */
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

/* --- The writer. --- */

static int
set_durable(struct store *store, bool durable)
{
    if (store->is_durable == durable) {
        return SQLITE_OK;
    }
    store->is_durable = durable;
    return sql_exec(store->sql, (durable ? "PRAGMA synchronous=FULL"
                                 : "PRAGMA synchronous=NORMAL"));
}

/* Forgets what the history has too much of. */
static int
prune_history(struct store *store)
{
    char *sql = xasprintf("DELETE FROM _history WHERE seq <= "
                          "(SELECT max(seq) FROM _history) - %u",
                          history_limit);
    int rc = sql_exec(store->sql, sql);
    free(sql);
    return rc;
}

/* If a batch fails because its sync does, its frames are in the log
 * nevertheless, and who reads that after a crash takes them for committed.
 * Another transaction, which changes nothing, overwrites them.  Returns whether
 * that succeeded. */
static bool
overwrite_doubtful(struct store *store)
{
    int rc = set_durable(store, true);

    if (!rc) {
        rc = sql_exec(store->sql, "BEGIN IMMEDIATE;"
                      "INSERT INTO _history(seq) VALUES(-1);"
                      "DELETE FROM _history WHERE seq=-1; COMMIT");
    }
    if (!sqlite3_get_autocommit(store->sql)) {
        sql_exec(store->sql, "ROLLBACK");
    }
    return !rc;
}

/* Makes sure that a batch that failed stays away.  Clients hear of the failure
 * only afterward, unless the disk takes nothing at all for a while. */
static void
settle_doubt(struct store *store)
{
    for (int i = 0; store->doubtful && i < SETTLE_TRIES; i++) {
        if (i) {
            xnanosleep_no_quiesce(SETTLE_PAUSE_MS * 1000000ULL);
        }
        store->doubtful = !overwrite_doubtful(store);
    }
}

static struct error *
write_batch(struct store *store, const struct ds *batch, bool durable)
{
    int rc = set_durable(store, durable);

    if (!rc) {
        rc = sql_exec(store->sql, "BEGIN IMMEDIATE");
    }
    if (!rc) {
        rc = sql_writer_apply(store->writer, batch->string, batch->length);
    }
    if (!rc && !(++store->n_batches % 1000)) {
        rc = prune_history(store);
    }
    if (!rc) {
        rc = sql_exec(store->sql, "COMMIT");
    }
    if (rc) {
        struct error *error = sql_error(store->sql, store->file_name,
                                        "writing");
        if (!sqlite3_get_autocommit(store->sql)) {
            sql_exec(store->sql, "ROLLBACK");
        }
        store->doubtful = true;
        settle_doubt(store);
        return error;
    }
    store->doubtful = false;
    return NULL;
}

/* Lets more transactions come unless someone waits for those already here. */
static void
gather(struct store *store) OVS_REQUIRES(store->mutex)
{
    struct timespec until;
    int error = 0;

    if (time_msec() - store->last_written > QUIET_MS) {
        return;                 /* A single one, as it seems. */
    }
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += GATHER_MS * 1000000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_nsec -= 1000000000;
        until.tv_sec++;
    }
    while (!error && !store->batch_durable && !store->urgent
           && !store->exiting && store->batch.length < GATHER_BYTES) {
        error = pthread_cond_timedwait(&store->work, &store->mutex.lock,
                                       &until);
    }
}

static void *
writer_main(void *store_)
{
    struct store *store = store_;
    struct ds batch = DS_EMPTY_INITIALIZER;

    ovsrcu_quiesce_start();
    ovs_mutex_lock(&store->mutex);
    for (;;) {
        struct error *error;
        uint64_t ticket;
        struct ds tmp;
        bool durable;

        while ((store->stored == store->batch_ticket || store->error)
               && !store->exiting) {
            ovs_mutex_cond_wait(&store->work, &store->mutex);
        }
        if (store->stored == store->batch_ticket || store->error) {
            break;
        }
        gather(store);
        tmp = batch;
        batch = store->batch;
        store->batch = tmp;
        ds_clear(&store->batch);
        ticket = store->batch_ticket;
        durable = store->batch_durable;
        store->batch_durable = false;
        ovs_mutex_unlock(&store->mutex);

        error = write_batch(store, &batch, durable);
        store->last_written = time_msec();
        if (batch.allocated > 64 * 1024) {
            ds_destroy(&batch);
            ds_init(&batch);
        }

        ovs_mutex_lock(&store->mutex);
        if (error) {
            store->error = error;
        } else {
            store->stored = ticket;
        }
        pthread_cond_broadcast(&store->idle);
        if (store->wake && (durable || error)) {
            store->wake(store->aux);
        }
    }
    ovs_mutex_unlock(&store->mutex);
    ds_destroy(&batch);
    return NULL;
}

/* Waits until everything appended so far is in the file or has failed. */
static void
wait_idle(struct store *store) OVS_REQUIRES(store->mutex)
{
    uint64_t target = store->batch_ticket;

    store->urgent = true;
    pthread_cond_signal(&store->work);
    while (store->stored < target && !store->error) {
        ovs_mutex_cond_wait(&store->idle, &store->mutex);
    }
    store->urgent = false;
}

/* --- The main thread's side. --- */

/* Returns an error if nothing can be written for the time being. */
struct error *
store_check(const struct store *store_)
{
    struct store *store = CONST_CAST(struct store *, store_);
    struct error *error;

    ovs_mutex_lock(&store->mutex);
    error = error_clone(store->error);
    ovs_mutex_unlock(&store->mutex);
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
 * 'durable'. */
uint64_t
store_append(struct store *store, const struct txn *txn, bool durable)
{
    struct ds changes = DS_EMPTY_INITIALIZER;
    size_t i;

    for (i = 0; i < txn->n; i++) {
        const struct txn_row *r = txn->rows[i];
        if (txn_row_is_effective(r)) {
            changes_put_row(&changes, r->old, r->new);
        }
    }
    if (history_limit) {
        changes_put_history(&changes, txn, time_wall_msec());
    }
    store->last_ticket++;
    remember_commit(store, txn, durable);

    ovs_mutex_lock(&store->mutex);
    if (!store->batch.length || (durable && !store->batch_durable)
        || store->batch.length + changes.length >= GATHER_BYTES) {
        pthread_cond_signal(&store->work);
    }
    ds_put_buffer(&store->batch, changes.string, changes.length);
    store->batch_ticket = store->last_ticket;
    store->batch_durable = store->batch_durable || durable;
    ovs_mutex_unlock(&store->mutex);
    ds_destroy(&changes);
    return store->last_ticket;
}

/* Asks for a sync of what has been appended before and returns a ticket for
 * it. */
uint64_t
store_sync(struct store *store)
{
    store->last_ticket++;
    ovs_mutex_lock(&store->mutex);
    store->batch_ticket = store->last_ticket;
    store->batch_durable = true;
    pthread_cond_signal(&store->work);
    ovs_mutex_unlock(&store->mutex);
    return store->last_ticket;
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
    struct commit *c;
    uint64_t stored;

    ovs_mutex_lock(&store->mutex);
    stored = store->stored;
    error = error_clone(store->error);
    ovs_mutex_unlock(&store->mutex);

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

        ovs_mutex_lock(&store->mutex);
        error_destroy(store->error);
        store->error = NULL;
        store->stored = store->settled = store->last_ticket;
        store->batch_ticket = store->last_ticket;
        store->batch_durable = false;
        ds_clear(&store->batch);
        ovs_mutex_unlock(&store->mutex);
    }
    return true;
}

/* Waits until all that has been appended is in the file; returns an error if
 * that fails. */
struct error *
store_drain(struct store *store)
{
    struct error *error;

    ovs_mutex_lock(&store->mutex);
    wait_idle(store);
    error = error_clone(store->error);
    ovs_mutex_unlock(&store->mutex);
    return error;
}

/* Makes the file as small as it can be. */
struct error *
store_compact(struct store *store)
{
    struct error *error = store_drain(store);

    if (error) {
        return error;
    }
    ovs_mutex_lock(&store->mutex);
    if (prune_history(store)
        || sql_exec(store->sql, "VACUUM")
        || sql_exec(store->sql, "PRAGMA wal_checkpoint(TRUNCATE)")) {
        error = sql_error(store->sql, store->file_name, "compacting");
    }
    ovs_mutex_unlock(&store->mutex);
    return error;
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
static int
write_all(sqlite3 *sql, const struct db *db)
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
        rc = write_all(sql, db);
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

/* Opens a file for reading and reads its schema. */
static struct error *
open_and_read_schema(const char *file_name, int flags, sqlite3 **sql,
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

    error = open_and_read_schema(file_name, SQLITE_OPEN_READONLY, &sql,
                                 schema);
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
    error = open_and_read_schema(file_name, SQLITE_OPEN_READONLY, &sql,
                                 &schema);
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

/* Resets the ephemeral columns, as a restart does. */
static struct error *
reset_ephemeral(struct db *db)
{
    struct txn *txn = txn_create(db);
    uint64_t ticket;
    size_t i, j;

    for (i = 0; i < db->schema->n_tables; i++) {
        const struct table_schema *ts = db->schema->tables[i];
        struct row *row;

        HMAP_FOR_EACH_SAFE (row, node, &db->by_number[i]->rows) {
            for (j = N_STD_COLUMNS; j < ts->n_columns; j++) {
                const struct column *column = ts->columns[j];
                if (is_reset(column)
                    && !datum_is_default(row->fields[j], &column->type)) {
                    row = txn_modify(txn, row);
                    row_set(row, column, datum_default(&column->type));
                }
            }
        }
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
    pthread_condattr_t attr;
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
    error = open_and_read_schema(file_name, SQLITE_OPEN_READWRITE, &sql,
                                 &schema);
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
    store->wake = wake;
    store->aux = aux;
    ovs_list_init(&store->commits);
    ovs_mutex_init(&store->mutex);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    xpthread_cond_init(&store->work, &attr);
    pthread_condattr_destroy(&attr);
    xpthread_cond_init(&store->idle, NULL);
    ds_init(&store->batch);

    db = db_create(schema);
    db->store = store;
    store->writer = sql_writer_create(sql, schema);
    error = sql_load(sql, file_name, db);
    if (!error) {
        load_txnid(store, db);
    }
    store->thread = ovs_thread_create("store", writer_main, store);
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
    ovs_mutex_lock(&store->mutex);
    store->exiting = true;
    pthread_cond_signal(&store->work);
    ovs_mutex_unlock(&store->mutex);
    xpthread_join(store->thread, NULL);

    settle_doubt(store);
    if (store->error) {
        char *s = error_to_string(store->error);
        VLOG_ERR("%s", s);
        free(s);
    }
    LIST_FOR_EACH_SAFE (c, node, &store->commits) {
        forget_commit(c);
    }
    sql_writer_destroy(store->writer);
    sqlite3_close(store->reader);
    sqlite3_close(store->sql);
    error_destroy(store->error);
    error_destroy(store->failure);
    ds_destroy(&store->batch);
    ovs_mutex_destroy(&store->mutex);
    lockfile_unlock(store->lockfile);
    free(store->file_name);
    free(store);
}

/* Replaces everything in the file by 'db', of perhaps another schema.  The
 * history begins anew. */
struct error *
store_replace(struct store *store, const struct db *db)
{
    struct error *error = store_drain(store);
    struct schema *old;
    int rc;

    if (error) {
        return error;
    }
    error = sql_load_schema(store->sql, store->file_name, &old);
    if (error) {
        return error;
    }
    rc = set_durable(store, true);
    if (!rc) {
        rc = sql_exec(store->sql, "BEGIN IMMEDIATE");
    }
    if (!rc) {
        rc = sql_drop_tables(store->sql, old);
    }
    if (!rc) {
        rc = sql_create_tables(store->sql, db->schema);
    }
    if (!rc) {
        rc = write_all(store->sql, db);
    }
    if (!rc) {
        rc = sql_exec(store->sql, "COMMIT");
    }
    if (rc) {
        error = sql_error(store->sql, store->file_name, "converting");
        if (!sqlite3_get_autocommit(store->sql)) {
            sql_exec(store->sql, "ROLLBACK");
        }
        store->doubtful = true;
        settle_doubt(store);
    }
    schema_destroy(old);
    return error;
}

/* Begins to write transactions of a database with 'schema', which must stay:
 * the one that store_replace() was given. */
void
store_set_schema(struct store *store, const struct schema *schema)
{
    sql_writer_destroy(store->writer);
    store->writer = sql_writer_create(store->sql, schema);
}
