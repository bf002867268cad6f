/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * rt_private.h: what the files of the runtime share among themselves. Above this layer only rt.h is
 * used.
 *
 * Who owns what: a worker's plain fields belong to the thread that it is (a goroutine that runs on
 * it counts as that thread until it parks); fields marked shared are atomics or have a lock. A
 * goroutine's fields belong to the worker that runs it; while it is parked, to who unparks it.
 *
 * An "item" is what a run queue holds: a goroutine, or a task with bit 0 set. */
#ifndef SENNIT_RT_PRIVATE_H
#define SENNIT_RT_PRIVATE_H

#include "base/asym.h"
#include "base/limits.h"
#include "base/sys.h"
#include "rt/rt.h"
#include "rt/sanitize.h"
#include <pthread.h>

#ifndef RT_RING
#define RT_RING 1024
#endif
enum { RT_STACK_CACHE = 64, RT_G_CACHE = 256, RT_STACK_CLASSES = 2 };
/* Beside enum rt_go_flags: a thread's stand-in; pinned by sennit_lock_thread; the stand-in of
 * the loop's own thread. */
enum rt_internal_flags { RT_G_THREAD = 128, RT_G_LOCKED = 64, RT_G_HOST = 32 };
enum rt_g_state { RT_G_FREE, RT_G_QUEUED, RT_G_RUNNING, RT_G_PARKED };

struct rt_stack {
    struct rt_stack *next;
    char *base; /* lowest usable octet; the guard lies below */
    uint32_t size;
    uint8_t cls;
    bool guarded, clean; /* clean: in the pool, without pages */
    uint32_t valgrind;   /* its number there */
    int64_t trimmed;     /* since when that park was, after which it was trimmed */
};

/* One cache line is all that a switch touches. */
struct rt_g {
    _Alignas(64) uintptr_t next; /* item; guarded by the queue that holds it */
    void *sp;                    /* while parked or queued after a first run */
    struct rt_stack *stack;      /* NULL: has not run yet */
    struct rt_worker *pin;       /* set when a pinned one starts */
    const char *reason;
    void (*fn)(void *arg);
    union {
        void *arg;     /* until it runs */
        int64_t since; /* when it parked, by rt_state.coarse */
    } u;
    _Atomic uint32_t state; /* enum rt_g_state */
    uint8_t flags;
    _Atomic bool trimming; /* see trim.c */
    /* second line */
    _Alignas(64) const char *name;
    void *errors;
    struct rt_local *locals;
    uint64_t id;           /* of a stand-in: the kernel's thread id */
    _Atomic uint32_t wake; /* futex of a stand-in */
    void *fiber, *fake;    /* of TSan, of ASan */
};
_Static_assert(sizeof(struct rt_g) == 128, "what a goroutine that has not run yet costs");

/* What the context that was left behind wants done once its registers are saved. */
struct rt_after {
    enum { RT_NOTHING, RT_TURN, RT_QUEUE, RT_DROP, RT_COMMIT, RT_BURY } what;
    struct rt_g *g;       /* it; of RT_BURY the one that has ended on the stack that it had */
    struct lock *under;   /* RT_DROP: it parked under that */
    rt_commit_fn *commit; /* RT_COMMIT: false: g is queued again */
    void *arg;
};

/* How thieves stand to a worker's ring and slot: see runq.c. */
enum rt_claim { RT_OWNED, RT_CLAIMED, RT_SHARED };
/* What __cxa_get_globals gives: the exceptions that catch blocks and destructors deal with now. */
struct rt_caught {
    void *exceptions;
    unsigned uncaught;
};

enum rt_status { RT_RUN, RT_STUCK, RT_IDLE, RT_RETIRED };

