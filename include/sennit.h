/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * sennit.h: the whole public surface.
 *
 * Laws
 *  1. sennit_err: NULL is success. An error belongs to the goroutine or thread that received it:
 *     its last 64 stay valid until it ends, whatever context was freed meanwhile. A group copies
 *     what its functions return; sennit_err_copy keeps one longer.
 *  2. What you are handed lives as long as the sennit_ctx you passed; the one exception is stated
 *     in generated headers: a message received on a stream lives until the same goroutine receives
 *     again on that stream, or the stream ends. You free only what *_new or sennit_dial gave you;
 *     every free takes NULL.
 *  3. Any function may block: a goroutine parks, a plain thread sleeps. No init call, no wrapped
 *     main; any thread, C++ or a foreign language may call. What blocks takes a ctx (NULL: no end),
 *     unless its object carries one (stream, group) or the call itself ends what it waits for.
 *  4. Constructors fail late and closed: they always return an object; one that could not be made
 *     whole (no memory, bad target, unreadable key, no credentials named) fails its RPCs, or
 *     sennit_serve, with the reason. Nothing falls back to plain text by itself.
 *  5. A mistake in sharing is reported, never undefined: on a stream the second sender, or
 *     receiver, gets FAILED_PRECONDITION, which names both goroutines, and the rightful one is not
 *     disturbed (table under "streams"). Freeing a context or a connection while others are inside
 *     cancels, waits until they have left, then frees.
 *  6. Received messages are safe to read as they are: an absent sub-message is a static default
 *     instance, an absent string is "" (the encoder treats both, and NULL, as absent; has_x tells);
 *     every decoded string ends in NUL.
 *
 * Options: zero is the default, fields are only appended, and the inlines pass the caller's sizeof
 * (for an array: of its element, too), so old programs run with new libraries and the reverse. What
 * options point to is copied; a self or arg stays yours. */
#ifndef SENNIT_H
#define SENNIT_H

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif

#define SENNIT_VERSION "0.1.0"
#define SENNIT_API __attribute__((visibility("default")))
#define SENNIT_NODISCARD __attribute__((warn_unused_result))
#define SENNIT_PRINTF(f, a) __attribute__((format(printf, f, a)))

/* sennit_auto(sennit_conn) *conn = ...;  frees conn when the scope is left, the last one first. */
#define sennit_auto(T) __attribute__((cleanup(T##_autofree))) T
#define SENNIT_DEFINE_AUTO(T) static inline void T##_autofree(T **p) { T##_free(*p); }

/* A goroutine may change threads in any blocking call, and compilers keep errno's address over it.
 * Here each use asks anew. (Keep no pointer to a _Thread_local over a blocking call either.) */
#if defined(__linux__) && !defined(SENNIT_KEEP_ERRNO)
static inline int *sennit_errno_location(void)
{
    int *(*ask)(void) = __errno_location;
    __asm__ volatile("" : "+r"(ask));
    return ask();
}
#undef errno
#define errno (*sennit_errno_location())
#endif

/* -- strings and arenas ---------------------------------------------------------------------- */

/* Also for bytes. When the library made it, data is not NULL and data[len] is NUL. */
typedef struct sennit_str { const char *data; size_t len; } sennit_str;
static inline sennit_str sennit_s(const char *z)
{
    sennit_str s = { z, z ? strlen(z) : 0 };
    return s;
}

/* Memory that is freed all at once. One that you made is not for two goroutines at once; a
 * context's own one (sennit_ctx_arena) is. */
typedef struct sennit_arena sennit_arena;
/* An empty arena; free it with sennit_arena_free. NULL: no memory. */
SENNIT_API sennit_arena *sennit_arena_new(void);
/* Frees a and all that lives in it; NULL is fine. Not for a context's arena. */
SENNIT_API void sennit_arena_free(sennit_arena *a);
/* size octets, aligned to 8, not zeroed, that live as long as a. NULL: a is NULL, no memory, or
 * over the arena's cap (1 GiB unless sennit_ctx_cap says otherwise). */
SENNIT_API void *sennit_alloc(sennit_arena *a, size_t size);
/* Frees all that lives in a, and keeps a block for what comes next. Not for a context's arena. */
SENNIT_API void sennit_arena_reset(sennit_arena *a);
SENNIT_DEFINE_AUTO(sennit_arena)

/* -- errors ---------------------------------------------------------------------------------- */

typedef enum sennit_code {
    SENNIT_OK, SENNIT_CANCELLED, SENNIT_UNKNOWN, SENNIT_INVALID_ARGUMENT, SENNIT_DEADLINE_EXCEEDED,
    SENNIT_NOT_FOUND, SENNIT_ALREADY_EXISTS, SENNIT_PERMISSION_DENIED, SENNIT_RESOURCE_EXHAUSTED,
    SENNIT_FAILED_PRECONDITION, SENNIT_ABORTED, SENNIT_OUT_OF_RANGE, SENNIT_UNIMPLEMENTED,
    SENNIT_INTERNAL, SENNIT_UNAVAILABLE, SENNIT_DATA_LOSS, SENNIT_UNAUTHENTICATED
} sennit_code;

typedef struct sennit_detail { const char *type_url; sennit_str value; } sennit_detail; /* an Any */
struct sennit_error {
    sennit_code code;
    uint32_t n_details;
    const char *message; /* never NULL */
    const sennit_detail *details;
    uint32_t reason; /* set by the library in errors of its own: see sennit_err_reason */
};
typedef const struct sennit_error *sennit_err; /* NULL is success */

/* Static errors, valid for ever: no memory (RESOURCE_EXHAUSTED), the end of a channel. */
SENNIT_API extern const sennit_err sennit_no_memory;
SENNIT_API extern const sennit_err sennit_closed;
/* An error for the calling goroutine or thread (law 1): code is not OK; the text, at most 4 KiB, is
 * copied. Returned from a handler it is the status of the RPC. sennit_no_memory without memory. */
SENNIT_API sennit_err sennit_errorf(sennit_code code, const char *fmt, ...) SENNIT_PRINTF(2, 3);
/* err with one more detail (a google.protobuf.Any; both parts are copied): a new error of the
 * caller. Sent in grpc-status-details-bin when a handler returns it. */
