/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * test_listen.c: listening, accepting, dialling, names. */
#include "base/sys.h"
#include "harness.h"
#include "net/net.h"
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/un.h>
#include <unistd.h>

__attribute__((constructor)) static void listen_setup(void) { test_at_end = rt_shutdown; }

static struct net_io *dial(const struct net_addr *a, int *error)
{
    sennit_ctx *ctx = sennit_ctx_timeout(NULL, 10 * SENNIT_SECOND);
    struct net_io *io = net_dial(a, ctx, error);
    sennit_ctx_free(ctx);
    return io;
}

static struct net_io *accept_soon(struct net_listener *l)
{
    struct net_io *io = NULL;
    int error;
    while ((error = net_accept(l, &io)) == -EAGAIN)
        check(rt_fd_wait_read(l->fd, NULL) == 0);
    check(error == 0 || test_under_fault());
    return io;
}

/* An octet from one to the other. */
static void talk(struct net_io *from, struct net_io *to)
{
    char c = 'x', d = 0;
    ssize_t n;
    check_int(from->ops->send(from, &(struct iovec){ &c, 1 }, 1), 1);
    while ((n = to->ops->recv(to, &d, 1)) == -EAGAIN)
        check(rt_fd_wait_read(to->fd, NULL) == 0);
    check_int(n, 1);
    check_int(d, 'x');
}

static void round_trip(const char *address, const char *prefix)
{
    struct net_listener *l;
    struct net_addr a;
    int error = 0;
    sennit_err err = net_listen(address, &l);
    check_str(err ? err->message : "", "");
    check(strncmp(l->text, prefix, strlen(prefix)) == 0);
    check(strcmp(l->text + strlen(l->text) - 2, ":0") != 0);
    a = l->local;
    struct net_io *client = dial(&a, &error);
    check_int(error, 0);
    struct net_io *server = accept_soon(l);
    talk(client, server);
    talk(server, client);
    char one[NET_ADDR_TEXT], two[NET_ADDR_TEXT];
    struct net_addr client_local, client_peer, server_local, server_peer;
    net_io_names(client, &client_local, &client_peer);
    net_io_names(server, &server_local, &server_peer);
    if (a.sa.ss_family != AF_UNIX) {
        check_str(net_addr_text(&client_local, one), net_addr_text(&server_peer, two));
        check_str(net_addr_text(&client_peer, one), net_addr_text(&server_local, two));
    }
    client->ops->close(client);
    char c;
    ssize_t n;
    while ((n = server->ops->recv(server, &c, 1)) == -EAGAIN)
        check(rt_fd_wait_read(server->fd, NULL) == 0);
    check_int(n, 0); /* the end */
    server->ops->close(server);
    net_listener_close(l);
}

TEST(port_0_is_a_free_one_on_every_kind_of_address)
{
    round_trip("127.0.0.1:0", "127.0.0.1:");
    round_trip("localhost:0", "");
    round_trip("unix-abstract:sennit-test-listen", "unix:@sennit-test-listen");
}

TEST(everywhere_takes_both_families)
{
    static const char *const rows[] = { ":0", "[::]:0" };
    for (size_t i = 0; i < countof(rows); i++) {
        struct net_listener *l;
        struct net_target t;
        char target[64];
        int error = 0;
        check(!net_listen(rows[i], &l));
        snprintf(target, sizeof target, "127.0.0.1:%s", strrchr(l->text, ':') + 1);
        check(!net_target_parse(target, &t));
        struct net_io *client = dial(&t.literal.list[0], &error);
        check_int(error, 0);
        struct net_io *server = accept_soon(l);
        talk(client, server);
        client->ops->close(client);
        server->ops->close(server);
        net_target_fini(&t);
        net_listener_close(l);
    }
}

TEST(a_port_in_use_is_named)
{
    struct net_listener *l, *second;
    char want[200];
    check(!net_listen("127.0.0.1:0", &l));
    sennit_err err = net_listen(l->text, &second);
    snprintf(want, sizeof want, "listen tcp %s: bind: address already in use", l->text);
    check(err && !second && err->code == SENNIT_UNAVAILABLE);
    check_str(err->message, want);
    net_listener_close(l);
    check(!net_listen(":0", &l));
    char everywhere[64]; /* as it was asked for, as Go says it */
    snprintf(everywhere, sizeof everywhere, ":%s", strrchr(l->text, ':') + 1);
    err = net_listen(everywhere, &second);
    snprintf(want, sizeof want, "listen tcp %s: bind: address already in use", everywhere);
    check(err);
    check_str(err->message, want);
    net_listener_close(l);
}

