/* Headers of tunnels: what stands between the outer IP or UDP header and the
 * packet inside.  Private to datapath/. */
#ifndef TUNNEL_HEADER_H
#define TUNNEL_HEADER_H 1

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "openvswitch/types.h"

struct flow_tnl;
struct netdev;

enum tunnel_kind {
    TUNNEL_VXLAN,
    TUNNEL_GENEVE,
    TUNNEL_GTPU,
    TUNNEL_GRE,
    TUNNEL_ERSPAN,
};

/* The headers of one port. */
struct tunnel_format {
    enum tunnel_kind kind;
    bool udp;                   /* Within UDP, else GRE. */
    bool gpe, gbp;              /* VXLAN's extensions. */
    bool seq;                   /* GRE, GTP-U: with sequence numbers. */
};

/* The longest header: Geneve with all its options. */
#define TUNNEL_HEADER_MAX (8 + 63 * 4)

/* Fills in '*format' for tunnel device 'netdev'.  Returns false if there is no
 * such format here. */
bool tunnel_format_init(struct tunnel_format *format, const struct netdev *);

/* Writes the header for a packet of 'packet_type', 'len' bytes long, to the
 * tunnel of 'key'.  'seq' is its sequence number.  Returns the header's
 * length, 0 if this kind of tunnel can't carry the packet. */
size_t tunnel_header_write(const struct tunnel_format *format,
                           const struct flow_tnl *key, ovs_be32 packet_type,
                           size_t len, uint32_t seq,
                           uint8_t header[TUNNEL_HEADER_MAX]);

/* Computes the checksum of GRE packet 'packet', header and all, if it is to
 * have one. */
void tunnel_header_finish(const struct tunnel_format *format, uint8_t *packet,
                          size_t len);

enum tunnel_parsed {
    TUNNEL_OK,
    TUNNEL_NOT_OURS,            /* Of another kind of tunnel. */
    TUNNEL_BAD,
};

/* Parses the header that the 'len' bytes at 'data' begin with: its length into
 * '*header_len', what it says into '*key', whose other members stay as they
 * are, and the type of the packet behind it into '*packet_type'. */
enum tunnel_parsed tunnel_header_parse(const struct tunnel_format *format,
                                       const uint8_t *data, size_t len,
                                       struct flow_tnl *key,
                                       size_t *header_len,
                                       ovs_be32 *packet_type);

#endif /* datapath/tunnel-header.h */