SENNIT_API sennit_err sennit_err_detail(sennit_err err, const char *type_url, sennit_str value);
/* A copy that lives as long as a; NULL a: an error of the calling goroutine. NULL err gives NULL;
 * without memory it is sennit_no_memory. */
SENNIT_API sennit_err sennit_err_copy(sennit_arena *a, sennit_err err);
/* "rpc error: code = Unavailable desc = ...", as grpc-go prints it; valid as long as an error that
 * the caller received now. Never NULL. */
SENNIT_API const char *sennit_err_text(sennit_err err);
/* Of an error that the library made itself: "SENNIT-E202", a name that stays (doc/errors.md has
 * them all), and what to do about it. "" for errors of users and statuses of the peer. Static. */
SENNIT_API const char *sennit_err_reason(sennit_err err);
SENNIT_API const char *sennit_err_hint(sennit_err err);

/* -- contexts: deadline, cancellation, values, metadata, arena ------------------------------- */

#define SENNIT_MILLISECOND INT64_C(1000000)
#define SENNIT_SECOND INT64_C(1000000000)
typedef int64_t sennit_duration; /* nanoseconds */
/* Monotonic time in nanoseconds; what deadlines and timers are measured by. */
SENNIT_API int64_t sennit_now(void);

/* All calls on a context are safe for any number of goroutines and threads, but for reset and
 * free, which wait until the others have left. parent may be NULL (no parent) and must outlive the
 * child. */
typedef struct sennit_ctx sennit_ctx;
/* A context without a deadline of its own; free it. Without memory: a static one that has ended
 * with RESOURCE_EXHAUSTED (free it all the same). */
SENNIT_API sennit_ctx *sennit_ctx_new(sennit_ctx *parent);
/* Ends timeout nanoseconds from now with DEADLINE_EXCEEDED, or with its parent if that is
 * earlier. */
SENNIT_API sennit_ctx *sennit_ctx_timeout(sennit_ctx *parent, sennit_duration timeout);
/* Ends ctx and its children with CANCELLED and wakes all who wait in them. Again: no effect. */
SENNIT_API void sennit_ctx_cancel(sennit_ctx *ctx);
/* NULL while ctx has not ended; else CANCELLED or DEADLINE_EXCEEDED, static. NULL ctx: NULL. */
SENNIT_API sennit_err sennit_ctx_error(sennit_ctx *ctx);
/* When it ends, by sennit_now; INT64_MAX: no deadline. */
SENNIT_API int64_t sennit_ctx_deadline(sennit_ctx *ctx);
/* A value under the address key; the value stays yours. Without memory it is not kept. */
SENNIT_API void sennit_ctx_set(sennit_ctx *ctx, const void *key, void *value);
/* The value of ctx or of its nearest parent that has one; NULL: none. */
SENNIT_API void *sennit_ctx_get(sennit_ctx *ctx, const void *key);
/* At most so many octets in its arena; 1 GiB when never called. */
SENNIT_API void sennit_ctx_cap(sennit_ctx *ctx, size_t bytes);
/* The arena of what ctx hands out: yours to allocate from, from any goroutine. */
SENNIT_API sennit_arena *sennit_ctx_arena(sennit_ctx *ctx);
/* Frees all that lives in ctx (replies, metadata, streams) and begins anew, timeout nanoseconds
 * from now (INT64_MAX: no deadline): for a loop of calls. Waits for those who are inside. */
SENNIT_API void sennit_ctx_reset(sennit_ctx *ctx, sennit_duration timeout);
/* Cancels, waits until all have left, frees ctx and all that lives in it. NULL is fine. */
SENNIT_API void sennit_ctx_free(sennit_ctx *ctx);
/* Text that lives as long as ctx. Without memory it is "" (and sennit_alloc would give NULL). */
SENNIT_API sennit_str sennit_printf(sennit_ctx *ctx, const char *fmt, ...) SENNIT_PRINTF(2, 3);
SENNIT_DEFINE_AUTO(sennit_ctx)

/* -- metadata -------------------------------------------------------------------------------- */

/* Keys in order, each as often as it was added; a key that ends in "-bin" has any bytes as value.
 * What came in and what goes out are apart: nothing is forwarded by itself. */
typedef struct sennit_md sennit_md;
/* An empty list that lives as long as ctx, for sennit_call_options.metadata. NULL: no memory. */
SENNIT_API sennit_md *sennit_md_make(sennit_ctx *ctx);
/* The list that every call with ctx or a child of it sends; fill it before the calls start. */
SENNIT_API sennit_md *sennit_md_out(sennit_ctx *ctx);
/* In a handler: what the client sent (NULL: nothing); lives as long as ctx. */
SENNIT_API const sennit_md *sennit_md_in(sennit_ctx *ctx);
/* Appends; key (0-9 a-z _ - . and not "grpc-..." or one of HTTP's, as "content-type", "te",
 * "user-agent", "host") and value are copied. A value is printable ASCII unless the key ends in
 * "-bin". INVALID_ARGUMENT says what is wrong; NULL md: RESOURCE_EXHAUSTED. */
SENNIT_API sennit_err sennit_md_add(sennit_md *md, const char *key, sennit_str value);
/* The nth (from 0) value of key, or NULL. md may be NULL. */
SENNIT_API const sennit_str *sennit_md_get(const sennit_md *md, const char *key, size_t nth);
/* The nth pair, in order, or NULL at the end: *key (may be NULL) and the value. */
SENNIT_API const sennit_str *sennit_md_at(const sennit_md *md, size_t nth, const char **key);

/* In a handler, with its ctx (or a child), from any goroutine. Headers go out with send_header or
 * the first message; after that set_header and send_header fail with FAILED_PRECONDITION. Trailers
 * go with the status. Keys and values as for sennit_md_add. */
SENNIT_API sennit_err sennit_set_header(sennit_ctx *ctx, const char *key, sennit_str value);
SENNIT_API sennit_err sennit_send_header(sennit_ctx *ctx);
SENNIT_API sennit_err sennit_set_trailer(sennit_ctx *ctx, const char *key, sennit_str value);

/* -- goroutines ------------------------------------------------------------------------------ */

