/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * test_stream_misuse.c: one stream used by two goroutines where only one may (law 5). The one who
 * came second is told, by an error that names both; the first goes on undisturbed. One test for
 * each cell of the table in sennit.h, and a race that nobody wins by breaking something. */
#include "talk.h"
#include <stdlib.h>

/* The names that errors show. */
static void check_names_both(const char *text, const char *doing, const char *running,
                             const char *second, const char *first)
{
    char want[200];
    snprintf(want, sizeof want, "%s on stream /test.Echo/", doing);
    check(strstr(text, want) == text);
    snprintf(want, sizeof want, "(%s) while goroutine ", second);
    check(strstr(text, want));
    snprintf(want, sizeof want, "(%s) is %s on it", first, running);
    check(strstr(text, want));
    check(strstr(text, "the stream goes on undisturbed"));
}

struct first {
    sennit_stream *s;
    sennit_err (*call)(sennit_stream *s);
    sennit_wait_group done;
};

static void first_run(void *arg)
{
    struct first *f = arg;
    check_str(said(f->call(f->s)), "fine");
    sennit_wait_group_done(&f->done);
}

/* Starts call in a goroutine named "first" and returns when it has taken the seat. It cannot leave
 * it before the handler reads. */
static void first_start(struct first *f, sennit_stream *s, struct seat *seat,
                        sennit_err (*call)(sennit_stream *s))
{
    *f = (struct first){ .s = s, .call = call };
    sennit_wait_group_add(&f->done, 1);
    check(!sennit_go_with(&(sennit_go_options){ .name = "first" }, first_run, f));
    while (!seat_taken(seat))
        sennit_yield();
}

static char large[300000]; /* more than a window */

static sennit_err send_large(sennit_stream *s)
{
    memset(large, 'x', sizeof large);
    return sennit_send(s, &(struct echo_msg){ .text = { large, sizeof large } });
}

static sennit_err receive_large(sennit_stream *s)
{
    const struct echo_msg *m = sennit_recv(s);
    check(m);
    check_int(m->text.len, sizeof large);
    check(memcmp(m->text.data, large, sizeof large) == 0);
    return NULL;
}

struct scene {
    struct talk t;
    sennit_chan *go;
    sennit_stream *s;
    sennit_wait_group done;
    void (*second)(struct scene *sc);
};

static void scene_second(void *arg)
{
    struct scene *sc = arg;
    sc->second(sc);
    sennit_wait_group_done(&sc->done);
}

static void scene_start(struct scene *sc, const struct echo_service *service, int method)
{
    memset(sc, 0, sizeof *sc);
    sc->go = sennit_chan_new(sizeof(int), 4);
    talk_start(&sc->t, service, sc->go, (sennit_server_options){ 0 });
    sc->s = talk_open(&sc->t, method, NULL);
}

/* Runs fn in a goroutine named "second", and waits for it. */
static void scene_run(struct scene *sc, void (*fn)(struct scene *sc))
{
    sc->second = fn;
    sennit_wait_group_add(&sc->done, 1);
    check(!sennit_go_with(&(sennit_go_options){ .name = "second" }, scene_second, sc));
    sennit_wait_group_wait(&sc->done, NULL);
}

static void scene_let_read(struct scene *sc)
{
    int n = 1;
    check(!sennit_chan_send(sc->go, NULL, &n));
}

static void scene_stop(struct scene *sc)
{
    talk_stop(&sc->t);
    sennit_chan_free(sc->go);
}

static sennit_err collect_when_told(void *self, sennit_ctx *ctx, sennit_stream *s,
                                    struct echo_msg *r)
{
    const struct echo_msg *m;
    int n;
    sennit_err err = sennit_chan_recv(self, ctx, &n);
    while (!err && (m = sennit_recv(s)))
        r->number += (int64_t)m->text.len;
    return err ? err : sennit_stream_error(s);
}

static const struct echo_service told = { .chat = read_when_told, .collect = collect_when_told };

/* -- send beside a send ----------------------------------------------------------------------- */

static void second_sends(struct scene *sc)
{
    sennit_err err = sennit_send(sc->s, &(struct echo_msg){ .number = 2 });
    check_int(code_of(err), SENNIT_FAILED_PRECONDITION);
    check_names_both(err->message, "send", "sending", "second", "first");
}

