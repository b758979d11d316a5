/* Fault injection: writes of the database server's store fail, one after the
 * other.
 *
 *     faults DIRECTORY SCHEMA
 *
 * An SQLite VFS shim counts the calls that write, sync or truncate.  A
 * workload of transactions, half of them durable, runs once without faults to learn how
 * many calls it makes.  Then it runs for every n of them and each kind of
 * fault:
 *
 *   error   the n-th call fails, and so do none of the others.  The
 *           transactions under way must fail as a whole, in memory too, and
 *           all others succeed.
 *   full    the same with "disk full" for the n-th and the next two calls.
 *   torn    the n-th call writes half of what it should, then the power
 *           fails: nothing more is written, and what had not been synced is
 *           lost.  All that was acknowledged as durable must be in the file
 *           afterward, and whatever is there must be whole.
 *
 * The workload only ever adds 1 to both of two columns of a row, in one
 * transaction; that is what "whole" means.  Exits with 0 if all is well. */
#include <config.h>

#include <inttypes.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "mgmt/db/execute.h"
#include "mgmt/db/store.h"
#include "openvswitch/vlog.h"
#include "util.h"

enum fault { NO_FAULT, FAULT_ERROR, FAULT_FULL, FAULT_TORN };

static struct {
    enum fault kind;
    int at;                     /* The call that fails, counted from 1. */
    int count;                  /* Calls so far. */
    bool power_failed;
} injection;

/* --- The shim. --- */

/* What a write since the last sync has overwritten. */
struct undo {
    struct undo *next;          /* The one before. */
    sqlite3_int64 offset, size; /* Of the whole file before. */
    int n;
    char data[];
};

struct shim_file {
    sqlite3_file base;
    struct undo *undos;         /* Since the last sync, the newest first. */
    struct shim_file *next;     /* Of all open files. */
    sqlite3_file *real;         /* Behind this struct. */
};

static sqlite3_vfs *real_vfs;
static struct shim_file *files;

static sqlite3_file *
real(sqlite3_file *file)
{
    return ((struct shim_file *) file)->real;
}

static void
forget_undos(struct shim_file *file)
{
    while (file->undos) {
        struct undo *undo = file->undos;
        file->undos = undo->next;
        free(undo);
    }
}

static void
remember(struct shim_file *file, sqlite3_int64 offset, int n)
{
    sqlite3_file *f = file->real;
    struct undo *undo = xzalloc(sizeof *undo + n);

    f->pMethods->xFileSize(f, &undo->size);
    undo->offset = offset;
    undo->n = MAX(MIN(n, undo->size - offset), 0);
    if (undo->n) {
        f->pMethods->xRead(f, undo->data, undo->n, offset);
    }
    undo->next = file->undos;
    file->undos = undo;
}

/* Takes everything back that has not been synced. */
static void
fail_power(void)
{
    struct shim_file *file;

    injection.power_failed = true;
    for (file = files; file; file = file->next) {
        sqlite3_file *f = file->real;
        struct undo *undo;

        for (undo = file->undos; undo; undo = undo->next) {
            f->pMethods->xTruncate(f, undo->size);
            if (undo->n) {
                f->pMethods->xWrite(f, undo->data, undo->n, undo->offset);
            }
        }
        forget_undos(file);
    }
}

/* Counts a call.  Returns SQLITE_OK if it may go on. */
static int
count(void)
{
    int n = ++injection.count;

    if (!injection.at) {
        return SQLITE_OK;
    }
    if (injection.power_failed) {
        return SQLITE_IOERR;
    }
    switch (injection.kind) {
    case FAULT_ERROR:
        return n == injection.at ? SQLITE_IOERR_WRITE : SQLITE_OK;
    case FAULT_FULL:
        return (n >= injection.at && n < injection.at + 3
                ? SQLITE_FULL : SQLITE_OK);
    case FAULT_TORN:
        return n == injection.at ? SQLITE_IOERR : SQLITE_OK;
    case NO_FAULT:
    default:
        return SQLITE_OK;
    }
}

static int
shim_write(sqlite3_file *file, const void *data, int n, sqlite3_int64 offset)
{
    int rc = count();

    if (rc && injection.kind == FAULT_TORN && !injection.power_failed) {
        /* Half of it reaches the disk. */
        fail_power();
        real(file)->pMethods->xWrite(real(file), data, n / 2, offset);
    }
    if (rc) {
        return rc;
    }
    remember((struct shim_file *) file, offset, n);
    return real(file)->pMethods->xWrite(real(file), data, n, offset);
}

static int
shim_truncate(sqlite3_file *file, sqlite3_int64 size)
{
    int rc = count();

    if (rc && injection.kind == FAULT_TORN && !injection.power_failed) {
        fail_power();
    }
    if (!rc) {
        sqlite3_int64 old;
        real(file)->pMethods->xFileSize(real(file), &old);
        remember((struct shim_file *) file, size, MAX(old - size, 0));
        rc = real(file)->pMethods->xTruncate(real(file), size);
    }
    return rc;
}

