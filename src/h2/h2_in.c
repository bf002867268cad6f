/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * h2_in.c: octets to frames. The machine is a pointer to the step that takes the next octets; there
 * is no switch over states. A frame that lies whole in the caller's buffer is parsed there; a split
 * frame header, control frame or header block is collected in a small buffer of our own, DATA
 * never.
 *
 * The abuse budget: a connection starts with LIMIT_GLITCHES tokens. Whatever makes work without
 * moving an RPC along (enum h2_glitch) costs one, where the work is done and not where the frame is
 * read. A stream that ends well gives LIMIT_GLITCH_REFILL back, LIMIT_GLITCH_OCTETS of DATA give
 * one, and the transport adds what our own DATA, our PINGs and the time gone by are worth. So a
 * well-behaved peer never notices, whatever its habits, and every flood of the rapid-reset kind
 * ends after about a thousand frames with ENHANCE_YOUR_CALM.
 *
 * Owned by the connection's reader; no locks, no threads. */
#include "h2/h2_in_private.h"

#define IN_BLOCK_KEEP 4096u /* a larger collecting buffer is freed after use */

enum in_id { IN_ID_ANY, IN_ID_STREAM, IN_ID_ZERO };
static const struct {
    bool (*begin)(struct h2_in *in, struct h2_event *ev);
    enum in_id id;
} in_types[H2_FRAME_TYPES] = {
    [H2_DATA] = { h2_in_begin_data, IN_ID_STREAM },
    [H2_HEADERS] = { h2_in_begin_headers, IN_ID_STREAM },
    [H2_PRIORITY] = { h2_in_begin_control, IN_ID_STREAM },
    [H2_RST_STREAM] = { h2_in_begin_control, IN_ID_STREAM },
    [H2_SETTINGS] = { h2_in_begin_control, IN_ID_ZERO },
    [H2_PUSH_PROMISE] = { h2_in_begin_control, IN_ID_ANY },
    [H2_PING] = { h2_in_begin_control, IN_ID_ZERO },
    [H2_GOAWAY] = { h2_in_begin_control, IN_ID_ZERO },
    [H2_WINDOW_UPDATE] = { h2_in_begin_control, IN_ID_ANY },
    [H2_CONTINUATION] = { h2_in_begin_continuation, IN_ID_STREAM },
};

BASE_COLD const char *h2_error_name(uint32_t code)
{
    static const char *const names[] = { "NO_ERROR",
                                         "PROTOCOL_ERROR",
                                         "INTERNAL_ERROR",
                                         "FLOW_CONTROL_ERROR",
                                         "SETTINGS_TIMEOUT",
                                         "STREAM_CLOSED",
                                         "FRAME_SIZE_ERROR",
                                         "REFUSED_STREAM",
                                         "CANCEL",
                                         "COMPRESSION_ERROR",
                                         "CONNECT_ERROR",
                                         "ENHANCE_YOUR_CALM",
                                         "INADEQUATE_SECURITY",
                                         "HTTP_1_1_REQUIRED" };
    return code < countof(names) ? names[code] : "UNKNOWN";
}

/* -- errors and the budget ------------------------------------------------------------------- */

static bool in_step_dead(struct h2_in *in, struct h2_event *ev)
{
    (void)ev;
    in->at = in->end;
    return false;
}

bool h2_in_fail(struct h2_in *in, struct h2_event *ev, enum h2_error code, const char *text)
{
    *ev = (struct h2_event){ .kind = H2_EV_ERROR, .code = code, .text = text };
    in->dead = true;
    in->step = in_step_dead;
    return true;
}

const char *h2_glitch_text(enum h2_glitch g)
{
    static const char *const texts[H2_GLITCHES] = {
        [H2_GLITCH_RESET] = "too many resets",
        [H2_GLITCH_STREAM_ERROR] = "too many stream errors",
        [H2_GLITCH_REFUSED] = "too many streams over the limit",
        [H2_GLITCH_CLOSED] = "too many frames on closed streams",
        [H2_GLITCH_PRIORITY] = "too many PRIORITY frames",
        [H2_GLITCH_SETTINGS] = "too many SETTINGS frames",
        [H2_GLITCH_PING] = "too many PINGs",
        [H2_GLITCH_GOAWAY] = "too many GOAWAYs",
        [H2_GLITCH_WINDOW_UPDATE] = "too many WINDOW_UPDATEs",
        [H2_GLITCH_EMPTY_DATA] = "too many empty DATA frames",
        [H2_GLITCH_EMPTY_CONTINUATION] = "too many empty CONTINUATION frames",
        [H2_GLITCH_INTERIM] = "too many interim responses",
        [H2_GLITCH_UNKNOWN] = "too many frames of unknown type",
        [H2_GLITCH_HEADER_LIST] = "too many header lists over the limit",
    };
    return texts[g];
}

