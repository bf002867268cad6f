/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * test_h2_recorded.c: a recorded conversation (test/recorded.h) of calls of every kind and end,
 * with pings and a graceful stop, heard by both roles of the receiving machine: octet by octet, in
 * pieces, cut at each octet, and said with padding, CONTINUATIONs and unknown frames. Events,
 * header fields and messages are the same, or the first of them. */
#include "frames.h"
#include "recorded.h"

static struct recorded conversation, otherwise;
static uint64_t digest; /* of the fields and of the octets of messages */

static void digest_octets(const void *p, size_t n)
{
    for (const uint8_t *at = p; n; n--)
        digest = (digest ^ *at++) * UINT64_C(0x100000001b3);
}
static void digest_event(const struct h2_event *e)
{
    if (e->kind == H2_EV_DATA)
        digest_octets(e->data, e->len);
    if (e->kind != H2_EV_HEADERS && e->kind != H2_EV_TRAILERS)
        return;
    digest_octets(&e->id, sizeof e->id);
    for (size_t i = 0; i < e->n_fields; i++) {
        digest_octets(e->fields[i].name, e->fields[i].name_len);
        digest_octets(e->fields[i].value, e->fields[i].value_len);
    }
}

/* Who hears what the other said. */
static void listen_as(int role)
{
    struct h2_config c = role == RECORDED_SERVER ? server_config : client_config;
    c.max_concurrent_streams = 100;
    session_start(&c);
    session.hook = digest_event;
    digest = 0;
    for (uint32_t id = 1; role == RECORDED_CLIENT && id < 20; id += 2)
        check_int(h2_in_opened(session.in, id, NULL, id % 4 == 1), 0);
}
static const char *hear(const struct recorded *r, int role, size_t piece)
{
    int who = role == RECORDED_SERVER ? RECORDED_CLIENT : RECORDED_SERVER;
    listen_as(role);
    raw(r->octets[who], r->len[who]);
    return feed_by(piece);
}

static void load(void)
{
    recorded_load(&conversation, RECORDED "/grpc_go.txt");
    recorded_otherwise(&conversation, &otherwise);
}

/* What the two sides of the recording said, in short; those who read the test see what is in it. */
static const char *const said_by_client =
    "S A H1 D1:14. p W0+14 P H3 D3:13. p H5 D5:13. p W0+12 P H7 D7:39. p W0+36 P H9 D9:13 p W0+13 "
    "P "
    "D9:13 p W0+13 P D9:13 p W0+13 P D9:0. p H11 D11:13. p H13 D13:17 p W0+17 P R13:8 H15 D15:13 p "
    "W0+13 P p D15:14 p W0+14 P D15:0. p";
static const char *const said_by_server =
    "S A W0+14 P H1 D1:14 T1. p W0+13 P H3. W0+13 P H5 D5:36 T5. p W0+13 P H7 D7:12 T7. p W0+39 P "
    "H9 D9:13 p W0+13 P D9:13 p W0+13 P D9:13 p P T9. W0+13 P H11. W0+17 P H13 D13:17 p W0+13 P "
    "H15 D15:13 G2147483647:0 P p G15:0 W0+14 P D15:14 p P T15.";

TEST(recorded_sides_are_understood)
{
    load();
    check_str(hear(&conversation, RECORDED_SERVER, SIZE_MAX / 2), said_by_client);
    check_str(hear(&conversation, RECORDED_CLIENT, SIZE_MAX / 2), said_by_server);
    session_end();
}

static void keep(char to[sizeof session.log], const char *heard)
{
    size_t n = strlen(heard);
    check(n < sizeof session.log);
    memcpy(to, heard, n + 1);
}

static void same_in_every_piece(const struct recorded *r, int role)
{
    static char want[sizeof session.log];
    keep(want, hear(r, role, SIZE_MAX / 2));
    uint64_t credit = session.credit, seen = digest;
    check(!strchr(want, 'E') && !strchr(want, 'X') && !strchr(want, 'F'));
    for (size_t piece = 1; piece < 80; piece++) {
        check_str(hear(r, role, piece), want);
        check_int(session.credit, credit);
        check(digest == seen);
    }
}

/* What a conversation cut here has told: events of the whole, but for the last one's length. */
static void check_begins(const char *log, const char *whole)
{
    size_t n = strlen(log), last = n;
    while (last > 0 && log[last - 1] != ' ')
        last--;
    check(strncmp(log, whole, last) == 0);
    unsigned id, len, of_id, of_len;
    if (strncmp(log + last, whole + last, n - last) == 0)
        return;
    check(sscanf(log + last, "D%u:%u", &id, &len) == 2);
    check(sscanf(whole + last, "D%u:%u", &of_id, &of_len) == 2);
    check(id == of_id && len < of_len);
}
static void same_or_the_first_of_them(const struct recorded *r, int role)
{
    static char want[sizeof session.log];
    int who = role == RECORDED_SERVER ? RECORDED_CLIENT : RECORDED_SERVER;
    size_t n = r->len[who];
    keep(want, hear(r, role, SIZE_MAX / 2));
    uint64_t seen = digest;
    for (size_t cut = 0; cut <= n; cut++) {
        listen_as(role);
        raw(r->octets[who], cut);
        check_begins(feed(), want);
        check(cut < n || !h2_in_partial(session.in));
        void *user; /* the connection has ended: every stream is handed over */
        while (h2_in_pop(session.in, &user)) {
        }
        check_int(h2_in_streams(session.in), 0);
        listen_as(role);
        feed_piece(r->octets[who], cut);
        feed_piece(r->octets[who] + cut, n - cut);
        note_data();
        check_str(session.log + 1, want);
        check(digest == seen);
    }
}

TEST(a_recorded_conversation_gives_the_same_events_in_every_piece)
{
    load();
    for (int role = RECORDED_CLIENT; role <= RECORDED_SERVER; role++) {
        same_in_every_piece(&conversation, role);
        uint64_t plain = digest;
        same_in_every_piece(&otherwise, role);
        check(digest == plain);
    }
    session_end();
}

TEST(a_recorded_conversation_cut_at_each_octet_gives_the_first_of_its_events)
{
    load();
    for (int role = RECORDED_CLIENT; role <= RECORDED_SERVER; role++) {
        same_or_the_first_of_them(&conversation, role);
        same_or_the_first_of_them(&otherwise, role);
    }
    session_end();
}
