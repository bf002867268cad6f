/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * test_h2_out.c: the sending machine: commands in, frames out, read back as a short text:
 *     I preface   S:12, A  SETTINGS of 12 octets, ack   P, p  PING, ack   H1, C1, D1:5  frames
 *     R1:8  W0+9  G7:0:text.  A dot after H, D: END_STREAM; a slash after H, C: END_HEADERS. */
#include "begin.h"
#include "frames.h"

static struct h2_out out;
static char text[4096];
#define FRAME_TEXT 1200 /* of one frame */
static uint8_t body[1 << 20];

static const char *read_frame(char *to, const uint8_t *p, const uint8_t *payload, size_t n)
{
    uint32_t id = load_be32(p + 5), flags = p[4];
    const char *end = flags & H2_END_STREAM ? "." : "";
    switch (p[3]) {
    case H2_SETTINGS:
        return snprintf(to, FRAME_TEXT, flags ? "A" : "S:%zu", n), to;
    case H2_HEADERS:
        return snprintf(to, FRAME_TEXT, "H%u%s%s", id, end, flags & 4 ? "/" : ""), to;
    case H2_CONTINUATION:
        return snprintf(to, FRAME_TEXT, "C%u%s", id, flags & 4 ? "/" : ""), to;
    case H2_DATA:
        return snprintf(to, FRAME_TEXT, "D%u:%zu%s", id, n, end), to;
    case H2_RST_STREAM:
        return snprintf(to, FRAME_TEXT, "R%u:%u", id, load_be32(payload)), to;
    case H2_WINDOW_UPDATE:
        return snprintf(to, FRAME_TEXT, "W%u+%u", id, load_be32(payload)), to;
    case H2_PING:
        return snprintf(to, FRAME_TEXT, flags & H2_ACK ? "p" : "P"), to;
    case H2_GOAWAY:
        snprintf(to, FRAME_TEXT, "G%u:%u:%.*s", load_be32(payload), load_be32(payload + 4),
                 (int)n - 8, (const char *)payload + 8);
        return to;
    default:
        return "?";
    }
}

static const char *read_frames(const uint8_t *p, size_t len)
{
    size_t at = 0;
    char one[FRAME_TEXT];
    text[0] = 0;
    if (len >= H2_PREFACE_LEN && memcmp(p, H2_PREFACE, H2_PREFACE_LEN) == 0) {
        snprintf(text, sizeof text, "I ");
        at = H2_PREFACE_LEN;
    }
    while (at < len) {
        check(len - at >= 9);
        size_t n = load_be24(p + at);
        check(n <= 16384 && len - at - 9 >= n);
        size_t used = strlen(text);
        check(used < sizeof text - sizeof one);
        snprintf(text + used, sizeof text - used, "%s ", read_frame(one, p + at, p + at + 9, n));
        at += 9 + n;
    }
    if (text[0])
        text[strlen(text) - 1] = 0;
    return text;
}

/* What was appended since the last time, taken as the flusher does. */
static const char *appended(void)
{
    uint8_t *buf;
    size_t len, cap;
    if (!h2_out_take(&out, &buf, &len, &cap))
        return "";
    read_frames(buf, len);
    h2_out_give_back(&out, buf, cap);
    return text;
}
static void room(size_t n)
{
    while (!h2_out_room(&out, n)) {
        size_t size = h2_out_grow_size(&out, n);
        sys.free(h2_out_grow(&out, sys.malloc(size), size));
    }
}

static void start(const struct h2_config *c)
{
    h2_out_fini(&out);
    check_int(begin_out(&out, c), 0);
    appended();
    room(1 << 16);
}
static const struct h2_header head[] = { { ":status", "200", 7, 3, HPACK_INDEX } };
static struct h2_out_stream streams[8];

static struct h2_out_stream *open_stream(int i)
{
    streams[i] = (struct h2_out_stream){ 0 };
    room(1000);
    check(h2_out_open(&out, &streams[i]));
    h2_out_headers(&out, &streams[i], head, 1, false);
    return &streams[i];
}
static bool send_body(struct h2_out_stream *s, size_t n, bool end)
{
    room(h2_data_bound(&out, s, n));
    return h2_out_data(&out, s, body, n, end);
}
#define expect_out(t) check_str(appended(), t)

