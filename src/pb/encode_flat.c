/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * encode_flat.c: where each message begins: its fields from the last to the first, as long as they
 * are numbers and short strings and the arena's block has room for whatever such may take. Nothing
 * is called, so that all is in registers; from where it cannot go on encode_bulk.c does. */
#include "pb/encode.h"

#define FLAT_FIELD (PB_SHORT + 16u) /* octets that a field takes at most, and then some */
_Static_assert(FLAT_FIELD > ENCODE_FIELD, "where one field is left the bulk has the room it wants");

sennit_str pb_to_octets(struct sennit_arena *a, const sennit_msg_desc *d, const void *msg,
                        const struct pb_encode_how *how)
{
    const sennit_str *unknown = (const sennit_str *)((const char *)msg + d->unknown);
    const sennit_field *field = encode_last(d);
    size_t most = how->headroom + ENCODE_FIELD + d->n_fields * (size_t)FLAT_FIELD;
    if (unlikely(a->shared || (size_t)(a->end - a->at) < most || unknown->len))
        return pb_encode_bulk(a, d, msg, how, NULL, d->n_fields);
    char *at = a->end - 1;
    *at = 0;
    for (; field != d->fields; field--) {
        char *front = encode_plain(at, msg, field - 1, 0);
        if (unlikely(!encode_is_front(front)))
            return pb_encode_bulk(a, d, msg, how, at, (size_t)(field - d->fields));
        at = front;
    }
    sennit_str out = { at, (size_t)(a->end - 1 - at) };
    encode_take_tail(a, at, how->headroom);
    return out;
}
