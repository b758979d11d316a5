/* Upcalls that wait.
 *
 * A service thread makes upcalls by itself as long as they take a small part of
 * its time, or nobody else wants it.  Beyond that, what finds no flow waits
 * here, and is taken by the service thread when it has time again, or by
 * libofproto's handler threads when it will have none.  One thread at a time
 * takes a port's packets: two packets of one flow whose upcalls overlap would
 * change places, and libofproto warns about them.  Each port has a short queue of its own and they
 * take turns, so a port that is scanned delays its own new flows and nobody
 * else's.
 *
 * The mutex is taken once per packet that waits: that happens to no more
 * packets than the handlers can deal with, and to those that are dropped. */
#include <config.h>
#include "datapath/upcall-queue.h"

#include <limits.h>

#include "datapath/private.h"
#include "dp-packet.h"
#include "openvswitch/poll-loop.h"
#include "ovs-thread.h"
#include "seq.h"
#include "util.h"

/* The packets of a port, in a ring. */
struct port_queue {
    struct ovs_list node;           /* In upcall_queue.turns if it has any. */
    struct ovs_list taken_node;     /* In upcall_queue.taken if it has 'taker'. */
    unsigned int taker;             /* ovsthread_id_self() of who deals with its
                                     * packets, NOBODY if nobody does. */
    unsigned int first, n;
    struct dp_packet *packets[UPCALL_QUEUE_LIMIT];
};

#define NOBODY UINT_MAX

struct upcall_queue {
    struct ovs_mutex mutex;
    bool enabled;
    struct ovs_list turns;          /* Of port_queues: the first is next. */
    struct ovs_list taken;          /* Of those that somebody deals with. */
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
    ovs_list_init(&queue->taken);
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
upcall_queue_is_busy(const struct upcall_queue *queue, const struct port *port)
{
    const struct port_queue *pq
        = atomic_load_explicit(&queue->ports[port->index],
                               memory_order_acquire);

    return pq && (__atomic_load_n(&pq->n, __ATOMIC_RELAXED)
                  || __atomic_load_n(&pq->taker, __ATOMIC_RELAXED) != NOBODY);
}

bool
upcall_queue_push(struct upcall_queue *queue, const struct port *port,
                  struct dp_packet *packet)
{
    bool ok = false;

    ovs_mutex_lock(&queue->mutex);
    struct port_queue *pq = queue->ports[port->index];
    if (!pq) {
        pq = xzalloc(sizeof *pq);
        pq->taker = NOBODY;
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
        ok = true;
    }
    ovs_mutex_unlock(&queue->mutex);
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
    __atomic_store_n(&pq->n, pq->n - 1, __ATOMIC_RELAXED);
    return packet;
}

/* The first port queue in turn that the calling thread may take from. */
static struct port_queue *
first_eligible(const struct upcall_queue *queue)
    OVS_REQUIRES(queue->mutex)
{
    unsigned int self = ovsthread_id_self();
    struct port_queue *pq;

    LIST_FOR_EACH (pq, node, &queue->turns) {
        if (pq->taker == NOBODY || pq->taker == self) {
            return pq;
        }
    }
    return NULL;
}

struct dp_packet *
upcall_queue_pop(struct upcall_queue *queue)
{
    struct dp_packet *packet = NULL;

    ovs_mutex_lock(&queue->mutex);
    struct port_queue *pq = first_eligible(queue);
    if (pq) {
        if (pq->taker == NOBODY) {
            __atomic_store_n(&pq->taker, ovsthread_id_self(),
                             __ATOMIC_RELAXED);
            ovs_list_push_back(&queue->taken, &pq->taken_node);
        }
        packet = port_queue_pop(pq);
        ovs_list_remove(&pq->node);
        if (pq->n) {
            ovs_list_push_back(&queue->turns, &pq->node);
        }
    }
    ovs_mutex_unlock(&queue->mutex);
    return packet;
}

static void
release(struct upcall_queue *queue, bool everybodys)
{
    unsigned int self = ovsthread_id_self();
    struct port_queue *pq;

    ovs_mutex_lock(&queue->mutex);
    LIST_FOR_EACH_SAFE (pq, taken_node, &queue->taken) {
        if (everybodys || pq->taker == self) {
            __atomic_store_n(&pq->taker, NOBODY, __ATOMIC_RELAXED);
            ovs_list_remove(&pq->taken_node);
        }
    }
    ovs_mutex_unlock(&queue->mutex);
}

void
upcall_queue_done(struct upcall_queue *queue)
{
    release(queue, false);
}

void
upcall_queue_forget_takers(struct upcall_queue *queue)
{
    release(queue, true);
}

void
upcall_queue_wait(struct upcall_queue *queue)
{
    uint64_t seq = seq_read(queue->seq);

    ovs_mutex_lock(&queue->mutex);
    if (first_eligible(queue)) {
        poll_immediate_wake();
    } else {
        seq_wait(queue->seq, seq);
    }
    ovs_mutex_unlock(&queue->mutex);
}

/* Throws away what 'pq' has. */
static void
port_queue_purge(struct port_queue *pq)
{
    if (pq->n) {
        ovs_list_remove(&pq->node);
        while (pq->n) {
            dp_packet_delete(port_queue_pop(pq));
        }
    }
}

void
upcall_queue_purge(struct upcall_queue *queue)
{
    struct port_queue *pq;

    ovs_mutex_lock(&queue->mutex);
    LIST_FOR_EACH_SAFE (pq, node, &queue->turns) {
        port_queue_purge(pq);
    }
    ovs_mutex_unlock(&queue->mutex);
}

void
upcall_queue_purge_port(struct upcall_queue *queue, const struct port *port)
{
    ovs_mutex_lock(&queue->mutex);
    struct port_queue *pq = queue->ports[port->index];
    if (pq) {
        port_queue_purge(pq);
    }
    ovs_mutex_unlock(&queue->mutex);
}
