/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * Goroutines: start, park, unpark, yield, migration, stuck workers, shutdown. Nothing here depends
 * on timing: what could hang runs into the harness' limit. */
#include "base/sys.h"
#include "crew.h"
#include "death.h"
#include "rt/rt.h"
#include <dirent.h>
#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

__attribute__((constructor)) static void sched_setup(void) { test_at_end = rt_shutdown; }

#if defined(__SANITIZE_THREAD__)
#define SCHED_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define SCHED_TSAN 1
#endif
#endif
#ifdef SCHED_TSAN
enum { MANY = 300, STORM = 2000 };
#else
enum { MANY = 20000, STORM = 20000 };
#endif

struct counter {
    _Atomic int n;
    int until;
    struct rt_note note;
};
/* Only the last one touches c after it has counted: c may lie on the stack of the one who waits. */
static void counter_hit(struct counter *c)
{
    int until = c->until;
    if (atomic_fetch_add(&c->n, 1) + 1 == until)
        rt_note_set(&c->note);
}
static void counter_wait(struct counter *c)
{
    rt_note_wait(&c->note, "test");
    check_int(atomic_load(&c->n), c->until);
}
static void hit(void *arg) { counter_hit(arg); }

TEST(a_goroutine_runs)
{
    struct counter c = { .until = 1 };
    check(!rt_go(hit, &c, "hit", 0));
    counter_wait(&c);
}

TEST(many_goroutines_run_from_a_thread)
{
    struct counter c = { .until = MANY * 5 };
    for (int i = 0; i < MANY * 5; i++)
        check(!rt_go(hit, &c, "hit", i % 2 ? RT_GO_SMALL : 0));
    counter_wait(&c);
}

static void spawn_many(void *arg)
{
    for (int i = 0; i < MANY * 5 - 1; i++)
        check(!rt_go(hit, arg, "hit", 0));
    counter_hit(arg);
}
TEST(many_goroutines_run_from_a_goroutine)
{
    struct counter c = { .until = MANY * 5 };
    check(!rt_go(spawn_many, &c, "spawner", 0));
    counter_wait(&c);
}

struct parker {
    struct rt_note note;
    struct counter *inside, *done;
};
static void park_once(void *arg)
{
    struct parker *p = arg;
    counter_hit(p->inside);
    rt_note_wait(&p->note, "gate");
    counter_hit(p->done);
}
TEST(many_goroutines_park_at_once)
{
    struct counter inside = { .until = MANY }, done = { .until = MANY };
    struct parker *p = calloc(MANY, sizeof *p);
    for (int i = 0; i < MANY; i++) {
        p[i].inside = &inside, p[i].done = &done;
        check(!rt_go(park_once, &p[i], "parker", i % 3 ? 0 : RT_GO_SMALL));
    }
    counter_wait(&inside);
    check_int(rt_counts().goroutines, MANY);
    for (int i = 0; i < MANY; i++)
        rt_note_set(&p[i].note);
    counter_wait(&done);
    free(p);
}

/* Rings of goroutines and threads that hand a token round. */
struct seat {
    struct rt_note note;
    struct seat *next;
    int turns;
    struct counter *done;
    long *token; /* not atomic: the notes order it */
};
static void pass(void *arg)
{
    struct seat *s = arg;
    for (int i = 0; i < s->turns; i++) {
        rt_note_wait(&s->note, "token");
        ++*s->token;
        rt_note_set(&s->next->note);
    }
    counter_hit(s->done);
}
static void *pass_thread(void *arg)
{
    pass(arg);
    return NULL;
}
static void ring(int n, int turns, int threads, unsigned flags)
{
    struct seat seats[16];
    struct counter done = { .until = n };
    pthread_t t[16];
    long token = 0;
    memset(seats, 0, sizeof seats);
    for (int i = 0; i < n; i++) {
        seats[i].next = &seats[(i + 1) % n];
        seats[i].turns = turns;
        seats[i].done = &done;
        seats[i].token = &token;
    }
    for (int i = 0; i < n; i++)
        if (i < threads)
            check(pthread_create(&t[i], NULL, pass_thread, &seats[i]) == 0);
        else
            check(!rt_go(pass, &seats[i], "seat", flags));
    rt_note_set(&seats[0].note);
    counter_wait(&done);
    for (int i = 0; i < threads; i++)
        pthread_join(t[i], NULL);
    check_int(token, (long)n * turns);
}
TEST(token_goes_round_goroutines) { ring(16, STORM / 4, 0, 0); }
TEST(token_goes_round_threads_and_goroutines) { ring(8, STORM / 16, 3, 0); }
TEST(token_goes_round_pinned_goroutines) { ring(8, STORM / 16, 1, RT_GO_PIN); }

