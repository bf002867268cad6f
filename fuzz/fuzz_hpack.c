/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * fuzz_hpack.c: header blocks of any octets. The input is a run of blocks, each behind its length;
 * what decodes is encoded by our encoder and decoded again, and must come back the same. Decoding
 * stays within its limits whatever comes. */
#include "base/limits.h"
#include "base/sys.h"
#include "fuzz.h"
#include "h2/hpack_private.h"

#define ROOM (64 * 1024)

struct codec {
    struct hpack_decoder *in, *back;
    struct hpack_encoder *out;
};

static void round_trip(struct codec *c, const struct h2_field *f, size_t n)
{
    static uint8_t block[ROOM];
    uint8_t *p = block;
    const struct h2_field *g;
    size_t n_back;
    for (size_t i = 0; i < n; i++) {
        demand((size_t)(p - block) + hpack_encode_bound(f[i].name_len, f[i].value_len) < ROOM);
        enum hpack_index how = f[i].flags & H2_FIELD_NEVER ? HPACK_NEVER
                               : f[i].value_len % 2        ? HPACK_INDEX
                                                           : HPACK_PLAIN;
        p = hpack_encode(c->out, p, i == 0, f[i].name, f[i].name_len, f[i].value, f[i].value_len,
                         how);
    }
    size_t larger = hpack_encoder_wants(c->out);
    if (larger)
        sys.free(hpack_encoder_grow(c->out, sys.malloc(larger), larger));
    demand(hpack_decode(c->back, block, (size_t)(p - block), LIMIT_HEADER_LIST, &g, &n_back) ==
           HPACK_OK);
    demand(n_back == n);
    for (size_t i = 0; i < n; i++) {
        demand(f[i].name_len == g[i].name_len && f[i].value_len == g[i].value_len);
        demand(memcmp(f[i].name, g[i].name, f[i].name_len) == 0);
        demand(memcmp(f[i].value, g[i].value, f[i].value_len) == 0);
        demand(f[i].token == g[i].token && f[i].flags == g[i].flags);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
    const uint8_t *end = p + n;
    struct codec c = { hpack_decoder_new(LIMIT_HPACK_TABLE), hpack_decoder_new(LIMIT_HPACK_TABLE),
                       hpack_encoder_new() };
    demand(c.in && c.back && c.out);
    while (end - p > 2) {
        const struct h2_field *f;
        size_t n_fields, len = min_size((size_t)(p[0] << 8 | p[1]), (size_t)(end - p) - 2);
        p += 2;
        int r = hpack_decode(c.in, p, len, LIMIT_HEADER_LIST, &f, &n_fields);
        demand(n_fields <= LIMIT_HEADER_FIELDS);
        if (r != HPACK_OK && r != HPACK_TOO_LARGE)
            break;
        if (len % 7 == 0)
            hpack_encoder_resize(c.out, (uint32_t)(len * 3 % 5000));
        if (n_fields && len % 7 == 0) /* back's limit is 4096: larger tables are not for it */
            hpack_encoder_resize(c.out, LIMIT_HPACK_TABLE);
        if (n_fields)
            round_trip(&c, f, n_fields);
        p += len;
    }
    hpack_decoder_free(c.in);
    hpack_decoder_free(c.back);
    hpack_encoder_free(c.out);
    return 0;
}
