/* Importing ovsdb-server's files: see import.h. */
#include <config.h>
#include "mgmt/db/import.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "lockfile.h"
#include "mgmt/db/log-file.h"
#include "mgmt/db/sql.h"
#include "mgmt/db/store.h"
#include "openvswitch/vlog.h"
#include "sha1.h"
#include "socket-util.h"
#include "util.h"

VLOG_DEFINE_THIS_MODULE(import);

/* Tells the contents of log 'name' from earlier and later ones: its size and
 * the SHA-1 of its end, which every transaction changes.  NULL if it can't be
 * read. */
static char *
fingerprint(const char *name)
{
    char tail[65536];
    struct stat s;
    char *result = NULL;

    int fd = open(name, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return NULL;
    }
    if (!fstat(fd, &s)) {
        off_t start = MAX(s.st_size - (off_t) sizeof tail, 0);
        ssize_t n = pread(fd, tail, sizeof tail, start);
        if (n >= 0) {
            uint8_t sha1[SHA1_DIGEST_SIZE];
            sha1_bytes(tail, n, sha1);
            result = xasprintf("%lld "SHA1_FMT, (long long int) s.st_size,
                               SHA1_ARGS(sha1));
        }
    }
    close(fd);
    return result;
}

/* Notes in 'store_name' that it was imported from what has 'fingerprint'. */
static struct error *
remember_source(const char *store_name, const char *fingerprint_)
{
    sqlite3 *sql;
    struct error *error = NULL;

    int rc = sql_open(store_name, SQLITE_OPEN_READWRITE, &sql);
    if (!rc) {
        char *text = sqlite3_mprintf("CREATE TABLE _import(source TEXT);"
                                     "INSERT INTO _import VALUES(%Q)",
                                     fingerprint_);
        rc = sql_exec(sql, text);
        sqlite3_free(text);
    }
    if (rc) {
        error = sql_error(sql, store_name, "importing");
    }
    sqlite3_close(sql);
    return error;
}

static bool
was_imported_from(const char *store_name, const char *fingerprint_)
{
    bool result = false;
    sqlite3_stmt *stmt;
    sqlite3 *sql;

    if (!sql_open(store_name, SQLITE_OPEN_READONLY, &sql)
        && !sqlite3_prepare_v2(sql, "SELECT source FROM _import", -1, &stmt,
                               NULL)) {
        if (sqlite3_step(stmt) == SQLITE_ROW) {
            const char *source = (const char *) sqlite3_column_text(stmt, 0);
            result = source && !strcmp(source, fingerprint_);
        }
        sqlite3_finalize(stmt);
    }
    sqlite3_close(sql);
    return result;
}

/* Returns the name of the up-to-date import of log 'file_name', which the
 * caller frees, or NULL if there is none. */
char *
import_find(const char *file_name)
{
    char *target = follow_symlinks(file_name);
    char *store_name = xasprintf("%s.sqlite", target);
    char *source = fingerprint(target);

    if (!source || access(store_name, F_OK)
        || !was_imported_from(store_name, source)) {
        free(store_name);
        store_name = NULL;
    }
    free(source);
    free(target);
    return store_name;
}

/* Loads log 'name' as far as it is undamaged. */
static struct error *
load(const char *name, struct db **dbp)
{
    struct error *error, *tail;
    struct log_file *log;

    *dbp = NULL;
    error = log_file_open(name, LOG_FILE_READ_ONLY, &log);
    if (error) {
        return error;
    }
    if (log_file_get_format(log) == LOG_FILE_CLUSTERED) {
        error = error_new(NULL, "%s: a clustered database can't be served: "
                          "make a standalone one of it by \"ovsdb-tool "
                          "cluster-to-standalone\" of Open vSwitch", name);
    } else {
        error = log_load(log, NULL, dbp, &tail);
        if (tail) {
            char *s = error_to_string_free(tail);
            VLOG_ERR("%s", s);
            free(s);
        }
    }
    log_file_close(log);
    return error;
}

/* Makes 'store_name', a new file, from log 'log_name', which is locked
 * meanwhile, so that no ovsdb-server is at work on it.  The new file appears
 * under its name only when it is complete. */
struct error *
import_log(const char *log_name, const char *store_name)
{
    struct lockfile *lock;
    int retval = lockfile_lock(log_name, &lock);
    if (retval) {
        return error_io(retval, "%s: failed to lock lockfile", log_name);
    }

    char *temporary = xasprintf("%s.tmp", store_name);
    char *source = fingerprint(log_name);
    struct db *db;
    struct error *error = load(log_name, &db);
    if (!error) {
        unlink(temporary);
        error = store_create(temporary, db, NULL);
    }
    if (!error) {
        error = remember_source(temporary, source ? source : "");
    }
    if (!error) {
        error = store_rename(temporary, store_name);
    }
    if (!error) {
        VLOG_INFO("%s: imported from %s", store_name, log_name);
    } else {
        unlink(temporary);
    }
    db_destroy(db);
    free(source);
    free(temporary);
    lockfile_unlock(lock);
    return error;
}

/* Moves an import that is out of date out of the way, with what SQLite may
 * have left beside it in a crash. */
static struct error *
keep_former(const char *store_name)
{
    static const char *const suffixes[] = { "-shm", "-wal", "" };
    char *former = xasprintf("%s.%lld", store_name,
                             (long long int) time(NULL));
    struct error *error = NULL;

    for (size_t i = 0; i < ARRAY_SIZE(suffixes) && !error; i++) {
        char *from = xasprintf("%s%s", store_name, suffixes[i]);
        char *to = xasprintf("%s%s", former, suffixes[i]);

        if (rename(from, to) && (errno != ENOENT || !suffixes[i][0])) {
            error = error_io(errno, "failed to rename \"%s\" to \"%s\"",
                             from, to);
        }
        free(from);
        free(to);
    }
    if (!error) {
        VLOG_INFO("%s: kept as %s, since the file that it was imported from "
                  "has changed", store_name, former);
    }
    free(former);
    return error;
}

/* Sees to it that there is a file of ours for 'file_name', a log or itself one
 * of ours, and stores its name, which the caller frees, in '*store_name'. */
struct error *
import_if_needed(const char *file_name, char **store_name)
{
    *store_name = NULL;

    enum log_file_format format;
    int retval = log_file_identify(file_name, &format);
    if (retval) {
        return error_io(retval, "%s: open failed", file_name);
    } else if (format == LOG_FILE_SQLITE) {
        *store_name = xstrdup(file_name);
        return NULL;
    }

    *store_name = import_find(file_name);
    if (*store_name) {
        return NULL;
    }

    char *target = follow_symlinks(file_name);
    char *name = xasprintf("%s.sqlite", target);
    struct error *error = NULL;
    if (!access(name, F_OK)) {
        error = keep_former(name);
    }
    if (!error) {
        error = import_log(file_name, name);
    }
    if (error) {
        free(name);
    } else {
        *store_name = name;
    }
    free(target);
    return error;
}
