/* Execution of "transact": RFC 7047 section 5.2.
 *
 * Operations run one after the other on the tables themselves, within a
 * transaction; each appends its result to the reply.  The first that fails
 * ends it. */
#include <config.h>
#include "mgmt/db/execute.h"

#include <limits.h>
#include <string.h>

#include "hash.h"
#include "util.h"

struct operation_context {
    struct db *db;
    const struct requester *who;
    struct txn *txn;
    struct shash symbols;       /* Contains "struct symbol"s. */
    struct execution *execution;
    long long int elapsed;      /* Since the request arrived, in ms. */
    bool waiting;               /* This operation has to wait. */
};

/* What an operation's executor does: takes its members from the parser and, if
 * the parser has no error, acts and appends the members of its result. */
typedef struct error *executor(struct operation_context *, struct parser *,
                               struct ds *result);

static struct table *
parse_table(struct operation_context *x, struct parser *p)
{
    const json_t *json = parser_member(p, "table", OP_ID);
    struct table *table = NULL;

    if (json) {
        table = db_table(x->db, json_string_value(json));
        if (!table) {
            parser_raise(p, "No table named %s.", json_string_value(json));
        }
    }
    return table;
}

static struct error *
prohibited(const struct requester *who, const char *what,
           const struct table *table)
{
    return error_new("permission error", "RBAC rules for client \"%s\" role "
                     "\"%s\" prohibit %s table \"%s\".",
                     who->id, who->role, what, table->schema->name);
}

/* Chooses the UUID of a row to be inserted. */
static struct error *
insert_uuid(struct operation_context *x, struct table *table,
            const json_t *uuid_json, const json_t *name_json,
            struct uuid *uuid)
{
    if (uuid_json) {
        if (!uuid_from_string(uuid, json_string_value(uuid_json))) {
            return error_syntax(uuid_json, NULL, "bad uuid");
        }
        if (!txn_may_insert(x->txn, table, uuid)) {
            return error_syntax(uuid_json, "duplicate uuid",
                                "This UUID would duplicate a UUID already "
                                "present within the table or deleted within "
                                "the same transaction.");
        }
    }
    if (name_json) {
        struct symbol *symbol = symbol_get(&x->symbols,
                                           json_string_value(name_json));
        if (symbol->created) {
            return error_syntax(name_json, "duplicate uuid-name",
                                "This \"uuid-name\" appeared on an earlier "
                                "\"insert\" operation.");
        }
        if (uuid_json) {
            symbol->uuid = *uuid;
        } else {
            *uuid = symbol->uuid;
        }
        symbol->created = true;
    } else if (!uuid_json) {
        uuid_generate(uuid);
    }
    return NULL;
}

/* Checks defaults, which "row" need not have mentioned, against constraints.
 * Only values of one element can be defaults. */
static struct error *
check_defaults(const struct row *row)
{
    const struct shash_node *node;

    SHASH_FOR_EACH (node, &row->table->schema->by_name) {
        const struct column *column = node->data;
        const struct datum *datum = row->fields[column->index];

        if (datum_n(datum) == 1) {
            struct error *error = datum_check(datum, &column->type);
            if (error) {
                return error;
            }
        }
    }
    return NULL;
}

static struct error *
execute_insert(struct operation_context *x, struct parser *p,
               struct ds *result)
{
    const json_t *uuid_json, *name_json, *row_json;
    struct table *table;
    struct error *error;
    struct uuid uuid;
    struct row *row;

    table = parse_table(x, p);
    uuid_json = parser_member(p, "uuid", OP_STRING | OP_OPTIONAL);
    name_json = parser_member(p, "uuid-name", OP_ID | OP_OPTIONAL);
    row_json = parser_member(p, "row", OP_OBJECT);
    if (p->error) {
        return NULL;
    }

