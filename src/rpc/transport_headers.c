/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * transport_headers.c: header lists, both ways (gRPC PROTOCOL-HTTP2, "Requests" and "Responses").
 * Constants are indexed by HPACK, everything that changes per call goes as a literal, grpc-timeout
 * last (it would evict the constants). */
#include "base/base64.h"
#include "base/limits.h"
#include "base/quote.h"
#include "base/sys.h"
#include "rpc/compress.h"
#include "rpc/status.h"
#include "rpc/timeout.h"
#include "rpc/transport_private.h"
#include <stdio.h>

static void headers_start(struct header_list *l, struct sennit_arena *a)
{
    l->arena = a;
    l->h = l->first;
    l->room = HEADERS_INLINE;
    l->n = l->size = l->n_constants = 0;
    l->failed = false;
}

static void headers_add(struct header_list *l, const char *name, size_t name_len, const char *value,
                        size_t value_len, enum hpack_index how)
{
    if (l->n == l->room) {
        struct h2_header *more = arena_alloc(l->arena, l->room * 2 * sizeof *more);
        if (!more) {
            l->failed = true;
            return;
        }
        memcpy(more, l->h, l->n * sizeof *more);
        l->h = more, l->room *= 2;
    }
    l->h[l->n++] =
        (struct h2_header){ name, value, (uint32_t)name_len, (uint32_t)value_len, (uint8_t)how };
    l->size += name_len + value_len + 32;
}

static void headers_const(struct header_list *l, const char *name, const char *value)
{
    headers_add(l, name, strlen(name), value, strlen(value), HPACK_INDEX);
}

#define HEADERS_CONST(n, v)                                                                        \
    {                                                                                              \
        n, v, sizeof n - 1, sizeof v - 1, HPACK_INDEX                                              \
    }

/* Keys whose values must not enter any table (RFC 7541 7.1.3). */
static bool headers_secret(const struct md_entry *e)
{
    static const char *const secret[] = { "authorization", "cookie", "proxy-authorization" };
    for (size_t i = 0; i < countof(secret); i++) {
        if (strcmp(e->key, secret[i]) == 0)
            return true;
    }
    return false;
}

static void headers_md(struct header_list *l, const sennit_md *md, bool secret)
{
    for (size_t i = 0; md && i < md->n; i++) {
        const struct md_entry *e = &md->list[i];
        const char *value = e->value.data;
        size_t len = e->value.len;
        if (e->binary) {
            char *text = arena_alloc(l->arena, BASE64_ENCODED(len) + 1);
            if (!text) {
                l->failed = true;
                return;
            }
            len = (size_t)(base64_encode(text, value, len) - text);
            value = text;
        }
        headers_add(l, e->key, e->key_len, value, len,
                    secret || headers_secret(e) ? HPACK_NEVER : HPACK_PLAIN);
    }
}

size_t headers_request_constants(struct h2_header h[HEADERS_CONSTANTS], const struct rpc_request *r)
{
    const char *const names[] = { ":method",    ":scheme",       ":path",
                                  ":authority", "content-type",  "user-agent",
                                  "te",         "grpc-encoding", "grpc-accept-encoding" };
    const char *const values[] = { "POST",       r->scheme,          r->path,
                                   r->authority, "application/grpc", r->user_agent,
                                   "trailers",   r->encoding,        compress_accept() };
    size_t n = 0;
    for (size_t i = 0; i < countof(names); i++) {
        if (values[i])
            h[n++] = (struct h2_header){ names[i], values[i], (uint32_t)strlen(names[i]),
                                         (uint32_t)strlen(values[i]), HPACK_INDEX };
    }
    return n;
}

/* RFC 7541 4.1. */
size_t headers_request_size(const struct rpc_request *r)
{
    const size_t fixed = sizeof ":methodPOST:schemehttps:path:authoritycontent-type"
                                "application/grpcuser-agenttetrailersgrpc-accept-encoding" +
                         8 * 32;
    return fixed + strlen(r->path) + strlen(r->authority) + strlen(r->user_agent) +
           strlen(compress_accept()) + (r->encoding ? 13 + strlen(r->encoding) + 32 : 0);
}

void headers_request(struct header_list *l, struct sennit_arena *a, const struct rpc_request *r)
{
    headers_start(l, a);
    headers_md(l, r->md[0], false);
    headers_md(l, r->md[1], false);
    headers_md(l, r->md[2], true);
    if (r->deadline != INT64_MAX) {
        size_t n = timeout_format(r->deadline - sennit_now(), l->timeout);
        headers_add(l, "grpc-timeout", 12, l->timeout, n, HPACK_PLAIN);
    }
}

