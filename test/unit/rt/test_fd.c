/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * sennit_fd: reading, writing, accepting, connecting, waiting; contexts that end, descriptors that
 * are freed under who waits, and numbers that are used again. */
#include "base/sys.h"
#include "crew.h"
#include "sennit.h"
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

__attribute__((constructor)) static void fd_setup(void) { test_at_end = rt_shutdown; }

/* The same under a number that the table counts, as it counts its closing. */
static sennit_fd *fd_adopt(int fd)
{
    int counted = sys.fcntl(fd, F_DUPFD_CLOEXEC, 0);
    close(fd);
    return sennit_fd_new(counted);
}

static void fd_pair(sennit_fd *f[2])
{
    int fds[2];
    check(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) == 0);
    f[0] = fd_adopt(fds[0]), f[1] = fd_adopt(fds[1]);
    check(sennit_fd_number(f[0]) >= 0);
}

enum { FLOOD = 300000 };
static void flood_write(void *arg)
{
    static const char block[FLOOD];
    check(!sennit_fd_write(arg, NULL, block, FLOOD)); /* more than the socket holds */
}
TEST(writes_are_whole_and_reads_come_to_the_end)
{
    sennit_fd *f[2];
    char buf[7000];
    size_t n, all = 0;
    fd_pair(f);
    check(!sennit_go(flood_write, f[0]));
    while (all < FLOOD) {
        check(!sennit_fd_read(f[1], NULL, buf, sizeof buf, &n));
        all += n;
    }
    while (rt_counts().goroutines)
        sennit_yield();
    sennit_fd_free(f[0]);
    check(!sennit_fd_read(f[1], NULL, buf, sizeof buf, &n));
    check_int(n, 0);
    check_int(sennit_fd_write(f[1], NULL, buf, 1)->code, SENNIT_UNAVAILABLE); /* and no SIGPIPE */
    sennit_fd_free(f[1]);
}

TEST(a_read_gives_up_with_its_context)
{
    sennit_fd *f[2];
    char c;
    size_t n;
    fd_pair(f);
    sennit_ctx *ctx = sennit_ctx_timeout(NULL, SENNIT_MILLISECOND);
    check_int(sennit_fd_read(f[0], ctx, &c, 1, &n)->code, SENNIT_DEADLINE_EXCEEDED);
    check_int(sennit_fd_wait(f[0], ctx, false)->code, SENNIT_DEADLINE_EXCEEDED);
    check(!sennit_fd_wait(f[0], NULL, true));
    check(!sennit_fd_write(f[1], NULL, "x", 1));
    check(!sennit_fd_wait(f[0], NULL, false));
    check(!sennit_fd_read(f[0], NULL, &c, 1, &n)); /* and is as good as new */
    sennit_ctx_free(ctx);
    sennit_fd_free(f[0]), sennit_fd_free(f[1]);
}

struct reader {
    sennit_fd *fd;
    _Atomic int refused, freed;
};
static void reader_work(void *arg, int index)
{
    struct reader *r = arg;
    char c;
    size_t n;
    (void)index;
    sennit_err err = sennit_fd_read(r->fd, NULL, &c, 1, &n);
    check(err && err->code == SENNIT_FAILED_PRECONDITION);
    atomic_fetch_add(strstr(err->message, "another") ? &r->refused : &r->freed, 1);
}
TEST(a_second_reader_is_refused_and_freeing_wakes_the_first)
{
    static struct crew crew;
    sennit_fd *f[2];
    fd_pair(f);
    struct reader r = { .fd = f[0] };
    crew_start(&crew, 3, 1, reader_work, &r);
    while (atomic_load(&r.refused) < 3)
        sennit_yield();
    sennit_fd_free(f[0]);
    crew_end(&crew, 1);
    check_int(r.freed, 1);
    sennit_fd_free(f[1]);
}

/* -- sockets --------------------------------------------------------------------------------- */

