/* Types of columns, from and to a schema's JSON, and the check of atoms
 * against them. */
#include <config.h>
#include "mgmt/db/data.h"

#include <float.h>
#include <inttypes.h>
#include <limits.h>
#include <string.h>

#include "util.h"

#define UUID_TYPE { .key = { .type = ATOM_UUID }, .n_min = 1, .n_max = 1 }
const struct type type_uuid = UUID_TYPE;

/* Sets 'base' to the unconstrained base type of 'type'. */
void
base_init(struct base_type *base, enum atom_type type)
{
    memset(base, 0, sizeof *base);
    base->type = type;
    if (type == ATOM_INTEGER) {
        base->integer.min = INT64_MIN;
        base->integer.max = INT64_MAX;
    } else if (type == ATOM_REAL) {
        base->real.min = -DBL_MAX;
        base->real.max = DBL_MAX;
    } else if (type == ATOM_STRING) {
        base->string.max = UINT_MAX;
    }
}

void
base_destroy(struct base_type *base)
{
    datum_unref(base->enum_);
    if (base->type == ATOM_UUID) {
        free(base->uuid.ref_name);
    }
}

static void
base_clone(struct base_type *dst, const struct base_type *src)
{
    *dst = *src;
    datum_ref(dst->enum_);
    if (dst->type == ATOM_UUID) {
        dst->uuid.ref_name = nullable_xstrdup(src->uuid.ref_name);
    }
}

void
type_clone(struct type *dst, const struct type *src)
{
    base_clone(&dst->key, &src->key);
    base_clone(&dst->value, &src->value);
    dst->n_min = src->n_min;
    dst->n_max = src->n_max;
}

void
type_destroy(struct type *type)
{
    base_destroy(&type->key);
    base_destroy(&type->value);
}

static bool
base_is_constrained(const struct base_type *base)
{
    if (base->enum_) {
        return true;
    }
    switch (base->type) {
    case ATOM_INTEGER:
        return (base->integer.min != INT64_MIN
                || base->integer.max != INT64_MAX);
    case ATOM_REAL:
        return base->real.min != -DBL_MAX || base->real.max != DBL_MAX;
    case ATOM_STRING:
        return base->string.min != 0 || base->string.max != UINT_MAX;
    case ATOM_UUID:
        return base->uuid.ref_name != NULL;
    case ATOM_VOID: case ATOM_BOOLEAN: case N_ATOM_TYPES: default:
        return false;
    }
}

static struct error *
atom_type_from_json(enum atom_type *type, const json_t *json)
{
    const char *s = json_string_value(json);
    enum atom_type t;

    *type = ATOM_VOID;
    if (!s) {
        return error_syntax(json, NULL, "atomic-type expected");
    }
    for (t = ATOM_INTEGER; t < N_ATOM_TYPES; t++) {
        if (!strcmp(s, atom_type_to_string(t))) {
            *type = t;
            return NULL;
        }
    }
    return error_syntax(json, NULL, "\"%s\" is not an atomic-type", s);
}

static struct error *
parse_length(struct parser *p, const char *member, unsigned int *length)
{
    const json_t *json = parser_member(p, member, OP_INTEGER | OP_OPTIONAL);

    if (json) {
        int64_t n = json_int64(json);
        if (n < 0 || n > UINT_MAX) {
            return error_syntax(json, NULL, "%s out of valid range 0 to %u",
                                member, UINT_MAX);
        }
        *length = n;
    }
    return NULL;
}

static struct error *
parse_string_limits(struct base_type *base, struct parser *p,
                    const json_t *json)
{
    struct error *error = parse_length(p, "minLength", &base->string.min);

    if (!error) {
        error = parse_length(p, "maxLength", &base->string.max);
    }
    if (!error && base->string.min > base->string.max) {
        error = error_syntax(json, NULL, "minLength exceeds maxLength");
    }
    return error;
}

static struct error *
parse_integer_limits(struct base_type *base, struct parser *p,
                     const json_t *json)
{
    const json_t *min, *max;

    min = parser_member(p, "minInteger", OP_INTEGER | OP_OPTIONAL);
    max = parser_member(p, "maxInteger", OP_INTEGER | OP_OPTIONAL);
    if (min) {
        base->integer.min = json_int64(min);
    }
    if (max) {
        base->integer.max = json_int64(max);
    }
    return (base->integer.min > base->integer.max
            ? error_syntax(json, NULL, "minInteger exceeds maxInteger")
            : NULL);
}

