/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * held.c: debug builds (RT_HELD) find who parks while it holds a pthread mutex. That mutex belongs
 * to the thread, which goes on with other goroutines: those that want it block their threads, and
 * its owner may come back on a thread that may not unlock it. So here the process ends, and is told
 * where the mutex was taken and where its holder parks. Release builds bear it: spare workers make
 * of it a delay.
 *
 * The functions of the C library are taken over by name, which works where this is linked into the
 * program itself (libsennit.a) and no sanitizer does the same. The record is the thread's: a
 * goroutine stays on it as long as the record is not empty. Mutexes taken outside of goroutines are
 * not looked at. */
#include "rt/rt_private.h"

#ifdef RT_HELD
#include <dlfcn.h>
#include <execinfo.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { HELD_MOST = 32, HELD_FRAMES = 24 };
#define HELD_EXPORT __attribute__((visibility("default")))

static _Thread_local struct held {
    const pthread_mutex_t *mutex[HELD_MOST];
    void *at[HELD_MOST];
    int n; /* those beyond the most are not known */
} held_record;

/* Never inlined: a goroutine that has moved must not meet the address of another thread's. */
static __attribute__((noinline)) struct held *held_mine(void)
{
    struct held *h = &held_record;
    __asm__ volatile("" : "+r"(h));
    return h;
}

static void held_add(const pthread_mutex_t *m, void *at)
{
    struct rt_worker *w = rt_worker();
    struct held *h = held_mine();
    if (!w || !w->cur || h->n == HELD_MOST)
        return;
    h->mutex[h->n] = m;
    h->at[h->n++] = at;
}

static void held_remove(const pthread_mutex_t *m)
{
    struct held *h = held_mine();
    int i = h->n;
    while (i > 0 && h->mutex[i - 1] != m)
        i--;
    if (i == 0)
        return;
    h->n--;
    for (i--; i < h->n; i++)
        h->mutex[i] = h->mutex[i + 1], h->at[i] = h->at[i + 1];
}

void rt_held_check(const struct rt_g *g, const char *doing)
{
    struct held *h = held_mine();
    if (likely(h->n == 0))
        return;
    char who[160];
    void *frames[HELD_FRAMES];
    fprintf(stderr,
            "sennit: %s parks (%s) while it holds a pthread mutex: use sennit_mutex, or unlock it "
            "first. It was locked at\n",
            rt_describe(g, who, sizeof who), doing);
    backtrace_symbols_fd(&h->at[h->n - 1], 1, STDERR_FILENO);
    fprintf(stderr, "and it parks at\n");
    backtrace_symbols_fd(frames, backtrace(frames, HELD_FRAMES), STDERR_FILENO);
    abort();
}

/* -- in place of the C library's ------------------------------------------------------------- */

static void *held_real(void *_Atomic *cache, const char *name)
{
    void *fn = atomic_load_explicit(cache, memory_order_relaxed);
    if (unlikely(!fn)) {
        fn = dlsym(RTLD_NEXT, name);
        if (!fn)
            abort();
        atomic_store_explicit(cache, fn, memory_order_relaxed);
    }
    return fn;
}

HELD_EXPORT int pthread_mutex_lock(pthread_mutex_t *m)
{
    static void *_Atomic real;
    int rc = ((int (*)(pthread_mutex_t *))held_real(&real, "pthread_mutex_lock"))(m);
    if (rc == 0)
        held_add(m, __builtin_return_address(0));
    return rc;
}

HELD_EXPORT int pthread_mutex_trylock(pthread_mutex_t *m)
{
    static void *_Atomic real;
    int rc = ((int (*)(pthread_mutex_t *))held_real(&real, "pthread_mutex_trylock"))(m);
    if (rc == 0)
        held_add(m, __builtin_return_address(0));
    return rc;
}

HELD_EXPORT int pthread_mutex_timedlock(pthread_mutex_t *m, const struct timespec *until)
{
    static void *_Atomic real;
    int rc = ((int (*)(pthread_mutex_t *, const struct timespec *))held_real(
        &real, "pthread_mutex_timedlock"))(m, until);
    if (rc == 0)
        held_add(m, __builtin_return_address(0));
    return rc;
}

HELD_EXPORT int pthread_mutex_unlock(pthread_mutex_t *m)
{
    static void *_Atomic real;
    held_remove(m);
    return ((int (*)(pthread_mutex_t *))held_real(&real, "pthread_mutex_unlock"))(m);
}
#endif