TEST(second_sender_is_told_and_the_first_goes_on)
{
    struct scene sc;
    struct first f;
    scene_start(&sc, &told, CHAT);
    first_start(&f, sc.s, &sc.s->sender, send_large);
    scene_run(&sc, second_sends);
    scene_run(&sc, second_sends);
    scene_let_read(&sc);
    check_str(said(receive_large(sc.s)), "fine");
    sennit_wait_group_wait(&f.done, NULL);
    check_str(said(sennit_send(sc.s, &(struct echo_msg){ .number = 3 })), "fine");
    const struct echo_msg *m = sennit_recv(sc.s);
    check(m && m->number == 3); /* nothing of the refused ones */
    check_str(said(sennit_finish(sc.s, NULL)), "fine");
    scene_stop(&sc);
}

/* -- receive beside a receive ----------------------------------------------------------------- */

static void second_receives(struct scene *sc)
{
    check(!sennit_recv(sc->s));
    sennit_err err = sennit_stream_error(sc->s);
    check_int(code_of(err), SENNIT_FAILED_PRECONDITION);
    check_names_both(err->message, "recv", "receiving", "second", "first");
    check_str(said(sennit_stream_error(sc->s)), "fine"); /* told once */
    check(!sennit_recv(sc->s));
    check_int(code_of(sennit_finish(sc->s, NULL)), SENNIT_FAILED_PRECONDITION);
}

TEST(second_receiver_is_told_in_its_own_goroutine_and_the_first_goes_on)
{
    struct scene sc;
    struct first f;
    scene_start(&sc, &told, CHAT);
    first_start(&f, sc.s, &sc.s->receiver, receive_large);
    scene_run(&sc, second_receives);
    check_str(said(sennit_stream_error(sc.s)), "fine"); /* nobody else is told */
    scene_let_read(&sc);
    check_str(said(send_large(sc.s)), "fine");
    sennit_wait_group_wait(&f.done, NULL);
    check_str(said(sennit_finish(sc.s, NULL)), "fine");
    scene_stop(&sc);
}

/* -- close_send beside a send ----------------------------------------------------------------- */

static void second_closes(struct scene *sc)
{
    sennit_err err = sennit_close_send(sc->s);
    check_int(code_of(err), SENNIT_FAILED_PRECONDITION);
    check_names_both(err->message, "close_send", "sending", "second", "first");
}

TEST(close_send_beside_a_send_is_told_and_half_closes_when_that_is_done)
{
    struct scene sc;
    struct first f;
    scene_start(&sc, &told, CHAT);
    first_start(&f, sc.s, &sc.s->sender, send_large);
    scene_run(&sc, second_closes);
    scene_let_read(&sc);
    check_str(said(receive_large(sc.s)), "fine");
    sennit_wait_group_wait(&f.done, NULL);
    check(!sennit_recv(sc.s)); /* the handler saw the end */
    check_str(said(sennit_finish(sc.s, NULL)), "fine");
    check_int(code_of(sennit_send(sc.s, &(struct echo_msg){ 0 })), SENNIT_FAILED_PRECONDITION);
    scene_stop(&sc);
}

/* -- finish beside a send --------------------------------------------------------------------- */

static void second_finishes_collect(struct scene *sc)
{
    struct echo_msg reply;
    sennit_err err = sennit_finish(sc->s, &reply);
    check_int(code_of(err), SENNIT_FAILED_PRECONDITION);
    check_names_both(err->message, "finish", "sending", "second", "first");
    check_int(reply.number, 0);
}

TEST(finish_counts_as_a_sender_where_the_server_does_not_stream)
{
    struct scene sc;
    struct first f;
    struct echo_msg reply;
    scene_start(&sc, &told, COLLECT);
    first_start(&f, sc.s, &sc.s->sender, send_large);
    scene_run(&sc, second_finishes_collect);
    scene_let_read(&sc);
    sennit_wait_group_wait(&f.done, NULL);
    check_str(said(sennit_finish(sc.s, &reply)), "fine");
    check_int(reply.number, sizeof large);
    scene_stop(&sc);
}

static void second_finishes_chat(struct scene *sc)
{
    check_str(said(sennit_finish(sc->s, NULL)), "fine");
}

TEST(finish_of_a_two_way_stream_beside_a_send_half_closes_when_that_is_done)
{
    struct scene sc;
    struct first f;
    scene_start(&sc, &told, CHAT);
    first_start(&f, sc.s, &sc.s->sender, send_large);
    scene_let_read(&sc);
    scene_run(&sc, second_finishes_chat);
    sennit_wait_group_wait(&f.done, NULL);
    scene_stop(&sc);
}

/* -- finish beside a receive ------------------------------------------------------------------ */

