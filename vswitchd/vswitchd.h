/* The reconciler: rows of the Open_vSwitch database made into libofproto
 * objects.  Private to vswitchd/.
 *
 * Desired and actual
 * ------------------
 * What is wanted is the IDL's replica of the database.  What is, are the three
 * kinds of object below: a 'bridge' has 'port's, a port has 'iface's (more
 * than one makes a bond).  An object exists from the moment that the database
 * names it; whether it *works* is another matter: a bridge has an ofproto or
 * not, an interface has an open netdev or an error.  What doesn't work is
 * tried again when something happens that may help it, and never keeps
 * anything else from working.
 *
 * An object is known by its name, as the users of the database know it, and is
 * bound to the UUID of its row: rows that are deleted and made anew under the
 * same name, as "ovs-vsctl del-port X -- add-port BR X" does, keep the object
 * and the OpenFlow port number.  Pointers to rows are never kept, because the
 * IDL replaces them all when it reconnects: bridge_row(), port_row() and
 * iface_row() look them up.
 *
 * The cost of a change
 * --------------------
 * The IDL tells which rows changed (reconciler.c).  They mark objects dirty;
 * only dirty objects are looked at.  Sets of references (bridges of the
 * switch, ports of a bridge, interfaces of a port) are compared with what they
 * were by a memory comparison (struct row_set), so that even finding the new
 * one among thousands costs microseconds.  Nothing walks over all ports in a
 * wait function or on every trip through the main loop; statistics and the
 * rare full scans go in slices (stats.c, status.c).
 *
 * Everything here runs in the main thread. */
#ifndef VSWITCHD_H
#define VSWITCHD_H 1

#include <netinet/in.h>
#include "openvswitch/hmap.h"
#include "openvswitch/list.h"
#include "openvswitch/types.h"
#include "openvswitch/uuid.h"
#include "schemas/vswitch-idl.h"

struct cfm_settings;
struct lacp_member_settings;
struct lacp_settings;
struct bond_settings;
struct netdev;
struct ofproto;
struct shash;
struct simap;
struct smap;
struct sset;

/* A sorted set of row UUIDs as a column last held it. */
struct row_set {
    union ovsdb_atom *uuids;
    size_t n;
};

/* The rows that a column gained and lost. */
struct row_set_diff {
    struct uuid *added, *removed;
    size_t n_added, n_removed;
};
void row_set_update(struct row_set *, const struct ovsdb_datum *,
                    struct row_set_diff *);
void row_set_diff_destroy(struct row_set_diff *);
void row_set_destroy(struct row_set *);

/* What about a bridge has to be configured anew. */
enum bridge_aspect {
    BRIDGE_PORTS = 1 << 0,      /* Which ports it has. */
    BRIDGE_ADDRESS = 1 << 1,    /* Ethernet address and datapath ID. */
    BRIDGE_FORWARDING = 1 << 2, /* MAC table, BPDUs, descriptions. */
    BRIDGE_CONTROLLERS = 1 << 3,
    BRIDGE_TABLES = 1 << 4,     /* OpenFlow tables. */
    BRIDGE_MIRRORS = 1 << 5,
    BRIDGE_EXPORT = 1 << 6,     /* NetFlow, sFlow, IPFIX. */
    BRIDGE_SPANNING_TREE = 1 << 7,
    BRIDGE_MULTICAST = 1 << 8,
    BRIDGE_AUTO_ATTACH = 1 << 9,
    BRIDGE_ALL = (1 << 10) - 1,
};

struct bridge {
    struct hmap_node uuid_node; /* In the set of bridges, by 'uuid'. */
    struct hmap_node name_node; /* ...and by 'name'. */
    struct uuid uuid;           /* Of the row. */
    char *name;
    char *type;                 /* Normalized datapath type. */
    struct ofproto *ofproto;    /* NULL if it could not be created. */
    unsigned int aspects;       /* Dirty ones: enum bridge_aspect. */
    struct ovs_list dirty_node; /* In the list of dirty bridges. */

