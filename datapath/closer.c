/* Closes file descriptors of network devices for those who can't wait.
 *
 * To delete a tap, by closing its last descriptor, makes the kernel wait
 * some 17 ms; to close a packet socket some 13 ms.  The main loop must not
 * wait as long for each port of thousands that are deleted.  The kernel's
 * waits overlap: with sixteen threads at work a tap takes 1.6 ms.  The
 * threads end when there is nothing to close. */
#include <config.h>
#include "datapath/closer.h"

#include <net/if.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "openvswitch/list.h"
#include "ovs-rcu.h"
#include "ovs-thread.h"
#include "util.h"

/* A descriptor to close. */
struct closing {
    struct ovs_list node;       /* In 'queued' or 'in_progress'. */
    char name[IFNAMSIZ];
    int fd;
};

#define MAX_CLOSERS 16

static struct ovs_mutex mutex = OVS_MUTEX_INITIALIZER;
static struct ovs_list queued OVS_GUARDED_BY(mutex)
    = OVS_LIST_INITIALIZER(&queued);
static struct ovs_list in_progress OVS_GUARDED_BY(mutex)
    = OVS_LIST_INITIALIZER(&in_progress);
static unsigned int n_closers OVS_GUARDED_BY(mutex);
static pthread_cond_t closed = PTHREAD_COND_INITIALIZER;

/* The first of 'list' for device 'name', or for any if that is NULL. */
static struct closing *
find_closing(const struct ovs_list *list, const char *name)
{
    struct closing *closing;

    LIST_FOR_EACH (closing, node, list) {
        if (!name || !strcmp(closing->name, name)) {
            return closing;
        }
    }
    return NULL;
}

static void
close_now(struct closing *closing)
    OVS_REQUIRES(mutex)
{
    ovs_list_remove(&closing->node);
    ovs_list_push_back(&in_progress, &closing->node);
    ovs_mutex_unlock(&mutex);
    close(closing->fd);
    ovs_mutex_lock(&mutex);
    ovs_list_remove(&closing->node);
    free(closing);
    xpthread_cond_broadcast(&closed);
}

static void *
closer_main(void *aux OVS_UNUSED)
{
    struct closing *closing;

    ovsrcu_quiesce_start();
    ovs_mutex_lock(&mutex);
    while ((closing = find_closing(&queued, NULL)) != NULL) {
        close_now(closing);
    }
    n_closers--;
    ovs_mutex_unlock(&mutex);
    return NULL;
}

void
closer_close(const char *name, int fd)
{
    struct closing *closing = xmalloc(sizeof *closing);

    ovs_strlcpy(closing->name, name, sizeof closing->name);
    closing->fd = fd;
    ovs_mutex_lock(&mutex);
    ovs_list_push_back(&queued, &closing->node);
    bool more = n_closers < MAX_CLOSERS;
    n_closers += more;
    ovs_mutex_unlock(&mutex);
    if (more) {
        pthread_detach(ovs_thread_create("closer", closer_main, NULL));
    }
}

void
closer_wait(const char *name)
{
    struct closing *closing;

    ovs_mutex_lock(&mutex);
    for (;;) {
        if ((closing = find_closing(&queued, name)) != NULL) {
            close_now(closing);
        } else if (find_closing(&in_progress, name)) {
            pthread_cond_wait(&closed, &mutex.lock);
        } else {
            break;
        }
    }
    ovs_mutex_unlock(&mutex);
}
