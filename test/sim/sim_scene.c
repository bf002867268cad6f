/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * sim_scene.c: what is played: a server with all four kinds of method and clients that call,
 * cancel, set deadlines and walk away, while the network and the machine fail; the server may be
 * stopped under them and come back. Then all faults stop, and everything must work again.
 *
 * The oracle: an RPC ends with the right answer or with a status that its circumstances allow, and
 * ends at all (each has a deadline); when the faults are over the next RPC succeeds on each old
 * connection and on a new one; nothing is left at the end (sim.c). */
#include "base/arena.h"
#include "rt/ctx.h"
#include "sim.h"
#include "unit/rpc/echo.h"
#include <stdlib.h>

enum { SCENE_CONNS = 3, SCENE_CLIENTS = 8, SCENE_WAIT = 300 };

static struct scene {
    sennit_server *server;
    char address[64];
    sennit_conn *conn[SCENE_CONNS];
    int n_conns;
    bool stops; /* the server is stopped and started again in this seed */
    sennit_wait_group clients, serving;
    const char *doing;
    sennit_mutex mutex; /* guards inside */
    int inside;
    int rpcs, good;
} scene;

const char *scene_doing(void) { return scene.doing ? scene.doing : "starting"; }

/* -- the service ----------------------------------------------------------------------------- */

static void scene_pause(sennit_ctx *ctx, uint32_t of_100, uint32_t ms)
{
    if (sim_random(100) < of_100) {
        int64_t end = sennit_now() + 1 + sim_random(ms * 1000000);
        if (!sennit_sleep(ctx, end - sennit_now()) && sennit_now() < end)
            sim_fail("a timer came early");
    } else if (sim_random(3) == 0) {
        sennit_yield();
    }
}

static sennit_err scene_block(void *arg)
{
    (void)arg;
    return sennit_sleep(NULL, 1 + sim_random(3000000));
}

static sennit_err serve_unary(void *self, sennit_ctx *ctx, const struct echo_msg *q,
                              struct echo_msg *r)
{
    (void)self;
    scene_pause(ctx, 30, 50);
    if (sim_random(16) == 0)
        (void)sennit_blocking(ctx, scene_block, NULL);
    r->text = q->text;
    r->number = q->number + 1;
    if (q->number % 16 == 7)
        return sennit_errorf(SENNIT_ABORTED, "as asked");
    return NULL;
}

static sennit_err serve_list(void *self, sennit_ctx *ctx, const struct echo_msg *q,
                             sennit_stream *s)
{
    (void)self;
    for (int64_t i = 0; i < q->number; i++) {
        struct echo_msg m = { .text = q->text, .number = i };
        sennit_err err = sennit_send(s, &m);
        if (err)
            return err;
        scene_pause(ctx, 10, 5);
    }
    return NULL;
}

static sennit_err serve_collect(void *self, sennit_ctx *ctx, sennit_stream *s, struct echo_msg *r)
{
    const struct echo_msg *m;
    (void)self;
    while ((m = sennit_recv(s)) != NULL) {
        if (m->number != r->number)
            sim_fail("collect: message %lld came as the %lldth", (long long)m->number,
                     (long long)r->number);
        r->number++;
        scene_pause(ctx, 10, 5);
    }
    return sennit_stream_error(s);
}

static sennit_err serve_chat(void *self, sennit_ctx *ctx, sennit_stream *s)
{
    const struct echo_msg *m;
    (void)self;
    while ((m = sennit_recv(s)) != NULL) {
        struct echo_msg back = { .text = m->text, .number = m->number };
        sennit_err err = sennit_send(s, &back);
        if (err)
            return err;
        scene_pause(ctx, 10, 5);
    }
    return sennit_stream_error(s);
}

static const struct echo_service scene_service = { serve_unary, serve_list, serve_collect,
                                                   serve_chat };

static void scene_serve(void *server)
{
    sennit_err err = sennit_serve(server);
    if (err && !sim.o.no_memory && !sim.o.no_descriptor && !scene.stops)
        sim_fail("serve: %s", err->message);
    sennit_wait_group_done(&scene.serving);
}

/* Now and then so small that it must be given back many times. */
static size_t scene_window(void) { return sim_random(3) ? 0 : 65535; }

