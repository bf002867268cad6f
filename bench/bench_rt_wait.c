/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * bench_rt_wait.c: the cases of bench_rt that wait: parked goroutines, timers, sockets, and how
 * late a sleeper is beside others. See bench_rt.c. */
#include "bench_rt.h"
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>

static void wait_for(sennit_wait_group *g) { (void)sennit_wait_group_wait(g, NULL); }

/* -- parked goroutines ----------------------------------------------------------------------- */

struct wait_gate {
    sennit_wait_group count;
    sennit_chan *open;
};

static void wait_idle(void *arg)
{
    struct wait_gate *g = arg;
    int64_t v;
    sennit_wait_group_done(&g->count);
    (void)sennit_chan_recv(g->open, NULL, &v);
    sennit_wait_group_done(&g->count);
}

/* About 8 KiB, as a request that was parsed. */
__attribute__((noinline)) static int wait_deep(int n)
{
    volatile char pad[80];
    pad[n % 64] = (char)n;
    return n == 0 ? pad[0] : wait_deep(n - 1) + pad[n % 64];
}

static void wait_idle_deep(void *arg)
{
    (void)wait_deep(60);
    wait_idle(arg);
}

static void wait_idles(const char *name, int n, void (*fn)(void *arg), bool woken)
{
    struct wait_gate g = { .open = sennit_chan_new(sizeof(int64_t), 0) };
    long rss = bench_status_kib("VmRSS:"), tables = bench_status_kib("VmPTE:");
    sennit_wait_group_add(&g.count, n);
    struct bench_span s = bench_begin();
    for (int i = 0; i < n; i++)
        bench_go(fn, &g);
    wait_for(&g.count);
    if (woken)
        bench_end(s, "idle_create", n);
    rss = bench_status_kib("VmRSS:") - rss, tables = bench_status_kib("VmPTE:") - tables;
    printf("%s_rss_bytes_per_g\t%.0f\t-\t%d\n", name, (double)rss * 1024 / n, n);
    printf("%s_page_table_bytes_per_g\t%.0f\t-\t%d\n", name, (double)tables * 1024 / n, n);
    sennit_wait_group_add(&g.count, n);
    s = bench_begin();
    (void)sennit_chan_close(g.open);
    wait_for(&g.count);
    if (woken)
        bench_end(s, "idle_wake_all", n);
    sennit_chan_free(g.open);
}

void bench_idle(void)
{
    wait_idles("idle", 1000000, wait_idle, true);
    printf("idle_rss_after_MB\t%ld\t-\t1\n", bench_status_kib("VmRSS:") / 1024);
}

void bench_idle_deep(void) { wait_idles("idle_deep8k", 200000, wait_idle_deep, false); }

/* -- timers ---------------------------------------------------------------------------------- */

static void wait_sleeper(void *arg)
{
    for (int i = 0; i < 10; i++)
        (void)sennit_sleep(NULL, 10 * SENNIT_MILLISECOND);
    sennit_wait_group_done(arg);
}

static void wait_nothing(void *arg) { (void)arg; }

static void wait_lates(const char *name, int n)
{
    static double late[1000]; /* one case at a time */
    for (int i = 0; i < n; i++) {
        int64_t start = sennit_now();
        (void)sennit_sleep(NULL, SENNIT_MILLISECOND);
        late[i] = (double)(sennit_now() - start - SENNIT_MILLISECOND) / 1e3;
    }
    bench_late(name, late, n);
}

void bench_sleep(void)
{
    enum { SLEEPERS = 100000, TIMERS = 5000000 };
    sennit_wait_group g = { 0 };
    struct bench_span s = bench_begin();
    sennit_wait_group_add(&g, SLEEPERS);
    for (int i = 0; i < SLEEPERS; i++)
        bench_go(wait_sleeper, &g);
    wait_for(&g);
    bench_end(s, "sleep_100k_x10ms", SLEEPERS * 10.0);
    s = bench_begin();
    for (int i = 0; i < TIMERS; i++) {
        sennit_timer t = { 0 };
        sennit_timer_after(&t, 3600 * SENNIT_SECOND, wait_nothing, NULL);
        sennit_timer_stop(&t);
    }
    bench_end(s, "timer_set_stop", TIMERS);
    wait_lates("sleep1ms_late_us_p50/p99/max", 1000);
}

/* -- sockets --------------------------------------------------------------------------------- */

