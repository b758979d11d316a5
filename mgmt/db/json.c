/* JSON text in and out: see json.h.
 *
 * Numbers follow ovsdb-server: a real that is an exact integer is an integer
 * ("1.0", "1e3"), negative zero is zero, and reals are written with 15
 * significant digits, so that 0.1 stays 0.1. */
#include <config.h>
#include "mgmt/db/json.h"

#include <errno.h>
#include <float.h>
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "hash.h"
#include "mgmt/db/log-file.h"
#include "openvswitch/shash.h"
#include "util.h"

/* Appends 'string' in quotes. */
void
json_put_string(struct ds *ds, const char *string)
{
    const char *start = string;
    const char *p;

    ds_put_char(ds, '"');
    for (p = string; *p; p++) {
        unsigned char c = *p;
        if (OVS_LIKELY(c >= 0x20 && c != '"' && c != '\\')) {
            continue;
        }
        ds_put_buffer(ds, start, p - start);
        start = p + 1;
        switch (c) {
        case '"': ds_put_cstr(ds, "\\\""); break;
        case '\\': ds_put_cstr(ds, "\\\\"); break;
        case '\b': ds_put_cstr(ds, "\\b"); break;
        case '\f': ds_put_cstr(ds, "\\f"); break;
        case '\n': ds_put_cstr(ds, "\\n"); break;
        case '\r': ds_put_cstr(ds, "\\r"); break;
        case '\t': ds_put_cstr(ds, "\\t"); break;
        default: ds_put_format(ds, "\\u%04x", c); break;
        }
    }
    ds_put_buffer(ds, start, p - start);
    ds_put_char(ds, '"');
}

/* Appends 'real'.  One that is an integer is written as such, as its reader
 * would take it. */
void
json_put_real(struct ds *ds, double real)
{
    ds_put_format(ds, "%.*g", DBL_DIG, real == 0 ? 0 : real);
}

static int
compare_names(const void *a_, const void *b_)
{
    const char *const *a = a_;
    const char *const *b = b_;
    return strcmp(*a, *b);
}

static void
put_object(struct ds *ds, const json_t *json)
{
    size_t n = json_object_size(json);
    const char **names = xmalloc(n * sizeof *names);
    const char *name;
    json_t *value;
    size_t i = 0;

    json_object_foreach (CONST_CAST(json_t *, json), name, value) {
        names[i++] = name;
    }
    qsort(names, n, sizeof *names, compare_names);

    ds_put_char(ds, '{');
    for (i = 0; i < n; i++) {
        if (i) {
            ds_put_char(ds, ',');
        }
        json_put_string(ds, names[i]);
        ds_put_char(ds, ':');
        json_put(ds, json_object_get(json, names[i]));
    }
    ds_put_char(ds, '}');
    free(names);
}

/* Appends 'json', compact, members sorted. */
void
json_put(struct ds *ds, const json_t *json)
{
    int64_t integer;
    size_t i;

    switch (json_typeof(json)) {
    case JSON_OBJECT:
        put_object(ds, json);
        break;

    case JSON_ARRAY:
        ds_put_char(ds, '[');
        for (i = 0; i < json_array_size(json); i++) {
            if (i) {
                ds_put_char(ds, ',');
            }
            json_put(ds, json_array_get(json, i));
        }
        ds_put_char(ds, ']');
        break;

    case JSON_STRING:
        json_put_string(ds, json_string_value(json));
        break;

    case JSON_INTEGER:
    case JSON_REAL:
        if (json_is_exact_integer(json, &integer)) {
            ds_put_format(ds, "%"PRId64, integer);
        } else {
            json_put_real(ds, json_real_value(json));
        }
        break;

    case JSON_TRUE:
        ds_put_cstr(ds, "true");
        break;

    case JSON_FALSE:
        ds_put_cstr(ds, "false");
        break;

    case JSON_NULL:
        ds_put_cstr(ds, "null");
        break;
    }
}

/* Returns 'json' as text that the caller must free. */
char *
json_to_text(const json_t *json)
{
    struct ds ds = DS_EMPTY_INITIALIZER;
    json_put(&ds, json);
    return ds_steal_cstr(&ds);
}

/* Whether 'json' is a number with an exact 64-bit integer value, however it is
 * written; if so stores it in '*integer'. */
bool
json_is_exact_integer(const json_t *json, int64_t *integer)
{
    if (json_is_integer(json)) {
        *integer = json_integer_value(json);
        return true;
    } else if (json_is_real(json)) {
        double real = json_real_value(json);
        if (real >= -0x1p63 && real < 0x1p63 && real == trunc(real)) {
            *integer = real;
            return true;
        }
    }
    return false;
}

/* The integer in 'json', which parser_member() has found to be one. */
int64_t
json_int64(const json_t *json)
{
    int64_t integer = 0;
    json_is_exact_integer(json, &integer);
    return integer;
}

/* Whether 'a' and 'b' are the same value. */
bool
json_same(const json_t *a, const json_t *b)
{
    int64_t x, y;

    if (json_is_exact_integer(a, &x) && json_is_exact_integer(b, &y)) {
        return x == y;
    }
    return json_equal(a, b);
}

