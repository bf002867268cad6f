/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * scene_prim.c: mutex, channel, select, with and without a context that ends. */
#include "model.h"
#include <string.h>
static void *prim_copy(void *to, const void *from, size_t n)
{
    model_read(from);
    model_write(to);
    return memcpy(to, from, n);
}
/* the files under test */
#define memcpy prim_copy /* elements are plain data */
#include "rt/chan.c"
#undef memcpy
#include "rt/ctx.c"
#include "rt/mutex.c"
#include "rt/prim.c"
#include "rt/select.c"
/* and what they are played with */
#include "scene.h"

static sennit_ctx prim_ctx;
static int prim_sum;

static void prim_start(void)
{
    scene_runtime(0);
    memset(&prim_ctx, 0, sizeof prim_ctx);
    prim_ctx.root = &prim_ctx, prim_ctx.deadline = INT64_MAX;
    list_init(&prim_ctx.children), list_init(&prim_ctx.sibling);
    list_init(&prim_ctx.watches), list_init(&prim_ctx.runs);
    prim_sum = 0;
}
static void prim_cancel(void) { sennit_ctx_cancel(&prim_ctx); }

/* -- context --------------------------------------------------------------------------------- */

static struct ctx_watch watch;
static bool watch_done;

static void watch_fn(struct ctx_watch *w) { model_read(w); }
static void watch_start(void)
{
    prim_start();
    watch_done = false;
}
static void watch_owner(void)
{
    ctx_watch_add(&prim_ctx, &watch, watch_fn);
    ctx_watch_del(&watch);
    model_write(&watch); /* freed */
}
static void watch_start_set(void)
{
    watch_start();
    watch.ctx = &prim_ctx, watch.fn = watch_fn, watch.run = NULL, watch.state = CTX_WATCH_SET;
    list_push_back(&prim_ctx.watches, &watch.node);
}
static void watch_owner_late(void)
{
    ctx_watch_del(&watch);
    model_write(&watch);
}
static void watch_cancel(void)
{
    prim_cancel();
    watch_done = true;
}
/* As who frees the root while another one's run is in it. */
static void watch_root_freer(void)
{
    while (!watch_done && atomic_load_explicit(&prim_ctx.active, memory_order_relaxed) == 0)
        model_relax();
    if (watch_done)
        return;
    ctx_quiesce(&prim_ctx);
    model_write(&watch);
}
static void ctx_because(void)
{
    model_write(&prim_ctx.cause);
    ctx_end_because(&prim_ctx, (sennit_err)&prim_ctx);
}
static void ctx_asker(void)
{
    if (sennit_ctx_error(&prim_ctx))
        model_read(&prim_ctx.cause);
}
static void ctx_late_watcher(void)
{
    if (!ctx_watch_add(&prim_ctx, &watch, watch_fn))
        model_read(&prim_ctx.cause);
    else
        ctx_watch_del(&watch);
}
/* Who was let in before leaves; who waits for that may free it then. */
static void left_start(void)
{
    prim_start();
    prim_ctx.users = 2;
}
static void left_user(void)
{
    model_read(&prim_ctx);
    ctx_leave(&prim_ctx);
}
static void left_waiter(void)
{
    ctx_wait_left(&prim_ctx);
    model_write(&prim_ctx);
}

static struct rt_note wait_note;
static bool wait_ended;
static void wait_start(void)
{
    prim_start();
    memset(&wait_note, 0, sizeof wait_note);
    wait_ended = false;
}
static void wait_waiter(void)
{
    wait_ended = ctx_note_wait(&prim_ctx, &wait_note, "model") != NULL;
    if (wait_ended)
        model_read(&prim_ctx.cause);
}
static void wait_setter(void) { rt_note_set(&wait_note); }
static void wait_end(void) { model_check(wait_ended, "a wait ends for nothing"); }

/* As who ends a context of his own while others leave it. */
static void left_start_one(void)
{
    left_start();
    prim_ctx.users = 1;
}
static void left_retirer(void)
{
    ctx_retire(&prim_ctx);
    model_write(&prim_ctx);
}
static void left_asker(void)
{
    if (ctx_unused(&prim_ctx))
        model_write(&prim_ctx);
}

/* -- mutex ----------------------------------------------------------------------------------- */

