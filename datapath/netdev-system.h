/* Kernel devices whose flags don't cost a question to the kernel: see
 * netdev-system.c. */
#ifndef NETDEV_SYSTEM_H
#define NETDEV_SYSTEM_H 1

#include "netdev.h"

int netdev_system_update_flags(struct netdev *, enum netdev_flags off,
                               enum netdev_flags on,
                               enum netdev_flags *old_flagsp);
struct smap;
int netdev_system_get_status(const struct netdev *, struct smap *);
void netdev_system_register(void);

#endif /* netdev-system.h */
