/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * rt.h: what the layers above use of the goroutine runtime. Public calls are in sennit.h.
 *
 * Three kinds of code run:
 *   goroutines      may park; run on pooled stacks
 *   tasks           short callbacks on a worker's native stack; never park, never run user code
 *   plain threads   anything the host made; "park" is a futex wait
 * Timer functions and deferred flushes run as tasks do. */
#ifndef SENNIT_RT_RT_H
#define SENNIT_RT_RT_H

#include "base/list.h"
#include "base/lock.h"
#include "sennit.h"
#include <stdatomic.h>

/* -- goroutines ------------------------------------------------------------------------------ */

struct rt_g; /* a goroutine, or the stand-in of a plain thread */

/* The caller. In a plain thread a stand-in is made on demand (thread-local, freed at thread exit);
 * NULL only without memory. Not callable from tasks. Never keep a thread-local pointer over a park:
 * ask again. */
struct rt_g *rt_self(void);
#define RT_THREAD_ID (UINT64_C(1) << 63)
uint64_t
rt_me(void); /* the caller's number: rt_id of goroutines; of threads theirs and the top bit */
bool rt_in_goroutine(void); /* false in plain threads and in tasks */

enum rt_go_flags { RT_GO_SMALL = 1, RT_GO_PIN = 2, RT_GO_SYSTEM = 4 /* not counted as a leak */ };
/* Starts fn in a new goroutine. name must outlive it (static text or a method path). From any
 * thread, task or goroutine. No wake-up storm: a task that starts many wakes one idle worker, which
 * wakes the next. NULL, or sennit_no_memory. */
sennit_err rt_go(void (*fn)(void *arg), void *arg, const char *name, unsigned flags);

/* Parks the caller until one rt_unpark. commit runs after the caller's registers are saved (for a
 * goroutine: on another stack) and may publish g where a waker finds it; false: do not park after
 * all. A waker may call rt_unpark as soon as commit has published. reason is for dumps. */
typedef bool rt_commit_fn(struct rt_g *g, void *arg);
void rt_park(rt_commit_fn *commit, void *arg, const char *reason);
/* Parks the caller, who holds l (LOCK_PRIM): *self is set to it at once, l is dropped once its
 * registers are saved. Who takes l next may unpark *self. */
void rt_park_under(struct lock *l, struct rt_g **self, const char *reason);
void rt_unpark(struct rt_g *g); /* from anywhere, exactly once for each park */

/* NULL, or FAILED_PRECONDITION in the forked child of a process that had used the library, or where
 * goroutines cannot run. Calls that would touch what the parent owns (sockets) ask first. */
sennit_err rt_refused(void);

uint64_t rt_id(const struct rt_g *g);
const char *rt_name(const struct rt_g *g); /* never NULL */
/* Has the goroutine that was g, with this id, not ended? Not for stand-ins of threads. */
bool rt_alive(const struct rt_g *g, uint64_t id);
/* "goroutine 12 (helloworld.Greeter/SayHello)" or "thread 4711"; never parks. */
const char *rt_describe(const struct rt_g *g, char *buf, size_t size);
/* The name that dumps and errors show, e.g. the full method; must outlive the goroutine. */
void rt_set_name(const char *name);

/* -- note: one waiter, any number of setters ---------------------------------------------------
 * States: 0 clear, 1 set, else the waiting rt_g. Setting a set note is a no-op, so the waiter must
 * loop over its condition. {0} is clear. At most one waiter at a time (misuse is checked above). */
struct rt_note {
    _Atomic uintptr_t state;
};
void rt_note_set(struct rt_note *n); /* from anywhere, tasks and under locks included */
void rt_note_wait(struct rt_note *n, const char *reason);  /* until set; leaves it clear */
static inline bool rt_note_is_set(const struct rt_note *n) /* a guess */
{
    return atomic_load_explicit(&n->state, memory_order_relaxed) == 1;
}

/* -- tasks: run-to-completion functions on a worker's native stack -------------------------------
 * Waking a running task runs it once more; a task never runs on two workers at once. */
struct rt_task {
    struct rt_task *next;
    void (*fn)(struct rt_task *t);
    _Atomic uint32_t state; /* idle, queued, running, running and woken again */
};
void rt_task_init(struct rt_task *t, void (*fn)(struct rt_task *t));
void rt_task_wake(struct rt_task *t); /* from anywhere */
/* Inside fn, before t's memory may be freed by fn itself: rt will not touch t any more. */
void rt_task_exit(struct rt_task *t);

