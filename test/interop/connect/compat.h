/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * compat.h: what the client and the server under Connect's conformance suite share: messages on
 * standard input and output (a length of four octets, big-endian, then the message), and headers
 * and errors between the suite's messages and the library. The suite writes the values of "-bin"
 * headers in base64. All results live as long as ctx. */
#ifndef COMPAT_H
#define COMPAT_H

#include "connectrpc/conformance/v1/client_compat.sennit.h"
#include "connectrpc/conformance/v1/server_compat.sennit.h"

struct compat_headers {
    const cf_Header *data;
    size_t len;
};

/* False: the end of the input. */
bool compat_read(sennit_ctx *ctx, sennit_str *octets);
void compat_write(sennit_str octets);
/* Hands each value of the headers to add: sennit_set_header, for example. */
sennit_err compat_add(sennit_ctx *ctx, const cf_Header *headers, size_t n,
                      sennit_err (*add)(void *to, const char *key, sennit_str value), void *to);
struct compat_headers compat_headers(sennit_ctx *ctx, const sennit_md *md);
const cf_Error *compat_error(sennit_ctx *ctx, sennit_err err);
/* NULL e is NULL. */
sennit_err compat_status(const cf_Error *e);
/* A copy of message in an Any. */
google_protobuf_Any compat_any(sennit_ctx *ctx, const sennit_msg_desc *d, const void *message);
/* For options, where octets that are not there are NULL. */
static inline sennit_str compat_given(sennit_str octets)
{
    return octets.len ? octets : (sennit_str){ NULL, 0 };
}
/* Never NULL: without memory the program ends. */
void *compat_alloc(sennit_ctx *ctx, size_t n);

#endif
