/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * test_h2_nghttp2.c: our two machines as client and as server against libnghttp2 as the other side,
 * in memory: random bodies, resets, changing windows and table sizes, octets in random pieces.
 * nghttp2 is the oracle for what is allowed; it calls our frames invalid or it does not. Built only
 * where the library is found; the library never links it. */
#include "base/limits.h"
#include "base/sys.h"
#include "begin.h"
#include "h2/h2_frame.h"
#include "harness.h"
#include <nghttp2/nghttp2.h>
#include <stdlib.h>

#define RPCS 300
#define LIVE 40u

/* One RPC, of which both sides keep their half. Request body: up octets; response: down octets. */
struct rpc {
    struct h2_out_stream out; /* ours */
    bool live, known, headed, ended, done, reset;
    uint32_t up, down;
    uint32_t got;       /* of the peer's body, by us */
    uint32_t other_got; /* of ours, by nghttp2 */
    uint32_t other_sent;
    uint32_t unread;
};
static struct rpc rpcs[RPCS];
static struct {
    struct h2_in *in;
    struct h2_out out;
    struct h2_config config;
    unsigned opened, live, finished, good;
} our;
static nghttp2_session *other;
static uint8_t zeros[300000];

static uint32_t below(uint32_t n) { return test_random() % n; }
static struct rpc *rpc_of(uint32_t id)
{
    check(id % 2 == 1 && id / 2 < RPCS);
    return &rpcs[id / 2];
}
static uint32_t random_size(void)
{
    return below(3) ? below(100) : below(3) ? below(20000) : below(200000);
}

static void room(size_t n)
{
    while (!h2_out_room(&our.out, n)) {
        size_t size = h2_out_grow_size(&our.out, n);
        sys.free(h2_out_grow(&our.out, sys.malloc(size), size));
    }
}
static void finish(struct rpc *r)
{
    if (!r->done) {
        r->done = true;
        our.finished++;
    }
}
static void let_go(struct rpc *r)
{
    h2_out_unlink(&our.out, &r->out);
    our.live -= r->live;
    r->live = false;
    finish(r);
}
static void local_end(struct rpc *r)
{
    if (h2_in_local_end(our.in, r->out.id))
        let_go(r);
}

/* -- our side -------------------------------------------------------------------------------- */

#define HEADER(n, v, how)                                                                          \
    {                                                                                              \
        n, v, sizeof n - 1, sizeof v - 1, how                                                      \
    }
static const struct h2_header request_head[] = {
    HEADER(":method", "POST", HPACK_INDEX),
    HEADER(":scheme", "http", HPACK_INDEX),
    HEADER(":path", "/helloworld.Greeter/SayHello", HPACK_INDEX),
    HEADER(":authority", "localhost:50051", HPACK_INDEX),
    HEADER("te", "trailers", HPACK_INDEX),
    HEADER("content-type", "application/grpc", HPACK_INDEX),
    HEADER("authorization", "secret", HPACK_NEVER),
    HEADER("grpc-timeout", "1999995u", HPACK_PLAIN),
};
static const struct h2_header response_head[] = {
    HEADER(":status", "200", HPACK_INDEX),
    HEADER("content-type", "application/grpc", HPACK_INDEX),
};
static const struct h2_header response_tail[] = {
    HEADER("grpc-status", "0", HPACK_INDEX),
    HEADER("x-trace", "abcdefgh", HPACK_PLAIN),
};

