/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * json_encode.c: structs to JSON. What is open stands on a stack of frames in the arena. */
#include "base/number.h"
#include "pb/format.h"

#include "google/protobuf/any.sennit.h"
#include "google/protobuf/duration.sennit.h"
#include "google/protobuf/struct.sennit.h"

#include <math.h>
#include <stdio.h>

#define JE_FRAMES (4 * LIMIT_PB_DEPTH) /* a message takes up to three: itself, list, Any */

enum je_kind { JE_CLOSE, JE_MESSAGE, JE_LIST, JE_MAP };
struct je_frame {
    enum je_kind kind;
    bool some;                 /* something stands before: a comma is due */
    const sennit_msg_desc *d;  /* MESSAGE */
    const char *msg;           /* MESSAGE; LIST, MAP: the elements */
    const sennit_field *field; /* LIST, MAP */
    size_t at, n;              /* next field, then extension; next element */
    struct pb_ext_list exts;   /* MESSAGE */
};
struct je {
    struct pb_out out;
    struct pb_types types;
    const sennit_format_options *o;
    struct je_frame *top, *frames;
    size_t room, depth;
    struct pb_why *why;
};

static enum pb_result je_fail(struct je *w, const char *what, const char *about)
{
    snprintf(w->why->text, sizeof w->why->text, "%s: %.100s", what, about);
    return PB_BAD_TEXT;
}

static void je_newline(struct je *w)
{
    pb_out_char(&w->out, '\n');
    for (size_t i = 0; i < w->depth; i++)
        pb_out_text(&w->out, "  ");
}

static enum pb_result je_push(struct je *w, struct je_frame frame, char open)
{
    size_t n = (size_t)(w->top - w->frames) + 1;
    if (n >= JE_FRAMES)
        return PB_TOO_DEEP;
    if (n == w->room) {
        struct je_frame *bigger = pb_grow_frames(w->out.a, w->frames, sizeof *bigger, n, &w->room);
        if (!bigger)
            return PB_NO_MEMORY;
        w->frames = bigger;
        w->top = bigger + n - 1;
    }
    if (frame.kind == JE_MESSAGE &&
        !pb_types_present(&w->types, w->out.a, frame.d, frame.msg, &frame.exts))
        return PB_NO_MEMORY;
    *++w->top = frame;
    if (open)
        pb_out_char(&w->out, open);
    w->depth++;
    return PB_OK;
}

static void je_pop(struct je *w, char close)
{
    w->depth--;
    if (w->o->multi_line && w->top->some)
        je_newline(w);
    w->top--;
    pb_out_char(&w->out, close);
}

static void je_next(struct je *w)
{
    if (w->top->some)
        pb_out_char(&w->out, ',');
    w->top->some = true;
    if (w->o->multi_line)
        je_newline(w);
}

static void je_colon(struct je *w)
{
    pb_out_char(&w->out, ':');
    if (w->o->multi_line)
        pb_out_char(&w->out, ' ');
}

/* -- scalars ---------------------------------------------------------------------------------- */

static enum pb_result je_string(struct je *w, sennit_str s)
{
    static const char from[] = "\"\\\b\f\n\r\t", to[] = "\"\\bfnrt";
    size_t start = 0, n = s.data ? s.len : 0;
    if (n && !pb_utf8_valid(s.data, n))
        return PB_BAD_UTF8;
    pb_out_char(&w->out, '"');
    for (size_t i = 0; i < n; i++) {
        uint8_t c = (uint8_t)s.data[i];
        if (c >= 32 && c != '"' && c != '\\' && c != 127)
            continue;
        const char *at = c ? strchr(from, c) : NULL;
        pb_out_add(&w->out, s.data + start, i - start);
        if (at)
            pb_out_printf(&w->out, "\\%c", to[at - from]);
        else
            pb_out_printf(&w->out, "\\u%04x", c);
        start = i + 1;
    }
    if (n)
        pb_out_add(&w->out, s.data + start, n - start);
    pb_out_char(&w->out, '"');
    return PB_OK;
}

