/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * h2.h: RFC 9113 without I/O: two single-threaded machines that know neither threads nor sockets.
 *   h2_in   octets in, events out: frames, HPACK, receive windows, stream states, abuse budget.
 *           Used by the connection's reader alone, without a lock.
 *   h2_out  commands in, octets out: HPACK encoder, send windows, stream ids, pending list.
 *           Used under the connection's write lock; never allocates there (see h2_out_reserve).
 * What the reader saw is applied to h2_out by the transport (SETTINGS, WINDOW_UPDATE, acks); what
 * the writers did is told to h2_in by it (h2_in_opened, h2_in_local_end, h2_in_forget). */
#ifndef SENNIT_H2_H2_H
#define SENNIT_H2_H2_H

#include "base/limits.h"
#include "base/list.h"
#include "h2/hpack.h"

#define H2_FRAME_HEADER  9u
#define H2_DEFAULT_FRAME 16384u /* least value of SETTINGS_MAX_FRAME_SIZE */

enum h2_error {
    H2_NO_ERROR,
    H2_PROTOCOL_ERROR,
    H2_INTERNAL_ERROR,
    H2_FLOW_CONTROL_ERROR,
    H2_SETTINGS_TIMEOUT,
    H2_STREAM_CLOSED,
    H2_FRAME_SIZE_ERROR,
    H2_REFUSED_STREAM,
    H2_CANCEL,
    H2_COMPRESSION_ERROR,
    H2_CONNECT_ERROR,
    H2_ENHANCE_YOUR_CALM,
    H2_INADEQUATE_SECURITY,
    H2_HTTP_1_1_REQUIRED
};
const char *h2_error_name(uint32_t code); /* "PROTOCOL_ERROR"; "UNKNOWN" */

/* What a peer can make us do for nothing; h2_in counts each kind and charges one budget. */
enum h2_glitch {
    H2_GLITCH_RESET,              /* server: RST_STREAM of the peer, or of ours that it provoked */
    H2_GLITCH_STREAM_ERROR,       /* it broke a rule on one stream */
    H2_GLITCH_REFUSED,            /* streams over the limit, or after GOAWAY */
    H2_GLITCH_CLOSED,             /* frames on closed streams */
    H2_GLITCH_PRIORITY,           /* RFC 7540's, ignored */
    H2_GLITCH_SETTINGS,           /* and acks that nobody waits for */
    H2_GLITCH_PING,               /* and acks */
    H2_GLITCH_GOAWAY,             /* each beyond the first ones */
    H2_GLITCH_WINDOW_UPDATE,      /* earned by DATA that we send */
    H2_GLITCH_EMPTY_DATA,         /* DATA without octets and END_STREAM */
    H2_GLITCH_EMPTY_CONTINUATION, /* which caps on octets do not see */
    H2_GLITCH_INTERIM,            /* 1xx responses */
    H2_GLITCH_UNKNOWN,            /* frames of unknown type */
    H2_GLITCH_HEADER_LIST,        /* header lists over the limit */
    H2_GLITCHES
};
const char *h2_glitch_text(enum h2_glitch g); /* "too many PINGs" */

struct h2_config {
    bool server;
    bool static_windows;             /* they do not grow with bandwidth times delay */
    uint32_t max_concurrent_streams; /* server: announced and kept */
    uint32_t glitches;               /* the budget; 0: LIMIT_GLITCHES, UINT32_MAX: never spent */
    uint32_t initial_window;         /* of each stream, receiving */
    uint32_t connection_window;      /* receiving; given back on arrival */
    uint32_t max_header_list;
    uint32_t max_frame; /* that we accept; 16384 */
};

/* -- receiving ------------------------------------------------------------------------------- */

