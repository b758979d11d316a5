/* Headers of the netdev type's tunnels, which actions push and pop, by
 * libopenvswitch's code.  Private to datapath/. */
#ifndef TUNNEL_NATIVE_H
#define TUNNEL_NATIVE_H 1

struct dp_packet_batch;
struct dp_thread;
struct ovs_action_push_tnl;
struct port;

/* Takes the outer headers off the packets of 'batch', which come out of tunnel
 * port 'port' from now on.  Those that don't have the right ones are
 * dropped. */
void tunnel_native_pop(const struct port *, struct dp_packet_batch *,
                       struct dp_thread *);

/* Puts the outer headers in 'data' onto the packets of 'batch', which ask for
 * nothing to be finished, and completes them.  Returns 0, or a positive errno
 * value if tunnel port 'port' can't. */
int tunnel_native_push(const struct port *, struct dp_packet_batch *,
                       const struct ovs_action_push_tnl *data,
                       struct dp_thread *);

#endif /* datapath/tunnel-native.h */
