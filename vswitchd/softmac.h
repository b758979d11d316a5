/* Softmac: uplinks that are not promiscuous.
 *
 * A network card, or what looks like one, lets in frames to its own address
 * and to those in its unicast filter.  The usual switch turns that off and
 * takes every frame on the wire.  This one keeps the filter: it holds the
 * source addresses of the frames that leave by the uplink, whoever they come
 * from, and the addresses of guests as the database gives them.
 *
 *   softmac.c          which interfaces are uplinks
 *   softmac-options.c  what the database asks for
 *   softmac-stated.c   the addresses that it gives
 *   softmac-status.c   what it is told, and the looks at devices for that
 *   softmac-show.c     the command sluice/softmac
 *   softmac-uplink.c   an uplink and its devices
 *   softmac-table.c    an uplink's addresses: who needs them
 *   softmac-limits.c   how many there may be
 *   softmac-origin.c   the ports that they come from
 *   softmac-filter.c   one device's filter in the kernel, and the record of
 *                      what we put there, which outlives the process
 *   softmac-groups.c   which multicast groups they let in
 *   softmac-link.c     questions to the kernel about devices
 *   softmac-vids.c     which VLANs they let in
 *   softmac-vlan.c     devices that filter VLANs
 *
 * The datapath asks through struct uplink_ops (datapath/datapath.h) each time
 * that it makes a program that outputs to an uplink, from any thread, and
 * waits while the kernel takes a new address.
 *
 * How long an address stays: one from the database as long as the database
 * says; one that was learnt until the last of the ports that it came from is
 * gone, or another host announces that it is there and nobody here uses it, or
 * the table is full and nobody has used it for longer.
 *
 * Everything below is protected by softmac_mutex, but for what struct
 * uplink_ops' find() and unuse() touch. */
#ifndef SOFTMAC_H
#define SOFTMAC_H 1

#include <stdint.h>

#include "bitmap.h"
#include "cmap.h"
#include "datapath/atomic.h"
#include "datapath/datapath.h"
#include "openvswitch/hmap.h"
#include "openvswitch/list.h"
#include "openvswitch/thread.h"
#include "openvswitch/types.h"
#include "sset.h"

struct ds;
struct iface;
struct ovsrec_interface;
struct port;
struct seq;
struct uplink;

extern struct ovs_mutex softmac_mutex;
extern struct seq *softmac_seq; /* Changes with anything that status shows. */

/* --- softmac-stated.c --- */

/* The addresses that an interface states. */
struct stated {
    struct eth_addr *addrs;
    size_t n;
};

struct stated stated_read(const struct iface *,
                          const struct ovsrec_interface *);
void stated_check(const struct ovsrec_interface *, struct ds *);
void stated_add_to(const struct stated *, struct uplink *);
void stated_change(const struct stated *old, const struct stated *new,
                   struct uplink *);

/* --- softmac.c --- */

enum softmac_role {
    SOFTMAC_OTHER,              /* No uplink... */
    SOFTMAC_UPLINK,
    SOFTMAC_NO_FILTER,          /* ...but for having no filter... */
    SOFTMAC_UNUSED              /* ...or for options:softmac=off. */
};

/* What an interface has to do with uplinks. */
struct softmac_iface {
    enum softmac_role role;
    struct member *member;      /* Of an uplink. */
    char kind[16];              /* Of the device. */

    /* If it is no uplink. */
    struct stated stated;
    bool rx_filter;             /* It has a receive filter. */
    bool drop_spoofed;
};

/* --- softmac-options.c --- */

enum softmac_option {
    OPTION_SOFTMAC,
    OPTION_MAX,
    OPTION_OVERFLOW,            /* Whether the device becomes promiscuous. */
    OPTION_MULTICAST,           /* Whether it gets snooped groups only. */
    OPTION_RX_FILTER,
    OPTION_SPOOFING             /* Whether spoofed frames are dropped. */
};
enum { SOFTMAC_ON, SOFTMAC_STATIC, SOFTMAC_OFF };       /* OPTION_SOFTMAC. */
enum { RX_FILTER_AUTO, RX_FILTER_ON, RX_FILTER_OFF };   /* OPTION_RX_FILTER. */
unsigned int softmac_option(const struct ovsrec_interface *,
                            enum softmac_option);
size_t softmac_option_max(const struct ovsrec_interface *, size_t def);

/* --- softmac-link.c --- */

/* What the kernel says about a device. */
struct link_info {
    unsigned int ifindex;
    char name[16];
    char kind[16];              /* "veth", "vlan", ...; "" of hardware. */
    struct eth_addr ea;         /* Its own address; zero if it has none. */
    unsigned int flags;         /* IFF_*. */
    unsigned int promiscuity;   /* How many want it to be promiscuous. */
    unsigned int lower;         /* The device below, or 0. */
    unsigned int master;        /* The bond or bridge that it is in, or 0. */
    bool only_own;              /* It takes no address but its own: a macvlan
                                 * device that isn't in mode passthru. */
};