enum h2_event_kind {
    H2_EV_NONE,         /* all octets used, nothing to tell */
    H2_EV_HEADERS,      /* first header block of a stream: fields, end_stream */
    H2_EV_TRAILERS,     /* the last header block (1xx blocks before the first are never told) */
    H2_EV_DATA,         /* data, len, end_stream; credit = flow-controlled octets, with padding */
    H2_EV_RST,          /* peer reset: code. The stream is gone from h2_in */
    H2_EV_STREAM_ERROR, /* the peer erred on stream id: send RST with code. Gone from h2_in (user
                           tells the owner; NULL: a stream that never came into being) */
    H2_EV_REFUSED,      /* server: over the limit or draining: send RST REFUSED_STREAM */
    H2_EV_SETTINGS,     /* peer's settings changed (in->peer): apply to h2_out, which also acks */
    H2_EV_SETTINGS_ACK,
    H2_EV_PING, /* answer with the same opaque */
    H2_EV_PING_ACK,
    H2_EV_WINDOW, /* increment of stream id (0: connection) */
    H2_EV_GOAWAY, /* last_id, code, data/len = debug text */
    H2_EV_HTTP1,  /* server, instead of a preface: an HTTP/1 request line; connection over */
    H2_EV_ERROR   /* connection error: code, text (static). Nothing more will be parsed */
};
struct h2_event {
    enum h2_event_kind kind;
    uint32_t id, code, increment, last_id;
    bool end_stream;
    bool gone;    /* with this event both ends have come: the stream left h2_in */
    void *user;   /* of the stream, as set by h2_in_opened or h2_in_set_user */
    void **owner; /* HEADERS of a request: what h2_in_set_user would set, until the next call */
    const struct h2_field *fields; /* until the next h2_in_next */
    size_t n_fields;
    const struct hpack_run *run; /* that fields begin with; or NULL */
    bool fields_too_large;       /* header list over the limit: answer 431 or RESOURCE_EXHAUSTED */
    const uint8_t *data;         /* in the caller's buffer */
    size_t len;
    uint32_t credit; /* DATA: to be handed to h2_in_consumed, sooner or later */
    uint8_t opaque[8];
    const char *text; /* ERROR, STREAM_ERROR: why (static) */
};
struct h2_settings {
    uint32_t header_table_size, enable_push, max_concurrent_streams, initial_window, max_frame,
        max_header_list;
    uint32_t least_table_size; /* ever said: the encoder must pass it on its way */
};

struct h2_in;
struct h2_in *h2_in_new(const struct h2_config *c); /* NULL: no memory */
void h2_in_free(struct h2_in *in);
/* Parses from p: sets *used (octets consumed; incomplete frame headers and header blocks are kept
 * inside, DATA is passed on in pieces) and fills ev. Call again while *used < n or ev->kind is not
 * NONE. After ERROR it returns NONE and swallows all. */
void h2_in_next(struct h2_in *in, const uint8_t *p, size_t n, size_t *used, struct h2_event *ev);
/* Right after H2_EV_HEADERS of a request that has not ended, with what comes next: if that begins
 * with all of its DATA, one frame with END_STREAM, whole and nothing unusual about it, that goes
 * into the same event, as an H2_EV_DATA would tell it. Returns the octets used; 0: it does not. */
size_t h2_in_with_data(struct h2_in *in, const uint8_t *p, size_t n, struct h2_event *ev);
/* The usual case of h2_in_next, many times at once: p begins with whole DATA frames of one stream
 * that lives, without padding or END_STREAM, none of them empty. Takes as many as there are, as
 * h2_in_next would, and fills run; how many octets they have, with their headers. 0: nothing was
 * done, h2_in_next must look. */
struct h2_run {
    void *user;
    uint32_t id, octets; /* octets: of data, all of it credit */
};
/* The data of a run's frame at p; the next one begins behind it. */
static inline const uint8_t *h2_run_data(const uint8_t *p, uint32_t *len)
{
    *len = load_be24(p);
    return p + H2_FRAME_HEADER;
}
bool h2_in_runs(const struct h2_in *in); /* asked before, and again after each h2_in_next */
static inline bool h2_run_likely(const uint8_t *p, size_t n) /* DATA without flags */
{
    return n > H2_FRAME_HEADER && !(p[3] | p[4]);
}
size_t h2_in_run(struct h2_in *in, const uint8_t *p, size_t n, struct h2_run *run);
/* Client: an answer to a stream that we have ended: head, one DATA frame and trailers, both blocks
 * such as h2_in_learn was told of. */
