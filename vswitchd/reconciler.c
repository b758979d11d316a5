/* The reconciler's main part: from a change in the database to what it makes
 * dirty, and one trip of everything through the main loop.
 *
 * A trip:
 *
 *   1. The IDL reads what the database server sends; the kernel tells which
 *      network devices came or went.
 *   2. If the database changed, the changed rows mark objects dirty and the
 *      dirty objects are brought to what the database wants:
 *      reconcile().
 *   3. libofproto runs, connected to the database or not: OpenFlow, new flows
 *      and slow-path protocols never wait for the database server.
 *   4. What happened goes back to the database, all of it in one transaction:
 *      results of step 2 together with Open_vSwitch.cur_cfg, which tells
 *      ovs-vsctl that its change is done, and status and statistics as far as
 *      it is their time.
 *
 * Only the process that holds the database's lock "ovs_vswitchd" does any of
 * this.  A lost connection loses the lock, too, but that changes nothing: the
 * replica stays as it was and the objects stay with it.  Only when the server
 * says that somebody else has the lock is everything given up.
 *
 * When the IDL has reloaded the database, which it does each time that it
 * reconnects, its change tracking is of no use.  The one row of the
 * Open_vSwitch table is new then, although it was known: that is the sign for
 * looking at everything, which is idempotent. */
#include <config.h>
#include "vswitchd/vswitchd.h"

#include <unistd.h>

#include "bfd.h"
#include "cfm.h"
#include "coverage.h"
#include "daemon.h"
#include "lacp.h"
#include "netdev.h"
#include "odp-execute.h"
#include "ofproto/bond.h"
#include "ofproto/ofproto.h"
#include "openvswitch/poll-loop.h"
#include "openvswitch/shash.h"
#include "openvswitch/vlog.h"
#include "ovs-lldp.h"
#include "ovs-numa.h"
#include "ovsdb-idl.h"
#include "netlink-notifier.h"
#include "rstp.h"
#include "rtnetlink.h"
#include "simap.h"
#include "sset.h"
#include "stp.h"
#include "timeval.h"
#include "util.h"

VLOG_DEFINE_THIS_MODULE(bridge);

COVERAGE_DEFINE(bridge_reconfigure);

struct ovsdb_idl *idl;
uint64_t write_seq = 1;
struct sset datapath_types = SSET_INITIALIZER(&datapath_types);

/* How long the server may say that another process has the lock, after this
 * one had it, before we believe it.  When a connection breaks, the server may
 * hear of the new one before it hears of the end of the old one. */
#define CONTENTION_GRACE_MSEC 1000

static struct nln_notifier *link_notifier;
static unsigned int idl_seqno;  /* Of what was last reconciled. */
static bool initialized;        /* ofproto_init() was called. */
static bool look_at_all;        /* Not only at what changed. */
static bool running;            /* Holds, or held, the lock. */
static long long int contended_since = LLONG_MAX;
static bool unwritten;          /* A transaction could not be sent. */

/* The transaction that was sent last, while its outcome is unknown. */
static struct ovsdb_idl_txn *sent_txn;

/* The initial configuration: the process that started this one in the
 * background waits until it is done, and recorded in the database. */
static enum { INITIAL, INITIAL_SENT, CONFIGURED } progress = INITIAL;

