/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * bench.h: what the two halves of bench share. Set once by main, before any goroutine. */
#ifndef BENCH_BENCH_H
#define BENCH_BENCH_H

#include "sennit.h"

struct bench_args {
    const char *port, *mode, *cert, *key;             /* cert NULL: plain text */
    long threads, conns, streams, window, size, rate; /* rate: calls a second, of all */
    double secs;
};
/* To be freed with sennit_creds_free. server: wants the key, too. */
const sennit_creds *bench_creds(const struct bench_args *a);
int bench_server(const struct bench_args *a);
int bench_client(const struct bench_args *a);

#endif
