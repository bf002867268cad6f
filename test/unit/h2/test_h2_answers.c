/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * test_h2_answers.c: answers that a client takes whole (h2_in_answer) against the same octets taken
 * frame by frame: two machines are fed alike and must tell, and become, the same. The answers are
 * made by an encoder whose table changes all the time, and are cut, mixed, padded, flipped. */
#include "frames.h"
#include "h2/h2_in_private.h"

#define SAYINGS 256
struct side {
    struct h2_in *in;
    bool whole; /* by h2_in_answer where it can be */
    char log[1 << 16];
    size_t at;
    unsigned long answers;
};
static struct side fast = { .whole = true }, slow;
static char sayings[SAYINGS][2048]; /* what blocks held that fast was told of */
static uint8_t said;

static uint32_t below(uint32_t n) { return test_random() % n; }

/* -- what a machine tells ---------------------------------------------------------------------- */

__attribute__((format(printf, 2, 3))) static void tell(struct side *s, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(s->log + s->at, sizeof s->log - s->at, fmt, ap);
    va_end(ap);
    check(n >= 0 && (size_t)n < sizeof s->log - s->at);
    s->at += (size_t)n;
}
static uint32_t sum_of(const uint8_t *p, size_t n)
{
    uint32_t sum = 0;
    for (size_t i = 0; i < n; i++)
        sum = sum * 31 + p[i];
    return sum;
}
static const char *fields_of(const struct h2_event *ev)
{
    static char text[2048];
    size_t at = 0;
    text[0] = 0;
    for (size_t i = 0; i < ev->n_fields && at < sizeof text - 200; i++) {
        const struct h2_field *f = &ev->fields[i];
        at += (size_t)snprintf(text + at, sizeof text - at, "%.*s=%.*s%s,", (int)f->name_len,
                               f->name, (int)min_size(f->value_len, 60), f->value,
                               f->flags & H2_FIELD_NEVER ? "!" : "");
    }
    return text;
}
static void tell_block(struct side *s, char kind, uint32_t id, const char *fields, bool over)
{
    tell(s, " %c%u{%s}%s", kind, id, fields, over ? "!" : "");
}
static void tell_data(struct side *s, uint32_t id, const uint8_t *p, size_t n)
{
    tell(s, " D%u:%zu/%x", id, n, sum_of(p, n));
}
static void learn(struct side *s, const struct h2_event *ev)
{
    if (!s->whole)
        return;
    snprintf(sayings[++said], sizeof sayings[0], "%s", fields_of(ev));
    h2_in_learn(s->in, ev, said);
}
static void tell_event(struct side *s, const struct h2_event *ev)
{
    if (ev->kind == H2_EV_HEADERS || ev->kind == H2_EV_TRAILERS) {
        tell_block(s, ev->kind == H2_EV_HEADERS ? 'H' : 'T', ev->id, fields_of(ev),
                   ev->fields_too_large);
        tell(s, "%s%s", ev->end_stream ? "." : "", ev->gone ? "-" : "");
        learn(s, ev);
    } else if (ev->kind == H2_EV_DATA) {
        tell_data(s, ev->id, ev->data, ev->len);
        tell(s, "%s", ev->end_stream ? "." : "");
        if (!ev->end_stream && h2_in_consumed(s->in, ev->id, ev->credit))
            tell(s, "+");
    } else if (ev->kind != H2_EV_NONE) {
        tell(s, " %d,%u,%u,%u", ev->kind, ev->id, ev->code, ev->increment);
    }
}
static void tell_answer(struct side *s, const struct h2_answer *a)
{
    s->answers++;
    check(a->user == s);
    tell_block(s, 'H', a->id, sayings[a->head], false);
    tell_data(s, a->id, a->data, a->len);
    tell_block(s, 'T', a->id, sayings[a->tail], false);
    tell(s, ".-");
}

