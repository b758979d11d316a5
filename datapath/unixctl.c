/* unixctl commands that show the datapath: sluice/threads, sluice/queues,
 * sluice/ports, sluice/flows, sluice/drops.
 *
 * Each takes an optional port name where that makes sense, and --format=json
 * as its last argument to answer in JSON; a table for people else. */
#include <config.h>
#include "datapath/private.h"

#include "datapath/kernel/kernel.h"
#include "datapath/netdev-vhost.h"
#include "datapath/program.h"
#include "netdev.h"
#include "odp-util.h"
#include "openvswitch/dynamic-string.h"
#include "openvswitch/json.h"
#include "timeval.h"
#include "unixctl.h"
#include "util.h"

/* The arguments of a command. */
struct request {
    bool json;
    const char *port;           /* NULL: all. */
};

static struct request
parse_request(int argc, const char *argv[])
{
    struct request request = { .json = false };

    for (int i = 1; i < argc; i++) {
        if (!strcmp(argv[i], "--format=json")) {
            request.json = true;
        } else {
            request.port = argv[i];
        }
    }
    return request;
}

/* Answers with 'json', which is an object with an array called 'name' of
 * objects: as it is, or as a table with a column per member of the first. */
static void
reply(struct unixctl_conn *conn, const struct request *request,
      struct json *json, const char *name)
{
    if (request->json) {
        char *s = json_to_string(json, JSSF_SORT);
        unixctl_command_reply(conn, s);
        free(s);
        json_destroy(json);
        return;
    }

    struct ds ds = DS_EMPTY_INITIALIZER;
    const struct json *array = shash_find_data(json_object(json), name);
    for (size_t i = 0; i < json_array(array)->n; i++) {
        const struct shash_node **nodes
            = shash_sort(json_object(json_array(array)->elems[i]));
        size_t n = shash_count(json_object(json_array(array)->elems[i]));

        for (size_t j = 0; j < n; j++) {
            const struct json *value = nodes[j]->data;

            ds_put_format(&ds, "%s%s=", j ? " " : "", nodes[j]->name);
            if (value->type == JSON_STRING) {
                ds_put_cstr(&ds, json_string(value));
            } else {
                json_to_ds(value, 0, &ds);
            }
        }
        ds_put_char(&ds, '\n');
        free(nodes);
    }
    unixctl_command_reply(conn, ds_cstr(&ds));
    ds_destroy(&ds);
    json_destroy(json);
}

static void
put_integer(struct json *object, const char *name, long long int value)
{
    json_object_put(object, name, json_integer_create(value));
}

static void
put_boolean(struct json *object, const char *name, bool value)
{
    json_object_put(object, name, json_boolean_create(value));
}

/* --- sluice/threads ---------------------------------------------------------*/

struct threads_aux {
    const struct vhost_thread_stats *stats;
    size_t n;
    struct json *array;
};

/* Adds service thread 'thread': what the pool and what the datapath know. */
static void
show_thread(struct dp_thread *thread, void *aux_)
{
    struct threads_aux *aux = aux_;
    struct timespec cpu = { 0, 0 };

    if (!thread->service || thread->index >= aux->n) {
        return;
    }
    const struct vhost_thread_stats *s = &aux->stats[thread->index];
    const struct cache_counters *c = &thread->cache_counters;
    struct json *object = json_object_create();

    clock_gettime(thread->cpu_clock, &cpu);
    json_object_put_string(object, "name", s->name);
    put_integer(object, "tid", s->tid);
    put_integer(object, "cpu", s->cpu);
    put_integer(object, "beat", atomic_load(&thread->beat));
    put_boolean(object, "asleep", atomic_load(&thread->asleep));
    put_integer(object, "queues", s->n_sources);
    put_integer(object, "hot", s->n_hot);
    put_integer(object, "packets", s->packets);
    put_integer(object, "polls", s->polls);
    put_integer(object, "hits", s->hits);
    put_integer(object, "sleeps", s->sleeps);
    put_integer(object, "wakeups", s->wakeups);
    put_integer(object, "busy_us", s->busy_ns / 1000);
    put_integer(object, "spin_us", s->spin_ns / 1000);
    put_integer(object, "cpu_us", cpu.tv_sec * 1000000LL + cpu.tv_nsec / 1000);
    put_integer(object, "migrations", s->migrations);
    put_integer(object, "microflow_hits", c->same + c->microflow);
    put_integer(object, "megaflow_hits", c->megaflow);
    put_integer(object, "upcalls", c->miss);
    json_array_add(aux->array, object);
}

static struct json *
cache_report(void)
{
    struct json *cache = json_object_create();
    struct cache_counters c;

    dp_threads_get_cache_counters(&c);
    put_integer(cache, "same", c.same);
    put_integer(cache, "microflow", c.microflow);
    put_integer(cache, "megaflow", c.megaflow);
    put_integer(cache, "miss", c.miss);
    put_integer(cache, "lost", c.lost);
    put_integer(cache, "generic", c.generic);
    return cache;
}