TEST(client_begins_with_preface_and_settings)
{
    check_int(begin_out(&out, &client_config), 0);
    check(h2_out_room(&out, 100));
    check_int(load_be16(out.buf + 33), H2_SET_ENABLE_PUSH);
    expect_out("I S:12 W0+983041");
    h2_out_fini(&out);
}

TEST(server_begins_with_settings_that_differ_from_the_default)
{
    check_int(begin_out(&out, &server_config), 0);
    expect_out("S:12 W0+983041");
    h2_out_fini(&out);
    struct h2_config c = server_config;
    c.initial_window = 70000;
    c.connection_window = 65535;
    check_int(begin_out(&out, &c), 0);
    expect_out("S:18");
    h2_out_fini(&out);
}

TEST(stream_ids_rise_until_they_are_exhausted)
{
    start(&client_config);
    open_stream(0);
    open_stream(1);
    expect_out("H1/ H3/");
    out.next_id = 0x7fffffff;
    open_stream(2);
    expect_out("H2147483647/");
    streams[3] = (struct h2_out_stream){ 0 };
    check(!h2_out_open(&out, &streams[3]));
    h2_out_rst(&out, &streams[3], 8); /* never opened: nothing to reset */
    h2_out_unlink(&out, &streams[3]);
    expect_out("");
    h2_out_fini(&out);
}

TEST(long_header_blocks_are_cut_into_continuations)
{
    static char value[50000];
    memset(value, 0xfe, sizeof value);
    start(&client_config);
    for (uint32_t n = 16300; n < 50000; n += n < 16400 ? 1 : 1111) {
        struct h2_header h = { "x", value, 1, n, HPACK_PLAIN };
        streams[0] = (struct h2_out_stream){ 0 };
        room(h2_headers_bound(&h, 1));
        h2_out_open(&out, &streams[0]);
        h2_out_headers(&out, &streams[0], &h, 1, true);
        check(streams[0].local_closed);
        size_t frames = 0, octets = 0;
        for (size_t at = 0; at < out.len; frames++) {
            size_t len = load_be24(out.buf + at);
            bool last = at + 9 + len == out.len;
            check(len <= 16384 && (last || len == 16384));
            check_int(out.buf[at + 3], frames ? H2_CONTINUATION : H2_HEADERS);
            check_int(out.buf[at + 4], (frames ? 0 : H2_END_STREAM) | (last ? H2_END_HEADERS : 0));
            for (size_t i = frames ? 0 : 9; i < len; i++)
                check(out.buf[at + 9 + i] == 0xfe);
            octets += len;
            at += 9 + len;
        }
        check(octets > n && octets < n + 20);
        check_int(frames, (octets + 16383) / 16384);
        appended();
    }
    h2_out_fini(&out);
}

TEST(data_is_cut_into_frames_and_stops_at_the_windows)
{
    start(&client_config);
    struct h2_out_stream *s = open_stream(0);
    expect_out("H1/");
    check(!send_body(s, 70000, true));
    expect_out("D1:16384 D1:16384 D1:16384 D1:16383");
    h2_out_pump(&out);
    expect_out("");
    check(h2_out_window(&out, s, 4464));
    h2_out_pump(&out);
    expect_out(""); /* the connection's window is used up as well */
    check(h2_out_window(&out, NULL, 400));
    h2_out_pump(&out);
    expect_out("D1:400");
    check(h2_out_window(&out, NULL, 100000));
    h2_out_pump(&out);
    expect_out("D1:4064");
    check(h2_out_window(&out, s, 10000));
    h2_out_pump(&out);
    expect_out("D1:1.");
    check(s->local_closed && s->body_len == 0);
    check_int(out.earned, 6 * LIMIT_GLITCH_FRAME + 270);
    h2_out_fini(&out);
}

TEST(an_empty_end_needs_no_window)
{
    start(&client_config);
    struct h2_out_stream *s = open_stream(0);
    s->window = 0, out.window = 0;
    check(send_body(s, 0, false));
    check(send_body(s, 0, true));
    expect_out("H1/ D1:0.");
    h2_out_fini(&out);
}

