/* References between rows.
 *
 * A row knows how many strong references lead to it from other rows.  A commit
 * adjusts the counts by the differences of the changed columns, refuses what
 * refers to nothing or leaves a reference behind, and deletes rows of non-root
 * tables that nothing refers to any more.
 *
 * A weak reference goes away with the row it leads to.  The database has a
 * table of all of them by destination, from which a commit finds the rows that
 * have to change with a deletion. */
#include <config.h>
#include "mgmt/db/database.h"

#include "bitmap.h"
#include "hash.h"
#include "util.h"

/* Whether columns of 'base' or 'type' take part. */
static bool
type_has_strong(const struct type *type)
{
    return base_is_strong_ref(&type->key) || base_is_strong_ref(&type->value);
}

static bool
type_has_weak(const struct type *type)
{
    return base_is_weak_ref(&type->key) || base_is_weak_ref(&type->value);
}

/* --- Strong references. --- */

static struct error *
adjust(struct txn *txn, const struct txn_row *r, const struct column *column,
       const struct base_type *base, const union atom *atom, int delta)
{
    struct txn_row *target;

    if (!base_is_strong_ref(base) || uuid_equals(&atom->uuid, &r->uuid)) {
        return NULL;            /* References to itself don't count. */
    }
    target = txn_touch(txn, base->uuid.ref, &atom->uuid);
    if (!target) {
        return error_new("referential integrity violation",
                         "Table %s column %s row "UUID_FMT" references "
                         "nonexistent row "UUID_FMT" in table %s.",
                         r->table->schema->name, column->name,
                         UUID_ARGS(&r->uuid), UUID_ARGS(&atom->uuid),
                         base->uuid.ref->schema->name);
    }
    target->n_refs += delta;
    return NULL;
}

static struct error *
count_column(struct txn *txn, const struct txn_row *r,
             const struct column *column)
{
    const struct type *type = &column->type;
    struct error *error = NULL;
    enum difference diff;
    struct differ d;

    differ_init(&d, r->old ? r->old->fields[column->index] : NULL,
                r->new ? r->new->fields[column->index] : NULL);
    while (!error && (diff = differ_next(&d)) != DIFF_NONE) {
        int delta = diff == DIFF_REMOVED ? -1 : 1;

        if (diff == DIFF_CHANGED) {
            error = adjust(txn, r, column, &type->value, &d.old_value, -1);
        } else {
            error = adjust(txn, r, column, &type->key, &d.key, delta);
        }
        if (!error) {
            error = adjust(txn, r, column, &type->value, &d.value, delta);
        }
    }
    return error;
}

/* Adjusts the counts of references to what 'txn' changes.  Returns an error if
 * a reference leads nowhere or a deleted row is still referred to. */
struct error *
references_count(struct txn *txn)
{
    struct error *error = NULL;
    size_t i, j;

    for (i = 0; i < txn->n; i++) {
        struct txn_row *r = txn->rows[i];
        const struct table_schema *ts = r->table->schema;

        for (j = 0; j < ts->n_columns && !error; j++) {
            if (type_has_strong(&ts->columns[j]->type)
                && bitmap_is_set(r->changed, j)) {
                error = count_column(txn, r, ts->columns[j]);
            }
        }
        if (error) {
            return error;
        }
    }

    for (i = 0; i < txn->n; i++) {
        const struct txn_row *r = txn->rows[i];
        if (!r->new && r->n_refs) {
            return error_new("referential integrity violation",
                             "cannot delete %s row "UUID_FMT" because of "
                             "%"PRIu32" remaining reference(s)",
                             r->table->schema->name, UUID_ARGS(&r->uuid),
                             r->n_refs);
        }
    }
    return NULL;
}

static void
release(struct txn *txn, const struct txn_row *r,
        const struct base_type *base, const union atom *atom)
{
    struct txn_row *target;

    if (base_is_strong_ref(base) && !uuid_equals(&atom->uuid, &r->uuid)) {
        target = txn_touch(txn, base->uuid.ref, &atom->uuid);
        target->n_refs--;
    }
}

/* Deletes the row of 'r', to which nothing refers.  What it refers to is among
 * the transaction's rows afterward, where the caller finds it in turn. */
