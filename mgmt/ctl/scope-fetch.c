/* Fetching the rows in a scope, and what is around them: see scope.h. */
#include <config.h>
#include "scope.h"

#include "openvswitch/json.h"
#include "openvswitch/poll-loop.h"
#include "ovsdb-data.h"
#include "ovsdb-idl-provider.h"
#include "report.h"
#include "rpc.h"
#include "scope-private.h"
#include "session.h"
#include "timeval.h"
#include "util.h"

/* A server without conditional monitoring (older than Open vSwitch 2.6, or
 * told so for a test) never acknowledges a change of conditions.  One that
 * takes longer than this, in ms, is taken for such a server, and everything is
 * fetched; being wrong about that costs time only. */
#define ACKNOWLEDGE_TIME 2000

static unsigned int
apply_table(struct scope *scope, struct ovsdb_idl *idl,
            const struct ovsdb_idl_table_class *table)
{
    const struct row_set *rows = scope_rows(scope, table);
    struct ovsdb_idl_condition all;
    unsigned int seqno;

    if (!rows->whole) {
        return ovsdb_idl_set_condition(idl, table, &rows->condition);
    }
    ovsdb_idl_condition_init(&all);
    ovsdb_idl_condition_add_clause_true(&all);
    seqno = ovsdb_idl_set_condition(idl, table, &all);
    ovsdb_idl_condition_destroy(&all);
    return seqno;
}

/* Tells 'idl' which rows to fetch, and if it is to fetch everything, the
 * column without which everything makes no topology.  To be called before it
 * connects. */
void
scope_apply(struct scope *scope, struct ovsdb_idl *idl)
{
    if (scope->everything) {
        ovsdb_idl_add_column(idl, &ovsrec_bridge_col_ports);
    }
    for (size_t i = 0; i < OVSREC_N_TABLES; i++) {
        apply_table(scope, idl, &ovsrec_table_classes[i]);
    }
}

/* Waits until 'idl' holds what the condition asked for that 'seqno' stands
 * for.  Returns false if the server doesn't acknowledge it. */
static bool
await_rows(struct ovsdb_idl *idl, unsigned int seqno)
{
    long long int deadline = time_msec() + ACKNOWLEDGE_TIME;

    for (;;) {
        ovsdb_idl_run(idl);
        session_check_alive(idl);
        if ((int) (ovsdb_idl_get_condition_seqno(idl) - seqno) >= 0) {
            return true;
        } else if (time_msec() >= deadline) {
            return false;
        }
        ovsdb_idl_wait(idl);
        poll_timer_wait_until(deadline);
        poll_block();
    }
}

static const struct located *
find_located(const struct scope *scope, const struct uuid *port)
{
    const struct located *l;

    HMAP_FOR_EACH_WITH_HASH (l, node, uuid_hash(port), &scope->located) {
        if (uuid_equals(&l->port, port)) {
            return l;
        }
    }
    return NULL;
}

/* Questions to the database whose answers tell which further rows to fetch, in
 * one transaction: "select" operations, and what each is about. */
struct inquiry {
    struct json *ops;           /* Parameters of "transact". */
    struct uuid *subjects;      /* For each operation. */
    size_t n, allocated;
};

static void
inquiry_init(struct inquiry *q)
{
    q->ops = json_array_create_1(json_string_create("Open_vSwitch"));
    q->subjects = NULL;
    q->n = q->allocated = 0;
}

static struct json *
uuid_to_json(const struct uuid *uuid)
{
    return json_array_create_2(
        json_string_create("uuid"),
        json_string_create_nocopy(xasprintf(UUID_FMT, UUID_ARGS(uuid))));
}

/* Asks for the rows of 'table' whose 'column' is or has 'uuid'. */
static void
inquire(struct inquiry *q, const char *table, const char *column,
        const char *function, const struct uuid *uuid)
{
    struct json *op = json_object_create();

    json_object_put_string(op, "op", "select");
    json_object_put_string(op, "table", table);
    json_object_put(op, "where", rpc_where(column, function,
                                           uuid_to_json(uuid)));
    json_object_put(op, "columns",
                    json_array_create_2(json_string_create("_uuid"),
                                        json_string_create("name")));
    json_array_add(q->ops, op);
    if (q->n >= q->allocated) {
        q->subjects = x2nrealloc(q->subjects, &q->allocated,
                                 sizeof *q->subjects);
    }
    q->subjects[q->n++] = *uuid;
}

/* Sends the questions and destroys 'q'.  Calls 'answer' for each row that comes
 * back, with what the question was about.  Returns false on failure. */
static bool
inquiry_send(struct inquiry *q, struct scope *scope,
             void (*answer)(struct scope *, const struct uuid *subject,
                            const struct json *row))
{
    struct json *results;
    char *error;
    bool ok;

    if (!scope->connection) {
        scope->connection = rpc_open_database(&error);
        free(error);
    }
    if (!scope->connection) {
        json_destroy(q->ops);
        free(q->subjects);
        return false;
    }
    results = rpc_call(scope->connection, "transact", q->ops, &error);
    free(error);
    ok = results && json_length(results) == q->n;
    for (size_t i = 0; ok && i < q->n; i++) {
        const struct json *rows = json_member(results->array.elems[i],
                                              "rows");

        for (size_t j = 0; j < json_length(rows); j++) {
            answer(scope, &q->subjects[i], rows->array.elems[j]);
        }
    }
    json_destroy(results);
    free(q->subjects);
    return ok;
}