static void yielder(void *arg)
{
    for (int i = 0; i < STORM; i++)
        sennit_yield();
    counter_hit(arg);
}
TEST(yields_come_back)
{
    struct counter c = { .until = 8 };
    for (int i = 0; i < 8; i++)
        check(!rt_go(yielder, &c, "yielder", 0));
    counter_wait(&c);
}

/* errno is the goroutine's own, whatever thread it comes to. */
struct erring {
    int value;
    struct counter *done;
};
static void keep_errno(void *arg)
{
    struct erring *e = arg;
    for (int i = 0; i < STORM / 10; i++) {
        errno = e->value + i % 7;
        sennit_yield();
        check_int(errno, e->value + i % 7);
        struct rt_note n = { 0 };
        rt_note_set(&n);
        rt_note_wait(&n, "nothing");
        check_int(errno, e->value + i % 7);
    }
    counter_hit(e->done);
}
TEST(errno_survives_yield_and_migration)
{
    struct counter c = { .until = 40 };
    struct erring e[40];
    for (int i = 0; i < 40; i++) {
        e[i] = (struct erring){ 1000 + 10 * i, &c };
        check(!rt_go(keep_errno, &e[i], "erring", 0));
    }
    counter_wait(&c);
}

/* The classic: 16 sit in read(2), 4 spin, 1000 others must still finish. */
static int stuck_pipe[2];
static _Atomic bool stuck_stop;
static void stuck_read(void *arg)
{
    char c;
    check(read(stuck_pipe[0], &c, 1) == 1);
    counter_hit(arg);
}
static void stuck_spin(void *arg)
{
    while (!atomic_load(&stuck_stop))
        ;
    counter_hit(arg);
}
static void stuck_other(void *arg)
{
    sennit_yield();
    counter_hit(arg);
}
TEST(others_finish_beside_stuck_workers)
{
    struct counter stuck = { .until = 20 }, others = { .until = 1000 };
    check(pipe(stuck_pipe) == 0);
    for (int i = 0; i < 16; i++)
        check(!rt_go(stuck_read, &stuck, "reader", 0));
    for (int i = 0; i < 4; i++)
        check(!rt_go(stuck_spin, &stuck, "spinner", 0));
    for (int i = 0; i < 1000; i++)
        check(!rt_go(stuck_other, &others, "other", 0));
    counter_wait(&others);
    atomic_store(&stuck_stop, true);
    check(write(stuck_pipe[1], "0123456789abcdef", 16) == 16);
    counter_wait(&stuck);
    close(stuck_pipe[0]);
    close(stuck_pipe[1]);
}

/* Many handlers that sleep in the kernel do so together: none goes on before all are there. */
enum { KERNEL_SLEEPERS = 256 };
static _Atomic int kernel_there;
static int kernel_pipe[2];
static void kernel_sleep(void *arg)
{
    char c;
    atomic_fetch_add(&kernel_there, 1);
    check(read(kernel_pipe[0], &c, 1) == 1);
    counter_hit(arg);
}
TEST(those_that_stand_still_in_the_kernel_do_so_together)
{
    static const char octets[KERNEL_SLEEPERS];
    struct counter c = { .until = KERNEL_SLEEPERS };
    check(pipe(kernel_pipe) == 0);
    for (int i = 0; i < KERNEL_SLEEPERS; i++)
        check(!rt_go(kernel_sleep, &c, "sleeper", 0));
    while (atomic_load(&kernel_there) < KERNEL_SLEEPERS)
        usleep(1000);
    check(write(kernel_pipe[1], octets, sizeof octets) == sizeof octets);
    counter_wait(&c);
    close(kernel_pipe[0]), close(kernel_pipe[1]);
}

