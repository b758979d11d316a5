/* Comparing datums, and walking their differences: see data.h.  Blocks that two
 * datums share are skipped. */
#include <config.h>
#include "mgmt/db/datum-private.h"

#include "hash.h"
#include "util.h"

void
differ_init(struct differ *d, const struct datum *old,
            const struct datum *new)
{
    if (old == new) {
        old = new = NULL;
    }
    cursor_first(&d->old, old);
    cursor_first(&d->new, new);
}

/* If both cursors stand at the start of blocks that are the same, goes past
 * the largest such blocks and returns true. */
static bool
skip_shared(struct cursor *a, struct cursor *b)
{
    unsigned int da = a->depth, db = b->depth;

    if (a->i || b->i || a->leaf != b->leaf) {
        return false;
    }
    while (da && db && !a->children[da - 1] && !b->children[db - 1]
           && a->branches[da - 1] == b->branches[db - 1]) {
        da--;
        db--;
    }
    cursor_skip(a, da);
    cursor_skip(b, db);
    return true;
}

/* Advances to the next difference and stores it in 'd'; the atoms have no
 * references of their own. */
enum difference
differ_next(struct differ *d)
{
    struct cursor *a = &d->old;
    struct cursor *b = &d->new;

    for (;;) {
        if (!cursor_valid(a) && !cursor_valid(b)) {
            return DIFF_NONE;
        }
        if (cursor_valid(a) && cursor_valid(b) && skip_shared(a, b)) {
            continue;
        }

        const struct datum *any = cursor_valid(a) ? a->leaf : b->leaf;
        bool map = any->value_type != ATOM_VOID;
        union atom bkey;
        int cmp;

        if (cursor_valid(a)) {
            d->key = cursor_key(a);
        }
        if (cursor_valid(b)) {
            bkey = cursor_key(b);
        }
        cmp = (!cursor_valid(a) ? 1 : !cursor_valid(b) ? -1
               : atom_compare(&d->key, &bkey, any->key_type));
        if (cmp < 0) {
            if (map) {
                d->value = cursor_value(a);
            }
            cursor_next(a);
            return DIFF_REMOVED;
        } else if (cmp > 0) {
            d->key = bkey;
            if (map) {
                d->value = cursor_value(b);
            }
            cursor_next(b);
            return DIFF_ADDED;
        }

        bool changed = false;
        if (map) {
            d->old_value = cursor_value(a);
            d->value = cursor_value(b);
            changed = !atom_equals(&d->old_value, &d->value, any->value_type);
        }
        cursor_next(a);
        cursor_next(b);
        if (changed) {
            return DIFF_CHANGED;
        }
    }
}

bool
datum_equals(const struct datum *a, const struct datum *b)
{
    struct differ d;

    if (a == b) {
        return true;
    } else if (datum_n(a) != datum_n(b)) {
        return false;
    }
    differ_init(&d, a, b);
    return differ_next(&d) == DIFF_NONE;
}

/* Orders datums: by number of atoms, then by keys, then by values. */
int
datum_compare(const struct datum *a, const struct datum *b,
              const struct type *type)
{
    size_t an = datum_n(a), bn = datum_n(b);
    struct cursor ca, cb;
    int pass;

    if (an != bn) {
        return an < bn ? -1 : 1;
    }
    for (pass = 0; pass < (type_is_map(type) ? 2 : 1); pass++) {
        cursor_first(&cb, b);
        DATUM_FOR_EACH (&ca, a) {
            union atom x = pass ? cursor_value(&ca) : cursor_key(&ca);
            union atom y = pass ? cursor_value(&cb) : cursor_key(&cb);
            int cmp = atom_compare(&x, &y, (pass ? type->value.type
                                            : type->key.type));
            if (cmp) {
                return cmp;
            }
            cursor_next(&cb);
        }
    }
    return 0;
}

uint32_t
datum_hash(const struct datum *datum, uint32_t basis)
{
    struct cursor c;

    basis = hash_int(datum_n(datum), basis);
    DATUM_FOR_EACH (&c, datum) {
        union atom atom = cursor_key(&c);
        basis = atom_hash(&atom, datum->key_type, basis);
        if (datum->value_type != ATOM_VOID) {
            atom = cursor_value(&c);
            basis = atom_hash(&atom, datum->value_type, basis);
        }
    }
    return basis;
}
