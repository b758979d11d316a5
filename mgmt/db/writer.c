/* Writing to a database's file: see writer.h. */
#include <config.h>
#include "mgmt/db/writer.h"

#include "mgmt/db/sql.h"
#include "mgmt/db/store.h"
#include "openvswitch/thread.h"
#include "openvswitch/vlog.h"
#include "ovs-rcu.h"
#include "ovs-thread.h"
#include "timeval.h"
#include "util.h"

VLOG_DEFINE_THIS_MODULE(writer);

/* What nobody waits for may gather for so long before it is written, since
 * most of what a commit costs doesn't depend on its size. */
enum {
    GATHER_MS = 2,
    GATHER_BYTES = 256 * 1024,
    QUIET_MS = 20               /* But the first after a pause isn't kept. */
};

/* What the main thread may write by itself. */
enum {
    ALONE_BYTES = 16 * 1024,
    ALONE_USEC = 1000           /* If the last sync took no longer. */
};

/* How often it is tried to make sure that a failed batch stays away. */
enum {
    SETTLE_TRIES = 10,
    SETTLE_PAUSE_MS = 20
};

struct writer {
    sqlite3 *sql;
    const char *file_name;
    pthread_t thread;
    void (*wake)(void *aux);    /* Called by the thread when a durable batch
                                 * is in the file or one has failed. */
    void *aux;

    /* For whoever made 'busy' true. */
    struct sql_writer *statements;
    struct ds taken;            /* The changes being written. */
    bool is_durable;            /* "synchronous" is FULL. */
    unsigned int n_batches;     /* Since the start. */
    bool doubtful;              /* The last batch failed, but a crash now might
                                 * bring it back. */

    struct ovs_mutex mutex;     /* Protects the rest. */
    pthread_cond_t work;        /* The thread has something to do. */
    pthread_cond_t idle;        /* A batch is done. */
    bool busy;                  /* Someone is writing. */
    long long int last_written; /* In ms. */
    long long int sync_usec;    /* How long the last durable batch took. */
    struct ds batch;            /* Changes to be written. */
    uint64_t batch_ticket;      /* The last one in 'batch'. */
    unsigned int n_durable;     /* Those in 'batch' to be synced. */
    bool urgent;                /* Someone waits for 'idle'. */
    bool exiting;
    uint64_t stored;            /* Tickets up to this are in the file. */
    struct error *error;        /* What went wrong after that, or NULL: then
                                 * nothing is written before it is taken. */
};

/* --- SQL transactions. --- */

static int
set_durable(struct writer *w, bool durable)
{
    int rc;

    if (w->is_durable == durable) {
        return SQLITE_OK;
    }
    rc = sql_exec(w->sql, (durable ? "PRAGMA synchronous=FULL"
                           : "PRAGMA synchronous=NORMAL"));
    if (!rc) {
        w->is_durable = durable;
    }
    return rc;
}

/* Forgets what the history has too much of. */
static int
prune_history(struct writer *w)
{
    char *sql = xasprintf("DELETE FROM _history WHERE seq <= "
                          "(SELECT max(seq) FROM _history) - %u",
                          store_history_limit());
    int rc = sql_exec(w->sql, sql);
    free(sql);
    return rc;
}

/* If a batch fails because its sync does, its frames are in the log
 * nevertheless, and who reads that after a crash takes them for committed.
 * Another transaction, which changes nothing, overwrites them.  Returns
 * whether that succeeded. */
static bool
overwrite_doubtful(struct writer *w)
{
    int rc = set_durable(w, true);

    if (!rc) {
        rc = sql_exec(w->sql, "BEGIN IMMEDIATE;"
                      "INSERT INTO _history(seq) VALUES(-1);"
                      "DELETE FROM _history WHERE seq=-1; COMMIT");
    }
    if (!sqlite3_get_autocommit(w->sql)) {
        sql_exec(w->sql, "ROLLBACK");
    }
    return !rc;
}

/* Makes sure that a batch that failed stays away.  Clients hear of the failure
 * only afterward, unless the disk takes nothing at all for a while. */
static void
settle_doubt(struct writer *w)
{
    for (int i = 0; w->doubtful && i < SETTLE_TRIES; i++) {
        if (i) {
            xnanosleep_no_quiesce(SETTLE_PAUSE_MS * 1000000ULL);
        }
        w->doubtful = !overwrite_doubtful(w);
    }
}

/* Begins a durable transaction unless another process is writing: the main
 * thread must not wait for that one. */
static bool
begin_at_once(struct writer *w)
{
    int rc = set_durable(w, true);

    sqlite3_busy_timeout(w->sql, 0);
    if (!rc) {
        rc = sql_exec(w->sql, "BEGIN IMMEDIATE");
    }
    sqlite3_busy_timeout(w->sql, SQL_BUSY_MS);
    return !rc;
}

