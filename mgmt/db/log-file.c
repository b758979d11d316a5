/* Reading and writing OVSDB log files: see log-file.h for the format.
 *
 * The file is read through stdio, record by record, and never by a length
 * that only the file itself claims: the body's buffer grows with the bytes
 * that are really there.  Writing appends; a record that could not be written
 * whole is cut off again, so the file ends with a complete record or, after a
 * crash, with a tail that every reader detects by its length or SHA-1. */
#include <config.h>
#include "mgmt/db/log-file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lockfile.h"
#include "openvswitch/dynamic-string.h"
#include "openvswitch/vlog.h"
#include "sha1.h"
#include "socket-util.h"
#include "util.h"

VLOG_DEFINE_THIS_MODULE(log_file);

struct log_file {
    char *name;                 /* As the user gave it: for messages. */
    const char *magic;          /* "JSON" or "CLUSTER". */
    FILE *stream;
    struct lockfile *lockfile;  /* NULL if opened read-only. */
    off_t offset;               /* End of the last good record. */
    off_t prev_offset;          /* Start of the last record read. */
    bool writing;               /* Stream is positioned at 'offset' and the
                                 * file ends there. */
    struct error *error;        /* A failed read's error: it repeats. */
};

/* The two kinds of log by the word that follows "OVSDB" in each header. */
static const char standalone_magic[] = "JSON";
static const char cluster_magic[] = "CLUSTER";

/* A header line's limit: magic, a 20-digit length, 40 digits of SHA-1. */
enum { HEADER_MAX = 128 };

struct header {
    const char *magic;          /* One of the above, NULL for another. */
    unsigned long length;       /* Bytes in the record's body. */
    uint8_t sha1[SHA1_DIGEST_SIZE];
};

/* Parses header line 'line'; false if it isn't one. */
static bool
parse_header(const char *line, struct header *header)
{
    static const char lead[] = "OVSDB ";
    if (strncmp(line, lead, sizeof lead - 1)) {
        return false;
    }

    const char *magic = line + sizeof lead - 1;
    size_t magic_len = strcspn(magic, " ");
    header->magic = NULL;
    for (int i = 0; i < 2; i++) {
        const char *known = i ? cluster_magic : standalone_magic;
        if (strlen(known) == magic_len && !memcmp(known, magic, magic_len)) {
            header->magic = known;
        }
    }

    char *end;
    const char *length = magic + magic_len + (magic[magic_len] == ' ');
    header->length = strtoul(length, &end, 10);
    return (header->length
            && header->length != ULONG_MAX
            && *end == ' '
            && sha1_from_hex(header->sha1, end + 1)
            && end[1 + SHA1_HEX_DIGEST_LEN] == '\n');
}

/* Finds out what the file 'name' holds.  Returns 0 or the errno value of a
 * file that can't be opened or read.  Doesn't take the file's lock. */
int
log_file_identify(const char *name, enum log_file_format *format)
{
    static const char sqlite_magic[16] = "SQLite format 3";
    char buffer[HEADER_MAX];

    *format = LOG_FILE_UNKNOWN;
    int fd = open(name, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return errno;
    }
    ssize_t n = read(fd, buffer, sizeof buffer - 1);
    int error = n < 0 ? errno : 0;
    close(fd);
    if (n < 0) {
        return error;
    }

    struct header header;
    buffer[n] = '\0';
    if (!n) {
        *format = LOG_FILE_EMPTY;
    } else if (n >= (ssize_t) sizeof sqlite_magic
               && !memcmp(buffer, sqlite_magic, sizeof sqlite_magic)) {
        *format = LOG_FILE_SQLITE;
    } else if (parse_header(buffer, &header) && header.magic) {
        *format = (header.magic == cluster_magic
                   ? LOG_FILE_CLUSTERED : LOG_FILE_STANDALONE);
    }
    return 0;
}

