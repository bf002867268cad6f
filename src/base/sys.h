/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * sys.h: the one table through which every system call and allocation goes, so that a test can make
 * the n-th one fail, or make reads and writes short. Calls return >= 0 or -errno: no caller depends
 * on errno, whose address a migrating goroutine must not keep. Allocators return NULL.
 * Owner: sys.c holds the default table; tests replace entries before the first use, or between
 * tests, never while another thread runs. */
#ifndef SENNIT_BASE_SYS_H
#define SENNIT_BASE_SYS_H

#include "base/base.h"
#include <pthread.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <time.h>

struct addrinfo;
struct epoll_event;
struct pollfd;

struct sys_table {
    /* memory */
    void *(*malloc)(size_t size);
    void *(*calloc)(size_t n, size_t size);
    void *(*realloc)(void *p, size_t size);
    void *(*aligned_alloc)(size_t align, size_t size);
    void (*free)(void *p);
    void *(*mmap)(size_t len, int prot, int flags); /* anonymous, private; NULL: failed */
    int (*munmap)(void *p, size_t len);
    int (*madvise)(void *p, size_t len, int advice);
    int (*mprotect)(void *p, size_t len, int prot);
    /* sockets and files */
    int (*socket)(int family, int type, int protocol);
    int (*bind)(int fd, const struct sockaddr *sa, socklen_t len);
    int (*listen)(int fd, int backlog);
    int (*accept4)(int fd, struct sockaddr *sa, socklen_t *len, int flags);
    int (*connect)(int fd, const struct sockaddr *sa, socklen_t len);
    int (*getsockname)(int fd, struct sockaddr *sa, socklen_t *len);
    int (*getpeername)(int fd, struct sockaddr *sa, socklen_t *len);
    int (*getsockopt)(int fd, int level, int name, void *v, socklen_t *len);
    int (*setsockopt)(int fd, int level, int name, const void *v, socklen_t len);
    int (*shutdown)(int fd, int how);
    int (*close)(int fd);
    int (*open)(const char *path, int flags);
    int (*unlink)(const char *path);
    int (*fcntl)(int fd, int cmd, long arg);
    ssize_t (*read)(int fd, void *p, size_t n);
    ssize_t (*write)(int fd, const void *p, size_t n);
    ssize_t (*recv)(int fd, void *p, size_t n, int flags);
    ssize_t (*sendmsg)(int fd, const struct msghdr *m, int flags);
    int (*getaddrinfo)(const char *node, const char *service, const struct addrinfo *hints,
                       struct addrinfo **out); /* 0 or an EAI_ code, as in libc */
    void (*freeaddrinfo)(struct addrinfo *a);
    /* waiting */
    int (*epoll_create1)(int flags);
    int (*epoll_ctl)(int ep, int op, int fd, struct epoll_event *ev);
    int (*epoll_pwait2)(int ep, struct epoll_event *ev, int max, const struct timespec *timeout);
    int (*poll)(struct pollfd *fds, unsigned n, int timeout_ms);
    int (*eventfd)(unsigned initial, int flags);
    int (*timerfd_create)(clockid_t id, int flags);
    int (*timerfd_settime)(int fd, int flags, const struct itimerspec *t);
    int (*pipe2)(int fds[2], int flags);
    int (*futex_wait)(_Atomic uint32_t *word, uint32_t expected, const struct timespec *timeout);
    int (*futex_wake)(_Atomic uint32_t *word, int n);
    int (*membarrier)(int cmd);
    int (*shadow_stack)(void); /* of the caller: 1: it has one */
    /* threads, time, chance */
    int (*pthread_create)(pthread_t *t, const pthread_attr_t *a, void *(*fn)(void *), void *arg);
    int (*clock_gettime)(clockid_t id, struct timespec *ts);
    ssize_t (*getrandom)(void *p, size_t n);
    bool short_io; /* a test makes reads short: a short read does not mean that all is read */
};

extern struct sys_table sys __asm__("sennit__sys");

/* Live counts for the end-of-test check (kept by the default allocator and fd calls in sys.c in
 * builds with SENNIT_CHECKS, else zero). */
struct sys_counts {
    int64_t allocations; /* live malloc-family blocks */
    int64_t fds;         /* live fds that the table opened */
};
struct sys_counts sys_counts(void);

/* What to ask sys.malloc for in size's place, where blocks of many sizes come and go by the
 * thousand: one that others ask for, too, and that sys.free keeps for them (blocks.h). */
size_t sys_size(size_t size);
/* Gives back to the system what sys.free kept (blocks.h) and nobody has needed since the last call.
 * True: some is left, call again. */
bool sys_trim(void);

static inline int64_t sys_now(void) /* monotonic, nanoseconds */
{
    struct timespec ts = { 0, 0 };
    sys.clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

#endif
