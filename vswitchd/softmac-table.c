/* The addresses of uplinks: see softmac.h.
 *
 * An address is needed because the database gives it, so many times, and
 * because ports used it.  Each pair of address and port is a "use": the
 * address of a virtual router is used by all guests behind it and goes with
 * the last of them.  The controller counts as a port that is always there.
 *
 * Whoever makes a program asks for an address, finds it in 'uplink->uses'
 * without a lock, and keeps a reference as long as the program lives.  So an
 * address without references hasn't been used for as long as flows live (10 s,
 * usually): of those, the one that was used least recently makes room. */
#include <config.h>
#include "vswitchd/softmac.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "hash.h"
#include "openvswitch/vlog.h"
#include "packets.h"
#include "seq.h"
#include "timeval.h"
#include "util.h"

VLOG_DEFINE_THIS_MODULE(softmac);

/* A frame with one of our addresses that comes in by the uplink so soon after
 * that address was used has been ours. */
#define ECHO_MSEC 200

/* An address that nothing can take a reference to any more. */
#define REFS_GONE INT_MIN

struct ovs_mutex softmac_mutex = OVS_MUTEX_INITIALIZER;

struct seq *softmac_seq;

static struct ovs_list changed_origins
    = OVS_LIST_INITIALIZER(&changed_origins);
static struct hmap origins_by_name = HMAP_INITIALIZER(&origins_by_name);
static struct hmap origins_by_id = HMAP_INITIALIZER(&origins_by_id);

/* --- Origins ------------------------------------------------------------- */

static struct origin *
origin_find(const char *name)
{
    struct origin *origin;

    HMAP_FOR_EACH_WITH_HASH (origin, name_node, hash_string(name, 0),
                             &origins_by_name) {
        if (!strcmp(origin->name, name)) {
            return origin;
        }
    }
    return NULL;
}

static struct origin *
origin_find_by_id(unsigned int id)
{
    struct origin *origin;

    HMAP_FOR_EACH_WITH_HASH (origin, id_node, hash_int(id, 0),
                             &origins_by_id) {
        if (origin->id == id) {
            return origin;
        }
    }
    return NULL;
}

static struct origin *
origin_create(const char *name)
{
    struct origin *origin = xzalloc(sizeof *origin);

    origin->name = xstrdup(name);
    origin->id = UPLINK_NO_ORIGIN;
    origin->max = name[0] ? SOFTMAC_MAX_ORIGIN_DEFAULT : SIZE_MAX;
    ovs_list_init(&origin->vid_uses);
    ovs_list_init(&origin->uses);
    ovs_list_init(&origin->changed_node);
    hmap_insert(&origins_by_name, &origin->name_node, hash_string(name, 0));
    return origin;
}

/* Has the status of the port that 'origin' is written again. */
static void
origin_changed(struct origin *origin)
{
    if (ovs_list_is_empty(&origin->changed_node)) {
        ovs_list_push_back(&changed_origins, &origin->changed_node);
    }
}

/* Returns the name of a port whose status is to be written again, which the
 * caller must free, or NULL if there is none. */
char *
origin_next_changed(void)
{
    if (ovs_list_is_empty(&changed_origins)) {
        return NULL;
    }
    struct origin *origin = CONTAINER_OF(ovs_list_pop_front(&changed_origins),
                                         struct origin, changed_node);

    ovs_list_init(&origin->changed_node);
    return xstrdup(origin->name);
}

static uint32_t
use_hash(struct eth_addr ea, unsigned int id)
{
    return hash_mac(ea, 0, id);
}

