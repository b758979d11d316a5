/* The vhost-user service: the one header that a neighbour includes.
 *
 * A *device* is one vhost-user port: a socket, a guest's memory, and its
 * virtqueues.  A *queue* is one virtqueue.  Names are the guest's, as in the
 * virtio specification: a "transmit queue" carries what the guest sends and is
 * what we receive from; a "receive queue" is what we send into.
 *
 * A *packet* is a view, not a copy: the first bytes of the frame are a
 * snapshot in memory that no guest can write, the rest are segments that
 * still lie in the sender's memory.  vhost_receive() makes views of a batch,
 * vhost_transmit() copies each straight into a receiver's buffers, and
 * vhost_receive_done() gives the sender its buffers back.  That is the single
 * copy from guest to guest.
 *
 * A *pool* of service threads polls *sources* (transmit queues, and whatever
 * else a neighbour adds, such as taps) while they are busy and sleeps when
 * they are not.
 *
 * Threads that touch guest memory are *online*.  Memory that is replaced or
 * removed goes away after every thread has been offline or quiescent once:
 * see vhost_quiesce().
 */
#ifndef VHOST_H
#define VHOST_H 1

#include <linux/virtio_net.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* --- Packets --------------------------------------------------------- */

#define VHOST_BATCH 32          /* Most packets in one batch. */
#define VHOST_HEADROOM 128      /* Bytes free before a packet's snapshot. */
#define VHOST_HEAD_MAX 256      /* Most bytes that a snapshot holds. */
#define VHOST_SNAPSHOT 64       /* Bytes snapshot at first (128 if that is
                                 * the whole frame). */
#define VHOST_MAX_SEGS 64       /* Most segments of a packet; a chain that
                                 * has more is dropped and counted. */
#define VHOST_MAX_FRAME 65562   /* Longest frame: 64 KiB of IP packet, an
                                 * Ethernet header and two VLAN tags. */

/* A stretch of contiguous memory, already translated and checked.  Guest
 * memory: its contents may change at any time, its mapping may not while the
 * thread that looks is online and hasn't quiesced. */
struct vhost_seg {
    uint8_t *data;
    uint32_t len;
};

/* A frame: 'head_len' bytes at 'head', followed by the bytes of 'segs'.
 *
 * 'head' is private memory, writable by the thread that holds the packet, and
 * so are the VHOST_HEADROOM bytes before it: in 'buf' for a packet from a
 * guest, anywhere for one from elsewhere. */
struct vhost_packet {
    uint8_t *head;              /* First byte of the Ethernet header. */
    struct vhost_seg *segs;     /* What follows the head, in order. */
    uint32_t len;               /* Bytes of the whole frame. */
    uint16_t head_len;          /* Bytes at 'head'. */
    uint16_t n_segs;            /* Elements of 'segs'; 0 if head is all. */
    struct virtio_net_hdr vnet; /* Offload request that came with it (virtio
                                 * 1.2 section 5.1.6), host byte order, NOT
                                 * checked against the frame's contents. */
    uint16_t l3_ofs;            /* Set by who parses the packet: offsets in */
    uint16_t l4_ofs;            /* the frame, UINT16_MAX if there is none. */
    uint32_t hash;              /* Likewise: a symmetric hash of its flow. */
    void *user;                 /* Free for the holder. */
    uint8_t headroom[VHOST_HEADROOM] __attribute__((aligned(64)));
    uint8_t buf[VHOST_HEAD_MAX];
};

/* Makes at least 'n' bytes of 'packet' available at 'head', by copying bytes
 * from its segments behind the snapshot.  Only for packets whose head lies in
 * their own 'buf'.  Returns false if the frame is shorter than 'n' bytes or
 * 'n' bytes don't fit in 'buf'; 'packet' is unchanged then. */
bool vhost_packet_pull(struct vhost_packet *, size_t n);

/* Copies 'n' bytes that begin 'ofs' bytes into the frame to 'dst'.  The frame
 * must have that many. */
void vhost_packet_copy(const struct vhost_packet *, size_t ofs, void *dst,
                       size_t n);

/* --- Pool of service threads ------------------------------------------ */

struct vhost_pool;
struct vhost_thread;            /* One service thread. */

/* Something that the pool serves: embed it in the object that has the work.
 * The functions are called by the one thread that owns the source at that
 * moment; sources move between threads only between calls. */
