/* The smallest user of vhost/: connects two vhost-user devices with each
 * other.
 *
 * Whatever one guest sends the other receives, copied once.  It looks nothing
 * up, so it shows what the vhost service itself costs, and serves tests that
 * need two connected guests and no switch.
 *
 * It ends on SIGTERM or SIGINT, prints statistics then, and at SIGUSR1. */
#include <config.h>
#include "vhost/vhost.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <linux/virtio_net.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "hash.h"
#include "openvswitch/vlog.h"
#include "util.h"

#define BIT(N) (1ULL << (N))

struct end {
    struct vhost_device *device;
    struct end *peer;
};

/* A flow's hash, the same in both directions: of addresses and ports of IPv4
 * packets, else of the Ethernet addresses. */
static uint32_t
flow_hash(const struct vhost_packet *p)
{
    const uint8_t *h = p->head;
    uint32_t a, b;
    uint16_t ports[2] = { 0, 0 };

    if (p->head_len >= 38 && h[12] == 8 && !h[13]) {
        memcpy(&a, h + 26, sizeof a);
        memcpy(&b, h + 30, sizeof b);
        if (h[14] == 0x45 && (h[23] == 6 || h[23] == 17)) {
            memcpy(ports, h + 34, sizeof ports);
        }
    } else {
        memcpy(&a, h + 2, sizeof a);
        memcpy(&b, h + 8, sizeof b);
    }
    return hash_finish(hash_add(hash_add(0, a ^ b), ports[0] ^ ports[1]), 12);
}

/* True if the guest that is to get 'p' can take the offloads it asks for. */
static bool
acceptable(const struct vhost_packet *p, uint64_t offloads)
{
    uint8_t type = p->vnet.gso_type & ~VIRTIO_NET_HDR_GSO_ECN;

    return ((!(p->vnet.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM)
             || offloads & BIT(VIRTIO_NET_F_GUEST_CSUM))
            && (type == VIRTIO_NET_HDR_GSO_NONE
                || (type == VIRTIO_NET_HDR_GSO_TCPV4
                    && offloads & BIT(VIRTIO_NET_F_GUEST_TSO4))
                || (type == VIRTIO_NET_HDR_GSO_TCPV6
                    && offloads & BIT(VIRTIO_NET_F_GUEST_TSO6))
                || (type == VIRTIO_NET_HDR_GSO_UDP
                    && offloads & BIT(VIRTIO_NET_F_GUEST_UFO))));
}

static void
forward(struct vhost_queue *from, struct vhost_device *to,
        struct vhost_packet packets[], unsigned int n,
        struct vhost_notifier *notifier)
{
    struct vhost_packet *run[VHOST_BATCH];
    struct vhost_queue *queue = NULL;
    bool multiqueue = vhost_device_multiqueue(to);
    uint64_t offloads = vhost_device_guest_offloads(to);
    unsigned int n_run = 0;

    for (unsigned int i = 0; i < n; i++) {
        struct vhost_packet *p = &packets[i];
        uint32_t hash = 0;

        if (multiqueue) {
            hash = flow_hash(p);
            vhost_queue_note_flow(from, hash);
        }
        if (OVS_UNLIKELY((p->vnet.flags || p->vnet.gso_type)
                         && !acceptable(p, offloads))) {
            continue;
        }
        if (multiqueue || !queue) {
            struct vhost_queue *next = vhost_device_receive_queue(to, hash);

            if (next != queue && n_run) {
                vhost_transmit(queue, run, n_run, VHOST_FINISH, notifier);
                n_run = 0;
            }
            queue = next;
        }
        if (queue) {
            run[n_run++] = p;
        }
    }
    if (n_run) {
        vhost_transmit(queue, run, n_run, VHOST_FINISH, notifier);
    }
}

static unsigned int
receive(struct vhost_queue *queue, struct vhost_thread *thread OVS_UNUSED,
        unsigned int budget, void *end_)
{
    static __thread struct vhost_packet packets[VHOST_BATCH];
    struct vhost_notifier notifier = { .n = 0 };
    struct end *end = end_;
    unsigned int done = 0, n;

    while (done < budget
           && (n = vhost_receive(queue, packets, MIN(budget - done,
                                                     VHOST_BATCH)))) {
        struct vhost_device *to = __atomic_load_n(&end->peer->device,
                                                  __ATOMIC_ACQUIRE);
        if (to) {
            forward(queue, to, packets, n, &notifier);
        }
        vhost_receive_done(queue, &notifier);
        done += n;
    }
    vhost_notify(&notifier);
    return done;
}

static const struct vhost_device_ops ops = { .receive = receive };

