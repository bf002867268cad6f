/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * transport_in.c: the reader, a task on a worker's native stack.
 * A request enters here from the netpoller and leaves to server/dispatch.c (accept, request); a
 * response leaves to the goroutine that parks on the stream's note. A turn reads at most
 * LIMIT_READ_TURN octets. What h2_in saw is applied to h2_out after each batch; what goroutines did
 * meanwhile is told to h2_in before it, so that it knows every stream whose answer may be among the
 * octets just read: see transport_news.c. */
#include "base/limits.h"
#include "base/pool.h"
#include "base/sys.h"
#include "rpc/status.h"
#include "rpc/transport_private.h"
#include "rt/err.h"
#include "rt/log.h"
#include <errno.h>
#include <stdio.h>

/* Both sides have ended: h2_in has forgotten s, so do we. */
static void transport_check_over(struct transport *t, struct rpc_stream *s)
{
    if (s->remote_ended && s->local_told)
        transport_let_go(t, s);
}

/* -- events ---------------------------------------------------------------------------------- */

/* A request that is no gRPC is answered once it is whole: an HTTP client hears an answer then, and
 * what it still does wrong meanwhile is judged as on any other stream. One that is gRPC but
 * malformed waits for nothing. */
static void transport_answer_http(struct rpc_stream *s)
{
    const struct rpc_request_head *q = &s->request;
    bool grpc = q->http_status != 405 && q->http_status != 415;
    if (q->http_status != 200 && !s->sent_head && (grpc || s->remote_ended))
        transport_respond_http(s, q->http_status, q->code, q->http_text);
}

/* ev may tell of all the request's DATA, too, which is not looked at here. NULL: it is refused. */
static struct rpc_stream *transport_on_request(struct transport *t, const struct h2_event *ev)
{
    bool end = ev->end_stream && !ev->len;
    struct head_run *run = ev->run ? t->head_runs[ev->run->slot] : NULL;
    if (unlikely(ev->run && (!run || run->id != ev->run->id)))
        run = headers_learn(t, ev);
    uint16_t memo = run ? run->said.q.memo : 0;
    struct rpc_stream *s = t->ops->new_stream(t, memo ? memo : headers_memo(ev));
    if (!s) {
        h2_in_forget(t->in, ev->id, H2_RESET_PROVOKED);
        transport_effect(
            t, &(struct effect){ .kind = EFFECT_RST, .id = ev->id, .value = H2_REFUSED_STREAM });
        return NULL;
    }
    const struct h2_field *path = NULL;
    if (run)
        run->users++;
    s->run = run;
    s->id = ev->id;
    s->head_seen = true;
    if (unlikely(end)) {
        atomic_store_explicit(&s->remote_ended, true, memory_order_relaxed);
        atomic_store_explicit(&s->end_seen, true, memory_order_relaxed);
    }
    *ev->owner = s;
    s->known = s->counted = true; /* nobody else has heard of it: no need of the lock */
    t->open_streams++;
    bool read = headers_read_request(s, ev, &path);
    if (ev->fields_too_large || !read) {
        struct rpc_response r = {
            .end = true,
            .code = read ? WHY(HEADERS_TOO_LARGE) : WHY(NO_MEMORY),
            .message = sennit_s(read ? "the request's header list is over the limit "
                                       "(max_header_list_size)"
                                     : "no memory for the request"),
        };
        s->failed_in = true;
        transport_respond(s, &r);
        return s;
    }
    t->turn->current = s, t->turn->current_path = path;
    if (s->request.http_status != 200)
        s->failed_in = true;
    else
        t->ops->accept(s);
    t->turn->current = NULL;
    if (end)
        messages_end(s);
    if (unlikely(s->request.http_status != 200))
        transport_answer_http(s);
    return s;
}

void transport_memo(struct rpc_stream *s, uint16_t memo)
{
    const struct turn *turn = s->t->turn;
    if (turn->current == s && turn->current_path)
        h2_in_memo(s->t->in, turn->current_path, memo);
}

