/* The kernel engine's devices: see kernel.h.
 *
 * To attach a program takes the kernel some 13 ms.  What the host sends by a
 * tap goes to the daemon without one as well, so a tap's is attached by another
 * thread, when there is the first flow for it: a port that carries nothing
 * costs nothing. */
#include <config.h>
#include "datapath/kernel/engine.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <net/if.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bitmap.h"
#include "datapath/device-work.h"
#include "datapath/private.h"
#include "datapath/tunnel-device.h"
#include "flow.h"
#include "netdev-provider.h"
#include "openvswitch/vlog.h"
#include "simap.h"
#include "smap.h"
#include "timeval.h"
#include "util.h"

VLOG_DEFINE_THIS_MODULE(kernel_ports);

#ifndef SO_ATTACH_BPF
#define SO_ATTACH_BPF 50
#endif

/* Packets of a tap that were counted this long ago are in its queue. */
#define TAP_SETTLE_USEC 1000

/* The mark of an entry that no packet has been counted for. */
#define NEVER_DONE (UINT64_C(1) << 62)

/* Which indexes are taken, by ports or by what the last daemon left, and the
 * ports.  Changed by the main thread, with the mutex. */
static struct ovs_mutex mutex = OVS_MUTEX_INITIALIZER;
static unsigned long *indexes;
static struct kernel_attachment *attachments[KERNEL_MAX_PORTS];

/* Why devices that were to be attached are not, by name: error numbers. */
static struct simap refusals = SIMAP_INITIALIZER(&refusals);

/* --- Indexes ----------------------------------------------------------------*/

/* Calls 'cb' for the devices that the programs know. */
static void
for_each_device(void (*cb)(uint32_t ifindex, const struct kernel_device *))
{
    uint32_t ifindex, next;
    int error = bpf_map_get_next_key(kernel_engine.devices_fd, NULL, &next);

    while (!error) {
        struct kernel_device device;

        /* 'cb' may remove the device. */
        ifindex = next;
        error = bpf_map_get_next_key(kernel_engine.devices_fd, &ifindex,
                                     &next);
        if (!bpf_map_lookup_elem(kernel_engine.devices_fd, &ifindex,
                                 &device)) {
            cb(ifindex, &device);
        }
    }
}

static void
reserve_index(uint32_t ifindex OVS_UNUSED, const struct kernel_device *device)
{
    if (device->port < KERNEL_MAX_PORTS) {
        bitmap_set1(indexes, device->port);
    }
}

/* Finds the index of 'ifindex', if the last daemon gave it one, or chooses
 * one. */
static bool
get_index(uint32_t ifindex, unsigned int *index)
{
    struct kernel_device device;

    if (!indexes) {
        indexes = bitmap_allocate(KERNEL_MAX_PORTS);
        for_each_device(reserve_index);
    }
    if (!bpf_map_lookup_elem(kernel_engine.devices_fd, &ifindex, &device)
        && device.port < KERNEL_MAX_PORTS && !attachments[device.port]) {
        *index = device.port;
        return true;
    }
    *index = bitmap_scan(indexes, 0, 0, KERNEL_MAX_PORTS);
    if (*index == KERNEL_MAX_PORTS) {
        return false;
    }
    bitmap_set1(indexes, *index);

    struct kernel_counters *c;
    KERNEL_FOR_EACH_CPU (c, kernel_engine.counters, KERNEL_MAX_PORTS,
                         *index) {
        memset(c, 0, sizeof *c);
    }
    memset(&kernel_engine.ports[*index], 0, sizeof kernel_engine.ports[0]);
    return true;
}

/* --- Packets that go up -----------------------------------------------------*/

static uint64_t
port_up(unsigned int index)
{
    return __atomic_load_n(&kernel_engine.ports[index].up, __ATOMIC_ACQUIRE);
}

static void
port_done(unsigned int index, uint64_t up)
{
    __atomic_store_n(&kernel_engine.ports[index].done, up, __ATOMIC_RELEASE);
}

uint64_t
kernel_port_up(const struct port *port)
{
    return port->kernel ? port_up(port->kernel->index) : 0;
}

void
kernel_port_done(const struct port *port, uint64_t up)
{
    if (port->kernel && kernel_engine.ports[port->kernel->index].done != up) {
        port_done(port->kernel->index, up);
    }
}

