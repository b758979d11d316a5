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

#include <stdbool.h>

struct netdev;

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

/* Stops the service threads.  All datapaths must have been closed. */
void datapath_exit(void);

#endif /* datapath.h */
