/* One command line's dealings with the database: see session.h. */
#include <config.h>
#include "session.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "db-ctl-base.h"
#include "dirs.h"
#include "log.h"
#include "openvswitch/dynamic-string.h"
#include "openvswitch/poll-loop.h"
#include "ovsdb-data.h"
#include "ovsdb-idl.h"
#include "ovsdb-idl-provider.h"
#include "process.h"
#include "schemas/vswitch-idl.h"
#include "scope.h"
#include "stream.h"
#include "timeval.h"
#include "util.h"
#include "uuid.h"

struct settings settings = {
    .wait = true,
    .leader_only = true,
    .shuffle_remotes = true,
    .style = TABLE_STYLE_DEFAULT,
};

/* For session_exit() only, to clean up: other code is handed what it uses. */
static struct ovsdb_idl *the_idl;
static struct ovsdb_idl_txn *the_txn;

/* The interfaces that the transaction creates, by the UUIDs that they have
 * within it: if the switch can't set one up, we tell. */
static struct uuid *new_ifaces;
static size_t n_new_ifaces, allocated_new_ifaces;

/* How an attempt to run the commands ended. */
enum outcome {
    DONE,
    TRY_AGAIN,                  /* When the database has changed. */
    TRY_WITH_EVERYTHING,        /* With all rows to look at. */
};

/* Ends the program like exit(status), properly taking leave of the database
 * and freeing memory, so that a leak checker finds the real leaks. */
void
session_exit(int status)
{
    if (the_txn) {
        ovsdb_idl_txn_abort(the_txn);
        ovsdb_idl_txn_destroy(the_txn);
    }
    ovsdb_idl_destroy(the_idl);
    exit(status);
}

/* Ends the program with a message if 'idl' has lost its connection and won't
 * try again. */
void
session_check_alive(const struct ovsdb_idl *idl)
{
    if (!ovsdb_idl_is_alive(idl)) {
        int error = ovsdb_idl_get_last_error(idl);

        ctl_fatal("%s: database connection failed (%s)",
                  settings.db, ovs_retval_to_string(error));
    }
}

/* Has the switch's answer to the creation of 'iface', which the current
 * transaction inserts, reported. */
void
session_expect_iface(const struct ovsrec_interface *iface)
{
    if (n_new_ifaces >= allocated_new_ifaces) {
        new_ifaces = x2nrealloc(new_ifaces, &allocated_new_ifaces,
                                sizeof *new_ifaces);
    }
    new_ifaces[n_new_ifaces++] = iface->header_.uuid;
}

/* Tells which of the interfaces that 'txn' created the switch couldn't set
 * up. */
static void
report_iface_errors(struct ovsdb_idl *idl, struct ovsdb_idl_txn *txn)
{
    bool any_error = false;

    for (size_t i = 0; i < n_new_ifaces; i++) {
        const struct uuid *uuid = ovsdb_idl_txn_get_insert_uuid(
            txn, &new_ifaces[i]);
        const struct ovsrec_interface *iface
            = uuid ? ovsrec_interface_get_for_uuid(idl, uuid) : NULL;

        if (!iface || (iface->n_ofport && *iface->ofport != -1)) {
            continue;
        }
        any_error = true;
        if (iface->error && *iface->error) {
            ovs_error(0, "Error detected while setting up '%s': %s.  "
                      "See ovs-vswitchd log for details.",
                      iface->name, iface->error);
        } else {
            ovs_error(0, "Error detected while setting up '%s'.  "
                      "See ovs-vswitchd log for details.", iface->name);
        }
    }
    if (any_error) {
        ovs_error(0, "The default log directory is \"%s\".", ovs_logdir());
    }
}

/* Returns a new IDL for the database, which will connect, when first run, as
 * the settings say.  The caller chooses what to fetch. */
struct ovsdb_idl *
session_connect(void)
{
    struct ovsdb_idl *idl
        = ovsdb_idl_create_unconnected(&ovsrec_idl_class, false);

    the_idl = idl;
    ovsdb_idl_set_shuffle_remotes(idl, settings.shuffle_remotes);
    ovsdb_idl_set_remote(idl, settings.db, settings.retry);
    ovsdb_idl_set_leader_only(idl, settings.leader_only);
    ovsdb_idl_set_db_change_aware(idl, false);
    return idl;
}

