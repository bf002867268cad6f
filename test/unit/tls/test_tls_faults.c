/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * test_tls_faults.c: peers that do TLS wrongly, slowly or too much: a clear error here, no leak
 * (the harness counts), and the server lives. */
#include "world.h"
#include <errno.h>
#include <sys/resource.h>

#define TRANSPORT "connection error: desc = \"transport: authentication handshake failed: "
#define PREFACE   "connection error: desc = \"error reading server preface: "

static void check_lives(struct world *w)
{
    sennit_conn *c = world_dial(w, (sennit_tls_options){ 0 });
    check_str(world_call(c), "fine");
    sennit_conn_free(c);
}

/* -- ALPN ------------------------------------------------------------------------------------- */

TEST(clients_without_h2_in_alpn_are_told_so_by_an_alert)
{
    static const char *const offered[] = { NULL, "\10http/1.1" };
    struct world w;
    world_pki(&w);
    world_start(&w, (sennit_tls_options){ 0 }, &plain);
    for (int i = 0; i < 2; i++) {
        struct raw r;
        raw_open(&r, pki_connect(w.e.address), NULL, offered[i]);
        check(SSL_connect(r.ssl) < 1);
        check_int(ERR_GET_REASON(ERR_peek_error()),
                  SSL_AD_REASON_OFFSET + SSL_AD_NO_APPLICATION_PROTOCOL);
        raw_close(&r);
    }
    check_lives(&w);
    world_stop(&w);
}

/* -- servers of other people ------------------------------------------------------------------ */

enum script { NO_ALPN, HTTP1, CUT, END, TWICE };
struct raw_server {
    struct world *w;
    enum script script;
    int listener;
    char address[32];
    pthread_t thread;
    int reused;
};

static void script_end(struct raw *r, struct raw_server *s)
{
    char buf[512];
    if (s->script != CUT && s->script != END && s->script != TWICE)
        return;
    if (s->script == TWICE)
        check(SSL_write(r->ssl, RAW_SETTINGS, 9) == 9);
    check(SSL_read(r->ssl, buf, sizeof buf) > 0); /* or the close would be a reset */
    if (s->script == END)
        SSL_shutdown(r->ssl);
    while (s->script == TWICE && SSL_read(r->ssl, buf, sizeof buf) > 0) {
    }
    s->reused += SSL_session_reused(r->ssl);
}

static void *script_run(void *arg)
{
    struct raw_server *s = arg;
    SSL_CTX *ctx = SSL_CTX_new(TLS_method()); /* of both: it knows its tickets */
    for (int i = 0; i < (s->script == TWICE ? 2 : 1); i++) {
        struct raw r;
        SSL_CTX_up_ref(ctx);
        raw_open_with(&r, accept(s->listener, NULL, NULL), &s->w->server,
                      s->script == NO_ALPN ? NULL
                      : s->script == HTTP1 ? "\10http/1.1"
                                           : "\2h2",
                      ctx);
        int accepted = SSL_accept(r.ssl);
        check(accepted == 1 || s->script == HTTP1);
        script_end(&r, s);
        raw_close(&r);
    }
    SSL_CTX_free(ctx);
    return NULL;
}

static void script_start(struct raw_server *s, struct world *w, enum script script)
{
    *s = (struct raw_server){ .w = w, .script = script };
    s->listener = pki_listen(s->address);
    check(pthread_create(&s->thread, NULL, script_run, s) == 0);
}

static void script_stop(struct raw_server *s)
{
    pthread_join(s->thread, NULL);
    close(s->listener);
}

static void check_script(enum script script, const char *text)
{
    struct world w;
    struct raw_server s;
    world_pki(&w);
    script_start(&s, &w, script);
    snprintf(w.e.address, sizeof w.e.address, "%s", s.address);
    sennit_conn *c = world_dial(&w, (sennit_tls_options){ 0 });
    check_str(world_call(c), text);
    sennit_conn_free(c);
    script_stop(&s);
    pki_free(&w.ca), pki_free(&w.server), pki_free(&w.client);
}

TEST(server_without_alpn_is_refused)
{
    check_script(NO_ALPN, TRANSPORT "credentials: cannot check peer: missing selected ALPN "
                                    "property (the server does not speak HTTP/2 over TLS)\"");
}

TEST(server_that_chooses_http1_is_refused)
{
    check_script(HTTP1, TRANSPORT "tls: bad extension\"");
}

