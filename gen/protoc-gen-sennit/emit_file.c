/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * emit_file.c: the table of a file: its messages, enums, extensions, imports, and its descriptor as
 * protoc sent it, without source information. Reflection and google.protobuf.Any find types by full
 * name through it. Imports whose types are not used (options, mostly) are weak references: who has
 * no code for them links all the same. */
#include "gen.h"

/* Octets of the varint at s; 0: it does not end. */
static size_t descriptor_varint(const uint8_t *s, size_t n, uint64_t *v)
{
    *v = 0;
    for (size_t i = 0; i < n && i < 10; i++) {
        *v |= (uint64_t)(s[i] & 127) << 7 * i;
        if (s[i] < 128)
            return i + 1;
    }
    return 0;
}

/* Octets of the field at s with its tag; 0: not a field of a descriptor. */
static size_t descriptor_field(const uint8_t *s, size_t n, uint64_t *tag)
{
    uint64_t v;
    size_t head = descriptor_varint(s, n, tag), more = 0;
    if (!head)
        return 0;
    switch (*tag & 7) {
    case 0:
        more = descriptor_varint(s + head, n - head, &v);
        break;
    case 1:
        more = 8;
        break;
    case 2:
        more = descriptor_varint(s + head, n - head, &v);
        more = more && v <= n - head - more ? more + (size_t)v : 0;
        break;
    case 5:
        more = 4;
        break;
    default:
        break;
    }
    return more && more <= n - head ? head + more : 0;
}

static void emit_octets(struct text *t, const uint8_t *s, size_t n, size_t *column)
{
    for (size_t i = 0; i < n; i++) {
        if (*column > 94) {
            text_add(t, "\n   ", 4);
            *column = 3;
        }
        text_printf(t, " %u,", (unsigned)s[i]);
        *column += s[i] < 10 ? 3 : s[i] < 100 ? 4 : 5;
    }
}

static void emit_descriptor(struct gen *g, const struct file *file, struct text *t)
{
    const uint8_t *s = (const uint8_t *)file->octets.data;
    size_t left = file->octets.len, column = 3;
    text_printf(t, "\nstatic const unsigned char %s_octets[] = {\n   ", file->table);
    while (left) {
        uint64_t tag;
        size_t n = descriptor_field(s, left, &tag);
        if (!n) {
            gen_fail(g, file, (gen_path){ "", 0 }, "the descriptor has a group in it");
            return;
        }
        if (tag >> 3 != 9) /* source_code_info */
            emit_octets(t, s, n, &column);
        s += n;
        left -= n;
    }
    text_printf(t, " 0,\n};\n");
}

/* The names of one kind of type as an array, "&a, &b"; how many. */
static size_t emit_list(const struct file *file, struct text *t, const char *what, bool enums)
{
    size_t n = 0;
    for (const struct type *of = file->types; of; of = of->next) {
        if ((of->e != NULL) != enums || of->extendee)
            continue;
        if (!n++)
            text_printf(t, "static const sennit_%s_desc *const %s_%ss[] = {\n",
                        enums ? "enum" : "msg", file->table, what);
        text_printf(t, "    &%s,\n", of->table);
    }
    if (n)
        text_printf(t, "};\n");
    return n;
}

static size_t emit_extension_list(const struct file *file, struct text *t)
{
    size_t n = 0;
    for (const struct type *e = file->types; e; e = e->next) {
        if (!e->extendee)
            continue;
        if (!n++)
            text_printf(t, "static const sennit_ext_desc %s_exts[] = {\n", file->table);
        text_printf(t, "    { &%s, &%s },\n", e->extendee->table, e->table);
    }
    if (n)
        text_printf(t, "};\n");
    return n;
}

static void emit_deps(struct gen *g, const struct file *file, struct text *t)
{
    size_t n = file->f->dependency.len;
    for (size_t i = 0; i < n; i++) {
        sennit_str name = file->f->dependency.data[i];
        const struct file *d = map_get(&g->file_names, name); /* it is there: emit_includes */
        if (!map_get(&file->used, name) && !emit_is_public(file, i))
            text_printf(t, "extern const sennit_file_desc %s __attribute__((weak));\n", d->table);
    }
    if (n)
        text_printf(t, "static const sennit_file_desc *const %s_deps[] = {\n", file->table);
    for (size_t i = 0; i < n; i++) {
        const struct file *d = map_get(&g->file_names, file->f->dependency.data[i]);
        text_printf(t, "    &%s,\n", d->table);
    }
    if (n)
        text_printf(t, "};\n");
}

void emit_file_table(struct gen *g, const struct file *file, struct text *t)
{
    emit_descriptor(g, file, t);
    emit_deps(g, file, t);
    size_t messages = emit_list(file, t, "message", false),
           enums = emit_list(file, t, "enum", true), exts = emit_extension_list(file, t);
    const char *name = file->table;
    text_printf(t, "const sennit_file_desc %s = {\n    SENNIT_TABLES, %zu, %zu, %zu, %zu,\n", name,
                file->f->dependency.len, messages, enums, exts);
    text_printf(t, "    \"%s\",\n", file->name);
    const struct {
        size_t n;
        const char *what;
    } lists[] = { { file->f->dependency.len, "deps" },
                  { messages, "messages" },
                  { enums, "enums" },
                  { exts, "exts" } };
    for (size_t i = 0; i < countof(lists); i++) {
        if (lists[i].n)
            text_printf(t, "    %s_%s,\n", name, lists[i].what);
        else
            text_printf(t, "    NULL,\n");
    }
    text_printf(t, "    { (const char *)%s_octets, sizeof %s_octets - 1 },\n};\n", name, name);
}