    error = insert_uuid(x, table, uuid_json, name_json, &uuid);
    if (error) {
        return error;
    }
    row = row_create(table);
    error = row_from_json(row, row_json, &x->symbols, NULL);
    if (!error) {
        error = check_defaults(row);
    }
    if (!error && !rbac_may_insert(x->who, row)) {
        error = prohibited(x->who, "row insertion into", table);
    }
    if (error) {
        row_unref(row);
        return error;
    }

    row_set_uuid(row, &uuid);
    txn_insert(x->txn, row);
    ds_put_cstr(result, "\"uuid\":[\"uuid\",\"");
    uuid_put(result, &uuid);
    ds_put_cstr(result, "\"]");
    return NULL;
}

/* --- select. --- */

/* Distinct rows as regards some columns. */
struct row_set {
    const struct column_set *columns;
    struct row **rows;
    size_t n, allocated;
    bool distinct;              /* Any two rows differ in 'columns' anyway. */
    struct hmap index;          /* Contains "struct row_set_node"s. */
};

struct row_set_node {
    struct hmap_node node;
    const struct row *row;
};

static void
row_set_init(struct row_set *set, const struct column_set *columns)
{
    memset(set, 0, sizeof *set);
    set->columns = columns;
    set->distinct = column_set_contains(columns, COL_UUID);
    hmap_init(&set->index);
}

static void
row_set_destroy(struct row_set *set)
{
    struct row_set_node *node;

    HMAP_FOR_EACH_POP (node, node, &set->index) {
        free(node);
    }
    hmap_destroy(&set->index);
    free(set->rows);
}

static bool
row_set_contains(const struct row_set *set, const struct row *row)
{
    uint32_t hash = row_hash_columns(row, set->columns);
    const struct row_set_node *node;

    HMAP_FOR_EACH_WITH_HASH (node, node, hash, &set->index) {
        if (row_equal_columns(row, node->row, set->columns)) {
            return true;
        }
    }
    return false;
}

/* Adds 'row' unless an equal one is there.  Returns whether it did. */
static bool
row_set_add(struct row_set *set, struct row *row)
{
    struct row_set_node *node;

    if (!set->distinct) {
        if (row_set_contains(set, row)) {
            return false;
        }
        node = xmalloc(sizeof *node);
        node->row = row;
        hmap_insert(&set->index, &node->node,
                    row_hash_columns(row, set->columns));
    }
    if (set->n >= set->allocated) {
        set->rows = x2nrealloc(set->rows, &set->allocated, sizeof *set->rows);
    }
    set->rows[set->n++] = row;
    return true;
}

static bool
select_cb(struct row *row, void *set)
{
    row_set_add(set, row);
    return true;
}

static int
compare_rows(const void *a_, const void *b_, void *columns)
{
    struct row *const *a = a_;
    struct row *const *b = b_;
    return row_compare_columns(*a, *b, columns);
}

static struct error *
execute_select(struct operation_context *x, struct parser *p,
               struct ds *result)
{
    const json_t *where, *columns_json, *sort_json;
    struct column_set columns, sort;
    struct condition condition;
    struct row_set rows;
    struct table *table;
    struct error *error;
    size_t i;

    table = parse_table(x, p);
    where = parser_member(p, "where", OP_ARRAY);
    columns_json = parser_member(p, "columns", OP_ARRAY | OP_OPTIONAL);
    sort_json = parser_member(p, "sort", OP_ARRAY | OP_OPTIONAL);
    if (p->error) {
        return NULL;
    }

    error = condition_from_json(&condition, table->schema, where, &x->symbols);
    if (error) {
        return error;
    }
    error = column_set_from_json(&columns, columns_json, table->schema);
    if (!error) {
        memset(&sort, 0, sizeof sort);
        if (sort_json) {
            error = column_set_from_json(&sort, sort_json, table->schema);
        }
        if (!error) {
            row_set_init(&rows, &columns);
            query(x->txn, table, &condition, select_cb, &rows);
            if (sort.n) {
                qsort_r(rows.rows, rows.n, sizeof *rows.rows, compare_rows,
                        &sort);
            }
            ds_put_cstr(result, "\"rows\":[");
            for (i = 0; i < rows.n; i++) {
                if (i) {
                    ds_put_char(result, ',');
                }
                row_put_json(result, rows.rows[i], &columns);
            }
            ds_put_char(result, ']');
            row_set_destroy(&rows);
            column_set_destroy(&sort);
        }
        column_set_destroy(&columns);
    }
    condition_destroy(&condition);
    return error;
}