static void
threads_cmd(struct unixctl_conn *conn, int argc, const char *argv[],
            void *aux_ OVS_UNUSED)
{
    struct request request = parse_request(argc, argv);
    struct threads_aux aux = { .array = json_array_create_empty() };
    struct vhost_thread_stats *stats
        = vhost_pool_thread_stats(datapath_pool(), &aux.n);

    aux.stats = stats;
    dp_thread_for_each(show_thread, &aux);
    free(stats);

    /* The main loop is what answers here. */
    struct json *main_loop = json_object_create();
    put_integer(main_loop, "beat", time_msec());

    struct json *json = json_object_create();
    put_integer(json, "now", time_msec());
    json_object_put(json, "main_loop", main_loop);
    json_object_put(json, "cache", cache_report());
    json_object_put(json, "threads", aux.array);
    reply(conn, &request, json, "threads");
}

/* --- sluice/queues ----------------------------------------------------------*/

struct for_port_aux {
    const struct request *request;
    struct json *array;
};

/* Calls 'cb' for the ports that 'aux->request' asks for. */
static void
for_each_port(struct datapath *dp, struct for_port_aux *aux,
              void (*cb)(struct port *, struct json *array))
{
    ovs_mutex_lock(&dp->port_mutex);
    struct shash_node *node;
    SHASH_FOR_EACH (node, &dp->ports_by_name) {
        struct port *port = node->data;

        if (!aux->request->port
            || !strcmp(aux->request->port, netdev_get_name(port->netdev))) {
            cb(port, aux->array);
        }
    }
    ovs_mutex_unlock(&dp->port_mutex);
}

static void
show_queues(struct port *port, struct json *array)
{
    struct vhost_device *device = port->priv;
    size_t n;

    if (port->class != &port_vhost_class || !device) {
        return;
    }
    struct vhost_queue_stats *stats = vhost_device_queue_stats(device, &n);
    for (size_t i = 0; i < n; i++) {
        const struct vhost_queue_stats *s = &stats[i];
        struct json *object = json_object_create();

        json_object_put_string(object, "port",
                               netdev_get_name(port->netdev));
        put_integer(object, "queue", s->index);
        json_object_put_string(object, "direction", s->index % 2 ? "tx"
                                                                 : "rx");
        put_boolean(object, "running", s->enabled && !s->broken);
        put_boolean(object, "enabled", s->enabled);
        put_boolean(object, "broken", s->broken);
        put_boolean(object, "packed", s->packed);
        put_integer(object, "size", s->size);
        put_integer(object, "packets", s->packets);
        put_integer(object, "bytes", s->bytes);
        put_integer(object, "kicks", s->kicks);
        put_integer(object, "calls", s->calls);
        put_integer(object, "no_buffers", s->no_buffers);
        put_integer(object, "overflowed", s->overflowed);
        put_integer(object, "dropped", s->dropped);
        put_integer(object, "bad_chains", s->bad_chains);
        json_array_add(array, object);
    }
    free(stats);
}

static void
queues_of_datapath(struct datapath *dp, void *aux)
{
    for_each_port(dp, aux, show_queues);
}

/* --- sluice/ports -----------------------------------------------------------*/

static void
show_port(struct port *port, struct json *array)
{
    struct port_counters c;
    struct json *object = json_object_create();
    struct json *drops = json_object_create();
    uint64_t n_out = 0, n_in = 0;

    port_get_counters(port, &c);
    for (int i = 0; i < N_DROP_REASONS; i++) {
        if (c.drops[i]) {
            if (i < N_LOSS_REASONS) {
                *(i < N_OUT_REASONS ? &n_out : &n_in) += c.drops[i];
            }
            put_integer(drops, drop_reason_names[i], c.drops[i]);
        }
    }
    json_object_put_string(object, "name", netdev_get_name(port->netdev));
    json_object_put_string(object, "type", port->type);
    json_object_put_string(object, "datapath", port->dp->name);
    put_integer(object, "number", odp_to_u32(port->number));
    put_integer(object, "rx_packets", c.rx_packets);
    put_integer(object, "rx_bytes", c.rx_bytes);
    put_integer(object, "tx_packets", c.tx_packets - MIN(n_out, c.tx_packets));
    put_integer(object, "tx_bytes", c.tx_bytes);
    put_integer(object, "rx_dropped", n_in);
    put_integer(object, "tx_dropped", n_out);
    json_object_put(object, "drops", drops);
    json_array_add(array, object);
}

static void
ports_of_datapath(struct datapath *dp, void *aux)
{
    for_each_port(dp, aux, show_port);
}

/* --- sluice/flows -----------------------------------------------------------*/

