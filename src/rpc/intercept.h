/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * intercept.h: a chain of interceptors around one RPC, for both sides. */
#ifndef SENNIT_RPC_INTERCEPT_H
#define SENNIT_RPC_INTERCEPT_H

#include "base/arena.h"
#include "sennit.h"

/* What the innermost next does: the handler, or the call. */
struct intercept_call {
    const sennit_interceptor *list;
    size_t n;
    const sennit_method *method;
    bool stream;
    sennit_err (*last)(void *arg, sennit_ctx *ctx, const void *request, void *reply);
    void *arg;
};
sennit_err intercept_run(const struct intercept_call *c, sennit_ctx *ctx, const void *request,
                         void *reply);
/* A user's array whose elements are `stride` octets apart, in a. False: no memory. */
bool intercept_copy(struct sennit_arena *a, const sennit_interceptor **list, size_t n,
                    size_t stride);

#endif
