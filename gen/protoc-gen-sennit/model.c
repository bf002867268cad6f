/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * model.c: from the octets of a request to files and types by name. Nested messages are walked with
 * a stack of our own, so that input never decides how deep ours gets. Types stand in the file's
 * list with nested ones before those around them: that is the order in which C wants to see them.
 */
#include "gen.h"

#include <stdio.h>

#include "base/limits.h"
#include "pb/pb.h"

void gen_fail(struct gen *g, const struct file *file, gen_path where, const char *fmt, ...)
{
    if (g->error)
        return;
    va_list ap;
    va_start(ap, fmt);
    sennit_str text = arena_vprintf(g->a, fmt, ap);
    va_end(ap);
    const sennit_plugin_SourceInfo_Location *at = NULL;
    for (gen_path p = where; file && !at; p.len -= 2 * sizeof(int32_t)) {
        at = path_location(file, p);
        if (p.len < 2 * sizeof(int32_t))
            break;
    }
    const char *what = text.data ? text.data : "out of memory";
    if (at && at->span.len)
        g->error = gen_printf(g, "%s:%u: %s", file->name, (unsigned)at->span.data[0] + 1, what);
    else
        g->error = file ? gen_printf(g, "%s: %s", file->name, what) : what;
}

gen_path path_child(struct gen *g, gen_path parent, int32_t field, size_t index)
{
    int32_t step[2] = { field, (int32_t)index };
    char *data = arena_alloc(g->a, parent.len + sizeof step);
    if (!data) {
        gen_fail(g, NULL, parent, "out of memory");
        return parent;
    }
    if (parent.len)
        memcpy(data, parent.data, parent.len);
    memcpy(data + parent.len, step, sizeof step);
    return (gen_path){ data, parent.len + sizeof step };
}

const sennit_plugin_SourceInfo_Location *path_location(const struct file *file, gen_path where)
{
    return map_get(&file->locations, where);
}

static bool load_put(struct gen *g, struct map *m, sennit_str key, const void *value)
{
    bool done = map_put(m, g->a, key, value);
    if (!done)
        gen_fail(g, NULL, (gen_path){ "", 0 }, "out of memory");
    return done;
}

static void load_locations(struct gen *g, struct file *file)
{
    const sennit_plugin_SourceInfo *info = file->f->source_code_info;
    for (size_t i = 0; i < info->location.len && !g->error; i++) {
        const sennit_plugin_SourceInfo_Location *l = &info->location.data[i];
        sennit_str key = { (const char *)l->path.data, l->path.len * sizeof(int32_t) };
        if (key.len && !map_get(&file->locations, key))
            load_put(g, &file->locations, key, l);
    }
}

/* "a.b.C" as "a_b_C"; NULL data never. */
static char *load_underscores(struct gen *g, const char *dotted)
{
    char *s = (char *)(uintptr_t)gen_printf(g, "%s", dotted); /* fresh, thus ours to change */
    for (char *p = s; *p; p++)
        if (*p == '.')
            *p = '_';
    return s;
}

/* full, name and table of what is called `own` inside `scope` (NULL: the package). */
static void load_names(struct gen *g, const struct file *file, const char *scope, const char *own,
                       const char **full, const char **name, const char **table)
{
    size_t package = strlen(file->package);
    if (scope || package)
        *full = gen_printf(g, "%s.%s", scope ? scope : file->package, own);
    else
        *full = own;
    if (g->error)
        return;
    const char *local = *full + (package ? package + 1 : 0);
    *name = gen_printf(g, "%s%s", file->prefix, load_underscores(g, local));
    if (name_is_reserved(*name) || name_is_local(*name))
        *name = gen_printf(g, "%s_", *name);
    *table = gen_printf(g, "sennit__%s", load_underscores(g, *full));
}

static void load_check_ident(struct gen *g, struct file *file, gen_path where, sennit_str name)
{
    if (!name_is_ident(name))
        gen_fail(g, file, where, "a name is not an identifier of at most %u octets", GEN_MAX_NAME);
}

