/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * text_encode.c: structs to text format. What is open stands on a stack of frames in the arena. */
#include "base/number.h"
#include "pb/format.h"

#include "google/protobuf/any.sennit.h"

#include <math.h>

#define TE_FRAMES (2 * LIMIT_PB_DEPTH)

enum te_kind { TE_MESSAGE, TE_RAW };
struct te_frame {
    enum te_kind kind;
    bool entry;               /* of a map: key and value are always printed */
    const sennit_msg_desc *d; /* MESSAGE */
    const char *msg;
    size_t at, elem; /* next field, then extension; next element of a repeated one */
    struct pb_ext_list exts;
    const sennit_field *field; /* an extension at work, and its holder */
    const char *holder;
    const sennit_msg_desc *ext;
    sennit_str raw; /* what is left of unknown fields, or of a group in them */
};
struct te {
    struct pb_out out;
    struct pb_types types;
    const sennit_format_options *o;
    struct te_frame *top, *frames;
    size_t room;
    bool some;
};

static enum pb_result te_push(struct te *w, struct te_frame frame)
{
    size_t n = (size_t)(w->top - w->frames) + 1;
    if (n >= TE_FRAMES)
        return PB_TOO_DEEP;
    if (n == w->room) {
        struct te_frame *bigger = pb_grow_frames(w->out.a, w->frames, sizeof *bigger, n, &w->room);
        if (!bigger)
            return PB_NO_MEMORY;
        w->frames = bigger;
        w->top = bigger + n - 1;
    }
    if (frame.kind == TE_MESSAGE) {
        const sennit_str *unknown = (const sennit_str *)(frame.msg + frame.d->unknown);
        if (!pb_types_present(&w->types, w->out.a, frame.d, frame.msg, &frame.exts))
            return PB_NO_MEMORY;
        if (w->o->unknown_fields && unknown->data)
            frame.raw = *unknown;
    }
    *++w->top = frame;
    return PB_OK;
}

/* The space, or new line, before a field or a closing brace. */
static void te_gap(struct te *w, size_t depth)
{
    if (w->some)
        pb_out_char(&w->out, w->o->multi_line ? '\n' : ' ');
    w->some = true;
    for (size_t i = 1; w->o->multi_line && i < depth; i++)
        pb_out_text(&w->out, "  ");
}

static size_t te_depth(const struct te *w) { return (size_t)(w->top - w->frames); }

static void te_name(struct te *w, const sennit_field *f, const sennit_msg_desc *ext)
{
    const char *name = f->name;
    te_gap(w, te_depth(w));
    if (f->flags & SENNIT_FIELD_GROUP_NAME) {
        const char *full = ((const sennit_msg_desc *)f->type)->name, *dot = strrchr(full, '.');
        name = dot ? dot + 1 : full;
    }
    if (ext)
        pb_out_char(&w->out, '[');
    pb_out_text(&w->out, ext ? ext->name : name);
    if (ext)
        pb_out_char(&w->out, ']');
}

/* -- scalars ---------------------------------------------------------------------------------- */

static void te_string(struct te *w, sennit_str s, bool plain)
{
    static const char from[] = "\"\\\n\r\t'", to[] = "\"\\nrt'";
    size_t n = s.data ? s.len : 0;
    plain = plain && (!n || pb_utf8_valid(s.data, n));
    pb_out_char(&w->out, '"');
    for (size_t i = 0; i < n; i++) {
        uint8_t c = (uint8_t)s.data[i];
        const char *at = c ? strchr(from, c) : NULL;
        if (at)
            pb_out_printf(&w->out, "\\%c", to[at - from]);
        else if (c < 32 || c == 127 || (c > 127 && !plain))
            pb_out_printf(&w->out, "\\%03o", c);
        else
            pb_out_char(&w->out, (char)c);
    }
    pb_out_char(&w->out, '"');
}

static void te_real(struct te *w, double v, bool is_float)
{
    char digits[NUMBER_MAX];
    if (isnan(v))
        pb_out_text(&w->out, "nan");
    else if (isinf(v))
        pb_out_text(&w->out, v < 0 ? "-inf" : "inf");
    else
        pb_out_add(&w->out, digits, number_print(digits, v, is_float));
}

