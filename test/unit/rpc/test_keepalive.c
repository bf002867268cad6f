/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * test_keepalive.c: connections that end because time has passed: silent peers, peers that ping too
 * often, idle and old ones. Times here are short, but nothing is judged by how long it took: each
 * test waits for what must come. */
#include "base/sys.h"
#include "talk.h"
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define MS SENNIT_MILLISECOND

static sennit_conn *dial_with(const char *address, sennit_conn_options o)
{
    o.creds = echo_creds();
    return sennit_dial(address, &o);
}

/* -- a peer that falls silent ------------------------------------------------------------------ */

/* A server that says its SETTINGS and then nothing, until the client goes. */
struct silent {
    int fd;
    pthread_t thread;
    char address[64];
};

static void *silent_run(void *arg)
{
    static const unsigned char settings[] = {
        0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 4, 1, 0, 0, 0, 0
    };
    struct silent *s = arg;
    char octets[4096];
    int fd = accept(s->fd, NULL, NULL);
    check(send(fd, settings, sizeof settings, MSG_NOSIGNAL) == sizeof settings);
    while (recv(fd, octets, sizeof octets, 0) > 0) {
    }
    close(fd);
    return NULL;
}

static void silent_start(struct silent *s)
{
    struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t len = sizeof a;
    s->fd = socket(AF_INET, SOCK_STREAM, 0);
    check(bind(s->fd, (struct sockaddr *)&a, sizeof a) == 0 && listen(s->fd, 8) == 0);
    check(getsockname(s->fd, (struct sockaddr *)&a, &len) == 0);
    snprintf(s->address, sizeof s->address, "127.0.0.1:%d", ntohs(a.sin_port));
    check(pthread_create(&s->thread, NULL, silent_run, s) == 0);
}

TEST_PLAIN(a_server_that_falls_silent_ends_the_call_without_a_deadline)
{
    struct silent s;
    silent_start(&s);
    sennit_conn *c = dial_with(s.address, (sennit_conn_options){ .keepalive_time = 30 * MS,
                                                                 .keepalive_timeout = 30 * MS });
    sennit_ctx *ctx = sennit_ctx_new(NULL);
    struct echo_msg reply;
    sennit_err err = echo_call(c, ctx, "anybody?", &reply);
    check_int(code_of(err), SENNIT_UNAVAILABLE);
    check(strstr(err->message, "keepalive ping failed"));
    sennit_ctx_free(ctx);
    sennit_conn_free(c);
    pthread_join(s.thread, NULL);
    close(s.fd);
}

static sennit_err tell_end(void *self, sennit_ctx *ctx, sennit_stream *s)
{
    int code = 0;
    (void)ctx;
    while (sennit_recv(s)) {
    }
    code = code_of(sennit_stream_error(s));
    sennit_chan_send(self, NULL, &code);
    return NULL;
}

