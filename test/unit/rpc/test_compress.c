/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * test_compress.c: compressors by themselves, with octets that are wrong in each way, and through
 * whole calls, where the stats hook tells what was on the wire. */
#include "rpc/codec.h"
#include "rpc/compress.h"
#include "talk.h"

#define LONG_TEXT 20000

static sennit_str long_text(sennit_arena *a, size_t n)
{
    char *p = sennit_alloc(a, n + 1);
    for (size_t i = 0; i < n; i++)
        p[i] = (char)('a' + i % 23);
    p[n] = 0;
    return (sennit_str){ p, n };
}

static sennit_err open_octets(const sennit_compressor *c, sennit_arena *a, sennit_str packed,
                              size_t most, sennit_str *plain)
{
    char *body = sennit_alloc(a, packed.len + 1);
    size_t len = packed.len;
    memcpy(body, packed.data, len);
    sennit_err err = compress_open(c, c ? c->name : "zip9", a, most, &body, &len, "request");
    *plain = (sennit_str){ body, len };
    return err;
}

static const sennit_compressor *const both[] = { &compress_gzip, &compress_deflate };

TEST(what_is_compressed_is_the_same_when_opened)
{
    for (size_t i = 0; i < 2; i++) {
        sennit_arena *a = sennit_arena_new();
        for (size_t n = 1; n < 300000; n = n * 5 + 1) {
            sennit_str text = long_text(a, n), packed, plain;
            check(!both[i]->compress(both[i]->self, a, text, &packed));
            check(!open_octets(both[i], a, packed, n, &plain)); /* exactly the limit */
            check_int(plain.len, n);
            check(memcmp(plain.data, text.data, n) == 0);
        }
        sennit_arena_free(a);
    }
}

TEST(one_octet_over_the_limit_is_refused_without_inflating_the_rest)
{
    sennit_arena *a = sennit_arena_new();
    sennit_str bomb = long_text(a, 40 << 20), packed, plain;
    check(!compress_gzip.compress(compress_gzip.self, a, bomb, &packed));
    sennit_arena *small = sennit_arena_new();
    small->cap = 600000; /* inflating it whole would not fit */
    check_int(code_of(open_octets(&compress_gzip, small, packed, 65536, &plain)),
              SENNIT_RESOURCE_EXHAUSTED);
    check_str(said(open_octets(&compress_gzip, small, packed, 65536, &plain)),
              "grpc: received message after decompression larger than max 65536");
    sennit_arena_free(small);
    sennit_arena_free(a);
}

TEST(wrong_octets_are_internal_errors)
{
    sennit_arena *a = sennit_arena_new();
    for (size_t i = 0; i < 2; i++) {
        const sennit_compressor *c = both[i];
        sennit_str text = long_text(a, 1000), packed, plain;
        check(!c->compress(c->self, a, text, &packed));
        char *p = sennit_alloc(a, packed.len + 1);
        for (size_t n = 1; n < packed.len; n++) /* cut short anywhere */
            check_int(code_of(open_octets(c, a, (sennit_str){ packed.data, n }, 5000, &plain)),
                      SENNIT_INTERNAL);
        size_t checksum = packed.len - (c == &compress_gzip ? 8 : 4);
        memcpy(p, packed.data, packed.len);
        p[checksum] ^= 1;
        check_int(code_of(open_octets(c, a, (sennit_str){ p, packed.len }, 5000, &plain)),
                  SENNIT_INTERNAL);
        memcpy(p, packed.data, packed.len);
        p[0] ^= 0x40; /* no such header */
        check_int(code_of(open_octets(c, a, (sennit_str){ p, packed.len }, 5000, &plain)),
                  SENNIT_INTERNAL);
        memcpy(p, packed.data, packed.len);
        p[packed.len] = 'x'; /* something behind the end */
        check_int(code_of(open_octets(c, a, (sennit_str){ p, packed.len + 1 }, 5000, &plain)),
                  SENNIT_INTERNAL);
    }
    sennit_str plain;
    check_str(said(open_octets(NULL, a, sennit_s("x"), 10, &plain)),
              "grpc: Decompressor is not installed for grpc-encoding \"zip9\"");
    sennit_arena_free(a);
}

TEST(gzip_members_in_a_row_are_one_message)
{
    sennit_arena *a = sennit_arena_new();
    sennit_str one, plain;
    check(!compress_gzip.compress(compress_gzip.self, a, sennit_s("abc"), &one));
    char *two = sennit_alloc(a, one.len * 2);
    memcpy(two, one.data, one.len);
    memcpy(two + one.len, one.data, one.len);
    check(!open_octets(&compress_gzip, a, (sennit_str){ two, one.len * 2 }, 100, &plain));
    check_int(plain.len, 6);
    check(memcmp(plain.data, "abcabc", 6) == 0);
    sennit_arena_free(a);
}