static void te_scalar(struct te *w, const sennit_field *f, const char *from)
{
    sennit_str s;
    double d;
    float narrow;
    int64_t v = 0;
    const sennit_enum_value *value = NULL;
    memcpy(&v, from, pb_kind_size[pb_kind(f)] <= 8 ? pb_kind_size[pb_kind(f)] : 0);
    switch (pb_kind(f)) {
    case SENNIT_KIND_STRING:
    case SENNIT_KIND_BYTES:
        memcpy(&s, from, sizeof s);
        te_string(w, s, pb_kind(f) == SENNIT_KIND_STRING);
        break;
    case SENNIT_KIND_DOUBLE:
        memcpy(&d, from, sizeof d);
        te_real(w, d, false);
        break;
    case SENNIT_KIND_FLOAT:
        memcpy(&narrow, from, sizeof narrow);
        te_real(w, (double)narrow, true);
        break;
    case SENNIT_KIND_BOOL:
        pb_out_text(&w->out, v ? "true" : "false");
        break;
    case SENNIT_KIND_UINT64:
    case SENNIT_KIND_FIXED64:
    case SENNIT_KIND_UINT32:
    case SENNIT_KIND_FIXED32:
        pb_out_printf(&w->out, "%llu", (unsigned long long)v);
        break;
    case SENNIT_KIND_ENUM:
        value = w->o->enum_numbers ? NULL : pb_enum_value(f->type, (int32_t)v);
        if (value) {
            pb_out_text(&w->out, value->name);
            break;
        }
        /* fall through */
    default:
        v = pb_kind_size[pb_kind(f)] == 4 ? (int32_t)v : v;
        pb_out_printf(&w->out, "%lld", (long long)v);
    }
}

/* -- unknown fields --------------------------------------------------------------------------- */

/* Octets that look like fields all through are printed as such. */
static bool te_is_message(sennit_str s)
{
    struct pb_raw raw;
    bool any = s.len > 0;
    for (size_t n; s.len; s.data += n, s.len -= n)
        if ((n = pb_raw_next(s.data, s.len, &raw)) == 0)
            return false;
    return any;
}

static enum pb_result te_raw(struct te *w)
{
    struct te_frame *f = w->top;
    struct pb_raw raw;
    size_t n = pb_raw_next(f->raw.data, f->raw.len, &raw);
    f->raw.data += n;
    f->raw.len = n ? f->raw.len - n : 0;
    if (!n)
        return PB_OK;
    te_gap(w, te_depth(w));
    pb_out_printf(&w->out, "%u", raw.tag >> 3);
    switch (raw.tag & 7) {
    case PB_LENGTH:
        if (te_is_message(raw.body))
            break;
        pb_out_text(&w->out, ": ");
        te_string(w, raw.body, false);
        return PB_OK;
    case PB_VARINT:
        pb_out_printf(&w->out, ": %llu", (unsigned long long)raw.value);
        return PB_OK;
    case PB_FIXED64:
        pb_out_printf(&w->out, ": 0x%016llx", (unsigned long long)raw.value);
        return PB_OK;
    case PB_FIXED32:
        pb_out_printf(&w->out, ": 0x%08llx", (unsigned long long)raw.value);
        return PB_OK;
    default:
        break;
    }
    pb_out_text(&w->out, " {");
    return te_push(w, (struct te_frame){ .kind = TE_RAW, .raw = raw.body });
}

/* -- messages --------------------------------------------------------------------------------- */

static enum pb_result te_open(struct te *w, const sennit_field *f, const char *msg)
{
    const sennit_msg_desc *d = f->type;
    pb_out_text(&w->out, " {");
    return te_push(w, (struct te_frame){ .kind = TE_MESSAGE,
                                         .d = d,
                                         .msg = msg ? msg : d->empty,
                                         .entry = (f->flags & SENNIT_FIELD_MAP) != 0 });
}

/* [url] { ... } where the type is known and the octets are good. */
static enum pb_result te_any(struct te *w, const google_protobuf_Any *any, bool *done)
{
    enum pb_result result;
    const sennit_msg_desc *d = pb_types_url(&w->types, any->type_url);
    const void *msg = d ? pb_decode_copy(w->out.a, d, any->value, &result) : NULL;
    *done = msg != NULL;
    if (!msg)
        return PB_OK;
    w->top->at = w->top->d->n_fields;
    te_gap(w, te_depth(w));
    pb_out_char(&w->out, '[');
    pb_out_add(&w->out, any->type_url.data, any->type_url.len);
    pb_out_text(&w->out, "] {");
    return te_push(w, (struct te_frame){ .kind = TE_MESSAGE, .d = d, .msg = msg });
}

