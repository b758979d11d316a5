/* Quality of service: QoS and Queue rows on the network devices of ports, and
 * ingress policing. */
#include <config.h>
#include "vswitchd/vswitchd.h"

#include <errno.h>

#include "netdev.h"
#include "ofproto/ofproto.h"
#include "openvswitch/dynamic-string.h"
#include "openvswitch/ofpbuf.h"
#include "ovsdb-data.h"
#include "smap.h"
#include "sset.h"
#include "unixctl.h"
#include "util.h"
#include "vswitchd/log.h"

/* --- Configuration ------------------------------------------------------- */

static bool
has_queue(const struct ovsrec_qos *qos, int64_t queue_id)
{
    union ovsdb_atom atom = { .integer = queue_id };

    return ovsdb_datum_find_key(
        ovsrec_qos_get_queues(qos, OVSDB_TYPE_INTEGER, OVSDB_TYPE_UUID),
        &atom, OVSDB_TYPE_INTEGER, NULL);
}

static void
delete_unwanted_queues(struct netdev *netdev, const struct ovsrec_qos *qos)
{
    struct smap details = SMAP_INITIALIZER(&details);
    struct netdev_queue_dump dump;
    unsigned int queue_id;

    NETDEV_QUEUE_FOR_EACH (&queue_id, &details, &dump, netdev) {
        if (!has_queue(qos, queue_id)) {
            netdev_delete_queue(netdev, queue_id);
        }
    }
    smap_destroy(&details);
}

/* Configures the queues of 'qos' and appends those that packets are put into
 * by their DSCP to 'dscp_queues'. */
static void
set_queues(struct netdev *netdev, const struct ovsrec_qos *qos,
           struct ofpbuf *dscp_queues)
{
    for (size_t i = 0; i < qos->n_queues; i++) {
        const struct ovsrec_queue *queue = qos->value_queues[i];

        if (queue->n_dscp) {
            struct ofproto_port_queue *dscp_queue
                = ofpbuf_put_uninit(dscp_queues, sizeof *dscp_queue);

            dscp_queue->queue = qos->key_queues[i];
            dscp_queue->dscp = queue->dscp[0];
        }
        netdev_set_queue(netdev, qos->key_queues[i], &queue->other_config);
    }
    /* There always is a default queue. */
    if (!has_queue(qos, 0)) {
        struct smap details = SMAP_INITIALIZER(&details);

        netdev_set_queue(netdev, 0, &details);
        smap_destroy(&details);
    }
}

/* Says that 'what' can't be configured on 'iface', if 'error'. */
static void
report(const struct iface *iface, const char *what, int error)
{
    if (error) {
        VLOG_WARN("interface %s: %s cannot be configured: %s", iface->name,
                  what, (error == EOPNOTSUPP
                         ? "an interface of this type has no such thing"
                         : ovs_strerror(error)));
    }
}

/* Configures quality of service on open interface 'iface': 'qos', which may be
 * null, and policing. */
void
iface_configure_qos(struct iface *iface, const struct ovsrec_qos *qos)
{
    const struct ovsrec_interface *row = iface_row(iface);
    struct ofpbuf dscp_queues;

    ofpbuf_init(&dscp_queues, 0);
    if (!qos || !qos->type[0]) {
        netdev_set_qos(iface->netdev, NULL, NULL);
    } else {
        report(iface, "QoS", netdev_set_qos(iface->netdev, qos->type,
                                            &qos->other_config));
        delete_unwanted_queues(iface->netdev, qos);
        set_queues(iface->netdev, qos, &dscp_queues);
    }
    ofproto_port_set_queues(iface->port->bridge->ofproto, iface->ofp_port,
                            dscp_queues.data,
                            dscp_queues.size
                            / sizeof(struct ofproto_port_queue));
    ofpbuf_uninit(&dscp_queues);

    int error = netdev_set_policing(
        iface->netdev,
        MIN(UINT32_MAX, row->ingress_policing_rate),
        MIN(UINT32_MAX, row->ingress_policing_burst),
        MIN(UINT32_MAX, row->ingress_policing_kpkts_rate),
        MIN(UINT32_MAX, row->ingress_policing_kpkts_burst));
    if (row->ingress_policing_rate || row->ingress_policing_kpkts_rate) {
        report(iface, "ingress policing", error);
    }
}

/* --- qos/show-types and qos/show ----------------------------------------- */

