/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * transport_messages.c: DATA into messages (gRPC "Length-Prefixed-Message"), for both roles; all of
 * it runs in the reader. Octets are copied once, from the read slab into the message's own buffer,
 * so that no string a user keeps pins a slab. A message of one_in streams lies in the call's arena.
 * Those of other streams that lie whole in what was read are copied as they are, as many as there
 * are, into blocks that grow as long as the turn goes on; each is told to the receiver once. The
 * rest, which are cut, compressed or of no use, have a block each. */
#include "base/limits.h"
#include "base/pool.h"
#include "base/sys.h"
#include "rpc/compress.h"
#include "rpc/status.h"
#include "rpc/transport_private.h"

/* Raises the stream's window to the end of its message, within the connection's budget of
 * unfinished octets. Over it the stream waits its turn; one is always granted. */
BASE_COLD static bool messages_grant_now(struct rpc_stream *s)
{
    struct transport *t = s->t;
    size_t rest = s->part->len - s->part_have;
    if (t->unfinished && t->unfinished + rest > LIMIT_UNFINISHED)
        return false;
    uint32_t increment = h2_in_grant(t->in, s->id, (uint32_t)rest);
    s->granted = (uint32_t)rest;
    t->unfinished += rest;
    if (increment)
        transport_effect(
            t, &(struct effect){ .kind = EFFECT_WINDOW_UPDATE, .id = s->id, .value = increment });
    return true;
}

BASE_COLD static void messages_grant(struct rpc_stream *s)
{
    atomic_store_explicit(&s->stuck, false, memory_order_relaxed);
    if (s->remote_ended || s->granted || !list_empty(&s->starved))
        return;
    if (!list_empty(&s->t->starved) || !messages_grant_now(s))
        list_push_back(&s->t->starved, &s->starved);
}

/* The message is whole, or given up: the next ones may have its part of the budget. */
BASE_COLD static void messages_ungrant(struct rpc_stream *s)
{
    struct transport *t = s->t;
    list_remove(&s->starved);
    t->unfinished -= s->granted;
    s->granted = 0;
    while (!list_empty(&t->starved)) {
        struct rpc_stream *next = container_of(t->starved.next, struct rpc_stream, starved);
        if (!messages_grant_now(next))
            return;
        list_remove(&next->starved);
    }
}

BASE_COLD void messages_wanted(struct rpc_stream *s)
{
    if (s->part && atomic_load_explicit(&s->stuck, memory_order_relaxed))
        messages_grant(s);
}

void messages_drop(struct rpc_stream *s)
{
    messages_tell(s);
    if (s->part && !s->one_in)
        sys.free(s->part);
    s->part = NULL;
    if (s->granted || !list_empty(&s->starved))
        messages_ungrant(s);
}

BASE_COLD void messages_fail(struct rpc_stream *s, uint32_t h2_code, sennit_code code,
                             const char *text)
{
    messages_tell(s);
    s->failed_in = true;
    messages_drop(s);
    if (s->t->server) {
        transport_respond(
            s, &(struct rpc_response){ .end = true, .code = code, .message = sennit_s(text) });
        stream_finish(s, code, sennit_s(text));
    } else if (stream_finish(s, code, sennit_s(text)))
        transport_effect(s->t, &(struct effect){ .kind = EFFECT_RST, .s = s, .value = h2_code });
}

static struct rpc_msg *messages_new(struct rpc_stream *s, size_t len)
{
    size_t size = sizeof(struct rpc_msg) + len + 1;
    struct rpc_msg *m = s->one_in ? arena_alloc(s->arena, size) : sys.malloc(sys_size(size));
    if (m)
        *m = (struct rpc_msg){ .len = (uint32_t)len,
                               .compressed = s->prefix[0] == 1,
                               .body = (char *)(m + 1) };
    return m;
}

/* m, whole and of s, goes to the receiver: from now on it is not the reader's. */
static void messages_queue(struct rpc_stream *s, struct rpc_msg *m)
{
    lock_take(&s->lock, LOCK_STREAM);
    bool over = atomic_load_explicit(&s->done, memory_order_relaxed) && !s->t->server;
    if (!over)
        *s->last = m, s->last = &m->next;
    lock_drop(&s->lock, LOCK_STREAM);
    if (s->one_in)
        return;
    if (over)
        rpc_msg_free(m);
    else
        rt_note_set(&s->note);
}

