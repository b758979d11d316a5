/* Ports: opening, closing, numbering.  See port.h. */
#include <config.h>
#include "datapath/private.h"

#include <errno.h>

#include "datapath/kernel/kernel.h"
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

/* The class for 'netdev' in 'dp', NULL for a tunnel. */
static const struct port_class *
port_class_for(const struct datapath *dp, const struct netdev *netdev)
{
    const char *type = netdev_get_type(netdev);

    if (netdev_vport_is_vport_class(netdev_get_class(netdev))) {
        return NULL;
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
    return &port_packet_class;
}

int
dp_port_create(struct datapath *dp, struct netdev *netdev, const char *type,
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
    port->type = xstrdup(type);
    port->class = port_class_for(dp, netdev);

    if (port->class) {
        char *err = NULL;
        int error = port->class->open(port, &err);

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
    netdev_close(port->netdev);
    index_free(port->index);
    free(CONST_CAST(char *, port->type));
    free(port);
}