static void
run_prerequisites(struct ctl_command *commands, size_t n,
                  struct ovsdb_idl *idl)
{
    ovsdb_idl_add_table(idl, &ovsrec_table_open_vswitch);
    if (settings.wait) {
        ovsdb_idl_add_column(idl, &ovsrec_open_vswitch_col_cur_cfg);
    }
    for (struct ctl_command *c = commands; c < &commands[n]; c++) {
        struct switch_context ctx = { .topo = { .valid = false } };

        if (!c->syntax->prerequisites) {
            continue;
        }
        ds_init(&c->output);
        c->table = NULL;
        ctl_context_init(&ctx.base, c, idl, NULL, NULL, NULL);
        c->syntax->prerequisites(&ctx.base);
        if (ctx.base.error) {
            ctl_fatal("%s", ctx.base.error);
        }
        ctl_context_done(&ctx.base, c);
    }
}

/* Returns the command line of the process that runs us, for the log of the
 * database.  The caller must free it. */
static char *
parent_process(void)
{
    struct ds s = DS_EMPTY_INITIALIZER;
    pid_t pid = getppid();

    if (pid) {
        char *name = xasprintf("/proc/%ld/cmdline", (long int) pid);
        FILE *stream = fopen(name, "r");

        free(name);
        if (stream) {
            ds_get_line(&s, stream);
            fclose(stream);
        }
    } else {
        ds_put_cstr(&s, "init");
    }
    ds_put_format(&s, " (pid %ld)", (long int) pid);
    return ds_steal_cstr(&s);
}

static struct ovsdb_idl_txn *
begin(struct ovsdb_idl *idl, const char *args,
      const struct ovsrec_open_vswitch **ovsp)
{
    struct ovsdb_idl_txn *txn = ovsdb_idl_txn_create(idl);
    const struct ovsrec_open_vswitch *ovs;
    char *parent = parent_process();

    if (settings.dry_run) {
        ovsdb_idl_txn_set_dry_run(txn);
    }
    ovsdb_idl_txn_add_comment(txn, "%s (invoked by %s): %s",
                              program_name, parent, args);
    free(parent);

    ovs = ovsrec_open_vswitch_first(idl);
    if (!ovs) {
        ovs = ovsrec_open_vswitch_insert(txn);
    }
    if (settings.wait) {
        ovsdb_idl_txn_increment(txn, &ovs->header_,
                                &ovsrec_open_vswitch_col_next_cfg, false);
    }
    *ovsp = ovs;
    return the_txn = txn;
}

static void
invalidate_topology(struct ctl_context *ctx)
{
    struct topology *topo = &switch_context_cast(ctx)->topo;

    /* In a partial topology, scope.c has made sure that database commands
     * don't change it. */
    if (!topo->partial) {
        topology_invalidate(topo);
    }
}

/* Runs each command's part that composes the transaction and the output. */
static enum outcome
run_commands(struct ctl_command *commands, size_t n, struct ovsdb_idl *idl,
             struct ovsdb_idl_txn *txn, const struct ovsrec_open_vswitch *ovs,
             struct ovsdb_symbol_table *symtab, bool partial)
{
    enum outcome outcome = DONE;
    struct switch_context ctx;

    ctl_context_init(&ctx.base, NULL, idl, txn, symtab, invalidate_topology);
    topology_init(&ctx.topo, idl, ovs, partial);
    for (size_t i = 0; i < n && outcome == DONE; i++) {
        struct ctl_command *c = &commands[i];

        ctl_context_init_command(&ctx.base, c, i == n - 1);
        ctx.topo.verified = false;
        if (c->syntax->run) {
            c->syntax->run(&ctx.base);
        }
        if (ctx.base.error) {
            ctl_fatal("%s", ctx.base.error);
        }
        ctl_context_done_command(&ctx.base, c);
        if (ctx.base.try_again) {
            outcome = TRY_AGAIN;
        } else if (ctx.topo.insufficient) {
            outcome = TRY_WITH_EVERYTHING;
        }
    }
    ctl_context_done(&ctx.base, NULL);
    topology_destroy(&ctx.topo);
    return outcome;
}

