/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * proxy.c: HTTP CONNECT proxies from the environment (gRFC A1). The variables are read when a
 * channel is made; NO_PROXY means what it means to Go: hosts, domains with what is below them
 * (".a.b": that alone), addresses, networks, each with an optional port, or "*". This machine
 * itself is never reached by a proxy. The proxy resolves the name, TLS goes through it end to end.
 */
#include "base/base64.h"
#include "base/limits.h"
#include "base/sys.h"
#include "net/net.h"
#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

/* -- who is to be reached without ------------------------------------------------------------- */

/* Octets of an address, v4 as v6-mapped; false: s is none. */
static bool proxy_ip(const char *s, uint8_t ip[16])
{
    static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };
    memcpy(ip, mapped, sizeof mapped);
    return inet_pton(AF_INET, s, ip + 12) == 1 || inet_pton(AF_INET6, s, ip) == 1;
}

static bool proxy_in_network(const uint8_t ip[16], char *network)
{
    uint8_t base[16];
    char *slash = strchr(network, '/'), *end;
    if (!slash)
        return proxy_ip(network, base) && memcmp(ip, base, 16) == 0;
    *slash = 0;
    unsigned long bits = strtoul(slash + 1, &end, 10);
    if (*end || !proxy_ip(network, base))
        return false;
    if (!strchr(network, ':'))
        bits += 96;
    for (size_t i = 0; i < 16 && bits <= 128 && i * 8 < bits; i++) {
        uint8_t mask = bits - i * 8 >= 8 ? 0xff : (uint8_t)(0xff << (8 - (bits - i * 8)));
        if ((ip[i] ^ base[i]) & mask)
            return false;
    }
    return bits <= 128;
}

static bool proxy_in_domain(const char *host, const char *domain)
{
    size_t n = strlen(host), d = strlen(domain);
    if (strncmp(domain, "*.", 2) == 0)
        domain++, d--;
    if (d && domain[0] == '.')
        return n > d && strcasecmp(host + n - d, domain) == 0;
    return strcasecmp(host, domain) == 0 ||
           (n > d && d && host[n - d - 1] == '.' && strcasecmp(host + n - d, domain) == 0);
}

/* One entry of NO_PROXY; it is cut to pieces. */
static bool proxy_entry_is(char *entry, const char *host, const char *port)
{
    uint8_t ip[16], unused[16];
    char *colon = strrchr(entry, ':'), *close = strchr(entry, ']');
    if (strcmp(entry, "*") == 0)
        return true;
    if (entry[0] == '[' && close) {
        colon = close[1] == ':' ? close + 1 : NULL;
        *close = 0;
        entry++;
    } else if (proxy_ip(entry, unused) || strchr(entry, '/')) {
        colon = NULL;
    }
    if (colon) {
        *colon = 0;
        if (strcmp(colon + 1, port) != 0)
            return false;
    }
    return proxy_ip(host, ip) ? proxy_in_network(ip, entry) : proxy_in_domain(host, entry);
}

static bool proxy_loopback(const char *host)
{
    uint8_t ip[16];
    static const uint8_t v6[16] = { [15] = 1 };
    if (strcasecmp(host, "localhost") == 0)
        return true;
    return proxy_ip(host, ip) && (memcmp(ip, v6, 16) == 0 || (ip[10] == 0xff && ip[12] == 127));
}

static bool proxy_excluded(const char *list, const char *host, const char *port)
{
    char entry[256];
    while (*list) {
        size_t n = strcspn(list, ", ");
        if (n && n < sizeof entry) {
            memcpy(entry, list, n);
            entry[n] = 0;
            if (proxy_entry_is(entry, host, port))
                return true;
        }
        list += n + (list[n] != 0);
    }
    return false;
}

/* -- which proxy ------------------------------------------------------------------------------ */

static const char *proxy_env(const char *a, const char *b, const char *c)
{
    const char *names[] = { a, b, c };
    for (size_t i = 0; i < countof(names); i++) {
        const char *value = getenv(names[i]);
        if (value && *value)
            return value;
    }
    return "";
}

/* "%40" in a name or password. False: malformed. */
static bool proxy_unescape(char *to, size_t size, const char *s, size_t n)
{
    size_t put = 0;
    for (size_t i = 0; i < n; i++) {
        char hex[3] = { 0 };
        if (put + 1 >= size)
            return false;
        if (s[i] != '%') {
            to[put++] = s[i];
            continue;
        }
        if (n - i < 3 || !isxdigit((unsigned char)s[i + 1]) || !isxdigit((unsigned char)s[i + 2]))
            return false;
        hex[0] = s[i + 1], hex[1] = s[i + 2];
        to[put++] = (char)strtoul(hex, NULL, 16);
        i += 2;
    }
    to[put] = 0;
    return true;
}

