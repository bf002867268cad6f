/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * scene_poll.c: descriptor slots, timers and the poller's sleep. The epoll of the model has the
 * eventfd alone; events of descriptors are dispatched by the scenes themselves. */
#include "model.h"
/* the files under test */
#include "rt/netpoll.c"
#include "rt/timer.c"
/* and what they are played with */
#include "scene.h"

static bool poll_event; /* the eventfd; the kernel orders who writes and who reads it */
static struct lock poll_kernel;

static ssize_t poll_write(int fd, const void *p, size_t n)
{
    (void)fd, (void)p;
    lock_take(&poll_kernel, LOCK_UNRANKED);
    poll_event = true;
    lock_drop(&poll_kernel, LOCK_UNRANKED);
    model_wake(&poll_event);
    return (ssize_t)n;
}
static int poll_wait(int ep, struct epoll_event *ev, int max, const struct timespec *timeout)
{
    (void)ep, (void)max;
    lock_take(&poll_kernel, LOCK_UNRANKED);
    while (!poll_event && !timeout) {
        lock_drop(&poll_kernel, LOCK_UNRANKED);
        if (!poll_event)
            model_sleep(&poll_event);
        lock_take(&poll_kernel, LOCK_UNRANKED);
    }
    bool event = poll_event;
    poll_event = false;
    lock_drop(&poll_kernel, LOCK_UNRANKED);
    if (!event && timeout)
        model_clock_now += timeout->tv_sec * INT64_C(1000000000) + timeout->tv_nsec;
    ev->data.u64 = 0, ev->events = EPOLLIN;
    return event;
}
static int poll_ctl(int ep, int op, int fd, struct epoll_event *ev)
{
    return (void)ep, (void)op, (void)fd, (void)ev, 0;
}
static int poll_close(int fd) { return (void)fd, 0; }

void scene_poll_start(void);
void scene_poll_start(void)
{
    poll_event = false;
    memset(&poll_kernel, 0, sizeof poll_kernel);
    *(int *)&netpoll_luck = 0;
    *(int64_t *)&netpoll_until = *(int64_t *)&netpoll_open_fds = *(int64_t *)&netpoll_last = 0;
    netpoll_free = NULL, netpoll_slabs = NULL;
    memset(&netpoll_lock, 0, sizeof netpoll_lock);
    memset(&timer_wheels[0].lock, 0, sizeof timer_wheels[0].lock);
    memset(timer_wheels[0].map0, 0, sizeof timer_wheels[0].map0);
    memset(timer_wheels[0].map, 0, sizeof timer_wheels[0].map);
    timer_wheels[0].due = (struct list){ NULL, NULL };
    timer_wheels[0].armed = 0, *(int64_t *)&timer_wheels[0].next = 0;
    timer_wheels[0].firing = NULL, timer_wheels[0].busy = false, timer_wheels[0].waiters = 0;
    *(uint32_t *)&timer_wheels[0].fired = 0;
    sys.write = poll_write, sys.epoll_pwait2 = poll_wait;
    sys.epoll_ctl = poll_ctl, sys.close = poll_close;
}

/* -- descriptors ----------------------------------------------------------------------------- */

static struct rt_fd *fd, fd_slots[2];
static struct epoll_event fd_event;
static int fd_result;
static sennit_ctx *fd_ctx;

static void fd_start(void)
{
    scene_runtime(0);
    scene_poll_start();
    memset(fd_slots, 0, sizeof fd_slots);
    fd_slots[0].next_free = &fd_slots[1];
    netpoll_free = &fd_slots[0];
    fd_slots[0].open = true, fd_slots[0].number = 3;
    netpoll_free = &fd_slots[1];
    fd = &fd_slots[0];
    fd_event = (struct epoll_event){ .events = EPOLLIN, .data.u64 = (uintptr_t)fd };
    fd_result = 1;
}
static void fd_waiter(void)
{
    fd_result = rt_fd_wait_read(fd, fd_ctx);
    if (fd_result == 0)
        model_read(&scene_data[0]);
}
static void fd_poller(void)
{
    model_write(&scene_data[0]);
    netpoll_dispatch(&fd_event);
}
static void fd_interrupter(void) { rt_fd_interrupt(fd); }
static void fd_closer(void) { rt_fd_close(fd); }
static void fd_end(void) { model_check(fd_result == 0, "the wait ends otherwise"); }
static void fd_end_closed(void)
{
    model_check(fd_result == 0 || fd_result == -EBADF, "the wait ends otherwise");
}

