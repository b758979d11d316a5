/* The dpif provider: how libofproto sees the datapath.
 *
 * Two types are registered in place of libopenvswitch's own: "netdev" and
 * "system".  They are the same engine; libofproto treats them differently
 * (tunnels, bond balancing), which it decides by dpif_is_netdev().  That
 * function compares with a class private to libopenvswitch, so the program is
 * linked with --wrap=dpif_is_netdev and the answer is given here. */
#include <config.h>
#include "datapath/dpif-private.h"

#include <ctype.h>
#include <errno.h>

#include "conntrack.h"
#include "datapath/bond-map.h"
#include "datapath/kernel/kernel.h"
#include "datapath/meter.h"
#include "datapath/netdev-tap.h"
#include "datapath/port-netdev.h"
#include "datapath/upcall-queue.h"
#include "hash.h"
#include "netdev.h"
#include "netdev-vport.h"
#include "openvswitch/poll-loop.h"
#include "openvswitch/vlog.h"
#include "packets.h"
#include "seq.h"
#include "smap.h"
#include "timeval.h"
#include "tnl-neigh-cache.h"
#include "tnl-ports.h"
#include "util.h"

VLOG_DEFINE_THIS_MODULE(dpif_provider);

/* A type of datapaths. */
struct provider {
    struct dpif_class class;
    bool dummy;                 /* Its ports are dummy devices. */
};

static struct provider providers[] = {
    { .class.type = "netdev" },
    { .class.type = "system" },
    { .class.type = "dummy", .dummy = true },
};

/* All datapaths, by name.  Main thread, but for reading under the mutex. */
static struct ovs_mutex datapaths_mutex = OVS_MUTEX_INITIALIZER;
static struct shash datapaths = SHASH_INITIALIZER(&datapaths);

static bool
has_native_tunnels(const struct dpif_class *class)
{
    return strcmp(class->type, "system");
}

bool
datapath_has_native_tunnels(const struct datapath *dp)
{
    return has_native_tunnels(dp->class);
}

bool __wrap_dpif_is_netdev(const struct dpif *);

bool
__wrap_dpif_is_netdev(const struct dpif *dpif)
{
    return has_native_tunnels(dpif->dpif_class);
}

/* --- Datapaths ---------------------------------------------------------------*/

static struct datapath *
datapath_create(const struct dpif_class *class, const char *name)
{
    struct datapath *dp = xzalloc(sizeof *dp);

    dp->class = class;
    dp->name = xstrdup(name);
    ovs_refcount_init(&dp->ref_cnt);
    ovs_mutex_init(&dp->port_mutex);
    ovsrcu_init(&dp->ports, xzalloc(sizeof(struct port_array)));
    shash_init(&dp->ports_by_name);
    dp->port_seq = seq_create();
    sset_init(&dp->changed_ports);
    megaflow_table_init(&dp->flows);
    fat_rwlock_init(&dp->upcall_rwlock);
    dp->upcall_queue = upcall_queue_create();
    dp->conntrack = conntrack_init();
    dp->meters = meter_table_create();
    ovs_mutex_init(&dp->bond_mutex);
    cmap_init(&dp->bonds);

    /* No upcalls until libofproto enables them. */
    fat_rwlock_wrlock(&dp->upcall_rwlock);
    return dp;
}

static void port_remove(struct datapath *, struct port *);

static void
datapath_destroy(struct datapath *dp)
{
    struct shash_node *node;

    if (!dp->deleted) {
        /* The kernel goes on forwarding what it knows. */
        kernel_flows_leave(&dp->flows);
    }
    SHASH_FOR_EACH_SAFE (node, &dp->ports_by_name) {
        struct port *port = node->data;

        port->deleted = dp->deleted;
        port_remove(dp, port);
    }
    shash_destroy(&dp->ports_by_name);
    ovsrcu_postpone(free, ovsrcu_get_protected(struct port_array *,
                                               &dp->ports));
    sset_destroy(&dp->changed_ports);
    seq_destroy(dp->port_seq);
    megaflow_table_destroy(&dp->flows);
    /* Upcalls are disabled by now, that is, the lock is taken. */
    fat_rwlock_unlock(&dp->upcall_rwlock);
    fat_rwlock_destroy(&dp->upcall_rwlock);
    upcall_queue_destroy(dp->upcall_queue);
    conntrack_destroy(dp->conntrack);
    meter_table_destroy(dp->meters);
    bond_map_clear(dp);
    cmap_destroy(&dp->bonds);
    ovs_mutex_destroy(&dp->bond_mutex);
    ovs_mutex_destroy(&dp->port_mutex);
    free(dp->name);
    free(dp);
}

