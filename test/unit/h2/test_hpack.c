/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * test_hpack.c: RFC 7541 by its own examples (appendix C), integers and Huffman exhaustively for
 * what is short, and the encoder's table against the decoder's. Other implementations judge in
 * test_hpack_nghttp2.c and test/interop/run_hpack. */
#include "base/limits.h"
#include "base/sys.h"
#include "h2/hpack_private.h"
#include "harness.h"
#include <stdlib.h>

static size_t from_hex(uint8_t *to, const char *hex)
{
    size_t n = 0;
    for (; *hex; hex += 2) {
        unsigned v;
        if (*hex == ' ')
            hex++;
        check_int(sscanf(hex, "%2x", &v), 1);
        to[n++] = (uint8_t)v;
    }
    return n;
}

static char list[4096];
static const char *decode(struct hpack_decoder *d, const uint8_t *p, size_t n)
{
    const struct h2_field *f;
    size_t n_fields, at = 0;
    uint8_t *copy = malloc(n ? n : 1); /* of exactly that size: reading on is seen */
    check(copy);
    memcpy(copy, p, n);
    int r = hpack_decode(d, copy, n, 16384, &f, &n_fields);
    list[0] = 0;
    for (size_t i = 0; i < n_fields; i++)
        at += (size_t)snprintf(list + at, sizeof list - at, "%s%.*s: %.*s", i ? "\n" : "",
                               (int)f[i].name_len, f[i].name, (int)f[i].value_len, f[i].value);
    free(copy);
    return r == HPACK_OK                  ? list
           : r == HPACK_COMPRESSION_ERROR ? "error"
           : r == HPACK_TOO_LARGE         ? "too large"
                                          : "?";
}
static const char *decode_hex(struct hpack_decoder *d, const char *hex)
{
    uint8_t block[512];
    return decode(d, block, from_hex(block, hex));
}

/* -- appendix C ------------------------------------------------------------------------------- */

static void check_int_coding(unsigned bits, uint32_t value, const char *hex)
{
    uint8_t want[16], got[16];
    size_t n = from_hex(want, hex);
    uint32_t v;
    check_int(hpack_int_encode(got, 0, bits, value) - got, n);
    check(memcmp(got, want, n) == 0);
    check(hpack_int_decode(want, want + n, bits, &v) == want + n);
    check_int(v, value);
}

TEST(examples_of_integers)
{
    check_int_coding(5, 10, "0a");
    check_int_coding(5, 1337, "1f9a0a");
    check_int_coding(8, 42, "2a");
}

TEST(examples_of_single_fields)
{
    static const char *const cases[][2] = {
        { "400a 6375 7374 6f6d 2d6b 6579 0d63 7573 746f 6d2d 6865 6164 6572",
          "custom-key: custom-header" },
        { "040c 2f73 616d 706c 652f 7061 7468", ":path: /sample/path" },
        { "1008 7061 7373 776f 7264 0673 6563 7265 74", "password: secret" },
        { "82", ":method: GET" },
    };
    for (size_t i = 0; i < countof(cases); i++) {
        struct hpack_decoder *d = hpack_decoder_new(4096);
        check_str(decode_hex(d, cases[i][0]), cases[i][1]);
        check_str(decode_hex(d, "be"), i == 0 ? cases[0][1] : "error"); /* only C.2.1 is kept */
        hpack_decoder_free(d);
    }
}

struct example {
    const char *hex, *fields;
};
#define DATE         "date: Mon, 21 Oct 2013 20:13:2"
#define WWW          ":authority: www.example.com"
#define GET_(scheme) ":method: GET\n:scheme: " scheme "\n:path: "
static const char first_response[] =
    ":status: 302\ncache-control: private\n" DATE "1 GMT\nlocation: https://www.example.com";
static const char second_response[] =
    ":status: 307\ncache-control: private\n" DATE "1 GMT\nlocation: https://www.example.com";
static const char third_response[] =
    ":status: 200\ncache-control: private\n" DATE "2 GMT\nlocation: https://www.example.com\n"
    "content-encoding: gzip\n"
    "set-cookie: foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1";

