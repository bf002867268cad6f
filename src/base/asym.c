/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * asym.c: the rare half of asym.h. The process is registered with the kernel at the first use; the
 * kernel interrupts only the processors that run one of its threads just then, for the others have
 * passed a fence when they left it. */
#include "base/asym.h"
#include "base/sys.h"
#include <linux/membarrier.h>

static _Atomic bool asym_missing;
static pthread_once_t asym_once = PTHREAD_ONCE_INIT;

static void asym_register(void)
{
    if (sys.membarrier(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED) < 0)
        atomic_store(&asym_missing, true);
}

bool asym_ready(void)
{
    pthread_once(&asym_once, asym_register);
    return !atomic_load_explicit(&asym_missing, memory_order_relaxed);
}

bool asym_heavy(void)
{
    return asym_ready() && /* the call is a fence of the caller's, too */
           sys.membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED) >= 0;
}
