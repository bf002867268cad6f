/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * test_h2_frames_nghttp2.c: random legal and illegal frames, fed alike to our receiving machine and
 * to an nghttp2 session, both as servers. After each frame the verdicts are compared: nothing
 * wrong, RST_STREAM of a stream, or the connection's end, with their codes. Where the two differ
 * and RFC 9113 allows both, or is on our side, the table `argued` says which sentence; any other
 * difference fails. SENNIT_FRAMES says how many frames (CI runs a million, on a fresh seed). */
#include "frames.h"
#include <nghttp2/nghttp2.h>

enum kind { GOOD, STREAM, CONNECTION };
struct verdict {
    enum kind kind;
    uint32_t id, code;
};

static nghttp2_session *other;
static uint32_t top; /* the next fresh stream */
static const char *last_frame;

/* -- the two judges --------------------------------------------------------------------------- */

static struct verdict ours;
static void judge(const struct h2_event *ev)
{
    if (ev->kind == H2_EV_ERROR)
        ours = (struct verdict){ CONNECTION, 0, ev->code };
    if (ours.kind == GOOD && (ev->kind == H2_EV_STREAM_ERROR || ev->kind == H2_EV_REFUSED))
        ours = (struct verdict){ STREAM, ev->id, ev->code };
}

static struct verdict theirs_now(void)
{
    struct verdict v = { GOOD, 0, 0 };
    const uint8_t *p;
    for (ssize_t n; (n = nghttp2_session_mem_send(other, &p)) > 0;) {
        for (size_t at = 0; at + 9 <= (size_t)n; at += 9 + load_be24(p + at)) {
            const uint8_t *f = p + at;
            if (f[3] == H2_GOAWAY)
                v = (struct verdict){ CONNECTION, 0, load_be32(f + 13) };
            else if (f[3] == H2_RST_STREAM && v.kind == GOOD)
                v = (struct verdict){ STREAM, load_be32(f + 5) & 0x7fffffff, load_be32(f + 9) };
        }
    }
    return v;
}

/* -- frames ----------------------------------------------------------------------------------- */

static uint32_t below(uint32_t n) { return test_random() % n; }
static uint32_t some_stream(void)
{
    return below(20) == 0 ? below(2 * top + 4) : top > 1 ? 2 * below(top / 2) + 1 : 1;
}
#define WHOLE REQUEST, ":authority", "a" /* nghttp2 wants an :authority or host */
static void new_stream(void)
{
    static const char *const fields[][12] = {
        { WHOLE },
        { WHOLE },
        { WHOLE, "te", "trailers" },
        { WHOLE, "content-length", "3" },
        { WHOLE, "connection", "close" },
        { WHOLE, "Upper", "x" },
        { ":method", "POST", ":path", "/", ":authority", "a" },
        { WHOLE, ":path", "/" },
        { "x", "y", WHOLE },
        { WHOLE, "te", "gzip" },
    };
    headers(top, below(2) ? H2_END_STREAM : 0, fields[below(countof(fields))]);
    top += 2;
}
static void later_headers(void)
{
    uint32_t id = some_stream();
    if (below(3))
        trailers(id);
    else if (below(2))
        headers(id, 0, FIELDS("a", "b"));
    else
        headers(id, H2_END_STREAM, FIELDS(":path", "/"));
}
static void some_data(void)
{
    unsigned end = below(3) == 0 ? H2_END_STREAM : 0;
    if (below(10) == 0)
        data_padded(some_stream(), below(10), (uint8_t)below(20), end);
    else
        data(some_stream(), below(10), end);
}
static void some_settings(void)
{
    static const uint32_t values[] = { 0, 1, 2, 100, 16383, 16384, 65535, 0x7fffffff, 0x80000000 };
    setting(1 + below(7), values[below(countof(values))]);
}
static void wrong_length(void)
{
    static const uint8_t types[] = { H2_PRIORITY, H2_RST_STREAM,    H2_PING,
                                     H2_GOAWAY,   H2_WINDOW_UPDATE, H2_SETTINGS };
    uint8_t type = types[below(countof(types))];
    size_t n = below(12);
    bool zero = type == H2_PING || type == H2_GOAWAY || type == H2_SETTINGS;
    frame(n, type, 0, zero ? 0 : some_stream());
    zeros(n);
}
static void some_window(void)
{
    window_update(below(4) ? some_stream() : 0, below(10) == 0   ? 0
                                                : below(10) == 0 ? 0x7fffffff
                                                                 : below(1000));
}
static void split_block(void)
{
    uint32_t id = top;
    size_t n = put_fields(block, FIELDS(WHOLE)), at = below((uint32_t)n);
    top += 2;
    frame_with(H2_HEADERS, H2_END_STREAM, id, block, at);
    if (below(5) == 0)
        ping(0);
    frame_with(H2_CONTINUATION, H2_END_HEADERS, below(8) ? id : id + 2, block + at, n - at);
}
static void any_frame(void)
{
    uint32_t id = some_stream();
    size_t n = below(20);
    frame(n, below(12), test_random() & 0xff, below(3) ? id : 0);
    for (; n; n--) {
        uint8_t octet = (uint8_t)test_random();
        raw(&octet, 1);
    }
}
static void some_rst(void) { rst(some_stream(), below(14)); }
static void some_ping(void) { ping(below(2)); }
static void some_priority(void) { priority(some_stream(), below(top + 4)); }
static void some_unknown(void) { frame(0, 0x20 + below(200), test_random() & 0xff, below(10)); }
static void some_goaway(void) { goaway(0, below(14), "x"); }
static void some_continuation(void) { frame(0, H2_CONTINUATION, H2_END_HEADERS, some_stream()); }
static void some_push(void) { frame_with(H2_PUSH_PROMISE, H2_END_HEADERS, 1, "\0\0\0\2", 4); }

