/* Questions to the kernel about devices, and changes of their filters, by
 * netlink.
 *
 * One socket, blocking: the kernel answers while the request is being sent.
 * Each change is one message and its acknowledgement. */
#include <config.h>
#include "vswitchd/softmac.h"

#include <errno.h>
#include <linux/if_link.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <netlink/addr.h>
#include <netlink/cache.h>
#include <netlink/msg.h>
#include <netlink/netlink.h>
#include <netlink/route/link.h>
#include <netlink/route/link/macvlan.h>
#include <netlink/route/link/macvtap.h>
#include <netlink/route/link/vlan.h>
#include <stdio.h>
#include <string.h>

#include "openvswitch/dynamic-string.h"
#include "openvswitch/vlog.h"
#include "packets.h"
#include "util.h"

VLOG_DEFINE_THIS_MODULE(softmac_link);

/* Devices below devices that are looked at. */
#define MAX_DEPTH 8

uint64_t link_n_requests;

static struct nl_sock *
get_socket(void)
{
    static struct nl_sock *sock;

    if (!sock) {
        sock = nl_socket_alloc();
        if (!sock || nl_connect(sock, NETLINK_ROUTE)) {
            VLOG_FATAL("cannot open a netlink socket");
        }
    }
    return sock;
}

/* --- Changes ------------------------------------------------------------- */

/* libnl's own error codes don't tell all of the kernel's apart. */
static int
handle_error(struct sockaddr_nl *from OVS_UNUSED, struct nlmsgerr *error,
             void *result)
{
    *(int *) result = -error->error;
    return NL_STOP;
}

static int
handle_ack(struct nl_msg *msg OVS_UNUSED, void *result)
{
    *(int *) result = 0;
    return NL_STOP;
}

/* Sends 'msg', which it frees, and returns what the kernel says. */
static int
transact(struct nl_msg *msg)
{
    struct nl_sock *sock = get_socket();
    struct nl_cb *cb = nl_cb_alloc(NL_CB_DEFAULT);
    int result = EIO;

    link_n_requests++;
    nl_cb_err(cb, NL_CB_CUSTOM, handle_error, &result);
    nl_cb_set(cb, NL_CB_ACK, NL_CB_CUSTOM, handle_ack, &result);
    if (nl_send_auto(sock, msg) >= 0) {
        nl_recvmsgs(sock, cb);
    }
    nl_cb_put(cb);
    nlmsg_free(msg);
    return result;
}

static int
change_address(unsigned int ifindex, struct eth_addr ea, int type, int flags)
{
    struct ndmsg ndm = {
        .ndm_family = AF_BRIDGE,
        .ndm_ifindex = ifindex,
        .ndm_state = NUD_PERMANENT,
        .ndm_flags = NTF_SELF,
    };
    struct nl_msg *msg = nlmsg_alloc_simple(type, flags);

    nlmsg_append(msg, &ndm, sizeof ndm, NLMSG_ALIGNTO);
    nla_put(msg, NDA_LLADDR, ETH_ADDR_LEN, &ea);
    return transact(msg);
}

/* Puts 'ea' into the filter of device 'ifindex'.  Returns 0, EEXIST if it is
 * in there, or another positive errno value. */
int
link_add_address(unsigned int ifindex, struct eth_addr ea)
{
    return change_address(ifindex, ea, RTM_NEWNEIGH,
                          NLM_F_CREATE | NLM_F_EXCL);
}

/* Takes 'ea' out of the filter of device 'ifindex'. */
int
link_del_address(unsigned int ifindex, struct eth_addr ea)
{
    return change_address(ifindex, ea, RTM_DELNEIGH, 0);
}

/* --- Links --------------------------------------------------------------- */

static bool
kind_has_lower(const char *kind)
{
    return !strcmp(kind, "vlan") || !strcmp(kind, "macvlan")
           || !strcmp(kind, "macvtap") || !strcmp(kind, "ipvlan")
           || !strcmp(kind, "macsec");
}

