/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * resolve.c: what each field is in C and on the wire: features (of a syntax, an edition, and set on
 * file, message or field; the nearest wins), kind, flags, has-bits, oneofs, types; and the checks
 * on which the emitters rely. protoc did most of these checks, but a request may come from
 * elsewhere. */
#include "gen.h"

static const gen_path nowhere = { "", 0 };

static void features_set(struct sennit_plugin_Features *to, const sennit_plugin_Features *from)
{
    if (from->field_presence)
        to->field_presence = from->field_presence;
    if (from->enum_type)
        to->enum_type = from->enum_type;
    if (from->repeated_field_encoding)
        to->repeated_field_encoding = from->repeated_field_encoding;
    if (from->utf8_validation)
        to->utf8_validation = from->utf8_validation;
    if (from->message_encoding)
        to->message_encoding = from->message_encoding;
}

static int32_t file_edition(const struct file *file)
{
    const char *syntax = file->f->syntax.data;
    if (!strcmp(syntax, "editions"))
        return file->f->edition;
    return !strcmp(syntax, "proto3") ? GEN_EDITION_PROTO3 : GEN_EDITION_PROTO2;
}

static void file_features(struct gen *g, struct file *file)
{
    struct sennit_plugin_Features *to = &file->features;
    int32_t edition = file_edition(file);
    *to = (struct sennit_plugin_Features){ .field_presence = GEN_EXPLICIT,
                                           .enum_type = GEN_OPEN,
                                           .repeated_field_encoding = GEN_PACKED,
                                           .utf8_validation = GEN_VERIFY };
    if (edition == GEN_EDITION_PROTO2) {
        to->enum_type = GEN_CLOSED;
        to->repeated_field_encoding = GEN_EXPANDED;
        to->utf8_validation = GEN_NO_VERIFY;
    } else if (edition == GEN_EDITION_PROTO3) {
        to->field_presence = GEN_IMPLICIT;
    } else if (edition != GEN_EDITION_2023 && edition != GEN_EDITION_2024) {
        gen_fail(g, file, nowhere,
                 "proto2, proto3, editions 2023 and 2024 are known, edition %d is not", edition);
    }
    features_set(to, file->f->options->features);
}

struct type *resolve_type(struct gen *g, struct file *file, const char *name, bool is_enum,
                          gen_path where)
{
    /* Types of the request are const only inside the map. */
    const void *found = name[0] == '.' ? map_get(&g->type_names, sennit_s(name + 1)) : NULL;
    struct type *t = (struct type *)(uintptr_t)found;
    if (!t || (t->e != NULL) != is_enum) {
        gen_fail(g, file, where, "%.*s names no %s of the request", (int)GEN_MAX_NAME, name,
                 is_enum ? "enum" : "message");
        return NULL;
    }
    if (t->file != file && !map_put(&file->used, g->a, t->file->f->name, t->file))
        gen_fail(g, file, where, "out of memory");
    return t;
}

static bool kind_is_packable(uint8_t kind)
{
    return kind != SENNIT_KIND_STRING && kind != SENNIT_KIND_BYTES && kind != SENNIT_KIND_GROUP &&
           kind != SENNIT_KIND_MESSAGE;
}

static bool kind_is_message(uint8_t kind)
{
    return kind == SENNIT_KIND_MESSAGE || kind == SENNIT_KIND_GROUP;
}

static void field_check(struct gen *g, const struct type *t, const struct field *to)
{
    const sennit_plugin_Field *f = to->f;
    if (!name_is_ident(f->name))
        gen_fail(g, t->file, to->path, "a name is not an identifier of at most %u octets",
                 GEN_MAX_NAME);
    else if (f->number < 1 || f->number > 536870911)
        gen_fail(g, t->file, to->path, "%s.%s has the number %d", t->full, f->name.data, f->number);
    else if (f->type < SENNIT_KIND_DOUBLE || f->type > SENNIT_KIND_SINT64)
        gen_fail(g, t->file, to->path, "%s.%s has the unknown type %d", t->full, f->name.data,
                 f->type);
    else if (f->label < GEN_LABEL_OPTIONAL || f->label > GEN_LABEL_REPEATED)
        gen_fail(g, t->file, to->path, "%s.%s has the unknown label %d", t->full, f->name.data,
                 f->label);
    else if (f->has_oneof_index &&
             (f->oneof_index < 0 || (size_t)f->oneof_index >= t->m->oneof_decl.len ||
              f->label == GEN_LABEL_REPEATED))
        gen_fail(g, t->file, to->path, "%s.%s cannot be in a oneof", t->full, f->name.data);
}

