/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * dump.c: sennit_dump: all goroutines, what each waits for and where it stands; and the counters.
 * Nothing is stopped for it, so it also tells of a process that is stuck: what it reads of others
 * may change meanwhile. Records and stacks stay mapped, and a frame pointer is followed only
 * upwards within its stack. No allocation; written by whole lines.
 *
 * On a signal it is a goroutine that dumps, not the handler: it may lock. */
#include "rt/rt_private.h"
#include <execinfo.h>
#include <stdio.h>
#include <unistd.h>

enum { DUMP_FRAMES = 16 };

struct dump {
    int fd;
    int64_t now;
    uint64_t after, next; /* ids: the last one written, the least above it */
    const struct rt_g *g;
};

static void dump_write(int fd, const char *text, size_t n)
{
    while (n > 0) {
        ssize_t k = sys.write(fd, text, n);
        if (k <= 0 && k != -EINTR)
            return;
        k = k < 0 ? 0 : k;
        text += k, n -= (size_t)k;
    }
}

/* The saved frame pointer of a parked goroutine: see switch_*.S. */
static uintptr_t *dump_frame(const struct rt_g *g, const void **pc)
{
    uintptr_t *sp = g->sp;
#if defined(__x86_64__)
    *pc = (const void *)sp[1];
    return (uintptr_t *)sp[0];
#else
    *pc = (const void *)sp[11];
    return (uintptr_t *)sp[10];
#endif
}

__attribute__((no_sanitize("address", "thread"))) static int dump_walk(const struct rt_g *g,
                                                                       void **pcs)
{
    const struct rt_stack *s = g->stack;
    const char *sp = g->sp;
    if (!s || !sp || sp < s->base || sp + 32 > s->base + s->size)
        return 0;
    const void *pc;
    const char *end = s->base + s->size - 2 * sizeof(uintptr_t), *low = sp;
    uintptr_t *fp = dump_frame(g, &pc);
    int n = 0;
    while (n < DUMP_FRAMES && pc) {
        pcs[n++] = (void *)(uintptr_t)pc;
        if ((const char *)fp <= low || (const char *)fp > end || ((uintptr_t)fp & 7))
            break;
        low = (const char *)fp;
        pc = (const void *)fp[1];
        fp = (uintptr_t *)fp[0];
    }
    return n;
}

static const char *dump_state(uint32_t state)
{
    static const char *const names[] = { "ended", "runnable", "running", "waiting" };
    return names[state & 3];
}

static void dump_one(struct dump *d, const struct rt_g *g)
{
    char line[400], who[200];
    void *pcs[DUMP_FRAMES];
    uint32_t state = atomic_load(&g->state);
    const char *reason = g->reason;
    int n =
        snprintf(line, sizeof line, "%s: %s", rt_describe(g, who, sizeof who), dump_state(state));
    if (state == RT_G_PARKED && reason && n < (int)sizeof line)
        n += snprintf(line + n, sizeof line - (size_t)n, ", %s, for %.3f s", reason,
                      (double)(d->now - g->u.since) / 1e9);
    n = n < (int)sizeof line - 1 ? n : (int)sizeof line - 2;
    line[n++] = '\n';
    dump_write(d->fd, line, (size_t)n);
    if (state == RT_G_RUNNING || !g->stack)
        return;
    int frames = dump_walk(g, pcs);
    if (frames > 0)
        backtrace_symbols_fd(pcs, frames, d->fd);
}

/* The record with the least id above d->after: each look is one walk under the lock of records,
 * and what takes long is done without it. */
static void dump_least(const struct rt_g *g, void *arg)
{
    struct dump *d = arg;
    if (g->id > d->after && g->id < d->next) {
        d->next = g->id;
        d->g = g;
    }
}

void sennit_dump(int fd)
{
    struct dump d = { .fd = fd, .now = sys_now() };
    sennit_stats s;
    char line[200];
    sennit_get_stats(&s);
    int n = snprintf(line, sizeof line,
                     "sennit: %lld goroutines, %lld waiting, %lld workers and %lld spare ones, "
                     "%lld timers, %lld descriptors\n",
                     (long long)s.goroutines, (long long)s.waiting, (long long)s.workers,
                     (long long)s.spare_workers, (long long)s.timers, (long long)s.fds);
    dump_write(fd, line, (size_t)n);
    for (int64_t left = LIMIT_DUMPED; left > 0; left--) {
        d.g = NULL;
        d.next = UINT64_MAX;
        rt_g_each(dump_least, &d);
        if (!d.g)
            return;
        dump_one(&d, d.g);
        d.after = d.next;
    }
    static const char more[] = "sennit: more goroutines are left out\n";
    dump_write(fd, more, sizeof more - 1);
}

static void dump_on_signal(void *arg)
{
    int signals[] = { (int)(intptr_t)arg, 0 };
    rt_set_name("sennit_dump_on_signal");
    while (sennit_signal_wait(NULL, signals))
        sennit_dump(STDERR_FILENO);
}

sennit_err sennit_dump_on_signal(int signal)
{
    return rt_go(dump_on_signal, (void *)(intptr_t)signal, NULL, RT_GO_SYSTEM);
}

_Atomic int64_t rt_handshakes, rt_failed_handshakes;

void sennit_stats_sized(sennit_stats *out, size_t size)
{
    struct rt_counts c = rt_counts();
    sennit_stats s = { .goroutines = c.goroutines,
                       .waiting = c.parked,
                       .spawned = c.spawned,
                       .workers = c.workers,
                       .spare_workers = c.spare_workers,
                       .timers = c.timers,
                       .fds = c.fds,
                       .handshakes = rt_handshakes,
                       .failed_handshakes = rt_failed_handshakes };
    rt_stack_counts(&s.stacks, &s.unguarded_stacks);
    memset(out, 0, size);
    memcpy(out, &s, min_size(size, sizeof s));
}