/* Gives 'origin' the ID that the datapath has for it now. */
static void
origin_set_id(struct origin *origin, unsigned int id)
{
    struct use *use;

    if (origin->id == id) {
        return;
    }
    LIST_FOR_EACH (use, origin_node, &origin->uses) {
        struct cmap *uses = &use->address->uplink->uses;

        cmap_remove(uses, &use->node, use_hash(use->ea, use->id));
        use->id = id;
        cmap_insert(uses, &use->node, use_hash(use->ea, id));
    }
    origin_move_vids(origin, id);
    if (origin->id != UPLINK_NO_ORIGIN) {
        hmap_remove(&origins_by_id, &origin->id_node);
    }
    origin->id = id;
    hmap_insert(&origins_by_id, &origin->id_node, hash_int(id, 0));
}

/* Returns the origin with 'id' and 'name', or the controller. */
static struct origin *
origin_get(unsigned int id, const char *name)
{
    struct origin *origin;

    if (!name) {
        name = "";
    }
    origin = origin_find(name);
    if (!origin) {
        origin = origin_create(name);
    }
    if (id != UPLINK_NO_ORIGIN) {
        struct origin *other = origin_find_by_id(id);

        /* IDs are used again. */
        if (other && other != origin) {
            hmap_remove(&origins_by_id, &other->id_node);
            other->id = UPLINK_NO_ORIGIN;
        }
        origin_set_id(origin, id);
    }
    return origin;
}

/* --- Addresses ----------------------------------------------------------- */

static struct uplink_address *
address_find(const struct uplink *uplink, struct eth_addr ea)
{
    struct uplink_address *address;

    HMAP_FOR_EACH_WITH_HASH (address, node, hash_mac(ea, 0, 0),
                             &uplink->addresses) {
        if (eth_addr_equals(address->ea, ea)) {
            return address;
        }
    }
    return NULL;
}

/* What records call 'origin'. */
const char *
origin_label(const struct origin *origin)
{
    return origin->name[0] ? origin->name : ORIGIN_CONTROLLER;
}

/* Puts 'ea' into the filters of all devices of 'uplink'.  Returns 0 or a
 * positive errno value if there is one that it couldn't be put into. */
static int
program_address(struct uplink *uplink, struct eth_addr ea, const char *origin)
{
    struct member *member;

    LIST_FOR_EACH (member, node, &uplink->members) {
        int error = filter_add(member->filter, ea, origin);

        if (error && error != EOPNOTSUPP) {
            struct member *other;

            LIST_FOR_EACH (other, node, &uplink->members) {
                if (other == member) {
                    break;
                }
                filter_remove(other->filter, ea);
            }
            return error;
        }
    }
    return 0;
}

static struct uplink_address *
address_create(struct uplink *uplink, struct eth_addr ea)
{
    struct uplink_address *address = xzalloc(sizeof *address);

    address->ea = ea;
    address->uplink = uplink;
    ovs_list_init(&address->uses);
    ovs_list_init(&address->moved_node);
    atomic_init(&address->refs, 0);
    atomic_init(&address->used, time_msec());
    atomic_init(&address->taken, time_msec());
    hmap_insert(&uplink->addresses, &address->node, hash_mac(ea, 0, 0));
    uplink->seq++;
    return address;
}

/* Takes a reference to 'address', unless it is gone. */
static bool
address_ref(struct uplink_address *address)
{
    int refs = atomic_load(&address->refs);

    while (refs >= 0) {
        if (atomic_compare_exchange_weak(&address->refs, &refs, refs + 1)) {
            atomic_store(&address->taken, time_msec());
            return true;
        }
    }
    return false;
}

static void
address_unref(struct uplink_address *address)
{
    atomic_store(&address->used, time_msec());
    if (atomic_fetch_sub(&address->refs, 1) == REFS_GONE + 1) {
        ovsrcu_postpone(free, address);
    }
}

/* 'origin' doesn't need 'ea' any more. */
static void
forget_address(struct uplink *uplink, struct eth_addr ea, const char *origin)
{
    struct member *member;

    LIST_FOR_EACH (member, node, &uplink->members) {
        filter_forget(member->filter, ea, origin);
    }
}

