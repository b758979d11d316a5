/* The device that the tests of test-vhost are about, and what a guest sends
 * and gets by it: see test-vhost.h. */
#include <config.h>
#include "tests/vhost/test-vhost.h"

#include <dirent.h>
#include <endian.h>
#include <fcntl.h>
#include <linux/virtio_net.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "openvswitch/thread.h"
#include "ovs-thread.h"
#include "util.h"

char *dir;
char *path;
char *log_path;
struct vhost_pool *pool;
struct vhost_device *device;

/* What was received last. */
static struct ovs_mutex mutex = OVS_MUTEX_INITIALIZER;
static unsigned int n_frames;
static uint8_t frame[VHOST_MAX_FRAME];
static uint32_t frame_len;
static struct virtio_net_hdr frame_vnet;

static unsigned int
receive(struct vhost_queue *queue, struct vhost_thread *thread OVS_UNUSED,
        unsigned int budget OVS_UNUSED, void *aux OVS_UNUSED)
{
    static __thread struct vhost_packet packets[VHOST_BATCH];
    struct vhost_notifier notifier = { .n = 0 };
    unsigned int n = vhost_receive(queue, packets, VHOST_BATCH);

    ovs_mutex_lock(&mutex);
    for (unsigned int i = 0; i < n; i++) {
        FE_CHECK(packets[i].len >= 14 && packets[i].len <= VHOST_MAX_FRAME);
        frame_len = packets[i].len;
        frame_vnet = packets[i].vnet;
        vhost_packet_copy(&packets[i], 0, frame, frame_len);
        n_frames++;
    }
    ovs_mutex_unlock(&mutex);
    vhost_receive_done(queue, &notifier);
    vhost_notify(&notifier);
    return n;
}

unsigned int n_rarps;

static void
rarp(struct vhost_device *dev OVS_UNUSED, const uint8_t mac[6],
     void *aux OVS_UNUSED)
{
    FE_CHECK(!memcmp(mac, "\x02\x01\x02\x03\x04\x05", 6));
    __atomic_add_fetch(&n_rarps, 1, __ATOMIC_SEQ_CST);
}

static const struct vhost_device_ops ops = {
    .receive = receive, .rarp = rarp,
};

struct vhost_device_config
device_config(void)
{
    return (struct vhost_device_config) {
        .name = "port", .path = path, .uid = -1, .gid = -1, .mode = -1,
        .max_queue_pairs = 2, .pool = pool, .ops = &ops,
    };
}

void
create_device(void)
{
    struct vhost_device_config config = device_config();
    char *error;

    if (vhost_device_create(&config, &device, &error)) {
        ovs_fatal(0, "%s", error);
    }
    n_frames = 0;
}

struct vhost_device_status
status(void)
{
    struct vhost_device_status s;

    vhost_device_get_status(device, &s);
    return s;
}

struct vhost_queue_stats
queue_stats(unsigned int index)
{
    size_t n;
    struct vhost_queue_stats *all = vhost_device_queue_stats(device, &n);
    struct vhost_queue_stats s = { .index = index };

    for (size_t i = 0; i < n; i++) {
        if (all[i].index == index) {
            s = all[i];
        }
    }
    free(all);
    return s;
}

unsigned int
count_fds(void)
{
    DIR *d = opendir("/proc/self/fd");
    unsigned int n = 0;

    while (readdir(d)) {
        n++;
    }
    closedir(d);
    return n;
}

/* --- The log --- */

static off_t log_read;          /* Forgotten up to here. */

void
forget_log(void)
{
    struct stat s;

    FE_CHECK(!stat(log_path, &s));
    log_read = s.st_size;
}

bool
was_logged(const char *text)
{
    static char log[65536];
    int fd = open(log_path, O_RDONLY | O_CLOEXEC);
    ssize_t n = pread(fd, log, sizeof log - 1, log_read);

    FE_CHECK(n >= 0);
    close(fd);
    log[n] = '\0';
    return strstr(log, text) != NULL;
}

/* --- What the guest sends --- */

unsigned int
frames(void)
{
    ovs_mutex_lock(&mutex);
    unsigned int n = n_frames;
    ovs_mutex_unlock(&mutex);
    return n;
}

