/* Conditions. */
#include <config.h>
#include "mgmt/db/execute.h"

#include <limits.h>
#include <string.h>

#include "hash.h"
#include "util.h"

static const char *function_names[] = {
    [F_FALSE] = "false", [F_TRUE] = "true", [F_EQ] = "==",
    [F_INCLUDES] = "includes", [F_LE] = "<=", [F_LT] = "<", [F_GE] = ">=",
    [F_GT] = ">", [F_EXCLUDES] = "excludes", [F_NE] = "!="
};

/* A "==" clause in condition->equals. */
struct equal {
    struct hmap_node node;      /* By hash of column and argument. */
    const struct clause *clause;
};

static struct error *
function_from_string(const char *name, enum function *function)
{
    size_t i;

    for (i = 0; i < ARRAY_SIZE(function_names); i++) {
        if (!strcmp(name, function_names[i])) {
            *function = i;
            return NULL;
        }
    }
    return error_syntax(NULL, "unknown function", "No function named %s.",
                        name);
}

static bool
is_numeric(const struct type *type)
{
    return ((type_is_scalar(type) || type_is_optional_scalar(type))
            && (type->key.type == ATOM_INTEGER
                || type->key.type == ATOM_REAL));
}

/* Adapts 'type', the column's, to what the function's argument may be. */
static struct error *
argument_type(struct type *type, const struct clause *clause,
              const json_t *json)
{
    switch (clause->function) {
    case F_LT: case F_LE: case F_GT: case F_GE:
        if (!is_numeric(type)) {
            char *s = type_to_english(type);
            struct error *error = error_syntax(
                json, NULL, "Type mismatch: \"%s\" operator may not be "
                "applied to column %s of type %s.",
                function_names[clause->function], clause->column->name, s);
            free(s);
            return error;
        }
        type->n_min = 1;
        break;
    case F_EXCLUDES:
        if (!type_is_scalar(type)) {
            type->n_min = 0;
            type->n_max = UINT_MAX;
        }
        break;
    case F_INCLUDES:
        if (!type_is_scalar(type)) {
            type->n_min = 0;
        }
        break;
    case F_EQ: case F_NE: case F_TRUE: case F_FALSE: default:
        break;
    }
    return NULL;
}

static struct error *
clause_from_json(struct clause *clause, const struct table_schema *ts,
                 const json_t *json, struct shash *symbols)
{
    const char *column, *function;
    struct error *error;
    struct type type;

    clause->arg = NULL;
    clause->column = ts->columns[COL_UUID];
    if (json_is_boolean(json)) {
        clause->function = json_is_true(json) ? F_TRUE : F_FALSE;
        return NULL;
    }
    column = json_string_value(json_array_get(json, 0));
    function = json_string_value(json_array_get(json, 1));
    if (json_array_size(json) != 3 || !column || !function) {
        return error_syntax(json, NULL, "Parse error in condition.");
    }
    clause->column = table_schema_column(ts, column);
    if (!clause->column) {
        return error_syntax(json, "unknown column",
                            "No column %s in table %s.", column, ts->name);
    }
    error = function_from_string(function, &clause->function);
    if (error) {
        return error;
    }
    if (clause->function <= F_TRUE) {
        return error_syntax(json, NULL, "Parse error in condition.");
    }
    type = clause->column->type;
    error = argument_type(&type, clause, json);
    return (error ? error
            : datum_from_json(&clause->arg, &type, json_array_get(json, 2),
                              symbols));
}

static int
compare_clauses(const void *a_, const void *b_)
{
    const struct clause *a = a_;
    const struct clause *b = b_;

    if (a->function != b->function) {
        return a->function < b->function ? -1 : 1;
    } else if (a->column != b->column) {
        return a->column->index < b->column->index ? -1 : 1;
    }
    return datum_compare(a->arg, b->arg, &a->column->type);
}

static uint32_t
hash_equal(const struct column *column, const struct datum *datum)
{
    return datum_hash(datum, column->index);
}

/* Makes the hash table if match_any() gains from it. */
static void
condition_optimize(struct condition *c)
{
    size_t i;

    if (c->n < 8) {
        return;
    }
    for (i = 0; i < c->n; i++) {
        if (c->clauses[i].function != F_EQ) {
            return;
        }
    }
    c->equals = xmalloc(sizeof *c->equals);
    hmap_init(c->equals);
    for (i = 0; i < c->n; i++) {
        struct equal *e = xmalloc(sizeof *e);
        e->clause = &c->clauses[i];
        hmap_insert(c->equals, &e->node,
                    hash_equal(e->clause->column, e->clause->arg));
    }
}

void
condition_init(struct condition *c)
{
    c->clauses = NULL;
    c->n = 0;
    c->equals = NULL;
}

