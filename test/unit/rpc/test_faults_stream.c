/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * test_faults_stream.c: streams of each kind and their ends while any one system call or allocation
 * fails. Each must end as it should or with an error that has a text, and never by its deadline
 * alone: nobody may hang. */
#include "base/sys.h"
#include "rpc/stream.h"
#include "struck.h"
#include <netinet/in.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum { LIST = 1, COLLECT, CHAT };

struct faulty {
    struct struck s;
    sennit_conn *conn;
    sennit_ctx *ctx;
    bool up;
};

static void faulty_start(struct faulty *f, const struct echo_service *service, void *self)
{
    memset(f, 0, sizeof *f);
    f->up = struck_start(&f->s, service, self, "127.0.0.1:0");
    f->conn = echo_dial(f->up ? f->s.address : "127.0.0.1:1");
    f->ctx = sennit_ctx_timeout(NULL, 10 * SENNIT_SECOND);
}

/* NULL when there is nobody to talk to. */
static sennit_stream *faulty_open(struct faulty *f, sennit_ctx *ctx, int method,
                                  const struct echo_msg *q)
{
    sennit_stream *s = f->up ? sennit_start(f->conn, ctx, &echo_methods[method], q, NULL, 0) : NULL;
    check(s || test_under_fault());
    return s;
}

static void faulty_stop(struct faulty *f)
{
    sennit_ctx_free(f->ctx);
    sennit_conn_free(f->conn);
    struck_stop(&f->s);
}

/* True: all is well. */
static bool clean(sennit_err err)
{
    if (err && !test_under_fault())
        test_failed(__FILE__, __LINE__, "%s", sennit_err_text(err));
    check(!err || (err->message[0] && err->code != SENNIT_DEADLINE_EXCEEDED));
    return !err;
}

/* -- each kind -------------------------------------------------------------------------------- */

enum { ROWS = 3, ROW = 40000 }; /* together more than the windows */
static char row[ROW];

static sennit_err send_rows(void *self, sennit_ctx *ctx, const struct echo_msg *q, sennit_stream *s)
{
    sennit_err err = NULL;
    (void)self, (void)ctx;
    for (int64_t i = 0; i < q->number && !err; i++)
        err = sennit_send(s, &(struct echo_msg){ .text = { row, ROW }, .number = i });
    return err;
}

static sennit_err count_rows(void *self, sennit_ctx *ctx, sennit_stream *s, struct echo_msg *r)
{
    const struct echo_msg *m;
    (void)self, (void)ctx;
    for (; (m = sennit_recv(s)); r->number++)
        check(m->number == r->number && m->text.len == ROW);
    return sennit_stream_error(s);
}

static sennit_err chat_back(void *self, sennit_ctx *ctx, sennit_stream *s)
{
    const struct echo_msg *m;
    (void)self, (void)ctx;
    while ((m = sennit_recv(s)) != NULL) {
        sennit_err err = sennit_send(s, m);
        if (err)
            return err;
    }
    return sennit_stream_error(s);
}

static const struct echo_service kinds = { .list = send_rows,
                                           .collect = count_rows,
                                           .chat = chat_back };

TEST_FAULTS(a_server_stream)
{
    struct faulty f;
    faulty_start(&f, &kinds, NULL);
    sennit_stream *s = faulty_open(&f, f.ctx, LIST, &(struct echo_msg){ .number = ROWS });
    const struct echo_msg *m;
    int n = 0;
    for (; s && (m = sennit_recv(s)); n++)
        check(m->number == n && m->text.len == ROW);
    if (s && clean(sennit_finish(s, NULL)))
        check_int(n, ROWS);
    faulty_stop(&f);
}

TEST_FAULTS(a_client_stream)
{
    struct faulty f;
    struct echo_msg reply;
    faulty_start(&f, &kinds, NULL);
    sennit_stream *s = faulty_open(&f, f.ctx, COLLECT, NULL);
    int sent = 0;
    while (s && sent < ROWS &&
           clean(sennit_send(s, &(struct echo_msg){ .text = { row, ROW }, .number = sent })))
        sent++;
    if (s && clean(sennit_finish(s, &reply)))
        check_int(reply.number, sent);
    faulty_stop(&f);
}

