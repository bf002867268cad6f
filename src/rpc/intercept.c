/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * intercept.c: see intercept.h. Each `next` knows its place in the chain and may be called any
 * number of times. */
#include "rpc/intercept.h"

struct sennit_next {
    const struct intercept_call *call;
    size_t at;
};

sennit_err sennit_next_call(sennit_next *next, sennit_ctx *ctx, const void *request, void *reply)
{
    const struct intercept_call *c = next->call;
    for (size_t i = next->at; i < c->n; i++) {
        const sennit_interceptor *in = &c->list[i];
        struct sennit_next inner = { c, i + 1 };
        if (c->stream && in->stream)
            return in->stream(in->self, ctx, c->method, &inner);
        if (!c->stream && in->unary)
            return in->unary(in->self, ctx, c->method, request, reply, &inner);
    }
    return c->last(c->arg, ctx, request, reply);
}

sennit_err intercept_run(const struct intercept_call *c, sennit_ctx *ctx, const void *request,
                         void *reply)
{
    return sennit_next_call(&(struct sennit_next){ c, 0 }, ctx, request, reply);
}

bool intercept_copy(struct sennit_arena *a, const sennit_interceptor **list, size_t n,
                    size_t stride)
{
    if (!n)
        return true;
    sennit_interceptor *own = arena_zalloc(a, n * sizeof *own);
    for (size_t i = 0; own && i < n; i++)
        memcpy(&own[i], (const char *)*list + i * stride, min_size(stride, sizeof *own));
    *list = own;
    return own != NULL;
}
