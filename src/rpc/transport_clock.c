/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * transport_clock.c: what a connection does because time has passed: the handshake's limit, pings
 * (gRPC A8 and A9) and the judgement of the peer's, the end of idle and of old connections, and the
 * two-step GOAWAY that such an end, or a graceful stop, begins with.
 *
 * One timer serves all of it. It fires as tasks do, anywhere, and only wakes the reader, which owns
 * the state and looks at the clock itself (clock_step); it is set again to whatever comes next, and
 * not moved meanwhile: octets that come only put last_read forward, which the next firing finds. So
 * a busy connection never touches the timer. */
#include "base/limits.h"
#include "base/random.h"
#include "base/sys.h"
#include "rpc/transport_private.h"
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>

#define CLOCK_DRAIN_NS                                                                             \
    (5 * SENNIT_SECOND) /* wait for the answer between the GOAWAYs, as grpc-go                     \
                         */
#define CLOCK_QUIET_NS (7200 * SENNIT_SECOND)     /* between pings of a peer without streams */
#define CLOCK_REST_NS  (250 * SENNIT_MILLISECOND) /* without a word from the peer: idle */
#define CLOCK_STRIKES  2

static const uint8_t clock_drain_ping[8] = { 's', 'e', 'n', 'n', 'i', 't', 0, 1 };
static const uint8_t clock_keepalive_ping[8] = { 's', 'e', 'n', 'n', 'i', 't', 0, 3 };

static void clock_fired(struct rt_timer *timer)
{
    struct transport *t = container_of(timer, struct transport, timer);
    lock_take(&t->lock, LOCK_WRITE);
    t->timer_fired = true;
    transport_wake(t);
    lock_drop(&t->lock, LOCK_WRITE);
}

/* +-10 %, so that connections that began together do not end together. */
static int64_t clock_jitter(sennit_duration age)
{
    return age - age / 10 + (int64_t)(random_u32() / 4294967296.0 * 2 * (double)(age / 10));
}

static void clock_set(struct transport *t, int64_t at)
{
    t->timer_at = at;
    if (at != INT64_MAX)
        rt_timer_set(&t->timer, at);
}

static void clock_user_timeout(struct transport *t)
{
    unsigned ms = (unsigned)min_size((size_t)(t->clock->timeout / SENNIT_MILLISECOND), 1u << 30);
    if (t->clock->time && t->io->fd) /* gRPC A18; not for unix sockets, which refuse it */
        sys.setsockopt(rt_fd_number(t->io->fd), IPPROTO_TCP, TCP_USER_TIMEOUT, &ms, sizeof ms);
}

void clock_init(struct transport *t, const struct transport_config *c)
{
    int64_t now = sennit_now();
    t->clock = c->clock;
    t->last_read = t->idle_since = t->refilled_at = now;
    if (t->clock->max_age)
        t->ends_at = now + clock_jitter(t->clock->max_age);
    else
        t->ends_at = INT64_MAX;
    t->handshake_ends = c->handshake_timeout > 0 ? now + c->handshake_timeout : INT64_MAX;
    rt_timer_init(&t->timer, clock_fired);
    clock_user_timeout(t);
    clock_set(t, t->handshake_ends);
}

/* A busy connection's timer fires some times a second for this, an idle one's not at all. The turn
 * that it makes also lets go of streams whose end nobody has told h2_in of yet. */
void clock_read(struct transport *t)
{
    if (likely(t->rest_at))
        return;
    t->rest_at = t->last_read + CLOCK_REST_NS;
    if (t->rest_at < t->timer_at)
        clock_set(t, t->rest_at);
}

/* When to look again. */
static int64_t clock_rest(struct transport *t, int64_t now)
{
    if (!t->rest_at)
        return INT64_MAX;
    t->rest_at = t->last_read + CLOCK_REST_NS;
    if (now < t->rest_at)
        return t->rest_at;
    t->rest_at = 0;
    transport_rest(t);
    return INT64_MAX;
}