struct sender {
    sennit_stream *s;
    int sent;
    sennit_wait_group done;
};
static void send_all(void *arg)
{
    struct sender *h = arg;
    while (h->sent < ROWS &&
           !sennit_send(h->s, &(struct echo_msg){ .text = { row, ROW }, .number = h->sent }))
        h->sent++;
    sennit_close_send(h->s);
    sennit_wait_group_done(&h->done);
}

TEST_FAULTS(a_bidirectional_stream)
{
    struct faulty f;
    faulty_start(&f, &kinds, NULL);
    struct sender h = { .s = faulty_open(&f, f.ctx, CHAT, NULL) };
    const struct echo_msg *m;
    int n = 0;
    sennit_wait_group_add(&h.done, 1);
    if (!h.s || sennit_go(send_all, &h)) {
        sennit_wait_group_done(&h.done);
        sennit_close_send(h.s);
    }
    for (; h.s && (m = sennit_recv(h.s)); n++) {
        check_int(m->text.len, ROW);
        check_int(m->number, n);
    }
    sennit_wait_group_wait(&h.done, NULL);
    if (h.s && clean(sennit_finish(h.s, NULL)))
        check_int(n, h.sent);
    faulty_stop(&f);
}

static sennit_err tell_more(void *self, sennit_ctx *ctx, sennit_stream *s)
{
    (void)self;
    sennit_err err = sennit_set_header(ctx, "x-head", sennit_s("early"));
    err = err ? err : sennit_send_header(ctx);
    while (!err && sennit_recv(s)) {
    }
    err = err ? err : sennit_set_trailer(ctx, "x-tail", sennit_s("late"));
    return err ? err : sennit_errorf(SENNIT_ABORTED, "as wished");
}

TEST_FAULTS(headers_and_trailers_of_a_stream)
{
    static const struct echo_service service = { .chat = tell_more };
    struct faulty f;
    faulty_start(&f, &service, NULL);
    sennit_stream *s = faulty_open(&f, f.ctx, CHAT, NULL);
    const sennit_md *head = s ? sennit_stream_header(s) : NULL;
    check(head || test_under_fault());
    sennit_err err = s ? sennit_finish(s, NULL) : NULL;
    check(!s || (err && err->code != SENNIT_DEADLINE_EXCEEDED));
    check(!s || err->message[0] || test_under_fault()); /* its text may have found no room */
    if (s && err->code == SENNIT_ABORTED)
        check_str(sennit_md_get(sennit_stream_trailer(s), "x-tail", 0)->data, "late");
    check(!s || err->code == SENNIT_ABORTED || test_under_fault());
    faulty_stop(&f);
}

/* -- ends ------------------------------------------------------------------------------------- */

/* Reads nothing, so that the client's sender waits for window; ends with its context. */
struct waiting {
    struct rt_note inside;
};
static sennit_err wait_for_the_end(void *self, sennit_ctx *ctx, sennit_stream *s)
{
    struct waiting *w = self;
    (void)s;
    rt_note_set(&w->inside);
    return sennit_sleep(ctx, 60 * SENNIT_SECOND);
}
static const struct echo_service waits = { .chat = wait_for_the_end };

/* A sender and a receiver wait in the stream; its context ends. */
static void ended_inside(sennit_duration timeout, sennit_code code)
{
    struct faulty f;
    struct waiting w = { { 0 } };
    faulty_start(&f, &waits, &w);
    sennit_ctx *ctx = sennit_ctx_timeout(NULL, timeout);
    struct sender h = { .s = faulty_open(&f, ctx, CHAT, NULL) };
    sennit_wait_group_add(&h.done, 1);
    bool sends = h.s && !sennit_go(send_all, &h);
    if (!sends)
        sennit_wait_group_done(&h.done);
    if (code == SENNIT_CANCELLED)
        sennit_ctx_cancel(ctx);
    sennit_err err = h.s ? sennit_finish(h.s, NULL) : NULL;
    check(!h.s || (err && err->message[0]));
    check(!h.s || err->code == code || test_under_fault());
    sennit_wait_group_wait(&h.done, NULL);
    sennit_ctx_free(ctx);
    faulty_stop(&f);
}

