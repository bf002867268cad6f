/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * bench.h: what the two halves of bench share. Set once by main, before any goroutine. */
#ifndef BENCH_BENCH_H
#define BENCH_BENCH_H

struct bench_args {
    const char *port, *mode;
    long threads, conns, streams, window, size;
    double secs;
};
int bench_server(const struct bench_args *a);
int bench_client(const struct bench_args *a);

#endif