/* A frame is half read. */
void clock_slow(struct transport *t)
{
    t->slow_at = sennit_now() + LIMIT_SLOW_NS;
    if (t->slow_at < t->timer_at)
        clock_set(t, t->slow_at);
}

/* The peer's SETTINGS have come. */
void clock_settled(struct transport *t)
{
    t->handshake_ends = INT64_MAX;
    t->clock_due = true;
}

/* -- pings ------------------------------------------------------------------------------------ */

/* When to look again; the ping is sent, or its answer missed, here. */
static int64_t clock_keepalive(struct transport *t, int64_t now)
{
    const struct transport_clock *c = t->clock;
    if (!c->time || !t->settled)
        return INT64_MAX;
    lock_take(&t->lock, LOCK_WRITE);
    t->dormant = !t->server && !c->without_calls && t->open_streams == 0;
    bool dormant = t->dormant;
    lock_drop(&t->lock, LOCK_WRITE);
    if (t->ping_at && t->last_read > t->ping_at)
        t->ping_at = 0; /* anything that comes is an answer */
    if (t->ping_at && now >= t->ping_at + c->timeout) {
        transport_fail(t, WHY(KEEPALIVE), "keepalive ping failed to receive ACK within timeout");
        return INT64_MAX;
    }
    int64_t again =
        c->time < c->timeout ? c->time : c->timeout; /* an answer may have come by then */
    if (t->ping_at && now + again < t->ping_at + c->timeout)
        return now + again;
    if (t->ping_at)
        return t->ping_at + c->timeout;
    if (dormant)
        return INT64_MAX; /* the next stream wakes us, and may find that a ping is due */
    if (now < t->last_read + c->time)
        return t->last_read + c->time;
    lock_take(&t->lock, LOCK_WRITE);
    if (!t->closed && transport_room(t, 32)) {
        h2_out_ping(&t->out, clock_keepalive_ping, false);
        t->ping_at = now;
    }
    lock_drop(&t->lock, LOCK_WRITE);
    transport_dirty(t);
    return now + again;
}

/* Strikes as grpc-go counts them: pings closer together than permitted, without that we sent
 * HEADERS or DATA in between. */
void clock_on_ping(struct transport *t)
{
    const struct transport_clock *c = t->clock;
    int64_t now = t->last_read, last = t->pinged_at; /* a flood is not worth a clock's look each */
    if (!t->server || !c->min_time)
        return;
    lock_take(&t->lock, LOCK_WRITE);
    bool answered = t->out.answered, quiet = t->open_streams == 0 && !c->permit_without_calls;
    bool over = t->close_wanted; /* and said: more of them may have come in the same read */
    t->out.answered = false;
    lock_drop(&t->lock, LOCK_WRITE);
    if (over)
        return;
    t->pinged_at = now;
    if (answered || !last) {
        t->strikes = 0;
        return;
    }
    if (now - last >= (quiet ? CLOCK_QUIET_NS : c->min_time) || ++t->strikes <= CLOCK_STRIKES)
        return;
    lock_take(&t->lock, LOCK_WRITE);
    if (transport_room(t, 64))
        h2_out_goaway(&t->out, h2_in_last_id(t->in), H2_ENHANCE_YOUR_CALM, "too_many_pings");
    t->lingers = true;
    lock_drop(&t->lock, LOCK_WRITE);
    transport_fail(t, WHY(PINGS), "the client sent too many pings");
}

bool transport_pinged_too_much(const struct transport *t) { return t->too_many_pings; }

void clock_on_ping_ack(struct transport *t, const uint8_t opaque[8])
{
    t->drain_acked |= memcmp(opaque, clock_drain_ping, 8) == 0;
}

/* -- the end by age, by idleness, by stop ------------------------------------------------------ */

