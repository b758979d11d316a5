/* Load on a database server, for the benchmark: raw sockets, requests made
 * beforehand, replies only cut into messages, so that what is measured is the
 * server.
 *
 *     load SOCKET transactions CLIENTS SECONDS durable|volatile
 *         each client changes a row of its own, one transaction at a time;
 *         prints transactions per second
 *     load SOCKET add-ports FIRST COUNT
 *         one client adds ports to bridge br0, one transaction each; prints
 *         transactions per second
 *     load SOCKET fan-out CLIENTS COUNT
 *         so many clients monitor a row that another changes; prints the mean
 *         time in ms until all have been told
 *     load SOCKET call < REQUEST
 *         prints the time in ms until the reply is there, and its bytes */
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum { MAX_CLIENTS = 1024 };

struct client {
    int fd;
    char *request;
    size_t length;              /* Of 'request'. */
    int depth;                  /* Of the message being received, */
    bool in_string, escaped;    /* and where in it we are. */
    size_t bytes;               /* Of it, so far. */
};

static const char *path;
static struct client clients[MAX_CLIENTS];
static struct pollfd fds[MAX_CLIENTS];
static char buffer[1 << 20];

static void
fail(const char *what)
{
    perror(what);
    exit(1);
}

static double
now(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return ts.tv_sec + ts.tv_nsec / 1e9;
}

static void
client_open(struct client *c)
{
    struct sockaddr_un sun = { .sun_family = AF_UNIX };

    snprintf(sun.sun_path, sizeof sun.sun_path, "%s", path);
    c->fd = socket(AF_UNIX, SOCK_STREAM, 0);
    if (c->fd < 0 || connect(c->fd, (struct sockaddr *) &sun, sizeof sun)) {
        fail(path);
    }
}

static void
send_text(struct client *c, const char *text, size_t length)
{
    while (length) {
        ssize_t n = send(c->fd, text, length, 0);
        if (n < 0) {
            fail("send");
        }
        text += n;
        length -= n;
    }
}

/* Counts the messages that end in the 'n' bytes at 's'. */
static int
messages_in(struct client *c, const char *s, size_t n)
{
    int ended = 0;

    for (size_t i = 0; i < n; i++) {
        c->bytes++;
        if (c->in_string) {
            if (c->escaped) {
                c->escaped = false;
            } else if (s[i] == '\\') {
                c->escaped = true;
            } else if (s[i] == '"') {
                c->in_string = false;
            }
        } else if (s[i] == '"') {
            c->in_string = true;
        } else if (s[i] == '{' || s[i] == '[') {
            c->depth++;
        } else if ((s[i] == '}' || s[i] == ']') && !--c->depth) {
            ended++;
        }
    }
    return ended;
}

/* Receives what there is, at least something; returns how many messages are
 * complete by it. */
static int
receive(struct client *c)
{
    ssize_t n = recv(c->fd, buffer, sizeof buffer, 0);
    if (n <= 0) {
        fail("recv");
    }
    return messages_in(c, buffer, n);
}

/* Sends a request and waits for 'n' messages. */
static void
call(struct client *c, const char *text, int n)
{
    send_text(c, text, strlen(text));
    while (n > 0) {
        n -= receive(c);
    }
}

__attribute__((format(printf, 2, 3)))
static void
set_request(struct client *c, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    free(c->request);
    if (vasprintf(&c->request, format, args) < 0) {
        fail("asprintf");
    }
    va_end(args);
    c->length = strlen(c->request);
}

/* Gives each client a row, and the request that changes it. */
static void
make_rows(int n, bool durable)
{
    for (int i = 0; i < n; i++) {
        struct client *c = &clients[i];
        char text[512];
        char uuid[64];

        client_open(c);
        snprintf(uuid, sizeof uuid, "bec00000-0000-4000-8000-%012x", i);
        snprintf(text, sizeof text, "{\"id\":1,\"method\":\"transact\","
                 "\"params\":[\"Open_vSwitch\",{\"op\":\"insert\","
                 "\"table\":\"Queue\",\"uuid\":\"%s\",\"row\":{}}]}", uuid);
        call(c, text, 1);
        set_request(c, "{\"id\":1,\"method\":\"transact\",\"params\":["
                    "\"Open_vSwitch\",{\"op\":\"mutate\",\"table\":\"Queue\","
                    "\"where\":[[\"_uuid\",\"==\",[\"uuid\",\"%s\"]]],"
                    "\"mutations\":[[\"external_ids\",\"delete\","
                    "[\"set\",[\"n\"]]],[\"external_ids\",\"insert\",[\"map\","
                    "[[\"n\",\"00000000\"]]]]]}%s]}", uuid,
                    durable ? ",{\"op\":\"commit\",\"durable\":true}" : "");
    }
}

