/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * json_decode.c: JSON to the wire, and from there to structs (format.h). What is open stands on a
 * stack of frames in the arena, so depth has one limit and costs no native stack. */
#include "base/json.h"
#include "base/number.h"
#include "pb/format.h"

#include <float.h>
#include <stdio.h>

enum jd_kind {
    JD_CLOSE,   /* something ended below: its length is due */
    JD_MESSAGE, /* in an object that is a message */
    JD_LIST,    /* in the array of a repeated field */
    JD_MAP,     /* in the object of a map field */
    JD_ANY      /* in an Any whose message has a form of its own: "@type" and "value" */
};
struct jd_frame {
    enum jd_kind kind;
    bool any;                  /* MESSAGE: it is inside an Any; ANY: "value" was there */
    const sennit_msg_desc *d;  /* MESSAGE, ANY */
    const sennit_field *field; /* LIST, MAP */
    size_t mark;               /* where its content began, or PB_NO_MARK */
    uint32_t group;            /* ends with END_GROUP of this number, not with a length */
    size_t seen;               /* MESSAGE: its first bit among `seen` of the reader */
};
struct jd {
    struct json json;
    struct pb_out out, seen; /* seen: an octet for each field of each open message */
    struct pb_types types;
    const sennit_format_options *o;
    struct sennit_arena *a;
    struct jd_frame *top, *frames;
    size_t room;
    struct pb_why *why;
};

static enum pb_result jd_fail(struct jd *r, const char *what, sennit_str about)
{
    size_t line = 1;
    for (const char *s = r->json.start; s < r->json.at; s++)
        line += *s == '\n';
    int n = (int)min_size(about.len, 80);
    snprintf(r->why->text, sizeof r->why->text, "line %zu: %s%s%.*s", line, what, n ? ": " : "", n,
             n ? about.data : "");
    return PB_BAD_TEXT;
}

static enum pb_result jd_token_failed(struct jd *r)
{
    return jd_fail(r, r->json.error, (sennit_str){ "", 0 });
}

static enum pb_result jd_push(struct jd *r, struct jd_frame frame)
{
    size_t n = (size_t)(r->top - r->frames) + 1;
    if (r->json.depth > LIMIT_PB_DEPTH)
        return PB_TOO_DEEP;
    if (n == r->room) {
        struct jd_frame *bigger = pb_grow_frames(r->a, r->frames, sizeof *bigger, n, &r->room);
        if (!bigger)
            return PB_NO_MEMORY;
        r->frames = bigger;
        r->top = bigger + n - 1;
    }
    if (frame.kind == JD_MESSAGE) {
        frame.seen = r->seen.len;
        char *bits = pb_out_room(&r->seen, frame.d->n_fields);
        if (!bits)
            return r->seen.result;
        memset(bits, 0, frame.d->n_fields);
        r->seen.len += frame.d->n_fields;
    }
    *++r->top = frame;
    return PB_OK;
}

static void jd_pop(struct jd *r)
{
    struct jd_frame *f = r->top--;
    if (f->kind == JD_MESSAGE)
        r->seen.len = f->seen;
    if (f->group)
        pb_out_tag(&r->out, f->group, PB_END_GROUP);
    else if (f->mark != PB_NO_MARK)
        pb_out_close(&r->out, f->mark);
}

/* The text of the current token without escapes; data NULL: *result says why. */
static sennit_str jd_text(struct jd *r, enum pb_result *result)
{
    sennit_str s = r->json.text;
    *result = PB_OK;
    if (!r->json.escaped)
        return s;
    char *plain = arena_alloc(r->a, s.len + 1);
    *result = PB_NO_MEMORY;
    if (!plain)
        return (sennit_str){ NULL, 0 };
    size_t n = json_unescape(s, plain);
    *result = PB_OK;
    if (n == SIZE_MAX) {
        *result = jd_fail(r, "a string has half a surrogate pair in it", (sennit_str){ "", 0 });
        return (sennit_str){ NULL, 0 };
    }
    return (sennit_str){ plain, n };
}

/* -- scalars ---------------------------------------------------------------------------------- */

