/* Checks tunnel headers: what is written is what is read again, and whatever is
 * read, nothing beyond its end is.
 *
 *   test-tunnel-header [ROUNDS [SEED]]
 */
#include <config.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "datapath/tunnel-header.h"
#include "packets.h"
#include "random.h"
#include "util.h"

#define MAX_PAYLOAD 64

static const struct tunnel_format formats[] = {
    { .kind = TUNNEL_VXLAN, .udp = true },
    { .kind = TUNNEL_VXLAN, .udp = true, .gbp = true },
    { .kind = TUNNEL_VXLAN, .udp = true, .gpe = true },
    { .kind = TUNNEL_GENEVE, .udp = true },
    { .kind = TUNNEL_GTPU, .udp = true },
    { .kind = TUNNEL_GTPU, .udp = true, .seq = true },
    { .kind = TUNNEL_GRE },
    { .kind = TUNNEL_GRE, .seq = true },
    { .kind = TUNNEL_ERSPAN },
};

static const uint32_t packet_types[] = { PT_ETH, PT_IPV4, PT_IPV6, PT_NSH };

/* Parses 'len' bytes at 'data' from memory that has no more than those. */
static enum tunnel_parsed
parse(const struct tunnel_format *format, const uint8_t *data, size_t len,
      struct flow_tnl *key, size_t *header_len, ovs_be32 *packet_type)
{
    uint8_t *copy = xmemdup(data, len);

    memset(key, 0, sizeof *key);
    enum tunnel_parsed result = tunnel_header_parse(format, copy, len, key,
                                                    header_len, packet_type);
    ovs_assert(result != TUNNEL_OK || *header_len <= len);
    free(copy);
    return result;
}

/* A random key that 'format' can carry, all of it. */
static void
make_key(const struct tunnel_format *format, struct flow_tnl *key)
{
    uint64_t id = random_uint32();

    memset(key, 0, sizeof *key);
    key->flags = FLOW_TNL_F_KEY;
    switch (format->kind) {
    case TUNNEL_VXLAN:
        key->tun_id = htonll(id >> 8);
        if (format->gbp) {
            key->gbp_id = htons(random_uint16() | 1);
            key->gbp_flags = random_range(2) ? 0x48 : 0;
        }
        break;

    case TUNNEL_GENEVE:
        key->tun_id = htonll(id >> 8);
        key->flags |= FLOW_TNL_F_UDPIF
                      | (random_range(2) ? FLOW_TNL_F_OAM : 0);
        key->metadata.present.len = random_range(64) * 4;
        random_bytes(key->metadata.opts.gnv, key->metadata.present.len);
        break;

    case TUNNEL_GTPU:
        key->tun_id = htonll(id);
        key->gtpu_flags = GTPU_FLAGS_DEFAULT
                          | (format->seq ? GTPU_S_MASK : 0);
        key->gtpu_msgtype = GTPU_MSGTYPE_GPDU;
        break;

    case TUNNEL_GRE:
        key->flags = (random_range(2) ? FLOW_TNL_F_KEY : 0)
                     | (random_range(2) ? FLOW_TNL_F_CSUM : 0);
        key->tun_id = key->flags & FLOW_TNL_F_KEY ? htonll(id) : 0;
        break;

    case TUNNEL_ERSPAN:
        key->tun_id = htonll(id & ERSPAN_SID_MASK);
        key->erspan_ver = 1 + random_range(2);
        if (key->erspan_ver == 1) {
            key->erspan_idx = random_uint32() & ERSPAN_IDX_MASK;
        } else {
            key->erspan_dir = random_range(2);
            key->erspan_hwid = random_range(64);
        }
        break;
    }
}

static void
check_format(const struct tunnel_format *format, size_t i)
{
    uint8_t packet[TUNNEL_HEADER_MAX + MAX_PAYLOAD];
    ovs_be32 packet_type = htonl(packet_types[random_range(
        ARRAY_SIZE(packet_types))]);
    size_t payload_len = 1 + random_range(MAX_PAYLOAD), header_len;
    struct flow_tnl key, parsed;
    ovs_be32 parsed_type;

    make_key(format, &key);
    size_t len = tunnel_header_write(format, &key, packet_type, payload_len,
                                     random_uint32(), packet);
    if (!len) {
        ovs_assert(packet_type != htonl(PT_ETH)
                   || format->kind == TUNNEL_GTPU);
        return;
    }
    ovs_assert(len <= TUNNEL_HEADER_MAX);
    random_bytes(packet + len, payload_len);
    packet[len] = (packet_type == htonl(PT_IPV6) ? 0x60 : 0x40)
                  | (packet[len] & 15);
    tunnel_header_finish(format, packet, len + payload_len);

    enum tunnel_parsed result = parse(format, packet, len + payload_len,
                                      &parsed, &header_len, &parsed_type);
    if (result != TUNNEL_OK || header_len != len || parsed_type != packet_type
        || memcmp(&key, &parsed, sizeof key)) {
        printf("format %"PRIuSIZE": wrote %"PRIuSIZE" bytes, read "
               "%"PRIuSIZE", type %#x, %#x, result %d\n", i, len, header_len,
               ntohl(packet_type), ntohl(parsed_type), result);
        ovs_hex_dump(stdout, packet, len, 0, false);
        exit(1);
    }

    /* Damaged, and cut short. */
    packet[random_range(len)] ^= 1 << random_range(8);
    parse(format, packet, random_range(len + payload_len + 1), &parsed,
          &header_len, &parsed_type);
}

int
main(int argc, char *argv[])
{
    int rounds = argc > 1 ? atoi(argv[1]) : 100000;

    set_program_name(argv[0]);
    random_set_seed(argc > 2 ? atoi(argv[2]) : 1);
    for (int n = 0; n < rounds; n++) {
        for (size_t i = 0; i < ARRAY_SIZE(formats); i++) {
            check_format(&formats[i], i);
        }
    }
    printf("ok: %d rounds\n", rounds);
    return 0;
}
