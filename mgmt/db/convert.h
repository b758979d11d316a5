/* Conversion of a database to another schema. */
#ifndef SLUICE_DB_CONVERT_H
#define SLUICE_DB_CONVERT_H 1

#include "mgmt/db/database.h"

struct error *convert(const struct db *, struct schema *, struct db **)
    OVS_WARN_UNUSED_RESULT;
struct error *convert_from_json(const struct db *, const json_t *schema,
                                struct db **) OVS_WARN_UNUSED_RESULT;

#endif /* mgmt/db/convert.h */
