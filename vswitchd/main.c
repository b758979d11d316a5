/* sluice-vswitchd: the switch daemon.
 *
 * It reads the configuration from a database, makes libofproto objects of it
 * (reconciler.c) and so drives the datapath (datapath/datapath.h), which has
 * threads of its own for packets.  This thread is for everything else: the
 * database, OpenFlow, protocols, commands.
 *
 * Invoked as ovs-vswitchd it is one, to those who start and control it:
 * the same names of files and sockets, the same options and messages. */
#include <config.h>

#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "command-line.h"
#include "daemon.h"
#include "datapath/datapath.h"
#include "dirs.h"
#include "dns-resolve.h"
#include "dpif.h"
#include "dummy.h"
#include "fatal-signal.h"
#include "memory.h"
#include "netdev.h"
#include "openvswitch/poll-loop.h"
#include "openvswitch/vlog.h"
#include "ovs-numa.h"
#include "ovs-rcu.h"
#include "ovs-router.h"
#include "ovs-thread.h"
#include "simap.h"
#include "stream.h"
#include "stream-ssl.h"
#include "unixctl.h"
#include "util.h"
#include "vswitchd/service-notify.h"
#include "vswitchd/vswitchd.h"

VLOG_DEFINE_THIS_MODULE(vswitchd);

/* What the command line asks for. */
struct options {
    char *remote;               /* The database. */
    char *unixctl_path;         /* Control socket, NULL: the usual. */
    bool mlockall;              /* Keep all memory from being paged out. */
    const char *dummy;          /* NULL, or what --enable-dummy came with. */
};

struct exit_request {
    bool exiting;
    bool cleanup;               /* Delete what would outlive us. */
};

/* Returns true if we are to be ovs-vswitchd. */
static bool
is_compat(void)
{
    return !strcmp(program_name, "ovs-vswitchd");
}

static void
start(int argc, char *argv[])
{
    char *base = strrchr(argv[0], '/');

    ovs_set_program_name(argv[0], (!strcmp(base ? base + 1 : argv[0],
                                           "ovs-vswitchd")
                                   ? VERSION : SLUICE_VERSION));
    ovsthread_id_init();
    dns_resolve_init(true);
    ovs_cmdl_proctitle_init(argc, argv);
    service_start(&argc, &argv);
}

static void
lock_memory(void)
{
    if (mlockall(MCL_CURRENT | MCL_FUTURE)) {
        VLOG_ERR("mlockall failed: %s", ovs_strerror(errno));
    } else {
        set_memory_locked();
    }
}

static void
request_exit(struct unixctl_conn *conn, int argc, const char *argv[],
             void *request_)
{
    struct exit_request *request = request_;

    request->exiting = true;
    request->cleanup = argc == 2 && !strcmp(argv[1], "--cleanup");
    unixctl_command_reply(conn, NULL);
}

static void
run_memory_report(void)
{
    struct simap usage = SIMAP_INITIALIZER(&usage);

    memory_run();
    if (memory_should_report()) {
        reconciler_get_memory_usage(&usage);
        memory_report(&usage);
    }
    simap_destroy(&usage);
}

/* The configuration is in effect: lets whoever started us go on. */
static void
started(void)
{
    daemonize_complete();
    vlog_enable_async();
    service_notify_ready();
    if (is_compat()) {
        VLOG_INFO("%s (Open vSwitch) %s", program_name, VERSION);
    } else {
        VLOG_INFO("%s (Sluice) %s", program_name, SLUICE_VERSION);
    }
}

static void
main_loop(struct unixctl_server *unixctl, struct exit_request *request)
{
    bool was_configured = false;

    while (!request->exiting) {
        run_memory_report();
        reconciler_run();
        if (!was_configured && reconciler_is_configured()) {
            was_configured = true;
            started();
        }
        unixctl_server_run(unixctl);
        netdev_run();
        service_notify_run();

        memory_wait();
        reconciler_wait();
        unixctl_server_wait(unixctl);
        netdev_wait();
        service_notify_wait();
        if (request->exiting) {
            poll_immediate_wake();
        }
        poll_block();
        if (should_service_stop()) {
            request->exiting = true;
        }
    }
}

OVS_NO_RETURN static void
usage(void)
{
    printf("%s: %s daemon\n"
           "usage: %s [OPTIONS] [DATABASE]\n"
           "where DATABASE is a socket on which %s is listening\n"
           "      (default: \"unix:%s/db.sock\").\n",
           program_name,
           is_compat() ? "Open vSwitch" : "Sluice virtual switch",
           program_name, is_compat() ? "ovsdb-server" : "sluice-db",
           ovs_rundir());
    stream_usage("DATABASE", true, false, true);
    daemon_usage();
    vlog_usage();
    printf("\nDatapath options:\n"
           "  --mlockall              keep all memory from being paged out\n"
           "  --enable-dummy[=WHAT]   enable dummy datapaths and devices, for "
           "tests\n"
           "  --disable-system        disable datapaths of type \"system\"\n"
           "  --disable-system-route  don't use the system's routing table\n"
           "  --dummy-numa=CORES      pretend to have these NUMA nodes\n"
           "\nOther options:\n"
           "  --unixctl=SOCKET          override default control socket name\n"
           "  -h, --help                display this help message\n"
           "  -V, --version             display version information\n");
    exit(EXIT_SUCCESS);
}

