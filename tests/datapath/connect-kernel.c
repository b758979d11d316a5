/* Connects two kernel ports: what one receives, the other sends.
 *
 * Usage: connect-kernel TYPE NAME TYPE NAME [COMMAND...]
 *
 * TYPE is "internal", "tap" or "system".  Opens the ports, prints "ready",
 * runs each COMMAND (by sh -c), or waits for one of these words on standard
 * input:
 *
 *     quit        (or end of file) ends as a daemon does: devices stay.
 *     remove      deletes the ports first, as if the user had.
 *
 * Uses the ports' own code with a datapath that has no flows. */
#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "datapath/device-work.h"
#include "datapath/kernel/kernel.h"
#include "datapath/netdev-tap.h"
#include "datapath/port.h"
#include "datapath/upcall-queue.h"
#include "netdev.h"
#include "ovs-atomic.h"
#include "ovs-thread.h"
#include "util.h"
#include "vhost/vhost.h"

static struct vhost_pool *pool;
static struct port ports[2];
static atomic_bool ready;       /* Both are open. */
static atomic_uint64_t n_packets[2], n_gso[2], n_partial[2], n_vlan[2];
static atomic_uint64_t n_drops[2][N_DROP_REASONS];

static const char *const drop_names[] = {
#define DROP(ENUM, NAME) NAME,
    DROP_REASONS
#undef DROP
};

static void
count(atomic_uint64_t *counter, uint64_t n)
{
    uint64_t orig;

    atomic_add_relaxed(counter, n, &orig);
}

/* --- The datapath's side of port.h --------------------------------------- */

void
port_drop(const struct port *port, enum drop_reason reason, unsigned int n,
          struct dp_thread *thread OVS_UNUSED)
{
    count(&n_drops[port->index][reason], n);
}

void
datapath_receive(struct port *port, struct vhost_packet packets[],
                 unsigned int n, struct dp_thread *thread)
{
    struct port *peer = &ports[!port->index];
    struct vhost_packet *list[VHOST_BATCH];
    bool forward;

    atomic_read_explicit(&ready, &forward, memory_order_acquire);
    if (!forward) {
        return;
    }
    for (unsigned int i = 0; i < n; i++) {
        const struct virtio_net_hdr *vnet = &packets[i].vnet;

        list[i] = &packets[i];
        count(&n_gso[port->index], vnet->gso_type != 0);
        count(&n_partial[port->index],
              (vnet->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) != 0);
        count(&n_vlan[port->index],
              packets[i].head[12] == 0x81 && !packets[i].head[13]);
    }
    count(&n_packets[port->index], n);
    peer->class->send(peer, list, n, thread);
}

/* There is no kernel engine here. */
int
kernel_port_open(struct port *port OVS_UNUSED, int ifindex OVS_UNUSED,
                 int socket OVS_UNUSED)
{
    return EOPNOTSUPP;
}

void
kernel_port_close(struct port *port OVS_UNUSED, bool keep OVS_UNUSED)
{
}

uint64_t
kernel_port_up(const struct port *port OVS_UNUSED)
{
    return 0;
}

void
kernel_port_done(const struct port *port OVS_UNUSED, uint64_t up OVS_UNUSED)
{
}

void
kernel_port_received(struct port *port OVS_UNUSED, unsigned int n OVS_UNUSED,
                     uint64_t up OVS_UNUSED, bool empty OVS_UNUSED)
{
}

void
kernel_connection_refresh(struct port *port OVS_UNUSED,
                          struct vhost_packet *packet OVS_UNUSED,
                          struct dp_thread *thread OVS_UNUSED)
{
}

void
kernel_flows_remove_port(const struct port *port OVS_UNUSED)
{
}

void
kernel_device_add_stats(int ifindex OVS_UNUSED,
                        struct netdev_stats *stats OVS_UNUSED)
{
}

void
kernel_device_get_status(const char *name OVS_UNUSED,
                         int ifindex OVS_UNUSED,
                         struct smap *status OVS_UNUSED)
{
}

bool
upcall_queue_is_busy(const struct upcall_queue *queue OVS_UNUSED,
                     const struct port *port OVS_UNUSED)
{
    return false;
}

struct dp_thread *
dp_thread_from_vhost(const struct vhost_thread *thread OVS_UNUSED)
{
    return NULL;
}

struct vhost_pool *
datapath_pool(void)
{
    return pool;
}

/* --- The program --------------------------------------------------------- */

static void
open_port(int i, const char *type, const char *name)
{
    char *message;

    ports[i].index = i;
    ports[i].type = type;
    ports[i].class = (strcmp(type, "system") ? &port_tap_class
                      : &port_packet_class);

    int error = netdev_open(name, type, &ports[i].netdev);
    if (error) {
        ovs_fatal(error, "cannot open netdev %s", name);
    }
    if (ports[i].class->open(&ports[i], &message)) {
        ovs_fatal(0, "%s", message);
    }
}

static void
close_port(int i, bool delete)
{
    char *name = xstrdup(netdev_get_name(ports[i].netdev));

    ports[i].class->close(&ports[i]);
    if (delete && ports[i].class == &port_tap_class) {
        netdev_tap_remove(name);
    }
    netdev_close(ports[i].netdev);
    free(name);
}

static void
print_counters(int i)
{
    printf("%s: received %"PRIu64", gso %"PRIu64", partial checksum %"PRIu64
           ", vlan %"PRIu64"\n", netdev_get_name(ports[i].netdev),
           n_packets[i], n_gso[i], n_partial[i], n_vlan[i]);
    for (int r = 0; r < N_DROP_REASONS; r++) {
        if (n_drops[i][r]) {
            printf("%s: dropped %"PRIu64", %s\n",
                   netdev_get_name(ports[i].netdev), n_drops[i][r],
                   drop_names[r]);
        }
    }
}

int
main(int argc, char *argv[])
{
    struct vhost_pool_config config = { .n_threads = 1, .name = "service" };
    char line[32] = "";
    char *error;

    set_program_name(argv[0]);
    if (argc < 5) {
        ovs_fatal(0, "usage: %s TYPE NAME TYPE NAME [COMMAND...]", argv[0]);
    }
    netdev_tap_register(NULL);
    if (vhost_pool_create(&config, &pool, &error)) {
        ovs_fatal(0, "%s", error);
    }
    open_port(0, argv[1], argv[2]);
    open_port(1, argv[3], argv[4]);
    atomic_store_explicit(&ready, true, memory_order_release);
    puts("ready");
    fflush(stdout);

    bool delete = false;
    int status = 0;
    if (argc == 5 && fgets(line, sizeof line, stdin)) {
        delete = !strcmp(line, "remove\n");
    }
    for (int i = 5; i < argc; i++) {
        status |= system(argv[i]);
    }

    /* As a datapath does it: nothing is sent to a port that is closing. */
    atomic_store_relaxed(&ready, false);
    vhost_synchronize();
    for (int i = 0; i < 2; i++) {
        print_counters(i);
        close_port(i, delete);
    }
    device_work_wait(NULL);
    vhost_pool_destroy(pool);
    return status != 0;
}
