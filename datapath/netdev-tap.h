/* The network devices of "tap" and "internal" ports: our own netdev provider.
 * See netdev-tap.c.  Private to datapath/. */
#ifndef NETDEV_TAP_H
#define NETDEV_TAP_H 1

struct netdev;
struct netdev_custom_stats;

/* Registers the types "tap" and "internal" in place of libopenvswitch's.  Main
 * thread, once, after libopenvswitch's own providers have been registered (by
 * the first call of any netdev function that needs them).  The function given
 * is that of their netdev_class. */
void netdev_tap_register(
    int (*get_custom_stats)(const struct netdev *,
                            struct netdev_custom_stats *));

/* Most queues of a device: options:n_rxq. */
#define NETDEV_TAP_MAX_QUEUES 64

/* Opens the tap device 'name', which has been opened as a netdev, and makes it
 * permanent: it stays, with its addresses, when this process ends.  (If it has
 * been removed since it was opened, it is made anew.)  Stores the descriptors
 * of its queues, as many as its options say, non-blocking, in 'fds' and their
 * number in '*n'.  The caller gives each back with netdev_tap_close().
 *
 * Returns 0 or a positive errno value and '*errp' set to a message that the
 * caller must free: EBUSY if another process holds the device, EEXIST if it is
 * no tap...  Main thread. */
int netdev_tap_open(const char *name, int fds[NETDEV_TAP_MAX_QUEUES],
                    unsigned int *n, char **errp);
void netdev_tap_close(const char *name, int fd);

/* Makes a tap device 'name' that is no netdev, and goes when its descriptor,
 * non-blocking, which is stored in '*fdp', is closed: by device_close().
 * Otherwise as netdev_tap_open(). */
int netdev_tap_create(const char *name, int *fdp, char **errp);

/* Deletes the device 'name', because its port is being deleted by the user (as
 * opposed to: this process ends), as soon as its queues have been closed.
 * Returns at once; the kernel takes some 20 ms, which netdev_tap_open() and
 * netdev_open() wait for if they are called for a device of that name. */
void netdev_tap_remove(const char *name);

#endif /* datapath/netdev-tap.h */