enum { NOT_APPENDED, APPENDED, JOINED };
static int small(struct h2_out_stream *s, size_t n)
{
    room(n + 64);
    if (n && h2_out_join(&out, s, body, n))
        return JOINED;
    return h2_out_small(&out, s, body, n) ? APPENDED : NOT_APPENDED;
}

TEST(small_bodies_in_a_row_share_a_frame)
{
    start(&client_config);
    struct h2_out_stream *s = open_stream(0);
    check_int(small(s, 5), APPENDED); /* behind HEADERS */
    check(send_body(s, 10, false));
    check_int(small(s, 20), JOINED);
    check_int(small(s, 0), NOT_APPENDED);
    check_int(small(s, 16384 - 30), JOINED);
    check_int(small(s, 1), APPENDED); /* the frame is full */
    check_int(small(s, 16384), APPENDED);
    check_int(small(s, 16385), NOT_APPENDED);
    check_int(s->window, 65535 - 2 * 16384 - 6);
    check_int(out.window, 65535 - 2 * 16384 - 6);
    expect_out("H1/ D1:5 D1:16384 D1:1 D1:16384");
    check_int(small(s, 5), APPENDED); /* the last one has been taken */
    check(send_body(s, 16384, false));
    check_int(small(s, 10000), APPENDED);
    check_int(small(s, 6372), JOINED);
    check_int(small(s, 1), NOT_APPENDED); /* the window is used up */
    check_int(s->window, 0);
    expect_out("D1:5 D1:16384 D1:16372");
    h2_out_fini(&out);
}

TEST(nothing_joins_a_frame_of_another_stream_or_one_that_is_not_the_last)
{
    start(&client_config);
    struct h2_out_stream *a = open_stream(0), *b = open_stream(1);
    check_int(small(a, 10), APPENDED);
    check_int(small(b, 10), APPENDED);
    check_int(small(a, 10), APPENDED);
    h2_out_ping(&out, (const uint8_t *)"12345678", false);
    check_int(small(a, 10), APPENDED);
    check_int(small(a, 5), JOINED);
    out.high_water = out.len;
    check_int(small(a, 5), NOT_APPENDED); /* so much is unsent */
    out.high_water = 1 << 20;
    out.window = 12;
    check_int(small(a, 13), NOT_APPENDED);
    check(!send_body(a, 20, false));
    out.window = 100;
    check_int(small(a, 5), NOT_APPENDED); /* the rest of a body waits */
    h2_out_pump(&out);
    check(send_body(a, 3, true));
    expect_out("H1/ H3/ D1:10 D3:10 D1:10 P D1:15 D1:12 D1:8 D1:3.");
    check_int(small(b, 10), APPENDED);
    h2_out_rst(&out, b, 8);
    expect_out("D3:10 R3:8");
    h2_out_fini(&out);
}

TEST(waiting_bodies_take_turns)
{
    start(&client_config);
    out.window = 0;
    struct h2_out_stream *a = open_stream(0), *b = open_stream(1), *c = open_stream(2);
    appended();
    check(!send_body(a, 40000, true));
    check(!send_body(b, 20000, true));
    check(!send_body(c, 40000, false));
    out.window = 90000;
    room(200000);
    h2_out_pump(&out);
    expect_out("D1:16384 D3:16384 D5:16384 D1:16384 D3:3616. D5:16384 D1:4464");
    out.window = 1 << 20;
    h2_out_pump(&out);
    expect_out("D5:7232 D1:2768.");
    h2_out_fini(&out);
}

TEST(a_large_body_queues_behind_the_waiting_a_small_one_does_not)
{
    start(&client_config);
    struct h2_out_stream *a = open_stream(0), *b = open_stream(1), *c = open_stream(2);
    appended();
    out.high_water = 10000;
    check(!send_body(a, 60000, true));
    expect_out("D1:16384");
    out.window = 100000;
    check(!send_body(b, 40000, true));
    check(!send_body(c, 100, true)); /* above high water all wait */
    expect_out("D3:16384");
    h2_out_pump(&out);
    expect_out("D1:16384");
    c->window = 0;
    out.high_water = 1 << 20;
    struct h2_out_stream *d = open_stream(3);
    check(send_body(d, 100, true));
    expect_out("H7/ D7:100.");
    h2_out_fini(&out);
}

