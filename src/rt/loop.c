/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * loop.c: the runtime without threads (SENNIT_THREADS_NONE). There is one worker, and the thread
 * that asked for this mode is it while it is inside the loop: in sennit_loop_run, or in a call of
 * the library that has to wait. Outside it is a plain thread, and the worker counts as asleep in
 * epoll: who adds work or sets an earlier timer wakes it as any poller (worker.c, netpoll.c), which
 * here makes the epoll descriptor readable for the host. A timerfd in it stands for the timers.
 *
 *   enter  1 the thread's word says: worker  2 off the idle list
 *   leave  1 what is dirty is flushed  2 all steps of who falls asleep (worker.c); work is left:
 * stays awake and makes the descriptor readable  3 timerfd  4 the thread's word as before
 *
 * A host call (sennit_on_host, and all that would need a thread) is a task, so it runs on the
 * loop's native stack; meanwhile the thread is a plain one, and if the call waits the loop runs
 * inside of it: depth. Everything here but `loop_host` belongs to the loop's own thread. */
#include "rt/rt_private.h"
#include "rt/why.h"
#include <stdio.h>
#include <stdlib.h>

enum { LOOP_SHUTDOWN_NS = 10000000 };

static pthread_t loop_host;        /* written before loop_has_host */
static _Atomic bool loop_has_host; /* the mode is chosen: a thread is the loop's own */
static uintptr_t loop_word;        /* who the thread is outside */
static unsigned loop_depth;
static bool loop_polls, loop_bound;

static void loop_choose_host(void)
{
    loop_host = pthread_self();
    atomic_store(&loop_has_host, true);
}

bool rt_loop_wanted(void)
{
    const char *env = getenv("SENNIT_THREADS"); /* for tests; the program's word is stronger */
    int threads = rt_state.options.threads;
    return threads == SENNIT_THREADS_NONE || (!threads && env && strcmp(env, "none") == 0);
}

void rt_loop_start(struct rt_worker *w)
{
    if (!atomic_load(&loop_has_host))
        loop_choose_host();
    loop_bound = false;
    loop_depth = 0;
    rt_worker_doze(w, &loop_polls);
    rt_netpoll_arm(INT64_MAX);
}

/* By rt_shutdown. */
void rt_loop_stop(void)
{
    if (loop_bound)
        rt_worker_end(atomic_load(&rt_state.workers[0]));
    loop_bound = false;
    if (rt_state.options.threads != SENNIT_THREADS_NONE)
        atomic_store(&loop_has_host, false);
}

bool rt_loop_mine(void)
{
    return atomic_load_explicit(&loop_has_host, memory_order_acquire) &&
           pthread_equal(loop_host, pthread_self()) && !rt_worker();
}

void rt_loop_kick(void)
{
    if (!rt_worker())
        rt_netpoll_wake();
}

static struct rt_worker *loop_enter(void)
{
    struct rt_worker *w = atomic_load(&rt_state.workers[0]);
    loop_word = rt_local_swap((uintptr_t)w | 1);
    if (loop_depth++)
        return w;
    if (!loop_bound) {
        rt_worker_bounds(w);
        rt_overflow_thread(w);
        loop_bound = true;
    }
    rt_worker_awake(w, loop_polls);
    return w;
}

/* Returns whether work is left. */
static bool loop_leave(struct rt_worker *w)
{
    bool more = true;
    if (--loop_depth == 0) {
        rt_defer_flush(w->index);
        if (!w->held && rt_local_len(w) == 0 && !rt_defer_pending(w->index)) {
            more = !rt_worker_doze(w, &loop_polls);
            if (more)
                rt_worker_awake(w, loop_polls);
        }
        if (more)
            rt_netpoll_wake();
        else
            rt_netpoll_arm(rt_idle_limit());
        loop_polls = loop_polls && !more;
    }
    rt_local_swap(loop_word);
    return more;
}

void rt_loop_wait(_Atomic uint32_t *word)
{
    if (!rt_start()) {
        struct timespec tick = { 0, 1000000 };
        if (rt_refused())
            rt_fork_stop("waiting");
        sys.futex_wait(word, 0, &tick);
        rt_timers_run(sys_now());
        return;
    }
    struct rt_worker *w = loop_enter();
    while (atomic_load(word) == 0) {
        uintptr_t item = rt_worker_look(w);
        bool polls;
        if (item) {
            rt_worker_run(w, item);
            continue;
        }
        if (atomic_load(word))
            break; /* by a timer that was due; nobody would wake us again */
        if (rt_worker_doze(w, &polls))
            rt_netpoll_block(rt_idle_limit());
        rt_worker_awake(w, polls);
    }
    loop_leave(w);
}

