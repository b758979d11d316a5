/* Which rows a command line needs, and fetching no others: see scope.h. */
#include <config.h>
#include "scope.h"

#include <ctype.h>
#include <limits.h>

#include "db-ctl-base.h"
#include "jsonrpc.h"
#include "openvswitch/hmap.h"
#include "ovsdb-condition.h"
#include "ovsdb-data.h"
#include "schema-names.h"
#include "schemas/vswitch-idl.h"
#include "scope-private.h"
#include "util.h"
#include "uuid.h"

/* What our own commands need of the tables.  A command that isn't here and is
 * no database command needs everything. */
struct need {
    const char *command;

    /* The arguments from number 'first' to 'last' name bridges, ports or
     * interfaces, and what is around those is all that is needed of them.  If
     * 'first' is 0 that isn't so, or the command knows nothing of those. */
    int first, last;

    /* Tables that are needed as a whole. */
    const struct ovsdb_idl_table_class *tables[3];
};

static const struct need needs[] = {
    {"init", 0, 0, {NULL}},
    {"comment", 0, 0, {NULL}},

    {"add-br", 1, 2, {NULL}},
    {"del-br", 1, 1, {&ovsrec_table_flow_sample_collector_set}},
    {"list-br", 1, 0, {&ovsrec_table_bridge}},
    {"br-exists", 1, 1, {NULL}},
    {"br-to-vlan", 1, 1, {NULL}},
    {"br-to-parent", 1, 1, {NULL}},
    {"br-set-external-id", 1, 1, {NULL}},
    {"br-get-external-id", 1, 1, {NULL}},
    {"add-port", 1, 2, {NULL}},
    {"add-vhost", 1, 2, {NULL}},
    {"del-port", 1, 2, {NULL}},
    {"port-to-br", 1, 1, {NULL}},
    {"add-bond", 1, INT_MAX, {NULL}},
    {"add-bond-iface", 1, 2, {NULL}},
    {"del-bond-iface", 1, 2, {NULL}},
    {"iface-to-br", 1, 1, {NULL}},
    {"list-ports", 0, 0, {&ovsrec_table_bridge, &ovsrec_table_port}},
    {"list-ifaces", 0, 0, {&ovsrec_table_bridge, &ovsrec_table_port,
                           &ovsrec_table_interface}},
    {"get-fail-mode", 1, 1, {NULL}},
    {"del-fail-mode", 1, 1, {NULL}},
    {"set-fail-mode", 1, 1, {NULL}},
    {"get-controller", 1, 1, {&ovsrec_table_controller}},
    {"del-controller", 1, 1, {&ovsrec_table_controller}},
    {"set-controller", 1, 1, {&ovsrec_table_controller}},
    {"add-aa-mapping", 1, 1, {&ovsrec_table_autoattach}},
    {"del-aa-mapping", 1, 1, {&ovsrec_table_autoattach}},
    {"get-aa-mapping", 1, 1, {&ovsrec_table_autoattach}},

    {"get-manager", 0, 0, {&ovsrec_table_manager}},
    {"del-manager", 0, 0, {&ovsrec_table_manager}},
    {"set-manager", 0, 0, {&ovsrec_table_manager}},
    {"get-ssl", 0, 0, {&ovsrec_table_ssl}},
    {"del-ssl", 0, 0, {&ovsrec_table_ssl}},
    {"set-ssl", 0, 0, {&ovsrec_table_ssl}},
    {"add-zone-tp", 0, 0, {&ovsrec_table_datapath, &ovsrec_table_ct_zone,
                           &ovsrec_table_ct_timeout_policy}},
    {"del-zone-tp", 0, 0, {&ovsrec_table_datapath, &ovsrec_table_ct_zone,
                           &ovsrec_table_ct_timeout_policy}},
    {"list-zone-tp", 0, 0, {&ovsrec_table_datapath, &ovsrec_table_ct_zone,
                            &ovsrec_table_ct_timeout_policy}},
    {"list-dp-cap", 0, 0, {&ovsrec_table_datapath}},
};

/* The database commands: which of their arguments name records, and from which
 * argument on they name columns (0: not by arguments). */
struct record_need {
    const char *command;
    int first, last;            /* Records. */
    int columns;
};

