/* Mutations. */
#include <config.h>
#include "mgmt/db/execute.h"

#include <float.h>
#include <limits.h>
#include <string.h>

#include "util.h"

static const char *mutator_names[] = {
    [M_ADD] = "+=", [M_SUB] = "-=", [M_MUL] = "*=", [M_DIV] = "/=",
    [M_MOD] = "%=", [M_INSERT] = "insert", [M_DELETE] = "delete"
};

static struct error *
mutator_from_string(const char *name, enum mutator *mutator)
{
    size_t i;

    for (i = 0; i < ARRAY_SIZE(mutator_names); i++) {
        if (!strcmp(name, mutator_names[i])) {
            *mutator = i;
            return NULL;
        }
    }
    return error_syntax(NULL, "unknown mutator", "No mutator named %s.", name);
}

static struct error *
type_mismatch(const struct mutation *m, const json_t *json)
{
    char *s = type_to_english(&m->column->type);
    struct error *error = error_syntax(
        json, NULL, "Type mismatch: \"%s\" operator may not be applied to "
        "column %s of type %s.",
        mutator_names[m->mutator], m->column->name, s);
    free(s);
    return error;
}

static struct error *
parse_number(struct mutation *m, const json_t *json, const json_t *arg,
             struct shash *symbols)
{
    const struct type *column = &m->column->type;
    struct type type = { .n_min = 1, .n_max = 1 };

    if (type_is_map(column)
        || (column->key.type != ATOM_INTEGER && column->key.type != ATOM_REAL)
        || (m->mutator == M_MOD && column->key.type == ATOM_REAL)) {
        return type_mismatch(m, json);
    }
    base_init(&type.key, column->key.type);
    return datum_from_json(&m->arg, &type, arg, symbols);
}

static struct error *
parse_elements(struct mutation *m, const json_t *json, const json_t *arg,
               struct shash *symbols)
{
    struct type type = m->column->type;
    struct error *error;

    if (type_is_scalar(&type)) {
        return type_mismatch(m, json);
    }
    type.n_min = 0;
    if (m->mutator == M_DELETE) {
        type.n_max = UINT_MAX;
    }
    error = datum_from_json(&m->arg, &type, arg, symbols);
    if (error && type_is_map(&type) && m->mutator == M_DELETE) {
        /* Keys alone are fine, too. */
        error_destroy(error);
        base_init(&type.value, ATOM_VOID);
        error = datum_from_json(&m->arg, &type, arg, symbols);
    }
    return error;
}

static struct error *
mutation_from_json(struct mutation *m, const struct table_schema *ts,
                   const json_t *json, struct shash *symbols)
{
    const char *column = json_string_value(json_array_get(json, 0));
    const char *mutator = json_string_value(json_array_get(json, 1));
    const json_t *arg = json_array_get(json, 2);
    struct error *error;

    if (json_array_size(json) != 3 || !column || !mutator) {
        return error_syntax(json, NULL, "Parse error in mutation.");
    }
    m->column = table_schema_column(ts, column);
    if (!m->column) {
        return error_syntax(json, "unknown column",
                            "No column %s in table %s.", column, ts->name);
    }
    if (!m->column->mutable) {
        return error_syntax(json, "constraint violation",
                            "Cannot mutate immutable column %s in table %s.",
                            column, ts->name);
    }
    error = mutator_from_string(mutator, &m->mutator);
    if (error) {
        return error;
    }
    return (m->mutator <= M_MOD
            ? parse_number(m, json, arg, symbols)
            : parse_elements(m, json, arg, symbols));
}

/* Parses 'json', an array of mutations.  On error 'set' is empty. */
struct error *
mutations_from_json(struct mutations *set, const struct table_schema *ts,
                    const json_t *json, struct shash *symbols)
{
    size_t n = json_array_size(json), i;

    set->mutations = xcalloc(n, sizeof *set->mutations);
    set->n = 0;
    for (i = 0; i < n; i++) {
        struct error *error = mutation_from_json(&set->mutations[i], ts,
                                                 json_array_get(json, i),
                                                 symbols);
        if (error) {
            mutations_destroy(set);
            memset(set, 0, sizeof *set);
            return error;
        }
        set->n++;
    }
    return NULL;
}

void
mutations_destroy(struct mutations *set)
{
    size_t i;

    for (i = 0; i < set->n; i++) {
        datum_unref(set->mutations[i].arg);
    }
    free(set->mutations);
}