typedef struct sennit_go_options {
    const char *name; /* shown in errors and dumps; must outlive the goroutine */
    bool small_stack; /* 64 KiB instead of 256 */
    bool pin;         /* stays on the thread where it started */
} sennit_go_options;
typedef sennit_err (*sennit_fn)(void *arg);
SENNIT_API sennit_err sennit_go_sized(const sennit_go_options *o, size_t size, void (*fn)(void *),
                                      void *arg);
/* Runs fn(arg) in a new goroutine. From any goroutine or thread; arg stays yours and must live
 * until fn is done with it (a group knows when). RESOURCE_EXHAUSTED: no memory, fn will not run.
 * In a goroutine keep no address of a thread-local over a call that may block, unless it is pinned;
 * longjmp within it only; its code must stay loaded (RTLD_NODELETE). pthread_cancel of the
 * library's threads has no effect: cancel contexts. */
static inline sennit_err sennit_go(void (*fn)(void *arg), void *arg)
{
    return sennit_go_sized(NULL, 0, fn, arg);
}
static inline sennit_err sennit_go_with(const sennit_go_options *o, void (*fn)(void *), void *arg)
{
    return sennit_go_sized(o, sizeof *o, fn, arg);
}
/* Waits d nanoseconds (NULL), or until ctx ends (its error). */
SENNIT_API sennit_err sennit_sleep(sennit_ctx *ctx, sennit_duration d);
/* Lets the other runnable goroutines of this worker go first. In a plain thread: no effect, but in
 * the loop's own (SENNIT_THREADS_NONE) a turn of the loop. */
SENNIT_API void sennit_yield(void);

/* Of the calling goroutine (a plain thread has them, too). The id is never used again. */
SENNIT_API uint64_t sennit_goroutine_id(void);
SENNIT_API const char *sennit_goroutine_name(void); /* never NULL */
/* name must outlive the goroutine; NULL: none. A handler's is its method. */
SENNIT_API void sennit_goroutine_set_name(const char *name);
/* From lock to unlock, or to its end, the goroutine stays on the thread where it is, which others
 * use, too, while it waits (so it must not wait while it holds what blocks them, as a pthread
 * mutex). Not counted. In a plain thread: no effect. */
SENNIT_API void sennit_lock_thread(void);
SENNIT_API void sennit_unlock_thread(void);

/* A value of each goroutine and plain thread, as _Thread_local would be if goroutines did not
 * change threads. The key is static; destroy (may be NULL) gets values that are not NULL when their
 * goroutine, or thread, ends. */
typedef struct sennit_goroutine_local { void (*destroy)(void *value); } sennit_goroutine_local;
SENNIT_API void *sennit_goroutine_get(const sennit_goroutine_local *key); /* NULL: never set */
/* sennit_no_memory: not set. */
SENNIT_API sennit_err sennit_goroutine_set(const sennit_goroutine_local *key, void *value);

/* Structured: no goroutine outlives its group. The group's ctx is a child of ctx that the first
 * error cancels, and sennit_group_free. A group_go that fails is such an error. Declare what the
 * functions use before a sennit_auto group: what is declared after it ends before it. */
typedef struct sennit_group sennit_group;
/* ctx may be NULL. Without memory: a static group whose calls give RESOURCE_EXHAUSTED. */
SENNIT_API sennit_group *sennit_group_new(sennit_ctx *ctx);
/* The child context that the group's functions should use; lives as long as the group. */
SENNIT_API sennit_ctx *sennit_group_ctx(sennit_group *g);
/* Runs fn(arg) in a goroutine of the group; from any goroutine until wait returns. */
SENNIT_API sennit_err sennit_group_go(sennit_group *g, sennit_fn fn, void *arg);
/* Waits for all; the first error, as the caller's own. */
SENNIT_API sennit_err sennit_group_wait(sennit_group *g) SENNIT_NODISCARD;
/* Cancels the group's context, waits for all, frees. NULL is fine. */
SENNIT_API void sennit_group_free(sennit_group *g);
SENNIT_DEFINE_AUTO(sennit_group)

/* For goroutines and threads alike; {0} is unlocked; nothing to free. Not recursive. */
typedef struct sennit_mutex { uintptr_t opaque[2]; } sennit_mutex;
/* NULL: locked. Else ctx's error, and not locked; with a NULL ctx it cannot fail. */
SENNIT_API sennit_err sennit_mutex_lock(sennit_mutex *m, sennit_ctx *ctx);
SENNIT_API void sennit_mutex_unlock(sennit_mutex *m);

/* {0} has no waiters; nothing to free. */
typedef struct sennit_cond { uintptr_t opaque[3]; } sennit_cond;
/* Waits with m unlocked and locks it again, also when it returns ctx's error. */
SENNIT_API sennit_err sennit_cond_wait(sennit_cond *c, sennit_mutex *m, sennit_ctx *ctx);
SENNIT_API void sennit_cond_signal(sennit_cond *c);    /* wakes one */
SENNIT_API void sennit_cond_broadcast(sennit_cond *c); /* wakes all */

/* Many readers or one writer; in the order of their coming. {0} is unlocked; nothing to free. Not
 * recursive: a reader that reads again deadlocks once a writer waits. */
typedef struct sennit_rwmutex { uintptr_t opaque[2]; } sennit_rwmutex;
SENNIT_API sennit_err sennit_rwmutex_lock(sennit_rwmutex *m, sennit_ctx *ctx);  /* to write */
SENNIT_API sennit_err sennit_rwmutex_rlock(sennit_rwmutex *m, sennit_ctx *ctx); /* to read */
SENNIT_API void sennit_rwmutex_unlock(sennit_rwmutex *m);
SENNIT_API void sennit_rwmutex_runlock(sennit_rwmutex *m);

/* Permits; {0} has none: release some first. Acquired in the order of coming. */
typedef struct sennit_semaphore { uintptr_t opaque[3]; } sennit_semaphore;
/* Takes one permit. Else ctx's error, and none is taken. */
SENNIT_API sennit_err sennit_semaphore_acquire(sennit_semaphore *s, sennit_ctx *ctx);
SENNIT_API bool sennit_semaphore_try(sennit_semaphore *s); /* true: taken */
SENNIT_API void sennit_semaphore_release(sennit_semaphore *s, uint32_t n);

