/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * model.c: a small checker for protocols of two or three threads over the real source (see
 * model.h).   model [--depth N] [--runs N] [--mutant N] [SCENE...]
 *
 * Memory, after C11 as C++20 corrected it: each location keeps all its stores in order, each with
 * what it releases. A load may take any store that is not older than one it must know: one that
 * happened before it, or one this thread has read or written already; and a store may come before
 * any that is not. Read-modify-writes take the
 * last one and go on with what it released. What a thread must know is two vector clocks: what
 * happened before, and what fences make visible besides, which is no excuse for a race on plain
 * data. A sequentially consistent fence exchanges the second with one global clock; such a load
 * knows what was fenced before it, and the last sequentially consistent store of its location, as
 * such a fence does of all locations. Not modelled: loads that are done after later stores of their
 * thread (load buffering). Where only that could go wrong, model_tentative tells of it as of a
 * race.
 *
 * Search: by replaying lists of choices. A deviation is a change of a thread that could have gone
 * on, a load of an older value, or a store before another one. All runs with no deviation are
 * played, then all with one, two and so on, until the bound of deviations or of runs; what was
 * covered is told. */
#include "model.h"
#include "base/sys.h"
#include "rt/rt_private.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    MODEL_PLACES = 1024, /* a power of two */
    MODEL_STORES = 96,
    MODEL_CHOICES = 6000,
    MODEL_STACK = 128 << 10,
    MODEL_STALE = 2, /* no store stays unseen for ever */
    MODEL_HEAP = 1 << 20,
    MODEL_STEPS = 4000,
    MODEL_TENTATIVE = 32,
    MODEL_ORDERS = 1000
};

struct model_clock {
    uint32_t before[MODEL_THREADS], sees[MODEL_THREADS];
};
struct model_value {
    uint64_t value;
    struct model_clock release; /* what an acquire of it learns */
    int by;                     /* -1: from the start */
    uint32_t when;
    bool change; /* by a read-modify-write */
};
struct model_place {
    const volatile void *p;
    int n, last_sc, seen[MODEL_THREADS], stale[MODEL_THREADS]; /* stale: old ones read in a row */
    bool tentative;
    uint32_t written[MODEL_THREADS], reads[MODEL_THREADS]; /* plain data, and tentative ones */
    struct model_value store[MODEL_STORES];
};
struct model_thread {
    void *sp;
    uintptr_t word;
    struct model_clock now, fenced; /* fenced: of the last release fence */
    struct model_clock pending;     /* of relaxed loads, for an acquire fence */
    bool done, relaxing, timed;
    const volatile void *asleep;
    uint32_t stores_seen;
    int n_tentative;
    struct {
        struct model_place *place;
        uint32_t when;
    } read[MODEL_TENTATIVE];
};

static struct model_place places[MODEL_PLACES];
static struct {
    const volatile void *p;
    uint32_t run;           /* in which it is in use */
} place_keys[MODEL_PLACES]; /* of places, close together: they are looked through */
static struct model_place *fenced[MODEL_PLACES]; /* those that this run stored to by seq_cst */
static int n_fenced;
static struct model_thread threads[MODEL_THREADS];
static _Alignas(16) char model_stacks[MODEL_THREADS][MODEL_STACK];
static struct model_clock model_sc;
static void *model_main_sp;
static int model_n, model_now, n_deviations, model_most;
static bool model_cut, model_playing;
static uint32_t n_stores, n_steps, model_run;
static int choice[MODEL_CHOICES], choice_of[MODEL_CHOICES], n_choices, at_choice;
static const char *model_wrong;
static const struct model_scene *model_scene;
static struct {
    const volatile char *p;
    size_t size;
} model_slots;
static char model_heap[MODEL_HEAP];
static size_t model_heap_at;

static int model_mutant = -1;
static bool model_reached[MODEL_ORDERS];

int64_t model_clock_now;
struct rt_g model_gs[MODEL_THREADS];
struct sys_table sys;
_Thread_local uintptr_t rt_local_word;