/* Three blocks, then the table: its entries by index, and the first index beyond. */
static void check_examples(uint32_t table, const struct example *e)
{
    struct hpack_decoder *d = hpack_decoder_new(table);
    for (; e->hex; e++)
        check_str(decode_hex(d, e->hex), e->fields);
    hpack_decoder_free(d);
}

TEST(examples_of_requests)
{
    check_examples(
        4096, (const struct example[]){
                  { "8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d", GET_("http") "/\n" WWW },
                  { "8286 84be 5808 6e6f 2d63 6163 6865",
                    GET_("http") "/\n" WWW "\ncache-control: no-cache" },
                  { "8287 85bf 400a 6375 7374 6f6d 2d6b 6579 0c63 7573 746f 6d2d 7661 6c75 65",
                    GET_("https") "/index.html\n" WWW "\ncustom-key: custom-value" },
                  { "be bf c0", "custom-key: custom-value\ncache-control: no-cache\n" WWW },
                  { "c1", "error" },
                  { 0 } });
    check_examples(
        4096,
        (const struct example[]){
            { "8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff", GET_("http") "/\n" WWW },
            { "8286 84be 5886 a8eb 1064 9cbf", GET_("http") "/\n" WWW "\ncache-control: no-cache" },
            { "8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf",
              GET_("https") "/index.html\n" WWW "\ncustom-key: custom-value" },
            { "be bf c0", "custom-key: custom-value\ncache-control: no-cache\n" WWW },
            { "c1", "error" },
            { 0 } });
}

TEST(examples_of_responses_with_a_table_of_256)
{
    check_examples(
        256,
        (const struct example[]){
            { "4803 3330 3258 0770 7269 7661 7465 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 "
              "2032 303a 3133 3a32 3120 474d 546e 1768 7474 7073 3a2f 2f77 7777 2e65 7861 6d70 "
              "6c65 2e63 6f6d",
              first_response },
            { "4803 3330 37c1 c0bf", second_response },
            { "88c1 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3220 474d "
              "54c0 5a04 677a 6970 7738 666f 6f3d 4153 444a 4b48 514b 425a 584f 5157 454f 5049 "
              "5541 5851 5745 4f49 553b 206d 6178 2d61 6765 3d33 3630 303b 2076 6572 7369 6f6e "
              "3d31",
              third_response },
            { "c0 bf", DATE "2 GMT\ncontent-encoding: gzip" },
            { "c1", "error" },
            { 0 } });
    check_examples(
        256,
        (const struct example[]){
            { "4882 6402 5885 aec3 771a 4b61 96d0 7abe 9410 54d4 44a8 2005 9504 0b81 66e0 82a6 "
              "2d1b ff6e 919d 29ad 1718 63c7 8f0b 97c8 e9ae 82ae 43d3",
              first_response },
            { "4883 640e ffc1 c0bf", second_response },
            { "88c1 6196 d07a be94 1054 d444 a820 0595 040b 8166 e084 a62d 1bff c05a 839b d9ab "
              "77ad 94e7 821d d7f2 e6c7 b335 dfdf cd5b 3960 d5af 2708 7f36 72c1 ab27 0fb5 291f "
              "9587 3160 65c0 03ed 4ee5 b106 3d50 07",
              third_response },
            { "c0 bf", DATE "2 GMT\ncontent-encoding: gzip" },
            { "c1", "error" },
            { 0 } });
}

/* -- integers --------------------------------------------------------------------------------- */

TEST(integers_round_trip_and_each_cut_is_seen)
{
    for (unsigned bits = 4; bits <= 8; bits++) {
        for (uint64_t v = 0; v <= INT32_MAX; v += v < 70000 ? 1 : v / 3 + 1) {
            uint8_t p[8];
            uint32_t got;
            uint8_t *end = hpack_int_encode(p, 0, bits, v);
            for (const uint8_t *cut = p; cut < end; cut++)
                check(!hpack_int_decode(p, cut, bits, &got));
            check(hpack_int_decode(p, end, bits, &got) == end && got == v);
        }
    }
}