/* A hash of 'json', such that json_same() values have the same. */
uint32_t
json_hash_value(const json_t *json, uint32_t basis)
{
    int64_t integer;

    if (json_is_exact_integer(json, &integer)) {
        return hash_int(integer, basis);
    } else if (json_is_string(json)) {
        return hash_string(json_string_value(json), basis);
    } else {
        return hash_int(json_typeof(json), basis);
    }
}

/* Returns the names of the members of 'json' in the order in which
 * ovsdb-server would come upon them, that of its hash table: which of several
 * errors in an object it reports depends on that.  The caller must free the
 * array. */
const char **
json_object_names(const json_t *json, size_t *n)
{
    struct shash members = SHASH_INITIALIZER(&members);
    const struct shash_node *node;
    const char **names;
    const char *name;
    json_t *value;

    json_object_foreach (CONST_CAST(json_t *, json), name, value) {
        shash_add(&members, name, name);
    }
    *n = 0;
    names = xmalloc((shash_count(&members) + 1) * sizeof *names);
    SHASH_FOR_EACH (node, &members) {
        names[(*n)++] = node->data;
    }
    shash_destroy(&members);
    return names;
}

json_t *
json_parse(const char *text, size_t size, char **errorp)
{
    json_t *json = json_read_plain(text, size);
    json_error_t error;

    if (!json) {
        json = json_loadb(text, size, 0, &error);
    }
    *errorp = (json ? NULL
               : xasprintf("line %d, column %d: %s",
                           error.line, error.column, error.text));
    return json;
}

/* Parses a message.  What jansson doesn't take but ovsdb-server does is set
 * right first, which the rare message pays for that needs it. */
static json_t *
parse_message(const char *text, size_t size, char **errorp)
{
    json_t *json = json_parse(text, size, errorp);

    if (!json) {
        size_t repaired_size;
        char *repaired = log_text_repair(text, size, &repaired_size, NULL,
                                         NULL);
        if (repaired) {
            free(*errorp);
            json = json_parse(repaired, repaired_size, errorp);
            free(repaired);
        }
    }
    return json;
}

/* --- Streams. --- */

void
json_stream_init(struct json_stream *s, size_t max_size)
{
    memset(s, 0, sizeof *s);
    ds_init(&s->text);
    s->max_size = max_size;
}

void
json_stream_destroy(struct json_stream *s)
{
    ds_destroy(&s->text);
}

/* Returns the number of bytes of the 'n' at 'p' that belong to the current
 * string, its closing quote included. */
static size_t
scan_string(struct json_stream *s, const char *p, size_t n)
{
    size_t i;

    for (i = 0; i < n; i++) {
        if (s->escaped) {
            s->escaped = false;
        } else if (p[i] == '\\') {
            s->escaped = true;
        } else if (p[i] == '"') {
            s->in_string = false;
            return i + 1;
        }
    }
    return n;
}

/* Returns the number of bytes up to the message's end, or 'n' if it isn't
 * among them.  Sets '*done' if it is. */
static size_t
scan(struct json_stream *s, const char *p, size_t n, bool *done)
{
    size_t i = 0;

    *done = false;
    while (i < n) {
        if (s->in_string) {
            i += scan_string(s, p + i, n - i);
            continue;
        }
        switch (p[i++]) {
        case '"':
            s->in_string = true;
            break;
        case '{':
        case '[':
            s->depth++;
            if (s->depth > JSON_DEPTH_MAX) {
                return i;
            }
            break;
        case '}':
        case ']':
            if (!--s->depth) {
                *done = true;
                return i;
            }
            break;
        }
    }
    return n;
}

/* Takes in bytes from the 'n' at 'p', at most to the end of a message, and
 * returns how many.  If they complete a message, stores it in '*messagep',
 * which the caller must json_decref(); else stores NULL there.  If they can't
 * be JSON, stores a message in '*errorp' that the caller must free, and the
 * stream must not be used any more; else stores NULL there. */
size_t
json_stream_feed(struct json_stream *s, const char *p, size_t n,
                 json_t **messagep, char **errorp)
{
    size_t skipped = 0;
    size_t used;
    bool done;

    *messagep = NULL;
    *errorp = NULL;

    if (!s->depth) {
        while (skipped < n && memchr(" \t\r\n", p[skipped], 4)) {
            skipped++;
        }
        if (skipped == n) {
            return n;
        }
        if (p[skipped] != '{' && p[skipped] != '[') {
            *errorp = xstrdup("syntax error at beginning of input");
            return skipped;
        }
    }

    used = scan(s, p + skipped, n - skipped, &done);
    if (s->depth > JSON_DEPTH_MAX) {
        *errorp = xasprintf("input exceeds maximum nesting depth %d",
                            JSON_DEPTH_MAX);
    } else if (s->text.length + used > s->max_size) {
        *errorp = xasprintf("message exceeds the limit of %"PRIuSIZE" bytes",
                            s->max_size);
    } else if (!done) {
        ds_put_buffer(&s->text, p + skipped, used);
    } else if (!s->text.length) {
        *messagep = parse_message(p + skipped, used, errorp);
    } else {
        ds_put_buffer(&s->text, p + skipped, used);
        *messagep = parse_message(s->text.string, s->text.length, errorp);
        if (s->text.allocated > 65536) {
            ds_destroy(&s->text);
            ds_init(&s->text);
        } else {
            ds_clear(&s->text);
        }
    }
    return skipped + used;
}
