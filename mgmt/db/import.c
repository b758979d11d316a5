/* Importing ovsdb-server's files: see import.h. */
#include <config.h>
#include "mgmt/db/import.h"

#include "mgmt/db/store.h"
#include "util.h"

/* Sees to it that there is a file of ours for 'file_name'. */
struct error *
import_if_needed(const char *file_name, char **store_name)
{
    *store_name = xstrdup(file_name);
    return NULL;
}
