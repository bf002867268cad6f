/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * emit_header.c: x.sennit.h: enums, structs, and what goes with each message. Services are in
 * emit_service.c. The header stands for itself in C11 and C++: the only names with linkage are
 * tables. A header is included where one of its types is used, or where the import is public; an
 * import for options alone thus asks for no header. */
#include "gen.h"

static const char *const scalar_types[] = {
    [SENNIT_KIND_DOUBLE] = "double",     [SENNIT_KIND_FLOAT] = "float",
    [SENNIT_KIND_INT64] = "int64_t",     [SENNIT_KIND_UINT64] = "uint64_t",
    [SENNIT_KIND_INT32] = "int32_t",     [SENNIT_KIND_FIXED64] = "uint64_t",
    [SENNIT_KIND_FIXED32] = "uint32_t",  [SENNIT_KIND_BOOL] = "bool",
    [SENNIT_KIND_STRING] = "sennit_str", [SENNIT_KIND_BYTES] = "sennit_str",
    [SENNIT_KIND_UINT32] = "uint32_t",   [SENNIT_KIND_ENUM] = "int32_t",
    [SENNIT_KIND_SFIXED32] = "int32_t",  [SENNIT_KIND_SFIXED64] = "int64_t",
    [SENNIT_KIND_SINT32] = "int32_t",    [SENNIT_KIND_SINT64] = "int64_t",
};

static void emit_comment_at(const struct file *file, struct text *t, int indent, gen_path where)
{
    const sennit_plugin_SourceInfo_Location *l = path_location(file, where);
    if (l)
        text_comment(t, indent, l->leading_comments, l->trailing_comments);
}

bool emit_is_public(const struct file *file, size_t dependency)
{
    for (size_t i = 0; i < file->f->public_dependency.len; i++)
        if (file->f->public_dependency.data[i] == (int32_t)dependency)
            return true;
    return false;
}

void emit_includes(struct gen *g, const struct file *file, struct text *t)
{
    struct map done = { 0 };
    for (size_t i = 0; i < file->f->dependency.len; i++) {
        sennit_str name = file->f->dependency.data[i];
        const struct file *d = map_get(&g->file_names, name);
        if (!d)
            gen_fail(g, file, (gen_path){ "", 0 }, "import %zu is not in the request", i + 1);
        else if (map_get(&file->used, name) || emit_is_public(file, i)) {
            text_printf(t, "#include \"%s.sennit.h\"\n", d->base);
            t->failed |= !map_put(&done, g->a, name, d);
        }
    }
    /* Types that a public import of an import brought. */
    for (size_t i = 0; i < g->n_files; i++) {
        const struct file *d = &g->files[i];
        if (map_get(&file->used, d->f->name) && !map_get(&done, d->f->name))
            text_printf(t, "#include \"%s.sennit.h\"\n", d->base);
    }
}

const char *emit_deprecated(const struct file *file, bool itself)
{
    return itself || file->f->options->deprecated ? " SENNIT_DEPRECATED" : "";
}

static const char *emit_deprecated_type(const struct type *m)
{
    return emit_deprecated(m->file, m->e ? m->e->options->deprecated
                                         : m->m->options->deprecated && !m->extendee);
}

static bool emit_uses_deprecated(const struct type *to)
{
    return to && to->m && *emit_deprecated_type(to);
}

bool emit_any_deprecated(const struct file *file)
{
    for (const struct type *m = file->types; m; m = m->next) {
        if (emit_uses_deprecated(m) || emit_uses_deprecated(m->extendee))
            return true;
        for (size_t i = 0; i < m->n_fields; i++)
            if (emit_uses_deprecated(m->fields[i].type) ||
                *emit_deprecated(file, m->fields[i].f->options->deprecated))
                return true;
    }
    for (size_t i = 0; i < file->f->service.len; i++) {
        const struct service *s = &file->services[i];
        for (size_t k = 0; k < s->s->method.len; k++)
            if (emit_uses_deprecated(s->in[k]) || emit_uses_deprecated(s->out[k]) ||
                *emit_deprecated(file, s->s->options->deprecated ||
                                           s->s->method.data[k].options->deprecated))
                return true;
    }
    return false;
}

