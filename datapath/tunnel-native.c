/* The netdev type's tunnels: see tunnel-native.h. */
#include <config.h>
#include "datapath/tunnel-native.h"

#include "csum.h"
#include "datapath/private.h"
#include "dp-packet.h"
#include "netdev.h"
#include "odp-netlink.h"
#include "packets.h"

/* Drops the offload request of 'packet', whose outer headers are about to go.
 * A checksum that nobody has computed yet, because the packet has not left
 * this host, is as good as a right one. */
static void
forget_offload(struct dp_packet *packet)
{
    if (dp_packet_hwol_tx_l4_checksum(packet)) {
        *dp_packet_ol_flags_ptr(packet) &= ~(DP_PACKET_OL_TX_L4_MASK
                                             | DP_PACKET_OL_FLOW_MARK);
        *dp_packet_ol_flags_ptr(packet) |= DP_PACKET_OL_RX_L4_CKSUM_GOOD;
    }
}

void
tunnel_native_pop(const struct port *port, struct dp_packet_batch *batch,
                  struct dp_thread *thread)
{
    struct port_counters *counters = &thread->counters[port->index];
    size_t n = dp_packet_batch_size(batch);
    struct dp_packet *packet;

    DP_PACKET_BATCH_FOR_EACH (i, packet, batch) {
        forget_offload(packet);
    }
    netdev_pop_header(port->netdev, batch);
    if (dp_packet_batch_size(batch) < n) {
        port_drop(port, DROP_TUNNEL, n - dp_packet_batch_size(batch), thread);
    }
    DP_PACKET_BATCH_FOR_EACH (i, packet, batch) {
        packet->md.in_port.odp_port = port->number;
        counter_add(&counters->rx_packets, 1);
        counter_add(&counters->rx_bytes, dp_packet_size(packet));
    }
}

/* Computes the outer checksum of 'packet' anew where libopenvswitch computes it
 * before it fills in lengths and sequence numbers. */
static void
fix_outer_checksum(struct dp_packet *packet, uint32_t tunnel_type)
{
    struct udp_header *udp = dp_packet_l4(packet);
    struct gre_base_hdr *gre = dp_packet_l4(packet);
    size_t len = dp_packet_l4_size(packet);

    if (tunnel_type == OVS_VPORT_TYPE_GTPU) {
        const struct ip_header *ip = dp_packet_l3(packet);
        uint32_t sum = IP_VER(ip->ip_ihl_ver) == 4
                       ? packet_csum_pseudoheader(dp_packet_l3(packet))
                       : packet_csum_pseudoheader6(dp_packet_l3(packet));

        udp->udp_csum = 0;
        udp->udp_csum = csum_finish(csum_continue(sum, udp, len));
        if (!udp->udp_csum) {
            udp->udp_csum = htons(0xffff);
        }
    } else if ((tunnel_type == OVS_VPORT_TYPE_GRE
                || tunnel_type == OVS_VPORT_TYPE_IP6GRE)
               && (gre->flags & htons(GRE_CSUM | GRE_SEQ))
                  == htons(GRE_CSUM | GRE_SEQ)) {
        ovs_be16 *field = (ovs_be16 *) (gre + 1);

        *field = 0;
        *field = csum(gre, len);
    }
}

int
tunnel_native_push(const struct port *port, struct dp_packet_batch *batch,
                   const struct ovs_action_push_tnl *data,
                   struct dp_thread *thread)
{
    struct port_counters *counters = &thread->counters[port->index];
    int error = netdev_push_header(port->netdev, batch, data);
    struct dp_packet *packet;

    if (error) {
        return error;
    }
    DP_PACKET_BATCH_FOR_EACH (i, packet, batch) {
        fix_outer_checksum(packet, data->tnl_type);
        *dp_packet_ol_flags_ptr(packet) |= DP_PACKET_OL_RX_L4_CKSUM_GOOD;
        counter_add(&counters->tx_packets, 1);
        counter_add(&counters->tx_bytes, dp_packet_size(packet));
    }
    return 0;
}
