/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * worker.c: a worker thread's native loop (tasks, timers, polling, defers; goroutines by
 * rt_run_g), how it falls asleep and is woken, how spare ones come and go.
 *
 * Sleep and wake (no lost wake-up). n_idle, searching and the queues are written and read so:
 *   who adds work
 *     1 queues it
 *     2 fence
 *     3 if n_idle > 0 and searching == 0: takes an idle worker off, makes it the searcher
 *       (searching = 1), all under idle_lock, and wakes it
 *   who falls asleep
 *     1 (a searcher) searching = 0
 *     2 n_idle + 1
 *     3 fence
 *     4 if searching == 0: looks at all queues again, and stays awake if there is work
 *   a searcher that finds work
 *     1 searching = 0
 *     2 fence
 *     3 if n_idle > 0 and work is visible: wakes one
 * Either the adder sees the sleeper, or the sleeper sees the work; where one of them relied on a
 * searcher, that searcher looks at all queues after it has given up the role. searching becomes 1
 * only by a worker for itself (CAS) or under idle_lock for the one that is woken, so there is
 * always somebody behind it. An item alone in its worker's own queue wakes nobody: its worker comes
 * to it, or sysmon finds that it does not.
 *
 * Rest. To wake a thread costs 25 us of CPU, a theft 2 us and cold caches; a burst of goroutines
 * that end at once is done sooner. So who was woken for a burst and found nothing, or stole what
 * was done within WORKER_TINY_NS, sets rest_until, a millisecond ahead: until then bursts wake
 * nobody, a searcher takes from a ring only what its worker, watched for 3 us, does not come to
 * soon, and a sleeper does not count what stands in rings. That is then behind its own worker as
 * one item alone is; sysmon wakes an idle one if that has started nothing since the last look.
 *
 * The first to fall asleep sleeps in epoll, until the next timer; the others on their futex. Never
 * two sleep in epoll: a wake-up would reach only one of them, perhaps not the one that was meant
 * and bears the searcher's role. So in_epoll stays set until a poller that was woken is out; who
 * falls asleep before that uses its futex, and the woken one, who runs, polls for it. Should that
 * one retire, or sysmon find that nobody sleeps in epoll, one of the others is woken to do so.
 *
 * Spare workers. Of `enlisted` workers `stuck` ones are in one goroutine for long, or in a blocking
 * call; the others should be `target`. sysmon and sennit_blocking_begin enlist more, a worker that
 * finds too many at its next scheduling point retires. Status: RUN -> STUCK by mark (under mutex),
 * back by its own worker; RUN -> IDLE and back under idle_lock; RUN -> RETIRED under mutex. */
#include "rt/rt_private.h"
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

enum { WORKER_STACK = 512 << 10, WORKER_POLL_NS = 100000, WORKER_SPIN_NS = 10000 };
/* When a theft was not worth it, for how long bursts then wake nobody (0: always they do), and how
 * long a worker is watched at rest. */
#ifndef WORKER_REST_NS
#define WORKER_REST_NS 1000000
#endif
enum { WORKER_TINY_NS = 5000, WORKER_WATCH_NS = 3000 };

void rt_poke(_Atomic uint32_t *word)
{
    atomic_store_explicit(word, 0, memory_order_relaxed);
    sys.futex_wake(word, 1);
}

static bool worker_common_work(const struct rt_worker *w) /* that is in nobody's ring */
{
    struct rt_state *s = &rt_state;
    return atomic_load_explicit(&s->queue_len, memory_order_relaxed) ||
           (atomic_load_explicit(&s->fresh_len, memory_order_relaxed) && !(w && w->resumed_only));
}

/* A guess, if not after a fence. */
bool rt_work_visible(const struct rt_worker *w)
{
    struct rt_state *s = &rt_state;
    if (worker_common_work(w))
        return true;
    uint32_t n = atomic_load_explicit(&s->n_workers, memory_order_acquire);
    for (uint32_t i = 0; i < n; i++)
        if (rt_ring_len(atomic_load_explicit(&s->workers[i], memory_order_relaxed)))
            return true;
    return false;
}