static struct error *
parse_real_limits(struct base_type *base, struct parser *p, const json_t *json)
{
    const json_t *min, *max;

    min = parser_member(p, "minReal", OP_NUMBER | OP_OPTIONAL);
    max = parser_member(p, "maxReal", OP_NUMBER | OP_OPTIONAL);
    if (min) {
        base->real.min = json_number_value(min);
    }
    if (max) {
        base->real.max = json_number_value(max);
    }
    return (base->real.min > base->real.max
            ? error_syntax(json, NULL, "minReal exceeds maxReal") : NULL);
}

static struct error *
parse_reference(struct base_type *base, struct parser *p, const json_t *json)
{
    const json_t *table = parser_member(p, "refTable", OP_ID | OP_OPTIONAL);
    const json_t *kind;

    if (!table) {
        return NULL;
    }
    base->uuid.ref_name = xstrdup(json_string_value(table));
    kind = parser_member(p, "refType", OP_ID | OP_OPTIONAL);
    if (kind) {
        const char *s = json_string_value(kind);
        base->uuid.weak = !strcmp(s, "weak");
        if (strcmp(s, "strong") && strcmp(s, "weak")) {
            return error_syntax(json, NULL, "refType must be \"strong\" or "
                                "\"weak\" (not \"%s\")", s);
        }
    }
    return NULL;
}

static struct error *
parse_enum(struct base_type *base, const json_t *json)
{
    struct type type = { .n_min = 1, .n_max = UINT_MAX };

    base_init(&type.key, base->type);
    return datum_from_json(&base->enum_, &type, json, NULL);
}

static struct error *
base_from_json(struct base_type *base, const json_t *json)
{
    enum atom_type atom_type;
    const json_t *type, *enum_;
    struct error *error, *error2;
    struct parser p;

    base_init(base, ATOM_VOID);
    if (json_is_string(json)) {
        error = atom_type_from_json(&atom_type, json);
        base_init(base, atom_type);
        return error;
    }

    parser_init(&p, json, "ovsdb type");
    type = parser_member(&p, "type", OP_STRING);
    if (!type) {
        return parser_finish(&p);
    }
    error = atom_type_from_json(&atom_type, type);
    if (error) {
        return error;
    }
    base_init(base, atom_type);

    enum_ = parser_member(&p, "enum", OP_ANY | OP_OPTIONAL);
    if (enum_) {
        error = parse_enum(base, enum_);
    } else if (atom_type == ATOM_INTEGER) {
        error = parse_integer_limits(base, &p, json);
    } else if (atom_type == ATOM_REAL) {
        error = parse_real_limits(base, &p, json);
    } else if (atom_type == ATOM_STRING) {
        error = parse_string_limits(base, &p, json);
    } else if (atom_type == ATOM_UUID) {
        error = parse_reference(base, &p, json);
    }

    error2 = parser_finish(&p);
    if (error) {
        error_destroy(error2);
    } else {
        error = error2;
    }
    if (error) {
        base_destroy(base);
        base_init(base, ATOM_VOID);
    }
    return error;
}

static struct error *
parse_n(const json_t *json, unsigned int *n)
{
    int64_t integer;

    if (!json) {
        return NULL;
    } else if (json_is_exact_integer(json, &integer)
               && integer >= 0 && integer < UINT_MAX) {
        *n = integer;
        return NULL;
    }
    return error_syntax(json, NULL, "bad min or max value");
}

static struct error *
parse_composite(struct type *type, const json_t *json)
{
    const json_t *key, *value, *min, *max;
    struct error *error;
    struct parser p;

    parser_init(&p, json, "ovsdb type");
    key = parser_member(&p, "key", OP_STRING | OP_OBJECT);
    value = parser_member(&p, "value", OP_STRING | OP_OBJECT | OP_OPTIONAL);
    min = parser_member(&p, "min", OP_INTEGER | OP_OPTIONAL);
    max = parser_member(&p, "max", OP_INTEGER | OP_STRING | OP_OPTIONAL);
    error = parser_finish(&p);
    if (!error) {
        error = base_from_json(&type->key, key);
    }
    if (!error && value) {
        error = base_from_json(&type->value, value);
    }
    if (!error) {
        error = parse_n(min, &type->n_min);
    }
    if (!error) {
        if (json_is_string(max)
            && !strcmp(json_string_value(max), "unlimited")) {
            type->n_max = UINT_MAX;
        } else {
            error = parse_n(max, &type->n_max);
        }
    }
    if (!error && (type->n_min > 1 || type->n_max < 1)) {
        error = error_syntax(json, NULL, "ovsdb type fails constraint checks");
    }
    return error;
}