/* -- whole ones ------------------------------------------------------------------------------- */

#define MESSAGES_GROWTH 4u     /* times the block before: what a turn brings is not known */
#define MESSAGES_BLOCK  16384u /* octets of the largest */

void messages_tell(struct rpc_stream *s)
{
    struct rpc_msg *m = s->open;
    if (!m)
        return;
    s->open = NULL;
    list_remove(&m->filling);
    char *octets = (char *)(m + 1);
    octets[m->more] = 0;
    m->next = NULL, m->body = octets, m->len = 0;
    messages_queue(s, m);
}

/* Most streams bring one small message a turn: its block is the next one's. */
#define MESSAGES_SMALL 104u
static struct pool messages_small = { .size = MESSAGES_SMALL, .most = LIMIT_MESSAGES_KEPT };

void rpc_msg_free(struct rpc_msg *m)
{
    if (m->small)
        pool_give(&messages_small, m);
    else
        sys.free(m);
}

void rpc_msg_free_all(struct rpc_msg *first)
{
    for (struct rpc_msg *m = first, *next; m; m = next) {
        next = m->next;
        rpc_msg_free(m);
    }
}

/* Room for n octets, and perhaps for those up to `coming` that follow. */
static struct rpc_msg *messages_open(struct rpc_stream *s, size_t n, size_t coming)
{
    size_t room = s->open ? (size_t)s->open->len * MESSAGES_GROWTH : n;
    messages_tell(s);
    room = max_size(min_size(max_size(room, coming), MESSAGES_BLOCK), n);
    bool small = room < MESSAGES_SMALL - sizeof(struct rpc_msg);
    if (small)
        room = MESSAGES_SMALL - sizeof(struct rpc_msg) - 1;
    struct rpc_msg *m =
        small ? pool_take(&messages_small) : sys.malloc(sys_size(sizeof *m + room + 1));
    if (!m)
        return NULL;
    m->owner = s, m->len = (uint32_t)room, m->more = 0;
    m->holders = 0, m->compressed = false, m->small = small;
    list_push_back(&s->t->turn->filling, &m->filling);
    return s->open = m;
}

/* How many octets from p on are whole messages that need no care. */
static inline size_t messages_whole(const struct rpc_stream *s, const uint8_t *p, size_t len)
{
    size_t n = 0;
    while (len - n >= 5 && p[n] == 0) {
        size_t body = load_be32(p + n + 1);
        if (body > s->max_recv || body > len - n - 5)
            break;
        n += 5 + body;
    }
    return n;
}

/* Takes those at the start of p; how many octets. */
static size_t messages_take_whole(struct rpc_stream *s, const uint8_t *p, size_t len)
{
    size_t n = messages_whole(s, p, len);
    struct rpc_msg *m = s->open;
    if (!n)
        return 0;
    if (!m || m->len - m->more < n)
        m = messages_open(s, n, 0);
    if (!m) {
        messages_fail(s, H2_CANCEL, WHY(NO_MEMORY), "no memory for the message");
        return 0;
    }
    memcpy((char *)(m + 1) + m->more, p, n);
    m->more += (uint32_t)n;
    return n;
}

/* -- one at a time ---------------------------------------------------------------------------- */

/* A message that may be larger than what is left of the window. A unary peer has its length granted
 * at once, as nobody reads before it is whole; a stream's only when its receiver waits for it (see
 * stream_wait_message). */
BASE_COLD static void messages_large(struct rpc_stream *s)
{
    if (s->one_in) {
        messages_grant(s);
        return;
    }
    atomic_store(&s->stuck, true);
    if (atomic_load(&s->wants))
        messages_grant(s);
}

BASE_COLD static void messages_too_large(struct rpc_stream *s, size_t len)
{
    sennit_str message = arena_printf(
        s->arena, "grpc: received message larger than max (%zu vs. %zu)", len, s->max_recv);
    messages_fail(s, H2_CANCEL, WHY(RECV_TOO_LARGE),
                  message.data ? message.data : "grpc: received message larger than max");
}

