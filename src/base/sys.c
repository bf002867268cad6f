/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * sys.c: the default table: libc and the kernel, with -errno instead of errno. Debug builds count
 * live allocations and descriptors for the end-of-test check. */
#include "base/sys.h"
#include "base/blocks.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <malloc.h>
#include <netdb.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <unistd.h>

static _Atomic int64_t sys_allocations, sys_fds;

#ifdef SENNIT_CHECKS
#define SYS_COUNT(counter, by) atomic_fetch_add_explicit(&(counter), (by), memory_order_relaxed)
#else
#define SYS_COUNT(counter, by) ((void)0)
#endif
#define SYS_RESULT(call)                                                                           \
    __extension__({                                                                                \
        __typeof__(call) result_ = (call);                                                         \
        result_ < 0 ? -errno : result_;                                                            \
    })

static void *sys_count_block(void *p)
{
    if (p)
        SYS_COUNT(sys_allocations, 1);
    return p;
}

static int sys_count_fd(int fd)
{
    if (fd >= 0)
        SYS_COUNT(sys_fds, 1);
    return fd;
}

struct sys_counts sys_counts(void)
{
    return (struct sys_counts){ atomic_load(&sys_allocations), atomic_load(&sys_fds) };
}

/* -- memory ---------------------------------------------------------------------------------- */

static void *sys_malloc(size_t size)
{
    void *p = blocks_take(size);
    return sys_count_block(p ? p : malloc(blocks_large(size)));
}
static void *sys_calloc(size_t n, size_t size)
{
    size_t all;
    if (__builtin_mul_overflow(n, size, &all))
        return NULL;
    void *p = blocks_take(all);
    return sys_count_block(p ? memset(p, 0, all) : calloc(1, blocks_large(all)));
}
static void *sys_realloc(void *p, size_t size)
{
    if (!p)
        return sys_malloc(size);
    void *q = blocks_take(size);
    if (!q)
        return realloc(p, blocks_large(size));
    memcpy(q, p, min_size(size, malloc_usable_size(p)));
    if (!blocks_keep(p))
        free(p);
    return q;
}
static void *sys_aligned_alloc(size_t align, size_t size)
{
    return sys_count_block(aligned_alloc(align, size));
}
static void sys_free(void *p)
{
    if (p)
        SYS_COUNT(sys_allocations, -1);
    if (!p || !blocks_keep(p))
        free(p);
}
size_t sys_size(size_t size) { return blocks_size(size); }
/* Its pages go at once: what lies above it in the heap may stay for long. */
BASE_COLD static void sys_release(void *p)
{
    uintptr_t page = 4096, low = ((uintptr_t)p + page - 1) & ~(page - 1);
    uintptr_t high = ((uintptr_t)p + malloc_usable_size(p)) & ~(page - 1);
    if (high > low + 2 * page)
        madvise((void *)low, high - low, MADV_DONTNEED);
    free(p);
}

#define SYS_HEAP_BUSY_NS 10000000000ll /* between looks at all of the heap while there is work */
#define SYS_HEAP_REST_NS 500000000ll   /* and when there is none */
#define SYS_HEAP_SHARE   1000          /* of the time, at most, goes into them */

/* What lies free between blocks in use goes back to the kernel, too: else each thread's heap stays
 * as large as it ever was, which under load is larger from hour to hour. The heap is the whole
 * program's, and may be large: then it is looked at seldom. */
BASE_COLD static void sys_trim_heap(bool busy)
{
#ifdef __GLIBC__
    static _Atomic int64_t next;
    static _Atomic int64_t last;
    int64_t now = sys_now(), due = atomic_load(&next);
    if (now < due || (busy && now < atomic_load(&last) + SYS_HEAP_BUSY_NS) ||
        !atomic_compare_exchange_strong(&next, &due, INT64_MAX))
        return;
    malloc_trim(0);
    int64_t after = sys_now(), pause = (after - now) * SYS_HEAP_SHARE;
    atomic_store(&last, after);
    atomic_store(&next, after + (pause > SYS_HEAP_REST_NS ? pause : SYS_HEAP_REST_NS));
#else
    (void)busy;
#endif
}

