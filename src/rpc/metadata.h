/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * metadata.h: what sennit_md is inside. A list in order; lives in an arena. Built by one goroutine,
 * or under the lock of its context (sennit_md_out), then only read. */
#ifndef SENNIT_RPC_METADATA_H
#define SENNIT_RPC_METADATA_H

#include "base/arena.h"
#include "sennit.h"

struct md_entry {
    const char *key;  /* lower case, NUL-terminated */
    sennit_str value; /* decoded: "-bin" values are raw octets */
    uint32_t key_len;
    bool binary;
};
struct sennit_md {
    struct sennit_arena *arena;
    struct md_entry *list;
    size_t n, room, size; /* size: header-list octets, RFC 7541 4.1 */
    struct md_entry first[2];
};

struct sennit_md *md_new(struct sennit_arena *a); /* NULL: no memory */
/* A list of the same entries, whose texts stay where they are; NULL: no memory. */
struct sennit_md *md_again(const struct sennit_md *md, struct sennit_arena *a);
/* Trusts key (valid, lower case). False: no memory. */
bool md_append(struct sennit_md *md, const char *key, size_t key_len, const char *value,
               size_t len);
/* From the wire: "-bin" values are split on commas and decoded. False: no memory; a malformed value
 * sets *bad. */
bool md_append_wire(struct sennit_md *md, const char *key, size_t key_len, const char *value,
                    size_t len, bool *bad);

#endif
