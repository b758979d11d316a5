/* Guests that have moved here are announced to the network: announce.c. */
#ifndef ANNOUNCE_H
#define ANNOUNCE_H 1

#include "openvswitch/list.h"
#include "openvswitch/types.h"

struct port;

/* Of one network device: embed it. */
struct announcement {
    struct ovs_list node;           /* In the list of those due, or empty. */
    struct eth_addr mac;            /* The guest's. */
    struct port *_Atomic *port;     /* Of the device; NULL while it has none.
                                     * Only the main thread changes that. */
};

void announcement_init(struct announcement *, struct port *_Atomic *port);
void announcement_destroy(struct announcement *);
void announcement_request(struct announcement *, struct eth_addr mac);

void announcements_run(void);
void announcements_wait(void);

#endif /* announce.h */
