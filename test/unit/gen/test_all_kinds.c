/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * test_all_kinds.c: generated structs go through src/pb and come back; what the tables, default
 * instances and inline functions of a generated file promise. Stands on pb alone: the calls into
 * the upper layers are played by functions in this file, which note what came. */
#include <math.h>

#include "base/arena.h"
#include "harness.h"
#include "pb/pb.h"

#include "all_kinds.sennit.h"
#include "forwarding.sennit.h"
#include "old_kinds.sennit.h"
#include "route_guide.sennit.h"

static const void *noted[4];

sennit_err sennit_not_implemented(const sennit_method *m)
{
    static const struct sennit_error err = { .code = SENNIT_UNIMPLEMENTED, .message = "" };
    noted[0] = m;
    return &err;
}

sennit_err sennit_call(sennit_conn *c, sennit_ctx *ctx, const sennit_method *m, const void *request,
                       void *reply, const sennit_call_options *o, size_t size)
{
    (void)c, (void)ctx;
    noted[0] = m;
    noted[1] = request;
    noted[2] = reply;
    noted[3] = o;
    check(size == (o ? sizeof *o : 0));
    return NULL;
}

sennit_stream *sennit_start(sennit_conn *c, sennit_ctx *ctx, const sennit_method *m,
                            const void *request, const sennit_call_options *o, size_t size)
{
    sennit_call(c, ctx, m, request, NULL, o, size);
    return (sennit_stream *)(uintptr_t)m;
}

/* Encodes msg of d and decodes the octets into *back; both live in a. */
static void there_and_back(const sennit_msg_desc *d, const void *msg, void *back,
                           struct sennit_arena *a)
{
    sennit_str wire;
    check_int(pb_encode_msg(d, msg, a, 0, &wire), PB_OK);
    check_int(pb_size(d, msg), wire.len);
    char *copy = arena_alloc(a, wire.len + 1);
    check(copy);
    memcpy(copy, wire.data, wire.len);
    check_int(pb_decode_msg(d, back, copy, wire.len, a, 0), PB_OK);
    /* And the same octets again. */
    sennit_str again;
    check_int(pb_encode_msg(d, back, a, 0, &again), PB_OK);
    check_int(again.len, wire.len);
    check(memcmp(again.data, wire.data, wire.len) == 0);
}

#define EXTREMES                                                                                   \
    .f_double = -1e300, .f_float = 0.5f, .f_int64 = INT64_MIN, .f_uint64 = UINT64_MAX,             \
    .f_int32 = INT32_MIN, .f_fixed64 = UINT64_MAX, .f_fixed32 = UINT32_MAX, .f_bool = true,        \
    .f_string = sennit_s("h\303\251"), .f_bytes = { "\0\377", 2 }, .f_uint32 = UINT32_MAX,         \
    .f_enum = sennit_test_Colour_COLOUR_LOWEST, .f_sfixed32 = INT32_MIN, .f_sfixed64 = INT64_MIN,  \
    .f_sint32 = INT32_MIN, .f_sint64 = INT64_MIN

#define CHECK_EXTREMES(m)                                                                          \
    do {                                                                                           \
        check((m)->f_double == -1e300 && (m)->f_float == 0.5f && (m)->f_bool);                     \
        check((m)->f_int64 == INT64_MIN && (m)->f_uint64 == UINT64_MAX);                           \
        check((m)->f_int32 == INT32_MIN && (m)->f_fixed64 == UINT64_MAX);                          \
        check((m)->f_fixed32 == UINT32_MAX && (m)->f_uint32 == UINT32_MAX);                        \
        check_str((m)->f_string.data, "h\303\251");                                                \
        check((m)->f_bytes.len == 2 && memcmp((m)->f_bytes.data, "\0\377", 3) == 0);               \
        check((m)->f_enum == sennit_test_Colour_COLOUR_LOWEST);                                    \
        check((m)->f_sfixed32 == INT32_MIN && (m)->f_sfixed64 == INT64_MIN);                       \
        check((m)->f_sint32 == INT32_MIN && (m)->f_sint64 == INT64_MIN);                           \
    } while (0)