/* The lines that each switch uses come first. */
struct rt_worker {
    _Alignas(64) struct rt_g *cur; /* or who the switch leads to; NULL: native stack */
    struct rt_after after;
    int *errno_at;            /* of this thread */
    struct rt_caught *caught; /* of this thread, by the C++ runtime; NULL: there is none */
    /* shared: the owner writes, but for limit and claim */
    _Alignas(64) _Atomic uint32_t tail;
    _Atomic uint32_t popping; /* it takes something as one who owns, or unlocks a mutex */
    _Atomic uint32_t claim;   /* enum rt_claim; for who writes it see runq.c */
    _Atomic uint32_t status;  /* enum rt_status */
    _Atomic uintptr_t lifo;
    _Atomic uint64_t tick;  /* one more each time it starts something */
    _Atomic uint64_t limit; /* at this tick it looks around; 0: it is called, see rt_call_worker */
    _Atomic int64_t spawned, ended;
    /* shared: thieves and the owner */
    _Alignas(64) _Atomic uint32_t head;
    struct lock steal_lock;
    _Atomic uint32_t stolen; /* how often; written under steal_lock */
    /* its own */
    _Alignas(64) uint64_t looked; /* the tick at which it has looked around */
    void *native_sp, *native_fake, *native_fiber, *commit_fiber, *seed_fiber;
    char *native_lo;
    size_t native_size;
    uintptr_t held;       /* item that must start from the native stack */
    struct rt_task *task; /* running; NULL after rt_task_exit */
    void *errors;         /* of tasks */
    uint32_t lifo_run, rng, index;
    uint32_t unstolen, seen_stolen; /* pops since, and how often, something was stolen */
    bool searching;                 /* has the one searcher's role */
    bool for_burst;                 /* was woken for one */
    int64_t stole_at;               /* 0, or when it last came to work by a theft */
    struct rt_g *g_cache;
    uint32_t g_cached;
    uint32_t n_stacks[RT_STACK_CLASSES];
    struct rt_stack *stacks[RT_STACK_CLASSES];
    uint64_t id_next, id_end;
    void *altstack;
    _Atomic uint32_t *defers; /* how many wait in this worker's list: see defer.c */
    pthread_t thread;
    /* shared */
    _Atomic uint32_t parked; /* futex: 1 while it sleeps */
    _Atomic uint32_t pinned; /* goroutines that stay here */
    _Atomic uint32_t inbox_len;
    struct lock inbox_lock;
    uintptr_t inbox_head, inbox_tail; /* guarded by inbox_lock */
    struct list idle;                 /* guarded by rt_state.idle_lock */
    struct rt_worker *next_retired;   /* guarded by rt_state.mutex */
    _Atomic bool resumed_only;        /* kept for goroutines that ran before */
    /* sysmon's */
    uint64_t seen_tick;
    int64_t seen_at, seen_cpu;
    bool hog, asleep; /* in the same tick for long: burns CPU; stands still in the kernel */
    int tid;          /* written once, before it is at work */
    _Atomic uintptr_t ring[RT_RING];
};

struct rt_state {
    pthread_mutex_t mutex; /* start, stop, enlisting and retiring workers; held over system calls */
    _Atomic uint32_t running, stopping;
    bool can_claim;    /* set at the start: membarrier works, see runq.c */
    uint32_t cpus;     /* target number of workers that are not stuck */
    _Atomic bool none; /* SENNIT_THREADS_NONE: loop.c is the one worker; set at the start */
    sennit_runtime_options options; /* guarded by mutex until the start */
    struct rt_worker *_Atomic workers[LIMIT_WORKERS];
    _Atomic uint32_t n_workers;
    _Atomic int32_t enlisted, stuck;       /* written under mutex */
    struct rt_worker *retired, *stillborn; /* guarded by mutex */
    uint32_t target;

    struct lock queue_lock; /* global queue */
    uintptr_t queue_head, queue_tail;
    _Atomic uint32_t queue_len;
    _Atomic uint32_t starved; /* goroutines in `starving`, guarded by queue_lock */
    uintptr_t starving;
    uintptr_t fresh_head; /* fresh ones that a resumed_only worker met; guarded by queue_lock */
    _Atomic uint32_t fresh_len;

    struct lock idle_lock;
    struct list idle;                 /* asleep on their futex */
    struct rt_worker *_Atomic poller; /* asleep in epoll */
    _Atomic bool in_epoll;      /* written under idle_lock; stays set until a woken poller is out */
    _Atomic uint32_t n_idle;    /* both kinds */
    _Atomic uint32_t searching; /* 0 or 1 */
    _Atomic int64_t
        rest_until; /* not 0: bursts wake nobody, see worker.c; times out by who looks */