static const struct record_need record_needs[] = {
    {"get", 2, 2, 3},
    {"list", 2, INT_MAX, 0},
    {"wait-until", 2, 2, 3},
    {"set", 2, 2, 3},
    {"add", 2, 2, 3},
    {"remove", 2, 2, 3},
    {"clear", 2, 2, 3},
    {"create", INT_MAX, INT_MAX, 0},
    {"destroy", 2, INT_MAX, 0},
};

static const struct need *
find_need(const struct ctl_command *c)
{
    for (size_t i = 0; i < ARRAY_SIZE(needs); i++) {
        if (!strcmp(needs[i].command, c->syntax->name)) {
            return &needs[i];
        }
    }
    return NULL;
}

static const struct record_need *
find_record_need(const struct ctl_command *c)
{
    for (size_t i = 0; i < ARRAY_SIZE(record_needs); i++) {
        if (!strcmp(record_needs[i].command, c->syntax->name)) {
            return &record_needs[i];
        }
    }
    return NULL;
}

/* Returns which rows of 'table' are in 'scope'. */
struct row_set *
scope_rows(struct scope *scope, const struct ovsdb_idl_table_class *table)
{
    return &scope->tables[table - ovsrec_table_classes];
}

/* Adds the rows of 'table' whose 'column' is 'name', or has it as a member of
 * the set.  The column must be among those that are fetched. */
void
scope_need_named(struct scope *scope,
                 const struct ovsdb_idl_table_class *table,
                 const struct ovsdb_idl_column *column, const char *name)
{
    enum ovsdb_function function = (ovsdb_type_is_scalar(&column->type)
                                    ? OVSDB_F_EQ : OVSDB_F_INCLUDES);
    union ovsdb_atom atom = { .s = ovsdb_atom_string_create(name) };
    struct ovsdb_datum datum;

    ovsdb_datum_init_empty(&datum);
    ovsdb_datum_add_unsafe(&datum, &atom, NULL, &column->type, NULL);
    ovsdb_idl_condition_add_clause(&scope_rows(scope, table)->condition,
                                   function, column, &datum);
    ovsdb_datum_destroy(&datum, &column->type);
    ovsdb_atom_destroy(&atom, OVSDB_TYPE_STRING);
}

/* Names of tables and columns as the database commands take them. */

/* Does 'abbreviation', which ends at the first character that can't be in a
 * name, abbreviate 'name'?  Stores in '*exact' whether it is all of it. */
static bool
abbreviates(const char *abbreviation, const char *name, bool *exact)
{
    size_t n = strcspn(abbreviation, ":=!<>{+ ,");

    for (size_t i = 0; i < n; i++) {
        unsigned char a = abbreviation[i] == '-' ? '_' : abbreviation[i];
        unsigned char b = name[i];

        if (tolower(a) != tolower(b)) {
            return false;
        }
    }
    *exact = name[n] == '\0';
    return n > 0;
}

/* Returns the table that 'word' means, or NULL if that isn't clear. */
static const struct ovsdb_idl_table_class *
find_table(const char *word)
{
    const struct ovsdb_idl_table_class *found = NULL;
    bool ambiguous = false, exact;

    for (size_t i = 0; i < OVSREC_N_TABLES; i++) {
        if (abbreviates(word, ovsrec_table_classes[i].name, &exact)) {
            if (exact) {
                return &ovsrec_table_classes[i];
            }
            ambiguous = found != NULL;
            found = &ovsrec_table_classes[i];
        }
    }
    return ambiguous ? NULL : found;
}

/* Returns the column of 'table' that 'word' begins with, or NULL if that isn't
 * clear. */
static const struct ovsdb_idl_column *
find_column(const struct ovsdb_idl_table_class *table, const char *word)
{
    const struct ovsdb_idl_column *found = NULL;
    bool ambiguous = false, exact;

    for (size_t i = 0; i < table->n_columns; i++) {
        if (abbreviates(word, table->columns[i].name, &exact)) {
            if (exact) {
                return &table->columns[i];
            }
            ambiguous = found != NULL;
            found = &table->columns[i];
        }
    }
    return ambiguous ? NULL : found;
}

/* Database commands. */

