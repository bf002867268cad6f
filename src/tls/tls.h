/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * tls.h: what the files of sennit_tls share. The library is OpenSSL behind the credentials
 * interface of net/creds.h: it opens no socket, starts no thread and never parks, so that it may be
 * called on any stack, and calls of the core only what sennit.h exports. Memory and files come
 * through OpenSSL (OPENSSL_malloc, BIO), whose allocator tests replace.
 * OpenSSL's error queue belongs to the thread: each call clears it before and reads it after, with
 * no park between. */
#ifndef SENNIT_TLS_TLS_H
#define SENNIT_TLS_TLS_H

#include "base/base.h"
#include "base/limits.h"
#include "net/creds.h"
#include <openssl/ssl.h>

enum tls_part { TLS_CA, TLS_CERT, TLS_KEY, TLS_PARTS };
struct tls_text { /* PEM; data NULL: none was named */
    char *data;
    size_t len;
};

struct tls_creds {
    struct sennit_creds base;
    sennit_tls_options o; /* our copies; the texts of memory too */
    CRYPTO_RWLOCK *lock;
    BIO *key_log;                    /* guarded by lock, as all that follows */
    SSL_CTX *ctx[2];                 /* client, server; NULL: nobody asked yet */
    struct tls_text used[TLS_PARTS]; /* that ctx were made from */
    int64_t checked;                 /* when files were last looked at */
    struct tls_kept {
        char *host;
        SSL_SESSION *session;
    } kept[LIMIT_TLS_SESSIONS];
    unsigned next_kept;
};

struct tls_session {
    struct net_session base;
    SSL *ssl;
    struct tls_creds *creds; /* held */
    char *host;              /* client: whom it wants to meet */
    uint32_t control;        /* handshake messages the peer may still send; see tls_session.c */
    size_t refill;
    bool established, flooded;
    char failed[256];
};

/* tls_ctx.c: what both roles' rules are. NULL: *err says why. */
SSL_CTX *tls_ctx_new(const struct tls_creds *c, const struct tls_text *text, bool server,
                     sennit_err *err);
/* The reason of the thread's first error, e.g. "no start line". */
const char *tls_reason(void);

/* tls_session.c */
struct net_session *tls_session_new(struct tls_creds *c, SSL_CTX *ctx, const char *host,
                                    sennit_err *err);
extern const struct net_session_ops tls_session_ops;

/* tls_peer.c */
bool tls_describe(struct net_session *s, sennit_arena *a, sennit_peer *peer);

/* tls_creds.c: a client's sessions, for resumption. */
void tls_keep(struct tls_creds *c, const char *host, SSL_SESSION *session); /* takes a reference */
SSL_SESSION *tls_kept_take(struct tls_creds *c, const char *host);          /* gives it; or NULL */
void tls_key_log(struct tls_creds *c, const char *line);

#endif
