/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * test_h2_pair.c: h2_out into h2_in, both sides, in memory: random commands, random windows that
 * grow and shrink, octets delivered in random pieces. The peers keep each other's rules or the test
 * ends with the connection error that says which one was broken. */
#include "base/limits.h"
#include "base/sys.h"
#include "begin.h"
#include "h2/h2_frame.h"
#include "harness.h"
#include <stdlib.h>

#define PAIR_STREAMS 64

struct end_stream {
    struct h2_out_stream out; /* first: on_drained casts */
    struct end *end;
    uint64_t sent, received;
    uint32_t unread;
    bool live, in_known, remote_ended, reset;
};
struct wire {
    uint8_t *octets;
    size_t len, cap;
};
struct end {
    struct h2_in *in;
    struct h2_out out;
    struct h2_config config;
    struct wire wire; /* on its way to the peer */
    struct end_stream s[PAIR_STREAMS];
    struct end *peer;
    bool server;
};
static struct end client, server;
static uint8_t pattern[1 << 17];

static uint32_t below(uint32_t n) { return test_random() % n; }
static struct end_stream *of_id(struct end *e, uint32_t id)
{
    return &e->s[(id / 2) % PAIR_STREAMS];
}

static void room(struct end *e, size_t n)
{
    while (!h2_out_room(&e->out, n)) {
        size_t size = h2_out_grow_size(&e->out, n);
        sys.free(h2_out_grow(&e->out, sys.malloc(size), size));
    }
}

static void flush(struct end *e)
{
    uint8_t *buf;
    size_t len, cap;
    struct wire *w = &e->wire;
    room(e, 70000);
    h2_out_pump(&e->out);
    if (!h2_out_take(&e->out, &buf, &len, &cap))
        return;
    if (w->len + len > w->cap) {
        w->cap = 2 * (w->len + len);
        w->octets = realloc(w->octets, w->cap);
        check(w->octets);
    }
    memcpy(w->octets + w->len, buf, len);
    w->len += len;
    h2_out_give_back(&e->out, buf, cap);
}

/* Both sides of s are over, or it was reset. */
static void let_go(struct end_stream *s)
{
    h2_out_unlink(&s->end->out, &s->out);
    s->live = false;
}
/* Our END_STREAM is appended. */
static void local_end(struct end_stream *s)
{
    if (s->in_known && h2_in_local_end(s->end->in, s->out.id))
        let_go(s);
}
static void on_drained(struct h2_out_stream *o)
{
    if (o->local_closed)
        local_end((struct end_stream *)(void *)o);
}

static void start_stream(struct end_stream *s, struct end *e)
{
    *s = (struct end_stream){ .end = e, .live = true };
    s->out.on_drained = on_drained;
}

/* -- events ---------------------------------------------------------------------------------- */

static void check_octets(struct end_stream *s, const struct h2_event *ev)
{
    for (size_t i = 0; i < ev->len; i++)
        check(ev->data[i] == (uint8_t)((s->received + i) * 7 + ev->id));
    s->received += ev->len;
}

static void stream_event(struct end *e, const struct h2_event *ev)
{
    struct end_stream *s = of_id(e, ev->id);
    if (ev->kind == H2_EV_HEADERS && e->server) {
        check(!s->live);
        start_stream(s, e);
        s->in_known = true;
        h2_out_accept(&e->out, &s->out, ev->id);
        h2_in_set_user(e->in, ev->id, s);
    } else {
        check(ev->user == s && s->live);
    }
    if (ev->kind == H2_EV_DATA) {
        check_octets(s, ev);
        s->unread += ev->credit;
    }
    if (ev->kind == H2_EV_HEADERS)
        check_int(ev->n_fields, e->server ? 5 : 2);
    s->remote_ended |= ev->end_stream;
    if (ev->end_stream && !s->reset) /* nothing is lost */
        check(of_id(e->peer, ev->id)->out.id != ev->id ||
              of_id(e->peer, ev->id)->sent == s->received);
    if (ev->kind == H2_EV_RST || ev->gone)
        let_go(s);
}

static void event(struct end *e, const struct h2_event *ev)
{
    if (ev->kind == H2_EV_ERROR || ev->kind == H2_EV_STREAM_ERROR)
        test_failed(__FILE__, __LINE__, "%s on %u: %s", h2_error_name(ev->code), ev->id, ev->text);
    room(e, 100);
    if (ev->kind == H2_EV_SETTINGS) {
        check(h2_out_settings(&e->out, h2_in_peer(e->in)));
    } else if (ev->kind == H2_EV_WINDOW) {
        struct end_stream *s = of_id(e, ev->id);
        if (ev->id && (!s->live || s->out.id != ev->id))
            return;
        check(h2_out_window(&e->out, ev->id ? &s->out : NULL, ev->increment));
    } else if (ev->kind == H2_EV_PING) {
        h2_out_ping(&e->out, ev->opaque, true);
    } else if (ev->kind == H2_EV_REFUSED) {
        h2_out_rst_id(&e->out, ev->id, ev->code);
    } else if (ev->kind == H2_EV_HEADERS || ev->kind == H2_EV_TRAILERS || ev->kind == H2_EV_DATA ||
               ev->kind == H2_EV_RST) {
        stream_event(e, ev);
    }
}

