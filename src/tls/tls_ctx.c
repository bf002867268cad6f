/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * tls_ctx.c: the rules of a role as an SSL_CTX: TLS 1.2 with ECDHE and AEAD alone (RFC 9113 9.2.2
 * forbids the rest) and TLS 1.3, h2 by ALPN or nothing, no compression, no renegotiation, no early
 * data. One is made for each role, and anew when the files have changed; connections keep theirs.
 */
#include "tls/tls.h"
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#define TLS_12_CIPHERS                                                                             \
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:"     \
    "ECDHE-RSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305"
#define TLS_13_CIPHERS "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256"

static const unsigned char tls_h2[] = { 2, 'h', '2' };

const char *tls_reason(void)
{
    unsigned long e = ERR_peek_error();
    const char *text = !e                    ? NULL
                       : ERR_SYSTEM_ERROR(e) ? strerrordesc_np(ERR_GET_REASON(e))
                                             : ERR_reason_error_string(e);
    return text ? text : "unknown reason";
}

static const char *tls_part_name(enum tls_part part)
{
    return part == TLS_CA ? "ca" : part == TLS_CERT ? "cert" : "key";
}

static sennit_err tls_bad(const struct tls_creds *c, enum tls_part part)
{
    const char *file[] = { c->o.ca_file, c->o.cert_file, c->o.key_file };
    const char *name = tls_part_name(part);
    return sennit_errorf(WHY(TLS_FILES), "tls: %s%s %s: %s", name, file[part] ? "_file" : "_pem",
                         file[part] ? file[part] : "(memory)", tls_reason());
}

/* An encrypted key fails: nobody is there to be asked. */
static int tls_no_password(char *buf, int size, int writing, void *arg)
{
    (void)buf, (void)size, (void)writing, (void)arg;
    return -1;
}

/* Calls add on each certificate of text, which then owns it; how many, or -1. */
static int tls_each_cert(const struct tls_text *text, SSL_CTX *ctx,
                         int (*add)(SSL_CTX *ctx, X509 *cert, int nth))
{
    BIO *in = BIO_new_mem_buf(text->data, (int)text->len);
    int n = 0;
    X509 *cert = NULL;
    while (in && (cert = PEM_read_bio_X509(in, NULL, tls_no_password, NULL))) {
        if (!add(ctx, cert, n))
            break;
        n++;
    }
    bool end = in && !cert && n && ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;
    if (end)
        ERR_clear_error();
    BIO_free(in);
    return end ? n : -1;
}

static int tls_add_own(SSL_CTX *ctx, X509 *cert, int nth)
{
    if (nth)
        return SSL_CTX_add0_chain_cert(ctx, cert);
    int fine = SSL_CTX_use_certificate(ctx, cert);
    X509_free(cert);
    return fine;
}

static int tls_add_ca(SSL_CTX *ctx, X509 *cert, int nth)
{
    (void)nth;
    int fine =
        X509_STORE_add_cert(SSL_CTX_get_cert_store(ctx), cert) && SSL_CTX_add_client_CA(ctx, cert);
    X509_free(cert);
    return fine;
}

static sennit_err tls_use_key(const struct tls_creds *c, SSL_CTX *ctx, const struct tls_text *text)
{
    BIO *in = BIO_new_mem_buf(text->data, (int)text->len);
    EVP_PKEY *key = in ? PEM_read_bio_PrivateKey(in, NULL, tls_no_password, NULL) : NULL;
    bool fine = key && SSL_CTX_use_PrivateKey(ctx, key) && SSL_CTX_check_private_key(ctx);
    EVP_PKEY_free(key);
    BIO_free(in);
    return fine ? NULL : tls_bad(c, TLS_KEY);
}

/* Certificate, key and whom to trust. */
static sennit_err tls_use_texts(const struct tls_creds *c, SSL_CTX *ctx,
                                const struct tls_text *text, bool server)
{
    if (!text[TLS_CERT].data != !text[TLS_KEY].data || (server && !text[TLS_CERT].data))
        return sennit_errorf(WHY(TLS_FILES),
                             "tls: %s: set cert_file and key_file, or cert_pem and key_pem",
                             server ? "a server needs a certificate and its key"
                                    : "a certificate without its key, or the reverse");
    if (text[TLS_CERT].data && tls_each_cert(&text[TLS_CERT], ctx, tls_add_own) < 0)
        return tls_bad(c, TLS_CERT);
    sennit_err err = text[TLS_KEY].data ? tls_use_key(c, ctx, &text[TLS_KEY]) : NULL;
    if (err)
        return err;
    if (text[TLS_CA].data)
        return tls_each_cert(&text[TLS_CA], ctx, tls_add_ca) < 0 ? tls_bad(c, TLS_CA) : NULL;
    if (!server && !SSL_CTX_set_default_verify_paths(ctx))
        return sennit_errorf(WHY(TLS_FILES), "tls: the system's roots: %s", tls_reason());
    return NULL;
}

