/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * sim_thread.c: threads that take turns on one. Workers, sysmon, the threads of blocking calls and
 * the clients that are plain threads each have a stack of their own; the seed decides at each
 * system call and at each use of an atomic (sim_points.h) whether another goes on.
 * What a thread has by itself (the word of thread.c, errno) is changed with it. When none can go
 * on, time does; when nothing will happen by itself either, that is a hang.
 *
 * All threads see one memory: what processors may reorder is the model checker's (test/model). */
#include "rt/rt_private.h"
#include "sim.h"
#include <sched.h>
#include <stdlib.h>
#include <sys/mman.h>

#define THREAD_STACKS ((char *)0x300000000000)
enum { THREAD_MOST = 200, THREAD_FOREIGN = 20, THREAD_STACK = 512 << 10 };

struct sim_thread {
    void *sp;
    uintptr_t word;
    int saved_errno;
    bool used, done, blocked, foreign;
    bool (*ready)(void *arg); /* of one that is blocked; NULL: by time alone */
    void *ready_arg;
    int64_t until;
    _Atomic uint32_t *futex;
    void *(*fn)(void *arg);
    void *arg;
};
static struct sim_thread threads[THREAD_MOST] = { { .used = true } };
static struct sim_thread *thread_now = &threads[0];
static int thread_top = 1; /* one beyond the last that was used */

static bool thread_can_run(struct sim_thread *t)
{
    if (!t->used || t->done)
        return false;
    return !t->blocked || t->until <= sim.now || (t->ready && t->ready(t->ready_arg));
}

static void thread_switch(struct sim_thread *to)
{
    struct sim_thread *from = thread_now;
    if (to == from)
        return;
    from->saved_errno = errno;
    from->word = rt_local_swap(to->word);
    thread_now = to;
    sim_note("thread", to - threads, 0);
    rt_switch(&from->sp, to->sp);
    errno = thread_now->saved_errno;
}

/* When the next thing happens that is no thread's going on. */
static int64_t thread_next(void)
{
    int64_t next = sim_net_next();
    for (int i = 0; i < thread_top; i++)
        if (threads[i].used && !threads[i].done && threads[i].blocked && threads[i].until < next)
            next = threads[i].until;
    return next;
}

/* Who goes on: any that can; if none can, time does. */
static void thread_schedule(void)
{
    for (;;) {
        struct sim_thread *can[THREAD_MOST];
        uint32_t n = 0;
        for (int i = 0; i < thread_top; i++)
            if (thread_can_run(&threads[i]))
                can[n++] = &threads[i];
        if (n) {
            thread_switch(can[n > 1 ? sim_random(n) : 0]);
            return;
        }
        int64_t next = thread_next();
        if (next == INT64_MAX)
            sim_hang("nothing will ever happen");
        sim_net_go_to(next);
    }
}

void sim_wait(bool (*ready)(void *arg), void *arg, int64_t until)
{
    struct sim_thread *t = thread_now;
    t->blocked = true, t->ready = ready, t->ready_arg = arg, t->until = until;
    thread_schedule();
    t->blocked = false;
}

void sim_preempt(uint32_t of_10000)
{
    if (thread_top > 1 && sim_order(of_10000))
        thread_schedule();
}

int sim_points_left = INT32_MAX;
unsigned sim_focus = UINT32_MAX;

void sim_point_hit(bool focus)
{
    if (focus) { /* stays there for a while, so that others get far */
        if (thread_top > 1 && sim_order(3000))
            sim_wait(NULL, NULL, sim.now + 1 + sim_random(2000000));
        return;
    }
    sim_points_left = sim.o.points ? 1 + (int)sim_random(2 * sim.o.points) : INT32_MAX;
    if (sim.o.points && thread_top > 1)
        thread_schedule();
}

int sim_weakly(void) { return sim_order(sim.o.weak); }

static bool thread_others_can(void)
{
    for (int i = 0; i < thread_top; i++)
        if (&threads[i] != thread_now && thread_can_run(&threads[i]))
            return true;
    return false;
}

/* A spin that only time can end is not played turn by turn. */
void sim_relax(void)
{
    sim.now += 100;
    if (!thread_others_can()) {
        int64_t next = thread_next(), most = sim.now + 20000;
        sim_net_go_to(next < most ? next : most);
    }
    sim_note("relax", 0, 0);
    thread_schedule();
}

/* -- life ------------------------------------------------------------------------------------ */

static void thread_main(void)
{
    struct sim_thread *t = thread_now;
    t->fn(t->arg);
    rt_thread_forget();
    t->done = true;
    thread_schedule();
    abort();
}

/* most: the library has not all of them, for those that are not its own must start. */
static struct sim_thread *thread_new(int most, void *(*fn)(void *arg), void *arg)
{
    int i = 0;
    while (i < most && threads[i].used)
        i++;
    if (i == most)
        return NULL;
    char *stack =
        mmap(THREAD_STACKS + (size_t)i * THREAD_STACK, THREAD_STACK, PROT_READ | PROT_WRITE,
             MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0);
    if (stack == MAP_FAILED)
        sim_fail("no stack for a thread");
    uintptr_t *sp = (uintptr_t *)(stack + THREAD_STACK - 64);
    memset(sp, 0, 64);
    sp[6] = (uintptr_t)thread_main; /* what rt_switch returns to: see switch_x86_64.S */
    threads[i] = (struct sim_thread){ .sp = sp + 5, .used = true, .fn = fn, .arg = arg };
    threads[i].until = INT64_MAX;
    thread_top = i + 1 > thread_top ? i + 1 : thread_top;
    return &threads[i];
}

