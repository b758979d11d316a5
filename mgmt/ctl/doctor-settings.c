/* "doctor" about settings that do nothing: keys of the maps that configure the
 * switch which it doesn't know, or doesn't need. */
#include <config.h>
#include "doctor.h"

#include <stdlib.h>

#include "jsonrpc.h"
#include "openvswitch/json.h"
#include "openvswitch/shash.h"
#include "report.h"
#include "rpc.h"
#include "schemas/known-keys.h"
#include "util.h"

static const struct map {
    const char *table, *column;
    const char *name;           /* Column that tells rows apart, or NULL. */
} maps[] = {
    {"Open_vSwitch", "other_config", NULL},
    {"Bridge", "other_config", "name"},
    {"Port", "other_config", "name"},
    {"Interface", "other_config", "name"},
    {"Interface", "bfd", "name"},
    {"Interface", "lldp", "name"},
    {"QoS", "other_config", "type"},
    {"Queue", "other_config", "_uuid"},
    {"IPFIX", "other_config", "_uuid"},
    {"Controller", "other_config", "target"},
};

static void
check_row(struct examination *e, const struct map *map, const struct json *row)
{
    const struct json *column = json_member(row, map->column);
    const struct shash_node *node;

    if (!column || column->type != JSON_OBJECT) {
        return;
    }
    SHASH_FOR_EACH (node, json_object(column)) {
        const char *why;

        switch (known_key_effect(map->table, map->column, node->name, &why)) {
        case KEY_WORKS:
            break;
        case KEY_HAS_NO_EFFECT:
        case KEY_UNKNOWN:
            find(e, NOTE, "settings", NULL, "%s %s: %s:%s has no effect: %s",
                 map->table,
                 map->name ? json_string_or(row, map->name, "") : ".",
                 map->column, node->name, why);
            break;
        }
    }
}

void
check_settings(struct examination *e)
{
    char *error = NULL;
    struct jsonrpc *db = rpc_open_database(&error);

    for (size_t i = 0; !error && i < ARRAY_SIZE(maps); i++) {
        struct json *rows = rpc_select(db, maps[i].table, NULL, &error);

        for (size_t j = 0; j < json_length(rows); j++) {
            struct json *row = rpc_plain(rows->array.elems[j]);

            check_row(e, &maps[i], row);
            json_destroy(row);
        }
        json_destroy(rows);
    }
    /* That the database doesn't answer has been said. */
    free(error);
    if (db) {
        jsonrpc_close(db);
    }
}