/* Every form of up to three continuation octets, against the formula of RFC 7541 5.1. */
TEST(every_short_form_of_an_integer_has_its_value)
{
    for (uint32_t tail = 0; tail < 1u << 24; tail += tail < 1u << 16 ? 1 : 251) {
        uint8_t p[] = { 0x1f, (uint8_t)tail, (uint8_t)(tail >> 8), (uint8_t)(tail >> 16) };
        uint64_t want = 31;
        size_t n = 1;
        while (n < 4) {
            want += (uint64_t)(p[n] & 0x7f) << (7 * (n - 1));
            if (p[n++] < 0x80)
                break;
        }
        uint32_t got;
        const uint8_t *end = hpack_int_decode(p, p + 4, 5, &got);
        if (p[n - 1] >= 0x80)
            check(!end);
        else
            check(end == p + n && got == want);
    }
}

TEST(integers_that_are_too_large_or_too_long_are_errors)
{
    uint32_t v;
    uint8_t p[16];
    check(!hpack_int_decode(p, p + from_hex(p, "1fe1ffffff07"), 5, &v)); /* 2^31 */
    check(hpack_int_decode(p, p + from_hex(p, "1fe0ffffff07"), 5, &v) && v == INT32_MAX);
    check(!hpack_int_decode(p, p + from_hex(p, "1f80808080808000"), 5, &v)); /* zeros without end */
    check(!hpack_int_decode(p, p + from_hex(p, "1fffffffffffffff7f"), 5, &v));
}

/* -- Huffman ---------------------------------------------------------------------------------- */

/* Bit by bit, from the table of codes alone. */
static ptrdiff_t slow_decode(uint8_t *to, const uint8_t *s, size_t n)
{
    size_t got = 0;
    uint32_t code = 0;
    unsigned len = 0;
    for (size_t bit = 0; bit < 8 * n; bit++) {
        code = code << 1 | (s[bit / 8] >> (7 - bit % 8) & 1);
        if (++len > 30)
            return -1;
        for (unsigned c = 0; c < 256 && len >= 5; c++) {
            if (huffman_codes[c].len == len && huffman_codes[c].code == code) {
                to[got++] = (uint8_t)c;
                code = len = 0;
                break;
            }
        }
        if (len == 30 && code == 0x3fffffff)
            return -1; /* EOS */
    }
    return len < 8 && code == (1u << len) - 1 ? (ptrdiff_t)got : -1;
}

static void check_huffman_input(const uint8_t *s, size_t n)
{
    uint8_t fast[64], slow[64];
    ptrdiff_t want = slow_decode(slow, s, n);
    check_int(huffman_decode(fast, sizeof fast, s, n), want);
    if (want > 0) {
        check(memcmp(fast, slow, (size_t)want) == 0);
        check_int(huffman_decode(fast, (size_t)want - 1, s, n), -1); /* no room */
    }
}

TEST(every_huffman_input_of_two_octets_decodes_as_bit_by_bit)
{
    check_huffman_input((const uint8_t *)"", 0);
    for (uint32_t v = 0; v < 1u << 16; v++) {
        uint8_t s[] = { (uint8_t)(v >> 8), (uint8_t)v };
        check_huffman_input(s, 2);
        if (v < 256)
            check_huffman_input(s + 1, 1);
    }
}

TEST(random_and_nearly_eos_huffman_inputs_decode_as_bit_by_bit)
{
    for (int i = 0; i < 30000; i++) {
        uint8_t s[12];
        size_t n = 3 + test_random() % 10;
        for (size_t k = 0; k < n; k++) /* many ones: long codes, EOS, padding */
            s[k] = (uint8_t)(test_random() % 3 ? 0xff : test_random());
        check_huffman_input(s, n);
    }
}

TEST(every_huffman_string_of_two_octets_round_trips)
{
    for (unsigned a = 0; a < 256; a++) {
        for (unsigned b = 0; b < 256; b++) {
            uint8_t s[] = { (uint8_t)a, (uint8_t)b }, packed[16], back[8];
            size_t n = huffman_encoded_size(s, 2);
            check_int(huffman_encode(packed, s, 2) - packed, n);
            check_int(huffman_decode(back, sizeof back, packed, n), 2);
            check(memcmp(back, s, 2) == 0);
        }
    }
}

