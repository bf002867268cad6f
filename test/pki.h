/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * pki.h: certificates made when a test runs, so that none is committed and none expires; and raw
 * TLS peers on OpenSSL and blocking sockets, which do what ours would not. Included by each test
 * program once. */
#ifndef SENNIT_TEST_PKI_H
#define SENNIT_TEST_PKI_H

#include "base/sys.h"
#include "harness.h"
#include "rt/rt.h"
#include "sennit.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#define PKI_DAY 86400L

struct pki {
    EVP_PKEY *key;
    X509 *cert;
    char cert_pem[4096], key_pem[1024];
};

__attribute__((unused)) static sennit_str pki_cert(const struct pki *p)
{
    return sennit_s(p->cert_pem);
}
__attribute__((unused)) static sennit_str pki_key(const struct pki *p)
{
    return sennit_s(p->key_pem);
}

static void pki_text(BIO *b, char *out, size_t size)
{
    int n = BIO_read(b, out, (int)size - 1);
    check(n > 0 && (size_t)n < size - 1);
    out[n] = 0;
    BIO_free(b);
}

static void pki_extension(X509 *cert, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX v3;
    X509V3_set_ctx(&v3, issuer, cert, NULL, NULL, 0);
    X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, &v3, nid, value);
    check(e && X509_add_ext(cert, e, -1));
    X509_EXTENSION_free(e);
}

/* issuer NULL: a root. names: as in "DNS:a.test,IP:127.0.0.1" or NULL. days: of validity, from one
 * day before now; negative: it expired so many days ago. */
static void pki_make(struct pki *p, const struct pki *issuer, const char *cn, const char *names,
                     long days)
{
    static long serial = 1;
    BIO *out = BIO_new(BIO_s_mem());
    p->key = EVP_EC_gen("P-256");
    p->cert = X509_new();
    check(p->key && p->cert && out);
    X509_NAME *name = X509_get_subject_name(p->cert);
    check(
        X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)cn, -1, -1, 0));
    check(X509_set_version(p->cert, 2) && X509_set_pubkey(p->cert, p->key));
    check(ASN1_INTEGER_set(X509_get_serialNumber(p->cert), serial++));
    check(X509_gmtime_adj(X509_getm_notBefore(p->cert), (days < 0 ? days - 2 : -1) * PKI_DAY));
    check(X509_gmtime_adj(X509_getm_notAfter(p->cert), days * PKI_DAY));
    X509 *signer = issuer ? issuer->cert : p->cert;
    check(X509_set_issuer_name(p->cert, X509_get_subject_name(signer)));
    pki_extension(p->cert, signer, NID_basic_constraints,
                  issuer ? "critical,CA:FALSE" : "critical,CA:TRUE");
    if (names)
        pki_extension(p->cert, signer, NID_subject_alt_name, names);
    check(X509_sign(p->cert, issuer ? issuer->key : p->key, EVP_sha256()));
    check(PEM_write_bio_X509(out, p->cert));
    pki_text(out, p->cert_pem, sizeof p->cert_pem);
    out = BIO_new(BIO_s_mem());
    check(PEM_write_bio_PrivateKey(out, p->key, NULL, NULL, 0, NULL, NULL));
    pki_text(out, p->key_pem, sizeof p->key_pem);
}

__attribute__((unused)) static void pki_free(struct pki *p)
{
    X509_free(p->cert);
    EVP_PKEY_free(p->key);
}

/* -- raw peers: blocking ---------------------------------------------------------------------- */

__attribute__((unused)) static int pki_connect(const char *address)
{
    struct sockaddr_in in = { .sin_family = AF_INET };
    const int one = 1;
    in.sin_port = htons((uint16_t)strtol(strrchr(address, ':') + 1, NULL, 10));
    in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    check(fd >= 0 && connect(fd, (struct sockaddr *)&in, sizeof in) == 0);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    return fd;
}

__attribute__((unused)) static int pki_listen(char address[32])
{
    struct sockaddr_in in = { .sin_family = AF_INET };
    socklen_t n = sizeof in;
    in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    check(fd >= 0 && bind(fd, (struct sockaddr *)&in, sizeof in) == 0 && listen(fd, 64) == 0);
    check(getsockname(fd, (struct sockaddr *)&in, &n) == 0);
    snprintf(address, 32, "127.0.0.1:%u", ntohs(in.sin_port));
    return fd;
}

/* All OpenSSL memory comes from the sys table, so that leaks are counted and faults reach it; what
 * it keeps for good goes when the test's process ends. Blocks made while pki_counts is false are
 * libc's own: neither counted nor refused. */
static bool pki_counts = true;
static unsigned pki_every = 1; /* only one in so many is ours; which ones, the seed says */
static bool pki_counted(void)
{
    static _Atomic unsigned calls;
    return pki_counts && calls++ % pki_every == test_seed() % pki_every;
}
struct pki_block {
    _Alignas(16) bool counted;
};

static void *pki_malloc(size_t n, const char *file, int line)
{
    (void)file, (void)line;
    bool counted = pki_counted();
    struct pki_block *b = NULL;
    if (n)
        b = counted ? sys.malloc(sizeof *b + n) : malloc(sizeof *b + n);
    if (!b)
        return NULL;
    b->counted = counted;
    return b + 1;
}
static void pki_release(void *p, const char *file, int line)
{
    struct pki_block *b = p ? (struct pki_block *)p - 1 : NULL;
    (void)file, (void)line;
    if (b && b->counted)
        sys.free(b);
    else
        free(b);
}
static void *pki_realloc(void *p, size_t n, const char *file, int line)
{
    struct pki_block *b = p ? (struct pki_block *)p - 1 : NULL;
    if (!b || n == 0) {
        pki_release(p, file, line);
        return pki_malloc(n, file, line);
    }
    b = b->counted ? sys.realloc(b, sizeof *b + n) : realloc(b, sizeof *b + n);
    return b ? b + 1 : NULL;
}

static bool pki_at_end(void)
{
    bool fine = rt_shutdown();
    OPENSSL_cleanup();
    return fine;
}

/* OpenSSL is not instrumented, and keeps its errors for each thread, whatever fiber it runs. */
#ifdef __SANITIZE_THREAD__
static const bool pki_tsan = true;
#else
static const bool pki_tsan = false;
#endif
__attribute__((visibility("default"))) const char *__tsan_default_suppressions(void);
const char *__tsan_default_suppressions(void) { return "race:libcrypto.so\nrace:libssl.so\n"; }

__attribute__((constructor)) static void pki_init(void)
{
    signal(SIGPIPE, SIG_IGN); /* of raw peers; ours never raises it */
    if (!pki_tsan)
        CRYPTO_set_mem_functions(pki_malloc, pki_realloc, pki_release);
    test_at_end = pki_at_end;
}

#endif
