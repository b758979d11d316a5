/* Fuzzer (libFuzzer) of the database server: whatever two clients send.
 *
 * The input is what they send, in turns: each byte 0xff, which JSON can't
 * have, passes the turn to the other one.  Everything that a client can reach is
 * behind it: the cutting of the stream into messages, the methods, operations,
 * conditions and mutations, monitors, locks, conversion.  Each input meets a
 * new database of the schema below, in memory, so that a crash repeats.
 *
 * Built by "make fuzz"; run as tests/fuzz/db-fuzz CORPUS [-max_total_time=20];
 * tests/fuzz/db-corpus is where to begin. */
#include <config.h>

#include <errno.h>
#include <event2/thread.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fatal-signal.h"
#include "mgmt/db/server.h"
#include "mgmt/db/session.h"
#include "openvswitch/vlog.h"
#include "util.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *, size_t);

static const char schema_text[] =
    "{\"name\":\"T\",\"version\":\"1.0.0\",\"tables\":{"
    "\"R\":{\"isRoot\":true,\"indexes\":[[\"s\"]],\"columns\":{"
    "\"s\":{\"type\":\"string\"},"
    "\"i\":{\"type\":{\"key\":{\"type\":\"integer\",\"minInteger\":0,"
    "\"maxInteger\":99},\"min\":0}},"
    "\"r\":{\"type\":\"real\"},\"b\":{\"type\":\"boolean\"},"
    "\"n\":{\"type\":{\"key\":\"integer\",\"min\":0,\"max\":\"unlimited\"}},"
    "\"m\":{\"type\":{\"key\":\"string\",\"value\":\"string\",\"min\":0,"
    "\"max\":\"unlimited\"}},"
    "\"l\":{\"type\":{\"key\":{\"type\":\"uuid\",\"refTable\":\"L\"},"
    "\"min\":0,\"max\":\"unlimited\"}},"
    "\"w\":{\"type\":{\"key\":{\"type\":\"uuid\",\"refTable\":\"L\","
    "\"refType\":\"weak\"},\"min\":0,\"max\":2}},"
    "\"e\":{\"type\":{\"key\":{\"type\":\"string\",\"enum\":[\"set\","
    "[\"a\",\"b\"]]},\"min\":0},\"ephemeral\":true},"
    "\"f\":{\"type\":\"integer\",\"mutable\":false}}},"
    "\"L\":{\"columns\":{\"s\":{\"type\":\"string\"},"
    "\"l\":{\"type\":{\"key\":{\"type\":\"uuid\",\"refTable\":\"L\"},"
    "\"min\":0}}}},"
    "\"S\":{\"isRoot\":true,\"maxRows\":1,\"columns\":{"
    "\"x\":{\"type\":{\"key\":\"integer\",\"min\":1,\"max\":3}}}}}}";

static struct server server;
static struct remote remote;
static json_t *schema_json;

int
LLVMFuzzerInitialize(int *argc OVS_UNUSED, char ***argv)
{
    set_program_name((*argv)[0]);
    vlog_set_levels(NULL, VLF_ANY_DESTINATION, VLL_EMER);
    fatal_ignore_sigpipe();
    evthread_use_pthreads();
    server_init(&server);
    server_start(&server);
    server_db_create(&server);
    remote.server = &server;
    remote.target = "fuzz";
    remote.passive = true;
    remote.fd = -1;
    ovs_list_init(&remote.sessions);
    remote_options_init(&remote.options, "punix:");
    schema_json = json_loads(schema_text, 0, NULL);
    return 0;
}

/* One client: a session and the other end of its socket. */
struct client {
    int fd;                     /* -1 once the session has ended. */
};

static void
client_open(struct client *client)
{
    int fds[2];

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds)) {
        ovs_abort(errno, "socketpair");
    }
    client->fd = fds[1];
    session_create(&remote,
                   bufferevent_socket_new(server.base, fds[0],
                                          BEV_OPT_CLOSE_ON_FREE),
                   "fuzz", false);
}

/* Lets the server do what there is to do, and takes what it answers. */
static void
turn(struct client clients[2])
{
    char buffer[65536];

    for (int i = 0; i < 3; i++) {
        server_wake(&server);
        event_base_loop(server.base, EVLOOP_NONBLOCK);
        for (int j = 0; j < 2; j++) {
            while (read(clients[j].fd, buffer, sizeof buffer) > 0) {
                continue;
            }
        }
    }
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct client clients[2];
    struct schema *schema;
    struct error *error;
    int i = 0;

    error = schema_from_json(&schema, schema_json);
    ovs_assert(!error);
    server_add_db(&server, db_create(schema));
    client_open(&clients[0]);
    client_open(&clients[1]);

    while (size) {
        const uint8_t *end = memchr(data, 0xff, size);
        size_t n = end ? end - data : size;

        if (n && write(clients[i].fd, data, n) < 0 && errno != EPIPE
            && errno != EAGAIN) {
            ovs_abort(errno, "write");
        }
        turn(clients);
        i = !i;
        n += end != NULL;
        data += n;
        size -= n;
    }

    close(clients[0].fd);
    close(clients[1].fd);
    clients[0].fd = clients[1].fd = -1;
    turn(clients);
    ovs_assert(ovs_list_is_empty(&remote.sessions));
    struct db *db = shash_find_data(&server.dbs, "T");
    if (db) {
        server_remove_db(&server, db, xstrdup("end of input"));
    }
    turn(clients);
    return 0;
}
