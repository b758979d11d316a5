/* Datums as sorted, persistent B+ trees: see data.h.
 *
 * A leaf's atoms are packed by type: 16 bytes for a UUID, 8 for the others.
 * Trees are not kept to a minimum fill: a leaf that becomes empty goes away,
 * and a small one is joined with its right neighbour if they fit into one. */
#include <config.h>
#include "mgmt/db/datum-private.h"

#include <limits.h>
#include <string.h>

#include "util.h"

/* --- Leaves. --- */

static void
load(const char *p, enum atom_type type, union atom *atom)
{
    if (type == ATOM_UUID) {
        memcpy(&atom->uuid, p, sizeof atom->uuid);
    } else {
        memcpy(atom, p, 8);
    }
}

static void
store(char *p, enum atom_type type, const union atom *atom)
{
    if (type == ATOM_BOOLEAN) {
        uint64_t x = atom->boolean;
        memcpy(p, &x, 8);
    } else {
        memcpy(p, atom, atom_size(type));
    }
}

/* Copies the 'i'th key of 'leaf' (without a reference). */
void
leaf_get_key(const struct datum *leaf, unsigned int i, union atom *key)
{
    load(leaf_key(leaf, i), leaf->key_type, key);
}

/* Copies the 'i'th value of 'leaf', a map's, (without a reference). */
void
leaf_get_value(const struct datum *leaf, unsigned int i, union atom *value)
{
    load(leaf_value(leaf, i), leaf->value_type, value);
}

/* A leaf for 'n' atoms, to be filled. */
struct datum *
leaf_alloc(enum atom_type key_type, enum atom_type value_type, size_t n)
{
    struct datum *leaf = xmalloc(sizeof *leaf
                                 + n * (atom_size(key_type)
                                        + atom_size(value_type)));
    leaf->refs = 1;
    leaf->n = n;
    leaf->level = 0;
    leaf->key_type = key_type;
    leaf->value_type = value_type;
    return leaf;
}

void
leaf_set(struct datum *leaf, unsigned int i, const union atom *key,
         const union atom *value)
{
    store(leaf_key(leaf, i), leaf->key_type, key);
    if (leaf->value_type != ATOM_VOID) {
        store(leaf_value(leaf, i), leaf->value_type, value);
    }
}

/* Copies 'n' atoms from 'src' at 'si' to 'dst' at 'di', with references. */
static void
leaf_copy(struct datum *dst, unsigned int di,
          const struct datum *src, unsigned int si, unsigned int n)
{
    unsigned int i;

    memcpy(leaf_key(dst, di), leaf_key(src, si),
           n * atom_size(src->key_type));
    memcpy(leaf_value(dst, di), leaf_value(src, si),
           n * atom_size(src->value_type));
    if (src->key_type == ATOM_STRING || src->value_type == ATOM_STRING) {
        for (i = 0; i < n; i++) {
            union atom atom;
            leaf_get_key(src, si + i, &atom);
            atom_ref(&atom, src->key_type);
            if (src->value_type != ATOM_VOID) {
                leaf_get_value(src, si + i, &atom);
                atom_ref(&atom, src->value_type);
            }
        }
    }
}

/* The index of the first key in 'leaf' that is not less than 'key'; sets
 * '*found' if it is 'key'. */
static unsigned int
leaf_search(const struct datum *leaf, const union atom *key, bool *found)
{
    unsigned int low = 0, high = leaf->n;

    *found = false;
    while (low < high) {
        unsigned int mid = (low + high) / 2;
        union atom atom;
        int cmp;

        leaf_get_key(leaf, mid, &atom);
        cmp = atom_compare(key, &atom, leaf->key_type);
        if (!cmp) {
            *found = true;
            return mid;
        } else if (cmp < 0) {
            high = mid;
        } else {
            low = mid + 1;
        }
    }
    return low;
}

/* --- Branches. --- */

static struct datum **
branch_children(const struct datum *branch)
{
    return (struct datum **) &branch->data[1];
}

/* A branch over 'n' children, whose references it takes. */
struct datum *
branch_new(struct datum **children, size_t n)
{
    struct datum *branch = xmalloc(sizeof *branch + sizeof branch->data[0]
                                   + n * sizeof *children);
    size_t i;

    branch->refs = 1;
    branch->n = n;
    branch->level = children[0]->level + 1;
    branch->key_type = children[0]->key_type;
    branch->value_type = children[0]->value_type;
    branch->data[0] = 0;
    for (i = 0; i < n; i++) {
        branch->data[0] += datum_n(children[i]);
        branch_children(branch)[i] = children[i];
    }
    return branch;
}

static void
first_key(const struct datum *node, union atom *key)
{
    while (node->level) {
        node = branch_children(node)[0];
    }
    leaf_get_key(node, 0, key);
}

