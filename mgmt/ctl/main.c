/* sluice-ctl: the command line of the switch.
 *
 * Everything that ovs-vsctl does, and in the same words: run under that name
 * (or one that ends in it), the program is ovs-vsctl to whoever calls it.
 *
 * A command line is options, then one or more commands separated by "--",
 * which are carried out in one transaction: session.c.  The files
 * *-commands.c have the commands; database commands such as "set" come from
 * libopenvswitch's db-ctl-base.
 *
 * Under its own name the program has tools beside: "top", "health" and others
 * look at the running switch rather than change its configuration; tools.h. */
#include <config.h>

#include <getopt.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>

#include "command-line.h"
#include "db-ctl-base.h"
#include "fatal-signal.h"
#include "openvswitch/vlog.h"
#include "process.h"
#include "schema-names.h"
#include "schemas/vswitch-idl.h"
#include "session.h"
#include "stream-ssl.h"
#include "stream.h"
#include "tools.h"
#include "usage.h"
#include "util.h"

VLOG_DEFINE_THIS_MODULE(vsctl);

enum {
    OPT_DB = UCHAR_MAX + 1,
    OPT_ONELINE,
    OPT_NO_SYSLOG,
    OPT_NO_WAIT,
    OPT_DRY_RUN,
    OPT_BOOTSTRAP_CA_CERT,
    OPT_PEER_CA_CERT,
    OPT_LOCAL,                  /* An option of some command. */
    OPT_RETRY,
    OPT_COMMANDS,
    OPT_OPTIONS,
    VLOG_OPTION_ENUMS,
    TABLE_OPTION_ENUMS,
    SSL_OPTION_ENUMS,
};

static const struct option global_options[] = {
    {"db", required_argument, NULL, OPT_DB},
    {"no-syslog", no_argument, NULL, OPT_NO_SYSLOG},
    {"no-wait", no_argument, NULL, OPT_NO_WAIT},
    {"dry-run", no_argument, NULL, OPT_DRY_RUN},
    {"oneline", no_argument, NULL, OPT_ONELINE},
    {"timeout", required_argument, NULL, 't'},
    {"retry", no_argument, NULL, OPT_RETRY},
    {"help", no_argument, NULL, 'h'},
    {"commands", no_argument, NULL, OPT_COMMANDS},
    {"options", no_argument, NULL, OPT_OPTIONS},
    {"leader-only", no_argument, &settings.leader_only, true},
    {"no-leader-only", no_argument, &settings.leader_only, false},
    {"shuffle-remotes", no_argument, &settings.shuffle_remotes, true},
    {"no-shuffle-remotes", no_argument, &settings.shuffle_remotes, false},
    {"version", no_argument, NULL, 'V'},
    VLOG_LONG_OPTIONS,
    TABLE_LONG_OPTIONS,
    STREAM_SSL_LONG_OPTIONS,
    {"bootstrap-ca-cert", required_argument, NULL, OPT_BOOTSTRAP_CA_CERT},
    {"peer-ca-cert", required_argument, NULL, OPT_PEER_CA_CERT},
    {NULL, 0, NULL, 0},
};

/* Is the program called as ovs-vsctl? */
static bool compat;

OVS_NO_RETURN static void
print_version(void)
{
    if (compat) {
        ovs_print_version(0, 0);
    } else {
        printf("%s (Sluice) %s\n", program_name, SLUICE_VERSION);
    }
    printf("DB Schema %s\n", ovsrec_get_db_version());
    exit(EXIT_SUCCESS);
}

OVS_NO_RETURN static void
print_commands(void)
{
    if (!compat) {
        tools_print_commands();
    }
    ctl_print_commands();
    OVS_NOT_REACHED();
}

