/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * json.h: a pull parser for JSON (RFC 8259): each call gives the next token, and the grammar is
 * checked, so that whoever pulls sees only well-formed sequences. No memory, no recursion: one bit
 * for each open level. The octets must be valid UTF-8 already; they stay the caller's. */
#ifndef SENNIT_BASE_JSON_H
#define SENNIT_BASE_JSON_H

#include "base/base.h"
#include "base/limits.h"
#include "sennit.h"

enum json_token {
    JSON_ERROR, /* `error` says what; every further call gives it again */
    JSON_END,
    JSON_OBJECT,
    JSON_OBJECT_END,
    JSON_ARRAY,
    JSON_ARRAY_END,
    JSON_KEY,
    JSON_STRING,
    JSON_NUMBER,
    JSON_TRUE,
    JSON_FALSE,
    JSON_NULL
};
struct json {
    const char *start, *at, *end;
    sennit_str text; /* of a key or string: between the quotes, escapes as they are; of a number */
    bool escaped;    /* text has escapes */
    uint8_t state;
    uint32_t depth; /* open objects and arrays */
    uint64_t objects[LIMIT_JSON_DEPTH / 64];
    const char *error;
};

void json_init(struct json *j, const char *s, size_t n);
enum json_token json_next(struct json *j);
/* Skips what `first`, the token just read, began; false: an error. */
bool json_skip(struct json *j, enum json_token first);
/* Writes the octets that text stands for, at most as many as text has; SIZE_MAX: half a surrogate
 * pair. */
size_t json_unescape(sennit_str text, char *to);

#endif
