/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * signal.c: sennit_signal_wait. The handler marks the signal in a word and writes to an eventfd; a
 * task reads both and wakes every waiter that named the signal. All but the handler's three words
 * is guarded by signal_mutex (a real mutex: sigaction is called under it; nobody parks under it).
 * With its first waiter a signal's handler is installed, with the last the former one comes back.
 */
#include "base/sys.h"
#include "rt/fdwatch.h"
#include "rt/prim.h"
#include <sched.h>
#include <signal.h>
#include <sys/eventfd.h>

enum { SIGNAL_MOST = 64 };

struct signal_waiter {
    struct list node;
    struct prim_once once;
    uint64_t mask; /* bit n - 1 for signal n */
};

static pthread_mutex_t signal_mutex = PTHREAD_MUTEX_INITIALIZER;
static struct list signal_waiters = { &signal_waiters, &signal_waiters };
static struct sigaction signal_former[SIGNAL_MOST];
static uint32_t signal_counts[SIGNAL_MOST];
static struct fdwatch *signal_watch;

/* The handler's. */
static _Atomic uint64_t signal_came;
static _Atomic int signal_fd = -1;
static _Atomic uint32_t signal_inside;

static void signal_handler(int number)
{
    int saved = errno;
    uint64_t one = 1;
    atomic_fetch_add(&signal_inside, 1);
    atomic_fetch_or(&signal_came, UINT64_C(1) << (number - 1));
    int fd = atomic_load(&signal_fd);
    if (fd >= 0)
        sys.write(fd, &one, sizeof one);
    atomic_fetch_sub(&signal_inside, 1);
    errno = saved;
}

/* Runs in a task. Never "ready": what is to do is done here, where the lock of fdwatch is not held.
 */
static bool signal_deliver(int fd)
{
    uint64_t n;
    if (sys.read(fd, &n, sizeof n) < 0)
        return false;
    pthread_mutex_lock(&signal_mutex);
    uint64_t came = atomic_exchange(&signal_came, 0);
    list_each(node, &signal_waiters)
    {
        struct signal_waiter *w = container_of(node, struct signal_waiter, node);
        if ((w->mask & came) && prim_claim(&w->once))
            prim_done(&w->once, __builtin_ctzll(w->mask & came) + 1, true);
    }
    pthread_mutex_unlock(&signal_mutex);
    return false;
}

static void signal_nothing(void *arg) { (void)arg; }

/* Under the mutex. */
static bool signal_open(void)
{
    if (signal_watch)
        return true;
    int fd = sys.eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (fd < 0 || fdwatch_new(fd, signal_deliver, signal_nothing, NULL, &signal_watch) < 0)
        return false;
    atomic_store(&signal_came, 0);
    atomic_store(&signal_fd, fd);
    return true;
}

/* Under the mutex: no handler is installed any more, but one may still run in another thread, and
 * it must not write to a number that is somebody else's by then. */
static void signal_close(void)
{
    atomic_store(&signal_fd, -1);
    while (atomic_load(&signal_inside))
        sched_yield();
    fdwatch_free(signal_watch);
    signal_watch = NULL;
}

/* Under the mutex. */
static void signal_leave(struct signal_waiter *w)
{
    list_remove(&w->node);
    for (int i = 0; i < SIGNAL_MOST; i++)
        if ((w->mask >> i & 1) && --signal_counts[i] == 0)
            sigaction(i + 1, &signal_former[i], NULL);
    if (list_empty(&signal_waiters) && signal_watch)
        signal_close();
}

/* Under the mutex. Signals that cannot be had (SIGKILL, a bad number) are left out of the mask. */
static bool signal_enter(struct signal_waiter *w, const int *signals)
{
    struct sigaction own = { .sa_handler = signal_handler, .sa_flags = SA_ONSTACK | SA_RESTART };
    list_push_back(&signal_waiters, &w->node);
    if (!signal_open())
        return false;
    for (; *signals; signals++) {
        int i = *signals - 1;
        if (i < 0 || i >= SIGNAL_MOST || (w->mask >> i & 1))
            continue;
        if (signal_counts[i] == 0 && sigaction(*signals, &own, &signal_former[i]) != 0)
            continue;
        signal_counts[i]++;
        w->mask |= UINT64_C(1) << i;
    }
    return true;
}

int sennit_signal_wait(sennit_ctx *ctx, const int *signals)
{
    struct signal_waiter w = { .mask = 0 };
    pthread_mutex_lock(&signal_mutex);
    bool in = signal_enter(&w, signals);
    pthread_mutex_unlock(&signal_mutex);
    int which = in ? prim_wait(&w.once, ctx, "waiting for a signal") : PRIM_CTX;
    pthread_mutex_lock(&signal_mutex);
    signal_leave(&w);
    pthread_mutex_unlock(&signal_mutex);
    return which == PRIM_CTX ? 0 : which;
}
