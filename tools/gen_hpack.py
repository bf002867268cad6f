#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0 OR MIT
"""Writes src/h2/hpack_table.c: the static table (RFC 7541 appendix A) and the tables of the Huffman
code (appendix B), which is canonical and so follows from its code lengths."""

LENGTHS = """
13 23 28 28 28 28 28 28 28 24 30 28 28 30 28 28 28 28 28 28 28 28 30 28 28 28 28 28 28 28 28 28
6 10 10 12 13 6 8 11 10 10 8 11 8 6 6 6 5 5 5 6 6 6 6 6 6 6 7 8 15 6 12 10
13 6 7 7 7 7 7 7 7 7 7 7 7 7 7 7 7 7 7 7 7 7 7 7 8 7 8 13 19 13 14 6
15 5 6 5 6 5 6 6 6 5 7 7 6 6 6 5 6 7 6 5 5 6 7 7 7 7 7 15 11 14 13 28
20 22 20 20 22 22 22 23 22 23 23 23 23 23 24 23 24 24 22 23 24 23 23 23 23 21 22 23 22 23 23 24
22 21 20 22 22 23 23 21 23 22 22 24 21 22 23 23 21 21 22 21 23 22 23 23 20 22 22 22 23 22 22 23
26 26 20 19 22 23 22 25 26 26 26 27 27 26 24 25 19 21 26 27 27 26 27 24 21 21 26 26 28 27 27 27
20 24 20 21 22 21 21 23 22 22 25 25 24 24 26 23 26 27 26 26 27 27 27 27 27 28 27 27 27 27 27 26
"""
STATIC = """:authority|;:method|GET;:method|POST;:path|/;:path|/index.html;:scheme|http
:scheme|https
:status|200;:status|204;:status|206;:status|304;:status|400;:status|404;:status|500
accept-charset|;accept-encoding|gzip, deflate;accept-language|;accept-ranges|;accept|
access-control-allow-origin|;age|;allow|;authorization|;cache-control|;content-disposition|
content-encoding|;content-language|;content-length|;content-location|;content-range|;content-type|
cookie|;date|;etag|;expect|;expires|;from|;host|;if-match|;if-modified-since|;if-none-match|
if-range|;if-unmodified-since|;last-modified|;link|;location|;max-forwards|;proxy-authenticate|
proxy-authorization|;range|;referer|;refresh|;retry-after|;server|;set-cookie|
strict-transport-security|;transfer-encoding|;user-agent|;vary|;via|;www-authenticate|"""
TOKENS = {":authority": "AUTHORITY", ":method": "METHOD", ":path": "PATH", ":scheme": "SCHEME",
          ":status": "STATUS", "content-type": "CONTENT_TYPE", "content-length": "CONTENT_LENGTH",
          "user-agent": "USER_AGENT", "host": "HOST", "transfer-encoding": "CONNECTION",
          "cookie": "COOKIE"}
FAST = 8  # bits looked up at once


def rows(values, per, form):
    out = []
    for i in range(0, len(values), per):
        out.append("    " + " ".join(form(v) + "," for v in values[i:i + per]))
    return "\n".join(out)


def main():
    lengths = [int(x) for x in LENGTHS.split()]
    assert len(lengths) == 256
    order = sorted(range(256), key=lambda i: (lengths[i], i))
    codes, code, previous = [0] * 256, 0, lengths[order[0]]
    for i in order:
        code <<= lengths[i] - previous
        previous = lengths[i]
        codes[i] = code
        code += 1
    first, limit, offset = [0] * 31, [0] * 31, [0] * 31
    for n in range(5, 31):
        of_n = [i for i in order if lengths[i] == n]
        if of_n:
            first[n] = codes[of_n[0]]
            limit[n] = codes[of_n[-1]] + 1
            offset[n] = order.index(of_n[0])
    fast = [(0, 0)] * (1 << FAST)
    for i in range(256):
        if lengths[i] <= FAST:
            low = codes[i] << (FAST - lengths[i])
            for k in range(low, low + (1 << (FAST - lengths[i]))):
                fast[k] = (i, lengths[i])
    table = [e.split("|") for line in STATIC.split("\n") for e in line.split(";")]
    assert len(table) == 61
    by_len = sorted(range(61), key=lambda i: (len(table[i][0]), i))
    starts = [0] * 34
    for i in range(34):
        starts[i] = sum(1 for k in by_len if len(table[k][0]) < i)
    w = print
    w("/* SPDX-License-Identifier: Apache-2.0 OR MIT\n *")
    w(" * hpack_table.c: written by tools/gen_hpack.py; do not edit. Static table and Huffman")
    w(" * code of RFC 7541, appendices A and B. */")
    w('#include "h2/hpack_private.h"\n')
    w("#define FIELD(n, v, t) { n, v, sizeof n - 1, sizeof v - 1, H2_TOK_##t, 0, 0, 0 }")
    w("const struct h2_field hpack_static[62] = {\n    { 0 },")
    for name, value in table:
        w('    FIELD("%s", "%s", %s),' % (name, value, TOKENS.get(name, "OTHER")))
    w("};\n/* Static indexes in the order of their names' lengths; of length n from [n]. */")
    w("const uint8_t hpack_static_by_len[61] = {\n%s\n};" % rows([i + 1 for i in by_len], 20, str))
    w("const uint8_t hpack_static_starts[34] = {\n%s\n};" % rows(starts, 20, str))
    w("const struct huffman_code huffman_codes[256] = {\n%s\n};"
      % rows(list(zip(codes, lengths)), 5, lambda c: "{ 0x%x, %d }" % c))
    w("const struct huffman_symbol huffman_fast[256] = {\n%s\n};"
      % rows(fast, 8, lambda c: "{ %d, %d }" % c))
    w("const uint8_t huffman_sorted[256] = {\n%s\n};" % rows(order, 16, str))
    w("const struct huffman_range huffman_ranges[31] = {\n%s\n};"
      % rows(list(zip(first, limit, offset)), 3, lambda c: "{ 0x%x, 0x%x, %d }" % c))


main()