/* The code is complete and free of prefixes: the sums of 2^-len, with EOS, are 1. */
TEST(the_huffman_code_is_complete)
{
    uint64_t sum = 1; /* EOS, of 30 bits */
    for (unsigned i = 0; i < 256; i++)
        sum += 1ull << (30 - huffman_codes[i].len);
    check_int(sum, 1 << 30);
}

/* -- the decoder's rules ---------------------------------------------------------------------- */

TEST(blocks_that_break_a_rule_are_errors)
{
    static const char *const cases[] = {
        "80",                   /* index 0 */
        "be",                   /* beyond the static table, with nothing in the dynamic one */
        "ffffffffffff7f",       /* an index without end */
        "82 20",                /* a size update after a field */
        "3f e2 1f",             /* 4097: more than we said */
        "40 03 61 62",          /* a name cut short */
        "40 01 61",             /* no value */
        "40 01 61 05 62",       /* a value cut short */
        "40",                   /* nothing */
        "7f",                   /* an index cut short */
        "7e 01 61",             /* a name by an index that is not there */
        "00 81 ff 00",          /* eight bits of padding */
        "00 81 00 00",          /* padding of zeros: '0' is five bits, then 000 */
        "00 84 ff ff ff ff 00", /* EOS */
        "00 01 61 81 fe",       /* padding that is not all ones */
        "00 ff 80 80 80 80 08", /* a length of 2^31 */
    };
    for (size_t i = 0; i < countof(cases); i++) {
        struct hpack_decoder *d = hpack_decoder_new(4096);
        const char *got = decode_hex(d, cases[i]);
        if (strcmp(got, "error") != 0)
            test_failed(__FILE__, __LINE__, "%s gives %s", cases[i], got);
        hpack_decoder_free(d);
    }
}

TEST(size_updates_evict_and_come_back)
{
    struct hpack_decoder *d = hpack_decoder_new(4096);
    check_str(decode_hex(d, "400161 0162"), "a: b");
    check_str(decode_hex(d, "be"), "a: b");
    check_str(decode_hex(d, "3f e1 1f be"), "a: b"); /* 4096 */
    check_str(decode_hex(d, "3f 03 be"), "a: b");    /* 34: it just fits */
    check_str(decode_hex(d, "3f 02"), "");           /* 33 */
    check_str(decode_hex(d, "be"), "error");
    hpack_decoder_free(d);
    d = hpack_decoder_new(4096);
    check_str(decode_hex(d, "400161 0162"), "a: b");
    check_str(decode_hex(d, "20 3f e1 1f 82"), ":method: GET"); /* 0, then 4096 */
    check_str(decode_hex(d, "be"), "error");
    hpack_decoder_free(d);
}

/* RFC 7541 4.4: an entry that does not fit empties the table and is none; its name may be that of
 * an entry which goes. */
TEST(insertions_may_evict_what_they_name_and_themselves)
{
    struct hpack_decoder *d = hpack_decoder_new(40);
    check_str(decode_hex(d, "400161 0162"), "a: b");
    check_str(decode_hex(d, "7e 0163 be"), "a: c\na: c"); /* evicts a: b, whose name it takes */
    check_str(decode_hex(d, "7e 0901 0203 0405 0607 0809"), "a: \1\2\3\4\5\6\7\10\11");
    check_str(decode_hex(d, "be"), "error");
    hpack_decoder_free(d);
}

TEST(memos_stay_with_their_entries)
{
    struct hpack_decoder *d = hpack_decoder_new(4096);
    const struct h2_field *f;
    size_t n;
    uint8_t block[64];
    size_t len = from_hex(block, "400161 0162");
    check_int(hpack_decode(d, block, len, 1000, &f, &n), HPACK_OK);
    hpack_memo(d, f, 77);
    check_int(hpack_decode(d, (const uint8_t *)"\xbe\x82", 2, 1000, &f, &n), HPACK_OK);
    check_int(f[0].memo, 77);
    hpack_memo(d, &f[1], 5); /* static: nothing happens */
    struct h2_field old = f[0];
    check_int(hpack_decode(d, (const uint8_t *)"\x20\x3f\xe1\x1f", 4, 1000, &f, &n), HPACK_OK);
    hpack_memo(d, &old, 9); /* gone meanwhile */
    check_int(hpack_decode(d, block, len, 1000, &f, &n), HPACK_OK);
    check_int(f[0].memo, 0);
    hpack_decoder_free(d);
}

