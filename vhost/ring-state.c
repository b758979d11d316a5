/* The state of packed rings, kept where it outlives this process.
 *
 * A split ring has its state in guest memory: used->idx says what has been
 * done.  A packed ring hasn't: where device and driver are is known to each of
 * them alone, and no front-end can tell it to a back-end that starts after
 * another has died.  So we write it, with the end of each batch, to a file in
 * tmpfs that our successor maps, or to what the front-end keeps for us
 * (inflight.c).  We are our own successor if only the connection was lost.
 *
 * A batch is given back with several stores to the ring, of which the driver
 * waits for the first descriptor's, made last.  We may be killed between any
 * two of them, therefore:
 *
 *     1. intent: the chains that go back, from which position to which, are
 *        written beside those of the batch before; then one store to 'phase'
 *        makes them the last intent, and BUSY;
 *     2. the ring is written;
 *     3. 'phase' says that this is done.
 *
 * A successor that finds BUSY repeats step 2, unless that first descriptor
 * says that it was complete: then the driver may have reused them already.
 * It goes on at the position at which the last intent ends.  Packets of a
 * transmit queue that had not got to step 1 are received once more.
 *
 * The state is believed only if the front-end is the same process with the
 * same memory, features and ring addresses, and if the ring bears it out: some
 * front-ends (DPDK's) reset their rings when the back-end goes away, others
 * (QEMU) keep them, and both say the same.  In a ring that was reset the
 * descriptors that we gave back last, or the next, don't have the flags that
 * they had. */
#include <config.h>
#include "vhost/device.h"
#include "vhost/ring.h"
#include "vhost/ring-state.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "hash.h"
#include "openvswitch/vlog.h"
#include "util.h"

VLOG_DEFINE_THIS_MODULE(vhost_ring_state);

#define MAGIC 0x534c5233        /* Changes with the layout. */

/* A batch of chains to be given back. */
struct intent {
    uint16_t old, new;          /* Where the ring is before and after it. */
    uint16_t n;
    struct vhost_used used[VHOST_MAX_CHAINS];
};

/* One queue's, as it is in the file. */
struct vhost_ring_state {
    uint8_t unused[12];         /* Other back-ends see an in-flight region of
                                 * version 0: not initialized. */
    uint32_t magic;             /* MAGIC if the queue was at work. */
    uint32_t identity;          /* Of front-end, memory and ring. */
    uint32_t phase;             /* Which of 'intents' is the last, and BUSY
                                 * while it is being carried out. */
#define LAST 1
#define BUSY 2
    struct intent intents[2];
};
BUILD_ASSERT_DECL(sizeof(struct vhost_ring_state) <= VHOST_RING_STATE_SIZE);

/* --- The file --- */

static char *
file_name(const struct vhost_device *dev)
{
    char *base = xstrdup(dev->name);

    for (char *p = base; *p; p++) {
        if (*p == '/') {
            *p = '_';
        }
    }
    char *name = xasprintf("%s/%s.rings", dev->state_dir, base);
    free(base);
    return name;
}

