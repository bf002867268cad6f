/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * test_sys.c: the table of system calls and the seam of the faults: -errno in place of errno, live
 * counts, the n-th call fails and no other, short reads and writes. */
#include "base/limits.h"
#include "base/sys.h"
#include "fault.h"
#include "harness.h"
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <unistd.h>

TEST(failing_calls_return_minus_errno)
{
    char c;
    check_int(sys.read(-1, &c, 1), -EBADF);
    check_int(sys.recv(-1, &c, 1, 0), -EBADF);
    check_int(sys.open("/nonexistent/file", O_RDONLY), -ENOENT);
    check_int(sys.unlink("/nonexistent/file"), -ENOENT);
    check_int(sys.socket(-1, SOCK_STREAM, 0), -EAFNOSUPPORT);
    check_int(sys.epoll_ctl(-1, EPOLL_CTL_ADD, 0, &(struct epoll_event){ 0 }), -EBADF);
    check_int(sys.listen(-1, 1), -EBADF);
    check_int(sys.setsockopt(-1, SOL_SOCKET, SO_REUSEADDR, NULL, 0), -EBADF);
    check_int(sys.munmap((void *)1, 1), -EINVAL);
    check(!sys.mmap(0, PROT_READ, 0));
}

TEST(live_blocks_and_descriptors_are_counted_in_checked_builds)
{
    struct sys_counts before = sys_counts();
    void *p = sys.malloc(1), *q = sys.calloc(1, 1), *r = sys.realloc(NULL, 1);
    int fds[2];
    r = sys.realloc(r, 1000);
    check(p && q && r && sys.pipe2(fds, O_CLOEXEC) == 0);
#ifdef SENNIT_CHECKS
    check_int(sys_counts().allocations - before.allocations, 3);
    check_int(sys_counts().fds - before.fds, 2);
#endif
    sys.free(p), sys.free(q), sys.free(r), sys.free(NULL);
    sys.close(fds[0]), sys.close(fds[1]);
    check_int(sys_counts().allocations, before.allocations);
    check_int(sys_counts().fds, before.fds);
}

TEST(the_nth_call_fails_and_no_other)
{
    for (long n = 1; n <= 4; n++) {
        bool failed[4];
        fault_arm(n);
        void *p = sys.malloc(8);
        failed[0] = !p;
        int fds[2] = { -1, -1 };
        failed[1] = sys.pipe2(fds, 0) == -EMFILE;
        void *q = sys.calloc(1, 8);
        failed[2] = !q;
        int ep = sys.epoll_create1(0);
        failed[3] = ep == -EMFILE;
        check(fault_fired());
        fault_disarm();
        for (long i = 0; i < 4; i++)
            check_int(failed[i], i == n - 1);
        sys.free(p), sys.free(q);
        if (fds[0] >= 0)
            sys.close(fds[0]), sys.close(fds[1]);
        if (ep >= 0)
            sys.close(ep);
    }
}

TEST(short_io_moves_at_least_one_octet_and_all_in_the_end)
{
    int fds[2];
    char out[100], in[100];
    check(socketpair(AF_UNIX, SOCK_STREAM, 0, fds) == 0);
    for (int i = 0; i < 100; i++)
        out[i] = (char)i;
    fault_short_io();
    check(sys.short_io);
    size_t sent = 0, got = 0;
    int calls = 0;
    while (sent < sizeof out) {
        struct iovec v = { out + sent, sizeof out - sent };
        struct msghdr m = { .msg_iov = &v, .msg_iovlen = 1 };
        ssize_t n = sys.sendmsg(fds[0], &m, 0);
        check(n >= 1 && n <= 3);
        sent += (size_t)n;
        calls++;
    }
    check(calls >= 34);
    while (got < sizeof in) {
        ssize_t n = sys.recv(fds[1], in + got, sizeof in - got, 0);
        check(n >= 1 && n <= 3);
        got += (size_t)n;
    }
    check(memcmp(in, out, sizeof in) == 0);
    close(fds[0]), close(fds[1]);
}

TEST(clock_goes_on_and_futexes_time_out)
{
    _Atomic uint32_t word = 7;
    int64_t before = sys_now();
    check_int(sys.futex_wait(&word, 8, NULL), -EAGAIN);
    check_int(sys.futex_wait(&word, 7, &(struct timespec){ 0, 1000000 }), -ETIMEDOUT);
    check(sys_now() - before >= 1000000);
    check_int(sys.futex_wake(&word, 1), 0);
}

TEST(large_blocks_come_again_until_they_are_trimmed)
{
    if (test_sanitized())
        return; /* they see each free there */
    while (sys_trim()) {
    }
    char *p = sys.malloc(100000);
    check(p != NULL);
    memset(p, 1, 100000);
    sys.free(p);
    check(sys.malloc(99000) == p); /* of the same class */
    char *q = sys.malloc(100000);
    check(q && q != p);
    sys.free(q), sys.free(p);
    check(sys_trim()); /* both were needed since the last time */
    check(sys.malloc(100000) == p);
    sys.free(p);
    check(sys_trim()); /* one was not, and is given back */
    check(!sys_trim());
    check(!sys_trim());
}

TEST(small_blocks_of_the_sizes_that_come_and_go_come_again_for_all_threads)
{
    if (test_sanitized())
        return;
    while (sys_trim()) {
    }
    check_int((int)sys_size(1500), 1536);
    char *p = sys.malloc(sys_size(1500)), *other = sys.malloc(1500), *small = sys.malloc(100);
    check(p && other && small);
    memset(p, 1, sys_size(1500)), memset(other, 1, 1500);
    sys.free(p);
    char *q = sys.malloc(1500); /* not asked for as one of those: not served as one */
    check(q && q != p);
    check(sys.malloc(sys_size(1400)) == p);
    sys.free(p), sys.free(q), sys.free(other), sys.free(small);
    while (sys_trim()) {
    }
}

TEST(kept_blocks_stay_below_their_limit)
{
    enum { N = 40, SIZE = 1 << 20 };
    if (test_sanitized())
        return; /* and have an allocator of their own, that mallinfo2 knows nothing of */
    void *p[N];
    struct mallinfo2 before = mallinfo2();
    for (int i = 0; i < N; i++)
        check((p[i] = sys.malloc(SIZE)) != NULL);
    for (int i = 0; i < N; i++)
        sys.free(p[i]);
    struct mallinfo2 after = mallinfo2();
    size_t kept = after.uordblks + after.hblkhd - before.uordblks - before.hblkhd;
    check(kept > LIMIT_BLOCKS_KEPT / 2 && kept <= LIMIT_BLOCKS_KEPT + N * 8192);
    while (sys_trim()) {
    }
    after = mallinfo2();
    check(after.uordblks + after.hblkhd - before.uordblks - before.hblkhd < 65536);
}

TEST(blocks_of_every_size_are_as_large_as_asked_for)
{
    for (size_t size = 400; size < 6000000; size += size / 7) {
        for (int round = 0; round < 2; round++) {
            char *p = sys.malloc(size);
            check(p != NULL);
            memset(p, 0x5a, size);
            p = sys.realloc(p, size + 1000);
            check(p && p[size - 1] == 0x5a);
            memset(p, 0xa5, size + 1000);
            sys.free(p);
        }
    }
    while (sys_trim()) {
    }
}
