/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * client.c: the client under Connect's conformance suite: each message on standard input is a call
 * to make, on a connection of its own and in a goroutine of its own, which owns the job. Calls are
 * made with raw messages, since the suite gives them encoded. Built by run_connect. */
#include "compat.h"

#include <stdio.h>
#include <stdlib.h>

#define AT_ONCE 16

struct job {
    sennit_ctx *life, *ctx; /* of the job; of the call */
    cf_ClientCompatRequest q;
    sennit_method method;
    sennit_call_options o;
    const sennit_md *header, *trailer;
    cf_ConformancePayload *payloads;
    size_t n, room;
    int unsent;
    sennit_err decoding; /* of a response: the call's error, then */
    sennit_wait_group later;
};

static sennit_semaphore at_once;
static sennit_wait_group all;
static sennit_mutex output;

static void keep(struct job *j, const sennit_raw *reply)
{
    cf_UnaryResponse r;
    if (j->n == j->room) {
        cf_ConformancePayload *more = compat_alloc(j->life, (j->room * 2 + 4) * sizeof *more);
        if (j->n)
            memcpy(more, j->payloads, j->n * sizeof *more);
        j->payloads = more, j->room = j->room * 2 + 4;
    }
    sennit_err err = cf_UnaryResponse_decode(sennit_ctx_arena(j->life), reply->octets, &r);
    if (err)
        j->decoding = sennit_err_copy(sennit_ctx_arena(j->life),
                                      sennit_errorf(SENNIT_INTERNAL, "%s", err->message));
    else
        j->payloads[j->n++] = *r.payload;
}

static void wait_ms(uint32_t ms)
{
    if (ms)
        sennit_sleep(NULL, ms * SENNIT_MILLISECOND);
}

/* After the half-close, or what stands for it; -1: never. */
static int64_t cancel_after(const struct job *j)
{
    const cf_ClientCompatRequest_Cancel *c = j->q.cancel;
    if (!j->q.has_cancel)
        return -1;
    if (c->which_cancel_timing == cf_ClientCompatRequest_Cancel_cancel_timing_after_close_send_ms)
        return c->after_close_send_ms;
    return c->which_cancel_timing ? -1 : 0;
}

static void cancel_later(void *arg)
{
    struct job *j = arg;
    wait_ms((uint32_t)cancel_after(j));
    sennit_ctx_cancel(j->ctx);
    sennit_wait_group_done(&j->later);
}

static sennit_raw message(const struct job *j, size_t i)
{
    return (sennit_raw){ j->q.request_messages.data[i].value };
}

static sennit_err unary(struct job *j, sennit_conn *conn)
{
    sennit_raw request = message(j, 0), reply;
    wait_ms(j->q.request_delay_ms);
    if (cancel_after(j) >= 0) {
        sennit_wait_group_add(&j->later, 1);
        sennit_go(cancel_later, j);
    }
    sennit_err err = sennit_call(conn, j->ctx, &j->method, &request, &reply, &j->o, sizeof j->o);
    sennit_wait_group_wait(&j->later, NULL);
    if (!err)
        keep(j, &reply);
    return err;
}

/* One more response, if there is one. */
static bool receive(struct job *j, sennit_stream *s)
{
    const cf_ClientCompatRequest_Cancel *c = j->q.cancel;
    const sennit_raw *m = sennit_recv(s);
    if (!m)
        return false;
    keep(j, m);
    if (j->q.has_cancel &&
        c->which_cancel_timing == cf_ClientCompatRequest_Cancel_cancel_timing_after_num_responses &&
        c->after_num_responses == j->n)
        sennit_ctx_cancel(j->ctx);
    return true;
}

static sennit_err stream(struct job *j, sennit_conn *conn)
{
    bool one = j->method.flags == 2, full = j->q.stream_type == 5;
    size_t n = j->q.request_messages.len, i = 0;
    sennit_raw first = one ? message(j, 0) : (sennit_raw){ sennit_s("") }, reply;
    if (one)
        wait_ms(j->q.request_delay_ms);
    sennit_stream *s =
        sennit_start(conn, j->ctx, &j->method, one ? &first : NULL, &j->o, sizeof j->o);
    for (; !one && i < n; i++) {
        wait_ms(j->q.request_delay_ms);
        sennit_raw m = message(j, i);
        if (sennit_send(s, &m))
            break;
        if (full && !receive(j, s)) {
            i++;
            break;
        }
    }
    j->unsent = one ? 0 : (int)(n - i);
    if (j->q.has_cancel && j->q.cancel->which_cancel_timing ==
                               cf_ClientCompatRequest_Cancel_cancel_timing_before_close_send)
        sennit_ctx_cancel(j->ctx);
    sennit_close_send(s);
    if (cancel_after(j) >= 0) {
        wait_ms((uint32_t)cancel_after(j));
        sennit_ctx_cancel(j->ctx);
    }
    if (j->method.flags == 1) {
        sennit_err err = sennit_finish(s, &reply);
        if (!err)
            keep(j, &reply);
        return err;
    }
    while (receive(j, s)) {
    }
    return sennit_finish(s, NULL);
}

