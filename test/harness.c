/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * harness.c: runs each test in a child process, judges it from the parent. See harness.h.
 * The parent is single-threaded and never starts the runtime, so forking is safe. A test that hangs
 * is ended by its own parent's SIGKILL after its limit. */
#include "harness.h"
#include "base/sys.h"
#include "fault.h"
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define FAULTS_MOST 100000 /* rounds of one test; more means that it does not end */
enum { EXIT_FAILED = 1, EXIT_NO_FAULT_FIRED = 77 };

bool (*test_at_end)(void);
static struct test_case *test_first, **test_last = &test_first;
static uint64_t test_seed_value, test_state;
static bool test_fault_mode;

void test_register(struct test_case *t)
{
    *test_last = t;
    test_last = &t->next;
}

void test_failed(const char *file, int line, const char *fmt, ...)
{
    va_list ap;
    char text[1000];
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    fprintf(stderr, "%s:%d: %s\n", file, line, text);
    fflush(NULL);
    _exit(EXIT_FAILED);
}

bool test_under_fault(void) { return test_fault_mode; }
bool test_short_io(void) { return getenv("SENNIT_SHORT_IO") != NULL; }
uint64_t test_seed(void) { return test_seed_value; }

uint32_t test_random(void)
{
    test_state += UINT64_C(0x9e3779b97f4a7c15);
    uint64_t z = test_state;
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return (uint32_t)(z >> 32);
}

/* In the child: runs fn, then looks for what it left behind. */
static void test_child(const struct test_case *t, long fault)
{
    test_state = test_seed_value;
    if (test_short_io())
        fault_short_io();
    struct sys_counts before = sys_counts();
    if (fault)
        fault_arm(fault);
    t->fn();
    fault_disarm();
    if (test_at_end && !test_at_end())
        test_failed(t->file, 0, "%s left goroutines behind", t->name);
    struct sys_counts after = sys_counts();
    if (after.allocations != before.allocations)
        test_failed(t->file, 0, "%s left %lld allocations behind", t->name,
                    (long long)(after.allocations - before.allocations));
    if (after.fds != before.fds)
        test_failed(t->file, 0, "%s left %lld descriptors behind", t->name,
                    (long long)(after.fds - before.fds));
    fflush(NULL);
    /* exit, not _exit: leak checkers of the sanitizers run there. */
    exit(fault && !fault_fired() ? EXIT_NO_FAULT_FIRED : 0);
}

/* Waits for the child; -1: it had to be killed. */
static int test_wait(pid_t child, int seconds)
{
    int status = 0;
    for (long ms = 0;; ms++) {
        pid_t got = waitpid(child, &status, WNOHANG);
        if (got == child)
            return status;
        if (ms > seconds * 1000L) {
            kill(child, SIGKILL);
            waitpid(child, &status, 0);
            return -1;
        }
        nanosleep(&(struct timespec){ 0, ms < 20 ? 200000 : 1000000 }, NULL);
    }
}

/* 0 passed, 1 failed, 2 passed without that a fault fired. */
static int test_run_once(const struct test_case *t, long fault)
{
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        test_fault_mode = fault != 0;
        test_child(t, fault);
    }
    const char *slow = getenv("SENNIT_TEST_SLOW"); /* a factor, for sanitizers and emulators */
    int status =
        child < 0 ? -1 : test_wait(child, t->seconds * (slow ? (int)strtol(slow, NULL, 10) : 1));
    if (status >= 0 && WIFEXITED(status) && WEXITSTATUS(status) == EXIT_NO_FAULT_FIRED)
        return 2;
    if (status >= 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return 0;
    fprintf(stderr, "FAILED %s", t->name);
    if (fault)
        fprintf(stderr, " with fault %ld", fault);
    if (status < 0)
        fprintf(stderr, ": still running after its %d s", t->seconds);
    else if (WIFSIGNALED(status))
        fprintf(stderr, ": ended by signal %d", WTERMSIG(status));
    fprintf(stderr, " (SENNIT_SEED=%llu)\n", (unsigned long long)test_seed_value);
    return 1;
}

static bool test_run_faults(const struct test_case *t, long first)
{
    for (long n = first; n < FAULTS_MOST; n++) {
        int result = test_run_once(t, n);
        if (result == 2) {
            printf("  %s: %ld faults\n", t->name, n - 1);
            return true;
        }
        if (result == 1)
            return false;
    }
    fprintf(stderr, "FAILED %s: faults still fire after %d rounds\n", t->name, FAULTS_MOST);
    return false;
}

static bool test_selected(const struct test_case *t, int argc, char **argv)
{
    bool any = false;
    for (int i = 1; i < argc; i++) {
        if (argv[i][0] == '-')
            continue;
        any = true;
        if (strstr(t->name, argv[i]))
            return true;
    }
    return !any;
}

int main(int argc, char **argv)
{
    int passed = 0, failed = 0;
    bool list = false;
    long faults = 0; /* the first one; 0: none */
    const char *seed = getenv("SENNIT_SEED");
    test_seed_value = seed ? strtoull(seed, NULL, 10) : (uint64_t)time(NULL);
    setvbuf(stdout, NULL, _IOLBF, 0);
    for (int i = 1; i < argc; i++) {
        list |= strcmp(argv[i], "-l") == 0;
        if (strncmp(argv[i], "--faults", 8) == 0)
            faults = argv[i][8] == '=' ? strtol(argv[i] + 9, NULL, 10) : 1;
    }
    for (struct test_case *t = test_first; t; t = t->next) {
        if (!test_selected(t, argc, argv) || (faults && !t->faults))
            continue;
        if (list) {
            puts(t->name);
            continue;
        }
        bool fine = faults ? test_run_faults(t, faults) : test_run_once(t, 0) == 0;
        fine ? passed++ : failed++;
    }
    if (!list)
        printf("%d passed, %d failed\n", passed, failed);
    return failed ? 1 : 0;
}