/* Adds what db-ctl-base may look at to find 'record' in 'table'. */
static void
need_record(struct scope *scope, const struct ovsdb_idl_table_class *table,
            const char *record)
{
    const struct ctl_table_class *class
        = &schema_row_ids[table - ovsrec_table_classes];

    /* By UUID, all or in part, or as the only row. */
    if (uuid_is_partial_string(record) >= 4 || !strcmp(record, ".")) {
        scope_rows(scope, table)->whole = true;
        return;
    }

    for (size_t i = 0; i < ARRAY_SIZE(class->row_ids); i++) {
        const struct ctl_row_id *id = &class->row_ids[i];

        if (!id->name_column) {
            continue;
        }
        if (id->key || id->name_column->type.key.type != OVSDB_TYPE_STRING) {
            scope_rows(scope, table)->whole = true;
            continue;
        }
        scope_need_named(scope,
                         ovsdb_idl_table_class_from_column(&ovsrec_idl_class,
                                                           id->name_column),
                         id->name_column, record);
        if (id->uuid_column) {
            /* The name is that of a row that refers to one of ours. */
            scope_rows(scope, table)->whole = true;
        }
    }
}

/* Is 's' KEY=VALUE without anything else?  Database commands and the syntax of
 * a map with one pair agree about what that means. */
static bool
is_key_value(const char *s)
{
    char *key = NULL, *value = NULL;
    char *error = ovsdb_token_parse(&s, &key);
    bool ok = false;

    if (!error && *s == '=') {
        s++;
        error = ovsdb_token_parse(&s, &value);
        ok = !error && *s == '\0';
    }
    free(key);
    free(value);
    free(error);
    return ok;
}

/* Narrows "find" to the rows that 'arg', one of its conditions, allows, if it
 * is of a kind that the server understands; returns false if it isn't. */
static bool
need_match(struct scope *scope, const struct ovsdb_idl_table_class *table,
           const char *arg)
{
    const struct ovsdb_idl_column *column = find_column(table, arg);
    size_t n = strcspn(arg, ":=!<>{");
    const char *value = &arg[n + 1];
    enum ovsdb_function function;
    struct ovsdb_datum datum;
    struct ovsdb_type type;
    char *error;

    if (!column || strchr(arg, '@')) {
        return false;
    }
    type = column->type;
    if (arg[n] == ':' && ovsdb_type_is_map(&type) && is_key_value(value)) {
        function = OVSDB_F_INCLUDES;
        type.n_min = 0;
    } else if (arg[n] == '=' && *value) {
        function = OVSDB_F_EQ;
    } else {
        return false;
    }

    error = ovsdb_datum_from_string(&datum, &type, value, NULL);
    if (error) {
        free(error);
        return false;
    }
    ovsdb_idl_condition_add_clause(&scope_rows(scope, table)->condition,
                                   function, column, &datum);
    ovsdb_datum_destroy(&datum, &column->type);
    return true;
}

static void
need_matches(struct scope *scope, const struct ctl_command *c)
{
    const struct ovsdb_idl_table_class *table = find_table(c->argv[1]);

    for (int i = 2; table && i < c->argc; i++) {
        if (need_match(scope, table, c->argv[i])) {
            return;
        }
    }
    if (table) {
        scope_rows(scope, table)->whole = true;
    } else {
        scope->everything = true;
    }
}

static void
need_records(struct scope *scope, const struct ctl_command *c,
             const struct record_need *need)
{
    const struct ovsdb_idl_table_class *table = find_table(c->argv[1]);

    if (!table) {
        scope->everything = true;
    } else if (need->first < INT_MAX && c->argc <= need->first) {
        scope_rows(scope, table)->whole = true;
    }
    for (int i = need->first; table && i <= need->last && i < c->argc; i++) {
        need_record(scope, table, c->argv[i]);
    }
}

/* The columns that make the topology: what belongs to what, and which ports
 * belong to fake bridges. */
static const char *const topology_columns[] = {
    "bridges", "ports", "interfaces", "tag", "fake_bridge"
};

/* Does one of the column names in 'words', separated by commas and possibly
 * followed by more, name one of those? */
static bool
names_topology_column(const char *words)
{
    for (;;) {
        bool exact;

        for (size_t i = 0; i < ARRAY_SIZE(topology_columns); i++) {
            if (abbreviates(words, topology_columns[i], &exact)) {
                return true;
            }
        }
        words = strchr(words, ',');
        if (!words) {
            return false;
        }
        words += strspn(words, ", ");
    }
}

static bool
any_names_topology_column(const struct ctl_command *c, int first)
{
    for (int i = first; i < c->argc; i++) {
        if (names_topology_column(c->argv[i])) {
            return true;
        }
    }
    return false;
}