static const struct {
    void (*make)(void);
    const char *name;
    uint32_t weight;
} kinds[] = {
    { new_stream, "request", 30 },
    { some_data, "DATA", 30 },
    { later_headers, "trailers", 15 },
    { some_rst, "RST_STREAM", 10 },
    { some_window, "WINDOW_UPDATE", 8 },
    { some_settings, "SETTINGS", 3 },
    { some_ping, "PING", 2 },
    { some_priority, "PRIORITY", 4 },
    { some_unknown, "unknown", 2 },
    { wrong_length, "wrong length", 1 },
    { split_block, "split block", 4 },
    { some_continuation, "CONTINUATION", 1 },
    { some_push, "PUSH_PROMISE", 1 },
    { any_frame, "any", 2 },
    { some_goaway, "GOAWAY", 1 },
};
static void make_frame(void)
{
    uint32_t all = 0, pick;
    for (size_t i = 0; i < countof(kinds); i++)
        all += kinds[i].weight;
    pick = below(all);
    size_t i = 0;
    for (; pick >= kinds[i].weight; i++)
        pick -= kinds[i].weight;
    last_frame = kinds[i].name;
    kinds[i].make();
}

/* -- differences with their reasons ----------------------------------------------------------- */

#define ANY UINT32_MAX
static const struct {
    struct verdict ours, theirs; /* ids are not compared; ANY code */
    int type;                    /* of the frame; -1: any */
    const char *why;
} argued[] = {
    { { STREAM, 0, H2_STREAM_CLOSED },
      { CONNECTION, 0, H2_STREAM_CLOSED },
      -1,
      "5.1: half-closed (remote), and closed by RST_STREAM: \"MUST be treated as a stream error of "
      "type STREAM_CLOSED\"" },
    { { GOOD, 0, 0 },
      { CONNECTION, 0, H2_STREAM_CLOSED },
      -1,
      "5.1: \"An endpoint that sends a RST_STREAM frame on a stream [...] MUST be prepared to "
      "receive "
      "any frames that were sent or queued\": they are ignored, and counted" },
    { { STREAM, 0, H2_PROTOCOL_ERROR },
      { CONNECTION, 0, H2_PROTOCOL_ERROR },
      H2_PRIORITY,
      "RFC 7540 5.3.1: a stream that depends on itself is \"a stream error of type "
      "PROTOCOL_ERROR\"" },
    { { STREAM, 0, H2_PROTOCOL_ERROR },
      { CONNECTION, 0, H2_PROTOCOL_ERROR },
      H2_HEADERS,
      "the same in HEADERS" },
    { { STREAM, 0, H2_PROTOCOL_ERROR },
      { CONNECTION, 0, H2_PROTOCOL_ERROR },
      H2_WINDOW_UPDATE,
      "6.9: an increment of 0 is \"a stream error of type PROTOCOL_ERROR\"" },
    { { STREAM, 0, H2_FRAME_SIZE_ERROR },
      { CONNECTION, 0, H2_FRAME_SIZE_ERROR },
      H2_PRIORITY,
      "6.3: a length other than 5 is \"a stream error of type FRAME_SIZE_ERROR\"" },
    { { GOOD, 0, 0 },
      { CONNECTION, 0, H2_FLOW_CONTROL_ERROR },
      H2_WINDOW_UPDATE,
      "send windows are judged by h2_out (test_h2_out), which is not played here" },
    { { GOOD, 0, 0 },
      { STREAM, 0, H2_FLOW_CONTROL_ERROR },
      H2_WINDOW_UPDATE,
      "the same, of a stream" },
    { { STREAM, 0, H2_REFUSED_STREAM },
      { CONNECTION, 0, H2_PROTOCOL_ERROR },
      H2_HEADERS,
      "5.1.2: over the limit is \"a stream error of type PROTOCOL_ERROR or REFUSED_STREAM\"" },
    { { CONNECTION, 0, ANY },
      { CONNECTION, 0, ANY },
      -1,
      "frames with more than one mistake: 5.4 does not say which code wins" },
    { { GOOD, 0, 0 },
      { CONNECTION, 0, H2_COMPRESSION_ERROR },
      H2_HEADERS,
      "4.3: a block is decoded when its last frame is there" },
    { { GOOD, 0, 0 },
      { STREAM, 0, H2_PROTOCOL_ERROR },
      H2_HEADERS,
      "the same: and its fields are judged then" },
    { { CONNECTION, 0, H2_PROTOCOL_ERROR },
      { GOOD, 0, 0 },
      H2_HEADERS,
      "5.1.1: an id that is not higher than all before is \"a connection error of type "
      "PROTOCOL_ERROR\"" },
    { { STREAM, 0, H2_STREAM_CLOSED },
      { GOOD, 0, 0 },
      -1,
      "5.1: after the peer's RST_STREAM any frame but PRIORITY is \"a stream error of type "
      "STREAM_CLOSED\"" },
    { { GOOD, 0, 0 },
      { CONNECTION, 0, H2_PROTOCOL_ERROR },
      H2_GOAWAY,
      "6.8: a client's last stream id names a server's stream, and we open none" },
    { { GOOD, 0, 0 },
      { CONNECTION, 0, H2_PROTOCOL_ERROR },
      H2_SETTINGS,
      "6.5.2: an unknown setting \"MUST be ignored\"; RFC 9218's and 8441's are unknown to us" },
    { { GOOD, 0, 0 }, { STREAM, 0, H2_FLOW_CONTROL_ERROR }, H2_SETTINGS, "send windows again" },
    { { CONNECTION, 0, H2_FRAME_SIZE_ERROR },
      { GOOD, 0, 0 },
      H2_DATA,
      "6.1: a frame without its padding length is malformed, on closed streams, too" },
};
static bool matches(struct verdict pattern, struct verdict v)
{
    return pattern.kind == v.kind && (pattern.code == ANY || pattern.code == v.code);
}
static bool is_argued(struct verdict theirs, int type)
{
    for (size_t i = 0; i < countof(argued); i++) {
        if (matches(argued[i].ours, ours) && matches(argued[i].theirs, theirs) &&
            (argued[i].type < 0 || argued[i].type == type))
            return true;
    }
    return false;
}

