/* The tools, by name, and their options. */
#include <config.h>
#include "tools.h"

#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "db-ctl-base.h"
#include "session.h"
#include "util.h"

static const struct tool tools[] = {
    {"port", 1, 1, "PORT", false, tool_port},
    {"top", 0, 0, "", true, tool_top},
    {"why", 0, 1, "[PORT]", false, tool_why},
    {"watch", 0, INT_MAX, "[TABLE]...", true, tool_watch},
    {"health", 0, 0, "", false, tool_health},
    {"doctor", 0, 0, "", false, tool_doctor},
};

/* Returns the tool called 'name', or NULL. */
const struct tool *
tool_find(const char *name)
{
    for (size_t i = 0; i < ARRAY_SIZE(tools); i++) {
        if (!strcmp(tools[i].name, name)) {
            return &tools[i];
        }
    }
    return NULL;
}

/* Prints the tools in the form of --commands, which completion reads. */
void
tools_print_commands(void)
{
    for (size_t i = 0; i < ARRAY_SIZE(tools); i++) {
        const char *arguments = tools[i].arguments;
        char prefix = '!';

        if (arguments[0] == '[') {
            prefix = strstr(arguments, "...") ? '*' : '?';
            arguments++;
        }
        printf(",%s,", tools[i].name);
        if (arguments[0]) {
            printf("%c%.*s", prefix, (int) strcspn(arguments, "]"),
                   arguments);
        }
        putchar('\n');
    }
}

static unsigned int
parse_count(const char *option, const char *s)
{
    unsigned int n;

    if (!str_to_uint(s, 10, &n) || !n) {
        ctl_fatal("value %s on %s is invalid: it must be a positive integer",
                  s, option);
    }
    return n;
}

static unsigned int
parse_interval(const char *s)
{
    double seconds;

    if (!str_to_double(s, &seconds) || seconds < 0.01 || seconds > 86400) {
        ctl_fatal("value %s on --interval is invalid: it must be a number of "
                  "seconds from 0.01 to 86400", s);
    }
    return seconds * 1000 + 0.5;
}

/* Runs 'tool' with 'argv', in which argv[0] is its name.  Options may come
 * after it.  Returns the program's exit status. */
int
tool_run(const struct tool *tool, int argc, char *argv[])
{
    enum { OPT_COUNT = UCHAR_MAX + 1 };
    static const struct option options[] = {
        {"format", required_argument, NULL, 'f'},
        {"interval", required_argument, NULL, 'i'},
        {"count", required_argument, NULL, OPT_COUNT},
        {NULL, 0, NULL, 0},
    };
    struct tool_args args = {
        .interval = 1000,
    };
    int c;

    optind = 0;                 /* Start over with this argv. */
    while ((c = getopt_long(argc, argv, "f:i:", options, NULL)) != -1) {
        switch (c) {
        case 'f':
            table_parse_format(&settings.style, optarg);
            break;
        case 'i':
            args.interval = parse_interval(optarg);
            break;
        case OPT_COUNT:
            args.count = parse_count("--count", optarg);
            break;
        default:
            exit(EXIT_FAILURE);
        }
    }
    args.json = settings.style.format == TF_JSON;
    args.argc = argc - optind;
    args.argv = argv + optind;
    if (args.argc < tool->min_args) {
        ctl_fatal("'%s' command requires at least %d arguments",
                  tool->name, tool->min_args);
    } else if (args.argc > tool->max_args) {
        ctl_fatal("'%s' command takes at most %d arguments",
                  tool->name, tool->max_args);
    }
    if (tool->endless) {
        ctl_timeout_setup(settings.timeout);
    }
    return tool->run(&args);
}
