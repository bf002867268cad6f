/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * ctx.c: the tree of contexts: making, ending, watching and freeing. What hangs on a context is in
 * ctx_values.c. Any thread may be in here at any time.
 *
 * All contexts of a tree share their root's lock. Ending a subtree is one walk under it (by
 * pointers, not by recursion: users decide how deep a tree is), which marks the nodes and moves
 * their watches to a list of the "run", a struct on the stack of who ended it. The run then calls
 * the watches with no lock held. After the walk a run touches nothing but watches, each of which
 * its owner takes back first, and the root, whose free waits for runs. A watch may take itself back
 * and even free the root from its own function: then it is the run's own thread that does so, which
 * the run finds out from its own fields. fn never parks, so the thread is a good name for who runs.
 *
 * Memory: a context freed before its children (a mistake of the caller) stays as an orphaner until
 * the last child has gone; an embedded one cannot stay and waits for them. */
#include "rt/ctx.h"
#include "base/limits.h"
#include "base/sys.h"
#include "rt/ctx_private.h"
#include "rt/err.h"
#include "rt/rt_private.h"

enum ctx_watch_state { CTX_WATCH_IDLE, CTX_WATCH_SET, CTX_WATCH_RUNS, CTX_WATCH_RUNS_AWAITED };
enum { CTX_FIRST_BLOCK = 512 };
#ifndef CTX_SPINS
#define CTX_SPINS 200
#endif
#define CTX_LEAVING 0x80000000u /* in users: somebody waits for 0 */

struct ctx_run {
    struct list node;
    struct list watches;
    const void *thread;
    struct sennit_ctx *root;   /* NULL: was freed by one of the watches */
    struct sennit_ctx *timer;  /* whose timer this is, or NULL */
    struct ctx_watch *current; /* NULL: was taken back by itself */
};

struct ctx_heap {
    struct sennit_ctx ctx;
    char first[CTX_FIRST_BLOCK];
};

/* Has ended from the start, and no call changes it. */
struct sennit_ctx ctx_lame = {
    .root = &ctx_lame,
    .state = CTX_CANCELLED,
    .deadline = INT64_MAX,
    .children = { &ctx_lame.children, &ctx_lame.children },
    .watches = { &ctx_lame.watches, &ctx_lame.watches },
    .runs = { &ctx_lame.runs, &ctx_lame.runs },
    .arena = { .cap = 1, .shared = true, .failed = true },
};

bool ctx_is_lame(const struct sennit_ctx *ctx) { return ctx == &ctx_lame; }

/* -- ending ---------------------------------------------------------------------------------- */

static struct sennit_ctx *ctx_of_sibling(struct list *n)
{
    return container_of(n, struct sennit_ctx, sibling);
}

static void ctx_mark(struct sennit_ctx *ctx, enum ctx_state state, sennit_err cause,
                     struct ctx_run *run)
{
    struct list *n;
    ctx->cause = cause;
    atomic_store_explicit(&ctx->state, state, memory_order_release);
    if (atomic_load_explicit(&ctx->armed, memory_order_relaxed) && ctx != run->timer)
        rt_timer_stop(&ctx->timer);
    while ((n = list_pop_front(&ctx->watches))) {
        container_of(n, struct ctx_watch, node)->run = run;
        list_push_back(&run->watches, n);
    }
}

/* The node after ctx in a walk of top's subtree, parents first; NULL: that was all. */
static struct sennit_ctx *ctx_walk(struct sennit_ctx *ctx, struct sennit_ctx *top, bool down)
{
    if (down && !list_empty(&ctx->children))
        return ctx_of_sibling(ctx->children.next);
    while (ctx != top && ctx->sibling.next == &ctx->parent->children)
        ctx = ctx->parent;
    return ctx == top ? NULL : ctx_of_sibling(ctx->sibling.next);
}

/* Nodes that have ended before are passed over with all that is below: it has ended, too. */
static void ctx_mark_tree(struct sennit_ctx *top, enum ctx_state state, sennit_err cause,
                          struct ctx_run *run)
{
    for (struct sennit_ctx *c = top; c;) {
        bool live = atomic_load_explicit(&c->state, memory_order_relaxed) == CTX_LIVE;
        if (live)
            ctx_mark(c, state, cause, run);
        c = ctx_walk(c, top, live);
    }
}

