/* Uplinks and their devices.
 *
 * All devices of an uplink have the same addresses and VLANs.  A device may
 * have some from the process before, which its record (softmac-filter.c)
 * lists: they become the uplink's, until the configuration is complete and
 * shows which of them nobody can need any more. */
#include <config.h>
#include "vswitchd/softmac.h"

#include <stdlib.h>
#include <string.h>

#include "util.h"

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

/* --- Devices ------------------------------------------------------------- */

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
        address_program(address->uplink, address->ea, ORIGIN_DATABASE);
    }
    LIST_FOR_EACH (use, address_node, &address->uses) {
        address_program(address->uplink, address->ea,
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

/* The initial configuration is complete, and origins are forgotten that don't
 * exist: forgets what 'uplink' has from the process before and nobody can
 * need. */
void
uplink_settle(struct uplink *uplink)
{
    struct uplink_address *address;

    HMAP_FOR_EACH_SAFE (address, node, &uplink->addresses) {
        if (!address_is_needed(address)) {
            address_destroy(address);
        }
    }
    uplink_settle_vids(uplink);
}
