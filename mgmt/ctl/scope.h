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
 * members.  The server can search that set, so we have it select the bridges
 * that have the port (scope-fetch.c), beside the IDL, whose view then covers
 * those as well.  "add-port" of a new port needs none of this.
 *
 * Conditions refer to columns only that are fetched, too.  Otherwise
 * ovsdb-server 3.1 adds a column to the monitor, which it shares between
 * clients that fetch the same columns, and crashes when it compares a change
 * that it recorded for another client before (seen within 40 concurrent
 * commands that used "_uuid" and "ports" in conditions).  That is why a row
 * that is named by its UUID has its whole table fetched.
 *
 * What cannot be bounded so falls back to fetching whole tables: commands that
 * list everything, and command lines that reach for the tree's references
 * behind the topology's back ("set Bridge br0 ports=...").  The result is the same
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
