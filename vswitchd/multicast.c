/* Multicast snooping. */
#include <config.h>
#include "vswitchd/vswitchd.h"

#include "mcast-snooping.h"
#include "ofproto/ofproto.h"
#include "smap.h"
#include "util.h"
#include "vswitchd/log.h"

/* Configures multicast snooping on 'port', which has open interfaces, as it is
 * on for its bridge. */
void
port_configure_multicast(struct port *port)
{
    const struct smap *oc = &port_row(port)->other_config;
    struct ofproto_mcast_snooping_port_settings s = {
        .flood = smap_get_bool(oc, "mcast-snooping-flood", false),
        .flood_reports = smap_get_bool(oc, "mcast-snooping-flood-reports",
                                       false),
    };

    if (ofproto_port_set_mcast_snooping(port->bridge->ofproto, port, &s)) {
        VLOG_ERR("port %s: could not configure mcast snooping", port->name);
    }
}

/* Configures multicast snooping on 'br' and all of its ports. */
void
bridge_configure_multicast(struct bridge *br)
{
    const struct ovsrec_bridge *row = bridge_row(br);
    const struct smap *oc = &row->other_config;
    int idle_time = smap_get_int(oc, "mcast-snooping-aging-time", 0);
    int max_entries = smap_get_int(oc, "mcast-snooping-table-size", 0);
    struct ofproto_mcast_snooping_settings s = {
        .idle_time = idle_time ? idle_time : MCAST_ENTRY_DEFAULT_IDLE_TIME,
        .max_entries = max_entries ? max_entries : MCAST_DEFAULT_MAX_ENTRIES,
        .flood_unreg = !smap_get_bool(
            oc, "mcast-snooping-disable-flood-unregistered", false),
    };
    struct port *port;

    br->multicast = row->mcast_snooping_enable;
    if (!br->multicast) {
        ofproto_set_mcast_snooping(br->ofproto, NULL);
        return;
    }
    if (ofproto_set_mcast_snooping(br->ofproto, &s)) {
        VLOG_ERR("bridge %s: could not enable multicast snooping", br->name);
        br->multicast = false;
        return;
    }
    LIST_FOR_EACH (port, bridge_node, &br->ports) {
        if (port->n_open) {
            port_configure_multicast(port);
        }
    }
}