/* Locked. The next watch to call, or NULL when the run is over. */
static struct ctx_watch *ctx_run_next(struct ctx_run *run)
{
    struct list *n = list_pop_front(&run->watches);
    run->current = n ? container_of(n, struct ctx_watch, node) : NULL;
    if (run->current)
        atomic_store_explicit(&run->current->state, CTX_WATCH_RUNS, memory_order_relaxed);
    else
        list_remove(&run->node);
    return run->current;
}

/* Locked. Who waits in ctx_watch_del may go on, and free w. */
static bool ctx_run_done(struct ctx_run *run)
{
    return run->current && atomic_exchange_explicit(&run->current->state, CTX_WATCH_IDLE,
                                                    memory_order_release) == CTX_WATCH_RUNS_AWAITED;
}

static void ctx_run_watches(struct ctx_run *run)
{
    struct sennit_ctx *root = run->root;
    lock_take(&root->lock, LOCK_CTX);
    struct ctx_watch *w = ctx_run_next(run);
    lock_drop(&root->lock, LOCK_CTX);
    while (w) {
        w->fn(w);
        if (!run->root)
            return;
        lock_take(&root->lock, LOCK_CTX);
        bool awaited = ctx_run_done(run);
        struct ctx_watch *next = ctx_run_next(run);
        lock_drop(&root->lock, LOCK_CTX);
        if (awaited)
            sys.futex_wake(&w->state, INT32_MAX); /* an address only: w may be gone */
        w = next;
    }
    atomic_fetch_sub_explicit(&root->active, 1, memory_order_release);
}

static void ctx_finish(struct sennit_ctx *ctx, enum ctx_state state, sennit_err cause, bool timer)
{
    if (atomic_load_explicit(&ctx->state, memory_order_relaxed) != CTX_LIVE)
        return;
    struct sennit_ctx *root = ctx->root;
    struct ctx_run run = { .thread = NULL, .root = root, .timer = timer ? ctx : NULL };
    list_init(&run.watches);
    lock_take(&root->lock, LOCK_CTX);
    if (atomic_load_explicit(&ctx->state, memory_order_relaxed) == CTX_LIVE)
        ctx_mark_tree(ctx, state, cause, &run);
    bool watched = !list_empty(&run.watches);
    if (watched) {
        run.thread = rt_thread_mark();
        list_push_back(&root->runs, &run.node);
        atomic_fetch_add_explicit(&root->active, 1, memory_order_relaxed);
    }
    lock_drop(&root->lock, LOCK_CTX);
    if (watched)
        ctx_run_watches(&run);
}

void ctx_end(struct sennit_ctx *ctx, enum ctx_state state) { ctx_finish(ctx, state, NULL, false); }

void ctx_end_because(struct sennit_ctx *ctx, sennit_err cause)
{
    ctx_finish(ctx, CTX_CANCELLED, cause, false);
}

static void ctx_expired(struct rt_timer *t)
{
    ctx_finish(container_of(t, struct sennit_ctx, timer), CTX_EXPIRED, NULL, true);
}

/* Sees to it that a passed deadline shows, whether or not a timer runs. Who wants to know why it
 * ended acquires that in ctx_error_static. */
static enum ctx_state ctx_look(struct sennit_ctx *ctx)
{
    enum ctx_state state = atomic_load_explicit(&ctx->state, memory_order_relaxed);
    if (state == CTX_LIVE && ctx->deadline != INT64_MAX && sennit_now() >= ctx->deadline) {
        ctx_end(ctx, CTX_EXPIRED);
        state = atomic_load_explicit(&ctx->state, memory_order_relaxed);
    }
    return state;
}

sennit_err ctx_error_static(const struct sennit_ctx *ctx)
{
    enum ctx_state state = atomic_load_explicit(&ctx->state, memory_order_acquire);
    if (state == CTX_LIVE)
        return NULL;
    if (ctx == &ctx_lame)
        return sennit_no_memory;
    return ctx->cause ? ctx->cause : state == CTX_EXPIRED ? &err_ctx_expired : &err_ctx_cancelled;
}

