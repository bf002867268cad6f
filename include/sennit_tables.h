/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * sennit_tables.h: what protoc-gen-sennit writes, and the calls that work on any message by its
 * table. Part of sennit.h, which includes it in its place: include that. Nobody but the plugin
 * writes tables; the library reads all older versions. */
#ifndef SENNIT_TABLES_H
#define SENNIT_TABLES_H


/* Written by protoc-gen-sennit alone; the library reads all older versions. */
#define SENNIT_TABLES 1 /* the first word of each table */
typedef struct sennit_stream sennit_stream; /* see "calls and streams" */

/* Numbers are those of google.protobuf.FieldDescriptorProto.Type. */
typedef enum sennit_kind {
    SENNIT_KIND_DOUBLE = 1, SENNIT_KIND_FLOAT, SENNIT_KIND_INT64, SENNIT_KIND_UINT64,
    SENNIT_KIND_INT32, SENNIT_KIND_FIXED64, SENNIT_KIND_FIXED32, SENNIT_KIND_BOOL,
    SENNIT_KIND_STRING, SENNIT_KIND_GROUP, SENNIT_KIND_MESSAGE, SENNIT_KIND_BYTES,
    SENNIT_KIND_UINT32, SENNIT_KIND_ENUM, SENNIT_KIND_SFIXED32, SENNIT_KIND_SFIXED64,
    SENNIT_KIND_SINT32, SENNIT_KIND_SINT64
} sennit_kind;
#define SENNIT_FIELD_REPEATED 1 /* { const T *data; size_t len; } */
#define SENNIT_FIELD_PACKED 2   /* sent packed; both forms are read */
#define SENNIT_FIELD_MAP 4      /* repeated entry messages { key, value }; later keys win */
#define SENNIT_FIELD_HAS 8      /* has-bit number `presence` of the struct's first words */
#define SENNIT_FIELD_ONEOF 16   /* uint32_t at offset `presence`: number of the set field */
#define SENNIT_FIELD_UTF8 32    /* refused when not valid UTF-8 */
#define SENNIT_FIELD_OPTIONAL 64 /* with HAS: sent if the bit is set */
#define SENNIT_FIELD_REQUIRED 128 /* messages without it are neither sent nor received */
#define SENNIT_FIELD_CLOSED 256   /* unknown values of the enum are kept as unknown fields */
#define SENNIT_FIELD_JSON 512     /* the JSON name stands behind the name's NUL */
#define SENNIT_FIELD_GROUP_NAME 1024 /* in text it goes by the name of its type */
/* Beside the kind of a field that is written in the same way whatever else there is: how, and the
 * octets of its tag, of which there are no more than two. 0: by kind and flags, as in older
 * tables. */
#define SENNIT_PLAIN(how, tag) ((uint32_t)SENNIT_PLAIN_##how << 8 | (uint32_t)(tag) << 16)
#define SENNIT_PLAIN_IF_SET 0x1000u /* that of a singular one with a has-bit; else: unless zero */
enum {
    SENNIT_PLAIN_INT32 = 1, SENNIT_PLAIN_UINT32, SENNIT_PLAIN_INT64, SENNIT_PLAIN_BOOL,
    SENNIT_PLAIN_SINT32, SENNIT_PLAIN_SINT64, SENNIT_PLAIN_FIXED32, SENNIT_PLAIN_FIXED64,
    SENNIT_PLAIN_MESSAGE, SENNIT_PLAIN_MESSAGES, SENNIT_PLAIN_STRINGS, SENNIT_PLAIN_PACKED,
    SENNIT_PLAIN_STRING = 15
};
typedef struct sennit_field {
    uint32_t number;
    uint32_t offset; /* of the value in the struct */
    uint16_t presence, flags;
    uint32_t kind;   /* sennit_kind in the lowest octet, with SENNIT_PLAIN above it */
    const void *type; /* sennit_msg_desc (messages, groups, maps) or sennit_enum_desc */
    const char *name;
} sennit_field;
typedef struct sennit_enum_value { int32_t number; const char *name; } sennit_enum_value;
typedef struct sennit_enum_desc {
    uint32_t version, n_values;
    const char *name; /* "pkg.Enum" */
    const sennit_enum_value *values; /* ascending by number, aliases in the file's order */
} sennit_enum_desc;
#define SENNIT_MSG_SET 1         /* option message_set_wire_format */
#define SENNIT_MSG_MAP_ENTRY 2
#define SENNIT_MSG_EXTENDABLE 4  /* has extension ranges */
#define SENNIT_MSG_EXTENSION 8   /* stands for an extension: its one field is the value */
#define SENNIT_MSG_RAW 16        /* sennit_raw: octets that are not looked into */
#define SENNIT_MSG_CODEC 32      /* the desc of a sennit_codec */
typedef struct sennit_msg_desc {
    uint32_t version, size;         /* sizeof the struct */
    uint32_t n_fields, n_dense;     /* fields[i].number == i + 1 for i < n_dense */
    uint32_t unknown;               /* offset of the sennit_str of unknown fields */
    uint32_t flags;                 /* from bit 16 on: the first so many has-bits are required */
    const sennit_field *fields;     /* ascending by number */
    const char *name;               /* "pkg.Message"; of an extension: "pkg.extension" */
    const void *empty;              /* the default instance, of `size` octets */
    const struct sennit_file_desc *file; /* NULL: written by hand */
} sennit_msg_desc;
/* A message of another runtime (protobuf-c, nanopb, your own), carried by the same calls: its desc
 * stands in a sennit_method where generated code has its table. The functions run on the goroutine
 * of the call: those that recurse on input need a stack for it. JSON and text: INVALID_ARGUMENT. */
