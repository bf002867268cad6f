/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * test_plugin.c: what the plugin makes of good and bad requests, in one process, without protoc.
 * The requests are built from the descriptors that generated code carries. */
#include "gen.h"

#include <stdlib.h>

#include "harness.h"
#include "pb/pb.h"

#include "all_kinds.sennit.h"
#include "route_guide.sennit.h"

sennit_err sennit_not_implemented(const sennit_method *m)
{
    (void)m;
    return NULL;
}

static struct sennit_arena arena;

static sennit_str encoded(const sennit_msg_desc *d, const void *msg)
{
    sennit_str out;
    check_int(pb_encode_msg(d, msg, &arena, 0, &out), PB_OK);
    return out;
}

/* The answer to octets, which are copied; error "" when there is none. */
static sennit_plugin_Response answer(sennit_str octets)
{
    sennit_plugin_Response r;
    char *in = arena_alloc(&arena, octets.len + 1);
    sennit_str out;
    check(in);
    memcpy(in, octets.data, octets.len);
    check_int(gen_answer(&arena, in, octets.len, &out), PB_OK);
    char *copy = arena_alloc(&arena, out.len + 1);
    memcpy(copy, out.data, out.len);
    check_int(pb_decode_msg(&sennit__sennit_plugin_Response, &r, copy, out.len, &arena, 0), PB_OK);
    check(r.has_error ? r.error.len > 0 && !r.file.len : r.file.len % 2 == 0);
    return r;
}

static sennit_str request(const sennit_str *files, size_t n, const char *name,
                          const char *parameter)
{
    sennit_str names[] = { sennit_s(name) };
    sennit_plugin_Request r = { .file_to_generate = { names, 1 },
                                .parameter = sennit_s(parameter),
                                .proto_file = { files, n } };
    return encoded(&sennit__sennit_plugin_Request, &r);
}

static sennit_str route_guide(const char *parameter)
{
    return request(&sennit_file__route_guide_proto.descriptor, 1, "route_guide.proto", parameter);
}

/* all_kinds.proto with what it imports. */
static sennit_str all_kinds(void)
{
    static const sennit_plugin_EnumValue values[] = { { .number = 0 } };
    sennit_plugin_EnumValue value = values[0];
    value.name = sennit_s("SIZE_UNKNOWN");
    sennit_plugin_Message thing = { .name = sennit_s("Thing") };
    sennit_plugin_Enum size = { .name = sennit_s("Size"), .value = { &value, 1 } };
    sennit_str import = sennit_s("imported.proto");
    const int32_t public[] = { 0 };
    sennit_plugin_File imported = { .name = import,
                                    .package = sennit_s("sennit.other"),
                                    .message_type = { &thing, 1 },
                                    .enum_type = { &size, 1 },
                                    .syntax = sennit_s("proto3") };
    sennit_plugin_File forwarding = { .name = sennit_s("forwarding.proto"),
                                      .package = sennit_s("sennit.other"),
                                      .dependency = { &import, 1 },
                                      .public_dependency = { public, 1 },
                                      .syntax = sennit_s("proto3") };
    const sennit_str files[] = { encoded(&sennit__sennit_plugin_File, &imported),
                                 encoded(&sennit__sennit_plugin_File, &forwarding),
                                 sennit_file__all_kinds_proto.descriptor };
    return request(files, 3, "all_kinds.proto", "");
}

/* A request for one proto3 file "x.proto" with one message M, whose field is f. */
static sennit_plugin_Response with_field(const sennit_plugin_Field *f)
{
    sennit_plugin_Message m = { .name = sennit_s("M"), .field = { f, f ? 1 : 0 } };
    sennit_plugin_File file = { .name = sennit_s("x.proto"),
                                .package = sennit_s("p"),
                                .message_type = { &m, 1 },
                                .syntax = sennit_s("proto3") };
    sennit_str octets = encoded(&sennit__sennit_plugin_File, &file);
    return answer(request(&octets, 1, "x.proto", ""));
}

TEST(files_come_in_pairs_and_features_are_announced)
{
    arena_init(&arena, NULL, 0);
    sennit_plugin_Response r = answer(route_guide("prefix=rg"));
    check_str(r.error.data, "");
    check_int(r.supported_features, 3);
    check(r.minimum_edition == 998 && r.maximum_edition == 1001);
    check_int(r.file.len, 2);
    check_str(r.file.data[0].name.data, "route_guide.sennit.h");
    check_str(r.file.data[1].name.data, "route_guide.sennit.c");
    check(strstr(r.file.data[0].content.data, "typedef struct rg_Point {"));
    check(strstr(r.file.data[1].content.data, "sennit__routeguide_Point"));
    check(!answer(all_kinds()).has_error);
    arena_fini(&arena);
}

