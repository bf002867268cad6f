/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * fuzz_tls.c: a TLS stream of ours, on either side, against OpenSSL in memory with the input
 * between them. The first octet says which side is ours; then each step of our reading takes one
 * operation: what the peer does, or what happens to its octets on the way (cut, one bit turned,
 * octets put in or lost). Whatever happens, what comes out is the beginning of what the peer wrote,
 * and the stream comes to an end. */
#include "base/base.h"
#include "fuzz.h"
#include "net/creds.h"
#include "net/net.h"
#include "rt/rt.h"
#include "sennit.h"
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <sys/uio.h>

#define PLAIN_MOST  100000u
#define ROUNDS_MOST 2000

struct way {
    struct net_io io; /* what our stream stands on; must be first */
    const uint8_t *p; /* of the input */
    size_t n;
    SSL *peer;
    uint8_t pending[1 << 17]; /* from the peer, on the way */
    size_t len;
    size_t wrote, read_back; /* plain octets: by the peer; that came back to it */
    bool closed;
};

/* Octet i of what the peer writes. */
static uint8_t octet(size_t i) { return (uint8_t)(i * 7 + i / 251); }

static uint8_t take(struct way *w) { return w->n ? (w->n--, *w->p++) : 0; }

/* -- certificates and contexts, once ---------------------------------------------------------- */

static SSL_CTX *peer_ctx[2]; /* of a peer that is a client, a server */
static sennit_creds *creds;

static int choose_h2(SSL *ssl, const unsigned char **out, unsigned char *out_len,
                     const unsigned char *in, unsigned int n, void *arg)
{
    (void)ssl, (void)in, (void)n, (void)arg;
    *out = (const unsigned char *)"h2", *out_len = 2;
    return SSL_TLSEXT_ERR_OK;
}

static X509 *make_certificate(EVP_PKEY *key)
{
    X509 *cert = X509_new();
    demand(cert && X509_set_version(cert, 2) && X509_set_pubkey(cert, key));
    demand(X509_NAME_add_entry_by_txt(X509_get_subject_name(cert), "CN", MBSTRING_ASC,
                                      (const unsigned char *)"fuzz", -1, -1, 0));
    demand(X509_set_issuer_name(cert, X509_get_subject_name(cert)));
    demand(X509_gmtime_adj(X509_getm_notBefore(cert), -86400) &&
           X509_gmtime_adj(X509_getm_notAfter(cert), 86400));
    X509V3_CTX v3;
    X509V3_set_ctx(&v3, cert, cert, NULL, NULL, 0);
    X509_EXTENSION *names = X509V3_EXT_conf_nid(NULL, &v3, NID_subject_alt_name, "DNS:fuzz.test");
    demand(names && X509_add_ext(cert, names, -1));
    X509_EXTENSION_free(names);
    demand(X509_sign(cert, key, EVP_sha256()));
    return cert;
}

static void prepare(void)
{
    static char cert_pem[4096], key_pem[2048];
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *cert = make_certificate(key);
    BIO *b = BIO_new(BIO_s_mem());
    demand(PEM_write_bio_X509(b, cert) && BIO_read(b, cert_pem, sizeof cert_pem - 1) > 0);
    demand(PEM_write_bio_PrivateKey(b, key, NULL, NULL, 0, NULL, NULL) &&
           BIO_read(b, key_pem, sizeof key_pem - 1) > 0);
    BIO_free(b);
    for (int server = 0; server < 2; server++) {
        SSL_CTX *c = peer_ctx[server] =
            SSL_CTX_new(server ? TLS_server_method() : TLS_client_method());
        demand(c);
        if (server)
            demand(SSL_CTX_use_certificate(c, cert) && SSL_CTX_use_PrivateKey(c, key));
        SSL_CTX_set_alpn_select_cb(c, choose_h2, NULL);
        demand(SSL_CTX_set_alpn_protos(c, (const unsigned char *)"\2h2", 3) == 0);
    }
    X509_free(cert);
    EVP_PKEY_free(key);
    creds = sennit_tls_new(&(sennit_tls_options){ .ca_pem = sennit_s(cert_pem),
                                                  .cert_pem = sennit_s(cert_pem),
                                                  .key_pem = sennit_s(key_pem),
                                                  .client_cert = -1,
                                                  .no_resumption = true });
    demand(!creds_prepare(creds, false) && !creds_prepare(creds, true));
}

/* -- the peer --------------------------------------------------------------------------------- */

/* It reads what it has been sent, so that it answers; what came back must be what it wrote. */
static void peer_turn(struct way *w)
{
    uint8_t got[4096];
    int n;
    ERR_clear_error();
    while ((n = SSL_read(w->peer, got, sizeof got)) > 0)
        for (int i = 0; i < n; i++)
            demand(got[i] == octet(w->read_back++));
    n = BIO_read(SSL_get_wbio(w->peer), w->pending + w->len, (int)(sizeof w->pending - w->len));
    w->len += n > 0 ? (size_t)n : 0;
    ERR_clear_error();
}