TEST_FAULTS(a_stream_that_is_cancelled) { ended_inside(10 * SENNIT_SECOND, SENNIT_CANCELLED); }

TEST_FAULTS(a_stream_whose_deadline_passes)
{
    ended_inside(5 * SENNIT_MILLISECOND, SENNIT_DEADLINE_EXCEEDED);
}

static void stop_in_grace(void *arg)
{
    struct sender *h = arg;
    sennit_server_stop((sennit_server *)(void *)h->s, 5 * SENNIT_SECOND);
    sennit_wait_group_done(&h->done);
}

/* GOAWAY comes while the stream is open; it goes on to its end. */
TEST_FAULTS(a_stream_that_outlives_goaway)
{
    struct faulty f;
    faulty_start(&f, &kinds, NULL);
    sennit_stream *s = faulty_open(&f, f.ctx, CHAT, NULL);
    struct sender stop = { .s = (sennit_stream *)(void *)f.s.server };
    sennit_err err = s ? sennit_send(s, &(struct echo_msg){ .number = 1 }) : NULL;
    bool there = s && clean(err) && sennit_recv(s);
    sennit_wait_group_add(&stop.done, 1);
    if (!f.up || sennit_go(stop_in_grace, &stop))
        sennit_wait_group_done(&stop.done);
    for (int64_t i = 2; there && i < 5; i++) {
        err = sennit_send(s, &(struct echo_msg){ .number = i });
        const struct echo_msg *m = clean(err) ? sennit_recv(s) : NULL;
        check(m ? m->number == i : test_under_fault());
        there = m != NULL;
    }
    clean(s ? sennit_finish(s, NULL) : NULL);
    sennit_wait_group_wait(&stop.done, NULL);
    faulty_stop(&f);
}

TEST_FAULTS(a_stream_that_its_server_cuts_off)
{
    struct faulty f;
    struct waiting w = { { 0 } };
    faulty_start(&f, &waits, &w);
    sennit_stream *s = faulty_open(&f, f.ctx, CHAT, NULL);
    if (s && clean(sennit_send(s, &(struct echo_msg){ .number = 1 })) && !test_under_fault())
        rt_note_wait(&w.inside, "for the handler");
    if (f.up)
        sennit_server_stop(f.s.server, 0);
    sennit_err err = s ? sennit_finish(s, NULL) : NULL;
    check(!s || (err && err->message[0] && err->code != SENNIT_DEADLINE_EXCEEDED));
    faulty_stop(&f);
}

/* -- a stream that the peer refuses ----------------------------------------------------------- */

enum { REFUSED_MESSAGES = 3, REFUSED_OCTETS = 6000 };

/* A server on a raw socket: it answers SETTINGS, keeps what comes on stream 3, the second attempt,
 * and answers that with OK. The first one the test refuses. */
struct refuser {
    int listener;
    _Atomic int fd;
    pthread_t thread;
    char address[64];
    char body[256000];
    size_t len;
};

static bool refuser_read(int fd, void *p, size_t n)
{
    return recv(fd, p, n, MSG_WAITALL) == (ssize_t)n;
}

/* One frame; false: the end. */
static bool refuser_frame(struct refuser *r, int fd)
{
    static const unsigned char ok[] = "\0\0\x27\1\5\0\0\0\3\x88"
                                      "\x0f\x10\x10"
                                      "application/grpc"
                                      "\0\xbgrpc-status"
                                      "\1"
                                      "0";
    static char skipped[1 << 16];
    unsigned char h[9];
    if (!refuser_read(fd, h, sizeof h))
        return false;
    size_t n = (size_t)h[1] << 8 | h[2];
    bool data = h[3] == 0 && h[8] == 3;
    check(!data || r->len + n <= sizeof r->body);
    if (n && !refuser_read(fd, data ? r->body + r->len : skipped, n))
        return false;
    r->len += data ? n : 0;
    unsigned char answer[sizeof ok - 1];
    memcpy(answer, ok, sizeof answer);
    answer[2] = (unsigned char)(sizeof answer - 9);
    if (h[8] == 3 && h[3] <= 1 && (h[4] & 1))
        check(send(fd, answer, sizeof answer, MSG_NOSIGNAL) != 0);
    return true;
}

