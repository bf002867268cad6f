/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * test_formats.c: JSON and text format, both ways: values as the specification has them, what is
 * refused and how it is said, every truncation, depth, and memory that ends at every point. The
 * bulk of cases is protobuf's own suite (test/conformance/run); here stands what it does not ask.
 */
#include <locale.h>
#include <stdlib.h>

#include "base/arena.h"
#include "harness.h"
#include "pb/pb.h"

#include "all_kinds.sennit.h"
#include "known_kinds.sennit.h"
#include "old_kinds.sennit.h"

sennit_err sennit_not_implemented(const sennit_method *m)
{
    (void)m;
    return NULL;
}

#define KNOWN (&sennit__sennit_known_Known)
#define KINDS (&sennit__sennit_test_Optionals)

typedef enum pb_result reader(struct sennit_arena *, const sennit_msg_desc *, sennit_str,
                              const sennit_format_options *, void *, struct pb_why *);
typedef enum pb_result writer(struct sennit_arena *, const sennit_msg_desc *, const void *,
                              const sennit_format_options *, sennit_str *, struct pb_why *);

static const sennit_file_desc *const files[] = { &sennit_file__all_kinds_proto,
                                                 &sennit_file__old_kinds_proto };
static const sennit_format_options plain = { .files = files, .n_files = 2 };
static struct sennit_arena arena;

/* The text that `from` becomes when it is read and written again; or why not. */
static const char *again(const sennit_msg_desc *d, const char *from, const sennit_format_options *o,
                         reader *read, writer *write)
{
    static struct pb_why why;
    sennit_str out;
    void *msg = arena_alloc(&arena, d->size);
    check(msg);
    enum pb_result r = read(&arena, d, sennit_s(from), o, msg, &why);
    if (r == PB_OK)
        r = write(&arena, d, msg, o, &out, &why);
    if (r == PB_OK)
        return out.data;
    return why.text[0] ? why.text : pb_result_text(r);
}

static const char *json(const sennit_msg_desc *d, const char *from)
{
    return again(d, from, &plain, pb_json_decode, pb_json_encode);
}

static const char *text(const sennit_msg_desc *d, const char *from)
{
    return again(d, from, &plain, pb_text_decode, pb_text_encode);
}

TEST(json_numbers_are_read_in_every_form_and_written_in_one)
{
    static const struct {
        const char *from, *to;
    } cases[] = {
        { "{\"fInt32\": 1e3}", "{\"fInt32\":1000}" },
        { "{\"f_int32\": \"-0\"}", "{\"fInt32\":0}" },
        { "{\"fInt32\": 2147483648}", "line 1: not a value for this field: f_int32" },
        { "{\"fInt32\": 1.5}", "line 1: not a value for this field: f_int32" },
        { "{\"fUint64\": 18446744073709551615}", "{\"fUint64\":\"18446744073709551615\"}" },
        { "{\"fUint64\": 18446744073709551616}", "line 1: not a value for this field: f_uint64" },
        { "{\"fUint64\": -1}", "line 1: not a value for this field: f_uint64" },
        { "{\"fDouble\": 0.1}", "{\"fDouble\":0.1}" },
        { "{\"fDouble\": \"-Infinity\"}", "{\"fDouble\":\"-Infinity\"}" },
        { "{\"fDouble\": 1e999}", "line 1: not a value for this field: f_double" },
        { "{\"fFloat\": 16777217}", "{\"fFloat\":16777216}" },
        { "{\"fFloat\": 3.4028236e38}", "line 1: not a value for this field: f_float" },
        { "{\"fBool\": \"true\"}", "line 1: not a value for this field: f_bool" },
        { "{\"fEnum\": \"COLOUR_CRIMSON\"}", "{\"fEnum\":\"COLOUR_RED\"}" },
        { "{\"fEnum\": 77}", "{\"fEnum\":77}" },
        { "{\"fBytes\": \"-_8=\"}", "{\"fBytes\":\"+/8=\"}" },
        { "{\"fBytes\": \"a\"}", "line 1: not base64: f_bytes" },
        { "{\"fString\": \"\\u00e9\\ud83d\\ude00\\u0007\"}",
          "{\"fString\":\"\303\251\360\237\230\200\\u0007\"}" },
        { "{\"fString\": \"\\ud83d\"}",
          "line 1: a string has half a surrogate pair in it: f_string" },
        { "{\"fString\": null}", "{}" },
    };
    arena_init(&arena, NULL, 0);
    for (size_t i = 0; i < countof(cases); i++)
        check_str(json(KINDS, cases[i].from), cases[i].to);
    arena_fini(&arena);
}

