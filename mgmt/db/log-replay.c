/* Adding up the transactions of an OVSDB log: from the schema and the records
 * to the rows that they leave, as one transaction record again:
 *
 *     {<table>: {<uuid>: {<column>: <datum>, ...}, ...}, ...}
 *
 * which is what import reads and compaction writes.
 *
 * It works on JSON alone: of a column's type, only whether several elements
 * may be in it matters.  The value of such a column is kept as an object from
 * an element's (a map's: a key's) canonical text to [element] or [key, value],
 * so that the cost of a record is in proportion to its size: adding one port
 * to a bridge that has 50,000 is one insertion. */
#include <config.h>
#include "mgmt/db/log-file.h"

#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "openvswitch/shash.h"
#include "openvswitch/uuid.h"
#include "util.h"
#include "uuid.h"

struct column {
    bool composite;             /* May hold more than one element. */
    bool map;
    size_t min, max;            /* Number of elements. */
    char *default_key;          /* With 'min' 1: the canonical text of what */
    char *default_value;        /* a new row has in it. */
};

struct log_replay {
    struct shash tables;        /* Of struct shash of struct column. */
    bool converting;            /* Pass over what the schema doesn't have. */
    json_t *rows;               /* {table: {uuid: {column: value}}}. */
};

/* Where in a record we are. */
struct place {
    const char *table, *row, *column;
};

/* Returns an error as ovsdb-server words it: what is wrong about 'json' (may
 * be NULL). */
static char * OVS_PRINTF_FORMAT(3, 4)
syntax_error(const json_t *json, const char *tag, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    char *details = xvasprintf(format, args);
    va_end(args);

    char *text = json ? json_dumps(json, JSON_COMPACT | JSON_SORT_KEYS
                                         | JSON_ENCODE_ANY) : NULL;
    char *s = (text
               ? xasprintf("syntax \"%s\": %s: %s", text, tag, details)
               : xasprintf("%s: %s", tag, details));
    free(text);
    free(details);
    return s;
}

/* Canonical texts. */

/* Returns the text of 'atom' by which it is found, malloc()'d. */
static char *
atom_text(const json_t *atom)
{
    if (json_is_real(atom)) {
        double x = json_real_value(atom);
        if (x == floor(x) && fabs(x) < 0x1p63) {
            return xasprintf("%lld", (long long int) x);
        }
    }
    return json_dumps(atom, JSON_COMPACT | JSON_ENCODE_ANY);
}

static char *
default_text(const json_t *base)
{
    const char *type = json_string_value(json_is_object(base)
                                         ? json_object_get(base, "type")
                                         : base);
    return xstrdup(!type ? ""
                   : !strcmp(type, "string") ? "\"\""
                   : !strcmp(type, "boolean") ? "false"
                   : !strcmp(type, "uuid")
                   ? "[\"uuid\",\"00000000-0000-0000-0000-000000000000\"]"
                   : "0");
}

/* The schema. */

static struct column *
column_from_schema(const json_t *type)
{
    struct column *column = xzalloc(sizeof *column);

    column->min = column->max = 1;
    if (json_is_object(type)) {
        const json_t *min = json_object_get(type, "min");
        const json_t *max = json_object_get(type, "max");
        const json_t *value = json_object_get(type, "value");

        if (json_is_integer(min)) {
            column->min = json_integer_value(min);
        }
        if (json_is_integer(max)) {
            column->max = json_integer_value(max);
        } else if (json_is_string(max)) {
            column->max = SIZE_MAX;
        }
        column->map = value != NULL;
        column->default_key = default_text(json_object_get(type, "key"));
        column->default_value = value ? default_text(value) : NULL;
    }
    column->composite = column->max > 1;
    return column;
}

static void
destroy_tables(struct shash *tables)
{
    struct shash_node *table, *node;

    SHASH_FOR_EACH (table, tables) {
        struct shash *columns = table->data;
        SHASH_FOR_EACH (node, columns) {
            struct column *column = node->data;
            free(column->default_key);
            free(column->default_value);
        }
        shash_destroy_free_data(columns);
    }
    shash_destroy_free_data(tables);
}

/* Starts the replay of a log whose first record is 'schema', or, when
 * 'converting', of one with another schema: then tables and columns that
 * 'schema' doesn't have are passed over. */
char *
log_replay_create(const json_t *schema, bool converting,
                  struct log_replay **replayp)
{
    const char *name;
    json_t *table;

    *replayp = NULL;
    const json_t *tables = json_object_get(schema, "tables");
    if (!json_is_object(tables)) {
        return syntax_error(schema, "syntax error",
                            "Parsing database schema failed: Required "
                            "'tables' member is missing.");
    }

