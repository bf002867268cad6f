/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * test_cut.c: a call of each kind through somebody in the middle who strikes after the first,
 * second, third... frame of one direction, until a call comes through before he does: closes,
 * resets or half-closes the connection, resets the stream at both ends, says that the server is
 * going away, or is silent from then on. Both our ends see it. The client's status must be right,
 * the handler must end, and the harness looks for what is left behind. The frames of one connection
 * are counted in plain threads, on plain sockets; over TLS these are records, the handshake's too,
 * and whoever is in the middle can say nothing of his own. */
#include "base/sys.h"
#include "fault.h"
#include "struck.h"
#include "talk.h"
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum way { UP, DOWN }; /* from the client, from the server */
enum blow { CLOSED, BROKEN, HALF_CLOSED, STOPPED, STREAM_RESET_BOTH, GOING_AWAY };
static const char *const blow_names[] = { "closed",  "broken", "half-closed",
                                          "stopped", "reset",  "going away" };
#ifdef ECHO_TLS
enum { BLOWS = STREAM_RESET_BOTH, OF_RECORDS = true };
#else
enum { BLOWS = GOING_AWAY + 1, OF_RECORDS = false };
#endif

struct middle {
    int listener;
    const char *server; /* its address */
    char address[64];
    pthread_t thread;
    enum way way;
    enum blow blow;
    int at; /* frames; the client's preface counts */
    _Atomic bool struck;
};

/* One direction of a connection: what has come and is not yet a whole frame. */
struct lane {
    int from, to;
    size_t len;
    int frames;
    bool dead; /* nothing more goes on */
    unsigned char octets[40000];
};

static int middle_socket(int port)
{
    struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    check(fd >= 0);
    if (port)
        check(connect(fd, (struct sockaddr *)&a, sizeof a) == 0);
    else
        check(bind(fd, (struct sockaddr *)&a, sizeof a) == 0 && listen(fd, 64) == 0);
    return fd;
}

static void middle_say(int fd, const void *p, size_t n)
{
    for (const char *at = p; n;) {
        ssize_t sent = send(fd, at, n, MSG_NOSIGNAL);
        if (sent <= 0)
            return; /* it has gone: the next recv says so */
        at += sent, n -= (size_t)sent;
    }
}

/* False: the connection is over. */
static bool middle_strike(struct middle *m, struct lane lanes[2])
{
    static const unsigned char cancel[] = { 0, 0, 4, 3, 0, 0, 0, 0, 1, 0, 0, 0, 8 };
    static const unsigned char goaway[] = { 0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0 };
    const struct linger none = { 1, 0 };
    atomic_store(&m->struck, true);
    switch (m->blow) {
    case BROKEN:
        setsockopt(lanes[UP].from, SOL_SOCKET, SO_LINGER, &none, sizeof none);
        setsockopt(lanes[DOWN].from, SOL_SOCKET, SO_LINGER, &none, sizeof none);
        return false;
    case HALF_CLOSED:
        shutdown(lanes[m->way].to, SHUT_WR);
        lanes[m->way].dead = true;
        return true;
    case STREAM_RESET_BOTH:
        middle_say(lanes[UP].to, cancel, sizeof cancel);
        middle_say(lanes[DOWN].to, cancel, sizeof cancel);
        return true;
    case GOING_AWAY:
        middle_say(lanes[DOWN].to, goaway, sizeof goaway);
        return true;
    case STOPPED: /* as a peer that is stopped: open, and silent */
        lanes[UP].dead = lanes[DOWN].dead = true;
        return true;
    default:
        return false;
    }
}

static size_t lane_frame_size(const struct lane *l, bool preface)
{
    const unsigned char *p = l->octets;
    size_t n = 0;
    if (OF_RECORDS)
        n = l->len < 5 ? 0 : 5 + ((size_t)p[3] << 8 | p[4]);
    else if (preface)
        n = 24;
    else if (l->len >= 9)
        n = 9 + ((size_t)p[0] << 16 | (size_t)p[1] << 8 | p[2]);
    return n <= l->len ? n : 0;
}

