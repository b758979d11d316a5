/* Schemas: which tables and columns a database has. */
#ifndef SLUICE_DB_SCHEMA_H
#define SLUICE_DB_SCHEMA_H 1

#include "mgmt/db/data.h"

/* Columns that every table has. */
enum {
    COL_UUID,                   /* "_uuid" */
    COL_VERSION,                /* "_version" */
    N_STD_COLUMNS
};

struct column {
    unsigned int index;         /* In the table's columns and rows' fields. */
    char *name;
    char *sql_name;             /* In the store: see set_sql_names(). */
    bool mutable;
    bool persistent;            /* Not ephemeral. */
    struct type type;
};

/* A list of columns of one table. */
struct column_set {
    const struct column **columns;
    size_t n;
};

struct table_schema {
    char *name;
    char *sql_name;             /* In the store. */
    bool mutable;
    bool is_root;               /* Rows live without references. */
    unsigned int max_rows;      /* UINT_MAX: unlimited. */
    struct column **columns;    /* The standard ones, the others by name. */
    size_t n_columns;
    struct shash by_name;       /* The same. */
    struct column_set *indexes;
    size_t n_indexes;
};

struct schema {
    char *name;
    char *version;              /* "" if none. */
    char *cksum;                /* "" if none. */
    struct table_schema **tables; /* By name. */
    size_t n_tables;
};

struct error *schema_from_json(struct schema **, const json_t *)
    OVS_WARN_UNUSED_RESULT;
struct error *schema_from_file(struct schema **, const char *file_name)
    OVS_WARN_UNUSED_RESULT;
void schema_put_json(struct ds *, const struct schema *);
char *schema_to_text(const struct schema *);
bool schema_equal(const struct schema *, const struct schema *);
void schema_destroy(struct schema *);
bool version_is_valid(const char *);

struct column *table_schema_column(const struct table_schema *,
                                   const char *name);

struct error *column_set_from_json(struct column_set *, const json_t *,
                                   const struct table_schema *)
    OVS_WARN_UNUSED_RESULT;
void column_set_add(struct column_set *, const struct column *);
bool column_set_contains(const struct column_set *, unsigned int index);
void column_set_destroy(struct column_set *);
char *column_set_to_string(const struct column_set *);

#endif /* mgmt/db/schema.h */
