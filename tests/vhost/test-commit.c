/* Kills the back-end at every store of the protocol by which a packed ring's
 * state outlives it (vhost/ring-state.c).
 *
 * Ring and state are in memory shared with a child, which does one thing: it
 * gives a batch of chains back, or takes over from a predecessor that died
 * while it did so.  We let it go on by single instructions.  At each that
 * changed the memory a fresh child is killed with SIGKILL; a successor then
 * adopts what it left and does the rest, and the driver must have got each
 * buffer exactly once, in order, with the right length. */
#include <config.h>
#include "vhost/device.h"
#include "vhost/ring.h"
#include "vhost/ring-state.h"

#include <endian.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include "openvswitch/vlog.h"
#include "tests/vhost/front-end.h"
#include "util.h"

#define RING 8                  /* Descriptors. */
#define IDENTITY 4711
#define AVAIL (1 << VRING_PACKED_DESC_F_AVAIL)
#define USED (1 << VRING_PACKED_DESC_F_USED)

/* What outlives the back-end. */
struct shared {
    struct vring_packed_desc desc[RING];
    struct vring_packed_desc_event driver_event, device_event;
    union {
        struct vhost_ring_state *align;
        uint8_t bytes[VHOST_RING_STATE_SIZE];
    } state;
    uint8_t buffer[4096];
};
static struct shared *shared;

static char port_name[] = "port";
static struct vhost_device device = { .name = port_name };
static struct vhost_scratch scratch;

/* --- The back-end --- */

static struct vhost_map *
make_map(void)
{
    struct vhost_map *map = vhost_map_create(1);

    map->ranges[0] = (struct vhost_range) {
        .size = sizeof shared->buffer, .host = shared->buffer,
        .access = VHOST_ACCESS_RW,
    };
    return map;
}

/* Makes 'q' as a back-end does that starts now. */
static void
start(struct vhost_queue *q)
{
    memset(q, 0, sizeof *q);
    q->device = &device;
    q->packed = true;
    q->size = RING;
    q->map = device.map;
    q->packed_desc = shared->desc;
    q->driver_event = &shared->driver_event;
    q->device_event = &shared->device_event;
    q->next_avail = q->next_used = 0x8000;
    q->call_fd = -1;
    vhost_ring_state_adopt(q, (void *) &shared->state, IDENTITY);
}

/* Takes up to 'max' chains and gives them back, with 100 bytes more than its
 * id in each.  Returns how many. */
static unsigned int
fetch(struct vhost_queue *q, struct vhost_used used[], unsigned int max)
{
    scratch.n = scratch.n_segs = 0;
    unsigned int n = vhost_packed_fetch(q, &scratch, max);

    for (unsigned int i = 0; i < n; i++) {
        used[i] = (struct vhost_used) {
            .id = scratch.chains[i].id, .slots = scratch.chains[i].slots,
            .len = 100 + scratch.chains[i].id,
        };
    }
    return n;
}

static unsigned int
serve(struct vhost_queue *q, unsigned int max)
{
    struct vhost_used used[RING];
    unsigned int n = fetch(q, used, max);

    if (n) {
        vhost_packed_complete(q, used, n);
    }
    return n;
}

/* --- The driver --- */

struct driver {
    uint16_t next_avail, next_used;     /* With the wrap counter on top. */
    uint16_t next_id;           /* Of the next chain; ids count up... */
    uint16_t expected;          /* ...and come back in that order... */
    uint8_t slots[256];         /* ...with so many slots. */
    unsigned int n_free;
};

static uint16_t
advance(uint16_t position, uint16_t n)
{
    uint16_t index = (position & 0x7fff) + n;

    return (index < RING ? index | (position & 0x8000)
            : (index - RING) | ((position & 0x8000) ^ 0x8000));
}

