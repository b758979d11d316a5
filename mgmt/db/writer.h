/* Writing to a database's file, mostly by a thread of its own: see store.h.
 *
 * The main thread appends transactions, each as a list of changes (sql.h) with
 * a *ticket*, a number that counts them.  What has gathered when the writer
 * gets to it is committed as one SQLite transaction, and synced to the disk if
 * any part of it asked for that.  writer_submit() is to be called once all
 * that has arrived together is appended.
 *
 * A lone durable transaction isn't worth two changes of thread, so that
 * writer_submit() writes it by itself, unless the disk has been slow or
 * another process is writing to the file: then others would have to wait. */
#ifndef SLUICE_DB_WRITER_H
#define SLUICE_DB_WRITER_H 1

#include <sqlite3.h>

#include "mgmt/db/database.h"

struct writer;

/* All by the main thread, but for 'wake'. */
struct writer *writer_create(sqlite3 *, const char *file_name,
                             const struct schema *, void (*wake)(void *aux),
                             void *aux);
void writer_destroy(struct writer *);
void writer_set_schema(struct writer *, const struct schema *);
void writer_append(struct writer *, const struct ds *changes, uint64_t ticket,
                   bool durable);
void writer_submit(struct writer *);
uint64_t writer_stored(const struct writer *, struct error **);
void writer_give_up(struct writer *, uint64_t ticket);
struct error *writer_drain(struct writer *);
struct error *writer_compact(struct writer *) OVS_WARN_UNUSED_RESULT;
struct error *writer_transact(struct writer *,
                              int (*cb)(sqlite3 *, void *aux), void *aux,
                              const char *what) OVS_WARN_UNUSED_RESULT;

#endif /* mgmt/db/writer.h */
