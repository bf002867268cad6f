/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * format.h: what JSON and text format share. Reading goes by way of the wire: a parser writes the
 * encoded message, which decode.c then turns into structs, so that merging, oneofs, extensions and
 * Any have one road. Writing walks the structs. All memory is the caller's arena. */
#ifndef SENNIT_PB_FORMAT_H
#define SENNIT_PB_FORMAT_H

#include "pb/pb_private.h"

#define PB_NO_MARK SIZE_MAX

/* Octets that grow. result: why nothing is appended any more. */
struct pb_out {
    struct sennit_arena *a;
    char *data;
    size_t len, cap;
    enum pb_result result;
};
/* Room for n more octets; NULL: none. */
char *pb_out_room(struct pb_out *o, size_t n);
void pb_out_add(struct pb_out *o, const void *p, size_t n);
static inline void pb_out_char(struct pb_out *o, char c) { pb_out_add(o, &c, 1); }
void pb_out_text(struct pb_out *o, const char *z);
void pb_out_printf(struct pb_out *o, const char *fmt, ...) SENNIT_PRINTF(2, 3);
void pb_out_varint(struct pb_out *o, uint64_t v);
void pb_out_tag(struct pb_out *o, uint32_t number, enum pb_wire wire);
/* Tag and value of a field that is a number; bits: what the struct has, sign-extended. */
void pb_out_number(struct pb_out *o, const sennit_field *f, uint64_t bits);
void pb_out_octets(struct pb_out *o, uint32_t number, sennit_str s);
/* Ends what began at mark (behind its tag): the length goes in front. */
void pb_out_close(struct pb_out *o, size_t mark);

/* Types by name: those of the root's file, its imports, and the caller's files. */
struct pb_types {
    const sennit_file_desc **files;
    size_t n;
    const sennit_msg_desc *last; /* found */
};
bool pb_types_init(struct pb_types *t, struct sennit_arena *a, const sennit_msg_desc *root,
                   const struct sennit_format_options *o);
const sennit_msg_desc *pb_types_message(struct pb_types *t, sennit_str name);
/* The message behind the last '/' of an Any's URL. */
const sennit_msg_desc *pb_types_url(struct pb_types *t, sennit_str url);
const sennit_msg_desc *pb_types_ext(const struct pb_types *t, const sennit_msg_desc *extendee,
                                    sennit_str name);
/* Whether the .proto reserves the name: text format skips such fields. */
bool pb_types_reserved(const sennit_msg_desc *d, sennit_str name);
/* The extensions that are in msg: an array in a, and its length. */
struct pb_ext_list {
    const sennit_msg_desc **data;
    size_t len;
};
bool pb_types_present(const struct pb_types *t, struct sennit_arena *a, const sennit_msg_desc *d,
                      const void *msg, struct pb_ext_list *out);

/* google.protobuf types with a form of their own. */
enum pb_known {
    PB_ORDINARY,
    PB_ANY,
    PB_TIMESTAMP,
    PB_DURATION,
    PB_FIELD_MASK,
    PB_STRUCT,
    PB_VALUE,
    PB_LIST_VALUE,
    PB_WRAPPER
};
enum pb_known pb_known_of(const sennit_msg_desc *d);
bool pb_is_null_value(const sennit_field *f); /* an enum google.protobuf.NullValue */
/* "1972-01-01T10:00:20.021Z", "3.5s", "user.displayName,photo"; false: no such text, or value. */
bool pb_timestamp_parse(sennit_str s, int64_t *seconds, int32_t *nanos);
bool pb_timestamp_print(struct pb_out *o, int64_t seconds, int32_t nanos);
bool pb_duration_parse(sennit_str s, int64_t *seconds, int32_t *nanos);
bool pb_duration_print(struct pb_out *o, int64_t seconds, int32_t nanos);
bool pb_field_mask_parse(struct pb_out *o, sennit_str s); /* writes field 1 for each path */
bool pb_field_mask_print(struct pb_out *o, const void *mask);

/* Names: equal to the field's JSON name? */
bool pb_json_name_is(const sennit_field *f, sennit_str name);
void pb_json_name_print(struct pb_out *o, const sennit_field *f);
static inline bool pb_name_is(const char *z, sennit_str s)
{
    return strncmp(z, s.data, s.len) == 0 && !z[s.len] && !memchr(s.data, 0, s.len);
}
const sennit_enum_value *pb_enum_named(const sennit_enum_desc *d, sennit_str name);
/* Base64 with or without padding, both alphabets, appended; false: malformed. */
bool pb_base64_parse(struct pb_out *o, sennit_str s);
void pb_base64_print(struct pb_out *o, sennit_str s);
/* Decodes octets, which are copied, into a new struct; NULL: *result says why. */
const void *pb_decode_copy(struct sennit_arena *a, const sennit_msg_desc *d, sennit_str octets,
                           enum pb_result *result);

#endif