/* Columns that only we write, so that their changes mean nothing to us. */
static const struct ovsdb_idl_column *const write_only_columns[] = {
    &ovsrec_open_vswitch_col_cur_cfg,
    &ovsrec_open_vswitch_col_statistics,
    &ovsrec_open_vswitch_col_datapath_types,
    &ovsrec_open_vswitch_col_iface_types,
    &ovsrec_open_vswitch_col_ovs_version,
    &ovsrec_open_vswitch_col_db_version,
    &ovsrec_open_vswitch_col_dpdk_initialized,
    &ovsrec_bridge_col_datapath_id,
    &ovsrec_bridge_col_datapath_version,
    &ovsrec_bridge_col_status,
    &ovsrec_bridge_col_rstp_status,
    &ovsrec_port_col_status,
    &ovsrec_port_col_rstp_status,
    &ovsrec_port_col_rstp_statistics,
    &ovsrec_port_col_statistics,
    &ovsrec_port_col_bond_active_slave,
    &ovsrec_interface_col_admin_state,
    &ovsrec_interface_col_duplex,
    &ovsrec_interface_col_link_speed,
    &ovsrec_interface_col_link_state,
    &ovsrec_interface_col_link_resets,
    &ovsrec_interface_col_mac_in_use,
    &ovsrec_interface_col_ifindex,
    &ovsrec_interface_col_mtu,
    &ovsrec_interface_col_ofport,
    &ovsrec_interface_col_statistics,
    &ovsrec_interface_col_status,
    &ovsrec_interface_col_cfm_fault,
    &ovsrec_interface_col_cfm_fault_status,
    &ovsrec_interface_col_cfm_remote_mpids,
    &ovsrec_interface_col_cfm_flap_count,
    &ovsrec_interface_col_cfm_health,
    &ovsrec_interface_col_cfm_remote_opstate,
    &ovsrec_interface_col_bfd_status,
    &ovsrec_interface_col_lacp_current,
    &ovsrec_interface_col_error,
    &ovsrec_controller_col_is_connected,
    &ovsrec_controller_col_role,
    &ovsrec_controller_col_status,
    &ovsrec_mirror_col_statistics,
    &ovsrec_datapath_col_capabilities,
    &ovsrec_datapath_col_datapath_version,
};

/* Columns that are nothing to us at all.  The first are what libofproto can't
 * do: the databases of a host that comes over from Open vSwitch 3.1 don't have
 * them, and that is nothing to warn of. */
static const struct ovsdb_idl_column *const omitted_columns[] = {
    &ovsrec_ct_zone_col_limit,
    &ovsrec_datapath_col_ct_zone_default_limit,
    &ovsrec_flow_sample_collector_set_col_local_group_id,
    &ovsrec_ipfix_col_stats_interval,
    &ovsrec_ipfix_col_template_interval,
    &ovsrec_mirror_col_filter,
    &ovsrec_open_vswitch_col_external_ids,
    &ovsrec_open_vswitch_col_system_type,
    &ovsrec_open_vswitch_col_system_version,
    &ovsrec_open_vswitch_col_dpdk_version,
    &ovsrec_bridge_col_external_ids,
    &ovsrec_port_col_external_ids,
    &ovsrec_controller_col_external_ids,
    &ovsrec_qos_col_external_ids,
    &ovsrec_queue_col_external_ids,
    &ovsrec_mirror_col_external_ids,
    &ovsrec_netflow_col_external_ids,
    &ovsrec_sflow_col_external_ids,
    &ovsrec_ipfix_col_external_ids,
    &ovsrec_flow_sample_collector_set_col_external_ids,
    &ovsrec_flow_table_col_external_ids,
    &ovsrec_datapath_col_external_ids,
    &ovsrec_ct_zone_col_external_ids,
    &ovsrec_ct_timeout_policy_col_external_ids,
    &ovsrec_manager_col_external_ids,
    &ovsrec_manager_col_inactivity_probe,
    &ovsrec_manager_col_is_connected,
    &ovsrec_manager_col_max_backoff,
    &ovsrec_manager_col_status,
    &ovsrec_manager_col_other_config,
    &ovsrec_ssl_col_external_ids,
};

static void
link_changed(const struct rtnetlink_change *change, void *aux OVS_UNUSED)
{
    softmac_device_changed();
    if (!change) {
        ifaces_all_devices_changed();
    } else if (change->ifname && !change->irrelevant) {
        iface_device_changed(change->ifname);
    }
}

/* Starts the reconciler with the configuration in the database at 'remote'
 * (ovsdb(7), "Connection Methods").  Call once, after the datapath was
 * initialized. */
