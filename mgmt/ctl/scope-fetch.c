/* Fetching the rows in a scope, and what is around them: see scope.h. */
#include <config.h>
#include "scope.h"

#include "openvswitch/poll-loop.h"
#include "ovsdb-condition.h"
#include "ovsdb-data.h"
#include "ovsdb-idl-provider.h"
#include "scope-private.h"
#include "session.h"
#include "timeval.h"
#include "util.h"

/* A server without conditional monitoring (older than Open vSwitch 2.6, or
 * told so for a test) never acknowledges a change of conditions.  One that
 * takes longer than this, in ms, is taken for such a server, and everything is
 * fetched; being wrong about that costs time only. */
#define ACKNOWLEDGE_TIME 2000

/* With more ports than this to find bridges for, fetching everything beats a
 * round trip for each. */
#define MAX_LOCATED 64

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

/* Extends the conditions to the ports of the interfaces and the interfaces of
 * the ports that are there, and waits for the rows. */
static bool
fetch_neighbours(struct scope *scope, struct ovsdb_idl *idl)
{
    const struct ovsrec_interface *iface;
    const struct ovsrec_port *port;
    unsigned int ports_seqno, ifaces_seqno;

    OVSREC_INTERFACE_FOR_EACH (iface, idl) {
        scope_need_uuid(scope, &ovsrec_table_port, &ovsrec_port_col_interfaces,
                        &iface->header_.uuid);
    }
    OVSREC_PORT_FOR_EACH (port, idl) {
        const struct ovsdb_datum *ifaces
            = ovsdb_idl_read(&port->header_, &ovsrec_port_col_interfaces);

        for (size_t i = 0; i < ifaces->n; i++) {
            scope_need_uuid(scope, &ovsrec_table_interface, &scope_uuid_column,
                            &ifaces->keys[i].uuid);
        }
    }
    ports_seqno = apply_table(scope, idl, &ovsrec_table_port);
    ifaces_seqno = apply_table(scope, idl, &ovsrec_table_interface);
    return await_rows(idl, ports_seqno) && await_rows(idl, ifaces_seqno);
}

/* Notes which bridges have 'port'. */
static bool
locate_port(struct scope *scope, struct ovsdb_idl *idl,
            const struct uuid *port)
{
    struct ovsdb_idl_condition condition;
    const struct ovsrec_bridge *br;
    struct uuid *ports[] = { CONST_CAST(struct uuid *, port) };
    unsigned int seqno;

    ovsdb_idl_condition_init(&condition);
    ovsrec_bridge_add_clause_ports(&condition, OVSDB_F_INCLUDES, ports, 1);
    seqno = ovsdb_idl_set_condition(idl, &ovsrec_table_bridge, &condition);
    ovsdb_idl_condition_destroy(&condition);
    if (!await_rows(idl, seqno)) {
        return false;
    }

    OVSREC_BRIDGE_FOR_EACH (br, idl) {
        struct located *l = xmalloc(sizeof *l);

        l->port = *port;
        l->bridge = br->header_.uuid;
        hmap_insert(&scope->located, &l->node, uuid_hash(port));
        scope_need_uuid(scope, &ovsrec_table_bridge, &scope_uuid_column,
                        &br->header_.uuid);
    }
    return true;
}

/* Finds the bridges of all ports that are there. */
static bool
locate_ports(struct scope *scope, struct ovsdb_idl *idl)
{
    const struct ovsrec_port *port;
    struct uuid *ports;
    size_t n = 0;
    bool ok = true;

    OVSREC_PORT_FOR_EACH (port, idl) {
        n++;
    }
    if (n > MAX_LOCATED) {
        return false;
    }

    ports = xmalloc(n * sizeof *ports);
    n = 0;
    OVSREC_PORT_FOR_EACH (port, idl) {
        ports[n++] = port->header_.uuid;
    }
    for (size_t i = 0; ok && i < n; i++) {
        ok = locate_port(scope, idl, &ports[i]);
    }
    free(ports);
    return ok && await_rows(idl, apply_table(scope, idl,
                                             &ovsrec_table_bridge));
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
        scope_forget_located(scope);
        if (!fetch_neighbours(scope, idl)
            || !fetch_neighbours(scope, idl)
            || !locate_ports(scope, idl)) {
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
