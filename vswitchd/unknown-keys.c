/* Says in the log which keys of the maps that configure the switch do
 * nothing.  (Options of interfaces are told in Interface.error: options.c.)
 *
 * It is no warning: some programs keep what is theirs in these maps. */
#include <config.h>
#include "vswitchd/vswitchd.h"

#include "schemas/known-keys.h"
#include "smap.h"
#include "util.h"
#include "vswitchd/log.h"

static void
report(const char *table, const char *name, const char *column,
       const struct smap *map)
{
    static struct vlog_rate_limit rl = VLOG_RATE_LIMIT_INIT(20, 100);
    const struct smap_node *node;

    SMAP_FOR_EACH (node, map) {
        const char *why;

        if (known_key_effect(table, column, node->key, &why) != KEY_WORKS) {
            VLOG_INFO_RL(&rl, "%s %s: %s:%s has no effect: %s", table, name,
                         column, node->key, why);
        }
    }
}

/* Reports on map COLUMN of those rows of TABLE that changed.  'row' may be used
 * in NAME. */
#define REPORT(TABLE, STRUCT, TABLE_ID, COLUMN, COLUMN_ID, NAME)        \
    do {                                                                \
        const struct ovsrec_##STRUCT *row;                              \
                                                                        \
        OVSREC_##TABLE_ID##_FOR_EACH_TRACKED (row, idl) {               \
            if (!ovsrec_##STRUCT##_is_deleted(row)                      \
                && ovsrec_##STRUCT##_is_updated(                        \
                    row, OVSREC_##TABLE_ID##_COL_##COLUMN_ID)) {        \
                report(TABLE, NAME, #COLUMN, &row->COLUMN);             \
            }                                                           \
        }                                                               \
    } while (0)

/* Reports on what changed in the database. */
void
unknown_keys_report(void)
{
    REPORT("Open_vSwitch", open_vswitch, OPEN_VSWITCH,
           other_config, OTHER_CONFIG, ".");
    REPORT("Bridge", bridge, BRIDGE, other_config, OTHER_CONFIG, row->name);
    REPORT("Port", port, PORT, other_config, OTHER_CONFIG, row->name);
    REPORT("Interface", interface, INTERFACE,
           other_config, OTHER_CONFIG, row->name);
    REPORT("Interface", interface, INTERFACE, bfd, BFD, row->name);
    REPORT("Interface", interface, INTERFACE, lldp, LLDP, row->name);
    REPORT("QoS", qos, QOS, other_config, OTHER_CONFIG, row->type);
    REPORT("Queue", queue, QUEUE, other_config, OTHER_CONFIG, "");
    REPORT("IPFIX", ipfix, IPFIX, other_config, OTHER_CONFIG, "");
    REPORT("Controller", controller, CONTROLLER,
           other_config, OTHER_CONFIG, row->target);
}
