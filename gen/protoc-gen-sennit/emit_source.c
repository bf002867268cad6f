/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * emit_source.c: x.sennit.c: the tables of enums, messages and services, the default instances, and
 * the file's own descriptor (as protoc sent it, without source information) for reflection. Default
 * values of proto2 and editions live in the default instance: whoever receives a message without
 * the field reads them there. */
#include "gen.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static const char *const kind_names[] = {
    [SENNIT_KIND_DOUBLE] = "DOUBLE",     [SENNIT_KIND_FLOAT] = "FLOAT",
    [SENNIT_KIND_INT64] = "INT64",       [SENNIT_KIND_UINT64] = "UINT64",
    [SENNIT_KIND_INT32] = "INT32",       [SENNIT_KIND_FIXED64] = "FIXED64",
    [SENNIT_KIND_FIXED32] = "FIXED32",   [SENNIT_KIND_BOOL] = "BOOL",
    [SENNIT_KIND_STRING] = "STRING",     [SENNIT_KIND_GROUP] = "GROUP",
    [SENNIT_KIND_MESSAGE] = "MESSAGE",   [SENNIT_KIND_BYTES] = "BYTES",
    [SENNIT_KIND_UINT32] = "UINT32",     [SENNIT_KIND_ENUM] = "ENUM",
    [SENNIT_KIND_SFIXED32] = "SFIXED32", [SENNIT_KIND_SFIXED64] = "SFIXED64",
    [SENNIT_KIND_SINT32] = "SINT32",     [SENNIT_KIND_SINT64] = "SINT64",
};

static bool kind_in(uint8_t kind, uint32_t set) { return set >> kind & 1; }