static void
use_destroy(struct use *use)
{
    struct uplink *uplink = use->address->uplink;

    forget_address(uplink, use->ea, origin_label(use->origin));
    cmap_remove(&uplink->uses, &use->node, use_hash(use->ea, use->id));
    ovs_list_remove(&use->origin_node);
    ovs_list_remove(&use->address_node);
    use->origin->n_uses--;
    origin_changed(use->origin);
    ovsrcu_postpone(free, use);
}

/* Takes 'address' out of the filters and forgets it. */
static void
address_destroy(struct uplink_address *address)
{
    struct uplink *uplink = address->uplink;
    struct member *member;
    struct use *use;

    LIST_FOR_EACH_SAFE (use, address_node, &address->uses) {
        use_destroy(use);
    }
    LIST_FOR_EACH (member, node, &uplink->members) {
        filter_remove(member->filter, address->ea);
    }
    hmap_remove(&uplink->addresses, &address->node);
    ovs_list_remove(&address->moved_node);
    uplink->n_missing -= address->missing;
    uplink->seq++;

    int refs = atomic_load(&address->refs);
    while (!atomic_compare_exchange_weak(&address->refs, &refs,
                                         refs + REFS_GONE)) {
        continue;
    }
    if (!refs) {
        ovsrcu_postpone(free, address);
    }
}

static bool
address_is_needed(const struct uplink_address *address)
{
    return address->n_static || !ovs_list_is_empty(&address->uses);
}

/* When 'address' was used last, LLONG_MAX if it is in use. */
static long long int
address_last_used(struct uplink_address *address)
{
    return (address->n_static || atomic_load(&address->refs)
            ? LLONG_MAX : atomic_load(&address->used));
}

/* Makes room for an address in the full table of 'uplink'. */
static bool
evict_from_uplink(struct uplink *uplink)
{
    struct uplink_address *oldest = NULL;
    struct uplink_address *address;
    long long int when = LLONG_MAX;

    HMAP_FOR_EACH (address, node, &uplink->addresses) {
        long long int used = address_last_used(address);

        if (used < when) {
            oldest = address;
            when = used;
        }
    }
    if (oldest) {
        address_destroy(oldest);
    }
    return oldest != NULL;
}

/* Makes room for an address of 'origin', which has as many as it may. */
static bool
evict_from_origin(struct origin *origin)
{
    struct use *oldest = NULL;
    long long int when = LLONG_MAX;
    struct use *use;

    LIST_FOR_EACH (use, origin_node, &origin->uses) {
        long long int used = address_last_used(use->address);

        if (used < when) {
            oldest = use;
            when = used;
        }
    }
    if (oldest) {
        struct uplink_address *address = oldest->address;

        use_destroy(oldest);
        if (!address_is_needed(address)) {
            address_destroy(address);
        }
    }
    return oldest != NULL;
}

static void
refuse_origin(struct uplink *uplink, struct origin *origin)
{
    origin->n_refused++;
    origin_changed(origin);
    uplink->n_refused++;
    uplink->seq++;
    if (!origin->warned) {
        origin->warned = true;
        VLOG_WARN("%s: more than %"PRIuSIZE" source addresses: the filter of "
                  "uplink %s doesn't get the others, and frames to them won't "
                  "come in; options:softmac-max of the interface says how "
                  "many it may have", origin->name, origin->max,
                  uplink->name);
    }
}

/* The kernel or the configuration has no room for another address. */
static void
overflow(struct uplink *uplink, const char *why)
{
    struct member *member;

    uplink->n_refused++;
    uplink->seq++;
    if (uplink->overflow) {
        return;
    }
    uplink->overflow = true;
    VLOG_WARN("%s: the filter has no room for another address (%s, "
              "%"PRIuSIZE" addresses): %s", uplink->name, why,
              hmap_count(&uplink->addresses),
              uplink->promisc_on_overflow
              ? "the device becomes promiscuous"
              : "frames to further addresses won't come in; "
                "options:softmac-overflow=promisc would have it let in all");
    LIST_FOR_EACH (member, node, &uplink->members) {
        filter_set_promiscuous(member->filter, uplink->promisc_on_overflow);
    }
}

