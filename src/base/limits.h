/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * limits.h: every limit of the library by name, each with its reason. */
#ifndef SENNIT_BASE_LIMITS_H
#define SENNIT_BASE_LIMITS_H

/* -- HTTP/2, receiving ----------------------------------------------------------------------- */
#define LIMIT_STREAMS             256u      /* kept per connection; RFC 9113 wants 100 */
#define LIMIT_HEADER_LIST         16384u    /* per block (RFC 7541 4.1): twice what proxies pass */
#define LIMIT_HEADER_FIELDS       256u      /* per block: bounds the field array */
#define LIMIT_HEADER_BOMB         4u        /* times the list limit: then the connection ends */
#define LIMIT_HEADER_BLOCK        32768u    /* encoded octets: the list limit, badly packed */
#define LIMIT_CONTINUATIONS       8u        /* frames per block, empty too: CVE-2024-28182 */
#define LIMIT_SETTINGS_ENTRIES    32u       /* per frame: CVE-2020-11080 */
#define LIMIT_HPACK_TABLE         4096u     /* decoder's: the default; larger buys nothing */
#define LIMIT_HPACK_ENCODER_TABLE 1024u     /* of what the peer allows: constants only */
#define LIMIT_FRAME               16384u    /* SETTINGS_MAX_FRAME_SIZE: the least; fair turns */
#define LIMIT_STREAM_WINDOW       131072u   /* initial: 64 KiB and prefix without an update */
#define LIMIT_STREAM_WINDOW_LEAST 65535u    /* by option; unary ones are granted their length */
#define LIMIT_CONN_WINDOW         1048576u  /* given back on arrival: bounds one flight */
#define LIMIT_WINDOW_MOST         16777216u /* of a grown stream: 10 Gbit/s times 13 ms */
#define LIMIT_WINDOW_GROWTH       33554432u /* of all streams of a connection, above the initial */
#define LIMIT_CLOSED_STREAMS      128u      /* ids remembered after our RST, for late frames */
#define LIMIT_GLITCHES            1000u     /* free abuse budget per connection, see h2_in.c */
#define LIMIT_GLITCH_REFILL       100u /* given back for each completed stream, up to the budget */
#define LIMIT_GLITCH_OCTETS       256u /* of DATA give one back */
#define LIMIT_GLITCH_FRAME        4u   /* per DATA frame we send: updates, a PING */
#define LIMIT_GLITCH_UPDATES      65536u /* WINDOW_UPDATEs owed for DATA sent: a few a stream */
#define LIMIT_GLITCH_RATE         30u   /* a second: people who cancel what they watch, keepalive */
#define LIMIT_GOAWAY_TEXT         1024u /* octets of debug text kept */

/* -- HTTP/2, sending ------------------------------------------------------------------------- */
#define LIMIT_OUT_HIGH_WATER 262144u /* octets appended and unsent: above it DATA waits */
#define LIMIT_PUT_OFF        64u     /* requests not begun as nobody reads; then none is read */
#define LIMIT_KEPT           262144u /* octets of bodies behind closed windows; then none begins */
#define LIMIT_KEPT_EACH      32768u  /* what one body counts at most: few large ones are no abuse */
#define LIMIT_KEPT_CALL      2048u   /* what it counts beside its octets */
#define LIMIT_OUT_CONTROL    65536u  /* octets of answers to a peer that does not read; then over */

/* -- borrowed while a connection is busy -- */
#define LIMIT_TURNS_KEPT    4u /* slabs to read into, and more: readers that run at once, mostly */
#define LIMIT_CALLS_KEPT    256u /* records of calls, for the next ones: one connection's worth */
#define LIMIT_MESSAGES_KEPT 256u /* of 104 octets: a small message of a stream */
#define LIMIT_BUFFERS_KEPT  16u  /* of 4 KiB, to send from, while a batch is unsent */