static bool field_is_required(const struct field *f, const struct sennit_plugin_Features *features)
{
    return f->f->label == GEN_LABEL_REQUIRED ||
           (f->f->label == GEN_LABEL_OPTIONAL && features->field_presence == GEN_REQUIRED);
}

/* Presence: has-bit, oneof or none. */
static void field_presence(struct type *t, struct field *to,
                           const struct sennit_plugin_Features *features)
{
    const sennit_plugin_Field *f = to->f;
    if (to->oneof >= 0) {
        to->flags |= SENNIT_FIELD_ONEOF;
        return;
    }
    if (t->map_entry || f->label == GEN_LABEL_REPEATED)
        return;
    if (field_is_required(to, features) && !t->extendee_name)
        to->flags |= SENNIT_FIELD_REQUIRED;
    if (kind_is_message(to->kind))
        to->flags |= SENNIT_FIELD_HAS;
    else if (f->proto3_optional || features->field_presence != GEN_IMPLICIT || t->extendee_name ||
             to->flags & SENNIT_FIELD_REQUIRED)
        to->flags |= SENNIT_FIELD_HAS | SENNIT_FIELD_OPTIONAL;
}

static void field_repeated(struct field *to, const struct sennit_plugin_Features *features)
{
    const sennit_plugin_FieldOptions *o = to->f->options;
    if (to->f->label != GEN_LABEL_REPEATED)
        return;
    to->flags |= SENNIT_FIELD_REPEATED;
    bool packed = o->has_packed ? o->packed : features->repeated_field_encoding == GEN_PACKED;
    if (packed && kind_is_packable(to->kind))
        to->flags |= SENNIT_FIELD_PACKED;
    if (to->type && to->type->map_entry)
        to->flags |= SENNIT_FIELD_MAP;
}

/* What protoc makes of a name that has no json_name option; the runtime does the same. */
static bool field_json_is_plain(const sennit_plugin_Field *f)
{
    const char *json = f->json_name.data;
    bool upper = false;
    for (const char *s = f->name.data; *s; s++) {
        if (*s == '_') {
            upper = true;
            continue;
        }
        if (*json++ != (upper && *s >= 'a' && *s <= 'z' ? *s - 'a' + 'A' : *s))
            return false;
        upper = false;
    }
    return !*json;
}

/* A delimited field that looks as if the old keyword had made it; text format names it so. */
static bool field_is_group_like(const struct type *t, const struct field *f)
{
    const char *own = f->type->m->name.data, *name = f->f->name.data;
    if (f->type->file != t->file || f->type->parent != (t->extendee_name ? t->parent : t))
        return false;
    for (; *own; own++, name++)
        if ((*own >= 'A' && *own <= 'Z' ? *own - 'A' + 'a' : *own) != *name)
            return false;
    return !*name;
}

static void field_names(struct gen *g, const struct type *t, struct field *to)
{
    const sennit_plugin_Field *f = to->f;
    if (f->json_name.len && !field_json_is_plain(f))
        to->flags |= SENNIT_FIELD_JSON;
    if (to->kind == SENNIT_KIND_GROUP && field_is_group_like(t, to))
        to->flags |= SENNIT_FIELD_GROUP_NAME;
    to->name = name_is_reserved(f->name.data) ? gen_printf(g, "%s_", f->name.data) : f->name.data;
}

static void field_resolve(struct gen *g, struct type *t, struct field *to)
{
    const sennit_plugin_Field *f = to->f;
    struct sennit_plugin_Features features = t->features;
    field_check(g, t, to);
    if (g->error)
        return;
    features_set(&features, f->options->features);
    to->kind = (uint8_t)f->type;
    if (to->kind == SENNIT_KIND_MESSAGE || to->kind == SENNIT_KIND_GROUP ||
        to->kind == SENNIT_KIND_ENUM)
        to->type =
            resolve_type(g, t->file, f->type_name.data, to->kind == SENNIT_KIND_ENUM, to->path);
    if (g->error)
        return;
    bool entry = t->map_entry || (to->type && to->type->map_entry);
    if (to->kind == SENNIT_KIND_MESSAGE && features.message_encoding == GEN_DELIMITED && !entry)
        to->kind = SENNIT_KIND_GROUP;
    to->oneof = f->has_oneof_index && !f->proto3_optional ? f->oneof_index : -1;
    if (to->kind == SENNIT_KIND_STRING && features.utf8_validation == GEN_VERIFY)
        to->flags |= SENNIT_FIELD_UTF8;
    field_presence(t, to, &features);
    field_repeated(to, &features);
    if (to->kind == SENNIT_KIND_ENUM && to->type->features.enum_type == GEN_CLOSED)
        to->flags |= SENNIT_FIELD_CLOSED;
    field_names(g, t, to);
}