/* -- choices --------------------------------------------------------------------------------- */

/* 0 is the usual way; deviates: any other is a deviation. */
static int model_choose(int n, bool deviates)
{
    if (n <= 1)
        return 0;
    if (deviates && n_deviations == model_most) {
        model_cut = true;
        return 0;
    }
    if (at_choice == n_choices) {
        if (n_choices == MODEL_CHOICES) {
            model_wrong = "too long";
            return 0;
        }
        choice[n_choices] = 0;
        choice_of[n_choices++] = n;
    }
    int c = choice[at_choice++];
    if (c >= n) {
        fprintf(stderr, "%s: runs differ\n", model_scene->name);
        abort();
    }
    n_deviations += deviates && c;
    return c;
}

/* No deviation is left, and that it was missed is known already. */
static bool model_spent(void) { return n_deviations == model_most && model_cut; }

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

static void model_leave(void)
{
    void *nobody;
    rt_switch(&nobody, model_main_sp);
}

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
    if (to == from)
        return;
    threads[from].word = rt_local_word;
    rt_local_word = threads[to].word;
    rt_switch(&threads[from].sp, threads[to].sp);
}

/* Nobody can go on: who waits for others' stores tries again, in turns, or else who has a time
 * limit. */
static int model_late(int can[MODEL_THREADS])
{
    int n = 0;
    for (int k = 1; k <= model_n; k++) {
        int i = (model_now + k) % model_n;
        if (threads[i].relaxing && !threads[i].done && !threads[i].asleep)
            can[n++] = i;
    }
    for (int i = 0; n == 0 && i < model_n; i++)
        if (threads[i].asleep && threads[i].timed)
            can[n++] = i;
    return n;
}

/* One step is over: perhaps another goes on; must: this one cannot. */
static void model_step(bool must)
{
    int can[MODEL_THREADS], n = 0;
    if (!model_playing) {
        fprintf(stderr, "%s: an atomic operation outside of the threads\n", model_scene->name);
        abort();
    }
    if (++n_steps > MODEL_STEPS && !model_wrong)
        model_wrong = "it turns round and round";
    if (model_wrong)
        model_leave();
    if (!must && model_spent())
        return; /* most of a run is so */
    if (!must && model_can_run(model_now))
        can[n++] = model_now;
    bool stays = n == 1;
    for (int i = 0; i < model_n; i++)
        if (i != model_now && model_can_run(i))
            can[n++] = i;
    if (n == 0)
        n = model_late(can);
    if (n == 0) {
        bool all = true;
        for (int i = 0; i < model_n; i++)
            all = all && threads[i].done;
        if (!all && !(model_scene->rest && model_scene->rest()))
            model_wrong = "a thread sleeps for ever";
        model_leave();
    }
    int to = can[model_choose(n, stays)];
    threads[to].asleep = NULL;
    model_go(to);
}

int model_self(void) { return model_now; }

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

static void model_thread_main(void)
{
    model_scene->fn[model_now]();
    threads[model_now].done = true;
    model_step(true);
}

/* -- memory ---------------------------------------------------------------------------------- */

static void model_max(uint32_t *a, const uint32_t *b)
{
    for (int i = 0; i < MODEL_THREADS; i++)
        a[i] = a[i] > b[i] ? a[i] : b[i];
}

static void model_join(struct model_clock *a, const struct model_clock *b)
{
    model_max(a->before, b->before);
    model_max(a->sees, b->sees);
}

static bool model_covers(const uint32_t *later, const uint32_t *earlier)
{
    for (int i = 0; i < MODEL_THREADS; i++)
        if (earlier[i] > later[i])
            return false;
    return true;
}

static uint64_t model_raw(const volatile void *p, size_t size)
{
    uint64_t v = 0;
    memcpy(&v, (const void *)(uintptr_t)p, size);
    return v;
}

