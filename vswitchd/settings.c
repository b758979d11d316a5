/* Daemon-wide configuration: Open_vSwitch.other_config and SSL, and what the
 * database is told about this program. */
#include <config.h>
#include "vswitchd/vswitchd.h"

#include "dpif.h"
#include "netdev.h"
#include "ofproto/ofproto.h"
#include "openvswitch/poll-loop.h"
#include "packets.h"
#include "smap.h"
#include "sset.h"
#include "stream-ssl.h"
#include "timeval.h"
#include "util.h"
#include "vswitchd/log.h"

/* How often the files with keys and certificates are looked at: they may be
 * replaced without a change to the database. */
#define SSL_INTERVAL_MSEC 1000

static long long int next_ssl_check = LLONG_MIN;

static void
update_flow_restore_wait(const struct smap *oc)
{
    struct bridge *br;

    /* Once it is over it doesn't come again. */
    if (!ofproto_get_flow_restore_wait()) {
        return;
    }
    ofproto_set_flow_restore_wait(smap_get_bool(oc, "flow-restore-wait",
                                                false));
    if (!ofproto_get_flow_restore_wait()) {
        BRIDGE_FOR_EACH (br) {
            bridge_mark(br, BRIDGE_CONTROLLERS);
        }
    }
}

/* Applies the daemon-wide configuration in 'root'. */
void
settings_update(const struct ovsrec_open_vswitch *root)
{
    const struct smap *oc = &root->other_config;
    const char *type;

    ofproto_set_flow_limit(smap_get_uint(oc, "flow-limit",
                                         OFPROTO_FLOW_LIMIT_DEFAULT));
    ofproto_set_max_idle(smap_get_uint(oc, "max-idle",
                                       OFPROTO_MAX_IDLE_DEFAULT));
    ofproto_set_max_revalidator(smap_get_uint(
        oc, "max-revalidator", OFPROTO_MAX_REVALIDATOR_DEFAULT));
    ofproto_set_min_revalidate_pps(smap_get_uint(
        oc, "min-revalidate-pps", OFPROTO_MIN_REVALIDATE_PPS_DEFAULT));
    ofproto_set_vlan_limit(smap_get_int(oc, "vlan-limit",
                                        LEGACY_MAX_VLAN_HEADERS));
    ofproto_set_bundle_idle_timeout(smap_get_uint(oc, "bundle-idle-timeout",
                                                  0));
    ofproto_set_threads(smap_get_int(oc, "n-handler-threads", 0),
                        smap_get_int(oc, "n-revalidator-threads", 0));
    SSET_FOR_EACH (type, &datapath_types) {
        ofproto_type_set_config(type, oc);
    }
    update_flow_restore_wait(oc);
    stats_interval_changed();
    system_stats_configure(root);
}

/* Applies the daemon-wide configuration to the datapath of 'type', which there
 * may not have been before: settings_update() reaches those that exist. */
void
settings_configure_type(const char *type)
{
    const struct ovsrec_open_vswitch *root = root_row();

    if (root) {
        ofproto_type_set_config(type, &root->other_config);
    }
}

static void
write_enumeration(const struct ovsrec_open_vswitch *root,
                  void (*enumerate)(struct sset *),
                  void (*set)(const struct ovsrec_open_vswitch *,
                              const char **, size_t))
{
    struct sset types = SSET_INITIALIZER(&types);
    const char **array;

    enumerate(&types);
    array = sset_array(&types);
    set(root, array, sset_count(&types));
    free(array);
    sset_destroy(&types);
}

/* Tells the database what this program is and which types there are. */
void
settings_write_types(const struct ovsrec_open_vswitch *root)
{
    write_enumeration(root, dp_enumerate_types,
                      ovsrec_open_vswitch_set_datapath_types);
    write_enumeration(root, netdev_enumerate_types,
                      ovsrec_open_vswitch_set_iface_types);
    /* Clients tell by these what they can use. */
    ovsrec_open_vswitch_set_ovs_version(root, VERSION);
    ovsrec_open_vswitch_set_db_version(root, ovsrec_get_db_version());
    ovsrec_open_vswitch_set_dpdk_initialized(root, false);
}

/* Configures SSL.  If 'changed', the database did, and what it wants may make
 * connections that need it: this has to be called before. */
void
settings_run(const struct ovsrec_open_vswitch *root, bool changed)
{
    const struct ovsrec_ssl *ssl = root->ssl;

    if (ssl && (changed || time_msec() >= next_ssl_check)) {
        stream_ssl_set_key_and_cert(ssl->private_key, ssl->certificate);
        stream_ssl_set_ca_cert_file(ssl->ca_cert, ssl->bootstrap_ca_cert);
        next_ssl_check = time_msec() + SSL_INTERVAL_MSEC;
    }
}
