/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * transport.h: one HTTP/2 connection and its streams, as client and server use it.
 *
 * Who runs what: the reader is a task (never parks) and alone touches h2_in; goroutines and threads
 * append to h2_out under the transport's write lock; any thread may flush. Calls marked (task) run
 * in the reader, the others in goroutines, plain threads or tasks. References: the transport lives
 * while its owner, its reader and its streams hold it; a stream while the reader knows it and its
 * owner holds it. */
#ifndef SENNIT_RPC_TRANSPORT_H
#define SENNIT_RPC_TRANSPORT_H

#include "base/arena.h"
#include "base/limits.h"
#include "base/list.h"
#include "net/net.h"
#include "rpc/metadata.h"
#include "rt/rt.h"
#include "rt/why.h"

struct transport;
struct rpc_stream;

/* One received message, or several of a stream: body[len] is a spare octet for the decoder. Several
 * lie as on the wire, none of them compressed: so that octet may be the first one of the next
 * prefix, which is 0 and stays so. */
struct rpc_msg {
    union {
        struct {
            struct rpc_msg *next;
            char *body;
        };
        struct list filling; /* in the reader's turn, while it may grow */
    };
    struct rpc_stream *owner; /* likewise */
    uint32_t len;             /* of body; of a growing one: the room */
    uint32_t more;            /* octets behind body; of a growing one: all that it has */
    uint32_t holders;         /* receivers that were given one of them: the receiver's */
    bool compressed, small;   /* small: from a pool */
};
/* Of a stream; those of one_in lie in the arena. */
void rpc_msg_free(struct rpc_msg *m);
void rpc_msg_free_all(struct rpc_msg *first); /* and those that follow; or NULL */

/* What a request's header block said; text lives in the stream's arena. */
struct rpc_request_head {
    const char *path; /* NUL-terminated; "" where memo says it */
    size_t path_len;
    const char *authority;
    const char *encoding;        /* grpc-encoding or NULL; on a client: the response's */
    const char *accept_encoding; /* or NULL */
    sennit_duration timeout;     /* INT64_MAX: none */
    unsigned http_status;        /* not 200: no gRPC; http_text says why */
    const char *http_text;
    sennit_code code; /* that goes with it; a WHY() */
    uint16_t memo;    /* of the path's table entry; 0: none (see transport_memo) */
};

/* Client: how an answer began that is no gRPC, for the status' text. */
struct rpc_page {
    char kind[64]; /* its content-type, quoted */
    uint32_t len;
    char body[LIMIT_PAGE];
};

struct rpc_stream_ops {
    /* (task) Server: a message is complete and, for a stream of one message, the peer has ended. */
    void (*request)(struct rpc_stream *s);
    /* (task, or who ended it) done has been set: status, header and trailer are final. Or NULL. */
    void (*ended)(struct rpc_stream *s);
    void (*headers)(struct rpc_stream *s); /* (task) Client: header is there; or NULL */
    void (*free)(struct rpc_stream *s);    /* the last reference went */
    /* (task) Server: the same, where the last one was the reader's. */
    void (*drop)(struct rpc_stream *s);
};

struct rpc_stream {
    const struct rpc_stream_ops *ops;
    struct transport
        *t; /* held, if holds is set; else its reader, which has a reference, knows s */
    _Atomic uint32_t refs;
    uint32_t id;
    struct sennit_arena *arena; /* shared between reader and owner */
    size_t max_recv;
    const sennit_compressor *in_compressor; /* of request.encoding; NULL: none, or unknown */
    bool one_in; /* exactly one message comes in (unary, server- or client-streaming) */
    bool holds;  /* t and run; guarded by refs */

    /* Reader only. */
    uint8_t prefix[5], prefix_have;
    bool head_seen, local_told, failed_in, overflowed;
    struct list starved; /* in transport->starved: its message wants window, the budget is spent */
    _Atomic bool remote_ended, peer_reset; /* written by the reader */
    _Atomic bool end_seen; /* as remote_ended, but before what the end means has been judged */
    struct rpc_stream *next_gone; /* of a turn's answers, see transport_answers.c */
    struct rpc_msg *part;
    struct rpc_msg *open; /* whole messages of this turn, not yet told; or NULL */
    size_t part_have;
    uint32_t n_messages, granted;
    struct head_run *run;  /* server: what its request began with; shared, held; or NULL */
    unsigned http_status;  /* client: of the response */
    struct rpc_page *page; /* client, in the arena; NULL: it is gRPC */

    /* Guarded by the transport's lock. */
    struct list changed;
    uint8_t changes;          /* enum stream_change */
    bool known;               /* the reader holds it */
    _Atomic bool sent_head;   /* also read without the lock, as a hint */
    _Atomic bool local_ended; /* likewise */
    bool dead, counted;
    bool body_waits; /* a body was not yet wholly appended */
    bool leaves;     /* server: then the end follows, and nobody waits for that */
    uint32_t consumed;
    uint32_t unreported; /* of the receiver: consumed and not yet told */

