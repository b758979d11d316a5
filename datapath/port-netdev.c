/* Ports that are dummy devices, for tests: whatever libopenvswitch's netdev
 * layer receives and sends, driven by the main loop.
 *
 * Packets go through the same fast path as a guest's, in views of their own
 * memory, so tests that inject packets into dummy devices test what guests
 * use.  There are no threads: time that is stopped stays stopped. */
#include <config.h>
#include "datapath/port-netdev.h"

#include <errno.h>

#include "datapath/private.h"
#include "dp-packet.h"
#include "netdev.h"
#include "netdev-provider.h"
#include "openvswitch/vlog.h"
#include "packets.h"
#include "util.h"

VLOG_DEFINE_THIS_MODULE(port_netdev);

/* What is in port->priv. */
struct netdev_port {
    int n_rxqs;
    struct netdev_rxq **rxqs;
};

/* The main thread's context, with what only service threads have else. */
static struct dp_thread *
main_thread(void)
{
    struct dp_thread *thread = dp_thread_get();

    dp_thread_enable_fast_path(thread);
    return thread;
}

static void
close_rxqs(struct netdev_port *np)
{
    for (int i = 0; i < np->n_rxqs; i++) {
        netdev_rxq_close(np->rxqs[i]);
    }
    free(np->rxqs);
    np->rxqs = NULL;
    np->n_rxqs = 0;
}

static int
open_rxqs(struct port *port, struct netdev_port *np)
{
    int error = netdev_reconfigure(port->netdev);

    if (error && error != EOPNOTSUPP) {
        return error;
    }
    np->rxqs = xcalloc(netdev_n_rxq(port->netdev), sizeof *np->rxqs);
    while (np->n_rxqs < netdev_n_rxq(port->netdev)) {
        error = netdev_rxq_open(port->netdev, &np->rxqs[np->n_rxqs],
                                np->n_rxqs);
        if (error) {
            close_rxqs(np);
            return error;
        }
        np->n_rxqs++;
    }
    return 0;
}

static int
port_netdev_open(struct port *port, char **errp)
{
    struct netdev_port *np = xzalloc(sizeof *np);
    int error = open_rxqs(port, np);

    if (error) {
        *errp = xasprintf("cannot receive from device %s (%s)",
                          netdev_get_name(port->netdev), ovs_strerror(error));
        free(np);
        return error;
    }
    port->priv = np;
    return 0;
}

static void
port_netdev_close(struct port *port)
{
    struct netdev_port *np = port->priv;

    close_rxqs(np);
    free(np);
}

static void
port_netdev_send(struct port *port, struct vhost_packet *const packets[],
                 unsigned int n, struct dp_thread *thread)
{
    for (unsigned int i = 0; i < n; i++) {
        struct dp_packet *packet = dp_packet_new(packets[i]->len);
        struct dp_packet_batch batch;

        vhost_packet_copy(packets[i], 0,
                          dp_packet_put_uninit(packet, packets[i]->len),
                          packets[i]->len);
        packet->packet_type = htonl(PT_ETH);
        dp_packet_batch_init_packet(&batch, packet);
        if (netdev_send(port->netdev, 0, &batch, false)) {
            port_drop(port, DROP_SEND_ERROR, 1, thread);
        }
    }
}

/* Makes 'view' a view of 'packet', with room in front. */
static void
view_packet(struct vhost_packet *view, struct dp_packet *packet)
{
    dp_packet_prealloc_headroom(packet, VHOST_HEADROOM);
    view->head = dp_packet_data(packet);
    view->head_len = view->len = dp_packet_size(packet);
    view->segs = NULL;
    view->n_segs = 0;
    memset(&view->vnet, 0, sizeof view->vnet);
}

static void
receive_rxq(struct port *port, struct netdev_rxq *rxq)
{
    struct dp_thread *thread = main_thread();
    struct dp_packet_batch batch;
    struct dp_packet *packet;
    unsigned int n = 0;

    dp_packet_batch_init(&batch);
    if (netdev_rxq_recv(rxq, &batch, NULL)) {
        return;
    }
    DP_PACKET_BATCH_FOR_EACH (i, packet, &batch) {
        if (dp_packet_size(packet) >= ETH_HEADER_LEN) {
            view_packet(&thread->packets[n++], packet);
        }
    }
    vhost_online();
    datapath_receive(port, thread->packets, n, thread);
    vhost_offline();
    dp_packet_delete_batch(&batch, true);
}

void
port_netdev_run(struct port *port)
{
    struct netdev_port *np = port->priv;

    if (netdev_is_reconf_required(port->netdev)) {
        close_rxqs(np);
        if (open_rxqs(port, np)) {
            VLOG_WARN("cannot receive from device %s any more",
                      netdev_get_name(port->netdev));
        }
    }
    for (int i = 0; i < np->n_rxqs; i++) {
        if (netdev_rxq_enabled(np->rxqs[i])) {
            receive_rxq(port, np->rxqs[i]);
        }
    }
}

void
port_netdev_wait(struct port *port)
{
    struct netdev_port *np = port->priv;

    netdev_wait_reconf_required(port->netdev);
    for (int i = 0; i < np->n_rxqs; i++) {
        netdev_rxq_wait(np->rxqs[i]);
    }
}

const struct port_class port_netdev_class = {
    .open = port_netdev_open,
    .close = port_netdev_close,
    .send = port_netdev_send,
};
