/* What the files of datapath/ share.
 *
 * A packet's way through the user engine, a file each:
 *
 *   port-*.c     a source of packets makes a batch of views
 *   receive.c    parse -> look up in microflow.c, then megaflow.c
 *   actions.c    run the flow's program.c on the views
 *   tracked.c    the same with connection tracking and recirculation
 *   transmit.c   collect by output, finish offloads in offload.c, send
 *
 * and off the fast path:
 *
 *   upcall.c     no flow: ask libofproto, install what it says
 *   generic.c    the whole packet is needed: libopenvswitch acts on it
 *
 * libofproto drives it all through dpif-provider.c and dpif-conntrack.c.
 */
#ifndef DATAPATH_PRIVATE_H
#define DATAPATH_PRIVATE_H 1

#include "datapath/datapath.h"
#include "datapath/flow-key.h"
#include "datapath/megaflow.h"
#include "datapath/microflow.h"
#include "datapath/port.h"
#include "dpif.h"
#include "fat-rwlock.h"
#include "openvswitch/shash.h"
#include "ovs-rcu.h"
#include "sset.h"

#include <time.h>

struct coalescer;
struct conntrack;
struct dp_packet;
struct dp_packet_batch;
struct meter_table;
struct netdev_custom_stats;
struct pkt_metadata;
struct program_op;
struct seq;

/* Newer than Debian 12's headers (virtio 1.2 section 5.1.3). */
#ifndef VIRTIO_NET_F_GUEST_USO4
#define VIRTIO_NET_F_GUEST_USO4 54
#define VIRTIO_NET_F_GUEST_USO6 55
#define VIRTIO_NET_F_HOST_USO 56
#endif
#ifndef VIRTIO_NET_HDR_GSO_UDP_L4
#define VIRTIO_NET_HDR_GSO_UDP_L4 5
#endif

#define DP_MAX_PORTS 65536          /* Ports of all datapaths together. */
#define DP_MAX_OUTPUTS 64           /* Outputs that a batch collects for. */
#define DP_MAX_CLONES 64            /* Rewritten copies of views in a batch. */
#define DP_MAX_VIEWS 64             /* dp_packets collected for output. */
#define DP_MAX_MERGED (VHOST_BATCH / 2) /* Packets made of several. */
#define DP_MAX_RECIRC_DEPTH 6       /* As OVS's own user-space datapath. */

/* --- A datapath ------------------------------------------------------------
 *
 * What a dpif of one type ("system", "netdev") with one name opens. */

/* Ports by number, replaced as a whole. */
struct port_array {
    unsigned int n;
    struct port *ports[];           /* NULL where there is none. */
};

struct datapath {
    const struct dpif_class *class;
    char *name;
    struct ovs_refcount ref_cnt;    /* Open dpifs... */
    bool by_hand;                   /* ...and one more, until it is deleted by
                                     * the command that made it, dpctl/add-dp
                                     * and del-dp. */

    struct ovs_mutex port_mutex;    /* For changes of the ports. */
    OVSRCU_TYPE(struct port_array *) ports;
    struct shash ports_by_name;     /* Of struct port. */
    uint32_t last_number;           /* That a port was given. */
    struct seq *port_seq;           /* Changes with the set of ports. */
    struct sset changed_ports;      /* Names for port_poll(). */

    struct megaflow_table flows;

    /* Upcalls.  Whoever makes one holds 'upcall_rwlock' for reading. */
    struct fat_rwlock upcall_rwlock;
    upcall_callback *upcall_cb;
    void *upcall_aux;
    struct upcall_queue *upcall_queue;  /* Those that handlers make. */

    struct conntrack *conntrack;
    atomic_bool tcp_seq_chk;        /* The user wants TCP sequence checks. */
    struct meter_table *meters;
    struct ovs_mutex bond_mutex;
    struct cmap bonds;              /* Of struct bond_map, bond-map.c. */

    uint64_t last_tunnel_seq;       /* Of tunnel configuration. */
    bool deleted;                   /* It goes for good. */
};

