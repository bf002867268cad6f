/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * fuzz_messages.c: gRPC's framing: the input is the body of a call to a whole server of ours, the
 * first octet chooses the method, compressed or not, and how the body is cut into DATA frames. The
 * oracle reads the body by itself: every call ends, and with OK only if the body is well-formed. */
#include "conn.h"
#include "h2/hpack.h"

#define FIELD(name, n, value, v) "\0" n name v value

static const char request[] = /* literals without indexing */
    "\x83\x86" FIELD("content-type", "\x0c", "application/grpc", "\x10");
static const char unary[] = FIELD(":path", "\x05", "/bench.Bench/Unary", "\x12");
static const char stream[] = FIELD(":path", "\x05", "/bench.Bench/Stream", "\x13");

static void send_frame(int fd, unsigned type, unsigned flags, const void *p, size_t n)
{
    uint8_t head[9] = {
        0, (uint8_t)(n >> 8), (uint8_t)n, (uint8_t)type, (uint8_t)flags, 0, 0, 0, 1
    };
    conn_send(fd, head, 9);
    conn_send(fd, p, n);
}

static void send_request(int fd, bool streams)
{
    uint8_t block[256];
    size_t path = streams ? sizeof stream - 1 : sizeof unary - 1;
    memcpy(block, request, 2); /* :method, :scheme; then :path, before the ordinary fields */
    memcpy(block + 2, streams ? stream : unary, path);
    memcpy(block + 2 + path, request + 2, sizeof request - 3);
    send_frame(fd, 1, 4, block, sizeof request - 1 + path);
}

/* Whole messages of the body; -1: it is malformed. */
static long count_messages(const uint8_t *p, size_t n)
{
    long k = 0;
    for (; n >= 5; k++) {
        size_t len = (size_t)p[1] << 24 | (size_t)p[2] << 16 | (size_t)p[3] << 8 | p[4];
        if (p[0] || len > n - 5)
            return -1;
        p += 5 + len, n -= 5 + len;
    }
    return n ? -1 : k;
}

enum { OPEN = -2, BROKEN = -1 };
/* Walks the answer's frames: OPEN, BROKEN (reset, connection over), or the grpc-status. */
static int outcome(const uint8_t *p, size_t n)
{
    struct hpack_decoder *d = hpack_decoder_new(4096);
    int status = OPEN;
    demand(d);
    while (n >= 9 && status == OPEN) {
        size_t len = (size_t)p[0] << 16 | (size_t)p[1] << 8 | p[2], n_fields = 0;
        const struct h2_field *f;
        if (len > n - 9)
            break;
        if (p[3] == 7 || (p[3] == 3 && p[8] == 1))
            status = BROKEN;
        if (p[3] == 1)
            demand(hpack_decode(d, p + 9, len, 16384, &f, &n_fields) == HPACK_OK);
        for (size_t i = 0; i < n_fields && p[4] & 1; i++) {
            if (f[i].token == H2_TOK_GRPC_STATUS)
                status = (int)strtol(f[i].value, NULL, 10);
        }
        p += 9 + len, n -= 9 + len;
    }
    hpack_decoder_free(d);
    return status;
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
    static uint8_t said[1 << 16];
    size_t len, piece;
    if (n == 0 || n > 40000)
        return 0;
    bool streams = p[0] & 1;
    piece = p[0] & 2 ? 1 + (p[0] >> 2) : 16384;
    int fd = conn_to_server();
    conn_send(fd, CONN_PREFACE CONN_SETTINGS, 33);
    send_request(fd, streams);
    for (size_t at = 1; at < n; at += piece)
        send_frame(fd, 0, 0, p + at, n - at < piece ? n - at : piece);
    send_frame(fd, 0, 1, "", 0);
    /* A malformed body is answered before its end: the connection must live on for the PING. */
    conn_send(fd, "\0\0\10\6\0\0\0\0\0pingpong", 17);
    int status = OPEN;
    bool pong = false;
    for (len = 0; status == OPEN || !pong;) {
        ssize_t got = conn_recv(fd, said + len, sizeof said - len);
        demand(got > 0);
        len += (size_t)got;
        status = outcome(said, len);
        pong = memmem(said, len, "\0\0\10\6\1\0\0\0\0pingpong", 17) != NULL;
    }
    shutdown(fd, SHUT_WR);
    uint8_t *rest = said + len;
    conn_read_all(fd, rest, (size_t)(said + sizeof said - rest), &len);
    close(fd);
    long messages = count_messages(p + 1, n - 1);
    demand(status != BROKEN && status <= 16);
    demand(status != 0 || (streams ? messages >= 0 : messages == 1));
    return 0;
}
