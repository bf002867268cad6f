/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * test_memory.c: what is held by what is idle, and what is asked of the system for a call. Octets
 * are those of the allocator's blocks, stacks apart; ceilings are a little above what is measured,
 * see doc/decisions/0020-idle-memory.md. Sanitizers allocate otherwise, so nothing is measured
 * there. */
#include "talk.h"

#include "base/sys.h"
#include <arpa/inet.h>
#include <malloc.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/* -- counting ---------------------------------------------------------------------------------- */

static struct sys_table real;
static _Atomic int64_t live, calls;

static void *counted(void *p)
{
    if (p)
        atomic_fetch_add(&live, (int64_t)malloc_usable_size(p) + 8);
    atomic_fetch_add(&calls, 1);
    return p;
}
static void uncounted(void *p)
{
    if (p)
        atomic_fetch_sub(&live, (int64_t)malloc_usable_size(p) + 8);
}
static void *count_malloc(size_t n) { return counted(real.malloc(n)); }
static void *count_calloc(size_t n, size_t size) { return counted(real.calloc(n, size)); }
static void *count_aligned(size_t align, size_t n) { return counted(real.aligned_alloc(align, n)); }
static void *count_realloc(void *p, size_t n)
{
    int64_t before = p ? (int64_t)malloc_usable_size(p) + 8 : 0;
    void *q = real.realloc(p, n);
    if (q)
        atomic_fetch_sub(&live, before);
    return q ? counted(q) : NULL;
}
static void count_free(void *p)
{
    uncounted(p);
    real.free(p);
}
static void *count_mmap(size_t n, int prot, int flags)
{
    atomic_fetch_add(&calls, 1);
    return real.mmap(n, prot, flags);
}

static bool count(void)
{
    if (test_sanitized())
        return false;
    /* One reader at a time: each has a slab, which stays in the pool. */
    check(!sennit_runtime(&(sennit_runtime_options){ .threads = 1 }));
    real = sys;
    sys.malloc = count_malloc, sys.calloc = count_calloc, sys.realloc = count_realloc;
    sys.aligned_alloc = count_aligned, sys.free = count_free, sys.mmap = count_mmap;
    return true;
}

/* What n things have added to base, each, once all that comes to rest has come to rest. */
static int64_t settles_below(int64_t base, int n, int64_t ceiling)
{
    int64_t each = INT64_MAX;
    for (int i = 0; i < 500 && each > ceiling; i++) {
        sennit_sleep(NULL, 10 * SENNIT_MILLISECOND);
        each = (atomic_load(&live) - base) / n;
    }
    return each;
}

/* -- calls ------------------------------------------------------------------------------------- */

static sennit_err answer(void *self, sennit_ctx *ctx, const struct echo_msg *q, struct echo_msg *r)
{
    (void)self, (void)ctx;
    *r = *q;
    return NULL;
}
static const struct echo_service echoes = { .unary = answer, .chat = echo_chat };

static void call(struct talk *t, sennit_ctx *ctx, int times)
{
    for (int i = 0; i < times; i++) {
        struct echo_msg q = { .text = sennit_s("sixteen octets ..") }, r;
        check(!sennit_call(t->conn, ctx, &echo_methods[0], &q, &r, NULL, 0));
        sennit_ctx_reset(ctx, INT64_MAX);
    }
}

TEST(calls_in_the_steady_state_ask_the_system_for_no_memory)
{
    struct talk t;
    if (!count())
        return;
    talk_start(&t, &echoes, NULL, (sennit_server_options){ 0 });
    sennit_ctx *ctx = sennit_ctx_new(NULL);
    call(&t, ctx, 1000);
    int64_t before = atomic_load(&calls);
    call(&t, ctx, 1000);
    int64_t asked = atomic_load(&calls) - before;
    printf("1000 calls: %lld allocations\n", (long long)asked);
    check(asked <= 10);
    sennit_ctx_free(ctx);
    talk_stop(&t);
}

/* -- calls of every kind ------------------------------------------------------------------------
 */

