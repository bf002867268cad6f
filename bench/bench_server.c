/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * The server half: unary and stream echo. The stream limit is raised because loads of more than 256
 * streams on one connection are measured; nothing else differs from the defaults. */
#include "bench.h"
#include "bench.sennit.h"
#include "stop.h"

#include <stdio.h>

static sennit_err echo_unary(void *self, sennit_ctx *ctx, const bench_Msg *request,
                             bench_Msg *reply)
{
    (void)self, (void)ctx;
    reply->payload = request->payload; /* both live as long as ctx: no copy */
    return NULL;
}

static sennit_err echo_stream(void *self, sennit_ctx *ctx, bench_Bench_StreamServer stream)
{
    const bench_Msg *m;
    sennit_err err = NULL;
    (void)self, (void)ctx;
    while (!err && (m = bench_Bench_StreamServer_recv(stream)))
        err = bench_Bench_StreamServer_send(stream, m);
    return err ? err : bench_Bench_StreamServer_error(stream);
}

static const bench_BenchService service = { .Unary = echo_unary, .Stream = echo_stream };

int bench_server(const struct bench_args *a)
{
    const sennit_creds *creds = bench_creds(a);
    sennit_auto(sennit_server) *server = sennit_server_new(
        &(sennit_server_options){ .creds = creds, .max_concurrent_streams = SENNIT_UNLIMITED });
    char address[64];

    sennit_creds_free((sennit_creds *)creds);
    snprintf(address, sizeof address, "127.0.0.1:%s", a->port);
    bench_Bench_register(server, &service, NULL);
    sennit_listen(server, address);
    sennit_go(stop_on_signal, server);
    sennit_err err = sennit_serve(server); /* also tells what register and listen had to say */
    if (err) {
        fprintf(stderr, "bench: %s\n", sennit_err_text(err));
        return 1;
    }
    return 0;
}