/* The port with 'number', or NULL.  RCU. */
static inline struct port *
datapath_port(const struct datapath *dp, odp_port_t number)
{
    const struct port_array *array = ovsrcu_get(struct port_array *,
                                                &dp->ports);
    uint32_t i = odp_to_u32(number);

    return i < array->n ? array->ports[i] : NULL;
}

/* Returns true if 'dp' is for tests, with dummy devices. */
bool datapath_is_dummy(const struct datapath *);

/* Returns true if packets enter and leave the tunnels of 'dp' by actions
 * (tnl_push, tnl_pop), with the underlay's address on a bridge; false if by
 * ports whose underlay is the host's network stack (port-tunnel.c). */
bool datapath_has_native_tunnels(const struct datapath *);

/* What libofproto is told that the thread of a flow of 'dp' is: none, since
 * all threads share the flows, but in tests the main loop. */
static inline unsigned int
datapath_pmd_id(const struct datapath *dp)
{
    return datapath_is_dummy(dp) ? NON_PMD_CORE_ID : PMD_ID_NULL;
}

/* Registers the dpif classes (dpif-provider.c; 'dummy' as datapath_init()'s),
 * the netdev classes, and the unixctl commands. */
void dpif_provider_register(const char *dummy);
void netdev_vhost_register(void);
void datapath_unixctl_init(void);

struct netdev;
bool netdev_is_vhost(const struct netdev *);

/* Applies other_config: service threads on the CPUs of 'cpu_mask' (OVS's
 * pmd-cpu-mask, or NULL), 'n_threads' of them (0: one per CPU of the mask). */
void datapath_set_threads(const char *cpu_mask, unsigned int n_threads);

/* Directory for the ring state of vhost-user devices. */
const char *datapath_state_dir(void);
bool datapath_is_exiting(void);

/* Calls 'cb' for every datapath.  Main thread. */
void datapath_for_each(void (*cb)(struct datapath *, void *aux), void *aux);

/* The port named 'name' of any datapath, or NULL.  Main thread. */
struct port *datapath_find_port(const char *name);

/* --- A thread's context ---------------------------------------------------*/

/* A rewritten copy of a view's head; the rest is the original's. */
struct packet_clone {
    struct vhost_packet packet;
    struct vhost_seg segs[VHOST_MAX_SEGS + 1];
};

/* What goes to one port when the batch is done. */
struct output {
    struct port *port;
    unsigned int n;
    struct vhost_packet *packets[VHOST_BATCH];
};

/* A port's counters in one thread. */
struct port_counters {
    atomic_uint64_t rx_packets, rx_bytes;
    atomic_uint64_t tx_packets, tx_bytes;
    atomic_uint64_t drops[N_DROP_REASONS];
};

/* A thread's counters of the flow cache. */
struct cache_counters {
    atomic_uint64_t same;      /* Same flow key as the packet before. */
    atomic_uint64_t microflow; /* Found in the microflow cache... */
    atomic_uint64_t megaflow;  /* ...in the megaflow table... */
    atomic_uint64_t miss;      /* ...or nowhere: upcall. */
    atomic_uint64_t lost;      /* Upcalls that were refused. */
    atomic_uint64_t generic;   /* Packets linearised. */
};

/* A packet put aside until the batch is done. */
struct deferred {
    struct dp_packet *packet;
    struct datapath *dp;
    const struct program *program;  /* What to run, NULL if it found no
                                     * flow... */
    size_t ofs, len;                /* ...of its actions: 'len' bytes from
                                     * byte 'ofs' on. */
};

/* What is known of a packet besides itself: vhost_packet.user points to it, if
 * that isn't NULL. */
struct tunnel_request {
    bool checked;                   /* Its transport checksum is known to be
                                     * right: it was computed here. */
    const struct flow_tnl *key;     /* For a tunnel port, if not NULL: where
                                     * to, and what the header is to say. */
    ovs_be32 packet_type;           /* PT_ETH or another PACKET_TYPE(). */
    uint32_t mark;                  /* Of the outer packet. */
};

/* A dp_packet on its way out, which goes when it has been sent. */
struct generic_view {
    struct vhost_packet view;
    struct dp_packet *packet;
    struct tunnel_request tunnel;
};

