/* The XDP program that hands a device's frames to AF_XDP sockets.  Private to
 * datapath/. */
#ifndef XDP_PROGRAM_H
#define XDP_PROGRAM_H 1

#include <stdbool.h>
#include <stdint.h>

/* What stands in the bytes right before a frame if the kernel took a VLAN tag
 * out of it: see xdp-program.c. */
struct xdp_vlan_note {
    uint16_t tpid;              /* Network byte order... */
    uint16_t tci;               /* ...host byte order. */
    uint32_t magic;             /* XDP_VLAN_MAGIC, or there was no tag. */
};
#define XDP_VLAN_MAGIC 0x51c7a600

/* A program on a device. */
struct xdp_program {
    int map_fd;
    int prog_fd;
    int link_fd;
    bool notes_vlan;            /* It writes struct xdp_vlan_note. */
};

/* Loads the program for device 'ifindex' and has it redirect what queue 'i'
 * receives to 'sockets[i]', for 'n' queues; everything else it drops.  'flags'
 * are XDP_FLAGS_DRV_MODE or XDP_FLAGS_SKB_MODE.  Returns 0 or a positive errno
 * value: EBUSY if another program is attached, EOPNOTSUPP if the driver can't,
 * ERANGE if the device's MTU is too long for it.  Main thread. */
int xdp_program_attach(struct xdp_program *, int ifindex, uint32_t flags,
                       const int sockets[], unsigned int n);

/* Detaches it and takes it away. */
void xdp_program_detach(struct xdp_program *);

#endif /* datapath/xdp-program.h */
