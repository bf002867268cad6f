/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * struck.h: a server for tests in which any system call or allocation may fail: it may not come to
 * be, or fail later; both are told to the test. Included by each test program once. */
#ifndef SENNIT_TEST_STRUCK_H
#define SENNIT_TEST_STRUCK_H

#include "echo.h"

/* A server that may be struck at any point. */
struct struck {
    sennit_server *server;
    sennit_wait_group done;
    _Atomic bool failed;
    bool running;
    char address[128];
};

static void struck_serve(void *arg)
{
    struct struck *s = arg;
    sennit_err err = sennit_serve(s->server);
    if (err) {
        check(err->message[0] && err->code != SENNIT_OK);
        atomic_store(&s->failed, true);
    }
    sennit_wait_group_done(&s->done);
}

/* False: it could not be made whole, and serve says so too. */
__attribute__((unused)) static bool
struck_start(struct struck *s, const struct echo_service *service, void *self, const char *address)
{
    memset(s, 0, sizeof *s);
    s->server = sennit_server_new(&(sennit_server_options){ .creds = echo_creds() });
    check(s->server);
    sennit_err err = sennit_register(s->server, &echo_service_desc, service, self);
    if (!err)
        err = sennit_listen(s->server, address);
    if (err) {
        check(test_under_fault() && err->message[0]);
        sennit_err again = sennit_serve(s->server);
        check(again && again->code == err->code);
        return false;
    }
    snprintf(s->address, sizeof s->address, "%s", sennit_bound_address(s->server, 0));
    sennit_wait_group_add(&s->done, 1);
    s->running = !sennit_go(struck_serve, s);
    if (!s->running)
        sennit_wait_group_done(&s->done);
    check(s->running || test_under_fault());
    return s->running;
}

__attribute__((unused)) static void struck_stop(struct struck *s)
{
    if (s->running)
        sennit_server_stop(s->server, 5 * SENNIT_SECOND);
    sennit_wait_group_wait(&s->done, NULL);
    sennit_server_free(s->server);
}

#endif