struct dp_thread {
    struct ovs_list node;           /* In all threads. */
    struct vhost_notifier notifier;
    bool service;                   /* A service thread, not libofproto's: */
    const struct vhost_thread *vhost; /* the pool's (else NULL)... */
    unsigned int index;             /* ...and its number there... */
    clockid_t cpu_clock;            /* ...and its CPU time. */
    _Atomic bool asleep;            /* It waits for events. */
    atomic_llong beat;              /* time_msec() when it was last seen. */

    /* The batch that is being worked on. */
    struct vhost_packet packets[VHOST_BATCH]; /* For ports that need them. */
    struct flow_key keys[VHOST_BATCH];  /* Those that its packets have... */
    struct flow_parse parsed[VHOST_BATCH];
    uint32_t packet_hashes[VHOST_BATCH];
    uint64_t hashes[VHOST_BATCH];       /* ...their microflow_hash()... */
    struct megaflow *flows[VHOST_BATCH]; /* ...and flows. */
    unsigned int n_deferred;
    struct deferred deferred[3 * VHOST_BATCH]; /* Some are cut in two, some
                                                * come from elsewhere. */
    unsigned int n_missed;          /* Packets that found no flow. */

    /* What it has to send. */
    unsigned int n_outputs;
    struct output outputs[DP_MAX_OUTPUTS];
    uint8_t *output_slot;           /* By port index: index in 'outputs' + 1,
                                     * 0 if none. */
    unsigned int n_clones;
    struct packet_clone *clones;    /* DP_MAX_CLONES elements. */
    unsigned int n_views;
    struct generic_view *views;     /* DP_MAX_VIEWS elements. */
    struct packet_clone *merged;    /* DP_MAX_MERGED elements. */

    struct coalescer *coalescer;    /* For packets that leave a tunnel, if they
                                     * came as one. */

    struct microflow_cache *cache;  /* Only with the fast path... */
    struct dp_packet *stand_ins;    /* ...as these: VHOST_BATCH of them, for
                                     * tracked.c. */
    struct megaflow_stats *stats;
    struct port_counters *counters; /* By port index. */
    struct cache_counters cache_counters;
    struct drop_ring *drops;        /* The last drops: see drops.c. */

    long long int now;              /* time_msec() as of this batch. */
    long long int upcall_credit;    /* Time that it may spend in upcalls, us. */
    long long int upcall_last;      /* vhost_now_us() when that was updated. */
    long long int upcall_looked;    /* vhost_now_us() when it was last found... */
    bool upcall_spare;              /* ...that nobody else wants its time. */
    bool upcall_serving;            /* It is making queued upcalls. */
    unsigned int recirc_depth;
    unsigned int n_sent;            /* Outputs of dp_packets that were... */
    unsigned int n_filtered;        /* ...and weren't to be, by a receive
                                     * filter: see generic.c. */
};

/* The calling thread's context, made when it asks for the first time. */
struct dp_thread *dp_thread_get(void);

void dp_threads_init(void);
struct dp_thread *dp_thread_create(bool service);
void dp_thread_destroy(struct dp_thread *);

/* Gives 'thread', which is not a service thread, what receive_batch() needs. */
void dp_thread_enable_fast_path(struct dp_thread *);

/* Makes 'thread' what dp_thread_get() returns to the calling thread, to which
 * it belongs from now on (NULL: none does). */
void dp_thread_set(struct dp_thread *);

/* Adds up the flow cache's counters over all threads. */
void dp_threads_get_cache_counters(struct cache_counters *);

/* Calls 'cb' for each thread that has a context, with threads kept from coming
 * and going. */
void dp_thread_for_each(void (*cb)(struct dp_thread *, void *aux), void *aux);

/* Adds 'n' to a counter that only the calling thread writes. */
static inline void
counter_add(atomic_uint64_t *counter, uint64_t n)
{
    atomic_store_explicit(counter,
                          atomic_load_explicit(counter, memory_order_relaxed)
                          + n, memory_order_relaxed);
}

/* --- receive.c, actions.c, tracked.c, transmit.c, offload.c--------------------*/