static sennit_mutex mutex;
static void mutex_start(void)
{
    prim_start();
    memset(&mutex, 0, sizeof mutex);
}
static void mutex_section(void)
{
    model_write(&prim_sum);
    prim_sum++;
    sennit_mutex_unlock(&mutex);
}
static void mutex_thread(void)
{
    (void)sennit_mutex_lock(&mutex, NULL);
    mutex_section();
}
/* Longer, so that the others come to wait for it. */
static _Atomic uint32_t mutex_busy;
static void mutex_long_thread(void)
{
    (void)sennit_mutex_lock(&mutex, NULL);
    atomic_fetch_add_explicit(&mutex_busy, 1, memory_order_relaxed);
    mutex_section();
}
static void mutex_ctx_thread(void)
{
    if (sennit_mutex_lock(&mutex, &prim_ctx) == NULL)
        mutex_section();
}
static void mutex_end2(void)
{
    model_check(prim_sum == 2, "an increment is lost");
    model_check((*(uint16_t *)&((struct mutex_rep *)&mutex)->state & ~MUTEX_WOKEN) == 0,
                "the mutex is not free");
}
static void mutex_end3(void)
{
    prim_sum--;
    mutex_end2();
}
static void mutex_end_ctx(void)
{
    model_check(prim_sum >= 1, "an increment is lost");
    model_check(*(uint16_t *)&((struct mutex_rep *)&mutex)->state == 0, "the mutex is not free");
}
/* Who waits long is given it. */
static void mutex_patient(void)
{
    (void)sennit_mutex_lock(&mutex, NULL);
    model_clock_now += 2 * MUTEX_PATIENCE_NS;
    mutex_section();
}

/* A worker has it, and unlocks it by a store while others begin to wait. */
static void mutex_start_alone(void)
{
    mutex_start();
    scene_runtime(1);
    *(uint16_t *)&((struct mutex_rep *)&mutex)->state = MUTEX_LOCKED;
}

/* One waits until all workers unlock by CAS; who comes then relies on it. */
static void mutex_settler(void) { mutex_wait_begin(); }

/* At once to where it queues. */
static void mutex_queuer(void)
{
    struct mutex_rep *m = (struct mutex_rep *)&mutex;
    struct prim_waiter w = { .lost = false };
    mutex_wait_begin();
    for (uint16_t clear = 0; !mutex_queue(m, &w, clear); clear = MUTEX_WOKEN)
        rt_note_wait(&w.note, "model");
    mutex_section();
}

/* Nobody waits any more, so that workers unlock by a store again: and one comes once more. */
static void mutex_start_settled(void)
{
    mutex_start_alone();
    *(uint32_t *)&rt_state.mutex_waits = RT_MUTEX_ALONE + RT_MUTEX_WAIT + RT_MUTEX_SETTLED;
}
static void mutex_section_again(void)
{
    mutex_section();
    mutex_thread();
}
static void mutex_leaver(void)
{
    (void)mutex_wait((struct mutex_rep *)&mutex, NULL);
    mutex_section();
    mutex_wait_end();
}

static sennit_cond cond;
static int cond_flag;
static void cond_start(void)
{
    mutex_start();
    memset(&cond, 0, sizeof cond);
    cond_flag = 0;
}
static void cond_waiter(void)
{
    (void)sennit_mutex_lock(&mutex, NULL);
    model_read(&cond_flag);
    while (!cond_flag)
        (void)sennit_cond_wait(&cond, &mutex, NULL);
    mutex_section();
}
static void cond_signaller(void)
{
    (void)sennit_mutex_lock(&mutex, NULL);
    model_write(&cond_flag);
    cond_flag = 1;
    sennit_cond_signal(&cond);
    mutex_section();
}

/* -- channel --------------------------------------------------------------------------------- */

static sennit_chan *chan, *chan_b;
static void chan_start_of(size_t capacity)
{
    prim_start();
    chan = sennit_chan_new(sizeof(int), capacity);
    chan_b = sennit_chan_new(sizeof(int), capacity);
}
static void chan_start(void) { chan_start_of(0); }
static void chan_start_1(void) { chan_start_of(1); }

static bool chan_send_one(sennit_chan *c, int i, sennit_ctx *ctx)
{
    model_write(&scene_data[i]);
    model_write(&i);
    return sennit_chan_send(c, ctx, &i) == NULL;
}
static void chan_took(int i)
{
    model_read(&scene_data[i]);
    model_check(scene_ran[i]++ == 0, "an element comes twice");
}
static bool chan_recv_one(sennit_chan *c, sennit_ctx *ctx)
{
    int i = -1;
    model_write(&i);
    if (sennit_chan_recv(c, ctx, &i) != NULL)
        return false;
    model_read(&i);
    chan_took(i);
    return true;
}
static void chan_sender(void)
{
    chan_send_one(chan, 0, NULL);
    chan_send_one(chan, 1, NULL);
}
static void chan_receiver(void)
{
    chan_recv_one(chan, NULL);
    chan_recv_one(chan, NULL);
}
static void chan_receiver_1(void) { chan_recv_one(chan, NULL); }
static void chan_sender_1(void) { chan_send_one(chan, model_self(), NULL); }
static void chan_end2(void) { model_check(scene_sum() == 2, "an element is lost"); }

static bool chan_ok[2];
static void chan_ctx_receiver(void) { chan_ok[0] = chan_recv_one(chan, &prim_ctx); }
static void chan_closing_sender(void)
{
    chan_ok[1] = chan_send_one(chan, 1, &prim_ctx);
    (void)sennit_chan_close(chan);
}
static void chan_ctx_end(void)
{
    model_check(chan_ok[0] == chan_ok[1], "one side only knows of it");
}

