/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * model.c: a small checker for protocols of two or three threads over the real source (see
 * model.h).
 *
 * Memory: each location keeps all its stores in order, each with what it releases (a vector clock).
 * A load may take any store that is not older than one it must know: one that happened before it,
 * or one this thread has read or written already. Read-modify-writes take the last one and go on
 * with what it released. A seq_cst operation or fence exchanges clocks with one global clock, which
 * is a little stronger than C11 where seq_cst loads and stores mix with weaker ones on one
 * location.
 *
 * Search: all schedules with at most MODEL_SWITCHES changes of a thread that could have gone on,
 * and all choices of stores, by replaying lists of choices; at most MODEL_RUNS runs, which is told.
 */
#include "base/asym.h"
#include "base/sys.h"
#include "model_scenes.h"
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <ucontext.h>

enum {
    MODEL_THREADS = 3,
    MODEL_PLACES = 2048,
    MODEL_STORES = 64,
    MODEL_CHOICES = 4000,
    MODEL_SWITCHES = 4,
    MODEL_RUNS = 400000,
    MODEL_STACK = 65536,
    MODEL_STALE = 2 /* no store stays unseen for ever */
};

struct model_clock {
    uint32_t at[MODEL_THREADS];
};
struct model_value {
    uint64_t value;
    struct model_clock release; /* what an acquire of it learns */
    int by;                     /* -1: from the start */
    uint32_t when;
};
struct model_place {
    const volatile void *p;
    int n, seen[MODEL_THREADS], stale[MODEL_THREADS]; /* stale: old values read in a row */
    struct model_value store[MODEL_STORES];
    struct model_clock written, reads; /* plain data */
};
struct model_thread {
    ucontext_t context;
    struct model_clock now, fenced; /* fenced: of the last release fence */
    struct model_clock pending;     /* of relaxed loads, for an acquire fence */
    bool done, relaxing;
    const volatile void *asleep;
    uint32_t stores_seen;
    char stack[MODEL_STACK];
};

static struct model_place places[MODEL_PLACES];
static struct model_thread threads[MODEL_THREADS];
static struct model_clock model_sc;
static ucontext_t model_main;
static int model_n, model_now, n_places, n_switches;
static uint32_t n_stores;
static int choice[MODEL_CHOICES], choice_of[MODEL_CHOICES], n_choices, at_choice;
static const char *model_wrong;
static const struct model_scene *model_scene;

struct sys_table sys;

/* -- choices --------------------------------------------------------------------------------- */

static int model_choose(int n)
{
    if (n <= 1)
        return 0;
    if (at_choice == n_choices) {
        if (n_choices == MODEL_CHOICES) {
            model_wrong = "too long";
            return 0;
        }
        choice[n_choices] = 0;
        choice_of[n_choices++] = n;
    }
    return choice[at_choice++];
}

/* The next list of choices; false: all were played. */
static bool model_next(void)
{
    while (n_choices && choice[n_choices - 1] + 1 >= choice_of[n_choices - 1])
        n_choices--;
    if (!n_choices)
        return false;
    choice[n_choices - 1]++;
    return true;
}

/* -- threads --------------------------------------------------------------------------------- */

static bool model_can_run(int i)
{
    const struct model_thread *t = &threads[i];
    return !t->done && !t->asleep && !(t->relaxing && t->stores_seen == n_stores);
}

static void model_go(int to)
{
    int from = model_now;
    model_now = to;
    threads[to].relaxing = false;
    if (to != from)
        swapcontext(&threads[from].context, &threads[to].context);
}

/* One step is over: perhaps another goes on; must: this one cannot. */
static void model_step(bool must)
{
    int can[MODEL_THREADS], n = 0;
    if (model_wrong)
        swapcontext(&threads[model_now].context, &model_main);
    if (!must && model_can_run(model_now))
        can[n++] = model_now;
    bool stays = n == 1;
    for (int i = 0; i < model_n; i++)
        if (i != model_now && model_can_run(i))
            can[n++] = i;
    for (int i = 0; n == 0 && i < model_n; i++)
        if (threads[i].relaxing && !threads[i].done && !threads[i].asleep)
            can[n++] = i; /* all wait for each other's stores: one tries again */
    if (n == 0) {
        bool all = true;
        for (int i = 0; i < model_n; i++)
            all = all && threads[i].done;
        if (!all)
            model_wrong = "a thread sleeps for ever";
        swapcontext(&threads[model_now].context, &model_main);
        return;
    }
    int k = stays && n_switches >= MODEL_SWITCHES ? 0 : model_choose(n);
    n_switches += stays && k != 0;
    model_go(can[k]);
}

