/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * bench_rt.h: the cases of bench_rt. Names and columns are those of the program of the same cases
 * in Go that compare_rt is given:  name <tab> wall ns/op <tab> CPU ns/op <tab> ops */
#ifndef SENNIT_BENCH_RT_H
#define SENNIT_BENCH_RT_H

#include "sennit.h"

struct bench_span {
    int64_t wall, cpu;
};
struct bench_span bench_begin(void);
void bench_end(struct bench_span s, const char *name, double ops);
void bench_late(const char *name, double *late_us, int n); /* sorts */
long bench_status_kib(const char *key);                    /* of /proc/self/status: "VmRSS:" */
void bench_go(void (*fn)(void *arg), void *arg);           /* exits without memory */

void bench_spawn_join1(void);
void bench_spawn_batch(void);
void bench_spawn_1e6(void);
void bench_yield(void);
void bench_yield1000(void);
void bench_pingpong(void);
void bench_pingpong_cross(void);
void bench_chanbuf(void);
void bench_mutex(void);
void bench_idle(void);
void bench_idle_deep(void);
void bench_sleep(void);
void bench_tcp(void);
void bench_late_sleeper(void);

#endif
