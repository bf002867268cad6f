/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * sennit_test.h: for tests of programs that use Sennit: client and server joined in memory, a clock
 * that the test moves, and a check that nothing is left. Not included by sennit.h. A whole test:
 *
 *     #include "helloworld.sennit.h"
 *     #include <sennit_test.h>
 *     #include <assert.h>
 *
 *     static _Atomic bool over;
 *     static void let_time_pass(void *unused)
 *     {
 *         (void)unused;
 *         while (!over)
 *             sennit_test_clock_advance(60 * SENNIT_SECOND);
 *     }
 *
 *     static sennit_err say_hello(void *self, sennit_ctx *ctx, const helloworld_HelloRequest *q,
 *                                 helloworld_HelloReply *r)
 *     {
 *         (void)self;
 *         assert(!sennit_go(let_time_pass, NULL)); // the connection is made
 *         sennit_err late = sennit_sleep(ctx, 3600 * SENNIT_SECOND);
 *         r->message = sennit_printf(ctx, "Hello %s", q->name.data);
 *         return late;
 *     }
 *     static const helloworld_GreeterService greeter = { .SayHello = say_hello };
 *
 *     int main(void)
 *     {
 *         assert(!sennit_test_clock_start());
 *         sennit_test_mark mark = sennit_test_begin();
 *         {
 *             sennit_auto(sennit_server) *server =
 *                 sennit_server_new(&(sennit_server_options){ .creds = sennit_insecure() });
 *             helloworld_Greeter_register(server, &greeter, NULL);
 *             sennit_auto(sennit_conn) *conn = sennit_test_dial(
 *                 server, &(sennit_conn_options){ .creds = sennit_insecure() });
 *             sennit_auto(sennit_ctx) *ctx = sennit_ctx_new(NULL);
 *             helloworld_HelloReply reply;
 *             assert(!helloworld_Greeter_SayHello((helloworld_GreeterClient){ conn }, ctx,
 *                 &(helloworld_HelloRequest){ .name = sennit_s("test") }, &reply));
 *             assert(strcmp(reply.message.data, "Hello test") == 0);
 *             over = true;
 *         }
 *         assert(!sennit_test_end(&mark));
 *         return 0;
 *     }
 */
#ifndef SENNIT_TEST_H
#define SENNIT_TEST_H

#include "sennit.h"
#include <time.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A connection to s in memory: no sockets, ports and names; all else, HTTP/2 included, is as ever,
 * and sennit_peer says "pipe". s serves from then on, without sennit_serve, until
 * sennit_server_stop or _free. Both must have sennit_insecure(). What is wrong is told by the first
 * call (law 4). Free it before s. */
SENNIT_API sennit_conn *sennit_test_dial_sized(sennit_server *s, const sennit_conn_options *o,
                                               size_t size, size_t interceptor_stride);
static inline sennit_conn *sennit_test_dial(sennit_server *s, const sennit_conn_options *o)
{
    return sennit_test_dial_sized(s, o, sizeof *o, sizeof(sennit_interceptor));
}

/* From now on time can be moved: sennit_now, deadlines, sleeps and timers go on by themselves as
 * slowly as ever, and jump by advance. For the life of the process, before the first use of
 * anything else: else FAILED_PRECONDITION. Not for SENNIT_THREADS_NONE with a host's own loop. */
SENNIT_API sennit_err sennit_test_clock_start(void);
/* d nanoseconds pass: timers fire in their order, each at its time, and what they wake runs until
 * it waits again before the next one comes (what does not wait is given 200 ms of real time). From
 * a plain thread, one at a time; a goroutine may, too, but sees less well what still runs. Without
 * clock_start: no effect. */
SENNIT_API void sennit_test_clock_advance(sennit_duration d);

/* What there is at the beginning of a test: goroutines, armed timers, descriptors. */
typedef struct sennit_test_mark { int64_t goroutines, timers, fds; } sennit_test_mark;
static inline sennit_test_mark sennit_test_begin(void)
{
    sennit_stats s;
    sennit_get_stats(&s);
    sennit_test_mark m = { s.goroutines, s.timers, s.fds };
    return m;
}
/* NULL: no more is there than at m. Else FAILED_PRECONDITION tells how much more; sennit_dump shows
 * the goroutines. Waits up to two seconds of real time for what is about to end. Octets are the
 * sanitizers' to count. */
static inline sennit_err sennit_test_end(const sennit_test_mark *m)
{
    struct timespec pause = { 0, 1000000 };
    sennit_test_mark now = sennit_test_begin();
    sennit_blocking_begin();
    for (int i = 0; i < 2000; i++, now = sennit_test_begin()) {
        if (now.goroutines <= m->goroutines && now.timers <= m->timers && now.fds <= m->fds)
            break;
        sennit_yield(); /* a turn of the loop, where there are no threads */
        nanosleep(&pause, NULL);
    }
    sennit_blocking_end();
    long long g = now.goroutines - m->goroutines, t = now.timers - m->timers, f = now.fds - m->fds;
    return g <= 0 && t <= 0 && f <= 0
               ? NULL
               : sennit_errorf(SENNIT_FAILED_PRECONDITION,
                               "left over: %lld goroutines, %lld timers, %lld descriptors", g, t,
                               f);
}

#ifdef __cplusplus
}
#endif
#endif
