/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * target.c: what a target string means (gRPC naming: doc/naming.md). No I/O. */
#include "base/sys.h"
#include "net/net.h"
#include <arpa/inet.h>
#include <linux/vm_sockets.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>

#define TARGET_PORT "443" /* gRPC's default */

static sennit_err target_bad(const char *target, const char *why)
{
    return sennit_errorf(WHY(TARGET), "target \"%s\": %s", target, why);
}

static struct net_addr *target_add_literal(struct net_target *t)
{
    struct net_addr *list = sys.realloc(t->literal.list, (t->literal.n + 1) * sizeof *list);
    if (!list)
        return NULL;
    t->literal.list = list;
    struct net_addr *a = &list[t->literal.n++];
    memset(a, 0, sizeof *a);
    return a;
}

/* A number that a port can have, or a service's name; getaddrinfo would take 99999 for 34463. */
static bool target_port_fine(const char *port)
{
    char *end;
    unsigned long n = strtoul(port, &end, 10);
    return *end || n <= 65535;
}

/* "host", "host:port", "[v6]", "[v6]:port", a bare v6. False: malformed. */
static bool target_split(const char *s, size_t n, struct net_target *t)
{
    const char *colon = memchr(s, ':', n), *last = memrchr(s, ':', n), *port = NULL;
    size_t host = n;
    if (n && s[0] == '[') {
        const char *close = memchr(s, ']', n);
        if (!close || (close + 1 < s + n && close[1] != ':'))
            return false;
        port = close + 1 < s + n ? close + 2 : NULL;
        s++, host = (size_t)(close - s);
    } else if (colon && colon == last) {
        port = colon + 1;
        host = (size_t)(colon - s);
    }
    size_t port_len = port ? strcspn(port, ",") : 0; /* the input ends there, or at a comma */
    if (host >= sizeof t->host || port_len >= sizeof t->port || (port && port_len == 0))
        return false;
    memcpy(t->host, s, host);
    t->host[host] = 0;
    if (port)
        memcpy(t->port, port, port_len);
    t->port[port ? port_len : 0] = 0;
    if (!port)
        memcpy(t->port, TARGET_PORT, sizeof TARGET_PORT);
    return target_port_fine(t->port);
}

static bool target_literal(struct net_target *t, int family)
{
    char *end;
    unsigned long port = strtoul(t->port, &end, 10);
    unsigned char ip[16];
    if (*end || port > 65535 || inet_pton(family, t->host, ip) != 1)
        return false;
    struct net_addr *a = target_add_literal(t);
    if (!a)
        return false;
    if (family == AF_INET) {
        struct sockaddr_in *in = (struct sockaddr_in *)&a->sa;
        in->sin_family = AF_INET, in->sin_port = htons((uint16_t)port);
        memcpy(&in->sin_addr, ip, 4);
        a->len = sizeof *in;
    } else {
        struct sockaddr_in6 *in = (struct sockaddr_in6 *)&a->sa;
        in->sin6_family = AF_INET6, in->sin6_port = htons((uint16_t)port);
        memcpy(&in->sin6_addr, ip, 16);
        a->len = sizeof *in;
    }
    t->kind = NET_TARGET_LITERAL;
    return true;
}

static sennit_err target_unix(const char *target, const char *path, bool abstract,
                              struct net_target *t)
{
    size_t n = strlen(path), skip = abstract ? 1 : 0;
    struct net_addr *a = target_add_literal(t);
    struct sockaddr_un *un = a ? (struct sockaddr_un *)&a->sa : NULL;
    if (!a)
        return sennit_no_memory;
    if (n == 0 || n + 1 > sizeof un->sun_path)
        return target_bad(target, n ? "the path of a unix socket has at most 107 octets"
                                    : "a unix target needs a path");
    un->sun_family = AF_UNIX;
    memcpy(un->sun_path + skip, path, n);
    a->len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n + 1);
    t->kind = NET_TARGET_UNIX;
    snprintf(t->authority, sizeof t->authority, "localhost");
    return NULL;
}

