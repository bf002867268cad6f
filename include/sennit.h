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
/* Appends; key (0-9 a-z _ - . and not "grpc-...") and value are copied. A value is printable
 * ASCII unless the key ends in "-bin". INVALID_ARGUMENT says what is wrong; NULL md:
 * RESOURCE_EXHAUSTED. */
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
 * until fn is done with it (a group knows when). RESOURCE_EXHAUSTED: no memory, fn will not run. */
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
/* Lets the other runnable goroutines of this worker go first. In a plain thread: no effect. */
SENNIT_API void sennit_yield(void);

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

/* Waits for one of signals (0 ends the list) and returns its number; 0 once ctx has ended, or
 * without memory. The signals' handlers are ours meanwhile and put back when the last waiter
 * leaves. */
SENNIT_API int sennit_signal_wait(sennit_ctx *ctx, const int *signals);

/* Runs fn(arg) on a thread of its own, where it may block or use a deep stack, and parks the
 * goroutine meanwhile; what fn returns. ctx: its end before fn has started gives its error. */
SENNIT_API sennit_err sennit_blocking(sennit_ctx *ctx, sennit_fn fn, void *arg);
/* Around a stretch of the goroutine's own code that blocks its thread: others go on elsewhere.
 * Without them that is noticed after a millisecond. */
SENNIT_API void sennit_blocking_begin(void);
SENNIT_API void sennit_blocking_end(void);

/* -- generated tables ------------------------------------------------------------------------ */

/* Written by protoc-gen-sennit alone; the library reads all older versions. */
#define SENNIT_TABLES 1 /* the first word of each table */
typedef struct sennit_stream sennit_stream; /* see "calls and streams" */

