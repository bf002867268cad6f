/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * test_h2_in.c: the receiving machine, by scripts of frames. See frames.h for how events read. */
#include "frames.h"

/* -- preface --------------------------------------------------------------------------------- */

static const char *after(const struct h2_config *c, const char *octets, size_t piece)
{
    session_start(c);
    raw(octets, strlen(octets));
    return feed_by(piece);
}

TEST(http1_request_lines_are_told_apart_from_garbage)
{
    static const struct {
        const char *octets, *log;
    } cases[] = {
        { "GET / HTTP/1.1\r\n\r\n", "HTTP1" },
        { "POST /a/b HTTP/1.0\r\n", "HTTP1" },
        { "PRI * HTTP/1.1\r\n", "HTTP1" },
        { "PUT / HTTP/2.0\r\n", "E:PROTOCOL_ERROR" },
        { "PRI * HTTP/2.0\r\n\r\nSM\r\n\rX", "E:PROTOCOL_ERROR" },
        { "PRI * HTTP/2.0\r\n\r\n\r\n", "E:PROTOCOL_ERROR" },
        { "INVALID CONNECTION PREFACE\r\n\r\n", "E:PROTOCOL_ERROR" },
        { "\x16\x03\x01", "E:PROTOCOL_ERROR" },
        { " / HTTP/1.1\r\n", "E:PROTOCOL_ERROR" },
        { "GET /\r\n", "E:PROTOCOL_ERROR" },
        { "GET /\x7f HTTP/1.1\r\n", "E:PROTOCOL_ERROR" },
        { "get / HTTP/1.1\r\n", "E:PROTOCOL_ERROR" },
        { "GET / HTT", "" },
        { "PRI * HT", "" },
    };
    for (size_t i = 0; i < countof(cases); i++) {
        check_str(after(&server_config, cases[i].octets, 1000), cases[i].log);
        check_str(after(&server_config, cases[i].octets, 1), cases[i].log);
    }
    session_end();
}

TEST(first_frame_must_be_settings)
{
    session_start(&server_config);
    preface();
    ping(0);
    expect("E:PROTOCOL_ERROR");
    session_start(&server_config);
    preface();
    settings_ack();
    expect("E:PROTOCOL_ERROR");
    check_str(after(&client_config, "HTTP/1.1 400 Bad Request\r\n", 1), "E:PROTOCOL_ERROR");
    check_str(session.last.text, "the peer speaks HTTP/1");
    session_end();
}

TEST(nothing_is_parsed_after_a_connection_error)
{
    serve();
    data(0, 1, 0);
    ping(0);
    expect("E:PROTOCOL_ERROR");
    ping(0);
    expect("");
    check(!h2_in_partial(session.in));
    session_end();
}

/* -- frame format ---------------------------------------------------------------------------- */

static void script_one(unsigned type, unsigned flags, uint32_t id, size_t len, const char *log)
{
    serve();
    request(1, 0);
    frame(len, type, flags, id);
    zeros(len);
    char want[80];
    snprintf(want, sizeof want, "H1%s%s", log[0] ? " " : "", log);
    check_str(feed(), want);
}

