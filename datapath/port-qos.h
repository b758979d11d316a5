/* Quality of service of ports, as far as it is done here: see port-qos.c. */
#ifndef PORT_QOS_H
#define PORT_QOS_H 1

#include <stdbool.h>

struct netdev_class;
struct port;

/* Gives 'class' our policing of what is received or, if 'egress', of what is
 * sent as well, in place of what it has. */
void port_qos_init_class(struct netdev_class *class, bool egress);

/* Gives 'port', which is new, what is configured for its device.  Main
 * thread. */
void port_qos_attach(struct port *);

/* Takes it away again. */
void port_qos_detach(struct port *);

#endif /* port-qos.h */
