/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * json.c: see json.h. */
#include "base/json.h"

enum { JSON_AT_VALUE, JSON_AT_FIRST, JSON_AT_FIRST_KEY, JSON_AFTER, JSON_STUCK };

void json_init(struct json *j, const char *s, size_t n)
{
    *j = (struct json){ .start = s, .at = s, .end = s + n };
}

static enum json_token json_fail(struct json *j, const char *what)
{
    if (!j->error)
        j->error = what;
    j->state = JSON_STUCK;
    return JSON_ERROR;
}

static void json_space(struct json *j)
{
    while (j->at < j->end && (*j->at == ' ' || *j->at == '\n' || *j->at == '\r' || *j->at == '\t'))
        j->at++;
}

static bool json_in_object(const struct json *j)
{
    uint32_t level = j->depth - 1;
    return j->depth && j->objects[level / 64] >> (level % 64) & 1;
}

static enum json_token json_open(struct json *j, bool object)
{
    if (j->depth == LIMIT_JSON_DEPTH)
        return json_fail(j, "objects and arrays are nested too deep");
    uint64_t bit = UINT64_C(1) << (j->depth % 64), *word = &j->objects[j->depth / 64];
    *word = object ? *word | bit : *word & ~bit;
    j->depth++;
    j->at++;
    j->state = object ? JSON_AT_FIRST_KEY : JSON_AT_FIRST;
    return object ? JSON_OBJECT : JSON_ARRAY;
}

static enum json_token json_close(struct json *j)
{
    bool object = json_in_object(j);
    j->depth--;
    j->at++;
    j->state = JSON_AFTER;
    return object ? JSON_OBJECT_END : JSON_ARRAY_END;
}