sennit_err sennit_ctx_error(sennit_ctx *ctx)
{
    if (!ctx || ctx_look(ctx) == CTX_LIVE)
        return NULL;
    return ctx_error_static(ctx);
}

void sennit_ctx_cancel(sennit_ctx *ctx)
{
    if (ctx)
        ctx_end(ctx, CTX_CANCELLED);
}

int64_t sennit_ctx_deadline(sennit_ctx *ctx) { return ctx ? ctx->deadline : INT64_MAX; }

/* -- watches --------------------------------------------------------------------------------- */

/* Locked. False: the deadline has passed. */
static bool ctx_arm(struct sennit_ctx *ctx)
{
    if (atomic_load_explicit(&ctx->armed, memory_order_relaxed) || ctx->deadline == INT64_MAX)
        return true;
    if (sennit_now() >= ctx->deadline)
        return false;
    rt_timer_init(&ctx->timer, ctx_expired);
    atomic_store_explicit(&ctx->armed, true, memory_order_relaxed);
    rt_timer_set(&ctx->timer, ctx->deadline);
    return true;
}

bool ctx_watch_add(struct sennit_ctx *ctx, struct ctx_watch *w, void (*fn)(struct ctx_watch *w))
{
    w->ctx = ctx, w->fn = fn, w->run = NULL;
    atomic_store_explicit(&w->state, CTX_WATCH_IDLE, memory_order_relaxed);
    if (!ctx)
        return true;
    if (atomic_load_explicit(&ctx->state, memory_order_acquire) != CTX_LIVE)
        return false; /* the caller knows then what was before the end */
    struct sennit_ctx *root = ctx->root;
    lock_take(&root->lock, LOCK_CTX);
    bool live = atomic_load_explicit(&ctx->state, memory_order_relaxed) == CTX_LIVE;
    bool late = live && !ctx_arm(ctx);
    if (live && !late) {
        list_push_back(&ctx->watches, &w->node);
        atomic_store_explicit(&w->state, CTX_WATCH_SET, memory_order_relaxed);
    }
    lock_drop(&root->lock, LOCK_CTX);
    if (late)
        ctx_end(ctx, CTX_EXPIRED);
    return live && !late;
}

/* fn runs on another thread. */
BASE_COLD static void ctx_watch_await(struct ctx_watch *w)
{
    for (int i = 0; i < CTX_SPINS; i++) {
        if (atomic_load_explicit(&w->state, memory_order_acquire) == CTX_WATCH_IDLE)
            return;
        rt_relax();
    }
    uint32_t runs = CTX_WATCH_RUNS;
    atomic_compare_exchange_strong_explicit(&w->state, &runs, CTX_WATCH_RUNS_AWAITED,
                                            memory_order_relaxed, memory_order_relaxed);
    while (atomic_load_explicit(&w->state, memory_order_acquire) != CTX_WATCH_IDLE)
        sys.futex_wait(&w->state, CTX_WATCH_RUNS_AWAITED, NULL);
}

void ctx_watch_del(struct ctx_watch *w)
{
    if (!w->ctx || atomic_load_explicit(&w->state, memory_order_acquire) == CTX_WATCH_IDLE)
        return;
    struct sennit_ctx *root = w->ctx->root;
    bool elsewhere = false;
    lock_take(&root->lock, LOCK_CTX);
    switch (atomic_load_explicit(&w->state, memory_order_relaxed)) {
    case CTX_WATCH_SET:
        list_remove(&w->node);
        atomic_store_explicit(&w->state, CTX_WATCH_IDLE, memory_order_relaxed);
        break;
    case CTX_WATCH_RUNS:
    case CTX_WATCH_RUNS_AWAITED:
        elsewhere = w->run->thread != rt_thread_mark();
        if (!elsewhere) {
            w->run->current = NULL;
            atomic_store_explicit(&w->state, CTX_WATCH_IDLE, memory_order_relaxed);
        }
        break;
    }
    lock_drop(&root->lock, LOCK_CTX);
    if (elsewhere)
        ctx_watch_await(w);
}

struct ctx_note_watch {
    struct ctx_watch w;
    struct rt_note *note;
    _Atomic bool ended;
};