void
datapath_for_each(void (*cb)(struct datapath *, void *aux), void *aux)
{
    struct shash_node *node;

    ovs_mutex_lock(&datapaths_mutex);
    SHASH_FOR_EACH (node, &datapaths) {
        cb(node->data, aux);
    }
    ovs_mutex_unlock(&datapaths_mutex);
}

struct find_aux {
    const char *name;
    struct port *port;
};

static void
find_in_datapath(struct datapath *dp, void *aux_)
{
    struct find_aux *aux = aux_;

    ovs_mutex_lock(&dp->port_mutex);
    struct port *port = shash_find_data(&dp->ports_by_name, aux->name);
    ovs_mutex_unlock(&dp->port_mutex);
    aux->port = port ? port : aux->port;
}

struct port *
datapath_find_port(const char *name)
{
    struct find_aux aux = { name, NULL };

    datapath_for_each(find_in_datapath, &aux);
    return aux.port;
}

static int
provider_enumerate(struct sset *all, const struct dpif_class *class)
{
    struct shash_node *node;

    ovs_mutex_lock(&datapaths_mutex);
    SHASH_FOR_EACH (node, &datapaths) {
        const struct datapath *dp = node->data;

        if (dp->class == class) {
            sset_add(all, node->name);
        }
    }
    ovs_mutex_unlock(&datapaths_mutex);
    return 0;
}

static bool
is_dummy(const struct dpif_class *class)
{
    return CONTAINER_OF(class, struct provider, class)->dummy;
}

bool
datapath_is_dummy(const struct datapath *dp)
{
    return is_dummy(dp->class);
}

static const char *
provider_port_open_type(const struct dpif_class *class, const char *type)
{
    return strcmp(type, "internal") ? type
           : is_dummy(class) ? "dummy-internal" : "internal";
}

/* Returns true if 'name' is that of a datapath that libofproto makes. */
static bool
is_ofproto_name(const char *name)
{
    return !strncmp(name, "ovs-", 4);
}

static int
provider_open(const struct dpif_class *class, const char *name, bool create,
              struct dpif **dpifp)
{
    int error = 0;

    ovs_mutex_lock(&datapaths_mutex);
    struct datapath *dp = shash_find_data(&datapaths, name);
    if (!dp) {
        error = create ? 0 : ENODEV;
        if (create) {
            dp = datapath_create(class, name);
            shash_add(&datapaths, name, dp);
            dp->by_hand = !is_ofproto_name(name);
            if (dp->by_hand) {
                ovs_refcount_ref(&dp->ref_cnt);
            }
        }
    } else if (dp->class != class) {
        error = EINVAL;
    } else if (create) {
        error = EEXIST;
    } else {
        ovs_refcount_ref(&dp->ref_cnt);
    }
    ovs_mutex_unlock(&datapaths_mutex);
    if (error) {
        return error;
    }

    uint32_t netflow_id = hash_string(name, 0);
    struct sluice_dpif *dpif = xmalloc(sizeof *dpif);
    dpif_init(&dpif->up, class, name, netflow_id >> 8, netflow_id);
    dpif->dp = dp;
    *dpifp = &dpif->up;
    return 0;
}

static void
provider_close(struct dpif *dpif)
{
    struct datapath *dp = dpif_datapath(dpif);

    ovs_mutex_lock(&datapaths_mutex);
    bool last = ovs_refcount_unref(&dp->ref_cnt) == 1;
    if (last) {
        shash_find_and_delete(&datapaths, dp->name);
    }
    ovs_mutex_unlock(&datapaths_mutex);
    if (last) {
        datapath_destroy(dp);
    }
    free(CONTAINER_OF(dpif, struct sluice_dpif, up));
}

/* libofproto's datapath goes when the last dpif closes it, destroyed or not:
 * what is to outlive the process are its ports' devices, and those say so
 * themselves. */
static int
provider_destroy(struct dpif *dpif)
{
    struct datapath *dp = dpif_datapath(dpif);

    ovs_mutex_lock(&datapaths_mutex);
    if (dp->by_hand) {
        dp->by_hand = false;
        ovs_refcount_unref(&dp->ref_cnt);
    }
    ovs_mutex_unlock(&datapaths_mutex);
    dp->deleted = true;
    return 0;
}

