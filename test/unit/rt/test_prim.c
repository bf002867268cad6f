/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * Mutex, condition, rwmutex, semaphore, once, wait group: goroutines and plain threads mixed, with
 * and without a context, and what a mistake is answered with. */
#include "crew.h"
#include "death.h"
#include <stdlib.h>

__attribute__((constructor)) static void prim_setup(void) { test_at_end = rt_shutdown; }

/* -- mutual exclusion ------------------------------------------------------------------------ */

struct bank {
    sennit_mutex mutex;
    sennit_rwmutex rw;
    sennit_semaphore semaphore;
    long sum; /* not atomic: what guards it orders it */
    _Atomic int readers, writers;
    sennit_ctx *ctx;
};

static void bank_lock(void *arg, int index)
{
    struct bank *b = arg;
    for (int i = 0; i < CREW_TURNS; i++) {
        check(!sennit_mutex_lock(&b->mutex, i % 2 ? b->ctx : NULL));
        b->sum++;
        if ((i + index) % 16 == 0)
            sennit_yield();
        sennit_mutex_unlock(&b->mutex);
    }
}
TEST(a_mutex_excludes)
{
    struct bank b = { .ctx = sennit_ctx_new(NULL) };
    crew_run(12, 3, bank_lock, &b);
    check_int(b.sum, 15 * CREW_TURNS);
    sennit_ctx_free(b.ctx);
}

static void bank_impatient(void *arg, int index)
{
    struct bank *b = arg;
    for (int i = 0; i < CREW_TURNS / 10; i++) {
        sennit_ctx *ctx = sennit_ctx_timeout(NULL, 1000 * ((i + index) % 40));
        if (!sennit_mutex_lock(&b->mutex, ctx)) {
            b->sum++;
            if (i % 4 == 0)
                sennit_yield();
            b->sum--;
            sennit_mutex_unlock(&b->mutex);
        }
        sennit_ctx_free(ctx);
    }
}
TEST(a_mutex_survives_who_gives_up)
{
    struct bank b = { .sum = 0 };
    crew_run(12, 3, bank_impatient, &b);
    check_int(b.sum, 0);
    check(!sennit_mutex_lock(&b.mutex, NULL));
    sennit_mutex_unlock(&b.mutex);
}

/* Who gets it may free it: the last one out does. */
struct shared {
    sennit_mutex mutex;
    int refs;
};
static void shared_drop(void *arg, int index)
{
    struct shared **all = arg;
    for (int i = 0; i < CREW_TURNS / 10; i++) {
        struct shared *s = all[i];
        if (index % 2)
            sennit_yield();
        check(!sennit_mutex_lock(&s->mutex, NULL));
        bool last = --s->refs == 0;
        sennit_mutex_unlock(&s->mutex);
        if (last)
            free(s);
    }
}
TEST(a_mutex_may_be_freed_by_who_had_it_last)
{
    static struct shared *all[CREW_TURNS / 10];
    for (int i = 0; i < CREW_TURNS / 10; i++) {
        all[i] = calloc(1, sizeof *all[i]);
        all[i]->refs = 6;
    }
    crew_run(4, 2, shared_drop, all);
}

static void rw_work(void *arg, int index)
{
    struct bank *b = arg;
    for (int i = 0; i < CREW_TURNS / 2; i++) {
        if ((i + index) % 4) {
            if (sennit_rwmutex_rlock(&b->rw, NULL))
                continue;
            atomic_fetch_add(&b->readers, 1);
            check_int(atomic_load(&b->writers), 0);
            if (i % 32 == 0)
                sennit_yield();
            check(b->sum >= 0);
            atomic_fetch_sub(&b->readers, 1);
            sennit_rwmutex_runlock(&b->rw);
            continue;
        }
        sennit_ctx *ctx = i % 8 ? NULL : sennit_ctx_timeout(NULL, 20000);
        if (!sennit_rwmutex_lock(&b->rw, ctx)) {
            check_int(atomic_fetch_add(&b->writers, 1), 0);
            check_int(atomic_load(&b->readers), 0);
            b->sum++;
            if (i % 32 == 0)
                sennit_yield();
            atomic_fetch_sub(&b->writers, 1);
            sennit_rwmutex_unlock(&b->rw);
        }
        sennit_ctx_free(ctx);
    }
}
TEST(an_rwmutex_lets_in_readers_or_one_writer)
{
    struct bank b = { .sum = 0 };
    crew_run(12, 3, rw_work, &b);
    check(!sennit_rwmutex_lock(&b.rw, NULL)); /* nothing was left behind */
    sennit_rwmutex_unlock(&b.rw);
}