/* -- sessions --------------------------------------------------------------------------------- */

static void start(void)
{
    nghttp2_session_callbacks *cb;
    nghttp2_settings_entry first[] = { { NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, 4 } };
    check_int(nghttp2_session_callbacks_new(&cb), 0);
    check_int(nghttp2_session_server_new(&other, cb, NULL), 0);
    nghttp2_session_callbacks_del(cb);
    check_int(nghttp2_submit_settings(other, 0, first, 1), 0);
    struct h2_config c = server_config;
    c.connection_window = 65535;
    session_start(&c);
    session.hook = judge;
    top = 1;
}

/* False: the session is over. */
static bool one_frame(void)
{
    int type = script.octets[3];
    ours = (struct verdict){ GOOD, 0, 0 };
    ssize_t used = nghttp2_session_mem_recv(other, script.octets, script.len);
    struct verdict theirs = theirs_now();
    if (used < 0 && theirs.kind != CONNECTION)
        theirs = (struct verdict){ CONNECTION, 0, ANY };
    feed();
    h2_in_refill(session.in, 100);
    bool alike = ours.kind == theirs.kind && ours.id == theirs.id && ours.code == theirs.code;
    if (!alike && !is_argued(theirs, type))
        test_failed(__FILE__, __LINE__, "%s: we %d %u %s (%s), nghttp2 %d %u %s", last_frame,
                    ours.kind, ours.id, h2_error_name(ours.code),
                    session.last.text ? session.last.text : "", theirs.kind, theirs.id,
                    h2_error_name(theirs.code));
    return alike && ours.kind != CONNECTION && type != H2_GOAWAY; /* nghttp2 is deaf after it */
}

TEST_WITH(random_frames_are_judged_as_nghttp2_does, 600, false)
{
    const char *count = getenv("SENNIT_FRAMES");
    unsigned long left = count ? strtoul(count, NULL, 10) : 60000;
    while (left) {
        start();
        preface(), settings(), settings_ack();
        last_frame = "preface";
        bool on = one_frame();
        check(on);
        for (int i = 0; on && i < 200 && left; i++, left--) {
            make_frame();
            on = one_frame();
        }
        nghttp2_session_del(other);
    }
    session_end();
}