/* Calls 'cb' for the ports that the main loop drives. */
static void
for_each_netdev_port(struct datapath *dp, void (*cb)(struct port *))
{
    struct shash_node *node;

    SHASH_FOR_EACH (node, &dp->ports_by_name) {
        struct port *port = node->data;

        if (port->class == &port_netdev_class) {
            cb(port);
        }
    }
}

static bool
provider_run(struct dpif *dpif)
{
    struct datapath *dp = dpif_datapath(dpif);

    megaflow_table_sort(&dp->flows, time_msec());
    kernel_engine_run();
    if (datapath_is_dummy(dp)) {
        for_each_netdev_port(dp, port_netdev_run);
    }

    /* What native tunnels lead to: neighbours and local addresses. */
    tnl_neigh_cache_run();
    tnl_port_map_run();
    uint64_t seq = seq_read(tnl_conf_seq);
    bool changed = seq != dp->last_tunnel_seq;
    dp->last_tunnel_seq = seq;
    return changed;
}

static void
provider_wait(struct dpif *dpif)
{
    struct datapath *dp = dpif_datapath(dpif);

    if (datapath_is_dummy(dp)) {
        for_each_netdev_port(dp, port_netdev_wait);
    }
    seq_wait(tnl_conf_seq, dp->last_tunnel_seq);
    kernel_engine_wait();
}

/* Number of packets that the kernel engine has dealt with. */
static uint64_t
kernel_hits(const struct datapath *dp)
{
    const struct port_array *array = ovsrcu_get(struct port_array *,
                                                &dp->ports);
    uint64_t n = 0;

    for (unsigned int i = 0; i < array->n; i++) {
        n += array->ports[i] ? kernel_port_n_hits(array->ports[i]) : 0;
    }
    return n;
}

static int
provider_get_stats(const struct dpif *dpif, struct dpif_dp_stats *stats)
{
    struct datapath *dp = dpif_datapath(dpif);
    struct cache_counters c;

    dp_threads_get_cache_counters(&c);
    memset(stats, 0, sizeof *stats);
    stats->n_hit = c.same + c.microflow + c.megaflow + kernel_hits(dp);
    stats->n_missed = c.miss;
    stats->n_lost = c.lost;
    stats->n_flows = cmap_count(&dp->flows.by_ufid);
    stats->n_cache_hit = c.same + c.microflow;
    stats->n_mask_hit = c.megaflow;
    stats->n_masks = pvector_count(&dp->flows.subtables);
    return 0;
}

static int
provider_set_config(struct dpif *dpif OVS_UNUSED, const struct smap *config)
{
    const char *mask = smap_get(config, "pmd-cpu-mask");
    int n = smap_get_int(config, "sluice-threads", 0);

    datapath_set_threads(mask, MAX(n, 0));
    kernel_engine_configure(config);
    return 0;
}

/* --- Ports ----------------------------------------------------------------------*/

/* Makes 'port' (or none, if NULL) number 'number' of 'dp'. */
static void
port_array_set(struct datapath *dp, odp_port_t number, struct port *port)
    OVS_REQUIRES(dp->port_mutex)
{
    struct port_array *array = ovsrcu_get_protected(struct port_array *,
                                                    &dp->ports);
    uint32_t i = odp_to_u32(number);

    if (i >= array->n) {
        unsigned int n = MAX(i + 1, array->n * 2);
        struct port_array *new = xzalloc(sizeof *new
                                         + n * sizeof *new->ports);

        memcpy(new->ports, array->ports, array->n * sizeof *new->ports);
        new->n = n;
        ovsrcu_set(&dp->ports, new);
        ovsrcu_postpone(free, array);
        array = new;
    }
    __atomic_store_n(&array->ports[i], port, __ATOMIC_RELEASE);
}

/* A free number for port 'name', ODPP_NONE if all are taken: the one behind the
 * last, so that it is long until a number comes again.  The flows of a port
 * that is gone are there until libofproto looks at them; if another port had
 * its number then, they would pass for that one's, and uplinks' filters would
 * get the addresses in them.  In a dummy datapath, for the sake of tests, the
 * number that the name has in it. */
