/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * text_decode.c: text format to the wire, and from there to structs (format.h). What is open stands
 * on a stack of frames in the arena. */
#include "base/number.h"
#include "pb/text_lex.h"

#include <float.h>
#include <stdio.h>

enum td_kind { TD_CLOSE, TD_MESSAGE, TD_LIST };
struct td_frame {
    enum td_kind kind;
    char closer;               /* MESSAGE: '}' or '>', 0: the end of the text */
    bool more;                 /* LIST: a comma is due; MESSAGE: an Any that has its message */
    bool field_ended;          /* MESSAGE: a separator may follow */
    const sennit_msg_desc *d;  /* MESSAGE */
    const sennit_field *field; /* LIST */
    size_t mark;
    uint32_t group;
    size_t seen;
};
struct td {
    struct text_lex lex;
    struct pb_out out, seen;
    struct pb_types types;
    const sennit_format_options *o;
    struct sennit_arena *a;
    struct td_frame *top, *frames;
    size_t room;
    struct pb_why *why;
};

static enum pb_result td_fail(struct td *r, const char *what)
{
    size_t line = 1;
    for (const char *s = r->lex.start; s < r->lex.text.data; s++)
        line += *s == '\n';
    int n = (int)min_size(r->lex.text.len, 60);
    snprintf(r->why->text, sizeof r->why->text, "line %zu: %s, at \"%.*s\"", line, what, n,
             n ? r->lex.text.data : "");
    for (char *s = r->why->text; *s; s++) /* it may not be UTF-8, and is cut somewhere */
        if ((uint8_t)*s > 126 || (uint8_t)*s < 32)
            *s = '?';
    return PB_BAD_TEXT;
}

static enum pb_result td_push(struct td *r, struct td_frame frame)
{
    size_t n = (size_t)(r->top - r->frames) + 1;
    if (n > 2 * LIMIT_PB_DEPTH)
        return PB_TOO_DEEP;
    if (n == r->room) {
        struct td_frame *bigger = pb_grow_frames(r->a, r->frames, sizeof *bigger, n, &r->room);
        if (!bigger)
            return PB_NO_MEMORY;
        r->frames = bigger;
        r->top = bigger + n - 1;
    }
    if (frame.kind == TD_MESSAGE) {
        frame.seen = r->seen.len;
        char *seen = pb_out_room(&r->seen, frame.d->n_fields);
        if (!seen)
            return r->seen.result;
        memset(seen, 0, frame.d->n_fields);
        r->seen.len += frame.d->n_fields;
    }
    *++r->top = frame;
    return PB_OK;
}

static void td_pop(struct td *r)
{
    struct td_frame *f = r->top--;
    if (f->kind == TD_MESSAGE)
        r->seen.len = f->seen;
    if (f->group)
        pb_out_tag(&r->out, f->group, PB_END_GROUP);
    else if (f->mark != PB_NO_MARK)
        pb_out_close(&r->out, f->mark);
}

/* -- scalars ---------------------------------------------------------------------------------- */

static bool td_word(const char *word, sennit_str s)
{
    for (size_t i = 0; i < s.len; i++)
        if (!word[i] || (s.data[i] | 32) != word[i])
            return false;
    return !word[s.len];
}

static bool td_real(struct td *r, const sennit_field *f, bool minus, uint64_t *bits)
{
    sennit_str s = r->lex.text;
    uint64_t whole;
    double d;
    bool name = r->lex.token == TEXT_NAME;
    if (name && (td_word("inf", s) || td_word("infinity", s)))
        d = __builtin_inf();
    else if (name && td_word("nan", s))
        d = __builtin_nan("");
    else if (name)
        return false;
    else {
        bool octal = s.len > 1 && s.data[0] == '0' && s.data[1] >= '0' && s.data[1] <= '9';
        if (s.len > 1 && (s.data[s.len - 1] | 32) == 'f' && (s.data[1] | 32) != 'x')
            s.len--;
        if ((octal && text_lex_uint(s, &whole)) || (s.len > 1 && (s.data[1] | 32) == 'x'))
            return false;
        if (!number_parse(s.data, s.len, &d))
            return false;
    }
    d = minus ? -d : d;
    *bits = 0;
    if (pb_kind(f) == SENNIT_KIND_DOUBLE) {
        memcpy(bits, &d, sizeof d);
    } else {
        float narrow = d > 0x1.ffffffp127    ? __builtin_inff()
                       : d < -0x1.ffffffp127 ? -__builtin_inff()
                                             : (float)d;
        memcpy(bits, &narrow, sizeof narrow);
    }
    return true;
}

