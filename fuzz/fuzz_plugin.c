/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * fuzz_plugin.c: any octets as a CodeGeneratorRequest: the plugin answers, with files or an error.
 */
#include "gen.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
    struct sennit_arena a;
    sennit_str out;
    char *in = malloc(n + 1);
    if (!in)
        return 0;
    if (n)
        memcpy(in, p, n);
    arena_init(&a, NULL, 0);
    a.cap = 256u << 20;
    if (gen_answer(&a, in, n, &out) != PB_OK)
        abort();
    arena_fini(&a);
    free(in);
    return 0;
}
