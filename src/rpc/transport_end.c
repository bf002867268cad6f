/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * transport_end.c: how a connection ends; all of it runs in the reader's task.
 *
 * Whoever wants the end sets close_wanted under the lock and wakes the task. The task flushes once
 * more, sets closed under the lock, ends the streams, closes the socket, tells the owner and drops
 * its own reference; from then on nobody wakes it.
 *
 * A socket that is closed answers what still comes with a reset, and that takes with it what the
 * peer was sent and has not got: answers, and the GOAWAY that says why. So a server that ends a
 * connection by its own will lingers, between the streams' end and the socket's:
 *   1. what is unsent goes out, as fast as the peer takes it;
 *   2. then it is told that no more comes (FIN, after the alert of TLS);
 *   3. what it sends is dropped, until its end, LIMIT_LINGER octets or LIMIT_LINGER_NS.
 * No goroutine waits for that, and the timer is the connection's. transport_close ends it at once.
 */
#include "base/limits.h"
#include "base/sys.h"
#include "rpc/transport_private.h"
#include "rt/log.h"
#include <errno.h>

/* A regular end is nobody's news, and a client's calls tell why. What a server's person should know
 * and clients can cause at will is told now and then; the rest is for who asks. */
BASE_COLD static void end_log(const struct transport *t)
{
    static _Atomic int64_t last;
    sennit_log_level level = SENNIT_LOG_INFO;
    switch (WHY_NUMBER(t->close_code)) {
    case WHY_NUMBER(WHY_CLOSING):
    case WHY_NUMBER(WHY_STOPPED):
    case WHY_NUMBER(WHY_GOING_AWAY):
    case WHY_NUMBER(WHY_RETIRED):
    case WHY_NUMBER(WHY_LOST):
        level = SENNIT_LOG_DEBUG;
        break;
    case WHY_NUMBER(WHY_WANTS_TLS):
    case WHY_NUMBER(WHY_PINGS):
        if (t->server && log_on(LOG_H2, SENNIT_LOG_WARN) && log_seldom(&last))
            level = SENNIT_LOG_WARN;
        break;
    default:
        break;
    }
    log_line(LOG_H2, level, t->close_code, "connection %s %s ended: %s", t->server ? "from" : "to",
             t->auth ? t->auth->peer.address : "?", t->reason);
}

/* The socket, and all that goes with it. */
BASE_COLD static void end_socket(struct transport *t)
{
    transport_drop_refs(t);
    rt_timer_stop_wait(&t->timer);
    t->io->ops->close(t->io);
    t->io = NULL;
}

BASE_COLD static void end_streams(struct transport *t)
{
    void *user;
    transport_tell(t);
    while (h2_in_pop(t->in, &user)) {
        struct rpc_stream *s = user;
        if (s) {
            stream_finish(s, t->close_code, sennit_s(t->reason));
            transport_let_go(t, s);
        }
    }
    transport_apply(t);
    transport_begin_put_off(t);
    if (t->ops->turned)
        t->ops->turned(t);
}

BASE_COLD static void end_owner(struct transport *t)
{
    t->ops->closed(t, t->reason);
    rt_task_exit(&t->task);
    transport_unref(t);
}

BASE_COLD void transport_end(struct transport *t)
{
    end_log(t);
    transport_stop_flushing(t);
    lock_take(&t->lock, LOCK_WRITE);
    bool lingers = t->lingers && !t->write_failed;
    t->closed = true, t->lingering = lingers;
    while (!list_empty(&t->waiting))
        transport_quota_wake(t);
    lock_drop(&t->lock, LOCK_WRITE);
    if (!lingers)
        end_socket(t);
    end_streams(t);
    if (!lingers) {
        end_owner(t);
        return;
    }
    t->ends_at = sennit_now() + LIMIT_LINGER_NS;
    rt_timer_set(&t->timer, t->ends_at);
    rt_task_wake(&t->task);
    t->turn = NULL;
}

/* True: the peer has ended, or sends more than it can have meant. */
BASE_COLD static bool end_drop(struct transport *t, uint8_t *slab)
{
    for (size_t turn = 0; turn < LIMIT_READ_TURN;) {
        ssize_t n = t->io->ops->recv(t->io, slab, LIMIT_READ_SLAB);
        if (n == -EINTR)
            continue;
        if (n == -EAGAIN)
            return false;
        turn += n > 0 ? (size_t)n : 0;
        t->lingered += n > 0 ? (uint32_t)n : 0;
        if (n <= 0 || t->lingered > LIMIT_LINGER)
            return true;
        if (!t->io->more)
            return false;
    }
    rt_task_wake(&t->task);
    return false;
}

BASE_COLD void transport_linger(struct transport *t, uint8_t *slab)
{
    while (transport_flush_round(t)) {
    }
    if (!t->unsent && !t->finished)
        t->finished = t->io->ops->finish(t->io) == 0;
    bool over = !slab || end_drop(t, slab) || sennit_now() >= t->ends_at;
    lock_take(&t->lock, LOCK_WRITE);
    over = over || !t->lingers || t->write_failed;
    t->lingering = !over;
    lock_drop(&t->lock, LOCK_WRITE);
    t->turn = NULL;
    if (!over)
        return;
    end_socket(t);
    end_owner(t);
}
