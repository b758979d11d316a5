/* Putting the segments of a TCP stream together again.  Private to
 * datapath/. */
#ifndef COALESCE_H
#define COALESCE_H 1

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "openvswitch/types.h"

struct dp_packet;
struct dp_thread;
struct flow_tnl;
struct port;

/* Zero it, but for the first two members, to initialize. */
struct coalescer {
    struct port *port;              /* Where the packets come from. */
    struct dp_thread *thread;

    struct dp_packet *packet;       /* That more may be added to, or NULL. */
    uint32_t next_seq;              /* TCP sequence number that continues
                                     * it. */
    uint16_t header_len;            /* Of what stands before its payload. */
    uint16_t mss;                   /* Payload of its first segment. */
    bool merged;                    /* It is more than that. */
};

/* Takes the packet of 'packet_type', 'len' bytes at 'data', that came out of
 * the tunnel of 'key', through the datapath, unless more might be added to it:
 * then soon.  As many as 'total' bytes like it may follow. */
void coalesce_receive(struct coalescer *, const uint8_t *data, size_t len,
                      size_t total, const struct flow_tnl *key,
                      ovs_be32 packet_type);

/* Takes what is waiting, if anything, through the datapath. */
void coalesce_flush(struct coalescer *);

#endif /* datapath/coalesce.h */
