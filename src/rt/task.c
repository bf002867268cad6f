/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * task.c: run-to-completion functions on a worker's native stack.
 *
 * state  idle -> queued (wake) -> running (the worker that popped it) -> idle
 *        running -> again (wake while running) -> queued when fn has returned
 * Every wake is a read-modify-write, also one that changes nothing: what the waker wrote before is
 * then seen by the run that follows (the runner's exchange to `running` reads it), as is what an
 * earlier run wrote, which that wake goes on releasing. Queueing again needs no order: the queue
 * has its own. */
#include "rt/rt_private.h"

enum task_state { TASK_IDLE, TASK_QUEUED, TASK_RUNNING, TASK_AGAIN };

void rt_task_init(struct rt_task *t, void (*fn)(struct rt_task *t))
{
    t->next = NULL;
    t->fn = fn;
    atomic_init(&t->state, TASK_IDLE);
}

void rt_task_wake(struct rt_task *t)
{
    uint32_t s = atomic_load_explicit(&t->state, memory_order_relaxed), to;
    san_release(t);
    do {
        to = s == TASK_IDLE ? TASK_QUEUED : s == TASK_RUNNING ? TASK_AGAIN : s;
    } while (!atomic_compare_exchange_weak_explicit(&t->state, &s, to, memory_order_release,
                                                    memory_order_relaxed));
    if (s != TASK_IDLE)
        return;
    rt_start();
    rt_ready(rt_item_task(t), false);
}

void rt_task_exit(struct rt_task *t)
{
    struct rt_worker *w = rt_worker();
    sn_assert(w && w->task == t);
    w->task = NULL;
}

void rt_task_run(struct rt_worker *w, struct rt_task *t)
{
    san_acquire(t); /* before its memory is touched */
    w->task = t;
    atomic_exchange_explicit(&t->state, TASK_RUNNING, memory_order_acquire);
    t->fn(t);
    if (!w->task)
        return; /* it left, and may be freed */
    w->task = NULL;
    uint32_t s = TASK_RUNNING;
    if (atomic_compare_exchange_strong_explicit(&t->state, &s, TASK_IDLE, memory_order_release,
                                                memory_order_acquire))
        return;
    atomic_store_explicit(&t->state, TASK_QUEUED, memory_order_relaxed);
    san_release(t); /* ThreadSanitizer does not see the queue's fences */
    rt_ready(rt_item_task(t), false);
}
