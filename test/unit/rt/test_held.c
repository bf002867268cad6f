/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * test_held.c: in a debug build (held.c), whose scheduler this program has, who parks while it
 * holds a pthread mutex is named, with both places. */
#include "death.h"
#include "rt/rt.h"
#include <pthread.h>

__attribute__((constructor)) static void held_setup(void) { test_at_end = rt_shutdown; }

static pthread_mutex_t held_a = PTHREAD_MUTEX_INITIALIZER, held_b = PTHREAD_MUTEX_INITIALIZER;
static struct rt_note held_done;

static void wait_until_done(void (*fn)(void *arg))
{
    check(!rt_go(fn, NULL, "holder", 0));
    rt_note_wait(&held_done, "test");
}

/* In the dynamic symbol table, so that its name is said; and no tail call. */
__attribute__((noinline, visibility("default"))) int held_locks_here(void);
int held_locks_here(void) { return 1 + pthread_mutex_lock(&held_a); }

static void sleeps_with_one(void *arg)
{
    (void)arg;
    pthread_mutex_lock(&held_b);
    check(held_locks_here() == 1);
    pthread_mutex_unlock(&held_b);
    (void)sennit_sleep(NULL, SENNIT_SECOND); /* so long that it does park */
    rt_note_set(&held_done);
}
static void yields_with_one(void *arg)
{
    (void)arg;
    check(pthread_mutex_trylock(&held_a) == 0);
    sennit_yield();
    rt_note_set(&held_done);
}
static void run_sleep(void) { wait_until_done(sleeps_with_one); }
static void run_yield(void) { wait_until_done(yields_with_one); }

TEST(parking_with_a_pthread_mutex_held_names_both_places)
{
    check_dies(run_sleep, "(holder) parks (sleeping) while it holds a pthread mutex");
    check_dies(run_sleep, "(held_locks_here+");
    check_dies(run_sleep, "(sennit_sleep+");
}
TEST(yielding_with_a_pthread_mutex_held_is_told)
{
    check_dies(run_yield, "(holder) parks (yielding) while it holds a pthread mutex");
}

static void in_order(void *arg)
{
    (void)arg;
    for (int i = 0; i < 100; i++) {
        pthread_mutex_lock(&held_a);
        pthread_mutex_lock(&held_b);
        pthread_mutex_unlock(&held_a);
        pthread_mutex_unlock(&held_b);
        sennit_yield();
        check(pthread_mutex_timedlock(&held_a, &(struct timespec){ 0, 0 }) == 0);
        pthread_mutex_unlock(&held_a);
        (void)sennit_sleep(NULL, 10000);
    }
    rt_note_set(&held_done);
}
TEST(mutexes_that_are_unlocked_before_are_fine) { wait_until_done(in_order); }

/* A thread that waits holds up nobody but itself. */
TEST(a_plain_thread_may_hold_one_while_it_waits)
{
    pthread_mutex_lock(&held_a);
    (void)sennit_sleep(NULL, SENNIT_MILLISECOND);
    pthread_mutex_unlock(&held_a);
}
