/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * test_h2_in_whole.c: the receiving machine over whole sessions: windows, blocks that
 * begin alike, every split, memory that fails, and random frames against a model of stream states.
 * See frames.h for how events read. */
#include "frames.h"

/* -- blocks that begin alike ------------------------------------------------------------------- */

/* What a run of fields came to is noted, but it comes to something else in another place. */
TEST(octets_that_began_a_request_are_no_trailers)
{
    static const char post[] = "\x83\x86\x84", ok[] = "\x88"; /* POST, http, /; 200 */
    serve();
    for (uint32_t id = 1; id < 8; id += 2) {
        frame_with(H2_HEADERS, H2_END_HEADERS, id, post, 3);
        frame_with(H2_HEADERS, H2_END_HEADERS | H2_END_STREAM, id, post, 3);
    }
    expect("H1 X1:PROTOCOL_ERROR H3 X3:PROTOCOL_ERROR H5 X5:PROTOCOL_ERROR H7 X7:PROTOCOL_ERROR");
    frame_with(H2_HEADERS, H2_END_HEADERS, 9, post, 2); /* the same, but for :path */
    frame_with(H2_HEADERS, H2_END_HEADERS, 11, post, 2);
    frame_with(H2_HEADERS, H2_END_HEADERS, 13, "\x83\x86\x84\x83", 4);
    frame_with(H2_HEADERS, H2_END_HEADERS, 15, "\x83\x86\x84\0\x05:path\1/", 12);
    frame_with(H2_HEADERS, H2_END_HEADERS, 17, "\x83\x86\x84\0\1a\1b", 8);
    expect("X9:PROTOCOL_ERROR X11:PROTOCOL_ERROR X13:PROTOCOL_ERROR X15:PROTOCOL_ERROR H17");
    connect_client();
    for (uint32_t id = 1; id < 8; id += 2) {
        check(h2_in_opened(session.in, id, NULL, false) == 0);
        frame_with(H2_HEADERS, H2_END_HEADERS, id, ok, 1);
        frame_with(H2_HEADERS, H2_END_HEADERS | H2_END_STREAM, id, ok, 1);
    }
    expect("H1 X1:PROTOCOL_ERROR H3 X3:PROTOCOL_ERROR H5 X5:PROTOCOL_ERROR H7 X7:PROTOCOL_ERROR");
    session_end();
}

/* -- receive windows --------------------------------------------------------------------------- */

TEST(stream_window_is_enforced)
{
    serve();
    request(1, 0);
    for (int i = 0; i < 4; i++)
        data(1, i < 3 ? 16384 : 16383, 0);
    expect("H1 D1:65535");
    data(1, 0, 0);
    expect("");
    data(1, 1, 0);
    expect("X1:FLOW_CONTROL_ERROR");
    session_end();
}

TEST(connection_window_is_enforced)
{
    struct h2_config c = server_config;
    c.connection_window = 1; /* nobody can go below the default */
    session_start(&c);
    preface();
    settings();
    request(1, 0);
    request(3, 0);
    for (int i = 0; i < 3; i++)
        data(1, 16384, 0);
    data(3, 16383, 0);
    expect("S H1 H3 D1:49152 D3:16383");
    check_int(h2_in_connection_credit(session.in), 65535);
    check_int(h2_in_connection_credit(session.in), 0);
    for (int i = 0; i < 3; i++)
        data(3, 16384, 0);
    data(1, 16384, 0);
    expect("D3:49152 E:FLOW_CONTROL_ERROR");
    session_end();
}

TEST(a_small_window_binds_the_peer_from_its_ack_on)
{
    struct h2_config c = server_config;
    c.initial_window = 100;
    session_start(&c);
    preface();
    settings();
    request(1, 0);
    data(1, 5000, 0); /* it has not seen our SETTINGS yet */
    settings_ack();
    data(1, 0, 0);
    expect("S H1 D1:5000 A");
    check_int(h2_in_consumed(session.in, 1, 5000), 5000);
    data(1, 100, 0);
    expect("D1:100");
    data(1, 1, 0);
    expect("X1:FLOW_CONTROL_ERROR");
    session_end();
}