    _Atomic int64_t spawned, ended; /* by no worker */
    _Atomic int64_t coarse;         /* time of a recent look at the clock */
    _Atomic uint64_t ids;
    _Atomic uint32_t sysmon_asleep, sysmon_word;
    pthread_t sysmon;
    bool has_sysmon;
    _Atomic uint32_t mutex_waits; /* see mutex.c */
};
enum { RT_MUTEX_SETTLED = 1, RT_MUTEX_WAIT = 2, RT_MUTEX_ALONE = 1 << 30 /* nobody waits */ };
extern struct rt_state rt_state;

/* -- items ----------------------------------------------------------------------------------- */
static inline uintptr_t rt_item_g(struct rt_g *g) { return (uintptr_t)g; }
static inline uintptr_t rt_item_task(struct rt_task *t) { return (uintptr_t)t | 1; }
static inline bool rt_item_is_task(uintptr_t item) { return item & 1; }
static inline struct rt_task *rt_task_of(uintptr_t item) { return (struct rt_task *)(item - 1); }
static inline struct rt_g *rt_g_of(uintptr_t item) { return (struct rt_g *)item; }
static inline uintptr_t rt_item_next(uintptr_t item)
{
    return rt_item_is_task(item) ? (uintptr_t)rt_task_of(item)->next : rt_g_of(item)->next;
}
static inline void rt_item_link(uintptr_t item, uintptr_t next)
{
    if (rt_item_is_task(item))
        rt_task_of(item)->next = (struct rt_task *)next;
    else
        rt_g_of(item)->next = next;
}
static inline bool rt_item_fresh(uintptr_t item)
{
    return !rt_item_is_task(item) && !rt_g_of(item)->stack;
}
static inline uint8_t rt_g_class(const struct rt_g *g) { return g->flags & RT_GO_SMALL ? 1 : 0; }

static inline void rt_relax(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#else
    __asm__ volatile("yield");
#endif
}

/* -- thread.c -------------------------------------------------------------------------------- */
#if defined(__clang__)
#define RT_OPAQUE __attribute__((noinline, optnone))
#else
#define RT_OPAQUE __attribute__((noipa))
#endif
extern _Thread_local uintptr_t rt_local_word
    __attribute__((tls_model("initial-exec"), visibility("hidden")));
/* See thread.c; read anew at each call. */
#if defined(__x86_64__) && defined(__LP64__)
#define RT_THREAD_WORD_INLINE
static inline uintptr_t rt_thread_word(void)
{
    uintptr_t v;
    __asm__ volatile("movq rt_local_word@gottpoff(%%rip), %0\n\tmovq %%fs:(%0), %0"
                     : "=r"(v)
                     :
                     : "memory");
    return v;
}
#else
uintptr_t rt_thread_word(void);
#endif
static inline struct rt_worker *rt_worker_here(void) /* in a worker */
{
    return (struct rt_worker *)(rt_thread_word() - 1);
}
static inline struct rt_worker *rt_worker(void) /* NULL in other threads */
{
    uintptr_t v = rt_thread_word();
    return v & 1 ? (struct rt_worker *)(v - 1) : NULL;
}
bool rt_is_helper(void); /* the runtime's own thread that is no worker */
void rt_local_worker(struct rt_worker *w);
void rt_local_helper(void);
const void *rt_thread_mark(void);        /* which thread this is, now */
uintptr_t rt_local_swap(uintptr_t word); /* who the thread is from now on; who it was */
struct rt_g *rt_thread_self(void);
void rt_thread_forget(void); /* frees the caller's stand-in */