static void transport_on_headers(struct transport *t, const struct h2_event *ev)
{
    struct rpc_stream *s = ev->user;
    t->turn->n_heads += ev->kind == H2_EV_HEADERS;
    if (!s)
        return;
    messages_tell(s);
    if (t->server) { /* trailers of a request mean nothing but its end */
        messages_end(s);
        if (!s->failed_in)
            s->ops->request(s);
        transport_answer_http(s);
    } else {
        s->remote_ended = ev->end_stream;
        if (ev->end_stream && (s->part || s->prefix_have) && !s->failed_in)
            stream_finish(s, WHY(FRAMING),
                          sennit_s("unexpected EOF: the stream ended inside a "
                                   "message"));
        headers_read_response(s, ev);
    }
    if (s->remote_ended && !t->server && !s->local_told) {
        /* The server is done before we are: our octets would go unread. */
        transport_effect(t, &(struct effect){ .kind = EFFECT_RST, .s = s, .value = H2_NO_ERROR });
        return;
    }
    transport_check_over(t, s);
}

void transport_on_data(struct transport *t, const struct h2_event *ev)
{
    struct rpc_stream *s = ev->user;
    if (!s)
        return;
    if (ev->len && !s->failed_in)
        messages_data(s, ev->data, ev->len);
    else if (ev->len)
        messages_page(s, ev->data, ev->len);
    if (s->one_in || s->failed_in ||
        ev->credit > ev->len) { /* padding, and what nobody will read */
        uint32_t n = s->one_in || s->failed_in ? ev->credit : ev->credit - (uint32_t)ev->len;
        uint32_t increment = ev->end_stream ? 0 : h2_in_consumed(t->in, s->id, n);
        if (increment)
            transport_effect(
                t,
                &(struct effect){ .kind = EFFECT_WINDOW_UPDATE, .id = s->id, .value = increment });
    }
    if (ev->end_stream) {
        messages_end(s);
        if (t->server && !s->failed_in)
            s->ops->request(s);
        if (t->server)
            transport_answer_http(s);
        transport_check_over(t, s);
    }
}

/* A request with all its DATA, nearly always one message. */
static inline void transport_on_whole(struct transport *t, const struct h2_event *ev)
{
    struct rpc_stream *s = ev->user;
    if (likely(s && messages_request(s, ev->data, ev->len)))
        s->ops->request(s);
    else
        transport_on_data(t, ev);
}

BASE_COLD static void transport_on_reset(struct transport *t, const struct h2_event *ev)
{
    struct rpc_stream *s = ev->user;
    char text[128];
    bool ours = ev->kind == H2_EV_STREAM_ERROR;
    if (ours)
        transport_effect(t,
                         &(struct effect){ .kind = EFFECT_RST, .id = ev->id, .value = ev->code });
    if (!s)
        return;
    messages_tell(s);
    s->peer_reset = true;
    lock_take(&t->lock, LOCK_WRITE); /* before its owner hears of it, who may have an answer */
    s->dead = true;
    h2_out_unlink(&t->out, stream_out(s));
    lock_drop(&t->lock, LOCK_WRITE);
    int n = snprintf(text, sizeof text, "stream terminated by RST_STREAM with error code: %s%s%s",
                     h2_error_name(ev->code), ours && ev->text ? ": " : "",
                     ours && ev->text ? ev->text : "");
    sennit_str message = arena_str(s->arena, text, min_size((size_t)n, sizeof text - 1));
    if (!message.data)
        message = sennit_s("stream terminated by RST_STREAM");
    if (!ours && ev->code == H2_REFUSED_STREAM)
        stream_finish_unprocessed(s, WHY(REFUSED), message);
    else
        stream_finish(s,
                      ours ? WHY(MALFORMED) : WHY_AS(WHY(RESET), status_from_rst(ev->code, false)),
                      message);
    s->remote_ended = true; /* now: a receiver that sees it alone takes the end for a good one */
    transport_let_go(t, s);
}

#define GOAWAY_TEXT 160 /* octets */

BASE_COLD static void transport_on_goaway(struct transport *t, const struct h2_event *ev)
{
    char *text = ev->code != H2_NO_ERROR ? sys.malloc(GOAWAY_TEXT) : NULL;
    if (text)
        snprintf(text, GOAWAY_TEXT, "code: %s, debug data: \"%.*s\"", h2_error_name(ev->code),
                 (int)min_size(ev->len, 100), (const char *)ev->data);
    lock_take(&t->lock, LOCK_WRITE);
    bool first = !t->goaway_came;
    t->too_many_pings = ev->code == H2_ENHANCE_YOUR_CALM && ev->len == 14 &&
                        memcmp(ev->data, "too_many_pings", 14) == 0;
    t->goaway_came = true;
    while (!list_empty(&t->waiting))
        transport_quota_wake(t);
    if (text) {
        char *old = t->goaway_text;
        t->goaway_text = text;
        text = old;
    }
    lock_drop(&t->lock, LOCK_WRITE);
    if (t->goaway_text && t->goaway_text[0])
        log_line(LOG_H2, SENNIT_LOG_INFO, SENNIT_OK, "%s says GOAWAY: %s",
                 t->auth ? t->auth->peer.address : "the peer", t->goaway_text);
    sys.free(text);
    void *user;
    while (h2_in_pop_above(t->in, ev->last_id, &user)) { /* the server never saw these */
        struct rpc_stream *s = user;
        s->peer_reset = true;
        stream_finish_unprocessed(
            s, WHY(GOING_AWAY),
            sennit_s("the connection is going away and did not take this call"));
        transport_let_go(t, s);
    }
    if (first && t->ops->draining)
        t->ops->draining(t);
}

