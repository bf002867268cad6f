/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * scene_base.c: lock, seat, note and task, and what all scenes stand on. */
#include "model.h"
/* the files under test */
#include "base/asym.c"
#include "base/lock.c"
#include "base/seat.c"
#include "rt/note.c"
#include "rt/task.c"
/* and what they are played with */
#include "scene.h"

struct rt_worker scene_workers[MODEL_THREADS];
struct rt_task scene_tasks[SCENE_ITEMS];
int scene_data[SCENE_ITEMS], scene_ran[SCENE_ITEMS];

/* -- of other files: who am I ---------------------------------------------------------------- */

const void *rt_thread_mark(void) { return &model_gs[model_self()]; }
bool rt_is_helper(void) { return false; }
struct rt_g *rt_thread_self(void) { return &model_gs[model_self()]; }
struct rt_g *rt_self(void) { return rt_thread_self(); }
bool rt_loop_mine(void) { return false; }
void rt_loop_wait(_Atomic uint32_t *word) { (void)word; }
void rt_loop_kick(void) {}
void rt_sysmon_wake(void) {}
sennit_err rt_refused(void) { return NULL; }
void rt_fork_stop(const char *doing) { (void)doing; }
uint32_t random_u32(void) { return 0; }

/* -- what all scenes share ------------------------------------------------------------------- */

static void scene_task(struct rt_task *t)
{
    int i = (int)(t - scene_tasks);
    model_read(&scene_data[i]);
    scene_ran[i]++;
}

static int scene_membarrier(int cmd)
{
    if (cmd == MEMBARRIER_CMD_PRIVATE_EXPEDITED)
        model_order_all();
    return 0;
}

void scene_runtime(int n)
{
    uintptr_t words[MODEL_THREADS] = { 0 };
    memset(scene_workers, 0, sizeof scene_workers);
    memset(scene_ran, 0, sizeof scene_ran);
    memset(&rt_state, 0, offsetof(struct rt_state, workers));
    memset((char *)&rt_state + offsetof(struct rt_state, n_workers), 0,
           sizeof rt_state - offsetof(struct rt_state, n_workers));
    sys.membarrier = scene_membarrier;
    rt_state.mutex_waits = RT_MUTEX_ALONE;
    rt_state.running = 1, rt_state.target = 2, rt_state.cpus = 2;
    list_init(&rt_state.idle);
    rt_state.n_workers = (uint32_t)n, rt_state.enlisted = n;
    for (int i = 0; i < n; i++) {
        struct rt_worker *w = &scene_workers[i];
        rt_state.workers[i] = w;
        w->limit = RT_ROUNDS;
        w->index = (uint32_t)i, w->defers = rt_defer_count((unsigned)i);
        list_init(&w->idle);
        words[i] = (uintptr_t)w | 1;
    }
    for (int i = 0; i < SCENE_ITEMS; i++) {
        rt_task_init(&scene_tasks[i], scene_task);
        scene_tasks[i].state = TASK_QUEUED;
    }
    model_words(words);
}

uintptr_t scene_item(int i)
{
    model_write(&scene_data[i]);
    return rt_item_task(&scene_tasks[i]);
}

bool scene_got(uintptr_t item)
{
    if (!item)
        return false;
    scene_task(rt_task_of(item));
    return true;
}

int scene_sum(void)
{
    int sum = 0;
    for (int i = 0; i < SCENE_ITEMS; i++) {
        model_check(scene_ran[i] <= 1, "an item is taken twice");
        sum += scene_ran[i];
    }
    return sum;
}

/* -- lock ------------------------------------------------------------------------------------ */

static struct lock base_lock;
static void lock_start(void)
{
    scene_runtime(0);
    memset(&base_lock, 0, sizeof base_lock);
    scene_data[0] = 0;
}
static void lock_thread(void)
{
    lock_take(&base_lock, LOCK_PRIM);
    model_write(&scene_data[0]);
    scene_data[0]++;
    lock_drop(&base_lock, LOCK_PRIM);
}
static void lock_end3(void) { model_check(scene_data[0] == 3, "an increment is lost"); }
static void lock_end2(void) { model_check(scene_data[0] == 2, "an increment is lost"); }

/* -- seat: the first thread's home ------------------------------------------------------------ */

static struct seat seat;
static bool seat_got[MODEL_THREADS];
static _Atomic bool seat_wanted;
static int seat_closed;
static void seat_start(void)
{
    scene_runtime(0);
    memset(&seat, 0, sizeof seat);
    *(uint64_t *)&seat.home = 1;
    *(bool *)&seat_wanted = false;
    memset(seat_got, 0, sizeof seat_got);
    scene_data[0] = seat_closed = 0;
}
static void seat_start_new(void)
{
    seat_start();
    *(uint64_t *)&seat.home = 0;
}
static int seat_no_membarrier(int cmd)
{
    (void)cmd;
    return -1;
}
static void seat_start_without(void)
{
    seat_start();
    *(uint64_t *)&seat.home = SEAT_OPEN;
    sys.membarrier = seat_no_membarrier;
}
static bool seat_sit(uint64_t me)
{
    bool got =
        seat_at_home(&seat, me) ? seat_take_home(&seat, me) : seat_take_guest(&seat, me, "model");
    if (got)
        model_write(&scene_data[0]);
    return got;
}
static void seat_thread(void)
{
    uint64_t me = (uint64_t)model_self() + 1;
    for (int i = 0; i < 2; i++) {
        if (!seat_sit(me))
            continue;
        seat_got[me - 1] = true;
        seat_leave(&seat, me);
    }
}
static void seat_once(void)
{
    uint64_t me = (uint64_t)model_self() + 1;
    seat_got[me - 1] = seat_sit(me);
    if (seat_got[me - 1])
        seat_leave(&seat, me);
}
static void seat_end(void)
{
    model_check(seat_got[0] || seat_got[1] || seat_got[2], "all are refused");
    model_check(!*(bool *)&seat.inside && *(uint64_t *)&seat.who == 0, "somebody stays inside");
}

