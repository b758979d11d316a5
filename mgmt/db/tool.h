/* What the files of the tool share: see tool.c. */
#ifndef SLUICE_DB_TOOL_H
#define SLUICE_DB_TOOL_H 1

#include "mgmt/db/database.h"

void tool_check(struct error *);
char *tool_resolve(const char *file_name);

/* In tool-history.c. */
void show_log(const char *file_name, int verbosity);
void show_history(const char *file_name);

#endif /* mgmt/db/tool.h */
