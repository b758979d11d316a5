/* Transactions: see database.h.
 *
 * A commit goes through the steps that RFC 7047 leaves to the end of a
 * transaction, in the order that ovsdb-server has them, since it decides
 * which error a client sees: what changed at all, references counted, garbage
 * collected, tables' sizes, weak references, indexes. */
#include <config.h>
#include "mgmt/db/database.h"

#include <string.h>

#include "bitmap.h"
#include "mgmt/db/monitor.h"
#include "mgmt/db/store.h"
#include "openvswitch/vlog.h"
#include "util.h"

VLOG_DEFINE_THIS_MODULE(transaction);

/* Begins a transaction. */
struct txn *
txn_create(struct db *db)
{
    struct txn *txn = xzalloc(sizeof *txn);
    txn->db = db;
    hmap_init(&txn->by_uuid);
    ds_init(&txn->comment);
    return txn;
}

static void
txn_free(struct txn *txn)
{
    size_t i;

    for (i = 0; i < txn->n; i++) {
        free(txn->rows[i]->weak_n);
        free(txn->rows[i]);
    }
    free(txn->rows);
    hmap_destroy(&txn->by_uuid);
    ds_destroy(&txn->comment);
    free(txn);
}

static struct txn_row *
txn_row_create(struct txn *txn, struct table *table, struct row *old,
               struct row *new)
{
    struct txn_row *r = xzalloc(sizeof *r
                                + bitmap_n_bytes(table->schema->n_columns));
    r->table = table;
    r->uuid = *row_uuid(old ? old : new);
    r->old = old;
    r->new = new;
    r->n_refs = old ? old->n_refs : 0;
    if (old) {
        old->txn_row = r;
    }
    if (new) {
        new->txn_row = r;
    }
    if (txn->n >= txn->allocated) {
        txn->rows = x2nrealloc(txn->rows, &txn->allocated, sizeof *txn->rows);
    }
    txn->rows[txn->n++] = r;
    hmap_insert(&txn->by_uuid, &r->node, uuid_hash(&r->uuid));
    return r;
}

/* Returns what 'txn' does to a row so far, NULL if it hasn't touched it. */
struct txn_row *
txn_find(const struct txn *txn, const struct table *table,
         const struct uuid *uuid)
{
    struct txn_row *r;

    HMAP_FOR_EACH_WITH_HASH (r, node, uuid_hash(uuid), &txn->by_uuid) {
        if (r->table == table && uuid_equals(&r->uuid, uuid)) {
            return r;
        }
    }
    return NULL;
}

/* Returns the entry of a row in 'txn', made if need be; NULL if there is no
 * such row and wasn't before 'txn' either. */
struct txn_row *
txn_touch(struct txn *txn, struct table *table, const struct uuid *uuid)
{
    struct row *row = table_row(table, uuid);
    struct txn_row *r;

    if (row) {
        return (row->txn_row ? row->txn_row
                : txn_row_create(txn, table, row, row));
    }
    r = txn_find(txn, table, uuid);
    return r && r->old ? r : NULL;
}

/* Returns the version of 'row' that 'txn' may change. */
struct row *
txn_modify(struct txn *txn, struct row *row)
{
    struct txn_row *r = row->txn_row;
    struct row *new;

    if (!r) {
        r = txn_row_create(txn, row->table, row, row);
    }
    if (r->old != r->new) {
        return row;
    }
    new = row_clone(row);
    new->txn_row = r;
    r->new = new;
    hmap_replace(&row->table->rows, &row->node, &new->node);
    return new;
}

static void
new_version(struct row *row)
{
    union atom atom;

    uuid_generate(&atom.uuid);
    row_set(row, row->table->schema->columns[COL_VERSION],
            datum_scalar(ATOM_UUID, &atom));
}

/* Inserts 'row', whose UUID is set, and takes it. */
void
txn_insert(struct txn *txn, struct row *row)
{
    struct txn_row *r = txn_find(txn, row->table, row_uuid(row));

    new_version(row);
    if (r) {
        r->new = row;           /* Was inserted and deleted before. */
        row->txn_row = r;
    } else {
        txn_row_create(txn, row->table, NULL, row);
    }
    hmap_insert(&row->table->rows, &row->node, uuid_hash(row_uuid(row)));
}