/* -- secured connections -- */
#define LIMIT_SECURE_BATCH    65536u /* octets encrypted before they are sent: four whole records */
#define LIMIT_PIPE            65536u /* octets of a pipe in memory, each way: as a socket has */
#define LIMIT_PROXY_ANSWER    8192u  /* octets of the head of an answer to CONNECT */
#define LIMIT_HANDSHAKE_READ  16384u /* octets read or written at once during a handshake */
#define LIMIT_HANDSHAKES      4096u  /* of one server at a time; more wait in the backlog */
#define LIMIT_HANDSHAKE_STEPS 4      /* computed at once: what others wait for at most */
#define LIMIT_TLS_CONTROL     32u    /* key updates and tickets a peer may send for nothing */
#define LIMIT_TLS_REFILL      16384u /* octets of plain text that allow one more */
#define LIMIT_TLS_SESSIONS    64u    /* kept for resumption by a client's credentials */

/* -- messages -------------------------------------------------------------------------------- */
#define LIMIT_RECV_MESSAGE 4194304u  /* gRPC's default */
#define LIMIT_UNFINISHED   16777216u /* octets granted to unfinished unary messages, a connection */
#define LIMIT_PB_DEPTH     100u      /* protobuf's default recursion limit */
#define LIMIT_JSON_DEPTH   128u      /* open objects and arrays; a multiple of 64 */
#define LIMIT_PB_SIZE      2147483647u /* protobuf's limit on a message */

/* -- goroutines ------------------------------------------------------------------------------ */
#define LIMIT_SPARE_WORKERS    64   /* threads beside stuck workers; counts CPU hogs only */
#define LIMIT_BLOCKING_THREADS 64   /* of rt_blocking_call */
#define LIMIT_WORKERS          1024 /* all threads that run goroutines, blocked ones included */
#define LIMIT_DUMPED           4096 /* goroutines in one dump: it takes their square */
#define LIMIT_BLOCKS_KEPT      16777216u /* octets of free blocks: some messages both ways */
#define LIMIT_READ_TURN        65536u    /* octets one connection reads before others get a turn */
#define LIMIT_READ_SLAB        65536u    /* octets of one recv */
#define LIMIT_READ_CALLS       128u      /* calls that one turn of reading begins: they stay warm */
#define LIMIT_ERRORS_KEPT      64u       /* per goroutine or thread: law 1 */
#define LIMIT_ERROR_TEXT       4096u     /* octets of one error's message */
#define LIMIT_LOG_LINE         512u      /* octets of one line */
#define LIMIT_LOG_QUEUE        256u      /* lines that the program's logger is behind */
#define LIMIT_LOG_EVERY_NS     10000000000ll /* between lines that a peer can cause at will */
#define LIMIT_ARENA_CAP        (1ull << 30)  /* of a context: a runaway loop ends in an error */

/* -- RPC ------------------------------------------------------------------------------------- */
#define LIMIT_COMPRESSORS           16u /* registered in one program */
#define LIMIT_METADATA_VALUE        65536u
#define LIMIT_PAGE                  256u    /* octets kept of a web page in an answer's place */
#define LIMIT_TOKEN                 8192u   /* octets of a token file: half a header list */
#define LIMIT_RETRY_BUFFER          262144u /* octets kept of an unanswered stream: A6 */
#define LIMIT_LINGER_NS             1000000000ll    /* a closed connection, for the peer's end */
#define LIMIT_LINGER                1048576u        /* octets dropped then: a window's worth */
#define LIMIT_SLOW_NS               10000000000ll   /* a header block or frame, to its end */
#define LIMIT_HANDSHAKE_NS          10000000000ll   /* preface, SETTINGS, then the first HEADERS */
#define LIMIT_CONNECT_NS            20000000000ll   /* for one attempt: gRPC connection backoff */
#define LIMIT_KEEPALIVE_NS          7200000000000ll /* a server's, as grpc-go */
#define LIMIT_KEEPALIVE_TIMEOUT_NS  20000000000ll   /* for an answer, as grpc-go */
#define LIMIT_KEEPALIVE_MIN_TIME_NS 300000000000ll  /* between a client's pings, as grpc-go */
#define LIMIT_BACKOFF_FIRST_NS      1000000000ll
#define LIMIT_BACKOFF_MAX_NS        120000000000ll

#endif