/* As stream.c has it: who is refused leaves word, and one of the two does what it asks for. */
static void seat_close_if_wanted(uint64_t me)
{
    while (atomic_load(&seat_wanted) && !seat_closed && seat_sit(me)) {
        seat_closed++;
        seat_leave(&seat, me);
    }
}
static void seat_sender(void)
{
    if (seat_sit(1)) {
        seat_leave(&seat, 1);
        seat_close_if_wanted(1);
    }
}
static void seat_closer(void)
{
    if (seat_sit(2)) {
        seat_closed++;
        seat_leave(&seat, 2);
        return;
    }
    atomic_store(&seat_wanted, true);
    seat_fence();
    seat_close_if_wanted(2);
}
static void seat_closer_end(void) { model_check(seat_closed > 0, "a close is lost"); }

/* -- note ------------------------------------------------------------------------------------ */

static struct rt_note note;
static _Atomic uint32_t note_told;
static void note_start(void)
{
    scene_runtime(0);
    memset(&note, 0, sizeof note);
    *(uint32_t *)&note_told = 0;
}
static void note_setter(void)
{
    model_write(&scene_data[model_self()]);
    atomic_fetch_add_explicit(&note_told, 1, memory_order_relaxed);
    rt_note_set(&note);
}
static void note_waiter(void)
{
    rt_note_wait(&note, "model");
    model_read(&scene_data[1]);
    model_write(&note); /* it may be freed: nobody touches it any more */
}
/* The second setting of a set note is not lost on who looks then. */
static void note_waiter2(void)
{
    do
        rt_note_wait(&note, "model");
    while (atomic_load_explicit(&note_told, memory_order_relaxed) < 2);
}

/* A goroutine: its worker commits it once its registers are saved, and another one resumes it. */
static struct rt_g note_g;
static bool note_parked;
static void note_start_g(void)
{
    note_start();
    memset(&note_g, 0, sizeof note_g);
    note_parked = true;
}
static void note_parker(void)
{
    atomic_store_explicit(&note_g.state, RT_G_PARKED, memory_order_relaxed);
    model_write(&note_g.sp);
    note_parked = note_commit(&note_g, &note);
    if (!note_parked)
        note_waiter();
}
static void note_resumer(void)
{
    uintptr_t item = 0;
    while (note_parked && (item = rt_global_pop(&scene_workers[0])) == 0)
        model_relax();
    if (!item)
        return;
    model_write(&note_g.sp);
    note_waiter();
}

/* -- task: two workers, woken twice ---------------------------------------------------------- */

static struct rt_task task;
static _Atomic uint32_t task_told;
static uint32_t task_seen;
static void task_fn(struct rt_task *t)
{
    (void)t;
    model_write(&scene_data[0]); /* never on two workers at once */
    task_seen = atomic_load_explicit(&task_told, memory_order_relaxed);
}
static void task_start(void)
{
    scene_runtime(2);
    rt_task_init(&task, task_fn);
    *(uint32_t *)&task_told = 0, task_seen = 0;
}
static void task_waker(void)
{
    for (int i = 0; i < 2; i++) {
        atomic_fetch_add_explicit(&task_told, 1, memory_order_relaxed);
        rt_task_wake(&task);
    }
}
static void task_runner(void)
{
    struct rt_worker *w = &scene_workers[model_self()];
    for (int i = 0; i < 3; i++) {
        uintptr_t item = rt_global_pop(w);
        if (item || (item = rt_local_pop(w)) != 0)
            rt_task_run(w, rt_task_of(item));
    }
}
static void task_end(void)
{
    model_check(task_seen == 2 || *(uint32_t *)&task.state == TASK_QUEUED, "a wake-up is lost");
}

const struct model_scene base_scenes[] = {
    { "lock", lock_start, { lock_thread, lock_thread }, lock_end2 },
    { "lock of three", lock_start, { lock_thread, lock_thread, lock_thread }, lock_end3 },
    { "seat", seat_start, { seat_thread, seat_thread }, seat_end },
    { "seat of three", seat_start, { seat_once, seat_once, seat_once }, seat_end },
    { "seat of nobody yet", seat_start_new, { seat_once, seat_once, seat_once }, seat_end },
    { "seat, word left", seat_start, { seat_sender, seat_closer }, seat_closer_end },
    { "seat, word left, no membarrier",
      seat_start_without,
      { seat_sender, seat_closer },
      seat_closer_end },
    { "note", note_start, { note_waiter, note_setter } },
    { "note of two", note_start, { note_waiter2, note_setter, note_setter } },
    { "note of a goroutine", note_start_g, { note_parker, note_setter, note_resumer } },
    { "task", task_start, { task_runner, task_runner, task_waker }, task_end },
    { 0 },
};