/* "name:password", or "name" alone, as Basic has it. */
static bool proxy_user(struct net_proxy *p, const char *user, size_t n)
{
    char plain[256];
    const char *colon = memchr(user, ':', n);
    size_t name = colon ? (size_t)(colon - user) : n;
    if (!proxy_unescape(plain, sizeof plain, user, name))
        return false;
    size_t len = strlen(plain);
    plain[len++] = ':';
    if (colon && !proxy_unescape(plain + len, sizeof plain - len, colon + 1, n - name - 1))
        return false;
    len += colon ? strlen(plain + len) : 0;
    char *end = base64_encode(p->basic, plain, len);
    while ((end - p->basic) % 4)
        *end++ = '=';
    *end = 0;
    return true;
}

sennit_err net_proxy_find(const struct net_target *t, struct net_proxy *p)
{
    const char *url = proxy_env("grpc_proxy", "https_proxy", "HTTPS_PROXY"), *at, *rest = url;
    char where[300];
    memset(p, 0, sizeof *p);
    if (!*url || t->kind == NET_TARGET_UNIX || t->literal.n > 1 || !t->host[0] ||
        proxy_loopback(t->host) ||
        proxy_excluded(proxy_env("no_grpc_proxy", "no_proxy", "NO_PROXY"), t->host, t->port))
        return NULL;
    if (strncmp(url, "http://", 7) == 0)
        rest = url + 7;
    else if (strstr(url, "://"))
        return sennit_errorf(WHY(PROXY_NAMED),
                             "proxy: only http:// proxies are supported (HTTPS_PROXY)");
    if ((at = strrchr(rest, '@'))) {
        if (!proxy_user(p, rest, (size_t)(at - rest)))
            return sennit_errorf(WHY(PROXY_NAMED), "proxy: bad user in HTTPS_PROXY");
        rest = at + 1;
    }
    size_t n = strcspn(rest, "/");
    bool port = memchr(rest, ':', n) && !(rest[0] == '[' && rest[n - 1] == ']');
    snprintf(where, sizeof where, "dns:///%.*s%s", (int)n, rest, port ? "" : ":80");
    sennit_err err = net_target_parse(where, &p->at);
    bool v6 = strchr(t->host, ':');
    snprintf(p->connect, sizeof p->connect, v6 ? "[%s]:%s" : "%s:%s", t->host, t->port);
    p->used = !err;
    return err;
}

/* -- CONNECT ---------------------------------------------------------------------------------- */

static sennit_err proxy_waited(int waited, sennit_ctx *ctx)
{
    sennit_err ended = sennit_ctx_error(ctx);
    return ended ? ended : sennit_errorf(WHY(PROXY), "proxy: %s", net_errno_text(-waited));
}

static sennit_err proxy_send(struct net_io *io, char *p, size_t n, sennit_ctx *ctx)
{
    while (n) {
        struct iovec v = { p, n };
        ssize_t put = io->ops->send(io, &v, 1);
        int waited = put == -EAGAIN ? rt_fd_wait_write(io->fd, ctx) : put < 0 ? (int)put : 0;
        if (waited < 0 && waited != -EINTR)
            return proxy_waited(waited, ctx);
        p += put > 0 ? put : 0;
        n -= put > 0 ? (size_t)put : 0;
    }
    return NULL;
}

/* The answer's head into p, and not an octet more: what follows is the server's. */
static sennit_err proxy_receive(struct net_io *io, char *p, size_t size, sennit_ctx *ctx)
{
    size_t have = 0;
    while (have + 1 < size) {
        /* One by one: it happens once for a connection, and needs no place for what is too much. */
        ssize_t n = sys.recv(rt_fd_number(io->fd), p + have, 1, 0);
        int waited = n == -EAGAIN ? rt_fd_wait_read(io->fd, ctx) : n < 0 ? (int)n : 0;
        if (waited < 0 && waited != -EINTR)
            return proxy_waited(waited, ctx);
        if (n == 0)
            return sennit_errorf(WHY(PROXY), "proxy: it closed the connection");
        have += n > 0;
        p[have] = 0;
        if (n > 0 && have >= 4 && memcmp(p + have - 4, "\r\n\r\n", 4) == 0)
            return NULL;
    }
    return sennit_errorf(WHY(PROXY), "proxy: its answer is too long");
}

sennit_err net_proxy_connect(const struct net_proxy *p, struct net_io *io, sennit_ctx *ctx)
{
    char *text = sys.malloc(LIMIT_PROXY_ANSWER);
    if (!text)
        return sennit_no_memory;
    int n = snprintf(text, LIMIT_PROXY_ANSWER,
                     "CONNECT %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: grpc-c-sennit/%s\r\n"
                     "%s%s%s\r\n",
                     p->connect, p->connect, SENNIT_VERSION,
                     p->basic[0] ? "Proxy-Authorization: Basic " : "", p->basic,
                     p->basic[0] ? "\r\n" : "");
    sennit_err err = proxy_send(io, text, (size_t)n, ctx);
    if (!err)
        err = proxy_receive(io, text, LIMIT_PROXY_ANSWER, ctx);
    if (!err && (strncmp(text, "HTTP/1.", 7) != 0 || strlen(text) < 12 ||
                 strncmp(text + 8, " 200", 4) != 0))
        err = sennit_errorf(WHY(PROXY), "failed to do connect handshake, the proxy answered: %.*s",
                            (int)strcspn(text, "\r\n"), text);
    sys.free(text);
    return err;
}
