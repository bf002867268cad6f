/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * test_hpack_wrap.c: what happens to a decoder after 2^32 blocks, or insertions: its numbers come
 * again. The decoder is part of this file, so that its numbers can be set; it is the only one in
 * this program. */
#include "base/limits.h"
#include "h2/hpack_decoder.c"
#include "harness.h"

static const struct h2_field *wrap_decode(struct hpack_decoder *d, const char *block, size_t len,
                                          int want)
{
    const struct h2_field *f;
    size_t n;
    check_int(hpack_decode(d, (const uint8_t *)block, len, 100, &f, &n), want);
    return f;
}

/* The entry was added by block 1, after its list was over the limit, so that nobody has seen it:
 * had it gone in the same block, nothing would have been kept of it. */
TEST(after_all_numbers_of_blocks_an_old_entry_is_not_taken_for_a_new_one)
{
    static const char over[] = "\x82\x82\x82\x40\x03old\x05value";
    static const char later[] = "\x20\xbe";             /* evicted, and wanted */
    static const char used[] = "\xbe\x40\x01n\x7f\x7f"; /* an index, then what evicts it: below */
    static char block[sizeof used - 1 + 254];
    struct hpack_decoder *d = hpack_decoder_new(300);
    wrap_decode(d, over, sizeof over - 1, HPACK_TOO_LARGE);
    check(d->count == 1 && decoder_entry(d, 0)->unseen == 1);
    d->block = UINT32_MAX; /* the next one is 1 again */
    memset(block, 'v', sizeof block);
    memcpy(block, used, sizeof used - 1);
    const struct h2_field *f = wrap_decode(d, block, sizeof used - 1 + 254, HPACK_TOO_LARGE);
    check_int(d->block, 1);
    check_int(d->count, 1);
    check(f[0].name_len == 3 && memcmp(f[0].name, "old", 3) == 0); /* still there */
    check(f[0].value_len == 5 && memcmp(f[0].value, "value", 5) == 0);
    wrap_decode(d, later, sizeof later - 1, HPACK_COMPRESSION_ERROR);
    hpack_decoder_free(d);
}

TEST(after_all_numbers_of_insertions_none_is_0_and_memos_go_to_their_entry_or_nowhere)
{
    static const char insert[] = "\x40\x01k\x01v";
    struct hpack_decoder *d = hpack_decoder_new(4096);
    struct h2_field seen[3];
    d->inserted = UINT32_MAX - 2;
    for (int i = 0; i < 3; i++)
        seen[i] = *wrap_decode(d, insert, sizeof insert - 1, HPACK_OK);
    check_int(seen[0].entry, UINT32_MAX - 1);
    check_int(seen[1].entry, UINT32_MAX);
    check_int(seen[2].entry, 1);
    for (int i = 0; i < 3; i++)
        hpack_memo(d, &seen[i], (uint16_t)(10 + i));
    /* What was numbered before the jump over 0 is found by no number; that costs speed alone. */
    check_int(decoder_entry(d, 0)->field.memo, 12);
    check_int(decoder_entry(d, 1)->field.memo, 0);
    check_int(decoder_entry(d, 2)->field.memo, 0);
    hpack_decoder_free(d);
}