void
fill_frame(struct front_end *fe, uint64_t addr, uint8_t seed, size_t len)
{
    uint8_t *p = fe_at(fe, addr);

    memset(p, 0, HDR);
    for (size_t i = 0; i < len; i++) {
        p[HDR + i] = seed + i;
    }
}

void
expect_frame(unsigned int before, uint8_t seed, size_t len)
{
    FE_AWAIT(frames() == before + 1);
    ovs_mutex_lock(&mutex);
    FE_CHECK(frame_len == len);
    for (size_t i = 0; i < len; i++) {
        FE_CHECK(frame[i] == (uint8_t) (seed + i));
    }
    ovs_mutex_unlock(&mutex);
}

void
expect_works(struct front_end *fe)
{
    struct fe_ring *r = &fe->rings[1];
    unsigned int before = frames();

    fill_frame(fe, fe_buffer(9), 77, 100);
    fe_desc(r, 0, fe_buffer(9), HDR + 100, 0, 0);
    fe_offer(r, 0);
    expect_frame(before, 77, 100);
}

void
expect_connects(uint64_t features)
{
    struct front_end fe;

    fe_start(&fe, path, features, 2);
    FE_AWAIT(status().running);
    FE_CHECK(!status().error[0]);
    expect_works(&fe);
    fe_close(&fe);
    FE_AWAIT(!status().connected);
}

/* --- What it gets --- */

static void
make_packet(struct vhost_packet *p, uint8_t *bytes, uint8_t seed,
            uint32_t len)
{
    for (uint32_t i = 0; i < len; i++) {
        bytes[i] = seed + i;
    }
    memset(p, 0, sizeof *p);
    p->head = bytes;
    p->head_len = p->len = len;
}

unsigned int
transmit(uint8_t seed, uint32_t len, enum vhost_transmit_mode mode)
{
    static uint8_t bytes[65536];
    struct vhost_packet packet, *packets[1] = { &packet };
    struct vhost_notifier notifier = { .n = 0 };
    unsigned int n = 0;

    make_packet(&packet, bytes, seed, len);
    vhost_online();
    struct vhost_queue *q = vhost_device_receive_queue(device, 0);
    if (q) {
        n = vhost_transmit(q, packets, 1, mode, &notifier);
    }
    vhost_notify(&notifier);
    vhost_offline();
    return n;
}

void
check_frame(const uint8_t *buffer, uint16_t n_buffers, uint8_t seed,
            uint32_t ofs, uint32_t n)
{
    if (!ofs) {
        const struct virtio_net_hdr_mrg_rxbuf *hdr = (const void *) buffer;

        FE_CHECK(le16toh(hdr->num_buffers) == n_buffers);
        FE_CHECK(!hdr->hdr.flags && !hdr->hdr.gso_type);
        buffer += HDR;
        n -= HDR;
    }
    for (uint32_t i = 0; i < n; i++) {
        FE_CHECK(buffer[i] == (uint8_t) (seed + ofs + i));
    }
}

/* --- Much traffic --- */

void
publish(struct fe_ring *r, uint16_t id)
{
    r->avail->ring[r->next++ % FE_RING] = htole16(id);
    __atomic_store_n(&r->avail->idx, htole16(r->next), __ATOMIC_SEQ_CST);
    if (!__atomic_load_n(&r->used->flags, __ATOMIC_SEQ_CST)) {
        fe_kick(r);
    }
}

static void *
load_main(void *load_)
{
    struct load *load = load_;
    struct fe_ring *r = &load->fe->rings[1];

    while (!__atomic_load_n(&load->stop, __ATOMIC_RELAXED)) {
        if ((uint16_t) (r->next - fe_used_idx(r)) < FE_RING) {
            uint16_t id = load->n % FE_RING;

            fe_desc(r, id, fe_buffer(1), HDR + 100, 0, 0);
            publish(r, id);
            __atomic_store_n(&load->n, load->n + 1, __ATOMIC_RELAXED);
        }
    }
    return NULL;
}

void
load_start(struct load *load, struct front_end *fe)
{
    *load = (struct load) { .fe = fe };
    fill_frame(fe, fe_buffer(1), 1, 100);
    load->thread = ovs_thread_create("load", load_main, load);
}

void
load_stop(struct load *load)
{
    __atomic_store_n(&load->stop, true, __ATOMIC_RELAXED);
    xpthread_join(load->thread, NULL);
}
