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

/* Puts the program on device 'ifindex', which has at most 'n_queues' queues.
 * What a queue receives it drops until xdp_program_redirect().  'flags' are
 * XDP_FLAGS_DRV_MODE or XDP_FLAGS_SKB_MODE.  Returns 0 or a positive errno
 * value: EBUSY if another program is attached, EOPNOTSUPP if the driver can't,
 * ERANGE if the device's MTU is too long for it.  Main thread. */
int xdp_program_attach(struct xdp_program *, int ifindex, uint32_t flags,
                       unsigned int n_queues);

/* Has it redirect what 'queue' receives to AF_XDP socket 'fd', which must be
 * bound to that queue, until that is closed.  Returns 0 or a positive errno
 * value. */
int xdp_program_redirect(const struct xdp_program *, unsigned int queue,
                         int fd);

/* Detaches it and takes it away. */
void xdp_program_detach(struct xdp_program *);

#endif /* datapath/xdp-program.h */