void
kernel_port_received(struct port *port, unsigned int n, uint64_t up,
                     bool empty)
{
    struct kernel_attachment *a = port->kernel;

    if (!a) {
        return;
    }

    bool settled;
    atomic_read(&a->settled, &settled);
    if (!settled) {
        /* Ahead of those that the program counted there were others. */
        if (up && empty) {
            kernel_port_done(port, up);
            atomic_store(&a->settled, true);
        }
        return;
    }

    uint64_t done = kernel_engine.ports[a->index].done + n;
    if (up != a->last_up) {
        a->last_up = up;
        a->last_up_usec = time_usec();
    } else if (empty && done != up
               && time_usec() - a->last_up_usec > TAP_SETTLE_USEC) {
        done = up;              /* Some got lost. */
    }
    kernel_port_done(port, done);
}

/* --- Programs ---------------------------------------------------------------*/

static int
program_fd(const struct kernel_attachment *a)
{
    return a->tap ? kernel_engine.egress_fd : kernel_engine.ingress_fd;
}

static void
attach(void *a_)
{
    struct kernel_attachment *a = a_;
    int error = tc_program_attach(&a->program, program_fd(a));

    if (!error) {
        atomic_store(&a->attached, true);
    } else {
        VLOG_INFO("%s: the switch's threads forward what the host sends: "
                  "cannot attach a program (%s)", a->name,
                  ovs_strerror(error));
    }
}

uint64_t
kernel_port_attach(unsigned int index)
{
    bool settled = true;

    ovs_mutex_lock(&mutex);
    struct kernel_attachment *a = attachments[index];
    if (a && !a->wanted) {
        a->wanted = true;
        device_work(a->name, attach, a);
    }
    if (a) {
        atomic_read(&a->settled, &settled);
    }
    ovs_mutex_unlock(&mutex);
    return port_up(index) + (settled ? 0 : NEVER_DONE);
}

void
kernel_port_set_crowded(unsigned int index, bool crowded)
{
    ovs_mutex_lock(&mutex);
    struct kernel_attachment *a = attachments[index];
    bool was_crowded;
    if (a) {
        atomic_read(&a->crowded, &was_crowded);
        if (crowded != was_crowded) {
            atomic_store(&a->crowded, crowded);
            netdev_change_seq_changed(a->netdev);
        }
    }
    ovs_mutex_unlock(&mutex);
}

/* Ends what attach() did, for good or for the next daemon. */
static void
end(void *a_)
{
    struct kernel_attachment *a = a_;
    bool attached;

    atomic_read(&a->attached, &attached);
    if (attached && !a->keep) {
        tc_program_detach(&a->program);
    } else {
        tc_program_leave(&a->program);
    }
    free(a);
}

/* --- Opening and closing ----------------------------------------------------*/

/* Has 'a' take over the program that the last daemon left, or attach one if
 * its port isn't a tap.  Returns 0 or a positive errno value. */
static int
open_program(struct kernel_attachment *a)
{
    char *pin = kernel_engine_link_path(a->ifindex, a->tap);

    tc_program_init(&a->program, a->ifindex, a->tap, pin);
    free(pin);
    bool attached = tc_program_take_over(&a->program, program_fd(a));
    if (!attached && !a->tap) {
        int error = tc_program_attach(&a->program, program_fd(a));

        if (error) {
            return error;
        }
        attached = true;
    }
    a->wanted = attached;
    atomic_init(&a->attached, attached);
    atomic_init(&a->settled, attached);
    atomic_init(&a->crowded, false);
    return 0;
}

void
kernel_port_refuse(const char *name, int error)
{
    ovs_mutex_lock(&mutex);
    if (error) {
        simap_put(&refusals, name, error);
    } else {
        simap_find_and_delete(&refusals, name);
    }
    ovs_mutex_unlock(&mutex);
}

