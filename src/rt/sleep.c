/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * sleep.c: sennit_sleep, of a goroutine or a plain thread. A timer on the caller's stack; it is
 * stopped, and waited for if it is firing, before the frame goes. */
#include "rt/prim.h"

struct sleep_wait {
    struct prim_once once;
    struct rt_timer timer;
};

static void sleep_over(struct rt_timer *t)
{
    struct sleep_wait *s = container_of(t, struct sleep_wait, timer);
    if (prim_claim(&s->once))
        prim_done(&s->once, 0, true);
}

sennit_err sennit_sleep(sennit_ctx *ctx, sennit_duration d)
{
    if (d <= 0) {
        sennit_yield();
        return sennit_ctx_error(ctx);
    }
    struct sleep_wait s;
    int64_t now = sennit_now();
    memset(&s.once, 0, offsetof(struct prim_once, watch));
    rt_timer_init(&s.timer, sleep_over);
    rt_timer_set(&s.timer, d > INT64_MAX - now ? INT64_MAX : now + d);
    int which = prim_wait(&s.once, ctx, "sleeping");
    rt_timer_stop_wait(&s.timer);
    return which == PRIM_CTX ? s.once.err : NULL;
}