void model_relax(void)
{
    threads[model_now].relaxing = true;
    threads[model_now].stores_seen = n_stores;
    model_step(true);
}

void model_sleep(const volatile void *on)
{
    threads[model_now].asleep = on;
    model_step(true);
}

void model_wake(const volatile void *on)
{
    for (int i = 0; i < model_n; i++)
        if (threads[i].asleep == on)
            threads[i].asleep = NULL;
}

static void model_thread_main(int i)
{
    model_scene->fn[i]();
    threads[i].done = true;
    model_step(true);
}

/* -- memory ---------------------------------------------------------------------------------- */

static void model_join(struct model_clock *a, const struct model_clock *b)
{
    for (int i = 0; i < MODEL_THREADS; i++)
        a->at[i] = a->at[i] > b->at[i] ? a->at[i] : b->at[i];
}

static uint64_t model_raw(const volatile void *p, size_t size)
{
    uint64_t v = 0;
    memcpy(&v, (const void *)(uintptr_t)p, size);
    return v;
}

static struct model_place *model_at(const volatile void *p, size_t size)
{
    for (int i = 0; i < n_places; i++)
        if (places[i].p == p)
            return &places[i];
    struct model_place *l = &places[n_places++];
    memset(l, 0, sizeof *l);
    l->p = p, l->n = 1;
    l->store[0].value = model_raw(p, size);
    l->store[0].by = -1;
    return l;
}

static bool model_acquires(int o)
{
    return o == memory_order_acquire || o == memory_order_acq_rel || o == memory_order_seq_cst ||
           o == memory_order_consume;
}
static bool model_releases(int o)
{
    return o == memory_order_release || o == memory_order_acq_rel || o == memory_order_seq_cst;
}

static void model_global(int order)
{
    if (order != memory_order_seq_cst)
        return;
    model_join(&threads[model_now].now, &model_sc);
    model_sc = threads[model_now].now;
}

void model_fence(int order)
{
    struct model_thread *t = &threads[model_now];
    model_step(false);
    if (model_acquires(order))
        model_join(&t->now, &t->pending);
    model_global(order);
    if (model_releases(order))
        t->fenced = t->now;
}

/* Every thread passes a fence: see base/asym.h. */
bool asym_heavy(void)
{
    struct model_clock all = model_sc;
    model_step(false);
    for (int i = 0; i < model_n; i++) {
        model_join(&all, &threads[i].now);
        model_join(&all, &threads[i].pending);
    }
    for (int i = 0; i < model_n; i++)
        threads[i].now = threads[i].fenced = all;
    model_sc = all;
    return true;
}

static void model_learn(const struct model_value *v, int order)
{
    struct model_thread *t = &threads[model_now];
    model_join(model_acquires(order) ? &t->now : &t->pending, &v->release);
}

uint64_t model_load(const volatile void *p, size_t size, int order)
{
    struct model_thread *t = &threads[model_now];
    model_step(false);
    model_global(order);
    struct model_place *l = model_at(p, size);
    int oldest = l->seen[model_now];
    for (int i = l->n - 1; i > oldest; i--)
        if (l->store[i].by >= 0 && l->store[i].when <= t->now.at[l->store[i].by])
            oldest = i;
    int back = l->stale[model_now] < MODEL_STALE ? model_choose(l->n - oldest) : 0,
        i = l->n - 1 - back;
    l->stale[model_now] = back ? l->stale[model_now] + 1 : 0;
    l->seen[model_now] = i;
    model_learn(&l->store[i], order);
    return l->store[i].value;
}

static void model_put(struct model_place *l, size_t size, uint64_t v, int order, bool goes_on)
{
    struct model_thread *t = &threads[model_now];
    if (l->n == MODEL_STORES) {
        model_wrong = "too many stores";
        return;
    }
    struct model_value *s = &l->store[l->n];
    *s = (struct model_value){ .value = v, .by = model_now, .when = ++t->now.at[model_now] };
    s->release = model_releases(order) ? t->now : t->fenced;
    if (goes_on)
        model_join(&s->release, &l->store[l->n - 1].release);
    l->seen[model_now] = l->n++;
    n_stores++;
    memcpy((void *)(uintptr_t)l->p, &v, size); /* what a debugger, and the next run's start, see */
    model_global(order);
}

void model_store(volatile void *p, size_t size, uint64_t v, int order)
{
    model_step(false);
    model_global(order);
    model_put(model_at(p, size), size, v, order, false);
}

