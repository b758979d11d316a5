/* Tests vhost/ with a front-end and a driver that do what the script says.
 *
 *     test-vhost [TEST...]     runs all tests, or those named
 *     test-vhost --list        lists them
 *
 * Prints "ok NAME" for each; what fails says what it expected, and aborts. */
#include <config.h>
#include "tests/vhost/test-vhost.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "openvswitch/vlog.h"
#include "util.h"

/* --- The tests, in the order in which one learns the service --- */

static const struct test {
    const char *name;
    void (*run)(void);
    bool on_demand;             /* Only if it's named. */
} tests[] = {
    { "sockets", test_sockets, false },
    { "connect-mode", test_connect_mode, false },
    { "messages", test_messages, false },
    { "bad-messages", test_bad_messages, false },
    { "config-space", test_config_space, false },
    { "inband", test_inband, false },
    { "good-chains-split", test_good_chains_split, false },
    { "good-chains-packed", test_good_chains_packed, false },
    { "bad-chains-split", test_bad_chains_split, false },
    { "bad-chains-packed", test_bad_chains_packed, false },
    { "broken-rings", test_broken_rings, false },
    { "changing-rings", test_changing_rings, false },
    { "bad-buffers", test_bad_buffers, false },
    { "receive-split", test_receive_split, false },
    { "receive-packed", test_receive_packed, false },
    { "mergeable", test_mergeable, false },
    { "stop-and-go", test_stop_and_go, false },
    { "spread", test_spread, false },
    { "order", test_order, false },
    { "hang-up", test_hang_up, false },
    { "stale-state", test_stale_state, false },
    { "full-call", test_full_call, false },
    { "memory-changes", test_memory_changes, false },
    { "truncated-memory", test_truncated_memory, false },
    { "dirty-log", test_dirty_log, false },
    { "iotlb", test_iotlb, false },
    { "idle", test_idle, false },
    { "no-leaks", test_no_leaks, false },
    { "bench-neighbours", bench_neighbours, true },
};

static bool
wanted(const struct test *test, int argc, char *argv[])
{
    for (int i = 1; i < argc; i++) {
        if (!strcmp(argv[i], test->name)) {
            return true;
        }
    }
    return argc < 2 && !test->on_demand;
}

int
main(int argc, char *argv[])
{
    struct vhost_pool_config config = { .n_threads = 1, .name = "service" };
    char template[] = "/tmp/test-vhost.XXXXXX";
    char *error;

    set_program_name(argv[0]);
    vlog_set_levels(NULL, VLF_SYSLOG, VLL_OFF);
    if (argc == 2 && !strcmp(argv[1], "--list")) {
        for (size_t i = 0; i < ARRAY_SIZE(tests); i++) {
            printf("%s\n", tests[i].name);
        }
        return 0;
    }
    setvbuf(stdout, NULL, _IOLBF, 0);
    dir = mkdtemp(template);
    path = xasprintf("%s/socket", dir);
    log_path = xasprintf("%s/log", dir);
    vlog_set_levels(NULL, VLF_FILE, VLL_INFO);
    vlog_set_log_file(log_path);
    vhost_init();
    if (vhost_pool_create(&config, &pool, &error)) {
        ovs_fatal(0, "%s", error);
    }
    for (size_t i = 0; i < ARRAY_SIZE(tests); i++) {
        if (wanted(&tests[i], argc, argv)) {
            tests[i].run();
            printf("ok %s\n", tests[i].name);
        }
    }
    vhost_pool_destroy(pool);
    vhost_exit();
    unlink(log_path);
    rmdir(dir);
    free(log_path);
    free(path);
    return 0;
}