TEST(each_scalar_comes_back)
{
    struct sennit_arena a;
    arena_init(&a, NULL, 0);
    sennit_test_Scalars in = { EXTREMES }, out;
    there_and_back(&sennit__sennit_test_Scalars, &in, &out, &a);
    CHECK_EXTREMES(&out);
    in = (sennit_test_Scalars){ 0 };
    check_int(pb_size(&sennit__sennit_test_Scalars, &in), 0);
    arena_fini(&a);
}

TEST(optional_tells_absent_from_zero)
{
    struct sennit_arena a;
    arena_init(&a, NULL, 0);
    sennit_test_Optionals in = { 0 }, out;
    there_and_back(&sennit__sennit_test_Optionals, &in, &out, &a);
    check(!out.has_f_double && !out.has_f_string && !out.has_f_message && !out.has_f_sint64);
    check_str(out.f_string.data, "");
    check_str(out.f_message->f_string.data, "");
    in = (sennit_test_Optionals){ .has_f_int32 = 1, .has_f_string = 1, .has_f_sint64 = 1 };
    in.f_message = &(sennit_test_Scalars){ 0 };
    there_and_back(&sennit__sennit_test_Optionals, &in, &out, &a);
    check(out.has_f_int32 && out.has_f_string && out.has_f_sint64 && out.has_f_message);
    check(!out.has_f_bool && !out.has_f_enum && !out.has_f_bytes);
    arena_fini(&a);
}

TEST(more_than_32_has_bits)
{
    struct sennit_arena a;
    arena_init(&a, NULL, 0);
    sennit_test_Many in = { .has_f32 = 1, .has_f33 = 1, .has_f40 = 1, .f33 = -7 }, out;
    there_and_back(&sennit__sennit_test_Many, &in, &out, &a);
    check(out.has_f32 && out.has_f33 && out.has_f40 && out.f33 == -7);
    check(!out.has_f1 && !out.has_f31 && !out.has_f34 && !out.has_f39);
    arena_fini(&a);
}

TEST(each_repeated_kind_comes_back)
{
    struct sennit_arena a;
    arena_init(&a, NULL, 0);
    const int32_t ints[] = { -1, 0, 300 };
    const uint64_t fixed[] = { UINT64_MAX, 0 };
    const double doubles[] = { 0, -2.5 };
    const bool bools[] = { true, false, true };
    const sennit_str strings[] = { sennit_s("a"), sennit_s(""), sennit_s("c") };
    const sennit_test_Scalars messages[] = { { EXTREMES }, { .f_int32 = 1 } };
    sennit_test_Repeated out, in = { .f_double = { doubles, 2 },
                                     .f_int32 = { ints, 3 },
                                     .f_fixed64 = { fixed, 2 },
                                     .f_bool = { bools, 3 },
                                     .f_string = { strings, 3 },
                                     .f_message = { messages, 2 },
                                     .f_enum = { ints, 3 },
                                     .f_sint32 = { ints, 3 },
                                     .unpacked_int32 = { ints, 3 },
                                     .unpacked_fixed64 = { fixed, 2 },
                                     .unpacked_enum = { ints, 3 } };
    there_and_back(&sennit__sennit_test_Repeated, &in, &out, &a);
    check(out.f_double.len == 2 && out.f_double.data[1] == -2.5);
    check(out.f_int32.len == 3 && memcmp(out.f_int32.data, ints, sizeof ints) == 0);
    check(out.unpacked_int32.len == 3 && memcmp(out.unpacked_int32.data, ints, sizeof ints) == 0);
    check(out.f_fixed64.len == 2 && out.unpacked_fixed64.data[0] == UINT64_MAX);
    check(out.f_bool.len == 3 && out.f_bool.data[2] && !out.f_bool.data[1]);
    check(out.f_string.len == 3);
    check_str(out.f_string.data[2].data, "c");
    check(out.f_message.len == 2 && out.f_message.data[1].f_int32 == 1);
    CHECK_EXTREMES(&out.f_message.data[0]);
    check(out.f_enum.len == 3 && out.f_sint32.data[0] == -1 && out.unpacked_enum.data[2] == 300);
    arena_fini(&a);
}