TEST(stream_credit_is_coalesced_and_ends_with_the_stream)
{
    serve();
    request(1, 0);
    data(1, 16384, 0);
    feed();
    check_int(h2_in_consumed(session.in, 1, 16000), 0);
    check_int(h2_in_consumed(session.in, 1, 383), 16383);
    check_int(h2_in_consumed(session.in, 1, 1), 0);
    data(1, 16384, H2_END_STREAM);
    feed();
    check_int(h2_in_consumed(session.in, 1, 16384), 0);
    check_int(h2_in_grant(session.in, 1, 1000000), 0);
    check_int(h2_in_consumed(session.in, 99, 16384), 0);
    session_end();
}

TEST(a_grant_is_not_given_back_when_consumed)
{
    serve();
    request(1, 0);
    feed();
    check_int(h2_in_grant(session.in, 1, 65535), 0);
    check_int(h2_in_grant(session.in, 1, 100000), 34465);
    for (int i = 0; i < 6; i++)
        data(1, 16384, 0);
    data(1, 1696, 0);
    expect("D1:100000");
    data(1, 1, 0);
    check_int(h2_in_consumed(session.in, 1, 34465), 0);
    check_int(h2_in_consumed(session.in, 1, 65535), 65535);
    check_int(h2_in_grant(session.in, 1, 65535), 0);
    session_end();
}

TEST(credits_add_up_to_octets_plus_window)
{
    for (int round = 0; round < 20; round++) {
        serve();
        request(1, 0);
        feed();
        int64_t stream = 65535, connection = 1 << 20, unread = 0;
        for (int i = 0; i < 500; i++) {
            uint32_t n = test_random() % 16384;
            uint8_t pad = test_random() % 4 ? 0 : (uint8_t)test_random();
            if (n + pad + 1 <= stream && n + pad + 1 <= connection && n + pad < 16384) {
                if (pad)
                    data_padded(1, n, pad, 0);
                else
                    data(1, n, 0);
                session.credit = 0;
                feed_by(1 + test_random() % 20000);
                uint32_t all = pad ? n + pad + 1 : n;
                check_int(session.credit, all);
                stream -= all, connection -= all, unread += all;
            }
            uint32_t read = unread ? test_random() % (uint32_t)(unread + 1) : 0;
            stream += h2_in_consumed(session.in, 1, read);
            unread -= read;
            if (test_random() % 8 == 0)
                stream += h2_in_grant(session.in, 1, test_random() % 200000);
            connection += h2_in_connection_credit(session.in);
        }
        check(connection > (1 << 20) * 3 / 4 && connection <= 1 << 20);
        check_int(h2_in_streams(session.in), 1);
        int64_t more = h2_in_consumed(session.in, 1, (uint32_t)unread);
        check(stream + more >= 65535 * 3 / 4 - 1);
        data(1, min_size((size_t)(stream + more), 16384), 0); /* the peer's sum is ours */
        check(strncmp(feed(), "D1:", 3) == 0);
    }
    session_end();
}

TEST(streams_that_are_gone_have_no_window)
{
    serve();
    request(1, 0);
    feed();
    check_int(h2_in_grant(session.in, 3, 100000), 0);
    check_int(h2_in_consumed(session.in, 0, 100000), 0);
    h2_in_set_user(session.in, 3, &session); /* whoever asks after a reset */
    session_end();
}

TEST(header_block_has_a_size_limit)
{
    serve();
    frame(16384, H2_HEADERS, 0, 1);
    zeros(16384);
    frame(16384, H2_CONTINUATION, 0, 1);
    zeros(16384);
    expect("");
    frame(1, H2_CONTINUATION, H2_END_HEADERS, 1);
    expect("E:ENHANCE_YOUR_CALM");
    struct h2_config c = server_config;
    c.max_frame = 65536;
    session_start(&c); /* in one frame, which is long enough for it */
    preface();
    settings();
    frame(LIMIT_HEADER_BLOCK + 1, H2_HEADERS, H2_END_HEADERS, 1);
    expect("S E:ENHANCE_YOUR_CALM");
    session_end();
}