TEST(an_empty_message_is_never_compressed)
{
    sennit_arena *a = sennit_arena_new();
    sennit_str framed = { "\0\0\0\0\0", CODEC_PREFIX };
    check(!compress_framed(&compress_gzip, a, &framed));
    check_int(framed.len, CODEC_PREFIX);
    check_int(framed.data[0], 0);
    char *body = sennit_alloc(a, 1);
    size_t len = 0;
    check(!compress_open(&compress_gzip, "gzip", a, 0, &body, &len, "request"));
    check_int(len, 0);
    sennit_arena_free(a);
}

/* A compressor of the user's own: every octet with its bits turned. */
static sennit_err turn(void *self, sennit_arena *a, sennit_str from, sennit_str *to)
{
    (void)self;
    char *p = sennit_alloc(a, from.len + 1);
    for (size_t i = 0; p && i < from.len; i++)
        p[i] = (char)~from.data[i];
    *to = (sennit_str){ p, from.len };
    return p ? NULL : sennit_no_memory;
}
static sennit_err turn_back(void *self, sennit_arena *a, sennit_str from, size_t most,
                            sennit_str *to)
{
    (void)most;
    return turn(self, a, from, to);
}

TEST(registry_takes_each_name_once_and_tells_the_peer)
{
    sennit_compressor own = { .name = "turned", .compress = turn, .decompress = turn_back };
    check(!sennit_compressor_register(&own));
    check_int(code_of(sennit_compressor_register(&own)), SENNIT_ALREADY_EXISTS);
    check(compress_listed(compress_accept(), "turned"));
    check_str(compress_accept(), "identity,deflate,gzip,turned");
    own.name = "identity";
    check_int(code_of(sennit_compressor_register(&own)), SENNIT_INVALID_ARGUMENT);
    own.name = "a,b";
    check_int(code_of(sennit_compressor_register(&own)), SENNIT_INVALID_ARGUMENT);
    own.name = "half", own.decompress = NULL;
    check_int(code_of(sennit_compressor_register(&own)), SENNIT_INVALID_ARGUMENT);
    check(compress_listed(" gzip ,turned", "turned") && !compress_listed("gzip2", "gzip"));
    check(!compress_listed(NULL, "gzip") && !compress_listed("", "gzip"));
}

/* What each end saw of one call's messages, in order: "C" compressed, "p" plain. */
struct seen {
    sennit_mutex mu;
    char in[16], out[16];
    int begins, ends;
    size_t wire, size;
};

static void see(void *self, sennit_ctx *ctx, const sennit_event *e)
{
    struct seen *s = self;
    char mark[2] = { e->compressed ? 'C' : 'p', 0 };
    check(!ctx == (e->kind >= SENNIT_EVENT_CONN_BEGIN));
    sennit_mutex_lock(&s->mu, NULL);
    char *to = e->kind == SENNIT_EVENT_IN_MESSAGE    ? s->in
               : e->kind == SENNIT_EVENT_OUT_MESSAGE ? s->out
                                                     : NULL;
    if (to && strlen(to) < 15)
        memcpy(to + strlen(to), mark, 2);
    s->begins += e->kind == SENNIT_EVENT_BEGIN;
    s->ends += e->kind == SENNIT_EVENT_END;
    if (e->kind == SENNIT_EVENT_OUT_MESSAGE)
        s->wire = e->wire_size, s->size = e->size;
    sennit_mutex_unlock(&s->mu);
}

struct packed_talk {
    struct talk t;
    struct seen client, server;
    sennit_stats_hook client_stats, server_stats;
};

static void packed_start(struct packed_talk *p, const struct echo_service *service, void *self,
                         const char *compressor)
{
    memset(p, 0, sizeof *p);
    p->client_stats = (sennit_stats_hook){ &p->client, see };
    p->server_stats = (sennit_stats_hook){ &p->server, see };
    echo_start(&p->t.e, service, self, (sennit_server_options){ .stats = &p->server_stats });
    p->t.conn = sennit_dial(p->t.e.address, &(sennit_conn_options){ .creds = echo_creds(),
                                                                    .compressor = compressor,
                                                                    .stats = &p->client_stats });
    p->t.ctx = sennit_ctx_timeout(NULL, 60 * SENNIT_SECOND);
}

static const struct echo_service echoes = { .unary = echo_back, .chat = echo_chat };

TEST(unary_call_is_answered_in_the_requests_encoding)
{
    static const char *const names[] = { "gzip", "deflate" };
    for (int i = 0; i < 2; i++) {
        struct packed_talk p;
        struct echo_msg reply;
        packed_start(&p, &echoes, NULL, names[i]);
        sennit_str text = long_text(sennit_ctx_arena(p.t.ctx), LONG_TEXT);
        sennit_err err = echo_call(p.t.conn, p.t.ctx, text.data, &reply);
        check_str(said(err), "fine");
        check_int(reply.text.len, LONG_TEXT);
        talk_stop(&p.t);
        check_str(p.client.out, "C");
        check_str(p.client.in, "C");
        check_str(p.server.in, "C");
        check_str(p.server.out, "C");
        check(p.client.wire < 1000 && p.client.size > LONG_TEXT);
        check_int(p.client.begins + p.client.ends + p.server.begins + p.server.ends, 4);
    }
}

