/* "watch": prints changes of the database as they happen, one line each: what
 * came, what went, and what was what before.
 *
 * All tables are watched, or those named, in all columns but "statistics",
 * which changes all the time; name a table as TABLE:statistics to see that
 * too. */
#include <config.h>
#include "tools.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>

#include "db-ctl-base.h"
#include "jsonrpc.h"
#include "openvswitch/json.h"
#include "openvswitch/poll-loop.h"
#include "openvswitch/shash.h"
#include "report.h"
#include "rpc.h"
#include "util.h"

struct watch {
    bool json;
    unsigned int left;          /* Changes to print; 0: no limit. */
    bool limited;
};

/* Is 'table' among the names that the user gave?  Sets '*statistics' if its
 * statistics are wanted. */
static bool
is_wanted(const struct tool_args *args, const char *table, bool *statistics)
{
    bool wanted = !args->argc;

    *statistics = false;
    for (int i = 0; i < args->argc; i++) {
        const char *name = args->argv[i];
        size_t n = strcspn(name, ":");

        if (strlen(table) == n && !strncasecmp(name, table, n)) {
            wanted = true;
            *statistics |= !strcmp(&name[n], ":statistics");
        }
    }
    return wanted;
}

/* Returns the request for 'table', described by 'schema'. */
static struct json *
table_request(const struct json *schema, bool statistics)
{
    const struct json *columns = json_member(schema, "columns");
    struct json *names = json_array_create_empty();
    struct json *request = json_object_create();
    struct json *select = json_object_create();
    const struct shash_node *node;

    if (columns) {
        SHASH_FOR_EACH (node, json_object(columns)) {
            if (statistics || strcmp(node->name, "statistics")) {
                json_array_add(names, json_string_create(node->name));
            }
        }
    }
    json_object_put(select, "initial", json_boolean_create(false));
    json_object_put(request, "columns", names);
    json_object_put(request, "select", select);
    return request;
}

static void
start(struct jsonrpc *db, const struct tool_args *args)
{
    struct json *requests = json_object_create();
    struct json *schema, *reply;
    const struct json *tables;
    const struct shash_node *node;
    char *error;

    schema = rpc_call(db, "get_schema",
                      json_array_create_1(json_string_create("Open_vSwitch")),
                      &error);
    if (!schema) {
        ctl_fatal("%s", error);
    }
    tables = json_member(schema, "tables");
    if (tables && tables->type == JSON_OBJECT) {
        SHASH_FOR_EACH (node, json_object(tables)) {
            bool statistics;

            if (is_wanted(args, node->name, &statistics)) {
                json_object_put(requests, node->name,
                                table_request(node->data, statistics));
            }
        }
    }
    if (shash_is_empty(json_object(requests))) {
        ctl_fatal("the database has none of these tables");
    }
    json_destroy(schema);

    reply = rpc_call(db, "monitor",
                     json_array_create_3(json_string_create("Open_vSwitch"),
                                         json_string_create("watch"),
                                         requests), &error);
    if (!reply) {
        ctl_fatal("%s", error);
    }
    json_destroy(reply);
}

/* Returns the name by which people know a row of which 'row' has columns;
 * 'uuid' is what is left. */
static const char *
row_name(const struct json *row, const char *uuid)
{
    return json_string_or(row, "name", json_string_or(row, "target", uuid));
}

static void
print_time(void)
{
    struct timeval tv;
    char text[32] = "";
    struct tm tm;

    gettimeofday(&tv, NULL);
    if (localtime_r(&tv.tv_sec, &tm)) {
        strftime(text, sizeof text, "%H:%M:%S", &tm);
    }
    printf("%s.%03ld ", text, (long int) tv.tv_usec / 1000);
}

/* Prints the columns of a row that came or went, but for empty ones. */
static void
print_row(const struct json *row)
{
    const struct shash_node **nodes = shash_sort(json_object(row));

    for (size_t i = 0; i < shash_count(json_object(row)); i++) {
        struct json *value = rpc_plain(nodes[i]->data);
        char *s = json_to_string(value, JSSF_SORT);

        if (strcmp(s, "[]") && strcmp(s, "{}") && strcmp(s, "\"\"")
            && strcmp(s, "false") && strcmp(nodes[i]->name, "name")) {
            printf(" %s=%s", nodes[i]->name, s);
        }
        free(s);
        json_destroy(value);
    }
    free(nodes);
}