TEST(truncation_is_told_from_the_end_of_a_session)
{
    check_script(CUT, PREFACE "error reading from server: unexpected EOF: the connection was cut "
                              "without a TLS close_notify\"");
    check_script(END, PREFACE "error reading from server: EOF\"");
}

TEST(client_resumes_a_session)
{
    struct world w;
    struct raw_server s;
    world_pki(&w);
    script_start(&s, &w, TWICE);
    sennit_creds *creds = sennit_tls_new(&(sennit_tls_options){ .ca_pem = pki_cert(&w.ca) });
    for (int i = 0; i < 2; i++) {
        sennit_conn *c = sennit_dial(s.address, &(sennit_conn_options){ .creds = creds });
        sennit_err err = sennit_conn_ready(c, NULL);
        check_str(err ? err->message : "fine", "fine");
        sennit_conn_free(c);
    }
    sennit_creds_free(creds);
    script_stop(&s);
    check_int(s.reused, 1);
    pki_free(&w.ca), pki_free(&w.server), pki_free(&w.client);
}

/* -- cut at each octet ------------------------------------------------------------------------ */

/* Sends what r has to say, but no more than *left octets in all; false: that is used up. */
static bool cut_send(struct raw *r, BIO *out, long *left)
{
    char buf[4096];
    int n = BIO_read(out, buf, sizeof buf);
    long some = n < *left ? n : *left;
    if (some > 0)
        check(send(r->fd, buf, (size_t)some, MSG_NOSIGNAL) == some || errno == EPIPE ||
              errno == ECONNRESET);
    *left -= n > 0 ? n : 0;
    return *left >= 0;
}

/* A handshake whose octets end after left; true: it needed no more. */
static bool cut_handshake(int fd, const struct pki *own, long left, _Atomic bool *over)
{
    struct raw r;
    BIO *in = BIO_new(BIO_s_mem()), *out = BIO_new(BIO_s_mem());
    char buf[4096];
    bool whole = false;
    raw_open(&r, fd, own, "\2h2");
    SSL_set_bio(r.ssl, in, out);
    for (;;) {
        int done = SSL_do_handshake(r.ssl);
        if (!cut_send(&r, out, &left))
            break;
        whole = done == 1;
        ssize_t n = whole ? 0 : recv(fd, buf, sizeof buf, 0);
        if (n <= 0)
            break;
        BIO_write(in, buf, (int)n);
    }
    *over = whole; /* before the peer can see the end */
    raw_close(&r);
    return whole;
}

TEST_WITH(server_survives_handshakes_cut_at_each_octet, 120, false)
{
    struct world w;
    world_pki(&w);
    world_start(&w, (sennit_tls_options){ .ca_pem = pki_cert(&w.ca), .client_cert = 2 }, &plain);
    long n = 0;
    _Atomic bool over;
    while (!cut_handshake(pki_connect(w.e.address), NULL, n, &over))
        n++;
    check(n > 200);
    check_lives(&w);
    world_stop(&w);
}

struct cut_server {
    struct world *w;
    int listener;
    long n;
    _Atomic bool over;
};

static void *cut_serve(void *arg)
{
    struct cut_server *s = arg;
    while (!cut_handshake(accept(s->listener, NULL, NULL), &s->w->server, s->n, &s->over))
        s->n++;
    return NULL;
}

TEST_WITH(client_tells_of_handshakes_cut_at_each_octet, 120, false)
{
    struct world w;
    struct cut_server s = { .w = &w };
    pthread_t thread;
    world_pki(&w);
    s.listener = pki_listen(w.e.address);
    check(pthread_create(&thread, NULL, cut_serve, &s) == 0);
    while (!s.over) {
        sennit_conn *c = world_dial(&w, (sennit_tls_options){ 0 });
        check(strncmp(world_call(c), "connection error: desc = \"", 26) == 0);
        sennit_conn_free(c);
    }
    pthread_join(thread, NULL);
    check(s.n > 400);
    close(s.listener);
    pki_free(&w.ca), pki_free(&w.server), pki_free(&w.client);
}

/* -- slow, and too much ----------------------------------------------------------------------- */

TEST(silent_client_is_dropped_when_its_time_is_over)
{
    struct world w;
    char octet;
    world_pki(&w);
    world_start_with(&w, (sennit_tls_options){ 0 }, &plain,
                     (sennit_server_options){ .handshake_timeout = 100 * SENNIT_MILLISECOND });
    int fd = pki_connect(w.e.address);
    check(recv(fd, &octet, 1, 0) == 0);
    close(fd);
    check_lives(&w);
    world_stop(&w);
}