static void peer_write(struct way *w, size_t n)
{
    static uint8_t text[1 << 15];
    if (w->wrote + n > PLAIN_MOST || n == 0 || !SSL_is_init_finished(w->peer))
        return;
    for (size_t i = 0; i < n; i++)
        text[i] = octet(w->wrote + i);
    if (SSL_write(w->peer, text, (int)n) == (int)n)
        w->wrote += n;
}

/* One operation of the input; how many of the pending octets may go on. */
static size_t operate(struct way *w)
{
    uint8_t op = take(w);
    size_t k = take(w);
    switch (op % 8) {
    case 1:
        return min_size(k, w->len);
    case 2:
        if (w->len)
            w->pending[(k * 257) % w->len] ^= (uint8_t)(1 << (op >> 5));
        break;
    case 3:
        k = min_size(min_size(k, w->n), sizeof w->pending - w->len);
        memmove(w->pending + k, w->pending, w->len);
        memcpy(w->pending, w->p, k);
        w->len += k, w->p += k, w->n -= k;
        break;
    case 4:
        peer_write(w, k << (op >> 5));
        break;
    case 5:
        if (SSL_is_init_finished(w->peer))
            SSL_key_update(w->peer, k & 1);
        peer_write(w, 1);
        break;
    case 6:
        SSL_shutdown(w->peer);
        break;
    case 7:
        w->len -= min_size(k, w->len);
        break;
    default:
        break;
    }
    peer_turn(w);
    return w->len;
}

/* -- what our stream stands on ---------------------------------------------------------------- */

static ssize_t way_recv(struct net_io *io, void *p, size_t n)
{
    struct way *w = (struct way *)(void *)io;
    peer_turn(w);
    size_t may = w->n ? 0 : w->len;
    while (may == 0 && w->n)
        may = operate(w);
    may = min_size(may, n);
    memcpy(p, w->pending, may);
    memmove(w->pending, w->pending + may, w->len - may);
    w->len -= may;
    io->more = w->len > 0;
    return (ssize_t)may; /* 0: the input is used up */
}

static ssize_t way_send(struct net_io *io, const struct iovec *v, int n)
{
    struct way *w = (struct way *)(void *)io;
    demand(n == 1 && v->iov_len > 0);
    return BIO_write(SSL_get_rbio(w->peer), v->iov_base, (int)v->iov_len);
}

static void way_close(struct net_io *io)
{
    struct way *w = (struct way *)(void *)io;
    demand(!w->closed);
    w->closed = true;
}

static const struct net_io_ops way_ops = { .recv = way_recv, .send = way_send, .close = way_close };

/* -- our stream ------------------------------------------------------------------------------- */

static void nothing(struct rt_task *t) { (void)t; }

/* Reads to the end and sends all back. */
static void converse(struct net_io *io, struct way *w)
{
    static struct rt_task task;
    static uint8_t got[1 << 17];
    size_t seen = 0;
    if (!task.fn)
        rt_task_init(&task, nothing);
    io->task = &task;
    for (int round = 0;; round++) {
        demand(round < ROUNDS_MOST + (int)w->n);
        ssize_t n = io->ops->recv(io, got, sizeof got);
        if (n == -EAGAIN)
            continue;
        if (n <= 0)
            break;
        for (ssize_t i = 0; i < n; i++)
            demand(got[i] == octet(seen++));
        demand(seen <= w->wrote);
        for (ssize_t at = 0; at < n;) {
            struct iovec v = { got + at, (size_t)(n - at) };
            ssize_t sent = io->ops->send(io, &v, 1);
            if (sent <= 0)
                break;
            at += sent;
        }
    }
    io->ops->close(io);
    demand(w->closed);
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
    static struct way w;
    sennit_err err = NULL;
    if (!creds)
        prepare();
    w = (struct way){ .io = { .ops = &way_ops }, .p = p, .n = n };
    bool server = take(&w) & 1;
    w.peer = SSL_new(peer_ctx[!server]);
    demand(w.peer);
    SSL_set_bio(w.peer, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
    if (server)
        SSL_set_connect_state(w.peer);
    else
        SSL_set_accept_state(w.peer);
    struct net_session *s = creds->ops->session(creds, server, server ? NULL : "fuzz.test", &err);
    demand(s);
    sennit_ctx *ctx = sennit_ctx_new(NULL);
    struct net_io *io = net_secure(s, &w.io, ctx, &err);
    demand(io || err);
    if (io)
        converse(io, &w);
    sennit_ctx_free(ctx);
    SSL_free(w.peer);
    return 0;
}
