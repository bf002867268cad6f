/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * echo.h: a service with all four kinds of method, its tables written by hand so that these tests
 * need no plugin; a server of it on a port of its own; clients. Included by each test program once.
 */
#ifndef SENNIT_TEST_ECHO_H
#define SENNIT_TEST_ECHO_H

#include "harness.h"
#include "rt/rt.h"
#include "sennit.h"

/* With ECHO_TLS the same tests run over TLS, but for those whose peer is a bare socket or another
 * process, or that look at what the kernel says. */
#ifdef ECHO_TLS
#include "pki.h"
static sennit_creds *echo_tls;
static bool (*echo_at_end)(void);
static bool echo_free_tls(void)
{
    sennit_creds_free(echo_tls);
    return echo_at_end();
}
/* One object for both sides, until the test's end. First called by the test's own thread. */
__attribute__((unused)) static const sennit_creds *echo_creds(void)
{
    static struct pki ca, own;
    if (echo_tls)
        return echo_tls;
    pki_counts = !test_under_fault(); /* what OpenSSL cannot get, test_tls_oom shows */
    pki_make(&ca, NULL, "Test Root", NULL, 30);
    pki_make(&own, &ca, "server", "IP:127.0.0.1,IP:0:0:0:0:0:0:0:1,DNS:localhost", 30);
    echo_tls = sennit_tls_new(&(sennit_tls_options){ .ca_pem = pki_cert(&ca),
                                                     .cert_pem = pki_cert(&own),
                                                     .key_pem = pki_key(&own),
                                                     .client_cert = -1 });
    pki_free(&ca), pki_free(&own);
    echo_at_end = test_at_end;
    test_at_end = echo_free_tls;
    return echo_tls;
}
#define ECHO_AUTH               "tls"
#define TEST_PLAIN(name)        __attribute__((unused)) static void name##_is_plain(void)
#define TEST_PLAIN_FAULTS(name) TEST_PLAIN(name)
#else
__attribute__((unused)) static const sennit_creds *echo_creds(void) { return sennit_insecure(); }
#define ECHO_AUTH               "insecure"
#define TEST_PLAIN(name)        TEST(name)
#define TEST_PLAIN_FAULTS(name) TEST_FAULTS(name)
#endif

struct echo_msg {
    sennit_str text;
    int64_t number;
    sennit_str unknown;
};
static const struct echo_msg echo_empty = { { "", 0 }, 0, { "", 0 } };
static const sennit_field echo_fields[] = {
    { .number = 1,
      .offset = offsetof(struct echo_msg, text),
      .kind = SENNIT_KIND_STRING,
      .flags = SENNIT_FIELD_UTF8,
      .name = "text" },
    { .number = 2,
      .offset = offsetof(struct echo_msg, number),
      .kind = SENNIT_KIND_INT64,
      .name = "number" },
};
static const sennit_msg_desc echo_desc = {
    SENNIT_TABLES,
    sizeof(struct echo_msg),
    2,
    2,
    offsetof(struct echo_msg, unknown),
    0,
    echo_fields,
    "test.Echo",
    &echo_empty,
    NULL,
};

struct echo_service {
    sennit_err (*unary)(void *self, sennit_ctx *ctx, const struct echo_msg *q, struct echo_msg *r);
    sennit_err (*list)(void *self, sennit_ctx *ctx, const struct echo_msg *q, sennit_stream *s);
    sennit_err (*collect)(void *self, sennit_ctx *ctx, sennit_stream *s, struct echo_msg *r);
    sennit_err (*chat)(void *self, sennit_ctx *ctx, sennit_stream *s);
};
extern const sennit_method echo_methods[4];