/* Does what open_port() does, but for noting an error. */
static int
open_port__(struct port *port, const char *name, int ifindex, int socket,
            int lift)
{
    struct kernel_device device = { .pass = socket < 0 && !lift,
                                    .lift = lift };
    unsigned int index;

    device_work_wait(name);     /* What was attached before. */
    if (!get_index(ifindex, &index)) {
        return ENOSPC;
    }

    struct kernel_attachment *a = xzalloc(sizeof *a);
    a->index = index;
    a->ifindex = ifindex;
    ovs_strlcpy(a->name, name, sizeof a->name);
    a->netdev = port->netdev;
    a->tap = device.pass;
    a->lift = lift;
    kernel_engine.ports[index].vlan_limit = flow_vlan_limit;
    /* Whatever a daemon that is gone had not dealt with is lost. */
    port_done(index, port_up(index));

    device.port = index;
    int error = -bpf_map_update_elem(kernel_engine.devices_fd, &ifindex,
                                     &device, BPF_ANY);
    if (!error && socket >= 0
        && setsockopt(socket, SOL_SOCKET, SO_ATTACH_BPF,
                      &kernel_engine.filter_fd,
                      sizeof kernel_engine.filter_fd)) {
        error = errno;
    }
    error = error ? error : open_program(a);
    if (error) {
        bpf_map_delete_elem(kernel_engine.devices_fd, &ifindex);
        bitmap_set0(indexes, index);
        free(a->program.pin);
        free(a);
        return error;
    }
    ovs_mutex_lock(&mutex);
    attachments[index] = a;
    ovs_mutex_unlock(&mutex);
    port->kernel = a;
    return 0;
}

/* kernel_port_open() and kernel_port_open_tunnel() in one: 'name' is the
 * device's, 'lift' is 0 unless it is a tunnel's. */
static int
open_port(struct port *port, const char *name, int ifindex, int socket,
          int lift)
{
    if (!kernel_engine_is_available()) {
        return EOPNOTSUPP;
    }

    int error = open_port__(port, name, ifindex, socket, lift);
    kernel_port_refuse(name, error);
    return error;
}

int
kernel_port_open(struct port *port, int ifindex, int socket)
{
    return open_port(port, netdev_get_name(port->netdev), ifindex, socket, 0);
}

int
kernel_port_open_tunnel(struct port *port, int ifindex, int lift)
{
    return open_port(port, port->name, ifindex, -1, lift);
}

/* Forgets device 'ifindex' and its 'index'. */
static void
remove_device(uint32_t ifindex, unsigned int index)
{
    bpf_map_delete_elem(kernel_engine.devices_fd, &ifindex);
    bitmap_set0(indexes, index);
}

void
kernel_port_close(struct port *port, bool keep)
{
    struct kernel_attachment *a = port->kernel;

    kernel_port_refuse(port->name, 0);
    if (!a) {
        return;
    }
    port->kernel = NULL;
    ovs_mutex_lock(&mutex);
    attachments[a->index] = NULL;
    ovs_mutex_unlock(&mutex);
    if (!keep) {
        remove_device(a->ifindex, a->index);
    }
    a->keep = keep;
    device_work(a->name, end, a);
}

static void
drop_left(uint32_t ifindex, const struct kernel_device *device)
{
    if (device->port < KERNEL_MAX_PORTS && !attachments[device->port]) {
        char *path = kernel_engine_link_path(ifindex, device->pass);

        if (path) {
            unlink(path);
            free(path);
        }
        remove_device(ifindex, device->port);
        if (device->lift) {
            tunnel_device_remove(ifindex);
        }
    }
}

void
kernel_ports_drop_left(void)
{
    if (indexes) {
        for_each_device(drop_left);
    }
}

/* --- Counters and status ----------------------------------------------------*/

/* Adds up the counters of port 'index' over the CPUs. */
static struct kernel_counters
sum_counters(unsigned int index)
{
    struct kernel_counters sum = { .rx_packets = 0 };
    const struct kernel_counters *c;

    KERNEL_FOR_EACH_CPU (c, kernel_engine.counters, KERNEL_MAX_PORTS, index) {
        sum.rx_packets += c->rx_packets;
        sum.rx_bytes += c->rx_bytes;
        sum.tx_packets += c->tx_packets;
        sum.tx_bytes += c->tx_bytes;
        for (int i = 0; i < KERNEL_N_DROPS; i++) {
            sum.drops[i] += c->drops[i];
        }
    }
    return sum;
}

