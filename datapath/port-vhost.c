/* Ports that are vhost-user devices: the fast path's two ends. */
#include <config.h>
#include "datapath/private.h"

#include "datapath/namesake.h"
#include "datapath/netdev-vhost.h"

/* The device of 'port', NULL while it is being replaced. */
static struct vhost_device *
port_device(const struct port *port)
{
    return __atomic_load_n(&port->priv, __ATOMIC_ACQUIRE);
}

/* Who is to see the packets of 'port': nearly always NULL. */
static struct namesake *
port_listener(const struct port *port)
{
    return atomic_load_explicit(&port->listener, memory_order_acquire);
}

/* Disposes of 'packets', all for 'queue'. */
static void
send_to_queue(struct port *port, struct vhost_queue *queue,
              struct vhost_packet *const packets[], unsigned int n,
              struct dp_thread *thread)
{
    unsigned int done = vhost_transmit(queue, packets, n, VHOST_TRY,
                                       &thread->notifier);
    if (done < n) {
        done += vhost_transmit(queue, packets + done, n - done, VHOST_FINISH,
                               &thread->notifier);
        for (unsigned int i = done; i < n; i++) {
            port_drop_packet(port, DROP_NO_BUFFERS, packets[i], thread);
        }
    }
}

static void
port_vhost_send(struct port *port, struct vhost_packet *const packets[],
                unsigned int n, struct dp_thread *thread)
{
    struct vhost_device *device = port_device(port);
    if (!device) {
        port_drop(port, DROP_NOT_RUNNING, n, thread);
        return;
    }
    struct namesake *listener = port_listener(port);
    for (unsigned int i = 0; OVS_UNLIKELY(listener) && i < n; i++) {
        namesake_show(listener, packets[i], 1);
    }
    bool multiqueue = vhost_device_multiqueue(device);

    /* Runs of packets for one queue go together. */
    for (unsigned int i = 0; i < n; ) {
        struct vhost_queue *queue
            = vhost_device_receive_queue(device, packets[i]->hash);
        unsigned int end = multiqueue ? i + 1 : n;

        while (end < n
               && vhost_device_receive_queue(device, packets[end]->hash)
                  == queue) {
            end++;
        }
        if (queue) {
            send_to_queue(port, queue, packets + i, end - i, thread);
        } else {
            port_drop(port, DROP_NOT_RUNNING, end - i, thread);
        }
        i = end;
    }
}

unsigned int
port_vhost_receive(struct port *port, struct vhost_queue *queue,
                   struct dp_thread *thread, unsigned int budget)
{
    unsigned int n_served = 0;

    if (OVS_LIKELY(port) && OVS_UNLIKELY(upcall_waits(port))) {
        n_served = upcall_serve(port, thread);
        budget = upcall_room(port, budget);
        if (!budget) {
            return n_served;
        }
    }

    unsigned int n = vhost_receive(queue, thread->packets,
                                   MIN(budget, VHOST_BATCH));
    if (n) {
        if (OVS_LIKELY(port)) {
            struct namesake *listener = port_listener(port);
            if (OVS_UNLIKELY(listener)) {
                namesake_show(listener, thread->packets, n);
            }
            receive_batch(port, thread->packets, n, thread);
            struct vhost_device *device = port_device(port);
            if (device && vhost_device_multiqueue(device)) {
                for (unsigned int i = 0; i < n; i++) {
                    vhost_queue_note_flow(queue, thread->packets[i].hash);
                }
            }
        }
        vhost_receive_done(queue, &thread->notifier);
        vhost_notify(&thread->notifier);
        if (thread->n_deferred) {
            vhost_quiesce();
            receive_deferred(thread);
        }
    }
    return n + n_served;
}

static int
port_vhost_open(struct port *port, char **errp OVS_UNUSED)
{
    port->priv = netdev_vhost_attach(port->netdev, port);
    return 0;
}

static void
port_vhost_close(struct port *port)
{
    netdev_vhost_detach(port->netdev);
}

static uint64_t
port_vhost_get_offloads(const struct port *port)
{
    struct vhost_device *device = port_device(port);

    return device ? vhost_device_guest_offloads(device) : 0;
}

const struct port_class port_vhost_class = {
    .open = port_vhost_open,
    .close = port_vhost_close,
    .send = port_vhost_send,
    .get_offloads = port_vhost_get_offloads,
};
