/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * text.c: growing text, line breaking, comments and string literals for the generated code, and the
 * map behind every look-up. Everything sits in the run's arena, nothing is freed. */
#include "gen.h"

#include <stdio.h>

#define TEXT_COLUMNS 100

struct map_slot {
    sennit_str key;
    const void *value; /* NULL: free */
};

static size_t map_hash(sennit_str key)
{
    uint64_t h = 14695981039346656037ull; /* FNV-1a */
    for (size_t i = 0; i < key.len; i++)
        h = (h ^ (uint8_t)key.data[i]) * 1099511628211ull;
    return (size_t)(h ^ h >> 32);
}

static struct map_slot *map_slot(const struct map *m, sennit_str key)
{
    size_t i = map_hash(key) & (m->cap - 1);
    while (m->slots[i].value &&
           (m->slots[i].key.len != key.len || memcmp(m->slots[i].key.data, key.data, key.len) != 0))
        i = (i + 1) & (m->cap - 1);
    return &m->slots[i];
}

const void *map_get(const struct map *m, sennit_str key)
{
    return m->cap ? map_slot(m, key)->value : NULL;
}

static bool map_grow(struct map *m, struct sennit_arena *a)
{
    struct map bigger = { .n = m->n, .cap = m->cap ? m->cap * 2 : 16 };
    bigger.slots = arena_zalloc(a, bigger.cap * sizeof *bigger.slots);
    if (!bigger.slots)
        return false;
    for (size_t i = 0; i < m->cap; i++)
        if (m->slots[i].value)
            *map_slot(&bigger, m->slots[i].key) = m->slots[i];
    *m = bigger;
    return true;
}

bool map_put(struct map *m, struct sennit_arena *a, sennit_str key, const void *value)
{
    if (m->n * 2 >= m->cap && !map_grow(m, a))
        return false;
    struct map_slot *s = map_slot(m, key);
    m->n += !s->value;
    *s = (struct map_slot){ key, value };
    return true;
}

/* Room for n octets and a NUL; NULL: no memory, now or before. */
static char *text_room(struct text *t, size_t n)
{
    if (t->failed || n > GEN_MAX_INPUT) {
        t->failed = true;
        return NULL;
    }
    if (t->cap - t->len <= n) {
        size_t cap = max_size(max_size(t->cap * 2, 4096), t->len + n + 1);
        char *bigger = arena_alloc(t->a, cap);
        if (!bigger) {
            t->failed = true;
            return NULL;
        }
        if (t->len)
            memcpy(bigger, t->data, t->len);
        t->data = bigger;
        t->cap = cap;
    }
    return t->data + t->len;
}

void text_add(struct text *t, const char *s, size_t n)
{
    char *to = text_room(t, n);
    if (!to)
        return;
    if (n)
        memcpy(to, s, n);
    t->len += n;
    t->data[t->len] = 0;
}

void text_printf(struct text *t, const char *fmt, ...)
{
    va_list ap, again;
    va_start(ap, fmt);
    va_copy(again, ap);
    int n = vsnprintf(NULL, 0, fmt, ap);
    char *to = n < 0 ? NULL : text_room(t, (size_t)n);
    if (to) {
        vsnprintf(to, (size_t)n + 1, fmt, again);
        t->len += (size_t)n;
    } else {
        t->failed = true;
    }
    va_end(again);
    va_end(ap);
}

const char *gen_printf(struct gen *g, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    sennit_str s = arena_vprintf(g->a, fmt, ap);
    va_end(ap);
    if (s.data)
        return s.data;
    if (!g->error)
        g->error = "out of memory";
    return "";
}

/* One octet of a comment: the end of a comment, or the start of another one, gets a space within;
 * what is neither printable nor UTF-8 becomes '?'. (protoc does not check the UTF-8 of comments,
 * but does check ours.) */
static void text_comment_char(struct text *t, char last, char c)
{
    if ((last == '*' && c == '/') || (last == '/' && c == '*'))
        text_add(t, " ", 1);
    bool plain = (uint8_t)c >= 32 && (uint8_t)c < 127;
    text_add(t, plain ? &c : c == '\t' ? " " : "?", 1);
}

