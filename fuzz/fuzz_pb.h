/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * fuzz_pb.h: what the targets of messages share. The first octet chooses the type. Included once by
 * each target. */
#ifndef SENNIT_FUZZ_PB_H
#define SENNIT_FUZZ_PB_H

#include <stdio.h>
#include <stdlib.h>

#include "base/arena.h"
#include "base/base.h"
#include "pb/pb.h"

#include "all_kinds.sennit.h"
#include "known_kinds.sennit.h"
#include "old_kinds.sennit.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

#define demand(e)                                                                                  \
    ((e) ? (void)0 : (fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #e), abort()))

static const sennit_file_desc *const fuzz_files[] = { &sennit_file__all_kinds_proto,
                                                      &sennit_file__old_kinds_proto };
static const sennit_format_options fuzz_options = { .files = fuzz_files, .n_files = 2 };
static const sennit_msg_desc *const fuzz_types[] = {
    &sennit__sennit_known_Known, &sennit__sennit_test_Optionals, &sennit__sennit_test_Repeated,
    &sennit__sennit_test_Maps,   &sennit__sennit_test_Choice,    &sennit__sennit_old_Old,
    &sennit__sennit_old_Set,     &sennit__sennit_test_Outer,
};

sennit_err sennit_not_implemented(const sennit_method *m)
{
    (void)m;
    return NULL;
}

/* 64 MiB are enough for what these inputs may want; more is a finding. */
static void fuzz_begin(struct sennit_arena *a)
{
    arena_init(a, NULL, 0);
    a->cap = 64u << 20;
}

typedef enum pb_result fuzz_reader(struct sennit_arena *, const sennit_msg_desc *, sennit_str,
                                   const sennit_format_options *, void *, struct pb_why *);
typedef enum pb_result fuzz_writer(struct sennit_arena *, const sennit_msg_desc *, const void *,
                                   const sennit_format_options *, sennit_str *, struct pb_why *);

/* What was written can be read, and is the same text the next time. (The first time a number that
 * NullValue has not is lost, for it is written as null.) */
static inline void fuzz_text(struct sennit_arena *a, const sennit_msg_desc *d, const void *msg,
                             fuzz_reader *read, fuzz_writer *write)
{
    sennit_str text, last = { NULL, 0 };
    struct pb_why why;
    if (write(a, d, msg, &fuzz_options, &text, &why) != PB_OK)
        return;
    for (int round = 0; round < 2; round++, last = text) {
        void *again = arena_alloc(a, d->size);
        enum pb_result r = again ? read(a, d, text, &fuzz_options, again, &why) : PB_NO_MEMORY;
        if (r == PB_NO_MEMORY || r == PB_TOO_DEEP || r == PB_MISSING)
            return;
        demand(r == PB_OK);
        r = write(a, d, again, &fuzz_options, &text, &why);
        if (r == PB_NO_MEMORY)
            return;
        demand(r == PB_OK);
        demand(!round || (text.len == last.len && !memcmp(text.data, last.data, text.len)));
    }
}

/* Text of any kind: what is read can be written. */
static inline int fuzz_read(const uint8_t *p, size_t n, fuzz_reader *read, fuzz_writer *write)
{
    struct sennit_arena a;
    struct pb_why why;
    if (!n)
        return 0;
    const sennit_msg_desc *d = fuzz_types[p[0] % countof(fuzz_types)];
    fuzz_begin(&a);
    void *msg = arena_alloc(&a, d->size);
    sennit_str s = { (const char *)p + 1, n - 1 };
    if (msg && read(&a, d, s, &fuzz_options, msg, &why) == PB_OK)
        fuzz_text(&a, d, msg, read, write);
    arena_fini(&a);
    return 0;
}

#endif
