/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * tls_peer.c: what a verified certificate says, for sennit_peer. Texts are copied into the
 * connection's arena once, after the handshake. A name with a NUL or a control octet in it is left
 * out: it is there to be mistaken for another. */
#include "tls/tls.h"
#include <openssl/err.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <stdio.h>

static const char *tls_keep_text(sennit_arena *a, const char *prefix, const char *p, size_t n)
{
    size_t head = strlen(prefix);
    for (size_t i = 0; i < n; i++) {
        if ((unsigned char)p[i] < 0x20 || p[i] == 0x7f)
            return NULL;
    }
    char *text = sennit_alloc(a, head + n + 1);
    if (!text)
        return NULL;
    memcpy(text, prefix, head);
    memcpy(text + head, p, n);
    text[head + n] = 0;
    return text;
}

static const char *tls_name_text(sennit_arena *a, const GENERAL_NAME *name)
{
    int type;
    char ip[64];
    const ASN1_STRING *value = GENERAL_NAME_get0_value(name, &type);
    const unsigned char *p = NULL;
    int n = 0;
    if (type == GEN_DNS || type == GEN_URI || type == GEN_EMAIL || type == GEN_IPADD) {
        p = ASN1_STRING_get0_data(value);
        n = ASN1_STRING_length(value);
    }
    switch (type) {
    case GEN_DNS:
        return tls_keep_text(a, "DNS:", (const char *)p, (size_t)n);
    case GEN_URI:
        return tls_keep_text(a, "URI:", (const char *)p, (size_t)n);
    case GEN_EMAIL:
        return tls_keep_text(a, "email:", (const char *)p, (size_t)n);
    case GEN_IPADD:
        if (n == 4)
            snprintf(ip, sizeof ip, "%d.%d.%d.%d", p[0], p[1], p[2], p[3]);
        else if (n == 16)
            snprintf(ip, sizeof ip, "%x:%x:%x:%x:%x:%x:%x:%x", p[0] << 8 | p[1], p[2] << 8 | p[3],
                     p[4] << 8 | p[5], p[6] << 8 | p[7], p[8] << 8 | p[9], p[10] << 8 | p[11],
                     p[12] << 8 | p[13], p[14] << 8 | p[15]);
        else
            return NULL;
        return tls_keep_text(a, "IP:", ip, strlen(ip));
    default:
        return NULL;
    }
}

static bool tls_names(X509 *cert, sennit_arena *a, sennit_peer *peer)
{
    GENERAL_NAMES *all = X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
    int n = all ? sk_GENERAL_NAME_num(all) : 0;
    const char **names = sennit_alloc(a, (size_t)(n + 1) * sizeof *names);
    for (int i = 0; names && i < n; i++) {
        const char *text = tls_name_text(a, sk_GENERAL_NAME_value(all, i));
        if (text)
            names[peer->n_names++] = text;
    }
    GENERAL_NAMES_free(all);
    peer->names = names;
    return names != NULL;
}

/* What an X509_NAME prints as, or its common name alone. "": nothing, or not to be trusted. */
static const char *tls_subject(const X509_NAME *name, sennit_arena *a)
{
    char *p = NULL;
    BIO *out = BIO_new(BIO_s_mem());
    if (!out || X509_NAME_print_ex(out, name, 0, XN_FLAG_RFC2253) < 0) {
        BIO_free(out);
        return NULL;
    }
    long n = BIO_get_mem_data(out, &p);
    const char *text = tls_keep_text(a, "", p ? p : "", n > 0 ? (size_t)n : 0);
    BIO_free(out);
    return text;
}

static const char *tls_common_name(const X509_NAME *name, sennit_arena *a)
{
    int at = X509_NAME_get_index_by_NID(name, NID_commonName, -1);
    unsigned char *utf8 = NULL;
    int n = at < 0 ? -1
                   : ASN1_STRING_to_UTF8(&utf8,
                                         X509_NAME_ENTRY_get_data(X509_NAME_get_entry(name, at)));
    const char *text = n > 0 ? tls_keep_text(a, "", (const char *)utf8, (size_t)n) : NULL;
    OPENSSL_free(utf8);
    return text ? text : "";
}

static const char *tls_identity(const X509_NAME *name, sennit_arena *a, const sennit_peer *peer)
{
    static const char *const kinds[] = { "URI:", "DNS:" };
    for (size_t k = 0; k < countof(kinds); k++) {
        for (size_t i = 0; i < peer->n_names; i++) {
            if (strncmp(peer->names[i], kinds[k], 4) == 0)
                return peer->names[i] + 4;
        }
    }
    return tls_common_name(name, a);
}

static bool tls_chain_add(X509 *cert, sennit_arena *a, sennit_str *out)
{
    int n = i2d_X509(cert, NULL);
    unsigned char *der = n > 0 ? sennit_alloc(a, (size_t)n) : NULL, *p = der;
    if (!der || i2d_X509(cert, &p) != n)
        return false;
    *out = (sennit_str){ (const char *)der, (size_t)n };
    return true;
}

/* A client gets the chain with the server's own certificate in it, a server without. */
static bool tls_chain(SSL *ssl, X509 *own, sennit_arena *a, sennit_peer *peer)
{
    STACK_OF(X509) *sent = SSL_get_peer_cert_chain(ssl);
    int n = sent ? sk_X509_num(sent) : 0;
    sennit_str *chain = sennit_alloc(a, (size_t)(n + 1) * sizeof *chain);
    if (!chain || !tls_chain_add(own, a, &chain[0]))
        return false;
    peer->n_chain = 1;
    for (int i = 0; i < n; i++) {
        X509 *cert = sk_X509_value(sent, i);
        if (X509_cmp(cert, own) != 0 && !tls_chain_add(cert, a, &chain[peer->n_chain++]))
            return false;
    }
    peer->chain = chain;
    return true;
}

bool tls_describe(struct net_session *s, sennit_arena *a, sennit_peer *peer)
{
    SSL *ssl = container_of(s, struct tls_session, base)->ssl;
    X509 *cert = SSL_get0_peer_certificate(ssl);
    peer->protocol = SSL_get_version(ssl);
    peer->cipher = SSL_get_cipher_name(ssl);
    if (!cert || SSL_get_verify_result(ssl) != X509_V_OK)
        return true;
    const X509_NAME *name = X509_get_subject_name(cert);
    const char *subject = tls_subject(name, a);
    peer->subject = subject ? subject : "";
    bool fine = tls_names(cert, a, peer) && tls_chain(ssl, cert, a, peer);
    if (fine)
        peer->identity = tls_identity(name, a, peer);
    ERR_clear_error();
    return fine;
}