/* Also what its worker would come to by itself, but may be stuck before: as sysmon asks. */
bool rt_work_waiting(int64_t now)
{
    struct rt_state *s = &rt_state;
    if (rt_work_visible(NULL) || rt_timers_next() <= now)
        return true;
    uint32_t n = atomic_load(&s->n_workers);
    for (uint32_t i = 0; i < n; i++) {
        struct rt_worker *w = atomic_load(&s->workers[i]);
        if (atomic_load(&w->lifo))
            return true;
    }
    return false;
}

/* Without idle_lock: a guess. */
static struct rt_worker *worker_poller(void)
{
    return atomic_load_explicit(&rt_state.poller, memory_order_relaxed);
}

/* Under idle_lock, which orders what stands there; n_idle, searching and parked are read without
 * it, after a fence. Returns whether it slept in epoll. */
static bool worker_unidle(struct rt_worker *w)
{
    struct rt_state *s = &rt_state;
    bool polls = worker_poller() == w;
    if (polls)
        atomic_store_explicit(&s->poller, NULL, memory_order_relaxed);
    else
        list_remove(&w->idle);
    atomic_fetch_sub_explicit(&s->n_idle, 1, memory_order_relaxed);
    atomic_store_explicit(&w->status, RT_RUN, memory_order_relaxed);
    return polls;
}

static void worker_rouse(struct rt_worker *w, bool polls)
{
    rt_poke(&w->parked);
    if (polls)
        rt_netpoll_wake();
}

static void worker_wake(bool for_burst)
{
    struct rt_state *s = &rt_state;
    struct rt_worker *w = NULL;
    bool polls = false;
    atomic_thread_fence(memory_order_seq_cst);
    if (atomic_load_explicit(&s->n_idle, memory_order_relaxed) == 0 ||
        atomic_load_explicit(&s->searching, memory_order_relaxed))
        return;
    lock_take(&s->idle_lock, LOCK_SCHED);
    if (!list_empty(&s->idle))
        w = container_of(s->idle.next, struct rt_worker, idle);
    else
        w = worker_poller();
    uint32_t none = 0;
    if (w && atomic_compare_exchange_strong_explicit(&s->searching, &none, 1, memory_order_relaxed,
                                                     memory_order_relaxed)) {
        w->searching = true;
        w->for_burst = for_burst;
        polls = worker_unidle(w);
    } else {
        w = NULL;
    }
    lock_drop(&s->idle_lock, LOCK_SCHED);
    if (w)
        worker_rouse(w, polls);
}

void rt_wake_one(void) { worker_wake(false); }
void rt_wake_for_burst(void) { worker_wake(true); }

/* Somebody has to sleep in epoll: a worker that came out of it may have become stuck or retired,
 * while the others fell asleep on their futex. Who is woken finds nothing and sleeps there. */
bool rt_wake_poller(void)
{
    struct rt_state *s = &rt_state;
    bool none = !worker_poller() && !atomic_load(&s->in_epoll) && atomic_load(&s->n_idle);
    if (none)
        rt_wake_one();
    return none;
}

void rt_wake_worker(struct rt_worker *w)
{
    struct rt_state *s = &rt_state;
    bool polls = false;
    lock_take(&s->idle_lock, LOCK_SCHED);
    bool idle = atomic_load_explicit(&w->status, memory_order_relaxed) == RT_IDLE;
    if (idle)
        polls = worker_unidle(w);
    lock_drop(&s->idle_lock, LOCK_SCHED);
    if (idle)
        worker_rouse(w, polls);
}

static bool worker_rests(void)
{
    return atomic_load_explicit(&rt_state.rest_until, memory_order_relaxed) != 0;
}

/* As rt_work_visible; at rest what stands in the workers' rings is theirs. */
static bool worker_tempted(const struct rt_worker *w)
{
    return worker_rests() ? worker_common_work(w) : rt_work_visible(w);
}

/* Gives up the searcher's role, and passes it on if there is more to do. */
static void worker_search_end(struct rt_worker *w)
{
    if (!w->searching)
        return;
    w->searching = w->for_burst = false;
    atomic_store_explicit(&rt_state.searching, 0, memory_order_relaxed);
    atomic_thread_fence(memory_order_seq_cst);
    if (atomic_load_explicit(&rt_state.n_idle, memory_order_relaxed) && worker_tempted(NULL))
        rt_wake_one();
}

