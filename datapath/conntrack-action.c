/* The datapath action ct(): from its Netlink attributes to a call of
 * libopenvswitch's connection tracker. */
#include <config.h>
#include "datapath/conntrack-action.h"

#include <string.h>

#include "conntrack.h"
#include "conntrack-tp.h"
#include "dp-packet.h"
#include "flow.h"
#include "netlink.h"
#include "odp-netlink.h"
#include "openvswitch/vlog.h"
#include "util.h"

VLOG_DEFINE_THIS_MODULE(conntrack_action);

/* Bytes by which FTP's gateway makes a packet longer at most: 8 with IPv4, 45
 * with IPv6. */
#define ALG_TAILROOM 64

/* What a ct() action asks for. */
struct ct_request {
    bool force, commit;
    uint16_t zone;
    uint32_t timeout_policy;
    const char *helper;
    const uint32_t *mark;               /* Value and mask, or NULL. */
    const struct ovs_key_ct_labels *labels; /* Likewise. */
    bool has_nat;
    bool nat_range;                     /* It says which addresses. */
    struct nat_action_info_t nat;
};

/* Copies an address of 4 or 16 bytes. */
static void
get_address(union ct_addr *addr, const struct nlattr *a)
{
    memcpy(addr, nl_attr_get(a), MIN(nl_attr_get_size(a), sizeof *addr));
}

static void
parse_nat(struct ct_request *request, const struct nlattr *nat)
{
    struct nat_action_info_t *info = &request->nat;
    bool max_addr = false, min_port = false, max_port = false;
    const struct nlattr *a;
    unsigned int left;

    request->has_nat = true;
    NL_NESTED_FOR_EACH_UNSAFE (a, left, nat) {
        switch ((enum ovs_nat_attr) nl_attr_type(a)) {
        case OVS_NAT_ATTR_SRC:
            info->nat_action |= NAT_ACTION_SRC;
            request->nat_range = true;
            break;
        case OVS_NAT_ATTR_DST:
            info->nat_action |= NAT_ACTION_DST;
            request->nat_range = true;
            break;
        case OVS_NAT_ATTR_IP_MIN:
            get_address(&info->min_addr, a);
            break;
        case OVS_NAT_ATTR_IP_MAX:
            get_address(&info->max_addr, a);
            max_addr = true;
            break;
        case OVS_NAT_ATTR_PROTO_MIN:
            info->min_port = nl_attr_get_u16(a);
            min_port = true;
            break;
        case OVS_NAT_ATTR_PROTO_MAX:
            info->max_port = nl_attr_get_u16(a);
            max_port = true;
            break;
        case OVS_NAT_ATTR_PERSISTENT:
        case OVS_NAT_ATTR_PROTO_HASH:
        case OVS_NAT_ATTR_PROTO_RANDOM:
            /* How to choose within the range: the tracker has one way. */
        case OVS_NAT_ATTR_UNSPEC:
        case __OVS_NAT_ATTR_MAX:
        default:
            break;
        }
    }
    if (!max_addr) {
        info->max_addr = info->min_addr;
    }
    if (min_port && !max_port) {
        info->max_port = info->min_port;
    }
    if (min_port || max_port) {
        info->nat_action |= info->nat_action & NAT_ACTION_SRC
                            ? NAT_ACTION_SRC_PORT
                            : info->nat_action & NAT_ACTION_DST
                            ? NAT_ACTION_DST_PORT : 0;
    }
}

static void
parse_request(struct ct_request *request, const struct nlattr *ct)
{
    const struct nlattr *a;
    unsigned int left;

    memset(request, 0, sizeof *request);
    request->timeout_policy = DEFAULT_TP_ID;
    NL_NESTED_FOR_EACH_UNSAFE (a, left, ct) {
        switch ((enum ovs_ct_attr) nl_attr_type(a)) {
        case OVS_CT_ATTR_FORCE_COMMIT:
            request->force = true;
            request->commit = true;
            break;
        case OVS_CT_ATTR_COMMIT:
            request->commit = true;
            break;
        case OVS_CT_ATTR_ZONE:
            request->zone = nl_attr_get_u16(a);
            break;
        case OVS_CT_ATTR_HELPER:
            request->helper = nl_attr_get_string(a);
            break;
        case OVS_CT_ATTR_MARK:
            request->mark = nl_attr_get(a);
            break;
        case OVS_CT_ATTR_LABELS:
            request->labels = nl_attr_get(a);
            break;
        case OVS_CT_ATTR_TIMEOUT:
            if (!str_to_uint(nl_attr_get_string(a), 10,
                             &request->timeout_policy)) {
                static struct vlog_rate_limit rl = VLOG_RATE_LIMIT_INIT(1, 5);

                VLOG_WARN_RL(&rl, "ct action names timeout policy %s, which "
                             "is not a number: using the default",
                             nl_attr_get_string(a));
                request->timeout_policy = DEFAULT_TP_ID;
            }
            break;
        case OVS_CT_ATTR_NAT:
            parse_nat(request, a);
            break;
        case OVS_CT_ATTR_EVENTMASK:
            /* Netlink events, which nobody gets from a user-space tracker. */
        case OVS_CT_ATTR_UNSPEC:
        case __OVS_CT_ATTR_MAX:
        default:
            break;
        }
    }
}

void
conntrack_make_tailroom(struct dp_packet_batch *batch)
{
    struct dp_packet *packet;

    DP_PACKET_BATCH_FOR_EACH (i, packet, batch) {
        dp_packet_prealloc_tailroom(packet, ALG_TAILROOM);
    }
}

void
conntrack_action(struct conntrack *ct, struct dp_packet_batch *batch,
                 const struct flow *flow, const struct nlattr *a,
                 long long int now)
{
    struct ct_request request;

    parse_request(&request, a);
    if (request.nat_range && !request.commit) {
        static struct vlog_rate_limit rl = VLOG_RATE_LIMIT_INIT(1, 5);

        VLOG_WARN_RL(&rl, "NAT specified without commit");
    }
    conntrack_execute(ct, batch, flow->dl_type, request.force, request.commit,
                      request.zone, request.mark, request.labels,
                      flow->tp_src, flow->tp_dst, request.helper,
                      request.has_nat ? &request.nat : NULL, now,
                      request.timeout_policy);
}
