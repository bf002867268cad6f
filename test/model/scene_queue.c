/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * scene_queue.c: run queues and the hand-off slot; parking and unparking of threads, on which
 * the scenes of prim and poll stand. */
#include "model.h"
/* the files under test */
#include "rt/runq.c"
#include "rt/sched.c"
/* and what they are played with */
#include "scene.h"
#include <linux/membarrier.h>

enum { QUEUE_FULL = 4 }; /* where head stands when the ring is full from the start */

static struct rt_worker *queue_me(void) { return &scene_workers[model_self()]; }

static void queue_start(void)
{
    scene_runtime(3);
    model_tentative(scene_workers[0].ring, sizeof scene_workers[0].ring);
}

/* Somebody has stolen before. */
static void queue_start_shared(void)
{
    queue_start();
    *(uint32_t *)&scene_workers[0].claim = RT_SHARED;
}

/* A thief cannot claim: the owner shares by itself. */
static int queue_no_fence(int cmd) { return cmd == MEMBARRIER_CMD_PRIVATE_EXPEDITED ? -1 : 0; }
static void queue_start_fenceless(void)
{
    queue_start();
    sys.membarrier = queue_no_fence;
}

static void queue_start_full(void)
{
    queue_start();
    *(uint32_t *)&scene_workers[0].head = QUEUE_FULL;
    *(uint32_t *)&scene_workers[0].tail = QUEUE_FULL + RT_RING;
    for (int i = 0; i < RT_RING; i++)
        *(uintptr_t *)&scene_workers[0].ring[(QUEUE_FULL + i) % RT_RING] =
            rt_item_task(&scene_tasks[i]);
}

static void queue_owner(void)
{
    rt_ring_push(queue_me(), scene_item(0));
    rt_ring_push(queue_me(), scene_item(1));
    scene_got(rt_local_pop(queue_me()));
    rt_ring_push(queue_me(), scene_item(2));
    scene_got(rt_local_pop(queue_me()));
}

static void queue_owner_full(void)
{
    rt_ring_push(queue_me(), scene_item(RT_RING));
    scene_got(rt_local_pop(queue_me()));
    rt_ring_push(queue_me(), scene_item(RT_RING + 1));
}

static void queue_thief(void)
{
    scene_got(rt_ring_steal(queue_me(), &scene_workers[0]));
    while (scene_got(rt_local_pop(queue_me())))
        ;
}

static void queue_thief_again(void)
{
    scene_got(rt_ring_steal(queue_me(), &scene_workers[0]));
    queue_thief();
}

static void queue_thief_of_thief(void) { scene_got(rt_ring_steal(queue_me(), &scene_workers[1])); }

static void queue_pusher(void)
{
    for (int i = 0; i < 3; i++)
        rt_ring_push(queue_me(), scene_item(i));
}

static void queue_robbed_thief(void) { scene_got(rt_ring_steal(queue_me(), &scene_workers[0])); }

static void queue_taker(void)
{
    scene_got(rt_global_pop(queue_me()));
    scene_got(rt_global_pop(queue_me()));
}

/* A thief claimed in vain between its pops. */
static void queue_owner_claimed(void)
{
    for (int i = 0; i < 3; i++)
        rt_ring_push(queue_me(), scene_item(i));
    scene_got(rt_local_pop(queue_me()));
    atomic_store_explicit(&queue_me()->claim, RT_CLAIMED, memory_order_relaxed);
    scene_got(rt_local_pop(queue_me()));
}
static void queue_thief_once(void) { scene_got(rt_ring_steal(queue_me(), &scene_workers[0])); }

/* What is left is taken by the indices themselves: nobody else runs. */
static void queue_end(void)
{
    struct rt_worker *w = &scene_workers[0];
    for (int k = 0; k < MODEL_THREADS; k++, w++) {
        uint32_t h = *(uint32_t *)&w->head, t = *(uint32_t *)&w->tail;
        for (; h != t; h++)
            scene_ran[rt_task_of(*(uintptr_t *)&w->ring[h % RT_RING]) - scene_tasks]++;
        if (*(uintptr_t *)&w->lifo)
            scene_ran[rt_task_of(*(uintptr_t *)&w->lifo) - scene_tasks]++;
    }
    for (uintptr_t i = rt_state.queue_head; i; i = rt_item_next(i))
        scene_ran[rt_task_of(i) - scene_tasks]++;
}
static void queue_end3(void)
{
    queue_end();
    model_check(scene_sum() == 3, "an item is lost");
}
static void queue_end_full(void)
{
    queue_end();
    model_check(scene_sum() == RT_RING + 2, "an item is lost");
}

/* -- the hand-off slot ------------------------------------------------------------------------ */

static void slot_owner(void)
{
    struct rt_worker *w = queue_me();
    for (int i = 0; i < 3; i++) {
        uintptr_t item = rt_lifo_put(w, scene_item(i));
        if (item)
            rt_ring_push(w, item);
    }
    scene_got(rt_local_pop(w));
}
/* One item, and then its owner is busy for long. */
static void slot_owner_1(void)
{
    model_write(&scene_data[1]), model_write(&scene_data[2]);
    rt_lifo_put(queue_me(), scene_item(0));
}
static void slot_end_1(void)
{
    queue_end();
    model_check(scene_sum() == 1, "an item is lost");
}
static void slot_thief(void)
{
    scene_got(rt_lifo_steal(&scene_workers[0]));
    scene_got(rt_ring_steal(queue_me(), &scene_workers[0]));
}

