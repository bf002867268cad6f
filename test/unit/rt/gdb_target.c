/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * gdb_target.c: what gdb_goroutines looks at: two handlers that wait on a channel, one that sleeps,
 * one that loops; "ready" once they do. */
#include "sennit.h"
#include <stdio.h>
#include <unistd.h>

static _Atomic int target_loops;

__attribute__((noinline)) static void target_receive(void *gate)
{
    (void)sennit_chan_recv(gate, NULL, NULL);
    __asm__ volatile(""); /* no tail call: it is to be seen in the backtrace */
}
static void target_sleep(void *arg)
{
    (void)arg;
    (void)sennit_sleep(NULL, 3600 * SENNIT_SECOND);
    __asm__ volatile("");
}
static void target_loop(void *arg)
{
    (void)arg;
    for (;;)
        target_loops = 1;
}

int main(void)
{
    sennit_chan *gate = sennit_chan_new(0, 0);
    for (int i = 0; i < 2; i++)
        if (sennit_go_with(&(sennit_go_options){ .name = "pkg.Gate/Wait" }, target_receive, gate))
            return 1;
    if (sennit_go_with(&(sennit_go_options){ .name = "sleeper" }, target_sleep, NULL) ||
        sennit_go_with(&(sennit_go_options){ .name = "loop" }, target_loop, NULL))
        return 1;
    sennit_stats s;
    do {
        usleep(1000);
        sennit_get_stats(&s);
    } while (s.waiting < 3 || !target_loops);
    puts("ready");
    fflush(stdout);
    pause();
    return 0;
}
