/* What the files of test-vhost share: the device under test, and the tests. */
#ifndef TEST_VHOST_H
#define TEST_VHOST_H 1

#include "vhost/vhost.h"

#include <linux/virtio_config.h>
#include <pthread.h>
#include "tests/vhost/front-end.h"

#define BIT(N) (1ULL << (N))
#define SPLIT (BIT(VIRTIO_F_VERSION_1) | BIT(VIRTIO_RING_F_INDIRECT_DESC))
#define PACKED (SPLIT | BIT(VIRTIO_F_RING_PACKED))
#define HDR 12                  /* Of virtio-net, with VERSION_1. */
#define NEXT VRING_DESC_F_NEXT
#define WRITE VRING_DESC_F_WRITE
#define INDIRECT VRING_DESC_F_INDIRECT

/* --- The device and what its guest sends (fixture.c) --- */

extern char *dir;               /* For sockets. */
extern char *path;              /* The device's. */
extern char *log_path;          /* The log's. */
extern struct vhost_pool *pool;
extern struct vhost_device *device;
extern unsigned int n_rarps;    /* RARPs that the front-end asked for. */

/* What create_device() makes 'device' of: two queue pairs, whose frames are
 * only looked at. */
struct vhost_device_config device_config(void);
void create_device(void);
struct vhost_device_status status(void);
/* Statistics of virtqueue 'index', zeros if there is none. */
struct vhost_queue_stats queue_stats(unsigned int index);
unsigned int count_fds(void);

/* Forgets what has been logged so far. */
void forget_log(void);
/* True if 'text' has been logged since. */
bool was_logged(const char *text);

/* Frames received so far. */
unsigned int frames(void);
void fill_frame(struct front_end *, uint64_t addr, uint8_t seed, size_t len);
/* Expects the next frame to have 'len' bytes from 'seed' on. */
void expect_frame(unsigned int before, uint8_t seed, size_t len);
/* Sends a frame that is in order, to see that the queue works. */
void expect_works(struct front_end *);
/* Connects a guest with 'features', sees that its queue works, and lets it
 * go. */
void expect_connects(uint64_t features);

/* Transmits one packet of 'len' bytes.  Returns what vhost_transmit() did. */
unsigned int transmit(uint8_t seed, uint32_t len, enum vhost_transmit_mode);
/* Expects 'buffer' to have the 'n' bytes at 'ofs' of such a packet, with its
 * header, which says 'n_buffers', if 'ofs' is 0. */
void check_frame(const uint8_t *buffer, uint16_t n_buffers, uint8_t seed,
                 uint32_t ofs, uint32_t n);

/* Makes descriptor 'id' of a split ring available, and kicks if that is
 * wanted. */
void publish(struct fe_ring *, uint16_t id);

/* A guest that sends as fast as it can, until load_stop(). */
struct load {
    struct front_end *fe;
    pthread_t thread;
    bool stop;
    unsigned int n;             /* Frames sent. */
};

void load_start(struct load *, struct front_end *);
void load_stop(struct load *);

/* --- The tests --- */

void test_sockets(void);
void test_connect_mode(void);
void test_messages(void);
void test_bad_messages(void);
void test_config_space(void);
void test_inband(void);
void test_good_chains_split(void);
void test_good_chains_packed(void);
void test_bad_chains_split(void);
void test_bad_chains_packed(void);
void test_broken_rings(void);
void test_changing_rings(void);
void test_bad_buffers(void);
void test_receive_split(void);
void test_receive_packed(void);
void test_mergeable(void);
void test_stop_and_go(void);
void test_spread(void);
void test_order(void);
void test_hang_up(void);
void test_stale_state(void);
void test_full_call(void);
void test_memory_changes(void);
void test_truncated_memory(void);
void test_dirty_log(void);
void test_iotlb(void);
void test_idle(void);
void test_no_leaks(void);
void bench_neighbours(void);

#endif /* test-vhost.h */
