/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * fork.c: processes in which goroutines cannot run: where the processor keeps shadow stacks (a
 * switch would end in SIGSEGV; glibc leaves them off for programs that link this library, whose
 * assembly is not marked for them, but a loader may be told otherwise), and forked children. A
 * child has one thread and shares the parent's epoll and sockets: what it did there would reach
 * into the parent's connections. So in the child of a process that had started the runtime every
 * call is refused: those that give errors fail with FAILED_PRECONDITION, those that would wait end
 * the process with a message. A child made before the first use starts afresh. */
#include "rt/err.h"
#include "rt/rt_private.h"
#include <stdio.h>
#include <stdlib.h>

static const struct sennit_error fork_error =
    ERR_FIXED(WHY(FORKED), "the library was in use before this process was forked: here only exec "
                           "and exit are allowed");
static const struct sennit_error fork_shadow_error = ERR_FIXED(
    WHY(SHADOW_STACKS), "this process has shadow stacks (CET, GCS), and goroutines switch "
                        "stacks: start it with GLIBC_TUNABLES=glibc.cpu.x86_shstk=off, or "
                        "glibc.cpu.aarch64_gcs=0");
static _Atomic bool fork_shadow;
static bool fork_watched; /* guarded by rt_state.mutex */

/* In the child; the caller may have been a goroutine, whose worker is no more. */
static void fork_child(void)
{
    if (!atomic_load(&rt_state.running))
        return;
    atomic_store(&lock_forked, true);
    atomic_store(&rt_state.running, 0);
    if (rt_worker())
        rt_local_worker(NULL);
}

bool rt_fork_watch(void)
{
    if (!fork_watched)
        fork_watched = pthread_atfork(NULL, NULL, fork_child) == 0;
    return fork_watched;
}

sennit_err rt_refused(void)
{
    if (unlikely(atomic_load_explicit(&lock_forked, memory_order_relaxed)))
        return &fork_error;
    return unlikely(atomic_load_explicit(&fork_shadow, memory_order_relaxed)) ? &fork_shadow_error
                                                                              : NULL;
}

bool rt_shadowed(void)
{
    bool on = sys.shadow_stack() > 0;
    atomic_store(&fork_shadow, on);
    return on;
}

void rt_fork_stop(const char *doing)
{
    if (!atomic_load(&lock_forked))
        return;
    fprintf(stderr, "sennit: %s in a forked child: %s\n", doing, fork_error.message);
    abort();
}
