/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * Stacks: guards of each kind, what an overflow is answered with, pages that are given back while a
 * goroutine waits, and how deep some C libraries go. */
#include "crew.h"
#include "death.h"
#include "rt/rt_private.h"
#include "sennit.h"
#include <netdb.h>
#include <regex.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

__attribute__((constructor)) static void stack_setup(void) { test_at_end = rt_shutdown; }

struct gate {
    struct rt_note open;
    _Atomic int *inside, *left;
};
static void gate_work(void *arg)
{
    struct gate *g = arg;
    atomic_fetch_add(g->inside, 1);
    rt_note_wait(&g->open, "gate");
    atomic_fetch_sub(g->left, 1);
}
static void park_many(int n)
{
    struct gate *gates = calloc((size_t)n, sizeof *gates);
    _Atomic int inside = 0, left = n;
    for (int i = 0; i < n; i++) {
        gates[i].inside = &inside, gates[i].left = &left;
        check(!rt_go(gate_work, &gates[i], "gate", i % 2 ? RT_GO_SMALL : 0));
    }
    while (atomic_load(&inside) < n)
        sennit_yield();
    for (int i = 0; i < n; i++)
        rt_note_set(&gates[i].open);
    while (atomic_load(&left) || rt_counts().goroutines)
        sennit_yield();
    free(gates);
}
TEST(guards_by_mprotect_serve_as_well)
{
    sennit_stats s;
    setenv("SENNIT_STACK_GUARDS", "mprotect", 1);
    park_many(500);
    sennit_get_stats(&s);
    check_int(s.unguarded_stacks, 0);
}
TEST(a_stack_is_not_refused_for_lack_of_a_guard)
{
    sennit_stats s;
    setenv("SENNIT_STACK_GUARDS", "none", 1);
    park_many(500);
    sennit_get_stats(&s);
    check(s.stacks > 0 && s.unguarded_stacks == s.stacks);
}

/* One worker sleeps for events, with no timer to come; the other meets the goroutine. */
static _Atomic int refusals;
static void *(*real_calloc)(size_t n, size_t size);
static void *refusing_calloc(size_t n, size_t size)
{
    if (atomic_load(&refusals) > 0 && atomic_fetch_sub(&refusals, 1) > 0)
        return NULL;
    return real_calloc(n, size);
}
static void open_it(void *note) { rt_note_set(note); }
TEST(who_found_no_stack_is_tried_again_though_all_sleep)
{
    struct rt_note note = { 0 };
    setenv("SENNIT_MAXPROCS", "2", 1);
    real_calloc = sys.calloc;
    sys.calloc = refusing_calloc;
    check(rt_start());
    while (atomic_load(&rt_state.n_idle) < 2)
        usleep(100);
    atomic_store(&refusals, 3);
    check(!rt_go(open_it, &note, "without a stack", 0));
    rt_note_wait(&note, "a stack");
    check(atomic_load(&refusals) <= 0);
}

#ifndef CREW_SANITIZED
static volatile int deepest;
static int fall(int n)
{
    volatile char pad[1000];
    memset((char *)pad, 1, sizeof pad);
    return n < deepest ? fall(n + 1) + pad[0] : n;
}
static void falling(void *arg)
{
    fall(0);
    rt_note_set(arg);
}
static void overflow_run(void)
{
    struct rt_note done = { 0 };
    check(!sennit_go_with(&(sennit_go_options){ .name = "pkg.Deep/Fall", .small_stack = true },
                          falling, &done));
    rt_note_wait(&done, "test");
    (void)sennit_sleep(NULL, SENNIT_SECOND);
}
TEST(an_overflow_is_named_with_each_kind_of_guard)
{
    static const char *const kinds[] = { "install", "mprotect", "none" };
    for (int i = 0; i < 3; i++) {
        setenv("SENNIT_STACK_GUARDS", kinds[i], 1);
        deepest = 70; /* of 1 KiB each, on 64 KiB */
        check_dies(overflow_run, "(pkg.Deep/Fall): all 64 KiB are used");
    }
}
#endif

/* -- pages given back ------------------------------------------------------------------------ */

struct deep {
    struct rt_note open, done;
    char *page;
    bool intact;
    _Atomic bool parked;
};
__attribute__((noinline)) static void deep_touch(struct deep *d)
{
    volatile char pad[100000];
    memset((char *)pad, 1, sizeof pad);
    d->page = (char *)(((uintptr_t)pad + 50000) & ~(uintptr_t)4095);
}
static void deep_work(void *arg)
{
    struct deep *d = arg;
    volatile long own[40];
    for (int i = 0; i < 40; i++)
        own[i] = i * 7;
    deep_touch(d);
    atomic_store(&d->parked, true);
    rt_note_wait(&d->open, "deep");
    d->intact = true;
    for (int i = 0; i < 40; i++)
        d->intact = d->intact && own[i] == i * 7;
    deep_touch(d);
    rt_note_set(&d->done);
}
TEST(who_waits_for_a_second_keeps_only_what_it_needs)
{
    struct deep d = { .page = NULL };
    unsigned char resident = 1;
    check(!sennit_go(deep_work, &d));
    while (!atomic_load(&d.parked))
        sennit_yield();
    check(mincore(d.page, 4096, &resident) == 0 && (resident & 1));
    while (resident & 1) {
        (void)sennit_sleep(NULL, 50 * SENNIT_MILLISECOND);
        check(mincore(d.page, 4096, &resident) == 0);
    }
    rt_note_set(&d.open);
    rt_note_wait(&d.done, "test");
    check(d.intact);
}

/* -- C libraries ----------------------------------------------------------------------------- */

static void library_work(void *arg)
{
    char text[400];
    struct addrinfo *a = NULL, hints = { .ai_flags = AI_NUMERICHOST };
    regex_t re;
    check(snprintf(text, sizeof text, "%.17g %Lf %s", 1e300, 1e300L, "x") > 0);
    check(regcomp(&re, "^(a|b)*c{1,20}[[:alpha:]]+$", REG_EXTENDED) == 0);
    check(regexec(&re, "ababccccx", 0, NULL, 0) == 0);
    regfree(&re);
    check(getaddrinfo("127.0.0.1", "80", &hints, &a) == 0);
    freeaddrinfo(a);
    rt_note_set(arg);
}
TEST(libc_fits_a_small_stack)
{
    struct rt_note done = { 0 };
    check(!sennit_go_with(&(sennit_go_options){ .small_stack = true }, library_work, &done));
    rt_note_wait(&done, "test");
}
