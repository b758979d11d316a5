/* BPF programs at a device's traffic control hooks.  Private to datapath/. */
#ifndef TC_PROGRAM_H
#define TC_PROGRAM_H 1

#include <stdbool.h>

/* A program that is, or is to be, attached to a device. */
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

/* Prepares '*p' to attach a program to what device 'ifindex' receives (or, if
 * 'egress', to what it is to send).  With a 'pin', a file, the program outlives
 * this process, where the kernel has tcx. */
void tc_program_init(struct tc_program *, int ifindex, bool egress,
                     const char *pin);

/* Puts program 'prog_fd' in place of the one that is pinned.  Returns false if
 * there is none. */
bool tc_program_take_over(struct tc_program *, int prog_fd);

/* Attaches program 'prog_fd', in place of the one that a process which is gone
 * left in a filter.  Returns 0 or a positive errno value.  The kernel takes
 * some 13 ms. */
int tc_program_attach(struct tc_program *, int prog_fd);

/* Ends that.  The kernel takes as long, unless the device has gone. */
void tc_program_detach(struct tc_program *);

/* Leaves the program as it is for the next process. */
void tc_program_leave(struct tc_program *);

#endif /* datapath/tc-program.h */
