/* Questions to the two daemons, for the tools: JSON-RPC calls with a deadline,
 * so that a tool that asks whether all is well never waits for a daemon that
 * isn't.
 *
 * The database is asked by "select" operations rather than through the IDL: a
 * tool looks at a few rows once.  The switch is asked over its control socket,
 * like by ovs-appctl, for JSON (commands "sluice/...").
 *
 * Errors are returned as text that names the daemon, which the caller must
 * free. */
#ifndef SLUICE_CTL_RPC_H
#define SLUICE_CTL_RPC_H 1

#include <stdbool.h>

struct json;
struct jsonrpc;

struct jsonrpc *rpc_open_database(char **errorp);
struct jsonrpc *rpc_open_switch(char **errorp);
struct json *rpc_call(struct jsonrpc *, const char *method,
                      struct json *params, char **errorp);

struct json *rpc_select(struct jsonrpc *database, const char *table,
                        struct json *where, char **errorp);
struct json *rpc_where(const char *column, const char *function,
                       struct json *value);
struct json *rpc_query(struct jsonrpc *sw, const char *command,
                       const char *arg, char **errorp);
int rpc_switch_pid(void);

/* What comes back. */
struct json *rpc_plain(const struct json *);
const struct json *json_member(const struct json *, const char *name);
const char *json_string_or(const struct json *, const char *name,
                           const char *otherwise);
double json_number(const struct json *, const char *name);
bool json_flag(const struct json *, const char *name);
char *json_to_text(const struct json *);

#endif /* rpc.h */