/* Without faults: a machine that cannot start a server is no matter here. */
static void scene_start_server(const char *address)
{
    sennit_server_options o = { .creds = sennit_insecure(),
                                .small_stacks = sim_random(2),
                                .pin = sim_random(2),
                                .initial_conn_window_size = scene_window() };
    bool faults = sim.faults;
    sim.faults = false;
    if (sim_random(2))
        o.max_concurrent_streams = 1 + sim_random(6);
    scene.server = sennit_server_new(&o);
    sennit_err err = sennit_register(scene.server, &echo_service_desc, &scene_service, NULL);
    if (!err)
        err = sennit_listen(scene.server, address);
    snprintf(scene.address, sizeof scene.address, "%s", sennit_bound_address(scene.server, 0));
    sennit_wait_group_add(&scene.serving, 1);
    if (!err)
        err = sennit_go(scene_serve, scene.server);
    if (err)
        sim_fail("cannot start the server: %s", err->message);
    sim.faults = faults;
}

static void scene_stop_server(sennit_duration grace)
{
    sennit_server_stop(scene.server, grace);
    (void)sennit_wait_group_wait(&scene.serving, NULL);
    sennit_server_free(scene.server);
    scene.server = NULL;
}

/* -- one RPC --------------------------------------------------------------------------------- */

struct rpc {
    sennit_ctx *ctx;
    sennit_conn *conn;
    bool cancelled, hurried, asked_error, abandoned;
    char *text;
    size_t len;
    sennit_wait_group others;
    _Atomic bool left; /* who waited in ctx */
};

/* What may come out of it beside the right answer. */
static void rpc_judge(const struct rpc *r, sennit_err err, const char *kind)
{
    const struct sim_options *o = &sim.o;
    scene.rpcs++;
    scene.good += !err;
    if (!err) {
        if (r->asked_error)
            sim_fail("%s: OK instead of the handler's error", kind);
        return;
    }
    bool broken = o->reset || o->half_close || o->stall || o->refuse || o->no_memory ||
                  o->no_descriptor || scene.stops;
    bool fine =
        (err->code == SENNIT_CANCELLED && (r->cancelled || scene.stops || o->no_memory)) ||
        (err->code == SENNIT_DEADLINE_EXCEEDED && (r->hurried || broken)) ||
        (err->code == SENNIT_ABORTED && r->asked_error) ||
        (err->code == SENNIT_UNAVAILABLE && broken) ||
        /* At the limit while cancelled handlers still run: refused, repeated, and refused again. */
        (err->code == SENNIT_UNAVAILABLE && (strstr(err->message, "REFUSED_STREAM") ||
                                             strstr(err->message, "server refused the call"))) ||
        ((err->code == SENNIT_RESOURCE_EXHAUSTED || err->code == SENNIT_INTERNAL) && o->no_memory);
    if (!fine)
        sim_fail("%s: unexpected status %d: %s", kind, (int)err->code, err->message);
}

/* A send that fails without the stream's failing: that message alone had no memory. It may still
 * come, when the attempt is repeated (client/stream.c keeps it before it is sent). */
static void rpc_sent(const char *kind, int64_t sent, int64_t n, int64_t came)
{
    bool fine = came == sent && sent == n;
    if (!fine && !(sim.o.no_memory && sent < n && (came == sent || came == sent + 1)))
        sim_fail("%s: OK, but of %lld messages %lld were sent and %lld came", kind, (long long)n,
                 (long long)sent, (long long)came);
}

static void rpc_text(const struct rpc *r, const struct echo_msg *m, const char *kind)
{
    if (m->text.len != r->len || memcmp(m->text.data, r->text, r->len) != 0)
        sim_fail("%s: another text came back (%zu octets, not %zu)", kind, m->text.len, r->len);
}

static void rpc_unary(struct rpc *r)
{
    struct echo_msg q = { .text = { r->text, r->len }, .number = sim_random(32) }, reply;
    r->asked_error = q.number % 16 == 7;
    sennit_err err = sennit_call(r->conn, r->ctx, &echo_methods[0], &q, &reply, NULL, 0);
    rpc_judge(r, err, "unary");
    if (err)
        return;
    rpc_text(r, &reply, "unary");
    if (reply.number != q.number + 1)
        sim_fail("unary: another number came back");
}

static void rpc_list(struct rpc *r)
{
    struct echo_msg q = { .text = { r->text, r->len % 3000 }, .number = sim_random(12) };
    sennit_stream *s = sennit_start(r->conn, r->ctx, &echo_methods[1], &q, NULL, 0);
    const struct echo_msg *m;
    int64_t n = 0;
    r->len = q.text.len;
    while ((m = sennit_recv(s)) != NULL) {
        if (m->number != n++)
            sim_fail("list: message %lld came as the %lldth", (long long)m->number,
                     (long long)n - 1);
        rpc_text(r, m, "list");
        if (sim_random(40) == 0) {
            r->abandoned = true;
            return; /* its context ends it */
        }
        scene_pause(r->ctx, 10, 10);
    }
    sennit_err err = sennit_finish(s, NULL);
    if (!err && n != q.number)
        sim_fail("list: %lld messages instead of %lld, and OK", (long long)n, (long long)q.number);
    rpc_judge(r, err, "list");
}

