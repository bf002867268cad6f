/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * fuzz_pb_decode.c: any octets as a message. What is decoded is encoded, decoded and encoded again:
 * the same octets; a copy gives them, too; and JSON and text can be read back. */
#include "fuzz_pb.h"

static sennit_str encoded(struct sennit_arena *a, const sennit_msg_desc *d, const void *msg)
{
    static const sennit_wire_options partial = { .partial = true };
    sennit_str out = { NULL, 0 };
    enum pb_result r = pb_encode_with(d, msg, a, 0, &partial, &out);
    demand(r == PB_OK || r == PB_NO_MEMORY);
    return r == PB_OK ? out : (sennit_str){ NULL, 0 };
}

static void again(struct sennit_arena *a, const sennit_msg_desc *d, const void *msg)
{
    static const sennit_wire_options partial = { .partial = true };
    sennit_str first = encoded(a, d, msg), second;
    char *copy = first.data ? arena_alloc(a, first.len + 1) : NULL;
    void *back = arena_alloc(a, d->size), *clone = pb_copy(a, d, msg);
    if (!copy || !back || !clone)
        return;
    memcpy(copy, first.data, first.len);
    second = encoded(a, d, clone);
    demand(!second.data ||
           (second.len == first.len && !memcmp(first.data, second.data, first.len)));
    enum pb_result r = pb_decode_with(d, back, copy, first.len, a, &partial);
    demand(r == PB_OK || r == PB_NO_MEMORY);
    second = r == PB_OK ? encoded(a, d, back) : (sennit_str){ NULL, 0 };
    demand(!second.data ||
           (second.len == first.len && !memcmp(first.data, second.data, first.len)));
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
    static const sennit_wire_options partial = { .partial = true };
    struct sennit_arena a;
    if (!n)
        return 0;
    const sennit_msg_desc *d = fuzz_types[p[0] % countof(fuzz_types)];
    fuzz_begin(&a);
    void *msg = arena_alloc(&a, d->size);
    char *octets = malloc(n); /* of its own, so that a sanitizer sees what is read beyond */
    demand(octets && msg);
    memcpy(octets, p + 1, n - 1);
    if (pb_decode_with(d, msg, octets, n - 1, &a, &partial) == PB_OK) {
        again(&a, d, msg);
        fuzz_text(&a, d, msg, pb_json_decode, pb_json_encode);
        fuzz_text(&a, d, msg, pb_text_decode, pb_text_encode);
    }
    arena_fini(&a);
    free(octets);
    return 0;
}
