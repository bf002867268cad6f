/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * test_mutex.c: sennit_mutex where more workers than CPUs are preempted anywhere. */
#include "harness.h"
#include "rt/rt.h"
#include "sennit.h"
#include <pthread.h>
#include <stdlib.h>

__attribute__((constructor)) static void mutex_init(void)
{
    setenv("SENNIT_MAXPROCS", "4", 1);
    test_at_end = rt_shutdown;
}

static sennit_mutex gate;
static sennit_wait_group done;

static void pass_once(void *arg)
{
    volatile unsigned *work = arg;
    check(!sennit_mutex_lock(&gate, NULL));
    for (unsigned i = 0; i < 3000; i++)
        *work += i;
    sennit_mutex_unlock(&gate);
    sennit_wait_group_done(&done);
}

static _Atomic bool hog_over;
static void *hog(void *arg)
{
    while (!hog_over) {
    }
    return arg;
}

/* Nobody comes by later to make up for a wake-up that got lost. */
TEST_WITH(crowd_passes_a_mutex_once_each, 60, false)
{
    static unsigned work;
    pthread_t hogs[2];
    for (int i = 0; i < 2; i++)
        check(pthread_create(&hogs[i], NULL, hog, NULL) == 0);
    for (int round = 0; round < (test_thread_sanitized() ? 4 : 50); round++) {
        sennit_wait_group_add(&done, 500);
        for (int i = 0; i < 500; i++)
            check(!sennit_go(pass_once, &work));
        sennit_wait_group_wait(&done, NULL);
    }
    hog_over = true;
    for (int i = 0; i < 2; i++)
        pthread_join(hogs[i], NULL);
}