/* Makes a chain of 'n' buffers available. */
static void
offer(struct driver *d, unsigned int n)
{
    uint16_t head = d->next_avail & 0x7fff, head_flags = 0;

    for (unsigned int i = 0; i < n; i++) {
        struct vring_packed_desc *desc
            = &shared->desc[d->next_avail & 0x7fff];
        uint16_t flags = ((d->next_avail & 0x8000 ? AVAIL : USED)
                          | VRING_DESC_F_WRITE
                          | (i < n - 1 ? VRING_DESC_F_NEXT : 0));

        desc->addr = 0;
        desc->len = htole32(64);
        desc->id = htole16(d->next_id);
        if (i) {
            desc->flags = htole16(flags);
        } else {
            head_flags = flags;
        }
        d->next_avail = advance(d->next_avail, 1);
    }
    __atomic_store_n(&shared->desc[head].flags, htole16(head_flags),
                     __ATOMIC_RELEASE);
    d->slots[d->next_id++] = n;
    d->n_free -= n;
}

/* Takes back what the device has used.  Returns how many chains. */
static unsigned int
reap(struct driver *d)
{
    unsigned int n = 0;

    for (;; n++) {
        const struct vring_packed_desc *desc
            = &shared->desc[d->next_used & 0x7fff];
        uint16_t flags = le16toh(desc->flags);
        bool wrap = d->next_used & 0x8000;

        if (!(flags & AVAIL) != !wrap || !(flags & USED) != !wrap
            || d->expected == d->next_id) {
            return n;
        }
        FE_CHECK(le16toh(desc->id) == d->expected);
        FE_CHECK(le32toh(desc->len) == 100u + d->expected);
        d->n_free += d->slots[d->expected];
        d->next_used = advance(d->next_used, d->slots[d->expected]);
        d->expected++;
    }
}

/* --- The scenarios --- */

/* One moment in the life of a ring: chains of 'slots' (0: no more) are
 * available from 'first' on, and a batch of 'batch' is to be given back. */
struct scenario {
    const char *name;
    unsigned int first;
    uint8_t slots[RING];
    unsigned int batch;
    bool adopt;                 /* Kill the successor instead, whose
                                 * predecessor died in the middle. */
};
static const struct scenario scenarios[] = {
    { "one chain", 0, { 1, 1 }, 1, false },
    { "a batch", 1, { 1, 2, 1, 3 }, 4, false },
    { "part of what is available", 1, { 1, 1, 2, 1 }, 2, false },
    { "a batch across the wrap", 6, { 2, 1, 1, 1 }, 4, false },
    { "a chain across the wrap", 7, { 2, 3, 1 }, 3, false },
    { "a whole ring", 3, { 1, 1, 1, 1, 1, 1, 1, 1 }, 8, false },
    { "take-over", 1, { 1, 2, 1, 3 }, 4, true },
    { "take-over across the wrap", 6, { 2, 1, 1, 1 }, 4, true },
};

/* Brings memory and driver to where 's' begins; 'q' is at work there. */
static void
prepare(const struct scenario *s, struct driver *d, struct vhost_queue *q)
{
    memset(shared, 0, sizeof *shared);
    *d = (struct driver) {
        .next_avail = 0x8000, .next_used = 0x8000, .n_free = RING,
    };
    start(q);
    for (unsigned int i = 0; i < s->first; i++) {
        offer(d, 1);
        FE_CHECK(serve(q, 1) == 1);
        FE_CHECK(reap(d) == 1);
    }
    for (unsigned int i = 0; i < RING && s->slots[i]; i++) {
        offer(d, s->slots[i]);
    }
}

/* Leaves the memory as a predecessor does that died when it had announced a
 * batch and written one chain of it, not the first. */
static void
die_in_the_middle(const struct scenario *s, struct vhost_queue *q)
{
    struct vhost_used used[RING];
    unsigned int n = fetch(q, used, s->batch);
    uint16_t new = q->next_used;

    for (unsigned int i = 0; i < n; i++) {
        new = vhost_packed_advance(q, new, used[i].slots);
    }
    vhost_ring_state_begin(q->state, q->next_used, new, used, n);
    vhost_packed_write_used(q, vhost_packed_advance(q, q->next_used,
                                                    used[0].slots),
                            &used[1], 1);
}