void
reconciler_init(const char *remote)
{
    idl = ovsdb_idl_create(remote, &ovsrec_idl_class, true, true);
    idl_seqno = ovsdb_idl_get_seqno(idl);
    ovsdb_idl_set_lock(idl, "ovs_vswitchd");
    ovsdb_idl_track_add_all(idl);
    for (size_t i = 0; i < ARRAY_SIZE(write_only_columns); i++) {
        ovsdb_idl_omit_alert(idl, write_only_columns[i]);
    }
    for (size_t i = 0; i < ARRAY_SIZE(omitted_columns); i++) {
        ovsdb_idl_omit(idl, omitted_columns[i]);
    }
    /* The two that auto-attach changes, too. */
    ovsdb_idl_set_write_changed_only(idl, &ovsrec_port_col_trunks, true);
    ovsdb_idl_set_write_changed_only(idl, &ovsrec_port_col_vlan_mode, true);

    lacp_init();
    bond_init();
    cfm_init();
    bfd_init();
    ovs_numa_init();
    stp_init();
    lldp_init();
    rstp_init();
    odp_execute_init();
    commands_init();
    softmac_init();

    link_notifier = rtnetlink_notifier_create(link_changed, NULL);
}

/* Frees everything.  If 'delete_datapath', also deletes what would outlive
 * this process: devices of internal ports and datapaths. */
void
reconciler_exit(bool delete_datapath)
{
    rtnetlink_notifier_destroy(link_notifier);
    softmac_exit(!delete_datapath);
    datapaths_destroy_all();
    bridges_destroy_all(delete_datapath);
    if (sent_txn) {
        ovsdb_idl_txn_destroy(sent_txn);
    }
    ovsdb_idl_destroy(idl);
    sset_destroy(&datapath_types);
}

/* Returns the database's one Open_vSwitch row, or NULL. */
const struct ovsrec_open_vswitch *
root_row(void)
{
    return ovsrec_open_vswitch_first(idl);
}

/* Returns true once the initial configuration is in effect. */
bool
reconciler_is_configured(void)
{
    return progress == CONFIGURED;
}

/* --- From changed rows to dirty objects ---------------------------------- */

static void
mark_all(void)
{
    struct bridge *br;

    BRIDGE_FOR_EACH (br) {
        struct port *port;

        bridge_mark(br, BRIDGE_ALL);
        LIST_FOR_EACH (port, bridge_node, &br->ports) {
            struct iface *iface;

            port_mark(port);
            LIST_FOR_EACH (iface, port_node, &port->ifaces) {
                iface_mark(iface);
            }
        }
    }
}

/* Aspects of a bridge in which rows of other tables take part.  When such a
 * row changes, the IDL tracks the rows that refer to it, too. */
static unsigned int
changed_aspects_by_reference(void)
{
    unsigned int aspects = 0;

    if (ovsrec_controller_track_get_first(idl)) {
        aspects |= BRIDGE_CONTROLLERS | BRIDGE_EXPORT;
    }
    if (ovsrec_mirror_track_get_first(idl)) {
        aspects |= BRIDGE_MIRRORS | BRIDGE_ADDRESS | BRIDGE_SPANNING_TREE;
    }
    if (ovsrec_netflow_track_get_first(idl)
        || ovsrec_sflow_track_get_first(idl)
        || ovsrec_ipfix_track_get_first(idl)) {
        aspects |= BRIDGE_EXPORT;
    }
    if (ovsrec_flow_table_track_get_first(idl)) {
        aspects |= BRIDGE_TABLES;
    }
    if (ovsrec_autoattach_track_get_first(idl)) {
        aspects |= BRIDGE_AUTO_ATTACH;
    }
    return aspects;
}

