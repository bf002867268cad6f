/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * reflection.c: grpc.reflection.v1 and v1alpha. What there is to tell hangs on the service tables
 * of the server's registry, which no longer changes when it serves: their files, and all that those
 * import. The messages of both versions have the same layout, so one handler serves them. A stream
 * collects the files once, and sends each of them once, as grpc-go does. */
#include "reflection_v1.sennit.h"
#include "reflection_v1alpha.sennit.h"
#include "rt/why.h"
#include "server/server.h"

struct reflection {
    const struct server_registry *registry;
    sennit_ctx *ctx; /* of the stream */
    const sennit_file_desc **files;
    bool *sent;
    size_t n, room;
};

#define REFLECTION_FILES 4096 /* of one server; more are not told */

static bool reflection_has(const struct reflection *r, const sennit_file_desc *f)
{
    for (size_t i = 0; i < r->n; i++) {
        if (r->files[i] == f)
            return true;
    }
    return false;
}

static bool reflection_add(struct reflection *r, const sennit_file_desc *f)
{
    if (!f || reflection_has(r, f) || r->n == REFLECTION_FILES)
        return true;
    if (r->n == r->room) {
        size_t room = r->room ? r->room * 2 : 16;
        const sennit_file_desc **more = sennit_alloc(sennit_ctx_arena(r->ctx), room * sizeof *more);
        if (!more)
            return false;
        if (r->n)
            memcpy(more, r->files, r->n * sizeof *more);
        r->files = more, r->room = room;
    }
    r->files[r->n++] = f;
    return true;
}

/* The files of all services, then, file by file, what they import. */
static bool reflection_collect(struct reflection *r)
{
    for (size_t i = 0; i < r->registry->n_services; i++) {
        if (!reflection_add(r, r->registry->services[i]->file))
            return false;
    }
    for (size_t i = 0; i < r->n; i++) {
        const sennit_file_desc *f = r->files[i];
        for (uint32_t d = 0; d < f->n_deps; d++) {
            if (!reflection_add(r, f->deps[d]))
                return false;
        }
    }
    r->sent = sennit_alloc(sennit_ctx_arena(r->ctx), r->n + 1);
    if (r->sent)
        memset(r->sent, 0, r->n + 1);
    return r->sent != NULL;
}

static bool reflection_same(const char *name, sennit_str asked)
{
    return strlen(name) == asked.len && memcmp(name, asked.data, asked.len) == 0;
}

/* "pkg.Type.member": whether asked is type, a dot and member. */
static bool reflection_member(const char *type, const char *member, sennit_str asked)
{
    size_t n = strlen(type);
    return asked.len > n && memcmp(type, asked.data, n) == 0 && asked.data[n] == '.' &&
           reflection_same(member, (sennit_str){ asked.data + n + 1, asked.len - n - 1 });
}

static bool reflection_in_message(const sennit_msg_desc *m, sennit_str asked)
{
    if (reflection_same(m->name, asked))
        return true;
    for (uint32_t i = 0; i < m->n_fields; i++) {
        if (reflection_member(m->name, m->fields[i].name, asked))
            return true;
    }
    return false;
}

static bool reflection_in_file(const sennit_file_desc *f, sennit_str asked)
{
    for (uint32_t i = 0; i < f->n_messages; i++) {
        if (reflection_in_message(f->messages[i], asked))
            return true;
    }
    for (uint32_t i = 0; i < f->n_enums; i++) {
        if (reflection_same(f->enums[i]->name, asked))
            return true;
    }
    for (uint32_t i = 0; i < f->n_exts; i++) {
        if (reflection_same(f->exts[i].value->name, asked))
            return true;
    }
    return false;
}

static const sennit_file_desc *reflection_symbol(const struct reflection *r, sennit_str asked)
{
    for (size_t i = 0; i < r->registry->n_services; i++) {
        const sennit_service_desc *d = r->registry->services[i];
        if (d->file && reflection_same(d->name, asked))
            return d->file;
        for (uint32_t m = 0; d->file && m < d->n_methods; m++) {
            if (reflection_member(d->name, strrchr(d->methods[m].path, '/') + 1, asked))
                return d->file;
        }
    }
    for (size_t i = 0; i < r->n; i++) {
        if (reflection_in_file(r->files[i], asked))
            return r->files[i];
    }
    return NULL;
}

