/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * test_h2_abuse.c: what peers do to hurt, one class a row, against the receiving machine in both
 * roles; ceilings are counts and octets, never times. Then what only looks like abuse and must be
 * borne. See frames.h for how events read. */
#include "begin.h"
#include "frames.h"
#include "h2/hpack_private.h"
#include <malloc.h>

/* -- floods: frames until the connection ends -------------------------------------------------- */

static void one_reset(uint32_t id) { request(id, 0), rst(id, 8); }
static void one_zero_increment(uint32_t id) { request(id, 0), window_update(id, 0); }
static void one_malformed(uint32_t id) { headers(id, 0, FIELDS(REQUEST, "Upper", "case")); }
static void one_empty_name(uint32_t id) { headers(id, H2_END_STREAM, FIELDS(REQUEST, "", "")); }
static void one_self_dependent(uint32_t id)
{
    request(id, 0);
    priority(id, id);
}
static void one_after_end(uint32_t id)
{
    request(id, H2_END_STREAM);
    data(id, 1, 0);
}
static void one_settings(uint32_t id) { (void)id, settings(); }
static void one_settings_ack(uint32_t id) { (void)id, settings_ack(); }
static void one_ping(uint32_t id) { (void)id, ping(0); }
static void one_ping_ack(uint32_t id) { (void)id, ping(H2_ACK); }
static void one_empty(uint32_t id) { (void)id, data(1, 0, 0); }
static void one_empty_padded(uint32_t id) { (void)id, data_padded(1, 0, 1, 0); }
static void one_priority(uint32_t id) { priority(id, 0); }
static void one_window(uint32_t id) { (void)id, window_update(0, 1); }
static void one_stream_window(uint32_t id) { (void)id, window_update(1, 1024); }
static void one_unknown(uint32_t id) { (void)id, frame(0, 0x10, 0, 0); }
static void one_goaway(uint32_t id) { (void)id, goaway(1, 0, ""); }
static void one_interim(uint32_t id) { (void)id, headers(1, 0, FIELDS(":status", "103")); }
static void one_late_data(uint32_t id) { (void)id, data(3, 0, 0); }
static void one_late_rst(uint32_t id) { (void)id, rst(3, 0); }
static void one_late_window(uint32_t id) { (void)id, window_update(3, 5000); }
static void one_late_headers(uint32_t id) { (void)id, headers(3, 0, FIELDS("a", "b")); }
static void one_empty_continuation(uint32_t id)
{
    (void)id;
    frame(0, H2_HEADERS, 0, 3);
    frame(0, H2_CONTINUATION, 0, 3);
    frame(0, H2_CONTINUATION, H2_END_HEADERS, 3);
}
static void one_large_list(uint32_t id)
{
    static char value[17000];
    if (!value[0])
        memset(value, 'v', sizeof value - 1);
    size_t n = put_fields(block, FIELDS(REQUEST, "x", value));
    frame_with(H2_HEADERS, H2_END_STREAM, id, block, 16384);
    frame_with(H2_CONTINUATION, H2_END_HEADERS, id, block + 16384, n - 16384);
}

/* Stream 1 is open, stream 3 was reset by us. */
static void start_flood(bool is_server)
{
    if (is_server) {
        serve();
        request(1, 0), request(3, 0);
    } else {
        connect_client();
        check_int(h2_in_opened(session.in, 1, NULL, false), 0);
        check_int(h2_in_opened(session.in, 3, NULL, false), 0);
    }
    feed();
    h2_in_forget(session.in, 3, H2_RESET_OURS);
}

/* How many it takes; what the server would do with each stream is done: nothing, or its end. */
static unsigned flood(void (*one)(uint32_t id), bool is_server, const char *what)
{
    start_flood(is_server);
    for (uint32_t i = 0; i < 5000; i++) {
        uint32_t id = 2 * i + 5;
        one(id);
        feed();
        if (session.last.kind == H2_EV_HEADERS && session.last.end_stream)
            h2_in_local_end(session.in, id);
        if (session.last.kind == H2_EV_ERROR) {
            check_int(session.last.code, H2_ENHANCE_YOUR_CALM);
            check_str(session.last.text, what);
            return i;
        }
        h2_in_connection_credit(session.in);
    }
    return UINT32_MAX;
}

