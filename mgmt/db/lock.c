/* Locks: RFC 7047 section 4.1.8. */
#include <config.h>
#include "mgmt/db/session.h"

#include <string.h>

#include "hash.h"
#include "util.h"

struct lock {
    struct hmap_node node;      /* In server->locks. */
    char *name;
    struct ovs_list waiters;    /* The first is the owner. */
};

/* What a session has asked for and not yet unlocked. */
struct lock_waiter {
    struct ovs_list session_node; /* In session->waiters. */
    struct ovs_list lock_node;  /* In lock->waiters. */
    struct session *session;
    enum lock_mode mode;
    char *name;
    struct lock *lock;          /* NULL if it has been stolen from a thief,
                                 * who doesn't get it back. */
};

static struct lock *
lock_get(struct server *server, const char *name)
{
    uint32_t hash = hash_string(name, 0);
    struct lock *lock;

    HMAP_FOR_EACH_WITH_HASH (lock, node, hash, &server->locks) {
        if (!strcmp(lock->name, name)) {
            return lock;
        }
    }
    lock = xzalloc(sizeof *lock);
    lock->name = xstrdup(name);
    ovs_list_init(&lock->waiters);
    hmap_insert(&server->locks, &lock->node, hash);
    return lock;
}

static struct lock_waiter *
owner(const struct lock *lock)
{
    return (ovs_list_is_empty(&lock->waiters) ? NULL
            : CONTAINER_OF(ovs_list_front(&lock->waiters), struct lock_waiter,
                           lock_node));
}

static bool
is_owner(const struct lock_waiter *w)
{
    return w->lock && owner(w->lock) == w;
}

/* Returns the session's entry for a lock, NULL if it has none. */
struct lock_waiter *
lock_find(const struct session *s, const char *name)
{
    struct lock_waiter *w;

    LIST_FOR_EACH (w, session_node, &s->waiters) {
        if (!strcmp(w->name, name)) {
            return w;
        }
    }
    return NULL;
}

/* Whether a session owns a lock. */
bool
lock_is_owned(const void *session, const char *name)
{
    const struct lock_waiter *w = lock_find(session, name);
    return w && is_owner(w);
}

/* Lets 's' wait for a lock or steal it.  Returns whether it has it now. */
bool
lock_acquire(struct session *s, const char *name, enum lock_mode mode)
{
    struct lock *lock = lock_get(s->remote->server, name);
    struct lock_waiter *victim = mode == LOCK_STEAL ? owner(lock) : NULL;
    struct lock_waiter *w = xzalloc(sizeof *w);

    w->session = s;
    w->mode = mode;
    w->name = xstrdup(name);
    w->lock = lock;
    ovs_list_push_back(&s->waiters, &w->session_node);
    if (mode == LOCK_STEAL) {
        ovs_list_push_front(&lock->waiters, &w->lock_node);
    } else {
        ovs_list_push_back(&lock->waiters, &w->lock_node);
    }
    if (victim) {
        if (victim->mode == LOCK_STEAL) {
            ovs_list_remove(&victim->lock_node);
            victim->lock = NULL;
        }
        session_notify(victim->session, "stolen", name);
    }
    return is_owner(w);
}

/* Gives up a lock or the wait for it. */
void
lock_release(struct lock_waiter *w)
{
    struct lock *lock = w->lock;

    if (lock) {
        ovs_list_remove(&w->lock_node);
        if (ovs_list_is_empty(&lock->waiters)) {
            hmap_remove(&w->session->remote->server->locks, &lock->node);
            free(lock->name);
            free(lock);
        } else {
            /* As from ovsdb-server, the owner hears of it even if it was the
             * owner before, and it was a waiter that went away. */
            session_notify(owner(lock)->session, "locked", lock->name);
        }
    }
    ovs_list_remove(&w->session_node);
    free(w->name);
    free(w);
}

void
locks_release_all(struct session *s)
{
    struct lock_waiter *w;

    LIST_FOR_EACH_SAFE (w, session_node, &s->waiters) {
        lock_release(w);
    }
}

/* Appends the names of the locks that 's' has, waits for, has lost. */
void
locks_describe(const struct session *s, struct ds *held, struct ds *waiting,
               struct ds *lost)
{
    const struct lock_waiter *w;

    LIST_FOR_EACH (w, session_node, &s->waiters) {
        struct ds *ds = (is_owner(w) ? held
                         : w->mode == LOCK_WAIT ? waiting : lost);
        ds_put_format(ds, "%s%s", ds->length ? " " : "", w->name);
    }
}
