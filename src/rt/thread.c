/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * thread.c: who am I. One thread-local word says it: a worker (bit 0 set), the stand-in of a plain
 * thread (bits clear), or a helper thread of the runtime (2). Compilers keep the address, or the
 * value, of a thread-local over calls, and a goroutine changes threads in calls: so the word is
 * read by an asm statement (rt_thread_word), or by one function that is never inlined and whose
 * result an asm statement hides.
 * Stand-ins are made on demand and freed at thread exit by a pthread key; the thread that calls
 * rt_shutdown frees its own there (a main thread's key destructors never run). */
#include "rt/rt_private.h"
#include <unistd.h>

__attribute__((used)) _Thread_local uintptr_t rt_local_word; /* by asm statements, too */
static pthread_key_t thread_key;
static pthread_once_t thread_once = PTHREAD_ONCE_INIT;
static bool thread_has_key;
void (*rt_errors_free)(void *errors);

#ifndef RT_THREAD_WORD_INLINE
RT_OPAQUE uintptr_t rt_thread_word(void)
{
    __asm__ volatile("" ::: "memory");
    uintptr_t v = rt_local_word;
    __asm__ volatile("" : "+r"(v)::"memory");
    return v;
}
#endif

RT_OPAQUE static void thread_set_word(uintptr_t v)
{
    __asm__ volatile("" : "+r"(v)::"memory");
    rt_local_word = v;
    __asm__ volatile("" ::: "memory");
}

/* An address that no other thread has now. */
RT_OPAQUE const void *rt_thread_mark(void)
{
    const void *p = &rt_local_word;
    __asm__ volatile("" : "+r"(p));
    return p;
}

bool rt_is_helper(void) { return rt_thread_word() == 2; }
void rt_local_worker(struct rt_worker *w) { thread_set_word(w ? (uintptr_t)w | 1 : 0); }
void rt_local_helper(void) { thread_set_word(2); }
uintptr_t rt_local_swap(uintptr_t word)
{
    uintptr_t was = rt_thread_word();
    thread_set_word(word);
    return was;
}

static void thread_free(struct rt_g *g)
{
    if (g->errors && rt_errors_free)
        rt_errors_free(g->errors);
    sys.free(g);
}

static void thread_gone(void *arg)
{
    thread_set_word((uintptr_t)arg); /* its locals' destructors may ask who they are */
    rt_locals_end(arg);
    thread_set_word(0);
    thread_free(arg);
}

static void thread_make_key(void)
{
    thread_has_key = pthread_key_create(&thread_key, thread_gone) == 0;
}

struct rt_g *rt_thread_self(void)
{
    uintptr_t v = rt_thread_word();
    if (v > 2)
        return (struct rt_g *)v;
    sn_assert(v == 0);
    pthread_once(&thread_once, thread_make_key);
    struct rt_g *g = sys.aligned_alloc(64, sizeof *g);
    if (!g)
        return NULL;
    memset(g, 0, sizeof *g);
    g->id = (uint64_t)gettid();
    g->name = "";
    g->flags = RT_G_THREAD;
    g->state = RT_G_RUNNING;
    if (!thread_has_key || pthread_setspecific(thread_key, g)) {
        sys.free(g);
        return NULL;
    }
    thread_set_word((uintptr_t)g);
    return g;
}

void rt_thread_forget(void)
{
    uintptr_t v = rt_thread_word();
    if (v <= 2 || v & 1)
        return;
    rt_locals_end((struct rt_g *)v);
    pthread_setspecific(thread_key, NULL);
    thread_gone((void *)v);
}

struct rt_g *rt_self(void)
{
    struct rt_worker *w = rt_worker();
    if (!w)
        return rt_thread_self();
    sn_assert(w->cur); /* a task has no self */
    return w->cur;
}

uint64_t rt_me(void)
{
    struct rt_worker *w = rt_worker();
    if (likely(w != NULL)) {
        sn_assert(w->cur); /* a task is nobody */
        return w->cur->id;
    }
    struct rt_g *g = rt_thread_self();
    return (g ? g->id : 0) | RT_THREAD_ID;
}

bool rt_in_goroutine(void)
{
    struct rt_worker *w = rt_worker();
    return w && w->cur;
}

void **rt_errors_slot(void)
{
    struct rt_worker *w = rt_worker();
    if (w)
        return w->cur ? &w->cur->errors : &w->errors;
    static void *helper_errors; /* the one helper thread makes no errors that last */
    if (rt_is_helper())
        return &helper_errors;
    struct rt_g *g = rt_thread_self();
    return g ? &g->errors : NULL;
}
