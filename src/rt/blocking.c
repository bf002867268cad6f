/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * blocking.c: work that may block a thread. rt_blocking_call and sennit_blocking hand a function to
 * a pool of threads and park the goroutine; a plain thread runs it itself. sennit_blocking_begin
 * and _end mark the worker as stuck at once, instead of after sysmon's millisecond.
 *
 * The record lies on the caller's stack; the pool's thread last touches it before rt_unpark. While
 * it runs, errors made belong to the caller: its error ring moves to the thread's stand-in and
 * back. Threads are detached and end after ten idle seconds; rt_shutdown waits for their last
 * touch. */
#include "rt/ctx.h"
#include "rt/rt_private.h"

struct blocking_call {
    struct list node;
    void (*fn)(void *arg);
    void *arg;
    struct rt_g *g;
    struct ctx_watch watch;
    bool queued; /* guarded by blocking_lock */
    bool ended;  /* ctx ended before it began; guarded by blocking_lock */
};

static struct lock blocking_lock; /* guards the four below */
static struct list blocking_queue = { &blocking_queue, &blocking_queue };
static int blocking_threads, blocking_idle, blocking_waiting;
static _Atomic uint32_t blocking_word, blocking_stopping;

static void blocking_move_errors(struct rt_g *to, struct rt_g *from)
{
    if (!to || !from)
        return;
    san_ignore_begin(); /* records are reused in ways that TSan does not see */
    to->errors = from->errors;
    from->errors = NULL;
    san_ignore_end();
}

static void blocking_run(struct blocking_call *c)
{
    struct rt_g *self = rt_thread_self(), *g = c->g;
    blocking_move_errors(self, g);
    c->fn(c->arg);
    blocking_move_errors(g, self);
    rt_unpark(g);
}

/* Under blocking_lock. */
static struct blocking_call *blocking_take(void)
{
    struct list *n = list_pop_front(&blocking_queue);
    if (!n)
        return NULL;
    struct blocking_call *c = container_of(n, struct blocking_call, node);
    c->queued = false;
    blocking_waiting--;
    return c;
}

static void *blocking_main(void *arg)
{
    bool late = false;
    (void)arg;
    pthread_detach(pthread_self());
    rt_thread_keep();
    lock_take(&blocking_lock, LOCK_PRIM);
    for (;;) {
        struct blocking_call *c = blocking_take();
        if (!c && (late || atomic_load(&blocking_stopping)))
            break;
        uint32_t seen = atomic_load(&blocking_word);
        blocking_idle += !c;
        lock_drop(&blocking_lock, LOCK_PRIM);
        if (c) {
            blocking_run(c);
        } else {
            struct timespec ts = { 10, 0 };
            late = sys.futex_wait(&blocking_word, seen, &ts) == -ETIMEDOUT;
        }
        lock_take(&blocking_lock, LOCK_PRIM);
        blocking_idle -= !c;
    }
    lock_drop(&blocking_lock, LOCK_PRIM);
    rt_thread_forget();
    lock_take(&blocking_lock, LOCK_PRIM);
    blocking_threads--;
    lock_drop(&blocking_lock, LOCK_PRIM);
    return NULL;
}

/* Has a thread for one more call, if the limit allows; 0 also when others must end first. */
static int blocking_room(void)
{
    lock_take(&blocking_lock, LOCK_PRIM);
    bool make = blocking_idle <= blocking_waiting && blocking_threads < LIMIT_BLOCKING_THREADS;
    blocking_threads += make;
    lock_drop(&blocking_lock, LOCK_PRIM);
    if (!make)
        return 0;
    pthread_t t;
    int rc = rt_thread_create(&t, blocking_main, NULL, 0);
    if (rc >= 0)
        return 0;
    lock_take(&blocking_lock, LOCK_PRIM);
    blocking_threads--;
    bool others = blocking_threads > 0;
    lock_drop(&blocking_lock, LOCK_PRIM);
    return others ? 0 : rc;
}

static bool blocking_commit(struct rt_g *g, void *arg)
{
    struct blocking_call *c = arg;
    lock_take(&blocking_lock, LOCK_PRIM);
    bool park = !c->ended;
    if (park) {
        c->g = g;
        c->queued = true;
        list_push_back(&blocking_queue, &c->node);
        blocking_waiting++;
        atomic_fetch_add(&blocking_word, 1);
    }
    lock_drop(&blocking_lock, LOCK_PRIM);
    if (park)
        sys.futex_wake(&blocking_word, 1);
    return park;
}

