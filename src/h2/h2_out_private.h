/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * h2_out_private.h: what the h2_out*.c files share: appending one frame, and the rule for who waits
 * in the pending list. Guarded like struct h2_out. */
#ifndef SENNIT_H2_H2_OUT_PRIVATE_H
#define SENNIT_H2_H2_OUT_PRIVATE_H

#include "base/limits.h"
#include "base/sys.h"
#include "h2/h2_frame.h"

/* Appends a frame header and leaves len octets for the payload: their start. Needs the room. */
uint8_t *h2_out_frame(struct h2_out *o, size_t len, enum h2_frame_type type, unsigned flags,
                      uint32_t id);
/* Two stores: three of these go out with each answer. */
static inline void h2_out_frame_header(uint8_t *p, size_t len, enum h2_frame_type type,
                                       unsigned flags, uint32_t id)
{
    store_be64(p, (uint64_t)len << 40 | (uint64_t)type << 32 | (uint64_t)flags << 24 | id >> 8);
    p[8] = (uint8_t)id;
}
/* Puts s at the end of the pending list if it has octets waiting and a window for them; takes it
 * off if its window is used up. So a list full of blocked streams costs the pump nothing. */
void h2_out_enqueue(struct h2_out *o, struct h2_out_stream *s);

#endif
