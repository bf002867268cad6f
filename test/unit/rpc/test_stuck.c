/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * test_stuck.c: handlers that block their threads, on two workers: 16 sit in read(2) on a pipe, 4
 * spin until told, and 1,000 other RPCs, or messages, on the same connection go on meanwhile. */
#include "talk.h"
#include <stdlib.h>
#include <unistd.h>

enum { READERS = 16, SPINNERS = 4, OTHERS = 1000, OTHER_CALLERS = 20 };

struct stuck {
    int pipe[2];
    _Atomic bool told;
    _Atomic int reading, spinning, others;
};

static sennit_err get_stuck(void *self, sennit_ctx *ctx, const struct echo_msg *q,
                            struct echo_msg *r)
{
    struct stuck *s = self;
    char c = 0;
    (void)ctx;
    r->number = q->number + 1;
    if (strcmp(q->text.data, "read") == 0) {
        atomic_fetch_add(&s->reading, 1);
        if (read(s->pipe[0], &c, 1) != 1)
            return sennit_errorf(SENNIT_INTERNAL, "the pipe is gone");
    } else if (strcmp(q->text.data, "spin") == 0) {
        atomic_fetch_add(&s->spinning, 1);
        while (!atomic_load(&s->told)) {
        }
    } else {
        atomic_fetch_add(&s->others, 1);
    }
    return NULL;
}

struct caller {
    sennit_conn *conn;
    const char *text;
    int calls;
    _Atomic int right;
    sennit_wait_group done;
};

static void call_stuck(void *arg)
{
    struct caller *c = arg;
    sennit_ctx *ctx = sennit_ctx_timeout(NULL, 100 * SENNIT_SECOND);
    for (int i = 0; i < c->calls; i++) {
        struct echo_msg reply;
        sennit_err err = echo_call(c->conn, ctx, c->text, &reply);
        if (err)
            fprintf(stderr, "%s: %s\n", c->text, err->message);
        atomic_fetch_add(&c->right, !err && reply.number == 1);
        sennit_ctx_reset(ctx, 100 * SENNIT_SECOND);
    }
    sennit_ctx_free(ctx);
    sennit_wait_group_done(&c->done);
}

static void start_callers(struct caller *c, int n)
{
    sennit_wait_group_add(&c->done, n);
    for (int i = 0; i < n; i++)
        check(!sennit_go(call_stuck, c));
}

TEST_WITH(a_thousand_calls_finish_beside_handlers_that_are_stuck, 100, false)
{
    static const struct echo_service service = { .unary = get_stuck };
    struct echo_server e;
    struct stuck s = { .reading = 0 };
    setenv("SENNIT_MAXPROCS", "2", 1);
    check(pipe(s.pipe) == 0);
    echo_start(&e, &service, &s, (sennit_server_options){ 0 });
    sennit_conn *conn = echo_dial(e.address);
    struct caller readers = { .conn = conn, .text = "read", .calls = 1 };
    struct caller spinners = { .conn = conn, .text = "spin", .calls = 1 };
    struct caller others = { .conn = conn, .text = "other", .calls = OTHERS / OTHER_CALLERS };
    start_callers(&readers, READERS);
    start_callers(&spinners, SPINNERS);
    while (s.reading < READERS || s.spinning < SPINNERS)
        usleep(1000);
    start_callers(&others, OTHER_CALLERS);
    sennit_wait_group_wait(&others.done, NULL);
    check_int(others.right, OTHERS);
    check_int(s.others, OTHERS);
    check_int(readers.right + spinners.right, 0); /* they are stuck still */
    atomic_store(&s.told, true);
    check(write(s.pipe[1], "0123456789abcdef", READERS) == READERS);
    sennit_wait_group_wait(&readers.done, NULL);
    sennit_wait_group_wait(&spinners.done, NULL);
    check_int(readers.right, READERS);
    check_int(spinners.right, SPINNERS);
    sennit_conn_free(conn);
    echo_stop(&e);
    close(s.pipe[0]), close(s.pipe[1]);
}

/* 16 streaming handlers block their threads and 4 burn CPU: on two workers the others go on. */
struct nuisance {
    int pipe[2];
    _Atomic int stuck;
    _Atomic bool told;
};
static sennit_err nuisance_or_echo(void *self, sennit_ctx *ctx, sennit_stream *s)
{
    struct nuisance *n = self;
    const struct echo_msg *m = sennit_recv(s);
    char c = 0;
    if (!m || m->text.len == 0)
        return m ? echo_chat(self, ctx, s) : sennit_stream_error(s);
    bool reads = strcmp(m->text.data, "read") == 0;
    n->stuck++;
    if (reads && read(n->pipe[0], &c, 1) != 1)
        return sennit_errorf(SENNIT_INTERNAL, "the pipe is gone");
    while (!reads && !n->told) {
    }
    return sennit_send(s, m);
}

TEST_WITH(streams_go_on_beside_streaming_handlers_that_are_stuck, 100, false)
{
    static const struct echo_service service = { .chat = nuisance_or_echo };
    struct nuisance n = { .stuck = 0 };
    struct talk t;
    sennit_stream *stuck[20];
    setenv("SENNIT_MAXPROCS", "2", 1);
    check(pipe(n.pipe) == 0);
    talk_start(&t, &service, &n, (sennit_server_options){ 0 });
    for (int i = 0; i < 20; i++) {
        stuck[i] = talk_open(&t, CHAT, NULL);
        const char *how = i < 16 ? "read" : "spin";
        check_str(said(sennit_send(stuck[i], &(struct echo_msg){ .text = sennit_s(how) })), "fine");
    }
    while (n.stuck < 20)
        sennit_sleep(NULL, SENNIT_MILLISECOND);
    for (int round = 0; round < 10; round++) {
        sennit_stream *s = talk_open(&t, CHAT, NULL);
        check_str(said(sennit_send(s, &(struct echo_msg){ 0 })), "fine");
        for (int64_t i = 1; i <= 100; i++) {
            check_str(said(sennit_send(s, &(struct echo_msg){ .number = i })), "fine");
            const struct echo_msg *m = sennit_recv(s);
            check(m && m->number == i);
        }
        check_str(said(sennit_finish(s, NULL)), "fine");
    }
    n.told = true;
    check(write(n.pipe[1], "0123456789abcdef", 16) == 16);
    for (int i = 0; i < 20; i++) {
        check(sennit_recv(stuck[i]));
        check_str(said(sennit_finish(stuck[i], NULL)), "fine");
    }
    talk_stop(&t);
    close(n.pipe[0]);
    close(n.pipe[1]);
}
