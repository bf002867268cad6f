/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * h2_frame.h: the numbers of RFC 9113 that both machines need. Constants only. */
#ifndef SENNIT_H2_H2_FRAME_H
#define SENNIT_H2_H2_FRAME_H

#include "h2/h2.h"

enum h2_frame_type {
    H2_DATA,
    H2_HEADERS,
    H2_PRIORITY,
    H2_RST_STREAM,
    H2_SETTINGS,
    H2_PUSH_PROMISE,
    H2_PING,
    H2_GOAWAY,
    H2_WINDOW_UPDATE,
    H2_CONTINUATION,
    H2_FRAME_TYPES
};
enum h2_frame_flag {
    H2_END_STREAM = 0x1,
    H2_ACK = 0x1,
    H2_END_HEADERS = 0x4,
    H2_PADDED = 0x8,
    H2_PRIO = 0x20
};
enum h2_setting {
    H2_SET_HEADER_TABLE_SIZE = 1,
    H2_SET_ENABLE_PUSH,
    H2_SET_MAX_CONCURRENT_STREAMS,
    H2_SET_INITIAL_WINDOW_SIZE,
    H2_SET_MAX_FRAME_SIZE,
    H2_SET_MAX_HEADER_LIST_SIZE
};

#define H2_PREFACE        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
#define H2_PREFACE_LEN    24u
#define H2_DEFAULT_WINDOW 65535u
#define H2_DEFAULT_TABLE  4096u
#define H2_MAX_FRAME      16777215u  /* greatest */
#define H2_MAX_WINDOW     0x7fffffff /* also the greatest stream id */

/* What a peer is held to before its SETTINGS come. */
#define H2_SETTINGS_DEFAULT                                                                        \
    {                                                                                              \
        .header_table_size = H2_DEFAULT_TABLE, .least_table_size = H2_DEFAULT_TABLE,               \
        .enable_push = 1, .max_concurrent_streams = UINT32_MAX,                                    \
        .initial_window = H2_DEFAULT_WINDOW, .max_frame = H2_DEFAULT_FRAME,                        \
        .max_header_list = UINT32_MAX                                                              \
    }

#endif
