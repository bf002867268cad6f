/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * transport_private.h: what the transport_*.c files share. The only files that see h2. */
#ifndef SENNIT_RPC_TRANSPORT_PRIVATE_H
#define SENNIT_RPC_TRANSPORT_PRIVATE_H

#include "base/limits.h"
#include "h2/h2.h"
#include "rpc/transport.h"

enum stream_change {
    STREAM_OPENED = 1,    /* client: tell h2_in of it */
    STREAM_LOCAL_END = 2, /* END_STREAM is appended */
    STREAM_RESET = 4,     /* RST_STREAM is appended */
    STREAM_CONSUMED = 8,  /* s->consumed octets were read by the owner */
    STREAM_WANTED = 16,   /* the receiver waits for the message that is under way */
    STREAM_DRAINED = 32   /* server: the body is out, the end of a response that was left is due */
};

/* What a read batch wants of h2_out; applied in one locked section. */
enum effect_kind {
    EFFECT_SETTINGS,
    EFFECT_PING_ACK,
    EFFECT_WINDOW,
    EFFECT_WINDOW_UPDATE,
    EFFECT_RST,
    EFFECT_GONE
};
struct effect {
    uint8_t kind;
    uint8_t opaque[8];
    uint32_t id, value;
    struct rpc_stream *s;
};
#define EFFECTS 64

/* What the reader needs during a turn alone: an idle connection has none of it. */
struct turn_block {
    void *pooled;
    struct hpack_scratch scratch;
    struct effect effects[EFFECTS];
    uint8_t slab[LIMIT_READ_SLAB];
};
struct turn {
    struct turn_block *block; /* borrowed; NULL: no memory, and nothing is read */
    struct effect *effects;
    size_t n_effects, room;
    size_t n_heads;             /* header blocks so far: about as many calls begin or end */
    struct rpc_stream *current; /* whose HEADERS are being told: see transport_memo */
    const struct h2_field *current_path;
    struct rpc_stream *gone; /* whose answers came whole, and whom h2_in has let go of */
    struct list filling;     /* streams' messages that are not told yet: struct rpc_msg */
};

/* What the fields of a request have said so far. */
struct head_said {
    struct rpc_request_head q;
    const sennit_compressor *compressor; /* of q.encoding */
    sennit_md *md;
    uint32_t path; /* which field it was; 0: none yet, 1: the first one */
    bool grpc, host;
};
/* What a run of fields (see hpack_run) that requests begin with says: read once, then shared by all
 * requests that begin so. users is the reader's: its slot, and each stream that began so and is
 * known. They have one reference together; a stream that others hold longer has one of its own. */
struct head_run {
    _Atomic uint32_t refs;
    uint32_t users;
    uint64_t id;
    struct head_said said;
    struct sennit_arena arena;
    char first[512];
};
/* The same of responses and their trailers. */
struct response_run {
    uint64_t id;
    uint16_t http_status; /* 0: none in it */
    uint8_t code;
    bool has_code, grpc;
    bool plain; /* else it says more than this */
};

enum drain_state { DRAIN_NONE, DRAIN_WANTED, DRAIN_PINGED, DRAIN_FINAL };

/* An idle connection is little else than this: members go by size within each group. */
struct transport {
    struct net_io *io;
    const struct transport_ops *ops;
    void *owner;
    struct net_auth *auth;
    _Atomic uint32_t refs;
    bool server;
    struct rt_task task; /* reader, writer when blocked, and the end */
    struct rt_defer flush;
    struct rt_timer timer; /* see transport_clock.c */

    /* Reader only. */
    uint8_t first[6], n_first; /* octets that came, see transport_first.c */
    bool settled;              /* the peer's SETTINGS came */
    bool drain_acked;          /* its answer to the drain's ping */
    bool clock_due;            /* look at the clock at the end of this turn */
    bool too_many_pings;       /* said the peer */
    unsigned strikes;
    bool finished;     /* lingering: our end is said, */
    uint32_t lingered; /* and so many octets were dropped */
    uint32_t partial;  /* the frame or header block under way (see h2_in_partial), */
    int64_t slow_at;   /* and when it takes too long */
    struct h2_in *in;
    struct turn *turn; /* the one under way */
    const struct transport_clock *clock;
    int64_t timer_at; /* what timer was set to; INT64_MAX: it is not */
    int64_t rest_at;  /* when to look whether it is at rest; 0: it was, and nothing came since */
    int64_t last_read, handshake_ends, ends_at, drain_ends;
    int64_t ping_at;     /* ours that is not answered; 0: none */
    int64_t pinged_at;   /* the peer's last one */
    int64_t refilled_at; /* h2_in's budget, for the time gone by */
    size_t unfinished;   /* octets granted to unfinished messages */
    struct list starved; /* streams whose message waits for that budget, oldest first */
    char *authority;     /* server: of the first request; then fixed. NULL: none yet */
    struct head_run *head_runs[HPACK_RUNS]; /* server: by slot; or NULL */
    struct client_known *known;             /* client: or NULL. See there who guards what */
    uint32_t authority_len;
    uint32_t recv_size; /* octets of the next recv; 0: never asked for, LIMIT_READ_SLAB */