static bool td_whole(struct td *r, const sennit_field *f, bool minus, uint64_t *bits)
{
    bool is_unsigned = pb_kind(f) == SENNIT_KIND_UINT64 || pb_kind(f) == SENNIT_KIND_FIXED64 ||
                       pb_kind(f) == SENNIT_KIND_UINT32 || pb_kind(f) == SENNIT_KIND_FIXED32;
    uint64_t most = pb_kind_size[pb_kind(f)] == 4 ? UINT32_MAX : UINT64_MAX, v;
    if (r->lex.token != TEXT_NUMBER || !text_lex_uint(r->lex.text, &v) || (minus && is_unsigned))
        return false;
    if (!is_unsigned)
        most = most / 2 + minus;
    *bits = minus ? 0 - v : v;
    return v <= most;
}

static bool td_bool(struct td *r, uint64_t *bits)
{
    static const char *const words[] = { "false", "f", "False", "true", "t", "True" };
    uint64_t v;
    if (r->lex.token == TEXT_NUMBER && text_lex_uint(r->lex.text, &v) && v < 2) {
        *bits = v;
        return true;
    }
    for (size_t i = 0; r->lex.token == TEXT_NAME && i < countof(words); i++)
        if (pb_name_is(words[i], r->lex.text)) {
            *bits = i > 2;
            return true;
        }
    return false;
}

static enum pb_result td_string(struct td *r, const sennit_field *f)
{
    pb_out_tag(&r->out, f->number, PB_LENGTH);
    size_t mark = r->out.len;
    if (r->lex.token != TEXT_STRING)
        return td_fail(r, "a string is expected");
    for (; r->lex.token == TEXT_STRING; text_lex_next(&r->lex))
        if (!text_lex_unescape(r->lex.text, &r->out))
            return td_fail(r, "an unknown escape");
    if (r->out.result == PB_OK && f->flags & SENNIT_FIELD_UTF8 &&
        !pb_utf8_valid(r->out.data + mark, r->out.len - mark))
        return td_fail(r, "a string that is not UTF-8");
    pb_out_close(&r->out, mark);
    return r->lex.token == TEXT_ERROR ? td_fail(r, "a string has no end") : PB_OK;
}

static enum pb_result td_scalar(struct td *r, const sennit_field *f)
{
    uint64_t bits = 0;
    bool good, minus = text_lex_is(&r->lex, '-');
    if (pb_kind_wire[pb_kind(f)] == PB_LENGTH)
        return td_string(r, f);
    if (minus)
        text_lex_next(&r->lex);
    if (pb_kind(f) == SENNIT_KIND_BOOL) {
        good = !minus && td_bool(r, &bits);
    } else if (pb_kind(f) == SENNIT_KIND_DOUBLE || pb_kind(f) == SENNIT_KIND_FLOAT) {
        good = td_real(r, f, minus, &bits);
    } else if (pb_kind(f) == SENNIT_KIND_ENUM && r->lex.token == TEXT_NAME) {
        const sennit_enum_value *v = pb_enum_named(f->type, r->lex.text);
        good = v && !minus;
        bits = v ? (uint64_t)(int64_t)v->number : 0;
    } else {
        good = td_whole(r, f, minus, &bits);
        if (good && f->flags & SENNIT_FIELD_CLOSED)
            good = pb_enum_value(f->type, (int32_t)bits) != NULL;
    }
    if (!good)
        return td_fail(r, "not a value for this field");
    pb_out_number(&r->out, f, bits);
    text_lex_next(&r->lex);
    return PB_OK;
}

/* -- messages --------------------------------------------------------------------------------- */

/* '{' or '<' opens the message; what encloses its content is in `frame`. */
static enum pb_result td_open(struct td *r, const sennit_msg_desc *d, struct td_frame frame)
{
    if (!text_lex_is(&r->lex, '{') && !text_lex_is(&r->lex, '<'))
        return td_fail(r, "'{' is expected");
    frame.kind = TD_MESSAGE;
    frame.d = d;
    frame.closer = r->lex.ch == '{' ? '}' : '>';
    text_lex_next(&r->lex);
    return td_push(r, frame);
}

static enum pb_result td_one(struct td *r, const sennit_field *f)
{
    if (!pb_is_message(f))
        return td_scalar(r, f);
    pb_out_tag(&r->out, f->number, pb_kind_wire[pb_kind(f)]);
    struct td_frame frame = { .mark = r->out.len };
    if (pb_kind(f) == SENNIT_KIND_GROUP)
        frame.group = f->number;
    return td_open(r, f->type, frame);
}

