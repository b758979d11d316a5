/* The monitor methods: see monitor.h. */
#include <config.h>
#include "mgmt/db/monitor.h"

#include <string.h>

#include "mgmt/db/feed.h"
#include "mgmt/db/history.h"
#include "mgmt/db/session.h"
#include "util.h"

/* Returns the session's monitor 'id', NULL if there is none. */
struct monitor *
monitor_find(struct session *s, const json_t *id)
{
    struct monitor *m;

    LIST_FOR_EACH (m, node, session_monitors(s)) {
        if (json_same(m->id, id)) {
            return m;
        }
    }
    return NULL;
}

static void
set_id(struct monitor *m, const json_t *id)
{
    json_decref(m->id);
    free(m->id_text);
    m->id = json_incref(CONST_CAST(json_t *, id));
    m->id_text = json_to_text(id);
}

static void
attach(struct monitor *m, struct feed *feed)
{
    m->feed = feed;
    ovs_list_push_back(&feed->monitors, &m->feed_node);
}

static void
detach(struct monitor *m)
{
    ovs_list_remove(&m->feed_node);
    if (ovs_list_is_empty(&m->feed->monitors)) {
        feed_destroy(m->feed);
    }
}

void
monitor_destroy(struct monitor *m)
{
    detach(m);
    ovs_list_remove(&m->node);
    changes_destroy(&m->changes);
    json_decref(m->id);
    free(m->id_text);
    free(m);
}

/* --- Requests. --- */

static bool
parse_flag(struct parser *p, const char *name)
{
    const json_t *json = parser_member(p, name, OP_BOOLEAN | OP_OPTIONAL);
    return !json || json_is_true(json);
}

static struct error *
parse_select(const json_t *json, const struct table_schema *ts,
             unsigned int *select)
{
    struct parser p;

    *select = SELECT_ALL;
    if (!json) {
        return NULL;
    }
    parser_init(&p, json, "table %s select", ts->name);
    *select = ((parse_flag(&p, "initial") ? SELECT_INITIAL : 0)
               | (parse_flag(&p, "insert") ? SELECT_INSERT : 0)
               | (parse_flag(&p, "delete") ? SELECT_DELETE : 0)
               | (parse_flag(&p, "modify") ? SELECT_MODIFY : 0));
    return parser_finish(&p);
}

static struct error *
parse_columns(struct feed_table *ft, const json_t *columns,
              unsigned int select)
{
    const struct table_schema *ts = ft->table->schema;
    size_t i;

    for (i = 0; i < json_array_size(columns); i++) {
        const char *s = json_string_value(json_array_get(columns, i));
        const struct column *column;

        if (!s) {
            return error_syntax(columns, NULL,
                                "array of column names expected");
        }
        column = table_schema_column(ts, s);
        if (!column) {
            return error_syntax(columns, NULL, "%s is not a valid column name",
                                s);
        }
        if (!feed_add_column(ft, column, select)) {
            return error_syntax(columns, NULL,
                                "column %s mentioned more than once", s);
        }
    }
    return NULL;
}

static struct error *
add_all_columns(struct feed_table *ft, unsigned int select)
{
    const struct table_schema *ts = ft->table->schema;
    size_t i;

    for (i = 0; i < ts->n_columns; i++) {
        if (i != COL_UUID
            && !feed_add_column(ft, ts->columns[i], select)) {
            return error_syntax(NULL, NULL,
                                "column %s mentioned more than once",
                                ts->columns[i]->name);
        }
    }
    return NULL;
}

/* Parses a <monitor-request>, with "where" if 'conditional'. */
static struct error *
parse_request(struct feed_table *ft, const json_t *json, bool conditional)
{
    const struct table_schema *ts = ft->table->schema;
    const json_t *columns, *select_json, *where = NULL;
    struct error *error;
    unsigned int select;
    struct parser p;

    parser_init(&p, json, "table %s", ts->name);
    if (conditional) {
        where = parser_member(&p, "where", OP_ARRAY | OP_OPTIONAL);
    }
    columns = parser_member(&p, "columns", OP_ARRAY | OP_OPTIONAL);
    select_json = parser_member(&p, "select", OP_OBJECT | OP_OPTIONAL);
    error = parser_finish(&p);
    if (!error) {
        error = parse_select(select_json, ts, &select);
    }
    if (error) {
        return error;
    }

    ft->select |= select;
    error = (columns ? parse_columns(ft, columns, select)
             : add_all_columns(ft, select));
    if (!error && where) {
        condition_destroy(&ft->condition);
        error = condition_from_json(&ft->condition, ts, where, NULL);
    }
    return error;
}