    /* Guarded by lock. */
    struct lock lock;
    struct h2_out out;
    struct h2_ready ready_head, ready_tail; /* server: of responses */
    struct list changed;                    /* streams with news for h2_in */
    struct list waiting;                    /* for stream quota: struct quota_waiter */
    /* Client: that count against the peer's limit. Server: that live; the reader's. */
    uint32_t open_streams;
    unsigned put_off; /* requests that transport_put_off told to wait, since ops->room; only the
                         reader writes it */
    bool closed;      /* the reader has ended it */
    bool lingers;     /* server: when it ends, the peer is given time to read why, */
    bool lingering;   /* and this is that time: written by the reader */
    bool close_wanted, goaway_came, hold; /* hold: do not flush yet (server, before the preface) */
    bool reading_paused, timer_fired;
    bool dormant; /* client: no pings without streams; the next one wakes the task */
    enum drain_state drain;
    sennit_code close_code;
    int64_t idle_since; /* when open_streams came to 0 */
    const char *drain_text;
    const char *reason; /* "" while it lives */
    char *reason_text;  /* what reason points to, or NULL; ours */
    char *goaway_text;  /* what the peer's GOAWAY said, if it was an error; or NULL; ours */

    /* Flusher: who moved flushing from 0 to 1. */
    uint8_t *unsent; /* taken from out, being sent */
    size_t unsent_at, unsent_len, unsent_cap, unsent_refs;
    size_t unsent_octets;      /* with what the references refer to */
    _Atomic uint32_t flushing; /* 0, 1, 2: 1 and asked again */
    bool write_failed;
    _Atomic bool blocked; /* the socket took no more: writability wakes the task */
    _Atomic bool tight;   /* much waits for windows: transport_put_off looks closer */
};

/* Client: encoded constants of requests, found by what they are made of. */
#define READY_REQUESTS 4u
#define READY_PATH     64u
struct ready_request {
    struct h2_ready ready;
    const char *scheme, *authority, *user_agent, *encoding, *accept_encoding;
    size_t size;           /* of all of them, RFC 7541 4.1 */
    char path[READY_PATH]; /* NUL-terminated; "": none */
};
/* What a server's connection has no room for. */
struct client_known {
    struct ready_request requests[READY_REQUESTS]; /* guarded by lock */
    struct response_run responses[HPACK_RUNS];     /* reader only; by slot */
};

struct quota_waiter {
    struct list node;
    struct rt_note note;
    bool woken;
};

static inline struct h2_out_stream *stream_out(struct rpc_stream *s)
{
    _Static_assert(sizeof(struct h2_out_stream) <= sizeof s->h2, "room for h2_out_stream");
    _Static_assert(offsetof(struct h2_out_stream, id) == 0, "stream_init_known zeroes it");
    return (struct h2_out_stream *)(void *)s->h2.octets;
}

/* Its sending half, which a request has only once there is something to do with it: nearly all are
 * answered whole, and need none. Locked. */
struct h2_out_stream *transport_accept(struct rpc_stream *s);
static inline struct h2_out_stream *transport_out(struct rpc_stream *s)
{
    struct h2_out_stream *o = stream_out(s);
    return likely(o->id) || !s->id ? o : transport_accept(s);
}

/* Header list under construction; spills into the arena. */
#define HEADERS_INLINE 20
struct header_list {
    struct sennit_arena *arena;
    struct h2_header *h, first[HEADERS_INLINE];
    size_t n, room, size; /* size: RFC 7541 4.1 */
    size_t n_constants;   /* how many of the first ones are the same in each such list */
    bool failed;
    char timeout[12];
};
/* The fields of a request that are constants to its connection and method, and their size. */
#define HEADERS_CONSTANTS 10
size_t headers_request_constants(struct h2_header h[HEADERS_CONSTANTS],
                                 const struct rpc_request *r);
size_t headers_request_size(const struct rpc_request *r);
/* All others. */
void headers_request(struct header_list *l, struct sennit_arena *a, const struct rpc_request *r);
void headers_response(struct header_list *l, struct sennit_arena *a, const struct rpc_response *r,
                      const sennit_md *md);
void headers_trailers(struct header_list *l, const struct rpc_response *r);
/* text: a line of printable ASCII without '%'. */
void headers_http(struct header_list *l, struct sennit_arena *a, unsigned status, sennit_code code,
                  const char *text);

/* (task) What header blocks mean. */
struct head_run *headers_learn(struct transport *t, const struct h2_event *ev); /* or NULL */
void headers_run_unref(struct head_run *r);
static inline void headers_run_leave(struct head_run *r) /* (task) */
{
    if (unlikely(--r->users == 0))
        headers_run_unref(r);
}
void headers_forget_runs(struct transport *t);
uint16_t headers_memo(const struct h2_event *ev); /* of the path; 0: none */
bool headers_read_request(struct rpc_stream *s, const struct h2_event *ev,
                          const struct h2_field **path); /* false: no memory */
