/* Values: atoms, types and the datums that rows' columns hold.
 *
 * An *atom* is an integer, real, boolean, string or UUID.  Strings are
 * interned: equal strings are one object, so that ten thousand rows share the
 * keys of their statistics and equality is a comparison of pointers.
 *
 * A *datum* is a column's value: a set of atoms, sorted and without
 * duplicates, or a map from atoms to atoms.  A scalar is a set of one.  A
 * datum is immutable and counted: a row that is copied shares its datums, and
 * a change replaces a pointer.  The empty datum is NULL.
 *
 * A datum of up to DATUM_LEAF_MAX atoms is a single block of memory.  A larger
 * one is a B+ tree of such blocks, and a change makes new blocks only on the
 * path to the changed place and shares the others: that a bridge has 50,000
 * ports costs nothing when one is added.  What compares two datums, finds
 * their difference or walks both skips the blocks that they share, so its
 * cost, too, is in proportion to the change.
 *
 * All of this belongs to one thread. */
#ifndef SLUICE_DB_DATA_H
#define SLUICE_DB_DATA_H 1

#include "mgmt/db/json.h"
#include "openvswitch/shash.h"
#include "uuid.h"

/* --- Atoms. --- */

enum atom_type {
    ATOM_VOID,                  /* No value: the values of a set. */
    ATOM_INTEGER,
    ATOM_REAL,
    ATOM_BOOLEAN,
    ATOM_STRING,
    ATOM_UUID,
    N_ATOM_TYPES
};

/* An interned string. */
struct string {
    struct string *next;        /* In its hash bucket. */
    uint32_t hash;
    uint32_t refs;
    char s[];                   /* Null-terminated UTF-8. */
};

union atom {
    int64_t integer;
    double real;
    bool boolean;
    struct string *string;
    struct uuid uuid;
};

struct string *string_intern(const char *);
void string_unref(struct string *);

static inline void
atom_ref(union atom *atom, enum atom_type type)
{
    if (type == ATOM_STRING) {
        atom->string->refs++;
    }
}

static inline void
atom_unref(union atom *atom, enum atom_type type)
{
    if (type == ATOM_STRING) {
        string_unref(atom->string);
    }
}

const char *atom_type_to_string(enum atom_type);
void atom_init_default(union atom *, enum atom_type);
bool atom_is_default(const union atom *, enum atom_type);
int atom_compare(const union atom *, const union atom *, enum atom_type);
bool atom_equals(const union atom *, const union atom *, enum atom_type);
uint32_t atom_hash(const union atom *, enum atom_type, uint32_t basis);
void uuid_put(struct ds *, const struct uuid *);
void atom_put_json(struct ds *, const union atom *, enum atom_type);
void atom_put_string(struct ds *, const union atom *, enum atom_type);

/* --- Types. --- */

struct datum;
struct table;

struct base_type {
    enum atom_type type;
    struct datum *enum_;        /* Allowed atoms, NULL for all. */
    union {
        struct {
            int64_t min, max;
        } integer;
        struct {
            double min, max;
        } real;
        struct {
            unsigned int min, max; /* Length in characters. */
        } string;
        struct {
            char *ref_name;     /* Referenced table's name, NULL if none. */
            struct table *ref;  /* That table, once there is a database. */
            bool weak;
        } uuid;
    };
};

struct type {
    struct base_type key;
    struct base_type value;     /* ATOM_VOID for a set. */
    unsigned int n_min;         /* 0 or 1. */
    unsigned int n_max;         /* UINT_MAX: unlimited. */
};

extern const struct type type_uuid;

static inline bool
base_is_strong_ref(const struct base_type *base)
{
    return base->type == ATOM_UUID && base->uuid.ref_name && !base->uuid.weak;
}

static inline bool
base_is_weak_ref(const struct base_type *base)
{
    return base->type == ATOM_UUID && base->uuid.ref_name && base->uuid.weak;
}

static inline bool
type_is_map(const struct type *type)
{
    return type->value.type != ATOM_VOID;
}

static inline bool
type_is_scalar(const struct type *type)
{
    return !type_is_map(type) && type->n_min == 1 && type->n_max == 1;
}

static inline bool
type_is_optional_scalar(const struct type *type)
{
    return !type_is_map(type) && type->n_min == 0 && type->n_max == 1;
}

static inline bool
type_is_set(const struct type *type)
{
    return !type_is_map(type) && (type->n_min != 1 || type->n_max != 1);
}

struct error *type_from_json(struct type *, const json_t *)
    OVS_WARN_UNUSED_RESULT;
void type_put_json(struct ds *, const struct type *);
void type_clone(struct type *, const struct type *);
void type_destroy(struct type *);
char *type_to_english(const struct type *);
void base_init(struct base_type *, enum atom_type);
void base_destroy(struct base_type *);
struct error *atom_check(const union atom *, const struct base_type *);

/* --- Datums. --- */

#define DATUM_LEAF_MAX 64       /* Most atoms in a leaf. */
#define DATUM_BRANCH_MAX 64     /* Most children of a branch. */
#define DATUM_LEVELS 6          /* Enough for 2^32 atoms. */

