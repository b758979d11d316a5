/* Work on network devices for those who can't wait.
 *
 * To delete a tap, by closing its last descriptor, makes the kernel wait
 * some 17 ms, to close a packet socket or to attach or detach a BPF program
 * some 13 ms.  The main loop must not wait as long for each port of thousands
 * that come or go.  Most of the kernel's waits overlap: with sixteen threads
 * at work a tap takes 1.6 ms.  The threads end when there is nothing to do.
 *
 * What is done for one device is done in order. */
#include <config.h>
#include "datapath/device-work.h"

#include <net/if.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "openvswitch/list.h"
#include "ovs-rcu.h"
#include "ovs-thread.h"
#include "util.h"

struct job {
    struct ovs_list node;       /* In 'queued' or 'in_progress'. */
    char name[IFNAMSIZ];
    void (*cb)(void *aux);
    void *aux;
};

#define MAX_WORKERS 16

static struct ovs_mutex mutex = OVS_MUTEX_INITIALIZER;
static struct ovs_list queued OVS_GUARDED_BY(mutex)
    = OVS_LIST_INITIALIZER(&queued);
static struct ovs_list in_progress OVS_GUARDED_BY(mutex)
    = OVS_LIST_INITIALIZER(&in_progress);
static unsigned int n_workers OVS_GUARDED_BY(mutex);
static pthread_cond_t done = PTHREAD_COND_INITIALIZER;

static bool
is_for(const struct job *job, const char *name)
{
    return !name || !strcmp(job->name, name);
}

static bool
is_in_progress(const char *name)
    OVS_REQUIRES(mutex)
{
    const struct job *job;

    LIST_FOR_EACH (job, node, &in_progress) {
        if (is_for(job, name)) {
            return true;
        }
    }
    return false;
}

/* The first job for device 'name', or any if that is NULL, that may begin. */
static struct job *
find_job(const char *name)
    OVS_REQUIRES(mutex)
{
    struct job *job;

    LIST_FOR_EACH (job, node, &queued) {
        if (is_for(job, name) && !is_in_progress(job->name)) {
            return job;
        }
    }
    return NULL;
}

static void
do_job(struct job *job)
    OVS_REQUIRES(mutex)
{
    ovs_list_remove(&job->node);
    ovs_list_push_back(&in_progress, &job->node);
    ovs_mutex_unlock(&mutex);
    job->cb(job->aux);
    ovs_mutex_lock(&mutex);
    ovs_list_remove(&job->node);
    free(job);
    xpthread_cond_broadcast(&done);
}

/* A worker that ends leaves jobs for devices that others work on to them. */
static void *
worker_main(void *aux OVS_UNUSED)
{
    struct job *job;

    ovsrcu_quiesce_start();
    ovs_mutex_lock(&mutex);
    while ((job = find_job(NULL)) != NULL) {
        do_job(job);
    }
    n_workers--;
    ovs_mutex_unlock(&mutex);
    return NULL;
}

void
device_work(const char *name, void (*cb)(void *aux), void *aux)
{
    struct job *job = xmalloc(sizeof *job);

    ovs_strlcpy(job->name, name, sizeof job->name);
    job->cb = cb;
    job->aux = aux;
    ovs_mutex_lock(&mutex);
    ovs_list_push_back(&queued, &job->node);
    bool more = n_workers < MAX_WORKERS;
    n_workers += more;
    ovs_mutex_unlock(&mutex);
    if (more) {
        pthread_detach(ovs_thread_create("device", worker_main, NULL));
    }
}

static void
close_cb(void *fd)
{
    close((intptr_t) fd);
}

void
device_close(const char *name, int fd)
{
    device_work(name, close_cb, (void *) (intptr_t) fd);
}

void
device_work_wait(const char *name)
{
    ovs_mutex_lock(&mutex);
    for (;;) {
        struct job *job = find_job(name);

        if (job) {
            do_job(job);
        } else if (is_in_progress(name)) {
            pthread_cond_wait(&done, &mutex.lock);
        } else {
            break;
        }
    }
    ovs_mutex_unlock(&mutex);
}