TEST(packed_only_where_the_proto_says_so)
{
    const sennit_msg_desc *d = &sennit__sennit_test_Repeated;
    for (uint32_t i = 0; i < d->n_fields; i++) {
        const sennit_field *f = &d->fields[i];
        bool plain = (uint8_t)f->kind == SENNIT_KIND_STRING ||
                     (uint8_t)f->kind == SENNIT_KIND_BYTES ||
                     (uint8_t)f->kind == SENNIT_KIND_MESSAGE || f->number >= 25;
        check(((f->flags & SENNIT_FIELD_PACKED) != 0) == !plain);
        check(i == 0 || f->number > d->fields[i - 1].number);
    }
}

TEST(maps_come_back)
{
    struct sennit_arena a;
    arena_init(&a, NULL, 0);
    const sennit_test_Maps_FInt64Entry longs[] = { { .key = -1, .value = 2 }, { .key = 3 } };
    const sennit_test_Maps_FInt32Entry messages[] = {
        { .key = 5, .value = &(sennit_test_Scalars){ EXTREMES } }
    };
    const sennit_test_Maps_FBoolEntry bools[] = { { .key = true, .value = 3 } };
    const sennit_test_Maps within = { .f_int64 = { longs, 2 } };
    const sennit_test_Maps_FStringEntry strings[] = { { .key = sennit_s("k"), .value = &within } };
    const sennit_test_Maps_FSint64Entry things[] = {
        { .key = INT64_MIN, .value = &(sennit_other_Thing){ .name = sennit_s("t") } }
    };
    const sennit_test_Maps_FFixed64Entry reals[] = { { .key = 1, .value = NAN } };
    sennit_test_Maps out, in = { .f_int64 = { longs, 2 },
                                 .f_int32 = { messages, 1 },
                                 .f_bool = { bools, 1 },
                                 .f_string = { strings, 1 },
                                 .f_sint64 = { things, 1 },
                                 .f_fixed64 = { reals, 1 } };
    there_and_back(&sennit__sennit_test_Maps, &in, &out, &a);
    check(out.f_int64.len == 2 && out.f_int64.data[0].key == -1 && out.f_int64.data[1].key == 3);
    check(out.f_int32.len == 1 && out.f_int32.data[0].key == 5);
    CHECK_EXTREMES(out.f_int32.data[0].value);
    check(out.f_bool.len == 1 && out.f_bool.data[0].key && out.f_bool.data[0].value == 3);
    check(out.f_string.len == 1 && out.f_string.data[0].value->f_int64.len == 2);
    check_str(out.f_string.data[0].key.data, "k");
    check_str(out.f_sint64.data[0].value->name.data, "t");
    check(isnan(out.f_fixed64.data[0].value));
    arena_fini(&a);
}

TEST(a_map_value_left_out_is_the_default_instance)
{
    struct sennit_arena a;
    arena_init(&a, NULL, 0);
    char wire[] = "\x2a\x02\x08\x05"; /* f_int32: { key: 5 } */
    sennit_test_Maps out;
    check_int(pb_decode_msg(&sennit__sennit_test_Maps, &out, wire, 4, &a, 0), PB_OK);
    check(out.f_int32.len == 1 && out.f_int32.data[0].key == 5);
    check_str(out.f_int32.data[0].value->f_string.data, "");
    arena_fini(&a);
}

TEST(a_oneof_holds_one)
{
    struct sennit_arena a;
    arena_init(&a, NULL, 0);
    sennit_test_Choice out, in = { .before = sennit_s("b"), .behind = sennit_s("z") };
    there_and_back(&sennit__sennit_test_Choice, &in, &out, &a);
    check(out.which_choice == 0 && out.which_second == 0);
    in.which_choice = sennit_test_Choice_choice_number; /* 0, and there all the same */
    there_and_back(&sennit__sennit_test_Choice, &in, &out, &a);
    check(out.which_choice == sennit_test_Choice_choice_number && out.number == 0);
    in.which_choice = sennit_test_Choice_choice_scalars;
    in.scalars = &(sennit_test_Scalars){ EXTREMES };
    in.which_second = sennit_test_Choice_second_again;
    in.again = &(sennit_test_Choice){ .which_choice = sennit_test_Choice_choice_text,
                                      .text = sennit_s("deep") };
    there_and_back(&sennit__sennit_test_Choice, &in, &out, &a);
    check(out.which_choice == sennit_test_Choice_choice_scalars);
    CHECK_EXTREMES(out.scalars);
    check_int(out.again->which_choice, sennit_test_Choice_choice_text);
    check_str(out.again->text.data, "deep");
    check_str(out.behind.data, "z");
    arena_fini(&a);
}

