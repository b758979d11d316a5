/* Feeds: see monitor.h. */
#include <config.h>
#include "mgmt/db/feed.h"

#include <string.h>

#include "bitmap.h"
#include "mgmt/db/session.h"
#include "util.h"

/* --- Sets of changes. --- */

void
changes_init(struct change_set *set)
{
    hmap_init(&set->rows);
}

static struct row_change *
changes_find(const struct change_set *set, const struct row *row)
{
    struct row_change *c;

    HMAP_FOR_EACH_WITH_HASH (c, node, uuid_hash(row_uuid(row)), &set->rows) {
        const struct row *other = c->old ? c->old : c->new;
        if (other->table == row->table
            && uuid_equals(row_uuid(other), row_uuid(row))) {
            return c;
        }
    }
    return NULL;
}

static void
change_free(struct change_set *set, struct row_change *c)
{
    hmap_remove(&set->rows, &c->node);
    row_unref(c->old);
    row_unref(c->new);
    free(c);
}

/* Adds that 'old' (NULL: nothing) became 'new' (NULL: nothing). */
void
changes_add(struct change_set *set, struct row *old, struct row *new)
{
    struct row_change *c = changes_find(set, old ? old : new);

    if (!c) {
        c = xmalloc(sizeof *c);
        c->old = old ? row_ref(old) : NULL;
        c->new = new ? row_ref(new) : NULL;
        hmap_insert(&set->rows, &c->node,
                    uuid_hash(row_uuid(old ? old : new)));
    } else if (!c->old && !new) {
        change_free(set, c);    /* It came and went. */
    } else {
        row_unref(c->new);
        c->new = new ? row_ref(new) : NULL;
    }
}

static void
changes_clear(struct change_set *set)
{
    struct row_change *c;

    HMAP_FOR_EACH_SAFE (c, node, &set->rows) {
        change_free(set, c);
    }
}

void
changes_destroy(struct change_set *set)
{
    changes_clear(set);
    hmap_destroy(&set->rows);
}

/* --- Texts. --- */

/* Which of the SELECT_* a change is, given the table's condition; 0: none. */
static unsigned int
classify(const struct feed *feed, const struct feed_table *ft,
         const struct row *old, const struct row *new)
{
    if (!feed->v1 && ft->condition.n) {
        if (old && !condition_match_any(&ft->condition, old)) {
            old = NULL;
        }
        if (new && !condition_match_any(&ft->condition, new)) {
            new = NULL;
        }
    }
    return ((old && new ? SELECT_MODIFY : new ? SELECT_INSERT
             : old ? SELECT_DELETE : 0) & ft->select);
}

static bool
differs(const struct row *old, const struct row *new,
        const struct column *column)
{
    return !datum_equals(old->fields[column->index],
                         new->fields[column->index]);
}

/* Whether 'new' differs from 'old' in a column that 'ft' is about. */
static bool
is_modified(const struct feed_table *ft, const struct row *old,
            const struct row *new)
{
    size_t i;

    BITMAP_FOR_EACH_1 (i, ft->table->schema->n_columns, ft->watched) {
        if (differs(old, new, ft->table->schema->columns[i])) {
            return true;
        }
    }
    return false;
}

static void
put_name(struct ds *ds, const char **delimiter, const char *name)
{
    ds_put_cstr(ds, *delimiter);
    ds_put_char(ds, '"');
    ds_put_cstr(ds, name);
    ds_put_cstr(ds, "\":");
    *delimiter = ",";
}

