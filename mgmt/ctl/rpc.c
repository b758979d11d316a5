/* Questions to the two daemons: see rpc.h. */
#include <config.h>
#include "rpc.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon.h"
#include "dirs.h"
#include "jsonrpc.h"
#include "openvswitch/dynamic-string.h"
#include "openvswitch/json.h"
#include "openvswitch/poll-loop.h"
#include "openvswitch/shash.h"
#include "session.h"
#include "socket-util.h"
#include "stream.h"
#include "timeval.h"
#include "util.h"

/* How long to wait for an answer without --timeout, in ms. */
#define DEFAULT_TIMEOUT 5000

static long long int
timeout_msec(void)
{
    return settings.timeout ? settings.timeout * 1000LL : DEFAULT_TIMEOUT;
}

static struct jsonrpc *
open_stream(const char *name, const char *what, char **errorp)
{
    struct stream *stream;
    int error = stream_open_block(jsonrpc_stream_open(name, &stream,
                                                      DSCP_DEFAULT),
                                  timeout_msec(), &stream);

    *errorp = NULL;
    if (error) {
        *errorp = xasprintf("%s: cannot connect to %s (%s)",
                            what, name, ovs_strerror(error));
        return NULL;
    }
    return jsonrpc_open(stream);
}

/* Opens a connection to the database server, the first that answers of those
 * that --db lists.  Returns NULL and sets '*errorp' on failure. */
struct jsonrpc *
rpc_open_database(char **errorp)
{
    char *names = xstrdup(settings.db), *save_ptr = NULL;
    struct jsonrpc *rpc = NULL;

    *errorp = NULL;
    for (char *name = strtok_r(names, ",", &save_ptr); name && !rpc;
         name = strtok_r(NULL, ",", &save_ptr)) {
        free(*errorp);
        rpc = open_stream(name, "database", errorp);
    }
    free(names);
    return rpc;
}

/* Returns the process id of the switch that runs here, or a negative number.
 * Stores the name under which it runs in '*namep'. */
static int
find_switch(const char **namep)
{
    static const char *const names[] = { "sluice-vswitchd", "ovs-vswitchd" };

    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        char *file = xasprintf("%s/%s.pid", ovs_rundir(), names[i]);
        FILE *stream = fopen(file, "r");
        int pid = -1;

        free(file);
        if (!stream) {
            continue;
        }
        if (fscanf(stream, "%d", &pid) != 1) {
            pid = -1;
        }
        fclose(stream);
        if (pid > 0) {
            *namep = names[i];
            return pid;
        }
    }
    return -ENOENT;
}

/* Returns the process id of the switch that runs here, or a negative
 * number. */
int
rpc_switch_pid(void)
{
    const char *name;

    return find_switch(&name);
}

/* Opens a connection to the control socket of the switch that runs here.
 * Returns NULL and sets '*errorp' on failure. */
struct jsonrpc *
rpc_open_switch(char **errorp)
{
    const char *name;
    int pid = find_switch(&name);
    struct jsonrpc *rpc;
    char *path;

    if (pid < 0) {
        *errorp = xasprintf("switch: not running (no sluice-vswitchd.pid or "
                            "ovs-vswitchd.pid in %s)", ovs_rundir());
        return NULL;
    }
    path = xasprintf("unix:%s/%s.%d.ctl", ovs_rundir(), name, pid);
    rpc = open_stream(path, "switch", errorp);
    free(path);
    return rpc;
}

/* Calls 'method' with 'params', which is consumed.  Returns the result, which
 * the caller must free, or NULL and sets '*errorp'. */
struct json *
rpc_call(struct jsonrpc *rpc, const char *method, struct json *params,
         char **errorp)
{
    long long int deadline = time_msec() + timeout_msec();
    struct json *id, *result = NULL;
    int error = jsonrpc_send(rpc, jsonrpc_create_request(method, params, &id));

    *errorp = NULL;
    while (!error && !result && !*errorp) {
        struct jsonrpc_msg *msg;

        jsonrpc_run(rpc);
        error = jsonrpc_recv(rpc, &msg);
        if (!error) {
            if (msg->id && json_equal(msg->id, id)
                && msg->type == JSONRPC_REPLY) {
                result = json_clone(msg->result);
            } else if (msg->id && json_equal(msg->id, id)
                       && msg->type == JSONRPC_ERROR) {
                *errorp = json_to_text(msg->error);
            }
            jsonrpc_msg_destroy(msg);
        } else if (error == EAGAIN) {
            error = jsonrpc_get_status(rpc);
            if (!error && time_msec() >= deadline) {
                error = ETIMEDOUT;
            } else if (!error) {
                jsonrpc_wait(rpc);
                jsonrpc_recv_wait(rpc);
                poll_timer_wait_until(deadline);
                poll_block();
            }
        }
    }
    json_destroy(id);
    if (error) {
        *errorp = xasprintf("%s: no answer to %s (%s)", jsonrpc_get_name(rpc),
                            method, ovs_retval_to_string(error));
    }
    return result;
}

/* Returns the condition 'column' 'function' 'value', for rpc_select().  Takes
 * ownership of 'value'. */
struct json *
rpc_where(const char *column, const char *function, struct json *value)
{
    return json_array_create_1(
        json_array_create_3(json_string_create(column),
                            json_string_create(function), value));
}