/* key and value as the wire has them: key 1, value 2, neither repeated. */
static void entry_check(struct gen *g, const struct type *t)
{
    bool good = t->n_fields == 2;
    for (size_t i = 0; good && i < 2; i++) {
        const struct field *f = &t->fields[i];
        good =
            f->f->number == (int32_t)i + 1 && !(f->flags & SENNIT_FIELD_REPEATED) && f->oneof < 0;
    }
    uint8_t key = good ? t->fields[0].kind : 0;
    if (!good || key == SENNIT_KIND_DOUBLE || key == SENNIT_KIND_FLOAT ||
        key == SENNIT_KIND_BYTES || key == SENNIT_KIND_ENUM || kind_is_message(key))
        gen_fail(g, t->file, t->path, "%s is no entry of a map", t->full);
}

/* Required fields have the first has-bits, so that one look tells whether all are there. */
static void type_has_bits(struct type *t)
{
    for (int required = 1; required >= 0; required--) {
        for (size_t i = 0; i < t->n_fields; i++) {
            struct field *f = &t->fields[i];
            if (f->flags & SENNIT_FIELD_HAS && !(f->flags & SENNIT_FIELD_REQUIRED) == !required)
                f->has = t->n_has++;
        }
        t->n_required = required ? t->n_has : t->n_required;
    }
}

static void type_resolve(struct gen *g, struct type *t)
{
    t->n_fields = t->m->field.len;
    if (t->n_fields > GEN_MAX_FIELDS || t->m->oneof_decl.len > GEN_MAX_FIELDS) {
        gen_fail(g, t->file, t->path, "%s has more than %u fields or oneofs", t->full,
                 GEN_MAX_FIELDS);
        return;
    }
    for (size_t i = 0; i < t->m->oneof_decl.len; i++)
        if (!name_is_ident(t->m->oneof_decl.data[i].name))
            gen_fail(g, t->file, t->path, "a oneof's name is not an identifier");
    t->fields = arena_zalloc(g->a, (t->n_fields + 1) * sizeof *t->fields);
    if (!t->fields)
        gen_fail(g, t->file, t->path, "out of memory");
    for (size_t i = 0; i < t->n_fields && !g->error; i++) {
        t->fields[i].f = &t->m->field.data[i];
        t->fields[i].path = path_child(g, t->path, 2, i);
        field_resolve(g, t, &t->fields[i]);
    }
    if (!g->error && t->map_entry)
        entry_check(g, t);
    if (!g->error && t->extendee_name)
        t->extendee = resolve_type(g, t->file, t->extendee_name, false, t->path);
    if (!g->error)
        type_has_bits(t);
}

static void service_resolve(struct gen *g, struct file *file, struct service *s)
{
    size_t n = s->s->method.len;
    s->in = arena_zalloc(g->a, (n + 1) * sizeof(struct type *));
    s->out = arena_zalloc(g->a, (n + 1) * sizeof(struct type *));
    if (!s->in || !s->out)
        gen_fail(g, file, s->path, "out of memory");
    for (size_t i = 0; i < n && !g->error; i++) {
        const sennit_plugin_Method *m = &s->s->method.data[i];
        gen_path where = path_child(g, s->path, 2, i);
        s->in[i] = resolve_type(g, file, m->input_type.data, false, where);
        s->out[i] = resolve_type(g, file, m->output_type.data, false, where);
    }
}

/* Parents must be resolved before what they hold, for features; the list has them behind. */
static void types_features(struct file *file)
{
    for (struct type *t = file->types; t; t = t->next) {
        const struct type *chain[GEN_MAX_NESTED + 2];
        size_t n = 0;
        for (const struct type *p = t; p; p = p->parent)
            chain[n++] = p;
        t->features = file->features;
        while (n--)
            features_set(&t->features, chain[n]->m ? chain[n]->m->options->features
                                                   : chain[n]->e->options->features);
    }
}

bool model_features(struct gen *g)
{
    for (size_t i = 0; i < g->n_files && !g->error; i++) {
        file_features(g, &g->files[i]);
        types_features(&g->files[i]);
    }
    return !g->error;
}

bool model_resolve(struct gen *g, struct file *file)
{
    if (file->resolved || g->error)
        return !g->error;
    for (struct type *t = file->types; t && !g->error; t = t->next)
        if (t->m)
            type_resolve(g, t);
    for (size_t i = 0; i < file->f->service.len && !g->error; i++)
        service_resolve(g, file, &file->services[i]);
    file->resolved = !g->error;
    return !g->error;
}
