/* The configuration that outlives a crash: with --monitor the process that
 * restarts the server keeps a temporary file open in which the remotes and
 * databases are that commands have added since. */
#include <config.h>
#include "mgmt/db/server.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "mgmt/db/json.h"
#include "openvswitch/vlog.h"
#include "util.h"

VLOG_DEFINE_THIS_MODULE(config);

static json_t *
sset_to_json(const struct sset *set)
{
    json_t *array = json_array();
    const char *s;

    SSET_FOR_EACH (s, set) {
        json_array_append_new(array, json_string(s));
    }
    return array;
}

static void
sset_from_json(struct sset *set, const json_t *array)
{
    size_t i;

    sset_clear(set);
    for (i = 0; i < json_array_size(array); i++) {
        sset_add(set, json_string_value(json_array_get(array, i)));
    }
}

/* Remembers the remotes, and as databases 'db_names'. */
static void
save(struct server *server, const struct sset *db_names)
{
    json_t *json;

    if (!server->config) {
        return;
    }
    json = json_pack("{s:o, s:o, s:o}",
                     "remotes", sset_to_json(&server->remote_names),
                     "no_history", sset_to_json(&server->no_history),
                     "db_filenames", sset_to_json(db_names));
    rewind(server->config);
    if (ftruncate(fileno(server->config), 0)
        || json_dumpf(json, server->config, 0)
        || fflush(server->config)) {
        VLOG_FATAL("failed to write temporary file (%s)", ovs_strerror(errno));
    }
    json_decref(json);
}

/* Begins to remember the configuration. */
void
server_init_config(struct server *server, const struct sset *db_names)
{
    server->config = tmpfile();
    if (!server->config) {
        ovs_fatal(errno, "failed to create temporary file");
    }
    save(server, db_names);
}

/* Remembers the configuration as it is now. */
void
server_save_config(struct server *server)
{
    struct sset db_names = SSET_INITIALIZER(&db_names);
    struct shash_node *node;

    SHASH_FOR_EACH (node, &server->dbs) {
        const struct db *db = node->data;
        if (db->filename) {
            sset_add(&db_names, db->filename);
        }
    }
    save(server, &db_names);
    sset_destroy(&db_names);
}

/* Restores what has been remembered. */
void
server_load_config(struct server *server, struct sset *db_names)
{
    json_t *json;

    rewind(server->config);
    json = json_loadf(server->config, 0, NULL);
    if (!json) {
        VLOG_FATAL("reading the temporary file failed");
    }
    sset_from_json(&server->remote_names, json_object_get(json, "remotes"));
    sset_from_json(&server->no_history, json_object_get(json, "no_history"));
    sset_from_json(db_names, json_object_get(json, "db_filenames"));
    json_decref(json);
}
