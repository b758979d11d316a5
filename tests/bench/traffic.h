/* The frames that vhost-gen sends: Ethernet, IPv4, UDP, and in the payload a
 * sequence number by which the receiver sees loss and reordering. */
#ifndef BENCH_TRAFFIC_H
#define BENCH_TRAFFIC_H 1

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define TRAFFIC_MAX_FRAME 1518
#define TRAFFIC_SEQ_OFS 48              /* Of the sequence number. */
#define TRAFFIC_PAYLOAD_OFS 56          /* Of what follows it. */

struct traffic {
    unsigned int size;          /* Bytes of a frame without its checksum, at
                                 * least 60; 0 for a mix of 64, 570 and 1518
                                 * bytes in proportion 7:4:1. */
    unsigned int flows;         /* Number of different destinations; 0 for
                                 * one that is new in each frame. */
    uint32_t first_flow;        /* Of the new ones. */
    bool whole;                 /* Write and read all of the payload, as real
                                 * senders and receivers do, not just the
                                 * sequence number. */
};

/* Length of frame number 'seq'. */
static inline unsigned int
traffic_length(const struct traffic *traffic, uint64_t seq)
{
    static const uint16_t mix[12] = {
        64, 570, 64, 64, 570, 64, 1518, 64, 570, 64, 64, 570
    };

    return traffic->size ? traffic->size : mix[seq % 12];
}

static inline void
traffic_put_u16(uint8_t *p, uint16_t value)
{
    p[0] = value >> 8;
    p[1] = value;
}

static inline uint16_t
traffic_ip_checksum(const uint8_t *ip)
{
    uint32_t sum = 0;

    for (int i = 0; i < 20; i += 2) {
        sum += ip[i] << 8 | ip[i + 1];
    }
    sum = (sum >> 16) + (sum & 0xffff);
    return ~(sum + (sum >> 16));
}

/* Makes 'frame', of TRAFFIC_MAX_FRAME bytes, one of flow 'flow' from side
 * 'side' (0 or 1) to the other.  MAC and IP addresses are the flow's. */
static inline void
traffic_make_frame(const struct traffic *traffic, uint8_t *frame, int side,
                   unsigned int flow)
{
    unsigned int size = traffic->size ? traffic->size : 64;
    uint8_t here = 10 + side;
    uint8_t there = 11 - side;
    uint8_t high = flow >> 8;
    uint8_t low = flow;
    const uint8_t ethernet[14] = { 2, 0, 0, high, low, there,
                                   2, 0, 0, high, low, here, 8, 0 };
    uint8_t *ip = frame + 14;
    const uint8_t addresses[8] = { 10, high, low, here, 10, high, low, there };
    uint8_t *udp = ip + 20;

    memset(frame, 0, TRAFFIC_MAX_FRAME);
    memcpy(frame, ethernet, sizeof ethernet);
    ip[0] = 0x45;
    traffic_put_u16(ip + 2, size - 14);
    ip[8] = 64;                 /* Time to live. */
    ip[9] = 17;                 /* UDP. */
    memcpy(ip + 12, addresses, sizeof addresses);
    traffic_put_u16(ip + 10, traffic_ip_checksum(ip));
    traffic_put_u16(udp, 1024 + low);
    traffic_put_u16(udp + 2, 2048);
    traffic_put_u16(udp + 4, size - 34);
}

/* Makes the destination of 'frame' one that no frame before 'seq' had, up to
 * 2^24 of them. */
static inline void
traffic_set_new_flow(const struct traffic *traffic, uint8_t *frame,
                     uint64_t seq)
{
    uint32_t flow = traffic->first_flow + seq;
    uint8_t *ip = frame + 14;

    ip[17] = flow >> 16;
    ip[18] = flow >> 8;
    ip[19] = flow;
    ip[10] = ip[11] = 0;
    traffic_put_u16(ip + 10, traffic_ip_checksum(ip));
}

/* With more flows than descriptors each frame gets its flow when it is sent,
 * scattered over all: 10.0.0.0, plus 256 times the flow's number, is the
 * destination's network.  The checksum follows incrementally (RFC 1624). */
static inline void
traffic_set_flow(const struct traffic *traffic, uint8_t *frame, uint64_t seq)
{
    unsigned int flow = (uint32_t) (seq * 2654435761u) % traffic->flows;
    uint8_t *ip = frame + 14;
    uint16_t high = (10 << 8) + (flow >> 8), low = flow << 8;
    uint32_t sum;

    /* The number straddles two 16-bit words of the sum. */
    sum = (uint16_t) ~(ip[10] << 8 | ip[11]);
    sum += (uint16_t) ~(ip[16] << 8 | ip[17]) + (uint16_t) ~(ip[18] << 8);
    sum += high + low;
    traffic_put_u16(ip + 16, high);
    ip[18] = flow;
    sum = (sum >> 16) + (sum & 0xffff);
    sum = (sum >> 16) + (sum & 0xffff);
    traffic_put_u16(ip + 10, ~sum);
}

#endif /* traffic.h */
