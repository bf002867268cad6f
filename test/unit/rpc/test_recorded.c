/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * test_recorded.c: the recorded conversation of another client and server (test/recorded.h), each
 * side played to ours: whole, octet by octet, said in another way, and cut at each octet. A player
 * waits for what the other side had said before each turn, so that nothing depends on time. What
 * our server answers is what the recorded one did, or the first of it; so is what our client's
 * calls bring, and a cut is UNAVAILABLE. The players are plain threads on plain sockets. */
#include "base/sys.h"
#include "h2/h2.h"
#include "recorded.h"
#include "talk.h"
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

static struct recorded conversation, otherwise;

static void load(void)
{
    recorded_load(&conversation, RECORDED "/grpc_go.txt");
    recorded_otherwise(&conversation, &otherwise);
}

/* Our ends read one octet at a time. */
static ssize_t (*whole_recv)(int fd, void *p, size_t n, int flags);
static ssize_t recv_one(int fd, void *p, size_t n, int flags)
{
    return whole_recv(fd, p, n ? 1 : 0, flags);
}
static void read_by_octets(bool on)
{
    if (on)
        whole_recv = sys.recv, sys.recv = recv_one;
    else
        sys.recv = whole_recv;
    sys.short_io = on || test_short_io(); /* a short read does not mean that there is no more */
}

/* -- what a side has heard -------------------------------------------------------------------- */

enum { STREAMS = 8 }; /* 1, 3, ... */
struct heard {
    bool headers, ended, reset;
    char status[8]; /* grpc-status */
    size_t len;     /* of messages, with their prefixes */
    uint8_t octets[128];
};
struct side {
    struct h2_in *in;
    struct heard of[STREAMS];
};

static void side_start(struct side *s, int role)
{
    struct h2_config c = { .server = role == RECORDED_SERVER,
                           .max_concurrent_streams = 100,
                           .initial_window = 65535,
                           .connection_window = 1 << 20,
                           .max_header_list = 16384,
                           .max_frame = 16384 };
    memset(s, 0, sizeof *s);
    s->in = h2_in_new(&c);
    check(s->in);
    for (uint32_t id = 1; !c.server && id < 2 * STREAMS; id += 2)
        check_int(h2_in_opened(s->in, id, NULL, true), 0);
}

static void side_event(struct side *s, const struct h2_event *e)
{
    check(e->kind != H2_EV_ERROR && e->kind != H2_EV_STREAM_ERROR && e->kind != H2_EV_REFUSED);
    if (e->kind == H2_EV_NONE || e->id == 0) /* none says nothing else */
        return;
    check(e->id < 2 * STREAMS);
    struct heard *h = &s->of[e->id / 2];
    bool fields = e->kind == H2_EV_HEADERS || e->kind == H2_EV_TRAILERS;
    h->headers |= e->kind == H2_EV_HEADERS;
    h->reset |= e->kind == H2_EV_RST;
    h->ended |= h->reset || ((fields || e->kind == H2_EV_DATA) && e->end_stream);
    if (e->kind == H2_EV_DATA) {
        check(h->len + e->len <= sizeof h->octets);
        memcpy(h->octets + h->len, e->data, e->len);
        h->len += e->len;
    }
    for (size_t i = 0; fields && i < e->n_fields; i++)
        if (e->fields[i].name_len == 11 && !memcmp(e->fields[i].name, "grpc-status", 11))
            snprintf(h->status, sizeof h->status, "%.*s", (int)e->fields[i].value_len,
                     e->fields[i].value);
}

static void side_hear(struct side *s, const unsigned char *p, size_t n)
{
    struct h2_event e;
    size_t used;
    do {
        h2_in_next(s->in, p, n, &used, &e);
        side_event(s, &e);
        p += used, n -= used;
    } while (n || e.kind != H2_EV_NONE);
}

/* Has all of these been heard? */
static bool side_has(const struct side *s, const struct side *want)
{
    for (int i = 0; i < STREAMS; i++) {
        const struct heard *h = &s->of[i], *w = &want->of[i];
        if (h->headers < w->headers || h->ended < w->ended || h->len < w->len)
            return false;
    }
    return true;
}

/* Listens until that has been heard; false: the other side has closed. */
static bool side_wait(struct side *s, int fd, const struct side *want)
{
    unsigned char octets[4096];
    while (!want || !side_has(s, want)) {
        ssize_t got = recv(fd, octets, sizeof octets, 0);
        if (got <= 0) {
            check(got == 0); /* neither a timeout, nor a reset: all it was sent was read */
            return false;
        }
        side_hear(s, octets, (size_t)got);
    }
    return true;
}

