/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * scene_work.c: workers that fall asleep and are woken, deferred flushes, the flusher's claim, and
 * trimming of stacks. */
#include "model.h"
/* the files under test */
#include "rpc/transport.c"
#define list_push_back(head, n) (model_write(n), (list_push_back)(head, n)) /* plain data */
#define list_remove(n)          (model_write(n), (list_remove)(n))
#include "rt/defer.c"
#undef list_push_back
#undef list_remove
#include "rt/trim.c"
#define pthread_mutex_lock(m)   ((void)(m), lock_take(&work_mutex, LOCK_UNRANKED))
#define pthread_mutex_unlock(m) ((void)(m), lock_drop(&work_mutex, LOCK_UNRANKED))
static struct lock work_mutex; /* in the place of rt_state.mutex */
#define WORKER_REST_NS 0       /* a burst at rest waits for its own worker, or sysmon */
#include "rt/worker.c"
#undef pthread_mutex_lock
#undef pthread_mutex_unlock
/* and what they are played with */
#include "scene.h"

void scene_poll_start(void);

/* -- sleep and wake -------------------------------------------------------------------------- */

static int work_all;

static void work_start(void)
{
    scene_runtime(3);
    scene_poll_start();
    memset(defer_lists, 0, sizeof defer_lists[0] * 3);
}
static void work_start_2(void)
{
    work_start();
    rt_state.n_workers = 2, rt_state.enlisted = 2, work_all = 2;
    model_words((uintptr_t[MODEL_THREADS]){ 0, 0, (uintptr_t)&model_gs[2] });
}
static void work_start_3(void)
{
    work_start();
    work_all = 3;
    rt_state.target = 3;
}
/* One worker, whom two plain threads give something. */
static void work_start_outside(void)
{
    work_start();
    rt_state.n_workers = 1, rt_state.enlisted = 1, rt_state.target = 1, work_all = 2;
    model_words((uintptr_t[MODEL_THREADS]){ 0, (uintptr_t)&model_gs[1], (uintptr_t)&model_gs[2] });
}
static void work_busy(void) /* and does not come back to its queue */
{
    for (int i = 0; i < work_all; i++)
        rt_ready(scene_item(i), false);
}
static void work_outside(void) { rt_ready(scene_item(model_self()), false); }
static void work_worker(void)
{
    struct rt_worker *w = &scene_workers[model_self()];
    while (scene_sum() < work_all) {
        uintptr_t item = worker_find(w);
        if (item)
            rt_worker_run(w, item);
    }
}
/* One item alone in a worker's queue wakes nobody: its worker comes to it, or sysmon. */
static bool work_rest(void) { return scene_sum() + 1 >= work_all; }

static struct rt_g work_pinned;
static void work_start_pinned(void)
{
    work_start_outside();
    work_all = 1;
    memset(&work_pinned, 0, sizeof work_pinned);
    work_pinned.pin = &scene_workers[0];
}
static void work_pin_sender(void)
{
    model_write(&scene_data[0]);
    rt_ready(rt_item_g(&work_pinned), false);
}
static void work_pin_owner(void)
{
    uintptr_t item;
    while ((item = worker_find(&scene_workers[0])) == 0)
        ;
    model_read(&scene_data[0]);
}

/* Takes one, and is busy with it for ever: others must be there for the rest. */
static void work_worker_1(void)
{
    struct rt_worker *w = &scene_workers[model_self()];
    uintptr_t item;
    while ((item = worker_find(w)) == 0)
        ;
    rt_worker_run(w, item);
}

/* A searcher that retires while another one sleeps: what was left to it must not be forgotten. */
static void work_start_surplus(void)
{
    work_start();
    rt_state.n_workers = 2, rt_state.enlisted = 2, rt_state.target = 1, work_all = 2;
    memset(&work_mutex, 0, sizeof work_mutex);
    scene_workers[0].searching = true, *(uint32_t *)&rt_state.searching = 1;
    model_words((uintptr_t[MODEL_THREADS]){ 0, 0, (uintptr_t)&model_gs[2] });
}
void rt_stack_flush(struct rt_worker *w) { (void)w; }
static void work_retirer(void)
{
    while (!atomic_load_explicit(&rt_state.n_idle, memory_order_relaxed) && scene_sum() == 0)
        model_relax();
    worker_retire(&scene_workers[0], true);
}
/* Done, but for who retired. */
static bool work_rest_all(void) { return scene_sum() == 1; }

