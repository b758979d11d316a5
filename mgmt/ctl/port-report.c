/* "port": everything about one port on one screen: what is configured, what
 * the switch says about it, its queues, its flows and what was dropped. */
#include <config.h>
#include "tools.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "db-ctl-base.h"
#include "jsonrpc.h"
#include "openvswitch/json.h"
#include "openvswitch/shash.h"
#include "report.h"
#include "rpc.h"
#include "util.h"

/* Returns the only row that 'where' selects from 'table', NULL if there is
 * none.  The caller must free it. */
static struct json *
select_one(struct jsonrpc *db, const char *table, struct json *where)
{
    char *error;
    struct json *rows = rpc_select(db, table, where, &error);
    struct json *row;

    if (!rows) {
        ctl_fatal("%s", error);
    }
    row = rows->array.n ? json_clone(rows->array.elems[0]) : NULL;
    json_destroy(rows);
    return row;
}

static struct json *
by_name(struct jsonrpc *db, const char *table, const char *name)
{
    return select_one(db, table,
                      rpc_where("name", "==", json_string_create(name)));
}

/* Returns the row of 'table' whose 'column' has 'row'. */
static struct json *
holder_of(struct jsonrpc *db, const char *table, const char *column,
          const struct json *row)
{
    return select_one(db, table,
                      rpc_where(column, "includes",
                                json_clone(json_member(row, "_uuid"))));
}

/* Returns the rows of 'table' to which 'refs', a set of UUIDs, refers. */
static struct json *
rows_of(struct jsonrpc *db, const char *table, const struct json *refs)
{
    struct json *uuids = rpc_plain(refs);
    struct json *rows = json_array_create_empty();

    if (uuids->type == JSON_STRING) {
        uuids = json_array_create_1(uuids);
    }
    for (size_t i = 0; i < json_length(uuids); i++) {
        struct json *uuid = json_array_create_2(
            json_string_create("uuid"), json_clone(uuids->array.elems[i]));
        struct json *row = select_one(db, table,
                                      rpc_where("_uuid", "==", uuid));

        if (row) {
            json_array_add(rows, rpc_plain(row));
            json_destroy(row);
        }
    }
    json_destroy(uuids);
    return rows;
}

/* Adds what the database knows about port (or interface) 'name' to
 * 'report'. */
static void
add_configuration(struct json *report, const char *name)
{
    char *error;
    struct jsonrpc *db = rpc_open_database(&error);
    struct json *port, *bridge;

    if (!db) {
        ctl_fatal("%s", error);
    }
    port = by_name(db, "Port", name);
    if (!port) {
        struct json *iface = by_name(db, "Interface", name);

        port = iface ? holder_of(db, "Port", "interfaces", iface) : NULL;
        json_destroy(iface);
    }
    if (!port) {
        ctl_fatal("no port named %s", name);
    }
    bridge = holder_of(db, "Bridge", "ports", port);
    json_object_put_string(report, "bridge",
                           json_string_or(bridge, "name", ""));
    json_object_put(report, "port", rpc_plain(port));
    json_object_put(report, "interfaces",
                    rows_of(db, "Interface", json_member(port,
                                                         "interfaces")));
    json_destroy(bridge);
    json_destroy(port);
    jsonrpc_close(db);
}

/* Adds 'answer', from the switch, to 'report' as 'name', or, if it is NULL,
 * the reason in 'error' as "unavailable".  Takes ownership of 'answer' and
 * 'error'. */
static void
add_answer(struct json *report, const char *name, struct json *answer,
           char *error)
{
    const struct json *list = json_member(answer, name);

    if (answer) {
        json_object_put(report, name, json_clone(list ? list : answer));
        json_destroy(answer);
    } else {
        json_object_put(report, "unavailable",
                        json_string_create_nocopy(error));
    }
}

/* Adds to 'report' what the switch knows. */
static void
add_state(struct json *report, const char *name)
{
    char *error;
    struct jsonrpc *sw = rpc_open_switch(&error);

    if (!sw) {
        add_answer(report, "", NULL, error);
        return;
    }
    add_answer(report, "queues",
               rpc_query(sw, "sluice/queues", name, &error), error);
    add_answer(report, "flows",
               rpc_query(sw, "sluice/flows", name, &error), error);
    add_answer(report, "drops", ask_drops(sw, name, &error), error);
    jsonrpc_close(sw);
}

/* Is 'json' a value that says nothing? */
static bool
is_empty(const struct json *json)
{
    switch (json->type) {
    case JSON_STRING:
        return !json_string(json)[0];
    case JSON_ARRAY:
        return !json->array.n;
    case JSON_OBJECT:
        return shash_is_empty(json_object(json));
    case JSON_FALSE:
    case JSON_NULL:
        return true;
    case JSON_INTEGER:
        return !json_integer(json);
    default:
        return false;
    }
}

/* Prints 'columns' of 'row', those with something in them, 'indent' to the
 * right; maps have a line for each key. */