/* Parses 'json' as a <type>.  On error 'type' needs no destruction. */
struct error *
type_from_json(struct type *type, const json_t *json)
{
    struct error *error;

    base_init(&type->key, ATOM_VOID);
    base_init(&type->value, ATOM_VOID);
    type->n_min = type->n_max = 1;

    if (json_is_string(json)) {
        error = base_from_json(&type->key, json);
    } else if (json_is_object(json)) {
        error = parse_composite(type, json);
    } else {
        error = error_syntax(json, NULL, "ovsdb type expected");
    }
    if (error) {
        type_destroy(type);
    }
    return error;
}

static void
base_put_json(struct ds *ds, const struct base_type *base)
{
    if (!base_is_constrained(base)) {
        ds_put_format(ds, "\"%s\"", atom_type_to_string(base->type));
        return;
    }

    ds_put_char(ds, '{');
    if (base->enum_) {
        struct type type = { .n_min = 1, .n_max = UINT_MAX };
        base_init(&type.key, base->type);
        ds_put_cstr(ds, "\"enum\":");
        datum_put_json(ds, base->enum_, &type);
        ds_put_char(ds, ',');
    }
    if (base->type == ATOM_INTEGER) {
        if (base->integer.max != INT64_MAX) {
            ds_put_format(ds, "\"maxInteger\":%"PRId64",", base->integer.max);
        }
        if (base->integer.min != INT64_MIN) {
            ds_put_format(ds, "\"minInteger\":%"PRId64",", base->integer.min);
        }
    } else if (base->type == ATOM_REAL) {
        if (base->real.max != DBL_MAX) {
            ds_put_cstr(ds, "\"maxReal\":");
            json_put_real(ds, base->real.max);
            ds_put_char(ds, ',');
        }
        if (base->real.min != -DBL_MAX) {
            ds_put_cstr(ds, "\"minReal\":");
            json_put_real(ds, base->real.min);
            ds_put_char(ds, ',');
        }
    } else if (base->type == ATOM_STRING) {
        if (base->string.max != UINT_MAX) {
            ds_put_format(ds, "\"maxLength\":%u,", base->string.max);
        }
        if (base->string.min) {
            ds_put_format(ds, "\"minLength\":%u,", base->string.min);
        }
    } else if (base->type == ATOM_UUID && base->uuid.ref_name) {
        ds_put_format(ds, "\"refTable\":\"%s\",", base->uuid.ref_name);
        if (base->uuid.weak) {
            ds_put_cstr(ds, "\"refType\":\"weak\",");
        }
    }
    ds_put_format(ds, "\"type\":\"%s\"}", atom_type_to_string(base->type));
}

/* Appends 'type' as a <type>. */
void
type_put_json(struct ds *ds, const struct type *type)
{
    if (type_is_scalar(type) && !base_is_constrained(&type->key)) {
        base_put_json(ds, &type->key);
        return;
    }
    ds_put_cstr(ds, "{\"key\":");
    base_put_json(ds, &type->key);
    if (type->n_max == UINT_MAX) {
        ds_put_cstr(ds, ",\"max\":\"unlimited\"");
    } else if (type->n_max != 1) {
        ds_put_format(ds, ",\"max\":%u", type->n_max);
    }
    if (type->n_min != 1) {
        ds_put_format(ds, ",\"min\":%u", type->n_min);
    }
    if (type_is_map(type)) {
        ds_put_cstr(ds, ",\"value\":");
        base_put_json(ds, &type->value);
    }
    ds_put_char(ds, '}');
}

