/* "top": the switch at work.  Rates per port, what the service threads do, and
 * drops with their reasons, over each --interval.
 *
 * The switch's counters (sluice/ports, sluice/threads) only ever grow: a screen
 * is the difference of two samples. */
#include <config.h>
#include "tools.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "db-ctl-base.h"
#include "jsonrpc.h"
#include "openvswitch/json.h"
#include "openvswitch/poll-loop.h"
#include "openvswitch/shash.h"
#include "report.h"
#include "rpc.h"
#include "timeval.h"
#include "util.h"

/* What the switch said at one time. */
struct sample {
    long long int when;         /* In us. */
    struct json *ports;         /* Answers, or NULL. */
    struct json *threads;
};

static struct json *
ask(struct jsonrpc *sw, const char *command)
{
    char *error;
    struct json *answer = rpc_query(sw, command, NULL, &error);

    if (!answer && !strstr(error, "is not a valid command")) {
        ctl_fatal("%s", error);
    }
    free(error);
    return answer;
}

/* A switch that doesn't count by the moment writes counters into the database
 * every few seconds: better than none. */
static struct json *
ports_from_database(void)
{
    struct json *answer = json_object_create();
    struct json *ports = json_array_create_empty();
    struct json *rows = NULL;
    char *error;
    struct jsonrpc *db = rpc_open_database(&error);

    if (db) {
        rows = rpc_select(db, "Interface", NULL, &error);
        jsonrpc_close(db);
    }
    if (!rows) {
        ctl_fatal("%s", error);
    }
    for (size_t i = 0; i < rows->array.n; i++) {
        struct json *row = rpc_plain(rows->array.elems[i]);
        const struct json *statistics = json_member(row, "statistics");
        struct json *port = (statistics && statistics->type == JSON_OBJECT
                             ? json_deep_clone(statistics)
                             : json_object_create());

        json_object_put_string(port, "name", json_string_or(row, "name", ""));
        json_array_add(ports, port);
        json_destroy(row);
    }
    json_destroy(rows);
    json_object_put(answer, "ports", ports);
    return answer;
}

static void
take_sample(struct jsonrpc *sw, struct sample *sample)
{
    sample->ports = ask(sw, "sluice/ports");
    if (!sample->ports) {
        sample->ports = ports_from_database();
    }
    sample->threads = ask(sw, "sluice/threads");
    sample->when = time_usec();
}

static void
free_sample(struct sample *sample)
{
    json_destroy(sample->ports);
    json_destroy(sample->threads);
}

/* Initializes 'index' with the elements of array 'member' of 'answer', by their
 * names.  The caller must destroy it with shash_destroy(). */
static void
index_by_name(struct shash *index, const struct json *answer,
              const char *member)
{
    const struct json *array = json_member(answer, member);

    shash_init(index);
    for (size_t i = 0; i < json_length(array); i++) {
        struct json *element = array->array.elems[i];

        shash_replace(index, json_string_or(element, "name", ""), element);
    }
}

static double
rate(const struct json *now, const struct json *before, const char *counter,
     double seconds)
{
    double delta = json_number(now, counter) - json_number(before, counter);

    return before && delta > 0 ? delta / seconds : 0;
}

static void
put_rate(struct json *to, const char *name, const struct json *now,
         const struct json *before, const char *counter, double seconds)
{
    json_object_put(to, name,
                    json_real_create(rate(now, before, counter, seconds)));
}

static struct json *
port_rates(const struct sample *now, const struct sample *before,
           double seconds)
{
    const struct json *ports = json_member(now->ports, "ports");
    struct json *result = json_array_create_empty();
    struct shash index;

    index_by_name(&index, before->ports, "ports");
    for (size_t i = 0; i < json_length(ports); i++) {
        const struct json *p = ports->array.elems[i];
        const char *name = json_string_or(p, "name", "");
        const struct json *b = shash_find_data(&index, name);
        struct json *r = json_object_create();

        json_object_put_string(r, "name", name);
        json_object_put_string(r, "type", json_string_or(p, "type", ""));
        put_rate(r, "rx_pps", p, b, "rx_packets", seconds);
        put_rate(r, "rx_bps", p, b, "rx_bytes", seconds / 8);
        put_rate(r, "tx_pps", p, b, "tx_packets", seconds);
        put_rate(r, "tx_bps", p, b, "tx_bytes", seconds / 8);
        put_rate(r, "rx_drops", p, b, "rx_dropped", seconds);
        put_rate(r, "tx_drops", p, b, "tx_dropped", seconds);
        json_array_add(result, r);
    }
    shash_destroy(&index);
    return result;
}