/* Numbers are those of google.protobuf.FieldDescriptorProto.Type. */
typedef enum sennit_kind {
    SENNIT_KIND_DOUBLE = 1, SENNIT_KIND_FLOAT, SENNIT_KIND_INT64, SENNIT_KIND_UINT64,
    SENNIT_KIND_INT32, SENNIT_KIND_FIXED64, SENNIT_KIND_FIXED32, SENNIT_KIND_BOOL,
    SENNIT_KIND_STRING, SENNIT_KIND_GROUP, SENNIT_KIND_MESSAGE, SENNIT_KIND_BYTES,
    SENNIT_KIND_UINT32, SENNIT_KIND_ENUM, SENNIT_KIND_SFIXED32, SENNIT_KIND_SFIXED64,
    SENNIT_KIND_SINT32, SENNIT_KIND_SINT64
} sennit_kind;
#define SENNIT_FIELD_REPEATED 1 /* { const T *data; size_t len; } */
#define SENNIT_FIELD_PACKED 2   /* sent packed; both forms are read */
#define SENNIT_FIELD_MAP 4      /* repeated entry messages { key, value }; later keys win */
#define SENNIT_FIELD_HAS 8      /* has-bit number `presence` of the struct's first words */
#define SENNIT_FIELD_ONEOF 16   /* uint32_t at offset `presence`: number of the set field */
#define SENNIT_FIELD_UTF8 32    /* refused when not valid UTF-8 */
#define SENNIT_FIELD_OPTIONAL 64 /* with HAS: sent if the bit is set */
#define SENNIT_FIELD_REQUIRED 128 /* messages without it are neither sent nor received */
#define SENNIT_FIELD_CLOSED 256   /* unknown values of the enum are kept as unknown fields */
#define SENNIT_FIELD_JSON 512     /* the JSON name stands behind the name's NUL */
#define SENNIT_FIELD_GROUP_NAME 1024 /* in text it goes by the name of its type */
typedef struct sennit_field {
    uint32_t number;
    uint32_t offset; /* of the value in the struct */
    uint16_t presence, flags;
    uint32_t kind;
    const void *type; /* sennit_msg_desc (messages, groups, maps) or sennit_enum_desc */
    const char *name;
} sennit_field;
typedef struct sennit_enum_value { int32_t number; const char *name; } sennit_enum_value;
typedef struct sennit_enum_desc {
    uint32_t version, n_values;
    const char *name; /* "pkg.Enum" */
    const sennit_enum_value *values; /* ascending by number, aliases in the file's order */
} sennit_enum_desc;
#define SENNIT_MSG_SET 1         /* option message_set_wire_format */
#define SENNIT_MSG_MAP_ENTRY 2
#define SENNIT_MSG_EXTENDABLE 4  /* has extension ranges */
#define SENNIT_MSG_EXTENSION 8   /* stands for an extension: its one field is the value */
typedef struct sennit_msg_desc {
    uint32_t version, size;         /* sizeof the struct */
    uint32_t n_fields, n_dense;     /* fields[i].number == i + 1 for i < n_dense */
    uint32_t unknown;               /* offset of the sennit_str of unknown fields */
    uint32_t flags;                 /* from bit 16 on: the first so many has-bits are required */
    const sennit_field *fields;     /* ascending by number */
    const char *name;               /* "pkg.Message"; of an extension: "pkg.extension" */
    const void *empty;              /* the default instance, of `size` octets */
    const struct sennit_file_desc *file; /* NULL: written by hand */
} sennit_msg_desc;
typedef struct sennit_ext_desc { const sennit_msg_desc *extendee, *value; } sennit_ext_desc;
typedef struct sennit_file_desc {
    uint32_t version, n_deps, n_messages, n_enums, n_exts;
    const char *name;                /* "dir/x.proto" */
    const struct sennit_file_desc *const *deps; /* as in the file; NULL: options only, not linked */
    const sennit_msg_desc *const *messages;     /* nested ones as well */
    const sennit_enum_desc *const *enums;
    const sennit_ext_desc *exts;
    sennit_str descriptor;           /* google.protobuf.FileDescriptorProto, without comments */
} sennit_file_desc;
typedef struct sennit_method {
    uint32_t version, flags; /* 1: the client streams, 2: the server streams */
    const char *path;        /* "/pkg.Service/Method" */
    const struct sennit_msg_desc *request, *reply;
    /* Calls this method of the user's service struct; s and one of request, reply may be NULL. */
    sennit_err (*invoke)(const void *service, void *self, sennit_ctx *ctx,
                         const void *request, void *reply, sennit_stream *s);
} sennit_method;
/* UNIMPLEMENTED: what invoke returns for a method that the service struct leaves out. */
SENNIT_API sennit_err sennit_not_implemented(const sennit_method *m);
typedef struct sennit_service_desc {
    uint32_t version, n_methods;
    const char *name;
    const sennit_method *methods;
    const sennit_file_desc *file; /* for reflection */
} sennit_service_desc;
/* A deep copy of msg that lives as long as a; NULL: no memory, or deeper than 100. */
SENNIT_API void *sennit_msg_copy(sennit_arena *a, const sennit_msg_desc *d, const void *msg);
/* Octets of the encoded message, found by encoding it; SIZE_MAX: as data NULL below, but for
 * required fields. */
SENNIT_API size_t sennit_msg_size(const sennit_msg_desc *d, const void *msg);
/* The encoded octets, in arena; data NULL: no memory, bad UTF-8, a required field is missing, over
 * 2 GiB or deeper than 100. */
SENNIT_API sennit_str sennit_msg_encode(sennit_arena *a, const sennit_msg_desc *d, const void *msg);
/* Decodes a copy of octets into *msg; what msg points to lives in arena. INVALID_ARGUMENT says what
 * is wrong with the octets, and *msg is the empty message then. */
SENNIT_API sennit_err sennit_msg_decode(sennit_arena *a, const sennit_msg_desc *d,
                                        sennit_str octets, void *msg);
