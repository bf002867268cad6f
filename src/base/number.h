/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * number.h: decimals, whatever the locale says about the decimal point. */
#ifndef SENNIT_BASE_NUMBER_H
#define SENNIT_BASE_NUMBER_H

#include "base/base.h"

#define NUMBER_MAX 32 /* octets that printing needs, with NUL */

/* The shortest decimal that reads back the same; v is finite. Octets written, without the NUL. */
size_t number_print(char *to, double v, bool is_float);
/* [-]digits[.digits][e[+-]digits], as a whole; false: it is not, or has over 1,000 octets. Too
 * large ones are infinite. */
bool number_parse(const char *s, size_t n, double *v);
/* The same, for whole numbers: also "1.5e1". false: not whole, or out of range. */
bool number_parse_int(const char *s, size_t n, int64_t *v);
bool number_parse_uint(const char *s, size_t n, uint64_t *v);

#endif
