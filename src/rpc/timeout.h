/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * timeout.h: the grpc-timeout header (PROTOCOL-HTTP2: 1-8 digits and a unit). Pure functions. */
#ifndef SENNIT_RPC_TIMEOUT_H
#define SENNIT_RPC_TIMEOUT_H

#include "base/base.h"
#include "sennit.h"

#define TIMEOUT_TEXT 10 /* 8 digits, unit, NUL */
/* The shortest unit that holds it, rounded up; a past deadline is sent as 1n. Returns the length.
 */
size_t timeout_format(sennit_duration left, char text[TIMEOUT_TEXT]);
/* False: malformed. Hours that do not fit are clamped to INT64_MAX. */
bool timeout_parse(const char *s, size_t n, sennit_duration *out);

#endif