    struct log_replay *replay = xzalloc(sizeof *replay);
    shash_init(&replay->tables);
    replay->converting = converting;
    replay->rows = json_object();
    json_object_foreach (CONST_CAST(json_t *, tables), name, table) {
        struct shash *columns = xmalloc(sizeof *columns);
        const char *column_name;
        json_t *column;

        shash_init(columns);
        json_object_foreach (json_object_get(table, "columns"),
                             column_name, column) {
            shash_add_once(columns, column_name, column_from_schema(
                               json_object_get(column, "type")));
        }
        shash_add_once(&replay->tables, name, columns);
        json_object_set_new(replay->rows, name, json_object());
    }
    *replayp = replay;
    return NULL;
}

/* Composite values. */

/* Sets '*elements' to the array of elements of 'datum', or to NULL if 'datum'
 * is itself the only element (the short form of a set of one).  False if it is
 * neither. */
static bool
datum_elements(const struct column *column, const json_t *datum,
               const json_t **elements)
{
    const char *kind = json_string_value(json_array_get(datum, 0));

    *elements = NULL;
    if (json_array_size(datum) == 2 && kind
        && !strcmp(kind, column->map ? "map" : "set")) {
        *elements = json_array_get(datum, 1);
        return json_is_array(*elements);
    }
    return !column->map && !json_is_object(datum);
}

static bool
element_is_valid(const struct column *column, const json_t *element)
{
    return !column->map || json_array_size(element) == 2;
}

/* The canonical text of an element, or of a map's element's key. */
static char *
element_text(const struct column *column, const json_t *element)
{
    return atom_text(column->map ? json_array_get(element, 0) : element);
}

static json_t *
element_entry(const struct column *column, const json_t *element)
{
    return (column->map ? json_deep_copy(element)
            : json_pack("[o]", json_deep_copy(element)));
}

/* True if 'entry', which is in the column, is taken out by 'element' of a
 * difference: same key, and not another value. */
static bool
diff_removes(const struct column *column, const json_t *entry,
             const json_t *element)
{
    if (!column->map) {
        return true;
    }
    char *a = atom_text(json_array_get(entry, 1));
    char *b = atom_text(json_array_get(element, 1));
    bool equal = !strcmp(a, b);
    free(a);
    free(b);
    return equal;
}

/* True if 'value' (NULL: the column was never written) is what a new row has
 * in 'column'.  A difference to that is the new value itself. */
static bool
value_is_default(const struct column *column, const json_t *value)
{
    if (!value) {
        return true;
    } else if (!column->min) {
        return !json_object_size(value);
    } else if (json_object_size(value) != 1) {
        return false;
    }

    const json_t *entry = json_object_get(value, column->default_key);
    if (!entry || !column->map) {
        return entry != NULL;
    }
    char *text = atom_text(json_array_get(entry, 1));
    bool is_default = !strcmp(text, column->default_value);
    free(text);
    return is_default;
}

/* Puts 'element' into 'value', or, as part of a difference, takes it out of
 * there.  Without 'apply', only returns by how much the number of elements
 * changes. */
static int
add_element(const struct column *column, json_t *value,
            const json_t *element, bool diff, bool apply)
{
    char *text = element_text(column, element);
    const json_t *entry = json_object_get(value, text);
    int change;

    if (diff && entry && diff_removes(column, entry, element)) {
        change = -1;
        if (apply) {
            json_object_del(value, text);
        }
    } else {
        change = !entry;
        if (apply) {
            json_object_set_new(value, text, element_entry(column, element));
        }
    }
    free(text);
    return change;
}

/* Applies 'datum' to the composite column 'column' of 'row' (NULL if new and
 * not 'apply'). */
static char *
change_composite(const struct column *column, const struct place *place,
                 json_t *row, const json_t *datum, bool diff, bool apply)
{
    const json_t *elements;
    if (!datum_elements(column, datum, &elements)) {
        return syntax_error(datum, "syntax error", "table %s, row %s, column "
                            "%s: %s expected", place->table, place->row,
                            place->column, column->map ? "map" : "set");
    }

    json_t *value = json_object_get(row, place->column);
    if (!diff || value_is_default(column, value)) {
        value = NULL;
        diff = false;
    }
    if (!value && apply) {
        value = json_object();
        json_object_set_new(row, place->column, value);
    }

    size_t size = json_object_size(value);
    size_t n = elements ? json_array_size(elements) : 1;
    for (size_t i = 0; i < n; i++) {
        const json_t *element = elements ? json_array_get(elements, i) : datum;
        if (!element_is_valid(column, element)) {
            return syntax_error(element, "syntax error", "table %s, row %s, "
                                "column %s: map needs pairs", place->table,
                                place->row, place->column);
        }
        size += add_element(column, value, element, diff, apply);
    }
    if (!apply && diff && (size < column->min || size > column->max)) {
        return xasprintf("ovsdb error: table %s, row %s, column %s: the "
                         "record's difference leaves %zu elements",
                         place->table, place->row, place->column, size);
    }
    return NULL;
}

/* Records. */

