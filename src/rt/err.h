/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * err.h: making errors. An error belongs to the goroutine or thread that received it: a ring of the
 * last 64 hangs on its rt_g, made when the first error comes. Public: sennit_errorf and friends. */
#ifndef SENNIT_RT_ERR_H
#define SENNIT_RT_ERR_H

#include "rt/why.h"
#include "sennit.h"

/* Makes an error for the calling goroutine or thread out of text that may be anything (copied).
 * code: also a WHY(). */
sennit_err err_make(sennit_code code, const char *message, size_t len);
sennit_err err_vmake(sennit_code code, const char *fmt, va_list ap);
const char *err_code_name(sennit_code code); /* "Unavailable", as grpc-go prints it; "Code(n)" */

extern const struct sennit_error err_ctx_cancelled, err_ctx_expired; /* what an ended ctx says */
/* A copy to be freed with err_drop; the static errors are their own copies. */
sennit_err err_hold(sennit_err err);
void err_drop(sennit_err held);
/* err, or a copy of it that is the caller's own (law 1). */
sennit_err err_own(sennit_err err);

#endif
