/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * shutdown.c: the end of a test or of the process: waits until nothing runs, stops all threads,
 * frees all memory, so that what is left is a leak. Called by a plain thread while no other one
 * uses the library. When goroutines are left they are listed, and everything stays as it is: their
 * stacks cannot be freed under them. */
#include "base/pool.h"
#include "rt/rt_private.h"
#include <stdio.h>
#include <unistd.h>

static bool shutdown_idle(void)
{
    return rt_g_live() == 0 && rt_workers_idle() && !rt_blocking_busy();
}

static void shutdown_wait(void)
{
    int64_t end = sys_now() + 5000000000, pause = 20000;
    _Atomic uint32_t never = 0;
    while (!shutdown_idle() && sys_now() < end) {
        struct timespec ts = { 0, pause };
        rt_loop_turn();
        sys.futex_wait(&never, 0, &ts);
        pause = pause < 5000000 ? pause * 2 : pause;
    }
}

static void shutdown_threads(void)
{
    struct rt_state *s = &rt_state;
    atomic_store(&s->stopping, 1);
    for (uint32_t i = 0; i < atomic_load(&s->n_workers); i++)
        rt_call_worker(atomic_load(&s->workers[i]));
    if (s->none) {
        rt_loop_stop();
        return;
    }
    atomic_thread_fence(memory_order_seq_cst); /* who falls asleep now sees it, or is woken */
    atomic_fetch_add(&s->sysmon_word, 1);
    sys.futex_wake(&s->sysmon_word, 1);
    if (s->has_sysmon)
        pthread_join(s->sysmon, NULL);
    for (uint32_t i = 0; i < atomic_load(&s->n_workers); i++)
        rt_poke(&atomic_load(&s->workers[i])->parked);
    rt_netpoll_wake();
    for (uint32_t i = 0; i < atomic_load(&s->n_workers); i++)
        pthread_join(atomic_load(&s->workers[i])->thread, NULL);
}

static void shutdown_free(void)
{
    struct rt_state *s = &rt_state;
    rt_overflow_remove();
    for (uint32_t i = 0; i < atomic_load(&s->n_workers); i++) {
        sys.free(atomic_load(&s->workers[i]));
        atomic_store(&s->workers[i], NULL);
    }
    for (struct rt_worker *w = s->stillborn; w; w = s->stillborn) {
        s->stillborn = w->next_retired;
        sys.free(w);
    }
    rt_queue_reset();
    rt_defer_stop();
    rt_timers_stop();
    rt_trim_stop();
    rt_netpoll_close();
    rt_stack_stop();
    rt_g_stop();
    pool_stop();
    s->retired = NULL;
    s->poller = NULL;
    atomic_store(&s->in_epoll, false);
    s->has_sysmon = false;
    atomic_store(&s->poller, NULL);
    atomic_store(&s->n_workers, 0);
    atomic_store(&s->enlisted, 0);
    atomic_store(&s->stuck, 0);
    atomic_store(&s->n_idle, 0);
    atomic_store(&s->searching, 0);
    atomic_store(&s->spawned, 0);
    atomic_store(&s->ended, 0);
    atomic_store(&s->sysmon_asleep, 0);
    atomic_store(&s->running, 0);
    atomic_store(&s->stopping, 0);
    if (s->can_claim)
        atomic_fetch_sub(&s->mutex_waits, RT_MUTEX_ALONE);
}

bool rt_shutdown(void)
{
    sn_assert(!rt_worker());
    if (atomic_load(&rt_state.running)) {
        shutdown_wait();
        if (rt_g_live() != 0) {
            fprintf(stderr, "sennit: goroutines are left at the end\n");
            sennit_dump(STDERR_FILENO);
            return false;
        }
        rt_blocking_stop();
        shutdown_threads();
        san_ignore_begin(); /* the goroutines that used it were ordered before nobody */
        shutdown_free();
        san_ignore_end();
    }
    rt_thread_forget();
    return true;
}