static const struct h2_header headers_ok[] = { HEADERS_CONST(":status", "200"),
                                               HEADERS_CONST("content-type", "application/grpc") };

void headers_response(struct header_list *l, struct sennit_arena *a, const struct rpc_response *r,
                      const sennit_md *md)
{
    headers_start(l, a);
    memcpy(l->first, headers_ok, sizeof headers_ok);
    l->n = l->n_constants = countof(headers_ok);
    l->size = 7 + 3 + 32 + 12 + 16 + 32;
    if (r->encoding)
        headers_const(l, "grpc-encoding", r->encoding);
    if (r->accept_encoding)
        headers_const(l, "grpc-accept-encoding", r->accept_encoding);
    headers_md(l, md, false);
}

static const char *const headers_codes[] = { "0", "1",  "2",  "3",  "4",  "5",  "6",  "7", "8",
                                             "9", "10", "11", "12", "13", "14", "15", "16" };

/* A handler may return any number. */
static const char *headers_code(struct header_list *l, sennit_code code)
{
    if ((unsigned)code < countof(headers_codes))
        return headers_codes[code];
    return arena_printf(l->arena, "%d", (int)code).data;
}

void headers_trailers(struct header_list *l, const struct rpc_response *r)
{
    const char *code = headers_code(l, WHY_CODE(r->code));
    if (!code) {
        l->failed = true;
        return;
    }
    headers_const(l, "grpc-status", code);
    if (r->code != SENNIT_OK && r->message.len) {
        char *text =
            arena_alloc(l->arena, status_message_encoded(r->message.data, r->message.len) + 1);
        if (text) {
            char *end = status_message_encode(text, r->message.data, r->message.len);
            headers_add(l, "grpc-message", 12, text, (size_t)(end - text), HPACK_PLAIN);
        }
    }
    if (r->details.len) {
        char *text = arena_alloc(l->arena, BASE64_ENCODED(r->details.len) + 1);
        if (text) {
            char *end = base64_encode(text, r->details.data, r->details.len);
            headers_add(l, "grpc-status-details-bin", 23, text, (size_t)(end - text), HPACK_PLAIN);
        }
    }
    headers_md(l, r->trailer, false);
}

BASE_COLD void headers_http(struct header_list *l, struct sennit_arena *a, unsigned status,
                            sennit_code code, const char *text)
{
    headers_start(l, a);
    headers_const(l, ":status", status == 405 ? "405" : status == 415 ? "415" : "400");
    headers_const(l, "content-type", "text/plain; charset=utf-8");
    if (status == 405)
        headers_const(l, "allow", "POST");
    headers_const(l, "grpc-status", headers_code(l, WHY_CODE(code)));
    headers_add(l, "grpc-message", 12, text, strcspn(text, "\n"), HPACK_PLAIN);
}

/* -- reading --------------------------------------------------------------------------------- */

static bool headers_is_grpc(const struct h2_field *f)
{
    static const char grpc[] = "application/grpc";
    size_t n = sizeof grpc - 1;
    return f->value_len >= n && memcmp(f->value, grpc, n) == 0 &&
           (f->value_len == n || f->value[n] == '+' || f->value[n] == ';');
}

static const char *headers_text(struct sennit_arena *a, const struct h2_field *f)
{
    return arena_str(a, f->value, f->value_len).data;
}

/* Mostly the same one for the life of a connection: the first is kept. */
BASE_COLD static const char *headers_authority(struct transport *t, struct sennit_arena *a,
                                               const struct h2_field *f)
{
    if (unlikely(!t->authority) && (t->authority = sys.malloc(f->value_len + 1))) {
        memcpy(t->authority, f->value, f->value_len);
        t->authority[f->value_len] = 0;
        t->authority_len = f->value_len;
    }
    bool same = t->authority && t->authority_len == f->value_len &&
                memcmp(t->authority, f->value, f->value_len) == 0;
    return same ? t->authority : headers_text(a, f);
}

BASE_COLD static bool headers_encoding(struct sennit_arena *a, const struct h2_field *f,
                                       const char **name, const sennit_compressor **compressor)
{
    *name = headers_text(a, f);
    *compressor = compress_find(f->value, f->value_len);
    return *name != NULL;
}

/* Appends a field that is the user's; false: no memory. A list of another arena's is shared: ours
 * begins with the same. Malformed -bin values are the peer's error: they end that stream alone. */