static void rw_write(void *arg)
{
    struct bank *b = arg;
    check(!sennit_rwmutex_lock(&b->rw, NULL));
    b->sum = 1;
    sennit_rwmutex_unlock(&b->rw);
    sennit_semaphore_release(&b->semaphore, 1);
}
TEST(a_waiting_writer_goes_before_later_readers)
{
    struct bank b = { .sum = 0 };
    sennit_ctx *ctx = sennit_ctx_timeout(NULL, SENNIT_MILLISECOND);
    check(!sennit_rwmutex_rlock(&b.rw, NULL));
    check(!sennit_rwmutex_rlock(&b.rw, NULL)); /* two readers at once */
    check(!sennit_go(rw_write, &b));
    sennit_err late = NULL;
    while (!late) { /* until the writer waits */
        late = sennit_rwmutex_rlock(&b.rw, ctx);
        if (!late)
            sennit_rwmutex_runlock(&b.rw);
        sennit_ctx_reset(ctx, SENNIT_MILLISECOND);
    }
    check_int(late->code, SENNIT_DEADLINE_EXCEEDED);
    sennit_rwmutex_runlock(&b.rw);
    sennit_rwmutex_runlock(&b.rw);
    check(!sennit_semaphore_acquire(&b.semaphore, NULL));
    check(!sennit_rwmutex_rlock(&b.rw, NULL));
    check_int(b.sum, 1);
    sennit_rwmutex_runlock(&b.rw);
    sennit_ctx_free(ctx);
}

static void semaphore_work(void *arg, int index)
{
    struct bank *b = arg;
    for (int i = 0; i < CREW_TURNS / 2; i++) {
        sennit_ctx *ctx = (i + index) % 8 ? NULL : sennit_ctx_timeout(NULL, 10000);
        if (!sennit_semaphore_acquire(&b->semaphore, ctx)) {
            check(atomic_fetch_add(&b->readers, 1) < 3);
            if (i % 16 == 0)
                sennit_yield();
            atomic_fetch_sub(&b->readers, 1);
            sennit_semaphore_release(&b->semaphore, 1);
        }
        sennit_ctx_free(ctx);
    }
}
TEST(a_semaphore_admits_as_many_as_it_has_permits)
{
    struct bank b = { .sum = 0 };
    check(!sennit_semaphore_try(&b.semaphore));
    sennit_semaphore_release(&b.semaphore, 3);
    crew_run(12, 3, semaphore_work, &b);
    for (int i = 0; i < 3; i++)
        check(sennit_semaphore_try(&b.semaphore));
    check(!sennit_semaphore_try(&b.semaphore));
}

/* -- conditions, once, wait groups ----------------------------------------------------------- */

struct queue {
    sennit_mutex mutex;
    sennit_cond more, room;
    int len;
    long put, got;
};
static void queue_work(void *arg, int index)
{
    struct queue *q = arg;
    for (int i = 0; i < CREW_TURNS; i++) {
        check(!sennit_mutex_lock(&q->mutex, NULL));
        if (index % 2) {
            while (q->len == 4)
                check(!sennit_cond_wait(&q->room, &q->mutex, NULL));
            q->len++, q->put++;
            sennit_cond_signal(&q->more);
        } else {
            while (q->len == 0)
                check(!sennit_cond_wait(&q->more, &q->mutex, NULL));
            q->len--, q->got++;
            sennit_cond_broadcast(&q->room);
        }
        sennit_mutex_unlock(&q->mutex);
    }
}
TEST(conditions_pass_every_item)
{
    struct queue q = { .len = 0 };
    crew_run(8, 4, queue_work, &q);
    check_int(q.put, 6 * CREW_TURNS);
    check_int(q.got, q.put);
}