static unsigned int
changed_aspects(const struct ovsrec_bridge *row)
{
    static const struct {
        enum ovsrec_bridge_column_id column;
        unsigned int aspects;
    } columns[] = {
        { OVSREC_BRIDGE_COL_PORTS, BRIDGE_PORTS },
        { OVSREC_BRIDGE_COL_MIRRORS,
          BRIDGE_MIRRORS | BRIDGE_ADDRESS | BRIDGE_SPANNING_TREE },
        { OVSREC_BRIDGE_COL_FLOOD_VLANS, BRIDGE_MIRRORS },
        { OVSREC_BRIDGE_COL_CONTROLLER,
          BRIDGE_CONTROLLERS | BRIDGE_PORTS | BRIDGE_EXPORT },
        { OVSREC_BRIDGE_COL_FAIL_MODE, BRIDGE_CONTROLLERS },
        { OVSREC_BRIDGE_COL_PROTOCOLS, BRIDGE_CONTROLLERS },
        { OVSREC_BRIDGE_COL_NETFLOW, BRIDGE_EXPORT },
        { OVSREC_BRIDGE_COL_SFLOW, BRIDGE_EXPORT },
        { OVSREC_BRIDGE_COL_IPFIX, BRIDGE_EXPORT },
        { OVSREC_BRIDGE_COL_FLOW_TABLES, BRIDGE_TABLES },
        { OVSREC_BRIDGE_COL_STP_ENABLE, BRIDGE_SPANNING_TREE },
        { OVSREC_BRIDGE_COL_RSTP_ENABLE, BRIDGE_SPANNING_TREE },
        { OVSREC_BRIDGE_COL_MCAST_SNOOPING_ENABLE, BRIDGE_MULTICAST },
        { OVSREC_BRIDGE_COL_AUTO_ATTACH, BRIDGE_AUTO_ATTACH },
        { OVSREC_BRIDGE_COL_OTHER_CONFIG,
          BRIDGE_ADDRESS | BRIDGE_FORWARDING | BRIDGE_CONTROLLERS
          | BRIDGE_SPANNING_TREE | BRIDGE_MULTICAST },
    };
    unsigned int aspects = 0;

    for (size_t i = 0; i < ARRAY_SIZE(columns); i++) {
        if (ovsrec_bridge_is_updated(row, columns[i].column)) {
            aspects |= columns[i].aspects;
        }
    }
    return aspects;
}

static void
mark_changed(void)
{
    const struct ovsrec_flow_sample_collector_set *fscs;
    unsigned int by_reference = changed_aspects_by_reference();
    const struct ovsrec_interface *iface_row;
    const struct ovsrec_bridge *bridge_row;
    const struct ovsrec_port *port_row;

    OVSREC_BRIDGE_FOR_EACH_TRACKED (bridge_row, idl) {
        struct bridge *br = bridge_by_uuid(&bridge_row->header_.uuid);

        if (br && !ovsrec_bridge_is_deleted(bridge_row)) {
            bridge_mark(br, changed_aspects(bridge_row) | by_reference);
        }
    }
    OVSREC_PORT_FOR_EACH_TRACKED (port_row, idl) {
        struct port *port = port_by_uuid(&port_row->header_.uuid);

        if (port && !ovsrec_port_is_deleted(port_row)) {
            port_mark(port);
            if (port->bridge->spanning_tree
                && ovsrec_port_is_updated(port_row,
                                          OVSREC_PORT_COL_OTHER_CONFIG)) {
                bridge_mark(port->bridge, BRIDGE_SPANNING_TREE);
            }
        }
    }
    OVSREC_INTERFACE_FOR_EACH_TRACKED (iface_row, idl) {
        struct iface *iface = iface_by_uuid(&iface_row->header_.uuid);

        if (iface && !ovsrec_interface_is_deleted(iface_row)) {
            iface_mark(iface);
        }
    }

    /* These refer to bridges, not the other way round, and may have referred
     * to another one before. */
    fscs = ovsrec_flow_sample_collector_set_track_get_first(idl);
    if (fscs) {
        struct bridge *br;

        BRIDGE_FOR_EACH (br) {
            bridge_mark(br, BRIDGE_EXPORT);
        }
    }
}

/* Returns true if the daemon-wide configuration in 'root' changed. */
static bool
settings_changed(const struct ovsrec_open_vswitch *root)
{
    return ovsrec_open_vswitch_is_updated(
        root, OVSREC_OPEN_VSWITCH_COL_OTHER_CONFIG);
}

static bool
datapaths_changed(const struct ovsrec_open_vswitch *root)
{
    return (ovsrec_open_vswitch_is_updated(
                root, OVSREC_OPEN_VSWITCH_COL_DATAPATHS)
            || ovsrec_datapath_track_get_first(idl)
            || ovsrec_ct_zone_track_get_first(idl)
            || ovsrec_ct_timeout_policy_track_get_first(idl));
}

static bool
managers_changed(const struct ovsrec_open_vswitch *root)
{
    return (ovsrec_open_vswitch_is_updated(
                root, OVSREC_OPEN_VSWITCH_COL_MANAGER_OPTIONS)
            || ovsrec_manager_track_get_first(idl));
}

/* --- Making it so -------------------------------------------------------- */

