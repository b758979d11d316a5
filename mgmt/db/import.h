/* Files of ovsdb-server at a server that keeps its databases in SQLite.
 *
 * A log FILE that is to be served is imported into FILE.sqlite beside it and
 * left as it was, so that the host can go back.  FILE.sqlite remembers which
 * contents of FILE it came from.  As long as FILE has them, FILE.sqlite is the
 * database, for the server and for ovsdb-tool's commands on FILE.  When FILE
 * has others, because ovsdb-server has been at work on it in between, it is
 * imported anew and the former import kept under another name. */
#ifndef SLUICE_DB_IMPORT_H
#define SLUICE_DB_IMPORT_H 1

#include "mgmt/db/database.h"

struct error *import_if_needed(const char *file_name, char **store_name)
    OVS_WARN_UNUSED_RESULT;
char *import_find(const char *file_name);
struct error *import_log(const char *log_name, const char *store_name)
    OVS_WARN_UNUSED_RESULT;

#endif /* mgmt/db/import.h */