static void player_ready(int fd)
{
    const struct timeval patience = { .tv_sec = 20 };
    check(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience) == 0);
}

static void player_say(int fd, const unsigned char *p, size_t n)
{
    while (n) {
        ssize_t sent = send(fd, p, n, MSG_NOSIGNAL);
        if (sent <= 0)
            return; /* it has gone: recv says so */
        p += sent, n -= (size_t)sent;
    }
}

/* Plays one side, up to an octet, then ends its direction and listens to the end. */
static void play(int fd, const struct recorded *r, int who, size_t cut, struct side *heard)
{
    static struct side want[2]; /* of the client's player, of the server's */
    struct side *w = &want[who];
    size_t told = 0;
    side_start(heard, who == RECORDED_CLIENT ? RECORDED_CLIENT : RECORDED_SERVER);
    side_start(w, who == RECORDED_CLIENT ? RECORDED_CLIENT : RECORDED_SERVER);
    for (size_t t = 0; t < r->n_turns; t++) {
        size_t from = recorded_before(r, r->turns[t].who, t), to = r->turns[t].end;
        if (r->turns[t].who != who) {
            side_hear(w, r->octets[1 - who] + from, to - from);
            continue;
        }
        if (!side_wait(heard, fd, w))
            break;
        to = to < cut ? to : cut;
        player_say(fd, r->octets[who] + from, to - from);
        told = to;
        if (to == cut)
            break;
    }
    check(told <= cut);
    shutdown(fd, SHUT_WR);
    side_wait(heard, fd, NULL);
    h2_in_free(w->in);
    h2_in_free(heard->in);
    close(fd);
}

/* -- our server ------------------------------------------------------------------------------- */

static sennit_err play_unary(void *self, sennit_ctx *ctx, const struct echo_msg *q,
                             struct echo_msg *r)
{
    (void)self, (void)ctx;
    if (q->text.len == 4 && memcmp(q->text.data, "fail", 4) == 0)
        return sennit_errorf(SENNIT_INVALID_ARGUMENT, "no: 100 %%\n");
    *r = *q;
    return NULL;
}
static sennit_err play_list(void *self, sennit_ctx *ctx, const struct echo_msg *q, sennit_stream *s)
{
    sennit_err err = NULL;
    (void)self, (void)ctx;
    for (int64_t i = 1; i <= q->number && !err; i++)
        err = sennit_send(s, &(struct echo_msg){ .text = sennit_s("row"), .number = i });
    return err;
}
static sennit_err play_collect(void *self, sennit_ctx *ctx, sennit_stream *s, struct echo_msg *r)
{
    const struct echo_msg *m;
    (void)self, (void)ctx;
    while ((m = sennit_recv(s)))
        r->number += m->number;
    r->text = sennit_s("sum");
    return sennit_stream_error(s);
}
static const struct echo_service service = { play_unary, play_list, play_collect, echo_chat };

/* The recorded server's answers. */
static void answers(const struct recorded *r, struct side *s)
{
    side_start(s, RECORDED_CLIENT);
    side_hear(s, r->octets[RECORDED_SERVER], r->len[RECORDED_SERVER]);
    h2_in_free(s->in);
}

/* What came back is what the recorded server said, or the first of it. */
static void check_heard(const struct side *got, const struct side *want, size_t cut, bool all)
{
    for (int i = 0; i < STREAMS; i++) {
        const struct heard *g = &got->of[i], *w = &want->of[i];
        bool good = g->len <= w->len && memcmp(g->octets, w->octets, g->len) == 0;
        /* By the cut; or it crosses with the client's RST_STREAM. */
        bool cancelled = strcmp(g->status, "1") == 0 && !(all && w->ended);
        if (g->ended && !g->reset && !cancelled)
            good = good && g->len == w->len && strcmp(g->status, w->status) == 0;
        good = good && (!all || cancelled || g->ended == w->ended);
        if (!good)
            test_failed(__FILE__, __LINE__,
                        "cut at %zu, stream %d: %zu of %zu octets, status %s, %s", cut, 2 * i + 1,
                        g->len, w->len, g->status, g->reset ? "reset" : "");
    }
}

