/* How users refer to rows of the Open_vSwitch schema, and what "show" shows of
 * them: db-ctl-base's description of this database. */
#ifndef SLUICE_CTL_SCHEMA_NAMES_H
#define SLUICE_CTL_SCHEMA_NAMES_H 1

#include "db-ctl-base.h"
#include "schemas/vswitch-idl.h"

extern const struct ctl_table_class schema_row_ids[OVSREC_N_TABLES];
extern const struct cmd_show_table schema_show_tables[];

#endif /* schema-names.h */