static void our_trailers(struct rpc *r)
{
    room(h2_headers_bound(response_tail, 2));
    h2_out_headers(&our.out, &r->out, response_tail, 2, true);
    local_end(r);
}
static void our_drained(struct h2_out_stream *s)
{
    struct rpc *r = (struct rpc *)(void *)s;
    if (our.config.server)
        our_trailers(r);
    else
        local_end(r);
}
static void our_body(struct rpc *r, uint32_t n, bool end)
{
    room(h2_data_bound(&our.out, &r->out, n));
    if (h2_out_data(&our.out, &r->out, zeros, n, end))
        our_drained(&r->out);
}
static void our_request(void)
{
    struct rpc *r = &rpcs[our.opened];
    if (our.live >= min_size(LIVE, our.out.peer.max_concurrent_streams))
        return;
    *r = (struct rpc){ .live = true, .known = true, .up = random_size(), .down = random_size() };
    r->out.on_drained = our_drained;
    our.opened++, our.live++;
    room(h2_headers_bound(request_head, countof(request_head)));
    check(h2_out_open(&our.out, &r->out));
    h2_out_headers(&our.out, &r->out, request_head, countof(request_head), false);
    check_int(h2_in_opened(our.in, r->out.id, r, false), 0);
    our_body(r, r->up, true);
}
static void our_response(struct rpc *r)
{
    room(h2_headers_bound(response_head, 2));
    h2_out_headers(&our.out, &r->out, response_head, 2, false);
    our_body(r, r->down, false);
}
static void our_reset(struct rpc *r)
{
    room(100);
    h2_out_rst(&our.out, &r->out, H2_CANCEL);
    h2_in_forget(our.in, r->out.id, H2_RESET_OURS);
    r->reset = true;
    let_go(r);
}

static void our_stream_event(const struct h2_event *ev)
{
    struct rpc *r = rpc_of(ev->id);
    if (ev->kind == H2_EV_HEADERS && our.config.server) {
        r->live = r->known = true;
        our.live++;
        r->out = (struct h2_out_stream){ .on_drained = our_drained };
        h2_out_accept(&our.out, &r->out, ev->id);
        h2_in_set_user(our.in, ev->id, r);
        check_int(ev->fields[0].token, H2_TOK_METHOD);
    } else {
        check(ev->user == r && r->live);
    }
    if (ev->kind == H2_EV_DATA)
        r->got += (uint32_t)ev->len, r->unread += ev->credit;
    if (ev->kind == H2_EV_HEADERS && !our.config.server)
        check(ev->fields[0].token == H2_TOK_STATUS && !memcmp(ev->fields[0].value, "200", 3));
    if (ev->end_stream) {
        r->ended = true;
        check_int(r->got, our.config.server ? r->up : r->down);
        if (our.config.server)
            our_response(r);
    }
    if (ev->kind == H2_EV_RST)
        check(r->reset);
    our.good += ev->kind != H2_EV_RST && ev->end_stream;
    if ((ev->kind == H2_EV_RST || ev->gone) && r->live)
        let_go(r);
}

static void our_event(const struct h2_event *ev)
{
    if (ev->kind == H2_EV_ERROR || ev->kind == H2_EV_STREAM_ERROR || ev->kind == H2_EV_GOAWAY)
        test_failed(__FILE__, __LINE__, "event %d %s on %u: %s", ev->kind, h2_error_name(ev->code),
                    ev->id, ev->text ? ev->text : "");
    room(100);
    if (ev->kind == H2_EV_SETTINGS) {
        check(h2_out_settings(&our.out, h2_in_peer(our.in)));
    } else if (ev->kind == H2_EV_WINDOW) {
        struct rpc *r = ev->id ? rpc_of(ev->id) : NULL;
        check(h2_out_window(&our.out, r ? &r->out : NULL, ev->increment));
    } else if (ev->kind == H2_EV_PING) {
        h2_out_ping(&our.out, ev->opaque, true);
    } else if (ev->kind == H2_EV_REFUSED) {
        h2_out_rst_id(&our.out, ev->id, ev->code);
        finish(rpc_of(ev->id));
    } else if (ev->kind != H2_EV_NONE && ev->id) {
        our_stream_event(ev);
    }
}

static void our_read(void)
{
    for (unsigned i = 0; i < RPCS; i++) {
        struct rpc *r = &rpcs[i];
        if (!r->live)
            continue;
        uint32_t more = h2_in_consumed(our.in, r->out.id, r->unread);
        r->unread = 0;
        room(100);
        if (more)
            h2_out_window_update(&our.out, r->out.id, more);
        if (below(20) == 0 && (more = h2_in_grant(our.in, r->out.id, below(200000))))
            h2_out_window_update(&our.out, r->out.id, more);
    }
    uint32_t credit = h2_in_connection_credit(our.in);
    if (credit)
        h2_out_window_update(&our.out, 0, credit);
}