typedef struct sennit_wire_options {
    uint32_t depth;     /* of messages within messages; 0: 100 */
    bool deterministic; /* encoding: maps in the order of their keys */
    bool partial;       /* required fields may be missing */
    bool in_place;      /* decoding: octets are yours, live as long as the message, have a spare
                         * octet behind them and are written to: no copy is made */
} sennit_wire_options;
SENNIT_API sennit_err sennit_msg_encode_sized(sennit_arena *a, const sennit_msg_desc *d,
                                              const void *msg, const sennit_wire_options *o,
                                              size_t size, sennit_str *octets);
SENNIT_API sennit_err sennit_msg_decode_sized(sennit_arena *a, const sennit_msg_desc *d,
                                              sennit_str octets, const sennit_wire_options *o,
                                              size_t size, void *msg);
/* The value's name in the .proto, or NULL. */
SENNIT_API const char *sennit_enum_name(const sennit_enum_desc *d, int32_t value);
/* Extensions stay among the unknown fields until asked for: they are copied and sent as they came.
 * Decodes that of *msg into *value (the empty one when absent), which lives in a. */
SENNIT_API sennit_err sennit_ext_get(sennit_arena *a, const sennit_msg_desc *ext,
                                     sennit_str unknown, void *value);
/* Puts *value in place of the extension in *unknown, or takes it out when value is NULL. */
SENNIT_API sennit_err sennit_ext_set(sennit_arena *a, const sennit_msg_desc *ext,
                                     sennit_str *unknown, const void *value);

/* How JSON and text format are read and written. Types inside google.protobuf.Any, and extensions,
 * are found in the file of the message itself, in `files`, and in what these import. */
typedef struct sennit_format_options {
    const sennit_file_desc *const *files; /* &sennit_file__x_proto */
    size_t n_files;
    bool multi_line;     /* one field a line, indented by two; text has several lines or one */
    bool proto_names;    /* JSON: names as in the .proto, not in camel case */
    bool enum_numbers;   /* numbers instead of names */
    bool all_fields;     /* JSON: zero and empty ones of fields without presence, too */
    bool unknown_fields; /* text: those, too, by number */
    bool ignore_unknown; /* reading: skip fields, and names of enum values, that are not known */
} sennit_format_options;
/* *text lives in a. INVALID_ARGUMENT: a type inside an Any is not known or does not fit, a value
 * has no such form (a time out of range, a string that is not UTF-8), or deeper than 100. */
SENNIT_API sennit_err sennit_json_encode_sized(sennit_arena *a, const sennit_msg_desc *d,
                                               const void *msg, const sennit_format_options *o,
                                               size_t size, sennit_str *text);
/* Into *msg, which lives in a. INVALID_ARGUMENT says what is wrong in which line; *msg is the empty
 * message then. */
SENNIT_API sennit_err sennit_json_decode_sized(sennit_arena *a, const sennit_msg_desc *d,
                                               sennit_str text, const sennit_format_options *o,
                                               size_t size, void *msg);
SENNIT_API sennit_err sennit_text_encode_sized(sennit_arena *a, const sennit_msg_desc *d,
                                               const void *msg, const sennit_format_options *o,
                                               size_t size, sennit_str *text);
SENNIT_API sennit_err sennit_text_decode_sized(sennit_arena *a, const sennit_msg_desc *d,
                                               sennit_str text, const sennit_format_options *o,
                                               size_t size, void *msg);