/* Parses 'json', an array of clauses.  On error 'c' is empty. */
struct error *
condition_from_json(struct condition *c, const struct table_schema *ts,
                    const json_t *json, struct shash *symbols)
{
    size_t n = json_array_size(json), i;

    condition_init(c);
    c->clauses = xcalloc(n, sizeof *c->clauses);
    for (i = 0; i < n; i++) {
        struct error *error = clause_from_json(&c->clauses[i], ts,
                                               json_array_get(json, i),
                                               symbols);
        if (error) {
            condition_destroy(c);
            condition_init(c);
            return error;
        }
        c->n++;
    }
    qsort(c->clauses, c->n, sizeof *c->clauses, compare_clauses);
    condition_optimize(c);
    return NULL;
}

void
condition_clone(struct condition *new, const struct condition *old)
{
    size_t i;

    condition_init(new);
    new->clauses = xmemdup(old->clauses, old->n * sizeof *old->clauses);
    new->n = old->n;
    for (i = 0; i < new->n; i++) {
        datum_ref(new->clauses[i].arg);
    }
    condition_optimize(new);
}

void
condition_destroy(struct condition *c)
{
    struct equal *e;
    size_t i;

    if (c->equals) {
        HMAP_FOR_EACH_POP (e, node, c->equals) {
            free(e);
        }
        hmap_destroy(c->equals);
        free(c->equals);
    }
    for (i = 0; i < c->n; i++) {
        datum_unref(c->clauses[i].arg);
    }
    free(c->clauses);
}

bool
condition_equals(const struct condition *a, const struct condition *b)
{
    size_t i;

    if (a->n != b->n) {
        return false;
    }
    for (i = 0; i < a->n; i++) {
        if (compare_clauses(&a->clauses[i], &b->clauses[i])) {
            return false;
        }
    }
    return true;
}

uint32_t
condition_hash(const struct condition *c, uint32_t basis)
{
    size_t i;

    for (i = 0; i < c->n; i++) {
        basis = datum_hash(c->clauses[i].arg, basis);
        basis = hash_int(c->clauses[i].function, basis);
    }
    return hash_int(c->n, basis);
}

/* Whether condition_match_any() is true for any row. */
bool
condition_is_true(const struct condition *c)
{
    return (!c->n
            || c->clauses[0].function == F_TRUE
            || (c->n > 1 && c->clauses[1].function == F_TRUE));
}

/* Whether 'clause' holds for 'row'. */
static bool
evaluate(const struct clause *clause, const struct row *row)
{
    const struct datum *field = row->fields[clause->column->index];
    const struct datum *arg = clause->arg;
    union atom x, y;
    int cmp;

    switch (clause->function) {
    case F_TRUE:
        return true;
    case F_FALSE:
        return false;
    case F_EQ:
        return datum_equals(field, arg);
    case F_NE:
        return !datum_equals(field, arg);
    case F_INCLUDES:
        return datum_includes_all(arg, field);
    case F_EXCLUDES:
        return datum_excludes_all(arg, field);
    case F_LT: case F_LE: case F_GE: case F_GT:
        break;
    }

    if (!field || !arg) {
        return false;
    }
    leaf_get_key(field, 0, &x);
    leaf_get_key(arg, 0, &y);
    cmp = atom_compare(&x, &y, clause->column->type.key.type);
    return (clause->function == F_LT ? cmp < 0
            : clause->function == F_LE ? cmp <= 0
            : clause->function == F_GE ? cmp >= 0
            : cmp > 0);
}

/* Whether every clause holds, as in operations. */
bool
condition_match_all(const struct condition *c, const struct row *row)
{
    size_t i;

    for (i = 0; i < c->n; i++) {
        if (!evaluate(&c->clauses[i], row)) {
            return false;
        }
    }
    return true;
}

static bool
match_equals(const struct condition *c, const struct row *row)
{
    const struct column *last = NULL;
    size_t i;

    for (i = 0; i < c->n; i++) {
        const struct column *column = c->clauses[i].column;
        const struct datum *field = row->fields[column->index];
        const struct equal *e;

        if (column == last) {
            continue;           /* Clauses are sorted by column. */
        }
        last = column;
        HMAP_FOR_EACH_WITH_HASH (e, node, hash_equal(column, field),
                                 c->equals) {
            if (e->clause->column == column
                && datum_equals(field, e->clause->arg)) {
                return true;
            }
        }
        while (i + 1 < c->n && c->clauses[i + 1].column == column) {
            i++;
        }
    }
    return false;
}

/* Whether any clause holds, as in monitors; true without any. */
bool
condition_match_any(const struct condition *c, const struct row *row)
{
    size_t i;

    if (!c->n) {
        return true;
    } else if (c->equals) {
        return match_equals(c, row);
    }
    for (i = 0; i < c->n; i++) {
        if (evaluate(&c->clauses[i], row)) {
            return true;
        }
    }
    return false;
}