/* Some of what is on its way to e. */
static void deliver(struct end *e, size_t n)
{
    struct wire *w = &e->peer->wire;
    n = min_size(n, w->len);
    if (n == 0)
        return;
    uint8_t *p = malloc(n);
    check(p);
    memcpy(p, w->octets, n);
    memmove(w->octets, w->octets + n, w->len - n);
    w->len -= n;
    struct h2_event ev;
    size_t at = 0;
    do {
        size_t used;
        h2_in_next(e->in, p + at, n - at, &used, &ev);
        at += used;
        event(e, &ev);
    } while (at < n || ev.kind != H2_EV_NONE);
    free(p);
    uint32_t credit = h2_in_connection_credit(e->in);
    room(e, 100);
    if (credit)
        h2_out_window_update(&e->out, 0, credit);
}

/* -- commands -------------------------------------------------------------------------------- */

#define HEADER(n, v, how)                                                                          \
    {                                                                                              \
        n, v, sizeof n - 1, sizeof v - 1, how                                                      \
    }
static const struct h2_header request_head[] = { HEADER(":method", "POST", HPACK_INDEX),
                                                 HEADER(":scheme", "http", HPACK_INDEX),
                                                 HEADER(":path", "/service/method", HPACK_INDEX),
                                                 HEADER("te", "trailers", HPACK_INDEX),
                                                 HEADER("grpc-timeout", "17S", HPACK_PLAIN) };
static const struct h2_header response_head[] = { HEADER(":status", "200", HPACK_INDEX),
                                                  HEADER("x-secret", "s", HPACK_NEVER) };
static const struct h2_header response_tail[] = { HEADER("grpc-status", "0", HPACK_INDEX) };

static void open_stream(struct end *e)
{
    uint32_t id = e->out.next_id;
    struct end_stream *s = of_id(e, id);
    if (s->live || of_id(e->peer, id)->live)
        return;
    start_stream(s, e);
    room(e, h2_headers_bound(request_head, 5));
    check(h2_out_open(&e->out, &s->out));
    bool end = below(4) == 0;
    h2_out_headers(&e->out, &s->out, request_head, 5, end);
    check_int(h2_in_opened(e->in, id, s, end), 0);
    s->in_known = true;
}

static void send_some(struct end_stream *s)
{
    struct end *e = s->end;
    bool end = !e->server && below(6) == 0;
    size_t n = below(3) ? below(300) : below(60000);
    room(e, 1000 + h2_data_bound(&e->out, &s->out, n));
    if (e->server && s->sent == 0 && !s->out.trailers_after) {
        h2_out_headers(&e->out, &s->out, response_head, 2, false);
        s->out.trailers_after = true; /* used as: the head is sent */
    }
    if (e->server && below(6) == 0) {
        h2_out_headers(&e->out, &s->out, response_tail, 1, true);
        local_end(s);
        return;
    }
    uint8_t *body = pattern + ((s->sent * 7 + s->out.id) % 256) * 183 % 256; /* see below */
    s->sent += n;
    if (h2_out_data(&e->out, &s->out, body, n, end) && end)
        local_end(s);
}

static void reset(struct end_stream *s)
{
    struct end *e = s->end;
    uint32_t id = s->out.id;
    room(e, 100);
    h2_out_rst(&e->out, &s->out, H2_CANCEL);
    h2_in_forget(e->in, id, H2_RESET_PROVOKED);
    of_id(e->peer, id)->reset = true;
    let_go(s);
}

static void read_some(struct end_stream *s)
{
    uint32_t n = s->unread ? below(s->unread + 1) : 0;
    s->unread -= n;
    uint32_t more = h2_in_consumed(s->end->in, s->out.id, n);
    room(s->end, 100);
    if (more)
        h2_out_window_update(&s->end->out, s->out.id, more);
    if (below(10) == 0 && (more = h2_in_grant(s->end->in, s->out.id, below(100000))))
        h2_out_window_update(&s->end->out, s->out.id, more);
}

