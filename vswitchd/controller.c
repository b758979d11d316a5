/* OpenFlow controllers, management and snooping sockets, fail mode and in-band
 * control. */
#include <config.h>
#include "vswitchd/vswitchd.h"

#include "daemon.h"
#include "dirs.h"
#include "jsonrpc.h"
#include "netdev.h"
#include "ofproto/ofproto.h"
#include "openvswitch/ofp-protocol.h"
#include "openvswitch/shash.h"
#include "openvswitch/vconn.h"
#include "packets.h"
#include "smap.h"
#include "socket-util.h"
#include "sset.h"
#include "stream.h"
#include "util.h"
#include "vswitchd/log.h"

#define QUEUE_SIZE_DEFAULT 100
#define QUEUE_SIZE_MIN 1
#define QUEUE_SIZE_MAX 512

/* IPv4 addresses of the database's managers, which in-band control lets
 * through. */
static struct sockaddr_in *managers;
static size_t n_managers;

/* Takes the managers that are reached in-band from 'root', which may be null.
 * Marks all bridges' controllers dirty if they changed. */
void
in_band_managers_update(const struct ovsrec_open_vswitch *root)
{
    struct sockaddr_in *new = NULL;
    size_t n = 0;
    struct bridge *br;

    for (size_t i = 0; root && i < root->n_manager_options; i++) {
        const struct ovsrec_manager *m = root->manager_options[i];
        union {
            struct sockaddr_storage ss;
            struct sockaddr_in in;
        } sa;

        if ((!m->connection_mode || strcmp(m->connection_mode, "out-of-band"))
            && stream_parse_target_with_default_port(m->target, OVSDB_PORT,
                                                     &sa.ss)
            && sa.ss.ss_family == AF_INET
            && sa.in.sin_addr.s_addr != htonl(INADDR_LOOPBACK)) {
            new = xrealloc(new, (n + 1) * sizeof *new);
            new[n++] = sa.in;
        }
    }
    if (n != n_managers || (n && memcmp(new, managers, n * sizeof *new))) {
        BRIDGE_FOR_EACH (br) {
            bridge_mark(br, BRIDGE_CONTROLLERS);
        }
    }
    free(managers);
    managers = new;
    n_managers = n;
}

/* Returns how many controllers the bridge of 'row' has.  If 'controllersp' is
 * nonnull, stores them in it. */
size_t
bridge_get_controllers(const struct ovsrec_bridge *row,
                       struct ovsrec_controller ***controllersp)
{
    bool none = (row->n_controller == 1
                 && !strcmp(row->controller[0]->target, "none"));

    if (controllersp) {
        *controllersp = none ? NULL : row->controller;
    }
    return none ? 0 : row->n_controller;
}

static uint32_t
get_allowed_versions(const struct ovsrec_bridge *row)
{
    return (row->n_protocols
            ? ofputil_versions_from_strings(row->protocols, row->n_protocols)
            : 0);
}

static int
get_queue_size(const struct ovsrec_bridge *row,
               const struct ovsrec_controller *c)
{
    int size;

    if (c && c->controller_queue_size) {
        return *c->controller_queue_size;
    }
    size = smap_get_int(&row->other_config, "controller-queue-size",
                        QUEUE_SIZE_DEFAULT);
    return (size >= QUEUE_SIZE_MIN && size <= QUEUE_SIZE_MAX
            ? size : QUEUE_SIZE_DEFAULT);
}

/* Returns true if 'path' is 'prefix' followed by anything, taking any number
 * of slashes for one. */
static bool
path_starts_with(const char *path, const char *prefix, const char **rest)
{
    while (*prefix) {
        if (*path != *prefix) {
            return false;
        } else if (*prefix == '/') {
            path += strspn(path, "/");
            prefix += strspn(prefix, "/");
        } else {
            path++;
            prefix++;
        }
    }
    *rest = path;
    return true;
}

/* Whoever writes to the database shall not be able to have this process, which
 * may be root, connect to any socket or overwrite any file. */
