/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * overflow.c: says which goroutine ran off its stack. A handler for SIGSEGV and SIGBUS, installed
 * only where SIG_DFL stood, on a signal stack of each worker; whether it was an overflow is told
 * by the fault's address, for kinds of guards differ in si_code. It always ends in the default
 * action, so exit status and core dump are as without it. */
#include "rt/rt_private.h"
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

enum { OVERFLOW_STACK = 65536 };
static const int overflow_signals[] = { SIGSEGV, SIGBUS };
static bool overflow_installed[countof(overflow_signals)];

static size_t overflow_text(char *buf, size_t at, size_t cap, const char *text)
{
    while (*text && at < cap)
        buf[at++] = *text++;
    return at;
}

static size_t overflow_number(char *buf, size_t at, size_t cap, uint64_t v)
{
    char digits[24];
    int n = 0;
    do
        digits[n++] = (char)('0' + v % 10);
    while (v /= 10);
    while (n && at < cap)
        buf[at++] = digits[--n];
    return at;
}

void rt_overflow_report(const struct rt_g *g)
{
    char buf[512];
    size_t cap = sizeof buf, n = overflow_text(buf, 0, cap, "sennit: stack overflow in goroutine ");
    n = overflow_number(buf, n, cap, g->id);
    if (*rt_name(g)) {
        n = overflow_text(buf, n, cap, " (");
        n = overflow_text(buf, n, cap - 200, rt_name(g));
        n = overflow_text(buf, n, cap, ")");
    }
    n = overflow_text(buf, n, cap, ": all ");
    n = overflow_number(buf, n, cap, g->stack->size / 1024);
    n = overflow_text(buf, n, cap,
                      " KiB are used. Deep recursion or large local arrays? sennit_blocking runs a "
                      "function on a thread's stack.\n");
    ssize_t rc = sys.write(STDERR_FILENO, buf, n);
    (void)rc;
}

static void overflow_handler(int signo, siginfo_t *info, void *context)
{
    (void)context;
    struct rt_worker *w = rt_worker();
    const struct rt_g *g = w ? w->cur : NULL;
    if (g && g->stack && info->si_code > 0 && rt_stack_is_guard(g->stack, info->si_addr))
        rt_overflow_report(g);
    struct sigaction dfl = { .sa_handler = SIG_DFL };
    sigaction(signo, &dfl, NULL);
    if (info->si_code <= 0)
        raise(signo); /* sent by somebody: would not come again by itself */
}

void rt_overflow_install(void)
{
    for (size_t i = 0; i < countof(overflow_signals); i++) {
        struct sigaction old,
            own = { .sa_sigaction = overflow_handler, .sa_flags = SA_SIGINFO | SA_ONSTACK };
        sigemptyset(&own.sa_mask);
        overflow_installed[i] = sigaction(overflow_signals[i], NULL, &old) == 0 &&
                                old.sa_handler == SIG_DFL && !(old.sa_flags & SA_SIGINFO) &&
                                sigaction(overflow_signals[i], &own, NULL) == 0;
    }
}

void rt_overflow_remove(void)
{
    struct sigaction old, dfl = { .sa_handler = SIG_DFL };
    for (size_t i = 0; i < countof(overflow_signals); i++)
        if (overflow_installed[i] && sigaction(overflow_signals[i], NULL, &old) == 0 &&
            (old.sa_flags & SA_SIGINFO) && old.sa_sigaction == overflow_handler)
            sigaction(overflow_signals[i], &dfl, NULL);
}

static size_t overflow_stack_size(void)
{
    long least = sysconf(_SC_SIGSTKSZ); /* grows with the processor's registers */
    return least > OVERFLOW_STACK ? (size_t)least : OVERFLOW_STACK;
}

/* A sanitizer's own signal stack is left in place. */
void rt_overflow_thread(struct rt_worker *w)
{
    stack_t old, own = { .ss_size = overflow_stack_size() };
    if (sigaltstack(NULL, &old) != 0 || !(old.ss_flags & SS_DISABLE))
        return;
    own.ss_sp = sys.mmap(own.ss_size, PROT_READ | PROT_WRITE, MAP_STACK);
    if (own.ss_sp && sigaltstack(&own, NULL) == 0)
        w->altstack = own.ss_sp;
    else if (own.ss_sp)
        sys.munmap(own.ss_sp, own.ss_size);
}

void rt_overflow_thread_end(struct rt_worker *w)
{
    stack_t off = { .ss_flags = SS_DISABLE };
    if (!w->altstack)
        return;
    sigaltstack(&off, NULL);
    sys.munmap(w->altstack, overflow_stack_size());
    w->altstack = NULL;
}
