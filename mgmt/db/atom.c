/* Atoms and the table of interned strings: see data.h. */
#include <config.h>
#include "mgmt/db/data.h"

#include <ctype.h>
#include <float.h>
#include <inttypes.h>
#include <limits.h>
#include <string.h>

#include "hash.h"
#include "util.h"

/* All strings, in buckets chained through 'next'. */
static struct string **buckets;
static size_t n_buckets;
static size_t n_strings;

static void
grow(void)
{
    size_t n_new = n_buckets ? 2 * n_buckets : 1024;
    struct string **new = xcalloc(n_new, sizeof *new);
    size_t i;

    for (i = 0; i < n_buckets; i++) {
        struct string *s, *next;
        for (s = buckets[i]; s; s = next) {
            struct string **bucket = &new[s->hash & (n_new - 1)];
            next = s->next;
            s->next = *bucket;
            *bucket = s;
        }
    }
    free(buckets);
    buckets = new;
    n_buckets = n_new;
}

/* Returns a reference to the string 's'. */
struct string *
string_intern(const char *s)
{
    size_t size = strlen(s) + 1;
    uint32_t hash = hash_bytes(s, size - 1, 0);
    struct string *string;

    if (2 * n_strings >= n_buckets) {
        grow();
    }
    for (string = buckets[hash & (n_buckets - 1)]; string;
         string = string->next) {
        if (string->hash == hash && !strcmp(string->s, s)) {
            string->refs++;
            return string;
        }
    }

    string = xmalloc(sizeof *string + size);
    string->hash = hash;
    string->refs = 1;
    memcpy(string->s, s, size);
    string->next = buckets[hash & (n_buckets - 1)];
    buckets[hash & (n_buckets - 1)] = string;
    n_strings++;
    return string;
}

void
string_unref(struct string *string)
{
    struct string **p;

    if (--string->refs) {
        return;
    }
    for (p = &buckets[string->hash & (n_buckets - 1)]; *p != string;
         p = &(*p)->next) {
        continue;
    }
    *p = string->next;
    n_strings--;
    free(string);
}

const char *
atom_type_to_string(enum atom_type type)
{
    static const char *names[N_ATOM_TYPES] = {
        [ATOM_VOID] = "void",
        [ATOM_INTEGER] = "integer",
        [ATOM_REAL] = "real",
        [ATOM_BOOLEAN] = "boolean",
        [ATOM_STRING] = "string",
        [ATOM_UUID] = "uuid",
    };
    return names[type];
}

/* Sets 'atom' to 0, false, "" or the zero UUID. */
void
atom_init_default(union atom *atom, enum atom_type type)
{
    memset(atom, 0, sizeof *atom);
    if (type == ATOM_STRING) {
        atom->string = string_intern("");
    }
}

bool
atom_is_default(const union atom *atom, enum atom_type type)
{
    switch (type) {
    case ATOM_INTEGER: return !atom->integer;
    case ATOM_REAL: return !atom->real;
    case ATOM_BOOLEAN: return !atom->boolean;
    case ATOM_STRING: return !atom->string->s[0];
    case ATOM_UUID: return uuid_is_zero(&atom->uuid);
    case ATOM_VOID: case N_ATOM_TYPES: default: OVS_NOT_REACHED();
    }
}

/* Orders atoms as strcmp() does strings. */
int
atom_compare(const union atom *a, const union atom *b, enum atom_type type)
{
    switch (type) {
    case ATOM_INTEGER:
        return a->integer < b->integer ? -1 : a->integer > b->integer;
    case ATOM_REAL:
        return a->real < b->real ? -1 : a->real > b->real;
    case ATOM_BOOLEAN:
        return a->boolean - b->boolean;
    case ATOM_STRING:
        return (a->string == b->string ? 0
                : strcmp(a->string->s, b->string->s));
    case ATOM_UUID:
        return uuid_compare_3way(&a->uuid, &b->uuid);
    case ATOM_VOID: case N_ATOM_TYPES: default:
        OVS_NOT_REACHED();
    }
}

