/* An SQLite VFS that fails when it is told to, for the fault-injection test of
 * the database's store (tests/db/fault.py).
 *
 * It is a shared object to be preloaded into the server: it puts itself before
 * SQLite's own VFS, counts the operations that change files (write, sync,
 * truncate) and, at the one whose number FAULT_VFS gives, does what it says:
 *
 *     FAULT_VFS=error:N   the operation fails, this once
 *     FAULT_VFS=full:N    from then on, five operations fail for lack of space
 *     FAULT_VFS=nosync:N  from then on no sync succeeds, though writes do
 *     FAULT_VFS=dead:N    from then on every operation fails
 *     FAULT_VFS=kill:N    the process is killed before the operation
 *     FAULT_VFS=tear:N    half of the data is written, the process killed
 *     FAULT_VFS=power:N   the process is killed and all that wasn't synced is
 *                         undone, as if the machine had lost power
 *
 * FAULT_VFS_COUNT names a file in which to keep the number of operations. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* What was in a file before a write that isn't synced yet. */
struct before {
    struct before *next;        /* The write before this one. */
    sqlite3_int64 file_size;
    sqlite3_int64 offset;
    int n;
    char data[];
};

struct fault_file {
    sqlite3_file base;
    struct fault_file *next;    /* In 'files'. */
    struct before *unsynced;    /* The last write first. */
    sqlite3_file real[];        /* SQLite's own object. */
};

enum mode { NONE, ERROR, FULL, NOSYNC, DEAD, KILL, TEAR, POWER };

static sqlite3_vfs *real_vfs;
static sqlite3_vfs vfs;
static sqlite3_io_methods methods;
static enum mode mode;
static long fault_at;           /* Number of the operation. */
static long count;              /* Operations so far. */
static int count_fd = -1;
static struct fault_file *files;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

static void
die(void)
{
    kill(getpid(), SIGKILL);
    pause();
}

/* Undoes what isn't synced, in every file. */
static void
lose_power(void)
{
    for (struct fault_file *f = files; f; f = f->next) {
        const sqlite3_io_methods *real = f->real->pMethods;

        for (struct before *b = f->unsynced; b; b = b->next) {
            if (b->n) {
                real->xWrite(f->real, b->data, b->n, b->offset);
            }
            real->xTruncate(f->real, b->file_size);
        }
    }
    die();
}

/* Counts an operation, which fails by 'failure' if it does, and decides about
 * it: 0 to go on, else the error. */
static int
operation(struct fault_file *f, const void *data, int n, sqlite3_int64 offset,
          int failure)
{
    int rc = SQLITE_OK;

    count++;
    if (count_fd >= 0) {
        char text[32];
        int length = snprintf(text, sizeof text, "%ld\n", count);
        if (pwrite(count_fd, text, length, 0) < 0) {
            abort();
        }
    }
    if (mode == FULL && count >= fault_at && count < fault_at + 5) {
        rc = SQLITE_FULL;
    } else if ((mode == ERROR && count == fault_at)
               || (mode == DEAD && count >= fault_at)
               || (mode == NOSYNC && count >= fault_at
                   && failure == SQLITE_IOERR_FSYNC)) {
        rc = failure;
    } else if (mode == POWER && count == fault_at) {
        lose_power();
    } else if ((mode == KILL || mode == TEAR) && count == fault_at) {
        if (mode == TEAR && data) {
            f->real->pMethods->xWrite(f->real, data, n / 2, offset);
        }
        die();
    }
    return rc;
}

static void
remember(struct fault_file *f, int n, sqlite3_int64 offset)
{
    const sqlite3_io_methods *real = f->real->pMethods;
    struct before *b = malloc(sizeof *b + n);

    if (!b || real->xFileSize(f->real, &b->file_size)) {
        abort();
    }
    b->offset = offset;
    b->n = offset >= b->file_size ? 0
           : offset + n > b->file_size ? b->file_size - offset : n;
    if (b->n && real->xRead(f->real, b->data, b->n, offset)) {
        abort();
    }
    b->next = f->unsynced;
    f->unsynced = b;
}

static void
forget(struct fault_file *f)
{
    while (f->unsynced) {
        struct before *b = f->unsynced;
        f->unsynced = b->next;
        free(b);
    }
}

static int
fault_write(sqlite3_file *file, const void *data, int n, sqlite3_int64 offset)
{
    struct fault_file *f = (struct fault_file *) file;

    pthread_mutex_lock(&mutex);
    int rc = operation(f, data, n, offset, SQLITE_IOERR_WRITE);
    if (!rc) {
        remember(f, n, offset);
        rc = f->real->pMethods->xWrite(f->real, data, n, offset);
    }
    pthread_mutex_unlock(&mutex);
    return rc;
}

static int
fault_truncate(sqlite3_file *file, sqlite3_int64 size)
{
    struct fault_file *f = (struct fault_file *) file;
    sqlite3_int64 old;

    pthread_mutex_lock(&mutex);
    int rc = operation(f, NULL, 0, 0, SQLITE_IOERR_TRUNCATE);
    if (!rc && !f->real->pMethods->xFileSize(f->real, &old) && old > size) {
        remember(f, old - size, size);
    }
    if (!rc) {
        rc = f->real->pMethods->xTruncate(f->real, size);
    }
    pthread_mutex_unlock(&mutex);
    return rc;
}