struct datum {
    uint32_t refs;
    uint16_t n;                 /* Atoms of a leaf, children of a branch. */
    uint8_t level;              /* 0: leaf. */
    uint8_t key_type : 4;
    uint8_t value_type : 4;
    uint64_t data[];            /* Leaf: keys, then values.  Branch: the
                                 * number of atoms below, then children. */
};

static inline struct datum *
datum_ref(const struct datum *datum_)
{
    struct datum *datum = CONST_CAST(struct datum *, datum_);
    if (datum) {
        datum->refs++;
    }
    return datum;
}

void datum_unref(struct datum *);

static inline size_t
datum_n(const struct datum *datum)
{
    return !datum ? 0 : !datum->level ? datum->n : datum->data[0];
}

/* A place in a datum: while cursor_valid(), 'leaf' and 'i' are its atom. */
struct cursor {
    const struct datum *leaf;   /* NULL: past the end. */
    unsigned int i;             /* Index in 'leaf'. */
    unsigned int depth;         /* Branches on the way to 'leaf'. */
    const struct datum *branches[DATUM_LEVELS];
    uint16_t children[DATUM_LEVELS]; /* Index of the child gone into. */
};

void cursor_first(struct cursor *, const struct datum *);
void cursor_next(struct cursor *);

static inline bool
cursor_valid(const struct cursor *c)
{
    return c->leaf != NULL;
}

void leaf_get_key(const struct datum *, unsigned int i, union atom *);
void leaf_get_value(const struct datum *, unsigned int i, union atom *);

static inline union atom
cursor_key(const struct cursor *c)
{
    union atom atom;
    leaf_get_key(c->leaf, c->i, &atom);
    return atom;
}

static inline union atom
cursor_value(const struct cursor *c)
{
    union atom atom;
    leaf_get_value(c->leaf, c->i, &atom);
    return atom;
}

#define DATUM_FOR_EACH(CURSOR, DATUM)                                   \
    for (cursor_first(CURSOR, DATUM); cursor_valid(CURSOR);             \
         cursor_next(CURSOR))

/* Makes a datum from atoms that are given one by one. */
struct builder {
    enum atom_type key_type, value_type;
    size_t n, allocated;
    union atom *keys;
    union atom *values;         /* NULL for a set. */
    union atom stub[2];         /* For the frequent case of one. */
};

void builder_init(struct builder *, enum atom_type key, enum atom_type value);
void builder_add(struct builder *, const union atom *key,
                 const union atom *value);
bool builder_sort(struct builder *);
struct datum *builder_finish(struct builder *);
void builder_destroy(struct builder *);

struct datum *datum_default(const struct type *);
bool datum_is_default(const struct datum *, const struct type *);
struct datum *datum_scalar(enum atom_type, const union atom *);
struct datum *datum_string(const char *);
bool datum_find(const struct datum *, const union atom *key,
                union atom *value);
bool datum_equals(const struct datum *, const struct datum *);
int datum_compare(const struct datum *, const struct datum *,
                  const struct type *);
uint32_t datum_hash(const struct datum *, uint32_t basis);
struct datum *datum_insert(const struct datum *, const union atom *key,
                           const union atom *value);
struct datum *datum_remove(const struct datum *, const union atom *key);
struct datum *datum_union(struct datum *, const struct datum *arg);
struct datum *datum_subtract(struct datum *, const struct datum *arg);
bool datum_includes_all(const struct datum *arg, const struct datum *field);
bool datum_excludes_all(const struct datum *arg, const struct datum *field);
struct datum *datum_diff(const struct datum *old, const struct datum *new,
                         const struct type *);
struct datum *datum_apply(const struct datum *, const struct datum *diff,
                          const struct type *);

static inline bool
datum_conforms(const struct datum *datum, const struct type *type)
{
    size_t n = datum_n(datum);
    return n >= type->n_min && n <= type->n_max;
}

/* Walks the differences of two datums of one type. */
enum difference {
    DIFF_NONE,                  /* No more. */
    DIFF_REMOVED,               /* 'key' (and 'value') is only in 'old'. */
    DIFF_ADDED,                 /* 'key' (and 'value') is only in 'new'. */
    DIFF_CHANGED                /* 'key' had 'old_value', has 'value'. */
};

struct differ {
    struct cursor old, new;
    union atom key, value, old_value;
};

void differ_init(struct differ *, const struct datum *old,
                 const struct datum *new);
enum difference differ_next(struct differ *);

/* Names of rows to be inserted, for the length of a transaction. */
struct symbol {
    struct uuid uuid;
    bool created;               /* An "insert" has used it. */
};

struct symbol *symbol_get(struct shash *symbols, const char *name);

struct error *datum_from_json(struct datum **, const struct type *,
                              const json_t *, struct shash *symbols)
    OVS_WARN_UNUSED_RESULT;
void datum_put_json(struct ds *, const struct datum *, const struct type *);
void datum_put_string(struct ds *, const struct datum *, const struct type *);
struct error *datum_check(const struct datum *, const struct type *)
    OVS_WARN_UNUSED_RESULT;
struct error *datum_convert(struct datum **, const struct type *new_type,
                            const struct datum *, const struct type *)
    OVS_WARN_UNUSED_RESULT;

#endif /* mgmt/db/data.h */
