/* The _Server database, from which clients learn which databases there are:
 * ovsdb-server(7), "Database Management". */
#include <config.h>
#include "mgmt/db/server.h"

#include <string.h>

#include "openvswitch/vlog.h"
#include "util.h"

VLOG_DEFINE_THIS_MODULE(server_db);

static const char server_schema[] =
    "{\"name\":\"_Server\",\"version\":\"1.2.0\","
    "\"cksum\":\"3009684573 744\",\"tables\":{\"Database\":{\"columns\":{"
    "\"name\":{\"type\":\"string\"},"
    "\"model\":{\"type\":{\"key\":{\"type\":\"string\",\"enum\":"
    "[\"set\",[\"standalone\",\"clustered\",\"relay\"]]}}},"
    "\"connected\":{\"type\":\"boolean\"},\"leader\":{\"type\":\"boolean\"},"
    "\"schema\":{\"type\":{\"key\":{\"type\":\"string\"},\"min\":0,"
    "\"max\":1}},"
    "\"cid\":{\"type\":{\"key\":{\"type\":\"uuid\"},\"min\":0,\"max\":1}},"
    "\"sid\":{\"type\":{\"key\":{\"type\":\"uuid\"},\"min\":0,\"max\":1}},"
    "\"index\":{\"type\":{\"key\":{\"type\":\"integer\"},\"min\":0,"
    "\"max\":1}}},\"isRoot\":true}}}";

/* Makes the database and serves it. */
void
server_db_create(struct server *server)
{
    json_t *json = json_loads(server_schema, 0, NULL);
    struct schema *schema;
    struct error *error = schema_from_json(&schema, json);

    ovs_assert(!error);
    json_decref(json);
    server->server_db = db_create(schema);
    shash_add_assert(&server->dbs, "_Server", server->server_db);
    server_db_update(server);
}

static void
write_bool(struct row *row, const char *column, bool value)
{
    union atom atom = { .boolean = value };
    row_write(row, column, datum_scalar(ATOM_BOOLEAN, &atom), ATOM_BOOLEAN,
              ATOM_VOID);
}

static void
write_string(struct row *row, const char *column, const char *value)
{
    row_write(row, column, datum_string(value), ATOM_STRING, ATOM_VOID);
}

static void
write_schema(struct row *row, const struct db *db)
{
    char *schema = schema_to_text(db->schema);

    write_string(row, "schema", schema);
    free(schema);
}

static void
add_row(struct txn *txn, struct table *table, struct db *db)
{
    struct row *row = row_create(table);

    uuid_generate(&db->server_row);
    row_set_uuid(row, &db->server_row);
    write_string(row, "name", db->name);
    write_string(row, "model", "standalone");
    write_bool(row, "connected", true);
    write_bool(row, "leader", true);
    write_schema(row, db);
    txn_insert(txn, row);
}

static void
commit(struct txn *txn)
{
    uint64_t ticket;
    struct error *error = txn_commit(txn, false, &ticket);

    if (error) {
        char *s = error_to_string_free(error);
        VLOG_ERR("Failed to update _Server: %s", s);
        free(s);
    }
}

/* Has the row of 'old' be that of 'new', which takes its place with another
 * schema. */
void
server_db_replace(struct server *server, const struct db *old, struct db *new)
{
    struct table *table = db_table(server->server_db, "Database");
    struct row *row = table_row(table, &old->server_row);

    if (row) {
        struct txn *txn = txn_create(server->server_db);

        new->server_row = old->server_row;
        write_schema(txn_modify(txn, row), new);
        commit(txn);
    }
}

/* Brings the database up to date with what the server serves. */
void
server_db_update(struct server *server)
{
    struct table *table = db_table(server->server_db, "Database");
    struct txn *txn = txn_create(server->server_db);
    struct shash_node *node;
    struct row *row;

    HMAP_FOR_EACH_SAFE (row, node, &table->rows) {
        const char *name;
        struct db *db;

        row_read_string(row, "name", &name);
        db = shash_find_data(&server->dbs, name);
        if (!db || !uuid_equals(&db->server_row, row_uuid(row))) {
            txn_delete(txn, row);
        }
    }
    SHASH_FOR_EACH (node, &server->dbs) {
        struct db *db = node->data;
        if (!table_row(table, &db->server_row)) {
            add_row(txn, table, db);
        }
    }
    commit(txn);
}