static int
fault_sync(sqlite3_file *file, int flags)
{
    struct fault_file *f = (struct fault_file *) file;

    pthread_mutex_lock(&mutex);
    int rc = operation(f, NULL, 0, 0, SQLITE_IOERR_FSYNC);
    if (!rc) {
        rc = f->real->pMethods->xSync(f->real, flags);
        forget(f);
    }
    pthread_mutex_unlock(&mutex);
    return rc;
}

static int
fault_close(sqlite3_file *file)
{
    struct fault_file *f = (struct fault_file *) file;

    pthread_mutex_lock(&mutex);
    for (struct fault_file **p = &files; *p; p = &(*p)->next) {
        if (*p == f) {
            *p = f->next;
            break;
        }
    }
    forget(f);
    pthread_mutex_unlock(&mutex);
    return f->real->pMethods->xClose(f->real);
}

/* The other methods are SQLite's own. */
#define REAL(FILE) (((struct fault_file *) (FILE))->real)
#define FORWARD(NAME, PARAMETERS, ARGUMENTS)                            \
    static int fault_##NAME PARAMETERS                                  \
    {                                                                   \
        return REAL(file)->pMethods->NAME ARGUMENTS;                    \
    }
FORWARD(xRead, (sqlite3_file *file, void *p, int n, sqlite3_int64 offset),
        (REAL(file), p, n, offset))
FORWARD(xFileSize, (sqlite3_file *file, sqlite3_int64 *size),
        (REAL(file), size))
FORWARD(xLock, (sqlite3_file *file, int lock), (REAL(file), lock))
FORWARD(xUnlock, (sqlite3_file *file, int lock), (REAL(file), lock))
FORWARD(xCheckReservedLock, (sqlite3_file *file, int *result),
        (REAL(file), result))
FORWARD(xFileControl, (sqlite3_file *file, int op, void *p),
        (REAL(file), op, p))
FORWARD(xSectorSize, (sqlite3_file *file), (REAL(file)))
FORWARD(xShmMap, (sqlite3_file *file, int page, int size, int extend,
                  void volatile **p), (REAL(file), page, size, extend, p))
FORWARD(xShmLock, (sqlite3_file *file, int offset, int n, int flags),
        (REAL(file), offset, n, flags))
FORWARD(xShmUnmap, (sqlite3_file *file, int delete), (REAL(file), delete))

static void
fault_xShmBarrier(sqlite3_file *file)
{
    REAL(file)->pMethods->xShmBarrier(REAL(file));
}

static int
fault_xDeviceCharacteristics(sqlite3_file *file)
{
    /* Appending is not atomic, sectors are not safe: the worst disk. */
    return 0;
}

static int
fault_open(sqlite3_vfs *self, const char *name, sqlite3_file *file, int flags,
           int *out_flags)
{
    struct fault_file *f = (struct fault_file *) file;

    int rc = real_vfs->xOpen(real_vfs, name, f->real, flags, out_flags);
    f->base.pMethods = rc ? NULL : &methods;
    f->unsynced = NULL;
    if (!rc) {
        pthread_mutex_lock(&mutex);
        f->next = files;
        files = f;
        pthread_mutex_unlock(&mutex);
    }
    return rc;
}

static void
parse_environment(void)
{
    static const char *const names[] = { "none", "error", "full",
                                         "nosync", "dead", "kill", "tear",
                                         "power" };
    const char *fault = getenv("FAULT_VFS");
    const char *count_name = getenv("FAULT_VFS_COUNT");

    for (int i = 1; fault && i <= POWER; i++) {
        size_t n = strlen(names[i]);
        if (!strncmp(fault, names[i], n) && fault[n] == ':') {
            mode = i;
            fault_at = atol(fault + n + 1);
        }
    }
    if (count_name) {
        count_fd = open(count_name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC,
                        0644);
    }
}

__attribute__((constructor))
static void
fault_init(void)
{
    parse_environment();
    if (sqlite3_initialize()) {
        abort();
    }
    real_vfs = sqlite3_vfs_find(NULL);

    methods = (sqlite3_io_methods) {
        .iVersion = 2,          /* No memory-mapped reading. */
        .xClose = fault_close,
        .xRead = fault_xRead,
        .xWrite = fault_write,
        .xTruncate = fault_truncate,
        .xSync = fault_sync,
        .xFileSize = fault_xFileSize,
        .xLock = fault_xLock,
        .xUnlock = fault_xUnlock,
        .xCheckReservedLock = fault_xCheckReservedLock,
        .xFileControl = fault_xFileControl,
        .xSectorSize = fault_xSectorSize,
        .xDeviceCharacteristics = fault_xDeviceCharacteristics,
        .xShmMap = fault_xShmMap,
        .xShmLock = fault_xShmLock,
        .xShmBarrier = fault_xShmBarrier,
        .xShmUnmap = fault_xShmUnmap,
    };
    vfs = *real_vfs;
    vfs.pNext = NULL;
    vfs.zName = "fault";
    vfs.szOsFile = sizeof(struct fault_file) + real_vfs->szOsFile;
    vfs.xOpen = fault_open;
    sqlite3_vfs_register(&vfs, 1);
}
