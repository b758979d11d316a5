/* Guests that have moved here are announced to the network.
 *
 * After a live migration the switches on the way must learn where the guest is
 * now.  A guest with VIRTIO_NET_F_GUEST_ANNOUNCE does so by itself; for others
 * the front-end asks the back-end for a RARP (vhost-user,
 * VHOST_USER_SEND_RARP).  It goes the way of a packet from the guest, so that
 * our own tables learn from it, too.
 *
 * The request arrives in the vhost control thread, which must not wait for
 * libofproto: the main thread makes the packet, and it is the one that gives a
 * device its port and takes it away. */
#include <config.h>
#include "datapath/announce.h"

#include "datapath/addresses.h"
#include "datapath/private.h"
#include "dp-packet.h"
#include "ovs-thread.h"
#include "packets.h"
#include "seq.h"

static struct ovs_mutex mutex = OVS_MUTEX_INITIALIZER;
static struct ovs_list due OVS_GUARDED_BY(mutex)
    = OVS_LIST_INITIALIZER(&due);

/* Changes with each request. */
static struct seq *due_seq;
static uint64_t last_seq;

/* Prepares 'a' for the device that keeps its port in '*port'.  Main thread. */
void
announcement_init(struct announcement *a, struct port *_Atomic *port)
{
    if (!due_seq) {
        due_seq = seq_create();
    }
    ovs_list_init(&a->node);
    a->port = port;
}

/* Takes back what 'a' was to announce.  The device is gone, so that nobody
 * requests anything any more.  Main thread. */
void
announcement_destroy(struct announcement *a)
{
    ovs_mutex_lock(&mutex);
    ovs_list_remove(&a->node);
    ovs_mutex_unlock(&mutex);
}

/* Has 'mac' announced as behind the device of 'a', soon.  Any thread. */
void
announcement_request(struct announcement *a, struct eth_addr mac)
{
    ovs_mutex_lock(&mutex);
    a->mac = mac;
    if (ovs_list_is_empty(&a->node)) {
        ovs_list_push_back(&due, &a->node);
    }
    ovs_mutex_unlock(&mutex);
    seq_change(due_seq);
}

static void
send_rarp(struct port *port, struct eth_addr mac)
{
    struct dp_thread *thread = dp_thread_get();
    struct dp_packet *packet = dp_packet_new_with_headroom(64, VHOST_HEADROOM);

    compose_rarp(packet, mac);
    pkt_metadata_init(&packet->md, port->number);
    vhost_online();
    generic_receive(port->dp, packet, thread);
    transmit_flush(thread);
    vhost_offline();
}

/* Makes the announcements that are due.  Main thread. */
void
announcements_run(void)
{
    if (!due_seq || seq_read(due_seq) == last_seq) {
        return;
    }
    last_seq = seq_read(due_seq);

    ovs_mutex_lock(&mutex);
    while (!ovs_list_is_empty(&due)) {
        struct announcement *a = CONTAINER_OF(ovs_list_pop_front(&due),
                                              struct announcement, node);
        struct port *port = *a->port;
        struct eth_addr mac = a->mac;

        ovs_list_init(&a->node);
        ovs_mutex_unlock(&mutex);
        if (port && port_allows_source(port, mac)) {
            send_rarp(port, mac);
        }
        ovs_mutex_lock(&mutex);
    }
    ovs_mutex_unlock(&mutex);
}

/* Makes poll_block() wake up when an announcement is due.  Main thread. */
void
announcements_wait(void)
{
    if (due_seq) {
        seq_wait(due_seq, last_seq);
    }
}
