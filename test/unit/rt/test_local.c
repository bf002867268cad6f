/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * What belongs to one goroutine: locals, id, name, thread; and the pictures of all of them. */
#include "crew.h"
#include "sennit.h"
#include <stdlib.h>
#include <unistd.h>

__attribute__((constructor)) static void local_setup(void) { test_at_end = rt_shutdown; }

static _Atomic int destroyed;
static void destroy(void *value)
{
    check(*(int *)value >= 0);
    free(value);
    atomic_fetch_add(&destroyed, 1);
}
static const sennit_goroutine_local local_one = { destroy }, local_two = { NULL };

static void local_work(void *arg, int index)
{
    int *own = malloc(sizeof *own);
    (void)arg;
    *own = index;
    check(!sennit_goroutine_get(&local_one));
    check(!sennit_goroutine_set(&local_one, own));
    check(!sennit_goroutine_set(&local_two, arg));
    for (int i = 0; i < 50; i++) {
        sennit_yield(); /* perhaps to another thread */
        check(sennit_goroutine_get(&local_one) == own && *own == index);
    }
    check(!sennit_goroutine_set(&local_two, NULL));
    check(!sennit_goroutine_get(&local_two));
}
TEST(locals_go_with_their_goroutine_and_end_with_it)
{
    crew_run(40, 4, local_work, NULL);
    while (atomic_load(&destroyed) < 44)
        sennit_yield();
    crew_run(40, 4, local_work, NULL); /* records are used again: nothing is left in them */
    while (atomic_load(&destroyed) < 88)
        sennit_yield();
}

static void name_work(void *arg)
{
    check_str(sennit_goroutine_name(), "first");
    sennit_goroutine_set_name("second");
    check_str(sennit_goroutine_name(), "second");
    check(sennit_goroutine_id() != 0);
    rt_note_set(arg);
}
TEST(names_are_kept)
{
    struct rt_note done = { 0 };
    check(!sennit_go_with(&(sennit_go_options){ .name = "first" }, name_work, &done));
    rt_note_wait(&done, "test");
    check_str(sennit_goroutine_name(), "");
    sennit_goroutine_set_name(NULL);
    check_int(sennit_goroutine_id(), gettid());
}

static void lock_work(void *arg, int index)
{
    (void)arg, (void)index;
    for (int round = 0; round < 5; round++) {
        sennit_lock_thread();
        sennit_lock_thread(); /* not counted */
        pthread_t own = pthread_self();
        for (int i = 0; i < 30; i++) {
            if (i % 10)
                sennit_yield();
            else
                (void)sennit_sleep(NULL, 20000);
            check(pthread_equal(own, pthread_self()));
        }
        sennit_unlock_thread();
        sennit_unlock_thread();
        sennit_yield();
    }
}
TEST(a_locked_goroutine_stays_on_its_thread) { crew_run(30, 2, lock_work, NULL); }

/* -- pictures -------------------------------------------------------------------------------- */

static void gate_work(void *arg) { (void)sennit_chan_recv(arg, NULL, NULL); }
static char *dump_text(void)
{
    static char text[65536];
    int out[2];
    size_t n = 0;
    check(pipe(out) == 0);
    sennit_dump(out[1]);
    close(out[1]);
    for (ssize_t r; (r = read(out[0], text + n, sizeof text - 1 - n)) > 0;)
        n += (size_t)r;
    text[n] = 0;
    close(out[0]);
    return text;
}
TEST(a_dump_tells_who_waits_for_what)
{
    sennit_chan *gate = sennit_chan_new(0, 0);
    sennit_stats s;
    for (int i = 0; i < 3; i++)
        check(!sennit_go_with(&(sennit_go_options){ .name = "pkg.Gate/Wait" }, gate_work, gate));
    do {
        sennit_get_stats(&s);
    } while (s.waiting < 3);
    const char *text = dump_text();
    check(strstr(text, "sennit: 3 goroutines, 3 waiting"));
    for (int i = 0; i < 3; i++) {
        text = strstr(text, " (pkg.Gate/Wait): waiting, receiving from a channel, for ");
        check(text != NULL);
        text = strchr(text, '\n') + 1;
        check(strchr(text, '[') && strchr(text, '[') < strchr(text, '\n')); /* a frame */
    }
    check_int(s.goroutines, 3);
    check(s.spawned >= 3 && s.workers >= 1 && s.stacks >= 3 && s.unguarded_stacks == 0);
    sennit_chan_free(gate);
}

/* Dumps beside goroutines that come, park, wake and go. */
static void churn_work(void *arg, int index)
{
    struct rt_note *n = arg;
    (void)n;
    for (int i = 0; i < CREW_TURNS / 10; i++)
        (void)sennit_sleep(NULL, (index + i) % 5 * 10000);
}
TEST(a_dump_bears_goroutines_that_move)
{
    static struct crew crew;
    crew_start(&crew, 30, 0, churn_work, NULL);
    for (int i = 0; i < 5; i++)
        check(strstr(dump_text(), "sennit: "));
    crew_end(&crew, 0);
}