    struct row_set port_rows;   /* Bridge.ports as last seen. */
    struct ovs_list ports;      /* "struct port"s. */
    struct hmap ifaces;         /* Open "struct iface"s by 'ofp_port'. */
    struct port *synthetic;     /* Local port that no row asks for, or NULL. */
    struct ovs_list physical;   /* Ifaces that may lend 'ea' their address. */

    struct eth_addr ea;         /* Ethernet address. */
    struct eth_addr default_ea; /* ...if no interface lends its own. */
    struct hmap mirrors;        /* See mirror.c. */
    struct hmap mappings;       /* See auto-attach.c. */
    size_t n_watched;           /* Interfaces whose liveness is watched. */
    bool spanning_tree;         /* STP or RSTP is on. */
    bool multicast;             /* Multicast snooping is on... */
    long long int multicast_since; /* ...since this time_msec(). */
    struct netdev *mtu_hidden;  /* One of those whose MTU libofproto has not
                                 * been told, or NULL.  For interface.c. */
    int sflow_id;               /* sFlow sub-agent, -1 if none yet. */
    bool dying;                 /* Its ofproto takes the ports along. */
    struct ovs_list uplinks;    /* Its "struct port"s that have 'uplink'. */
};

struct port {
    struct hmap_node uuid_node; /* In the set of all ports, by 'uuid'. */
    struct uuid uuid;           /* Of the row; zero if synthetic. */
    char *name;
    struct bridge *bridge;
    struct ovs_list bridge_node; /* In 'bridge->ports'. */
    bool dirty;                 /* Is in the list of dirty ports. */
    struct ovs_list dirty_node;

    struct row_set iface_rows;  /* Port.interfaces as last seen. */
    struct ovs_list ifaces;     /* "struct iface"s, open or not. */
    size_t n_open;              /* How many are open. */
    struct netdev *fake_iface;  /* Of bond_fake_iface, else NULL. */
    struct uplink *uplink;      /* See softmac.c, NULL if it is none. */
    struct ovs_list uplink_node; /* In 'bridge->uplinks'. */
    unsigned long *vids;        /* The VLANs that it is in as its row says, a
                                 * bitmap for softmac.c, or NULL. */
    const void *bundle;         /* Of an uplink, what libofproto's table of
                                 * multicast groups calls it. */
};

struct iface {
    struct hmap_node uuid_node; /* In the set of all interfaces, by 'uuid'. */
    struct hmap_node name_node; /* ...and by 'name'. */
    struct uuid uuid;           /* Of the row; zero if synthetic. */
    char *name;
    char *type;                 /* "system" if the row says nothing. */
    struct port *port;
    struct ovs_list port_node;  /* In 'port->ifaces'. */
    bool dirty;                 /* Is in the list of dirty interfaces. */
    struct ovs_list dirty_node;

    /* While it is open. */
    struct netdev *netdev;      /* NULL if it isn't. */
    ofp_port_t ofp_port;        /* OpenFlow port number; OFPP_NONE if not
                                 * open.  */
    struct hmap_node ofp_node;  /* In 'port->bridge->ifaces'. */
    struct eth_addr ea;         /* Address that it can lend: address.c. */
    struct ovs_list physical_node; /* In 'bridge->physical', or empty. */
    unsigned int ifindex;       /* Of its kernel device, or 0. */
    struct softmac_iface *softmac; /* See softmac.c, or NULL. */

    /* While it isn't. */
    struct ovs_list failed_node; /* In the list of those to try again. */
    ofp_port_t last_ofp_port;   /* The number it had, to have again. */
    char *error;                /* Why, as Interface.error says. */

    /* What was written to the database: see status.c and stats.c. */
    struct ovs_list open_node;  /* In the list of all open interfaces. */
    struct ovs_list watch_node; /* In the list of those whose liveness is
                                 * watched, or empty. */
    struct ovs_list peer_node;  /* In the list of patch ports whose peer is
                                 * to be looked for, or empty. */
    char *peer;                 /* Name of a patch port's peer, or NULL. */
    uint64_t change_seq;        /* The netdev's, when last written. */
    uint64_t stats_seq;         /* Of 'stats'. */
    ovs_u128 stats_hash;        /* Of the statistics written last. */
};