static bool loop_work(struct rt_worker *w, int64_t end)
{
    rt_netpoll_block(0);
    for (bool polled = true;;) {
        uintptr_t item = rt_worker_look(w);
        if (item) {
            rt_worker_run(w, item);
            polled = false;
            if (sys_now() >= end)
                return true;
        } else if (!polled) {
            rt_netpoll_block(0);
            polled = true;
        } else {
            return false;
        }
    }
}

static bool loop_run(sennit_duration budget)
{
    int64_t now = sys_now();
    struct rt_worker *w = loop_enter();
    loop_work(w, budget > INT64_MAX - now ? INT64_MAX : now + budget);
    return loop_leave(w);
}

void rt_loop_turn(void)
{
    if (atomic_load(&rt_state.running) && rt_state.none && rt_loop_mine())
        loop_run(LOOP_SHUTDOWN_NS);
}

/* -- public ------------------------------------------------------------------------------------ */

sennit_err sennit_runtime_sized(const sennit_runtime_options *o, size_t size)
{
    struct rt_state *s = &rt_state;
    sennit_runtime_options own = { 0 };
    memcpy(&own, o, min_size(size, sizeof own));
    sennit_err refused = rt_refused();
    if (refused)
        return refused;
    if (own.threads < SENNIT_THREADS_NONE)
        return sennit_errorf(WHY_AS(WHY(RUNTIME), SENNIT_INVALID_ARGUMENT),
                             "sennit_runtime: %d threads", own.threads);
    pthread_mutex_lock(&s->mutex);
    bool late = atomic_load(&s->running);
    if (!late) {
        s->options = own;
        atomic_store(&loop_has_host, false);
        if (own.threads == SENNIT_THREADS_NONE)
            loop_choose_host();
    }
    pthread_mutex_unlock(&s->mutex);
    return late ? sennit_errorf(WHY(RUNTIME), "sennit_runtime: the library is in use already")
                : NULL;
}

int sennit_loop_fd(void) { return rt_start() && rt_state.none ? rt_netpoll_fd() : -1; }

bool sennit_loop_run(sennit_duration budget)
{
    if (!rt_start() || !rt_state.none)
        return false;
    if (!rt_loop_mine()) {
        fprintf(stderr, "sennit: sennit_loop_run: only the thread that called sennit_runtime may, "
                        "and outside of goroutines\n");
        abort();
    }
    return loop_run(budget);
}

struct host_call {
    struct rt_task task;
    void (*fn)(void *arg);
    void *arg;
    struct rt_g *g;
};

/* The errors that fn makes belong to who waits for it. */
static void host_task(struct rt_task *t)
{
    struct host_call *c = container_of(t, struct host_call, task);
    struct rt_g *g = c->g;
    rt_task_exit(t);
    uintptr_t inside = rt_local_swap(loop_word);
    void **own = rt_errors_slot(), *kept = own ? *own : NULL;
    if (own) {
        *own = g->errors;
        g->errors = NULL;
    }
    c->fn(c->arg);
    own = rt_errors_slot();
    if (own) {
        g->errors = *own;
        *own = kept;
    }
    loop_word = rt_local_swap(inside);
    rt_unpark(g);
}

static bool host_commit(struct rt_g *g, void *arg)
{
    struct host_call *c = arg;
    c->g = g;
    rt_task_wake(&c->task);
    return true;
}

void rt_host_run(void (*fn)(void *arg), void *arg)
{
    struct host_call c = { .fn = fn, .arg = arg };
    rt_task_init(&c.task, host_task);
    rt_park(host_commit, &c, "waiting for the loop's own stack");
}

struct host_user {
    sennit_fn fn;
    void *arg;
    sennit_err err;
};

static void host_user_run(void *arg)
{
    struct host_user *u = arg;
    u->err = u->fn(u->arg);
}

sennit_err sennit_on_host(sennit_fn fn, void *arg)
{
    struct host_user u = { fn, arg, NULL };
    if (rt_loop_mine())
        return fn(arg);
    sennit_err refused = rt_refused();
    if (refused)
        return refused;
    if (!rt_start())
        return sennit_no_memory;
    if (!rt_state.none)
        return sennit_errorf(WHY(RUNTIME),
                             "sennit_on_host: there is no host's loop: the option threads of "
                             "sennit_runtime is not SENNIT_THREADS_NONE");
    rt_host_run(host_user_run, &u);
    return u.err;
}
