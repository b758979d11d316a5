/* Lookups: finding rows by what is in a column, without an index in the
 * schema.
 *
 * A command line tool asks for the port that has an interface, or for the
 * interface with an "iface-id"; a controller has thousands of conditions on one
 * column.  When such questions make us scan a large table again and again, the
 * column gets a hash table of its elements (of a map, its pairs), from then on
 * kept up to date by each commit.  It has UUIDs, since rows are replaced when
 * they change.
 *
 * Rows in which the column has its default are left out, so that the few with
 * "fake_bridge" set are cheap to find.  A column where many rows have the same
 * element gains nothing: it is marked as poor and scanned.  A lookup that
 * nobody has used while many rows changed is dropped. */
#include <config.h>
#include "mgmt/db/lookup.h"

#include "bitmap.h"
#include "util.h"

enum {
    MIN_ROWS = 128,             /* Smaller tables are scanned. */
    MIN_SCANS = 3,              /* So often before there is a lookup. */
    MAX_SAME = 64               /* Rows with one element. */
};

struct lookup {
    const struct column *column;
    unsigned int n_scans;       /* That a lookup would have saved. */
    bool poor;
    bool active;                /* Are there 'entries'? */
    size_t idle;                /* Entries changed since the last use. */
    struct hmap entries;        /* Contains "struct entry"s. */
};

struct entry {
    struct hmap_node node;      /* By hash of the element. */
    struct uuid uuid;           /* The row. */
    unsigned int n;             /* Elements of the row with that hash. */
};

static void
lookup_clear(struct lookup *lookup)
{
    struct entry *e;

    HMAP_FOR_EACH_POP (e, node, &lookup->entries) {
        free(e);
    }
    hmap_shrink(&lookup->entries);
    lookup->active = false;
    lookup->n_scans = 0;
    lookup->idle = 0;
}

/* Frees the lookups of 'table'. */
void
lookups_destroy(struct table *table)
{
    for (size_t i = 0; table->lookups && i < table->schema->n_columns; i++) {
        struct lookup *lookup = table->lookups[i];

        if (lookup) {
            lookup_clear(lookup);
            hmap_destroy(&lookup->entries);
            free(lookup);
        }
    }
    free(table->lookups);
    table->lookups = NULL;
}

static uint32_t
hash_element(const struct lookup *lookup, const union atom *key,
             const union atom *value)
{
    const struct type *type = &lookup->column->type;
    uint32_t hash = atom_hash(key, type->key.type, 0);

    return (type_is_map(type) ? atom_hash(value, type->value.type, hash)
            : hash);
}

static void
add_element(struct lookup *lookup, const struct uuid *uuid, uint32_t hash)
{
    unsigned int n_same = 0;
    struct entry *e;

    HMAP_FOR_EACH_WITH_HASH (e, node, hash, &lookup->entries) {
        if (uuid_equals(&e->uuid, uuid)) {
            e->n++;
            return;
        }
        n_same++;
    }
    if (n_same >= MAX_SAME) {
        lookup_clear(lookup);
        lookup->poor = true;
        return;
    }
    e = xmalloc(sizeof *e);
    e->uuid = *uuid;
    e->n = 1;
    hmap_insert(&lookup->entries, &e->node, hash);
}

static void
remove_element(struct lookup *lookup, const struct uuid *uuid, uint32_t hash)
{
    struct entry *e;

    HMAP_FOR_EACH_WITH_HASH (e, node, hash, &lookup->entries) {
        if (uuid_equals(&e->uuid, uuid)) {
            if (!--e->n) {
                hmap_remove(&lookup->entries, &e->node);
                free(e);
            }
            return;
        }
    }
}

/* What 'lookup' has of 'row': nothing if the column has its default. */
static const struct datum *
indexed(const struct lookup *lookup, const struct row *row)
{
    const struct datum *datum = row ? row->fields[lookup->column->index] : NULL;

    return datum_is_default(datum, &lookup->column->type) ? NULL : datum;
}