/* Puts the addresses of the database that couldn't be had into the filter. */
static bool
program_missing(struct uplink *uplink)
{
    struct uplink_address *address;

    HMAP_FOR_EACH (address, node, &uplink->addresses) {
        if (address->missing
            && !program_address(uplink, address->ea, ORIGIN_DATABASE)) {
            address->missing = false;
            uplink->n_missing--;
        }
        if (address->missing) {
            return false;
        }
    }
    return true;
}

/* Ends the overflow once there is room again, and some to spare. */
static void
check_overflow(struct uplink *uplink)
{
    struct member *member;

    if (uplink->overflow
        && hmap_count(&uplink->addresses) <= uplink->max / 4 * 3
        && program_missing(uplink)) {
        uplink->overflow = false;
        uplink->seq++;
        VLOG_INFO("%s: the filter has room for addresses again",
                  uplink->name);
        LIST_FOR_EACH (member, node, &uplink->members) {
            filter_set_promiscuous(member->filter, false);
        }
    }
}

/* Returns the address 'ea' of 'uplink', made if need be, or NULL if there is
 * no room. */
static struct uplink_address *
address_get(struct uplink *uplink, struct eth_addr ea, const char *origin)
{
    struct uplink_address *address = address_find(uplink, ea);
    int error;

    if (address) {
        if (!address->missing) {
            program_address(uplink, ea, origin);
        }
        return address->missing ? NULL : address;
    }
    if (hmap_count(&uplink->addresses) - uplink->n_missing >= uplink->max
        && !evict_from_uplink(uplink)) {
        overflow(uplink, "options:softmac-max");
        return NULL;
    }
    error = program_address(uplink, ea, origin);
    if (error) {
        overflow(uplink, ovs_strerror(error));
        return NULL;
    }
    return address_create(uplink, ea);
}

static void
use_create(struct origin *origin, struct uplink_address *address)
{
    struct use *use = xmalloc(sizeof *use);

    *use = (struct use) {
        .ea = address->ea,
        .id = origin->id,
        .origin = origin,
        .address = address,
    };
    ovs_list_push_back(&origin->uses, &use->origin_node);
    ovs_list_push_back(&address->uses, &use->address_node);
    cmap_insert(&address->uplink->uses, &use->node,
                use_hash(use->ea, use->id));
    origin->n_uses++;
    origin_changed(origin);
}

static struct use *
use_find(const struct origin *origin, const struct uplink_address *address)
{
    struct use *use;

    CMAP_FOR_EACH_WITH_HASH (use, node, use_hash(address->ea, origin->id),
                             &address->uplink->uses) {
        if (use->origin == origin && use->address == address) {
            return use;
        }
    }
    return NULL;
}

/* --- What the datapath calls --------------------------------------------- */

static struct uplink_address *
table_find(struct uplink *uplink, struct eth_addr ea, uint16_t vid,
           unsigned int id)
{
    struct use *use;

    if (!uplink_knows_vid(uplink, vid, id)) {
        return NULL;
    }
    CMAP_FOR_EACH_WITH_HASH (use, node, use_hash(ea, id), &uplink->uses) {
        if (use->id == id && eth_addr_equals(use->ea, ea)
            && address_ref(use->address)) {
            return use->address;
        }
    }
    return NULL;
}

/* Makes 'ea' an address of 'uplink' that 'origin' uses. */
static struct uplink_address *
learn(struct uplink *uplink, struct eth_addr ea, struct origin *origin)
{
    struct uplink_address *address = address_find(uplink, ea);

    if (address && use_find(origin, address)) {
        return address;
    }
    if (origin->n_uses >= origin->max && !evict_from_origin(origin)) {
        refuse_origin(uplink, origin);
        return NULL;
    }
    address = address_get(uplink, ea, origin_label(origin));
    if (address) {
        use_create(origin, address);
        address->inherited = false;
    }
    return address;
}