/* datapath_receive() in two halves.  In between the caller may give the
 * packets' memory back to where it came from, and no view is held. */
void receive_batch(struct port *, struct vhost_packet packets[],
                   unsigned int n, struct dp_thread *);
void receive_deferred(struct dp_thread *);

/* Runs 'program' on the 'n' 'packets', collecting outputs. 'in' is where they
 * came from.  They stay as they are until transmit_flush(). */
void program_run(const struct program *, struct port *in,
                 struct vhost_packet packets[], unsigned int n,
                 struct dp_thread *);

/* Makes 'dst' a packet with a head of its own and the payload of 'src'. */
void packet_clone_init(struct packet_clone *dst, const struct vhost_packet *src);

/* Runs 'op' of 'program', none of tracked.c's, on 'packet', which must not be
 * waiting for output if that changes it.  'stand_in' is NULL or what is known of
 * the packet besides. */
void program_run_op(const struct program *, const struct program_op *op,
                    struct port *in, struct vhost_packet *,
                    const struct dp_packet *stand_in, struct dp_thread *);

/* Runs 'program', which tracks, on the 'n' 'packets', as program_run() does.
 * 'which' has the numbers of their keys in thread->keys. */
void tracked_run(const struct program *, struct port *in,
                 struct vhost_packet packets[], const uint8_t which[],
                 unsigned int n, struct dp_thread *);

/* The parts of that, for who wants to know where it leads (one packet, whose
 * head is its own): makes 'stand_in' the packet as the connection tracker sees
 * it, with 'key', or returns false if it must go the generic way; makes the
 * flow key of the packet, recirculated, whose metadata is 'md', or returns false
 * if its headers are too long; and tracks it, as 'op' of 'program' says. */
bool tracked_make_stand_in(struct dp_packet *stand_in, struct vhost_packet *,
                           const struct flow_key *, const struct port *in);
bool tracked_make_key(const struct port *in, const struct vhost_packet *,
                      const struct pkt_metadata *md, struct flow_key *,
                      struct flow_parse *);
void tracked_track(struct dp_packet *stand_in, struct vhost_packet *,
                   struct port *in, const struct program *,
                   const struct program_op *, struct dp_thread *);

/* Copies 'packet', which 'in' received, out of its sender's memory, to deal
 * with it when the batch is done: to run 'program' or, if NULL, to find out
 * which.  If 'stand_in' is not NULL its metadata goes along. */
void put_aside(struct port *in, struct vhost_packet *,
               const struct dp_packet *stand_in, const struct program *,
               struct dp_thread *);

/* The same for 'len' bytes of the actions of 'program', from byte 'ofs' on. */
void put_aside_for(struct port *in, struct vhost_packet *,
                   const struct dp_packet *stand_in, const struct program *,
                   size_t ofs, size_t len, struct dp_thread *);

/* Looks up 'key' where the microflow cache didn't help. */
struct megaflow *look_up_slow(struct datapath *, struct flow_key *key,
                              unsigned int *blocks, uint64_t hash,
                              struct dp_thread *);

/* Collects the 'n' 'packets' for output to 'port'. */
void transmit_add(struct port *, struct vhost_packet packets[], unsigned int n,
                  struct dp_thread *);

/* Sends what has been collected, and the notifications for it. */
void transmit_flush(struct dp_thread *);

/* Checks the offload request of 'packet', parsed as 'key', and fills in its
 * derived fields from the packet itself.  Returns false if it is impossible. */
bool offload_check(struct vhost_packet *, const struct flow_key *key);

/* Moves the offsets of the offload request of 'packet' by 'delta' bytes, after
 * as many have been pushed onto (or, negative, popped off) its front. */
void offload_shift(struct vhost_packet *, int delta);

/* Makes the checksum field of 'packet', whose checksum is to be finished by
 * somebody else, right again after its IP addresses have been rewritten. */
void offload_fix_pseudo_header(struct vhost_packet *);

/* Gives 'packet', of which only the frame came, the offload request that its
 * sender must have made: a TCP or UDP checksum field with the sum of the
 * pseudo-header alone is one that somebody else was to finish.  (A finished one
 * of the same value, one in 65,536, comes to no harm: finished again, it stays
 * as it is.)  Before the packet is parsed. */