static void ctx_note_ended(struct ctx_watch *w)
{
    struct ctx_note_watch *n = container_of(w, struct ctx_note_watch, w);
    atomic_store_explicit(&n->ended, true, memory_order_relaxed); /* ctx_watch_del orders it */
    rt_note_set(n->note);
}

sennit_err ctx_note_wait(struct sennit_ctx *ctx, struct rt_note *n, const char *reason)
{
    struct ctx_note_watch w = { .note = n };
    if (!ctx || atomic_load_explicit(&n->state, memory_order_relaxed) == 1) {
        rt_note_wait(n, reason);
        return NULL;
    }
    ctx_enter(ctx);
    sennit_err err = NULL;
    if (ctx_watch_add(ctx, &w.w, ctx_note_ended)) {
        rt_note_wait(n, reason);
        ctx_watch_del(&w.w);
        if (atomic_load_explicit(&w.ended, memory_order_relaxed))
            err = ctx_error_static(ctx);
    } else {
        err = ctx_error_static(ctx);
    }
    ctx_leave(ctx);
    return err;
}

/* -- who is inside --------------------------------------------------------------------------- */

void ctx_enter(struct sennit_ctx *ctx)
{
    if (ctx)
        atomic_fetch_add_explicit(&ctx->users, 1, memory_order_relaxed);
}

void ctx_leave(struct sennit_ctx *ctx)
{
    if (ctx && atomic_fetch_sub_explicit(&ctx->users, 1, memory_order_release) == CTX_LEAVING + 1)
        rt_note_set(&ctx->left);
}

static void ctx_wait_left(struct sennit_ctx *ctx)
{
    if (atomic_load_explicit(&ctx->users, memory_order_acquire) == 0)
        return;
    if (atomic_fetch_or_explicit(&ctx->users, CTX_LEAVING, memory_order_acquire) != 0) {
        do /* at least once: the last one out touches the note */
            rt_note_wait(&ctx->left, "waiting until calls have left a context");
        while (atomic_load_explicit(&ctx->users, memory_order_acquire) != CTX_LEAVING);
    }
    atomic_fetch_and_explicit(&ctx->users, ~CTX_LEAVING, memory_order_relaxed);
}

BASE_COLD bool ctx_unused(struct sennit_ctx *ctx)
{
    lock_take(&ctx->root->lock, LOCK_CTX);
    bool childless = ctx->n_children == 0; /* first: who has left a child may be inside */
    lock_drop(&ctx->root->lock, LOCK_CTX);
    return childless && atomic_load_explicit(&ctx->users, memory_order_acquire) == 0;
}

static void ctx_wait_children(struct sennit_ctx *ctx)
{
    struct rt_note note = { 0 };
    struct lock *l = &ctx->root->lock;
    lock_take(l, LOCK_CTX);
    ctx->childless = ctx->n_children ? &note : NULL;
    while (ctx->n_children) {
        lock_drop(l, LOCK_CTX);
        rt_note_wait(&note, "waiting until child contexts are freed");
        lock_take(l, LOCK_CTX);
    }
    ctx->childless = NULL;
    lock_drop(l, LOCK_CTX);
}

void ctx_wait_users(struct sennit_ctx *ctx)
{
    ctx_wait_left(ctx);
    ctx_wait_children(ctx);
}

/* Locked. Is there nothing to be told or waited for when ctx, alive, ends? Users first: who has
 * left by now has left its children where they are seen. */
static inline bool ctx_alone(struct sennit_ctx *ctx)
{
    return atomic_load_explicit(&ctx->users, memory_order_acquire) == 0 &&
           list_empty(&ctx->watches) && ctx->n_children == 0 &&
           !atomic_load_explicit(&ctx->armed, memory_order_relaxed) &&
           atomic_load_explicit(&ctx->state, memory_order_relaxed) == CTX_LIVE;
}

void ctx_retire(struct sennit_ctx *ctx)
{
    struct lock *l = &ctx->root->lock;
    lock_take(l, LOCK_CTX);
    bool alone = ctx_alone(ctx);
    if (likely(alone)) /* without a cause */
        atomic_store_explicit(&ctx->state, CTX_CANCELLED, memory_order_relaxed);
    lock_drop(l, LOCK_CTX);
    if (likely(alone))
        return;
    ctx_end(ctx, CTX_CANCELLED);
    ctx_wait_users(ctx);
}

