/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * transport_news.c: what the reader and those who send tell each other; all of it runs in the
 * reader. What h2_in saw is collected as effects and applied to h2_out in one locked section per
 * batch; what goroutines did meanwhile (`changed`) is told to h2_in. A request that came whole and
 * was answered, as nearly all are, goes with that news; a call whose answer came whole with those
 * of its batch; every other stream goes as an effect. */
#include "base/limits.h"
#include "rpc/transport_private.h"

/* -- effects --------------------------------------------------------------------------------- */

void transport_effect(struct transport *t, const struct effect *e)
{
    struct turn *turn = t->turn;
    if (turn->n_effects == turn->room)
        transport_apply(t);
    turn->effects[turn->n_effects++] = *e;
}

/* The last one, for now; locked. */
BASE_COLD static void transport_idle(struct transport *t)
{
    t->idle_since = sennit_now();
    t->clock_due = true;
}

/* h2_in lets go of s, which is in no list of news: unlinks it; locked. */
static inline void transport_gone(struct transport *t, struct rpc_stream *s)
{
    if (unlikely(stream_out(s)->id && !stream_out(s)->local_closed)) /* else it is in no list */
        h2_out_unlink(&t->out, stream_out(s));
    s->changes = 0;
    s->known = false;
    s->dead = true;
    if (!s->counted)
        return;
    s->counted = false;
    if (unlikely(--t->open_streams == 0) && t->clock->max_idle)
        transport_idle(t);
    if (unlikely(!list_empty(&t->waiting)))
        transport_quota_wake(t);
}

/* Of the connection, or of all streams by SETTINGS: a connection error. Locked. */
BASE_COLD static void transport_window_overflow(struct transport *t)
{
    transport_note_end(t, WHY(PROTOCOL),
                       "connection error FLOW_CONTROL_ERROR: the peer overflowed its window");
    h2_out_goaway(&t->out, h2_in_last_id(t->in), H2_FLOW_CONTROL_ERROR, "window overflow");
    t->lingers = t->server;
}

static void transport_apply_window(struct transport *t, const struct effect *e)
{
    if (e->id == 0) {
        if (!h2_out_window(&t->out, NULL, e->value))
            transport_window_overflow(t);
    } else if (e->s && e->s->known && !h2_out_window(&t->out, transport_out(e->s), e->value)) {
        h2_out_rst(&t->out, stream_out(e->s), H2_FLOW_CONTROL_ERROR);
        transport_changed(t, e->s, STREAM_RESET);
        e->s->local_ended = e->s->failed_in = e->s->overflowed = true;
    }
}

static void transport_apply_one(struct transport *t, const struct effect *e)
{
    switch (e->kind) {
    case EFFECT_SETTINGS:
        if (!h2_out_settings(&t->out, h2_in_peer(t->in)))
            transport_window_overflow(t);
        t->hold = false;
        for (struct list *n = t->waiting.next; n != &t->waiting; n = t->waiting.next) {
            if (t->open_streams >= t->out.peer.max_concurrent_streams)
                break;
            transport_quota_wake(t);
        }
        break;
    case EFFECT_PING_ACK:
        h2_out_ping(&t->out, e->opaque, true);
        break;
    case EFFECT_WINDOW:
        transport_apply_window(t, e);
        break;
    case EFFECT_WINDOW_UPDATE:
        h2_out_window_update(&t->out, e->id, e->value);
        break;
    case EFFECT_RST:
        if (!e->s) {
            h2_out_rst_id(&t->out, e->id, e->value);
        } else if (e->s->known && !transport_out(e->s)->local_closed) {
            h2_out_rst(&t->out, stream_out(e->s), e->value);
            e->s->local_ended = true;
            transport_changed(t, e->s, STREAM_RESET);
        }
        break;
    case EFFECT_GONE:
        list_remove(&e->s->changed);
        transport_gone(t, e->s);
        rt_note_set(&e->s->drained);
        break;
    }
}

void transport_apply(struct transport *t)
{
    struct rpc_stream *gone[EFFECTS];
    struct turn *turn = t->turn;
    size_t n_gone = 0, n = turn->n_effects;
    /* While requests are put off the peer may send the rest of its window, and no more. */
    uint32_t credit = unlikely(t->put_off) ? 0 : h2_in_connection_credit(t->in);
    bool bdp = h2_in_bdp_due(t->in); /* with the WINDOW_UPDATE that is among the effects */
    struct rpc_stream *answered = turn->gone;
    if (n == 0 && credit == 0 && !answered)
        return;
    turn->gone = NULL;
    turn->n_effects = 0;
    size_t frames = (credit != 0) + bdp;
    for (size_t i = 0; i < n; i++)
        frames += turn->effects[i].kind != EFFECT_GONE;
    lock_take(&t->lock, LOCK_WRITE);
    if (frames && !transport_room(t, frames * 64 + 1280) && !t->close_wanted)
        transport_note_end(t, WHY(NO_MEMORY), "no memory for the connection's control frames");
    for (size_t i = 0; i < n; i++) {
        const struct effect *e = &turn->effects[i];
        if (!t->close_wanted || e->kind == EFFECT_GONE)
            transport_apply_one(t, e);
        if (e->kind == EFFECT_GONE)
            gone[n_gone++] = e->s;
    }
    for (struct rpc_stream *s = answered; s; s = s->next_gone) {
        if (unlikely(s->changes))
            list_remove(&s->changed);
        transport_gone(t, s);
        if (unlikely(s->body_waits))
            rt_note_set(&s->drained);
    }
    if (credit && !t->close_wanted)
        h2_out_window_update(&t->out, 0, credit);
    if (bdp && !t->close_wanted) {
        h2_in_bdp_sent(t->in, sennit_now());
        h2_out_ping(&t->out, h2_bdp_opaque, false);
    }
    lock_drop(&t->lock, LOCK_WRITE);
    for (size_t i = 0; i < n_gone; i++)
        stream_unref_known(gone[i]);
    for (struct rpc_stream *s = answered, *next; s; s = next) {
        next = s->next_gone;
        stream_unref(s);
    }
    if (frames)
        transport_dirty(t);
}