static bool
is_permitted_target(const struct bridge *br, const char *target)
{
    static struct vlog_rate_limit rl = VLOG_RATE_LIMIT_INIT(1, 5);
    bool listens = !strncmp(target, "punix:", 6);
    bool connects = !strncmp(target, "unix:", 5);
    const char *rest = "";
    char *prefix;
    bool ok;

    if (!daemon_should_self_confine() || (!listens && !connects)) {
        return true;
    }
    if (connects) {
        prefix = xasprintf("unix:%s/", ovs_rundir());
        ok = !strchr(target, '/') || path_starts_with(target, prefix, &rest);
        ok = ok && !strstr(rest, "..");
        if (!ok) {
            VLOG_ERR_RL(&rl, "bridge %s: Not connecting to socket controller "
                        "\"%s\" due to possibility for remote exploit.  "
                        "Instead, specify socket in permitted directory "
                        "\"%s\" or connect to \"unix:%s/%s.mgmt\" (which is "
                        "always available without special configuration).",
                        br->name, target, prefix, ovs_rundir(), br->name);
        }
    } else {
        prefix = xasprintf("punix:%s/%s.", ovs_rundir(), br->name);
        ok = path_starts_with(target, prefix, &rest) && !strchr(rest, '/');
        if (!ok) {
            VLOG_ERR_RL(&rl, "bridge %s: Not adding Unix domain socket "
                        "controller \"%s\" due to possibility of overwriting "
                        "local files. Instead, specify path in permitted "
                        "format \"%s*\" or connect to \"unix:%s/%s.mgmt\" "
                        "(which is always available without special "
                        "configuration).",
                        br->name, target, prefix, ovs_rundir(), br->name);
        }
    }
    free(prefix);
    return ok;
}

/* Gives the local port of 'br' the address from which 'c' is to be reached. */
static void
configure_local_address(struct bridge *br, const struct ovsrec_controller *c)
{
    struct iface *local = iface_by_ofp_port(br, OFPP_LOCAL);
    struct in_addr ip, mask, gateway;

    if (!local || !c->local_ip || !ip_parse(c->local_ip, &ip.s_addr)) {
        return;
    }
    netdev_turn_flags_on(local->netdev, NETDEV_UP, NULL);
    if (!c->local_netmask || !ip_parse(c->local_netmask, &mask.s_addr)
        || !mask.s_addr) {
        mask.s_addr = guess_netmask(ip.s_addr);
    }
    if (!netdev_set_in4(local->netdev, ip, mask)) {
        VLOG_INFO("bridge %s: configured IP address "IP_FMT", netmask "IP_FMT,
                  br->name, IP_ARGS(ip.s_addr), IP_ARGS(mask.s_addr));
    }
    if (c->local_gateway && ip_parse(c->local_gateway, &gateway.s_addr)
        && gateway.s_addr
        && !netdev_add_router(local->netdev, gateway)) {
        VLOG_INFO("bridge %s: configured gateway "IP_FMT,
                  br->name, IP_ARGS(gateway.s_addr));
    }
}

static enum ofconn_type
get_ofconn_type(const struct ovsrec_controller *c)
{
    bool primary = (c->type ? !strcmp(c->type, "primary")
                    : !vconn_verify_name(c->target));

    return primary ? OFCONN_PRIMARY : OFCONN_SERVICE;
}

/* Returns in seconds what the database has in milliseconds. */
static int
get_probe_interval(const struct ovsrec_controller *c)
{
    return (!c->inactivity_probe ? 5
            : !*c->inactivity_probe ? 0
            : MAX(1, *c->inactivity_probe / 1000));
}

static struct ofproto_controller *
get_controller(const struct ovsrec_bridge *row,
               const struct ovsrec_controller *c, bool in_band)
{
    struct ofproto_controller *oc = xmalloc(sizeof *oc);
    int dscp = smap_get_int(&c->other_config, "dscp", DSCP_DEFAULT);

    *oc = (struct ofproto_controller) {
        .type = get_ofconn_type(c),
        .max_backoff = c->max_backoff ? *c->max_backoff / 1000 : 8,
        .probe_interval = get_probe_interval(c),
        .band = (in_band && (!c->connection_mode
                             || !strcmp(c->connection_mode, "in-band"))
                 ? OFPROTO_IN_BAND : OFPROTO_OUT_OF_BAND),
        .enable_async_msgs = (!c->enable_async_messages
                              || *c->enable_async_messages),
        .allowed_versions = get_allowed_versions(row),
        .max_pktq_size = get_queue_size(row, c),
        .rate_limit = c->controller_rate_limit ? *c->controller_rate_limit : 0,
        .burst_limit = (c->controller_burst_limit
                        ? *c->controller_burst_limit : 0),
        .dscp = dscp >= 0 && dscp <= 63 ? dscp : DSCP_DEFAULT,
    };
    return oc;
}