/* Opens 'name' in a way that suits 'mode'; a file descriptor or -1 with
 * errno. */
static int
open_fd(const char *name, enum log_file_mode mode)
{
    struct stat s;
    bool dangling;

    switch (mode) {
    case LOG_FILE_READ_ONLY:
        return (!strcmp(name, "/dev/stdin")
                ? dup(STDIN_FILENO) : open(name, O_RDONLY | O_CLOEXEC));
    case LOG_FILE_READ_WRITE:
        return open(name, O_RDWR | O_CLOEXEC);
    case LOG_FILE_CREATE_EXCL:
        /* Through a dangling symbolic link we make the file that it points
         * to, which O_EXCL refuses to do. */
        dangling = (stat(name, &s) && errno == ENOENT
                    && !lstat(name, &s) && S_ISLNK(s.st_mode));
        return open(name, O_RDWR | O_CREAT | O_CLOEXEC
                          | (dangling ? 0 : O_EXCL), 0660);
    case LOG_FILE_CREATE:
        return open(name, O_RDWR | O_CREAT | O_CLOEXEC, 0660);
    }
    OVS_NOT_REACHED();
}

/* Reads the first header of 'file' to learn the kind of log, and goes back to
 * the start. */
static struct error *
read_magic(struct log_file *file, bool create)
{
    char line[HEADER_MAX];
    struct header header;

    file->magic = standalone_magic;
    if (!fgets(line, sizeof line, file->stream)) {
        if (ferror(file->stream)) {
            return error_io(errno, "%s: read error", file->name);
        } else if (!create) {
            return error_new(NULL, "%s: cannot identify file type",
                             file->name);
        }
        /* Empty, so most likely just made: its directory entry should last as
         * its contents will. */
        fsync_parent_dir(file->name);
    } else if (!parse_header(line, &header)) {
        return error_new(NULL, "%s: unexpected file format", file->name);
    } else if (!header.magic || (create && header.magic == cluster_magic)) {
        return error_new(NULL, "%s: cannot identify file type", file->name);
    } else {
        file->magic = header.magic;
    }
    return (fseeko(file->stream, 0, SEEK_SET)
            ? error_io(errno, "%s: seek failed", file->name)
            : NULL);
}

/* Opens the log file 'name' and stores it in '*filep' (NULL on error).  A mode
 * that allows writing takes the lock .NAME.~lock~, or fails if another process
 * holds it.  The caller closes it by log_file_close(). */
struct error *
log_file_open(const char *name, enum log_file_mode mode,
              struct log_file **filep)
{
    *filep = NULL;

    struct log_file *file = xzalloc(sizeof *file);
    file->name = xstrdup(name);
    bool create = mode == LOG_FILE_CREATE || mode == LOG_FILE_CREATE_EXCL;
    struct error *error = NULL;

    if (mode != LOG_FILE_READ_ONLY) {
        int retval = lockfile_lock(name, &file->lockfile);
        if (retval) {
            error = error_io(retval, "%s: failed to lock lockfile", name);
        }
    }
    if (!error) {
        int fd = open_fd(name, mode);
        if (fd < 0) {
            error = error_io(errno, "%s: %s failed", name,
                             mode == LOG_FILE_CREATE ? "create or open"
                             : create ? "create" : "open");
        } else {
            file->stream = fdopen(fd, mode == LOG_FILE_READ_ONLY
                                      ? "r" : "r+");
            if (!file->stream) {
                error = error_io(errno, "%s: fdopen failed", name);
                close(fd);
            }
        }
    }
    if (!error) {
        error = read_magic(file, create);
    }

    if (error) {
        log_file_close(file);
    } else {
        *filep = file;
    }
    return error;
}

/* Closes 'file' (if nonnull) and releases its lock. */
void
log_file_close(struct log_file *file)
{
    if (file) {
        if (file->stream) {
            fclose(file->stream);
        }
        lockfile_unlock(file->lockfile);
        free(file->name);
        error_destroy(file->error);
        free(file);
    }
}