/* {0} has not run. */
typedef struct sennit_once { uintptr_t opaque[3]; } sennit_once;
/* The first caller runs fn(arg), which may block; the others return when it has returned. */
SENNIT_API void sennit_once_do(sennit_once *o, void (*fn)(void *arg), void *arg);

/* Counts work: add before it starts, done when it ends, wait until none is left. {0} is at zero. */
typedef struct sennit_wait_group { uintptr_t opaque[3]; } sennit_wait_group;
SENNIT_API void sennit_wait_group_add(sennit_wait_group *g, int n);
SENNIT_API void sennit_wait_group_done(sennit_wait_group *g);
SENNIT_API sennit_err sennit_wait_group_wait(sennit_wait_group *g, sennit_ctx *ctx);

/* Channels of elements of elem_size octets; capacity 0: each send meets a receive. Any number of
 * senders and receivers, goroutines and threads. */
typedef struct sennit_chan sennit_chan;
/* Free it. Without memory NULL, which the other calls take as a closed channel. */
SENNIT_API sennit_chan *sennit_chan_new(size_t elem_size, size_t capacity);
/* Copies elem in. sennit_closed: closed; ctx's error: it ended first. */
SENNIT_API sennit_err sennit_chan_send(sennit_chan *c, sennit_ctx *ctx, const void *elem);
/* Copies the oldest element out. sennit_closed: closed and drained; ctx's error: it ended first. */
SENNIT_API sennit_err sennit_chan_recv(sennit_chan *c, sennit_ctx *ctx, void *elem);
/* No more sends; what is inside can still be received. sennit_closed: it was closed before. */
SENNIT_API sennit_err sennit_chan_close(sennit_chan *c);
/* Closes, waits until those inside have left, frees. NULL is fine. */
SENNIT_API void sennit_chan_free(sennit_chan *c);
SENNIT_DEFINE_AUTO(sennit_chan)

typedef enum sennit_case_kind {
    SENNIT_CASE_OFF, SENNIT_CASE_RECV, SENNIT_CASE_SEND, SENNIT_CASE_TIMER, SENNIT_CASE_CTX,
    SENNIT_CASE_READABLE, SENNIT_CASE_WRITABLE
} sennit_case_kind;
typedef struct sennit_case {
    sennit_case_kind kind;
    int fd;            /* READABLE, WRITABLE */
    sennit_chan *chan; /* RECV into recv, SEND from send */
    void *recv;
    const void *send;
    int64_t at;      /* TIMER: by sennit_now */
    sennit_ctx *ctx; /* CTX: has ended */
    bool ok;         /* set for the chosen case; false: the channel is closed */
} sennit_case;
/* Waits until one case can go on, does it, and returns its index; -1 once ctx has ended. */
SENNIT_API int sennit_select_sized(sennit_ctx *ctx, sennit_case *cases, int n, size_t stride);
static inline int sennit_select(sennit_ctx *ctx, sennit_case *cases, int n)
{
    return sennit_select_sized(ctx, cases, n, sizeof *cases);
}

/* Calls fn(arg), in a goroutine of its own, once a time has come. {0} is stopped; nothing to free
 * but what fn uses. set and stop of one timer: by one goroutine or thread at a time. */
typedef struct sennit_timer { uintptr_t opaque[8]; } sennit_timer;
/* At `at`, by sennit_now; one that was set is moved. Never early. */
SENNIT_API void sennit_timer_set(sennit_timer *t, int64_t at, void (*fn)(void *arg), void *arg);
/* d nanoseconds from now; of a second and more it may be a hundredth late. */
SENNIT_API void sennit_timer_after(sennit_timer *t, sennit_duration d, void (*fn)(void *arg),
                                   void *arg);
/* True: it was set, and fn will not run. False: fn has begun, or it was not set. */
SENNIT_API bool sennit_timer_stop(sennit_timer *t);

/* A descriptor that goroutines wait on: a socket, a pipe, an eventfd; not a regular file (see
 * sennit_blocking). One goroutine may read while another writes; of two that wait for the same the
 * second gets FAILED_PRECONDITION. System errors are RESOURCE_EXHAUSTED, PERMISSION_DENIED,
 * FAILED_PRECONDITION or UNAVAILABLE, with the system's text. */
typedef struct sennit_fd sennit_fd;
struct sockaddr;
/* Owns fd from now on and makes it non-blocking. Always an object (law 4): free it. */
SENNIT_API sennit_fd *sennit_fd_new(int fd);
/* -1: it could not be made. Stays f's. */
SENNIT_API int sennit_fd_number(const sennit_fd *f);
/* At least one octet, at most size; *got 0: the end. */
SENNIT_API sennit_err sennit_fd_read(sennit_fd *f, sennit_ctx *ctx, void *buf, size_t size,
                                     size_t *got);
/* All size octets; after an error some may have gone. */
SENNIT_API sennit_err sennit_fd_write(sennit_fd *f, sennit_ctx *ctx, const void *buf, size_t size);
/* *conn: free it; NULL with an error. */
SENNIT_API sennit_err sennit_fd_accept(sennit_fd *f, sennit_ctx *ctx, sennit_fd **conn);
/* Once for each socket; size octets at to. */
SENNIT_API sennit_err sennit_fd_connect(sennit_fd *f, sennit_ctx *ctx, const struct sockaddr *to,
                                        size_t size);
/* Until a read (or a write) would not wait. */
SENNIT_API sennit_err sennit_fd_wait(sennit_fd *f, sennit_ctx *ctx, bool writable);
/* Those inside get FAILED_PRECONDITION; waits until they have left, closes, frees. NULL is fine. */
SENNIT_API void sennit_fd_free(sennit_fd *f);
SENNIT_DEFINE_AUTO(sennit_fd)

/* Waits for one of signals (0 ends the list) and returns its number; 0 once ctx has ended, or
 * without memory or descriptors. The signals' handlers are ours meanwhile and put back when the
 * last waiter leaves. */
SENNIT_API int sennit_signal_wait(sennit_ctx *ctx, const int *signals);

/* Runs fn(arg) on a thread of its own, where it may block or use a deep stack, and parks the
 * goroutine meanwhile; what fn returns. ctx: its end before fn has started gives its error. */