static bool json_is_hex(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

/* Octets of the escape at s, behind its backslash; 0: none. */
static size_t json_escape(const char *s, const char *end)
{
    if (s == end)
        return 0;
    if (*s != 'u')
        return *s && strchr("\"\\/bfnrt", *s) ? 1 : 0;
    if (end - s < 5)
        return 0;
    for (int i = 1; i < 5; i++)
        if (!json_is_hex(s[i]))
            return 0;
    return 5;
}

static enum json_token json_string(struct json *j, enum json_token token)
{
    const char *s = ++j->at;
    j->escaped = false;
    for (; s < j->end && *s != '"'; s++) {
        if ((uint8_t)*s < 32)
            return json_fail(j, "a string has a control character in it");
        if (*s != '\\')
            continue;
        size_t n = json_escape(s + 1, j->end);
        if (!n)
            return json_fail(j, "a string has an unknown escape in it");
        j->escaped = true;
        s += n;
    }
    if (s == j->end)
        return json_fail(j, "a string has no end");
    j->text = (sennit_str){ j->at, (size_t)(s - j->at) };
    j->at = s + 1;
    j->state = JSON_AFTER;
    return token;
}

static const char *json_digits(const char *s, const char *end)
{
    while (s < end && *s >= '0' && *s <= '9')
        s++;
    return s;
}

static enum json_token json_number(struct json *j)
{
    const char *s = j->at, *end = j->end, *digits;
    s += *s == '-';
    digits = s;
    s = json_digits(s, end);
    bool good = s > digits && !(*digits == '0' && s > digits + 1);
    if (good && s < end && *s == '.') {
        digits = ++s;
        s = json_digits(s, end);
        good = s > digits;
    }
    if (good && s < end && (*s == 'e' || *s == 'E')) {
        s++;
        s += s < end && (*s == '+' || *s == '-');
        digits = s;
        s = json_digits(s, end);
        good = s > digits;
    }
    if (!good)
        return json_fail(j, "a number is malformed");
    j->text = (sennit_str){ j->at, (size_t)(s - j->at) };
    j->at = s;
    j->state = JSON_AFTER;
    return JSON_NUMBER;
}

static enum json_token json_word(struct json *j, const char *word, enum json_token token)
{
    size_t n = strlen(word);
    if ((size_t)(j->end - j->at) < n || memcmp(j->at, word, n) != 0)
        return json_fail(j, "a value is expected");
    j->at += n;
    j->state = JSON_AFTER;
    return token;
}

static enum json_token json_value(struct json *j)
{
    switch (*j->at) {
    case '{':
        return json_open(j, true);
    case '[':
        return json_open(j, false);
    case '"':
        return json_string(j, JSON_STRING);
    case 't':
        return json_word(j, "true", JSON_TRUE);
    case 'f':
        return json_word(j, "false", JSON_FALSE);
    case 'n':
        return json_word(j, "null", JSON_NULL);
    default:
        if (*j->at == '-' || (*j->at >= '0' && *j->at <= '9'))
            return json_number(j);
        return json_fail(j, "a value is expected");
    }
}

static enum json_token json_key(struct json *j)
{
    if (*j->at != '"')
        return json_fail(j, "a name in quotes is expected");
    enum json_token token = json_string(j, JSON_KEY);
    if (token != JSON_KEY)
        return token;
    json_space(j);
    if (j->at == j->end || *j->at != ':')
        return json_fail(j, "':' is expected");
    j->at++;
    j->state = JSON_AT_VALUE;
    return JSON_KEY;
}

enum json_token json_next(struct json *j)
{
    if (j->state == JSON_STUCK)
        return JSON_ERROR;
    json_space(j);
    if (j->state == JSON_AFTER && j->depth == 0)
        return j->at == j->end ? JSON_END : json_fail(j, "there is more behind the value");
    if (j->at == j->end)
        return json_fail(j, "the text ends too early");
    bool object = json_in_object(j);
    char c = *j->at;
    switch (j->state) {
    case JSON_AT_FIRST:
        return c == ']' ? json_close(j) : json_value(j);
    case JSON_AT_FIRST_KEY:
        return c == '}' ? json_close(j) : json_key(j);
    case JSON_AFTER:
        if (c == (object ? '}' : ']'))
            return json_close(j);
        if (c != ',')
            return json_fail(j, object ? "',' or '}' is expected" : "',' or ']' is expected");
        j->at++;
        json_space(j);
        if (j->at == j->end)
            return json_fail(j, "the text ends too early");
        return object ? json_key(j) : json_value(j);
    default:
        return json_value(j);
    }
}

bool json_skip(struct json *j, enum json_token first)
{
    if (first == JSON_OBJECT || first == JSON_ARRAY) {
        uint32_t outside = j->depth - 1;
        while (first != JSON_ERROR && j->depth > outside)
            first = json_next(j);
    }
    return first != JSON_ERROR;
}

static uint32_t json_hex(const char *s)
{
    uint32_t v = 0;
    for (int i = 0; i < 4; i++) {
        char c = s[i];
        v = v << 4 | (uint32_t)(c <= '9' ? c - '0' : (c | 32) - 'a' + 10);
    }
    return v;
}

static size_t json_put_utf8(char *to, uint32_t c)
{
    if (c < 0x80) {
        to[0] = (char)c;
        return 1;
    }
    if (c < 0x800) {
        to[0] = (char)(0xc0 | c >> 6), to[1] = (char)(0x80 | (c & 63));
        return 2;
    }
    if (c < 0x10000) {
        to[0] = (char)(0xe0 | c >> 12), to[1] = (char)(0x80 | (c >> 6 & 63));
        to[2] = (char)(0x80 | (c & 63));
        return 3;
    }
    to[0] = (char)(0xf0 | c >> 18), to[1] = (char)(0x80 | (c >> 12 & 63));
    to[2] = (char)(0x80 | (c >> 6 & 63)), to[3] = (char)(0x80 | (c & 63));
    return 4;
}

/* The character of the \u at s (behind the u); *s moves. UINT32_MAX: half a pair. */
static uint32_t json_unicode(const char **s, const char *end)
{
    uint32_t c = json_hex(*s);
    *s += 4;
    if (c < 0xd800 || c > 0xdfff)
        return c;
    if (c > 0xdbff || end - *s < 6 || (*s)[0] != '\\' || (*s)[1] != 'u')
        return UINT32_MAX;
    uint32_t low = json_hex(*s + 2);
    *s += 6;
    return low >= 0xdc00 && low <= 0xdfff ? 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00)
                                          : UINT32_MAX;
}

size_t json_unescape(sennit_str text, char *to)
{
    static const char from[] = "\"\\/bfnrt", plain[] = "\"\\/\b\f\n\r\t";
    const char *s = text.data, *end = s + text.len;
    char *at = to;
    while (s < end) {
        if (*s != '\\') {
            *at++ = *s++;
            continue;
        }
        s += 2;
        if (s[-1] != 'u') {
            *at++ = plain[strchr(from, s[-1]) - from];
            continue;
        }
        uint32_t c = json_unicode(&s, end);
        if (c == UINT32_MAX)
            return SIZE_MAX;
        at += json_put_utf8(at, c);
    }
    return (size_t)(at - to);
}