TEST(identity_for_one_call_turns_the_connections_compressor_off)
{
    struct packed_talk p;
    struct echo_msg reply, q = { .text = sennit_s("hello") };
    packed_start(&p, &echoes, NULL, "gzip");
    sennit_call_options o = { .compressor = "identity" };
    check(!sennit_call(p.t.conn, p.t.ctx, &echo_methods[0], &q, &reply, &o, sizeof o));
    o.compressor = "deflate";
    check(!sennit_call(p.t.conn, p.t.ctx, &echo_methods[0], &q, &reply, &o, sizeof o));
    o.compressor = "zip9";
    sennit_err err = sennit_call(p.t.conn, p.t.ctx, &echo_methods[0], &q, &reply, &o, sizeof o);
    check_int(code_of(err), SENNIT_INTERNAL);
    check_str(said(err), "grpc: Compressor is not installed for requested grpc-encoding \"zip9\"");
    talk_stop(&p.t);
    check_str(p.client.out, "pC");
    check_str(p.server.out, "pC");
}

TEST(each_message_of_a_stream_may_go_out_plain)
{
    struct packed_talk p;
    packed_start(&p, &echoes, NULL, "gzip");
    sennit_stream *s = talk_open(&p.t, CHAT, NULL);
    for (int i = 0; i < 4; i++) {
        sennit_stream_compress(s, i % 2 == 0);
        check(!sennit_send(s, &(struct echo_msg){ .text = sennit_s("some text"), .number = i }));
        const struct echo_msg *m = sennit_recv(s);
        check(m && m->number == i);
    }
    check(!sennit_finish(s, NULL));
    talk_stop(&p.t);
    check_str(p.client.out, "CpCp");
    check_str(p.server.in, "CpCp");
    check_str(p.client.in, "CCCC");
    check_int(p.client.ends, 1);
}

static sennit_err answer_packed(void *self, sennit_ctx *ctx, const struct echo_msg *q,
                                struct echo_msg *r)
{
    sennit_err err = sennit_set_compressor(ctx, self);
    check_str(sennit_client_compressors(ctx), "identity,deflate,gzip");
    return err ? err : echo_back(NULL, ctx, q, r);
}

TEST(a_handler_chooses_how_it_answers)
{
    static const struct {
        const char *request, *answer, *seen;
        int code;
    } rows[] = { { NULL, "gzip", "C", 0 },
                 { "gzip", "identity", "p", 0 },
                 { "gzip", "deflate", "C", 0 },
                 { NULL, "zip9", "", SENNIT_UNIMPLEMENTED } };
    static const struct echo_service chooses = { .unary = answer_packed };
    for (size_t i = 0; i < countof(rows); i++) {
        struct packed_talk p;
        struct echo_msg reply;
        packed_start(&p, &chooses, (void *)(uintptr_t)rows[i].answer, rows[i].request);
        check_int(code_of(echo_call(p.t.conn, p.t.ctx, "hello", &reply)), rows[i].code);
        talk_stop(&p.t);
        check_str(p.client.in, rows[i].seen);
    }
}

TEST(a_message_that_inflates_over_the_limit_is_refused_on_both_sides)
{
    struct echo_server e;
    struct echo_msg reply;
    echo_start(&e, &echoes, NULL, (sennit_server_options){ .max_recv_msg_size = 1000 });
    sennit_conn *c = sennit_dial(
        e.address, &(sennit_conn_options){ .creds = echo_creds(), .compressor = "gzip" });
    sennit_ctx *ctx = sennit_ctx_timeout(NULL, 30 * SENNIT_SECOND);
    sennit_str text = long_text(sennit_ctx_arena(ctx), LONG_TEXT);
    sennit_err err = echo_call(c, ctx, text.data, &reply);
    check_int(code_of(err), SENNIT_RESOURCE_EXHAUSTED);
    check_str(said(err), "grpc: received message after decompression larger than max 1000");
    struct echo_msg q = { .text = { text.data, 900 } };
    sennit_call_options o = { .max_recv_msg_size = 500 };
    err = sennit_call(c, ctx, &echo_methods[0], &q, &reply, &o, sizeof o);
    check_str(said(err), "grpc: received message after decompression larger than max 500");
    sennit_ctx_free(ctx);
    sennit_conn_free(c);
    echo_stop(&e);
}

TEST_FAULTS(without_memory_both_ways_end_in_an_error)
{
    sennit_arena *a = sennit_arena_new();
    for (size_t i = 0; a && i < 2; i++) {
        sennit_str text = sennit_s("some text, some text, some text"), packed, plain;
        sennit_err err = both[i]->compress(both[i]->self, a, text, &packed);
        if (!err)
            err = both[i]->decompress(both[i]->self, a, packed, 1000, &plain);
        if (!err)
            check(plain.len == text.len && memcmp(plain.data, text.data, text.len) == 0);
        else
            check(test_under_fault() && err->code == SENNIT_RESOURCE_EXHAUSTED);
    }
    sennit_arena_free(a);
}