static int
shim_sync(sqlite3_file *file, int flags)
{
    int rc = count();

    if (rc && injection.kind == FAULT_TORN && !injection.power_failed) {
        fail_power();
    }
    if (!rc) {
        forget_undos((struct shim_file *) file);
        rc = real(file)->pMethods->xSync(real(file), flags);
    }
    return rc;
}

static int
shim_close(sqlite3_file *file_)
{
    struct shim_file *file = (struct shim_file *) file_;
    struct shim_file **p;

    for (p = &files; *p; p = &(*p)->next) {
        if (*p == file) {
            *p = file->next;
            break;
        }
    }
    forget_undos(file);
    return file->real->pMethods->xClose(file->real);
}

#define FORWARD(NAME, PARAMS, ...)                          \
    static int                                              \
    shim_##NAME PARAMS                                      \
    {                                                       \
        return real(f)->pMethods->NAME(real(f), __VA_ARGS__); \
    }
FORWARD(xRead, (sqlite3_file *f, void *p, int n, sqlite3_int64 o), p, n, o)
FORWARD(xFileSize, (sqlite3_file *f, sqlite3_int64 *s), s)
FORWARD(xLock, (sqlite3_file *f, int l), l)
FORWARD(xUnlock, (sqlite3_file *f, int l), l)
FORWARD(xCheckReservedLock, (sqlite3_file *f, int *r), r)
FORWARD(xFileControl, (sqlite3_file *f, int op, void *p), op, p)
FORWARD(xShmMap, (sqlite3_file *f, int r, int n, int e, void volatile **p),
        r, n, e, p)
FORWARD(xShmLock, (sqlite3_file *f, int o, int n, int flags), o, n, flags)
FORWARD(xShmUnmap, (sqlite3_file *f, int d), d)

static int
shim_sector_size(sqlite3_file *f)
{
    return real(f)->pMethods->xSectorSize(real(f));
}

static int
shim_characteristics(sqlite3_file *f)
{
    return real(f)->pMethods->xDeviceCharacteristics(real(f));
}

static void
shim_barrier(sqlite3_file *f)
{
    real(f)->pMethods->xShmBarrier(real(f));
}

/* Version 2: with shared memory, for WAL, but without mapping of the file,
 * which would go past the shim. */
static const sqlite3_io_methods methods = {
    .iVersion = 2,
    .xClose = shim_close,
    .xRead = shim_xRead,
    .xWrite = shim_write,
    .xTruncate = shim_truncate,
    .xSync = shim_sync,
    .xFileSize = shim_xFileSize,
    .xLock = shim_xLock,
    .xUnlock = shim_xUnlock,
    .xCheckReservedLock = shim_xCheckReservedLock,
    .xFileControl = shim_xFileControl,
    .xSectorSize = shim_sector_size,
    .xDeviceCharacteristics = shim_characteristics,
    .xShmMap = shim_xShmMap,
    .xShmLock = shim_xShmLock,
    .xShmBarrier = shim_barrier,
    .xShmUnmap = shim_xShmUnmap,
};

static int
shim_open(sqlite3_vfs *vfs OVS_UNUSED, const char *name, sqlite3_file *file_,
          int flags, int *out_flags)
{
    struct shim_file *file = (struct shim_file *) file_;
    int rc;

    memset(file, 0, sizeof *file);
    file->real = (sqlite3_file *) (file + 1);
    rc = real_vfs->xOpen(real_vfs, name, file->real, flags, out_flags);
    if (!rc) {
        file->base.pMethods = &methods;
        file->next = files;
        files = file;
    }
    return rc;
}

static void
register_shim(void)
{
    static sqlite3_vfs shim;

    real_vfs = sqlite3_vfs_find(NULL);
    shim = *real_vfs;
    shim.zName = "faults";
    shim.szOsFile = sizeof(struct shim_file) + real_vfs->szOsFile;
    shim.xOpen = shim_open;
    sqlite3_vfs_register(&shim, 1);
}

/* --- The workload. --- */

enum { N_TRANSACTIONS = 24 };

static int fault_at;            /* Which call fails in this run. */
static const char *schema_name;
static char *file_name;
static int n_failures;

static void OVS_PRINTF_FORMAT(1, 2)
problem(const char *format, ...)
{
    va_list args;

    printf("fault %d at call %d: ", injection.kind, fault_at);
    va_start(args, format);
    vprintf(format, args);
    va_end(args);
    putchar('\n');
    n_failures++;
}

static void
remove_files(void)
{
    static const char *suffixes[] = { "", "-wal", "-shm" };
    size_t i;

    for (i = 0; i < ARRAY_SIZE(suffixes); i++) {
        char *name = xasprintf("%s%s", file_name, suffixes[i]);
        unlink(name);
        free(name);
    }
}