static bool jd_real(const sennit_field *f, sennit_str s, bool quoted, uint64_t *bits)
{
    double d;
    if (quoted && pb_name_is("NaN", s))
        d = __builtin_nan("");
    else if (quoted && (pb_name_is("Infinity", s) || pb_name_is("-Infinity", s)))
        d = s.data[0] == '-' ? -__builtin_inf() : __builtin_inf();
    else if (!number_parse(s.data, s.len, &d) || d > DBL_MAX || d < -DBL_MAX)
        return false;
    else if (pb_kind(f) == SENNIT_KIND_FLOAT && (d > 0x1.ffffffp127 || d < -0x1.ffffffp127))
        return false; /* further from FLT_MAX than half a step */
    *bits = 0;
    if (pb_kind(f) == SENNIT_KIND_DOUBLE) {
        memcpy(bits, &d, sizeof d);
    } else {
        float narrow = (float)d;
        memcpy(bits, &narrow, sizeof narrow);
    }
    return true;
}

static bool jd_whole(const sennit_field *f, sennit_str s, uint64_t *bits)
{
    int64_t v;
    switch (pb_kind(f)) {
    case SENNIT_KIND_INT64:
    case SENNIT_KIND_SINT64:
    case SENNIT_KIND_SFIXED64:
        if (!number_parse_int(s.data, s.len, &v))
            return false;
        *bits = (uint64_t)v;
        return true;
    case SENNIT_KIND_UINT64:
    case SENNIT_KIND_FIXED64:
        return number_parse_uint(s.data, s.len, bits);
    case SENNIT_KIND_UINT32:
    case SENNIT_KIND_FIXED32:
        return number_parse_uint(s.data, s.len, bits) && *bits <= UINT32_MAX;
    default:
        if (!number_parse_int(s.data, s.len, &v) || v < INT32_MIN || v > INT32_MAX)
            return false;
        *bits = (uint64_t)v;
        return true;
    }
}

/* *skip: the name of an enum value is unknown, and that is to be ignored. */
static enum pb_result jd_enum(struct jd *r, const sennit_field *f, enum json_token token,
                              sennit_str s, bool *skip)
{
    uint64_t bits = 0;
    if (token == JSON_STRING) {
        const sennit_enum_value *v = pb_enum_named(f->type, s);
        *skip = !v && r->o->ignore_unknown;
        if (*skip)
            return PB_OK;
        if (!v)
            return jd_fail(r, "no value of the enum has this name", s);
        bits = (uint64_t)(int64_t)v->number;
    } else if (token == JSON_NUMBER ? !jd_whole(f, s, &bits)
                                    : token != JSON_NULL || !pb_is_null_value(f)) {
        return jd_fail(r, "not a value of the enum field", sennit_s(f->name));
    }
    pb_out_number(&r->out, f, bits);
    return PB_OK;
}

static enum pb_result jd_octets(struct jd *r, const sennit_field *f)
{
    struct pb_out *o = &r->out;
    pb_out_tag(o, f->number, PB_LENGTH);
    size_t mark = o->len;
    if (pb_kind(f) == SENNIT_KIND_BYTES) {
        enum pb_result result;
        sennit_str s = jd_text(r, &result);
        if (!s.data)
            return result;
        if (!pb_base64_parse(o, s))
            return jd_fail(r, "not base64", sennit_s(f->name));
    } else if (!r->json.escaped) {
        pb_out_add(o, r->json.text.data, r->json.text.len);
    } else {
        char *to = pb_out_room(o, r->json.text.len);
        size_t n = to ? json_unescape(r->json.text, to) : 0;
        if (n == SIZE_MAX)
            return jd_fail(r, "a string has half a surrogate pair in it", sennit_s(f->name));
        o->len += n;
    }
    pb_out_close(o, mark);
    return PB_OK;
}

