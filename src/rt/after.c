/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * after.c: sennit_timer: a function in a goroutine of its own at a time. The wheel's function runs
 * as a task, where no user code may, so all it does is to start that goroutine; without memory it
 * tries again a little later, for a timer that never fires would be worse than a late one.
 *
 * stop waits for a firing that is under way (it is short): so what it says is true when it returns,
 * and the timer's memory is the caller's. */
#include "base/sys.h"
#include "rt/rt.h"
#include <time.h>

enum { AFTER_RETRY_NS = 10000000 };

struct after_rep {
    struct rt_timer timer; /* timer.fn NULL: never set */
    void (*fn)(void *arg);
    void *arg;
} __attribute__((may_alias));
_Static_assert(sizeof(struct after_rep) <= sizeof(sennit_timer),
               "the public struct is large enough");

static void after_fire(struct rt_timer *t)
{
    struct after_rep *a = container_of(t, struct after_rep, timer);
    if (rt_go(a->fn, a->arg, "timer", 0))
        rt_timer_set(t, sennit_now() + AFTER_RETRY_NS);
}

void sennit_timer_set(sennit_timer *timer, int64_t at, void (*fn)(void *arg), void *arg)
{
    struct after_rep *a = (struct after_rep *)timer;
    if (a->timer.fn)
        rt_timer_stop_wait(&a->timer);
    else
        rt_timer_init(&a->timer, after_fire);
    a->fn = fn;
    a->arg = arg;
    rt_timer_set(&a->timer, at);
}

/* The coarse clock costs a quarter of the exact one. It lags by at most a kernel tick, which is
 * added, lest the timer be early. */
static int64_t after_coarse(sennit_duration d)
{
    enum { AFTER_TICK_NS = 10000000 };
    struct timespec ts;
    if (d < SENNIT_SECOND || sys.clock_gettime(CLOCK_MONOTONIC_COARSE, &ts) < 0)
        return sennit_now();
    return (int64_t)ts.tv_sec * SENNIT_SECOND + ts.tv_nsec + AFTER_TICK_NS;
}

void sennit_timer_after(sennit_timer *timer, sennit_duration d, void (*fn)(void *arg), void *arg)
{
    int64_t now = after_coarse(d);
    int64_t at = d > INT64_MAX - now ? INT64_MAX : now + (d < 0 ? 0 : d);
    sennit_timer_set(timer, at, fn, arg);
}

bool sennit_timer_stop(sennit_timer *timer)
{
    struct after_rep *a = (struct after_rep *)timer;
    return a->timer.fn && rt_timer_stop_wait(&a->timer);
}
