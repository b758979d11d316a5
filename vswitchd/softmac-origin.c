/* Where the addresses of uplinks come from: ports, by name.
 *
 * The datapath calls a port by an ID, which is another's when the port is gone
 * and is not the same in the next process.  The record of a filter has names.
 * The controller, whose packet-outs come from no port, is an origin that is
 * always there. */
#include <config.h>
#include "vswitchd/softmac.h"

#include <string.h>

#include "hash.h"
#include "util.h"

static struct ovs_list changed_origins
    = OVS_LIST_INITIALIZER(&changed_origins);
static struct hmap origins_by_name = HMAP_INITIALIZER(&origins_by_name);
static struct hmap origins_by_id = HMAP_INITIALIZER(&origins_by_id);

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

/* Gives 'origin' the ID that the datapath has for it now, or none. */
static void
origin_set_id(struct origin *origin, unsigned int id)
{
    if (origin->id == id) {
        return;
    }
    origin_move_uses(origin, id);
    origin_move_vids(origin, id);
    if (origin->id != UPLINK_NO_ORIGIN) {
        hmap_remove(&origins_by_id, &origin->id_node);
    }
    origin->id = id;
    if (id != UPLINK_NO_ORIGIN) {
        hmap_insert(&origins_by_id, &origin->id_node, hash_int(id, 0));
    }
}

/* Returns the origin with 'id' and 'name', or the controller if 'name' is
 * NULL, made if need be. */
struct origin *
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
            origin_set_id(other, UPLINK_NO_ORIGIN);
        }
        origin_set_id(origin, id);
    }
    return origin;
}

/* What records call 'origin'. */
const char *
origin_label(const struct origin *origin)
{
    return origin->name[0] ? origin->name : ORIGIN_CONTROLLER;
}

/* The origin that records call 'label'. */
struct origin *
origin_by_label(const char *label)
{
    const char *name = strcmp(label, ORIGIN_CONTROLLER) ? label : "";
    struct origin *origin = origin_find(name);

    return origin ? origin : origin_create(name);
}

static void
origin_destroy(struct origin *origin)
{
    origin_release_uses(origin);
    origin_release_vids(origin);
    ovs_list_remove(&origin->changed_node);
    if (origin->id != UPLINK_NO_ORIGIN) {
        hmap_remove(&origins_by_id, &origin->id_node);
    }
    hmap_remove(&origins_by_name, &origin->name_node);
    free(origin->name);
    free(origin);
}

/* Port 'name' is gone: nobody needs its addresses any more.  Any thread. */
void
origin_gone(const char *name)
{
    ovs_mutex_lock(&softmac_mutex);
    struct origin *origin = origin_find(name);
    if (origin) {
        origin_destroy(origin);
    }
    ovs_mutex_unlock(&softmac_mutex);
}

/* Forgets the ports that don't exist. */
void
origins_forget_others(bool (*exists)(const char *port))
{
    struct origin *origin;

    HMAP_FOR_EACH_SAFE (origin, name_node, &origins_by_name) {
        if (origin->name[0] && !exists(origin->name)) {
            origin_destroy(origin);
        }
    }
}

/* --- Limits and status --------------------------------------------------- */

/* Has the status of the port that 'origin' is written again. */
void
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
