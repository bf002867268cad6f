/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * gen.h: what the files of protoc-gen-sennit share. One run, one thread, one arena that ends with
 * the process. Input is untrusted: model.c checks all that the emitters rely on (identifiers,
 * types, numbers, labels) before the first line is written, so that emitters need no checks of
 * their own. Failures are sticky: the first one is kept with its place in the .proto, the rest goes
 * on until the end of its phase.
 *
 * Names. Message pkg.Outer.Inner is pkg_Outer_Inner; the value RED of the enum pkg.Color is
 * pkg_Color_RED; method M of service S is pkg_S_M, always with the service's name. prefix=P puts P
 * in place of the package, in C names only: tables are named sennit__pkg_Outer_Inner whatever the
 * prefix, so that two programs with different prefixes share one table. Without a package, and
 * without a prefix, that part and its underscore are absent. Keywords get an underscore behind. */
#ifndef SENNIT_GEN_H
#define SENNIT_GEN_H

#include "base/arena.h"
#include "pb/pb.h"
#include "plugin.sennit.h"

#define GEN_MAX_INPUT    (1u << 28)   /* octets of one request: 50 times googleapis as a whole */
#define GEN_MAX_MEMORY   (2ull << 30) /* of one run */
#define GEN_MAX_FIELDS   2048u /* of a message: the offset of a oneof must fit into 16 bits */
#define GEN_MAX_NAME     512u  /* octets of a C name, and of a file's name */
#define GEN_MAX_PREFIXES 64u
#define GEN_MAX_NESTED   64u /* messages within messages; protoc itself stops at 32 */

enum {
    GEN_EDITION_PROTO2 = 998,
    GEN_EDITION_PROTO3 = 999,
    GEN_EDITION_2023 = 1000,
    GEN_EDITION_2024
};
enum { GEN_INHERIT = 0, GEN_EXPLICIT = 1, GEN_IMPLICIT = 2, GEN_REQUIRED = 3 };
enum { GEN_PACKED = 1, GEN_EXPANDED = 2, GEN_VERIFY = 2, GEN_NO_VERIFY = 3 };
enum { GEN_OPEN = 1, GEN_CLOSED = 2, GEN_DELIMITED = 2 };
enum { GEN_LABEL_OPTIONAL = 1, GEN_LABEL_REQUIRED = 2, GEN_LABEL_REPEATED = 3 };

/* A map from octets to pointers; keys are not copied. */
struct map {
    struct map_slot *slots;
    size_t n, cap;
};

/* Text that grows. failed: no memory; then nothing is appended any more. */
struct text {
    struct sennit_arena *a;
    char *data;
    size_t len, cap;
    bool failed;
};

/* A place in a .proto: the path of SourceCodeInfo as raw int32s. */
typedef sennit_str gen_path;

struct field {
    const sennit_plugin_Field *f;
    const char *name;  /* in C */
    struct type *type; /* messages, groups, enums */
    int oneof;         /* index of a real oneof, or -1 */
    uint32_t has;      /* number of the has-bit, with SENNIT_FIELD_HAS */
    uint8_t kind;
    uint16_t flags;
    gen_path path;
};

struct type {
    const sennit_plugin_Message *m; /* or: */
    const sennit_plugin_Enum *e;
    struct file *file;
    struct type *parent, *next; /* next: in file->types, nested ones first */
    const char *full, *name;    /* "pkg.Outer.Inner", "pkg_Outer_Inner" */
    const char *table;          /* "sennit__pkg_Outer_Inner" */
    gen_path path;
    struct sennit_plugin_Features features;
    struct field *fields; /* in the file's order; set by model_resolve */
    size_t n_fields;
    uint32_t n_has, n_required;    /* required fields have the first has-bits */
    const char *extendee_name;     /* ".pkg.M": this message stands for an extension of it, */
    struct type *extendee;         /* with the one field `value`; see load_extension */
    bool map_entry, seen, forward; /* for the header: defined already; declared ahead */
};

struct service {
    const sennit_plugin_Service *s;
    const char *full, *name, *table; /* as in struct type */
    struct type **in, **out;         /* of each method */
    gen_path path;
};

