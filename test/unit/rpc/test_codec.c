/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * test_codec.c: messages of another runtime in RPCs and in the calls for single messages. This one
 * writes a number in decimal, and keeps a copy of what it read; 13 and 14 are refused. */
#include <stdlib.h>

#include "talk.h"

struct number {
    uint32_t n;
    const char *text; /* as it was read, in the arena */
};
static const struct number number_empty = { 0, "none" };

static size_t number_size(const sennit_codec *c, const void *msg)
{
    const struct number *m = msg;
    check_str(c->data, "own");
    return m->n == 13 ? SIZE_MAX : (size_t)snprintf(NULL, 0, "%u", m->n);
}

static bool number_encode(const sennit_codec *c, const void *msg, char *to, size_t size)
{
    const struct number *m = msg;
    char digits[16];
    check_str(c->data, "own");
    snprintf(digits, sizeof digits, "%u", m->n);
    memcpy(to, digits, size);
    return m->n != 14;
}

static bool number_decode(const sennit_codec *c, sennit_arena *a, sennit_str octets, void *msg)
{
    struct number *m = msg;
    check_str(c->data, "own");
    check(m->n == 0 && octets.data[octets.len] == 0);
    char *copy = sennit_alloc(a, octets.len + 1);
    if (!copy)
        return false;
    memcpy(copy, octets.data, octets.len + 1);
    m->text = copy;
    m->n = (uint32_t)strtoul(copy, NULL, 10);
    return m->n != 0;
}

static const sennit_codec numbers = {
    .desc = { .version = SENNIT_TABLES,
              .size = sizeof(struct number),
              .flags = SENNIT_MSG_CODEC,
              .name = "test.Number",
              .empty = &number_empty },
    .data = "own",
    .size = number_size,
    .encode = number_encode,
    .decode = number_decode,
};

static sennit_err add_one(const void *methods, void *self, sennit_ctx *ctx, const void *q, void *r,
                          sennit_stream *s)
{
    (void)methods, (void)self, (void)ctx, (void)s;
    check_str(((const struct number *)r)->text, "none");
    ((struct number *)r)->n = ((const struct number *)q)->n + 1;
    return NULL;
}

static const sennit_method method = { SENNIT_TABLES, 0,      "/test.Numbers/AddOne", &numbers.desc,
                                      &numbers.desc, add_one };
static const sennit_service_desc service = { SENNIT_TABLES, 1, "test.Numbers", &method, NULL };

static void serve(void *server) { check(!sennit_serve(server)); }

/* What a call by `m` ends with; *reply as it is then. */
static const char *called(sennit_conn *conn, sennit_ctx *ctx, const sennit_method *m, uint32_t n,
                          struct number *reply)
{
    struct number q = { n, NULL };
    return said(sennit_call(conn, ctx, m, &q, reply, NULL, 0));
}

TEST(messages_of_another_runtime_go_both_ways)
{
    sennit_server *server = sennit_server_new(&(sennit_server_options){ .creds = echo_creds() });
    check(!sennit_register(server, &service, NULL, NULL));
    check(!sennit_listen(server, "127.0.0.1:0"));
    check(!sennit_go(serve, server));
    sennit_conn *conn = echo_dial(sennit_bound_address(server, 0));
    sennit_ctx *ctx = sennit_ctx_timeout(NULL, 60 * SENNIT_SECOND);
    struct number reply;
    check_str(called(conn, ctx, &method, 41, &reply), "fine");
    check(reply.n == 42);
    check_str(reply.text, "42");
    /* Refused by the client's size and encode, by the server's, and by the server's decode. */
    const char *marshal = "grpc: error while marshaling test.Number: its codec refused it";
    for (uint32_t n = 12; n <= 14; n++) {
        check_str(called(conn, ctx, &method, n, &reply), marshal);
        check(reply.n == 0);
        check_str(reply.text, "none");
    }
    check_str(called(conn, ctx, &method, 0, &reply),
              "grpc: error unmarshalling request (test.Number, 1 octets): its codec refused it");
    /* To the same method in octets. */
    const sennit_method raw = { SENNIT_TABLES,    0,   method.path, &sennit_raw_desc,
                                &sennit_raw_desc, NULL };
    sennit_raw q = { sennit_s("99") }, r;
    check(!sennit_call(conn, ctx, &raw, &q, &r, NULL, 0));
    check(r.octets.len == 3 && memcmp(r.octets.data, "100", 3) == 0);
    sennit_ctx_free(ctx);
    sennit_conn_free(conn);
    sennit_server_stop(server, SENNIT_SECOND);
    sennit_server_free(server);
}

TEST_FAULTS(the_calls_for_single_messages_know_codecs)
{
    sennit_arena *a = sennit_arena_new();
    struct number n = { 123, NULL }, back;
    if (!a)
        return;
    check(sennit_msg_size(&numbers.desc, &n) == 3);
    sennit_str octets = sennit_msg_encode(a, &numbers.desc, &n);
    check(octets.data ? octets.len == 3 && strcmp(octets.data, "123") == 0 : test_under_fault());
    sennit_err err = sennit_msg_decode(a, &numbers.desc, sennit_s("123"), &back);
    check(err ? test_under_fault() && back.n == 0 : back.n == 123 && !strcmp(back.text, "123"));
    const struct number *copy = sennit_msg_copy(a, &numbers.desc, &n);
    check(copy ? copy->n == 123 && !strcmp(copy->text, "123") : test_under_fault());
    err = sennit_msg_decode(a, &numbers.desc, sennit_s("x"), &back);
    check(err && (err->code == SENNIT_INVALID_ARGUMENT || test_under_fault()));
    check_str(back.text, "none");
    n.n = 14;
    check(!sennit_msg_encode(a, &numbers.desc, &n).data);
    err = sennit_json_encode_sized(a, &numbers.desc, &n, NULL, 0, &octets);
    check(err && (err->code == SENNIT_INVALID_ARGUMENT || test_under_fault()));
    err = sennit_text_decode_sized(a, &numbers.desc, sennit_s(""), NULL, 0, &back);
    check(err && (err->code == SENNIT_INVALID_ARGUMENT || test_under_fault()));
    sennit_raw raw = { sennit_s("abc") };
    const sennit_raw *again = sennit_msg_copy(a, &sennit_raw_desc, &raw);
    check(again ? again->octets.len == 3 && again->octets.data != raw.octets.data
                : test_under_fault());
    sennit_arena_free(a);
}
