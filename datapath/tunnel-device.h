/* Tunnel devices of the kernel's own, for the kernel engine.  Private to
 * datapath/. */
#ifndef TUNNEL_DEVICE_H
#define TUNNEL_DEVICE_H 1

#include "openvswitch/types.h"

struct port;
struct tunnel_device;
struct tunnel_format;

/* Makes a device for the tunnels of 'format' in UDP port 'udp_port', of the
 * name of 'port', or takes over the one that is there, and attaches the kernel
 * engine to it: 'port' receives by it from now on.  Returns NULL if there is no
 * such device, or no kernel engine; then none is left of an earlier process
 * that would be in the way of sockets.  Main thread. */
struct tunnel_device *tunnel_device_open(struct port *port,
                                         const struct tunnel_format *format,
                                         ovs_be16 udp_port);

/* Ends that.  With 'keep' the kernel goes on for the next process. */
void tunnel_device_close(struct tunnel_device *, bool keep);

/* Removes tunnel device 'ifindex', which an earlier process left. */
void tunnel_device_remove(int ifindex);

#endif /* datapath/tunnel-device.h */