/* Replaces 'old' (NULL: nothing) by 'new' (NULL: nothing). */
static void
replace_row(struct lookup *lookup, const struct row *old,
            const struct row *new)
{
    const struct uuid *uuid = row_uuid(new ? new : old);
    enum difference diff;
    struct differ d;

    differ_init(&d, indexed(lookup, old), indexed(lookup, new));
    while (lookup->active && (diff = differ_next(&d)) != DIFF_NONE) {
        if (diff == DIFF_CHANGED) {
            remove_element(lookup, uuid,
                           hash_element(lookup, &d.key, &d.old_value));
        }
        if (diff == DIFF_REMOVED) {
            remove_element(lookup, uuid,
                           hash_element(lookup, &d.key, &d.value));
        } else {
            add_element(lookup, uuid, hash_element(lookup, &d.key, &d.value));
        }
        lookup->idle++;
    }
}

static void
commit_row(struct lookup *lookup, const struct txn_row *r)
{
    if (r->old && r->new
        && !bitmap_is_set(r->changed, lookup->column->index)) {
        return;
    }
    replace_row(lookup, r->old, r->new);
    if (lookup->idle > 1000 + 4 * hmap_count(&lookup->entries)) {
        lookup_clear(lookup);
    }
}

/* Brings the lookups up to date with 'txn', which is being committed. */
void
lookups_commit(const struct txn *txn)
{
    for (size_t i = 0; i < txn->n; i++) {
        const struct txn_row *r = txn->rows[i];
        struct lookup **lookups = r->table->lookups;

        if (!lookups || !txn_row_is_effective(r)) {
            continue;
        }
        for (size_t j = 0; j < r->table->schema->n_columns; j++) {
            if (lookups[j] && lookups[j]->active) {
                commit_row(lookups[j], r);
            }
        }
    }
}

static struct lookup *
get_lookup(struct table *table, const struct column *column)
{
    struct lookup *lookup;

    if (!table->lookups) {
        table->lookups = xcalloc(table->schema->n_columns,
                                 sizeof *table->lookups);
    }
    lookup = table->lookups[column->index];
    if (!lookup) {
        lookup = xzalloc(sizeof *lookup);
        lookup->column = column;
        hmap_init(&lookup->entries);
        table->lookups[column->index] = lookup;
    }
    return lookup;
}

static void
fill(struct lookup *lookup, const struct table *table)
{
    const struct row *row;

    lookup->active = true;
    HMAP_FOR_EACH (row, node, &table->rows) {
        replace_row(lookup, NULL, row);
    }
}

/* Returns what can tell which rows of 'table' may fulfil 'clause', or NULL if
 * the table is to be scanned.  'settled' says that the table has no changes
 * that aren't committed. */
struct lookup *
lookup_find(struct table *table, const struct clause *clause, bool settled)
{
    struct lookup *lookup;

    if ((clause->function != F_EQ && clause->function != F_INCLUDES)
        || clause->column->index < N_STD_COLUMNS
        || !clause->arg
        || datum_is_default(clause->arg, &clause->column->type)
        || hmap_count(&table->rows) < MIN_ROWS) {
        return NULL;
    }
    lookup = get_lookup(table, clause->column);
    if (!lookup->active && !lookup->poor && settled
        && ++lookup->n_scans >= MIN_SCANS) {
        fill(lookup, table);
    }
    lookup->idle = 0;
    return lookup->active ? lookup : NULL;
}

/* Calls 'cb' for each row that may fulfil 'clause' as far as 'lookup', which
 * lookup_find() has returned for it, knows, until it returns false.  Of rows
 * that the current transaction has changed, it knows the old version, and
 * passes the new one. */
void
lookup_visit(const struct lookup *lookup, const struct table *table,
             const struct clause *clause, query_cb *cb, void *aux)
{
    union atom key, value;
    struct cursor c;
    struct entry *e;
    uint32_t hash;

    /* Whoever fulfils it has the argument's first element. */
    cursor_first(&c, clause->arg);
    key = cursor_key(&c);
    if (type_is_map(&lookup->column->type)) {
        value = cursor_value(&c);
    }
    hash = hash_element(lookup, &key, &value);
    HMAP_FOR_EACH_WITH_HASH (e, node, hash, &lookup->entries) {
        struct row *row = table_row(table, &e->uuid);

        if (row && !cb(row, aux)) {
            return;
        }
    }
}
