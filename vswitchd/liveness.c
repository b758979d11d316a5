/* Whether an interface's other end is alive: CFM, BFD, LACP and LLDP, and for
 * a patch port whether its peer is there. */
#include <config.h>
#include "vswitchd/vswitchd.h"

#include <errno.h>

#include "cfm.h"
#include "netdev.h"
#include "netdev-vport.h"
#include "ofproto/ofproto.h"
#include "smap.h"
#include "util.h"
#include "vswitchd/log.h"

static struct ovs_list peer_checks = OVS_LIST_INITIALIZER(&peer_checks);

/* --- Configuration ------------------------------------------------------- */

static uint16_t
get_ccm_vlan(const struct smap *oc)
{
    const char *s = smap_get(oc, "cfm_ccm_vlan");
    int vlan;

    if (s && !strcasecmp(s, "random")) {
        return CFM_RANDOM_VLAN;
    }
    vlan = smap_get_int(oc, "cfm_ccm_vlan", 0);
    return vlan > 0 && vlan < CFM_RANDOM_VLAN ? vlan : 0;
}

/* A tunnel whose key the flows choose hears CCMs with any key. */
static bool
tunnel_key_is_from_flow(const struct netdev *netdev)
{
    const struct netdev_tunnel_config *config
        = netdev_get_tunnel_config(netdev);

    return config && (config->in_key_flow || config->out_key_flow);
}

static void
configure_cfm(const struct iface *iface, const struct ovsrec_interface *row)
{
    struct ofproto *ofproto = iface->port->bridge->ofproto;
    const struct smap *oc = &row->other_config;
    struct cfm_settings s;
    int interval;

    if (!row->n_cfm_mpid) {
        ofproto_port_clear_cfm(ofproto, iface->ofp_port);
        return;
    }
    interval = smap_get_int(oc, "cfm_interval", 0);
    s = (struct cfm_settings) {
        .mpid = *row->cfm_mpid,
        .interval = interval > 0 ? interval : 1000,
        .extended = smap_get_bool(oc, "cfm_extended", false),
        .demand = smap_get_bool(oc, "cfm_demand", false),
        .opup = !strcasecmp(smap_get_def(oc, "cfm_opstate", "up"), "up"),
        .ccm_vlan = get_ccm_vlan(oc),
        .ccm_pcp = smap_get_int(oc, "cfm_ccm_pcp", 0),
        .check_tnl_key = tunnel_key_is_from_flow(iface->netdev),
    };
    ofproto_port_set_cfm(ofproto, iface->ofp_port, &s);
}

/* Configures CFM, BFD and LLDP on open interface 'iface', whose row is 'row'.
 * Its port has been configured, so that LACP is known. */
void
iface_configure_liveness(struct iface *iface,
                         const struct ovsrec_interface *row)
{
    struct ofproto *ofproto = iface->port->bridge->ofproto;
    bool was_watched = !ovs_list_is_empty(&iface->watch_node);
    bool watch;

    configure_cfm(iface, row);
    ofproto_port_set_bfd(ofproto, iface->ofp_port, &row->bfd);
    ofproto_port_set_lldp(ofproto, iface->ofp_port, &row->lldp);

    watch = (row->n_cfm_mpid || !smap_is_empty(&row->bfd)
             || port_is_bond(iface->port) || port_row(iface->port)->lacp);
    iface_watch(iface, watch);
    if (watch || was_watched) {
        iface_refresh_liveness(iface, true);
    }
}

/* --- Status -------------------------------------------------------------- */

static void
clear_cfm(const struct ovsrec_interface *row)
{
    ovsrec_interface_set_cfm_fault(row, NULL, 0);
    ovsrec_interface_set_cfm_fault_status(row, NULL, 0);
    ovsrec_interface_set_cfm_remote_opstate(row, NULL);
    ovsrec_interface_set_cfm_flap_count(row, NULL, 0);
    ovsrec_interface_set_cfm_health(row, NULL, 0);
    ovsrec_interface_set_cfm_remote_mpids(row, NULL, 0);
}

