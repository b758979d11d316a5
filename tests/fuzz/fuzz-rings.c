/* Fuzzes the rings: what is in a guest's memory, and how its queues are set
 * up, comes from the fuzzer.
 *
 * Guest memory is two blocks of the heap, with a hole between them, so that
 * AddressSanitizer sees each byte that is touched beside them. */
#include <config.h>
#include "vhost/device.h"
#include "vhost/ring.h"
#include "vhost/vhost.h"

#include <stdlib.h>
#include <string.h>

#include "openvswitch/vlog.h"
#include "util.h"

#define REGION 16384

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* How the input begins. */
struct setup {
    uint8_t log_size;           /* Of the rings. */
    uint8_t flags;              /* FLAG_*. */
    uint16_t position[2];       /* Where the queues are. */
    uint8_t n_packets;          /* To transmit... */
    uint8_t len_unit;           /* ...and how long they are. */
};
enum {
    FLAG_PACKED = 1, FLAG_EVENT_IDX = 2, FLAG_INDIRECT = 4,
    FLAG_MERGEABLE = 8, FLAG_LEGACY = 16, FLAG_NOTIFY_ON_EMPTY = 32,
};

int
LLVMFuzzerInitialize(int *argc OVS_UNUSED, char ***argv OVS_UNUSED)
{
    vlog_set_levels(NULL, VLF_ANY_DESTINATION, VLL_OFF);
    vhost_init();
    return 0;
}

static struct vhost_queue *
make_queue(struct vhost_device *dev, uint16_t index, uint8_t *memory,
           const struct setup *setup)
{
    struct vhost_queue *q = vhost_queue_create(dev, index);

    q->packed = setup->flags & FLAG_PACKED;
    q->event_idx = setup->flags & FLAG_EVENT_IDX;
    q->indirect = setup->flags & FLAG_INDIRECT;
    q->mergeable = setup->flags & FLAG_MERGEABLE;
    q->notify_on_empty = setup->flags & FLAG_NOTIFY_ON_EMPTY;
    q->hdr_len = setup->flags & FLAG_LEGACY && !q->mergeable ? 10 : 12;
    q->size = 1 << setup->log_size % 8;
    q->map = dev->map;
    /* Both rings in the first region, which the fuzzer fills. */
    q->desc = (void *) (memory + index * 4096);
    q->avail = (void *) (memory + index * 4096 + 2048);
    q->used = (void *) (memory + index * 4096 + 2048 + 512);
    q->next_avail = q->next_used = setup->position[index];
    if (q->packed) {
        q->next_avail = ((q->next_avail & 0x7fff) % q->size)
                        | (q->next_avail & 0x8000);
        q->next_used = q->next_avail;
    }
    q->ready = q->enabled = true;
    return q;
}

static void
receive_all(struct vhost_queue *q)
{
    static struct vhost_packet packets[VHOST_BATCH];
    static uint8_t frame[VHOST_MAX_FRAME];
    struct vhost_notifier notifier = { .n = 0 };

    for (int i = 0; i < 8; i++) {
        unsigned int n = vhost_receive(q, packets, VHOST_BATCH);

        for (unsigned int j = 0; j < n; j++) {
            ovs_assert(packets[j].len >= 14
                       && packets[j].len <= VHOST_MAX_FRAME);
            vhost_packet_copy(&packets[j], 0, frame, packets[j].len);
            vhost_packet_pull(&packets[j], MIN(packets[j].len, 200));
        }
        vhost_receive_done(q, &notifier);
    }
    vhost_notify(&notifier);
}

static void
transmit_some(struct vhost_queue *q, const struct setup *setup)
{
    static uint8_t frame[65536];
    static struct vhost_packet packets[VHOST_BATCH];
    struct vhost_packet *pointers[VHOST_BATCH];
    struct vhost_notifier notifier = { .n = 0 };
    unsigned int n = setup->n_packets % (VHOST_BATCH + 1);

    for (unsigned int i = 0; i < n; i++) {
        struct vhost_seg *seg = NULL;
        static struct vhost_seg segs[VHOST_BATCH];
        uint32_t len = 14 + setup->len_unit * i * 5;

        packets[i].head = frame;
        packets[i].head_len = MIN(len, 64);
        packets[i].len = len;
        packets[i].n_segs = len > 64;
        if (len > 64) {
            seg = &segs[i];
            *seg = (struct vhost_seg) { frame + 64, len - 64 };
        }
        packets[i].segs = seg;
        pointers[i] = &packets[i];
    }
    vhost_transmit(q, pointers, n, VHOST_TRY, &notifier);
    vhost_transmit(q, pointers, n, VHOST_FINISH, &notifier);
    vhost_transmit_overflow(q);
    vhost_notify(&notifier);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct vhost_device dev = { .name = CONST_CAST(char *, "fuzz") };
    struct vhost_map *map = vhost_map_create(2);
    uint8_t *regions[2];
    struct setup setup;

    if (size < sizeof setup) {
        free(map);
        return 0;
    }
    memcpy(&setup, data, sizeof setup);
    data += sizeof setup;
    size -= sizeof setup;
    for (int i = 0; i < 2; i++) {
        size_t n = MIN(size, REGION);

        regions[i] = xmalloc_pagealign(REGION);
        memset(regions[i], 0, REGION);
        memcpy(regions[i], data, n);
        data += n;
        size -= n;
        map->ranges[i] = (struct vhost_range) {
            .start = i * (REGION + 4096), .size = REGION, .host = regions[i],
            .access = VHOST_ACCESS_RW,
        };
    }
    dev.map = map;

    struct vhost_queue *rx = make_queue(&dev, 0, regions[0], &setup);
    struct vhost_queue *tx = make_queue(&dev, 1, regions[0], &setup);
    receive_all(tx);
    transmit_some(rx, &setup);
    receive_all(tx);
    vhost_queue_destroy(rx);
    vhost_queue_destroy(tx);
    free_pagealign(regions[0]);
    free_pagealign(regions[1]);
    free(map);
    return 0;
}
