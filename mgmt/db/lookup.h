/* Finding rows by what is in a column: see lookup.c. */
#ifndef SLUICE_DB_LOOKUP_H
#define SLUICE_DB_LOOKUP_H 1

#include "mgmt/db/execute.h"

struct lookup;

struct lookup *lookup_find(struct table *, const struct clause *,
                           bool settled);
void lookup_visit(const struct lookup *, const struct table *,
                  const struct clause *, query_cb *, void *aux);

#endif /* mgmt/db/lookup.h */
