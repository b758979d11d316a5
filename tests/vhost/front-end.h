/* A scripted vhost-user front-end with a driver's rings: for tests that say
 * byte for byte what a guest does, right or wrong. */
#ifndef FRONT_END_H
#define FRONT_END_H 1

#include <linux/virtio_ring.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "vhost/wire.h"

#define FE_MEMORY (1u << 20)    /* Bytes of each of the two regions. */
#define FE_RING 64              /* Descriptors. */
#define FE_QUEUES 8

struct fe_ring {
    bool packed;
    uint16_t size;
    struct vring_desc *desc;
    struct vring_avail *avail;
    struct vring_used *used;
    struct vring_packed_desc *packed_desc;
    uint16_t next;              /* Next avail index or packed slot... */
    bool wrap;                  /* ...and its wrap counter. */
    uint16_t head_slot, head_flags;     /* Packed: of the chain being made. */
    int kick, call, err;
};

struct front_end {
    int sock;
    int memfd;                  /* Both regions, one after the other. */
    uint8_t *memory;
    uint64_t features, protocol_features;
    uint64_t ring_base;         /* Added to the offsets of rings in memory; 0
                                 * for the address of the memory. */
    bool inband;                /* Kicks and calls are messages. */
    struct fe_ring rings[FE_QUEUES];
};

/* Connects to 'path'.  The guest's memory is two regions, at addresses 0 and
 * FE_MEMORY: adjacent, so that buffers can cross; user addresses are ours. */
void fe_connect(struct front_end *, const char *path);
void fe_close(struct front_end *);

/* Sends a message with 'n_fds' file descriptors. */
void fe_send_fds(struct front_end *, uint32_t request, uint32_t flags,
                 const void *payload, size_t size, const int fds[],
                 unsigned int n_fds);
void fe_send(struct front_end *, uint32_t request, const void *payload,
             size_t size);
void fe_send_u64(struct front_end *, uint32_t request, uint64_t value, int fd);
void fe_send_state(struct front_end *, uint32_t request, uint32_t index,
                   uint32_t num);
uint64_t fe_get_u64(struct front_end *, uint32_t request);
/* Receives a reply to 'request'.  Returns its size, -1 if the back-end hung
 * up. */
int fe_reply(struct front_end *, uint32_t request,
             union vhost_user_payload *, int *fd);
/* Waits until the back-end hangs up; false if it doesn't within a while. */
bool fe_hung_up(struct front_end *);

/* Negotiates 'features' and gives the memory. */
void fe_negotiate(struct front_end *, uint64_t features, uint64_t protocol);
void fe_send_memory(struct front_end *);
/* Sets up virtqueue 'index' and starts it. */
void fe_start_ring(struct front_end *, unsigned int index, uint16_t size,
                   uint32_t base);
/* All of the above, with 'n' queues. */
void fe_start(struct front_end *, const char *path, uint64_t features,
              unsigned int n);

/* Address and our pointer of buffer number 'i', 4096 bytes in the first
 * region. */
uint64_t fe_buffer(unsigned int i);
uint8_t *fe_at(struct front_end *, uint64_t guest_address);

/* Writes descriptor 'i' of a split ring, or descriptor 'i' of the next chain
 * of a packed one; 'id' is what comes next, or the buffer id. */
void fe_desc(struct fe_ring *, uint16_t i, uint64_t addr, uint32_t len,
             uint16_t flags, uint16_t id);
/* Makes the chain at 'head' (split), or the one just written (packed),
 * available, and kicks. */
void fe_offer(struct fe_ring *, uint16_t head);
void fe_kick(struct fe_ring *);
/* Used entries so far (split) / whether slot 'i' is used (packed). */
uint16_t fe_used_idx(const struct fe_ring *);
bool fe_is_used(const struct fe_ring *, uint16_t slot, bool wrap);

/* Waits until CONDITION holds; after some seconds it fails the test. */
#define FE_AWAIT(CONDITION)                                             \
    do {                                                                \
        for (unsigned int tries_ = 0; !(CONDITION); tries_++) {         \
            if (tries_ > 5000) {                                        \
                fe_fail(__FILE__, __LINE__, #CONDITION);                \
            }                                                           \
            usleep(1000);                                               \
        }                                                               \
    } while (0)
#define FE_CHECK(CONDITION)                                             \
    ((CONDITION) ? (void) 0 : fe_fail(__FILE__, __LINE__, #CONDITION))
void fe_fail(const char *file, int line, const char *what)
    __attribute__((noreturn));

#endif /* front-end.h */