/* Answered in HTTP/1.1, so that people with a browser or curl learn what they met. */
BASE_COLD static void transport_on_http1(struct transport *t)
{
    static const char answer[] =
        "HTTP/1.1 505 HTTP Version Not Supported\r\ncontent-type: text/plain; charset=utf-8\r\n"
        "content-length: 69\r\nconnection: close\r\n\r\n"
        "This is a gRPC server: it speaks HTTP/2 (with prior knowledge) only.\n";
    lock_take(&t->lock, LOCK_WRITE);
    t->out.begun = true; /* not in HTTP/2: what was appended is held back still */
    t->out.len = 0;
    if (transport_room(t, sizeof answer)) {
        memcpy(t->out.buf, answer, sizeof answer - 1);
        t->out.len = sizeof answer - 1;
    }
    t->hold = false;
    t->lingers = true;
    lock_drop(&t->lock, LOCK_WRITE);
    transport_fail(t, WHY(HTTP1), "the peer spoke HTTP/1");
}

BASE_COLD static void transport_on_error(struct transport *t, const struct h2_event *ev)
{
    lock_take(&t->lock, LOCK_WRITE);
    t->hold = false;
    if (transport_room(t, 128))
        h2_out_goaway(&t->out, h2_in_last_id(t->in), ev->code, ev->text ? ev->text : "");
    t->lingers = t->server;
    lock_drop(&t->lock, LOCK_WRITE);
    transport_fail(t, WHY(PROTOCOL), "connection error %s: %s", h2_error_name(ev->code),
                   ev->text ? ev->text : "");
}

BASE_COLD static void transport_on_settings(struct transport *t)
{
    /* At once: what is answered from here on, and the owner's first call, keeps to them. */
    transport_effect(t, &(struct effect){ .kind = EFFECT_SETTINGS });
    transport_apply(t);
    if (t->settled)
        return;
    t->settled = true;
    clock_settled(t);
    if (t->ops->ready)
        t->ops->ready(t);
}

BASE_COLD static void transport_other_event(struct transport *t, const struct h2_event *ev)
{
    struct effect e = { .id = ev->id };
    switch (ev->kind) {
    case H2_EV_RST:
    case H2_EV_STREAM_ERROR:
        transport_on_reset(t, ev);
        break;
    case H2_EV_REFUSED:
        e.kind = EFFECT_RST, e.value = H2_REFUSED_STREAM;
        transport_effect(t, &e);
        break;
    case H2_EV_SETTINGS:
        transport_on_settings(t);
        break;
    case H2_EV_PING:
        e.kind = EFFECT_PING_ACK;
        memcpy(e.opaque, ev->opaque, 8);
        transport_effect(t, &e);
        clock_on_ping(t);
        break;
    case H2_EV_PING_ACK:
        if (h2_in_bdp_ack(t->in, ev->opaque, sennit_now()))
            h2_in_refill(t->in, 1); /* it was ours */
        clock_on_ping_ack(t, ev->opaque);
        break;
    case H2_EV_WINDOW:
        e.kind = EFFECT_WINDOW, e.value = ev->increment, e.s = ev->user;
        transport_effect(t, &e);
        break;
    case H2_EV_GOAWAY:
        transport_on_goaway(t, ev);
        break;
    case H2_EV_HTTP1:
        transport_on_http1(t);
        break;
    case H2_EV_ERROR:
        transport_on_error(t, ev);
        break;
    default:
        break;
    }
}

/* -- the task -------------------------------------------------------------------------------- */

