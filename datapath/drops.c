/* Drops: each has a reason, a port and a counter, and each thread keeps the
 * headers of its last ones. */
#include <config.h>
#include "datapath/private.h"

#include "datapath/kernel/kernel.h"
#include "openvswitch/dynamic-string.h"
#include "openvswitch/json.h"
#include "netdev.h"
#include "timeval.h"
#include "util.h"

#define RING_SIZE 64
#define RING_HEADER 64          /* Bytes kept of each packet. */

/* Written by its thread alone.  A reader may see a record that is just being
 * replaced; 'port_index' and 'reason' are checked before use. */
struct drop_record {
    long long int when;         /* time_wall_msec(), 0 if unused. */
    char port[16];
    uint16_t reason;
    uint16_t header_len;
    uint32_t len;
    uint8_t header[RING_HEADER];
};

struct drop_ring {
    unsigned int next;
    struct drop_record records[RING_SIZE];
};

const char *const drop_reason_names[N_DROP_REASONS] = {
#define DROP(ENUM, NAME) [DROP_##ENUM] = NAME,
    DROP_REASONS
#undef DROP
};

struct drop_ring *
drop_ring_create(void)
{
    return xzalloc(sizeof(struct drop_ring));
}

void
drop_ring_destroy(struct drop_ring *ring)
{
    free(ring);
}

void
port_drop(const struct port *port, enum drop_reason reason, unsigned int n,
          struct dp_thread *thread)
{
    counter_add(&thread->counters[port->index].drops[reason], n);
}

void
port_drop_packet(const struct port *port, enum drop_reason reason,
                 const struct vhost_packet *packet, struct dp_thread *thread)
{
    struct drop_ring *ring = thread->drops;
    struct drop_record *r = &ring->records[ring->next++ % RING_SIZE];

    port_drop(port, reason, 1, thread);

    r->when = time_wall_msec();
    ovs_strlcpy(r->port, netdev_get_name(port->netdev), sizeof r->port);
    r->reason = reason;
    r->len = packet->len;
    r->header_len = MIN(packet->head_len, RING_HEADER);
    memcpy(r->header, packet->head, r->header_len);
}

struct report_aux {
    const char *port;
    struct json *array;
};

static void
report_drop(struct json *array, const char *port, enum drop_reason reason,
            long long int when, uint32_t len, const uint8_t *header,
            size_t header_len)
{
    struct json *json = json_object_create();
    struct ds hex = DS_EMPTY_INITIALIZER;

    json_object_put_string(json, "port", port);
    json_object_put_string(json, "reason", drop_reason_names[reason]);
    json_object_put(json, "when", json_integer_create(when));
    json_object_put(json, "length", json_integer_create(len));
    ds_put_hex(&hex, header, header_len);
    json_object_put_string(json, "header", ds_cstr(&hex));
    ds_destroy(&hex);
    json_array_add(array, json);
}

static void
report_thread(struct dp_thread *thread, void *aux_)
{
    struct report_aux *aux = aux_;

    for (unsigned int i = 0; i < RING_SIZE; i++) {
        struct drop_record r = thread->drops->records[i];

        r.port[sizeof r.port - 1] = '\0';
        if (!r.when || r.reason >= N_DROP_REASONS
            || (aux->port && strcmp(aux->port, r.port))) {
            continue;
        }
        report_drop(aux->array, r.port, r.reason, r.when, r.len, r.header,
                    MIN(r.header_len, RING_HEADER));
    }
}

struct kernel_report_aux {
    const struct port *port;
    struct json *array;
};

static void
report_kernel_drop(enum drop_reason reason, long long int when, uint32_t len,
                   const uint8_t *header, size_t header_len, void *aux_)
{
    struct kernel_report_aux *aux = aux_;

    report_drop(aux->array, netdev_get_name(aux->port->netdev), reason, when,
                len, header, header_len);
}

/* Reports what the kernel engine dropped at the ports of 'dp'. */
static void
report_kernel(struct datapath *dp, void *aux_)
{
    struct report_aux *aux = aux_;
    struct shash_node *node;

    ovs_mutex_lock(&dp->port_mutex);
    SHASH_FOR_EACH (node, &dp->ports_by_name) {
        const struct port *port = node->data;
        struct kernel_report_aux kernel_aux = { port, aux->array };

        if (!aux->port || !strcmp(aux->port, netdev_get_name(port->netdev))) {
            kernel_port_for_each_drop(port, report_kernel_drop, &kernel_aux);
        }
    }
    ovs_mutex_unlock(&dp->port_mutex);
}

struct json *
drops_report(const char *port)
{
    struct report_aux aux = { port, json_array_create_empty() };

    dp_thread_for_each(report_thread, &aux);
    datapath_for_each(report_kernel, &aux);
    return aux.array;
}

void
drops_to_custom_stats(const struct port_counters *counters,
                      struct netdev_custom_stats *stats)
{
    stats->counters = NULL;
    stats->size = 0;
    for (int i = 0; i < N_DROP_REASONS; i++) {
        if (counters->drops[i]) {
            if (!stats->counters) {
                stats->counters = xcalloc(N_DROP_REASONS,
                                          sizeof *stats->counters);
            }
            struct netdev_custom_counter *counter
                = &stats->counters[stats->size++];

            snprintf(counter->name, sizeof counter->name, "drop_%s",
                     drop_reason_names[i]);
            counter->value = counters->drops[i];
        }
    }
}
