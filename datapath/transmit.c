/* Collecting a batch's packets by output, and sending them.
 *
 * Sending is where a packet meets the abilities of the port it leaves by: what
 * it still wants done (a checksum, segmentation) and the port can't do is done
 * here, in software, on a copy.  Packets that need nothing, the rule, go
 * through untouched. */
#include <config.h>
#include "datapath/private.h"

#include "datapath/policer.h"
#include "dp-packet.h"
#include "packets.h"
#include "timeval.h"
#include "util.h"

/* Returns true if packets for 'port' that begin with 'packet' may become fewer
 * by merging. */
static bool
may_merge(const struct port *port, const struct vhost_packet *packet)
{
    const struct tunnel_request *tunnel = packet->user;
    const uint64_t uso = (UINT64_C(1) << VIRTIO_NET_F_GUEST_USO4
                          | UINT64_C(1) << VIRTIO_NET_F_GUEST_USO6);

    return port->class->likes_merged && tunnel && tunnel->checked
           && (port_offloads(port) & uso) == uso;
}

/* Merges what it can of the packets of 'output'. */
static void
merge(struct output *output, struct dp_thread *thread)
{
    unsigned int n = 0, n_merged = 0;

    for (unsigned int i = 0; i < output->n; ) {
        struct packet_clone *merged = &thread->merged[n_merged];
        unsigned int done = offload_merge(&output->packets[i], output->n - i,
                                          merged);

        if (done > 1) {
            output->packets[n++] = &merged->packet;
            n_merged++;
        } else {
            output->packets[n++] = output->packets[i];
        }
        i += done;
    }
    output->n = n;
}

/* Drops those packets of 'output' that 'policer' doesn't admit. */
static void
police(struct output *output, struct policer *policer,
       struct dp_thread *thread)
{
    long long int now = time_usec();
    unsigned int n = 0;

    for (unsigned int i = 0; i < output->n; i++) {
        struct vhost_packet *packet = output->packets[i];

        /* Rates are those of IP packets. */
        if (policer_admit(policer, packet->len - ETH_HEADER_LEN, now)) {
            output->packets[n++] = packet;
        } else {
            port_drop_packet(output->port, DROP_EGRESS_POLICING, packet,
                             thread);
        }
    }
    output->n = n;
}

static void
output_send(struct output *output, struct dp_thread *thread)
{
    struct port *port = output->port;
    struct port_counters *counters = &thread->counters[port->index];
    struct policer *policer = ovsrcu_get(struct policer *, &port->egress);
    uint64_t bytes = 0;

    if (OVS_UNLIKELY(policer)) {
        police(output, policer, thread);
    }
    for (unsigned int i = 0; i < output->n; i++) {
        bytes += output->packets[i]->len;
    }
    counter_add(&counters->tx_packets, output->n);
    counter_add(&counters->tx_bytes, bytes);
    if (output->n > 1 && may_merge(port, output->packets[0])) {
        merge(output, thread);
    }
    port->class->send(port, output->packets, output->n, thread);
    output->n = 0;
}

static void
output_add(struct output *output, struct vhost_packet *packet,
           struct dp_thread *thread)
{
    if (output->n == VHOST_BATCH) {
        output_send(output, thread);
    }
    output->packets[output->n++] = packet;
}

struct emit_aux {
    struct output *output;
    struct dp_thread *thread;
};

static void
emit_finished(struct vhost_packet *packet, void *aux_)
{
    struct emit_aux *aux = aux_;

    output_add(aux->output, packet, aux->thread);
}

/* Sends 'packet' after finishing what its port can't do, behind whatever was
 * collected before it. */
static void
send_finished(struct output *output, struct vhost_packet *packet,
              struct dp_thread *thread)
{
    struct emit_aux aux = { output, thread };

    offload_finish(packet, emit_finished, &aux);
    if (output->n) {
        output_send(output, thread);
    }
}

/* The outputs that collect for 'port', a new one if it has none. */
static struct output *
output_for_port(struct port *port, struct dp_thread *thread)
{
    uint8_t slot = thread->output_slot[port->index];

    if (!slot) {
        if (thread->n_outputs == DP_MAX_OUTPUTS) {
            transmit_flush(thread);
        }
        slot = ++thread->n_outputs;
        thread->output_slot[port->index] = slot;
        thread->outputs[slot - 1].port = port;
        thread->outputs[slot - 1].n = 0;
    }
    return &thread->outputs[slot - 1];
}

void
transmit_add(struct port *port, struct vhost_packet packets[], unsigned int n,
             struct dp_thread *thread)
{
    struct output *output = output_for_port(port, thread);

    for (unsigned int i = 0; i < n; i++) {
        struct vhost_packet *packet = &packets[i];

        if (OVS_UNLIKELY(packet->vnet.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM)
            && !offload_fits(packet, port_offloads(port))) {
            send_finished(output, packet, thread);
        } else {
            output_add(output, packet, thread);
        }
    }
}

void
transmit_flush(struct dp_thread *thread)
{
    for (unsigned int i = 0; i < thread->n_outputs; i++) {
        struct output *output = &thread->outputs[i];

        if (output->n) {
            output_send(output, thread);
        }
        thread->output_slot[output->port->index] = 0;
    }
    thread->n_outputs = 0;
    thread->n_clones = 0;
    for (unsigned int i = 0; i < thread->n_views; i++) {
        dp_packet_delete(thread->views[i].packet);
    }
    thread->n_views = 0;
    vhost_notify(&thread->notifier);
}
