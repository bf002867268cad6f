/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * test_hpack_nghttp2.c: HPACK against nghttp2's, which judges independently: random header lists
 * both ways while table sizes change, and blocks with octets changed, which both must refuse, or
 * read alike. SENNIT_HPACK_SETS says how many lists (20,000 unless told; CI runs a million, on a
 * fresh seed). Built only where the library is found. */
#include "base/limits.h"
#include "base/sys.h"
#include "h2/hpack_private.h"
#include "harness.h"
#include <nghttp2/nghttp2.h>
#include <stdlib.h>

#define FIELDS 12
#define OCTETS 512 /* of a name or value */
struct field {
    size_t name_len, value_len;
    enum hpack_index how;
    char name[OCTETS], value[OCTETS];
};
static struct field set[FIELDS];
static size_t n_set;

static uint32_t below(uint32_t n) { return test_random() % n; }
static unsigned long sets(void)
{
    const char *text = getenv("SENNIT_HPACK_SETS");
    return text ? strtoul(text, NULL, 10) : 20000;
}

/* Few names and values, so that tables are used; now and then long, or any octets. */
static size_t random_text(char *to, bool name)
{
    static const char *const names[] = { ":path", ":method",     ":status",
                                         "te",    "user-agent",  "set-cookie",
                                         "x-a",   "grpc-status", "x-long-name-that-takes-room",
                                         "b" };
    static const char *const values[] = {
        "GET", "200", "/", "", "trailers", "a", "0", "application/grpc", "/package.Service/Method"
    };
    unsigned kind = below(20);
    if (kind < 15) {
        const char *s = name ? names[below(countof(names))] : values[below(countof(values))];
        return (size_t)(stpncpy(to, s, OCTETS) - to);
    }
    size_t n = kind < 19 ? below(20) : below(OCTETS);
    for (size_t i = 0; i < n; i++)
        to[i] = kind == 15 ? (char)test_random() : "etaoin-shrdlu0129"[below(17)];
    if (name && n == 0)
        to[n++] = 'x'; /* nghttp2's deflater is not made for empty names */
    return n;
}
static void random_set(void)
{
    n_set = 1 + below(FIELDS);
    for (size_t i = 0; i < n_set; i++) {
        struct field *f = &set[i];
        f->name_len = random_text(f->name, true);
        f->value_len = random_text(f->value, false);
        f->how = below(4) ? HPACK_INDEX : below(2) ? HPACK_PLAIN : HPACK_NEVER;
    }
}

static void check_field(size_t i, const void *name, size_t name_len, const void *value,
                        size_t value_len)
{
    check(i < n_set && set[i].name_len == name_len && set[i].value_len == value_len);
    check(memcmp(set[i].name, name, name_len) == 0);
    check(memcmp(set[i].value, value, value_len) == 0);
}

static uint8_t block[FIELDS * (2 * OCTETS + 64)];

/* -- ours to theirs --------------------------------------------------------------------------- */

static size_t our_block(struct hpack_encoder *e)
{
    uint8_t *p = block;
    for (size_t i = 0; i < n_set; i++)
        p = hpack_encode(e, p, i == 0, set[i].name, set[i].name_len, set[i].value, set[i].value_len,
                         set[i].how);
    return (size_t)(p - block);
}

static void their_reading(nghttp2_hd_inflater *other, size_t n)
{
    size_t at = 0, fields = 0;
    for (int flags = 0; !(flags & NGHTTP2_HD_INFLATE_FINAL);) {
        nghttp2_nv nv;
        ssize_t used = nghttp2_hd_inflate_hd2(other, &nv, &flags, block + at, n - at, 1);
        if (used < 0)
            test_failed(__FILE__, __LINE__, "nghttp2: %s", nghttp2_strerror((int)used));
        at += (size_t)used;
        if (flags & NGHTTP2_HD_INFLATE_EMIT) {
            check_field(fields, nv.name, nv.namelen, nv.value, nv.valuelen);
            bool never = nv.flags & NGHTTP2_NV_FLAG_NO_INDEX;
            check_int(never, set[fields++].how == HPACK_NEVER);
        }
    }
    check_int(fields, n_set);
    nghttp2_hd_inflate_end_headers(other);
}

TEST_WITH(nghttp2_reads_what_our_encoder_writes, 600, false)
{
    struct hpack_encoder *e = hpack_encoder_new();
    nghttp2_hd_inflater *other;
    check_int(nghttp2_hd_inflate_new(&other), 0);
    for (unsigned long i = sets(); i; i--) {
        for (uint32_t k = below(40) == 0 ? 1 + below(2) : 0; k; k--) {
            uint32_t size = below(2) ? below(300) : below(10000);
            check_int(nghttp2_hd_inflate_change_table_size(other, size), 0);
            hpack_encoder_resize(e, size);
        }
        random_set();
        their_reading(other, our_block(e));
        size_t larger = below(4) ? 0 : hpack_encoder_wants(e);
        if (larger)
            sys.free(hpack_encoder_grow(e, sys.malloc(larger), larger));
    }
    nghttp2_hd_inflate_del(other);
    hpack_encoder_free(e);
}

/* -- theirs to ours --------------------------------------------------------------------------- */

