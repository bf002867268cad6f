/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * The histogram of latencies, and what every mode asks of an answer. */
#include "bench_load.h"

static unsigned bucket_of(uint64_t ns)
{
    if (ns < LOAD_STEPS)
        return (unsigned)ns;
    unsigned octave = 63u - (unsigned)__builtin_clzll(ns) - 6u; /* 64..127 is octave 0 */
    unsigned bucket = (octave + 1) * LOAD_STEPS + (unsigned)((ns >> octave) & (LOAD_STEPS - 1));
    return bucket < LOAD_BUCKETS ? bucket : LOAD_BUCKETS - 1;
}

static double bucket_us(unsigned bucket)
{
    if (bucket < LOAD_STEPS)
        return bucket / 1e3;
    unsigned octave = bucket / LOAD_STEPS - 1;
    return (double)((uint64_t)(LOAD_STEPS + bucket % LOAD_STEPS) << octave) / 1e3;
}

double load_percentile(struct load *load, unsigned permille)
{
    uint64_t total = 0, seen = 0;
    unsigned i = 0;

    for (unsigned k = 0; k < LOAD_BUCKETS; k++)
        total += load->latency[k];
    for (; total && i < LOAD_BUCKETS - 1; i++)
        if ((seen += load->latency[i]) * 1000 > total * permille)
            break;
    return bucket_us(i);
}

void load_count(struct load *load, int64_t ns)
{
    atomic_fetch_add_explicit(&load->latency[bucket_of((uint64_t)ns)], 1, memory_order_relaxed);
}

sennit_err load_check(const bench_Msg *sent, const bench_Msg *reply)
{
    return reply->payload.len == sent->payload.len
               ? NULL
               : sennit_errorf(SENNIT_DATA_LOSS, "%zu octets came back", reply->payload.len);
}
