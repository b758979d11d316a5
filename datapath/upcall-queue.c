/* Upcalls that wait.
 *
 * A service thread makes upcalls by itself as long as they take a small part of
 * its time, or nobody else wants it.  Beyond that, what finds no flow waits
 * here, and is taken by the service thread when it has time again, or by
 * libofproto's handler threads when it will have none or has too much.  (Not by
 * both as a rule: if two packets of one flow make upcalls at the same time,
 * libofproto logs a warning.)  Each port has a short queue of its own and they
 * take turns, so a port that is scanned delays its own new flows and nobody
 * else's.
 *
 * The mutex is taken once per packet that waits: that happens to no more
 * packets than the handlers can deal with, and to those that are dropped. */
#include <config.h>
#include "datapath/upcall-queue.h"

#include "datapath/private.h"
#include "dp-packet.h"
#include "openvswitch/poll-loop.h"
#include "seq.h"
#include "timeval.h"
#include "util.h"

/* A packet that was taken so long ago is on its way. */
#define SETTLE_MSEC 20

/* The packets of a port, in a ring. */
struct port_queue {
    struct ovs_list node;           /* In upcall_queue.turns if it has any. */
    unsigned int first, n;
    atomic_llong last_pop;          /* time_msec(). */
    struct dp_packet *packets[UPCALL_QUEUE_LIMIT];
};

struct upcall_queue {
    struct ovs_mutex mutex;
    bool enabled;
    struct ovs_list turns;          /* Of port_queues: the first is next. */
    struct seq *seq;                /* Changes when handlers are wanted. */

    /* By port index: NULL for a port that never had to wait. */
    struct port_queue *_Atomic ports[DP_MAX_PORTS];
};

struct upcall_queue *
upcall_queue_create(void)
{
    struct upcall_queue *queue = xzalloc(sizeof *queue);

    ovs_mutex_init(&queue->mutex);
    ovs_list_init(&queue->turns);
    queue->seq = seq_create();
    return queue;
}

void
upcall_queue_destroy(struct upcall_queue *queue)
{
    upcall_queue_purge(queue);
    for (unsigned int i = 0; i < port_index_end(); i++) {
        free(queue->ports[i]);
    }
    seq_destroy(queue->seq);
    ovs_mutex_destroy(&queue->mutex);
    free(queue);
}

void
upcall_queue_enable(struct upcall_queue *queue, bool enable)
{
    ovs_mutex_lock(&queue->mutex);
    queue->enabled = enable;
    ovs_mutex_unlock(&queue->mutex);
    if (!enable) {
        upcall_queue_purge(queue);
    }
}

unsigned int
upcall_queue_len(const struct upcall_queue *queue, const struct port *port)
{
    const struct port_queue *pq
        = atomic_load_explicit(&queue->ports[port->index],
                               memory_order_acquire);

    return pq ? __atomic_load_n(&pq->n, __ATOMIC_RELAXED) : 0;
}

bool
upcall_queue_is_idle(const struct upcall_queue *queue,
                     const struct port *port)
{
    const struct port_queue *pq
        = atomic_load_explicit(&queue->ports[port->index],
                               memory_order_acquire);

    return !pq || (!__atomic_load_n(&pq->n, __ATOMIC_RELAXED)
                   && time_msec() - atomic_load(&pq->last_pop)
                      > SETTLE_MSEC);
}

bool
upcall_queue_push(struct upcall_queue *queue, const struct port *port,
                  struct dp_packet *packet)
{
    bool ok = false, many = false;

    ovs_mutex_lock(&queue->mutex);
    struct port_queue *pq = queue->ports[port->index];
    if (!pq) {
        pq = xzalloc(sizeof *pq);
        atomic_store_explicit(&queue->ports[port->index], pq,
                              memory_order_release);
    }
    if (queue->enabled && pq->n < UPCALL_QUEUE_LIMIT) {
        if (!pq->n) {
            ovs_list_push_back(&queue->turns, &pq->node);
        }
        /* A connection may be gone when the packet's turn comes. */
        packet->md.conn = NULL;
        pq->packets[(pq->first + pq->n) % UPCALL_QUEUE_LIMIT] = packet;
        __atomic_store_n(&pq->n, pq->n + 1, __ATOMIC_RELAXED);
        many = pq->n == UPCALL_QUEUE_LIMIT / 2;
        ok = true;
    }
    ovs_mutex_unlock(&queue->mutex);
    if (many) {
        upcall_queue_kick(queue);
    }
    return ok;
}

void
upcall_queue_kick(struct upcall_queue *queue)
{
    seq_change(queue->seq);
}

/* Takes the first packet of 'pq', which has one. */
static struct dp_packet *
port_queue_pop(struct port_queue *pq)
{
    struct dp_packet *packet = pq->packets[pq->first];

    pq->first = (pq->first + 1) % UPCALL_QUEUE_LIMIT;
    atomic_store(&pq->last_pop, time_msec());
    __atomic_store_n(&pq->n, pq->n - 1, __ATOMIC_RELAXED);
    return packet;
}

struct dp_packet *
upcall_queue_pop(struct upcall_queue *queue)
{
    struct dp_packet *packet = NULL;

    ovs_mutex_lock(&queue->mutex);
    if (!ovs_list_is_empty(&queue->turns)) {
        struct port_queue *pq = CONTAINER_OF(
            ovs_list_pop_front(&queue->turns), struct port_queue, node);

        packet = port_queue_pop(pq);
        if (pq->n) {
            ovs_list_push_back(&queue->turns, &pq->node);
        }
    }
    ovs_mutex_unlock(&queue->mutex);
    return packet;
}

void
upcall_queue_wait(struct upcall_queue *queue)
{
    uint64_t seq = seq_read(queue->seq);

    ovs_mutex_lock(&queue->mutex);
    if (!ovs_list_is_empty(&queue->turns)) {
        poll_immediate_wake();
    } else {
        seq_wait(queue->seq, seq);
    }
    ovs_mutex_unlock(&queue->mutex);
}

void
upcall_queue_purge(struct upcall_queue *queue)
{
    struct dp_packet *packet;

    while ((packet = upcall_queue_pop(queue)) != NULL) {
        dp_packet_delete(packet);
    }
}

void
upcall_queue_purge_port(struct upcall_queue *queue, const struct port *port)
{
    ovs_mutex_lock(&queue->mutex);
    struct port_queue *pq = queue->ports[port->index];
    if (pq && pq->n) {
        ovs_list_remove(&pq->node);
        while (pq->n) {
            dp_packet_delete(port_queue_pop(pq));
        }
    }
    ovs_mutex_unlock(&queue->mutex);
}