int link_get(unsigned int ifindex, struct link_info *);
bool link_has_no_filter(const struct link_info *);
bool link_is_bond(const struct link_info *);
bool link_is_promiscuous(const struct link_info *);
bool link_is_allmulti(const struct link_info *);
char *link_find(unsigned int ifindex,
                bool (*is_wanted)(const struct link_info *));

/* Changes unicast address 'ea' of the filter of device 'ifindex'.  Returns 0
 * or a positive errno value: EEXIST, ENOENT, EOPNOTSUPP, ENOSPC, ENOMEM. */
int link_add_address(unsigned int ifindex, struct eth_addr ea);
int link_del_address(unsigned int ifindex, struct eth_addr ea);
extern uint64_t link_n_requests; /* Sent to the kernel so far. */

int link_add_vlan(unsigned int ifindex, uint16_t vid);
void link_del_vlan(unsigned int ifindex, uint16_t vid);
void link_for_each_vlan(unsigned int ifindex,
                        void (*cb)(uint16_t vid, void *aux), void *aux);

/* --- softmac-groups.c --- */

#define GROUPS_MSEC 200         /* How often they are looked at. */

void port_update_groups(const struct port *);

/* --- softmac-vlan.c --- */

/* How a device treats tagged frames. */
enum vlan_filtering {
    VLAN_FILTER_NONE,           /* It takes all. */
    VLAN_FILTER_OFF,            /* It took registered ones only, until we
                                 * turned that off. */
    VLAN_FILTER_FIXED           /* It takes registered ones only. */
};
enum vlan_filtering vlan_filtering_stop(const char *device, bool bond);
void vlan_filtering_restore(const char *device);

/* --- softmac-filter.c --- */

/* The filter of one device. */
struct filter {
    char *name;                 /* Of the device. */
    unsigned int ifindex;
    struct hmap entries;        /* What it lets in: struct filter_entry. */
    int socket;                 /* Packet socket that has the groups... */
    struct eth_addr *groups;    /* ...which are these, sorted, beside the ones
                                 * of link-local protocols, */
    size_t n_groups;            /* or all, if this is 0. */
    int log;                    /* Descriptor of the record, or -1. */
    size_t n_logged;            /* Lines in it... */
    size_t n_origins;           /* ...and those that mean something. */
    struct eth_addr own;        /* The device's own address. */
    bool checked;               /* Known to filter, or not to. */
    bool unsupported;           /* It doesn't: see link_has_no_filter()... */
    bool only_own;              /* ...or takes no address but its own. */
    bool promiscuous;           /* We made it so. */
    enum vlan_filtering vlan_filtering;
    unsigned long vids[BITMAP_N_LONGS(4096)]; /* Registered VLANs... */
    struct sset vid_uses;       /* ...and whose frames need them: "VID PORT",
                                 * as the record has it. */
};

/* What stands in a record for the name of a port. */
#define ORIGIN_DATABASE "="
#define ORIGIN_CONTROLLER "-"

/* An address that a filter was found to have from the process before. */
struct inherited {
    struct eth_addr ea;
    char *origin;               /* Who used it: as filter_add() has it. */
};

struct filter *filter_open(const char *name, unsigned int ifindex,
                           struct inherited **, size_t *n_inherited);
void filter_close(struct filter *, bool keep);
int filter_add(struct filter *, struct eth_addr, const char *origin);
void filter_remove(struct filter *, struct eth_addr);
void filter_forget(struct filter *, struct eth_addr, const char *origin);
void filter_check(struct filter *);
int filter_add_vid(struct filter *, uint16_t vid);
void filter_remove_vid(struct filter *, uint16_t vid);
void filter_note_vid(struct filter *, uint16_t vid, const char *origin);
void filter_forget_vid(struct filter *, uint16_t vid, const char *origin);
void filter_set_promiscuous(struct filter *, bool);
bool filter_set_groups(struct filter *, const struct eth_addr[], size_t n);
void filters_forget_others(bool (*is_uplink)(const char *device));

/* --- softmac-table.c --- */

#define SOFTMAC_MAX_DEFAULT 4096        /* options:softmac-max of uplinks... */
#define SOFTMAC_MAX_ORIGIN_DEFAULT 64   /* ...and of others. */

/* A port by which frames came in that left by uplinks. */
struct origin {
    struct hmap_node name_node; /* In the set of all, by 'name'. */
    struct hmap_node id_node;   /* ...by 'id', if it has one. */
    char *name;                 /* "" for the controller. */
    unsigned int id;            /* UPLINK_NO_ORIGIN if unknown. */
    struct ovs_list vid_uses;   /* "struct vid_use"s: softmac-vids.c. */
    struct ovs_list uses;       /* "struct use"s. */
    size_t n_uses;
    size_t max;                 /* Most of them. */
    uint64_t n_refused;         /* Addresses beyond that. */
    bool warned;
    struct ovs_list changed_node; /* In the list of those whose status is to be
                                   * written, or empty. */
};