static void flood(struct raw *r, int n)
{
    for (int i = 0; i < n && SSL_key_update(r->ssl, SSL_KEY_UPDATE_NOT_REQUESTED); i++) {
        if (SSL_do_handshake(r->ssl) != 1)
            return;
    }
}

TEST(key_updates_are_fine_and_a_flood_of_them_is_not)
{
    struct world w;
    struct raw r;
    char buf[256];
    world_pki(&w);
    world_start(&w, (sennit_tls_options){ 0 }, &plain);
    raw_open(&r, pki_connect(w.e.address), NULL, "\2h2");
    check_int(SSL_connect(r.ssl), 1);
    flood(&r, 20);
    check_int(SSL_write(r.ssl, RAW_PREFACE, sizeof RAW_PREFACE - 1), sizeof RAW_PREFACE - 1);
    check(SSL_read(r.ssl, buf, sizeof buf) > 0); /* the server's SETTINGS */
    flood(&r, 2000);
    while (SSL_read(r.ssl, buf, sizeof buf) > 0) {
    }
    raw_close(&r);
    check_lives(&w);
    world_stop(&w);
}

#define CROWD 1000

/* A ClientHello that all of a crowd send. */
static size_t crowd_hello(char *out, size_t size)
{
    struct raw r;
    BIO *in = BIO_new(BIO_s_mem()), *made = BIO_new(BIO_s_mem());
    raw_open(&r, -1, NULL, "\2h2");
    SSL_set_bio(r.ssl, in, made);
    SSL_do_handshake(r.ssl);
    int n = BIO_read(made, out, (int)size);
    check(n > 100);
    raw_close(&r);
    return (size_t)n;
}

/* An octet now and then wins no time: it is for the whole handshake. */
TEST(slow_client_is_dropped_when_its_time_is_over)
{
    struct world w;
    char hello[2048], octet;
    size_t n = crowd_hello(hello, sizeof hello), sent = 0;
    world_pki(&w);
    world_start_with(&w, (sennit_tls_options){ 0 }, &plain,
                     (sennit_server_options){ .handshake_timeout = 100 * SENNIT_MILLISECOND });
    int fd = pki_connect(w.e.address);
    while (recv(fd, &octet, 1, MSG_DONTWAIT) < 0 && errno == EAGAIN) {
        check(sent < n - 1 && send(fd, hello + sent, 1, MSG_NOSIGNAL) >= 0);
        sent++;
        usleep(5000);
    }
    close(fd);
    check_lives(&w);
    world_stop(&w);
}

TEST_WITH(calls_go_on_beside_a_thousand_handshakes, 120, false)
{
    struct rlimit files;
    struct world w;
    static struct pollfd crowd[CROWD];
    char hello[2048];
    check(getrlimit(RLIMIT_NOFILE, &files) == 0);
    files.rlim_cur = files.rlim_max < 8192 ? files.rlim_max : 8192;
    setrlimit(RLIMIT_NOFILE, &files);
    world_pki(&w);
    world_start(&w, (sennit_tls_options){ 0 }, &plain);
    sennit_conn *c = world_dial(&w, (sennit_tls_options){ 0 });
    check_str(world_call(c), "fine");
    size_t n = crowd_hello(hello, sizeof hello);
    for (int i = 0; i < CROWD; i++)
        crowd[i] = (struct pollfd){ .fd = pki_connect(w.e.address), .events = POLLIN };
    for (int i = 0; i < CROWD; i++)
        check(send(crowd[i].fd, hello, n, MSG_NOSIGNAL) == (ssize_t)n);
    int answered = 0, calls = 0;
    int64_t worst = 0;
    for (; answered < CROWD; calls++) {
        int64_t at = sennit_now();
        check_str(world_call(c), "fine");
        at = sennit_now() - at;
        worst = at > worst ? at : worst;
        answered = poll(crowd, CROWD, 0);
    }
    check(calls > 0);
    if (getenv("SENNIT_TIMES"))
        printf("%d calls beside %d handshakes, the slowest took %.1f ms\n", calls, CROWD,
               (double)worst / 1e6);
    for (int i = 0; i < CROWD; i++) {
        check(recv(crowd[i].fd, hello, sizeof hello, 0) > 0); /* a ServerHello, not the end */
        close(crowd[i].fd);
    }
    sennit_conn_free(c);
    world_stop(&w);
}
