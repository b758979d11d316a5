/* Errors, and the checking of JSON objects' members that gives rise to most of
 * them.  The texts are part of the protocol: clients and people compare them
 * with what ovsdb-server says. */
#include <config.h>
#include "mgmt/db/json.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "util.h"

static struct error *
error_new_valist(const char *tag, const char *details, va_list args)
{
    struct error *error = xzalloc(sizeof *error);
    error->tag = tag ? tag : "ovsdb error";
    error->details = details ? xvasprintf(details, args) : NULL;
    return error;
}

/* An error of kind 'tag', a constant (NULL: "ovsdb error"). */
struct error *
error_new(const char *tag, const char *details, ...)
{
    struct error *error;
    va_list args;

    va_start(args, details);
    error = error_new_valist(tag, details, args);
    va_end(args);
    return error;
}

/* An error of kind 'tag' (NULL: "syntax error") in 'json' (or NULL). */
struct error *
error_syntax(const json_t *json, const char *tag, const char *details, ...)
{
    struct error *error;
    va_list args;

    va_start(args, details);
    error = error_new_valist(tag ? tag : "syntax error", details, args);
    va_end(args);
    if (json) {
        error->syntax = json_to_text(json);
    }
    return error;
}

/* An I/O error with errno value 'errno_' (0 if none). */
struct error *
error_io(int errno_, const char *details, ...)
{
    struct error *error;
    va_list args;

    va_start(args, details);
    error = error_new_valist("I/O error", details, args);
    va_end(args);
    error->errno_ = errno_;
    return error;
}

/* Puts what was being done before the details of 'error'. */
struct error *
error_wrap(struct error *error, const char *details, ...)
{
    va_list args;
    char *msg;

    va_start(args, details);
    msg = xvasprintf(details, args);
    va_end(args);

    if (error->details) {
        char *new = xasprintf("%s: %s", msg, error->details);
        free(error->details);
        free(msg);
        error->details = new;
    } else {
        error->details = msg;
    }
    return error;
}

struct error *
error_clone(const struct error *old)
{
    struct error *new = NULL;

    if (old) {
        new = xmemdup(old, sizeof *old);
        new->details = nullable_xstrdup(old->details);
        new->syntax = nullable_xstrdup(old->syntax);
    }
    return new;
}

void
error_destroy(struct error *error)
{
    if (error) {
        free(error->details);
        free(error->syntax);
        free(error);
    }
}

/* Appends 'error' as a JSON object. */
void
error_put(struct ds *ds, const struct error *error)
{
    ds_put_char(ds, '{');
    if (error->details) {
        ds_put_cstr(ds, "\"details\":");
        json_put_string(ds, error->details);
        ds_put_char(ds, ',');
    }
    ds_put_cstr(ds, "\"error\":");
    json_put_string(ds, error->tag);
    if (error->errno_) {
        ds_put_cstr(ds, ",\"io-error\":");
        json_put_string(ds, ovs_retval_to_string(error->errno_));
    }
    if (error->syntax) {
        ds_put_cstr(ds, ",\"syntax\":");
        json_put_string(ds, error->syntax);
    }
    ds_put_char(ds, '}');
}

/* Returns 'error' as a sentence for people, which the caller must free. */
char *
error_to_string(const struct error *error)
{
    struct ds ds = DS_EMPTY_INITIALIZER;

    if (error->syntax) {
        ds_put_format(&ds, "syntax \"%s\": ", error->syntax);
    }
    ds_put_cstr(&ds, error->tag);
    if (error->details) {
        ds_put_format(&ds, ": %s", error->details);
    }
    if (error->errno_) {
        ds_put_format(&ds, " (%s)", ovs_retval_to_string(error->errno_));
    }
    return ds_steal_cstr(&ds);
}

/* The same, and frees 'error'; NULL for NULL. */
char *
error_to_string_free(struct error *error)
{
    char *s = error ? error_to_string(error) : NULL;
    error_destroy(error);
    return s;
}

/* --- Parsers. --- */

/* Starts to check 'json' (may be NULL), which messages call 'name'. */
void
parser_init(struct parser *p, const json_t *json, const char *name, ...)
{
    va_list args;

    va_start(args, name);
    vsnprintf(p->name, sizeof p->name, name, args);
    va_end(args);

    p->n_used = 0;
    p->error = NULL;
    p->json = json_is_object(json) ? json : NULL;
    if (!p->json) {
        parser_raise(p, "Object expected.");
    }
}

/* Whether 's' is an <id> in RFC 7047's sense. */
bool
string_is_id(const char *s)
{
    if (!isalpha((unsigned char) *s) && *s != '_') {
        return false;
    }
    while (*++s) {
        if (!isalnum((unsigned char) *s) && *s != '_') {
            return false;
        }
    }
    return true;
}

static bool
type_matches(const json_t *json, int types)
{
    int64_t integer;

    return (types & (1 << json_typeof(json))
            || (types & OP_INTEGER && json_is_exact_integer(json, &integer))
            || (types & OP_ID && json_is_string(json)
                && string_is_id(json_string_value(json))));
}

/* Returns the member called 'name', NULL if it is missing or isn't one of
 * 'types' (then that is the parser's error, except that an optional one may be
 * missing). */
const json_t *
parser_member(struct parser *p, const char *name, int types)
{
    const json_t *value;

    if (!p->json) {
        return NULL;
    }

    value = json_object_get(p->json, name);
    if (!value) {
        if (!(types & OP_OPTIONAL)) {
            parser_raise(p, "Required '%s' member is missing.", name);
        }
        return NULL;
    }
    if (!type_matches(value, types)) {
        parser_raise(p, "Type mismatch for member '%s'.", name);
        return NULL;
    }
    ovs_assert(p->n_used < PARSER_MAX_MEMBERS);
    p->used[p->n_used++] = name;
    return value;
}

void
parser_raise(struct parser *p, const char *format, ...)
{
    va_list args;
    char *message;

    if (p->error) {
        return;
    }
    va_start(args, format);
    message = xvasprintf(format, args);
    va_end(args);
    p->error = error_syntax(p->json, NULL, "Parsing %s failed: %s",
                            p->name, message);
    free(message);
}

static bool
is_used(const struct parser *p, const char *name)
{
    size_t i;

    for (i = 0; i < p->n_used; i++) {
        if (!strcmp(name, p->used[i])) {
            return true;
        }
    }
    return false;
}

/* The unused member that ovsdb-server would name. */
static const char *
first_unused(const struct parser *p)
{
    const char **names, *first = NULL;
    size_t n, i;

    names = json_object_names(p->json, &n);
    for (i = 0; i < n && !first; i++) {
        first = is_used(p, names[i]) ? NULL : names[i];
    }
    free(names);
    return first;
}

/* Returns the first error, or one if a member was never asked for, or NULL. */
struct error *
parser_finish(struct parser *p)
{
    if (!p->error) {
        size_t n_unused = json_object_size(p->json) - p->n_used;

        if (n_unused) {
            const char *name = first_unused(p);

            if (n_unused > 1) {
                parser_raise(p, "Member '%s' and %"PRIuSIZE" other member%s "
                             "are present but not allowed here.",
                             name, n_unused - 1, n_unused > 2 ? "s" : "");
            } else {
                parser_raise(p, "Member '%s' is present but not allowed "
                             "here.", name);
            }
        }
    }
    return p->error;
}