TEST(prefixes_are_by_package)
{
    arena_init(&arena, NULL, 0);
    sennit_plugin_Response r = answer(route_guide("prefix=routeguide:a,prefix=other:b"));
    check(strstr(r.file.data[0].content.data, "typedef struct a_Point {"));
    r = answer(route_guide("prefix=other:b"));
    check(strstr(r.file.data[0].content.data, "typedef struct routeguide_Point {"));
    r = answer(route_guide("prefix="));
    check(strstr(r.file.data[0].content.data, "typedef struct Point {"));
    check_str(answer(route_guide("prefix=1a")).error.data,
              "prefix=1a is not the start of a C name");
    check_str(answer(route_guide("fast")).error.data,
              "unknown option fast: prefix=P and prefix=PACKAGE:P are known");
    arena_fini(&arena);
}

TEST(fields_that_make_no_sense_are_refused)
{
    arena_init(&arena, NULL, 0);
    sennit_plugin_Field good = { .name = sennit_s("f"),
                                 .number = 1,
                                 .label = GEN_LABEL_OPTIONAL,
                                 .type = SENNIT_KIND_INT32 },
                        f;
    check(!with_field(&good).has_error);
    f = good, f.number = 0;
    check_str(with_field(&f).error.data, "x.proto: p.M.f has the number 0");
    f = good, f.type = 19;
    check_str(with_field(&f).error.data, "x.proto: p.M.f has the unknown type 19");
    f = good, f.label = 0;
    check_str(with_field(&f).error.data, "x.proto: p.M.f has the unknown label 0");
    f = good, f.has_oneof_index = 1, f.oneof_index = 7;
    check_str(with_field(&f).error.data, "x.proto: p.M.f cannot be in a oneof");
    f = good, f.type = SENNIT_KIND_MESSAGE, f.type_name = sennit_s(".p.N");
    check_str(with_field(&f).error.data, "x.proto: .p.N names no message of the request");
    f = good, f.name = sennit_s("a;b");
    check(with_field(&f).has_error);
    f = good, f.name = (sennit_str){ "a\0b", 3 };
    check(with_field(&f).has_error);
    f = good, f.name = sennit_s("unknown_fields");
    check(with_field(&f).has_error);
    arena_fini(&arena);
}

TEST(names_of_files_and_packages_do_not_reach_the_compiler_unseen)
{
    static const char *const names[] = { "", "a\"b.proto", "a\nb.proto", "a*/b.proto" };
    arena_init(&arena, NULL, 0);
    for (size_t i = 0; i < countof(names); i++) {
        sennit_plugin_File file = { .name = sennit_s(names[i]), .syntax = sennit_s("proto3") };
        sennit_str octets = encoded(&sennit__sennit_plugin_File, &file);
        check(answer(request(&octets, 1, names[i], "")).has_error);
    }
    sennit_plugin_File file = { .name = sennit_s("x.proto"), .package = sennit_s("a..b") };
    sennit_str octets = encoded(&sennit__sennit_plugin_File, &file);
    check_str(answer(request(&octets, 1, "x.proto", "")).error.data,
              "x.proto: the package is not a dotted name");
    file.package = sennit_s("a"), file.syntax = sennit_s("editions"), file.edition = 1002;
    octets = encoded(&sennit__sennit_plugin_File, &file);
    check_str(answer(request(&octets, 1, "x.proto", "")).error.data,
              "x.proto: proto2, proto3, editions 2023 and 2024 are known, edition 1002 is not");
    arena_fini(&arena);
}

/* One message with a string and a repeated int32, in an edition 2023 file with these features. */
static sennit_plugin_Response edition(const sennit_plugin_Features *of_file,
                                      const sennit_plugin_Features *of_field)
{
    sennit_plugin_FileOptions file_options = { .features = of_file };
    sennit_plugin_FieldOptions field_options = { .features = of_field };
    sennit_plugin_Field fields[] = {
        { .name = sennit_s("text"),
          .number = 1,
          .label = 1,
          .type = SENNIT_KIND_STRING,
          .options = &field_options },
        { .name = sennit_s("list"),
          .number = 2,
          .label = 3,
          .type = SENNIT_KIND_INT32,
          .options = &field_options },
        { .name = sennit_s("self"),
          .number = 3,
          .label = 1,
          .type = SENNIT_KIND_MESSAGE,
          .type_name = sennit_s(".M"),
          .options = &field_options },
    };
    sennit_plugin_Message m = { .name = sennit_s("M"), .field = { fields, 3 } };
    sennit_plugin_File file = { .name = sennit_s("x.proto"),
                                .message_type = { &m, 1 },
                                .syntax = sennit_s("editions"),
                                .edition = 1000,
                                .options = &file_options };
    sennit_str octets = encoded(&sennit__sennit_plugin_File, &file);
    sennit_plugin_Response r = answer(request(&octets, 1, "x.proto", ""));
    check_str(r.error.data, "");
    return r;
}

