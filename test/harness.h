/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * harness.h: each TEST runs in a forked process with a time limit; a failed check prints and ends
 * that process at once (no longjmp, so it may stand on any goroutine's stack). When the function
 * returns, the harness calls the leak check: no goroutine, fd, timer or octet left.
 *
 *     TEST(window_update_on_closed_stream_is_ignored) { check(x == 3); check_str(a, "b"); }
 *
 * Program arguments: names (substrings) select tests; -l lists; --faults runs each selected test
 * again with the 1st, 2nd, 3rd... system call or allocation failing until none fires (TEST_FAULTS
 * marks those that take part, and must then end in success or a clean error); --faults=N begins
 * with the Nth, and SENNIT_FAULT_TRACE=1 tells where it struck.
 * SENNIT_SHORT_IO=1 makes reads and writes short. The last line is "N passed, N failed". */
#ifndef SENNIT_TEST_HARNESS_H
#define SENNIT_TEST_HARNESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

struct test_case {
    const char *name, *file;
    void (*fn)(void);
    int seconds;
    bool faults;
    struct test_case *next;
};
void test_register(struct test_case *t);
void test_failed(const char *file, int line, const char *fmt, ...)
    __attribute__((noreturn, format(printf, 3, 4)));
bool test_under_fault(void); /* running with an injected fault: errors are allowed */
bool test_short_io(void);    /* reads and writes are short: large messages take long */
uint64_t test_seed(void);    /* printed on failure; SENNIT_SEED sets it */
uint32_t test_random(void);  /* from the seed */
/* Runs at the end of each test in the child: layers above base register rt_shutdown here. */
extern bool (*test_at_end)(void);

/* ThreadSanitizer has a thread of its own. */
static inline bool test_thread_sanitized(void)
{
#if defined(__SANITIZE_THREAD__)
    return true;
#elif defined(__has_feature)
    return __has_feature(thread_sanitizer);
#else
    return false;
#endif
}

/* Built with a sanitizer: fewer rounds then. */
static inline bool test_sanitized(void)
{
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    return true;
#elif defined(__has_feature)
    return __has_feature(address_sanitizer) || __has_feature(thread_sanitizer);
#else
    return false;
#endif
}

#define TEST_WITH(name, secs, flt)                                                                 \
    static void test_##name(void);                                                                 \
    __attribute__((constructor)) static void register_##name(void)                                 \
    {                                                                                              \
        static struct test_case t = { #name, __FILE__, test_##name, secs, flt, NULL };             \
        test_register(&t);                                                                         \
    }                                                                                              \
    static void test_##name(void)
#define TEST(name)        TEST_WITH(name, 20, false)
#define TEST_FAULTS(name) TEST_WITH(name, 20, true)
#define check(e)          ((e) ? (void)0 : test_failed(__FILE__, __LINE__, "%s", #e))
#define check_int(a, b)                                                                            \
    do {                                                                                           \
        long long va_ = (long long)(a), vb_ = (long long)(b);                                      \
        if (va_ != vb_)                                                                            \
            test_failed(__FILE__, __LINE__, "%s is %lld, not %lld", #a, va_, vb_);                 \
    } while (0)
#define check_str(a, b)                                                                            \
    do {                                                                                           \
        const char *va_ = (a), *vb_ = (b);                                                         \
        if (!va_ || strcmp(va_, vb_) != 0)                                                         \
            test_failed(__FILE__, __LINE__, "%s is \"%s\", not \"%s\"", #a, va_ ? va_ : "(null)",  \
                        vb_);                                                                      \
    } while (0)

#endif
