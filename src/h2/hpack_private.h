/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * hpack_private.h: the tables that tools/gen_hpack.py writes, and what decoder and encoder share.
 */
#ifndef SENNIT_H2_HPACK_PRIVATE_H
#define SENNIT_H2_HPACK_PRIVATE_H

#include "h2/hpack.h"

#define HPACK_STATIC     61u /* entries of the static table */
#define HPACK_ENTRY_COST 32u /* octets beside name and value, RFC 7541 4.1 */

struct huffman_code {
    uint32_t code;
    uint8_t len;
};
struct huffman_symbol {
    uint8_t symbol, len; /* len 0: the code is longer than eight bits */
};
/* Codes of one length are the numbers [first, limit); their symbols start at sorted[offset]. */
struct huffman_range {
    uint32_t first, limit;
    uint16_t offset;
};
extern const struct h2_field hpack_static[62]; /* [1 .. 61] */
extern const uint8_t hpack_static_by_len[61], hpack_static_starts[34];
extern const struct huffman_code huffman_codes[256];
extern const struct huffman_symbol huffman_fast[256];
extern const uint8_t huffman_sorted[256];
extern const struct huffman_range huffman_ranges[31];

/* Token and H2_FIELD_BAD | H2_FIELD_BIN of a name; H2_FIELD_BAD of a value (RFC 9113 8.2.1). */
uint8_t hpack_name_token(const char *name, size_t n);
uint8_t hpack_name_flags(const char *name, size_t n);
uint8_t hpack_value_flags(const char *value, size_t n);

/* RFC 7541 5.1, with a prefix of so many bits. Decode: the octet after it; NULL: cut short, over
 * 2^31-1, or longer than that needs. */
const uint8_t *hpack_int_decode(const uint8_t *p, const uint8_t *end, unsigned bits, uint32_t *out);
uint8_t *hpack_int_encode(uint8_t *p, uint8_t flags, unsigned bits, size_t value);

#endif