SENNIT_API sennit_err sennit_blocking(sennit_ctx *ctx, sennit_fn fn, void *arg);
/* Around a stretch of the goroutine's own code that blocks its thread: others go on elsewhere.
 * Without them that is noticed after a millisecond. */
SENNIT_API void sennit_blocking_begin(void);
SENNIT_API void sennit_blocking_end(void);

/* Writes to fd: all goroutines with name, state, what each waits for and for how long (by a clock
 * that may be late), and where it stands. Nothing is stopped, so it is a picture with blurs. */
SENNIT_API void sennit_dump(int fd);
/* From now on the signal (SIGQUIT, say) writes a dump to stderr. For good. */
SENNIT_API sennit_err sennit_dump_on_signal(int signal);
typedef struct sennit_stats {
    int64_t goroutines, waiting;    /* that live; of these */
    int64_t spawned;                /* since the start */
    int64_t workers, spare_workers; /* threads; beside ones that are stuck */
    int64_t timers, fds;            /* armed; registered */
    int64_t stacks, unguarded_stacks; /* made; without a guard below, for want of mappings */
    int64_t handshakes, failed_handshakes; /* of TLS, on either side: done; failed */
} sennit_stats;
SENNIT_API void sennit_stats_sized(sennit_stats *out, size_t size);
static inline void sennit_get_stats(sennit_stats *out) { sennit_stats_sized(out, sizeof *out); }

/* -- embedding ------------------------------------------------------------------------------- */

typedef struct sennit_runtime_options {
    int threads; /* 0: one a CPU; else so many; SENNIT_THREADS_NONE: all runs in sennit_loop_run */
    bool keep_sigsegv; /* do not report stack overflows, even where SIG_DFL stood */
} sennit_runtime_options;
#define SENNIT_THREADS_NONE (-1) /* no thread is ever made; see sennit_loop_run */
/* How goroutines run. Before the first use of anything else, or FAILED_PRECONDITION. With
 * SENNIT_THREADS_NONE the caller is the loop's own thread. Nothing starts before first use, so a
 * fork is fine until then; in the child of a process that used the library only exec and exit are:
 * other calls fail with FAILED_PRECONDITION, and waiting ends the child with a message. */
SENNIT_API sennit_err sennit_runtime_sized(const sennit_runtime_options *o, size_t size);
static inline SENNIT_NODISCARD sennit_err sennit_runtime(const sennit_runtime_options *o)
{
    return sennit_runtime_sized(o, sizeof *o);
}
/* With SENNIT_THREADS_NONE: one descriptor to poll for reading beside your own; readable when
 * sennit_loop_run has something to do, timers included. Ours: do not read or close it. -1: no
 * memory or descriptors, or another mode. */
SENNIT_API int sennit_loop_fd(void);
/* Runs what can run for about budget nanoseconds (0: one piece) and never waits. True: work is left
 * (the descriptor is readable then, too). By the loop's own thread alone, outside of goroutines:
 * anything else ends the process with a message. Goroutines, handlers, timers and I/O run nowhere
 * else, but when that thread waits in another call of the library: then the loop runs inside of it.
 * Other threads may call and wait all the time. Looking a name up, sennit_blocking and
 * sennit_on_host hold up the loop: give numeric addresses where that hurts. False in other modes.
 */
SENNIT_API bool sennit_loop_run(sennit_duration budget);
/* Parks the goroutine and runs fn(arg) on the native stack of the loop's own thread, for hosts that
 * look at the stack or have data of that thread alone; what fn returns. fn must not leave by
 * longjmp. From that thread itself: a plain call. FAILED_PRECONDITION in other modes. */
SENNIT_API sennit_err sennit_on_host(sennit_fn fn, void *arg);

/* -- generated tables ------------------------------------------------------------------------ */

#include "sennit_tables.h"

/* -- credentials, interceptors --------------------------------------------------------------- */

/* Credentials say how a connection is secured. They must be named; nothing falls back to plain
 * text. */
typedef struct sennit_creds sennit_creds;
/* Plain text. Static: free has no effect. */
SENNIT_API const sennit_creds *sennit_insecure(void);
/* Plain text between two programs of one machine: a unix socket (sennit_peer then names the peer's
 * process and user) or loopback; any other address is refused. Static, as above. */
SENNIT_API const sennit_creds *sennit_local(void);
/* TLS 1.2 or 1.3 with ALPN "h2", in a library of its own (link sennit_tls, pkg-config sennit_tls).
 * One object serves clients and servers. Files and texts are PEM; a text wins over a file. Without
 * a CA a client trusts the system's roots. */
typedef struct sennit_tls_options {
    const char *ca_file;             /* whom to trust; on a server: for clients' certificates */
    const char *cert_file, *key_file; /* own chain, leaf first, and its key (not encrypted) */
    const char *server_name; /* client: whom to expect, and :authority, instead of the target's */
    sennit_str ca_pem, cert_pem, key_pem; /* the same from memory; data NULL: none */
    int client_cert; /* server: 1 required, 2 asked for and verified if sent, -1 not asked for;
                        0: required if a CA is named, else not asked for */
    bool tls13_only;
    bool no_resumption;    /* each handshake is a full one */
    size_t max_record_size; /* octets of plain text, 512 to 16384; 0: 16384 */
    sennit_duration reload_interval; /* looks at the files again, at a handshake, when they were
                                        last looked at so long ago; 0: only sennit_tls_reload */
    const char *key_log_file; /* appends each connection's secrets for Wireshark: who reads that
                                 file reads all */
} sennit_tls_options;
/* Always an object (law 4); what is wrong with files and texts comes out where it is used. Reads
 * them when a connection or server is made with it. Free it with sennit_creds_free. */
SENNIT_API sennit_creds *sennit_tls_new_sized(const sennit_tls_options *o, size_t size);
/* Reads the files again: new connections use what is there now, on either side; those that stand
 * go on. On error (half-written, unreadable, key and certificate do not match) nothing changes. */
SENNIT_API sennit_err sennit_tls_reload(sennit_creds *c);
static inline sennit_creds *sennit_tls_new(const sennit_tls_options *o)
{
    return sennit_tls_new_sized(o, sizeof *o);
}
/* Drops your hold: connections and servers have their own. NULL is fine. */
SENNIT_API void sennit_creds_free(sennit_creds *c);
SENNIT_DEFINE_AUTO(sennit_creds)