/* Appends a <row-update> of RFC 7047. */
static void
put_row_v1(struct ds *ds, const struct feed_table *ft, unsigned int type,
           const struct row *old, const struct row *new)
{
    const char *delimiter = "";
    size_t i;

    ds_put_char(ds, '{');
    if (type & (SELECT_INITIAL | SELECT_INSERT | SELECT_MODIFY)) {
        ds_put_cstr(ds, "\"new\":{");
        for (i = 0; i < ft->n; i++) {
            const struct column *column = ft->columns[i].column;
            if (type & ft->columns[i].select) {
                put_name(ds, &delimiter, column->name);
                datum_put_json(ds, new->fields[column->index], &column->type);
            }
        }
        ds_put_char(ds, '}');
        delimiter = ",";
    }
    if (type & (SELECT_DELETE | SELECT_MODIFY)) {
        ds_put_cstr(ds, type & SELECT_MODIFY ? ",\"old\":{" : "\"old\":{");
        delimiter = "";
        for (i = 0; i < ft->n; i++) {
            const struct column *column = ft->columns[i].column;
            if (type & ft->columns[i].select
                && (type & SELECT_DELETE || differs(old, new, column))) {
                put_name(ds, &delimiter, column->name);
                datum_put_json(ds, old->fields[column->index], &column->type);
            }
        }
        ds_put_char(ds, '}');
    }
    ds_put_char(ds, '}');
}

/* Appends a <row-update2> of ovsdb-server(7). */
static void
put_row_v2(struct ds *ds, const struct feed_table *ft, unsigned int type,
           const struct row *old, const struct row *new)
{
    const char *delimiter = "";
    size_t i;

    if (type == SELECT_DELETE) {
        ds_put_cstr(ds, "{\"delete\":null}");
        return;
    }
    ds_put_cstr(ds, (type == SELECT_INITIAL ? "{\"initial\":{"
                     : type == SELECT_INSERT ? "{\"insert\":{"
                     : "{\"modify\":{"));
    for (i = 0; i < ft->n; i++) {
        const struct column *column = ft->columns[i].column;
        const struct datum *value = new->fields[column->index];

        if (!(type & ft->columns[i].select)) {
            continue;
        }
        if (type == SELECT_MODIFY) {
            if (differs(old, new, column)) {
                struct datum *diff = datum_diff(old->fields[column->index],
                                                value, &column->type);
                put_name(ds, &delimiter, column->name);
                datum_put_json(ds, diff, &column->type);
                datum_unref(diff);
            }
        } else if (!datum_is_default(value, &column->type)) {
            put_name(ds, &delimiter, column->name);
            datum_put_json(ds, value, &column->type);
        }
    }
    ds_put_cstr(ds, "}}");
}

/* Appends <table-updates> row by row. */
struct updates {
    struct ds *ds;
    const struct feed_table *table; /* The last row's, NULL at first. */
};

static void
updates_begin(struct updates *u, struct ds *ds)
{
    u->ds = ds;
    u->table = NULL;
    ds_put_char(ds, '{');
}

static void
updates_end(struct updates *u)
{
    ds_put_cstr(u->ds, u->table ? "}}" : "}");
}

static void
updates_add(struct updates *u, const struct feed *feed,
            const struct feed_table *ft, unsigned int type,
            const struct row *old, const struct row *new)
{
    if (ft != u->table) {
        ds_put_format(u->ds, "%s\"%s\":{", u->table ? "}," : "",
                      ft->table->schema->name);
        u->table = ft;
    } else {
        ds_put_char(u->ds, ',');
    }
    ds_put_char(u->ds, '"');
    uuid_put(u->ds, row_uuid(new ? new : old));
    ds_put_cstr(u->ds, "\":");
    (feed->v1 ? put_row_v1 : put_row_v2)(u->ds, ft, type, old, new);
}

static int
compare_changes(const void *a_, const void *b_)
{
    const struct row_change *const *a = a_;
    const struct row_change *const *b = b_;
    unsigned int x = ((*a)->old ? (*a)->old : (*a)->new)->table->number;
    unsigned int y = ((*b)->old ? (*b)->old : (*b)->new)->table->number;
    return x < y ? -1 : x > y;
}