/* The five octets of prefix are there. */
static void messages_begin(struct rpc_stream *s)
{
    size_t len = load_be32(s->prefix + 1);
    s->prefix_have = 0;
    if (s->prefix[0] > 1)
        messages_fail(s, H2_INTERNAL_ERROR, WHY(FRAMING),
                      "grpc: received unexpected payload format: the compressed-flag is neither 0 "
                      "nor 1");
    else if (s->prefix[0] == 1 && compress_is_identity(s->request.encoding))
        messages_fail(s, H2_INTERNAL_ERROR, WHY(FRAMING),
                      "grpc: compressed flag set with identity or empty encoding");
    else if (len > s->max_recv)
        messages_too_large(s, len);
    else if (s->one_in && s->n_messages > 0)
        messages_fail(s, H2_CANCEL, WHY(CARDINALITY),
                      "cardinality violation: more than one message where one is expected");
    else if (!(s->part = messages_new(s, len)))
        messages_fail(s, H2_CANCEL, WHY(NO_MEMORY), "no memory for the message");
    else if (s->part_have = 0, len > LIMIT_STREAM_WINDOW_LEAST / 2)
        messages_large(s);
}

static void messages_complete(struct rpc_stream *s)
{
    struct rpc_msg *m = s->part;
    s->part = NULL;
    s->n_messages++;
    if (unlikely(m->len > LIMIT_STREAM_WINDOW_LEAST / 2)) {
        atomic_store_explicit(&s->stuck, false, memory_order_relaxed);
        messages_ungrant(s);
    }
    m->body[m->len] = 0;
    messages_tell(s); /* those before it */
    messages_queue(s, m);
}

/* The usual case of one_in: plain, small, and all that p has. NULL: nothing was done. */
static inline struct rpc_msg *messages_only(struct rpc_stream *s, const uint8_t *p, size_t len)
{
    if (unlikely(len < 5 || p[0] != 0))
        return NULL;
    size_t n = load_be32(p + 1);
    if (unlikely(n != len - 5 || n > s->max_recv || n > LIMIT_STREAM_WINDOW_LEAST / 2))
        return NULL;
    struct rpc_msg *m = arena_alloc(s->arena, sizeof *m + n + 1);
    if (unlikely(!m))
        return NULL;
    *m = (struct rpc_msg){ .len = (uint32_t)n, .body = (char *)(m + 1) };
    memcpy(m->body, p + 5, n);
    m->body[n] = 0;
    s->n_messages = 1;
    return m;
}

static inline bool messages_take_only(struct rpc_stream *s, const uint8_t *p, size_t len)
{
    bool first = s->one_in && !s->part && !s->prefix_have && !s->n_messages;
    struct rpc_msg *m = first ? messages_only(s, p, len) : NULL;
    if (m)
        messages_queue(s, m);
    return m != NULL;
}

bool messages_answer(struct rpc_stream *s, const uint8_t *p, size_t len, sennit_code code)
{
    bool first = s->one_in && !s->failed_in && !s->part && !s->prefix_have && !s->n_messages;
    struct rpc_msg *m = likely(first) ? messages_only(s, p, len) : NULL;
    if (unlikely(!m))
        return false;
    atomic_store_explicit(&s->remote_ended, true, memory_order_release);
    stream_finish_with(s, m, code, sennit_s(""), false);
    return true;
}

bool messages_request(struct rpc_stream *s, const uint8_t *p, size_t len)
{
    struct rpc_msg *m = likely(s->one_in && !s->failed_in) ? messages_only(s, p, len) : NULL;
    if (unlikely(!m))
        return false;
    s->first = m, s->last = &m->next; /* nobody else looks there before its handler begins */
    atomic_store_explicit(&s->end_seen, true, memory_order_release);
    atomic_store_explicit(&s->remote_ended, true, memory_order_release);
    return true;
}

