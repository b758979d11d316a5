/* Upcalls that handler threads make: see upcall-queue.c. */
#ifndef UPCALL_QUEUE_H
#define UPCALL_QUEUE_H 1

#include <stdbool.h>

struct dp_packet;
struct flow;
struct port;
struct upcall_queue;

struct upcall_queue *upcall_queue_create(void);
void upcall_queue_destroy(struct upcall_queue *);

/* Lets handlers have packets from now on, or (which throws away those that
 * wait) no more. */
void upcall_queue_enable(struct upcall_queue *, bool enable);

#define UPCALL_QUEUE_LIMIT 256     /* Packets of a port that may wait. */

/* Returns how many packets that came in by 'port' are waiting.  Any thread. */
unsigned int upcall_queue_len(const struct upcall_queue *,
                              const struct port *);

/* Returns true if some are waiting, or being dealt with by who took them: then
 * further ones have to wait behind them.  Any thread. */
bool upcall_queue_is_busy(const struct upcall_queue *, const struct port *);

/* Appends 'packet', which came in by 'port' and found no flow.  Takes it over
 * if it returns true; returns false if the port has its share of the queue
 * waiting already, or nobody takes upcalls.  Handlers learn of it only by
 * upcall_queue_kick().  Any thread. */
bool upcall_queue_push(struct upcall_queue *, const struct port *port,
                       struct dp_packet *packet);

/* Has handlers take what waits.  Any thread. */
void upcall_queue_kick(struct upcall_queue *);

/* Takes the next packet, which the caller must free, or NULL: the ports take
 * turns.  Nobody else gets packets of the same port until the calling thread
 * says with upcall_queue_done() that it has dealt with all that it took.  Any
 * thread. */
struct dp_packet *upcall_queue_pop(struct upcall_queue *);
void upcall_queue_done(struct upcall_queue *);

/* Forgets who took packets: they are gone. */
void upcall_queue_forget_takers(struct upcall_queue *);

/* Wakes the poll loop of the calling thread when there is a packet for it. */
void upcall_queue_wait(struct upcall_queue *);

/* Throws away all packets that wait, or those that came in by 'port'. */
void upcall_queue_purge(struct upcall_queue *);
void upcall_queue_purge_port(struct upcall_queue *, const struct port *);

#endif /* upcall-queue.h */
