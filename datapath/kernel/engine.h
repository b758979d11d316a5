/* What the files of the kernel engine share: see kernel.h. */
#ifndef DATAPATH_KERNEL_ENGINE_H
#define DATAPATH_KERNEL_ENGINE_H 1

#include <net/if.h>

#include "datapath/kernel/kernel.h"
#include "datapath/kernel/maps.h"
#include "datapath/tc-program.h"
#include "openvswitch/thread.h"
#include "ovs-atomic.h"

struct nlattr;
struct program;

struct kernel_engine {
    bool loaded;                /* Everything below is there. */
    unsigned int n_cpus;        /* That there can ever be. */
    unsigned int n_flows;       /* That there is room for. */
    int filter_fd, ingress_fd, egress_fd;   /* Programs. */
    int by_hash_fd, devices_fd;   /* Maps... */
    struct kernel_flow *flows;  /* ...and mapped ones. */
    struct kernel_stats *stats;
    struct kernel_mask *masks;
    struct kernel_port *ports;
    struct kernel_counters *counters;
    struct kernel_drop_record *drops;

    bool enabled;               /* other_config:sluice-kernel-engine. */
    unsigned int max_flows;     /* other_config:sluice-kernel-flows. */
};
extern struct kernel_engine kernel_engine;

/* A port's device and program. */
struct kernel_attachment {
    unsigned int index;         /* In the maps "ports" and "counters". */
    int ifindex;
    char name[IFNAMSIZ];        /* Of the device. */
    const struct netdev *netdev; /* Of the port, while there is one. */
    bool tap;                   /* What is output goes into the host. */
    int lift;                   /* A tunnel's: see struct kernel_device. */
    struct tc_program program;
    bool wanted;                /* The program is to be attached... */
    atomic_bool attached;       /* ...and it is... */
    bool keep;                  /* ...and stays for the next daemon. */
    atomic_bool crowded;        /* Some flows have no entry because there are
                                 * too many masks. */

    /* For kernel_port_received(). */
    atomic_bool settled;        /* All that is on its way was counted. */
    uint64_t last_up;           /* What 'up' was... */
    long long int last_up_usec; /* ...since then. */
};

/* There is a flow from port 'index': has the program attached, if it isn't yet.
 * Returns what the mark of the flow's entry is to be. */
uint64_t kernel_port_attach(unsigned int index);

/* Notes whether flows from port 'index' have no entry because they have too many
 * different masks. */
void kernel_port_set_crowded(unsigned int index, bool crowded);

/* Loads the engine unless that has been done, or tried in vain.  Main
 * thread. */
bool kernel_engine_load(void);

/* Why the engine can't be used, NULL if it can. */
const char *kernel_engine_problem(void);

/* The file that keeps the program of device 'ifindex', NULL if none can.  The
 * caller must free it. */
char *kernel_engine_link_path(int ifindex, bool egress);

/* Detaches what the last daemon left attached to devices that are no port of
 * this one.  Main thread. */
void kernel_ports_drop_left(void);

/* Takes over the flows of the last daemon; removes those that are left of
 * them.  'kernel_flows_left' tells if there are any. */
void kernel_flows_take_over(void);
void kernel_flows_drop_left(void);

/* Removes all entries.  They come again when the engine is enabled. */
void kernel_flows_suspend(void);

/* Compiles 'program' of a flow of 'dp' into 'flow->ops', and a set of the ports
 * that it outputs to (bit index % 64) into '*outputs'.  Returns false if the
 * BPF programs can't do that. */
bool kernel_compile(const struct datapath *, const struct program *,
                    struct kernel_flow *, uint64_t *outputs);

/* The parts of that, for a list of actions that comes from several programs.
 * kernel_compiler_add() compiles one action, of 'program', and
 * kernel_compiler_add_tuple() the rewriting of addresses and ports to those of
 * 'key', TCP or UDP; they return false if the BPF programs can't do that. */
struct kernel_compiler {
    const struct datapath *dp;
    struct kernel_flow *flow;
    struct kernel_op *op;       /* The next one. */
    struct kernel_op *end;      /* Behind the last output. */
    bool hashed;                /* The packet has its dp_hash. */
    bool tunnel;                /* What is output next may enter a tunnel. */
    uint64_t outputs;
};

void kernel_compiler_init(struct kernel_compiler *, const struct datapath *,
                          struct kernel_flow *);
bool kernel_compiler_add(struct kernel_compiler *, const struct program *,
                         const struct nlattr *);
bool kernel_compiler_add_tuple(struct kernel_compiler *,
                               const struct flow_key *key);
void kernel_compiler_finish(struct kernel_compiler *);

/* The FLOW_KEY_* bits of the blocks of mask 'words' that have ones. */
uint32_t kernel_mask_blocks(const __u64 words[KERNEL_WORDS]);

/* Returns true if the program does something else than its actions say,
 * because of addresses that ports do or don't have. */
bool kernel_differs_from_actions(const struct program *);

/* --- Between flows.c and connections.c; all with kernel_flows_lock() -------*/

struct kernel_connection;

/* Gives 'connection' an entry like 'flow' on port 'port', and stores its number
 * in '*entry'.  Returns false if there is no room. */
bool kernel_entry_add(struct kernel_connection *, uint32_t port,
                      struct kernel_flow *, uint64_t outputs,
                      uint32_t *entry);

/* Takes an entry away, and what it belongs to. */
void kernel_entry_remove(uint32_t entry);

/* Adds what entry 'entry' counted to 'sum'. */
void kernel_entry_add_stats(uint32_t entry, struct dpif_flow_stats *sum);

/* The entry of the connection has gone, having counted 'stats': frees it. */
void kernel_connection_lost(struct kernel_connection *,
                            const struct dpif_flow_stats *stats);

/* Looks after connections that have been silent, or have changed. */
void kernel_connections_run(long long int now);

/* Removes the connections that go by 'flow'. */
void kernel_connections_remove(struct megaflow *);

/* The table of the connection's flows. */
const struct megaflow_table *kernel_connection_table(
    const struct kernel_connection *);

/* The element of a map that has one for each of 'n' things on each CPU. */
#define KERNEL_FOR_EACH_CPU(P, ARRAY, N, I)                             \
    for (unsigned int cpu_ = 0;                                         \
         cpu_ < kernel_engine.n_cpus                                    \
         && (((P) = &(ARRAY)[(size_t) cpu_ * (N) + (I)]), true);        \
         cpu_++)

#endif /* engine.h */