TEST(frame_sizes_and_ids_are_checked)
{
    script_one(H2_PING, 0, 0, 7, "E:FRAME_SIZE_ERROR");
    script_one(H2_PING, 0, 0, 9, "E:FRAME_SIZE_ERROR");
    script_one(H2_PING, 0, 1, 8, "E:PROTOCOL_ERROR");
    script_one(H2_RST_STREAM, 0, 1, 3, "E:FRAME_SIZE_ERROR");
    script_one(H2_RST_STREAM, 0, 1, 5, "E:FRAME_SIZE_ERROR");
    script_one(H2_RST_STREAM, 0, 0, 4, "E:PROTOCOL_ERROR");
    script_one(H2_WINDOW_UPDATE, 0, 1, 3, "E:FRAME_SIZE_ERROR");
    script_one(H2_WINDOW_UPDATE, 0, 0, 5, "E:FRAME_SIZE_ERROR");
    script_one(H2_GOAWAY, 0, 0, 7, "E:FRAME_SIZE_ERROR");
    script_one(H2_GOAWAY, 0, 1, 8, "E:PROTOCOL_ERROR");
    script_one(H2_SETTINGS, 0, 0, 5, "E:FRAME_SIZE_ERROR");
    script_one(H2_SETTINGS, 0, 1, 0, "E:PROTOCOL_ERROR");
    script_one(H2_SETTINGS, H2_ACK, 0, 6, "E:FRAME_SIZE_ERROR");
    script_one(H2_SETTINGS, 0, 0, 33 * 6, "E:ENHANCE_YOUR_CALM");
    script_one(H2_SETTINGS, 0, 0, 32 * 6, "S");
    script_one(H2_DATA, 0, 0, 1, "E:PROTOCOL_ERROR");
    script_one(H2_DATA, 0, 1, 16385, "E:FRAME_SIZE_ERROR");
    script_one(H2_DATA, H2_PADDED, 1, 0, "E:FRAME_SIZE_ERROR");
    script_one(H2_HEADERS, H2_END_HEADERS, 0, 0, "E:PROTOCOL_ERROR");
    script_one(H2_HEADERS, H2_END_HEADERS, 2, 0, "E:PROTOCOL_ERROR");
    script_one(H2_HEADERS, H2_END_HEADERS | H2_PADDED, 3, 0, "E:FRAME_SIZE_ERROR");
    script_one(H2_HEADERS, H2_END_HEADERS | H2_PRIO, 3, 4, "E:FRAME_SIZE_ERROR");
    script_one(H2_HEADERS, H2_END_HEADERS, 3, 16385, "E:FRAME_SIZE_ERROR");
    script_one(H2_PRIORITY, 0, 0, 5, "E:PROTOCOL_ERROR");
    script_one(H2_PRIORITY, 0, 1, 4, "X1:FRAME_SIZE_ERROR");
    script_one(H2_PRIORITY, 0, 3, 4, "E:FRAME_SIZE_ERROR");
    script_one(H2_PRIORITY, 0, 1, 5, "");
    script_one(H2_PRIORITY, 0, 99, 5, "");
    script_one(H2_CONTINUATION, H2_END_HEADERS, 1, 0, "E:PROTOCOL_ERROR");
    script_one(H2_PUSH_PROMISE, H2_END_HEADERS, 1, 4, "E:PROTOCOL_ERROR");
    script_one(0x10, 0, 0, 6, "");
    script_one(0xf0, 0xff, 77, 300, "");
    session_end();
}

TEST(padding_is_checked_and_removed)
{
    serve();
    request(1, 0);
    data_padded(1, 10, 255, 0);
    data_padded(1, 0, 0, H2_END_STREAM);
    expect("H1 D1:10.");
    check_int(session.credit, 10 + 256 + 1);
    request(3, 0);
    frame(3, H2_DATA, H2_PADDED, 3);
    raw("\003ab", 3);
    expect("H3 E:PROTOCOL_ERROR");

    serve(); /* HEADERS: padding, priority, both */
    size_t n = put_fields(block, FIELDS(REQUEST));
    frame(1 + 5 + n + 4, H2_HEADERS, H2_END_HEADERS | H2_PADDED | H2_PRIO, 1);
    raw("\004", 1);
    word(0);
    raw("\020", 1);
    raw(block, n);
    zeros(4);
    frame(1 + 5, H2_HEADERS, H2_END_HEADERS | H2_PADDED | H2_PRIO, 3);
    raw("\001\0\0\0\0\0", 6);
    expect("H1 E:PROTOCOL_ERROR");
    session_end();
}

TEST(reserved_bit_of_ids_is_ignored)
{
    serve();
    size_t n = put_fields(block, FIELDS(REQUEST));
    frame_with(H2_HEADERS, H2_END_HEADERS, 0x80000001u, block, n);
    window_update(0x80000001u, 0x80000005u);
    data(0x80000001u, 3, H2_END_STREAM);
    expect("H1 W1+5 D1:3.");
    session_end();
}

