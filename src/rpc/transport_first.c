/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * transport_first.c: the first octets of a peer that does not speak HTTP/2 at all, told by name:
 * who has confused a TLS port with a plain one, or met a web server, wants to read that, and not
 * "first frame is not SETTINGS" or "EOF". A TLS record begins with its type (20 to 23) and 3; as
 * the length of a first frame that would be far over every limit. HTTP/1 requests are h2_in's to
 * see, and are answered; here are HTTP/1 answers. */
#include "base/quote.h"
#include "rpc/transport_private.h"

/* The type alone is enough when it comes alone: no HTTP begins so. */
static bool first_is_tls(const struct transport *t)
{
    return t->first[0] >= 20 && t->first[0] <= 23 && (t->n_first == 1 || t->first[1] == 3);
}

static bool first_is_http1(const struct transport *t)
{
    return !t->server && t->n_first == sizeof t->first && memcmp(t->first, "HTTP/1", 6) == 0;
}

static void first_tls(struct transport *t)
{
    lock_take(&t->lock, LOCK_WRITE);
    t->hold = false;
    if (transport_room(t, 128))
        h2_out_goaway(&t->out, 0, H2_PROTOCOL_ERROR, "TLS on a port that speaks plain text");
    lock_drop(&t->lock, LOCK_WRITE);
    transport_fail(t, WHY(WANTS_TLS), "the %s speaks TLS on a connection in plain text",
                   t->server ? "client" : "server");
}

bool first_is_other(struct transport *t, const uint8_t *p, size_t n)
{
    char line[128];
    size_t take = min_size(n, sizeof t->first - t->n_first);
    memcpy(t->first + t->n_first, p, take);
    t->n_first = (uint8_t)(t->n_first + take);
    if (first_is_tls(t)) {
        first_tls(t);
    } else if (first_is_http1(t)) {
        if (take < sizeof t->first) /* it came in pieces */
            quote_line(line, sizeof line, t->first, sizeof t->first);
        else
            quote_line(line, sizeof line, p, n);
        transport_fail(t, WHY(HTTP1), "the server answers in HTTP/1: \"%s\"", line);
    } else {
        return false;
    }
    return true;
}