/* --- reconciler.c --- */
void reconciler_init(const char *remote);
void reconciler_run(void);
void reconciler_wait(void);
void reconciler_exit(bool delete_datapath);
void reconciler_get_memory_usage(struct simap *);
bool reconciler_is_configured(void);

extern struct ovsdb_idl *idl;   /* The replica of the database. */
extern struct sset datapath_types; /* Of libofproto.  They never change. */
const struct ovsrec_open_vswitch *root_row(void);

/* Number that changes when what was written to the database may be lost, so
 * that all has to be written again. */
extern uint64_t write_seq;

/* --- bridge.c --- */
extern struct hmap bridges_by_uuid, bridges_by_name;
#define BRIDGE_FOR_EACH(BR) HMAP_FOR_EACH (BR, name_node, &bridges_by_name)

struct bridge *bridge_find(const char *name);
struct bridge *bridge_by_uuid(const struct uuid *);
const struct ovsrec_bridge *bridge_row(const struct bridge *);
void bridge_mark(struct bridge *, unsigned int aspects);
bool bridges_are_dirty(void);
bool bridges_changed(const struct ovsrec_open_vswitch *);
void bridges_update(const struct ovsrec_open_vswitch *);
void bridges_update_ports(void);
void bridges_create_ofprotos(void);
void bridges_configure(void);
void bridges_destroy_all(bool delete_datapath);
void bridges_collect_hints(const struct ovsrec_open_vswitch *,
                               struct shash *);

/* --- address.c --- */
void bridge_configure_address(struct bridge *);
void bridge_pick_address(const struct bridge *, int tag, struct eth_addr *);
void iface_update_address(struct iface *);
bool port_is_mirror_output(const struct port *);

/* --- port.c --- */
struct port *port_create(struct bridge *, const char *name,
                         const struct uuid *);
void port_destroy(struct port *);
void port_unbind(struct port *);
void port_bind(struct port *, const struct uuid *);
struct port *port_by_uuid(const struct uuid *);
const struct ovsrec_port *port_row(const struct port *);
bool port_is_synthetic(const struct port *);
bool port_is_bond(const struct port *);
void port_mark(struct port *);
bool ports_are_dirty(void);
void ports_update_ifaces(void);
void ports_configure(void);
struct iface *port_first_open(const struct port *);

/* --- bond.c --- */
bool port_get_lacp(const struct port *, const struct ovsrec_port *,
                   struct lacp_settings *);
void iface_get_lacp(const struct iface *, struct lacp_member_settings *);
void port_get_bond(const struct port *, const struct ovsrec_port *,
                   struct bond_settings *);
void port_configure_fake_iface(struct port *, const struct ovsrec_port *);
void port_remove_fake_iface(struct port *);
void port_refresh_bond(const struct port *, bool force);

/* --- interface.c --- */
struct iface *iface_create(struct port *, const char *name,
                           const struct uuid *);
void iface_destroy(struct iface *);
void iface_unbind(struct iface *);
void iface_bind(struct iface *, const struct uuid *);
struct iface *iface_find(const char *name);
struct iface *iface_by_uuid(const struct uuid *);
struct iface *iface_by_ofp_port(const struct bridge *, ofp_port_t);
const struct ovsrec_interface *iface_row(const struct iface *);
bool iface_is_synthetic(const struct iface *);
void iface_mark(struct iface *);
void iface_close(struct iface *);
ofp_port_t iface_requested_ofp_port(const struct ovsrec_interface *);
ofp_port_t iface_wanted_ofp_port(const struct ovsrec_interface *);
void ifaces_update(void);
void ifaces_open(void);
void ifaces_retry(void);
void ifaces_retry_soon(void);
bool ifaces_are_dirty(void);
void ifaces_wait(void);
void iface_device_changed(const char *name);
void ifaces_all_devices_changed(void);