/* -- g.c ------------------------------------------------------------------------------------- */
enum { RT_IDS = 1024 };                          /* a worker takes so many ids at once */
struct rt_g *rt_g_new_slow(struct rt_worker *w); /* w may be NULL */
static inline struct rt_g *rt_g_new(struct rt_worker *w)
{
    struct rt_g *g = w ? w->g_cache : NULL;
    if (unlikely(!g || w->id_next == w->id_end))
        return rt_g_new_slow(w);
    w->g_cache = rt_g_of(g->next);
    w->g_cached--;
    g->id = w->id_next++;
    return g;
}
void rt_g_free_slow(struct rt_worker *w);
static inline void rt_g_free(struct rt_worker *w, struct rt_g *g)
{
    atomic_store_explicit(&g->state, RT_G_FREE, memory_order_relaxed);
    g->stack = NULL;
    g->sp = NULL;
    g->pin = NULL;
    g->reason = g->name = NULL;
    g->fiber = g->fake = NULL;
    g->next = (uintptr_t)w->g_cache;
    w->g_cache = g;
    if (unlikely(++w->g_cached >= RT_G_CACHE))
        rt_g_free_slow(w);
}
void rt_g_each(void (*fn)(const struct rt_g *g, void *arg), void *arg);
/* The records of the chunk after `chunk` (NULL: the first); NULL: there is none. */
void *rt_g_next_chunk(void *chunk, struct rt_g **gs, int *n);
void rt_g_stop(void);
int64_t rt_g_live(void);

/* -- stack.c --------------------------------------------------------------------------------- */
struct rt_stack *rt_stack_get_slow(unsigned cls);
static inline struct rt_stack *rt_stack_get(struct rt_worker *w, unsigned cls) /* NULL: no memory */
{
    struct rt_stack *s = w->stacks[cls];
    if (unlikely(!s))
        return rt_stack_get_slow(cls);
    w->stacks[cls] = s->next;
    w->n_stacks[cls]--;
    return s;
}
void rt_stack_put_slow(struct rt_stack *s);
static inline void rt_stack_put(struct rt_worker *w, struct rt_stack *s)
{
    unsigned cls = s->cls;
    if (unlikely(SAN_FRESH_STACKS || w->n_stacks[cls] >= RT_STACK_CACHE ||
                 atomic_load_explicit(&rt_state.starved, memory_order_relaxed))) {
        rt_stack_put_slow(s);
        return;
    }
    san_unpoison(s->base, s->size);
    s->next = w->stacks[cls];
    w->stacks[cls] = s;
    w->n_stacks[cls]++;
}
void rt_stack_refill_slow(struct rt_worker *w, unsigned cls);
static inline void rt_stack_refill(struct rt_worker *w, unsigned cls) /* see stack.c */
{
    if (unlikely(!w->stacks[cls]))
        rt_stack_refill_slow(w, cls);
}
void rt_stack_flush(struct rt_worker *w); /* gives its cache back to the pool */
void *rt_stack_frame(struct rt_stack *s); /* touches its end; sp of a context that starts there */
void rt_stack_start(void);
void rt_stack_check(const struct rt_g *g); /* of one without a guard */
void rt_stack_stop(void);
void rt_stack_trim_pool(void);
void rt_stack_counts(int64_t *made, int64_t *unguarded);
bool rt_stack_is_guard(const struct rt_stack *s, const void *addr);
void rt_stack_main(struct rt_stack *s);
/* rt_switch leaves this context for the one that was saved in `to`, rt_switch_fresh for
 * rt_stack_main on a new stack, and rt_switch_last for good. Who calls these calls other functions,
 * too, and so has no red zone. */
#if defined(__x86_64__)
#define RT_SWITCH_CLOBBERS                                                                         \
    "rax", "rbx", "rcx", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15", "xmm0", "xmm1",     \
        "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", \
        "xmm13", "xmm14", "xmm15", "memory", "cc"