TEST(high_water_holds_bodies_but_no_control_frames)
{
    start(&client_config);
    out.high_water = 20000;
    out.window = 1 << 20;
    struct h2_out_stream *s = open_stream(0);
    check(!send_body(s, 60000, true));
    room(100);
    h2_out_ping(&out, (const uint8_t *)"12345678", true);
    expect_out("H1/ D1:16384 D1:16384 p");
    room(50000);
    h2_out_pump(&out);
    expect_out("D1:16384 D1:10848.");
    h2_out_fini(&out);
}

TEST(missing_room_makes_bodies_wait_instead_of_crumble)
{
    start(&client_config);
    struct h2_out_stream *s = open_stream(0);
    appended();
    sys.free(out.spare);
    out.spare = NULL;
    appended();
    while (h2_out_room(&out, 1000))
        h2_out_ping(&out, body, false);
    check(!h2_out_data(&out, s, body, 5000, true));
    check_int(s->body_len, 5000);
    room(2000);
    h2_out_pump(&out);
    check(s->body_len < 5000);
    room(6000);
    h2_out_pump(&out);
    check_int(s->body_len, 0);
    h2_out_fini(&out);
}

static int drained;
static void on_drained(struct h2_out_stream *s)
{
    drained++;
    check_int(s->body_len, 0);
    if (drained == 1)
        h2_out_data(&out, s, body, 20000, false); /* the next message */
    else
        h2_out_headers(&out, s, head, 1, true);
}

TEST(owner_is_called_when_its_waiting_body_is_out)
{
    start(&client_config);
    room(100000);
    struct h2_out_stream *s = open_stream(0);
    s->on_drained = on_drained;
    check(send_body(s, 1000, false));
    check_int(drained, 0);
    s->window = 0;
    check(!send_body(s, 1000, false));
    check(h2_out_window(&out, s, 2000));
    h2_out_pump(&out);
    check_int(drained, 1);
    check(h2_out_window(&out, s, 30000));
    h2_out_pump(&out);
    check_int(drained, 2);
    expect_out("H1/ D1:1000 D1:1000 D1:1000 D1:16384 D1:2616 H1./");
    check(list_empty(&out.all) && list_empty(&out.pending));
    h2_out_fini(&out);
}

TEST(settings_move_every_window_and_may_make_it_negative)
{
    start(&client_config);
    out.window = 1 << 20;
    struct h2_out_stream *a = open_stream(0), *b = open_stream(1);
    check(!send_body(a, 100000, true));
    check(!send_body(b, 65535 + 50, true));
    appended();
    struct h2_settings p = out.peer;
    p.initial_window = 1000;
    check(h2_out_settings(&out, &p));
    expect_out("A");
    check_int(a->window, 1000 - 65535);
    check(h2_out_window(&out, a, 64535));
    h2_out_pump(&out);
    expect_out("");
    p.initial_window = 65536;
    check(h2_out_settings(&out, &p));
    room(100000);
    h2_out_pump(&out);
    expect_out("A D1:16384 D3:1 D1:16384 D1:1697.");
    p.initial_window = 0x7fffffff;
    check(h2_out_settings(&out, &p)); /* b: was 0 of 65536 */
    struct h2_out_stream *c = open_stream(2);
    check_int(c->window, 0x7fffffff);
    check(!h2_out_window(&out, c, 1));
    p.initial_window = 0;
    check(h2_out_settings(&out, &p));
    check(h2_out_window(&out, c, 1));
    p.initial_window = 0x7fffffff;
    check(!h2_out_settings(&out, &p));
    h2_out_fini(&out);
}

TEST(window_overflow_is_told)
{
    start(&server_config);
    struct h2_out_stream s = { 0 };
    h2_out_accept(&out, &s, 7);
    check_int(s.id, 7);
    check(h2_out_window(&out, &s, 0x7fffffff - 65535));
    check(!h2_out_window(&out, &s, 1));
    check(h2_out_window(&out, NULL, 0x7fffffff - 65535));
    check(!h2_out_window(&out, NULL, 1));
    h2_out_fini(&out);
}