struct h2_answer {
    uint32_t id, len;
    const uint8_t
        *data;          /* in the caller's buffer; len is not 0, and need not be told as consumed */
    void *user;         /* of the stream, which has left h2_in */
    uint8_t head, tail; /* what was said of them */
};
/* Takes one that p begins with, in place of h2_in_next: the octets used. 0: it does not, or there
 * is something unusual about it; nothing was done. */
size_t h2_in_answer(struct h2_in *in, const uint8_t *p, size_t n, struct h2_answer *a);
/* For a HEADERS or TRAILERS event, before the next one: who knows said knows what its fields mean.
 * Of each kind one is remembered. Nothing is, if the event's block is no other's twin. */
void h2_in_learn(struct h2_in *in, const struct h2_event *ev, uint8_t said);
/* hpack_decoder_lend of the connection's decoder: for a turn of h2_in_next. */
void h2_in_lend(struct h2_in *in, struct hpack_scratch *s);
/* No octets have come for a while: frees what is only good for speed. */
void h2_in_rest(struct h2_in *in);
/* Not 0 while a header block, or a frame that is not DATA, is half read: its number, so that timers
 * tell a slow one from many. */
uint32_t h2_in_partial(const struct h2_in *in);
const struct h2_settings *h2_in_peer(const struct h2_in *in);
const struct h2_config *h2_in_config(const struct h2_in *in); /* never changes: for any thread */
/* Client: the transport opened id (ids rise). end: our side has ended. 0, or -1 no memory. */
int h2_in_opened(struct h2_in *in, uint32_t id, void *user, bool end);
/* Server: sets the owner of a stream that HEADERS has just announced. */
void h2_in_set_user(struct h2_in *in, uint32_t id, void *user);
/* We sent END_STREAM on id: the stream goes when the peer's end has come too. True: gone now. */
bool h2_in_local_end(struct h2_in *in, uint32_t id);
/* The same of n streams whose other end has come: all are gone now. */
void h2_in_local_ends(struct h2_in *in, const uint32_t *ids, size_t n);
/* We sent RST on id: forget it; late frames are ignored (but counted in windows and budget). */
enum h2_reset {
    H2_RESET_OURS,     /* our user's choice: costs the peer nothing */
    H2_RESET_ANSWERED, /* an early answer to a bad request: it pays, and gets it back by ending it
                        */
    H2_RESET_PROVOKED  /* it pays */
};
void h2_in_forget(struct h2_in *in, uint32_t id, enum h2_reset why);
/* The stream's receive window: add what its reader consumed. Returns the increment to send now (0:
 * not yet, or stream half closed by the peer or gone). */
uint32_t h2_in_consumed(struct h2_in *in, uint32_t id, uint32_t n);
/* Raises the stream's receive window to at least n octets outstanding (unary message of known
 * length): returns the increment to send. */
uint32_t h2_in_grant(struct h2_in *in, uint32_t id, uint32_t n);
/* The connection's window: increment to send now for what arrived since (0: not yet). */
uint32_t h2_in_connection_credit(struct h2_in *in);
/* Windows grow with bandwidth times delay. Due: append a PING with h2_bdp_opaque behind the window
 * updates, and say so with h2_in_bdp_sent. Ack: true when the ack was that PING's. Times are
 * nanoseconds of any clock that does not go back. */
extern const uint8_t h2_bdp_opaque[8];
bool h2_in_bdp_due(struct h2_in *in);
void h2_in_bdp_sent(struct h2_in *in, int64_t now);
bool h2_in_bdp_ack(struct h2_in *in, const uint8_t opaque[8], int64_t now);
/* Server: from now on new streams are refused, above the last id that was accepted. */
void h2_in_drain(struct h2_in *in);
uint32_t h2_in_last_id(const struct h2_in *in); /* highest stream of the peer that was processed */
size_t h2_in_streams(const struct h2_in *in);
/* After the connection's end: pops the owner of one remaining stream; false: none left. */
bool h2_in_pop(struct h2_in *in, void **user);
/* Client, after GOAWAY: pops the owner of one stream above last_id; false: none left. */
bool h2_in_pop_above(struct h2_in *in, uint32_t last_id, void **user);
/* Gives n back to the abuse budget, up to its size. The transport calls it for what makes a peer
 * send small frames: PINGs of ours (their acks), and time gone by (LIMIT_GLITCH_RATE a second). */