#define KINDS(a, b, c, d)                                                                          \
    (1u << SENNIT_KIND_##a | 1u << SENNIT_KIND_##b | 1u << SENNIT_KIND_##c | 1u << SENNIT_KIND_##d)
#define KINDS_SIGNED                                                                               \
    (KINDS(INT32, INT64, SINT32, SINT64) | 1u << SENNIT_KIND_SFIXED32 | 1u << SENNIT_KIND_SFIXED64)
#define KINDS_UNSIGNED KINDS(UINT32, UINT64, FIXED32, FIXED64)
#define KINDS_STRING   KINDS(STRING, STRING, BYTES, BYTES)

static int value_compare(const void *a, const void *b)
{
    const sennit_plugin_EnumValue *x = *(const sennit_plugin_EnumValue *const *)a,
                                  *y = *(const sennit_plugin_EnumValue *const *)b;
    if (x->number != y->number)
        return x->number < y->number ? -1 : 1;
    return (x > y) - (x < y);
}

/* Values by number, so that closed enums are checked by bisection; aliases stay in their order. */
static void emit_enum_table(struct gen *g, const struct type *e, struct text *t)
{
    size_t n = e->e->value.len;
    const sennit_plugin_EnumValue **by = arena_alloc(g->a, n * sizeof *by);
    if (!by) {
        gen_fail(g, e->file, e->path, "out of memory");
        return;
    }
    for (size_t i = 0; i < n; i++)
        by[i] = &e->e->value.data[i];
    qsort(by, n, sizeof *by, value_compare);
    text_printf(t, "\nstatic const sennit_enum_value %s_values[] = {\n", e->name);
    for (size_t i = 0; i < n; i++)
        text_printf(t, "    { %s_%s, \"%s\" },\n", e->name, by[i]->name.data, by[i]->name.data);
    text_printf(t, "};\nconst sennit_enum_desc %s = {\n", e->table);
    text_printf(t, "    SENNIT_TABLES, %zu, \"%s\",\n    %s_values,\n};\n", n, e->full, e->name);
}

/* -- default instances ----------------------------------------------------------------------- */

static int octal(char c) { return c >= '0' && c <= '7' ? c - '0' : -1; }

/* The default of a bytes field comes with C's escapes: \n \r \t \" \' \\ and three octal digits. */
static sennit_str unescape(struct gen *g, sennit_str s)
{
    char *to = arena_alloc(g->a, s.len + 1);
    size_t n = 0;
    for (size_t i = 0; to && i < s.len; i++) {
        char c = s.data[i];
        if (c == '\\' && i + 1 < s.len) {
            const char *at = memchr("nrt", s.data[i + 1], 3);
            if (i + 3 < s.len && octal(s.data[i + 1]) >= 0) {
                c = (char)(octal(s.data[i + 1]) << 6 | octal(s.data[i + 2]) << 3 |
                           octal(s.data[i + 3]));
                i += 3;
            } else {
                i++;
                c = at ? (*at == 'n' ? '\n' : *at == 'r' ? '\r' : '\t') : s.data[i];
            }
        }
        to[n++] = c;
    }
    return (sennit_str){ to ? to : "", to ? n : 0 };
}

static bool emit_real(struct text *t, const char *s, bool is_float)
{
    char *end;
    double d = strtod(s, &end);
    const char *cast = is_float ? "(float)" : "";
    if (end == s || *end)
        return false;
    if (isnan(d))
        text_printf(t, "%s__builtin_nan(\"\")", cast);
    else if (isinf(d))
        text_printf(t, "%s%s__builtin_inf()", cast, d < 0 ? "-" : "");
    else if (d == 0)
        text_printf(t, signbit(d) ? "-0.0" : "0");
    else
        text_printf(t, is_float ? "(float)%.9g" : "%.17g", d);
    return true;
}

static bool emit_integer(struct text *t, const struct field *f, const char *s)
{
    char *end;
    if (kind_in(f->kind, KINDS_UNSIGNED)) {
        text_printf(t, "UINT64_C(%llu)", strtoull(s, &end, 10));
    } else {
        long long v = strtoll(s, &end, 10);
        if (v == INT64_MIN)
            text_printf(t, "INT64_MIN");
        else
            text_printf(t, "INT64_C(%lld)", v);
    }
    return end != s && !*end;
}

static bool emit_enum_default(struct text *t, const struct field *f, const char *s)
{
    const sennit_plugin_Enum *e = f->type->e;
    for (size_t i = 0; i < e->value.len; i++)
        if (!s || !strcmp(e->value.data[i].name.data, s)) {
            text_printf(t, "%s_%s", f->type->name, e->value.data[i].name.data);
            return true;
        }
    return false;
}

/* The value of an absent field; false: the default in the .proto makes no sense. */
static bool emit_default_value(struct gen *g, struct text *t, const struct field *f)
{
    const char *s = f->f->has_default_value ? f->f->default_value.data : NULL;
    if (kind_in(f->kind, KINDS_STRING)) {
        sennit_str v = s ? f->f->default_value : (sennit_str){ "", 0 };
        if (f->kind == SENNIT_KIND_BYTES)
            v = unescape(g, v);
        text_add(t, "{ ", 2);
        text_literal(t, v);
        text_printf(t, ", %zu }", v.len);
        return true;
    }
    if (f->kind == SENNIT_KIND_ENUM)
        return emit_enum_default(t, f, s);
    if (f->kind == SENNIT_KIND_BOOL) {
        text_printf(t, "%s", s);
        return !strcmp(s, "true") || !strcmp(s, "false");
    }
    if (f->kind == SENNIT_KIND_DOUBLE || f->kind == SENNIT_KIND_FLOAT)
        return emit_real(t, s, f->kind == SENNIT_KIND_FLOAT);
    return emit_integer(t, f, s);
}

/* Fields that are not zero in the default instance. */
static bool field_has_default(const struct field *f)
{
    if (f->oneof >= 0 || f->flags & SENNIT_FIELD_REPEATED)
        return false;
    if (kind_in(f->kind, KINDS_STRING) || f->f->has_default_value)
        return true;
    return f->kind == SENNIT_KIND_ENUM && f->type->e->value.data[0].number != 0;
}

static void emit_empty(struct gen *g, const struct type *m, struct text *t)
{
    text_printf(t, "\nconst %s %s_empty = {\n", m->name, m->table);
    for (size_t i = 0; i < m->n_fields; i++) {
        const struct field *f = &m->fields[i];
        bool message = f->kind == SENNIT_KIND_MESSAGE || f->kind == SENNIT_KIND_GROUP;
        if (message && f->oneof < 0 && !(f->flags & SENNIT_FIELD_REPEATED)) {
            text_printf(t, "    .%s = &%s_empty,\n", f->name, f->type->table);
        } else if (!message && field_has_default(f)) {
            text_printf(t, "    .%s = ", f->name);
            if (!emit_default_value(g, t, f))
                gen_fail(g, m->file, f->path, "%s.%s has no valid default", m->full,
                         f->f->name.data);
            text_add(t, ",\n", 2);
        }
    }
    text_printf(t, "    .unknown_fields = { \"\", 0 },\n};\n");
}

/* -- tables ---------------------------------------------------------------------------------- */

static void emit_flags(struct text *t, uint16_t flags)
{
    static const char *const names[] = { "REPEATED", "PACKED", "MAP",       "HAS",
                                         "ONEOF",    "UTF8",   "OPTIONAL",  "REQUIRED",
                                         "CLOSED",   "JSON",   "GROUP_NAME" };
    bool any = false;
    for (size_t i = 0; i < countof(names); i++) {
        if (!(flags >> i & 1))
            continue;
        text_printf(t, "%sSENNIT_FIELD_%s", any ? " | " : "", names[i]);
        any = true;
    }
    if (!any)
        text_add(t, "0", 1);
}

/* How a plain field is written, and the tag's octets; NULL: it is not that plain. */
static const char *plain_name(const struct type *m, const struct field *f)
{
    static const char *const names[] = {
        [SENNIT_KIND_DOUBLE] = "FIXED64",   [SENNIT_KIND_FLOAT] = "FIXED32",
        [SENNIT_KIND_INT64] = "INT64",      [SENNIT_KIND_UINT64] = "INT64",
        [SENNIT_KIND_INT32] = "INT32",      [SENNIT_KIND_FIXED64] = "FIXED64",
        [SENNIT_KIND_FIXED32] = "FIXED32",  [SENNIT_KIND_BOOL] = "BOOL",
        [SENNIT_KIND_STRING] = "STRING",    [SENNIT_KIND_MESSAGE] = "MESSAGE",
        [SENNIT_KIND_BYTES] = "STRING",     [SENNIT_KIND_UINT32] = "UINT32",
        [SENNIT_KIND_ENUM] = "INT32",       [SENNIT_KIND_SFIXED32] = "FIXED32",
        [SENNIT_KIND_SFIXED64] = "FIXED64", [SENNIT_KIND_SINT32] = "SINT32",
        [SENNIT_KIND_SINT64] = "SINT64",
    };
    const uint16_t rare =
        SENNIT_FIELD_MAP | SENNIT_FIELD_ONEOF | SENNIT_FIELD_REQUIRED | SENNIT_FIELD_CLOSED;
    if (m->map_entry || m->extendee || f->flags & rare || f->f->number >= 1 << 11)
        return NULL;
    if (!(f->flags & SENNIT_FIELD_REPEATED))
        return names[f->kind];
    if (f->flags & SENNIT_FIELD_PACKED)
        return "PACKED";
    return kind_in(f->kind, KINDS_STRING)   ? "STRINGS"
           : f->kind == SENNIT_KIND_MESSAGE ? "MESSAGES"
                                            : NULL;
}

static void emit_plain(const struct type *m, const struct field *f, struct text *t)
{
    const char *name = plain_name(m, f);
    if (!name)
        return;
    bool four = !strcmp(name, "FIXED32"), eight = !strcmp(name, "FIXED64");
    bool length = kind_in(f->kind, KINDS_STRING) || f->kind == SENNIT_KIND_MESSAGE ||
                  f->flags & SENNIT_FIELD_PACKED;
    uint32_t tag = (uint32_t)f->f->number << 3 | (length ? 2 : four ? 5 : eight ? 1 : 0);
    if (tag >= 0x80)
        tag = (tag & 0x7f) | 0x80 | tag >> 7 << 8;
    text_printf(t, " | SENNIT_PLAIN(%s, 0x%02x)", name, (unsigned)tag);
    if (f->flags & SENNIT_FIELD_HAS && f->kind != SENNIT_KIND_MESSAGE)
        text_printf(t, " | SENNIT_PLAIN_IF_SET");
}

static void emit_row(struct gen *g, const struct type *m, const struct field *f, struct text *t)
{
    text_printf(t, "    { %d, offsetof(%s, %s), ", f->f->number, m->name, f->name);
    if (f->oneof >= 0)
        text_printf(t, "offsetof(%s, which_%s)", m->name,
                    m->m->oneof_decl.data[f->oneof].name.data);
    else
        text_printf(t, "%u", (unsigned)f->has);
    text_printf(t, ", ");
    emit_flags(t, f->flags);
    text_printf(t, ",\n      SENNIT_KIND_%s", kind_names[f->kind]);
    emit_plain(m, f, t);
    text_printf(t, ", %s%s, ", f->type ? "&" : "", f->type ? f->type->table : "NULL");
    if (f->flags & SENNIT_FIELD_JSON) {
        size_t n = f->f->name.len + 1 + f->f->json_name.len;
        char *both = arena_alloc(g->a, n + 1);
        if (both) {
            memcpy(both, f->f->name.data, f->f->name.len + 1);
            memcpy(both + f->f->name.len + 1, f->f->json_name.data, f->f->json_name.len);
        }
        t->failed |= !both;
        text_literal(t, (sennit_str){ both, both ? n : 0 });
        text_printf(t, " },\n");
    } else {
        text_printf(t, "\"%s\" },\n", f->f->name.data);
    }
}

static int field_compare(const void *a, const void *b)
{
    const struct field *x = *(const struct field *const *)a, *y = *(const struct field *const *)b;
    return (x->f->number > y->f->number) - (x->f->number < y->f->number);
}

/* Fields by number; NULL: no memory. */
static const struct field **fields_sorted(struct gen *g, const struct type *m)
{
    const struct field **by = arena_zalloc(g->a, (m->n_fields + 1) * sizeof *by);
    if (!by) {
        gen_fail(g, m->file, m->path, "out of memory");
        return NULL;
    }
    for (size_t i = 0; i < m->n_fields; i++)
        by[i] = &m->fields[i];
    qsort(by, m->n_fields, sizeof *by, field_compare);
    for (size_t i = 1; i < m->n_fields; i++)
        if (by[i]->f->number == by[i - 1]->f->number)
            gen_fail(g, m->file, by[i]->path, "%s has two fields with the number %d", m->full,
                     by[i]->f->number);
    return by;
}

static void emit_message_flags(const struct type *m, struct text *t)
{
    const struct type *set = m->extendee ? m->extendee : m;
    const struct {
        bool set;
        const char *name;
    } flags[] = { { set->m->options->message_set_wire_format, "SET" },
                  { m->map_entry, "MAP_ENTRY" },
                  { m->m->extension_range.len > 0, "EXTENDABLE" },
                  { m->extendee != NULL, "EXTENSION" } };
    bool any = false;
    for (size_t i = 0; i < countof(flags); i++) {
        if (flags[i].set)
            text_printf(t, "%sSENNIT_MSG_%s", any ? " | " : "", flags[i].name);
        any |= flags[i].set;
    }
    if (m->n_required)
        text_printf(t, "%s%u << 16", any ? " | " : "", (unsigned)m->n_required);
    else if (!any)
        text_add(t, "0", 1);
}

static void emit_message_table(struct gen *g, const struct type *m, struct text *t)
{
    const struct field **by = fields_sorted(g, m);
    if (!by)
        return;
    emit_empty(g, m, t);
    size_t dense = 0;
    if (m->n_fields) {
        text_printf(t, "static const sennit_field %s_fields[] = {\n", m->name);
        for (size_t i = 0; i < m->n_fields; i++) {
            dense += dense == i && by[i]->f->number == (int32_t)i + 1;
            emit_row(g, m, by[i], t);
        }
        text_printf(t, "};\n");
    }
    text_printf(t, "const sennit_msg_desc %s = {\n", m->table);
    text_printf(t, "    SENNIT_TABLES, sizeof(%s), %zu, %zu,\n", m->name, m->n_fields, dense);
    text_printf(t, "    offsetof(%s, unknown_fields), ", m->name);
    emit_message_flags(m, t);
    text_printf(t, ",\n    %s%s, \"%s\",\n    &%s_empty, &%s,\n};\n",
                m->n_fields ? m->name : "NULL", m->n_fields ? "_fields" : "", m->full, m->table,
                m->file->table);
}

/* -- services -------------------------------------------------------------------------------- */

static void emit_service_table(struct gen *g, const struct file *file, const struct service *s,
                               struct text *t)
{
    size_t n = s->s->method.len;
    if (n)
        text_printf(t, "\nconst sennit_method %s_methods[%zu] = {\n", s->table, n);
    for (size_t i = 0; i < n; i++) {
        const sennit_plugin_Method *m = &s->s->method.data[i];
        unsigned flags = (m->client_streaming ? 1u : 0) | (m->server_streaming ? 2u : 0);
        text_printf(t, "    { SENNIT_TABLES, %u, \"/%s/%s\",\n", flags, s->full, m->name.data);
        text_printf(t, "      &%s,\n      &%s,\n      %s_%s_invoke },\n", s->in[i]->table,
                    s->out[i]->table, s->name, m->name.data);
    }
    text_printf(t, n ? "};\n" : "\n");
    text_printf(t, "const sennit_service_desc %s = {\n    SENNIT_TABLES, %zu, \"%s\",\n    %s%s,\n",
                s->table, n, s->full, n ? s->table : "NULL", n ? "_methods" : "");
    text_printf(t, "    &%s,\n};\n", file->table);
    t->failed |= g->error != NULL;
}

void emit_source(struct gen *g, struct file *file, struct text *t)
{
    text_printf(t, "/* Generated by protoc-gen-sennit from %s", file->name);
    if (file->option)
        text_printf(t, " (prefix=%s)", file->option);
    text_printf(t, ". Do not edit. */\n#include \"%s.sennit.h\"\n", file->base);
    if (emit_any_deprecated(file))
        text_printf(t, "\n#pragma GCC diagnostic ignored \"-Wdeprecated-declarations\"\n");
    for (const struct type *e = file->types; e; e = e->next)
        if (e->e)
            emit_enum_table(g, e, t);
    for (const struct type *m = file->types; m && !g->error; m = m->next)
        if (m->m)
            emit_message_table(g, m, t);
    if (!g->error)
        emit_file_table(g, file, t);
    if (g->error)
        return;
    emit_invokes(g, file, t);
    for (size_t i = 0; i < file->f->service.len && !g->error; i++)
        emit_service_table(g, file, &file->services[i], t);
}