TEST(keywords_and_scattered_numbers)
{
    struct sennit_arena a;
    arena_init(&a, NULL, 0);
    const uint32_t registers[] = { 1, 2 };
    sennit_test_Words out, in = { .int_ = 1,
                                  .class_ = sennit_s("c"),
                                  .has_new = 1,
                                  .register_ = { registers, 2 },
                                  .template_ = &(sennit_test_Words){ .far_away = 9 },
                                  .which_union = sennit_test_Words_union_double,
                                  .double_ = 2,
                                  .far_away = -1 };
    there_and_back(&sennit__sennit_test_Words, &in, &out, &a);
    check(out.int_ == 1 && out.has_new && !out.new_ && out.register_.len == 2);
    check(out.template_->far_away == 9 && out.far_away == -1);
    check(out.which_union == sennit_test_Words_union_double && out.double_ == 2);
    check_int(sennit__sennit_test_Words.n_dense, 7);
    arena_fini(&a);
}

TEST(nested_and_imported_types_are_safe_to_read)
{
    struct sennit_arena a;
    arena_init(&a, NULL, 0);
    sennit_test_Outer out, in = { .size = sennit_other_Size_SIZE_LARGE };
    there_and_back(&sennit__sennit_test_Outer, &in, &out, &a);
    check(!out.has_inner && !out.inner->has_innermost);
    check_str(out.inner->innermost->back->inner->innermost->back->thing->name.data, "");
    check_int(out.size, sennit_other_Size_SIZE_LARGE);
    const sennit_test_Outer_Inner_Innermost most = { .back = &in };
    in.inner = &(sennit_test_Outer_Inner){ .innermost = &most,
                                           .state = sennit_test_Outer_Inner_State_STATE_DONE };
    sennit_test_Outer outer = { .inner = in.inner };
    in.inner = NULL;
    there_and_back(&sennit__sennit_test_Outer, &outer, &out, &a);
    check_int(out.inner->state, sennit_test_Outer_Inner_State_STATE_DONE);
    check_int(out.inner->innermost->back->size, sennit_other_Size_SIZE_LARGE);
    arena_fini(&a);
}

TEST(unknown_fields_are_kept)
{
    struct sennit_arena a;
    arena_init(&a, NULL, 0);
    sennit_test_Scalars in = { EXTREMES };
    sennit_test_Nothing nothing;
    sennit_test_Scalars out;
    sennit_str wire, again;
    check_int(pb_encode_msg(&sennit__sennit_test_Scalars, &in, &a, 0, &wire), PB_OK);
    char *copy = arena_alloc(&a, wire.len + 1);
    memcpy(copy, wire.data, wire.len);
    check_int(pb_decode_msg(&sennit__sennit_test_Nothing, &nothing, copy, wire.len, &a, 0), PB_OK);
    check_int(nothing.unknown_fields.len, wire.len);
    check_int(pb_encode_msg(&sennit__sennit_test_Nothing, &nothing, &a, 0, &again), PB_OK);
    copy = arena_alloc(&a, again.len + 1);
    memcpy(copy, again.data, again.len);
    check_int(pb_decode_msg(&sennit__sennit_test_Scalars, &out, copy, again.len, &a, 0), PB_OK);
    CHECK_EXTREMES(&out);
    arena_fini(&a);
}

TEST(a_copy_is_deep)
{
    struct sennit_arena a, b;
    arena_init(&a, NULL, 0);
    arena_init(&b, NULL, 0);
    char name[] = "x";
    sennit_test_Outer in = { .thing = &(sennit_other_Thing){ .name = sennit_s(name) } };
    sennit_test_Outer *copy = pb_copy(&b, &sennit__sennit_test_Outer, &in);
    name[0] = 'y';
    check(copy);
    check_str(copy->thing->name.data, "x");
    arena_fini(&a);
    arena_fini(&b);
}

