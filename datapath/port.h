/* A port of the datapath: what receives packets from somewhere and sends them
 * there.  Private to datapath/; one file per kind:
 *
 *   port-vhost.c    a vhost-user device
 *   port-tap.c      internal ports and taps: our own persistent tap device
 *   port-packet.c   any other kernel device, over packet sockets
 *   port-afxdp.c    or over AF_XDP sockets, where the user wants that
 *   port-tunnel.c   a tunnel through the host's own network stack
 *   port-netdev.c   dummy devices, for tests
 *
 * Tunnel ports of the netdev type have no class: their packets are made by
 * actions. */
#ifndef PORT_H
#define PORT_H 1

#include "odp-util.h"
#include "openvswitch/hmap.h"
#include "openvswitch/types.h"
#include "ovs-rcu.h"
#include "vhost/vhost.h"

struct datapath;
struct dp_thread;
struct namesake;
struct netdev;
struct policer;
struct port;
struct rx_filter;
struct uplink;

/* What a kind of port does. */
struct port_class {
    /* Starts receiving from and sending to 'port->netdev': from now on
     * datapath_receive() may be called for 'port'.  Stores what it needs in
     * 'port->priv'.  Main thread.  Returns 0 or a positive errno value with
     * '*errp' a message that the caller must free. */
    int (*open)(struct port *, char **errp);

    /* Stops it.  When it returns, no thread uses 'port->priv' to receive, and
     * none will be asked to send any more: the caller has taken 'port' out of
     * all tables and waited.  Main thread. */
    void (*close)(struct port *);

    /* Sends 'n' packets (at most VHOST_BATCH), in order.  Their offload
     * requests are within port->offloads.  Packets that can't be sent are
     * counted with port_drop().  Any thread, online; the packets stay the
     * caller's. */
    void (*send)(struct port *, struct vhost_packet *const packets[],
                 unsigned int n, struct dp_thread *);

    /* A packet made of many costs 'send' as much as one of them does. */
    bool likes_merged;

    /* What 'send' takes at the moment, in the form of port->offloads; NULL
     * where that member says it for good.  Any thread, online. */
    uint64_t (*get_offloads)(const struct port *);
};

/* Why a packet was dropped.  The names are what Interface.statistics and
 * `sluice-ctl why` show.  The first N_OUT_REASONS count against the port that
 * a packet was to leave by, the others against the one that it came in by;
 * from N_LOSS_REASONS on the packet left all the same, by another port. */
#define DROP_REASONS                                                    \
    DROP(NO_BUFFERS, "no_rx_buffers")    /* Guest offers no buffers. */ \
    DROP(NOT_RUNNING, "not_running")     /* No guest behind the port. */ \
    DROP(KERNEL_FULL, "kernel_full")     /* Kernel queue is full. */    \
    DROP(SEND_ERROR, "send_error")       /* Kernel refused it. */       \
    DROP(EGRESS_POLICING, "egress_policing") /* Beyond its rate. */     \
    DROP(TOO_LONG, "too_long")           /* Exceeds the port's MTU. */  \
    DROP(POLICING, "ingress_policing")   /* Beyond its rate. */         \
    DROP(RX_QUEUE, "rx_queue_full")      /* We took it too slowly. */   \
    DROP(UNPARSED, "unparsed")           /* Headers beyond our limit. */ \
    DROP(BAD_OFFLOAD, "bad_offload")     /* Impossible offload request. */ \
    DROP(ACTION, "action_drop")          /* A flow says so. */          \
    DROP(NO_PORT, "no_port")             /* Output port does not exist. */ \
    DROP(UPCALL, "upcall_failed")        /* Slow path refused it. */    \
    DROP(UPCALL_QUEUE, "upcall_queue_full") /* Slow path is behind. */  \
    DROP(RECIRC, "recirculation_limit")  /* Too many recirculations. */ \
    DROP(METER, "meter")                                                \
    DROP(TUNNEL, "tunnel_error")                                        \
    DROP(CONNTRACK, "conntrack")                                        \
    DROP(SPOOFED, "spoofed_source")      /* Not the guest's address. */ \
    DROP(RX_FILTER, "rx_filter")         /* No port holds its address. */ \
    DROP(FLOOD_FILTER, "flood_filtered") /* Some of its ports don't. */

enum drop_reason {
#define DROP(ENUM, NAME) DROP_##ENUM,
    DROP_REASONS
#undef DROP
    N_DROP_REASONS,
    N_OUT_REASONS = DROP_TOO_LONG + 1,
    N_LOSS_REASONS = DROP_RX_FILTER + 1
};

/* One port.  Created and destroyed by the main thread; others see it through
 * tables that are read under RCU. */
struct port {
    struct datapath *dp;
    odp_port_t number;
    const struct port_class *class;
    struct netdev *netdev;      /* A reference. */
    const char *name;           /* In the datapath: the device's own, or a
                                 * kind's of tunnels, "vxlan_sys_4789". */
    const char *type;           /* dpif port type, e.g. "internal". */
    void *priv;                 /* 'class' owns it. */
    struct kernel_attachment *kernel; /* To the kernel engine, or NULL. */
    bool deleted;               /* It goes for good, not with the process. */
    struct namesake *_Atomic listener; /* Is shown all packets, if any is:
                                 * only of a vhost-user port. */
    uint64_t offloads;          /* What 'send' takes: a mask of 1 <<
                                 * VIRTIO_NET_F_GUEST_{CSUM,TSO4,TSO6,ECN,USO4,
                                 * USO6}, if the class has no
                                 * 'get_offloads'. */
    OVSRCU_TYPE(struct policer *) ingress; /* NULL if there is no limit to what
                                            * it receives... */
    OVSRCU_TYPE(struct policer *) egress; /* ...or sends: port-qos.c. */
    struct hmap_node qos_node;  /* port-qos.c's. */
    uint8_t miss_share;         /* Of the packets received lately, how many
                                 * found no flow, in 1/256; a mean that grows
                                 * and falls by 1/8 per batch.  Atomic. */
    unsigned int index;         /* Small and unique over all datapaths: into
                                 * per-thread tables. */

    /* What is behind it: see addresses.h. */
    OVSRCU_TYPE(struct rx_filter *) rx_filter; /* NULL: takes all. */
    OVSRCU_TYPE(struct uplink *) uplink; /* NULL: it is none. */
};

/* Counts 'n' packets of 'port' dropped for 'reason'.  The thread of
 * 'thread'. */
void port_drop(const struct port *, enum drop_reason, unsigned int n,
               struct dp_thread *);

/* Takes 'n' packets (at most VHOST_BATCH) that 'port' received through the
 * datapath: parses, looks up, acts, transmits.  They must have at least 14
 * bytes of head; 'vnet' is checked here.  When it returns the caller may reuse
 * them and their memory.  The thread of 'thread', online. */
void datapath_receive(struct port *, struct vhost_packet packets[],
                      unsigned int n, struct dp_thread *);

/* The context of the service thread that calls a 'poll' function. */
struct dp_thread *dp_thread_from_vhost(const struct vhost_thread *);

/* The pool that serves the sources of ports. */
struct vhost_pool *datapath_pool(void);

extern const struct port_class port_vhost_class;
extern const struct port_class port_tap_class;
extern const struct port_class port_packet_class;
extern const struct port_class port_afxdp_class;
extern const struct port_class port_tunnel_class;
extern const struct port_class port_netdev_class;

#endif /* port.h */