TEST(a_response_over_the_limit_may_have_lost_its_status)
{
    static char big[17000];
    connect_client();
    check_int(h2_in_opened(session.in, 1, NULL, true), 0);
    memset(big, 'a', sizeof big - 1);
    size_t n = put_fields(block, FIELDS("x", big, ":status", "200"));
    frame_with(H2_HEADERS, H2_END_STREAM, 1, block, 16384);
    frame_with(H2_CONTINUATION, H2_END_HEADERS, 1, block + 16384, n - 16384);
    expect("H1.!");
    session_end();
}

TEST(a_stream_may_be_forgotten_within_its_padded_data)
{
    serve();
    request(1, 0);
    data_padded(1, 20, 3, 0);
    size_t n = script.len, piece = 24 + 9;
    feed_piece(script.octets, n - piece);
    feed_piece(script.octets + n - piece, 9); /* the frame's header, without the padding's length */
    h2_in_forget(session.in, 1, H2_RESET_OURS);
    feed_piece(script.octets + n - 24, 24);
    script.len = 0;
    ping(0);
    expect("P");
    session_end();
}

TEST(what_is_idle_keeps_a_header_block_that_has_begun)
{
    serve();
    size_t n = put_fields(block, FIELDS(REQUEST));
    frame(0, H2_HEADERS, H2_END_STREAM, 1);
    feed();
    h2_in_rest(session.in);
    frame_with(H2_CONTINUATION, H2_END_HEADERS, 1, block, n);
    expect("H1.");
    session_end();
}

/* -- split anywhere ---------------------------------------------------------------------------- */

/* A header block that outgrows what was first kept of it. */
static void growing_request(uint32_t id)
{
    static char value[6000];
    memset(value, 'v', sizeof value - 1);
    size_t n = put_fields(block, FIELDS(REQUEST, "x-long", value));
    frame_with(H2_HEADERS, H2_END_STREAM, id, block, 10);
    frame_with(H2_CONTINUATION, 0, id, block + 10, 3000);
    frame_with(H2_CONTINUATION, H2_END_HEADERS, id, block + 3010, n - 3010);
}

static void long_script(void)
{
    preface();
    settings();
    setting(H2_SET_MAX_CONCURRENT_STREAMS, 7);
    request(1, 0);
    ping(0);
    data(1, 40, 0);
    data_padded(1, 20, 3, 0);
    data_padded(1, 0, 5, 0);
    window_update(0, 100);
    split_request(3, 3);
    priority(3, 1);
    frame(20, 0x77, 0, 0);
    zeros(20);
    trailers(1);
    request(5, 0);
    data(5, 3, 0);
    rst(5, 8);
    settings_ack();
    headers(7, 0, FIELDS(REQUEST, "te", "gzip"));
    data(7, 12, 0);
    request(9, 0);
    request(11, 0);
    request(13, 0);
    growing_request(15);
    data_padded(9, 4, 2, H2_END_STREAM);
    goaway(0, 0, "thanks");
    frame(4, H2_WINDOW_UPDATE, 0, 9);
    word(0);
    frame(1, H2_RST_STREAM, 0, 9);
}

TEST(every_split_of_a_session_gives_the_same_events)
{
    static const char *const want =
        "S S H1 P D1:60 W0+100 H3. T1. H5 D5:3 R5:8 A X7:PROTOCOL_ERROR H9 H11 F13 F15 D9:4. G0:0 "
        "X9:PROTOCOL_ERROR E:FRAME_SIZE_ERROR";
    session_start(&server_config);
    long_script();
    size_t n = script.len;
    check_str(feed(), want);
    uint64_t credit = session.credit;
    for (size_t piece = 1; piece < 40; piece++) {
        session_start(&server_config);
        long_script();
        check_str(feed_by(piece), want);
        check_int(session.credit, credit);
    }
    for (size_t cut = 0; cut <= n; cut++) {
        session_start(&server_config);
        long_script();
        feed_piece(script.octets, cut);
        bool partial = h2_in_partial(session.in);
        feed_piece(script.octets + cut, n - cut);
        note_data();
        check_str(session.log + 1, want);
        check(!partial || cut < n);
    }
    session_end();
}