static odp_port_t
choose_number(struct datapath *dp, const char *name)
    OVS_REQUIRES(dp->port_mutex)
{
    if (is_dummy(dp->class)) {
        size_t digit = strcspn(name, "0123456789");

        if (name[digit]) {
            odp_port_t number = u32_to_odp(
                (strncmp(name, "br", 2) ? 0 : 100) + atoi(&name[digit]));
            if (odp_to_u32(number) && odp_to_u32(number) < DP_MAX_PORTS
                && !datapath_port(dp, number)) {
                return number;
            }
        }
    }
    for (uint32_t i = 1; i < DP_MAX_PORTS; i++) {
        uint32_t number = dp->last_number + i;

        number = number < DP_MAX_PORTS ? number : number - DP_MAX_PORTS + 1;
        if (!datapath_port(dp, u32_to_odp(number))) {
            dp->last_number = number;
            return u32_to_odp(number);
        }
    }
    return ODPP_NONE;
}

static void
ports_changed(struct datapath *dp, const char *name)
    OVS_REQUIRES(dp->port_mutex)
{
    sset_add(&dp->changed_ports, name);
    seq_change(dp->port_seq);
}

static int
provider_port_add(struct dpif *dpif, struct netdev *netdev,
                  odp_port_t *numberp)
{
    struct datapath *dp = dpif_datapath(dpif);
    char namebuf[NETDEV_VPORT_NAME_BUFSIZE];
    const char *name = netdev_vport_get_dpif_port(netdev, namebuf,
                                                  sizeof namebuf);
    struct port *port;
    int error;

    ovs_mutex_lock(&dp->port_mutex);
    if (*numberp != ODPP_NONE) {
        error = odp_to_u32(*numberp) >= DP_MAX_PORTS ? EFBIG
                : datapath_port(dp, *numberp) ? EBUSY : 0;
    } else {
        *numberp = choose_number(dp, name);
        error = *numberp == ODPP_NONE ? EFBIG : 0;
    }
    if (!error && shash_find(&dp->ports_by_name, name)) {
        error = EEXIST;
    }
    if (!error) {
        error = dp_port_create(dp, netdev, name, *numberp, &port);
    }
    if (!error) {
        shash_add(&dp->ports_by_name, name, port);
        port_array_set(dp, *numberp, port);
        ports_changed(dp, name);
    }
    ovs_mutex_unlock(&dp->port_mutex);
    return error;
}

static void
port_remove(struct datapath *dp, struct port *port)
{
    ovs_mutex_lock(&dp->port_mutex);
    port_array_set(dp, port->number, NULL);
    ports_changed(dp, port->name);
    shash_find_and_delete(&dp->ports_by_name, port->name);
    ovs_mutex_unlock(&dp->port_mutex);
    vhost_synchronize();
    upcall_queue_purge_port(dp->upcall_queue, port);
    dp_port_destroy(port);
}

static int
provider_port_del(struct dpif *dpif, odp_port_t number)
{
    struct datapath *dp = dpif_datapath(dpif);
    struct port *port = datapath_port(dp, number);

    if (!port) {
        return ENODEV;
    }
    /* A deleted internal port's device goes for good; with a daemon that just
     * exits it stays for the next one. */
    if (port->class == &port_tap_class) {
        netdev_tap_remove(netdev_get_name(port->netdev));
    }
    port->deleted = true;
    port_remove(dp, port);
    return 0;
}

static void
fill_port(const struct port *port, struct dpif_port *out)
{
    out->name = xstrdup(port->name);
    out->type = xstrdup(port->type);
    out->port_no = port->number;
}

static int
provider_port_query_by_number(const struct dpif *dpif, odp_port_t number,
                              struct dpif_port *out)
{
    struct datapath *dp = dpif_datapath(dpif);

    ovs_mutex_lock(&dp->port_mutex);
    struct port *port = datapath_port(dp, number);
    if (port && out) {
        fill_port(port, out);
    }
    ovs_mutex_unlock(&dp->port_mutex);
    return port ? 0 : ENODEV;
}

static int
provider_port_query_by_name(const struct dpif *dpif, const char *name,
                            struct dpif_port *out)
{
    struct datapath *dp = dpif_datapath(dpif);

    ovs_mutex_lock(&dp->port_mutex);
    struct port *port = shash_find_data(&dp->ports_by_name, name);
    if (port && out) {
        fill_port(port, out);
    }
    ovs_mutex_unlock(&dp->port_mutex);
    return port ? 0 : ENODEV;
}