static void worker_rest(int64_t now)
{
    if (WORKER_REST_NS)
        atomic_store_explicit(&rt_state.rest_until, now + WORKER_REST_NS, memory_order_relaxed);
}

void rt_rest_end(int64_t now)
{
    int64_t until = atomic_load_explicit(&rt_state.rest_until, memory_order_relaxed);
    if (until && until <= now)
        atomic_store_explicit(&rt_state.rest_until, 0, memory_order_relaxed);
}

/* What it stole last is done: was that worth it? */
static void worker_judge(struct rt_worker *w)
{
    if (!w->stole_at)
        return;
    int64_t now = sys_now();
    if (now - w->stole_at < WORKER_TINY_NS)
        worker_rest(now);
    w->stole_at = 0;
}

/* How long the poller may sleep whatever the timers say: one waits for a stack. */
int64_t rt_idle_limit(void)
{
    return atomic_load(&rt_state.starved) ? sys_now() + 10000000 : INT64_MAX;
}

/* All steps of who falls asleep; *polls: as the poller. False: stays awake, was just marked as
 * stuck or has work. */
bool rt_worker_doze(struct rt_worker *w, bool *polls)
{
    struct rt_state *s = &rt_state;
    lock_take(&s->idle_lock, LOCK_SCHED);
    if (w->searching) {
        w->searching = false;
        atomic_store_explicit(&s->searching, 0, memory_order_relaxed);
    }
    uint32_t run = RT_RUN;
    if (!atomic_compare_exchange_strong_explicit(&w->status, &run, RT_IDLE, memory_order_relaxed,
                                                 memory_order_relaxed)) {
        lock_drop(&s->idle_lock, LOCK_SCHED);
        *polls = false;
        return false;
    }
    *polls = !worker_poller() && !atomic_load_explicit(&s->in_epoll, memory_order_relaxed);
    if (*polls) {
        atomic_store_explicit(&s->poller, w, memory_order_relaxed);
        atomic_store_explicit(&s->in_epoll, true, memory_order_relaxed);
    } else {
        list_push_front(&s->idle, &w->idle);
    }
    atomic_store_explicit(&w->parked, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&s->n_idle, 1, memory_order_relaxed);
    lock_drop(&s->idle_lock, LOCK_SCHED);
    atomic_thread_fence(memory_order_seq_cst);
    return !atomic_load_explicit(&s->stopping, memory_order_relaxed) &&
           !atomic_load_explicit(&w->inbox_len, memory_order_relaxed) &&
           (atomic_load_explicit(&s->searching, memory_order_relaxed) || !worker_tempted(w));
}

void rt_worker_awake(struct rt_worker *w, bool polls)
{
    struct rt_state *s = &rt_state;
    lock_take(&s->idle_lock, LOCK_SCHED);
    if (polls)
        atomic_store_explicit(&s->in_epoll, false, memory_order_relaxed);
    if (atomic_load_explicit(&w->status, memory_order_relaxed) == RT_IDLE)
        worker_unidle(w);
    lock_drop(&s->idle_lock, LOCK_SCHED);
    rt_sysmon_wake();
    if (unlikely(atomic_load_explicit(&s->starved, memory_order_relaxed)))
        rt_starved_wake();
}

static void worker_idle(struct rt_worker *w)
{
    struct rt_state *s = &rt_state;
    bool polls, sleeps = rt_worker_doze(w, &polls);
    if (sleeps && polls)
        rt_netpoll_block(rt_idle_limit());
    while (sleeps && !polls && atomic_load_explicit(&w->parked, memory_order_relaxed) &&
           !atomic_load_explicit(&s->stopping, memory_order_relaxed))
        sys.futex_wait(&w->parked, 1, NULL);
    rt_worker_awake(w, polls);
}

/* At rest: does who has it come to it soon? */
static bool worker_quick(struct rt_worker *from)
{
    uint64_t tick = atomic_load_explicit(&from->tick, memory_order_relaxed);
    if (rt_ring_len(from) == 0)
        return true;
    for (int64_t end = sys_now() + WORKER_WATCH_NS; sys_now() < end;)
        rt_relax();
    tick = atomic_load_explicit(&from->tick, memory_order_relaxed) - tick;
    return rt_ring_len(from) < 2 * tick;
}