/* -- encoder ---------------------------------------------------------------------------------- */

static uint8_t *put(struct hpack_encoder *e, uint8_t *p, bool first, const char *n, const char *v,
                    enum hpack_index how)
{
    uint8_t *end = hpack_encode(e, p, first, n, strlen(n), v, strlen(v), how);
    check((size_t)(end - p) <= hpack_encode_bound(strlen(n), strlen(v)));
    return end;
}

TEST(constants_are_indexed_and_secrets_never)
{
    struct hpack_encoder *e = hpack_encoder_new();
    struct hpack_decoder *d = hpack_decoder_new(4096);
    const struct h2_field *f;
    size_t n;
    uint8_t buf[256], *p;
    for (int round = 0; round < 3; round++) {
        p = put(e, buf, true, "x-constant", "value", HPACK_INDEX);
        check(round == 2 ? p - buf == 1 : p - buf > 2);
        size_t size = hpack_encoder_wants(e);
        check((round == 0) == (size != 0));
        if (size)
            check(hpack_encoder_grow(e, sys.malloc(size), size) == NULL);
        p = put(e, p, false, "authorization", "secret", HPACK_NEVER);
        p = put(e, p, false, ":method", "GET", HPACK_NEVER);
        p = put(e, p, false, "x-changes", "1", HPACK_PLAIN);
        check_int(hpack_decode(d, buf, (size_t)(p - buf), 1000, &f, &n), HPACK_OK);
        check_int(n, 4);
        check(!(f[0].flags & H2_FIELD_NEVER) && (f[1].flags & H2_FIELD_NEVER));
        check((f[2].flags & H2_FIELD_NEVER) && !(f[3].flags & H2_FIELD_NEVER));
    }
    hpack_encoder_free(e);
    hpack_decoder_free(d);
}

/* Sends twelve constants in a block each; how many of them went as one octet. */
static int send_constants(struct hpack_encoder *e, struct hpack_decoder *d)
{
    int indexed = 0;
    for (int i = 0; i < 12; i++) {
        const struct h2_field *f;
        size_t n;
        uint8_t buf[256];
        char value[] = "a constant of some length, 0";
        value[sizeof value - 2] = (char)('a' + i);
        uint8_t *p = put(e, buf, true, "x-constant", value, HPACK_INDEX);
        check_int(hpack_decode(d, buf, (size_t)(p - buf), 1000, &f, &n), HPACK_OK);
        check(n == 1 && f[0].value_len == strlen(value) &&
              !memcmp(f[0].value, value, f[0].value_len));
        indexed += p - buf == 1;
    }
    return indexed;
}

TEST(rings_grow_when_their_owner_lets_them)
{
    struct hpack_encoder *e = hpack_encoder_new();
    struct hpack_decoder *d = hpack_decoder_new(4096);
    check_int(send_constants(e, d), 0);
    for (size_t size, last = 0; (size = hpack_encoder_wants(e)) != 0; last = size) {
        void *block = sys.malloc(size);
        check(size > last);
        sys.free(hpack_encoder_grow(e, block, size));
        check(hpack_encoder_grow(e, block, size) == block); /* nothing was wanted: not taken */
        send_constants(e, d);
        if (!last) /* what fits stays, and is not pushed out by the rest */
            check_int(send_constants(e, d), 3);
    }
    check_int(send_constants(e, d), 12);
    hpack_encoder_free(e);
    hpack_decoder_free(d);
}

/* An entry that is larger than the rings are, and not than the peer's table. */
TEST(rings_grow_for_one_large_constant)
{
    struct hpack_encoder *e = hpack_encoder_new();
    uint8_t buf[1024];
    char value[512];
    size_t size, steps = 0;
    memset(value, 'v', sizeof value - 1);
    value[sizeof value - 1] = 0;
    while (put(e, buf, true, "x-large", value, HPACK_INDEX) - buf > 1 && steps++ < 10) {
        if ((size = hpack_encoder_wants(e)) != 0)
            sys.free(hpack_encoder_grow(e, sys.malloc(size), size));
    }
    check_int(steps, 4); /* three to grow, and one to enter it */
    hpack_encoder_free(e);
}