/* -- memory ------------------------------------------------------------------------------------ */

static int fail_at;
static void *(*real_malloc)(size_t);
static void *(*real_calloc)(size_t, size_t);
static void *(*real_realloc)(void *, size_t);
static void *count_malloc(size_t n) { return --fail_at == 0 ? NULL : real_malloc(n); }
static void *count_calloc(size_t n, size_t s) { return --fail_at == 0 ? NULL : real_calloc(n, s); }
static void *count_realloc(void *p, size_t n) { return --fail_at == 0 ? NULL : real_realloc(p, n); }

static void count_allocations(int fail)
{
    fail_at = fail;
    real_malloc = sys.malloc, real_calloc = sys.calloc, real_realloc = sys.realloc;
    sys.malloc = count_malloc, sys.calloc = count_calloc, sys.realloc = count_realloc;
}
static void count_no_more(void)
{
    sys.malloc = real_malloc, sys.calloc = real_calloc, sys.realloc = real_realloc;
}

static void failing_allocations(size_t piece)
{
    bool clean = false;
    for (int n = 1; !clean; n++) {
        check(n < 200);
        memset(&session, 0, sizeof session);
        count_allocations(n);
        session.in = h2_in_new(&server_config);
        if (session.in) {
            script.len = 0;
            long_script();
            feed_by(piece);
        }
        clean = fail_at > 0;
        count_no_more();
        if (session.in && !clean)
            check(strstr(session.log, "E:INTERNAL_ERROR") || strstr(session.log, " F"));
        session_end();
    }
}
TEST(each_failing_allocation_is_an_error_or_a_refused_stream)
{
    failing_allocations(7);
    failing_allocations(SIZE_MAX / 2);
}

TEST(whole_frames_in_steady_state_allocate_nothing)
{
    serve();
    for (uint32_t i = 0; i < 200; i++) {
        if (i == 100)
            count_allocations(1);
        uint32_t id = 2 * i + 1;
        request(id, 0);
        data(id, 100, H2_END_STREAM);
        feed();
        check(session.last.kind == H2_EV_DATA);
        check(h2_in_local_end(session.in, id));
    }
    check_int(fail_at, 1);
    count_no_more();
    session_end();
}

/* -- against a simple model of stream states --------------------------------------------------- */

enum model_state { M_IDLE, M_OPEN, M_REMOTE, M_LOCAL, M_ENDED, M_WE_RESET, M_PEER_RESET };
#define MODEL_STREAMS 40
static enum model_state model[MODEL_STREAMS];

