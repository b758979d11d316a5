/* Sending into tunnels through the host's network stack.  Private to
 * datapath/. */
#ifndef TUNNEL_SEND_H
#define TUNNEL_SEND_H 1

#include "datapath/atomic.h"
#include "datapath/port.h"
#include "datapath/tunnel-header.h"

/* Sends 'n' packets, each of which brings a struct tunnel_request, by tunnel
 * port 'port' with headers of 'format'.  '*seq' is the last sequence number
 * used.  Any thread. */
void tunnel_send(struct port *, const struct tunnel_format *,
                 atomic_uint32_t *seq, struct vhost_packet *const packets[],
                 unsigned int n, struct dp_thread *);

#endif /* datapath/tunnel-send.h */