/* Initializes libofproto, which is told the port numbers that the database
 * remembers.  It knows the types of datapath only then. */
static void
init_ofproto(const struct ovsrec_open_vswitch *root)
{
    struct shash hints = SHASH_INITIALIZER(&hints);

    if (root) {
        bridges_collect_hints(root, &hints);
    }
    ofproto_init(&hints);
    ofproto_enumerate_types(&datapath_types);
    shash_destroy_free_data(&hints);
    initialized = true;
}

/* Brings all dirty objects to what the database wants.
 *
 * Everything that goes away goes before anything new comes: what comes may
 * need names, addresses and numbers of what goes. */
static void
reconcile_objects(void)
{
    if (!bridges_are_dirty() && !ports_are_dirty() && !ifaces_are_dirty()) {
        return;
    }
    bridges_update_ports();
    ports_update_ifaces();
    ifaces_update();
    bridges_create_ofprotos();
    ifaces_open();
    bridges_configure();
}

static void
reconcile(const struct ovsrec_open_vswitch *root, bool all)
{
    COVERAGE_INC(bridge_reconfigure);

    if (!initialized) {
        init_ofproto(root);
    }
    if (root && (all || settings_changed(root))) {
        settings_update(root);
    }
    if (all || !root || managers_changed(root)) {
        in_band_managers_update(root);
    }
    if (all || !root || bridges_changed(root)) {
        bridges_update(root);
    }
    if (all) {
        mark_all();
    } else {
        mark_changed();
    }
    reconcile_objects();
    if (all || !root || datapaths_changed(root)) {
        datapaths_update(root);
    }
}

/* libofproto's own work.  If something was configured, the ofprotos run first
 * once more: they find out which new ports may be used, so that the
 * datapath's one reconfiguration, which costs time in proportion to the number
 * of ports, already knows it and needn't be done twice.  Not so a bridge with
 * protocols on its ports: it would send on ports that the datapath doesn't
 * know yet. */
static void
run_ofprotos(bool configured)
{
    struct bridge *br;
    const char *type;

    if (configured) {
        BRIDGE_FOR_EACH (br) {
            if (br->ofproto && !br->n_watched && !br->spanning_tree) {
                ofproto_run(br->ofproto);
            }
        }
    }
    SSET_FOR_EACH (type, &datapath_types) {
        ofproto_type_run(type);
    }
    BRIDGE_FOR_EACH (br) {
        if (br->ofproto) {
            ofproto_run(br->ofproto);
        }
    }
}

/* --- One trip ------------------------------------------------------------ */

/* Another process is the switch.  Leaves everything to it. */
static void
give_up(void)
{
    static struct vlog_rate_limit rl = VLOG_RATE_LIMIT_INIT(1, 1);

    VLOG_ERR_RL(&rl, "another ovs-vswitchd process is running, disabling this "
                "process (pid %ld) until it goes away", (long int) getpid());
    datapaths_destroy_all();
    bridges_destroy_all(false);
    running = false;
}

/* Returns true if the lock is another's for good. */
static bool
is_lock_contended(void)
{
    if (!ovsdb_idl_is_lock_contended(idl)) {
        contended_since = LLONG_MAX;
        return false;
    }
    if (!running) {
        return true;
    }
    if (contended_since == LLONG_MAX) {
        contended_since = time_msec();
    }
    return time_msec() - contended_since >= CONTENTION_GRACE_MSEC;
}

static void
forget_sent_txn(void)
{
    ovsdb_idl_txn_destroy(sent_txn);
    sent_txn = NULL;
}

static void
check_sent_txn(void)
{
    enum ovsdb_idl_txn_status status = ovsdb_idl_txn_commit(sent_txn);

    if (status == TXN_INCOMPLETE) {
        return;
    }
    if (status == TXN_ERROR) {
        static struct vlog_rate_limit rl = VLOG_RATE_LIMIT_INIT(1, 5);

        VLOG_WARN_RL(&rl, "database refused status update: %s",
                     ovsdb_idl_txn_get_error(sent_txn));
    } else if (status != TXN_SUCCESS && status != TXN_UNCHANGED) {
        unwritten = true;
    }
    forget_sent_txn();
    if (progress == INITIAL_SENT) {
        progress = CONFIGURED;
    }
}