void offload_recognize(struct vhost_packet *);
/* Adds the 'n' bytes at 'data' to 'partial', an Internet checksum's sum that is
 * not folded yet. */
uint32_t offload_sum(uint32_t partial, const void *data, size_t n);

/* Computes the checksum that 'vnet' asks for in the frame of 'len' bytes at
 * 'frame'. */
void offload_finish_csum(uint8_t *frame, size_t len,
                         const struct virtio_net_hdr *vnet);

/* Does in software what 'packet' requests, handing the packets that result to
 * 'emit(packet, aux)', one by one; they are there until offload_finish()
 * returns. */
void offload_finish(const struct vhost_packet *,
                    void (*emit)(struct vhost_packet *, void *aux), void *aux);

/* Cuts 'packet', a segmentation request longer than 'max' bytes, into pieces
 * no longer, each a request itself, and hands them to 'emit(packet, aux)'. */
void offload_split(const struct vhost_packet *, size_t max,
                   void (*emit)(struct vhost_packet *, void *aux), void *aux);

/* Makes one packet, in 'merged', of as many as possible of the 'n' in
 * 'packets', beginning with the first: UDP packets, a tunnel's outer ones, to
 * be cut apart again behind a port that takes UDP segmentation.  Their
 * checksums, even of those without, will be computed anew, so they have to be
 * known to be right.  Returns their number, 1 if there is nothing to merge. */
unsigned int offload_merge(struct vhost_packet *const packets[],
                           unsigned int n, struct packet_clone *merged);

/* What 'port' takes at the moment, a mask like port.offloads. */
static inline uint64_t
port_offloads(const struct port *port)
{
    return port->class->get_offloads ? port->class->get_offloads(port)
                                     : port->offloads;
}

/* Returns true if 'offloads' has all that 'packet' requests. */
static inline bool
offload_fits(const struct vhost_packet *packet, uint64_t offloads)
{
    if (!(packet->vnet.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM)) {
        return true;
    }
    uint64_t wanted = UINT64_C(1) << VIRTIO_NET_F_GUEST_CSUM;

    switch (packet->vnet.gso_type & ~VIRTIO_NET_HDR_GSO_ECN) {
    case VIRTIO_NET_HDR_GSO_TCPV4:
        wanted |= UINT64_C(1) << VIRTIO_NET_F_GUEST_TSO4;
        break;
    case VIRTIO_NET_HDR_GSO_TCPV6:
        wanted |= UINT64_C(1) << VIRTIO_NET_F_GUEST_TSO6;
        break;
    case VIRTIO_NET_HDR_GSO_UDP_L4:
        wanted |= UINT64_C(1) << VIRTIO_NET_F_GUEST_USO4
                  | UINT64_C(1) << VIRTIO_NET_F_GUEST_USO6;
        break;
    case VIRTIO_NET_HDR_GSO_NONE:
        break;
    default:
        return false;
    }
    if (packet->vnet.gso_type & VIRTIO_NET_HDR_GSO_ECN) {
        wanted |= UINT64_C(1) << VIRTIO_NET_F_GUEST_ECN;
    }
    return !(wanted & ~offloads);
}

/* --- generic.c, upcall.c -----------------------------------------------------*/

/* Longest packet that a dp_packet, which counts its allocation in 16 bits,
 * holds together with its headroom and with what actions, application layer
 * gateways above all, make it longer by. */
#define GENERIC_MAX_LEN (UINT16_MAX - 1024)

/* Makes a dp_packet of the view 'packet', of at most GENERIC_MAX_LEN bytes,
 * which 'in' received.  Its offload request travels along.  The caller owns
 * the result. */
struct dp_packet *generic_packet(const struct vhost_packet *,
                                 const struct port *in);

/* Makes a dp_packet of the 'len' bytes at 'data', with place for 'room' bytes,
 * that 'in' received.  The caller owns the result. */
struct dp_packet *generic_packet_new(const void *data, size_t len, size_t room,
                                     const struct port *in);