/* --- update, mutate, delete. --- */

struct change {
    struct txn *txn;
    const struct row *row;      /* update: the new values, */
    const struct column_set *columns; /* of these columns. */
    const struct mutations *mutations;
    struct error *error;
    size_t n;                   /* Matching rows. */
};

static bool
update_cb(struct row *row, void *change_)
{
    struct change *c = change_;
    size_t i;

    c->n++;
    if (!row_equal_columns(row, c->row, c->columns)) {
        row = txn_modify(c->txn, row);
        for (i = 0; i < c->columns->n; i++) {
            const struct column *column = c->columns->columns[i];
            row_set(row, column, datum_ref(c->row->fields[column->index]));
        }
    }
    return true;
}

static bool
all_mutable(const struct column_set *columns)
{
    size_t i;

    for (i = 0; i < columns->n; i++) {
        if (!columns->columns[i]->mutable) {
            return false;
        }
    }
    return true;
}

static struct error *
check_mutable(const struct column_set *columns, const json_t *row,
              const struct table *table, const struct parser *p)
{
    const char **names, *first = NULL;
    struct error *error;
    size_t n, i;

    if (all_mutable(columns)) {
        return NULL;
    }
    names = json_object_names(row, &n);
    for (i = 0; i < n && !first; i++) {
        if (!table_schema_column(table->schema, names[i])->mutable) {
            first = names[i];
        }
    }
    error = error_syntax(p->json, "constraint violation",
                         "Cannot update immutable column %s in table %s.",
                         first, table->schema->name);
    free(names);
    return error;
}

static struct error *
execute_update(struct operation_context *x, struct parser *p,
               struct ds *result)
{
    struct column_set columns = { NULL, 0 };
    struct condition condition;
    const json_t *where, *row_json;
    struct table *table;
    struct error *error;
    struct row *row;

    table = parse_table(x, p);
    where = parser_member(p, "where", OP_ARRAY);
    row_json = parser_member(p, "row", OP_OBJECT);
    if (p->error) {
        return NULL;
    }

    row = row_create(table);
    error = row_from_json(row, row_json, &x->symbols, &columns);
    if (!error) {
        error = check_mutable(&columns, row_json, table, p);
    }
    if (!error) {
        error = condition_from_json(&condition, table->schema, where,
                                    &x->symbols);
        if (!error) {
            struct change c = {
                .txn = x->txn, .row = row, .columns = &columns
            };
            if (rbac_may_update(x->who, x->txn, table, &columns,
                                &condition)) {
                query(x->txn, table, &condition, update_cb, &c);
            } else {
                error = prohibited(x->who, "modification of", table);
            }
            ds_put_format(result, "\"count\":%"PRIuSIZE, c.n);
            condition_destroy(&condition);
        }
    }
    row_unref(row);
    column_set_destroy(&columns);
    return error;
}

static bool
mutate_cb(struct row *row, void *change_)
{
    struct change *c = change_;

    c->n++;
    c->error = mutations_execute(c->mutations, txn_modify(c->txn, row));
    return !c->error;
}

static struct error *
execute_mutate(struct operation_context *x, struct parser *p,
               struct ds *result)
{
    const json_t *where, *mutations_json;
    struct condition condition;
    struct mutations mutations;
    struct table *table;
    struct error *error;

    table = parse_table(x, p);
    where = parser_member(p, "where", OP_ARRAY);
    mutations_json = parser_member(p, "mutations", OP_ARRAY);
    if (p->error) {
        return NULL;
    }

