/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * h2_in_private.h: what the h2_in*.c files share. One struct h2_in belongs to one connection's
 * reader; nothing here is thread-safe.
 *   h2_in.c          octets -> frames: preface, frame headers, collecting, skipping, budget
 *   h2_in_frames.c   control frames
 *   h2_in_headers.c  header blocks: HEADERS, CONTINUATION, what they do to a stream
 *   h2_in_check.c    are the fields of a block a well-formed message
 *   h2_in_data.c     DATA
 *   h2_in_answer.c   whole answers to a client
 *   h2_in_window.c   receive windows given back and grown
 *   h2_in_streams.c  the stream table and the memory of closed ids */
#ifndef SENNIT_H2_H2_IN_PRIVATE_H
#define SENNIT_H2_H2_IN_PRIVATE_H

#include "base/limits.h"
#include "base/sys.h"
#include "h2/h2_frame.h"

struct h2_in_stream {
    uint32_t id; /* 0: a free slot */
    bool local_closed, remote_closed, has_headers;
    bool no_refill;       /* it cost more than it was worth: its end earns nothing */
    uint32_t back;        /* consumed, not yet given back to the peer */
    uint32_t excess;      /* granted above the window: not given back when consumed */
    uint32_t grown;       /* of the window, above the initial one */
    int64_t window;       /* octets the peer may still send; negative after a late SETTINGS ack */
    int64_t content_left; /* of content-length; -1: not announced */
    void *user;
};
_Static_assert(sizeof(struct h2_in_stream) <= 48, "lies in the hash table itself");

/* Open addressing, linear probing, deletion by shifting back: pointers into it live until the next
 * add or remove. */
struct h2_in_table {
    struct h2_in_stream *slots;
    uint32_t cap, count; /* cap: 0 or a power of two */
};

/* Last ids that left the table; older ones are known to be closed, but not how. */
struct h2_in_ring {
    uint32_t *ids; /* grows up to LIMIT_CLOSED_STREAMS; 0: none yet */
    uint16_t cap, at;
};
enum h2_in_closed {
    H2_IN_UNKNOWN,    /* closed long ago, or skipped by its opener */
    H2_IN_WE_RESET,   /* late frames are to be expected */
    H2_IN_ANSWERED,   /* likewise, and its END_STREAM is worth what the reset cost */
    H2_IN_PEER_RESET, /* by its RST_STREAM */
    H2_IN_ENDED       /* both sides said END_STREAM */
};

struct h2_in_frame {
    uint32_t len, id;
    uint8_t type, flags;
};

/* The last block of its kind that h2_in_learn was told of. */
struct h2_in_known {
    uint64_t epoch;              /* of the decoder; 0: none */
    uint64_t key;                /* its frame's length, type and flags */
    uint64_t octets[2], mask[2]; /* of a head from the start, of trailers up to the end */
    uint8_t len, said;
};
_Static_assert(sizeof((struct h2_in_known *)0)->octets == HPACK_RUN_OCTETS, "holds any run");

struct h2_in {
    struct h2_config c;
    struct h2_settings peer;
    struct hpack_decoder *hpack;

    /* What to do with the next octets. A step uses octets between at and end, and either fills the
     * event, or sets the next step and returns true, or returns false: no octets left. */
    bool (*step)(struct h2_in *in, struct h2_event *ev); /* NULL: a frame's header comes */
    const uint8_t *at, *end; /* the caller's buffer, during h2_in_next only */

    struct h2_in_frame frame;
    uint32_t frames; /* counted, without CONTINUATION */
    uint32_t need;   /* octets of a control frame's payload that are looked at */
    uint32_t rest;   /* octets of the payload that are still to come */
    uint32_t pad;    /* DATA: how many of rest are padding */
    uint32_t pad_credit;
    uint32_t small_len;
    bool passing;  /* inside a payload that is not kept */
    uint8_t http1; /* state of the HTTP/1 request line matcher */
    bool block_end_stream, block_self_dependent;
    bool bdp_due, bdp_out;
    bool settled; /* the peer's first SETTINGS came */
    bool acked;   /* our SETTINGS are */
    bool going;   /* the peer sent GOAWAY */
    bool draining, dead;
    bool (*whole)(struct h2_in *in, struct h2_event *ev, const uint8_t *payload);

    uint8_t small[H2_PREFACE_LEN]; /* a split frame header */

    /* A split control frame, or the header block under way (they never interleave). */
    uint8_t *block;
    uint32_t block_len, block_cap;
    uint32_t block_most; /* octets of a header block */
    uint32_t block_id;   /* stream that CONTINUATION must follow for; 0: none */
    uint32_t continuations;
    uint32_t going_at; /* the last id of the peer's GOAWAY */

    struct h2_in_known known_head, known_tail; /* client */

    struct h2_in_table table;
    struct h2_in_stream
        *latest; /* in table: a frame's stream is mostly the one before's. Or NULL */
    struct h2_in_ring we_reset, answered, peer_reset, ended;
    uint32_t opened;           /* greatest id that was ever opened (server: seen) */
    uint32_t processed;        /* server: greatest id that was not refused */
    uint32_t pop_at, above_at; /* cursors of h2_in_pop and h2_in_pop_above */