enum { SERVER = 1, CLIENT = 2, BOTH = 3 };
static const struct {
    void (*one)(uint32_t id);
    int roles;
    enum h2_glitch glitch;
    unsigned each; /* tokens that one costs */
} floods[] = {
    { one_reset, SERVER, H2_GLITCH_RESET, 1 },
    { one_zero_increment, SERVER, H2_GLITCH_STREAM_ERROR, 1 },
    { one_malformed, SERVER, H2_GLITCH_STREAM_ERROR, 1 },
    { one_empty_name, SERVER, H2_GLITCH_STREAM_ERROR, 1 },
    { one_self_dependent, SERVER, H2_GLITCH_STREAM_ERROR, 2 },
    { one_after_end, SERVER, H2_GLITCH_STREAM_ERROR, 1 },
    { one_settings, BOTH, H2_GLITCH_SETTINGS, 1 },
    { one_settings_ack, BOTH, H2_GLITCH_SETTINGS, 1 },
    { one_ping, BOTH, H2_GLITCH_PING, 1 },
    { one_ping_ack, BOTH, H2_GLITCH_PING, 1 },
    { one_empty, SERVER, H2_GLITCH_EMPTY_DATA, 1 },
    { one_empty_padded, SERVER, H2_GLITCH_EMPTY_DATA, 1 },
    { one_priority, BOTH, H2_GLITCH_PRIORITY, 1 },
    { one_window, BOTH, H2_GLITCH_WINDOW_UPDATE, 1 },
    { one_stream_window, BOTH, H2_GLITCH_WINDOW_UPDATE, 1 },
    { one_unknown, BOTH, H2_GLITCH_UNKNOWN, 1 },
    { one_goaway, BOTH, H2_GLITCH_GOAWAY, 1 },
    { one_interim, CLIENT, H2_GLITCH_INTERIM, 1 },
    { one_late_data, BOTH, H2_GLITCH_CLOSED, 1 },
    { one_late_rst, BOTH, H2_GLITCH_CLOSED, 1 },
    { one_late_window, BOTH, H2_GLITCH_CLOSED, 1 },
    { one_late_headers, BOTH, H2_GLITCH_CLOSED, 1 },
    { one_empty_continuation, BOTH, H2_GLITCH_EMPTY_CONTINUATION, 3 },
    { one_large_list, SERVER, H2_GLITCH_HEADER_LIST, 1 },
};

TEST(every_flood_ends_with_the_budget_in_both_roles)
{
    for (size_t i = 0; i < countof(floods); i++) {
        for (int role = SERVER; role <= CLIENT; role++) {
            if (!(floods[i].roles & role))
                continue;
            const char *what = h2_glitch_text(floods[i].glitch);
            unsigned n = flood(floods[i].one, role == SERVER, what);
            if (n > LIMIT_GLITCHES / floods[i].each + 2 || n < LIMIT_GLITCHES / floods[i].each - 3)
                test_failed(__FILE__, __LINE__, "%s, %s: after %u", what,
                            role == SERVER ? "server" : "client", n);
            check(h2_in_glitches(session.in, floods[i].glitch) >= LIMIT_GLITCHES / 2);
        }
    }
    session_end();
}

TEST(streams_over_the_limit_end_with_the_budget)
{
    serve();
    for (uint32_t i = 0; i < server_config.max_concurrent_streams; i++)
        request(2 * i + 1, 0);
    feed();
    unsigned n = 0;
    for (; session.last.kind != H2_EV_ERROR && n < 5000; n++) {
        request(2 * n + 101, H2_END_STREAM);
        feed();
        check_int(h2_in_streams(session.in), server_config.max_concurrent_streams);
    }
    check_int(session.last.code, H2_ENHANCE_YOUR_CALM);
    check(n <= LIMIT_GLITCHES + 2);
    session_end();
}

TEST(resets_that_the_server_is_made_to_send_count)
{
    serve();
    for (uint32_t i = 0; i < LIMIT_GLITCHES; i++) {
        request(2 * i + 1, 0);
        feed();
        h2_in_forget(session.in, 2 * i + 1, H2_RESET_PROVOKED);
    }
    ping(0);
    expect("E:ENHANCE_YOUR_CALM");
    session_end();
}

TEST(the_budget_can_be_set_and_lifted)
{
    struct h2_config c = server_config;
    c.glitches = 10;
    session_start(&c);
    preface();
    settings();
    for (int i = 0; i < 10; i++)
        ping(0);
    expect("S P P P P P P P P P P E:ENHANCE_YOUR_CALM");
    c.glitches = UINT32_MAX;
    session_start(&c);
    preface();
    for (int i = 0; i < 5000; i++)
        settings();
    feed();
    check(session.last.kind == H2_EV_SETTINGS);
    session_end();
}