/* Takes a call that has not begun off the queue; one that runs is waited for. */
static void blocking_ctx_ended(struct ctx_watch *w)
{
    struct blocking_call *c = container_of(w, struct blocking_call, watch);
    struct rt_g *g = NULL;
    lock_take(&blocking_lock, LOCK_PRIM);
    if (c->queued) {
        list_remove(&c->node);
        c->queued = false;
        blocking_waiting--;
        g = c->g;
    }
    if (g || !c->g)
        c->ended = true;
    lock_drop(&blocking_lock, LOCK_PRIM);
    if (g)
        rt_unpark(g);
}

/* 0, -errno, or -ECANCELED when ctx ended before fn began. */
static int blocking_call(sennit_ctx *ctx, void (*fn)(void *arg), void *arg)
{
    struct blocking_call c = { .fn = fn, .arg = arg };
    if (!rt_in_goroutine()) {
        sn_assert(!rt_worker()); /* a task must not block */
        fn(arg);
        return 0;
    }
    if (rt_state.none) {
        rt_host_run(fn, arg);
        return 0;
    }
    int rc = blocking_room();
    if (rc < 0)
        return rc;
    if (ctx && !ctx_watch_add(ctx, &c.watch, blocking_ctx_ended))
        return -ECANCELED;
    rt_park(blocking_commit, &c, "blocking call");
    if (ctx)
        ctx_watch_del(&c.watch);
    return c.ended ? -ECANCELED : 0;
}

int rt_blocking_call(void (*fn)(void *arg), void *arg) { return blocking_call(NULL, fn, arg); }

struct blocking_user {
    sennit_fn fn;
    void *arg;
    sennit_err err;
};

static void blocking_user_run(void *arg)
{
    struct blocking_user *u = arg;
    u->err = u->fn(u->arg);
}

sennit_err sennit_blocking(sennit_ctx *ctx, sennit_fn fn, void *arg)
{
    struct blocking_user u = { fn, arg, NULL };
    sennit_err err = ctx ? sennit_ctx_error(ctx) : NULL;
    if (err)
        return err;
    int rc = blocking_call(ctx, blocking_user_run, &u);
    if (rc == -ECANCELED)
        return sennit_ctx_error(ctx);
    return rc < 0 ? sennit_no_memory : u.err;
}

/* The goroutine's worker counts as stuck from here; another one takes its place unless one is idle
 * already. */
void sennit_blocking_begin(void)
{
    struct rt_state *s = &rt_state;
    struct rt_worker *w = rt_worker();
    if (!w || !w->cur)
        return;
    int saved = errno;
    rt_defer_flush(w->index);
    if (s->none) {
        errno = saved;
        return; /* there is nobody else */
    }
    pthread_mutex_lock(&s->mutex);
    if (rt_mark_stuck(w) && atomic_load(&s->n_idle) == 0 &&
        atomic_load(&s->enlisted) - atomic_load(&s->stuck) < (int32_t)s->target)
        rt_enlist(false);
    pthread_mutex_unlock(&s->mutex);
    if (rt_local_len(w))
        rt_wake_one();
    errno = saved;
}

void sennit_blocking_end(void)
{
    struct rt_worker *w = rt_worker();
    int saved = errno;
    if (w && atomic_load_explicit(&w->status, memory_order_relaxed) == RT_STUCK)
        rt_mark_unstuck(w);
    errno = saved;
}

bool rt_blocking_busy(void)
{
    lock_take(&blocking_lock, LOCK_PRIM);
    bool busy = blocking_threads > blocking_idle;
    lock_drop(&blocking_lock, LOCK_PRIM);
    return busy;
}

void rt_blocking_stop(void)
{
    atomic_store(&blocking_stopping, 1);
    for (;;) {
        lock_take(&blocking_lock, LOCK_PRIM);
        int left = blocking_threads;
        atomic_fetch_add(&blocking_word, 1);
        lock_drop(&blocking_lock, LOCK_PRIM);
        if (left == 0)
            break;
        sys.futex_wake(&blocking_word, INT32_MAX);
        struct timespec ts = { 0, 100000 };
        sys.futex_wait(&blocking_stopping, 1, &ts);
    }
    atomic_store(&blocking_stopping, 0);
}