static unsigned model_live(void)
{
    unsigned n = 0;
    for (int i = 0; i < MODEL_STREAMS; i++)
        n += model[i] == M_OPEN || model[i] == M_REMOTE || model[i] == M_LOCAL;
    return n;
}
/* What END_STREAM of the peer does. */
static enum model_state model_remote_end(enum model_state s)
{
    return s == M_LOCAL ? M_ENDED : M_REMOTE;
}
#define WANT 64
/* Sends one frame on stream i; writes what must come of it. False: the connection ends. */
static bool model_data(int i, char *want)
{
    uint32_t id = 2 * (uint32_t)i + 1;
    bool end = test_random() % 3 == 0;
    data(id, 1, end ? H2_END_STREAM : 0);
    switch (model[i]) {
    case M_OPEN:
    case M_LOCAL:
        snprintf(want, WANT, "D%u:1%s", id, end ? "." : "");
        if (end)
            model[i] = model_remote_end(model[i]);
        return true;
    case M_REMOTE:
    case M_PEER_RESET:
        snprintf(want, WANT, "X%u:STREAM_CLOSED", id);
        model[i] = M_WE_RESET;
        return true;
    case M_WE_RESET:
        return true;
    default:
        snprintf(want, WANT, "%s", model[i] == M_IDLE ? "E:PROTOCOL_ERROR" : "E:STREAM_CLOSED");
        return false;
    }
}
static bool model_headers(int i, char *want)
{
    uint32_t id = 2 * (uint32_t)i + 1;
    switch (model[i]) {
    case M_IDLE: {
        bool end = test_random() % 2;
        request(id, end ? H2_END_STREAM : 0);
        if (model_live() >= server_config.max_concurrent_streams) {
            snprintf(want, WANT, "F%u", id);
            model[i] = M_WE_RESET;
        } else {
            snprintf(want, WANT, "H%u%s", id, end ? "." : "");
            model[i] = end ? M_REMOTE : M_OPEN;
        }
        return true;
    }
    case M_OPEN:
    case M_LOCAL:
        trailers(id);
        snprintf(want, WANT, "T%u.", id);
        model[i] = model_remote_end(model[i]);
        return true;
    case M_REMOTE:
    case M_PEER_RESET:
        trailers(id);
        snprintf(want, WANT, "X%u:STREAM_CLOSED", id);
        model[i] = M_WE_RESET;
        return true;
    case M_WE_RESET:
        trailers(id);
        return true;
    default:
        trailers(id);
        snprintf(want, WANT, "E:STREAM_CLOSED");
        return false;
    }
}
static bool model_reset(int i, char *want)
{
    uint32_t id = 2 * (uint32_t)i + 1;
    rst(id, 8);
    if (model[i] == M_IDLE) {
        snprintf(want, WANT, "E:PROTOCOL_ERROR");
        return false;
    }
    if (model[i] == M_OPEN || model[i] == M_REMOTE || model[i] == M_LOCAL) {
        snprintf(want, WANT, "R%u:8", id);
        model[i] = M_PEER_RESET;
    }
    return true;
}
static void model_local(int i)
{
    uint32_t id = 2 * (uint32_t)i + 1;
    if (model[i] != M_OPEN && model[i] != M_REMOTE)
        return;
    if (test_random() % 4 == 0) {
        h2_in_forget(session.in, id, H2_RESET_PROVOKED);
        model[i] = M_WE_RESET;
        return;
    }
    bool gone = h2_in_local_end(session.in, id);
    check(gone == (model[i] == M_REMOTE));
    model[i] = gone ? M_ENDED : M_LOCAL;
}

/* Frames that belong to no stream's life, or to any: what must come of them. */
static bool model_other(int i, char *want)
{
    uint32_t id = 2 * (uint32_t)i + 1;
    switch (test_random() % 7) {
    case 0:
        ping(0);
        snprintf(want, WANT, "P");
        return true;
    case 1:
        setting(0x77, 1);
        snprintf(want, WANT, "S");
        return true;
    case 2:
        frame(3, 0x99, 0xff, id);
        zeros(3);
        return true;
    case 3:
        window_update(0, 1);
        snprintf(want, WANT, "W0+1");
        return true;
    case 4: /* on which stream does not matter, unless it depends on itself */
        priority(id, id + 2);
        return true;
    case 5:
        window_update(id, 1);
        if (model[i] == M_IDLE)
            snprintf(want, WANT, "E:PROTOCOL_ERROR");
        else if (model[i] == M_OPEN || model[i] == M_REMOTE || model[i] == M_LOCAL)
            snprintf(want, WANT, "W%u+1", id);
        return model[i] != M_IDLE;
    default:
        if (test_random() % 20)
            return true;
        frame(0, H2_CONTINUATION, H2_END_HEADERS, id); /* of no block */
        snprintf(want, WANT, "E:PROTOCOL_ERROR");
        return false;
    }
}

