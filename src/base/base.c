/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * base.c: what a broken promise of our own looks like. */
#include "base/base.h"
#include <stdio.h>
#include <stdlib.h>

void base_assert_failed(const char *expr, const char *file, int line)
{
    fprintf(stderr, "sennit: internal error at %s:%d: (%s) does not hold; please report this\n",
            file, line, expr);
    abort();
}