/* Carries out what 'cb' does as one SQL transaction, which may have begun.
 * 'what' it is goes into the error. */
static struct error *
transact(struct writer *w, bool durable, int (*cb)(sqlite3 *, void *aux),
         void *aux, const char *what)
{
    struct error *error;
    int rc = set_durable(w, durable || w->doubtful);

    if (!rc && sqlite3_get_autocommit(w->sql)) {
        rc = sql_exec(w->sql, "BEGIN IMMEDIATE");
    }
    if (!rc) {
        rc = cb(w->sql, aux);
    }
    if (!rc) {
        rc = sql_exec(w->sql, "COMMIT");
        w->doubtful = rc != SQLITE_OK;
    }
    if (!rc) {
        return NULL;
    }
    error = sql_error(w->sql, w->file_name, what);
    if (!sqlite3_get_autocommit(w->sql)) {
        sql_exec(w->sql, "ROLLBACK");
    }
    settle_doubt(w);
    return error;
}

/* --- Batches. --- */

/* Whether something is to be written and nobody does it. */
static bool
has_work(const struct writer *w) OVS_REQUIRES(w->mutex)
{
    return w->stored != w->batch_ticket && !w->error && !w->busy;
}

static int
apply_taken(sqlite3 *sql OVS_UNUSED, void *w_)
{
    struct writer *w = w_;
    int rc = sql_writer_apply(w->statements, w->taken.string,
                              w->taken.length);

    if (!rc && !(++w->n_batches % 1000)) {
        rc = prune_history(w);
    }
    return rc;
}

/* Writes all that has gathered.  Returns whether a client may wait for it. */
static bool
write_batch(struct writer *w) OVS_REQUIRES(w->mutex)
{
    uint64_t ticket = w->batch_ticket;
    bool durable = w->n_durable > 0;
    struct ds tmp = w->taken;
    long long int start;
    struct error *error;

    w->taken = w->batch;
    w->batch = tmp;
    w->n_durable = 0;
    w->busy = true;
    ovs_mutex_unlock(&w->mutex);

    start = time_usec();
    error = transact(w, durable, apply_taken, w, "writing");
    ds_clear(&w->taken);
    if (w->taken.allocated > 64 * 1024) {
        ds_destroy(&w->taken);
        ds_init(&w->taken);
    }

    ovs_mutex_lock(&w->mutex);
    w->busy = false;
    w->last_written = time_msec();
    if (durable) {
        w->sync_usec = time_usec() - start;
    }
    if (error) {
        w->error = error;
    } else {
        w->stored = ticket;
    }
    pthread_cond_broadcast(&w->idle);
    return durable || error;
}

/* Lets more transactions come unless someone waits for those already here. */
static void
gather(struct writer *w) OVS_REQUIRES(w->mutex)
{
    struct timespec until;
    int error = 0;

    if (time_msec() - w->last_written > QUIET_MS) {
        return;                 /* A single one, as it seems. */
    }
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += GATHER_MS * 1000000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_nsec -= 1000000000;
        until.tv_sec++;
    }
    while (!error && !w->n_durable && !w->urgent && !w->exiting
           && w->batch.length < GATHER_BYTES) {
        error = pthread_cond_timedwait(&w->work, &w->mutex.lock, &until);
    }
}

static void *
writer_main(void *w_)
{
    struct writer *w = w_;

    ovsrcu_quiesce_start();
    ovs_mutex_lock(&w->mutex);
    while (!w->exiting || has_work(w)) {
        if (!has_work(w)) {
            ovs_mutex_cond_wait(&w->work, &w->mutex);
            continue;
        }
        gather(w);
        if (has_work(w) && write_batch(w) && w->wake) {
            w->wake(w->aux);
        }
    }
    ovs_mutex_unlock(&w->mutex);
    return NULL;
}

/* --- The main thread's side. --- */

/* Adds 'changes' to what is to be written; 'durable' has them synced to the
 * disk.  'ticket' is greater than the last one's. */
void
writer_append(struct writer *w, const struct ds *changes, uint64_t ticket,
              bool durable)
{
    ovs_mutex_lock(&w->mutex);
    if (!durable && (!w->batch.length
                     || w->batch.length + changes->length >= GATHER_BYTES)) {
        pthread_cond_signal(&w->work);
    }
    ds_put_buffer(&w->batch, changes->string, changes->length);
    w->batch_ticket = ticket;
    w->n_durable += durable;
    ovs_mutex_unlock(&w->mutex);
}