/* The child of 'branch' that 'key' is or would be in. */
static unsigned int
branch_search(const struct datum *branch, const union atom *key)
{
    unsigned int low = 0, high = branch->n - 1;

    while (low < high) {
        unsigned int mid = (low + high + 1) / 2;
        union atom first;

        first_key(branch_children(branch)[mid], &first);
        if (atom_compare(key, &first, branch->key_type) < 0) {
            high = mid - 1;
        } else {
            low = mid;
        }
    }
    return low;
}

void
datum_unref(struct datum *datum)
{
    unsigned int i;

    if (!datum || --datum->refs) {
        return;
    }
    if (datum->level) {
        for (i = 0; i < datum->n; i++) {
            datum_unref(branch_children(datum)[i]);
        }
    } else {
        for (i = 0; i < datum->n; i++) {
            union atom atom;
            if (datum->key_type == ATOM_STRING) {
                leaf_get_key(datum, i, &atom);
                string_unref(atom.string);
            }
            if (datum->value_type == ATOM_STRING) {
                leaf_get_value(datum, i, &atom);
                string_unref(atom.string);
            }
        }
    }
    free(datum);
}

/* --- Cursors. --- */

static void
cursor_descend(struct cursor *c, const struct datum *node)
{
    while (node->level) {
        c->branches[c->depth] = node;
        c->children[c->depth++] = 0;
        node = branch_children(node)[0];
    }
    c->leaf = node;
    c->i = 0;
}

/* Puts 'c' at the first atom of 'datum'. */
void
cursor_first(struct cursor *c, const struct datum *datum)
{
    c->depth = 0;
    c->leaf = NULL;
    if (datum) {
        cursor_descend(c, datum);
    }
}

/* Goes to the start of the first leaf behind all below the branch at
 * 'depth', or of the next leaf if 'depth' is that of the leaf. */
void
cursor_skip(struct cursor *c, unsigned int depth)
{
    while (depth > 0) {
        const struct datum *branch = c->branches[--depth];
        if (++c->children[depth] < branch->n) {
            c->depth = depth + 1;
            cursor_descend(c, branch_children(branch)[c->children[depth]]);
            return;
        }
    }
    c->leaf = NULL;
}

void
cursor_next(struct cursor *c)
{
    if (++c->i >= c->leaf->n) {
        cursor_skip(c, c->depth);
    }
}

/* --- Whole datums. --- */

/* A datum of one atom, whose reference it takes. */
struct datum *
datum_scalar(enum atom_type type, const union atom *atom)
{
    struct datum *leaf = leaf_alloc(type, ATOM_VOID, 1);
    leaf_set(leaf, 0, atom, NULL);
    return leaf;
}

struct datum *
datum_string(const char *s)
{
    union atom atom = { .string = string_intern(s) };
    return datum_scalar(ATOM_STRING, &atom);
}

/* Returns a reference to the default value of 'type'.  There is one datum for
 * each kind of default. */
struct datum *
datum_default(const struct type *type)
{
    static struct datum *defaults[N_ATOM_TYPES][N_ATOM_TYPES];
    struct datum **d = &defaults[type->key.type][type->value.type];

    if (!type->n_min) {
        return NULL;
    }
    if (!*d) {
        struct builder b;
        union atom key, value;

        builder_init(&b, type->key.type, type->value.type);
        atom_init_default(&key, type->key.type);
        if (type_is_map(type)) {
            atom_init_default(&value, type->value.type);
        }
        builder_add(&b, &key, &value);
        *d = builder_finish(&b);
    }
    return datum_ref(*d);
}

bool
datum_is_default(const struct datum *datum, const struct type *type)
{
    struct datum *def;
    bool is_default;

    if (!type->n_min || !datum) {
        return !type->n_min && !datum;
    }
    def = datum_default(type);
    is_default = datum_equals(datum, def);
    datum_unref(def);
    return is_default;
}

/* Whether 'key' is in 'datum'.  If so and it is a map and 'value' is nonnull,
 * copies the value (without a reference). */
bool
datum_find(const struct datum *datum, const union atom *key,
           union atom *value)
{
    unsigned int i;
    bool found;

    if (!datum) {
        return false;
    }
    while (datum->level) {
        datum = branch_children(datum)[branch_search(datum, key)];
    }
    i = leaf_search(datum, key, &found);
    if (found && value && datum->value_type != ATOM_VOID) {
        leaf_get_value(datum, i, value);
    }
    return found;
}

/* --- Changing one atom. --- */

/* The 'n' children of 'branch' from 'i' on are replaced by the 'n_new' nodes
 * in 'new', whose references are taken.  Returns one node, or two by way of
 * '*right' if it had to be split; NULL if nothing is left. */
static struct datum *
branch_replace(const struct datum *branch, unsigned int i, unsigned int n,
               struct datum **new, unsigned int n_new, struct datum **right)
{
    struct datum *children[DATUM_BRANCH_MAX + 2];
    unsigned int total = 0, j;