/* Server. When to look again. */
static int64_t clock_end(struct transport *t, int64_t now)
{
    const struct transport_clock *c = t->clock;
    int64_t next = t->ends_at;
    lock_take(&t->lock, LOCK_WRITE);
    bool idle = c->max_idle && t->open_streams == 0 && t->drain == DRAIN_NONE;
    int64_t idle_ends = idle ? t->idle_since + c->max_idle : INT64_MAX;
    if (now >= t->ends_at && t->drain == DRAIN_NONE) {
        t->drain = DRAIN_WANTED, t->drain_text = "max_age";
        t->ends_at = c->max_age_grace ? now + c->max_age_grace : INT64_MAX;
        next = t->ends_at;
    } else if (now >= t->ends_at) {
        t->ends_at = next = INT64_MAX;
        transport_note_end(t, WHY(RETIRED), "max_connection_age_grace has passed");
    } else if (now >= idle_ends) {
        t->drain = DRAIN_WANTED, t->drain_text = "max_idle";
    } else if (idle_ends < next) {
        next = idle_ends;
    }
    lock_drop(&t->lock, LOCK_WRITE);
    return next;
}

/* Locked. The GOAWAYs, and the close when the last stream has ended. When to look again. */
static int64_t clock_drain_locked(struct transport *t, int64_t now)
{
    if (t->drain == DRAIN_NONE) {
        if (t->goaway_came && t->open_streams == 0 && !t->close_wanted) {
            transport_note_end(t, WHY(GOING_AWAY), ""); /* client: nobody will use it again */
        }
        return INT64_MAX;
    }
    const char *text = t->drain_text ? t->drain_text : "graceful_stop";
    if (t->drain == DRAIN_WANTED && t->settled && transport_room(t, 128)) {
        h2_out_goaway(&t->out, 0x7fffffff, H2_NO_ERROR, text);
        h2_out_ping(&t->out, clock_drain_ping, false);
        t->drain = DRAIN_PINGED;
        t->drain_ends = now + CLOCK_DRAIN_NS;
    } else if (t->drain == DRAIN_PINGED && (t->drain_acked || now >= t->drain_ends) &&
               transport_room(t, 64)) {
        h2_in_drain(t->in);
        h2_out_goaway(&t->out, h2_in_last_id(t->in), H2_NO_ERROR, text);
        t->drain = DRAIN_FINAL;
    }
    bool over = t->drain == DRAIN_FINAL || (t->drain == DRAIN_WANTED && !t->settled);
    if (over && t->open_streams == 0 && !t->close_wanted) {
        t->lingers = t->settled;
        transport_note_end(t, WHY(STOPPED), "the server is shutting down");
    }
    return t->drain == DRAIN_PINGED ? t->drain_ends : INT64_MAX;
}

/* (task) At the end of each turn. */
void clock_step(struct transport *t)
{
    lock_take(&t->lock, LOCK_WRITE);
    bool fired = t->timer_fired, draining = t->drain != DRAIN_NONE || t->goaway_came;
    t->timer_fired = false;
    lock_drop(&t->lock, LOCK_WRITE);
    if (!fired && !t->clock_due && !draining)
        return;
    int64_t now = sennit_now(), next = t->handshake_ends, other;
    t->clock_due = false;
    if (now >= t->handshake_ends)
        transport_fail(t, WHY(NO_PREFACE), "no HTTP/2 preface and SETTINGS from the peer in time");
    other = clock_keepalive(t, now);
    next = other < next ? other : next;
    other = t->server ? clock_end(t, now) : INT64_MAX;
    next = other < next ? other : next;
    lock_take(&t->lock, LOCK_WRITE);
    other = clock_drain_locked(t, now);
    lock_drop(&t->lock, LOCK_WRITE);
    next = other < next ? other : next;
    other = clock_rest(t, now);
    next = other < next ? other : next;
    if (t->partial && t->slow_at < next)
        next = t->slow_at;
    clock_set(t, next);
    if (draining)
        transport_dirty(t);
}