struct vhost_source {
    const struct vhost_source_ops *ops;
    int fd;                     /* Becomes readable when work arrives while
                                 * armed (watched edge-triggered: nobody needs
                                 * to read an eventfd); -1 for none. */
    int numa_node;              /* Preferred NUMA node, -1 for any. */
    const char *name;           /* For sluice/queues; owned by the owner. */
    struct vhost_source_state *state; /* The pool's; NULL when not added. */
};

struct vhost_source_ops {
    /* Does up to 'budget' packets of work.  Returns how many packets it
     * handled; 0 means that there was nothing to do.  When it returns, no
     * view of a packet is held any more. */
    unsigned int (*poll)(struct vhost_source *, struct vhost_thread *,
                         unsigned int budget);

    /* Asks for an event on 'fd' when work arrives.  Called before sleeping;
     * the pool issues one full fence after arming all its sources and then
     * calls 'pending' for each. */
    void (*arm)(struct vhost_source *);

    /* Withdraws 'arm': work is polled for from now on. */
    void (*disarm)(struct vhost_source *);

    /* Returns true if there is work, without doing it. */
    bool (*pending)(struct vhost_source *);
};

struct vhost_pool_config {
    unsigned int n_threads;     /* At least 1. */
    const char *cpus;           /* CPU list such as "1,3-5", or NULL. */
    const char *name;           /* Prefix of thread names, e.g. "service". */

    /* Called in each thread as it starts and as it stops; what 'start'
     * returns is vhost_thread_aux().  May be NULL. */
    void *(*start)(struct vhost_thread *);
    void (*stop)(struct vhost_thread *, void *aux);

    /* Called about once a millisecond in each thread while it is awake, when
     * it has slept, before anything else, and once before it sleeps
     * ('sleeping' true) with the thread offline.  May be NULL. */
    void (*housekeeping)(struct vhost_thread *, void *aux, bool sleeping);
};

/* Creates a pool.  Returns 0 and the pool, or a positive errno value with
 * '*errp' set to a message that the caller must free. */
int vhost_pool_create(const struct vhost_pool_config *, struct vhost_pool **,
                      char **errp);
void vhost_pool_destroy(struct vhost_pool *);

/* Changes number and affinity of the threads at run time.  Main thread. */
int vhost_pool_set_threads(struct vhost_pool *, unsigned int n_threads,
                           const char *cpus, char **errp);

/* Adds 'source' to the pool: some thread serves it from now on. Any thread. */
void vhost_pool_add(struct vhost_pool *, struct vhost_source *);

/* Removes 'source'.  When it returns no thread uses it.  Not from a service
 * thread, and not while holding a lock that a 'poll' function takes. */
void vhost_pool_remove(struct vhost_pool *, struct vhost_source *);

/* Statistics of a thread and of a source, for sluice/threads and
 * sluice/queues.  All are totals since start. */
struct vhost_thread_stats {
    char name[16];
    int tid;
    int cpu;                    /* CPU it is bound to, -1 if to none. */
    unsigned int n_sources;     /* Sources it owns... */
    unsigned int n_hot;         /* ...and polls. */
    uint64_t polls;             /* Calls of a 'poll' function. */
    uint64_t hits;              /* Those that found work. */
    uint64_t packets;
    uint64_t sleeps, wakeups;   /* Times slept, and woken by an event. */
    uint64_t busy_ns;           /* Time in polls that found work... */
    uint64_t spin_ns;           /* ...and in those that did not. */
    uint64_t migrations;        /* Sources handed to other threads. */
};
struct vhost_source_stats {
    char name[64];
    unsigned int thread;        /* Index of the owning thread. */
    bool hot;
    uint64_t polls, hits, packets, busy_ns, migrations;
};

/* Return a malloc()ed array of '*n' elements that the caller must free. Any
 * thread. */
struct vhost_thread_stats *vhost_pool_thread_stats(struct vhost_pool *,
                                                   size_t *n);
struct vhost_source_stats *vhost_pool_source_stats(struct vhost_pool *,
                                                   size_t *n);

/* What a service thread knows about itself. */
void *vhost_thread_aux(const struct vhost_thread *);
unsigned int vhost_thread_index(const struct vhost_thread *);

/* For a 'poll' function that could go on with something of no hurry: how long,
 * in us, it has been running, and whether another source of the thread that
 * runs it has work. */