/* The changes in 'set', those of one table behind each other. */
static struct row_change **
sort_changes(const struct change_set *set)
{
    struct row_change **changes, *c;
    size_t n = 0;

    changes = xmalloc(hmap_count(&set->rows) * sizeof *changes);
    HMAP_FOR_EACH (c, node, &set->rows) {
        changes[n++] = c;
    }
    qsort(changes, n, sizeof *changes, compare_changes);
    return changes;
}

/* Returns 'feed''s entry for 'table', NULL if it has none. */
struct feed_table *
feed_find_table(const struct feed *feed, const struct table *table)
{
    size_t i;

    for (i = 0; i < feed->n; i++) {
        if (feed->tables[i].table == table) {
            return &feed->tables[i];
        }
    }
    return NULL;
}

/* Appends 'set' to 'ds' as the <table-updates> of 'feed'.  Returns false, and
 * appends nothing, if it has nothing that concerns the feed's clients. */
bool
feed_put_changes(const struct feed *feed, const struct change_set *set,
                 struct ds *ds)
{
    size_t mark = ds->length;
    struct row_change **changes;
    struct updates u;
    size_t i;

    if (hmap_is_empty(&set->rows)) {
        return false;
    }
    changes = sort_changes(set);
    updates_begin(&u, ds);
    for (i = 0; i < hmap_count(&set->rows); i++) {
        const struct row *old = changes[i]->old;
        const struct row *new = changes[i]->new;
        const struct feed_table *ft = feed_find_table(
            feed, (old ? old : new)->table);
        unsigned int type = ft ? classify(feed, ft, old, new) : 0;

        if (type && (type != SELECT_MODIFY || is_modified(ft, old, new))) {
            updates_add(&u, feed, ft, type, old, new);
        }
    }
    updates_end(&u);
    free(changes);
    if (!u.table) {
        ds_truncate(ds, mark);
    }
    return u.table != NULL;
}

/* Rows of one table to be appended. */
struct selection {
    struct updates *updates;
    const struct feed *feed;
    const struct feed_table *table;
    unsigned int type;
    const struct condition *but; /* Not those that fulfil this, or NULL. */
};

static bool
select_row(struct row *row, void *selection_)
{
    struct selection *s = selection_;

    if (!s->but || !condition_match_any(s->but, row)) {
        updates_add(s->updates, s->feed, s->table, s->type, row, row);
    }
    return true;
}

/* Appends all rows that 'feed' selects, as the reply to a new monitor. */
void
feed_put_initial(const struct feed *feed, struct ds *ds)
{
    struct updates u;
    size_t i;

    updates_begin(&u, ds);
    for (i = 0; i < feed->n; i++) {
        const struct feed_table *ft = &feed->tables[i];
        struct selection s = { &u, feed, ft, SELECT_INITIAL, NULL };

        if (ft->select & SELECT_INITIAL) {
            query_any(ft->table, &ft->condition, select_row, &s);
        }
    }
    updates_end(&u);
}

/* Appends what changes for a client that goes from 'old' to 'new', which
 * differ in conditions only.  Returns whether there is anything. */
bool
feed_put_transition(const struct feed *old, const struct feed *new,
                    struct ds *ds)
{
    size_t mark = ds->length;
    struct updates u;
    size_t i;

    updates_begin(&u, ds);
    for (i = 0; i < new->n; i++) {
        const struct condition *was = &old->tables[i].condition;
        const struct feed_table *ft = &new->tables[i];
        const struct condition *is = &ft->condition;
        struct selection gone = { &u, new, ft, SELECT_DELETE, is };
        struct selection come = { &u, new, ft, SELECT_INSERT, was };

        if (condition_equals(was, is)) {
            continue;
        }
        if (ft->select & SELECT_DELETE && !condition_is_true(is)) {
            query_any(ft->table, was, select_row, &gone);
        }
        if (ft->select & SELECT_INSERT && !condition_is_true(was)) {
            query_any(ft->table, is, select_row, &come);
        }
    }
    updates_end(&u);
    if (!u.table) {
        ds_truncate(ds, mark);
    }
    return u.table != NULL;
}