static void second_finishes_beside_recv(struct scene *sc)
{
    sennit_err err = sennit_finish(sc->s, NULL);
    check_int(code_of(err), SENNIT_FAILED_PRECONDITION);
    check_names_both(err->message, "finish", "receiving", "second", "first");
}

static sennit_err receive_two(sennit_stream *s)
{
    for (int i = 0; i < 2; i++) {
        const struct echo_msg *m = sennit_recv(s);
        check(m && m->number == i);
    }
    check(!sennit_recv(s));
    return sennit_stream_error(s);
}

TEST(finish_beside_a_receive_is_told_and_the_receiver_goes_on)
{
    struct scene sc;
    struct first f;
    scene_start(&sc, &told, CHAT);
    for (int64_t i = 0; i < 2; i++)
        check_str(said(sennit_send(sc.s, &(struct echo_msg){ .number = i })), "fine");
    first_start(&f, sc.s, &sc.s->receiver, receive_two);
    scene_run(&sc, second_finishes_beside_recv);
    scene_let_read(&sc);
    sennit_wait_group_wait(&f.done, NULL);
    check_str(said(sennit_finish(sc.s, NULL)), "fine");
    scene_stop(&sc);
}

/* -- the same in a handler -------------------------------------------------------------------- */

struct inside {
    sennit_stream *s;
    sennit_wait_group done;
};
static void handler_second(void *arg)
{
    struct inside *in = arg;
    sennit_err err = sennit_send(in->s, &(struct echo_msg){ .number = 7 });
    check_int(code_of(err), SENNIT_FAILED_PRECONDITION);
    check_names_both(err->message, "send", "sending", "second", "first");
    check(!sennit_recv(in->s));
    check_int(code_of(sennit_stream_error(in->s)), SENNIT_FAILED_PRECONDITION);
    sennit_wait_group_done(&in->done);
}

static sennit_err misuse_in_handler(void *self, sennit_ctx *ctx, sennit_stream *s)
{
    struct inside in = { .s = s };
    struct first sender, receiver;
    int n = 1;
    (void)ctx;
    first_start(&sender, s, &s->sender, send_large);
    first_start(&receiver, s, &s->receiver, receive_large);
    sennit_wait_group_add(&in.done, 1);
    check(!sennit_go_with(&(sennit_go_options){ .name = "second" }, handler_second, &in));
    sennit_wait_group_wait(&in.done, NULL);
    sennit_chan_send(self, NULL, &n); /* the client may go on */
    sennit_wait_group_wait(&sender.done, NULL);
    sennit_wait_group_wait(&receiver.done, NULL);
    return NULL;
}

TEST(two_senders_and_two_receivers_in_a_handler_are_told)
{
    static const struct echo_service service = { .chat = misuse_in_handler };
    struct scene sc;
    int n;
    scene_start(&sc, &service, CHAT);
    check(!sennit_chan_recv(sc.go, NULL, &n));
    check_str(said(receive_large(sc.s)), "fine");
    check_str(said(send_large(sc.s)), "fine");
    check_str(said(sennit_finish(sc.s, NULL)), "fine");
    scene_stop(&sc);
}

/* A handler that returns while its goroutines are still inside the stream: they are woken with an
 * error, and waited for. */
static void handler_leftover(void *arg)
{
    struct inside *in = arg;
    check(!sennit_recv(in->s));
    check(sennit_stream_error(in->s));
    sennit_wait_group_done(&in->done);
}
static struct inside leftover;
static sennit_err return_early(void *self, sennit_ctx *ctx, sennit_stream *s)
{
    (void)self, (void)ctx;
    leftover = (struct inside){ .s = s };
    sennit_wait_group_add(&leftover.done, 1);
    check(!sennit_go(handler_leftover, &leftover));
    while (!seat_taken(&s->receiver))
        sennit_yield();
    return NULL;
}

TEST(a_handler_that_returns_wakes_who_is_still_in_its_stream)
{
    static const struct echo_service service = { .chat = return_early };
    struct scene sc;
    scene_start(&sc, &service, CHAT);
    check(!sennit_recv(sc.s)); /* our side stays open: only the handler's return ends its recv */
    sennit_wait_group_wait(&leftover.done, NULL);
    check_str(said(sennit_finish(sc.s, NULL)), "fine");
    scene_stop(&sc);
}

/* -- freeing what others are in --------------------------------------------------------------- */

static sennit_err receive_until_freed(sennit_stream *s)
{
    check(!sennit_recv(s)); /* no further call: s may be gone when it has returned */
    return NULL;
}
static sennit_err send_until_freed(sennit_stream *s)
{
    check(send_large(s));
    return NULL;
}

