/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * decode_flat.c: where each message begins: its fields as long as they are numbers and short
 * strings with tags of one octet. Nothing is called, so that all is in registers; from where it
 * cannot go on decode_bulk.c does, and nothing of that field is done yet. */
#include "pb/decode.h"

static __attribute__((noinline)) enum pb_result flat_large(struct sennit_arena *a,
                                                           const sennit_msg_desc *d, char *buf,
                                                           size_t n, const sennit_wire_options *o,
                                                           void *msg)
{
    memcpy(msg, d->empty, d->size);
    return n > LIMIT_PB_SIZE ? PB_TOO_LARGE : pb_decode_bulk(a, d, buf, n, o, msg);
}

/* A number of two octets; others take a longer look. */
static inline struct decode_varint flat_varint(char *p, const char *end)
{
    if (end - p < 2 || (uint8_t)p[1] >= 0x80)
        return (struct decode_varint){ NULL, 0 };
    return (struct decode_varint){ p + 2, ((uint8_t)p[0] & 0x7f) | (uint64_t)(uint8_t)p[1] << 7 };
}

enum pb_result pb_from_octets(struct sennit_arena *a, const sennit_msg_desc *d, char *buf, size_t n,
                              const sennit_wire_options *o, void *msg)
{
    char *at = buf, *end = buf + n;
    if (unlikely(d->size > PB_FILL_SMALL || d->size < 16 || d->flags >> 16 || n > LIMIT_PB_SIZE))
        return flat_large(a, d, buf, n, o, msg);
    pb_fill_small(d, msg);
    while (at != end) {
        uint32_t tag = (uint8_t)*at, index = (tag >> 3) - 1;
        if (unlikely(index >= d->n_dense))
            break;
        const sennit_field *field = &d->fields[index];
        if (unlikely(tag != pb_tag(field)))
            break;
        char *next = decode_plain(field, msg, at + 1, end, flat_varint);
        if (unlikely(!decode_is_behind(next)))
            break;
        *at = 0; /* a string may end there */
        at = next;
    }
    if (unlikely(at != end))
        return pb_decode_bulk(a, d, at, (size_t)(end - at), o, msg);
    *at = 0;
    return PB_OK;
}
