/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * test_h2_windows.c: receive windows that grow with bandwidth times delay: when a PING is due, what
 * its answer does to the windows, and that nothing grows without need or limit. Times are the
 * test's own. See frames.h for how events read. */
#include "frames.h"

#define MS 1000000ll
static int64_t now;
static int64_t window, connection; /* of stream 1, of all: as the peer sees them */

/* n octets arrive on id and are read at once. */
static void arrive(uint32_t id, size_t n)
{
    for (size_t part; n; n -= part) {
        part = min_size(n, 16384);
        data(id, part, 0);
        feed();
        check(session.last.kind == H2_EV_DATA);
        int64_t change = (int64_t)h2_in_consumed(session.in, id, (uint32_t)part) - (int64_t)part;
        window += id == 1 ? change : 0;
        connection += (int64_t)h2_in_connection_credit(session.in) - (int64_t)part;
    }
}
/* All is read: the peer has the window of that size, but for what is not worth telling yet. */
static bool window_is(int64_t size) { return window <= size && window > size * 3 / 4 - 16384; }
/* The PING goes out, octets come in meanwhile, its ack comes after that time. */
static void sample(uint32_t id, size_t n, int64_t took)
{
    h2_in_bdp_sent(session.in, now);
    arrive(id, n);
    now += took;
    check(h2_in_bdp_ack(session.in, h2_bdp_opaque, now));
}
/* The next PING is due after so many quarters of the first window; -1: none within 200. */
static int due_after(uint32_t id)
{
    for (int i = 0; i < 200; i++) {
        arrive(id, 16384);
        if (h2_in_bdp_due(session.in))
            return i;
    }
    return -1;
}
static void begin(bool fixed, uint32_t streams)
{
    struct h2_config c = server_config;
    c.static_windows = fixed;
    c.max_concurrent_streams = 1000;
    session_start(&c);
    preface();
    settings();
    for (uint32_t i = 0; i < streams; i++)
        request(2 * i + 1, 0);
    feed();
    window = 65535, connection = 1 << 20;
}

TEST(small_calls_cost_no_ping)
{
    begin(false, 0);
    for (uint32_t i = 0; i < 1000; i++) {
        request(2 * i + 1, 0);
        data(2 * i + 1, 1000, H2_END_STREAM);
        feed();
        h2_in_consumed(session.in, 2 * i + 1, 1000);
        check(h2_in_local_end(session.in, 2 * i + 1));
        check(!h2_in_bdp_due(session.in));
    }
    session_end();
}

TEST(a_window_that_is_the_bottleneck_grows)
{
    begin(false, 1);
    check(due_after(1) >= 0);
    sample(1, 60000, 10 * MS); /* nearly the whole window in one round trip */
    arrive(1, 65536);
    check(window_is(120000));
    arrive(1, 500000);
    check(window_is(120000));
    check(due_after(1) >= 0);
    sample(1, 119000, 10 * MS); /* twice as fast: the window was the bottleneck indeed */
    arrive(1, 500000);
    check(window_is(238000));
    session_end();
}

TEST(growth_reaches_the_connection_and_its_limit)
{
    begin(false, 1);
    for (int i = 0; i < 40; i++) {
        due_after(1);
        h2_in_bdp_sent(session.in, now);
        for (int k = 0; k < 1100; k++) { /* 18 MiB each round trip */
            data(1, 16384, 0);
            feed();
            if (session.last.kind != H2_EV_DATA)
                break;
            h2_in_consumed(session.in, 1, 16384);
            connection += (int64_t)h2_in_connection_credit(session.in) - 16384;
        }
        check(session.last.kind == H2_EV_DATA);
        now += 50 * MS / (i + 1); /* ever faster */
        check(h2_in_bdp_ack(session.in, h2_bdp_opaque, now));
    }
    /* The connection's window is twice the most that a stream's may be. */
    check(connection <= 2 * (int64_t)LIMIT_WINDOW_MOST);
    check(connection > (int64_t)LIMIT_WINDOW_MOST);
    session_end();
}

TEST(no_growth_without_need)
{
    begin(false, 1);
    check(due_after(1) >= 0);
    sample(1, 20000, 10 * MS); /* far from the window */
    arrive(1, 500000);
    check(window_is(65535));
    check(due_after(1) >= 0);
    sample(1, 60000, 10 * MS);
    check(due_after(1) >= 0);
    sample(1, 119000, 40 * MS); /* more at once, but no faster: only a queue that got longer */
    arrive(1, 500000);
    check(window_is(120000));
    session_end();
}

TEST(samples_become_rare_when_nothing_grows)
{
    begin(false, 1);
    int pause = 0;
    for (int i = 0; i < 10; i++) {
        pause = due_after(1);
        check(pause >= 0);
        sample(1, 100, 10 * MS);
    }
    check(pause >= 60);
    session_end();
}

/* Peers count such pings: there is nothing new to measure, too. */
TEST(no_second_ping_before_more_octets_have_come)
{
    begin(false, 1);
    check(due_after(1) >= 0);
    h2_in_bdp_sent(session.in, now);
    for (int i = 0; i < 3; i++) {
        data(1, 16384, 0);
        feed();
    }
    now += MS;
    check(h2_in_bdp_ack(session.in, h2_bdp_opaque, now));
    for (int i = 0; i < 3; i++) { /* all had come before the answer, and is read now */
        h2_in_consumed(session.in, 1, 16384);
        check(!h2_in_bdp_due(session.in));
    }
    check(due_after(1) >= 0);
    session_end();
}

TEST(static_windows_never_grow_nor_ping)
{
    begin(true, 1);
    check_int(due_after(1), -1);
    check(window_is(65535));
    session_end();
}

/* A peer that makes us measure a huge product, on many streams, whose readers read a little. */
TEST(what_grows_on_a_connection_is_bounded)
{
    begin(false, 400);
    int64_t grown = 0;
    for (int i = 0; i < 20; i++) {
        due_after(1);
        sample(1, 900000, 20 * MS / (i + 1));
    }
    for (uint32_t i = 1; i < 400; i++) {
        data(2 * i + 1, 16384, 0);
        feed();
        grown += (int64_t)h2_in_consumed(session.in, 2 * i + 1, 16384) - 16384;
        h2_in_connection_credit(session.in);
    }
    check(grown > LIMIT_WINDOW_GROWTH / 2 && grown <= LIMIT_WINDOW_GROWTH);
    for (uint32_t i = 1; i < 400; i++) /* their end gives it back */
        h2_in_forget(session.in, 2 * i + 1, H2_RESET_OURS);
    request(2001, 0);
    data(2001, 16384, 0);
    feed();
    check(h2_in_consumed(session.in, 2001, 16384) > 16384);
    session_end();
}

TEST(only_the_ack_of_its_own_ping_counts)
{
    begin(false, 1);
    check(!h2_in_bdp_ack(session.in, h2_bdp_opaque, now)); /* none is out */
    h2_in_bdp_sent(session.in, now);
    check(!h2_in_bdp_ack(session.in, (const uint8_t *)"12345678", now));
    check(!h2_in_bdp_due(session.in));
    check(h2_in_bdp_ack(session.in, h2_bdp_opaque, now)); /* at once: no division by zero */
    check(!h2_in_bdp_ack(session.in, h2_bdp_opaque, now));
    session_end();
}