/* -- nghttp2's side -------------------------------------------------------------------------- */

static ssize_t other_body(nghttp2_session *session, int32_t id, uint8_t *buf, size_t n,
                          uint32_t *flags, nghttp2_data_source *source, void *user)
{
    struct rpc *r = rpc_of((uint32_t)id);
    uint32_t all = our.config.server ? r->up : r->down;
    (void)source, (void)user;
    n = min_size(n, all - r->other_sent);
    memset(buf, 0, n);
    r->other_sent += (uint32_t)n;
    if (r->other_sent < all)
        return (ssize_t)n;
    *flags |= NGHTTP2_DATA_FLAG_EOF;
    if (!our.config.server) {
        nghttp2_nv tail[] = { { (uint8_t *)"grpc-status", (uint8_t *)"0", 11, 1, 0 } };
        *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
        check_int(nghttp2_submit_trailer(session, id, tail, 1), 0);
    }
    return (ssize_t)n;
}
#define NV(n, v)                                                                                   \
    {                                                                                              \
        (uint8_t *)n, (uint8_t *)v, sizeof n - 1, sizeof v - 1, 0                                  \
    }

static void other_response(int32_t id)
{
    nghttp2_nv head[] = { NV(":status", "200"), NV("content-type", "application/grpc") };
    nghttp2_nv interim[] = { NV(":status", "103"), NV("link", "x") };
    nghttp2_data_provider body = { .read_callback = other_body };
    if (below(5) == 0)
        check_int(nghttp2_submit_headers(other, 0, id, NULL, interim, 2, NULL), 0);
    check_int(nghttp2_submit_response(other, id, head, 2, &body), 0);
}
static void other_request(void)
{
    static char ever_new[20];
    struct rpc *r = &rpcs[our.opened];
    if (our.live >= LIVE)
        return;
    snprintf(ever_new, sizeof ever_new, "%uu", test_random());
    nghttp2_nv head[] = { NV(":method", "POST"),
                          NV(":scheme", "http"),
                          NV(":path", "/helloworld.Greeter/SayHello"),
                          NV(":authority", "localhost"),
                          NV("te", "trailers"),
                          { (uint8_t *)"grpc-timeout", (uint8_t *)ever_new, 12, strlen(ever_new),
                            0 } };
    nghttp2_data_provider body = { .read_callback = other_body };
    *r = (struct rpc){ .up = random_size(), .down = random_size() };
    check_int(nghttp2_submit_request(other, NULL, head, 6, &body, NULL), 2 * our.opened + 1);
    our.opened++;
}

static int on_frame(nghttp2_session *session, const nghttp2_frame *f, void *user)
{
    (void)session, (void)user;
    if ((f->hd.type != NGHTTP2_DATA && f->hd.type != NGHTTP2_HEADERS) ||
        !(f->hd.flags & NGHTTP2_FLAG_END_STREAM))
        return 0;
    struct rpc *r = rpc_of((uint32_t)f->hd.stream_id);
    check_int(r->other_got, our.config.server ? r->down : r->up);
    if (!our.config.server)
        other_response(f->hd.stream_id);
    return 0;
}
static int on_chunk(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *p, size_t n,
                    void *user)
{
    (void)session, (void)flags, (void)p, (void)user;
    rpc_of((uint32_t)id)->other_got += (uint32_t)n;
    return 0;
}
static int on_invalid(nghttp2_session *session, const nghttp2_frame *f, int code, void *user)
{
    (void)session, (void)user;
    test_failed(__FILE__, __LINE__, "nghttp2: frame type %d on %d: %s", f->hd.type, f->hd.stream_id,
                nghttp2_strerror(code));
}

