/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * frames.h: for the tests of src/h2: a frame builder that can say anything, also what is forbidden,
 * and a session that feeds octets to a h2_in and writes its events down as a short text, so that a
 * test is a script and one string:
 *     S, A  SETTINGS, its ack    P, p  PING, its ack       H1, T1, D1:5  HEADERS, TRAILERS, 5
 * octets R1:8  RST_STREAM           X1:PROTOCOL_ERROR  stream error          F1  refused W1+9
 * WINDOW_UPDATE        G7:0  GOAWAY              E:PROTOCOL_ERROR  connection error A dot after H,
 * T, D: END_STREAM; an exclamation mark: fields_too_large. Pieces of DATA are added up. One script
 * at a time: all of it is static. */
#ifndef SENNIT_TEST_H2_FRAMES_H
#define SENNIT_TEST_H2_FRAMES_H

#include "base/limits.h"
#include "base/sys.h"
#include "h2/h2_frame.h"
#include "harness.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define UNUSED __attribute__((unused))

/* -- frames ---------------------------------------------------------------------------------- */

static struct {
    uint8_t octets[1 << 21];
    size_t len;
} script;

static UNUSED void raw(const void *p, size_t n)
{
    check(script.len + n <= sizeof script.octets);
    if (n)
        memcpy(script.octets + script.len, p, n);
    script.len += n;
}
static UNUSED void frame(size_t len, unsigned type, unsigned flags, uint32_t id)
{
    uint8_t h[9];
    store_be24(h, (uint32_t)len);
    h[3] = (uint8_t)type, h[4] = (uint8_t)flags;
    store_be32(h + 5, id);
    raw(h, 9);
}
static UNUSED void frame_with(unsigned type, unsigned flags, uint32_t id, const void *p, size_t n)
{
    frame(n, type, flags, id);
    raw(p, n);
}
static UNUSED void zeros(size_t n)
{
    static const uint8_t zero[1024];
    for (; n; n -= min_size(n, sizeof zero))
        raw(zero, min_size(n, sizeof zero));
}
static UNUSED void word(uint32_t v)
{
    uint8_t b[4];
    store_be32(b, v);
    raw(b, 4);
}
static UNUSED void preface(void) { raw(H2_PREFACE, H2_PREFACE_LEN); }
static UNUSED void settings(void) { frame(0, H2_SETTINGS, 0, 0); }
static UNUSED void settings_ack(void) { frame(0, H2_SETTINGS, H2_ACK, 0); }
static UNUSED void setting(unsigned id, uint32_t value)
{
    uint8_t b[6];
    store_be16(b, (uint16_t)id);
    store_be32(b + 2, value);
    frame_with(H2_SETTINGS, 0, 0, b, 6);
}
static UNUSED void data(uint32_t id, size_t n, unsigned flags)
{
    frame(n, H2_DATA, flags, id);
    zeros(n);
}
/* n octets and pad octets of padding */
static UNUSED void data_padded(uint32_t id, size_t n, uint8_t pad, unsigned flags)
{
    frame(n + pad + 1, H2_DATA, flags | H2_PADDED, id);
    raw(&pad, 1);
    zeros(n + pad);
}
static UNUSED void rst(uint32_t id, uint32_t code)
{
    frame(4, H2_RST_STREAM, 0, id);
    word(code);
}
static UNUSED void window_update(uint32_t id, uint32_t increment)
{
    frame(4, H2_WINDOW_UPDATE, 0, id);
    word(increment);
}
static UNUSED void ping(unsigned flags) { frame_with(H2_PING, flags, 0, "12345678", 8); }
static UNUSED void priority(uint32_t id, uint32_t on)
{
    frame(5, H2_PRIORITY, 0, id);
    word(on);
    raw("", 1);
}
static UNUSED void goaway(uint32_t last, uint32_t code, const char *text)
{
    frame(8 + strlen(text), H2_GOAWAY, 0, 0);
    word(last);
    word(code);
    raw(text, strlen(text));
}

/* -- header blocks: literals without indexing, no Huffman ------------------------------------ */