/* Sends what the trip wrote.  The outcome of a transaction that is still under
 * way is given up for that of the newer one: if the connection breaks, the
 * newer one fails as well. */
static void
commit(struct ovsdb_idl_txn *txn, bool configured)
{
    enum ovsdb_idl_txn_status status = ovsdb_idl_txn_commit(txn);

    if (status == TXN_UNCHANGED && !configured) {
        ovsdb_idl_txn_destroy(txn);
        return;
    }
    if (sent_txn) {
        forget_sent_txn();
    }
    sent_txn = txn;
    if (configured && progress == INITIAL) {
        progress = INITIAL_SENT;
    }
}

/* Runs the reconciler and libofproto for one trip through the main loop. */
void
reconciler_run(void)
{
    ovsdb_idl_run(idl);
    rtnetlink_run();
    if (sent_txn) {
        check_sent_txn();
    }

    if (is_lock_contended()) {
        give_up();
        ovsdb_idl_track_clear(idl);
        return;
    }
    if (ovsdb_idl_has_lock(idl) && ovsdb_idl_has_ever_connected(idl)
        && !running) {
        running = true;
        look_at_all = true;
    }
    if (!running) {
        ovsdb_idl_track_clear(idl);
        return;
    }

    const struct ovsrec_open_vswitch *root = root_row();
    unsigned int seqno = ovsdb_idl_get_seqno(idl);
    struct ovsdb_idl_txn *txn = ovsdb_idl_txn_create(idl);

    if (unwritten && ovsdb_idl_has_lock(idl)) {
        /* Among what is lost may be the result of any change: 'ofport' of a
         * new interface, for one, which must not come after 'cur_cfg'. */
        unwritten = false;
        look_at_all = true;
    }
    bool changed = seqno != idl_seqno || look_at_all;

    if (root) {
        settings_run(root, changed);
    }
    if (changed) {
        bool all = look_at_all || (root && ovsrec_open_vswitch_is_new(root));

        idl_seqno = seqno;
        look_at_all = false;
        write_seq += all;
        reconcile(root, all);
        unknown_keys_report();
        ovsdb_idl_track_clear(idl);
        if (root && all) {
            settings_write_types(root);
        }
    } else {
        ifaces_retry();
    }
    reconcile_objects();
    run_ofprotos(changed);
    ifaces_check_peers();
    if (root && changed) {
        ovsrec_open_vswitch_set_cur_cfg(root, root->next_cfg);
    }
    stats_run();
    if (root) {
        system_stats_run(root);
    }
    softmac_run();
    status_run();
    auto_attach_run();
    commit(txn, changed);
}

/* Arranges for poll_block() to wake up when reconciler_run() has something to
 * do. */
void
reconciler_wait(void)
{
    struct bridge *br;
    const char *type;

    ovsdb_idl_wait(idl);
    rtnetlink_wait();
    if (sent_txn) {
        ovsdb_idl_txn_wait(sent_txn);
    }
    if (!running) {
        return;
    }
    if (contended_since != LLONG_MAX) {
        poll_timer_wait_until(contended_since + CONTENTION_GRACE_MSEC);
    }
    SSET_FOR_EACH (type, &datapath_types) {
        ofproto_type_wait(type);
    }
    BRIDGE_FOR_EACH (br) {
        if (br->ofproto) {
            ofproto_wait(br->ofproto);
        }
    }
    stats_wait();
    system_stats_wait();
    softmac_wait();
    status_wait();
    auto_attach_wait();
    ifaces_wait();
    if (bridges_are_dirty() || ports_are_dirty() || ifaces_are_dirty()) {
        poll_immediate_wake();
    }
}

/* Adds what the reconciler and libofproto use to 'usage', for
 * "memory/show". */
void
reconciler_get_memory_usage(struct simap *usage)
{
    struct bridge *br;
    const char *type;

    SSET_FOR_EACH (type, &datapath_types) {
        ofproto_type_get_memory_usage(type, usage);
    }
    BRIDGE_FOR_EACH (br) {
        if (br->ofproto) {
            ofproto_get_memory_usage(br->ofproto, usage);
        }
    }
    ovsdb_idl_get_memory_usage(idl, usage);
}
