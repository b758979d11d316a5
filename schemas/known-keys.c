/* See known-keys.h. */
#include <config.h>
#include "schemas/known-keys.h"

#include <stdbool.h>
#include <string.h>

#include "util.h"

static const struct known_key {
    const char *table, *column;
    const char *key;            /* May end in "*". */
    const char *why;            /* ...it has no effect, or NULL. */
} known_keys[] = {
#include "schemas/known-keys.inc"
};

static bool
key_matches(const char *pattern, const char *key)
{
    size_t len = strcspn(pattern, "*");

    return !strncmp(pattern, key, len) && (pattern[len] || !key[len]);
}

enum key_effect
known_key_effect(const char *table, const char *column, const char *key,
                 const char **why)
{
    for (size_t i = 0; i < ARRAY_SIZE(known_keys); i++) {
        const struct known_key *k = &known_keys[i];

        if (!strcmp(k->table, table) && !strcmp(k->column, column)
            && key_matches(k->key, key)) {
            *why = k->why;
            return k->why ? KEY_HAS_NO_EFFECT : KEY_WORKS;
        }
    }
    *why = "The switch doesn't know it.";
    return KEY_UNKNOWN;
}
