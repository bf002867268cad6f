/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * fuzz.h: what the targets share. */
#ifndef SENNIT_FUZZ_FUZZ_H
#define SENNIT_FUZZ_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

/* Ends the process: a finding. */
#define demand(e)                                                                                  \
    ((e) ? (void)0 : (fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #e), abort()))

#endif