bool
atom_equals(const union atom *a, const union atom *b, enum atom_type type)
{
    return (type == ATOM_STRING
            ? a->string == b->string
            : !atom_compare(a, b, type));
}

uint32_t
atom_hash(const union atom *atom, enum atom_type type, uint32_t basis)
{
    switch (type) {
    case ATOM_INTEGER: return hash_uint64_basis(atom->integer, basis);
    case ATOM_REAL: return hash_double(atom->real, basis);
    case ATOM_BOOLEAN: return hash_boolean(atom->boolean, basis);
    case ATOM_STRING: return hash_int(atom->string->hash, basis);
    case ATOM_UUID: return hash_int(uuid_hash(&atom->uuid), basis);
    case ATOM_VOID: case N_ATOM_TYPES: default: OVS_NOT_REACHED();
    }
}

static void
put_integer(struct ds *ds, int64_t integer)
{
    char buf[24];
    char *p = buf + sizeof buf;
    uint64_t u = integer < 0 ? -(uint64_t) integer : (uint64_t) integer;

    do {
        *--p = '0' + u % 10;
        u /= 10;
    } while (u);
    if (integer < 0) {
        *--p = '-';
    }
    ds_put_buffer(ds, p, buf + sizeof buf - p);
}

static void
put_hex(char *p, uint32_t x, int n)
{
    while (n--) {
        p[n] = "0123456789abcdef"[x & 0xf];
        x >>= 4;
    }
}

/* Appends 'uuid', without quotes. */
void
uuid_put(struct ds *ds, const struct uuid *uuid)
{
    char *s = ds_put_uninit(ds, UUID_LEN);

    put_hex(s, uuid->parts[0], 8);
    put_hex(s + 9, uuid->parts[1] >> 16, 4);
    put_hex(s + 14, uuid->parts[1], 4);
    put_hex(s + 19, uuid->parts[2] >> 16, 4);
    put_hex(s + 24, uuid->parts[2], 4);
    put_hex(s + 28, uuid->parts[3], 8);
    s[8] = s[13] = s[18] = s[23] = '-';
}

/* Appends 'atom' as JSON. */
void
atom_put_json(struct ds *ds, const union atom *atom, enum atom_type type)
{
    switch (type) {
    case ATOM_INTEGER:
        put_integer(ds, atom->integer);
        break;
    case ATOM_REAL:
        json_put_real(ds, atom->real);
        break;
    case ATOM_BOOLEAN:
        ds_put_cstr(ds, atom->boolean ? "true" : "false");
        break;
    case ATOM_STRING:
        json_put_string(ds, atom->string->s);
        break;
    case ATOM_UUID:
        ds_put_cstr(ds, "[\"uuid\",\"");
        uuid_put(ds, &atom->uuid);
        ds_put_cstr(ds, "\"]");
        break;
    case ATOM_VOID: case N_ATOM_TYPES: default:
        OVS_NOT_REACHED();
    }
}

static bool
string_needs_quotes(const char *s)
{
    struct uuid uuid;
    const char *p;

    if (!isalpha((unsigned char) *s) && *s != '_') {
        return true;
    }
    for (p = s; *p; p++) {
        if (!isalnum((unsigned char) *p) && !strchr("_-.", *p)) {
            return true;
        }
    }
    return (!strcmp(s, "true") || !strcmp(s, "false")
            || uuid_from_string(&uuid, s));
}

/* Appends 'atom' as messages show it: strings quoted only where needed. */
void
atom_put_string(struct ds *ds, const union atom *atom, enum atom_type type)
{
    if (type == ATOM_UUID) {
        uuid_put(ds, &atom->uuid);
    } else if (type == ATOM_STRING && !string_needs_quotes(atom->string->s)) {
        ds_put_cstr(ds, atom->string->s);
    } else {
        atom_put_json(ds, atom, type);
    }
}
