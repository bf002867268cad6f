/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * maps.c: map fields are lists of entries; a key that came twice counts once. */
#include "pb/pb_private.h"

static uint32_t map_key_hash(const sennit_field *key, const char *entry)
{
    uint64_t h = 0;
    if (pb_kind_wire[pb_kind(key)] == PB_LENGTH) {
        sennit_str s;
        memcpy(&s, entry + key->offset, sizeof s);
        h = 2166136261u;
        for (size_t i = 0; i < s.len; i++)
            h = (h ^ (uint8_t)s.data[i]) * 16777619u;
    } else {
        memcpy(&h, entry + key->offset, pb_kind_size[pb_kind(key)]);
    }
    return (uint32_t)((h * UINT64_C(0x9e3779b97f4a7c15)) >> 32);
}

static bool map_key_equal(const sennit_field *key, const char *a, const char *b)
{
    if (pb_kind_wire[pb_kind(key)] != PB_LENGTH)
        return memcmp(a + key->offset, b + key->offset, pb_kind_size[pb_kind(key)]) == 0;
    sennit_str x, y;
    memcpy(&x, a + key->offset, sizeof x);
    memcpy(&y, b + key->offset, sizeof y);
    return x.len == y.len && memcmp(x.data, y.data, x.len) == 0;
}

enum pb_result pb_map_dedupe(struct sennit_arena *a, const sennit_field *f, struct pb_list *l)
{
    const sennit_msg_desc *entry = f->type;
    const sennit_field *key = &entry->fields[0];
    size_t room = 8, kept = 0;
    if (l->len < 2 || key->number != 1)
        return PB_OK;
    while (room < l->len * 2)
        room *= 2;
    uint32_t *slots = arena_zalloc(a, room * sizeof *slots); /* index + 1 */
    if (!slots)
        return PB_NO_MEMORY;
    for (size_t i = 0; i < l->len; i++) {
        char *e = l->data + i * entry->size;
        size_t s = map_key_hash(key, e) & (room - 1);
        while (slots[s] && !map_key_equal(key, l->data + (slots[s] - 1) * (size_t)entry->size, e))
            s = (s + 1) & (room - 1);
        size_t place = slots[s] ? slots[s] - 1 : kept++;
        slots[s] = (uint32_t)place + 1;
        if (place != i)
            memcpy(l->data + place * entry->size, e, entry->size);
    }
    l->len = kept;
    return PB_OK;
}