TEST(defaults_of_proto2_are_read_where_a_field_is_absent)
{
    struct sennit_arena a;
    arena_init(&a, NULL, 0);
    sennit_old_Old out, in = { .has_must = 1 };
    there_and_back(&sennit__sennit_old_Old, &in, &out, &a);
    check(out.has_must && !out.has_negative && out.negative == INT32_MIN);
    check(out.large == INT64_MIN && out.larger == UINT64_MAX && isinf(out.real) && out.real < 0);
    check(out.fraction == 1.5f && out.yes && out.level == sennit_old_Old_Level_HIGH);
    check(out.first == sennit_old_Old_Level_LOW);
    check_str(out.text.data, "a \"b\"\n?"
                             "?/");
    check(out.octets.len == 4 && memcmp(out.octets.data, "\0\377'x", 5) == 0);
    check(out.older->older->yes && out.older->negative == INT32_MIN);
    in.group = &(sennit_old_Old_Group){ .has_a = 1, .a = 3 };
    there_and_back(&sennit__sennit_old_Old, &in, &out, &a);
    check(out.has_group && out.group->a == 3);
    arena_fini(&a);
}

static enum pb_result decoded(const sennit_msg_desc *d, void *to, const char *octets, size_t n,
                              struct sennit_arena *a)
{
    char *copy = arena_alloc(a, n + 1);
    check(copy);
    memcpy(copy, octets, n);
    return pb_decode_msg(d, to, copy, n, a, 0);
}

TEST(a_oneof_message_without_a_pointer_is_an_empty_one)
{
    struct sennit_arena a;
    arena_init(&a, NULL, 0);
    sennit_test_Choice out, in = { .which_choice = sennit_test_Choice_choice_scalars };
    there_and_back(&sennit__sennit_test_Choice, &in, &out, &a);
    check_int(out.which_choice, sennit_test_Choice_choice_scalars);
    check(out.scalars && out.scalars->f_int32 == 0);
    in = (sennit_test_Choice){ .which_choice = sennit_test_Choice_choice_number, .number = 7 };
    there_and_back(&sennit__sennit_test_Choice, &in, &out, &a);
    check(out.which_choice == sennit_test_Choice_choice_number && out.number == 7);
    arena_fini(&a);
}

TEST(required_fields_are_required_both_ways)
{
    struct sennit_arena a;
    arena_init(&a, NULL, 0);
    sennit_old_Old m = { .level = 5 }, inner = { 0 };
    sennit_str wire;
    const sennit_msg_desc *d = &sennit__sennit_old_Old;
    check_int(pb_encode_msg(d, &m, &a, 0, &wire), PB_MISSING);
    m.has_must = 1;
    m.older = &inner;
    check_int(pb_encode_msg(d, &m, &a, 0, &wire), PB_MISSING);
    check_int(decoded(d, &m, "", 0, &a), PB_MISSING);
    check_int(decoded(d, &m, "\x08\x01", 2, &a), PB_OK);
    check_int(decoded(d, &m, "\x08\x01\x82\x01\x02\x10\x01", 7, &a), PB_MISSING);
    /* The rest of the sub-message comes in a second piece. */
    check_int(decoded(d, &m, "\x08\x01\x82\x01\x02\x10\x01\x82\x01\x02\x08\x07", 12, &a), PB_OK);
    check(m.older->must == 7 && m.older->negative == 1);
    arena_fini(&a);
}