/* The functions of each message T, for all generated headers: see those above. */
#define SENNIT_DEFINE_MESSAGE(T, table)                                                            \
    static inline T *T##_copy(sennit_arena *arena, const T *from)                                  \
    { return (T *)sennit_msg_copy(arena, &table, from); }                                          \
    static inline size_t T##_size(const T *from) { return sennit_msg_size(&table, from); }         \
    static inline sennit_str T##_encode(sennit_arena *arena, const T *from)                        \
    { return sennit_msg_encode(arena, &table, from); }                                             \
    static inline SENNIT_NODISCARD sennit_err T##_decode(sennit_arena *arena, sennit_str octets,   \
                                                         T *to)                                    \
    { return sennit_msg_decode(arena, &table, octets, to); }                                       \
    static inline SENNIT_NODISCARD sennit_err T##_to_json(                                         \
        sennit_arena *arena, const T *from, const sennit_format_options *o, sennit_str *to)        \
    { return sennit_json_encode_sized(arena, &table, from, o, sizeof *o, to); }                    \
    static inline SENNIT_NODISCARD sennit_err T##_from_json(                                       \
        sennit_arena *arena, sennit_str from, const sennit_format_options *o, T *to)               \
    { return sennit_json_decode_sized(arena, &table, from, o, sizeof *o, to); }                    \
    static inline SENNIT_NODISCARD sennit_err T##_to_text(                                         \
        sennit_arena *arena, const T *from, const sennit_format_options *o, sennit_str *to)        \
    { return sennit_text_encode_sized(arena, &table, from, o, sizeof *o, to); }                    \
    static inline SENNIT_NODISCARD sennit_err T##_from_text(                                       \
        sennit_arena *arena, sennit_str from, const sennit_format_options *o, T *to)               \
    { return sennit_text_decode_sized(arena, &table, from, o, sizeof *o, to); }
#define SENNIT_DEFINE_ENUM(T, table)                                                               \
    static inline const char *T##_name(int32_t value) { return sennit_enum_name(&table, value); }
/* Of the extension T of the messages M. */
#define SENNIT_DEFINE_EXTENSION(T, M, table)                                                       \
    static inline SENNIT_NODISCARD sennit_err T##_get(sennit_arena *arena, const M *from, T *to)   \
    { return sennit_ext_get(arena, &table, from->unknown_fields, to); }                            \
    static inline SENNIT_NODISCARD sennit_err T##_set(sennit_arena *arena, M *to, const T *from)   \
    { return sennit_ext_set(arena, &table, &to->unknown_fields, from); }

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

/* For later versions: this one refuses calls and servers that set them (UNIMPLEMENTED). */
typedef struct sennit_call_creds { /* two fields for ever */
    void *self;
    sennit_err (*add)(void *self, sennit_ctx *ctx, const sennit_method *method, sennit_md *md);
} sennit_call_creds;
typedef struct sennit_next sennit_next;
typedef struct sennit_interceptor {
    void *self;
    sennit_err (*unary)(void *self, sennit_ctx *ctx, const sennit_method *method,
                        const void *request, void *reply, sennit_next *next);
    sennit_err (*stream)(void *self, sennit_ctx *ctx, const sennit_method *method,
                         sennit_next *next);
} sennit_interceptor;

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

/* -- connections and calls ------------------------------------------------------------------- */

typedef struct sennit_conn sennit_conn; /* shared by any number of goroutines and clients */
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
} sennit_conn_options;
/* Makes a connection object; no I/O before the first RPC. target: "host:port",
 * "dns:///host:port", "ipv4:a:p", "ipv6:[a]:p", "unix:/path", "unix-abstract:name". Always an
 * object (law 4): free it. */
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
} sennit_server_options;
SENNIT_API sennit_server *sennit_server_new_sized(const sennit_server_options *o, size_t size,
                                                  size_t interceptor_stride);
static inline sennit_server *sennit_server_new(const sennit_server_options *o)
{
    return sennit_server_new_sized(o, sizeof *o, sizeof(sennit_interceptor));
}
/* Listens on "host:port" (port 0: any), ":port" and "[::]:port" (IPv4 too), or "unix:/path". Before
 * sennit_serve; any number of times. UNAVAILABLE and the reason when the address cannot be had. The
 * errors of register and listen are also what sennit_serve fails with. */
SENNIT_API sennit_err sennit_listen(sennit_server *s, const char *address);
/* The same for a socket that listens already (inherited); the server owns and closes it. */
SENNIT_API sennit_err sennit_listen_fd(sennit_server *s, int fd);
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

/* -- calls and streams, as generated code sees them ------------------------------------------ */

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

#ifdef __cplusplus
}
#endif
#endif