/* Returns the name by which 'file' was opened. */
const char *
log_file_name(const struct log_file *file)
{
    return file->name;
}

/* Returns LOG_FILE_STANDALONE or LOG_FILE_CLUSTERED. */
enum log_file_format
log_file_get_format(const struct log_file *file)
{
    return (file->magic == cluster_magic
            ? LOG_FILE_CLUSTERED : LOG_FILE_STANDALONE);
}

/* Reads the 'length' bytes of a body into '*body', malloc()'d. */
static struct error *
read_body(struct log_file *file, off_t offset, size_t length, char **body)
{
    size_t allocated = 0;
    size_t n = 0;

    *body = NULL;
    while (n < length) {
        if (n >= allocated) {
            allocated = MIN(length, MAX(allocated * 2, 65536));
            *body = xrealloc(*body, allocated);
        }
        size_t got = fread(*body + n, 1, allocated - n, file->stream);
        if (!got) {
            return error_io(ferror(file->stream) ? errno : EOF,
                            "%s: error reading %zu bytes starting at "
                            "offset %lld", file->name, length - n,
                            (long long int) offset);
        }
        n += got;
    }
    return NULL;
}

static void
digest(const char *data, size_t length, uint8_t sha1[SHA1_DIGEST_SIZE])
{
    struct sha1_ctx ctx;

    sha1_init(&ctx);
    while (length) {
        size_t chunk = MIN(length, 1 << 30);
        sha1_update(&ctx, data, chunk);
        data += chunk;
        length -= chunk;
    }
    sha1_final(&ctx, sha1);
}

struct repair {
    const struct log_file *file;
    off_t offset;               /* Of the record. */
};

static void
warn_about_repair(const char *table, const char *row, const char *column,
                  void *repair_)
{
    const struct repair *repair = repair_;
    VLOG_WARN("%s: record at offset %lld: table %s, row %s, column %s: not "
              "UTF-8, taken as ISO 8859-1", repair->file->name,
              (long long int) repair->offset, table, row, column);
}

/* Parses 'body' into '*recordp', an object.  What OVSDB takes and jansson
 * doesn't is repaired first. */
static struct error *
parse_body(struct log_file *file, off_t offset, const char *body,
           size_t length, json_t **recordp)
{
    json_error_t why;

    *recordp = json_read_plain(body, length);
    if (!*recordp) {
        *recordp = json_loadb(body, length, JSON_DISABLE_EOF_CHECK, &why);
    }
    if (!*recordp) {
        struct repair repair = { file, file->offset };
        size_t new_length;
        char *repaired = log_text_repair(body, length, &new_length,
                                         warn_about_repair, &repair);
        if (repaired) {
            *recordp = json_loadb(repaired, new_length,
                                  JSON_DISABLE_EOF_CHECK, &why);
            free(repaired);
        }
    }
    if (!*recordp) {
        return error_syntax(NULL, NULL, "%s: %zu bytes starting at offset "
                            "%lld are not valid JSON (%s)", file->name,
                            length, (long long int) offset, why.text);
    } else if (!json_is_object(*recordp)) {
        json_decref(*recordp);
        *recordp = NULL;
        return error_syntax(NULL, NULL, "%s: %zu bytes starting at offset "
                            "%lld are not a JSON object", file->name,
                            length, (long long int) offset);
    }
    return NULL;
}