struct wait_tcp {
    sennit_wait_group done;
    struct sockaddr_in at;
    int turns;
};

static void wait_echo(void *arg)
{
    sennit_fd *conn = arg;
    char buf[64];
    size_t n;
    while (!sennit_fd_read(conn, NULL, buf, sizeof buf, &n) && n)
        if (sennit_fd_write(conn, NULL, buf, n))
            break;
    sennit_fd_free(conn);
}

static void wait_accept(void *arg)
{
    sennit_fd *conn;
    while (!sennit_fd_accept(arg, NULL, &conn)) {
        setsockopt(sennit_fd_number(conn), IPPROTO_TCP, TCP_NODELAY, &(int){ 1 }, sizeof(int));
        bench_go(wait_echo, conn);
    }
}

static void wait_client(void *arg)
{
    struct wait_tcp *t = arg;
    sennit_auto(sennit_fd) *conn = sennit_fd_new(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    char buf[64] = "x";
    size_t n;
    if (sennit_fd_connect(conn, NULL, (struct sockaddr *)&t->at, sizeof t->at))
        exit(1);
    setsockopt(sennit_fd_number(conn), IPPROTO_TCP, TCP_NODELAY, &(int){ 1 }, sizeof(int));
    for (int i = 0; i < t->turns; i++)
        if (sennit_fd_write(conn, NULL, buf, 1) ||
            sennit_fd_read(conn, NULL, buf, sizeof buf, &n) || n == 0)
            break;
    sennit_wait_group_done(&t->done);
}

void bench_tcp(void)
{
    enum { TRIPS = 200000 };
    struct wait_tcp t = { .at = { .sin_family = AF_INET,
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) } };
    socklen_t len = sizeof t.at;
    int l = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (bind(l, (struct sockaddr *)&t.at, len) || listen(l, 128) ||
        getsockname(l, (struct sockaddr *)&t.at, &len))
        exit(1);
    sennit_fd *listener = sennit_fd_new(l);
    bench_go(wait_accept, listener);
    for (int conns = 1; conns <= 64; conns *= 64) {
        char name[40];
        t.turns = TRIPS / conns;
        snprintf(name, sizeof name, "tcp_pingpong_%dconn_rt", conns);
        struct bench_span s = bench_begin();
        sennit_wait_group_add(&t.done, conns);
        for (int i = 0; i < conns; i++)
            bench_go(wait_client, &t);
        wait_for(&t.done);
        bench_end(s, name, TRIPS);
    }
    sennit_fd_free(listener);
}

/* -- late ------------------------------------------------------------------------------------ */

struct wait_hogs {
    sennit_wait_group done;
    atomic_bool stop;
};

static void wait_hog_none(void *arg)
{
    struct wait_hogs *h = arg;
    while (!atomic_load(&h->stop))
        (void)sennit_sleep(NULL, 5 * SENNIT_MILLISECOND);
    sennit_wait_group_done(&h->done);
}

static void wait_hog_busy(void *arg)
{
    struct wait_hogs *h = arg;
    while (!atomic_load(&h->stop)) {
        for (int64_t start = sennit_now(); sennit_now() - start < 10 * SENNIT_MILLISECOND;)
            ;
        sennit_yield();
    }
    sennit_wait_group_done(&h->done);
}

static void wait_hog_kernel(void *arg)
{
    struct wait_hogs *h = arg;
    while (!atomic_load(&h->stop)) {
        nanosleep(&(struct timespec){ .tv_nsec = 10 * SENNIT_MILLISECOND }, NULL);
        sennit_yield();
    }
    sennit_wait_group_done(&h->done);
}

void bench_late_sleeper(void)
{
    static const struct {
        const char *name;
        void (*hog)(void *arg);
    } modes[] = { { "late_us_p50/p99/max_none", wait_hog_none },
                  { "late_us_p50/p99/max_busy10ms", wait_hog_busy },
                  { "late_us_p50/p99/max_blockread", wait_hog_kernel } };
    for (int m = 0; m < 3; m++) {
        struct wait_hogs h = { .stop = false };
        sennit_wait_group_add(&h.done, 4);
        for (int i = 0; i < 4; i++)
            bench_go(modes[m].hog, &h);
        wait_lates(modes[m].name, 500);
        atomic_store(&h.stop, true);
        wait_for(&h.done);
    }
}
