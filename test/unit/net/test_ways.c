/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * test_ways.c: ways to a server other than its TCP address: sockets that were inherited or accepted
 * by the program, dialers of the user, abstract unix sockets, vsock; and the word to systemd. */
#include "base/sys.h"
#include "echo.h"
#include "net/net.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static const struct echo_service plain = { .unary = echo_back };

static const char *call_text(sennit_conn *c)
{
    sennit_ctx *ctx = sennit_ctx_timeout(NULL, 10 * SENNIT_SECOND);
    struct echo_msg reply;
    sennit_err err = echo_call(c, ctx, "hello", &reply);
    if (!err)
        check_str(reply.text.data, "hello");
    sennit_ctx_free(ctx);
    return err ? err->message : "fine";
}

/* The library will close fd, so the table that counts must know of it. */
static int given(int fd, int least)
{
    int number = sys.fcntl(fd, F_DUPFD_CLOEXEC, least);
    check(number >= least);
    close(fd);
    return number;
}

/* A socket that listens at an abstract address, with this number. */
static void inherit(int number, const char *name)
{
    struct sockaddr_un un = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    snprintf(un.sun_path + 1, sizeof un.sun_path - 1, "sennit-test-%s-%d", name, (int)getpid());
    socklen_t n = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + strlen(un.sun_path + 1));
    check(fd >= 0 && bind(fd, (struct sockaddr *)&un, n) == 0 && listen(fd, 8) == 0);
    check(given(fd, number) == number);
}

static void check_abstract(const char *name, const char *text)
{
    char target[64];
    snprintf(target, sizeof target, "unix-abstract:sennit-test-%s-%d", name, (int)getpid());
    sennit_conn *c = echo_dial(target);
    check_str(call_text(c), text);
    sennit_conn_free(c);
}

static void activation(const char *fds, const char *names)
{
    char pid[32];
    snprintf(pid, sizeof pid, "%d", (int)getpid());
    setenv("LISTEN_PID", pid, 1);
    setenv("LISTEN_FDS", fds, 1);
    setenv("LISTEN_FDNAMES", names, 1);
}

TEST(sockets_of_systemd_and_numbers_are_served)
{
    struct echo_server e;
    struct sennit_server_options o = { 0 };
    int first = 200;
    inherit(first, "fd");
    char address[32];
    snprintf(address, sizeof address, "fd:%d", first);
    echo_start_at(&e, address, &plain, NULL, o);
    check_abstract("fd", "fine");
    echo_stop(&e);
}

TEST(systemd_hands_over_by_name)
{
    int fds[8];
    unsetenv("LISTEN_PID");
    check_int(net_systemd_fds("", fds, 8), -1);
    setenv("LISTEN_PID", "1", 1);
    setenv("LISTEN_FDS", "1", 1);
    check_int(net_systemd_fds("", fds, 8), -1); /* meant for another process */
    activation("3", "web:rpc:rpc");
    check_int(net_systemd_fds("", fds, 8), 3);
    check_int(net_systemd_fds("rpc", fds, 8), 2);
    check_int(fds[0], 4);
    check_int(fds[1], 5);
    check_int(net_systemd_fds("rp", fds, 8), 0);
    check_int(net_systemd_fds("rpc", fds, 1), 2);
    activation("x", "");
    check_int(net_systemd_fds("", fds, 8), -1);
    sennit_server *s = sennit_server_new(&(sennit_server_options){ .creds = sennit_insecure() });
    sennit_err err = sennit_listen(s, "systemd:");
    check_str(err ? err->message : "fine",
              "listen systemd:: not started by socket activation (LISTEN_PID, LISTEN_FDS)");
    sennit_server_free(s);
}