static void
drop_new(struct txn_row *r)
{
    struct row *row = r->new;

    hmap_remove(&row->table->rows, &row->node);
    r->new = NULL;
    if (row != r->old) {
        row_unref(row);
    }
}

void
txn_delete(struct txn *txn, struct row *row)
{
    if (!row->txn_row) {
        txn_row_create(txn, row->table, row, row);
    }
    drop_new(row->txn_row);
}

/* Whether a row of 'uuid' may be inserted: there is none, and none has been
 * deleted in 'txn'. */
bool
txn_may_insert(struct txn *txn, struct table *table, const struct uuid *uuid)
{
    const struct txn_row *r = txn_find(txn, table, uuid);

    return !table_row(table, uuid) && !(r && r->old);
}

void
txn_add_comment(struct txn *txn, const char *comment)
{
    if (txn->comment.length) {
        ds_put_char(&txn->comment, '\n');
    }
    ds_put_cstr(&txn->comment, comment);
}

/* Puts the old version of a row back. */
static void
revert(struct txn_row *r)
{
    if (r->old && r->new && r->old != r->new) {
        hmap_replace(&r->table->rows, &r->new->node, &r->old->node);
        row_unref(r->new);
    } else if (r->old && !r->new) {
        hmap_insert(&r->table->rows, &r->old->node, uuid_hash(&r->uuid));
    } else if (!r->old && r->new) {
        drop_new(r);
    }
    r->new = r->old;
}

/* Undoes and frees 'txn'. */
void
txn_abort(struct txn *txn)
{
    size_t i;

    for (i = 0; i < txn->n; i++) {
        revert(txn->rows[i]);
        if (txn->rows[i]->old) {
            txn->rows[i]->old->txn_row = NULL;
        }
    }
    txn_free(txn);
}

/* --- Commit. --- */

/* Finds the columns that changed.  Returns whether anything did. */
static bool
determine_changes(struct txn *txn)
{
    bool any = false;
    size_t i, j;

    for (i = 0; i < txn->n; i++) {
        struct txn_row *r = txn->rows[i];
        size_t n = r->table->schema->n_columns;

        if (r->old && r->new && r->old != r->new) {
            bool changed = false;
            for (j = 0; j < n; j++) {
                if (r->old->fields[j] != r->new->fields[j]
                    && !datum_equals(r->old->fields[j], r->new->fields[j])) {
                    bitmap_set1(r->changed, j);
                    changed = true;
                }
            }
            if (!changed) {
                revert(r);
            }
        } else if (r->old != r->new) {
            bitmap_set_multiple(r->changed, 0, n, 1);
        }
        any = any || txn_row_is_effective(r);
    }
    return any;
}

static struct error *
check_max_rows(const struct txn *txn)
{
    size_t i;

    for (i = 0; i < txn->n; i++) {
        const struct table *table = txn->rows[i]->table;
        size_t n = hmap_count(&table->rows);

        if (n > table->schema->max_rows) {
            return error_new("constraint violation",
                             "transaction causes \"%s\" table to contain "
                             "%"PRIuSIZE" rows, greater than the "
                             "schema-defined limit of %u row(s)",
                             table->schema->name, n, table->schema->max_rows);
        }
    }
    return NULL;
}

static void
update_versions(struct txn *txn)
{
    size_t i;

    for (i = 0; i < txn->n; i++) {
        struct txn_row *r = txn->rows[i];
        if (r->old && r->new && r->old != r->new) {
            bitmap_set1(r->changed, COL_VERSION);
            new_version(r->new);
        }
    }
}

static struct error *
precommit(struct txn *txn)
{
    struct error *error;

    error = references_count(txn);
    if (error) {
        return error;
    }
    references_collect_garbage(txn);
    error = check_max_rows(txn);
    if (!error) {
        error = references_assess_weak(txn);
    }
    if (!error) {
        error = indexes_check(txn);
    }
    if (!error) {
        update_versions(txn);
    }
    return error;
}

