/* JSON for the database server: reading with jansson, writing as text.
 *
 * What comes in is parsed into jansson values, because requests are examined
 * member by member.  What goes out (rows, updates, replies, errors) is written
 * straight into a text buffer: an update of a thousand rows never exists as a
 * tree of values.
 *
 * Objects are written with their members in sorted order wherever ours is the
 * choice, so that equal things have equal texts. */
#ifndef SLUICE_DB_JSON_H
#define SLUICE_DB_JSON_H 1

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "compiler.h"
#include "openvswitch/dynamic-string.h"

/* Most levels of objects and arrays in a message. */
#define JSON_DEPTH_MAX 1000

/* Each appends JSON text to 'ds'. */
void json_put_string(struct ds *, const char *);
void json_put_real(struct ds *, double);
void json_put(struct ds *, const json_t *);
char *json_to_text(const json_t *);
bool json_is_exact_integer(const json_t *, int64_t *);
bool json_same(const json_t *, const json_t *);
const char **json_object_names(const json_t *, size_t *n);
uint32_t json_hash_value(const json_t *, uint32_t basis);

/* Parses a whole text, an object or array, if that is plain enough. */
json_t *json_read_plain(const char *, size_t);

/* Has jansson take its memory from a pool. */
void json_use_pool(void);

/* Parses a whole text; on failure returns NULL and a message in '*errorp'. */
json_t *json_parse(const char *, size_t, char **errorp);

/* A sequence of JSON texts without delimiters, cut into messages as the bytes
 * arrive: each byte is looked at once, however small the pieces. */
struct json_stream {
    struct ds text;             /* The incomplete message. */
    unsigned int depth;         /* Open objects and arrays. */
    bool in_string;
    bool escaped;               /* After a backslash in a string. */
    size_t max_size;            /* Bytes that a message may have. */
};

void json_stream_init(struct json_stream *, size_t max_size);
void json_stream_destroy(struct json_stream *);
size_t json_stream_feed(struct json_stream *, const char *, size_t,
                        json_t **messagep, char **errorp);

/* An error as RFC 7047 has it, with ovsdb-server's extra members. */
struct error {
    const char *tag;            /* "error": what kind, a constant. */
    char *details;              /* "details" or NULL. */
    char *syntax;               /* "syntax": the offending JSON, or NULL. */
    int errno_;                 /* "io-error", 0 if none. */
};

struct error *error_new(const char *tag, const char *details, ...)
    OVS_PRINTF_FORMAT(2, 3);
struct error *error_syntax(const json_t *, const char *tag,
                           const char *details, ...) OVS_PRINTF_FORMAT(3, 4);
struct error *error_io(int errno_, const char *details, ...)
    OVS_PRINTF_FORMAT(2, 3);
struct error *error_wrap(struct error *, const char *details, ...)
    OVS_PRINTF_FORMAT(2, 3);
struct error *error_clone(const struct error *);
void error_destroy(struct error *);
void error_put(struct ds *, const struct error *);
char *error_to_string(const struct error *);
char *error_to_string_free(struct error *);

/* Checks the members of an object: each member that is asked for counts as
 * used, and parser_finish() complains about those that weren't.  The first
 * error stays. */
enum parser_types {
    OP_NULL = 1 << JSON_NULL,
    OP_FALSE = 1 << JSON_FALSE,
    OP_TRUE = 1 << JSON_TRUE,
    OP_OBJECT = 1 << JSON_OBJECT,
    OP_ARRAY = 1 << JSON_ARRAY,
    OP_INTEGER = 1 << JSON_INTEGER,
    OP_REAL = 1 << JSON_REAL,
    OP_STRING = 1 << JSON_STRING,
    OP_BOOLEAN = OP_FALSE | OP_TRUE,
    OP_NUMBER = OP_INTEGER | OP_REAL,
    OP_ANY = 0xff,
    OP_ID = 1 << 8,             /* A string that is an <id>. */
    OP_OPTIONAL = 1 << 9
};

#define PARSER_MAX_MEMBERS 16

struct parser {
    const json_t *json;         /* The object, NULL if it is none. */
    char name[128];             /* What it is, for messages. */
    const char *used[PARSER_MAX_MEMBERS];
    size_t n_used;
    struct error *error;
};

void parser_init(struct parser *, const json_t *, const char *name, ...)
    OVS_PRINTF_FORMAT(3, 4);
const json_t *parser_member(struct parser *, const char *name, int types);
void parser_raise(struct parser *, const char *format, ...)
    OVS_PRINTF_FORMAT(2, 3);
struct error *parser_finish(struct parser *) OVS_WARN_UNUSED_RESULT;
bool string_is_id(const char *);

/* Integer value of a number that OP_INTEGER let pass. */
int64_t json_int64(const json_t *);

#endif /* mgmt/db/json.h */
