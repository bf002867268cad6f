/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * fdwatch.c: an fd with a task. Who frees it must not wait for the task (it may stand on the very
 * worker that has to run it), so the struct lives until the task's last run, which frees it. `over`
 * is set and the task woken under the lock, and each run looks at it under the lock: so a run that
 * sees it comes after the waker's last touch. */
#include "rt/fdwatch.h"
#include "base/sys.h"

struct fdwatch {
    struct rt_task task;
    struct rt_fd *fd;
    struct lock lock;
    bool over; /* guarded */
    bool (*ready)(int fd);
    void (*fn)(void *arg);
    void *arg;
};

static bool fdwatch_over(struct fdwatch *w)
{
    lock_take(&w->lock, LOCK_PRIM);
    bool over = w->over;
    lock_drop(&w->lock, LOCK_PRIM);
    return over;
}

static void fdwatch_run(struct rt_task *t)
{
    struct fdwatch *w = container_of(t, struct fdwatch, task);
    if (fdwatch_over(w)) {
        rt_fd_close(w->fd);
        rt_task_exit(t);
        sys.free(w);
        return;
    }
    if (!w->ready(rt_fd_number(w->fd)))
        return;
    lock_take(&w->lock, LOCK_PRIM);
    if (!w->over)
        w->fn(w->arg);
    lock_drop(&w->lock, LOCK_PRIM);
}

int fdwatch_new(int fd, bool (*ready)(int fd), void (*fn)(void *arg), void *arg,
                struct fdwatch **out)
{
    struct fdwatch *w = sys.calloc(1, sizeof *w);
    int rc = w ? rt_fd_open(fd, &w->fd) : -ENOMEM;
    if (rc < 0) {
        sys.close(fd);
        sys.free(w);
        return rc;
    }
    w->ready = ready, w->fn = fn, w->arg = arg;
    rt_task_init(&w->task, fdwatch_run);
    *out = w;
    rt_fd_tasks(w->fd, &w->task, NULL);
    return 0;
}

void fdwatch_free(struct fdwatch *w)
{
    lock_take(&w->lock, LOCK_PRIM);
    w->over = true;
    rt_task_wake(&w->task);
    lock_drop(&w->lock, LOCK_PRIM);
}