static void rpc_collect(struct rpc *r)
{
    struct echo_msg reply;
    sennit_stream *s = sennit_start(r->conn, r->ctx, &echo_methods[2], NULL, NULL, 0);
    int64_t n = sim_random(12), sent = 0;
    r->len = r->len % 3000;
    for (; sent < n; sent++) {
        struct echo_msg m = { .text = { r->text, r->len }, .number = sent };
        if (sennit_send(s, &m))
            break;
        scene_pause(r->ctx, 10, 10);
    }
    sennit_err err = sennit_finish(s, &reply);
    if (!err)
        rpc_sent("collect", sent, n, reply.number);
    rpc_judge(r, err, "collect");
}

struct chat {
    struct rpc *rpc;
    sennit_stream *stream;
    int64_t n, sent;
};

static void chat_send(void *arg)
{
    struct chat *c = arg;
    for (; c->sent < c->n; c->sent++) {
        struct echo_msg m = { .text = { c->rpc->text, c->rpc->len }, .number = c->sent };
        if (sennit_send(c->stream, &m))
            break;
        scene_pause(c->rpc->ctx, 20, 10);
    }
    (void)sennit_close_send(c->stream);
    sennit_wait_group_done(&c->rpc->others);
}

static void rpc_chat(struct rpc *r)
{
    struct chat c = { r, sennit_start(r->conn, r->ctx, &echo_methods[3], NULL, NULL, 0),
                      sim_random(12), 0 };
    const struct echo_msg *m;
    int64_t n = 0;
    r->len = r->len % 3000;
    sennit_wait_group_add(&r->others, 1);
    if (sennit_go(chat_send, &c))
        chat_send(&c);
    while ((m = sennit_recv(c.stream)) != NULL) {
        if (m->number != n++)
            sim_fail("chat: message %lld came as the %lldth", (long long)m->number,
                     (long long)n - 1);
        rpc_text(r, m, "chat");
    }
    (void)sennit_wait_group_wait(&r->others, NULL);
    sennit_err err = sennit_finish(c.stream, NULL);
    if (!err)
        rpc_sent("chat", c.sent, c.n, n);
    rpc_judge(r, err, "chat");
}

static void rpc_cancel_soon(void *arg)
{
    struct rpc *r = arg;
    (void)sennit_sleep(NULL, 1 + sim_random(60000000));
    sennit_ctx_cancel(r->ctx);
    sennit_wait_group_done(&r->others);
}

/* Freed while another goroutine waits in it, a context ends that wait first. */
static void rpc_stay(void *arg)
{
    struct rpc *r = arg;
    (void)sennit_sleep(r->ctx, 300 * SENNIT_SECOND);
    r->left = true;
    sennit_wait_group_done(&r->others);
}
static void rpc_free_used(struct rpc *r)
{
    sennit_wait_group_add(&r->others, 1);
    if (sennit_go(rpc_stay, r))
        sennit_wait_group_done(&r->others);
    else
        while (!atomic_load(&r->ctx->users) && !r->left)
            (void)sennit_sleep(NULL, 1000);
    sennit_ctx_free(r->ctx);
    (void)sennit_wait_group_wait(&r->others, NULL);
}

static void rpc_run(sennit_conn *conn)
{
    static void (*const kinds[])(struct rpc *) = { rpc_unary, rpc_list, rpc_collect, rpc_chat };
    struct rpc r = { .conn = conn };
    r.len = sim_random(8) ? sim_random(200) : sim_random(sim_random(4) ? 50000 : 900000);
    r.text = malloc(r.len + 1);
    memset(r.text, 'a' + (int)sim_random(26), r.len + 1);
    r.hurried = sim_random(5) == 0;
    r.ctx = sennit_ctx_timeout(NULL, r.hurried ? 1 + sim_random(100000000) : 120 * SENNIT_SECOND);
    r.cancelled = sim_random(6) == 0;
    if (r.cancelled) {
        sennit_wait_group_add(&r.others, 1);
        if (sennit_go(rpc_cancel_soon, &r))
            rpc_cancel_soon(&r);
    }
    kinds[sim_random(4)](&r);
    (void)sennit_wait_group_wait(&r.others, NULL);
    if (sim_random(8) == 0)
        rpc_free_used(&r);
    else
        sennit_ctx_free(r.ctx);
    free(r.text);
}

/* -- the scene ------------------------------------------------------------------------------- */

static void scene_client(void *arg)
{
    int n = 1 + (int)sim_random(5);
    (void)arg;
    for (int i = 0; i < n; i++) {
        rpc_run(scene.conn[sim_random((uint32_t)scene.n_conns)]);
        scene_pause(NULL, 30, 300);
    }
    sennit_wait_group_done(&scene.clients);
}

