/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * pb.h: messages from tables (struct sennit_msg_desc in sennit.h). Knows arenas, nothing else. No
 * entry point recurses natively on input; all count depth against one limit. */
#ifndef SENNIT_PB_PB_H
#define SENNIT_PB_PB_H

#include "base/arena.h"
#include "sennit.h"

enum pb_result {
    PB_OK,
    PB_TRUNCATED,
    PB_BAD_TAG,
    PB_BAD_VARINT,
    PB_BAD_UTF8,
    PB_TOO_DEEP,
    PB_TOO_LARGE,
    PB_NO_MEMORY,
    PB_MISSING,  /* a required field */
    PB_BAD_TEXT, /* JSON or text format; the caller has the words */
    PB_REFUSED   /* by another runtime: see sennit_codec */
};
const char *pb_result_text(enum pb_result r); /* for errors, e.g. "string is not valid UTF-8" */

/* *msg becomes the empty message (absent strings "", absent sub-messages their default instances).
 */
void pb_init(const struct sennit_msg_desc *d, void *msg);
/* Decodes into *msg (which need not be initialised). buf is private to the message, lives as long
 * as it and has one spare octet at buf[n]: strings become views into it and NULs are written over
 * octets already read. Sub-messages, arrays and unknown fields come from a. On failure *msg is the
 * empty message. */
enum pb_result pb_from_octets(struct sennit_arena *a, const struct sennit_msg_desc *d, char *buf,
                              size_t n, const sennit_wire_options *o, void *msg);
static inline enum pb_result pb_decode_with(const struct sennit_msg_desc *d, void *msg, char *buf,
                                            size_t n, struct sennit_arena *a,
                                            const sennit_wire_options *o)
{
    return pb_from_octets(a, d, buf, n, o, msg);
}
/* depth: 0 means LIMIT_PB_DEPTH. */
enum pb_result pb_decode_msg(const struct sennit_msg_desc *d, void *msg, char *buf, size_t n,
                             struct sennit_arena *a, uint32_t depth);
/* Octets of the encoded message; SIZE_MAX when over 2 GiB - 1 or too deep. */
size_t pb_size(const struct sennit_msg_desc *d, const void *msg);
struct pb_encode_how {
    sennit_wire_options o;
    uint32_t headroom; /* free octets in front of what is encoded */
};
/* One pass, written backwards; all in a. Strings are checked for UTF-8 (PB_BAD_UTF8) as the field's
 * flag says. data NULL: len is the pb_result. */
sennit_str pb_to_octets(struct sennit_arena *a, const struct sennit_msg_desc *d, const void *msg,
                        const struct pb_encode_how *how);
/* The same; *out is "" on failure. */
enum pb_result pb_encode_with(const struct sennit_msg_desc *d, const void *msg,
                              struct sennit_arena *a, size_t headroom, const sennit_wire_options *o,
                              sennit_str *out);
enum pb_result pb_encode_msg(const struct sennit_msg_desc *d, const void *msg,
                             struct sennit_arena *a, size_t headroom, sennit_str *out);
/* Deep copy into a; NULL: no memory or too deep. */
void *pb_copy(struct sennit_arena *a, const struct sennit_msg_desc *d, const void *msg);
/* Whether all required fields are there, in msg and all below it; no memory is an error, too. */
enum pb_result pb_check_required(const struct sennit_msg_desc *d, const void *msg,
                                 struct sennit_arena *a);
/* NULL: there is none. */
const sennit_enum_value *pb_enum_value(const sennit_enum_desc *d, int32_t number);
/* Extensions among unknown fields. Get decodes that of `ext` into *value, which lives in a; set
 * puts *value (NULL: nothing) in its place. */
enum pb_result pb_ext_get(const struct sennit_msg_desc *ext, sennit_str unknown, void *value,
                          struct sennit_arena *a);
enum pb_result pb_ext_set(const struct sennit_msg_desc *ext, sennit_str *unknown, const void *value,
                          struct sennit_arena *a);
/* JSON and text format; on failure `why` is a sentence (PB_BAD_TEXT), else pb_result_text. *to of
 * the readers is the empty message then. */
struct pb_why {
    char text[256];
};
enum pb_result pb_json_encode(struct sennit_arena *a, const struct sennit_msg_desc *d,
                              const void *msg, const struct sennit_format_options *o,
                              sennit_str *to, struct pb_why *why);
enum pb_result pb_json_decode(struct sennit_arena *a, const struct sennit_msg_desc *d,
                              sennit_str from, const struct sennit_format_options *o, void *to,
                              struct pb_why *why);
enum pb_result pb_text_encode(struct sennit_arena *a, const struct sennit_msg_desc *d,
                              const void *msg, const struct sennit_format_options *o,
                              sennit_str *to, struct pb_why *why);
enum pb_result pb_text_decode(struct sennit_arena *a, const struct sennit_msg_desc *d,
                              sennit_str from, const struct sennit_format_options *o, void *to,
                              struct pb_why *why);
bool pb_utf8_valid(const char *s, size_t n);

#endif
