/* The operations of "transact": conditions, mutations and their execution. */
#ifndef SLUICE_DB_EXECUTE_H
#define SLUICE_DB_EXECUTE_H 1

#include "mgmt/db/database.h"

/* --- Conditions. --- */

/* In the order in which it is best to try them. */
enum function {
    F_FALSE, F_TRUE, F_EQ, F_INCLUDES, F_LE, F_LT, F_GE, F_GT, F_EXCLUDES, F_NE
};

struct clause {
    enum function function;
    const struct column *column;
    struct datum *arg;
};

struct condition {
    struct clause *clauses;     /* Sorted. */
    size_t n;
    struct hmap *equals;        /* For match_any() of many "==", else NULL. */
};

struct error *condition_from_json(struct condition *,
                                  const struct table_schema *, const json_t *,
                                  struct shash *symbols)
    OVS_WARN_UNUSED_RESULT;
void condition_init(struct condition *);
void condition_clone(struct condition *, const struct condition *);
void condition_destroy(struct condition *);
bool condition_equals(const struct condition *, const struct condition *);
uint32_t condition_hash(const struct condition *, uint32_t basis);
bool condition_is_true(const struct condition *);
bool condition_match_all(const struct condition *, const struct row *);
bool condition_match_any(const struct condition *, const struct row *);

/* The search for rows, in query.c. */
typedef bool query_cb(struct row *, void *aux);
void query(const struct txn *, struct table *, const struct condition *,
           query_cb *, void *aux);
void query_any(struct table *, const struct condition *, query_cb *,
               void *aux);

/* --- Mutations. --- */

enum mutator { M_ADD, M_SUB, M_MUL, M_DIV, M_MOD, M_INSERT, M_DELETE };

struct mutation {
    enum mutator mutator;
    const struct column *column;
    struct datum *arg;
};

struct mutations {
    struct mutation *mutations;
    size_t n;
};

struct error *mutations_from_json(struct mutations *,
                                  const struct table_schema *, const json_t *,
                                  struct shash *symbols)
    OVS_WARN_UNUSED_RESULT;
void mutations_destroy(struct mutations *);
struct error *mutations_execute(const struct mutations *, struct row *)
    OVS_WARN_UNUSED_RESULT;

/* --- Access control by role, in rbac.c. --- */

/* Who asks. */
struct requester {
    const char *role;           /* NULL or "": may do anything. */
    const char *id;             /* From the certificate, NULL if none. */
    bool read_only;
    bool (*owns_lock)(const void *session, const char *lock);
    const void *session;
};

bool rbac_may_insert(const struct requester *, struct row *);
bool rbac_may_delete(const struct requester *, const struct txn *,
                     struct table *, const struct condition *);
bool rbac_may_update(const struct requester *, const struct txn *,
                     struct table *, const struct column_set *,
                     const struct condition *);
bool rbac_may_mutate(const struct requester *, const struct txn *,
                     struct table *, const struct mutations *,
                     const struct condition *);

/* --- Operations. --- */

struct execution {
    struct txn *txn;            /* To be committed, or NULL. */
    bool durable;
    bool closed;                /* The result is no array: nothing follows. */
    bool waiting;               /* A "wait" doesn't hold yet: try again. */
    long long int timeout;      /* Then, how long to wait at most, in ms from
                                 * the request's arrival; else LLONG_MAX. */
};

void execute(struct db *, const struct requester *, const json_t *params,
             long long int elapsed, bool may_wait, struct execution *,
             struct ds *results);

#endif /* mgmt/db/execute.h */
