/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * resolve.c: names by getaddrinfo, which honours the host's configuration but blocks and wants a
 * deep stack: so it runs on a thread of its own while the goroutine parks. */
#include "base/sys.h"
#include "net/net.h"
#include <netdb.h>

#define RESOLVE_MOST 64 /* addresses kept of one name */

struct resolve_job {
    const char *host, *port;
    struct addrinfo *found;
    int error;
};

static void resolve_run(void *arg)
{
    struct resolve_job *j = arg;
    const struct addrinfo hints = { .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM };
    j->error = sys.getaddrinfo(j->host, j->port, &hints, &j->found);
}

static bool resolve_take(const struct resolve_job *j, struct net_addrs *out)
{
    size_t n = 0;
    for (const struct addrinfo *a = j->found; a && n < RESOLVE_MOST; a = a->ai_next)
        n++;
    out->list = sys.calloc(n, sizeof *out->list);
    if (!out->list)
        return false;
    for (const struct addrinfo *a = j->found; a && out->n < n; a = a->ai_next) {
        if (a->ai_addrlen > sizeof out->list->sa)
            continue;
        memcpy(&out->list[out->n].sa, a->ai_addr, a->ai_addrlen);
        out->list[out->n++].len = a->ai_addrlen;
    }
    return true;
}

sennit_err net_resolve(const struct net_target *t, struct net_addrs *out)
{
    struct resolve_job j = { .host = t->host, .port = t->port };
    memset(out, 0, sizeof *out);
    if (rt_blocking_call(resolve_run, &j) < 0)
        return sennit_errorf(WHY(RESOLVE), "cannot resolve \"%s\": no thread for it", t->host);
    if (j.error)
        return sennit_errorf(WHY(RESOLVE), "produced zero addresses: lookup %s: %s", t->host,
                             j.error == EAI_NONAME ? "no such host" : gai_strerror(j.error));
    bool fine = resolve_take(&j, out);
    sys.freeaddrinfo(j.found);
    return fine ? NULL : sennit_no_memory;
}
