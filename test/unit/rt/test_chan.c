/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * Channels and select: every element arrives once and in order, whoever waits, gives up, closes or
 * frees meanwhile; goroutines and plain threads mixed. */
#include "crew.h"
#include "sennit.h"
#include <unistd.h>

__attribute__((constructor)) static void chan_setup(void) { test_at_end = rt_shutdown; }

struct pipes {
    sennit_chan *c[3];
    _Atomic long sent, received, sum;
    _Atomic int senders;
};

static void pipes_finish(struct pipes *p)
{
    if (atomic_fetch_sub(&p->senders, 1) == 1)
        for (int i = 0; i < 3; i++)
            if (p->c[i])
                sennit_chan_close(p->c[i]);
}

static void pass_work(void *arg, int index)
{
    struct pipes *p = arg;
    long v;
    if (index % 2) {
        while (!sennit_chan_recv(p->c[0], NULL, &v)) {
            atomic_fetch_add(&p->received, 1);
            atomic_fetch_sub(&p->sum, v);
        }
        return;
    }
    for (int i = 0; i < CREW_TURNS; i++) {
        v = index * 100000 + i;
        atomic_fetch_add(&p->sum, v);
        check(!sennit_chan_send(p->c[0], NULL, &v));
        atomic_fetch_add(&p->sent, 1);
    }
    pipes_finish(p);
}
static void pass_all(size_t capacity)
{
    struct pipes p = { .c = { sennit_chan_new(sizeof(long), capacity) }, .senders = 6 };
    crew_run(8, 4, pass_work, &p);
    check_int(p.received, 6 * CREW_TURNS);
    check_int(p.sent, p.received);
    check_int(p.sum, 0);
    sennit_chan_free(p.c[0]);
}
TEST(every_element_arrives_once_unbuffered) { pass_all(0); }
TEST(every_element_arrives_once_through_one_place) { pass_all(1); }
TEST(every_element_arrives_once_through_a_buffer) { pass_all(64); }

static void order_send(void *arg)
{
    for (long i = 0; i < CREW_TURNS; i++)
        check(!sennit_chan_send(arg, NULL, &i));
    sennit_chan_close(arg);
}
TEST(elements_keep_their_order)
{
    for (size_t capacity = 0; capacity < 4; capacity++) {
        sennit_chan *c = sennit_chan_new(sizeof(long), capacity);
        long v, n = 0;
        check(!sennit_go(order_send, c));
        while (!sennit_chan_recv(c, NULL, &v))
            check_int(v, n++);
        check_int(n, CREW_TURNS);
        sennit_chan_free(c);
    }
}

/* Some give up at odd moments: what was sent with NULL is received, what gave up is not. */
static void impatient_work(void *arg, int index)
{
    struct pipes *p = arg;
    long v = 1;
    if (index % 2) {
        while (atomic_load(&p->senders)) {
            sennit_ctx *ctx = sennit_ctx_timeout(NULL, 1000 * (index % 7));
            if (!sennit_chan_recv(p->c[0], ctx, &v))
                atomic_fetch_add(&p->received, 1);
            sennit_ctx_free(ctx);
        }
        return;
    }
    for (int i = 0; i < CREW_TURNS / 5; i++) {
        sennit_ctx *ctx = sennit_ctx_timeout(NULL, 1000 * ((i + index) % 30));
        if (!sennit_chan_send(p->c[0], ctx, &v))
            atomic_fetch_add(&p->sent, 1);
        sennit_ctx_free(ctx);
    }
    pipes_finish(p);
}
TEST(who_gives_up_leaves_nothing_behind)
{
    struct pipes p = { .c = { sennit_chan_new(sizeof(long), 0) }, .senders = 6 };
    crew_run(8, 4, impatient_work, &p);
    check_int(p.sent, p.received);
    sennit_chan_free(p.c[0]);
}

static void close_wait(void *arg, int index)
{
    struct pipes *p = arg;
    long v = 0;
    sennit_err err =
        index % 2 ? sennit_chan_send(p->c[0], NULL, &v) : sennit_chan_recv(p->c[1], NULL, &v);
    check(err == sennit_closed);
}
TEST(closing_tells_all_who_wait)
{
    static struct crew crew;
    struct pipes p = { .c = { sennit_chan_new(sizeof(long), 0),
                              sennit_chan_new(sizeof(long), 0) } };
    crew_start(&crew, 12, 4, close_wait, &p);
    for (int i = 0; i < 10; i++)
        sennit_yield();
    check(!sennit_chan_close(p.c[0]));
    check(sennit_chan_close(p.c[0]) == sennit_closed);
    check(!sennit_chan_close(p.c[1]));
    crew_end(&crew, 4);
    sennit_chan_free(p.c[0]);
    sennit_chan_free(p.c[1]);
}

