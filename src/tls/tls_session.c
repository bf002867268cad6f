/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * tls_session.c: one connection's TLS as a session of net/creds.h: OpenSSL between two spans of
 * memory, by a BIO that reads what `in` points to and appends to `out`.
 * What a peer may do without sending data is bounded: each handshake message after the handshake
 * (key update, ticket, refused renegotiation) costs one of LIMIT_TLS_CONTROL, and LIMIT_TLS_REFILL
 * octets of plain text give one back. At none left its input is dropped and the session fails. */
#include "tls/tls.h"
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdarg.h>
#include <stdio.h>

static struct tls_session *tls_session_of(struct net_session *s)
{
    return container_of(s, struct tls_session, base);
}

/* -- the two spans ---------------------------------------------------------------------------- */

static int tls_bio_read(BIO *bio, char *p, size_t n, size_t *got)
{
    struct tls_session *s = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    *got = min_size(n, s->base.in_len);
    if (*got == 0) {
        BIO_set_retry_read(bio);
        return 0;
    }
    memcpy(p, s->base.in, *got);
    s->base.in += *got, s->base.in_len -= *got;
    return 1;
}

static int tls_bio_write(BIO *bio, const char *p, size_t n, size_t *put)
{
    struct tls_session *s = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    *put = min_size(n, s->base.out_room - s->base.out_len);
    if (*put == 0 && n) {
        BIO_set_retry_write(bio);
        return 0;
    }
    memcpy(s->base.out + s->base.out_len, p, *put);
    s->base.out_len += *put;
    return 1;
}

static long tls_bio_ctrl(BIO *bio, int command, long n, void *p)
{
    (void)bio, (void)n, (void)p;
    return command == BIO_CTRL_FLUSH;
}

static CRYPTO_ONCE tls_bio_once = CRYPTO_ONCE_STATIC_INIT;
static BIO_METHOD *tls_bio_method;

static void tls_bio_fini(void) { BIO_meth_free(tls_bio_method); }

static void tls_bio_init(void)
{
    BIO_METHOD *m = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "sennit");
    if (m && BIO_meth_set_read_ex(m, tls_bio_read) && BIO_meth_set_write_ex(m, tls_bio_write) &&
        BIO_meth_set_ctrl(m, tls_bio_ctrl) && OPENSSL_atexit(tls_bio_fini)) {
        tls_bio_method = m;
        return;
    }
    BIO_meth_free(m);
}

static bool tls_set_bio(struct tls_session *s)
{
    BIO *bio = CRYPTO_THREAD_run_once(&tls_bio_once, tls_bio_init) && tls_bio_method
                   ? BIO_new(tls_bio_method)
                   : NULL;
    if (!bio)
        return false;
    BIO_set_data(bio, s);
    BIO_set_init(bio, 1);
    SSL_set_bio(s->ssl, bio, bio); /* one reference serves both */
    return true;
}

/* -- why it failed ---------------------------------------------------------------------------- */

static void tls_say(struct tls_session *s, const char *fmt, ...) SENNIT_PRINTF(2, 3);
static void tls_say(struct tls_session *s, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(s->failed, sizeof s->failed, fmt, ap);
    va_end(ap);
    s->base.failed = s->failed;
}

static void tls_say_verify(struct tls_session *s)
{
    long result = SSL_get_verify_result(s->ssl);
    if (result == X509_V_ERR_HOSTNAME_MISMATCH || result == X509_V_ERR_IP_ADDRESS_MISMATCH)
        tls_say(s, "tls: failed to verify certificate: x509: certificate is not valid for \"%s\"",
                s->host ? s->host : "");
    else
        tls_say(s, "tls: failed to verify certificate: x509: %s",
                result == X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY ||
                        result == X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN ||
                        result == X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT
                    ? "certificate signed by unknown authority"
                    : X509_verify_cert_error_string(result));
}

/* In Go's words where it has any: they are what people search for. */
static void tls_explain(struct tls_session *s)
{
    unsigned long e = ERR_peek_error();
    int reason = ERR_GET_REASON(e);
    if (ERR_GET_LIB(e) != ERR_LIB_SSL) {
        tls_say(s, "tls: %s", e ? tls_reason() : "the session was given up");
    } else if (reason == SSL_R_CERTIFICATE_VERIFY_FAILED) {
        tls_say_verify(s);
    } else if (reason == SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE) {
        tls_say(s, "tls: client didn't provide a certificate");
    } else if (reason == SSL_AD_REASON_OFFSET + SSL_AD_NO_APPLICATION_PROTOCOL) {
        tls_say(s, "remote error: tls: no application protocol (ALPN \"h2\" is demanded)");
    } else if (reason >= SSL_AD_REASON_OFFSET && reason < SSL_AD_REASON_OFFSET + 256) {
        const char *alert = strstr(tls_reason(), "alert "); /* "tlsv13 alert bad certificate" */
        tls_say(s, "remote error: tls: %s", alert ? alert + strlen("alert ") : tls_reason());
    } else if (reason == SSL_R_CALLBACK_FAILED) {
        tls_say(s, "tls: client requested no application protocol (ALPN \"h2\" is demanded)");
    } else {
        tls_say(s, "tls: %s", tls_reason());
    }
}

/* What a call that did not succeed means; ret as OpenSSL gave it. */
static int tls_result(struct tls_session *s, int ret)
{
    if (s->flooded) {
        tls_say(s, "tls: the peer sent too many control messages and no data");
        return -EPROTO;
    }
    switch (SSL_get_error(s->ssl, ret)) {
    case SSL_ERROR_WANT_READ:
        return -EAGAIN;
    case SSL_ERROR_WANT_WRITE:
        return -ENOBUFS;
    case SSL_ERROR_ZERO_RETURN:
        return 0;
    default:
        tls_explain(s);
        ERR_clear_error();
        return -EPROTO;
    }
}