/* Parses the <monitor-request>s for one table. */
static struct error *
parse_table_requests(struct feed *feed, const char *name, const json_t *json,
                     bool conditional)
{
    struct table *table = db_table(feed->db, name);
    struct error *error = NULL;
    struct feed_table *ft;
    size_t i;

    if (!table) {
        return error_syntax(NULL, NULL, "no table named %s", name);
    }
    ft = feed_add_table(feed, table);
    if (!json_is_array(json)) {
        return parse_request(ft, json, conditional);
    }
    for (i = 0; i < json_array_size(json) && !error; i++) {
        error = parse_request(ft, json_array_get(json, i), conditional);
    }
    return error;
}

static struct error *
parse_requests(struct feed *feed, const json_t *requests, bool conditional)
{
    struct error *error = NULL;
    const char **names;
    size_t n, i;

    names = json_object_names(requests, &n);
    for (i = 0; i < n && !error; i++) {
        error = parse_table_requests(feed, names[i],
                                     json_object_get(requests, names[i]),
                                     conditional);
    }
    free(names);
    return error;
}

/* Parses the last transaction's id, which "monitor_cond_since" has. */
static struct error *
parse_last_id(const json_t *json, struct uuid *id)
{
    if (!json_is_string(json)) {
        return error_syntax(json, NULL, "last-txn-id must be string");
    } else if (!uuid_from_string(id, json_string_value(json))) {
        return error_syntax(json, NULL, "last-txn-id must be UUID format.");
    }
    return NULL;
}

static struct error *
check_params(struct session *s, const json_t *params,
             enum monitor_version version)
{
    const json_t *id = json_array_get(params, 1);
    size_t n = json_array_size(params);

    if (version == MONITOR_V1 ? n < 3 : n != (size_t) version + 1) {
        return error_syntax(params, NULL, "invalid parameters");
    } else if (!json_is_object(json_array_get(params, 2))) {
        return error_syntax(json_array_get(params, 2), NULL,
                            "monitor-requests must be object");
    } else if (monitor_find(s, id)) {
        return error_syntax(id, NULL, "duplicate monitor ID");
    }
    return NULL;
}

/* Appends what a new monitor on 'feed' starts with. */
static void
put_start(const struct session *s, const struct feed *feed,
          enum monitor_version version, const struct uuid *last_id,
          struct ds *result)
{
    struct change_set changes;
    bool found = false;

    if (version != MONITOR_V3) {
        feed_put_initial(feed, result);
        return;
    }

    changes_init(&changes);
    if (session_has_history(s) && !uuid_is_zero(last_id)) {
        found = history_since(feed->db, last_id, &changes);
    }
    ds_put_format(result, "[%s,\""UUID_FMT"\",", found ? "true" : "false",
                  UUID_ARGS(session_txnid(s, feed->db)));
    if (!found) {
        feed_put_initial(feed, result);
    } else if (!feed_put_changes(feed, &changes, result)) {
        ds_put_cstr(result, "{}");
    }
    ds_put_char(result, ']');
    changes_destroy(&changes);
}

/* "monitor", "monitor_cond" and "monitor_cond_since". */
struct error *
monitor_create(struct session *s, struct db *db, const json_t *params,
               enum monitor_version version, struct ds *result)
{
    struct uuid last_id = UUID_ZERO;
    struct monitor *m;
    struct error *error;
    struct feed *feed;

    error = check_params(s, params, version);
    if (error) {
        return error;
    }
    feed = feed_create(db, version == MONITOR_V1);
    error = parse_requests(feed, json_array_get(params, 2),
                           version != MONITOR_V1);
    if (!error && version == MONITOR_V3) {
        error = parse_last_id(json_array_get(params, 3), &last_id);
    }
    if (error) {
        feed_destroy(feed);
        return error;
    }