/* -- one job ---------------------------------------------------------------------------------- */

static const char *compressor(int32_t c)
{
    return c == cf_Compression_COMPRESSION_GZIP      ? "gzip"
           : c == cf_Compression_COMPRESSION_DEFLATE ? "deflate"
           : c == cf_Compression_COMPRESSION_ZSTD    ? "zstd"
                                                     : NULL;
}

static sennit_err add_metadata(void *md, const char *key, sennit_str value)
{
    return sennit_md_add(md, key, value);
}

static void reply(struct job *j, const cf_ClientCompatResponse *r)
{
    sennit_str octets = cf_ClientCompatResponse_encode(sennit_ctx_arena(j->life), r);
    sennit_err err = sennit_mutex_lock(&output, NULL);
    compat_write(octets);
    if (!err)
        sennit_mutex_unlock(&output);
}

static void refuse(struct job *j, sennit_err err)
{
    cf_ClientErrorResult e = { .message = sennit_s(sennit_err_text(err)) };
    reply(j, &(cf_ClientCompatResponse){ .test_name = j->q.test_name,
                                         .which_result = cf_ClientCompatResponse_result_error,
                                         .error = &e });
}

static void perform(struct job *j)
{
    static const uint8_t flags[] = { 0, 0, 1, 2, 3, 3 };
    const cf_ClientCompatRequest *q = &j->q;
    sennit_auto(sennit_creds) *tls = NULL;
    if (q->server_tls_cert.len)
        tls = sennit_tls_new(
            &(sennit_tls_options){ .ca_pem = q->server_tls_cert,
                                   .cert_pem = compat_given(q->client_tls_creds->cert),
                                   .key_pem = compat_given(q->client_tls_creds->key) });
    sennit_auto(sennit_conn) *conn =
        sennit_dial(sennit_printf(j->life, "%s:%u", q->host.data, q->port).data,
                    &(sennit_conn_options){ .creds = tls ? tls : sennit_insecure(),
                                            .compressor = compressor(q->compression),
                                            .max_recv_msg_size = q->message_receive_limit });
    sennit_md *md = sennit_md_make(j->life);
    sennit_err err =
        compat_add(j->life, q->request_headers.data, q->request_headers.len, add_metadata, md);
    if (err) {
        refuse(j, err);
        return;
    }
    j->ctx = q->has_timeout_ms ? sennit_ctx_timeout(j->life, q->timeout_ms * SENNIT_MILLISECOND)
                               : sennit_ctx_new(j->life);
    sennit_auto(sennit_ctx) *ctx = j->ctx;
    j->o = (sennit_call_options){ .metadata = md, .header = &j->header, .trailer = &j->trailer };
    sennit_str path = sennit_printf(j->life, "/%s/%s", q->service.data, q->method.data);
    j->method = (sennit_method){ SENNIT_TABLES,    flags[q->stream_type], path.data,
                                 &sennit_raw_desc, &sennit_raw_desc,      NULL };
    err = j->method.flags ? stream(j, conn) : unary(j, conn);
    if (!err)
        err = j->decoding;
    struct compat_headers header = compat_headers(j->life, j->header);
    struct compat_headers trailer = compat_headers(j->life, j->trailer);
    cf_ClientResponseResult r = {
        .response_headers = { header.data, header.len },
        .payloads = { j->payloads, j->n },
        .error = err ? compat_error(j->life, err) : NULL,
        .response_trailers = { trailer.data, trailer.len },
        .num_unsent_requests = j->unsent,
    };
    reply(j, &(cf_ClientCompatResponse){ .test_name = q->test_name,
                                         .which_result = cf_ClientCompatResponse_result_response,
                                         .response = &r });
}

static void run(void *arg)
{
    struct job *j = arg;
    perform(j);
    sennit_ctx_free(j->life);
    sennit_semaphore_release(&at_once, 1);
    sennit_wait_group_done(&all);
}

int main(void)
{
    sennit_str octets;
    if (sennit_zstd_register())
        return 1;
    sennit_semaphore_release(&at_once, AT_ONCE);
    for (;;) {
        sennit_ctx *life = sennit_ctx_new(NULL);
        if (!compat_read(life, &octets)) {
            sennit_ctx_free(life);
            break;
        }
        struct job *j = compat_alloc(life, sizeof *j);
        *j = (struct job){ .life = life };
        sennit_err err = cf_ClientCompatRequest_decode(sennit_ctx_arena(life), octets, &j->q);
        if (!err)
            err = sennit_semaphore_acquire(&at_once, NULL);
        sennit_wait_group_add(&all, 1);
        if (err || sennit_go(run, j)) {
            fprintf(stderr, "a request that cannot be made\n");
            return 1;
        }
    }
    return sennit_wait_group_wait(&all, NULL) ? 1 : 0;
}
