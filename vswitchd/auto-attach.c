/* Auto-attach (IEEE 802.1Qcj over LLDP): mappings of I-SIDs to VLANs, and the
 * VLANs that a fabric assigns to ports. */
#include <config.h>
#include "vswitchd/vswitchd.h"

#include "hash.h"
#include "ofproto/ofproto.h"
#include "openvswitch/poll-loop.h"
#include "ovs-lldp.h"
#include "timeval.h"
#include "util.h"
#include "vswitchd/log.h"

#define REFRESH_INTERVAL_MSEC 1000

struct aa_mapping {
    struct hmap_node node;      /* In 'bridge->mappings', by 'isid'. */
    int64_t isid;
    bool wanted;                /* The database still has it. */
};

static long long int next_refresh = LLONG_MIN;
static size_t n_auto_attach_bridges;

static struct aa_mapping *
mapping_find(const struct bridge *br, int64_t isid)
{
    struct aa_mapping *m;

    HMAP_FOR_EACH_WITH_HASH (m, node, hash_uint64(isid), &br->mappings) {
        if (m->isid == isid) {
            return m;
        }
    }
    return NULL;
}

static void
mapping_create(struct bridge *br, int64_t isid, int64_t vlan)
{
    struct aa_mapping_settings s = { .isid = isid, .vlan = vlan };
    struct aa_mapping *m = xzalloc(sizeof *m);

    VLOG_INFO("Adding isid=%"PRId64", vlan=%"PRId64, isid, vlan);
    m->isid = isid;
    m->wanted = true;
    hmap_insert(&br->mappings, &m->node, hash_uint64(isid));
    n_auto_attach_bridges += hmap_count(&br->mappings) == 1;
    ofproto_aa_mapping_register(br->ofproto, m, &s);
}

static void
mapping_destroy(struct bridge *br, struct aa_mapping *m)
{
    if (br->ofproto) {
        ofproto_aa_mapping_unregister(br->ofproto, m);
    }
    hmap_remove(&br->mappings, &m->node);
    n_auto_attach_bridges -= hmap_is_empty(&br->mappings);
    free(m);
}

/* Destroys the mappings of 'br'. */
void
bridge_destroy_auto_attach(struct bridge *br)
{
    struct aa_mapping *m;

    HMAP_FOR_EACH_SAFE (m, node, &br->mappings) {
        mapping_destroy(br, m);
    }
}

/* Configures auto-attach on 'br'. */
void
bridge_configure_auto_attach(struct bridge *br)
{
    const struct ovsrec_autoattach *row = bridge_row(br)->auto_attach;
    struct aa_mapping *m;

    if (!row) {
        bridge_destroy_auto_attach(br);
        ofproto_set_aa(br->ofproto, NULL, NULL);
        return;
    }
    ofproto_set_aa(br->ofproto, NULL, &(struct aa_settings) {
        .system_description = row->system_description,
        .system_name = row->system_name,
    });

    HMAP_FOR_EACH (m, node, &br->mappings) {
        m->wanted = false;
    }
    for (size_t i = 0; i < row->n_mappings; i++) {
        m = mapping_find(br, row->key_mappings[i]);
        if (m) {
            m->wanted = true;
        } else {
            mapping_create(br, row->key_mappings[i], row->value_mappings[i]);
        }
    }
    HMAP_FOR_EACH_SAFE (m, node, &br->mappings) {
        if (!m->wanted) {
            VLOG_INFO("Deleting isid=%"PRId64, m->isid);
            mapping_destroy(br, m);
        }
    }
}

/* Gives the port the VLAN that the fabric has assigned to it, or takes it
 * away, in the database: the change comes back like any other. */
static void
update_trunks(const struct ovsrec_port *row, const struct bridge_aa_vlan *v)
{
    int64_t *trunks = xmalloc((row->n_trunks + 1) * sizeof *trunks);
    bool add = v->oper == BRIDGE_AA_VLAN_OPER_ADD;
    size_t n = 0;

    for (size_t i = 0; i < row->n_trunks; i++) {
        if (row->trunks[i] != v->vlan) {
            trunks[n++] = row->trunks[i];
        }
    }
    if (add) {
        trunks[n++] = v->vlan;
    }
    if (n != row->n_trunks) {
        /* A trunk without VLANs would carry all of them. */
        ovsrec_port_set_vlan_mode(row, n ? "trunk" : "access");
        ovsrec_port_set_trunks(row, trunks, n);
    }
    free(trunks);
}

static void
refresh_bridge(struct bridge *br)
{
    struct ovs_list vlans = OVS_LIST_INITIALIZER(&vlans);
    struct bridge_aa_vlan *v;

    if (!ofproto_aa_vlan_get_queue_size(br->ofproto)) {
        return;
    }
    ofproto_aa_vlan_get_queued(br->ofproto, &vlans);
    LIST_FOR_EACH_POP (v, list_node, &vlans) {
        struct iface *iface = iface_find(v->port_name);

        VLOG_INFO("ifname=%s, vlan=%u, oper=%u",
                  v->port_name, v->vlan, v->oper);
        if (iface && iface->port->bridge == br) {
            update_trunks(port_row(iface->port), v);
        }
        free(v->port_name);
        free(v);
    }
}

/* Takes over the VLANs that the fabric has assigned, in the database
 * transaction that is open. */
void
auto_attach_run(void)
{
    struct bridge *br;

    if (!n_auto_attach_bridges || time_msec() < next_refresh) {
        return;
    }
    BRIDGE_FOR_EACH (br) {
        if (br->ofproto) {
            refresh_bridge(br);
        }
    }
    next_refresh = time_msec() + REFRESH_INTERVAL_MSEC;
}

/* Wakes poll_block() up for auto_attach_run(). */
void
auto_attach_wait(void)
{
    if (n_auto_attach_bridges) {
        poll_timer_wait_until(next_refresh);
    }
}