void h2_in_spend(struct h2_in *in, enum h2_glitch g)
{
    in->counts[g]++;
    if (in->glitches > 0)
        in->glitches -= in->most_glitches != UINT32_MAX;
    else if (!in->too_many)
        in->too_many = h2_glitch_text(g); /* told before the next frame: no event is lost */
}

void h2_in_refill(struct h2_in *in, uint32_t n) { in_refill(in, n); }

void h2_in_earned(struct h2_in *in, uint32_t n)
{
    h2_in_refill(in, n);
    in->updates = (uint32_t)min_size((size_t)in->updates + n, LIMIT_GLITCH_UPDATES);
}

uint64_t h2_in_glitches(const struct h2_in *in, enum h2_glitch g) { return in->counts[g]; }

/* The peer erred on one stream. RST_STREAM on an idle stream is forbidden: the connection ends. */
bool h2_in_stream_error(struct h2_in *in, struct h2_event *ev, uint32_t id, enum h2_error code,
                        const char *text)
{
    struct h2_in_stream *s = h2_in_find(in, id);
    if (h2_in_idle(in, id))
        return h2_in_fail(in, ev, code, text);
    *ev = (struct h2_event){ .kind = H2_EV_STREAM_ERROR, .id = id, .code = code, .text = text };
    if (s) {
        ev->user = s->user;
        h2_in_remove(in, s, H2_IN_WE_RESET);
    } else {
        h2_in_remember(in, id, H2_IN_WE_RESET);
    }
    h2_in_spend(in, H2_GLITCH_STREAM_ERROR);
    return true;
}

/* -- octets ---------------------------------------------------------------------------------- */

BASE_COLD bool h2_in_append(struct h2_in *in, const uint8_t *p, size_t n)
{
    if (n == 0)
        return true;
    size_t want = in->block_len + n;
    sn_assert(want <= max_size(in->block_most, 8 + LIMIT_GOAWAY_TEXT));
    if (want > in->block_cap) {
        size_t cap = in->block_cap ? in->block_cap : 512;
        while (cap < want)
            cap *= 2;
        uint8_t *block = sys.realloc(in->block, cap);
        if (!block)
            return false;
        in->block = block, in->block_cap = (uint32_t)cap;
    }
    memcpy(in->block + in->block_len, p, n);
    in->block_len += (uint32_t)n;
    return true;
}

int h2_in_collect(struct h2_in *in, struct h2_event *ev, const uint8_t **p)
{
    size_t have = (size_t)(in->end - in->at);
    if (in->block_len == 0 && have >= in->need) {
        *p = in->at;
        in->at += in->need;
        return 1;
    }
    size_t take = min_size(have, in->need - in->block_len);
    if (!h2_in_append(in, in->at, take)) {
        h2_in_fail(in, ev, H2_INTERNAL_ERROR, "out of memory");
        return -1;
    }
    in->at += take;
    if (in->block_len < in->need)
        return 0;
    *p = in->block;
    in->block_len = 0; /* the octets stay where they are until the next frame */
    return 1;
}

bool h2_in_step_skip(struct h2_in *in, struct h2_event *ev)
{
    (void)ev;
    size_t n = min_size(in->rest, (size_t)(in->end - in->at));
    in->at += n;
    in->rest -= (uint32_t)n;
    if (in->rest)
        return false;
    in->step = NULL;
    return true;
}

/* -- frame headers --------------------------------------------------------------------------- */

BASE_COLD static bool in_first_frame(struct h2_in *in, struct h2_event *ev, const uint8_t *p)
{
    if (!in->c.server && memcmp(p, "HTTP/", 5) == 0)
        return h2_in_fail(in, ev, H2_PROTOCOL_ERROR, "the peer speaks HTTP/1");
    if (in->frame.type != H2_SETTINGS || (in->frame.flags & H2_ACK))
        return h2_in_fail(in, ev, H2_PROTOCOL_ERROR, "the first frame is not SETTINGS");
    return false;
}