TEST(reset_drops_the_unsent_body)
{
    start(&client_config);
    struct h2_out_stream *s = open_stream(0);
    s->window = 10;
    check(!send_body(s, 100, true));
    room(100);
    h2_out_rst(&out, s, H2_CANCEL);
    h2_out_rst_id(&out, 9, H2_REFUSED_STREAM);
    check(s->local_closed && s->body_len == 0);
    check(h2_out_window(&out, s, 100));
    h2_out_pump(&out);
    expect_out("H1/ D1:10 R1:8 R9:7");
    h2_out_unlink(&out, s);
    h2_out_unlink(&out, s);
    h2_out_fini(&out);
}

TEST(goaway_text_is_cut_to_the_room)
{
    start(&server_config);
    h2_out_goaway(&out, 7, 11, "too many pings");
    h2_out_window_update(&out, 3, 12345);
    expect_out("G7:11:too many pings W3+12345");
    while (h2_out_room(&out, 17 + 17 + 3))
        h2_out_ping(&out, body, false);
    size_t left = out.cap - out.len;
    h2_out_goaway(&out, 1, 0, "a text that does not fit at all");
    check(left < 17 + 31 && out.len == out.cap);
    h2_out_fini(&out);
}

/* -- by reference ----------------------------------------------------------------------------- */

static int held[8], holds;
static void hold(struct h2_out_stream *s) { held[s - streams]++, holds++; }

/* The octets that a taken buffer stands for, and lets go of what they refer to. */
static size_t flatten(const uint8_t *buf, size_t len, uint8_t *to)
{
    size_t n = 0, at = 0;
    for (size_t ref = out.taken_refs; ref;) {
        struct h2_ref r;
        memcpy(&r, buf + ref, sizeof r);
        memcpy(to + n, buf + at, ref - at);
        memcpy(to + n + ref - at, r.octets, r.len);
        check(r.octets >= body && r.octets + r.len <= body + sizeof body);
        check(r.len >= H2_REF_LEAST && r.len <= 16384);
        n += ref - at + r.len;
        at = ref + sizeof r;
        ref = r.next;
        held[r.s - streams]--;
    }
    memcpy(to + n, buf + at, len - at);
    n += len - at;
    check_int(n, out.taken_octets);
    return n;
}

enum { PLAYED = 400000 };

/* The same commands, with or without references: the octets in to, their number. */
static size_t play(uint32_t seed, bool refer, uint8_t *to)
{
    static const size_t sizes[] = { 1, 4095, 4096, 16384, 20000, 70000, 0 };
    size_t n = 0, cap, len;
    uint8_t *buf;
    start(&client_config);
    out.hold = refer ? hold : NULL;
    for (int i = 0; i < 8; i++)
        open_stream(i);
    for (int step = 0; step < 40; step++) {
        seed = seed * 1664525u + 1013904223u;
        struct h2_out_stream *s = &streams[seed >> 8 & 7];
        size_t size = sizes[(seed >> 12) % 7];
        if (s->body_len == 0 && !s->local_closed) {
            room(h2_ref_bound(&out, size) + 20);
            h2_out_ref(&out, s, body + (seed >> 16 & 255), size, (seed >> 24) % 8 == 0);
        } else if (!s->local_closed && (seed >> 24) % 16 == 0) {
            room(20);
            h2_out_rst(&out, s, 8);
        }
        h2_out_window(&out, NULL, 5000);
        if (!s->local_closed)
            h2_out_window(&out, s, 9000);
        room(200000); /* the room must not tell the two apart */
        h2_out_pump(&out);
        if ((seed >> 20) % 3 == 0 && h2_out_take(&out, &buf, &len, &cap)) {
            check(n + out.taken_octets <= PLAYED);
            n += flatten(buf, len, to + n);
            h2_out_give_back(&out, buf, cap);
        }
    }
    if (h2_out_take(&out, &buf, &len, &cap)) {
        check(!refer || len < 100000); /* small ones, and small pieces of large ones */
        n += flatten(buf, len, to + n);
        h2_out_give_back(&out, buf, cap);
    }
    h2_out_fini(&out);
    return n;
}

