/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * codec.h: messages to framed octets and back, with errors as an RPC reports them. What each small
 * message passes is inline; messages of other kinds, and errors, are in codec.c, which is compiled
 * for size. */
#ifndef SENNIT_RPC_CODEC_H
#define SENNIT_RPC_CODEC_H

#include "base/arena.h"
#include "pb/pb.h"
#include "sennit.h"

#define CODEC_PREFIX 5 /* compressed-flag and length */

extern const sennit_wire_options codec_plain;
extern const struct pb_encode_how codec_bare, codec_prefixed; /* plain, too */
/* r PB_OK: len is more than max. */
sennit_err codec_encode_failed(enum pb_result r, const sennit_msg_desc *d, size_t len, size_t max)
    __attribute__((cold));
sennit_err codec_decode_failed(enum pb_result r, const sennit_msg_desc *d, size_t len,
                               const char *what) __attribute__((cold));

/* Raw ones, and those of other runtimes. */
sennit_str codec_to_other(const sennit_msg_desc *d, const void *msg, struct sennit_arena *a,
                          size_t headroom);
enum pb_result codec_from_other(const sennit_msg_desc *d, void *msg, char *body, size_t len,
                                struct sennit_arena *a);

#define CODEC_INLINE __attribute__((always_inline)) static inline

/* Messages of any kind, both ways; encoded as pb_encode. */
CODEC_INLINE sennit_str codec_to(const sennit_msg_desc *d, const void *msg, struct sennit_arena *a,
                                 const struct pb_encode_how *how)
{
    return likely(!(d->flags & (SENNIT_MSG_RAW | SENNIT_MSG_CODEC)))
               ? pb_to_octets(a, d, msg, how)
               : codec_to_other(d, msg, a, how->headroom);
}
CODEC_INLINE enum pb_result codec_from(const sennit_msg_desc *d, void *msg, char *body, size_t len,
                                       struct sennit_arena *a, const sennit_wire_options *o)
{
    return likely(!(d->flags & (SENNIT_MSG_RAW | SENNIT_MSG_CODEC)))
               ? pb_from_octets(a, d, body, len, o, msg)
               : codec_from_other(d, msg, body, len, a);
}

/* The message with its prefix in front, in a. max: of the message itself; 0: no limit. */
static inline sennit_err codec_encode(const sennit_msg_desc *d, const void *msg,
                                      struct sennit_arena *a, size_t max, sennit_str *framed)
{
    sennit_str body = codec_to(d, msg, a, &codec_prefixed);
    if (unlikely(!body.data || (max && body.len > max)))
        return codec_encode_failed(body.data ? PB_OK : (enum pb_result)body.len, d, body.len, max);
    uint8_t *prefix = (uint8_t *)(uintptr_t)body.data - CODEC_PREFIX;
    prefix[0] = 0;
    store_be32(prefix + 1, (uint32_t)body.len);
    *framed = (sennit_str){ (const char *)prefix, body.len + CODEC_PREFIX };
    return NULL;
}

/* body as pb_decode_msg wants it (private, body[len] spare). what: "request" or "response", for the
 * error, which is INTERNAL as grpc-go's is. */
static inline sennit_err codec_decode(const sennit_msg_desc *d, void *msg, char *body, size_t len,
                                      struct sennit_arena *a, const char *what)
{
    enum pb_result r = codec_from(d, msg, body, len, a, &codec_plain);
    return likely(r == PB_OK) ? NULL : codec_decode_failed(r, d, len, what);
}

#endif
