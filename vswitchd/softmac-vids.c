/* The VLANs of uplinks: who needs them.
 *
 * A device that lets in registered VLANs only (softmac-vlan.c) gets those that
 * ports of the bridge are in, as their rows say, and those of the tagged
 * frames that leave by it, which a flow may have tagged.  Like an address, the
 * latter is needed until the last port is gone that such frames came in by.
 *
 * Whether a port's VLAN is known, any thread may ask; all else is protected by
 * softmac_mutex. */
#include <config.h>
#include "vswitchd/softmac.h"

#include <errno.h>

#include "hash.h"
#include "openvswitch/vlog.h"
#include "util.h"

VLOG_DEFINE_THIS_MODULE(softmac_vids);

/* That frames of a VLAN came from an origin. */
struct vid_use {
    struct cmap_node node;      /* In uplink->vid_uses. */
    uint16_t vid;
    unsigned int id;            /* The origin's. */
    struct uplink *uplink;
    struct origin *origin;
    struct ovs_list origin_node; /* In origin->vid_uses. */
};

static uint32_t
vid_hash(uint16_t vid, unsigned int id)
{
    return hash_2words(vid, id);
}

/* --- What needs them ----------------------------------------------------- */

/* A port of the bridge of 'uplink' is in VLAN 'vid', or frames of it leave. */
void
uplink_ref_vid(struct uplink *uplink, uint16_t vid)
{
    struct member *member;

    if (uplink->vid_refs[vid]++) {
        return;
    }
    LIST_FOR_EACH (member, node, &uplink->members) {
        int error = filter_add_vid(member->filter, vid);

        if (error) {
            static struct vlog_rate_limit rl = VLOG_RATE_LIMIT_INIT(1, 5);

            VLOG_WARN_RL(&rl, "%s: cannot have it let in VLAN %u (%s)%s",
                         member->filter->name, vid, ovs_strerror(error),
                         error == EOPNOTSUPP
                         ? ": the kernel's module 8021q is missing" : "");
        }
    }
    uplink->seq++;
}

/* Undoes that. */
void
uplink_unref_vid(struct uplink *uplink, uint16_t vid)
{
    struct member *member;

    if (--uplink->vid_refs[vid]) {
        return;
    }
    LIST_FOR_EACH (member, node, &uplink->members) {
        filter_remove_vid(member->filter, vid);
    }
    uplink->seq++;
}

/* --- Frames -------------------------------------------------------------- */

/* Returns true if frames of VLAN 'vid' from the port with ID 'id' have been
 * seen.  Any thread, RCU. */
bool
uplink_knows_vid(const struct uplink *uplink, uint16_t vid, unsigned int id)
{
    const struct vid_use *use;

    CMAP_FOR_EACH_WITH_HASH (use, node, vid_hash(vid, id),
                             &uplink->vid_uses) {
        if (use->vid == vid && use->id == id) {
            return true;
        }
    }
    return !vid;
}

/* Frames of VLAN 'vid' that came from 'origin' are about to leave by
 * 'uplink'. */
void
uplink_use_vid(struct uplink *uplink, uint16_t vid, struct origin *origin)
{
    struct vid_use *use;
    struct member *member;

    LIST_FOR_EACH (use, origin_node, &origin->vid_uses) {
        if (use->uplink == uplink && use->vid == vid) {
            return;
        }
    }
    LIST_FOR_EACH (member, node, &uplink->members) {
        filter_note_vid(member->filter, vid, origin_label(origin));
    }
    uplink_ref_vid(uplink, vid);
    use = xmalloc(sizeof *use);
    *use = (struct vid_use) {
        .vid = vid,
        .id = origin->id,
        .uplink = uplink,
        .origin = origin,
    };
    ovs_list_push_back(&origin->vid_uses, &use->origin_node);
    cmap_insert(&uplink->vid_uses, &use->node, vid_hash(vid, use->id));
}

static void
vid_use_destroy(struct vid_use *use)
{
    struct uplink *uplink = use->uplink;
    struct member *member;

    LIST_FOR_EACH (member, node, &uplink->members) {
        filter_forget_vid(member->filter, use->vid,
                          origin_label(use->origin));
    }
    uplink_unref_vid(uplink, use->vid);
    cmap_remove(&uplink->vid_uses, &use->node, vid_hash(use->vid, use->id));
    ovs_list_remove(&use->origin_node);
    ovsrcu_postpone(free, use);
}

/* --- What becomes of origins and devices --------------------------------- */

/* The ID of 'origin' becomes 'id'. */
void
origin_move_vids(struct origin *origin, unsigned int id)
{
    struct vid_use *use;

    LIST_FOR_EACH (use, origin_node, &origin->vid_uses) {
        struct cmap *uses = &use->uplink->vid_uses;

        cmap_remove(uses, &use->node, vid_hash(use->vid, use->id));
        use->id = id;
        cmap_insert(uses, &use->node, vid_hash(use->vid, id));
    }
}

/* 'origin' is gone. */
void
origin_release_vids(struct origin *origin)
{
    struct vid_use *use;

    LIST_FOR_EACH_SAFE (use, origin_node, &origin->vid_uses) {
        vid_use_destroy(use);
    }
}

/* 'uplink' is being destroyed. */
void
uplink_release_vids(struct uplink *uplink)
{
    struct vid_use *use;

    CMAP_FOR_EACH (use, node, &uplink->vid_uses) {
        vid_use_destroy(use);
    }
}

/* Has the new 'member' of 'uplink' let in what is needed. */
void
uplink_program_vids(struct uplink *uplink, struct member *member)
{
    const struct vid_use *use;

    for (int vid = 1; vid < 4096; vid++) {
        if (uplink->vid_refs[vid]) {
            filter_add_vid(member->filter, vid);
        }
    }
    CMAP_FOR_EACH (use, node, &uplink->vid_uses) {
        filter_note_vid(member->filter, use->vid, origin_label(use->origin));
    }
}

/* The initial configuration is complete: removes what the devices of 'uplink'
 * have from the process before and nobody needs. */
void
uplink_settle_vids(struct uplink *uplink)
{
    struct member *member;
    size_t vid;

    LIST_FOR_EACH (member, node, &uplink->members) {
        BITMAP_FOR_EACH_1 (vid, 4096, member->filter->vids) {
            if (!uplink->vid_refs[vid]) {
                filter_remove_vid(member->filter, vid);
            }
        }
    }
}