static struct uplink_address *
table_learn(struct uplink *uplink, struct eth_addr ea, uint16_t vid,
            unsigned int id, const char *name)
{
    struct uplink_address *address = NULL;

    ovs_mutex_lock(&softmac_mutex);
    if (!uplink->dead) {
        struct origin *origin = origin_get(id, name);

        if (vid) {
            uplink_use_vid(uplink, vid, origin);
        }
        address = learn(uplink, ea, origin);
        if (address && !address_ref(address)) {
            address = NULL;
        }
    }
    ovs_mutex_unlock(&softmac_mutex);
    seq_change(softmac_seq);
    return address;
}

static void
table_announced(struct uplink *uplink, struct eth_addr ea)
{
    if (ovs_mutex_trylock(&softmac_mutex)) {
        return;                 /* Such frames come more than once. */
    }
    struct uplink_address *address
        = uplink->dead ? NULL : address_find(uplink, ea);
    bool moved = address && !address->n_static
                 && time_msec() - atomic_load(&address->taken) > ECHO_MSEC;
    if (moved) {
        address->announced = time_msec();
        ovs_list_remove(&address->moved_node);
        ovs_list_push_back(&uplink->moved, &address->moved_node);
    }
    ovs_mutex_unlock(&softmac_mutex);
    if (moved) {
        seq_change(softmac_seq);
    }
}

static void
release_uses(struct origin *origin)
{
    struct use *use;

    LIST_FOR_EACH_SAFE (use, origin_node, &origin->uses) {
        struct uplink_address *address = use->address;
        struct uplink *uplink = address->uplink;

        use_destroy(use);
        if (!address_is_needed(address)) {
            address_destroy(address);
            check_overflow(uplink);
        }
    }
}

static void
origin_destroy(struct origin *origin)
{
    release_uses(origin);
    origin_release_vids(origin);
    ovs_list_remove(&origin->changed_node);
    if (origin->id != UPLINK_NO_ORIGIN) {
        hmap_remove(&origins_by_id, &origin->id_node);
    }
    hmap_remove(&origins_by_name, &origin->name_node);
    free(origin->name);
    free(origin);
}

static void
table_origin_gone(const char *name)
{
    ovs_mutex_lock(&softmac_mutex);
    struct origin *origin = origin_find(name);
    if (origin) {
        origin_destroy(origin);
    }
    ovs_mutex_unlock(&softmac_mutex);
}

/* Has the datapath ask us about uplinks. */
void
softmac_table_init(void)
{
    static const struct uplink_ops ops = {
        .find = table_find,
        .learn = table_learn,
        .unuse = address_unref,
        .announced = table_announced,
        .origin_gone = table_origin_gone,
    };

    softmac_seq = seq_create();
    datapath_set_uplink_ops(&ops);
}

/* --- Uplinks ------------------------------------------------------------- */

/* Returns a new uplink, which is port 'name', without devices. */
struct uplink *
uplink_create(const char *name)
{
    struct uplink *uplink = xzalloc(sizeof *uplink);

    uplink->name = xstrdup(name);
    ovs_list_init(&uplink->members);
    cmap_init(&uplink->uses);
    cmap_init(&uplink->vid_uses);
    hmap_init(&uplink->addresses);
    ovs_list_init(&uplink->moved);
    uplink->max = SOFTMAC_MAX_DEFAULT;
    return uplink;
}

static void
uplink_free(struct uplink *uplink)
{
    cmap_destroy(&uplink->uses);
    cmap_destroy(&uplink->vid_uses);
    hmap_destroy(&uplink->addresses);
    free(uplink->name);
    free(uplink);
}

