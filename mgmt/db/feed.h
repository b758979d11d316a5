/* What monitor.c uses of feed.c: see monitor.h. */
#ifndef SLUICE_DB_FEED_H
#define SLUICE_DB_FEED_H 1

#include "mgmt/db/monitor.h"

struct feed *feed_create(struct db *, bool v1);
struct feed *feed_clone(const struct feed *);
void feed_destroy(struct feed *);
struct feed *feed_share(struct feed *);
struct feed_table *feed_find_table(const struct feed *, const struct table *);
struct feed_table *feed_add_table(struct feed *, struct table *);
bool feed_add_column(struct feed_table *, const struct column *,
                     unsigned int select);
void feed_cut(struct feed *);

void feed_put_initial(const struct feed *, struct ds *);
bool feed_put_changes(const struct feed *, const struct change_set *,
                      struct ds *);
bool feed_put_transition(const struct feed *old, const struct feed *new,
                         struct ds *);

#endif /* mgmt/db/feed.h */
