/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * types.c: types by full name, through the tables of files; names of fields and enum values. Files
 * are few and names are looked up for Any and extensions only, so lists are searched from the
 * front. */
#include "pb/format.h"

static bool types_add(struct pb_types *t, struct sennit_arena *a, const sennit_file_desc *file,
                      size_t *room)
{
    for (size_t i = 0; i < t->n; i++)
        if (t->files[i] == file)
            return true;
    if (t->n == *room) {
        size_t more = *room ? *room * 2 : 16;
        const sennit_file_desc **bigger = arena_alloc(a, more * sizeof(void *));
        if (!bigger)
            return false;
        if (t->n)
            memcpy(bigger, t->files, t->n * sizeof(void *));
        t->files = bigger;
        *room = more;
    }
    t->files[t->n++] = file;
    return true;
}

bool pb_types_init(struct pb_types *t, struct sennit_arena *a, const sennit_msg_desc *root,
                   const struct sennit_format_options *o)
{
    size_t room = 0;
    bool good = true;
    *t = (struct pb_types){ 0 };
    if (root->file)
        good = types_add(t, a, root->file, &room);
    for (size_t i = 0; i < o->n_files && good; i++)
        if (o->files[i])
            good = types_add(t, a, o->files[i], &room);
    for (size_t i = 0; i < t->n && good; i++)
        for (uint32_t k = 0; k < t->files[i]->n_deps && good; k++)
            if (t->files[i]->deps[k])
                good = types_add(t, a, t->files[i]->deps[k], &room);
    return good;
}

const sennit_msg_desc *pb_types_message(struct pb_types *t, sennit_str name)
{
    if (t->last && pb_name_is(t->last->name, name))
        return t->last;
    for (size_t i = 0; i < t->n; i++)
        for (uint32_t k = 0; k < t->files[i]->n_messages; k++)
            if (pb_name_is(t->files[i]->messages[k]->name, name))
                return t->last = t->files[i]->messages[k];
    return NULL;
}

const sennit_msg_desc *pb_types_url(struct pb_types *t, sennit_str url)
{
    for (size_t n = url.len; n > 1; n--)
        if (url.data[n - 1] == '/')
            return pb_types_message(t, (sennit_str){ url.data + n, url.len - n });
    return NULL;
}

const sennit_msg_desc *pb_types_ext(const struct pb_types *t, const sennit_msg_desc *extendee,
                                    sennit_str name)
{
    for (size_t i = 0; i < t->n; i++)
        for (uint32_t k = 0; k < t->files[i]->n_exts; k++) {
            const sennit_ext_desc *e = &t->files[i]->exts[k];
            if (e->extendee == extendee && pb_name_is(e->value->name, name))
                return e->value;
        }
    return NULL;
}

static bool types_has(sennit_str unknown, const sennit_msg_desc *ext)
{
    while (unknown.len) {
        struct pb_raw raw;
        uint32_t number;
        sennit_str message;
        size_t n = pb_raw_next(unknown.data, unknown.len, &raw);
        if (!n)
            return false;
        number = raw.tag >> 3;
        if (ext->flags & SENNIT_MSG_SET && !pb_set_item(raw.body, &number, &message))
            number = 0;
        if (number == ext->fields[0].number)
            return true;
        unknown.data += n;
        unknown.len -= n;
    }
    return false;
}

bool pb_types_present(const struct pb_types *t, struct sennit_arena *a, const sennit_msg_desc *d,
                      const void *msg, struct pb_ext_list *out)
{
    const sennit_str *unknown = (const sennit_str *)((const char *)msg + d->unknown);
    size_t n = 0;
    *out = (struct pb_ext_list){ NULL, 0 };
    if (!(d->flags & (SENNIT_MSG_EXTENDABLE | SENNIT_MSG_SET)) || !unknown->data || !unknown->len)
        return true;
    for (size_t i = 0; i < t->n; i++)
        n += t->files[i]->n_exts;
    out->data = arena_alloc(a, (n + 1) * sizeof(void *));
    for (size_t i = 0; i < t->n && out->data; i++)
        for (uint32_t k = 0; k < t->files[i]->n_exts; k++) {
            const sennit_ext_desc *e = &t->files[i]->exts[k];
            if (e->extendee == d && types_has(*unknown, e->value))
                out->data[out->len++] = e->value;
        }
    return out->data != NULL;
}