/* -- the calls of a session ------------------------------------------------------------------- */

static int tls_handshake(struct net_session *base)
{
    struct tls_session *s = tls_session_of(base);
    const unsigned char *alpn;
    unsigned int n;
    ERR_clear_error();
    int ret = SSL_do_handshake(s->ssl);
    if (ret != 1) {
        int result = tls_result(s, ret);
        if (result == 0)
            tls_say(s, "tls: the peer closed the session during the handshake");
        return result == 0 ? -EPROTO : result;
    }
    SSL_get0_alpn_selected(s->ssl, &alpn, &n);
    if (n != 2 || memcmp(alpn, "h2", 2) != 0) {
        tls_say(s, "credentials: cannot check peer: missing selected ALPN property (the server "
                   "does not speak HTTP/2 over TLS)");
        return -EPROTO;
    }
    s->established = true;
    return 0;
}

static ssize_t tls_read_plain(struct net_session *base, void *p, size_t n)
{
    struct tls_session *s = tls_session_of(base);
    size_t got = 0;
    ERR_clear_error();
    int ret = SSL_read_ex(s->ssl, p, n, &got);
    if (ret != 1)
        return tls_result(s, ret);
    s->refill += got;
    if (s->refill >= LIMIT_TLS_REFILL) {
        s->refill = 0;
        s->control += s->control < LIMIT_TLS_CONTROL;
    }
    return (ssize_t)got;
}

static ssize_t tls_write_plain(struct net_session *base, const void *p, size_t n)
{
    struct tls_session *s = tls_session_of(base);
    size_t put = 0;
    ERR_clear_error();
    int ret = SSL_write_ex(s->ssl, p, n, &put);
    return ret == 1 ? (ssize_t)put : tls_result(s, ret);
}

static void tls_shutdown(struct net_session *base)
{
    ERR_clear_error();
    SSL_shutdown(tls_session_of(base)->ssl);
    ERR_clear_error();
}

static void tls_session_free(struct net_session *base)
{
    struct tls_session *s = tls_session_of(base);
    SSL_free(s->ssl);
    sennit_creds_free(&s->creds->base);
    OPENSSL_free(s->host);
    OPENSSL_free(s);
}

const struct net_session_ops tls_session_ops = {
    .handshake = tls_handshake,
    .read = tls_read_plain,
    .write = tls_write_plain,
    .shutdown = tls_shutdown,
    .describe = tls_describe,
    .free = tls_session_free,
};

/* -- making one ------------------------------------------------------------------------------- */

static void tls_saw_message(int sent, int version, int type, const void *p, size_t n, SSL *ssl,
                            void *arg)
{
    struct tls_session *s = arg;
    (void)version, (void)p, (void)n, (void)ssl;
    if (sent || type != SSL3_RT_HANDSHAKE || !s->established)
        return;
    if (s->control) {
        s->control--;
    } else {
        s->flooded = true;
        s->base.in_len = 0; /* ends the loop that would go on with what is there */
    }
}

/* Whom a client wants to meet: asked for by SNI (names only) and checked in the certificate. */
static bool tls_expect(struct tls_session *s)
{
    X509_VERIFY_PARAM *param = SSL_get0_param(s->ssl);
    if (X509_VERIFY_PARAM_set1_ip_asc(param, s->host))
        return true;
    ERR_clear_error();
    X509_VERIFY_PARAM_set_hostflags(param, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS |
                                               X509_CHECK_FLAG_NEVER_CHECK_SUBJECT);
    return SSL_set1_host(s->ssl, s->host) && SSL_set_tlsext_host_name(s->ssl, s->host);
}

static bool tls_set_client_side(struct tls_session *s, const char *host)
{
    s->host = OPENSSL_strdup(host);
    if (!s->host || !tls_expect(s))
        return false;
    SSL_SESSION *kept = s->creds->o.no_resumption ? NULL : tls_kept_take(s->creds, host);
    if (kept)
        SSL_set_session(s->ssl, kept); /* a hint: without it the handshake is a full one */
    SSL_SESSION_free(kept);
    return true;
}

struct net_session *tls_session_new(struct tls_creds *c, SSL_CTX *ctx, const char *host,
                                    sennit_err *err)
{
    *err = sennit_no_memory;
    ERR_clear_error();
    if (host && !host[0]) {
        *err = sennit_errorf(WHY(TLS_NAME),
                             "tls: the target names no host to verify: set server_name");
        return NULL;
    }
    struct tls_session *s = OPENSSL_zalloc(sizeof *s);
    if (!s)
        return NULL;
    s->base.ops = &tls_session_ops;
    s->creds = c;
    s->control = LIMIT_TLS_CONTROL;
    atomic_fetch_add(&c->base.refs, 1);
    s->ssl = SSL_new(ctx);
    if (s->ssl && tls_set_bio(s) && SSL_set_app_data(s->ssl, s)) {
        SSL_set_msg_callback(s->ssl, tls_saw_message);
        SSL_set_msg_callback_arg(s->ssl, s);
        if (!host)
            SSL_set_accept_state(s->ssl);
        else
            SSL_set_connect_state(s->ssl);
        if (!host || tls_set_client_side(s, host)) {
            *err = NULL;
            return &s->base;
        }
    }
    ERR_clear_error();
    tls_session_free(&s->base);
    return NULL;
}