static long long int
count_atoms(const struct row *row)
{
    const struct table_schema *ts = row->table->schema;
    long long int n = 0;
    size_t i;

    for (i = 0; i < ts->n_columns; i++) {
        size_t elements = datum_n(row->fields[i]);
        n += type_is_map(&ts->columns[i]->type) ? 2 * elements : elements;
    }
    return n;
}

static void
log_row(const struct txn_row *r)
{
    static struct vlog_rate_limit rl = VLOG_RATE_LIMIT_INIT(30, 60);
    const struct table_schema *ts = r->table->schema;
    const struct row *row = r->new ? r->new : r->old;
    struct ds ds = DS_EMPTY_INITIALIZER;
    size_t i;

    if (!r->table->log || VLOG_DROP_INFO(&rl)) {
        return;
    }
    for (i = 0; i < ts->n_columns; i++) {
        ds_put_format(&ds, "%s%s:", i ? "," : "", ts->columns[i]->name);
        datum_put_string(&ds, row->fields[i], &ts->columns[i]->type);
    }
    VLOG_INFO("table:%s,op:%s,%s", ts->name,
              !r->old ? "inserted" : !r->new ? "deleted" : "updated",
              ds_cstr(&ds));
    ds_destroy(&ds);
}

/* Makes 'txn' final and frees it. */
static void
complete(struct txn *txn)
{
    size_t i;

    references_commit_weak(txn);
    indexes_commit(txn);
    lookups_commit(txn);
    for (i = 0; i < txn->n; i++) {
        struct txn_row *r = txn->rows[i];

        if (txn_row_is_effective(r)) {
            txn->db->n_atoms += ((r->new ? count_atoms(r->new) : 0)
                                 - (r->old ? count_atoms(r->old) : 0));
            log_row(r);
            r->table->n_changes++;
        }
        if (r->old) {
            r->old->txn_row = NULL;
        }
        if (r->new) {
            r->new->txn_row = NULL;
            r->new->n_refs = r->n_refs;
        }
        if (txn_row_is_effective(r)) {
            row_unref(r->old);
        }
    }
    txn->db->changed = true;
    txn_free(txn);
}

static void
assign_ids(struct txn *txn)
{
    size_t i;

    for (i = 0; i < txn->n; i++) {
        struct row *new = txn->rows[i]->new;
        if (new && !new->id) {
            new->id = ++new->table->last_id;
        }
    }
}

/* Commits and frees 'txn'.  On error, which is the client's to see, nothing is
 * changed.
 *
 * '*ticket' is what to wait for until the transaction is kept: see
 * store_append().  It is 0 if there is nothing to wait for. */
struct error *
txn_commit(struct txn *txn, bool durable, uint64_t *ticket)
{
    struct error *error = NULL;

    *ticket = 0;
    if (!determine_changes(txn)) {
        if (durable && txn->db->store) {
            *ticket = store_sync(txn->db->store);
        }
        txn_abort(txn);
        return NULL;
    }

    if (txn->db->store) {
        error = store_check(txn->db->store);
    }
    if (!error) {
        error = precommit(txn);
    }
    if (error) {
        txn_abort(txn);
        return error;
    }
    assign_ids(txn);
    uuid_generate(&txn->db->last_txnid);
    if (txn->db->store) {
        *ticket = store_append(txn->db->store, txn, durable);
    }
    feeds_commit(txn->db, txn);
    complete(txn);
    return NULL;
}

static struct error *
commit_unstored(struct txn *txn, bool announce)
{
    struct error *error;

    if (!determine_changes(txn)) {
        txn_abort(txn);
        return NULL;
    }
    error = precommit(txn);
    if (error) {
        txn_abort(txn);
        return error;
    }
    assign_ids(txn);
    uuid_generate(&txn->db->last_txnid);
    if (announce) {
        feeds_commit(txn->db, txn);
    }
    complete(txn);
    return NULL;
}

/* Commits and frees 'txn', which makes a database anew from what has been
 * stored before: nothing is stored and nobody is told. */
struct error *
txn_replay(struct txn *txn)
{
    return commit_unstored(txn, false);
}

/* Commits and frees 'txn', which undoes what couldn't be stored: nothing is
 * stored, but clients hear of it. */
struct error *
txn_take_back(struct txn *txn)
{
    return commit_unstored(txn, true);
}
