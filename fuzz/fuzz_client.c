/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * fuzz_client.c: a whole client of ours against any octets from the server. The first octet says
 * whether the server's SETTINGS are given for free, and what is called. The server closes after
 * them; the call must end by that, long before its deadline, and never well unless an answer could
 * be there. */
#include "conn.h"
#include <pthread.h>

static int listener;
static char target[64];
static struct input {
    const uint8_t *p;
    size_t n;
} input;

/* Plays the server on one connection; another one is refused. */
static void *play(void *arg)
{
    static uint8_t said[1 << 14];
    size_t len;
    (void)arg;
    int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    demand(fd >= 0);
    close(listener);
    conn_patience(fd);
    if (input.p[0] & 1)
        conn_send(fd, CONN_SETTINGS, 9);
    conn_send(fd, input.p + 1, input.n - 1);
    shutdown(fd, SHUT_WR);
    conn_read_all(fd, said, sizeof said, &len);
    close(fd);
    return NULL;
}

static void call(bench_BenchClient c, sennit_ctx *ctx, bool streams)
{
    bench_Msg m = { .payload = sennit_s("fuzz") }, reply;
    sennit_err err;
    if (!streams) {
        err = bench_Bench_Unary(c, ctx, &m, &reply);
    } else {
        bench_Bench_StreamClient s = bench_Bench_Stream(c, ctx);
        if (!bench_Bench_StreamClient_send(s, &m))
            bench_Bench_StreamClient_close_send(s);
        while (bench_Bench_StreamClient_recv(s)) {
        }
        err = bench_Bench_StreamClient_finish(s);
    }
    demand(!err || err->message);
    demand(!sennit_ctx_error(ctx)); /* not by its deadline */
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
    pthread_t server;
    if (n == 0)
        return 0;
    struct sockaddr_un un;
    socklen_t len = conn_address(&un, target, "client");
    listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    demand(bind(listener, (void *)&un, len) == 0 && listen(listener, 64) == 0);
    input = (struct input){ p, n };
    demand(pthread_create(&server, NULL, play, NULL) == 0);
    sennit_conn *conn = sennit_dial(target, &(sennit_conn_options){ .creds = sennit_insecure() });
    sennit_ctx *ctx = sennit_ctx_timeout(NULL, CONN_SECONDS * SENNIT_SECOND);
    call((bench_BenchClient){ conn }, ctx, p[0] & 2);
    sennit_ctx_free(ctx);
    sennit_conn_free(conn);
    pthread_join(server, NULL);
    return 0;
}