/* That an origin used an address. */
struct use {
    struct cmap_node node;      /* In uplink->uses. */
    struct eth_addr ea;
    unsigned int id;            /* The origin's. */
    struct origin *origin;
    struct ovs_list origin_node;
    struct uplink_address *address;
    struct ovs_list address_node;
};

/* An address of an uplink. */
struct uplink_address {
    struct hmap_node node;      /* In uplink->addresses. */
    struct eth_addr ea;
    struct uplink *uplink;
    unsigned int n_static;      /* How often the database gives it. */
    struct ovs_list uses;       /* "struct use"s. */
    struct ovs_list moved_node; /* In uplink->moved, or empty. */
    bool missing;               /* The database gives it, but there is no room
                                 * for it in the filter. */
    atomic_int refs;            /* Of programs; negative once it is gone. */
    atomic_llong used;          /* time_msec() when it last was, about. */
    atomic_llong taken;         /* ...when a program last took a reference. */
    long long int announced;    /* ...when another host last announced it. */
};

struct uplink {
    char *name;                 /* Of the port that it is. */
    struct ovs_list members;    /* "struct member"s. */
    struct cmap uses;           /* Of struct use. */
    struct hmap addresses;
    size_t n_missing;           /* Of 'addresses'. */
    struct ovs_list moved;      /* Those that another host has announced. */
    size_t max;                 /* Most of them. */
    bool learning;              /* Not only what the database gives. */
    bool promisc_on_overflow;
    bool snooped_groups;        /* Exact multicast groups are wanted. */
    bool overflow;              /* An address couldn't be had. */
    bool dead;                  /* It is being destroyed. */
    uint64_t n_refused;
    struct cmap vid_uses;       /* VLANs of frames: softmac-vids.c. */
    unsigned int vid_refs[4096]; /* How many need each VLAN. */
    uint64_t seq;               /* Changes with all that status shows... */
    uint64_t written_seq;       /* ...and was this when it was written. */
};

/* A device of an uplink. */
struct member {
    struct ovs_list node;       /* In uplink->members. */
    struct filter *filter;
    char *promiscuous;          /* Which device at or below it is, or NULL. */
    char *allmulti;             /* Which lets in all multicast, or NULL. */
};

struct uplink_address *address_find(const struct uplink *, struct eth_addr);
struct uplink_address *address_create(struct uplink *, struct eth_addr);
void address_destroy(struct uplink_address *);
bool address_is_needed(const struct uplink_address *);
int address_program(struct uplink *, struct eth_addr, const char *origin);
void use_create(struct origin *, struct uplink_address *);
struct use *use_find(const struct origin *, const struct uplink_address *);
void use_destroy(struct use *);
void origin_move_uses(struct origin *, unsigned int id);
void origin_release_uses(struct origin *);
void uplink_static_ref(struct uplink *, struct eth_addr);
void uplink_static_unref(struct uplink *, struct eth_addr);
void uplink_release_moved(struct uplink *);
void softmac_table_init(void);

/* --- softmac-limits.c --- */

bool uplink_make_room(struct uplink *);
bool origin_make_room(struct origin *);
void origin_refuse(struct uplink *, struct origin *);
void uplink_overflow(struct uplink *, const char *why);
void uplink_check_overflow(struct uplink *);
void uplink_set_max(struct uplink *, size_t max, bool promisc_on_overflow);

/* --- softmac-origin.c --- */

struct origin *origin_get(unsigned int id, const char *name);
struct origin *origin_by_label(const char *label);
const char *origin_label(const struct origin *);
void origin_gone(const char *name);
void origins_forget_others(bool (*exists)(const char *port));
void origin_changed(struct origin *);
char *origin_next_changed(void);
void origin_set_max(const char *name, size_t max);
void origin_get_counts(const char *name, size_t *n_uses, uint64_t *n_refused);

/* --- softmac-uplink.c --- */

struct uplink *uplink_create(const char *name);
void uplink_destroy(struct uplink *);
struct member *uplink_add_member(struct uplink *, const char *device,
                                 unsigned int ifindex);
void uplink_remove_member(struct uplink *, struct member *, bool keep);
void uplink_settle(struct uplink *);

/* --- softmac-status.c --- */

void member_check_promiscuity(struct uplink *, struct member *);
void member_check_allmulti(struct uplink *, struct member *);

/* --- softmac-show.c --- */

void softmac_show_init(void);

/* --- softmac-vids.c --- */

void uplink_ref_vid(struct uplink *, uint16_t vid);
void uplink_unref_vid(struct uplink *, uint16_t vid);
bool uplink_knows_vid(const struct uplink *, uint16_t vid, unsigned int id);
void uplink_use_vid(struct uplink *, uint16_t vid, struct origin *);
void uplink_release_vids(struct uplink *);
void uplink_program_vids(struct uplink *, struct member *);
void uplink_settle_vids(struct uplink *);
void origin_move_vids(struct origin *, unsigned int id);
void origin_release_vids(struct origin *);

#endif /* softmac.h */
