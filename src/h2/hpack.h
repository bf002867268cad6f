/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * hpack.h: RFC 7541, both directions. Single-threaded, no sockets, no threads; allocates through
 * sys. */
#ifndef SENNIT_H2_HPACK_H
#define SENNIT_H2_HPACK_H

#include "base/base.h"

/* Names that the layers above switch on, so that nobody compares strings twice. The decoder sets it
 * once per table entry (static, dynamic) or literal. */
enum h2_token {
    H2_TOK_OTHER,
    H2_TOK_AUTHORITY,
    H2_TOK_METHOD,
    H2_TOK_PATH,
    H2_TOK_SCHEME,
    H2_TOK_STATUS,
    H2_TOK_PROTOCOL,
    H2_TOK_UNKNOWN_PSEUDO, /* ":x" */
    H2_TOK_CONTENT_TYPE,
    H2_TOK_CONTENT_LENGTH,
    H2_TOK_TE,
    H2_TOK_USER_AGENT,
    H2_TOK_HOST,
    H2_TOK_CONNECTION, /* and proxy-connection, keep-alive, transfer-encoding, upgrade */
    H2_TOK_GRPC_TIMEOUT,
    H2_TOK_GRPC_STATUS,
    H2_TOK_GRPC_MESSAGE,
    H2_TOK_GRPC_STATUS_DETAILS,
    H2_TOK_GRPC_ENCODING,
    H2_TOK_GRPC_ACCEPT_ENCODING,
    H2_TOK_GRPC_OTHER, /* reserved "grpc-*" */
    H2_TOK_COOKIE
};
enum h2_field_flags {
    H2_FIELD_BAD = 1,  /* name or value breaks RFC 9113 8.2.1 (upper case, control characters...) */
    H2_FIELD_BIN = 2,  /* name ends in "-bin" */
    H2_FIELD_NEVER = 4 /* came as never-indexed */
};
struct h2_field {
    const char *name, *value; /* NUL-terminated as a courtesy, may hold NULs */
    uint32_t name_len, value_len;
    uint8_t token, flags;
    uint16_t memo; /* of the layer above: set through *memo_of, kept with the dynamic-table entry */
    uint32_t entry; /* dynamic-table insertion number for the memo, 0: none */
};

/* -- decoder --------------------------------------------------------------------------------- */
struct hpack_decoder;
enum hpack_result {
    HPACK_OK = 0,
    HPACK_COMPRESSION_ERROR = -1, /* connection error COMPRESSION_ERROR */
    HPACK_NO_MEMORY = -2,
    HPACK_BOMB = -3, /* the list is so far over the limit that decoding on is the attack itself */
    HPACK_TOO_LARGE =
        1 /* list over the limit: the table is right, fields after the limit are dropped */
};
struct hpack_decoder *hpack_decoder_new(uint32_t max_table_size); /* what our SETTINGS said */
void hpack_decoder_free(struct hpack_decoder *d);
/* What one block is decoded with. {0} is a fresh one; it keeps its room for the next block,
 * whosever that is. */
struct hpack_scratch {
    struct h2_field *fields;
    size_t n_fields, room_fields;
    uint8_t *octets; /* Huffman strings */
    size_t cap, used;
    size_t list_size, max_list; /* of the current block */
    uint64_t held;              /* the run (its id) that fields begin with; 0: none */
    bool over;
};
void hpack_scratch_fini(struct hpack_scratch *s);
/* Lends d a scratch, or takes it away with NULL, and all fields with it. A decoder that has none
 * when it decodes makes its own, and must not be lent one any more. */
void hpack_decoder_lend(struct hpack_decoder *d, struct hpack_scratch *s);
void hpack_decoder_rest(struct hpack_decoder *d); /* frees what is only good for speed */
/* One whole header block. Fields stay valid until the next call. max_list: sum of name + value + 32
 * allowed; max_fields: named cap. *fields, *n: what was decoded. */
