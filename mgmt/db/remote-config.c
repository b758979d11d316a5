/* Remotes and TLS files that are given by a column of a database
 * ("db:DB,TABLE,COLUMN"), and the status that is written back there. */
#include <config.h>
#include "mgmt/db/server.h"

#include <limits.h>
#include <string.h>

#include "openvswitch/vlog.h"
#include "socket-util.h"
#include "util.h"

VLOG_DEFINE_THIS_MODULE(remote_config);

/* Finds what 'name', "db:DB,TABLE,COLUMN", names.  Returns NULL or an error
 * message that the caller must free. */
char *
parse_db_column(const struct server *server, const char *name, struct db **db,
                struct table **table, struct column **column)
{
    char *copy = xstrdup(name), *save_ptr = NULL, *error = NULL;
    const char *d, *t, *c;

    *db = NULL;
    *table = NULL;
    *column = NULL;
    strtok_r(copy, ":", &save_ptr);
    d = strtok_r(NULL, ",", &save_ptr);
    t = strtok_r(NULL, ",", &save_ptr);
    c = strtok_r(NULL, ",", &save_ptr);
    if (!d || !t || !c) {
        error = xasprintf("\"%s\": invalid syntax", name);
    } else if (!(*db = shash_find_data(&server->dbs, d))) {
        error = xasprintf("\"%s\": no database named %s", name, d);
    } else if (!(*table = db_table(*db, t))) {
        error = xasprintf("\"%s\": no table named %s", name, t);
    } else if (!(*column = table_schema_column((*table)->schema, c))) {
        error = xasprintf("\"%s\": table \"%s\" has no column \"%s\"",
                          name, t, c);
    }
    free(copy);
    return error;
}

static bool
is_string_set(const struct type *type)
{
    return type->key.type == ATOM_STRING && !type_is_map(type);
}

static bool
is_ref_set(const struct type *type)
{
    return (type->key.type == ATOM_UUID && type->key.uuid.ref
            && !type_is_map(type));
}

/* The first nonempty string in the column that 'name' names; 'name' itself if
 * it doesn't name a column.  NULL if there is none. */
static const char *
query_string(const struct server *server, const char *name, struct ds *errors)
{
    struct column *column;
    struct table *table;
    struct cursor c;
    struct row *row;
    struct db *db;
    char *error;

    if (!name || strncmp(name, "db:", 3)) {
        return name;
    }
    error = parse_db_column(server, name, &db, &table, &column);
    if (!error && !is_string_set(&column->type)) {
        error = xasprintf("\"%s\": table \"%s\" column \"%s\" is not string "
                          "or set of strings", name, table->schema->name,
                          column->name);
    }
    if (error) {
        ds_put_format(errors, "%s\n", error);
        free(error);
        return NULL;
    }
    HMAP_FOR_EACH (row, node, &table->rows) {
        DATUM_FOR_EACH (&c, row->fields[column->index]) {
            union atom atom = cursor_key(&c);
            if (atom.string->s[0]) {
                return atom.string->s;
            }
        }
    }
    return NULL;
}

/* Sets the TLS files.  Returns NULL or errors that the caller must free. */
char *
tls_reconfigure(struct server *server)
{
    struct ds errors = DS_EMPTY_INITIALIZER;

    tls_configure(query_string(server, server->private_key, &errors),
                  query_string(server, server->certificate, &errors),
                  query_string(server, server->ca_cert, &errors),
                  server->bootstrap_ca_cert, server->peer_ca_cert,
                  query_string(server, server->ssl_protocols, &errors),
                  query_string(server, server->ssl_ciphers, &errors));
    return errors.string;
}

static struct remote_options *
add_target(const struct server *server, struct shash *remotes,
           const char *target)
{
    struct remote_options *options = shash_find_data(remotes, target);

    if (!options) {
        options = xmalloc(sizeof *options);
        remote_options_init(options, target);
        options->no_history = sset_contains(&server->no_history, target);
        shash_add(remotes, target, options);
    }
    return options;
}