static struct iface *
find_iface(struct unixctl_conn *conn, const char *name)
{
    struct iface *iface = iface_find(name);

    if (!iface || !iface->netdev) {
        unixctl_command_reply_error(conn, "no such interface");
        return NULL;
    }
    return iface;
}

static void
show_types(struct unixctl_conn *conn, int argc OVS_UNUSED, const char *argv[],
           void *aux OVS_UNUSED)
{
    struct sset types = SSET_INITIALIZER(&types);
    struct ds ds = DS_EMPTY_INITIALIZER;
    struct iface *iface = find_iface(conn, argv[1]);
    const char *type;
    int error;

    if (!iface) {
        return;
    }
    error = netdev_get_qos_types(iface->netdev, &types);
    if (error) {
        ds_put_format(&ds, "%s: failed to retrieve supported QoS types (%s)",
                      iface->name, ovs_strerror(error));
        unixctl_command_reply_error(conn, ds_cstr(&ds));
    } else {
        SSET_FOR_EACH (type, &types) {
            ds_put_format(&ds, "QoS type: %s\n", type);
        }
        if (sset_is_empty(&types)) {
            ds_put_format(&ds, "No QoS types supported for interface: %s\n",
                          iface->name);
        }
        unixctl_command_reply(conn, ds_cstr(&ds));
    }
    sset_destroy(&types);
    ds_destroy(&ds);
}

static void
put_smap(struct ds *ds, const char *indent, const struct smap *smap)
{
    const struct smap_node *node;

    SMAP_FOR_EACH (node, smap) {
        ds_put_format(ds, "%s%s: %s\n", indent, node->key, node->value);
    }
}

static void
put_counter(struct ds *ds, const char *name, uint64_t value)
{
    if (value != UINT64_MAX) {
        ds_put_format(ds, "  %s: %"PRIu64"\n", name, value);
    }
}

static void
put_queue(struct ds *ds, const struct iface *iface, unsigned int queue_id,
          const struct smap *details)
{
    struct netdev_queue_stats stats;
    int error;

    ds_put_char(ds, '\n');
    if (queue_id) {
        ds_put_format(ds, "Queue %u:\n", queue_id);
    } else {
        ds_put_cstr(ds, "Default:\n");
    }
    put_smap(ds, "  ", details);

    error = netdev_get_queue_stats(iface->netdev, queue_id, &stats);
    if (error) {
        ds_put_format(ds, "  Failed to get statistics for queue %u: %s",
                      queue_id, ovs_strerror(error));
        return;
    }
    put_counter(ds, "tx_packets", stats.tx_packets);
    put_counter(ds, "tx_bytes", stats.tx_bytes);
    put_counter(ds, "tx_errors", stats.tx_errors);
}

static void
put_qos(struct ds *ds, const struct iface *iface, const char *type,
        const struct smap *qos)
{
    struct smap details = SMAP_INITIALIZER(&details);
    struct netdev_queue_dump dump;
    unsigned int queue_id;

    if (!type[0]) {
        ds_put_format(ds, "QoS not configured on %s\n", iface->name);
        return;
    }
    ds_put_format(ds, "QoS: %s %s\n", iface->name, type);
    put_smap(ds, "", qos);
    NETDEV_QUEUE_FOR_EACH (&queue_id, &details, &dump, iface->netdev) {
        put_queue(ds, iface, queue_id, &details);
    }
    smap_destroy(&details);
}

static void
show(struct unixctl_conn *conn, int argc OVS_UNUSED, const char *argv[],
     void *aux OVS_UNUSED)
{
    struct iface *iface = find_iface(conn, argv[1]);
    struct smap qos = SMAP_INITIALIZER(&qos);
    struct ds ds = DS_EMPTY_INITIALIZER;
    const char *type;
    int error;

    if (!iface) {
        return;
    }
    error = netdev_get_qos(iface->netdev, &type, &qos);
    if (error) {
        ds_put_format(&ds, "%s: failed to retrieve QOS configuration (%s)\n",
                      iface->name, ovs_strerror(error));
        unixctl_command_reply_error(conn, ds_cstr(&ds));
    } else {
        put_qos(&ds, iface, type, &qos);
        unixctl_command_reply(conn, ds_cstr(&ds));
    }
    smap_destroy(&qos);
    ds_destroy(&ds);
}

/* Registers the commands. */
void
qos_init(void)
{
    unixctl_command_register("qos/show-types", "interface", 1, 1,
                             show_types, NULL);
    unixctl_command_register("qos/show", "interface", 1, 1, show, NULL);
}
