/* Quality of service of ports, as far as it is done here.
 *
 * What a port receives is policed here for all kinds of ports: a packet socket
 * gets packets before the kernel's policer does, and a guest has none.
 *
 * What is sent by a kernel device goes through its queueing discipline, which
 * libopenvswitch configures.  A guest's port has policers instead:
 *
 *   egress-policer   a rate (cir, bytes per second of IP packets) and a burst
 *                    (cbs, bytes)
 *   trtcm-policer    two of them: what exceeds the first may take from the
 *                    second (eir, ebs)
 *   linux-htb, linux-hfsc
 *                    max-rate, bits per second, and burst, bits: for those who
 *                    configure all ports alike, libvirt for one.  Its queues are
 *                    accepted, but packets don't wait in them.
 *   linux-noop       nothing
 *
 * Configuration comes to network devices, by name, whether or not a port is
 * there: it is kept here, and ports take it. */
#include <config.h>
#include "datapath/port-qos.h"

#include <errno.h>
#include <string.h>

#include "datapath/kernel/kernel.h"
#include "datapath/policer.h"
#include "datapath/port.h"
#include "hash.h"
#include "netdev-provider.h"
#include "openvswitch/shash.h"
#include "packets.h"
#include "smap.h"
#include "sset.h"
#include "util.h"

/* Bursts if none is given, those of OVS on kernel devices. */
#define DEFAULT_KBITS_BURST 8000
#define DEFAULT_KPKTS_BURST 16

/* What is configured for a device. */
struct device {
    char *name;
    uint32_t kbits_rate, kbits_burst, kpkts_rate, kpkts_burst;
    char *type;                     /* Of QoS, or NULL. */
    struct smap details;
    struct shash queues;            /* Of struct smap, by number. */
};

/* Under 'mutex', like what it holds. */
static struct ovs_mutex mutex = OVS_MUTEX_INITIALIZER;
static struct shash devices = SHASH_INITIALIZER(&devices);
static struct hmap ports = HMAP_INITIALIZER(&ports); /* By device's name. */

static const char *const egress_types[] = {
    "egress-policer", "trtcm-policer", "linux-htb", "linux-hfsc",
    "linux-noop",
};

static struct device *
device_get(const char *name)
    OVS_REQUIRES(mutex)
{
    struct device *device = shash_find_data(&devices, name);

    if (!device) {
        device = xzalloc(sizeof *device);
        device->name = xstrdup(name);
        smap_init(&device->details);
        shash_init(&device->queues);
        shash_add(&devices, name, device);
    }
    return device;
}

static void
device_clear_queues(struct device *device)
{
    struct shash_node *node;

    SHASH_FOR_EACH (node, &device->queues) {
        smap_destroy(node->data);
    }
    shash_clear_free_data(&device->queues);
}

static void
device_clear_qos(struct device *device)
{
    device_clear_queues(device);
    smap_clear(&device->details);
    free(device->type);
    device->type = NULL;
}

/* Forgets 'device' if nothing is configured for it. */
static void
device_put(struct device *device)
    OVS_REQUIRES(mutex)
{
    if (!device->kbits_rate && !device->kpkts_rate && !device->type) {
        shash_find_and_delete(&devices, device->name);
        smap_destroy(&device->details);
        shash_destroy(&device->queues);
        free(device->name);
        free(device);
    }
}

/* --- Policers of ports ----------------------------------------------------- */

static struct policer *
make_ingress(const struct device *device)
{
    const struct policer_limit none = { .rate = 0 };

    if (!device->kbits_rate && !device->kpkts_rate) {
        return NULL;
    }
    return policer_create(
        &(struct policer_limit) {
            .rate = device->kbits_rate * UINT64_C(125),
            .burst = (device->kbits_burst ? device->kbits_burst
                      : DEFAULT_KBITS_BURST) * UINT64_C(125),
        }, &none,
        &(struct policer_limit) {
            .rate = device->kpkts_rate * UINT64_C(1000),
            .burst = (device->kpkts_burst ? device->kpkts_burst
                      : DEFAULT_KPKTS_BURST) * UINT64_C(1000),
        });
}

/* Without a burst, what comes in 10 ms may come at once, if that is a packet of
 * some size. */
static struct policer_limit
get_limit(const struct smap *details, const char *rate, const char *burst,
          unsigned int unit)
{
    struct policer_limit limit = {
        .rate = smap_get_ullong(details, rate, 0) / unit,
    };

    limit.burst = smap_get_ullong(details, burst, 0) / unit;
    if (!limit.burst) {
        limit.burst = MAX(limit.rate / 100, 4 * ETH_PAYLOAD_MAX);
    }
    return limit;
}

