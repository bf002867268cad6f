/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * addr.c: addresses and errors as text, in grpc-go's words, which users search for. */
#include "net/net.h"
#include <arpa/inet.h>
#include <errno.h>
#include <linux/vm_sockets.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>

static const char *net_unix_text(const struct net_addr *a, char buf[NET_ADDR_TEXT])
{
    const struct sockaddr_un *un = (const struct sockaddr_un *)&a->sa;
    size_t n = a->len > offsetof(struct sockaddr_un, sun_path)
                   ? a->len - offsetof(struct sockaddr_un, sun_path)
                   : 0;
    if (n && un->sun_path[0] == 0)
        snprintf(buf, NET_ADDR_TEXT, "unix:@%.*s", (int)(n - 1), un->sun_path + 1);
    else
        snprintf(buf, NET_ADDR_TEXT, "unix:%.*s", (int)strnlen(un->sun_path, n), un->sun_path);
    return buf;
}

const char *net_addr_text(const struct net_addr *a, char buf[NET_ADDR_TEXT])
{
    char ip[INET6_ADDRSTRLEN];
    if (a->sa.ss_family == AF_INET) {
        const struct sockaddr_in *in = (const struct sockaddr_in *)&a->sa;
        inet_ntop(AF_INET, &in->sin_addr, ip, sizeof ip);
        snprintf(buf, NET_ADDR_TEXT, "%s:%u", ip, ntohs(in->sin_port));
    } else if (a->sa.ss_family == AF_INET6) {
        const struct sockaddr_in6 *in = (const struct sockaddr_in6 *)&a->sa;
        inet_ntop(AF_INET6, &in->sin6_addr, ip, sizeof ip);
        if (in->sin6_scope_id)
            snprintf(buf, NET_ADDR_TEXT, "[%s%%%u]:%u", ip, in->sin6_scope_id,
                     ntohs(in->sin6_port));
        else
            snprintf(buf, NET_ADDR_TEXT, "[%s]:%u", ip, ntohs(in->sin6_port));
    } else if (a->sa.ss_family == AF_UNIX) {
        return net_unix_text(a, buf);
    } else if (a->sa.ss_family == AF_VSOCK) {
        const struct sockaddr_vm *vm = (const struct sockaddr_vm *)&a->sa;
        if (vm->svm_cid == VMADDR_CID_ANY)
            snprintf(buf, NET_ADDR_TEXT, "vsock:any:%u", vm->svm_port);
        else
            snprintf(buf, NET_ADDR_TEXT, "vsock:%u:%u", vm->svm_cid, vm->svm_port);
    } else {
        snprintf(buf, NET_ADDR_TEXT, "unknown address");
    }
    return buf;
}

const char *net_errno_text(int error)
{
    static const struct {
        int number;
        const char *text;
    } names[] = {
        { EPERM, "operation not permitted" },
        { ENOENT, "no such file or directory" },
        { EINTR, "interrupted system call" },
        { EBADF, "bad file descriptor" },
        { ENOMEM, "cannot allocate memory" },
        { EACCES, "permission denied" },
        { EINVAL, "invalid argument" },
        { ENFILE, "too many open files in system" },
        { EMFILE, "too many open files" },
        { EPIPE, "broken pipe" },
        { EAFNOSUPPORT, "address family not supported by protocol" },
        { EADDRINUSE, "address already in use" },
        { EADDRNOTAVAIL, "cannot assign requested address" },
        { ENETDOWN, "network is down" },
        { ENETUNREACH, "network is unreachable" },
        { ECONNABORTED, "software caused connection abort" },
        { ECONNRESET, "connection reset by peer" },
        { ENOBUFS, "no buffer space available" },
        { ENOTCONN, "transport endpoint is not connected" },
        { ETIMEDOUT, "i/o timeout" },
        { ECONNREFUSED, "connection refused" },
        { EHOSTUNREACH, "no route to host" },
        { ECANCELED, "operation was canceled" },
    };
    for (size_t i = 0; i < countof(names); i++) {
        if (names[i].number == error)
            return names[i].text;
    }
    const char *text = strerrordesc_np(error);
    return text ? text : "unknown error";
}

size_t net_error_text(char *buf, size_t size, const char *op, const struct net_addr *a, int error)
{
    char text[NET_ADDR_TEXT];
    const char *network = a->sa.ss_family == AF_UNIX    ? "unix"
                          : a->sa.ss_family == AF_VSOCK ? "vsock"
                                                        : "tcp";
    const char *where = net_addr_text(a, text),
               *call = strcmp(op, "dial") == 0 ? "connect" : "bind";
    if (strcmp(network, "tcp") != 0)
        where += strlen(network) + 1;
    bool waited = error == -ETIMEDOUT || error == -ECANCELED;
    int n = waited ? snprintf(buf, size, "%s %s %s: %s", op, network, where, net_errno_text(-error))
                   : snprintf(buf, size, "%s %s %s: %s: %s", op, network, where, call,
                              net_errno_text(-error));
    return n < 0 ? 0 : min_size((size_t)n, size - 1);
}
