/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * under_valgrind.c: goroutines that fill their stacks, park, and move, for Valgrind to watch: what
 * they do is in order, so it has nothing to report. Stacks are used more than once. */
#include "rt/rt.h"
#include <stdio.h>
#include <string.h>

enum { ROUNDS = 3, GOROUTINES = 60 };
static sennit_wait_group under_done;
static sennit_chan *under_chan;

__attribute__((noinline)) static int under_deep(int n)
{
    volatile char pad[200];
    memset((char *)pad, n, sizeof pad);
    return n ? under_deep(n - 1) + pad[3] : pad[0];
}

static void under_work(void *arg)
{
    int v = under_deep(50);
    (void)arg;
    (void)sennit_chan_send(under_chan, NULL, &v);
    (void)sennit_sleep(NULL, SENNIT_MILLISECOND);
    for (int i = 0; i < 20; i++) {
        v += under_deep(10);
        sennit_yield();
    }
    (void)sennit_chan_send(under_chan, NULL, &v);
    sennit_wait_group_done(&under_done);
}

int main(void)
{
    long sum = 0, want = (50 * 51 / 2 * 2 + 20 * (10 * 11 / 2)) * (long)GOROUTINES * ROUNDS;
    under_chan = sennit_chan_new(sizeof(int), 4);
    for (int round = 0; round < ROUNDS; round++) {
        sennit_wait_group_add(&under_done, GOROUTINES);
        for (int i = 0; i < GOROUTINES; i++)
            if (sennit_go_sized(&(sennit_go_options){ .small_stack = i % 2 },
                                sizeof(sennit_go_options), under_work, NULL))
                return 1;
        for (int i = 0, v; i < 2 * GOROUTINES && !sennit_chan_recv(under_chan, NULL, &v); i++)
            sum += v;
        (void)sennit_wait_group_wait(&under_done, NULL);
    }
    sennit_chan_free(under_chan);
    printf("%ld, and %ld was to come\n", sum, want);
    return !rt_shutdown() || sum != want;
}