TEST(bodies_by_reference_are_the_same_octets_and_each_is_held_once)
{
    static uint8_t copied[PLAYED], referred[PLAYED];
    for (size_t i = 0; i < sizeof body; i++)
        body[i] = (uint8_t)(i * 31 + (i >> 8) * 7);
    for (int i = 0; i < 300; i++) {
        uint32_t seed = test_random();
        size_t n = play(seed, false, copied), m = play(seed, true, referred);
        check_int(n, m);
        check(memcmp(copied, referred, n) == 0);
        for (int k = 0; k < 8; k++)
            check_int(held[k], 0);
    }
    check(holds > 1000);
}

TEST(bodies_behind_closed_windows_shut_it_until_some_have_gone)
{
    const uint32_t each = LIMIT_KEPT_EACH + LIMIT_KEPT_CALL, most = countof(streams);
    start(&client_config);
    check(!send_body(open_stream(0), 70000, true));
    check_int(out.kept, each);
    check(h2_out_window(&out, &streams[0], 5000) && h2_out_window(&out, NULL, 5000));
    appended();
    h2_out_pump(&out);
    check_int(out.kept, 0); /* it has gone */
    for (uint32_t i = 1; i < most; i++)
        check(!send_body(open_stream((int)i), 60000, true));
    check(!send_body(open_stream(0), 100, true));
    check_int(out.kept, (most - 1) * each + 100 + LIMIT_KEPT_CALL);
    check(!h2_out_shut(&out)); /* not yet so much */
    out.kept += LIMIT_KEPT;
    check(h2_out_shut(&out));
    check(h2_out_window(&out, NULL, 16384 - (uint32_t)out.window));
    check(!h2_out_shut(&out)); /* what begins now can go */
    out.peer.initial_window = 0;
    check(h2_out_shut(&out)); /* it cannot */
    out.kept -= LIMIT_KEPT;
    for (uint32_t i = 0; i < most; i++)
        h2_out_rst(&out, &streams[i], H2_CANCEL);
    check_int(out.kept, 0);
    h2_out_fini(&out);
}

TEST(two_buffers_take_turns)
{
    uint8_t *a, *b;
    size_t n, cap;
    start(&server_config);
    check(!h2_out_take(&out, &a, &n, &cap));
    h2_out_ping(&out, body, false);
    check(h2_out_take(&out, &a, &n, &cap));
    check_int(n, 17);
    room(100);
    h2_out_ping(&out, body, true);
    check(!h2_out_take(&out, &b, &n, &cap)); /* a is still out */
    h2_out_give_back(&out, a, cap);
    check(h2_out_take(&out, &b, &n, &cap));
    check(b != a);
    h2_out_give_back(&out, b, cap);
    check(!h2_out_take(&out, &b, &n, &cap));
    uint8_t *small = sys.malloc(10);
    check(h2_out_grow(&out, small, 10) == small);
    sys.free(small);
    h2_out_fini(&out);
}

/* Constants that the table knows are an octet each, kept from one block to the next until the table
 * changes; what is sent is the same. */
TEST(constants_that_are_ready_are_sent_as_the_table_has_them)
{
    static const struct h2_header constants[] = { { ":method", "POST", 7, 4, HPACK_INDEX },
                                                  { ":scheme", "http", 7, 4, HPACK_INDEX } };
    const struct h2_header rest = { "x-id", "1", 4, 1, HPACK_PLAIN },
                           indexed = { "x-new", "2", 5, 1, HPACK_INDEX };
    struct h2_ready ready = { 0 };
    uint8_t first[64];
    size_t first_len = 0;
    start(&client_config);
    appended();
    for (int i = 0; i < 4; i++) {
        check_int(h2_out_ready(&out, &ready), i > 0);
        streams[i] = (struct h2_out_stream){ 0 };
        room(200);
        h2_out_open(&out, &streams[i]);
        h2_out_headers_ready(&out, &streams[i], &ready, constants, 2, &rest, 1, true);
        if (i == 0)
            memcpy(first, out.buf + 9, first_len = out.len - 9);
        check_int(out.len - 9, first_len);
        check(memcmp(out.buf + 9, first, first_len) == 0);
        appended();
    }
    for (int i = 4; i < 7; i++) { /* the table grows, and changes */
        size_t size = h2_out_wants(&out);
        if (size)
            sys.free(h2_out_grow_table(&out, sys.malloc(size), size));
        streams[i] = (struct h2_out_stream){ 0 };
        room(200);
        h2_out_open(&out, &streams[i]);
        h2_out_headers(&out, &streams[i], &indexed, 1, true);
    }
    check(!h2_out_ready(&out, &ready));
    h2_out_fini(&out);
}

