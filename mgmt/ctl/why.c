/* "why": why packets were dropped.  The switch counts drops by port and
 * reason, and keeps the last ones with their headers. */
#include <config.h>
#include "tools.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "db-ctl-base.h"
#include "jsonrpc.h"
#include "openvswitch/json.h"
#include "openvswitch/shash.h"
#include "report.h"
#include "rpc.h"
#include "util.h"

/* Returns why packets of 'port' (NULL: of any port) were dropped, as an object
 * with "counts" (for each port and reason) and "last" (the last packets), or
 * NULL and sets '*errorp'.  The caller must free it. */
struct json *
ask_drops(struct jsonrpc *sw, const char *port, char **errorp)
{
    struct json *ports = rpc_query(sw, "sluice/ports", port, errorp);
    struct json *drops = ports ? rpc_query(sw, "sluice/drops", port, errorp)
                               : NULL;
    const struct json *list = json_member(ports, "ports");
    struct json *counts = json_array_create_empty();

    for (size_t i = 0; drops && i < json_length(list); i++) {
        const struct json *p = list->array.elems[i];
        const struct json *reasons = json_member(p, "drops");
        const struct shash_node *node;

        if (!reasons || reasons->type != JSON_OBJECT) {
            continue;
        }
        SHASH_FOR_EACH (node, json_object(reasons)) {
            struct json *count = json_object_create();

            json_object_put_string(count, "port",
                                   json_string_or(p, "name", ""));
            json_object_put_string(count, "reason", node->name);
            json_object_put(count, "packets",
                            json_integer_create(json_number(reasons,
                                                            node->name)));
            json_array_add(counts, count);
        }
    }
    json_destroy(ports);
    if (!drops) {
        json_destroy(counts);
        return NULL;
    }
    json_object_put(drops, "counts", counts);
    return drops;
}

/* Prints 'answer', from ask_drops(), for people. */
void
print_drops(const struct json *answer)
{
    const struct json *counts = json_member(answer, "counts");
    const struct json *last = json_member(answer, "last");
    size_t n_counts = json_length(counts), n_last = json_length(last);

    if (!n_counts && !n_last) {
        puts("no packets dropped");
        return;
    }
    if (n_counts) {
        printf("%-16s %-28s %12s\n", "PORT", "REASON", "PACKETS");
    }
    for (size_t i = 0; i < n_counts; i++) {
        const struct json *drop = counts->array.elems[i];

        printf("%-16s %-28s %12.0f\n", json_string_or(drop, "port", "-"),
               json_string_or(drop, "reason", "-"),
               json_number(drop, "packets"));
    }
    if (n_last) {
        puts("\nLast ones:");
    }
    for (size_t i = 0; i < n_last; i++) {
        const struct json *drop = last->array.elems[i];
        long long int when = json_number(drop, "time");
        time_t seconds = when / 1000;
        char text[32] = "-";
        struct tm tm;

        if (localtime_r(&seconds, &tm)) {
            strftime(text, sizeof text, "%H:%M:%S", &tm);
        }
        printf("%s.%03lld %s: %s, %.0f bytes\n    %s\n", text, when % 1000,
               json_string_or(drop, "port", "-"),
               json_string_or(drop, "reason", "-"),
               json_number(drop, "length"),
               json_string_or(drop, "header", ""));
    }
}

int
tool_why(const struct tool_args *args)
{
    struct json *answer = NULL;
    struct jsonrpc *rpc;
    char *error;

    rpc = rpc_open_switch(&error);
    if (rpc) {
        answer = ask_drops(rpc, args->argc ? args->argv[0] : NULL, &error);
        jsonrpc_close(rpc);
    }
    if (!answer) {
        ctl_fatal("%s", error);
    }
    if (args->json) {
        print_json_line(answer);
    } else {
        print_drops(answer);
    }
    json_destroy(answer);
    return EXIT_SUCCESS;
}