static struct type *load_type(struct gen *g, struct file *file, struct type *parent, sennit_str own,
                              gen_path path)
{
    load_check_ident(g, file, path, own);
    struct type *t = g->error ? NULL : arena_zalloc(g->a, sizeof *t);
    if (!t) {
        gen_fail(g, file, path, "out of memory");
        return NULL;
    }
    t->file = file;
    t->parent = parent;
    t->path = path;
    load_names(g, file, parent ? parent->full : NULL, own.data, &t->full, &t->name, &t->table);
    if (g->error)
        return NULL;
    if (strlen(t->full) > GEN_MAX_NAME)
        gen_fail(g, file, path, "a full name has more than %u octets", GEN_MAX_NAME);
    else if (map_get(&g->type_names, sennit_s(t->full)))
        gen_fail(g, file, path, "%s is defined twice", t->full);
    else
        load_put(g, &g->type_names, sennit_s(t->full), t);
    return g->error ? NULL : t;
}

static void load_append(struct file *file, struct type *t)
{
    *file->types_end = t;
    file->types_end = &t->next;
}

static void load_enums(struct gen *g, struct file *file, struct type *parent,
                       const sennit_plugin_Enum *enums, size_t n, int32_t tag)
{
    gen_path scope = parent ? parent->path : (gen_path){ "", 0 };
    for (size_t i = 0; i < n && !g->error; i++) {
        struct type *t = load_type(g, file, parent, enums[i].name, path_child(g, scope, tag, i));
        if (!t)
            return;
        t->e = &enums[i];
        load_append(file, t);
        if (!enums[i].value.len)
            gen_fail(g, file, t->path, "%s has no values", t->full);
        for (size_t v = 0; v < enums[i].value.len; v++)
            load_check_ident(g, file, path_child(g, t->path, 2, v), enums[i].value.data[v].name);
    }
}

/* A message with one field stands for an extension: struct, table and functions come by the same
 * roads as those of messages. Options of options (extensions of descriptor.proto) concern plugins:
 * they stay in the descriptor alone. */
static void load_extension(struct gen *g, struct file *file, struct type *parent,
                           const sennit_plugin_Field *f, gen_path path)
{
    const struct type *options = NULL;
    if (f->extendee.data[0] == '.')
        options = map_get(&g->type_names, sennit_s(f->extendee.data + 1));
    if (options && !strcmp(options->file->name, "google/protobuf/descriptor.proto"))
        return;
    struct type *t = load_type(g, file, parent, f->name, path);
    sennit_plugin_Field *value = arena_alloc(g->a, sizeof *value);
    sennit_plugin_Message *m = arena_alloc(g->a, sizeof *m);
    if (!t || !value || !m) {
        gen_fail(g, file, path, "out of memory");
        return;
    }
    *value = *f;
    value->name = sennit_s("value");
    value->json_name = value->name;
    value->has_oneof_index = 0;
    *m = sennit__sennit_plugin_Message_empty;
    m->field.data = value;
    m->field.len = 1;
    t->m = m;
    t->extendee_name = f->extendee.data;
    load_append(file, t);
}

static void load_extensions(struct gen *g, struct file *file)
{
    for (size_t i = 0; i < file->f->extension.len && !g->error; i++)
        load_extension(g, file, NULL, &file->f->extension.data[i],
                       path_child(g, (gen_path){ "", 0 }, 7, i));
    for (struct type *t = file->types; t && !g->error; t = t->next) {
        for (size_t i = 0; t->m && i < t->m->extension.len && !g->error; i++)
            load_extension(g, file, t, &t->m->extension.data[i], path_child(g, t->path, 6, i));
    }
}

static struct type *load_message(struct gen *g, struct file *file, struct type *parent,
                                 const sennit_plugin_Message *m, gen_path path)
{
    struct type *t = load_type(g, file, parent, m->name, path);
    if (!t)
        return NULL;
    t->m = m;
    t->map_entry = m->options->map_entry;
    load_enums(g, file, t, m->enum_type.data, m->enum_type.len, 4);
    return t;
}

