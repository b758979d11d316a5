/* What the files of the tool share: see tool.c. */
#ifndef SLUICE_DB_TOOL_H
#define SLUICE_DB_TOOL_H 1

#include "mgmt/db/database.h"
#include "mgmt/db/log-file.h"

struct ovs_cmdl_context;

void tool_check(struct error *);
char *tool_resolve(const char *file_name);
const char *tool_db_argument(const struct ovs_cmdl_context *, int i);
struct schema *tool_schema_argument(const struct ovs_cmdl_context *, int i);
struct schema *tool_read_schema(const char *file_name);
struct log_file *tool_open_log(const char *name, enum log_file_mode);

/* In tool-history.c. */
void show_log(const char *file_name, int verbosity);
void show_history(const char *file_name);

/* In tool-describe.c. */
void do_needs_conversion(struct ovs_cmdl_context *);
void do_db_name(struct ovs_cmdl_context *);
void do_db_version(struct ovs_cmdl_context *);
void do_db_cksum(struct ovs_cmdl_context *);
void do_db_cid(struct ovs_cmdl_context *);
void do_db_sid(struct ovs_cmdl_context *);
void do_db_local_address(struct ovs_cmdl_context *);
void do_db_is_clustered(struct ovs_cmdl_context *);
void do_db_is_standalone(struct ovs_cmdl_context *);
void do_schema_name(struct ovs_cmdl_context *);
void do_schema_version(struct ovs_cmdl_context *);
void do_schema_cksum(struct ovs_cmdl_context *);
void do_compare_versions(struct ovs_cmdl_context *);

#endif /* mgmt/db/tool.h */