static void
print_modification(const struct json *old, const struct json *new)
{
    const struct shash_node **nodes = shash_sort(json_object(old));
    const char *separator = ": ";

    for (size_t i = 0; i < shash_count(json_object(old)); i++) {
        const struct json *now = json_member(new, nodes[i]->name);
        struct json *a = rpc_plain(nodes[i]->data);
        struct json *b = now ? rpc_plain(now) : json_null_create();
        char *as = json_to_string(a, JSSF_SORT);
        char *bs = json_to_string(b, JSSF_SORT);

        printf("%s%s %s -> %s", separator, nodes[i]->name, as, bs);
        separator = ", ";
        free(as);
        free(bs);
        json_destroy(a);
        json_destroy(b);
    }
    free(nodes);
}

static void
print_change(const char *table, const char *uuid, const struct json *old,
             const struct json *new)
{
    print_time();
    if (!old) {
        printf("+ %s %s:", table, row_name(new, uuid));
        print_row(new);
    } else if (!new) {
        printf("- %s %s", table, row_name(old, uuid));
    } else {
        printf("  %s %s", table, row_name(new, uuid));
        print_modification(old, new);
    }
    putchar('\n');
    fflush(stdout);
}

static void
print_json_change(const char *table, const char *uuid, const struct json *old,
                  const struct json *new)
{
    struct json *json = json_object_create();
    struct timeval tv;

    gettimeofday(&tv, NULL);
    json_object_put(json, "time", json_integer_create(tv.tv_sec * 1000LL
                                                      + tv.tv_usec / 1000));
    json_object_put_string(json, "table", table);
    json_object_put_string(json, "uuid", uuid);
    json_object_put_string(json, "name", row_name(new ? new : old, uuid));
    if (old) {
        json_object_put(json, "old", rpc_plain(old));
    }
    if (new) {
        json_object_put(json, "new", rpc_plain(new));
    }
    print_json_line(json);
    json_destroy(json);
}

/* Prints the changes in 'updates'.  Returns false when enough are printed. */
static bool
print_updates(struct watch *watch, const struct json *updates)
{
    const struct shash_node *t, *r;

    if (updates->type != JSON_OBJECT) {
        return true;
    }
    SHASH_FOR_EACH (t, json_object(updates)) {
        const struct json *rows = t->data;

        if (rows->type != JSON_OBJECT) {
            continue;
        }
        SHASH_FOR_EACH (r, json_object(rows)) {
            const struct json *old = json_member(r->data, "old");
            const struct json *new = json_member(r->data, "new");

            if ((!old && !new) || (old && old->type != JSON_OBJECT)
                || (new && new->type != JSON_OBJECT)) {
                continue;
            }
            (watch->json ? print_json_change : print_change)(
                t->name, r->name, old, new);
            if (watch->limited && !--watch->left) {
                return false;
            }
        }
    }
    return true;
}

static bool
handle_message(struct watch *watch, struct jsonrpc *db,
               const struct jsonrpc_msg *msg)
{
    if (msg->type == JSONRPC_REQUEST && !strcmp(msg->method, "echo")) {
        jsonrpc_send(db, jsonrpc_create_reply(json_clone(msg->params),
                                              msg->id));
    } else if (msg->type == JSONRPC_NOTIFY && !strcmp(msg->method, "update")
               && json_length(msg->params) == 2) {
        return print_updates(watch, msg->params->array.elems[1]);
    }
    return true;
}

int
tool_watch(const struct tool_args *args)
{
    struct watch watch = {
        .json = args->json,
        .left = args->count,
        .limited = args->count > 0,
    };
    bool more = true;
    char *error;
    struct jsonrpc *db = rpc_open_database(&error);

    if (!db) {
        ctl_fatal("%s", error);
    }
    start(db, args);
    while (more) {
        struct jsonrpc_msg *msg;
        int retval;

        jsonrpc_run(db);
        retval = jsonrpc_recv(db, &msg);
        if (!retval) {
            more = handle_message(&watch, db, msg);
            jsonrpc_msg_destroy(msg);
        } else if (retval == EAGAIN) {
            jsonrpc_wait(db);
            jsonrpc_recv_wait(db);
            poll_block();
        } else {
            ctl_fatal("%s: database connection failed (%s)",
                      jsonrpc_get_name(db), ovs_retval_to_string(retval));
        }
    }
    jsonrpc_close(db);
    return EXIT_SUCCESS;
}
