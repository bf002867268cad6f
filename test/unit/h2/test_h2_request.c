/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * test_h2_request.c: a small request that opens its stream, goes out and ends it in one step. */
#include "frames.h"

static struct h2_out out;
static struct h2_out_stream streams[3];
static const uint8_t body[H2_REF_LEAST + 1];

static void room(size_t n)
{
    while (!h2_out_room(&out, n)) {
        size_t size = h2_out_grow_size(&out, n);
        sys.free(h2_out_grow(&out, sys.malloc(size), size));
    }
}
static void start(void)
{
    check(h2_out_init(&out, false) == 0);
    room(16384);
    h2_out_begin(&out, &client_config);
    size_t size = h2_out_wants(&out);
    if (size)
        sys.free(h2_out_grow_table(&out, sys.malloc(size), size));
    out.len = 0;
}

/* A request in one piece: the same octets, and the same stream, as in steps. */
TEST(a_small_request_opens_its_stream_and_ends_it)
{
    static const struct h2_header first = { ":method", "POST", 7, 4, HPACK_INDEX },
                                  id = { "x-id", "1", 4, 1, HPACK_PLAIN };
    struct h2_ready begin = { 0 };
    uint8_t steps[400];
    start();
    for (int i = 0; i < 3; i++)
        streams[i] = (struct h2_out_stream){ 0 };
    check(!h2_out_request(&out, &streams[0], &begin, &id, 1, body, 99)); /* not ready */
    check(h2_out_open(&out, &streams[0]));
    h2_out_headers_ready(&out, &streams[0], &begin, &first, 1, &id, 1, false);
    check(h2_out_data(&out, &streams[0], body, 99, true));
    size_t len = out.len, earned = out.earned;
    int64_t window = out.window;
    memcpy(steps, out.buf, len);
    out.len = 0;

    check(!h2_out_request(&out, &streams[1], &begin, &id, 1, body, 0));
    check(!h2_out_request(&out, &streams[1], &begin, &id, 1, body, H2_REF_LEAST + 1));
    out.window = 98;
    check(!h2_out_request(&out, &streams[1], &begin, &id, 1, body, 99));
    out.window = window;
    uint32_t initial = out.peer.initial_window, next = out.next_id;
    out.peer.initial_window = 98;
    check(!h2_out_request(&out, &streams[1], &begin, &id, 1, body, 99));
    out.peer.initial_window = initial;
    out.next_id = 0x80000001;
    check(!h2_out_request(&out, &streams[1], &begin, &id, 1, body, 99));
    out.next_id = next;
    size_t cap = out.cap, water = out.high_water;
    out.cap = out.len + 99 + 18;
    check(!h2_out_request(&out, &streams[1], &begin, &id, 1, body, 99));
    out.cap = cap, out.high_water = 0;
    check(!h2_out_request(&out, &streams[1], &begin, &id, 1, body, 99));
    out.high_water = water;
    check(streams[1].id == 0 && out.len == 0 && out.next_id == next);

    check(h2_out_request(&out, &streams[1], &begin, &id, 1, body, 99));
    check_int(out.len, len);
    check_int(out.earned, 2 * earned);
    check_int(out.window, window - 99);
    check_int(streams[1].window, streams[0].window);
    for (size_t i = 0; i < len; i++)
        check(out.buf[i] == steps[i] || out.buf[i] == 3); /* but for the stream's number */
    out.len = 0;
    check(streams[1].local_closed && streams[1].id == 3);
    check(h2_out_window(&out, &streams[1], 1));
    h2_out_unlink(&out, &streams[0]);
    check(h2_out_request(&out, &streams[2], &begin, NULL, 0, body, 99));
    check_int(load_be32(out.buf + 5), 5);
    h2_out_fini(&out);
}