/* A dump remembers the number that it came to. */
struct port_dump {
    uint32_t next;
    struct dpif_port last;
};

static int
provider_port_dump_start(const struct dpif *dpif OVS_UNUSED, void **statep)
{
    *statep = xzalloc(sizeof(struct port_dump));
    return 0;
}

static int
provider_port_dump_next(const struct dpif *dpif, void *state,
                        struct dpif_port *out)
{
    struct datapath *dp = dpif_datapath(dpif);
    struct port_dump *dump = state;
    uint32_t n = ovsrcu_get(struct port_array *, &dp->ports)->n;

    while (dump->next < n) {
        struct dpif_port port;

        if (!provider_port_query_by_number(dpif, u32_to_odp(dump->next++),
                                           &port)) {
            dpif_port_destroy(&dump->last);
            dump->last = port;
            *out = port;
            return 0;
        }
    }
    return EOF;
}

static int
provider_port_dump_done(const struct dpif *dpif OVS_UNUSED, void *state)
{
    struct port_dump *dump = state;

    dpif_port_destroy(&dump->last);
    free(dump);
    return 0;
}

static int
provider_port_poll(const struct dpif *dpif, char **namep)
{
    struct datapath *dp = dpif_datapath(dpif);
    int error = EAGAIN;

    ovs_mutex_lock(&dp->port_mutex);
    if (!sset_is_empty(&dp->changed_ports)) {
        *namep = sset_pop(&dp->changed_ports);
        error = 0;
    }
    ovs_mutex_unlock(&dp->port_mutex);
    return error;
}

static void
provider_port_poll_wait(const struct dpif *dpif)
{
    struct datapath *dp = dpif_datapath(dpif);

    ovs_mutex_lock(&dp->port_mutex);
    if (!sset_is_empty(&dp->changed_ports)) {
        poll_immediate_wake();
    } else {
        seq_wait(dp->port_seq, seq_read(dp->port_seq));
    }
    ovs_mutex_unlock(&dp->port_mutex);
}

/* --- Upcalls -----------------------------------------------------------------*/

static void
provider_register_upcall_cb(struct dpif *dpif, upcall_callback *cb, void *aux)
{
    struct datapath *dp = dpif_datapath(dpif);

    dp->upcall_aux = aux;
    dp->upcall_cb = cb;
}

static void
provider_enable_upcall(struct dpif *dpif)
    OVS_NO_THREAD_SAFETY_ANALYSIS
{
    fat_rwlock_unlock(&dpif_datapath(dpif)->upcall_rwlock);
}

static void
provider_disable_upcall(struct dpif *dpif)
    OVS_NO_THREAD_SAFETY_ANALYSIS
{
    fat_rwlock_wrlock(&dpif_datapath(dpif)->upcall_rwlock);
}

static int
provider_recv_set(struct dpif *dpif, bool enable)
{
    upcall_queue_enable(dpif_datapath(dpif)->upcall_queue, enable);
    kernel_engine_set_upcalls(enable);
    return 0;
}

/* All handlers take from one queue. */
static int
provider_handlers_set(struct dpif *dpif, uint32_t n_handlers OVS_UNUSED)
{
    upcall_queue_forget_takers(dpif_datapath(dpif)->upcall_queue);
    return 0;
}

static int
provider_recv(struct dpif *dpif, uint32_t handler_id OVS_UNUSED,
              struct dpif_upcall *upcall, struct ofpbuf *buf)
{
    struct datapath *dp = dpif_datapath(dpif);

    /* A handler takes some packets, until there are no more or it has enough,
     * and then deals with them: if there were no more the last time, it has
     * done so. */
    static __thread bool taking;
    if (!taking) {
        upcall_queue_done(dp->upcall_queue);
    }
    struct dp_packet *packet = upcall_queue_pop(dp->upcall_queue);
    taking = packet != NULL;
    return packet ? dpif_flow_make_upcall(dp, packet, upcall, buf) : EAGAIN;
}

static void
provider_recv_wait(struct dpif *dpif, uint32_t handler_id OVS_UNUSED)
{
    upcall_queue_wait(dpif_datapath(dpif)->upcall_queue);
}

static void
provider_recv_purge(struct dpif *dpif)
{
    upcall_queue_purge(dpif_datapath(dpif)->upcall_queue);
}

