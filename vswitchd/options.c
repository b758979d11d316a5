/* Options of interfaces, given to their network devices.
 *
 * libopenvswitch takes options that don't exist for a matter of the log file
 * alone: whoever mistyped one in the database looks there.  So what came of it
 * is told by Interface.error, though the interface works. */
#include <config.h>
#include "vswitchd/vswitchd.h"

#include "netdev.h"
#include "netdev-provider.h"
#include "openvswitch/dynamic-string.h"
#include "smap.h"
#include "util.h"

/* The options of tunnels, see ovs-vswitchd.conf.db(5).  The last three are for
 * ovs-monitor-ipsec. */
static const char *const tunnel_options[] = {
    "remote_ip", "local_ip", "key", "in_key", "out_key", "dst_port", "tos",
    "ttl", "df_default", "csum", "seq", "exts", "egress_pkt_mark",
    "packet_type", "payload_type", "erspan_idx", "erspan_ver", "erspan_dir",
    "erspan_hwid", "remote_cert", "remote_name", "psk",
};

static bool
is_tunnel_option(const char *name)
{
    for (size_t i = 0; i < ARRAY_SIZE(tunnel_options); i++) {
        if (!strcmp(name, tunnel_options[i])) {
            return true;
        }
    }
    return false;
}

static char *
get_unknown_tunnel_options(const struct netdev *netdev,
                           const struct smap *options)
{
    struct ds ds = DS_EMPTY_INITIALIZER;
    const struct smap_node *node;

    SMAP_FOR_EACH (node, options) {
        if (!is_tunnel_option(node->key)) {
            ds_put_format(&ds, "%s%s: unknown %s argument '%s'",
                          ds.length ? "\n" : "", netdev_get_name(netdev),
                          netdev_get_type(netdev), node->key);
        }
    }
    return ds.length ? ds_steal_cstr(&ds) : NULL;
}

static int
apply_options(struct netdev *netdev, const struct smap *options, char **errp)
{
    const struct netdev_class *class = netdev_get_class(netdev);
    int error;

    *errp = NULL;
    if (!class->set_config) {
        if (!smap_is_empty(options)) {
            *errp = xasprintf("%s: arguments provided to device that is not "
                              "configurable: interfaces of type \"%s\" have "
                              "no options",
                              netdev_get_name(netdev), class->type);
        }
        return 0;
    }
    error = class->set_config(netdev, options, errp);
    if (error && !*errp) {
        *errp = xasprintf("%s: could not set configuration (%s)",
                          netdev_get_name(netdev), ovs_strerror(error));
    } else if (!error && !*errp && netdev_get_tunnel_config(netdev)) {
        *errp = get_unknown_tunnel_options(netdev, options);
    }
    return error;
}

/* Returns 'a' and 'b' together, which it frees; each may be NULL. */
static char *
join_lines(char *a, char *b)
{
    if (!a || !b) {
        return a ? a : b;
    }

    char *both = xasprintf("%s\n%s", a, b);
    free(a);
    free(b);
    return both;
}

/* Applies the options in 'row' to 'netdev', but for those that are the
 * switch's.  Returns 0 or a positive errno value.  In '*errp' it stores NULL
 * or a message that the caller must free: with an error its cause, with
 * success which options, of the switch's too, were ignored. */
int
netdev_apply_options(struct netdev *netdev, const struct ovsrec_interface *row,
                     char **errp)
{
    struct smap own = SMAP_INITIALIZER(&own);
    const struct smap_node *node;

    SMAP_FOR_EACH (node, &row->options) {
        if (!is_switch_option(node->key)) {
            smap_add(&own, node->key, node->value);
        }
    }
    int error = apply_options(netdev, &own, errp);
    smap_destroy(&own);
    if (!error) {
        *errp = join_lines(*errp, check_switch_options(row));
    }
    return error;
}
