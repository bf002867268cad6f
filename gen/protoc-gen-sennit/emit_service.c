/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * emit_service.c: what a service is in C. Header: the service struct, typed streams by direction,
 * and the client's inline functions, each with its _with form. Source: the trampolines from a
 * method's table entry to the service struct, so that the library calls every handler in one way.
 */
#include "gen.h"

#define STREAMS_IN  1 /* as in sennit_method.flags */
#define STREAMS_OUT 2

/* One method, with all names an emitter needs. */
struct method {
    const char *name;   /* pkg_S_M */
    const char *member; /* M */
    const char *entry;  /* &sennit__pkg_S_methods[i] */
    const char *in, *out;
    const char *deprecated; /* " SENNIT_DEPRECATED", or nothing */
    int streams;
};

static struct method method_of(struct gen *g, const struct file *file, const struct service *s,
                               size_t i)
{
    const sennit_plugin_Method *m = &s->s->method.data[i];
    struct method r = {
        .name = gen_printf(g, "%s_%s", s->name, m->name.data),
        .member = name_of_method(g, m),
        .entry = gen_printf(g, "&%s_methods[%zu]", s->table, i),
        .in = s->in[i]->name,
        .out = s->out[i]->name,
        .deprecated = emit_deprecated(file, s->s->options->deprecated || m->options->deprecated),
        .streams = (m->client_streaming ? STREAMS_IN : 0) | (m->server_streaming ? STREAMS_OUT : 0),
    };
    return r;
}

/* What stands between the context and the end in calls of m: "|const In *request|Out *reply". */
static const char *method_args(struct gen *g, const struct method *m, bool server)
{
    const char *request = m->streams & STREAMS_IN ? "" : gen_printf(g, "|const %s *request", m->in);
    if (!m->streams)
        return gen_printf(g, "%s|%s *reply", request, m->out);
    const char *stream = server ? gen_printf(g, "|%sServer stream", m->name) : "";
    const char *reply =
        server && m->streams == STREAMS_IN ? gen_printf(g, "|%s *reply", m->out) : "";
    return gen_printf(g, "%s%s%s", request, stream, reply);
}

static void emit_member_comment(const struct file *file, struct text *t, int indent, gen_path where)
{
    const sennit_plugin_SourceInfo_Location *l = path_location(file, where);
    if (l)
        text_comment(t, indent, l->leading_comments, l->trailing_comments);
}

static void emit_struct(struct gen *g, const struct file *file, const struct service *s,
                        struct text *t)
{
    text_add(t, "\n", 1);
    emit_member_comment(file, t, 0, s->path);
    text_printf(
        t,
        "/* Server side: fill in the methods you have; the others answer UNIMPLEMENTED. Each"
        " runs in its own\n * goroutine. *reply comes in empty. */\n"
        "typedef struct %sService {\n",
        s->name);
    if (!s->s->method.len)
        text_printf(t, "    void *no_methods;\n");
    for (size_t i = 0; i < s->s->method.len; i++) {
        struct method m = method_of(g, file, s, i);
        emit_member_comment(file, t, 4, path_child(g, s->path, 2, i));
        text_signature(t, 4, "sennit_err ", gen_printf(g, "(*%s)", m.member),
                       gen_printf(g, "void *self|sennit_ctx *ctx%s", method_args(g, &m, true)));
        text_printf(t, "%s;\n", m.deprecated);
    }
    text_printf(t, "} %sService;\n\nextern const sennit_service_desc %s;\n", s->name, s->table);
    if (s->s->method.len)
        text_printf(t, "extern const sennit_method %s_methods[%zu];\n", s->table, s->s->method.len);
    text_add(t, "\n", 1);
    text_signature(
        t, 0, "static inline sennit_err ", gen_printf(g, "%s_register", s->name),
        gen_printf(g, "sennit_server *server|const %sService *service|void *self", s->name));
    text_printf(t, "\n{\n    return sennit_register(server, &%s, service, self);\n}\n", s->table);
}

