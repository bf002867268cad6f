/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * tls_creds.c: TLS credentials: options, files, reloading, sessions kept for resumption.
 * Files are read whole, so that memory and files go one way, and a reload can tell whether anything
 * has changed. A reload that fails leaves what was there. The lock is held over no park and no
 * file, but for the key log's. */
#include "tls/tls.h"
#include <openssl/bio.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <stdio.h>

#define TLS_FILE_MAX 16777216 /* octets: far above any bundle of roots */

static struct tls_creds *tls_creds_of(struct sennit_creds *c)
{
    return container_of(c, struct tls_creds, base);
}

/* -- texts ------------------------------------------------------------------------------------ */

static void tls_text_free(struct tls_text *text)
{
    OPENSSL_clear_free(text->data, text->len);
    *text = (struct tls_text){ NULL, 0 };
}

static void tls_texts_free(struct tls_text *text)
{
    for (int i = 0; i < TLS_PARTS; i++)
        tls_text_free(&text[i]);
}

static bool tls_text_set(struct tls_text *text, const void *p, size_t n)
{
    text->data = OPENSSL_malloc(n + 1);
    if (!text->data)
        return false;
    memcpy(text->data, p, n);
    text->data[n] = 0;
    text->len = n;
    return true;
}

static sennit_err tls_read_file(struct tls_text *text, const char *path)
{
    char part[1024];
    ERR_clear_error();
    BIO *in = BIO_new_file(path, "rb"), *all = in ? BIO_new(BIO_s_mem()) : NULL;
    int n = 0;
    while (all && (n = BIO_read(in, part, sizeof part)) > 0) {
        if (BIO_write(all, part, n) != n || BIO_pending(all) > TLS_FILE_MAX)
            break;
    }
    OPENSSL_cleanse(part, sizeof part);
    char *data = NULL;
    long len = all && n == 0 ? BIO_get_mem_data(all, &data) : -1;
    bool fine = len >= 0 && tls_text_set(text, data ? data : "", (size_t)len);
    sennit_err err = fine ? NULL
                          : sennit_errorf(WHY(TLS_FILES), "tls: cannot read \"%s\": %s", path,
                                          n > 0 ? "too large" : tls_reason());
    BIO_free(all);
    BIO_free(in);
    ERR_clear_error();
    return err;
}

/* What the options name, now. */
static sennit_err tls_read(const struct tls_creds *c, struct tls_text *text)
{
    const char *file[TLS_PARTS] = { c->o.ca_file, c->o.cert_file, c->o.key_file };
    const sennit_str *memory[TLS_PARTS] = { &c->o.ca_pem, &c->o.cert_pem, &c->o.key_pem };
    sennit_err err = NULL;
    memset(text, 0, TLS_PARTS * sizeof *text);
    for (int i = 0; i < TLS_PARTS && !err; i++) {
        if (memory[i]->data) {
            if (!tls_text_set(&text[i], memory[i]->data, memory[i]->len))
                err = sennit_no_memory;
        } else if (file[i]) {
            err = tls_read_file(&text[i], file[i]);
        }
    }
    if (err)
        tls_texts_free(text);
    return err;
}

static bool tls_same(const struct tls_text *a, const struct tls_text *b)
{
    for (int i = 0; i < TLS_PARTS; i++) {
        if (!a[i].data != !b[i].data || a[i].len != b[i].len ||
            (a[i].data && memcmp(a[i].data, b[i].data, a[i].len) != 0))
            return false;
    }
    return true;
}

/* -- a role's rules --------------------------------------------------------------------------- */

static sennit_err tls_prepare(struct sennit_creds *base, bool server)
{
    struct tls_creds *c = tls_creds_of(base);
    struct tls_text text[TLS_PARTS] = { { NULL, 0 } };
    CRYPTO_THREAD_write_lock(c->lock);
    bool done = c->ctx[server] != NULL;
    CRYPTO_THREAD_unlock(c->lock);
    if (done)
        return NULL;
    sennit_err err = c->o.key_log_file && !c->key_log
                         ? sennit_errorf(WHY(TLS_FILES), "tls: cannot write key_log_file \"%s\"",
                                         c->o.key_log_file)
                         : tls_read(c, text);
    SSL_CTX *ctx = err ? NULL : tls_ctx_new(c, text, server, &err);
    CRYPTO_THREAD_write_lock(c->lock);
    if (ctx && !c->ctx[server]) {
        SSL_CTX *none = c->ctx[server];
        c->ctx[server] = ctx, ctx = none;
        if (!c->ctx[!server]) { /* else the other role is older: the next reload sees to it */
            for (int i = 0; i < TLS_PARTS; i++) {
                struct tls_text old = c->used[i];
                c->used[i] = text[i], text[i] = old;
            }
        }
    }
    c->checked = sennit_now();
    CRYPTO_THREAD_unlock(c->lock);
    tls_texts_free(text);
    SSL_CTX_free(ctx);
    return err;
}

