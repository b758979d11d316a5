/* Role-based access control: ovsdb-server(7), "RBAC Schema".
 *
 * The table RBAC_Role says which row of RBAC_Permission applies to a role and
 * a table; that row says who is authorized (the client's id must be the value
 * of one of the named columns or map elements) and what may be done. */
#include <config.h>
#include "mgmt/db/execute.h"

#include <string.h>

#include "openvswitch/vlog.h"
#include "util.h"

VLOG_DEFINE_THIS_MODULE(rbac);

static struct vlog_rate_limit rl = VLOG_RATE_LIMIT_INIT(1, 1);

static bool
is_unrestricted(const struct requester *who, const struct table *table)
{
    return !table->db->rbac_role || !who->role || !who->role[0];
}

/* The row of RBAC_Permission for 'table', NULL if there is none. */
static struct row *
find_permissions(const struct requester *who, const struct table *table)
{
    const struct table *roles = table->db->rbac_role;
    const struct column *column;
    const struct datum *datum;
    struct row *role;
    union atom key, value;
    const char *name;
    bool found;

    HMAP_FOR_EACH (role, node, &roles->rows) {
        if (row_read_string(role, "name", &name) && !strcmp(name, who->role)) {
            break;
        }
    }
    if (!role) {
        VLOG_INFO_RL(&rl, "rbac: role \"%s\" not found in rbac roles table",
                     who->role);
        return NULL;
    }
    column = table_schema_column(roles->schema, "permissions");
    datum = row_read(role, "permissions", ATOM_STRING, ATOM_UUID);
    if (!column || !datum || !column->type.value.uuid.ref) {
        VLOG_INFO_RL(&rl, "rbac: \"permissions\" column not present in rbac "
                     "roles table");
        return NULL;
    }
    key.string = string_intern(table->schema->name);
    found = datum_find(datum, &key, &value);
    string_unref(key.string);
    return found ? table_row(column->type.value.uuid.ref, &value.uuid) : NULL;
}

/* Whether 'id' is the value of 'name', a column or column:key, in 'row'. */
static bool
names_client(const struct row *row, const char *name, const char *id)
{
    const char *colon = strchr(name, ':');
    const char *value = NULL;

    if (colon) {
        char *column = xmemdup0(name, colon - name);
        value = row_read_map(row, column, colon + 1);
        free(column);
    } else {
        row_read_string(row, name, &value);
    }
    return value && !strcmp(value, id);
}

static bool
is_authorized(const struct requester *who, const struct row *perms,
              const struct row *row)
{
    const struct datum *datum = row_read(perms, "authorization", ATOM_STRING,
                                         ATOM_VOID);
    struct cursor c;

    DATUM_FOR_EACH (&c, datum) {
        union atom atom = cursor_key(&c);
        if (!atom.string->s[0] || names_client(row, atom.string->s, who->id)) {
            return true;
        }
    }
    return false;
}

bool
rbac_may_insert(const struct requester *who, struct row *row)
{
    const struct row *perms;
    bool allowed;

    if (is_unrestricted(who, row->table)) {
        return true;
    }
    perms = who->id ? find_permissions(who, row->table) : NULL;
    return (perms && is_authorized(who, perms, row)
            && row_read_bool(perms, "insert_delete", &allowed) && allowed);
}

struct check {
    const struct requester *who;
    const struct row *perms;
    bool allowed;
};

static bool
check_cb(struct row *row, void *check_)
{
    struct check *check = check_;
    check->allowed = is_authorized(check->who, check->perms, row);
    return check->allowed;
}

/* Whether the requester is authorized for all rows that 'c' selects. */
static bool
check_rows(const struct requester *who, const struct txn *txn,
           struct table *table, const struct condition *c,
           const struct row *perms)
{
    struct check check = { who, perms, true };
    query(txn, table, c, check_cb, &check);
    return check.allowed;
}

static bool
any_cb(struct row *row OVS_UNUSED, void *any)
{
    *(bool *) any = true;
    return false;
}

bool
rbac_may_delete(const struct requester *who, const struct txn *txn,
                struct table *table, const struct condition *c)
{
    const struct row *perms;
    bool allowed, any = false;

    if (is_unrestricted(who, table)) {
        return true;
    }
    perms = who->id ? find_permissions(who, table) : NULL;
    if (!perms || !check_rows(who, txn, table, c, perms)) {
        return false;
    }
    query(txn, table, c, any_cb, &any);
    return (!any || (row_read_bool(perms, "insert_delete", &allowed)
                     && allowed));
}

static bool
may_modify(const struct row *perms, const struct column *column)
{
    const struct datum *datum = row_read(perms, "update", ATOM_STRING,
                                         ATOM_VOID);
    union atom key = { .string = string_intern(column->name) };
    bool found = datum_find(datum, &key, NULL);

    string_unref(key.string);
    return found;
}

bool
rbac_may_update(const struct requester *who, const struct txn *txn,
                struct table *table, const struct column_set *columns,
                const struct condition *c)
{
    const struct row *perms;
    bool any = false;
    size_t i;

    if (is_unrestricted(who, table)) {
        return true;
    }
    perms = who->id ? find_permissions(who, table) : NULL;
    if (!perms || !check_rows(who, txn, table, c, perms)) {
        return false;
    }
    query(txn, table, c, any_cb, &any);
    for (i = 0; any && i < columns->n; i++) {
        if (!may_modify(perms, columns->columns[i])) {
            return false;
        }
    }
    return true;
}

bool
rbac_may_mutate(const struct requester *who, const struct txn *txn,
                struct table *table, const struct mutations *mutations,
                const struct condition *c)
{
    struct column_set columns = { NULL, 0 };
    bool allowed;
    size_t i;

    for (i = 0; i < mutations->n; i++) {
        column_set_add(&columns, mutations->mutations[i].column);
    }
    allowed = rbac_may_update(who, txn, table, &columns, c);
    column_set_destroy(&columns);
    return allowed;
}