TEST(json_errors_name_the_line)
{
    static const struct {
        const char *from, *to;
    } cases[] = {
        { "{\n\n  \"nobody\": 1}", "line 3: no such field: nobody" },
        { "{\"fInt32\": 1,\n \"fInt32\": 2}", "line 2: the field is there twice: f_int32" },
        { "{\"fInt32\": 1,}", "line 1: a name in quotes is expected" },
        { "{\"fInt32\": 01}", "line 1: a number is malformed" },
        { "{\"fInt32\" 1}", "line 1: ':' is expected" },
        { "{\"fString\": \"\t\"}", "line 1: a string has a control character in it" },
        { "{\"fString\": \"\\x\"}", "line 1: a string has an unknown escape in it" },
        { "{} {}", "line 1: there is more behind the value" },
        { "[]", "line 1: not a value for the message: sennit.test.Optionals" },
        { "", "line 1: the text ends too early" },
        { "{\"fString\": \"\377\"}", "a string is not valid UTF-8" },
    };
    arena_init(&arena, NULL, 0);
    for (size_t i = 0; i < countof(cases); i++)
        check_str(json(KINDS, cases[i].from), cases[i].to);
    check_str(json(&sennit__sennit_test_Choice, "{\"number\":1,\"text\":\"a\"}"),
              "line 1: two fields of one oneof: text");
    arena_fini(&arena);
}

TEST(types_of_google_protobuf_have_their_own_json)
{
    static const char *const same[] = {
        "{\"time\":\"0001-01-01T00:00:00Z\"}",
        "{\"time\":\"9999-12-31T23:59:59.999999999Z\"}",
        "{\"time\":\"2000-02-29T12:00:00.120Z\"}",
        "{\"time\":\"1969-12-31T23:59:59Z\"}",
        "{\"duration\":\"-0.500s\"}",
        "{\"duration\":\"315576000000s\"}",
        "{\"mask\":\"a,fooBar.b\"}",
        "{\"struct\":{\"a\":[1,null,{\"b\":\"c\"},true],\"d\":{}}}",
        "{\"value\":null}",
        "{\"value\":[[],{}]}",
        "{\"list\":[1,\"two\"]}",
        "{\"big\":\"-5\",\"text\":\"t\",\"octets\":\"AA==\"}",
        "{\"values\":[null,1,\"a\"]}",
        "{\"nothing\":null}",
        "{\"snakeCase2nd\":1,\"@new name\":2}",
        "{\"any\":{}}",
        "{\"any\":{\"@type\":\"t/sennit.known.Known\",\"text\":\"x\"}}",
        "{\"any\":{\"@type\":\"t/google.protobuf.Duration\",\"value\":\"1s\"}}",
        "{\"any\":{\"@type\":\"t/google.protobuf.Any\",\"value\":{\"@type\":\"u/google.protobuf."
        "Value\",\"value\":{\"x\":1}}}}",
        "{\"anys\":{\"k\":{\"@type\":\"t/sennit.test.Outer\",\"inner\":{\"state\":\"STATE_DONE\"}}}"
        "}",
    };
    arena_init(&arena, NULL, 0);
    for (size_t i = 0; i < countof(same); i++)
        check_str(json(KNOWN, same[i]), same[i]);
    check_str(json(KNOWN, "{\"time\":\"2016-12-31T23:59:59.5+05:30\"}"),
              "{\"time\":\"2016-12-31T18:29:59.500Z\"}");
    check_str(json(KNOWN, "{\"any\":{\"text\":\"x\",\"@type\":\"t/sennit.known.Known\"}}"),
              "{\"any\":{\"@type\":\"t/sennit.known.Known\",\"text\":\"x\"}}");
    arena_fini(&arena);
}