/* -- callbacks -------------------------------------------------------------------------------- */

static int tls_pick_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_len,
                         const unsigned char *in, unsigned int n, void *arg)
{
    (void)ssl, (void)arg;
    for (unsigned int i = 0; i < n; i += in[i] + 1u) {
        if (n - i >= sizeof tls_h2 && memcmp(in + i, tls_h2, sizeof tls_h2) == 0) {
            *out = in + i + 1, *out_len = 2;
            return SSL_TLSEXT_ERR_OK;
        }
    }
    return SSL_TLSEXT_ERR_ALERT_FATAL;
}

/* A client without ALPN is told so by the alert that RFC 7301 has for it. */
static int tls_saw_hello(SSL *ssl, int *alert, void *arg)
{
    const unsigned char *p;
    size_t n;
    (void)arg;
    if (SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_application_layer_protocol_negotiation, &p, &n))
        return SSL_CLIENT_HELLO_SUCCESS;
    *alert = SSL_AD_NO_APPLICATION_PROTOCOL;
    return SSL_CLIENT_HELLO_ERROR;
}

static int tls_new_session(SSL *ssl, SSL_SESSION *session)
{
    struct tls_session *s = SSL_get_app_data(ssl);
    if (!s->host)
        return 0;
    tls_keep(s->creds, s->host, session);
    return 1; /* the reference is ours now */
}

static void tls_log_line(const SSL *ssl, const char *line)
{
    struct tls_session *s = SSL_get_app_data(ssl);
    tls_key_log(s->creds, line);
}

/* -- both roles ------------------------------------------------------------------------------- */

static bool tls_set_server(SSL_CTX *ctx, const struct tls_creds *c, bool ca)
{
    static const unsigned char id[] = "sennit";
    int want = c->o.client_cert ? c->o.client_cert : ca ? 1 : -1;
    SSL_CTX_set_verify(ctx,
                       want < 0    ? SSL_VERIFY_NONE
                       : want == 1 ? SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT
                                   : SSL_VERIFY_PEER,
                       NULL);
    SSL_CTX_set_options(ctx, SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
    SSL_CTX_set_alpn_select_cb(ctx, tls_pick_alpn, NULL);
    SSL_CTX_set_client_hello_cb(ctx, tls_saw_hello, NULL);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF); /* tickets alone */
    return SSL_CTX_set_num_tickets(ctx, 1) &&
           SSL_CTX_set_session_id_context(ctx, id, sizeof id - 1);
}

static bool tls_set_client(SSL_CTX *ctx)
{
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(ctx, tls_new_session);
    return SSL_CTX_set_alpn_protos(ctx, tls_h2, sizeof tls_h2) == 0; /* 0 is success here */
}

static bool tls_set_both(SSL_CTX *ctx, const struct tls_creds *c)
{
    SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
                                 (c->o.no_resumption ? SSL_OP_NO_TICKET : 0));
    SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                              SSL_MODE_RELEASE_BUFFERS | SSL_MODE_NO_AUTO_CHAIN);
    if (c->key_log)
        SSL_CTX_set_keylog_callback(ctx, tls_log_line);
    return SSL_CTX_set_min_proto_version(ctx, c->o.tls13_only ? TLS1_3_VERSION : TLS1_2_VERSION) &&
           SSL_CTX_set_cipher_list(ctx, TLS_12_CIPHERS) &&
           SSL_CTX_set_ciphersuites(ctx, TLS_13_CIPHERS) &&
           (!c->o.max_record_size ||
            SSL_CTX_set_max_send_fragment(ctx, (long)c->o.max_record_size));
}

SSL_CTX *tls_ctx_new(const struct tls_creds *c, const struct tls_text *text, bool server,
                     sennit_err *err)
{
    ERR_clear_error();
    SSL_CTX *ctx = SSL_CTX_new(server ? TLS_server_method() : TLS_client_method());
    *err = NULL;
    if (!ctx || !tls_set_both(ctx, c) ||
        !(server ? tls_set_server(ctx, c, text[TLS_CA].data) : tls_set_client(ctx)))
        *err = sennit_errorf(WHY(TLS_FILES), "tls: %s", tls_reason());
    else
        *err = tls_use_texts(c, ctx, text, server);
    ERR_clear_error();
    if (!*err)
        return ctx;
    SSL_CTX_free(ctx);
    return NULL;
}