/* -- header blocks --------------------------------------------------------------------------- */

TEST(continuation_must_follow_at_once_and_is_limited)
{
    serve();
    split_request(1, 1);
    split_request(3, LIMIT_CONTINUATIONS);
    expect("H1. H3.");
    split_request(5, LIMIT_CONTINUATIONS + 1);
    expect("E:ENHANCE_YOUR_CALM");
    check_str(session.last.text, "too many CONTINUATION frames");

    serve();
    frame(0, H2_HEADERS, 0, 1);
    check_str(feed(), "");
    check(h2_in_partial(session.in));
    ping(0);
    expect("E:PROTOCOL_ERROR");
    serve();
    frame(0, H2_HEADERS, 0, 1);
    frame(0, H2_CONTINUATION, H2_END_HEADERS, 3);
    expect("E:PROTOCOL_ERROR");
    serve();
    frame(0, H2_HEADERS, 0, 1);
    frame(0, 0x55, 0, 1);
    expect("E:PROTOCOL_ERROR");
    session_end();
}

TEST(what_is_half_read_has_a_number)
{
    serve();
    check_int(h2_in_partial(session.in), 0);
    raw("\0", 1);
    feed();
    uint32_t first = h2_in_partial(session.in);
    check(first != 0);
    raw("\0\10\6\0\0\0\0\0"
        "1234",
        12); /* the header is whole, the PING is not */
    feed();
    uint32_t second = h2_in_partial(session.in);
    check(second != 0 && second != first);
    raw("5678", 4);
    expect("P");
    check_int(h2_in_partial(session.in), 0);
    frame(0, H2_HEADERS, 0, 1);
    feed();
    second = h2_in_partial(session.in);
    for (int i = 0; i < 3; i++) { /* CONTINUATION does not make it another one */
        frame(0, H2_CONTINUATION, 0, 1);
        feed();
        check_int(h2_in_partial(session.in), second);
    }
    frame(10, 0x77, 0, 0); /* interrupts the block */
    expect("E:PROTOCOL_ERROR");
    check_int(h2_in_partial(session.in), 0);
    session_end();
}

TEST(too_large_header_list_reaches_the_owner_and_keeps_the_table)
{
    static char big[9000];
    memset(big, 'a', sizeof big - 1);
    serve();
    size_t n = put_fields(block, FIELDS(REQUEST, "x", big, "y", big));
    frame_with(H2_HEADERS, 0, 1, block, 16384);
    frame_with(H2_CONTINUATION, H2_END_HEADERS | H2_END_STREAM, 1, block + 16384, n - 16384);
    request(3, H2_END_STREAM);
    expect("H1! H3.");
    session_end();
}

TEST(compression_error_ends_the_connection)
{
    serve();
    frame_with(H2_HEADERS, H2_END_HEADERS, 1, "\x80", 1);
    expect("E:COMPRESSION_ERROR");
    session_end();
}