static bool in_other_frame(struct h2_in *in, struct h2_event *ev)
{
    const struct h2_in_frame *f = &in->frame;
    in->frames += f->type != H2_CONTINUATION;
    in->passing = f->type == H2_DATA || f->type >= H2_FRAME_TYPES;
    if (f->len > in->c.max_frame)
        return h2_in_fail(in, ev, H2_FRAME_SIZE_ERROR, "frame larger than SETTINGS_MAX_FRAME_SIZE");
    if (in->block_id && (f->type != H2_CONTINUATION || f->id != in->block_id))
        return h2_in_fail(in, ev, H2_PROTOCOL_ERROR, "header block interrupted");
    if (f->type >= H2_FRAME_TYPES) {
        h2_in_spend(in, H2_GLITCH_UNKNOWN);
        return h2_in_skip(in, f->len);
    }
    enum in_id id = in_types[f->type].id;
    if (id == IN_ID_STREAM && f->id == 0)
        return h2_in_fail(in, ev, H2_PROTOCOL_ERROR, "frame needs a stream id");
    if (id == IN_ID_ZERO && f->id != 0)
        return h2_in_fail(in, ev, H2_PROTOCOL_ERROR, "frame must not have a stream id");
    return in_types[f->type].begin(in, ev);
}

/* A frame's header that does not lie whole in the caller's buffer; NULL: more of it is to come. */
BASE_COLD static const uint8_t *in_split_header(struct h2_in *in)
{
    size_t take = min_size((size_t)(in->end - in->at), H2_FRAME_HEADER - in->small_len);
    if (take)
        memcpy(in->small + in->small_len, in->at, take);
    in->at += take;
    in->small_len += (uint32_t)take;
    if (in->small_len < H2_FRAME_HEADER)
        return NULL;
    in->small_len = 0;
    return in->small;
}

static bool in_header(struct h2_in *in, struct h2_event *ev)
{
    const uint8_t *p = in->at;
    in->passing = false;
    if (unlikely(in->too_many))
        return h2_in_fail(in, ev, H2_ENHANCE_YOUR_CALM, in->too_many);
    if (likely(in->small_len == 0 && in->end - p >= H2_FRAME_HEADER))
        in->at += H2_FRAME_HEADER;
    else if (!(p = in_split_header(in)))
        return false;
    uint64_t head = load_be64(p);
    uint32_t len = (uint32_t)(head >> 40), id = (uint32_t)(head << 8 | p[8]) & 0x7fffffff;
    uint8_t type = (uint8_t)(head >> 32);
    in->frame = (struct h2_in_frame){ len, id, type, (uint8_t)(head >> 24) };
    if (unlikely(!in->settled) && in_first_frame(in, ev, p))
        return true;
    if (unlikely(type > H2_HEADERS || id == 0 || in->block_id || len > in->c.max_frame))
        return in_other_frame(in, ev);
    in->frames++;
    if (type == H2_HEADERS)
        return h2_in_begin_headers(in, ev);
    in->passing = true;
    return h2_in_begin_data(in, ev);
}

/* -- preface --------------------------------------------------------------------------------- */

/* An HTTP/1 request line, octet by octet: METHOD SP target SP "HTTP/1". States: 0 nothing yet, 1 in
 * the method, 2 in the target, 3.. in the version. */
enum { HTTP1_NOTHING, HTTP1_METHOD, HTTP1_TARGET, HTTP1_VERSION };
static const char http1_version[] = "HTTP/1";

/* 1: it is one; 0: it may become one; -1: no. */
static int in_http1(struct h2_in *in, uint8_t c)
{
    if (in->http1 <= HTTP1_METHOD) {
        if (c >= 'A' && c <= 'Z')
            in->http1 = HTTP1_METHOD;
        else if (c == ' ' && in->http1 == HTTP1_METHOD)
            in->http1 = HTTP1_TARGET;
        else
            return -1;
        return 0;
    }
    if (in->http1 == HTTP1_TARGET) {
        if (c == ' ')
            in->http1 = HTTP1_VERSION;
        return c < ' ' || c == 0x7f ? -1 : 0;
    }
    if (c != (uint8_t)http1_version[in->http1 - HTTP1_VERSION])
        return -1;
    in->http1++;
    return in->http1 - HTTP1_VERSION == sizeof http1_version - 1;
}