static void
print_statistics(const struct end ends[2])
{
    for (int i = 0; i < 2; i++) {
        struct vhost_device_status status;
        size_t n;
        struct vhost_queue_stats *stats
            = vhost_device_queue_stats(ends[i].device, &n);

        vhost_device_get_status(ends[i].device, &status);
        printf("device %d connected=%d running=%d features=%#"PRIx64
               " protocol=%#"PRIx64" connects=%"PRIu64"%s%s\n",
               i, status.connected, status.running, status.features,
               status.protocol_features, status.n_connects,
               status.error[0] ? " error=" : "", status.error);
        for (size_t j = 0; j < n; j++) {
            const struct vhost_queue_stats *s = &stats[j];

            printf("device %d queue %u size=%u packed=%d enabled=%d broken=%d "
                   "packets=%"PRIu64" bytes=%"PRIu64" kicks=%"PRIu64
                   " calls=%"PRIu64" no_buffers=%"PRIu64" overflowed=%"PRIu64
                   " dropped=%"PRIu64" bad_chains=%"PRIu64"\n",
                   i, s->index, s->size, s->packed, s->enabled, s->broken,
                   s->packets, s->bytes, s->kicks, s->calls, s->no_buffers,
                   s->overflowed, s->dropped, s->bad_chains);
        }
        free(stats);
    }
    fflush(stdout);
}

static void
usage(void)
{
    printf("usage: %s [OPTIONS] SOCKET SOCKET\n"
           "  --connect        connect to both sockets instead of listening\n"
           "  --queues=N       queue pairs offered (default 1)\n"
           "  --threads=N      service threads (default 1)\n"
           "  --cpus=LIST      CPUs of the service threads\n"
           "  --state-dir=DIR  keep ring state there\n"
           "  --mtu=N          offer this MTU\n"
           "  --disable=MASK   virtio features not to offer\n"
           "  -v, --verbose    log debugging messages\n", program_name);
    exit(EXIT_SUCCESS);
}

int
main(int argc, char *argv[])
{
    static const struct option options[] = {
        { "connect", no_argument, NULL, 'c' },
        { "queues", required_argument, NULL, 'q' },
        { "threads", required_argument, NULL, 't' },
        { "cpus", required_argument, NULL, 'C' },
        { "state-dir", required_argument, NULL, 's' },
        { "mtu", required_argument, NULL, 'm' },
        { "disable", required_argument, NULL, 'd' },
        { "verbose", no_argument, NULL, 'v' },
        { "help", no_argument, NULL, 'h' },
        { NULL, 0, NULL, 0 },
    };
    struct vhost_pool_config pool_config = {
        .n_threads = 1, .name = "service",
    };
    struct vhost_device_config config = {
        .uid = -1, .gid = -1, .mode = -1, .max_queue_pairs = 1, .ops = &ops,
    };
    struct end ends[2];
    char *error;
    int c;

    set_program_name(argv[0]);
    vlog_set_levels(NULL, VLF_SYSLOG, VLL_OFF);
    while ((c = getopt_long(argc, argv, "v", options, NULL)) != -1) {
        switch (c) {
        case 'c': config.connect = true; break;
        case 'q': config.max_queue_pairs = atoi(optarg); break;
        case 't': pool_config.n_threads = atoi(optarg); break;
        case 'C': pool_config.cpus = optarg; break;
        case 's': config.state_dir = optarg; break;
        case 'm': config.mtu = atoi(optarg); break;
        case 'd': config.disabled_features = strtoull(optarg, NULL, 0); break;
        case 'v': vlog_set_levels(NULL, VLF_CONSOLE, VLL_DBG); break;
        case 'h': usage(); break;
        default: exit(EXIT_FAILURE);
        }
    }
    if (argc - optind != 2) {
        ovs_fatal(0, "need two sockets; use --help for help");
    }

    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGUSR1);
    pthread_sigmask(SIG_BLOCK, &signals, NULL);

    vhost_init();
    if (vhost_pool_create(&pool_config, &config.pool, &error)) {
        ovs_fatal(0, "%s", error);
    }
    ends[0].device = ends[1].device = NULL;
    for (int i = 0; i < 2; i++) {
        struct vhost_device *device;

        ends[i].peer = &ends[!i];
        config.name = i ? "b" : "a";
        config.path = argv[optind + i];
        config.aux = &ends[i];
        if (vhost_device_create(&config, &device, &error)) {
            ovs_fatal(0, "%s", error);
        }
        __atomic_store_n(&ends[i].device, device, __ATOMIC_RELEASE);
    }
    for (int sig = SIGUSR1; sig == SIGUSR1; ) {
        sigwait(&signals, &sig);
        print_statistics(ends);
    }
    for (int i = 0; i < 2; i++) {
        struct vhost_device *device = ends[i].device;

        __atomic_store_n(&ends[i].device, NULL, __ATOMIC_RELEASE);
        vhost_synchronize();    /* Nobody sends to it any more. */
        vhost_device_destroy(device, true);
    }
    vhost_pool_destroy(config.pool);
    vhost_exit();
    return EXIT_SUCCESS;
}