static void
delete_garbage(struct txn *txn, struct txn_row *r)
{
    const struct table_schema *ts = r->table->schema;
    struct row *row = row_ref(r->new);
    struct cursor c;
    size_t i;

    txn_delete(txn, row);
    bitmap_set_multiple(r->changed, 0, ts->n_columns, 1);
    for (i = 0; i < ts->n_columns; i++) {
        const struct type *type = &ts->columns[i]->type;

        if (!type_has_strong(type)) {
            continue;
        }
        DATUM_FOR_EACH (&c, row->fields[i]) {
            union atom atom = cursor_key(&c);
            release(txn, r, &type->key, &atom);
            if (type_is_map(type)) {
                atom = cursor_value(&c);
                release(txn, r, &type->value, &atom);
            }
        }
    }
    row_unref(row);
}

/* Deletes the rows of non-root tables that nothing refers to. */
void
references_collect_garbage(struct txn *txn)
{
    bool again;
    size_t i;

    do {
        again = false;
        for (i = 0; i < txn->n; i++) {
            struct txn_row *r = txn->rows[i];
            if (r->new && !r->n_refs && !r->table->schema->is_root) {
                delete_garbage(txn, r);
                again = true;
            }
        }
    } while (again);
}

/* --- Weak references. --- */

/* That a row refers weakly to another. */
struct weak_ref {
    struct hmap_node node;      /* In db->weak_refs, by destination. */
    struct table *dst_table, *src_table;
    struct uuid dst, src;
    unsigned int column;        /* Of the source. */
    unsigned int count;         /* How often that column does. */
};

static uint32_t
hash_destination(const struct table *table, const struct uuid *uuid)
{
    return hash_int(table->number, uuid_hash(uuid));
}

static void
weak_ref_adjust(const struct txn_row *r, const struct column *column,
                const struct base_type *base, const union atom *atom,
                int delta)
{
    struct db *db = r->table->db;
    struct weak_ref *w;
    uint32_t hash;

    if (!base_is_weak_ref(base) || uuid_equals(&atom->uuid, &r->uuid)) {
        return;
    }
    hash = hash_destination(base->uuid.ref, &atom->uuid);
    HMAP_FOR_EACH_WITH_HASH (w, node, hash, &db->weak_refs) {
        if (uuid_equals(&w->dst, &atom->uuid) && uuid_equals(&w->src, &r->uuid)
            && w->column == column->index && w->src_table == r->table
            && w->dst_table == base->uuid.ref) {
            break;
        }
    }
    if (!w) {
        ovs_assert(delta > 0);
        w = xzalloc(sizeof *w);
        w->dst_table = base->uuid.ref;
        w->src_table = r->table;
        w->dst = atom->uuid;
        w->src = r->uuid;
        w->column = column->index;
        hmap_insert(&db->weak_refs, &w->node, hash);
    }
    w->count += delta;
    db->n_weak_refs += delta;
    if (!w->count) {
        hmap_remove(&db->weak_refs, &w->node);
        free(w);
    }
}

static void
commit_weak_column(const struct txn_row *r, const struct column *column)
{
    const struct type *type = &column->type;
    enum difference diff;
    struct differ d;

    differ_init(&d, r->old ? r->old->fields[column->index] : NULL,
                r->new ? r->new->fields[column->index] : NULL);
    while ((diff = differ_next(&d)) != DIFF_NONE) {
        int delta = diff == DIFF_REMOVED ? -1 : 1;

        if (diff == DIFF_CHANGED) {
            weak_ref_adjust(r, column, &type->value, &d.old_value, -1);
        } else {
            weak_ref_adjust(r, column, &type->key, &d.key, delta);
        }
        weak_ref_adjust(r, column, &type->value, &d.value, delta);
    }
}

/* Brings the table of weak references up to date with 'txn'. */
void
references_commit_weak(struct txn *txn)
{
    size_t i, j;

    for (i = 0; i < txn->n; i++) {
        const struct txn_row *r = txn->rows[i];
        const struct table_schema *ts = r->table->schema;

        for (j = 0; txn_row_is_effective(r) && j < ts->n_columns; j++) {
            if (type_has_weak(&ts->columns[j]->type)
                && bitmap_is_set(r->changed, j)) {
                commit_weak_column(r, ts->columns[j]);
            }
        }
    }
}