/* -- yielding: the place in the ring is taken before the registers are saved ------------------ */

static struct rt_g turn_gs[2]; /* the owner runs the first, the other one waits */

static void turn_start(void)
{
    queue_start();
    memset(turn_gs, 0, sizeof turn_gs);
    turn_gs[0].sp = turn_gs[1].sp = turn_gs;
    *(uintptr_t *)&scene_workers[0].ring[0] = rt_item_g(&turn_gs[1]);
    *(uint32_t *)&scene_workers[0].tail = 1;
}
static void turn_start_shared(void)
{
    turn_start();
    *(uint32_t *)&scene_workers[0].claim = RT_SHARED;
}
/* Who resumes a goroutine uses what it saved. */
static bool turn_got(uintptr_t item)
{
    if (item) {
        model_read(&scene_data[rt_g_of(item) - turn_gs]);
        scene_ran[rt_g_of(item) - turn_gs]++;
    }
    return item != 0;
}
static void turn_owner(void)
{
    struct rt_worker *w = queue_me();
    struct rt_g *cur = &turn_gs[0];
    for (int turns = 0; turns < 2; turns++) {
        struct rt_g *next = rt_ring_turn(w, cur);
        if (!next)
            continue;
        model_check(next != cur, "a goroutine runs twice");
        model_write(&scene_data[cur - turn_gs]); /* it saves its registers */
        rt_own_end(w);
        model_read(&scene_data[next - turn_gs]);
        cur = next;
    }
    scene_ran[cur - turn_gs]++;
    turn_got(rt_local_pop(w));
}
static void turn_thief(void)
{
    turn_got(rt_ring_steal(queue_me(), &scene_workers[0]));
    turn_got(rt_local_pop(queue_me()));
}
static void turn_end(void)
{
    for (int k = 0; k < MODEL_THREADS; k++) {
        struct rt_worker *w = &scene_workers[k];
        uint32_t h = *(uint32_t *)&w->head, t = *(uint32_t *)&w->tail;
        for (; h != t; h++)
            scene_ran[rt_g_of(*(uintptr_t *)&w->ring[h % RT_RING]) - turn_gs]++;
    }
    model_check(scene_ran[0] == 1 && scene_ran[1] == 1, "a goroutine is lost, or runs twice");
}

/* -- from outside and for one worker alone ----------------------------------------------------- */

static void inbox_sender(void)
{
    rt_inbox_push(&scene_workers[0], scene_item(model_self()));
    rt_global_push(scene_item(model_self() + 2), scene_item(model_self() + 2), 1);
}
static void inbox_owner(void)
{
    for (int i = 0; i < 3; i++) {
        scene_got(rt_inbox_pop(queue_me()));
        scene_got(rt_global_pop(queue_me()));
    }
}
/* It looks only when called: who came meanwhile must have called again. */
static void called_owner(void)
{
    struct rt_worker *w = queue_me();
    for (int turns = 0; turns < 3; turns++) {
        if (atomic_load_explicit(&w->limit, memory_order_relaxed))
            continue;
        rt_call_answer(w);
        while (scene_got(rt_inbox_pop(w)))
            ;
    }
}
static void called_sender(void) { rt_inbox_push(&scene_workers[0], scene_item(model_self())); }
static void called_end(void)
{
    struct rt_worker *w = &scene_workers[0];
    bool called = *(uint64_t *)&w->limit == 0;
    model_check(called || !w->inbox_head, "an item waits and nobody has called");
}
static void inbox_end(void)
{
    queue_end();
    for (uintptr_t i = scene_workers[0].inbox_head; i; i = rt_item_next(i))
        scene_ran[rt_task_of(i) - scene_tasks]++;
    model_check(scene_sum() == 4, "an item is lost");
}

const struct model_scene queue_scenes[] = {
    { "run queue", queue_start, { queue_owner, queue_thief }, queue_end3 },
    { "run queue, two thieves",
      queue_start,
      { queue_owner, queue_thief, queue_thief },
      queue_end3 },
    { "run queue, a thief of a thief",
      queue_start,
      { queue_pusher, queue_robbed_thief, queue_thief_of_thief },
      queue_end3 },
    { "run queue, no fence",
      queue_start_fenceless,
      { queue_owner, queue_thief_again },
      queue_end3 },
    { "run queue, claimed in vain",
      queue_start_fenceless,
      { queue_owner_claimed, queue_thief_once },
      queue_end3 },
    { "full run queue", queue_start_full, { queue_owner_full, queue_thief }, queue_end_full },
    { "full run queue, who takes over",
      queue_start_full,
      { queue_owner_full, queue_taker },
      queue_end_full },
    { "hand-off slot", queue_start, { slot_owner, slot_thief }, queue_end3 },
    { "hand-off slot, shared", queue_start_shared, { slot_owner, slot_thief }, queue_end3 },
    { "run queue, a turn", turn_start, { turn_owner, turn_thief }, turn_end },
    { "run queue, a turn, two thieves",
      turn_start,
      { turn_owner, turn_thief, turn_thief },
      turn_end },
    { "run queue, a turn, shared", turn_start_shared, { turn_owner, turn_thief }, turn_end },
    { "hand-off slot, one item", queue_start, { slot_owner_1, slot_thief }, slot_end_1 },
    { "inbox and global queue",
      queue_start,
      { inbox_owner, inbox_sender, inbox_sender },
      inbox_end },
    { "inbox, its owner is called",
      queue_start,
      { called_owner, called_sender, called_sender },
      called_end },
    { 0 },
};