/* --- Execution. --- */

enum outcome { OK, DOMAIN_ERROR, RANGE_ERROR };

static enum outcome
mutate_integer(int64_t *x, int64_t y, enum mutator mutator)
{
    bool overflow;

    switch (mutator) {
    case M_ADD:
        overflow = __builtin_add_overflow(*x, y, x);
        break;
    case M_SUB:
        overflow = __builtin_sub_overflow(*x, y, x);
        break;
    case M_MUL:
        overflow = __builtin_mul_overflow(*x, y, x);
        break;
    case M_DIV:
    case M_MOD:
        if (!y) {
            return DOMAIN_ERROR;
        }
        overflow = *x == INT64_MIN && y == -1;
        if (!overflow) {
            *x = mutator == M_DIV ? *x / y : *x % y;
        }
        break;
    case M_INSERT: case M_DELETE: default:
        OVS_NOT_REACHED();
    }
    return overflow ? RANGE_ERROR : OK;
}

static enum outcome
mutate_real(double *x, double y, enum mutator mutator)
{
    switch (mutator) {
    case M_ADD: *x += y; break;
    case M_SUB: *x -= y; break;
    case M_MUL: *x *= y; break;
    case M_DIV:
        if (y == 0) {
            return DOMAIN_ERROR;
        }
        *x /= y;
        break;
    case M_MOD: case M_INSERT: case M_DELETE: default: OVS_NOT_REACHED();
    }
    return *x >= -DBL_MAX && *x <= DBL_MAX ? OK : RANGE_ERROR;
}

/* Applies 'm' to each number in 'old' and stores the result in '*new'. */
static struct error *
mutate_numbers(const struct mutation *m, const struct datum *old,
               struct datum **new)
{
    const struct base_type *base = &m->column->type.key;
    struct error *error = NULL;
    struct builder b;
    struct cursor c;
    union atom arg;
    size_t i;

    leaf_get_key(m->arg, 0, &arg);
    builder_init(&b, base->type, ATOM_VOID);
    DATUM_FOR_EACH (&c, old) {
        union atom x = cursor_key(&c);
        enum outcome outcome = (
            base->type == ATOM_INTEGER
            ? mutate_integer(&x.integer, arg.integer, m->mutator)
            : mutate_real(&x.real, arg.real, m->mutator));
        if (outcome == DOMAIN_ERROR) {
            error = error_new("domain error", "Division by zero.");
            goto error;
        } else if (outcome == RANGE_ERROR) {
            error = error_new("range error", "Result of \"%s\" operation is "
                              "out of range.", mutator_names[m->mutator]);
            goto error;
        }
        builder_add(&b, &x, NULL);
    }
    for (i = 0; i < b.n; i++) {
        error = atom_check(&b.keys[i], base);
        if (error) {
            goto error;
        }
    }
    if (!builder_sort(&b)) {
        error = error_new("constraint violation", "Result of \"%s\" operation "
                          "contains duplicates.", mutator_names[m->mutator]);
        goto error;
    }
    *new = builder_finish(&b);
    return NULL;

error:
    builder_destroy(&b);
    return error;
}

static struct error *
check_count(const struct datum *datum, const struct type *type)
{
    struct error *error;
    char *s;

    if (datum_conforms(datum, type)) {
        return NULL;
    }
    s = type_to_english(type);
    error = error_new("constraint violation",
                      "Attempted to store %u elements in %s.",
                      (unsigned int) datum_n(datum), s);
    free(s);
    return error;
}

/* Applies the mutations to 'row', which txn_modify() has made. */
struct error *
mutations_execute(const struct mutations *set, struct row *row)
{
    size_t i;

    for (i = 0; i < set->n; i++) {
        const struct mutation *m = &set->mutations[i];
        struct datum **field = &row->fields[m->column->index];
        struct error *error;

        if (m->mutator <= M_MOD) {
            struct datum *new = NULL;
            error = mutate_numbers(m, *field, &new);
            if (!error) {
                row_set(row, m->column, new);
            }
        } else {
            *field = (m->mutator == M_INSERT
                      ? datum_union(*field, m->arg)
                      : datum_subtract(*field, m->arg));
            error = check_count(*field, &m->column->type);
        }
        if (error) {
            return error;
        }
    }
    return NULL;
}