/* The message and all within it, inner ones first. */
static void load_tree(struct gen *g, struct file *file, const sennit_plugin_Message *m,
                      size_t index)
{
    struct {
        struct type *t;
        size_t next;
    } stack[GEN_MAX_NESTED];
    size_t depth = 0;
    stack[0].t = load_message(g, file, NULL, m, path_child(g, (gen_path){ "", 0 }, 4, index));
    stack[0].next = 0;
    while (!g->error) {
        struct type *t = stack[depth].t;
        size_t i = stack[depth].next++;
        if (i == t->m->nested_type.len) {
            load_append(file, t);
            if (depth-- == 0)
                return;
            continue;
        }
        gen_path path = path_child(g, t->path, 3, i);
        if (depth + 1 == GEN_MAX_NESTED) {
            gen_fail(g, file, path, "messages are nested deeper than %u", GEN_MAX_NESTED);
            return;
        }
        stack[++depth].t = load_message(g, file, t, &t->m->nested_type.data[i], path);
        stack[depth].next = 0;
    }
}

static void load_services(struct gen *g, struct file *file)
{
    size_t n = file->f->service.len;
    file->services = arena_zalloc(g->a, (n + 1) * sizeof *file->services);
    if (!file->services)
        gen_fail(g, file, (gen_path){ "", 0 }, "out of memory");
    for (size_t i = 0; i < n && !g->error; i++) {
        struct service *s = &file->services[i];
        s->s = &file->f->service.data[i];
        s->path = path_child(g, (gen_path){ "", 0 }, 6, i);
        load_check_ident(g, file, s->path, s->s->name);
        if (g->error)
            return;
        load_names(g, file, NULL, s->s->name.data, &s->full, &s->name, &s->table);
        for (size_t m = 0; m < s->s->method.len; m++)
            load_check_ident(g, file, path_child(g, s->path, 2, m), s->s->method.data[m].name);
    }
}

/* Names of files stand in comments and #include lines. */
static bool load_path_is_plain(sennit_str s)
{
    for (size_t i = 0; i < s.len; i++)
        if ((uint8_t)s.data[i] < 32 || strchr("\"\\*?<>|", s.data[i]) || s.data[i] == 127)
            return false;
    return s.len > 0 && s.len <= GEN_MAX_NAME;
}

static bool load_package_is_plain(sennit_str s)
{
    while (s.len) {
        const char *dot = memchr(s.data, '.', s.len);
        size_t n = dot ? (size_t)(dot - s.data) : s.len;
        if (!name_is_ident((sennit_str){ s.data, n }) || n + 1 == s.len)
            return false;
        s.data += n + (dot != NULL);
        s.len -= n + (dot != NULL);
    }
    return true;
}

/* "dir/x.proto" as "sennit_file__dir_x_proto". */
static const char *load_table(struct gen *g, const char *name)
{
    char *s = (char *)(uintptr_t)gen_printf(g, "sennit_file__%s", name); /* fresh, ours to change */
    for (char *p = s; *p; p++)
        if (!name_is_ident((sennit_str){ p, 1 }) && !(*p >= '0' && *p <= '9'))
            *p = '_';
    return s;
}

/* Decodes one file. Its octets are kept as they are: decoding writes into its buffer. */
static const sennit_plugin_File *load_decode(struct gen *g, sennit_str octets, size_t index)
{
    sennit_plugin_File *f = arena_alloc(g->a, sizeof *f);
    char *copy = arena_alloc(g->a, octets.len + 1);
    if (!f || !copy) {
        gen_fail(g, NULL, (gen_path){ "", 0 }, "out of memory");
        return NULL;
    }
    if (octets.len)
        memcpy(copy, octets.data, octets.len);
    enum pb_result r = pb_decode_msg(&sennit__sennit_plugin_File, f, copy, octets.len, g->a, 0);
    if (r == PB_OK)
        return f;
    gen_fail(g, NULL, (gen_path){ "", 0 }, "file descriptor %zu of the request: %s", index,
             pb_result_text(r));
    return NULL;
}