/* One session; how many frames it took. */
static unsigned long model_session(void)
{
    unsigned long frames = 0;
    int top = 0;
    serve();
    memset(model, 0, sizeof model);
    for (bool on = true; on && frames < 300; frames++) {
        char want[WANT] = "";
        /* Mostly what is allowed: a jump over ids or an idle stream ends the session. */
        int i = (int)(test_random() % (uint32_t)(top + 1));
        unsigned what = test_random() % 10;
        if (i == top && model[i] == M_IDLE && what < 7)
            what = 3;
        if (what < 3)
            on = model_data(i, want);
        else if (what < 5)
            on = model_headers(i, want);
        else if (what < 7)
            model_local(i);
        else if (what == 7)
            on = model_reset(i, want);
        else
            on = model_other(i, want);
        check_str(feed_by(1 + test_random() % 30), want);
        if (on)
            check_int(h2_in_streams(session.in), model_live());
        if (model[top] != M_IDLE && top + 1 < MODEL_STREAMS)
            top++;
        h2_in_refill(session.in, 10);
    }
    return frames;
}

/* SENNIT_FRAMES says how many; CI runs a million, on a fresh seed. */
TEST_WITH(random_frames_agree_with_a_model_of_stream_states, 600, false)
{
    const char *count = getenv("SENNIT_FRAMES");
    unsigned long left = count ? strtoul(count, NULL, 10) : 60000;
    while (left) {
        unsigned long n = model_session();
        left -= min_size(n, left);
    }
    session_end();
}

/* A DATA frame of len octets, of which have came with its header, behind the HEADERS of e. */
static size_t joined(const struct h2_event *e, uint32_t id, uint32_t len, uint32_t have)
{
    static uint8_t octets[9 + 20000];
    struct h2_event ev = *e;
    store_be24(octets, len);
    octets[3] = H2_DATA, octets[4] = H2_END_STREAM;
    store_be32(octets + 5, id);
    return h2_in_with_data(session.in, octets, 9 + have, &ev);
}
static struct h2_config narrow(uint32_t stream, uint32_t glitches)
{
    struct h2_config c = server_config;
    c.initial_window = stream, c.glitches = glitches;
    return c;
}

TEST(data_joins_its_headers_only_if_nothing_is_odd_about_it)
{
    struct h2_config c = narrow(100, 1);
    struct h2_event first;
    session_start(&c);
    preface(), settings(), settings_ack();
    request(1, 0);
    feed();
    first = session.last;
    check_int(joined(&first, 3, 5, 5), 0);
    check_int(joined(&first, 257, 5, 5), 0);
    check_int(joined(&first, 1, 0, 0), 0);
    check_int(joined(&first, 1, 5, 4), 0);
    check_int(joined(&first, 1, 101, 101), 0); /* its window */
    check_int(joined(&first, 1, 16385, 16385), 0);
    headers(3, 0, FIELDS(REQUEST, "content-length", "5"));
    feed();
    check_int(joined(&session.last, 3, 5, 5), 0);
    check_int(joined(&first, 1, 5, 5), 0); /* another stream came since */
    request(5, 0);
    feed();
    check_int(joined(&session.last, 5, 5, 5), 14);
    request(7, H2_END_STREAM);
    feed();
    check_int(joined(&session.last, 7, 5, 5), 0);
    request(9, 0);
    feed();
    h2_in_forget(session.in, 1, H2_RESET_PROVOKED);
    check_int(joined(&session.last, 9, 5, 5), 0); /* the budget is spent: that is told first */
    session_end();
    c = narrow(1000000, 1000);
    session_start(&c);
    preface(), settings(), settings_ack();
    request(1, 0);
    request(3, 0);
    for (int i = 0; i < 63; i++)
        data(1, 16384, 0);
    data(1, 1000, 0);
    feed();
    request(5, 0);
    feed();
    check_int(joined(&session.last, 5, 15385, 15385), 0); /* the connection's window */
    check_int(joined(&session.last, 5, 15384, 15384), 9 + 15384);
    session_end();
}
