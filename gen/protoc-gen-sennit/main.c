/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * protoc-gen-sennit: protoc starts it, writes a CodeGeneratorRequest to its standard input and
 * reads a CodeGeneratorResponse from its standard output. It stands on src/base and src/pb, the
 * runtime that its own output uses: plugin.sennit.[ch] were written by it. Whatever is wrong with
 * the request or with a .proto is the response's error, with file and line, and the exit status
 * stays 0, as protoc wants it; 1 is for what cannot be answered (standard input or output fails, no
 * memory at all). */
#include "gen.h"

#include <errno.h>
#include <stdio.h>

#include "base/sys.h"
#include "pb/pb.h"

static bool read_all(struct text *in)
{
    static char chunk[65536];
    for (;;) {
        ssize_t n = sys.read(0, chunk, sizeof chunk);
        if (n == -EINTR)
            continue;
        if (n <= 0)
            return n == 0 && !in->failed;
        if (in->len + (size_t)n > GEN_MAX_INPUT)
            in->failed = true;
        else
            text_add(in, chunk, (size_t)n);
    }
}

static bool write_all(sennit_str s)
{
    while (s.len) {
        ssize_t n = sys.write(1, s.data, s.len);
        if (n == -EINTR)
            continue;
        if (n <= 0)
            return false;
        s.data += n;
        s.len -= (size_t)n;
    }
    return true;
}

static bool run(struct sennit_arena *arena)
{
    struct text in = { .a = arena };
    text_add(&in, "", 0); /* an empty request, too, has its spare octet */
    if (!read_all(&in) && !in.failed) {
        fprintf(stderr, "protoc-gen-sennit: standard input cannot be read\n");
        return false;
    }
    sennit_str out;
    enum pb_result r = gen_answer(arena, in.failed ? NULL : in.data, in.len, &out);
    if (r != PB_OK || !write_all(out)) {
        fprintf(stderr, "protoc-gen-sennit: cannot answer: %s\n",
                r == PB_OK ? "standard output cannot be written" : pb_result_text(r));
        return false;
    }
    return true;
}

int main(void)
{
    static struct sennit_arena arena;
    arena_init(&arena, NULL, 0);
    arena.cap = GEN_MAX_MEMORY;
    bool done = run(&arena);
    arena_fini(&arena);
    return done ? 0 : 1;
}
