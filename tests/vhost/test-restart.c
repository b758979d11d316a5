/* Kills the back-end, or hangs up on it, at random moments, again and again,
 * and checks that each buffer of the guest comes back exactly once and in
 * order.
 *
 *     test-restart split|packed [ROUNDS [inflight]]
 *
 * This process is the front-end and its guest, which sends packets on one
 * device and receives them on the same.  The back-end is a child that is
 * killed with SIGKILL, or lives on and only loses the connection; whoever is
 * next finds ring state where the last one left it, or in an in-flight region
 * that we keep for it.  What was on its way then may be sent twice or lost, as
 * the specification allows; buffers may not. */
#include <config.h>
#include "vhost/vhost.h"

#include <endian.h>
#include <linux/virtio_config.h>
#include <linux/virtio_net.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "openvswitch/vlog.h"
#include "tests/vhost/front-end.h"
#include "util.h"

#define HDR 12
#define LEN 100

/* --- The child: what the guest sends goes back to it --- */

static struct vhost_device *device;

static unsigned int
receive(struct vhost_queue *queue, struct vhost_thread *thread OVS_UNUSED,
        unsigned int budget OVS_UNUSED, void *aux OVS_UNUSED)
{
    static __thread struct vhost_packet packets[VHOST_BATCH];
    struct vhost_packet *pointers[VHOST_BATCH];
    struct vhost_notifier notifier = { .n = 0 };
    unsigned int n = vhost_receive(queue, packets, VHOST_BATCH);
    struct vhost_queue *to = device ? vhost_device_receive_queue(device, 0)
                             : NULL;

    for (unsigned int i = 0; i < n; i++) {
        pointers[i] = &packets[i];
    }
    if (to && n) {
        vhost_transmit(to, pointers, n, VHOST_FINISH, &notifier);
    }
    vhost_receive_done(queue, &notifier);
    vhost_notify(&notifier);
    return n;
}

static void
child(const char *path, const char *dir)
{
    static const struct vhost_device_ops ops = { .receive = receive };
    struct vhost_pool_config pool_config = {
        .n_threads = 1, .name = "service",
    };
    struct vhost_device_config config = {
        .name = "port", .path = path, .uid = -1, .gid = -1, .mode = -1,
        .max_queue_pairs = 1, .ops = &ops, .state_dir = dir,
    };
    char *error;

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    vhost_init();
    if (vhost_pool_create(&pool_config, &config.pool, &error)
        || vhost_device_create(&config, &device, &error)) {
        ovs_fatal(0, "%s", error);
    }
    for (;;) {
        pause();
    }
}

/* --- The guest --- */

struct guest {
    struct front_end fe;
    bool packed;
    struct {
        uint16_t avail[FE_RING]; /* Packed: ids in order of the slots... */
        uint16_t used_next;     /* Next used index (split) or slot... */
        bool wrap;              /* ...with its wrap counter. */
        uint64_t offered, returned;
        bool outside[FE_RING];  /* Buffer 'id' is with the device. */
    } rings[2];
};

static void
offer(struct guest *g, int i, uint16_t id)
{
    struct fe_ring *r = &g->fe.rings[i];
    uint8_t *at = fe_at(&g->fe, fe_buffer(1 + id) + i * 2048);

    FE_CHECK(!g->rings[i].outside[id]);
    g->rings[i].outside[id] = true;
    g->rings[i].offered++;
    if (i) {
        memset(at, 0, HDR + LEN);
    }
    fe_desc(r, g->packed ? 0 : id, fe_buffer(1 + id) + i * 2048,
            i ? HDR + LEN : 2048, i ? 0 : VRING_DESC_F_WRITE,
            g->packed ? id : 0);
    fe_offer(r, id);
}

/* Takes one buffer back.  Returns its id, or -1 if there's none. */
static int
take_back(struct guest *g, int i)
{
    struct fe_ring *r = &g->fe.rings[i];
    uint16_t id;

    if (g->packed) {
        if (!fe_is_used(r, g->rings[i].used_next, g->rings[i].wrap)) {
            return -1;
        }
        id = le16toh(r->packed_desc[g->rings[i].used_next].id);
        if (++g->rings[i].used_next == FE_RING) {
            g->rings[i].used_next = 0;
            g->rings[i].wrap = !g->rings[i].wrap;
        }
    } else {
        if (fe_used_idx(r) == g->rings[i].used_next) {
            return -1;
        }
        id = le32toh(r->used->ring[g->rings[i].used_next % FE_RING].id);
        g->rings[i].used_next++;
    }
    FE_CHECK(id < FE_RING);
    FE_CHECK(g->rings[i].outside[id]);
    FE_CHECK(id == g->rings[i].returned % FE_RING);     /* In order. */
    g->rings[i].outside[id] = false;
    g->rings[i].returned++;
    return id;
}

/* Does what there is to do on both rings. */
static void
turn(struct guest *g)
{
    for (int i = 0; i < 2; i++) {
        int id;

        while ((id = take_back(g, i)) >= 0) {
            offer(g, i, id);
        }
    }
}