static uintptr_t worker_steal(struct rt_worker *w, bool lifo)
{
    struct rt_state *s = &rt_state;
    uint32_t n = atomic_load_explicit(&s->n_workers, memory_order_acquire);
    w->rng = w->rng * 1664525u + 1013904223u;
    uint32_t start = (w->rng >> 8) % (n ? n : 1);
    for (uint32_t i = 0; i < n; i++) {
        struct rt_worker *from =
            atomic_load_explicit(&s->workers[(start + i) % n], memory_order_relaxed);
        if (from == w || (!lifo && worker_rests() && worker_quick(from)))
            continue;
        uintptr_t item = lifo ? rt_lifo_steal(from) : rt_ring_steal(w, from);
        if (item)
            return item;
    }
    return 0;
}

static uintptr_t worker_search(struct rt_worker *w)
{
    struct rt_state *s = &rt_state;
    uint32_t none = 0;
    if (!w->searching && !atomic_compare_exchange_strong_explicit(
                             &s->searching, &none, 1, memory_order_relaxed, memory_order_relaxed))
        return 0;
    w->searching = true;
    for (int64_t end = 0;;) {
        uintptr_t item = worker_steal(w, false);
        if (item) {
            w->stole_at = sys_now();
            return item;
        }
        if ((item = rt_global_pop(w)) != 0)
            return item;
        int32_t running = atomic_load_explicit(&s->enlisted, memory_order_relaxed) -
                          (int32_t)atomic_load_explicit(&s->n_idle, memory_order_relaxed);
        if (worker_rests() || running <= 1 || running > (int32_t)s->cpus || s->target == 1)
            break; /* nobody here makes work, or the CPU is better given to others */
        int64_t now = sys_now();
        if (!end)
            end = now + WORKER_SPIN_NS;
        else if (now >= end)
            break;
        for (int i = 0; i < 32; i++)
            rt_relax();
    }
    return worker_steal(w, true);
}

/* The same, and its lesson. */
static uintptr_t worker_seek(struct rt_worker *w)
{
    worker_judge(w);
    uintptr_t item = worker_search(w);
    if (!item && w->for_burst)
        worker_rest(sys_now());
    w->for_burst = false;
    return item;
}

void rt_mark_unstuck(struct rt_worker *w)
{
    pthread_mutex_lock(&rt_state.mutex);
    uint32_t was = RT_STUCK;
    if (atomic_compare_exchange_strong(&w->status, &was, RT_RUN))
        atomic_fetch_sub(&rt_state.stuck, 1);
    pthread_mutex_unlock(&rt_state.mutex);
    rt_sysmon_wake();
}

bool rt_mark_stuck(struct rt_worker *w)
{
    uint32_t was = RT_RUN;
    if (!atomic_compare_exchange_strong(&w->status, &was, RT_STUCK))
        return false;
    atomic_fetch_add(&rt_state.stuck, 1);
    rt_call_worker(w);
    return true;
}

/* More than target that are not stuck. While one of them is idle nobody gives way: what a retiring
 * worker leaves would be taken by the idle one, and then nobody would watch the timers (a sleeper
 * beside hogs: 0.9 ms late instead of 0.1). Of idle ones target are enough. */
static bool worker_surplus(bool idle)
{
    struct rt_state *s = &rt_state;
    int32_t n = atomic_load_explicit(&s->enlisted, memory_order_relaxed) -
                atomic_load_explicit(&s->stuck, memory_order_relaxed);
    int32_t target = (int32_t)s->target;
    int32_t resting = (int32_t)atomic_load_explicit(&s->n_idle, memory_order_relaxed);
    return n > target && (idle ? resting >= target : resting == 0);
}