static void tls_forget(struct tls_kept *kept)
{
    for (unsigned i = 0; i < LIMIT_TLS_SESSIONS; i++) {
        OPENSSL_free(kept[i].host);
        SSL_SESSION_free(kept[i].session);
        kept[i] = (struct tls_kept){ NULL, NULL };
    }
}

/* Puts what was made from text in force; what it replaces comes back in both. Locked. */
static void tls_swap(struct tls_creds *c, SSL_CTX *ctx[2], struct tls_text *text)
{
    for (int i = 0; i < 2; i++) {
        SSL_CTX *old = c->ctx[i];
        if (ctx[i])
            c->ctx[i] = ctx[i], ctx[i] = old;
    }
    for (int i = 0; i < TLS_PARTS; i++) {
        struct tls_text old = c->used[i];
        c->used[i] = text[i], text[i] = old;
    }
    tls_forget(c->kept); /* they stand for the old certificate */
}

static sennit_err tls_reload(struct tls_creds *c)
{
    struct tls_text text[TLS_PARTS];
    SSL_CTX *ctx[2] = { NULL, NULL };
    sennit_err err = tls_read(c, text);
    CRYPTO_THREAD_write_lock(c->lock);
    bool same = err || tls_same(text, c->used), role[2] = { c->ctx[0], c->ctx[1] };
    c->checked = sennit_now();
    CRYPTO_THREAD_unlock(c->lock);
    for (int i = 0; i < 2 && !err && !same; i++) {
        if (role[i])
            ctx[i] = tls_ctx_new(c, text, i, &err);
    }
    if (!err && !same) {
        CRYPTO_THREAD_write_lock(c->lock);
        tls_swap(c, ctx, text);
        CRYPTO_THREAD_unlock(c->lock);
    }
    for (int i = 0; i < 2; i++)
        SSL_CTX_free(ctx[i]);
    tls_texts_free(text);
    return err;
}

static struct net_session *tls_start(struct sennit_creds *base, bool server, const char *host,
                                     sennit_err *err)
{
    struct tls_creds *c = tls_creds_of(base);
    CRYPTO_THREAD_write_lock(c->lock);
    bool look = c->o.reload_interval > 0 && sennit_now() - c->checked >= c->o.reload_interval;
    if (look)
        c->checked = sennit_now(); /* one looks, the others go on */
    CRYPTO_THREAD_unlock(c->lock);
    if (look)
        tls_reload(c); /* half-written files: the old ones stay, and it is tried again */
    CRYPTO_THREAD_write_lock(c->lock);
    SSL_CTX *ctx = c->ctx[server];
    if (ctx)
        SSL_CTX_up_ref(ctx);
    CRYPTO_THREAD_unlock(c->lock);
    if (!ctx) {
        *err = sennit_errorf(WHY(TLS_FILES), "tls: credentials were not prepared");
        return NULL;
    }
    struct net_session *s = tls_session_new(c, ctx, server ? NULL : host, err);
    SSL_CTX_free(ctx);
    return s;
}

/* -- resumption and the key log --------------------------------------------------------------- */

void tls_keep(struct tls_creds *c, const char *host, SSL_SESSION *session)
{
    char *name = OPENSSL_strdup(host);
    CRYPTO_THREAD_write_lock(c->lock);
    struct tls_kept *k = &c->kept[c->next_kept++ % LIMIT_TLS_SESSIONS], old = *k;
    *k = (struct tls_kept){ name, session };
    CRYPTO_THREAD_unlock(c->lock);
    OPENSSL_free(old.host);
    SSL_SESSION_free(old.session);
}

SSL_SESSION *tls_kept_take(struct tls_creds *c, const char *host)
{
    struct tls_kept found = { NULL, NULL };
    CRYPTO_THREAD_write_lock(c->lock);
    for (unsigned i = 0; i < LIMIT_TLS_SESSIONS && !found.session; i++) {
        /* The newest first: a ticket lives a while only. */
        struct tls_kept *k = &c->kept[(c->next_kept - 1 - i) % LIMIT_TLS_SESSIONS];
        if (k->host && strcmp(k->host, host) == 0) {
            found = *k;
            *k = (struct tls_kept){ NULL, NULL };
        }
    }
    CRYPTO_THREAD_unlock(c->lock);
    OPENSSL_free(found.host);
    return found.session;
}

