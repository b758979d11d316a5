/* Datums as sorted, persistent B+ trees: see data.h.
 *
 * A leaf's atoms are packed by type: 16 bytes for a UUID, 8 for the others.
 * Trees are not kept to a minimum fill: a leaf that becomes empty goes away,
 * and a small one is joined with its right neighbour if they fit into one. */
#include <config.h>
#include "mgmt/db/data.h"

#include <limits.h>
#include <string.h>

#include "hash.h"
#include "util.h"

static size_t
atom_size(enum atom_type type)
{
    return type == ATOM_VOID ? 0 : type == ATOM_UUID ? 16 : 8;
}

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

static char *
leaf_key(const struct datum *leaf, unsigned int i)
{
    return (char *) leaf->data + i * atom_size(leaf->key_type);
}

static char *
leaf_value(const struct datum *leaf, unsigned int i)
{
    return leaf_key(leaf, leaf->n) + i * atom_size(leaf->value_type);
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
static struct datum *
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

static void
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
static struct datum *
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
static void
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

/* --- Builders. --- */

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

/* --- Set operations. --- */

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