/* Adds to each call's metadata, by sennit_md_add, in the caller's goroutine (it may park), once for
 * each attempt; an error is the call's. On a connection that is not secure (neither TLS nor local
 * over a unix socket) it does not run and the call fails with UNAUTHENTICATED; sennit_dial with
 * insecure credentials refuses it. The struct is copied; self must outlive the connection, or the
 * call. */
typedef struct sennit_call_creds { /* two fields for ever */
    void *self;
    sennit_err (*add)(void *self, sennit_ctx *ctx, const sennit_method *method, sennit_md *md);
} sennit_call_creds;
/* For add: "authorization: Bearer" with the token that self is (a const char *), or that stands in
 * the file that self names (read for each call, at most 8 KiB, white space at its end dropped). */
SENNIT_API sennit_err sennit_bearer(void *self, sennit_ctx *ctx, const sennit_method *method,
                                    sennit_md *md);
SENNIT_API sennit_err sennit_bearer_file(void *self, sennit_ctx *ctx, const sennit_method *method,
                                         sennit_md *md);
/* Around each RPC, on either side, in its goroutine; the first of an array is the outermost. What
 * comes further in, at last the handler or the call itself, is next's: it may be called not at all
 * (the error that is returned is the RPC's status), or again (a retry; *reply is set anew). */
typedef struct sennit_next sennit_next;
/* ctx: the one that was given, or a child of it, which must then live as long as the RPC. A stream
 * has no request nor reply: pass NULL. */
SENNIT_API sennit_err sennit_next_call(sennit_next *next, sennit_ctx *ctx, const void *request,
                                       void *reply);
/* unary: for methods without a stream; stream: for the others. NULL: these pass by. On a client
 * `stream` surrounds the start of the stream, on a server the whole handler. */
typedef struct sennit_interceptor {
    void *self;
    sennit_err (*unary)(void *self, sennit_ctx *ctx, const sennit_method *method,
                        const void *request, void *reply, sennit_next *next);
    sennit_err (*stream)(void *self, sennit_ctx *ctx, const sennit_method *method,
                         sennit_next *next);
} sennit_interceptor;

/* How messages are compressed, under the name that grpc-encoding has. "gzip" and "deflate" are
 * there; sennit_zstd_register adds "zstd". Both functions put their result into a and may be called
 * from any goroutine; the library checks names and limits. */
typedef struct sennit_compressor {
    const char *name; /* must live for ever */
    void *self;
    sennit_err (*compress)(void *self, sennit_arena *a, sennit_str from, sennit_str *to);
    /* More than most octets: RESOURCE_EXHAUSTED, at the first one too many. to->data[to->len] must
     * be there to be written to. */
    sennit_err (*decompress)(void *self, sennit_arena *a, sennit_str from, size_t most,
                             sennit_str *to);
} sennit_compressor;
/* Before the first connection and server, for the life of the program. ALREADY_EXISTS: the name is
 * taken. */
SENNIT_API sennit_err sennit_compressor_register_sized(const sennit_compressor *c, size_t size);
static inline sennit_err sennit_compressor_register(const sennit_compressor *c)
{
    return sennit_compressor_register_sized(c, sizeof *c);
}
/* The same for "zstd", in a library of its own (link sennit_zstd, pkg-config sennit_zstd). */
SENNIT_API sennit_err sennit_zstd_register(void);

typedef struct sennit_peer {
    const char *address, *local_address; /* "127.0.0.1:50051", "unix:/run/x" */
    const char *auth_type;               /* "insecure", "local", "tls" */
    const char *identity; /* what was verified: "uid:1000" (local), or of the certificate its first
                             URI, DNS name or else common name (tls); "": nothing */
    const char *subject;  /* tls, of a verified certificate: "CN=a,O=b" (RFC 2253); "": none */
    const char *const *names; /* its subject alternative names, as "DNS:a.b", "URI:spiffe://a/b", */
    size_t n_names;           /* "IP:127.0.0.1", "email:a@b" */
    const sennit_str *chain;  /* what the peer sent, in DER, its own certificate first; when a */
    size_t n_chain;           /* session was resumed that one alone */
    const char *protocol, *cipher; /* tls: "TLSv1.3", "TLS_AES_128_GCM_SHA256"; "": plain text */
    int64_t pid, uid, gid;         /* local, of a unix socket's peer; else -1 */
} sennit_peer;

#include "sennit_observe.h"

/* -- connections and calls ------------------------------------------------------------------- */

typedef struct sennit_conn sennit_conn; /* shared by any number of goroutines and clients */
/* Connects in the library's place: target is what sennit_dial was given. Runs in a goroutine of
 * the channel, for each attempt; ctx ends with it, or after 20 s. A connected stream socket, which
 * the channel then owns, or -errno. Credentials secure what it gives as they do ours. */
typedef struct sennit_dialer { /* two fields for ever */
    void *self;
    int (*dial)(void *self, sennit_ctx *ctx, const char *target);
} sennit_dialer;
typedef struct sennit_conn_options {
    const sennit_creds *creds; /* must be named */
    const sennit_call_creds *call_creds;
    const sennit_interceptor *interceptors;
    size_t n_interceptors;
    const char *service_config_json;
    const char *authority, *user_agent;
    const char *compressor;                      /* for what is sent: "gzip" */
    size_t max_recv_msg_size, max_send_msg_size; /* bytes; 0: 4 MiB, and no limit */
    size_t max_header_list_size;                 /* 0: 16 KiB */
    /* A PING when nothing has come for keepalive_time (0: never), and the end of the connection
     * (UNAVAILABLE) when nothing comes for keepalive_timeout (0: 20 s) after it. Servers permit one
     * in 5 minutes unless told otherwise, and end connections that ask more often; the time is
     * doubled then. */
    sennit_duration keepalive_time, keepalive_timeout;
    bool keepalive_without_calls; /* also while no RPC runs */
    const sennit_dialer *dialer; /* copied; NULL: ours */
    bool no_proxy;               /* the environment's is not used */
    /* Bytes that the server may send ahead, of each stream and of the connection; at least 64 KiB.
     * 0: 128 KiB and 1 MiB, which grow with the measured bandwidth and delay; else they stay. */
    size_t initial_window_size, initial_conn_window_size;
    uint32_t abuse_budget; /* useless frames borne at once; 0: 1000; SENNIT_UNLIMITED */
    const sennit_stats_hook *stats;
} sennit_conn_options;
/* Makes a connection object; no I/O before the first RPC. target: "host:port",
 * "dns:///host:port", "ipv4:a:p", "ipv6:[a]:p", "unix:/path", "unix-abstract:name",
 * "vsock:cid:port". Hosts but this one are reached through the HTTP CONNECT proxy that https_proxy
 * (first grpc_proxy, then HTTPS_PROXY) names, "http://user:password@host:port", if no_proxy or
 * NO_PROXY does not exempt them. Always an object (law 4): free it. */