/* The management socket, BRIDGE.mgmt, is what ovs-ofctl connects to. */
static void
add_management(const struct bridge *br, const struct ovsrec_bridge *row,
               struct shash *ocs)
{
    struct ofproto_controller *oc = xmalloc(sizeof *oc);

    *oc = (struct ofproto_controller) {
        .type = OFCONN_SERVICE,
        .probe_interval = 60,
        .band = OFPROTO_OUT_OF_BAND,
        .enable_async_msgs = true,
        .allowed_versions = get_allowed_versions(row),
        .max_pktq_size = get_queue_size(row, NULL),
    };
    shash_add_nocopy(ocs, xasprintf("punix:%s/%s.mgmt",
                                    ovs_rundir(), br->name), oc);
}

static void
configure_snoops(struct bridge *br)
{
    struct sset snoops = SSET_INITIALIZER(&snoops);

    if (!ofproto_has_snoops(br->ofproto)) {
        sset_add_and_free(&snoops, xasprintf("punix:%s/%s.snoop",
                                             ovs_rundir(), br->name));
        ofproto_set_snoops(br->ofproto, &snoops);
    }
    sset_destroy(&snoops);
}

/* Configures controllers, sockets and fail mode of 'br'.  While flows are
 * being restored there are no controllers. */
void
bridge_configure_controllers(struct bridge *br)
{
    const struct ovsrec_bridge *row = bridge_row(br);
    const struct smap *oc = &row->other_config;
    bool in_band = !smap_get_bool(oc, "disable-in-band", false);
    struct ovsrec_controller **controllers;
    size_t n = bridge_get_controllers(row, &controllers);
    struct shash ocs = SHASH_INITIALIZER(&ocs);

    ofproto_set_in_band_queue(br->ofproto,
                              smap_get_int(oc, "in-band-queue", -1));
    ofproto_set_extra_in_band_remotes(br->ofproto, managers,
                                      in_band ? n_managers : 0);

    add_management(br, row, &ocs);
    for (size_t i = 0; i < n && !ofproto_get_flow_restore_wait(); i++) {
        if (is_permitted_target(br, controllers[i]->target)) {
            configure_local_address(br, controllers[i]);
            shash_add(&ocs, controllers[i]->target,
                      get_controller(row, controllers[i], in_band));
        }
    }
    ofproto_set_controllers(br->ofproto, &ocs);
    shash_destroy_free_data(&ocs);

    ofproto_set_fail_mode(br->ofproto,
                          (row->fail_mode && strcmp(row->fail_mode,
                                                    "standalone")
                           ? OFPROTO_FAIL_SECURE
                           : OFPROTO_FAIL_STANDALONE));
    configure_snoops(br);
}

static const char *
role_to_string(enum ofp12_controller_role role)
{
    switch (role) {
    case OFPCR12_ROLE_EQUAL:
        return "other";
    case OFPCR12_ROLE_PRIMARY:
        return "master";
    case OFPCR12_ROLE_SECONDARY:
        return "slave";
    case OFPCR12_ROLE_NOCHANGE:
    default:
        return NULL;
    }
}

/* Writes the state of the connections to the controllers of 'br' to the
 * database. */
void
bridge_refresh_controllers(struct bridge *br)
{
    struct shash infos = SHASH_INITIALIZER(&infos);
    struct ovsrec_controller **controllers;
    const struct ovsrec_bridge *row = bridge_row(br);
    size_t n = row ? bridge_get_controllers(row, &controllers) : 0;

    if (!n) {
        return;
    }
    ofproto_get_ofproto_controller_info(br->ofproto, &infos);
    for (size_t i = 0; i < n; i++) {
        const struct ovsrec_controller *c = controllers[i];
        /* Null for one that we listen for. */
        const struct ofproto_controller_info *info
            = shash_find_data(&infos, c->target);

        ovsrec_controller_set_is_connected(c, info && info->is_connected);
        ovsrec_controller_set_role(c, (info ? role_to_string(info->role)
                                       : NULL));
        ovsrec_controller_set_status(c, info ? &info->pairs : NULL);
    }
    ofproto_free_ofproto_controller_info(&infos);
}