static void
start_ring_again(struct front_end *fe, unsigned int i)
{
    struct fe_ring *r = &fe->rings[i];
    struct vhost_user_vring_addr addr = {
        .index = i,
        .descriptor = (uintptr_t) r->desc,
        .available = (uintptr_t) r->avail,
        .used = (uintptr_t) r->used,
    };

    fe_send_state(fe, VHOST_USER_SET_VRING_NUM, i, FE_RING);
    fe_send(fe, VHOST_USER_SET_VRING_ADDR, &addr, sizeof addr);
    /* What QEMU and DPDK say of a packed ring. */
    fe_send_state(fe, VHOST_USER_SET_VRING_BASE, i,
                  r->packed ? 0x8000 : fe_used_idx(r));
    fe_send_u64(fe, VHOST_USER_SET_VRING_CALL, i, r->call);
    fe_send_u64(fe, VHOST_USER_SET_VRING_KICK, i, r->kick);
    fe_send_state(fe, VHOST_USER_SET_VRING_ENABLE, i, 1);
}

/* Has the back-end keep ring state in an in-flight region: a new one if '*fd'
 * is -1, which is replaced. */
static void
share_inflight(struct front_end *fe, int *fd)
{
    struct vhost_user_inflight region = {
        .num_queues = 2, .queue_size = FE_RING,
        .mmap_size = 2 * 4096,
    };
    union vhost_user_payload payload;

    if (*fd < 0) {
        fe_send(fe, VHOST_USER_GET_INFLIGHT_FD, &region, sizeof region);
        FE_CHECK(fe_reply(fe, VHOST_USER_GET_INFLIGHT_FD, &payload, fd)
                 == sizeof region);
        FE_CHECK(*fd >= 0);
        FE_CHECK(payload.inflight.mmap_size == region.mmap_size);
    }
    fe_send_fds(fe, VHOST_USER_SET_INFLIGHT_FD, VHOST_USER_VERSION, &region,
                sizeof region, fd, 1);
}

static pid_t
fork_child(const char *path, const char *dir)
{
    pid_t pid = fork();

    if (!pid) {
        child(path, dir);
    }
    FE_CHECK(pid > 0);
    return pid;
}

int
main(int argc, char *argv[])
{
    char template[] = "/dev/shm/test-restart.XXXXXX";
    unsigned int rounds = argc > 2 ? atoi(argv[2]) : 100;
    uint64_t features = 1ULL << VIRTIO_F_VERSION_1;
    struct guest g = { .packed = argc > 1 && !strcmp(argv[1], "packed") };
    char *dir = mkdtemp(template);
    char *path = xasprintf("%s/socket", dir);
    char *rings = xasprintf("%s/port.rings", dir);

    set_program_name(argv[0]);
    vlog_set_levels(NULL, VLF_SYSLOG, VLL_OFF);
    vlog_set_levels(NULL, VLF_CONSOLE, VLL_WARN);
    if (g.packed) {
        features |= 1ULL << VIRTIO_F_RING_PACKED;
    }
    bool inflight = argc > 3;
    const char *state_dir = inflight ? NULL : dir;
    uint64_t protocol = (inflight
                         ? 1ULL << VHOST_USER_PROTOCOL_F_INFLIGHT_SHMFD : 0);
    int inflight_fd = -1;
    pid_t pid = fork_child(path, state_dir);
    fe_connect(&g.fe, path);
    fe_negotiate(&g.fe, features, protocol);
    if (inflight) {
        share_inflight(&g.fe, &inflight_fd);
    }
    for (int i = 0; i < 2; i++) {
        fe_start_ring(&g.fe, i, FE_RING, g.packed ? 0x80008000 : 0);
        g.rings[i].wrap = true;
        for (uint16_t id = 0; id < FE_RING; id++) {
            offer(&g, i, id);
        }
    }
    srand(1);
    for (unsigned int round = 0; round < rounds; round++) {
        uint64_t before = g.rings[0].returned;

        /* It must have made progress, on both, before it dies. */
        FE_AWAIT((turn(&g), g.rings[0].returned > before + 200));
        for (int i = rand() % 2000; i > 0; i--) {
            turn(&g);
        }
        if (round % 2) {
            kill(pid, SIGKILL);
            turn(&g);
            waitpid(pid, NULL, 0);
            turn(&g);
            pid = fork_child(path, state_dir);
        }
        close(g.fe.sock);

        struct front_end new;
        fe_connect(&new, path);
        munmap(new.memory, 2 * FE_MEMORY);
        close(new.memfd);
        g.fe.sock = new.sock;
        fe_negotiate(&g.fe, features, protocol);
        if (inflight) {
            share_inflight(&g.fe, &inflight_fd);
        }
        for (int i = 0; i < 2; i++) {
            start_ring_again(&g.fe, i);
        }
    }
    uint64_t before = g.rings[1].returned;
    FE_AWAIT((turn(&g), g.rings[1].returned > before + 1000));
    printf("ok restart %s%s: %u times, %"PRIu64" buffers received\n",
           g.packed ? "packed" : "split", inflight ? " inflight" : "", rounds,
           g.rings[0].returned);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    fe_close(&g.fe);
    unlink(path);
    unlink(rings);
    rmdir(dir);
    free(path);
    free(rings);
    return 0;
}
