/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * world.h: a root, certificates and a server of ours that has one; clients of it; raw TLS peers
 * that do what ours would not. Included by each test program once. */
#ifndef SENNIT_TEST_WORLD_H
#define SENNIT_TEST_WORLD_H

#include "echo.h"
#include "pki.h"

__attribute__((unused)) static const struct echo_service plain = { .unary = echo_back };

struct world {
    struct pki ca, server, client;
    sennit_creds *server_creds;
    struct echo_server e;
};

__attribute__((unused)) static void world_pki(struct world *w)
{
    pki_make(&w->ca, NULL, "Test Root", NULL, 30);
    pki_make(&w->server, &w->ca, "server", "DNS:server.test,DNS:*.wild.test,IP:127.0.0.1", 30);
    pki_make(&w->client, &w->ca, "client", "URI:spiffe://test/client,DNS:client.test", 30);
}

__attribute__((unused)) static void world_start_with(struct world *w, sennit_tls_options o,
                                                     const struct echo_service *service,
                                                     sennit_server_options s)
{
    if (!o.cert_pem.data && !o.cert_file)
        o.cert_pem = pki_cert(&w->server), o.key_pem = pki_key(&w->server);
    w->server_creds = sennit_tls_new(&o);
    s.creds = w->server_creds;
    echo_start(&w->e, service, NULL, s);
}

__attribute__((unused)) static void world_start(struct world *w, sennit_tls_options o,
                                                const struct echo_service *service)
{
    world_start_with(w, o, service, (sennit_server_options){ 0 });
}

__attribute__((unused)) static void world_stop(struct world *w)
{
    echo_stop(&w->e);
    sennit_creds_free(w->server_creds);
    pki_free(&w->ca), pki_free(&w->server), pki_free(&w->client);
}

__attribute__((unused)) static sennit_conn *world_dial(struct world *w, sennit_tls_options o)
{
    if (!o.ca_pem.data)
        o.ca_pem = pki_cert(&w->ca);
    sennit_creds *creds = sennit_tls_new(&o);
    sennit_conn *c = sennit_dial(w->e.address, &(sennit_conn_options){ .creds = creds });
    sennit_creds_free(creds);
    return c;
}

/* One call; its error's text, or "fine". Lives as long as an error that the caller received. */
__attribute__((unused)) static const char *world_call(sennit_conn *c)
{
    sennit_ctx *ctx = sennit_ctx_timeout(NULL, 10 * SENNIT_SECOND);
    struct echo_msg reply;
    sennit_err err = echo_call(c, ctx, "hello", &reply);
    if (!err)
        check_str(reply.text.data, "hello");
    sennit_ctx_free(ctx);
    return err ? err->message : "fine";
}

/* -- raw peers: OpenSSL on a blocking socket -------------------------------------------------- */

struct raw {
    int fd;
    SSL_CTX *ctx;
    SSL *ssl;
};

static int raw_choose(SSL *ssl, const unsigned char **out, unsigned char *out_len,
                      const unsigned char *in, unsigned int n, void *arg)
{
    (void)ssl, (void)in, (void)n;
    *out = (const unsigned char *)arg + 1, *out_len = *(const unsigned char *)arg;
    return SSL_TLSEXT_ERR_OK;
}

/* alpn: one protocol after its length, or NULL; own: a server's certificate, NULL for a client.
 * Takes a reference to ctx. */
__attribute__((unused)) static void raw_open_with(struct raw *r, int fd, const struct pki *own,
                                                  const char *alpn, SSL_CTX *ctx)
{
    r->fd = fd;
    r->ctx = ctx;
    check(r->ctx);
    if (own) {
        check(SSL_CTX_use_certificate(r->ctx, own->cert));
        check(SSL_CTX_use_PrivateKey(r->ctx, own->key));
        if (alpn)
            SSL_CTX_set_alpn_select_cb(r->ctx, raw_choose, (void *)(uintptr_t)alpn);
    } else if (alpn) {
        check(SSL_CTX_set_alpn_protos(r->ctx, (const unsigned char *)alpn,
                                      (unsigned)strlen(alpn)) == 0);
    }
    r->ssl = SSL_new(r->ctx);
    check(r->ssl);
    if (own)
        SSL_set_accept_state(r->ssl);
    else
        SSL_set_connect_state(r->ssl);
    if (fd >= 0)
        check(SSL_set_fd(r->ssl, fd));
}

__attribute__((unused)) static void raw_open(struct raw *r, int fd, const struct pki *own,
                                             const char *alpn)
{
    raw_open_with(r, fd, own, alpn, SSL_CTX_new(TLS_method()));
}

__attribute__((unused)) static void raw_close(struct raw *r)
{
    SSL_free(r->ssl);
    SSL_CTX_free(r->ctx);
    if (r->fd >= 0)
        close(r->fd);
    ERR_clear_error();
}

/* The client's preface with empty SETTINGS, and the server's SETTINGS. */
#define RAW_PREFACE  "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0"
#define RAW_SETTINGS "\0\0\0\4\0\0\0\0\0"

#endif