/* One buffer of exactly n octets, so that a read beyond it is seen. */
static void feed_side(struct side *s, const uint8_t *octets, size_t n)
{
    uint8_t *p = malloc(n ? n : 1);
    struct h2_event ev;
    struct h2_answer a;
    size_t at = 0, used;
    check(p);
    memcpy(p, octets, n);
    do {
        while (s->whole && (used = h2_in_answer(s->in, p + at, n - at, &a)) != 0) {
            check(used <= n - at);
            at += used;
            tell_answer(s, &a);
        }
        h2_in_next(s->in, p + at, n - at, &used, &ev);
        check(used <= n - at);
        at += used;
        tell_event(s, &ev);
    } while (at < n || ev.kind != H2_EV_NONE);
    free(p);
}
static void check_alike(void)
{
    const struct h2_in *a = fast.in, *b = slow.in;
    check_str(fast.log, slow.log);
    fast.at = slow.at = 0;
    fast.log[0] = slow.log[0] = 0;
    check_int(h2_in_partial(a), h2_in_partial(b));
    check_int(h2_in_connection_credit(fast.in), h2_in_connection_credit(slow.in));
    check_int(h2_in_bdp_due(fast.in), h2_in_bdp_due(slow.in));
    check_int(a->window, b->window);
    check_int(a->window_back, b->window_back);
    check_int(a->frames, b->frames);
    check_int(a->glitches, b->glitches);
    check_int(a->grown, b->grown);
    check_int(a->table.count, b->table.count);
    check(a->arrived == b->arrived && a->opened == b->opened && a->dead == b->dead);
    check(a->ended.cap == b->ended.cap && a->ended.at == b->ended.at);
    check(!a->ended.cap ||
          memcmp(a->ended.ids, b->ended.ids, a->ended.cap * sizeof *a->ended.ids) == 0);
    check(memcmp(a->counts, b->counts, sizeof a->counts) == 0);
}
/* The script, in pieces of at most that many octets. */
static void feed_both(size_t most)
{
    for (size_t at = 0, n; at < script.len; at += n) {
        n = min_size(script.len - at, most < script.len ? 1 + below((uint32_t)most) : most);
        feed_side(&fast, script.octets + at, n);
        feed_side(&slow, script.octets + at, n);
        check_alike();
    }
    script.len = 0;
}

/* -- a peer that answers ----------------------------------------------------------------------- */

static struct hpack_encoder *encoder;
static uint32_t next_id;
static bool cuts; /* header blocks, now and then */

static void start(size_t max_list, uint32_t window)
{
    cuts = false;
    struct h2_config c = client_config;
    c.max_header_list = (uint32_t)max_list;
    c.initial_window = window;
    h2_in_free(fast.in);
    h2_in_free(slow.in);
    hpack_encoder_free(encoder);
    fast.in = h2_in_new(&c), slow.in = h2_in_new(&c), encoder = hpack_encoder_new();
    check(fast.in && slow.in && encoder);
    next_id = 1;
    script.len = 0;
    settings();
    if (below(2))
        settings_ack();
    feed_both(SIZE_MAX);
}
static void stop(void)
{
    h2_in_free(fast.in);
    h2_in_free(slow.in);
    hpack_encoder_free(encoder);
    fast.in = slow.in = NULL, encoder = NULL;
}
static uint32_t open_one(bool end)
{
    check(h2_in_opened(fast.in, next_id, &fast, end) == 0);
    check(h2_in_opened(slow.in, next_id, &slow, end) == 0);
    next_id += 2;
    return next_id - 2;
}
static void grow_table(void)
{
    size_t n = hpack_encoder_wants(encoder);
    void *ring = n ? sys.malloc(n) : NULL;
    if (ring)
        sys.free(hpack_encoder_grow(encoder, ring, n));
}
struct pair {
    const char *name, *value;
    enum hpack_index how;
};
static uint8_t *put_pair(uint8_t *p, bool first, const struct pair *f)
{
    return hpack_encode(encoder, p, first, f->name, strlen(f->name), f->value, strlen(f->value),
                        f->how);
}
static void put_block(unsigned flags, uint32_t id, const struct pair *f, size_t n)
{
    uint8_t *p = block;
    grow_table();
    for (size_t i = 0; i < n; i++)
        p = put_pair(p, i == 0, &f[i]);
    size_t len = (size_t)(p - block), cut = cuts && !below(40) ? below((uint32_t)len + 1) : len;
    frame_with(H2_HEADERS, flags | (cut == len ? H2_END_HEADERS : 0), id, block, cut);
    if (cut < len)
        frame_with(H2_CONTINUATION, H2_END_HEADERS, id, block + cut, len - cut);
}
static struct pair some_pair(void)
{
    static const struct pair some[] = {
        { "a", "1", HPACK_INDEX },
        { "a", "2", HPACK_INDEX },
        { "date", "today", HPACK_INDEX },
        { "date", "tomorrow", HPACK_PLAIN },
        { "token", "secret", HPACK_NEVER },
        { "x-bin", "q6ur", HPACK_INDEX },
        { "content-length", "7", HPACK_INDEX },
        { "grpc-message", "", HPACK_INDEX },
        { ":status", "200", HPACK_INDEX },
        { "Upper", "x", HPACK_INDEX },
    };
    return some[below(below(10) ? 8 : countof(some))];
}
/* What this peer's blocks have beyond the usual, mostly. */
static struct habit {
    struct pair head[2], tail[2];
    size_t n_head, n_tail;
} habit;
static void new_habit(void)
{
    habit.n_head = below(3) ? 0 : 1 + below(2), habit.n_tail = below(3) ? 0 : 1 + below(2);
    for (size_t i = 0; i < 2; i++)
        habit.head[i] = some_pair(), habit.tail[i] = some_pair();
}
static size_t put_more(struct pair *f, size_t n, const struct pair *usual, size_t n_usual)
{
    if (below(8)) {
        memcpy(f + n, usual, n_usual * sizeof *f);
        return n + n_usual;
    }
    while (n < 4 && below(3) == 0)
        f[n++] = some_pair();
    return n;
}
static void put_head(uint32_t id, unsigned flags)
{
    static const char *const status[] = { "204", "100", "103", "404", "x", "101" };
    struct pair f[5] = { { ":status", below(30) ? "200" : status[below(countof(status))],
                           HPACK_INDEX },
                         { "content-type", "application/grpc", HPACK_INDEX } };
    size_t n = below(30) ? 2 : below(3);
    put_block(flags, id, f, put_more(f, n, habit.head, habit.n_head));
}
static void put_tail(uint32_t id, unsigned flags)
{
    struct pair f[5] = { { "grpc-status", below(10) ? "0" : "5", HPACK_INDEX } };
    size_t n = below(30) != 0;
    put_block(flags, id, f, put_more(f, n, habit.tail, habit.n_tail));
}
/* Now and then something that does not belong. */
static unsigned odd_flags(unsigned flags) { return below(60) ? flags : flags ^ 1u << below(8); }
static void something_between(void)
{
    if (below(40))
        return;
    switch (below(5)) {
    case 0:
        ping(0);
        break;
    case 1:
        window_update(below(2) ? 0 : 1 + below(next_id), 1);
        break;
    case 2:
        rst(1 + 2 * below(next_id / 2 + 1), 8);
        break;
    case 3:
        data(1 + 2 * below(next_id / 2 + 1), below(3), 0);
        break;
    default:
        frame(0, 0x77, 0, 0);
        break;
    }
}
static void put_data(uint32_t id)
{
    size_t n = below(3) == 0 ? 7
               : below(20)   ? below(25)
               : below(10)   ? below(600)
                             : 16380 + below(9);
    uint8_t octets[64];
    for (size_t i = 0; i < sizeof octets; i++)
        octets[i] = (uint8_t)test_random();
    if (below(30) == 0)
        data_padded(id, n, (uint8_t)below(5), odd_flags(0));
    else if (n > sizeof octets)
        data(id, n, odd_flags(0));
    else
        frame_with(H2_DATA, odd_flags(0), id, octets, n);
}
static void put_answer(uint32_t id)
{
    size_t at = script.len;
    if (below(40) == 0)
        hpack_encoder_resize(encoder, below(2) ? 4096 : below(300));
    put_head(id, odd_flags(0));
    something_between();
    for (unsigned n = below(20) ? 1 : below(3); n; n--)
        put_data(id);
    something_between();
    put_tail(below(60) ? id : id + 2, odd_flags(H2_END_STREAM));
    if (below(200) == 0) /* anything: a length, a type, an index, a stream */
        script.octets[at + below((uint32_t)(script.len - at))] ^= (uint8_t)(1u << below(8));
}

