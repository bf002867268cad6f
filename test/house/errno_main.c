/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * errno_main.c: for check_errno: prints uses, stale ones, and how often a goroutine was found on
 * another thread than before. */
#include "errno_use.h"
#include "sennit.h"
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

enum { GOROUTINES = 200, TURNS = 125 };

static _Atomic long errno_stale, errno_moves;
static sennit_wait_group errno_done;

static void errno_work(void *arg)
{
    pid_t last = gettid();
    for (int i = 0; i < TURNS; i++) {
        atomic_fetch_add(&errno_stale, errno_use((int)(intptr_t)arg * 1000 + i + 1));
        pid_t now = gettid();
        atomic_fetch_add(&errno_moves, now != last);
        last = now;
    }
    sennit_wait_group_done(&errno_done);
}

int main(void)
{
    sennit_wait_group_add(&errno_done, GOROUTINES);
    for (intptr_t i = 0; i < GOROUTINES; i++)
        if (sennit_go(errno_work, (void *)i))
            return 1;
    if (sennit_wait_group_wait(&errno_done, NULL))
        return 1;
    printf("%d %ld %ld\n", GOROUTINES * TURNS * 2, atomic_load(&errno_stale),
           atomic_load(&errno_moves));
    return 0;
}