bool sys_trim(void)
{
    bool left = blocks_trim(sys_release);
    sys_trim_heap(left);
    return left;
}
static void *sys_mmap(size_t len, int prot, int flags)
{
    void *p = mmap(NULL, len, prot, flags | MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return p == MAP_FAILED ? NULL : p;
}
static int sys_munmap(void *p, size_t len) { return SYS_RESULT(munmap(p, len)); }
static int sys_madvise(void *p, size_t len, int advice)
{
    return SYS_RESULT(madvise(p, len, advice));
}
static int sys_mprotect(void *p, size_t len, int prot)
{
    return SYS_RESULT(mprotect(p, len, prot));
}

/* -- sockets and files ----------------------------------------------------------------------- */

static int sys_socket(int family, int type, int protocol)
{
    return sys_count_fd(SYS_RESULT(socket(family, type, protocol)));
}
static int sys_bind(int fd, const struct sockaddr *sa, socklen_t len)
{
    return SYS_RESULT(bind(fd, sa, len));
}
static int sys_listen(int fd, int backlog) { return SYS_RESULT(listen(fd, backlog)); }
static int sys_accept4(int fd, struct sockaddr *sa, socklen_t *len, int flags)
{
    return sys_count_fd(SYS_RESULT(accept4(fd, sa, len, flags)));
}
static int sys_connect(int fd, const struct sockaddr *sa, socklen_t len)
{
    return SYS_RESULT(connect(fd, sa, len));
}
static int sys_getsockname(int fd, struct sockaddr *sa, socklen_t *len)
{
    return SYS_RESULT(getsockname(fd, sa, len));
}
static int sys_getpeername(int fd, struct sockaddr *sa, socklen_t *len)
{
    return SYS_RESULT(getpeername(fd, sa, len));
}
static int sys_getsockopt(int fd, int level, int name, void *v, socklen_t *len)
{
    return SYS_RESULT(getsockopt(fd, level, name, v, len));
}
static int sys_setsockopt(int fd, int level, int name, const void *v, socklen_t len)
{
    return SYS_RESULT(setsockopt(fd, level, name, v, len));
}
static int sys_shutdown(int fd, int how) { return SYS_RESULT(shutdown(fd, how)); }
static int sys_close(int fd)
{
    SYS_COUNT(sys_fds, -1); /* Linux frees the number whatever close returns */
    return SYS_RESULT(close(fd));
}
static int sys_open(const char *path, int flags)
{
    return sys_count_fd(SYS_RESULT(open(path, flags)));
}
static int sys_unlink(const char *path) { return SYS_RESULT(unlink(path)); }
static int sys_fcntl(int fd, int cmd, long arg)
{
    int result = SYS_RESULT(fcntl(fd, cmd, arg));
    return cmd == F_DUPFD || cmd == F_DUPFD_CLOEXEC ? sys_count_fd(result) : result;
}
static ssize_t sys_read(int fd, void *p, size_t n) { return SYS_RESULT(read(fd, p, n)); }
static ssize_t sys_write(int fd, const void *p, size_t n) { return SYS_RESULT(write(fd, p, n)); }
static ssize_t sys_recv(int fd, void *p, size_t n, int flags)
{
    return SYS_RESULT(recv(fd, p, n, flags));
}
static ssize_t sys_sendmsg(int fd, const struct msghdr *m, int flags)
{
    return SYS_RESULT(sendmsg(fd, m, flags));
}

/* -- waiting --------------------------------------------------------------------------------- */

static int sys_epoll_create1(int flags) { return sys_count_fd(SYS_RESULT(epoll_create1(flags))); }
static int sys_epoll_ctl(int ep, int op, int fd, struct epoll_event *ev)
{
    return SYS_RESULT(epoll_ctl(ep, op, fd, ev));
}
static int sys_epoll_pwait2(int ep, struct epoll_event *ev, int max, const struct timespec *timeout)
{
    static _Atomic bool missing; /* before Linux 5.11 */
    if (!atomic_load_explicit(&missing, memory_order_relaxed)) {
        int n = (int)SYS_RESULT(syscall(SYS_epoll_pwait2, ep, ev, max, timeout, NULL, 0));
        if (n != -ENOSYS)
            return n;
        atomic_store(&missing, true);
    }
    int64_t ms = timeout ? timeout->tv_sec * 1000 + (timeout->tv_nsec + 999999) / 1000000 : -1;
    return SYS_RESULT(epoll_wait(ep, ev, max, ms > 1000000 ? 1000000 : (int)ms));
}
static int sys_poll(struct pollfd *fds, unsigned n, int timeout_ms)
{
    return SYS_RESULT(poll(fds, n, timeout_ms));
}
static int sys_eventfd(unsigned initial, int flags)
{
    return sys_count_fd(SYS_RESULT(eventfd(initial, flags)));
}
static int sys_timerfd_create(clockid_t id, int flags)
{
    return sys_count_fd(SYS_RESULT(timerfd_create(id, flags)));
}
static int sys_timerfd_settime(int fd, int flags, const struct itimerspec *t)
{
    return SYS_RESULT(timerfd_settime(fd, flags, t, NULL));
}
static int sys_pipe2(int fds[2], int flags)
{
    int result = SYS_RESULT(pipe2(fds, flags));
    if (result == 0)
        SYS_COUNT(sys_fds, 2);
    return result;
}
static int sys_futex_wait(_Atomic uint32_t *word, uint32_t expected, const struct timespec *timeout)
{
    const struct timespec *until = timeout;
#ifdef BASE_TSAN
    /* TSan holds signals back until the thread calls something that it intercepts: so no sleep is
     * without end, and the next one begins with such a call. */
    struct timespec slice = { 0, 0 };
    clock_gettime(CLOCK_MONOTONIC, &slice);
    slice = (struct timespec){ 0, 50000000 };
    if (!timeout || timeout->tv_sec > 0 || timeout->tv_nsec > slice.tv_nsec)
        until = &slice;
#endif
    int result =
        (int)SYS_RESULT(syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, expected, until, NULL, 0));
    return until != timeout && result == -ETIMEDOUT ? -EINTR : result;
}
static int sys_futex_wake(_Atomic uint32_t *word, int n)
{
    return (int)SYS_RESULT(syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, n, NULL, NULL, 0));
}
static int sys_shadow_stack(void)
{
    unsigned long on = 0;
#if defined(__x86_64__)
    enum { ARCH_SHSTK_STATUS_ = 0x5005 }; /* Linux 6.6; its header is newer than ours may be */
    int rc = (int)SYS_RESULT(syscall(SYS_arch_prctl, ARCH_SHSTK_STATUS_, &on));
#else
    enum { PR_GET_SHADOW_STACK_STATUS_ = 74 };
    int rc = (int)SYS_RESULT(prctl(PR_GET_SHADOW_STACK_STATUS_, &on, 0, 0, 0));
#endif
    return rc < 0 ? rc : (int)(on & 1);
}
static int sys_membarrier(int cmd) { return (int)SYS_RESULT(syscall(SYS_membarrier, cmd, 0, 0)); }

