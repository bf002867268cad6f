/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * sennit_observe.h: what the library tells of itself: events of RPCs and connections, and its log.
 * Part of sennit.h, which includes it in its place: include that. */
#ifndef SENNIT_OBSERVE_H
#define SENNIT_OBSERVE_H

/* What happens to an RPC, for metrics and traces. Called in the goroutine that does it, so it may
 * block, but the RPC waits meanwhile; e and what it points to live for the call alone. A stream's
 * two halves may call at once. New kinds may come: ignore those you do not know. Requests that no
 * method was found for, or that are malformed, are in the log alone. */
typedef enum sennit_event_kind {
    SENNIT_EVENT_BEGIN = 1,   /* client: before anything is sent; server: before the handler */
    SENNIT_EVENT_OUT_MESSAGE, /* handed to the connection */
    SENNIT_EVENT_IN_MESSAGE,  /* whole and opened; not yet decoded */
    SENNIT_EVENT_END,         /* status: NULL for OK. Last, and once */
    SENNIT_EVENT_OUT_HEADER,  /* metadata, peer; a client: for each attempt, the call's own */
    SENNIT_EVENT_IN_HEADER,   /* metadata, peer; a client: when its goroutine comes to it */
    SENNIT_EVENT_OUT_TRAILER, /* metadata */
    SENNIT_EVENT_IN_TRAILER,  /* metadata */
    SENNIT_EVENT_CONN_BEGIN,  /* peer; method is NULL, and so is ctx */
    SENNIT_EVENT_CONN_END     /* peer, status: why. In a goroutine of its own */
} sennit_event_kind;
typedef struct sennit_event {
    sennit_event_kind kind;
    bool client, compressed;      /* compressed: of a message */
    const sennit_method *method;
    size_t size, wire_size;       /* of a message, in octets: itself, and compressed and framed */
    int64_t begin;                /* when the RPC began, by sennit_now */
    sennit_err status;
    const sennit_md *metadata; /* NULL: none */
    const sennit_peer *peer;
    void **tag; /* of an RPC: a word of yours, which its further events have; set it at BEGIN */
} sennit_event;
typedef struct sennit_stats_hook { /* two fields for ever */
    void *self;
    void (*event)(void *self, sennit_ctx *ctx, const sennit_event *e); /* ctx: of the RPC */
} sennit_stats_hook;

/* What the library says beside its statuses: to stderr, from "warn" on, or as the environment's
 * SENNIT_LOG has it: a level for all (off, error, warn, info, debug) and for single parts (rt, h2,
 * client, server), as in "warn,h2=debug". What is off costs next to nothing. A regular end of a
 * connection is told at debug alone. */
typedef enum sennit_log_level {
    SENNIT_LOG_OFF, SENNIT_LOG_ERROR, SENNIT_LOG_WARN, SENNIT_LOG_INFO, SENNIT_LOG_DEBUG
} sennit_log_level;
typedef struct sennit_log_line {
    sennit_log_level level;
    const char *part, *text;
    const char *reason; /* as sennit_err_reason, or "" */
    int64_t at;         /* by sennit_now */
    uint64_t lost;      /* lines before this one that there was no room for */
} sennit_log_line;
typedef struct sennit_logger { /* two fields for ever */
    void *self;
    void (*line)(void *self, const sennit_log_line *l);
} sennit_logger;
/* Lines go to l from now on (copied; self must live for ever), one after the other, in a goroutine
 * of the library, which may block. NULL: to stderr again. */
SENNIT_API void sennit_log_to(const sennit_logger *l);
/* As SENNIT_LOG. INVALID_ARGUMENT: it is not understood, and nothing changes. */
SENNIT_API sennit_err sennit_log_levels(const char *levels);

#endif
