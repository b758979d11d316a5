/* Random frames: see random-frame.h. */
#include <config.h>
#include "tests/datapath/random-frame.h"

#include <netinet/in.h>
#include <string.h>

#include "flow.h"
#include "packets.h"
#include "random.h"
#include "util.h"

static uint8_t
small(void)
{
    return random_range(3);
}

/* Writes 'n' bytes of which few are different from one another. */
static size_t
put_noise(uint8_t *p, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        p[i] = random_range(4) ? small() : random_range(256);
    }
    return n;
}

static size_t
put_l4(uint8_t *p, uint8_t proto)
{
    size_t n = put_noise(p, 20 + random_range(60));

    if (proto == IPPROTO_TCP) {
        p[12] = (random_range(8) ? 5 : random_range(16)) << 4 | small();
    } else if (proto == IPPROTO_ICMPV6) {
        p[0] = 133 + random_range(5);
        p[1] = random_range(4) ? 0 : small();
    }
    return n;
}

static uint8_t
random_proto(void)
{
    static const uint8_t protos[] = {
        IPPROTO_TCP, IPPROTO_UDP, IPPROTO_SCTP, IPPROTO_ICMP, IPPROTO_IGMP,
        IPPROTO_ICMPV6, IPPROTO_GRE, 0, 43, 44, 51, 60
    };

    return protos[random_range(ARRAY_SIZE(protos))];
}

static size_t
put_ipv4(uint8_t *p)
{
    size_t ihl = 5 + (random_range(4) ? 0 : random_range(4));

    put_noise(p, ihl * 4);
    p[0] = 4 << 4 | (random_range(20) ? ihl : (size_t) random_range(16));
    p[9] = random_proto();
    if (random_range(4)) {
        p[6] = p[7] = 0;
    }
    size_t len = ihl * 4 + put_l4(p + ihl * 4, p[9]);
    size_t tot_len = random_range(10) ? len : (size_t) random_range(2 * len);
    p[2] = tot_len >> 8;
    p[3] = tot_len;
    return len;
}

static size_t
put_ipv6(uint8_t *p)
{
    put_noise(p, 40);
    p[0] = 6 << 4 | small();
    p[6] = random_proto();

    size_t len = 40;
    uint8_t proto = p[6];
    for (int i = 0; i < 4 && (proto == 0 || proto == 43 || proto == 44
                              || proto == 51 || proto == 60); i++) {
        size_t ext_len = proto == 44 ? 8 : 8 * (1 + small());

        put_noise(p + len, ext_len);
        p[len] = random_proto();
        if (proto == 51) {
            p[len + 1] = ext_len / 4 - 2;
        } else if (proto != 44) {
            p[len + 1] = ext_len / 8 - 1;
        } else if (random_range(2)) {
            p[len + 2] = p[len + 3] = 0;
        }
        proto = p[len];
        len += ext_len;
    }
    len += put_l4(p + len, proto);
    size_t plen = random_range(10) ? len - 40
                  : (size_t) random_range(2 * len);
    p[4] = plen >> 8;
    p[5] = plen;
    return len;
}

static size_t
put_arp(uint8_t *p)
{
    static const uint8_t header[] = { 0, 1, 8, 0, 6, 4, 0, 1 };

    put_noise(p, 28);
    memcpy(p, header, sizeof header);
    p[7] = small();
    if (!random_range(8)) {
        p[random_range(8)] ^= 1;
    }
    return 28;
}

size_t
random_frame(uint8_t *frame)
{
    static const uint16_t types[] = {
        0x0800, 0x0800, 0x86dd, 0x86dd, 0x0806, 0x8035, 0x8847, 0x05dc,
        0x0026, 0x9000
    };
    size_t len = put_noise(frame, 12);

    for (int n = random_range(2) ? 0 : random_range(4); n > 0; n--) {
        uint16_t tpid = random_range(2) ? 0x8100 : 0x88a8;

        frame[len] = tpid >> 8;
        frame[len + 1] = tpid;
        put_noise(frame + len + 2, 2);
        len += 4;
    }
    uint16_t type = types[random_range(ARRAY_SIZE(types))];
    frame[len++] = type >> 8;
    frame[len++] = type;
    if (type < 0x600 && random_range(4)) {
        static const uint8_t snap[] = { 0xaa, 0xaa, 3, 0, 0, 0, 8, 0 };

        memcpy(frame + len, snap, sizeof snap);
        if (!random_range(4)) {
            frame[len + random_range(8)] ^= 1 << random_range(8);
        }
        type = random_range(2) ? 0x0800 : 0x86dd;
        frame[len + 6] = type >> 8;
        frame[len + 7] = type;
        len += sizeof snap;
    }
    len += type == 0x0800 ? put_ipv4(frame + len)
           : type == 0x86dd ? put_ipv6(frame + len)
           : type == 0x0806 || type == 0x8035 ? put_arp(frame + len)
           : put_noise(frame + len, 40);
    if (!random_range(4)) {
        len += put_noise(frame + len, random_range(30));    /* Padding. */
    } else if (!random_range(4)) {
        len = 14 + random_range(len - 13);                  /* Cut short. */
    }
    return len;
}

void
random_mask(const struct flow *flow, struct flow_wildcards *wc)
{
    struct flow_wildcards full;

    flow_wildcards_init_for_packet(&full, flow);
    memset(wc, 0, sizeof *wc);

    uint32_t *to = (uint32_t *) &wc->masks;
    const uint32_t *from = (const uint32_t *) &full.masks;
    for (size_t i = 0; i < sizeof wc->masks / sizeof *to; i++) {
        uint32_t bits = random_range(2) ? 0 : random_range(2) ? UINT32_MAX
                        : random_uint32();
        to[i] = from[i] & bits;
    }
    wc->masks.in_port = full.masks.in_port;
    wc->masks.packet_type = OVS_BE32_MAX;
    wc->masks.dl_type = OVS_BE16_MAX;
    if (is_ip_any(flow)) {
        wc->masks.nw_proto = UINT8_MAX;
    }
}
