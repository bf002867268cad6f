/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * test_log.c: levels, and where lines go. */
#include "base/limits.h"
#include "base/sys.h"
#include "harness.h"
#include "rt/ctx.h"
#include "rt/log.h"
#include "rt/rt.h"
#include <unistd.h>

static int evaluated;
static int count(void) { return ++evaluated; }

TEST(levels_are_set_for_all_parts_and_for_one)
{
    static const struct {
        const char *spec;
        bool good;
        uint8_t levels[LOG_PARTS]; /* rt, h2, client, server */
    } rows[] = {
        { "off", true, { 0, 0, 0, 0 } },
        { "debug", true, { 4, 4, 4, 4 } },
        { "h2=error", true, { 4, 1, 4, 4 } },
        { "warn,h2=debug", true, { 2, 4, 2, 2 } },
        { "h2=debug,info", true, { 3, 3, 3, 3 } },
        { "rt=off,client=info,server=error", true, { 0, 3, 3, 1 } },
        { "", false, { 0, 3, 3, 1 } },
        { "loud", false, { 0, 3, 3, 1 } },
        { "debug,", false, { 0, 3, 3, 1 } },
        { "debug,http=debug", false, { 0, 3, 3, 1 } },
        { "h2=", false, { 0, 3, 3, 1 } },
        { "=debug", false, { 0, 3, 3, 1 } },
        { "h2=debug=debug", false, { 0, 3, 3, 1 } },
    };
    for (int i = 0; i < LOG_PARTS; i++)
        check_int(log_levels[i], SENNIT_LOG_WARN);
    for (size_t i = 0; i < countof(rows); i++) {
        sennit_err err = sennit_log_levels(rows[i].spec);
        check(!err == rows[i].good);
        check(!err || err->code == SENNIT_INVALID_ARGUMENT);
        for (int k = 0; k < LOG_PARTS; k++)
            check_int(log_levels[k], rows[i].levels[k]);
    }
    check(sennit_log_levels(NULL));
}

TEST(a_line_that_is_off_is_not_made)
{
    check(!sennit_log_levels("warn"));
    log_line(LOG_RT, SENNIT_LOG_INFO, SENNIT_OK, "%d", count());
    check_int(evaluated, 0);
}

TEST(lines_go_to_stderr_with_level_part_and_reason)
{
    int ends[2], kept = dup(2);
    char got[256];
    check(pipe(ends) == 0 && dup2(ends[1], 2) == 2);
    log_line(LOG_CLIENT, SENNIT_LOG_WARN, WHY(DIAL), "no %s", "luck");
    dup2(kept, 2);
    ssize_t n = read(ends[0], got, sizeof got - 1);
    check(n > 0);
    got[n] = 0;
    check_int(strcspn(got, "T"), 10); /* 2026-11-24T12:00:00.123Z */
    check_str(strchr(got, ' '), " sennit warn client: no luck [SENNIT-E202]\n");
    close(ends[0]), close(ends[1]), close(kept);
}

struct heard {
    struct rt_note go_on, done;
    _Atomic uint64_t n, lost;
    char first[32], last[32];
    bool slow, in_goroutine;
};

static void hear(void *self, const sennit_log_line *l)
{
    struct heard *h = self;
    if (h->slow && h->n == 0)
        rt_note_wait(&h->go_on, "holding the log up");
    snprintf(h->n++ ? h->last : h->first, sizeof h->last, "%s", l->text);
    h->lost += l->lost;
    h->in_goroutine = sennit_goroutine_name()[0] != 0;
    if (strcmp(l->text, "the end") == 0)
        rt_note_set(&h->done);
}

TEST(a_logger_gets_lines_in_order_in_a_goroutine)
{
    struct heard h = { .n = 0 };
    sennit_log_to(&(sennit_logger){ &h, hear });
    for (int i = 0; i < 100; i++)
        log_line(LOG_RT, SENNIT_LOG_ERROR, SENNIT_OK, "line %d", i);
    log_line(LOG_RT, SENNIT_LOG_ERROR, SENNIT_OK, "the end");
    rt_note_wait(&h.done, "waiting for the lines");
    check_int(h.n, 101);
    check_str(h.first, "line 0");
    check_str(h.last, "the end");
    check(h.in_goroutine);
    check_int(h.lost, 0);
}

TEST(what_a_slow_logger_has_no_room_for_is_counted)
{
    static struct heard h = { .slow = true }; /* lines may come when the test is over */
    sennit_log_to(&(sennit_logger){ &h, hear });
    for (int i = 0; i < (int)LIMIT_LOG_QUEUE + 10; i++)
        log_line(LOG_RT, SENNIT_LOG_ERROR, SENNIT_OK, "line %d", i);
    rt_note_set(&h.go_on);
    while (h.done.state == 0) { /* the queue has room again at some time */
        log_line(LOG_RT, SENNIT_LOG_ERROR, SENNIT_OK, "the end");
        sennit_sleep(NULL, SENNIT_MILLISECOND);
    }
    rt_note_wait(&h.done, "waiting for the lines");
    check_str(h.first, "line 0");
    check(h.lost >= 9);
    sennit_log_to(NULL);
    check(!sennit_log_levels("off"));
}

static void *(*real_malloc)(size_t size);
static pthread_t starved; /* whose next allocation fails, once */
static bool starve;

static void *starved_malloc(size_t size)
{
    if (starve && pthread_equal(pthread_self(), starved)) {
        starve = false;
        return NULL;
    }
    return real_malloc(size);
}

TEST(without_memory_a_line_is_lost_and_counted)
{
    static struct heard h; /* likewise */
    real_malloc = sys.malloc;
    sys.malloc = starved_malloc;
    starved = pthread_self();
    sennit_log_to(&(sennit_logger){ &h, hear });
    log_line(LOG_RT, SENNIT_LOG_ERROR, SENNIT_OK, "first");
    while (h.n == 0)
        sennit_sleep(NULL, SENNIT_MILLISECOND);
    starve = true;
    log_line(LOG_RT, SENNIT_LOG_ERROR, SENNIT_OK, "lost");
    check(!starve);
    log_line(LOG_RT, SENNIT_LOG_ERROR, SENNIT_OK, "the end");
    rt_note_wait(&h.done, "waiting for a line");
    check_int(h.n, 2);
    check_int(h.lost, 1);
}

TEST_FAULTS(of_three_lines_one_gets_through_when_anything_fails)
{
    static struct heard h; /* likewise */
    sennit_log_to(&(sennit_logger){ &h, hear });
    for (int i = 0; i < 3; i++)
        log_line(LOG_RT, SENNIT_LOG_ERROR, SENNIT_OK, "the end");
    rt_note_wait(&h.done, "waiting for a line");
    check(h.n >= 1);
}

TEST(what_peers_can_cause_is_told_now_and_then)
{
    _Atomic int64_t last = 0;
    check(log_seldom(&last));
    check(!log_seldom(&last) && !log_seldom(&last));
    last -= LIMIT_LOG_EVERY_NS;
    check(log_seldom(&last));
    check(!log_seldom(&last));
}

__attribute__((constructor)) static void at_end(void) { test_at_end = rt_shutdown; }