/* Closed, and used again: what the poller fetched before finds nobody. */
static void fd_reuser(void)
{
    struct rt_fd *again;
    rt_fd_close(fd);
    model_check(rt_fd_open(4, &again) == 0 && again == fd, "another slot");
}
static void fd_end_reused(void)
{
    model_check(!fd->ready[0], "an old event reaches a new descriptor");
}

static struct rt_task fd_task;
static void fd_task_fn(struct rt_task *t)
{
    (void)t;
    scene_ran[1] = 1;
}
static void fd_task_start(void)
{
    fd_start();
    rt_task_init(&fd_task, fd_task_fn);
}
static void fd_task_setter(void) { rt_fd_tasks(fd, &fd_task, NULL); }
static void fd_hang_up(void)
{
    fd_event.events = EPOLLIN | EPOLLRDHUP;
    netpoll_dispatch(&fd_event);
}
static void fd_task_closer(void)
{
    rt_fd_close(fd);
    model_write(&fd_task); /* may be freed: it is not woken any more */
}
/* The mark of the end goes before the edge. */
static void fd_hup_waiter(void)
{
    if (rt_fd_wait_read(fd, NULL) == 0)
        model_check(rt_fd_hung_up(fd), "the end is not seen with its edge");
}

/* -- timers ---------------------------------------------------------------------------------- */

enum { TIMER_SOON = 1000000 };
static struct rt_timer timer_a, timer_b;
static bool timer_fired[2];

static void timer_fn(struct rt_timer *t)
{
    model_write(&scene_data[t == &timer_b]);
    timer_fired[t == &timer_b] = true;
}
static void timer_start(void)
{
    scene_runtime(0);
    scene_poll_start();
    timer_fired[0] = timer_fired[1] = false;
    rt_timer_init(&timer_a, timer_fn);
    rt_timer_init(&timer_b, timer_fn);
}
/* One of the two is armed from the start; the clock stands before both. */
static void timer_start_busy(void)
{
    timer_start();
    struct timer_wheel *w = &timer_wheels[0];
    list_init(&w->due);
    w->tick = (uint64_t)model_clock_now >> TIMER_TICK;
    timer_a.state = timer_b.state = TIMER_ARMED, w->armed = 2;
    timer_a.at = model_clock_now + TIMER_SOON, timer_b.at = timer_a.at + TIMER_SOON;
    *(int64_t *)&w->next = timer_insert(w, &timer_a);
    timer_insert(w, &timer_b);
}
static void timer_setter(void)
{
    model_write(&scene_data[0]);
    rt_timer_set(&timer_a, model_clock_now + TIMER_SOON);
}
static void timer_poller(void)
{
    while (!timer_fired[0])
        rt_netpoll_block(INT64_MAX);
}
static void timer_poller_b(void)
{
    while (!timer_fired[1])
        rt_netpoll_block(INT64_MAX);
}
static void timer_runner(void) { rt_timers_run(timer_a.at + (1 << TIMER_TICK)); }
static void timer_stopper(void)
{
    rt_timer_stop_wait(&timer_a);
    model_write(&scene_data[0]); /* fn does not run, and will not */
}
static bool timer_rest(void) { return timer_fired[1]; }

/* Who waits for a stack is tried again, though all sleep: so the poller must not sleep for ever. */
static struct rt_g starved;
static void starve_start(void)
{
    scene_runtime(0);
    scene_poll_start();
}
static void starve_waiter(void) { rt_starve(&starved); }
static void starve_poller(void)
{
    while (!atomic_load_explicit(&rt_state.starved, memory_order_relaxed))
        rt_netpoll_block(INT64_MAX);
}

const struct model_scene poll_scenes[] = {
    { "descriptor", fd_start, { fd_waiter, fd_poller }, fd_end },
    { "descriptor interrupted", fd_start, { fd_waiter, fd_poller, fd_interrupter }, fd_end_closed },
    { "descriptor closed", fd_start, { fd_waiter, fd_poller, fd_closer }, fd_end_closed },
    { "descriptor used again", fd_start, { fd_reuser, fd_poller }, fd_end_reused },
    { "descriptor of a task", fd_task_start, { fd_task_setter, fd_poller } },
    { "descriptor hung up", fd_start, { fd_hup_waiter, fd_hang_up } },
    { "timer set", timer_start, { timer_setter, timer_poller } },
    { "timer of a busy wheel",
      timer_start_busy,
      { timer_runner, timer_poller_b },
      NULL,
      timer_rest },
    { "sleep while one waits for a stack", starve_start, { starve_waiter, starve_poller } },
    { "timer stopped", timer_start_busy, { timer_runner, timer_stopper } },
    { 0 },
};