static void je_real(struct je *w, double v, bool is_float)
{
    char digits[NUMBER_MAX];
    if (isnan(v))
        pb_out_text(&w->out, "\"NaN\"");
    else if (isinf(v))
        pb_out_text(&w->out, v < 0 ? "\"-Infinity\"" : "\"Infinity\"");
    else if (v == 0 && signbit(v))
        pb_out_text(&w->out, "-0.0"); /* readers that take "-0" for an integer lose the sign */
    else
        pb_out_add(&w->out, digits, number_print(digits, v, is_float));
}

static void je_enum(struct je *w, const sennit_field *f, int32_t v)
{
    const sennit_enum_value *value = w->o->enum_numbers ? NULL : pb_enum_value(f->type, v);
    if (pb_is_null_value(f))
        pb_out_text(&w->out, "null");
    else if (value)
        pb_out_add(&w->out, "\"", 1), pb_out_text(&w->out, value->name),
            pb_out_add(&w->out, "\"", 1);
    else
        pb_out_printf(&w->out, "%d", v);
}

/* quoted: the key of a map, which is always a string. */
static enum pb_result je_scalar(struct je *w, const sennit_field *f, const void *from, bool quoted)
{
    const char *quote = quoted ? "\"" : "";
    union {
        sennit_str s;
        double d;
        float f;
        int64_t i64;
        uint64_t u64;
        int32_t i32;
        uint32_t u32;
        bool b;
    } v;
    memcpy(&v, from, pb_kind_size[pb_kind(f)]);
    switch (pb_kind(f)) {
    case SENNIT_KIND_STRING:
        return je_string(w, v.s);
    case SENNIT_KIND_BYTES:
        pb_out_char(&w->out, '"');
        pb_base64_print(&w->out, (sennit_str){ v.s.data, v.s.data ? v.s.len : 0 });
        pb_out_char(&w->out, '"');
        break;
    case SENNIT_KIND_DOUBLE:
        je_real(w, v.d, false);
        break;
    case SENNIT_KIND_FLOAT:
        je_real(w, (double)v.f, true);
        break;
    case SENNIT_KIND_BOOL:
        pb_out_printf(&w->out, "%s%s%s", quote, v.b ? "true" : "false", quote);
        break;
    case SENNIT_KIND_ENUM:
        je_enum(w, f, v.i32);
        break;
    case SENNIT_KIND_UINT64:
    case SENNIT_KIND_FIXED64:
        pb_out_printf(&w->out, "\"%llu\"", (unsigned long long)v.u64);
        break;
    case SENNIT_KIND_INT64:
    case SENNIT_KIND_SINT64:
    case SENNIT_KIND_SFIXED64:
        pb_out_printf(&w->out, "\"%lld\"", (long long)v.i64);
        break;
    case SENNIT_KIND_UINT32:
    case SENNIT_KIND_FIXED32:
        pb_out_printf(&w->out, "%s%u%s", quote, v.u32, quote);
        break;
    default:
        pb_out_printf(&w->out, "%s%d%s", quote, v.i32, quote);
    }
    return PB_OK;
}

/* -- messages --------------------------------------------------------------------------------- */

static enum pb_result je_list(struct je *w, const sennit_field *field, const void *list)
{
    const struct pb_list *l = list;
    bool map = field->flags & SENNIT_FIELD_MAP;
    return je_push(w,
                   (struct je_frame){ .kind = map ? JE_MAP : JE_LIST,
                                      .msg = l->data,
                                      .n = l->data ? l->len : 0,
                                      .field = field },
                   map ? '{' : '[');
}

static enum pb_result je_value(struct je *w, const google_protobuf_Value *v)
{
    const sennit_msg_desc *d = &sennit__google_protobuf_Value;
    switch (v->which_kind) {
    case google_protobuf_Value_kind_null_value:
        pb_out_text(&w->out, "null");
        return PB_OK;
    case google_protobuf_Value_kind_number_value:
        if (isnan(v->number_value) || isinf(v->number_value))
            return je_fail(w, "JSON has no such number", d->name);
        return je_scalar(w, &d->fields[1], &v->number_value, false);
    case google_protobuf_Value_kind_string_value:
        return je_string(w, v->string_value);
    case google_protobuf_Value_kind_bool_value:
        return je_scalar(w, &d->fields[3], &v->bool_value, false);
    case google_protobuf_Value_kind_struct_value:
        return je_list(w, sennit__google_protobuf_Struct.fields,
                       v->struct_value ? &v->struct_value->fields
                                       : &sennit__google_protobuf_Struct_empty.fields);
    case google_protobuf_Value_kind_list_value:
        return je_list(w, sennit__google_protobuf_ListValue.fields,
                       v->list_value ? &v->list_value->values
                                     : &sennit__google_protobuf_ListValue_empty.values);
    default:
        return je_fail(w, "no field is set", d->name);
    }
}

