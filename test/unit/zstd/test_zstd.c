/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * test_zstd.c: the zstd compressor, in calls and with octets that are wrong. */
#include "echo.h"
#include "rpc/compress.h"

static const sennit_compressor *zstd(void)
{
    static bool there;
    if (!there)
        check(!sennit_zstd_register());
    there = true;
    return compress_named("zstd");
}

static int code_of(sennit_err err) { return err ? (int)err->code : 0; }

static sennit_str some_text(sennit_arena *a, size_t n)
{
    char *p = sennit_alloc(a, n + 1);
    for (size_t i = 0; i < n; i++)
        p[i] = (char)('a' + i * i % 19);
    return (sennit_str){ p, n };
}

TEST(zstd_gives_back_what_it_took_up_to_the_limit_and_not_beyond)
{
    sennit_arena *a = sennit_arena_new();
    const sennit_compressor *c = zstd();
    for (size_t n = 1; n < 2000000; n = n * 7 + 1) {
        sennit_str text = some_text(a, n), packed, plain;
        check(!c->compress(NULL, a, text, &packed));
        check(!c->decompress(NULL, a, packed, n, &plain));
        check(plain.len == n && memcmp(plain.data, text.data, n) == 0);
        check_int(code_of(c->decompress(NULL, a, packed, n - 1, &plain)),
                  SENNIT_RESOURCE_EXHAUSTED);
    }
    sennit_arena_free(a);
}

TEST(zstd_that_is_cut_short_or_damaged_is_an_internal_error)
{
    sennit_arena *a = sennit_arena_new();
    const sennit_compressor *c = zstd();
    sennit_str text = some_text(a, 3000), packed, plain;
    check(!c->compress(NULL, a, text, &packed));
    for (size_t n = 1; n < packed.len; n++)
        check_int(code_of(c->decompress(NULL, a, (sennit_str){ packed.data, n }, 9999, &plain)),
                  SENNIT_INTERNAL);
    char *p = sennit_alloc(a, packed.len);
    memcpy(p, packed.data, packed.len);
    p[packed.len - 1] ^= 1; /* the checksum */
    check_int(code_of(c->decompress(NULL, a, (sennit_str){ p, packed.len }, 9999, &plain)),
              SENNIT_INTERNAL);
    sennit_arena_free(a);
}

TEST(zstd_goes_through_a_call_both_ways)
{
    static const struct echo_service service = { .unary = echo_back };
    struct echo_server e;
    struct echo_msg reply;
    zstd();
    echo_start(&e, &service, NULL, (sennit_server_options){ 0 });
    sennit_conn *c = sennit_dial(
        e.address, &(sennit_conn_options){ .creds = sennit_insecure(), .compressor = "zstd" });
    sennit_ctx *ctx = sennit_ctx_timeout(NULL, 10 * SENNIT_SECOND);
    sennit_err err = echo_call(c, ctx, "hello, hello, hello, hello", &reply);
    check_str(err ? err->message : "fine", "fine");
    check_str(reply.text.data, "hello, hello, hello, hello");
    sennit_ctx_free(ctx);
    sennit_conn_free(c);
    echo_stop(&e);
}
