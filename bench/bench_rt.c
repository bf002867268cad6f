/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * bench_rt CASE...: what a goroutine costs. Compare the CPU column (user and system of the whole
 * process), interleaved with the peer and several times: bench/compare_rt does. SENNIT_MAXPROCS
 * sets the number of workers. Here: spawning, yielding, channels, mutexes. */
#include "bench_rt.h"
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

static int64_t bench_cpu(void)
{
    struct rusage r;
    getrusage(RUSAGE_SELF, &r);
    return (r.ru_utime.tv_sec + r.ru_stime.tv_sec) * SENNIT_SECOND +
           (r.ru_utime.tv_usec + r.ru_stime.tv_usec) * 1000;
}

struct bench_span bench_begin(void)
{
    int64_t cpu = bench_cpu();
    return (struct bench_span){ sennit_now(), cpu };
}

void bench_end(struct bench_span s, const char *name, double ops)
{
    double wall = (double)(sennit_now() - s.wall), cpu = (double)(bench_cpu() - s.cpu);
    printf("%s\t%.1f\t%.1f\t%.0f\n", name, wall / ops, cpu / ops, ops);
    fflush(stdout);
}

static int bench_order(const void *a, const void *b)
{
    const double *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

void bench_late(const char *name, double *late_us, int n)
{
    qsort(late_us, (size_t)n, sizeof *late_us, bench_order);
    printf("%s\t%.0f/%.0f/%.0f\t-\t%d\n", name, late_us[(n - 1) / 2], late_us[(n - 1) * 99 / 100],
           late_us[n - 1], n);
    fflush(stdout);
}

long bench_status_kib(const char *key)
{
    char line[256];
    long kib = 0;
    FILE *f = fopen("/proc/self/status", "r");
    while (f && fgets(line, sizeof line, f))
        if (strncmp(line, key, strlen(key)) == 0)
            kib = strtol(line + strlen(key), NULL, 10);
    if (f)
        fclose(f);
    return kib;
}

void bench_go(void (*fn)(void *arg), void *arg)
{
    sennit_err err = sennit_go(fn, arg);
    if (err) {
        fprintf(stderr, "bench_rt: %s\n", err->message);
        exit(1);
    }
}

/* -- spawning -------------------------------------------------------------------------------- */

static void bench_nop(void *arg) { sennit_wait_group_done(arg); }

static void bench_wait(sennit_wait_group *g) { (void)sennit_wait_group_wait(g, NULL); }

void bench_spawn_join1(void)
{
    enum { N = 4000000 };
    struct bench_span s = bench_begin();
    for (int i = 0; i < N; i++) {
        sennit_wait_group g = { 0 };
        sennit_wait_group_add(&g, 1);
        bench_go(bench_nop, &g);
        bench_wait(&g);
    }
    bench_end(s, "spawn_join1", N);
}

void bench_spawn_batch(void)
{
    enum { N = 10000000 };
    struct bench_span s = bench_begin();
    for (int i = 0; i < N / 100; i++) {
        sennit_wait_group g = { 0 };
        sennit_wait_group_add(&g, 100);
        for (int k = 0; k < 100; k++)
            bench_go(bench_nop, &g);
        bench_wait(&g);
    }
    bench_end(s, "spawn_batch100", N);
}

void bench_spawn_1e6(void)
{
    enum { N = 1000000 };
    long before = bench_status_kib("VmRSS:");
    for (int pass = 0; pass < 2; pass++) {
        sennit_wait_group g = { 0 };
        struct bench_span s = bench_begin();
        sennit_wait_group_add(&g, N);
        for (int i = 0; i < N; i++)
            bench_go(bench_nop, &g);
        bench_wait(&g);
        bench_end(s, pass ? "spawn_1e6_pass1" : "spawn_1e6_pass0", N);
    }
    long kib = bench_status_kib("VmHWM:") - before;
    printf("spawn_1e6_rss_bytes_per_g\t%.0f\t-\t%d\n", (double)kib * 1024 / N, N);
}

/* -- yielding -------------------------------------------------------------------------------- */

struct bench_loop {
    sennit_wait_group done;
    int turns;
    sennit_mutex mutex;
    long sum;
    sennit_chan *to, *from;
};

static void bench_yielder(void *arg)
{
    struct bench_loop *l = arg;
    for (int i = 0; i < l->turns; i++)
        sennit_yield();
    sennit_wait_group_done(&l->done);
}

static void bench_yields(const char *name, int goroutines, int turns)
{
    struct bench_loop l = { .turns = turns };
    struct bench_span s = bench_begin();
    sennit_wait_group_add(&l.done, goroutines);
    for (int i = 0; i < goroutines; i++)
        bench_go(bench_yielder, &l);
    bench_wait(&l.done);
    bench_end(s, name, (double)goroutines * turns);
}

void bench_yield(void) { bench_yields("yield_2g", 2, 5000000); }
void bench_yield1000(void) { bench_yields("yield_1000g", 1000, 10000); }

/* -- channels -------------------------------------------------------------------------------- */

static void bench_echo(void *arg)
{
    struct bench_loop *l = arg;
    int64_t v;
    while (!sennit_chan_recv(l->to, NULL, &v))
        (void)sennit_chan_send(l->from, NULL, &v);
    sennit_wait_group_done(&l->done);
}

static void *bench_echo_thread(void *arg)
{
    bench_echo(arg);
    return NULL;
}

static void bench_round_trips(struct bench_loop *l, const char *name)
{
    struct bench_span s = bench_begin();
    for (int64_t i = 0, v; i < l->turns; i++) {
        (void)sennit_chan_send(l->to, NULL, &i);
        (void)sennit_chan_recv(l->from, NULL, &v);
    }
    bench_end(s, name, l->turns);
    (void)sennit_chan_close(l->to);
}

static struct bench_loop bench_two_channels(int turns)
{
    struct bench_loop l = { .turns = turns };
    l.to = sennit_chan_new(sizeof(int64_t), 0);
    l.from = sennit_chan_new(sizeof(int64_t), 0);
    return l;
}

void bench_pingpong(void)
{
    struct bench_loop l = bench_two_channels(4000000);
    sennit_wait_group_add(&l.done, 1);
    bench_go(bench_echo, &l);
    bench_round_trips(&l, "chan_pingpong_rt");
    bench_wait(&l.done);
    sennit_chan_free(l.to);
    sennit_chan_free(l.from);
}

static void *bench_cross_thread(void *arg)
{
    bench_round_trips(arg, "chan_pingpong_crossthread_rt");
    return NULL;
}

/* Each end is a plain thread: every message crosses. */
void bench_pingpong_cross(void)
{
    struct bench_loop l = bench_two_channels(100000);
    pthread_t a, b;
    sennit_wait_group_add(&l.done, 1);
    if (pthread_create(&a, NULL, bench_echo_thread, &l) ||
        pthread_create(&b, NULL, bench_cross_thread, &l))
        exit(1);
    bench_wait(&l.done);
    pthread_join(a, NULL);
    pthread_join(b, NULL);
    sennit_chan_free(l.to);
    sennit_chan_free(l.from);
}

static void bench_producer(void *arg)
{
    struct bench_loop *l = arg;
    for (int64_t i = 0; i < l->turns; i++)
        (void)sennit_chan_send(l->to, NULL, &i);
    (void)sennit_chan_close(l->to);
}

void bench_chanbuf(void)
{
    struct bench_loop l = { .turns = 10000000 };
    int64_t v;
    l.to = sennit_chan_new(sizeof v, 128);
    struct bench_span s = bench_begin();
    bench_go(bench_producer, &l);
    while (!sennit_chan_recv(l.to, NULL, &v))
        l.sum += v;
    bench_end(s, "chan_buf128", l.turns);
    sennit_chan_free(l.to);
}

/* -- mutexes --------------------------------------------------------------------------------- */

static void bench_locker(void *arg)
{
    struct bench_loop *l = arg;
    for (int i = 0; i < l->turns; i++) {
        (void)sennit_mutex_lock(&l->mutex, NULL);
        l->sum++;
        sennit_mutex_unlock(&l->mutex);
    }
    sennit_wait_group_done(&l->done);
}

void bench_mutex(void)
{
    static const int goroutines[] = { 1, 2, 8 };
    for (int i = 0; i < 3; i++) {
        struct bench_loop l = { .turns = 2000000 };
        char name[32];
        snprintf(name, sizeof name, "mutex_%dg", goroutines[i]);
        struct bench_span s = bench_begin();
        sennit_wait_group_add(&l.done, goroutines[i]);
        for (int k = 0; k < goroutines[i]; k++)
            bench_go(bench_locker, &l);
        bench_wait(&l.done);
        bench_end(s, name, (double)l.turns * goroutines[i]);
        if (l.sum != (long)l.turns * goroutines[i])
            printf("%s lost an increment\n", name);
    }
}

/* -- which ----------------------------------------------------------------------------------- */

static const struct {
    const char *name;
    void (*run)(void);
} bench_cases[] = {
    { "spawn_join1", bench_spawn_join1 },
    { "spawn_batch", bench_spawn_batch },
    { "spawn_1e6", bench_spawn_1e6 },
    { "yield", bench_yield },
    { "yield1000", bench_yield1000 },
    { "pingpong", bench_pingpong },
    { "pingpong_cross", bench_pingpong_cross },
    { "chanbuf", bench_chanbuf },
    { "mutex", bench_mutex },
    { "idle", bench_idle },
    { "idle_deep", bench_idle_deep },
    { "sleep", bench_sleep },
    { "tcp", bench_tcp },
    { "late", bench_late_sleeper },
};

struct bench_main {
    char **names;
    sennit_wait_group done;
};

/* The cases run in a goroutine, as Go's main does. */
static void bench_run(void *arg)
{
    struct bench_main *m = arg;
    for (char **name = m->names; *name; name++)
        for (size_t i = 0; i < sizeof bench_cases / sizeof *bench_cases; i++)
            if (strcmp(*name, bench_cases[i].name) == 0)
                bench_cases[i].run();
    sennit_wait_group_done(&m->done);
}

int main(int argc, char **argv)
{
    struct bench_main m = { .names = argv + 1 };
    for (int a = 1; a < argc; a++) {
        size_t i = 0;
        while (i < sizeof bench_cases / sizeof *bench_cases &&
               strcmp(argv[a], bench_cases[i].name) != 0)
            i++;
        if (i == sizeof bench_cases / sizeof *bench_cases) {
            printf("no case %s\n", argv[a]);
            return 2;
        }
    }
    sennit_wait_group_add(&m.done, 1);
    bench_go(bench_run, &m);
    bench_wait(&m.done);
    return 0;
}