__attribute__((always_inline)) static inline void rt_switch(void **save, void *to)
{
    __asm__ volatile("call rt_switch" : "+D"(save), "+S"(to) : : "rdx", RT_SWITCH_CLOBBERS);
}
__attribute__((always_inline)) static inline void rt_switch_fresh(void **save, struct rt_stack *s)
{
    char *end = s->base + s->size - 16;
    __asm__ volatile("call rt_switch_fresh"
                     : "+D"(save), "+S"(end), "+d"(s)
                     :
                     : RT_SWITCH_CLOBBERS);
}
__attribute__((always_inline)) static inline void rt_switch_last(void *to)
{
    __asm__ volatile("movq %0, %%rsp\n\tpopq %%rbp\n\tret" : : "r"(to) : "memory");
    __builtin_unreachable();
}
#else
void rt_context_entry(void);
void rt_switch(void **save, void *to);
static inline void rt_switch_fresh(void **save, struct rt_stack *s)
{
    rt_switch(save, rt_stack_frame(s));
}
static inline void rt_switch_last(void *to)
{
    void *nobody;
    rt_switch(&nobody, to);
    __builtin_unreachable();
}
#endif
void rt_overflow_install(void);
void rt_overflow_report(const struct rt_g *g);
void rt_overflow_thread(struct rt_worker *w); /* per-thread signal stack */
void rt_overflow_thread_end(struct rt_worker *w);
void rt_overflow_remove(void);

/* -- trim.c ---------------------------------------------------------------------------------- */
static inline bool rt_trimming(const struct rt_g *g) /* asked before its stack is switched to */
{
    return unlikely(atomic_load_explicit(&g->trimming, memory_order_acquire));
}
void rt_trim_wait(struct rt_g *g); /* if so */
void rt_trim_start(void);
void rt_trim_arm(void); /* sysmon */
bool rt_trim_armed(void);
void rt_trim_stop(void);

/* -- runq.c; the protocol of what stands here is told there ---------------------------------- */
void rt_ring_push_slow(struct rt_worker *w, uintptr_t item);
/* The owner; overflow goes global. Returns how many are there now, at most. */
static inline uint32_t rt_ring_push(struct rt_worker *w, uintptr_t item)
{
    uint32_t h = atomic_load_explicit(&w->head, memory_order_acquire);
    uint32_t t = atomic_load_explicit(&w->tail, memory_order_relaxed);
    if (unlikely(t - h >= RT_RING)) {
        rt_ring_push_slow(w, item);
        return RT_RING;
    }
    atomic_store_explicit(&w->ring[t % RT_RING], item, memory_order_relaxed);
    atomic_store_explicit(&w->tail, t + 1, memory_order_release);
    return t + 1 - h;
}
uint32_t rt_ring_len(struct rt_worker *w); /* from anywhere, a guess; what a thief may take */
/* Goroutines that will be resumed soon: their records and the tops of their stacks are likely out
 * of the cache. Records are never unmapped, and a prefetch of any address is harmless. */
__attribute__((always_inline)) static inline void rt_prefetch(uintptr_t next, uintptr_t after)
{
    __builtin_prefetch((void *)after);
    const char *sp = rt_item_is_task(next) ? NULL : rt_g_of(next)->sp;
    if (likely(sp != NULL)) {
        __builtin_prefetch(sp);
        __builtin_prefetch(sp + 64);
    }
}
static inline uintptr_t rt_ring_slot(struct rt_worker *w, uint32_t at)
{
    return atomic_load_explicit(&w->ring[at % RT_RING], memory_order_relaxed);
}
/* The owner is about to take something. False: by CAS, as thieves do. */
static inline bool rt_own_begin(struct rt_worker *w)
{
    atomic_store_explicit(&w->popping, 1, memory_order_relaxed);
    asym_light();
    return likely(atomic_load_explicit(&w->claim, memory_order_relaxed) == RT_OWNED);
}
static inline void rt_own_end(struct rt_worker *w)
{
    atomic_store_explicit(&w->popping, 0, memory_order_release);
}
static inline bool rt_lifo_full(const struct rt_worker *w)
{
    return atomic_load_explicit(&w->lifo, memory_order_relaxed) != 0;
}
/* Whether the slot goes first: at most three times in a row while others wait; a pair that hands
 * the worker to and fro must not starve the ring. The owner asks. */
