/* A database in memory: tables, rows and transactions.
 *
 * A row's fields don't change once it is in a committed state: a transaction
 * that modifies a row puts a copy in its place, which shares all datums but
 * the changed ones.  So whoever needs the past (an update that a slow client
 * hasn't been sent, a commit that may fail to reach the disk) just keeps a
 * reference to the old row.
 *
 * A transaction works on the tables themselves and remembers the rows' old
 * versions; txn_commit() checks the outcome and makes it final, txn_abort()
 * puts the old versions back.  There is one transaction at a time.
 *
 * Main thread only. */
#ifndef SLUICE_DB_DATABASE_H
#define SLUICE_DB_DATABASE_H 1

#include "mgmt/db/schema.h"
#include "openvswitch/hmap.h"
#include "openvswitch/list.h"

struct history;
struct store;
struct txn_row;

struct row {
    struct hmap_node node;      /* In table->rows, by UUID. */
    struct table *table;
    struct txn_row *txn_row;    /* In the current transaction, or NULL. */
    int64_t id;                 /* Row number in the store, 0 before it has
                                 * one; copies of a row have the same. */
    uint32_t count;             /* Who holds this object. */
    uint32_t n_refs;            /* Strong references to the row, by others. */
    struct datum *fields[];     /* One per column, then an hmap_node for each
                                 * of the table's indexes. */
};

struct table {
    struct db *db;
    struct table_schema *schema;
    struct hmap rows;           /* Contains "struct row"s. */
    struct hmap *indexes;       /* One per index, of rows. */
    struct lookup **lookups;    /* One per column or NULL; NULL if none. */
    int64_t last_id;            /* Greatest row number given out. */
    unsigned int number;        /* In db->by_number. */
    bool log;                   /* Log each change (tlog-set). */
    unsigned int n_changes;     /* Rows changed so far. */
};

struct db {
    char *name;
    char *filename;             /* As given, NULL for _Server. */
    struct schema *schema;
    struct shash tables;        /* Contains "struct table"s. */
    struct table **by_number;   /* The same, as the schema has them. */
    struct table *rbac_role;    /* "RBAC_Role", or NULL. */
    struct hmap weak_refs;      /* Contains "struct weak_ref"s. */
    size_t n_weak_refs;
    long long int n_atoms;      /* In all rows. */

    struct store *store;        /* NULL: not kept. */
    struct uuid last_txnid;     /* Identifies the last transaction. */
    struct ovs_list feeds;      /* Contains "struct feed"s. */
    struct ovs_list triggers;   /* Contains "struct trigger"s that wait. */
    bool changed;               /* Since the triggers were last tried. */
    struct uuid server_row;     /* Its row in _Server's Database table. */
};

struct db *db_create(struct schema *);
void db_destroy(struct db *);
struct table *db_table(const struct db *, const char *name);

/* --- Rows. --- */

struct row *row_create(struct table *);
struct row *row_clone(const struct row *);
void row_unref(struct row *);

static inline struct row *
row_ref(struct row *row)
{
    row->count++;
    return row;
}

struct row *table_row(const struct table *, const struct uuid *);
struct hmap_node *row_index_node(struct row *, size_t i);
struct row *row_from_index_node(struct hmap_node *, struct table *, size_t i);

static inline const struct uuid *
row_uuid(const struct row *row)
{
    return (const struct uuid *) row->fields[COL_UUID]->data;
}

void row_set(struct row *, const struct column *, struct datum *);
void row_set_uuid(struct row *, const struct uuid *);
struct error *row_from_json(struct row *, const json_t *,
                            struct shash *symbols, struct column_set *)
    OVS_WARN_UNUSED_RESULT;
void row_put_json(struct ds *, const struct row *, const struct column_set *);
bool row_equal_columns(const struct row *, const struct row *,
                       const struct column_set *);
int row_compare_columns(const struct row *, const struct row *,
                        const struct column_set *);
uint32_t row_hash_columns(const struct row *, const struct column_set *);
void row_columns_to_string(const struct row *, const struct column_set *,
                           struct ds *);

/* What the server itself reads and writes in rows whose schema it doesn't
 * choose.  Reading returns false, and writing does nothing, if there is no
 * such column or it has another type. */
bool row_read_string(const struct row *, const char *column, const char **);
bool row_read_integer(const struct row *, const char *column, int64_t *);
bool row_read_bool(const struct row *, const char *column, bool *);
const char *row_read_map(const struct row *, const char *column,
                         const char *key);
const struct datum *row_read(const struct row *, const char *column,
                             enum atom_type key, enum atom_type value);
void row_write(struct row *, const char *column, struct datum *,
               enum atom_type key, enum atom_type value);

/* --- Transactions. --- */

/* What a transaction does to a row.
 *
 *      old    new
 *      NULL   row     inserted
 *      row    NULL    deleted
 *      row    other   modified, 'changed' tells which columns
 *      row    same    only its count of references changes
 *      NULL   NULL    inserted and deleted again
 */
struct txn_row {
    struct hmap_node node;      /* In txn->by_uuid. */
    struct table *table;
    struct uuid uuid;
    struct row *old, *new;
    uint32_t n_refs;            /* Strong references afterwards. */
    uint32_t *weak_n;           /* Per column 1 + the number of elements before
                                 * dangling weak references were removed, 0 if
                                 * none were; NULL if none at all. */
    unsigned long changed[];    /* Columns that differ; set by txn_commit(). */
};

struct txn {
    struct db *db;
    struct txn_row **rows;      /* In order of first use. */
    size_t n, allocated;
    struct hmap by_uuid;        /* The same. */
    struct ds comment;
};

static inline bool
txn_row_is_effective(const struct txn_row *r)
{
    return r->old != r->new;
}

struct txn *txn_create(struct db *);
void txn_abort(struct txn *);
struct error *txn_commit(struct txn *, bool durable, uint64_t *ticket)
    OVS_WARN_UNUSED_RESULT;
struct error *txn_replay(struct txn *) OVS_WARN_UNUSED_RESULT;
struct error *txn_take_back(struct txn *) OVS_WARN_UNUSED_RESULT;

struct row *txn_modify(struct txn *, struct row *);
void txn_insert(struct txn *, struct row *);
void txn_delete(struct txn *, struct row *);
bool txn_may_insert(struct txn *, struct table *, const struct uuid *);
void txn_add_comment(struct txn *, const char *);
struct txn_row *txn_find(const struct txn *, const struct table *,
                         const struct uuid *);
struct txn_row *txn_touch(struct txn *, struct table *, const struct uuid *);

/* Reference counts, garbage and weak references, in reference.c. */
struct weak_ref;
struct error *references_count(struct txn *) OVS_WARN_UNUSED_RESULT;
void references_collect_garbage(struct txn *);
struct error *references_assess_weak(struct txn *) OVS_WARN_UNUSED_RESULT;
void references_commit_weak(struct txn *);
struct error *references_load(struct db *) OVS_WARN_UNUSED_RESULT;
void references_destroy(struct db *);

/* Unique indexes, in index.c. */
struct error *indexes_check(struct txn *) OVS_WARN_UNUSED_RESULT;
void indexes_commit(struct txn *);

/* Lookups, in lookup.c. */
struct lookup;
void lookups_commit(const struct txn *);
void lookups_destroy(struct table *);

#endif /* mgmt/db/database.h */