#if !defined(SENNIT_CHECKS) || defined(CREW_SANITIZED) /* else it ends there: see held.c */
/* A pthread mutex held over a park, as code that knows nothing of goroutines does: those who queue
 * on it block their threads, and the owner must come back all the same. */
enum { QUEUED = MANY > 1000 ? 1000 : 40 };
static pthread_mutex_t plain_mutex = PTHREAD_MUTEX_INITIALIZER;
static struct counter plain_owned = { .until = 1 };
static void plain_owner(void *arg)
{
    pthread_mutex_lock(&plain_mutex);
    counter_hit(&plain_owned);
    (void)sennit_sleep(NULL, 20 * SENNIT_MILLISECOND);
    pthread_mutex_unlock(&plain_mutex);
    counter_hit(arg);
}
static void plain_other(void *arg)
{
    pthread_mutex_lock(&plain_mutex);
    pthread_mutex_unlock(&plain_mutex);
    counter_hit(arg);
}
TEST(a_pthread_mutex_held_over_a_park_delays_but_does_not_stop)
{
    struct counter c = { .until = QUEUED + 1 };
    check(!rt_go(plain_owner, &c, "owner", 0));
    counter_wait(&plain_owned);
    for (int i = 0; i < QUEUED; i++)
        check(!rt_go(plain_other, &c, "other", 0));
    counter_wait(&c);
}
#endif

/* A hog that made others runnable by hand-off only: sysmon must find them. */
static void hog_with_child(void *arg)
{
    struct counter *c = arg;
    check(!rt_go(hit, c, "child", 0));
    while (atomic_load(&c->n) == 0)
        ;
    counter_hit(c);
}
TEST(a_spinning_parents_child_runs)
{
    struct counter c = { .until = 2 };
    check(!rt_go(hog_with_child, &c, "hog", 0));
    counter_wait(&c);
}

static void named(void *arg)
{
    char buf[64], want[64];
    check_str(rt_name(rt_self()), "first");
    rt_set_name("pkg.Service/Method");
    snprintf(want, sizeof want, "goroutine %llu (pkg.Service/Method)",
             (unsigned long long)rt_id(rt_self()));
    check_str(rt_describe(rt_self(), buf, sizeof buf), want);
    check(rt_in_goroutine());
    counter_hit(arg);
}
/* Bursts that end at once teach that waking others for them is in vain: then, too, what stands
 * behind a goroutine that goes on and on is taken by another worker. */
struct bursts {
    struct counter done;
    _Atomic bool behind_ran;
};
static void burst_behind(void *arg)
{
    struct bursts *b = arg;
    atomic_store(&b->behind_ran, true);
    counter_hit(&b->done);
}
static void burst_parent(void *arg)
{
    struct bursts *b = arg;
    for (int i = 0; i < MANY / 20; i++) {
        struct counter c = { .until = 50 };
        for (int k = 0; k < 50; k++)
            check(!rt_go(hit, &c, "of a burst", 0));
        counter_wait(&c);
    }
    check(!rt_go(burst_behind, b, "behind", 0));
    while (!atomic_load(&b->behind_ran))
        ;
    counter_hit(&b->done);
}
TEST(who_is_behind_a_spinning_one_runs_after_bursts_too)
{
    struct bursts b = { .done = { .until = 2 } };
    check(!rt_go(burst_parent, &b, "bursts", 0));
    counter_wait(&b.done);
}

TEST(goroutines_and_threads_have_names)
{
    char buf[64], want[64];
    struct counter c = { .until = 1 };
    check(!rt_go(named, &c, "first", 0));
    counter_wait(&c);
    snprintf(want, sizeof want, "thread %d", (int)gettid());
    check_str(rt_describe(rt_self(), buf, sizeof buf), want);
    check_str(rt_name(rt_self()), "");
    check(!rt_in_goroutine());
}