    error = mutations_from_json(&mutations, table->schema, mutations_json,
                                &x->symbols);
    if (error) {
        return error;
    }
    error = condition_from_json(&condition, table->schema, where, &x->symbols);
    if (!error) {
        struct change c = { .txn = x->txn, .mutations = &mutations };
        if (rbac_may_mutate(x->who, x->txn, table, &mutations, &condition)) {
            query(x->txn, table, &condition, mutate_cb, &c);
            error = c.error;
        } else {
            error = prohibited(x->who, "mutate operation on", table);
        }
        ds_put_format(result, "\"count\":%"PRIuSIZE, c.n);
        condition_destroy(&condition);
    }
    mutations_destroy(&mutations);
    return error;
}

static bool
delete_cb(struct row *row, void *change_)
{
    struct change *c = change_;

    c->n++;
    txn_delete(c->txn, row);
    return true;
}

static struct error *
execute_delete(struct operation_context *x, struct parser *p,
               struct ds *result)
{
    struct condition condition;
    struct table *table;
    struct error *error;
    const json_t *where;

    where = parser_member(p, "where", OP_ARRAY);
    table = parse_table(x, p);
    if (p->error) {
        return NULL;
    }

    error = condition_from_json(&condition, table->schema, where, &x->symbols);
    if (!error) {
        struct change c = { .txn = x->txn };
        if (rbac_may_delete(x->who, x->txn, table, &condition)) {
            query(x->txn, table, &condition, delete_cb, &c);
        } else {
            error = prohibited(x->who, "row deletion from", table);
        }
        ds_put_format(result, "\"count\":%"PRIuSIZE, c.n);
        condition_destroy(&condition);
    }
    return error;
}

/* --- wait. --- */

struct wait_query {
    const struct row_set *expected;
    struct row_set *actual;
    bool equal;                 /* So far. */
};

static bool
wait_cb(struct row *row, void *wait_)
{
    struct wait_query *w = wait_;

    if (row_set_contains(w->expected, row)) {
        row_set_add(w->actual, row);
        return true;
    }
    w->equal = false;
    return false;
}

/* Parses 'json', rows, into 'set'. */
static struct error *
parse_expected(struct operation_context *x, struct table *table,
               const json_t *json, struct row_set *set)
{
    size_t i;

    for (i = 0; i < json_array_size(json); i++) {
        struct row *row = row_create(table);
        struct error *error = row_from_json(row, json_array_get(json, i),
                                            &x->symbols, NULL);
        if (error || !row_set_add(set, row)) {
            row_unref(row);
        }
        if (error) {
            return error;
        }
    }
    return NULL;
}

/* Compares the rows of 'table' that fulfil 'condition' with 'rows' in
 * 'columns'. */
static struct error *
wait_compare(struct operation_context *x, struct table *table,
             const struct condition *condition,
             const struct column_set *columns, const json_t *rows, bool *equal)
{
    struct row_set expected, actual;
    struct error *error;
    size_t i;

    row_set_init(&expected, columns);
    row_set_init(&actual, columns);
    expected.distinct = actual.distinct = false;
    error = parse_expected(x, table, rows, &expected);
    if (!error) {
        struct wait_query w = { &expected, &actual, true };
        query(x->txn, table, condition, wait_cb, &w);
        *equal = w.equal && actual.n == expected.n;
    }
    for (i = 0; i < expected.n; i++) {
        row_unref(expected.rows[i]);
    }
    row_set_destroy(&expected);
    row_set_destroy(&actual);
    return error;
}

static struct error *
parse_timeout(struct operation_context *x, const json_t *json,
              long long int *timeout)
{
    *timeout = LLONG_MAX;
    if (json) {
        *timeout = json_int64(json);
        if (*timeout < 0) {
            return error_syntax(json, NULL, "timeout must be nonnegative");
        }
        x->execution->timeout = MIN(x->execution->timeout, *timeout);
    }
    return NULL;
}