/* -- deferred flush: run soon, batched ------------------------------------------------------------
 * Dirty connections. fn runs as a task does: when the worker's queue is dry, before a goroutine
 * starts once the oldest has waited 50 us, at blocking_begin, by sysmon after 100 us. From a plain
 * thread rt_defer runs fn at once on the caller's stack. queued is cleared before fn runs, so that
 * a change made during fn queues it again. Several threads may thus run fn at once: fn claims. */
struct rt_defer {
    struct list node;
    void (*fn)(struct rt_defer *d);
    _Atomic uint32_t queued, running, list;
    int64_t since;
};
void rt_defer_init(struct rt_defer *d, void (*fn)(struct rt_defer *d));
void rt_defer(struct rt_defer *d);
/* Takes d off its list; afterwards fn does not run and will not (waits out a running one; so not to
 * be called from fn, nor under a lock that fn takes). */
void rt_defer_cancel(struct rt_defer *d);

/* -- timers ---------------------------------------------------------------------------------------
 * A wheel with its own locks: set and stop are O(1) and from anywhere. fn runs as a task does, with
 * no rt lock held; it must not park, may set t again, may free t. */
struct rt_timer {
    struct list node;
    int64_t at; /* sennit_now when due */
    void (*fn)(struct rt_timer *t);
    _Atomic uint32_t state; /* idle, armed, firing */
    uint16_t wheel, slot;
};
void rt_timer_init(struct rt_timer *t, void (*fn)(struct rt_timer *t));
void rt_timer_set(struct rt_timer *t, int64_t at); /* also moves an armed one */
bool rt_timer_stop(struct rt_timer *t);            /* true: was armed and fn will not run */
/* As stop, and waits until a running fn has returned. Not from fn itself. */
bool rt_timer_stop_wait(struct rt_timer *t);

/* -- file descriptors: one edge-triggered netpoller
 * Try the system call first; wait only after
 * -EAGAIN. struct rt_fd is pooled and never unmapped, so a late event finds a generation instead of
 * freed memory. The fd must be non-blocking. */
struct rt_fd;
int rt_fd_open(int fd,
               struct rt_fd **out); /* registers; 0 or -errno (fd stays the caller's then) */
int rt_fd_number(const struct rt_fd *f);
/* The peer has closed, or an error is pending: the end may have come in the same edge as the last
 * octets, so that no further edge tells of it. A reader goes on until it has seen it. */
bool rt_fd_hung_up(const struct rt_fd *f);
/* Parks until readable (or writable), ctx has ended (-ECANCELED) or f is closed (-EBADF). 0: try
 * again. At most one goroutine waits for each direction, -EBUSY for a second one. */
int rt_fd_wait_read(struct rt_fd *f, sennit_ctx *ctx);
int rt_fd_wait_write(struct rt_fd *f, sennit_ctx *ctx);
/* From now on readiness wakes the task (r for reading, w for writing; either may be NULL) instead
 * of a goroutine. Wakes each once at once, so that nothing that came before is missed. */
void rt_fd_tasks(struct rt_fd *f, struct rt_task *r, struct rt_task *w);
/* Waiters, now and later, get -EBADF; the fd stays open and registered. */
void rt_fd_interrupt(struct rt_fd *f);
/* Unregisters, closes the fd, wakes waiters with -EBADF. No task is woken by f after it returned.
 */
void rt_fd_close(struct rt_fd *f);

/* -- blocking work off the workers ----------------------------------------------------------- */

/* Runs fn(arg) on a thread where it may block (getaddrinfo); the caller parks meanwhile. 0 or
 * -errno when no thread could be had (then fn did not run). */
int rt_blocking_call(void (*fn)(void *arg), void *arg);

/* -- end-of-test check ----------------------------------------------------------------------- */

struct rt_counts {
    int64_t goroutines; /* that live, without RT_GO_SYSTEM ones */
    int64_t fds;        /* registered with the netpoller */
    int64_t timers;     /* armed */
    int64_t parked, spawned, workers, spare_workers;
};
struct rt_counts rt_counts(void);
/* For sennit_stats; the layers above count. */
extern _Atomic int64_t rt_handshakes, rt_failed_handshakes;
/* Waits (bounded, 5 s) until the runtime is idle, stops all its threads and frees all it holds, so
 * that a leak check can count. For tests and the end of a process only; afterwards the runtime
 * starts afresh on next use. false: goroutines were left (they are listed on stderr). */
bool rt_shutdown(void);

#endif
