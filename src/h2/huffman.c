/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * huffman.c: the HPACK Huffman code (RFC 7541 5.2). Decoding looks eight bits up at once; longer
 * codes are found by length, as the code is canonical. */
#include "h2/hpack_private.h"

size_t huffman_encoded_size(const uint8_t *s, size_t n)
{
    size_t bits = 0;
    for (size_t i = 0; i < n; i++)
        bits += huffman_codes[s[i]].len;
    return (bits + 7) / 8;
}

uint8_t *huffman_encode(uint8_t *to, const uint8_t *s, size_t n)
{
    uint64_t bits = 0;
    unsigned have = 0;
    for (size_t i = 0; i < n; i++) {
        struct huffman_code c = huffman_codes[s[i]];
        bits = bits << c.len | c.code;
        have += c.len;
        while (have >= 8) {
            have -= 8;
            *to++ = (uint8_t)(bits >> have);
        }
    }
    if (have)
        *to++ = (uint8_t)(bits << (8 - have) | 0xffu >> have);
    return to;
}

/* The symbol of a code longer than eight bits at the front of `bits` (left-aligned in 32). Its
 * length, or 0: none, which only EOS and its beginnings are. */
static unsigned huffman_long(uint32_t bits, uint8_t *symbol)
{
    for (unsigned len = 9; len <= 30; len++) {
        uint32_t code = bits >> (32 - len);
        const struct huffman_range *r = &huffman_ranges[len];
        if (code < r->limit) { /* and not below the first: those begin with a shorter code */
            *symbol = huffman_sorted[r->offset + (code - r->first)];
            return len;
        }
    }
    return 0;
}

ptrdiff_t huffman_decode(uint8_t *to, size_t cap, const uint8_t *s, size_t n)
{
    uint8_t *start = to;
    uint64_t bits = 0; /* the low `have` bits are unread */
    unsigned have = 0;
    size_t i = 0;
    for (;;) {
        while (have <= 32 && i < n) {
            bits = bits << 8 | s[i++];
            have += 8;
        }
        if (have == 0)
            return to - start;
        /* Past the end the code is continued with ones, as padding is. */
        uint32_t front = have >= 32 ? (uint32_t)(bits >> (have - 32))
                                    : (uint32_t)(bits << (32 - have)) | UINT32_MAX >> have;
        struct huffman_symbol f = huffman_fast[front >> 24];
        uint8_t symbol = f.symbol;
        unsigned len = f.len ? f.len : huffman_long(front, &symbol);
        if (len == 0 || len > have) {
            /* What is left must be padding: at most seven bits, all ones. */
            return i == n && have < 8 && front == UINT32_MAX ? to - start : -1;
        }
        if (to == start + cap)
            return -1;
        *to++ = symbol;
        have -= len;
    }
}