/* The outcome of a "wait" that doesn't hold. */
static struct error *
wait_failed(struct operation_context *x, bool has_timeout,
            long long int timeout)
{
    if (has_timeout && x->elapsed >= timeout) {
        return (x->elapsed
                ? error_new("timed out", "\"wait\" timed out after %lld ms",
                            x->elapsed)
                : error_new("timed out", "\"where\" clause test failed"));
    }
    x->waiting = true;
    return error_new("not supported", "triggers not supported");
}

static struct error *
execute_wait(struct operation_context *x, struct parser *p,
             struct ds *result OVS_UNUSED)
{
    const json_t *timeout_json, *where, *columns_json, *until, *rows;
    struct condition condition;
    struct column_set columns;
    long long int timeout;
    struct table *table;
    struct error *error;
    bool equal = false;

    timeout_json = parser_member(p, "timeout", OP_INTEGER | OP_OPTIONAL);
    where = parser_member(p, "where", OP_ARRAY);
    columns_json = parser_member(p, "columns", OP_ARRAY | OP_OPTIONAL);
    until = parser_member(p, "until", OP_STRING);
    rows = parser_member(p, "rows", OP_ARRAY);
    table = parse_table(x, p);
    if (p->error) {
        return NULL;
    }

    error = condition_from_json(&condition, table->schema, where, &x->symbols);
    if (error) {
        return error;
    }
    error = column_set_from_json(&columns, columns_json, table->schema);
    if (!error) {
        const char *s = json_string_value(until);

        error = parse_timeout(x, timeout_json, &timeout);
        if (!error && strcmp(s, "==") && strcmp(s, "!=")) {
            error = error_syntax(until, NULL,
                                 "\"until\" must be \"==\" or \"!=\"");
        }
        if (!error) {
            error = wait_compare(x, table, &condition, &columns, rows,
                                 &equal);
        }
        if (!error && equal != !strcmp(s, "==")) {
            error = wait_failed(x, timeout_json != NULL, timeout);
        }
        column_set_destroy(&columns);
    }
    condition_destroy(&condition);
    return error;
}

/* --- The simple ones. --- */

static struct error *
execute_commit(struct operation_context *x, struct parser *p,
               struct ds *result OVS_UNUSED)
{
    const json_t *durable = parser_member(p, "durable", OP_BOOLEAN);

    if (durable && json_is_true(durable)) {
        x->execution->durable = true;
    }
    return NULL;
}

static struct error *
execute_abort(struct operation_context *x OVS_UNUSED,
              struct parser *p OVS_UNUSED, struct ds *result OVS_UNUSED)
{
    return error_new("aborted", "aborted by request");
}

static struct error *
execute_comment(struct operation_context *x, struct parser *p,
                struct ds *result OVS_UNUSED)
{
    const json_t *comment = parser_member(p, "comment", OP_STRING);

    if (comment) {
        txn_add_comment(x->txn, json_string_value(comment));
    }
    return NULL;
}

static struct error *
execute_assert(struct operation_context *x, struct parser *p,
               struct ds *result OVS_UNUSED)
{
    const json_t *lock = parser_member(p, "lock", OP_ID);

    if (!lock || (x->who->session
                  && x->who->owns_lock(x->who->session,
                                       json_string_value(lock)))) {
        return NULL;
    }
    return error_new("not owner", "Asserted lock %s not held.",
                     json_string_value(lock));
}

/* --- All of it. --- */

static const struct operation {
    const char *name;
    bool read_only;             /* Allowed where nothing may be changed. */
    executor *executor;
} operations[] = {
    { "insert", false, execute_insert },
    { "select", true, execute_select },
    { "update", false, execute_update },
    { "mutate", false, execute_mutate },
    { "delete", false, execute_delete },
    { "wait", true, execute_wait },
    { "commit", false, execute_commit },
    { "abort", true, execute_abort },
    { "comment", true, execute_comment },
    { "assert", true, execute_assert },
};