/* A one-line function on a stream: stream type, verb, what else it takes, its body. */
static void emit_verb(struct gen *g, struct text *t, const char *head, const char *type,
                      const char *verb, const char *arg, const char *body)
{
    text_signature(t, 0, gen_printf(g, "static inline %s", head),
                   gen_printf(g, "%s_%s", type, verb), gen_printf(g, "%s s%s", type, arg));
    text_printf(t, "\n{\n    return %s;\n}\n", body);
}

static void emit_client_verbs(struct gen *g, const struct method *m, struct text *t)
{
    const char *type = gen_printf(g, "%sClient", m->name);
    const char *err = "SENNIT_NODISCARD sennit_err ";
    if (m->streams & STREAMS_IN)
        emit_verb(g, t, "sennit_err ", type, "send", gen_printf(g, "|const %s *m", m->in),
                  "sennit_send(s.s, m)");
    if (m->streams == (STREAMS_IN | STREAMS_OUT))
        emit_verb(g, t, "sennit_err ", type, "close_send", "", "sennit_close_send(s.s)");
    if (m->streams & STREAMS_OUT) {
        emit_verb(g, t, gen_printf(g, "const %s *", m->out), type, "recv", "",
                  gen_printf(g, "(const %s *)sennit_recv(s.s)", m->out));
        emit_verb(g, t, err, type, "finish", "", "sennit_finish(s.s, NULL)");
    } else {
        emit_verb(g, t, err, type, "finish", gen_printf(g, "|%s *reply", m->out),
                  "sennit_finish(s.s, reply)");
    }
}

static void emit_server_verbs(struct gen *g, const struct method *m, struct text *t)
{
    const char *type = gen_printf(g, "%sServer", m->name);
    if (m->streams & STREAMS_IN)
        emit_verb(g, t, gen_printf(g, "const %s *", m->in), type, "recv", "",
                  gen_printf(g, "(const %s *)sennit_recv(s.s)", m->in));
    if (m->streams & STREAMS_OUT)
        emit_verb(g, t, "SENNIT_NODISCARD sennit_err ", type, "send",
                  gen_printf(g, "|const %s *m", m->out), "sennit_send(s.s, m)");
    if (m->streams & STREAMS_IN)
        emit_verb(g, t, "sennit_err ", type, "error", "", "sennit_stream_error(s.s)");
}

/* The call itself, without options or with. */
static void emit_call(struct gen *g, const struct service *s, const struct method *m, bool with,
                      struct text *t)
{
    const char *args =
        gen_printf(g, "%sClient c|sennit_ctx *ctx%s%s", s->name,
                   with ? "|const sennit_call_options *o" : "", method_args(g, m, false));
    const char *name = gen_printf(g, "%s%s", m->name, with ? "_with" : "");
    const char *options = with ? "o|sizeof *o" : "NULL|0";
    const char *request = m->streams & STREAMS_IN ? "NULL" : "request";
    text_add(t, "\n", 1);
    if (!m->streams) {
        text_signature(t, 0,
                       gen_printf(g, "static inline SENNIT_NODISCARD%s sennit_err ", m->deprecated),
                       name, args);
        text_add(t, "\n{\n", 3);
        text_signature(t, 4, "return ", "sennit_call",
                       gen_printf(g, "c.conn|ctx|%s|request|reply|%s", m->entry, options));
        text_add(t, ";\n}\n", 4);
        return;
    }
    text_signature(t, 0, gen_printf(g, "static inline%s %sClient ", m->deprecated, m->name), name,
                   args);
    text_printf(t, "\n{\n    %sClient s;\n", m->name);
    text_signature(t, 4, "s.s = ", "sennit_start",
                   gen_printf(g, "c.conn|ctx|%s|%s|%s", m->entry, request, options));
    text_printf(t, ";\n    return s;\n}\n");
}

/* A struct of one pointer. */
static void emit_view(struct gen *g, struct text *t, const char *of, const char *side,
                      const char *member)
{
    const char *name = gen_printf(g, "%s%s", of, side);
    bool wide = 2 * strlen(name) + strlen(member) + strlen("typedef struct  { ; } ;") > 100;
    text_printf(t,
                wide ? "typedef struct %s {\n    %s;\n} %s;\n" : "typedef struct %s { %s; } %s;\n",
                name, member, name);
}