static inline bool rt_lifo_first(const struct rt_worker *w)
{
    return w->lifo_run < 3 || atomic_load_explicit(&w->tail, memory_order_relaxed) ==
                                  atomic_load_explicit(&w->head, memory_order_relaxed);
}
/* The goroutine, if it has run before and its stack is not just being trimmed; else NULL. */
__attribute__((always_inline)) static inline struct rt_g *rt_resumable(uintptr_t item)
{
    struct rt_g *g = rt_g_of(item);
    return unlikely(rt_item_is_task(item) || !g->sp || rt_trimming(g)) ? NULL : g;
}
/* rt_local_pop of such a one from the slot; NULL: nothing has happened. */
__attribute__((always_inline)) static inline struct rt_g *rt_lifo_take(struct rt_worker *w)
{
    struct rt_g *g = NULL;
    if (likely(rt_own_begin(w) && rt_lifo_full(w) && rt_lifo_first(w))) {
        g = rt_resumable(atomic_load_explicit(&w->lifo, memory_order_relaxed));
        if (likely(g != NULL)) {
            atomic_store_explicit(&w->lifo, 0, memory_order_relaxed);
            w->lifo_run++;
        }
    }
    rt_own_end(w);
    return g;
}
/* The owner gives the place to the ring's first and goes to its end, if that one is a goroutine
 * that has run before, and nothing else is to be seen to. After it the caller saves its registers
 * and ends what was begun here: nobody can take it from the ring earlier. NULL: nothing has
 * happened. */
__attribute__((always_inline)) static inline struct rt_g *rt_ring_turn(struct rt_worker *w,
                                                                       const struct rt_g *self)
{
    bool owned = rt_own_begin(w);
    uint32_t h = atomic_load_explicit(&w->head, memory_order_relaxed);
    uint32_t t = atomic_load_explicit(&w->tail, memory_order_relaxed);
    if (unlikely(!owned || h == t || atomic_load_explicit(&w->lifo, memory_order_relaxed)))
        goto none;
    struct rt_g *next = rt_resumable(rt_ring_slot(w, h));
    if (unlikely(!next))
        goto none;
    atomic_store_explicit(&w->ring[t % RT_RING], (uintptr_t)self, memory_order_relaxed);
    atomic_store_explicit(&w->head, h + 1, memory_order_relaxed);
    atomic_store_explicit(&w->tail, t + 1, memory_order_relaxed);
    if (likely(t - h > 4))
        rt_prefetch(rt_ring_slot(w, h + 2), rt_ring_slot(w, h + 4));
    return next;
none:
    rt_own_end(w);
    return NULL;
}
uintptr_t rt_shared_pop(struct rt_worker *w);
/* The owner; 0: none. */
__attribute__((always_inline)) static inline uintptr_t rt_local_pop(struct rt_worker *w)
{
    if (!rt_own_begin(w)) {
        rt_own_end(w);
        return rt_shared_pop(w);
    }
    uintptr_t item = atomic_load_explicit(&w->lifo, memory_order_relaxed);
    uint32_t h = atomic_load_explicit(&w->head, memory_order_relaxed);
    uint32_t n = atomic_load_explicit(&w->tail, memory_order_relaxed) - h;
    if (item && likely(rt_lifo_first(w))) {
        atomic_store_explicit(&w->lifo, 0, memory_order_relaxed);
        w->lifo_run++;
    } else {
        w->lifo_run = 0;
        item = 0;
        if (n > 0) {
            item = rt_ring_slot(w, h);
            atomic_store_explicit(&w->head, h + 1, memory_order_relaxed);
        }
        if (n > 4)
            rt_prefetch(rt_ring_slot(w, h + 2), rt_ring_slot(w, h + 4));
    }
    rt_own_end(w);
    return item;
}
static inline void rt_lifo_fill(struct rt_worker *w, uintptr_t item) /* while it is empty */
{
    atomic_store_explicit(&w->lifo, item, memory_order_release);
}
/* The owner puts an item where it goes first; returns who was there. */
static inline uintptr_t rt_lifo_put(struct rt_worker *w, uintptr_t item)
{
    uintptr_t was = atomic_load_explicit(&w->lifo, memory_order_relaxed);
    if (likely(was == 0)) { /* and stays so: only the owner fills it */
        rt_lifo_fill(w, item);
        return 0;
    }
    if (rt_own_begin(w))
        atomic_store_explicit(&w->lifo, item, memory_order_relaxed); /* rt_own_end releases it */
    else
        was = atomic_exchange_explicit(&w->lifo, item, memory_order_release);
    rt_own_end(w);
    return was;
}
uint32_t rt_local_len(struct rt_worker *w); /* with the LIFO slot */
uintptr_t rt_ring_steal(struct rt_worker *w, struct rt_worker *from);
uintptr_t rt_lifo_steal(struct rt_worker *from);
void rt_global_push(uintptr_t first, uintptr_t last, uint32_t n);
uintptr_t rt_global_pop(struct rt_worker *w);
void rt_inbox_push(struct rt_worker *w, uintptr_t item);
uintptr_t rt_inbox_pop(struct rt_worker *w);
void rt_starve(struct rt_g *g);
void rt_starved_wake(void);
void rt_fresh_hold(struct rt_g *g);
uintptr_t rt_fresh_pop(void);
void rt_queue_reset(void);

