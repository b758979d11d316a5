/* "health": is all well?  One line, and an exit status for monitoring:
 *
 *   0: yes;
 *   1: the database or the switch doesn't answer;
 *   2: both answer, but a service thread of the switch has stopped, or the
 *      switch is behind the configuration.
 *
 * The main loop of the switch answers the question about the threads, so the
 * time that takes is the main loop's pulse.  A service thread counts its polls
 * and its sleeps; one that doesn't get on with either is stuck, unless the
 * kernel says that it sleeps: it does when it has nothing to do. */
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

/* A service thread whose heart doesn't beat for so long, in ms, is stuck... */
#define MAX_HEARTBEAT_AGE 2000

/* ...and this is how often we look until then. */
#define HEARTBEAT_INTERVAL 20

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

/* Does the kernel say that thread 'tid' of process 'pid' sleeps? */
static bool
is_asleep(int pid, int tid)
{
    char *name = xasprintf("/proc/%d/task/%d/stat", pid, tid);
    FILE *stream = fopen(name, "r");
    char state = 'X';

    free(name);
    if (stream) {
        if (fscanf(stream, "%*d (%*[^)]) %c", &state) != 1) {
            state = 'X';
        }
        fclose(stream);
    }
    return state == 'S';
}

static double
pulse(const struct json *thread)
{
    return json_number(thread, "polls") + json_number(thread, "sleeps");
}

/* Returns the first thread in 'now' that hasn't got on since 'before', or
 * NULL. */
static const struct json *
find_stuck_thread(const struct json *now, const struct json *before)
{
    const struct json *threads = json_member(now, "threads");
    const struct json *earlier = json_member(before, "threads");

    for (size_t i = 0; i < json_length(threads); i++) {
        const struct json *thread = threads->array.elems[i];

        if (i < json_length(earlier)
            && pulse(thread) == pulse(earlier->array.elems[i])
            && !is_asleep(rpc_switch_pid(), json_number(thread, "tid"))) {
            return thread;
        }
    }
    return NULL;
}

/* Looks for a pulse in all threads, of which 'first' is a report. */
static void
check_threads(struct health *health, struct jsonrpc *rpc,
              const struct json *first)
{
    long long int deadline = time_msec() + MAX_HEARTBEAT_AGE;
    const struct json *stuck;

    json_object_put(health->facts, "threads",
                    json_integer_create(json_length(json_member(first,
                                                                "threads"))));
    do {
        char *error;
        struct json *now = rpc_query(rpc, "sluice/threads", NULL, &error);

        if (!now) {
            problem(health, 1, error);
            return;
        }
        stuck = find_stuck_thread(now, first);
        if (stuck && time_msec() >= deadline) {
            problem(health, 2,
                    xasprintf("thread %s: no heartbeat for %.1f s",
                              json_string_or(stuck, "name", "?"),
                              MAX_HEARTBEAT_AGE / 1000.0));
            stuck = NULL;
        } else if (stuck) {
            xnanosleep(HEARTBEAT_INTERVAL * 1000000LL);
        }
        json_destroy(now);
    } while (stuck);
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
    }
    if (answer) {
        json_object_put(health->facts, "main_loop_ms",
                        json_real_create(elapsed(start)));
        if (answer->type == JSON_OBJECT) {
            check_threads(health, rpc, answer);
        }
        json_destroy(answer);
    } else {
        problem(health, 1, error);
    }
    if (rpc) {
        jsonrpc_close(rpc);
    }
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
        printf("ok: database %.1f ms, main loop %.1f ms, service threads "
               "alive: %.0f\n",
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