struct tcp {
    sennit_fd *listener;
    struct sockaddr_in at;
};
static void echo(void *arg)
{
    sennit_fd *f = arg;
    char buf[64];
    size_t n;
    while (!sennit_fd_read(f, NULL, buf, sizeof buf, &n) && n)
        check(!sennit_fd_write(f, NULL, buf, n));
    sennit_fd_free(f);
}
static void tcp_accept(void *arg)
{
    struct tcp *t = arg;
    sennit_fd *conn;
    while (!sennit_fd_accept(t->listener, NULL, &conn))
        check(!sennit_go(echo, conn));
}
static void tcp_client(void *arg, int index)
{
    struct tcp *t = arg;
    for (int i = 0; i < 20; i++) { /* numbers are used again and again */
        sennit_auto(sennit_fd) *f = fd_adopt(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
        check(!sennit_fd_connect(f, NULL, (struct sockaddr *)&t->at, sizeof t->at));
        for (int k = 0; k < 5; k++) {
            char buf[64] = { (char)index, (char)i, (char)k }, back[64];
            size_t n, got = 0;
            check(!sennit_fd_write(f, NULL, buf, 40));
            while (got < 40) {
                check(!sennit_fd_read(f, NULL, back + got, sizeof back - got, &n) && n);
                got += n;
            }
            check(memcmp(buf, back, 40) == 0);
        }
    }
}
static struct tcp tcp_listen(void)
{
    struct tcp t = { .at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) } };
    socklen_t len = sizeof t.at;
    int l = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    check(bind(l, (struct sockaddr *)&t.at, len) == 0 && listen(l, 100) == 0);
    check(getsockname(l, (struct sockaddr *)&t.at, &len) == 0);
    t.listener = fd_adopt(l);
    return t;
}
TEST(connections_come_and_go)
{
    struct tcp t = tcp_listen();
    check(!sennit_go(tcp_accept, &t));
    crew_run(10, 3, tcp_client, &t);
    sennit_fd_free(t.listener);
    while (rt_counts().goroutines)
        sennit_yield();
}