static void emit_enum(struct gen *g, const struct type *e, struct text *t)
{
    text_add(t, "\n", 1);
    emit_comment_at(e->file, t, 0, e->path);
    text_printf(t, "typedef enum %s {\n", e->name);
    for (size_t i = 0; i < e->e->value.len; i++) {
        const sennit_plugin_EnumValue *v = &e->e->value.data[i];
        char path[GEN_MAX_NESTED * 8 + 16];
        int32_t step[2] = { 2, (int32_t)i };
        sn_assert(e->path.len + sizeof step <= sizeof path);
        memcpy(path, e->path.data, e->path.len);
        memcpy(path + e->path.len, step, sizeof step);
        emit_comment_at(e->file, t, 4, (gen_path){ path, e->path.len + sizeof step });
        text_printf(t, "    %s_%s%s = ", e->name, v->name.data,
                    emit_deprecated(e->file, v->options->deprecated));
        if (v->number == INT32_MIN)
            text_printf(t, "INT32_MIN,\n");
        else
            text_printf(t, "%d,\n", v->number);
    }
    text_printf(t, "} %s%s;\nextern const sennit_enum_desc %s;\n", e->name, emit_deprecated_type(e),
                e->table);
    text_signature(t, 0, "", "SENNIT_DEFINE_ENUM", gen_printf(g, "%s|%s", e->name, e->table));
    text_add(t, "\n", 1);
}

static const struct field *emit_has_field(const struct type *m, uint32_t has)
{
    for (size_t i = 0; i < m->n_fields; i++)
        if (m->fields[i].flags & SENNIT_FIELD_HAS && m->fields[i].has == has)
            return &m->fields[i];
    return NULL;
}

/* uint32_t has_a : 1, has_b : 1;  32 to a word. */
static void emit_has_bits(const struct type *m, struct text *t)
{
    size_t column = 0;
    for (uint32_t i = 0; i < m->n_has; i++) {
        const char *name = emit_has_field(m, i)->f->name.data;
        size_t n = strlen("has_ : 1, ") + strlen(name);
        if (i % 32 == 0) {
            text_printf(t, "%s    uint32_t ", i ? ";\n" : "");
            column = 13;
        } else if (column + n > 98) {
            text_printf(t, ",\n%13s", "");
            column = 13;
        } else {
            text_add(t, ", ", 2);
        }
        text_printf(t, "has_%s : 1", name);
        column += n;
    }
    if (m->n_has)
        text_add(t, ";\n", 2);
}

static void emit_field(const struct type *m, const struct field *f, int indent, struct text *t)
{
    emit_comment_at(m->file, t, indent, f->path);
    bool message = f->kind == SENNIT_KIND_MESSAGE || f->kind == SENNIT_KIND_GROUP;
    const char *type = message ? f->type->name : scalar_types[f->kind];
    text_printf(t, "%*s", indent, "");
    if (f->flags & SENNIT_FIELD_REPEATED)
        text_printf(t, "struct { const %s *data; size_t len; } %s", type, f->name);
    else
        text_printf(t, message ? "const %s *%s" : "%s %s", type, f->name);
    text_printf(t, "%s; /* = %d", emit_deprecated(m->file, f->f->options->deprecated),
                f->f->number);
    if (f->flags & SENNIT_FIELD_MAP)
        text_printf(t, ", a map");
    if (f->kind == SENNIT_KIND_ENUM)
        text_printf(t, ", %s", f->type->name);
    text_add(t, " */\n", 4);
}

static void emit_oneof(const struct type *m, int oneof, struct text *t)
{
    const char *name = m->m->oneof_decl.data[oneof].name.data;
    text_printf(t, "    uint32_t which_%s; /* 0, or a %s_%s_... */\n    union {\n", name, m->name,
                name);
    for (size_t i = 0; i < m->n_fields; i++)
        if (m->fields[i].oneof == oneof)
            emit_field(m, &m->fields[i], 8, t);
    text_add(t, "    };\n", 7);
}

/* Whether fields[i] is the first of its oneof. */
static bool emit_is_first(const struct type *m, size_t i)
{
    for (size_t k = 0; k < i; k++)
        if (m->fields[k].oneof == m->fields[i].oneof)
            return false;
    return true;
}

