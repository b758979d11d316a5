/* OVSDB's standalone log files, the format of ovsdb(5): what ovsdb-server
 * keeps its databases in, and what sluice-db imports and exports.
 *
 * A log file is a sequence of records.  Each is a header line
 *
 *     OVSDB JSON <length> <sha1>
 *
 * and <length> bytes of JSON, an object and a new-line, whose SHA-1 the
 * header gives.  The first record is the schema, each later one a
 * transaction:
 *
 *     {"_date": <ms since the epoch>, "_comment": <text>, "_is_diff": true,
 *      <table>: {<uuid>: {<column>: <datum>, ...} | null, ...}, ...}
 *
 * A row that is null is deleted, one that is not there yet is inserted with
 * defaults for the columns left out.  With "_is_diff", the value of a column
 * that may hold several elements is not the new value but the difference to
 * the old one: what is in both goes, what is only in the difference comes.
 *
 * A file whose records say CLUSTER in place of JSON is a clustered database;
 * this module recognizes it and reads its records, but nothing here
 * interprets them.
 *
 * A crash of the writer leaves an incomplete last record.  A reader gets the
 * records before it and then an error; the caller decides (ovsdb-server logs
 * it and goes on, ovsdb-tool stops).  A write then cuts the damaged tail off.
 *
 * Errors are in the wording of ovsdb-server and ovsdb-tool, since scripts
 * match it.  Nothing here is thread-safe: a struct log_file belongs to one
 * thread at a time. */
#ifndef SLUICE_DB_LOG_FILE_H
#define SLUICE_DB_LOG_FILE_H 1

#include "mgmt/db/database.h"

/* What a file holds, from its first bytes. */
enum log_file_format {
    LOG_FILE_STANDALONE,        /* OVSDB log, standalone. */
    LOG_FILE_CLUSTERED,         /* OVSDB log of one server of a cluster. */
    LOG_FILE_SQLITE,            /* An SQLite database. */
    LOG_FILE_EMPTY,             /* Nothing at all. */
    LOG_FILE_UNKNOWN            /* Something else. */
};

enum log_file_mode {
    LOG_FILE_READ_ONLY,         /* Must exist; not locked. */
    LOG_FILE_READ_WRITE,        /* Must exist; locked. */
    LOG_FILE_CREATE,            /* Made if need be, else overwritten by the
                                 * first write; locked. */
    LOG_FILE_CREATE_EXCL        /* Must not exist, except as a dangling
                                 * symbolic link; locked. */
};

struct log_file;

int log_file_identify(const char *name, enum log_file_format *);

struct error *log_file_open(const char *name, enum log_file_mode,
                            struct log_file **)
    OVS_WARN_UNUSED_RESULT;
void log_file_close(struct log_file *);

const char *log_file_name(const struct log_file *);
enum log_file_format log_file_get_format(const struct log_file *);

struct error *log_file_read(struct log_file *, json_t **recordp)
    OVS_WARN_UNUSED_RESULT;
void log_file_unread(struct log_file *);
struct error *log_file_write(struct log_file *, const char *body)
    OVS_WARN_UNUSED_RESULT;
struct error *log_file_commit(struct log_file *) OVS_WARN_UNUSED_RESULT;

/* Text repair, in log-text.c. */
typedef void log_text_cb(const char *table, const char *row,
                         const char *column, void *aux);
char *log_text_repair(const char *text, size_t length, size_t *new_length,
                      log_text_cb *, void *aux);

/* A log and a database, in log-db.c. */
struct error *log_load(struct log_file *, struct schema *, struct db **,
                       struct error **tail) OVS_WARN_UNUSED_RESULT;
struct error *log_save(struct log_file *, const struct db *,
                       const char *comment) OVS_WARN_UNUSED_RESULT;
struct error *log_save_changes(struct log_file *, const struct db *old,
                               const struct db *new, const char *comment)
    OVS_WARN_UNUSED_RESULT;

#endif /* mgmt/db/log-file.h */