static const sennit_file_desc *reflection_file(const struct reflection *r, sennit_str asked)
{
    for (size_t i = 0; i < r->n; i++) {
        if (reflection_same(r->files[i]->name, asked))
            return r->files[i];
    }
    return NULL;
}

static const sennit_file_desc *reflection_extension(const struct reflection *r, sennit_str type,
                                                    uint32_t number)
{
    for (size_t i = 0; i < r->n; i++) {
        for (uint32_t e = 0; e < r->files[i]->n_exts; e++) {
            const sennit_ext_desc *x = &r->files[i]->exts[e];
            if (x->value->fields[0].number == number && reflection_same(x->extendee->name, type))
                return r->files[i];
        }
    }
    return NULL;
}

/* -- answers, in the arena of one turn -------------------------------------------------------- */

static sennit_err reflection_error(sennit_ctx *turn, sennit_str asked,
                                   rv_ServerReflectionResponse *to)
{
    rv_ErrorResponse *e = sennit_alloc(sennit_ctx_arena(turn), sizeof *e);
    if (!e)
        return sennit_no_memory;
    *e = (rv_ErrorResponse){ .error_code = SENNIT_NOT_FOUND,
                             .error_message = sennit_printf(turn, "not found: %.*s", (int)asked.len,
                                                            asked.data) };
    to->which_message_response = rv_ServerReflectionResponse_message_response_error_response;
    to->error_response = e;
    return NULL;
}

/* The file and what it imports, but for what this stream was sent already. */
static sennit_err reflection_send_file(struct reflection *r, sennit_ctx *turn,
                                       const sennit_file_desc *file,
                                       rv_ServerReflectionResponse *to)
{
    struct reflection wanted = { .registry = r->registry, .ctx = turn };
    rv_FileDescriptorResponse *out = sennit_alloc(sennit_ctx_arena(turn), sizeof *out);
    sennit_str *octets = sennit_alloc(sennit_ctx_arena(turn), (r->n + 1) * sizeof *octets);
    size_t n = 0;
    if (!out || !octets || !reflection_add(&wanted, file))
        return sennit_no_memory;
    for (size_t i = 0; i < wanted.n; i++) {
        for (uint32_t d = 0; d < wanted.files[i]->n_deps; d++) {
            if (!reflection_add(&wanted, wanted.files[i]->deps[d]))
                return sennit_no_memory;
        }
    }
    for (size_t i = 0; i < r->n; i++) {
        bool asked = r->files[i] == file;
        if (asked || (!r->sent[i] && reflection_has(&wanted, r->files[i]))) {
            octets[n++] = r->files[i]->descriptor;
            if (asked && n > 1) /* it comes first */
                octets[n - 1] = octets[0], octets[0] = r->files[i]->descriptor;
            r->sent[i] = true;
        }
    }
    *out = (rv_FileDescriptorResponse){ .file_descriptor_proto = { octets, n } };
    to->which_message_response =
        rv_ServerReflectionResponse_message_response_file_descriptor_response;
    to->file_descriptor_response = out;
    return NULL;
}

static sennit_err reflection_numbers(struct reflection *r, sennit_ctx *turn, sennit_str type,
                                     rv_ServerReflectionResponse *to)
{
    size_t n = 0, most = 0;
    for (size_t i = 0; i < r->n; i++)
        most += r->files[i]->n_exts;
    rv_ExtensionNumberResponse *out = sennit_alloc(sennit_ctx_arena(turn), sizeof *out);
    int32_t *numbers = sennit_alloc(sennit_ctx_arena(turn), (most + 1) * sizeof *numbers);
    if (!out || !numbers)
        return sennit_no_memory;
    for (size_t i = 0; i < r->n; i++) {
        for (uint32_t e = 0; e < r->files[i]->n_exts; e++) {
            const sennit_ext_desc *x = &r->files[i]->exts[e];
            if (reflection_same(x->extendee->name, type))
                numbers[n++] = (int32_t)x->value->fields[0].number;
        }
    }
    if (!n && !reflection_symbol(r, type))
        return reflection_error(turn, type, to);
    *out =
        (rv_ExtensionNumberResponse){ .base_type_name = type, .extension_number = { numbers, n } };
    to->which_message_response =
        rv_ServerReflectionResponse_message_response_all_extension_numbers_response;
    to->all_extension_numbers_response = out;
    return NULL;
}

