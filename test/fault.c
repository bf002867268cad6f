/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * fault.c: replaces entries of the sys table by ones that count and, when their turn has come, fail
 * with an error that the call really has. free, close, munmap, futexes and clocks never fail. */
#include "fault.h"
#include "base/sys.h"
#include <errno.h>
#include <execinfo.h>
#include <netdb.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

static struct sys_table fault_real;
static _Atomic long fault_at, fault_seen;
static _Atomic bool fault_was;
static bool fault_installed;

/* SENNIT_FAULT_TRACE=1: where it struck, for who has to find out why a test then fails. */
static void fault_trace(const char *what)
{
    void *frames[24];
    if (!getenv("SENNIT_FAULT_TRACE"))
        return;
    dprintf(2, "fault %ld struck %s\n", atomic_load(&fault_at), what);
    backtrace_symbols_fd(frames, backtrace(frames, countof(frames)), 2);
}

static bool fault_now(const char *what)
{
    long at = atomic_load(&fault_at);
    if (at == 0 || atomic_fetch_add(&fault_seen, 1) + 1 != at)
        return false;
    atomic_store(&fault_was, true);
    fault_trace(what);
    return true;
}

#define FAULT_MEMORY(name, params, args)                                                           \
    static void *fault_##name params { return fault_now(#name) ? NULL : fault_real.name args; }
#define FAULT_CALL(type, name, error, params, args)                                                \
    static type fault_##name params { return fault_now(#name) ? -(error) : fault_real.name args; }

FAULT_MEMORY(malloc, (size_t n), (n))
FAULT_MEMORY(calloc, (size_t n, size_t size), (n, size))
FAULT_MEMORY(realloc, (void *p, size_t n), (p, n))
FAULT_MEMORY(aligned_alloc, (size_t a, size_t n), (a, n))
FAULT_MEMORY(mmap, (size_t len, int prot, int flags), (len, prot, flags))
FAULT_CALL(int, madvise, EINVAL, (void *p, size_t n, int a), (p, n, a))
FAULT_CALL(int, mprotect, ENOMEM, (void *p, size_t n, int a), (p, n, a))
FAULT_CALL(int, socket, EMFILE, (int f, int t, int p), (f, t, p))
FAULT_CALL(int, bind, EADDRINUSE, (int fd, const struct sockaddr *a, socklen_t n), (fd, a, n))
FAULT_CALL(int, listen, EADDRINUSE, (int fd, int n), (fd, n))
FAULT_CALL(int, accept4, ECONNABORTED, (int fd, struct sockaddr *a, socklen_t *n, int f),
           (fd, a, n, f))
FAULT_CALL(int, connect, ECONNREFUSED, (int fd, const struct sockaddr *a, socklen_t n), (fd, a, n))
FAULT_CALL(int, getsockname, ENOBUFS, (int fd, struct sockaddr *a, socklen_t *n), (fd, a, n))
FAULT_CALL(int, getpeername, ENOTCONN, (int fd, struct sockaddr *a, socklen_t *n), (fd, a, n))
FAULT_CALL(int, setsockopt, ENOPROTOOPT, (int fd, int l, int o, const void *v, socklen_t n),
           (fd, l, o, v, n))
FAULT_CALL(int, epoll_create1, EMFILE, (int f), (f))
FAULT_CALL(int, epoll_ctl, ENOMEM, (int ep, int op, int fd, struct epoll_event *e), (ep, op, fd, e))
FAULT_CALL(int, eventfd, EMFILE, (unsigned n, int f), (n, f))
FAULT_CALL(int, timerfd_create, EMFILE, (clockid_t c, int f), (c, f))
FAULT_CALL(int, pipe2, EMFILE, (int *fds, int f), (fds, f))
FAULT_CALL(ssize_t, read, EINTR, (int fd, void *p, size_t n), (fd, p, n))
FAULT_CALL(ssize_t, recv, ECONNRESET, (int fd, void *p, size_t n, int f), (fd, p, n, f))
FAULT_CALL(ssize_t, sendmsg, EPIPE, (int fd, const struct msghdr *m, int f), (fd, m, f))
FAULT_CALL(int, pthread_create, EAGAIN,
           (pthread_t * t, const pthread_attr_t *a, void *(*fn)(void *), void *arg),
           (t, a, fn, arg))

static int fault_getaddrinfo(const char *node, const char *service, const struct addrinfo *hints,
                             struct addrinfo **out)
{
    return fault_now("getaddrinfo") ? EAI_AGAIN : fault_real.getaddrinfo(node, service, hints, out);
}

static void fault_install(void)
{
    if (fault_installed)
        return;
    fault_installed = true;
    fault_real = sys;
#define FAULT_REPLACE(name) sys.name = fault_##name
    FAULT_REPLACE(malloc), FAULT_REPLACE(calloc), FAULT_REPLACE(realloc);
    FAULT_REPLACE(aligned_alloc), FAULT_REPLACE(mmap), FAULT_REPLACE(madvise);
    FAULT_REPLACE(mprotect), FAULT_REPLACE(socket), FAULT_REPLACE(bind), FAULT_REPLACE(listen);
    FAULT_REPLACE(accept4), FAULT_REPLACE(connect), FAULT_REPLACE(getsockname);
    FAULT_REPLACE(getpeername), FAULT_REPLACE(setsockopt), FAULT_REPLACE(epoll_create1);
    FAULT_REPLACE(epoll_ctl), FAULT_REPLACE(eventfd), FAULT_REPLACE(timerfd_create);
    FAULT_REPLACE(pipe2), FAULT_REPLACE(read);
    FAULT_REPLACE(recv), FAULT_REPLACE(sendmsg), FAULT_REPLACE(pthread_create);
    FAULT_REPLACE(getaddrinfo);
}

void fault_arm(long n)
{
    fault_install();
    atomic_store(&fault_was, false);
    atomic_store(&fault_seen, 0);
    atomic_store(&fault_at, n);
}

void fault_disarm(void) { atomic_store(&fault_at, 0); }
bool fault_fired(void) { return atomic_load(&fault_was); }

/* -- short reads and writes ------------------------------------------------------------------ */

static ssize_t (*fault_whole_recv)(int fd, void *p, size_t n, int flags);
static ssize_t (*fault_whole_sendmsg)(int fd, const struct msghdr *m, int flags);
static _Atomic unsigned fault_turn;

static size_t fault_bite(size_t n)
{
    size_t most = 1 + atomic_fetch_add(&fault_turn, 1) % 3;
    return n < most ? n : most;
}

static ssize_t fault_short_recv(int fd, void *p, size_t n, int flags)
{
    return fault_whole_recv(fd, p, fault_bite(n), flags);
}

static ssize_t fault_short_sendmsg(int fd, const struct msghdr *m, int flags)
{
    if (m->msg_name) /* a datagram goes whole or not at all */
        return fault_whole_sendmsg(fd, m, flags);
    struct iovec one = { NULL, 0 };
    struct msghdr copy = *m;
    for (size_t i = 0; i < m->msg_iovlen && one.iov_len == 0; i++)
        one = m->msg_iov[i];
    one.iov_len = fault_bite(one.iov_len);
    copy.msg_iov = &one, copy.msg_iovlen = 1;
    return fault_whole_sendmsg(fd, &copy, flags);
}

void fault_short_io(void)
{
    if (sys.short_io)
        return;
    fault_whole_recv = sys.recv, fault_whole_sendmsg = sys.sendmsg;
    sys.recv = fault_short_recv, sys.sendmsg = fault_short_sendmsg;
    sys.short_io = true;
}
