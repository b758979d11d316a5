/* sluice-db: the database server and the tool for its files.
 *
 * A request's way through the files, top to bottom:
 *
 *     remote.c        a client connects
 *     session.c       bytes become messages
 *     method.c        a message is a request
 *     trigger.c       a transaction begins, perhaps waits,
 *     execute.c       and its operations are executed (condition.c,
 *                     mutation.c, rbac.c)
 *     transaction.c   the outcome is checked (reference.c, index.c)
 *     store.c         and kept (writer.c, sql.c), with its history
 *                     (history.c)
 *     feed.c          and those who monitor it are told (monitor.c)
 *
 * What they work on: schema.c, type.c, atom.c, datum.c, row.c, database.c.
 * Around it: daemon-main.c has the daemon's command line, server.c the main
 * loop, control.c the control socket, tool.c the sub-commands. */
#include <config.h>
#include "mgmt/db/main.h"

#include <string.h>

#include "util.h"

int
main(int argc, char *argv[])
{
    set_program_name(argv[0]);
    if (!strcmp(program_name, "ovsdb-tool")
        || (strcmp(program_name, "ovsdb-server")
            && argc > 1 && tool_is_command(argv[1]))) {
        return tool_main(argc, argv);
    }
    return daemon_main(argc, argv);
}