TEST(bad_values_of_these_types_are_refused)
{
    static const struct {
        const char *from, *to;
    } cases[] = {
        { "{\"time\":\"2001-02-29T00:00:00Z\"}", "line 1: not a timestamp: 2001-02-29T00:00:00Z" },
        { "{\"time\":\"2001-02-28T00:00:00\"}", "line 1: not a timestamp: 2001-02-28T00:00:00" },
        { "{\"time\":\"0000-02-28T00:00:00Z\"}", "line 1: not a timestamp: 0000-02-28T00:00:00Z" },
        { "{\"duration\":\"1\"}", "line 1: not a duration: 1" },
        { "{\"duration\":\"315576000001s\"}", "line 1: not a duration: 315576000001s" },
        { "{\"duration\":\"1.0123456789s\"}", "line 1: not a duration: 1.0123456789s" },
        { "{\"mask\":\"a_b\"}", "line 1: not a field mask: a_b" },
        { "{\"any\":{\"a\":1}}", "line 1: an Any has no \"@type\"" },
        { "{\"any\":{\"@type\":\"x\"}}", "line 1: no such type is known: x" },
        { "{\"any\":{\"@type\":\"t/google.protobuf.Duration\"}}",
          "line 1: an Any of this type has a \"value\": google.protobuf.Duration" },
        { "{\"values\":[1,", "line 1: the text ends too early" },
        { "{\"again\":[]}", "line 1: not a value for the message: sennit.known.Known" },
        { "{\"more\":[null]}", "line 1: null is no element: more" },
        { "{\"anys\":{\"a\":null}}", "line 1: null is no value in a map: anys" },
    };
    arena_init(&arena, NULL, 0);
    for (size_t i = 0; i < countof(cases); i++)
        check_str(json(KNOWN, cases[i].from), cases[i].to);
    arena_fini(&arena);
}

TEST(values_that_json_cannot_have_are_not_written)
{
    struct pb_why why;
    sennit_str out;
    arena_init(&arena, NULL, 0);
    google_protobuf_Timestamp late = { .seconds = INT64_MAX };
    google_protobuf_Duration mixed = { .seconds = 1, .nanos = -1 };
    google_protobuf_Value unset = { 0 };
    google_protobuf_Any strange = { .type_url = sennit_s("t/no.Such"), .value = { "\1", 1 } };
    google_protobuf_Any broken = { .type_url = sennit_s("t/sennit.known.Known"),
                                   .value = { "\1", 1 } };
    const sennit_str paths[] = { sennit_s("a__b") };
    google_protobuf_FieldMask mask = { .paths = { paths, 1 } };
    const sennit_known_Known bad[] = { { .time = &late },   { .duration = &mixed },
                                       { .value = &unset }, { .any = &strange },
                                       { .mask = &mask },   { .any = &broken } };
    for (size_t i = 0; i < countof(bad); i++)
        check(pb_json_encode(&arena, KNOWN, &bad[i], &plain, &out, &why) != PB_OK);
    arena_fini(&arena);
}

TEST(options_choose_the_form)
{
    static const char from[] = "{\"fInt32\":1,\"unknown\":{\"a\":[{}]},\"fEnum\":\"WHAT\"}";
    sennit_format_options o = { .ignore_unknown = true, .proto_names = true };
    arena_init(&arena, NULL, 0);
    check_str(again(KINDS, from, &o, pb_json_decode, pb_json_encode), "{\"f_int32\":1}");
    o = (sennit_format_options){ .enum_numbers = true, .multi_line = true };
    check_str(again(KINDS, "{\"fEnum\":\"COLOUR_RED\"}", &o, pb_json_decode, pb_json_encode),
              "{\n  \"fEnum\": 3\n}");
    check_str(again(KINDS, "f_enum: COLOUR_RED f_message { f_bool: true }", &o, pb_text_decode,
                    pb_text_encode),
              "f_message {\n  f_bool: true\n}\nf_enum: 3\n");
    o = (sennit_format_options){ .all_fields = true };
    check_str(again(&sennit__sennit_test_Choice, "{}", &o, pb_json_decode, pb_json_encode),
              "{\"before\":\"\",\"behind\":\"\"}");
    o = (sennit_format_options){ .ignore_unknown = true, .unknown_fields = true };
    check_str(again(KINDS, "what: 1 else < a: [1, 2] > [x.y]: \"a\" \"b\" f_int32: 2", &o,
                    pb_text_decode, pb_text_encode),
              "f_int32: 2");
    arena_fini(&arena);
}