TEST(closed_enums_keep_what_they_do_not_know)
{
    struct sennit_arena a;
    arena_init(&a, NULL, 0);
    sennit_old_Old m;
    const sennit_msg_desc *d = &sennit__sennit_old_Old;
    check_int(decoded(d, &m, "\x08\x01\x50\x07\x50\x05\x50\x08", 8, &a), PB_OK);
    check(m.has_level && m.level == 5 && m.unknown_fields.len == 4);
    check(memcmp(m.unknown_fields.data, "\x50\x07\x50\x08", 5) == 0);
    check_int(decoded(d, &m, "\x08\x01\x92\x01\x03\x05\x06\x09\x88\x01\x04", 11, &a), PB_OK);
    check(m.packed_levels.len == 2 && m.packed_levels.data[1] == 9 && m.levels.len == 0);
    check(m.unknown_fields.len == 6 && !memcmp(m.unknown_fields.data, "\x90\1\6\x88\1\4", 6));
    static const char map[] = "\x08\x01\x9a\x01\x05\x0a\x01k\x10\x06\x9a\x01\x05\x0a\x01j\x10\x09";
    check_int(decoded(d, &m, map, sizeof map - 1, &a), PB_OK);
    check(m.named_levels.len == 1 && m.named_levels.data[0].value == 9);
    check_str(m.named_levels.data[0].key.data, "j");
    check(m.unknown_fields.len == 8 && memcmp(m.unknown_fields.data, map + 2, 8) == 0);
    arena_fini(&a);
}

TEST(extensions_are_got_set_and_taken_out)
{
    struct sennit_arena a;
    arena_init(&a, NULL, 0);
    sennit_old_Old m = { .has_must = 1 }, out;
    sennit_old_more more = { .has_value = 1, .value = -7 };
    const sennit_str words[] = { sennit_s("a"), sennit_s("b") };
    sennit_old_Within_words list = { .value = { words, 2 } };
    sennit_old_Within inner = { .has_a = 1, .a = 5 };
    sennit_old_Within_within within = { .value = &inner };
    const sennit_msg_desc *of_more = &sennit__sennit_old_more;
    check_int(pb_ext_set(of_more, &m.unknown_fields, &more, &a), PB_OK);
    check_int(pb_ext_set(&sennit__sennit_old_Within_words, &m.unknown_fields, &list, &a), PB_OK);
    check_int(pb_ext_set(&sennit__sennit_old_Within_within, &m.unknown_fields, &within, &a), PB_OK);
    more.value = 9;
    check_int(pb_ext_set(of_more, &m.unknown_fields, &more, &a), PB_OK);
    there_and_back(&sennit__sennit_old_Old, &m, &out, &a);
    check_int(pb_ext_get(of_more, out.unknown_fields, &more, &a), PB_OK);
    check(more.has_value && more.value == 9 && more.unknown_fields.len == 0);
    check_int(pb_ext_get(&sennit__sennit_old_Within_words, out.unknown_fields, &list, &a), PB_OK);
    check(list.value.len == 2 && !strcmp(list.value.data[1].data, "b"));
    check_int(pb_ext_get(&sennit__sennit_old_Within_within, out.unknown_fields, &within, &a), 0);
    check(within.has_value && within.value->a == 5);
    check_int(pb_ext_set(of_more, &out.unknown_fields, NULL, &a), PB_OK);
    check_int(pb_ext_get(of_more, out.unknown_fields, &more, &a), PB_OK);
    check(!more.has_value && more.value == 0);
    arena_fini(&a);
}

TEST(message_sets_wrap_their_extensions)
{
    struct sennit_arena a;
    arena_init(&a, NULL, 0);
    sennit_old_Set set = { 0 };
    sennit_old_Item text = { .has_text = 1, .text = sennit_s("hi") };
    sennit_old_Item_item item = { .value = &text };
    check_int(pb_ext_set(&sennit__sennit_old_Item_item, &set.unknown_fields, &item, &a), PB_OK);
    check_int(set.unknown_fields.len, 11);
    check(!memcmp(set.unknown_fields.data, "\x0b\x10\xe8\x07\x1a\x04\x0a\x02hi\x0c", 11));
    check_int(pb_ext_get(&sennit__sennit_old_Item_item, set.unknown_fields, &item, &a), PB_OK);
    check(item.has_value);
    check_str(item.value->text.data, "hi");
    arena_fini(&a);
}

