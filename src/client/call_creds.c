/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * call_creds.c: what credentials add to a call's metadata. The user's function runs in the caller's
 * goroutine, for each attempt, once the connection is known; on one that anybody may read along it
 * does not run and the call fails. What it adds stands last and is never kept by HPACK. */
#include "base/limits.h"
#include "base/sys.h"
#include "client/plan.h"
#include "rpc/metadata.h"
#include "rpc/status.h"
#include <fcntl.h>

static sennit_err call_creds_add(const struct call_plan *p, const sennit_call_creds *creds,
                                 sennit_md *md)
{
    sennit_err err = creds->add(creds->self, p->ctx, p->method, md);
    if (!err || !status_is_callers(err->code))
        return err;
    return sennit_errorf(WHY(CALL_CREDS),
                         "transport: received per-RPC creds error with illegal status: %s",
                         sennit_err_text(err));
}

sennit_err call_creds_md(const struct call_plan *p, struct rpc_stream *s, const sennit_md **out)
{
    const sennit_call_creds *all[] = { p->conn->options.call_creds,
                                       p->o.credentials ? &p->creds : NULL };
    *out = NULL;
    if (!all[0] && !all[1])
        return NULL;
    if (!transport_auth(s->t)->secure)
        return sennit_errorf(WHY(INSECURE),
                             "transport: cannot send secure credentials on an insecure connection");
    sennit_md *md = md_new(s->arena);
    sennit_err err = md ? NULL : sennit_no_memory;
    for (size_t i = 0; i < countof(all) && !err; i++) {
        if (all[i])
            err = call_creds_add(p, all[i], md);
    }
    *out = md;
    return err;
}

/* -- bearer tokens ---------------------------------------------------------------------------- */

static sennit_err bearer_add(sennit_md *md, const char *token, size_t len)
{
    while (len && (token[len - 1] == '\n' || token[len - 1] == '\r' || token[len - 1] == ' '))
        len--;
    if (!len)
        return sennit_errorf(WHY(TOKEN), "call credentials: the token is empty");
    sennit_str value = arena_printf(md->arena, "Bearer %.*s", (int)len, token);
    return value.data ? sennit_md_add(md, "authorization", value) : sennit_no_memory;
}

sennit_err sennit_bearer(void *self, sennit_ctx *ctx, const sennit_method *method, sennit_md *md)
{
    (void)ctx, (void)method;
    return bearer_add(md, self, strlen(self));
}

sennit_err sennit_bearer_file(void *self, sennit_ctx *ctx, const sennit_method *method,
                              sennit_md *md)
{
    char *token = arena_alloc(md->arena, LIMIT_TOKEN + 1);
    size_t len = 0;
    ssize_t n = 0;
    (void)ctx, (void)method;
    if (!token)
        return sennit_no_memory;
    int fd = sys.open(self, O_RDONLY | O_CLOEXEC);
    while (fd >= 0 && len <= LIMIT_TOKEN) {
        n = sys.read(fd, token + len, LIMIT_TOKEN + 1 - len);
        if (n == 0 || (n < 0 && n != -EINTR))
            break;
        len += n > 0 ? (size_t)n : 0;
    }
    if (fd >= 0)
        sys.close(fd);
    else
        n = fd;
    if (n < 0 || len > LIMIT_TOKEN)
        return sennit_errorf(WHY(TOKEN), "call credentials: cannot read the token file \"%s\": %s",
                             (const char *)self,
                             n < 0 ? net_errno_text((int)-n) : "longer than a token may be");
    return bearer_add(md, token, len);
}
