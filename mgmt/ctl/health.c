/* "health": is all well?  One line, and an exit status for monitoring:
 *
 *   0: yes;
 *   1: the database or the switch doesn't answer;
 *   2: both answer, but a service thread of the switch has stopped, or the
 *      switch is behind the configuration.
 *
 * The main loop of the switch answers the question about the threads, so the
 * time that takes is the main loop's pulse.  A service thread that has nothing
 * to do sleeps and has no pulse to speak of; the switch says so. */
#include <config.h>
#include "tools.h"

#include <stdio.h>
#include <stdlib.h>

#include "jsonrpc.h"
#include "openvswitch/json.h"
#include "report.h"
#include "rpc.h"
#include "timeval.h"
#include "util.h"

/* A service thread whose heart hasn't beaten for longer, in ms, is stuck. */
#define MAX_HEARTBEAT_AGE 2000

struct health {
    int status;                 /* The program's exit status. */
    struct json *problems;      /* Array of strings. */
    struct json *facts;         /* Object: what was measured. */
};

static void
problem(struct health *health, int status, char *text)
{
    health->status = (!health->status ? status
                      : MIN(health->status, status));
    json_array_add(health->problems, json_string_create_nocopy(text));
}

static double
elapsed(long long int since)
{
    return (time_usec() - since) / 1000.0;
}

static void
check_database(struct health *health)
{
    long long int start = time_usec();
    struct json *rows = NULL;
    struct jsonrpc *rpc;
    char *error;

    rpc = rpc_open_database(&error);
    if (rpc) {
        rows = rpc_select(rpc, "Open_vSwitch", NULL, &error);
        jsonrpc_close(rpc);
    }
    if (!rows) {
        problem(health, 1, error);
        return;
    }
    json_object_put(health->facts, "database_ms",
                    json_real_create(elapsed(start)));
    if (!rows->array.n) {
        problem(health, 2, xstrdup("database: empty; \"sluice-ctl init\" "
                                   "initializes it"));
    } else {
        const struct json *ovs = rows->array.elems[0];
        double behind = json_number(ovs, "next_cfg")
                        - json_number(ovs, "cur_cfg");

        json_object_put(health->facts, "configurations_behind",
                        json_integer_create(behind));
        if (behind > 0) {
            problem(health, 2,
                    xasprintf("switch: %.0f configuration change(s) behind",
                              behind));
        }
    }
    json_destroy(rows);
}

static void
check_threads(struct health *health, const struct json *answer)
{
    const struct json *threads = json_member(answer, "threads");
    double now = json_number(answer, "now");
    size_t n = json_length(threads);

    json_object_put(health->facts, "threads", json_integer_create(n));
    for (size_t i = 0; i < n; i++) {
        const struct json *thread = threads->array.elems[i];
        double age = now - json_number(thread, "beat");

        if (!json_flag(thread, "asleep") && age > MAX_HEARTBEAT_AGE) {
            problem(health, 2,
                    xasprintf("thread %s: no heartbeat for %.1f s",
                              json_string_or(thread, "name", "?"),
                              age / 1000));
        }
    }
}

static void
check_switch(struct health *health)
{
    long long int start = time_usec();
    struct json *answer = NULL;
    struct jsonrpc *rpc;
    char *error;

    rpc = rpc_open_switch(&error);
    if (rpc) {
        answer = rpc_query(rpc, "sluice/threads", NULL, &error);
        if (!answer && strstr(error, "is not a valid command")) {
            /* Another switch, which has a pulse all the same. */
            free(error);
            answer = rpc_call(rpc, "version", json_array_create_empty(),
                              &error);
        }
        jsonrpc_close(rpc);
    }
    if (!answer) {
        problem(health, 1, error);
        return;
    }
    json_object_put(health->facts, "main_loop_ms",
                    json_real_create(elapsed(start)));
    if (answer->type == JSON_OBJECT) {
        check_threads(health, answer);
    }
    json_destroy(answer);
}

static void
print_json(const struct health *health)
{
    static const char *const words[] = { "ok", "failed", "impaired" };

    json_object_put_string(health->facts, "status", words[health->status]);
    json_object_put(health->facts, "problems", json_clone(health->problems));
    print_json_line(health->facts);
}

static void
print_line(const struct health *health)
{
    const struct json *problems = health->problems;

    if (!health->status) {
        printf("ok: database %.1f ms, main loop %.1f ms, %.0f service "
               "threads alive\n",
               json_number(health->facts, "database_ms"),
               json_number(health->facts, "main_loop_ms"),
               json_number(health->facts, "threads"));
        return;
    }
    fputs(health->status == 1 ? "failed: " : "impaired: ", stdout);
    for (size_t i = 0; i < problems->array.n; i++) {
        printf("%s%s", i ? "; " : "",
               json_string(problems->array.elems[i]));
    }
    putchar('\n');
}

int
tool_health(const struct tool_args *args)
{
    struct health health = {
        .problems = json_array_create_empty(),
        .facts = json_object_create(),
    };

    check_database(&health);
    check_switch(&health);
    if (args->json) {
        print_json(&health);
    } else {
        print_line(&health);
    }
    json_destroy(health.problems);
    json_destroy(health.facts);
    return health.status;
}
