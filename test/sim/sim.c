/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * sim.c: sim SEED [COUNT] [--jobs N] [--seconds N] [--twice] [--first] [--trace]: plays COUNT seeds
 * from SEED on, each in a process of its own, and prints one line for each that fails, then a
 * summary. With one seed it prints the hash of its trace. --twice plays each again and compares the
 * hashes; --first stops at the first that fails.
 *
 * A seed also chooses which kinds of trouble there are (a swarm: seldom all at once). */
#include "sim.h"
#include "harness.h"
#include "rt/rt_private.h"
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

enum { SIM_STEPS = 3000000, SIM_HOURS = 3, SIM_JOBS = 16, SIM_PICK = 8 };

struct sim sim;
bool (*test_at_end)(void); /* echo.h sets it */

/* -- chance ---------------------------------------------------------------------------------- */

uint32_t sim_random(uint32_t n)
{
    sim.state += UINT64_C(0x9e3779b97f4a7c15);
    uint64_t z = sim.state;
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    uint32_t v = (uint32_t)((z >> 32) * n >> 32);
    sim.hash = (sim.hash ^ v) * UINT64_C(0x100000001b3);
    return v;
}

bool sim_order(uint32_t of_10000) { return of_10000 && sim_random(10000) < of_10000; }
bool sim_chance(uint32_t of_10000) { return sim.faults && sim_order(of_10000); }

void sim_note(const char *what, int64_t a, int64_t b)
{
    sim.hash = (sim.hash ^ (uint64_t)what[0]) * UINT64_C(0x100000001b3);
    sim.hash = (sim.hash ^ (uint64_t)a) * UINT64_C(0x100000001b3);
    sim.hash = (sim.hash ^ (uint64_t)b) * UINT64_C(0x100000001b3);
    if (sim.trace)
        printf("%14.6f %s %lld %lld\n", (double)sim.now / 1e9, what, (long long)a, (long long)b);
    if (sim.now > SIM_HOURS * INT64_C(3600) * SENNIT_SECOND)
        sim_hang("still not done after hours");
    if (++sim.steps > SIM_STEPS)
        sim_hang("it turns round and round");
}

void sim_fail(const char *fmt, ...)
{
    va_list ap;
    char text[400];
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    fprintf(stderr, "seed %llu, after %.6f s: %s\n", (unsigned long long)sim.seed,
            (double)sim.now / 1e9, text);
    fflush(NULL);
    _exit(1);
}

void test_failed(const char *file, int line, const char *fmt, ...)
{
    va_list ap;
    char text[300];
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    sim_fail("%s:%d: %s", file, line, text);
}

static uint32_t sim_some(uint32_t of_100, uint32_t least, uint32_t most)
{
    return sim_random(100) < of_100 ? least + sim_random(most - least + 1) : 0;
}

static void sim_choose(void)
{
    struct sim_options *o = &sim.o;
    o->latency = sim_some(80, 1000, 5000000);
    o->jitter = sim_some(70, 1000, 20000000);
    o->split = sim_some(60, 100, 6000);
    o->short_io = sim_some(40, 10, 3000);
    o->again = sim_some(30, 10, 1000);
    o->interrupt = sim_some(30, 10, 1000);
    o->reset = sim_some(30, 1, 60);
    o->half_close = sim_some(20, 1, 40);
    o->stall = sim_some(20, 1, 60);
    o->refuse = sim_some(20, 100, 5000);
    o->no_memory = sim_some(30, 1, 100);
    o->no_descriptor = sim_some(20, 100, 3000);
    o->unfair = sim_some(70, 100, 9000);
    o->tick = sim_some(80, 10, 20000);
    o->window = 1000u << sim_random(9);
#ifdef SIM_THREADS
    o->threads = sim_random(2) ? 1 + sim_random(4) : 0;
    o->no_thread = sim_some(20, 10, 3000);
    o->preempt = sim_some(80, 1, 1000);
    o->points = sim_some(70, 1, 10) ? 1u << sim_random(12) : 0;
    o->focus = sim_some(60, 1, 61);
    o->weak = sim_some(30, 10, 3000);
    o->foreign = sim_some(40, 100, 6000);
#endif
    if (!sim.trace)
        return;
    printf("threads %u, foreign %u, preempt %u, points %u, focus %u, weak %u\n", o->threads,
           o->foreign, o->preempt, o->points, o->focus, o->weak);
    printf("latency %u + %u, window %u, tick %u, unfair %u\n", o->latency, o->jitter, o->window,
           o->tick, o->unfair);
    printf("split %u, short %u, again %u, interrupt %u, reset %u, half-close %u, stall %u\n",
           o->split, o->short_io, o->again, o->interrupt, o->reset, o->half_close, o->stall);
    printf("refuse %u, no memory %u, no descriptor %u, no thread %u\n", o->refuse, o->no_memory,
           o->no_descriptor, o->no_thread);
}