#define R REQUEST
TEST(malformed_requests_are_stream_errors)
{
    static const struct {
        const char *fields[16];
        bool good;
    } cases[] = {
        { { R }, true },
        { { R, ":authority", "a" }, true },
        { { R, "te", "trailers" }, true },
        { { R, "te", "Trailers" }, true }, /* RFC 9110: case does not matter */
        { { R, "te", "trailers", "te", "gzip" }, false },
        { { R, "te", "" }, false },
        { { R, "content-length", "0" }, true },
        { { R, "content-length", "0", "content-length", "0" }, true },
        { { ":path", "*", ":scheme", "https", ":method", "OPTIONS" }, true },
        { { ":method", "GET", ":scheme", "x", ":path", "nonsense" }, true },
        { { ":method", "CONNECT", ":authority", "a:1" }, true },
        { { ":method", "CONNECT", ":authority", "a:1", ":path", "/" }, false },
        { { ":method", "CONNECT" }, false },
        { { ":method", "POST", ":scheme", "http" }, false },
        { { ":method", "POST", ":path", "/" }, false },
        { { ":scheme", "http", ":path", "/" }, false },
        { { ":method", "POST", ":scheme", "http", ":path", "" }, false },
        { { R, ":method", "POST" }, false },
        { { R, ":path", "/" }, false },
        { { R, ":scheme", "http" }, false },
        { { R, ":authority", "a", ":authority", "a" }, false },
        { { R, ":status", "200" }, false },
        { { R, ":protocol", "websocket" }, false },
        { { R, ":foo", "x" }, false },
        { { ":method", "POST", ":scheme", "http", "x", "y", ":path", "/" }, false },
        { { R, "connection", "keep-alive" }, false },
        { { R, "proxy-connection", "x" }, false },
        { { R, "keep-alive", "x" }, false },
        { { R, "transfer-encoding", "chunked" }, false },
        { { R, "upgrade", "x" }, false },
        { { R, "te", "gzip" }, false },
        { { R, "te", "trailerz" }, false },
        { { R, "te", "trailers, deflate" }, false },
        { { R, "X-Test", "ok" }, false },
        { { R, "x", "a\nb" }, false },
        { { R, "content-length", "1" }, false }, /* with END_STREAM */
        { { R, "content-length", "" }, false },
        { { R, "content-length", "-1" }, false },
        { { R, "content-length", "1x" }, false },
        { { R, "content-length", "9999999999999999999999" }, false },
        { { R, "content-length", "0", "content-length", "1" }, false },
    };
    for (size_t i = 0; i < countof(cases); i++) {
        serve();
        headers(1, H2_END_STREAM, cases[i].fields);
        request(3, H2_END_STREAM);
        check_str(feed(), cases[i].good ? "H1. H3." : "X1:PROTOCOL_ERROR H3.");
    }
    session_end();
}

static bool request_with(const char *name, size_t name_len, const char *value, size_t value_len)
{
    size_t n = put_fields(block, FIELDS(REQUEST));
    block[n++] = 0;
    n += put_length(block + n, name_len);
    memcpy(block + n, name, name_len), n += name_len;
    n += put_length(block + n, value_len);
    memcpy(block + n, value, value_len), n += value_len;
    serve();
    frame_with(H2_HEADERS, H2_END_HEADERS | H2_END_STREAM, 1, block, n);
    const char *log = feed();
    check(strcmp(log, "H1.") == 0 || strcmp(log, "X1:PROTOCOL_ERROR") == 0);
    return log[0] == 'H';
}

/* RFC 9113 8.2.1, each octet: token characters of RFC 9110 in names, without upper case; anything
 * but NUL, CR and LF in values, which white space neither begins nor ends. */
TEST(every_octet_is_judged_in_names_and_values)
{
    for (int c = 0; c < 256; c++) {
        char o = (char)c, name[] = { 'a', o, 'b' };
        bool token =
            c && c < 0x80 && strchr("abcdefghijklmnopqrstuvwxyz0123456789!#$%&'*+-.^_`|~", c);
        bool blank = c == ' ' || c == '\t', line = c == 0 || c == '\r' || c == '\n';
        check_int(request_with(name, 3, "v", 1), token);
        check_int(request_with(&o, 1, "v", 1), token);
        check_int(request_with("n", 1, name, 3), !line);
        check_int(request_with("n", 1, name, 2), !line && !blank);
        check_int(request_with("n", 1, name + 1, 2), !line && !blank);
    }
    check(!request_with("", 0, "v", 1) && !request_with(":", 1, "v", 1) &&
          request_with("n", 1, "", 0));
    session_end();
}

