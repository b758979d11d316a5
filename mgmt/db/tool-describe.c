/* The tool's commands that tell what files and schemas are: see tool.c. */
#include <config.h>
#include "mgmt/db/tool.h"

#include <stdlib.h>
#include <string.h>

#include "command-line.h"
#include "mgmt/db/log-file.h"
#include "mgmt/db/store.h"
#include "util.h"

void
do_needs_conversion(struct ovs_cmdl_context *ctx)
{
    struct schema *a = tool_read_schema(tool_db_argument(ctx, 1));
    struct schema *b = tool_schema_argument(ctx, 2);

    puts(schema_equal(a, b) ? "no" : "yes");
    schema_destroy(a);
    schema_destroy(b);
}

/* Prints member 'name' of the first record of log 'log'. */
static void
print_header(struct log_file *log, const char *name)
{
    json_t *header;

    tool_check(log_file_read(log, &header));
    const char *value = json_string_value(json_object_get(header, name));
    if (!value) {
        fprintf(stderr, "%s: cluster ID not yet known\n", log_file_name(log));
        exit(2);
    }
    puts(value);
    json_decref(header);
}

void
do_db_name(struct ovs_cmdl_context *ctx)
{
    char *name = tool_resolve(tool_db_argument(ctx, 1));

    if (store_is_sqlite(name)) {
        struct schema *schema = tool_read_schema(name);
        puts(schema->name);
        schema_destroy(schema);
    } else {
        struct log_file *log;
        tool_check(log_file_open(name, LOG_FILE_READ_ONLY, &log));
        print_header(log, "name");
        log_file_close(log);
    }
    free(name);
}

void
do_db_version(struct ovs_cmdl_context *ctx)
{
    struct schema *schema = tool_read_schema(tool_db_argument(ctx, 1));
    puts(schema->version);
    schema_destroy(schema);
}

void
do_db_cksum(struct ovs_cmdl_context *ctx)
{
    struct schema *schema = tool_read_schema(tool_db_argument(ctx, 1));
    puts(schema->cksum);
    schema_destroy(schema);
}

static void
print_cluster_header(const char *name, const char *member)
{
    struct log_file *log = NULL;

    if (!store_is_sqlite(name)) {
        tool_check(log_file_open(name, LOG_FILE_READ_ONLY, &log));
    }
    if (!log || log_file_get_format(log) != LOG_FILE_CLUSTERED) {
        ovs_fatal(0, "%s: not a clustered database", name);
    }
    print_header(log, member);
    log_file_close(log);
}

void
do_db_cid(struct ovs_cmdl_context *ctx)
{
    print_cluster_header(ctx->argv[1], "cluster_id");
}

void
do_db_sid(struct ovs_cmdl_context *ctx)
{
    print_cluster_header(ctx->argv[1], "server_id");
}

void
do_db_local_address(struct ovs_cmdl_context *ctx)
{
    print_cluster_header(ctx->argv[1], "local_address");
}

/* Exits with 2 unless the file is of 'format' or, being ours, standalone. */
static void
check_format(const char *name, enum log_file_format format)
{
    enum log_file_format actual = LOG_FILE_STANDALONE;

    if (!store_is_sqlite(name)) {
        struct log_file *log;
        tool_check(log_file_open(name, LOG_FILE_READ_ONLY, &log));
        actual = log_file_get_format(log);
        log_file_close(log);
    }
    if (actual != format) {
        exit(2);
    }
}

void
do_db_is_clustered(struct ovs_cmdl_context *ctx)
{
    check_format(ctx->argv[1], LOG_FILE_CLUSTERED);
}

void
do_db_is_standalone(struct ovs_cmdl_context *ctx)
{
    check_format(ctx->argv[1], LOG_FILE_STANDALONE);
}

void
do_schema_name(struct ovs_cmdl_context *ctx)
{
    struct schema *schema = tool_schema_argument(ctx, 1);
    puts(schema->name);
    schema_destroy(schema);
}

void
do_schema_version(struct ovs_cmdl_context *ctx)
{
    struct schema *schema = tool_schema_argument(ctx, 1);
    puts(schema->version);
    schema_destroy(schema);
}

void
do_schema_cksum(struct ovs_cmdl_context *ctx)
{
    struct schema *schema = tool_schema_argument(ctx, 1);
    puts(schema->cksum);
    schema_destroy(schema);
}

static void
parse_version(const char *s, int version[3])
{
    int n = -1;

    if (!ovs_scan(s, "%d.%d.%d%n", &version[0], &version[1], &version[2], &n)
        || n < 0 || s[n]) {
        ovs_fatal(0, "%s: not an OVSDB version number in format x.y.z", s);
    }
}

void
do_compare_versions(struct ovs_cmdl_context *ctx)
{
    static const struct {
        const char *name;
        bool less, equal, greater; /* For which it holds. */
    } operators[] = {
        { "<", true, false, false },
        { "<=", true, true, false },
        { "==", false, true, false },
        { ">=", false, true, true },
        { ">", false, false, true },
        { "!=", true, false, true },
    };
    int a[3], b[3], cmp = 0;

    parse_version(ctx->argv[1], a);
    parse_version(ctx->argv[3], b);
    for (int i = 0; i < 3 && !cmp; i++) {
        cmp = (a[i] > b[i]) - (a[i] < b[i]);
    }
    for (size_t i = 0; i < ARRAY_SIZE(operators); i++) {
        if (!strcmp(ctx->argv[2], operators[i].name)) {
            exit((cmp < 0 ? operators[i].less
                  : cmp > 0 ? operators[i].greater
                  : operators[i].equal) ? 0 : 2);
        }
    }
    ovs_fatal(0, "%s: not a relational operator", ctx->argv[2]);
}
