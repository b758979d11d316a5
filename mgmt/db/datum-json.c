/* Datums from and to JSON, as RFC 7047 section 5.1 has them, and in the form
 * that messages show. */
#include <config.h>
#include "mgmt/db/data.h"

#include <limits.h>
#include <string.h>

#include "util.h"

/* Returns the symbol 'name' in 'symbols', made if need be. */
struct symbol *
symbol_get(struct shash *symbols, const char *name)
{
    struct symbol *symbol = shash_find_data(symbols, name);

    if (!symbol) {
        symbol = xzalloc(sizeof *symbol);
        uuid_generate(&symbol->uuid);
        shash_add(symbols, name, symbol);
    }
    return symbol;
}

/* The second element of 'json' if that is ["name", X] with X of a 'type'. */
static const json_t *
unwrap(const json_t *json, const char *name, json_type type)
{
    const json_t *first, *second;

    if (!json_is_array(json) || json_array_size(json) != 2) {
        return NULL;
    }
    first = json_array_get(json, 0);
    second = json_array_get(json, 1);
    return (json_is_string(first) && !strcmp(json_string_value(first), name)
            && json_typeof(second) == type ? second : NULL);
}

static struct error *
parse_uuid(struct uuid *uuid, const json_t *json, struct shash *symbols)
{
    const json_t *value = unwrap(json, "uuid", JSON_STRING);
    const char *s;

    if (value) {
        s = json_string_value(value);
        return (uuid_from_string(uuid, s) ? NULL
                : error_syntax(json, NULL, "\"%s\" is not a valid UUID", s));
    }
    value = symbols ? unwrap(json, "named-uuid", JSON_STRING) : NULL;
    if (value) {
        s = json_string_value(value);
        if (!string_is_id(s)) {
            return error_syntax(json, NULL,
                                "named-uuid string is not a valid <id>");
        }
        *uuid = symbol_get(symbols, s)->uuid;
        return NULL;
    }
    return error_syntax(json, NULL, "expected [\"uuid\", <string>]");
}

static struct error *
atom_from_json(union atom *atom, const struct base_type *base,
               const json_t *json, struct shash *symbols)
{
    struct error *error = NULL;
    bool ok = false;

    memset(atom, 0, sizeof *atom);
    switch (base->type) {
    case ATOM_INTEGER:
        ok = json_is_exact_integer(json, &atom->integer);
        break;
    case ATOM_REAL:
        ok = json_is_number(json);
        if (ok) {
            atom->real = json_number_value(json);
            atom->real = atom->real == 0 ? 0 : atom->real;
        }
        break;
    case ATOM_BOOLEAN:
        ok = json_is_boolean(json);
        atom->boolean = json_is_true(json);
        break;
    case ATOM_STRING:
        ok = json_is_string(json);
        if (ok) {
            atom->string = string_intern(json_string_value(json));
        }
        break;
    case ATOM_UUID:
        ok = true;
        error = parse_uuid(&atom->uuid, json, symbols);
        break;
    case ATOM_VOID: case N_ATOM_TYPES: default:
        OVS_NOT_REACHED();
    }
    if (!ok) {
        return error_syntax(json, NULL, "expected %s",
                            atom_type_to_string(base->type));
    }
    if (!error) {
        error = atom_check(atom, base);
        if (error) {
            atom_unref(atom, base->type);
        }
    }
    return error;
}

static struct error *
check_count(const json_t *json, const struct type *type, size_t n)
{
    const char *class = type_is_map(type) ? "map" : "set";

    if (n >= type->n_min && n <= type->n_max) {
        return NULL;
    } else if (type->n_min == 1 && type->n_max == 1) {
        return error_syntax(json, NULL, "%s must have exactly one member but "
                            "%"PRIuSIZE" are present", class, n);
    }
    return error_syntax(json, NULL, "%s must have %u to %u members but "
                        "%"PRIuSIZE" are present",
                        class, type->n_min, type->n_max, n);
}

static struct error *
add_element(struct builder *b, const struct type *type, const json_t *json,
            struct shash *symbols)
{
    struct error *error;
    union atom key, value;

    if (!type_is_map(type)) {
        error = atom_from_json(&key, &type->key, json, symbols);
    } else if (json_array_size(json) != 2) {
        error = error_syntax(json, NULL, "expected 2-element array");
    } else {
        error = atom_from_json(&key, &type->key, json_array_get(json, 0),
                               symbols);
        if (!error) {
            error = atom_from_json(&value, &type->value,
                                   json_array_get(json, 1), symbols);
            if (error) {
                atom_unref(&key, type->key.type);
            }
        }
    }
    if (!error) {
        builder_add(b, &key, &value);
    }
    return error;
}

static struct error *
parse_elements(struct builder *b, const struct type *type, const json_t *json,
               struct shash *symbols)
{
    const char *class = type_is_map(type) ? "map" : "set";
    const json_t *inner = unwrap(json, class, JSON_ARRAY);
    struct error *error;
    size_t i, n;