/* Counts what the columns of 'row', just read from a file, refer to. */
static struct error *
load_references(struct row *row)
{
    const struct table_schema *ts = row->table->schema;
    struct txn_row r = { .table = row->table, .uuid = *row_uuid(row) };
    size_t i;

    for (i = 0; i < ts->n_columns; i++) {
        const struct type *type = &ts->columns[i]->type;
        bool strong = type_has_strong(type), weak = type_has_weak(type);
        struct cursor c;
        int part;

        if (!strong && !weak) {
            continue;
        }
        DATUM_FOR_EACH (&c, row->fields[i]) {
            for (part = 0; part < (type_is_map(type) ? 2 : 1); part++) {
                const struct base_type *base = part ? &type->value
                                               : &type->key;
                union atom atom = part ? cursor_value(&c) : cursor_key(&c);
                struct row *target;

                weak_ref_adjust(&r, ts->columns[i], base, &atom, 1);
                if (!base_is_strong_ref(base)
                    || uuid_equals(&atom.uuid, &r.uuid)) {
                    continue;
                }
                target = table_row(base->uuid.ref, &atom.uuid);
                if (!target) {
                    return error_new("referential integrity violation",
                                     "Table %s column %s row "UUID_FMT" "
                                     "references nonexistent row "UUID_FMT
                                     " in table %s.", ts->name,
                                     ts->columns[i]->name, UUID_ARGS(&r.uuid),
                                     UUID_ARGS(&atom.uuid),
                                     base->uuid.ref->schema->name);
                }
                target->n_refs++;
            }
        }
    }
    return NULL;
}

/* Sets the counts and tables of references of 'db', whose rows have just been
 * read from a file. */
struct error *
references_load(struct db *db)
{
    struct error *error = NULL;
    struct row *row;
    size_t i;

    for (i = 0; i < db->schema->n_tables; i++) {
        HMAP_FOR_EACH (row, node, &db->by_number[i]->rows) {
            error = load_references(row);
            if (error) {
                return error;
            }
        }
    }
    return NULL;
}

void
references_destroy(struct db *db)
{
    struct weak_ref *w;

    HMAP_FOR_EACH_POP (w, node, &db->weak_refs) {
        free(w);
    }
    hmap_destroy(&db->weak_refs);
}

static bool
dangles(const struct base_type *base, const union atom *atom)
{
    return (base_is_weak_ref(base)
            && !table_row(base->uuid.ref, &atom->uuid));
}

/* Removes from 'column' of 'r' what is in 'dead', and remembers how much
 * there was before. */
static void
remove_dead(struct txn *txn, struct txn_row *r, const struct column *column,
            struct builder *dead)
{
    struct row *row;
    struct datum *d;

    if (!dead->n) {
        builder_destroy(dead);
        return;
    }
    row = txn_modify(txn, r->new);
    if (!r->weak_n) {
        r->weak_n = xcalloc(r->table->schema->n_columns, sizeof *r->weak_n);
    }
    if (!r->weak_n[column->index]) {
        r->weak_n[column->index] = 1 + datum_n(row->fields[column->index]);
    }
    builder_sort(dead);
    d = builder_finish(dead);
    row_set(row, column,
            datum_subtract(datum_ref(row->fields[column->index]), d));
    datum_unref(d);
    bitmap_set1(r->changed, column->index);
}

/* Removes the elements of a column that refer to 'dst', a deleted row.  If
 * that may be the key, and isn't the value too, that is a search. */
static void
remove_destination(struct txn *txn, struct txn_row *r,
                   const struct column *column, const struct uuid *dst)
{
    const struct datum *datum = r->new->fields[column->index];
    const struct type *type = &column->type;
    union atom target = { .uuid = *dst };
    struct builder dead;
    struct cursor c;

    builder_init(&dead, type->key.type, ATOM_VOID);
    if (base_is_weak_ref(&type->key) && datum_find(datum, &target, NULL)) {
        builder_add(&dead, &target, NULL);
    }
    if (base_is_weak_ref(&type->value)) {
        DATUM_FOR_EACH (&c, datum) {
            union atom key = cursor_key(&c), value = cursor_value(&c);
            if (uuid_equals(&value.uuid, dst)
                && !(type->key.type == ATOM_UUID && dead.n
                     && uuid_equals(&key.uuid, dst))) {
                atom_ref(&key, type->key.type);
                builder_add(&dead, &key, NULL);
            }
        }
    }
    remove_dead(txn, r, column, &dead);
}