void transport_let_go(struct transport *t, struct rpc_stream *s)
{
    messages_drop(s);
    transport_effect(t, &(struct effect){ .kind = EFFECT_GONE, .s = s });
}

/* -- news from goroutines -------------------------------------------------------------------- */

/* False: no memory. */
static bool transport_tell_one(struct transport *t, struct rpc_stream *s, uint8_t changes,
                               uint32_t consumed)
{
    if (changes & STREAM_OPENED) {
        s->local_told = (changes & STREAM_LOCAL_END) != 0;
        if (h2_in_opened(t->in, s->id, s, s->local_told) < 0) {
            s->remote_ended = s->local_told = true; /* let go below; the owner hears of it */
            stream_finish(s, WHY(NO_MEMORY), sennit_s("no memory for the stream"));
            transport_effect(t, &(struct effect){ .kind = EFFECT_RST, .s = s, .value = H2_CANCEL });
            transport_let_go(t, s);
            return false;
        }
    }
    if (changes & STREAM_RESET) {
        /* Nearly always told already; not for what the peer's window updates made us reset. */
        stream_finish(s, WHY(MALFORMED),
                      sennit_s("the stream was reset: the peer overflowed its "
                               "flow-control window"));
        h2_in_forget(t->in, s->id,
                     s->overflowed               ? H2_RESET_PROVOKED
                     : t->server && s->failed_in ? H2_RESET_ANSWERED
                                                 : H2_RESET_OURS);
        transport_let_go(t, s);
        return true;
    }
    if ((changes & STREAM_LOCAL_END) && !s->local_told) {
        s->local_told = true;
        if (h2_in_local_end(t->in, s->id)) {
            transport_let_go(t, s);
            return true;
        }
    }
    if (changes & STREAM_DRAINED)
        transport_end_left(s);
    if (changes & STREAM_CONSUMED) {
        uint32_t increment = h2_in_consumed(t->in, s->id, consumed);
        if (increment)
            transport_effect(
                t,
                &(struct effect){ .kind = EFFECT_WINDOW_UPDATE, .id = s->id, .value = increment });
    }
    if (changes & STREAM_WANTED)
        messages_wanted(s);
    return true;
}

/* A request that had come whole is answered: nothing else is left of it. */
static inline bool transport_answered(const struct transport *t, const struct rpc_stream *s)
{
    return t->server && s->changes == STREAM_LOCAL_END && !s->local_told && !s->body_waits &&
           atomic_load_explicit(&s->remote_ended, memory_order_relaxed);
}

static inline void transport_drop(struct rpc_stream *s)
{
    s->local_told = true;
    if (unlikely(s->part || s->open || s->granted || !list_empty(&s->starved)))
        messages_drop(s);
    stream_unref_known(s);
}

#define TOLD_AT_ONCE 32

struct news {
    size_t n, n_over;
    struct {
        struct rpc_stream *s;
        uint32_t consumed;
        uint8_t changes; /* 0: s is over */
    } of[TOLD_AT_ONCE];
    uint32_t over[TOLD_AT_ONCE]; /* ids */
};

/* Locked. */
static inline void transport_news(struct transport *t, struct news *news)
{
    size_t n = 0, over = 0;
    struct list *node = t->changed.next;
    for (; n < TOLD_AT_ONCE && node != &t->changed; n++) {
        struct rpc_stream *s = container_of(node, struct rpc_stream, changed);
        node = node->next;
        list_init(&s->changed);
        news->of[n].s = s;
        if (likely(transport_answered(t, s))) {
            transport_gone(t, s);
            news->of[n].changes = 0;
            news->over[over++] = s->id;
            continue;
        }
        news->of[n].changes = s->changes, news->of[n].consumed = s->consumed;
        s->changes = 0, s->consumed = 0;
    }
    t->changed.next = node, node->prev = &t->changed;
    news->n = n, news->n_over = over;
}

void transport_tell(struct transport *t)
{
    struct news news;
    do {
        lock_take(&t->lock, LOCK_WRITE);
        uint32_t earned = t->out.earned;
        t->out.earned = 0;
        transport_news(t, &news);
        lock_drop(&t->lock, LOCK_WRITE);
        h2_in_earned(t->in, earned);
        h2_in_local_ends(t->in, news.over, news.n_over);
        for (size_t i = 0; i < news.n; i++) {
            if (likely(news.of[i].changes == 0))
                transport_drop(news.of[i].s);
            else
                transport_tell_one(t, news.of[i].s, news.of[i].changes, news.of[i].consumed);
        }
    } while (news.n == TOLD_AT_ONCE);
}