static void *refuser_run(void *arg)
{
    static const unsigned char settings[] = { 0, 0, 0, 4, 0, 0, 0, 0, 0 };
    struct refuser *r = arg;
    char preface[24];
    int fd = accept(r->listener, NULL, NULL);
    if (fd < 0)
        return NULL;
    atomic_store(&r->fd, fd); /* before the client can open a stream */
    if (refuser_read(fd, preface, sizeof preface) &&
        send(fd, settings, sizeof settings, MSG_NOSIGNAL) > 0) {
        while (refuser_frame(r, fd)) {
        }
    }
    atomic_store(&r->fd, -1);
    close(fd);
    while ((fd = accept(r->listener, NULL, NULL)) >= 0)
        close(fd); /* one connection is enough */
    return NULL;
}

static void refuser_start(struct refuser *r)
{
    struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t len = sizeof a;
    memset(r, 0, sizeof *r);
    r->listener = socket(AF_INET, SOCK_STREAM, 0);
    check(bind(r->listener, (struct sockaddr *)&a, sizeof a) == 0 && listen(r->listener, 8) == 0);
    check(getsockname(r->listener, (struct sockaddr *)&a, &len) == 0);
    snprintf(r->address, sizeof r->address, "127.0.0.1:%d", ntohs(a.sin_port));
    check(pthread_create(&r->thread, NULL, refuser_run, r) == 0);
}

static void refuser_stop(struct refuser *r)
{
    shutdown(r->listener, SHUT_RDWR);
    pthread_join(r->thread, NULL);
    close(r->listener);
}

static void refuser_refuse(struct refuser *r)
{
    static const unsigned char refused[] = { 0, 0, 4, 3, 0, 0, 0, 0, 1, 0, 0, 0, 7 };
    int fd = atomic_load(&r->fd);
    if (fd > 0)
        check(send(fd, refused, sizeof refused, MSG_NOSIGNAL) != 0);
}

/* What is repeated is what was sent: no message whose send failed, and every other one. */
TEST_PLAIN_FAULTS(a_refused_stream_repeats_what_was_sent_and_no_more)
{
    static char octets[REFUSED_OCTETS];
    static struct refuser r;
    size_t want = 0;
    memset(octets, 'r', sizeof octets);
    refuser_start(&r);
    sennit_conn *c = echo_dial(r.address);
    sennit_ctx *ctx = sennit_ctx_timeout(NULL, 10 * SENNIT_SECOND);
    sennit_stream *st = sennit_start(c, ctx, &echo_methods[CHAT], NULL, NULL, 0);
    for (int i = 0; st && i < REFUSED_MESSAGES; i++) {
        struct echo_msg m = { .text = { octets, sizeof octets - (size_t)i } };
        sennit_err err = sennit_send(st, &m);
        check(!err || test_under_fault());
        want += err ? 0 : 5 + 3 + m.text.len; /* prefix; tag and length */
    }
    refuser_refuse(&r);
    sennit_err err = st ? sennit_finish(st, NULL) : NULL;
    check(!err || (test_under_fault() && err->code != SENNIT_DEADLINE_EXCEEDED));
    sennit_ctx_free(ctx);
    sennit_conn_free(c);
    refuser_stop(&r);
    if (st && !err)
        check_int(r.len, want);
}

/* Who receives makes the second attempt while who sends is on its way into the first: both are held
 * up in malloc, so that they meet. */
