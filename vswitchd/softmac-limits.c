/* How many addresses an uplink may have, and a port bring to it.
 *
 * Beyond that the one makes room that was used least recently, if nobody uses
 * it.  If all are in use the new one is refused: of a port with too many, so
 * that no guest takes the others' room; or because the uplink is full, which
 * is an overflow and said aloud.  Addresses that the database gives and that
 * don't fit are kept as "missing" and get their place when there is room. */
#include <config.h>
#include "vswitchd/softmac.h"

#include <inttypes.h>
#include <limits.h>

#include "openvswitch/vlog.h"
#include "util.h"

VLOG_DEFINE_THIS_MODULE(softmac_limits);

/* When 'address' was used last, LLONG_MAX if it is in use. */
static long long int
address_last_used(struct uplink_address *address)
{
    return (address->n_static || atomic_load(&address->refs)
            ? LLONG_MAX : atomic_load(&address->used));
}

/* Makes room for an address in the full table of 'uplink'.  Returns false if
 * all are in use. */
bool
uplink_make_room(struct uplink *uplink)
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

/* Makes room for an address of 'origin', which has as many as it may.  Returns
 * false if all are in use. */
bool
origin_make_room(struct origin *origin)
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

/* 'origin', which has as many addresses as it may, doesn't get another one. */
void
origin_refuse(struct uplink *uplink, struct origin *origin)
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
void
uplink_overflow(struct uplink *uplink, const char *why)
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
            && !address_program(uplink, address->ea, ORIGIN_DATABASE)) {
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
void
uplink_check_overflow(struct uplink *uplink)
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
        uplink_overflow(uplink, "options:softmac-max");
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
           && (uplink_make_room(uplink) || take_out_static(uplink))) {
        continue;
    }
    uplink_check_overflow(uplink);
    LIST_FOR_EACH (member, node, &uplink->members) {
        filter_set_promiscuous(member->filter,
                               uplink->overflow && promisc_on_overflow);
    }
}