static const struct operation *
find_operation(const char *name)
{
    size_t i;

    for (i = 0; i < ARRAY_SIZE(operations); i++) {
        if (!strcmp(operations[i].name, name)) {
            return &operations[i];
        }
    }
    return NULL;
}

static struct error *
check_read_only(const struct operation_context *x, const char *name)
{
    if (x->who->read_only) {
        return error_new("not allowed", "%s operation not allowed when "
                         "database server is in read only mode", name);
    } else if (x->db->name[0] == '_') {
        return error_new("not allowed", "%s operation not allowed on table in "
                         "reserved database %s", name, x->db->name);
    }
    return NULL;
}

/* Executes one operation and appends its result. */
static struct error *
execute_operation(struct operation_context *x, const json_t *json,
                  size_t i, size_t n, struct ds *result)
{
    const struct operation *operation = NULL;
    struct error *error = NULL;
    struct error *parse_error;
    const json_t *op;
    struct parser p;

    parser_init(&p, json, "ovsdb operation %"PRIuSIZE" of %"PRIuSIZE, i, n);
    op = parser_member(&p, "op", OP_ID);
    ds_put_char(result, '{');
    if (op) {
        operation = find_operation(json_string_value(op));
        if (operation) {
            error = operation->executor(x, &p, result);
        } else {
            parser_raise(&p, "No operation \"%s\"", json_string_value(op));
        }
    }
    ds_put_char(result, '}');

    parse_error = parser_finish(&p);
    if (parse_error) {
        error_destroy(error);
        x->waiting = false;
        return parse_error;
    }
    if (!error && !operation->read_only) {
        error = check_read_only(x, operation->name);
    }
    return error;
}

static struct error *
check_params(const struct db *db, const json_t *params)
{
    const char *name = json_string_value(json_array_get(params, 0));

    if (!json_is_array(params)) {
        return error_syntax(params, NULL, "array expected");
    } else if (!name || strcmp(name, db->name)) {
        return error_syntax(params, NULL,
                            "database name expected as first parameter");
    }
    return NULL;
}

/* Executes the operations in 'params', the parameters of a "transact" request
 * that came 'elapsed' ms ago.
 *
 * If all succeed, 'results' gets them, without the closing bracket (unless
 * 'execution->closed'), since a failed commit adds one more, and
 * 'execution->txn' is what to commit.  If one fails, the same without a
 * transaction.  If a "wait" doesn't hold and 'may_wait', 'results' gets
 * nothing and 'execution->waiting' is set. */
void
execute(struct db *db, const struct requester *who, const json_t *params,
        long long int elapsed, bool may_wait, struct execution *execution,
        struct ds *results)
{
    struct operation_context x = {
        .db = db, .who = who, .execution = execution, .elapsed = elapsed
    };
    size_t start = results->length;
    struct error *error;
    size_t n, i;

    memset(execution, 0, sizeof *execution);
    execution->timeout = LLONG_MAX;

    error = check_params(db, params);
    if (error) {
        execution->closed = true;
        error_put(results, error);
        error_destroy(error);
        return;
    }

    x.txn = txn_create(db);
    shash_init(&x.symbols);
    ds_put_char(results, '[');
    n = json_array_size(params) - 1;
    for (i = 1; i <= n && !error; i++) {
        size_t mark;

        if (i > 1) {
            ds_put_char(results, ',');
        }
        mark = results->length;
        error = execute_operation(&x, json_array_get(params, i), i, n,
                                  results);
        if (error) {
            ds_truncate(results, mark);
            error_put(results, error);
        }
    }
    for (; i <= n; i++) {
        ds_put_cstr(results, ",null");
    }

    if (error) {
        execution->waiting = x.waiting && may_wait;
        if (execution->waiting) {
            ds_truncate(results, start);
        }
        error_destroy(error);
        txn_abort(x.txn);
    } else {
        execution->txn = x.txn;
    }
    shash_destroy_free_data(&x.symbols);
}