static enum pb_result je_form(struct je *w, const sennit_msg_desc *d, const void *msg);

/* Once: what je_form is called for is neither an Any nor ordinary, so it does not come back. */
static enum pb_result je_any(struct je *w, const google_protobuf_Any *any)
{
    enum pb_result result;
    if (!any->type_url.len && !any->value.len) {
        pb_out_text(&w->out, "{}");
        return PB_OK;
    }
    const sennit_msg_desc *d = pb_types_url(&w->types, any->type_url);
    if (!d)
        return je_fail(w, "no such type is known", any->type_url.data ? any->type_url.data : "");
    const void *msg = pb_decode_copy(w->out.a, d, any->value, &result);
    if (!msg)
        return result;
    bool ordinary = pb_known_of(d) == PB_ORDINARY;
    result = je_push(w,
                     (struct je_frame){ .kind = ordinary ? JE_MESSAGE : JE_CLOSE,
                                        .d = d,
                                        .msg = ordinary ? msg : NULL },
                     '{');
    if (result != PB_OK)
        return result;
    je_next(w);
    pb_out_text(&w->out, "\"@type\"");
    je_colon(w);
    result = je_string(w, any->type_url);
    if (ordinary || result != PB_OK)
        return result;
    je_next(w);
    pb_out_text(&w->out, "\"value\"");
    je_colon(w);
    if (pb_known_of(d) != PB_ANY)
        return je_form(w, d, msg);
    w->top->msg = msg; /* an Any in an Any: the frame opens it */
    return PB_OK;
}

/* A message that has a form of its own. */
static enum pb_result je_form(struct je *w, const sennit_msg_desc *d, const void *msg)
{
    const google_protobuf_Duration *time = msg; /* Timestamp has the same two fields */
    bool good = true;
    switch (pb_known_of(d)) {
    case PB_ANY:
        return je_any(w, msg);
    case PB_VALUE:
        return je_value(w, msg);
    case PB_STRUCT:
    case PB_LIST_VALUE:
        return je_list(w, d->fields, (const char *)msg + d->fields[0].offset);
    case PB_WRAPPER:
        return je_scalar(w, &d->fields[0], (const char *)msg + d->fields[0].offset, false);
    default:
        break;
    }
    pb_out_char(&w->out, '"');
    if (pb_known_of(d) == PB_TIMESTAMP)
        good = pb_timestamp_print(&w->out, time->seconds, time->nanos);
    else if (pb_known_of(d) == PB_DURATION)
        good = pb_duration_print(&w->out, time->seconds, time->nanos);
    else
        good = pb_field_mask_print(&w->out, msg);
    pb_out_char(&w->out, '"');
    return good ? PB_OK : je_fail(w, "JSON has no form for the value", d->name);
}

static enum pb_result je_message(struct je *w, const sennit_msg_desc *d, const void *msg)
{
    if (pb_known_of(d) != PB_ORDINARY)
        return je_form(w, d, msg ? msg : d->empty);
    return je_push(w, (struct je_frame){ .kind = JE_MESSAGE, .d = d, .msg = msg ? msg : d->empty },
                   '{');
}

/* One value; of a sub-message `from` is the place of its pointer. */
static enum pb_result je_one(struct je *w, const sennit_field *f, const void *from)
{
    const void *msg;
    if (!pb_is_message(f))
        return je_scalar(w, f, from, false);
    memcpy(&msg, from, sizeof msg);
    return je_message(w, f->type, msg);
}

static bool je_wanted(const struct je *w, const char *msg, const sennit_field *f)
{
    if (pb_present(msg, f, false))
        return true;
    bool presence = f->flags & (SENNIT_FIELD_HAS | SENNIT_FIELD_ONEOF);
    return w->o->all_fields && !presence;
}

