/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * names.c: which names are names, which are taken, and which meet. "a.b" with message C_D and
 * message C.D, or a field has_x beside an optional x, are right as a .proto and wrong as C: that is
 * said with the line of the .proto, not left to the C compiler of whoever uses the header. */
#include "gen.h"

struct gen_owner {
    const struct file *file;
    gen_path path;
    const char *what; /* full name in the .proto */
};

bool name_is_ident(sennit_str s)
{
    for (size_t i = 0; i < s.len; i++) {
        char c = s.data[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
        if (!letter && !(i > 0 && c >= '0' && c <= '9'))
            return false;
    }
    return s.len > 0 && s.len <= GEN_MAX_NAME;
}

static bool name_in(const char *const *list, size_t n, const char *s)
{
    for (size_t i = 0; i < n; i++)
        if (!strcmp(list[i], s))
            return true;
    return false;
}

/* One name a line would say no more. */
/* clang-format off */
/* Keywords of C11, C23, gcc and C++, then macros and types of what everybody includes. */
static const char *const reserved_names[] = {
    "auto", "break", "case", "char", "const", "continue", "default", "do", "double", "else", "enum",
    "extern", "float", "for", "goto", "if", "inline", "int", "long", "register", "restrict",
    "return", "short", "signed", "sizeof", "static", "struct", "switch", "typedef", "union",
    "unsigned", "void", "volatile", "while", "_Alignas", "_Alignof", "_Atomic", "_Bool", "_Complex",
    "_Generic", "_Imaginary", "_Noreturn", "_Static_assert", "_Thread_local", "_BitInt",
    "_Decimal32", "_Decimal64", "_Decimal128", "alignas", "alignof", "bool", "constexpr", "false",
    "nullptr", "static_assert", "thread_local", "true", "typeof", "typeof_unqual", "asm", "and",
    "and_eq", "bitand", "bitor", "catch", "char8_t", "char16_t", "char32_t", "class", "compl",
    "concept", "consteval", "constinit", "const_cast", "co_await", "co_return", "co_yield",
    "decltype", "delete", "dynamic_cast", "explicit", "export", "friend", "mutable", "namespace",
    "new", "noexcept", "not", "not_eq", "operator", "or", "or_eq", "private", "protected", "public",
    "reinterpret_cast", "requires", "static_cast", "template", "this", "throw", "try", "typeid",
    "typename", "using", "virtual", "wchar_t", "xor", "xor_eq", "NULL", "EOF", "errno", "stdin",
    "stdout", "stderr", "linux", "unix", "assert", "offsetof", "va_start", "va_arg", "va_copy",
    "va_end", "va_list", "major", "minor", "makedev", "size_t", "int8_t", "int16_t", "int32_t",
    "int64_t", "uint8_t", "uint16_t", "uint32_t", "uint64_t", "main"
};

/* Parameters of generated functions. */
static const char *const local_names[] = {
    "arena", "c", "ctx", "from", "m", "o", "reply", "request", "s", "self", "server", "service",
    "stream"
};

/* clang-format on */
/* <stdint.h> has some hundred macros, as INT32_MAX and UINT_FAST8_WIDTH, which sennit.h includes.
 */
static bool name_is_of_stdint(const char *s)
{
    static const char *const firsts[] = { "INT",   "UINT",   "SIZE_",      "PTRDIFF_",
                                          "WINT_", "WCHAR_", "SIG_ATOMIC_" };
    static const char *const lasts[] = { "_MAX", "_MIN", "_WIDTH", "_C" };
    size_t n = strlen(s);
    bool first = false, last = false;
    for (size_t i = 0; i < countof(firsts); i++)
        first |= strncmp(s, firsts[i], strlen(firsts[i])) == 0;
    for (size_t i = 0; i < countof(lasts); i++)
        last |= n > strlen(lasts[i]) && strcmp(s + n - strlen(lasts[i]), lasts[i]) == 0;
    return first && last;
}

bool name_is_reserved(const char *s)
{
    return name_in(reserved_names, countof(reserved_names), s) || name_is_of_stdint(s);
}

bool name_is_local(const char *s) { return name_in(local_names, countof(local_names), s); }

const char *name_of_oneof(const struct type *t, const sennit_plugin_Field *f)
{
    bool real = f->has_oneof_index && !f->proto3_optional && f->oneof_index >= 0 &&
                (size_t)f->oneof_index < t->m->oneof_decl.len;
    return real ? t->m->oneof_decl.data[f->oneof_index].name.data : NULL;
}

const char *name_of_method(struct gen *g, const sennit_plugin_Method *m)
{
    return name_is_reserved(m->name.data) ? gen_printf(g, "%s_", m->name.data) : m->name.data;
}

/* Where the name is in use already and one of the two is in the file at work, that is an error. */
static void names_take(struct gen *g, struct map *in, const char *name, const struct file *work,
                       struct gen_owner owner)
{
    const struct gen_owner *other = map_get(in, sennit_s(name));
    if (g->error)
        return;
    if (other && owner.file == work) {
        gen_fail(g, owner.file, owner.path,
                 "%s and %s (%s) are both %s in C; prefix= or other "
                 "names in the .proto keep them apart",
                 owner.what, other->what, other->file->name, name);
        return;
    }
    struct gen_owner *kept = arena_alloc(g->a, sizeof *kept);
    if (kept)
        *kept = owner;
    if (!kept || (!other && !map_put(in, g->a, sennit_s(name), kept)))
        gen_fail(g, owner.file, owner.path, "out of memory");
}

static void names_of_type(struct gen *g, struct type *t, const struct file *work)
{
    struct gen_owner owner = { t->file, t->path, t->full };
    names_take(g, &g->idents, t->name, work, owner);
    names_take(g, &g->idents, t->table, work, owner);
    for (size_t i = 0; t->e && i < t->e->value.len; i++) {
        const char *value = t->e->value.data[i].name.data;
        owner.path = path_child(g, t->path, 2, i);
        owner.what = gen_printf(g, "%s.%s", t->full, value);
        names_take(g, &g->idents, gen_printf(g, "%s_%s", t->name, value), work, owner);
    }
    owner = (struct gen_owner){ t->file, t->path, t->full };
    if (t->e) {
        names_take(g, &g->idents, gen_printf(g, "%s_name", t->name), work, owner);
        return;
    }
    static const char *const message[] = { "copy",    "size",      "encode",  "decode",
                                           "to_json", "from_json", "to_text", "from_text" },
                             *const extension[] = { "get", "set" };
    const char *const *functions = t->extendee_name ? extension : message;
    size_t n = t->extendee_name ? countof(extension) : countof(message);
    for (size_t i = 0; i < n && !t->map_entry; i++)
        names_take(g, &g->idents, gen_printf(g, "%s_%s", t->name, functions[i]), work, owner);
    names_take(g, &g->idents, gen_printf(g, "%s_empty", t->table), work, owner);
    for (size_t i = 0; i < t->m->field.len; i++) {
        const sennit_plugin_Field *f = &t->m->field.data[i];
        const char *oneof = name_of_oneof(t, f);
        if (!oneof)
            continue;
        owner.path = path_child(g, t->path, 2, i);
        owner.what = gen_printf(g, "%s.%s", t->full, f->name.data);
        names_take(g, &g->idents, gen_printf(g, "%s_%s_%s", t->name, oneof, f->name.data), work,
                   owner);
    }
}

static void names_of_method(struct gen *g, const struct service *s, size_t i,
                            const struct file *work, struct gen_owner owner)
{
    static const char *const stream[] = { "Client",      "Client_send",   "Client_close_send",
                                          "Client_recv", "Client_finish", "Server",
                                          "Server_send", "Server_recv",   "Server_error" };
    const sennit_plugin_Method *m = &s->s->method.data[i];
    owner.path = path_child(g, s->path, 2, i);
    owner.what = gen_printf(g, "%s.%s", s->full, m->name.data);
    const char *name = gen_printf(g, "%s_%s", s->name, m->name.data);
    names_take(g, &g->idents, name, work, owner);
    names_take(g, &g->idents, gen_printf(g, "%s_with", name), work, owner);
    for (size_t k = 0; k < countof(stream) && (m->client_streaming || m->server_streaming); k++)
        names_take(g, &g->idents, gen_printf(g, "%s%s", name, stream[k]), work, owner);
}

static void names_of_service(struct gen *g, const struct file *file, const struct service *s,
                             const struct file *work)
{
    struct gen_owner owner = { file, s->path, s->full };
    static const char *const name[] = { "Service", "Client", "_register" };
    for (size_t i = 0; i < countof(name); i++)
        names_take(g, &g->idents, gen_printf(g, "%s%s", s->name, name[i]), work, owner);
    names_take(g, &g->idents, s->table, work, owner);
    names_take(g, &g->idents, gen_printf(g, "%s_methods", s->table), work, owner);
    for (size_t i = 0; i < s->s->method.len; i++)
        names_of_method(g, s, i, work, owner);
    struct map members = { 0 };
    for (size_t i = 0; i < s->s->method.len; i++) {
        const char *member = name_of_method(g, &s->s->method.data[i]);
        owner.path = path_child(g, s->path, 2, i);
        owner.what = gen_printf(g, "%s.%s", s->full, s->s->method.data[i].name.data);
        names_take(g, &members, member, work, owner);
    }
}

static void names_of_file(struct gen *g, const struct file *file, const struct file *work)
{
    for (struct type *t = file->types; t && !g->error; t = t->next)
        names_of_type(g, t, work);
    for (size_t i = 0; i < file->f->service.len && !g->error; i++)
        names_of_service(g, file, &file->services[i], work);
}

/* The members of one struct. */
static void names_of_members(struct gen *g, const struct type *t)
{
    struct map members = { 0 };
    struct gen_owner owner = { t->file, t->path, t->full };
    names_take(g, &members, "unknown_fields", t->file, owner);
    for (size_t i = 0; i < t->m->oneof_decl.len; i++) {
        const char *oneof = t->m->oneof_decl.data[i].name.data;
        owner.path = path_child(g, t->path, 8, i);
        owner.what = gen_printf(g, "%s.%s", t->full, oneof);
        bool synthetic = false;
        for (size_t k = 0; k < t->n_fields; k++)
            synthetic |= t->fields[k].f->proto3_optional && t->fields[k].f->has_oneof_index &&
                         t->fields[k].f->oneof_index == (int32_t)i;
        if (!synthetic)
            names_take(g, &members, gen_printf(g, "which_%s", oneof), t->file, owner);
    }
    for (size_t i = 0; i < t->n_fields; i++) {
        const struct field *f = &t->fields[i];
        owner.path = f->path;
        owner.what = gen_printf(g, "%s.%s", t->full, f->f->name.data);
        names_take(g, &members, f->name, t->file, owner);
        if (f->flags & SENNIT_FIELD_HAS)
            names_take(g, &members, gen_printf(g, "has_%s", f->f->name.data), t->file, owner);
    }
}

void names_check(struct gen *g, struct file *file)
{
    g->idents = (struct map){ 0 };
    for (size_t i = 0; i < g->n_files && !g->error; i++)
        if (map_get(&file->used, g->files[i].f->name))
            names_of_file(g, &g->files[i], file);
    if (!g->error)
        names_of_file(g, file, file);
    for (struct type *t = file->types; t && !g->error; t = t->next)
        if (t->m)
            names_of_members(g, t);
}