/* -- memory: what one connection may hold ------------------------------------------------------ */

static size_t held, most_held;
static void *(*plain_malloc)(size_t);
static void *(*plain_calloc)(size_t, size_t);
static void *(*plain_realloc)(void *, size_t);
static void (*plain_free)(void *);
static void *hold(void *p)
{
    held += malloc_usable_size(p);
    most_held = max_size(held, most_held);
    return p;
}
static void *hold_malloc(size_t n) { return hold(plain_malloc(n)); }
static void *hold_calloc(size_t n, size_t s) { return hold(plain_calloc(n, s)); }
static void hold_free(void *p)
{
    held -= malloc_usable_size(p);
    plain_free(p);
}
static void *hold_realloc(void *p, size_t n)
{
    held -= malloc_usable_size(p);
    return hold(plain_realloc(p, n));
}
static void hold_start(void)
{
    held = most_held = 0;
    plain_malloc = sys.malloc, plain_calloc = sys.calloc;
    plain_realloc = sys.realloc, plain_free = sys.free;
    sys.malloc = hold_malloc, sys.calloc = hold_calloc;
    sys.realloc = hold_realloc, sys.free = hold_free;
}
static void hold_stop(void)
{
    sys.malloc = plain_malloc, sys.calloc = plain_calloc;
    sys.realloc = plain_realloc, sys.free = plain_free;
}

/* The block in frames of at most 16384 octets. */
static void long_block(uint32_t id, size_t n)
{
    for (size_t at = 0; at < n || n == 0; at += 16384) {
        size_t len = min_size(n - at, 16384);
        unsigned end = at + len == n ? H2_END_HEADERS : 0;
        frame_with(at ? H2_CONTINUATION : H2_HEADERS, at ? end : end | H2_END_STREAM, id,
                   block + at, len);
    }
}
/* One field of 4,000 octets enters the table; the rest of the block refers to it. */
static size_t bomb_start(void)
{
    static char value[4001];
    memset(value, 'v', 4000);
    size_t n = put_field(block, "x", value);
    block[0] = 0x40;
    return n;
}

TEST(an_hpack_bomb_of_references_ends_the_connection_after_a_few)
{
    hold_start();
    serve();
    size_t n = bomb_start();
    memset(block + n, 0x80 | 62, 16000);
    long_block(1, n + 16000);
    expect("E:ENHANCE_YOUR_CALM");
    check_str(session.last.text, "header list far over the limit");
    session_end();
    hold_stop();
    check(most_held < 100000);
    check_int(held, 0);
}

/* Each octet pair inserts the 4,000 octet name again and evicts the one before. */
TEST(an_hpack_bomb_of_insertions_holds_little)
{
    static char name[4001];
    hold_start();
    serve();
    memset(name, 'n', 4000);
    size_t n = put_field(block, name, "");
    block[0] = 0x40;
    for (int i = 0; i < 8000; i++)
        block[n++] = 0x40 | 62, block[n++] = 0;
    long_block(1, n);
    expect("E:ENHANCE_YOUR_CALM");
    session_end();
    hold_stop();
    check(most_held < 200000);
}

/* Over the limit, but not far: the block is decoded to its end, for the table's sake. */
TEST(the_table_is_right_after_a_header_list_over_the_limit)
{
    serve();
    size_t n = put_fields(block, FIELDS(REQUEST)), first = n;
    n += put_field(block + n, "x-kept", "before");
    block[first] = 0x40;
    for (int i = 0; i < 12; i++) {
        static char value[1500];
        memset(value, 'v', sizeof value - 1);
        n += put_field(block + n, "x-long", value);
    }
    first = n;
    n += put_field(block + n, "x-last", "after");
    block[first] = 0x40;
    long_block(1, n);
    n = put_fields(block, FIELDS(REQUEST));
    block[n++] = 0x80 | 62, block[n++] = 0x80 | 63;
    long_block(3, n);
    expect("H1.! H3.");
    check_int(session.last.n_fields, 5);
    check_str(session.last.fields[3].name, "x-last");
    check_str(session.last.fields[4].value, "before");
    session_end();
}

