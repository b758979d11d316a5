/* The database server as a daemon: its command line, which is that of
 * ovsdb-server(1). */
#include <config.h>
#include "mgmt/db/main.h"

#include <errno.h>
#include <event2/thread.h>
#include <getopt.h>
#include <limits.h>
#include <sys/wait.h>
#include <unistd.h>

#include "command-line.h"
#include "daemon.h"
#include "dirs.h"
#include "fatal-signal.h"
#include "mgmt/db/server.h"
#include "mgmt/db/store.h"
#include "openvswitch/vlog.h"
#include "ovs-rcu.h"
#include "process.h"
#include "stream.h"
#include "stream-ssl.h"
#include "util.h"

VLOG_DEFINE_THIS_MODULE(ovsdb_server);

static struct server server;
static char *unixctl_path;
static char *run_command;
static struct sset db_names = SSET_INITIALIZER(&db_names);

static void OVS_NO_RETURN
usage(void)
{
    printf("%s: database server of Sluice\n"
           "usage: %s [OPTIONS] [DATABASE...]\n"
           "where each DATABASE is a database file, of Sluice or of "
           "ovsdb-server.\n"
           "The default DATABASE, if none is given, is\n%s/conf.db.\n",
           program_name, program_name, ovs_dbdir());
    if (!strcmp(program_name, "sluice-db")) {
        printf("   or: %s COMMAND [ARG...]   (see %s help)\n",
               program_name, program_name);
    }
    printf("\nJSON-RPC options (may be specified any number of times):\n"
           "  --remote=REMOTE         connect or listen to REMOTE\n");
    stream_usage("JSON-RPC", true, true, true);
    daemon_usage();
    vlog_usage();
    printf("\nOther options:\n"
           "  --run COMMAND           run COMMAND as subprocess then exit\n"
           "  --unixctl=SOCKET        override default control socket name\n"
           "  --no-dbs                don't open the default DATABASE\n"
           "  --no-history=REMOTE     tell clients of REMOTE all rows when "
           "they come back\n"
           "  --history=N             transactions that the history keeps, "
           "0 for none\n"
           "  --max-connections=N     most clients at a time\n"
           "  --max-message=BYTES     longest request\n"
           "  --max-stall=SECONDS     cut off a client that doesn't read for "
           "that long\n"
           "  -h, --help              display this help message\n"
           "  -V, --version           display version information\n");
    exit(EXIT_SUCCESS);
}

static unsigned int
parse_number(const char *option, const char *s, unsigned int min)
{
    unsigned int n;

    if (!str_to_uint(s, 10, &n) || n < min) {
        ovs_fatal(0, "--%s: \"%s\" is not a number of at least %u",
                  option, s, min);
    }
    return n;
}

static void
parse_options(int argc, char *argv[])
{
    enum {
        OPT_REMOTE = UCHAR_MAX + 1,
        OPT_UNIXCTL,
        OPT_RUN,
        OPT_BOOTSTRAP_CA_CERT,
        OPT_PEER_CA_CERT,
        OPT_NO_DBS,
        OPT_IGNORED,
        OPT_SYNC_FROM,
        OPT_NO_HISTORY,
        OPT_HISTORY,
        OPT_MAX_CONNECTIONS,
        OPT_MAX_MESSAGE,
        OPT_MAX_STALL,
        VLOG_OPTION_ENUMS,
        DAEMON_OPTION_ENUMS,
        SSL_OPTION_ENUMS,
    };
    static const struct option long_options[] = {
        {"remote", required_argument, NULL, OPT_REMOTE},
        {"unixctl", required_argument, NULL, OPT_UNIXCTL},
        {"run", required_argument, NULL, OPT_RUN},
        {"help", no_argument, NULL, 'h'},
        {"version", no_argument, NULL, 'V'},
        DAEMON_LONG_OPTIONS,
        VLOG_LONG_OPTIONS,
        {"bootstrap-ca-cert", required_argument, NULL, OPT_BOOTSTRAP_CA_CERT},
        {"peer-ca-cert", required_argument, NULL, OPT_PEER_CA_CERT},
        STREAM_SSL_LONG_OPTIONS,
        {"no-dbs", no_argument, NULL, OPT_NO_DBS},
        {"no-db", no_argument, NULL, OPT_NO_DBS},
        {"disable-file-column-diff", no_argument, NULL, OPT_IGNORED},
        {"sync-from", required_argument, NULL, OPT_SYNC_FROM},
        {"sync-exclude-tables", required_argument, NULL, OPT_IGNORED},
        {"active", no_argument, NULL, OPT_IGNORED},
        {"no-history", required_argument, NULL, OPT_NO_HISTORY},
        {"history", required_argument, NULL, OPT_HISTORY},
        {"max-connections", required_argument, NULL, OPT_MAX_CONNECTIONS},
        {"max-message", required_argument, NULL, OPT_MAX_MESSAGE},
        {"max-stall", required_argument, NULL, OPT_MAX_STALL},
        {NULL, 0, NULL, 0},
    };
    char *short_options = ovs_cmdl_long_options_to_short_options(long_options);
    bool add_default_db = true;

    for (;;) {
        int c = getopt_long(argc, argv, short_options, long_options, NULL);

        if (c == -1) {
            break;
        }
        switch (c) {
        case OPT_REMOTE:
            sset_add(&server.remote_names, optarg);
            break;

        case OPT_UNIXCTL:
            unixctl_path = optarg;
            break;

        case OPT_RUN:
            run_command = optarg;
            break;

        case 'h':
            usage();

        case 'V':
            ovs_print_version(0, 0);
            exit(EXIT_SUCCESS);

        VLOG_OPTION_HANDLERS
        DAEMON_OPTION_HANDLERS

        case 'p':
            server.private_key = optarg;
            break;

        case 'c':
            server.certificate = optarg;
            break;

        case 'C':
            server.ca_cert = optarg;
            server.bootstrap_ca_cert = false;
            break;

        case OPT_SSL_PROTOCOLS:
            server.ssl_protocols = optarg;
            break;

        case OPT_SSL_CIPHERS:
            server.ssl_ciphers = optarg;
            break;

        case OPT_BOOTSTRAP_CA_CERT:
            server.ca_cert = optarg;
            server.bootstrap_ca_cert = true;
            break;

        case OPT_PEER_CA_CERT:
            server.peer_ca_cert = optarg;
            break;

        case OPT_NO_DBS:
            add_default_db = false;
            break;

        case OPT_IGNORED:
            break;

        case OPT_SYNC_FROM:
            ovs_fatal(0, "--sync-from: this server doesn't replicate others; "
                      "copy a database with \"ovsdb-client backup\" and "
                      "\"restore\"");

        case OPT_NO_HISTORY:
            sset_add(&server.no_history, optarg);
            break;

        case OPT_HISTORY:
            store_set_history_limit(parse_number("history", optarg, 0));
            break;

        case OPT_MAX_CONNECTIONS:
            server.limits.connections = parse_number("max-connections",
                                                     optarg, 1);
            break;

        case OPT_MAX_MESSAGE:
            server.limits.message_size = parse_number("max-message", optarg,
                                                      4096);
            break;

        case OPT_MAX_STALL:
            server.limits.stall = parse_number("max-stall", optarg, 1);
            break;

        case '?':
            exit(EXIT_FAILURE);

        default:
            abort();
        }
    }
    free(short_options);

    if (optind < argc) {
        for (int i = optind; i < argc; i++) {
            sset_add(&db_names, argv[i]);
        }
    } else if (add_default_db) {
        sset_add_and_free(&db_names, xasprintf("%s/conf.db", ovs_dbdir()));
    }
}

