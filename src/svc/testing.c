/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * testing.c: what sennit_test.h promises of connections: a channel whose every attempt makes a pipe
 * (net/pipe.c) and hands its other end to a server. The one place that sees client and server. */
#include "client/client.h"
#include "sennit_test.h"
#include "server/server.h"
#include <errno.h>

static struct net_io *testing_connect(void *server, int *error)
{
    struct net_io *ends[2];
    *error = -ENOMEM;
    if (!net_pipe(ends))
        return NULL;
    *error = -ECONNREFUSED;
    if (server_accept_io(server, ends[1]))
        return ends[0];
    ends[0]->ops->close(ends[0]);
    return NULL;
}

/* NULL: they can be joined. */
static sennit_err testing_check(sennit_server *s, const sennit_conn *c)
{
    if (server_creds(s) != sennit_insecure() || c->options.creds != sennit_insecure())
        return sennit_errorf(WHY_AS(WHY(UNSUPPORTED), SENNIT_FAILED_PRECONDITION),
                             "sennit_test_dial: both ends want sennit_insecure()");
    return NULL;
}

sennit_conn *sennit_test_dial_sized(sennit_server *s, const sennit_conn_options *o, size_t size,
                                    size_t interceptor_stride)
{
    sennit_conn *c = sennit_dial_sized("unix:pipe", o, size, interceptor_stride);
    if (!c->ctx)
        return c; /* made without memory */
    sennit_err err = server_is_lame(s) ? sennit_no_memory : server_serve_unheard(s);
    if (!err)
        err = testing_check(s, c);
    if (err && !c->bad)
        c->bad = sennit_err_copy(&c->arena, err);
    c->pipe = testing_connect;
    c->pipe_to = s;
    return c;
}