/* -- tests ------------------------------------------------------------------------------------- */

static void put_usual(uint32_t id, size_t n)
{
    static const struct pair head[] = { { ":status", "200", HPACK_INDEX },
                                        { "content-type", "application/grpc", HPACK_INDEX } },
                             tail[] = { { "grpc-status", "0", HPACK_INDEX } };
    put_block(0, id, head, 2);
    data(id, n, 0);
    put_block(H2_END_STREAM, id, tail, 1);
}
static unsigned long usual_answers(uint32_t id, size_t n)
{
    unsigned long before = fast.answers;
    put_usual(id, n);
    feed_both(SIZE_MAX);
    return fast.answers - before;
}

TEST(an_answer_that_is_like_those_before_is_taken_whole)
{
    start(16384, 65535);
    for (int i = 0; i < 4; i++)
        usual_answers(open_one(true), 7);
    check_int(usual_answers(open_one(true), 7), 1);
    for (int i = 0; i < 100; i++)
        put_usual(open_one(true), 300);
    unsigned long before = fast.answers;
    feed_both(SIZE_MAX);
    check_int(fast.answers - before, 100);
    check_int(usual_answers(open_one(false), 7), 0); /* our side has not ended */
    check_int(usual_answers(open_one(true), 0), 0);
    check_int(usual_answers(open_one(true), 16384), 0); /* a window update is due */
    check_int(usual_answers(next_id - 2, 7), 0);        /* it has ended */
    stop();
}

static void start_usual(uint32_t window)
{
    start(16384, window);
    for (int i = 0; i < 5; i++)
        usual_answers(open_one(true), 7);
    check_int(usual_answers(open_one(true), 7), 1);
}