/* Returns the rows of 'table' that satisfy 'where' (NULL: all), an array of
 * objects, or NULL and sets '*errorp'.  Takes ownership of 'where'.  The
 * caller must free the rows. */
struct json *
rpc_select(struct jsonrpc *rpc, const char *table, struct json *where,
           char **errorp)
{
    struct json *op = json_object_create();
    struct json *result, *rows = NULL;
    const struct json *found;

    json_object_put_string(op, "op", "select");
    json_object_put_string(op, "table", table);
    json_object_put(op, "where", where ? where : json_array_create_empty());
    result = rpc_call(rpc, "transact",
                      json_array_create_2(json_string_create("Open_vSwitch"),
                                          op), errorp);
    if (!result) {
        return NULL;
    }
    found = (result->type == JSON_ARRAY && result->array.n
             ? json_member(result->array.elems[0], "rows") : NULL);
    if (found && found->type == JSON_ARRAY) {
        rows = json_clone(found);
    } else {
        char *text = json_to_text(result);

        *errorp = xasprintf("database: cannot read table %s (%s)",
                            table, text);
        free(text);
    }
    json_destroy(result);
    return rows;
}

/* Returns the switch's answer, a JSON object, to 'command' with 'arg' (if
 * nonnull), or NULL and sets '*errorp'.  The caller must free the answer. */
struct json *
rpc_query(struct jsonrpc *rpc, const char *command, const char *arg,
          char **errorp)
{
    struct json *params = json_array_create_empty();
    struct json *result, *answer = NULL;

    if (arg) {
        json_array_add(params, json_string_create(arg));
    }
    json_array_add(params, json_string_create("--format=json"));
    result = rpc_call(rpc, command, params, errorp);
    if (!result) {
        return NULL;
    }
    if (result->type == JSON_STRING) {
        answer = json_from_string(json_string(result));
    }
    if (!answer || answer->type != JSON_OBJECT) {
        *errorp = xasprintf("switch: the answer to %s is no JSON object",
                            command);
        json_destroy(answer);
        answer = NULL;
    }
    json_destroy(result);
    return answer;
}

static bool
is_tagged(const struct json *json, const char *tag)
{
    return (json->type == JSON_ARRAY && json->array.n == 2
            && json->array.elems[0]->type == JSON_STRING
            && !strcmp(json_string(json->array.elems[0]), tag));
}

static struct json *
plain_map(const struct json *pairs)
{
    struct json *object = json_object_create();

    for (size_t i = 0; i < pairs->array.n; i++) {
        const struct json *pair = pairs->array.elems[i];

        if (pair->type == JSON_ARRAY && pair->array.n == 2) {
            struct json *key = rpc_plain(pair->array.elems[0]);
            char *name = json_to_text(key);

            json_object_put(object, name, rpc_plain(pair->array.elems[1]));
            free(name);
            json_destroy(key);
        }
    }
    return object;
}

/* Returns 'value', a value or row as the database has it, as everyone else
 * would write it in JSON: a map as an object, a set as an array (but a set of
 * one as its member), a UUID as a string.  The caller must free it. */
struct json *
rpc_plain(const struct json *value)
{
    if (value->type == JSON_OBJECT) {
        struct json *object = json_object_create();
        const struct shash_node *node;

        SHASH_FOR_EACH (node, json_object(value)) {
            json_object_put(object, node->name, rpc_plain(node->data));
        }
        return object;
    } else if (is_tagged(value, "uuid")) {
        return json_clone(value->array.elems[1]);
    } else if (is_tagged(value, "map")
               && value->array.elems[1]->type == JSON_ARRAY) {
        return plain_map(value->array.elems[1]);
    } else if (is_tagged(value, "set")
               && value->array.elems[1]->type == JSON_ARRAY) {
        const struct json *members = value->array.elems[1];
        struct json *array = json_array_create_empty();

        for (size_t i = 0; i < members->array.n; i++) {
            json_array_add(array, rpc_plain(members->array.elems[i]));
        }
        return array;
    }
    return json_clone(value);
}

/* Returns member 'name' of 'json', or NULL if it has none. */
const struct json *
json_member(const struct json *json, const char *name)
{
    return (json && json->type == JSON_OBJECT
            ? shash_find_data(json_object(json), name) : NULL);
}

/* Returns the string that is member 'name' of 'json', or 'otherwise'. */
const char *
json_string_or(const struct json *json, const char *name,
               const char *otherwise)
{
    const struct json *member = json_member(json, name);

    return (member && member->type == JSON_STRING ? json_string(member)
            : otherwise);
}

/* Returns the number that is member 'name' of 'json', or 0. */
double
json_number(const struct json *json, const char *name)
{
    const struct json *member = json_member(json, name);

    return (!member ? 0
            : member->type == JSON_INTEGER ? json_integer(member)
            : member->type == JSON_REAL ? json_real(member)
            : 0);
}

/* Returns true if member 'name' of 'json' is true. */
bool
json_flag(const struct json *json, const char *name)
{
    const struct json *member = json_member(json, name);

    return member && member->type == JSON_TRUE;
}

/* Returns 'json' as text for people: a string without quotes, anything else as
 * JSON.  The caller must free it. */
char *
json_to_text(const struct json *json)
{
    return (json->type == JSON_STRING ? xstrdup(json_string(json))
            : json_to_string(json, JSSF_SORT));
}
