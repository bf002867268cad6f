/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * fuzz_pb_text.c: any octets as text format: what can be read can be written and read again. */
#include "fuzz_pb.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
    return fuzz_read(p, n, pb_text_decode, pb_text_encode);
}