static void transport_parse(struct transport *t, const uint8_t *p, size_t n)
{
    struct h2_event ev;
    size_t used;
    do {
        if (h2_run_likely(p, n))
            used = h2_in_runs(t->in) ? messages_runs(t, p, n) : 0;
        else
            used = t->server ? 0 : answers_take(t, p, n);
        p += used, n -= used;
        used = 0;
        h2_in_next(t->in, p, n, &used, &ev);
        p += used, n -= used;
        if (ev.kind == H2_EV_HEADERS && t->server) {
            used = h2_in_with_data(t->in, p, n, &ev);
            p += used, n -= used;
            t->turn->n_heads++;
            ev.user = transport_on_request(t, &ev);
            if (likely(ev.len))
                transport_on_whole(t, &ev);
        } else if (ev.kind == H2_EV_DATA)
            transport_on_data(t, &ev);
        else if (ev.kind == H2_EV_HEADERS || ev.kind == H2_EV_TRAILERS)
            transport_on_headers(t, &ev);
        else if (ev.kind != H2_EV_NONE)
            transport_other_event(t, &ev);
    } while (n || ev.kind != H2_EV_NONE);
    struct list *filling = &t->turn->filling;
    while (!list_empty(filling))
        messages_tell(container_of(filling->next, struct rpc_msg, filling)->owner);
}

BASE_COLD static void transport_read_failed(struct transport *t, ssize_t got)
{
    if (got == 0)
        transport_fail(t, t->settled ? WHY(LOST) : WHY(NO_PREFACE), "error reading from %s: EOF",
                       t->server ? "client" : "server");
    else
        transport_fail(t, t->settled ? WHY(LOST) : WHY(NO_PREFACE), "error reading from %s: %s",
                       t->server ? "client" : "server",
                       t->io->reason ? t->io->reason : net_errno_text((int)-got));
}

/* The peer does not read what we answer; locked. */
static bool transport_choked(const struct transport *t)
{
    return h2_out_octets(&t->out) > LIMIT_OUT_HIGH_WATER + LIMIT_OUT_CONTROL ||
           (t->put_off >= LIMIT_PUT_OFF && h2_out_octets(&t->out) >= LIMIT_OUT_HIGH_WATER);
}

/* Over, or the peer does not read. */
static bool transport_stalled(struct transport *t)
{
    lock_take(&t->lock, LOCK_WRITE);
    bool stalled = t->close_wanted || transport_choked(t);
    lock_drop(&t->lock, LOCK_WRITE);
    return stalled;
}

/* More is unsent, or waits for windows, than the peer should be owed; locked. */
static bool transport_full(const struct transport *t)
{
    return (h2_out_octets(&t->out) >= LIMIT_OUT_HIGH_WATER || h2_out_shut(&t->out)) &&
           !t->close_wanted;
}

BASE_COLD static bool transport_put_off_if_full(struct transport *t)
{
    lock_take(&t->lock, LOCK_WRITE);
    bool full = transport_full(t);
    t->put_off += full;
    if (t->out.kept < LIMIT_KEPT)
        atomic_store_explicit(&t->tight, false, memory_order_relaxed);
    lock_drop(&t->lock, LOCK_WRITE);
    return full;
}

bool transport_put_off(struct transport *t)
{
    bool may_be = atomic_load_explicit(&t->blocked, memory_order_relaxed) ||
                  atomic_load_explicit(&t->tight, memory_order_relaxed);
    return unlikely(may_be) && transport_put_off_if_full(t);
}

/* The peer reads again or gave window, or the connection is over: what was put off begins. */
void transport_begin_put_off(struct transport *t)
{
    if (likely(!t->put_off))
        return;
    lock_take(&t->lock, LOCK_WRITE);
    bool begin = !transport_full(t);
    if (begin)
        t->put_off = 0;
    lock_drop(&t->lock, LOCK_WRITE);
    if (!begin)
        return;
    t->ops->room(t);
    transport_apply(t); /* the window that was held back */
}

/* What the time gone by gives back; transport_tell does the same for what we sent. */
static void transport_refill(struct transport *t)
{
    int64_t now = t->last_read = sennit_now();
    int64_t due = (now - t->refilled_at) / (SENNIT_SECOND / LIMIT_GLITCH_RATE);
    if (due > 0) {
        t->refilled_at = now;
        h2_in_refill(t->in, (uint32_t)min_size((size_t)due, UINT32_MAX / 2));
    }
}

/* The next recv asks for what about LIMIT_READ_CALLS calls take, by what these n octets held:
 * handlers run after the turn, and ten thousand at once would each find their memory cold. */