/* As shutdown_threads. */
static void work_stopper(void)
{
    atomic_store_explicit(&rt_state.stopping, 1, memory_order_relaxed);
    atomic_thread_fence(memory_order_seq_cst);
    rt_poke(&scene_workers[0].parked);
    rt_poke(&scene_workers[1].parked);
    rt_netpoll_wake();
}
static void work_stopped(void)
{
    while (!atomic_load_explicit(&rt_state.stopping, memory_order_relaxed))
        worker_idle(&scene_workers[model_self()]);
}

/* -- deferred flushes ------------------------------------------------------------------------ */

static struct rt_defer defer;
static _Atomic uint32_t defer_told;
static uint32_t defer_seen;
static bool defer_gone;

static void defer_fn(struct rt_defer *d)
{
    (void)d;
    model_check(!defer_gone, "it runs after cancel");
    uint32_t told = atomic_load_explicit(&defer_told, memory_order_relaxed);
    defer_seen = told > defer_seen ? told : defer_seen;
    model_read(&defer.fn);
}
static void defer_start(void)
{
    work_start();
    rt_defer_init(&defer, defer_fn);
    *(uint32_t *)&defer_told = 0, defer_seen = 0, defer_gone = false;
}
static void defer_change(void)
{
    atomic_fetch_add_explicit(&defer_told, 1, memory_order_relaxed);
    rt_defer(&defer);
}
static void defer_worker(void)
{
    defer_change();
    defer_change();
}
static void defer_flusher(void) { rt_defer_flush_old(INT64_MAX); }
static void defer_end(void)
{
    model_check(defer_seen == 2 || !list_empty(&defer.node), "a change is not flushed");
}
static void defer_canceller(void)
{
    rt_defer_cancel(&defer);
    defer_gone = true;
    model_write(&defer.fn); /* freed */
}
static void defer_start_cancel(void)
{
    defer_start();
    defer.queued = 1;
    list_init(&defer_lists[0].head);
    list_push_back(&defer_lists[0].head, &defer.node);
    *(uint32_t *)&defer_lists[0].len = 1;
}

/* -- the flusher's claim: two append, all octets leave -------------------------------------- */

static struct transport flush;
static int flush_appended, flush_taken, flush_sent; /* the first two under flush's lock */
static int flush_refuse;                            /* so often the socket takes nothing */
static struct lock flush_kernel; /* in its place: it orders who is in it for one socket */
static uint8_t flush_buf[8];

bool h2_out_take(struct h2_out *o, uint8_t **buf, size_t *len, size_t *cap)
{
    if (flush_taken == flush_appended)
        return false;
    *buf = flush_buf, *cap = 8;
    *len = o->taken_octets = (size_t)(flush_appended - flush_taken);
    flush_taken = flush_appended;
    return true;
}
void h2_out_give_back(struct h2_out *o, uint8_t *buf, size_t cap) { (void)o, (void)buf, (void)cap; }
uint8_t *h2_out_strip(struct h2_out *o, size_t most)
{
    (void)o, (void)most;
    return NULL;
}
void pool_give(struct pool *p, void *block) { model_check(!block, "no buffer was borrowed"); }
bool sys_trim(void) { return false; }
bool pool_trim(void) { return false; }
size_t h2_out_drop(struct h2_out *o, uint8_t **buf) { return (void)o, (void)buf, 0; }
size_t h2_pump_bound(const struct h2_out *o) { return o->len; }
void h2_out_fini(struct h2_out *o) { model_write(o); }
void h2_in_free(struct h2_in *in) { (void)in; }
void headers_forget_runs(struct transport *t) { (void)t; }
void net_auth_free(struct net_auth *auth) { (void)auth; }

static ssize_t flush_send(struct net_io *io, const struct iovec *v, int n)
{
    (void)io, (void)n;
    model_write(&flush.unsent); /* the flusher's alone */
    lock_take(&flush_kernel, LOCK_UNRANKED);
    bool full = flush_refuse > 0;
    flush_refuse -= full;
    flush_sent += full ? 0 : (int)v->iov_len;
    lock_drop(&flush_kernel, LOCK_UNRANKED);
    return full ? -EAGAIN : (ssize_t)v->iov_len;
}
static const struct net_io_ops flush_ops = { .send = flush_send };
static struct net_io flush_io = { .ops = &flush_ops };