static sennit_err reflection_services(struct reflection *r, sennit_ctx *turn,
                                      rv_ServerReflectionResponse *to)
{
    size_t n = r->registry->n_services;
    rv_ListServiceResponse *out = sennit_alloc(sennit_ctx_arena(turn), sizeof *out);
    rv_ServiceResponse *list = sennit_alloc(sennit_ctx_arena(turn), n * sizeof *list);
    if (!out || !list)
        return sennit_no_memory;
    for (size_t i = 0; i < n; i++)
        list[i] = (rv_ServiceResponse){ .name = sennit_s(r->registry->services[i]->name) };
    *out = (rv_ListServiceResponse){ .service = { list, n } };
    to->which_message_response =
        rv_ServerReflectionResponse_message_response_list_services_response;
    to->list_services_response = out;
    return NULL;
}

static sennit_err reflection_answer(struct reflection *r, sennit_ctx *turn,
                                    const rv_ServerReflectionRequest *q,
                                    rv_ServerReflectionResponse *to)
{
    const sennit_file_desc *file = NULL;
    sennit_str asked = { "", 0 };
    switch (q->which_message_request) {
    case rv_ServerReflectionRequest_message_request_list_services:
        return reflection_services(r, turn, to);
    case rv_ServerReflectionRequest_message_request_all_extension_numbers_of_type:
        return reflection_numbers(r, turn, q->all_extension_numbers_of_type, to);
    case rv_ServerReflectionRequest_message_request_file_by_filename:
        asked = q->file_by_filename;
        file = reflection_file(r, asked);
        break;
    case rv_ServerReflectionRequest_message_request_file_containing_symbol:
        asked = q->file_containing_symbol;
        file = reflection_symbol(r, asked);
        break;
    case rv_ServerReflectionRequest_message_request_file_containing_extension:
        asked = q->file_containing_extension->containing_type;
        file = reflection_extension(r, asked,
                                    (uint32_t)q->file_containing_extension->extension_number);
        break;
    default:
        return sennit_errorf(WHY(REFLECTION), "invalid MessageRequest: %u",
                             q->which_message_request);
    }
    return file ? reflection_send_file(r, turn, file, to) : reflection_error(turn, asked, to);
}

static sennit_err reflection_serve(void *self, sennit_ctx *ctx, sennit_stream *stream)
{
    struct reflection r = { .registry = self, .ctx = ctx };
    const rv_ServerReflectionRequest *q;
    if (!reflection_collect(&r))
        return sennit_no_memory;
    while ((q = sennit_recv(stream))) {
        sennit_auto(sennit_ctx) *turn = sennit_ctx_new(ctx);
        rv_ServerReflectionResponse to = { .valid_host = q->host, .original_request = q };
        sennit_err err = reflection_answer(&r, turn, q, &to);
        if (!err)
            err = sennit_send(stream, &to);
        if (err)
            return err;
    }
    return sennit_stream_error(stream);
}

static sennit_err reflection_v1(void *self, sennit_ctx *ctx,
                                rv_ServerReflection_ServerReflectionInfoServer stream)
{
    return reflection_serve(self, ctx, stream.s);
}

static sennit_err reflection_v1alpha(void *self, sennit_ctx *ctx,
                                     ra_ServerReflection_ServerReflectionInfoServer stream)
{
    _Static_assert(sizeof(ra_ServerReflectionRequest) == sizeof(rv_ServerReflectionRequest) &&
                       sizeof(ra_ServerReflectionResponse) == sizeof(rv_ServerReflectionResponse),
                   "one layout");
    return reflection_serve(self, ctx, stream.s);
}

sennit_err sennit_reflection_register(sennit_server *s)
{
    static const rv_ServerReflectionService v1 = { .ServerReflectionInfo = reflection_v1 };
    static const ra_ServerReflectionService v1alpha = { .ServerReflectionInfo =
                                                            reflection_v1alpha };
    if (!s || !s->ctx)
        return sennit_no_memory;
    sennit_err err = rv_ServerReflection_register(s, &v1, &s->registry);
    return err ? err : ra_ServerReflection_register(s, &v1alpha, &s->registry);
}
