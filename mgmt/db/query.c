/* The search for rows that fulfil a condition.
 *
 * A row is found by its UUID, by the schema's indexes or by lookups (lookup.c);
 * only when none of these helps are all rows looked at. */
#include <config.h>
#include "mgmt/db/execute.h"

#include "hmapx.h"
#include "mgmt/db/lookup.h"
#include "util.h"

/* What fulfils a clause, or may. */
struct source {
    enum { SCAN, NOTHING, BY_UUID, BY_INDEX, BY_LOOKUP } kind;
    const struct clause *clause;
    size_t index;               /* Of BY_INDEX, in the schema. */
    uint32_t hash;              /* Of BY_INDEX. */
    struct lookup *lookup;      /* Of BY_LOOKUP. */
};

/* What to do with the rows from a source. */
struct visit {
    const struct condition *condition;
    bool (*match)(const struct condition *, const struct row *);
    struct hmapx *seen;         /* Rows to pass over, NULL if there are none
                                 * twice. */
    query_cb *cb;
    void *aux;
    bool stopped;               /* 'cb' has returned false. */
};

static const struct clause *
find_equal(const struct condition *c, const struct column *column)
{
    size_t i;

    for (i = 0; i < c->n && c->clauses[i].function <= F_EQ; i++) {
        if (c->clauses[i].function == F_EQ
            && c->clauses[i].column == column) {
            return &c->clauses[i];
        }
    }
    return NULL;
}

/* If 'c' gives all columns of index 'i', stores the hash of the values. */
static bool
hash_index(const struct condition *c, const struct column_set *index,
           uint32_t *hash)
{
    size_t i;

    *hash = 0;
    for (i = 0; i < index->n; i++) {
        const struct clause *clause = find_equal(c, index->columns[i]);
        if (!clause) {
            return false;
        }
        *hash = datum_hash(clause->arg, *hash);
    }
    return true;
}

/* Has 'txn' changed any row of 'table'? */
static bool
is_changed(const struct txn *txn, const struct table *table)
{
    size_t i;

    for (i = 0; txn && i < txn->n; i++) {
        if (txn->rows[i]->table == table) {
            return true;
        }
    }
    return false;
}

/* Finds the best source of rows that fulfil all of 'c'. */
static struct source
find_source(const struct txn *txn, struct table *table,
            const struct condition *c)
{
    const struct table_schema *ts = table->schema;
    struct source source = { .kind = SCAN };
    size_t i;

    source.clause = find_equal(c, ts->columns[COL_UUID]);
    if (source.clause) {
        source.kind = BY_UUID;
        return source;
    }
    for (i = 0; i < ts->n_indexes; i++) {
        if (hash_index(c, &ts->indexes[i], &source.hash)) {
            source.kind = BY_INDEX;
            source.index = i;
            return source;
        }
    }
    for (i = 0; i < c->n; i++) {
        source.clause = &c->clauses[i];
        if (source.clause->function == F_FALSE) {
            source.kind = NOTHING;
            return source;
        }
        source.lookup = lookup_find(table, source.clause,
                                    !is_changed(txn, table));
        if (source.lookup) {
            source.kind = BY_LOOKUP;
            return source;
        }
    }
    return source;
}

/* Passes 'row' on if it fulfils the condition. */
static bool
visit_row(struct row *row, void *visit_)
{
    struct visit *visit = visit_;

    if (visit->match(visit->condition, row)
        && (!visit->seen || hmapx_add(visit->seen, row))) {
        visit->stopped = !visit->cb(row, visit->aux);
    }
    return !visit->stopped;
}

/* The same for rows that are as they were before the transaction. */
static bool
visit_unchanged(struct row *row, void *visit)
{
    return row->txn_row ? true : visit_row(row, visit);
}

/* Visits the unchanged rows in 'source', which is a lookup or an index. */
static void
visit_source(const struct source *source, struct table *table,
             struct visit *visit)
{
    struct hmap_node *node;

    if (source->kind == BY_LOOKUP) {
        lookup_visit(source->lookup, table, source->clause, visit_unchanged,
                     visit);
        return;
    }
    for (node = hmap_first_with_hash(&table->indexes[source->index],
                                     source->hash); node;
         node = hmap_next_with_hash(node)) {
        if (!visit_unchanged(row_from_index_node(node, table, source->index),
                             visit)) {
            return;
        }
    }
}

static void
visit_all(struct table *table, struct visit *visit)
{
    struct row *row;

    HMAP_FOR_EACH_SAFE (row, node, &table->rows) {
        if (!visit_row(row, visit)) {
            return;
        }
    }
}

static void
visit_uuid(struct table *table, const struct clause *clause,
           struct visit *visit)
{
    struct row *row = table_row(table,
                                (const struct uuid *) clause->arg->data);

    if (row) {
        visit_row(row, visit);
    }
}

/* Calls 'cb' for each row that fulfils the whole condition, until it returns
 * false.  'cb' may modify or delete the row. */
void
query(const struct txn *txn, struct table *table, const struct condition *c,
      query_cb *cb, void *aux)
{
    struct visit visit = { c, condition_match_all, NULL, cb, aux, false };
    struct source source = find_source(txn, table, c);
    size_t n = txn ? txn->n : 0;
    size_t i;

    switch (source.kind) {
    case NOTHING:
        break;
    case BY_UUID:
        visit_uuid(table, source.clause, &visit);
        break;
    case BY_INDEX:
    case BY_LOOKUP:
        visit_source(&source, table, &visit);
        for (i = 0; i < n && !visit.stopped; i++) {
            struct txn_row *r = txn->rows[i];
            if (r->table == table && r->new) {
                visit_row(r->new, &visit);
            }
        }
        break;
    case SCAN:
        visit_all(table, &visit);
        break;
    }
}

/* Calls 'cb' for each row that fulfils any clause of the condition, or for all
 * if it has none.  To be called between transactions; 'cb' must not change
 * anything. */
void
query_any(struct table *table, const struct condition *c, query_cb *cb,
          void *aux)
{
    struct hmapx seen = HMAPX_INITIALIZER(&seen);
    struct visit visit = { c, condition_match_any, NULL, cb, aux, false };
    struct source *sources = xmalloc(c->n * sizeof *sources);
    bool scan = !c->n;
    size_t i;

    for (i = 0; i < c->n && !scan; i++) {
        const struct condition single = { .clauses = &c->clauses[i], .n = 1 };

        sources[i] = find_source(NULL, table, &single);
        scan = sources[i].kind == SCAN;
    }
    if (scan) {
        visit_all(table, &visit);
    } else if (c->n > 1) {
        visit.seen = &seen;
    }
    for (i = 0; i < c->n && !scan && !visit.stopped; i++) {
        if (sources[i].kind == BY_UUID) {
            visit_uuid(table, sources[i].clause, &visit);
        } else if (sources[i].kind != NOTHING) {
            visit_source(&sources[i], table, &visit);
        }
    }
    free(sources);
    hmapx_destroy(&seen);
}