static enum pb_result jd_scalar(struct jd *r, const sennit_field *f, enum json_token token,
                                bool *skip)
{
    enum pb_result result = PB_OK;
    uint64_t bits = token == JSON_TRUE;
    bool quoted = token == JSON_STRING, good;
    if (quoted && pb_kind_wire[pb_kind(f)] == PB_LENGTH)
        return jd_octets(r, f);
    sennit_str s = quoted ? jd_text(r, &result) : r->json.text;
    if (result != PB_OK)
        return result;
    if (pb_kind(f) == SENNIT_KIND_ENUM)
        return jd_enum(r, f, token, s, skip);
    if (pb_kind(f) == SENNIT_KIND_BOOL)
        good = token == JSON_TRUE || token == JSON_FALSE;
    else if (token != JSON_NUMBER && !quoted)
        good = false;
    else if (pb_kind(f) == SENNIT_KIND_DOUBLE || pb_kind(f) == SENNIT_KIND_FLOAT)
        good = jd_real(f, s, quoted, &bits);
    else
        good = pb_kind_wire[pb_kind(f)] != PB_LENGTH && jd_whole(f, s, &bits);
    if (!good)
        return jd_fail(r, "not a value for this field", sennit_s(f->name));
    pb_out_number(&r->out, f, bits);
    return PB_OK;
}

/* -- messages --------------------------------------------------------------------------------- */

static enum pb_result jd_time(struct jd *r, enum pb_known known)
{
    enum pb_result result;
    sennit_str s = jd_text(r, &result);
    int64_t seconds;
    int32_t nanos;
    if (!s.data)
        return result;
    if (known == PB_FIELD_MASK)
        return pb_field_mask_parse(&r->out, s) ? PB_OK : jd_fail(r, "not a field mask", s);
    if (known == PB_TIMESTAMP ? !pb_timestamp_parse(s, &seconds, &nanos)
                              : !pb_duration_parse(s, &seconds, &nanos))
        return jd_fail(r, known == PB_TIMESTAMP ? "not a timestamp" : "not a duration", s);
    pb_out_tag(&r->out, 1, PB_VARINT);
    pb_out_varint(&r->out, (uint64_t)seconds);
    pb_out_tag(&r->out, 2, PB_VARINT);
    pb_out_varint(&r->out, (uint64_t)(int64_t)nanos);
    return PB_OK;
}

/* google.protobuf.Value: the token decides which field of it. Structs and lists stay open. */
static enum pb_result jd_value(struct jd *r, const sennit_msg_desc *d, enum json_token token,
                               struct jd_frame *frame)
{
    bool skip = false;
    switch (token) {
    case JSON_NULL:
        pb_out_number(&r->out, &d->fields[0], 0);
        return PB_OK;
    case JSON_NUMBER:
        return jd_scalar(r, &d->fields[1], token, &skip);
    case JSON_STRING:
        return jd_scalar(r, &d->fields[2], token, &skip);
    case JSON_TRUE:
    case JSON_FALSE:
        return jd_scalar(r, &d->fields[3], token, &skip);
    default: {
        const sennit_field *f = &d->fields[token == JSON_OBJECT ? 4 : 5];
        enum pb_result result = jd_push(r, *frame);
        pb_out_tag(&r->out, f->number, PB_LENGTH);
        *frame = (struct jd_frame){ .kind = token == JSON_OBJECT ? JD_MAP : JD_LIST,
                                    .field = ((const sennit_msg_desc *)f->type)->fields,
                                    .mark = r->out.len };
        return result != PB_OK ? result : jd_push(r, *frame);
    }
    }
}

/* Looks ahead for "@type" of the object that was just opened. */
static enum pb_result jd_any_type(struct jd *r, sennit_str *url, bool *empty)
{
    struct json here = r->json;
    enum pb_result result = PB_OK;
    *url = (sennit_str){ NULL, 0 };
    *empty = true;
    enum json_token token = json_next(&r->json);
    for (; token == JSON_KEY && !url->data; token = json_next(&r->json)) {
        bool is = pb_name_is("@type", r->json.text);
        *empty = false;
        token = json_next(&r->json);
        if (is && token == JSON_STRING)
            *url = jd_text(r, &result);
        else if (!json_skip(&r->json, token))
            break;
        if (result != PB_OK)
            return result;
    }
    if (r->json.error)
        return jd_token_failed(r);
    r->json = here;
    return *empty || url->data ? PB_OK
                               : jd_fail(r, "an Any has no \"@type\"", (sennit_str){ "", 0 });
}

