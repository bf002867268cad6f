/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * errno_use.c: for check_errno: errno before and after a call in which a goroutine may change
 * threads, in a translation unit of its own, so that link-time optimisation has something to join.
 */
#include "errno_use.h"
#include "sennit.h"

int errno_use(int value)
{
    errno = value;
    sennit_yield();
    int seen = errno;
    errno = 0;
    sennit_yield();
    return seen != value || errno != 0;
}