struct client_player {
    const char *address;
    const struct recorded *r;
    size_t from, to; /* cuts */
    _Atomic bool done;
};

static void *client_play(void *arg)
{
    static struct side want, heard;
    struct client_player *c = arg;
    struct sockaddr_in a = { .sin_family = AF_INET };
    const int one = 1;
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    a.sin_port = htons((uint16_t)strtol(strrchr(c->address, ':') + 1, NULL, 10));
    answers(c->r, &want);
    for (size_t cut = c->from; cut <= c->to; cut++) {
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        check(fd >= 0 && connect(fd, (struct sockaddr *)&a, sizeof a) == 0);
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        player_ready(fd);
        play(fd, c->r, RECORDED_CLIENT, cut, &heard);
        check_heard(&heard, &want, cut, cut == c->r->len[RECORDED_CLIENT]);
    }
    atomic_store(&c->done, true);
    return NULL;
}

/* A client that is cut there, then there... */
static void to_our_server(const struct recorded *r, size_t from, size_t to)
{
    struct echo_server e;
    pthread_t thread;
    echo_start(&e, &service, NULL, (sennit_server_options){ 0 });
    struct client_player c = { .address = e.address, .r = r, .from = from, .to = to };
    check(pthread_create(&thread, NULL, client_play, &c) == 0);
    while (!atomic_load(&c.done))
        sennit_sleep(NULL, SENNIT_MILLISECOND);
    pthread_join(thread, NULL);
    echo_stop(&e);
}

TEST_WITH(a_recorded_client_gets_the_recorded_answers, 60, false)
{
    load();
    const struct recorded *all[] = { &conversation, &otherwise };
    for (size_t i = 0; i < countof(all); i++) {
        size_t n = all[i]->len[RECORDED_CLIENT];
        to_our_server(all[i], n, n);
        read_by_octets(true);
        to_our_server(all[i], n, n);
        read_by_octets(false);
    }
}

TEST_WITH(a_recorded_client_cut_at_each_octet_gets_the_first_of_the_answers, 120, false)
{
    load();
    to_our_server(&conversation, 0, conversation.len[RECORDED_CLIENT]);
}

/* -- our client ------------------------------------------------------------------------------- */

static const sennit_method missing = { SENNIT_TABLES, 0,          "/test.Echo/Missing",
                                       &echo_desc,    &echo_desc, echo_invoke_unary };

struct server_player {
    int listener;
    char address[64];
    const struct recorded *r;
    size_t cut;
};

/* One connection; then nobody listens any more. */
static void *server_play(void *arg)
{
    static struct side heard;
    struct server_player *s = arg;
    int fd = accept4(s->listener, NULL, NULL, SOCK_CLOEXEC);
    check(fd >= 0);
    close(s->listener);
    player_ready(fd);
    play(fd, s->r, RECORDED_SERVER, s->cut, &heard);
    return NULL;
}

static void server_listen(struct server_player *s)
{
    struct sockaddr_un un = { .sun_family = AF_UNIX };
    static unsigned turn;
    char name[64];
    int n = snprintf(name, sizeof name, "sennit-recorded-%d-%u", (int)getpid(), turn++);
    snprintf(s->address, sizeof s->address, "unix-abstract:%.*s", n, name);
    memcpy(un.sun_path + 1, name, (size_t)n);
    s->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    check(s->listener >= 0);
    check(bind(s->listener, (void *)&un,
               (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)n)) == 0);
    check(listen(s->listener, 1) == 0);
}

static char brought[4096]; /* by the calls, in words */
static void bring(const struct echo_msg *m)
{
    size_t n = strlen(brought);
    snprintf(brought + n, sizeof brought - n, " %.*s %d", (int)m->text.len, m->text.data,
             (int)m->number);
}
/* False: the connection is gone. */
static bool bring_end(sennit_err err, const struct echo_msg *reply)
{
    if (!err && reply)
        bring(reply);
    size_t n = strlen(brought);
    snprintf(brought + n, sizeof brought - n, " %d.", code_of(err));
    return code_of(err) != SENNIT_UNAVAILABLE;
}

