/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * compress_zlib.c: gzip (RFC 1952) and deflate (RFC 1950, as gRPC means it) by zlib, whose memory
 * comes from the `sys` table. Each message is a whole of its own: a state is made and freed for it.
 * Checksums and lengths are verified by zlib. */
#include "base/sys.h"
#include "rpc/compress.h"
#include "rt/why.h"
#include <zlib.h>

#define ZLIB_WINDOW 15
#define ZLIB_GZIP   16 /* added to the window: gzip's header and trailer */

static void *zlib_alloc(void *opaque, unsigned n, unsigned size)
{
    (void)opaque;
    return sys.calloc(n, size);
}

static void zlib_free(void *opaque, void *p)
{
    (void)opaque;
    sys.free(p);
}

static int zlib_bits(void *self) { return self ? ZLIB_WINDOW + ZLIB_GZIP : ZLIB_WINDOW; }

static sennit_err zlib_compress(void *self, sennit_arena *a, sennit_str from, sennit_str *to)
{
    z_stream z = { .zalloc = zlib_alloc, .zfree = zlib_free };
    if (deflateInit2(&z, Z_DEFAULT_COMPRESSION, Z_DEFLATED, zlib_bits(self), 8,
                     Z_DEFAULT_STRATEGY) != Z_OK)
        return sennit_no_memory;
    size_t room = deflateBound(&z, from.len);
    char *out = arena_alloc(a, room);
    z.next_in = (Bytef *)(uintptr_t)from.data, z.avail_in = (uInt)from.len;
    z.next_out = (Bytef *)out, z.avail_out = (uInt)room;
    int result = out ? deflate(&z, Z_FINISH) : Z_MEM_ERROR;
    *to = (sennit_str){ out, z.total_out };
    deflateEnd(&z);
    if (result == Z_STREAM_END)
        return NULL;
    return out ? sennit_errorf(WHY(COMPRESS), "deflate ended with %d", result) : sennit_no_memory;
}

/* Twice the room, but never for more than the limit and one octet that tells. */
static bool zlib_grow(z_stream *z, sennit_arena *a, sennit_str *to, size_t *room, size_t most)
{
    size_t more = min_size(*room * 2, most + 1);
    char *out = arena_alloc(a, more + 1);
    if (!out)
        return false;
    size_t have = (size_t)((char *)z->next_out - to->data);
    memcpy(out, to->data, have);
    to->data = out, *room = more;
    z->next_out = (Bytef *)out + have, z->avail_out = (uInt)(more - have);
    return true;
}

static sennit_err zlib_inflate(z_stream *z, sennit_arena *a, size_t most, bool members,
                               sennit_str *to)
{
    size_t room = min_size(max_size((size_t)z->avail_in * 4, 256), most + 1);
    to->data = arena_alloc(a, room + 1);
    if (!to->data)
        return sennit_no_memory;
    z->next_out = (Bytef *)(uintptr_t)to->data, z->avail_out = (uInt)room;
    for (;;) {
        int result = inflate(z, Z_NO_FLUSH);
        to->len = (size_t)((char *)z->next_out - to->data);
        if (to->len > most)
            return sennit_errorf(WHY(RECV_TOO_LARGE), "over the limit");
        if (result == Z_STREAM_END && !z->avail_in)
            return NULL;
        if (result == Z_STREAM_END && (!members || inflateReset(z) != Z_OK))
            return sennit_errorf(WHY(DECOMPRESS), "octets follow the end of the data");
        if (result == Z_MEM_ERROR)
            return sennit_no_memory;
        if (result != Z_OK && result != Z_STREAM_END && result != Z_BUF_ERROR)
            return sennit_errorf(WHY(DECOMPRESS), "%s", z->msg ? z->msg : "malformed data");
        if (z->avail_out == 0 && !zlib_grow(z, a, to, &room, most))
            return sennit_no_memory;
        if (z->avail_in == 0 && z->avail_out != 0 && result != Z_STREAM_END)
            return sennit_errorf(WHY(DECOMPRESS), "the data is cut short");
    }
}

static sennit_err zlib_decompress(void *self, sennit_arena *a, sennit_str from, size_t most,
                                  sennit_str *to)
{
    z_stream z = { .zalloc = zlib_alloc, .zfree = zlib_free };
    z.next_in = (Bytef *)(uintptr_t)from.data, z.avail_in = (uInt)from.len;
    if (inflateInit2(&z, zlib_bits(self)) != Z_OK)
        return sennit_no_memory;
    sennit_err err = zlib_inflate(&z, a, most, self != NULL, to);
    inflateEnd(&z);
    return err;
}

static char zlib_is_gzip; /* self of that one */
const sennit_compressor compress_gzip = {
    .name = "gzip", .self = &zlib_is_gzip, .compress = zlib_compress, .decompress = zlib_decompress
};
const sennit_compressor compress_deflate = { .name = "deflate",
                                             .compress = zlib_compress,
                                             .decompress = zlib_decompress };