    for (j = 0; j < i; j++) {
        children[total++] = datum_ref(branch_children(branch)[j]);
    }
    for (j = 0; j < n_new; j++) {
        children[total++] = new[j];
    }
    for (j = i + n; j < branch->n; j++) {
        children[total++] = datum_ref(branch_children(branch)[j]);
    }

    *right = NULL;
    if (total > DATUM_BRANCH_MAX) {
        unsigned int half = total / 2;
        *right = branch_new(&children[half], total - half);
        total = half;
    }
    return total ? branch_new(children, total) : NULL;
}

static struct datum *
leaf_insert(const struct datum *leaf, const union atom *key,
            const union atom *value, struct datum **right)
{
    bool found;
    unsigned int i = leaf_search(leaf, key, &found);
    struct datum *new;
    union atom atom;

    new = leaf_alloc(leaf->key_type, leaf->value_type, leaf->n + !found);
    leaf_copy(new, 0, leaf, 0, i);
    leaf_copy(new, i + 1, leaf, i + found, leaf->n - i - found);
    atom = *key;
    atom_ref(&atom, leaf->key_type);
    if (leaf->value_type != ATOM_VOID) {
        atom = *value;
        atom_ref(&atom, leaf->value_type);
    }
    leaf_set(new, i, key, value);

    *right = NULL;
    if (new->n > DATUM_LEAF_MAX) {
        /* A leaf that grows at its end is likely to go on doing so. */
        unsigned int half = i == leaf->n ? leaf->n : new->n / 2;
        struct datum *left = leaf_alloc(new->key_type, new->value_type, half);
        *right = leaf_alloc(new->key_type, new->value_type, new->n - half);
        leaf_copy(left, 0, new, 0, half);
        leaf_copy(*right, 0, new, half, new->n - half);
        datum_unref(new);
        new = left;
    }
    return new;
}

static struct datum *
node_insert(const struct datum *node, const union atom *key,
            const union atom *value, struct datum **right)
{
    struct datum *new[2];
    unsigned int i;

    if (!node->level) {
        return leaf_insert(node, key, value, right);
    }
    i = branch_search(node, key);
    new[0] = node_insert(branch_children(node)[i], key, value, &new[1]);
    return branch_replace(node, i, 1, new, new[1] ? 2 : 1, right);
}

/* Returns 'datum', which must not be empty, with 'key' (and 'value') put in,
 * in place of what was there.  Takes no references. */
struct datum *
datum_insert(const struct datum *datum, const union atom *key,
             const union atom *value)
{
    struct datum *nodes[2];

    nodes[0] = node_insert(datum, key, value, &nodes[1]);
    return nodes[1] ? branch_new(nodes, 2) : nodes[0];
}

static struct datum *
leaf_remove(const struct datum *leaf, unsigned int i)
{
    struct datum *new;

    if (leaf->n == 1) {
        return NULL;
    }
    new = leaf_alloc(leaf->key_type, leaf->value_type, leaf->n - 1);
    leaf_copy(new, 0, leaf, 0, i);
    leaf_copy(new, i, leaf, i + 1, leaf->n - i - 1);
    return new;
}

/* Joins 'a' with 'b', its right neighbour, if both are leaves that fit. */
static struct datum *
leaf_join(const struct datum *a, const struct datum *b)
{
    struct datum *new;

    if (a->level || a->n + b->n > DATUM_LEAF_MAX / 2) {
        return NULL;
    }
    new = leaf_alloc(a->key_type, a->value_type, a->n + b->n);
    leaf_copy(new, 0, a, 0, a->n);
    leaf_copy(new, a->n, b, 0, b->n);
    return new;
}

/* Returns 'node' without 'key', which is in it; NULL if nothing is left. */
static struct datum *
node_remove(const struct datum *node, const union atom *key)
{
    struct datum *new, *joined, *right;
    unsigned int i;
    bool found;

    if (!node->level) {
        return leaf_remove(node, leaf_search(node, key, &found));
    }
    i = branch_search(node, key);
    new = node_remove(branch_children(node)[i], key);
    if (new && i + 1 < node->n) {
        joined = leaf_join(new, branch_children(node)[i + 1]);
        if (joined) {
            datum_unref(new);
            return branch_replace(node, i, 2, &joined, 1, &right);
        }
    }
    return branch_replace(node, i, 1, &new, new ? 1 : 0, &right);
}

/* Returns 'datum' without 'key'. */
struct datum *
datum_remove(const struct datum *datum, const union atom *key)
{
    struct datum *root;

    if (!datum_find(datum, key, NULL)) {
        return datum_ref(datum);
    }
    root = node_remove(datum, key);
    while (root && root->level && root->n == 1) {
        struct datum *child = datum_ref(branch_children(root)[0]);
        datum_unref(root);
        root = child;
    }
    return root;
}