TEST(malformed_responses_are_stream_errors)
{
    static const struct {
        const char *fields[8];
        const char *log;
    } cases[] = {
        { { ":status", "200" }, "H1." },
        { { ":status", "404", "content-length", "0" }, "H1." },
        { { ":status", "304", "content-length", "4" }, "H1." },
        { { ":status", "204", "content-length", "4" }, "H1." },
        { { ":status", "200", "content-length", "4" }, "X1:PROTOCOL_ERROR" },
        { { ":status", "200", ":foo", "x" }, "X1:PROTOCOL_ERROR" },
        { { ":status", "100" }, "X1:PROTOCOL_ERROR" }, /* with END_STREAM */
        { { ":status", "101" }, "X1:PROTOCOL_ERROR" },
        { { ":status", "20" }, "X1:PROTOCOL_ERROR" },
        { { ":status", "2000" }, "X1:PROTOCOL_ERROR" },
        { { ":status", "2x0" }, "X1:PROTOCOL_ERROR" },
        { { ":status", "a00" }, "X1:PROTOCOL_ERROR" },
        { { ":status", "2/0" }, "X1:PROTOCOL_ERROR" },
        { { ":status", "20/" }, "X1:PROTOCOL_ERROR" },
        { { ":status", "20a" }, "X1:PROTOCOL_ERROR" },
        { { ":status", "099" }, "X1:PROTOCOL_ERROR" },
        { { "x", "y" }, "X1:PROTOCOL_ERROR" },
        { { "x", "y", ":status", "200" }, "X1:PROTOCOL_ERROR" },
        { { ":status", "200", ":status", "200" }, "X1:PROTOCOL_ERROR" },
        { { ":status", "200", ":path", "/" }, "X1:PROTOCOL_ERROR" },
        { { ":status", "200", "connection", "close" }, "X1:PROTOCOL_ERROR" },
    };
    int owner;
    for (size_t i = 0; i < countof(cases); i++) {
        connect_client();
        check_int(h2_in_opened(session.in, 1, &owner, true), 0);
        headers(1, H2_END_STREAM, cases[i].fields);
        check_str(feed(), cases[i].log);
        check(session.last.user == &owner);
        check_int(h2_in_streams(session.in), 0);
    }
    session_end();
}

TEST(interim_responses_are_skipped)
{
    connect_client();
    check_int(h2_in_opened(session.in, 1, NULL, false), 0);
    headers(1, 0, FIELDS(":status", "100"));
    headers(1, 0, FIELDS(":status", "103", "link", "x"));
    response(1, 0);
    data(1, 7, 0);
    trailers(1);
    expect("H1 D1:7 T1.");
    check(!session.last.gone);
    check(h2_in_local_end(session.in, 1));
    session_end();
}

TEST(trailers_are_checked)
{
    serve();
    request(1, 0);
    headers(1, 0, FIELDS("a", "b"));
    request(3, 0);
    headers(3, H2_END_STREAM, FIELDS("a", "b", ":path", "/"));
    request(5, 0);
    headers(5, H2_END_STREAM, FIELDS(":method", "POST"));
    request(7, 0);
    trailers(7);
    trailers(7);
    expect("H1 X1:PROTOCOL_ERROR H3 X3:PROTOCOL_ERROR H5 X5:PROTOCOL_ERROR H7 T7. "
           "X7:STREAM_CLOSED");
    session_end();
}

TEST(content_length_must_match_the_data)
{
    serve();
    for (uint32_t id = 1; id <= 9; id += 2)
        headers(id, 0, FIELDS(REQUEST, "content-length", "5")), rst(id, 8);
    feed();
    headers(11, 0, FIELDS(REQUEST, "content-length", "5"));
    data_padded(11, 2, 9, 0);
    data(11, 3, H2_END_STREAM);
    headers(13, 0, FIELDS(REQUEST, "content-length", "5"));
    data(13, 6, 0);
    data(13, 1, 0); /* late: ignored */
    headers(15, 0, FIELDS(REQUEST, "content-length", "5"));
    data(15, 4, H2_END_STREAM);
    headers(17, 0, FIELDS(REQUEST, "content-length", "5"));
    data(17, 4, 0);
    trailers(17);
    headers(19, 0, FIELDS(REQUEST, "content-length", "5"));
    data(19, 5, 0);
    trailers(19);
    expect("H11 D11:5. H13 X13:PROTOCOL_ERROR H15 X15:PROTOCOL_ERROR H17 D17:4 "
           "X17:PROTOCOL_ERROR H19 D19:5 T19.");
    session_end();
}