static void act(struct end *e)
{
    struct end_stream *s = &e->s[below(PAIR_STREAMS)];
    if (!e->server && below(3) == 0)
        open_stream(e);
    if (!s->live)
        return;
    unsigned what = below(100);
    if (what < 60 && !s->out.local_closed && s->out.body_len == 0)
        send_some(s);
    else if (what < 98)
        read_some(s);
    else
        reset(s);
    if (below(50) == 0) {
        room(e, 100);
        h2_out_ping(&e->out, pattern, false);
    }
}

static void end_init(struct end *e, struct end *peer, bool is_server)
{
    *e = (struct end){ .server = is_server, .peer = peer };
    e->config = (struct h2_config){ .server = is_server,
                                    .max_concurrent_streams = 20 + below(50),
                                    .initial_window = below(2) ? 65535 : below(200000),
                                    .connection_window = 65535 + below(1 << 20),
                                    .max_header_list = 16384,
                                    .max_frame = 16384 };
    check((e->in = h2_in_new(&e->config)) != NULL);
    check_int(begin_out(&e->out, &e->config), 0);
    e->out.high_water = 10000 + below(200000);
}
static void end_fini(struct end *e)
{
    h2_in_free(e->in);
    h2_out_fini(&e->out);
    free(e->wire.octets);
    e->wire = (struct wire){ 0 };
}

/* Octet i of stream id is i * 7 + id: pattern[k] = k * 7 makes any run of it a slice, since 183 is
 * the inverse of 7 modulo 256. */
static void pair_start(void)
{
    for (size_t i = 0; i < sizeof pattern; i++)
        pattern[i] = (uint8_t)(i * 7);
    end_init(&client, &server, false);
    end_init(&server, &client, true);
}

static void all_windows_are_restored(struct end *e)
{
    check(e->out.window >= (int64_t)e->peer->config.connection_window * 3 / 4);
    check(e->out.window <= (int64_t)e->peer->config.connection_window);
    check(list_empty(&e->out.pending));
}

static void settle(void)
{
    for (int i = 0; i < 1000; i++) {
        flush(&client), flush(&server);
        deliver(&server, SIZE_MAX), deliver(&client, SIZE_MAX);
        for (int k = 0; k < PAIR_STREAMS; k++) {
            if (client.s[k].live)
                read_some(&client.s[k]);
            if (server.s[k].live)
                read_some(&server.s[k]);
        }
    }
}

TEST(random_sessions_keep_every_rule_and_lose_no_octet)
{
    for (int round = 0; round < 40; round++) {
        pair_start();
        for (int i = 0; i < 4000; i++) {
            struct end *e = below(2) ? &client : &server;
            act(e);
            if (below(3) == 0)
                flush(e);
            if (below(3) == 0)
                deliver(e, below(2) ? below(50) : below(100000));
        }
        for (int k = 0; k < PAIR_STREAMS; k++) {
            if (client.s[k].live)
                reset(&client.s[k]);
        }
        settle();
        for (int k = 0; k < PAIR_STREAMS; k++)
            check(!client.s[k].live && !server.s[k].live);
        check_int(h2_in_streams(client.in), 0);
        check_int(h2_in_streams(server.in), 0);
        all_windows_are_restored(&client);
        all_windows_are_restored(&server);
        end_fini(&client), end_fini(&server);
    }
}

/* The server changes its mind about windows while the client's bodies are under way. */
TEST(shrinking_and_growing_windows_stall_and_resume_bodies)
{
    for (int round = 0; round < 30; round++) {
        pair_start();
        open_stream(&client);
        struct end_stream *s = of_id(&client, 1);
        if (s->out.local_closed) {
            end_fini(&client), end_fini(&server);
            continue;
        }
        room(&client, h2_data_bound(&client.out, &s->out, 100000));
        uint8_t *body = pattern + 183 % 256;
        bool done = h2_out_data(&client.out, &s->out, body, 100000, true);
        int64_t offset = s->out.window - client.out.peer.initial_window; /* what was sent */
        for (int i = 0; i < 50 && !done; i++) {
            struct h2_settings p = client.out.peer;
            p.initial_window = p.least_table_size = below(150000);
            room(&client, 50);
            check(h2_out_settings(&client.out, &p));
            check_int(s->out.window, offset + p.initial_window);
            if (below(2))
                check(h2_out_window(&client.out, NULL, 1 + below(5000)));
            room(&client, 70000);
            h2_out_pump(&client.out);
            done = s->out.body_len == 0;
            offset = s->out.window - p.initial_window;
            check_int(offset, -(int64_t)(100000 - s->out.body_len));
            check(s->out.window >= 0 || offset < -(int64_t)p.initial_window);
        }
        end_fini(&client), end_fini(&server);
    }
}
