/* Reading plain JSON fast.
 *
 * jansson takes its input byte by byte through a callback, which would be the
 * largest part of what a small transaction costs.  This reader knows only the
 * forms that nearly every text consists of: strings without escapes, integers
 * that surely fit, names that aren't long.  It declines whatever else a text
 * has, right or wrong, and jansson then has the last word. */
#include <config.h>
#include "mgmt/db/json.h"

#include <string.h>

/* Digits that fit into 64 bits whatever they are. */
#define SAFE_DIGITS 18

/* The longest name of a member that isn't declined. */
#define NAME_MAX_LENGTH 127

struct reader {
    const char *p, *end;        /* What is left. */
    unsigned int depth;         /* Open objects and arrays. */
};

static json_t *read_value(struct reader *);

static void
skip_space(struct reader *r)
{
    while (r->p < r->end && (*r->p == ' ' || *r->p == '\n' || *r->p == '\t'
                             || *r->p == '\r')) {
        r->p++;
    }
}

/* Skips space, 'c' and more space, or returns false. */
static bool
skip_char(struct reader *r, char c)
{
    skip_space(r);
    if (r->p == r->end || *r->p != c) {
        return false;
    }
    r->p++;
    skip_space(r);
    return true;
}

/* Finds the end of a string that begins at r->p and goes behind it.  Returns
 * its contents and their number, or NULL.  Sets '*ascii'. */
static const char *
read_text(struct reader *r, size_t *n, bool *ascii)
{
    const char *start = r->p + 1;
    unsigned char all = 0;
    const char *p;

    if (r->p == r->end || *r->p != '"') {
        return NULL;
    }
    for (p = start; p < r->end && *p != '"'; p++) {
        if (*p == '\\' || (unsigned char) *p < 0x20) {
            return NULL;
        }
        all |= *p;
    }
    if (p == r->end) {
        return NULL;
    }
    r->p = p + 1;
    *n = p - start;
    *ascii = all < 0x80;
    return start;
}

static json_t *
read_string(struct reader *r)
{
    bool ascii;
    size_t n;
    const char *s = read_text(r, &n, &ascii);

    return !s ? NULL : ascii ? json_stringn_nocheck(s, n) : json_stringn(s, n);
}

static json_t *
read_integer(struct reader *r)
{
    bool negative = *r->p == '-';
    const char *start = r->p += negative;
    int64_t x = 0;

    while (r->p < r->end && *r->p >= '0' && *r->p <= '9'
           && r->p - start < SAFE_DIGITS) {
        x = 10 * x + (*r->p++ - '0');
    }
    if (r->p == start || r->p == r->end
        || (*start == '0' && r->p - start > 1)
        || !memchr(",]} \n\t\r", *r->p, 7)) {
        return NULL;
    }
    return json_integer(negative ? -x : x);
}

static json_t *
read_literal(struct reader *r, const char *name, json_t *value)
{
    size_t n = strlen(name);

    if ((size_t) (r->end - r->p) < n || memcmp(r->p, name, n)) {
        return NULL;
    }
    r->p += n;
    return value;
}

/* Reads an element and adds it to 'array'. */
static bool
read_element(struct reader *r, json_t *array)
{
    return !json_array_append_new(array, read_value(r));
}

/* Reads a member and adds it to 'object'. */
static bool
read_member(struct reader *r, json_t *object)
{
    char name[NAME_MAX_LENGTH + 1];
    bool ascii;
    size_t n;
    const char *s = read_text(r, &n, &ascii);

    if (!s || !ascii || n > NAME_MAX_LENGTH || !skip_char(r, ':')) {
        return false;
    }
    memcpy(name, s, n);
    name[n] = '\0';
    return !json_object_set_new_nocheck(object, name, read_value(r));
}

/* Reads what 'read_part' adds to 'whole', an object or array, up to 'close'.
 * Frees 'whole' if that fails. */
static json_t *
read_composite(struct reader *r, json_t *whole, char close,
               bool (*read_part)(struct reader *, json_t *))
{
    bool ok = ++r->depth <= JSON_DEPTH_MAX;

    r->p++;
    skip_space(r);
    if (ok && !skip_char(r, close)) {
        do {
            ok = read_part(r, whole);
        } while (ok && skip_char(r, ','));
        ok = ok && skip_char(r, close);
    }
    r->depth--;
    if (!ok) {
        json_decref(whole);
        return NULL;
    }
    return whole;
}

static json_t *
read_value(struct reader *r)
{
    if (r->p == r->end) {
        return NULL;
    }
    switch (*r->p) {
    case '{': return read_composite(r, json_object(), '}', read_member);
    case '[': return read_composite(r, json_array(), ']', read_element);
    case '"': return read_string(r);
    case 't': return read_literal(r, "true", json_true());
    case 'f': return read_literal(r, "false", json_false());
    case 'n': return read_literal(r, "null", json_null());
    default: return read_integer(r);
    }
}

/* Reads an object or array from the 'size' bytes at 'text', with nothing but
 * space around it.  Returns NULL if this is more than it knows. */
json_t *
json_read_plain(const char *text, size_t size)
{
    struct reader r = { .p = text, .end = text + size };
    json_t *json;

    skip_space(&r);
    if (r.p == r.end || (*r.p != '{' && *r.p != '[')) {
        return NULL;
    }
    json = read_value(&r);
    if (r.p != r.end) {
        json_decref(json);
        return NULL;
    }
    return json;
}