/* Adds the remote that 'row', of a table like Manager, describes. */
static void
add_manager(const struct server *server, struct shash *remotes,
            const struct row *row)
{
    static struct vlog_rate_limit rl = VLOG_RATE_LIMIT_INIT(1, 1);
    struct remote_options *options;
    const char *target, *s;
    int64_t integer;
    int dscp;

    if (!row_read_string(row, "target", &target)) {
        VLOG_INFO_RL(&rl, "Table `%s' has missing or invalid `target' column",
                     row->table->schema->name);
        return;
    }
    options = add_target(server, remotes, target);
    if (row_read_integer(row, "max_backoff", &integer)) {
        options->max_backoff = MIN(MAX(integer, 0), INT_MAX);
    }
    if (row_read_integer(row, "inactivity_probe", &integer)) {
        options->probe_interval = (integer <= 0 ? 0
                                   : MIN(MAX(integer, 1000), INT_MAX));
    }
    row_read_bool(row, "read_only", &options->read_only);
    free(options->role);
    options->role = (row_read_string(row, "role", &s) ? xstrdup(s) : NULL);
    s = row_read_map(row, "other_config", "dscp");
    if (s && str_to_int(s, 10, &dscp) && dscp >= 0 && dscp <= 63) {
        options->dscp = dscp;
    }
    s = row_read_map(row, "other_config", "sluice-history");
    if (s) {
        options->no_history = !strcmp(s, "false");
    }
}

static void
add_column(const struct server *server, struct shash *remotes,
           const struct table *table, const struct column *column)
{
    struct cursor c;
    struct row *row;

    HMAP_FOR_EACH (row, node, &table->rows) {
        DATUM_FOR_EACH (&c, row->fields[column->index]) {
            union atom atom = cursor_key(&c);
            if (is_string_set(&column->type)) {
                add_target(server, remotes, atom.string->s);
            } else if (is_ref_set(&column->type)) {
                struct row *ref = table_row(column->type.key.uuid.ref,
                                            &atom.uuid);
                if (ref) {
                    add_manager(server, remotes, ref);
                }
            }
        }
    }
}

/* Brings the remotes up to date with the configuration and the databases.
 * Returns NULL or errors that the caller must free. */
char *
remotes_reconfigure(struct server *server)
{
    struct shash remotes = SHASH_INITIALIZER(&remotes);
    struct ds errors = DS_EMPTY_INITIALIZER;
    struct shash_node *node;
    const char *name;

    SSET_FOR_EACH (name, &server->remote_names) {
        if (strncmp(name, "db:", 3)) {
            add_target(server, &remotes, name);
        } else {
            struct column *column;
            struct table *table;
            struct db *db;
            char *error = parse_db_column(server, name, &db, &table, &column);

            if (error) {
                ds_put_format(&errors, "%s\n", error);
                free(error);
            } else {
                add_column(server, &remotes, table, column);
            }
        }
    }
    remotes_set(server, &remotes);
    SHASH_FOR_EACH (node, &remotes) {
        struct remote_options *options = node->data;
        free(options->role);
    }
    shash_destroy_free_data(&remotes);
    return errors.string;
}

static unsigned int
count_changes(const struct server *server, const char *name)
{
    struct column *column;
    struct table *table;
    struct db *db;
    char *error;

    if (!name || strncmp(name, "db:", 3)) {
        return 0;
    }
    error = parse_db_column(server, name, &db, &table, &column);
    if (error) {
        free(error);
        return 0;
    }
    return (table->n_changes
            + (is_ref_set(&column->type)
               ? column->type.key.uuid.ref->n_changes : 0));
}

/* A number that changes whenever the rows change that say which remotes and
 * files there are. */
unsigned int
remotes_count_changes(const struct server *server)
{
    const char *files[] = {
        server->private_key, server->certificate, server->ca_cert,
        server->ssl_protocols, server->ssl_ciphers
    };
    unsigned int n = 0;
    const char *name;
    size_t i;

    SSET_FOR_EACH (name, &server->remote_names) {
        n += count_changes(server, name);
    }
    for (i = 0; i < ARRAY_SIZE(files); i++) {
        n += count_changes(server, files[i]);
    }
    return n;
}

