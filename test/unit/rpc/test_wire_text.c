/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * test_wire_text.c: the small textual codecs of gRPC over HTTP/2, by tables. */
#include "base/arena.h"
#include "base/base64.h"
#include "base/sys.h"
#include "harness.h"
#include "rpc/details.h"
#include "rpc/metadata.h"
#include "rpc/status.h"
#include "rpc/timeout.h"
#include "rt/rt.h"
#include <ctype.h>

__attribute__((constructor)) static void wire_text_setup(void) { test_at_end = rt_shutdown; }

TEST(timeout_is_sent_in_the_shortest_unit_rounded_up)
{
    static const struct {
        int64_t ns;
        const char *text;
    } rows[] = {
        { -5, "1n" },
        { 0, "1n" },
        { 1, "1n" },
        { 99999999, "99999999n" },
        { 100000000, "100000u" },
        { 100000001, "100001u" },
        { 1000000000, "1000000u" },
        { INT64_C(99999999000), "99999999u" },
        { INT64_C(99999999001), "100000m" },
        { INT64_C(3600000000000), "3600000m" },
        { INT64_MAX, "2562048H" },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char text[TIMEOUT_TEXT];
        size_t n = timeout_format(rows[i].ns, text);
        check_str(text, rows[i].text);
        check_int(n, strlen(text));
    }
}

TEST(timeout_of_every_unit_is_read_and_malformed_ones_are_refused)
{
    static const struct {
        const char *text;
        int64_t ns;
    } rows[] = {
        { "1n", 1 },
        { "5u", 5000 },
        { "7m", 7000000 },
        { "1S", 1000000000 },
        { "2M", INT64_C(120000000000) },
        { "1H", INT64_C(3600000000000) },
        { "99999999H", INT64_MAX },
        { "00000001S", 1000000000 },
        { "", -1 },
        { "S", -1 },
        { "1", -1 },
        { "1s", -1 },
        { "-1S", -1 },
        { "123456789S", -1 },
        { "1 S", -1 },
        { "1.5S", -1 },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        sennit_duration got = -1;
        bool fine = timeout_parse(rows[i].text, strlen(rows[i].text), &got);
        check_int(fine, rows[i].ns >= 0);
        check_int(got, rows[i].ns);
    }
}

TEST(base64_is_sent_unpadded_and_read_both_ways)
{
    static const struct {
        const char *raw, *text;
    } rows[] = {
        { "", "" },           { "f", "Zg" },          { "fo", "Zm8" },          { "foo", "Zm9v" },
        { "foob", "Zm9vYg" }, { "fooba", "Zm9vYmE" }, { "foobar", "Zm9vYmFy" },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char text[32], padded[40], raw[32];
        char *end = base64_encode(text, rows[i].raw, strlen(rows[i].raw));
        *end = 0;
        check_str(text, rows[i].text);
        check_int(end - text, BASE64_ENCODED(strlen(rows[i].raw)));
        check_int(base64_decode(raw, text, strlen(text)), strlen(rows[i].raw));
        check(memcmp(raw, rows[i].raw, strlen(rows[i].raw)) == 0);
        snprintf(padded, sizeof padded, "%s%s", text, &"===="[4 - (4 - strlen(text) % 4) % 4]);
        check_int(base64_decode(raw, padded, strlen(padded)), strlen(rows[i].raw));
    }
}

TEST(only_json_reads_the_alphabet_of_urls)
{
    char raw[8];
    check_int(base64_decode(raw, "+/8", 3), 2);
    check_int(base64_decode_any(raw, "+/8=", 4), 2);
    check(memcmp(raw, "\xfb\xff", 2) == 0);
    check_int(base64_decode(raw, "-_8", 3), -1);
    check_int(base64_decode_any(raw, "-_8", 3), 2);
    check(memcmp(raw, "\xfb\xff", 2) == 0);
}

TEST(base64_that_is_malformed_is_refused)
{
    static const char *const rows[] = { "A",    "=",     "====",  "Zg=",
                                        "Z===", "Zm9v*", "Zm 9v", "Zg==Zg==" };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char raw[32];
        check_int(base64_decode(raw, rows[i], strlen(rows[i])), -1);
    }
    for (int octet = 0; octet < 256; octet++) { /* 64 of them are digits */
        char raw[4], text[] = { 'A', (char)octet, 'A', 'A' };
        bool digit = (octet < 128 && isalnum(octet)) || octet == '+' || octet == '/';
        check_int(base64_decode(raw, text, 4), digit ? 3 : -1);
    }
}