static sennit_err echo_invoke_unary(const void *v, void *self, sennit_ctx *ctx, const void *q,
                                    void *r, sennit_stream *s)
{
    const struct echo_service *e = v;
    (void)s;
    return e->unary ? e->unary(self, ctx, q, r) : sennit_not_implemented(&echo_methods[0]);
}
static sennit_err echo_invoke_list(const void *v, void *self, sennit_ctx *ctx, const void *q,
                                   void *r, sennit_stream *s)
{
    const struct echo_service *e = v;
    (void)r;
    return e->list ? e->list(self, ctx, q, s) : sennit_not_implemented(&echo_methods[1]);
}
static sennit_err echo_invoke_collect(const void *v, void *self, sennit_ctx *ctx, const void *q,
                                      void *r, sennit_stream *s)
{
    const struct echo_service *e = v;
    (void)q;
    return e->collect ? e->collect(self, ctx, s, r) : sennit_not_implemented(&echo_methods[2]);
}
static sennit_err echo_invoke_chat(const void *v, void *self, sennit_ctx *ctx, const void *q,
                                   void *r, sennit_stream *s)
{
    const struct echo_service *e = v;
    (void)q, (void)r;
    return e->chat ? e->chat(self, ctx, s) : sennit_not_implemented(&echo_methods[3]);
}
const sennit_method echo_methods[4] = {
    { SENNIT_TABLES, 0, "/test.Echo/Unary", &echo_desc, &echo_desc, echo_invoke_unary },
    { SENNIT_TABLES, 2, "/test.Echo/List", &echo_desc, &echo_desc, echo_invoke_list },
    { SENNIT_TABLES, 1, "/test.Echo/Collect", &echo_desc, &echo_desc, echo_invoke_collect },
    { SENNIT_TABLES, 3, "/test.Echo/Chat", &echo_desc, &echo_desc, echo_invoke_chat },
};
static const sennit_service_desc echo_service_desc = { SENNIT_TABLES, 4, "test.Echo", echo_methods,
                                                       NULL };

/* A server in this process, on a free port of 127.0.0.1. */
struct echo_server {
    sennit_server *server;
    sennit_wait_group done;
    _Atomic bool stopping;
    char address[128];
};

static void echo_serve(void *arg)
{
    struct echo_server *e = arg;
    sennit_err err = sennit_serve(e->server);
    if (err && !e->stopping) /* stopped before it served */
        test_failed(__FILE__, __LINE__, "serve: %s", err->message);
    sennit_wait_group_done(&e->done);
}

__attribute__((unused)) static void echo_start_at(struct echo_server *e, const char *address,
                                                  const struct echo_service *service, void *self,
                                                  sennit_server_options o)
{
    memset(e, 0, sizeof *e);
    if (!o.creds)
        o.creds = echo_creds();
    e->server = sennit_server_new(&o);
    check(!sennit_register(e->server, &echo_service_desc, service, self));
    check(!sennit_listen(e->server, address));
    snprintf(e->address, sizeof e->address, "%s", sennit_bound_address(e->server, 0));
    sennit_wait_group_add(&e->done, 1);
    check(!sennit_go(echo_serve, e));
}

__attribute__((unused)) static void echo_start(struct echo_server *e,
                                               const struct echo_service *service, void *self,
                                               sennit_server_options o)
{
    echo_start_at(e, "127.0.0.1:0", service, self, o);
}

__attribute__((unused)) static void echo_stop(struct echo_server *e)
{
    e->stopping = true;
    sennit_server_stop(e->server, 5 * SENNIT_SECOND);
    sennit_wait_group_wait(&e->done, NULL);
    sennit_server_free(e->server);
}

__attribute__((unused)) static sennit_conn *echo_dial(const char *address)
{
    return sennit_dial(address, &(sennit_conn_options){ .creds = echo_creds() });
}

__attribute__((unused)) static sennit_err echo_call(sennit_conn *c, sennit_ctx *ctx,
                                                    const char *text, struct echo_msg *reply)
{
    struct echo_msg q = { .text = sennit_s(text) };
    return sennit_call(c, ctx, &echo_methods[0], &q, reply, NULL, 0);
}

/* The usual answer: the text again, the number plus one. */
__attribute__((unused)) static sennit_err echo_back(void *self, sennit_ctx *ctx,
                                                    const struct echo_msg *q, struct echo_msg *r)
{
    (void)self, (void)ctx;
    r->text = q->text;
    r->number = q->number + 1;
    return NULL;
}

__attribute__((constructor)) static void echo_leak_check(void)
{
    if (!test_at_end) /* pki.h has more to end */
        test_at_end = rt_shutdown;
}

#endif