static void
fill_info(struct rtnl_link *link, struct link_info *info)
{
    const char *kind = rtnl_link_get_type(link);

    memset(info, 0, sizeof *info);
    info->ifindex = rtnl_link_get_ifindex(link);
    ovs_strlcpy(info->name, rtnl_link_get_name(link), sizeof info->name);
    ovs_strlcpy(info->kind, kind ? kind : "", sizeof info->kind);
    struct nl_addr *addr = rtnl_link_get_addr(link);
    if (addr && nl_addr_get_len(addr) == ETH_ADDR_LEN) {
        memcpy(&info->ea, nl_addr_get_binary_addr(addr), ETH_ADDR_LEN);
    }
    info->flags = rtnl_link_get_flags(link);
    info->promiscuity = rtnl_link_get_promiscuity(link);
    info->master = rtnl_link_get_master(link);
    if (kind_has_lower(info->kind)) {
        info->lower = rtnl_link_get_link(link);
    }
    if (rtnl_link_is_macvlan(link)) {
        info->only_own = rtnl_link_macvlan_get_mode(link)
                         != MACVLAN_MODE_PASSTHRU;
    } else if (rtnl_link_is_macvtap(link)) {
        info->only_own = rtnl_link_macvtap_get_mode(link)
                         != MACVLAN_MODE_PASSTHRU;
    }
}

/* Stores in '*info' what the kernel says about device 'ifindex'.  Returns 0 or
 * ENODEV. */
int
link_get(unsigned int ifindex, struct link_info *info)
{
    struct rtnl_link *link;

    link_n_requests++;
    if (rtnl_link_get_kernel(get_socket(), ifindex, NULL, &link)) {
        memset(info, 0, sizeof *info);
        return ENODEV;
    }
    fill_info(link, info);
    rtnl_link_put(link);
    return 0;
}

/* Returns true if the device is made of others, side by side. */
bool
link_is_bond(const struct link_info *info)
{
    return !strcmp(info->kind, "bond") || !strcmp(info->kind, "team");
}

/* Returns true if a device of that kind has no filter: it lets in everything,
 * and becomes promiscuous if it is given an address. */
bool
link_has_no_filter(const struct link_info *info)
{
    static const char *const kinds[] = {
        "veth", "tun", "dummy", "ifb", "bridge", "openvswitch", "vxlan",
        "geneve", "gretap", "ip6gretap", "netkit",
    };

    for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
        if (!strcmp(info->kind, kinds[i])) {
            return true;
        }
    }
    return false;
}

/* Calls 'cb' for all devices. */
static void
for_each_link(void (*cb)(const struct link_info *, void *aux), void *aux)
{
    struct nl_cache *cache;

    link_n_requests++;
    if (rtnl_link_alloc_cache(get_socket(), AF_UNSPEC, &cache)) {
        return;
    }
    for (struct nl_object *object = nl_cache_get_first(cache); object;
         object = nl_cache_get_next(object)) {
        struct link_info info;

        fill_info((struct rtnl_link *) object, &info);
        cb(&info, aux);
    }
    nl_cache_free(cache);
}

/* --- Who lets in everything ---------------------------------------------- */

bool
link_is_promiscuous(const struct link_info *info)
{
    return info->promiscuity;
}

/* Returns true if the device lets in all multicast, whoever wants that:
 * netlink tells only of the administrator's wishes. */
bool
link_is_allmulti(const struct link_info *info)
{
    char *path = xasprintf("/sys/class/net/%s/flags", info->name);
    FILE *stream = fopen(path, "r");
    unsigned int flags = 0;

    if (stream) {
        if (fscanf(stream, "%x", &flags) != 1) {
            flags = 0;
        }
        fclose(stream);
    }
    free(path);
    return flags & IFF_ALLMULTI;
}

struct find_aux {
    bool (*is_wanted)(const struct link_info *);
    unsigned int master;
    int depth;
    char *found;
};

static char *find(const struct link_info *,
                  bool (*is_wanted)(const struct link_info *), int depth);