TEST(a_socket_file_goes_with_its_listener_and_a_stale_one_is_replaced)
{
    struct net_listener *l, *second;
    char path[64], address[80];
    snprintf(path, sizeof path, "/tmp/sennit-listen-%d", (int)getpid());
    snprintf(address, sizeof address, "unix:%s", path);
    check(!net_listen(address, &l));
    check(access(path, F_OK) == 0);
    sennit_err err = net_listen(address, &second); /* somebody is there */
    check(err && strstr(err->message, "address already in use"));
    net_listener_close(l);
    check(access(path, F_OK) != 0);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0); /* as after a crash */
    struct sockaddr_un un = { .sun_family = AF_UNIX };
    memcpy(un.sun_path, path, strlen(path) + 1);
    check(bind(fd, (struct sockaddr *)&un, sizeof un) == 0);
    close(fd);
    round_trip(address, address);
    check(access(path, F_OK) != 0);
}

TEST(bad_addresses_to_listen_on_are_refused)
{
    static const struct {
        const char *address;
        sennit_code code;
    } rows[] = {
        { "nonsense", SENNIT_INVALID_ARGUMENT },
        { "127.0.0.1:port", SENNIT_UNAVAILABLE },
        { ":99999", SENNIT_INVALID_ARGUMENT },
        { "127.0.0.1:99999", SENNIT_INVALID_ARGUMENT },
        { "no-such-name.invalid:1", SENNIT_UNAVAILABLE },
        { "unix:/nonexistent/dir/socket", SENNIT_UNAVAILABLE },
    };
    for (size_t i = 0; i < countof(rows); i++) {
        struct net_listener *l;
        sennit_err err = net_listen(rows[i].address, &l);
        check(err && !l && err->message[0]);
        if (err->code != rows[i].code)
            test_failed(__FILE__, __LINE__, "%s: %s", rows[i].address, sennit_err_text(err));
    }
}

TEST(an_inherited_descriptor_must_listen)
{
    struct net_listener *l;
    int fds[2];
    check(pipe(fds) == 0);
    sennit_err err = net_listen_fd(fds[0], &l);
    check(err && err->code == SENNIT_INVALID_ARGUMENT && !l);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in in = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    check(bind(fd, (struct sockaddr *)&in, sizeof in) == 0);
    err = net_listen_fd(fd, &l); /* bound, but it does not listen */
    check(err && err->code == SENNIT_INVALID_ARGUMENT && !l);
    close(fd), close(fds[0]), close(fds[1]);
    err = net_listen_fd(-1, &l);
    check(err && !l);
}

TEST(dialling_nobody_is_refused_and_a_deadline_ends_it)
{
    struct net_target t;
    int error = 0;
    check(!net_target_parse("127.0.0.1:1", &t));
    check(!dial(&t.literal.list[0], &error));
    check_int(error, -ECONNREFUSED);
    net_target_fini(&t);
    check(!net_target_parse("unix:/nonexistent/x", &t));
    check(!dial(&t.literal.list[0], &error));
    check_int(error, -ENOENT);
    net_target_fini(&t);
}

TEST(names_resolve_and_those_that_do_not_say_so)
{
    struct net_target t;
    struct net_addrs found;
    check(!net_target_parse("localhost:77", &t));
    check(!net_resolve(&t, &found));
    check(found.n >= 1);
    for (size_t i = 0; i < found.n; i++)
        check(ntohs(((struct sockaddr_in *)&found.list[i].sa)->sin_port) == 77);
    net_addrs_free(&found);
    check(!net_target_parse("no-such-name.invalid:77", &t));
    sennit_err err = net_resolve(&t, &found);
    check(err && err->code == SENNIT_UNAVAILABLE && strstr(err->message, "no-such-name.invalid"));
    check_int(found.n, 0);
    net_addrs_free(&found);
}

static int no_addresses(const char *node, const char *service, const struct addrinfo *hints,
                        struct addrinfo **out)
{
    (void)node, (void)service, (void)hints;
    *out = NULL;
    return EAI_AGAIN;
}

TEST(a_name_server_that_does_not_answer_is_unavailable)
{
    struct net_target t;
    struct net_addrs found;
    sys.getaddrinfo = no_addresses;
    check(!net_target_parse("somewhere.example:77", &t));
    sennit_err err = net_resolve(&t, &found);
    check(err && err->code == SENNIT_UNAVAILABLE && strstr(err->message, "somewhere.example"));
    net_addrs_free(&found);
}

TEST_FAULTS(listening_and_dialling_end_well_or_in_an_error)
{
    struct net_listener *l = NULL;
    struct net_io *client = NULL, *server = NULL;
    int error = 0;
    sennit_err err = net_listen("127.0.0.1:0", &l);
    check(!err == (l != NULL));
    check(!err || test_under_fault());
    if (l)
        client = dial(&l->local, &error);
    if (client)
        server = accept_soon(l);
    check(!l || client || error < 0);
    if (client)
        client->ops->close(client);
    if (server)
        server->ops->close(server);
    net_listener_close(l);
}
