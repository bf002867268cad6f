/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * test_proxy.c: which proxy the environment means, and CONNECT through one of ours. */
#include "echo.h"
#include "net/net.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

static void environment(const char *proxy, const char *no)
{
    static const char *const names[] = { "grpc_proxy",    "https_proxy", "HTTPS_PROXY",
                                         "no_grpc_proxy", "no_proxy",    "NO_PROXY" };
    for (size_t i = 0; i < countof(names); i++)
        unsetenv(names[i]);
    if (proxy)
        setenv("HTTPS_PROXY", proxy, 1);
    if (no)
        setenv("NO_PROXY", no, 1);
}

/* "host:port of the proxy|what it is asked for|Basic", "direct", or the error. */
static const char *found(const char *target)
{
    static char text[1200];
    struct net_target t;
    struct net_proxy p;
    check(!net_target_parse(target, &t));
    sennit_err err = net_proxy_find(&t, &p);
    if (err)
        snprintf(text, sizeof text, "%s", err->message);
    else if (p.used)
        snprintf(text, sizeof text, "%s:%s|%s|%s", p.at.host, p.at.port, p.connect, p.basic);
    else
        snprintf(text, sizeof text, "direct");
    net_target_fini(&t);
    net_target_fini(&p.at);
    return text;
}

TEST(proxy_is_named_by_the_environment)
{
    environment(NULL, NULL);
    check_str(found("a.test:443"), "direct");
    environment("http://p.test:3128", NULL);
    check_str(found("a.test:50051"), "p.test:3128|a.test:50051|");
    check_str(found("dns:///a.test"), "p.test:3128|a.test:443|");
    check_str(found("10.0.0.1:1"), "p.test:3128|10.0.0.1:1|");
    check_str(found("[2001:db8::1]:1"), "p.test:3128|[2001:db8::1]:1|");
    check_str(found("unix:/x"), "direct");
    check_str(found("vsock:2:1"), "direct");
    environment("p.test", NULL);
    check_str(found("a.test:1"), "p.test:80|a.test:1|");
    environment("http://us%40er:p%3Aw@p.test:8080/", NULL);
    check_str(found("a.test:1"), "p.test:8080|a.test:1|dXNAZXI6cDp3");
    environment("http://user@p.test:8080", NULL);
    check_str(found("a.test:1"), "p.test:8080|a.test:1|dXNlcjo=");
    environment("http://%zz@p.test:8080", NULL);
    check_str(found("a.test:1"), "proxy: bad user in HTTPS_PROXY");
    environment("socks5://p.test:8080", NULL);
    check_str(found("a.test:1"), "proxy: only http:// proxies are supported (HTTPS_PROXY)");
    setenv("https_proxy", "http://lower.test:1", 1);
    check_str(found("a.test:1"), "lower.test:1|a.test:1|");
    setenv("grpc_proxy", "http://grpc.test:1", 1);
    check_str(found("a.test:1"), "grpc.test:1|a.test:1|");
}

TEST(no_proxy_means_what_it_means_to_go)
{
    static const struct {
        const char *list, *target;
        bool direct;
    } cases[] = {
        { "", "a.test:1", false },
        { "*", "a.test:1", true },
        { "a.test", "a.test:1", true },
        { "A.Test", "a.tesT:1", true },
        { "a.test", "b.a.test:1", true },
        { "a.test", "ba.test:1", false },
        { ".a.test", "a.test:1", false },
        { ".a.test", "b.a.test:1", true },
        { "*.a.test", "b.a.test:1", true },
        { "*.a.test", "a.test:1", false },
        { "x.test, a.test:2", "a.test:2", true },
        { "x.test,a.test:2", "a.test:1", false },
        { "10.1.2.3", "10.1.2.3:1", true },
        { "10.1.2.3:2", "10.1.2.3:1", false },
        { "10.1.0.0/16", "10.1.2.3:1", true },
        { "10.1.0.0/16", "10.2.2.3:1", false },
        { "10.1.2.2/31", "10.1.2.3:1", true },
        { "10.1.2.4/31", "10.1.2.3:1", false },
        { "0.0.0.0/0", "10.1.2.3:1", true },
        { "10.1.2.3/99", "10.1.2.3:1", false },
        { "2001:db8::/32", "[2001:db8::1]:1", true },
        { "[2001:db8::1]:1", "[2001:db8::1]:1", true },
        { "[2001:db8::1]:2", "[2001:db8::1]:1", false },
        { "2001:db9::/32", "[2001:db8::1]:1", false },
        { "/", "a.test:1", false },
        { ",, ,:", "a.test:1", false },
        { "", "localhost:1", true },
        { "", "127.3.2.1:1", true },
        { "", "[::1]:1", true },
    };
    for (size_t i = 0; i < countof(cases); i++) {
        environment("http://p.test:1", cases[i].list);
        if ((strcmp(found(cases[i].target), "direct") == 0) != cases[i].direct)
            test_failed(__FILE__, __LINE__, "NO_PROXY=%s, %s: %s", cases[i].list, cases[i].target,
                        found(cases[i].target));
    }
}