static bool headers_keep(struct sennit_arena *a, sennit_md **md, const struct h2_field *f,
                         bool *bad)
{
    if (!*md)
        *md = md_new(a);
    else if ((*md)->arena != a)
        *md = md_again(*md, a);
    return *md && md_append_wire(*md, f->name, f->name_len, f->value, f->value_len, bad);
}

BASE_COLD static void headers_bad_request(struct rpc_request_head *q, unsigned status,
                                          sennit_code code, const char *text)
{
    if (q->http_status == 200)
        q->http_status = status, q->code = code, q->http_text = text;
}

/* One field of a request, the nth. False: no memory. */
static bool headers_request_field(struct transport *t, struct sennit_arena *a, struct head_said *r,
                                  const struct h2_field *f, size_t nth)
{
    struct rpc_request_head *q = &r->q;
    bool bad = false;
    switch (f->token) {
    case H2_TOK_METHOD:
        if (f->value_len != 4 || memcmp(f->value, "POST", 4) != 0)
            headers_bad_request(q, 405, WHY(BAD_REQUEST),
                                "This is a gRPC server: only POST is served here.\n");
        return true;
    case H2_TOK_PATH:
        r->path = (uint32_t)nth + 1;
        q->memo = f->memo;
        if (q->memo)
            return (q->path = "") != NULL; /* the owner knows it */
        q->path_len = f->value_len;
        return (q->path = headers_text(a, f)) != NULL;
    case H2_TOK_AUTHORITY:
        return (q->authority = headers_authority(t, a, f)) != NULL;
    case H2_TOK_HOST: /* :authority wins */
        if (r->host)
            headers_bad_request(q, 400, WHY(BAD_REQUEST), "There is more than one host header.\n");
        r->host = true;
        return q->authority || (q->authority = headers_authority(t, a, f)) != NULL;
    case H2_TOK_CONTENT_TYPE:
        r->grpc = r->grpc || headers_is_grpc(f);
        return true;
    case H2_TOK_GRPC_TIMEOUT:
        if (!timeout_parse(f->value, f->value_len, &q->timeout))
            headers_bad_request(q, 400, WHY(BAD_REQUEST),
                                "The header grpc-timeout is malformed: 1 to 8 digits and one of "
                                "H M S m u n are expected.\n");
        return true;
    case H2_TOK_GRPC_ENCODING:
        return headers_encoding(a, f, &q->encoding, &r->compressor);
    case H2_TOK_GRPC_ACCEPT_ENCODING:
        return (q->accept_encoding = headers_text(a, f)) != NULL;
    case H2_TOK_OTHER:
    case H2_TOK_COOKIE:
    case H2_TOK_USER_AGENT:
        if (!headers_keep(a, &r->md, f, &bad))
            return false;
        if (bad)
            headers_bad_request(q, 400, WHY(BAD_REQUEST), "A -bin header is not valid base64.\n");
        return true;
    default:
        return true;
    }
}

static const struct head_said headers_nothing = { .q = { .timeout = INT64_MAX,
                                                         .http_status = 200 } };

/* Without memory a run is read anew each time. */
BASE_COLD struct head_run *headers_learn(struct transport *t, const struct h2_event *ev)
{
    struct head_run *r = sys.malloc(sizeof *r), **slot = &t->head_runs[ev->run->slot];
    if (!r)
        return NULL;
    arena_init(&r->arena, r->first, sizeof r->first);
    atomic_init(&r->refs, 1);
    r->users = 1;
    r->id = ev->run->id;
    r->said = headers_nothing;
    for (size_t i = 0; i < ev->run->n; i++) {
        if (!headers_request_field(t, &r->arena, &r->said, &ev->fields[i], i)) {
            headers_run_leave(r);
            return NULL;
        }
    }
    if (*slot)
        headers_run_leave(*slot);
    return *slot = r;
}

void headers_run_unref(struct head_run *r)
{
    if (atomic_fetch_sub_explicit(&r->refs, 1, memory_order_acq_rel) != 1)
        return;
    arena_fini(&r->arena);
    sys.free(r);
}

BASE_COLD void headers_forget_runs(struct transport *t)
{
    for (size_t i = 0; i < HPACK_RUNS; i++) {
        if (t->head_runs[i])
            headers_run_leave(t->head_runs[i]);
        t->head_runs[i] = NULL;
    }
}

uint16_t headers_memo(const struct h2_event *ev)
{
    uint16_t memo = 0;
    for (size_t i = 0; i < ev->n_fields && !memo; i++)
        memo = ev->fields[i].token == H2_TOK_PATH ? ev->fields[i].memo : 0;
    return memo;
}

