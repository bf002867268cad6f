/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * codec.h: messages to framed octets and back, with errors as an RPC reports them. */
#ifndef SENNIT_RPC_CODEC_H
#define SENNIT_RPC_CODEC_H

#include "base/arena.h"
#include "sennit.h"

#define CODEC_PREFIX 5 /* compressed-flag and length */

/* The message with its prefix in front, in a. max: of the message itself; 0: no limit. */
sennit_err codec_encode(const sennit_msg_desc *d, const void *msg, struct sennit_arena *a,
                        size_t max, sennit_str *framed);
/* body as pb_decode_msg wants it (private, body[len] spare). what: "request" or "response", for the
 * error, which is INTERNAL as grpc-go's is. */
sennit_err codec_decode(const sennit_msg_desc *d, void *msg, char *body, size_t len,
                        struct sennit_arena *a, const char *what);

#endif
