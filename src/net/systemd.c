/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * systemd.c: socket activation and notification, by the protocols of sd_listen_fds(3) and
 * sd_notify(3): environment variables and a datagram, no library. */
#include "base/sys.h"
#include "net/net.h"
#include <fcntl.h>
#include <stdlib.h>
#include <sys/un.h>
#include <unistd.h>

#define SYSTEMD_FIRST 3 /* SD_LISTEN_FDS_START */

static long systemd_number(const char *name)
{
    const char *text = getenv(name);
    char *end;
    long n = text ? strtol(text, &end, 10) : -1;
    return text && *text && !*end ? n : -1;
}

/* The nth of LISTEN_FDNAMES; without it systemd means "unknown". */
static bool systemd_named(const char *wanted, int nth)
{
    const char *names = getenv("LISTEN_FDNAMES");
    if (!*wanted)
        return true;
    for (; names && nth > 0; nth--) {
        names = strchr(names, ':');
        names = names ? names + 1 : NULL;
    }
    size_t n = names ? strcspn(names, ":") : 0;
    return names && n == strlen(wanted) && memcmp(names, wanted, n) == 0;
}

int net_systemd_fds(const char *name, int *fds, int max)
{
    long n = systemd_number("LISTEN_FDS");
    int found = 0;
    if (systemd_number("LISTEN_PID") != getpid() || n < 0 || n > 4096)
        return -1;
    for (int i = 0; i < n; i++) {
        if (!systemd_named(name, i))
            continue;
        sys.fcntl(SYSTEMD_FIRST + i, F_SETFD, FD_CLOEXEC);
        if (found < max)
            fds[found] = SYSTEMD_FIRST + i;
        found++;
    }
    return found;
}

sennit_err sennit_notify(const char *state)
{
    const char *path = getenv("NOTIFY_SOCKET");
    struct sockaddr_un un = { .sun_family = AF_UNIX };
    size_t n = path ? strlen(path) : 0;
    if (n == 0)
        return NULL;
    if (n >= sizeof un.sun_path || (path[0] != '/' && path[0] != '@'))
        return sennit_errorf(WHY_AS(WHY(SYSTEMD), SENNIT_INVALID_ARGUMENT),
                             "NOTIFY_SOCKET %s: not a socket's path", path);
    memcpy(un.sun_path, path, n);
    if (path[0] == '@')
        un.sun_path[0] = 0;
    struct iovec v = { (void *)(uintptr_t)state, strlen(state) };
    struct msghdr m = { .msg_name = &un,
                        .msg_namelen = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n),
                        .msg_iov = &v,
                        .msg_iovlen = 1 };
    int fd = sys.socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    ssize_t sent = fd < 0 ? fd : sys.sendmsg(fd, &m, MSG_NOSIGNAL);
    if (fd >= 0)
        sys.close(fd);
    return sent >= 0 ? NULL
                     : sennit_errorf(WHY(SYSTEMD), "NOTIFY_SOCKET %s: %s", path,
                                     net_errno_text((int)-sent));
}