static void emit_streams(struct gen *g, const struct file *file, const struct service *s,
                         struct text *t, bool *first)
{
    bool any = false;
    for (size_t i = 0; i < s->s->method.len; i++) {
        struct method m = method_of(g, file, s, i);
        if (!m.streams)
            continue;
        text_add(t, "\n", !any);
        if (*first)
            text_printf(
                t, "/* Streams are typed by direction: a Client sends requests, a Server sends"
                   " responses.\n * What recv returns lives until the same goroutine receives again"
                   " on that stream, or it ends.\n * One goroutine may send while another receives;"
                   " two senders, or two receivers, must take turns:\n * the second one gets an"
                   " error. Header, trailer: sennit_stream_header(stream.s). */\n");
        *first = false;
        any = true;
        emit_view(g, t, m.name, "Client", "sennit_stream *s");
        emit_view(g, t, m.name, "Server", "sennit_stream *s");
    }
}

static void emit_client(struct gen *g, const struct file *file, const struct service *s,
                        struct text *t)
{
    text_printf(
        t, "\n/* Client side: a client is a typed view of a connection. Copy it, share it among"
           " goroutines.\n * *reply lives as long as ctx; after an error it is the empty"
           " message. */\n");
    emit_view(g, t, s->name, "Client", "sennit_conn *conn");
    for (size_t i = 0; i < s->s->method.len; i++) {
        struct method m = method_of(g, file, s, i);
        emit_call(g, s, &m, false, t);
        emit_call(g, s, &m, true, t);
        if (m.streams) {
            text_add(t, "\n", 1);
            emit_client_verbs(g, &m, t);
            emit_server_verbs(g, &m, t);
        }
    }
}

void emit_services(struct gen *g, const struct file *file, struct text *t)
{
    bool first_stream = true;
    for (size_t i = 0; i < file->f->service.len && !g->error; i++) {
        const struct service *s = &file->services[i];
        emit_streams(g, file, s, t, &first_stream);
        emit_struct(g, file, s, t);
        emit_client(g, file, s, t);
    }
}

/* Also tells the compiler which of its parameters a kind of method has no use for. */
static void emit_invoke(struct gen *g, const struct file *file, const struct service *s, size_t i,
                        struct text *t)
{
    struct method m = method_of(g, file, s, i);
    bool request = !(m.streams & STREAMS_IN), reply = !(m.streams & STREAMS_OUT);
    text_add(t, "\n", 1);
    text_signature(t, 0, "static sennit_err ", gen_printf(g, "%s_invoke", m.name),
                   "const void *service|void *self|sennit_ctx *ctx|const void *request|"
                   "void *reply|sennit_stream *s");
    text_printf(t, "\n{\n    const %sService *of = (const %sService *)service;\n", s->name,
                s->name);
    if (m.streams)
        text_printf(t, "    %sServer stream = { s };\n", m.name);
    else
        text_printf(t, "    (void)s;\n");
    if (!request)
        text_printf(t, "    (void)request;\n");
    if (!reply)
        text_printf(t, "    (void)reply;\n");
    text_printf(t, "    if (!of->%s)\n        return sennit_not_implemented(%s);\n", m.member,
                m.entry);
    const char *in = request ? gen_printf(g, "|(const %s *)request", m.in) : "";
    const char *out = reply ? gen_printf(g, "|(%s *)reply", m.out) : "";
    text_signature(t, 4, "return ", gen_printf(g, "of->%s", m.member),
                   gen_printf(g, "self|ctx%s%s%s", in, m.streams ? "|stream" : "", out));
    text_printf(t, ";\n}\n");
}

void emit_invokes(struct gen *g, const struct file *file, struct text *t)
{
    for (size_t i = 0; i < file->f->service.len; i++)
        for (size_t m = 0; m < file->services[i].s->method.len && !g->error; m++)
            emit_invoke(g, file, &file->services[i], m, t);
}
