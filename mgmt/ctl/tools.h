/* The tools: commands that look at the running switch instead of changing its
 * configuration in a transaction.  Each is a program of its own within the
 * program, with options after its name. */
#ifndef SLUICE_CTL_TOOLS_H
#define SLUICE_CTL_TOOLS_H 1

#include <stdbool.h>

/* What a tool is told. */
struct tool_args {
    int argc;                   /* Number of arguments that are no options. */
    char **argv;                /* Those. */
    bool json;                  /* --format=json? */
    unsigned int interval;      /* --interval, in ms. */
    unsigned int count;         /* --count, or 0 for no end. */
};

struct tool {
    const char *name;
    int min_args, max_args;
    const char *arguments;      /* As in struct ctl_command_syntax. */
    bool endless;               /* Runs until stopped?  Then --timeout does
                                 * that; otherwise it bounds each question to
                                 * a daemon. */

    /* Does the work; returns the program's exit status. */
    int (*run)(const struct tool_args *);
};

const struct tool *tool_find(const char *name);
int tool_run(const struct tool *, int argc, char *argv[]);
void tools_print_commands(void);

int tool_port(const struct tool_args *);
int tool_top(const struct tool_args *);
int tool_why(const struct tool_args *);
int tool_watch(const struct tool_args *);
int tool_health(const struct tool_args *);
int tool_doctor(const struct tool_args *);

#endif /* tools.h */
