/* A network device of a vhost-user port's name: see namesake.c.  Private to
 * datapath/. */
#ifndef NAMESAKE_H
#define NAMESAKE_H 1

#include <stdbool.h>

struct namesake;
struct vhost_packet;

/* Makes a network device 'name' that lives until namesake_destroy() or the end
 * of this process.  'changed' is called from then on, by the main thread, when
 * it may have another MTU or other listeners.  Returns 0 or a positive errno
 * value with '*errp' set to a message that the caller must free.  Main
 * thread. */
int namesake_create(const char *name, void (*changed)(void *aux), void *aux,
                    struct namesake **, char **errp);

/* Deletes it.  No thread uses it any more.  Main thread. */
void namesake_destroy(struct namesake *);

/* Its MTU, in bytes.  Main thread. */
int namesake_get_mtu(const struct namesake *);
int namesake_set_mtu(struct namesake *, int mtu);

/* Returns true if somebody listens to it.  Main thread. */
bool namesake_is_heard(const struct namesake *);

/* Shows those who listen 'n' packets, which stay as they are.  Any thread,
 * online. */
void namesake_show(struct namesake *, const struct vhost_packet *,
                   unsigned int n);

#endif /* datapath/namesake.h */
