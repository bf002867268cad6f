/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * Hazards of plain C code that no other test has: longjmp, thread-locals, cancellation, signals,
 * and code that is unloaded under its goroutines. Which row is shown where: doc/scheduler.md. */
#include "crew.h"
#include "sennit.h"
#include <dlfcn.h>
#include <setjmp.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

__attribute__((constructor)) static void hazards_setup(void) { test_at_end = rt_shutdown; }

/* Parks and comes back, perhaps on another thread. */
static void hazard_move(int i)
{
    if (i % 3)
        sennit_yield();
    else
        (void)sennit_sleep(NULL, 1000 * (1 + i % 5));
}

#ifndef CREW_SANITIZED /* they take a jump on a stack that they do not know for an error */
/* Within one goroutine a jump may pass over calls that have parked, on whatever thread. */
__attribute__((noinline)) static void jump_inner(jmp_buf *back, int i)
{
    hazard_move(i);
    if (i >= 0)
        _longjmp(*back, i + 1);
}
__attribute__((noinline)) static void jump_outer(jmp_buf *back, int i)
{
    char frame[200];
    memset(frame, i, sizeof frame);
    hazard_move(i + 1);
    jump_inner(back, i);
    check(frame[i] == (char)i);
}
static void jump_work(void *arg, int index)
{
    (void)arg;
    for (volatile int i = 0; i < 50; i++) {
        jmp_buf back;
        volatile int kept = index * 1000 + i;
        int came = _setjmp(back);
        if (came == 0)
            jump_outer(&back, i);
        check_int(came, i + 1);
        check_int(kept, index * 1000 + i);
    }
}
TEST(longjmp_passes_over_parks_of_its_own_goroutine) { crew_run(40, 2, jump_work, NULL); }
#endif

/* The same variable at the same place as long as the goroutine is bound to its thread: by
 * lock_thread for a while, by the option pin for ever. */
static _Thread_local atomic_int hazard_local; /* goroutines of a thread are concurrent to a tool */
__attribute__((noinline)) static atomic_int *hazard_local_here(void)
{
    atomic_int *p = &hazard_local;
    __asm__ volatile("" : "+r"(p));
    return p;
}
static void local_stays(void *arg, int index)
{
    (void)arg, (void)index;
    sennit_lock_thread();
    atomic_int *own = hazard_local_here();
    for (int i = 0; i < 50; i++) {
        int before = ++*own; /* others of this thread use it, too, but only while this one waits */
        check_int(hazard_local, before);
        hazard_move(i);
        check(hazard_local_here() == own && *own >= before);
    }
    sennit_unlock_thread();
}
TEST(thread_locals_stay_with_a_locked_goroutine) { crew_run(30, 2, local_stays, NULL); }

static void local_of_pinned(void *arg)
{
    atomic_int *own = hazard_local_here();
    for (int i = 0; i < 50; i++) {
        hazard_move(i);
        check(hazard_local_here() == own);
    }
    sennit_wait_group_done(arg);
}
TEST(thread_locals_stay_with_a_pinned_goroutine)
{
    sennit_wait_group done = { 0 };
    sennit_wait_group_add(&done, 30);
    for (int i = 0; i < 30; i++)
        check(!sennit_go_with(&(sennit_go_options){ .pin = true }, local_of_pinned, &done));
    (void)sennit_wait_group_wait(&done, NULL);
}

/* Who cancels a worker has no effect: neither in cancellation points nor anywhere else. */
static void cancel_work(void *arg, int index)
{
    (void)arg;
    for (int i = 0; i < 20; i++) {
        check(pthread_cancel(pthread_self()) == 0);
        pthread_testcancel();
        usleep(10);
        hazard_move(index + i);
    }
}
static sennit_err cancel_blocking(void *arg)
{
    check(pthread_cancel(pthread_self()) == 0);
    pthread_testcancel();
    usleep(10);
    *(bool *)arg = true;
    return NULL;
}
static void cancel_helper(void *arg, int index)
{
    bool came = false;
    (void)arg, (void)index;
    check(!sennit_blocking(NULL, cancel_blocking, &came) && came);
}
TEST(a_cancelled_worker_goes_on) { crew_run(20, 0, cancel_work, NULL); }
TEST(a_cancelled_helper_goes_on) { crew_run(20, 0, cancel_helper, NULL); }

/* Signals to the process do not come to workers, those of a thread's own faults do. */
static _Atomic int signal_tid;
static void signal_note(int number)
{
    (void)number;
    atomic_store(&signal_tid, (int)syscall(SYS_gettid));
}
static void signal_mask(void *arg, int index)
{
    sigset_t set;
    (void)arg, (void)index;
    check(pthread_sigmask(SIG_SETMASK, NULL, &set) == 0);
    check(sigismember(&set, SIGTERM) && sigismember(&set, SIGUSR1) && sigismember(&set, SIGCHLD));
    check(!sigismember(&set, SIGSEGV) && !sigismember(&set, SIGFPE) && !sigismember(&set, SIGABRT));
}
TEST(signals_of_the_process_do_not_come_to_workers)
{
    struct sigaction own = { .sa_handler = signal_note }, before;
    check(sigaction(SIGUSR1, &own, &before) == 0);
    crew_run(10, 0, signal_mask, NULL);
    check(kill(getpid(), SIGUSR1) == 0);
    while (!atomic_load(&signal_tid))
        usleep(100);
    check_int(atomic_load(&signal_tid), getpid());
    check(sigaction(SIGUSR1, &before, NULL) == 0);
}

/* A plugin that was opened to stay may be closed under its goroutines; the dump tells whose code
 * they are in. */
TEST(code_that_stays_may_be_closed_under_its_goroutines)
{
    void *plugin = dlopen(HAZARD_PLUGIN, RTLD_NOW | RTLD_NODELETE);
    check(plugin != NULL);
    void (*wait)(void *gate) = (void (*)(void *))dlsym(plugin, "plugin_wait");
    void **receive = dlsym(plugin, "plugin_receive");
    check(wait && receive);
    *receive = (void *)sennit_chan_recv;
    sennit_chan *gate = sennit_chan_new(0, 0);
    check(!sennit_go(wait, gate));
    sennit_stats s;
    do
        sennit_get_stats(&s);
    while (s.waiting < 1);
    check(dlclose(plugin) == 0);
    char text[8192];
    int out[2];
    check(pipe(out) == 0);
    sennit_dump(out[1]);
    close(out[1]);
    size_t n = 0;
    for (ssize_t r; (r = read(out[0], text + n, sizeof text - 1 - n)) > 0;)
        n += (size_t)r;
    text[n] = 0;
    close(out[0]);
    check(strstr(text, "hazard_plugin") != NULL);
    (void)sennit_chan_close(gate);
    while (rt_counts().goroutines)
        usleep(100);
    sennit_chan_free(gate);
}
