/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * log.c: lines go to stderr at once, in one write, or to the program's logger. That one is user
 * code, which runs in goroutines only, while lines come from everywhere (the reader of a connection
 * is a task that must not wait): so they are queued, and a goroutine that lives while there are any
 * hands them over, in order. What does not fit in the queue is counted and told. */
#include "rt/log.h"
#include "base/limits.h"
#include "base/list.h"
#include "base/lock.h"
#include "base/sys.h"
#include "rt/err.h"
#include "rt/rt.h"
#include <stdio.h>
#include <stdlib.h>

static const char *const log_names[LOG_PARTS] = { "rt", "h2", "client", "server" };
static const char *const log_level_names[] = { "off", "error", "warn", "info", "debug" };
_Atomic uint8_t log_levels[LOG_PARTS] = { SENNIT_LOG_WARN, SENNIT_LOG_WARN, SENNIT_LOG_WARN,
                                          SENNIT_LOG_WARN };

struct log_entry {
    struct list node;
    sennit_log_line line;
    char text[];
};

static struct {
    struct lock lock; /* LOCK_PRIM; guards all */
    sennit_logger logger;
    struct list queue; /* next NULL: never used */
    uint32_t n;
    uint64_t lost;
    bool draining;
} log_state;

/* -- levels ---------------------------------------------------------------------------------- */

static int log_find(const char *const *names, size_t n, const char *s, size_t len)
{
    for (size_t i = 0; i < n; i++) {
        if (strlen(names[i]) == len && memcmp(names[i], s, len) == 0)
            return (int)i;
    }
    return -1;
}

/* One of "warn" and "h2=debug"; only looks when set is false. */
static bool log_apply(const char *s, size_t len, bool set)
{
    const char *equals = memchr(s, '=', len);
    size_t name = equals ? (size_t)(equals - s) + 1 : 0;
    int level = log_find(log_level_names, countof(log_level_names), s + name, len - name);
    int part = equals ? log_find(log_names, LOG_PARTS, s, name - 1) : 0;
    if (level < 0 || part < 0)
        return false;
    for (int i = 0; i < LOG_PARTS && set; i++) {
        if (!equals || i == part)
            atomic_store_explicit(&log_levels[i], (uint8_t)level, memory_order_relaxed);
    }
    return true;
}

static bool log_apply_all(const char *levels, bool set)
{
    for (const char *s = levels; s; s = strchr(s, ',') ? strchr(s, ',') + 1 : NULL) {
        if (!log_apply(s, strcspn(s, ","), set))
            return false;
    }
    return true;
}

sennit_err sennit_log_levels(const char *levels)
{
    if (!levels || !log_apply_all(levels, false))
        return sennit_errorf(WHY(LOG_LEVELS), "log levels \"%s\": want warn,h2=debug",
                             levels ? levels : "");
    log_apply_all(levels, true);
    return NULL;
}

/* Before main, so that no line asks the environment. */
__attribute__((constructor)) static void log_read_environment(void)
{
    const char *levels = getenv("SENNIT_LOG");
    if (!levels || !levels[0])
        return;
    if (log_apply_all(levels, false))
        log_apply_all(levels, true);
    else
        fprintf(stderr, "sennit: SENNIT_LOG=%s is not understood: want warn,h2=debug\n", levels);
}

bool log_seldom(_Atomic int64_t *last)
{
    int64_t now = sennit_now(), seen = atomic_load_explicit(last, memory_order_relaxed);
    return (!seen || now - seen >= LIMIT_LOG_EVERY_NS) &&
           atomic_compare_exchange_strong(last, &seen, now);
}

/* -- to stderr ------------------------------------------------------------------------------- */

static void log_to_stderr(const sennit_log_line *l)
{
    char out[LIMIT_LOG_LINE + 128], when[32] = "";
    struct timespec ts = { 0, 0 };
    struct tm tm;
    sys.clock_gettime(CLOCK_REALTIME, &ts);
    if (gmtime_r(&ts.tv_sec, &tm))
        strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%S", &tm);
    int n = snprintf(out, sizeof out, "%s.%03dZ sennit %s %s: %s%s%s%s\n", when,
                     (int)(ts.tv_nsec / 1000000), log_level_names[l->level], l->part, l->text,
                     l->reason[0] ? " [" : "", l->reason, l->reason[0] ? "]" : "");
    ssize_t put = sys.write(2, out, min_size((size_t)n, sizeof out - 1));
    (void)put; /* there is nobody to tell */
}

/* -- to the program's logger ----------------------------------------------------------------- */

static struct log_entry *log_pop(sennit_logger *to)
{
    struct log_entry *e = NULL;
    lock_take(&log_state.lock, LOCK_PRIM);
    *to = log_state.logger;
    if (!list_empty(&log_state.queue)) {
        e = container_of(list_pop_front(&log_state.queue), struct log_entry, node);
        log_state.n--;
        e->line.lost = log_state.lost;
        log_state.lost = 0;
    } else {
        log_state.draining = false;
    }
    lock_drop(&log_state.lock, LOCK_PRIM);
    return e;
}

static void log_drain(void *unused)
{
    sennit_logger to;
    struct log_entry *e;
    (void)unused;
    while ((e = log_pop(&to))) {
        if (to.line)
            to.line(to.self, &e->line);
        else
            log_to_stderr(&e->line);
        sys.free(e);
    }
}

static void log_queue(const sennit_log_line *l)
{
    size_t len = strlen(l->text) + 1;
    struct log_entry *e = sys.malloc(sizeof *e + len);
    if (e) {
        memcpy(e->text, l->text, len);
        e->line = *l;
        e->line.text = e->text;
    }
    lock_take(&log_state.lock, LOCK_PRIM);
    bool full = !e || log_state.n >= LIMIT_LOG_QUEUE, start = !full && !log_state.draining;
    if (full) {
        log_state.lost++;
    } else {
        list_push_back(&log_state.queue, &e->node);
        log_state.n++;
        log_state.draining = true;
    }
    lock_drop(&log_state.lock, LOCK_PRIM);
    if (full)
        sys.free(e);
    if (start && rt_go(log_drain, NULL, "sennit logger", RT_GO_SYSTEM)) {
        lock_take(&log_state.lock, LOCK_PRIM);
        log_state.draining = false; /* the next line tries again */
        lock_drop(&log_state.lock, LOCK_PRIM);
    }
}

void sennit_log_to(const sennit_logger *logger)
{
    lock_take(&log_state.lock, LOCK_PRIM);
    if (!log_state.queue.next)
        list_init(&log_state.queue);
    log_state.logger = logger ? *logger : (sennit_logger){ NULL, NULL };
    lock_drop(&log_state.lock, LOCK_PRIM);
}

void log_write(enum log_part part, sennit_log_level level, sennit_code why, const char *fmt, ...)
{
    char text[LIMIT_LOG_LINE];
    struct sennit_error e = ERR_FIXED(why, text);
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    sennit_log_line line = { .level = level,
                             .part = log_names[part],
                             .text = text,
                             .reason = sennit_err_reason(&e),
                             .at = sennit_now() };
    lock_take(&log_state.lock, LOCK_PRIM);
    bool queued = log_state.logger.line || log_state.n;
    lock_drop(&log_state.lock, LOCK_PRIM);
    if (queued)
        log_queue(&line);
    else
        log_to_stderr(&line);
}
