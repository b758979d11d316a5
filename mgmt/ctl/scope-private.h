/* What scope.c, which knows which rows a command line needs, and
 * scope-fetch.c, which gets them, share. */
#ifndef SLUICE_CTL_SCOPE_PRIVATE_H
#define SLUICE_CTL_SCOPE_PRIVATE_H 1

#include "openvswitch/hmap.h"
#include "ovsdb-idl.h"
#include "schemas/vswitch-idl.h"
#include "uuid.h"

/* Which rows of a table. */
struct row_set {
    bool whole;                 /* All rows? */
    struct ovsdb_idl_condition condition; /* Otherwise these. */
};

/* A port and the bridge that has it. */
struct located {
    struct hmap_node node;      /* In struct scope's 'located'. */
    struct uuid port;
    struct uuid bridge;
};

struct scope {
    struct row_set tables[OVSREC_N_TABLES];
    bool everything;            /* All rows of all tables? */
    bool partial;               /* Is there a bounded topology in it? */
    bool topology_touched;      /* By database commands? */
    struct hmap located;        /* Contains "struct located"s. */
    struct jsonrpc *connection; /* For questions; NULL until there is one. */
};

struct row_set *scope_rows(struct scope *,
                           const struct ovsdb_idl_table_class *);
void scope_need_named(struct scope *, const struct ovsdb_idl_table_class *,
                      const struct ovsdb_idl_column *, const char *name);
void scope_forget_located(struct scope *);

#endif /* scope-private.h */
