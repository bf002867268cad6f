/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * compress.h: message compression by the name in grpc-encoding. */
#ifndef SENNIT_RPC_COMPRESS_H
#define SENNIT_RPC_COMPRESS_H

#include "base/arena.h"
#include "sennit.h"
#include <stdatomic.h>

/* NULL: no such one is registered. "identity" is none. */
const sennit_compressor *compress_find(const char *name, size_t len);
static inline const sennit_compressor *compress_named(const char *name)
{
    return compress_find(name, strlen(name));
}
bool compress_is_identity(const char *name); /* NULL and "", too */
/* The value of grpc-accept-encoding: "identity,deflate,gzip"; static. */
extern _Atomic(const char *) compress_accepts; /* NULL: not made yet */
const char *compress_accept_first(void);
static inline const char *compress_accept(void)
{
    const char *text = atomic_load_explicit(&compress_accepts, memory_order_acquire);
    return likely(text != NULL) ? text : compress_accept_first();
}
/* Is name in such a list (NULL: an empty one)? */
bool compress_listed(const char *list, const char *name);
/* A framed message becomes a compressed one in a; empty messages stay as they are. */
sennit_err compress_framed(const sennit_compressor *c, struct sennit_arena *a, sennit_str *framed);
/* The body of a compressed message, in a, with a spare octet behind it; most: its limit. c NULL:
 * encoding (may be NULL) is not known. what: "request" or "response", for the error. */
sennit_err compress_open(const sennit_compressor *c, const char *encoding, struct sennit_arena *a,
                         size_t most, char **body, size_t *len, const char *what);

/* compress_zlib.c */
extern const sennit_compressor compress_gzip, compress_deflate;

#endif