void h2_in_refill(struct h2_in *in, uint32_t n);
/* The same for DATA that we sent (out->earned: bandwidth PING, WINDOW_UPDATE of stream and
 * connection). Of the last, which readers of many streams send all at once, more than the budget's
 * size may be owed. */
void h2_in_earned(struct h2_in *in, uint32_t n);
/* How often that happened so far. */
uint64_t h2_in_glitches(const struct h2_in *in, enum h2_glitch g);
/* hpack_memo of the connection's decoder. */
void h2_in_memo(struct h2_in *in, const struct h2_field *f, uint16_t memo);

/* -- sending --------------------------------------------------------------------------------- */

/* Sending half of a stream, embedded in its owner. */
struct h2_out_stream {
    uint32_t id;   /* 0: not opened yet */
    uint32_t kept; /* what it adds to out->kept */
    int64_t window;
    struct list pending; /* in out->pending while body octets wait for all but the own window */
    struct list all;     /* in out->all: SETTINGS changes touch every stream */
    const uint8_t *body; /* unsent rest of what h2_out_data was given; must stay valid */
    size_t body_len;
    bool end_after_body; /* END_STREAM on the last DATA frame (client) */
    bool trailers_after; /* on_drained is called, and the owner then sends trailers */
    bool local_closed;   /* END_STREAM or RST was appended */
    bool lasts;          /* body: as h2_out_ref says */
    /* Called from inside a h2_out call, under the same lock, when body is wholly appended after
     * having waited: the owner may append trailers or the next message. It must not allocate
     * or park. */
    void (*on_drained)(struct h2_out_stream *s);
};

/* Where the octets of a DATA frame lie that go out by reference. It stands in their place in
 * out->buf, behind the frame's header, unaligned. */
struct h2_ref {
    const uint8_t *octets;
    size_t len;
    struct h2_out_stream *s;
    size_t next; /* offset of the next one in buf; 0: none */
};
#define H2_REF_LEAST 4096u /* octets: shorter frames are copied */

struct h2_out {
    struct hpack_encoder *hpack;
    uint8_t *buf; /* octets to send: buf[sent..len) */
    size_t len, cap;
    uint8_t *spare; /* second buffer for h2_out_take */
    size_t spare_cap;
    int64_t window;   /* connection */
    uint32_t next_id; /* client: 1, 3, ... */
    struct h2_settings peer;
    struct list pending, all;
    size_t high_water;     /* DATA is appended only while len and held are below this */
    size_t tail, tail_end; /* where a DATA frame of tail_id begins and ends, which may grow */
    uint32_t tail_id;      /* while it is the last thing in buf; 0: there is none */
    size_t kept;           /* by the bodies that wait: see h2_out_shut */
    size_t held;           /* octets that were taken and that the socket did not take yet */
    size_t refs, last_ref; /* offsets in buf of the first and the last struct h2_ref; 0: none */
    size_t ref_octets;     /* what they refer to, less the room that they take */
    size_t taken_refs, taken_octets; /* of what was taken: the first, and octets to send in all */
    void (*hold)(struct h2_out_stream *s); /* for each reference; NULL: all is copied */
    bool server, begun;                    /* begun: the preface is appended */
    bool taken;                            /* the other buffer is with the caller of h2_out_take */
    bool answered;                         /* HEADERS or DATA were appended; the caller clears it */
    uint32_t earned; /* by the peer, for DATA appended: see h2_in_earned; the caller zeroes it */
};
/* Much waits for windows, and what is begun now would wait, too. */
bool h2_out_shut(const struct h2_out *o);
int h2_out_init(struct h2_out *o, bool server); /* 0, or -1 no memory */
/* Before anything else: appends preface (client), SETTINGS and the connection's window. */
#define H2_OUT_BEGIN 128 /* octets */
void h2_out_begin(struct h2_out *o, const struct h2_config *c);
void h2_out_fini(struct h2_out *o);
/* Is there room for n more octets? If not, the caller makes it without holding the lock meanwhile:
 *     while (!h2_out_room(o, n)) { size = h2_out_grow_size(o, n); unlock; b = sys.malloc(size);
 *         lock; b = h2_out_grow(o, b, size); free b after the next unlock }
 * h2_out_grow returns the old buffer, or block itself when it has become too small. */
