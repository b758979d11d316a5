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

#include "hash.h"
#include "packets.h"
#include "seq.h"
#include "timeval.h"
#include "util.h"

/* A frame with one of our addresses that comes in by the uplink so soon after
 * that address was used has been ours. */
#define ECHO_MSEC 200

/* An address that nothing can take a reference to any more. */
#define REFS_GONE INT_MIN

struct ovs_mutex softmac_mutex = OVS_MUTEX_INITIALIZER;

struct seq *softmac_seq;

/* --- Addresses ----------------------------------------------------------- */

/* Returns the address 'ea' of 'uplink', or NULL. */
struct uplink_address *
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

/* Puts 'ea' into the filters of all devices of 'uplink'.  Returns 0 or a
 * positive errno value if there is one that it couldn't be put into. */
int
address_program(struct uplink *uplink, struct eth_addr ea, const char *origin)
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

/* Returns a new address of 'uplink', for which the filters have been told. */
struct uplink_address *
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

/* Takes 'address' out of the filters and forgets it. */
void
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

/* Whether the database gives 'address' or a port has used it. */
bool
address_is_needed(const struct uplink_address *address)
{
    return address->n_static || !ovs_list_is_empty(&address->uses);
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
            address_program(uplink, ea, origin);
        }
        return address->missing ? NULL : address;
    }
    if (hmap_count(&uplink->addresses) - uplink->n_missing >= uplink->max
        && !uplink_make_room(uplink)) {
        uplink_overflow(uplink, "options:softmac-max");
        return NULL;
    }
    error = address_program(uplink, ea, origin);
    if (error) {
        uplink_overflow(uplink, ovs_strerror(error));
        return NULL;
    }
    return address_create(uplink, ea);
}

/* --- Uses ---------------------------------------------------------------- */

static uint32_t
use_hash(struct eth_addr ea, unsigned int id)
{
    return hash_mac(ea, 0, id);
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

/* Notes that 'origin' has used 'address'. */
void
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

/* Returns the use of 'address' by 'origin', or NULL. */
struct use *
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

/* That use is over; 'use->address' may not be needed any more. */
void
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

/* 'origin' is gone: so are the addresses that nobody else needs. */
void
origin_release_uses(struct origin *origin)
{
    struct use *use;

    LIST_FOR_EACH_SAFE (use, origin_node, &origin->uses) {
        struct uplink_address *address = use->address;
        struct uplink *uplink = address->uplink;

        use_destroy(use);
        if (!address_is_needed(address)) {
            address_destroy(address);
            uplink_check_overflow(uplink);
        }
    }
}

/* The ID of 'origin' becomes 'id'. */
void
origin_move_uses(struct origin *origin, unsigned int id)
{
    struct use *use;

    LIST_FOR_EACH (use, origin_node, &origin->uses) {
        struct cmap *uses = &use->address->uplink->uses;

        cmap_remove(uses, &use->node, use_hash(use->ea, use->id));
        use->id = id;
        cmap_insert(uses, &use->node, use_hash(use->ea, id));
    }
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
    if (origin->n_uses >= origin->max && !origin_make_room(origin)) {
        origin_refuse(uplink, origin);
        return NULL;
    }
    address = address_get(uplink, ea, origin_label(origin));
    if (address) {
        use_create(origin, address);
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

/* Has the datapath ask us about uplinks. */
void
softmac_table_init(void)
{
    static const struct uplink_ops ops = {
        .find = table_find,
        .learn = table_learn,
        .unuse = address_unref,
        .announced = table_announced,
        .origin_gone = origin_gone,
    };

    softmac_seq = seq_create();
    datapath_set_uplink_ops(&ops);
}

/* --- What the database gives --------------------------------------------- */

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
            uplink_check_overflow(uplink);
        }
        uplink->seq++;
    }
}

/* --- What other hosts announce ------------------------------------------- */

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
            uplink_check_overflow(uplink);
        }
    }
}
