/* Network devices that are vhost-user ports: see netdev-vhost.c. */
#ifndef NETDEV_VHOST_H
#define NETDEV_VHOST_H 1

struct dp_thread;
struct netdev;
struct port;
struct vhost_device;
struct vhost_queue;

/* Makes 'port' the one that the packets of 'netdev' go to and returns its
 * device; makes it none.  After netdev_vhost_detach() no thread receives for
 * the port any more.  Main thread. */
struct vhost_device *netdev_vhost_attach(struct netdev *, struct port *);
void netdev_vhost_detach(struct netdev *);

/* Receives up to 'budget' packets from 'queue' for 'port' (NULL: drops them).
 * In port-vhost.c; the thread of 'thread'. */
unsigned int port_vhost_receive(struct port *, struct vhost_queue *,
                                struct dp_thread *, unsigned int budget);

#endif /* netdev-vhost.h */
