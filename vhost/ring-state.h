/* The state of packed rings that outlives the process: see ring-state.c.
 * Private to vhost/. */
#ifndef VHOST_RING_STATE_H
#define VHOST_RING_STATE_H 1

#include "vhost/ring.h"

struct vhost_ring_state;

#define VHOST_RING_STATE_SIZE 4096      /* Bytes of each in the file. */

void vhost_ring_state_start(struct vhost_queue *);
void vhost_ring_state_adopt(struct vhost_queue *, struct vhost_ring_state *,
                            uint32_t identity);
void vhost_ring_state_stop(struct vhost_queue *);
void vhost_ring_state_close(struct vhost_device *);
void vhost_ring_state_remove(const struct vhost_device *);

/* Around the writing of the 'n' chains of 'used' to the ring, from position
 * 'old' to 'new'. */
void vhost_ring_state_begin(struct vhost_ring_state *, uint16_t old,
                            uint16_t new, const struct vhost_used *used,
                            unsigned int n);
void vhost_ring_state_commit(struct vhost_ring_state *);

/* ring-packed.c: looks at a ring that somebody else has worked on. */

/* Returns 'position' moved by 'n' slots. */
uint16_t vhost_packed_advance(const struct vhost_queue *, uint16_t position,
                              uint16_t n);
/* True if the slot at 'position' has been used in this round, or made
 * available again for the next. */
bool vhost_packed_was_given_back(const struct vhost_queue *,
                                 uint16_t position);
/* True if the slots from 'position' on are available in this round, or have
 * not yet been made so. */
bool vhost_packed_may_be_next(const struct vhost_queue *, uint16_t position);
void vhost_packed_write_used(struct vhost_queue *, uint16_t position,
                             const struct vhost_used *, unsigned int n);

#endif /* ring-state.h */