static struct json *
thread_rates(const struct sample *now, const struct sample *before,
             double seconds)
{
    const struct json *threads = json_member(now->threads, "threads");
    struct json *result = json_array_create_empty();
    struct shash index;

    index_by_name(&index, before->threads, "threads");
    for (size_t i = 0; i < json_length(threads); i++) {
        const struct json *t = threads->array.elems[i];
        const char *name = json_string_or(t, "name", "");
        const struct json *b = shash_find_data(&index, name);
        struct json *r = json_object_create();

        json_object_put_string(r, "name", name);
        json_object_put(r, "cpu", json_integer_create(json_number(t, "cpu")));
        json_object_put(r, "queues",
                        json_integer_create(json_number(t, "queues")));
        json_object_put(r, "hot", json_integer_create(json_number(t, "hot")));
        put_rate(r, "busy_percent", t, b, "busy_us", seconds * 1e4);
        put_rate(r, "spin_percent", t, b, "spin_us", seconds * 1e4);
        put_rate(r, "pps", t, b, "packets", seconds);
        put_rate(r, "polls", t, b, "polls", seconds);
        put_rate(r, "sleeps", t, b, "sleeps", seconds);
        json_array_add(result, r);
    }
    shash_destroy(&index);
    return result;
}

/* Where flows were found, in packets per second. */
static struct json *
cache_rates(const struct sample *now, const struct sample *before,
            double seconds)
{
    const struct json *c = json_member(now->threads, "cache");
    const struct json *b = json_member(before->threads, "cache");
    struct json *result = json_object_create();
    const struct shash_node *node;

    if (c && c->type == JSON_OBJECT) {
        SHASH_FOR_EACH (node, json_object(c)) {
            put_rate(result, node->name, c, b, node->name, seconds);
        }
    }
    return result;
}

static struct json *
drop_rates(const struct sample *now, const struct sample *before,
           double seconds)
{
    const struct json *ports = json_member(now->ports, "ports");
    struct json *result = json_array_create_empty();
    const struct shash_node *node;
    struct shash index;

    index_by_name(&index, before->ports, "ports");
    for (size_t i = 0; i < json_length(ports); i++) {
        const struct json *p = ports->array.elems[i];
        const char *name = json_string_or(p, "name", "");
        const struct json *drops = json_member(p, "drops");
        const struct json *b = json_member(shash_find_data(&index, name),
                                           "drops");

        if (!drops || drops->type != JSON_OBJECT) {
            continue;
        }
        SHASH_FOR_EACH (node, json_object(drops)) {
            double pps = rate(drops, b, node->name, seconds);

            if (pps > 0) {
                struct json *r = json_object_create();

                json_object_put_string(r, "port", name);
                json_object_put_string(r, "reason", node->name);
                json_object_put(r, "pps", json_real_create(pps));
                json_array_add(result, r);
            }
        }
    }
    shash_destroy(&index);
    return result;
}

static struct json *
compose(const struct sample *now, const struct sample *before)
{
    double seconds = (now->when - before->when) / 1e6;
    struct json *screen = json_object_create();

    json_object_put(screen, "interval", json_real_create(seconds));
    json_object_put(screen, "ports", port_rates(now, before, seconds));
    json_object_put(screen, "threads", thread_rates(now, before, seconds));
    json_object_put(screen, "cache", cache_rates(now, before, seconds));
    json_object_put(screen, "drops", drop_rates(now, before, seconds));
    return screen;
}

static int
compare_ports(const void *a_, const void *b_)
{
    const struct json *a = *(struct json *const *) a_;
    const struct json *b = *(struct json *const *) b_;
    double x = json_number(a, "rx_pps") + json_number(a, "tx_pps");
    double y = json_number(b, "rx_pps") + json_number(b, "tx_pps");

    return (x != y ? (x < y ? 1 : -1)
            : strcmp(json_string_or(a, "name", ""),
                     json_string_or(b, "name", "")));
}

static void
print_rate(const struct json *json, const char *name, int width)
{
    char *s = format_rate(json_number(json, name));

    printf(" %*s", width, s);
    free(s);
}