/* Five octets that are an index each, again and again, while insertions in two of three blocks give
 * them another meaning: each time they are what the table says. */
TEST(blocks_that_begin_alike_mean_what_the_table_says_now)
{
    struct hpack_decoder *d = hpack_decoder_new(4096);
    const struct h2_field *f;
    size_t n;
    uint8_t buf[256];
    char newest[16] = "";
    for (unsigned i = 0; i < 200; i++) {
        uint8_t *p = buf;
        size_t known = i ? 5 : 3;
        memcpy(p, "\x83\x86\x84\xbe\xbe", known); /* POST, http, /, the newest twice */
        p += known;
        char next[16] = "";
        if (i % 3 != 2) {
            uint8_t len = (uint8_t)snprintf(next, sizeof next, "value %u", i);
            memcpy(p, "\x40\x01x", 3);
            p[3] = len;
            memcpy(p + 4, next, len);
            p += 4 + len;
        }
        check_int(hpack_decode(d, buf, (size_t)(p - buf), 1000, &f, &n), HPACK_OK);
        check_int(n, known + (next[0] != 0));
        for (size_t k = 3; k < known; k++)
            check(f[k].value_len == strlen(newest) && !memcmp(f[k].value, newest, f[k].value_len));
        if (next[0])
            memcpy(newest, next, sizeof newest);
    }
    hpack_decoder_free(d);
}

/* Who keeps what a run means does so by its id: whenever that comes again, so do its fields. */
TEST(a_known_run_has_the_fields_that_it_had)
{
    static struct {
        uint8_t n;
        char said[6][16]; /* the values */
    } ids[4096];
    struct hpack_decoder *d = hpack_decoder_new(4096);
    const struct h2_field *f;
    size_t n;
    unsigned known = 0;
    memset(ids, 0, sizeof ids);
    for (unsigned i = 0; i < 4000; i++) {
        uint8_t buf[32], *p = buf;
        for (uint32_t k = 1 + test_random() % 3; k; k--) /* POST, and what is newest */
            *p++ = i && test_random() % 2 ? 0xbe : 0x83;
        if (i == 0 || test_random() % 40 == 0)
            p += snprintf((char *)p, 16, "%c%cx%c%05u", 0x40, 1, 5, i);
        else if (test_random() % 3 == 0)
            p = memcpy(p, "\0\1a\1b", 5), p += 5;
        check_int(hpack_decode(d, buf, (size_t)(p - buf), 1000, &f, &n), HPACK_OK);
        const struct hpack_run *r = hpack_decoded_run(d);
        if (!r)
            continue;
        check(r->n && r->n <= n && r->n <= 3 && r->slot < HPACK_RUNS && r->id < countof(ids));
        bool fresh = !ids[r->id].n;
        for (size_t k = 0; k < r->n; k++) {
            if (fresh)
                snprintf(ids[r->id].said[k], 16, "%.*s", (int)f[k].value_len, f[k].value);
            check(strlen(ids[r->id].said[k]) == f[k].value_len &&
                  !memcmp(ids[r->id].said[k], f[k].value, f[k].value_len));
        }
        check(fresh || ids[r->id].n == r->n);
        ids[r->id].n = (uint8_t)r->n;
        known++;
    }
    check(known > 300);
    hpack_decoder_free(d);
}

/* Blocks of each length that differ in one octet, wherever it is, are told apart. */
TEST(a_run_is_known_by_all_of_its_octets)
{
    for (size_t len = 1; len <= 16; len++) {
        struct hpack_decoder *d = hpack_decoder_new(4096);
        for (size_t turn = 0; turn <= 2 * len; turn++) {
            uint8_t block[16];
            const struct h2_field *f;
            size_t n;
            memset(block, 0x82, len); /* GET, and one POST */
            if (turn)
                block[(turn - 1) / 2] = 0x83;
            check_int(hpack_decode(d, block, len, 10000, &f, &n), HPACK_OK);
            check_int(n, len);
            for (size_t i = 0; i < n; i++)
                check_int(f[i].value_len, block[i] == 0x83 ? 4 : 3);
        }
        hpack_decoder_free(d);
    }
}