typedef struct sennit_codec {
    sennit_msg_desc desc; /* version, size, flags (SENNIT_MSG_CODEC), name and empty; the rest 0 */
    const void *data;     /* the runtime's own table */
    size_t (*size)(const struct sennit_codec *c, const void *msg); /* octets; SIZE_MAX: refused */
    /* Writes so many octets; false: refused. */
    bool (*encode)(const struct sennit_codec *c, const void *msg, char *to, size_t size);
    /* Into *msg, which is as *desc.empty, from octets that live as long as a and end in a NUL.
     * false: malformed, or no memory. What it takes from a (sennit_alloc) is freed with a. */
    bool (*decode)(const struct sennit_codec *c, sennit_arena *a, sennit_str octets, void *msg);
} sennit_codec;
typedef struct sennit_ext_desc { const sennit_msg_desc *extendee, *value; } sennit_ext_desc;
typedef struct sennit_file_desc {
    uint32_t version, n_deps, n_messages, n_enums, n_exts;
    const char *name;                /* "dir/x.proto" */
    const struct sennit_file_desc *const *deps; /* as in the file; NULL: options only, not linked */
    const sennit_msg_desc *const *messages;     /* nested ones as well */
    const sennit_enum_desc *const *enums;
    const sennit_ext_desc *exts;
    sennit_str descriptor;           /* google.protobuf.FileDescriptorProto, without comments */
} sennit_file_desc;
typedef struct sennit_method {
    uint32_t version, flags; /* 1: the client streams, 2: the server streams */
    const char *path;        /* "/pkg.Service/Method" */
    const struct sennit_msg_desc *request, *reply;
    /* Calls this method of the user's service struct; s and one of request, reply may be NULL. */
    sennit_err (*invoke)(const void *service, void *self, sennit_ctx *ctx,
                         const void *request, void *reply, sennit_stream *s);
} sennit_method;
/* UNIMPLEMENTED: what invoke returns for a method that the service struct leaves out. */
SENNIT_API sennit_err sennit_not_implemented(const sennit_method *m);
typedef struct sennit_service_desc {
    uint32_t version, n_methods;
    const char *name;
    const sennit_method *methods;
    const sennit_file_desc *file; /* for reflection */
} sennit_service_desc;
/* A deep copy of msg that lives as long as a; NULL: no memory, or deeper than 100. */
SENNIT_API void *sennit_msg_copy(sennit_arena *a, const sennit_msg_desc *d, const void *msg);
/* Octets of the encoded message, found by encoding it; SIZE_MAX: as data NULL below, but for
 * required fields. */
SENNIT_API size_t sennit_msg_size(const sennit_msg_desc *d, const void *msg);
/* The encoded octets, in arena; data NULL: no memory, bad UTF-8, a required field is missing, over
 * 2 GiB or deeper than 100. */
SENNIT_API sennit_str sennit_msg_encode(sennit_arena *a, const sennit_msg_desc *d, const void *msg);
/* Decodes a copy of octets into *msg; what msg points to lives in arena. INVALID_ARGUMENT says what
 * is wrong with the octets, and *msg is the empty message then. */
SENNIT_API sennit_err sennit_msg_decode(sennit_arena *a, const sennit_msg_desc *d,
                                        sennit_str octets, void *msg);
typedef struct sennit_wire_options {
    uint32_t depth;     /* of messages within messages; 0: 100 */
    bool deterministic; /* encoding: maps in the order of their keys */
    bool partial;       /* required fields may be missing */
    bool in_place;      /* decoding: octets are yours, live as long as the message, have a spare
                         * octet behind them and are written to: no copy is made */
} sennit_wire_options;
SENNIT_API sennit_err sennit_msg_encode_sized(sennit_arena *a, const sennit_msg_desc *d,
                                              const void *msg, const sennit_wire_options *o,
                                              size_t size, sennit_str *octets);
SENNIT_API sennit_err sennit_msg_decode_sized(sennit_arena *a, const sennit_msg_desc *d,
                                              sennit_str octets, const sennit_wire_options *o,
                                              size_t size, void *msg);
/* The value's name in the .proto, or NULL. */
SENNIT_API const char *sennit_enum_name(const sennit_enum_desc *d, int32_t value);
/* Extensions stay among the unknown fields until asked for: they are copied and sent as they came.
 * Decodes that of *msg into *value (the empty one when absent), which lives in a. */
SENNIT_API sennit_err sennit_ext_get(sennit_arena *a, const sennit_msg_desc *ext,
                                     sennit_str unknown, void *value);