/* -- streams --------------------------------------------------------------------------------- */

TEST(frames_on_idle_streams_are_connection_errors)
{
    for (int i = 0; i < 4; i++) {
        serve();
        request(1, 0);
        if (i == 0)
            data(3, 1, 0);
        else if (i == 1)
            rst(3, 0);
        else if (i == 2)
            window_update(3, 1);
        else
            data(2, 1, 0);
        expect("H1 E:PROTOCOL_ERROR");
    }
    connect_client();
    response(1, 0);
    expect("E:PROTOCOL_ERROR");
    connect_client();
    response(2, 0);
    expect("E:PROTOCOL_ERROR");
    session_end();
}

TEST(stream_ids_must_rise)
{
    serve();
    request(5, 0);
    request(3, 0);
    expect("H5 E:PROTOCOL_ERROR");
    session_end();
}

TEST(half_closed_and_closed_streams_refuse_data_and_headers)
{
    serve();
    request(1, H2_END_STREAM);
    data(1, 1, 0);
    request(3, H2_END_STREAM);
    request(3, 0);
    request(5, 0);
    rst(5, 8);
    data(5, 1, 0);
    data(5, 1, 0); /* our RST is on its way: ignored */
    request(7, 0);
    rst(7, 8);
    trailers(7);
    expect("H1. X1:STREAM_CLOSED H3. X3:STREAM_CLOSED H5 R5:8 X5:STREAM_CLOSED H7 R7:8 "
           "X7:STREAM_CLOSED");
    request(9, H2_END_STREAM);
    expect("H9.");
    check(h2_in_local_end(session.in, 9));
    window_update(9, 5000);
    rst(9, 0);
    priority(9, 0);
    expect("");
    data(9, 1, 0);
    expect("E:STREAM_CLOSED");
    session_end();
}

TEST(late_frames_after_our_reset_are_ignored_but_decoded)
{
    serve();
    request(1, 0);
    feed();
    h2_in_forget(session.in, 1, H2_RESET_PROVOKED);
    data(1, 1000, 0);
    window_update(1, 1);
    trailers(1);
    rst(1, 8);
    data(1, 0, H2_END_STREAM);
    request(3, H2_END_STREAM);
    expect("H3.");
    session_end();
}

TEST(a_stream_forgotten_between_two_pieces_of_data_is_skipped)
{
    serve();
    request(1, 0);
    frame(10, H2_DATA, H2_END_STREAM, 1);
    raw("123", 3);
    expect("H1 D1:3");
    check(!h2_in_partial(session.in)); /* DATA may take its time */
    h2_in_forget(session.in, 1, H2_RESET_PROVOKED);
    zeros(7);
    ping(0);
    expect("P");
    check(!h2_in_partial(session.in));
    session_end();
}