TEST(a_decoder_decodes_with_whatever_scratch_it_is_lent)
{
    struct hpack_scratch scratch[2] = { { 0 }, { 0 } };
    struct hpack_decoder *d = hpack_decoder_new(4096);
    struct hpack_encoder *e = hpack_encoder_new();
    const struct h2_field *f;
    size_t n;
    for (int i = 0; i < 4; i++) {
        uint8_t buf[256], *p = put(e, buf, true, "x-constant", "huffman here", HPACK_INDEX);
        hpack_decoder_lend(d, &scratch[i % 2]);
        check_int(hpack_decode(d, buf, (size_t)(p - buf), 1000, &f, &n), HPACK_OK);
        check(n == 1 && f == scratch[i % 2].fields && f[0].value_len == 12);
        hpack_decoder_lend(d, NULL);
    }
    hpack_encoder_free(e);
    hpack_decoder_free(d);
    hpack_scratch_fini(&scratch[0]);
    hpack_scratch_fini(&scratch[1]);
}

/* A run that is known, but for which a smaller scratch, or a smaller list, has no room; and runs
 * that are not kept: of more octets than fit, of an index of two octets, in a list over the limit.
 */
TEST(blocks_that_begin_alike_are_decoded_when_they_cannot_be_taken)
{
    struct hpack_scratch used = { 0 }, fresh = { 0 };
    struct hpack_decoder *d = hpack_decoder_new(4096);
    const struct h2_field *f;
    size_t n;
    uint8_t run[64];
    memset(run, 0x82, sizeof run);
    for (size_t len = 3; len <= 30; len += 27) {
        hpack_decoder_lend(d, &used);
        for (int i = 0; i < 2; i++) {
            check_int(hpack_decode(d, run, len, 10000, &f, &n), HPACK_OK);
            check_int(n, len);
        }
        check_int(hpack_decode(d, run, len, len * 42 - 1, &f, &n), HPACK_TOO_LARGE);
        check_int(n, len - 1);
        hpack_decoder_lend(d, &fresh);
        check_int(hpack_decode(d, run, len, 10000, &f, &n), HPACK_OK);
        check_int(n, len);
        hpack_scratch_fini(&fresh);
    }
    hpack_decoder_lend(d, &used);
    for (int i = 0; i < 80; i++)
        check_int(hpack_decode(d, (const uint8_t *)"\x40\x01x\x01y", 5, 10000, &f, &n), HPACK_OK);
    for (int i = 0; i < 2; i++) { /* the index 127 after two that would be kept */
        check_int(hpack_decode(d, (const uint8_t *)"\x83\x83\xff\x00", 4, 10000, &f, &n), HPACK_OK);
        check(n == 3 && f[2].value_len == 1 && f[2].value[0] == 'y');
    }
    hpack_decoder_free(d);
    hpack_scratch_fini(&used);
}

TEST(a_list_has_so_many_fields_and_no_more)
{
    struct hpack_decoder *d = hpack_decoder_new(4096);
    const struct h2_field *f;
    size_t n;
    uint8_t many[LIMIT_HEADER_FIELDS + 1];
    memset(many, 0x82, sizeof many);
    check_int(hpack_decode(d, many, LIMIT_HEADER_FIELDS, 1 << 20, &f, &n), HPACK_OK);
    check_int(hpack_decode(d, many, sizeof many, 1 << 20, &f, &n), HPACK_TOO_LARGE);
    check_int(n, LIMIT_HEADER_FIELDS);
    hpack_decoder_free(d);
}