static void flush_start(void)
{
    scene_runtime(0);
    memset(&flush, 0, sizeof flush);
    memset(&flush_kernel, 0, sizeof flush_kernel);
    flush.io = &flush_io;
    list_init(&flush.out.pending);
    flush_appended = flush_taken = flush_sent = flush_refuse = 0;
}
static void flush_appender(void)
{
    lock_take(&flush.lock, LOCK_WRITE);
    flush_appended++;
    lock_drop(&flush.lock, LOCK_WRITE);
    transport_flush(&flush);
}
static void flush_stopper(void)
{
    transport_stop_flushing(&flush);
    model_write(&flush.unsent);
}
static void flush_end(void) { model_check(flush_sent == flush_appended, "octets stay behind"); }

/* A socket that is full at first; when it is not any more, the task is told. */
static void flush_start_full(void)
{
    flush_start();
    flush_refuse = 1;
}
static void flush_task(void)
{
    for (bool full = true; full;) {
        lock_take(&flush_kernel, LOCK_UNRANKED);
        full = flush_refuse > 0;
        lock_drop(&flush_kernel, LOCK_UNRANKED);
        if (full)
            model_relax();
    }
    if (atomic_load_explicit(&flush.blocked, memory_order_relaxed))
        transport_flush(&flush);
}

/* -- references: who gives up the last one frees it ------------------------------------------ */

static struct transport *refs_t;
static struct rpc_stream refs_s;
static const struct transport_ops refs_ops = { 0 };
static void refs_start(void)
{
    scene_runtime(0);
    refs_t = sys.malloc(sizeof *refs_t);
    refs_t->refs = 2;
    refs_t->closed = true;
    refs_t->ops = &refs_ops;
    list_init(&refs_t->changed), list_init(&refs_t->waiting);
    rt_defer_init(&refs_t->flush, defer_fn);
}
static void refs_user(void)
{
    model_read(&refs_t->out);
    transport_unref(refs_t);
}
static void refs_free(struct rpc_stream *s) { model_write(s); }
static void refs_start_stream(void)
{
    static const struct rpc_stream_ops ops = { .free = refs_free, .drop = refs_free };
    scene_runtime(0);
    memset(&refs_s, 0, sizeof refs_s);
    refs_s.ops = &ops, refs_s.refs = 2, refs_s.holds = true;
}
static void refs_start_known(void)
{
    static struct transport t;
    refs_start_stream();
    memset(&t, 0, sizeof t);
    t.refs = 1;
    refs_s.t = &t, refs_s.holds = false;
}
static void refs_stream_user(void)
{
    model_read(&refs_s);
    stream_unref(&refs_s);
}
static void refs_stream_reader(void)
{
    model_read(&refs_s);
    stream_unref_known(&refs_s);
}

/* -- who waits for a message, and the reader that has no window for it ----------------------- */

static bool wants_told;
static void wants_start(void)
{
    flush_start();
    flush.closed = true; /* its task is not there */
    list_init(&flush.changed);
    memset(&refs_s, 0, sizeof refs_s);
    refs_s.t = &flush, refs_s.known = true, wants_told = false;
}
static void wants_waiter(void) { stream_wait_message(&refs_s); }
/* As stream_starve of transport_messages.c. */
static void wants_reader(void)
{
    atomic_store(&refs_s.stuck, true);
    if (atomic_load(&refs_s.wants))
        wants_told = true;
    rt_note_set(&refs_s.note);
}
static void wants_end(void)
{
    model_check(wants_told || !list_empty(&flush.changed), "nobody asks for window");
}
/* The status is there when done is seen. */
static void done_ended(struct rpc_stream *s) { (void)s; }
static void done_start(void)
{
    static const struct rpc_stream_ops ops = { .ended = done_ended };
    wants_start();
    refs_s.ops = &ops;
}
static void done_finisher(void)
{
    model_write(&refs_s.code);
    stream_finish(&refs_s, SENNIT_OK, (sennit_str){ 0 });
}
static void done_asker(void)
{
    if (atomic_load_explicit(&refs_s.done, memory_order_acquire))
        model_read(&refs_s.code);
}

/* -- trimming -------------------------------------------------------------------------------- */

static struct rt_g trim_g;
static struct rt_stack trim_stack;
static struct lock trim_queue;
static bool trim_queued, trim_kept; /* kept: the second page is in use */
static _Alignas(TRIM_PAGE) char trim_page[4 * TRIM_PAGE];