struct file {
    const sennit_plugin_File *f;
    sennit_str octets;            /* as protoc sent it */
    const char *name, *base;      /* "dir/x.proto", "dir/x" */
    const char *table;            /* "sennit_file__dir_x_proto" */
    const char *package, *prefix; /* prefix: of C names, "" or with its underscore */
    const char *option;           /* what prefix= said for it, or NULL */
    struct type *types, **types_end;
    struct service *services;
    struct map locations; /* gen_path to sennit_plugin_SourceInfo_Location */
    struct sennit_plugin_Features features;
    struct map used; /* files whose types this one uses, by name */
    bool resolved;
};

struct prefix {
    const char *package; /* NULL: of the files to generate */
    const char *prefix;
};

struct gen {
    struct sennit_arena *a;
    sennit_plugin_Request request;
    struct prefix prefixes[GEN_MAX_PREFIXES];
    size_t n_prefixes;
    struct file *files; /* in the request's order */
    size_t n_files;
    struct map file_names, type_names;
    struct map idents; /* of the file at work: C name to struct gen_owner */
    const char *error; /* NULL: none */
};

/* -- generate.c ------------------------------------------------------------------------------ */
/* in has a spare octet behind its n, and is used up. NULL: it was larger than GEN_MAX_INPUT. */
enum pb_result gen_answer(struct sennit_arena *a, char *in, size_t n, sennit_str *out);

/* -- text.c ---------------------------------------------------------------------------------- */
const void *map_get(const struct map *m, sennit_str key);
/* Adds or replaces; false: no memory. */
bool map_put(struct map *m, struct sennit_arena *a, sennit_str key, const void *value);
void text_add(struct text *t, const char *s, size_t n);
void text_printf(struct text *t, const char *fmt, ...) SENNIT_PRINTF(2, 3);
const char *gen_printf(struct gen *g, const char *fmt, ...) SENNIT_PRINTF(2, 3); /* never NULL */
/* A comment of the .proto, made safe for C, each line after `indent` spaces. Nothing for "". */
void text_comment(struct text *t, int indent, sennit_str leading, sennit_str trailing);
/* head, name and "(args)" within 100 columns: all on one line, or the arguments in line with the
 * parenthesis, or the name on a line of its own. Arguments are separated by '|'. No newline behind.
 */
void text_signature(struct text *t, int indent, const char *head, const char *name,
                    const char *args);
/* A C string literal; octets that are not printable ASCII in octal. */
void text_literal(struct text *t, sennit_str s);

/* -- model.c, resolve.c ---------------------------------------------------------------------- */
void gen_fail(struct gen *g, const struct file *file, gen_path where, const char *fmt, ...)
    SENNIT_PRINTF(4, 5);
gen_path path_child(struct gen *g, gen_path parent, int32_t field, size_t index);
const sennit_plugin_SourceInfo_Location *path_location(const struct file *file, gen_path where);
/* Files, types, services of the whole request. False: g->error is set. */
bool model_load(struct gen *g);
/* Features of all files. False: g->error is set. */
bool model_features(struct gen *g);
/* Fields of the file's messages and types of its methods. False: g->error is set. */
bool model_resolve(struct gen *g, struct file *file);
struct type *resolve_type(struct gen *g, struct file *file, const char *name, bool is_enum,
                          gen_path where);

/* -- names.c --------------------------------------------------------------------------------- */
bool name_is_ident(sennit_str s);
bool name_is_reserved(const char *s); /* a keyword of C or C++, or a macro */
bool name_is_local(const char *s);    /* a parameter of generated functions: no name for a type */
/* Reports each C name that the file defines twice, or that it shares with what it includes. */
void names_check(struct gen *g, struct file *file);
/* The name of the oneof that the field is in, or NULL. */
const char *name_of_oneof(const struct type *t, const sennit_plugin_Field *f);
const char *name_of_method(struct gen *g,
                           const sennit_plugin_Method *m); /* in the service struct */

/* -- emit_header.c, emit_service.c, emit_source.c -------------------------------------------- */
void emit_header(struct gen *g, struct file *file, struct text *t);
/* " SENNIT_DEPRECATED" for what is so itself, or whose file is; else nothing. */
const char *emit_deprecated(const struct file *file, bool itself);
/* Whether what is generated from the file uses such things itself. */
bool emit_any_deprecated(const struct file *file);
void emit_services(struct gen *g, const struct file *file, struct text *t);
void emit_source(struct gen *g, struct file *file, struct text *t);
void emit_invokes(struct gen *g, const struct file *file, struct text *t);
void emit_includes(struct gen *g, const struct file *file, struct text *t);
void emit_file_table(struct gen *g, const struct file *file, struct text *t);
bool emit_is_public(const struct file *file, size_t dependency);

#endif
