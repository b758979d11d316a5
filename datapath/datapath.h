/* The switch: a flow cache with two engines under libofproto.
 *
 * This is the one header that a neighbour includes.  The daemon starts the
 * datapath with datapath_init(); from then on it is driven by libofproto
 * through the two dpif providers "system" and "netdev" that it registers, and
 * by libopenvswitch's netdev layer through the netdev providers "vhostuser",
 * "dpdkvhostuser", "dpdkvhostuserclient", "tap" and "internal".
 */
#ifndef DATAPATH_H
#define DATAPATH_H 1

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "openvswitch/types.h"

struct netdev;
struct smap;

/* Registers the netdev providers, which start nothing.  Call once, before the
 * first netdev is opened and before the options that replace them by dummies
 * are looked at. */
void datapath_register(void);

/* Registers the dpif providers and starts the service threads.
 * Call once, from the main thread, after datapath_register() and fork and before
 * the first bridge.
 * 'rundir' is where sockets and ring state go; it must outlive the datapath.
 *
 * 'dummy' is NULL or, for tests, what dummy_enable() has been called with: then
 * there are datapaths of type "dummy", too, in which all devices are dummies,
 * and in place of "system" (if it is "system") or of all (if "override"). */
void datapath_init(const char *rundir, const char *dummy);

/* Has 'netdev', if it is a vhost-user port's, not tell its MTU to the calling
 * thread until this is called with another one or NULL.  Returns true if it is
 * one.
 *
 * Whenever libofproto learns the MTU of a port that is added, it looks for the
 * least one among all of the bridge's ports: with 5,000 ports, that was two
 * thirds of the time of a start.  Who adds many hides their MTUs meanwhile and
 * has one of them looked at at the end, by netdev_change_seq_changed(). */
bool datapath_hide_mtu(const struct netdev *);

/* Says that the process is about to end and that another will follow: from now
 * on, ports that are closed leave behind what their guests need to survive
 * that. */
void datapath_prepare_exit(void);

/* Stops the service threads.  All datapaths must have been closed. */
void datapath_exit(void);

/* Says that the statistics of many ports are going to be asked for, one after
 * the other, within a second: that costs less if it is known.  Main thread. */
void datapath_prepare_stats(void);

/* Adds to 'status' whether the kernel forwards for the port of 'netdev', if
 * that is a tunnel, or why not.  (Other devices say so themselves.)  Main
 * thread. */
void datapath_get_tunnel_status(const struct netdev *, struct smap *status);

/* --- Addresses behind ports ------------------------------------------------ */

/* Gives port 'name' a receive filter: of unicast frames, those to one of the
 * 'n' addresses 'addrs' leave by it, and no others.  If 'drop_spoofed', it
 * lets in frames from them alone; otherwise the guest may use others and then
 * holds them, too.  No filter if 'n' is 0.  Main thread. */
void datapath_set_rx_filter(const char *name, const struct eth_addr addrs[],
                            size_t n, bool drop_spoofed);

/* How many addresses the receive filter of port 'name' has; 0 if there is
 * none.  Main thread. */
size_t datapath_get_rx_filter(const char *name);

/* A port, or several that are one link, whose device lets in only the unicast
 * addresses that it is told; and an address that it has been told.  Both are
 * the daemon's (vswitchd/softmac.c). */
struct uplink;
struct uplink_address;

#define UPLINK_NO_ORIGIN UINT_MAX

struct uplink_ops {
    /* Frames from 'src', with VLAN 'vid' if that is not 0, are to leave by
     * 'uplink'.  They came in by the port with ID 'origin' (UPLINK_NO_ORIGIN:
     * by none, the controller sends them).  Returns the address, referenced,
     * if it is in the filter already, else NULL.  Any thread, in an RCU
     * read-side critical section; doesn't wait. */
    struct uplink_address *(*find)(struct uplink *, struct eth_addr src,
                                   uint16_t vid, unsigned int origin);

    /* The same, and puts the address into the filter: when it returns, frames
     * to it come in.  Returns NULL if it can't be had. 'name' is the name of
     * port 'origin'.  Any thread that is offline as far as guests' memory is
     * concerned; waits for the kernel. */
    struct uplink_address *(*learn)(struct uplink *, struct eth_addr src,
                                    uint16_t vid, unsigned int origin,
                                    const char *name);

    /* Gives back a reference.  Any thread. */
    void (*unuse)(struct uplink_address *);

    /* A frame came in by 'uplink' by which another host announces that 'ea' is
     * there.  Any thread; doesn't wait. */
    void (*announced)(struct uplink *, struct eth_addr ea);

    /* There is no port 'name' any more.  Main thread. */
    void (*origin_gone)(const char *name);
};

/* To be called before the first uplink is set. */
void datapath_set_uplink_ops(const struct uplink_ops *);

/* Makes port 'name' (one of) those of 'uplink', or of none if that is NULL.
 * Returns false if there is no such port.  'uplink' must live for an RCU grace
 * period after it has been taken away from its last port.  Main thread. */
bool datapath_set_uplink(const char *name, struct uplink *);

#endif /* datapath.h */