/* -- sched.c --------------------------------------------------------------------------------- */
void rt_ready(uintptr_t item, bool hand_off);
#ifdef RT_TSAN
void rt_park_drop(struct lock *l); /* prim.c, where ThreadSanitizer sees it */
#else
static inline void rt_park_drop(struct lock *l) { lock_drop(l, LOCK_PRIM); }
#endif
void rt_run_g(struct rt_worker *w, struct rt_g *g); /* from the native stack; back when it left */

/* -- worker.c -------------------------------------------------------------------------------- */
bool rt_start(void);
void rt_wake_one(void);
void rt_wake_for_burst(void);  /* unless that has been in vain lately */
void rt_rest_end(int64_t now); /* if it is time */
bool rt_wake_poller(void);     /* true: nobody slept in epoll */
void rt_wake_worker(struct rt_worker *w);
enum { RT_ROUNDS = 61 }; /* starts between two looks at timers, poller and global queue */
/* After something was changed that a worker must see to at its next scheduling point: its inbox,
 * its status, rt_state.stopping. Who answers sets the limit, then looks: should that undo the call,
 * it sees what was changed before (a fence on both sides). */
static inline void rt_call_worker(struct rt_worker *w)
{
    atomic_thread_fence(memory_order_seq_cst);
    atomic_store_explicit(&w->limit, 0, memory_order_relaxed);
}
static inline void rt_call_self(struct rt_worker *w) /* w itself: what it has deferred */
{
    atomic_store_explicit(&w->limit, 0, memory_order_relaxed);
}
static inline void rt_call_answer(struct rt_worker *w)
{
    if (likely(atomic_load_explicit(&w->limit, memory_order_relaxed)))
        return;
    atomic_store_explicit(&w->limit, w->looked + RT_ROUNDS, memory_order_relaxed);
    atomic_thread_fence(memory_order_seq_cst);
}
static inline uint64_t rt_tick(const struct rt_worker *w) /* its owner asks */
{
    return atomic_load_explicit(&w->tick, memory_order_relaxed);
}
static inline bool rt_look_due(const struct rt_worker *w)
{
    return rt_tick(w) - w->looked >= RT_ROUNDS;
}
/* It has looked around; unless it was called meanwhile, the next time is RT_ROUNDS starts on. */
static inline void rt_looked(struct rt_worker *w)
{
    uint64_t was = w->looked + RT_ROUNDS;
    w->looked = rt_tick(w);
    atomic_compare_exchange_strong_explicit(&w->limit, &was, w->looked + RT_ROUNDS,
                                            memory_order_relaxed, memory_order_relaxed);
}
bool rt_work_visible(const struct rt_worker *w); /* that w (NULL: any) may take */
bool rt_work_waiting(int64_t now);               /* as sysmon sees it: timers and hand-offs, too */
void rt_mark_unstuck(struct rt_worker *w);
bool rt_mark_stuck(struct rt_worker *w); /* false: it has moved on */
bool rt_enlist(bool resumed_only);       /* one more worker; under rt_state.mutex */
void rt_thread_keep(void);               /* first in threads that user code runs on */
int rt_thread_create(pthread_t *t, void *(*fn)(void *), void *arg, size_t stack); /* 0: default */
bool rt_workers_idle(void);
bool rt_worker_doze(struct rt_worker *w, bool *polls);
void rt_worker_awake(struct rt_worker *w, bool polls);
int64_t rt_idle_limit(void);
uintptr_t rt_worker_look(struct rt_worker *w);
void rt_worker_run(struct rt_worker *w, uintptr_t item);
void rt_worker_bounds(struct rt_worker *w); /* of the calling thread's stack */
void rt_worker_end(struct rt_worker *w);
void rt_poke(_Atomic uint32_t *word); /* stores 0 and wakes the sleeper */