    /* Guarded by lock, until done. */
    struct lock lock;
    _Atomic bool done; /* nothing more comes in */
    bool unprocessed;  /* final once done: the peer never saw it, it may be sent again */
    struct rpc_msg *first, **last;
    sennit_code code;
    uint32_t why;                      /* the library's reason; 0: the code is the peer's */
    sennit_str message;                /* in the arena or static */
    sennit_str details;                /* grpc-status-details-bin, raw; or empty */
    const sennit_md *header, *trailer; /* the former may be other streams', too */
    _Atomic bool has_header;

    /* The receiver waits for a message; one is under way that is larger than the window may be. */
    _Atomic bool wants, stuck;

    struct rt_note note;    /* the receiver waits here */
    struct rt_note drained; /* the sender waits here, also for the end */

    struct rpc_request_head request; /* reader only, until the handler begins */
    union {
        uint64_t align;
        char octets[80];
    } h2; /* struct h2_out_stream */
};

struct transport_ops {
    /* (task) Server: a fresh stream by stream_init_known, one reference (the reader's); NULL:
     * none can be had (it is refused). memo: of its path, as in rpc_request_head. */
    struct rpc_stream *(*new_stream)(struct transport *t, uint16_t memo);
    /* (task) Server: s->request is filled. May answer at once. */
    void (*accept)(struct rpc_stream *s);
    /* (task) Client: the peer's SETTINGS came. */
    void (*ready)(struct transport *t);
    /* (task) Client: GOAWAY came; open no more streams here. */
    void (*draining)(struct transport *t);
    /* (task) Server: the peer reads again or gives window, or the connection is over: see
     * transport_put_off. */
    void (*room)(struct transport *t);
    /* (task) Server: a turn ends. */
    void (*turned)(struct transport *t);
    /* (task) The connection has ended, its streams too. reason lives as long as the transport. */
    void (*closed)(struct transport *t, const char *reason);
    void (*freed)(void *owner); /* the last reference went; from any thread, must not park */
};
/* Durations in ns; 0: never. See sennit_conn_options and sennit_server_options. */
struct transport_clock {
    sennit_duration time, timeout; /* of our pings */
    sennit_duration min_time;      /* server: between the peer's */
    sennit_duration max_idle, max_age, max_age_grace;
    bool without_calls, permit_without_calls;
};
struct transport_config {
    bool server;
    const struct transport_clock *clock; /* lives as long as the owner */
    uint32_t max_streams;
    size_t max_header_list;
    size_t stream_window, conn_window; /* 0: the default, and they grow */
    uint32_t abuse_budget;             /* 0: LIMIT_GLITCHES */
    sennit_duration handshake_timeout;
};
/* Takes io (also on failure), which has its auth. Nothing runs before transport_start. */
struct transport *transport_new(struct net_io *io, const struct transport_config *c,
                                const struct transport_ops *ops, void *owner);
void transport_start(struct transport *t);
void *transport_owner(struct transport *t);
const struct net_auth *transport_auth(struct transport *t); /* lives as long as t */
void transport_ref(struct transport *t);
void transport_unref(struct transport *t);
/* Ends it soon: GOAWAY, then the socket; streams end with why (a WHY()) and reason. */
void transport_close(struct transport *t, sennit_code why, const char *reason);
/* Server: two-step GOAWAY, then closed when the last stream has ended. */
void transport_drain(struct transport *t);
bool transport_pinged_too_much(const struct transport *t); /* (task) so the peer's GOAWAY said */
const char *transport_reason(struct transport *t);         /* why it ended; "" while it lives */
sennit_code transport_why(struct transport *t);            /* likewise, a WHY(); 0 */

void stream_init(struct rpc_stream *s, const struct rpc_stream_ops *ops, struct transport *t,
                 struct sennit_arena *arena);
/* The same, and takes a reference on t that the caller has. */
void stream_init_held(struct rpc_stream *s, const struct rpc_stream_ops *ops, struct transport *t,
                      struct sennit_arena *arena);
/* (task) Server: of one that the reader is going to know, and which needs no reference on t. Fills
 * request, too. */
static inline void stream_init_known(struct rpc_stream *s, const struct rpc_stream_ops *ops,
                                     struct transport *t, struct sennit_arena *arena)
{
    zero_words(s, offsetof(struct rpc_stream, request));
    s->h2.align = 0; /* the id: there is no sending half yet */
    s->ops = ops, s->t = t, s->arena = arena;
    s->last = &s->first;
    s->message = (sennit_str){ "", 0 };
    list_init(&s->changed);
    list_init(&s->starved);
    atomic_init(&s->refs, 1);
}
void stream_ref(struct rpc_stream *s);
void stream_unref(struct rpc_stream *s);

