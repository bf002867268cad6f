/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * why.h: every reason for which the library makes an error or ends an RPC by itself: a number
 * that stays for ever (SENNIT-E101), the status that goes with it, and what to do about it.
 * doc/errors.md is the same table for readers, and test/house/check_errors_doc keeps the two one.
 *
 * A reason is one word: the status code in its low octet, its number above. So wherever a code is
 * taken inside of the library (sennit_errorf, stream_finish, transport_fail, ...) a WHY(X) may
 * stand; a bare code there is one that a peer or a user gave. Where the same reason has another
 * code, it is WHY_AS(WHY(X), SENNIT_Y). */
#ifndef SENNIT_RT_WHY_H
#define SENNIT_RT_WHY_H

#include "sennit.h"

/* X(number, NAME, CODE, hint). 1xx: use of the library; 2xx: connections; 3xx: calls; 4xx: what our
 * server answers. Numbers are never used again. */
#define WHY_TABLE(X)                                                                               \
    X(101, CREDS_MISSING, FAILED_PRECONDITION, "set .creds; for plain text to sennit_insecure()")  \
    X(102, TARGET, INVALID_ARGUMENT, "targets are host:port, dns:///host:port, unix:/path")        \
    X(103, UNSUPPORTED, UNIMPLEMENTED, "leave that option unset in this version")                  \
    X(104, CREDS_PLAIN, FAILED_PRECONDITION, "call credentials want TLS, or a local unix socket")  \
    X(105, CREDS_RELEASE, FAILED_PRECONDITION, "install the same version of both libraries")       \
    X(106, PROXY_NAMED, INVALID_ARGUMENT, "correct https_proxy, or set .no_proxy")                 \
    X(107, NO_CONTEXT, FAILED_PRECONDITION, "pass sennit_ctx_timeout(NULL, ...)")                  \
    X(108, COMPRESSOR, UNIMPLEMENTED, "register the compressor first; zstd is in sennit_zstd")     \
    X(109, COMPRESSOR_BAD, INVALID_ARGUMENT, "give it a name and both functions")                  \
    X(110, COMPRESSOR_TWICE, ALREADY_EXISTS, "register a compressor once")                         \
    X(111, METADATA, INVALID_ARGUMENT, "keys are 0-9 a-z _ - . and other octets go under x-bin")   \
    X(112, NOT_HANDLER, FAILED_PRECONDITION, "pass the ctx that your method was given")            \
    X(113, TOO_LATE, FAILED_PRECONDITION, "do it before the first message and the return")         \
    X(114, STREAM_SHARED, FAILED_PRECONDITION, "one goroutine sends and one receives: take turns") \
    X(115, SEND_CLOSED, FAILED_PRECONDITION, "send all before close_send")                         \
    X(116, RUNTIME, FAILED_PRECONDITION, "call sennit_runtime before all else")                    \
    X(117, FORKED, FAILED_PRECONDITION, "fork before first use, or exec in the child")             \
    X(118, SYSTEM, UNAVAILABLE, "the text is the system's")                                        \
    X(119, SERVER_LATE, FAILED_PRECONDITION, "register and listen before sennit_serve")            \
    X(120, SERVICE_TWICE, ALREADY_EXISTS, "register each service once")                            \
    X(121, SERVE_TWICE, FAILED_PRECONDITION, "a server serves once: make a new one")               \
    X(122, NO_LISTENER, FAILED_PRECONDITION, "call sennit_listen before sennit_serve")             \
    X(123, NOT_SERVING, FAILED_PRECONDITION, "call it while sennit_serve runs")                    \
    X(124, LISTEN, UNAVAILABLE, "who has that address? (ss -ltnp); port 0 takes a free one")       \
    X(125, LISTEN_ADDRESS, INVALID_ARGUMENT, "listen on host:port, [::]:port, unix:/path, fd:3")   \
    X(126, SYSTEMD, UNAVAILABLE, "look at the .socket unit and FileDescriptorName=")               \
    X(127, HEALTH, FAILED_PRECONDITION, "call sennit_health_register first")                       \
    X(128, TLS_FILES, FAILED_PRECONDITION, "look at paths, rights, PEM; do key and chain match?")  \
    X(129, TLS_NAME, FAILED_PRECONDITION, "set sennit_tls_options.server_name")                    \
    X(130, TOKEN, UNAUTHENTICATED, "is the token's file there and not empty?")                     \
    X(131, PARSE, INVALID_ARGUMENT, "the text says where the input went wrong")                    \
    X(132, CHANNEL_CLOSED, OUT_OF_RANGE, "no more comes: leave the loop")                          \
    X(133, LOG_LEVELS, INVALID_ARGUMENT, "levels are off error warn info debug; see SENNIT_LOG")   \
    X(134, SHADOW_STACKS, FAILED_PRECONDITION, "start it without: see GLIBC_TUNABLES")             \
    X(201, RESOLVE, UNAVAILABLE, "does the name resolve on this machine? (getent ahosts)")         \
    X(202, DIAL, UNAVAILABLE, "is the server up, at this address and port?")                       \
    X(203, PROXY, UNAVAILABLE, "look at https_proxy; no_proxy exempts hosts")                      \
    X(204, HANDSHAKE, UNAVAILABLE, "do CA, server name and dates of the certificates fit?")        \
    X(205, WANTS_TLS, UNAVAILABLE,                                                                 \
      "the other end speaks TLS and this one does not: make them alike")                           \
    X(206, WANTS_PLAIN, UNAVAILABLE, "the other end speaks plain text: no TLS credentials there")  \
    X(207, HTTP1, UNAVAILABLE, "HTTP/1.1 answers there: is it the port of the gRPC server?")       \
    X(208, NO_PREFACE, UNAVAILABLE, "does that port speak HTTP/2? does it want TLS?")              \
    X(209, LOST, UNAVAILABLE, "the connection broke: repeat what may be repeated")                 \
    X(210, PROTOCOL, UNAVAILABLE, "one end breaks HTTP/2: report it, with the text")               \
    X(211, KEEPALIVE, UNAVAILABLE, "the peer, or the network to it, is gone or stuck")             \
    X(212, PINGS, UNAVAILABLE, "ping less: keepalive_time there, or keepalive_min_time here")      \
    X(213, GOING_AWAY, UNAVAILABLE, "the server is leaving: repeat the call")                      \
    X(214, CLOSING, CANCELLED, "sennit_conn_free was called")                                      \
    X(215, STOPPED, UNAVAILABLE, "sennit_server_stop was called")                                  \
    X(216, NOT_READY, DEADLINE_EXCEEDED, "the text has the last connection error")                 \
    X(217, REFUSED, UNAVAILABLE, "the server is overloaded, or its stream limit is 0")             \
    X(218, NOT_LOCAL, UNAUTHENTICATED, "local credentials want a unix socket or loopback")         \
    X(219, RETIRED, UNAVAILABLE, "the server's max_connection_age or _idle: repeat the call")      \
    X(301, CANCELLED, CANCELLED, "the context was cancelled, or its parent")                       \
    X(302, DEADLINE, DEADLINE_EXCEEDED, "give the call more time, or find what is slow")           \
    X(303, NO_MEMORY, RESOURCE_EXHAUSTED, "raise the memory limit, or do less at once")            \
    X(304, CARDINALITY, INTERNAL, "do both ends use the same .proto?")                             \
    X(305, RECV_TOO_LARGE, RESOURCE_EXHAUSTED, "raise max_recv_msg_size, or send it in parts")     \
    X(306, SEND_TOO_LARGE, RESOURCE_EXHAUSTED, "raise max_send_msg_size, or send it in parts")     \
    X(307, HEADERS_TOO_LARGE, RESOURCE_EXHAUSTED, "send less metadata; max_header_list_size")      \
    X(308, ENCODE, INTERNAL, "look at required fields, UTF-8 and depth of the message")            \
    X(309, DECODE, INTERNAL, "do both ends use the same .proto?")                                  \
    X(310, COMPRESS, INTERNAL, "the compressor failed; its own words follow")                      \
    X(311, DECOMPRESS, INTERNAL, "the peer's compressed data is damaged")                          \
    X(312, ENCODING, INTERNAL, "the peer used a compressor that is not registered here")           \
    X(313, FRAMING, INTERNAL, "the peer breaks gRPC's framing: report it, with the text")          \
    X(314, NO_STATUS, UNKNOWN, "does a proxy between drop HTTP/2 trailers?")                       \
    X(315, NOT_GRPC, UNKNOWN, "an HTTP server or proxy answered in the gRPC server's place")       \
    X(316, RESET, INTERNAL, "the peer, or a proxy between, reset the stream")                      \
    X(317, MALFORMED, INTERNAL, "the peer's frames break HTTP/2: report it, with the text")        \
    X(318, BAD_METADATA, INTERNAL, "values of -bin keys are base64 on the wire")                   \
    X(319, CALL_CREDS, INTERNAL, "call credentials may not give that code (gRFC A54)")             \
    X(320, INSECURE, UNAUTHENTICATED, "call credentials are never sent in plain text: use TLS")    \
    X(321, STREAM_OVER, UNAVAILABLE, "finish, or the next receive, says why")                      \
    X(322, NO_STREAM, INTERNAL, "an interceptor must call next, or return an error")               \
    X(323, ABANDONED, CANCELLED, "end a stream with finish")                                       \
    X(401, NO_METHOD, UNIMPLEMENTED, "is the service registered there, and spelt so?")             \
    X(402, NOT_WRITTEN, UNIMPLEMENTED, "set the method in the service's table")                    \
    X(403, BAD_REQUEST, INTERNAL, "the client's header is malformed; the text says which")         \
    X(404, NO_SERVICE, NOT_FOUND, "set its health with sennit_health_set")                         \
    X(405, REFLECTION, INVALID_ARGUMENT, "the client asks in a newer protocol")                    \
    X(406, RETURNED, CANCELLED, "use the stream only until the handler returns")

#define WHY_ENUM(number, name, code, hint) WHY_##name = (number) << 8 | SENNIT_##code,
enum { WHY_TABLE(WHY_ENUM) };
#undef WHY_ENUM
#define WHY_FIRST         101u
#define WHY_LAST          499u
#define WHY(name)         ((sennit_code)WHY_##name)
#define WHY_AS(why, code) ((sennit_code)(((unsigned)(why) & ~255u) | (unsigned)(code)))
#define WHY_CODE(why)     ((sennit_code)((unsigned)(why)&255u))
#define WHY_NUMBER(why)   ((uint32_t)(why) >> 8)
#define WHY_OF(error)     WHY_AS((error)->reason << 8, (error)->code) /* of a made one */

/* An error that lives for ever. */
#define ERR_FIXED(why, text)                                                                       \
    {                                                                                              \
        .code = WHY_CODE(why), .reason = WHY_NUMBER(why), .message = (text)                        \
    }

#endif
