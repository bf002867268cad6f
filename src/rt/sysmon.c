/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * sysmon.c: the thread that sees to it that work which waits does not wait for a worker that is
 * stuck: in a CPU hog, in a system call or in a page fault alike. A worker in the same tick for
 * more than 1 ms while work waits and nobody is idle is marked as stuck, and a spare one is
 * enlisted. It also polls when no worker has for long, and flushes defers older than 100 us.
 *
 * Where stuck workers stand still in the kernel, the next goroutines will presumably do the same:
 * so for each of them one more worker is enlisted, as long as items wait, and their number doubles
 * at each look: 256 handlers that sleep for 100 ms are done in 115 ms; by `target` at a time they
 * took 300. A hog that lost its CPU must not count as one that stands still, or hogs would be given
 * ever more threads: the kernel is asked for each worker's state, once.
 *
 * The cap (LIMIT_SPARE_WORKERS) counts CPU hogs only, told from sleepers by their thread's CPU
 * time; the last one under the cap takes no fresh goroutines: it is kept for those that are
 * resumed.
 *
 * Asleep while no worker runs and one of them polls. Protocol: it stores asleep = 1, then reads
 * n_idle; a worker that wakes lowers n_idle, then reads asleep (all seq_cst). */
#include "rt/rt_private.h"
#include <fcntl.h>
#include <stdio.h>

enum {
    SYSMON_MIN_NS = 100000,
    SYSMON_MAX_NS = 1000000,
    SYSMON_STUCK_NS = 1000000,
    SYSMON_DEFER_NS = 100000,
    SYSMON_MORE = 64 /* workers enlisted at one look beyond the target */
};

static bool sysmon_all_idle(void)
{
    struct rt_state *s = &rt_state;
    return (int32_t)atomic_load(&s->n_idle) >= atomic_load(&s->enlisted) - atomic_load(&s->stuck) &&
           atomic_load(&s->n_idle) > 0 && s->poller;
}

void rt_sysmon_wake(void)
{
    struct rt_state *s = &rt_state;
    atomic_thread_fence(memory_order_seq_cst);
    if (atomic_load_explicit(&s->sysmon_asleep, memory_order_relaxed) &&
        atomic_exchange(&s->sysmon_asleep, 0)) {
        atomic_fetch_add(&s->sysmon_word, 1);
        sys.futex_wake(&s->sysmon_word, 1);
    }
}

static void sysmon_sleep(void)
{
    struct rt_state *s = &rt_state;
    uint32_t seen = atomic_load(&s->sysmon_word);
    rt_trim_arm();
    rt_rest_end(INT64_MAX);
    atomic_store(&s->sysmon_asleep, 1);
    atomic_thread_fence(memory_order_seq_cst);
    if (sysmon_all_idle() && !atomic_load(&s->stopping))
        sys.futex_wait(&s->sysmon_word, seen, NULL);
    atomic_store(&s->sysmon_asleep, 0);
}