TEST(text_format_takes_every_literal)
{
    static const struct {
        const char *from, *to;
    } cases[] = {
        { "f_int32: -0x10 f_uint32: 017", "f_int32: -16 f_uint32: 15" },
        { "f_double: 1.5e1f; f_float: -inf", "f_double: 15 f_float: -inf" },
        { "f_bool: t, f_enum: COLOUR_CRIMSON", "f_bool: true f_enum: COLOUR_RED" },
        { "f_string: 'a' \"b\\n\\x41\\101\" # comment\n", "f_string: \"ab\\nAA\"" },
        { "f_bytes: \"\\377\\000\"", "f_bytes: \"\\377\\000\"" },
        { "f_message <f_int32: 1>", "f_message { f_int32: 1 }" },
        { "f_int32: 1 f_int32: 2", "line 1: the field is there twice, at \"f_int32\"" },
        { "f_int32: 1,,", "line 1: the name of a field is expected, at \",\"" },
        { "f_int32 1", "line 1: ':' is expected, at \"1\"" },
        { "\nf_string: \"a", "line 2: a string is expected, at \"a\"" },
        { "f_string: \"\\377\"", "line 1: a string that is not UTF-8, at \"\"" },
        { "f_message {", "line 1: the name of a field is expected, at \"\"" },
        { "what: 1", "line 1: no such field, at \"what\"" },
    };
    arena_init(&arena, NULL, 0);
    for (size_t i = 0; i < countof(cases); i++)
        check_str(text(KINDS, cases[i].from), cases[i].to);
    arena_fini(&arena);
}

TEST(extensions_groups_and_sets_have_text_and_json)
{
    static const char old[] = "must: 1 Group { a: 2 } [sennit.old.more]: 3 "
                              "[sennit.old.Within.within] { a: 4 } "
                              "[sennit.old.Within.words]: \"x\" [sennit.old.Within.words]: \"y\"";
    static const char old_json[] = "{\"must\":1,\"group\":{\"a\":2},\"other name\":\"r\","
                                   "\"[sennit.old.more]\":3,\"[sennit.old.Within.within]\":"
                                   "{\"a\":4},\"[sennit.old.Within.words]\":[\"x\",\"y\"]}";
    static const char set[] = "[sennit.old.Item.item] { text: \"s\" }";
    static const char set_json[] = "{\"[sennit.old.Item.item]\":{\"text\":\"s\"}}";
    static const char any[] = "any { [t/sennit.test.Outer] { inner { state: STATE_DONE } } }";
    arena_init(&arena, NULL, 0);
    check_str(text(&sennit__sennit_old_Old, old), old);
    check_str(json(&sennit__sennit_old_Old, old_json), old_json);
    check_str(text(&sennit__sennit_old_Set, set), set);
    check_str(json(&sennit__sennit_old_Set, set_json), set_json);
    check_str(text(KNOWN, any), any);
    check_str(json(&sennit__sennit_old_Old, "{}"), "a required field is missing");
    arena_fini(&arena);
}

TEST(another_locale_changes_nothing)
{
    arena_init(&arena, NULL, 0);
    if (setlocale(LC_ALL, "de_DE.UTF-8"))
        check_str(json(KINDS, "{\"fDouble\":1.5}"), "{\"fDouble\":1.5}");
    check_str(text(KINDS, "f_double: 1.5"), "f_double: 1.5");
    arena_fini(&arena);
}

static const char large_json[] =
    "{\"any\":{\"@type\":\"t/sennit.known.Known\",\"value\":{\"a\":[1,2]}},\"time\":"
    "\"2000-01-01T00:00:00Z\",\"struct\":{\"\\u0041\":[1,null,{\"b\":\"c\"}]},\"anys\":{\"k\":"
    "{\"@type\":\"t/google.protobuf.Value\",\"value\":[{}]}},\"again\":{\"values\":[1,[2]]},"
    "\"more\":[{},{\"big\":\"1\"}]}";
static const char large_text[] = "any { [t/sennit.known.Known] { value { number_value: 1 } } } "
                                 "struct { fields { key: \"a\" value { list_value { values { "
                                 "bool_value: true } } } } } more {} more < big { value: 1 } >";

TEST(every_truncation_is_refused_or_read)
{
    const char *const wholes[] = { large_json, large_text };
    reader *const readers[] = { pb_json_decode, pb_text_decode };
    for (size_t k = 0; k < 2; k++) {
        size_t n = strlen(wholes[k]);
        for (size_t i = 0; i <= n; i++) {
            sennit_known_Known m;
            struct pb_why why;
            char *exact = malloc(i ? i : 1); /* so that a sanitizer sees what is read beyond */
            check(exact);
            memcpy(exact, wholes[k], i);
            arena_init(&arena, NULL, 0);
            enum pb_result r =
                readers[k](&arena, KNOWN, (sennit_str){ exact, i }, &plain, &m, &why);
            check(r == PB_OK ? k == 1 || i == n : i < n);
            arena_fini(&arena);
            free(exact);
        }
    }
}