/* Destroys 'uplink', which has no devices and is no port's any more. */
void
uplink_destroy(struct uplink *uplink)
{
    struct uplink_address *address;

    ovs_assert(ovs_list_is_empty(&uplink->members));
    uplink->dead = true;
    HMAP_FOR_EACH_SAFE (address, node, &uplink->addresses) {
        address_destroy(address);
    }
    uplink_release_vids(uplink);
    ovsrcu_postpone(uplink_free, uplink);
}

/* Takes an address that the database gives, and no program uses, out of the
 * filter of 'uplink'. */
static bool
take_out_static(struct uplink *uplink)
{
    struct uplink_address *address;
    struct member *member;
    struct use *use;

    HMAP_FOR_EACH (address, node, &uplink->addresses) {
        if (address->missing || atomic_load(&address->refs)) {
            continue;
        }
        LIST_FOR_EACH_SAFE (use, address_node, &address->uses) {
            use_destroy(use);
        }
        LIST_FOR_EACH (member, node, &uplink->members) {
            filter_remove(member->filter, address->ea);
        }
        address->missing = true;
        uplink->n_missing++;
        overflow(uplink, "options:softmac-max");
        return true;
    }
    return false;
}

/* Sets the most addresses that 'uplink' may have, and what is done when that
 * isn't enough. */
void
uplink_set_max(struct uplink *uplink, size_t max, bool promisc_on_overflow)
{
    struct member *member;

    uplink->max = max;
    uplink->promisc_on_overflow = promisc_on_overflow;
    while (hmap_count(&uplink->addresses) - uplink->n_missing > max
           && (evict_from_uplink(uplink) || take_out_static(uplink))) {
        continue;
    }
    check_overflow(uplink);
    LIST_FOR_EACH (member, node, &uplink->members) {
        filter_set_promiscuous(member->filter,
                               uplink->overflow && promisc_on_overflow);
    }
}

/* The origin that records call 'label'. */
static struct origin *
origin_by_label(const char *label)
{
    const char *name = strcmp(label, ORIGIN_CONTROLLER) ? label : "";
    struct origin *origin = origin_find(name);

    return origin ? origin : origin_create(name);
}

/* Takes over the VLANs that 'filter' has from the process before. */
static void
inherit_vids(struct uplink *uplink, const struct filter *filter)
{
    struct sset uses;
    const char *use;

    sset_clone(&uses, &filter->vid_uses);
    SSET_FOR_EACH (use, &uses) {
        const char *label = strchr(use, ' ') + 1;

        uplink_use_vid(uplink, atoi(use), origin_by_label(label));
    }
    sset_destroy(&uses);
}

/* Takes over an address that a filter has from the process before. */
static void
inherit(struct uplink *uplink, const struct inherited *old)
{
    struct uplink_address *address = address_find(uplink, old->ea);

    if (!address) {
        address = address_create(uplink, old->ea);
        address->inherited = true;
    }
    if (strcmp(old->origin, ORIGIN_DATABASE)) {
        struct origin *origin = origin_by_label(old->origin);

        if (!use_find(origin, address)) {
            use_create(origin, address);
        }
    }
}

/* Puts 'address' into the filters of all devices of its uplink. */
static void
program_again(struct uplink_address *address)
{
    const struct use *use;

    if (address->missing) {
        return;
    }
    if (address->n_static || ovs_list_is_empty(&address->uses)) {
        program_address(address->uplink, address->ea, ORIGIN_DATABASE);
    }
    LIST_FOR_EACH (use, address_node, &address->uses) {
        program_address(address->uplink, address->ea,
                        origin_label(use->origin));
    }
}

/* Adds 'device' to 'uplink': it gets all addresses that there are, and these
 * those that it has from the process before. */
