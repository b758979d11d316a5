/* Statistics of all network devices at once.  Private to datapath/. */
#ifndef LINK_STATS_H
#define LINK_STATS_H 1

#include <stdbool.h>

struct netdev_stats;

/* Asks the kernel about all devices.  Any thread. */
void link_stats_read(void);

/* Stores what the kernel said about device 'ifindex' in '*stats'.  Returns
 * false if link_stats_read() was not called within the last second, or before
 * there was such a device.  Any thread. */
bool link_stats_get(int ifindex, struct netdev_stats *stats);

#endif /* datapath/link-stats.h */
