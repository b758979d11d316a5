/* Ports: opening, closing, numbering.  See port.h. */
#include <config.h>
#include "datapath/private.h"

#include <errno.h>

#include "datapath/addresses.h"
#include "datapath/netdev-system.h"
#include "datapath/kernel/kernel.h"
#include "datapath/port-qos.h"
#include "netdev.h"
#include "netdev-provider.h"
#include "netdev-vport.h"
#include "openvswitch/vlog.h"
#include "ovs-thread.h"
#include "util.h"

VLOG_DEFINE_THIS_MODULE(datapath_port);

/* Indexes into the per-thread tables, for ports of all datapaths. */
static struct ovs_mutex index_mutex = OVS_MUTEX_INITIALIZER;
static uint16_t free_indexes[DP_MAX_PORTS];
static unsigned int n_free_indexes;
static unsigned int n_indexes;

static bool
index_alloc(unsigned int *index)
{
    bool ok = true;

    ovs_mutex_lock(&index_mutex);
    if (n_free_indexes) {
        *index = free_indexes[--n_free_indexes];
    } else if (n_indexes < DP_MAX_PORTS) {
        *index = n_indexes++;
    } else {
        ok = false;
    }
    ovs_mutex_unlock(&index_mutex);
    if (ok) {
        port_reset_counters(*index);
    }
    return ok;
}

static void
index_free(unsigned int index)
{
    ovs_mutex_lock(&index_mutex);
    free_indexes[n_free_indexes++] = index;
    ovs_mutex_unlock(&index_mutex);
}

unsigned int
port_index_end(void)
{
    ovs_mutex_lock(&index_mutex);
    unsigned int end = n_indexes;
    ovs_mutex_unlock(&index_mutex);
    return end;
}

/* The class for 'netdev' in 'dp', NULL for a tunnel by actions. */
static const struct port_class *
port_class_for(const struct datapath *dp, const struct netdev *netdev)
{
    const char *type = netdev_get_type(netdev);

    if (netdev_vport_is_vport_class(netdev_get_class(netdev))) {
        return datapath_has_native_tunnels(dp) || datapath_is_dummy(dp)
               ? NULL : &port_tunnel_class;
    }
    if (datapath_is_dummy(dp)) {
        return &port_netdev_class;
    }
    if (!strcmp(type, "internal") || !strcmp(type, "tap")) {
        return &port_tap_class;
    }
    if (netdev_is_vhost(netdev)) {
        return &port_vhost_class;
    }
    return netdev_system_get_options(netdev).xdp != XDP_MODE_OFF
           ? &port_afxdp_class : &port_packet_class;
}

/* Opens 'port' by its class.  Where AF_XDP is not possible packet sockets
 * are. */
static int
port_open(struct port *port, char **errp)
{
    int error = port->class->open(port, errp);

    if (error && error != ENODEV && port->class == &port_afxdp_class) {
        VLOG_WARN("%s; using packet sockets instead", *errp);
        netdev_system_set_xdp_status(port->netdev, "off (%s)", *errp);
        free(*errp);
        *errp = NULL;
        port->class = &port_packet_class;
        error = port->class->open(port, errp);
    }
    return error;
}

int
dp_port_create(struct datapath *dp, struct netdev *netdev, const char *name,
               odp_port_t number, struct port **portp)
{
    struct port *port = xzalloc(sizeof *port);

    if (!index_alloc(&port->index)) {
        VLOG_WARN("%s: cannot add port %s: there are %d ports already",
                  dp->name, netdev_get_name(netdev), DP_MAX_PORTS);
        free(port);
        return ENOSPC;
    }
    port->dp = dp;
    port->number = number;
    port->netdev = netdev_ref(netdev);
    port->name = xstrdup(name);
    port->type = xstrdup(netdev_get_type(netdev));
    port->class = port_class_for(dp, netdev);
    port_qos_attach(port);

    if (port->class) {
        char *err = NULL;
        int error = port_open(port, &err);

        if (error) {
            VLOG_WARN("%s: cannot add port %s: %s", dp->name,
                      netdev_get_name(netdev),
                      err ? err : ovs_strerror(error));
            free(err);
            port->class = NULL;
            dp_port_destroy(port);
            return error;
        }
    }
    *portp = port;
    return 0;
}

/* Called after a grace period. */
static void
port_free(struct port *port)
{
    index_free(port->index);
    free(CONST_CAST(char *, port->name));
    free(CONST_CAST(char *, port->type));
    free(port);
}

void
dp_port_destroy(struct port *port)
{
    if (port->class) {
        /* Whoever sends to a port is online: once everybody has been offline,
         * nobody does any more. */
        vhost_synchronize();
        if (port->deleted) {
            kernel_flows_remove_port(port);
        }
        port->class->close(port);
    }
    port_addresses_destroy(port);
    port_qos_detach(port);
    netdev_close(port->netdev);
    ovsrcu_postpone(port_free, port);
}
