/* The control thread: one for all devices, on libevent.
 *
 * Everything that happens to a device's connection, memory and queues happens
 * here, so none of it needs locks against itself.  The thread waits for
 * service threads only as long as one batch takes, and they for it not at all,
 * but for a queue's lock during the exchange of a few pointers. */
#include <config.h>
#include "vhost/device.h"

#include <errno.h>
#include <event2/event.h>
#include <event2/thread.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "ovs-rcu.h"
#include "ovs-thread.h"
#include "util.h"

static struct event_base *base;
static pthread_t control_thread;
static int wake_fd = -1;
static struct event *wake_event;
static struct vhost_device *devices;    /* Control thread only. */

static void *
control_main(void *aux OVS_UNUSED)
{
    /* This thread looks at nothing that libopenvswitch's RCU protects. */
    ovsrcu_quiesce_start();
    event_base_loop(base, EVLOOP_NO_EXIT_ON_EMPTY);
    return NULL;
}

static void
check_devices(evutil_socket_t fd, short what OVS_UNUSED, void *aux OVS_UNUSED)
{
    uint64_t count;

    ignore(read(fd, &count, sizeof count));
    for (struct vhost_device *dev = devices, *next; dev; dev = next) {
        next = dev->next;
        vhost_device_check(dev);
    }
}

void
vhost_init(void)
{
    evthread_use_pthreads();
    base = event_base_new();
    wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (!base || wake_fd < 0) {
        ovs_fatal(errno, "vhost: cannot create the control thread's events");
    }
    wake_event = event_new(base, wake_fd, EV_READ | EV_PERSIST,
                           check_devices, NULL);
    event_add(wake_event, NULL);
    vhost_watch_init();
    vhost_sigbus_init();
    control_thread = ovs_thread_create("vhost-control", control_main, NULL);
}

void
vhost_exit(void)
{
    event_base_loopbreak(base);
    xpthread_join(control_thread, NULL);
    vhost_sigbus_exit();
    vhost_watch_exit();
    event_free(wake_event);
    event_base_free(base);
    close(wake_fd);
    base = NULL;
}

struct event_base *
vhost_event_base(void)
{
    return base;
}

void
vhost_control_wake(void)
{
    static const uint64_t one = 1;

    ignore(write(wake_fd, &one, sizeof one));
}

void
vhost_service_add(struct vhost_device *dev)
{
    dev->next = devices;
    devices = dev;
}

void
vhost_service_remove(struct vhost_device *dev)
{
    for (struct vhost_device **p = &devices; *p; p = &(*p)->next) {
        if (*p == dev) {
            *p = dev->next;
            return;
        }
    }
}

/* --- Work for the control thread --- */

struct work {
    void (*cb)(void *aux);
    void *aux;
    bool wait;                  /* Someone waits on 'done'. */
    bool done;
    pthread_mutex_t mutex;
    pthread_cond_t cond;
};

static void
do_work(evutil_socket_t fd OVS_UNUSED, short what OVS_UNUSED, void *work_)
{
    struct work *work = work_;

    work->cb(work->aux);
    if (work->wait) {
        pthread_mutex_lock(&work->mutex);
        work->done = true;
        pthread_cond_signal(&work->cond);
        pthread_mutex_unlock(&work->mutex);
    } else {
        free(work);
    }
}

static void
post(struct work *work)
{
    static const struct timeval now = { 0, 0 };

    if (event_base_once(base, -1, EV_TIMEOUT, do_work, work, &now)) {
        ovs_fatal(0, "vhost: cannot reach the control thread");
    }
}

void
vhost_control_run(void (*cb)(void *aux), void *aux)
{
    struct work work = {
        .cb = cb, .aux = aux, .wait = true,
        .mutex = PTHREAD_MUTEX_INITIALIZER, .cond = PTHREAD_COND_INITIALIZER,
    };

    post(&work);
    pthread_mutex_lock(&work.mutex);
    while (!work.done) {
        pthread_cond_wait(&work.cond, &work.mutex);
    }
    pthread_mutex_unlock(&work.mutex);
}

void
vhost_control_post(void (*cb)(void *aux), void *aux)
{
    struct work *work = xzalloc(sizeof *work);

    work->cb = cb;
    work->aux = aux;
    post(work);
}