/* An entry that came with dropped fields, and is evicted while a later block's fields use it. */
TEST(entries_of_dropped_fields_live_while_a_later_block_uses_them)
{
    static char value[3001];
    serve();
    memset(value, 'v', 3000);
    size_t n = put_fields(block, FIELDS(REQUEST));
    for (int i = 0; i < 6; i++)
        n += put_field(block + n, "x", value);
    size_t at = n;
    n += put_field(block + n, "x-first", value);
    block[at] = 0x40;
    long_block(1, n);
    n = put_fields(block, FIELDS(REQUEST));
    block[n++] = 0x80 | 62; /* x-first, then two that evict it */
    for (int i = 0; i < 2; i++) {
        at = n;
        n += put_field(block + n, "x-other", value);
        block[at] = 0x40;
    }
    long_block(3, n);
    expect("H1.! H3.");
    check_int(session.last.n_fields, 6);
    check_str(session.last.fields[3].name, "x-first");
    check_int(strlen(session.last.fields[3].value), 3000);
    session_end();
}

TEST(header_blocks_hold_no_more_than_their_limit)
{
    hold_start();
    serve();
    size_t before = held;
    for (int i = 0; i < 32768; i++)
        block[i] = i % 3 ? 'a' : 0; /* whatever it is */
    frame_with(H2_HEADERS, 0, 1, block, 16384);
    frame_with(H2_CONTINUATION, 0, 1, block, 16384);
    expect("");
    check(held - before <= 2 * LIMIT_HEADER_BLOCK + 64);
    frame_with(H2_CONTINUATION, 0, 1, block, 1);
    expect("E:ENHANCE_YOUR_CALM");
    session_end();
    hold_stop();
}

TEST(half_open_streams_cost_a_table_entry_each)
{
    struct h2_config c = server_config;
    c.max_concurrent_streams = LIMIT_STREAMS;
    hold_start();
    session_start(&c);
    preface();
    settings();
    feed();
    size_t before = held;
    for (uint32_t i = 0; i < 3 * LIMIT_STREAMS; i++) {
        request(2 * i + 1, 0);
        feed();
    }
    check_int(h2_in_streams(session.in), LIMIT_STREAMS);
    check(held - before <= LIMIT_STREAMS * 200);
    session_end();
    hold_stop();
    check_int(held, 0);
}

/* -- no false alarms --------------------------------------------------------------------------- */

TEST(completed_streams_refill_the_budget)
{
    serve();
    for (uint32_t i = 0; i < 3000; i++) {
        uint32_t id = 2 * i + 1;
        request(id, 0);
        for (int k = 0; k < 20; k++)
            ping(0), window_update(0, 1), priority(id, 0);
        data(id, 1, H2_END_STREAM);
        feed();
        check(session.last.kind == H2_EV_DATA);
        check(h2_in_local_end(session.in, id));
    }
    session_end();
}

TEST(tiny_data_is_never_too_much)
{
    struct h2_config c = server_config;
    c.max_concurrent_streams = 1000;
    session_start(&c);
    preface();
    settings();
    for (uint32_t i = 0; i < 1000; i++)
        request(2 * i + 1, 0);
    feed();
    for (int k = 0; k < 100; k++) {
        for (uint32_t i = 0; i < 1000; i++)
            data(2 * i + 1, 1, 0);
        feed();
        check(session.last.kind == H2_EV_DATA);
        for (uint32_t i = 0; i < 1000; i++)
            h2_in_consumed(session.in, 2 * i + 1, 1);
        h2_in_connection_credit(session.in);
    }
    session_end();
}

/* A receiver of small messages that acknowledges each on both windows and measures bandwidth. */
TEST(a_receiver_that_acknowledges_every_message_lives_on_what_we_send)
{
    struct h2_out out;
    struct h2_out_stream s = { 0 };
    static const uint8_t body[100];
    serve();
    check_int(begin_out(&out, &server_config), 0);
    request(1, 0);
    feed();
    h2_out_accept(&out, &s, 1);
    for (int i = 0; i < 20000; i++) {
        out.len = 0; /* sent */
        check(h2_out_data(&out, &s, body, i % 100 + 1, false));
        h2_in_earned(session.in, out.earned);
        out.earned = 0;
        window_update(0, (uint32_t)i % 100 + 1), window_update(1, (uint32_t)i % 100 + 1), ping(0);
        feed();
        check(session.last.kind == H2_EV_PING);
        check(h2_out_window(&out, &s, (uint32_t)i % 100 + 1));
        check(h2_out_window(&out, NULL, (uint32_t)i % 100 + 1));
    }
    h2_out_unlink(&out, &s);
    h2_out_fini(&out);
    session_end();
}

