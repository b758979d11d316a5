/* Packets as views: growing the private snapshot of their headers, and copying
 * out of them.  See struct vhost_packet in vhost.h. */
#include <config.h>
#include "vhost/vhost.h"

#include <string.h>

bool
vhost_packet_pull(struct vhost_packet *packet, size_t n)
{
    if (n <= packet->head_len) {
        return true;
    }
    uint8_t *end = packet->buf + sizeof packet->buf;
    if (n > packet->len || n > (size_t) (end - packet->head)) {
        return false;
    }
    while (packet->head_len < n) {
        struct vhost_seg *seg = packet->segs;
        size_t want = n - packet->head_len;
        size_t chunk = want < seg->len ? want : seg->len;

        memcpy(packet->head + packet->head_len, seg->data, chunk);
        packet->head_len += chunk;
        seg->data += chunk;
        seg->len -= chunk;
        if (!seg->len) {
            packet->segs++;
            packet->n_segs--;
        }
    }
    return true;
}

void
vhost_packet_copy(const struct vhost_packet *packet, size_t ofs, void *dst_,
                  size_t n)
{
    uint8_t *dst = dst_;

    if (ofs < packet->head_len) {
        size_t left = packet->head_len - ofs;
        size_t chunk = n < left ? n : left;

        memcpy(dst, packet->head + ofs, chunk);
        dst += chunk;
        n -= chunk;
        ofs = 0;
    } else {
        ofs -= packet->head_len;
    }
    for (const struct vhost_seg *seg = packet->segs; n; seg++) {
        if (ofs >= seg->len) {
            ofs -= seg->len;
            continue;
        }
        size_t left = seg->len - ofs;
        size_t chunk = n < left ? n : left;

        memcpy(dst, seg->data + ofs, chunk);
        dst += chunk;
        n -= chunk;
        ofs = 0;
    }
}
