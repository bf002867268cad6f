/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * log.h: what the library says beside its statuses. A line that is off costs one relaxed load of an
 * octet and a branch. Lines may be written from goroutines, threads and tasks, but not under a lock
 * of a higher rank than LOCK_PRIM: the line is made first and the locks are dropped before. */
#ifndef SENNIT_RT_LOG_H
#define SENNIT_RT_LOG_H

#include "rt/why.h"
#include <stdatomic.h>

enum log_part { LOG_RT, LOG_H2, LOG_CLIENT, LOG_SERVER, LOG_PARTS };
extern _Atomic uint8_t log_levels[LOG_PARTS]; /* enum sennit_log_level */

#define log_on(part, level)                                                                        \
    unlikely(atomic_load_explicit(&log_levels[part], memory_order_relaxed) >= (level))
/* why: a WHY(), or a bare code. */
#define log_line(part, level, why, ...)                                                            \
    do {                                                                                           \
        if (log_on(part, level))                                                                   \
            log_write(part, level, why, __VA_ARGS__);                                              \
    } while (0)
void log_write(enum log_part part, sennit_log_level level, sennit_code why, const char *fmt, ...)
    SENNIT_PRINTF(4, 5) __attribute__((cold));

/* For what peers can bring about as often as they like: true at most once in LIMIT_LOG_EVERY_NS for
 * each `last`, a static of the place. */
bool log_seldom(_Atomic int64_t *last);

#endif
