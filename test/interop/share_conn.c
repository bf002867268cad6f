/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * share_conn: goroutines (100) and 8 plain threads share one connection and copies of one generated
 * client each; with -kinds 2 every second call goes through another kind of client on the same
 * connection. Each checks its own answers, so a reply that reached the wrong caller is seen. With
 * -until-closed 1 the server is expected to go away: then calls may end as UNAVAILABLE, CANCELLED
 * or DEADLINE_EXCEEDED, never in another way and never without an end. */
#include "echo.sennit.h"
#include "flags.h"
#include "helloworld.sennit.h"

#include <pthread.h>
#include <stdatomic.h>

#define THREADS 8

struct share {
    helloworld_GreeterClient greeter;
    echo_EchoClient echo;
    long goroutines, calls, kinds;
    bool until_closed;
    atomic_long answers;
};

struct caller {
    struct share *share;
    long number;
};

static sennit_err expect(sennit_str got, const char *wanted)
{
    if (got.len == strlen(wanted) && memcmp(got.data, wanted, got.len) == 0)
        return NULL;
    return sennit_errorf(SENNIT_DATA_LOSS, "\"%s\" is not \"%s\"", got.data, wanted);
}

/* The clients come by value: each caller has its own copies. */
static sennit_err call_greeter(helloworld_GreeterClient client, sennit_ctx *ctx, const char *name)
{
    char wanted[80];
    helloworld_HelloReply reply;

    sennit_err err = helloworld_Greeter_SayHello(
        client, ctx, &(helloworld_HelloRequest){ .name = sennit_s(name) }, &reply);
    snprintf(wanted, sizeof wanted, "Hello %s", name);
    return err ? err : expect(reply.message, wanted);
}

static sennit_err call_echo(echo_EchoClient client, sennit_ctx *ctx, const char *message)
{
    echo_EchoResponse response;

    sennit_err err = echo_Echo_UnaryEcho(
        client, ctx, &(echo_EchoRequest){ .message = sennit_s(message) }, &response);
    return err ? err : expect(response.message, message);
}

static sennit_err call_all(void *arg)
{
    struct caller *c = arg;
    struct share *share = c->share;
    sennit_auto(sennit_ctx) *ctx = sennit_ctx_timeout(NULL, 60 * SENNIT_SECOND);
    sennit_err err = NULL;

    for (long i = 0; i < share->calls && !err; i++) {
        char name[64];
        snprintf(name, sizeof name, "caller %ld call %ld", c->number, i);
        err = share->kinds > 1 && i % 2 ? call_echo(share->echo, ctx, name)
                                        : call_greeter(share->greeter, ctx, name);
        if (!err)
            atomic_fetch_add(&share->answers, 1);
        sennit_ctx_reset(ctx, 60 * SENNIT_SECOND);
    }
    if (!err || !share->until_closed)
        return err;
    bool closed = err->code == SENNIT_UNAVAILABLE || err->code == SENNIT_CANCELLED ||
                  err->code == SENNIT_DEADLINE_EXCEEDED;
    return closed ? NULL : err;
}

static void *call_all_on_thread(void *arg)
{
    sennit_err err = call_all(arg);

    if (err)
        log_line("thread: %s", sennit_err_text(err));
    return (void *)(intptr_t)(err != NULL);
}

static int run_callers(struct share *share)
{
    long n = THREADS + share->goroutines;
    struct caller *callers = calloc((size_t)n, sizeof *callers);
    pthread_t threads[THREADS];
    int failed = 0;

    for (long i = 0; i < n; i++)
        callers[i] = (struct caller){ share, i };
    for (int i = 0; i < THREADS; i++)
        if (pthread_create(&threads[i], NULL, call_all_on_thread, &callers[i]) != 0)
            log_fatal("no thread");
    sennit_group *group = sennit_group_new(NULL);
    for (long i = THREADS; i < n; i++)
        sennit_group_go(group, call_all, &callers[i]);
    sennit_err err = sennit_group_wait(group);
    if (err)
        log_line("goroutine: %s", sennit_err_text(err));
    failed += err != NULL;
    sennit_group_free(group);
    for (int i = 0; i < THREADS; i++) {
        void *bad;
        pthread_join(threads[i], &bad);
        failed += bad != NULL;
    }
    free(callers);
    return failed;
}

int main(int argc, char **argv)
{
    const char *addr = "localhost:50051", *calls = "1000", *kinds = "1", *until = "0";
    const char *goroutines = "100";

    flags_parse(
        argc, argv,
        (struct flag[]){ { "addr", &addr, "the address to connect to", FLAG_STRING },
                         { "goroutines", &goroutines, "beside 8 threads", FLAG_INT },
                         { "calls", &calls, "of each caller", FLAG_INT },
                         { "kinds", &kinds, "of client on the connection, 1 or 2", FLAG_INT },
                         { "until-closed", &until, "1: the server goes away", FLAG_INT },
                         { 0 } });
    sennit_auto(sennit_conn) *conn =
        sennit_dial(addr, &(sennit_conn_options){ .creds = sennit_insecure() });
    struct share share = { .greeter = { conn }, .echo = { conn } };
    share.goroutines = strtol(goroutines, NULL, 10);
    share.calls = strtol(calls, NULL, 10);
    share.kinds = strtol(kinds, NULL, 10);
    share.until_closed = *until == '1';

    int failed = run_callers(&share);
    long expected = (THREADS + share.goroutines) * share.calls;
    if (!share.until_closed && share.answers != expected)
        failed++;
    printf("%ld answers of %ld, all right: %s\n", (long)share.answers, expected,
           failed ? "no" : "yes");
    return failed != 0;
}
