/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * test_target.c: what target strings mean, addresses and errors as text. */
#include "harness.h"
#include "net/net.h"
#include <errno.h>
#include <netinet/in.h>
#include <sys/un.h>

__attribute__((constructor)) static void target_setup(void) { test_at_end = rt_shutdown; }

enum { DNS = NET_TARGET_DNS, LITERAL = NET_TARGET_LITERAL, UNIX = NET_TARGET_UNIX };

TEST(targets_of_every_scheme)
{
    static const struct {
        const char *target;
        int kind;
        const char *host, *port; /* DNS */
        const char *addresses;   /* joined by blanks */
        const char *authority;
    } rows[] = {
        { "localhost:50051", DNS, "localhost", "50051", "", "localhost:50051" },
        { "example.com", DNS, "example.com", "443", "", "example.com" },
        { "example.com:http", DNS, "example.com", "http", "", "example.com:http" },
        { "dns:///example.com:1", DNS, "example.com", "1", "", "example.com:1" },
        { "dns:example.com:1", DNS, "example.com", "1", "", "example.com:1" },
        { "passthrough:///example.com:1", DNS, "example.com", "1", "", "example.com:1" },
        { ":50051", DNS, "localhost", "50051", "", ":50051" },
        { "127.0.0.1:50051", LITERAL, "", "", "127.0.0.1:50051", "127.0.0.1:50051" },
        { "127.0.0.1", LITERAL, "", "", "127.0.0.1:443", "127.0.0.1" },
        { "[::1]:50051", LITERAL, "", "", "[::1]:50051", "[::1]:50051" },
        { "[::1]", LITERAL, "", "", "[::1]:443", "[::1]" },
        { "::1", LITERAL, "", "", "[::1]:443", "::1" },
        { "dns:///[::1]:5", LITERAL, "", "", "[::1]:5", "[::1]:5" },
        { "ipv4:10.0.0.1:1", LITERAL, "", "", "10.0.0.1:1", "10.0.0.1:1" },
        { "ipv4:10.0.0.1:1,10.0.0.2:2", LITERAL, "", "", "10.0.0.1:1 10.0.0.2:2", "10.0.0.1:1" },
        { "ipv6:[::1]:1,[::2]:2", LITERAL, "", "", "[::1]:1 [::2]:2", "[::1]:1" },
        { "unix:/run/x", UNIX, "", "", "unix:/run/x", "localhost" },
        { "unix:x.sock", UNIX, "", "", "unix:x.sock", "localhost" },
        { "unix:///run/x", UNIX, "", "", "unix:/run/x", "localhost" },
        { "unix-abstract:name", UNIX, "", "", "unix:@name", "localhost" },
    };
    for (size_t i = 0; i < countof(rows); i++) {
        struct net_target t;
        char all[300] = "", one[NET_ADDR_TEXT];
        sennit_err err = net_target_parse(rows[i].target, &t);
        check_str(err ? err->message : "", "");
        check_int(t.kind, rows[i].kind);
        for (size_t k = 0; k < t.literal.n; k++)
            snprintf(all + strlen(all), sizeof all - strlen(all), "%s%s", k ? " " : "",
                     net_addr_text(&t.literal.list[k], one));
        check_str(all, rows[i].addresses);
        check_str(t.authority, rows[i].authority);
        if ((int)t.kind == DNS) {
            check_str(t.host, rows[i].host);
            check_str(t.port, rows[i].port);
        }
        net_target_fini(&t);
    }
}

TEST(malformed_targets_are_refused_by_name)
{
    static const char long_path[] =
        "unix:/0123456789012345678901234567890123456789012345678901234567890123456789"
        "0123456789012345678901234567890123456789";
    static const char *const rows[] = {
        "",
        "nope:///x",
        "http://x:1",
        "dns://8.8.8.8/x:1",
        "[::1",
        "[::1]x",
        "host:",
        "ipv4:",
        "ipv4:host:1",
        "ipv4:1.2.3.4:99999",
        "ipv4:[::1]:1",
        "ipv6:1.2.3.4:1",
        "ipv6:[::1]:x",
        "host:65536",
        "dns:///host:99999999999999999999",
        "unix:",
        "unix-abstract:",
        long_path,
    };
    for (size_t i = 0; i < countof(rows); i++) {
        struct net_target t;
        sennit_err err = net_target_parse(rows[i], &t);
        if (!err)
            test_failed(__FILE__, __LINE__, "\"%s\" was taken", rows[i]);
        check_int(err->code, SENNIT_INVALID_ARGUMENT);
        check(strstr(err->message, rows[i]));
        net_target_fini(&t);
    }
}

TEST_FAULTS(a_target_without_memory_is_an_error)
{
    struct net_target t;
    sennit_err err = net_target_parse("ipv4:1.2.3.4:5,1.2.3.4:6", &t);
    check(!err || test_under_fault());
    net_target_fini(&t);
    err = net_target_parse("unix:/x", &t);
    check(!err || test_under_fault());
    net_target_fini(&t);
}

TEST(errors_read_as_gos)
{
    struct net_target t;
    char text[256];
    check(!net_target_parse("127.0.0.1:80", &t));
    struct net_addr *a = &t.literal.list[0];
    net_error_text(text, sizeof text, "dial", a, -ECONNREFUSED);
    check_str(text, "dial tcp 127.0.0.1:80: connect: connection refused");
    net_error_text(text, sizeof text, "listen", a, -EADDRINUSE);
    check_str(text, "listen tcp 127.0.0.1:80: bind: address already in use");
    net_error_text(text, sizeof text, "dial", a, -ETIMEDOUT);
    check_str(text, "dial tcp 127.0.0.1:80: i/o timeout");
    check_int(net_error_text(text, 10, "dial", a, -ETIMEDOUT), 9);
    check_str(text, "dial tcp ");
    check_str(net_errno_text(EDOM), "Numerical argument out of domain");
    check_str(net_errno_text(99999), "unknown error");
    net_target_fini(&t);
    struct net_addr none = { .len = 0 };
    check_str(net_addr_text(&none, text), "unknown address");
}

TEST(accept_errors_are_sorted)
{
    static const int now[] = { EINTR, ECONNABORTED, EPROTO, ECONNRESET, ETIMEDOUT, EPERM };
    static const int later[] = { EMFILE, ENFILE, ENOBUFS, ENOMEM };
    static const int fatal[] = { EBADF, EINVAL, ENOTSOCK, EFAULT };
    for (size_t i = 0; i < countof(now); i++)
        check_int(net_accept_verdict(-now[i]), NET_RETRY_NOW);
    for (size_t i = 0; i < countof(later); i++)
        check_int(net_accept_verdict(-later[i]), NET_RETRY_LATER);
    for (size_t i = 0; i < countof(fatal); i++)
        check_int(net_accept_verdict(-fatal[i]), NET_FATAL);
}
