/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * bench_load.h: what the client's modes share: the message, the clock's end and the latencies, in
 * one histogram of 64 steps an octave (error under 1.6 %). bench_client owns it; the goroutines of
 * a mode count in it side by side. */
#ifndef BENCH_BENCH_LOAD_H
#define BENCH_BENCH_LOAD_H

#include "bench.h"
#include "bench.sennit.h"

#include <stdatomic.h>

#define LOAD_STEPS   64u
#define LOAD_BUCKETS (40u * LOAD_STEPS)

struct load {
    const struct bench_args *args;
    sennit_ctx *ctx; /* of streams */
    bench_Msg message;
    int64_t end;
    unsigned sample_mask;
    atomic_llong calls;
    atomic_uint latency[LOAD_BUCKETS];
};

struct stream {
    struct load *load;
    bench_BenchClient client;
};

/* Below `below`, by xorshift from a state that is not 0: a run has the same numbers each time. */
static inline uint64_t load_random(uint64_t *state, uint64_t below)
{
    *state ^= *state << 13, *state ^= *state >> 7, *state ^= *state << 17;
    return *state % below;
}

void load_count(struct load *load, int64_t ns);
/* In microseconds, of what was counted. permille: 500 is the median. */
double load_percentile(struct load *load, unsigned permille);
/* DATA_LOSS unless as many octets came back as were sent. */
sennit_err load_check(const bench_Msg *sent, const bench_Msg *reply);

/* Calls begin at their times, `rate` a second, whether or not earlier ones have been answered; each
 * is timed from when it was due. `streams` has the `n` calls that may be under way. */
sennit_err load_open_loop(struct load *load, struct stream *streams, long n);
/* One goroutine's share of mixed calls, until the end: arg is its struct stream. */
sennit_err load_mixed(void *arg);

#endif