static void
transactions(int n, double seconds, bool durable)
{
    unsigned long count = 0;

    make_rows(n, durable);
    double start = now();
    for (int i = 0; i < n; i++) {
        fds[i] = (struct pollfd) { .fd = clients[i].fd, .events = POLLIN };
        send_text(&clients[i], clients[i].request, clients[i].length);
    }
    while (now() < start + seconds) {
        if (poll(fds, n, 1000) < 0) {
            fail("poll");
        }
        for (int i = 0; i < n; i++) {
            struct client *c = &clients[i];
            if (fds[i].revents && receive(c)) {
                /* Another value each time. */
                char *value = strstr(c->request, "[\"n\",\"") + 6;
                char digits[9];
                snprintf(digits, sizeof digits, "%08lu", ++count % 100000000);
                memcpy(value, digits, 8);
                send_text(c, c->request, c->length);
            }
        }
    }
    printf("%.0f\n", count / (now() - start));
}

static void
add_ports(int first, int n)
{
    struct client *c = &clients[0];
    double start = now();

    client_open(c);
    for (int i = first; i < first + n; i++) {
        char text[1024];
        snprintf(text, sizeof text, "{\"id\":1,\"method\":\"transact\","
                 "\"params\":[\"Open_vSwitch\","
                 "{\"op\":\"insert\",\"table\":\"Interface\","
                 "\"uuid-name\":\"i\",\"row\":{\"name\":\"p%d\","
                 "\"external_ids\":[\"map\",[[\"vm-id\",\"vm%d\"]]]}},"
                 "{\"op\":\"insert\",\"table\":\"Port\",\"uuid-name\":\"p\","
                 "\"row\":{\"name\":\"p%d\","
                 "\"interfaces\":[\"named-uuid\",\"i\"]}},"
                 "{\"op\":\"mutate\",\"table\":\"Bridge\",\"where\":[],"
                 "\"mutations\":[[\"ports\",\"insert\","
                 "[\"named-uuid\",\"p\"]]]}]}", i, i, i);
        call(c, text, 1);
    }
    printf("%.0f\n", n / (now() - start));
}

static void
fan_out(int n, int count)
{
    struct client *writer = &clients[n];

    make_rows(n + 1, false);
    for (int i = 0; i < n; i++) {
        call(&clients[i], "{\"id\":1,\"method\":\"monitor_cond\",\"params\":["
             "\"Open_vSwitch\",\"m\",{\"Queue\":[{\"columns\":["
             "\"external_ids\"]}]}]}", 1);
        fds[i] = (struct pollfd) { .fd = clients[i].fd, .events = POLLIN };
    }

    double total = 0;
    for (int k = 0; k < count; k++) {
        int left = n;
        double start = now();
        char *value = strstr(writer->request, "[\"n\",\"") + 6;
        char digits[9];

        snprintf(digits, sizeof digits, "%08u", (k + 1u) % 100000000);
        memcpy(value, digits, 8);
        send_text(writer, writer->request, writer->length);
        while (left) {
            if (poll(fds, n, 1000) < 0) {
                fail("poll");
            }
            for (int i = 0; i < n; i++) {
                if (fds[i].revents) {
                    left -= receive(&clients[i]);
                }
            }
        }
        total += now() - start;
        while (!receive(writer)) {
            continue;
        }
    }
    printf("%.3f\n", total / count * 1e3);
}

static void
one_call(void)
{
    struct client *c = &clients[0];
    size_t n = fread(buffer, 1, sizeof buffer - 1, stdin);

    client_open(c);
    double start = now();
    send_text(c, buffer, n);
    while (!receive(c)) {
        continue;
    }
    printf("%.3f %zu\n", (now() - start) * 1e3, c->bytes);
}

int
main(int argc, char *argv[])
{
    if (argc < 3) {
        fprintf(stderr, "see load.c for how to use it\n");
        return 2;
    }
    path = argv[1];
    if (!strcmp(argv[2], "transactions") && argc == 6) {
        transactions(atoi(argv[3]), atof(argv[4]),
                     !strcmp(argv[5], "durable"));
    } else if (!strcmp(argv[2], "add-ports") && argc == 5) {
        add_ports(atoi(argv[3]), atoi(argv[4]));
    } else if (!strcmp(argv[2], "fan-out") && argc == 5) {
        fan_out(atoi(argv[3]), atoi(argv[4]));
    } else if (!strcmp(argv[2], "call")) {
        one_call();
    } else {
        return 2;
    }
    return 0;
}