/* The next value of the field at work in msg; its last one moves on. */
static enum pb_result te_field(struct te *w, const sennit_field *field, const char *msg,
                               const sennit_msg_desc *ext, bool *last)
{
    struct te_frame *f = w->top;
    const char *from = msg + field->offset;
    bool pointer = !(field->flags & SENNIT_FIELD_REPEATED);
    *last = true;
    if (!pb_present(msg, field, f->entry && !ext))
        return PB_OK;
    if (!pointer) {
        const struct pb_list *l = (const struct pb_list *)from;
        *last = f->elem + 1 >= l->len;
        from = l->data + f->elem++ * pb_elem_size(field);
    }
    te_name(w, field, ext);
    if (pb_is_message(field)) {
        const void *below = from;
        if (pointer)
            memcpy(&below, from, sizeof below);
        return te_open(w, field, below);
    }
    pb_out_text(&w->out, ": ");
    te_scalar(w, field, from);
    return PB_OK;
}

static enum pb_result te_extension(struct te *w, struct te_frame *f)
{
    if (!f->holder) {
        const sennit_msg_desc *ext = f->exts.data[f->at - f->d->n_fields];
        char *holder = arena_alloc(w->out.a, ext->size);
        if (!holder)
            return PB_NO_MEMORY;
        const sennit_str *unknown = (const sennit_str *)(f->msg + f->d->unknown);
        enum pb_result result = pb_ext_get(ext, *unknown, holder, w->out.a);
        if (result != PB_OK)
            return result;
        f->holder = holder;
        f->ext = ext;
    }
    bool last;
    size_t frame = te_depth(w);
    enum pb_result result = te_field(w, &f->ext->fields[0], f->holder, f->ext, &last);
    f = w->frames + frame;
    if (last)
        f->holder = NULL, f->elem = 0, f->at++;
    return result;
}

static enum pb_result te_step(struct te *w)
{
    struct te_frame *f = w->top;
    if (f->kind == TE_MESSAGE && f->at < f->d->n_fields) {
        bool last = false;
        size_t frame = te_depth(w);
        if (f->at == 0 && pb_known_of(f->d) == PB_ANY) {
            enum pb_result result = te_any(w, (const google_protobuf_Any *)f->msg, &last);
            if (last)
                return result;
        }
        enum pb_result result = te_field(w, &f->d->fields[f->at], f->msg, NULL, &last);
        f = w->frames + frame;
        if (last)
            f->elem = 0, f->at++;
        return result;
    }
    if (f->kind == TE_MESSAGE && f->at < f->d->n_fields + f->exts.len)
        return te_extension(w, f);
    if (f->raw.len)
        return te_raw(w);
    w->top--;
    if (w->top > w->frames) {
        te_gap(w, te_depth(w));
        pb_out_char(&w->out, '}');
    }
    return PB_OK;
}

enum pb_result pb_text_encode(struct sennit_arena *a, const sennit_msg_desc *d, const void *msg,
                              const sennit_format_options *o, sennit_str *to, struct pb_why *why)
{
    struct te_frame frames[PB_FRAMES_INLINE];
    struct te w = { .out = { .a = a }, .o = o, .room = PB_FRAMES_INLINE };
    w.frames = w.top = frames;
    why->text[0] = 0;
    *to = (sennit_str){ "", 0 };
    if (!pb_types_init(&w.types, a, d, o) || !pb_out_room(&w.out, 1))
        return PB_NO_MEMORY;
    enum pb_result result =
        te_push(&w, (struct te_frame){ .kind = TE_MESSAGE, .d = d, .msg = msg });
    while (result == PB_OK && w.out.result == PB_OK && w.top > w.frames)
        result = te_step(&w);
    if (w.some && o->multi_line)
        pb_out_char(&w.out, '\n');
    if (result == PB_OK)
        result = w.out.result;
    if (result != PB_OK)
        return result;
    w.out.data[w.out.len] = 0;
    *to = (sennit_str){ w.out.data, w.out.len };
    return PB_OK;
}
