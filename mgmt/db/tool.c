/* The sub-commands of sluice-db, and ovsdb-tool. */
#include <config.h>
#include "mgmt/db/main.h"

#include "command-line.h"
#include "mgmt/db/store.h"
#include "util.h"

static void
check(struct error *error)
{
    if (error) {
        ovs_fatal(0, "%s", error_to_string_free(error));
    }
}

static void
do_create(struct ovs_cmdl_context *ctx)
{
    struct schema *schema;
    struct db *db;

    check(schema_from_file(&schema, ctx->argv[2]));
    db = db_create(schema);
    check(store_create(ctx->argv[1], db, NULL));
    db_destroy(db);
}

static const struct ovs_cmdl_command commands[] = {
    { "create", "DB SCHEMA", 2, 2, do_create, OVS_RW },
    { NULL, NULL, 0, 0, NULL, OVS_RO },
};

bool
tool_is_command(const char *name)
{
    const struct ovs_cmdl_command *c;

    for (c = commands; c->name; c++) {
        if (!strcmp(c->name, name)) {
            return true;
        }
    }
    return false;
}

int
tool_main(int argc, char *argv[])
{
    struct ovs_cmdl_context ctx = { .argc = argc - 1, .argv = argv + 1 };
    ovs_cmdl_run_command(&ctx, commands);
    return 0;
}