TEST(features_of_editions_are_resolved)
{
    static const char has_text[] = "SENNIT_FIELD_HAS | SENNIT_FIELD_UTF8 | SENNIT_FIELD_OPTIONAL";
    arena_init(&arena, NULL, 0);
    sennit_plugin_Features none = { 0 };
    const char *c = edition(&none, &none).file.data[1].content.data;
    check(strstr(c, has_text) && strstr(c, "SENNIT_FIELD_PACKED"));
    check(strstr(c, "SENNIT_KIND_MESSAGE") && !strstr(c, "SENNIT_KIND_GROUP"));
    sennit_plugin_Features all = { .field_presence = GEN_IMPLICIT,
                                   .repeated_field_encoding = GEN_EXPANDED,
                                   .utf8_validation = GEN_NO_VERIFY,
                                   .message_encoding = GEN_DELIMITED };
    c = edition(&all, &none).file.data[1].content.data;
    check(!strstr(c, "OPTIONAL") && !strstr(c, "PACKED") && !strstr(c, "UTF8"));
    check(strstr(c, "SENNIT_KIND_GROUP"));
    sennit_plugin_Features back = { .field_presence = GEN_EXPLICIT,
                                    .repeated_field_encoding = GEN_PACKED,
                                    .utf8_validation = GEN_VERIFY,
                                    .message_encoding = 1 };
    c = edition(&all, &back).file.data[1].content.data;
    check(strstr(c, has_text) && strstr(c, "SENNIT_FIELD_PACKED"));
    check(!strstr(c, "SENNIT_KIND_GROUP"));
    arena_fini(&arena);
}

TEST(nesting_is_limited)
{
    arena_init(&arena, NULL, 0);
    static const size_t depths[] = { 10, GEN_MAX_NESTED - 1, GEN_MAX_NESTED, GEN_MAX_NESTED + 1,
                                     90 };
    static sennit_plugin_Message m[90];
    for (size_t k = 0; k < countof(depths); k++) {
        size_t depth = depths[k];
        for (size_t i = 0; i < depth; i++) {
            m[i] = (sennit_plugin_Message){ .name = sennit_s("M") };
            if (i + 1 < depth) {
                m[i].nested_type.data = &m[i + 1];
                m[i].nested_type.len = 1;
            }
        }
        sennit_plugin_File file = { .name = sennit_s("x.proto"),
                                    .message_type = { m, 1 },
                                    .syntax = sennit_s("proto3") };
        sennit_str octets = encoded(&sennit__sennit_plugin_File, &file);
        sennit_plugin_Response r = answer(request(&octets, 1, "x.proto", ""));
        check(r.has_error == (depth > GEN_MAX_NESTED));
    }
    arena_fini(&arena);
}

/* Each answer is looked at by answer(): well-formed, with files or an error, never both. */
static void damage(sennit_str whole, size_t step)
{
    char *copy = malloc(whole.len);
    check(copy);
    memcpy(copy, whole.data, whole.len);
    for (size_t i = 0; i < whole.len; i += step) {
        arena_fini(&arena);
        arena_init(&arena, NULL, 0);
        answer((sennit_str){ copy, i });
        char was = copy[i];
        copy[i] = (char)(was ^ 1 << (i % 8));
        answer((sennit_str){ copy, whole.len });
        copy[i] = was;
    }
    free(copy);
}

TEST_WITH(damaged_requests_are_answered, 60, false)
{
    arena_init(&arena, NULL, 0);
    sennit_str whole = route_guide("prefix=rg");
    damage(whole, 1);
    arena_fini(&arena);
    arena_init(&arena, NULL, 0);
    damage(all_kinds(), 17);
    arena_fini(&arena);
}

TEST_FAULTS(no_memory_is_an_error)
{
    arena_init(&arena, NULL, 0);
    static char in[4096];
    sennit_str out, answered, names[] = { sennit_s("route_guide.proto") };
    sennit_plugin_Request r = { .file_to_generate = { names, 1 },
                                .proto_file = { &sennit_file__route_guide_proto.descriptor, 1 } };
    if (pb_encode_msg(&sennit__sennit_plugin_Request, &r, &arena, 0, &out) == PB_OK) {
        check(out.len < sizeof in);
        memcpy(in, out.data, out.len);
        enum pb_result result = gen_answer(&arena, in, out.len, &answered);
        check(result == PB_OK || test_under_fault());
    }
    arena_fini(&arena);
}