/* --- Status. --- */

static void
put_status(struct builder *b, const char *key, const char *value)
{
    union atom k = { .string = string_intern(key) };
    union atom v = { .string = string_intern(value) };
    builder_add(b, &k, &v);
}

static void
put_status_uint(struct builder *b, const char *key, unsigned int value)
{
    char s[16];
    snprintf(s, sizeof s, "%u", value);
    put_status(b, key, s);
}

static void
put_status_nonempty(struct builder *b, const char *key, const char *value)
{
    if (value && value[0]) {
        put_status(b, key, value);
    }
}

static struct datum *
status_datum(const struct remote_status *status)
{
    struct builder b;

    builder_init(&b, ATOM_STRING, ATOM_STRING);
    put_status_nonempty(&b, "state", status->state);
    if (status->sec_since_connect != UINT_MAX) {
        put_status_uint(&b, "sec_since_connect", status->sec_since_connect);
    }
    if (status->sec_since_disconnect != UINT_MAX) {
        put_status_uint(&b, "sec_since_disconnect",
                        status->sec_since_disconnect);
    }
    if (status->last_error) {
        put_status(&b, "last_error",
                   ovs_retval_to_string(status->last_error));
    }
    put_status_nonempty(&b, "locks_held", status->locks_held);
    put_status_nonempty(&b, "locks_waiting", status->locks_waiting);
    put_status_nonempty(&b, "locks_lost", status->locks_lost);
    if (status->n_connections > 1) {
        put_status_uint(&b, "n_connections", status->n_connections);
    }
    if (status->bound_port) {
        put_status_uint(&b, "bound_port", status->bound_port);
    }
    builder_sort(&b);
    return builder_finish(&b);
}

static void
update_row(struct server *server, struct txn *txn, struct row *row)
{
    struct remote_status status;
    union atom connected;
    const char *target;

    if (!row_read_string(row, "target", &target)) {
        return;
    }
    remote_get_status(server, target, &status);
    row = txn_modify(txn, row);
    memset(&connected, 0, sizeof connected);
    connected.boolean = status.is_connected;
    row_write(row, "is_connected", datum_scalar(ATOM_BOOLEAN, &connected),
              ATOM_BOOLEAN, ATOM_VOID);
    row_write(row, "status", status_datum(&status), ATOM_STRING, ATOM_STRING);
    free(status.locks_held);
    free(status.locks_waiting);
    free(status.locks_lost);
}

static void
update_rows(struct server *server, struct txn *txn, const struct table *table,
            const struct column *column)
{
    struct cursor c;
    struct row *row;

    if (!is_ref_set(&column->type)) {
        return;
    }
    HMAP_FOR_EACH (row, node, &table->rows) {
        DATUM_FOR_EACH (&c, row->fields[column->index]) {
            union atom atom = cursor_key(&c);
            struct row *ref = table_row(column->type.key.uuid.ref,
                                        &atom.uuid);
            if (ref) {
                update_row(server, txn, ref);
            }
        }
    }
}

/* Writes the state of the remotes that databases name into their rows. */
void
remotes_update_status(struct server *server)
{
    struct column *column;
    struct table *table;
    const char *name;
    struct db *db;

    SSET_FOR_EACH (name, &server->remote_names) {
        struct error *error;
        uint64_t ticket;
        struct txn *txn;
        char *s;

        if (strncmp(name, "db:", 3)) {
            continue;
        }
        s = parse_db_column(server, name, &db, &table, &column);
        if (s) {
            free(s);
            continue;
        }
        txn = txn_create(db);
        update_rows(server, txn, table, column);
        error = txn_commit(txn, false, &ticket);
        if (error) {
            static struct vlog_rate_limit rl = VLOG_RATE_LIMIT_INIT(1, 1);
            s = error_to_string_free(error);
            VLOG_ERR_RL(&rl, "Failed to update remote status: %s", s);
            free(s);
        }
    }
}