bool headers_read_request(struct rpc_stream *s, const struct h2_event *ev,
                          const struct h2_field **path)
{
    struct head_said more;
    const struct head_said *said = s->run ? &s->run->said : &headers_nothing;
    size_t known = s->run ? ev->run->n : 0;
    if (known < ev->n_fields) {
        more = *said;
        said = &more;
        for (size_t i = known; i < ev->n_fields; i++) {
            if (!headers_request_field(s->t, s->arena, &more, &ev->fields[i], i)) {
                s->request = headers_nothing.q;
                return false;
            }
        }
    }
    s->request = said->q;
    s->in_compressor = said->compressor;
    s->header = said->md;
    *path = said->path ? &ev->fields[said->path - 1] : NULL;
    if (!said->grpc)
        headers_bad_request(&s->request, 415, WHY_AS(WHY(BAD_REQUEST), SENNIT_UNKNOWN),
                            "This is a gRPC server: the content-type must be application/grpc.\n");
    if (unlikely(!s->request.path)) /* CONNECT has none */
        s->request.path = "";
    return said->q.path || s->request.http_status == 405;
}

/* -- responses ------------------------------------------------------------------------------- */

struct headers_status {
    const struct h2_field *kind; /* content-type, if it is not gRPC's */
    bool has_code, bad_code, bad_md, grpc;
    bool more;            /* a field came that struct response_run has no place for */
    unsigned http_status; /* 0: none */
    sennit_code code;
    sennit_str message, details;
    sennit_md *md;
};

static bool headers_response_field(struct rpc_stream *s, const struct h2_field *f,
                                   struct headers_status *st)
{
    switch (f->token) {
    case H2_TOK_STATUS:
        st->http_status = 0;
        for (uint32_t i = 0; i < f->value_len && i < 3; i++)
            st->http_status = st->http_status * 10 + (unsigned)(f->value[i] - '0');
        return true;
    case H2_TOK_CONTENT_TYPE:
        st->grpc = headers_is_grpc(f);
        st->kind = st->grpc ? NULL : f;
        return true;
    case H2_TOK_GRPC_ENCODING:
        st->more = true;
        return headers_encoding(s->arena, f, &s->request.encoding, &s->in_compressor);
    case H2_TOK_GRPC_STATUS:
        st->has_code = true;
        st->bad_code = !status_parse(f->value, f->value_len, &st->code);
        return true;
    case H2_TOK_GRPC_MESSAGE:
        st->more = true;
        st->message = status_message_decode(s->arena, f->value, f->value_len);
        return true;
    case H2_TOK_GRPC_STATUS_DETAILS: {
        st->more = true;
        char *raw = arena_alloc(s->arena, f->value_len / 4 * 3 + 3);
        ptrdiff_t n = raw ? base64_decode(raw, f->value, f->value_len) : -1;
        if (n > 0)
            st->details = (sennit_str){ raw, (size_t)n };
        return true;
    }
    case H2_TOK_OTHER:
    case H2_TOK_COOKIE:
        st->more = true;
        return headers_keep(s->arena, &st->md, f, &st->bad_md);
    default:
        return true;
    }
}

/* Without memory only the text is shorter. */
BASE_COLD static void headers_begin_page(struct rpc_stream *s, const struct headers_status *st)
{
    s->page = arena_alloc(s->arena, sizeof *s->page);
    if (!s->page)
        return;
    s->page->len = 0;
    quote_line(s->page->kind, sizeof s->page->kind, st->kind ? st->kind->value : "",
               st->kind ? st->kind->value_len : 0);
}

BASE_COLD void headers_no_grpc(struct rpc_stream *s)
{
    char line[LIMIT_PAGE] = "", begins[LIMIT_PAGE + 32] = "", status[16] = "";
    const struct rpc_page *page = s->page;
    if (page)
        quote_line(line, sizeof line, page->body, page->len);
    if (line[0])
        snprintf(begins, sizeof begins, "; it begins with \"%s\"", line);
    if (s->http_status != 200)
        snprintf(status, sizeof status, "%u", s->http_status);
    sennit_str text = arena_printf(s->arena, "%s%s%s%s%s%s",
                                   status[0] ? "unexpected HTTP status code received from server: "
                                             : "the server's answer is no gRPC",
                                   status, page ? "; content-type \"" : "", page ? page->kind : "",
                                   page ? "\"" : "", begins);
    stream_finish(s, WHY_AS(WHY(NOT_GRPC), status_from_http(s->http_status)),
                  text.data ? text : sennit_s("the server's answer is no gRPC"));
}

