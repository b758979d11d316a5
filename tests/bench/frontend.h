/* The cheapest vhost-user front-end that still behaves like a driver: one
 * queue pair, no packet buffers of its own, polling only.  Like
 * a driver it writes every descriptor and available entry and the beginning of
 * every frame, and reads every used entry; that is about a third of what
 * DPDK's virtio-user costs, so that one core of it loads a switch.
 *
 * Guest memory is 2 MB hugepages. */
#ifndef BENCH_FRONTEND_H
#define BENCH_FRONTEND_H 1

#include <linux/virtio_ring.h>
#include <stddef.h>
#include <stdint.h>
#include "traffic.h"

#define FRONTEND_BUFFER 2048            /* Bytes of a buffer. */
#define FRONTEND_MAX_RING 4096

struct frontend_queue {
    struct vring ring;          /* Packed: 'desc', 'avail' and 'used' are where
                                 * the three areas are. */
    uint8_t *buffers;           /* One for each descriptor. */
    uint16_t avail;             /* Next index (packed: slot) to make
                                 * available. */
    uint16_t used;              /* Next used index (slot) to look at. */
    bool avail_wrap, used_wrap; /* Packed: their wrap counters. */
    int kick, call;             /* Eventfds. */
    uint16_t free[FRONTEND_MAX_RING]; /* Ring of free descriptors (transmit
                                       * only)... */
    uint16_t free_head, free_tail;    /* ...from head to tail. */
};

struct frontend_stats {
    uint64_t attempted;         /* Frames that we wanted to send... */
    uint64_t sent;              /* ...and those that found a descriptor. */
    uint64_t received;
    uint64_t lost;              /* Gaps in the sequence numbers... */
    uint64_t reordered;         /* ...and steps back. */
    uint64_t bad_length;
    uint64_t kicks;
};

struct frontend {
    int fd;                     /* Of the socket. */
    int side;                   /* 0 or 1: whose frames it sends. */
    const struct traffic *traffic;
    uint8_t *memory;
    size_t memory_size;
    uint64_t features;
    size_t header;              /* Bytes of the virtio-net header. */
    bool packed;                /* Packed rings.  Set before the start. */
    bool iommu;                 /* Addresses are an IOMMU's, which maps all of
                                 * the memory, once.  Set before the start. */
    struct frontend_queue rx, tx;
    uint64_t next_seq;          /* Of what we send... */
    uint64_t expected_seq;      /* ...and receive. */
    struct frontend_stats stats;
    uint64_t sink;              /* Sum of what was read, so that it is read. */
};

/* Connects to 'path', where a switch listens.  Both ends of a pair should
 * connect before one is started: a switch may accept them in order.  Exits on
 * failure. */
void frontend_connect(struct frontend *, const char *path);

/* Shares memory and rings of 'ring_size' entries with the switch and enables
 * them. */
void frontend_start(struct frontend *, int side, const struct traffic *,
                    unsigned int ring_size);

/* Sends up to 'n' frames; returns how many found a descriptor. */
unsigned int frontend_send(struct frontend *, unsigned int n);

/* Receives up to 'max' frames and gives their buffers back; returns how
 * many. */
unsigned int frontend_receive(struct frontend *, unsigned int max);

#endif /* frontend.h */