uint64_t model_change(volatile void *p, size_t size, char op, uint64_t v, int order)
{
    model_step(false);
    model_global(order);
    struct model_place *l = model_at(p, size);
    uint64_t was = l->store[l->n - 1].value;
    uint64_t to = op == '+' ? was + v : op == '-' ? was - v : v;
    model_learn(&l->store[l->n - 1], order);
    model_put(l, size, size == 8 ? to : to & (((uint64_t)1 << (size * 8)) - 1), order, true);
    return was;
}

bool model_cas(volatile void *p, size_t size, void *expected, uint64_t v, int order, int fail)
{
    model_step(false);
    struct model_place *l = model_at(p, size);
    uint64_t want = model_raw(expected, size), was = l->store[l->n - 1].value;
    bool did = was == want;
    model_global(did ? order : fail);
    l->seen[model_now] = l->n - 1;
    model_learn(&l->store[l->n - 1], did ? order : fail);
    if (did)
        model_put(l, size, v, order, true);
    else
        memcpy(expected, &was, size);
    return did;
}

static void model_race(bool before)
{
    if (!before)
        model_wrong = "a race on plain data";
}

static bool model_before(const struct model_clock *a, const struct model_clock *b)
{
    for (int i = 0; i < MODEL_THREADS; i++)
        if (a->at[i] > b->at[i])
            return false;
    return true;
}

void model_write(const void *p)
{
    struct model_place *l = model_at(p, 1);
    struct model_thread *t = &threads[model_now];
    model_race(model_before(&l->written, &t->now) && model_before(&l->reads, &t->now));
    l->written.at[model_now] = ++t->now.at[model_now];
}

void model_read(const void *p)
{
    struct model_place *l = model_at(p, 1);
    struct model_thread *t = &threads[model_now];
    model_race(model_before(&l->written, &t->now));
    l->reads.at[model_now] = ++t->now.at[model_now];
}

void model_check(bool fine, const char *what)
{
    if (!fine && !model_wrong)
        model_wrong = what;
}

/* -- futex, assertions ----------------------------------------------------------------------- */

static int model_futex_wait(_Atomic uint32_t *word, uint32_t expected, const struct timespec *t)
{
    (void)t;
    model_step(false);
    struct model_place *l = model_at(word, 4);
    if (l->store[l->n - 1].value != expected)
        return -EAGAIN;
    model_sleep(word);
    return 0;
}

static int model_futex_wake(_Atomic uint32_t *word, int n)
{
    (void)n;
    model_step(false);
    model_wake(word);
    return 0;
}

void base_assert_failed(const char *expr, const char *file, int line)
{
    (void)file, (void)line;
    model_wrong = expr;
    swapcontext(&threads[model_now].context, &model_main);
    abort();
}

/* -- search ---------------------------------------------------------------------------------- */

static void model_play(void)
{
    n_places = n_switches = 0, at_choice = 0, n_stores = 0, model_wrong = NULL;
    memset(&model_sc, 0, sizeof model_sc);
    model_scene->start();
    for (model_n = 0; model_n < MODEL_THREADS && model_scene->fn[model_n]; model_n++) {
        struct model_thread *t = &threads[model_n];
        memset(t, 0, offsetof(struct model_thread, stack));
        getcontext(&t->context);
        t->context.uc_stack.ss_sp = t->stack, t->context.uc_stack.ss_size = sizeof t->stack;
        makecontext(&t->context, (void (*)(void))model_thread_main, 1, model_n);
    }
    model_now = model_choose(model_n);
    swapcontext(&model_main, &threads[model_now].context);
    if (!model_wrong && model_scene->end)
        model_scene->end();
}

int main(void)
{
    int failed = 0, n = 0;
    sys.futex_wait = model_futex_wait, sys.futex_wake = model_futex_wake;
    for (const struct model_scene *s = model_scenes; s->name; s++, n++) {
        long runs = 0;
        bool more = true;
        model_scene = s;
        n_choices = 0;
        while (more && runs < MODEL_RUNS) {
            model_play();
            runs++;
            if (model_wrong)
                break;
            more = model_next();
        }
        printf("%s: %ld runs%s%s%s\n", s->name, runs, model_wrong ? ", WRONG: " : "",
               model_wrong ? model_wrong : "", more && !model_wrong ? ", not all" : "");
        failed += model_wrong != NULL;
    }
    printf("%d passed, %d failed\n", n - failed, failed);
    return failed != 0;
}