TEST(where_an_answer_does_not_belong_it_is_not_taken)
{
    start_usual(65535);
    for (int i = 0; i < 1001; i++)
        ping(0);
    check_int(usual_answers(open_one(true), 7), 0); /* there were too many */
    check(fast.in->dead);
    start_usual(65535);
    frame(5, H2_HEADERS, 0, open_one(true)); /* a block goes on */
    raw("\x88\x88\x88\x88\x88", 5);
    feed_both(SIZE_MAX);
    check_int(usual_answers(open_one(true), 7), 0);
    check(fast.in->dead);
    start_usual(65535);
    raw("", 1); /* of a frame's header */
    feed_both(SIZE_MAX);
    check_int(usual_answers(open_one(true), 7), 0);
    start_usual(65535);
    uint32_t id = open_one(true); /* has a head */
    frame_with(H2_HEADERS, H2_END_HEADERS, id, "\x88", 1);
    check_int(usual_answers(id, 7), 0);
    start_usual(1 << 20);
    for (int i = 0; i < 63; i++) /* the connection's window ends in the last but one */
        put_usual(open_one(true), 16384);
    put_usual(open_one(true), 16384);
    put_usual(open_one(true), 7);
    feed_both(SIZE_MAX);
    check(fast.in->dead);
    stop();
}

TEST(a_head_over_the_limit_is_not_remembered)
{
    static const struct pair head[] = { { ":status", "200", HPACK_INDEX },
                                        { "grpc-message", "more than fits", HPACK_PLAIN } };
    start(50, 65535);
    for (int i = 0; i < 3; i++) {
        put_block(0, open_one(true), head, 1);
        feed_both(SIZE_MAX);
    }
    check(fast.in->known_head.epoch != 0);
    fast.in->known_head.epoch = 0;
    put_block(0, open_one(true), head, 2);
    feed_both(SIZE_MAX);
    check(fast.in->known_head.epoch == 0);
    stop();
}

TEST(a_table_that_changed_makes_known_blocks_unknown)
{
    static const struct pair other = { "content-type", "text/html", HPACK_INDEX };
    uint8_t octets[64];
    start(16384, 65535);
    for (int i = 0; i < 5; i++)
        usual_answers(open_one(true), 7);
    /* The octets of a known head, but the entry that they name is another one now. */
    uint32_t id = open_one(true);
    uint8_t *end = put_pair(put_pair(octets, true, &(struct pair){ ":status", "200", HPACK_INDEX }),
                            false, &other);
    frame_with(H2_HEADERS, H2_END_HEADERS | H2_END_STREAM, id, octets, (size_t)(end - octets));
    feed_both(SIZE_MAX);
    unsigned long before = fast.answers;
    id = open_one(true);
    frame_with(H2_HEADERS, H2_END_HEADERS, id, "\x88\xbf", 2); /* was application/grpc at first */
    data(id, 7, 0);
    frame_with(H2_HEADERS, H2_END_HEADERS | H2_END_STREAM, id, "\xbe", 1);
    feed_both(SIZE_MAX);
    check_int(fast.answers - before, 0);
    for (int i = 0; i < 4; i++)
        usual_answers(open_one(true), 7);
    check_int(usual_answers(open_one(true), 7), 1);
    stop();
}

/* SENNIT_FRAMES says how many answers, about; CI runs a million, on a fresh seed. */
TEST_WITH(random_answers_come_to_the_same_frame_by_frame, 600, false)
{
    const char *count = getenv("SENNIT_FRAMES");
    unsigned long left = count ? strtoul(count, NULL, 10) : 60000, all = left;
    fast.answers = 0;
    while (left) {
        start(below(4) ? 16384 : 100 + below(100), below(4)   ? 65535
                                                   : below(2) ? 1 << 20
                                                              : 40 + below(200));
        if (below(2)) /* far from full, so that what is given back is seen */
            fast.in->most_glitches = slow.in->most_glitches = 1u << 30;
        cuts = true;
        new_habit();
        for (int i = 0; i < 400 && left && !slow.in->dead; i++) {
            uint32_t ids[8];
            unsigned n = 1 + below(countof(ids));
            for (unsigned k = 0; k < n; k++)
                ids[k] = open_one(below(20) != 0);
            if (below(20) == 0) {
                h2_in_forget(fast.in, ids[0], H2_RESET_OURS);
                h2_in_forget(slow.in, ids[0], H2_RESET_OURS);
            }
            for (unsigned k = 0; k < n; k++)
                put_answer(ids[k]);
            feed_both(below(4) ? SIZE_MAX : 1 + below(40));
            for (unsigned k = 0; k < n; k++)
                check(h2_in_local_end(fast.in, ids[k]) == h2_in_local_end(slow.in, ids[k]));
            left -= min_size(n, left);
        }
    }
    stop();
    check(fast.answers > all / 10);
}