TEST(names_and_values_may_be_empty)
{
    struct hpack_encoder *e = hpack_encoder_new();
    struct hpack_decoder *d = hpack_decoder_new(4096);
    const struct h2_field *f;
    size_t n;
    for (int i = 0; i < 40; i++) {
        uint8_t buf[64], *p = put(e, buf, true, "", "", HPACK_INDEX);
        check_int(hpack_decode(d, buf, (size_t)(p - buf), 1000, &f, &n), HPACK_OK);
        check(n == 1 && f[0].name_len == 0 && f[0].value_len == 0);
        size_t larger = hpack_encoder_wants(e);
        if (larger)
            sys.free(hpack_encoder_grow(e, sys.malloc(larger), larger));
    }
    hpack_encoder_free(e);
    hpack_decoder_free(d);
}

TEST(size_updates_are_sent_least_first)
{
    struct hpack_encoder *e = hpack_encoder_new();
    uint8_t buf[64], want[64];
    hpack_encoder_resize(e, 0);
    hpack_encoder_resize(e, 100);
    uint8_t *p = put(e, buf, true, ":method", "GET", HPACK_INDEX);
    size_t n = from_hex(want, "20 3f 45 82");
    check(p - buf == (ptrdiff_t)n && memcmp(buf, want, n) == 0);
    p = put(e, buf, true, ":method", "GET", HPACK_INDEX);
    check_int(p - buf, 1);
    hpack_encoder_resize(e, 100000); /* we use no more than our own limit */
    p = put(e, buf, true, ":method", "GET", HPACK_INDEX);
    n = from_hex(want, "3f e1 07 82");
    check(p - buf == (ptrdiff_t)n && memcmp(buf, want, n) == 0);
    hpack_encoder_free(e);
}

static int fail_at;
static void *(*real_malloc)(size_t), *(*real_realloc)(void *, size_t),
    *(*real_calloc)(size_t, size_t);
static void *failing_malloc(size_t n) { return --fail_at == 0 ? NULL : real_malloc(n); }
static void *failing_calloc(size_t n, size_t m)
{
    return --fail_at == 0 ? NULL : real_calloc(n, m);
}
static void *failing_realloc(void *p, size_t n)
{
    return --fail_at == 0 ? NULL : real_realloc(p, n);
}
static void fail_from_now(bool on)
{
    if (on) {
        real_malloc = sys.malloc, real_realloc = sys.realloc, real_calloc = sys.calloc;
        sys.malloc = failing_malloc, sys.realloc = failing_realloc, sys.calloc = failing_calloc;
    } else {
        sys.malloc = real_malloc, sys.realloc = real_realloc, sys.calloc = real_calloc;
    }
}

/* Each allocation of a decoder's life fails once: what it says then is no memory, and never a wrong
 * list; it can be freed, and another one decodes. */
TEST(a_block_without_memory_is_told_and_never_decoded_wrongly)
{
    static const char insert[] = "4003 6162 6302 7879", again[] = "be be be be be";
    int refused = 0;
    for (int n = 1, all = 0; !all; n++) {
        check(n < 50);
        fail_at = n;
        fail_from_now(true);
        struct hpack_decoder *d = hpack_decoder_new(4096);
        bool told = !d;
        for (int i = 0; d && i < 4 && !told; i++) {
            const char *got = decode_hex(d, i == 0 ? insert : again);
            told = strcmp(got, "?") == 0;
            if (!told && i == 0)
                check_str(got, "abc: xy");
            if (!told && i > 0)
                check_str(got, "abc: xy\nabc: xy\nabc: xy\nabc: xy\nabc: xy");
        }
        fail_from_now(false);
        hpack_decoder_free(d);
        refused += told;
        all = !told && fail_at > 0; /* none was left to fail */
    }
    check(refused > 3);
}

TEST(names_are_told_from_what_begins_or_ends_as_they_do)
{
    check_int(hpack_name_token("grpc", 4), H2_TOK_OTHER);
    check_int(hpack_name_token("grpx-", 5), H2_TOK_OTHER);
    check_int(hpack_name_token("grpc-x", 6), H2_TOK_GRPC_OTHER);
    check_int(hpack_name_token("", 0), H2_TOK_OTHER);
    check_int(hpack_name_token(":x", 2), H2_TOK_UNKNOWN_PSEUDO);
}

TEST(nothing_at_all_can_be_freed)
{
    hpack_decoder_free(NULL);
    hpack_encoder_free(NULL);
}