/* Makes a database with one row. */
static void
make_file(void)
{
    struct schema *schema;
    struct error *error;
    struct table *table;
    struct txn *txn;
    struct row *row;
    struct db *db;
    struct uuid uuid;

    remove_files();
    error = schema_from_file(&schema, schema_name);
    if (error) {
        ovs_fatal(0, "%s", error_to_string_free(error));
    }
    db = db_create(schema);
    table = db_table(db, "Root");
    txn = txn_create(db);
    row = row_create(table);
    uuid_generate(&uuid);
    row_set_uuid(row, &uuid);
    txn_insert(txn, row);
    error = txn_replay(txn);
    if (!error) {
        error = store_create(file_name, db, NULL);
    }
    if (error) {
        ovs_fatal(0, "%s", error_to_string_free(error));
    }
    db_destroy(db);
}

/* The number in the row, -1 if its two halves differ. */
static int64_t
get_number(const struct db *db)
{
    const struct table *table = db_table(db, "Root");
    const struct row *row = CONTAINER_OF(hmap_first(&table->rows),
                                         struct row, node);
    const char *name;
    int64_t n;

    row_read_integer(row, "n", &n);
    row_read_string(row, "name", &name);
    return atoi(name) == n ? n : -1;
}

/* Adds 1. */
static struct error *
increment(struct db *db, bool durable, uint64_t *ticket)
{
    struct table *table = db_table(db, "Root");
    struct txn *txn = txn_create(db);
    struct row *row = CONTAINER_OF(hmap_first(&table->rows), struct row, node);
    union atom n = { .integer = get_number(db) + 1 };
    char name[24];

    snprintf(name, sizeof name, "%"PRId64, n.integer);
    row = txn_modify(txn, row);
    row_write(row, "n", datum_scalar(ATOM_INTEGER, &n), ATOM_INTEGER,
              ATOM_VOID);
    row_write(row, "name", datum_string(name), ATOM_STRING, ATOM_VOID);
    return txn_commit(txn, durable, ticket);
}

/* Runs the workload.  Returns the highest number that was acknowledged as
 * durable. */
static int64_t
run_workload(struct db *db)
{
    int64_t acknowledged = 0;
    int i;

    for (i = 0; i < N_TRANSACTIONS; i++) {
        bool durable = i % 2;
        uint64_t ticket = 0;
        struct error *error = increment(db, durable, &ticket);
        int64_t number = get_number(db);

        if (number < 0) {
            problem("half a transaction in memory");
        }
        if (!error && durable) {
            error_destroy(store_drain(db->store));
            store_run(db->store, db);
            error = store_error(db->store, ticket);
            if (!error) {
                acknowledged = number;
            }
        }
        error_destroy(error);
    }
    error_destroy(store_drain(db->store));
    store_run(db->store, db);
    return acknowledged;
}

static void
check_file(int64_t acknowledged, int64_t expected)
{
    struct error *error;
    struct db *db;
    int64_t n;

    injection.at = 0;
    injection.power_failed = false;
    error = store_read(file_name, &db);
    if (error) {
        char *s = error_to_string_free(error);
        problem("can't be read: %s", s);
        free(s);
        return;
    }
    n = get_number(db);
    if (n < 0) {
        problem("half a transaction in the file");
    } else if (n < acknowledged) {
        problem("%"PRId64" was acknowledged, %"PRId64" is in the file",
                acknowledged, n);
    } else if (expected >= 0 && n != expected) {
        problem("%"PRId64" is in the file, %"PRId64" in memory", n, expected);
    }
    db_destroy(db);
}

/* Runs the workload with a fault.  Returns the number of calls made. */
static int
run(enum fault kind, int at)
{
    int64_t acknowledged, expected;
    struct error *error;
    struct db *db;
    int n;

    memset(&injection, 0, sizeof injection);
    make_file();
    error = store_open(file_name, &db, NULL, NULL);
    if (error) {
        ovs_fatal(0, "%s", error_to_string_free(error));
    }
    memset(&injection, 0, sizeof injection);
    injection.kind = kind;
    injection.at = fault_at = at;
    acknowledged = run_workload(db);
    n = injection.count;
    expected = kind == FAULT_TORN ? -1 : get_number(db);
    if ((kind == FAULT_ERROR || kind == FAULT_FULL)
        && expected < N_TRANSACTIONS / 2) {
        problem("only %"PRId64" transactions succeeded", expected);
    }
    store_close(db->store);
    db_destroy(db);
    check_file(acknowledged, expected);
    return n;
}

int
main(int argc, char *argv[])
{
    enum fault kind;
    int n, at;

    set_program_name(argv[0]);
    if (argc != 3) {
        ovs_fatal(0, "usage: %s DIRECTORY SCHEMA", program_name);
    }
    vlog_set_levels(NULL, VLF_CONSOLE, VLL_OFF);
    file_name = xasprintf("%s/faults.db", argv[1]);
    schema_name = argv[2];
    register_shim();
    n = run(NO_FAULT, 0);
    for (kind = FAULT_ERROR; kind <= FAULT_TORN; kind++) {
        for (at = 1; at <= n; at++) {
            run(kind, at);
        }
    }
    remove_files();
    printf("%d calls, 3 kinds of faults: %d problems\n", n, n_failures);
    free(file_name);
    return n_failures != 0;
}
