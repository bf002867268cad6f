/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * compress.c: the registry of compressors, and messages through them. The list only grows and each
 * length has its accept text, so readers need no lock: they see one length or the next. */
#include "rpc/compress.h"
#include "base/limits.h"
#include "base/lock.h"
#include "rpc/codec.h"
#include "rt/why.h"
#include <stdio.h>

#define COMPRESS_ACCEPT 192 /* octets of one accept text */

static struct {
    struct lock lock; /* of who registers */
    _Atomic size_t n;
    sennit_compressor list[LIMIT_COMPRESSORS];
    char accept[LIMIT_COMPRESSORS + 1][COMPRESS_ACCEPT];
} compress;

_Atomic(const char *) compress_accepts;

static size_t compress_count(void)
{
    return atomic_load_explicit(&compress.n, memory_order_acquire);
}

/* Locked. False: no room. */
static bool compress_append(const sennit_compressor *c)
{
    size_t n = atomic_load_explicit(&compress.n, memory_order_relaxed);
    const char *before = n ? compress.accept[n] : "identity";
    if (n == countof(compress.list) ||
        strlen(before) + strlen(c->name) + 2 > sizeof compress.accept[0])
        return false;
    compress.list[n] = *c;
    char *to = compress.accept[n + 1];
    size_t len = strlen(before);
    memcpy(to, before, len);
    to[len] = ',';
    memcpy(to + len + 1, c->name, strlen(c->name) + 1);
    atomic_store_explicit(&compress.n, n + 1, memory_order_release);
    atomic_store_explicit(&compress_accepts, to, memory_order_release);
    return true;
}

/* Our own come first. */
static void compress_start(void)
{
    if (likely(compress_count()))
        return;
    lock_take(&compress.lock, LOCK_PRIM);
    if (!compress_count()) {
        compress_append(&compress_deflate);
        compress_append(&compress_gzip);
    }
    lock_drop(&compress.lock, LOCK_PRIM);
}

const sennit_compressor *compress_find(const char *name, size_t len)
{
    compress_start();
    for (size_t i = 0, n = compress_count(); i < n; i++) {
        if (strlen(compress.list[i].name) == len && memcmp(compress.list[i].name, name, len) == 0)
            return &compress.list[i];
    }
    return NULL;
}

bool compress_is_identity(const char *name)
{
    return !name || !*name || strcmp(name, "identity") == 0;
}

const char *compress_accept_first(void)
{
    compress_start();
    return atomic_load_explicit(&compress_accepts, memory_order_acquire);
}

bool compress_listed(const char *list, const char *name)
{
    size_t len = strlen(name);
    while (list && *list) {
        list += strspn(list, " \t,");
        size_t n = strcspn(list, " \t,;");
        if (n == len && memcmp(list, name, n) == 0)
            return true;
        list += n;
        list += strcspn(list, ",");
    }
    return false;
}

static bool compress_good_name(const char *s)
{
    if (!*s || strcmp(s, "identity") == 0)
        return false;
    for (; *s; s++) {
        bool fine = (*s >= 'a' && *s <= 'z') || (*s >= '0' && *s <= '9') || *s == '-' || *s == '_';
        if (!fine)
            return false;
    }
    return true;
}

sennit_err sennit_compressor_register_sized(const sennit_compressor *c, size_t size)
{
    sennit_compressor all = { .name = NULL };
    memcpy(&all, c, min_size(size, sizeof all));
    if (!all.name || !all.compress || !all.decompress || !compress_good_name(all.name))
        return sennit_errorf(WHY(COMPRESSOR_BAD),
                             "sennit_compressor_register: a compressor has a name of a-z 0-9 - _ "
                             "(not \"identity\") and both functions");
    if (compress_named(all.name))
        return sennit_errorf(WHY(COMPRESSOR_TWICE), "a compressor \"%s\" is registered", all.name);
    lock_take(&compress.lock, LOCK_PRIM);
    bool done = compress_append(&all);
    lock_drop(&compress.lock, LOCK_PRIM);
    return done ? NULL
                : sennit_errorf(WHY_AS(WHY(COMPRESSOR_BAD), SENNIT_RESOURCE_EXHAUSTED),
                                "no room for one more compressor");
}

/* -- messages --------------------------------------------------------------------------------- */

sennit_err compress_framed(const sennit_compressor *c, struct sennit_arena *a, sennit_str *framed)
{
    sennit_str plain = { framed->data + CODEC_PREFIX, framed->len - CODEC_PREFIX }, packed;
    if (!c || !plain.len)
        return NULL;
    sennit_err err = c->compress(c->self, a, plain, &packed);
    if (err)
        return sennit_errorf(WHY(COMPRESS), "grpc: error while compressing with %s: %s", c->name,
                             err->message);
    uint8_t *to = packed.len <= LIMIT_PB_SIZE ? arena_alloc(a, packed.len + CODEC_PREFIX) : NULL;
    if (!to)
        return sennit_no_memory;
    to[0] = 1;
    store_be32(to + 1, (uint32_t)packed.len);
    memcpy(to + CODEC_PREFIX, packed.data, packed.len);
    *framed = (sennit_str){ (const char *)to, packed.len + CODEC_PREFIX };
    return NULL;
}

sennit_err compress_open(const sennit_compressor *c, const char *encoding, struct sennit_arena *a,
                         size_t most, char **body, size_t *len, const char *what)
{
    sennit_str plain;
    if (!c)
        return sennit_errorf(WHY(ENCODING),
                             "grpc: Decompressor is not installed for grpc-encoding \"%s\"",
                             encoding ? encoding : "");
    if (!*len)
        return NULL; /* as grpc-go sends empty messages */
    sennit_err err = c->decompress(c->self, a, (sennit_str){ *body, *len }, most, &plain);
    if (!err && plain.len > most)
        err = sennit_errorf(WHY(RECV_TOO_LARGE), "over the limit");
    if (err && err->code == SENNIT_RESOURCE_EXHAUSTED && err != sennit_no_memory)
        return sennit_errorf(WHY(RECV_TOO_LARGE),
                             "grpc: received message after decompression larger than max %zu",
                             most);
    if (err)
        return sennit_errorf(err == sennit_no_memory ? WHY(NO_MEMORY) : WHY(DECOMPRESS),
                             "grpc: failed to decompress the %s (%s, %zu octets): %s", what,
                             c->name, *len, err->message);
    *body = (char *)(uintptr_t)plain.data;
    *len = plain.len;
    return NULL;
}
