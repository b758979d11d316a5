/* Several queues: where flows go, and in which order. */
#include <config.h>
#include "tests/vhost/test-vhost.h"

#include <endian.h>
#include <linux/virtio_net.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "util.h"

/* Which of 'queues' a flow goes to; they are found as they are used. */
static int
queue_of(uint32_t hash, struct vhost_queue *queues[4])
{
    struct vhost_queue *q = vhost_device_receive_queue(device, hash);

    for (int i = 0; i < 4; i++) {
        if (!queues[i]) {
            queues[i] = q;
        }
        if (queues[i] == q) {
            return i;
        }
    }
    FE_CHECK(!"a fifth queue");
    return -1;
}

/* 64 flows on four queues: each queue gets its share, each flow stays where it
 * is, until the guest sends it elsewhere. */
void
test_spread(void)
{
    struct vhost_device_config config = device_config();
    struct vhost_queue *queues[4] = { NULL };
    unsigned int counts[4] = { 0 };
    uint32_t hashes[64];
    int where[64];
    struct front_end fe;
    char *error;

    config.max_queue_pairs = 4;
    FE_CHECK(!vhost_device_create(&config, &device, &error));
    fe_start(&fe, path, SPLIT | BIT(VIRTIO_NET_F_MQ), 8);
    FE_AWAIT(status().n_enabled == 8);

    srandom(1);
    vhost_online();
    for (int i = 0; i < 64; i++) {
        hashes[i] = (uint32_t) random() << 12 | i * 64;
        where[i] = queue_of(hashes[i], queues);
        counts[where[i]]++;
    }
    for (int i = 0; i < 4; i++) {
        FE_CHECK(counts[i] >= 13 && counts[i] <= 19);
    }
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 64; i++) {
            FE_CHECK(queue_of(hashes[i], queues) == where[i]);
        }
    }
    for (int i = 0; i < 64; i++) {
        int other = (where[i] + 1) % 4;

        vhost_queue_note_flow(queues[other], hashes[i]);
        vhost_queue_note_flow(queues[other], hashes[i]);
        FE_CHECK(queue_of(hashes[i], queues) == other);
        /* Once is not enough to move it again. */
        vhost_queue_note_flow(queues[where[i]], hashes[i]);
        FE_CHECK(queue_of(hashes[i], queues) == other);
    }
    vhost_offline();
    fe_close(&fe);
    vhost_device_destroy(device, false);
}

/* Gives back what the guest sends, by flows. */
static unsigned int
echo(struct vhost_queue *queue, struct vhost_thread *thread OVS_UNUSED,
     unsigned int budget, void *aux OVS_UNUSED)
{
    static __thread struct vhost_packet packets[VHOST_BATCH];
    struct vhost_notifier notifier = { .n = 0 };
    unsigned int n = vhost_receive(queue, packets, MIN(budget, VHOST_BATCH));

    for (unsigned int i = 0; i < n; i++) {
        struct vhost_packet *p = &packets[i];
        uint32_t flow;

        memcpy(&flow, p->head, sizeof flow);
        uint32_t hash = flow * 0x9e3779b1;
        vhost_queue_note_flow(queue, hash);
        struct vhost_queue *to = vhost_device_receive_queue(device, hash);
        if (to) {
            vhost_transmit(to, &p, 1, VHOST_FINISH, &notifier);
        }
    }
    vhost_receive_done(queue, &notifier);
    vhost_notify(&notifier);
    return n;
}

/* A guest with four queue pairs, that sends 64 flows and gets them back. */
enum { N_FLOWS = 64, N_PAIRS = 4 };
struct flows {
    struct front_end fe;
    uint32_t sent[N_FLOWS], seen[N_FLOWS];      /* Last sequence numbers. */
    uint16_t used[2 * N_PAIRS];
    unsigned int received[N_PAIRS];
};

static uint64_t
flow_buffer(unsigned int ring, unsigned int id)
{
    return fe_buffer(1) + (ring * FE_RING + id) * 256;
}

static void
send_flows(struct flows *f, unsigned int pair)
{
    unsigned int index = 2 * pair + 1;
    struct fe_ring *r = &f->fe.rings[index];

    while ((uint16_t) (r->next - fe_used_idx(r)) < FE_RING) {
        unsigned int id = r->next % FE_RING;
        uint32_t flow = pair + r->next % (N_FLOWS / N_PAIRS) * N_PAIRS;
        uint32_t words[] = { flow, ++f->sent[flow] };

        memcpy(fe_at(&f->fe, flow_buffer(index, id)) + HDR, words,
               sizeof words);
        fe_desc(r, id, flow_buffer(index, id), HDR + 60, 0, 0);
        publish(r, id);
    }
}

static void
receive_flows(struct flows *f, unsigned int pair)
{
    struct fe_ring *r = &f->fe.rings[2 * pair];
    uint16_t *used = &f->used[2 * pair];

    while (*used != fe_used_idx(r)) {
        uint32_t id = le32toh(r->used->ring[(*used)++ % FE_RING].id);
        uint32_t words[2];

        memcpy(words, fe_at(&f->fe, flow_buffer(2 * pair, id)) + HDR,
               sizeof words);
        FE_CHECK(words[0] < N_FLOWS && words[0] % N_PAIRS == pair);
        FE_CHECK(words[1] > f->seen[words[0]]);
        f->seen[words[0]] = words[1];
        f->received[pair]++;
        publish(r, id);
    }
}

/* Flows come back on the pair that they were sent on, in order, while threads
 * come and go and queues move between them. */
void
test_order(void)
{
    static const struct vhost_device_ops echo_ops = { .receive = echo };
    struct vhost_device_config config = device_config();
    struct flows f = { .sent = { 0 } };
    unsigned int total = 0;
    char *error;

    config.max_queue_pairs = N_PAIRS;
    config.ops = &echo_ops;
    FE_CHECK(!vhost_device_create(&config, &device, &error));
    fe_start(&f.fe, path, SPLIT | BIT(VIRTIO_NET_F_MQ), 2 * N_PAIRS);
    FE_AWAIT(status().n_enabled == 2 * N_PAIRS);
    for (unsigned int i = 0; i < N_PAIRS; i++) {
        for (unsigned int id = 0; id < FE_RING; id++) {
            fe_desc(&f.fe.rings[2 * i], id, flow_buffer(2 * i, id), 256,
                    WRITE, 0);
            publish(&f.fe.rings[2 * i], id);
        }
    }
    for (int round = 0; round < 400; round++) {
        FE_CHECK(!vhost_pool_set_threads(pool, 1 + round % 3, NULL, &error));
        for (int i = 0; i < 100; i++) {
            for (unsigned int pair = 0; pair < N_PAIRS; pair++) {
                send_flows(&f, pair);
                receive_flows(&f, pair);
            }
        }
    }
    for (unsigned int i = 0; i < N_PAIRS; i++) {
        total += f.received[i];
    }
    FE_CHECK(total > 1000);
    FE_CHECK(!vhost_pool_set_threads(pool, 1, NULL, &error));
    fe_close(&f.fe);
    vhost_device_destroy(device, false);
}