static void
show_flow(const struct datapath *dp, const struct megaflow *flow,
          struct json *array)
{
    const struct program *program = ovsrcu_get(struct program *,
                                               &flow->program);
    struct json *object = json_object_create();
    struct ds s = DS_EMPTY_INITIALIZER;
    struct dpif_flow_stats stats;
    struct match match;

    megaflow_get_match(flow, &match);
    match_format(&match, NULL, &s, OFP_DEFAULT_PRIORITY);
    json_object_put_string(object, "match", ds_cstr(&s));
    ds_clear(&s);
    format_odp_actions(&s, program->actions, program->actions_len, NULL);
    json_object_put_string(object, "actions", ds_cstr(&s));
    ds_destroy(&s);

    megaflow_get_stats(flow, &stats);
    put_integer(object, "packets", stats.n_packets);
    put_integer(object, "bytes", stats.n_bytes);
    json_object_put(object, "used", stats.used
                    ? json_real_create((time_msec() - stats.used) / 1000.0)
                    : json_null_create());
    json_object_put_string(object, "datapath", dp->name);
    json_object_put_string(object, "engine",
                           kernel_flow_exists(flow) ? "kernel" : "user");
    put_integer(object, "connections", kernel_connections_count(flow));
    json_object_put_string(object, "path", program->generic ? "generic"
                                                            : "fast");
    json_array_add(array, object);
}

static void
flows_of_datapath(struct datapath *dp, void *aux_)
{
    struct for_port_aux *aux = aux_;
    struct megaflow *flow;

    CMAP_FOR_EACH (flow, ufid_node, &dp->flows.by_ufid) {
        const struct port *in = datapath_port(dp, megaflow_in_port(flow));

        if (!aux->request->port
            || (in && !strcmp(aux->request->port,
                              netdev_get_name(in->netdev)))) {
            show_flow(dp, flow, aux->array);
        }
    }
}

/* Answers with what 'of_datapath' of all datapaths puts into the array that
 * 'name' is. */
static void
list_cmd(struct unixctl_conn *conn, int argc, const char *argv[],
         const char *name, void (*of_datapath)(struct datapath *, void *))
{
    struct request request = parse_request(argc, argv);
    struct for_port_aux aux = { &request, json_array_create_empty() };
    struct json *json = json_object_create();

    datapath_for_each(of_datapath, &aux);
    put_integer(json, "now", time_msec());
    json_object_put(json, name, aux.array);
    reply(conn, &request, json, name);
}

static void
queues_cmd(struct unixctl_conn *conn, int argc, const char *argv[],
           void *aux OVS_UNUSED)
{
    list_cmd(conn, argc, argv, "queues", queues_of_datapath);
}

static void
ports_cmd(struct unixctl_conn *conn, int argc, const char *argv[],
          void *aux OVS_UNUSED)
{
    list_cmd(conn, argc, argv, "ports", ports_of_datapath);
}

static void
flows_cmd(struct unixctl_conn *conn, int argc, const char *argv[],
          void *aux OVS_UNUSED)
{
    list_cmd(conn, argc, argv, "flows", flows_of_datapath);
}

static void
show_drop_counts(struct port *port, struct json *array)
{
    struct port_counters c;

    port_get_counters(port, &c);
    for (int i = 0; i < N_DROP_REASONS; i++) {
        if (c.drops[i]) {
            struct json *object = json_object_create();

            json_object_put_string(object, "port",
                                   netdev_get_name(port->netdev));
            json_object_put_string(object, "reason", drop_reason_names[i]);
            put_integer(object, "packets", c.drops[i]);
            json_array_add(array, object);
        }
    }
}

static void
drop_counts_of_datapath(struct datapath *dp, void *aux)
{
    for_each_port(dp, aux, show_drop_counts);
}

static void
drops_cmd(struct unixctl_conn *conn, int argc, const char *argv[],
          void *aux_ OVS_UNUSED)
{
    struct request request = parse_request(argc, argv);
    struct for_port_aux aux = { &request, json_array_create_empty() };
    struct json *json = json_object_create();

    datapath_for_each(drop_counts_of_datapath, &aux);
    put_integer(json, "now", time_msec());
    json_object_put(json, "counts", aux.array);
    json_object_put(json, "last", drops_report(request.port));
    reply(conn, &request, json, "last");
}

void
datapath_unixctl_init(void)
{
    unixctl_command_register("sluice/threads", "[--format=json]", 0, 1,
                             threads_cmd, NULL);
    unixctl_command_register("sluice/queues", "[PORT] [--format=json]", 0, 2,
                             queues_cmd, NULL);
    unixctl_command_register("sluice/ports", "[PORT] [--format=json]", 0, 2,
                             ports_cmd, NULL);
    unixctl_command_register("sluice/flows", "[PORT] [--format=json]", 0, 2,
                             flows_cmd, NULL);
    unixctl_command_register("sluice/drops", "[PORT] [--format=json]", 0, 2,
                             drops_cmd, NULL);
}