/* Opens a stream of /test.Echo/Chat on a raw socket and falls silent. */
static int silent_client(const char *address)
{
    static const unsigned char opening[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
                                           "\0\0\0\4\0\0\0\0\0"    /* SETTINGS */
                                           "\0\0\x3b\1\4\0\0\0\1"  /* HEADERS, stream 1 */
                                           "\x83\x86"              /* POST, http */
                                           "\4\x0f/test.Echo/Chat" /* :path */
                                           "\1\1a"                 /* :authority */
                                           "\x0f\x10\x10"          /* content-type */
                                           "application/grpc"
                                           "\0\2te\x8trailers";
    struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    a.sin_port = htons((uint16_t)strtol(strrchr(address, ':') + 1, NULL, 10));
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    check(connect(fd, (struct sockaddr *)&a, sizeof a) == 0);
    unsigned char octets[sizeof opening - 1];
    memcpy(octets, opening, sizeof octets);
    octets[24 + 9 + 2] = (unsigned char)(sizeof octets - 24 - 9 - 9); /* the block's length */
    check(send(fd, octets, sizeof octets, MSG_NOSIGNAL) == (ssize_t)sizeof octets);
    return fd;
}

TEST_PLAIN(a_client_that_falls_silent_ends_its_handlers)
{
    static const struct echo_service service = { .chat = tell_end };
    sennit_chan *ends = sennit_chan_new(sizeof(int), 1);
    struct echo_server e;
    int code = 0;
    echo_start(&e, &service, ends,
               (sennit_server_options){ .keepalive_time = 30 * MS, .keepalive_timeout = 30 * MS });
    int fd = silent_client(e.address);
    check(!sennit_chan_recv(ends, NULL, &code));
    check(code == SENNIT_UNAVAILABLE || code == SENNIT_CANCELLED);
    close(fd);
    echo_stop(&e);
    sennit_chan_free(ends);
}

/* -- a peer process that is stopped (SIGSTOP) ----------------------------------------------------
 */

/* Its kernel goes on taking octets and answering TCP's probes: only pings tell. */
struct stopped {
    pid_t pid;
    int to[2], from[2]; /* pipes */
};

/* Before the library is used: the child runs fn and never returns. */
static void stopped_fork(struct stopped *p, void (*fn)(struct stopped *p))
{
    check(pipe(p->to) == 0 && pipe(p->from) == 0);
    p->pid = fork();
    if (p->pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        fn(p);
        _exit(0);
    }
}

/* Without threads our own server runs meanwhile. */
static void stopped_hear(const struct stopped *p, void *what, size_t n)
{
    check(fcntl(p->from[0], F_SETFL, O_NONBLOCK) == 0);
    while (read(p->from[0], what, n) != (ssize_t)n)
        sennit_sleep(NULL, MS);
}

static void stopped_stop(const struct stopped *p)
{
    int status;
    check(kill(p->pid, SIGSTOP) == 0);
    check(waitpid(p->pid, &status, WUNTRACED) == p->pid && WIFSTOPPED(status));
}

static void stopped_end(struct stopped *p)
{
    check(kill(p->pid, SIGKILL) == 0 && waitpid(p->pid, NULL, 0) == p->pid);
    for (int i = 0; i < 2; i++)
        close(p->to[i]), close(p->from[i]);
}

static void stopped_server(struct stopped *p)
{
    static const struct echo_service service = { .unary = echo_back, .chat = echo_chat };
    struct echo_server e;
    echo_start(&e, &service, NULL, (sennit_server_options){ .keepalive_min_time = -1 });
    check(write(p->from[1], e.address, sizeof e.address) == sizeof e.address);
    sennit_sleep(NULL, 3600 * SENNIT_SECOND);
}

TEST_PLAIN(a_server_process_that_is_stopped_ends_calls_without_a_deadline)
{
    struct stopped p;
    char address[sizeof((struct echo_server *)0)->address];
    struct echo_msg reply;
    stopped_fork(&p, stopped_server);
    stopped_hear(&p, address, sizeof address);
    sennit_conn *c = dial_with(address, (sennit_conn_options){ .keepalive_time = 50 * MS,
                                                               .keepalive_timeout = 2000 * MS });
    sennit_ctx *ctx = sennit_ctx_new(NULL);
    sennit_stream *s = sennit_start(c, ctx, &echo_methods[CHAT], NULL, NULL, 0);
    check_str(said(sennit_send(s, &(struct echo_msg){ .number = 1 })), "fine");
    check(sennit_recv(s));
    stopped_stop(&p);
    check_str(said(sennit_send(s, &(struct echo_msg){ .number = 2 })), "fine");
    sennit_err err = echo_call(c, ctx, "anybody?", &reply);
    check_int(code_of(err), SENNIT_UNAVAILABLE);
    check(!sennit_recv(s));
    err = sennit_finish(s, NULL);
    check_int(code_of(err), SENNIT_UNAVAILABLE);
    sennit_ctx_free(ctx);
    sennit_conn_free(c);
    stopped_end(&p);
}

static void stopped_client(struct stopped *p)
{
    char address[sizeof((struct echo_server *)0)->address];
    check(read(p->to[0], address, sizeof address) == sizeof address);
    sennit_conn *c = echo_dial(address);
    sennit_ctx *ctx = sennit_ctx_new(NULL);
    sennit_stream *s = sennit_start(c, ctx, &echo_methods[CHAT], NULL, NULL, 0);
    sennit_recv(s); /* nothing comes */
}

static sennit_err tell_begin_and_end(void *self, sennit_ctx *ctx, sennit_stream *s)
{
    int begun = -1;
    sennit_chan_send(self, NULL, &begun);
    return tell_end(self, ctx, s);
}

TEST_PLAIN(a_client_process_that_is_stopped_ends_its_handlers)
{
    static const struct echo_service service = { .chat = tell_begin_and_end };
    struct stopped p;
    struct echo_server e;
    int code = 0;
    stopped_fork(&p, stopped_client);
    sennit_chan *ends = sennit_chan_new(sizeof(int), 1);
    echo_start(
        &e, &service, ends,
        (sennit_server_options){ .keepalive_time = 50 * MS, .keepalive_timeout = 2000 * MS });
    check(write(p.to[1], e.address, sizeof e.address) == sizeof e.address);
    check(!sennit_chan_recv(ends, NULL, &code)); /* its stream is there */
    stopped_stop(&p);
    check(!sennit_chan_recv(ends, NULL, &code));
    check(code == SENNIT_UNAVAILABLE || code == SENNIT_CANCELLED);
    echo_stop(&e);
    sennit_chan_free(ends);
    stopped_end(&p);
}

TEST(answered_pings_keep_a_connection)
{
    static const struct echo_service service = { .unary = echo_back };
    struct echo_server e;
    struct echo_msg reply;
    const sennit_peer *first = NULL, *last = NULL;
    echo_start(&e, &service, NULL, (sennit_server_options){ .keepalive_min_time = -1 });
    sennit_conn *c =
        dial_with(e.address, (sennit_conn_options){ .keepalive_time = 5 * MS,
                                                    .keepalive_timeout = 10 * SENNIT_SECOND,
                                                    .keepalive_without_calls = true });
    sennit_ctx *ctx = sennit_ctx_timeout(NULL, 30 * SENNIT_SECOND);
    struct echo_msg q = { .number = 1 };
    sennit_call_options o = { .peer = &first };
    check(!sennit_call(c, ctx, &echo_methods[0], &q, &reply, &o, sizeof o));
    sennit_sleep(NULL, 100 * MS); /* some twenty pings */
    o.peer = &last;
    check(!sennit_call(c, ctx, &echo_methods[0], &q, &reply, &o, sizeof o));
    check_str(first->local_address, last->local_address); /* the same socket */
    sennit_ctx_free(ctx);
    sennit_conn_free(c);
    echo_stop(&e);
}

/* -- a client that pings too often ---------------------------------------------------------------
 */

static sennit_err wait_for_end(void *self, sennit_ctx *ctx, sennit_stream *s)
{
    (void)self, (void)ctx;
    while (sennit_recv(s)) {
    }
    return sennit_stream_error(s);
}

static sennit_wait_group ping_lines;

static void hear_pings(void *self, const sennit_log_line *l)
{
    (void)self;
    if (strcmp(l->part, "client") != 0)
        return;
    check_int(l->level, SENNIT_LOG_WARN);
    check_str(l->reason, "SENNIT-E212");
    check(strstr(l->text, " says too_many_pings: keepalive_time is 10 ms from now on"));
    sennit_wait_group_done(&ping_lines);
}

TEST(a_client_that_pings_too_often_is_told_to_calm_down)
{
    sennit_wait_group_add(&ping_lines, 1);
    sennit_log_to(&(sennit_logger){ NULL, hear_pings });
    static const struct echo_service service = { .chat = wait_for_end, .unary = echo_back };
    struct talk t;
    struct echo_msg reply;
    talk_start(&t, &service, NULL, (sennit_server_options){ 0 });
    sennit_conn_free(t.conn);
    t.conn = dial_with(t.e.address, (sennit_conn_options){ .keepalive_time = 5 * MS,
                                                           .keepalive_timeout = SENNIT_SECOND });
    sennit_stream *s = talk_open(&t, CHAT, NULL);
    check(!sennit_recv(s)); /* ends with the connection */
    sennit_err err = sennit_finish(s, NULL);
    check_int(code_of(err), SENNIT_UNAVAILABLE);
    check(strstr(err->message, "ENHANCE_YOUR_CALM"));
    check(strstr(err->message, "too_many_pings"));
    check_str(said(echo_call(t.conn, t.ctx, "again", &reply)), "fine"); /* on a new one */
    check(!sennit_wait_group_wait(&ping_lines, NULL));
    talk_stop(&t);
}

/* A message larger than any first window; self, a channel of int, is told of the end. */
static sennit_err send_much(void *self, sennit_ctx *ctx, sennit_stream *s)
{
    static const char octets[200000];
    sennit_send(s, &(struct echo_msg){ .text = { octets, sizeof octets } }); /* it leaves before */
    return tell_end(self, ctx, s);
}

static void read_all(int fd, unsigned char *to, size_t n)
{
    for (ssize_t got; n; to += got, n -= (size_t)got) {
        got = recv(fd, to, n, 0);
        check(got > 0);
    }
}

/* Reads frames until there were n octets of DATA and, if so wished, the ack of a PING. */
static void read_data(int fd, size_t n, bool ack)
{
    while (n || ack) {
        unsigned char head[9], body[16384];
        read_all(fd, head, sizeof head);
        size_t len = (size_t)head[1] << 8 | head[2];
        check(len <= sizeof body);
        read_all(fd, body, len);
        check(head[3] != 7); /* GOAWAY */
        if (head[3] == 0)
            n = n > len ? n - len : 0;
        ack = ack && !(head[3] == 6 && head[4] == 1);
    }
}

/* As clients ping that measure bandwidth times delay. */
static void *measuring_client(void *address)
{
    static const unsigned char more[] = {
        0, 0, 4, 8, 0, 0, 0, 0, 0, 0, 0, 16, 0,             /* WINDOW_UPDATE 4096, all */
        0, 0, 4, 8, 0, 0, 0, 0, 1, 0, 0, 16, 0,             /* stream 1 */
        0, 0, 8, 6, 0, 0, 0, 0, 0, 1, 2, 3,  4, 5, 6, 7, 8, /* PING */
    };
    int fd = silent_client(address);
    read_data(fd, 65535, false);
    for (int i = 0; i < 20; i++) {
        check(send(fd, more, sizeof more, MSG_NOSIGNAL) == (ssize_t)sizeof more);
        read_data(fd, 4096, true);
    }
    close(fd);
    return NULL;
}

TEST_PLAIN(pings_between_the_pieces_of_a_large_response_are_no_strikes)
{
    static const struct echo_service service = { .chat = send_much };
    sennit_chan *ends = sennit_chan_new(sizeof(int), 1);
    struct echo_server e;
    pthread_t thread;
    int code;
    echo_start(&e, &service, ends, (sennit_server_options){ 0 });
    check(pthread_create(&thread, NULL, measuring_client, e.address) == 0);
    check(!sennit_chan_recv(ends, NULL, &code));
    pthread_join(thread, NULL);
    echo_stop(&e);
    sennit_chan_free(ends);
}

/* -- idle and old connections --------------------------------------------------------------------
 */

TEST(an_idle_connection_is_ended_and_the_next_call_makes_another)
{
    static const struct echo_service service = { .unary = echo_back };
    struct talk t;
    struct echo_msg reply;
    struct echo_msg q = { .number = 1 };
    const sennit_peer *first = NULL, *next = NULL;
    talk_start(&t, &service, NULL, (sennit_server_options){ .max_connection_idle = 20 * MS });
    sennit_call_options o = { .peer = &first };
    check(!sennit_call(t.conn, t.ctx, &echo_methods[0], &q, &reply, &o, sizeof o));
    do {
        sennit_sleep(NULL, 40 * MS);
        o.peer = &next;
        sennit_err err = sennit_call(t.conn, t.ctx, &echo_methods[0], &q, &reply, &o, sizeof o);
        check_str(said(err), "fine");
    } while (strcmp(first->local_address, next->local_address) == 0);
    talk_stop(&t);
}

TEST(an_old_connection_lets_streams_go_on_until_the_grace_has_passed)
{
    static const struct echo_service service = { .chat = echo_chat };
    struct talk t;
    talk_start(&t, &service, NULL,
               (sennit_server_options){ .max_connection_age = 30 * MS,
                                        .max_connection_age_grace = 200 * MS });
    sennit_stream *s = talk_open(&t, CHAT, NULL);
    sennit_err err = NULL;
    int rounds = 0;
    while (!err && sennit_now() > 0) { /* until it ends, which it must */
        err = sennit_send(s, &(struct echo_msg){ .number = rounds });
        if (!err && sennit_recv(s))
            rounds++;
        else if (!err)
            err = sennit_stream_error(s);
        sennit_sleep(NULL, MS);
    }
    check(rounds > 0);
    check_int(code_of(sennit_finish(s, NULL)), SENNIT_UNAVAILABLE);
    s = talk_open(&t, CHAT, NULL); /* on a new connection */
    check_str(said(sennit_send(s, &(struct echo_msg){ .number = 1 })), "fine");
    check(sennit_recv(s));
    talk_stop(&t);
}

/* -- what the kernel is told ------------------------------------------------------------------- */

static int (*real_setsockopt)(int fd, int level, int name, const void *v, socklen_t len);
static _Atomic unsigned user_timeouts[2]; /* how often, and the last value in ms */

static int count_user_timeouts(int fd, int level, int name, const void *v, socklen_t len)
{
    if (level == IPPROTO_TCP && name == TCP_USER_TIMEOUT) {
        user_timeouts[0]++;
        user_timeouts[1] = *(const unsigned *)v;
    }
    return real_setsockopt(fd, level, name, v, len);
}

TEST(tcp_user_timeout_is_the_keepalives_where_that_is_on)
{
    static const struct echo_service plain = { .unary = echo_back };
    struct echo_server e;
    struct echo_msg reply;
    real_setsockopt = sys.setsockopt;
    sys.setsockopt = count_user_timeouts;
    echo_start(&e, &plain, NULL, (sennit_server_options){ .keepalive_time = -1 });
    for (int on = 0; on < 2; on++) {
        sennit_conn *c = dial_with(
            e.address, (sennit_conn_options){ .keepalive_time = on ? 100 * SENNIT_SECOND : 0,
                                              .keepalive_timeout = 7 * SENNIT_SECOND });
        sennit_ctx *ctx = sennit_ctx_timeout(NULL, 10 * SENNIT_SECOND);
        check(!echo_call(c, ctx, "hello", &reply));
        check_int(user_timeouts[0], on);
        check_int(user_timeouts[1], on * 7000);
        sennit_ctx_free(ctx);
        sennit_conn_free(c);
    }
    echo_stop(&e);
}
