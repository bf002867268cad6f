/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * begin.h: a sending machine that has begun, for the tests of src/h2. */
#ifndef SENNIT_TEST_H2_BEGIN_H
#define SENNIT_TEST_H2_BEGIN_H

#include "base/sys.h"
#include "h2/h2.h"

/* With a buffer of the least size, in which the preface lies. 0, or -1 no memory. */
static inline int begin_out(struct h2_out *o, const struct h2_config *c)
{
    if (h2_out_init(o, c->server) < 0)
        return -1;
    void *block = sys.malloc(H2_OUT_LEAST);
    if (!block) {
        h2_out_fini(o);
        return -1;
    }
    h2_out_grow(o, block, H2_OUT_LEAST);
    h2_out_begin(o, c);
    return 0;
}

#endif
