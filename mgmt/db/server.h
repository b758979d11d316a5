/* The server: its databases, the remotes where clients come from, and the
 * main loop.
 *
 * Everything runs in one thread on one libevent loop, except for most of the
 * writing to files (writer.h) and the control socket (control.c).  Each turn
 * of the loop handles what has arrived, and then does what is better done once
 * for all of it: waiting transactions are tried again, what is durable is
 * written, updates are sent, the remotes reconfigured. */
#ifndef SLUICE_DB_SERVER_H
#define SLUICE_DB_SERVER_H 1

#include <event2/event.h>
#include <stdbool.h>
#include <stdio.h>

#include "mgmt/db/database.h"
#include "openvswitch/list.h"
#include "openvswitch/shash.h"
#include "sset.h"

struct bufferevent;
struct session;
struct simap;

/* Limits on what clients may take. */
struct limits {
    size_t message_size;        /* Bytes in a request; twice that in all that
                                 * have arrived in part. */
    size_t backlog;             /* Bytes of output before a monitor lags. */
    size_t backlog_pause;       /* Bytes before nothing more is read. */
    int stall;                  /* Seconds without progress of the output
                                 * before the connection is cut. */
    unsigned int connections;   /* Sessions of all remotes. */
};

struct server {
    struct event_base *base;
    struct shash dbs;           /* Contains "struct db"s. */
    struct db *server_db;       /* "_Server", one of them. */
    struct shash remotes;       /* Contains "struct remote"s by target. */
    struct sset remote_names;   /* As configured; "db:..." among them. */
    struct sset no_history;     /* Remotes without history. */
    struct hmap locks;          /* Contains "struct lock"s. */
    struct uuid id;
    struct limits limits;
    unsigned int n_sessions;
    size_t partial_input;       /* Bytes of their incomplete messages. */
    struct ovs_list dirty;      /* Sessions with new output. */
    struct ovs_list closed;     /* Sessions to be destroyed. */
    bool read_only;
    bool monitor_cond;          /* Offer monitor_cond and ..._since. */
    bool reconfigure;           /* The remotes may have changed. */
    bool trim;                  /* Much memory has just been freed. */
    unsigned int config_changes; /* remotes_count_changes() at the last
                                  * reconfiguration. */
    struct event *turn;         /* Runs server_finish_turn(). */
    bool exiting;
    FILE *config;               /* Remembers the configuration over a restart
                                 * by --monitor. */
    struct event *status_timer;
    char *remotes_error, *ssl_error; /* Logged last. */

    /* Files for TLS, or "db:..." or NULL. */
    const char *private_key, *certificate, *ca_cert, *peer_ca_cert;
    const char *ssl_protocols, *ssl_ciphers;
    bool bootstrap_ca_cert;
};

void server_init(struct server *);
void server_start(struct server *);
void server_destroy(struct server *);
void server_run(struct server *);
void server_wake(struct server *);
void server_exit(struct server *);

struct error *server_open_db(struct server *, const char *file_name)
    OVS_WARN_UNUSED_RESULT;
void server_add_db(struct server *, struct db *);
void server_remove_db(struct server *, struct db *, char *comment);
void server_retire_db(struct db *);
void server_replace_db(struct server *, struct db *old, struct db *new);
void server_reconnect(struct server *, bool force, char *comment);
void server_memory_usage(const struct server *, struct simap *);

/* The configuration that a restart by --monitor restores, in config.c. */
void server_init_config(struct server *, const struct sset *db_names);
void server_save_config(struct server *);
void server_load_config(struct server *, struct sset *db_names);

/* The _Server database, in server-db.c. */
void server_db_create(struct server *);
void server_db_replace(struct server *, const struct db *old, struct db *new);
void server_db_update(struct server *);

/* Remotes, in remote.c. */
struct remote_options {
    int max_backoff;            /* In ms, as the next. */
    int probe_interval;         /* 0: none. */
    bool read_only;
    char *role;                 /* NULL: may do anything. */
    uint8_t dscp;
    bool no_history;
};

struct remote {
    struct server *server;
    char *target;
    struct remote_options options;
    bool passive;
    int fd;                     /* Listening socket, -1 if active. */
    struct event *listener;
    uint16_t bound_port;
    struct ovs_list sessions;

    /* Active only. */
    struct event *retry;
    struct bufferevent *connecting;
    int backoff;
    int last_error;
    long long int last_connected, last_disconnected; /* 0: never. */
};

struct remote_status {
    const char *state;
    int last_error;
    unsigned int sec_since_connect; /* UINT_MAX: never; so is the next. */
    unsigned int sec_since_disconnect;
    bool is_connected;
    int n_connections;
    uint16_t bound_port;
    char *locks_held, *locks_waiting, *locks_lost;
};

void remote_options_init(struct remote_options *, const char *target);
void remotes_set(struct server *, const struct shash *);
bool remote_get_status(const struct server *, const char *target,
                       struct remote_status *);
void remote_session_closed(struct remote *, int error);

/* Remotes and files that databases name, in remote-config.c. */
char *remotes_reconfigure(struct server *);
unsigned int remotes_count_changes(const struct server *);
char *tls_reconfigure(struct server *);
void remotes_update_status(struct server *);
char *parse_db_column(const struct server *, const char *name,
                      struct db **, struct table **, struct column **);

/* TLS, in tls.c. */
void tls_configure(const char *private_key, const char *certificate,
                   const char *ca_cert, bool bootstrap,
                   const char *peer_ca_cert, const char *protocols,
                   const char *ciphers);
struct bufferevent *tls_bufferevent(struct event_base *, int fd, bool accept,
                                    int *error);
bool tls_is_unverified(struct bufferevent *);
char *tls_peer_id(struct bufferevent *);

/* The control socket, in control.c. */
void control_init(struct server *, const char *path);
void control_start(void);
void control_stop(void);

#endif /* mgmt/db/server.h */