static void
open_file(struct vhost_device *dev)
{
    size_t size = dev->max_queues * (size_t) VHOST_RING_STATE_SIZE;
    char *name = file_name(dev);

    mkdir(dev->state_dir, 0700);
    int fd = open(name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    void *mapping = MAP_FAILED;

    if (fd >= 0 && !ftruncate(fd, size)) {
        mapping = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    }
    if (mapping == MAP_FAILED) {
        VLOG_WARN("%s: %s: cannot keep ring state: %s; a guest with packed "
                  "rings won't survive a restart of the switch", dev->name,
                  name, ovs_strerror(errno));
    } else {
        dev->ring_states = mapping;
    }
    if (fd >= 0) {
        close(fd);
    }
    free(name);
}

/* Lets go of the file. */
void
vhost_ring_state_close(struct vhost_device *dev)
{
    if (dev->ring_states) {
        munmap(dev->ring_states,
               dev->max_queues * (size_t) VHOST_RING_STATE_SIZE);
        dev->ring_states = NULL;
    }
}

/* Removes the file: 'dev' will not be there again. */
void
vhost_ring_state_remove(const struct vhost_device *dev)
{
    if (dev->state_dir) {
        /* Even if we didn't open it, a predecessor may have. */
        char *name = file_name(dev);

        unlink(name);
        free(name);
    }
}

/* --- Identity --- */

static uint32_t
hash_u64(uint64_t x, uint32_t basis)
{
    return hash_uint64_basis(x, basis);
}

/* The time at which process 'pid' started, which tells it from a later one
 * with the same number. */
static uint64_t
start_time(pid_t pid)
{
    char path[32], stat[512];
    uint64_t time = 0;

    snprintf(path, sizeof path, "/proc/%d/stat", (int) pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return 0;
    }
    ssize_t n = read(fd, stat, sizeof stat - 1);
    close(fd);
    stat[MAX(n, 0)] = '\0';

    /* Field 22; the second is in parentheses and may contain anything. */
    const char *p = strrchr(stat, ')');
    for (int field = 2; p && field < 22; field++) {
        p = strchr(p + 1, ' ');
    }
    if (p) {
        time = strtoull(p + 1, NULL, 10);
    }
    return time;
}

static uint32_t
identity(const struct vhost_queue *q)
{
    const struct vhost_device *dev = q->device;
    pid_t pid = vhost_connection_peer(dev->connection);
    uint32_t hash = hash_u64(pid, q->size);

    hash = hash_u64(start_time(pid), hash);
    hash = hash_u64(dev->features & ~(1ULL << VHOST_F_LOG_ALL), hash);
    hash = hash_u64(q->addr.descriptor, hash);
    hash = hash_u64(q->addr.available, hash);
    hash = hash_u64(q->addr.used, hash);
    for (unsigned int i = 0; i < dev->memory->n; i++) {
        const struct vhost_region *r = dev->memory->regions[i];

        hash = hash_u64(r->gpa, hash);
        hash = hash_u64(r->uva, hash);
        hash = hash_u64(r->size, hash);
        hash = hash_u64(r->file_offset, hash);
        hash = hash_u64(r->mapping.ino, hash);
        hash = hash_u64(r->mapping.dev, hash);
    }
    return hash;
}

/* --- At work --- */

void
vhost_ring_state_begin(struct vhost_ring_state *s, uint16_t old, uint16_t new,
                       const struct vhost_used *used, unsigned int n)
{
    uint32_t last = !(s->phase & LAST);
    struct intent *intent = &s->intents[last];

    atomic_thread_fence(memory_order_acq_rel);  /* Behind the last commit. */
    intent->old = old;
    intent->new = new;
    intent->n = n;
    memcpy(intent->used, used, n * sizeof *used);
    __atomic_store_n(&s->phase, last | BUSY, __ATOMIC_RELEASE);
    atomic_thread_fence(memory_order_release);
}

void
vhost_ring_state_commit(struct vhost_ring_state *s)
{
    __atomic_store_n(&s->phase, s->phase & LAST, __ATOMIC_RELEASE);
}

/* --- Start and stop --- */

/* Returns true if the numbers in 'intent' make sense and, if it has been
 * 'carried_out', the ring of 'q' bears them out. */
static bool
is_plausible(const struct vhost_queue *q, const struct intent *intent,
             bool carried_out)
{
    uint16_t at = intent->old;

    if (intent->n > VHOST_MAX_CHAINS || (intent->old & 0x7fff) >= q->size
        || (intent->new & 0x7fff) >= q->size) {
        return false;
    }
    for (unsigned int i = 0; i < intent->n; i++) {
        uint16_t slots = intent->used[i].slots;

        if (!slots || slots > q->size
            || (carried_out && !vhost_packed_was_given_back(q, at))) {
            return false;
        }
        at = vhost_packed_advance(q, at, slots);
    }
    return at == intent->new;
}

static unsigned int
n_slots(const struct intent *intent)
{
    unsigned int n = 0;

    for (unsigned int i = 0; i < MIN(intent->n, VHOST_MAX_CHAINS); i++) {
        n += intent->used[i].slots;
    }
    return n;
}

/* Returns true if the ring of 'q' is the one that 's' tells of. */
static bool
is_this_ring(const struct vhost_queue *q, const struct vhost_ring_state *s)
{
    const struct intent *last = &s->intents[s->phase & LAST];
    const struct intent *before = &s->intents[!(s->phase & LAST)];

    if (!(s->phase & BUSY)) {
        return (is_plausible(q, last, true)
                && vhost_packed_may_be_next(q, last->new));
    }
    /* Of an intent that may be half carried out the ring tells nothing, but
     * the one before it has been, and can be seen unless this one has gone
     * round the ring. */
    return (is_plausible(q, last, false) && before->new == last->old
            && is_plausible(q, before,
                            n_slots(last) + n_slots(before) <= q->size));
}

/* Continues where a predecessor stopped, if 's' says so and was 'identity''s,
 * and keeps the state of 'q', whose ring has just been set to start where the
 * front-end says, in 's' from now on.  With the lock held. */
void
vhost_ring_state_adopt(struct vhost_queue *q, struct vhost_ring_state *s,
                       uint32_t id)
{
    /* Others may be able to write to it. */
    const struct vhost_ring_state copy = *s;
    const struct intent *intent = &copy.intents[copy.phase & LAST];

    if (copy.magic == MAGIC && copy.identity == id && is_this_ring(q, &copy)) {
        if (copy.phase & BUSY) {
            if (!vhost_packed_was_given_back(q, intent->old)) {
                vhost_packed_write_used(q, intent->old, intent->used,
                                        intent->n);
            }
            vhost_ring_state_commit(s);
        }
        q->next_avail = q->next_used = intent->new;
        VLOG_INFO("%s: virtqueue %u goes on where it was, at %u",
                  q->device->name, q->index, intent->new & 0x7fff);
    } else {
        __atomic_store_n(&s->magic, 0, __ATOMIC_RELAXED);
        atomic_thread_fence(memory_order_acq_rel);
        memset(s, 0, sizeof *s);
        s->identity = id;
        s->intents[0].old = s->intents[0].new = q->next_used;
        __atomic_store_n(&s->magic, MAGIC, __ATOMIC_RELEASE);
    }
    q->state = s;
}

/* Keeps the state of 'q' where its device has a place for it, after that of a
 * predecessor. */
void
vhost_ring_state_start(struct vhost_queue *q)
{
    struct vhost_device *dev = q->device;
    uint8_t *states = NULL;

    if (q->index < dev->n_inflight) {
        states = dev->inflight.data;
    } else if (dev->state_dir) {
        if (!dev->ring_states) {
            open_file(dev);
        }
        states = dev->ring_states;
    }
    if (states) {
        vhost_ring_state_adopt(
            q, (void *) (states + q->index * VHOST_RING_STATE_SIZE),
            identity(q));
    }
}

/* 'q' has stopped.  If it's because its front-end said so, that knows where, or
 * begins anew, and the state is worth nothing any more.  If the connection has
 * gone, whoever's end broke it, the front-end hasn't been told and may come
 * back with the same ring. */
void
vhost_ring_state_stop(struct vhost_queue *q)
{
    if (q->state && q->device->connection) {
        q->state->magic = 0;
    }
    q->state = NULL;
}