static void
print_columns(const struct json *row, const char *const columns[], int indent)
{
    for (size_t i = 0; columns[i]; i++) {
        const struct json *value = json_member(row, columns[i]);
        char *s;

        if (!value || is_empty(value)) {
            continue;
        }
        if (value->type == JSON_OBJECT) {
            const struct shash_node **nodes = shash_sort(json_object(value));

            for (size_t j = 0; j < shash_count(json_object(value)); j++) {
                if (is_empty(nodes[j]->data)) {
                    continue;
                }
                s = json_to_text(nodes[j]->data);
                printf("%*s%s:%s = %s\n", indent, "", columns[i],
                       nodes[j]->name, s);
                free(s);
            }
            free(nodes);
        } else {
            s = json_to_text(value);
            printf("%*s%s = %s\n", indent, "", columns[i], s);
            free(s);
        }
    }
}

/* Prints those counters of map "statistics" that have counted something, side
 * by side. */
static void
print_statistics(const struct json *iface)
{
    const struct json *statistics = json_member(iface, "statistics");
    const struct shash_node **nodes;
    size_t n = 0;

    if (!statistics || statistics->type != JSON_OBJECT) {
        return;
    }
    nodes = shash_sort(json_object(statistics));
    for (size_t i = 0; i < shash_count(json_object(statistics)); i++) {
        if (!is_empty(nodes[i]->data)) {
            char *s = json_to_text(nodes[i]->data);

            printf("%s%-24s %14s", n % 2 ? "   " : "    ", nodes[i]->name, s);
            n++;
            fputs(n % 2 ? "" : "\n", stdout);
            free(s);
        }
    }
    fputs(n % 2 ? "\n" : "", stdout);
    free(nodes);
}

static void
print_queues(const struct json *queues)
{
    if (!json_length(queues)) {
        return;
    }
    printf("\n%-6s %-3s %-8s %8s %8s %8s %8s %8s %8s %8s\n", "QUEUE", "DIR",
           "STATE", "PACKETS", "BYTES", "KICKS", "CALLS", "NO BUF", "DROPPED",
           "BAD");
    for (size_t i = 0; i < queues->array.n; i++) {
        const struct json *q = queues->array.elems[i];
        char *packets = format_rate(json_number(q, "packets"));
        char *bytes = format_rate(json_number(q, "bytes"));

        printf("%-6.0f %-3s %-8s %8s %8s %8.0f %8.0f %8.0f %8.0f %8.0f\n",
               json_number(q, "queue"), json_string_or(q, "direction", "-"),
               (json_flag(q, "broken") ? "broken"
                : json_flag(q, "enabled") ? "enabled"
                : "disabled"),
               packets, bytes, json_number(q, "kicks"),
               json_number(q, "calls"), json_number(q, "no_buffers"),
               json_number(q, "dropped"), json_number(q, "bad_chains"));
        free(packets);
        free(bytes);
    }
}

static void
print_flows(const struct json *flows)
{
    enum { MAX_FLOWS = 20 };
    size_t n = json_length(flows);

    if (n) {
        printf("\nFlows (%"PRIuSIZE"):\n", n);
    }
    for (size_t i = 0; i < n && i < MAX_FLOWS; i++) {
        const struct json *flow = flows->array.elems[i];

        printf("  %s, packets:%.0f, bytes:%.0f, actions:%s\n",
               json_string_or(flow, "match", ""),
               json_number(flow, "packets"), json_number(flow, "bytes"),
               json_string_or(flow, "actions", ""));
    }
    if (n > MAX_FLOWS) {
        printf("  and %"PRIuSIZE" more\n", n - MAX_FLOWS);
    }
}

static void
print_report(const struct json *report)
{
    static const char *const port_columns[] = {
        "vlan_mode", "tag", "trunks", "cvlans", "qos", "bond_mode",
        "bond_active_slave", "lacp", "protected", "external_ids",
        "other_config", "status", NULL
    };
    static const char *const iface_columns[] = {
        "type", "ofport", "error", "admin_state", "link_state", "link_speed",
        "mac", "mac_in_use", "mtu", "ingress_policing_rate",
        "ingress_policing_burst", "options", "external_ids", "other_config",
        "status", NULL
    };
    const struct json *port = json_member(report, "port");
    const struct json *ifaces = json_member(report, "interfaces");
    const struct json *drops = json_member(report, "drops");

    printf("port %s on bridge %s\n", json_string_or(port, "name", "?"),
           json_string_or(report, "bridge", "?"));
    print_columns(port, port_columns, 2);
    for (size_t i = 0; i < json_length(ifaces); i++) {
        const struct json *iface = ifaces->array.elems[i];

        printf("  interface %s\n", json_string_or(iface, "name", "?"));
        print_columns(iface, iface_columns, 4);
        print_statistics(iface);
    }
    print_queues(json_member(report, "queues"));
    print_flows(json_member(report, "flows"));
    if (drops) {
        putchar('\n');
        print_drops(drops);
    }
    if (json_member(report, "unavailable")) {
        printf("\nnot available: %s\n",
               json_string_or(report, "unavailable", ""));
    }
}

int
tool_port(const struct tool_args *args)
{
    struct json *report = json_object_create();

    add_configuration(report, args->argv[0]);
    add_state(report, args->argv[0]);
    if (args->json) {
        print_json_line(report);
    } else {
        print_report(report);
    }
    json_destroy(report);
    return EXIT_SUCCESS;
}
