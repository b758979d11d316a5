/* Network devices of type "system", kernel devices of others: see
 * netdev-system.c.  Private to datapath/. */
#ifndef NETDEV_SYSTEM_H
#define NETDEV_SYSTEM_H 1

#include "netdev.h"
#include "openvswitch/compiler.h"

struct netdev_custom_stats;

/* How a device's frames reach us: options:xdp. */
enum xdp_mode {
    XDP_MODE_OFF,               /* By packet sockets. */
    XDP_MODE_BEST_EFFORT,       /* The first possible of those below. */
    XDP_MODE_ZEROCOPY,          /* Hardware and we share memory. */
    XDP_MODE_NATIVE,            /* The driver runs XDP programs. */
    XDP_MODE_GENERIC,           /* The kernel does, for any driver. */
};

/* The name of a mode in the database. */
const char *xdp_mode_name(enum xdp_mode);

struct system_options {
    enum xdp_mode xdp;
    unsigned int n_rxq;         /* Packet sockets to receive by, 1...
                                 * SYSTEM_MAX_RXQ. */
};
#define SYSTEM_MAX_RXQ 64

/* The options of 'netdev', a device of any type.  Whoever asks opens it by
 * them: from then on they don't change. */
struct system_options netdev_system_get_options(const struct netdev *);

/* Makes what 'format' says Interface.status:xdp of 'netdev'. */
void netdev_system_set_xdp_status(struct netdev *, const char *format, ...)
    OVS_PRINTF_FORMAT(2, 3);

/* For netdev_class: see netdev-system.c. */
int netdev_system_get_stats(const struct netdev *, struct netdev_stats *);
int netdev_system_update_flags(struct netdev *, enum netdev_flags off,
                               enum netdev_flags on,
                               enum netdev_flags *old_flagsp);
struct smap;
int netdev_system_get_status(const struct netdev *, struct smap *);
void netdev_system_register(
    int (*get_custom_stats)(const struct netdev *,
                            struct netdev_custom_stats *));

#endif /* netdev-system.h */
