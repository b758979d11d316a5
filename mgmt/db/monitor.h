/* Monitors: telling clients what changes.
 *
 * A *feed* is a stream of updates for one choice of tables, columns and
 * conditions.  All monitors that make the same choice share it: the rows that
 * transactions change gather in the feed, and when it is *cut*, at the end of
 * each turn of the main loop or before a reply to one of its clients, they
 * become one text that goes to all of them.
 *
 * A client that doesn't read fast enough lags: its monitor gathers changes by
 * itself, merged per row, so that it costs at most one entry per row however
 * long it takes, and gets them as one update when it has caught up. */
#ifndef SLUICE_DB_MONITOR_H
#define SLUICE_DB_MONITOR_H 1

#include "mgmt/db/database.h"
#include "mgmt/db/execute.h"

struct session;

/* The methods "monitor", "monitor_cond" and "monitor_cond_since". */
enum monitor_version { MONITOR_V1 = 1, MONITOR_V2, MONITOR_V3 };

/* What a client wants to hear of. */
enum {
    SELECT_INITIAL = 1 << 0,
    SELECT_INSERT = 1 << 1,
    SELECT_DELETE = 1 << 2,
    SELECT_MODIFY = 1 << 3,
    SELECT_ALL = 15
};

struct feed_column {
    const struct column *column;
    unsigned int select;
};

struct feed_table {
    struct table *table;
    unsigned int select;        /* All that any column wants. */
    struct feed_column *columns; /* Ordered by index, distinct. */
    size_t n;
    struct condition condition;
    unsigned long *watched;     /* Columns above or in the condition. */
};

/* What happened to a row, from the point of view of one who hasn't heard of
 * it. */
struct row_change {
    struct hmap_node node;      /* In change_set->rows. */
    struct row *old, *new;      /* References; NULL if there was, is none. */
};

struct change_set {
    struct hmap rows;           /* Contains "struct row_change"s, by UUID. */
};

struct feed {
    struct ovs_list node;       /* In db->feeds. */
    struct db *db;
    bool v1;                    /* Has "update" notifications' format. */
    struct feed_table *tables;  /* Ordered by table number. */
    size_t n;
    struct change_set changes;  /* Since the last cut. */
    struct ovs_list monitors;   /* Contains "struct monitor"s. */
};

/* A client's monitor. */
struct monitor {
    struct ovs_list feed_node;  /* In feed->monitors. */
    struct ovs_list node;       /* In its session's list. */
    struct session *session;
    enum monitor_version version;
    json_t *id;
    char *id_text;
    struct feed *feed;
    bool lagging;
    struct change_set changes;  /* Of one that is lagging. */
};

void changes_init(struct change_set *);
void changes_add(struct change_set *, struct row *old, struct row *new);
void changes_destroy(struct change_set *);

void feeds_commit(struct db *, const struct txn *);
void feeds_cut(struct db *);

/* Each appends the reply's "result" to 'result', or returns an error. */
struct error *monitor_create(struct session *, struct db *,
                             const json_t *params, enum monitor_version,
                             struct ds *result) OVS_WARN_UNUSED_RESULT;
struct error *monitor_cond_change(struct session *, const json_t *params)
    OVS_WARN_UNUSED_RESULT;
struct monitor *monitor_find(struct session *, const json_t *id);
void monitor_destroy(struct monitor *);
void monitor_flush(struct monitor *);

#endif /* mgmt/db/monitor.h */