/* --- Feeds. --- */

/* A feed of 'n' tables, to be filled in; not yet known to 'db'. */
struct feed *
feed_create(struct db *db, bool v1)
{
    struct feed *feed = xzalloc(sizeof *feed);

    feed->db = db;
    feed->v1 = v1;
    changes_init(&feed->changes);
    ovs_list_init(&feed->node);
    ovs_list_init(&feed->monitors);
    return feed;
}

/* Adds 'table' to 'feed', which doesn't have it. */
struct feed_table *
feed_add_table(struct feed *feed, struct table *table)
{
    struct feed_table *ft;

    feed->tables = xrealloc(feed->tables,
                            (feed->n + 1) * sizeof *feed->tables);
    ft = &feed->tables[feed->n++];
    memset(ft, 0, sizeof *ft);
    ft->table = table;
    condition_init(&ft->condition);
    return ft;
}

/* Adds 'column' to 'ft'.  Returns false if it is there already. */
bool
feed_add_column(struct feed_table *ft, const struct column *column,
                unsigned int select)
{
    size_t i;

    for (i = 0; i < ft->n; i++) {
        if (ft->columns[i].column == column) {
            return false;
        }
    }
    ft->columns = xrealloc(ft->columns, (ft->n + 1) * sizeof *ft->columns);
    ft->columns[ft->n].column = column;
    ft->columns[ft->n++].select = select;
    return true;
}

void
feed_destroy(struct feed *feed)
{
    size_t i;

    for (i = 0; i < feed->n; i++) {
        free(feed->tables[i].columns);
        bitmap_free(feed->tables[i].watched);
        condition_destroy(&feed->tables[i].condition);
    }
    ovs_list_remove(&feed->node);
    changes_destroy(&feed->changes);
    free(feed->tables);
    free(feed);
}

/* A copy of 'old', without its monitors and changes. */
struct feed *
feed_clone(const struct feed *old)
{
    struct feed *new = feed_create(old->db, old->v1);
    size_t i;

    for (i = 0; i < old->n; i++) {
        const struct feed_table *src = &old->tables[i];
        struct feed_table *dst = feed_add_table(new, src->table);

        dst->select = src->select;
        dst->columns = xmemdup(src->columns, src->n * sizeof *src->columns);
        dst->n = src->n;
        condition_clone(&dst->condition, &src->condition);
    }
    return new;
}

static int
compare_columns(const void *a_, const void *b_)
{
    const struct feed_column *a = a_;
    const struct feed_column *b = b_;
    return (a->column->index < b->column->index ? -1
            : a->column->index > b->column->index);
}

static int
compare_tables(const void *a_, const void *b_)
{
    const struct feed_table *a = a_;
    const struct feed_table *b = b_;
    return (a->table->number < b->table->number ? -1
            : a->table->number > b->table->number);
}

/* Puts a feed's tables and columns in order and finds the columns to watch. */
static void
feed_normalize(struct feed *feed)
{
    size_t i, j;

    qsort(feed->tables, feed->n, sizeof *feed->tables, compare_tables);
    for (i = 0; i < feed->n; i++) {
        struct feed_table *ft = &feed->tables[i];

        qsort(ft->columns, ft->n, sizeof *ft->columns, compare_columns);
        bitmap_free(ft->watched);
        ft->watched = bitmap_allocate(ft->table->schema->n_columns);
        for (j = 0; j < ft->n; j++) {
            bitmap_set1(ft->watched, ft->columns[j].column->index);
        }
        for (j = 0; j < ft->condition.n; j++) {
            bitmap_set1(ft->watched, ft->condition.clauses[j].column->index);
        }
    }
}

static bool
table_equals(const struct feed_table *a, const struct feed_table *b)
{
    size_t i;

    if (a->table != b->table || a->select != b->select || a->n != b->n) {
        return false;
    }
    for (i = 0; i < a->n; i++) {
        if (a->columns[i].column != b->columns[i].column
            || a->columns[i].select != b->columns[i].select) {
            return false;
        }
    }
    return condition_equals(&a->condition, &b->condition);
}