static struct policer *
make_egress(const struct device *device)
{
    const struct smap *details = &device->details;
    const struct policer_limit none = { .rate = 0 };

    if (!device->type) {
        return NULL;
    }

    bool linux_type = !strncmp(device->type, "linux-", 6);
    struct policer_limit bytes = linux_type
                                 ? get_limit(details, "max-rate", "burst", 8)
                                 : get_limit(details, "cir", "cbs", 1);
    struct policer_limit excess = strcmp(device->type, "trtcm-policer")
                                  ? none
                                  : get_limit(details, "eir", "ebs", 1);

    return bytes.rate || excess.rate
           ? policer_create(&bytes, &excess, &none) : NULL;
}

static void
replace(struct port *port, const struct device *device)
{
    struct policer *old_ingress = ovsrcu_get_protected(struct policer *,
                                                       &port->ingress);
    struct policer *old_egress = ovsrcu_get_protected(struct policer *,
                                                      &port->egress);

    ovsrcu_set(&port->ingress, device ? make_ingress(device) : NULL);
    ovsrcu_set(&port->egress, device ? make_egress(device) : NULL);
    policer_destroy(old_ingress);
    policer_destroy(old_egress);
    /* The kernel engine doesn't police: its flows come back if they may. */
    kernel_flows_remove_port(port);
}

void
port_qos_attach(struct port *port)
{
    const char *name = netdev_get_name(port->netdev);

    ovs_mutex_lock(&mutex);
    hmap_insert(&ports, &port->qos_node, hash_string(name, 0));
    replace(port, shash_find_data(&devices, name));
    ovs_mutex_unlock(&mutex);
}

void
port_qos_detach(struct port *port)
{
    ovs_mutex_lock(&mutex);
    hmap_remove(&ports, &port->qos_node);
    replace(port, NULL);
    ovs_mutex_unlock(&mutex);
}

/* Has the ports of 'device', one in each datapath at most, do as it says. */
static void
apply(struct device *device)
    OVS_REQUIRES(mutex)
{
    struct port *port;

    HMAP_FOR_EACH_WITH_HASH (port, qos_node, hash_string(device->name, 0),
                             &ports) {
        if (!strcmp(netdev_get_name(port->netdev), device->name)) {
            replace(port, device);
        }
    }
    device_put(device);
}

/* --- What libopenvswitch calls, on the main thread ------------------------- */

static int
set_policing(struct netdev *netdev, uint32_t kbits_rate, uint32_t kbits_burst,
             uint32_t kpkts_rate, uint32_t kpkts_burst)
{
    ovs_mutex_lock(&mutex);
    struct device *device = device_get(netdev_get_name(netdev));
    bool same = (device->kbits_rate == kbits_rate
                 && device->kbits_burst == kbits_burst
                 && device->kpkts_rate == kpkts_rate
                 && device->kpkts_burst == kpkts_burst);

    device->kbits_rate = kbits_rate;
    device->kbits_burst = kbits_burst;
    device->kpkts_rate = kpkts_rate;
    device->kpkts_burst = kpkts_burst;
    if (same) {
        device_put(device);
    } else {
        apply(device);
    }
    ovs_mutex_unlock(&mutex);
    return 0;
}

static bool
is_egress_type(const char *type)
{
    for (size_t i = 0; i < ARRAY_SIZE(egress_types); i++) {
        if (!strcmp(type, egress_types[i])) {
            return true;
        }
    }
    return false;
}

static int
get_qos_types(const struct netdev *netdev OVS_UNUSED, struct sset *types)
{
    for (size_t i = 0; i < ARRAY_SIZE(egress_types); i++) {
        sset_add(types, egress_types[i]);
    }
    return 0;
}

static int
get_qos_capabilities(const struct netdev *netdev OVS_UNUSED,
                     const char *type OVS_UNUSED,
                     struct netdev_qos_capabilities *caps)
{
    caps->n_queues = 0xf000;
    return 0;
}

static int
get_qos(const struct netdev *netdev, const char **typep, struct smap *details)
{
    ovs_mutex_lock(&mutex);
    struct device *device = shash_find_data(&devices,
                                            netdev_get_name(netdev));
    *typep = "";
    if (device && device->type) {
        for (size_t i = 0; i < ARRAY_SIZE(egress_types); i++) {
            if (!strcmp(egress_types[i], device->type)) {
                *typep = egress_types[i];
            }
        }
        smap_clone(details, &device->details);
    }
    ovs_mutex_unlock(&mutex);
    return 0;
}

