/* The kernel engine: packets between kernel devices that never leave the
 * kernel.  Private to datapath/.
 *
 * What a device receives passes a BPF program of ours (fastpath.bpf.c) that
 * has the same parser as the user engine (flow-key.h) and copies of the
 * megaflows whose masks and actions it can express.  A packet that matches is
 * dealt with there, GSO packets whole; any other goes to the daemon as ever.
 *
 * A megaflow is one object: it is always in the user engine's table, and may
 * have an entry here as well, which comes, changes and goes with it.  Its
 * statistics are the sum.  Megaflows don't overlap, so an entry can't take the
 * packets of another megaflow that has none.
 *
 *   engine.c     loads programs and maps, and keeps them for the next daemon
 *   ports.c      attaches the programs to devices, counts
 *   flows.c      the entries: which megaflows have one, their statistics
 *   connections.c   entries of tracked connections
 *   compile.c    actions as the programs' operations
 *   maps.h       what the programs and the daemon share
 *   rewrite.bpf.h   what the programs change in packets
 *
 * Order.  Packets of a flow that came before its entry was there go through
 * the daemon, and later ones must not overtake them.  So programs count the
 * packets of a device that go up ('up'), the daemon says up to which of them
 * it has sent all on ('done'), and an entry begins to act only when the last
 * packet of its flow that went up is among those.  If that takes too long, the
 * device brings more than the daemon can take, which loses packets anyway:
 * then the flow's are dropped for the moment that it takes.
 *
 * Life.  Maps and attachments are pinned to files.  When the daemon ends,
 * unless by `exit --cleanup', the programs go on with what they know.  The
 * next daemon takes maps and attachments over; the entries of old stay a few
 * seconds more, until its own flows are there. */
#ifndef DATAPATH_KERNEL_H
#define DATAPATH_KERNEL_H 1

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "datapath/port.h"

struct datapath;
struct dp_thread;
struct dpif_flow_stats;
struct flow_key;
struct megaflow;
struct megaflow_table;
struct netdev_stats;
struct port_counters;
struct smap;

/* --- The engine ---------------------------------------------------------- */

/* Makes the engine keep its files under 'rundir' where it can't use
 * /sys/fs/bpf.  Main thread, before all others here. */
void kernel_engine_init(const char *rundir);

/* Returns true if the engine is wanted, and loaded or can be.  Main thread. */
bool kernel_engine_is_available(void);

/* Frees what is only this process's, and everything if no port is left for
 * the next daemon. */
void kernel_engine_exit(void);

/* Applies other_config. */
void kernel_engine_configure(const struct smap *other_config);

/* What the main loop has to do regularly. */
void kernel_engine_run(void);
void kernel_engine_wait(void);

/* Says whether upcalls are answered: entries that the last daemon left may go
 * a while after they are. */
void kernel_engine_set_upcalls(bool enabled);

/* --- Ports (ports.c) ------------------------------------------------------- */

/* Attaches the programs to 'ifindex', the device of 'port': to what it
 * receives, and to 'socket', a packet socket that isn't bound yet, or (if
 * 'socket' is -1) to what the host sends by it.  Sets 'port->kernel'.  Returns
 * 0 or a positive errno value: then the port is the user engine's alone.
 * Main thread. */
int kernel_port_open(struct port *, int ifindex, int socket);

/* The same for 'port', a tunnel, and its device 'ifindex', one without a packet
 * socket.  What the kernel doesn't deal with itself it sends to device 'lift',
 * behind a struct kernel_shim (maps.h). */
int kernel_port_open_tunnel(struct port *, int ifindex, int lift);

/* Notes that device 'name' can't be attached because of 'error', for
 * kernel_device_get_status(); 0 if it is. */
void kernel_port_refuse(const char *name, int error);

/* Ends that; 'keep' leaves the programs attached for the next daemon.  The
 * entries of flows that have to do with the port must have gone. */
void kernel_port_close(struct port *, bool keep);

/* How many packets of 'port' have gone up to now. */
uint64_t kernel_port_up(const struct port *);

/* Tells that all packets of 'port' up to number 'up' have been sent on. */
void kernel_port_done(const struct port *, uint64_t up);

/* For a port whose packets are counted before they come: 'n' more have been
 * received and sent on; 'empty' if there were no more of them, after 'up' had
 * been asked for. */
void kernel_port_received(struct port *, unsigned int n, uint64_t up,
                          bool empty);

/* Number of packets that the kernel dealt with for 'port'. */
uint64_t kernel_port_n_hits(const struct port *);

/* Adds what the kernel did for 'port' to 'sum'. */
void kernel_port_add_counters(const struct port *, struct port_counters *sum);

/* Calls 'cb' for the last packets that the kernel dropped at 'port': why, when
 * (time_wall_msec()), their length and the first 'header_len' bytes. */
void kernel_port_for_each_drop(const struct port *,
                               void (*cb)(enum drop_reason,
                                          long long int when, uint32_t len,
                                          const uint8_t *header,
                                          size_t header_len, void *aux),
                               void *aux);

/* Adds the packets that the kernel forwarded to or from tap 'ifindex', which
 * the device itself doesn't count, to 'stats', as the switch sees them. */
void kernel_device_add_stats(int ifindex, struct netdev_stats *stats);

/* Adds to 'status' whether the engine serves device 'name', 'ifindex', or why
 * not. */
void kernel_device_get_status(const char *name, int ifindex,
                              struct smap *status);

/* --- Flows (flows.c) -------------------------------------------------------- */

/* Gives 'flow', which is new or has a new program, an entry, if it can have
 * one, or changes that.  Holds the mutex of its table. */
void kernel_flow_put(struct megaflow *);

/* Takes the entry of 'flow', if it has one, away. */
void kernel_flow_remove(struct megaflow *);

/* Tries again to give 'flow' an entry if there was no room. */
void kernel_flow_retry(struct megaflow *);

/* Looks after the order of masks, and brings what connections count up to
 * date; call it now and then, and before statistics are read.  'now' is
 * time_msec(). */
void kernel_flows_run(long long int now);

/* While locked, statistics don't move from an entry to its flow. */
void kernel_flows_lock(void);
void kernel_flows_unlock(void);

/* Adds what the kernel counted for 'flow' to 'sum'.  Locked. */
void kernel_flow_add_stats(const struct megaflow *, struct dpif_flow_stats *);

/* Returns true if the kernel has an entry for 'flow'. */
bool kernel_flow_exists(const struct megaflow *);

/* Forgets the entries of 'table', which stay for the next daemon. */
void kernel_flows_leave(struct megaflow_table *);

/* Removes the entries of flows from and to 'port'. */
void kernel_flows_remove_port(const struct port *);

/* --- Connections (connections.c) -------------------------------------------- */

/* Sees 'packet', with 'key', which is about to be tracked for 'port', which
 * has the kernel engine: its connection may get an entry, or lose it.  The
 * packet isn't changed.  Service threads. */
void kernel_connection_consider(struct port *, const struct vhost_packet *,
                                const struct flow_key *, struct dp_thread *);

/* 'packet' is a copy of the beginning of one that the kernel forwarded:
 * tracks it.  It may be changed. */
void kernel_connection_refresh(struct port *, struct vhost_packet *,
                               struct dp_thread *);

/* Removes the entries of all connections of 'dp'. */
void kernel_connections_flush(const struct datapath *);

/* The number of connections that go by 'flow' in the kernel. */
unsigned int kernel_connections_count(const struct megaflow *);

#endif /* kernel.h */