/* Sees to it that what clients wait for is written now. */
void
writer_submit(struct writer *w)
{
    ovs_mutex_lock(&w->mutex);
    if (w->n_durable && has_work(w)) {
        if (w->n_durable == 1 && w->batch.length <= ALONE_BYTES
            && w->sync_usec <= ALONE_USEC && begin_at_once(w)) {
            write_batch(w);
        } else {
            pthread_cond_signal(&w->work);
        }
    }
    ovs_mutex_unlock(&w->mutex);
}

/* Returns up to which ticket everything is in the file.  '*error' becomes a
 * copy of the error with which writing what follows has failed, or NULL. */
uint64_t
writer_stored(const struct writer *w_, struct error **error)
{
    struct writer *w = CONST_CAST(struct writer *, w_);
    uint64_t stored;

    ovs_mutex_lock(&w->mutex);
    stored = w->stored;
    *error = error_clone(w->error);
    ovs_mutex_unlock(&w->mutex);
    return stored;
}

/* After a failure: drops all up to 'ticket', the last one appended, and begins
 * to write again. */
void
writer_give_up(struct writer *w, uint64_t ticket)
{
    ovs_mutex_lock(&w->mutex);
    error_destroy(w->error);
    w->error = NULL;
    w->stored = w->batch_ticket = ticket;
    w->n_durable = 0;
    ds_clear(&w->batch);
    ovs_mutex_unlock(&w->mutex);
}

/* Waits until everything appended so far is in the file; returns an error if
 * that fails. */
struct error *
writer_drain(struct writer *w)
{
    struct error *error;

    ovs_mutex_lock(&w->mutex);
    w->urgent = true;
    pthread_cond_signal(&w->work);
    while (w->stored < w->batch_ticket && !w->error) {
        ovs_mutex_cond_wait(&w->idle, &w->mutex);
    }
    w->urgent = false;
    error = error_clone(w->error);
    ovs_mutex_unlock(&w->mutex);
    return error;
}

/* Makes the file as small as it can be. */
struct error *
writer_compact(struct writer *w)
{
    struct error *error = writer_drain(w);

    if (!error
        && (prune_history(w)
            || sql_exec(w->sql, "VACUUM")
            || sql_exec(w->sql, "PRAGMA wal_checkpoint(TRUNCATE)"))) {
        error = sql_error(w->sql, w->file_name, "compacting");
    }
    return error;
}

/* Carries out what 'cb' does as one SQL transaction, which is on the disk
 * afterward. */
struct error *
writer_transact(struct writer *w, int (*cb)(sqlite3 *, void *aux), void *aux,
                const char *what)
{
    struct error *error = writer_drain(w);

    return error ? error : transact(w, true, cb, aux, what);
}

/* --- Life. --- */

/* Starts to write changes of 'schema' through 'sql', which, as 'file_name' and
 * 'schema', must stay.  'synchronous' is NORMAL there. */
struct writer *
writer_create(sqlite3 *sql, const char *file_name,
              const struct schema *schema, void (*wake)(void *), void *aux)
{
    struct writer *w = xzalloc(sizeof *w);
    pthread_condattr_t attr;

    w->sql = sql;
    w->file_name = file_name;
    w->wake = wake;
    w->aux = aux;
    w->statements = sql_writer_create(sql, schema);
    ovs_mutex_init(&w->mutex);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    xpthread_cond_init(&w->work, &attr);
    pthread_condattr_destroy(&attr);
    xpthread_cond_init(&w->idle, NULL);
    ds_init(&w->taken);
    ds_init(&w->batch);
    w->thread = ovs_thread_create("store", writer_main, w);
    return w;
}

/* Begins to write changes of a database with 'schema', for which the file has
 * the tables. */
void
writer_set_schema(struct writer *w, const struct schema *schema)
{
    sql_writer_destroy(w->statements);
    w->statements = sql_writer_create(w->sql, schema);
}

/* Writes what is still to be written. */
void
writer_destroy(struct writer *w)
{
    ovs_mutex_lock(&w->mutex);
    w->exiting = true;
    pthread_cond_signal(&w->work);
    ovs_mutex_unlock(&w->mutex);
    xpthread_join(w->thread, NULL);

    settle_doubt(w);
    if (w->error) {
        char *s = error_to_string(w->error);
        VLOG_ERR("%s", s);
        free(s);
    }
    sql_writer_destroy(w->statements);
    error_destroy(w->error);
    ds_destroy(&w->taken);
    ds_destroy(&w->batch);
    ovs_mutex_destroy(&w->mutex);
    xpthread_cond_destroy(&w->work);
    xpthread_cond_destroy(&w->idle);
    free(w);
}