static void pinned(void *arg)
{
    pthread_t own = pthread_self();
    for (int i = 0; i < STORM / 10; i++) {
        sennit_yield();
        check(pthread_equal(own, pthread_self()));
    }
    counter_hit(arg);
}
TEST(pinned_goroutines_stay)
{
    struct counter c = { .until = 16 };
    for (int i = 0; i < 16; i++)
        check(!rt_go(pinned, &c, "pinned", i % 2 ? RT_GO_PIN : RT_GO_PIN | RT_GO_SMALL));
    counter_wait(&c);
}

static bool no_commit(struct rt_g *g, void *arg)
{
    (void)g;
    ++*(int *)arg;
    return false;
}
static void uncommitted(void *arg)
{
    int n = 0;
    for (int i = 0; i < 100; i++)
        rt_park(no_commit, &n, "not at all");
    check_int(n, 100);
    counter_hit(arg);
}
TEST(park_that_is_not_committed_returns)
{
    struct counter c = { .until = 1 };
    int n = 0;
    check(!rt_go(uncommitted, &c, "uncommitted", 0));
    counter_wait(&c);
    rt_park(no_commit, &n, "not at all");
    check_int(n, 1);
}

TEST(runtime_starts_again_after_shutdown)
{
    for (int i = 0; i < 3; i++) {
        struct counter c = { .until = 10 };
        for (int k = 0; k < 10; k++)
            check(!rt_go(hit, &c, "hit", 0));
        counter_wait(&c);
        check(rt_shutdown());
        check_int(rt_counts().goroutines, 0);
    }
}

/* Work of every kind while the threads are driven from one CPU to the other. */
static _Atomic bool flips_over;
static void *flip_cpus(void *arg)
{
    (void)arg;
    for (unsigned k = 0; !atomic_load(&flips_over); k++) {
        DIR *d = opendir("/proc/self/task");
        for (struct dirent *e; d && (e = readdir(d)) != NULL; k++) {
            cpu_set_t set;
            CPU_ZERO(&set);
            CPU_SET(k % 2, &set);
            sched_setaffinity((pid_t)strtol(e->d_name, NULL, 10), sizeof set, &set);
        }
        if (d)
            closedir(d);
        usleep(300);
    }
    return NULL;
}
static void flipped(void *arg)
{
    for (int i = 0; i < STORM / 100; i++) {
        struct rt_note n = { 0 };
        rt_note_set(&n);
        rt_note_wait(&n, "nothing");
        if (i % 16 == 0)
            (void)sennit_sleep(NULL, 50000);
        else
            sennit_yield();
    }
    counter_hit(arg);
}
TEST(work_goes_on_while_threads_change_cpus)
{
    pthread_t t;
    atomic_store(&flips_over, false);
    check(pthread_create(&t, NULL, flip_cpus, NULL) == 0);
    for (int round = 0; round < 5; round++) {
        struct counter c = { .until = 100 };
        for (int i = 0; i < 100; i++)
            check(!rt_go(flipped, &c, "flipped", i % 2 ? RT_GO_SMALL : 0));
        counter_wait(&c);
        ring(8, STORM / 200, 2, 0);
    }
    atomic_store(&flips_over, true);
    pthread_join(t, NULL);
}

/* The end of the runtime beside threads that retire, poll and sleep. */
TEST(shutdown_meets_workers_in_every_state)
{
    for (int i = 0; i < 60; i++) {
        struct counter c = { .until = 20 };
        for (int k = 0; k < 20; k++)
            check(!rt_go(k % 4 ? hit : yielder, &c, "hit", 0));
        counter_wait(&c);
        if (i % 3 == 0)
            usleep((useconds_t)(i * 50));
        check(rt_shutdown());
    }
}

