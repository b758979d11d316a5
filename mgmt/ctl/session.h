/* One command line's dealings with the database: connect, fetch, run the
 * commands in one transaction, commit, and wait for the switch.
 *
 * Also the declarations that the command line's files share. */
#ifndef SLUICE_CTL_SESSION_H
#define SLUICE_CTL_SESSION_H 1

#include <stdbool.h>

#include "db-ctl-base.h"
#include "table.h"
#include "topology.h"

struct ovsdb_idl;
struct ovsrec_interface;
struct svec;

/* What the options on the command line say. */
struct settings {
    const char *db;             /* --db: the database server. */
    bool oneline;               /* --oneline: one line per command. */
    bool dry_run;               /* --dry-run: don't commit. */
    bool wait;                  /* Unless --no-wait: wait for the switch. */
    unsigned int timeout;       /* --timeout, in seconds, or 0. */
    bool retry;                 /* --retry: connect until it works. */
    int leader_only;            /* --leader-only, for a clustered server. */
    int shuffle_remotes;        /* --shuffle-remotes, likewise. */
    struct table_style style;   /* --format, --data, ... */
};
extern struct settings settings;

/* What a command runs in. */
struct switch_context {
    struct ctl_context base;
    struct topology topo;
};

/* Returns the switch_context of which 'base' is part. */
static inline struct switch_context *
switch_context_cast(struct ctl_context *base)
{
    return CONTAINER_OF(base, struct switch_context, base);
}

/* Is 'option', e.g. "--may-exist", given to the command in 'ctx'? */
static inline bool
has_option(const struct ctl_context *ctx, const char *option)
{
    return shash_find(&ctx->options, option) != NULL;
}

/* Returns the topology, ready for use, of the command in 'ctx'. */
static inline struct topology *
loaded_topology(struct ctl_context *ctx)
{
    struct topology *topo = &switch_context_cast(ctx)->topo;

    topology_load(topo);
    return topo;
}

void session_run(struct ctl_command *, size_t n_commands, const char *args);
OVS_NO_RETURN void session_exit(int status);
void session_check_alive(const struct ovsdb_idl *);
struct ovsdb_idl *session_connect(void);

void session_expect_iface(const struct ovsrec_interface *);

/* The commands of each file. */
void output_sorted(struct svec *, struct ds *output);
void pre_topology(struct ctl_context *);
extern const struct ctl_command_syntax bridge_commands[];
extern const struct ctl_command_syntax port_commands[];
extern const struct ctl_command_syntax controller_commands[];
extern const struct ctl_command_syntax system_commands[];
extern const struct ctl_command_syntax vhost_commands[];

#endif /* session.h */