TEST(state_is_told_to_systemd)
{
    struct sockaddr_un un = { .sun_family = AF_UNIX };
    char name[64], text[64] = "";
    unsetenv("NOTIFY_SOCKET");
    check(!sennit_notify("READY=1"));
    snprintf(name, sizeof name, "@sennit-test-notify-%d", (int)getpid());
    memcpy(un.sun_path + 1, name + 1, strlen(name) - 1);
    int fd = socket(AF_UNIX, SOCK_DGRAM, 0);
    check(fd >= 0 && bind(fd, (struct sockaddr *)&un,
                          (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(name))) == 0);
    setenv("NOTIFY_SOCKET", name, 1);
    check(!sennit_notify("READY=1\nSTATUS=serving"));
    check(recv(fd, text, sizeof text - 1, 0) > 0);
    check_str(text, "READY=1\nSTATUS=serving");
    close(fd);
    sennit_err err = sennit_notify("STOPPING=1");
    check(err && strstr(err->message, "connection refused"));
    setenv("NOTIFY_SOCKET", "relative", 1);
    check(sennit_notify("READY=1"));
}

/* -- the program's own sockets ---------------------------------------------------------------- */

struct own {
    sennit_server *server;
    int dials;
    int error;
    char target[64];
};

static int own_dial(void *self, sennit_ctx *ctx, const char *target)
{
    struct own *own = self;
    int ends[2];
    (void)ctx;
    own->dials++;
    snprintf(own->target, sizeof own->target, "%s", target);
    if (own->error)
        return own->error;
    for (;;) { /* until the server serves, which another goroutine is about to do */
        check(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
        sennit_err err = sennit_accept_fd(own->server, given(ends[1], 0));
        if (!err)
            return given(ends[0], 0);
        check_int(err->code, SENNIT_FAILED_PRECONDITION);
        close(ends[0]);
        sennit_yield();
    }
}

TEST(dialer_and_accepted_socket_meet_without_an_address)
{
    struct echo_server e;
    struct own own = { 0 };
    sennit_dialer dialer = { &own, own_dial };
    echo_start(&e, &plain, NULL, (sennit_server_options){ .creds = sennit_local() });
    own.server = e.server;
    sennit_conn *c =
        sennit_dial("passthrough:///somewhere:1",
                    &(sennit_conn_options){ .creds = sennit_local(), .dialer = &dialer });
    check_str(call_text(c), "fine");
    check_str(call_text(c), "fine");
    check_int(own.dials, 1);
    check_str(own.target, "passthrough:///somewhere:1");
    sennit_conn_free(c);
    own.error = -ECONNREFUSED;
    c = sennit_dial("x:1", &(sennit_conn_options){ .creds = sennit_local(), .dialer = &dialer });
    check_str(call_text(c), "connection error: desc = \"transport: Error while dialing: connection "
                            "refused\"");
    sennit_conn_free(c);
    echo_stop(&e);
}

TEST(accepted_socket_is_refused_by_a_server_that_does_not_serve)
{
    int ends[2];
    char octet;
    sennit_server *s = sennit_server_new(&(sennit_server_options){ .creds = sennit_insecure() });
    check(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
    sennit_err err = sennit_accept_fd(s, given(ends[1], 0));
    check(err && err->code == SENNIT_FAILED_PRECONDITION);
    check(recv(ends[0], &octet, 1, 0) == 0); /* it was closed */
    close(ends[0]);
    sennit_server_free(s);
}

/* -- vsock ------------------------------------------------------------------------------------ */

TEST(vsock_targets_are_understood)
{
    struct net_target t;
    char text[NET_ADDR_TEXT];
    check(!net_target_parse("vsock:3:50051", &t));
    check_str(net_addr_text(&t.literal.list[0], text), "vsock:3:50051");
    check_str(t.authority, "localhost");
    net_target_fini(&t);
    check(!net_target_parse("vsock:any:1", &t));
    check_str(net_addr_text(&t.literal.list[0], text), "vsock:any:1");
    net_target_fini(&t);
    const char *bad[] = {
        "vsock:", "vsock:3", "vsock:3:", "vsock:x:1", "vsock:3:x", "vsock:3:4294967296", "vsock::1"
    };
    for (size_t i = 0; i < countof(bad); i++) {
        check(net_target_parse(bad[i], &t));
        net_target_fini(&t);
    }
}