static void
need_port(struct scope *scope, const struct uuid *iface OVS_UNUSED,
          const struct json *row)
{
    scope_need_named(scope, &ovsrec_table_port, &ovsrec_port_col_name,
                     json_string_or(row, "name", ""));
}

static void
need_iface(struct scope *scope, const struct uuid *iface OVS_UNUSED,
           const struct json *row)
{
    scope_need_named(scope, &ovsrec_table_interface,
                     &ovsrec_interface_col_name,
                     json_string_or(row, "name", ""));
}

/* Notes that the bridge in 'row' has 'port'. */
static void
note_bridge(struct scope *scope, const struct uuid *port,
            const struct json *row)
{
    struct json *plain = rpc_plain(row);
    struct uuid bridge;

    if (uuid_from_string(&bridge, json_string_or(plain, "_uuid", ""))) {
        struct located *l = xmalloc(sizeof *l);

        l->port = *port;
        l->bridge = bridge;
        hmap_insert(&scope->located, &l->node, uuid_hash(port));
        scope_need_named(scope, &ovsrec_table_bridge, &ovsrec_bridge_col_name,
                         json_string_or(row, "name", ""));
    }
    json_destroy(plain);
}

/* Fetches the ports of the interfaces that are there. */
static bool
fetch_ports(struct scope *scope, struct ovsdb_idl *idl)
{
    const struct ovsrec_interface *iface;
    struct inquiry q;

    inquiry_init(&q);
    OVSREC_INTERFACE_FOR_EACH (iface, idl) {
        inquire(&q, "Port", "interfaces", "includes", &iface->header_.uuid);
    }
    return (inquiry_send(&q, scope, need_port)
            && await_rows(idl, apply_table(scope, idl, &ovsrec_table_port)));
}

/* Fetches the interfaces of the ports that are there. */
static bool
fetch_ifaces(struct scope *scope, struct ovsdb_idl *idl)
{
    const struct ovsrec_port *port;
    struct inquiry q;

    inquiry_init(&q);
    OVSREC_PORT_FOR_EACH (port, idl) {
        const struct ovsdb_datum *ifaces
            = ovsdb_idl_read(&port->header_, &ovsrec_port_col_interfaces);

        for (size_t i = 0; i < ifaces->n; i++) {
            inquire(&q, "Interface", "_uuid", "==", &ifaces->keys[i].uuid);
        }
    }
    return (inquiry_send(&q, scope, need_iface)
            && await_rows(idl, apply_table(scope, idl,
                                           &ovsrec_table_interface)));
}

/* Finds and fetches the bridges of the ports that are there. */
static bool
fetch_bridges(struct scope *scope, struct ovsdb_idl *idl)
{
    const struct ovsrec_port *port;
    struct inquiry q;

    scope_forget_located(scope);
    inquiry_init(&q);
    OVSREC_PORT_FOR_EACH (port, idl) {
        inquire(&q, "Bridge", "ports", "includes", &port->header_.uuid);
    }
    return (inquiry_send(&q, scope, note_bridge)
            && await_rows(idl, apply_table(scope, idl,
                                           &ovsrec_table_bridge)));
}

/* Gives 'br', whose "ports" column isn't monitored, 'port' as a member of the
 * set.  The IDL has no interface for this: we put the value where an update
 * from the server would have put it. */
static void
add_known_port(const struct ovsrec_bridge *br, const struct uuid *port)
{
    const struct ovsdb_idl_column *column = &ovsrec_bridge_col_ports;
    struct ovsdb_idl_row *row = CONST_CAST(struct ovsdb_idl_row *,
                                           &br->header_);
    struct ovsdb_datum *ports
        = &row->old_datum[column - row->table->class_->columns];
    union ovsdb_atom atom = { .uuid = *port };
    struct ovsdb_datum member = { .n = 1, .keys = &atom };

    column->unparse(row);
    ovsdb_datum_union(ports, &member, &column->type);
    column->parse(row, ports);
}

static bool
all_ports_located(const struct scope *scope, const struct ovsdb_idl *idl)
{
    const struct ovsrec_port *port;

    OVSREC_PORT_FOR_EACH (port, idl) {
        if (!find_located(scope, &port->header_.uuid)) {
            return false;
        }
    }
    return true;
}

/* Fetches what else the commands need, given the rows that the conditions so
 * far have brought.  To be called whenever 'idl' has changed, outside a
 * transaction.  Returns false if the commands need a scope of everything. */
bool
scope_resolve(struct scope *scope, struct ovsdb_idl *idl)
{
    const struct located *l;

    if (!scope->partial
        || (!ovsrec_port_first(idl) && !ovsrec_interface_first(idl))) {
        return true;
    }

    /* Once, unless ports come and go meanwhile. */
    for (int i = 0; i < 3; i++) {
        if (!fetch_ports(scope, idl) || !fetch_ifaces(scope, idl)
            || !fetch_bridges(scope, idl)) {
            return false;
        }
        if (all_ports_located(scope, idl)) {
            break;
        }
    }

    HMAP_FOR_EACH (l, node, &scope->located) {
        const struct ovsrec_bridge *br
            = ovsrec_bridge_get_for_uuid(idl, &l->bridge);

        if (br) {
            add_known_port(br, &l->port);
        }
    }
    return true;
}