void tls_key_log(struct tls_creds *c, const char *line)
{
    CRYPTO_THREAD_write_lock(c->lock);
    BIO_printf(c->key_log, "%s\n", line);
    (void)BIO_flush(c->key_log);
    CRYPTO_THREAD_unlock(c->lock);
}

/* -- life ------------------------------------------------------------------------------------- */

static void tls_creds_free(struct sennit_creds *base)
{
    struct tls_creds *c = tls_creds_of(base);
    const char *texts[] = { c->o.ca_file, c->o.cert_file, c->o.key_file, c->o.server_name };
    for (size_t i = 0; i < countof(texts); i++)
        OPENSSL_free((char *)(uintptr_t)texts[i]);
    OPENSSL_free((char *)(uintptr_t)c->o.ca_pem.data);
    OPENSSL_free((char *)(uintptr_t)c->o.cert_pem.data);
    OPENSSL_clear_free((char *)(uintptr_t)c->o.key_pem.data, c->o.key_pem.len);
    OPENSSL_free((char *)(uintptr_t)c->o.key_log_file);
    SSL_CTX_free(c->ctx[0]);
    SSL_CTX_free(c->ctx[1]);
    tls_texts_free(c->used);
    tls_forget(c->kept);
    BIO_free(c->key_log);
    CRYPTO_THREAD_lock_free(c->lock);
    OPENSSL_free(c);
}

static sennit_err tls_lame_prepare(struct sennit_creds *c, bool server)
{
    (void)c, (void)server;
    return sennit_no_memory;
}

static const struct creds_ops tls_ops = { .prepare = tls_prepare,
                                          .session = tls_start,
                                          .free = tls_creds_free };
static const struct creds_ops tls_lame_ops = { .prepare = tls_lame_prepare };
static struct sennit_creds tls_lame = { .version = CREDS_VERSION, /* without memory; never freed */
                                        .ops = &tls_lame_ops,
                                        .scheme = "https",
                                        .auth_type = "tls" };

static const char *tls_copy(const char *s, bool *fine)
{
    char *copy = s ? OPENSSL_strdup(s) : NULL;
    *fine = *fine && !s == !copy;
    return copy;
}

static sennit_str tls_copy_str(sennit_str s, bool *fine)
{
    struct tls_text copy = { NULL, 0 };
    if (s.data && !tls_text_set(&copy, s.data, s.len))
        *fine = false;
    return (sennit_str){ copy.data, copy.len };
}

sennit_creds *sennit_tls_new_sized(const sennit_tls_options *options, size_t size)
{
    sennit_tls_options o = { .ca_file = NULL };
    struct tls_creds *c = OPENSSL_zalloc(sizeof *c);
    bool fine = c && (c->lock = CRYPTO_THREAD_lock_new());
    if (options)
        memcpy(&o, options, min_size(size, sizeof o));
    if (!fine) {
        OPENSSL_free(c);
        return &tls_lame;
    }
    c->o = o;
    c->o.ca_file = tls_copy(o.ca_file, &fine), c->o.cert_file = tls_copy(o.cert_file, &fine);
    c->o.key_file = tls_copy(o.key_file, &fine), c->o.server_name = tls_copy(o.server_name, &fine);
    c->o.key_log_file = tls_copy(o.key_log_file, &fine);
    c->o.ca_pem = tls_copy_str(o.ca_pem, &fine), c->o.cert_pem = tls_copy_str(o.cert_pem, &fine);
    c->o.key_pem = tls_copy_str(o.key_pem, &fine);
    if (c->o.key_log_file)
        c->key_log = BIO_new_file(c->o.key_log_file, "a"); /* prepare tells when it cannot */
    c->base = (struct sennit_creds){ .version = CREDS_VERSION,
                                     .refs = 1,
                                     .ops = &tls_ops,
                                     .scheme = "https",
                                     .auth_type = "tls",
                                     .server_name = c->o.server_name,
                                     .secure = true };
    if (fine)
        return &c->base;
    tls_creds_free(&c->base);
    return &tls_lame;
}

sennit_err sennit_tls_reload(sennit_creds *c)
{
    if (!c || c->version != CREDS_VERSION || c->ops != &tls_ops)
        return sennit_errorf(WHY_AS(WHY(TLS_FILES), SENNIT_INVALID_ARGUMENT),
                             "sennit_tls_reload: not credentials of sennit_tls_new");
    return tls_reload(tls_creds_of(c));
}