/* "cid:port"; cid may be "any" (to listen on). */
static sennit_err target_vsock(const char *target, const char *s, struct net_target *t)
{
    char *end;
    bool any = strncmp(s, "any:", 4) == 0;
    unsigned long cid = any ? VMADDR_CID_ANY : strtoul(s, &end, 10);
    const char *port = any ? s + 4 : end != s && *end == ':' ? end + 1 : "";
    unsigned long number = strtoul(port, &end, 10);
    if (!*port || *end || cid > UINT32_MAX || number > UINT32_MAX)
        return target_bad(target, "expected \"vsock:cid:port\"");
    struct net_addr *a = target_add_literal(t);
    if (!a)
        return sennit_no_memory;
    struct sockaddr_vm *vm = (struct sockaddr_vm *)&a->sa;
    vm->svm_family = AF_VSOCK;
    vm->svm_cid = (unsigned)cid, vm->svm_port = (unsigned)number;
    a->len = sizeof *vm;
    t->kind = NET_TARGET_LITERAL;
    snprintf(t->authority, sizeof t->authority, "localhost");
    return NULL;
}

/* Comma-separated literals of one family. */
static sennit_err target_literals(const char *target, const char *s, int family,
                                  struct net_target *t)
{
    snprintf(t->authority, sizeof t->authority, "%.*s", (int)strcspn(s, ","), s);
    while (*s) {
        size_t n = strcspn(s, ",");
        if (!target_split(s, n, t) || !target_literal(t, family))
            return target_bad(target, family == AF_INET
                                          ? "not a list of IPv4 addresses with ports"
                                          : "not a list of [IPv6] addresses with ports");
        s += n + (s[n] == ',');
    }
    return t->literal.n ? NULL : target_bad(target, "no address in it");
}

static sennit_err target_host(const char *target, const char *s, struct net_target *t)
{
    if (!*s)
        return target_bad(target, "no host in it: expected \"host:port\"");
    if (strlen(s) >= sizeof t->host || !target_split(s, strlen(s), t) || !t->port[0])
        return target_bad(target, "expected \"host:port\"");
    snprintf(t->authority, sizeof t->authority, "%s", s);
    if (!t->host[0])
        memcpy(t->host, "localhost", sizeof "localhost");
    if (!target_literal(t, AF_INET) && !target_literal(t, AF_INET6))
        t->kind = NET_TARGET_DNS;
    return NULL;
}

static const char *target_after(const char *s, const char *prefix)
{
    size_t n = strlen(prefix);
    return strncmp(s, prefix, n) == 0 ? s + n : NULL;
}

sennit_err net_target_parse(const char *target, struct net_target *out)
{
    const char *rest;
    memset(out, 0, sizeof *out);
    if ((rest = target_after(target, "unix://")))
        return target_unix(target, rest, false, out);
    if ((rest = target_after(target, "unix:@")) || (rest = target_after(target, "unix-abstract:")))
        return target_unix(target, rest, true, out);
    if ((rest = target_after(target, "unix:")))
        return target_unix(target, rest, false, out);
    if ((rest = target_after(target, "vsock:")))
        return target_vsock(target, rest, out);
    if ((rest = target_after(target, "ipv4:")))
        return target_literals(target, rest, AF_INET, out);
    if ((rest = target_after(target, "ipv6:")))
        return target_literals(target, rest, AF_INET6, out);
    if ((rest = target_after(target, "dns:///")) ||
        (rest = target_after(target, "passthrough:///")))
        return target_host(target, rest, out);
    if ((rest = target_after(target, "dns://")))
        return target_bad(target, "naming a DNS server is not supported: use \"dns:///host:port\"");
    if ((rest = target_after(target, "dns:")))
        return target_host(target, rest, out);
    if ((rest = strstr(target, "://")))
        return target_bad(target,
                          "unknown scheme (known: dns, ipv4, ipv6, unix, unix-abstract, vsock, "
                          "passthrough)");
    return target_host(target, target, out);
}

void net_target_fini(struct net_target *t) { net_addrs_free(&t->literal); }

void net_addrs_free(struct net_addrs *a)
{
    sys.free(a->list);
    a->list = NULL;
    a->n = 0;
}