    /* Whatever has changed up to now is for others only. */
    feed = feed_share(feed);
    feed_cut(feed);

    m = xzalloc(sizeof *m);
    m->session = s;
    m->version = version;
    changes_init(&m->changes);
    set_id(m, json_array_get(params, 1));
    ovs_list_push_back(session_monitors(s), &m->node);
    attach(m, feed);
    put_start(s, feed, version, &last_id, result);
    return NULL;
}

/* --- Changing conditions. --- */

static struct error *
parse_cond_change(struct feed_table *ft, const json_t *json, bool v1)
{
    const struct table_schema *ts = ft->table->schema;
    const json_t *columns, *where;
    struct error *error;
    struct parser p;

    parser_init(&p, json, "table %s", ts->name);
    columns = parser_member(&p, "columns", OP_ARRAY | OP_OPTIONAL);
    where = parser_member(&p, "where", OP_ARRAY | OP_OPTIONAL);
    error = parser_finish(&p);
    if (error) {
        return error;
    }
    if (columns) {
        return error_syntax(json, NULL, "changing columns is unsupported");
    }
    if (v1) {
        return NULL;
    }
    condition_destroy(&ft->condition);
    return condition_from_json(&ft->condition, ts, where, NULL);
}

static struct error *
parse_table_cond_changes(struct feed *feed, const char *name,
                         const json_t *json)
{
    struct table *table = db_table(feed->db, name);
    struct feed_table *ft = table ? feed_find_table(feed, table) : NULL;
    struct error *error = NULL;
    size_t i;

    if (!table) {
        return error_syntax(NULL, NULL, "no table named %s", name);
    } else if (!ft) {
        return error_syntax(NULL, NULL, "no table named %s in monitor session",
                            name);
    } else if (!json_is_array(json)) {
        return error_syntax(NULL, NULL, "table %s no monitor-cond-change "
                            "JSON array", name);
    }
    for (i = 0; i < json_array_size(json) && !error; i++) {
        error = parse_cond_change(ft, json_array_get(json, i), feed->v1);
    }
    return error;
}

static struct error *
parse_cond_changes(struct feed *feed, const json_t *requests)
{
    struct error *error = NULL;
    const char **names;
    size_t n, i;

    names = json_object_names(requests, &n);
    for (i = 0; i < n && !error; i++) {
        error = parse_table_cond_changes(feed, names[i],
                                         json_object_get(requests, names[i]));
    }
    free(names);
    return error;
}

/* Moves 'm' to 'feed' and sends what that changes for its client. */
static void
change_feed(struct monitor *m, struct feed *feed)
{
    struct ds ds = DS_EMPTY_INITIALIZER;
    struct shared_text *text = NULL;

    monitor_flush(m);
    if (feed_put_transition(m->feed, feed, &ds)) {
        text = shared_text_create(&ds);
    }
    ds_destroy(&ds);
    feed = feed_share(feed);
    if (feed != m->feed) {
        feed_cut(feed);
        detach(m);
        attach(m, feed);
    }
    if (text) {
        session_send_update(m->session, m, text);
        shared_text_unref(text);
    }
}

/* "monitor_cond_change". */
struct error *
monitor_cond_change(struct session *s, const json_t *params)
{
    const json_t *new_id = json_array_get(params, 1);
    const json_t *requests = json_array_get(params, 2);
    struct error *error;
    struct monitor *m;
    struct feed *feed;

    if (json_array_size(params) != 3) {
        return error_syntax(params, NULL, "invalid parameters");
    }
    m = monitor_find(s, json_array_get(params, 0));
    if (!m) {
        return error_syntax(json_array_get(params, 0), NULL,
                            "unknown monitor session");
    } else if (!json_same(m->id, new_id) && monitor_find(s, new_id)) {
        return error_syntax(new_id, NULL, "duplicate monitor ID");
    } else if (!json_is_object(requests)) {
        return error_syntax(NULL, NULL,
                            "monitor-cond-change-requests must be object");
    }

    feed = feed_clone(m->feed);
    error = parse_cond_changes(feed, requests);
    if (error) {
        feed_destroy(feed);
        return error;
    }
    set_id(m, new_id);
    change_feed(m, feed);
    return NULL;
}
