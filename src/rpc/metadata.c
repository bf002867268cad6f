/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * metadata.c: metadata lists and their public calls. Keys are checked once, when added. */
#include "rpc/metadata.h"
#include "base/base64.h"
#include "rt/ctx.h"
#include "rt/why.h"

struct sennit_md *md_new(struct sennit_arena *a)
{
    struct sennit_md *md = arena_alloc(a, sizeof *md);
    if (md)
        *md = (struct sennit_md){ .arena = a, .list = md->first, .room = countof(md->first) };
    return md;
}

struct sennit_md *md_again(const struct sennit_md *md, struct sennit_arena *a)
{
    struct sennit_md *again = md_new(a);
    struct md_entry *list = again ? arena_alloc(a, (md->n + 2) * sizeof *list) : NULL;
    if (!list)
        return NULL;
    memcpy(list, md->list, md->n * sizeof *list);
    again->list = list, again->room = md->n + 2;
    again->n = md->n, again->size = md->size;
    return again;
}

static struct md_entry *md_slot(struct sennit_md *md)
{
    if (md->n == md->room) {
        size_t room = md->room * 2;
        struct md_entry *list = arena_alloc(md->arena, room * sizeof *list);
        if (!list)
            return NULL;
        memcpy(list, md->list, md->n * sizeof *list);
        md->list = list, md->room = room;
    }
    return &md->list[md->n];
}

bool md_append(struct sennit_md *md, const char *key, size_t key_len, const char *value, size_t len)
{
    struct md_entry *e = md_slot(md);
    if (!e)
        return false;
    char *text = len < SIZE_MAX / 2 ? arena_alloc(md->arena, key_len + len + 2) : NULL;
    if (!text)
        return false;
    memcpy(text, key, key_len);
    text[key_len] = 0;
    sennit_str v = { text + key_len + 1, len };
    if (len)
        memcpy(text + key_len + 1, value, len);
    text[key_len + 1 + len] = 0;
    *e = (struct md_entry){
        .key = text,
        .value = v,
        .key_len = (uint32_t)key_len,
        .binary = key_len > 4 && memcmp(key + key_len - 4, "-bin", 4) == 0,
    };
    md->size += key_len + (e->binary ? BASE64_ENCODED(len) : len) + 32;
    md->n++;
    return true;
}

#define MD_EACH(octet) (UINT64_C(0x0101010101010101) * (octet))
/* Eight octets at once: is one of them less than n (at most 128)? */
#define MD_LESS(word, n) ((((word)-MD_EACH(n)) & ~(word)&MD_EACH(0x80)) != 0)

/* Where value has an octet that may not stand under a key without "-bin"; len: nowhere. */
static size_t md_bad_octet(const char *value, size_t len)
{
    size_t i = 0;
    for (uint64_t w; i + 8 <= len; i += 8) { /* each request brings a user-agent */
        memcpy(&w, value + i, 8);
        if ((w & MD_EACH(0x80)) || MD_LESS(w, 0x20) || MD_LESS(w ^ MD_EACH(0x7f), 1))
            break;
    }
    while (i < len && value[i] >= 0x20 && value[i] <= 0x7e)
        i++;
    return i;
}

bool md_append_wire(struct sennit_md *md, const char *key, size_t key_len, const char *value,
                    size_t len, bool *bad)
{
    if (key_len <= 4 || memcmp(key + key_len - 4, "-bin", 4) != 0) /* gRPC has ASCII there */
        return md_bad_octet(value, len) < len || md_append(md, key, key_len, value, len);
    for (size_t start = 0; start <= len;) {
        const char *comma = memchr(value + start, ',', len - start);
        size_t end = comma ? (size_t)(comma - value) : len, n = end - start;
        while (n && value[start] == ' ')
            start++, n--;
        while (n && value[start + n - 1] == ' ')
            n--;
        char *raw = arena_alloc(md->arena, n / 4 * 3 + 3);
        if (!raw)
            return false;
        ptrdiff_t got = base64_decode(raw, value + start, n);
        if (got < 0) {
            *bad = true;
            return true;
        }
        if (!md_append(md, key, key_len, raw, (size_t)got))
            return false;
        start = end + 1;
    }
    return true;
}

/* -- public ---------------------------------------------------------------------------------- */

sennit_md *sennit_md_make(sennit_ctx *ctx)
{
    sennit_arena *a = ctx ? sennit_ctx_arena(ctx) : NULL;
    return a ? md_new(a) : NULL;
}

sennit_md *sennit_md_out(sennit_ctx *ctx)
{
    if (!ctx)
        return NULL;
    lock_take(&ctx->lock, LOCK_CTX);
    if (!ctx->slot[CTX_SLOT_MD_OUT])
        ctx->slot[CTX_SLOT_MD_OUT] = md_new(&ctx->arena);
    sennit_md *md = ctx->slot[CTX_SLOT_MD_OUT];
    lock_drop(&ctx->lock, LOCK_CTX);
    return md;
}

/* What the library sends itself, and what HTTP/2 has no place for. */
static bool md_is_http(const char *key)
{
    static const char *const names[] = { "te",
                                         "host",
                                         "content-type",
                                         "user-agent",
                                         "connection",
                                         "content-length",
                                         "keep-alive",
                                         "upgrade",
                                         "proxy-connection",
                                         "transfer-encoding" };
    for (size_t i = 0; i < countof(names); i++) {
        if (strcmp(names[i], key) == 0)
            return true;
    }
    return false;
}

static const char *md_check_key(const char *key, size_t n)
{
    if (n == 0)
        return "is empty";
    if (n >= 5 && memcmp(key, "grpc-", 5) == 0)
        return "is reserved: keys that start with \"grpc-\" belong to gRPC";
    if (md_is_http(key))
        return "is reserved: it belongs to HTTP";
    for (size_t i = 0; i < n; i++) {
        char c = key[i];
        bool fine =
            (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '-' || c == '.';
        if (!fine)
            return "may hold only 0-9 a-z _ - .";
    }
    return NULL;
}

sennit_err sennit_md_add(sennit_md *md, const char *key, sennit_str value)
{
    if (!md)
        return sennit_no_memory;
    size_t n = strlen(key);
    const char *wrong = md_check_key(key, n);
    if (wrong)
        return sennit_errorf(WHY(METADATA), "metadata key \"%s\" %s", key, wrong);
    bool binary = n > 4 && memcmp(key + n - 4, "-bin", 4) == 0;
    size_t bad = binary ? value.len : md_bad_octet(value.data, value.len);
    if (bad < value.len)
        return sennit_errorf(WHY(METADATA),
                             "metadata value of \"%s\" has octet 0x%02x at %zu: only printable "
                             "ASCII goes under a key that does not end in \"-bin\"",
                             key, (unsigned char)value.data[bad], bad);
    return md_append(md, key, n, value.data ? value.data : "", value.len) ? NULL : sennit_no_memory;
}

const sennit_str *sennit_md_get(const sennit_md *md, const char *key, size_t nth)
{
    size_t n = strlen(key);
    for (size_t i = 0; md && i < md->n; i++) {
        const struct md_entry *e = &md->list[i];
        if (e->key_len == n && memcmp(e->key, key, n) == 0 && nth-- == 0)
            return &e->value;
    }
    return NULL;
}

const sennit_str *sennit_md_at(const sennit_md *md, size_t nth, const char **key)
{
    if (!md || nth >= md->n)
        return NULL;
    if (key)
        *key = md->list[nth].key;
    return &md->list[nth].value;
}