/* Does database command 'c' read or write columns that make the topology, so
 * that it needs to see what the commands before it in the transaction did to
 * them, or they what it did? */
static bool
touches_topology(const struct ctl_command *c)
{
    const struct ovsdb_idl_table_class *table = find_table(c->argv[1]);
    const char *columns = shash_find_data(&c->options, "--columns");
    const struct record_need *need = find_record_need(c);

    if (table && table != &ovsrec_table_open_vswitch
        && table != &ovsrec_table_bridge && table != &ovsrec_table_port
        && table != &ovsrec_table_interface) {
        return false;
    } else if (c->syntax->mode == RO && table
               && table != &ovsrec_table_open_vswitch
               && table != &ovsrec_table_bridge) {
        /* Changes of these are made in the view, too. */
        return false;
    } else if (need && need->columns) {
        return any_names_topology_column(c, need->columns);
    } else if (c->syntax->mode == RO && columns) {
        return (names_topology_column(columns)
                || any_names_topology_column(c, 2));
    }
    return true;                /* "create", "destroy", all columns. */
}

/* The topology. */

static void
need_names(struct scope *scope, const struct ctl_command *c,
           const struct need *need)
{
    for (int i = need->first; i <= need->last && i < c->argc; i++) {
        scope_need_named(scope, &ovsrec_table_bridge, &ovsrec_bridge_col_name,
                         c->argv[i]);
        scope_need_named(scope, &ovsrec_table_port, &ovsrec_port_col_name,
                         c->argv[i]);
        scope_need_named(scope, &ovsrec_table_interface,
                         &ovsrec_interface_col_name, c->argv[i]);
    }
    ovsrec_port_add_clause_fake_bridge(
        &scope_rows(scope, &ovsrec_table_port)->condition, OVSDB_F_EQ, true);
    scope->partial = true;
}

static void
need_command(struct scope *scope, const struct ctl_command *c)
{
    const struct record_need *records = find_record_need(c);
    const struct need *need = find_need(c);

    if (need) {
        for (size_t i = 0; i < ARRAY_SIZE(need->tables); i++) {
            if (need->tables[i]) {
                scope_rows(scope, need->tables[i])->whole = true;
            }
        }
        if (need->first) {
            need_names(scope, c, need);
        }
    } else if (records) {
        need_records(scope, c, records);
        scope->topology_touched |= touches_topology(c);
    } else if (!strcmp(c->syntax->name, "find")) {
        need_matches(scope, c);
        scope->topology_touched |= touches_topology(c);
    } else {
        scope->everything = true;
    }
}

/* Returns the scope of the 'n' 'commands'; with 'everything', all rows of all
 * tables.  The caller must free it with scope_destroy(). */
struct scope *
scope_create(const struct ctl_command *commands, size_t n, bool everything)
{
    struct scope *scope = xzalloc(sizeof *scope);

    for (size_t i = 0; i < OVSREC_N_TABLES; i++) {
        ovsdb_idl_condition_init(&scope->tables[i].condition);
    }
    hmap_init(&scope->located);
    scope->everything = everything;
    scope_rows(scope, &ovsrec_table_open_vswitch)->whole = true;

    for (size_t i = 0; i < n; i++) {
        need_command(scope, &commands[i]);
    }
    if (scope->partial
        && (scope->topology_touched
            || scope_rows(scope, &ovsrec_table_port)->whole
            || scope_rows(scope, &ovsrec_table_interface)->whole)) {
        scope->everything = true;
    }
    if (scope->everything) {
        scope->partial = false;
        for (size_t i = 0; i < OVSREC_N_TABLES; i++) {
            scope->tables[i].whole = true;
        }
    }
    return scope;
}

/* Forgets which bridges have which ports. */
void
scope_forget_located(struct scope *scope)
{
    struct located *l;

    HMAP_FOR_EACH_POP (l, node, &scope->located) {
        free(l);
    }
}

/* Frees 'scope'. */
void
scope_destroy(struct scope *scope)
{
    scope_forget_located(scope);
    hmap_destroy(&scope->located);
    if (scope->connection) {
        jsonrpc_close(scope->connection);
    }
    for (size_t i = 0; i < OVSREC_N_TABLES; i++) {
        ovsdb_idl_condition_destroy(&scope->tables[i].condition);
    }
    free(scope);
}

/* Is the topology under 'scope' a partial one?  See topology.h. */
bool
scope_is_partial(const struct scope *scope)
{
    return scope->partial;
}