uint64_t
kernel_port_n_hits(const struct port *port)
{
    return port->kernel ? sum_counters(port->kernel->index).rx_packets : 0;
}

static const enum drop_reason reasons[KERNEL_N_DROPS] = {
    [KERNEL_DROP_ACTION] = DROP_ACTION,
    [KERNEL_DROP_TOO_LONG] = DROP_TOO_LONG,
    [KERNEL_DROP_NOT_RUNNING] = DROP_NOT_RUNNING,
    [KERNEL_DROP_SEND_ERROR] = DROP_SEND_ERROR,
    [KERNEL_DROP_RX_QUEUE] = DROP_RX_QUEUE,
};

void
kernel_port_add_counters(const struct port *port, struct port_counters *sum)
{
    if (!port->kernel) {
        return;
    }
    struct kernel_counters c = sum_counters(port->kernel->index);

    counter_add(&sum->rx_packets, c.rx_packets);
    counter_add(&sum->rx_bytes, c.rx_bytes);
    counter_add(&sum->tx_packets, c.tx_packets);
    counter_add(&sum->tx_bytes, c.tx_bytes);
    for (int i = 0; i < KERNEL_N_DROPS; i++) {
        counter_add(&sum->drops[reasons[i]], c.drops[i]);
    }
}

void
kernel_port_for_each_drop(const struct port *port,
                          void (*cb)(enum drop_reason, long long int when,
                                     uint32_t len, const uint8_t *header,
                                     size_t header_len, void *aux),
                          void *aux)
{
    long long int clock_diff = time_wall_msec() - time_msec();

    if (!port->kernel) {
        return;
    }
    for (size_t i = 0; i < kernel_engine.n_cpus * KERNEL_DROP_RING; i++) {
        struct kernel_drop_record r = kernel_engine.drops[i];

        if (r.when && r.port == port->kernel->index
            && r.reason < KERNEL_N_DROPS) {
            cb(reasons[r.reason], r.when / 1000000 + clock_diff, r.len,
               r.header, MIN(r.len, KERNEL_DROP_HEADER), aux);
        }
    }
}

/* The port on device 'ifindex', NULL if there is none. */
static const struct kernel_attachment *
find_attachment(int ifindex)
    OVS_REQUIRES(mutex)
{
    struct kernel_device device;

    return kernel_engine.loaded
           && !bpf_map_lookup_elem(kernel_engine.devices_fd, &ifindex,
                                   &device)
           && device.port < KERNEL_MAX_PORTS ? attachments[device.port]
                                             : NULL;
}

void
kernel_device_add_stats(int ifindex, struct netdev_stats *stats)
{
    ovs_mutex_lock(&mutex);
    const struct kernel_attachment *a = find_attachment(ifindex);
    if (a) {
        struct kernel_counters c = sum_counters(a->index);

        stats->rx_packets += c.rx_packets;
        stats->rx_bytes += c.rx_bytes;
        stats->tx_packets += c.tx_packets;
        stats->tx_bytes += c.tx_bytes;
    }
    ovs_mutex_unlock(&mutex);
}

static void
add_attachment_status(const struct kernel_attachment *a, struct smap *status)
{
    bool attached, crowded;

    atomic_read(&a->attached, &attached);
    atomic_read(&a->crowded, &crowded);
    if (!attached) {
        smap_add(status, "kernel_engine", "idle");
    } else {
        smap_add_format(status, "kernel_engine", "%s%s",
                        a->program.link_fd >= 0 ? "tcx" : "clsact",
                        crowded ? ", but for some flows: too many masks"
                        : "");
    }
}

void
kernel_device_get_status(const char *name, int ifindex, struct smap *status)
{
    const char *why = kernel_engine_problem();

    ovs_mutex_lock(&mutex);
    const struct kernel_attachment *a = find_attachment(ifindex);
    int refusal = simap_get(&refusals, name);
    if (why) {
        smap_add_format(status, "kernel_engine", "off: %s", why);
    } else if (a) {
        add_attachment_status(a, status);
    } else if (refusal) {
        smap_add_format(status, "kernel_engine", "off: %s",
                        refusal == ENOSPC ? "too many ports"
                        : ovs_strerror(refusal));
    }
    ovs_mutex_unlock(&mutex);
}