/* A stream of n messages of every size up to 3,000 octets; over: left in its middle. */
static void chat(struct talk *t, int n, bool over)
{
    static char octets[3000];
    sennit_stream *s = talk_open(t, CHAT, NULL);
    check(s != NULL);
    for (int i = 1; i <= n; i++) {
        struct echo_msg q = { .text = { octets, sizeof octets * (size_t)i / (size_t)n } };
        check(!sennit_send(s, &q));
        const struct echo_msg *r = sennit_recv(s);
        check(r && r->text.len == q.text.len);
    }
    if (!over)
        check(!sennit_close_send(s) && !sennit_recv(s) && !sennit_stream_error(s));
    else
        sennit_ctx_cancel(t->ctx);
    sennit_ctx_reset(t->ctx, INT64_MAX);
}

static void fails(struct talk *t, sennit_ctx *ctx, sennit_code code)
{
    struct echo_msg q = { .text = sennit_s("sixteen octets ..") }, r;
    check_int(code_of(sennit_call(t->conn, ctx, &echo_methods[0], &q, &r, NULL, 0)), (int)code);
    sennit_ctx_reset(ctx, INT64_MAX);
}

static void every_kind(struct talk *t, sennit_ctx *ctx, int times)
{
    for (int i = 0; i < times; i++) {
        call(t, ctx, 1);
        chat(t, i % 8, false);
        chat(t, i % 4, true);
        sennit_ctx_cancel(ctx);
        fails(t, ctx, SENNIT_CANCELLED);
        sennit_ctx_reset(ctx, 0);
        fails(t, ctx, SENNIT_DEADLINE_EXCEEDED);
    }
}

/* What is live once nobody has let go of anything for a while. */
static int64_t rests(void)
{
    int64_t least = atomic_load(&live);
    for (int i = 0; i < 60; i++) {
        sennit_sleep(NULL, 10 * SENNIT_MILLISECOND);
        int64_t now = atomic_load(&live);
        if (now < least)
            least = now, i = 0;
    }
    return least;
}

#define WORKER 20000 /* octets that one thread more may have: its own, its goroutines' records */

TEST(calls_of_every_kind_hold_nothing_once_they_are_over)
{
    struct talk t;
    if (!count())
        return;
    talk_start(&t, &echoes, NULL, (sennit_server_options){ 0 });
    sennit_ctx *ctx = sennit_ctx_new(NULL);
    every_kind(&t, ctx, 200); /* each goroutine's last errors, the pools, and what they gave back */
    int64_t before = rests();
    every_kind(&t, ctx, 2000);
    int64_t more = settles_below(before, 1, WORKER);
    printf("10,000 calls: %lld octets\n", (long long)more);
    check(more <= WORKER); /* the smallest block of every 2,000 is 24 octets */
    sennit_ctx_free(ctx);
    talk_stop(&t);
}

/* -- idle connections -------------------------------------------------------------------------- */

static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0";
static const char block[] = "\x83\x86\x44\x10/test.Echo/Unary\x41\x09localhost\x5f\x10"
                            "application/grpc\x40\2te\x08trailers\x7a\x07"
                            "agent/1";
static const char message[] = "\0\0\5\0\1\0\0\0\1\0\0\0\0\0"; /* empty, and the end */

static void send_call(int fd)
{
    char head[] = { 0, 0, sizeof block - 1, 1, 4, 0, 0, 0, 1 };
    check(send(fd, head, sizeof head, 0) == sizeof head);
    check(send(fd, block, sizeof block - 1, 0) == sizeof block - 1);
    check(send(fd, message, sizeof message - 1, 0) == sizeof message - 1);
}

static void read_until_end(int fd)
{
    unsigned char h[9], body[1024];
    for (;;) {
        check(recv(fd, h, 9, MSG_WAITALL) == 9);
        size_t n = (size_t)h[0] << 16 | (size_t)h[1] << 8 | h[2];
        check(n <= sizeof body && (n == 0 || recv(fd, body, n, MSG_WAITALL) == (ssize_t)n));
        check(h[3] != 3 && h[3] != 7);
        if (h[3] == 1 && (h[4] & 1))
            return;
    }
}

