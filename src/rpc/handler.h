/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * handler.h: what a handler's context knows of its RPC. Hangs on CTX_SLOT_RPC of the context that
 * the server hands to the handler; the public calls that work "in a handler" look here. */
#ifndef SENNIT_RPC_HANDLER_H
#define SENNIT_RPC_HANDLER_H

#include "base/lock.h"
#include "rpc/metadata.h"
#include "rpc/transport.h"
#include "sennit.h"
#include <stdatomic.h>

struct rpc_handler {
    const sennit_method *method;
    const struct rpc_stream *s; /* what it was asked with */
    _Atomic(const sennit_compressor *) compressor;
    struct lock lock; /* guards what follows */
    sennit_md *header, *trailer;
    bool header_sent, over;
    sennit_err (*send_header)(struct rpc_handler *h); /* sends `header` now */
};
/* Of ctx or a parent; NULL: not in a handler. */
struct rpc_handler *handler_of(sennit_ctx *ctx);

#endif