static bool
feed_equals(const struct feed *a, const struct feed *b)
{
    size_t i;

    if (a->v1 != b->v1 || a->n != b->n) {
        return false;
    }
    for (i = 0; i < a->n; i++) {
        if (!table_equals(&a->tables[i], &b->tables[i])) {
            return false;
        }
    }
    return true;
}

/* Returns the feed of 'feed''s database that is like 'feed', which may be
 * 'feed' itself; else 'feed' is destroyed. */
struct feed *
feed_share(struct feed *feed)
{
    struct feed *other;

    feed_normalize(feed);
    LIST_FOR_EACH (other, node, &feed->db->feeds) {
        if (feed_equals(feed, other)) {
            feed_destroy(feed);
            return other;
        }
    }
    ovs_list_push_back(&feed->db->feeds, &feed->node);
    return feed;
}

static void
feed_commit(struct feed *feed, const struct txn *txn)
{
    size_t i;

    for (i = 0; i < txn->n; i++) {
        const struct txn_row *r = txn->rows[i];
        const struct feed_table *ft;

        if (!txn_row_is_effective(r)) {
            continue;
        }
        ft = feed_find_table(feed, r->table);
        if (!ft) {
            continue;
        }
        if (r->old && r->new) {
            size_t n = r->table->schema->n_columns;
            size_t j;

            for (j = 0; j < BITMAP_N_LONGS(n); j++) {
                if (r->changed[j] & ft->watched[j]) {
                    break;
                }
            }
            if (j == BITMAP_N_LONGS(n)) {
                continue;
            }
        }
        changes_add(&feed->changes, r->old, r->new);
    }
}

/* Lets the feeds of 'db' know of 'txn', which is being committed. */
void
feeds_commit(struct db *db, const struct txn *txn)
{
    struct feed *feed;

    LIST_FOR_EACH (feed, node, &db->feeds) {
        feed_commit(feed, txn);
    }
}

static void
changes_merge(struct change_set *dst, const struct change_set *src)
{
    const struct row_change *c;

    HMAP_FOR_EACH (c, node, &src->rows) {
        changes_add(dst, c->old, c->new);
    }
}

/* Sends what has changed to the feed's clients. */
void
feed_cut(struct feed *feed)
{
    struct shared_text *text = NULL;
    struct ds ds = DS_EMPTY_INITIALIZER;
    struct monitor *m;

    if (hmap_is_empty(&feed->changes.rows)) {
        return;
    }
    LIST_FOR_EACH (m, feed_node, &feed->monitors) {
        m->lagging = m->lagging || session_is_behind(m->session);
        if (m->lagging) {
            changes_merge(&m->changes, &feed->changes);
        } else {
            if (!text) {
                if (!feed_put_changes(feed, &feed->changes, &ds)) {
                    break;
                }
                text = shared_text_create(&ds);
            }
            session_send_update(m->session, m, text);
        }
    }
    shared_text_unref(text);
    ds_destroy(&ds);
    changes_clear(&feed->changes);
}

/* Cuts all feeds of 'db'. */
void
feeds_cut(struct db *db)
{
    struct feed *feed;

    LIST_FOR_EACH (feed, node, &db->feeds) {
        feed_cut(feed);
    }
}

/* Sends what 'm' has missed, if it is lagging. */
void
monitor_flush(struct monitor *m)
{
    struct ds ds = DS_EMPTY_INITIALIZER;

    feed_cut(m->feed);
    if (!m->lagging) {
        return;
    }
    if (feed_put_changes(m->feed, &m->changes, &ds)) {
        struct shared_text *text = shared_text_create(&ds);
        session_send_update(m->session, m, text);
        shared_text_unref(text);
    }
    ds_destroy(&ds);
    changes_clear(&m->changes);
    m->lagging = false;
}