/* idle: it has nothing to do. Whether it did retire, and was called back. */
static bool worker_retire(struct rt_worker *w, bool idle)
{
    struct rt_state *s = &rt_state;
    if (atomic_load(&w->pinned) || atomic_load(&w->inbox_len))
        return false;
    pthread_mutex_lock(&s->mutex);
    uint32_t run = RT_RUN;
    if (!worker_surplus(idle) || atomic_load(&s->stopping) ||
        !atomic_compare_exchange_strong(&w->status, &run, RT_RETIRED)) {
        pthread_mutex_unlock(&s->mutex);
        return false;
    }
    atomic_fetch_sub(&s->enlisted, 1);
    uintptr_t item = w->held;
    for (w->held = 0; item || (item = rt_local_pop(w)) != 0; item = 0)
        rt_global_push(item, item, 1);
    rt_defer_flush(w->index);
    rt_stack_flush(w);
    atomic_store(&w->resumed_only, false);
    atomic_store(&w->parked, 1);
    w->next_retired = s->retired;
    s->retired = w;
    if (w->searching) {
        w->searching = false;
        atomic_store(&s->searching, 0);
    }
    pthread_mutex_unlock(&s->mutex);
    atomic_thread_fence(memory_order_seq_cst);
    if (rt_work_visible(NULL))
        rt_wake_one();
    rt_wake_poller(); /* w may have been it, roused just now, and others left the poll to it */
    while (atomic_load(&w->parked) && !atomic_load(&s->stopping))
        sys.futex_wait(&w->parked, 1, NULL);
    rt_sysmon_wake();
    return true;
}

static uintptr_t worker_periodic(struct rt_worker *w)
{
    int64_t now = sys_now();
    atomic_store_explicit(&rt_state.coarse, now, memory_order_relaxed);
    rt_looked(w);
    rt_rest_end(now);
    rt_timers_run(now);
    if (!worker_poller() && now - rt_netpoll_last() > WORKER_POLL_NS)
        rt_netpoll_check();
    return w->held ? 0 : rt_global_pop(w);
}

static uintptr_t worker_local(struct rt_worker *w)
{
    uintptr_t item = w->held;
    w->held = 0;
    if (!item)
        item = rt_inbox_pop(w);
    return item ? item : rt_local_pop(w);
}

/* The next item, without searching elsewhere for one. */
uintptr_t rt_worker_look(struct rt_worker *w)
{
    rt_call_answer(w);
    if (unlikely(atomic_load_explicit(&w->status, memory_order_relaxed) == RT_STUCK)) {
        rt_mark_unstuck(w);
        if (worker_surplus(false)) /* one too many now: it gives way, not who took its place */
            worker_retire(w, false);
    }
    uintptr_t item = rt_look_due(w) ? worker_periodic(w) : 0;
    if (item || (item = worker_local(w)) != 0)
        return item;
    if (rt_defer_pending(w->index)) {
        rt_defer_flush(w->index);
        if ((item = worker_local(w)) != 0)
            return item;
    }
    if (!w->resumed_only && (item = rt_fresh_pop()) != 0)
        return item;
    if ((item = rt_global_pop(w)) != 0)
        return item;
    int64_t next = rt_timers_next();
    if (next != INT64_MAX) {
        int64_t now = sys_now();
        if (next <= now)
            rt_timers_run(now);
    }
    if (rt_state.target > 1 && !worker_poller())
        rt_netpoll_check();
    return worker_local(w);
}

/* The next item, or 0 after a sleep or while stopping. */
static uintptr_t worker_find(struct rt_worker *w)
{
    uintptr_t item = rt_worker_look(w);
    if (!item && (item = worker_seek(w)) == 0 && (!worker_surplus(true) || !worker_retire(w, true)))
        worker_idle(w);
    return item;
}

void rt_worker_run(struct rt_worker *w, uintptr_t item)
{
    worker_search_end(w);
    if (rt_item_is_task(item)) {
        atomic_store_explicit(&w->tick, atomic_load_explicit(&w->tick, memory_order_relaxed) + 1,
                              memory_order_relaxed);
        rt_task_run(w, rt_task_of(item));
        return;
    }
    if (unlikely(w->resumed_only) && rt_item_fresh(item)) {
        rt_fresh_hold(rt_g_of(item));
        return;
    }
    if (unlikely(rt_defer_pending(w->index))) {
        if (rt_defer_due(w))
            rt_defer_flush(w->index);
        rt_call_self(w); /* to look again */
    }
    rt_run_g(w, rt_g_of(item));
}

