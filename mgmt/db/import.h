/* Moving databases from and to ovsdb-server's files. */
#ifndef SLUICE_DB_IMPORT_H
#define SLUICE_DB_IMPORT_H 1

#include "mgmt/db/database.h"

struct error *import_if_needed(const char *file_name, char **store_name)
    OVS_WARN_UNUSED_RESULT;

#endif /* mgmt/db/import.h */