/* Returns a description of 'type' for messages, which the caller must free. */
char *
type_to_english(const struct type *type)
{
    const char *key = atom_type_to_string(type->key.type);
    const char *value = atom_type_to_string(type->value.type);
    struct ds s = DS_EMPTY_INITIALIZER;

    if (type_is_scalar(type)) {
        return xstrdup(key);
    }
    ds_put_cstr(&s, type_is_map(type) ? "map" : "set");
    if (type->n_max == UINT_MAX) {
        if (type->n_min) {
            ds_put_format(&s, " of %u or more", type->n_min);
        } else {
            ds_put_cstr(&s, " of");
        }
    } else if (type->n_min) {
        ds_put_format(&s, " of %u to %u", type->n_min, type->n_max);
    } else {
        ds_put_format(&s, " of up to %u", type->n_max);
    }
    if (type_is_map(type)) {
        ds_put_format(&s, " (%s, %s) pairs", key, value);
    } else {
        ds_put_format(&s, " %ss", key);
    }
    return ds_steal_cstr(&s);
}

/* --- Constraints. --- */

static struct error *
check_enum(const union atom *atom, const struct base_type *base)
{
    struct type type = { .n_min = 1, .n_max = UINT_MAX };
    struct ds actual = DS_EMPTY_INITIALIZER;
    struct ds valid = DS_EMPTY_INITIALIZER;
    struct error *error;

    if (datum_find(base->enum_, atom, NULL)) {
        return NULL;
    }
    base_init(&type.key, base->type);
    atom_put_string(&actual, atom, base->type);
    datum_put_string(&valid, base->enum_, &type);
    error = error_new("constraint violation",
                      "%s is not one of the allowed values (%s)",
                      ds_cstr(&actual), ds_cstr(&valid));
    ds_destroy(&actual);
    ds_destroy(&valid);
    return error;
}

static struct error *
check_integer(int64_t x, int64_t min, int64_t max)
{
    if (x >= min && x <= max) {
        return NULL;
    } else if (min == INT64_MIN) {
        return error_new("constraint violation", "%"PRId64" is greater than "
                         "maximum allowed value %"PRId64, x, max);
    } else if (max == INT64_MAX) {
        return error_new("constraint violation", "%"PRId64" is less than "
                         "minimum allowed value %"PRId64, x, min);
    }
    return error_new("constraint violation", "%"PRId64" is not in the valid "
                     "range %"PRId64" to %"PRId64" (inclusive)", x, min, max);
}

static struct error *
check_real(double x, double min, double max)
{
    if (x >= min && x <= max) {
        return NULL;
    } else if (min == -DBL_MAX) {
        return error_new("constraint violation", "%.*g is greater than "
                         "maximum allowed value %.*g",
                         DBL_DIG, x, DBL_DIG, max);
    } else if (max == DBL_MAX) {
        return error_new("constraint violation", "%.*g is less than minimum "
                         "allowed value %.*g", DBL_DIG, x, DBL_DIG, min);
    }
    return error_new("constraint violation", "%.*g is not in the valid range "
                     "%.*g to %.*g (inclusive)",
                     DBL_DIG, x, DBL_DIG, min, DBL_DIG, max);
}

static struct error *
check_string(const char *s, unsigned int min, unsigned int max)
{
    size_t n = 0;
    const char *p;

    if (!min && max == UINT_MAX) {
        return NULL;
    }
    for (p = s; *p; p++) {
        n += (*p & 0xc0) != 0x80;   /* Count characters, not bytes. */
    }
    if (n < min) {
        return error_new("constraint violation", "\"%s\" length %"PRIuSIZE" "
                         "is less than minimum allowed length %u", s, n, min);
    } else if (n > max) {
        return error_new("constraint violation", "\"%s\" length %"PRIuSIZE" "
                         "is greater than maximum allowed length %u",
                         s, n, max);
    }
    return NULL;
}

/* Returns an error if 'atom' breaks the constraints of 'base'.  References
 * are checked only when a transaction commits. */
struct error *
atom_check(const union atom *atom, const struct base_type *base)
{
    if (base->enum_) {
        return check_enum(atom, base);
    }
    switch (base->type) {
    case ATOM_INTEGER:
        return check_integer(atom->integer, base->integer.min,
                             base->integer.max);
    case ATOM_REAL:
        return check_real(atom->real, base->real.min, base->real.max);
    case ATOM_STRING:
        return check_string(atom->string->s, base->string.min,
                            base->string.max);
    case ATOM_BOOLEAN:
    case ATOM_UUID:
        return NULL;
    case ATOM_VOID: case N_ATOM_TYPES: default:
        OVS_NOT_REACHED();
    }
}