SENNIT_API sennit_conn *sennit_dial_sized(const char *target, const sennit_conn_options *o,
                                          size_t size, size_t interceptor_stride);
/* Connects, if need be, and waits until the server has answered or ctx has ended. */
SENNIT_API sennit_err sennit_conn_ready(sennit_conn *c, sennit_ctx *ctx);
/* Ends all its RPCs with CANCELLED, waits until their callers have left, frees. NULL is fine. */
SENNIT_API void sennit_conn_free(sennit_conn *c);
static inline sennit_conn *sennit_dial(const char *target, const sennit_conn_options *o)
{
    return sennit_dial_sized(target, o, sizeof *o, sizeof(sennit_interceptor));
}
SENNIT_DEFINE_AUTO(sennit_conn)

/* For the generated X_with. Header, trailer and peer are set when the call returns, for a stream
 * when finish does; all three live as long as ctx. */
typedef struct sennit_call_options {
    const sennit_md *metadata; /* sent after the context's own */
    const sennit_md **header, **trailer;
    const sennit_peer **peer;
    int wait_for_ready; /* 1: yes, -1: no, 0: as the service config says */
    const sennit_call_creds *credentials;
    const char *authority;
    const char *compressor;                      /* "identity": none */
    size_t max_recv_msg_size, max_send_msg_size; /* 0: as the connection; lower wins */
    size_t max_retry_buffer_size;                /* 0: 256 KiB */
} sennit_call_options;

/* -- servers --------------------------------------------------------------------------------- */

typedef struct sennit_server sennit_server;
/* Handles every method that no service has, as a stream of raw messages both ways:
 * sennit_handler_method tells which, sennit_recv returns const sennit_raw *, sennit_send takes
 * one. */
typedef struct sennit_unknown { /* two fields for ever */
    void *self;
    sennit_err (*handle)(void *self, sennit_ctx *ctx, sennit_stream *stream);
} sennit_unknown;
#define SENNIT_UNLIMITED UINT32_MAX
typedef struct sennit_server_options {
    const sennit_creds *creds; /* must be named */
    const sennit_interceptor *interceptors;
    size_t n_interceptors;
    size_t max_recv_msg_size, max_send_msg_size; /* bytes; 0: 4 MiB, and no limit */
    size_t max_header_list_size;                 /* 0: 16 KiB */
    uint32_t max_concurrent_streams;             /* a connection; 0: 256; SENNIT_UNLIMITED */
    sennit_duration handshake_timeout;           /* 0: 10 s */
    bool small_stacks, pin;                      /* of handlers, as in sennit_go_options */
    /* As a client's, for peers that are gone: 0: 2 h and 20 s; < 0: never. */
    sennit_duration keepalive_time, keepalive_timeout;
    /* The third PING of a client that comes sooner than this after the last one, with nothing sent
     * to it in between, ends its connection (ENHANCE_YOUR_CALM); without RPCs 2 h must lie between,
     * unless permitted. 0: 5 min; < 0: any number. */
    sennit_duration keepalive_min_time;
    bool keepalive_permit_without_calls;
    /* A connection without RPCs for so long, or so old (+-10 %), is ended as by a graceful stop; an
     * old one at the latest after the grace. 0: never. */
    sennit_duration max_connection_idle, max_connection_age, max_connection_age_grace;
    /* Bytes that a client may send ahead, of each stream and of the connection; at least 64 KiB.
     * 0: 128 KiB and 1 MiB, which grow with the measured bandwidth and delay; else they stay. */
    size_t initial_window_size, initial_conn_window_size;
    uint32_t abuse_budget; /* useless frames borne at once; 0: 1000; SENNIT_UNLIMITED */
    const sennit_stats_hook *stats;
    const sennit_unknown *unknown; /* NULL: they are answered with UNIMPLEMENTED */
} sennit_server_options;
SENNIT_API sennit_server *sennit_server_new_sized(const sennit_server_options *o, size_t size,
                                                  size_t interceptor_stride);
static inline sennit_server *sennit_server_new(const sennit_server_options *o)
{
    return sennit_server_new_sized(o, sizeof *o, sizeof(sennit_interceptor));
}
/* Listens on "host:port" (port 0: any), ":port" and "[::]:port" (IPv4 too), "unix:/path",
 * "unix-abstract:name", "vsock:any:port", or what was inherited: "fd:3", and "systemd:" or
 * "systemd:name" for all sockets, or those of a name, of systemd's socket activation. Before
 * sennit_serve; any number of times. UNAVAILABLE and the reason when the address cannot be had. The
 * errors of register and listen are also what sennit_serve fails with. */
SENNIT_API sennit_err sennit_listen(sennit_server *s, const char *address);
/* The same for a socket that listens already (inherited); the server owns and closes it. */
SENNIT_API sennit_err sennit_listen_fd(sennit_server *s, int fd);
/* Serves a connected stream socket that the program has accepted itself, beside or without
 * listeners, while sennit_serve runs; takes fd in any case. The handshake goes on after it has
 * returned. FAILED_PRECONDITION: not serving. */
SENNIT_API sennit_err sennit_accept_fd(sennit_server *s, int fd);
/* Tells systemd of our state ("READY=1", "STOPPING=1", "WATCHDOG=1"; lines) if NOTIFY_SOCKET says
 * that it wants to know; else nothing. UNAVAILABLE: it could not be told. */
