/* Which rows a command line needs, and fetching no others.
 *
 * The columns that a command reads are declared by its prerequisites function,
 * as db-ctl-base wants it.  Without more, the IDL fetches those columns of all
 * rows, and every command takes time in proportion to the number of ports:
 * 57 us per port, measured on a 2.3 GHz Sapphire Rapids.  Most commands name
 * the few rows that they touch, so this module turns the command line into a
 * monitoring condition for each table.
 *
 * For database commands ("set Interface p0 ...") that is "name == p0" or, for
 * "find", the first condition that the server can evaluate too.
 *
 * Commands about bridges, ports and interfaces name some of those, and then
 * need what is around them: a port's interfaces, an interface's port, and the
 * bridge that holds them.  The last is the interesting one, because the only
 * way from a port to its bridge is Bridge.ports, a set with thousands of
 * members.  The server can search that set ("ports includes P"), so we ask for
 * the bridges that have P, one port at a time, and note whom we get: a round
 * trip for each port that exists and is named.  "add-port" of a new port needs
 * none.
 *
 * What cannot be bounded so falls back to fetching whole tables: commands that
 * list everything, and command lines that edit the tree's references behind
 * the topology's back ("set Bridge br0 ports=...").  The result is the same
 * either way; see topology.h on partial topologies. */
#ifndef SLUICE_CTL_SCOPE_H
#define SLUICE_CTL_SCOPE_H 1

#include <stdbool.h>
#include <stddef.h>

struct ctl_command;
struct ovsdb_idl;
struct scope;

struct scope *scope_create(const struct ctl_command *, size_t n_commands,
                           bool everything);
void scope_destroy(struct scope *);

bool scope_is_partial(const struct scope *);
void scope_apply(struct scope *, struct ovsdb_idl *);
bool scope_resolve(struct scope *, struct ovsdb_idl *);

#endif /* scope.h */