/* What a small message of 99 octets on stream 1 came to, step by step. */
struct steps {
    uint8_t octets[400];
    size_t len, earned;
    int64_t window;
};
static void steps_note(struct steps *s)
{
    s->len = out.len, s->earned = out.earned, s->window = out.window;
    memcpy(s->octets, out.buf, s->len);
    check_str(appended(), "H1/ D1:99 H1./");
}
/* In one piece on stream 3 it is the same. */
static void steps_same(const struct steps *s)
{
    check_int(out.len, s->len);
    check_int(out.earned, 2 * s->earned);
    check_int(out.window, s->window - 99);
    for (size_t i = 0; i < s->len; i++)
        check(out.buf[i] == s->octets[i] || out.buf[i] == 3); /* but for the stream's number */
    check_str(appended(), "H3/ D3:99 H3./");
}

/* A small message in one piece: the same octets as in steps, or nothing where they would differ. */
TEST(a_small_message_goes_whole_or_not_at_all)
{
    static const struct h2_header first[] = { { ":status", "200", 7, 3, HPACK_INDEX },
                                              { ":method", "POST", 7, 4, HPACK_INDEX } },
                                  last = { ":scheme", "http", 7, 4, HPACK_INDEX },
                                  id = { "x-id", "1", 4, 1, HPACK_PLAIN };
    struct h2_ready begin = { 0 }, tail = { 0 }, none = { 0 };
    struct steps steps;
    start(&client_config);
    appended();
    for (int i = 0; i < 2; i++) {
        streams[i] = (struct h2_out_stream){ 0 };
        room(8192);
        h2_out_open(&out, &streams[i]);
    }
    check(!h2_out_whole(&out, &streams[0], &begin, &id, 1, body, 99, &tail)); /* not ready */
    check_int(out.len, 0);
    h2_out_headers_ready(&out, &streams[0], &begin, first, 2, &id, 1, false);
    check(h2_out_data(&out, &streams[0], body, 99, false));
    h2_out_headers_ready(&out, &streams[0], &tail, &last, 1, NULL, 0, true);
    steps_note(&steps);

    check(!h2_out_whole(&out, &streams[1], &begin, &id, 1, body, 0, &tail));
    check(!h2_out_whole(&out, &streams[1], &begin, &id, 1, body, H2_REF_LEAST + 1, &tail));
    check(!h2_out_whole(&out, &streams[1], &begin, &id, 1, body, 99, &none));
    int64_t *const windows[] = { &out.window, &streams[1].window };
    for (int i = 0; i < 2; i++) {
        int64_t was = *windows[i];
        *windows[i] = 98;
        check(!h2_out_whole(&out, &streams[1], &begin, &id, 1, body, 99, &tail));
        *windows[i] = was;
    }
    size_t cap = out.cap, water = out.high_water;
    out.cap = out.len + 99 + 27;
    check(!h2_out_whole(&out, &streams[1], &begin, &id, 1, body, 99, &tail));
    out.cap = cap, out.high_water = 0;
    check(!h2_out_whole(&out, &streams[1], &begin, &id, 1, body, 99, &tail));
    out.high_water = water;
    check_int(out.len, 0);

    room(8192);
    check(h2_out_whole(&out, &streams[1], &begin, &id, 1, body, 99, &tail));
    steps_same(&steps);
    check(streams[1].local_closed && list_empty(&streams[1].all));
    h2_out_fini(&out);
}