SENNIT_API sennit_err sennit_notify(const char *state);
/* "127.0.0.1:50051": where the nth (from 0) listener is bound; "": no such one. Lives as long as
 * s. */
SENNIT_API const char *sennit_bound_address(sennit_server *s, size_t nth);
/* Serves until sennit_server_stop is done (NULL), or fails: FAILED_PRECONDITION without
 * credentials or listener, or the first error of register, listen and accept. */
SENNIT_API sennit_err sennit_serve(sennit_server *s) SENNIT_NODISCARD;
/* No new connections and RPCs (two-step GOAWAY); waits for the RPCs that run; after grace
 * nanoseconds (0: at once, < 0: never) it ends their contexts and closes; returns when all
 * handlers have. From any goroutine or thread but a handler's. */
SENNIT_API void sennit_server_stop(sennit_server *s, sennit_duration grace);
/* Stops at once, waits for sennit_serve to return, frees. NULL is fine. */
SENNIT_API void sennit_server_free(sennit_server *s);
SENNIT_DEFINE_AUTO(sennit_server)

/* In a handler, of its own RPC; else NULL. The ctx ends when the handler returns. */
SENNIT_API const sennit_method *sennit_handler_method(sennit_ctx *ctx);
SENNIT_API const sennit_peer *sennit_handler_peer(sennit_ctx *ctx);
/* Whom the client asked for: its :authority, or else its host header; "": neither was sent. */
SENNIT_API const char *sennit_handler_authority(sennit_ctx *ctx);
/* In a handler, before its headers go out: how its messages are compressed; "identity": not at all.
 * Without it they are as the request was. A client that does not accept name gets plain messages.
 * UNIMPLEMENTED: no such compressor is registered. */
SENNIT_API sennit_err sennit_set_compressor(sennit_ctx *ctx, const char *name);
/* In a handler: the client's grpc-accept-encoding, "gzip,deflate"; "": it named none. */
SENNIT_API const char *sennit_client_compressors(sennit_ctx *ctx);

/* -- calls and streams, as generated code sees them ------------------------------------------ */

/* A message as its octets, of any codec. With a method whose request and reply are this desc one
 * calls without generated code: { SENNIT_TABLES, flags, "/pkg.Service/Method", &sennit_raw_desc,
 * &sennit_raw_desc, NULL }. */
typedef struct sennit_raw { sennit_str octets; } sennit_raw;
SENNIT_API extern const sennit_msg_desc sennit_raw_desc;
/* A unary call. *reply lives as long as ctx (which must not be NULL); after an error it is the
 * empty message. */
SENNIT_API sennit_err sennit_call(sennit_conn *c, sennit_ctx *ctx, const sennit_method *m,
                                  const void *request, void *reply, const sennit_call_options *o,
                                  size_t size);
/* One goroutine may send while another receives. A stream ends with finish, with its ctx, or when
 * its handler returns. Beside a running call of another goroutine:
 *             send                      recv               close_send   finish
 *    send     FAILED_PRECONDITION (*)   fine               (+)          as a second sender, if the
 *                                                                       server does not stream
 *    recv     fine                      NULL, and then (*) fine         (*)
 * (*) to the second one only, by _error or _finish in the goroutine that was refused.
 * (+) close_send gets the error, and half-closes when the running send is done. */

/* Starts a streaming call; request is for methods that take one message. NULL only without memory;
 * a stream that could not start tells why in every call. It ends with finish or with ctx, in which
 * it lives. */
SENNIT_API sennit_stream *sennit_start(sennit_conn *c, sennit_ctx *ctx, const sennit_method *m,
                                       const void *request, const sennit_call_options *o,
                                       size_t size);
/* Sends one message; may be changed when it returns. Waits for flow control, not for the peer. */
SENNIT_API sennit_err sennit_send(sennit_stream *s, const void *msg);
/* Whether the messages that are sent from now on are compressed, if the call has a compressor; from
 * the goroutine that sends. */
SENNIT_API void sennit_stream_compress(sennit_stream *s, bool on);
/* The next message, valid until the same goroutine receives again or the stream ends. NULL: no
 * more; _error or _finish say why. */
SENNIT_API const void *sennit_recv(sennit_stream *s);
/* NULL while all is well, and after a regular end. */
SENNIT_API sennit_err sennit_stream_error(sennit_stream *s);
/* Client: no more messages from us. Again: no effect. */
SENNIT_API sennit_err sennit_close_send(sennit_stream *s);
/* Client: half-closes, takes the reply of a call whose server does not stream (else reply is NULL),
 * reads what is left, and returns the status of the RPC. */
SENNIT_API sennit_err sennit_finish(sennit_stream *s, void *reply);
/* Client: waits for the response's headers; NULL: there are none. Lives as long as the ctx. */
SENNIT_API const sennit_md *sennit_stream_header(sennit_stream *s);
/* Client: NULL before the end. Lives as long as the ctx. */
SENNIT_API const sennit_md *sennit_stream_trailer(sennit_stream *s);
/* Before sennit_serve. d and methods (a table of functions) must outlive s; self is handed to each
 * of them. ALREADY_EXISTS: that service is registered. */
SENNIT_API sennit_err sennit_register(sennit_server *s, const sennit_service_desc *d,
                                      const void *methods, void *self);

/* -- services that come with the library ----------------------------------------------------- */

/* grpc.health.v1.Health; before sennit_serve. "", the whole server, is SERVING; other services are
 * unknown until set. When the server stops, all are NOT_SERVING and Watch streams end. */
SENNIT_API sennit_err sennit_health_register(sennit_server *s);
/* From any goroutine or thread, while s lives: service is SERVING or NOT_SERVING from now on. */
SENNIT_API sennit_err sennit_health_set(sennit_server *s, const char *service, bool serving);
/* true: all are NOT_SERVING, whatever is set, until false; before a stop, so that balancers
 * leave. */
SENNIT_API sennit_err sennit_health_drain(sennit_server *s, bool on);
/* grpc.reflection.v1 and v1alpha; before sennit_serve. Tells of every service that is registered,
 * its file and what that imports (but for files that were imported for their options alone). */
SENNIT_API sennit_err sennit_reflection_register(sennit_server *s);

#ifdef __cplusplus
}
#endif
#endif