struct member *
uplink_add_member(struct uplink *uplink, const char *device,
                  unsigned int ifindex)
{
    struct member *member = xzalloc(sizeof *member);
    struct uplink_address *address;
    struct inherited *inherited;
    size_t n;

    member->filter = filter_open(device, ifindex, &inherited, &n);
    for (size_t i = 0; i < n; i++) {
        inherit(uplink, &inherited[i]);
        free(inherited[i].origin);
    }
    free(inherited);
    ovs_list_push_back(&uplink->members, &member->node);

    HMAP_FOR_EACH (address, node, &uplink->addresses) {
        program_again(address);
    }
    uplink_program_vids(uplink, member);
    inherit_vids(uplink, member->filter);
    filter_set_promiscuous(member->filter, uplink->overflow
                                           && uplink->promisc_on_overflow);
    uplink->seq++;
    return member;
}

/* Removes 'member' from 'uplink'; its filter stays as it is if 'keep'. */
void
uplink_remove_member(struct uplink *uplink, struct member *member, bool keep)
{
    filter_close(member->filter, keep);
    ovs_list_remove(&member->node);
    free(member->promiscuous);
    free(member->allmulti);
    free(member);
    uplink->seq++;
}

/* The database gives 'ea' for 'uplink'. */
void
uplink_static_ref(struct uplink *uplink, struct eth_addr ea)
{
    struct uplink_address *address = address_get(uplink, ea, ORIGIN_DATABASE);

    if (!address) {
        address = address_find(uplink, ea);
    }
    if (!address) {
        address = address_create(uplink, ea);
        address->missing = true;
        uplink->n_missing++;
    }
    address->n_static++;
    address->inherited = false;
    uplink->seq++;
}

/* The database doesn't give 'ea' for 'uplink' any more, or less often. */
void
uplink_static_unref(struct uplink *uplink, struct eth_addr ea)
{
    struct uplink_address *address = address_find(uplink, ea);

    if (address && address->n_static) {
        address->n_static--;
        if (!address->n_static) {
            forget_address(uplink, ea, ORIGIN_DATABASE);
        }
        if (!address_is_needed(address)) {
            address_destroy(address);
            check_overflow(uplink);
        }
        uplink->seq++;
    }
}

/* Lets go of addresses that another host has announced, once nobody here uses
 * them any more. */
void
uplink_release_moved(struct uplink *uplink)
{
    struct uplink_address *address;

    LIST_FOR_EACH_SAFE (address, moved_node, &uplink->moved) {
        if (address->n_static
            || atomic_load(&address->taken) > address->announced) {
            ovs_list_remove(&address->moved_node);
            ovs_list_init(&address->moved_node);
        } else if (!atomic_load(&address->refs)) {
            address_destroy(address);
            check_overflow(uplink);
        }
    }
}

/* The initial configuration is complete: forgets what 'uplink' has from the
 * process before and nobody can need, because the port that it came from
 * doesn't exist any more or the database doesn't give it. */
void
uplink_settle(struct uplink *uplink, bool (*exists)(const char *port))
{
    struct uplink_address *address;
    struct origin *origin;

    HMAP_FOR_EACH_SAFE (origin, name_node, &origins_by_name) {
        if (origin->name[0] && !exists(origin->name)) {
            origin_destroy(origin);
        }
    }
    HMAP_FOR_EACH_SAFE (address, node, &uplink->addresses) {
        if (!address_is_needed(address)) {
            address_destroy(address);
        }
    }
    uplink_settle_vids(uplink);
}

/* --- Limits of origins --------------------------------------------------- */

/* Sets how many addresses may come from port 'name'. */
void
origin_set_max(const char *name, size_t max)
{
    struct origin *origin = origin_find(name);

    if (!origin) {
        if (max == SOFTMAC_MAX_ORIGIN_DEFAULT) {
            return;
        }
        origin = origin_create(name);
    }
    if (max > origin->max) {
        origin->warned = false;
    }
    origin->max = max;
}

/* Stores how many addresses came from port 'name' and how often one was
 * refused. */
void
origin_get_counts(const char *name, size_t *n, uint64_t *n_refused)
{
    const struct origin *origin = origin_find(name);

    *n = origin ? origin->n_uses : 0;
    *n_refused = origin ? origin->n_refused : 0;
}
