/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * recorded.h: a conversation between others, written down by test/interop/record: its turns, and
 * the octets of each direction in one piece. Also said in another way: with header blocks in
 * CONTINUATIONs, padding, and frames of unknown type in between. */
#ifndef SENNIT_TEST_RECORDED_H
#define SENNIT_TEST_RECORDED_H

#include "harness.h"
#include <stdio.h>
#include <string.h>

enum { RECORDED_CLIENT, RECORDED_SERVER };
struct recorded_turn {
    int who;
    size_t end; /* in the octets of who */
};
struct recorded {
    struct recorded_turn turns[128];
    size_t n_turns, len[2];
    unsigned char octets[2][16384];
};
#define RECORDED_PREFACE 24u

/* What one side has said in the turns before this one. */
__attribute__((unused)) static size_t recorded_before(const struct recorded *r, int who,
                                                      size_t turn)
{
    while (turn--)
        if (r->turns[turn].who == who)
            return r->turns[turn].end;
    return 0;
}

__attribute__((unused)) static void recorded_load(struct recorded *r, const char *path)
{
    char line[256];
    FILE *f = fopen(path, "r");
    check(f);
    memset(r, 0, sizeof *r);
    while (fgets(line, sizeof line, f)) {
        unsigned octet;
        int who = line[0] == '<' ? RECORDED_SERVER : RECORDED_CLIENT;
        if (line[0] != '<' && line[0] != '>')
            continue;
        for (const char *p = line + 2; sscanf(p, "%2x", &octet) == 1; p += 2) {
            check(r->len[who] < sizeof r->octets[who]);
            r->octets[who][r->len[who]++] = (unsigned char)octet;
        }
        if (r->n_turns == 0 || r->turns[r->n_turns - 1].who != who)
            r->turns[r->n_turns++].who = who;
        check(r->n_turns < 128);
        r->turns[r->n_turns - 1].end = r->len[who];
    }
    fclose(f);
}

__attribute__((unused)) static size_t recorded_frame(const unsigned char *p)
{
    return 9 + ((size_t)p[0] << 16 | (size_t)p[1] << 8 | p[2]);
}

static inline void recorded_put(struct recorded *r, int who, unsigned type, unsigned flags,
                                const unsigned char *id, const void *p, size_t n)
{
    unsigned char head[9] = { (unsigned char)(n >> 16),
                              (unsigned char)(n >> 8),
                              (unsigned char)n,
                              (unsigned char)type,
                              (unsigned char)flags,
                              id[0],
                              id[1],
                              id[2],
                              id[3] };
    check(r->len[who] + 9 + n <= sizeof r->octets[who]);
    memcpy(r->octets[who] + r->len[who], head, 9);
    memcpy(r->octets[who] + r->len[who] + 9, p, n);
    r->len[who] += 9 + n;
}

/* A frame with five octets of padding, or none when it is empty. */
static inline void recorded_padded(struct recorded *r, int who, unsigned type, unsigned flags,
                                   const unsigned char *id, const unsigned char *p, size_t n)
{
    unsigned char body[512] = { 5 };
    check(n + 6 <= sizeof body);
    memcpy(body + 1, p, n);
    recorded_put(r, who, type, flags | 8, id, body, n + 6);
}

/* The same frame in another way. */
static inline void recorded_again(struct recorded *to, int who, const unsigned char *p, size_t n)
{
    const unsigned char *body = p + 9, *id = p + 5;
    unsigned type = p[3], flags = p[4];
    size_t len = n - 9, half = len / 2;
    if (type == 0 && !(flags & 8)) {
        recorded_padded(to, who, 0, 0, id, body, half);
        recorded_padded(to, who, 0, flags, id, body + half, len - half);
    } else if (type == 1 && flags == (flags & 5) && (flags & 4)) {
        recorded_padded(to, who, 1, flags & 1, id, body, half);
        recorded_put(to, who, 9, 0, id, body + half, (len - half) / 2);
        recorded_put(to, who, 9, 4, id, body + half + (len - half) / 2,
                     len - half - (len - half) / 2);
    } else {
        recorded_put(to, who, type, flags, id, body, len);
    }
    if (type != 4)
        recorded_put(to, who, 0x77, 0xff, id, "??", 2);
}

/* Turns keep their order. Frames must not lie across turns. */
__attribute__((unused)) static void recorded_otherwise(const struct recorded *r,
                                                       struct recorded *to)
{
    size_t at[2] = { RECORDED_PREFACE, 0 };
    memset(to, 0, sizeof *to);
    memcpy(to->octets[RECORDED_CLIENT], r->octets[RECORDED_CLIENT], RECORDED_PREFACE);
    to->len[RECORDED_CLIENT] = RECORDED_PREFACE;
    for (size_t t = 0; t < r->n_turns; t++) {
        int who = r->turns[t].who;
        while (at[who] < r->turns[t].end) {
            const unsigned char *p = r->octets[who] + at[who];
            recorded_again(to, who, p, recorded_frame(p));
            at[who] += recorded_frame(p);
        }
        check(at[who] == r->turns[t].end);
        to->turns[to->n_turns++] = (struct recorded_turn){ who, to->len[who] };
    }
}

#endif