/* --- options.c --- */
int netdev_apply_options(struct netdev *, const struct ovsrec_interface *,
                         char **errp);

/* --- qos.c --- */
void iface_configure_qos(struct iface *, const struct ovsrec_qos *);
void qos_init(void);

/* --- liveness.c --- */
void iface_configure_liveness(struct iface *, const struct ovsrec_interface *);
void iface_refresh_liveness(struct iface *, bool force);
void iface_peer_changed(struct iface *);
void ifaces_check_peers(void);

/* --- mirror.c --- */
void bridge_configure_mirrors(struct bridge *);
void bridge_destroy_mirrors(struct bridge *);
void bridge_refresh_mirrors(struct bridge *);

/* --- controller.c --- */
void bridge_configure_controllers(struct bridge *);
void bridge_refresh_controllers(struct bridge *);
size_t bridge_get_controllers(const struct ovsrec_bridge *,
                              struct ovsrec_controller ***);
void in_band_managers_update(const struct ovsrec_open_vswitch *);

/* --- flow-export.c --- */
void bridge_configure_export(struct bridge *);

/* --- flow-table.c --- */
void bridge_configure_tables(struct bridge *);

/* --- multicast.c --- */
void bridge_configure_multicast(struct bridge *);
void port_configure_multicast(struct port *);
bool bridge_for_each_group(const struct bridge *,
                           void (*cb)(struct eth_addr, void *aux), void *aux);

/* --- spanning-tree.c --- */
void bridge_configure_spanning_tree(struct bridge *);
void bridge_refresh_spanning_tree(struct bridge *);
void bridge_refresh_spanning_tree_stats(struct bridge *);

/* --- auto-attach.c --- */
void bridge_configure_auto_attach(struct bridge *);
void bridge_destroy_auto_attach(struct bridge *);
void auto_attach_run(void);
void auto_attach_wait(void);

/* --- datapath-config.c --- */
void datapaths_update(const struct ovsrec_open_vswitch *);
void datapaths_destroy_all(void);

/* --- settings.c --- */
void settings_update(const struct ovsrec_open_vswitch *);
void settings_configure_type(const char *type);
void settings_write_types(const struct ovsrec_open_vswitch *);
void settings_run(const struct ovsrec_open_vswitch *, bool changed);

/* --- status.c --- */
void iface_refresh_status(struct iface *);
void iface_clear_status(const struct ovsrec_interface *, const char *error);
void iface_opened(struct iface *);
void iface_closed(struct iface *);
void iface_watch(struct iface *, bool watch);
void status_run(void);
void status_wait(void);

extern struct ovs_list open_ifaces; /* "struct iface"s that are open. */
extern size_t n_open_ifaces;

/* --- stats.c --- */
void stats_interval_changed(void);
void iface_refresh_stats(struct iface *);
void stats_run(void);
void stats_wait(void);

/* --- system-stats.c --- */
void system_stats_configure(const struct ovsrec_open_vswitch *);
void system_stats_run(const struct ovsrec_open_vswitch *);
void system_stats_wait(void);
/* --- softmac.c --- */
void softmac_init(void);
void softmac_exit(bool keep);
void softmac_run(void);
void softmac_wait(void);
void iface_update_softmac(struct iface *);
void port_configure_softmac(struct port *);
void port_forget_softmac(struct port *);
void bridge_mirrors_changed(struct bridge *);
void softmac_device_changed(void);

/* --- softmac-status.c --- */
void iface_get_softmac_status(const struct iface *, struct smap *);

/* --- softmac-options.c --- */
bool is_switch_option(const char *key);
char *check_switch_options(const struct ovsrec_interface *);

/* --- unknown-keys.c --- */
void unknown_keys_report(void);

/* --- commands.c --- */
void commands_init(void);

#endif /* vswitchd.h */