static void
print_threads(const struct json *threads)
{
    if (!json_length(threads)) {
        return;
    }
    printf("%-14s %4s %6s %6s %6s %6s %8s %8s %8s\n", "THREAD", "CPU",
           "BUSY%", "SPIN%", "QUEUES", "HOT", "PPS", "POLLS", "SLEEPS");
    for (size_t i = 0; i < threads->array.n; i++) {
        const struct json *t = threads->array.elems[i];

        char *cpu = (json_number(t, "cpu") < 0 ? xstrdup("any")
                     : xasprintf("%.0f", json_number(t, "cpu")));

        printf("%-14s %4s %6.1f %6.1f %6.0f %6.0f",
               json_string_or(t, "name", ""), cpu,
               json_number(t, "busy_percent"), json_number(t, "spin_percent"),
               json_number(t, "queues"), json_number(t, "hot"));
        print_rate(t, "pps", 8);
        print_rate(t, "polls", 8);
        print_rate(t, "sleeps", 8);
        putchar('\n');
        free(cpu);
    }
    putchar('\n');
}

static void
print_cache(const struct json *cache)
{
    const struct shash_node **nodes = shash_sort(json_object(cache));
    size_t n = shash_count(json_object(cache));

    for (size_t i = 0; i < n; i++) {
        printf("%s%s", i ? "  " : "flows found by, per second:  ",
               nodes[i]->name);
        print_rate(cache, nodes[i]->name, 0);
    }
    if (n) {
        puts("\n");
    }
    free(nodes);
}

static void
print_drop_rates(const struct json *drops)
{
    if (!json_length(drops)) {
        return;
    }
    printf("%-16s %-28s %8s\n", "PORT", "DROPPED FOR", "PPS");
    for (size_t i = 0; i < drops->array.n; i++) {
        const struct json *d = drops->array.elems[i];

        printf("%-16s %-28s", json_string_or(d, "port", ""),
               json_string_or(d, "reason", ""));
        print_rate(d, "pps", 8);
        putchar('\n');
    }
    putchar('\n');
}

static void
print_ports(const struct json *ports, size_t max)
{
    printf("%-16s %-12s %8s %8s %8s %8s %8s %8s\n", "PORT", "TYPE",
           "RX PPS", "RX BIT/S", "TX PPS", "TX BIT/S", "RX DROP", "TX DROP");
    for (size_t i = 0; i < json_length(ports) && i < max; i++) {
        const struct json *p = ports->array.elems[i];

        printf("%-16s %-12s", json_string_or(p, "name", ""),
               json_string_or(p, "type", ""));
        print_rate(p, "rx_pps", 8);
        print_rate(p, "rx_bps", 8);
        print_rate(p, "tx_pps", 8);
        print_rate(p, "tx_bps", 8);
        print_rate(p, "rx_drops", 8);
        print_rate(p, "tx_drops", 8);
        putchar('\n');
    }
}

/* Returns how many ports fit on the terminal below the rest of 'screen'. */
static size_t
room_for_ports(const struct json *screen)
{
    struct winsize size;
    size_t used = 10 + json_length(json_member(screen, "threads"))
                  + json_length(json_member(screen, "drops"));

    if (!isatty(STDOUT_FILENO)
        || ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) || !size.ws_row) {
        return SIZE_MAX;
    }
    return size.ws_row > used ? size.ws_row - used : 1;
}

static void
print_screen(const struct json *screen)
{
    const struct json *ports = json_member(screen, "ports");

    if (isatty(STDOUT_FILENO)) {
        fputs("\033[H\033[J", stdout); /* Home, and clear what is below. */
    }
    qsort(ports->array.elems, ports->array.n, sizeof *ports->array.elems,
          compare_ports);
    print_threads(json_member(screen, "threads"));
    print_cache(json_member(screen, "cache"));
    print_drop_rates(json_member(screen, "drops"));
    print_ports(ports, room_for_ports(screen));
    putchar('\n');
    fflush(stdout);
}

int
tool_top(const struct tool_args *args)
{
    char *error;
    struct jsonrpc *sw = rpc_open_switch(&error);
    struct sample before, now;
    long long int next;

    if (!sw) {
        ctl_fatal("%s", error);
    }
    next = time_msec();
    take_sample(sw, &before);
    for (unsigned int i = 0; !args->count || i < args->count; i++) {
        struct json *screen;

        next += args->interval;
        while (time_msec() < next) {
            poll_timer_wait_until(next);
            poll_block();
        }
        take_sample(sw, &now);
        screen = compose(&now, &before);
        if (args->json) {
            print_json_line(screen);
        } else {
            print_screen(screen);
        }
        json_destroy(screen);
        free_sample(&before);
        before = now;
    }
    free_sample(&before);
    jsonrpc_close(sw);
    return EXIT_SUCCESS;
}
