/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * zstd.c: the compressor "zstd" (RFC 8878), by libzstd, whose memory is its own. Each message is a
 * frame of its own with a checksum. A peer's frame may ask for a window of 8 MiB, as the RFC wants
 * every decoder to have, and no more. */
#include "sennit.h"
#include <zstd.h>

#define ZSTD_LEVEL      3
#define ZSTD_WINDOW_LOG 23 /* 8 MiB */
#define ZSTD_FIRST_ROOM 4096

static sennit_err zstd_failed(const char *what, size_t result)
{
    return sennit_errorf(SENNIT_INTERNAL, "%s: %s", what, ZSTD_getErrorName(result));
}

static sennit_err zstd_compress(void *self, sennit_arena *a, sennit_str from, sennit_str *to)
{
    (void)self;
    size_t room = ZSTD_compressBound(from.len);
    char *out = sennit_alloc(a, room);
    ZSTD_CCtx *c = out ? ZSTD_createCCtx() : NULL;
    if (!c)
        return sennit_no_memory;
    ZSTD_CCtx_setParameter(c, ZSTD_c_compressionLevel, ZSTD_LEVEL);
    ZSTD_CCtx_setParameter(c, ZSTD_c_checksumFlag, 1);
    size_t n = ZSTD_compress2(c, out, room, from.data, from.len);
    ZSTD_freeCCtx(c);
    if (ZSTD_isError(n))
        return zstd_failed("compress", n);
    *to = (sennit_str){ out, n };
    return NULL;
}

static size_t zstd_least(size_t a, size_t b) { return a < b ? a : b; }

/* The frames of from, one after the other, into a buffer that doubles up to most + 1 octets. */
static sennit_err zstd_inflate(ZSTD_DCtx *d, sennit_arena *a, sennit_str from, size_t most,
                               sennit_str *to)
{
    size_t room = zstd_least(ZSTD_FIRST_ROOM, most + 1);
    ZSTD_inBuffer in = { from.data, from.len, 0 };
    ZSTD_outBuffer out = { sennit_alloc(a, room + 1), room, 0 };
    while (out.dst) {
        size_t before = in.pos, had = out.pos;
        size_t left = ZSTD_decompressStream(d, &out, &in);
        if (ZSTD_isError(left))
            return zstd_failed("decompress", left);
        if (out.pos > most)
            return sennit_errorf(SENNIT_RESOURCE_EXHAUSTED, "over the limit");
        *to = (sennit_str){ out.dst, out.pos };
        if (left == 0 && in.pos == in.size)
            return NULL;
        if (out.pos < out.size) {
            if (in.pos == in.size || (in.pos == before && out.pos == had))
                return sennit_errorf(SENNIT_INTERNAL, "the data is cut short");
            continue;
        }
        room = zstd_least(room * 2, most + 1);
        char *more = sennit_alloc(a, room + 1);
        if (more)
            memcpy(more, out.dst, out.pos);
        out.dst = more, out.size = room;
    }
    return sennit_no_memory;
}

static sennit_err zstd_decompress(void *self, sennit_arena *a, sennit_str from, size_t most,
                                  sennit_str *to)
{
    (void)self;
    ZSTD_DCtx *d = ZSTD_createDCtx();
    if (!d)
        return sennit_no_memory;
    ZSTD_DCtx_setParameter(d, ZSTD_d_windowLogMax, ZSTD_WINDOW_LOG);
    sennit_err err = zstd_inflate(d, a, from, most, to);
    ZSTD_freeDCtx(d);
    return err;
}

sennit_err sennit_zstd_register(void)
{
    static const sennit_compressor zstd = { .name = "zstd",
                                            .compress = zstd_compress,
                                            .decompress = zstd_decompress };
    return sennit_compressor_register(&zstd);
}