void headers_began(struct rpc_stream *s); /* a response that is gRPC, and has no metadata */
void headers_read_response(struct rpc_stream *s, const struct h2_event *ev);

void stream_unref_known(struct rpc_stream *s); /* (task) the reader's reference */
/* stream_finish, with a last message (or NULL) for the receiver. */
bool stream_finish_with(struct rpc_stream *s, struct rpc_msg *m, sennit_code code,
                        sennit_str message, bool unprocessed);
/* Before stream_finish; nothing if the stream has ended otherwise. */
void stream_set_trailer(struct rpc_stream *s, sennit_md *md, sennit_str details);
/* Ends s, whose answer is no gRPC: the HTTP status and the page say why. */
void headers_no_grpc(struct rpc_stream *s);
void transport_prepare(struct rpc_stream *s); /* its sending half, before open or accept */
/* Asks for the end; locked, text is static, and it was not asked before. */
void transport_note_end(struct transport *t, sennit_code code, const char *text);
void transport_end_left(struct rpc_stream *s); /* (task) see STREAM_DRAINED */
/* transport.c: call with lock held; makes room for n octets, may drop and retake the lock. False:
 * no memory. */
bool transport_room(struct transport *t, size_t n);
void transport_dirty(struct transport *t); /* without the lock: flush soon */
void transport_flush(struct transport *t);
/* Flushes once more, then nobody does: before the connection is closed. */
void transport_stop_flushing(struct transport *t);
/* Of the flusher. False: no more can be done now. */
bool transport_flush_round(struct transport *t);
void transport_drop_refs(struct transport *t); /* closed: lets go of what was not sent */
void transport_rest(struct transport *t);      /* (task) gives back what only a busy one needs */
static inline void transport_changed(struct transport *t, struct rpc_stream *s,
                                     uint8_t change) /* locked */
{
    if (s->known) {
        if (!s->changes)
            list_push_back(&t->changed, &s->changed);
        s->changes |= change;
    }
}
void transport_wake(struct transport *t);       /* locked */
void transport_quota_wake(struct transport *t); /* locked */
void transport_fail(struct transport *t, sennit_code code, const char *fmt, ...)
    SENNIT_PRINTF(3, 4); /* notes why and asks for the end */
void transport_task(struct rt_task *task);
/* transport_clock.c (task) */
void clock_init(struct transport *t, const struct transport_config *c);
void clock_settled(struct transport *t);
void clock_on_ping(struct transport *t);
void clock_on_ping_ack(struct transport *t, const uint8_t opaque[8]);
void clock_slow(struct transport *t);
void clock_read(struct transport *t); /* octets have come, at last_read */
void clock_step(struct transport *t);
/* transport_end.c (task) */
void transport_end(struct transport *t);                   /* and perhaps frees it */
void transport_linger(struct transport *t, uint8_t *slab); /* likewise; slab: LIMIT_READ_SLAB */
/* transport_news.c (task) */
void transport_effect(struct transport *t, const struct effect *e);
void transport_apply(struct transport *t);
void transport_tell(struct transport *t);
void transport_let_go(struct transport *t, struct rpc_stream *s); /* soon */
/* transport_in.c (task) */
void transport_begin_put_off(struct transport *t);
void transport_on_data(struct transport *t, const struct h2_event *ev);
/* transport_answers.c (task): takes whole answers from p on; the octets used. */
size_t answers_take(struct transport *t, const uint8_t *p, size_t n);
/* transport_first.c (task): of a connection whose peer has not settled. True: it speaks something
 * else, and the connection is over. */
bool first_is_other(struct transport *t, const uint8_t *p, size_t n);
/* transport_messages.c (task): DATA and ends of streams. */
/* All DATA of a request, which is fresh: its message, and its end. False: it is not one that is
 * plain, small, and whole, and nothing was done. */
bool messages_request(struct rpc_stream *s, const uint8_t *p, size_t len);
void messages_data(struct rpc_stream *s, const uint8_t *p, size_t len);
size_t messages_runs(struct transport *t, const uint8_t *p, size_t n); /* see h2_in_run */
/* All the DATA of an answer that ends with code, as messages_data and stream_finish. False: it is
 * not the usual case, and nothing was done. */
bool messages_answer(struct rpc_stream *s, const uint8_t *p, size_t len, sennit_code code);
void messages_tell(struct rpc_stream *s); /* its receiver, of the whole messages in s->open */
void messages_end(struct rpc_stream *s);  /* END_STREAM on DATA, or on a request's HEADERS */
void messages_fail(struct rpc_stream *s, uint32_t h2_code, sennit_code code, const char *text);
void messages_page(struct rpc_stream *s, const uint8_t *p, size_t len); /* see rpc_page */
void messages_drop(struct rpc_stream *s);                               /* half-read message */
void messages_wanted(struct rpc_stream *s);                             /* its receiver waits */

#endif
