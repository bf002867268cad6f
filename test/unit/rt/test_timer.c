/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * Sleeps, timers, deadlines: never early, stopped for good, from goroutines and plain threads. */
#include "crew.h"
#include "sennit.h"

__attribute__((constructor)) static void timer_setup(void) { test_at_end = rt_shutdown; }

static void sleep_work(void *arg, int index)
{
    (void)arg;
    for (int i = 0; i < 20; i++) {
        int64_t d = (index * 37 + i * 101) % 3000 * 1000, start = sennit_now();
        check(!sennit_sleep(NULL, d));
        check(sennit_now() - start >= d);
    }
}
TEST(sleeps_are_never_short) { crew_run(40, 4, sleep_work, NULL); }

static void deadline_work(void *arg, int index)
{
    (void)arg;
    for (int i = 0; i < 20; i++) {
        int64_t d = (index * 37 + i * 101) % 3000 * 1000, start = sennit_now();
        sennit_ctx *ctx = sennit_ctx_timeout(NULL, d);
        sennit_err err = sennit_sleep(ctx, 60 * SENNIT_SECOND);
        check(err && err->code == SENNIT_DEADLINE_EXCEEDED);
        check(sennit_now() - start >= d);
        sennit_ctx_free(ctx);
    }
}
TEST(a_deadline_ends_a_sleep_and_not_early) { crew_run(40, 4, deadline_work, NULL); }

struct shot {
    sennit_timer timer;
    int64_t at;
    _Atomic int *left;
    struct rt_note *done;
};
static void shot_fired(void *arg)
{
    struct shot *s = arg;
    check(sennit_now() >= s->at);
    check(rt_in_goroutine());
    if (atomic_fetch_sub(s->left, 1) == 1)
        rt_note_set(s->done);
}
TEST(timers_fire_once_and_not_early)
{
    enum { SHOTS = 200 };
    static struct shot shots[SHOTS];
    _Atomic int left = SHOTS;
    struct rt_note done = { 0 };
    for (int i = 0; i < SHOTS; i++) {
        shots[i] = (struct shot){ .left = &left, .done = &done };
        shots[i].at = sennit_now() + SENNIT_SECOND * 1000;
        sennit_timer_set(&shots[i].timer, shots[i].at, shot_fired, &shots[i]);
        shots[i].at = sennit_now() + (i * 7919 % 5000) * 1000;
        sennit_timer_set(&shots[i].timer, shots[i].at, shot_fired, &shots[i]); /* moved */
    }
    rt_note_wait(&done, "timers");
    for (int i = 0; i < SHOTS; i++)
        check(!sennit_timer_stop(&shots[i].timer));
}

struct stopped {
    _Atomic int fired, stops;
};
static void stopped_fired(void *arg)
{
    struct stopped *s = arg;
    atomic_fetch_add(&s->fired, 1);
}
static void stop_work(void *arg, int index)
{
    struct stopped *s = arg;
    for (int i = 0; i < CREW_TURNS / 5; i++) {
        sennit_timer t = { { 0 } };
        sennit_timer_after(&t, (index + i) % 3 ? i % 200 * 1000 : 5 * SENNIT_SECOND, stopped_fired,
                           s);
        if (i % 4 == 0)
            sennit_yield();
        if (sennit_timer_stop(&t))
            atomic_fetch_add(&s->stops, 1);
    }
}
TEST(a_timer_fires_or_is_stopped_never_both)
{
    struct stopped s = { 0 };
    crew_run(12, 3, stop_work, &s);
    while (atomic_load(&s.fired) + atomic_load(&s.stops) < 15 * (CREW_TURNS / 5))
        (void)sennit_sleep(NULL, SENNIT_MILLISECOND);
    while (rt_counts().goroutines)
        sennit_yield(); /* the last of them has counted, but still stands on s */
    check_int(s.fired + s.stops, 15 * (CREW_TURNS / 5));
    check_int(rt_counts().timers, 0);
}

TEST(a_timer_that_was_never_set_is_stopped)
{
    sennit_timer t = { { 0 } };
    check(!sennit_timer_stop(&t));
    sennit_timer_after(&t, INT64_MAX, stopped_fired, NULL);
    check(sennit_timer_stop(&t));
    check(!sennit_timer_stop(&t));
}

TEST(a_cancelled_context_ends_a_sleep)
{
    sennit_ctx *ctx = sennit_ctx_new(NULL), *child = sennit_ctx_new(ctx);
    sennit_ctx_cancel(ctx);
    check_int(sennit_sleep(child, INT64_MAX)->code, SENNIT_CANCELLED);
    sennit_ctx_free(child);
    sennit_ctx_free(ctx);
}
