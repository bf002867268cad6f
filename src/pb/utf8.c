/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * utf8.c: UTF-8 as RFC 3629 has it (no surrogates, no overlong forms), eight ASCII octets a step;
 * and the small tables of pb. */
#include "pb/pb_private.h"

const uint8_t pb_kind_wire[19] = {
    0,          PB_FIXED64, PB_FIXED32, PB_VARINT,      PB_VARINT, PB_VARINT, PB_FIXED64,
    PB_FIXED32, PB_VARINT,  PB_LENGTH,  PB_START_GROUP, PB_LENGTH, PB_LENGTH, PB_VARINT,
    PB_VARINT,  PB_FIXED32, PB_FIXED64, PB_VARINT,      PB_VARINT,
};
const uint8_t pb_kind_size[19] = {
    0, 8, 4, 8, 8, 4, 8, 4, 1, sizeof(sennit_str), 0, 0, sizeof(sennit_str), 4, 4, 4, 8, 4, 8,
};

/* Octets of the sequence that starts at s, or 0: not valid. */
static size_t utf8_step(const uint8_t *s, size_t left)
{
    uint8_t c = s[0];
    if (c < 0x80)
        return 1;
    if (c < 0xc2)
        return 0;
    if (c < 0xe0)
        return left >= 2 && (s[1] & 0xc0) == 0x80 ? 2 : 0;
    if (left < 3 || (s[1] & 0xc0) != 0x80 || (s[2] & 0xc0) != 0x80)
        return 0;
    if (c < 0xf0)
        return (c == 0xe0 && s[1] < 0xa0) || (c == 0xed && s[1] >= 0xa0) ? 0 : 3;
    if (c > 0xf4 || left < 4 || (s[3] & 0xc0) != 0x80)
        return 0;
    return (c == 0xf0 && s[1] < 0x90) || (c == 0xf4 && s[1] >= 0x90) ? 0 : 4;
}

/* Whether all octets are ASCII: sixteen a step, the last ones once more with those before them. */
static inline bool utf8_is_ascii(const char *s, size_t n)
{
    if (n <= PB_SHORT)
        return !pb_short_high(s, n);
    pb_pair all = pb_pair_at(s + n - 16);
    for (size_t i = 0; i + 16 < n; i += 16)
        all |= pb_pair_at(s + i);
    return !pb_high(all);
}

bool pb_utf8_valid(const char *text, size_t n)
{
    const uint8_t *s = (const uint8_t *)text;
    size_t i = 0;
    if (likely(utf8_is_ascii(text, n)))
        return true;
    while (i < n) {
        size_t block = min_size(n - i, 64);
        if (utf8_is_ascii(text + i, block)) {
            i += block;
            continue;
        }
        for (size_t stop = i + block; i < stop;) {
            size_t step = utf8_step(s + i, n - i);
            if (step == 0)
                return false;
            i += step;
        }
    }
    return true;
}

const char *pb_result_text(enum pb_result r)
{
    static const char *const texts[] = {
        "fine",
        "the octets end inside a field",
        "a field has an invalid tag",
        "a number has more than ten octets",
        "a string is not valid UTF-8",
        "messages are nested deeper than the limit",
        "the message is over 2 GiB",
        "no memory",
        "a required field is missing",
        "the text is malformed",
        "its codec refused it",
    };
    return (size_t)r < countof(texts) ? texts[r] : "unknown error";
}

bool pb_present(const void *msg, const sennit_field *field, bool map)
{
    const char *value = (const char *)msg + field->offset;
    if (field->flags & SENNIT_FIELD_ONEOF)
        return pb_oneof_is(msg, field);
    if (field->flags & SENNIT_FIELD_REPEATED) {
        struct pb_list l;
        memcpy(&l, value, sizeof l);
        return l.data && l.len;
    }
    if (pb_is_message(field)) {
        const void *p;
        memcpy(&p, value, sizeof p);
        bool own = p != ((const sennit_msg_desc *)field->type)->empty;
        bool has = (field->flags & SENNIT_FIELD_HAS) && pb_has(msg, field->presence);
        return map || (p && (own || has));
    }
    if (map)
        return true;
    if (field->flags & SENNIT_FIELD_HAS)
        return pb_has(msg, field->presence);
    if (pb_kind_wire[pb_kind(field)] == PB_LENGTH) {
        sennit_str s;
        memcpy(&s, value, sizeof s);
        return s.data && s.len;
    }
    uint64_t v = 0;
    memcpy(&v, value, pb_kind_size[pb_kind(field)]);
    return v != 0;
}

const sennit_enum_value *pb_enum_value(const sennit_enum_desc *d, int32_t number)
{
    uint32_t low = 0, high = d->n_values;
    while (low < high) {
        uint32_t mid = low + (high - low) / 2;
        if (d->values[mid].number < number)
            low = mid + 1;
        else
            high = mid;
    }
    return low < d->n_values && d->values[low].number == number ? &d->values[low] : NULL;
}

void *pb_grow_frames(struct sennit_arena *a, const void *frames, size_t frame_size, size_t n,
                     size_t *room)
{
    size_t more = *room * 2;
    void *bigger = arena_alloc(a, more * frame_size);
    if (bigger) {
        memcpy(bigger, frames, n * frame_size);
        *room = more;
    }
    return bigger;
}
