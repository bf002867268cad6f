/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * status.h: status codes on the wire: grpc-status, grpc-message, and what HTTP statuses and RST
 * codes mean when there is no grpc-status. Pure functions. */
#ifndef SENNIT_RPC_STATUS_H
#define SENNIT_RPC_STATUS_H

#include "base/arena.h"
#include "sennit.h"

/* Decimal, no leading zeros; false: malformed (UNKNOWN then). Codes above 16 become UNKNOWN. */
bool status_parse(const char *s, size_t n, sennit_code *code);
/* Codes that only a server's user may give: the library and its plug-ins never do (gRFC A54). */
bool status_is_callers(sennit_code code);
sennit_code status_from_http(unsigned http);
/* own_deadline: ours has passed, so CANCEL means DEADLINE_EXCEEDED. */
sennit_code status_from_rst(uint32_t h2_code, bool own_deadline);
/* Percent-encoding of grpc-message: '%', below 0x20 and above 0x7e. Octets it needs / writes. */
size_t status_message_encoded(const char *s, size_t n);
char *status_message_encode(char *to, const char *s, size_t n);
/* Decodes in a; bad escapes are kept as they are. "" without memory. */
sennit_str status_message_decode(struct sennit_arena *a, const char *s, size_t n);

#endif