TEST(streams_over_the_limit_are_refused)
{
    serve();
    for (uint32_t id = 1; id <= 9; id += 2)
        request(id, 0);
    data(9, 5, H2_END_STREAM);
    expect("H1 H3 H5 H7 F9");
    check_int(session.last.code, H2_REFUSED_STREAM);
    check_int(h2_in_last_id(session.in), 7);
    check_int(h2_in_streams(session.in), 4);
    data(3, 0, H2_END_STREAM);
    expect("D3:0.");
    check(h2_in_local_end(session.in, 3));
    request(11, 0);
    expect("H11");
    h2_in_drain(session.in);
    rst(11, 8);
    request(13, 0);
    expect("R11:8 F13");
    check_int(h2_in_last_id(session.in), 11);
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

TEST(no_stream_has_the_number_0)
{
    serve();
    check(!h2_in_local_end(session.in, 0));
    request(1, H2_END_STREAM);
    expect("H1.");
    check(h2_in_local_end(session.in, 1)); /* the place of the stream used last is empty now */
    check(!h2_in_local_end(session.in, 0));
    session_end();
}

TEST(owner_travels_with_the_events)
{
    int owner;
    serve();
    request(1, 0);
    feed();
    check(!session.last.user);
    h2_in_set_user(session.in, 1, &owner);
    data(1, 3, 0);
    feed();
    check(session.last.user == &owner);
    window_update(1, 7);
    feed();
    check(session.last.user == &owner);
    check(!h2_in_local_end(session.in, 1));
    trailers(1);
    feed();
    check(session.last.user == &owner && session.last.gone);
    check_int(h2_in_streams(session.in), 0);
    check(!h2_in_local_end(session.in, 1));
    session_end();
}

TEST(pop_hands_out_every_owner_once)
{
    static int owners[4];
    void *user;
    int seen = 0;
    serve();
    for (uint32_t i = 0; i < 4; i++) {
        request(2 * i + 1, 0);
        feed();
        h2_in_set_user(session.in, 2 * i + 1, &owners[i]);
    }
    while (h2_in_pop(session.in, &user))
        (*(int *)user)++, seen++;
    check_int(seen, 4);
    for (int i = 0; i < 4; i++)
        check_int(owners[i], 1);
    check(!h2_in_pop(session.in, &user));
    session_end();
}

TEST(a_stream_that_depends_on_itself_is_an_error)
{
    serve();
    request(1, 0);
    priority(1, 1);
    expect("H1 X1:PROTOCOL_ERROR");
    size_t n = put_fields(block, FIELDS(REQUEST));
    frame(5 + n, H2_HEADERS, H2_END_HEADERS | H2_PRIO, 3);
    word(3);
    raw("", 1);
    raw(block, n);
    expect("X3:PROTOCOL_ERROR");
    request(7, 0);
    frame(5 + n, H2_HEADERS, H2_END_HEADERS | H2_END_STREAM | H2_PRIO, 7); /* as trailers */
    word(7);
    raw("", 1);
    raw(block, n);
    expect("H7 X7:PROTOCOL_ERROR");
    priority(9, 9);
    expect("E:PROTOCOL_ERROR");
    session_end();
}

TEST(client_stream_life)
{
    int owner;
    connect_client();
    check_int(h2_in_opened(session.in, 1, &owner, true), 0);
    check_int(h2_in_opened(session.in, 3, &owner, false), 0);
    check_int(h2_in_opened(session.in, 5, &owner, false), 0);
    response(1, 0);
    data(1, 5, 0);
    trailers(1);
    expect("H1 D1:5 T1.");
    check(session.last.gone);
    data(3, 5, 0);
    expect("X3:PROTOCOL_ERROR");
    h2_in_forget(session.in, 5, H2_RESET_PROVOKED);
    response(5, 0);
    data(5, 5, 0);
    trailers(5);
    expect("");
    trailers(1);
    expect("E:STREAM_CLOSED");
    session_end();
}

TEST(streams_above_a_goaway_are_popped_and_the_rest_stay_reachable)
{
    static int owners[50];
    void *user;
    connect_client();
    for (uint32_t i = 0; i < 50; i++)
        check_int(h2_in_opened(session.in, 2 * i + 1, &owners[i], true), 0);
    while (h2_in_pop_above(session.in, 41, &user))
        (*(int *)user)++;
    check_int(h2_in_streams(session.in), 21);
    for (uint32_t i = 0; i < 50; i++) {
        check_int(owners[i], 2 * i + 1 > 41);
        response(2 * i + 1, 0);
        feed();
        check(session.last.user == &owners[i < 21 ? i : 20]);
    }
    session_end();
}

/* -- settings, ping, goaway ------------------------------------------------------------------ */

static const char *with_setting(const struct h2_config *c, unsigned id, uint32_t v)
{
    session_start(c);
    if (c->server)
        preface();
    setting(id, v);
    return feed();
}

TEST(settings_values_are_validated)
{
    static const struct {
        unsigned id;
        uint32_t value;
        const char *server, *client;
    } cases[] = {
        { H2_SET_ENABLE_PUSH, 0, "S", "S" },
        { H2_SET_ENABLE_PUSH, 1, "S", "E:PROTOCOL_ERROR" },
        { H2_SET_ENABLE_PUSH, 2, "E:PROTOCOL_ERROR", "E:PROTOCOL_ERROR" },
        { H2_SET_INITIAL_WINDOW_SIZE, 0x7fffffff, "S", "S" },
        { H2_SET_INITIAL_WINDOW_SIZE, 0x80000000, "E:FLOW_CONTROL_ERROR", "E:FLOW_CONTROL_ERROR" },
        { H2_SET_MAX_FRAME_SIZE, 16383, "E:PROTOCOL_ERROR", "E:PROTOCOL_ERROR" },
        { H2_SET_MAX_FRAME_SIZE, 16384, "S", "S" },
        { H2_SET_MAX_FRAME_SIZE, 16777215, "S", "S" },
        { H2_SET_MAX_FRAME_SIZE, 16777216, "E:PROTOCOL_ERROR", "E:PROTOCOL_ERROR" },
        { H2_SET_MAX_CONCURRENT_STREAMS, 0, "S", "S" },
        { 0, 7, "S", "S" },
        { 0xffff, 7, "S", "S" },
    };
    for (size_t i = 0; i < countof(cases); i++) {
        check_str(with_setting(&server_config, cases[i].id, cases[i].value), cases[i].server);
        check_str(with_setting(&client_config, cases[i].id, cases[i].value), cases[i].client);
    }
    session_end();
}

TEST(settings_are_remembered_with_the_least_table_size)
{
    serve();
    frame(18, H2_SETTINGS, 0, 0);
    raw("\0\1\0\0\0\7"
        "\0\1\0\0\1\0"
        "\0\4\0\0\0\5",
        18);
    expect("S");
    const struct h2_settings *s = h2_in_peer(session.in);
    check_int(s->header_table_size, 256);
    check_int(s->least_table_size, 7);
    check_int(s->initial_window, 5);
    check_int(s->max_frame, 16384);
    setting(H2_SET_HEADER_TABLE_SIZE, 9000);
    expect("S");
    check_int(s->header_table_size, 9000);
    check_int(s->least_table_size, 7); /* whoever batches SETTINGS must not miss it */
    session_end();
}

TEST(ping_and_goaway_bring_their_payload)
{
    serve();
    ping(0);
    ping(H2_ACK);
    settings_ack();
    expect("P p A");
    ping(0);
    feed();
    check(memcmp(session.last.opaque, "12345678", 8) == 0);
    goaway(0x80000007u, 11, "go away");
    expect("G7:11");
    check_int(session.last.len, 7);
    frame(8 + 5000, H2_GOAWAY, 0, 0);
    word(1);
    word(0);
    zeros(5000);
    ping(0);
    check_str(feed_by(700), "G1:0 P");
    session_end();
}

TEST(a_last_id_may_only_fall_and_is_one_of_ours)
{
    connect_client();
    goaway(0x7fffffff, 0, "");
    goaway(7, 0, "");
    goaway(7, 0, "");
    goaway(0, 0, "");
    goaway(1, 0, "");
    expect("G2147483647:0 G7:0 G7:0 G0:0 E:PROTOCOL_ERROR");
    connect_client();
    goaway(2, 0, "");
    expect("E:PROTOCOL_ERROR");
    serve(); /* a client's says nothing about its own streams */
    goaway(2, 0, "");
    goaway(4, 0, "");
    expect("G2:0 G4:0");
    session_end();
}

TEST(window_update_of_zero_and_for_whom)
{
    serve();
    request(1, 0);
    window_update(1, 5);
    window_update(0, 0x7fffffff);
    window_update(1, 0);
    window_update(1, 0);
    expect("H1 W1+5 W0+2147483647 X1:PROTOCOL_ERROR");
    window_update(0, 0);
    expect("E:PROTOCOL_ERROR");
    session_end();
}