static void
check_symbols(const struct ovsdb_symbol_table *symtab)
{
    const struct shash_node *node;

    SHASH_FOR_EACH (node, &symtab->sh) {
        const struct ovsdb_symbol *symbol = node->data;

        if (!symbol->created) {
            ctl_fatal("row id \"%s\" is referenced but never created (e.g. "
                      "with \"-- --id=%s create ...\")",
                      node->name, node->name);
        }
        if (!symbol->strong_ref) {
            if (!symbol->weak_ref) {
                VLOG_WARN("row id \"%s\" was created but no reference to it "
                          "was inserted, so it will not actually appear in "
                          "the database", node->name);
            } else {
                VLOG_WARN("row id \"%s\" was created but only a weak "
                          "reference to it was inserted, so it will not "
                          "actually appear in the database", node->name);
            }
        }
    }
}

static void
run_postprocess(struct ctl_command *commands, size_t n, struct ovsdb_idl *idl,
                struct ovsdb_idl_txn *txn, struct ovsdb_symbol_table *symtab)
{
    for (struct ctl_command *c = commands; c < &commands[n]; c++) {
        struct switch_context ctx = { .topo = { .valid = false } };

        if (!c->syntax->postprocess) {
            continue;
        }
        ctl_context_init(&ctx.base, c, idl, txn, symtab, NULL);
        c->syntax->postprocess(&ctx.base);
        if (ctx.base.error) {
            ctl_fatal("%s", ctx.base.error);
        }
        ctl_context_done(&ctx.base, c);
    }
}

/* Commits 'txn', without a message on the console if the server refuses it,
 * since that may not be the end. */
static enum ovsdb_idl_txn_status
commit_quietly(struct ovsdb_idl_txn *txn)
{
    struct vlog_module *module = vlog_module_from_name("ovsdb_idl");
    enum vlog_level level = vlog_get_level(module, VLF_CONSOLE);
    enum ovsdb_idl_txn_status status;

    vlog_set_levels(module, VLF_CONSOLE, MIN(level, VLL_ERR));
    status = ovsdb_idl_txn_commit_block(txn);
    vlog_set_levels(module, VLF_CONSOLE, level);
    return status;
}

/* Returns DONE if 'txn', which ended with 'status', has taken effect (or had
 * none to take) and what to do if it hasn't; ends the program with a message if
 * there is no hope.
 *
 * A 'partial' view of the topology doesn't show a name that someone else took a
 * moment ago, and then it is an index in the server that refuses the
 * transaction.  So a refusal is final only if everything was in view. */
static enum outcome
judge(struct ovsdb_idl_txn *txn, enum ovsdb_idl_txn_status status,
      bool partial)
{
    switch (status) {
    case TXN_UNCHANGED:
    case TXN_SUCCESS:
        return DONE;

    case TXN_TRY_AGAIN:
        return TRY_AGAIN;

    case TXN_ERROR:
        if (partial) {
            return TRY_WITH_EVERYTHING;
        }
        ctl_fatal("transaction error: %s", ovsdb_idl_txn_get_error(txn));

    case TXN_ABORTED:
        ctl_fatal("transaction aborted");

    case TXN_NOT_LOCKED:
        ctl_fatal("database not locked");

    case TXN_UNCOMMITTED:
    case TXN_INCOMPLETE:
    default:
        OVS_NOT_REACHED();
    }
}

static void
print_on_one_line(struct ds *s)
{
    ds_chomp(s, '\n');
    for (size_t i = 0; i < s->length; i++) {
        switch (s->string[i]) {
        case '\n':
            fputs("\\n", stdout);
            break;

        case '\\':
            fputs("\\\\", stdout);
            break;

        default:
            putchar(s->string[i]);
        }
    }
    putchar('\n');
}

static void
print_output(struct ctl_command *c)
{
    if (c->table) {
        table_print(c->table, &settings.style);
    } else if (settings.oneline) {
        print_on_one_line(&c->output);
    } else {
        fputs(ds_cstr(&c->output), stdout);
    }
}

static void
free_output(struct ctl_command *c)
{
    ds_destroy(&c->output);
    table_destroy(c->table);
    free(c->table);
    c->table = NULL;
}

