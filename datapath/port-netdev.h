/* Ports that the main loop drives: see port-netdev.c. */
#ifndef PORT_NETDEV_H
#define PORT_NETDEV_H 1

struct port;

/* Receives what has come to 'port', of class port_netdev_class; wakes the poll
 * loop when something comes.  Main thread. */
void port_netdev_run(struct port *);
void port_netdev_wait(struct port *);

#endif /* port-netdev.h */