/* -- client ---------------------------------------------------------------------------------- */

struct rpc_request {
    const char *path, *scheme, *authority, *user_agent;
    const char *encoding;   /* of its messages; NULL: plain */
    int64_t deadline;       /* INT64_MAX: none */
    const sennit_md *md[3]; /* the last one is secret */
    const char *body;       /* with its 5-octet prefix; must stay valid as long as the stream */
    size_t len;
    bool end; /* half-close after body */
};
enum transport_result {
    TRANSPORT_OK,    /* all is appended */
    TRANSPORT_WAITS, /* the body waits for window: see transport_wait_drained */
    TRANSPORT_GONE,  /* connection over or draining: nothing was sent, pick another */
    TRANSPORT_DEAD,  /* this stream is over: s->done says why, or will */
    TRANSPORT_NO_MEMORY,
    TRANSPORT_TOO_LARGE, /* header list over the peer's limit */
    TRANSPORT_ENDED      /* ctx ended while waiting for stream quota */
};
/* Takes a reader's reference on s. May park for stream quota. */
enum transport_result transport_open(struct transport *t, struct rpc_stream *s, sennit_ctx *ctx,
                                     const struct rpc_request *r);
/* A further message, or with len 0 only the half-close. */
enum transport_result transport_send(struct rpc_stream *s, const char *body, size_t len, bool end);

/* -- server ---------------------------------------------------------------------------------- */

struct rpc_response {
    const sennit_md *header, *trailer;
    const char *body; /* NULL: none; with end as above, else until drained or dead */
    size_t len;
    bool end;    /* then code, message, details and trailer go out */
    bool leaves; /* end, with OK and no trailer: TRANSPORT_WAITS means that body, valid as long as
                    the stream, and the end go out by themselves once the peer gives window */
    sennit_code code; /* or a WHY() */
    sennit_str message, details;
    const char *encoding;        /* of its messages; NULL: plain */
    const char *accept_encoding; /* NULL: not told */
};
enum transport_result transport_respond(struct rpc_stream *s, const struct rpc_response *r);
/* Nearly every answer: a small message, OK, no metadata. False: it cannot go at once, and nothing
 * was done: transport_respond. */
bool transport_answer(struct rpc_stream *s, const char *body, size_t len);
/* No gRPC: HTTP status, one line of text, end. (task) */
void transport_respond_http(struct rpc_stream *s, unsigned status, sennit_code code,
                            const char *text);
/* (task) Remembers what the path of the current request means, with its table entry. */
void transport_memo(struct rpc_stream *s, uint16_t memo);
/* (task) Server: true if more is unsent, or waits for the peer's windows, than it should be owed;
 * then the owner begins nothing new until ops->room. Past LIMIT_PUT_OFF of these nothing more is
 * read, if it is the peer who does not read. */
bool transport_put_off(struct transport *t);

/* -- both ------------------------------------------------------------------------------------ */

/* Parks until the body is appended (true) or the stream is dead (false). */
bool transport_wait_drained(struct rpc_stream *s);
/* RST_STREAM with an h2 code (8: CANCEL) unless both sides have ended; drops unsent octets. */
void transport_reset(struct rpc_stream *s, uint32_t h2_code);
static inline bool stream_over(const struct rpc_stream *s) /* nothing is left to be reset */
{
    return s->peer_reset || (s->remote_ended && s->local_ended);
}
#define TRANSPORT_CANCEL   8u
#define TRANSPORT_NO_ERROR 0u
/* Ends s locally with a status (a code of the peer's, or a WHY()), if it has not ended; true: this
 * call did. */
bool stream_finish(struct rpc_stream *s, sennit_code code, sennit_str message);
/* The status word of s (see rt/why.h), once it is done. */
#define STREAM_WHY(s) WHY_AS((s)->why << 8, (s)->code)
/* The same for one that the peer never saw. */
bool stream_finish_unprocessed(struct rpc_stream *s, sennit_code code, sennit_str message);
/* Takes all messages that have come, linked by next; NULL: none now. Of a stream each waits for
 * rpc_msg_step. */
struct rpc_msg *stream_take(struct rpc_stream *s);
/* The receiver: parks until a message has come, or the end. */
void stream_wait_message(struct rpc_stream *s);
void stream_tell_consumed(struct rpc_stream *s);
/* The receiver has read a message of len octets: gives them back to the peer's window. Told in
 * portions of a quarter of the window. With what h2_in keeps back at least half of it is always the
 * peer's, once the receiver has read all. */
static inline void stream_consumed(struct rpc_stream *s, size_t len)
{
    s->unreported += (uint32_t)len + 5;
    if (unlikely(s->unreported >= LIMIT_STREAM_WINDOW_LEAST / 4) && !s->one_in)
        stream_tell_consumed(s);
}

#endif
