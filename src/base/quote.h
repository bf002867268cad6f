/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * quote.h: a peer's octets in an error's text. */
#ifndef SENNIT_BASE_QUOTE_H
#define SENNIT_BASE_QUOTE_H

#include "base/base.h"

/* The first line of s that has any, fit to stand between quotes: other octets than printable ASCII
 * as \xNN, and "..." where it was cut to room. to has size octets (at least 8); ends in NUL. */
const char *quote_line(char *to, size_t size, const void *s, size_t n);

#endif