static void free_wait(void *arg)
{
    void **a = arg;
    long v;
    rt_note_set(a[1]);
    check(sennit_chan_recv(a[0], NULL, &v) == sennit_closed);
}
TEST(freeing_wakes_and_waits_for_who_is_inside)
{
    for (int i = 0; i < CREW_TURNS / 10; i++) {
        struct rt_note note = { 0 };
        void *a[] = { sennit_chan_new(sizeof(long), 0), &note };
        check(!sennit_go(free_wait, a));
        rt_note_wait(&note, "test");
        while (rt_counts().parked == 0 && rt_counts().goroutines)
            sennit_yield(); /* it has to be inside: later calls are a mistake */
        sennit_chan_free(a[0]);
        while (rt_counts().goroutines)
            sennit_yield(); /* it reads a */
    }
}

/* -- select ---------------------------------------------------------------------------------- */

static void select_work(void *arg, int index)
{
    struct pipes *p = arg;
    long v, sent = index;
    if (index % 2 == 0) {
        for (int i = 0; i < CREW_TURNS / 2; i++) {
            sennit_case out[3] = { { .kind = SENNIT_CASE_SEND, .chan = p->c[0], .send = &sent },
                                   { .kind = SENNIT_CASE_SEND, .chan = p->c[1], .send = &sent },
                                   { .kind = SENNIT_CASE_SEND, .chan = p->c[2], .send = &sent } };
            int which = sennit_select(NULL, out, 3);
            check(which >= 0 && out[which].ok);
            atomic_fetch_add(&p->sent, 1);
        }
        pipes_finish(p);
        return;
    }
    for (bool open = true; open;) {
        sennit_case in[4] = { { .kind = SENNIT_CASE_RECV, .chan = p->c[0], .recv = &v },
                              { .kind = SENNIT_CASE_TIMER, .at = sennit_now() + 100000 },
                              { .kind = SENNIT_CASE_RECV, .chan = p->c[1], .recv = &v },
                              { .kind = SENNIT_CASE_RECV, .chan = p->c[2], .recv = &v } };
        int which = sennit_select(NULL, in, 4);
        if (which == 1)
            continue;
        open = in[which].ok;
        if (open)
            atomic_fetch_add(&p->received, 1);
    }
    /* one is closed: the rest is still to be had */
    for (int i = 0; i < 3; i++)
        while (!sennit_chan_recv(p->c[i], NULL, &v))
            atomic_fetch_add(&p->received, 1);
}
TEST(select_passes_every_element_once)
{
    struct pipes p = { .senders = 6 };
    for (int i = 0; i < 3; i++)
        p.c[i] = sennit_chan_new(sizeof(long), (size_t)i);
    crew_run(8, 4, select_work, &p);
    check_int(p.sent, 6 * (CREW_TURNS / 2));
    check_int(p.received, p.sent);
    for (int i = 0; i < 3; i++)
        sennit_chan_free(p.c[i]);
}

/* Both ends of one channel in one select: it must not meet itself. */
static void self_send(void *arg)
{
    long v = 7;
    check(!sennit_chan_send(arg, NULL, &v));
}
TEST(select_does_not_meet_itself)
{
    sennit_chan *c = sennit_chan_new(sizeof(long), 0);
    long in = 0, out = 3;
    sennit_case both[2] = { { .kind = SENNIT_CASE_RECV, .chan = c, .recv = &in },
                            { .kind = SENNIT_CASE_SEND, .chan = c, .send = &out } };
    check(!sennit_go(self_send, c));
    check_int(sennit_select(NULL, both, 2), 0);
    check_int(in, 7);
    sennit_chan_free(c);
}

TEST(select_ends_with_its_context_and_by_its_cases)
{
    sennit_ctx *ctx = sennit_ctx_timeout(NULL, SENNIT_MILLISECOND), *other = sennit_ctx_new(NULL);
    sennit_case none = { .kind = SENNIT_CASE_OFF };
    check_int(sennit_select(ctx, &none, 1), -1);
    sennit_case two[2] = { { .kind = SENNIT_CASE_OFF }, { .kind = SENNIT_CASE_CTX, .ctx = other } };
    sennit_ctx_cancel(other);
    check_int(sennit_select(NULL, two, 2), 1);
    int fds[2];
    check(pipe(fds) == 0);
    sennit_case fd[2] = { { .kind = SENNIT_CASE_READABLE, .fd = fds[0] },
                          { .kind = SENNIT_CASE_TIMER, .at = sennit_now() + SENNIT_MILLISECOND } };
    check_int(sennit_select(NULL, fd, 2), 1);
    check(write(fds[1], "x", 1) == 1);
    fd[1].at = INT64_MAX;
    check_int(sennit_select(NULL, fd, 2), 0);
    sennit_case w = { .kind = SENNIT_CASE_WRITABLE, .fd = fds[1] };
    check_int(sennit_select(NULL, &w, 1), 0);
    close(fds[0]), close(fds[1]);
    sennit_ctx_free(other);
    sennit_ctx_free(ctx);
}