static int
set_qos(struct netdev *netdev, const char *type, const struct smap *details)
{
    if (type[0] && !is_egress_type(type)) {
        return EOPNOTSUPP;
    }

    ovs_mutex_lock(&mutex);
    struct device *device = device_get(netdev_get_name(netdev));
    if (!type[0]) {
        device_clear_qos(device);
        apply(device);
    } else if (device->type && !strcmp(device->type, type)
               && smap_equal(&device->details, details)) {
        /* Leave the buckets as they are. */
    } else {
        if (device->type && strcmp(device->type, type)) {
            device_clear_queues(device);
        }
        free(device->type);
        device->type = xstrdup(type);
        smap_destroy(&device->details);
        smap_clone(&device->details, details);
        apply(device);
    }
    ovs_mutex_unlock(&mutex);
    return 0;
}

/* Finds the details of queue 'id'. */
static struct smap *
find_queue(const struct netdev *netdev, unsigned int id)
    OVS_REQUIRES(mutex)
{
    struct device *device = shash_find_data(&devices,
                                            netdev_get_name(netdev));
    char name[16];

    snprintf(name, sizeof name, "%u", id);
    return device && device->type ? shash_find_data(&device->queues, name)
                                  : NULL;
}

static int
get_queue(const struct netdev *netdev, unsigned int id, struct smap *details)
{
    ovs_mutex_lock(&mutex);
    const struct smap *queue = find_queue(netdev, id);
    if (queue) {
        smap_clone(details, queue);
    }
    ovs_mutex_unlock(&mutex);
    return queue ? 0 : ENOENT;
}

static int
set_queue(struct netdev *netdev, unsigned int id, const struct smap *details)
{
    int error = 0;

    ovs_mutex_lock(&mutex);
    struct device *device = shash_find_data(&devices,
                                            netdev_get_name(netdev));
    struct smap *queue = find_queue(netdev, id);
    if (!device || !device->type) {
        error = ENOENT;
    } else {
        if (!queue) {
            char name[16];

            snprintf(name, sizeof name, "%u", id);
            queue = xmalloc(sizeof *queue);
            shash_add(&device->queues, name, queue);
        } else {
            smap_destroy(queue);
        }
        smap_clone(queue, details);
    }
    ovs_mutex_unlock(&mutex);
    return error;
}

static int
delete_queue(struct netdev *netdev, unsigned int id)
{
    ovs_mutex_lock(&mutex);
    struct smap *queue = find_queue(netdev, id);
    if (queue) {
        struct device *device = shash_find_data(&devices,
                                                netdev_get_name(netdev));
        char name[16];

        snprintf(name, sizeof name, "%u", id);
        shash_find_and_delete(&device->queues, name);
        smap_destroy(queue);
        free(queue);
    }
    ovs_mutex_unlock(&mutex);
    return queue ? 0 : ENOENT;
}

/* Packets don't wait in queues, so there is nothing to count. */
static int
get_queue_stats(const struct netdev *netdev OVS_UNUSED,
                unsigned int id OVS_UNUSED, struct netdev_queue_stats *stats)
{
    stats->tx_packets = stats->tx_bytes = stats->tx_errors = UINT64_MAX;
    stats->created = LLONG_MIN;
    return 0;
}

struct queue_dump {
    struct sset names;
};

static int
queue_dump_start(const struct netdev *netdev, void **statep)
{
    struct queue_dump *dump = xmalloc(sizeof *dump);

    sset_init(&dump->names);
    ovs_mutex_lock(&mutex);
    struct device *device = shash_find_data(&devices,
                                            netdev_get_name(netdev));
    if (device) {
        struct shash_node *node;

        SHASH_FOR_EACH (node, &device->queues) {
            sset_add(&dump->names, node->name);
        }
    }
    ovs_mutex_unlock(&mutex);
    *statep = dump;
    return 0;
}

static int
queue_dump_next(const struct netdev *netdev, void *dump_, unsigned int *id,
                struct smap *details)
{
    struct queue_dump *dump = dump_;

    while (!sset_is_empty(&dump->names)) {
        char *name = sset_pop(&dump->names);
        bool ok = str_to_uint(name, 10, id);

        free(name);
        if (ok && !get_queue(netdev, *id, details)) {
            return 0;
        }
    }
    return EOF;
}

static int
queue_dump_done(const struct netdev *netdev OVS_UNUSED, void *dump_)
{
    struct queue_dump *dump = dump_;

    sset_destroy(&dump->names);
    free(dump);
    return 0;
}

void
port_qos_init_class(struct netdev_class *class, bool egress)
{
    class->set_policing = set_policing;
    if (egress) {
        class->get_qos_types = get_qos_types;
        class->get_qos_capabilities = get_qos_capabilities;
        class->get_qos = get_qos;
        class->set_qos = set_qos;
        class->get_queue = get_queue;
        class->set_queue = set_queue;
        class->delete_queue = delete_queue;
        class->get_queue_stats = get_queue_stats;
        class->queue_dump_start = queue_dump_start;
        class->queue_dump_next = queue_dump_next;
        class->queue_dump_done = queue_dump_done;
    }
}