/* Removes references to the row that 'r' deletes. */
static void
remove_references_to(struct txn *txn, const struct txn_row *r)
{
    uint32_t hash = hash_destination(r->table, &r->uuid);
    struct weak_ref *w;

    HMAP_FOR_EACH_WITH_HASH (w, node, hash, &txn->db->weak_refs) {
        if (uuid_equals(&w->dst, &r->uuid) && w->dst_table == r->table) {
            struct txn_row *src = txn_touch(txn, w->src_table, &w->src);
            if (src && src->new) {
                remove_destination(txn, src,
                                   w->src_table->schema->columns[w->column],
                                   &r->uuid);
            }
        }
    }
}

/* Removes those references from a column that 'txn' adds and that lead
 * nowhere.  Sets '*zero' if one of them is the zero UUID. */
static void
remove_dangling(struct txn *txn, struct txn_row *r,
                const struct column *column, bool *zero)
{
    const struct type *type = &column->type;
    enum difference diff;
    struct builder dead;
    struct differ d;

    builder_init(&dead, type->key.type, ATOM_VOID);
    differ_init(&d, r->old ? r->old->fields[column->index] : NULL,
                r->new->fields[column->index]);
    while ((diff = differ_next(&d)) != DIFF_NONE) {
        bool by_key, by_value;

        if (diff == DIFF_REMOVED) {
            continue;
        }
        by_key = dangles(&type->key, &d.key);
        by_value = dangles(&type->value, &d.value);
        if (by_key || by_value) {
            *zero = *zero || uuid_is_zero(by_key ? &d.key.uuid
                                          : &d.value.uuid);
            atom_ref(&d.key, type->key.type);
            builder_add(&dead, &d.key, NULL);
        }
    }
    remove_dead(txn, r, column, &dead);
}

static struct error *
check_emptied(const struct txn_row *r, const struct column *column, bool zero)
{
    unsigned int before = r->weak_n ? r->weak_n[column->index] : 0;
    size_t n = datum_n(r->new->fields[column->index]);

    if (!before || n >= column->type.n_min) {
        return NULL;
    } else if (zero && !r->old) {
        return error_new("constraint violation",
                         "Weak reference column \"%s\" in \"%s\" row "UUID_FMT
                         " (inserted within this transaction) contained "
                         "all-zeros UUID (probably as the default value for "
                         "this column) but deleting this value caused a "
                         "constraint volation because this column is not "
                         "allowed to be empty.",
                         column->name, r->table->schema->name,
                         UUID_ARGS(&r->uuid));
    }
    return error_new("constraint violation",
                     "Deletion of %u weak reference(s) to deleted (or "
                     "never-existing) rows from column \"%s\" in \"%s\" row "
                     UUID_FMT" %scaused this column to become empty, but "
                     "constraints on this column disallow an empty column.",
                     before - 1 - (unsigned int) n, column->name,
                     r->table->schema->name, UUID_ARGS(&r->uuid),
                     r->old ? "" : "(inserted within this transaction) ");
}

/* Removes the weak references that lead nowhere after 'txn'.  Returns an error
 * if that empties a column that must not be. */
struct error *
references_assess_weak(struct txn *txn)
{
    size_t i, j;

    for (i = 0; i < txn->n; i++) {
        const struct txn_row *r = txn->rows[i];
        if (r->old && !r->new) {
            remove_references_to(txn, r);
        }
    }

    for (i = 0; i < txn->n; i++) {
        struct txn_row *r = txn->rows[i];
        const struct table_schema *ts = r->table->schema;

        for (j = 0; r->new && txn_row_is_effective(r) && j < ts->n_columns;
             j++) {
            const struct column *column = ts->columns[j];
            bool zero = false;

            if (type_has_weak(&column->type) && bitmap_is_set(r->changed, j)) {
                struct error *error;

                remove_dangling(txn, r, column, &zero);
                error = check_emptied(r, column, zero);
                if (error) {
                    return error;
                }
            }
        }
    }
    return NULL;
}
