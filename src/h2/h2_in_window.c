/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * h2_in_window.c: receive windows given back, and grown. The connection's window is given back when
 * octets arrive (it bounds only what is in flight); a stream's when its reader has consumed, so
 * that window + consumed but not given back + unread octets is always the initial window plus what
 * h2_in_grant and growth added.
 *
 * Growth: a window smaller than bandwidth times delay is what a transfer waits for. A PING rides
 * with a stream's WINDOW_UPDATE, so that small calls never see one; what arrives until its ack is a
 * sample of that product. When the sample is near the target and came faster than any before, the
 * target becomes twice the sample. A stream's window follows only when its reader has consumed: a
 * reader that stalls holds no more than it did. All that grew on a connection stays within
 * LIMIT_WINDOW_GROWTH, whatever a peer makes us measure.
 *
 * Owned by the connection's reader, as the struct h2_in. */
#include "h2/h2_in_private.h"

#define IN_SKIP_MOST 63u /* WINDOW_UPDATEs between samples when nothing grows any more */

const uint8_t h2_bdp_opaque[8] = { 's', 'e', 'n', 'n', 'i', 't', 0, 2 };

/* What the stream's window may become above its initial size, now. */
static uint32_t in_growth(struct h2_in *in, struct h2_in_stream *s)
{
    uint32_t full = in->c.initial_window + s->grown;
    if (likely(in->target <= full))
        return 0;
    uint32_t more = (uint32_t)min_size(in->target - full, LIMIT_WINDOW_GROWTH - in->grown);
    s->grown += more;
    in->grown += more;
    return more;
}

uint32_t h2_in_consumed(struct h2_in *in, uint32_t id, uint32_t n)
{
    struct h2_in_stream *s = h2_in_find(in, id);
    if (!s || s->remote_closed)
        return 0;
    uint32_t from_excess = (uint32_t)min_size(s->excess, n);
    s->excess -= from_excess;
    s->back += n - from_excess;
    if (s->back == 0 || s->back < (in->c.initial_window + s->grown) / 4)
        return 0;
    uint32_t increment = s->back + in_growth(in, s);
    s->back = 0;
    s->window += increment;
    in->bdp_due = !in->c.static_windows && !in->bdp_out;
    return increment;
}

uint32_t h2_in_grant(struct h2_in *in, uint32_t id, uint32_t n)
{
    struct h2_in_stream *s = h2_in_find(in, id);
    n = (uint32_t)min_size(n, H2_MAX_WINDOW - LIMIT_WINDOW_GROWTH);
    if (!s || s->remote_closed || s->window >= (int64_t)n)
        return 0;
    uint32_t increment = (uint32_t)min_size((size_t)((int64_t)n - s->window), H2_MAX_WINDOW);
    uint32_t due = (uint32_t)min_size(s->back, increment);
    s->back -= due;
    s->excess += increment - due;
    s->window += increment;
    return increment;
}

uint32_t h2_in_connection_credit(struct h2_in *in)
{
    if (in->window_back < in->window_full / 4)
        return 0;
    uint32_t increment = in->window_back;
    in->window_back = 0;
    in->window += increment;
    return increment;
}

/* -- bandwidth times delay -------------------------------------------------------------------- */

bool h2_in_bdp_due(struct h2_in *in)
{
    if (likely(!in->bdp_due))
        return false;
    in->bdp_due = false;
    /* Without DATA since the last answer a ping would count as idle chatter with the peer. */
    if (in->arrived == in->bdp_heard)
        return false;
    if (in->bdp_skip == 0)
        return true;
    in->bdp_skip--;
    return false;
}

void h2_in_bdp_sent(struct h2_in *in, int64_t now)
{
    in->bdp_out = true;
    in->bdp_at = now;
    in->bdp_from = in->arrived;
}

bool h2_in_bdp_ack(struct h2_in *in, const uint8_t opaque[8], int64_t now)
{
    if (!in->bdp_out || memcmp(opaque, h2_bdp_opaque, 8) != 0)
        return false;
    in->bdp_out = false;
    in->bdp_heard = in->arrived;
    uint64_t sample = in->arrived - in->bdp_from;
    uint64_t took = now > in->bdp_at ? (uint64_t)(now - in->bdp_at) : 1;
    sample = sample < LIMIT_WINDOW_MOST ? sample : LIMIT_WINDOW_MOST;
    uint64_t rate = sample * 1000000000u / took;
    if (sample * 3 < (uint64_t)in->target * 2 || rate <= in->bdp_rate) {
        in->bdp_again = in->bdp_again * 2 + 1;
        if (in->bdp_again > IN_SKIP_MOST)
            in->bdp_again = IN_SKIP_MOST;
        in->bdp_skip = in->bdp_again;
        return true;
    }
    in->bdp_rate = rate;
    in->bdp_again = 0;
    in->target = (uint32_t)min_size(2 * sample, LIMIT_WINDOW_MOST);
    if (2 * in->target > in->window_full) { /* goes out with the next credit */
        in->window_back += 2 * in->target - in->window_full;
        in->window_full = 2 * in->target;
    }
    return true;
}