static int connect_raw(const char *address, bool calls_once)
{
    struct sockaddr_in a = { .sin_family = AF_INET,
                             .sin_port =
                                 htons((uint16_t)strtol(strrchr(address, ':') + 1, NULL, 10)) };
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    check(fd >= 0 && connect(fd, (struct sockaddr *)&a, sizeof a) == 0);
    check(send(fd, preface, sizeof preface - 1, 0) == sizeof preface - 1);
    if (calls_once) {
        send_call(fd);
        read_until_end(fd);
    } else { /* its SETTINGS: it has been accepted */
        char head[9];
        check(recv(fd, head, sizeof head, MSG_WAITALL) == sizeof head);
    }
    return fd;
}

enum { CONNS = 200, STREAMS = 240 };

static void idle_connections(bool call_once, int64_t ceiling)
{
    struct echo_server e;
    int fds[2 * CONNS];
    int64_t base = 0;
    if (!count())
        return;
    echo_start(&e, &echoes, NULL, (sennit_server_options){ 0 });
    for (int i = 0; i < 2 * CONNS; i++) {
        if (i == CONNS) { /* the pools have what they keep */
            while (base != atomic_load(&live)) {
                base = atomic_load(&live);
                sennit_sleep(NULL, 400 * SENNIT_MILLISECOND);
            }
        }
        fds[i] = connect_raw(e.address, call_once);
    }
    int64_t each = settles_below(base, CONNS, ceiling);
    printf("an idle connection: %lld octets\n", (long long)each);
    check(each <= ceiling && each > 500);
    for (int i = 0; i < 2 * CONNS; i++)
        close(fds[i]);
    echo_stop(&e);
}

/* What a thousand of them cost in CPU time, the listener and its keepalive included: under 0.1 % of
 * a core, in one of the first seconds (for a second or two their memory is given back). */
enum { IDLE_MANY = 1000 };
static int64_t cpu_time(void)
{
    struct timespec ts;
    check(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts) == 0);
    return ts.tv_sec * INT64_C(1000000000) + ts.tv_nsec;
}
TEST(a_server_with_a_thousand_idle_connections_sleeps)
{
    static int fds[IDLE_MANY];
    struct rlimit files = { 4096, 4096 };
    struct echo_server e;
    if (!count() || setrlimit(RLIMIT_NOFILE, &files))
        return;
    echo_start(&e, &echoes, NULL, (sennit_server_options){ 0 });
    for (int i = 0; i < IDLE_MANY; i++)
        fds[i] = connect_raw(e.address, i % 2);
    int64_t used = INT64_MAX;
    for (int second = 0; second < 20 && used > 1000000; second++) {
        used = cpu_time();
        usleep(1000000);
        used = cpu_time() - used;
    }
    printf("a second of a thousand idle connections: %lld us of CPU\n", (long long)used / 1000);
    check(used <= 1000000);
    for (int i = 0; i < IDLE_MANY; i++)
        close(fds[i]);
    echo_stop(&e);
}

TEST(an_idle_connection_is_small) { idle_connections(false, 2400); }
TEST(an_idle_connection_that_had_a_call_is_small) { idle_connections(true, 2900); }

/* -- idle streams ------------------------------------------------------------------------------ */

TEST(an_idle_stream_is_small_on_both_sides)
{
    struct talk t;
    sennit_stream *s[STREAMS + 1];
    if (!count())
        return;
    talk_start(&t, &echoes, NULL, (sennit_server_options){ 0 });
    int64_t base = 0;
    for (int i = 0; i <= STREAMS; i++) {
        if (i == 1)
            base = atomic_load(&live);
        check((s[i] = talk_open(&t, CHAT, NULL)) != NULL);
        check(!sennit_send(s[i], &(struct echo_msg){ .text = sennit_s("sixteen octets ..") }));
        check(sennit_recv(s[i]) != NULL);
    }
    int64_t each = settles_below(base, STREAMS, 3500);
    printf("an idle stream: %lld octets on both sides, stacks apart\n", (long long)each);
    check(each <= 3500 && each > 1000);
    talk_stop(&t);
}