static void
parse_options(int argc, char *argv[], struct options *options)
{
    enum {
        OPT_PEER_CA_CERT = UCHAR_MAX + 1,
        OPT_MLOCKALL,
        OPT_UNIXCTL,
        OPT_BOOTSTRAP_CA_CERT,
        OPT_ENABLE_DUMMY,
        OPT_DISABLE_SYSTEM,
        OPT_DISABLE_SYSTEM_ROUTE,
        OPT_DPDK,
        OPT_DUMMY_NUMA,
        VLOG_OPTION_ENUMS,
        DAEMON_OPTION_ENUMS,
        SSL_OPTION_ENUMS,
    };
    static const struct option long_options[] = {
        {"help", no_argument, NULL, 'h'},
        {"version", no_argument, NULL, 'V'},
        {"mlockall", no_argument, NULL, OPT_MLOCKALL},
        {"unixctl", required_argument, NULL, OPT_UNIXCTL},
        DAEMON_LONG_OPTIONS,
        VLOG_LONG_OPTIONS,
        STREAM_SSL_LONG_OPTIONS,
        {"peer-ca-cert", required_argument, NULL, OPT_PEER_CA_CERT},
        {"bootstrap-ca-cert", required_argument, NULL, OPT_BOOTSTRAP_CA_CERT},
        {"enable-dummy", optional_argument, NULL, OPT_ENABLE_DUMMY},
        {"disable-system", no_argument, NULL, OPT_DISABLE_SYSTEM},
        {"disable-system-route", no_argument, NULL, OPT_DISABLE_SYSTEM_ROUTE},
        {"dpdk", optional_argument, NULL, OPT_DPDK},
        {"dummy-numa", required_argument, NULL, OPT_DUMMY_NUMA},
        {NULL, 0, NULL, 0},
    };
    char *short_options = ovs_cmdl_long_options_to_short_options(long_options);

    for (;;) {
        int c = getopt_long(argc, argv, short_options, long_options, NULL);

        if (c == -1) {
            break;
        }
        switch (c) {
        case 'h':
            usage();

        case 'V':
            ovs_print_version(0, 0);
            exit(EXIT_SUCCESS);

        case OPT_MLOCKALL:
            options->mlockall = true;
            break;

        case OPT_UNIXCTL:
            options->unixctl_path = optarg;
            break;

        VLOG_OPTION_HANDLERS
        DAEMON_OPTION_HANDLERS
        STREAM_SSL_OPTION_HANDLERS

        case OPT_PEER_CA_CERT:
            stream_ssl_set_peer_ca_cert_file(optarg);
            break;

        case OPT_BOOTSTRAP_CA_CERT:
            stream_ssl_set_ca_cert_file(optarg, true);
            break;

        case OPT_ENABLE_DUMMY:
            dummy_enable(optarg);
            options->dummy = optarg ? optarg : "";
            break;

        case OPT_DISABLE_SYSTEM:
            dp_disallow_provider("system");
            break;

        case OPT_DISABLE_SYSTEM_ROUTE:
            ovs_router_disable_system_routing_table();
            break;

        case OPT_DPDK:
            ovs_fatal(0, "Using --dpdk to configure DPDK is not supported.");

        case OPT_DUMMY_NUMA:
            ovs_numa_set_dummy(optarg);
            break;

        case '?':
            exit(EXIT_FAILURE);

        default:
            abort();
        }
    }
    free(short_options);

    if (argc - optind > 1) {
        VLOG_FATAL("at most one non-option argument accepted; "
                   "use --help for usage");
    }
    options->remote = (optind < argc ? xstrdup(argv[optind])
                       : xasprintf("unix:%s/db.sock", ovs_rundir()));
}

int
main(int argc, char *argv[])
{
    struct exit_request request = { .exiting = false };
    struct options options = { .remote = NULL };
    struct unixctl_server *unixctl;

    start(argc, argv);
    service_notify_init();
    datapath_register();
    parse_options(argc, argv, &options);
    fatal_ignore_sigpipe();
    daemonize_start(true);
    if (options.mlockall) {
        lock_memory();
    }
    if (unixctl_server_create(options.unixctl_path, &unixctl)) {
        exit(EXIT_FAILURE);
    }
    unixctl_command_register("exit", "[--cleanup]", 0, 1, request_exit,
                             &request);
    datapath_init(ovs_rundir(), options.dummy);
    reconciler_init(options.remote);

    main_loop(unixctl, &request);

    service_notify_stopping();
    if (!request.cleanup) {
        datapath_prepare_exit();
    }
    reconciler_exit(request.cleanup);
    datapath_exit();
    unixctl_server_destroy(unixctl);
    service_stop();
    vlog_disable_async();
    ovsrcu_exit();
    dns_resolve_destroy();
    free(options.remote);
    return 0;
}