/* [pkg.extension] or [host/pkg.Message], up to its closing bracket: without spaces. */
static enum pb_result td_bracket(struct td *r, sennit_str *name)
{
    char *to = arena_alloc(r->a, (size_t)(r->lex.end - r->lex.text.data) + 1);
    size_t n = 0;
    if (!to)
        return PB_NO_MEMORY;
    for (text_lex_next(&r->lex); !text_lex_is(&r->lex, ']'); text_lex_next(&r->lex)) {
        bool good = r->lex.token == TEXT_NAME || r->lex.token == TEXT_NUMBER ||
                    (r->lex.token == TEXT_CHAR && strchr("./-~%", r->lex.ch) && r->lex.ch);
        if (!good)
            return td_fail(r, "not a name");
        memcpy(to + n, r->lex.text.data, r->lex.text.len);
        n += r->lex.text.len;
    }
    text_lex_next(&r->lex);
    *name = (sennit_str){ to, n };
    return PB_OK;
}

static enum pb_result td_any(struct td *r, sennit_str url)
{
    const sennit_msg_desc *d = pb_types_url(&r->types, url);
    struct td_frame *f = r->top;
    if (!d)
        return td_fail(r, "no such type is known");
    if (f->more)
        return td_fail(r, "an Any holds one message");
    f->more = true;
    pb_out_octets(&r->out, 1, url);
    pb_out_tag(&r->out, 2, PB_LENGTH);
    if (text_lex_is(&r->lex, ':'))
        text_lex_next(&r->lex);
    return td_open(r, d, (struct td_frame){ .mark = r->out.len });
}

static const sennit_field *td_find(const sennit_msg_desc *d, sennit_str name)
{
    for (uint32_t i = 0; i < d->n_fields; i++) {
        const sennit_field *f = &d->fields[i];
        if (f->flags & SENNIT_FIELD_GROUP_NAME) {
            const char *full = ((const sennit_msg_desc *)f->type)->name, *dot = strrchr(full, '.');
            if (pb_name_is(dot ? dot + 1 : full, name))
                return f;
        }
        if (pb_name_is(f->name, name))
            return f;
    }
    return NULL;
}

static enum pb_result td_mark(struct td *r, const sennit_field *field)
{
    const sennit_msg_desc *d = r->top->d;
    char *seen = r->seen.data + r->top->seen;
    for (uint32_t i = 0; field->flags & SENNIT_FIELD_ONEOF && i < d->n_fields; i++)
        if (seen[i] && d->fields[i].flags & SENNIT_FIELD_ONEOF &&
            d->fields[i].presence == field->presence)
            return td_fail(r, "two fields of one oneof");
    if (seen[field - d->fields])
        return td_fail(r, "the field is there twice");
    seen[field - d->fields] = !(field->flags & SENNIT_FIELD_REPEATED);
    return PB_OK;
}

/* Skips the value of an unknown field: up to the end of its brackets, or one scalar. */
static enum pb_result td_skip(struct td *r)
{
    size_t depth = 0;
    if (text_lex_is(&r->lex, ':'))
        text_lex_next(&r->lex);
    if (text_lex_is(&r->lex, '-'))
        text_lex_next(&r->lex);
    bool string = r->lex.token == TEXT_STRING;
    do {
        if (r->lex.token == TEXT_END || r->lex.token == TEXT_ERROR)
            return td_fail(r, "the text ends too early");
        bool ch = r->lex.token == TEXT_CHAR && r->lex.ch;
        if (ch && strchr("{<[", r->lex.ch))
            depth++;
        else if (ch && strchr("}>]", r->lex.ch) && depth-- == 0)
            return td_fail(r, "a value is expected");
        text_lex_next(&r->lex);
    } while (depth || (string && r->lex.token == TEXT_STRING));
    return PB_OK;
}

/* The value, or list of values, behind the name. */
static enum pb_result td_values(struct td *r, const sennit_field *f)
{
    bool colon = text_lex_is(&r->lex, ':');
    if (colon)
        text_lex_next(&r->lex);
    else if (!pb_is_message(f))
        return td_fail(r, "':' is expected");
    if (!text_lex_is(&r->lex, '[') || !(f->flags & SENNIT_FIELD_REPEATED))
        return td_one(r, f);
    text_lex_next(&r->lex);
    return td_push(r, (struct td_frame){ .kind = TD_LIST, .field = f, .mark = PB_NO_MARK });
}