static void transport_pace(struct transport *t, size_t n, size_t heads)
{
    size_t size = heads ? n * LIMIT_READ_CALLS / heads : LIMIT_READ_SLAB;
    size_t least = t->io->records ? NET_RECV_MIN : LIMIT_READ_SLAB / 16;
    t->recv_size = (uint32_t)min_size(max_size(size, least), LIMIT_READ_SLAB);
}

/* One turn of reading. True: octets may be left, come again. */
static bool transport_read(struct transport *t, uint8_t *slab)
{
    for (size_t turn = 0; turn < LIMIT_READ_TURN && t->turn->n_heads < LIMIT_READ_CALLS;) {
        size_t heads = t->turn->n_heads;
        ssize_t n = t->io->ops->recv(t->io, slab, t->recv_size ? t->recv_size : LIMIT_READ_SLAB);
        if (n == -EINTR)
            continue;
        if (n == -EAGAIN)
            return false;
        if (n <= 0) {
            transport_read_failed(t, n);
            return false;
        }
        transport_tell(t);
        transport_refill(t);
        clock_read(t);
        if (unlikely(t->n_first < sizeof t->first) && first_is_other(t, slab, (size_t)n))
            return false;
        transport_parse(t, slab, (size_t)n);
        transport_apply(t);
        transport_pace(t, (size_t)n, t->turn->n_heads - heads);
        turn += (size_t)n;
        if (!t->io->more)
            return false;
        if (transport_stalled(t))
            return true;
    }
    return true;
}

/* A peer may take its time between frames, but not within one: what is half read holds memory. */
static void transport_check_slow(struct transport *t)
{
    static const char why[] = "a frame or header block takes too long";
    uint32_t partial = h2_in_partial(t->in);
    if (likely(partial == t->partial)) {
        if (partial && sennit_now() >= t->slow_at)
            transport_on_error(t, &(struct h2_event){ .code = H2_ENHANCE_YOUR_CALM, .text = why });
        return;
    }
    t->partial = partial;
    if (partial)
        clock_slow(t);
}

static void turn_block_fini(void *block)
{
    hpack_scratch_fini(&((struct turn_block *)block)->scratch);
}

static struct pool turn_blocks = { .size = sizeof(struct turn_block),
                                   .most = LIMIT_TURNS_KEPT,
                                   .cleared = offsetof(struct turn_block, effects),
                                   .fini = turn_block_fini };

/* Reads, unless it is over or the peer is owed too much. True: octets may be left. */
static bool transport_turn(struct transport *t)
{
    lock_take(&t->lock, LOCK_WRITE);
    t->reading_paused = transport_choked(t);
    bool reads = !t->close_wanted && !t->reading_paused;
    lock_drop(&t->lock, LOCK_WRITE);
    if (reads && !t->turn->block)
        transport_fail(t, WHY(NO_MEMORY), "no memory to read from the connection");
    return reads && t->turn->block && transport_read(t, t->turn->block->slab);
}

void transport_task(struct rt_task *task)
{
    struct transport *t = container_of(task, struct transport, task);
    struct effect few[4];
    struct turn turn = { .block = pool_take(&turn_blocks), .effects = few, .room = countof(few) };
    if (turn.block)
        turn.effects = turn.block->effects, turn.room = EFFECTS;
    list_init(&turn.filling);
    t->turn = &turn;
    if (unlikely(t->lingering)) {
        transport_linger(t, turn.block ? turn.block->slab : NULL);
        pool_give(&turn_blocks, turn.block);
        return;
    }
    h2_in_lend(t->in, turn.block ? &turn.block->scratch : NULL);
    if (atomic_load_explicit(&t->blocked, memory_order_relaxed))
        transport_flush(t);
    transport_begin_put_off(t);
    bool again = transport_turn(t);
    transport_tell(t);
    transport_apply(t);
    transport_begin_put_off(t);
    transport_check_slow(t);
    clock_step(t);
    if (t->ops->turned)
        t->ops->turned(t);
    h2_in_lend(t->in, NULL);
    lock_take(&t->lock, LOCK_WRITE);
    if (t->write_failed && !again && !t->close_wanted)
        transport_note_end(t, WHY(LOST),
                           t->server ? "error writing to client" : "error writing to server");
    bool over = t->close_wanted;
    if (!over && again)
        transport_wake(t);
    lock_drop(&t->lock, LOCK_WRITE);
    if (over)
        transport_end(t); /* and perhaps free it */
    else
        t->turn = NULL;
    pool_give(&turn_blocks, turn.block);
}