static void
look_at_member(const struct link_info *info, void *aux_)
{
    struct find_aux *aux = aux_;

    if (!aux->found && info->master == aux->master) {
        aux->found = find(info, aux->is_wanted, aux->depth);
    }
}

static char *
find(const struct link_info *info, bool (*is_wanted)(const struct link_info *),
     int depth)
{
    /* Where there is no filter it makes no difference. */
    if (!link_has_no_filter(info) && is_wanted(info)) {
        return xstrdup(info->name);
    }
    if (depth >= MAX_DEPTH) {
        return NULL;
    }
    if (info->lower) {
        struct link_info lower;

        return link_get(info->lower, &lower)
               ? NULL : find(&lower, is_wanted, depth + 1);
    }
    if (!strcmp(info->kind, "bond") || !strcmp(info->kind, "team")) {
        struct find_aux aux = {
            is_wanted, info->ifindex, depth + 1, NULL
        };

        for_each_link(look_at_member, &aux);
        return aux.found;
    }
    return NULL;
}

/* Returns the name of the first device among 'ifindex' and those below it that
 * has a filter and 'is_wanted', or NULL.  The caller must free it. */
char *
link_find(unsigned int ifindex, bool (*is_wanted)(const struct link_info *))
{
    struct link_info info;

    return link_get(ifindex, &info) ? NULL : find(&info, is_wanted, 0);
}

/* --- VLANs --------------------------------------------------------------- */

/* The name of the device that registers 'vid' with device 'ifindex'. */
static void
vlan_name(char name[IFNAMSIZ], unsigned int ifindex, uint16_t vid)
{
    snprintf(name, IFNAMSIZ, "sm%u.%u", ifindex % 100000000,
             vid & VLAN_VID_MASK);
}

/* Has device 'ifindex' let in frames of VLAN 'vid'.  A program can do that
 * only by making a VLAN device, which stays down and receives nothing: the
 * port's frames are taken before. */
int
link_add_vlan(unsigned int ifindex, uint16_t vid)
{
    struct rtnl_link *link = rtnl_link_vlan_alloc();
    char name[IFNAMSIZ];

    vlan_name(name, ifindex, vid);
    rtnl_link_set_link(link, ifindex);
    rtnl_link_set_name(link, name);
    rtnl_link_vlan_set_id(link, vid);
    link_n_requests++;
    int error = rtnl_link_add(get_socket(), link, NLM_F_CREATE | NLM_F_EXCL);
    rtnl_link_put(link);
    /* Somebody else's VLAN device does as well. */
    return error == -NLE_EXIST ? 0 : error == -NLE_OPNOTSUPP ? EOPNOTSUPP
           : error ? EIO : 0;
}

/* Undoes that. */
void
link_del_vlan(unsigned int ifindex, uint16_t vid)
{
    struct rtnl_link *link = rtnl_link_alloc();
    char name[IFNAMSIZ];

    vlan_name(name, ifindex, vid);
    rtnl_link_set_name(link, name);
    link_n_requests++;
    rtnl_link_delete(get_socket(), link);
    rtnl_link_put(link);
}

struct vlan_aux {
    unsigned int ifindex;
    void (*cb)(uint16_t vid, void *aux);
    void *aux;
};

static void
look_at_vlan(const struct link_info *info, void *aux_)
{
    struct vlan_aux *aux = aux_;
    unsigned int ifindex, vid;

    if (info->lower == aux->ifindex && !strcmp(info->kind, "vlan")
        && ovs_scan(info->name, "sm%u.%u", &ifindex, &vid)
        && ifindex == aux->ifindex % 100000000 && vid < 4096) {
        aux->cb(vid, aux->aux);
    }
}

/* Calls 'cb' for each VLAN that link_add_vlan() registered with 'ifindex',
 * before this process, too. */
void
link_for_each_vlan(unsigned int ifindex, void (*cb)(uint16_t vid, void *aux),
                   void *aux_)
{
    struct vlan_aux aux = { ifindex, cb, aux_ };

    for_each_link(look_at_vlan, &aux);
}