    if (!inner) {
        return error_syntax(json, NULL, "expected [\"%s\", <array>]", class);
    }
    n = json_array_size(inner);
    error = check_count(json, type, n);
    for (i = 0; i < n && !error; i++) {
        error = add_element(b, type, json_array_get(inner, i), symbols);
    }
    if (!error && !builder_sort(b)) {
        error = error_new(NULL, (type_is_map(type)
                                 ? "map contains duplicate key"
                                 : "set contains duplicate"));
    }
    return error;
}

/* Parses 'json' as a datum of 'type' and stores it in '*datump'.  With
 * 'symbols' named UUIDs are taken.  On error '*datump' is NULL. */
struct error *
datum_from_json(struct datum **datump, const struct type *type,
                const json_t *json, struct shash *symbols)
{
    const json_t *first = json_array_get(json, 0);
    struct error *error;
    struct builder b;

    *datump = NULL;
    builder_init(&b, type->key.type, type->value.type);
    if (type_is_map(type)
        || (json_is_string(first)
            && !strcmp(json_string_value(first), "set"))) {
        error = parse_elements(&b, type, json, symbols);
    } else {
        union atom atom;
        error = atom_from_json(&atom, &type->key, json, symbols);
        if (!error) {
            if (type_is_scalar(type)
                && atom_is_default(&atom, type->key.type)) {
                atom_unref(&atom, type->key.type);
                *datump = datum_default(type);
                return NULL;
            }
            builder_add(&b, &atom, NULL);
        }
    }
    if (error) {
        builder_destroy(&b);
    } else {
        *datump = builder_finish(&b);
    }
    return error;
}

/* Appends 'datum', of 'type', as JSON. */
void
datum_put_json(struct ds *ds, const struct datum *datum,
               const struct type *type)
{
    enum atom_type kt = type->key.type, vt = type->value.type;
    bool map = type_is_map(type);
    const char *delimiter = "";
    struct cursor c;
    union atom atom;

    if (!map && datum_n(datum) == 1) {
        leaf_get_key(datum, 0, &atom);
        atom_put_json(ds, &atom, kt);
        return;
    }

    ds_put_cstr(ds, map ? "[\"map\",[" : "[\"set\",[");
    DATUM_FOR_EACH (&c, datum) {
        ds_put_cstr(ds, delimiter);
        delimiter = ",";
        if (map) {
            ds_put_char(ds, '[');
        }
        atom = cursor_key(&c);
        atom_put_json(ds, &atom, kt);
        if (map) {
            ds_put_char(ds, ',');
            atom = cursor_value(&c);
            atom_put_json(ds, &atom, vt);
            ds_put_char(ds, ']');
        }
    }
    ds_put_cstr(ds, "]]");
}

/* Appends 'datum', of 'type', as messages show it. */
void
datum_put_string(struct ds *ds, const struct datum *datum,
                 const struct type *type)
{
    bool map = type_is_map(type);
    bool brackets = type->n_max > 1 || !datum;
    const char *delimiter = "";
    struct cursor c;

    if (brackets) {
        ds_put_char(ds, map ? '{' : '[');
    }
    DATUM_FOR_EACH (&c, datum) {
        union atom atom = cursor_key(&c);
        ds_put_cstr(ds, delimiter);
        delimiter = ", ";
        atom_put_string(ds, &atom, type->key.type);
        if (map) {
            ds_put_char(ds, '=');
            atom = cursor_value(&c);
            atom_put_string(ds, &atom, type->value.type);
        }
    }
    if (brackets) {
        ds_put_char(ds, map ? '}' : ']');
    }
}

/* Returns an error if an atom of 'datum' breaks the constraints of 'type'. */
struct error *
datum_check(const struct datum *datum, const struct type *type)
{
    struct error *error = NULL;
    struct cursor c;

    for (cursor_first(&c, datum); cursor_valid(&c) && !error;
         cursor_next(&c)) {
        union atom atom = cursor_key(&c);
        error = atom_check(&atom, &type->key);
        if (!error && type_is_map(type)) {
            atom = cursor_value(&c);
            error = atom_check(&atom, &type->value);
        }
    }
    return error;
}

/* Converts 'old', of 'old_type', to 'new_type', as if it had been sent. */
struct error *
datum_convert(struct datum **new, const struct type *new_type,
              const struct datum *old, const struct type *old_type)
{
    struct ds ds = DS_EMPTY_INITIALIZER;
    struct error *error;
    json_t *json;

    datum_put_json(&ds, old, old_type);
    json = json_loadb(ds.string, ds.length, JSON_DECODE_ANY, NULL);
    error = datum_from_json(new, new_type, json, NULL);
    json_decref(json);
    ds_destroy(&ds);
    return error;
}
