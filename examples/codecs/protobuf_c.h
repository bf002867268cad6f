/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * protobuf_c.h: messages of protobuf-c in Sennit's calls. What a call takes and gives is a pointer
 * to the message, which lives in the call's arena: nothing is freed by protobuf-c's functions.
 * protobuf-c 1.4 recurses on input without a limit, and takes strings that are not UTF-8: do not
 * let strangers send it messages that nest in themselves. */
#ifndef EXAMPLES_CODECS_PROTOBUF_C_H
#define EXAMPLES_CODECS_PROTOBUF_C_H

#include <protobuf-c/protobuf-c.h>

#include "sennit.h"

static inline size_t protobuf_c_size(const sennit_codec *c, const void *msg)
{
    const ProtobufCMessage *m = *(const ProtobufCMessage *const *)msg;
    return m && m->descriptor == c->data ? protobuf_c_message_get_packed_size(m) : SIZE_MAX;
}

static inline bool protobuf_c_encode(const sennit_codec *c, const void *msg, char *to, size_t size)
{
    (void)c;
    return protobuf_c_message_pack(*(const ProtobufCMessage *const *)msg, (uint8_t *)to) == size;
}

static inline void *protobuf_c_alloc(void *arena, size_t size) { return sennit_alloc(arena, size); }
static inline void protobuf_c_free(void *arena, void *p) { (void)arena, (void)p; }

static inline bool protobuf_c_decode(const sennit_codec *c, sennit_arena *a, sennit_str octets,
                                     void *msg)
{
    ProtobufCAllocator allocator = { protobuf_c_alloc, protobuf_c_free, a };
    ProtobufCMessage *m =
        protobuf_c_message_unpack(c->data, &allocator, octets.len, (const uint8_t *)octets.data);
    *(ProtobufCMessage **)msg = m;
    return m != NULL;
}

static const ProtobufCMessage *const protobuf_c_empty;

/* A sennit_codec of the message whose ProtobufCMessageDescriptor this is. */
#define PROTOBUF_C_CODEC(message, descriptor)                                                      \
    {                                                                                              \
        { .version = SENNIT_TABLES,                                                                \
          .size = sizeof(ProtobufCMessage *),                                                      \
          .flags = SENNIT_MSG_CODEC,                                                               \
          .name = message,                                                                         \
          .empty = &protobuf_c_empty },                                                            \
            descriptor, protobuf_c_size, protobuf_c_encode, protobuf_c_decode                      \
    }

#endif
