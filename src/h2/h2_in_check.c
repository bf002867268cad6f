/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * h2_in_check.c: are the fields of a header block a well-formed message (RFC 9113 8.1 to 8.3)?
 * Works on the tokens the decoder gave, so that no name is compared here. What only gRPC asks for
 * (POST, content-type, a known path) is the transport's business: it answers in HTTP. What a run of
 * fields came to is noted with it, so that the next block that begins so is checked from there on.
 * Pure functions but for that. */
#include "h2/h2_in_private.h"
#include <strings.h>

struct check {
    uint32_t allowed, seen;           /* bits of pseudo-header tokens */
    int64_t length;                   /* content-length, -1: none */
    uint16_t status;                  /* 0: no number of three digits */
    bool regular;                     /* an ordinary field came: no pseudo-header may follow */
    bool connect, no_method, no_path; /* :method is CONNECT; :method, :path are empty */
};
_Static_assert(sizeof(struct check) <= sizeof((struct hpack_run *)0)->note, "is noted there");
#define CHECK_BIT(token) (1u << (token))
#define CHECK_PSEUDO                                                                               \
    (CHECK_BIT(H2_TOK_AUTHORITY) | CHECK_BIT(H2_TOK_METHOD) | CHECK_BIT(H2_TOK_PATH) |             \
     CHECK_BIT(H2_TOK_SCHEME) | CHECK_BIT(H2_TOK_STATUS) | CHECK_BIT(H2_TOK_PROTOCOL) |            \
     CHECK_BIT(H2_TOK_UNKNOWN_PSEUDO))
#define CHECK_REQUEST                                                                              \
    (CHECK_BIT(H2_TOK_AUTHORITY) | CHECK_BIT(H2_TOK_METHOD) | CHECK_BIT(H2_TOK_PATH) |             \
     CHECK_BIT(H2_TOK_SCHEME))

/* Content-Length = 1*DIGIT; the same value twice is tolerated, as RFC 9110 8.6 allows. */
BASE_COLD static const char *check_length(struct check *c, const struct h2_field *f)
{
    int64_t v = 0;
    if (f->value_len == 0 || f->value_len > 18)
        return "content-length is no number";
    for (uint32_t i = 0; i < f->value_len; i++) {
        if (f->value[i] < '0' || f->value[i] > '9')
            return "content-length is no number";
        v = v * 10 + (f->value[i] - '0');
    }
    if (c->length >= 0 && c->length != v)
        return "two content-lengths";
    c->length = v;
    return NULL;
}

static uint16_t check_status(const char *v, uint32_t len)
{
    if (len != 3 || v[0] < '1' || v[0] > '9' || v[1] < '0' || v[1] > '9' || v[2] < '0' ||
        v[2] > '9')
        return 0;
    return (uint16_t)((v[0] - '0') * 100 + (v[1] - '0') * 10 + (v[2] - '0'));
}

static const char *check_pseudo(struct check *c, const struct h2_field *f)
{
    uint32_t bit = CHECK_BIT(f->token);
    if (c->regular)
        return "pseudo-header after an ordinary field";
    if (!(c->allowed & bit))
        return "pseudo-header that does not belong here";
    if (c->seen & bit)
        return "pseudo-header twice";
    c->seen |= bit;
    if (f->token == H2_TOK_METHOD) {
        c->no_method = f->value_len == 0;
        c->connect = f->value_len == 7 && memcmp(f->value, "CONNECT", 7) == 0;
    } else if (f->token == H2_TOK_PATH) {
        c->no_path = f->value_len == 0;
    } else if (f->token == H2_TOK_STATUS) {
        c->status = check_status(f->value, f->value_len);
    }
    return NULL;
}

static const char *check_regular(struct check *c, const struct h2_field *f)
{
    c->regular = true;
    if (f->token == H2_TOK_CONNECTION)
        return "connection-specific field";
    if (f->token == H2_TOK_TE && (f->value_len != 8 || strncasecmp(f->value, "trailers", 8) != 0))
        return "te other than trailers";
    if (f->token == H2_TOK_CONTENT_LENGTH)
        return check_length(c, f);
    return NULL;
}

