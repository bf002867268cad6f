/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * values.h: what the messages of the comparison hold, and how a case is timed: CPU time of this
 * process, the best of several rounds. A program prints "case TAB ns TAB octets". With a case and a
 * number as arguments it runs that case so many times, for instruction counts. */
#ifndef SENNIT_BENCH_PB_VALUES_H
#define SENNIT_BENCH_PB_VALUES_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define HELLO_NAME "abcdefghijklmnop"
#define MID_ID     "0123456789abcdef"
#define MID_TITLE  "A title of a few words"
#define MID_TEXT                                                                                   \
    "Some text that is a little longer, as descriptions are: it goes on for a while, and then, "   \
    "after some more words to no purpose, it ends."
#define MID_TOKEN  "\x01\x02\x03\x04\x05\x06\x07\x08\xf1\xf2\xf3\xf4\xf5\xf6\xf7\xf8"
#define MID_AUTHOR "someone@example.com"

static inline double cpu_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

/* fn runs its case once and returns the octets. */
static inline void time_case(int argc, char **argv, const char *name, size_t (*fn)(void))
{
    enum { ROUNDS = 7, TIMES = 100000 };
    double best = 1e18;
    size_t octets = 0;
    if (argc > 2) {
        for (long i = strcmp(argv[1], name) ? 0 : atol(argv[2]); i > 0; i--)
            octets += fn();
        return;
    }
    for (int round = 0; round < ROUNDS; round++) {
        double start = cpu_ns();
        for (int i = 0; i < TIMES; i++)
            octets = fn();
        double ns = (cpu_ns() - start) / TIMES;
        best = ns < best ? ns : best;
    }
    printf("%s\t%.1f\t%zu\n", name, best, octets);
}

#endif
