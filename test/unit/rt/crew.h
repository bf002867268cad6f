/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * crew.h: the same function in some goroutines and some plain threads at once, waited for. */
#ifndef SENNIT_TEST_CREW_H
#define SENNIT_TEST_CREW_H

#include "harness.h"
#include "rt/rt.h"
#include <pthread.h>

#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
#define CREW_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer) || __has_feature(address_sanitizer)
#define CREW_SANITIZED 1
#endif
#endif
#ifdef CREW_SANITIZED
enum { CREW_TURNS = 300 };
#else
enum { CREW_TURNS = 5000 };
#endif

enum { CREW_MOST = 64 };

struct crew;
struct crew_member {
    struct crew *crew;
    int index;
    pthread_t thread;
};
struct crew {
    void (*fn)(void *arg, int index);
    void *arg;
    _Atomic int left;
    struct rt_note done;
    struct crew_member members[CREW_MOST];
};

static inline void crew_work(void *arg)
{
    struct crew_member *m = arg;
    struct crew *c = m->crew;
    c->fn(c->arg, m->index);
    if (atomic_fetch_sub(&c->left, 1) == 1)
        rt_note_set(&c->done);
}
static inline void *crew_thread(void *arg)
{
    crew_work(arg);
    return NULL;
}
static inline void crew_start(struct crew *c, int goroutines, int threads,
                              void (*fn)(void *arg, int index), void *arg)
{
    memset(c, 0, sizeof *c);
    c->fn = fn, c->arg = arg;
    atomic_store(&c->left, goroutines + threads);
    for (int i = 0; i < goroutines + threads; i++) {
        struct crew_member *m = &c->members[i];
        m->crew = c, m->index = i;
        if (i < threads)
            check(pthread_create(&m->thread, NULL, crew_thread, m) == 0);
        else
            check(!rt_go(crew_work, m, "crew", i % 3 ? 0 : RT_GO_SMALL));
    }
}
static inline void crew_end(struct crew *c, int threads)
{
    while (atomic_load(&c->left))
        rt_note_wait(&c->done, "crew");
    for (int i = 0; i < threads; i++)
        pthread_join(c->members[i].thread, NULL);
}
static inline void crew_run(int goroutines, int threads, void (*fn)(void *arg, int index),
                            void *arg)
{
    static struct crew c;
    crew_start(&c, goroutines, threads, fn, arg);
    crew_end(&c, threads);
}

#endif