/* -- the run queue, by chance (sim_points.h puts it in the place of rt_local_pop)
 * ------------------------------------------- */

uintptr_t sim_local_pop(struct rt_worker *w);

/* By the rules of the queue's owner, for thieves may look on. */
uintptr_t sim_local_pop(struct rt_worker *w)
{
    uintptr_t item[SIM_PICK];
    uint32_t n = 0;
    if (atomic_load(&w->lifo) && rt_ring_len(w) < RT_RING && sim_order(sim.o.unfair)) {
        uintptr_t next = atomic_exchange(&w->lifo, 0);
        if (next)
            rt_ring_push(w, next);
    }
    if (!sim_order(sim.o.unfair))
        return rt_local_pop(w);
    while (n < SIM_PICK && (item[n] = rt_local_pop(w)) != 0)
        n++;
    if (n == 0)
        return 0;
    uint32_t pick = sim_random(n);
    for (uint32_t i = 0; i < n; i++)
        if (i != pick)
            rt_ring_push(w, item[i]);
    return item[pick];
}

/* -- one seed -------------------------------------------------------------------------------- */

static void sim_list(const struct rt_g *g, void *arg)
{
    char who[160];
    (void)arg;
    if (!(g->flags & RT_GO_SYSTEM))
        fprintf(stderr, "  %s: %s\n", rt_describe(g, who, sizeof who),
                g->reason ? g->reason : "runnable");
}

void sim_hang(const char *how)
{
    static bool before;
    if (before)
        sim_fail("hang: %s (%s), and its lock is held", how, scene_doing());
    before = true;
    sim.faults = false;
    sim.o.preempt = sim.o.points = 0;
    sim_points_left = INT32_MAX;
    sim_focus = UINT32_MAX;
    rt_g_each(sim_list, NULL);
#ifdef SIM_THREADS
    sim_thread_list();
#endif
    sim_fail("hang: %s (%s)", how, scene_doing());
}

static bool sim_loop_ready(void *done)
{
    return *(bool *)done || sim_net_readable(sennit_loop_fd());
}
static bool sim_is_done(void *done) { return *(bool *)done; }

/* As a host: turns with budgets of all sizes; between them time goes on. */
static void sim_host(bool *done)
{
    static const sennit_duration budgets[] = { 0, 1000, 50000, SENNIT_MILLISECOND };
    while (!*done) {
        bool more = sennit_loop_run(budgets[sim_random(countof(budgets))]);
        if (more && !sim_net_readable(sennit_loop_fd()))
            sim_fail("work is left, but the descriptor does not tell");
        if (!more && rt_defer_pending(0))
            sim_fail("what is deferred is left behind by the loop");
        if (!more)
            sim_wait(sim_loop_ready, done, INT64_MAX);
    }
}

static void *sim_play_main(void *arg)
{
    bool done = false;
    (void)arg;
    sennit_err err = sennit_runtime(&(sennit_runtime_options){
        .threads = sim.o.threads ? (int)sim.o.threads : SENNIT_THREADS_NONE,
        .keep_sigsegv = true });
    if (err || sennit_go(scene_run, &done))
        sim_fail("cannot start");
    if (sim.o.threads)
        sim_wait(sim_is_done, &done, INT64_MAX);
    else
        sim_host(&done);
    sim_thread_wait_foreign();
    if (!rt_shutdown())
        sim_fail("goroutines are left");
    if (sim_mem_live())
        sim_mem_list();
    if (sim_mem_live())
        sim_fail("%lld blocks of memory are left", (long long)sim_mem_live());
    if (sim_net_open())
        sim_fail("%d descriptors are left", sim_net_open());
    return NULL;
}

static uint64_t sim_play(uint64_t seed, bool trace)
{
    sim = (struct sim){ .seed = seed, .state = seed * 7919, .hash = 0xcbf29ce484222325 };
    sim.trace = trace;
    for (int i = 0; i < 8; i++)
        sim_random(2);
    sim_choose();
    sim_mem_install();
    sim_net_install();
    sim_thread_install();
    sim_thread_run(sim_play_main, NULL);
    return sim.hash;
}

