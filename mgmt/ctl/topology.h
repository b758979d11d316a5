/* Which interface sits in which port of which bridge.
 *
 * The database holds this as a tree of references, Open_vSwitch.bridges to
 * Bridge.ports to Port.interfaces.  Commands name its nodes by their names,
 * and must refuse a name that is taken anywhere in the tree, so this module
 * turns the replicated rows into three maps by name, keeps the maps right
 * while commands of one transaction add and delete, and writes each change
 * into the transaction.
 *
 * A VLAN ("fake") bridge is a Port row with fake_bridge set and a tag: a
 * bridge to whoever asks, a port in the database.  The ports of its parent
 * that carry the same tag count as the fake bridge's.
 *
 * Partial topologies
 * ==================
 *
 * A command such as "add-port" needs to know about a handful of names only.
 * scope.c then replicates just the rows that bear or hold those names, and the
 * sets Bridge.ports and Open_vSwitch.bridges as this process sees them are
 * incomplete ('partial').  Everything here works on such a view too, with two
 * differences: a set is changed by inserting or deleting one member ("mutate")
 * rather than by writing it anew, and Bridge.ports, which the view doesn't
 * know whole, is not verified.  What guards a partial transaction against
 * concurrent ones instead is the unique index on each table's name, the
 * verified Open_vSwitch.bridges, and reference checks in the server; when one
 * of them strikes, the commands are run again on a whole view (session.c).
 *
 * All functions are for the one thread of the program. */
#ifndef SLUICE_CTL_TOPOLOGY_H
#define SLUICE_CTL_TOPOLOGY_H 1

#include "openvswitch/hmap.h"
#include "openvswitch/list.h"
#include "openvswitch/shash.h"
#include "schemas/vswitch-idl.h"

struct topology {
    const struct ovsrec_open_vswitch *ovs;
    struct ovsdb_idl *idl;
    bool partial;               /* Only some rows are replicated: see above. */
    bool insufficient;          /* A command needs what isn't replicated. */
    bool valid;                 /* Are the maps below filled in? */
    bool verified;              /* Has the current command verified it? */
    struct shash bridges;       /* "struct bridge"s by name. */
    struct shash ports;         /* "struct port"s by name. */
    struct shash ifaces;        /* "struct iface"s by name. */
};

struct bridge {
    char *name;
    const struct ovsrec_bridge *row; /* NULL for a fake bridge. */
    struct ovs_list ports;           /* Contains "struct port"s. */

    /* Fake bridges. */
    struct bridge *parent;           /* NULL for a real bridge. */
    int vlan;                        /* 0...4095; 0 for a real bridge. */
    struct hmap children;            /* Fake bridges in this one, by VLAN. */
    struct hmap_node node;           /* In parent's 'children', if at all. */
};

struct port {
    struct ovs_list node;            /* In struct bridge's 'ports'. */
    const struct ovsrec_port *row;
    struct bridge *bridge;           /* A fake one if the tag says so. */
    struct ovs_list ifaces;          /* Contains "struct iface"s. */
};

struct iface {
    struct ovs_list node;            /* In struct port's 'ifaces'. */
    const struct ovsrec_interface *row;
    struct port *port;
};

void topology_init(struct topology *, struct ovsdb_idl *,
                   const struct ovsrec_open_vswitch *, bool partial);
void topology_load(struct topology *);
void topology_invalidate(struct topology *);
void topology_destroy(struct topology *);

struct bridge *topology_find_bridge(struct topology *, const char *name,
                                    bool must_exist);
struct bridge *topology_find_real_bridge(struct topology *, const char *name);
struct port *topology_find_port(struct topology *, const char *name,
                                bool must_exist);
struct iface *topology_find_iface(struct topology *, const char *name,
                                  bool must_exist);
struct bridge *bridge_find_child(const struct bridge *, int vlan);
const struct ovsrec_bridge *bridge_real_row(const struct bridge *);

void topology_verify(struct topology *);
void topology_check_name_free(struct topology *, const char *name,
                              const char *kind);

struct bridge *topology_add_bridge(struct topology *,
                                   const struct ovsrec_bridge *);
struct bridge *topology_add_fake_bridge(struct topology *,
                                        struct bridge *parent,
                                        const struct ovsrec_port *);
struct port *topology_add_port(struct topology *, struct bridge *,
                               const struct ovsrec_port *);
struct iface *topology_add_iface(struct topology *, struct port *,
                                 const struct ovsrec_interface *);
void topology_delete_bridge(struct topology *, struct bridge *);
void topology_delete_port(struct topology *, struct port *);
void topology_delete_iface(struct topology *, struct iface *);

#endif /* topology.h */