/* What is killed.  Stops before and after. */
static void
child(const struct scenario *s, struct vhost_queue *q)
{
    struct vhost_used used[RING];
    unsigned int n = s->adopt ? 0 : fetch(q, used, s->batch);

    ptrace(PTRACE_TRACEME, 0, NULL, NULL);
    raise(SIGSTOP);
    if (s->adopt) {
        start(q);
    } else {
        vhost_packed_complete(q, used, n);
    }
    raise(SIGSTOP);
    _exit(0);
}

static pid_t
start_child(const struct scenario *s, struct vhost_queue *q)
{
    pid_t pid = fork();
    int status;

    if (!pid) {
        child(s, q);
    }
    FE_CHECK(pid > 0);
    FE_CHECK(waitpid(pid, &status, 0) == pid && WIFSTOPPED(status));
    return pid;
}

/* Lets the child execute an instruction.  Returns false if it's done. */
static bool
step(pid_t pid)
{
    int status;

    FE_CHECK(!ptrace(PTRACE_SINGLESTEP, pid, NULL, NULL));
    FE_CHECK(waitpid(pid, &status, 0) == pid && WIFSTOPPED(status));
    return WSTOPSIG(status) == SIGTRAP;
}

static void
finish_child(pid_t pid)
{
    int status;

    kill(pid, SIGKILL);
    FE_CHECK(waitpid(pid, &status, 0) == pid && WIFSIGNALED(status));
}

static void
prepare_all(const struct scenario *s, struct driver *d, struct vhost_queue *q)
{
    prepare(s, d, q);
    if (s->adopt) {
        die_in_the_middle(s, q);
    }
}

/* Finds the instructions after which the shared memory is different.  Stores
 * their numbers in '*stores', which the caller frees, and returns how many. */
static unsigned int
find_stores(const struct scenario *s, unsigned int **stores)
{
    struct shared *before = xmalloc(sizeof *before);
    struct vhost_queue *q = xzalloc_cacheline(sizeof *q);
    struct driver d;
    unsigned int n = 0;

    prepare_all(s, &d, q);
    *stores = NULL;
    pid_t pid = start_child(s, q);
    memcpy(before, shared, sizeof *before);
    for (unsigned int i = 1; step(pid); i++) {
        if (memcmp(before, shared, sizeof *before)) {
            memcpy(before, shared, sizeof *before);
            *stores = xrealloc(*stores, (n + 1) * sizeof **stores);
            (*stores)[n++] = i;
        }
    }
    finish_child(pid);
    free_cacheline(q);
    free(before);
    return n;
}

/* Kills a child after 'n' instructions, and has a successor do the rest. */
static void
kill_after(const struct scenario *s, unsigned int n)
{
    struct vhost_queue *q = xzalloc_cacheline(sizeof *q);
    struct driver d;

    prepare_all(s, &d, q);
    pid_t pid = start_child(s, q);
    while (n--) {
        FE_CHECK(step(pid));
    }
    finish_child(pid);

    /* The driver sees what there is, and may use it at once. */
    if (reap(&d) && d.n_free) {
        offer(&d, 1);
    }
    start(q);
    reap(&d);
    while (serve(q, 3)) {
        reap(&d);
    }
    FE_CHECK(d.expected == d.next_id);
    for (unsigned int i = 0; i < 3 * RING; i++) {
        offer(&d, 1);
        FE_CHECK(serve(q, 1) == 1);
        FE_CHECK(reap(&d) == 1);
    }
    FE_CHECK(!q->broken);
    free_cacheline(q);
}

int
main(int argc OVS_UNUSED, char *argv[])
{
    set_program_name(argv[0]);
    vlog_set_levels(NULL, VLF_ANY_DESTINATION, VLL_OFF);
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE,
                  MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    FE_CHECK(shared != MAP_FAILED);
    device.map = make_map();
    for (size_t i = 0; i < ARRAY_SIZE(scenarios); i++) {
        const struct scenario *s = &scenarios[i];
        unsigned int *stores;
        unsigned int n = find_stores(s, &stores);

        FE_CHECK(n >= 2);
        kill_after(s, 0);
        for (unsigned int j = 0; j < n; j++) {
            kill_after(s, stores[j]);
        }
        printf("ok %s: killed at each of %u stores\n", s->name, n);
        free(stores);
    }
    free(CONST_CAST(struct vhost_map *, device.map));
    return 0;
}