/* head, n times open, as one text. */
static sennit_str nested(const char *head, const char *open, size_t n)
{
    size_t h = strlen(head), o = strlen(open);
    char *s = arena_alloc(&arena, h + n * o + 1);
    check(s);
    memcpy(s, head, h);
    for (size_t i = 0; i < n; i++)
        memcpy(s + h + i * o, open, o);
    return (sennit_str){ s, h + n * o };
}

TEST(depth_has_an_end)
{
    static const struct {
        const char *head, *open;
        bool json;
    } cases[] = {
        { "{\"value\":", "[", true },
        { "{\"value\":", "{\"a\":", true },
        { "", "{\"again\":", true },
        { "{\"nobody\":", "[", true },
        { "{\"any\":", "{\"@type\":\"t/google.protobuf.Any\",\"value\":", true },
        { "", "again{", false },
        { "", "what{", false },
        { "any{", "[t/sennit.known.Known]{any{", false },
    };
    sennit_format_options o = { .ignore_unknown = true };
    for (size_t i = 0; i < countof(cases); i++) {
        sennit_known_Known m;
        struct pb_why why;
        arena_init(&arena, NULL, 0);
        sennit_str s = nested(cases[i].head, cases[i].open, 1000000);
        check((cases[i].json ? pb_json_decode : pb_text_decode)(&arena, KNOWN, s, &o, &m, &why) !=
              PB_OK);
        arena_fini(&arena);
    }
}

/* A hundred messages within each other are written and read; one more is not. */
TEST(a_hundred_levels_are_fine)
{
    sennit_known_Known chain[101];
    sennit_str out;
    struct pb_why why;
    arena_init(&arena, NULL, 0);
    for (size_t i = 0; i < 101; i++)
        chain[i] = (sennit_known_Known){ .again = i < 100 ? &chain[i + 1] : NULL, .some = 1 };
    check_int(pb_encode_msg(KNOWN, &chain[1], &arena, 0, &out), PB_OK);
    check_int(pb_encode_msg(KNOWN, &chain[0], &arena, 0, &out), PB_TOO_DEEP);
    check_int(pb_json_encode(&arena, KNOWN, &chain[1], &plain, &out, &why), PB_OK);
    check_int(pb_json_decode(&arena, KNOWN, out, &plain, &chain[0], &why), PB_OK);
    check_int(pb_text_encode(&arena, KNOWN, &chain[1], &plain, &out, &why), PB_OK);
    check_int(pb_text_decode(&arena, KNOWN, out, &plain, &chain[0], &why), PB_OK);
    chain[0].again = &chain[0]; /* without end */
    check_int(pb_json_encode(&arena, KNOWN, &chain[0], &plain, &out, &why), PB_TOO_DEEP);
    check_int(pb_text_encode(&arena, KNOWN, &chain[0], &plain, &out, &why), PB_TOO_DEEP);
    arena_fini(&arena);
}

/* Memory that ends after each possible number of octets: an error each time, until it suffices. */
static void with_little_memory(const char *from, reader *read, writer *write)
{
    bool good = false;
    for (size_t cap = 0; !good && cap < (1 << 20); cap += 24) {
        sennit_known_Known m;
        sennit_str out;
        struct pb_why why;
        arena_init(&arena, NULL, 0);
        arena.cap = cap;
        enum pb_result r = read(&arena, KNOWN, sennit_s(from), &plain, &m, &why);
        if (r == PB_OK)
            r = write(&arena, KNOWN, &m, &plain, &out, &why);
        check(r == PB_OK || r == PB_NO_MEMORY);
        good = r == PB_OK;
        arena_fini(&arena);
    }
    check(good);
}

TEST(memory_may_end_anywhere)
{
    with_little_memory(large_json, pb_json_decode, pb_json_encode);
    with_little_memory(large_text, pb_text_decode, pb_text_encode);
}

TEST_FAULTS(each_allocation_may_fail)
{
    sennit_known_Known m;
    sennit_str out;
    struct pb_why why;
    arena_init(&arena, NULL, 0);
    enum pb_result r = pb_json_decode(&arena, KNOWN, sennit_s(large_json), &plain, &m, &why);
    if (r == PB_OK)
        r = pb_json_encode(&arena, KNOWN, &m, &plain, &out, &why);
    if (r == PB_OK)
        r = pb_text_encode(&arena, KNOWN, &m, &plain, &out, &why);
    if (r == PB_OK)
        r = pb_text_decode(&arena, KNOWN, out, &plain, &m, &why);
    check(r == PB_OK || (r == PB_NO_MEMORY && test_under_fault()));
    arena_fini(&arena);
}
