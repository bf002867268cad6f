/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * model_scenes.c: lock, run queue, note and task: the real files, each with two or three threads.
 */
#include "model.h"
#define LOCK_SPINS 0 /* sleeps at once */
/* the files under test */
#include "base/lock.c"
#include "rt/note.c"
#include "rt/runq.c"
#include "rt/task.c"
/* and what they are played with */
#include "model_scenes.h"

struct rt_state rt_state;
static struct rt_worker workers[2];
static struct rt_g gs[4];
static int data[4], took[4];

/* -- what the files need of others ----------------------------------------------------------- */

static _Atomic uint32_t unparked[4];

void rt_park(rt_commit_fn *commit, void *arg, const char *reason)
{
    struct rt_g *g = &gs[0];
    (void)reason;
    atomic_store_explicit(&unparked[0], 0, memory_order_relaxed);
    if (!commit(g, arg))
        return;
    while (atomic_load_explicit(&unparked[0], memory_order_acquire) == 0)
        sys.futex_wait(&unparked[0], 0, NULL);
}
void rt_unpark(struct rt_g *g)
{
    atomic_store_explicit(&unparked[g - gs], 1, memory_order_release);
    sys.futex_wake(&unparked[g - gs], 1);
}
bool rt_start(void) { return true; }
_Thread_local uintptr_t rt_local_word; /* set by task_start */
static _Atomic uint32_t readied;
void rt_ready(uintptr_t item, bool hand_off)
{
    (void)item, (void)hand_off;
    atomic_fetch_add(&readied, 1);
}

/* -- lock ------------------------------------------------------------------------------------ */

static struct lock scene_lock;
static void lock_start(void)
{
    memset(&scene_lock, 0, sizeof scene_lock);
    data[0] = 0;
}
static void lock_thread(void)
{
    lock_take(&scene_lock, LOCK_PRIM);
    model_write(&data[0]);
    data[0]++;
    lock_drop(&scene_lock, LOCK_PRIM);
}
static void lock_end(void) { model_check(data[0] == 2, "an increment is lost"); }

/* -- run queue: the owner pushes and pops, a thief steals ------------------------------------- */

static void queue_start(void)
{
    memset(workers, 0, sizeof workers);
    memset(took, 0, sizeof took);
    memset(data, 0, sizeof data);
}
static void queue_take(uintptr_t item)
{
    if (!item)
        return;
    struct rt_g *g = rt_g_of(item);
    model_read(&data[g - gs]);
    took[g - gs]++;
}
static void queue_owner(void)
{
    for (int i = 0; i < 2; i++) {
        model_write(&data[i]);
        data[i] = 1;
        rt_ring_push(&workers[0], rt_item_g(&gs[i]));
    }
    queue_take(rt_local_pop(&workers[0]));
    model_write(&data[2]);
    rt_ring_push(&workers[0], rt_item_g(&gs[2]));
    queue_take(rt_local_pop(&workers[0]));
}
static void queue_thief(void)
{
    for (int i = 0; i < 2; i++) {
        queue_take(rt_ring_steal(&workers[1], &workers[0]));
        for (uintptr_t item; (item = rt_local_pop(&workers[1])) != 0;)
            queue_take(item);
    }
}
/* Nobody else runs: what is left is counted by the indices themselves. */
static void queue_end(void)
{
    uint32_t left = *(uint32_t *)&workers[0].tail - *(uint32_t *)&workers[0].head;
    int n = 0;
    for (int i = 0; i < 3; i++) {
        model_check(took[i] <= 1, "an item is taken twice");
        n += took[i];
    }
    model_check(n + (int)left == 3, "an item is lost");
}

/* -- note ------------------------------------------------------------------------------------ */

static struct rt_note note;
static void note_start(void)
{
    memset(&note, 0, sizeof note);
    memset(data, 0, sizeof data);
    memset(gs, 0, sizeof gs);
    memset((void *)unparked, 0, sizeof unparked);
}
static void note_setter(void)
{
    model_write(&data[0]);
    rt_note_set(&note);
}
static void note_waiter(void)
{
    rt_note_wait(&note, "model");
    model_read(&data[0]);
}

/* -- task: woken by two while it runs -------------------------------------------------------- */

static struct rt_task task;
static _Atomic uint32_t task_told;
static int task_seen;
static void task_fn(struct rt_task *t)
{
    (void)t;
    if (atomic_load_explicit(&task_told, memory_order_relaxed))
        task_seen = 1;
}
static void task_start(void)
{
    memset(&task, 0, sizeof task);
    memset(workers, 0, sizeof workers);
    memset(data, 0, sizeof data);
    task.fn = task_fn;
    rt_local_word = (uintptr_t)&workers[0] | 1;
    *(uint32_t *)&readied = 0, *(uint32_t *)&task_told = 0, task_seen = 0;
    *(uint32_t *)&task.state = TASK_QUEUED;
    *(uint32_t *)&readied = 1;
}
static void task_waker(void)
{
    atomic_store_explicit(&task_told, 1, memory_order_relaxed);
    rt_task_wake(&task);
}
static void task_runner(void)
{
    for (uint32_t ran = 0; ran < atomic_load(&readied); ran++)
        rt_task_run(&workers[0], &task);
}
static void task_end(void)
{
    model_check(task_seen || *(uint32_t *)&task.state == TASK_QUEUED, "a wake-up is lost");
}

const struct model_scene model_scenes[] = {
    { "lock", lock_start, { lock_thread, lock_thread }, lock_end },
    { "run queue", queue_start, { queue_owner, queue_thief }, queue_end },
    { "note", note_start, { note_waiter, note_setter }, NULL },
    { "task", task_start, { task_runner, task_waker }, task_end },
    { 0 },
};