static inline bool h2_out_room(const struct h2_out *o, size_t n) { return o->cap - o->len >= n; }
size_t h2_out_grow_size(const struct h2_out *o, size_t n);
void *h2_out_grow(struct h2_out *o, void *block, size_t size);

struct h2_header {
    const char *name, *value;
    uint32_t name_len, value_len;
    uint8_t how; /* enum hpack_index */
};
/* Room that a header block of these fields needs at most, all frame headers included. */
size_t h2_headers_bound(const struct h2_header *h, size_t n);
/* Client: gives the stream its id, links it. False: ids are exhausted. */
bool h2_out_open(struct h2_out *o, struct h2_out_stream *s);
/* Server: links the stream under the peer's id. */
void h2_out_accept(struct h2_out *o, struct h2_out_stream *s, uint32_t id);
/* Constant fields, encoded once: kept by the owner (guarded as out is) for the next block that
 * begins with the same ones. {0} has none. */
struct h2_ready {
    uint64_t epoch; /* of the encoder; 0: none */
    uint8_t len, octets[15];
};
bool h2_out_ready(const struct h2_out *o, const struct h2_ready *r); /* as fresh as the table */
/* Client: the same of a request, which ends with its body: opens s, which is zero but for
 * its lists, and leaves it ended. */
bool h2_out_request(struct h2_out *o, struct h2_out_stream *s, const struct h2_ready *head,
                    const struct h2_header *h, size_t n, const uint8_t *body, size_t len);
/* All of an answer on the peer's stream id, which was not accepted and needs not be then: head, one
 * DATA frame, tail with END_STREAM. False: nothing was done; accept it, and go the long way. */
bool h2_out_answer(struct h2_out *o, uint32_t id, const struct h2_ready *head, const uint8_t *body,
                   size_t len, const struct h2_ready *tail);
/* A block of the constants (not looked at when ready is fresh; else ready keeps what may be kept)
 * and h. Room as for all of them. */
void h2_out_headers_ready(struct h2_out *o, struct h2_out_stream *s, struct h2_ready *ready,
                          const struct h2_header *constants, size_t n_constants,
                          const struct h2_header *h, size_t n, bool end_stream);
/* HEADERS (and CONTINUATION). Needs room. */
void h2_out_headers(struct h2_out *o, struct h2_out_stream *s, const struct h2_header *h, size_t n,
                    bool end_stream);
/* Appends as much of body as windows, high water and room allow; the rest waits. True: all was
 * appended. h2_data_bound does not look at windows or at what is queued, so that it stays right
 * when the lock is dropped while room is made. */
size_t h2_data_bound(const struct h2_out *o, const struct h2_out_stream *s, size_t len);
bool h2_out_data(struct h2_out *o, struct h2_out_stream *s, const uint8_t *body, size_t len,
                 bool end_stream);
/* Appends a body that neither window, high water nor room keeps from going out whole in one frame.
 * False: nothing was done. */
bool h2_out_small(struct h2_out *o, struct h2_out_stream *s, const uint8_t *body, size_t len);
/* The same for a body that stays valid as long as s is held: its frames of some size go out from
 * where it lies, and hold was called for each. Who takes the buffer lets go of them. */
size_t h2_ref_bound(const struct h2_out *o, size_t len);
bool h2_out_ref(struct h2_out *o, struct h2_out_stream *s, const uint8_t *body, size_t len,
                bool end_stream);
/* All of a small message: the block of head and h, a DATA frame with a copy of body, and the block
 * of tail with END_STREAM. False: nothing was done, for a block is not ready, or the body is long,
 * empty or has no window, or there is no room: use the calls above. */
bool h2_out_whole(struct h2_out *o, struct h2_out_stream *s, const struct h2_ready *head,
                  const struct h2_header *h, size_t n, const uint8_t *body, size_t len,
                  const struct h2_ready *tail);
/* After the connection's end: hands over what was appended and refers to bodies (the first
 * reference's offset); 0: nothing does. The caller frees buf. */