TEST(a_condition_gives_up_with_its_context_and_holds_the_mutex)
{
    struct queue q = { .len = 0 };
    sennit_ctx *ctx = sennit_ctx_timeout(NULL, SENNIT_MILLISECOND);
    check(!sennit_mutex_lock(&q.mutex, NULL));
    sennit_err err = sennit_cond_wait(&q.more, &q.mutex, ctx);
    check(err && err->code == SENNIT_DEADLINE_EXCEEDED);
    check_int(sennit_mutex_lock(&q.mutex, ctx)->code, SENNIT_DEADLINE_EXCEEDED);
    sennit_mutex_unlock(&q.mutex);
    sennit_ctx_free(ctx);
}

struct first {
    sennit_once once;
    int runs;
    bool done;
};
static void first_run(void *arg)
{
    struct first *f = arg;
    f->runs++;
    sennit_yield();
    (void)sennit_sleep(NULL, SENNIT_MILLISECOND);
    f->done = true;
}
static void first_work(void *arg, int index)
{
    struct first *f = arg;
    (void)index;
    sennit_once_do(&f->once, first_run, f);
    check(f->done);
}
TEST(once_runs_once_and_the_others_wait)
{
    struct first f = { .runs = 0 };
    crew_run(30, 3, first_work, &f);
    check_int(f.runs, 1);
}

struct work {
    sennit_wait_group group;
    _Atomic int done;
};
static void work_one(void *arg)
{
    struct work *w = arg;
    atomic_fetch_add(&w->done, 1);
    sennit_wait_group_done(&w->group);
}
static void work_rounds(void *arg, int index)
{
    (void)arg;
    sennit_ctx *ctx = index % 2 ? sennit_ctx_new(NULL) : NULL;
    for (int i = 0; i < CREW_TURNS / 5; i++) {
        struct work w = { .done = 0 }; /* gone as soon as wait returns */
        sennit_wait_group_add(&w.group, 3);
        for (int k = 0; k < 3; k++)
            check(!sennit_go(work_one, &w));
        check(!sennit_wait_group_wait(&w.group, ctx));
        check_int(atomic_load(&w.done), 3);
    }
    sennit_ctx_free(ctx);
}
TEST(a_wait_group_may_go_as_soon_as_the_wait_returns) { crew_run(6, 3, work_rounds, NULL); }

TEST(a_wait_group_gives_up_with_its_context)
{
    struct work w = { .done = 0 };
    sennit_ctx *ctx = sennit_ctx_timeout(NULL, SENNIT_MILLISECOND);
    sennit_wait_group_add(&w.group, 1);
    check_int(sennit_wait_group_wait(&w.group, ctx)->code, SENNIT_DEADLINE_EXCEEDED);
    sennit_wait_group_done(&w.group);
    check(!sennit_wait_group_wait(&w.group, NULL));
    sennit_ctx_free(ctx);
}

/* -- mistakes -------------------------------------------------------------------------------- */

static void bad_unlock(void)
{
    sennit_mutex m = { { 0 } };
    sennit_mutex_unlock(&m);
}
static void bad_runlock(void)
{
    sennit_rwmutex m = { { 0 } };
    (void)sennit_rwmutex_lock(&m, NULL);
    sennit_rwmutex_runlock(&m);
}
static void bad_done(void)
{
    sennit_wait_group g = { { 0 } };
    sennit_wait_group_done(&g);
}
TEST(unlocking_a_free_mutex_is_refused_by_name)
{
    check_dies(bad_unlock, "sennit: unlock of a mutex that is not locked, by thread ");
}
TEST(releasing_an_rwmutex_in_the_wrong_way_is_refused)
{
    check_dies(bad_runlock, "sennit: unlock of an rwmutex that is not locked so, by thread ");
}
TEST(a_wait_group_that_is_done_too_often_is_refused)
{
    check_dies(bad_done, "sennit: a wait group is done more often than was added, by thread ");
}
