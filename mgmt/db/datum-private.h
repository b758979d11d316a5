/* How the blocks of a datum look, for the files that make and compare them:
 * see datum.c. */
#ifndef SLUICE_DB_DATUM_PRIVATE_H
#define SLUICE_DB_DATUM_PRIVATE_H 1

#include <string.h>

#include "mgmt/db/data.h"

static inline size_t
atom_size(enum atom_type type)
{
    return type == ATOM_VOID ? 0 : type == ATOM_UUID ? 16 : 8;
}

static inline char *
leaf_key(const struct datum *leaf, unsigned int i)
{
    return (char *) leaf->data + i * atom_size(leaf->key_type);
}

static inline char *
leaf_value(const struct datum *leaf, unsigned int i)
{
    return leaf_key(leaf, leaf->n) + i * atom_size(leaf->value_type);
}

struct datum *leaf_alloc(enum atom_type key, enum atom_type value, size_t n);
void leaf_set(struct datum *, unsigned int i, const union atom *key,
              const union atom *value);
struct datum *branch_new(struct datum **children, size_t n);
void cursor_skip(struct cursor *, unsigned int depth);

#endif /* mgmt/db/datum-private.h */
