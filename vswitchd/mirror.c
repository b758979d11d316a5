/* Mirrors: rows of the Mirror table. */
#include <config.h>
#include "vswitchd/vswitchd.h"

#include "bitmap.h"
#include "ofproto/ofproto.h"
#include "util.h"
#include "vlan-bitmap.h"
#include "vswitchd/log.h"

struct mirror {
    struct hmap_node node;      /* In 'bridge->mirrors', by 'uuid'. */
    struct uuid uuid;           /* Of the row. */
    bool wanted;                /* The bridge still refers to it. */
};

static struct mirror *
mirror_find(const struct bridge *br, const struct uuid *uuid)
{
    struct mirror *m;

    HMAP_FOR_EACH_WITH_HASH (m, node, uuid_hash(uuid), &br->mirrors) {
        if (uuid_equals(&m->uuid, uuid)) {
            return m;
        }
    }
    return NULL;
}

static struct mirror *
mirror_create(struct bridge *br, const struct uuid *uuid)
{
    struct mirror *m = xzalloc(sizeof *m);

    m->uuid = *uuid;
    hmap_insert(&br->mirrors, &m->node, uuid_hash(uuid));
    return m;
}

static void
mirror_free(struct bridge *br, struct mirror *m)
{
    if (br->ofproto) {
        ofproto_mirror_unregister(br->ofproto, m);
    }
    hmap_remove(&br->mirrors, &m->node);
    free(m);
}

/* Returns the port of 'br' with row 'row' if it works, else NULL. */
static struct port *
find_port(const struct bridge *br, const struct ovsrec_port *row)
{
    struct port *port = port_by_uuid(&row->header_.uuid);

    return port && port->bridge == br && port->n_open ? port : NULL;
}

static void
collect_ports(const struct bridge *br, const struct ovsrec_mirror *row,
              struct ovsrec_port **rows, size_t n_rows,
              void ***ports, size_t *n_ports)
{
    *ports = xmalloc(n_rows * sizeof **ports);
    *n_ports = 0;
    for (size_t i = 0; i < n_rows; i++) {
        struct port *port = find_port(br, rows[i]);

        if (port) {
            (*ports)[(*n_ports)++] = port;
        } else {
            VLOG_WARN("bridge %s: mirror %s cannot match on nonexistent "
                      "port %s", br->name, row->name, rows[i]->name);
        }
    }
}

static void
collect_all_ports(const struct bridge *br, void ***ports, size_t *n_ports)
{
    struct port *port;

    *ports = xmalloc(ovs_list_size(&br->ports) * sizeof **ports);
    *n_ports = 0;
    LIST_FOR_EACH (port, bridge_node, &br->ports) {
        if (port->n_open) {
            (*ports)[(*n_ports)++] = port;
        }
    }
}

static bool
get_output(const struct bridge *br, const struct ovsrec_mirror *row,
           struct ofproto_mirror_settings *s)
{
    s->out_vlan = UINT16_MAX;
    if (row->output_port) {
        s->out_bundle = find_port(br, row->output_port);
        if (!s->out_bundle) {
            VLOG_ERR("bridge %s: mirror %s outputs to port not on bridge",
                     br->name, row->name);
            return false;
        }
        if (row->output_vlan) {
            VLOG_ERR("bridge %s: mirror %s specifies both output port and "
                     "output vlan; ignoring output vlan",
                     br->name, row->name);
        }
        return true;
    } else if (row->output_vlan) {
        s->out_vlan = *row->output_vlan;
        return true;
    }
    VLOG_ERR("bridge %s: mirror %s does not specify output; ignoring",
             br->name, row->name);
    return false;
}

static bool
mirror_configure(struct bridge *br, struct mirror *m,
                 const struct ovsrec_mirror *row)
{
    struct ofproto_mirror_settings s = { .name = row->name };

    if (!get_output(br, row, &s)) {
        return false;
    }
    s.snaplen = row->snaplen ? *row->snaplen : 0;
    if (row->select_all) {
        collect_all_ports(br, &s.srcs, &s.n_srcs);
        collect_all_ports(br, &s.dsts, &s.n_dsts);
    } else {
        collect_ports(br, row, row->select_src_port, row->n_select_src_port,
                      &s.srcs, &s.n_srcs);
        collect_ports(br, row, row->select_dst_port, row->n_select_dst_port,
                      &s.dsts, &s.n_dsts);
    }
    s.src_vlans = vlan_bitmap_from_array(row->select_vlan,
                                         row->n_select_vlan);

    ofproto_mirror_register(br->ofproto, m, &s);

    free(s.srcs);
    free(s.dsts);
    free(s.src_vlans);
    return true;
}

/* Configures the mirrors of 'br'.  Its ports have been configured. */
void
bridge_configure_mirrors(struct bridge *br)
{
    const struct ovsrec_bridge *row = bridge_row(br);
    unsigned long *flood_vlans;
    struct mirror *m;

    HMAP_FOR_EACH (m, node, &br->mirrors) {
        m->wanted = false;
    }
    for (size_t i = 0; i < row->n_mirrors; i++) {
        m = mirror_find(br, &row->mirrors[i]->header_.uuid);
        if (!m) {
            m = mirror_create(br, &row->mirrors[i]->header_.uuid);
        }
        m->wanted = mirror_configure(br, m, row->mirrors[i]);
    }
    HMAP_FOR_EACH_SAFE (m, node, &br->mirrors) {
        if (!m->wanted) {
            mirror_free(br, m);
        }
    }

    flood_vlans = vlan_bitmap_from_array(row->flood_vlans,
                                         row->n_flood_vlans);
    ofproto_set_flood_vlans(br->ofproto, flood_vlans);
    bitmap_free(flood_vlans);
}

/* Destroys the mirrors of 'br'. */
void
bridge_destroy_mirrors(struct bridge *br)
{
    struct mirror *m;

    HMAP_FOR_EACH_SAFE (m, node, &br->mirrors) {
        mirror_free(br, m);
    }
}

/* Writes the statistics of the mirrors of 'br' to the database. */
void
bridge_refresh_mirrors(struct bridge *br)
{
    struct mirror *m;

    HMAP_FOR_EACH (m, node, &br->mirrors) {
        const struct ovsrec_mirror *row
            = ovsrec_mirror_get_for_uuid(idl, &m->uuid);
        uint64_t packets, bytes;
        const char *keys[2];
        int64_t values[2];
        size_t n = 0;

        if (!row) {
            continue;
        }
        if (!ofproto_mirror_get_stats(br->ofproto, m, &packets, &bytes)) {
            if (packets != UINT64_MAX) {
                keys[n] = "tx_packets";
                values[n++] = packets;
            }
            if (bytes != UINT64_MAX) {
                keys[n] = "tx_bytes";
                values[n++] = bytes;
            }
        }
        ovsrec_mirror_set_statistics(row, keys, values, n);
    }
}