TEST(file_tables_name_all_types)
{
    const sennit_file_desc *f = &sennit_file__all_kinds_proto;
    check_str(f->name, "all_kinds.proto");
    check(f->n_deps == 1 && f->deps[0] == &sennit_file__forwarding_proto);
    check(f->deps[0]->deps[0] == &sennit_file__imported_proto);
    check(f->messages[0]->file == f && f->n_enums == 2);
    f = &sennit_file__old_kinds_proto;
    check_int(f->n_exts, 4);
    check(f->exts[0].extendee == &sennit__sennit_old_Old);
    check_str(f->exts[0].value->name, "sennit.old.more");
    const sennit_field *renamed = &sennit__sennit_old_Old.fields[19 - 1];
    check(renamed->number == 20 && renamed->flags & SENNIT_FIELD_JSON);
    check_str(renamed->name + strlen(renamed->name) + 1, "other name");
}

TEST(enum_tables_are_in_the_order_of_numbers)
{
    const sennit_enum_desc *e = &sennit__sennit_test_Colour;
    check_int(e->n_values, 5);
    check_str(e->name, "sennit.test.Colour");
    check_int(e->values[0].number, INT32_MIN);
    check_str(pb_enum_value(e, 3)->name, "COLOUR_RED"); /* the first of two names */
    check_str(e->values[3].name, "COLOUR_CRIMSON");
    check_str(pb_enum_value(e, INT32_MAX)->name, "COLOUR_HIGHEST");
    check(!pb_enum_value(e, 4) && !pb_enum_value(e, -1));
}

static sennit_err get_feature(void *self, sennit_ctx *ctx, const rg_Point *request,
                              rg_Feature *reply)
{
    (void)ctx;
    noted[0] = self;
    noted[1] = request;
    noted[2] = reply;
    return NULL;
}

static sennit_err route_chat(void *self, sennit_ctx *ctx, rg_RouteGuide_RouteChatServer stream)
{
    (void)self, (void)ctx;
    noted[3] = stream.s;
    return NULL;
}

TEST(methods_reach_the_service_struct)
{
    const sennit_service_desc *d = &sennit__routeguide_RouteGuide;
    const rg_RouteGuideService service = { .GetFeature = get_feature, .RouteChat = route_chat };
    rg_Point point = { 0 };
    rg_Feature feature;
    int self, stream;
    check_int(d->n_methods, 4);
    check_str(d->name, "routeguide.RouteGuide");
    check_str(d->methods[3].path, "/routeguide.RouteGuide/RouteChat");
    for (uint32_t i = 0; i < 4; i++)
        check_int(d->methods[i].flags, (i == 2 || i == 3) | (i == 1 || i == 3) << 1);
    check(!d->methods[0].invoke(&service, &self, NULL, &point, &feature, NULL));
    check(noted[0] == &self && noted[1] == &point && noted[2] == &feature);
    sennit_stream *s = (sennit_stream *)(void *)&stream;
    check(!d->methods[3].invoke(&service, &self, NULL, NULL, NULL, s));
    check(noted[3] == &stream);
    for (uint32_t i = 1; i < 3; i++) {
        sennit_err err = d->methods[i].invoke(&service, &self, NULL, &point, &feature, s);
        check(err && err->code == SENNIT_UNIMPLEMENTED && noted[0] == &d->methods[i]);
    }
}

TEST(clients_pass_on_what_they_are_given)
{
    rg_RouteGuideClient client = { NULL };
    sennit_call_options options = { 0 };
    rg_Point point = { 0 };
    rg_Rectangle rectangle = { 0 };
    rg_Feature feature;
    check(!rg_RouteGuide_GetFeature(client, NULL, &point, &feature));
    check(noted[0] == &sennit__routeguide_RouteGuide_methods[0] && noted[1] == &point &&
          noted[2] == &feature && !noted[3]);
    check(!rg_RouteGuide_GetFeature_with(client, NULL, &options, &point, &feature));
    check(noted[3] == &options);
    rg_RouteGuide_ListFeaturesClient s =
        rg_RouteGuide_ListFeatures_with(client, NULL, &options, &rectangle);
    check(noted[1] == &rectangle && (const void *)s.s == &sennit__routeguide_RouteGuide_methods[1]);
    rg_RouteGuide_RouteChatClient chat = rg_RouteGuide_RouteChat(client, NULL);
    check(!noted[1] && (const void *)chat.s == &sennit__routeguide_RouteGuide_methods[3]);
}