static char *
change_row(struct log_replay *replay, const struct shash *columns,
           struct place place, json_t *row, const json_t *changes, bool diff,
           bool apply)
{
    json_t *datum;

    if (!json_is_object(changes)) {
        return syntax_error(changes, "syntax error",
                            "row must be JSON object");
    }
    json_object_foreach (CONST_CAST(json_t *, changes), place.column, datum) {
        const struct column *column = shash_find_data(columns, place.column);
        char *error = NULL;

        if (!column) {
            if (!replay->converting) {
                error = syntax_error(changes, "unknown column",
                                     "No column %s in table %s.",
                                     place.column, place.table);
            }
        } else if (column->composite) {
            error = change_composite(column, &place, row, datum, diff, apply);
        } else if (apply) {
            json_object_set(row, place.column, datum);
        }
        if (error) {
            return error;
        }
    }
    return NULL;
}

static char *
change_table(struct log_replay *replay, const struct shash *columns,
             const char *table, const json_t *changes, bool diff, bool apply)
{
    json_t *rows = json_object_get(replay->rows, table);
    const char *name;
    json_t *row_changes;

    if (!json_is_object(changes)) {
        return syntax_error(changes, "syntax error", "object expected");
    }
    json_object_foreach (CONST_CAST(json_t *, changes), name, row_changes) {
        char uuid_text[UUID_LEN + 1];
        struct uuid uuid;

        if (!uuid_from_string(&uuid, name)) {
            return syntax_error(changes, "syntax error",
                                "\"%s\" is not a valid UUID", name);
        }
        snprintf(uuid_text, sizeof uuid_text, UUID_FMT, UUID_ARGS(&uuid));

        json_t *row = json_object_get(rows, uuid_text);
        if (json_is_null(row_changes)) {
            if (!row) {
                return syntax_error(NULL, "syntax error", "transaction "
                                    "deletes row %s that does not exist",
                                    uuid_text);
            } else if (apply) {
                json_object_del(rows, uuid_text);
            }
            continue;
        }

        bool is_new = !row;
        if (is_new && apply) {
            row = json_object();
            json_object_set_new(rows, uuid_text, row);
        }
        struct place place = { table, uuid_text, NULL };
        char *error = change_row(replay, columns, place, row, row_changes,
                                 diff && !is_new, apply);
        if (error) {
            return error;
        }
    }
    return NULL;
}

static char *
change_database(struct log_replay *replay, const json_t *record, bool apply)
{
    bool diff = json_is_true(json_object_get(record, "_is_diff"));
    const char *table;
    json_t *changes;

    json_object_foreach (CONST_CAST(json_t *, record), table, changes) {
        const struct shash *columns = shash_find_data(&replay->tables, table);
        char *error = NULL;

        if (columns) {
            error = change_table(replay, columns, table, changes, diff, apply);
        } else if (!replay->converting
                   && !(!strcmp(table, "_date") && json_is_integer(changes))
                   && !(!strcmp(table, "_is_diff") && json_is_boolean(changes))
                   && strcmp(table, "_comment")) {
            error = syntax_error(record, "unknown table", "No table named %s.",
                                 table);
        }
        if (error) {
            return error;
        }
    }
    return NULL;
}

/* Adds transaction 'record' to what went before: all of it or, with an error,
 * nothing. */
char *
log_replay_record(struct log_replay *replay, const json_t *record)
{
    char *error = change_database(replay, record, false);
    return error ? error : change_database(replay, record, true);
}

/* The result. */

static json_t *
datum_from_value(const struct column *column, json_t *value)
{
    size_t n = json_object_size(value);
    json_t *elements = json_array();
    const char *text;
    json_t *entry;

    json_object_foreach (value, text, entry) {
        json_t *element = column->map ? entry : json_array_get(entry, 0);
        if (!column->map && n == 1) {
            json_decref(elements);
            return json_incref(element);
        }
        json_array_append(elements, element);
    }
    return json_pack("[so]", column->map ? "map" : "set", elements);
}

/* Returns the database that the records so far make, as a transaction that
 * inserts all its rows (without _date and _comment), and takes it out of
 * 'replay', for which only log_replay_destroy() is left.  The caller frees it
 * by json_decref(). */
json_t *
log_replay_finish(struct log_replay *replay)
{
    struct shash_node *table, *node;

    SHASH_FOR_EACH (table, &replay->tables) {
        json_t *rows = json_object_get(replay->rows, table->name);
        const char *uuid;
        json_t *row;

        SHASH_FOR_EACH (node, (struct shash *) table->data) {
            const struct column *column = node->data;
            if (!column->composite) {
                continue;
            }
            json_object_foreach (rows, uuid, row) {
                json_t *value = json_object_get(row, node->name);
                if (value && json_object_size(value)) {
                    json_object_set_new(row, node->name,
                                        datum_from_value(column, value));
                } else {
                    json_object_del(row, node->name);
                }
            }
        }
        if (!json_object_size(rows)) {
            json_object_del(replay->rows, table->name);
        }
    }

    json_t *result = replay->rows;
    replay->rows = NULL;
    return result;
}

void
log_replay_destroy(struct log_replay *replay)
{
    if (replay) {
        destroy_tables(&replay->tables);
        json_decref(replay->rows);
        free(replay);
    }
}