static size_t their_block(nghttp2_hd_deflater *other)
{
    nghttp2_nv nv[FIELDS];
    for (size_t i = 0; i < n_set; i++)
        nv[i] = (nghttp2_nv){ (uint8_t *)set[i].name, (uint8_t *)set[i].value, set[i].name_len,
                              set[i].value_len,
                              set[i].how == HPACK_NEVER ? NGHTTP2_NV_FLAG_NO_INDEX : 0 };
    ssize_t n = nghttp2_hd_deflate_hd(other, block, sizeof block, nv, n_set);
    check(n >= 0);
    return (size_t)n;
}

TEST_WITH(our_decoder_reads_what_nghttp2_writes, 600, false)
{
    struct hpack_decoder *d = hpack_decoder_new(LIMIT_HPACK_TABLE);
    nghttp2_hd_deflater *other;
    check_int(nghttp2_hd_deflate_new(&other, LIMIT_HPACK_TABLE), 0);
    for (unsigned long i = sets(); i; i--) {
        for (uint32_t k = below(40) == 0 ? 1 + below(2) : 0; k; k--)
            check_int(nghttp2_hd_deflate_change_table_size(
                          other, below(2) ? below(300) : below(LIMIT_HPACK_TABLE + 1)),
                      0);
        random_set();
        const struct h2_field *f;
        size_t n = their_block(other), n_fields;
        check_int(hpack_decode(d, block, n, SIZE_MAX, &f, &n_fields), HPACK_OK);
        check_int(n_fields, n_set);
        for (size_t k = 0; k < n_fields; k++)
            check_field(k, f[k].name, f[k].name_len, f[k].value, f[k].value_len);
    }
    nghttp2_hd_deflate_del(other);
    hpack_decoder_free(d);
}

/* -- octets changed --------------------------------------------------------------------------- */

/* What nghttp2 makes of the block: fields into set, or an error. */
static bool their_verdict(nghttp2_hd_inflater *other, size_t n)
{
    size_t at = 0;
    n_set = 0;
    for (int flags = 0; !(flags & NGHTTP2_HD_INFLATE_FINAL);) {
        nghttp2_nv nv;
        ssize_t used = nghttp2_hd_inflate_hd2(other, &nv, &flags, block + at, n - at, 1);
        if (used < 0)
            return false;
        at += (size_t)used;
        if (flags & NGHTTP2_HD_INFLATE_EMIT) {
            check(n_set < FIELDS && nv.namelen <= OCTETS && nv.valuelen <= OCTETS);
            memcpy(set[n_set].name, nv.name, set[n_set].name_len = nv.namelen);
            memcpy(set[n_set].value, nv.value, set[n_set].value_len = nv.valuelen);
            n_set++;
        }
    }
    nghttp2_hd_inflate_end_headers(other);
    return true;
}

/* Short blocks of short fields, so that a change cannot make more than FIELDS of them. */
static size_t changed_block(void)
{
    size_t n = 0;
    for (int i = (int)below(4); i >= 0; i--) {
        static const uint8_t first[] = { 0x82, 0xbe, 0xbf, 0xc0, 0x40, 0x00, 0x10, 0x44,
                                         0x0f, 0x7e, 0x20, 0x3f, 0x61, 0x5f, 0x1f, 0xff };
        block[n++] = below(4) ? first[below(countof(first))] : (uint8_t)test_random();
        for (uint32_t k = below(3); k; k--) { /* strings, plain and Huffman, mostly whole */
            size_t len = below(4);
            block[n++] = (uint8_t)(len | (below(2) ? 0x80 : 0));
            for (; len; len--)
                block[n++] = below(3) ? (uint8_t) "\x1c\x64\xff\x07\xf8\x61\x30"[below(7)]
                                      : (uint8_t)test_random();
        }
    }
    return min_size(n, FIELDS);
}

TEST_WITH(blocks_with_wrong_octets_are_judged_alike, 600, false)
{
    unsigned long good = 0, bad = 0;
    for (unsigned long i = sets(); i;) {
        struct hpack_decoder *d = hpack_decoder_new(LIMIT_HPACK_TABLE);
        nghttp2_hd_inflater *other;
        check_int(nghttp2_hd_inflate_new(&other), 0);
        bool fine = true;
        for (int k = 0; fine && i; k++, i--) {
            const struct h2_field *f;
            size_t n = changed_block(), n_fields;
            fine = their_verdict(other, n);
            int r = hpack_decode(d, block, n, SIZE_MAX, &f, &n_fields);
            if (fine != (r == HPACK_OK)) {
                for (size_t x = 0; x < n; x++)
                    fprintf(stderr, "%02x ", block[x]);
                test_failed(__FILE__, __LINE__, "nghttp2 says %d, we %d", fine, r);
            }
            *(fine ? &good : &bad) += 1;
            if (!fine)
                break;
            check_int(n_fields, n_set);
            for (size_t x = 0; x < n_fields; x++)
                check_field(x, f[x].name, f[x].name_len, f[x].value, f[x].value_len);
        }
        nghttp2_hd_inflate_del(other);
        hpack_decoder_free(d);
        i -= i > 0 && !fine;
    }
    check(good > sets() / 100 && bad > sets() / 100); /* neither is rare */
}
