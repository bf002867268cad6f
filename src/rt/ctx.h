/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * ctx.h: contexts from the inside: embedded ones, watches, slots. A context is a node in a tree;
 * ending a node ends its children. Who embeds a sennit_ctx (a call, a server stream) inits and
 * finis it; users see pointers only. */
#ifndef SENNIT_RT_CTX_H
#define SENNIT_RT_CTX_H

#include "base/arena.h"
#include "base/list.h"
#include "rt/rt.h"

/* Fast typed attachments of the layers above (values set by users live in `values`). */
enum ctx_slot { CTX_SLOT_MD_OUT, CTX_SLOT_RPC, CTX_SLOTS };

enum ctx_state { CTX_LIVE, CTX_CANCELLED, CTX_EXPIRED };

/* The lock of a tree's root guards the shape of the whole tree, and each node's watches, values,
 * cause and cleanups: ending a subtree is then one walk under one lock, and a context without
 * parent (nearly all) shares it with nobody. */
struct sennit_ctx {
    struct sennit_ctx *parent, *root;
    struct lock lock;        /* of a root: see above */
    _Atomic uint32_t state;  /* enum ctx_state; ends once, except by reset */
    _Atomic uint32_t users;  /* between ctx_enter and ctx_leave; free waits for 0 */
    _Atomic uint32_t active; /* of a root: runs over watches that are under way */
    struct list children, sibling, watches;
    struct list runs;                 /* of a root: struct ctx_run */
    struct rt_timer timer;            /* armed for the deadline when first watched */
    int64_t deadline;                 /* INT64_MAX: none; the least of own and parents' */
    const struct sennit_error *cause; /* NULL: the standard text for state */
    struct ctx_value *values;
    struct ctx_cleanup *cleanups;
    void *slot[CTX_SLOTS];
    struct rt_note left;       /* users came to 0 while somebody waited */
    struct rt_note *childless; /* who waits until n_children is 0 */
    uint32_t n_children;
    bool heap;                 /* from sennit_ctx_new: free it */
    _Atomic bool armed;        /* timer was set; also read by who ends a parent */
    bool orphaner;             /* freed before its children */
    struct sennit_arena arena; /* shared */
};

/* A call that goes on using ctx and its arena is inside meanwhile: freeing and resetting wait for
 * it. A watch alone does not count, so that one may be taken back in a cleanup. NULL is fine. */
void ctx_enter(struct sennit_ctx *ctx);
void ctx_leave(struct sennit_ctx *ctx);

/* The static one that stands for lack of memory: it has ended, and nothing can live in it. */
bool ctx_is_lame(const struct sennit_ctx *ctx);

/* Embedded contexts. first: a block for the arena, or NULL. deadline absolute, INT64_MAX for none.
 */
static inline void ctx_init_root(struct sennit_ctx *ctx, int64_t deadline, void *first,
                                 size_t first_size)
{
    zero_words(ctx, offsetof(struct sennit_ctx, arena)); /* which sees to itself */
    ctx->root = ctx;
    ctx->deadline = deadline;
    list_init(&ctx->children);
    list_init(&ctx->sibling);
    list_init(&ctx->watches);
    list_init(&ctx->runs);
    arena_init(&ctx->arena, first, first_size);
    ctx->arena.shared = true;
}
void ctx_init(struct sennit_ctx *ctx, struct sennit_ctx *parent, int64_t deadline, void *first,
              size_t first_size);
/* Cancels, waits until all users have left, ends the arena. Parks; not from tasks. */
void ctx_fini(struct sennit_ctx *ctx);
/* Is nobody inside ctx, and no child? */
bool ctx_unused(struct sennit_ctx *ctx);
/* Parks until nobody who entered and no child is inside (for one that has ended). */
void ctx_wait_users(struct sennit_ctx *ctx);
/* Ends ctx and does the same: a context that nobody else has come to know has one quick look. */
void ctx_retire(struct sennit_ctx *ctx);
/* Same as fini without waiting: only when the caller knows that nobody else is inside. From tasks,
 * too. */
void ctx_fini_now(struct sennit_ctx *ctx);
static inline void ctx_fini_quick(struct sennit_ctx *ctx)
{
    if (unlikely(ctx->parent || ctx->cleanups || ctx->heap || ctx->arena.blocks ||
                 atomic_load_explicit(&ctx->armed, memory_order_relaxed) ||
                 atomic_load_explicit(&ctx->active, memory_order_acquire)))
        ctx_fini_now(ctx);
}
/* Ends ctx with this state; idempotent; from anywhere, tasks included. */
void ctx_end(struct sennit_ctx *ctx, enum ctx_state state);
/* The same with another error than the standard one; cause must be static. */
void ctx_end_because(struct sennit_ctx *ctx, sennit_err cause);
/* What sennit_ctx_error says: sennit_err of CANCELLED "context canceled" or DEADLINE_EXCEEDED
 * "context deadline exceeded" (static). */
sennit_err ctx_error_static(const struct sennit_ctx *ctx);

/* Run, last one first, when ctx is freed or reset: what was handed out with it goes then. */
struct ctx_cleanup {
    struct ctx_cleanup *next;
    void (*fn)(struct ctx_cleanup *c);
};
void ctx_cleanup_add(struct sennit_ctx *ctx, struct ctx_cleanup *c);

/* A watch is told once when ctx ends. fn runs as a task does (any thread), must not park or take
 * locks above LOCK_STREAM. */
struct ctx_watch {
    struct list node;
    struct sennit_ctx *ctx;
    void (*fn)(struct ctx_watch *w);
    struct ctx_run *run; /* who fires it; guarded by the root's lock */
    _Atomic uint32_t state;
};
/* false: ctx has ended already, fn will not run. ctx may be NULL (true; never fires). */
bool ctx_watch_add(struct sennit_ctx *ctx, struct ctx_watch *w, void (*fn)(struct ctx_watch *w));
/* Afterwards fn does not run and will not (waits, spinning, for a running one; from fn itself it
 * may be called, too, and w freed then). */
void ctx_watch_del(struct ctx_watch *w);

/* The slot of ctx or of its nearest parent that has it. */
void *ctx_slot_get(struct sennit_ctx *ctx, enum ctx_slot slot);

/* Waits for the note or the end of ctx (may be NULL): NULL when the note was set. */
sennit_err ctx_note_wait(struct sennit_ctx *ctx, struct rt_note *n, const char *reason);

#endif