TEST(a_refused_connection_is_an_error)
{
    struct tcp t = tcp_listen();
    sennit_fd_free(t.listener);
    sennit_fd *f = fd_adopt(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sennit_err err = sennit_fd_connect(f, NULL, (struct sockaddr *)&t.at, sizeof t.at);
    check(err && err->code == SENNIT_UNAVAILABLE);
    check_str(err->message, "connect: Connection refused");
    sennit_fd_free(f);
}

TEST(a_bad_descriptor_says_so_late)
{
    size_t n;
    sennit_fd *f = sennit_fd_new(-1);
    check_int(sennit_fd_number(f), -1);
    check_int(sennit_fd_read(f, NULL, &n, 1, &n)->code, SENNIT_FAILED_PRECONDITION);
    sennit_fd_free(f);
    sennit_fd_free(NULL);
}

TEST_FAULTS(descriptors_bear_faults)
{
    int fds[2];
    char c;
    size_t n;
    signal(SIGPIPE, SIG_IGN);
    if (sys.pipe2(fds, O_CLOEXEC) < 0) {
        check(test_under_fault());
        return;
    }
    sennit_fd *r = sennit_fd_new(fds[0]), *w = sennit_fd_new(fds[1]);
    sennit_err err = sennit_fd_write(w, NULL, "x", 1);
    check(!err || test_under_fault());
    if (!err) {
        err = sennit_fd_read(r, NULL, &c, 1, &n);
        check((!err && n == 1 && c == 'x') || test_under_fault());
    }
    sennit_fd_free(r), sennit_fd_free(w);
}

/* -- signals ---------------------------------------------------------------------------------- */

static volatile sig_atomic_t signal_own; /* counted by the handler that stood there before */
static void signal_count(int number)
{
    (void)number;
    signal_own = signal_own + 1;
}

struct signalled {
    int got;
    _Atomic bool over;
};
static void signal_await(void *arg)
{
    struct signalled *s = arg;
    s->got = sennit_signal_wait(NULL, (const int[]){ SIGUSR1, SIGUSR2, 0 });
    atomic_store(&s->over, true);
}

/* Without what it needs, it returns at once and the former handlers stand. */
TEST_FAULTS(a_signal_wakes_its_waiters_and_the_former_handler_comes_back)
{
    const struct sigaction own = { .sa_handler = signal_count };
    struct sigaction now;
    struct signalled s[3] = { 0 };
    check(sigaction(SIGUSR1, &own, NULL) == 0 && sigaction(SIGUSR2, &own, NULL) == 0);
    for (int i = 0; i < 3; i++) {
        if (sennit_go(signal_await, &s[i])) {
            check(test_under_fault());
            atomic_store(&s[i].over, true);
        }
    }
    while (!atomic_load(&s[0].over) || !atomic_load(&s[1].over) || !atomic_load(&s[2].over)) {
        kill(getpid(), SIGUSR2);
        usleep(1000);
    }
    for (int i = 0; i < 3; i++)
        check(s[i].got == SIGUSR2 || (test_under_fault() && s[i].got == 0));
    check(sigaction(SIGUSR1, NULL, &now) == 0 && now.sa_handler == signal_count);
    check(sigaction(SIGUSR2, NULL, &now) == 0 && now.sa_handler == signal_count);
    int before = signal_own;
    check(raise(SIGUSR2) == 0);
    check_int(signal_own, before + 1);
}

static void tcp_pair(int fds[2])
{
    struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t len = sizeof at;
    int l = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    check(bind(l, (struct sockaddr *)&at, len) == 0 && listen(l, 1) == 0);
    check(getsockname(l, (struct sockaddr *)&at, &len) == 0);
    fds[1] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    check(connect(fds[1], (struct sockaddr *)&at, len) == 0);
    fds[0] = accept4(l, NULL, NULL, SOCK_CLOEXEC);
    check(fds[0] >= 0);
    close(l);
}
static _Atomic int looks;
static int (*looked)(int ep, struct epoll_event *ev, int max, const struct timespec *timeout);
static int look(int ep, struct epoll_event *ev, int max, const struct timespec *timeout)
{
    atomic_fetch_add(&looks, 1);
    return looked(ep, ev, max, timeout);
}
static void echo_octets(void *arg)
{
    sennit_fd *f = arg;
    char c;
    size_t n;
    while (!sennit_fd_read(f, NULL, &c, 1, &n) && n)
        check(!sennit_fd_write(f, NULL, &c, 1));
    sennit_fd_free(f);
}

/* Answers that come soon make the poller look for them before it sleeps; it stops doing so when
 * they come no more, so that seldom events do not cost a core. */
TEST(the_poller_looks_before_it_sleeps_only_while_that_pays)
{
    enum { SOON = 2000, SELDOM = 60 };
    int fds[2];
    if (test_thread_sanitized())
        return;    /* a poll that costs more than the look may last finds nothing, or everything */
    tcp_pair(fds); /* a unix socket tells of room for each octet that was read: events, too */
    looked = sys.epoll_pwait2, sys.epoll_pwait2 = look;
    check(!sennit_go(echo_octets, fd_adopt(fds[0])));
    char c = 'x';
    for (int i = 0; i < SOON;
         i++) /* a plain thread at the other end: the worker has no other work */
        check(write(fds[1], &c, 1) == 1 && read(fds[1], &c, 1) == 1);
    atomic_store(&looks, 0);
    for (int i = 0; i < SELDOM; i++) {
        usleep(2000);
        check(write(fds[1], &c, 1) == 1 && read(fds[1], &c, 1) == 1);
    }
    /* At most two looks that find nothing, of 200 polls each, and a few polls for each event. */
    check(atomic_load(&looks) < 2 * 200 + SELDOM * 8);
    close(fds[1]);
    while (rt_counts().goroutines)
        usleep(100);
    sys.epoll_pwait2 = looked;
}

/* -- an idle process --------------------------------------------------------------------------- */

enum { IDLE_PAIRS = 500 };
static _Atomic int idle_woken;
static int (*idle_real_epoll)(int ep, struct epoll_event *ev, int max, const struct timespec *t);
static int (*idle_real_futex)(_Atomic uint32_t *word, uint32_t expected, const struct timespec *t);
static int idle_epoll(int ep, struct epoll_event *ev, int max, const struct timespec *t)
{
    int n = idle_real_epoll(ep, ev, max, t);
    atomic_fetch_add(&idle_woken, 1);
    return n;
}
static int idle_futex(_Atomic uint32_t *word, uint32_t expected, const struct timespec *t)
{
    int rc = idle_real_futex(word, expected, t);
    atomic_fetch_add(&idle_woken, 1);
    return rc;
}
static void idle_read(void *arg)
{
    char c;
    size_t n;
    (void)sennit_fd_read(arg, NULL, &c, 1, &n);
}
/* A thousand connections on which nothing comes, read by goroutines: when what they touched has
 * been given back, no thread of the runtime is woken. (Each wake-up counts 20 us: under 0.1 % of a
 * core would be fifty in a second.) */
TEST(a_process_with_a_thousand_idle_connections_sleeps)
{
    static sennit_fd *fds[2 * IDLE_PAIRS];
    struct rlimit files = { 4096, 4096 };
    if (test_thread_sanitized() || setrlimit(RLIMIT_NOFILE, &files))
        return; /* that sanitizer's futexes wake by themselves */
    idle_real_epoll = sys.epoll_pwait2, idle_real_futex = sys.futex_wait;
    sys.epoll_pwait2 = idle_epoll, sys.futex_wait = idle_futex;
    for (int i = 0; i < IDLE_PAIRS; i++) {
        int pair[2];
        check(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
        for (int k = 0; k < 2; k++) {
            fds[2 * i + k] = fd_adopt(pair[k]);
            check(!sennit_go(idle_read, fds[2 * i + k]));
        }
    }
    int woken = 0;
    for (int quiet = 0, seconds = 0; quiet < 1 && seconds < 12; seconds++) {
        int before = atomic_load(&idle_woken);
        usleep(1000000);
        woken = atomic_load(&idle_woken) - before;
        quiet += woken == 0;
    }
    check_int(woken, 0);
    for (int i = 0; i < 2 * IDLE_PAIRS; i++)
        sennit_fd_free(fds[i]);
}