unsigned int vhost_thread_polling_us(const struct vhost_thread *);
bool vhost_thread_others_wait(const struct vhost_thread *);

/* Time in us, from an arbitrary start, by a clock that costs a few nanoseconds
 * to read.  For durations in one thread: processors' may differ a little. */
long long int vhost_now_us(void);

/* --- Quiescence of guest memory ---------------------------------------- */

/* A thread must be online while it calls vhost_receive(), vhost_transmit() or
 * looks at a segment.  Service threads are online while they poll; any other
 * thread brackets its use with vhost_online() and vhost_offline().  Cheap, and
 * may not be nested. */
void vhost_online(void);
void vhost_offline(void);

/* Says that the calling online thread holds no view.  Service threads say so
 * between polls.  Around something slow, such as an upcall, go offline. */
void vhost_quiesce(void);

/* Waits until each thread that is online now has quiesced or gone offline.
 * The caller must be offline.  Service threads take at most some tens of
 * microseconds. */
void vhost_synchronize(void);

/* --- Devices ------------------------------------------------------------ */

struct vhost_device;
struct vhost_queue;

struct vhost_device_ops {
    /* Receives from transmit queue 'queue': called by a service thread, online,
     * with the rights of vhost_source_ops.poll. */
    unsigned int (*receive)(struct vhost_queue *queue, struct vhost_thread *,
                            unsigned int budget, void *aux);

    /* Something in vhost_device_get_status() changed.  Called by the control
     * thread; must not block. */
    void (*changed)(struct vhost_device *, void *aux);

    /* The front-end asks for a RARP of 'mac' to be broadcast for its guest,
     * which has just migrated (VHOST_USER_SEND_RARP).  Control thread. */
    void (*rarp)(struct vhost_device *, const uint8_t mac[6], void *aux);
};

struct vhost_device_config {
    const char *name;           /* The port's, for messages. */
    const char *path;           /* Of the Unix socket. */
    bool connect;               /* True: we connect to it, and again, with
                                 * back-off, when it goes away; false: we
                                 * listen on it. */
    int uid, gid;               /* Owner of a listening socket, -1: ours. */
    int mode;                   /* Its permission bits, -1: 0600... */
    unsigned int max_queue_pairs; /* 1...256; front-ends are offered 128 at
                                 * most, which is what the protocol can name
                                 * when it starts a queue. */
    unsigned int mtu;           /* Offered by VIRTIO_NET_F_MTU; 0: not. */
    uint64_t disabled_features; /* Virtio feature bits not to offer. */
    const char *state_dir;      /* Where ring state outlives the process, in
                                 * tmpfs, or NULL: in the file NAME.rings.
                                 * Made if it doesn't exist. */
    struct vhost_pool *pool;    /* That serves the transmit queues. */
    const struct vhost_device_ops *ops;
    void *aux;                  /* For 'ops'. */
};

/* Creates a device and its socket.  Returns 0 and the device, or a positive
 * errno value with '*errp' set to a message, naming what is wrong and how to
 * mend it, that the caller must free: ENAMETOOLONG, EACCES, ENOENT (the
 * socket's directory), EADDRINUSE (a live process listens there; a stale
 * socket is replaced), ...  A peer that isn't there yet is no error.  Main
 * thread. */
int vhost_device_create(const struct vhost_device_config *,
                        struct vhost_device **, char **errp);

/* Disconnects 'device' and frees it and its socket file, and its ring state
 * unless 'keep_state', for the next process to go on with.  When it returns,
 * no function of its ops runs any more.  Main thread, offline. */
void vhost_device_destroy(struct vhost_device *, bool keep_state);

/* A device as it is at one moment, for Interface.status and link state. */
struct vhost_device_status {
    bool connected;             /* A front-end is connected. */
    bool running;               /* At least one queue pair can pass packets:
                                 * the link is up. */
    uint64_t features;          /* Acknowledged virtio features. */
    uint64_t protocol_features; /* Acknowledged vhost-user ones. */
    unsigned int n_queues;      /* Virtqueues that the front-end set up. */
    unsigned int n_enabled;     /* Those enabled. */
    int numa_node;              /* Of the guest's memory, -1 unknown. */
    uint64_t n_connects;        /* Times a front-end connected. */
    char error[160];            /* Why it is broken, else empty. */
};
void vhost_device_get_status(const struct vhost_device *,
                             struct vhost_device_status *);