/* Puts *value in place of the extension in *unknown, or takes it out when value is NULL. */
SENNIT_API sennit_err sennit_ext_set(sennit_arena *a, const sennit_msg_desc *ext,
                                     sennit_str *unknown, const void *value);

/* How JSON and text format are read and written. Types inside google.protobuf.Any, and extensions,
 * are found in the file of the message itself, in `files`, and in what these import. */
typedef struct sennit_format_options {
    const sennit_file_desc *const *files; /* &sennit_file__x_proto */
    size_t n_files;
    bool multi_line;     /* one field a line, indented by two; text has several lines or one */
    bool proto_names;    /* JSON: names as in the .proto, not in camel case */
    bool enum_numbers;   /* numbers instead of names */
    bool all_fields;     /* JSON: zero and empty ones of fields without presence, too */
    bool unknown_fields; /* text: those, too, by number */
    bool ignore_unknown; /* reading: skip fields, and names of enum values, that are not known */
} sennit_format_options;
/* *text lives in a. INVALID_ARGUMENT: a type inside an Any is not known or does not fit, a value
 * has no such form (a time out of range, a string that is not UTF-8), or deeper than 100. */
SENNIT_API sennit_err sennit_json_encode_sized(sennit_arena *a, const sennit_msg_desc *d,
                                               const void *msg, const sennit_format_options *o,
                                               size_t size, sennit_str *text);
/* Into *msg, which lives in a. INVALID_ARGUMENT says what is wrong in which line; *msg is the empty
 * message then. */
SENNIT_API sennit_err sennit_json_decode_sized(sennit_arena *a, const sennit_msg_desc *d,
                                               sennit_str text, const sennit_format_options *o,
                                               size_t size, void *msg);
SENNIT_API sennit_err sennit_text_encode_sized(sennit_arena *a, const sennit_msg_desc *d,
                                               const void *msg, const sennit_format_options *o,
                                               size_t size, sennit_str *text);
SENNIT_API sennit_err sennit_text_decode_sized(sennit_arena *a, const sennit_msg_desc *d,
                                               sennit_str text, const sennit_format_options *o,
                                               size_t size, void *msg);

/* What a .proto calls deprecated warns where it is used; with SENNIT_NO_DEPRECATED defined in front
 * of the first header it does not. */
#ifdef SENNIT_NO_DEPRECATED
#define SENNIT_DEPRECATED
#else
#define SENNIT_DEPRECATED __attribute__((deprecated))
#endif
/* The functions of each message T, for all generated headers: see those above. */
#define SENNIT_DEFINE_MESSAGE(T, table)                                                            \
    static inline T *T##_copy(sennit_arena *arena, const T *from)                                  \
    { return (T *)sennit_msg_copy(arena, &table, from); }                                          \
    static inline size_t T##_size(const T *from) { return sennit_msg_size(&table, from); }         \
    static inline sennit_str T##_encode(sennit_arena *arena, const T *from)                        \
    { return sennit_msg_encode(arena, &table, from); }                                             \
    static inline SENNIT_NODISCARD sennit_err T##_decode(sennit_arena *arena, sennit_str octets,   \
                                                         T *to)                                    \
    { return sennit_msg_decode(arena, &table, octets, to); }                                       \
    static inline SENNIT_NODISCARD sennit_err T##_to_json(                                         \
        sennit_arena *arena, const T *from, const sennit_format_options *o, sennit_str *to)        \
    { return sennit_json_encode_sized(arena, &table, from, o, sizeof *o, to); }                    \
    static inline SENNIT_NODISCARD sennit_err T##_from_json(                                       \
        sennit_arena *arena, sennit_str from, const sennit_format_options *o, T *to)               \
    { return sennit_json_decode_sized(arena, &table, from, o, sizeof *o, to); }                    \
    static inline SENNIT_NODISCARD sennit_err T##_to_text(                                         \
        sennit_arena *arena, const T *from, const sennit_format_options *o, sennit_str *to)        \
    { return sennit_text_encode_sized(arena, &table, from, o, sizeof *o, to); }                    \
    static inline SENNIT_NODISCARD sennit_err T##_from_text(                                       \
        sennit_arena *arena, sennit_str from, const sennit_format_options *o, T *to)               \
    { return sennit_text_decode_sized(arena, &table, from, o, sizeof *o, to); }
#define SENNIT_DEFINE_ENUM(T, table)                                                               \
    static inline const char *T##_name(int32_t value) { return sennit_enum_name(&table, value); }
/* Of the extension T of the messages M. */
#define SENNIT_DEFINE_EXTENSION(T, M, table)                                                       \
    static inline SENNIT_NODISCARD sennit_err T##_get(sennit_arena *arena, const M *from, T *to)   \
    { return sennit_ext_get(arena, &table, from->unknown_fields, to); }                            \
    static inline SENNIT_NODISCARD sennit_err T##_set(sennit_arena *arena, M *to, const T *from)   \
    { return sennit_ext_set(arena, &table, &to->unknown_fields, from); }

#endif