static void model_place_new(struct model_place *l, const volatile void *p, uint64_t value)
{
    memset(l, 0, offsetof(struct model_place, store));
    l->p = p, l->n = 1;
    l->last_sc = 0;
    l->tentative = (size_t)((const volatile char *)p - model_slots.p) < model_slots.size;
    memset(&l->store[0], 0, sizeof l->store[0]);
    l->store[0].value = value;
    l->store[0].by = -1;
}

/* What was changed by a plain store (a frame that is used again) begins anew. */
static struct model_place *model_at(const volatile void *p, size_t size)
{
    uint64_t raw = size ? model_raw(p, size) : 0;
    size_t i = ((uintptr_t)p >> 1) * 0x9e3779b1u >> 7;
    for (int tries = 0; place_keys[i %= MODEL_PLACES].run == model_run; i++, tries++) {
        if (place_keys[i].p == p) {
            if (size && places[i].store[places[i].n - 1].value != raw)
                model_place_new(&places[i], p, raw);
            return &places[i];
        }
        if (tries == MODEL_PLACES) {
            model_wrong = "too many places";
            break;
        }
    }
    if (p >= (void *)model_heap && p < (void *)(model_heap + model_heap_at) &&
        model_raw((void *)((uintptr_t)p & ~(uintptr_t)7), 8) == 0xdddddddddddddddd)
        model_wrong = "freed memory is used";
    place_keys[i].p = p, place_keys[i].run = model_run;
    model_place_new(&places[i], p, raw);
    return &places[i];
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

static void model_set_last_sc(struct model_place *l, int store)
{
    if (n_fenced == MODEL_PLACES)
        model_wrong = "too many places";
    else if (!l->last_sc)
        fenced[n_fenced++] = l;
    l->last_sc = store;
}

/* A sequentially consistent fence of thread i. */
static void model_fence_sc(int i)
{
    struct model_thread *t = &threads[i];
    model_max(t->now.sees, model_sc.sees);
    memcpy(model_sc.sees, t->now.sees, sizeof model_sc.sees);
    for (int k = 0; k < n_fenced; k++)
        if (fenced[k]->seen[i] < fenced[k]->last_sc)
            fenced[k]->seen[i] = fenced[k]->last_sc;
}

void model_fence(int order)
{
    struct model_thread *t = &threads[model_now];
    model_step(false);
    if (model_acquires(order))
        model_join(&t->now, &t->pending);
    if (order == memory_order_seq_cst)
        model_fence_sc(model_now);
    if (model_releases(order))
        t->fenced = t->now;
}

void model_order_all(void)
{
    model_step(false);
    for (int round = 0; round < 2; round++)
        for (int i = 0; i < model_n; i++)
            model_fence_sc(i);
}

int model_order(int number, int order, int weaker)
{
    if (number < MODEL_ORDERS)
        model_reached[number] = true;
    return number == model_mutant ? weaker : order;
}

static void model_learn(const struct model_value *v, int order)
{
    struct model_thread *t = &threads[model_now];
    model_join(model_acquires(order) ? &t->now : &t->pending, &v->release);
}

static void model_note_tentative(struct model_place *l)
{
    struct model_thread *t = &threads[model_now];
    if (!l->tentative || t->n_tentative == MODEL_TENTATIVE)
        return;
    t->read[t->n_tentative].place = l;
    t->read[t->n_tentative++].when = ++t->now.before[model_now];
    t->now.sees[model_now] = t->now.before[model_now];
}

static void model_settle_tentative(bool counts)
{
    struct model_thread *t = &threads[model_now];
    for (int i = 0; counts && i < t->n_tentative; i++)
        t->read[i].place->reads[model_now] = t->read[i].when;
    t->n_tentative = 0;
}

/* The index of the oldest store that a load of the order may give. */
static int model_floor(const struct model_place *l, int order)
{
    const struct model_thread *t = &threads[model_now];
    int oldest = l->seen[model_now];
    bool sc = order == memory_order_seq_cst;
    for (int i = l->n - 1; i > oldest; i--) {
        const struct model_value *s = &l->store[i];
        if (s->by >= 0 &&
            (s->when <= t->now.sees[s->by] || (sc && s->when <= model_sc.sees[s->by])))
            oldest = i;
    }
    return sc && l->last_sc > oldest ? l->last_sc : oldest;
}

uint64_t model_load(const volatile void *p, size_t size, int order)
{
    model_step(false);
    struct model_place *l = model_at(p, size);
    int *stale = &l->stale[model_now];
    bool may = *stale < MODEL_STALE && !model_spent();
    int back = may ? model_choose(l->n - model_floor(l, order), true) : 0, i = l->n - 1 - back;
    *stale = back ? *stale + 1 : 0;
    l->seen[model_now] = i;
    model_learn(&l->store[i], order);
    model_note_tentative(l);
    return l->store[i].value;
}

/* Room for a store before the one at index `at`. */
static struct model_value *model_insert(struct model_place *l, int at)
{
    memmove(&l->store[at + 1], &l->store[at], (size_t)(l->n++ - at) * sizeof l->store[0]);
    for (int i = 0; i < model_n; i++)
        l->seen[i] += l->seen[i] >= at;
    l->last_sc += l->last_sc >= at;
    return &l->store[at];
}

/* Where a store of the order goes: last, or before stores of others that its thread need not know
 * of, as one does that was done before but reached memory late. What a read-modify-write has read
 * stays right before it. */
static int model_place_of(const struct model_place *l, int order)
{
    int lowest = l->n, options[MODEL_STORES], n = 0;
    if (model_spent())
        return l->n;
    lowest = model_floor(l, order) + 1;
    for (int i = l->n; i >= lowest; i--)
        if (i == l->n || !l->store[i].change)
            options[n++] = i;
    return options[model_choose(n, true)];
}

static void model_put(struct model_place *l, int at, size_t size, uint64_t v, int order,
                      bool change)
{
    struct model_thread *t = &threads[model_now];
    if (l->n == MODEL_STORES) {
        model_wrong = "too many stores";
        return;
    }
    if (l->tentative && !model_covers(t->now.before, l->reads))
        model_wrong = "a slot is used again before it was read";
    struct model_value *s = model_insert(l, at);
    *s = (struct model_value){ .value = v, .by = model_now, .when = ++t->now.before[model_now] };
    t->now.sees[model_now] = s->when;
    s->release = model_releases(order) ? t->now : t->fenced;
    s->change = change;
    if (change)
        model_join(&s->release, &s[-1].release);
    if (order == memory_order_seq_cst)
        model_set_last_sc(l, at);
    l->seen[model_now] = at;
    n_stores++;
    if (at == l->n - 1)
        memcpy((void *)(uintptr_t)l->p, &v, size); /* what a debugger, and model_raw, see */
}

static uint64_t model_fit(uint64_t v, size_t size)
{
    return size == 8 ? v : v & (((uint64_t)1 << (size * 8)) - 1);
}

void model_store(volatile void *p, size_t size, uint64_t v, int order)
{
    model_step(false);
    struct model_place *l = model_at(p, size);
    model_put(l, model_place_of(l, order), size, model_fit(v, size), order, false);
}

/* Which store a read-modify-write reads, and stands right after: the last one, or one that later
 * ones of others may yet follow; want: only if it has that value, and else it fails. */
static int model_before_change(const struct model_place *l, int order, const uint64_t *want)
{
    int options[MODEL_STORES] = { l->n - 1 }, n = 1;
    int lowest = model_spent() ? l->n : model_floor(l, order);
    for (int i = l->n - 2; i >= lowest; i--)
        if (!l->store[i + 1].change && (!want || l->store[i].value == *want))
            options[n++] = i;
    return options[model_choose(n, true)];
}

uint64_t model_change(volatile void *p, size_t size, enum model_op op, uint64_t v, int order)
{
    model_step(false);
    struct model_place *l = model_at(p, size);
    int at = model_before_change(l, order, NULL);
    uint64_t was = l->store[at].value;
    uint64_t to = op == MODEL_add   ? was + v
                  : op == MODEL_sub ? was - v
                  : op == MODEL_or  ? was | v
                  : op == MODEL_and ? was & v
                                    : v;
    model_learn(&l->store[at], order);
    model_put(l, at + 1, size, model_fit(to, size), order, true);
    return was;
}

bool model_cas(volatile void *p, size_t size, void *expected, uint64_t v, int order, int fail)
{
    model_step(false);
    struct model_place *l = model_at(p, size);
    uint64_t want = model_raw(expected, size);
    int at = model_before_change(l, order, &want);
    uint64_t was = l->store[at].value;
    if (was != want) { /* as a load; no older one would be taken for another failure */
        l->seen[model_now] = l->n - 1;
        model_learn(&l->store[l->n - 1], fail);
        memcpy(expected, &was, size);
        model_settle_tentative(false);
        return false;
    }
    model_settle_tentative(true);
    model_learn(&l->store[at], order);
    model_put(l, at + 1, size, model_fit(v, size), order, true);
    return true;
}

bool model_latest(const volatile void *p, size_t size, uint64_t value)
{
    return model_raw(p, size) == value;
}

void model_write(const void *p)
{
    struct model_place *l = model_at(p, 0);
    struct model_thread *t = &threads[model_now];
    if (!model_covers(t->now.before, l->written) || !model_covers(t->now.before, l->reads))
        model_wrong = "a race on plain data";
    l->written[model_now] = t->now.sees[model_now] = ++t->now.before[model_now];
}

void model_read(const void *p)
{
    struct model_place *l = model_at(p, 0);
    struct model_thread *t = &threads[model_now];
    if (!model_covers(t->now.before, l->written))
        model_wrong = "a race on plain data";
    l->reads[model_now] = t->now.sees[model_now] = ++t->now.before[model_now];
}

void model_tentative(const volatile void *p, size_t size)
{
    model_slots.p = p, model_slots.size = size;
}

void model_check(bool fine, const char *what)
{
    if (!fine && !model_wrong)
        model_wrong = what;
}

/* -- the system: futexes, time, memory -------------------------------------------------------- */

static int model_futex_wait(_Atomic uint32_t *word, uint32_t expected, const struct timespec *t)
{
    model_step(false);
    struct model_place *l = model_at(word, 4);
    if (l->store[l->n - 1].value != expected)
        return -EAGAIN;
    threads[model_now].timed = t != NULL;
    model_sleep(word);
    threads[model_now].timed = false;
    return 0;
}

static int model_futex_wake(_Atomic uint32_t *word, int n)
{
    (void)n; /* more than asked for: a futex may end for nothing */
    model_step(false);
    model_wake(word);
    return 0;
}

static int model_clock_get(clockid_t id, struct timespec *ts)
{
    (void)id;
    model_clock_now += 2000;
    *ts = (struct timespec){ model_clock_now / 1000000000, model_clock_now % 1000000000 };
    return 0;
}

/* Never given out again, so that a use after free is seen. */
static void *model_malloc(size_t size)
{
    size_t *p = (size_t *)(void *)(model_heap + model_heap_at);
    model_heap_at += (size + 16 + 15) & ~(size_t)15;
    if (model_heap_at > MODEL_HEAP)
        return NULL;
    p[0] = size;
    memset(p + 2, 0, size);
    return p + 2;
}

static void model_free(void *p)
{
    if (p)
        memset(p, 0xdd, ((size_t *)p)[-2]);
}

void base_assert_failed(const char *expr, const char *file, int line)
{
    (void)file, (void)line;
    model_wrong = expr;
    model_leave();
    abort();
}

/* -- search ---------------------------------------------------------------------------------- */

void model_words(const uintptr_t words[MODEL_THREADS])
{
    for (int i = 0; i < MODEL_THREADS; i++)
        if (words[i])
            threads[i].word = words[i];
}

static void model_play(void)
{
    n_deviations = 0, at_choice = 0, n_stores = 0, n_steps = 0, model_wrong = NULL;
    model_run++, n_fenced = 0, model_heap_at = 0, model_clock_now = 1000000000;
    model_slots.size = 0;
    memset(&model_sc, 0, sizeof model_sc);
    memset(threads, 0, sizeof threads);
    memset(model_gs, 0, sizeof model_gs);
    for (int i = 0; i < MODEL_THREADS; i++) {
        model_gs[i].flags = RT_G_THREAD;
        threads[i].word = (uintptr_t)&model_gs[i];
        uintptr_t *sp = (uintptr_t *)(void *)(model_stacks[i] + MODEL_STACK - 64);
        memset(sp, 0, 64);
        sp[6] = (uintptr_t)model_thread_main; /* what rt_switch returns to */
        threads[i].sp = sp + 5;               /* rbp, and that */
    }
    model_scene->start();
    for (model_n = 0; model_n < MODEL_THREADS && model_scene->fn[model_n]; model_n++)
        threads[model_n].fenced = threads[model_n].now;
    model_now = model_choose(model_n, false);
    rt_local_word = threads[model_now].word;
    model_playing = true;
    rt_switch(&model_main_sp, threads[model_now].sp);
    model_playing = false;
    if (!model_wrong && model_scene->end)
        model_scene->end();
}

/* Whether it is right. */
static bool model_search(const struct model_scene *s, int depth, long runs_most)
{
    long runs = 0;
    bool more = true;
    model_scene = s;
    depth = s->depth && depth > s->depth ? s->depth : depth;
    for (model_most = 0; model_most <= depth; model_most++) {
        model_cut = false, n_choices = 0;
        do {
            model_play();
            runs++;
        } while (!model_wrong && (more = model_next()) && runs < runs_most);
        if (model_wrong || more || !model_cut)
            break;
    }
    printf("%s: %ld runs, ", s->name, runs);
    if (model_wrong)
        printf("WRONG: %s\n", model_wrong);
    else if (more || model_cut)
        printf("all with at most %d deviations\n", model_most - 1);
    else
        printf("all there are\n");
    return !model_wrong;
}

static bool model_named(const char *name, char **names, int n)
{
    for (int i = 0; i < n; i++)
        if (strcmp(name, names[i]) == 0)
            return true;
    return n == 0;
}

/* Which weakenings there are that scenes come to. */
static void model_tell_reached(void)
{
    for (int i = 0, n = 0; i < MODEL_ORDERS; i++)
        if (model_reached[i])
            printf("%s %d", n++ ? "" : "reached:", i);
    if (model_reached[0])
        putchar('\n');
}

int main(int argc, char **argv)
{
    static const struct model_scene *const all[] = { base_scenes, queue_scenes, prim_scenes,
                                                     poll_scenes, work_scenes };
    int failed = 0, n = 0, depth = 3, at = 1;
    long runs = 300000;
    for (; at + 1 < argc && strncmp(argv[at], "--", 2) == 0; at += 2)
        if (strcmp(argv[at], "--depth") == 0)
            depth = (int)strtol(argv[at + 1], NULL, 10);
        else if (strcmp(argv[at], "--mutant") == 0)
            model_mutant = (int)strtol(argv[at + 1], NULL, 10);
        else
            runs = strtol(argv[at + 1], NULL, 10);
    sys.futex_wait = model_futex_wait, sys.futex_wake = model_futex_wake;
    sys.clock_gettime = model_clock_get;
    sys.malloc = model_malloc, sys.free = model_free;
    for (size_t k = 0; k < countof(all); k++)
        for (const struct model_scene *s = all[k]; s->name; s++)
            if (model_named(s->name, argv + at, argc - at))
                n++, failed += !model_search(s, depth, runs);
    model_tell_reached();
    printf("%d passed, %d failed\n", n - failed, failed);
    return failed != 0 || n == 0;
}
