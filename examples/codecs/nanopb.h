/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * nanopb.h: messages of nanopb in Sennit's calls: plain structs of a fixed size, so a codec's desc
 * has that of the struct, and nothing is allocated. */
#ifndef EXAMPLES_CODECS_NANOPB_H
#define EXAMPLES_CODECS_NANOPB_H

#include <pb_decode.h>
#include <pb_encode.h>

#include "sennit.h"

static inline size_t nanopb_size(const sennit_codec *c, const void *msg)
{
    size_t size;
    return pb_get_encoded_size(&size, c->data, msg) ? size : SIZE_MAX;
}

static inline bool nanopb_encode(const sennit_codec *c, const void *msg, char *to, size_t size)
{
    pb_ostream_t stream = pb_ostream_from_buffer((pb_byte_t *)to, size);
    return pb_encode(&stream, c->data, msg) && stream.bytes_written == size;
}

static inline bool nanopb_decode(const sennit_codec *c, sennit_arena *a, sennit_str octets,
                                 void *msg)
{
    (void)a;
    pb_istream_t stream = pb_istream_from_buffer((const pb_byte_t *)octets.data, octets.len);
    return pb_decode(&stream, c->data, msg);
}

/* A sennit_codec of the struct T that nanopb made, which has T_init_zero and T_fields. */
#define NANOPB_CODEC(message, T)                                                                   \
    {                                                                                              \
        { .version = SENNIT_TABLES,                                                                \
          .size = sizeof(T),                                                                       \
          .flags = SENNIT_MSG_CODEC,                                                               \
          .name = message,                                                                         \
          .empty = &(const T)T##_init_zero },                                                      \
            T##_fields, nanopb_size, nanopb_encode, nanopb_decode                                  \
    }

#endif