static char *
provider_get_datapath_version(void)
{
    return xstrdup("<built-in>");
}

static int
provider_queue_to_priority(const struct dpif *dpif OVS_UNUSED,
                           uint32_t queue_id, uint32_t *priority)
{
    *priority = queue_id;
    return 0;
}

/* --- Meters and bonds ----------------------------------------------------------*/

static void
provider_meter_get_features(const struct dpif *dpif OVS_UNUSED,
                            struct ofputil_meter_features *features)
{
    features->max_meters = METER_MAX;
    features->band_types = 1u << OFPMBT13_DROP;
    features->capabilities = OFPMF13_KBPS | OFPMF13_PKTPS | OFPMF13_BURST
                             | OFPMF13_STATS;
    features->max_bands = METER_MAX_BANDS;
    features->max_color = 0;
}

static int
provider_meter_set(struct dpif *dpif, ofproto_meter_id id,
                   struct ofputil_meter_config *config)
{
    return meter_set(dpif_datapath(dpif)->meters, id.uint32, config);
}

static int
provider_meter_get(const struct dpif *dpif, ofproto_meter_id id,
                   struct ofputil_meter_stats *stats, uint16_t n_bands)
{
    return meter_get(dpif_datapath(dpif)->meters, id.uint32, stats, n_bands);
}

static int
provider_meter_del(struct dpif *dpif, ofproto_meter_id id,
                   struct ofputil_meter_stats *stats, uint16_t n_bands)
{
    return meter_del(dpif_datapath(dpif)->meters, id.uint32, stats, n_bands);
}

static int
provider_bond_add(struct dpif *dpif, uint32_t id, odp_port_t *members)
{
    return bond_map_add(dpif_datapath(dpif), id, members);
}

static int
provider_bond_del(struct dpif *dpif, uint32_t id)
{
    return bond_map_del(dpif_datapath(dpif), id);
}

static int
provider_bond_stats_get(struct dpif *dpif, uint32_t id, uint64_t *n_bytes)
{
    return bond_map_stats(dpif_datapath(dpif), id, n_bytes);
}

/* --- Registration ----------------------------------------------------------------*/

static void
class_init(struct dpif_class *class)
{
    *class = (struct dpif_class) {
        .type = class->type,
        .cleanup_required = false,
        .enumerate = provider_enumerate,
        .port_open_type = provider_port_open_type,
        .open = provider_open,
        .close = provider_close,
        .destroy = provider_destroy,
        .run = provider_run,
        .wait = provider_wait,
        .get_stats = provider_get_stats,
        .port_add = provider_port_add,
        .port_del = provider_port_del,
        .port_query_by_number = provider_port_query_by_number,
        .port_query_by_name = provider_port_query_by_name,
        .port_dump_start = provider_port_dump_start,
        .port_dump_next = provider_port_dump_next,
        .port_dump_done = provider_port_dump_done,
        .port_poll = provider_port_poll,
        .port_poll_wait = provider_port_poll_wait,
        .set_config = provider_set_config,
        .queue_to_priority = provider_queue_to_priority,
        .recv_set = provider_recv_set,
        .handlers_set = provider_handlers_set,
        .recv = provider_recv,
        .recv_wait = provider_recv_wait,
        .recv_purge = provider_recv_purge,
        .register_upcall_cb = provider_register_upcall_cb,
        .enable_upcall = provider_enable_upcall,
        .disable_upcall = provider_disable_upcall,
        .get_datapath_version = provider_get_datapath_version,
        .meter_get_features = provider_meter_get_features,
        .meter_set = provider_meter_set,
        .meter_get = provider_meter_get,
        .meter_del = provider_meter_del,
        .bond_add = provider_bond_add,
        .bond_del = provider_bond_del,
        .bond_stats_get = provider_bond_stats_get,
    };
    dpif_flow_init_class(class);
    dpif_conntrack_init_class(class);
}

void
dpif_provider_register(const char *dummy)
{
    for (size_t i = 0; i < ARRAY_SIZE(providers); i++) {
        struct provider *p = &providers[i];

        if (p->dummy && !dummy) {
            continue;           /* No dummies wanted. */
        }
        p->dummy |= dummy && (!strcmp(dummy, "override")
                              || !strcmp(dummy, p->class.type));
        class_init(&p->class);
        dp_unregister_provider(p->class.type);
        dp_register_provider(&p->class);
    }
}
