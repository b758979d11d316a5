/* BPF programs at a device's traffic control hooks.  Private to datapath/. */
#ifndef TC_PROGRAM_H
#define TC_PROGRAM_H 1

#include <stdbool.h>

/* A program that is attached to a device. */
struct tc_program {
    int ifindex;
    bool egress;
    int link_fd;                /* Of a tcx link, -1 if it is a filter. */
    bool made_qdisc;            /* There was no clsact qdisc before. */
    char *pin;                  /* The file that keeps the link, or NULL. */
};

/* Returns a descriptor of a program that drops everything, which is loaded
 * once and kept, or -1.
 *
 * At the ingress hook of a switch port's device it keeps the host's own
 * network stack off: the host must not answer the ARP requests that the device
 * receives, forward its packets, or have them in its own sockets.  Packet
 * sockets get a frame before that hook does, so that leaves exactly us. */
int tc_program_drop_all(void);

/* Attaches program 'prog_fd' to what device 'ifindex' receives (or, if
 * 'egress', to what it is to send), in place of the one that is pinned to file
 * 'pin', or that a process which is gone left there.  With a 'pin' the program
 * outlives this process, where the kernel has tcx.  Returns 0 or a positive
 * errno value.  Main thread. */
int tc_program_attach(struct tc_program *, int ifindex, bool egress,
                      int prog_fd, const char *pin);

/* Ends that. */
void tc_program_detach(struct tc_program *);

/* Leaves the program as it is for the next process. */
void tc_program_leave(struct tc_program *);

#endif /* datapath/tc-program.h */