/* Takes account of one option, 'c' as getopt_long() returned it. */
static void
handle_option(int c)
{
    switch (c) {
    case OPT_DB:
        settings.db = optarg;
        break;

    case OPT_ONELINE:
        settings.oneline = true;
        break;

    case OPT_NO_SYSLOG:
        vlog_set_levels(&this_module, VLF_SYSLOG, VLL_WARN);
        break;

    case OPT_NO_WAIT:
        settings.wait = false;
        break;

    case OPT_DRY_RUN:
        settings.dry_run = true;
        break;

    case 'h':
        usage(compat);

    case OPT_COMMANDS:
        print_commands();

    case OPT_OPTIONS:
        ctl_print_options(global_options);
        OVS_NOT_REACHED();

    case 'V':
        print_version();

    case 't':
        if (!str_to_uint(optarg, 10, &settings.timeout) || !settings.timeout) {
            ctl_fatal("value %s on -t or --timeout is invalid", optarg);
        }
        break;

    case OPT_RETRY:
        settings.retry = true;
        break;

    VLOG_OPTION_HANDLERS
    TABLE_OPTION_HANDLERS(&settings.style)

    STREAM_SSL_OPTION_HANDLERS

    case OPT_PEER_CA_CERT:
        stream_ssl_set_peer_ca_cert_file(optarg);
        break;

    case OPT_BOOTSTRAP_CA_CERT:
        stream_ssl_set_ca_cert_file(optarg, true);
        break;

    case '?':
        exit(EXIT_FAILURE);

    case 0:
        break;

    default:
        abort();
    }
}

static void
add_local_option(struct shash *local_options, const char *name)
{
    if (shash_find(local_options, name)) {
        ctl_fatal("'%s' option specified multiple times", name);
    }
    shash_add_nocopy(local_options, xasprintf("--%s", name),
                     nullable_xstrdup(optarg));
}

/* Parses the options before the first command: the program's own, and those of
 * that command, which go into 'local_options'.  getopt_long() is given both at
 * once, so that either may be abbreviated. */
static void
parse_options(int argc, char *argv[], struct shash *local_options)
{
    char *short_letters = ovs_cmdl_long_options_to_short_options(
        global_options);
    char *short_options = xasprintf("+%s", short_letters);
    size_t n_globals = ARRAY_SIZE(global_options) - 1;
    size_t n = n_globals, allocated = ARRAY_SIZE(global_options);
    struct option *options = xmemdup(global_options, sizeof global_options);

    ctl_add_cmd_options(&options, &n, &allocated, OPT_LOCAL);
    for (;;) {
        int idx;
        int c = getopt_long(argc, argv, short_options, options, &idx);

        if (c == -1) {
            break;
        } else if (c == OPT_LOCAL) {
            add_local_option(local_options, options[idx].name);
        } else {
            handle_option(c);
        }
    }

    if (!settings.db) {
        settings.db = ctl_default_db();
    }
    for (size_t i = n_globals; options[i].name; i++) {
        free(CONST_CAST(char *, options[i].name));
    }
    free(options);
    free(short_options);
    free(short_letters);
}

static void
register_commands(void)
{
    ctl_init(&ovsrec_idl_class, ovsrec_table_classes, schema_row_ids,
             schema_show_tables, session_exit);
    ctl_register_commands(bridge_commands);
    ctl_register_commands(port_commands);
    ctl_register_commands(controller_commands);
    ctl_register_commands(system_commands);
    if (!compat) {
        ctl_register_commands(vhost_commands);
    }
}

int
main(int argc, char *argv[])
{
    struct shash local_options = SHASH_INITIALIZER(&local_options);
    struct ctl_command *commands;
    const struct tool *tool;
    size_t n_commands;
    char *args, *error;

    set_program_name(argv[0]);
    fatal_ignore_sigpipe();
    vlog_set_levels(NULL, VLF_CONSOLE, VLL_WARN);
    vlog_set_levels_from_string_assert("reconnect:warn");
    /* That the machine is busy is nothing to bother the user with. */
    vlog_set_levels_from_string_assert("timeval:console:err");

    size_t name_len = strlen(program_name);
    compat = name_len >= 5 && !strcmp(&program_name[name_len - 5], "vsctl");
    register_commands();

    args = process_escape_args(argv);
    parse_options(argc, argv, &local_options);
    tool = compat || optind >= argc ? NULL : tool_find(argv[optind]);
    if (tool) {
        shash_destroy_free_data(&local_options);
        free(args);
        return tool_run(tool, argc - optind, argv + optind);
    }

    error = ctl_parse_commands(argc - optind, argv + optind, &local_options,
                               &commands, &n_commands);
    if (error) {
        ctl_fatal("%s", error);
    }
    VLOG(ctl_might_write_to_db(commands, n_commands) ? VLL_INFO : VLL_DBG,
         "Called as %s", args);
    ctl_timeout_setup(settings.timeout);

    session_run(commands, n_commands, args);
    free(commands);
    free(args);
    exit(EXIT_SUCCESS);
}