/* Passes on what has come, frame by frame. False: the connection is over. */
static bool middle_pass(struct middle *m, struct lane lanes[2], enum way way, bool armed)
{
    struct lane *l = &lanes[way];
    ssize_t got = recv(l->from, l->octets + l->len, sizeof l->octets - l->len, 0);
    size_t n;
    if (got <= 0)
        return false;
    l->len += (size_t)got;
    while ((n = lane_frame_size(l, way == UP && l->frames == 0))) {
        if (!l->dead)
            middle_say(l->to, l->octets, n);
        memmove(l->octets, l->octets + n, l->len -= n);
        l->frames++;
        if (armed && way == m->way && l->frames == m->at && !middle_strike(m, lanes))
            return false;
    }
    return true;
}

static void middle_serve(struct middle *m, int client, bool armed)
{
    static struct lane lanes[2];
    const int one = 1;
    int server = middle_socket((int)strtol(strrchr(m->server, ':') + 1, NULL, 10));
    setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    setsockopt(server, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    lanes[UP] = (struct lane){ .from = client, .to = server };
    lanes[DOWN] = (struct lane){ .from = server, .to = client };
    bool on = !armed || m->at > 0 || middle_strike(m, lanes);
    while (on) {
        struct pollfd p[2] = { { .fd = client, .events = POLLIN },
                               { .fd = server, .events = POLLIN } };
        check(poll(p, 2, -1) > 0);
        if (p[UP].revents)
            on = middle_pass(m, lanes, UP, armed);
        if (on && p[DOWN].revents)
            on = middle_pass(m, lanes, DOWN, armed);
    }
    close(client);
    close(server);
}

/* One connection after the other: the first one is struck. */
static void *middle_run(void *arg)
{
    struct middle *m = arg;
    bool armed = true;
    for (int fd; (fd = accept(m->listener, NULL, NULL)) >= 0; armed = false)
        middle_serve(m, fd, armed);
    return NULL;
}

static void middle_start(struct middle *m)
{
    struct sockaddr_in a;
    socklen_t len = sizeof a;
    m->listener = middle_socket(0);
    check(getsockname(m->listener, (struct sockaddr *)&a, &len) == 0);
    snprintf(m->address, sizeof m->address, "127.0.0.1:%d", ntohs(a.sin_port));
    check(pthread_create(&m->thread, NULL, middle_run, m) == 0);
}

static void middle_stop(struct middle *m)
{
    shutdown(m->listener, SHUT_RDWR);
    pthread_join(m->thread, NULL);
    close(m->listener);
}

/* -- the service ------------------------------------------------------------------------------ */

static _Atomic int inside; /* handlers */

static sennit_err leave(sennit_err err)
{
    atomic_fetch_sub(&inside, 1);
    return err;
}
static sennit_err cut_unary(void *self, sennit_ctx *ctx, const struct echo_msg *q,
                            struct echo_msg *r)
{
    atomic_fetch_add(&inside, 1);
    return leave(echo_back(self, ctx, q, r));
}
static sennit_err cut_list(void *self, sennit_ctx *ctx, const struct echo_msg *q, sennit_stream *s)
{
    sennit_err err = NULL;
    (void)self, (void)ctx;
    atomic_fetch_add(&inside, 1);
    for (int64_t i = 0; i < q->number && !err; i++)
        err = sennit_send(s, &(struct echo_msg){ .text = q->text, .number = i });
    return leave(err);
}
static sennit_err cut_collect(void *self, sennit_ctx *ctx, sennit_stream *s, struct echo_msg *r)
{
    const struct echo_msg *m;
    (void)self, (void)ctx;
    atomic_fetch_add(&inside, 1);
    while ((m = sennit_recv(s)))
        r->number += m->number;
    return leave(sennit_stream_error(s));
}
static sennit_err cut_chat(void *self, sennit_ctx *ctx, sennit_stream *s)
{
    atomic_fetch_add(&inside, 1);
    return leave(echo_chat(self, ctx, s));
}
static const struct echo_service service = { cut_unary, cut_list, cut_collect, cut_chat };

/* -- the client ------------------------------------------------------------------------------- */

enum { ROWS = 3 };
static char cut_text[200001];
static size_t cut_len = 9; /* of each message */

/* The status; when it is OK, what came was checked. */
static sennit_err call_kind(sennit_conn *c, sennit_ctx *ctx, int kind)
{
    struct echo_msg q = { .text = { cut_text, cut_len }, .number = ROWS }, reply = { 0 };
    const struct echo_msg *m;
    int64_t n = 0;
    if (kind == 0) {
        sennit_err err = sennit_call(c, ctx, &echo_methods[0], &q, &reply, NULL, 0);
        check(err || (reply.number == ROWS + 1 && reply.text.len == cut_len));
        check(err || memcmp(reply.text.data, cut_text, cut_len) == 0);
        return err;
    }
    sennit_stream *s = sennit_start(c, ctx, &echo_methods[kind], kind == LIST ? &q : NULL, NULL, 0);
    if (kind == LIST) {
        for (; (m = sennit_recv(s)); n++)
            check(m->number == n && m->text.len == q.text.len);
        sennit_err err = sennit_finish(s, NULL);
        check(err || n == ROWS);
        return err;
    }
    sennit_err sent = NULL;
    for (; n < ROWS; n++) {
        q.number = n;
        if ((sent = sennit_send(s, &q)) || (kind == CHAT && !(m = sennit_recv(s))))
            break; /* finish says why, unless it was our own memory that send had not */
        check(kind != CHAT || m->number == n);
    }
    sennit_err err = sennit_finish(s, kind == COLLECT ? &reply : NULL);
    if (!err && sent)
        return sent;
    if (!err && n < ROWS)
        test_failed(__FILE__, __LINE__, "OK after %d messages of %d", (int)n, ROWS);
    check(err || kind != COLLECT || reply.number == ROWS * (ROWS - 1) / 2);
    return err;
}

struct cut {
    const char *server; /* its address */
    int kind, at;
    enum way way;
    enum blow blow;
    long fault; /* which system call or allocation fails meanwhile; 0: none */
};

static bool cut_right(const struct cut *k, bool struck, sennit_err err)
{
    int code = code_of(err);
    if (!err || (k->blow == STOPPED && code == SENNIT_DEADLINE_EXCEEDED))
        return true; /* OK: struck too late, or the call was made on another connection */
    if (k->fault && fault_fired())
        return err->message[0] && code != SENNIT_DEADLINE_EXCEEDED;
    return struck && k->blow != STOPPED &&
           (code == SENNIT_UNAVAILABLE ||
            (k->blow == STREAM_RESET_BOTH && code == SENNIT_CANCELLED));
}

/* What a call has beside a peer that may stop: it ends by nothing else. */
#define CUT_DEADLINE       (100 * SENNIT_MILLISECOND)
#define CUT_DEADLINE_FAULT (20 * SENNIT_MILLISECOND)

/* True: the blow fell. */
static bool cut_once(const struct cut *k, int counts[17])
{
    struct middle m = { .way = k->way, .blow = k->blow, .at = k->at, .server = k->server };
    const sennit_duration stop = k->fault ? CUT_DEADLINE_FAULT : CUT_DEADLINE;
    middle_start(&m);
    if (k->fault)
        fault_arm(k->fault);
    sennit_conn *c = echo_dial(m.address);
    sennit_ctx *ctx = sennit_ctx_timeout(NULL, k->blow == STOPPED ? stop : 30 * SENNIT_SECOND);
    sennit_err err = call_kind(c, ctx, k->kind);
    bool struck = atomic_load(&m.struck);
    if (!cut_right(k, struck, err))
        test_failed(__FILE__, __LINE__, "%s, %s after frame %d %s, fault %ld: code %d, %s",
                    echo_methods[k->kind].path, blow_names[k->blow], k->at,
                    k->way == UP ? "up" : "down", k->fault, code_of(err), said(err));
    counts[code_of(err)]++;
    sennit_ctx_free(ctx);
    sennit_conn_free(c);
    while (atomic_load(&inside))
        sennit_sleep(NULL, SENNIT_MILLISECOND / 10);
    middle_stop(&m);
    fault_disarm();
    return struck;
}

/* How many frames can be counted before the blow, the 0th included. */
static int cut_everywhere(struct cut k, int counts[17])
{
    for (k.at = 0; cut_once(&k, counts); k.at++) {
    }
    return k.at;
}

static void cut_write_text(void)
{
    for (size_t i = 0; i < sizeof cut_text - 1; i++)
        cut_text[i] = (char)('a' + i % 25);
}

static void cut_sweep(int kind)
{
    struct echo_server e;
    int counts[17] = { 0 };
    cut_write_text();
    echo_start(&e, &service, NULL, (sennit_server_options){ 0 });
    for (int blow = 0; blow < BLOWS; blow++) {
        for (int way = UP; way <= DOWN; way++) {
            struct cut k = { .server = e.address, .kind = kind, .way = way, .blow = blow };
            int at = cut_everywhere(k, counts);
            /* Settings, their ack, headers or answer at the least; a slow machine's deadline may
             * come before a stop. */
            check(at >= 4 || blow == STOPPED);
        }
    }
    check(counts[SENNIT_OK] > 0 && counts[SENNIT_UNAVAILABLE] > 0);
    check(counts[SENNIT_CANCELLED] > 0 || OF_RECORDS);
    sennit_conn *c = echo_dial(e.address);
    sennit_ctx *ctx = sennit_ctx_timeout(NULL, 20 * SENNIT_SECOND);
    check_str(said(call_kind(c, ctx, kind)), "fine");
    sennit_ctx_free(ctx);
    sennit_conn_free(c);
    echo_stop(&e);
}

TEST_WITH(a_unary_call_cut_at_every_frame, 60, false) { cut_sweep(0); }
TEST_WITH(a_server_stream_cut_at_every_frame, 60, false) { cut_sweep(LIST); }
TEST_WITH(a_client_stream_cut_at_every_frame, 60, false) { cut_sweep(COLLECT); }
TEST_WITH(a_bidirectional_stream_cut_at_every_frame, 60, false) { cut_sweep(CHAT); }

/* Of many frames, which wait for windows and go out by reference. */
TEST_WITH(a_large_unary_call_cut_at_every_frame, 60, false)
{
    cut_len = test_short_io() ? 20000 : sizeof cut_text - 1;
    cut_sweep(0);
}

/* -- the same while a system call or an allocation fails --------------------------------------- */

/* The right status still, or that of the fault, never a hang; handlers end, and the server, or one
 * started after it if the fault has ended it, answers others. True: the fault came. */
static bool cut_then_look(struct struck *s, struct cut k, int counts[17])
{
    struct echo_msg reply;
    k.server = s->address;
    cut_once(&k, counts);
    if (atomic_load(&s->failed)) {
        struck_stop(s);
        check(struck_start(s, &service, NULL, "127.0.0.1:0"));
    }
    sennit_conn *c = echo_dial(s->address);
    sennit_ctx *ctx = sennit_ctx_timeout(NULL, 20 * SENNIT_SECOND);
    check_str(said(echo_call(c, ctx, "anybody?", &reply)), "fine");
    sennit_ctx_free(ctx);
    sennit_conn_free(c);
    return fault_fired();
}

/* All faults at all frames are too many: one cut meets each step-th fault, the next cut begins with
 * the next one, so that all faults come by, and each cut has many. .ci/faults takes small steps;
 * OpenSSL's allocations are ten times as many as ours. */
static void cut_with_faults(int kind)
{
    struct struck s;
    int counts[17] = { 0 }, cuts = 0, fired = 0;
    const char *asked = getenv("SENNIT_CUT_STEP");
    const int step = asked ? (int)strtol(asked, NULL, 10) : OF_RECORDS ? 1009 : 101;
    if (test_short_io()) /* thousands of calls more, all of two kinds */
        return;
    fault_arm(0); /* installs, as long as there is one thread */
    cut_write_text();
    check(struck_start(&s, &service, NULL, "127.0.0.1:0"));
    for (int i = 0; i < BLOWS * 2; i++) {
        struct cut k = { .server = s.address, .kind = kind, .way = i % 2, .blow = i / 2 };
        int frames = cut_everywhere(k, counts);
        for (k.at = 0; k.at < frames; k.at++, cuts++)
            for (k.fault = 1 + cuts % step; cut_then_look(&s, k, counts); k.fault += step)
                fired++;
    }
    printf("%d cuts, %d faults:", cuts, fired);
    for (int i = 0; i < 17; i++)
        if (counts[i])
            printf(" code %d: %d", i, counts[i]);
    puts("");
    check(counts[SENNIT_RESOURCE_EXHAUSTED] > 0);
    struck_stop(&s);
}

TEST_WITH(a_unary_call_cut_while_something_fails, 120, false) { cut_with_faults(0); }
TEST_WITH(a_server_stream_cut_while_something_fails, 120, false) { cut_with_faults(LIST); }
TEST_WITH(a_client_stream_cut_while_something_fails, 120, false) { cut_with_faults(COLLECT); }
TEST_WITH(a_bidirectional_stream_cut_while_something_fails, 120, false) { cut_with_faults(CHAT); }

/* A raw server that makes our client reset its stream just as the sender makes room for a message,
 * for which it lets go of the connection's lock. */
enum { ROOM_TEXT = 100000, ROOM_BLOCK = 131072 }; /* what is sent, the buffer that it wants */
enum room { ROOM_CLOSED, ROOM_ARMED, ROOM_HELD, ROOM_RESET };
static _Atomic int room;
static void *(*room_malloc)(size_t size);

static void *room_hold(size_t size)
{
    int armed = ROOM_ARMED;
    if (size == ROOM_BLOCK && atomic_compare_exchange_strong(&room, &armed, ROOM_HELD))
        while (atomic_load(&room) == ROOM_HELD)
            usleep(1000);
    return room_malloc(size);
}

static void *room_server(void *listener)
{
    static const unsigned char open[] = { 0,    0, 6, 4, 0, 0, 0, 0, 0, 0, 4,    0x7f, 0xff, 0xff,
                                          0xff, 0, 0, 4, 8, 0, 0, 0, 0, 0, 0x7f, 0,    0,    0 };
    static const unsigned char zero[] = { 0, 0, 4, 8, 0, 0, 0, 0, 1, 0, 0, 0, 0 };
    char octets[4096];
    int fd = accept4(*(int *)listener, NULL, NULL, SOCK_CLOEXEC);
    check(fd >= 0);
    middle_say(fd, open, sizeof open); /* windows for all */
    while (atomic_load(&room) != ROOM_HELD)
        usleep(1000);
    middle_say(fd, zero, sizeof zero); /* a WINDOW_UPDATE of nothing */
    usleep(50000);                     /* by then it was read, or the test shows nothing */
    atomic_store(&room, ROOM_RESET);
    while (recv(fd, octets, sizeof octets, 0) > 0) {
    }
    close(fd);
    return NULL;
}

TEST_PLAIN(a_stream_may_be_reset_while_its_sender_makes_room)
{
    static char text[ROOM_TEXT];
    if (getenv("SENNIT_THREADS"))
        return; /* sender and reader are one thread */
    struct sockaddr_in at;
    socklen_t len = sizeof at;
    char address[64];
    pthread_t thread;
    if (getenv("SENNIT_THREADS")) /* the only thread would be held up */
        return;
    int listener = middle_socket(0);
    check(getsockname(listener, (struct sockaddr *)&at, &len) == 0);
    snprintf(address, sizeof address, "127.0.0.1:%d", ntohs(at.sin_port));
    check(pthread_create(&thread, NULL, room_server, &listener) == 0);

    sennit_conn *c = echo_dial(address);
    sennit_ctx *ctx = sennit_ctx_timeout(NULL, 30 * SENNIT_SECOND);
    sennit_stream *s = sennit_start(c, ctx, &echo_methods[CHAT], NULL, NULL, 0);
    check(!sennit_send(s, &(struct echo_msg){ .number = 1 }));
    room_malloc = sys.malloc, sys.malloc = room_hold;
    atomic_store(&room, ROOM_ARMED);
    memset(text, 'r', sizeof text);
    sennit_err err = sennit_send(s, &(struct echo_msg){ .text = { text, sizeof text } });
    check(err && atomic_load(&room) == ROOM_RESET);
    sys.malloc = room_malloc;
    check_int(sennit_finish(s, NULL)->code, SENNIT_INTERNAL);
    sennit_ctx_free(ctx);
    sennit_conn_free(c);
    pthread_join(thread, NULL);
    close(listener);
}