enum { LARGE_MESSAGES = 3, LARGE = 70000 }; /* each is larger than the windows */
struct pusher {
    struct refuser *refuser;
    sennit_stream *s;
    struct rpc_stream *first; /* the attempt that is refused */
    struct rt_g *_Atomic sender, *_Atomic receiver;
    _Atomic bool sends, repeats;
    sennit_wait_group done;
};
static void *(*real_malloc)(size_t n);
static _Atomic(struct pusher *) pushing;

static void *slow_malloc(size_t n)
{
    struct pusher *p = atomic_load(&pushing);
    struct rt_g *me = p && rt_in_goroutine() ? rt_self() : NULL;
    if (me && me == atomic_load(&p->sender) && !atomic_exchange(&p->sends, true)) {
        while (!atomic_load(&p->repeats))
            sennit_sleep(NULL, SENNIT_MILLISECOND / 10);
    }
    if (me && me == atomic_load(&p->receiver) && !atomic_exchange(&p->repeats, true))
        sennit_sleep(NULL, 20 * SENNIT_MILLISECOND);
    return real_malloc(n);
}

static void push(void *arg)
{
    struct pusher *p = arg;
    static char octets[LARGE];
    atomic_store(&p->sender, rt_self());
    for (int i = 0; i < LARGE_MESSAGES; i++) {
        memset(octets, 'a' + i, sizeof octets);
        check(!sennit_send(p->s, &(struct echo_msg){ .text = { octets, sizeof octets } }));
    }
    check(!sennit_close_send(p->s));
    sennit_wait_group_done(&p->done);
}

static void pull(void *arg)
{
    struct pusher *p = arg;
    while (!atomic_load(&p->first->done))
        sennit_sleep(NULL, SENNIT_MILLISECOND / 10);
    atomic_store(&p->receiver, rt_self());
    check(!sennit_recv(p->s));
    sennit_wait_group_done(&p->done);
}

/* After time for a sender that waits in the wrong place to spoil what waits for window. */
static void open_windows(struct pusher *p)
{
    static const unsigned char updates[] = { 0, 0, 4, 8, 0, 0, 0, 0, 0, 0, 16, 0, 0,
                                             0, 0, 4, 8, 0, 0, 0, 0, 3, 0, 16, 0, 0 };
    while (atomic_load(&p->s->s) == p->first)
        sennit_sleep(NULL, SENNIT_MILLISECOND / 10);
    sennit_sleep(NULL, 20 * SENNIT_MILLISECOND);
    check(send(p->refuser->fd, updates, sizeof updates, MSG_NOSIGNAL) == sizeof updates);
}

TEST_PLAIN(a_send_that_meets_the_repetition_waits_for_its_own_attempt)
{
    static struct refuser r;
    struct pusher p = { .refuser = &r };
    real_malloc = sys.malloc;
    sys.malloc = slow_malloc;
    refuser_start(&r);
    sennit_conn *c = echo_dial(r.address);
    sennit_ctx *ctx = sennit_ctx_timeout(NULL, 15 * SENNIT_SECOND);
    p.s = sennit_start(c, ctx, &echo_methods[CHAT], NULL, NULL, 0);
    p.first = atomic_load(&p.s->s);
    atomic_store(&pushing, &p);
    sennit_wait_group_add(&p.done, 2);
    check(!sennit_go(push, &p) && !sennit_go(pull, &p));
    while (!atomic_load(&p.sends))
        sennit_sleep(NULL, SENNIT_MILLISECOND / 10);
    refuser_refuse(&r);
    open_windows(&p);
    sennit_wait_group_wait(&p.done, NULL);
    check(!sennit_finish(p.s, NULL));
    atomic_store(&pushing, NULL);
    sennit_ctx_free(ctx);
    sennit_conn_free(c);
    refuser_stop(&r);
    const size_t each = 5 + 4 + LARGE;
    check_int(r.len, LARGE_MESSAGES * each);
    for (size_t i = 0; i < r.len; i++)
        check(i % each < 9 || r.body[i] == (char)('a' + i / each));
    sys.malloc = real_malloc;
}