static enum pb_result jd_any(struct jd *r, const sennit_msg_desc *any, struct jd_frame frame)
{
    sennit_str url;
    bool empty;
    enum pb_result result = jd_any_type(r, &url, &empty);
    if (result != PB_OK)
        return result;
    frame.d = any;
    frame.kind = empty ? JD_MESSAGE : JD_CLOSE;
    result = jd_push(r, frame);
    if (empty || result != PB_OK)
        return result;
    const sennit_msg_desc *d = pb_types_url(&r->types, url);
    if (!d)
        return jd_fail(r, "no such type is known", url);
    pb_out_octets(&r->out, 1, url);
    pb_out_tag(&r->out, 2, PB_LENGTH);
    bool ordinary = pb_known_of(d) == PB_ORDINARY;
    return jd_push(r, (struct jd_frame){ .kind = ordinary ? JD_MESSAGE : JD_ANY,
                                         .any = ordinary,
                                         .d = d,
                                         .mark = r->out.len });
}

/* The message that begins with token; its content begins here, and ends as `frame` says. */
static enum pb_result jd_message(struct jd *r, const sennit_msg_desc *d, enum json_token token,
                                 struct jd_frame frame)
{
    enum pb_known known = pb_known_of(d);
    enum json_token want = known == PB_LIST_VALUE ? JSON_ARRAY : JSON_OBJECT;
    enum pb_result result;
    size_t depth = (size_t)(r->top - r->frames);
    bool skip = false;
    if (known == PB_TIMESTAMP || known == PB_DURATION || known == PB_FIELD_MASK)
        want = JSON_STRING;
    if (known == PB_WRAPPER)
        result = jd_scalar(r, &d->fields[0], token, &skip);
    else if (known == PB_VALUE)
        result = jd_value(r, d, token, &frame);
    else if (token != want)
        return jd_fail(r, "not a value for the message", sennit_s(d->name));
    else if (want == JSON_STRING)
        result = jd_time(r, known);
    else if (known == PB_ANY)
        return jd_any(r, d, frame);
    else {
        frame.kind = known == PB_LIST_VALUE ? JD_LIST : known == PB_STRUCT ? JD_MAP : JD_MESSAGE;
        frame.d = d;
        frame.field = d->fields;
        return jd_push(r, frame);
    }
    if (result == PB_OK && depth == (size_t)(r->top - r->frames)) { /* nothing was left open */
        result = jd_push(r, frame);
        if (result == PB_OK)
            jd_pop(r);
    }
    return result;
}

/* One value of the field, with its tag. */
static enum pb_result jd_field(struct jd *r, const sennit_field *f, enum json_token token,
                               bool *skip)
{
    if (!pb_is_message(f))
        return jd_scalar(r, f, token, skip);
    pb_out_tag(&r->out, f->number, pb_kind_wire[pb_kind(f)]);
    struct jd_frame frame = { .kind = JD_CLOSE, .mark = r->out.len };
    if (pb_kind(f) == SENNIT_KIND_GROUP)
        frame.group = f->number;
    return jd_message(r, f->type, token, frame);
}

/* -- members of objects ----------------------------------------------------------------------- */

static bool jd_takes_null(const sennit_field *f)
{
    return (pb_is_message(f) && pb_known_of(f->type) == PB_VALUE) || pb_is_null_value(f);
}

/* Each field once, and one of each oneof. */
static enum pb_result jd_mark(struct jd *r, const struct jd_frame *f, const sennit_field *field)
{
    const sennit_msg_desc *d = f->d;
    char *seen = r->seen.data + f->seen;
    if (seen[field - d->fields])
        return jd_fail(r, "the field is there twice", sennit_s(field->name));
    for (uint32_t i = 0; field->flags & SENNIT_FIELD_ONEOF && i < d->n_fields; i++)
        if (seen[i] && d->fields[i].flags & SENNIT_FIELD_ONEOF &&
            d->fields[i].presence == field->presence)
            return jd_fail(r, "two fields of one oneof", sennit_s(field->name));
    seen[field - d->fields] = 1;
    return PB_OK;
}