/* Waits until the switch has caught up with configuration number 'next_cfg',
 * also across a restart of the database server. */
static void
await_switch(struct ovsdb_idl *idl, struct ovsdb_idl_txn *txn,
             int64_t next_cfg)
{
    ovsdb_idl_enable_reconnect(idl);
    for (;;) {
        const struct ovsrec_open_vswitch *ovs;

        ovsdb_idl_run(idl);
        OVSREC_OPEN_VSWITCH_FOR_EACH (ovs, idl) {
            if (ovs->cur_cfg >= next_cfg) {
                report_iface_errors(idl, txn);
                return;
            }
        }
        ovsdb_idl_wait(idl);
        poll_block();
    }
}

/* Runs the commands against the current contents of 'idl', in one
 * transaction. */
static enum outcome
attempt(struct ctl_command *commands, size_t n, const char *args,
        struct ovsdb_idl *idl, bool partial)
{
    struct ovsdb_symbol_table *symtab = ovsdb_symbol_table_create();
    const struct ovsrec_open_vswitch *ovs;
    struct ovsdb_idl_txn *txn = begin(idl, args, &ovs);
    enum ovsdb_idl_txn_status status = TXN_TRY_AGAIN;
    enum outcome outcome;

    n_new_ifaces = 0;
    for (size_t i = 0; i < n; i++) {
        ds_init(&commands[i].output);
        commands[i].table = NULL;
    }
    outcome = run_commands(commands, n, idl, txn, ovs, symtab, partial);
    if (outcome == DONE) {
        check_symbols(symtab);
        status = partial ? commit_quietly(txn)
                         : ovsdb_idl_txn_commit_block(txn);
        if (status == TXN_UNCHANGED || status == TXN_SUCCESS) {
            run_postprocess(commands, n, idl, txn, symtab);
        }
        outcome = judge(txn, status, partial);
    } else {
        ovsdb_idl_txn_abort(txn);
    }
    ovsdb_symbol_table_destroy(symtab);

    for (size_t i = 0; i < n; i++) {
        if (outcome == DONE) {
            print_output(&commands[i]);
        }
        free_output(&commands[i]);
    }
    if (outcome == DONE && settings.wait && status == TXN_SUCCESS) {
        await_switch(idl, txn, ovsdb_idl_txn_get_increment_new_value(txn));
    }
    ovsdb_idl_txn_destroy(txn);
    the_txn = NULL;
    return outcome;
}

/* Runs the 'n' 'commands' in one transaction, as often as it takes, prints
 * their output and waits for the switch if so asked.  'args' is the command
 * line, for the database's log.  Ends the program with a message if something
 * goes wrong. */
void
session_run(struct ctl_command *commands, size_t n, const char *args)
{
    struct scope *scope = NULL;
    struct ovsdb_idl *idl = NULL;
    unsigned int seqno = 0;
    bool everything = false;

    for (;;) {
        if (!idl) {
            idl = session_connect();
            run_prerequisites(commands, n, idl);
            scope = scope_create(commands, n, everything);
            scope_apply(scope, idl);
            seqno = ovsdb_idl_get_seqno(idl);
        }

        /* There is no point in trying more than once with the same view of the
         * database: if a transaction fails, the view is outdated. */
        ovsdb_idl_run(idl);
        session_check_alive(idl);
        if (seqno != ovsdb_idl_get_seqno(idl)) {
            enum outcome outcome = TRY_WITH_EVERYTHING;

            if (scope_resolve(scope, idl)) {
                seqno = ovsdb_idl_get_seqno(idl);
                outcome = attempt(commands, n, args, idl,
                                  scope_is_partial(scope));
            }
            if (outcome == DONE) {
                break;
            } else if (outcome == TRY_WITH_EVERYTHING) {
                scope_destroy(scope);
                ovsdb_idl_destroy(idl);
                idl = the_idl = NULL;
                everything = true;
                continue;
            }
        }
        if (seqno == ovsdb_idl_get_seqno(idl)) {
            ovsdb_idl_wait(idl);
            poll_block();
        }
    }

    scope_destroy(scope);
    ovsdb_idl_destroy(idl);
    the_idl = NULL;
    for (size_t i = 0; i < n; i++) {
        shash_destroy_free_data(&commands[i].options);
    }
}