/* Locked. The run of the calling thread under root, if any. */
BASE_COLD static struct ctx_run *ctx_own_run(struct sennit_ctx *root)
{
    list_each(n, &root->runs)
    {
        struct ctx_run *run = container_of(n, struct ctx_run, node);
        if (run->thread == rt_thread_mark())
            return run;
    }
    return NULL;
}

/* Returns when no run will touch root any more; own ones (we are inside their fn) are told. */
BASE_COLD static void ctx_quiesce(struct sennit_ctx *root)
{
    struct ctx_run *own;
    for (int i = 0; atomic_load_explicit(&root->active, memory_order_acquire); i++) {
        lock_take(&root->lock, LOCK_CTX);
        while ((own = ctx_own_run(root))) {
            list_remove(&own->node);
            own->root = NULL;
            atomic_fetch_sub_explicit(&root->active, 1, memory_order_relaxed);
        }
        lock_drop(&root->lock, LOCK_CTX);
        if (i < CTX_SPINS)
            rt_relax();
        else
            sys.futex_wait(&root->active, atomic_load_explicit(&root->active, memory_order_relaxed),
                           &(struct timespec){ .tv_nsec = 50000 });
    }
}

/* Whether the caller stands in the function of ctx's own timer. */
BASE_COLD static bool ctx_in_own_timer(struct sennit_ctx *ctx)
{
    struct sennit_ctx *root = ctx->root;
    if (!atomic_load_explicit(&root->active, memory_order_relaxed)) /* our own run counts there */
        return false;
    bool in = false;
    lock_take(&root->lock, LOCK_CTX);
    list_each(n, &root->runs)
    {
        struct ctx_run *run = container_of(n, struct ctx_run, node);
        in = in || (run->thread == rt_thread_mark() && run->timer == ctx);
    }
    lock_drop(&root->lock, LOCK_CTX);
    return in;
}

/* -- making and freeing ---------------------------------------------------------------------- */

/* Under a parent that has ended the child has ended, too, for the same reason. */
BASE_COLD static void ctx_attach(struct sennit_ctx *ctx, struct sennit_ctx *parent)
{
    if (parent == &ctx_lame) {
        ctx->cause = sennit_no_memory;
        atomic_store_explicit(&ctx->state, CTX_CANCELLED, memory_order_relaxed);
        return;
    }
    ctx->parent = parent, ctx->root = parent->root;
    lock_take(&ctx->root->lock, LOCK_CTX);
    if (parent->deadline < ctx->deadline)
        ctx->deadline = parent->deadline;
    ctx->cause = parent->cause;
    atomic_store_explicit(&ctx->state, atomic_load_explicit(&parent->state, memory_order_relaxed),
                          memory_order_relaxed);
    list_push_back(&parent->children, &ctx->sibling);
    parent->n_children++;
    lock_drop(&ctx->root->lock, LOCK_CTX);
}

void ctx_init(struct sennit_ctx *ctx, struct sennit_ctx *parent, int64_t deadline, void *first,
              size_t first_size)
{
    ctx_init_root(ctx, deadline, first, first_size);
    if (parent)
        ctx_attach(ctx, parent);
}

/* Locked by nobody: the last one inside. */
static void ctx_run_cleanups(struct sennit_ctx *ctx)
{
    struct ctx_cleanup *c;
    while ((c = ctx->cleanups)) {
        ctx->cleanups = c->next;
        c->fn(c);
    }
}

static void ctx_disarm(struct sennit_ctx *ctx)
{
    if (atomic_load_explicit(&ctx->armed, memory_order_relaxed) && !ctx_in_own_timer(ctx))
        rt_timer_stop_wait(&ctx->timer);
    atomic_store_explicit(&ctx->armed, false, memory_order_relaxed);
}

/* Takes ctx from its parent. Returns the parent when it only waited for this to be freed. */
static struct sennit_ctx *ctx_detach(struct sennit_ctx *ctx)
{
    struct sennit_ctx *parent = ctx->parent, *root = ctx->root;
    if (!parent)
        return NULL;
    lock_take(&root->lock, LOCK_CTX);
    list_remove(&ctx->sibling);
    bool last = --parent->n_children == 0;
    if (last && parent->childless)
        rt_note_set(parent->childless);
    bool orphaner = last && parent->orphaner;
    lock_drop(&root->lock, LOCK_CTX);
    return orphaner ? parent : NULL;
}