static bool bring_unary(sennit_conn *c, sennit_ctx *ctx, const sennit_method *m, const char *text,
                        int number)
{
    struct echo_msg q = { .text = sennit_s(text), .number = number }, reply = { 0 };
    return bring_end(sennit_call(c, ctx, m, &q, &reply, NULL, 0), &reply);
}
static bool bring_list(sennit_conn *c, sennit_ctx *ctx)
{
    const struct echo_msg *m, q = { .text = sennit_s("list"), .number = 3 };
    sennit_stream *s = sennit_start(c, ctx, &echo_methods[LIST], &q, NULL, 0);
    while ((m = sennit_recv(s)))
        bring(m);
    return bring_end(sennit_finish(s, NULL), NULL);
}
static bool bring_collect(sennit_conn *c, sennit_ctx *ctx)
{
    struct echo_msg reply = { 0 };
    sennit_stream *s = sennit_start(c, ctx, &echo_methods[COLLECT], NULL, NULL, 0);
    for (int i = 1; i <= 3; i++)
        if (sennit_send(s, &(struct echo_msg){ .text = sennit_s("part"), .number = i }))
            break;
    return bring_end(sennit_finish(s, &reply), &reply);
}
/* texts: one message after the other, each of them answered. given_up: then the call is. */
static bool bring_chat(sennit_conn *c, sennit_ctx *ctx, const char *const *texts, bool given_up)
{
    const struct echo_msg *m = NULL;
    sennit_ctx *own = sennit_ctx_new(ctx);
    sennit_stream *s = sennit_start(c, own, &echo_methods[CHAT], NULL, NULL, 0);
    for (int i = 0; texts[i]; i++) {
        struct echo_msg q = { .text = sennit_s(texts[i]), .number = i + 1 };
        if (sennit_send(s, &q) || !(m = sennit_recv(s)))
            break;
        bring(m);
    }
    if (given_up && m)
        sennit_ctx_cancel(own);
    bool on = bring_end(sennit_finish(s, NULL), NULL);
    sennit_ctx_free(own);
    return on;
}

/* The calls of the recording, until the connection is gone. */
static void call_all(const char *address)
{
    static const char *const chat[] = { "chat", "chat", "chat", NULL },
                             *const given_up[] = { "given up", NULL },
                             *const late[] = { "late", "later", NULL };
    sennit_conn *c = echo_dial(address);
    sennit_ctx *ctx = sennit_ctx_timeout(NULL, 60 * SENNIT_SECOND);
    brought[0] = 0;
    (void)(bring_unary(c, ctx, &echo_methods[0], "hello", 3) &&
           bring_unary(c, ctx, &echo_methods[0], "fail", 1) && bring_list(c, ctx) &&
           bring_collect(c, ctx) && bring_chat(c, ctx, chat, false) &&
           bring_unary(c, ctx, &missing, "what", 1) && bring_chat(c, ctx, given_up, true) &&
           bring_chat(c, ctx, late, false));
    sennit_ctx_free(ctx);
    sennit_conn_free(c);
}

static const char all_brought[] = " hello 3 0. 3. row 1 row 2 row 3 0. sum 6 0. chat 1 chat 2 "
                                  "chat 3 0. 12. given up 1 1. late 1 later 2 0.";

static const char *from_our_client(const struct recorded *r, size_t cut)
{
    struct server_player s = { .r = r, .cut = cut };
    pthread_t thread;
    server_listen(&s);
    check(pthread_create(&thread, NULL, server_play, &s) == 0);
    call_all(s.address);
    pthread_join(thread, NULL);
    return brought;
}

TEST_WITH(a_recorded_server_brings_what_it_brought, 60, false)
{
    load();
    const struct recorded *all[] = { &conversation, &otherwise };
    for (size_t i = 0; i < countof(all); i++) {
        size_t n = all[i]->len[RECORDED_SERVER];
        check_str(from_our_client(all[i], n), all_brought);
        read_by_octets(true);
        check_str(from_our_client(all[i], n), all_brought);
        read_by_octets(false);
    }
}

TEST_WITH(a_recorded_server_cut_at_each_octet_is_unavailable_after_the_first_of_it, 120, false)
{
    static const char gone[] = " 14.";
    load();
    for (size_t cut = 0; cut < conversation.len[RECORDED_SERVER]; cut++) {
        const char *got = from_our_client(&conversation, cut);
        size_t n = strlen(got);
        if (n > strlen(gone) && strcmp(got, all_brought) == 0)
            continue; /* all but an acknowledgement had come */
        if (n < strlen(gone) || strcmp(got + n - strlen(gone), gone) != 0 ||
            strncmp(got, all_brought, n - strlen(gone)) != 0)
            test_failed(__FILE__, __LINE__, "cut at %zu: %s", cut, got);
    }
}
