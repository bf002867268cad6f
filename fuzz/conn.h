/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * conn.h: for targets that speak to a whole server or client of ours: sockets, blocking, from the
 * fuzzer's own thread. */
#ifndef SENNIT_FUZZ_CONN_H
#define SENNIT_FUZZ_CONN_H

#include "bench.sennit.h"
#include "fuzz.h"
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#define CONN_SECONDS 10 /* a peer that says nothing for so long hangs: a finding */

static inline void conn_patience(int fd)
{
    const struct timeval t = { .tv_sec = CONN_SECONDS };
    demand(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &t, sizeof t) == 0);
    demand(setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &t, sizeof t) == 0);
}

/* An abstract unix socket of this process: its address, for bind, connect and as a target. */
static inline socklen_t conn_address(struct sockaddr_un *un, char target[64], const char *what)
{
    int n = snprintf(target, 64, "fuzz-%s-%d", what, (int)getpid());
    *un = (struct sockaddr_un){ .sun_family = AF_UNIX };
    memcpy(un->sun_path + 1, target, (size_t)n);
    snprintf(target, 64, "unix-abstract:fuzz-%s-%d", what, (int)getpid());
    return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)n);
}

/* libFuzzer's alarm ends a recv that has a timeout, whatever SA_RESTART says. */
static inline ssize_t conn_recv(int fd, void *to, size_t n)
{
    ssize_t got;
    do
        got = recv(fd, to, n, 0);
    while (got < 0 && errno == EINTR);
    return got;
}

/* The peer may close before it has read all. */
static inline void conn_send(int fd, const void *p, size_t n)
{
    const char *at = p;
    while (n) {
        ssize_t sent = send(fd, at, n, MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent <= 0)
            return;
        at += sent, n -= (size_t)sent;
    }
}

#define CONN_PREFACE  "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
#define CONN_SETTINGS "\0\0\0\4\0\0\0\0\0"

/* -- a server of bench.Bench, started once ---------------------------------------------------- */

static struct sockaddr_un conn_server_address;
static socklen_t conn_server_len;
static sennit_server *conn_server;

static inline sennit_err conn_unary(void *self, sennit_ctx *ctx, const bench_Msg *q, bench_Msg *r)
{
    (void)self, (void)ctx;
    r->payload = q->payload;
    return NULL;
}
static inline sennit_err conn_stream(void *self, sennit_ctx *ctx, bench_Bench_StreamServer s)
{
    const bench_Msg *m;
    sennit_err err = NULL;
    (void)self, (void)ctx;
    while (!err && (m = bench_Bench_StreamServer_recv(s)))
        err = bench_Bench_StreamServer_send(s, m);
    return err ? err : bench_Bench_StreamServer_error(s);
}
static inline void conn_serve(void *server)
{
    sennit_err err = sennit_serve(server);
    demand(!err);
}

static inline int conn_to_server(void)
{
    static const bench_BenchService service = { .Unary = conn_unary, .Stream = conn_stream };
    if (!conn_server) {
        char target[64];
        conn_server_len = conn_address(&conn_server_address, target, "server");
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        demand(bind(fd, (void *)&conn_server_address, conn_server_len) == 0);
        demand(listen(fd, 64) == 0);
        conn_server = sennit_server_new(&(sennit_server_options){ .creds = sennit_insecure() });
        demand(!bench_Bench_register(conn_server, &service, NULL));
        demand(!sennit_listen_fd(conn_server, fd));
        demand(!sennit_go(conn_serve, conn_server));
    }
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    demand(fd >= 0);
    conn_patience(fd);
    demand(connect(fd, (void *)&conn_server_address, conn_server_len) == 0);
    return fd;
}

/* All that the peer says until it closes; *len: of what was kept. */
static inline void conn_read_all(int fd, uint8_t *to, size_t cap, size_t *len)
{
    uint8_t rest[4096];
    ssize_t got;
    *len = 0;
    do {
        bool keep = *len < cap;
        got = conn_recv(fd, keep ? to + *len : rest, keep ? cap - *len : sizeof rest);
        demand(got >= 0 || errno == ECONNRESET); /* not a timeout */
        *len += keep && got > 0 ? (size_t)got : 0;
    } while (got > 0);
}

#endif
