/* Unique indexes.
 *
 * A table's indexes hold the committed rows.  A transaction's rows are checked
 * against them and against each other, and only rows whose indexed columns
 * change need to be. */
#include <config.h>
#include "mgmt/db/database.h"

#include "bitmap.h"
#include "util.h"

/* A row in the index over a transaction's rows. */
struct entry {
    struct hmap_node node;
    struct row *row;
    size_t index;
};

/* Whether 'r' changes any of 'columns'. */
static bool
changes_any(const struct txn_row *r, const struct column_set *columns)
{
    size_t i;

    if (!r->old || !r->new) {
        return true;
    }
    for (i = 0; i < columns->n; i++) {
        if (bitmap_is_set(r->changed, columns->columns[i]->index)) {
            return true;
        }
    }
    return false;
}

static void
describe(const struct row *row, const struct column_set *columns,
         const char *title, struct ds *ds)
{
    const struct txn_row *r = row->txn_row;

    ds_put_format(ds, "%s row, with UUID "UUID_FMT", ",
                  title, UUID_ARGS(row_uuid(row)));
    if (!r || r->old == r->new) {
        ds_put_cstr(ds, "existed in the database before this transaction and "
                    "was not modified by the transaction.");
    } else if (!r->old) {
        ds_put_cstr(ds, "was inserted by this transaction.");
    } else if (row_equal_columns(r->old, r->new, columns)) {
        ds_put_cstr(ds, "existed in the database before this transaction, "
                    "which modified some of the row's columns but not any "
                    "columns in this index.");
    } else {
        ds_put_cstr(ds, "had the following index values before the "
                    "transaction: ");
        row_columns_to_string(r->old, columns, ds);
        ds_put_char(ds, '.');
    }
}

static struct error *
duplicate(const struct row *a, const struct row *b,
          const struct column_set *columns)
{
    const struct table_schema *ts = a->table->schema;
    const struct shash_node *node;
    struct ds ds = DS_EMPTY_INITIALIZER;
    struct error *error;
    char *names;

    /* Which is "first" depends on the rows only, in ovsdb-server's order of
     * columns. */
    SHASH_FOR_EACH (node, &ts->by_name) {
        const struct column *column = node->data;
        int cmp = datum_compare(a->fields[column->index],
                                b->fields[column->index], &column->type);
        if (cmp < 0) {
            const struct row *tmp = a;
            a = b;
            b = tmp;
        }
        if (cmp) {
            break;
        }
    }

    names = column_set_to_string(columns);
    ds_put_format(&ds, "Transaction causes multiple rows in \"%s\" table to "
                  "have identical values (", ts->name);
    row_columns_to_string(a, columns, &ds);
    ds_put_format(&ds, ") for index on %s.  ", names);
    describe(a, columns, "First", &ds);
    ds_put_cstr(&ds, "  ");
    describe(b, columns, "Second", &ds);
    free(names);
    error = error_new("constraint violation", "%s", ds_cstr(&ds));
    ds_destroy(&ds);
    return error;
}

/* Returns the committed row that stays in the way of 'row', if any. */
static struct row *
find_committed(struct row *row, size_t i, uint32_t hash)
{
    const struct column_set *columns = &row->table->schema->indexes[i];
    struct hmap_node *node;

    for (node = hmap_first_with_hash(&row->table->indexes[i], hash); node;
         node = hmap_next_with_hash(node)) {
        struct row *other = row_from_index_node(node, row->table, i);
        struct txn_row *r = other->txn_row;

        if (r && (r->new == row || changes_any(r, columns))) {
            continue;
        }
        if (row_equal_columns(row, other, columns)) {
            return r ? r->new : other;
        }
    }
    return NULL;
}

static struct row *
find_entry(const struct hmap *entries, const struct row *row, size_t i,
           uint32_t hash)
{
    const struct entry *e;

    HMAP_FOR_EACH_WITH_HASH (e, node, hash, entries) {
        if (e->index == i && e->row->table == row->table
            && row_equal_columns(row, e->row,
                                 &row->table->schema->indexes[i])) {
            return e->row;
        }
    }
    return NULL;
}

static struct error *
check_row(struct hmap *entries, struct txn_row *r)
{
    size_t i;

    for (i = 0; i < r->table->schema->n_indexes; i++) {
        const struct column_set *columns = &r->table->schema->indexes[i];
        struct row *other;
        struct entry *e;
        uint32_t hash;

        if (!changes_any(r, columns)) {
            continue;
        }
        hash = row_hash_columns(r->new, columns);
        other = find_entry(entries, r->new, i, hash);
        if (!other) {
            other = find_committed(r->new, i, hash);
        }
        if (other) {
            return duplicate(other, r->new, columns);
        }
        e = xmalloc(sizeof *e);
        e->row = r->new;
        e->index = i;
        hmap_insert(entries, &e->node, hash);
    }
    return NULL;
}

/* Returns an error if 'txn' puts two rows of equal indexed columns in a
 * table. */
struct error *
indexes_check(struct txn *txn)
{
    struct hmap entries = HMAP_INITIALIZER(&entries);
    struct error *error = NULL;
    struct entry *e;
    size_t i;

    for (i = 0; i < txn->n && !error; i++) {
        struct txn_row *r = txn->rows[i];
        if (r->new && txn_row_is_effective(r)) {
            error = check_row(&entries, r);
        }
    }
    HMAP_FOR_EACH_POP (e, node, &entries) {
        free(e);
    }
    hmap_destroy(&entries);
    return error;
}

/* Puts the rows of 'txn' into the indexes, which can't fail any more. */
void
indexes_commit(struct txn *txn)
{
    size_t i, j;

    for (i = 0; i < txn->n; i++) {
        struct txn_row *r = txn->rows[i];
        if (!txn_row_is_effective(r)) {
            continue;
        }
        for (j = 0; j < r->table->schema->n_indexes; j++) {
            const struct column_set *columns = &r->table->schema->indexes[j];
            struct hmap *index = &r->table->indexes[j];

            if (!changes_any(r, columns)) {
                hmap_replace(index, row_index_node(r->old, j),
                             row_index_node(r->new, j));
                continue;
            }
            if (r->old) {
                hmap_remove(index, row_index_node(r->old, j));
            }
            if (r->new) {
                hmap_insert(index, row_index_node(r->new, j),
                            row_hash_columns(r->new, columns));
            }
        }
    }
}
