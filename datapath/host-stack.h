/* Keeps the host's own network stack off the frames of a switch port.  Private
 * to datapath/. */
#ifndef HOST_STACK_H
#define HOST_STACK_H 1

#include <stdbool.h>

/* A device from which the host receives nothing. */
struct host_stack_block {
    int ifindex;
    int link_fd;                /* Of a tcx link, -1 if there is none. */
    bool made_qdisc;            /* There was no clsact qdisc before. */
};

/* Makes the host's stack drop whatever device 'ifindex' receives; packet
 * sockets still get it.  Returns 0 or a positive errno value.  Main thread. */
int host_stack_block(struct host_stack_block *, int ifindex);

/* Ends that. */
void host_stack_unblock(struct host_stack_block *);

#endif /* datapath/host-stack.h */