static UNUSED size_t put_length(uint8_t *p, size_t n)
{
    if (n < 127)
        return p[0] = (uint8_t)n, 1;
    size_t at = 1;
    p[0] = 127;
    for (n -= 127; n >= 128; n >>= 7)
        p[at++] = (uint8_t)(n | 128);
    p[at++] = (uint8_t)n;
    return at;
}
static UNUSED size_t put_field(uint8_t *p, const char *name, const char *value)
{
    size_t at = 1;
    p[0] = 0;
    at += put_length(p + at, strlen(name));
    memcpy(p + at, name, strlen(name)), at += strlen(name);
    at += put_length(p + at, strlen(value));
    memcpy(p + at, value, strlen(value)), at += strlen(value);
    return at;
}
/* names and values in turn, NULL at the end */
static UNUSED size_t put_fields(uint8_t *p, const char *const *f)
{
    size_t n = 0;
    for (; f && f[0]; f += 2)
        n += put_field(p + n, f[0], f[1]);
    return n;
}
#define REQUEST ":method", "POST", ":scheme", "http", ":path", "/s/m"
#define FIELDS(...)                                                                                \
    (const char *const[]) { __VA_ARGS__, NULL }
static uint8_t block[1 << 20];
static UNUSED void headers(uint32_t id, unsigned flags, const char *const *f)
{
    frame_with(H2_HEADERS, flags | H2_END_HEADERS, id, block, put_fields(block, f));
}
static UNUSED void request(uint32_t id, unsigned flags) { headers(id, flags, FIELDS(REQUEST)); }
static UNUSED void response(uint32_t id, unsigned flags)
{
    headers(id, flags, FIELDS(":status", "200"));
}
static UNUSED void trailers(uint32_t id) { headers(id, H2_END_STREAM, FIELDS("grpc-status", "0")); }

/* A header block in pieces of one octet but for the ends. */
static UNUSED void split_request(uint32_t id, unsigned continuations)
{
    size_t n = put_fields(block, FIELDS(REQUEST)), at = 3;
    frame_with(H2_HEADERS, H2_END_STREAM, id, block, at);
    for (unsigned i = 1; i < continuations; i++, at++)
        frame_with(H2_CONTINUATION, 0, id, block + at, 1);
    frame_with(H2_CONTINUATION, H2_END_HEADERS, id, block + at, n - at);
}

/* -- sessions -------------------------------------------------------------------------------- */

static const struct h2_config server_config = { .server = true,
                                                .max_concurrent_streams = 4,
                                                .initial_window = 65535,
                                                .connection_window = 1 << 20,
                                                .max_header_list = 16384,
                                                .max_frame = 16384 };
static const struct h2_config client_config = { .initial_window = 65535,
                                                .connection_window = 1 << 20,
                                                .max_header_list = 16384,
                                                .max_frame = 16384 };

static struct {
    struct h2_in *in;
    char log[1 << 16];
    size_t at;
    uint32_t data_id; /* DATA not written down yet */
    size_t data_len;
    bool dot, sticky;
    uint64_t octets, credit; /* of DATA events */
    struct h2_event last;
    void (*hook)(const struct h2_event *ev);
    bool runs; /* DATA is taken in runs where that is possible */
} session;

__attribute__((format(printf, 1, 2))) static UNUSED void note(const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(session.log + session.at, sizeof session.log - session.at, fmt, ap);
    va_end(ap);
    if (n > 0 && session.at + (size_t)n < sizeof session.log)
        session.at += (size_t)n;
}
static UNUSED void note_data(void)
{
    if (session.data_id)
        note(" D%u:%zu%s", session.data_id, session.data_len, session.dot ? "." : "");
    session.data_id = 0, session.data_len = 0, session.dot = false;
}
static UNUSED void note_fields(char letter, const struct h2_event *e)
{
    note(" %c%u%s%s", letter, e->id, e->end_stream ? "." : "", e->fields_too_large ? "!" : "");
}
static UNUSED void note_event(const struct h2_event *e)
{
    const char *err = h2_error_name(e->code);
    if (e->kind == H2_EV_NONE)
        return;
    if (e->kind == H2_EV_DATA) {
        session.octets += e->len, session.credit += e->credit;
        if (session.data_id != e->id)
            note_data();
        session.data_id = e->id, session.data_len += e->len, session.dot = e->end_stream;
        if (e->end_stream)
            note_data();
        return;
    }
    note_data();
    switch (e->kind) {
    case H2_EV_HEADERS:
        note_fields('H', e);
        break;
    case H2_EV_TRAILERS:
        note_fields('T', e);
        break;
    case H2_EV_RST:
        note(" R%u:%u", e->id, e->code);
        break;
    case H2_EV_STREAM_ERROR:
        note(" X%u:%s", e->id, err);
        break;
    case H2_EV_REFUSED:
        note(" F%u", e->id);
        break;
    case H2_EV_SETTINGS:
        note(" S");
        break;
    case H2_EV_SETTINGS_ACK:
        note(" A");
        break;
    case H2_EV_PING:
        note(" P");
        break;
    case H2_EV_PING_ACK:
        note(" p");
        break;
    case H2_EV_WINDOW:
        note(" W%u+%u", e->id, e->increment);
        break;
    case H2_EV_GOAWAY:
        note(" G%u:%u", e->last_id, e->code);
        break;
    case H2_EV_HTTP1:
        note(" HTTP1");
        break;
    case H2_EV_ERROR:
        note(" E:%s", err);
        break;
    default:
        note(" ?");
        break;
    }
}