BASE_COLD static bool in_step_http1(struct h2_in *in, struct h2_event *ev)
{
    while (in->at < in->end) {
        int r = in_http1(in, *in->at++);
        if (r < 0)
            return h2_in_fail(in, ev, H2_PROTOCOL_ERROR, "no HTTP/2 preface");
        if (r > 0) {
            *ev = (struct h2_event){ .kind = H2_EV_HTTP1 };
            in->dead = true;
            in->step = in_step_dead;
            return true;
        }
    }
    return false;
}

BASE_COLD static bool in_step_preface(struct h2_in *in, struct h2_event *ev)
{
    static const uint8_t preface[] = H2_PREFACE;
    while (in->small_len < H2_PREFACE_LEN) {
        if (in->at == in->end)
            return false;
        if (*in->at != preface[in->small_len]) {
            uint32_t matched = in->small_len;
            in->small_len = 0;
            in->step = in_step_http1;
            for (uint32_t i = 0; i < matched; i++) {
                if (in_http1(in, preface[i]) != 0)
                    return h2_in_fail(in, ev, H2_PROTOCOL_ERROR, "no HTTP/2 preface");
            }
            return true;
        }
        in->at++, in->small_len++;
    }
    in->small_len = 0;
    in->step = NULL;
    return true;
}

/* -- the machine ----------------------------------------------------------------------------- */

BASE_COLD struct h2_in *h2_in_new(const struct h2_config *c)
{
    struct h2_in *in = sys.calloc(1, sizeof *in);
    if (!in)
        return NULL;
    in->hpack = hpack_decoder_new(LIMIT_HPACK_TABLE);
    if (!in->hpack) {
        sys.free(in);
        return NULL;
    }
    sn_assert(c->max_frame >= H2_DEFAULT_FRAME && c->initial_window <= H2_MAX_WINDOW);
    in->c = *c;
    in->peer = (struct h2_settings)H2_SETTINGS_DEFAULT;
    in->step = c->server ? in_step_preface : NULL;
    in->window_full = (uint32_t)max_size(c->connection_window, H2_DEFAULT_WINDOW);
    in->window = in->window_full;
    in->target = c->initial_window;
    in->slack = c->initial_window < H2_DEFAULT_WINDOW ? H2_DEFAULT_WINDOW - c->initial_window : 0;
    in->glitches = in->most_glitches = c->glitches ? c->glitches : LIMIT_GLITCHES;
    in->block_most = (uint32_t)max_size(LIMIT_HEADER_BLOCK, 2 * (size_t)c->max_header_list);
    return in;
}

BASE_COLD void h2_in_free(struct h2_in *in)
{
    if (!in)
        return;
    hpack_decoder_free(in->hpack);
    h2_in_streams_fini(in);
    sys.free(in->block);
    sys.free(in);
}

void h2_in_rest(struct h2_in *in)
{
    hpack_decoder_rest(in->hpack);
    if (in->block_len == 0 && in->block_id == 0) {
        sys.free(in->block);
        in->block = NULL, in->block_cap = 0;
    }
    if (in->table.count == 0) {
        sys.free(in->table.slots);
        in->table = (struct h2_in_table){ 0 };
        in->latest = NULL;
    }
}

void h2_in_lend(struct h2_in *in, struct hpack_scratch *s) { hpack_decoder_lend(in->hpack, s); }

void h2_in_next(struct h2_in *in, const uint8_t *p, size_t n, size_t *used, struct h2_event *ev)
{
    if (unlikely(in->block_cap > IN_BLOCK_KEEP && in->block_len == 0)) {
        sys.free(in->block);
        in->block = NULL, in->block_cap = 0;
    }
    ev->kind = H2_EV_NONE;
    in->at = p, in->end = p + n;
    bool more;
    do {
        more = likely(!in->step) ? in_header(in, ev) : in->step(in, ev);
    } while (more && ev->kind == H2_EV_NONE);
    *used = (size_t)(in->at - p);
    in->at = in->end = NULL;
}

uint32_t h2_in_partial(const struct h2_in *in)
{
    bool whole = !in->step && in->small_len == 0;
    bool begun = in->step == in_step_preface && in->small_len == 0;
    if (in->dead || (!in->block_id && (whole || begun || in->passing)))
        return 0;
    return (in->frames & 0x7fffffff) + 1;
}

const struct h2_config *h2_in_config(const struct h2_in *in) { return &in->c; }

const struct h2_settings *h2_in_peer(const struct h2_in *in) { return &in->peer; }

void h2_in_memo(struct h2_in *in, const struct h2_field *f, uint16_t memo)
{
    hpack_memo(in->hpack, f, memo);
}