static enum pb_result je_extension(struct je *w, struct je_frame *f)
{
    enum pb_result result;
    const sennit_msg_desc *ext = f->exts.data[f->at++ - f->d->n_fields];
    const sennit_field *field = &ext->fields[0];
    char *holder = arena_alloc(w->out.a, ext->size);
    if (!holder)
        return PB_NO_MEMORY;
    const sennit_str *unknown = (const sennit_str *)(f->msg + f->d->unknown);
    result = pb_ext_get(ext, *unknown, holder, w->out.a);
    if (result != PB_OK || !pb_present(holder, field, false))
        return result;
    je_next(w);
    pb_out_text(&w->out, "\"[");
    pb_out_text(&w->out, ext->name);
    pb_out_text(&w->out, "]\"");
    je_colon(w);
    return field->flags & SENNIT_FIELD_REPEATED ? je_list(w, field, holder + field->offset)
                                                : je_one(w, field, holder + field->offset);
}

static enum pb_result je_member(struct je *w)
{
    struct je_frame *f = w->top;
    const sennit_field *field = NULL;
    while (f->at < f->d->n_fields && !field) {
        field = &f->d->fields[f->at++];
        field = je_wanted(w, f->msg, field) ? field : NULL;
    }
    if (!field && f->at < f->d->n_fields + f->exts.len)
        return je_extension(w, f);
    if (!field) {
        je_pop(w, '}');
        return PB_OK;
    }
    je_next(w);
    pb_out_char(&w->out, '"');
    if (w->o->proto_names)
        pb_out_text(&w->out, field->name);
    else
        pb_json_name_print(&w->out, field);
    pb_out_char(&w->out, '"');
    je_colon(w);
    return field->flags & SENNIT_FIELD_REPEATED ? je_list(w, field, f->msg + field->offset)
                                                : je_one(w, field, f->msg + field->offset);
}

static enum pb_result je_element(struct je *w)
{
    struct je_frame *f = w->top;
    if (f->at == f->n) {
        je_pop(w, f->kind == JE_MAP ? '}' : ']');
        return PB_OK;
    }
    const sennit_field *field = f->field;
    const char *elem = f->msg + f->at++ * pb_elem_size(field);
    je_next(w);
    if (f->kind == JE_LIST)
        return pb_is_message(field) ? je_message(w, field->type, elem)
                                    : je_scalar(w, field, elem, false);
    const sennit_field *entry = ((const sennit_msg_desc *)field->type)->fields;
    enum pb_result result = je_scalar(w, &entry[0], elem + entry[0].offset, true);
    je_colon(w);
    return result != PB_OK ? result : je_one(w, &entry[1], elem + entry[1].offset);
}

static enum pb_result je_step(struct je *w)
{
    struct je_frame *f = w->top;
    const void *inner = f->msg;
    if (f->kind == JE_MESSAGE)
        return je_member(w);
    if (f->kind != JE_CLOSE)
        return je_element(w);
    f->msg = NULL;
    if (inner)
        return je_any(w, inner);
    je_pop(w, '}');
    return PB_OK;
}

enum pb_result pb_json_encode(struct sennit_arena *a, const sennit_msg_desc *d, const void *msg,
                              const sennit_format_options *o, sennit_str *to, struct pb_why *why)
{
    struct je_frame frames[PB_FRAMES_INLINE];
    struct je w = { .out = { .a = a }, .o = o, .room = PB_FRAMES_INLINE, .why = why };
    w.frames = w.top = frames;
    frames[0] = (struct je_frame){ .kind = JE_CLOSE };
    why->text[0] = 0;
    *to = (sennit_str){ "", 0 };
    if (!pb_types_init(&w.types, a, d, o) || !pb_out_room(&w.out, 1))
        return PB_NO_MEMORY;
    enum pb_result result = je_message(&w, d, msg);
    while (result == PB_OK && w.out.result == PB_OK && w.top > w.frames)
        result = je_step(&w);
    if (result == PB_OK)
        result = w.out.result;
    if (result != PB_OK)
        return result;
    w.out.data[w.out.len] = 0;
    *to = (sennit_str){ w.out.data, w.out.len };
    return PB_OK;
}