TEST(status_message_is_percent_encoded_and_bad_escapes_are_kept)
{
    static const struct {
        const char *plain, *wire;
    } rows[] = {
        { "plain", "plain" }, { "100%", "100%25" },
        { "a\nb", "a%0Ab" },  { "\xe2\x98\xba", "%E2%98%BA" },
        { "~ }", "~ }" },     { "\x7f", "%7F" },
    };
    struct sennit_arena a;
    arena_init(&a, NULL, 0);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char wire[64];
        char *end = status_message_encode(wire, rows[i].plain, strlen(rows[i].plain));
        *end = 0;
        check_str(wire, rows[i].wire);
        check_int(end - wire, status_message_encoded(rows[i].plain, strlen(rows[i].plain)));
        check_str(status_message_decode(&a, wire, strlen(wire)).data, rows[i].plain);
    }
    check_str(status_message_decode(&a, "%zz%4%", 6).data, "%zz%4%");
    check_str(status_message_decode(&a, "%41%", 4).data, "A%");
    check_str(status_message_decode(&a, "x%4", 3).data, "x%4");
    arena_fini(&a);
}

static void *no_memory(size_t n)
{
    (void)n;
    return NULL;
}

TEST(a_status_message_without_memory_is_empty)
{
    struct sennit_arena a;
    void *(*malloc_was)(size_t) = sys.malloc;
    arena_init(&a, NULL, 0);
    sys.malloc = no_memory;
    sennit_str got = status_message_decode(&a, "why", 3);
    sys.malloc = malloc_was;
    check(got.len == 0 && got.data && !got.data[0]);
    check_str(status_message_decode(&a, "why", 3).data, "why");
    arena_fini(&a);
}

TEST(status_codes_are_read_strictly)
{
    sennit_code code;
    check(status_parse("0", 1, &code) && code == SENNIT_OK);
    check(status_parse("16", 2, &code) && code == SENNIT_UNAUTHENTICATED);
    check(status_parse("17", 2, &code) && code == SENNIT_UNKNOWN);
    check(!status_parse("", 0, &code) && !status_parse("05", 2, &code));
    check(!status_parse("-1", 2, &code) && !status_parse("1x", 2, &code));
    check_int(status_from_http(404), SENNIT_UNIMPLEMENTED);
    check_int(status_from_http(503), SENNIT_UNAVAILABLE);
    check_int(status_from_http(200), SENNIT_UNKNOWN);
    check_int(status_from_rst(8, false), SENNIT_CANCELLED);
    check_int(status_from_rst(8, true), SENNIT_DEADLINE_EXCEEDED);
    check_int(status_from_rst(7, true), SENNIT_UNAVAILABLE);
    check_int(status_from_rst(99, false), SENNIT_UNKNOWN);
}

TEST(binary_metadata_lists_are_split_on_commas)
{
    struct sennit_arena a;
    bool bad = false;
    arena_init(&a, NULL, 0);
    struct sennit_md *md = md_new(&a);
    check(md_append_wire(md, "k-bin", 5, "Zg, Zm8=,Zm9v", 13, &bad) && !bad);
    check_int(md->n, 3);
    check_str(sennit_md_get(md, "k-bin", 0)->data, "f");
    check_str(sennit_md_get(md, "k-bin", 1)->data, "fo");
    check_str(sennit_md_get(md, "k-bin", 2)->data, "foo");
    check(md_append_wire(md, "k-bin", 5, "*", 1, &bad) && bad);
    check(!sennit_md_get(md, "k-bin", 3) && !sennit_md_at(NULL, 0, NULL));
    arena_fini(&a);
}

TEST(only_printable_ascii_is_kept_under_other_keys)
{
    struct sennit_arena a;
    arena_init(&a, NULL, 0);
    for (int octet = 0; octet < 256; octet++) {
        for (size_t at = 0; at < 17; at++) {
            bool bad = false;
            char value[] = "0123456789abcdef~";
            struct sennit_md *md = md_new(&a);
            value[at] = (char)octet;
            check(md_append_wire(md, "k", 1, value, 17, &bad) && !bad);
            check_int(md->n, octet >= 0x20 && octet <= 0x7e);
        }
    }
    arena_fini(&a);
}

TEST(details_count_only_with_the_code_of_grpc_status)
{
    struct sennit_arena a;
    arena_init(&a, NULL, 0);
    sennit_err sent =
        sennit_err_detail(sennit_errorf(SENNIT_ABORTED, "m"), "type/x", sennit_s("y"));
    sennit_str octets = details_encode(&a, sent);
    check(octets.len);
    sennit_err same = details_attach(&a, sennit_errorf(SENNIT_ABORTED, "m"), octets);
    check_int(same->n_details, 1);
    check_str(same->details[0].type_url, "type/x");
    sennit_err other = details_attach(&a, sennit_errorf(SENNIT_NOT_FOUND, "m"), octets);
    check_int(other->n_details, 0);
    check_int(other->code, SENNIT_NOT_FOUND);
    other = details_attach(&a, sennit_errorf(SENNIT_ABORTED, "m"), sennit_s("\xff"));
    check_int(other->n_details, 0);
    arena_fini(&a);
}
