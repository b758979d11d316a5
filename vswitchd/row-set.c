/* Sets of row references, compared with what they were.
 *
 * A column that refers to thousands of rows (Bridge.ports) usually changes by
 * one of them.  The IDL keeps such sets sorted by UUID, so what changed lies
 * between the part that is equal at the front and the part that is equal at
 * the back; both are found by comparing memory (5,000 references: some 5
 * microseconds), and only what is in between is merged. */
#include <config.h>
#include "vswitchd/vswitchd.h"

#include "ovsdb-data.h"
#include "util.h"
#include "uuid.h"

static bool
atom_equals(const union ovsdb_atom *a, const union ovsdb_atom *b)
{
    return uuid_equals(&a->uuid, &b->uuid);
}

/* Sets '*set' to the references in 'datum' (which may be null: none) and
 * stores in '*diff' those that it did not have before and those that it no
 * longer has.  The caller must free '*diff' with row_set_diff_destroy(). */
void
row_set_update(struct row_set *set, const struct ovsdb_datum *datum,
               struct row_set_diff *diff)
{
    const union ovsdb_atom *old = set->uuids;
    const union ovsdb_atom *new = datum ? datum->keys : NULL;
    size_t old_end = set->n;
    size_t new_end = datum ? datum->n : 0;
    size_t new_n = new_end;
    size_t i = 0;

    while (i < old_end && i < new_end && atom_equals(&old[i], &new[i])) {
        i++;
    }
    while (old_end > i && new_end > i
           && atom_equals(&old[old_end - 1], &new[new_end - 1])) {
        old_end--;
        new_end--;
    }

    diff->n_added = diff->n_removed = 0;
    diff->added = xmalloc((new_end - i) * sizeof *diff->added);
    diff->removed = xmalloc((old_end - i) * sizeof *diff->removed);
    for (size_t o = i, n = i; o < old_end || n < new_end; ) {
        int cmp = (o >= old_end ? 1
                   : n >= new_end ? -1
                   : uuid_compare_3way(&old[o].uuid, &new[n].uuid));
        if (cmp < 0) {
            diff->removed[diff->n_removed++] = old[o++].uuid;
        } else if (cmp > 0) {
            diff->added[diff->n_added++] = new[n++].uuid;
        } else {
            o++;
            n++;
        }
    }

    if (diff->n_added || diff->n_removed) {
        free(set->uuids);
        set->uuids = new_n ? xmemdup(new, new_n * sizeof *new) : NULL;
        set->n = new_n;
    }
}

/* Frees what 'diff' points to. */
void
row_set_diff_destroy(struct row_set_diff *diff)
{
    free(diff->added);
    free(diff->removed);
}

/* Frees what 'set' points to. */
void
row_set_destroy(struct row_set *set)
{
    free(set->uuids);
}