static void load_file(struct gen *g, struct file *file, const sennit_plugin_File *f)
{
    file->f = f;
    file->types_end = &file->types;
    if (!load_path_is_plain(f->name)) {
        gen_fail(g, NULL, (gen_path){ "", 0 },
                 "the name of a file is empty, has more than %u octets, or a character out of "
                 "\"\\*?<>| in it",
                 GEN_MAX_NAME);
        return;
    }
    size_t n = f->name.len;
    file->name = f->name.data;
    file->base = n > 6 && !strcmp(file->name + n - 6, ".proto")
                     ? gen_printf(g, "%.*s", (int)(n - 6), file->name)
                     : file->name;
    file->package = f->package.data;
    file->table = load_table(g, file->name);
    load_locations(g, file);
    if (f->package.len > GEN_MAX_NAME || !load_package_is_plain(f->package))
        gen_fail(g, file, (gen_path){ "", 0 }, "the package is not a dotted name");
    if (map_get(&g->file_names, f->name))
        gen_fail(g, file, (gen_path){ "", 0 }, "the file is in the request twice");
    load_put(g, &g->file_names, f->name, file);
}

/* The part of C names before the message: see gen.h. */
static void load_prefix(struct gen *g, struct file *file, const char *generated)
{
    const char *prefix = load_underscores(g, file->package);
    for (size_t i = 0; i < g->n_prefixes; i++) {
        const char *package = g->prefixes[i].package;
        if (!strcmp(package ? package : generated, file->package))
            prefix = file->option = g->prefixes[i].prefix;
    }
    file->prefix = *prefix ? gen_printf(g, "%s_", prefix) : "";
}

/* The package that a prefix without one means: that of the files to generate. */
static const char *load_generated_package(struct gen *g)
{
    const char *package = NULL;
    bool bare = false;
    for (size_t i = 0; i < g->n_prefixes; i++)
        bare |= !g->prefixes[i].package;
    for (size_t i = 0; i < g->request.file_to_generate.len; i++) {
        const struct file *f = map_get(&g->file_names, g->request.file_to_generate.data[i]);
        if (!f) {
            gen_fail(g, NULL, (gen_path){ "", 0 }, "a file to generate is not in the request");
            return "";
        }
        if (bare && package && strcmp(package, f->package) != 0)
            gen_fail(g, f, (gen_path){ "", 0 },
                     "prefix=P is for one package, and this file has another one than those before "
                     "it: say prefix=PACKAGE:P for each");
        package = f->package;
    }
    return package ? package : "";
}

bool model_load(struct gen *g)
{
    size_t n = g->request.proto_file.len;
    g->files = arena_zalloc(g->a, (n + 1) * sizeof *g->files);
    if (!g->files)
        gen_fail(g, NULL, (gen_path){ "", 0 }, "out of memory");
    for (size_t i = 0; i < n && !g->error; i++) {
        g->files[i].octets = g->request.proto_file.data[i];
        const sennit_plugin_File *f = load_decode(g, g->files[i].octets, i);
        if (f)
            load_file(g, &g->files[i], f);
    }
    g->n_files = n;
    const char *generated = g->error ? "" : load_generated_package(g);
    for (size_t i = 0; i < n && !g->error; i++) {
        struct file *file = &g->files[i];
        load_prefix(g, file, generated);
        load_enums(g, file, NULL, file->f->enum_type.data, file->f->enum_type.len, 5);
        for (size_t m = 0; m < file->f->message_type.len && !g->error; m++)
            load_tree(g, file, &file->f->message_type.data[m], m);
        if (!g->error)
            load_services(g, file);
    }
    for (size_t i = 0; i < n && !g->error; i++)
        load_extensions(g, &g->files[i]);
    return !g->error && model_features(g);
}