static const sennit_field *jd_find(struct jd *r, const sennit_msg_desc *d, sennit_str name,
                                   const sennit_msg_desc **ext)
{
    *ext = NULL;
    if (name.len > 2 && name.data[0] == '[' && name.data[name.len - 1] == ']') {
        *ext = pb_types_ext(&r->types, d, (sennit_str){ name.data + 1, name.len - 2 });
        return *ext ? &(*ext)->fields[0] : NULL;
    }
    for (uint32_t i = 0; i < d->n_fields; i++)
        if (pb_json_name_is(&d->fields[i], name) || pb_name_is(d->fields[i].name, name))
            return &d->fields[i];
    return NULL;
}

/* An item of a message set around its one message. */
static enum pb_result jd_set_item(struct jd *r, const sennit_field *f, enum json_token token)
{
    pb_out_tag(&r->out, 1, PB_START_GROUP);
    pb_out_tag(&r->out, 2, PB_VARINT);
    pb_out_varint(&r->out, f->number);
    enum pb_result result = jd_push(r, (struct jd_frame){ .kind = JD_CLOSE, .group = 1 });
    pb_out_tag(&r->out, 3, PB_LENGTH);
    struct jd_frame frame = { .kind = JD_CLOSE, .mark = r->out.len };
    return result != PB_OK ? result : jd_message(r, f->type, token, frame);
}

static enum pb_result jd_member(struct jd *r)
{
    const struct jd_frame *f = r->top;
    const sennit_msg_desc *ext;
    enum pb_result result;
    bool skip = false;
    sennit_str name = jd_text(r, &result);
    if (!name.data)
        return result;
    enum json_token token = json_next(&r->json);
    if (f->any && pb_name_is("@type", name))
        return json_skip(&r->json, token) ? PB_OK : jd_token_failed(r);
    const sennit_field *field = jd_find(r, f->d, name, &ext);
    if (!field && !r->o->ignore_unknown)
        return jd_fail(r, "no such field", name);
    if (!field || token == JSON_ERROR)
        return json_skip(&r->json, token) ? PB_OK : jd_token_failed(r);
    bool many = field->flags & SENNIT_FIELD_REPEATED;
    if (token == JSON_NULL && (many || !jd_takes_null(field)))
        return PB_OK;
    result = ext ? PB_OK : jd_mark(r, f, field);
    if (result != PB_OK)
        return result;
    if (!many)
        return ext && ext->flags & SENNIT_MSG_SET ? jd_set_item(r, field, token)
                                                  : jd_field(r, field, token, &skip);
    bool map = field->flags & SENNIT_FIELD_MAP;
    if (token != (map ? JSON_OBJECT : JSON_ARRAY))
        return jd_fail(r, map ? "an object is expected" : "an array is expected", name);
    return jd_push(
        r, (struct jd_frame){ .kind = map ? JD_MAP : JD_LIST, .field = field, .mark = PB_NO_MARK });
}

static enum pb_result jd_map_key(struct jd *r, const sennit_field *key)
{
    enum pb_result result;
    uint64_t bits = 0;
    bool good;
    if (pb_kind(key) == SENNIT_KIND_STRING)
        return jd_octets(r, key);
    sennit_str s = jd_text(r, &result);
    if (!s.data)
        return result;
    if (pb_kind(key) == SENNIT_KIND_BOOL)
        good = (bits = pb_name_is("true", s)) || pb_name_is("false", s);
    else
        good = jd_whole(key, s, &bits);
    if (!good)
        return jd_fail(r, "not a key for this map", s);
    pb_out_number(&r->out, key, bits);
    return PB_OK;
}

static enum pb_result jd_entry(struct jd *r, const sennit_field *map)
{
    const sennit_msg_desc *d = map->type;
    const sennit_field *value = &d->fields[1];
    size_t before = r->out.len;
    bool skip = false;
    pb_out_tag(&r->out, map->number, PB_LENGTH);
    size_t mark = r->out.len;
    enum pb_result result = jd_map_key(r, &d->fields[0]);
    if (result != PB_OK)
        return result;
    enum json_token token = json_next(&r->json);
    if (token == JSON_NULL && !jd_takes_null(value))
        return jd_fail(r, "null is no value in a map", sennit_s(map->name));
    result = jd_push(r, (struct jd_frame){ .kind = JD_CLOSE, .mark = mark });
    if (result == PB_OK)
        result = token == JSON_ERROR ? jd_token_failed(r) : jd_field(r, value, token, &skip);
    if (skip) {
        r->top--;
        r->out.len = before;
    }
    return result;
}