/* Readers of many streams that all took their share: a burst larger than the budget. */
TEST(window_updates_that_data_has_paid_for_may_come_all_at_once)
{
    struct h2_out out;
    struct h2_out_stream s = { 0 };
    static const uint8_t body[20];
    serve();
    check_int(begin_out(&out, &server_config), 0);
    request(1, 0);
    feed();
    h2_out_accept(&out, &s, 1);
    for (int i = 0; i < 3000; i++) {
        out.len = 0;
        check(h2_out_data(&out, &s, body, sizeof body, false));
        h2_in_earned(session.in, out.earned);
        out.earned = 0;
    }
    for (int i = 0; i < 3000; i++)
        window_update(1, 20);
    feed();
    check(session.last.kind == H2_EV_WINDOW);
    for (unsigned i = 0; i < 4 * 3000 + LIMIT_GLITCHES; i++)
        window_update(1, 20);
    feed();
    check_int(session.last.code, H2_ENHANCE_YOUR_CALM);
    h2_out_unlink(&out, &s);
    h2_out_fini(&out);
    session_end();
}

/* The same receiver as an attack: a window of one octet at a time, so that we send crumbs. */
TEST(a_receiver_that_doles_out_single_octets_ends_with_the_budget)
{
    struct h2_out out;
    struct h2_out_stream s = { 0 };
    static const uint8_t body[5000];
    serve();
    setting(H2_SET_INITIAL_WINDOW_SIZE, 0);
    request(1, 0);
    feed();
    check_int(begin_out(&out, &server_config), 0);
    check(h2_out_settings(&out, h2_in_peer(session.in)));
    h2_out_accept(&out, &s, 1);
    check(!h2_out_data(&out, &s, body, sizeof body, false));
    unsigned n = 0;
    for (; n < 5000 && session.last.kind != H2_EV_ERROR; n++) {
        out.len = 0;
        window_update(1, 1);
        feed();
        check(h2_out_window(&out, &s, 1));
        h2_out_pump(&out);
        h2_in_earned(session.in, out.earned);
        out.earned = 0;
    }
    check_int(session.last.code, H2_ENHANCE_YOUR_CALM);
    check(n <= LIMIT_GLITCHES + 2);
    h2_out_unlink(&out, &s);
    h2_out_fini(&out);
    session_end();
}

TEST(a_client_is_not_punished_for_its_own_cancellations)
{
    connect_client();
    for (uint32_t i = 0; i < 3000; i++) {
        check_int(h2_in_opened(session.in, 2 * i + 1, NULL, true), 0);
        if (i % 2)
            h2_in_forget(session.in, 2 * i + 1, H2_RESET_OURS);
        else
            rst(2 * i + 1, 7);
        feed();
        check(session.last.kind != H2_EV_ERROR);
    }
    session_end();
}

/* A bad request is answered before its end and reset; it pays only if that end never comes, and it
 * gets its token back once. */
TEST(bad_requests_that_end_are_no_abuse)
{
    serve();
    for (uint32_t i = 0; i < 3000; i++) {
        request(2 * i + 1, 0);
        feed();
        check(session.last.kind == H2_EV_HEADERS);
        h2_in_forget(session.in, 2 * i + 1, H2_RESET_ANSWERED);
        if (i % 2)
            data(2 * i + 1, 20, H2_END_STREAM);
        else
            trailers(2 * i + 1);
        expect("");
    }
    data(5999, 0, H2_END_STREAM);
    expect("E:STREAM_CLOSED");
    serve();
    unsigned n = 0;
    for (; session.last.kind != H2_EV_ERROR && n < 5000; n++) {
        request(2 * n + 1, 0);
        feed();
        h2_in_forget(session.in, 2 * n + 1, H2_RESET_ANSWERED);
    }
    check(n > LIMIT_GLITCHES / 2 && n <= LIMIT_GLITCHES + 2);
    session_end();
}

/* What was under way when an upload was answered early, in small pieces. */
TEST(late_data_in_small_pieces_is_no_abuse)
{
    serve();
    request(1, 0);
    feed();
    h2_in_forget(session.in, 1, H2_RESET_OURS);
    for (int i = 0; i < 5000; i++)
        data(1, 10, 0);
    data(1, 0, H2_END_STREAM);
    ping(0);
    expect("P");
    session_end();
}

/* Early ends that the handler chose, as of uploads without permission. */
TEST(a_client_is_not_punished_for_answers_that_come_early)
{
    serve();
    for (uint32_t i = 0; i < 3000; i++) {
        request(2 * i + 1, 0);
        feed();
        check(session.last.kind == H2_EV_HEADERS);
        h2_in_forget(session.in, 2 * i + 1, H2_RESET_OURS);
    }
    session_end();
}