/* -- threads, time, chance ------------------------------------------------------------------- */

static int sys_pthread_create(pthread_t *t, const pthread_attr_t *a, void *(*fn)(void *), void *arg)
{
    return -pthread_create(t, a, fn, arg);
}
static int sys_clock_gettime(clockid_t id, struct timespec *ts)
{
    return SYS_RESULT(clock_gettime(id, ts));
}
static ssize_t sys_getrandom(void *p, size_t n) { return SYS_RESULT(getrandom(p, n, 0)); }

struct sys_table sys = {
    .malloc = sys_malloc,
    .calloc = sys_calloc,
    .realloc = sys_realloc,
    .aligned_alloc = sys_aligned_alloc,
    .free = sys_free,
    .mmap = sys_mmap,
    .munmap = sys_munmap,
    .madvise = sys_madvise,
    .mprotect = sys_mprotect,
    .socket = sys_socket,
    .bind = sys_bind,
    .listen = sys_listen,
    .accept4 = sys_accept4,
    .connect = sys_connect,
    .getsockname = sys_getsockname,
    .getpeername = sys_getpeername,
    .getsockopt = sys_getsockopt,
    .setsockopt = sys_setsockopt,
    .shutdown = sys_shutdown,
    .close = sys_close,
    .open = sys_open,
    .unlink = sys_unlink,
    .fcntl = sys_fcntl,
    .read = sys_read,
    .write = sys_write,
    .recv = sys_recv,
    .sendmsg = sys_sendmsg,
    .getaddrinfo = getaddrinfo,
    .freeaddrinfo = freeaddrinfo,
    .epoll_create1 = sys_epoll_create1,
    .epoll_ctl = sys_epoll_ctl,
    .epoll_pwait2 = sys_epoll_pwait2,
    .poll = sys_poll,
    .eventfd = sys_eventfd,
    .timerfd_create = sys_timerfd_create,
    .timerfd_settime = sys_timerfd_settime,
    .pipe2 = sys_pipe2,
    .futex_wait = sys_futex_wait,
    .futex_wake = sys_futex_wake,
    .membarrier = sys_membarrier,
    .shadow_stack = sys_shadow_stack,
    .pthread_create = sys_pthread_create,
    .clock_gettime = sys_clock_gettime,
    .getrandom = sys_getrandom,
};
