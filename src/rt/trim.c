/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * trim.c: gives back the pages below the stack pointer of goroutines that have been parked for a
 * second, and those of stacks in the pool: what a handler touched once is not held while it waits.
 *
 * A goroutine that is resumed meanwhile must not lose what it pushes, so it is claimed:
 *   trim     1 trimming = 1  2 asym_heavy  3 state is PARKED: madvise below sp  4 trimming = 0
 *   resume   1 state = QUEUED (the waker)  2 queues  3 trimming set: waits until it is not
 *            4 switches to its stack
 * The waker's 1 comes before the resumer's 3 by the queue. If 3 of resume reads 0 though trim's 1
 * is done, it did so before the heavy fence, and then 3 of trim sees QUEUED, or PARKED once more: a
 * state that is set when sp has been saved, and releases it (sched.c). A resume costs a load
 * of a line that it uses anyway; a claim by CAS would cost each wake-up a locked instruction.
 * One fence serves a batch of records.
 *
 * When: sysmon sets a timer before it falls asleep, and each second while it does not, if anything
 * ran since the last time; so an idle process is woken once, and then no more. The work is a task,
 * one chunk a turn. */
#include "base/asym.h"
#include "base/pool.h"
#include "rt/rt_private.h"
#include <sched.h>
#include <sys/mman.h>

enum { TRIM_PAGE = 4096, TRIM_RED_ZONE = 256, TRIM_BATCH = 64 };
#define TRIM_AFTER_NS INT64_C(1000000000)

static struct rt_timer trim_timer;
static struct rt_task trim_task;
enum trim_phase { TRIM_RESTS, TRIM_SET, TRIM_WORKS };
static _Atomic uint32_t trim_phase;
static _Atomic uint64_t trim_ticks;
static void *trim_at;   /* the chunk seen last; the task's */
static bool trim_young; /* one was met that has not waited long enough; the task's */

/* How often something was started: unlike before, something ran. */
static uint64_t trim_sum(void)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < atomic_load(&rt_state.n_workers); i++)
        sum += atomic_load_explicit(&atomic_load(&rt_state.workers[i])->tick, memory_order_relaxed);
    return sum;
}

static bool trim_wants(const struct rt_g *g, int64_t now)
{
    if (atomic_load_explicit(&g->state, memory_order_relaxed) != RT_G_PARKED || !g->stack ||
        g->stack->trimmed == g->u.since)
        return false;
    bool old = now - g->u.since >= TRIM_AFTER_NS;
    trim_young = trim_young || !old;
    return old;
}

static void trim_one(struct rt_g *g)
{
    struct rt_stack *s = g->stack;
    uintptr_t low = (uintptr_t)s->base;
    uintptr_t high = ((uintptr_t)g->sp - TRIM_RED_ZONE) & ~(uintptr_t)(TRIM_PAGE - 1);
    s->trimmed = g->u.since;
    if (high > low)
        sys.madvise(s->base, high - low, MADV_DONTNEED);
}

/* gs: records, which stay where they are. Who is resumed waits until all of them are done. */
static void trim_batch(struct rt_g *gs, int n)
{
    int64_t now = sys_now();
    bool any = false;
    for (int i = 0; i < n; i++) {
        bool wants = trim_wants(&gs[i], now);
        atomic_store_explicit(&gs[i].trimming, wants, memory_order_relaxed);
        any = any || wants;
    }
    if (!any)
        return;
    bool fenced = asym_heavy();
    for (int i = 0; i < n; i++) {
        if (!atomic_load_explicit(&gs[i].trimming, memory_order_relaxed))
            continue;
        if (fenced && atomic_load_explicit(&gs[i].state, memory_order_acquire) == RT_G_PARKED)
            trim_one(&gs[i]);
        atomic_store_explicit(&gs[i].trimming, false, memory_order_release);
    }
}

void rt_trim_wait(struct rt_g *g)
{
    for (int i = 0; atomic_load_explicit(&g->trimming, memory_order_acquire); i++)
        if (i < 1000)
            rt_relax();
        else
            sched_yield(); /* the one at work was put aside */
}

static void trim_set(void)
{
    atomic_store(&trim_phase, TRIM_SET);
    rt_timer_set(&trim_timer, sys_now() + TRIM_AFTER_NS + TRIM_AFTER_NS / 8);
}

static void trim_turn(struct rt_task *t)
{
    struct rt_g *gs;
    int n;
    trim_at = rt_g_next_chunk(trim_at, &gs, &n);
    if (trim_at) {
        for (int at = 0; at < n; at += TRIM_BATCH)
            trim_batch(gs + at, n - at < TRIM_BATCH ? n - at : TRIM_BATCH);
        rt_task_wake(t);
        return;
    }
    rt_stack_trim_pool();
    atomic_store(&trim_ticks, trim_sum());
    bool pooled = pool_trim(), kept = sys_trim();
    bool again = trim_young || kept || pooled;
    trim_young = false;
    if (again)
        trim_set();
    else
        atomic_store(&trim_phase, TRIM_RESTS);
}

static void trim_due(struct rt_timer *t)
{
    (void)t;
    atomic_store(&trim_phase, TRIM_WORKS);
    rt_task_wake(&trim_task);
}

/* Before there is any thread. */
void rt_trim_start(void)
{
    rt_task_init(&trim_task, trim_turn);
    rt_timer_init(&trim_timer, trim_due);
}

/* By sysmon alone. */
void rt_trim_arm(void)
{
    if (atomic_load(&trim_phase) != TRIM_RESTS || trim_sum() == atomic_load(&trim_ticks))
        return;
    trim_set();
}

bool rt_trim_armed(void) { return atomic_load(&trim_phase) == TRIM_SET; }

/* At the end of rt_shutdown: nobody else runs. */
void rt_trim_stop(void)
{
    atomic_store(&trim_phase, TRIM_RESTS);
    atomic_store(&trim_ticks, 0);
    trim_at = NULL;
    trim_young = false;
    while (sys_trim()) {
    }
}
