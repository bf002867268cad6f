/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * lame: objects that could not be made whole fail late and closed (law 4): no credentials named, a
 * bad target, a service registered twice, nothing to listen on. Each says why; none falls back to
 * plain text, and freeing NULL is fine. */
#include "helloworld.sennit.h"

#include <stdio.h>

static int passed, failed;

static void expect(const char *what, sennit_err err, sennit_code code, const char *part)
{
    if (err && err->code == code && strstr(err->message, part)) {
        passed++;
        return;
    }
    failed++;
    printf("FAIL  %s: %s, wanted code %d and \"%s\"\n", what,
           err ? sennit_err_text(err) : "no error", (int)code, part);
}

static sennit_err greet(const char *target, const sennit_conn_options *o)
{
    sennit_auto(sennit_conn) *conn = sennit_dial(target, o);
    sennit_auto(sennit_ctx) *ctx = sennit_ctx_timeout(NULL, 5 * SENNIT_SECOND);
    helloworld_HelloReply reply;

    sennit_err err =
        helloworld_Greeter_SayHello((helloworld_GreeterClient){ conn }, ctx,
                                    &(helloworld_HelloRequest){ .name = sennit_s("lame") }, &reply);
    if (err && (!reply.message.data || reply.message.len > 0))
        return sennit_errorf(SENNIT_DATA_LOSS, "the reply of a failed call is not empty");
    return err;
}

static sennit_err serve(const sennit_server_options *o, const char *address, int registrations)
{
    static const helloworld_GreeterService greeter = { 0 };
    sennit_auto(sennit_server) *server = sennit_server_new(o);

    for (int i = 0; i < registrations; i++)
        helloworld_Greeter_register(server, &greeter, NULL);
    if (address)
        sennit_listen(server, address);
    return sennit_serve(server);
}

int main(void)
{
    const sennit_conn_options plain = { .creds = sennit_insecure() };
    const sennit_server_options open = { .creds = sennit_insecure() };

    expect("dial without credentials", greet("127.0.0.1:1", &(sennit_conn_options){ 0 }),
           SENNIT_FAILED_PRECONDITION, "creds");
    expect("a target of no scheme we have", greet("nope:///127.0.0.1:1", &plain),
           SENNIT_INVALID_ARGUMENT, "nope");
    expect("no server", greet("127.0.0.1:1", &plain), SENNIT_UNAVAILABLE, "connection refused");
    expect("no such socket", greet("unix:/nonexistent/socket", &plain), SENNIT_UNAVAILABLE,
           "no such file");
    expect("serve without credentials", serve(&(sennit_server_options){ 0 }, "127.0.0.1:0", 1),
           SENNIT_FAILED_PRECONDITION, "creds");
    expect("registered twice", serve(&open, "127.0.0.1:0", 2), SENNIT_ALREADY_EXISTS,
           "helloworld.Greeter");
    expect("listen on nonsense", serve(&open, "not an address", 1), SENNIT_INVALID_ARGUMENT,
           "not an address");
    expect("no listener", serve(&open, NULL, 1), SENNIT_FAILED_PRECONDITION, "listen");
    sennit_conn_free(NULL);
    sennit_server_free(NULL);
    sennit_ctx_free(NULL);
    sennit_group_free(NULL);
    printf("%d passed, %d failed\n", passed, failed);
    return failed != 0;
}
