/* Repair of a record's text: what ovsdb-server takes for JSON and jansson,
 * which follows RFC 8259 to the letter, doesn't:
 *
 *   - strings that are not UTF-8.  ovsdb-server doesn't look, so any client
 *     can have stored such a name or comment.  Each byte that is not part of
 *     a valid sequence is taken as ISO 8859-1, by far the likeliest origin,
 *     and becomes two bytes of UTF-8.
 *
 *   - integers beyond 64 bits, which ovsdb-server reads as reals: ".0" is
 *     put behind them.
 *
 * It is one pass over the text that looks at no more of JSON's grammar than
 * where strings and nested values begin and end; a text that isn't JSON
 * still isn't afterward. */
#include <config.h>
#include "mgmt/db/log-file.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "openvswitch/dynamic-string.h"
#include "util.h"

/* The members' names that lead to the current place, for the message:
 * {table: {row: {column: ...}}}. */
enum { N_NAMES = 3 };

struct scan {
    const char *p, *end;        /* What is left of the input. */
    struct ds out;
    int depth;                  /* Of nested objects and arrays. */
    struct ds names[N_NAMES];   /* Last string seen at depths 1, 2, 3. */
    bool reported;              /* Told of the current column already. */
    log_text_cb *cb;
    void *aux;
};

/* The length of the valid UTF-8 sequence at 's', in n bytes; 0 if none.  The
 * table is Unicode's "well-formed UTF-8 byte sequences": no overlong forms, no
 * surrogates, nothing beyond U+10FFFF. */
static size_t
utf8_sequence(const uint8_t *s, size_t n)
{
    static const struct {
        uint8_t first_min, first_max, second_min, second_max;
        size_t length;
    } forms[] = {
        { 0x00, 0x7f, 0x00, 0xff, 1 },
        { 0xc2, 0xdf, 0x80, 0xbf, 2 },
        { 0xe0, 0xe0, 0xa0, 0xbf, 3 },
        { 0xe1, 0xec, 0x80, 0xbf, 3 },
        { 0xed, 0xed, 0x80, 0x9f, 3 },
        { 0xee, 0xef, 0x80, 0xbf, 3 },
        { 0xf0, 0xf0, 0x90, 0xbf, 4 },
        { 0xf1, 0xf3, 0x80, 0xbf, 4 },
        { 0xf4, 0xf4, 0x80, 0x8f, 4 },
    };

    for (size_t i = 0; i < ARRAY_SIZE(forms); i++) {
        if (s[0] < forms[i].first_min || s[0] > forms[i].first_max) {
            continue;
        }
        size_t length = forms[i].length;
        if (length > n || (length > 1 && (s[1] < forms[i].second_min
                                          || s[1] > forms[i].second_max))) {
            return 0;
        }
        for (size_t j = 2; j < length; j++) {
            if ((s[j] & 0xc0) != 0x80) {
                return 0;
            }
        }
        return length;
    }
    return 0;
}

static void
report(struct scan *scan)
{
    if (!scan->reported && scan->cb) {
        const char *names[N_NAMES];
        for (int i = 0; i < N_NAMES; i++) {
            names[i] = i < scan->depth ? ds_cstr(&scan->names[i]) : "-";
        }
        scan->cb(names[0], names[1], names[2], scan->aux);
    }
    scan->reported = true;
}

/* Copies a string with its quotes. */
static void
copy_string(struct scan *scan)
{
    size_t start = scan->out.length + 1;
    bool bad = false;

    ds_put_char(&scan->out, *scan->p++);
    while (scan->p < scan->end && *scan->p != '"') {
        size_t n = utf8_sequence((const uint8_t *) scan->p,
                              scan->end - scan->p);
        if (*scan->p == '\\' && scan->p + 1 < scan->end) {
            /* The escaped character, if not ASCII, is none that JSON knows. */
            ds_put_char(&scan->out, *scan->p++);
            ds_put_char(&scan->out, *scan->p++);
        } else if (n) {
            ds_put_buffer(&scan->out, scan->p, n);
            scan->p += n;
        } else {
            uint8_t c = *scan->p++;
            ds_put_char(&scan->out, 0xc0 | (c >> 6));
            ds_put_char(&scan->out, 0x80 | (c & 0x3f));
            bad = true;
        }
    }

    if (scan->depth >= 1 && scan->depth <= N_NAMES) {
        const char *rest = scan->p;
        while (rest + 1 < scan->end && isspace((unsigned char) rest[1])) {
            rest++;
        }
        if (rest + 1 < scan->end && rest[1] == ':') {
            struct ds *name = &scan->names[scan->depth - 1];
            ds_clear(name);
            ds_put_buffer(name, scan->out.string + start,
                          scan->out.length - start);
            scan->reported = false;
        }
    }
    if (bad) {
        report(scan);
    }
    if (scan->p < scan->end) {
        ds_put_char(&scan->out, *scan->p++);
    }
}

/* Copies a number, or whatever else is made of such characters. */
static void
copy_number(struct scan *scan)
{
    const char *start = scan->p;
    bool integer = true;

    while (scan->p < scan->end
           && *scan->p && strchr("+-.0123456789eE", *scan->p)) {
        integer = integer && !strchr(".eE", *scan->p);
        scan->p++;
    }
    ds_put_buffer(&scan->out, start, scan->p - start);
    if (integer) {
        char *digits = xmemdup0(start, scan->p - start);
        errno = 0;
        strtoll(digits, NULL, 10);
        if (errno == ERANGE) {
            ds_put_cstr(&scan->out, ".0");
        }
        free(digits);
    }
}

/* Returns the 'length' bytes of JSON text at 'text' repaired as said at the
 * top, malloc()'d, with their number in '*new_length'.  Calls 'cb' (unless
 * NULL) once per column with strings that were not UTF-8, with the names of
 * the members that enclose it ("-" where there is none); they are valid during
 * the call. */
char *
log_text_repair(const char *text, size_t length, size_t *new_length,
                log_text_cb *cb, void *aux)
{
    struct scan scan = { .p = text, .end = text + length, .cb = cb,
                         .aux = aux };

    for (int i = 0; i < N_NAMES; i++) {
        ds_init(&scan.names[i]);
    }
    ds_init(&scan.out);
    ds_reserve(&scan.out, length + length / 16);
    while (scan.p < scan.end) {
        char c = *scan.p;

        if (c == '"') {
            copy_string(&scan);
            continue;
        } else if (c == '-' || (c >= '0' && c <= '9')) {
            copy_number(&scan);
            continue;
        } else if (c == '{' || c == '[') {
            scan.depth++;
        } else if (c == '}' || c == ']') {
            scan.depth--;
        }
        ds_put_char(&scan.out, c);
        scan.p++;
    }
    for (int i = 0; i < N_NAMES; i++) {
        ds_destroy(&scan.names[i]);
    }

    *new_length = scan.out.length;
    return ds_steal_cstr(&scan.out);
}