size_t h2_out_drop(struct h2_out *o, uint8_t **buf);
/* All that is appended and not sent. */
static inline size_t h2_out_octets(const struct h2_out *o)
{
    return o->len + o->ref_octets + o->held;
}
/* A DATA frame of n octets, or n octets more of it, were appended. */
static inline void h2_out_spend(struct h2_out *o, struct h2_out_stream *s, size_t n)
{
    o->answered = true;
    s->window -= (int64_t)n;
    o->window -= (int64_t)n;
}
static inline void h2_out_earn(struct h2_out *o, size_t n)
{
    o->earned += LIMIT_GLITCH_FRAME + (uint32_t)n / LIMIT_GLITCH_OCTETS;
}
/* As h2_out_small, for a body that is not empty, but appends to the last frame, if that is of the
 * same stream, was not taken yet and is not full. So small messages sent in a row share a frame. */
static inline bool h2_out_join(struct h2_out *o, struct h2_out_stream *s, const uint8_t *body,
                               size_t len)
{
    size_t n = o->len - o->tail - H2_FRAME_HEADER + len;
    if (o->tail_id != s->id || o->tail_end != o->len || n > H2_DEFAULT_FRAME || s->body_len ||
        s->window < (int64_t)len || o->window < (int64_t)len || !h2_out_room(o, len) ||
        h2_out_octets(o) >= o->high_water)
        return false;
    sn_assert(!s->local_closed);
    store_be24(o->buf + o->tail, (uint32_t)n);
    copy_small(o->buf + o->len, body, len);
    o->tail_end = o->len += len;
    h2_out_earn(o, len);
    h2_out_spend(o, s, len);
    return true;
}
/* Appends waiting bodies, 16 KiB from each stream in turn, as far as room, windows and high water
 * go. Room that it wants for that. */
size_t h2_pump_bound(const struct h2_out *o);
void h2_out_pump(struct h2_out *o);
/* RST_STREAM for s (drops its unsent body, unlinks) or for an id without owner. 13 octets. */
void h2_out_rst(struct h2_out *o, struct h2_out_stream *s, uint32_t code);
void h2_out_rst_id(struct h2_out *o, uint32_t id, uint32_t code);
/* Unlinks s without a frame (it ended, or the connection did). Idempotent. */
void h2_out_unlink(struct h2_out *o, struct h2_out_stream *s);
/* Applies the peer's settings and appends the ack (9 octets). False: a window overflowed:
 * FLOW_CONTROL_ERROR. */
bool h2_out_settings(struct h2_out *o, const struct h2_settings *peer);
/* WINDOW_UPDATE came. s NULL: the connection's. False: overflow (stream error or connection error
 * FLOW_CONTROL_ERROR). Follow with h2_out_pump. */
bool h2_out_window(struct h2_out *o, struct h2_out_stream *s, uint32_t increment);
void h2_out_window_update(struct h2_out *o, uint32_t id, uint32_t increment); /* 13 octets */
void h2_out_ping(struct h2_out *o, const uint8_t opaque[8], bool ack);        /* 17 octets */
/* 17 octets; text is cut to what room there is beyond. */
void h2_out_goaway(struct h2_out *o, uint32_t last_id, uint32_t code, const char *text);
/* Hands over all octets that wait (the caller sends them outside the lock) and puts the spare
 * buffer in their place; the caller gives its buffer back with h2_out_give_back after the send.
 * False: none wait, or the other buffer is still out. */
bool h2_out_take(struct h2_out *o, uint8_t **buf, size_t *len, size_t *cap);
void h2_out_give_back(struct h2_out *o, uint8_t *buf, size_t cap);
/* Takes a buffer without octets away from o, which gets another by h2_out_grow; NULL: there is
 * none of at most most octets. Those of the least size have H2_OUT_LEAST. */
#define H2_OUT_LEAST 4096u
uint8_t *h2_out_strip(struct h2_out *o, size_t most);
/* hpack_encoder_wants and hpack_encoder_grow of its encoder. */
size_t h2_out_wants(const struct h2_out *o);
void *h2_out_grow_table(struct h2_out *o, void *block, size_t size);

#endif
