/* Databases: see database.h. */
#include <config.h>
#include "mgmt/db/database.h"

#include "util.h"

static struct table *
table_create(struct db *db, struct table_schema *ts, unsigned int number)
{
    struct table *table = xzalloc(sizeof *table);
    size_t i;

    table->db = db;
    table->schema = ts;
    table->number = number;
    hmap_init(&table->rows);
    table->indexes = xcalloc(ts->n_indexes, sizeof *table->indexes);
    for (i = 0; i < ts->n_indexes; i++) {
        hmap_init(&table->indexes[i]);
    }
    return table;
}

static void
table_destroy(struct table *table)
{
    struct row *row;
    size_t i;

    lookups_destroy(table);
    HMAP_FOR_EACH_SAFE (row, node, &table->rows) {
        row_unref(row);
    }
    hmap_destroy(&table->rows);
    for (i = 0; i < table->schema->n_indexes; i++) {
        hmap_destroy(&table->indexes[i]);
    }
    free(table->indexes);
    free(table);
}

static void
set_ref(struct db *db, struct base_type *base)
{
    if (base->type == ATOM_UUID && base->uuid.ref_name) {
        base->uuid.ref = db_table(db, base->uuid.ref_name);
    }
}

static void
make_tables(struct db *db)
{
    const struct schema *schema = db->schema;
    size_t i, j;

    shash_init(&db->tables);
    hmap_init(&db->weak_refs);
    db->by_number = xcalloc(schema->n_tables, sizeof *db->by_number);
    for (i = 0; i < schema->n_tables; i++) {
        db->by_number[i] = table_create(db, schema->tables[i], i);
        shash_add(&db->tables, schema->tables[i]->name, db->by_number[i]);
    }
    for (i = 0; i < schema->n_tables; i++) {
        for (j = 0; j < schema->tables[i]->n_columns; j++) {
            set_ref(db, &schema->tables[i]->columns[j]->type.key);
            set_ref(db, &schema->tables[i]->columns[j]->type.value);
        }
    }
    db->rbac_role = db_table(db, "RBAC_Role");
}

static void
destroy_tables(struct db *db)
{
    size_t i;

    references_destroy(db);
    for (i = 0; i < db->schema->n_tables; i++) {
        table_destroy(db->by_number[i]);
    }
    free(db->by_number);
    shash_destroy(&db->tables);
    schema_destroy(db->schema);
}

/* An empty database with 'schema', which it takes. */
struct db *
db_create(struct schema *schema)
{
    struct db *db = xzalloc(sizeof *db);

    db->name = xstrdup(schema->name);
    db->schema = schema;
    ovs_list_init(&db->feeds);
    ovs_list_init(&db->triggers);
    uuid_generate(&db->last_txnid);
    make_tables(db);
    return db;
}

/* Destroys 'db', which must have no monitors, triggers or store left. */
void
db_destroy(struct db *db)
{
    if (db) {
        destroy_tables(db);
        free(db->name);
        free(db->filename);
        free(db);
    }
}

struct table *
db_table(const struct db *db, const char *name)
{
    return shash_find_data(&db->tables, name);
}