static void *no_records(size_t alignment, size_t n) { return (void)alignment, (void)n, NULL; }
TEST(a_goroutine_without_memory_is_an_error)
{
    void *(*real)(size_t alignment, size_t n) = sys.aligned_alloc;
    struct counter c = { .until = 1 };
    check(!rt_go(hit, &c, "the start", 0));
    counter_wait(&c);
    sys.aligned_alloc = no_records;
    sennit_err err = NULL;
    int n = 0;
    for (c.until = INT_MAX; !err; n += !err)
        err = sennit_go(hit, &c);
    sys.aligned_alloc = real;
    check_int(err->code, SENNIT_RESOURCE_EXHAUSTED);
    check(!sennit_go(hit, &c));
    while (atomic_load(&c.n) < n + 2)
        sennit_yield();
}

/* As a test that is never done sees it: the harness calls rt_shutdown. */
static void asleep_for_ever(void *arg) { (void)sennit_chan_recv(arg, NULL, NULL); }
static void wait_for_ever(void)
{
    check(!rt_go(asleep_for_ever, sennit_chan_new(8, 0), "pkg.Sleepy/Wait", 0));
    if (!rt_shutdown())
        abort();
}
TEST(those_asleep_for_ever_are_listed_at_the_end)
{
    check_dies(wait_for_ever, " (pkg.Sleepy/Wait): waiting, receiving from a channel, for ");
}

TEST(go_options_are_read)
{
    struct counter c = { .until = 2 };
    sennit_go_options o = { .name = "x", .small_stack = true };
    check(!sennit_go_with(&o, hit, &c));
    check(!sennit_go(hit, &c));
    counter_wait(&c);
}

static int recurse(int depth)
{
    volatile char pad[512];
    pad[0] = (char)depth;
    return depth ? recurse(depth - 1) + pad[0] : pad[0];
}
static void deep(void *arg)
{
    recurse(100);
    counter_hit(arg);
}
TEST(stacks_hold_some_depth)
{
    struct counter c = { .until = 50 };
    for (int i = 0; i < 50; i++)
        check(!rt_go(deep, &c, "deep", 0));
    counter_wait(&c);
}

#if !defined(__SANITIZE_ADDRESS__) && !defined(SCHED_TSAN)
static volatile int bottomless = 1;
static int fall(int n)
{
    volatile char pad[2000];
    pad[0] = (char)n;
    return bottomless ? fall(n + 1) + pad[0] : n;
}
static void falling(void *arg)
{
    (void)arg;
    fall(0);
}
TEST(stack_overflow_names_the_goroutine)
{
    int out[2], status;
    char text[1024];
    size_t n = 0;
    check(pipe(out) == 0);
    pid_t pid = fork();
    if (pid == 0) {
        dup2(out[1], 2);
        signal(SIGSEGV, SIG_DFL);
        rt_go(falling, NULL, "pkg.Deep/Fall", 0);
        pause();
    }
    close(out[1]);
    for (ssize_t r; (r = read(out[0], text + n, sizeof text - 1 - n)) > 0;)
        n += (size_t)r;
    text[n] = 0;
    check(waitpid(pid, &status, 0) == pid);
    close(out[0]);
    if (strstr(text, "Sanitizer"))
        return; /* a sanitizer has its own handler */
    check(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
    check(strstr(text, "stack overflow in goroutine "));
    check(strstr(text, "(pkg.Deep/Fall)"));
}
#endif

static int shadow_on(void) { return 1; }
TEST(shadow_stacks_are_refused_with_the_cure)
{
    struct counter c = { .until = 1 };
    sennit_mutex m = { 0 };
    sys.shadow_stack = shadow_on;
    for (int i = 0; i < 2; i++) {
        sennit_err err = rt_go(stuck_other, &c, "other", 0);
        check(err && err->code == SENNIT_FAILED_PRECONDITION);
        check(strstr(err->message, "shstk=off"));
    }
    check(!sennit_mutex_lock(&m, NULL)); /* what needs no goroutine works */
    sennit_mutex_unlock(&m);
    check(!sennit_sleep(NULL, 2 * SENNIT_MILLISECOND));
}