/* Frees it once the other one is inside. */
static void chan_freer(void)
{
    for (bool inside = false; !inside;) {
        lock_take(&chan->lock, LOCK_PRIM);
        inside = !list_empty(&chan->receivers);
        lock_drop(&chan->lock, LOCK_PRIM);
        if (!inside && (scene_ran[11] || sennit_ctx_error(&prim_ctx)))
            return; /* it has left already */
        if (!inside)
            model_relax();
    }
    sennit_chan_free(chan);
}
static void chan_ctx_waiter(void)
{
    chan_recv_one(chan, &prim_ctx);
    scene_ran[11] = 1;
}
static void chan_any(void) {}

/* -- select ---------------------------------------------------------------------------------- */

static bool select_one(void)
{
    int got[2] = { -1, -1 };
    model_write(&got[0]), model_write(&got[1]);
    sennit_case cases[2] = { { .kind = SENNIT_CASE_RECV, .chan = chan, .recv = &got[0] },
                             { .kind = SENNIT_CASE_RECV, .chan = chan_b, .recv = &got[1] } };
    int which = sennit_select_sized(&prim_ctx, cases, 2, sizeof cases[0]);
    if (which < 0)
        return false;
    model_read(&got[which]);
    chan_took(got[which]);
    return true;
}
static void select_thread(void)
{
    select_one();
    select_one();
}
static void select_once_thread(void) { chan_ok[0] = select_one(); }
static void select_sender_a(void) { chan_send_one(chan, 1, NULL); }
static void select_sender_b(void) { chan_send_one(chan_b, 2, NULL); }
static void select_ctx_sender(void) { chan_ok[1] = chan_send_one(chan, 1, &prim_ctx); }

const struct model_scene prim_scenes[] = {
    { "context, a watch taken back", watch_start, { watch_owner, prim_cancel } },
    { "context, a watch taken back late", watch_start_set, { watch_owner_late, prim_cancel } },
    { "context, root freed", watch_start_set, { watch_root_freer, watch_cancel } },
    { "context, why it ended", prim_start, { ctx_asker, ctx_because } },
    { "context, ended before", watch_start, { ctx_late_watcher, ctx_because } },
    { "context left", left_start, { left_waiter, left_user, left_user } },
    { "context, a wait", wait_start, { wait_waiter, ctx_because }, wait_end },
    { "context, a wait that is over", wait_start, { wait_waiter, ctx_because, wait_setter } },
    { "context retired", left_start_one, { left_retirer, left_user } },
    { "context unused", left_start_one, { left_asker, left_user } },
    { "mutex", mutex_start, { mutex_thread, mutex_thread }, mutex_end2 },
    { "mutex of three", mutex_start, { mutex_thread, mutex_thread, mutex_thread }, mutex_end3 },
    { "mutex given", mutex_start, { mutex_patient, mutex_patient, mutex_patient }, mutex_end3 },
    { "mutex, context ends",
      mutex_start,
      { mutex_long_thread, mutex_ctx_thread, prim_cancel },
      mutex_end_ctx },
    { "mutex alone", mutex_start_alone, { mutex_section, mutex_thread }, mutex_end2 },
    { "mutex alone, two come",
      mutex_start_alone,
      { mutex_section, mutex_thread, mutex_thread },
      mutex_end3 },
    { "mutex alone, one settles it",
      mutex_start_alone,
      { mutex_section, mutex_settler, mutex_queuer },
      mutex_end2 },
    { "mutex alone, one queues", mutex_start_alone, { mutex_section, mutex_queuer }, mutex_end2 },
    { "mutex alone again",
      mutex_start_settled,
      { mutex_section_again, mutex_leaver, rt_mutex_calm },
      mutex_end3 },
    { "condition", cond_start, { cond_waiter, cond_signaller }, mutex_end2 },
    { "channel", chan_start, { chan_sender, chan_receiver }, chan_end2 },
    { "channel of one",
      chan_start_1,
      { chan_sender, chan_receiver_1, chan_receiver_1 },
      chan_end2 },
    { "channel, two senders",
      chan_start,
      { chan_receiver, chan_sender_1, chan_sender_1 },
      chan_end2 },
    { "channel, context ends",
      chan_start,
      { chan_ctx_receiver, chan_closing_sender, prim_cancel },
      chan_ctx_end },
    { "channel freed", chan_start, { chan_ctx_waiter, chan_freer, prim_cancel }, chan_any },
    { "select", chan_start, { select_thread, select_sender_a, select_sender_b }, chan_end2 },
    { "select, context ends",
      chan_start,
      { select_once_thread, select_ctx_sender, prim_cancel },
      chan_ctx_end },
    { 0 },
};