static sennit_conn *scene_dial(void)
{
    return sennit_dial(scene.address,
                       &(sennit_conn_options){ .creds = sennit_insecure(),
                                               .initial_conn_window_size = scene_window() });
}

/* When all is well again. */
static void scene_check(sennit_conn *c, const char *which)
{
    sennit_ctx *ctx = sennit_ctx_timeout(NULL, SCENE_WAIT * SENNIT_SECOND);
    struct echo_msg q = { .text = sennit_s("well"), .number = 1 }, reply;
    sennit_err err =
        sennit_call(c, ctx, &echo_methods[0], &q, &reply,
                    &(sennit_call_options){ .wait_for_ready = 1 }, sizeof(sennit_call_options));
    if (err)
        sim_fail("after the faults, on %s connection: %s", which, sennit_err_text(err));
    if (reply.number != 2 || strcmp(reply.text.data, "well") != 0)
        sim_fail("after the faults, on %s connection: a wrong answer", which);
    sennit_ctx_free(ctx);
}

static void *scene_thread(void *arg)
{
    scene_client(arg);
    return NULL;
}

static void scene_spawn(void)
{
    int n = 1 + (int)sim_random(SCENE_CLIENTS);
    sennit_wait_group_add(&scene.clients, n);
    for (int i = 0; i < n; i++)
        if (sim_order(sim.o.foreign))
            sim_thread_start(scene_thread, NULL);
        else if (sennit_go(scene_client, NULL))
            sennit_wait_group_done(&scene.clients);
}

/* A few who want one mutex, and then nobody: who is forgotten waits for ever. */
static void scene_contender(void *arg)
{
    (void)arg;
    for (int i = 0; i < 2; i++) {
        (void)sennit_mutex_lock(&scene.mutex, NULL);
        int was = scene.inside++;
        if (sim_random(4) == 0)
            sennit_yield();
        if (scene.inside-- != was + 1 || was)
            sim_fail("two are in one mutex");
        sennit_mutex_unlock(&scene.mutex);
    }
    sennit_wait_group_done(&scene.clients);
}

static void scene_contend(void)
{
    enum { ROUNDS = 12, CONTENDERS = 4 };
    for (int round = 0; round < ROUNDS; round++) {
        sennit_wait_group_add(&scene.clients, CONTENDERS);
        for (int i = 0; i < CONTENDERS; i++)
            if (sennit_go(scene_contender, NULL))
                sennit_wait_group_done(&scene.clients);
        (void)sennit_wait_group_wait(&scene.clients, NULL);
    }
}

void scene_run(void *done)
{
    scene.doing = "a mutex";
    scene_contend();
    scene_start_server("127.0.0.1:0");
    scene.n_conns = 1 + (int)sim_random(SCENE_CONNS);
    scene.stops = sim_random(4) == 0;
    for (int i = 0; i < scene.n_conns; i++)
        scene.conn[i] = scene_dial();
    scene.doing = "calls";
    sim.faults = true;
    scene_spawn();
    if (scene.stops) {
        static const sennit_duration graces[] = { 0, SENNIT_MILLISECOND, SENNIT_SECOND };
        (void)sennit_sleep(NULL, 1 + sim_random(300000000));
        scene.doing = "stopping the server";
        scene_stop_server(graces[sim_random(3)]);
        scene.doing = "calls after a stop";
        (void)sennit_sleep(NULL, 1 + sim_random(300000000));
        scene_start_server(scene.address);
    }
    (void)sennit_wait_group_wait(&scene.clients, NULL);
    sim.faults = false;
    sim_net_heal();
    scene.doing = "after the faults";
    if (!scene.stops && (sim.o.no_memory || sim.o.no_descriptor)) { /* accept may have failed */
        scene_stop_server(0);
        scene_start_server(scene.address);
    }
    (void)sennit_sleep(NULL,
                       5 * SENNIT_SECOND); /* so that each end knows what became of the other */
    for (int i = 0; i < scene.n_conns; i++)
        scene_check(scene.conn[i], "an old");
    sennit_conn *fresh = scene_dial();
    scene_check(fresh, "a new");
    scene.doing = "closing";
    if (sim_random(2))
        scene_stop_server(SENNIT_SECOND);
    sennit_conn_free(fresh);
    for (int i = 0; i < scene.n_conns; i++)
        sennit_conn_free(scene.conn[i]);
    if (scene.server)
        scene_stop_server(sim_random(2) * SENNIT_SECOND);
    sim_note("rpcs", scene.rpcs, scene.good);
    *(bool *)done = true;
}
