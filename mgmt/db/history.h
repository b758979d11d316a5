/* The history of a database: what each transaction changed.
 *
 * The store keeps for each transaction how to undo it.  From that and the
 * present state follows any past state, and so what a client has missed that
 * was connected before ("monitor_cond_since").
 *
 * Ephemeral columns are in the store and in the history, too, for they are
 * part of what clients have seen: a restart is a transaction that resets them,
 * and so a client that comes back afterwards hears of that. */
#ifndef SLUICE_DB_HISTORY_H
#define SLUICE_DB_HISTORY_H 1

#include "mgmt/db/monitor.h"

void undo_put(struct ds *, const struct txn *);
bool history_since(struct db *, const struct uuid *txnid,
                   struct change_set *);

/* Going back transaction by transaction. */
struct past;
struct past *past_create(struct db *);
void past_destroy(struct past *);
bool past_undo(struct past *, const json_t *undo);
const struct row *past_row(struct past *, struct table *,
                           const struct uuid *);

#endif /* mgmt/db/history.h */