static enum pb_result jd_any_member(struct jd *r)
{
    struct jd_frame *f = r->top;
    const sennit_msg_desc *d = f->d;
    bool type = pb_name_is("@type", r->json.text), value = pb_name_is("value", r->json.text);
    sennit_str name = r->json.text;
    enum json_token token = json_next(&r->json);
    if (token == JSON_ERROR || (!value && (type || r->o->ignore_unknown)))
        return json_skip(&r->json, token) ? PB_OK : jd_token_failed(r);
    if (!value || f->any)
        return jd_fail(r, "an Any of this type has one \"value\" only", name);
    f->any = true;
    struct jd_frame frame = { .kind = JD_CLOSE, .mark = f->mark };
    f->mark = PB_NO_MARK;
    return jd_message(r, d, token, frame);
}

static enum pb_result jd_step(struct jd *r)
{
    struct jd_frame *f = r->top;
    bool skip = false;
    if (f->kind == JD_CLOSE) {
        jd_pop(r);
        return PB_OK;
    }
    enum json_token token = json_next(&r->json);
    if (token == JSON_ERROR)
        return jd_token_failed(r);
    if (token == JSON_OBJECT_END || token == JSON_ARRAY_END) {
        if (f->kind == JD_ANY && !f->any)
            return jd_fail(r, "an Any of this type has a \"value\"", sennit_s(f->d->name));
        jd_pop(r);
        return PB_OK;
    }
    switch (f->kind) {
    case JD_MESSAGE:
        return jd_member(r);
    case JD_MAP:
        return jd_entry(r, f->field);
    case JD_ANY:
        return jd_any_member(r);
    default:
        if (token == JSON_NULL && !jd_takes_null(f->field))
            return jd_fail(r, "null is no element", sennit_s(f->field->name));
        return jd_field(r, f->field, token, &skip);
    }
}

static enum pb_result jd_run(struct jd *r, const sennit_msg_desc *d)
{
    enum json_token token = json_next(&r->json);
    if (token == JSON_ERROR)
        return jd_token_failed(r);
    r->frames[0] = (struct jd_frame){ .kind = JD_CLOSE, .mark = PB_NO_MARK };
    enum pb_result result =
        jd_message(r, d, token, (struct jd_frame){ .kind = JD_CLOSE, .mark = PB_NO_MARK });
    while (result == PB_OK && r->out.result == PB_OK && r->top > r->frames)
        result = jd_step(r);
    if (result != PB_OK || r->out.result != PB_OK)
        return result != PB_OK ? result : r->out.result;
    return json_next(&r->json) == JSON_END ? PB_OK : jd_token_failed(r);
}

enum pb_result pb_json_decode(struct sennit_arena *a, const sennit_msg_desc *d, sennit_str from,
                              const sennit_format_options *o, void *to, struct pb_why *why)
{
    struct jd_frame frames[PB_FRAMES_INLINE];
    struct jd r = { .out = { .a = a }, .seen = { .a = a }, .o = o, .a = a, .why = why };
    r.frames = r.top = frames;
    r.room = PB_FRAMES_INLINE;
    why->text[0] = 0;
    pb_init(d, to);
    if (!from.data || !pb_utf8_valid(from.data, from.len))
        return from.data ? PB_BAD_UTF8 : PB_TRUNCATED;
    if (!pb_types_init(&r.types, a, d, o) || !pb_out_room(&r.out, 1))
        return PB_NO_MEMORY;
    json_init(&r.json, from.data, from.len);
    enum pb_result result = jd_run(&r, d);
    if (result != PB_OK)
        return result;
    return pb_decode_msg(d, to, r.out.data, r.out.len, a, 4 * LIMIT_PB_DEPTH);
}