/* -- many ------------------------------------------------------------------------------------ */

static unsigned sim_seconds = 60; /* of the processor, for one seed */

struct sim_job {
    pid_t pid;
    uint64_t seed;
    uint64_t *hash; /* shared with the child: of the first and the second time */
    bool second;
};

static void sim_begin(struct sim_job *j, uint64_t seed, bool second, bool trace)
{
    fflush(NULL);
    j->seed = seed, j->second = second;
    j->pid = fork();
    if (j->pid == 0) {
        setitimer(ITIMER_PROF, &(struct itimerval){ .it_value.tv_sec = sim_seconds }, NULL);
        j->hash[second] = sim_play(seed, trace);
        fflush(NULL);
        _exit(0);
    }
}

/* Of none is known that it needs so long; but that would be no failure of the library's. */
static long sim_undecided;

/* False: failed. */
static bool sim_end(const struct sim_job *j, int status)
{
    if (WIFSIGNALED(status) && WTERMSIG(status) == SIGPROF) {
        fprintf(stderr, "seed %llu: undecided after %u s\n", (unsigned long long)j->seed,
                sim_seconds);
        sim_undecided++;
        return true;
    }
    if (WIFSIGNALED(status))
        fprintf(stderr, "seed %llu: ended by signal %d\n", (unsigned long long)j->seed,
                WTERMSIG(status));
    else if (WEXITSTATUS(status) == 0 && j->second && j->hash[0] != j->hash[1])
        fprintf(stderr, "seed %llu: two runs differ: %016llx, %016llx\n",
                (unsigned long long)j->seed, (unsigned long long)j->hash[0],
                (unsigned long long)j->hash[1]);
    else
        return WEXITSTATUS(status) == 0;
    return false;
}

static long sim_many(uint64_t seed, uint64_t count, int jobs, bool twice, bool trace, bool first)
{
    struct sim_job job[SIM_JOBS] = { { 0 } };
    uint64_t *hashes = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    uint64_t next = seed, end = seed + count, all = 0;
    long failed = 0;
    for (int i = 0, busy = 0; i < jobs || busy;) {
        if (i < jobs) {
            job[i].hash = hashes + 2 * i;
            if (next < end)
                sim_begin(&job[i], next++, false, trace), busy++;
            i++;
            continue;
        }
        int status;
        pid_t pid = wait(&status);
        struct sim_job *j = job;
        while (j->pid != pid)
            j++;
        bool fine = sim_end(j, status);
        all += j->hash[0] * (2 * j->seed + 1);
        failed += !fine;
        if (failed && first)
            next = end;
        if (fine && twice && !j->second)
            sim_begin(j, j->seed, true, false);
        else if (next < end)
            sim_begin(j, next++, false, trace);
        else
            j->pid = 0, busy--;
    }
    if (!failed)
        printf("hash %016llx\n", (unsigned long long)all);
    return failed;
}

int main(int argc, char **argv)
{
    uint64_t number[2] = { 1, 1 };
    setenv("SENNIT_LOG", "off", 0); /* thousands of servers whose descriptors run out */
    int n = 0, jobs = (int)sysconf(_SC_NPROCESSORS_ONLN);
    bool twice = false, trace = false, first = false;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--twice") == 0)
            twice = true;
        else if (strcmp(argv[i], "--trace") == 0)
            trace = true;
        else if (strcmp(argv[i], "--first") == 0)
            first = true; /* until one fails */
        else if (strcmp(argv[i], "--jobs") == 0 && i + 1 < argc)
            jobs = (int)strtol(argv[++i], NULL, 10);
        else if (strcmp(argv[i], "--seconds") == 0 && i + 1 < argc)
            sim_seconds = (unsigned)strtol(argv[++i], NULL, 10);
        else if (n < 2)
            number[n++] = strtoull(argv[i], NULL, 10);
    }
    jobs = jobs < 1 ? 1 : jobs > SIM_JOBS ? SIM_JOBS : jobs;
    long failed = sim_many(number[0], number[1], jobs, twice, trace, first);
    if (sim_undecided)
        printf("%ld undecided, at most one in a thousand may be\n", sim_undecided);
    printf("%ld passed, %ld failed\n", (long)number[1] - failed - sim_undecided, failed);
    return failed || (uint64_t)sim_undecided * 1000 > number[1];
}