static void ctx_release(struct sennit_ctx *ctx)
{
    while (ctx) {
        struct sennit_ctx *next = ctx_detach(ctx);
        if (ctx->root == ctx)
            ctx_quiesce(ctx);
        arena_fini(&ctx->arena);
        if (ctx->heap)
            sys.free(ctx);
        ctx = next;
    }
}

void ctx_fini_now(struct sennit_ctx *ctx)
{
    ctx_disarm(ctx);
    ctx_run_cleanups(ctx);
    ctx_release(ctx);
}

void ctx_fini(struct sennit_ctx *ctx)
{
    ctx_end(ctx, CTX_CANCELLED);
    ctx_wait_users(ctx);
    ctx_fini_now(ctx);
}

static sennit_ctx *ctx_make(sennit_ctx *parent, int64_t deadline)
{
    struct ctx_heap *h = sys.malloc(sizeof *h);
    if (!h)
        return &ctx_lame;
    ctx_init(&h->ctx, parent, deadline, h->first, sizeof h->first);
    h->ctx.heap = true;
    return &h->ctx;
}

static int64_t ctx_deadline_after(sennit_duration timeout)
{
    int64_t now = sennit_now();
    return timeout > INT64_MAX - now ? INT64_MAX : now + timeout;
}

sennit_ctx *sennit_ctx_new(sennit_ctx *parent) { return ctx_make(parent, INT64_MAX); }

sennit_ctx *sennit_ctx_timeout(sennit_ctx *parent, sennit_duration timeout)
{
    return ctx_make(parent, ctx_deadline_after(timeout < 0 ? 0 : timeout));
}

void sennit_ctx_free(sennit_ctx *ctx)
{
    if (!ctx || ctx == &ctx_lame)
        return;
    ctx_end(ctx, CTX_CANCELLED);
    ctx_wait_left(ctx);
    ctx_disarm(ctx);
    ctx_run_cleanups(ctx);
    struct lock *l = &ctx->root->lock;
    lock_take(l, LOCK_CTX);
    bool last = ctx->n_children == 0;
    ctx->orphaner = !last;
    lock_drop(l, LOCK_CTX);
    if (last)
        ctx_release(ctx);
}

/* A child that is still there has ended for good: its error stays what it is. */
void sennit_ctx_reset(sennit_ctx *ctx, sennit_duration timeout)
{
    if (!ctx || ctx == &ctx_lame)
        return;
    struct lock *l = &ctx->root->lock;
    lock_take(l, LOCK_CTX);
    bool alone = ctx_alone(ctx);
    if (likely(alone)) /* without a cause */
        atomic_store_explicit(&ctx->state, CTX_CANCELLED, memory_order_relaxed);
    lock_drop(l, LOCK_CTX);
    if (unlikely(!alone)) {
        ctx_end(ctx, CTX_CANCELLED);
        ctx_wait_left(ctx);
        ctx_disarm(ctx);
    }
    ctx_run_cleanups(ctx);
    struct sennit_ctx *parent = ctx->parent;
    int64_t deadline = timeout == INT64_MAX ? INT64_MAX : ctx_deadline_after(timeout);
    if (unlikely(ctx->values != NULL)) { /* in the arena */
        lock_take(l, LOCK_CTX);
        ctx->values = NULL;
        lock_drop(l, LOCK_CTX);
    }
    arena_reset(&ctx->arena);
    lock_take(l, LOCK_CTX);
    for (size_t i = 0; i < CTX_SLOTS; i++)
        ctx->slot[i] = NULL;
    ctx->deadline = parent && parent->deadline < deadline ? parent->deadline : deadline;
    ctx->cause = parent ? parent->cause : NULL;
    atomic_store_explicit(
        &ctx->state, parent ? atomic_load_explicit(&parent->state, memory_order_relaxed) : CTX_LIVE,
        memory_order_release);
    lock_drop(l, LOCK_CTX);
}
