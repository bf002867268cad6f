/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * hpack_echo: our decoder and encoder for another implementation to judge. Reads records from
 * stdin: the other decoder's table size (2^32-1: no news), the length of a header block, the block;
 * decodes it, encodes the fields again and writes that block behind its length. A block that does
 * not decode ends it with 1. Numbers have four octets, the most significant first. */
#include "base/limits.h"
#include "base/sys.h"
#include "h2/hpack_private.h"
#include <stdio.h>
#include <stdlib.h>

#define ROOM (1 << 20)

static uint8_t in[ROOM], out[2 * ROOM];

static bool get(uint8_t *to, size_t n) { return fread(to, 1, n, stdin) == n; }

static uint8_t *encode(struct hpack_encoder *e, uint8_t *p, const struct h2_field *f, size_t n)
{
    static const enum hpack_index how[] = { HPACK_INDEX, HPACK_PLAIN, HPACK_INDEX };
    for (size_t i = 0; i < n; i++)
        p = hpack_encode(e, p, i == 0, f[i].name, f[i].name_len, f[i].value, f[i].value_len,
                         f[i].flags & H2_FIELD_NEVER ? HPACK_NEVER : how[f[i].value_len % 3]);
    return p;
}

int main(void)
{
    struct hpack_decoder *d = hpack_decoder_new(LIMIT_HPACK_TABLE);
    struct hpack_encoder *e = hpack_encoder_new();
    uint8_t head[8];
    if (!d || !e)
        return 2;
    while (get(head, 8)) {
        const struct h2_field *f;
        uint32_t table = load_be32(head), len = load_be32(head + 4);
        size_t n;
        if (len > ROOM || !get(in, len))
            return 2;
        int r = hpack_decode(d, in, len, ROOM, &f, &n);
        if (r != HPACK_OK) {
            fprintf(stderr, "hpack_echo: a block of %u octets gives %d\n", len, r);
            return 1;
        }
        if (table != UINT32_MAX)
            hpack_encoder_resize(e, table);
        uint8_t *end = encode(e, out + 4, f, n);
        store_be32(out, (uint32_t)(end - out) - 4);
        size_t larger = hpack_encoder_wants(e);
        void *rings = larger ? sys.malloc(larger) : NULL;
        if (rings)
            sys.free(hpack_encoder_grow(e, rings, larger));
        if (fwrite(out, 1, (size_t)(end - out), stdout) != (size_t)(end - out))
            return 2;
    }
    hpack_decoder_free(d);
    hpack_encoder_free(e);
    return 0;
}