static int64_t sysmon_cpu(struct rt_worker *w)
{
    clockid_t id;
    struct timespec ts = { 0, 0 };
    if (pthread_getcpuclockid(w->thread, &id) == 0)
        sys.clock_gettime(id, &ts);
    return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

/* "1234 (name) S ...": does it stand still? */
static bool sysmon_asleep(const struct rt_worker *w)
{
    char path[48], text[64];
    snprintf(path, sizeof path, "/proc/self/task/%d/stat", w->tid);
    int fd = sys.open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    ssize_t n = sys.read(fd, text, sizeof text - 1);
    sys.close(fd);
    text[n > 0 ? n : 0] = 0;
    const char *end = strrchr(text, ')');
    return end && (strncmp(end, ") S", 3) == 0 || strncmp(end, ") D", 3) == 0);
}

/* In the same tick for long? Also tells hogs from sleepers, for those marked before. */
static bool sysmon_stuck(struct rt_worker *w, int64_t now)
{
    uint64_t tick = atomic_load_explicit(&w->tick, memory_order_relaxed);
    uint32_t status = atomic_load(&w->status);
    if (tick != w->seen_tick || (status != RT_RUN && status != RT_STUCK)) {
        w->seen_tick = tick;
        w->seen_at = now;
        w->hog = w->asleep = false;
        w->seen_cpu = -1;
        return false;
    }
    if (now - w->seen_at <= SYSMON_STUCK_NS)
        return false;
    int64_t cpu = sysmon_cpu(w);
    bool moved = cpu > w->seen_cpu;
    if (w->seen_cpu >= 0)
        w->hog = moved;
    if (moved)
        w->asleep = sysmon_asleep(w);
    w->seen_cpu = cpu;
    return status == RT_RUN;
}

static int32_t sysmon_hogs(void)
{
    struct rt_state *s = &rt_state;
    int32_t n = 0;
    for (uint32_t i = 0; i < atomic_load(&s->n_workers); i++)
        n += atomic_load(&s->workers[i])->hog;
    return n;
}

static int32_t sysmon_waiting(void)
{
    struct rt_state *s = &rt_state;
    uint32_t n = atomic_load(&s->queue_len);
    for (uint32_t i = 0; i < atomic_load(&s->n_workers); i++)
        n += rt_local_len(atomic_load(&s->workers[i]));
    return n > SYSMON_MORE ? SYSMON_MORE : (int32_t)n;
}

/* How many workers that are not stuck there should be. */
static int32_t sysmon_target(void)
{
    struct rt_state *s = &rt_state;
    int32_t asleep = 0, waiting = sysmon_waiting();
    for (uint32_t i = 0; i < atomic_load(&s->n_workers); i++)
        asleep += atomic_load(&s->workers[i])->asleep;
    return (int32_t)s->target + (asleep < waiting ? asleep : waiting);
}

/* As many as are missing, at each look, not only for those marked just now: it may have failed
 * before. Under the mutex. */
static bool sysmon_replace(int32_t hogs)
{
    struct rt_state *s = &rt_state;
    int32_t target = sysmon_target();
    bool did = false;
    while (hogs <= LIMIT_SPARE_WORKERS &&
           atomic_load(&s->enlisted) - atomic_load(&s->stuck) < target) {
        if (!rt_enlist(hogs == LIMIT_SPARE_WORKERS ||
                       atomic_load(&s->n_workers) + 1 >= LIMIT_WORKERS))
            break;
        did = true;
    }
    return did;
}

/* For each worker that is stuck now, another one. */
static bool sysmon_relieve(int64_t now)
{
    struct rt_state *s = &rt_state;
    bool did = false;
    pthread_mutex_lock(&s->mutex);
    for (uint32_t i = 0; i < atomic_load(&s->n_workers); i++) {
        struct rt_worker *w = atomic_load(&s->workers[i]);
        did = (sysmon_stuck(w, now) && rt_mark_stuck(w)) || did;
    }
    did = sysmon_replace(sysmon_hogs()) || did;
    pthread_mutex_unlock(&s->mutex);
    return did;
}

/* Under the cap again: the one that was kept for resumed goroutines takes all. */
static void sysmon_uncap(void)
{
    struct rt_state *s = &rt_state;
    if (sysmon_hogs() >= LIMIT_SPARE_WORKERS)
        return;
    for (uint32_t i = 0; i < atomic_load(&s->n_workers); i++)
        atomic_store(&atomic_load(&s->workers[i])->resumed_only, false);
}

/* At rest (see worker.c) an idle worker is woken for what waits in a ring only if nothing was
 * started there since the last look. */
static bool sysmon_urgent(int64_t now)
{
    struct rt_state *s = &rt_state;
    bool urgent =
        atomic_load(&s->queue_len) || atomic_load(&s->fresh_len) || rt_timers_next() <= now;
    if (!atomic_load(&s->rest_until))
        return true;
    for (uint32_t i = 0; i < atomic_load(&s->n_workers); i++) {
        struct rt_worker *w = atomic_load(&s->workers[i]);
        urgent = urgent || (w->seen_tick == atomic_load(&w->tick) && rt_local_len(w));
        sysmon_stuck(w, now);
    }
    return urgent;
}

/* One look. Returns whether anything was out of order. */
static bool sysmon_look(void)
{
    struct rt_state *s = &rt_state;
    int64_t now = sys_now();
    atomic_store_explicit(&s->coarse, now, memory_order_relaxed);
    rt_defer_flush_old(now - SYSMON_DEFER_NS);
    if (!atomic_load(&s->poller) && now - rt_netpoll_last() > SYSMON_STUCK_NS)
        rt_netpoll_check();
    bool no_poller = rt_wake_poller();
    rt_mutex_calm();
    rt_rest_end(now);
    sysmon_uncap();
    rt_trim_arm();
    if (!rt_work_waiting(now)) {
        for (uint32_t i = 0; i < atomic_load(&s->n_workers); i++)
            sysmon_stuck(atomic_load(&s->workers[i]), now);
        return no_poller;
    }
    if (atomic_load(&s->n_idle)) {
        if (!sysmon_urgent(now))
            return no_poller;
        rt_wake_one();
        return true;
    }
    return sysmon_relieve(now);
}

void *rt_sysmon_main(void *arg)
{
    struct rt_state *s = &rt_state;
    int64_t pause = SYSMON_MIN_NS;
    int quiet = 0;
    (void)arg;
    rt_local_helper();
    while (!atomic_load(&s->stopping)) {
        uint32_t seen = atomic_load(&s->sysmon_word);
        struct timespec ts = { 0, pause };
        sys.futex_wait(&s->sysmon_word, seen, &ts);
        quiet = sysmon_all_idle() ? quiet + 1 : 0;
        if (quiet > 3) {
            sysmon_sleep();
            quiet = 0;
            pause = SYSMON_MIN_NS;
            continue;
        }
        bool disorder = sysmon_look();
        quiet = disorder ? 0 : quiet;
        pause = disorder ? SYSMON_MIN_NS : pause * 2;
        if (pause > SYSMON_MAX_NS)
            pause = SYSMON_MAX_NS;
    }
    return NULL;
}
