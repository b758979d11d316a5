/* What the files of the dpif provider share: dpif-provider.c (datapaths and
 * their ports), dpif-flow.c (flows and packets), dpif-conntrack.c. */
#ifndef DPIF_PRIVATE_H
#define DPIF_PRIVATE_H 1

#include "dpif-provider.h"
#include "datapath/private.h"

/* An open datapath. */
struct sluice_dpif {
    struct dpif up;
    struct datapath *dp;
};

static inline struct datapath *
dpif_datapath(const struct dpif *dpif)
{
    return CONTAINER_OF(dpif, struct sluice_dpif, up)->dp;
}

/* Fill in the members of 'class' that are about flows and packets, and about
 * connection tracking. */
void dpif_flow_init_class(struct dpif_class *);
void dpif_conntrack_init_class(struct dpif_class *);

/* Makes the mask of 'match', a megaflow's, what it becomes on its way through
 * Netlink attributes.  They can't say that a packet's VLAN tag doesn't matter:
 * a flow that doesn't look at it is one for untagged packets, or for one
 * VLAN. */
void dpif_flow_mask_vlan(struct match *);

/* Log an upcall, and that a flow has been added or modified: see
 * dpif-flow.c. */
void dpif_flow_log_upcall(const struct datapath *, const struct dp_packet *,
                          const struct flow *, enum dpif_upcall_type);
void dpif_flow_log_change(const struct match *, const ovs_u128 *ufid,
                          const struct program *old,
                          const struct nlattr *actions, size_t actions_len);

/* Makes a miss upcall of 'packet' of 'dp', which it takes over, with its key in
 * 'buf'. */
int dpif_flow_make_upcall(struct datapath *dp, struct dp_packet *packet,
                          struct dpif_upcall *, struct ofpbuf *buf);

#endif /* dpif-private.h */
