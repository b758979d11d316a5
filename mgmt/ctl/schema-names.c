/* How users refer to rows, and what "show" shows of them. */
#include <config.h>
#include "schema-names.h"

#include "ovsdb-idl-provider.h"

/* By which names, beside their UUIDs, rows of each table are known. */
const struct ctl_table_class schema_row_ids[OVSREC_N_TABLES] = {
    [OVSREC_TABLE_BRIDGE].row_ids[0]
        = {&ovsrec_bridge_col_name, NULL, NULL},
    [OVSREC_TABLE_PORT].row_ids[0]
        = {&ovsrec_port_col_name, NULL, NULL},
    [OVSREC_TABLE_INTERFACE].row_ids[0]
        = {&ovsrec_interface_col_name, NULL, NULL},
    [OVSREC_TABLE_MIRROR].row_ids[0]
        = {&ovsrec_mirror_col_name, NULL, NULL},
    [OVSREC_TABLE_FLOW_TABLE].row_ids[0]
        = {&ovsrec_flow_table_col_name, NULL, NULL},
    [OVSREC_TABLE_MANAGER].row_ids[0]
        = {&ovsrec_manager_col_target, NULL, NULL},
    [OVSREC_TABLE_FLOW_SAMPLE_COLLECTOR_SET].row_ids[0]
        = {&ovsrec_flow_sample_collector_set_col_id, NULL, NULL},

    /* Rows without a name go by that of the row that they belong to. */
    [OVSREC_TABLE_CONTROLLER].row_ids[0]
        = {&ovsrec_bridge_col_name, NULL, &ovsrec_bridge_col_controller},
    [OVSREC_TABLE_NETFLOW].row_ids[0]
        = {&ovsrec_bridge_col_name, NULL, &ovsrec_bridge_col_netflow},
    [OVSREC_TABLE_SFLOW].row_ids[0]
        = {&ovsrec_bridge_col_name, NULL, &ovsrec_bridge_col_sflow},
    [OVSREC_TABLE_IPFIX].row_ids[0]
        = {&ovsrec_bridge_col_name, NULL, &ovsrec_bridge_col_ipfix},
    [OVSREC_TABLE_AUTOATTACH].row_ids[0]
        = {&ovsrec_bridge_col_name, NULL, &ovsrec_bridge_col_auto_attach},
    [OVSREC_TABLE_QOS].row_ids[0]
        = {&ovsrec_port_col_name, NULL, &ovsrec_port_col_qos},
};

#define NO_WEAK_REFERENCES { NULL, NULL, NULL }

/* The tree that "show" prints, from the root downward. */
const struct cmd_show_table schema_show_tables[] = {
    {&ovsrec_table_open_vswitch,
     NULL,
     {&ovsrec_open_vswitch_col_manager_options,
      &ovsrec_open_vswitch_col_bridges,
      &ovsrec_open_vswitch_col_ovs_version},
     NO_WEAK_REFERENCES},

    {&ovsrec_table_bridge,
     &ovsrec_bridge_col_name,
     {&ovsrec_bridge_col_controller,
      &ovsrec_bridge_col_fail_mode,
      &ovsrec_bridge_col_datapath_type,
      &ovsrec_bridge_col_ports},
     NO_WEAK_REFERENCES},

    {&ovsrec_table_port,
     &ovsrec_port_col_name,
     {&ovsrec_port_col_tag,
      &ovsrec_port_col_trunks,
      &ovsrec_port_col_interfaces},
     NO_WEAK_REFERENCES},

    {&ovsrec_table_interface,
     &ovsrec_interface_col_name,
     {&ovsrec_interface_col_type,
      &ovsrec_interface_col_options,
      &ovsrec_interface_col_error,
      &ovsrec_interface_col_bfd_status},
     NO_WEAK_REFERENCES},

    {&ovsrec_table_controller,
     &ovsrec_controller_col_target,
     {&ovsrec_controller_col_is_connected},
     NO_WEAK_REFERENCES},

    {&ovsrec_table_manager,
     &ovsrec_manager_col_target,
     {&ovsrec_manager_col_is_connected},
     NO_WEAK_REFERENCES},

    {NULL, NULL, {NULL}, NO_WEAK_REFERENCES},
};