/* Of libstdc++ or libc++abi, if the program has it. */
extern void *__cxa_get_globals(void) __attribute__((weak));

void rt_worker_bounds(struct rt_worker *w)
{
    w->errno_at = &errno;
    w->caught = __cxa_get_globals ? __cxa_get_globals() : NULL;
#ifdef RT_ASAN
    pthread_attr_t a;
    void *lo = NULL;
    if (pthread_getattr_np(pthread_self(), &a) == 0) {
        pthread_attr_getstack(&a, &lo, &w->native_size);
        pthread_attr_destroy(&a);
    }
    w->native_lo = lo;
#endif
    san_thread_owns(&errno); /* by whatever goroutine runs here */
    w->native_fiber = san_fiber_current();
    w->commit_fiber = san_fiber_new();
    w->seed_fiber = san_fiber_new();
}

/* Its maker's rounding and the like are inherited; goroutines start with the defaults, and one that
 * changes them must put them back before it blocks. */
static void worker_float(void)
{
#if defined(__x86_64__)
    uint16_t x87 = 0x37f;
    __builtin_ia32_ldmxcsr(0x1f80);
    __asm__ volatile("fldcw %0" : : "m"(x87));
#elif defined(__aarch64__)
    __asm__ volatile("msr fpcr, %0" : : "r"((uint64_t)0));
#endif
}

void rt_worker_end(struct rt_worker *w)
{
    if (w->errors && rt_errors_free)
        rt_errors_free(w->errors);
    rt_overflow_thread_end(w);
    san_fiber_free(w->commit_fiber);
    san_fiber_free(w->seed_fiber);
}

static void *worker_main(void *arg)
{
    struct rt_worker *w = arg;
    rt_thread_keep();
    worker_float();
    w->tid = gettid();
    rt_local_worker(w);
    rt_worker_bounds(w);
    rt_overflow_thread(w);
    while (!atomic_load_explicit(&rt_state.stopping, memory_order_relaxed)) {
        uintptr_t item = worker_find(w);
        if (item)
            rt_worker_run(w, item);
    }
    rt_worker_end(w);
    rt_local_worker(NULL);
    return NULL;
}

/* A cancelled thread would take along all that stands on it: pthread_cancel has no effect. */
void rt_thread_keep(void)
{
    int was;
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &was);
}

/* With all signals blocked but those that the thread's own code causes. 0 or -errno. */
int rt_thread_create(pthread_t *t, void *(*fn)(void *), void *arg, size_t stack)
{
    static const int own[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGABRT, SIGSYS };
    pthread_attr_t a;
    if (pthread_attr_init(&a))
        return -ENOMEM;
    if (stack)
        pthread_attr_setstacksize(&a, stack);
    sigset_t set, old;
    sigfillset(&set);
    for (size_t i = 0; i < countof(own); i++)
        sigdelset(&set, own[i]);
    pthread_sigmask(SIG_SETMASK, &set, &old);
    int rc = sys.pthread_create(t, &a, fn, arg);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    pthread_attr_destroy(&a);
    return rc > 0 ? -rc : rc;
}

static bool worker_new(bool resumed_only)
{
    struct rt_state *s = &rt_state;
    uint32_t n = atomic_load(&s->n_workers);
    if (n == LIMIT_WORKERS)
        return false;
    size_t size = (sizeof(struct rt_worker) + 63) & ~(size_t)63;
    san_ignore_begin();
    struct rt_worker *w = sys.aligned_alloc(64, size);
    if (w)
        memset(w, 0, size);
    san_ignore_end();
    if (!w)
        return false;
    list_init(&w->idle);
    w->index = n;
    w->defers = rt_defer_count(n);
    w->native_size = WORKER_STACK;
    w->rng = n * 2654435761u + 1;
    w->resumed_only = resumed_only;
    w->claim = s->can_claim ? RT_OWNED : RT_SHARED;
    w->limit = RT_ROUNDS;
    atomic_fetch_add(&s->enlisted, 1);
    atomic_store(&s->workers[n], w);
    atomic_store(&s->n_workers, n + 1); /* before it runs: its counts must be seen */
    if (!s->none && rt_thread_create(&w->thread, worker_main, w, WORKER_STACK) < 0) {
        atomic_store(&s->n_workers, n);
        atomic_fetch_sub(&s->enlisted, 1);
        /* a thief may look at w just now, so it is freed at the end only */
        w->next_retired = s->stillborn;
        s->stillborn = w;
        return false;
    }
    return true;
}