static void headers_finish(struct rpc_stream *s, const struct headers_status *st)
{
    if (st->has_code && st->bad_code) {
        stream_finish(s, WHY(NO_STATUS), sennit_s("the server sent a malformed grpc-status"));
    } else if (st->has_code) {
        stream_finish(s, st->code, st->message.data ? st->message : sennit_s(""));
    } else if (s->http_status != 200 || s->page || s->failed_in) {
        headers_no_grpc(s);
    } else {
        stream_finish(s, WHY(NO_STATUS),
                      sennit_s("the server sent no grpc-status in its trailers"));
    }
}

static bool headers_response_fields(struct rpc_stream *s, const struct h2_event *ev, size_t from,
                                    size_t to, struct headers_status *st)
{
    for (size_t i = from; i < to; i++) {
        if (!headers_response_field(s, &ev->fields[i], st))
            return false;
    }
    return true;
}

/* What ev begins with, from memory if it can be. False: no memory. */
BASE_COLD static bool headers_response_run(struct rpc_stream *s, const struct h2_event *ev,
                                           struct headers_status *st)
{
    struct client_known *known = s->t->known;
    struct response_run *r = known ? &known->responses[ev->run->slot] : NULL;
    if (likely(r && r->id == ev->run->id && r->plain)) {
        st->http_status = r->http_status;
        st->grpc = r->grpc;
        st->has_code = r->has_code, st->code = r->code;
        return true;
    }
    if (!headers_response_fields(s, ev, 0, ev->run->n, st))
        return false;
    if (r)
        *r = (struct response_run){ .id = ev->run->id,
                                    .http_status = (uint16_t)st->http_status,
                                    .grpc = st->grpc,
                                    .has_code = st->has_code,
                                    .code = (uint8_t)st->code,
                                    .plain = !st->more && !st->kind && !st->bad_code };
    return true;
}

void headers_began(struct rpc_stream *s)
{
    s->http_status = 200;
    atomic_store_explicit(&s->has_header, true, memory_order_release);
    if (s->ops->headers)
        s->ops->headers(s);
}

/* The usual block: a run that is known and says no more than that all is well, or the code. */
static bool headers_response_plain(struct rpc_stream *s, const struct h2_event *ev)
{
    if (!ev->run || ev->n_fields != ev->run->n || ev->fields_too_large || unlikely(!s->t->known))
        return false;
    const struct response_run *r = &s->t->known->responses[ev->run->slot];
    if (r->id != ev->run->id || !r->plain)
        return false;
    if (ev->kind == H2_EV_TRAILERS && r->has_code) {
        h2_in_learn(s->t->in, ev, r->code);
        stream_finish(s, r->code, sennit_s(""));
        return true;
    }
    if (ev->kind == H2_EV_TRAILERS || ev->end_stream || r->http_status != 200 || !r->grpc)
        return false;
    h2_in_learn(s->t->in, ev, 0);
    headers_began(s);
    return true;
}

void headers_read_response(struct rpc_stream *s, const struct h2_event *ev)
{
    if (likely(headers_response_plain(s, ev)))
        return;
    struct headers_status st = { .code = SENNIT_UNKNOWN };
    bool first = ev->kind == H2_EV_HEADERS;
    if ((ev->run && !headers_response_run(s, ev, &st)) ||
        !headers_response_fields(s, ev, ev->run ? ev->run->n : 0, ev->n_fields, &st)) {
        stream_finish(s, WHY(NO_MEMORY), sennit_s("no memory for metadata"));
        return;
    }
    if (first)
        s->http_status = st.http_status;
    if (first && !ev->end_stream) {
        s->header = st.md;
        atomic_store_explicit(&s->has_header, true, memory_order_release);
        if (s->ops->headers)
            s->ops->headers(s);
    } else if (st.more) {
        stream_set_trailer(s, st.md, st.details);
    }
    if (first && (s->http_status != 200 || !st.grpc) && !st.has_code)
        headers_begin_page(s, &st);
    if (ev->fields_too_large)
        stream_finish(
            s, WHY(HEADERS_TOO_LARGE),
            sennit_s("the server's header list is over the limit (max_header_list_size)"));
    else if (st.bad_md)
        stream_finish(s, WHY(BAD_METADATA), sennit_s("a -bin header from the server is no base64"));
    else if (ev->end_stream)
        headers_finish(s, &st);
    else if (first && (s->http_status != 200 || !st.grpc) && !st.has_code)
        s->failed_in = true; /* the body is a proxy's page: wait for the end, then map the status */
}