static const char *check_some(struct check *c, const struct h2_field *f, size_t n)
{
    _Static_assert(H2_TOK_COOKIE < 32, "tokens are bits here");
    for (const struct h2_field *end = f + n; f < end; f++) {
        const char *bad = NULL;
        if (unlikely(f->flags & H2_FIELD_BAD))
            bad = "field with forbidden characters";
        else if (CHECK_BIT(f->token) & CHECK_PSEUDO)
            bad = check_pseudo(c, f);
        else
            bad = check_regular(c, f);
        if (unlikely(bad))
            return bad;
    }
    return NULL;
}

/* The same octets may begin a request and stand in trailers: a note is of one of these. */
static bool check_noted(struct check *c, const struct hpack_run *run, uint32_t allowed)
{
    if (!run->noted)
        return false;
    memcpy(c, run->note, sizeof *c);
    return c->allowed == allowed;
}

BASE_COLD static const char *check_anew(struct check *c, const struct h2_event *ev,
                                        struct hpack_run *run, uint32_t allowed)
{
    const char *bad = NULL;
    size_t n = run ? run->n : 0;
    *c = (struct check){ .length = -1, .allowed = allowed };
    if (run && !(bad = check_some(c, ev->fields, n))) {
        memcpy(run->note, c, sizeof *c);
        run->noted = H2_IN_CHECKED;
    }
    /* an empty block has no fields to point to */
    return bad || ev->n_fields == n ? bad : check_some(c, ev->fields + n, ev->n_fields - n);
}

static inline const char *check_fields(struct check *c, const struct h2_event *ev,
                                       struct hpack_run *run, uint32_t allowed)
{
    if (unlikely(!run || !check_noted(c, run, allowed)))
        return check_anew(c, ev, run, allowed);
    return ev->n_fields == run->n ? NULL
                                  : check_some(c, ev->fields + run->n, ev->n_fields - run->n);
}

/* RFC 9113 8.5: CONNECT has an :authority, but neither :scheme nor :path. */
BASE_COLD static const char *check_connect(const struct check *c)
{
    const uint32_t want = CHECK_BIT(H2_TOK_METHOD) | CHECK_BIT(H2_TOK_AUTHORITY);
    return c->seen == want ? NULL : "CONNECT with the wrong pseudo-headers";
}

static const char *check_request_line(const struct check *c)
{
    const uint32_t want =
        CHECK_BIT(H2_TOK_METHOD) | CHECK_BIT(H2_TOK_PATH) | CHECK_BIT(H2_TOK_SCHEME);
    if (c->connect)
        return check_connect(c);
    if ((c->seen & want) != want)
        return "request without :method, :scheme or :path";
    if (c->no_path)
        return "empty :path";
    return c->no_method ? "empty :method" : NULL;
}

const char *h2_in_check_request(const struct h2_event *ev, struct hpack_run *run, int64_t *length)
{
    struct check c;
    const char *bad = check_fields(&c, ev, run, CHECK_REQUEST);
    if (!bad && !ev->fields_too_large)
        bad = check_request_line(&c);
    *length = c.length;
    if (!bad && run && ev->n_fields == run->n && !ev->fields_too_large && c.length < 0)
        run->noted = H2_IN_REQUEST;
    return bad;
}

const char *h2_in_check_response(const struct h2_event *ev, struct hpack_run *run, int64_t *length,
                                 bool *interim)
{
    struct check c;
    const char *bad = check_fields(&c, ev, run, CHECK_BIT(H2_TOK_STATUS));
    *length = c.length;
    *interim = false;
    if (bad)
        return bad;
    if (!c.seen)
        return ev->fields_too_large ? NULL : "response without :status";
    if (!c.status)
        return ":status is no number of three digits";
    if (c.status == 101)
        return ":status 101";
    *interim = c.status < 200;
    if (c.status == 204 || c.status == 304)
        *length = -1; /* they tell the length of what is not sent (RFC 9113 8.1.1) */
    return NULL;
}

const char *h2_in_check_trailers(const struct h2_event *ev, struct hpack_run *run)
{
    struct check c;
    return check_fields(&c, ev, run, 0);
}
