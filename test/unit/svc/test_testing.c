/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * test_testing.c: what sennit_test.h gives to the tests of users: pipes, the clock, the leak check.
 */
#include "base/limits.h"
#include "base/sys.h"
#include "sennit_test.h"
#include "talk.h"
#include <stdlib.h>
#include <unistd.h>

#define HOUR (3600 * SENNIT_SECOND)

static sennit_err peer_back(void *self, sennit_ctx *ctx, const struct echo_msg *q,
                            struct echo_msg *r)
{
    check_str(sennit_handler_peer(ctx)->address, "pipe");
    check_str(sennit_handler_peer(ctx)->local_address, "pipe");
    check_str(sennit_handler_authority(ctx), "localhost");
    return echo_back(self, ctx, q, r);
}
static const struct echo_service service = { .unary = peer_back, .chat = echo_chat };

static sennit_server *server_of(const struct echo_service *s)
{
    sennit_server *server =
        sennit_server_new(&(sennit_server_options){ .creds = sennit_insecure() });
    sennit_err err = sennit_register(server, &echo_service_desc, s, NULL);
    check(!err || test_under_fault());
    return server;
}

static sennit_conn *pipe_to(sennit_server *s)
{
    return sennit_test_dial(s, &(sennit_conn_options){ .creds = sennit_insecure() });
}

static int no_socket(int family, int type, int protocol)
{
    (void)family, (void)type, (void)protocol;
    test_failed(__FILE__, __LINE__, "a socket is made");
}

TEST(calls_and_streams_cross_a_pipe_without_sockets)
{
    sys.socket = no_socket;
    sennit_server *s = server_of(&service);
    sennit_conn *c = pipe_to(s), *other = pipe_to(s);
    sennit_ctx *ctx = sennit_ctx_timeout(NULL, 30 * SENNIT_SECOND);
    struct echo_msg reply;
    for (int i = 0; i < 100; i++)
        check_str(said(echo_call(i % 2 ? c : other, ctx, "hello", &reply)), "fine");
    check_str(reply.text.data, "hello");
    sennit_stream *st = sennit_start(c, ctx, &echo_methods[CHAT], NULL, NULL, 0);
    for (int i = 0; i < 100; i++) {
        check(!sennit_send(st, &(struct echo_msg){ .number = i }));
        const struct echo_msg *m = sennit_recv(st);
        check(m && m->number == i);
    }
    check(!sennit_finish(st, NULL));
    sennit_ctx_free(ctx);
    sennit_conn_free(c);
    sennit_conn_free(other);
    sennit_server_free(s);
}

TEST(messages_larger_than_the_pipe_cross_it_both_ways)
{
    sennit_server *s = server_of(&service);
    sennit_conn *c = pipe_to(s);
    sennit_ctx *ctx = sennit_ctx_timeout(NULL, 30 * SENNIT_SECOND);
    struct echo_msg reply;
    for (size_t n = LIMIT_PIPE / 2; n < 20 * LIMIT_PIPE; n = n * 3 + 1) {
        char *text = malloc(n + 1);
        for (size_t i = 0; i < n; i++)
            text[i] = (char)('a' + i % 23);
        text[n] = 0;
        check_str(said(echo_call(c, ctx, text, &reply)), "fine");
        check_int(reply.text.len, n);
        check(memcmp(reply.text.data, text, n) == 0);
        free(text);
    }
    sennit_ctx_free(ctx);
    sennit_conn_free(c);
    sennit_server_free(s);
}

TEST(a_stopped_server_and_bad_ends_are_told_by_the_call)
{
    sennit_server *s = server_of(&service);
    sennit_conn *c = pipe_to(s);
    sennit_ctx *ctx = sennit_ctx_timeout(NULL, 30 * SENNIT_SECOND);
    struct echo_msg reply;
    check(!echo_call(c, ctx, "hello", &reply));
    sennit_server_stop(s, -1);
    sennit_err err = echo_call(c, ctx, "hello", &reply);
    check_int(code_of(err), SENNIT_UNAVAILABLE);
    check(strstr(err->message, "connection refused"));
    sennit_conn *late = pipe_to(s);
    check_str(sennit_err_reason(echo_call(late, ctx, "hello", &reply)), "SENNIT-E121");
    sennit_conn_free(late);
    late = sennit_test_dial(s, &(sennit_conn_options){ .creds = sennit_local() });
    check_int(code_of(echo_call(late, ctx, "hello", &reply)), SENNIT_FAILED_PRECONDITION);
    sennit_conn_free(late);
    sennit_server *bad = sennit_server_new(NULL);
    late = pipe_to(bad);
    check_str(sennit_err_reason(echo_call(late, ctx, "hello", &reply)), "SENNIT-E101");
    sennit_conn_free(late);
    sennit_server_free(bad);
    sennit_ctx_free(ctx);
    sennit_conn_free(c);
    sennit_server_free(s);
}

