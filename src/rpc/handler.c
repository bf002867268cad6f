/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * handler.c: the public calls of a handler about its own RPC. Safe for any goroutine that has the
 * handler's context, while the handler runs. */
#include "rpc/handler.h"
#include "rpc/compress.h"
#include "rt/ctx.h"
#include "rt/why.h"

struct rpc_handler *handler_of(sennit_ctx *ctx)
{
    return ctx ? ctx_slot_get(ctx, CTX_SLOT_RPC) : NULL;
}

static sennit_err handler_missing(const char *what)
{
    return sennit_errorf(WHY(NOT_HANDLER),
                         "%s: this context is not a handler's: pass the ctx your method was given",
                         what);
}

static sennit_err handler_add(sennit_ctx *ctx, bool trailer, const char *what, const char *key,
                              sennit_str value)
{
    struct rpc_handler *h = handler_of(ctx);
    if (!h)
        return handler_missing(what);
    lock_take(&h->lock, LOCK_STREAM);
    bool late = h->over || (!trailer && h->header_sent);
    sennit_md **md = trailer ? &h->trailer : &h->header;
    if (!late && !*md)
        *md = md_new(h->s->arena);
    sennit_err err = late ? NULL : sennit_md_add(*md, key, value);
    lock_drop(&h->lock, LOCK_STREAM);
    if (late)
        return sennit_errorf(WHY(TOO_LATE), "%s(\"%s\"): %s", what, key,
                             h->over ? "the RPC has ended" : "the headers have been sent");
    return err;
}

sennit_err sennit_set_header(sennit_ctx *ctx, const char *key, sennit_str value)
{
    return handler_add(ctx, false, "sennit_set_header", key, value);
}

sennit_err sennit_set_trailer(sennit_ctx *ctx, const char *key, sennit_str value)
{
    return handler_add(ctx, true, "sennit_set_trailer", key, value);
}

sennit_err sennit_send_header(sennit_ctx *ctx)
{
    struct rpc_handler *h = handler_of(ctx);
    if (!h)
        return handler_missing("sennit_send_header");
    lock_take(&h->lock, LOCK_STREAM);
    bool late = h->over || h->header_sent;
    h->header_sent = true;
    lock_drop(&h->lock, LOCK_STREAM);
    if (late)
        return sennit_errorf(WHY(TOO_LATE), "sennit_send_header: the headers have been sent");
    return h->send_header(h);
}

sennit_err sennit_set_compressor(sennit_ctx *ctx, const char *name)
{
    struct rpc_handler *h = handler_of(ctx);
    if (!h)
        return handler_missing("sennit_set_compressor");
    const sennit_compressor *c = compress_is_identity(name) ? NULL : compress_named(name);
    if (!c && !compress_is_identity(name))
        return sennit_errorf(WHY(COMPRESSOR),
                             "sennit_set_compressor: no compressor \"%s\" is registered", name);
    if (c && !compress_listed(h->s->request.accept_encoding, name))
        c = NULL; /* a peer that does not know it is sent plain messages */
    lock_take(&h->lock, LOCK_STREAM);
    bool late = h->over || h->header_sent;
    if (!late)
        atomic_store(&h->compressor, c);
    lock_drop(&h->lock, LOCK_STREAM);
    return late ? sennit_errorf(WHY(TOO_LATE),
                                "sennit_set_compressor(\"%s\"): the headers have been sent", name)
                : NULL;
}

const char *sennit_client_compressors(sennit_ctx *ctx)
{
    struct rpc_handler *h = handler_of(ctx);
    const char *list = h ? h->s->request.accept_encoding : NULL;
    return list ? list : "";
}

const sennit_md *sennit_md_in(sennit_ctx *ctx)
{
    struct rpc_handler *h = handler_of(ctx);
    return h ? h->s->header : NULL;
}

const sennit_method *sennit_handler_method(sennit_ctx *ctx)
{
    struct rpc_handler *h = handler_of(ctx);
    return h ? h->method : NULL;
}

const sennit_peer *sennit_handler_peer(sennit_ctx *ctx)
{
    struct rpc_handler *h = handler_of(ctx);
    return h ? &transport_auth(h->s->t)->peer : NULL;
}

const char *sennit_handler_authority(sennit_ctx *ctx)
{
    struct rpc_handler *h = handler_of(ctx);
    return !h ? NULL : h->s->request.authority ? h->s->request.authority : "";
}

sennit_err sennit_not_implemented(const sennit_method *m)
{
    const char *name = strrchr(m->path, '/');
    return sennit_errorf(WHY(NOT_WRITTEN), "method %s not implemented", name ? name + 1 : m->path);
}
