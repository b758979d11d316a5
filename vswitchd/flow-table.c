/* OpenFlow tables: limits, eviction and prefix lookup, rows of the Flow_Table
 * table. */
#include <config.h>
#include "vswitchd/vswitchd.h"

#include <limits.h>

#include "ofproto/ofproto.h"
#include "openvswitch/dynamic-string.h"
#include "openvswitch/meta-flow.h"
#include "nx-match.h"
#include "util.h"
#include "vswitchd/log.h"

static struct vlog_rate_limit rl = VLOG_RATE_LIMIT_INIT(1, 5);

/* Stores the fields by which flows to evict are grouped. */
static void
get_groups(const struct bridge *br, int table,
           const struct ovsrec_flow_table *row,
           struct ofproto_table_settings *s)
{
    s->groups = xmalloc(row->n_groups * sizeof *s->groups);
    for (size_t i = 0; i < row->n_groups; i++) {
        const char *string = row->groups[i];
        char *msg = mf_parse_subfield__(&s->groups[s->n_groups], &string);

        if (msg) {
            VLOG_WARN_RL(&rl, "bridge %s table %d: error parsing 'groups' "
                         "(%s)", br->name, table, msg);
            free(msg);
        } else if (*string) {
            VLOG_WARN_RL(&rl, "bridge %s table %d: 'groups' element '%s' "
                         "contains trailing garbage",
                         br->name, table, row->groups[i]);
        } else {
            s->n_groups++;
        }
    }
}

static void
log_prefixes(const struct bridge *br, int table,
             const struct ofproto_table_settings *s)
{
    struct ds ds = DS_EMPTY_INITIALIZER;

    for (size_t i = 0; i < s->n_prefix_fields; i++) {
        ds_put_format(&ds, "%s%s", i ? "," : "",
                      mf_from_id(s->prefix_fields[i])->name);
    }
    VLOG_INFO("bridge %s table %d: Prefix lookup with: %s.", br->name, table,
              s->n_prefix_fields ? ds_cstr(&ds) : "none");
    ds_destroy(&ds);
}

/* Stores the fields that are looked up by prefix.  Returns false if the row
 * names none that can be, so that the default ones are to be used. */
static bool
get_prefixes(const struct bridge *br, const struct ovsrec_flow_table *row,
             struct ofproto_table_settings *s)
{
    for (size_t i = 0; i < row->n_prefixes; i++) {
        const char *name = row->prefixes[i];
        const struct mf_field *mf = mf_from_name(name);

        if (!strcmp(name, "none")) {
            s->n_prefix_fields = 0;
            return true;
        } else if (!mf) {
            VLOG_WARN("bridge %s: 'prefixes' with unknown field: %s",
                      br->name, name);
        } else if (mf->flow_be32ofs < 0 || mf->n_bits % 32) {
            VLOG_WARN("bridge %s: 'prefixes' with incompatible field: %s",
                      br->name, name);
        } else if (s->n_prefix_fields >= ARRAY_SIZE(s->prefix_fields)) {
            VLOG_WARN("bridge %s: 'prefixes' with too many fields, field not "
                      "used: %s", br->name, name);
        } else {
            s->prefix_fields[s->n_prefix_fields++] = mf->id;
        }
    }
    return s->n_prefix_fields > 0;
}

static void
configure_table(struct bridge *br, int table,
                const struct ovsrec_flow_table *row)
{
    struct ofproto_table_settings s = { .max_flows = UINT_MAX };

    memset(s.prefix_fields, 0xff, sizeof s.prefix_fields);
    if (row) {
        s.name = row->name;
        if (row->n_flow_limit && *row->flow_limit < UINT_MAX) {
            s.max_flows = *row->flow_limit;
        }
        s.enable_eviction = (row->overflow_policy
                             && !strcmp(row->overflow_policy, "evict"));
        get_groups(br, table, row, &s);
    }
    if (row && get_prefixes(br, row, &s)) {
        log_prefixes(br, table, &s);
    } else {
        s.n_prefix_fields = ARRAY_SIZE(default_prefix_fields);
        memcpy(s.prefix_fields, default_prefix_fields,
               sizeof default_prefix_fields);
    }
    ofproto_configure_table(br->ofproto, table, &s);
    free(s.groups);
}

/* Configures the OpenFlow tables of 'br'. */
void
bridge_configure_tables(struct bridge *br)
{
    const struct ovsrec_bridge *row = bridge_row(br);
    int n_tables = ofproto_get_n_tables(br->ofproto);
    size_t next = 0;            /* The keys are sorted. */

    for (int i = 0; i < n_tables; i++) {
        bool has_row = (next < row->n_flow_tables
                        && row->key_flow_tables[next] == i);

        configure_table(br, i, (has_row ? row->value_flow_tables[next++]
                                : NULL));
    }
    for (; next < row->n_flow_tables; next++) {
        VLOG_WARN_RL(&rl, "bridge %s: ignoring configuration for flow table "
                     "%"PRId64" not supported by this datapath", br->name,
                     row->key_flow_tables[next]);
    }
}
