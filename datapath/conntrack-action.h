/* The datapath action ct(): see conntrack-action.c. */
#ifndef CONNTRACK_ACTION_H
#define CONNTRACK_ACTION_H 1

struct conntrack;
struct dp_packet_batch;
struct flow;
struct nlattr;

/* Sends 'batch', whose packets look like 'flow', through connection tracker
 * 'ct' as OVS_ACTION_ATTR_CT attribute 'a' says, at time 'now' in ms.  Any
 * thread. */
void conntrack_action(struct conntrack *ct, struct dp_packet_batch *batch,
                      const struct flow *flow, const struct nlattr *a,
                      long long int now);

/* Gives each of the whole packets in 'batch' the room behind it into which the
 * tracker writes when an application layer gateway replaces an address by a
 * longer one.  The tracker itself takes the room in front of a packet for room
 * behind it. */
void conntrack_make_tailroom(struct dp_packet_batch *batch);

#endif /* conntrack-action.h */