static void
write_cfm_faults(const struct ovsrec_interface *row, int faults)
{
    const char *reasons[CFM_FAULT_N_REASONS];
    bool faulted = faults != 0;
    size_t n = 0;

    for (int i = 0; i < CFM_FAULT_N_REASONS; i++) {
        if (faults & (1 << i)) {
            reasons[n++] = cfm_fault_reason_to_str(1 << i);
        }
    }
    ovsrec_interface_set_cfm_fault(row, &faulted, 1);
    ovsrec_interface_set_cfm_fault_status(row, reasons, n);
}

static void
refresh_cfm(const struct iface *iface, const struct ovsrec_interface *row)
{
    struct cfm_status status;
    int64_t flap_count, health;

    /* Negative: no news since the last time. */
    int error = ofproto_port_get_cfm_status(iface->port->bridge->ofproto,
                                            iface->ofp_port, &status);
    if (error > 0) {
        clear_cfm(row);
    }
    if (error) {
        return;
    }
    flap_count = status.flap_count;
    health = status.health;
    write_cfm_faults(row, status.faults);
    ovsrec_interface_set_cfm_flap_count(row, &flap_count, 1);
    ovsrec_interface_set_cfm_health(row, &health, health >= 0);
    ovsrec_interface_set_cfm_remote_opstate(row, (status.remote_opstate < 0
                                                  ? NULL
                                                  : status.remote_opstate
                                                  ? "up" : "down"));
    ovsrec_interface_set_cfm_remote_mpids(
        row, (const int64_t *) status.rmps, status.n_rmps);
    free(status.rmps);
}

static void
refresh_bfd(const struct iface *iface, const struct ovsrec_interface *row)
{
    struct smap status = SMAP_INITIALIZER(&status);

    ofproto_port_get_bfd_status(iface->port->bridge->ofproto,
                                iface->ofp_port, &status);
    ovsrec_interface_set_bfd_status(row, &status);
    smap_destroy(&status);
}

/* Writes to the database what is known of the other end of open interface
 * 'iface', as far as it changed or 'force'. */
void
iface_refresh_liveness(struct iface *iface, bool force)
{
    struct ofproto *ofproto = iface->port->bridge->ofproto;
    const struct ovsrec_interface *row = iface_row(iface);
    int current = ofproto_port_is_lacp_current(ofproto, iface->ofp_port);
    bool is_current = current > 0;

    ovsrec_interface_set_lacp_current(row, &is_current, current >= 0);
    if (ofproto_port_cfm_status_changed(ofproto, iface->ofp_port) || force) {
        refresh_cfm(iface, row);
    }
    if (ofproto_port_bfd_status_changed(ofproto, iface->ofp_port) || force) {
        refresh_bfd(iface, row);
    }
}

/* --- Peers of patch ports ------------------------------------------------ */

static void
check_later(struct iface *iface)
{
    if (iface && ovs_list_is_empty(&iface->peer_node)) {
        ovs_list_push_back(&peer_checks, &iface->peer_node);
    }
}

/* 'iface' was opened or reconfigured or is about to be closed.  If it is a
 * patch port, then that matters to its peer, and to the one it had before. */
void
iface_peer_changed(struct iface *iface)
{
    bool is_patch = netdev_vport_is_patch(iface->netdev);

    if (!is_patch && !iface->peer) {
        return;
    }
    if (iface->peer) {
        check_later(iface_find(iface->peer));
    }
    free(iface->peer);
    iface->peer = is_patch ? netdev_vport_patch_peer(iface->netdev) : NULL;
    if (iface->peer) {
        check_later(iface_find(iface->peer));
    }
    check_later(iface);
}

/* Writes to the database for which of the patch ports that
 * iface_peer_changed() was about there is no peer. */
void
ifaces_check_peers(void)
{
    struct iface *iface;

    LIST_FOR_EACH_POP (iface, peer_node, &peer_checks) {
        char *message = NULL;
        int error;

        ovs_list_init(&iface->peer_node);
        if (!iface->netdev) {
            continue;
        }
        error = ofproto_vport_get_status(iface->port->bridge->ofproto,
                                         iface->ofp_port, &message);
        if (error && error != EOPNOTSUPP) {
            ovsrec_interface_set_error(iface_row(iface),
                                       (message ? message
                                        : ovs_strerror(error)));
        } else {
            ovsrec_interface_set_error(iface_row(iface), iface->error);
        }
        free(message);
    }
}