static UNUSED void heard(const struct h2_event *e)
{
    if (e->kind != H2_EV_NONE)
        session.last = *e;
    if (session.hook)
        session.hook(e);
    note_event(e);
}
/* As the transport does it: a frame of a run is one more DATA event. */
static UNUSED size_t feed_runs(const uint8_t *p, size_t n)
{
    struct h2_run run;
    size_t at = 0, used;
    while (h2_in_runs(session.in) && (used = h2_in_run(session.in, p + at, n - at, &run)) != 0) {
        size_t octets = 0;
        check(used <= n - at);
        for (size_t end = at + used; at < end;) {
            uint32_t len;
            const uint8_t *octet = h2_run_data(p + at, &len);
            at = (size_t)(octet + len - p);
            octets += len;
            heard(&(struct h2_event){ .kind = H2_EV_DATA,
                                      .id = run.id,
                                      .user = run.user,
                                      .data = octet,
                                      .len = len,
                                      .credit = len });
        }
        check_int(octets, run.octets);
    }
    return at;
}

/* Each second request is asked whether its DATA came with it: what is told then reads the same. */
static UNUSED size_t heard_with_data(struct h2_event *e, const uint8_t *p, size_t n)
{
    static unsigned turn;
    struct h2_event first = *e;
    size_t used = turn++ % 2 ? h2_in_with_data(session.in, p, n, e) : 0;
    heard(&first);
    if (used) {
        e->kind = H2_EV_DATA;
        heard(e);
        e->kind = H2_EV_HEADERS;
    }
    return used;
}
/* One buffer of exactly n octets, so that a read beyond it is seen. */
static UNUSED void feed_piece(const uint8_t *octets, size_t n)
{
    uint8_t *p = malloc(n ? n : 1);
    size_t at = 0;
    check(p);
    if (n)
        memcpy(p, octets, n);
    struct h2_event e;
    do {
        size_t used = 0;
        if (session.runs)
            at += feed_runs(p + at, n - at);
        h2_in_next(session.in, p + at, n - at, &used, &e);
        check(used <= n - at);
        at += used;
        if (e.kind == H2_EV_HEADERS && h2_in_config(session.in)->server)
            at += heard_with_data(&e, p + at, n - at);
        else
            heard(&e);
    } while (at < n || e.kind != H2_EV_NONE);
    free(p);
}
/* The script, in pieces of that many octets; the script is empty afterwards. Large pieces are taken
 * in runs. */
static UNUSED const char *feed_by(size_t piece)
{
    session.runs = piece > 1000;
    session.log[0] = 0;
    session.at = 0;
    for (size_t at = 0; at < script.len; at += piece)
        feed_piece(script.octets + at, min_size(piece, script.len - at));
    note_data();
    script.len = 0;
    return session.at ? session.log + 1 : "";
}
static UNUSED const char *feed(void) { return feed_by(SIZE_MAX / 2); }
static UNUSED void session_end(void)
{
    h2_in_free(session.in);
    session.in = NULL;
}
static UNUSED void session_start(const struct h2_config *c)
{
    h2_in_free(session.in);
    memset(&session, 0, sizeof session);
    session.in = h2_in_new(c);
    check(session.in);
    script.len = 0;
}
/* Past preface and SETTINGS. */
static UNUSED void serve(void)
{
    session_start(&server_config);
    preface();
    settings();
    check_str(feed(), "S");
}
static UNUSED void connect_client(void)
{
    session_start(&client_config);
    settings();
    check_str(feed(), "S");
}
#define expect(text) check_str(feed(), text)

#endif
