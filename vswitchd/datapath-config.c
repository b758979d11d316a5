/* The Datapath table: connection tracking zones and their timeouts, and what
 * the datapath can do. */
#include <config.h>
#include "vswitchd/vswitchd.h"

#include "hash.h"
#include "ofproto/ofproto.h"
#include "openvswitch/shash.h"
#include "simap.h"
#include "smap.h"
#include "util.h"

struct datapath_config {
    char *type;
    struct hmap zones;          /* "struct zone_config"s, by 'id'. */
    bool wanted;                /* The database still has it. */
};

struct zone_config {
    struct hmap_node node;      /* In 'datapath_config->zones'. */
    uint16_t id;
    struct simap timeouts;      /* In seconds, by connection state. */
    bool wanted;                /* The database still has it. */
};

static struct shash datapaths = SHASH_INITIALIZER(&datapaths); /* By type. */

static struct zone_config *
zone_find(const struct datapath_config *dp, uint16_t id)
{
    struct zone_config *zone;

    HMAP_FOR_EACH_WITH_HASH (zone, node, hash_int(id, 0), &dp->zones) {
        if (zone->id == id) {
            return zone;
        }
    }
    return NULL;
}

static struct zone_config *
zone_create(struct datapath_config *dp, uint16_t id)
{
    struct zone_config *zone = xzalloc(sizeof *zone);

    zone->id = id;
    simap_init(&zone->timeouts);
    hmap_insert(&dp->zones, &zone->node, hash_int(id, 0));
    return zone;
}

static void
zone_destroy(struct datapath_config *dp, struct zone_config *zone)
{
    ofproto_ct_del_zone_timeout_policy(dp->type, zone->id);
    hmap_remove(&dp->zones, &zone->node);
    simap_destroy(&zone->timeouts);
    free(zone);
}

static void
zone_update(struct datapath_config *dp, uint16_t id,
            const struct ovsrec_ct_zone *row)
{
    const struct ovsrec_ct_timeout_policy *policy = row->timeout_policy;
    struct simap timeouts = SIMAP_INITIALIZER(&timeouts);
    struct zone_config *zone = zone_find(dp, id);
    bool is_new = !zone;

    for (size_t i = 0; policy && i < policy->n_timeouts; i++) {
        simap_put(&timeouts, policy->key_timeouts[i],
                  policy->value_timeouts[i]);
    }
    if (is_new) {
        zone = zone_create(dp, id);
    }
    zone->wanted = true;
    if (is_new || !simap_equal(&zone->timeouts, &timeouts)) {
        simap_swap(&zone->timeouts, &timeouts);
        ofproto_ct_set_zone_timeout_policy(dp->type, id, &zone->timeouts);
    }
    simap_destroy(&timeouts);
}

static void
write_capabilities(const char *type, const struct ovsrec_datapath *row)
{
    struct smap capabilities = SMAP_INITIALIZER(&capabilities);

    ofproto_get_datapath_cap(type, &capabilities);
    ovsrec_datapath_set_capabilities(row, &capabilities);
    smap_destroy(&capabilities);
}

static struct datapath_config *
datapath_get(const char *type)
{
    struct datapath_config *dp = shash_find_data(&datapaths, type);

    if (!dp) {
        dp = xzalloc(sizeof *dp);
        dp->type = xstrdup(type);
        hmap_init(&dp->zones);
        shash_add(&datapaths, type, dp);
    }
    return dp;
}

static void
datapath_update(const char *type, const struct ovsrec_datapath *row)
{
    struct datapath_config *dp = datapath_get(type);
    struct zone_config *zone;

    dp->wanted = true;
    write_capabilities(type, row);

    HMAP_FOR_EACH (zone, node, &dp->zones) {
        zone->wanted = false;
    }
    for (size_t i = 0; i < row->n_ct_zones; i++) {
        zone_update(dp, row->key_ct_zones[i], row->value_ct_zones[i]);
    }
    HMAP_FOR_EACH_SAFE (zone, node, &dp->zones) {
        if (!zone->wanted) {
            zone_destroy(dp, zone);
        }
    }
}

static void
datapath_destroy(struct shash_node *node)
{
    struct datapath_config *dp = node->data;
    struct zone_config *zone;

    HMAP_FOR_EACH_SAFE (zone, node, &dp->zones) {
        zone_destroy(dp, zone);
    }
    hmap_destroy(&dp->zones);
    free(dp->type);
    free(dp);
    shash_delete(&datapaths, node);
}

/* Configures datapaths as 'root' (which may be null) says.  The first bridge
 * of each type exists. */
void
datapaths_update(const struct ovsrec_open_vswitch *root)
{
    struct shash_node *node;

    SHASH_FOR_EACH (node, &datapaths) {
        ((struct datapath_config *) node->data)->wanted = false;
    }
    for (size_t i = 0; root && i < root->n_datapaths; i++) {
        datapath_update(root->key_datapaths[i], root->value_datapaths[i]);
    }
    SHASH_FOR_EACH_SAFE (node, &datapaths) {
        if (!((struct datapath_config *) node->data)->wanted) {
            datapath_destroy(node);
        }
    }
}

/* Forgets all. */
void
datapaths_destroy_all(void)
{
    struct shash_node *node;

    SHASH_FOR_EACH_SAFE (node, &datapaths) {
        datapath_destroy(node);
    }
}