/* Statistics that only the rings know.  Any thread. */
struct vhost_queue_stats {
    unsigned int index;         /* Virtqueue index (virtio 1.2 section 5.1.2). */
    bool enabled, broken, packed;
    uint16_t size;
    uint64_t packets, bytes;    /* Received from or transmitted into it. */
    uint64_t kicks, calls;      /* Events from the guest and to it. */
    uint64_t no_buffers;        /* Packets that found no receive buffer... */
    uint64_t overflowed;        /* ...kept in the overflow queue for later... */
    uint64_t dropped;           /* ...or dropped. */
    uint64_t bad_chains;        /* Chains that broke a rule. */
};
/* Returns a malloc()ed array of '*n' elements; the caller frees it. */
struct vhost_queue_stats *vhost_device_queue_stats(const struct vhost_device *,
                                                   size_t *n);

/* Offloads that the guest can receive, as a mask of 1 << VIRTIO_NET_F_GUEST_*
 * bits, as acknowledged or as changed since.  Any thread. */
uint64_t vhost_device_guest_offloads(const struct vhost_device *);

/* --- Packets from and to guests (online threads) ------------------------- */

/* Notifications that a batch owes to guests.  One per thread; zero it to
 * initialize. */
struct vhost_notifier {
    struct vhost_queue *queues[2 * VHOST_BATCH];
    unsigned int n;
};

/* Calls the guests of the queues in 'notifier' that want to be told (virtio 1.2
 * section 2.7.7): one write to a call eventfd each.  At the end of a batch. */
void vhost_notify(struct vhost_notifier *);

/* Takes up to 'max' (at most VHOST_BATCH) chains from transmit queue 'queue'
 * and makes 'packets' views of them.  Chains that break a rule are counted,
 * completed and left out.  Returns the number of views; they are valid until
 * vhost_receive_done().  Only from vhost_device_ops.receive.
 *
 * Views have at least 14 bytes of frame and at most VHOST_MAX_FRAME. */
unsigned int vhost_receive(struct vhost_queue *,
                           struct vhost_packet packets[VHOST_BATCH],
                           unsigned int max);

/* Gives the guest back the chains of the last vhost_receive(). */
void vhost_receive_done(struct vhost_queue *, struct vhost_notifier *);

/* The receive queue of 'device' for a flow with symmetric hash 'hash': the one
 * whose partner the guest last sent that flow on, else one of the enabled ones,
 * which have equally many such flows, and always the same.  NULL if the guest
 * has none.  With one queue pair 'hash' is not used (vhost_device_multiqueue()
 * is false then). */
struct vhost_queue *vhost_device_receive_queue(struct vhost_device *,
                                               uint32_t hash);
bool vhost_device_multiqueue(const struct vhost_device *);

/* Remembers that the guest sent a flow with symmetric hash 'hash' on transmit
 * queue 'queue' (automatic receive steering, virtio 1.2 section 5.1.6.5.5). */
void vhost_queue_note_flow(struct vhost_queue *, uint32_t hash);

enum vhost_transmit_mode {
    VHOST_TRY,                  /* Don't wait for the queue's lock, and don't
                                 * queue what finds no buffer. */
    VHOST_FINISH,               /* Wait; what finds no buffer goes to the
                                 * overflow queue (long packets) or is
                                 * dropped (short ones). */
};

/* Copies 'packets' into the guest's buffers of receive queue 'queue', in
 * order, behind a virtio-net header made from each packet's 'vnet', which must
 * hold only what vhost_device_guest_offloads() allows.
 *
 * Returns how many packets were disposed of.  In mode VHOST_TRY the rest, from
 * the first that was not, are to be tried again (the queue's lock was taken,
 * or buffers ran out).  In mode VHOST_FINISH the rest, not
 * necessarily the last ones, have been dropped for want of buffers. */
unsigned int vhost_transmit(struct vhost_queue *,
                            struct vhost_packet *const packets[],
                            unsigned int n, enum vhost_transmit_mode,
                            struct vhost_notifier *);

/* --- The service ---------------------------------------------------------- */

/* Starts the control thread, the SIGBUS handler and what else is one per
 * process.  Call once, before the first device. */
void vhost_init(void);

/* Stops it again; all devices must have been destroyed. */
void vhost_exit(void);

#endif /* vhost.h */