static enum pb_result td_set_item(struct td *r, const sennit_field *f)
{
    pb_out_tag(&r->out, 1, PB_START_GROUP);
    pb_out_tag(&r->out, 2, PB_VARINT);
    pb_out_varint(&r->out, f->number);
    enum pb_result result = td_push(r, (struct td_frame){ .kind = TD_CLOSE, .group = 1 });
    pb_out_tag(&r->out, 3, PB_LENGTH);
    if (text_lex_is(&r->lex, ':'))
        text_lex_next(&r->lex);
    return result != PB_OK ? result : td_open(r, f->type, (struct td_frame){ .mark = r->out.len });
}

static enum pb_result td_bracketed(struct td *r)
{
    const sennit_msg_desc *d = r->top->d;
    sennit_str name;
    enum pb_result result = td_bracket(r, &name);
    if (result != PB_OK)
        return result;
    if (pb_known_of(d) == PB_ANY && memchr(name.data, '/', name.len))
        return td_any(r, name);
    const sennit_msg_desc *ext = pb_types_ext(&r->types, d, name);
    if (!ext)
        return r->o->ignore_unknown ? td_skip(r) : td_fail(r, "no such extension is known before");
    return ext->flags & SENNIT_MSG_SET ? td_set_item(r, &ext->fields[0])
                                       : td_values(r, &ext->fields[0]);
}

static enum pb_result td_member(struct td *r)
{
    r->top->field_ended = true;
    if (text_lex_is(&r->lex, '['))
        return td_bracketed(r);
    if (r->lex.token != TEXT_NAME)
        return td_fail(r, "the name of a field is expected");
    const sennit_field *field = td_find(r->top->d, r->lex.text);
    if (!field) {
        if (!r->o->ignore_unknown && !pb_types_reserved(r->top->d, r->lex.text))
            return td_fail(r, "no such field");
        text_lex_next(&r->lex);
        return td_skip(r);
    }
    enum pb_result result = td_mark(r, field);
    text_lex_next(&r->lex);
    return result != PB_OK ? result : td_values(r, field);
}

static enum pb_result td_element(struct td *r)
{
    struct td_frame *f = r->top;
    if (text_lex_is(&r->lex, ']')) {
        text_lex_next(&r->lex);
        td_pop(r);
        return PB_OK;
    }
    if (f->more) {
        if (!text_lex_is(&r->lex, ','))
            return td_fail(r, "',' or ']' is expected");
        text_lex_next(&r->lex);
    }
    f->more = true;
    return td_one(r, f->field);
}

static enum pb_result td_step(struct td *r)
{
    struct td_frame *f = r->top;
    if (f->kind == TD_CLOSE) {
        td_pop(r);
        return PB_OK;
    }
    if (f->kind == TD_LIST)
        return td_element(r);
    if (f->field_ended && (text_lex_is(&r->lex, ',') || text_lex_is(&r->lex, ';'))) {
        f->field_ended = false;
        text_lex_next(&r->lex);
        return PB_OK;
    }
    if (f->closer ? text_lex_is(&r->lex, f->closer) : r->lex.token == TEXT_END) {
        if (f->closer)
            text_lex_next(&r->lex);
        td_pop(r);
        return PB_OK;
    }
    return td_member(r);
}

enum pb_result pb_text_decode(struct sennit_arena *a, const sennit_msg_desc *d, sennit_str from,
                              const sennit_format_options *o, void *to, struct pb_why *why)
{
    struct td_frame frames[PB_FRAMES_INLINE];
    struct td r = { .out = { .a = a }, .seen = { .a = a }, .o = o, .a = a, .why = why };
    r.frames = r.top = frames;
    r.room = PB_FRAMES_INLINE;
    why->text[0] = 0;
    pb_init(d, to);
    if (!from.data)
        from = (sennit_str){ "", 0 };
    if (!pb_types_init(&r.types, a, d, o) || !pb_out_room(&r.out, 1))
        return PB_NO_MEMORY;
    text_lex_init(&r.lex, from.data, from.len);
    enum pb_result result =
        td_push(&r, (struct td_frame){ .kind = TD_MESSAGE, .d = d, .mark = PB_NO_MARK });
    while (result == PB_OK && r.out.result == PB_OK && r.top > r.frames)
        result = td_step(&r);
    if (result == PB_OK)
        result = r.out.result;
    if (result != PB_OK)
        return result;
    return pb_decode_msg(d, to, r.out.data, r.out.len, a, 2 * LIMIT_PB_DEPTH);
}