/* Makes 'packet' ask for its transport checksum, 'csum_offset' bytes into the
 * transport header, to be finished, and to be cut by 'gso_type' and
 * 'gso_size'. */
void generic_request_offload(struct dp_packet *packet, uint16_t csum_offset,
                             uint8_t gso_type, uint16_t gso_size);

/* Counts 'packet', which is about to be dropped, and remembers it. */
void generic_note_drop(struct datapath *, const struct dp_packet *packet,
                       enum drop_reason, struct dp_thread *);

/* Looks 'packet' up by its metadata and contents and acts on it; on a miss
 * makes an upcall.  Takes 'packet' over. */
void generic_receive(struct datapath *, struct dp_packet *packet,
                     struct dp_thread *);

/* Runs the 'len' bytes of the actions of 'program' from byte 'ofs' on on
 * 'packet', which it takes over. */
void generic_run(struct datapath *, struct dp_packet *packet,
                 const struct program *, size_t ofs, size_t len,
                 struct dp_thread *);

/* Runs Netlink 'actions' on 'packets', which it takes over if 'steal'.  'flow'
 * is what the first of them looks like. */
void generic_execute(struct datapath *, struct dp_packet_batch *packets,
                     bool steal, const struct flow *flow,
                     const struct nlattr *actions, size_t actions_len,
                     struct dp_thread *);

/* Asks libofproto what to do with 'packet', whose flow is 'flow', does it, and
 * installs it.  Takes 'packet' over. */
void upcall_miss(struct datapath *, struct dp_packet *packet,
                 const struct flow *flow, struct dp_thread *);

/* Makes upcalls that wait, those of 'port' or whoever's turn it is, as long as
 * 'thread', a service thread, may.  Returns how many.  If none though some of
 * 'port' wait, it has told handlers; else the caller is to come again. */
unsigned int upcall_serve(struct port *, struct dp_thread *);

/* Returns true if packets from 'port' wait for upcalls. */
bool upcall_waits(const struct port *);

/* Of 'budget' packets that could be read from 'port': how many should, with
 * regard to what is waiting for upcalls already. */
unsigned int upcall_room(const struct port *, unsigned int budget);

/* Learns that of 'n' packets that 'port' received 'n_missed' found no flow. */
void upcall_note_misses(struct port *, unsigned int n, unsigned int n_missed);

/* Returns true if an upcall for a packet from 'port' would be refused. */
bool upcall_is_hopeless(const struct port *);

/* Asks libofproto what to do with 'packet' for a userspace action with
 * 'userdata', and does it.  Takes 'packet' over if 'steal'. */
void upcall_action(struct datapath *, struct dp_packet *packet, bool steal,
                   const struct nlattr *userdata, struct dp_thread *);

/* --- ports, bonds, meters, drops --------------------------------------------*/

/* Opens 'netdev' as port 'number' of 'dp', called 'name' there.  Main thread.
 * Returns 0 and the port, or a positive errno value after logging why. */
int dp_port_create(struct datapath *, struct netdev *, const char *name,
                   odp_port_t number, struct port **);

/* Closes 'port', which is in no table any more.  Main thread. */
void dp_port_destroy(struct port *);

/* Adds up the counters of 'port' over all threads and the kernel's. */
void port_get_counters(const struct port *, struct port_counters *sum);

/* Remembers a dropped packet for `sluice-ctl why`, besides counting it. */
void port_drop_packet(const struct port *, enum drop_reason,
                      const struct vhost_packet *, struct dp_thread *);

/* Zeroes the counters of the port with 'index', before it is used anew. */
void port_reset_counters(unsigned int index);

/* One more than the highest port index ever used. */
unsigned int port_index_end(void);

struct drop_ring *drop_ring_create(void);
void drop_ring_destroy(struct drop_ring *);

/* Stores what was dropped, by reason, in '*stats', which the caller must
 * free. */
void drops_to_custom_stats(const struct port_counters *,
                           struct netdev_custom_stats *stats);

/* A JSON array of the last drops at 'port' (NULL: at any). */
struct json *drops_report(const char *port);

extern const char *const drop_reason_names[N_DROP_REASONS];


#endif /* private.h */
