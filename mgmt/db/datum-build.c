/* Making a datum from atoms that come one by one: see data.h. */
#include <config.h>
#include "mgmt/db/datum-private.h"

#include "util.h"

void
builder_init(struct builder *b, enum atom_type key, enum atom_type value)
{
    b->key_type = key;
    b->value_type = value;
    b->n = 0;
    b->allocated = 1;
    b->keys = &b->stub[0];
    b->values = value == ATOM_VOID ? NULL : &b->stub[1];
}

static void
builder_grow(struct builder *b)
{
    size_t n = b->allocated < 8 ? 16 : 2 * b->allocated;

    if (b->keys == b->stub) {
        b->keys = xmemdup(b->keys, sizeof *b->keys);
        b->values = b->values ? xmemdup(b->values, sizeof *b->values) : NULL;
    }
    b->keys = xrealloc(b->keys, n * sizeof *b->keys);
    if (b->values) {
        b->values = xrealloc(b->values, n * sizeof *b->values);
    }
    b->allocated = n;
}

/* Adds 'key' (and 'value'), whose references the builder takes. */
void
builder_add(struct builder *b, const union atom *key,
            const union atom *value)
{
    if (b->n >= b->allocated) {
        builder_grow(b);
    }
    b->keys[b->n] = *key;
    if (b->values) {
        b->values[b->n] = *value;
    }
    b->n++;
}

struct pair {
    union atom key, value;
};

static int
compare_pairs(const void *a_, const void *b_, void *type)
{
    const struct pair *a = a_;
    const struct pair *b = b_;
    return atom_compare(&a->key, &b->key, *(enum atom_type *) type);
}

/* Sorts the atoms.  Returns false if two keys are the same. */
bool
builder_sort(struct builder *b)
{
    bool sorted = true;
    size_t i;

    for (i = 1; i < b->n && sorted; i++) {
        sorted = atom_compare(&b->keys[i - 1], &b->keys[i], b->key_type) < 0;
    }
    if (sorted) {
        return true;
    }

    struct pair *pairs = xmalloc(b->n * sizeof *pairs);
    for (i = 0; i < b->n; i++) {
        pairs[i].key = b->keys[i];
        if (b->values) {
            pairs[i].value = b->values[i];
        }
    }
    qsort_r(pairs, b->n, sizeof *pairs, compare_pairs, &b->key_type);
    for (i = 0; i < b->n; i++) {
        b->keys[i] = pairs[i].key;
        if (b->values) {
            b->values[i] = pairs[i].value;
        }
    }
    free(pairs);

    for (i = 1; i < b->n; i++) {
        if (atom_equals(&b->keys[i - 1], &b->keys[i], b->key_type)) {
            return false;
        }
    }
    return true;
}

static struct datum *
builder_leaf(const struct builder *b, size_t start, size_t n)
{
    struct datum *leaf = leaf_alloc(b->key_type, b->value_type, n);
    size_t i;

    for (i = 0; i < n; i++) {
        leaf_set(leaf, i, &b->keys[start + i],
                 b->values ? &b->values[start + i] : NULL);
    }
    return leaf;
}

static void
builder_free(struct builder *b)
{
    if (b->keys != b->stub) {
        free(b->keys);
        free(b->values);
    }
}

/* Returns the datum and ends the builder.  The keys must be in order and
 * distinct: builder_sort() sees to that. */
struct datum *
builder_finish(struct builder *b)
{
    enum { FILL = DATUM_LEAF_MAX * 3 / 4 };
    struct datum **nodes;
    struct datum *root;
    size_t n, i;

    if (b->n <= DATUM_LEAF_MAX) {
        root = b->n ? builder_leaf(b, 0, b->n) : NULL;
        builder_free(b);
        return root;
    }

    n = DIV_ROUND_UP(b->n, FILL);
    nodes = xmalloc(n * sizeof *nodes);
    for (i = 0; i < n; i++) {
        nodes[i] = builder_leaf(b, i * FILL, MIN(FILL, b->n - i * FILL));
    }
    while (n > 1) {
        size_t n_up = DIV_ROUND_UP(n, FILL);
        for (i = 0; i < n_up; i++) {
            nodes[i] = branch_new(&nodes[i * FILL], MIN(FILL, n - i * FILL));
        }
        n = n_up;
    }
    root = nodes[0];
    free(nodes);
    builder_free(b);
    return root;
}

/* Ends the builder without a datum. */
void
builder_destroy(struct builder *b)
{
    size_t i;

    for (i = 0; i < b->n; i++) {
        atom_unref(&b->keys[i], b->key_type);
        if (b->values) {
            atom_unref(&b->values[i], b->value_type);
        }
    }
    builder_free(b);
}
