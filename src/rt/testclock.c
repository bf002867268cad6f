/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * testclock.c: time that a test moves (sennit_test.h). It is the machine's with an offset, and not
 * a clock that stands still: what the runtime waits for inside (spinning for microseconds, looking
 * after stuck threads) goes on as ever, while what takes seconds and hours is decided by the test
 * alone. The clock is put in before the first use of the library, when nobody else reads it. */
#include "base/sys.h"
#include "rt/err.h"
#include "rt/rt_private.h"
#include "sennit_test.h"

static _Atomic int64_t testclock_offset;
static int (*testclock_real)(clockid_t id, struct timespec *ts);

static int testclock_get(clockid_t id, struct timespec *ts)
{
    int rc = testclock_real(id, ts);
    if (rc < 0 || (id != CLOCK_MONOTONIC && id != CLOCK_MONOTONIC_COARSE))
        return rc;
    int64_t at = (int64_t)ts->tv_sec * SENNIT_SECOND + ts->tv_nsec + atomic_load(&testclock_offset);
    *ts = (struct timespec){ at / SENNIT_SECOND, at % SENNIT_SECOND };
    return 0;
}

sennit_err sennit_test_clock_start(void)
{
    struct rt_state *s = &rt_state;
    pthread_mutex_lock(&s->mutex);
    bool late = atomic_load(&s->running) && !testclock_real;
    if (!late && !testclock_real) {
        testclock_real = sys.clock_gettime;
        sys.clock_gettime = testclock_get;
    }
    pthread_mutex_unlock(&s->mutex);
    return late ? sennit_errorf(WHY(RUNTIME), "sennit_test_clock_start: the library is in use "
                                              "already")
                : NULL;
}

/* Until what was due has run, and what that woke waits again; not longer than 200 ms of real time,
 * as something may be busy by design. A goroutine cannot see whether others are idle: it lets them
 * go first. */
static void testclock_settle(void)
{
    _Atomic uint32_t never = 0;
    const struct timespec pause = { 0, 20000 };
    bool goroutine = rt_worker() != NULL;
    for (int i = 0; i < 10000; i++) {
        rt_loop_turn();
        if (goroutine)
            sennit_yield();
        bool due = rt_timers_next() <= sys_now() || rt_timers_busy();
        if (!due && (goroutine ? i > 10 : rt_workers_idle()))
            return;
        sys.futex_wait(&never, 0, &pause);
    }
}

void sennit_test_clock_advance(sennit_duration d)
{
    int64_t end = sennit_now() + d;
    if (!testclock_real)
        return;
    for (int64_t now = sennit_now(); now < end; now = sennit_now()) {
        int64_t next = rt_timers_next(), to = next < end ? next : end;
        if (to > now)
            atomic_fetch_add(&testclock_offset, to - now);
        rt_netpoll_wake();
        testclock_settle();
    }
}