int hpack_decode(struct hpack_decoder *d, const uint8_t *block, size_t len, size_t max_list,
                 const struct h2_field **fields, size_t *n);
/* What a block began with, if it is known already: fields that are an index each and mean what they
 * meant the last time. Who judges fields may keep the judgement, there or under slot and id. */
#define HPACK_RUNS       4u
#define HPACK_RUN_OCTETS 16u
struct hpack_run {
    uint64_t id; /* never used twice by a decoder */
    uint32_t n;  /* of the block's first fields */
    uint8_t slot;
    uint8_t noted;    /* not 0: note was written, for this id */
    uint64_t note[3]; /* of the layer above, and what noted is then */
};
struct hpack_run *hpack_decoded_run(const struct hpack_decoder *d); /* of the last block; or NULL */
const uint8_t *hpack_run_octets(const struct hpack_run *r);         /* n: an index each */
/* Changes with the table, and is never 0: until then such octets mean what they meant. */
uint64_t hpack_decoder_epoch(const struct hpack_decoder *d);
/* Remembers memo with the dynamic-table entry f came from (no-op for literals without indexing). */
void hpack_memo(struct hpack_decoder *d, const struct h2_field *f, uint16_t memo);

/* -- encoder --------------------------------------------------------------------------------- */
struct hpack_encoder;
enum hpack_index {
    HPACK_INDEX, /* constants: index on first use, then one octet */
    HPACK_PLAIN, /* literal without indexing; static-table name where there is one */
    HPACK_NEVER  /* literal never indexed: credentials */
};
struct hpack_encoder *hpack_encoder_new(void); /* table size 4096 until told otherwise */
void hpack_encoder_free(struct hpack_encoder *e);
/* Peer's SETTINGS_HEADER_TABLE_SIZE; used up to LIMIT_HPACK_ENCODER_TABLE; emits size updates at
 * the start of the next block (least then last). */
void hpack_encoder_resize(struct hpack_encoder *e, uint32_t peer_max);
/* Octets that hpack_encode may write at most for this field, size updates included. */
static inline size_t hpack_encode_bound(size_t name_len, size_t value_len)
{
    return name_len + value_len + 3 * 6 + 2 * 6; /* three integers, two size updates */
}
/* Octets of the larger rings that the last blocks could have used; 0: none. The owner may hand a
 * block of that size to hpack_encoder_grow, which returns the one to be freed: the old rings, or
 * block itself when they have grown meanwhile. */
size_t hpack_encoder_wants(const struct hpack_encoder *e);
void *hpack_encoder_grow(struct hpack_encoder *e, void *block, size_t size);
/* Changes with the table: fields that were encoded as indexes alone are encoded the same way as
 * long as it stays. 0: a size update is owed, nothing encoded before may be used. */
struct hpack_epoch {
    uint64_t n;
    bool owed; /* a size update */
};
static inline uint64_t hpack_encoder_epoch(const struct hpack_encoder *e)
{
    const struct hpack_epoch *now = (const struct hpack_epoch *)(const void *)e;
    return unlikely(now->owed) ? 0 : now->n + 1;
}
/* Appends one field at p, returns the new end. first: this field starts a block. Never allocates:
 * see hpack_encoder_wants. Huffman where it is shorter (constants only; literals PLAIN go raw
 * when short). */
uint8_t *hpack_encode(struct hpack_encoder *e, uint8_t *p, bool first, const char *name,
                      size_t name_len, const char *value, size_t value_len, enum hpack_index how);

/* -- Huffman, also for tests ----------------------------------------------------------------- */
size_t huffman_encoded_size(const uint8_t *s, size_t n);
uint8_t *huffman_encode(uint8_t *to, const uint8_t *s, size_t n);
/* Octets written, or -1: EOS inside, padding of more than 7 bits or not ones. cap: room in to. */
ptrdiff_t huffman_decode(uint8_t *to, size_t cap, const uint8_t *s, size_t n);

#endif