static void other_start(void)
{
    nghttp2_session_callbacks *cb;
    check_int(nghttp2_session_callbacks_new(&cb), 0);
    nghttp2_session_callbacks_set_on_frame_recv_callback(cb, on_frame);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cb, on_chunk);
    nghttp2_session_callbacks_set_on_invalid_frame_recv_callback(cb, on_invalid);
    check_int(our.config.server ? nghttp2_session_client_new(&other, cb, NULL)
                                : nghttp2_session_server_new(&other, cb, NULL),
              0);
    nghttp2_session_callbacks_del(cb);
    nghttp2_settings_entry first[] = { { NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, LIVE } };
    check_int(nghttp2_submit_settings(other, 0, first, 1), 0);
}

/* Settings that change under way, pings, resets. */
static void other_mood(void)
{
    nghttp2_settings_entry more[] = {
        { NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 1000 + below(200000) },
        { NGHTTP2_SETTINGS_HEADER_TABLE_SIZE, below(3) ? below(8000) : 0 },
    };
    unsigned what = below(60);
    if (what == 0)
        nghttp2_submit_settings(other, 0, more, 2);
    if (what == 1)
        nghttp2_submit_ping(other, 0, NULL);
    if (what == 2 && our.opened) {
        uint32_t id = 2 * below(our.opened) + 1;
        if (!rpc_of(id)->done && rpc_of(id)->live) {
            rpc_of(id)->reset = true;
            nghttp2_submit_rst_stream(other, 0, (int32_t)id, NGHTTP2_CANCEL);
        }
    }
}

/* -- the wire -------------------------------------------------------------------------------- */

static void to_other(void)
{
    uint8_t *buf;
    size_t n, cap;
    room(50000);
    h2_out_pump(&our.out);
    if (!h2_out_take(&our.out, &buf, &n, &cap))
        return;
    for (size_t at = 0, k; at < n; at += k) {
        k = min_size(n - at, 1 + (below(2) ? below(40) : below(40000)));
        ssize_t used = nghttp2_session_mem_recv(other, buf + at, k);
        if (used != (ssize_t)k)
            test_failed(__FILE__, __LINE__, "nghttp2: %s", nghttp2_strerror((int)used));
    }
    h2_out_give_back(&our.out, buf, cap);
}
static void to_us(void)
{
    const uint8_t *p;
    struct h2_event ev;
    for (ssize_t n; (n = nghttp2_session_mem_send(other, &p)) > 0;) {
        for (size_t at = 0, used; at < (size_t)n; at += used) {
            do {
                size_t k = min_size((size_t)n - at, 1 + below(30000));
                h2_in_next(our.in, p + at, k, &used, &ev);
                our_event(&ev);
                at += used;
                used = 0;
            } while (ev.kind != H2_EV_NONE);
        }
    }
}

static void run_session(bool we_serve)
{
    memset(&our, 0, sizeof our);
    memset(rpcs, 0, sizeof rpcs);
    our.config = (struct h2_config){ .server = we_serve,
                                     .max_concurrent_streams = 256,
                                     .initial_window = below(2) ? 65535 : 1000 + below(100000),
                                     .connection_window = 65535 + below(1000000),
                                     .max_header_list = 16384,
                                     .max_frame = 16384 };
    check((our.in = h2_in_new(&our.config)) != NULL);
    check_int(begin_out(&our.out, &our.config), 0);
    other_start();
    for (int turn = 0; our.finished < RPCS; turn++) {
        check(turn < 100000);
        for (uint32_t i = below(20); i && our.opened < RPCS; i--)
            we_serve ? other_request() : our_request();
        other_mood();
        struct rpc *r = &rpcs[below(RPCS)];
        if (below(10) == 0 && r->live)
            our_reset(r);
        to_other();
        to_us();
        our_read();
    }
    to_other();
    to_us();
    check_int(h2_in_streams(our.in), 0);
    check(list_empty(&our.out.all));
    check(our.good > RPCS / 2);
    check(nghttp2_session_want_read(other));
    nghttp2_session_del(other);
    h2_in_free(our.in);
    h2_out_fini(&our.out);
}

TEST(our_client_satisfies_an_nghttp2_server)
{
    for (int i = 0; i < 6; i++)
        run_session(false);
}
TEST(our_server_satisfies_an_nghttp2_client)
{
    for (int i = 0; i < 6; i++)
        run_session(true);
}
