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

#endif /* conntrack-action.h */