static void emit_oneof_numbers(const struct type *m, struct text *t)
{
    bool any = false;
    for (size_t i = 0; i < m->n_fields; i++) {
        const char *oneof = name_of_oneof(m, m->fields[i].f);
        if (!oneof)
            continue;
        if (!any)
            text_printf(t, "enum {\n");
        any = true;
        text_printf(t, "    %s_%s_%s = %d,\n", m->name, oneof, m->fields[i].f->name.data,
                    m->fields[i].f->number);
    }
    if (any)
        text_add(t, "};\n", 3);
}

/* What the extension extends, as in the .proto. */
static void emit_extends(const struct type *m, struct text *t)
{
    const struct field *f = &m->fields[0];
    const char *label = f->flags & SENNIT_FIELD_REPEATED ? "repeated" : "optional";
    text_printf(t, "/* extend %s { %s ... %s = %d } */\n", m->extendee->full, label, m->full,
                f->f->number);
}

static void emit_message(struct gen *g, const struct type *m, struct text *t)
{
    text_add(t, "\n", 1);
    emit_comment_at(m->file, t, 0, m->path);
    if (m->extendee)
        emit_extends(m, t);
    text_printf(t, "typedef struct %s {\n", m->name);
    emit_has_bits(m, t);
    for (size_t i = 0; i < m->n_fields; i++)
        if (m->fields[i].oneof < 0)
            emit_field(m, &m->fields[i], 4, t);
        else if (emit_is_first(m, i))
            emit_oneof(m, m->fields[i].oneof, t);
    text_printf(t, "    sennit_str unknown_fields;\n} %s%s;\n", m->name, emit_deprecated_type(m));
    emit_oneof_numbers(m, t);
    text_printf(t, "extern const sennit_msg_desc %s;\nextern const %s %s_empty;\n", m->table,
                m->name, m->table);
    if (m->extendee)
        text_signature(t, 0, "", "SENNIT_DEFINE_EXTENSION",
                       gen_printf(g, "%s|%s|%s", m->name, m->extendee->name, m->table));
    else if (!m->map_entry)
        text_signature(t, 0, "", "SENNIT_DEFINE_MESSAGE",
                       gen_printf(g, "%s|%s", m->name, m->table));
    if (!m->map_entry)
        text_add(t, "\n", 1);
}

/* Structs that are pointed to before they stand. */
static void emit_forwards(struct file *file, struct text *t)
{
    bool any = false;
    for (struct type *m = file->types; m; m = m->next) {
        for (size_t i = 0; i < m->n_fields; i++) {
            struct type *to = m->fields[i].type;
            if (!to || to->e || to->file != file || to->seen || to->forward)
                continue;
            to->forward = true;
            text_printf(t, "%stypedef struct %s %s;\n", any ? "" : "\n", to->name, to->name);
            any = true;
        }
        m->seen = true;
    }
}

static bool emit_any_has(const struct file *file)
{
    for (const struct type *m = file->types; m; m = m->next)
        if (m->n_has)
            return true;
    return false;
}

void emit_header(struct gen *g, struct file *file, struct text *t)
{
    text_printf(t, "/* Generated by protoc-gen-sennit from %s", file->name);
    if (file->option)
        text_printf(t, " (prefix=%s)", file->option);
    text_printf(t, ". Do not edit. */\n#pragma once\n#include \"sennit.h\"\n");
    emit_includes(g, file, t);
    text_printf(t, "\n#ifdef __cplusplus\nextern \"C\" {\n#endif\n");
    bool deprecated = emit_any_deprecated(file); /* then what stands here may use it */
    if (deprecated)
        text_printf(t, "\n#pragma GCC diagnostic push\n"
                       "#pragma GCC diagnostic ignored \"-Wdeprecated-declarations\"\n");
    text_printf(t, "\nextern const sennit_file_desc %s;\n", file->table);
    for (const struct type *e = file->types; e; e = e->next)
        if (e->e)
            emit_enum(g, e, t);
    if (emit_any_has(file))
        text_printf(
            t, "\n/* has_x: set in what you receive when x was there. When you send, a sub-message"
               " is there if its\n * pointer is neither NULL nor the default instance; has_x"
               " matters only for `optional` fields, to\n * send a zero or \"\". */\n");
    emit_forwards(file, t);
    for (const struct type *m = file->types; m; m = m->next)
        if (m->m)
            emit_message(g, m, t);
    emit_services(g, file, t);
    if (deprecated)
        text_printf(t, "\n#pragma GCC diagnostic pop\n");
    text_printf(t, "\n#ifdef __cplusplus\n}\n#endif\n");
}
