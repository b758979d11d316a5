/* Datums as sets: union, difference and what follows from them. */
#include <config.h>
#include "mgmt/db/datum-private.h"

#include "util.h"

/* Whether to change 'datum' atom by atom for the sake of 'arg', rather than
 * make a new one from both. */
static bool
is_large(const struct datum *datum, const struct datum *arg)
{
    return datum && datum->level && datum_n(arg) < datum_n(datum) / 16;
}

static void
builder_add_ref(struct builder *b, const union atom *key_,
                const union atom *value_)
{
    union atom key = *key_, value;

    atom_ref(&key, b->key_type);
    if (b->values) {
        value = *value_;
        atom_ref(&value, b->value_type);
    }
    builder_add(b, &key, &value);
}

/* Adds to 'datum', whose reference is taken, the keys of 'arg' that aren't in
 * it yet.  A map's existing keys keep their values. */
struct datum *
datum_union(struct datum *datum, const struct datum *arg)
{
    struct builder b;
    struct cursor ca, cd;
    struct datum *new;

    if (!datum || !arg) {
        return datum ? datum : datum_ref(arg);
    }
    if (is_large(datum, arg)) {
        DATUM_FOR_EACH (&ca, arg) {
            union atom key = cursor_key(&ca), value;
            if (!datum_find(datum, &key, NULL)) {
                if (arg->value_type != ATOM_VOID) {
                    value = cursor_value(&ca);
                }
                new = datum_insert(datum, &key, &value);
                datum_unref(datum);
                datum = new;
            }
        }
        return datum;
    }

    builder_init(&b, datum->key_type, datum->value_type);
    cursor_first(&ca, arg);
    cursor_first(&cd, datum);
    while (cursor_valid(&ca) || cursor_valid(&cd)) {
        union atom x, y, value;
        int cmp;

        if (cursor_valid(&ca)) {
            x = cursor_key(&ca);
        }
        if (cursor_valid(&cd)) {
            y = cursor_key(&cd);
        }
        cmp = (!cursor_valid(&ca) ? 1 : !cursor_valid(&cd) ? -1
               : atom_compare(&x, &y, datum->key_type));
        struct cursor *from = cmp < 0 ? &ca : &cd;
        if (datum->value_type != ATOM_VOID) {
            value = cursor_value(from);
        }
        builder_add_ref(&b, cmp < 0 ? &x : &y, &value);
        if (!cmp) {
            cursor_next(&ca);
        }
        cursor_next(from);
    }
    datum_unref(datum);
    return builder_finish(&b);
}

/* Whether what 'c' is at is in 'datum': the key, and if both have values, the
 * value too. */
static bool
has_element(const struct datum *datum, const struct cursor *c)
{
    union atom key = cursor_key(c), x, y;

    if (!datum_find(datum, &key, &x)) {
        return false;
    }
    if (datum->value_type == ATOM_VOID || c->leaf->value_type == ATOM_VOID) {
        return true;
    }
    y = cursor_value(c);
    return atom_equals(&x, &y, datum->value_type);
}

/* Takes away from 'datum', whose reference is taken, what is in 'arg': keys
 * if that is a set, pairs if both are maps. */
struct datum *
datum_subtract(struct datum *datum, const struct datum *arg)
{
    struct builder b;
    struct datum *new;
    struct cursor c;

    if (!datum || !arg) {
        return datum;
    }
    if (is_large(datum, arg)) {
        DATUM_FOR_EACH (&c, arg) {
            if (has_element(datum, &c)) {
                union atom key = cursor_key(&c);
                new = datum_remove(datum, &key);
                datum_unref(datum);
                datum = new;
            }
        }
        return datum;
    }

    builder_init(&b, datum->key_type, datum->value_type);
    DATUM_FOR_EACH (&c, datum) {
        if (!has_element(arg, &c)) {
            union atom key = cursor_key(&c), value;
            if (b.values) {
                value = cursor_value(&c);
            }
            builder_add_ref(&b, &key, &value);
        }
    }
    datum_unref(datum);
    return builder_finish(&b);
}

/* Whether everything in 'arg' is in 'field'. */
bool
datum_includes_all(const struct datum *arg, const struct datum *field)
{
    struct cursor c;

    if (datum_n(arg) > datum_n(field)) {
        return false;
    }
    DATUM_FOR_EACH (&c, arg) {
        if (!has_element(field, &c)) {
            return false;
        }
    }
    return true;
}

/* Whether nothing in 'arg' is in 'field'. */
bool
datum_excludes_all(const struct datum *arg, const struct datum *field)
{
    struct cursor c;

    DATUM_FOR_EACH (&c, arg) {
        if (has_element(field, &c)) {
            return false;
        }
    }
    return true;
}

/* The difference between 'old' and 'new' as update notifications have it: for
 * a column of at most one element its new value; else the elements that are
 * in one of them only, and the new values of keys in both. */
struct datum *
datum_diff(const struct datum *old, const struct datum *new,
           const struct type *type)
{
    struct builder b;
    struct differ d;

    if (type->n_max == 1) {
        return datum_ref(new);
    }
    builder_init(&b, type->key.type, type->value.type);
    differ_init(&d, old, new);
    while (differ_next(&d) != DIFF_NONE) {
        builder_add_ref(&b, &d.key, &d.value);
    }
    return builder_finish(&b);
}

/* The value that differs from 'datum' by 'diff', as datum_diff() gives it. */
struct datum *
datum_apply(const struct datum *datum_, const struct datum *diff,
            const struct type *type)
{
    struct datum *datum = datum_ref(datum_);
    struct cursor c;

    if (type->n_max == 1) {
        datum_unref(datum);
        return datum_ref(diff);
    }
    DATUM_FOR_EACH (&c, diff) {
        union atom key = cursor_key(&c), value;
        struct datum *new;

        if (type_is_map(type)) {
            value = cursor_value(&c);
        }
        if (!datum) {
            struct builder b;
            builder_init(&b, type->key.type, type->value.type);
            builder_add_ref(&b, &key, &value);
            new = builder_finish(&b);
        } else if (has_element(datum, &c)) {
            new = datum_remove(datum, &key);
        } else {
            new = datum_insert(datum, &key, &value);
        }
        datum_unref(datum);
        datum = new;
    }
    return datum;
}
