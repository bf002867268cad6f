/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * fuzz_server.c: a whole server of ours against any octets on a connection. The first octet says
 * whether preface and SETTINGS are given for free. Whatever comes, the server closes after the
 * peer's end, and goes on serving the next one. */
#include "conn.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
    static const char start[] = CONN_PREFACE CONN_SETTINGS;
    static uint8_t said[1 << 16];
    size_t len;
    if (n == 0)
        return 0;
    int fd = conn_to_server();
    if (p[0] & 1)
        conn_send(fd, start, sizeof start - 1);
    conn_send(fd, p + 1, n - 1);
    shutdown(fd, SHUT_WR);
    conn_read_all(fd, said, sizeof said, &len);
    close(fd);
    return 0;
}