TEST_FAULTS(a_pipe_without_memory_ends_in_an_error)
{
    sennit_server *s = server_of(&service);
    sennit_conn *c = pipe_to(s);
    sennit_ctx *ctx = sennit_ctx_timeout(NULL, 30 * SENNIT_SECOND);
    struct echo_msg reply;
    sennit_err err = echo_call(c, ctx, "hello", &reply);
    check(!err || test_under_fault());
    sennit_ctx_free(ctx);
    sennit_conn_free(c);
    sennit_server_free(s);
}

/* -- the clock -------------------------------------------------------------------------------- */

static sennit_err sleep_on(void *self, sennit_ctx *ctx, const struct echo_msg *q,
                           struct echo_msg *r)
{
    sennit_err late = sennit_sleep(ctx, q->number * HOUR);
    return late ? late : echo_back(self, ctx, q, r);
}

/* Until so many timers are armed: n of goroutines that sleep, and of deadlines. */
static void until_armed(int64_t n)
{
    sennit_stats s;
    do {
        sennit_yield();
        usleep(100);
        sennit_get_stats(&s);
    } while (s.timers < n);
}

struct late_call {
    sennit_conn *c;
    sennit_duration deadline;
    int hours;
    _Atomic int code;
    sennit_wait_group done;
};

static void call_late(void *arg)
{
    struct late_call *l = arg;
    sennit_ctx *ctx = sennit_ctx_timeout(NULL, l->deadline);
    struct echo_msg q = { .number = l->hours }, reply;
    l->code = code_of(sennit_call(l->c, ctx, &echo_methods[0], &q, &reply, NULL, 0));
    sennit_ctx_free(ctx);
    sennit_wait_group_done(&l->done);
}

TEST(hours_pass_when_the_test_says_so)
{
    static const struct echo_service sleepy = { .unary = sleep_on };
    check(!sennit_test_clock_start() && !sennit_test_clock_start());
    sennit_server *s = server_of(&sleepy);
    sennit_conn *c = pipe_to(s);
    struct late_call calls[] = { { c, 2 * HOUR, 1, SENNIT_ABORTED, { { 0 } } },
                                 { c, HOUR / 2, 1, SENNIT_ABORTED, { { 0 } } } };
    int64_t began = sennit_now();
    for (size_t i = 0; i < 2; i++) {
        sennit_wait_group_add(&calls[i].done, 1);
        check(!sennit_go(call_late, &calls[i]));
    }
    until_armed(6); /* deadlines on both sides, and two that sleep */
    sennit_test_clock_advance(HOUR / 2 + SENNIT_SECOND);
    check(!sennit_wait_group_wait(&calls[1].done, NULL));
    check_int(calls[1].code, SENNIT_DEADLINE_EXCEEDED);
    check_int(calls[0].code, SENNIT_ABORTED); /* not yet */
    sennit_test_clock_advance(HOUR);
    check(!sennit_wait_group_wait(&calls[0].done, NULL));
    check_int(calls[0].code, SENNIT_OK);
    int64_t took = sennit_now() - began;
    check(took > HOUR + HOUR / 2 && took < 2 * HOUR);
    sennit_conn_free(c);
    sennit_server_free(s);
}

static _Atomic int ticks;

static void tick_hourly(void *unused)
{
    (void)unused;
    for (int i = 0; i < 24; i++) {
        sennit_sleep(NULL, HOUR);
        ticks++;
    }
}

TEST(what_sleeps_again_and_again_is_woken_each_time)
{
    check(!sennit_test_clock_start());
    check(!sennit_go(tick_hourly, NULL));
    until_armed(1);
    sennit_test_clock_advance(10 * HOUR + HOUR / 2);
    check_int(ticks, 10);
    sennit_test_clock_advance(20 * HOUR);
    check_int(ticks, 24);
}

TEST(the_clock_must_be_first)
{
    sennit_sleep(NULL, 1);
    check_str(sennit_err_reason(sennit_test_clock_start()), "SENNIT-E116");
    int64_t before = sennit_now();
    sennit_test_clock_advance(HOUR);
    check(sennit_now() - before < HOUR);
}

/* -- the leak check --------------------------------------------------------------------------- */

static void wait_for_it(void *note) { rt_note_wait(note, "being left over"); }

TEST(what_a_test_leaves_is_counted)
{
    struct rt_note note = { 0 };
    sennit_test_mark mark = sennit_test_begin();
    check(!sennit_test_end(&mark));
    sennit_server *s = server_of(&service);
    sennit_conn *c = pipe_to(s);
    sennit_ctx *ctx = sennit_ctx_timeout(NULL, 30 * SENNIT_SECOND);
    struct echo_msg reply;
    check(!echo_call(c, ctx, "hello", &reply));
    sennit_ctx_free(ctx);
    sennit_conn_free(c);
    sennit_server_free(s);
    check(!sennit_test_end(&mark));
    check(!sennit_go(wait_for_it, &note));
    sennit_err left = sennit_test_end(&mark);
    check(left);
    check_str(left->message, "left over: 1 goroutines, 0 timers, 0 descriptors");
    rt_note_set(&note);
    check(!sennit_test_end(&mark));
}
