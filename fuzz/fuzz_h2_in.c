/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * fuzz_h2_in.c: the receiving machine against any octets. The first octet chooses the role, whether
 * preface and SETTINGS are given for free, and the size of the pieces. Every input is fed twice,
 * whole (requests then with their DATA, and DATA in runs, where that may be) and in pieces: the
 * events must be the same (pieces of DATA added up). The owner answers as a transport would: ends,
 * resets, consumes and grants by a rule that depends on the events alone.
 */
#include "base/sys.h"
#include "fuzz.h"
#include "h2/h2_frame.h"

struct run {
    struct h2_in *in;
    uint64_t hash;
    uint64_t events, octets, credit;
    bool server, over;
    bool whole; /* requests and their DATA, and DATA in runs */
};

static void mix(struct run *r, uint64_t v) { r->hash = (r->hash ^ v) * 0x100000001b3ull; }
static void mix_octets(struct run *r, const void *p, size_t n)
{
    const uint8_t *b = p;
    for (size_t i = 0; i < n; i++)
        mix(r, b[i]);
}

static void answer(struct run *r, const struct h2_event *ev)
{
    if (ev->kind == H2_EV_HEADERS && r->server)
        h2_in_set_user(r->in, ev->id, r);
    if (ev->kind == H2_EV_HEADERS && ev->id % 7 == 0)
        h2_in_forget(r->in, ev->id, ev->id % 3);
    if (ev->end_stream && ev->id % 3 == 0)
        mix(r, h2_in_local_end(r->in, ev->id));
    if (ev->kind == H2_EV_TRAILERS && ev->id % 5 == 0)
        mix(r, h2_in_grant(r->in, ev->id, 100000));
}

static void note_event(struct run *r, const struct h2_event *ev)
{
    if (ev->kind == H2_EV_DATA) { /* cut differently each time: sums only */
        demand(ev->data || ev->len == 0);
        r->octets += ev->len, r->credit += ev->credit;
        mix_octets(r, ev->data, ev->len);
        if (!ev->end_stream)
            return;
    }
    r->events++;
    mix(r, ev->kind), mix(r, ev->id), mix(r, ev->code), mix(r, ev->increment);
    mix(r, ev->last_id), mix(r, ev->end_stream), mix(r, ev->gone), mix(r, ev->n_fields);
    for (size_t i = 0; i < ev->n_fields; i++) {
        const struct h2_field *f = &ev->fields[i];
        mix_octets(r, f->name, f->name_len);
        mix_octets(r, f->value, f->value_len);
    }
    if (ev->kind == H2_EV_GOAWAY)
        mix_octets(r, ev->data, ev->len);
    r->over |= ev->kind == H2_EV_ERROR || ev->kind == H2_EV_HTTP1;
    answer(r, ev);
}

static size_t feed_runs(struct run *r, const uint8_t *p, size_t n)
{
    struct h2_run run;
    size_t at = 0, used;
    while (h2_in_runs(r->in) && (used = h2_in_run(r->in, p + at, n - at, &run)) != 0) {
        demand(used <= n - at && !r->over);
        r->octets += run.octets, r->credit += run.octets;
        for (size_t end = at + used; at < end;) {
            uint32_t len;
            const uint8_t *data = h2_run_data(p + at, &len);
            mix_octets(r, data, len);
            at = (size_t)(data + len - p);
            run.octets -= len;
        }
        demand(run.octets == 0);
    }
    return at;
}

static void feed(struct run *r, const uint8_t *p, size_t n)
{
    struct h2_event ev;
    size_t at = 0, used;
    do {
        if (r->whole)
            at += feed_runs(r, p + at, n - at);
        h2_in_next(r->in, p + at, n - at, &used, &ev);
        demand(used <= n - at);
        demand(used || ev.kind != H2_EV_NONE || n == at);
        at += used;
        if (ev.kind != H2_EV_NONE) {
            demand(!r->over);
            struct h2_event first = ev;
            if (r->server && r->whole && ev.kind == H2_EV_HEADERS && ev.id % 7) /* see answer */
                at += h2_in_with_data(r->in, p + at, n - at, &ev);
            note_event(r, &first);
            if (ev.len && ev.kind == H2_EV_HEADERS) {
                ev.kind = H2_EV_DATA, ev.n_fields = 0;
                note_event(r, &ev);
            }
        }
    } while (at < n || ev.kind != H2_EV_NONE);
}

static struct run run_once(const uint8_t *p, size_t n, size_t piece)
{
    static const uint8_t start[] = H2_PREFACE "\0\0\0\4\0\0\0\0\0";
    struct h2_config c = { .server = p[0] & 1,
                           .max_concurrent_streams = 10,
                           .initial_window = p[0] & 2 ? 65535 : 300,
                           .connection_window = 65535,
                           .max_header_list = 16384,
                           .max_frame = 16384 };
    struct run r = {
        .in = h2_in_new(&c), .hash = 0xcbf29ce484222325ull, .server = c.server, .whole = piece == n
    };
    void *user;
    demand(r.in);
    for (uint32_t id = 1; !c.server && id < 20; id += 2)
        demand(h2_in_opened(r.in, id, &r, id % 4 == 1) == 0);
    if (p[0] & 4)
        feed(&r, c.server ? start : start + H2_PREFACE_LEN,
             sizeof start - 1 - (c.server ? 0 : H2_PREFACE_LEN));
    for (size_t at = 1; at < n; at += piece)
        feed(&r, p + at, min_size(piece, n - at));
    mix(&r, h2_in_connection_credit(r.in));
    mix(&r, h2_in_streams(r.in));
    mix(&r, h2_in_last_id(r.in));
    for (uint32_t id = 1; id < 20; id += 2)
        mix(&r, h2_in_grant(r.in, id, H2_MAX_WINDOW)); /* what is left of its window */
    for (size_t left = h2_in_streams(r.in); left; left--)
        demand(h2_in_pop(r.in, &user));
    demand(!h2_in_pop(r.in, &user));
    h2_in_free(r.in);
    return r;
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
    if (n == 0)
        return 0;
    struct run whole = run_once(p, n, n), pieces = run_once(p, n, 1 + (p[0] >> 3));
    demand(whole.hash == pieces.hash && whole.events == pieces.events);
    demand(whole.octets == pieces.octets && whole.credit == pieces.credit);
    demand(whole.credit >= whole.octets);
    return 0;
}