/* -- sysmon.c -------------------------------------------------------------------------------- */
void *rt_sysmon_main(void *arg);
void rt_sysmon_wake(void); /* if asleep */

/* -- task.c ---------------------------------------------------------------------------------- */
void rt_task_run(struct rt_worker *w, struct rt_task *t);

/* -- defer.c --------------------------------------------------------------------------------- */
bool rt_defer_old(struct rt_worker *w);
static inline bool rt_defer_due(struct rt_worker *w) /* the oldest of w's has waited 50 us */
{
    return unlikely(atomic_load_explicit(w->defers, memory_order_relaxed) != 0) && rt_defer_old(w);
}
_Atomic uint32_t *rt_defer_count(unsigned index);
void rt_defer_flush(unsigned index);     /* of the worker with that index */
void rt_defer_flush_old(int64_t before); /* of all workers */
bool rt_defer_pending(unsigned index);
void rt_defer_stop(void);

/* -- timer.c --------------------------------------------------------------------------------- */
int64_t rt_timers_next(void); /* a lower bound; INT64_MAX: none */
void rt_timers_run(int64_t now);
int64_t rt_timers_armed(void);
bool rt_timers_busy(void); /* what was due runs at this moment */
void rt_timers_stop(void);

/* -- mutex.c --------------------------------------------------------------------------------- */
void rt_mutex_calm(void); /* sysmon, each look: nobody waits any more */

/* -- netpoll.c ------------------------------------------------------------------------------- */
int rt_netpoll_open(void);
void rt_netpoll_close(void);
void rt_netpoll_check(void);          /* without waiting */
void rt_netpoll_block(int64_t limit); /* until an event, a wake, the next timer, or limit */
void rt_netpoll_wake(void);
void rt_netpoll_arm(
    int64_t limit); /* the descriptor is readable from the next timer, or limit, on */
int rt_netpoll_fd(void);
void rt_netpoll_timer(int64_t at); /* a timer is due then: wakes a poller that sleeps longer */
int64_t rt_netpoll_last(void);     /* when it was last looked at */
int64_t rt_netpoll_fds(void);

/* -- loop.c -- */
bool rt_loop_wanted(void); /* by option or environment; under rt_state.mutex */
void rt_loop_start(struct rt_worker *w);
void rt_loop_stop(void);
bool rt_loop_mine(void);                   /* the caller is the loop's own thread, outside of it */
void rt_loop_wait(_Atomic uint32_t *word); /* runs the loop until *word is not 0 */
void rt_loop_kick(void);                   /* *word was set */
void rt_loop_turn(void);                   /* runs what can run now, if the caller may */
void rt_host_run(void (*fn)(void *arg), void *arg); /* on the loop's native stack; parks */

/* -- fork.c -- */
bool rt_fork_watch(void);             /* from now on children are told; false: no memory */
void rt_fork_stop(const char *doing); /* in a child: says so and aborts */
bool rt_shadowed(void);               /* true: nothing can run here, and rt_refused tells why */

/* -- held.c ---------------------------------------------------------------------------------- */
#ifdef RT_HELD
void rt_held_check(const struct rt_g *g, const char *doing); /* g is about to park */
#else
static inline void rt_held_check(const struct rt_g *g, const char *doing) { (void)g, (void)doing; }
#endif

/* -- blocking.c ------------------------------------------------------------------------------ */
void rt_blocking_stop(void);
bool rt_blocking_busy(void);

/* -- local.c --------------------------------------------------------------------------------- */
void rt_locals_end(struct rt_g *g); /* in the goroutine itself */

/* -- the error ring of err.c ----------------------------------------------------------------- */
extern void (*rt_errors_free)(void *errors); /* set by err.c; run when a goroutine or thread ends */
void **rt_errors_slot(void);                 /* of the caller; NULL: no memory */

#endif