static int trim_madvise(void *p, size_t n, int advice)
{
    (void)advice;
    model_read(&trim_g.sp);
    model_check(!trim_kept || n <= TRIM_PAGE, "a page is taken that is in use");
    model_write(p);
    return 0;
}
static void trim_start(void)
{
    scene_runtime(0);
    memset(&trim_g, 0, sizeof trim_g);
    memset(&trim_queue, 0, sizeof trim_queue);
    trim_queued = false, trim_young = false, trim_kept = false;
    trim_stack = (struct rt_stack){ .base = trim_page, .size = sizeof trim_page };
    trim_g.stack = &trim_stack, trim_g.sp = trim_page + sizeof trim_page;
    trim_g.state = RT_G_PARKED;
    trim_g.u.since = model_clock_now - 2 * TRIM_AFTER_NS;
    sys.madvise = trim_madvise;
}
static void trim_trimmer(void) { trim_batch(&trim_g, 1); }
/* As rt_unpark, the queue, and sched_leave. */
static void trim_waker(void)
{
    atomic_store_explicit(&trim_g.state, RT_G_QUEUED, memory_order_relaxed);
    lock_take(&trim_queue, LOCK_SCHED);
    trim_queued = true;
    lock_drop(&trim_queue, LOCK_SCHED);
}
static void trim_resumer(void)
{
    for (bool got = false; !got;) {
        lock_take(&trim_queue, LOCK_SCHED);
        got = trim_queued;
        lock_drop(&trim_queue, LOCK_SCHED);
        if (!got)
            model_relax();
    }
    if (rt_trimming(&trim_g))
        rt_trim_wait(&trim_g);
    model_write(trim_page);
    atomic_store_explicit(&trim_g.state, RT_G_RUNNING, memory_order_relaxed);
}
/* It is resumed, and parks again where it needs the second page: the first may be taken. */
static void trim_parker(void)
{
    trim_resumer();
    trim_kept = true;
    model_write(&trim_g.sp);
    trim_g.sp = trim_page + 2 * TRIM_PAGE;
    atomic_store_explicit(&trim_g.state, RT_G_PARKED,
                          memory_order_release); /* as sched_run_after */
}

const struct model_scene work_scenes[] = {
    { "sleep, work beside it", work_start_2, { work_busy, work_worker }, NULL, work_rest },
    { "sleep, work for two",
      work_start_3,
      { work_busy, work_worker, work_worker },
      NULL,
      work_rest },
    { "sleep, a searcher that stays away",
      work_start_3,
      { work_busy, work_worker_1, work_worker_1 },
      NULL,
      work_rest },
    { "sleep, work from outside", work_start_outside, { work_worker, work_outside, work_outside } },
    { "sleep, pinned work", work_start_pinned, { work_pin_owner, work_pin_sender } },
    { "sleep, a searcher that retires",
      work_start_surplus,
      { work_retirer, work_worker, work_outside },
      NULL,
      work_rest_all },
    { "sleep, stopped", work_start_2, { work_stopped, work_stopped, work_stopper } },
    { "defer", defer_start, { defer_worker, defer_flusher }, defer_end },
    { "defer of two", defer_start, { defer_change, defer_change, defer_flusher }, defer_end },
    { "defer cancelled", defer_start_cancel, { defer_flusher, defer_canceller } },
    { "flush", flush_start, { flush_appender, flush_appender }, flush_end },
    { "flush of three",
      flush_start,
      { flush_appender, flush_appender, flush_appender },
      flush_end },
    { "flush stopped", flush_start_full, { flush_appender, flush_stopper } },
    { "flush, full socket, two", flush_start_full, { flush_appender, flush_appender } },
    { "flush, full socket", flush_start_full, { flush_appender, flush_task }, flush_end },
    { "references of a connection", refs_start, { refs_user, refs_user } },
    { "references of a stream", refs_start_stream, { refs_stream_user, refs_stream_user } },
    { "stream of a reader", refs_start_known, { refs_stream_user, refs_stream_reader } },
    { "window wanted", wants_start, { wants_waiter, wants_reader }, wants_end },
    { "stream ended", done_start, { done_finisher, done_asker } },
    { "trim", trim_start, { trim_trimmer, trim_waker, trim_resumer } },
    { "trim, parked again", trim_start, { trim_trimmer, trim_waker, trim_parker } },
    { 0 },
};