/* Octets of one UTF-8 character of more than one octet at s; 0: it is none. */
static size_t text_utf8(const char *s, size_t n)
{
    uint8_t c = (uint8_t)s[0];
    size_t len = c >= 0xc2 && c < 0xe0   ? 2
                 : c >= 0xe0 && c < 0xf0 ? 3
                 : c >= 0xf0 && c < 0xf5 ? 4
                                         : 0;
    if (!len || len > n)
        return 0;
    for (size_t i = 1; i < len; i++)
        if (((uint8_t)s[i] & 0xc0) != 0x80)
            return 0;
    uint8_t d = (uint8_t)s[1];
    bool bad = (c == 0xe0 && d < 0xa0) || (c == 0xed && d > 0x9f) || (c == 0xf0 && d < 0x90) ||
               (c == 0xf4 && d > 0x8f);
    return bad ? 0 : len;
}

static void text_comment_line(struct text *t, const char *s, size_t n)
{
    char last = 0;
    for (size_t i = 0; i < n;) {
        size_t wide = text_utf8(s + i, n - i);
        if (wide)
            text_add(t, s + i, wide);
        else
            text_comment_char(t, last, s[i]);
        last = s[i];
        i += wide ? wide : 1;
    }
}

/* Appends the lines of s, which stand inside a comment that is open; *lines counts them. */
static void text_comment_lines(struct text *t, int indent, sennit_str s, size_t *lines)
{
    while (s.len && (s.data[s.len - 1] == '\n' || s.data[s.len - 1] == ' '))
        s.len--;
    while (s.len) {
        const char *end = memchr(s.data, '\n', s.len);
        size_t n = end ? (size_t)(end - s.data) : s.len, full = n, skip = s.data[0] == ' ' && n > 0;
        while (n > skip && (s.data[n - 1] == ' ' || s.data[n - 1] == '\r'))
            n--;
        if ((*lines)++)
            text_printf(t, "\n%*s *", indent, "");
        if (n > skip)
            text_add(t, " ", 1);
        text_comment_line(t, s.data + skip, n - skip);
        s.data += full + (end != NULL);
        s.len -= full + (end != NULL);
    }
}

void text_comment(struct text *t, int indent, sennit_str leading, sennit_str trailing)
{
    struct text body = { .a = t->a };
    size_t lines = 0;
    text_comment_lines(&body, indent, leading, &lines);
    text_comment_lines(&body, indent, trailing, &lines);
    t->failed |= body.failed;
    if (!lines || body.failed)
        return;
    text_printf(t, "%*s/*", indent, "");
    text_add(t, body.data, body.len);
    if (body.len && body.data[body.len - 1] == '/')
        text_add(t, " ", 1); /* "/" and the end make no new comment, but the reader stumbles */
    text_add(t, " */\n", 4);
}

/* Appends args from column `at`, continuing each line there. */
static void text_args(struct text *t, size_t at, const char *args)
{
    size_t column = at;
    for (const char *s = args; *s;) {
        size_t n = strcspn(s, "|");
        bool last = !s[n];
        if (column > at && column + 1 + n + 1 + last > TEXT_COLUMNS) { /* last: ");" */
            text_printf(t, "\n%*s", (int)at, "");
            column = at;
        } else if (column > at) {
            text_add(t, " ", 1);
            column++;
        }
        text_add(t, s, n);
        text_add(t, last ? ")" : ",", 1);
        column += n + 1;
        s += n + !last;
    }
}

void text_signature(struct text *t, int indent, const char *head, const char *name,
                    const char *args)
{
    size_t longest = 0, all = 0;
    for (const char *s = args; *s;) {
        size_t n = strcspn(s, "|");
        longest = max_size(longest, n + 1);
        all += n + 2;
        s += n + (s[n] != 0);
    }
    size_t at = (size_t)indent + strlen(head) + strlen(name) + 1;
    if (at + all > TEXT_COLUMNS && at + longest > TEXT_COLUMNS) {
        size_t n = strlen(head);
        while (n && head[n - 1] == ' ')
            n--;
        text_printf(t, "%*s%.*s\n%*s%s(", indent, "", (int)n, head, indent, "", name);
        at = (size_t)indent + strlen(name) + 1;
    } else {
        text_printf(t, "%*s%s%s(", indent, "", head, name);
    }
    if (at + longest > TEXT_COLUMNS) {
        at = (size_t)indent + 8;
        text_printf(t, "\n%*s", (int)at, "");
    }
    text_args(t, at, args);
}

void text_literal(struct text *t, sennit_str s)
{
    text_add(t, "\"", 1);
    for (size_t i = 0; i < s.len; i++) {
        uint8_t c = (uint8_t)s.data[i];
        if (c < 32 || c >= 127 || c == '"' || c == '\\' || c == '?') /* '?': no trigraphs */
            text_printf(t, "\\%03o", c);
        else
            text_add(t, s.data + i, 1);
    }
    text_add(t, "\"", 1);
}