void sim_thread_start(void *(*fn)(void *arg), void *arg)
{
    struct sim_thread *t = thread_new(THREAD_MOST, fn, arg);
    if (!t)
        sim_fail("too many threads");
    t->foreign = true;
}

static bool thread_is_done(void *arg) { return ((struct sim_thread *)arg)->done; }

void sim_thread_run(void *(*fn)(void *arg), void *arg)
{
#ifdef SIM_THREADS
    sim_wait(thread_is_done, thread_new(THREAD_MOST, fn, arg), INT64_MAX);
#else
    fn(arg);
#endif
}

static bool thread_foreign_gone(void *arg)
{
    (void)arg;
    for (int i = 0; i < thread_top; i++)
        if (threads[i].foreign && !threads[i].done)
            return false;
    return true;
}

void sim_thread_wait_foreign(void) { sim_wait(thread_foreign_gone, NULL, INT64_MAX); }

static int thread_create(pthread_t *t, const pthread_attr_t *a, void *(*fn)(void *), void *arg)
{
    (void)a;
    if (sim.o.threads == 0)
        sim_fail("a thread was asked for");
    if (sim_chance(sim.o.no_thread))
        return -EAGAIN;
    struct sim_thread *n = thread_new(THREAD_MOST - THREAD_FOREIGN, fn, arg);
    if (!n)
        return -EAGAIN;
    *t = (pthread_t)n;
    sim_note("thread made", n - threads, 0);
    return 0;
}

/* Where each stands, by frame pointers, as addr2line wants it. */
void sim_thread_list(void)
{
    extern const char __executable_start[];
    for (int i = 0; i < thread_top; i++) {
        const struct sim_thread *t = &threads[i];
        if (!t->used || t->done || t == thread_now)
            continue;
        const uintptr_t *sp = t->sp, *frame = (const uintptr_t *)sp[0];
        fprintf(stderr, "  thread %d:", i);
        for (int k = 0; k < 12 && frame && !((uintptr_t)frame & 7); k++) {
            fprintf(stderr, " %#zx", (size_t)(frame[1] - (uintptr_t)__executable_start));
            if (frame[0] <= (uintptr_t)frame)
                break;
            frame = (const uintptr_t *)frame[0];
        }
        fputc('\n', stderr);
    }
}

/* -- futex ----------------------------------------------------------------------------------- */

static bool thread_woken(void *arg) { return ((struct sim_thread *)arg)->futex == NULL; }

static int thread_futex_wait(_Atomic uint32_t *word, uint32_t expected,
                             const struct timespec *timeout)
{
    struct sim_thread *t = thread_now;
    sim_preempt(sim.o.preempt);
    if (atomic_load(word) != expected)
        return -EAGAIN;
    t->futex = word;
    sim_wait(thread_woken, t,
             timeout ? sim.now + timeout->tv_sec * INT64_C(1000000000) + timeout->tv_nsec
                     : INT64_MAX);
    bool woken = t->futex == NULL;
    t->futex = NULL;
    return woken ? 0 : -ETIMEDOUT;
}

static int thread_futex_wake(_Atomic uint32_t *word, int n)
{
    int woken = 0, start = (int)sim_random((uint32_t)thread_top);
    for (int k = 0; k < thread_top && woken < n; k++) {
        struct sim_thread *t = &threads[(start + k) % thread_top];
        if (t->used && !t->done && t->futex == word) {
            t->futex = NULL;
            woken++;
        }
    }
    sim_preempt(sim.o.preempt);
    return woken;
}

void sim_thread_install(void)
{
    threads[0].until = INT64_MAX;
    sim_point_hit(false);
    sim_focus = sim.o.focus ? sim.o.focus - 1 : UINT32_MAX;
    sys.pthread_create = thread_create;
    sys.futex_wait = thread_futex_wait, sys.futex_wake = thread_futex_wake;
}

/* -- what the library asks of threads without the table (linked with --wrap) ------------------ */

pthread_t __wrap_pthread_self(void);
int __wrap_pthread_join(pthread_t t, void **result);
int __wrap_pthread_detach(pthread_t t);
int __wrap_pthread_getcpuclockid(pthread_t t, clockid_t *id);
int __wrap_sched_yield(void);
pid_t __wrap_gettid(void);
const void *__wrap_rt_thread_mark(void);
int __real_pthread_mutex_unlock(pthread_mutex_t *m);
int __wrap_pthread_mutex_lock(pthread_mutex_t *m);
int __wrap_pthread_mutex_unlock(pthread_mutex_t *m);

pthread_t __wrap_pthread_self(void) { return (pthread_t)thread_now; }
int __wrap_pthread_join(pthread_t t, void **result)
{
    (void)result;
    sim_wait(thread_is_done, (void *)t, INT64_MAX);
    return 0;
}
int __wrap_pthread_detach(pthread_t t) { return (void)t, 0; }
int __wrap_pthread_getcpuclockid(pthread_t t, clockid_t *id) { return (void)t, (void)id, ENOENT; }
int __wrap_sched_yield(void)
{
    sim_relax();
    return 0;
}
const void *__wrap_rt_thread_mark(void) { return thread_now; }
pid_t __wrap_gettid(void) { return 1000 + (pid_t)(thread_now - threads); }

int __wrap_pthread_mutex_lock(pthread_mutex_t *m)
{
    sim_preempt(sim.o.preempt);
    while (pthread_mutex_trylock(m) != 0)
        sim_relax();
    return 0;
}
int __wrap_pthread_mutex_unlock(pthread_mutex_t *m)
{
    __real_pthread_mutex_unlock(m);
    sim_preempt(sim.o.preempt);
    return 0;
}
