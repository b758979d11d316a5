/* Memory files that shrink under us.
 *
 * A front-end can truncate the file behind its guest's memory; whoever touches
 * a page beyond the new end gets SIGBUS.  The handler puts anonymous memory in
 * the place of the whole mapping, marks the device broken, and lets the access
 * go on: what it reads are zeros, what it writes nobody sees.  The control
 * thread then drops the device's front-end.
 *
 * The handler reads the list of guards without a lock; who removes one waits
 * until no handler runs. */
#include <config.h>
#include "vhost/memory.h"
#include "vhost/device.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "openvswitch/thread.h"
#include "ovs-atomic.h"
#include "util.h"

struct vhost_guard {
    uint8_t *start;
    size_t len;
    struct vhost_device *dev;
    struct vhost_guard *next;   /* Atomic. */
};

static struct ovs_mutex mutex = OVS_MUTEX_INITIALIZER;  /* For writers. */
static struct vhost_guard *guards;
static unsigned int n_handlers; /* Atomic. */
static struct sigaction old_action;

struct vhost_guard *
vhost_guard_add(void *start, size_t len, struct vhost_device *dev)
{
    struct vhost_guard *guard = xmalloc(sizeof *guard);

    ovs_mutex_lock(&mutex);
    *guard = (struct vhost_guard) {
        .start = start, .len = len, .dev = dev, .next = guards,
    };
    __atomic_store_n(&guards, guard, __ATOMIC_RELEASE);
    ovs_mutex_unlock(&mutex);
    return guard;
}

void
vhost_guard_remove(struct vhost_guard *guard)
{
    struct vhost_guard **p;

    ovs_mutex_lock(&mutex);
    for (p = &guards; *p != guard; p = &(*p)->next) {
        continue;
    }
    __atomic_store_n(p, guard->next, __ATOMIC_RELEASE);
    ovs_mutex_unlock(&mutex);

    /* Another device's fault may be walking past this guard just now. */
    atomic_thread_fence(memory_order_seq_cst);
    while (__atomic_load_n(&n_handlers, __ATOMIC_ACQUIRE)) {
        sched_yield();
    }
    free(guard);
}

/* Replaces the memory around 'addr' if it's guarded.  Returns true if so. */
static bool
replace_memory(const uint8_t *addr)
{
    for (struct vhost_guard *g = __atomic_load_n(&guards, __ATOMIC_ACQUIRE);
         g; g = __atomic_load_n(&g->next, __ATOMIC_ACQUIRE)) {
        if (addr >= g->start && addr < g->start + g->len) {
            if (mmap(g->start, g->len, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE,
                     -1, 0) == MAP_FAILED) {
                return false;
            }
            __atomic_store_n(&g->dev->broken, true, __ATOMIC_RELEASE);
            vhost_control_wake();
            return true;
        }
    }
    return false;
}

static void
handle_sigbus(int sig, siginfo_t *info, void *context)
{
    int saved_errno = errno;

    __atomic_add_fetch(&n_handlers, 1, __ATOMIC_SEQ_CST);
    bool handled = replace_memory(info->si_addr);
    __atomic_sub_fetch(&n_handlers, 1, __ATOMIC_RELEASE);
    errno = saved_errno;
    if (handled) {
        return;
    }

    /* Not ours. */
    if (old_action.sa_flags & SA_SIGINFO) {
        old_action.sa_sigaction(sig, info, context);
    } else if (old_action.sa_handler != SIG_DFL
               && old_action.sa_handler != SIG_IGN) {
        old_action.sa_handler(sig);
    } else {
        /* The access is repeated, and the process ends as it should. */
        signal(SIGBUS, SIG_DFL);
    }
}

void
vhost_sigbus_init(void)
{
    struct sigaction action = {
        .sa_sigaction = handle_sigbus, .sa_flags = SA_SIGINFO | SA_NODEFER,
    };

    sigemptyset(&action.sa_mask);
    sigaction(SIGBUS, &action, &old_action);
}

void
vhost_sigbus_exit(void)
{
    sigaction(SIGBUS, &old_action, NULL);
}