/* --- --run=COMMAND. --- */

static pid_t run_pid = -1;
static int run_status;

static void
sigchld_cb(evutil_socket_t fd OVS_UNUSED, short what OVS_UNUSED,
           void *aux OVS_UNUSED)
{
    if (run_pid > 0 && waitpid(run_pid, &run_status, WNOHANG) == run_pid) {
        run_pid = -1;
        server_exit(&server);
    }
}

static struct event *
start_run_command(void)
{
    struct event *event = evsignal_new(server.base, SIGCHLD, sigchld_cb, NULL);

    event_add(event, NULL);
    run_pid = fork();
    if (run_pid < 0) {
        ovs_fatal(errno, "%s: process failed to start", run_command);
    } else if (!run_pid) {
        execl("/bin/sh", "/bin/sh", "-c", run_command, NULL);
        _exit(127);
    }
    return event;
}

static void
check_run_status(void)
{
    if (!WIFEXITED(run_status) || WEXITSTATUS(run_status)) {
        char *s = process_status_msg(run_status);
        ovs_fatal(0, "%s: child exited, %s", run_command, s);
    }
}

/* --- Main. --- */

static void
open_databases(void)
{
    const char *name;

    SSET_FOR_EACH (name, &db_names) {
        struct error *error = server_open_db(&server, name);
        if (error) {
            ovs_fatal(0, "%s", error_to_string_free(error));
        }
    }
}

static void
configure_remotes(void)
{
    char *error = tls_reconfigure(&server);

    if (!error) {
        error = remotes_reconfigure(&server);
    }
    if (error) {
        ovs_fatal(0, "%s", error);
    }
}

/* Runs the server.  Returns the process's exit status. */
int
daemon_main(int argc, char *argv[])
{
    struct event *run_event = NULL;

    json_use_pool();
    ovs_cmdl_proctitle_init(argc, argv);
    service_start(&argc, &argv);
    fatal_ignore_sigpipe();
    /* Scripts read what ovsdb-server says when it starts. */
    vlog_set_levels_from_string_assert("import:console:warn");
    server_init(&server);
    parse_options(argc, argv);
    daemon_become_new_user(false);
    server_init_config(&server, &db_names);
    daemonize_start(false);
    server_load_config(&server, &db_names);

    evthread_use_pthreads();
    server_start(&server);
    open_databases();
    server_db_create(&server);
    configure_remotes();
    control_init(&server, unixctl_path);
    if (run_command) {
        run_event = start_run_command();
    }
    daemonize_complete();
    if (!run_command) {
        /* Scripts look for this line; its wording is ovsdb-server's. */
        VLOG_INFO("%s (Open vSwitch) %s", program_name, VERSION);
    }

    ovsrcu_quiesce_start();
    control_start();
    server_run(&server);
    control_stop();
    if (run_event) {
        event_free(run_event);
    }
    server_destroy(&server);
    sset_destroy(&db_names);
    if (run_command && run_pid < 0) {
        check_run_status();
    }
    service_stop();
    return 0;
}
