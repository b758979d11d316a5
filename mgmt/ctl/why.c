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
#include "report.h"
#include "rpc.h"
#include "util.h"

/* Prints 'answer', the switch's to "sluice/drops", for people. */
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
        puts("\nLast ones, newest first:");
    }
    for (size_t i = 0; i < n_last; i++) {
        const struct json *drop = last->array.elems[i];
        long long int when = json_number(drop, "when");
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
               json_string_or(drop, "text",
                              json_string_or(drop, "header", "")));
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
        answer = rpc_query(rpc, "sluice/drops",
                           args->argc ? args->argv[0] : NULL, &error);
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
