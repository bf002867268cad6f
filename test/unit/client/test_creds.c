/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * test_creds.c: local credentials, and what credentials add to calls. TLS has tests of its own. */
#include "echo.h"
#include <stdlib.h>
#include <unistd.h>

/* "auth_type identity uid tokens" of the call, as its handler sees it. */
static sennit_err who_back(void *self, sennit_ctx *ctx, const struct echo_msg *q,
                           struct echo_msg *r)
{
    const sennit_peer *p = sennit_handler_peer(ctx);
    const sennit_str *a = sennit_md_get(sennit_md_in(ctx), "authorization", 0);
    const sennit_str *b = sennit_md_get(sennit_md_in(ctx), "authorization", 1);
    (void)self, (void)q;
    r->text =
        sennit_printf(ctx, "%s|%s|%lld|%d|%s|%s", p->auth_type, p->identity, (long long)p->uid,
                      p->pid == getpid(), a ? a->data : "", b ? b->data : "");
    return NULL;
}
static const struct echo_service who = { .unary = who_back };

#define SOCKET "unix-abstract:sennit-test-creds-%d"

static void check_who(const char *target, const sennit_conn_options *o,
                      const sennit_call_creds *call, const char *text)
{
    sennit_conn *c = sennit_dial(target, o);
    sennit_ctx *ctx = sennit_ctx_timeout(NULL, 10 * SENNIT_SECOND);
    struct echo_msg q = echo_empty, reply;
    sennit_call_options options = { .credentials = call };
    sennit_err err = sennit_call(c, ctx, &echo_methods[0], &q, &reply, &options, sizeof options);
    check_str(err ? err->message : reply.text.data, text);
    sennit_ctx_free(ctx);
    sennit_conn_free(c);
}

TEST(local_credentials_name_the_peer_of_a_unix_socket)
{
    struct echo_server e;
    char address[64], expected[64];
    snprintf(address, sizeof address, SOCKET, (int)getpid());
    snprintf(expected, sizeof expected, "local|uid:%u|%u|1|Bearer a b|Bearer c", getuid(),
             getuid());
    echo_start_at(&e, address, &who, NULL, (sennit_server_options){ .creds = sennit_local() });
    sennit_call_creds conn = { "a b", sennit_bearer }, call = { "c\n", sennit_bearer };
    check_who(address, &(sennit_conn_options){ .creds = sennit_local(), .call_creds = &conn },
              &call, expected);
    echo_stop(&e);
}

TEST(local_credentials_on_loopback_carry_no_secrets)
{
    struct echo_server e;
    echo_start(&e, &who, NULL, (sennit_server_options){ .creds = sennit_local() });
    sennit_call_creds call = { "secret", sennit_bearer };
    check_who(e.address, &(sennit_conn_options){ .creds = sennit_local() }, NULL, "local||-1|0||");
    check_who(e.address, &(sennit_conn_options){ .creds = sennit_local() }, &call,
              "transport: cannot send secure credentials on an insecure connection");
    echo_stop(&e);
}

static sennit_err must_not_run(void *self, sennit_ctx *ctx, const sennit_method *m, sennit_md *md)
{
    (void)self, (void)ctx, (void)m, (void)md;
    test_failed(__FILE__, __LINE__, "credentials were asked for on plain text");
}

TEST(call_credentials_are_refused_on_plain_text)
{
    struct echo_server e;
    echo_start(&e, &who, NULL, (sennit_server_options){ 0 });
    sennit_call_creds secret = { NULL, must_not_run };
    check_who(e.address, &(sennit_conn_options){ .creds = sennit_insecure() }, &secret,
              "transport: cannot send secure credentials on an insecure connection");
    check_who(e.address,
              &(sennit_conn_options){ .creds = sennit_insecure(), .call_creds = &secret }, NULL,
              "grpc: the credentials require transport level security: set "
              "sennit_conn_options.creds to TLS, or to local ones for a unix socket");
    check_who(e.address, &(sennit_conn_options){ .creds = sennit_insecure() }, NULL,
              "insecure||-1|0||");
    echo_stop(&e);
}

static sennit_err refuse(void *self, sennit_ctx *ctx, const sennit_method *m, sennit_md *md)
{
    const sennit_code *code = self;
    (void)ctx, (void)m, (void)md;
    return sennit_errorf(*code, "no token today");
}

TEST(errors_of_call_credentials_are_the_calls)
{
    struct echo_server e;
    char address[64];
    snprintf(address, sizeof address, SOCKET, (int)getpid());
    echo_start_at(&e, address, &who, NULL, (sennit_server_options){ .creds = sennit_local() });
    sennit_conn_options o = { .creds = sennit_local() };
    sennit_code code = SENNIT_UNAUTHENTICATED;
    sennit_call_creds creds = { &code, refuse };
    check_who(address, &o, &creds, "no token today");
    code = SENNIT_NOT_FOUND; /* a server's to give, not a plug-in's */
    check_who(address, &o, &creds,
              "transport: received per-RPC creds error with illegal status: rpc error: code = "
              "NotFound desc = no token today");
    echo_stop(&e);
}

TEST(token_files_are_read_for_each_call)
{
    struct echo_server e;
    char address[64], path[] = "/tmp/sennit-token-XXXXXX", expected[128];
    snprintf(address, sizeof address, SOCKET, (int)getpid());
    echo_start_at(&e, address, &who, NULL, (sennit_server_options){ .creds = sennit_local() });
    sennit_conn_options o = { .creds = sennit_local() };
    sennit_call_creds creds = { path, sennit_bearer_file };
    int fd = mkstemp(path);
    check(fd >= 0 && write(fd, "one\n", 4) == 4);
    snprintf(expected, sizeof expected, "local|uid:%u|%u|1|Bearer one|", getuid(), getuid());
    check_who(address, &o, &creds, expected);
    check(pwrite(fd, "two", 3, 0) == 3);
    snprintf(expected, sizeof expected, "local|uid:%u|%u|1|Bearer two|", getuid(), getuid());
    check_who(address, &o, &creds, expected);
    check(ftruncate(fd, 0) == 0);
    check_who(address, &o, &creds, "call credentials: the token is empty");
    check(ftruncate(fd, 100000) == 0);
    snprintf(expected, sizeof expected,
             "call credentials: cannot read the token file \"%s\": longer than a token may be",
             path);
    check_who(address, &o, &creds, expected);
    close(fd);
    unlink(path);
    snprintf(expected, sizeof expected,
             "call credentials: cannot read the token file \"%s\": no such file or directory",
             path);
    check_who(address, &o, &creds, expected);
    echo_stop(&e);
}