bool rt_enlist(bool resumed_only)
{
    struct rt_state *s = &rt_state;
    struct rt_worker *w = s->retired;
    if (!w)
        return worker_new(resumed_only);
    s->retired = w->next_retired;
    w->resumed_only = resumed_only;
    atomic_store(&w->status, RT_RUN);
    atomic_fetch_add(&s->enlisted, 1);
    rt_poke(&w->parked);
    return true;
}

bool rt_workers_idle(void)
{
    struct rt_state *s = &rt_state;
    return (int32_t)atomic_load(&s->n_idle) >= atomic_load(&s->enlisted) &&
           atomic_load(&s->stuck) == 0 && !atomic_load(&s->starved) && !rt_work_visible(NULL);
}

/* "max 100000" or "200000 100000" of cgroup 2: whole CPUs, rounded up; 0: no quota. */
static uint32_t worker_quota(void)
{
    char text[64];
    int fd = sys.open("/sys/fs/cgroup/cpu.max", O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return 0;
    ssize_t n = sys.read(fd, text, sizeof text - 1);
    sys.close(fd);
    if (n <= 0)
        return 0;
    text[n] = 0;
    char *end;
    long long quota = strtoll(text, &end, 10);
    long long period = strtoll(end, NULL, 10);
    return quota > 0 && period > 0 ? (uint32_t)((quota + period - 1) / period) : 0;
}

static void worker_count_cpus(void)
{
    struct rt_state *s = &rt_state;
    cpu_set_t set;
    const char *env = getenv("SENNIT_MAXPROCS");
    long asked = env ? strtol(env, NULL, 10) : 0;
    asked = s->options.threads ? s->options.threads : asked;
    s->cpus = s->target = 1;
    if (s->none)
        return;
    if (sched_getaffinity(0, sizeof set, &set) == 0 && CPU_COUNT(&set) > 0)
        s->cpus = (uint32_t)CPU_COUNT(&set);
    uint32_t quota = worker_quota();
    s->target = quota && quota < s->cpus ? quota : s->cpus;
    if (asked > 0)
        s->target = (uint32_t)asked;
    if (s->target > LIMIT_WORKERS / 2)
        s->target = LIMIT_WORKERS / 2;
}

static bool worker_start_locked(void)
{
    struct rt_state *s = &rt_state;
    if (rt_shadowed())
        return false;
    s->none = rt_loop_wanted();
    worker_count_cpus();
    s->can_claim = asym_heavy();
    rt_stack_start();
    rt_trim_start();
    atomic_store(&s->coarse, sys_now());
    list_init(&s->idle);
    if (!rt_fork_watch() || rt_netpoll_open() < 0)
        return false;
    if (!s->options.keep_sigsegv)
        rt_overflow_install();
    uint32_t made = 0;
    while (made < s->target && worker_new(false))
        made++;
    if (made == 0) {
        rt_overflow_remove();
        rt_netpoll_close();
        for (struct rt_worker *w = s->stillborn; w; w = s->stillborn) {
            s->stillborn = w->next_retired;
            sys.free(w);
        }
        return false;
    }
    s->target = made;
    if (s->none)
        rt_loop_start(atomic_load(&s->workers[0]));
    else
        s->has_sysmon = rt_thread_create(&s->sysmon, rt_sysmon_main, NULL, WORKER_STACK) >= 0;
    if (s->can_claim)
        atomic_fetch_add(&s->mutex_waits, RT_MUTEX_ALONE);
    san_release(&s->running);
    atomic_store(&s->running, 1);
    return true;
}

bool rt_start(void)
{
    if (likely(atomic_load_explicit(&rt_state.running, memory_order_acquire))) {
        san_acquire(&rt_state.running);
        return true;
    }
    if (rt_refused())
        return false;
    pthread_mutex_lock(&rt_state.mutex);
    bool ok = atomic_load(&rt_state.running) || worker_start_locked();
    pthread_mutex_unlock(&rt_state.mutex);
    return ok;
}