/* -- a proxy that knows one name -------------------------------------------------------------- */

struct proxy {
    int listener, port, to; /* to: of the server */
    const char *answer;     /* NULL: connects */
    char head[2048];
    pthread_t thread;
};

static int loopback(int port, bool listening)
{
    struct sockaddr_in in = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
    in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    check(fd >= 0);
    if (listening)
        check(bind(fd, (struct sockaddr *)&in, sizeof in) == 0 && listen(fd, 8) == 0);
    else
        check(connect(fd, (struct sockaddr *)&in, sizeof in) == 0);
    return fd;
}

struct pipe_ends {
    int from, to;
};

static void *pump(void *arg)
{
    struct pipe_ends *p = arg;
    char buf[4096];
    ssize_t n;
    while ((n = recv(p->from, buf, sizeof buf, 0)) > 0) {
        if (send(p->to, buf, (size_t)n, MSG_NOSIGNAL) != n)
            break;
    }
    shutdown(p->to, SHUT_RDWR);
    shutdown(p->from, SHUT_RDWR);
    return NULL;
}

static void *proxy_run(void *arg)
{
    struct proxy *p = arg;
    int fd = accept(p->listener, NULL, NULL), server = -1;
    size_t n = 0;
    pthread_t back;
    while (n < 4 || memcmp(p->head + n - 4, "\r\n\r\n", 4) != 0) {
        ssize_t got = recv(fd, p->head + n, sizeof p->head - 1 - n, 0);
        check(got > 0);
        n += (size_t)got;
    }
    const char *answer = p->answer ? p->answer : "HTTP/1.1 200 OK\r\nVia: a\r\n\r\n";
    check(send(fd, answer, strlen(answer), MSG_NOSIGNAL) == (ssize_t)strlen(answer));
    if (!p->answer) {
        server = loopback(p->to, false);
        struct pipe_ends there = { fd, server }, here = { server, fd };
        check(pthread_create(&back, NULL, pump, &here) == 0);
        pump(&there);
        pthread_join(back, NULL);
        close(server);
    }
    close(fd);
    return NULL;
}

static const char *call_by_proxy(struct proxy *p, const char *target)
{
    struct sockaddr_in in;
    socklen_t len = sizeof in;
    char url[64];
    p->listener = loopback(0, true);
    check(getsockname(p->listener, (struct sockaddr *)&in, &len) == 0);
    snprintf(url, sizeof url, "http://me:secret@127.0.0.1:%u", ntohs(in.sin_port));
    environment(url, NULL);
    check(pthread_create(&p->thread, NULL, proxy_run, p) == 0);
    sennit_conn *c = echo_dial(target);
    sennit_ctx *ctx = sennit_ctx_timeout(NULL, 10 * SENNIT_SECOND);
    struct echo_msg reply;
    sennit_err err = echo_call(c, ctx, "through", &reply);
    if (!err)
        check_str(reply.text.data, "through");
    sennit_ctx_free(ctx);
    sennit_conn_free(c);
    pthread_join(p->thread, NULL);
    close(p->listener);
    return err ? err->message : "fine";
}

static const struct echo_service plain = { .unary = echo_back };

TEST(calls_go_through_a_connect_proxy_which_resolves_the_name)
{
    struct echo_server e;
    struct proxy p = { .answer = NULL };
    echo_start(&e, &plain, NULL, (sennit_server_options){ 0 });
    p.to = (int)strtol(strrchr(e.address, ':') + 1, NULL, 10);
    check_str(call_by_proxy(&p, "only.the.proxy.knows.test:4242"), "fine");
    check_str(p.head, "CONNECT only.the.proxy.knows.test:4242 HTTP/1.1\r\n"
                      "Host: only.the.proxy.knows.test:4242\r\n"
                      "User-Agent: grpc-c-sennit/" SENNIT_VERSION "\r\n"
                      "Proxy-Authorization: Basic bWU6c2VjcmV0\r\n\r\n");
    echo_stop(&e);
}

TEST(refusal_of_a_proxy_is_told)
{
    struct proxy p = { .answer = "HTTP/1.1 407 Proxy Authentication Required\r\n\r\n" };
    check_str(call_by_proxy(&p, "a.test:1"),
              "connection error: desc = \"transport: Error while dialing: failed to do connect "
              "handshake, the proxy answered: HTTP/1.1 407 Proxy Authentication Required\"");
    p = (struct proxy){ .answer = "HTTP/1.1 200" };
    check_str(call_by_proxy(&p, "a.test:1"), "connection error: desc = \"transport: Error while "
                                             "dialing: proxy: it closed the connection\"");
}