    int64_t window;       /* connection's: octets the peer may still send */
    uint32_t window_back; /* arrived, not yet given back */
    uint32_t window_full;
    uint32_t slack; /* of each stream until our SETTINGS are acked */

    uint64_t arrived; /* octets of DATA, ever */
    uint32_t target;  /* what streams' windows grow to */
    uint32_t grown;   /* of all streams */
    uint32_t bdp_skip, bdp_again;
    int64_t bdp_at;
    uint64_t bdp_from, bdp_rate, bdp_heard;

    uint32_t glitches, most_glitches; /* left of the budget, its size */
    uint32_t updates;     /* WINDOW_UPDATEs that DATA of ours has paid for; they cost no budget */
    const char *too_many; /* of these: the budget is spent */
    uint32_t counts[H2_GLITCHES];
};

static inline void in_refill(struct h2_in *in, uint32_t n)
{
    uint32_t missing = in->most_glitches - in->glitches;
    in->glitches += n < missing ? n : missing;
}

/* h2_in.c */
BASE_COLD bool h2_in_fail(struct h2_in *in, struct h2_event *ev, enum h2_error code,
                          const char *text);
BASE_COLD bool h2_in_stream_error(struct h2_in *in, struct h2_event *ev, uint32_t id,
                                  enum h2_error code, const char *text);
void h2_in_spend(struct h2_in *in, enum h2_glitch g);
bool h2_in_step_skip(struct h2_in *in, struct h2_event *ev);
/* The rest of the frame; true. */
static inline bool h2_in_skip(struct h2_in *in, uint32_t rest)
{
    in->rest = rest;
    in->step = likely(!rest) ? NULL : h2_in_step_skip;
    return true;
}
bool h2_in_append(struct h2_in *in, const uint8_t *p, size_t n);
/* 1: need octets of payload lie at *p; 0: wait for more; -1: failed, ev is filled. */
int h2_in_collect(struct h2_in *in, struct h2_event *ev, const uint8_t **p);

/* The frame types, called when the frame header is known. */
bool h2_in_begin_control(struct h2_in *in, struct h2_event *ev);
bool h2_in_begin_data(struct h2_in *in, struct h2_event *ev);
bool h2_in_begin_headers(struct h2_in *in, struct h2_event *ev);
bool h2_in_begin_continuation(struct h2_in *in, struct h2_event *ev);

/* hpack_run.noted: fields were found well-formed; of H2_IN_REQUEST they are a whole request, as it
 * stands, without content-length. */
enum { H2_IN_CHECKED = 1, H2_IN_REQUEST };
/* h2_in_check.c: NULL: well-formed; else what is wrong. run: what the fields begin with, or NULL;
 * its note is ours. *length: content-length or -1. */
const char *h2_in_check_request(const struct h2_event *ev, struct hpack_run *run, int64_t *length);
const char *h2_in_check_response(const struct h2_event *ev, struct hpack_run *run, int64_t *length,
                                 bool *interim);
const char *h2_in_check_trailers(const struct h2_event *ev, struct hpack_run *run);

/* h2_in_streams.c */
void h2_in_streams_fini(struct h2_in *in);
struct h2_in_stream *h2_in_look_up(struct h2_in *in, uint32_t id);
static inline struct h2_in_stream *h2_in_find(struct h2_in *in, uint32_t id)
{
    struct h2_in_stream *s = in->latest;
    return likely(s && s->id == id && id) ? s : h2_in_look_up(in, id);
}
BASE_COLD bool h2_in_table_grow(struct h2_in_table *t);
BASE_COLD struct h2_in_stream *h2_in_make_room(const struct h2_in_table *t, uint32_t i);
static inline uint32_t in_slot(const struct h2_in_table *t, uint32_t id)
{
    return (id >> 1) & (t->cap - 1);
}
static inline struct h2_in_stream *in_free_slot(const struct h2_in_table *t, uint32_t id)
{
    uint32_t i = in_slot(t, id);
    return likely(!t->slots[i].id) ? &t->slots[i] : h2_in_make_room(t, i);
}
/* NULL: no memory. */
static inline struct h2_in_stream *h2_in_add(struct h2_in *in, uint32_t id)
{
    struct h2_in_table *t = &in->table;
    if (unlikely(t->count + 1 > t->cap / 2)) {
        if (!h2_in_table_grow(t))
            return NULL;
        in->latest = NULL;
    }
    struct h2_in_stream *s = in->latest = in_free_slot(t, id);
    *s = (struct h2_in_stream){ .id = id, .window = in->c.initial_window, .content_left = -1 };
    t->count++;
    return s;
}
void h2_in_remove(struct h2_in *in, struct h2_in_stream *s, enum h2_in_closed how);
void h2_in_remember(struct h2_in *in, uint32_t id, enum h2_in_closed how);
BASE_COLD enum h2_in_closed h2_in_how_closed(const struct h2_in *in, uint32_t id);
/* END_STREAM came on a stream that we had reset: the last frame to be expected. */
BASE_COLD void h2_in_late_end(struct h2_in *in, uint32_t id, enum h2_in_closed how);
bool h2_in_idle(const struct h2_in *in, uint32_t id); /* never used, or the wrong side's */
/* END_STREAM came. Invalidates s. */
void h2_in_remote_end(struct h2_in *in, struct h2_in_stream *s, struct h2_event *ev);

#endif