void messages_data(struct rpc_stream *s, const uint8_t *p, size_t len)
{
    if (likely(messages_take_only(s, p, len)))
        return;
    while (len && !s->failed_in) {
        if (!s->part && !s->prefix_have && likely(!s->one_in)) {
            size_t n = messages_take_whole(s, p, len);
            p += n, len -= n;
            if (!len || s->failed_in)
                return;
        }
        if (!s->part) {
            size_t n = min_size(len, 5u - s->prefix_have);
            memcpy(s->prefix + s->prefix_have, p, n);
            s->prefix_have = (uint8_t)(s->prefix_have + n);
            p += n, len -= n;
            if (s->prefix_have < 5)
                return;
            messages_begin(s);
            if (!s->part)
                return;
        }
        size_t n = min_size(len, s->part->len - s->part_have);
        memcpy(s->part->body + s->part_have, p, n);
        s->part_have += n, p += n, len -= n;
        if (s->part_have == s->part->len)
            messages_complete(s);
    }
}

BASE_COLD void messages_page(struct rpc_stream *s, const uint8_t *p, size_t len)
{
    struct rpc_page *page = s->page;
    size_t n = page ? min_size(len, sizeof page->body - page->len) : 0;
    if (!n)
        return;
    memcpy(page->body + page->len, p, n);
    page->len += (uint32_t)n;
}

void messages_end(struct rpc_stream *s)
{
    messages_tell(s);
    atomic_store_explicit(&s->end_seen, true, memory_order_release);
    if (!s->t->server) { /* a response ends with trailers, not with DATA */
        if (s->http_status != 200 || s->page || s->failed_in) {
            headers_no_grpc(s);
        } else {
            stream_finish(s, WHY_AS(WHY(NO_STATUS), SENNIT_INTERNAL),
                          sennit_s("server closed the stream without sending trailers"));
        }
        s->remote_ended = true;
        return;
    }
    if (!s->failed_in && (s->part || s->prefix_have))
        messages_fail(s, H2_NO_ERROR, WHY(FRAMING),
                      "unexpected EOF: the stream ended inside a message");
    else if (!s->failed_in && s->one_in && s->n_messages == 0)
        messages_fail(s, H2_NO_ERROR, WHY(CARDINALITY),
                      "cardinality violation: the stream ended without a request message");
    /* now: a receiver that sees it takes the end for a good one */
    atomic_store_explicit(&s->remote_ended, true, memory_order_release);
    if (!s->one_in)
        rt_note_set(&s->note);
}

/* -- runs of frames --------------------------------------------------------------------------- */

/* n octets, `octets` without headers; s is not one_in. How many octets were taken: fewer when s has
 * failed meanwhile. */
static size_t messages_run(struct rpc_stream *s, const uint8_t *p, size_t n, size_t octets)
{
    const uint8_t *at = p, *end = p + n;
    struct rpc_msg *m = s->open;
    bool between = !s->part && !s->prefix_have;
    do {
        uint32_t len;
        const uint8_t *data = h2_run_data(at, &len);
        at = data + len;
        bool whole = between && messages_whole(s, data, len) == len;
        if (likely(whole) && unlikely(!m || m->len - m->more < len))
            m = messages_open(s, len, octets);
        octets -= len;
        if (likely(whole && m)) {
            copy_small((char *)(m + 1) + m->more, data, len);
            m->more += len;
            continue;
        }
        messages_data(s, data, len);
        m = s->open, between = !s->part && !s->prefix_have;
    } while (at < end && likely(!s->failed_in));
    return (size_t)(at - p);
}

/* The same, of any stream, as if h2_in_next told each. */
BASE_COLD static void messages_one_by_one(struct transport *t, const struct h2_run *run,
                                          const uint8_t *p, size_t n)
{
    struct h2_event ev = { .kind = H2_EV_DATA, .id = run->id, .user = run->user };
    for (const uint8_t *end = p + n; p < end; p = ev.data + ev.len) {
        ev.data = h2_run_data(p, &ev.credit);
        ev.len = ev.credit;
        transport_on_data(t, &ev);
    }
}

size_t messages_runs(struct transport *t, const uint8_t *p, size_t n)
{
    size_t all = 0, used;
    struct h2_run run;
    while ((used = h2_in_run(t->in, p + all, n - all, &run)) != 0) {
        struct rpc_stream *s = run.user;
        const uint8_t *from = p + all;
        size_t taken = 0;
        all += used;
        if (likely(s && !s->one_in && !s->failed_in))
            taken = messages_run(s, from, used, run.octets);
        if (unlikely(taken < used))
            messages_one_by_one(t, &run, from + taken, used - taken);
    }
    return all;
}