static struct error *
read_record(struct log_file *file, json_t **recordp)
{
    char line[HEADER_MAX];
    if (!fgets(line, sizeof line, file->stream)) {
        return (feof(file->stream) ? NULL
                : error_io(errno, "%s: read failed", file->name));
    }

    struct header header;
    if (!parse_header(line, &header) || header.magic != file->magic) {
        return error_syntax(NULL, NULL, "%s: parse error at offset %lld in "
                         "header line \"%.*s\"", file->name,
                         (long long int) file->offset,
                         (int) strcspn(line, "\n"), line);
    }

    off_t offset = file->offset + strlen(line);
    uint8_t sha1[SHA1_DIGEST_SIZE];
    char *body;
    struct error *error = read_body(file, offset, header.length, &body);
    if (!error) {
        digest(body, header.length, sha1);
        if (memcmp(sha1, header.sha1, sizeof sha1)) {
            error = error_syntax(NULL, NULL, "%s: %lu bytes starting at "
                                 "offset %lld have SHA-1 hash "SHA1_FMT
                                 " but should have hash "SHA1_FMT, file->name,
                                 header.length, (long long int) offset,
                                 SHA1_ARGS(sha1), SHA1_ARGS(header.sha1));
        }
    }
    if (!error) {
        error = parse_body(file, offset, body, header.length, recordp);
    }
    free(body);
    if (!error) {
        file->prev_offset = file->offset;
        file->offset = offset + header.length;
    }
    return error;
}

/* Reads the next record into '*recordp', which the caller frees by
 * json_decref(); NULL at the end of the file.  After an error, every later
 * read gives the same one. */
struct error *
log_file_read(struct log_file *file, json_t **recordp)
{
    *recordp = NULL;
    if (file->error) {
        return error_clone(file->error);
    } else if (file->writing) {
        return NULL;
    }

    struct error *error = read_record(file, recordp);
    if (error) {
        file->error = error_clone(error);
    }
    return error;
}

/* Takes back the record that was read last, which turned out not to make
 * sense: the next write replaces it and all that follows. */
void
log_file_unread(struct log_file *file)
{
    ovs_assert(!file->writing);
    file->offset = file->prev_offset;
}

/* Makes the end of the last good record the end of the file. */
static struct error *
start_writing(struct log_file *file)
{
    if (fseeko(file->stream, file->offset, SEEK_SET)) {
        return error_io(errno, "%s: cannot seek to offset %lld", file->name,
                        (long long int) file->offset);
    } else if (ftruncate(fileno(file->stream), file->offset)) {
        return error_io(errno, "%s: cannot truncate to length %lld",
                        file->name, (long long int) file->offset);
    }
    clearerr(file->stream);
    error_destroy(file->error);
    file->error = NULL;
    file->writing = true;
    return NULL;
}

/* Appends the record 'body', the text of an object, behind the last record
 * that was read or written; records not yet read are cut off.  The record is
 * there whole or not at all, but not on the disk before log_file_commit(). */
struct error *
log_file_write(struct log_file *file, const char *body)
{
    if (!file->writing) {
        struct error *error = start_writing(file);
        if (error) {
            return error;
        }
    }

    struct ds line = DS_EMPTY_INITIALIZER;
    ds_put_format(&line, "%s\n", body);
    uint8_t sha1[SHA1_DIGEST_SIZE];
    digest(line.string, line.length, sha1);
    int header_len = fprintf(file->stream, "OVSDB %s %"PRIuSIZE" "SHA1_FMT
                             "\n", file->magic, line.length,
                             SHA1_ARGS(sha1));
    bool ok = (header_len > 0
               && fwrite(line.string, line.length, 1, file->stream) == 1
               && !fflush(file->stream));
    int save_errno = errno;
    size_t length = line.length;
    ds_destroy(&line);
    if (!ok) {
        /* Best effort; the next write cuts off again what is left. */
        file->writing = false;
        ignore(ftruncate(fileno(file->stream), file->offset));
        return error_io(save_errno, "%s: write failed", file->name);
    }
    file->prev_offset = file->offset;
    file->offset += header_len + length;
    return NULL;
}

/* Waits until all that was written is on the disk. */
struct error *
log_file_commit(struct log_file *file)
{
    return (fdatasync(fileno(file->stream))
            ? error_io(errno, "%s: fsync failed", file->name)
            : NULL);
}