TEST(freeing_a_context_waits_until_sender_and_receiver_have_left)
{
    struct scene sc;
    struct first in, out;
    scene_start(&sc, &told, CHAT);
    sennit_ctx *ctx = sennit_ctx_new(NULL);
    sennit_stream *s = sennit_start(sc.t.conn, ctx, &echo_methods[CHAT], NULL, NULL, 0);
    first_start(&out, s, &s->sender, send_until_freed);
    first_start(&in, s, &s->receiver, receive_until_freed);
    sennit_ctx_free(ctx); /* s is gone now, and so must they be */
    sennit_wait_group_wait(&in.done, NULL);
    sennit_wait_group_wait(&out.done, NULL);
    scene_let_read(&sc);
    check_str(said(sennit_finish(sc.s, NULL)), "fine");
    scene_stop(&sc);
}

/* -- a race ----------------------------------------------------------------------------------- */

#define RACERS 4
struct race {
    sennit_stream *s;
    int rounds;
    _Atomic int sent, refused, received;
    sennit_wait_group done;
};

static char racer_letter(int64_t number, size_t k) { return (char)('a' + (number * 31 + k) % 26); }

static void race_send(void *arg)
{
    struct race *r = arg;
    char text[256];
    for (int64_t i = 0; i < r->rounds; i++) {
        size_t n = (size_t)(i * 37 % 256);
        for (size_t k = 0; k < n; k++)
            text[k] = racer_letter(i, k);
        sennit_err err = sennit_send(r->s, &(struct echo_msg){ .text = { text, n }, .number = i });
        if (!err)
            r->sent++;
        else if (err->code == SENNIT_FAILED_PRECONDITION)
            r->refused++;
        else
            test_failed(__FILE__, __LINE__, "send: %s", err->message);
    }
    sennit_wait_group_done(&r->done);
}

static void race_recv(void *arg)
{
    struct race *r = arg;
    for (;;) {
        const struct echo_msg *m = sennit_recv(r->s);
        if (!m) {
            sennit_err err = sennit_stream_error(r->s);
            if (!err)
                break;
            check_int(code_of(err), SENNIT_FAILED_PRECONDITION);
            r->refused++;
            sennit_yield();
            continue;
        }
        check_int(m->text.len, m->number * 37 % 256);
        for (size_t k = 0; k < m->text.len; k++)
            check(m->text.data[k] == racer_letter(m->number, k));
        r->received++;
    }
    sennit_wait_group_done(&r->done);
}

/* Only ok and misuse come out, every accepted message arrives once and whole, others are unhurt. */
TEST_WITH(racing_senders_and_receivers_break_nothing, 120, false)
{
    static const struct echo_service service = { .chat = echo_chat, .unary = echo_back };
    const char *asked = getenv("SENNIT_RACE_ROUNDS");
    const int rounds = test_short_io() ? 5000 : 25000; /* of each racer */
    struct race r = { .rounds = asked ? (int)strtol(asked, NULL, 10) : rounds };
    struct talk t;
    talk_start(&t, &service, NULL, (sennit_server_options){ 0 });
    r.s = talk_open(&t, CHAT, NULL);
    sennit_stream *other = talk_open(&t, CHAT, NULL);
    struct race beside = { .s = other, .rounds = r.rounds };
    sennit_wait_group_add(&r.done, RACERS);
    sennit_wait_group_add(&beside.done, 2);
    for (int i = 0; i < RACERS; i++)
        check(!sennit_go(race_send, &r));
    check(!sennit_go(race_send, &beside));
    struct race in = { .s = r.s };
    sennit_wait_group_add(&in.done, RACERS);
    for (int i = 0; i < RACERS; i++)
        check(!sennit_go(race_recv, &in));
    check(!sennit_go(race_recv, &beside));
    sennit_wait_group_wait(&r.done, NULL);
    sennit_close_send(r.s);
    sennit_wait_group_wait(&in.done, NULL);
    check_int(in.received, r.sent);
    check_int(r.sent + r.refused, RACERS * r.rounds);
    while (beside.sent < beside.rounds)
        sennit_yield();
    sennit_close_send(other);
    sennit_wait_group_wait(&beside.done, NULL);
    check_int(beside.received, beside.rounds);
    check_int(beside.refused, 0);
    check_str(said(sennit_finish(r.s, NULL)), "fine");
    check_str(said(sennit_finish(other, NULL)), "fine");
    talk_stop(&t);
}