/* An answer to a stream that was never accepted: the same octets as to one that was. */
TEST(an_answer_needs_no_stream)
{
    static const struct h2_header first = { ":status", "200", 7, 3, HPACK_INDEX },
                                  last = { ":scheme", "http", 7, 4, HPACK_INDEX };
    struct h2_ready begin = { 0 }, tail = { 0 }, none = { 0 };
    struct steps steps;
    start(&server_config);
    appended();
    streams[0] = (struct h2_out_stream){ 0 };
    room(8192);
    check(!h2_out_answer(&out, 3, &begin, body, 99, &tail)); /* not ready */
    h2_out_accept(&out, &streams[0], 1);
    h2_out_headers_ready(&out, &streams[0], &begin, &first, 1, NULL, 0, false);
    check(h2_out_data(&out, &streams[0], body, 99, false));
    h2_out_headers_ready(&out, &streams[0], &tail, &last, 1, NULL, 0, true);
    steps_note(&steps);

    check(!h2_out_answer(&out, 3, &begin, body, 0, &tail));
    check(!h2_out_answer(&out, 3, &begin, body, H2_REF_LEAST + 1, &tail));
    check(!h2_out_answer(&out, 3, &none, body, 99, &tail));
    check(!h2_out_answer(&out, 3, &begin, body, 99, &none));
    out.window = 98;
    check(!h2_out_answer(&out, 3, &begin, body, 99, &tail));
    out.window = steps.window;
    uint32_t initial = out.peer.initial_window; /* which is that of a stream it did not accept */
    out.peer.initial_window = 98;
    check(!h2_out_answer(&out, 3, &begin, body, 99, &tail));
    out.peer.initial_window = initial;
    size_t cap = out.cap, water = out.high_water;
    out.cap = out.len + 99 + 27;
    check(!h2_out_answer(&out, 3, &begin, body, 99, &tail));
    out.cap = cap, out.high_water = 0;
    check(!h2_out_answer(&out, 3, &begin, body, 99, &tail));
    out.high_water = water;
    check_int(out.len, 0);

    room(8192);
    check(h2_out_answer(&out, 3, &begin, body, 99, &tail));
    steps_same(&steps);
    check(list_empty(&out.all));
    h2_out_fini(&out);
}

TEST(an_idle_sender_gives_up_buffers_that_are_small_enough)
{
    uint8_t *a, *b;
    size_t n, cap;
    start(&client_config);
    h2_out_ping(&out, body, false);
    check(h2_out_take(&out, &a, &n, &cap));
    room(100);
    h2_out_give_back(&out, a, cap);       /* two buffers now, one of them spare */
    check(h2_out_strip(&out, 1) == NULL); /* neither is so small */
    b = h2_out_strip(&out, SIZE_MAX);
    check(b);
    sys.free(b);
    b = h2_out_strip(&out, SIZE_MAX);
    check(b && !out.buf);
    sys.free(b);
    room(100); /* and takes new ones */
    h2_out_ping(&out, body, true);
    check(h2_out_strip(&out, SIZE_MAX) == NULL); /* what is to be sent stays */
    check_str(appended(), "p");
    h2_out_fini(&out);
}

static int fail_at;
static void *(*real_malloc)(size_t), *(*real_calloc)(size_t, size_t);
static void *failing_malloc(size_t n) { return --fail_at == 0 ? NULL : real_malloc(n); }
static void *failing_calloc(size_t n, size_t m)
{
    return --fail_at == 0 ? NULL : real_calloc(n, m);
}

TEST(init_without_memory_is_an_error_and_leaves_nothing)
{
    int result = -1;
    real_malloc = sys.malloc, real_calloc = sys.calloc;
    sys.malloc = failing_malloc, sys.calloc = failing_calloc;
    for (int n = 1; result < 0; n++) {
        check(n < 50);
        fail_at = n;
        result = begin_out(&out, &client_config);
        check(result == 0 || (!out.hpack && !out.buf));
    }
    sys.malloc = real_malloc, sys.calloc = real_calloc;
    h2_out_fini(&out);
}
