/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * base64.h: RFC 4648 section 4, for "-bin" metadata and JSON. Pure functions. */
#ifndef SENNIT_BASE_BASE64_H
#define SENNIT_BASE_BASE64_H

#include "base/base.h"

#define BASE64_ENCODED(n) (((n)*4 + 2) / 3)                /* unpadded */
char *base64_encode(char *to, const void *from, size_t n); /* unpadded; returns the end */
/* Padded or unpadded; octets written (at most n / 4 * 3 + 2), or -1: malformed. */
ptrdiff_t base64_decode(char *to, const char *s, size_t n);
/* The same, with the alphabet of section 5 (URLs), too. */
ptrdiff_t base64_decode_any(char *to, const char *s, size_t n);

#endif