/* The next element of a descriptor's field; *from moves behind it. data NULL: no more. */
static sennit_str types_element(sennit_str *from, uint32_t number)
{
    struct pb_raw raw;
    size_t n;
    while ((n = pb_raw_next(from->data, from->len, &raw)) != 0) {
        from->data += n;
        from->len -= n;
        if (raw.tag == (number << 3 | PB_LENGTH))
            return raw.body;
    }
    return (sennit_str){ NULL, 0 };
}

/* The DescriptorProto that `name`, in its scope, is or is in; *name becomes what is left of it. */
static sennit_str types_enter(sennit_str scope, uint32_t number, const char **name)
{
    sennit_str m, rest = scope;
    while ((m = types_element(&rest, number)).data) {
        sennit_str inside = m, own = types_element(&inside, 1);
        size_t n = own.len;
        if (!own.data || strncmp(*name, own.data, n) != 0 || ((*name)[n] && (*name)[n] != '.'))
            continue;
        *name += n + ((*name)[n] == '.');
        return m;
    }
    return m;
}

/* Rare, so the file's descriptor is walked: it has what the tables leave out. */
bool pb_types_reserved(const sennit_msg_desc *d, sennit_str name)
{
    if (!d->file)
        return false;
    sennit_str in = d->file->descriptor, rest = in, package = types_element(&rest, 2), reserved;
    const char *own = d->name + (package.data ? package.len + 1 : 0);
    for (uint32_t number = 4; *own && in.data; number = 3)
        in = types_enter(in, number, &own);
    while (in.data && (reserved = types_element(&in, 10)).data)
        if (reserved.len == name.len && memcmp(reserved.data, name.data, name.len) == 0)
            return true;
    return false;
}

/* -- names ------------------------------------------------------------------------------------ */

/* Walks the JSON name that protoc makes of a field's name: NUL at its end. */
static char types_camel(const char **s)
{
    bool upper = false;
    for (; **s == '_'; ++*s)
        upper = true;
    char c = **s;
    *s += c != 0;
    return upper && c >= 'a' && c <= 'z' ? (char)(c - 'a' + 'A') : c;
}

bool pb_json_name_is(const sennit_field *f, sennit_str name)
{
    const char *s = f->name;
    if (f->flags & SENNIT_FIELD_JSON)
        return pb_name_is(f->name + strlen(f->name) + 1, name);
    for (size_t i = 0; i < name.len; i++) {
        char c = types_camel(&s);
        if (!c || c != name.data[i])
            return false;
    }
    return types_camel(&s) == 0;
}

void pb_json_name_print(struct pb_out *o, const sennit_field *f)
{
    const char *s = f->name;
    if (f->flags & SENNIT_FIELD_JSON) {
        pb_out_text(o, f->name + strlen(f->name) + 1);
        return;
    }
    for (char c = types_camel(&s); c; c = types_camel(&s))
        pb_out_char(o, c);
}

const sennit_enum_value *pb_enum_named(const sennit_enum_desc *d, sennit_str name)
{
    for (uint32_t i = 0; i < d->n_values; i++)
        if (pb_name_is(d->values[i].name, name))
            return &d->values[i];
    return NULL;
}

const void *pb_decode_copy(struct sennit_arena *a, const sennit_msg_desc *d, sennit_str octets,
                           enum pb_result *result)
{
    sennit_str own = arena_str(a, octets.data ? octets.data : "", octets.data ? octets.len : 0);
    void *msg = arena_alloc(a, d->size);
    *result = PB_NO_MEMORY;
    if (own.data && msg)
        *result = pb_decode_msg(d, msg, (char *)(uintptr_t)own.data, own.len, a, 0);
    return *result == PB_OK ? msg : NULL;
}
